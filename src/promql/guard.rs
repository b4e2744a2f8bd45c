//! What is counted before an expression is parsed, so that none can exhaust stack or memory.
//!
//! For: length, nesting, operators and patterns of any text, in one pass without recursion. Not
//! for: whether it is `PromQL`; the parser says so. The parser's tree is as deep as brackets and
//! operators allow, and it compiles every pattern: both are bounded here first.

use promql_parser::util::unquote_string;

use super::labels::pattern;
use super::{Error, Result};

/// Bytes of the longest expression.
pub const EXPRESSION_MAX: usize = 64 << 10;
const NESTING_MAX: usize = 64;
const OPERATORS_MAX: usize = 200;
const PATTERNS_MAX: usize = 64;

/// What was seen of a text so far.
#[derive(Debug, Default)]
struct Seen {
    nesting: usize,
    deepest: usize,
    operators: usize,
    patterns: usize,
}

/// Refuses what is too much.
pub(super) fn check(text: &str) -> Result<()> {
    let refuse = |what, limit, unit| Error::Guard { what, limit, unit };
    if text.len() > EXPRESSION_MAX {
        return Err(refuse("too much text", EXPRESSION_MAX, "bytes"));
    }
    let mut seen = Seen::default();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = seen.token(first, rest)?;
        if seen.deepest > NESTING_MAX {
            return Err(refuse(
                "too many brackets in brackets",
                NESTING_MAX,
                "levels",
            ));
        }
        if seen.operators > OPERATORS_MAX {
            return Err(refuse("too many operators", OPERATORS_MAX, "operators"));
        }
        if seen.patterns > PATTERNS_MAX {
            return Err(refuse("too many patterns", PATTERNS_MAX, "patterns"));
        }
    }
    Ok(())
}

impl Seen {
    /// Takes the token that `rest` begins with; what is left is given back.
    fn token<'t>(&mut self, first: char, rest: &'t str) -> Result<&'t str> {
        let after = |bytes: usize| rest.get(bytes..).unwrap_or("");
        Ok(match first {
            '"' | '\'' | '`' => after(quoted(rest)),
            '#' => after(rest.find('\n').unwrap_or(rest.len())),
            '(' | '[' | '{' => {
                self.nesting += 1;
                self.deepest = self.deepest.max(self.nesting);
                after(1)
            }
            ')' | ']' | '}' => {
                self.nesting = self.nesting.saturating_sub(1);
                after(1)
            }
            '=' | '!' if after(1).starts_with('~') => {
                self.patterns += 1;
                self.pattern(after(2))?
            }
            '+' | '-' | '*' | '/' | '%' | '^' | '<' | '>' | '!' | '=' => {
                // Equalities of labels stand in braces and make no tree.
                self.operators += usize::from(first != '=');
                after(1)
            }
            c if c.is_alphanumeric() || c == '_' => {
                let end = rest
                    .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
                    .unwrap_or(rest.len());
                let word = rest.get(..end).unwrap_or("").to_ascii_lowercase();
                let operator = ["and", "or", "unless", "atan2"].contains(&word.as_str());
                self.operators += usize::from(operator);
                after(end)
            }
            c => after(c.len_utf8()),
        })
    }

    /// Tries the pattern that follows, if one does, under a limit that the parser does not know.
    fn pattern<'t>(&self, rest: &'t str) -> Result<&'t str> {
        let text = rest.trim_start();
        if !text.starts_with(['"', '\'', '`']) || self.patterns > PATTERNS_MAX {
            return Ok(rest);
        }
        let (quoted, left) = text.split_at(quoted(text));
        if let Ok(written) = unquote_string(quoted) {
            pattern(&written)?;
        }
        Ok(left)
    }
}

/// Bytes of the quoted text that `rest` begins with; all of it where the quote is not closed.
fn quoted(rest: &str) -> usize {
    let mut chars = rest.char_indices();
    let quote = chars.next().map(|(_, quote)| quote);
    while let Some((at, c)) = chars.next() {
        if Some(c) == quote {
            return at + c.len_utf8();
        }
        if c == '\\' && quote != Some('`') {
            chars.next();
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::promql::Query;

    #[test]
    fn ordinary_expressions_pass() {
        for text in [
            r#"sum by (a) (rate(x{b=~"c|d",e!~"f.*"}[5m])) / 2 > bool 1"#,
            r#"x{a="(((((\"((("} # ((((("#,
            "-1 + -2",
        ] {
            check(text).unwrap();
        }
    }

    #[test]
    fn what_is_too_much_is_named() {
        let deep = "(".repeat(1_000_000);
        let wide = "1+".repeat(20_000);
        let words = "a or ".repeat(1_000);
        let minus = "-".repeat(1_000);
        let nested = "(".repeat(65);
        let patterns = r#"{a=~"b"}"#.repeat(65);
        for (text, what) in [
            (&deep, "too much text"),
            (&nested, "brackets in brackets"),
            (&wide, "operators"),
            (&words, "operators"),
            (&minus, "operators"),
            (&patterns, "too many patterns"),
        ] {
            let error = check(text).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn a_pattern_that_would_take_much_memory_is_refused_by_its_text() {
        for bomb in ["(x{1000}){1000}", r"((\\w{50}){50}){50}", "a)|(b", "["] {
            let error = Query::parse(&format!("x{{a=~\"{bomb}\"}}")).unwrap_err();
            assert!(matches!(error, Error::Pattern(_)), "{bomb}: {error}");
        }
    }

    #[test]
    fn the_deepest_that_passes_is_parsed_on_a_small_stack() {
        let deep = format!("{}1{}", "(".repeat(64), ")".repeat(64));
        let long = format!("{}1", "-(1+2)*".repeat(66));
        let minus = format!("{}x", "-".repeat(200));
        let small = std::thread::Builder::new().stack_size(1 << 20);
        let parse = move || {
            for text in [&deep, &long, &minus] {
                Query::parse(text).unwrap();
            }
        };
        small.spawn(parse).unwrap().join().unwrap();
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in "[-a-z0-9(){}\\[\\]\"'`=~!<>+*/%^,.:#@ \\\\\n]{0,80}") {
            _ = Query::parse(&text);
        }
    }
}
