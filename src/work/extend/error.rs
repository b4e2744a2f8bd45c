//! Why a series of a file has no answer, and why a run over the file ended early.

use std::io;

use crate::exchange;
use crate::exchange::sequence::Bad;
use crate::forecast;

/// Why one series has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Its rows.
    #[error(transparent)]
    Rows(#[from] Bad),
    /// Its values.
    #[error("series {name:?}, from line {line}: {why}")]
    Forecast {
        /// The series.
        name: String,
        /// Where it begins.
        line: u64,
        /// Why.
        why: forecast::Error,
    },
    /// Its step.
    #[error("series {name:?}, from line {line}: {why}")]
    Uneven {
        /// The series.
        name: String,
        /// Where it begins.
        line: u64,
        /// Why.
        why: Uneven,
    },
}

/// Why values cannot be taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Uneven {
    /// Nobody knows what a step is.
    #[error("how long a step is, is not known; give ts, or --step")]
    Unknown,
    /// No number of steps is that long.
    #[error("its step of {step_ms} ms does not divide the {every_ms} ms that are asked for")]
    Odd {
        /// That of the series.
        step_ms: u64,
        /// What was asked.
        every_ms: u64,
    },
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read on.
    #[error(transparent)]
    Read(#[from] exchange::Error),
    /// A series cannot be used.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A threshold is given for a series that is not there.
    #[error(
        "the thresholds name series {series:?}, which the input does not hold{more}; correct or \
         remove it", more = if *.others > 0 { format!(" (nor {others} others)") } else { String::new() }
    )]
    Unknown {
        /// The first of them, in order of name.
        series: String,
        /// How many more.
        others: usize,
    },
    /// An answer cannot be written.
    #[error("the answers cannot be written")]
    Write(#[source] io::Error),
    /// No thread to read with.
    #[error("no thread can be started; see the limit of processes (ulimit -u)")]
    Thread(#[source] io::Error),
}

impl Refusal {
    pub(super) fn spoils_others(&self) -> bool {
        matches!(self, Self::Rows(bad) if bad.spoils_others())
    }
}
