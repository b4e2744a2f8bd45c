//! The oldest and the newest server give the same families, but for the named differences.

use std::collections::BTreeSet;

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
    let mut names = samples
        .iter()
        .map(|s| s.series.metric.to_string())
        .collect();
    // Times of events that need not have happened yet.
    let optional = |name: &String| !name.ends_with("_time_seconds");
    BTreeSet::retain(&mut names, optional);
    Some(names)
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
