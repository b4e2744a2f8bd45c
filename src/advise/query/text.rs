//! Conditions as the server writes them, cut at their `AND`s, `OR`s and operators, texts kept.
//!
//! For: rules that have to show a part of a condition again, in DDL or in a rewrite. Not for:
//! finding out which columns a condition reads: `clause` does.

use crate::advise::script::{block_comment, dollar, quoted};

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison<'t> {
    /// Left of the operator, without parentheses around it.
    pub left: &'t str,
    /// The operator, such as `~~*`.
    pub operator: &'t str,
    /// Right of it.
    pub right: &'t str,
}

/// The parts that must all hold.
pub fn conjuncts(condition: &str) -> Vec<&str> {
    cut(bare(condition), "AND")
}

/// The parts of which one must hold.
pub fn disjuncts(condition: &str) -> Vec<&str> {
    cut(bare(condition), "OR")
}

/// The condition as a comparison, if it is one.
pub fn comparison(condition: &str) -> Option<Comparison<'_>> {
    let text = bare(condition);
    let (start, end) = operator(text)?;
    let (left, right) = (text.get(..start)?.trim(), text.get(end..)?.trim());
    if left.is_empty() || right.is_empty() {
        return None;
    }
    Some(Comparison {
        left: bare(left),
        operator: text.get(start..end)?,
        right: bare(right),
    })
}

/// Without parentheses that enclose all of it.
pub fn bare(text: &str) -> &str {
    let mut text = text.trim();
    while let Some(inner) = text
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
    {
        // `(a) = (b)` begins and ends with a parenthesis, too.
        let mut depth = 0_usize;
        let mut closed_early = false;
        for (_, piece) in pieces(inner) {
            match piece {
                "(" | "[" => depth += 1,
                ")" | "]" if depth == 0 => closed_early = true,
                ")" | "]" => depth -= 1,
                _ => {}
            }
        }
        if closed_early {
            break;
        }
        text = inner.trim();
    }
    text
}

/// Without the names of relations before columns, where `alias` is the one relation that is named.
pub fn without_alias(text: &str, alias: &str) -> String {
    let quoted = format!("\"{}\"", alias.replace('"', "\"\""));
    let all: Vec<(usize, &str)> = pieces(text).collect();
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for (place, (at, piece)) in all.iter().enumerate() {
        let dot = all.get(place + 1).filter(|(_, next)| *next == ".");
        let before = place.checked_sub(1).and_then(|b| all.get(b));
        let is_name = *piece == alias || *piece == quoted;
        if let (true, Some((dot_at, _))) = (is_name && before.is_none_or(|(_, b)| *b != "."), dot) {
            out.push_str(text.get(copied..*at).unwrap_or(""));
            copied = dot_at + 1;
        }
    }
    out.push_str(text.get(copied..).unwrap_or(""));
    out
}

/// Names that are called as functions: words right before `(`, unquoted.
pub fn called(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut last: Option<&str> = None;
    for (_, piece) in pieces(text) {
        if let (Some(name), "(") = (last, piece) {
            names.push(unquoted(name));
        }
        last = is_name(piece).then_some(piece);
    }
    names
}

/// Every operator in the text.
pub fn operators(text: &str) -> Vec<&str> {
    let all = pieces(text).map(|(_, piece)| piece);
    all.filter(|piece| piece.chars().all(is_operator)).collect()
}

/// Every constant of the text as it is written: strings with their quotes, numbers.
pub fn constants(text: &str) -> Vec<&str> {
    let all = pieces(text).map(|(_, piece)| piece);
    all.filter(|piece| is_constant(piece)).collect()
}

/// The text with each constant that is not among `written` replaced by what `by` makes of it.
pub fn masked(text: &str, written: &[String], by: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for (at, piece) in pieces(text) {
        if is_constant(piece) && !written.iter().any(|known| known == piece) {
            out.push_str(text.get(copied..at).unwrap_or(""));
            out.push_str(&by(piece));
            copied = at + piece.len();
        }
    }
    out.push_str(text.get(copied..).unwrap_or(""));
    out
}

fn is_constant(piece: &str) -> bool {
    piece.starts_with(|c: char| c == '\'' || c.is_ascii_digit())
        || ["E'", "e'", "$$"]
            .iter()
            .any(|start| piece.starts_with(start))
}

