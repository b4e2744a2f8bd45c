//! Upkeep of a target's tables: what may be written, what was done, and what it changed.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::units::Timestamp;

/// A kind of write that an operator may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WriteClass {
    /// `VACUUM` and `ANALYZE`: nothing that a statement could see.
    Vacuum,
    /// Old rows moved, copied or deleted.
    Archive,
}

impl WriteClass {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Vacuum, Self::Archive];

    /// As the configuration writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vacuum => "vacuum",
            Self::Archive => "archive",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

impl fmt::Display for WriteClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A table, with all its partitions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TableState {
    /// Live rows, as the statistics count them.
    pub live_rows: u64,
    /// Dead rows, as the statistics count them.
    pub dead_rows: u64,
    /// Rows changed since the last `ANALYZE`.
    pub changed_rows: u64,
    /// Bytes of the table, TOAST included.
    pub table_bytes: u64,
    /// Bytes of its indexes.
    pub index_bytes: u64,
    /// Transactions since its oldest row that is not frozen.
    pub xid_age: u64,
}

/// Whose snapshot keeps dead rows from being removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// The server's process.
    pub pid: i32,
    /// What it calls itself.
    pub application: String,
    /// What it does: `active`, `idle in transaction`, …
    pub state: String,
    /// How long its transaction has been open, ms.
    pub open_ms: u64,
}

/// A table that was vacuumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Vacuumed {
    /// As SQL writes it.
    pub table: String,
    /// Before.
    pub before: TableState,
    /// After.
    pub after: TableState,
    /// How long it took, ms.
    pub took_ms: u64,
    /// Who keeps the dead rows that are left, where there are any.
    pub held_by: Option<Holder>,
}

/// What becomes of old rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Copied to the destination, compared there, then deleted.
    Move,
    /// Copied to the destination; they stay where they are.
    Copy,
    /// Deleted.
    Delete,
}

/// Which rows are old, and what becomes of them; the specification's `DataArchivalPolicy` and more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArchivalPolicy {
    /// The table, as it is called or as SQL writes it.
    pub table: String,
    /// Age in days from which a row is old, 1 to 36,500.
    pub archive_after_days: u32,
    /// What becomes of them.
    pub archive_strategy: Strategy,
    /// Table of the same database that takes them; made if it is not there.
    #[serde(default)]
    pub archive_destination: Option<String>,
    /// Age in days from which rows of the destination are deleted.
    #[serde(default)]
    pub retention_days: Option<u32>,
    /// Whether anything is done at all.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The column that tells how old a row is; found where only one can be meant.
    #[serde(default)]
    pub column: Option<String>,
    /// Rows of one transaction, 1 to 10,000.
    #[serde(default = "batch_rows")]
    pub batch_rows: u32,
    /// Rows of one run; all if left out.
    #[serde(default)]
    pub max_rows: Option<u64>,
}

const fn yes() -> bool {
    true
}

const fn batch_rows() -> u32 {
    1_000
}

/// What is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct PolicyError {
    /// The field.
    pub field: &'static str,
    /// What to write.
    pub message: &'static str,
}

/// A hundred years.
const DAYS_MAX: u32 = 36_500;

impl ArchivalPolicy {
    /// Refuses what cannot be meant; a day or a destination that is wrong would cost rows.
    ///
    /// # Errors
    /// The first field that cannot be meant.
    pub fn check(&self) -> Result<(), PolicyError> {
        let wrong = |field, message| Err(PolicyError { field, message });
        let days = 1..=DAYS_MAX;
        if self.table.trim().is_empty() {
            return wrong("table", "a name is missing");
        }
        if !days.contains(&self.archive_after_days) {
            return wrong("archiveAfterDays", "write 1 to 36500 days");
        }
        if !(1..=10_000).contains(&self.batch_rows) {
            return wrong("batchRows", "write 1 to 10000 rows");
        }
        if self.max_rows == Some(0) {
            return wrong("maxRows", "write 1 or more, or leave it out");
        }
        let has_place = self
            .archive_destination
            .as_ref()
            .is_some_and(|place| !place.trim().is_empty());
        match (self.archive_strategy, has_place) {
            (Strategy::Delete, true) => {
                return wrong(
                    "archiveDestination",
                    "delete keeps nothing; write \"move\", or leave it out",
                );
            }
            (Strategy::Move | Strategy::Copy, false) => {
                return wrong(
                    "archiveDestination",
                    "name the table that takes the rows, such as archive.event",
                );
            }
            _ => {}
        }
        match self.retention_days {
            Some(_) if !has_place => wrong(
                "retentionDays",
                "it is about the destination's rows; name one in archiveDestination",
            ),
            Some(kept) if !days.contains(&kept) || kept <= self.archive_after_days => wrong(
                "retentionDays",
                "write more days than archiveAfterDays, up to 36500",
            ),
            _ => Ok(()),
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArchivalStatus {
    /// Nothing old is left but what cannot go.
    Success,
    /// Some rows were done before it stopped.
    Partial,
    /// Nothing was done.
    Failed,
}

/// What a run did; the specification's `DataArchivalResult` and more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchivalResult {
    /// As SQL writes it.
    pub table: String,
    /// Rows that the destination took.
    pub records_archived: u64,
    /// Rows that the table lost.
    pub records_deleted: u64,
    /// Rows that the destination lost by its retention.
    pub records_expired: u64,
    /// Old rows that are still there: referenced by others, locked, or beyond `maxRows`; `None` where
    /// counting them takes too long.
    pub records_left: Option<u64>,
    /// When it began.
    #[serde(with = "iso")]
    pub start_time: Timestamp,
    /// When it ended.
    #[serde(with = "iso")]
    pub end_time: Timestamp,
    /// How.
    pub status: ArchivalStatus,
    /// What went wrong.
    pub errors: Vec<String>,
    /// What to know.
    pub notes: Vec<String>,
}

/// What a run would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchivalPreview {
    /// As SQL writes it.
    pub table: String,
    /// The column that tells how old a row is.
    pub column: String,
    /// Rows older than this are old.
    #[serde(with = "iso")]
    pub before: Timestamp,
    /// How many those are.
    pub rows: u64,
    /// How many of them stay, since other tables refer to them.
    pub referenced: u64,
    /// What the others take, by the table's mean row.
    pub bytes: u64,
    /// As SQL writes it; `None` where they are deleted.
    pub destination: Option<String>,
    /// Whether it has to be made.
    pub makes_destination: bool,
    /// What to know.
    pub notes: Vec<String>,
}

/// A write to a target, as it is told afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// When it began.
    #[serde(with = "iso")]
    pub at: Timestamp,
    /// When it ended; `None` while it runs, or where the program ended before it did.
    #[serde(with = "iso_if_any")]
    pub ended_at: Option<Timestamp>,
    /// Who had it done: a job by queue and id.
    pub by: String,
    /// The target.
    pub target: String,
    /// The role that wrote.
    pub role: String,
    /// The kind.
    pub class: WriteClass,
    /// The table, as SQL writes it.
    pub table: String,
    /// What was to be done, in words.
    pub what: String,
    /// What became of it.
    pub outcome: AuditOutcome,
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "state", content = "detail")]
pub enum AuditOutcome {
    /// It runs, or the program ended before it did.
    Started,
    /// It was done; says what.
    Done(String),
    /// It failed; says why.
    Failed(String),
}

