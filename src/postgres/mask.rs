//! Takes the literals out of a statement's text, so that no personal data is kept.
//!
//! For: texts of `pg_stat_activity` and of utility statements. Not for: understanding SQL; a text
//! that cannot be read with certainty loses its rest.
//!
//! Source: PostgreSQL 18 manual, section 4.1 (Lexical Structure).

/// The statement with `?` for every string and number, without its comments.
///
/// Names, also quoted ones, keywords, operators and parameters (`$1`) stay. A literal that is cut
/// off, or whose end depends on `standard_conforming_strings`, takes the rest of the text with it.
pub fn mask(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        let word = word_length(rest);
        if word > 0 {
            let (text, after) = rest.split_at(word);
            if after.starts_with('\'') && is_string_prefix(text) {
                rest = string(&mut out, after, text);
            } else {
                out.push_str(text);
                rest = after;
            }
        } else if c == '\'' {
            rest = string(&mut out, rest, "");
        } else if c == '"' {
            rest = quoted_name(&mut out, rest);
        } else if c == '$' {
            rest = dollar(&mut out, rest);
        } else if starts_number(rest) {
            out.push('?');
            rest = skip_number(rest);
        } else if rest.starts_with("--") {
            rest = rest.find(['\n', '\r']).map_or("", |end| tail(rest, end));
            space(&mut out);
        } else if rest.starts_with("/*") {
            rest = skip_comment(rest);
            space(&mut out);
        } else if c.is_whitespace() {
            space(&mut out);
            rest = tail(rest, c.len_utf8());
        } else {
            out.push(c);
            rest = tail(rest, c.len_utf8());
        }
    }
    out.truncate(out.trim_end().len());
    out
}

fn tail(text: &str, from: usize) -> &str {
    text.get(from..).unwrap_or("")
}

/// One blank, never two in a row and none at the start.
fn space(out: &mut String) {
    if !out.is_empty() && !out.ends_with(' ') {
        out.push(' ');
    }
}

/// Length of the name or keyword that `text` begins with.
fn word_length(text: &str) -> usize {
    let starts = |c: char| c.is_alphabetic() || c == '_' || !c.is_ascii() && !c.is_whitespace();
    if !text.starts_with(starts) {
        return 0;
    }
    let inside = |c: char| starts(c) || c.is_ascii_digit() || c == '$';
    text.find(|c| !inside(c)).unwrap_or(text.len())
}

fn is_string_prefix(word: &str) -> bool {
    ["e", "b", "x", "n"]
        .iter()
        .any(|p| word.eq_ignore_ascii_case(p))
}

/// Masks a string that begins at its quote; gives what follows it.
fn string<'a>(out: &mut String, text: &'a str, prefix: &str) -> &'a str {
    // `U&'…'` arrives here as the word `U`, the operator `&` and a plain string: masked just so.
    out.push('?');
    let escapes = prefix.eq_ignore_ascii_case("e");
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if escapes => {
                chars.next();
            }
            // Whether this quote closes the string depends on a setting that is not known here.
            '\\' if chars.peek().is_some_and(|(_, next)| *next == '\'') => return "",
            '\'' if chars.next_if(|(_, next)| *next == '\'').is_none() => {
                return tail(text, at + 1);
            }
            _ => {}
        }
    }
    ""
}

fn quoted_name<'a>(out: &mut String, text: &'a str) -> &'a str {
    let end = tail(text, 1).find('"').map(|end| end + 2);
    // A cut-off name may as well be the inside of something else.
    let Some(end) = end else {
        out.push('?');
        return "";
    };
    out.push_str(text.get(..end).unwrap_or(""));
    tail(text, end)
}

