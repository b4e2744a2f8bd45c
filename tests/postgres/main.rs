//! The observer against real servers: what it reads, what it survives, and what it never does.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![expect(
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod advise;
mod bouncer;
mod connecting;
mod cures;
mod explain;
mod harmless;
mod hostile;
mod inspect;
mod maintenance;
mod named;
mod partitions;
mod pooler;
mod reading;
mod server;
mod standby;
mod verify;
mod versions;

use std::time::Duration;

use plimsoll::model::database::Snapshot;
use plimsoll::model::series::Sample;
use plimsoll::model::units::Timestamp;
use plimsoll::postgres::{Observer, Options};
use server::Server;

const AT: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn later(seconds: u64) -> Timestamp {
    AT.plus(Duration::from_secs(seconds))
}

/// An observer of the database `postgres` as superuser.
fn superuser(server: &Server) -> Observer {
    Observer::new(Options::new(
        "t",
        server.conninfo("user=postgres dbname=postgres"),
    ))
}

/// The distribution's server, with statements, or a loud skip.
fn distribution() -> Option<Server> {
    let bin = server::require(15)?;
    Some(Server::start(
        &bin,
        &["shared_preload_libraries=pg_stat_statements"],
    ))
}

/// Values of a metric whose labels all contain `labels`.
fn values(samples: &[Sample], metric: &str, labels: &[(&str, &str)]) -> Vec<f64> {
    samples
        .iter()
        .filter(|s| s.series.metric == metric)
        .filter(|s| {
            labels
                .iter()
                .all(|(n, v)| s.series.labels.get(n) == Some(v))
        })
        .map(|s| s.value)
        .collect()
}

fn blind_spot<'a>(snapshot: &'a Snapshot, what: &str) -> Option<&'a str> {
    snapshot
        .blind_spots
        .iter()
        .find(|spot| spot.what == what)
        .map(|spot| spot.cure.as_str())
}
