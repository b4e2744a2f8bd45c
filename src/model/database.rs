//! What one look at a Postgres server gives: tables, indexes, sessions, statements.
//!
//! For: a snapshot as values, with Postgres's own names. Not for: the queries that fill it
//! (`postgres::collect`) or the verdicts on it (`advise::checks`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::structure::{
    HorizonHolder, Machine, Pool, PoolTotals, Repeat, ServerCounters, Slowdown, StandbyScans,
    Structure,
};
use super::units::Timestamp;

/// Everything that the slower cycle (each minute) reads from one server and one database.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// The target's name, as configured.
    pub target: String,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// The server itself.
    pub server: Server,
    /// All databases of the server.
    pub databases: Vec<Database>,
    /// `pg_settings`: name to value in the setting's own base unit (see `unit` in the manual).
    pub settings: BTreeMap<String, String>,
    /// User tables of the connected database, largest first.
    pub tables: Vec<Table>,
    /// User indexes of the connected database.
    pub indexes: Vec<Index>,
    /// Connections in use.
    pub pool: PoolUsage,
    /// Sessions that run, wait or hold a transaction; idle ones are only counted in `pool`.
    pub sessions: Vec<Session>,
    /// The statements that matter most, by total time; empty without `pg_stat_statements`.
    pub statements: Vec<Statement>,
    /// Standbys that stream from this server.
    pub replicas: Vec<Replica>,
    /// Replication slots.
    pub slots: Vec<Slot>,
    /// Sequences and identity columns.
    pub sequences: Vec<Sequence>,
    /// What could not be read, why, and the cure.
    pub blind_spots: Vec<BlindSpot>,
    /// What changes rarely, as last read.
    #[serde(default)]
    pub structure: Structure,
    /// Who keeps dead rows from being removed, the oldest first.
    #[serde(default)]
    pub horizon: Vec<HorizonHolder>,
    /// Counters of the server as a whole.
    #[serde(default)]
    pub counters: ServerCounters,
    /// The machine; only where it is this one, and watched.
    #[serde(default)]
    pub machine: Machine,
    /// Pools of a pooler in front, where one is configured.
    #[serde(default)]
    pub pools: Vec<Pool>,
    /// What that pooler has handed out.
    #[serde(default)]
    pub pool_totals: PoolTotals,
    /// Statements that run once a row of another; empty without a history.
    #[serde(default)]
    pub repeats: Vec<Repeat>,
    /// Statements that became slower; empty without a history.
    #[serde(default)]
    pub slowdowns: Vec<Slowdown>,
    /// What its standbys use, where they are watched.
    #[serde(default)]
    pub standby_scans: StandbyScans,
}

/// The server itself.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// As `SHOW server_version`.
    pub version: String,
    /// As `SHOW server_version_num`: 150018 is 15.18.
    pub version_num: u32,
    /// `pg_postmaster_start_time()`.
    pub started_at: Timestamp,
    /// `pg_is_in_recovery()`: a standby.
    pub in_recovery: bool,
    /// The database connected to.
    pub database: String,
    /// The role connected as.
    pub role: String,
    /// When the database's statistics were last reset; `None` if never.
    pub stats_reset: Option<Timestamp>,
    /// Extensions created in this database, name to version.
    pub extensions: BTreeMap<String, String>,
}

/// One database of the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// `datname`.
    pub name: String,
    /// `pg_database_size`; `None` without the right to connect to it.
    pub size_bytes: Option<u64>,
    /// `age(datfrozenxid)`, in transactions.
    pub xid_age: u64,
    /// `mxid_age(datminmxid)`, in multixacts.
    pub mxid_age: u64,
}

