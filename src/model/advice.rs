//! What an index advisor says: what to build, what to drop, what it rests on.
//!
//! For: values with the names and units that programs read. Not for: finding them (`advise`) or
//! showing them (`cli`, `http`). Costs are the planner's units, each statement's counted as often as
//! it is called.

use serde::{Deserialize, Serialize};

/// Advice on the indexes of one database for one workload.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Advice {
    /// The target's name.
    pub target: String,
    /// What costs rest on: `hypopg 1.4.1`, or `estimate` where nothing could be planned with
    /// hypothetical indexes.
    pub basis: String,
    /// The workload's cost as it is.
    pub cost_before: f64,
    /// The workload's cost with all of `indexes`.
    pub cost_after: f64,
    /// Plans that were asked for.
    pub explains: u64,
    /// How long it took.
    pub seconds: f64,
    /// Bytes that `indexes` may take together; `None` without a budget.
    pub budget_bytes: Option<u64>,
    /// Bytes that `indexes` are expected to take.
    pub size_bytes: u64,
    /// What to build, best gain per byte first.
    pub indexes: Vec<NewIndex>,
    /// What to drop.
    pub drop: Vec<Drop>,
    /// Statements whose plans change in a way that may not pay.
    pub worse: Vec<Worse>,
    /// Indexes that might help and whose cost nobody could plan.
    pub not_costed: Vec<NotCosted>,
    /// Statements that were left out.
    pub skipped: Vec<Skipped>,
    /// How the answer became better.
    pub curve: Vec<Point>,
    /// Real times with and without `indexes`, where they were verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// What a set of indexes did to real times, in a scratch database.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Proof {
    /// Name of the scratch database.
    pub scratch: String,
    /// Time of all statements that ended without the indexes and with them, as often as they are
    /// called, in ms; the least of each one's runs.
    pub before_ms: f64,
    /// The same, with the indexes that were kept.
    pub after_ms: f64,
    /// Bytes of the kept indexes as built.
    pub built_bytes: u64,
    /// Runs of each statement on either side.
    pub runs: u32,
    /// How long it all took.
    pub seconds: f64,
    /// Each statement before and after.
    pub statements: Vec<Timed>,
    /// What was kept.
    pub kept: Vec<Kept>,
    /// What was taken out of the set, and why.
    pub dropped: Vec<Unkept>,
    /// Statements that were not run.
    pub skipped: Vec<Skipped>,
    /// What the reader should know of the scratch database.
    pub notes: Vec<String>,
}

/// One statement without and with the kept indexes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Timed {
    /// Its name in the workload.
    pub name: String,
    /// Least time without them, in ms.
    pub before_ms: f64,
    /// Least time with them, in ms.
    pub after_ms: f64,
    /// Blocks looked at without them.
    pub before_blocks: f64,
    /// Blocks looked at with them.
    pub after_blocks: f64,
    /// Without them it ran into the limit: it takes at least `before_ms`, and is not in the sums.
    pub is_cut: bool,
}

/// An index that was kept.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Kept {
    /// The statement that builds it without blocking writes.
    pub ddl: String,
    /// Bytes that were promised.
    pub size_bytes: u64,
    /// Bytes as built.
    pub built_bytes: u64,
    /// What its statements would take more without it, as often as they are called, in ms.
    pub saves_ms: f64,
}

/// An index that was taken out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Unkept {
    /// The statement that would build it.
    pub ddl: String,
    /// Why it was taken out.
    pub reason: String,
}

/// An index to build.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NewIndex {
    /// The statement that builds it without blocking writes.
    pub ddl: String,
    /// `schema.table`, unquoted.
    pub table: String,
    /// Key columns in order, unquoted.
    pub keys: Vec<String>,
    /// For each key column its class of operators and direction where they are not the default, such
    /// as `DESC` or `text_pattern_ops`.
    #[serde(default)]
    pub key_options: Vec<String>,
    /// `INCLUDE` columns, unquoted.
    pub include: Vec<String>,
    /// Predicate of a partial index.
    pub predicate: Option<String>,
    /// Bytes on disk right after it is built.
    pub size_bytes: u64,
    /// What the workload would cost more without it, all others there.
    pub gain: f64,
    /// What keeping it up adds to the workload's writes, in the same units.
    pub write_cost: f64,
    /// Share of the table's updates that were HOT and would not be any more; 0 to 1.
    pub lost_hot_ratio: f64,
    /// Statements that use it.
    pub statements: Vec<StatementCost>,
}

/// One run of a statement, before and after.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StatementCost {
    /// Its name in the workload.
    pub name: String,
    /// Its cost as it is.
    pub before: f64,
    /// Its cost with all new indexes.
    pub after: f64,
}

/// An index to drop.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Drop {
    /// The statement that drops it without blocking writes.
    pub ddl: String,
    /// `schema.table`, unquoted.
    #[serde(default)]
    pub table: String,
    /// Why it can go.
    pub reason: String,
    /// Its bytes on disk.
    pub frees_bytes: u64,
}

/// A statement that may not gain in time what it gains in cost.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Worse {
    /// Its name in the workload.
    pub name: String,
    /// What becomes worse: `cost`, `blocks` or `workers`.
    pub what: String,
    /// As it is.
    pub before: f64,
    /// With all new indexes.
    pub after: f64,
}

/// An index whose use nobody could plan.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NotCosted {
    /// The statement that would build it.
    pub ddl: String,
    /// `schema.table`, unquoted.
    #[serde(default)]
    pub table: String,
    /// The statement of the workload that it is for.
    pub statement: String,
    /// Why it might help, and what to look at.
    pub reason: String,
}

/// A statement that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Skipped {
    /// Its name in the workload.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// The best answer at some point of the search.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Point {
    /// Plans asked for so far.
    pub explains: u64,
    /// Seconds since the beginning.
    pub seconds: f64,
    /// The workload's cost with the best set so far.
    pub cost: f64,
}
