//! `/cache/…`: the specification's four endpoints, and the rows of named queries.

use std::io::Write as _;
use std::sync::Arc;

use plimsoll::http::Site;
use serde_json::{Value, json};

use crate::{BASE, Reply, fixture, send, send_body, through};

fn path(rest: &str) -> String {
    format!("{BASE}/cache/{rest}")
}

async fn post(site: &Arc<Site>, rest: &str, body: Value) -> Reply {
    send_body(site, &path(rest), body.to_string()).await
}

async fn look(site: &Arc<Site>, rest: &str) -> Reply {
    send(site, "GET", &path(rest), &[]).await
}

#[tokio::test]
async fn before_anybody_asks_the_figures_are_zero_and_say_of_how_many() {
    let site = fixture::site();
    let metrics = look(&site, "metrics").await.json();
    for field in [
        "hits",
        "misses",
        "hitRate",
        "evictions",
        "size",
        "memoryUsage",
        "avgGetTime",
        "avgSetTime",
        "lookups",
    ] {
        assert_eq!(metrics[field].as_f64(), Some(0.0), "{field}");
    }
    assert_eq!(metrics["queries"], 3);
    assert_eq!(metrics["layer"], "memory");
    let rates = look(&site, "hit-rate").await.json();
    assert_eq!(rates["byKey"], json!({}));
    assert_eq!(rates["overall"].as_f64(), Some(0.0));
    assert_eq!(rates["timestamp"], "2026-05-01T12:00:00.000Z");
}

#[tokio::test]
async fn rows_are_loaded_once_then_hits_and_the_metrics_are_what_happened() {
    let site = fixture::site();
    let first = look(&site, "queries/agents:active").await;
    assert_eq!(first.status, 200);
    assert_eq!(first.header("x-cache"), "miss");
    assert_eq!(first.header("age"), "0");
    assert_eq!(
        first.text(),
        "[{\"from\":\"agents:active\",\"big\":12345678901234567890.5}]"
    );
    for _ in 0..3 {
        assert_eq!(
            look(&site, "queries/agents%3Aactive")
                .await
                .header("x-cache"),
            "hit"
        );
    }
    let known = [("if-none-match", first.header("etag"))];
    let again = send(&site, "GET", &path("queries/agents:active"), &known).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    assert_eq!(again.header("x-cache"), "hit");
    let metrics = look(&site, "metrics").await.json();
    assert_eq!(
        (&metrics["hits"], &metrics["misses"]),
        (&json!(4), &json!(1))
    );
    assert_eq!(metrics["hitRate"], 0.8);
    assert_eq!((&metrics["gets"], &metrics["sets"]), (&json!(5), &json!(1)));
    assert!(metrics["avgGetTime"].as_f64().unwrap() > 0.0);
    assert!(metrics["avgSetTime"].as_f64().unwrap() > 0.0);
    assert!(
        metrics["avgGetTime"].as_f64().unwrap() < 1.0,
        "the target of the specification"
    );
    let bytes = metrics["memoryUsage"].as_u64().unwrap();
    assert!(bytes > first.body.len() as u64, "{bytes}");
    let rates = look(&site, "hit-rate").await.json();
    assert_eq!(rates["byKey"], json!({"agents:active": 0.8}));
    assert_eq!(rates["byPattern"], json!({"agents": 0.8}));
}

