//! What is asked of a server: one file per catalog view.
//!
//! For: the queries, the series that their fields feed, and what a failed part leaves blind. Not
//! for: when they are asked (`observer`) or how (`session`). Read [`View`] first: most files are
//! a table of fields for it.
//!
//! Raw counters are given, never rates. Counter or gauge is decided per field, times are in
//! seconds, and each metric says to what it is exact.

pub(super) mod activity;
pub(super) mod bgwriter;
mod blind;
pub(super) mod database;
pub(super) mod horizon;
mod indexes;
pub(super) mod io;
pub(super) mod locks;
mod partitions;
mod ranking;
pub(super) mod relations;
pub(super) mod replication;
pub(super) mod rising;
pub(super) mod sequences;
pub(super) mod server;
pub(super) mod settings;
pub(super) mod sizes;
pub(super) mod statements;
pub(super) mod structure;
mod tables;
mod view;
pub(super) mod wal;
pub(super) mod wraparound;

use std::collections::BTreeSet;

use crate::model::series::{Labels, Metric, Sample};

pub(super) use blind::BlindSpots;
use view::{Field, View};

pub use server::UP;

/// What the exporter calls one of our metrics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CompatName {
    /// Our name.
    pub own: &'static str,
    /// The exporter's name.
    pub theirs: &'static str,
    /// Their value is ours times this: they keep Postgres's milliseconds.
    pub factor: f64,
}

const VIEWS: &[&View] = &[
    &database::VIEW,
    &bgwriter::VIEW,
    &bgwriter::CHECKPOINTER,
    &wal::VIEW,
    &wal::ARCHIVER,
    &io::VIEW,
    &statements::VIEW,
    &tables::VIEW,
    &indexes::VIEW,
];

/// Views that are read as they are in each scrape.
pub(super) const SCRAPED: &[View] = &[
    database::VIEW,
    bgwriter::VIEW,
    bgwriter::CHECKPOINTER,
    wal::VIEW,
    wal::ARCHIVER,
    io::VIEW,
];

const PLAIN: &[&[&Metric]] = &[
    activity::METRICS,
    locks::METRICS,
    replication::METRICS,
    sequences::METRICS,
    server::METRICS,
    sizes::METRICS,
    tables::METRICS,
    indexes::METRICS,
    wal::METRICS,
    wraparound::METRICS,
];

/// Every declared metric, once, in order of name.
pub(super) fn metrics() -> Vec<&'static Metric> {
    let fields = VIEWS.iter().flat_map(|view| view.fields).map(|f| &f.metric);
    let plain = PLAIN.iter().flat_map(|list| list.iter().copied());
    let mut all: Vec<&'static Metric> = fields.chain(plain).chain(settings::metrics()).collect();
    all.sort_by_key(|metric| metric.name);
    all.dedup_by_key(|metric| metric.name);
    all
}

/// Metrics outside of [`VIEWS`] that the exporter calls otherwise.
const COMPAT: &[(&Metric, &str)] = &[
    (&activity::CONNECTIONS, "pg_stat_activity_count"),
    (
        &activity::TRANSACTION_AGE,
        "pg_stat_activity_max_tx_duration",
    ),
    (&locks::LOCKS, "pg_locks_count"),
    (&replication::REPLAY_LAG, "pg_replication_lag"),
    (
        &replication::STANDBY_LAG_BYTES,
        "pg_stat_replication_pg_wal_lsn_diff",
    ),
    (
        &replication::SLOT_RETAINED_BYTES,
        "pg_replication_slots_pg_wal_lsn_diff",
    ),
    (&replication::SLOT_ACTIVE, "pg_replication_slots_active"),
    (&server::INFO, "pg_static"),
    (&tables::IDX_SCAN, "pg_stat_user_tables_idx_scan"),
    (&tables::IDX_TUP_FETCH, "pg_stat_user_tables_idx_tup_fetch"),
];

/// Our names and the exporter's, where they differ.
pub(super) fn compat_names() -> Vec<CompatName> {
    let mut seen = BTreeSet::new();
    let plain = COMPAT.iter().map(|(metric, theirs)| CompatName {
        own: metric.name,
        theirs,
        factor: 1.0,
    });
    let fields = VIEWS.iter().flat_map(|view| view.fields);
    let fields = fields.filter_map(|field| {
        let theirs = field.compat?;
        Some(CompatName {
            own: field.metric.name,
            theirs,
            factor: if field.keeps_unit {
                1.0
            } else {
                1.0 / field.scale
            },
        })
    });
    plain
        .chain(fields)
        .filter(|name| seen.insert(name.own))
        .collect()
}

/// Label pairs that were seen once: a gauge that counts them falls to 0 instead of ending.
///
/// Bounded by databases × states, or the like.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeSet<Labels>);

impl Seen {
    /// Samples of the pairs counted now, and zeros for those counted before.
    fn gauge(&mut self, metric: &Metric, counts: Vec<(Labels, f64)>, out: &mut Vec<Sample>) {
        let now: BTreeSet<Labels> = counts.iter().map(|(labels, _)| labels.clone()).collect();
        for gone in self.0.difference(&now) {
            out.push(metric.sample(gone.clone(), 0.0));
        }
        self.0.extend(now);
        for (labels, count) in counts {
            out.push(metric.sample(labels, count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::series::Kind;

    #[test]
    fn every_metric_is_named_as_prometheus_asks() {
        for metric in metrics() {
            let name = metric.name;
            assert!(name.starts_with("pg_"), "{name}");
            assert_eq!(
                metric.kind == Kind::Counter,
                name.ends_with("_total"),
                "{name}"
            );
            let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(name.chars().all(lower), "{name}");
            for unit in ["_ms", "_milliseconds", "_minutes", "_kb", "_count", "_sum"] {
                assert!(!name.ends_with(unit), "{name}");
            }
            assert!(
                metric.help.ends_with('.') && metric.help.len() > 10,
                "{name}"
            );
        }
    }

    #[test]
    fn two_fields_of_one_metric_agree_on_its_kind() {
        let fields: Vec<&Field> = VIEWS.iter().flat_map(|view| view.fields).collect();
        for field in &fields {
            let sister = fields.iter().find(|f| f.metric.name == field.metric.name);
            assert_eq!(sister.unwrap().metric, field.metric);
        }
    }

    #[test]
    fn a_state_that_is_left_falls_to_zero() {
        let labels = |state: &str| Labels::none().with("state", state);
        let (mut seen, mut out) = (Seen::default(), Vec::new());
        seen.gauge(
            &activity::CONNECTIONS,
            vec![(labels("idle"), 2.0)],
            &mut out,
        );
        out.clear();
        seen.gauge(
            &activity::CONNECTIONS,
            vec![(labels("active"), 1.0)],
            &mut out,
        );
        let read: Vec<_> = out
            .iter()
            .map(|s| (s.series.labels.get("state").unwrap(), s.value))
            .collect();
        assert_eq!(read, [("idle", 0.0), ("active", 1.0)]);
    }

    #[test]
    fn milliseconds_are_given_back_to_those_who_expect_them() {
        let names = compat_names();
        let find = |theirs: &str| names.iter().find(|n| n.theirs == theirs).unwrap();
        let time = find("pg_stat_database_blk_read_time");
        assert_eq!(time.own, "pg_database_blk_read_seconds_total");
        assert!((time.factor - 1e3).abs() < 1e-9);
        assert!((find("pg_stat_database_xact_commit").factor - 1.0).abs() < 1e-12);
    }
}
