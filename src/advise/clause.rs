//! Reads the conditions of a plan, as the server writes them, into what an index could serve.
//!
//! For: finding out which columns are compared, how, and with what. Not for: SQL as people write
//! it: the server has resolved names, views and aliases before this is asked. What is not
//! understood becomes [`Expression::Other`] and keeps its columns.

mod parser;
mod tokens;

use std::ops::Range;

use parser::{Parser, mixed};
use tokens::{Token, spans, tokens};

/// A column as a plan names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColumnRef {
    /// The relation's alias in the plan.
    pub alias: String,
    /// The column, unquoted.
    pub column: String,
}

/// A condition or a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// A column; `cast` is the type that it is read as, where that is said.
    Column {
        /// Which.
        column: ColumnRef,
        /// The type after `::`.
        cast: Option<String>,
    },
    /// A constant as it stands in the plan, such as `'F'::bpchar`.
    Constant(String),
    /// A parameter or the result of another part of the plan, such as `$1`.
    Parameter(String),
    /// All must hold.
    And(Vec<Expression>),
    /// One must hold.
    Or(Vec<Expression>),
    /// `left op right`; `any` is true for `= ANY (…)`.
    Compare {
        /// The operator's name.
        operator: String,
        /// Left of it.
        left: Box<Expression>,
        /// Right of it.
        right: Box<Expression>,
        /// Compared with each member of an array.
        any: bool,
    },
    /// `IS NULL`, or `IS NOT NULL`.
    Null {
        /// What is looked at.
        of: Box<Expression>,
        /// `IS NOT NULL`.
        not: bool,
    },
    /// `NOT …`.
    Not(Box<Expression>),
    /// Anything else.
    Other {
        /// The columns that it reads.
        columns: Vec<ColumnRef>,
    },
}

impl Expression {
    /// Every column that is read, in order of appearance, with repetitions.
    pub fn columns(&self) -> Vec<&ColumnRef> {
        match self {
            Self::Column { column, .. } => vec![column],
            Self::Constant(_) | Self::Parameter(_) => Vec::new(),
            Self::And(parts) | Self::Or(parts) => parts.iter().flat_map(Self::columns).collect(),
            Self::Compare { left, right, .. } => {
                let mut columns = left.columns();
                columns.extend(right.columns());
                columns
            }
            Self::Null { of, .. } | Self::Not(of) => of.columns(),
            Self::Other { columns } => columns.iter().collect(),
        }
    }
}

/// Reads one condition or one expression. Never fails: see [`Expression::Other`].
pub fn read(text: &str) -> Expression {
    let tokens = tokens(text);
    let mut parser = Parser::new(&tokens);
    let mut expression = parser.infix();
    while parser.peek().is_some() {
        // A tail that was not understood: its columns still count.
        parser.at += usize::from(matches!(parser.peek(), Some(Token::Sign(")" | "]" | ","))));
        let rest = parser.infix();
        expression = mixed(&[expression, rest]);
    }
    expression
}

/// A sort key: its expression, and whether it descends and where nulls stand, as in `DESC NULLS LAST`.
pub fn read_sort_key(text: &str) -> (Expression, String) {
    let mut rest = text.trim_end();
    let mut order: Vec<&str> = Vec::new();
    for suffix in [" NULLS LAST", " NULLS FIRST", " DESC", " ASC"] {
        if let Some(shorter) = rest.strip_suffix(suffix) {
            order.push(suffix);
            rest = shorter;
        }
    }
    order.reverse();
    (read(rest), order.concat())
}

/// A comparison as it stands in a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison<'t> {
    /// Text left of the operator.
    pub left: &'t str,
    /// The operator.
    pub operator: &'t str,
    /// Text right of it, without `ANY`.
    pub right: &'t str,
}

