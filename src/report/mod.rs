//! Shows what is known: a page that opens offline, Markdown, and a portable archive.
//!
//! For: turning one [`ReportInput`] into HTML, Markdown, JSON and an SQLite file,
//! always the same bytes for the same input. Not for: gathering that input (`work::report`), and not
//! for fitting, ranking or judging: forecasts, findings and bottlenecks come in ready-made. The
//! only judgement made here is the summary, [`verdict()`] and [`headroom()`].
//!
//! Read [`headroom`](mod@headroom) and [`verdict`](mod@verdict) first, then `html`, which shows everything, and `chart`, which draws.

pub mod chart;
pub mod explain;
mod format;
pub mod headroom;
pub mod html;
pub mod jobs;
pub mod json;
pub mod markdown;
mod months;
mod pattern;
mod review;
pub mod sqlite;
pub mod verdict;
mod words;

#[cfg(test)]
mod fixture;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::capacity::{Projection, SyntheticSpan};
use crate::model::database::{BlindSpot, PoolUsage, Server, Statement};
use crate::model::finding::{Alert, Bottleneck, Finding, Silenced};
use crate::model::outcome::Review;
use crate::model::target::Reach;
use crate::model::units::Timestamp;

pub use format::Format;
pub use headroom::{HeadroomRow, When, headroom};
pub use verdict::{NextLimit, Standing, Verdict, verdict};
pub(crate) use words::change as signed;

/// Everything that a report shows, from the live store or from an archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportInput {
    /// When it was put together; every age and every "in 47 d" counts from here.
    pub made_at: Timestamp,
    /// The program and version that put it together, such as `plimsoll 0.1.0`.
    pub generator: String,
    /// One a watched target, in the order to show them.
    pub targets: Vec<TargetReport>,
}

/// What is known of one target.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TargetReport {
    /// Its configured name.
    pub name: String,
    /// The server itself; `None` where it never answered.
    pub server: Option<Server>,
    /// Whether it answers.
    pub reach: Reach,
    /// When it last answered.
    pub last_scrape_at: Option<Timestamp>,
    /// What was recorded of it.
    pub data: DataExtent,
    /// One a resource.
    pub projections: Vec<Projection>,
    /// Forecast against actual, one a resource.
    pub reviews: Vec<Review>,
    /// What to mend, worst first.
    pub findings: Vec<Finding>,
    /// Found as well, and silenced by somebody: counted, not shown. An archive leaves them out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub silenced: Vec<Silenced>,
    /// Where it is held up, worst first.
    pub bottlenecks: Vec<Bottleneck>,
    /// Thresholds passed, worst first.
    pub alerts: Vec<Alert>,
    /// What could not be read.
    pub blind_spots: Vec<BlindSpot>,
    /// The statements that took the most time, most first.
    pub statements: Vec<Statement>,
    /// Active sessions over the last hour: wait class to share of all samples, most first.
    pub wait_shares: Vec<(String, f64)>,
    /// Connections in use.
    pub pool: Option<PoolUsage>,
    /// Share of one core that being watched costs the server, if measured.
    pub own_cost: Option<f64>,
}

impl TargetReport {
    /// The made-up part of its history; the widest span where resources differ.
    pub fn synthetic(&self) -> Option<SyntheticSpan> {
        self.projections
            .iter()
            .filter_map(|projection| projection.synthetic)
            .reduce(|a, b| SyntheticSpan {
                from: a.from.min(b.from),
                until: a.until.max(b.until),
            })
    }
}

/// How much was recorded of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataExtent {
    /// The oldest sample kept; `None` where there is none.
    pub from: Option<Timestamp>,
    /// The newest sample.
    pub until: Option<Timestamp>,
    /// Series kept.
    pub series: u64,
    /// Samples kept, over all series and tiers.
    pub samples: u64,
}

/// What can go wrong with a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system refused.
    #[error("{} could not be {doing}", path.display())]
    Io {
        /// `read` or `written`.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file that is no SQLite database at all.
    #[error("{} is no archive: it is not an SQLite file; write one with `plimsoll report --format sqlite`", path.display())]
    NotAnArchive {
        /// Which file.
        path: PathBuf,
    },
    /// An SQLite database of another program.
    #[error("{} is an SQLite file, but not one that Plimsoll wrote; write one with `plimsoll report --format sqlite`", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
    },
    /// A file shorter than its own header says.
    #[error("{} is cut off: {have} of {want} bytes are there; copy it again from where it was written", path.display())]
    Truncated {
        /// Which file.
        path: PathBuf,
        /// Bytes that are there.
        have: u64,
        /// Bytes that its header speaks of.
        want: u64,
    },
    /// An archive of a later version of this program.
    #[error("{} has archive format {found}, and this version reads up to {known}; read it with a newer plimsoll", path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format known here.
        known: i64,
    },
    /// An archive whose contents contradict themselves.
    #[error("{} is damaged: {what}; copy it again from where it was written", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// SQLite refused, for a reason that is not the file's content.
    #[error("SQLite could not work on {}", path.display())]
    Sqlite {
        /// Which file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The input cannot be written as JSON.
    #[error("the report cannot be written as JSON")]
    Json(#[source] serde_json::Error),
}

/// A result of this module.
pub type Result<T> = std::result::Result<T, Error>;