/// A user table with its counters since the statistics were last reset.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    /// `pg_class.oid`.
    pub oid: u32,
    /// Schema name, unquoted.
    pub schema: String,
    /// Table name, unquoted.
    pub name: String,
    /// `reltuples`; `None` when never analysed.
    pub row_estimate: Option<f64>,
    /// Heap, TOAST and indexes.
    pub total_bytes: u64,
    /// Heap alone.
    pub table_bytes: u64,
    /// All its indexes.
    pub index_bytes: u64,
    /// `seq_scan`.
    pub seq_scan: u64,
    /// `seq_tup_read`.
    pub seq_tup_read: u64,
    /// `idx_scan`.
    pub idx_scan: u64,
    /// `n_tup_ins`.
    pub n_tup_ins: u64,
    /// `n_tup_upd`.
    pub n_tup_upd: u64,
    /// `n_tup_del`.
    pub n_tup_del: u64,
    /// `n_tup_hot_upd`.
    pub n_tup_hot_upd: u64,
    /// `n_live_tup`, an estimate.
    pub n_live_tup: u64,
    /// `n_dead_tup`, an estimate.
    pub n_dead_tup: u64,
    /// `n_mod_since_analyze`.
    pub n_mod_since_analyze: u64,
    /// `last_vacuum`.
    pub last_vacuum: Option<Timestamp>,
    /// `last_autovacuum`.
    pub last_autovacuum: Option<Timestamp>,
    /// `last_analyze`.
    pub last_analyze: Option<Timestamp>,
    /// `last_autoanalyze`.
    pub last_autoanalyze: Option<Timestamp>,
    /// `age(relfrozenxid)`, in transactions.
    pub xid_age: u64,
    /// Has a primary key.
    pub has_primary_key: bool,
    /// `reloptions`: `name=value` each.
    #[serde(default)]
    pub options: Vec<String>,
    /// Of a partition: the partitioned table.
    #[serde(default)]
    pub parent: Option<Parent>,
}

/// The partitioned table or index that a partition belongs to: the topmost one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parent {
    /// `pg_class.oid`.
    pub oid: u32,
    /// Schema name, unquoted.
    pub schema: String,
    /// Its name, unquoted.
    pub name: String,
}

/// A user index with its counters since the statistics were last reset.
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are pg_index's own columns"
)]
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// `pg_class.oid`.
    pub oid: u32,
    /// The table's oid.
    pub table_oid: u32,
    /// Schema name, unquoted.
    pub schema: String,
    /// Table name, unquoted.
    pub table: String,
    /// Index name, unquoted.
    pub name: String,
    /// Access method: `btree`, `gin`, …
    pub method: String,
    /// Key columns or expressions, in order, as `pg_get_indexdef` writes each one, with its
    /// operator class, collation and direction where they are not the default.
    pub keys: Vec<String>,
    /// `INCLUDE` columns.
    pub include: Vec<String>,
    /// Predicate of a partial index.
    pub predicate: Option<String>,
    /// `pg_get_indexdef`.
    pub definition: String,
    /// `indisunique`.
    pub is_unique: bool,
    /// `indisprimary`.
    pub is_primary: bool,
    /// `indisvalid`.
    pub is_valid: bool,
    /// Backs a constraint (primary key, unique, exclusion) or a foreign key refers to it.
    pub is_constraint: bool,
    /// Marked as replica identity.
    pub is_replica_identity: bool,
    /// `pg_relation_size`, or `relpages` × block size.
    pub size_bytes: u64,
    /// `idx_scan`.
    pub idx_scan: u64,
    /// `idx_tup_read`.
    pub idx_tup_read: u64,
    /// `last_idx_scan` (16 and later).
    pub last_idx_scan: Option<Timestamp>,
    /// A concurrent build of it is under way.
    #[serde(default)]
    pub is_building: bool,
    /// Of a part of a partitioned index: that index, without which it cannot be dropped.
    #[serde(default)]
    pub parent: Option<Parent>,
}

/// Connections, counted by state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolUsage {
    /// Client backends of the whole server.
    pub total: u32,
    /// `idle`.
    pub idle: u32,
    /// `active`.
    pub active: u32,
    /// `idle in transaction`, aborted ones included.
    pub idle_in_transaction: u32,
    /// Active and waiting for anything but the client.
    pub waiting: u32,
    /// Active and waiting for a heavyweight lock.
    pub lock_waiting: u32,
    /// Age of the oldest open transaction, in ms.
    pub oldest_xact_age_ms: Option<u64>,
    /// `max_connections`.
    pub max: u32,
    /// `superuser_reserved_connections` + `reserved_connections` (16 and later).
    pub reserved: u32,
    /// Connections by `application_name`, most first.
    pub by_application: Vec<(String, u32)>,
}

