//! A cluster starts on every supported version and leaves nothing behind.

use std::path::PathBuf;
use std::time::Duration;

use plimsoll::demo::cluster::{Binaries, Cluster, ClusterOptions};
use plimsoll::work::with_causes;
use tokio_postgres::NoTls;

use crate::support::postgres::{Major, start, start_with};

/// The first value of one row, as text.
async fn ask(url: &str, sql: &str) -> Result<String, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client.query_one(sql, &[]).await?.get(0))
}

fn postmaster(cluster: &Cluster) -> u32 {
    let text = std::fs::read_to_string(cluster.folder().join("data/postmaster.pid")).unwrap();
    text.lines().next().unwrap().parse().unwrap()
}

fn runs(pid: u32) -> bool {
    PathBuf::from(format!("/proc/{pid}/cmdline")).exists()
        && !std::fs::read(format!("/proc/{pid}/cmdline"))
            .unwrap_or_default()
            .is_empty()
}

/// The process group: the fifth field of `/proc/PID/stat`, counted behind the name (`proc(5)`).
fn group(pid: u32) -> u32 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let behind_name = text.rsplit(')').next().unwrap();
    behind_name
        .split_whitespace()
        .nth(2)
        .unwrap()
        .parse()
        .unwrap()
}

#[tokio::test]
async fn every_version_starts_with_its_extensions_and_leaves_nothing_behind() {
    for major in Major::ALL {
        let Some(cluster) = start(major).await else {
            continue;
        };
        let (folder, pid) = (cluster.folder().to_owned(), postmaster(&cluster));
        cluster.create_database("fresh").await.unwrap();
        let listed = "SELECT string_agg(extname, ' ' ORDER BY extname) FROM pg_extension";
        let extensions = ask(&cluster.url_of("fresh"), listed).await.unwrap();
        assert!(
            extensions.contains("pg_stat_statements"),
            "{major:?}: {extensions}"
        );
        let calls = "SELECT count(*)::text FROM pg_stat_statements";
        let calls = ask(&cluster.url(), calls).await;
        assert!(
            calls.is_ok(),
            "{major:?}: the library is not loaded: {calls:?}"
        );
        assert_eq!(group(pid), pid, "{major:?}: Ctrl-C would reach the server");
        cluster.stop().await.unwrap();
        assert!(!folder.exists(), "{major:?}: {}", folder.display());
        assert!(!runs(pid), "{major:?}: process {pid}");
    }
}

#[tokio::test]
async fn a_dropped_cluster_is_gone_at_once() {
    let Some(cluster) = start(Major::Distribution).await else {
        return;
    };
    let (folder, pid) = (cluster.folder().to_owned(), postmaster(&cluster));
    drop(cluster);
    assert!(!folder.exists() && !runs(pid));
}

#[tokio::test]
async fn a_killed_cluster_recovers_with_its_rows_on_the_same_port() {
    let Some(mut cluster) = start_with(
        Major::Distribution,
        &[("synchronous_commit", "on"), ("fsync", "on")],
    )
    .await
    else {
        return;
    };
    let port = cluster.port();
    let (client, connection) = tokio_postgres::connect(&cluster.url(), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
        .batch_execute("CREATE TABLE kept AS SELECT 7 AS n")
        .await
        .unwrap();
    cluster.kill().await;
    assert!(
        client.simple_query("SELECT 1").await.is_err(),
        "the server still answers"
    );
    cluster.resume().await.unwrap();
    assert_eq!(cluster.port(), port);
    assert_eq!(
        ask(&cluster.url(), "SELECT n::text FROM kept")
            .await
            .unwrap(),
        "7"
    );
    cluster.restart().await.unwrap();
    assert_eq!(
        ask(&cluster.url(), "SELECT n::text FROM kept")
            .await
            .unwrap(),
        "7"
    );
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let Some(cluster) = start(Major::Distribution).await else {
        return;
    };
    let url = cluster.url().replace(cluster.password(), "guess");
    let error = ask(&url, "SELECT 'in'").await.unwrap_err();
    assert!(
        with_causes(&error).contains("password authentication failed"),
        "{error}"
    );
}

#[tokio::test]
async fn a_setting_that_the_server_does_not_know_is_shown_and_nothing_stays() {
    let Some(binaries) = Major::Distribution.binaries_or_skip() else {
        return;
    };
    let home = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap();
    let folder = home.path().join("cluster");
    let mut options = ClusterOptions::new(binaries).with("no_such_setting", "1");
    options.folder = Some(folder.clone());
    let started = tokio::time::timeout(Duration::from_mins(2), Cluster::start(options));
    let error = started.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("no_such_setting"), "{error}");
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_build_below_a_private_folder_runs_as_another_user() {
    let Some(binaries) = Major::Thirteen.binaries_or_skip() else {
        return;
    };
    // As a checkout in root's home: the folder is ours alone, and the server does not run as root.
    let private = tempfile::tempdir().unwrap();
    let built = binaries.folder().parent().unwrap();
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .arg(built)
        .arg(private.path().join("13"))
        .status();
    assert!(copied.unwrap().success());
    let binaries = Binaries::in_folder(&private.path().join("13/bin")).unwrap();
    let cluster = Cluster::start(ClusterOptions::new(binaries)).await.unwrap();
    let version = ask(&cluster.url(), "SHOW server_version").await.unwrap();
    assert!(version.starts_with("13."), "{version}");
    cluster.stop().await.unwrap();
}