/// The comparisons of a condition that must all hold, by their texts; other parts are left out.
pub fn comparisons(text: &str) -> Vec<Comparison<'_>> {
    let spans = spans(text);
    let mut found = Vec::new();
    let whole = 0..spans.len();
    let mut open = Vec::from([whole]);
    while let Some(part) = open.pop() {
        let part = bare(&spans, part);
        let at_top = top_level(&spans, &part);
        let is_and = |at: &&usize| token_at(&spans, **at) == Some(&Token::Word("AND"));
        let ands: Vec<usize> = at_top.iter().filter(is_and).copied().collect();
        let is_or = at_top
            .iter()
            .any(|at| token_at(&spans, *at) == Some(&Token::Word("OR")));
        if is_or {
            continue;
        }
        if !ands.is_empty() {
            let mut from = part.start;
            let mut parts = Vec::new();
            for at in ands.into_iter().chain([part.end]) {
                parts.push(from..at);
                from = at + 1;
            }
            open.extend(parts.into_iter().rev());
            continue;
        }
        let operators = at_top.iter().filter_map(|at| match token_at(&spans, *at) {
            Some(Token::Operator(operator)) if *at > part.start => Some((*at, *operator)),
            _ => None,
        });
        let operators: Vec<(usize, &str)> = operators.collect();
        if let [(at, operator)] = operators.as_slice() {
            let mut after = at + 1;
            after += usize::from(token_at(&spans, after) == Some(&Token::Word("ANY")));
            let slice = |range: Range<usize>| {
                let range = bare(&spans, range);
                let from = spans.get(range.start).map_or(0, |(place, _)| place.start);
                let to = range.end.checked_sub(1).and_then(|last| spans.get(last));
                text.get(from..to.map_or(from, |(place, _)| place.end))
                    .unwrap_or("")
            };
            found.push(Comparison {
                left: slice(part.start..*at),
                operator,
                right: slice(after..part.end),
            });
        }
    }
    found
}

/// The texts of what an `OR` joins at the top of a condition; the whole where there is none.
pub fn arms(text: &str) -> Vec<&str> {
    let spans = spans(text);
    let part = bare(&spans, 0..spans.len());
    let at_top = top_level(&spans, &part);
    let ors = at_top
        .iter()
        .filter(|at| token_at(&spans, **at) == Some(&Token::Word("OR")));
    let mut from = part.start;
    let mut arms = Vec::new();
    for at in ors.copied().chain([part.end]) {
        let first = spans.get(from).map_or(0, |(place, _)| place.start);
        let last = at.checked_sub(1).and_then(|last| spans.get(last));
        arms.extend(last.and_then(|(place, _)| text.get(first..place.end)));
        from = at + 1;
    }
    arms
}

/// The text without a qualifier such as `l.` in front of its names; strings stay as they are.
pub fn without_qualifier(text: &str, qualifier: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut copied = 0;
    for (place, token) in spans(text) {
        let is_name = matches!(token, Token::Word(_) | Token::Quoted(_));
        if is_name
            && text
                .get(place.start..)
                .is_some_and(|rest| rest.starts_with(qualifier))
        {
            bare.push_str(text.get(copied..place.start).unwrap_or(""));
            copied = place.start + qualifier.len();
        }
    }
    bare.push_str(text.get(copied..).unwrap_or(""));
    bare
}

fn token_at<'s, 't>(spans: &'s [(Range<usize>, Token<'t>)], at: usize) -> Option<&'s Token<'t>> {
    spans.get(at).map(|(_, token)| token)
}

/// Places within `part` that no sign encloses.
fn top_level(spans: &[(Range<usize>, Token<'_>)], part: &Range<usize>) -> Vec<usize> {
    let mut depth = 0_usize;
    let mut found = Vec::new();
    for at in part.clone() {
        match token_at(spans, at) {
            Some(Token::Sign("(" | "[")) => depth += 1,
            Some(Token::Sign(")" | "]")) => depth = depth.saturating_sub(1),
            _ if depth == 0 => found.push(at),
            _ => {}
        }
    }
    found
}

/// Without signs around the whole.
fn bare(spans: &[(Range<usize>, Token<'_>)], mut part: Range<usize>) -> Range<usize> {
    while part.len() > 2
        && token_at(spans, part.start) == Some(&Token::Sign("("))
        && token_at(spans, part.end - 1) == Some(&Token::Sign(")"))
    {
        let inner = part.start + 1..part.end - 1;
        let mut depth = 0_isize;
        for at in inner.clone() {
            match token_at(spans, at) {
                Some(Token::Sign("(")) => depth += 1,
                Some(Token::Sign(")")) => depth -= 1,
                _ => {}
            }
            if depth < 0 {
                return part;
            }
        }
        part = inner;
    }
    part
}

#[cfg(test)]
mod tests;
