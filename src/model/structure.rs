//! What of a database changes rarely: columns' statistics, constraints, rights.
//!
//! For: values that the hourly part of a look reads, and what is known beside a look: the machine,
//! the pooler, what the history says of statements. Not for: the queries that fill them
//! (`postgres::collect`) or verdicts (`advise::checks`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::units::Timestamp;

/// What the hourly part of a look gives; everything is empty before its first reading.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Structure {
    /// When it was read; `None` before.
    pub read_at: Option<Timestamp>,
    /// Bytes of a page.
    pub page_bytes: u64,
    /// User tables and materialized views of 128 pages or more.
    pub tables: Vec<TableForm>,
    /// B-trees of user tables, of 128 pages or more.
    pub indexes: Vec<IndexForm>,
    /// Foreign keys; of partitions, only those of their parents.
    pub foreign_keys: Vec<ForeignKey>,
    /// Constraints that were never checked for the rows that are there.
    pub unvalidated: Vec<Unvalidated>,
    /// Columns of `CREATE STATISTICS` objects, by table.
    pub extended: Vec<ExtendedStatistics>,
    /// Superusers that may log in, and how many sessions of others than this program they have.
    pub superusers: Vec<(String, u32)>,
    /// Everybody may create objects in schema `public`.
    pub public_may_create: bool,
    /// Functions that run with their owner's rights and without a `search_path` of their own, as
    /// `regprocedure` writes them.
    pub open_definers: Vec<String>,
    /// `system_identifier` of the cluster, which its standbys share; `None` where it is hidden.
    pub system_id: Option<String>,
}

/// Statistics of one stored column.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ColumnForm {
    /// `typlen`: bytes, or negative where they vary.
    pub length: i16,
    /// `typalign` in bytes.
    pub align: u8,
    /// `stawidth`: mean bytes of a value that is not null; `None` when never analysed.
    pub width: Option<f64>,
    /// `stanullfrac`.
    pub null_share: Option<f64>,
    /// `stadistinct`: a count, or if negative a share of the rows.
    pub distinct: Option<f64>,
}

/// How a table is stored.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TableForm {
    /// `pg_class.oid`.
    pub oid: u32,
    /// Columns in order, dropped ones left out.
    pub columns: Vec<ColumnForm>,
}

/// How a B-tree is stored.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IndexForm {
    /// `pg_class.oid`.
    pub oid: u32,
    /// `reltuples` of the index; `None` when it was never counted.
    pub rows: Option<f64>,
    /// `reloptions`: `name=value`.
    pub options: Vec<String>,
    /// Stored columns in order, those of INCLUDE last.
    pub columns: Vec<ColumnForm>,
    /// How many of them are keys.
    pub key_columns: usize,
    /// Names of the key columns; expressions are empty.
    pub names: Vec<String>,
    /// Equality of each key is that of its bytes, so equal keys may be kept once.
    pub is_image_equal: bool,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ForeignKey {
    /// Constraint name, unquoted.
    pub name: String,
    /// The referring table.
    pub table_oid: u32,
    /// Its columns, unquoted.
    pub columns: Vec<String>,
    /// The table referred to.
    pub target_oid: u32,
    /// Types of the referring columns, as `format_type` writes them; of a domain the one beneath.
    pub types: Vec<String>,
    /// Types of the columns referred to.
    pub target_types: Vec<String>,
    /// A valid index without a condition begins with its columns, in any order.
    pub is_indexed: bool,
}

/// A constraint that is `NOT VALID`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Unvalidated {
    /// Constraint name, unquoted.
    pub name: String,
    /// Schema name, unquoted.
    pub schema: String,
    /// Table name, unquoted.
    pub table: String,
    /// Its definition, as `pg_get_constraintdef` writes it.
    pub definition: String,
}

/// A `CREATE STATISTICS` object.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExtendedStatistics {
    /// The table's oid.
    pub table_oid: u32,
    /// Its columns, unquoted.
    pub columns: Vec<String>,
}

/// Scans of indexes on standbys of a server, as far as those are watched, too.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StandbyScans {
    /// Targets that are standbys of this server and were looked at.
    pub standbys: Vec<String>,
    /// Scans on all of them by the index's oid, which is the same there.
    pub by_index: BTreeMap<u32, u64>,
}