/// A client session that runs, waits or holds a transaction.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Backend process id.
    pub pid: i32,
    /// Database name.
    pub database: Option<String>,
    /// Role name.
    pub role: Option<String>,
    /// `application_name`.
    pub application: String,
    /// `state`.
    pub state: String,
    /// `wait_event_type`.
    pub wait_event_type: Option<String>,
    /// `wait_event`.
    pub wait_event: Option<String>,
    /// How long the transaction has been open.
    pub xact_age_ms: Option<u64>,
    /// How long the statement has run, or ran last.
    pub query_age_ms: Option<u64>,
    /// `pg_blocking_pids`.
    pub blocked_by: Vec<i32>,
    /// The statement with its literals masked.
    pub query: String,
}

/// Counters of one normalised statement since its entry was made.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// `queryid`.
    pub query_id: i64,
    /// Normalised text, cut at 2,000 characters.
    pub query: String,
    /// Role that ran it.
    pub role: Option<String>,
    /// `calls`.
    pub calls: u64,
    /// `total_exec_time`, ms.
    pub total_exec_time: f64,
    /// `mean_exec_time`, ms.
    pub mean_exec_time: f64,
    /// `max_exec_time`, ms.
    pub max_exec_time: f64,
    /// `stddev_exec_time`, ms.
    pub stddev_exec_time: f64,
    /// `rows`.
    pub rows: u64,
    /// `shared_blks_hit`.
    pub shared_blks_hit: u64,
    /// `shared_blks_read`.
    pub shared_blks_read: u64,
    /// `temp_blks_written`.
    pub temp_blks_written: u64,
    /// `wal_bytes`.
    pub wal_bytes: u64,
}

/// A standby.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replica {
    /// `application_name`.
    pub application: String,
    /// `client_addr`, or empty for a local socket.
    pub client_addr: String,
    /// `state`.
    pub state: String,
    /// `sync_state`.
    pub sync_state: String,
    /// Bytes of WAL not yet replayed there.
    pub lag_bytes: Option<u64>,
    /// `replay_lag`, ms.
    pub replay_lag_ms: Option<u64>,
}

/// A replication slot.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slot {
    /// `slot_name`.
    pub name: String,
    /// `slot_type`.
    pub kind: String,
    /// `active`.
    pub active: bool,
    /// Bytes of WAL that the slot holds back.
    pub retained_bytes: Option<u64>,
    /// `wal_status`.
    pub wal_status: Option<String>,
}

/// A sequence, with the smaller of its own range and its column's type.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sequence {
    /// Schema name, unquoted.
    pub schema: String,
    /// Sequence name, unquoted.
    pub name: String,
    /// `last_value`; `None` when never used.
    pub last_value: Option<i64>,
    /// The first value of its range: the least, or the largest of one that counts down.
    #[serde(default = "one")]
    pub first_value: i64,
    /// The largest value that it or its column can hold; the least of one that counts down.
    pub max_value: i64,
    /// The column that it belongs to, where there is one.
    #[serde(default)]
    pub column: Option<SequenceColumn>,
}

const fn one() -> i64 {
    1
}

impl Sequence {
    /// Share of its range that is used up, 0 to 1; `None` when never used.
    pub fn used_ratio(&self) -> Option<f64> {
        let numbers = |to: i64| (i128::from(to) - i128::from(self.first_value)).abs() + 1;
        Some(numbers(self.last_value?) as f64 / numbers(self.max_value) as f64)
    }

    /// Whether it counts down.
    pub const fn is_descending(&self) -> bool {
        self.max_value < self.first_value
    }
}

/// A serial or identity column.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SequenceColumn {
    /// Schema of its table, unquoted.
    pub schema: String,
    /// Its table, unquoted.
    pub table: String,
    /// Its name, unquoted.
    pub name: String,
    /// Its type is `smallint` or `integer`.
    pub is_narrow: bool,
    /// `GENERATED AS IDENTITY`: the sequence's type follows that of the column.
    pub is_identity: bool,
}

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlindSpot {
    /// What is missing, such as `statements`.
    pub what: String,
    /// Why, such as `pg_stat_statements is not installed`.
    pub why: String,
    /// What to do about it.
    pub cure: String,
}

/// What one activity sample saw: sessions that were running or waiting, by wait event.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivitySample {
    /// (`wait_event_type`, `wait_event`) to sessions; running on CPU is (`CPU`, `CPU`).
    pub waits: BTreeMap<(String, String), u32>,
}
