//! What the world does to a running server: full disks, folders that cannot be written, resets.
#![expect(
    clippy::disallowed_types,
    reason = "the server is asked past the program that is under test"
)]

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use plimsoll::model::series::Kind;
use plimsoll::model::units::{Millis, Timestamp};
use plimsoll::store::{Fold, Options, Selector, Store};
use tokio_postgres::{Client, NoTls};

use crate::QUICK;
use crate::support::http::Response;
use crate::support::mounts;
use crate::support::plimsoll::Serve;
use crate::support::postgres::{Major, start};

/// Room of the small disk: enough for the store and the 16 MB that it leaves free.
const DISK: &str = "size=64m";

fn ready(response: &Response) -> bool {
    response.status.is_success()
}

/// When the first target was last scraped, as often as asked, each time anew.
async fn stamps(serve: &mut Serve, count: usize) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    while seen.len() < count {
        let known = seen.clone();
        let fresh = move |r: &Response| {
            let stamp = r.json()["targets"][0]["lastScrapeAt"].clone();
            stamp.as_str().is_some_and(|stamp| !known.contains(stamp))
        };
        let answer = serve.wait_for("/readyz", fresh).await.json();
        let stamp = &answer["targets"][0]["lastScrapeAt"];
        seen.insert(stamp.as_str().unwrap().to_owned());
    }
    seen
}