/// Types whose constants are written `date '2024-01-01'`.
const TYPED: [&str; 17] = [
    "date",
    "time",
    "timetz",
    "timestamp",
    "timestamptz",
    "interval",
    "json",
    "jsonb",
    "uuid",
    "inet",
    "cidr",
    "xml",
    "point",
    "box",
    "daterange",
    "tsrange",
    "tstzrange",
];

/// The statement with each `date $1` as `$1::date`: the first is what statistics make of
/// `date '2024-01-01'`, and no SQL.
pub fn with_casts(text: &str) -> String {
    let all: Vec<(usize, &str)> = pieces(text).collect();
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for (place, (at, piece)) in all.iter().enumerate() {
        let is_type = TYPED.iter().any(|name| piece.eq_ignore_ascii_case(name));
        let next = all.get(place + 1).filter(|(_, next)| is_parameter(next));
        // `x.date $1` is nonsense, and `::date $1` too: left for the server to say so.
        let before = place.checked_sub(1).and_then(|before| all.get(before));
        let is_free = before.is_none_or(|(_, before)| *before != "." && *before != "::");
        if let (true, Some((next_at, parameter))) = (is_type && is_free, next) {
            out.push_str(text.get(copied..*at).unwrap_or(""));
            out.push_str(parameter);
            out.push_str("::");
            out.push_str(piece);
            copied = next_at + parameter.len();
        }
    }
    out.push_str(text.get(copied..).unwrap_or(""));
    out
}

fn is_parameter(piece: &str) -> bool {
    piece
        .strip_prefix('$')
        .is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()))
}

/// Whether the statement is a `SELECT … INTO`, which makes a table: an `INTO` that belongs to no
/// `INSERT` and no `MERGE`.
pub fn makes_a_table(text: &str) -> bool {
    let mut last = "";
    for (_, piece) in pieces(text) {
        let after = ["insert", "merge"]
            .iter()
            .any(|word| last.eq_ignore_ascii_case(word));
        if piece.eq_ignore_ascii_case("into") && !after {
            return true;
        }
        last = piece;
    }
    false
}

/// Whether these words follow one another, in any case.
pub fn has_words(text: &str, words: &[&str]) -> bool {
    let all: Vec<&str> = pieces(text).map(|(_, piece)| piece).collect();
    let fits = |run: &[&str]| {
        run.iter()
            .zip(words)
            .all(|(a, b)| a.eq_ignore_ascii_case(b))
    };
    all.windows(words.len().max(1)).any(fits)
}

/// Every word and quoted name of the text, unquoted.
pub fn names(text: &str) -> Vec<String> {
    let all = pieces(text).map(|(_, piece)| piece);
    all.filter(|piece| is_name(piece)).map(unquoted).collect()
}

fn is_name(piece: &str) -> bool {
    piece.starts_with(|c: char| c == '"' || (is_word(c) && !c.is_ascii_digit() && c != '$'))
}

/// As the server's scanner sees it: every sign beyond ASCII may stand in a name.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// A name as the catalog has it: unquoted ones in small letters.
fn unquoted(piece: &str) -> String {
    match piece.strip_prefix('"').and_then(|p| p.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => piece.to_ascii_lowercase(),
    }
}

/// Cuts at a word that stands outside of all parentheses; `BETWEEN … AND …` never reaches a plan.
fn cut<'t>(text: &'t str, word: &str) -> Vec<&'t str> {
    let (mut depth, mut case, mut start) = (0_usize, 0_usize, 0_usize);
    let mut parts = Vec::new();
    for (at, piece) in pieces(text) {
        match piece {
            "(" | "[" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            "CASE" => case += 1,
            "END" => case = case.saturating_sub(1),
            _ if depth == 0 && case == 0 && piece == word => {
                parts.extend(text.get(start..at).map(str::trim));
                start = at + piece.len();
            }
            _ => {}
        }
    }
    parts.extend(text.get(start..).map(str::trim));
    parts
}

/// Where the one operator outside of all parentheses stands.
fn operator(text: &str) -> Option<(usize, usize)> {
    let mut depth = 0_usize;
    for (at, piece) in pieces(text) {
        match piece {
            "(" | "[" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            _ if depth == 0 && at > 0 && piece.chars().all(is_operator) => {
                return Some((at, at + piece.len()));
            }
            _ => {}
        }
    }
    None
}

fn is_operator(c: char) -> bool {
    "+-*/<>=~!@#%^&|`?".contains(c)
}