/// Instants as ISO 8601, as programs and people read them.
mod iso {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::model::units::Timestamp;

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature that serde asks for"
    )]
    pub(super) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(at)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(from)?;
        Timestamp::parse(&text).map_err(D::Error::custom)
    }
}

/// The same for an instant that may not have come.
mod iso_if_any {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    use crate::model::units::Timestamp;

    #[expect(clippy::ref_option, reason = "the signature that serde asks for")]
    pub(super) fn serialize<S: Serializer>(
        at: &Option<Timestamp>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        at.map(|at| at.to_string()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        let read = text.map(|text| Timestamp::parse(&text).map_err(D::Error::custom));
        read.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(json: &str) -> Result<ArchivalPolicy, String> {
        let policy: ArchivalPolicy = serde_json::from_str(json).map_err(|e| e.to_string())?;
        policy.check().map_err(|e| e.to_string())?;
        Ok(policy)
    }

    #[test]
    fn a_policy_of_the_specification_reads_and_one_that_would_cost_rows_does_not() {
        let good = policy(
            r#"{"table": "Event", "archiveAfterDays": 365, "archiveStrategy": "move",
                "archiveDestination": "archive.event", "retentionDays": 2555, "enabled": true}"#,
        );
        assert_eq!(good.unwrap().batch_rows, 1_000);
        for (json, word) in [
            (
                r#"{"table":"E","archiveStrategy":"delete","enabled":true}"#,
                "archiveAfterDays",
            ),
            (
                r#"{"table":"E","archiveAfterDays":-1,"archiveStrategy":"delete"}"#,
                "-1",
            ),
            (
                r#"{"table":"E","archiveAfterDays":0,"archiveStrategy":"delete"}"#,
                "archiveAfterDays",
            ),
            (
                r#"{"table":"E","archiveAfterDays":1e9,"archiveStrategy":"delete"}"#,
                "floating",
            ),
            (
                r#"{"table":"E","archiveAfterDays":40000,"archiveStrategy":"delete"}"#,
                "36500",
            ),
            (
                r#"{"table":"","archiveAfterDays":9,"archiveStrategy":"delete"}"#,
                "table",
            ),
            (
                r#"{"table":"E","archiveAfterDays":9,"archiveStrategy":"burn"}"#,
                "burn",
            ),
            (
                r#"{"table":"E","archiveAfterDays":9,"archiveStrategy":"move"}"#,
                "archiveDestination",
            ),
            (
                r#"{"table":"E","archiveAfterDays":9,"archiveStrategy":"delete","archiveDestination":"a"}"#,
                "keeps nothing",
            ),
            (
                r#"{"table":"E","archiveAfterDays":9,"archiveStrategy":"delete","retentionDays":20}"#,
                "retentionDays",
            ),
            (
                r#"{"table":"E","archiveAfterDays":9,"archiveStrategy":"copy","archiveDestination":"a","retentionDays":9}"#,
                "more days",
            ),
            (
                r#"{"table":"E","archiveAfterDays":9,"archiveStrategy":"delete","batchRows":0}"#,
                "batchRows",
            ),
            (
                r#"{"table":"E","archiveAfterDays":9,"archiveStrategy":"delete","after":1}"#,
                "after",
            ),
        ] {
            let told = policy(json).unwrap_err();
            assert!(told.contains(word), "{json}: {told}");
        }
    }
}
