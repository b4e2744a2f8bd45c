//! The same questions to us and to a real Prometheus, over the same samples.

use std::collections::BTreeMap;

use plimsoll::model::series::Labels;
use plimsoll::model::units::{Millis, Timestamp};
use plimsoll::work::query::{Span, Value, is_absent};

use crate::rival::Rival;
use crate::samples::{self, HOUR, Ours, START};

/// Expressions that both answer.
const EXPRESSIONS: &[&str] = &[
    "level",
    "flat",
    "sparse",
    "early",
    "ends",
    "1",
    "time()",
    "-level",
    r#"level{host="a"}"#,
    r#"level{host!="a"}"#,
    r#"level{host=~"a|c"}"#,
    r#"level{host!~"a|c"}"#,
    r#"{__name__=~"le.+",host=~".+"}"#,
    r#"requests_total{missing=""}"#,
    "level offset 10m",
    "level offset -10m",
    "level @ 1773103000",
    "level @ 1773103000 offset 1m",
    "rate(requests_total[5m])",
    "rate(requests_total[1m])",
    "rate(requests_total[17m])",
    "increase(requests_total[5m])",
    "increase(requests_total[5m] offset 3m)",
    "irate(requests_total[5m])",
    "delta(level[5m])",
    "idelta(level[5m])",
    "rate(requests_total[5m] @ 1773104000)",
    "rate(sparse[10m])",
    "increase(early[30m])",
    "avg_over_time(level[5m])",
    "avg_over_time(tiny[10m])",
    "avg_over_time(huge[10m])",
    "avg_over_time(ends[10m])",
    "min_over_time(level[5m])",
    "max_over_time(level[5m])",
    "max_over_time(ends[10m])",
    "sum_over_time(level[5m])",
    "sum_over_time(huge[1h])",
    "count_over_time(level[5m])",
    "count_over_time(flat[30s])",
    "last_over_time(level[5m])",
    "present_over_time(early[5m])",
    "quantile_over_time(0.9, level[10m])",
    "quantile_over_time(-1, level[10m])",
    "stddev_over_time(level[10m])",
    "stdvar_over_time(tiny[10m])",
    "changes(requests_total[10m])",
    "resets(requests_total[2h])",
    "deriv(level[15m])",
    "predict_linear(requests_total[15m], 3600)",
    "predict_linear(flat[15m], 3600)",
    "sum(level)",
    "sum by (host) (requests_total)",
    "sum without (code) (rate(requests_total[5m]))",
    "avg(level)",
    "avg by (code) (requests_total)",
    "min(level)",
    "max(requests_total)",
    "count(level)",
    "count by (host) ({host=~\".+\"})",
    "group by (host) (requests_total)",
    "stddev(level)",
    "stdvar by (code) (requests_total)",
    "quantile(0.3, requests_total)",
    "topk(2, requests_total)",
    "bottomk(1, level)",
    "topk by (host) (1, requests_total)",
    "level + 1",
    "2 * level - level",
    "level / 0",
    "level % 7",
    "level ^ 2",
    "sum(flat) atan2 2",
    "level > 20",
    "level > bool 20",
    "20 < level",
    "level != 3",
    "1 + 2 * 3 ^ 2 ^ 0.5",
    "1 > bool 2",
    "level / on (host) limit",
    "level / ignoring (unit) limit",
    "level > ignoring (unit) limit",
    "requests_total / on (host) group_left limit",
    "limit * on (host) group_right (unit) requests_total",
    r#"sum by (host) (requests_total{code="500"}) / sum by (host) (requests_total)"#,
    "level and on (host) limit",
    "level unless on (host) limit",
    "level or limit",
    "level or on () limit",
    "abs(level)",
    "ceil(level)",
    "floor(level)",
    "round(level)",
    "round(level, 0.25)",
    "clamp(level, -5, 5)",
    "clamp(level, 5, -5)",
    "clamp_min(level, 0)",
    "clamp_max(level, 0)",
    "sqrt(abs(level))",
    "exp(tiny)",
    "ln(huge)",
    "log2(huge)",
    "log10(huge)",
    "sgn(level)",
    "scalar(flat)",
    "scalar(level)",
    "vector(3)",
    "level * scalar(flat)",
    "timestamp(level)",
    "timestamp(sparse)",
    "timestamp(level + 1)",
    "sort(level)",
    "sort_desc(level)",
    "absent(early)",
    r#"absent(early{host="a",x!="y"})"#,
    r#"absent(nothing{a="b",c=~"d"})"#,
    "absent(sum(nothing))",
    r#"absent_over_time(early{host="a"}[5m])"#,
    r#"label_replace(level, "name", "$1-x", "host", "(.*)")"#,
    r#"label_replace(level, "name", "x", "host", "b")"#,
    r#"label_replace(level, "host", "", "host", "b")"#,
    "nothing",
];

