//! Latencies: counted at the door, told over a range and in `/metrics`.

use std::sync::Arc;

use plimsoll::clock::{Clock, SettableClock};
use plimsoll::http::{Hooks, Site};
use plimsoll::store::{Options, Store};

use crate::{BASE, fixture, get, send, send_local};

fn site(folder: &std::path::Path) -> Arc<Site> {
    let store = Arc::new(Store::open(Options::in_dir(folder)).unwrap());
    let clock: Arc<dyn Clock> = Arc::new(SettableClock::at(fixture::now()));
    let hooks = Hooks {
        store: Some(store),
        ..fixture::hooks()
    };
    Site::new(
        Arc::new(fixture::board()),
        clock,
        &fixture::config(&[]),
        hooks,
    )
}

#[tokio::test]
async fn requests_are_told_by_route_and_method_with_their_quantiles() {
    let folder = tempfile::tempdir().unwrap();
    let site = site(folder.path());
    for _ in 0..3 {
        send(&site, "GET", "/healthz", &[]).await;
    }
    send(&site, "HEAD", "/healthz", &[]).await;
    send(&site, "BREW", "/nowhere", &[]).await;
    let told = send(&site, "GET", &format!("{BASE}/latency?range=1h"), &[]).await;
    assert_eq!(told.status, 200, "{}", told.text());
    let told = told.json();
    let rows = told["endpoints"].as_array().unwrap();
    let shown: Vec<_> = rows
        .iter()
        .map(|row| format!("{} {} {}", row["method"], row["route"], row["count"]))
        .collect();
    assert_eq!(
        shown,
        [
            r#""GET" "/healthz" 3"#,
            r#""HEAD" "/healthz" 1"#,
            r#""other" "none" 1"#
        ]
    );
    for row in rows {
        let figure = |name: &str| row[name].as_f64().unwrap();
        assert!(
            0.0 < figure("p50Ms") && figure("p50Ms") <= figure("p99Ms"),
            "{row}"
        );
        assert!(figure("p99Ms") <= figure("maxMs"), "{row}");
    }
    let text = send(&site, "GET", "/metrics", &[]).await.text();
    for line in [
        "# TYPE plimsoll_http_latency_seconds summary\n",
        "plimsoll_http_latency_seconds_count{method=\"GET\",route=\"/healthz\"} 3\n",
        "plimsoll_http_latency_seconds_count{method=\"HEAD\",route=\"/healthz\"} 1\n",
        "plimsoll_http_latency_seconds_count{method=\"other\",route=\"none\"} 1\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    crate::metrics::judge(&text);
}

#[tokio::test]
async fn a_range_out_of_bounds_is_refused_and_a_server_without_history_knows_none() {
    let folder = tempfile::tempdir().unwrap();
    let site = site(folder.path());
    for range in ["1m", "2y", "soon", "", "-1h"] {
        let reply = send(&site, "GET", &format!("{BASE}/latency?range={range}"), &[]).await;
        assert_eq!(reply.status, 400, "{range}");
    }
    let empty = get(&format!("{BASE}/latency")).await.json();
    assert_eq!(empty["endpoints"], serde_json::json!([]));
    assert_eq!(
        send_local(&fixture::site(), "/local/backup").await.status,
        500
    );
    // A backup is for the socket alone.
    assert_eq!(send(&site, "GET", "/local/backup", &[]).await.status, 404);
    let backup = send_local(&site, "/local/backup").await;
    assert!(backup.body.starts_with(b"PLIMBAK1"));
    let found = send_local(&site, "/local/verify").await.json();
    assert_eq!(found["Ok"]["problems"], serde_json::json!([]));
}
