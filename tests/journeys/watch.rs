//! Scrape → history: what is stored against what the server itself says.
#![expect(
    clippy::disallowed_types,
    reason = "the server is asked past the program that is under test"
)]

use std::process::Stdio;

use plimsoll::model::units::{Millis, Timestamp};
use plimsoll::store::{Fold, Options, Selector, Store};
use tokio::process::Command;
use tokio_postgres::{Client, NoTls};

use crate::QUICK;
use crate::support::plimsoll::Serve;
use crate::support::postgres::{Major, start};

/// Counters of `pg_stat_database` and what we call them.
const COUNTERS: [(&str, &str); 4] = [
    ("xact_commit", "pg_database_xact_commit_total"),
    ("tup_inserted", "pg_database_tup_inserted_total"),
    ("tup_updated", "pg_database_tup_updated_total"),
    ("tup_fetched", "pg_database_tup_fetched_total"),
];

async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn counters(client: &Client) -> Vec<i64> {
    let sql = "SELECT xact_commit, tup_inserted, tup_updated, tup_fetched \
               FROM pg_stat_database WHERE datname = 'bench'";
    let row = client.query_one(sql, &[]).await.unwrap();
    (0..COUNTERS.len()).map(|i| row.get(i)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_rates_agree_with_the_server_within_two_percent() {
    let Some(cluster) = start(Major::Distribution).await else {
        return;
    };
    cluster.create_database("bench").await.unwrap();
    let bench = cluster.url_of("bench");
    let pgbench = cluster.binaries().program("pgbench");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&pgbench);
        command
            .args(arguments)
            .arg(&bench)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    assert!(
        run(&["-i", "-s", "1", "-q"])
            .status()
            .await
            .unwrap()
            .success()
    );
    let folder = tempfile::tempdir().unwrap();
    let mut serve = Serve::start(
        folder.path(),
        &[&["--target", &format!("t={bench}")], &QUICK[..]].concat(),
    )
    .await;
    let metrics = serve.wait_for("/metrics", |r| {
        r.text().contains("pg_database_xact_commit_total")
    });
    metrics.await;
    let reader = client(&cluster.url_of("postgres")).await;
    let before = counters(&reader).await;
    let load = run(&["-n", "-c", "2", "-R", "300", "-T", "10"])
        .status()
        .await
        .unwrap();
    assert!(load.success());
    // A backend flushes its counters when it ends; one more scrape then has them all.
    let after = counters(&reader).await;
    // Autovacuum may write a row or two more meanwhile.
    let inserted = "pg_database_tup_inserted_total{datname=\"bench\",target=\"t\"} ";
    let has_all = |r: &crate::support::http::Response| {
        let text = r.text();
        let value = text.lines().find_map(|line| line.strip_prefix(inserted));
        value.is_some_and(|value| value.parse::<i64>().unwrap() >= after[1])
    };
    serve.wait_for("/metrics", has_all).await;
    assert_eq!(serve.terminate().await, 0);

    let store = Store::open(Options::in_dir(folder.path())).unwrap();
    for (i, (theirs, ours)) in COUNTERS.iter().enumerate() {
        let stored = stored_increase(&store, ours);
        let told = (after[i] - before[i]) as f64;
        // Our own connections and the reader commit a little, too; the load is thousands.
        let off = (stored - told).abs() / told.max(1.0);
        assert!(
            off <= 0.02,
            "{theirs}: the server says {told}, we stored {stored}"
        );
    }
}

/// What a counter of database `bench` grew by, as windows tell it and as raw values do.
fn stored_increase(store: &Store, metric: &str) -> f64 {
    let history = store.history();
    let series = history.series(&Selector::metric(metric).of("t").with("datname", "bench"));
    assert_eq!(series.len(), 1, "{metric}");
    let raw = history
        .raw(series[0].id, Timestamp::from_millis(0), far())
        .unwrap();
    let (first, last) = (raw[0], raw[raw.len() - 1]);
    let from = first.0.floor_to(Millis::HOUR);
    let window = history
        .window(
            series[0].id,
            from,
            far_of(last.0),
            Millis::HOUR,
            Fold::Increase,
        )
        .unwrap();
    let stored: f64 = window.values.iter().filter(|v| v.is_finite()).sum();
    assert!(
        (last.1 - first.1 - stored).abs() < 1e-6,
        "{metric} was reset?"
    );
    stored
}

fn far() -> Timestamp {
    Timestamp::parse("2200-01-01T00:00:00Z").unwrap()
}

fn far_of(last: Timestamp) -> Timestamp {
    last.plus(Millis::HOUR.as_duration())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_leaves_a_gap_and_its_return_is_noticed() {
    let Some(mut cluster) = start(Major::Distribution).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let target = format!("t={}", cluster.url());
    let mut serve = Serve::start(
        folder.path(),
        &[&["--target", &target], &QUICK[..]].concat(),
    )
    .await;
    let up = |state: &'static str| {
        move |r: &crate::support::http::Response| {
            r.json()["targets"][0]["state"].as_str() == Some(state)
        }
    };
    serve.wait_for("/readyz", up("up")).await;
    cluster.kill().await;
    let down = serve.wait_for("/readyz", up("down")).await;
    assert!(
        down.json()["targets"][0]["reason"].is_string(),
        "{}",
        down.text()
    );
    cluster.resume().await.unwrap();
    serve.wait_for("/readyz", up("up")).await;
    assert_eq!(serve.terminate().await, 0);
    let store = Store::open(Options::in_dir(folder.path())).unwrap();
    let ups = store
        .history()
        .series(&Selector::metric("plimsoll_target_up").of("t"));
    let raw = store
        .history()
        .raw(ups[0].id, Timestamp::from_millis(0), far())
        .unwrap();
    assert!(raw.iter().any(|(_, up)| *up < 0.5) && raw.iter().any(|(_, up)| *up > 0.5));
    let commits = Selector::metric("pg_database_xact_commit_total").of("t");
    for series in store.history().series(&commits) {
        let from = raw[0].0;
        let rates =
            store
                .history()
                .window(series.id, from, far_of(from), Millis::SECOND, Fold::Rate);
        assert!(
            rates
                .unwrap()
                .values
                .iter()
                .all(|rate| rate.is_nan() || *rate >= 0.0)
        );
    }
}
