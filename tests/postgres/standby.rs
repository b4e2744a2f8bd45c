//! A live standby: both sides are read, each knows what it is, and how far behind is seen from both.

use plimsoll::advise::checks::{self, Thresholds};
use plimsoll::model::database::Snapshot;
use plimsoll::model::units::Millis;

use crate::server::{self, Admin, Server, eventually};
use crate::{AT, later, superuser, values};

const STATEMENTS: &str = "shared_preload_libraries=pg_stat_statements";

/// Bytes that the standby has and has not replayed.
const BEHIND: &str = "select coalesce(pg_wal_lsn_diff(pg_last_wal_receive_lsn(), \
                      pg_last_wal_replay_lsn()), 1)::bigint";

async fn number(admin: &Admin, sql: &str) -> i64 {
    admin.query_one(sql, &[]).await.unwrap().get(0)
}

/// A primary with rows, an index that nobody uses, and a standby that has all of it.
async fn pair() -> Option<(Server, Server)> {
    let bin = server::require(15)?;
    let primary = Server::start(&bin, &[STATEMENTS, "wal_level=replica"]);
    let admin = primary.admin("postgres").await;
    let sql = "create extension pg_stat_statements; create table t (id int primary key, v text); \
               insert into t select i, repeat('x', 100) from generate_series(1, 200000) i; \
               create index t_v on t (v, id); analyze t";
    for statement in sql.split("; ") {
        admin.batch_execute(statement).await.unwrap();
    }
    let standby = primary.standby(&[
        STATEMENTS,
        "cluster_name=second",
        "wal_receiver_status_interval=1",
    ]);
    let streams = "select count(*) from pg_stat_replication where state = 'streaming'";
    let streaming = async || number(&admin, streams).await == 1;
    eventually("the standby streams", streaming).await;
    // From its first transaction on a standby knows how old what it has replayed is.
    admin
        .batch_execute("create table u (id int)")
        .await
        .unwrap();
    let there = standby.admin("postgres").await;
    let knows = "select count(*) from pg_class where relname = 'u'";
    eventually("one is replayed", async || number(&there, knows).await == 1).await;
    Some((primary, standby))
}

/// The snapshot as a month later, when the counters have something to say.
fn aged(mut snapshot: Snapshot) -> Snapshot {
    let quarter = Millis(90 * Millis::DAY.0).as_duration();
    snapshot.server.stats_reset = Some(snapshot.taken_at.minus(quarter));
    snapshot.server.started_at = snapshot.taken_at.minus(quarter);
    snapshot
}

#[tokio::test]
async fn both_sides_of_a_replication_are_read() {
    let Some((primary, standby)) = pair().await else {
        return;
    };
    let (mut first, mut second) = (superuser(&primary), superuser(&standby));
    let samples = first.scrape(AT).await.unwrap();
    assert_eq!(values(&samples, "pg_standbys", &[]), [1.0]);
    let of_second = [("application_name", "second")];
    assert_eq!(
        values(&samples, "pg_standby_lag_bytes", &of_second).len(),
        1
    );
    let here = first.catalog(later(60)).await.unwrap().1;
    assert!(
        !here.server.in_recovery && here.blind_spots.is_empty(),
        "{:?}",
        here.blind_spots
    );
    assert_eq!(here.replicas[0].application, "second");

    let samples = second.scrape(AT).await.unwrap();
    assert_eq!(values(&samples, "pg_up", &[]), [1.0]);
    assert_eq!(values(&samples, "pg_standbys", &[]), [0.0]);
    assert_eq!(values(&samples, "pg_replay_lag_seconds", &[]).len(), 1);
    second.activity().await.unwrap();
    let there = second.catalog(later(60)).await.unwrap().1;
    assert!(
        there.server.in_recovery && there.blind_spots.is_empty(),
        "{:?}",
        there.blind_spots
    );
    assert_eq!(there.tables.len(), 2);
    let log = standby.log();
    assert!(!log.contains("ERROR:"), "{log}");

    // Whether an index is used is for the primary to say, and it says that it cannot see all.
    let unused = |snapshot: Snapshot| {
        let findings = checks::run(&aged(snapshot), &Thresholds::default());
        findings
            .into_iter()
            .find(|found| found.id == "unused-index")
    };
    assert_eq!(unused(there), None);
    let found = unused(here).unwrap();
    assert_eq!(found.object.as_deref(), Some("public.t_v"));
    let unseen = "standbys that are not looked at";
    assert!(
        found.evidence.iter().any(|seen| seen.label == unseen),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_standby_that_does_not_replay_is_seen_from_both_sides() {
    let Some((primary, standby)) = pair().await else {
        return;
    };
    let (admin, there) = (
        primary.admin("postgres").await,
        standby.admin("postgres").await,
    );
    there
        .batch_execute("select pg_wal_replay_pause()")
        .await
        .unwrap();
    let paused = "select count(*) where pg_get_wal_replay_pause_state() = 'paused'";
    eventually("replay is paused", async || {
        number(&there, paused).await == 1
    })
    .await;
    let sql = "insert into t select i, repeat('y', 1000) from generate_series(200001, 210000) i";
    admin.batch_execute(sql).await.unwrap();
    let behind = async || number(&there, BEHIND).await > 10_000_000;
    eventually("the log has arrived", behind).await;

    let (mut first, mut second) = (superuser(&primary), superuser(&standby));
    let seen = values(
        &first.scrape(AT).await.unwrap(),
        "pg_standby_lag_bytes",
        &[],
    );
    assert!(
        seen[0] > 10e6,
        "{seen:?} bytes behind, as the primary sees it"
    );
    let own = values(
        &second.scrape(AT).await.unwrap(),
        "pg_replay_lag_seconds",
        &[],
    );
    assert!(own[0] > 0.0, "{own:?} s behind, as the standby sees it");

    let resume = "select pg_wal_replay_resume()";
    there.batch_execute(resume).await.unwrap();
    // The primary ends its log within a record until the next commit: so one comes each time.
    let mut seconds = 10;
    let caught_up = async || {
        admin
            .batch_execute("insert into u values (1)")
            .await
            .unwrap();
        seconds += 10;
        let at = later(seconds);
        let seen = values(
            &first.scrape(at).await.unwrap(),
            "pg_standby_lag_bytes",
            &[],
        );
        let own = values(
            &second.scrape(at).await.unwrap(),
            "pg_replay_lag_seconds",
            &[],
        );
        seen[0] < 1e6 && own == [0.0]
    };
    eventually("both say that it has caught up", caught_up).await;
}
