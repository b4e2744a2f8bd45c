//! Store → archive → report on a machine without network or server.

use plimsoll::model::capacity::SyntheticSpan;
use plimsoll::model::series::{Kind, Labels, SeriesKey};
use plimsoll::model::units::{Millis, Timestamp};
use plimsoll::store::{Bucket, Options, Store, Tier};

use crate::support::browser;
use crate::support::plimsoll::{Serve, run};

/// 180 days of connections that grow by a fifth of one a day, under a limit of 100.
fn fill(folder: &std::path::Path, target: &str) {
    let store = Store::open(Options::in_dir(folder)).unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "the server under test lives in real time"
    )]
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let now = Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap());
    let hours = 180 * 24;
    let start = now
        .floor_to(Millis::HOUR)
        .minus(Millis(hours * Millis::HOUR.0).as_duration());
    let put = |metric: &'static str, value: &dyn Fn(f64) -> f64| {
        let key = SeriesKey {
            metric: metric.into(),
            labels: Labels::none(),
        };
        let buckets: Vec<Bucket> = (0..hours)
            .map(|hour| {
                let at = start.plus(Millis(hour * Millis::HOUR.0).as_duration());
                let value = value(hour as f64 / 24.0);
                Bucket::gauge(at, [value, value, value, value], 360)
            })
            .collect();
        store
            .history()
            .append_rollups(target, Tier::Hour, &key, Kind::Gauge, &buckets)
            .unwrap();
    };
    put("pg_connections_used", &|day| {
        30.0 + day / 5.0 + 3.0 * (day * std::f64::consts::TAU).sin()
    });
    put("pg_settings_max_connections", &|_| 100.0);
    let span = SyntheticSpan {
        from: start,
        until: now,
    };
    store.history().mark_synthetic(target, span).unwrap();
    store.history().settle().unwrap();
    store.close(now).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_makes_the_same_report_where_there_is_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fill(&data, "host");
    let mut serve = Serve::start(&data, &[]).await;
    let path = "/api/v1/performance/capacity/forecast/connections?months=6";
    let forecast = serve.wait_for(path, |r| r.status.is_success()).await.json();
    assert_eq!(forecast["projections"].as_array().unwrap().len(), 6);
    assert_eq!(forecast["currentCapacity"], 100.0);
    let archive = folder.path().join("archive.sqlite").display().to_string();
    let data = data.display().to_string();
    let wrote = run(&["report", "--data-dir", &data, "--out", &archive]).await;
    assert_eq!(wrote.code, 0, "{}", wrote.stderr);
    assert_eq!(serve.terminate().await, 0);

    let elsewhere = tempfile::tempdir().unwrap();
    for (name, word) in [
        ("r.html", "<!doctype html>"),
        ("r.md", "# "),
        ("r.json", "{"),
    ] {
        let out = elsewhere.path().join(name).display().to_string();
        let made = run(&["report", "--from", &archive, "--out", &out]).await;
        assert_eq!(made.code, 0, "{}", made.stderr);
        let text = std::fs::read_to_string(&out).unwrap();
        assert!(
            text.to_lowercase().starts_with(word),
            "{name}: {}",
            &text[..60]
        );
        assert!(
            text.to_lowercase().contains("synthetic"),
            "{name} does not mark made-up history"
        );
    }
    let page = elsewhere.path().join("r.html");
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(
        !text.contains("src=\"http") && !text.contains("href=\"http"),
        "it loads something"
    );
    if let Some(dom) = browser::document(&format!("file://{}", page.display())).await {
        assert!(dom.contains("Connections reach"), "no verdict on the page");
        assert!(dom.contains("<svg"), "no chart on the page");
    }
}

#[tokio::test]
async fn cut_and_foreign_archives_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sqlite");
    let out = folder.path().join("r.html").display().to_string();
    for (bytes, word) in [
        (&b""[..], "not an SQLite file"),
        (b"PK\x03\x04 not an archive", "not an SQLite file"),
        (b"SQLite format 3\0 cut", "cut off"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let archive = path.display().to_string();
        let made = run(&["report", "--from", &archive, "--out", &out]).await;
        assert_eq!(made.code, 1);
        assert!(made.stderr.contains(word), "{}", made.stderr);
        assert!(!std::path::Path::new(&out).exists());
    }
}
