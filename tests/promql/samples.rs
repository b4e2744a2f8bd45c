//! The same samples for everybody: three hours of counters and gauges with all that is awkward.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use plimsoll::clock::SettableClock;
use plimsoll::model::series::{Kind, Labels, Sample, Scrape, SeriesKey};
use plimsoll::model::units::{Millis, Timestamp};
use plimsoll::store::{Options, Store};
use plimsoll::work::board::Board;
use plimsoll::work::query::Queries;
use tempfile::TempDir;

/// Midnight, so that spans of the store and blocks of Prometheus begin here.
pub(crate) const START: i64 = 1_773_100_800_000;
pub(crate) const HOUR: i64 = 3_600_000;

/// One series with all its samples, in ms since 1970.
pub(crate) struct Recorded {
    pub(crate) metric: &'static str,
    pub(crate) labels: Labels,
    pub(crate) samples: Vec<(i64, f64)>,
}

/// A number from 0 to 999 that depends on both and looks like noise.
fn noise(a: i64, b: i64) -> f64 {
    let mut x = a.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ b.cast_unsigned().wrapping_mul(0xd1b5_4a32_d192_ed03);
    x ^= x >> 29;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((x ^ (x >> 32)) % 1_000) as f64
}

fn labels(pairs: &[(&'static str, &str)]) -> Labels {
    pairs.iter().map(|(n, v)| (*n, (*v).to_owned())).collect()
}

/// Every `apart` ms from `offset` on, for `hours`; an instant without a value has no sample.
fn series(
    metric: &'static str,
    pairs: &[(&'static str, &str)],
    (offset, apart, end): (i64, i64, i64),
    value: impl Fn(i64) -> Option<f64>,
) -> Recorded {
    let instants = (offset..end).step_by(usize::try_from(apart).unwrap());
    Recorded {
        metric,
        labels: labels(pairs),
        samples: instants
            .filter_map(|ms| Some((START + ms, value(ms)?)))
            .collect(),
    }
}

pub(crate) fn all() -> Vec<Recorded> {
    let end = 3 * HOUR;
    let mut all = Vec::new();
    for (which, (code, host)) in (0..).zip([("200", "a"), ("500", "a"), ("200", "b"), ("500", "b")])
    {
        // Of host a exactly on the border of minutes, of host b beside it; both fall back twice.
        let offset = if host == "a" { 0 } else { 7_313 };
        let pairs = [("code", code), ("host", host)];
        let grows = move |ms: i64| {
            let since = ms % (HOUR + 600_000 * (which + 1));
            Some((since / 1_000 * (which + 1)) as f64 + noise(which, ms / 60_000 % 2).floor())
        };
        all.push(series(
            "requests_total",
            &pairs,
            (offset, 15_000, end),
            grows,
        ));
    }
    for (which, host) in (10..).zip(["a", "b", "c"]) {
        let level = move |ms: i64| match host {
            "b" if ms % 700_000 == 0 => Some(f64::NAN),
            "c" if (HOUR..HOUR + 1_500_000).contains(&ms) => None,
            _ => Some(noise(which, ms) / 7.0 - 30.0),
        };
        all.push(series("level", &[("host", host)], (0, 10_000, end), level));
    }
    let limits = [("a", 50.0), ("b", -10.0)];
    for (host, limit) in limits {
        let pairs = [("host", host), ("unit", "m")];
        all.push(series("limit", &pairs, (3_000, 60_000, end), move |_| {
            Some(limit)
        }));
    }
    all.push(series("flat", &[], (0, 30_000, end), |_| Some(42.0)));
    all.push(series("sparse", &[], (0, 240_000, end), |ms| {
        Some((ms / 1_000) as f64)
    }));
    all.push(series("early", &[("host", "a")], (0, 15_000, HOUR), |ms| {
        Some(ms as f64 / 1e3)
    }));
    all.push(series("tiny", &[], (0, 20_000, end), |ms| {
        Some(noise(20, ms) * 1e-12)
    }));
    all.push(series("huge", &[], (0, 20_000, end), |ms| {
        Some(noise(21, ms) * 1e15)
    }));
    all.push(series("ends", &[], (0, 60_000, end), |ms| {
        match ms / 60_000 % 7 {
            3 => Some(f64::INFINITY),
            5 => Some(f64::NEG_INFINITY),
            other => Some(other as f64),
        }
    }));
    all
}

/// The samples as `OpenMetrics`, for whoever reads that.
pub(crate) fn open_metrics() -> String {
    let mut text = String::new();
    let mut declared = "";
    for recorded in all() {
        let family = recorded.metric.trim_end_matches("_total");
        let kind = if family == recorded.metric {
            "gauge"
        } else {
            "counter"
        };
        if declared != recorded.metric {
            writeln!(text, "# TYPE {family} {kind}").unwrap();
            declared = recorded.metric;
        }
        let key = SeriesKey {
            metric: recorded.metric.into(),
            labels: recorded.labels,
        };
        for (ms, value) in recorded.samples {
            let value = match value {
                v if v == f64::INFINITY => "+Inf".to_owned(),
                v if v == f64::NEG_INFINITY => "-Inf".to_owned(),
                v => v.to_string(),
            };
            writeln!(text, "{key} {value} {}.{:03}", ms / 1_000, ms % 1_000).unwrap();
        }
    }
    text + "# EOF\n"
}

/// The samples in a store of ours: what is older than two hours sealed, the rest in memory.
pub(crate) struct Ours {
    pub(crate) queries: Arc<Queries>,
    _dir: TempDir,
}

pub(crate) fn ours() -> Ours {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(Options::in_dir(dir.path())).unwrap());
    let mut scrapes: BTreeMap<i64, Vec<Sample>> = BTreeMap::new();
    for recorded in all() {
        let kind = if recorded.metric.ends_with("_total") {
            Kind::Counter
        } else {
            Kind::Gauge
        };
        for (ms, value) in recorded.samples {
            let series = SeriesKey {
                metric: recorded.metric.into(),
                labels: recorded.labels.clone(),
            };
            scrapes.entry(ms).or_default().push(Sample {
                series,
                kind,
                resolution: None,
                value,
            });
        }
    }
    for (ms, samples) in scrapes {
        let at = Timestamp::from_millis(ms);
        let target = "push:test".to_owned();
        store
            .history()
            .append(&Scrape {
                target,
                at,
                samples,
            })
            .unwrap();
        if ms % HOUR == 0 {
            store.tick(at).unwrap();
        }
    }
    Ours {
        queries: queries(store, START + 3 * HOUR),
        _dir: dir,
    }
}

/// Questions about a store, at `now` in ms.
pub(crate) fn queries(store: Arc<Store>, now: i64) -> Arc<Queries> {
    let clock = Arc::new(SettableClock::at(Timestamp::from_millis(now)));
    let board = Arc::new(Board::new([], Vec::new()));
    Arc::new(Queries::new(store, board, clock, Millis::MINUTE))
}
