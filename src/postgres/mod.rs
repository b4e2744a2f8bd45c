//! Looks at one Postgres server, 13 to 18, and does it no harm.
//!
//! For: connection strings as libpq reads them, one careful session, and the readings: samples for
//! the history and a snapshot for the checks. Not for: storing, judging or rating what was read
//! (`work`, `advise`, `diagnose`). Nothing is written to a server but by `vacuum` and `archive`, through a
//! [`Writer`], where its operator allowed it.
//!
//! Read [`Observer`] first, then `session` for how a query is run and `collect` for what is asked.
//! `libpq` and `tls` stand alone.

mod archive;
mod capability;
mod collect;
mod connect;
mod error;
mod fetch;
pub mod libpq;
mod mask;
mod observer;
mod plan;
mod pooler;
mod read;
mod reading;
mod scratch;
mod session;
mod tls;
mod vacuum;
mod writer;

use crate::model::series::Metric;

pub use archive::{Archive, Step};
pub use capability::Capability;
pub use collect::{CompatName, UP};
pub use error::{Error, Result};
pub use fetch::{Bounds, Fetched, Fetcher};
pub use libpq::{ConnInfo, Environment, resolve};
pub use mask::mask;
pub use observer::{Manner, Observer, Options};
pub use plan::{
    Ability, Checked, Examined, Lesson, NotRun, Record, Recorded, Run, STATEMENT, Seen, Values,
    WhatIf,
};
pub use scratch::{Built, Identity, Measured, Scratch, is_of_a_run};
pub use vacuum::{Progress, vacuum, wanting};
pub use writer::{Relation, Writer};

/// The name that our sessions carry, and by which they are left out of every ranking.
pub const APPLICATION_NAME: &str = "plimsoll";

/// The comment that stands in each of our statements, and by which they are left out of rankings.
///
/// It stands after the first word: newer servers cut leading comments off (`stmt_location`).
const MARKER: &str = "/* plimsoll */";

/// Every metric that a collector declares, once each, for `# HELP` and `# TYPE`.
pub fn metrics() -> Vec<&'static Metric> {
    collect::metrics()
}

/// What Prometheus's `postgres_exporter` calls our metrics, where it knows them.
///
/// Labels are the same on both sides, but for `server`, which only theirs have. Source: its release
/// 0.11.1 and the `queries.yaml` packaged with it.
pub fn compat_names() -> Vec<CompatName> {
    collect::compat_names()
}