/// What keeps vacuum from removing dead rows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HorizonHolder {
    /// `session`, `standby`, `slot` or `prepared`; `catalog` is a slot that is decoded, which keeps
    /// rows of the system's catalogs only.
    pub kind: String,
    /// Process id, slot, `application_name` of the standby, or global id of the transaction.
    pub name: String,
    /// Transactions since its oldest snapshot.
    pub age: u64,
    /// How long the transaction has been open, in ms; `None` for slots and standbys.
    pub open_ms: Option<u64>,
    /// Of a prepared transaction in another database: that database. It holds back nothing here but
    /// what all databases share.
    pub elsewhere: Option<String>,
}

/// Counters of the server and of the connected database since they were last reset.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServerCounters {
    /// Checkpoints because `checkpoint_timeout` passed.
    pub checkpoints_timed: u64,
    /// Checkpoints because WAL grew to `max_wal_size`, or on request.
    pub checkpoints_requested: u64,
    /// When those were last reset.
    pub checkpoints_since: Option<Timestamp>,
    /// `deadlocks` of the connected database.
    pub deadlocks: u64,
    /// `temp_bytes` of the connected database.
    pub temp_bytes: u64,
    /// `checksum_failures`, all databases.
    pub checksum_failures: u64,
    /// `failed_count` of the archiver.
    pub archive_failures: u64,
    /// The last failure to archive is younger than the last success.
    pub archive_fails_now: bool,
    /// The segment that could not be archived.
    pub archive_failed_segment: Option<String>,
    /// Of a standby that has not replayed all: age of what it replayed last, in ms.
    pub replay_lag_ms: Option<u64>,
    /// Of a standby: somebody has paused its replay.
    pub is_replay_paused: bool,
}

/// The machine that the server runs on; only known where it is watched.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Machine {
    /// Memory, or the cgroup's limit.
    pub memory_bytes: Option<f64>,
    /// Cores, or the cgroup's quota.
    pub cores: Option<f64>,
    /// The disk spins; `None` where the kernel does not tell.
    pub is_rotational: Option<bool>,
}

/// One pool of a `PgBouncer`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pool {
    /// Database of the pool.
    pub database: String,
    /// Its user.
    pub user: String,
    /// `cl_active`: clients that are linked or idle.
    pub clients_active: u64,
    /// `cl_waiting`: clients that wait for a server connection.
    pub clients_waiting: u64,
    /// `sv_active`: server connections in use.
    pub servers_active: u64,
    /// `sv_idle` and `sv_used`: server connections at rest.
    pub servers_idle: u64,
    /// `maxwait`: how long the first waiting client has waited, in ms.
    pub max_wait_ms: u64,
    /// `pool_mode`.
    pub mode: String,
    /// Most server connections of the pool; `None` where the pooler does not tell.
    pub size: Option<u64>,
}

/// What a pooler has handed out since it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PoolTotals {
    /// Times that a client was given a server connection.
    pub acquired: Option<u64>,
    /// How long clients waited for one, all together, in microseconds.
    pub wait_us: Option<u64>,
}

/// A statement that runs once a row of another one, as the scrapes saw it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Repeat {
    /// `queryid` of the statement that gives the rows.
    pub list_id: i64,
    /// `queryid` of the statement that runs for each.
    pub each_id: i64,
    /// How often the list came and the burst with it.
    pub bursts: u32,
    /// Rows of the list, on average.
    pub rows: f64,
    /// Calls for each of its rows.
    pub calls_per_row: f64,
}

/// A statement that became slower.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Slowdown {
    /// `queryid`.
    pub query_id: i64,
    /// What it is compared with: `last week`, or `before deploy NAME`.
    pub against: String,
    /// Mean time then and now, in ms.
    pub mean_ms: (f64, f64),
    /// Blocks touched a call, then and now.
    pub blocks_per_call: (f64, f64),
    /// Rows a call, then and now.
    pub rows_per_call: (f64, f64),
    /// Calls then and now.
    pub calls: (f64, f64),
}
