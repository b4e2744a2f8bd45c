//! Names of tables as people write them, found among those that are there.
//!
//! A name is only ever compared with what the catalog gave; no SQL is made of it.

/// What a name stands for.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'t, T> {
    /// Nothing of this name.
    None,
    /// This one; of several schemas, the one of `public`.
    One(&'t T),
    /// Several, none of them in `public`.
    Several(Vec<&'t T>),
}

/// Finds a table by its bare name, by the name as SQL writes it, or folded as SQL folds it. `of` gives
/// schema and name of one.
pub fn find<'t, T>(
    asked: &str,
    tables: &'t [T],
    of: impl Fn(&'t T) -> (&'t str, &'t str),
) -> Found<'t, T> {
    let called = |schema: Option<&str>, name: &str| -> Vec<&'t T> {
        let fits = |table: &&'t T| {
            let (its_schema, its_name) = of(table);
            its_name == name && schema.is_none_or(|schema| its_schema == schema)
        };
        tables.iter().filter(fits).collect()
    };
    let mut found = called(None, asked);
    for folded in [false, true] {
        let parts = parts(asked, folded);
        match parts.as_deref() {
            Some([name]) if found.is_empty() => found = called(None, name),
            Some([schema, name]) if found.is_empty() => found = called(Some(schema), name),
            _ => {}
        }
    }
    match found.as_slice() {
        [] => Found::None,
        [table] => Found::One(table),
        several => match several.iter().find(|table| of(table).0 == "public") {
            Some(table) => Found::One(table),
            None => Found::Several(found),
        },
    }
}

/// Every bare name that `asked` may stand for.
pub fn names(asked: &str) -> Vec<String> {
    let written = [false, true].map(|folded| parts(asked, folded).and_then(|mut all| all.pop()));
    let mut names: Vec<String> = written.into_iter().flatten().collect();
    names.push(asked.to_owned());
    names.sort_unstable();
    names.dedup();
    names
}

/// Splits `schema."Table"` at dots outside quotes; `""` within quotes is a quote. Folds unquoted
/// parts to lower case where `folded`. `None` for a quote that does not end.
pub fn parts(text: &str, folded: bool) -> Option<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let last = parts.last_mut()?;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                last.push('"');
            }
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            c if folded && !quoted => last.extend(c.to_lowercase()),
            c => last.push(c),
        }
    }
    (!quoted).then_some(parts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    static TABLES: [(&str, &str); 6] = [
        ("public", "Lead"),
        ("public", "lead"),
        ("old", "event"),
        ("older", "event"),
        ("odd.schema", "we\"ird"),
        ("old", "Lead"),
    ];

    fn found(asked: &str) -> Found<'static, (&'static str, &'static str)> {
        find(asked, &TABLES, |table| *table)
    }

    #[test]
    fn a_table_is_found_by_its_name_as_it_is_or_as_sql_writes_it() {
        for (asked, wanted) in [
            ("Lead", ("public", "Lead")),
            ("\"Lead\"", ("public", "Lead")),
            ("public.\"Lead\"", ("public", "Lead")),
            ("LEAD", ("public", "lead")),
            ("old.\"Lead\"", ("old", "Lead")),
            ("\"odd.schema\".\"we\"\"ird\"", ("odd.schema", "we\"ird")),
        ] {
            assert_eq!(found(asked), Found::One(&wanted), "{asked}");
        }
        assert_eq!(found("event"), Found::Several(vec![&TABLES[2], &TABLES[3]]));
        for asked in [
            "",
            "\"Lead",
            "Lead\", \"lead",
            "public.",
            "a.b.c",
            "; drop table lead",
        ] {
            assert_eq!(found(asked), Found::None, "{asked}");
        }
    }

    #[test]
    fn every_name_that_a_text_may_stand_for_is_asked_for() {
        assert_eq!(names("public.Lead"), ["Lead", "lead", "public.Lead"]);
        assert_eq!(names("\"Lead"), ["\"Lead"]);
    }

    #[test]
    fn names_are_split_as_sql_does() {
        let split = |text, folded| parts(text, folded).unwrap();
        assert_eq!(split("public.\"Lead\"", true), ["public", "Lead"]);
        assert_eq!(split("Lead", true), ["lead"]);
        assert_eq!(split("Lead", false), ["Lead"]);
        assert_eq!(split("\"a.b\".\"c\"\"d\"", false), ["a.b", "c\"d"]);
        assert_eq!(parts("Robert\"); DROP TABLE", false), None);
    }

    proptest! {
        #[test]
        fn a_quoted_name_is_read_back(name in "\\PC{1,20}") {
            let quoted = format!("\"{}\"", name.replace('"', "\"\""));
            prop_assert_eq!(parts(&quoted, true), Some(vec![name]));
        }
    }
}
