//! Bad input: a clear message with the cure, and nothing lost.

use crate::QUICK;
use crate::support::plimsoll::{Serve, free_address, run};
use crate::support::postgres::{Major, start, start_with};

#[tokio::test]
async fn a_target_that_cannot_be_reached_says_why() {
    let Some(cluster) = start(Major::Distribution).await else {
        return;
    };
    let nobody = free_address();
    let port = cluster.port();
    for (url, words) in [
        (
            format!("postgres://postgres:wrong@127.0.0.1:{port}/postgres"),
            ["password", "postgres"],
        ),
        (
            "postgres://x@no-such-host.invalid/x".to_owned(),
            ["no-such-host.invalid", "host"],
        ),
        (format!("postgres://x@{nobody}/x"), ["refused", "127.0.0.1"]),
        (cluster.url_of("no_such_db"), ["no_such_db", "dbname"]),
    ] {
        let looked = run(&["check", "--target", &format!("t={url}")]).await;
        assert_eq!(looked.code, 3, "{}{}", looked.stdout, looked.stderr);
        let told = format!("{}{}", looked.stdout, looked.stderr);
        assert!(
            words.iter().all(|word| told.contains(word)),
            "{words:?} not in: {told}"
        );
        assert!(!told.contains("wrong"), "a password was shown: {told}");
    }
}

#[tokio::test]
async fn without_rights_and_extensions_it_says_what_is_missing() {
    let Some(cluster) = start_with(Major::Distribution, &[("shared_preload_libraries", "")]).await
    else {
        return;
    };
    let (client, connection) = tokio_postgres::connect(&cluster.url(), tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
        .batch_execute("CREATE ROLE poor LOGIN PASSWORD 'p'")
        .await
        .unwrap();
    let url = format!("t=postgres://poor:p@127.0.0.1:{}/postgres", cluster.port());
    let looked = run(&["check", "--target", &url]).await;
    assert!(looked.code <= 2, "{}{}", looked.stdout, looked.stderr);
    assert!(
        looked.stdout.contains("pg_stat_statements"),
        "{}",
        looked.stdout
    );
    assert!(looked.stdout.contains("pg_monitor"), "{}", looked.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_names_and_numbers_are_answered_not_obeyed() {
    let Some(cluster) = start(Major::Distribution).await else {
        return;
    };
    let (client, connection) = tokio_postgres::connect(&cluster.url(), tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
        .batch_execute("CREATE TABLE \"Robert\"\"); DROP TABLE\" (id int)")
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let target = format!("t={}", cluster.url());
    let mut serve = Serve::start(
        folder.path(),
        &[&["--target", &target], &QUICK[..]].concat(),
    )
    .await;
    let base = "/api/v1/performance";
    let stats = format!("{base}/database/table-stats/Robert%22%29%3B%20DROP%20TABLE");
    let found = serve
        .wait_for(&stats, |r| r.status.is_success())
        .await
        .json();
    assert_eq!(found["tablename"], "Robert\"); DROP TABLE");
    for (path, status) in [
        ("capacity/forecast/cpu?months=0", 400),
        ("capacity/forecast/cpu?months=1e9", 400),
        ("capacity/forecast/cpu?months=abc", 400),
        ("capacity/forecast/banana", 404),
        ("database/table-stats/no_such_table", 404),
        ("database/slow-queries?limit=0", 400),
        ("no/such/path", 404),
    ] {
        let answer = serve.get(&format!("{base}/{path}")).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert!(answer.json()["code"].is_string() && answer.json()["error"].is_string());
    }
    let page = serve.get("/").await.text();
    assert!(!page.contains("Robert\"); DROP"), "a name was not escaped");
    client
        .batch_execute("SELECT pg_stat_reset()")
        .await
        .unwrap();
    serve.wait_for("/readyz", |r| r.status.is_success()).await;

    let data = folder.path().display().to_string();
    let pid = serve.pid().to_string();
    let second = run(&["serve", "--data-dir", &data, "--listen", "127.0.0.1:0"]).await;
    assert_eq!(second.code, 1);
    assert!(
        second.stderr.contains(&pid),
        "it does not name {pid}: {}",
        second.stderr
    );
    let listen = serve.address.to_string();
    let other = tempfile::tempdir().unwrap();
    let other = other.path().join("data").display().to_string();
    let taken = run(&["serve", "--data-dir", &other, "--listen", &listen]).await;
    assert_eq!(taken.code, 1);
    assert!(taken.stderr.contains("in use"), "{}", taken.stderr);
    assert_eq!(serve.terminate().await, 0);
}

#[tokio::test]
async fn folders_flags_and_files_that_do_not_work_name_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below = file.join("data").display().to_string();
    let refused = run(&["serve", "--data-dir", &below]).await;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains(&below), "{}", refused.stderr);
    let settings = folder.path().join("p.toml");
    std::fs::write(&settings, "\n[collect]\nscrap = \"5s\"\n").unwrap();
    let settings = settings.display().to_string();
    let unknown = run(&["config", "check", "--config", &settings]).await;
    assert_eq!(unknown.code, 78);
    assert!(unknown.stderr.contains("p.toml:3") && unknown.stderr.contains("collect.scrape"));
    let empty = folder.path().join("empty").display().to_string();
    let none = run(&["check", "--data-dir", &empty]).await;
    assert_eq!(none.code, 3);
    assert!(none.stderr.contains("plimsoll serve"), "{}", none.stderr);
    let none = run(&["report", "--data-dir", &empty, "--out", "/dev/null"]).await;
    assert_eq!(none.code, 1);
    assert_eq!(run(&["demo", "--scale", "0"]).await.code, 64);
    assert_eq!(
        run(&["forecast", "banana", "--data-dir", &empty])
            .await
            .code,
        64
    );
}
