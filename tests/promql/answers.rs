//! Answers worked out by hand, over eleven minutes of a few series.

use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll::model::series::{Kind, Labels, Metric, Sample, Scrape, SeriesKey};
use plimsoll::model::units::Timestamp;
use plimsoll::store::{Bucket, Options, Store, Tier};
use plimsoll::work::query::{Queries, Value};
use tempfile::TempDir;

use crate::samples::{START, queries};

const GAUGE: Metric = Metric::gauge("g", "Minutes and one, or ten times that.");
const COUNTER: Metric = Metric::counter("c_total", "One a second, from zero again at minute 4.");
const PUSHED: Metric = Metric::gauge("p", "Ends with a stale marker at minute 5.");
const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);
const MINUTE: i64 = 60_000;

fn small() -> (Arc<Queries>, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(Options::in_dir(dir.path())).unwrap());
    let host = |host: &str| Labels::none().with("host", host);
    let append = |target: &str, minute: i64, samples: Vec<Sample>| {
        let at = Timestamp::from_millis(START + minute * MINUTE);
        let target = target.to_owned();
        store
            .history()
            .append(&Scrape {
                target,
                at,
                samples,
            })
            .unwrap();
    };
    for minute in 0..=10 {
        let since = if minute < 4 { minute } else { minute - 4 };
        let samples = vec![
            GAUGE.sample(host("a"), (minute + 1) as f64),
            GAUGE.sample(host("b"), (10 * minute + 10) as f64),
            COUNTER.sample(Labels::none(), (60 * since) as f64),
        ];
        append("main", minute, samples);
        let value = if minute == 5 { STALE } else { minute as f64 };
        if minute <= 5 {
            let labels = Labels::none().with("job", "x");
            append("push:1", minute, vec![PUSHED.sample(labels, value)]);
        }
    }
    (queries(store, START + 10 * MINUTE), dir)
}

/// Values by series as text, such as `{host="a"}`.
async fn answer(queries: &Queries, expression: &str, ms: i64) -> BTreeMap<String, f64> {
    let at = Timestamp::from_millis(START + ms);
    let shown = |labels: Labels| {
        let pairs: Vec<String> = labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
        pairs.join(",")
    };
    match queries.instant(expression, at).await.expect(expression) {
        Value::Scalar(values) => [(String::new(), values[0])].into(),
        Value::Vector(rows) => {
            let rows = rows.into_iter();
            rows.map(|row| (shown(row.labels), row.values[0])).collect()
        }
        other => panic!("{expression}: {other:?}"),
    }
}

const A: &str = "__name__=g,host=a,target=main";
const B: &str = "__name__=g,host=b,target=main";
const BARE: &str = "host=a,target=main";

