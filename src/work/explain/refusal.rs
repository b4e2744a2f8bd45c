//! Why a statement is not explained, each reason with a word that never changes.

use crate::advise::script;
use crate::postgres;

/// Why a statement is not explained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It is not one statement that can be planned.
    #[error(transparent)]
    Statement(#[from] script::Refusal),
    /// Values and parameters do not fit.
    #[error(
        "the statement has {wanted} parameters and params has {given} values; give one for each, in order"
    )]
    Parameters {
        /// Parameters of the statement.
        wanted: usize,
        /// Values that were given.
        given: usize,
    },
    /// It was to be run, which is not configured.
    #[error(
        "statements are not run here; set explain.analyze = true in the configuration, or ask without analyze"
    )]
    AnalyzeOff,
    /// It was to be run, and its parameters have no values.
    #[error("a statement with parameters is run with their values only; give params")]
    ParamsNeeded,
    /// It was to be run, and might do more than read.
    #[error("the statement is not run: {0}; ask without analyze")]
    Harmful(String),
    /// The server does not take it.
    #[error("the server refuses the statement ({code}): {detail}")]
    Refused {
        /// SQLSTATE.
        code: String,
        /// What the server says.
        detail: String,
    },
    /// The role may not read what it reads.
    #[error(
        "the role may not plan the statement: {0}; GRANT SELECT on it to the role, or on 14 and later GRANT pg_read_all_data"
    )]
    Denied(String),
    /// Somebody holds or waits for a lock on one of its tables.
    #[error(
        "a table of the statement is locked, as by ALTER TABLE; nothing waits for it here, ask again later"
    )]
    Locked,
    /// Planning took too long.
    #[error("planning took longer than {0} ms and was stopped; raise explain.timeout")]
    Slow(u64),
    /// The server does not answer, or not as it must.
    #[error(transparent)]
    Server(postgres::Error),
}

/// Sorts of refusals, each with a word that never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each stands for the refusal of the same name")]
pub enum Why {
    Empty,
    Several,
    NotPlannable,
    TooLong,
    BadParameters,
    AnalyzeOff,
    ParamsNeeded,
    Harmful,
    Refused,
    Denied,
    Locked,
    Slow,
    NoServer,
}

impl Why {
    /// The word.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Empty => "no-statement",
            Self::Several => "several-statements",
            Self::NotPlannable => "not-plannable",
            Self::TooLong => "statement-too-long",
            Self::BadParameters => "bad-params",
            Self::AnalyzeOff => "analyze-off",
            Self::ParamsNeeded => "params-needed",
            Self::Harmful => "not-harmless",
            Self::Refused => "statement-refused",
            Self::Denied => "no-rights",
            Self::Locked => "table-locked",
            Self::Slow => "planning-too-slow",
            Self::NoServer => "target-down",
        }
    }
}

impl Refusal {
    /// Of which sort it is.
    pub const fn why(&self) -> Why {
        match self {
            Self::Statement(script::Refusal::Empty) => Why::Empty,
            Self::Statement(script::Refusal::Several) => Why::Several,
            Self::Statement(script::Refusal::Long { .. }) => Why::TooLong,
            Self::Statement(_) => Why::NotPlannable,
            Self::Parameters { .. } => Why::BadParameters,
            Self::AnalyzeOff => Why::AnalyzeOff,
            Self::ParamsNeeded => Why::ParamsNeeded,
            Self::Harmful(_) => Why::Harmful,
            Self::Refused { .. } => Why::Refused,
            Self::Denied(_) => Why::Denied,
            Self::Locked => Why::Locked,
            Self::Slow(_) => Why::Slow,
            Self::Server(_) => Why::NoServer,
        }
    }
}

impl From<postgres::Error> for Refusal {
    fn from(error: postgres::Error) -> Self {
        use postgres::{Error as Server, STATEMENT};
        match error {
            Server::Query {
                part: STATEMENT,
                code,
                detail,
            } => Self::Refused { code, detail },
            Server::Denied {
                part: STATEMENT,
                detail,
                ..
            } => Self::Denied(detail),
            Server::LockTimeout { part: STATEMENT } => Self::Locked,
            Server::StatementTimeout {
                part: STATEMENT,
                after,
            } => Self::Slow(after.0),
            other => Self::Server(other),
        }
    }
}
