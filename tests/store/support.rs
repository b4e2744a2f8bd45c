//! What the store's tests share: a store in a temporary folder, and scrapes to put into it.

use plimsoll::model::series::{Labels, Metric, Scrape};
use plimsoll::model::units::{Millis, Timestamp};
use plimsoll::store::{Options, Selector, SeriesId, Store};
use tempfile::TempDir;

pub(crate) const XACTS: Metric = Metric::counter("pg_xacts_total", "Transactions.");
pub(crate) const LOAD: Metric = Metric::gauge("node_load1", "Load.");
pub(crate) const STEP: i64 = 10_000;
pub(crate) const TARGET: &str = "primary";

/// Midnight, so that spans and days begin where the tests count from.
pub(crate) fn start() -> Timestamp {
    Timestamp::parse("2026-03-10T00:00:00Z").unwrap()
}

/// `ms` after [`start`].
pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(start().as_millis() + ms)
}

pub(crate) fn minutes(n: i64) -> i64 {
    n * 60_000
}

pub(crate) fn hours(n: i64) -> i64 {
    n * 3_600_000
}

pub(crate) fn step(ms: i64) -> Millis {
    Millis(ms.cast_unsigned())
}

pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

pub(crate) fn open(dir: &TempDir) -> Store {
    Store::open(Options::in_dir(dir.path().join("store"))).unwrap()
}

/// A scrape with one counter and one gauge.
pub(crate) fn scrape(ms: i64, count: f64, load: f64) -> Scrape {
    Scrape {
        target: TARGET.into(),
        at: at(ms),
        samples: vec![
            XACTS.sample(Labels::none(), count),
            LOAD.sample(Labels::none().with("host", "a"), load),
        ],
    }
}

pub(crate) fn put(store: &Store, ms: i64, count: f64, load: f64) {
    let appended = store.history().append(&scrape(ms, count, load)).unwrap();
    assert_eq!(appended.refused_series, 0);
}

/// Scrapes each ten seconds from `from` to `until`: a counter of 5 a second, a gauge that cycles.
pub(crate) fn fill(store: &Store, from: i64, until: i64) {
    for ms in (from..until).step_by(10_000) {
        put(store, ms, count_at(ms), load_at(ms));
    }
}

pub(crate) fn count_at(ms: i64) -> f64 {
    ms as f64 / 200.0
}

pub(crate) fn load_at(ms: i64) -> f64 {
    (ms / STEP % 7) as f64
}

pub(crate) fn id(store: &Store, metric: &Metric) -> SeriesId {
    let found = store.history().series(&Selector::metric(metric.name));
    assert_eq!(found.len(), 1, "{}", metric.name);
    found[0].id
}

/// Raw values of a metric, as offsets from [`start`] and bits.
pub(crate) fn raw(store: &Store, metric: &Metric, from: i64, until: i64) -> Vec<(i64, f64)> {
    let values = store.history().raw(id(store, metric), at(from), at(until));
    values
        .unwrap()
        .into_iter()
        .map(|(when, value)| (when.as_millis() - start().as_millis(), value))
        .collect()
}