/// Expressions that both refuse.
const REFUSED: &[&str] = &[
    r#"rate({__name__=~"level|early"}[5m])"#,
    r#"-{__name__=~"level|early"}"#,
    r#"abs({__name__=~"level|early"})"#,
    "requests_total / on (host) limit",
    "limit / on (host) requests_total",
    "level / on () limit",
    "topk(NaN, level)",
    r#"label_replace(level, "host", "x", "host", ".*")"#,
    "rate(level)",
    "level[5m] + 1",
    "{}",
    r#"{a=~".*"}"#,
    "level{a=~\"(\"}",
    "sum(",
    "1 == 1",
];

/// Values by label set, with their instants in ms.
type Answer = BTreeMap<Labels, Vec<(i64, f64)>>;

fn ms(seconds: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "these are of this century")]
    let ms = (seconds * 1_000.0).round() as i64;
    ms
}

fn point(pair: &serde_json::Value) -> (i64, f64) {
    let value = pair[1].as_str().unwrap();
    (ms(pair[0].as_f64().unwrap()), value.parse().unwrap())
}

/// What Prometheus says.
fn theirs(data: &serde_json::Value) -> Answer {
    if data["resultType"] == "scalar" {
        return [(Labels::none(), vec![point(&data["result"])])].into();
    }
    let rows = data["result"].as_array().unwrap().iter();
    rows.map(|row| {
        let pairs = row["metric"].as_object().unwrap().iter();
        let labels = pairs.map(|(n, v)| (n.clone(), v.as_str().unwrap().to_owned()));
        let values = match row["values"].as_array() {
            Some(values) => values.iter().map(point).collect(),
            None => vec![point(&row["value"])],
        };
        (labels.collect(), values)
    })
    .collect()
}

/// What we say.
fn our_answer(value: Value, instants: &[i64]) -> Answer {
    let pick = |values: Vec<f64>| -> Vec<(i64, f64)> {
        let points = instants.iter().copied().zip(values);
        points.filter(|(_, value)| !is_absent(*value)).collect()
    };
    match value {
        Value::Scalar(values) => [(Labels::none(), pick(values))].into(),
        Value::Vector(rows) => {
            let rows = rows.into_iter();
            rows.map(|row| (row.labels, pick(row.values))).collect()
        }
        Value::Matrix(rows) => {
            let rows = rows.into_iter();
            rows.map(|row| (row.labels, row.samples)).collect()
        }
        Value::Text(_) => Answer::new(),
    }
}

/// How values differ at most: by a billionth, and by what is lost where large values cancel.
fn near(a: f64, b: f64, scale: f64) -> bool {
    let bound = 1e-9 * a.abs().max(b.abs()) + 1e-13 * scale;
    a.is_nan() && b.is_nan() || a.to_bits() == b.to_bits() || (a - b).abs() <= bound
}

