//! Use cases: the only place that combines adapters and engines.
//!
//! For: short functions that read top to bottom, one file a use case. Not for: speaking HTTP, SQL
//! or sled: that is the adapters' and edges' affair. Read [`board`] first, then [`app`].

mod activity;
pub mod advise;
mod agenda;
pub mod app;
pub mod audit;
mod beside;
pub mod board;
mod bursts;
pub mod cache;
pub mod check;
mod collect;
pub mod demo;
pub mod deploy;
mod evidence;
pub mod explain;
pub mod export;
pub mod extend;
pub mod fault;
pub mod import;
pub mod intake;
mod jobs;
pub mod latency;
pub mod load;
pub mod maintain;
mod outcome;
mod own;
pub mod preview;
mod project;
pub mod push;
pub mod query;
mod report;
mod scrape;
pub mod silence;
mod source;
pub mod statements;
pub mod stop;
mod targets;
mod tasks;
mod texts;
mod upkeep;
mod usage;
pub mod what_if;

pub use app::{App, store_options};

/// Why a use case could not be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The embedded store refused.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// The settings cannot be carried out.
    #[error(transparent)]
    Settings(#[from] crate::config::Error),
    /// The job queue refused.
    #[error(transparent)]
    Queue(#[from] crate::queue::Error),
    /// A report cannot be written.
    #[error(transparent)]
    Report(#[from] crate::report::Error),
    /// There is nothing to look at.
    #[error("no target is configured; name one with --target postgres://…")]
    NoTarget,
    /// The demo's own part failed.
    #[error(transparent)]
    Demo(#[from] crate::demo::Error),
    /// The server refused a reading that a use case cannot do without.
    #[error(transparent)]
    Postgres(#[from] crate::postgres::Error),
    /// A planner could not go on.
    #[error("{0}")]
    Planner(String),
    /// The scratch database is one that must not be written to.
    #[error(
        "the scratch database {database} is the watched target {target}, where nothing is built; give a clone of it or another database with its tables"
    )]
    ScratchIsTarget {
        /// The scratch database.
        database: String,
        /// Which target it is.
        target: String,
    },
    /// Tables are not in the scratch database, or empty.
    #[error(
        "the scratch database has no rows in {tables}; load a dump of these tables (pg_dump --table) and ANALYZE them"
    )]
    ScratchLacks {
        /// The tables.
        tables: String,
    },
    /// The set does not fit.
    #[error(
        "the scratch database has no room for the set of {promised_mb} MB ({detail}); what was built is dropped again; make room, or ask for less with --budget"
    )]
    ScratchFull {
        /// What was promised, in MB of 10⁶ bytes.
        promised_mb: u64,
        /// The server's words.
        detail: String,
    },
    /// No statement of the workload can be run.
    #[error("no statement can be run in the scratch database ({reason})")]
    NothingToRun {
        /// The first reason.
        reason: String,
    },
    /// The host gave no reading that a use case cannot do without.
    #[error(transparent)]
    Host(#[from] crate::host::Error),
    /// A load test cannot be run.
    #[error(transparent)]
    Load(#[from] crate::load::Error),
    /// There is no such scenario.
    #[error(
        "there is no scenario {name:?}; {}one of {known}, or a file that ends in .toml",
        near.as_ref().map_or_else(String::new, |near| format!("did you mean {near}? "))
    )]
    UnknownScenario {
        /// What was asked for.
        name: String,
        /// What was probably meant.
        near: Option<String>,
        /// All names.
        known: String,
    },
    /// A target's connection string cannot be used.
    #[error("target {name}")]
    Target {
        /// The target's name.
        name: String,
        /// Why.
        source: crate::postgres::Error,
    },
}

/// The result of a use case.
pub type Result<T> = std::result::Result<T, Error>;

/// What existing exporters call our metrics: our name, theirs, and their value as a multiple of ours.
pub fn compat_names() -> Vec<(&'static str, &'static str, f64)> {
    let names = crate::postgres::compat_names().into_iter();
    let names = names.map(|name| (name.own, name.theirs, name.factor));
    let own = own::COMPAT.map(|(own, theirs)| (own, theirs, 1.0));
    names.chain(own).collect()
}

/// An error with its causes, for people.
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

/// Runs processor-bound work on rayon's threads and waits for it without holding up the sockets.
pub(crate) async fn on_rayon<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = tokio::sync::oneshot::channel();
    rayon::spawn(move || {
        // A panic is carried over to the caller, whose task then ends as it would have here.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        _ = done.send(outcome);
    });
    match result.await {
        Ok(Ok(value)) => value,
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(_) => std::panic::panic_any("rayon dropped a task"),
    }
}