#[tokio::test]
async fn a_warming_tells_what_it_loaded_and_what_failed() {
    let site = fixture::site();
    let all = send_body(&site, &path("warm"), String::new()).await;
    assert_eq!(all.status, 207);
    let told = all.json();
    assert_eq!(told["success"], false);
    let keys: Vec<&str> = told["warmed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["key"].as_str().unwrap())
        .collect();
    assert_eq!(
        keys,
        ["agents:active", "leads:recent"],
        "the critical one first"
    );
    assert_eq!(told["warmed"][0]["rows"], 1);
    assert!(told["warmed"][0]["tookMs"].as_f64().is_some());
    assert_eq!(told["failed"][0]["key"], "broken:query");
    assert!(
        told["failed"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("does not exist")
    );
    let some = post(&site, "warm", json!({"priority": "critical"})).await;
    assert_eq!(some.status, 200);
    assert_eq!(some.json()["success"], true);
    assert_eq!(
        some.json()["message"],
        "Cache warming completed: 1 query loaded"
    );
    let none = post(&site, "warm", json!({"keys": ["broken:query"]})).await;
    assert_eq!(none.status, 502, "nothing was loaded");
    assert_eq!(none.json()["code"], "not-loaded");
    assert_eq!(none.json()["success"], false);
    assert_eq!(
        look(&site, "queries/leads:recent").await.header("x-cache"),
        "hit"
    );
}

#[tokio::test]
async fn what_was_asked_wrongly_is_told() {
    let site = fixture::site();
    for (rest, body, status, word) in [
        (
            "warm",
            "{\"keys\": [\"agents:activ\"]}",
            404,
            "did you mean agents:active?",
        ),
        ("warm", "{\"keys\": []}", 400, "empty"),
        ("warm", "{\"keys\": \"a\"}", 400, "invalid type"),
        ("warm", "{\"priority\": \"urgent\"}", 400, "critical"),
        ("warm", "[]", 400, "no JSON object"),
        ("warm", "nonsense", 400, "does not read"),
        ("warm?all=true", "", 400, "no parameters"),
        ("invalidate", "", 400, "one of key, pattern, tag and event"),
        (
            "invalidate",
            "{}",
            400,
            "one of key, pattern, tag and event",
        ),
        (
            "invalidate",
            "{\"key\": \"zebra\"}",
            404,
            "there is no query",
        ),
        (
            "invalidate",
            "{\"key\": \"a\", \"tag\": \"b\"}",
            400,
            "several",
        ),
        (
            "invalidate?dryRun=true",
            "{\"tag\": \"b\"}",
            400,
            "no parameters",
        ),
    ] {
        let refused = send_body(&site, &path(rest), body.to_owned()).await;
        assert_eq!(refused.status, status, "{rest} {body}: {}", refused.text());
        let detail = refused.json()["detail"].to_string();
        assert!(detail.contains(word), "{rest} {body}: {detail}");
    }
    let large = send_body(&site, &path("warm"), " ".repeat(100_000)).await;
    assert_eq!(large.status, 413);
    let unknown = look(&site, "queries/agents").await;
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.json()["code"], "unknown-query");
    assert!(
        unknown.text().contains("agents:active"),
        "{}",
        unknown.text()
    );
    let broken = look(&site, "queries/broken:query").await;
    assert_eq!(broken.status, 502);
    assert_eq!(broken.json()["code"], "not-loaded");
    assert_eq!(broken.header("retry-after"), "1");
}

#[tokio::test]
async fn results_are_dropped_by_each_of_the_four_ways_and_a_dry_run_drops_nothing() {
    let site = fixture::site();
    for (body, keys) in [
        (json!({"key": "leads:recent"}), vec!["leads:recent"]),
        (json!({"pattern": "*:a*"}), vec!["agents:active"]),
        (json!({"pattern": "zebra*"}), vec![]),
        (json!({"tag": "agents"}), vec!["agents:active"]),
        (json!({"event": "lead.created"}), vec!["leads:recent"]),
        (json!({"event": "lead.deleted"}), vec![]),
    ] {
        post(&site, "warm", json!({})).await;
        let mut dry = body.clone();
        dry["dryRun"] = json!(true);
        for (body, dry) in [(dry, true), (body, false)] {
            let done = post(&site, "invalidate", body).await;
            assert_eq!(done.status, 200);
            let done = done.json();
            assert_eq!(done["success"], true);
            assert_eq!(done["count"], keys.len());
            assert_eq!(done["keys"], json!(keys));
            assert_eq!(done["dryRun"], dry);
            let kept = look(&site, "metrics").await.json()["size"]
                .as_u64()
                .unwrap();
            let gone = if dry { 0 } else { keys.len() as u64 };
            assert_eq!(kept, 2 - gone);
        }
    }
}

#[tokio::test]
async fn the_list_tells_where_each_query_stands() {
    let site = fixture::site();
    post(&site, "warm", json!({"keys": ["leads:recent"]})).await;
    look(&site, "queries/broken:query").await;
    let all = look(&site, "queries").await.json();
    assert_eq!(all[0]["key"], "leads:recent");
    assert_eq!(
        (&all[0]["state"], &all[0]["rows"]),
        (&json!("fresh"), &json!(1))
    );
    assert_eq!((&all[0]["hits"], &all[0]["loads"]), (&json!(0), &json!(1)));
    assert_eq!(
        (&all[1]["state"], &all[1]["bytes"]),
        (&json!("absent"), &Value::Null)
    );
    assert_eq!(all[2]["state"], "failed");
    assert_eq!(all[2]["failure"]["times"], 1);
    assert!(
        all[2]["failure"]["reason"]
            .as_str()
            .unwrap()
            .contains("does not exist")
    );
}

#[tokio::test]
async fn who_may_only_look_sees_figures_and_neither_rows_nor_a_servers_words() {
    let file = |text: &[u8]| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text).unwrap();
        file
    };
    let (operator, viewer) = (file(b"0123456789abcdef"), file(b"fedcba9876543210"));
    let config = fixture::config(&[
        ("http.token_file", operator.path().to_str().unwrap()),
        ("http.viewer_token_file", viewer.path().to_str().unwrap()),
    ]);
    let site = fixture::site_with(fixture::board(), &config);
    let looks = [("authorization", "Bearer fedcba9876543210")];
    let all = [("authorization", "Bearer 0123456789abcdef")];
    send(&site, "GET", &path("queries/broken:query"), &all).await;
    for key in ["agents:active", "zebra"] {
        let refused = send(&site, "GET", &path(&format!("queries/{key}")), &looks).await;
        assert_eq!(refused.status, 403, "{key}");
        assert_eq!(refused.json()["code"], "not-for-viewers");
    }
    for rest in ["metrics", "hit-rate", "queries"] {
        assert_eq!(
            send(&site, "GET", &path(rest), &looks).await.status,
            200,
            "{rest}"
        );
    }
    let list = send(&site, "GET", &path("queries"), &looks).await;
    assert!(!list.text().contains("nothing"), "{}", list.text());
    for rest in ["warm", "invalidate"] {
        let refused = send(&site, "POST", &path(rest), &looks).await;
        assert_eq!(refused.json()["code"], "only-looking");
    }
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_here() {
    let site = fixture::site();
    let foreign = [("origin", "https://evil.example")];
    let ours = [("origin", "http://localhost:3002")];
    for rest in ["warm", "invalidate"] {
        let routes = || plimsoll::http::router(&site);
        let body = || json!({"pattern": "*"}).to_string().into();
        let refused = through(routes(), "POST", &path(rest), &foreign, body()).await;
        assert_eq!(refused.json()["code"], "foreign-origin", "{rest}");
        let taken = through(routes(), "POST", &path(rest), &ours, body()).await;
        assert_ne!(taken.status, 403, "{rest}");
    }
}
