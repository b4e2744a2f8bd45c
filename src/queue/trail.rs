//! What was told about a job while it was worked on.

use serde::{Deserialize, Serialize};

use super::Filter;
use super::entry::Entry;
use crate::model::job::{AttemptError, LogLine, Payload};
use crate::model::units::Timestamp;

/// Errors and lines that are kept, the newest.
const ERRORS_MAX: usize = 20;
const LINES_MAX: usize = 100;

/// Errors, lines and progress of a job.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Trail {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) errors: Vec<AttemptError>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) logs: Vec<LogLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) progress: Option<Payload>,
}

impl Trail {
    pub(super) fn add_error(&mut self, error: AttemptError) {
        push(&mut self.errors, error, ERRORS_MAX);
    }

    pub(super) fn add_line(&mut self, line: LogLine) {
        push(&mut self.logs, line, LINES_MAX);
    }
}

fn push<T>(to: &mut Vec<T>, one: T, max: usize) {
    if to.len() >= max {
        to.drain(..=to.len() - max);
    }
    to.push(one);
}

impl Filter {
    /// Whether the filter looks at what is in the trail.
    pub(super) fn needs_trail(&self) -> bool {
        self.error.is_some()
    }

    /// Whether a job is meant, as far as its entry says.
    pub(super) fn fits(&self, entry: &Entry) -> bool {
        let at = entry.finished_at.unwrap_or(entry.created_at);
        self.name.as_ref().is_none_or(|name| *name == entry.name)
            && self.from.is_none_or(|from| at >= from)
            && self.until.is_none_or(|until| at < until)
    }

    /// Whether a job is meant, as far as its trail says.
    pub(super) fn fits_trail(&self, trail: &Trail) -> bool {
        let Some(wanted) = &self.error else {
            return true;
        };
        let wanted = wanted.to_lowercase();
        let says = |text: &str| text.to_lowercase().contains(&wanted);
        trail.errors.last().is_some_and(|error| {
            says(&error.failure.message) || error.failure.name.as_deref().is_some_and(says)
        })
    }
}

/// The failure of an attempt that was not told by its worker.
pub(super) fn unheard(name: &str, message: String) -> crate::model::job::Failure {
    crate::model::job::Failure {
        name: Some(name.to_owned()),
        message,
        ..crate::model::job::Failure::default()
    }
}

/// The error that a failure leaves.
pub(super) fn error_of(
    entry: &Entry,
    failure: &crate::model::job::Failure,
    now: Timestamp,
) -> AttemptError {
    AttemptError {
        attempt: entry.started,
        at: now,
        worker: entry.worker.clone(),
        failure: failure.clone().cut(),
    }
}
