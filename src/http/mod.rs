//! The HTTP edge: the API, `/metrics`, the page, and the same on a Unix socket for the command line.
//!
//! For: turning what stands on the [`Board`] into answers, and refusing what should not be asked.
//! Not for: finding anything out. No handler that a page needs asks a server, reads the history or
//! fits a model: N viewers cost what one does. Only the Prometheus API (`prom`), `latency`,
//! `statements` and the growth in `database` read the history, within bounds; and `explain`,
//! `cache` and `maintain` alone ask a server. Read [`mod@router`] first (the API in one table), then `front`,
//! which every request passes.

mod archive;
mod ask;
mod body;
mod cache;
mod capacity;
mod database;
mod envelope;
mod error;
pub mod explain;
mod exposition;
mod front;
mod guard;
mod jobs;
mod latency;
mod load_tests;
mod local;
mod maintain;
mod measure;
mod metrics;
mod openapi;
mod outlook;
mod pages;
mod prom;
mod prompt;
mod recommend;
pub mod router;
pub mod scenario;
mod server;
mod silences;
mod stall;
mod statements;
mod strategy;
mod stream;
mod what_if;
pub mod wire;
mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;

pub use archive::{CensusFn, ExportFn};
pub use router::{local_router, router};
pub use server::{bind, bind_socket, serve};
pub use write::{ImportFn, WriteFn};

use crate::cache::Cache;
use crate::clock::Clock;
use crate::config::{Config, Thresholds};
use crate::model::units::{Millis, Timestamp};
use crate::queue::Queues;
use crate::report::Format;
use crate::report::jobs::JobsReport;
use crate::store::Store;
use crate::work::board::Board;
use crate::work::explain::Analyst;
use crate::work::maintain::Maintainer;
use crate::work::query::Queries;
use measure::Meter;
use write::Gate;

/// Why the server does not come up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Somebody else listens there.
    #[error("{0} is in use; stop what listens there, or choose another with --listen")]
    AddressInUse(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A server answers on the socket already.
    #[error("a server answers on {} already; stop it, or choose another --data-dir", .0.display())]
    SocketInUse(PathBuf),
    /// The socket cannot be made.
    #[error("cannot make the socket {}: {source}; check the rights and the length of --data-dir", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The result of starting the server.
pub type Result<T> = std::result::Result<T, Error>;

/// What a viewer of the page asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PageAsk {
    /// The target to show; one that exists, or all.
    pub target: Option<String>,
    /// Only the part of this name, such as `main`, for a refresh in place.
    pub fragment: Option<String>,
    /// The queues of this server.
    pub jobs: JobsReport,
}

/// Draws the page from what is on the board.
pub type PageFn = Arc<dyn Fn(&PageAsk) -> String + Send + Sync>;
/// Writes a report from the live history; the error is for people.
pub type ReportFn =
    Arc<dyn Fn(Format) -> BoxFuture<'static, std::result::Result<Vec<u8>, String>> + Send + Sync>;
/// What existing exporters call our metrics, by our name; one may have several names.
pub type Compat = BTreeMap<&'static str, Vec<ExporterName>>;

/// The name that an existing exporter has for one of our metrics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExporterName {
    /// Their name.
    pub theirs: &'static str,
    /// Their value is ours times this; some keep milliseconds.
    pub factor: f64,
}

/// What other modules do for this one.
#[derive(Clone)]
pub struct Hooks {
    /// See [`PageFn`].
    pub page: PageFn,
    /// See [`ReportFn`].
    pub report: ReportFn,
    /// See [`WriteFn`].
    pub write: WriteFn,
    /// See [`ImportFn`].
    pub import: ImportFn,
    /// See [`ExportFn`].
    pub export: ExportFn,
    /// See [`CensusFn`].
    pub census: CensusFn,
    /// Answers questions in `PromQL`; without it they are refused.
    pub queries: Option<Arc<Queries>>,
    /// Explains statements; without it they are refused.
    pub analyst: Option<Arc<Analyst>>,
    /// Writes to targets where it is allowed; without it that is refused.
    pub maintainer: Option<Arc<Maintainer>>,
    /// Results of named queries; without it there are none.
    pub cache: Option<Arc<Cache>>,
    /// The queues; without them nobody can send jobs.
    pub queues: Option<Arc<Queues>>,
    /// See [`Compat`].
    pub compat: Compat,
    /// Where latencies are kept and what is backed up; `None` serves neither.
    pub store: Option<Arc<Store>>,
    /// `/ui/app.js`.
    pub script: &'static str,
    /// `/ui/style.css`.
    pub style: &'static str,
}

/// Everything that handlers need, shared by all connections.
pub struct Site {
    board: Arc<Board>,
    clock: Arc<dyn Clock>,
    settings: crate::config::Http,
    thresholds: Thresholds,
    lead_time: Millis,
    scrape: Millis,
    catalog: Millis,
    webhook_hosts: Vec<String>,
    listen: SocketAddr,
    data_dir: PathBuf,
    started_at: Timestamp,
    hooks: Hooks,
    meter: Meter,
    gate: Gate,
    /// Held by the handler of latencies, so that one at a time reads the history.
    reading: tokio::sync::Mutex<()>,
}

impl Site {
    /// Puts together what handlers need.
    pub fn new(
        board: Arc<Board>,
        clock: Arc<dyn Clock>,
        config: &Config,
        hooks: Hooks,
    ) -> Arc<Self> {
        Arc::new(Self {
            started_at: clock.now(),
            board,
            clock,
            settings: config.http.clone(),
            thresholds: config.thresholds,
            lead_time: config.forecast_lead_time,
            scrape: config.collect.scrape,
            catalog: config.collect.catalog,
            webhook_hosts: config.jobs_webhook_hosts.clone(),
            listen: config.listen,
            data_dir: config.data_dir.clone(),
            hooks,
            meter: Meter::default(),
            gate: Gate::default(),
            reading: tokio::sync::Mutex::default(),
        })
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("listen", &self.listen)
            .field("data_dir", &self.data_dir)
            .finish_non_exhaustive()
    }
}
