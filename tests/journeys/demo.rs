//! `plimsoll demo` as a one-shot, and what it leaves behind: nothing.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::demo::{Demo, Home};
use crate::support::http::{self, Response};
use crate::support::plimsoll::{command, free_address};
use crate::support::postgres::Major;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_one_shot_demo_serves_reports_and_cleans_up() {
    if Major::Distribution.binaries_or_skip().is_none() {
        return;
    }
    let home = Home::new();
    let (address, report) = (free_address(), home.path().join("capacity.html"));
    let listen = address.to_string();
    let out = report.display().to_string();
    let arguments = [
        "demo",
        "--scale",
        "0.01",
        "--exit-after",
        "20s",
        "--listen",
        &listen,
        "--report",
        &out,
    ];
    let demo = Demo::start(command(&arguments), &home);
    let size = once(address, "/api/v1/performance/database/size", "leadgen")
        .await
        .json();
    assert_eq!(size["datname"], "leadgen");
    assert!(size["size_bytes"].as_u64().unwrap() > 1_000_000, "{size}");
    let page = once(address, "/", "synthetic").await.text();
    assert!(page.contains("leadgen") && page.contains("<svg"));
    // Its screens ask for the five reads that were warmed.
    let path = "/api/v1/performance/cache/hit-rate";
    let rates = once(address, path, "carriers:performance").await.json();
    assert!(rates["overall"].as_f64().unwrap() > 0.5, "{rates}");
    assert_eq!(rates["byPattern"].as_object().unwrap().len(), 4, "{rates}");
    let queries = once(address, "/api/v1/performance/cache/queries", "agents").await;
    let queries = queries.json();
    let all = queries.as_array().unwrap();
    assert_eq!(all.len(), 5);
    assert!(
        all.iter()
            .all(|one| one["loads"] != 0 && one["failure"].is_null()),
        "{queries}"
    );
    let (code, told) = demo.ended().await;
    assert_eq!(code, 0, "{told}");
    assert!(
        told.contains(&format!("http://{address}/")) && told.contains("Ctrl-C"),
        "{told}"
    );
    assert!(
        told.contains("Found: ") && told.contains("warnings in all"),
        "{told}"
    );
    assert!(
        std::fs::read_to_string(&report)
            .unwrap()
            .contains("</html>")
    );
    assert!(home.left().is_empty(), "it left {:?}", home.left());
}

/// The answer to `path` as soon as it holds `word`.
async fn once(address: SocketAddr, path: &str, word: &str) -> Response {
    let watch = async {
        loop {
            match http::get(address, path).await {
                Ok(response) if response.text().contains(word) => break response,
                _ => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(2), watch)
        .await
        .unwrap()
}
