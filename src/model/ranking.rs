//! What statements cost over a span of time, from their counters in the history.
//!
//! For: rankings, one statement's history, marks of deploys. Not for: reading them (`work`).

use serde::{Deserialize, Serialize};

use super::structure::Slowdown;
use super::units::Timestamp;

/// What statements are ranked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Time of all calls.
    #[default]
    Total,
    /// Time of a call.
    Mean,
    /// Calls.
    Calls,
    /// Blocks read from outside the buffers.
    Io,
    /// Temporary blocks written.
    Temp,
    /// Bytes of WAL.
    Wal,
    /// Rows given or changed.
    Rows,
}

impl By {
    /// All, with the names used in flags and queries.
    pub const NAMES: [(&'static str, Self); 7] = [
        ("total", Self::Total),
        ("mean", Self::Mean),
        ("calls", Self::Calls),
        ("io", Self::Io),
        ("temp", Self::Temp),
        ("wal", Self::Wal),
        ("rows", Self::Rows),
    ];

    /// The name used in flags and queries.
    pub fn name(self) -> &'static str {
        let mut names = Self::NAMES.iter();
        names
            .find(|(_, by)| *by == self)
            .map_or("total", |(name, _)| name)
    }
}

/// What was counted over a span.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counted {
    /// Calls.
    pub calls: f64,
    /// Time of all calls, in ms.
    pub total_ms: f64,
    /// Time of a call, in ms; `None` without calls.
    pub mean_ms: Option<f64>,
    /// Rows given or changed.
    pub rows: f64,
    /// Blocks found in the buffers.
    pub shared_blks_hit: f64,
    /// Blocks read from outside.
    pub shared_blks_read: f64,
    /// Temporary blocks written.
    pub temp_blks_written: f64,
    /// Bytes of WAL.
    pub wal_bytes: f64,
    /// Time spent reading blocks, in ms; 0 unless the server times it.
    pub blk_read_ms: f64,
}

impl Counted {
    /// The figure that `by` ranks.
    pub fn of(&self, by: By) -> f64 {
        match by {
            By::Total => self.total_ms,
            By::Mean => self.mean_ms.unwrap_or(0.0),
            By::Calls => self.calls,
            By::Io => self.shared_blks_read,
            By::Temp => self.temp_blks_written,
            By::Wal => self.wal_bytes,
            By::Rows => self.rows,
        }
    }

    /// Blocks touched a call; `None` without calls.
    pub fn blocks_per_call(&self) -> Option<f64> {
        let all = self.shared_blks_hit + self.shared_blks_read;
        (self.calls > 0.0).then(|| all / self.calls)
    }
}

/// One statement of a ranking.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatementUse {
    /// `queryid`; a text, since its 64 bits are more than a JSON reader may keep.
    pub queryid: String,
    /// Normalised text; `None` where it is not known any more.
    pub query: Option<String>,
    /// Database.
    pub database: String,
    /// Role.
    pub role: String,
    /// Share of what all statements of the ranking come to, 0 to 1; `None` for means.
    pub share: Option<f64>,
    /// What was counted.
    #[serde(flatten)]
    pub counted: Counted,
}

/// Statements over a span, the most of what is ranked first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ranking {
    /// The target's name.
    pub target: String,
    /// Start of the span.
    pub from: String,
    /// Its end.
    pub until: String,
    /// What is ranked.
    pub by: By,
    /// How many statements ran in the span.
    pub ran: usize,
    /// The first of them.
    pub statements: Vec<StatementUse>,
    /// Statements that became slower, as of the last comparison.
    pub slower: Vec<Slower>,
}

/// A statement that became slower, for people and programs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slower {
    /// `queryid` as a text.
    pub queryid: String,
    /// Normalised text, if known.
    pub query: Option<String>,
    /// What it is compared with.
    pub against: String,
    /// Mean time then, in ms.
    pub mean_ms_then: f64,
    /// Mean time now, in ms.
    pub mean_ms_now: f64,
    /// Blocks a call then.
    pub blocks_then: f64,
    /// Blocks a call now.
    pub blocks_now: f64,
}

impl Slower {
    /// With the text of the statement.
    pub fn new(slowdown: &Slowdown, query: Option<String>) -> Self {
        Self {
            queryid: slowdown.query_id.to_string(),
            query,
            against: slowdown.against.clone(),
            mean_ms_then: slowdown.mean_ms.0,
            mean_ms_now: slowdown.mean_ms.1,
            blocks_then: slowdown.blocks_per_call.0,
            blocks_now: slowdown.blocks_per_call.1,
        }
    }
}

/// One statement over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatementHistory {
    /// The target's name.
    pub target: String,
    /// `queryid` as a text.
    pub queryid: String,
    /// Normalised text, if known.
    pub query: Option<String>,
    /// What it was called before an upgrade of the server; those are added up, too.
    #[serde(default)]
    pub before: Vec<String>,
    /// Databases and roles that ran it, added up.
    pub ran_by: Vec<String>,
    /// Length of a step, in ms.
    pub step_ms: u64,
    /// All of the span.
    pub total: Counted,
    /// Steps in order; those without a call have zeros.
    pub points: Vec<StatementPoint>,
    /// What it is slower than, as of the last comparison.
    pub slower: Vec<Slower>,
}

/// One step of a statement's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatementPoint {
    /// Start of the step.
    pub at: String,
    /// What was counted in it.
    #[serde(flatten)]
    pub counted: Counted,
}

/// Something was deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deploy {
    /// What it is called, such as a version.
    pub name: String,
    /// When.
    pub at: Timestamp,
}