/// Words, quoted names, strings, operators and signs with their places; blanks and comments left out.
fn pieces(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = text.get(at..)?;
            let c = rest.chars().next()?;
            let start = at;
            let length = length(rest, c);
            at += length;
            let comment = rest.starts_with("--") || rest.starts_with("/*");
            if !c.is_ascii_whitespace() && !comment {
                return Some((start, rest.get(..length)?));
            }
        }
    })
}

fn length(rest: &str, c: char) -> usize {
    let run = |inside: fn(char) -> bool| rest.find(|c| !inside(c)).unwrap_or(rest.len());
    if rest.starts_with("--") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    match c {
        '\'' | '"' => quoted(rest, c, false),
        '$' => dollar(rest),
        // A string with escapes; other prefixes change nothing about where it ends.
        'e' | 'E' if rest.get(1..2) == Some("'") => {
            1 + quoted(rest.get(1..).unwrap_or(""), '\'', true)
        }
        c if c.is_ascii_digit() => run(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_'),
        c if is_word(c) => run(is_word),
        c if is_operator(c) => run(is_operator),
        ':' if rest.starts_with("::") => 2,
        c => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_filter_is_cut_at_its_own_ands_only() {
        let filter = "((lower((t.email)::text) = 'a AND b'::text) AND ((t.a = 1) OR (t.b = 2)) AND \
                      CASE WHEN (t.c AND t.d) THEN true ELSE false END)";
        let parts = conjuncts(filter);
        assert_eq!(parts.len(), 3, "{parts:?}");
        assert_eq!(disjuncts(parts[1]), ["(t.a = 1)", "(t.b = 2)"]);
        let first = comparison(parts[0]).unwrap();
        assert_eq!(first.left, "lower((t.email)::text)");
        assert_eq!(first.operator, "=");
        assert_eq!(first.right, "'a AND b'::text");
        assert_eq!(comparison("(t.a IS NULL)"), None);
        assert_eq!(bare("((a) = (b))"), "(a) = (b)");
    }

    #[test]
    fn relations_before_columns_are_left_out_and_schemas_are_not() {
        assert_eq!(
            without_alias("lower((t.email)::text) || t.t", "t"),
            "lower((email)::text) || t"
        );
        assert_eq!(without_alias("\"Lead\".\"zip\"", "Lead"), "\"zip\"");
        assert_eq!(without_alias("public.t(x.t)", "t"), "public.t(x.t)");
    }

    #[test]
    fn calls_and_operators_are_found_outside_of_strings() {
        let text = "select pg_sleep (1), \"Evil\"(2), 'nextval(1)', $$now()$$ -- setval(1)\n @@ x";
        assert_eq!(called(text), ["pg_sleep", "Evil"]);
        assert_eq!(operators("a @@ b || 'x <> y'"), ["@@", "||"]);
        assert!(names("select \"A b\", C from d").contains(&"A b".to_owned()));
        // A comment between a name and its parenthesis hides nothing.
        assert_eq!(called("pg_sleep/* x /* y */ */(1)"), ["pg_sleep"]);
        assert_eq!(called("\u{1f600}(1)"), ["\u{1f600}"]);
    }

    #[test]
    fn constants_of_a_type_that_became_parameters_are_casts() {
        let text =
            "select date $1 + interval $2, t.date, 'date $3' from t where at < timestamp\n$12";
        assert_eq!(
            with_casts(text),
            "select $1::date + $2::interval, t.date, 'date $3' from t where at < $12::timestamp"
        );
        assert_eq!(with_casts("select $1"), "select $1");
    }

    #[test]
    fn into_makes_a_table_unless_something_is_put_into_one() {
        for (text, makes) in [
            ("select * into x from t", true),
            ("with a as (select 1) SELECT * INTO TEMP x from a", true),
            ("insert /* c */ into t select 'into'", false),
            (
                "with d as (insert into t values (1) returning *) select \"into\" from d",
                false,
            ),
            (
                "merge into t using s on true when matched then do nothing",
                false,
            ),
        ] {
            assert_eq!(makes_a_table(text), makes, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_hangs_or_panics(text in "[a-c.()'\"$/*=\\-ANDOR \\\\1]{0,60}|\\PC{0,40}") {
            for part in conjuncts(&text) {
                let _ = comparison(part);
            }
            let _ = (without_alias(&text, "a"), called(&text), operators(&text));
        }
    }
}