/// An expression, ms after the start, and values by series.
type Case = (&'static str, i64, &'static [(&'static str, f64)]);

const CASES: &[Case] = &[
    ("g", 10 * MINUTE, &[(A, 11.0), (B, 110.0)]),
    (r#"g{target="main",host!="b"}"#, 10 * MINUTE, &[(A, 11.0)]),
    (r#"g{target="other"}"#, 10 * MINUTE, &[]),
    (
        r#"{__name__=~"g|p",target=""}"#,
        4 * MINUTE,
        &[("__name__=p,job=x", 4.0)],
    ),
    // Five minutes back, and not a millisecond more.
    (r#"g{host="a"}"#, 15 * MINUTE, &[(A, 11.0)]),
    (r#"g{host="a"}"#, 15 * MINUTE + 1, &[]),
    (r#"g{host="a"} offset 3m"#, 10 * MINUTE, &[(A, 8.0)]),
    // The marker ends the series at once, and is no sample of a range.
    ("p", 5 * MINUTE - 1, &[("__name__=p,job=x", 4.0)]),
    ("p", 5 * MINUTE, &[]),
    ("p", 6 * MINUTE, &[]),
    ("count_over_time(p[10m])", 10 * MINUTE, &[("job=x", 5.0)]),
    // From the very border to the very border: nothing is extrapolated.
    (
        "increase(c_total[6m])",
        10 * MINUTE,
        &[("target=main", 360.0)],
    ),
    ("rate(c_total[6m])", 10 * MINUTE, &[("target=main", 1.0)]),
    (
        "increase(c_total[10m])",
        10 * MINUTE,
        &[("target=main", 540.0)],
    ),
    ("resets(c_total[10m])", 10 * MINUTE, &[("target=main", 1.0)]),
    ("irate(c_total[10m])", 10 * MINUTE, &[("target=main", 1.0)]),
    (r#"delta(g{host="a"}[10m])"#, 10 * MINUTE, &[(BARE, 10.0)]),
    // Both ends of a range belong to it: 9, 10 and 11.
    (
        r#"avg_over_time(g{host="a"}[2m])"#,
        10 * MINUTE,
        &[(BARE, 10.0)],
    ),
    (
        r#"sum_over_time(g{host="a"}[2m])"#,
        10 * MINUTE,
        &[(BARE, 30.0)],
    ),
    (
        r#"count_over_time(g{host="a"}[2m])"#,
        10 * MINUTE,
        &[(BARE, 3.0)],
    ),
    (
        r#"min_over_time(g{host="a"}[2m])"#,
        10 * MINUTE,
        &[(BARE, 9.0)],
    ),
    (
        r#"last_over_time(g{host="a"}[2m])"#,
        10 * MINUTE,
        &[(A, 11.0)],
    ),
    (
        r#"quantile_over_time(0.5, g{host="a"}[2m])"#,
        10 * MINUTE,
        &[(BARE, 10.0)],
    ),
    ("sum(g)", 10 * MINUTE, &[("", 121.0)]),
    (
        "avg without (host) (g)",
        10 * MINUTE,
        &[("target=main", 60.5)],
    ),
    ("topk(1, g)", 10 * MINUTE, &[(B, 110.0)]),
    ("quantile(0.5, g)", 10 * MINUTE, &[("", 60.5)]),
    ("stddev(g)", 10 * MINUTE, &[("", 49.5)]),
    ("g > 50", 10 * MINUTE, &[(B, 110.0)]),
    (
        "g > bool 50",
        10 * MINUTE,
        &[(BARE, 0.0), ("host=b,target=main", 1.0)],
    ),
    ("-sum(g) * 2 + 1", 10 * MINUTE, &[("", -241.0)]),
    ("2 ^ 3 ^ 2 - 2 * 3 % 4", 0, &[("", 510.0)]),
    (
        r#"g{host="b"} / ignoring (host) g{host="a"}"#,
        10 * MINUTE,
        &[("target=main", 10.0)],
    ),
    (r#"scalar(g{host="a"}) + 1"#, 10 * MINUTE, &[("", 12.0)]),
    (r#"absent(nothing{a="b"})"#, 0, &[("a=b", 1.0)]),
    ("absent(g)", 10 * MINUTE, &[]),
    ("round(vector(2.5))", 0, &[("", 3.0)]),
    (
        r#"timestamp(g{host="a"}) - time()"#,
        12 * MINUTE,
        &[(BARE, -120.0)],
    ),
    (
        r#"label_replace(g{host="a"}, "zone", "z$1", "host", "(.)")"#,
        10 * MINUTE,
        &[("__name__=g,host=a,target=main,zone=za", 11.0)],
    ),
];

#[tokio::test]
async fn answers_are_those_worked_out_by_hand() {
    let (queries, _dir) = small();
    for (expression, ms, wanted) in CASES {
        let got = answer(&queries, expression, *ms).await;
        let wanted: BTreeMap<String, f64> =
            wanted.iter().map(|(s, v)| ((*s).to_owned(), *v)).collect();
        let same = got.len() == wanted.len()
            && got
                .iter()
                .zip(&wanted)
                .all(|((a, x), (b, y))| a == b && (x - y).abs() < 1e-9);
        assert!(same, "{expression} at {ms}: {got:?}, by hand {wanted:?}");
    }
}

#[tokio::test]
async fn a_value_of_now_from_memory_is_that_of_the_disk() {
    let (queries, _dir) = small();
    // At its own instant memory answers, a millisecond earlier the samples do.
    for (ms, value) in [(10 * MINUTE, 11.0), (10 * MINUTE - 1, 10.0)] {
        let got = answer(&queries, r#"g{host="a"}"#, ms).await;
        assert_eq!(got.into_values().collect::<Vec<_>>(), [value]);
    }
}

#[tokio::test]
async fn before_the_oldest_sample_buckets_tell_and_in_a_gap_they_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(Options::in_dir(dir.path())).unwrap());
    let key = SeriesKey::bare(GAUGE.name);
    let hour = 60 * MINUTE;
    let bucket = |ms: i64, last: f64| {
        let at = Timestamp::from_millis(START + ms);
        Bucket::gauge(at, [last, last, last, last], 5)
    };
    let history = store.history();
    let append = |tier, buckets: &[Bucket]| {
        let kind = Kind::Gauge;
        history
            .append_rollups("main", tier, &key, kind, buckets)
            .unwrap();
    };
    append(
        Tier::Hour,
        &[bucket(-26 * hour, 1.0), bucket(-25 * hour, 2.0)],
    );
    append(
        Tier::FiveMinutes,
        &[bucket(-10 * MINUTE, 3.0), bucket(-5 * MINUTE, 4.0)],
    );
    // A minute of samples, a gap of three hours, and one more; the first span is sealed.
    for (ms, value) in [(0, 5.0), (MINUTE, 6.0), (3 * hour, 7.0)] {
        let at = Timestamp::from_millis(START + ms);
        let samples = vec![GAUGE.sample(Labels::none(), value)];
        history
            .append(&Scrape {
                target: "main".to_owned(),
                at,
                samples,
            })
            .unwrap();
        store.tick(at).unwrap();
    }
    let queries = queries(Arc::clone(&store), START + 3 * hour);
    for (ms, wanted) in [
        (-25 * hour, Some(1.0)),
        (-24 * hour, Some(2.0)),
        (-24 * hour - 10 * MINUTE, None),
        (-5 * MINUTE, Some(3.0)),
        (-2 * MINUTE, Some(3.0)),
        (-1, Some(4.0)),
        (MINUTE, Some(6.0)),
        // The bucket of the last sample before the gap ends within reach, and is not looked at.
        (6 * MINUTE + 1, None),
        (9 * MINUTE, None),
        (3 * hour, Some(7.0)),
    ] {
        let got = answer(&queries, "g", ms).await;
        assert_eq!(got.into_values().next(), wanted, "{ms}");
    }
}
