//! Input that means harm: nothing of it may take long, much memory, or the process.

use std::sync::Arc;

use serde_json::json;

use crate::api::{get, post, site};
use crate::samples::{self, HOUR, START};

#[tokio::test]
async fn expressions_that_would_exhaust_something_are_refused() {
    let ours = samples::ours();
    let site = site(Some(Arc::clone(&ours.queries)));
    let expressions = [
        "(".repeat(60_000),
        format!("{}1{}", "(".repeat(30_000), ")".repeat(30_000)),
        "-".repeat(60_000),
        "1+".repeat(30_000) + "1",
        "abs(".repeat(10_000),
        "sum by (a) (".repeat(5_000),
        "{a=~\"b\"} or ".repeat(4_000),
        format!("level{{host=~\"{}\"}}", "(a{1000}){1000}"),
        format!("level{{host=~\"{}\"}}", r"((((\\pL{99}){99}){99}){99})"),
        format!("level{{host=~\"{}\"}}", "(".repeat(20_000)),
        format!(
            "label_replace(level, \"a\", \"b\", \"host\", \"{}\")",
            "(x{999}){999}"
        ),
        "\0\u{feff}level".to_owned(),
        "level[".to_owned(),
        "level[99999999999999y]".to_owned(),
        "level offset 99999999999999999999y".to_owned(),
        "level @ 1e300".to_owned(),
        "\"\\".to_owned(),
    ];
    for expression in expressions {
        let start: String = expression.chars().take(40).collect();
        let (code, body) = post(&site, "query", &[("query", &expression)]).await;
        assert_eq!(code, 400, "{start}: {body}");
        assert_eq!(body["errorType"], "bad_data", "{start}");
        assert!(!body["error"].as_str().unwrap().is_empty(), "{start}");
    }
}

#[tokio::test]
async fn a_megabyte_is_refused_before_it_is_read() {
    let ours = samples::ours();
    let site = site(Some(Arc::clone(&ours.queries)));
    let expression = "1 ".repeat(500_000);
    let (code, body) = post(&site, "query", &[("query", &expression)]).await;
    assert_eq!((code.as_u16(), &body["status"]), (400, &json!("error")));
}

#[tokio::test]
async fn ranges_that_are_none_or_endless_are_refused() {
    let ours = samples::ours();
    let site = site(Some(Arc::clone(&ours.queries)));
    let start = (START / 1_000).to_string();
    let end = ((START + 3 * HOUR) / 1_000).to_string();
    let cases: &[(&str, &str, &str)] = &[
        (&start, &end, "0"),
        (&start, &end, "-5"),
        (&start, &end, "0.0001"),
        (&start, &end, "NaN"),
        (&start, &end, "inf"),
        (&start, &end, "1e-300"),
        (&start, &end, "0.001"),
        (&end, &start, "60"),
        ("NaN", &end, "60"),
        (&start, "NaN", "60"),
        ("-inf", "inf", "60"),
        ("0", "1000000000", "1"),
        ("-9e11", "9e11", "0.001"),
        (&start, &end, ""),
    ];
    for (start, end, step) in cases {
        let fields = [
            ("query", "1"),
            ("start", *start),
            ("end", *end),
            ("step", *step),
        ];
        let (code, body) = get(&site, "query_range", &fields).await;
        assert_eq!(
            (code.as_u16(), &body["errorType"]),
            (400, &json!("bad_data")),
            "{fields:?}"
        );
    }
    for time in ["NaN", "-Inf", "1e300", "yesterday"] {
        let (code, _) = get(&site, "query", &[("query", "1"), ("time", time)]).await;
        assert_eq!(code, 400, "{time}");
    }
}

#[tokio::test]
async fn extreme_times_have_an_answer_without_values() {
    let ours = samples::ours();
    let site = site(Some(Arc::clone(&ours.queries)));
    for time in ["-1", "0", "999999999999", "-999999999999"] {
        for expression in [
            "level",
            "level[1000y]",
            "rate(requests_total[100y])",
            "level offset -290y",
            "level @ 9223372036",
            "level @ -9223372036 offset 290y",
        ] {
            let fields = [("query", expression), ("time", time)];
            let (code, body) = get(&site, "query", &fields).await;
            assert!(code == 200 || code == 400, "{expression} at {time}: {body}");
        }
        let fields = [
            ("query", "level"),
            ("start", time),
            ("end", time),
            ("step", "1e15"),
        ];
        assert_eq!(get(&site, "query_range", &fields).await.0, 200, "{time}");
    }
}