/// A parameter such as `$1`, a dollar-quoted string, or a lone sign.
fn dollar<'a>(out: &mut String, text: &'a str) -> &'a str {
    let after = tail(text, 1);
    if after.starts_with(|c: char| c.is_ascii_digit()) {
        let end = after.find(|c: char| !c.is_ascii_digit());
        let end = end.map_or(text.len(), |end| end + 1);
        out.push_str(text.get(..end).unwrap_or(""));
        return tail(text, end);
    }
    let tag_end = after
        .find(|c: char| !(c.is_alphanumeric() || c == '_' || !c.is_ascii()))
        .unwrap_or(after.len());
    if !tail(after, tag_end).starts_with('$') {
        out.push('$');
        return after;
    }
    let tag = text.get(..tag_end + 2).unwrap_or("$$");
    let body = tail(text, tag.len());
    out.push('?');
    body.find(tag).map_or("", |end| tail(body, end + tag.len()))
}

fn starts_number(text: &str) -> bool {
    let text = text.strip_prefix('.').unwrap_or(text);
    text.starts_with(|c: char| c.is_ascii_digit())
}

/// Digits, point, exponent, radix and grouping: everything that could belong to the number.
fn skip_number(text: &str) -> &str {
    let mut previous = ' ';
    let end = text.find(|c: char| {
        let sign_of_exponent = matches!(c, '+' | '-') && matches!(previous, 'e' | 'E');
        previous = c;
        !(c.is_alphanumeric() || c == '_' || c == '.' || sign_of_exponent)
    });
    end.map_or("", |end| tail(text, end))
}

/// Skips a comment, which may hold others.
fn skip_comment(text: &str) -> &str {
    let mut depth = 0_u32;
    let mut at = 0;
    while at < text.len() {
        let here = text.as_bytes().get(at..at + 2);
        match here {
            Some(b"/*") => {
                depth += 1;
                at += 2;
            }
            Some(b"*/") => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return tail(text, at);
                }
            }
            _ => at += 1,
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn literals_go_and_names_stay() {
        let cases = [
            (
                "select * from t1 where a = 'x' and b=12.5e-3",
                "select * from t1 where a = ? and b=?",
            ),
            (
                "select E'it\\'s', 'it''s', $$a 'b'$$, $q$ $$ $q$, $1",
                "select ?, ?, ?, ?, $1",
            ),
            (
                "select \"a 'b'\" -- 'secret'\n, x'ff' /* 'a' /* b */ */ + 1",
                "select \"a 'b'\" , ? + ?",
            ),
            (
                "update t set a$1=0x1F, b=1_000 where c IN (1,2)",
                "update t set a$1=?, b=? where c IN (?,?)",
            ),
            ("select 'cut o", "select ?"),
            ("select 'a\\' or secret", "select ?"),
            ("select 'a\\b', d", "select ?, d"),
            ("select $tag$ cut", "select ?"),
            ("select \"cut", "select ?"),
        ];
        for (from, to) in cases {
            assert_eq!(mask(from), to, "{from}");
        }
    }

    proptest! {
        #[test]
        fn no_quoted_literal_survives(
            before in "[a-z ,=]{0,12}",
            secret in "[A-Z\\\\' é/*-]{0,12}",
            cut in any::<bool>(),
        ) {
            let needle = format!("ZZ{secret}QQ");
            let spellings = [
                format!("'{}'", needle.replace('\'', "''")),
                format!("E'{}'", needle.replace('\\', "\\\\").replace('\'', "''")),
                format!("$x${needle}$x$"),
                format!("/* {} */", needle.replace("*/", "").replace("/*", "").replace('*', "")),
            ];
            for literal in spellings {
                let mut sql = format!("{before} {literal} and more");
                if cut {
                    let end = sql.find("QQ").unwrap() + 2;
                    sql.truncate(end);
                }
                let masked = mask(&sql);
                prop_assert!(!masked.contains("ZZ") && !masked.contains("QQ"), "{sql} → {masked}");
            }
        }

        #[test]
        fn any_text_is_taken(text in "\\PC{0,60}") {
            mask(&text);
        }
    }
}
