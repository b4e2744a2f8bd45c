//! Cuts a text into statements, and says which of them may be planned.
//!
//! For: telling where a statement ends, what stands in the comment before it, and what kind it is.
//! Not for: knowing whether it is right: the server says so, and takes one statement at a time.
//!
//! Source: PostgreSQL 18 manual, section 4.1 (Lexical Structure).

/// Why a statement is not planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Nothing but blanks and comments.
    #[error("there is no statement")]
    Empty,
    /// More than one.
    #[error("there is more than one statement; write each on its own, ended by `;`")]
    Several,
    /// Not one of those that have a plan.
    #[error("{word} has no plan; SELECT, WITH, VALUES, TABLE, INSERT, UPDATE, DELETE and MERGE do")]
    Kind {
        /// Its first word.
        word: String,
    },
    /// Longer than is sent to a server.
    #[error("the statement has {bytes} bytes; at most {limit} are planned")]
    Long {
        /// Its length.
        bytes: usize,
        /// The most.
        limit: usize,
    },
}

/// Longest statement that is planned: what people write by hand is a hundredth of it.
pub const MAX_BYTES: usize = 1 << 20;

/// First words of statements that have a plan.
const KINDS: [&str; 8] = [
    "select", "with", "values", "table", "insert", "update", "delete", "merge",
];

/// One statement of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece<'t> {
    /// The `--` comments that stand before it, without their dashes.
    pub comments: Vec<&'t str>,
    /// From its first word to its last, without the `;`.
    pub text: &'t str,
}

/// Every statement of `text`, in order; what is between two `;` and empty is left out.
pub fn split(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut comments = Vec::new();
    let (mut start, mut end): (Option<usize>, usize) = (None, 0);
    for (at, lexeme) in Lexemes::new(text) {
        match lexeme {
            Lexeme::Comment(comment) if start.is_none() => comments.push(comment),
            Lexeme::Comment(_) => {}
            Lexeme::End => {
                if let Some(from) = start.take() {
                    let text = text.get(from..end).unwrap_or("");
                    pieces.push(Piece {
                        comments: std::mem::take(&mut comments),
                        text,
                    });
                }
                comments.clear();
            }
            Lexeme::Word(piece) | Lexeme::Parameter(piece) | Lexeme::Other(piece) => {
                start.get_or_insert(at);
                end = at + piece.len();
            }
        }
    }
    if let Some(from) = start {
        let text = text.get(from..end).unwrap_or("");
        pieces.push(Piece { comments, text });
    }
    pieces
}

/// The one statement in `text`, without comments around it or a `;` after it.
///
/// # Errors
/// [`Refusal`], which says what would be planned.
pub fn single(text: &str) -> Result<&str, Refusal> {
    if text.len() > MAX_BYTES {
        return Err(Refusal::Long {
            bytes: text.len(),
            limit: MAX_BYTES,
        });
    }
    let pieces = split(text);
    let text = match pieces.as_slice() {
        [] => return Err(Refusal::Empty),
        [one] => one.text,
        _ => return Err(Refusal::Several),
    };
    let first = Lexemes::new(text)
        .find_map(|(_, lexeme)| match lexeme {
            Lexeme::Word(word) => Some(word),
            Lexeme::Other("(") | Lexeme::Comment(_) | Lexeme::End => None,
            Lexeme::Other(other) | Lexeme::Parameter(other) => Some(other),
        })
        .unwrap_or("");
    if KINDS.iter().any(|kind| first.eq_ignore_ascii_case(kind)) {
        Ok(text)
    } else {
        let word = first.chars().take(30).collect::<String>().to_uppercase();
        Err(Refusal::Kind { word })
    }
}

/// The highest parameter `$n` of a statement; 0 without any.
pub fn parameters(text: &str) -> usize {
    parameter_numbers(text).into_iter().max().unwrap_or(0)
}

/// The number of each parameter `$n`, as they stand.
pub fn parameter_numbers(text: &str) -> Vec<usize> {
    let numbers = Lexemes::new(text).filter_map(|(_, lexeme)| match lexeme {
        Lexeme::Parameter(name) => name.get(1..)?.parse().ok(),
        _ => None,
    });
    numbers.collect()
}

/// The statement with each `$n` replaced by what `value` gives for `n`, in parentheses' stead as it
/// is: values bring their own quotes and casts.
pub fn with_values(text: &str, value: impl Fn(usize) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    let mut copied = 0;
    for (at, lexeme) in Lexemes::new(text) {
        let Lexeme::Parameter(name) = lexeme else {
            continue;
        };
        let number = name.get(1..).and_then(|digits| digits.parse().ok());
        if let Some(value) = number.and_then(&value) {
            out.push_str(text.get(copied..at).unwrap_or(""));
            out.push_str(&value);
            copied = at + name.len();
        }
    }
    out.push_str(text.get(copied..).unwrap_or(""));
    out
}

