//! Shapes of the answers, as the specification names their fields; times are ISO 8601 in UTC.
//!
//! For: handlers, and the command line that reads what they write. Not for: deciding anything.
//! Fields beyond the specification's are additions. What is not known is null.

mod capacity;
mod review;
pub(super) mod strategy;

use serde::{Deserialize, Serialize};

use crate::model::capacity::Unit;
use crate::model::database::BlindSpot;
use crate::model::finding::{Finding, Silenced};
use crate::model::target::Reach;
use crate::model::units::Bytes;

pub use capacity::{
    BreaksFirst, CapacityAlert, CapacityDashboard, CapacityForecast, CapacityProjection,
    CapacityRecommendation, CapacityTrend, ChangePoint, DataPoint, SyntheticTimes, ThresholdDate,
    WhatIf, WhatIfResource,
};
pub use review::{ForecastReview, LeadReview, MemberReview, ResourceReview};

/// `GET latency`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Latencies {
    /// Start of the range; what is kept begins at the five minutes before it.
    pub from: String,
    /// Its end.
    pub until: String,
    /// Requests that this server answered, by route and method.
    pub endpoints: Vec<EndpointLatency>,
    /// Statements of each target, by class.
    pub statements: Vec<StatementLatency>,
}

/// Latency of one endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointLatency {
    /// `GET`, `HEAD`, `POST` or `other`.
    pub method: String,
    /// Template of the route, or `none`.
    pub route: String,
    /// How long its answers took.
    #[serde(flatten)]
    pub figures: LatencyFigures,
}

/// Latency of one class of statements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatementLatency {
    /// The target's name.
    pub target: String,
    /// `SELECT`, `INSERT`, `UPDATE`, `DELETE` or `other`.
    pub class: String,
    /// How long its statements took on average, weighted by calls.
    #[serde(flatten)]
    pub figures: LatencyFigures,
}

/// Count and quantiles, in milliseconds; null where nothing was counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LatencyFigures {
    /// How many there were.
    pub count: u64,
    /// Arithmetic mean.
    pub mean_ms: Option<f64>,
    /// Half took at most this long; within 2 %, as all quantiles here.
    pub p50_ms: Option<f64>,
    /// Nine in ten.
    pub p90_ms: Option<f64>,
    /// 95 in 100.
    pub p95_ms: Option<f64>,
    /// 99 in 100.
    pub p99_ms: Option<f64>,
    /// The longest, exactly.
    pub max_ms: Option<f64>,
}

/// `GET database/size`: the original's names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatabaseSize {
    /// The database's name.
    pub datname: String,
    /// For people: `1.5 GB`.
    pub size: Option<String>,
    /// In bytes; null without the right to connect to the database.
    pub size_bytes: Option<u64>,
    /// How the connected database has grown; null where no history is kept of it.
    pub growth: Option<Growth>,
    /// All databases of the server.
    pub databases: Vec<DatabaseRow>,
    /// When it was read.
    pub taken_at: String,
}

/// One database of the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatabaseRow {
    /// The database's name.
    pub datname: String,
    /// For people: `1.5 GB`.
    pub size: Option<String>,
    /// In bytes; null without the right to connect to the database.
    pub size_bytes: Option<u64>,
}

/// How a size has grown, from the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    /// Bytes a day over `history`; null for less than a day.
    pub bytes_per_day: Option<f64>,
    /// A point a day, oldest first, 30 at most.
    pub history: Vec<SizePoint>,
}

/// A size at an instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SizePoint {
    /// When.
    pub at: String,
    /// Bytes.
    pub bytes: f64,
}

/// `GET database/table-stats/{tableName}`: the original's names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableStats {
    /// Schema.
    pub schemaname: String,
    /// Table.
    pub tablename: String,
    /// Heap, TOAST and indexes, for people.
    pub total_size: String,
    /// Heap, for people.
    pub table_size: String,
    /// Indexes, for people.
    pub indexes_size: String,
    /// Rows inserted since the statistics were reset.
    pub inserts: u64,
    /// Rows updated.
    pub updates: u64,
    /// Rows deleted.
    pub deletes: u64,
    /// Live rows, an estimate.
    pub live_rows: u64,
    /// Dead rows, an estimate.
    pub dead_rows: u64,
    /// Last manual vacuum.
    pub last_vacuum: Option<String>,
    /// Last automatic vacuum.
    pub last_autovacuum: Option<String>,
    /// Last manual analyze.
    pub last_analyze: Option<String>,
    /// Last automatic analyze.
    pub last_autoanalyze: Option<String>,
    /// `total_size` in bytes.
    pub total_bytes: u64,
    /// `table_size` in bytes.
    pub table_bytes: u64,
    /// `indexes_size` in bytes.
    pub indexes_bytes: u64,
    /// Rows that the planner expects.
    pub row_estimate: Option<f64>,
    /// Updates that touched no index.
    pub hot_updates: u64,
    /// Sequential scans.
    pub seq_scan: u64,
    /// Index scans.
    pub idx_scan: u64,
    /// Age of the oldest transaction id, in transactions.
    pub xid_age: u64,
    /// Whether it has a primary key.
    pub has_primary_key: bool,
    /// How heap, TOAST and indexes together have grown; null where no history is kept of it.
    pub growth: Option<Growth>,
    /// When it was read.
    pub taken_at: String,
}

