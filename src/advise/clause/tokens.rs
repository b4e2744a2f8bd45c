//! Tokens of an expression, as the server writes it.

use std::ops::Range;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'t> {
    Word(&'t str),
    Quoted(String),
    Text(&'t str),
    Number(&'t str),
    Parameter(&'t str),
    Operator(&'t str),
    Sign(&'t str),
    Cast,
}

/// Cuts a deparsed expression into its tokens.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    spans(text).into_iter().map(|(_, token)| token).collect()
}

/// As [`tokens`], each with the bytes that it takes in the text.
pub(super) fn spans(text: &str) -> Vec<(Range<usize>, Token<'_>)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            c if c.is_whitespace() => c.len_utf8(),
            '\'' => string_length(rest),
            '"' => quoted_length(rest),
            '$' => 1 + run(tail(rest, 1), |c| c.is_ascii_digit()),
            ':' if rest.starts_with("::") => 2,
            '(' | ')' | '[' | ']' | ',' | '.' => 1,
            c if c.is_ascii_digit() => run(rest, |c| c.is_ascii_alphanumeric() || c == '.'),
            c if c.is_alphabetic() || c == '_' => {
                run(rest, |c| c.is_alphanumeric() || c == '_' || c == '$')
            }
            _ => run(rest, |c| "+-*/<>=~!@#%^&|`?:".contains(c)).max(c.len_utf8()),
        };
        let (piece, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        let start = text.len() - rest.len();
        let place = start..start + piece.len();
        match c {
            c if c.is_whitespace() => {}
            '\'' => found.push((place, Token::Text(piece))),
            '"' => found.push((place, Token::Quoted(unquoted(piece)))),
            '$' => found.push((place, Token::Parameter(piece))),
            ':' if piece == "::" => found.push((place, Token::Cast)),
            '(' | ')' | '[' | ']' | ',' | '.' => found.push((place, Token::Sign(piece))),
            c if c.is_ascii_digit() => found.push((place, Token::Number(piece))),
            c if c.is_alphabetic() || c == '_' => found.push((place, Token::Word(piece))),
            _ => found.push((place, Token::Operator(piece))),
        }
        rest = after;
    }
    found
}

fn tail(text: &str, from: usize) -> &str {
    text.get(from..).unwrap_or("")
}

fn run(text: &str, inside: impl Fn(char) -> bool) -> usize {
    text.find(|c| !inside(c)).unwrap_or(text.len())
}

/// The server writes strings with doubled quotes, and `E''` where there is a backslash.
fn string_length(text: &str) -> usize {
    closing(text, '\'')
}

fn quoted_length(text: &str) -> usize {
    closing(text, '"')
}

fn closing(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return at + 1;
        }
    }
    text.len()
}

fn unquoted(piece: &str) -> String {
    let inner = piece.strip_prefix('"').unwrap_or(piece);
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    inner.replace("\"\"", "\"")
}