/// The numbers of the parameters that stand right after one of `words`, such as `LIMIT`.
pub fn parameters_after(text: &str, words: &[&str]) -> Vec<usize> {
    let mut last = "";
    let mut found = Vec::new();
    for (_, lexeme) in Lexemes::new(text) {
        match lexeme {
            Lexeme::Parameter(name) if words.iter().any(|w| last.eq_ignore_ascii_case(w)) => {
                found.extend(
                    name.get(1..)
                        .and_then(|digits| digits.parse::<usize>().ok()),
                );
            }
            Lexeme::Word(word) => last = word,
            Lexeme::Comment(_) => {}
            _ => last = "",
        }
    }
    found
}

/// The columns that a statement's `SET` gives values to, unquoted, each once; all of its `UPDATE`s and
/// of `ON CONFLICT DO UPDATE` together.
pub fn assigned_columns(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    // Depth of the `SET` that is being read, and whether a column's name comes next.
    let (mut depth, mut set_at, mut is_next) = (0_usize, None, false);
    for (_, lexeme) in Lexemes::new(text) {
        let at_set = set_at == Some(depth);
        // `SET (a, b) = …`
        let in_list = set_at.is_some_and(|set| set + 1 == depth) && is_next;
        match lexeme {
            Lexeme::Word(word) if word.eq_ignore_ascii_case("set") => {
                (set_at, is_next) = (Some(depth), true);
            }
            Lexeme::Word(word)
                if at_set
                    && ["where", "from", "returning"].contains(&word.to_lowercase().as_str()) =>
            {
                set_at = None;
            }
            Lexeme::Word(word) if (at_set || in_list) && is_next => {
                found.push(word.to_lowercase());
                is_next = in_list;
            }
            Lexeme::Other(quoted) if (at_set || in_list) && is_next && quoted.starts_with('"') => {
                let inner = quoted.trim_start_matches('"');
                let inner = inner.strip_suffix('"').unwrap_or(inner);
                found.push(inner.replace("\"\"", "\""));
                is_next = in_list;
            }
            Lexeme::Other("(") => depth += 1,
            Lexeme::Other(")") => {
                depth = depth.saturating_sub(1);
                if set_at.is_some_and(|set| set > depth) {
                    set_at = None;
                }
                if in_list {
                    is_next = false;
                }
            }
            Lexeme::Other(",") if at_set => is_next = true,
            Lexeme::End => (set_at, depth) = (None, 0),
            _ => {}
        }
    }
    found.sort();
    found.dedup();
    found
}

/// A piece of SQL, as far as its end matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lexeme<'t> {
    /// A `--` comment without its dashes; a `/* */` comment is empty here.
    Comment(&'t str),
    /// `;`
    End,
    Word(&'t str),
    Parameter(&'t str),
    /// A string, a quoted name, a number or one sign.
    Other(&'t str),
}

struct Lexemes<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexemes<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }
}

impl<'t> Iterator for Lexemes<'t> {
    type Item = (usize, Lexeme<'t>);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.text.get(self.at..)?;
        let blank = rest.len() - rest.trim_start().len();
        let start = self.at + blank;
        let rest = self.text.get(start..)?;
        let c = rest.chars().next()?;
        let length = if rest.starts_with("--") {
            rest.find(['\n', '\r']).unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if c.is_alphabetic() || c == '_' {
            word_or_prefixed(rest)
        } else {
            match c {
                '\'' => quoted(rest, '\'', false),
                '"' => quoted(rest, '"', false),
                '$' => dollar(rest),
                _ => c.len_utf8(),
            }
        };
        let piece = rest.get(..length).unwrap_or(rest);
        self.at = start + piece.len();
        let digits = piece.get(1..).unwrap_or("");
        let lexeme = match c {
            _ if piece.starts_with("--") => Lexeme::Comment(piece.get(2..).unwrap_or("").trim()),
            _ if piece.starts_with("/*") => Lexeme::Comment(""),
            ';' => Lexeme::End,
            '$' if !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()) => {
                Lexeme::Parameter(piece)
            }
            c if (c.is_alphabetic() || c == '_') && !piece.ends_with('\'') => Lexeme::Word(piece),
            _ => Lexeme::Other(piece),
        };
        Some((start, lexeme))
    }
}

/// Length of a word, or of a string with a prefix such as `E'…'`.
fn word_or_prefixed(text: &str) -> usize {
    let inside = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let length = text.find(|c| !inside(c)).unwrap_or(text.len());
    let (word, after) = text.split_at(length);
    let prefix = ["e", "b", "x", "n"]
        .iter()
        .any(|p| word.eq_ignore_ascii_case(p));
    if prefix && after.starts_with('\'') {
        length + quoted(after, '\'', word.eq_ignore_ascii_case("e"))
    } else {
        length
    }
}

/// Length of a quoted piece with doubled quotes inside, to the end where none closes it.
pub(super) fn quoted(text: &str, quote: char, escapes: bool) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && escapes {
            chars.next();
        } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return at + 1;
        }
    }
    text.len()
}