fn compare(what: &str, ours: &Answer, theirs: &Answer) -> Result<(), String> {
    let (a, b): (Vec<_>, Vec<_>) = (ours.keys().collect(), theirs.keys().collect());
    if a != b {
        return Err(format!("{what}: series {a:?}, theirs {b:?}"));
    }
    for (labels, values) in ours {
        let others = &theirs[labels];
        let (a, b): (Vec<i64>, Vec<i64>) = (
            values.iter().map(|v| v.0).collect(),
            others.iter().map(|v| v.0).collect(),
        );
        if a != b {
            let first = a.iter().zip(&b).find(|(a, b)| a != b);
            let counts = (a.len(), b.len());
            return Err(format!(
                "{what} {labels:?}: instants {counts:?} from {first:?}"
            ));
        }
        let finite = others.iter().map(|v| v.1.abs()).filter(|v| v.is_finite());
        let scale = finite.fold(0.0, f64::max);
        for (ours, theirs) in values.iter().zip(others) {
            if !near(ours.1, theirs.1, scale) {
                return Err(format!("{what} {labels:?}: {ours:?}, theirs {theirs:?}"));
            }
        }
    }
    Ok(())
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

async fn at_instants(ours: &Ours, rival: &Rival, expression: &str) -> Result<(), String> {
    // On the border of everything, beside it, in the gap, and at and after the end.
    let instants = [
        300_000,
        HOUR,
        HOUR + 300_000,
        HOUR + 453_123,
        2 * HOUR + 1,
        3 * HOUR - 60_000,
        3 * HOUR + 290_000,
        3 * HOUR + 299_999,
        4 * HOUR,
    ];
    for instant in instants.map(|ms| START + ms) {
        let at = Timestamp::from_millis(instant);
        let value = ours.queries.instant(expression, at).await;
        let value = value.map_err(|error| format!("{expression}: {error}"))?;
        let fields = [("query", expression), ("time", &seconds(instant))];
        let data = rival.ask("query", &fields).await;
        let data = data.map_err(|error| format!("{expression}: theirs {error}"))?;
        let what = format!("{expression} at {}", instant - START);
        compare(&what, &our_answer(value, &[instant]), &theirs(&data))?;
    }
    Ok(())
}

async fn over_ranges(ours: &Ours, rival: &Rival, expression: &str) -> Result<(), String> {
    let ranges = [
        (0, 3 * HOUR + 600_000, 60_000),
        (HOUR - 600_000, 2 * HOUR, 37_500),
        (0, 3 * HOUR, 300_000),
        (-HOUR, 4 * HOUR, HOUR),
    ];
    for (from, until, step) in ranges {
        let span = Span {
            from: Timestamp::from_millis(START + from),
            until: Timestamp::from_millis(START + until),
            step: Millis(step.cast_unsigned()),
        };
        let answer = ours.queries.range(expression, span).await;
        let (value, steps) = answer.map_err(|error| format!("{expression}: {error}"))?;
        let fields = [
            ("query", expression),
            ("start", &seconds(START + from)),
            ("end", &seconds(START + until)),
            ("step", &seconds(step)),
        ];
        let data = rival.ask("query_range", &fields).await;
        let data = data.map_err(|error| format!("{expression}: theirs {error}"))?;
        let what = format!("{expression} from {from} by {step}");
        let instants: Vec<i64> = steps.instants().collect();
        compare(&what, &our_answer(value, &instants), &theirs(&data))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_gives_the_same_answers() {
    let Some(rival) = Rival::start().await else {
        return;
    };
    let ours = samples::ours();
    let mut differences = Vec::new();
    for expression in EXPRESSIONS {
        differences.extend(at_instants(&ours, &rival, expression).await.err());
        differences.extend(over_ranges(&ours, &rival, expression).await.err());
    }
    for raw in ["level[5m]", "ends[1h] offset 7m", "early[30s] @ 1773102000"] {
        differences.extend(at_instants(&ours, &rival, raw).await.err());
    }
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_refuses_the_same() {
    let Some(rival) = Rival::start().await else {
        return;
    };
    let ours = samples::ours();
    let instant = START + HOUR;
    for expression in REFUSED {
        let fields = [("query", *expression), ("time", &seconds(instant))];
        let theirs = rival.ask("query", &fields).await;
        let at = Timestamp::from_millis(instant);
        let ours = ours.queries.instant(expression, at).await;
        assert!(theirs.is_err(), "{expression}: theirs {theirs:?}");
        assert!(ours.is_err(), "{expression}: ours {ours:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sorted_answers_have_the_order_of_a_real_prometheus() {
    let Some(rival) = Rival::start().await else {
        return;
    };
    let ours = samples::ours();
    let instant = START + HOUR + 20_000;
    for expression in [
        "sort(level)",
        "sort_desc(requests_total)",
        "topk(3, requests_total)",
    ] {
        let fields = [("query", expression), ("time", &seconds(instant))];
        let data = rival.ask("query", &fields).await.unwrap();
        let theirs: Vec<f64> = data["result"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| point(&row["value"]).1)
            .collect();
        let at = Timestamp::from_millis(instant);
        let Value::Vector(rows) = ours.queries.instant(expression, at).await.unwrap() else {
            panic!("{expression} is a vector");
        };
        let values: Vec<f64> = rows.iter().map(|row| row.values[0]).collect();
        assert_eq!(values, theirs, "{expression}");
    }
}