/// Writes until the disk takes no more.
fn fill_up(path: &Path) {
    let mut file = File::create(path).unwrap();
    let block = vec![1_u8; 1 << 20];
    while file.write_all(&block).is_ok() {}
    while file.write_all(&[1]).is_ok() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_is_told_and_lived_through() {
    let home = tempfile::tempdir().unwrap();
    let disk = home.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = format!("mount -t tmpfs -o {DISK} tmpfs '{}'", disk.display());
    let data = disk.join("data");
    let by = |all: &[&str]| mounts::command(&mount, all);
    let Some(mut serve) = Serve::start_by(&data, &QUICK, by).await else {
        return;
    };
    let seen = mounts::seen_by(serve.pid(), &disk);
    // Held open, the disk outlives the process that mounted it.
    let held = File::open(&seen).unwrap();
    serve.wait_for("/readyz", ready).await;
    let before = stamps(&mut serve, 3).await;

    let ballast = seen.join("ballast");
    fill_up(&ballast);
    let told = serve.wait_for("/readyz", |r| {
        let faults = r.json()["faults"].clone();
        let parts = faults.as_array().map_or(0, |faults| {
            let mut of_host = faults.iter().filter(|fault| fault["part"] == "history");
            usize::from(of_host.any(|fault| fault["target"] == "host"))
        });
        parts == 1
    });
    let told = told.await;
    assert_eq!(told.status, 503, "{}", told.text());
    assert!(told.text().contains("free some space"), "{}", told.text());
    assert!(
        serve.log().contains("the history refuses samples"),
        "{}",
        serve.log()
    );
    for path in [
        "/healthz",
        "/",
        "/metrics",
        "/api/v1/performance/capacity/bottlenecks",
    ] {
        assert_eq!(serve.get(path).await.status, 200, "{path}");
    }
    // It goes on looking meanwhile, and shows what it sees.
    stamps(&mut serve, 2).await;

    std::fs::remove_file(&ballast).unwrap();
    serve.wait_for("/readyz", ready).await;
    let log = serve.log();
    assert!(log.contains("the history takes samples again"), "{log}");
    let after = stamps(&mut serve, 2).await;
    assert_eq!(serve.terminate().await, 0);

    let folder = PathBuf::from(format!("/proc/self/fd/{}/data", held.as_raw_fd()));
    let store = Store::open(Options::in_dir(&folder)).unwrap();
    let kept = scraped_at(&store, "host");
    for stamp in before.iter().chain(&after) {
        assert!(kept.contains(stamp), "{stamp} was lost; kept are {kept:?}");
    }
}

/// Stamps of all scrapes of `target` in the history.
fn scraped_at(store: &Store, target: &str) -> BTreeSet<String> {
    let history = store.history();
    let series = history.series(&Selector::metric("plimsoll_scrape_duration_seconds").of(target));
    let raw = history
        .raw(series[0].id, Timestamp::from_millis(0), far())
        .unwrap();
    raw.iter().map(|(at, _)| at.to_string()).collect()
}

fn far() -> Timestamp {
    Timestamp::parse("2200-01-01T00:00:00Z").unwrap()
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_refused_with_its_name() {
    let home = tempfile::tempdir().unwrap();
    let disk = home.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let shown = disk.display().to_string();
    let mount = format!("mount -t tmpfs -o ro tmpfs '{shown}'");
    let data = disk.join("data").display().to_string();
    for folder in [&data, &shown] {
        let arguments = ["serve", "--data-dir", folder, "--listen", "127.0.0.1:0"];
        let Some(mut command) = mounts::command(&mount, &arguments) else {
            return;
        };
        let ended = command.output().await.unwrap();
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{told}");
        assert!(told.contains(folder.as_str()), "{told}");
        assert!(told.contains("Read-only file system"), "{told}");
        assert!(told.contains("--data-dir"), "no cure: {told}");
    }
}

async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Inserts `rows` rows one by one, and waits until the server's counters have them.
async fn insert(url: &str, rows: u32) {
    let client = client(url).await;
    for row in 0..rows {
        let sql = format!("INSERT INTO t VALUES ({row})");
        client.batch_execute(&sql).await.unwrap();
    }
    drop(client);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reset_statistics_give_no_negative_and_no_absurd_rate() {
    let Some(cluster) = start(Major::Distribution).await else {
        return;
    };
    let url = cluster.url();
    let admin = client(&url).await;
    admin
        .batch_execute("CREATE TABLE t (id int)")
        .await
        .unwrap();
    let home = tempfile::tempdir().unwrap();
    let target = format!("t={url}");
    let arguments = [&["--target", &target], &QUICK[..]].concat();
    let mut serve = Serve::start(home.path(), &arguments).await;
    // Sessions are looked at also where each second is a scrape.
    let looked = |r: &Response| {
        let text = r.text();
        let mut looks = text
            .lines()
            .filter(|line| line.starts_with("pg_activity_samples_total"));
        looks.any(|line| !line.ends_with(" 0"))
    };
    serve.wait_for("/metrics", looked).await;
    // The server's own catalogs are written to as well, by tens of rows.
    let inserted = |rows: std::ops::Range<u32>| {
        let series = "pg_database_tup_inserted_total{datname=\"postgres\",target=\"t\"} ";
        move |r: &Response| {
            let text = r.text();
            let value = text.lines().find_map(|line| line.strip_prefix(series));
            value.is_some_and(|value| rows.contains(&value.parse().unwrap()))
        }
    };
    insert(&url, 500).await;
    serve.wait_for("/metrics", inserted(500..u32::MAX)).await;
    for reset in [
        "SELECT pg_stat_reset()",
        "SELECT pg_stat_statements_reset()",
        "SELECT pg_stat_reset_shared('bgwriter')",
        "SELECT pg_stat_reset_shared('wal')",
    ] {
        admin.batch_execute(reset).await.unwrap();
    }
    insert(&url, 300).await;
    serve.wait_for("/metrics", inserted(300..500)).await;
    stamps(&mut serve, 3).await;
    let slow = "/api/v1/performance/database/slow-queries?limit=50";
    let slow = serve.get(slow).await.json();
    for statement in slow.as_array().unwrap() {
        assert!(statement["calls"].as_u64().is_some(), "{statement}");
        assert!(
            statement["mean_exec_time"].as_f64().unwrap() >= 0.0,
            "{statement}"
        );
    }
    assert_eq!(serve.get("/").await.status, 200);
    assert_eq!(serve.terminate().await, 0);

    let store = Store::open(Options::in_dir(home.path())).unwrap();
    let selector = Selector::default().of("t");
    let (mut counters, mut resets) = (0, 0);
    for series in store.history().series(&selector) {
        if series.kind != Kind::Counter {
            continue;
        }
        counters += 1;
        resets += usize::from(no_more_than_was_counted(&store, &series));
    }
    assert!(
        counters > 50 && resets > 5,
        "{resets} resets in {counters} counters"
    );
}

/// Holds rates and growth of a counter against its raw values; true if it was reset in between.
fn no_more_than_was_counted(store: &Store, series: &plimsoll::store::Series) -> bool {
    let history = store.history();
    let raw = history
        .raw(series.id, Timestamp::from_millis(0), far())
        .unwrap();
    let (from, until) = (raw[0].0, raw[raw.len() - 1].0);
    let window = |step, fold| {
        let from = from.floor_to(step);
        let until = until.floor_to(step).plus(step.as_duration());
        history.window(series.id, from, until, step, fold).unwrap()
    };
    // After a reset a counter has grown by what it shows: it began at nothing.
    let grown = |(before, after): (f64, f64)| {
        if after < before {
            after
        } else {
            after - before
        }
    };
    let pairs = raw.windows(2).map(|pair| (pair[0].1, pair[1].1));
    let counted: f64 = pairs.clone().map(grown).sum();
    let told: f64 = window(Millis::HOUR, Fold::Increase)
        .values
        .iter()
        .filter(|v| v.is_finite())
        .sum();
    let name = series.key.to_string();
    let slack = 1e-6 * counted.max(1.0);
    assert!(
        (0.0..=counted + slack).contains(&told),
        "{name}: grew by {told}, counted were {counted}"
    );
    let steepest = raw
        .windows(2)
        .map(|pair| grown((pair[0].1, pair[1].1)) / pair[1].0.since(pair[0].0).as_secs_f64())
        .fold(0.0, f64::max);
    for rate in window(Millis::SECOND, Fold::Rate).values {
        assert!(
            rate.is_nan() || (0.0..=steepest * 1.01 + slack).contains(&rate),
            "{name}: {rate} a second, where {steepest} is the most that was counted"
        );
    }
    pairs.into_iter().any(|(before, after)| after < before)
}
