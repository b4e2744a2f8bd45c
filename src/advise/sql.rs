//! Names and texts as SQL: every statement that is shown goes through here.
//!
//! Source: PostgreSQL manual, section 4.1.1, "Identifiers and Key Words", and 4.1.2.1, "String
//! Constants".

use std::fmt::Write as _;

/// A name, always quoted: no list of key words can then be out of date.
///
/// A zero byte, which no name of the server can hold, is left out.
pub fn name(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    quoted.push('"');
    for c in name.chars().filter(|c| *c != '\0') {
        if c == '"' {
            quoted.push('"');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// `"schema"."name"`.
pub fn qualified(schema: &str, relation: &str) -> String {
    let mut both = name(schema);
    // Writing to a string cannot go wrong.
    let _ = write!(both, ".{}", name(relation));
    both
}

/// A text constant, right whatever `standard_conforming_strings` says.
pub fn literal(text: &str) -> String {
    let escaped = text.contains('\\');
    let mut quoted = String::with_capacity(text.len() + 3);
    quoted.push_str(if escaped { " E'" } else { "'" });
    for c in text.chars().filter(|c| *c != '\0') {
        if c == '\'' || c == '\\' {
            quoted.push(c);
        }
        quoted.push(c);
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a quoted name as the server's scanner does; gives what is left after it, too.
    fn read_back(sql: &str) -> (String, &str) {
        let mut rest = sql.strip_prefix('"').expect("a quote opens");
        let mut name = String::new();
        loop {
            let end = rest.find('"').expect("a quote closes");
            name.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            match rest.strip_prefix('"') {
                Some(more) => {
                    name.push('"');
                    rest = more;
                }
                None => return (name, rest),
            }
        }
    }

    #[test]
    fn robert_stays_one_name() {
        let robert = "Robert\"); DROP TABLE";
        assert_eq!(name(robert), "\"Robert\"\"); DROP TABLE\"");
        assert_eq!(read_back(&name(robert)), (robert.to_owned(), ""));
        assert_eq!(qualified("a", "b\"c"), "\"a\".\"b\"\"c\"");
    }

    #[test]
    fn a_text_with_a_backslash_is_an_escape_string() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\'b"), " E'a\\\\''b'");
    }

    proptest! {
        #[test]
        fn any_name_is_read_back_whole(text in "\\PC*|[\"'; ()\\\\a-z]*") {
            let quoted = name(&text);
            let (back, rest) = read_back(&quoted);
            prop_assert_eq!(back, text);
            prop_assert_eq!(rest, "");
        }
    }
}
