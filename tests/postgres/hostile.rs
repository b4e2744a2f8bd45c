//! Servers that move while they are looked at: tables that vanish, locks that stay, roles without
//! rights, statements without end, restarts and crashes. A look writes nothing, waits for nobody,
//! and says what it could not see.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use plimsoll::advise::checks::{self, Thresholds};
use plimsoll::postgres::{APPLICATION_NAME, Observer, Options};

use crate::server::{self, Server, eventually};
use crate::{blind_spot, later, superuser};

const MAJORS: [u32; 3] = [13, 15, 18];
const STATEMENTS: &str = "shared_preload_libraries=pg_stat_statements";

fn servers() -> impl Iterator<Item = Server> {
    let bins = MAJORS.into_iter().filter_map(server::require);
    bins.map(|bin| Server::start(&bin, &[STATEMENTS]))
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_come_and_go_disturb_no_look() {
    for server in servers() {
        let admin = server.admin("postgres").await;
        let stop = Arc::new(AtomicBool::new(false));
        let rounds = Arc::new(AtomicU32::new(0));
        let (busy, count) = (Arc::clone(&stop), Arc::clone(&rounds));
        let churn = tokio::spawn(async move {
            while !busy.load(Ordering::Relaxed) {
                let name = format!("t{}", count.load(Ordering::Relaxed) % 20);
                let sql = format!(
                    "drop table if exists {name} cascade; \
                     create table {name} (id serial primary key, a int, b text); \
                     create index on {name} (a); create index on {name} (lower(b)); \
                     insert into {name} (a) select generate_series(1, 50)"
                );
                admin.batch_execute(&sql).await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut observer = superuser(&server);
        for look in 0.. {
            if look >= 25 && rounds.load(Ordering::Relaxed) >= 20 {
                break;
            }
            observer.scrape(later(look * 60)).await.unwrap();
            let (_, snapshot) = observer.catalog(later(look * 60)).await.unwrap();
            checks::run(&snapshot, &Thresholds::default());
            // Whoever drops a table may hold its lock for longer than we wait on a busy machine.
            let failed = |spot: &&plimsoll::model::database::BlindSpot| {
                spot.why.starts_with("it could not be read")
                    && !spot.why.contains("waited too long for a lock")
            };
            // A definition is read of an oid that was dropped meanwhile: it is left out, not failed.
            assert_eq!(
                snapshot.blind_spots.iter().find(failed),
                None,
                "look {look}"
            );
            for index in &snapshot.indexes {
                let mut tables = snapshot.tables.iter();
                assert!(tables.any(|t| t.oid == index.table_oid), "{index:?}");
            }
        }
        stop.store(true, Ordering::Relaxed);
        churn.await.unwrap();
        // Once it is quiet nothing is missing any more, locks or not.
        let (_, snapshot) = observer.catalog(later(100_000)).await.unwrap();
        let mut spots = snapshot.blind_spots.iter();
        let failed = spots.find(|spot| spot.why.starts_with("it could not be read"));
        assert_eq!(failed, None);
        assert_eq!(snapshot.tables.len(), 20);
    }
}

/// An ALTER TABLE that holds its lock, and one that waits for it: we neither wait nor are waited for.
#[tokio::test]
async fn a_table_that_is_being_altered_is_left_alone() {
    for server in servers() {
        let admin = server.admin("postgres").await;
        let sql = "create table t (id serial primary key, a int); create index on t ((a + 1)); \
                   insert into t (a) select generate_series(1, 1000)";
        admin.batch_execute(sql).await.unwrap();
        let holder = server.admin("postgres").await;
        let sql = "begin; alter table t add column b int";
        holder.batch_execute(sql).await.unwrap();
        let waiter = server.admin("postgres").await;
        let waits =
            tokio::spawn(
                async move { waiter.batch_execute("alter table t add column c int").await },
            );
        let locks = "select count(*) from pg_locks where not granted";
        eventually("somebody waits", async || {
            let row = admin.query_one(locks, &[]).await.unwrap();
            row.get::<_, i64>(0) > 0
        })
        .await;
        let mut observer = superuser(&server);
        observer.scrape(later(0)).await.unwrap();
        let (_, snapshot) = observer.catalog(later(0)).await.unwrap();
        assert_eq!(snapshot.tables.len(), 1);
        assert!(blind_spot(&snapshot, "locked relations").is_some());
        let ours = "select count(*) from pg_locks l join pg_stat_activity a using (pid) \
                    where a.application_name = $1 and not l.granted";
        let row = admin.query_one(ours, &[&APPLICATION_NAME]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 0, "we wait for a lock");
        holder.batch_execute("commit").await.unwrap();
        waits.await.unwrap().unwrap();
        let (_, snapshot) = observer.catalog(later(60)).await.unwrap();
        assert!(blind_spot(&snapshot, "locked relations").is_none());
    }
}

#[tokio::test]
async fn a_role_without_rights_gets_a_clear_answer() {
    for server in servers() {
        let admin = server.admin("postgres").await;
        let sql = "create role nobody_else login; revoke all on schema public from public; \
                   create schema hidden; create table hidden.t (id serial primary key, a text); \
                   insert into hidden.t (a) select repeat('x', 100) from generate_series(1, 20000); \
                   analyze; create extension pg_stat_statements";
        for statement in sql.split("; ") {
            admin.batch_execute(statement).await.unwrap();
        }
        let conninfo = server.conninfo("user=nobody_else dbname=postgres");
        let mut observer = Observer::new(Options::new("t", conninfo));
        observer.scrape(later(0)).await.unwrap();
        let (_, snapshot) = observer.catalog(later(0)).await.unwrap();
        assert_eq!(snapshot.tables.len(), 1, "catalogs are everybody's");
        let cure = blind_spot(&snapshot, "rights").unwrap();
        assert_eq!(cure, "GRANT pg_monitor TO \"nobody_else\";");
        assert!(blind_spot(&snapshot, "column statistics").is_some());
        let failed = |s: &&plimsoll::model::database::BlindSpot| {
            let is_told = ["wal folder", "statements"].contains(&s.what.as_str());
            s.why.starts_with("it could not be read") && !is_told
        };
        assert_eq!(snapshot.blind_spots.iter().find(failed), None);
        let cure = blind_spot(&snapshot, "statements").unwrap();
        assert_eq!(cure, "GRANT USAGE ON that SCHEMA TO the role");
        checks::run(&snapshot, &Thresholds::default());
        // What it may not see it does not guess.
        assert!(snapshot.sequences.iter().all(|s| s.last_value.is_none()));
    }
}

/// Thousands of statements with texts of many kilobytes: they are not read again and again.
#[tokio::test]
async fn huge_texts_of_statements_are_read_once() {
    let Some(bin) = server::require(15) else {
        return;
    };
    let server = Server::start(&bin, &[STATEMENTS]);
    let admin = server.admin("postgres").await;
    let sql = "create extension pg_stat_statements";
    admin.batch_execute(sql).await.unwrap();
    // Each has as many columns as its number, so that none is another's.
    let sql = "do $$ begin for n in 1..400 loop \
               execute 'select ' || repeat('1 + 1 + ', 100 + n) || '1'; end loop; end $$";
    admin
        .batch_execute("set pg_stat_statements.track = 'all'")
        .await
        .unwrap();
    admin.batch_execute(sql).await.unwrap();
    let huge = format!("select '{}' as \"{}\"", "x".repeat(10), "y".repeat(60));
    let long = format!("{huge} /* {} */", "long ".repeat(100_000));
    admin.batch_execute(&long).await.unwrap();
    let mut observer = superuser(&server);
    let read = async || {
        let sql = "select coalesce(sum(calls), 0)::bigint from pg_stat_statements \
                   where query like '%/* plimsoll */%pg_stat_statements(true)%'";
        let row = admin.query_one(sql, &[]).await.unwrap();
        row.get::<_, i64>(0)
    };
    for look in 0..6 {
        observer.scrape(later(look * 60)).await.unwrap();
        observer.catalog(later(look * 60)).await.unwrap();
    }
    let first = read().await;
    let (_, snapshot) = observer.catalog(later(600)).await.unwrap();
    let longest = snapshot
        .statements
        .iter()
        .map(|s| s.query.chars().count())
        .max();
    assert!(longest.unwrap() <= 2_001, "{longest:?}");
    for look in 0..6 {
        observer.scrape(later(660 + look * 60)).await.unwrap();
        observer.catalog(later(660 + look * 60)).await.unwrap();
    }
    let then = read().await;
    assert!(
        then - first <= 3,
        "texts were read {} times more",
        then - first
    );
}

/// The server goes away in the middle of looks, in order and by a crash: an error, and then all is well.
#[tokio::test(flavor = "multi_thread")]
async fn restarts_and_crashes_in_mid_look_are_survived() {
    for mode in ["fast", "immediate"] {
        for server in servers() {
            let admin = server.admin("postgres").await;
            let sql = "create table t (id serial primary key, a int); \
                       insert into t (a) select generate_series(1, 1000)";
            admin.batch_execute(sql).await.unwrap();
            let mut observer = superuser(&server);
            observer.catalog(later(0)).await.unwrap();
            let server = Arc::new(server);
            let down = {
                let server = Arc::clone(&server);
                tokio::task::spawn_blocking(move || {
                    server.down(mode);
                    server.up();
                })
            };
            let (mut failed, mut at) = (0, 0);
            while !down.is_finished() {
                at += 60;
                failed += u32::from(observer.catalog(later(at)).await.is_err());
            }
            down.await.unwrap();
            assert!(failed > 0, "{mode}: it was never away");
            eventually("it is looked at again", async || {
                at += 60;
                observer.catalog(later(at)).await.is_ok()
            })
            .await;
            let (_, snapshot) = observer.catalog(later(at + 60)).await.unwrap();
            assert_eq!((snapshot.tables.len(), snapshot.indexes.len()), (1, 1));
        }
    }
}