/// `GET database/connection-pool`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionPool {
    /// Client connections of the whole server.
    pub total: u32,
    /// Idle.
    pub idle: u32,
    /// Running a statement.
    pub active: u32,
    /// Active and waiting for anything but the client.
    pub waiting: u32,
    /// Null without a pooler's console: only it counts acquisitions.
    pub acquire_count: Option<u64>,
    /// Null without a pooler's console: how long clients waited in all, in ms.
    pub acquire_time: Option<f64>,
    /// Sessions of the server since its counters were reset; null before 14.
    pub create_count: Option<u64>,
    /// Those of them that are over; null before 14.
    pub destroy_count: Option<u64>,
    /// `max_connections`.
    pub max: u32,
    /// Kept for superusers and the like.
    pub reserved: u32,
    /// `total / (max - reserved)`: 1 is when ordinary roles are refused.
    pub utilization_rate: Option<f64>,
    /// Idle in a transaction.
    pub idle_in_transaction: u32,
    /// Age of the oldest open transaction.
    pub oldest_xact_age_ms: Option<u64>,
    /// Waiting for a heavyweight lock.
    pub lock_waiting: u32,
    /// By `application_name`, most first.
    pub by_application: Vec<ApplicationConnections>,
    /// Most connections in each of the last 24 hours, oldest first; gaps are left out.
    pub history: Vec<ConnectionPoint>,
    /// Most connections in the last 24 hours; null without a history.
    pub peak: Option<f64>,
    /// When it was read.
    pub taken_at: String,
}

/// Connections in an hour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectionPoint {
    /// Start of the hour.
    pub at: String,
    /// Most connections in it.
    pub connections: f64,
}

/// Connections of one application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApplicationConnections {
    /// `application_name`.
    pub application: String,
    /// How many.
    pub connections: u32,
}

/// One row of `GET database/slow-queries`: the original's names; times in ms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlowQuery {
    /// Normalised text, cut at 2,000 characters.
    pub query: String,
    /// Times run.
    pub calls: u64,
    /// Time of all runs.
    pub total_exec_time: f64,
    /// Time of a run.
    pub mean_exec_time: f64,
    /// The longest run; null of a window, which counters do not tell.
    pub max_exec_time: Option<f64>,
    /// Standard deviation over runs; null of a window.
    pub stddev_exec_time: Option<f64>,
    /// A text, since its 64 bits are more than a JSON reader may keep.
    pub queryid: String,
    /// Role that ran it.
    pub role: Option<String>,
    /// Rows returned or changed.
    pub rows: u64,
    /// Blocks found in shared buffers.
    pub shared_blks_hit: u64,
    /// Blocks read.
    pub shared_blks_read: u64,
    /// Temporary blocks written.
    pub temp_blks_written: u64,
    /// WAL written.
    pub wal_bytes: u64,
}

/// `plimsoll status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Of the server, not of the command.
    pub version: String,
    /// When the server started.
    pub started_at: String,
    /// Its clock now.
    pub now: String,
    /// Where it listens.
    pub listen: String,
    /// Its data folder.
    pub data_dir: String,
    /// One a target, in order of name.
    pub targets: Vec<TargetStatus>,
}

/// One target's status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// Its name.
    pub name: String,
    /// `starting`, `up` or `down`.
    pub state: String,
    /// Why it is down.
    pub reason: Option<String>,
    /// When it was last scraped.
    pub last_scrape_at: Option<String>,
    /// The server's version.
    pub server_version: Option<String>,
    /// One a resource, without the points.
    pub resources: Vec<CapacityForecast>,
    /// Findings by severity.
    pub findings: SeverityCounts,
    /// Findings that are silenced.
    #[serde(default)]
    pub silenced: usize,
    /// What cannot be read.
    pub blind_spots: usize,
}

/// How many of each severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SeverityCounts {
    /// To be mended now.
    pub critical: usize,
    /// To be mended.
    pub warning: usize,
    /// Worth knowing.
    pub info: usize,
}

/// What the checks say of one target: `plimsoll check`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetFindings {
    /// Its name.
    pub name: String,
    /// `starting`, `up` or `down`.
    pub state: String,
    /// Why it is down.
    pub reason: Option<String>,
    /// When its catalogs were last read; null where they never were.
    pub taken_at: Option<String>,
    /// Worst first.
    pub findings: Vec<Finding>,
    /// Found as well, and silenced by somebody; worst first.
    #[serde(default)]
    pub silenced: Vec<Silenced>,
    /// Worst first.
    pub alerts: Vec<CapacityAlert>,
    /// What could not be read.
    pub blind_spots: Vec<BlindSpot>,
}

/// The word for a target's reach, and why it is down.
pub(super) fn state(reach: &Reach) -> (String, Option<String>) {
    match reach {
        Reach::Starting => ("starting".to_owned(), None),
        Reach::Up => ("up".to_owned(), None),
        Reach::Down { reason, .. } => ("down".to_owned(), Some(reason.clone())),
    }
}

/// A quantity with its unit, for people: `3.2 cores`, `1.5 GB`, `12 MB/s`, `62 connections`.
pub fn quantity(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Cores => format!("{value:.2} cores"),
        Unit::Bytes => bytes(value),
        Unit::BytesPerSecond => format!("{}/s", bytes(value)),
        Unit::Connections => match format!("{value:.0}").as_str() {
            "1" => "1 connection".to_owned(),
            digits => format!("{digits} connections"),
        },
    }
}

fn bytes(value: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float cast saturates, and what is shown has three digits"
    )]
    let whole = value.max(0.0).round() as u64;
    Bytes(whole).to_string()
}
