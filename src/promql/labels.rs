//! Label sets as operations change them, and the patterns that are held against them.

use std::collections::BTreeSet;

use regex::{Regex, RegexBuilder};

use super::value::Row;
use super::{Error, NAME, Result};
use crate::model::series::Labels;

/// Bytes that a compiled pattern may take.
const PATTERN_BYTES: usize = 1 << 20;

/// A pattern that must match a whole text, as Prometheus anchors them.
pub(super) fn pattern(text: &str) -> Result<Regex> {
    let refused = |why: regex::Error| {
        let reason = match why {
            regex::Error::CompiledTooBig(_) => "it is too large; write a simpler one".to_owned(),
            other => other.to_string(),
        };
        Error::Pattern(format!("the pattern {text:?} cannot be used: {reason}"))
    };
    let build = |text: &str| {
        RegexBuilder::new(text)
            .size_limit(PATTERN_BYTES)
            .dfa_size_limit(PATTERN_BYTES)
            .nest_limit(64)
            .build()
            .map_err(refused)
    };
    // By itself first: `a)|(b` is a pattern only between the brackets of the anchors.
    build(text)?;
    build(&format!("^(?:{text})$"))
}

/// What is left of a label set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Keep {
    /// Only these.
    Only(BTreeSet<String>),
    /// All but these; never the metric.
    Without(BTreeSet<String>),
}

impl Keep {
    /// The labels that are left.
    pub(super) fn of(&self, labels: &Labels) -> Labels {
        let kept = labels.iter().filter(|(name, _)| match self {
            Self::Only(names) => names.contains(*name),
            Self::Without(names) => *name != NAME && !names.contains(*name),
        });
        kept.map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

/// The labels without the metric.
pub(super) fn nameless(labels: Labels) -> Labels {
    labels.with(NAME, "")
}

/// Refuses rows that would be one series.
pub(super) fn distinct(rows: Vec<Row>) -> Result<Vec<Row>> {
    let mut seen: Vec<&Labels> = rows.iter().map(|row| &row.labels).collect();
    seen.sort_unstable();
    if seen.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
        return Err(Error::Execution(
            "vector cannot contain metrics with the same labelset".to_owned(),
        ));
    }
    Ok(rows)
}

/// `label_replace` on one set: `target` becomes `template` where `of` matches as a whole.
pub(super) fn replace(
    labels: Labels,
    target: &str,
    template: &str,
    of: &str,
    pattern: &Regex,
) -> Labels {
    let source = labels.get(of).unwrap_or("").to_owned();
    let Some(captures) = pattern.captures(&source) else {
        return labels;
    };
    let mut value = String::new();
    captures.expand(template, &mut value);
    labels.with(target.to_owned(), value)
}

/// Whether a text can name a label.
pub(super) fn is_name(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(word)
}
