//! Checking, backing up, losing and getting back: with the server running and without it.

use std::fs;

use crate::QUICK;
use crate::support::plimsoll::{Serve, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_server_is_checked_and_backed_up_and_its_copy_serves() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (data, file, copy) = (path("data"), path("b.plimsoll"), path("copy"));
    let mut serve = Serve::start(&folder.path().join("data"), &QUICK).await;
    let latency = "/api/v1/performance/latency?range=30m";
    let counted = |text: &str| text.contains("\"route\":\"/metrics\"");
    serve.get("/metrics").await;
    serve.wait_for(latency, |r| counted(&r.text())).await;
    let shown =
        "plimsoll_http_latency_seconds{method=\"GET\",quantile=\"0.99\",route=\"/metrics\"}";
    serve
        .wait_for("/metrics", |r| r.text().contains(shown))
        .await;

    let verified = run(&["history", "verify", "--data-dir", &data, "--format", "json"]).await;
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
    let found: serde_json::Value = serde_json::from_str(&verified.stdout).unwrap();
    assert!(found["frames"].as_u64().unwrap() > 0, "{found}");
    let repair = run(&[
        "history",
        "repair",
        "--data-dir",
        &data,
        "--out",
        &path("r"),
    ])
    .await;
    assert_eq!(repair.code, 1);
    assert!(
        repair.stderr.contains("is in use by process"),
        "{}",
        repair.stderr
    );
    let backup = run(&["backup", "--data-dir", &data, "--out", &file]).await;
    assert_eq!(backup.code, 0, "{}", backup.stderr);
    assert!(!folder.path().join("b.plimsoll.new").exists());
    serve.kill().await;

    let restored = run(&["restore", &file, "--data-dir", &copy]).await;
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    let verified = run(&["history", "verify", "--data-dir", &copy]).await;
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
    let mut serve = Serve::start(&folder.path().join("copy"), &QUICK).await;
    // What was observed before the backup is there, though it was seconds old.
    serve.wait_for(latency, |r| counted(&r.text())).await;
    assert_eq!(serve.terminate().await, 0);
    // And a backup of the stopped one.
    let offline = run(&["backup", "--data-dir", &copy, "--out", &file]).await;
    assert_eq!(offline.code, 0, "{}", offline.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_is_refused_with_a_cure_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (none, file, to) = (path("none"), path("b.plimsoll"), path("to"));
    let verify = run(&["history", "verify", "--data-dir", &none]).await;
    assert_eq!(verify.code, 3, "{}", verify.stderr);
    let repair = run(&["history", "repair", "--data-dir", &none, "--out", &to]).await;
    let backup = run(&["backup", "--data-dir", &none, "--out", &file]).await;
    for refused in [&verify, &repair, &backup] {
        assert!(
            refused.code != 0 && refused.stderr.contains("--data-dir"),
            "{}",
            refused.stderr
        );
    }
    for content in [&b""[..], b"PLIMBAK1", &[7; 10_000]] {
        fs::write(folder.path().join("b.plimsoll"), content).unwrap();
        let restore = run(&["restore", &file, "--data-dir", &to]).await;
        assert_eq!(restore.code, 1, "{}", restore.stderr);
        assert!(restore.stderr.contains("the backup"), "{}", restore.stderr);
    }
    fs::write(folder.path().join("to/something"), "x").unwrap();
    let restore = run(&["restore", &file, "--data-dir", &to]).await;
    assert!(
        restore.stderr.contains("is not empty"),
        "{}",
        restore.stderr
    );
    assert!(!folder.path().join("none").exists());
}
