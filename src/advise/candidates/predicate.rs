//! Conditions that a partial index might have.

/// A condition that holds for each row that a statement looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predicate {
    /// Over the table's quoted column names.
    pub sql: String,
    /// Columns in it.
    pub columns: Vec<usize>,
    /// Those of them that the statement reads nowhere else: with the condition in the index they
    /// need not be stored.
    pub freed: Vec<usize>,
}

impl Predicate {
    /// Whether the condition holds one of these values: then it holds only where a parameter that
    /// nobody knows happens to have it. A boolean column is a condition by itself.
    pub fn rests_on(&self, values: &[String]) -> bool {
        let is_bare = !self.sql.contains([' ', '\'']) || self.sql.starts_with("(NOT ");
        values.iter().any(|value| {
            let quoted = self.sql.contains(&format!("'{value}'"));
            let number = self.sql.ends_with(&format!(" {value})"));
            let listed = self.sql.contains("'{") && self.sql.contains(value.as_str());
            quoted
                || number
                || listed
                || (is_bare && ["true", "false", "t", "f"].contains(&value.as_str()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_over_a_made_up_value_is_known() {
        let rests = |sql: &str, values: &[&str]| {
            let predicate = Predicate {
                sql: sql.to_owned(),
                columns: Vec::new(),
                freed: Vec::new(),
            };
            let values: Vec<String> = values.iter().map(|v| (*v).to_owned()).collect();
            predicate.rests_on(&values)
        };
        assert!(rests("(kind = 'HOME'::text)", &["00042", "HOME"]));
        assert!(rests("(kind = 7)", &["7"]));
        assert!(rests("(kind = ANY ('{HOME,AUTO}'::text[]))", &["AUTO"]));
        assert!(rests("\"isActive\"", &["true"]));
        assert!(rests("(NOT \"isActive\")", &["f"]));
        assert!(!rests("(kind = 'HOME'::text)", &["AUTO", "7"]));
        assert!(!rests("(kind IS NOT NULL)", &["true", "1"]));
        assert!(!rests("(\"a\" < \"b\")", &["true"]));
    }
}
