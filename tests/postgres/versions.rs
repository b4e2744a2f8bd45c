//! Every supported server is read without a complaint on either side; the oldest and the newest give
//! the same families, but for the named differences.

use std::collections::BTreeSet;

use plimsoll::advise::checks;
use plimsoll::model::series::Sample;

use crate::server::{self, Server};
use crate::{AT, later, superuser};

/// Everything that both readings give of one version, with some traffic before.
async fn families(major: u32) -> Option<BTreeSet<String>> {
    let bin = server::require(major)?;
    let server = Server::start(
        &bin,
        &[
            "shared_preload_libraries=pg_stat_statements",
            "wal_level=replica",
            "track_io_timing=on",
        ],
    );
    let admin = server.admin("postgres").await;
    let sql = "create extension pg_stat_statements; create table t (id serial primary key, v text); \
               insert into t (v) select 'x' from generate_series(1, 1000); vacuum analyze t; \
               select pg_create_physical_replication_slot('s', true); checkpoint";
    for statement in sql.split("; ") {
        admin.batch_execute(statement).await.unwrap();
    }
    let mut observer = superuser(&server);
    observer.catalog(AT).await.unwrap();
    let mut samples: Vec<Sample> = observer.scrape(later(10)).await.unwrap();
    let (slow, snapshot) = observer.catalog(later(60)).await.unwrap();
    observer.activity().await.unwrap();
    samples.extend(slow);
    assert_eq!(snapshot.server.version_num / 10_000, major);
    assert!(
        snapshot.blind_spots.is_empty(),
        "{major}: {:?}",
        snapshot.blind_spots
    );
    assert_eq!(snapshot.tables.len(), 1);
    assert_eq!(snapshot.tables[0].row_estimate, Some(1000.0));
    assert!(!snapshot.statements.is_empty());
    assert_eq!(snapshot.slots.len(), 1);
    // None of what was asked was wrong there, and the checks can judge what came back.
    let complaints: Vec<String> = complaints(&server.log());
    assert!(complaints.is_empty(), "{major}: {complaints:?}");
    let findings = checks::run(&snapshot, &checks::Thresholds::default());
    assert!(
        findings.iter().any(|found| found.id == "fsync-off"),
        "{major}: the server runs without fsync: {findings:?}"
    );
    let mut names = samples
        .iter()
        .map(|s| s.series.metric.to_string())
        .collect();
    // Times of events that need not have happened yet.
    let optional = |name: &String| !name.ends_with("_time_seconds");
    BTreeSet::retain(&mut names, optional);
    Some(names)
}

/// Errors in a server's log.
fn complaints(log: &str) -> Vec<String> {
    assert!(log.contains("ready to accept connections"), "no log: {log}");
    let bad = |line: &&str| {
        ["ERROR:", "FATAL:", "PANIC:"]
            .iter()
            .any(|word| line.contains(word))
    };
    log.lines().filter(bad).map(str::to_owned).collect()
}

fn only<'a>(from: &'a BTreeSet<String>, not_in: &'a BTreeSet<String>) -> Vec<&'a str> {
    from.difference(not_in).map(String::as_str).collect()
}

#[tokio::test]
async fn thirteen_and_fifteen_differ_by_sessions_and_wal_records() {
    let (Some(old), Some(new)) = (families(13).await, families(15).await) else {
        return;
    };
    assert_eq!(only(&old, &new), [""; 0]);
    for name in only(&new, &old) {
        let prefixes = [
            "pg_wal_",
            "pg_database_sessions",
            "pg_database_session_",
            "pg_database_active_",
            "pg_database_idle_in_transaction_",
        ];
        assert!(prefixes.iter().any(|p| name.starts_with(p)), "{name}");
    }
}

#[tokio::test]
async fn fifteen_and_eighteen_differ_by_io_and_the_checkpointer() {
    let (Some(old), Some(new)) = (families(15).await, families(18).await) else {
        return;
    };
    assert_eq!(
        only(&old, &new),
        [
            "pg_backend_buffers_written_total",
            "pg_backend_fsyncs_total",
            "pg_wal_sync_seconds_total",
            "pg_wal_syncs_total",
            "pg_wal_write_seconds_total",
            "pg_wal_writes_total",
        ]
    );
    for name in only(&new, &old) {
        let prefixes = [
            "pg_io_",
            "pg_restartpoints_",
            "pg_checkpoints_done",
            // Checksums are on by default since 18.
            "pg_database_checksum_failures",
            "pg_database_parallel_",
            "pg_settings_reserved_connections",
        ];
        assert!(prefixes.iter().any(|p| name.starts_with(p)), "{name}");
    }
}

#[tokio::test]
async fn what_lies_between_gives_no_less_than_the_oldest() {
    let Some(oldest) = families(13).await else {
        return;
    };
    for major in [14, 16, 17] {
        let Some(found) = families(major).await else {
            continue;
        };
        let gone: Vec<&str> = only(&oldest, &found)
            .into_iter()
            // 17 has moved these to pg_stat_io.
            .filter(|name| major < 17 || !name.starts_with("pg_backend_"))
            .collect();
        assert_eq!(gone, [""; 0], "{major}");
    }
}
