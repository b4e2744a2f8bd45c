//! What workers tell about their attempts.

use serde::{Deserialize, Serialize};

use crate::model::units::{Millis, Timestamp};

/// Bytes of a message, and of a stack, that are kept.
const MESSAGE_MAX: usize = 2 << 10;
const STACK_MAX: usize = 2 << 10;
const LINE_MAX: usize = 512;

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// What kind of error it was: `TimeoutError`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it said.
    #[serde(default)]
    pub message: String,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// Whether another attempt makes sense; its queue decides if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
    /// The least wait before another attempt, in ms; up to a day counts.
    #[serde(
        default,
        rename = "retryAfter",
        skip_serializing_if = "Option::is_none"
    )]
    pub retry_after: Option<Millis>,
}

impl Failure {
    /// A failure that is worth another attempt.
    pub fn of(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            ..Self::default()
        }
    }

    /// The same with texts cut to what is kept.
    #[must_use]
    pub fn cut(mut self) -> Self {
        cut(&mut self.message, MESSAGE_MAX);
        if let Some(name) = &mut self.name {
            cut(name, 256);
        }
        if let Some(stack) = &mut self.stack {
            cut(stack, STACK_MAX);
        }
        self
    }
}

pub(super) fn cut(text: &mut String, max: usize) {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max));
    }
}

/// An attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptError {
    /// Which attempt of all that were begun, from 1.
    pub attempt: u32,
    /// When it failed.
    pub at: Timestamp,
    /// Whose it was.
    pub worker: String,
    /// Why.
    #[serde(flatten)]
    pub failure: Failure,
}

/// A line that a worker noted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When.
    pub at: Timestamp,
    /// What.
    pub text: String,
}

impl LogLine {
    /// A line, cut to what is kept.
    pub fn new(at: Timestamp, mut text: String) -> Self {
        cut(&mut text, LINE_MAX);
        Self { at, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_signs() {
        let failure = Failure::of("é".repeat(MESSAGE_MAX)).cut();
        assert_eq!(failure.message.len(), MESSAGE_MAX);
        let odd = Failure::of(format!("a{}", "é".repeat(MESSAGE_MAX))).cut();
        assert_eq!(odd.message.len(), MESSAGE_MAX - 1);
    }
}