/// Length of a comment that may hold others.
pub(super) fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// Length of `$1`, of `$tag$ … $tag$`, or of a lone sign.
pub(super) fn dollar(text: &str) -> usize {
    let after = text.get(1..).unwrap_or("");
    let digits = after
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(after.len());
    if digits > 0 {
        return 1 + digits;
    }
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    let tag = after.find(|c| !inside(c)).unwrap_or(after.len());
    if !after.get(tag..).is_some_and(|rest| rest.starts_with('$')) {
        return 1;
    }
    let opening = text.get(..tag + 2).unwrap_or(text);
    let body = text.get(opening.len()..).unwrap_or("");
    body.find(opening)
        .map_or(text.len(), |end| opening.len() + end + opening.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_semicolon_in_a_string_ends_nothing() {
        let text = "-- one\nselect ';', \"a;b\", $x$;$x$, E'\\';' /* ; /* ; */ */ from t;\n\n-- two\n\
                    -- more\ndelete from t -- ; tail\n;;";
        let pieces = split(text);
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces[0].comments, ["one"]);
        assert!(pieces[0].text.starts_with("select") && pieces[0].text.ends_with("from t"));
        assert_eq!(pieces[1].comments, ["two", "more"]);
        assert_eq!(pieces[1].text, "delete from t");
    }

    #[test]
    fn only_one_statement_with_a_plan_is_let_through() {
        assert_eq!(single(" (select 1) ; "), Ok("(select 1)"));
        assert_eq!(
            single("/* x */ WITH a AS (DELETE FROM t RETURNING *) SELECT 1"),
            Ok("WITH a AS (DELETE FROM t RETURNING *) SELECT 1")
        );
        assert_eq!(single("select 1; drop table t"), Err(Refusal::Several));
        assert_eq!(single(" -- nothing\n"), Err(Refusal::Empty));
        for (text, word) in [
            ("do $$ begin end $$", "DO"),
            ("copy t to program 'rm'", "COPY"),
            ("analyze select 1", "ANALYZE"),
            ("explain analyze select 1", "EXPLAIN"),
            ("execute s", "EXECUTE"),
            ("\\! ls", "\\"),
            ("'x'", "'X'"),
        ] {
            assert_eq!(
                single(text),
                Err(Refusal::Kind {
                    word: word.to_owned()
                }),
                "{text}"
            );
        }
        let long = format!("select '{}'", "x".repeat(MAX_BYTES));
        assert!(matches!(single(&long), Err(Refusal::Long { .. })));
    }

    #[test]
    fn parameters_are_found_outside_of_strings_only() {
        let text = "select $1, '$9', $$ $8 $$ from t where a = $2 limit $12 offset $3";
        assert_eq!(parameters(text), 12);
        assert_eq!(parameters_after(text, &["limit", "offset"]), [12, 3]);
        let filled = with_values(text, |n| (n != 12).then(|| format!("<{n}>")));
        assert_eq!(
            filled,
            "select <1>, '$9', $$ $8 $$ from t where a = <2> limit $12 offset <3>"
        );
    }

    #[test]
    fn assigned_columns_are_those_of_set() {
        for (text, want) in [
            (
                "update t set a = 1, \"B b\" = (select c, d from x where e = 2) where f = 3",
                vec!["B b", "a"],
            ),
            (
                "update t set (a, b) = (1, 2), c = d returning e",
                vec!["a", "b", "c"],
            ),
            (
                "insert into t (x) values (1) on conflict (x) do update set y = excluded.y where t.z > 1",
                vec!["y"],
            ),
            ("with u as (update t set a = 1) select b from u", vec!["a"]),
            ("select a from t", vec![]),
        ] {
            assert_eq!(assigned_columns(text), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_hangs_or_panics(text in "[a-e'\"$/*;\\- \n\\\\1]{0,60}|\\PC{0,40}") {
            for piece in split(&text) {
                prop_assert!(!piece.text.is_empty());
            }
            let _ = single(&text);
            let _ = with_values(&text, |_| Some(String::new()));
            let _ = assigned_columns(&text);
        }
    }
}
