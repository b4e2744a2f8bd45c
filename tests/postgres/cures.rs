//! What a check tells to run does what it says: each cure is run on the server that it was made for,
//! and the finding is gone.

use plimsoll::advise::checks::{self, Thresholds};
use plimsoll::model::database::Snapshot;
use plimsoll::model::finding::Finding;

use crate::server::{self, Admin, Server, eventually};
use crate::{AT, distribution, superuser};

/// Statements of a script, one by one: some must not share a transaction.
async fn run(admin: &Admin, script: &str) {
    for statement in script.split(";;") {
        if let Err(error) = admin.batch_execute(statement).await {
            panic!("{statement}: {error:?}");
        }
    }
}

/// A cure's statements end at line ends.
async fn cured(admin: &Admin, finding: &Finding) {
    let cure = finding.cure.as_ref().unwrap();
    run(admin, &cure.sql.replace(";\n", ";;")).await;
}

async fn look(server: &Server) -> Snapshot {
    superuser(server).catalog(AT).await.unwrap().1
}

fn small() -> Thresholds {
    let mut set = Thresholds::default();
    set.unused_index.stats_age_ms_min = 0;
    set.foreign_key_without_index.rows_min = 1;
    set
}

fn told(snapshot: &Snapshot, id: &str) -> Vec<Finding> {
    let findings = checks::run(snapshot, &small());
    findings.into_iter().filter(|f| f.id == id).collect()
}

/// Runs the cures of some checks until none of them has anything to say.
async fn mend(server: &Server, admin: &Admin, ids: &[&str]) {
    for id in ids {
        // Before 15 counters come with some delay.
        let mut findings = Vec::new();
        eventually(id, async || {
            findings = told(&look(server).await, id);
            !findings.is_empty()
        })
        .await;
        for finding in &findings {
            cured(admin, finding).await;
        }
        let left = told(&look(server).await, id);
        assert_eq!(left, [], "{id} is still there");
    }
}

/// Names that must be quoted, in every place where a cure writes one.
#[tokio::test]
async fn cures_run_as_they_are_whatever_things_are_called() {
    for major in [13, 15, 18] {
        let Some(bin) = server::require(major) else {
            continue;
        };
        let server = Server::start(&bin, &[]);
        let admin = server.admin("postgres").await;
        run(
            &admin,
            r#"create schema "Übung; drop";;
            create domain "Übung; drop"."Nummer" as bigint;;
            create table "Übung; drop"."Ta""ble" ("Id 'x'" serial primary key, "b""c" int,
                d text, e "Übung; drop"."Nummer");;
            create index "Ünder""1" on "Übung; drop"."Ta""ble" ("b""c");;
            create index "Ünder""2" on "Übung; drop"."Ta""ble" ("b""c");;
            create index "longer; --" on "Übung; drop"."Ta""ble" ("b""c", d);;
            create table "Übung; drop"."Kind" (id int generated always as identity primary key,
                "Über" int references "Übung; drop"."Ta""ble" ("Id 'x'"), f bigint);;
            alter table "Übung; drop"."Kind" add constraint "po""s" check (f > 0) not valid;;
            alter table "Übung; drop"."Kind" set (autovacuum_enabled = off);;
            create table "Übung; drop"."kéyless" ("A b" int not null unique, c int);;
            alter table "Übung; drop"."kéyless" drop constraint "kéyless_A b_key";;
            create unique index "u; é" on "Übung; drop"."kéyless" ("A b");;
            create table "Übung; drop"."none at all" (c int);;
            insert into "Übung; drop"."Ta""ble" ("b""c", d) select g, 'x' from generate_series(1, 500) g;;
            insert into "Übung; drop"."Kind" ("Über", f) select g, g from generate_series(1, 500) g;;
            insert into "Übung; drop"."kéyless" select g from generate_series(1, 500) g;;
            insert into "Übung; drop"."none at all" select g from generate_series(1, 500) g;;
            select setval('"Übung; drop"."Ta""ble_Id ''x''_seq"', 2000000000);;
            select setval('"Übung; drop"."Kind_id_seq"', 2000000000);;
            analyze"#,
        )
        .await;
        let snapshot = look(&server).await;
        assert_eq!(told(&snapshot, "foreign-key-type"), [], "{major}");
        let ids = [
            "duplicate-index",
            "redundant-index",
            "foreign-key-without-index",
            "constraint-not-valid",
            "autovacuum-off-table",
            "no-primary-key",
            "sequence-exhaustion",
        ];
        mend(&server, &admin, &ids).await;
        // The key is of another type now, which its cure mends.
        mend(&server, &admin, &["foreign-key-type"]).await;
    }
}

#[tokio::test]
async fn of_thousands_of_partitions_the_whole_is_told_and_cured() {
    for major in [13, 15, 18] {
        let Some(bin) = server::require(major) else {
            continue;
        };
        let server = Server::start(&bin, &[]);
        let admin = server.admin("postgres").await;
        run(
            &admin,
            "create table target (id int primary key);;\
             create table log (id int, day int, a int, target int references target)
                partition by range (day);;\
             create table log_1 partition of log for values from (1) to (2)
                partition by range (id);;\
             create table log_1_1 partition of log_1 for values from (1) to (1000);;\
             create table log_2 partition of log for values from (2) to (3);;\
             create table log_3 partition of log for values from (3) to (4);;\
             create index by_a on log (a);; create index by_a_id on log (a, id);;\
             create index by_id on log (id);; create index again on log (a);;\
             create index local_one on log_2 (id);;\
             insert into target values (1);;\
             insert into log select g, 1 + g % 3, g, 1 from generate_series(1, 900) g;; analyze",
        )
        .await;
        eventually("rows are counted", async || {
            !told(&look(&server).await, "no-primary-key").is_empty()
        })
        .await;
        let snapshot = look(&server).await;
        let objects = |id: &str| -> Vec<String> {
            let all = told(&snapshot, id).into_iter();
            let mut objects: Vec<String> = all.filter_map(|f| f.object).collect();
            objects.sort();
            objects
        };
        // The part of one partition that stands beside an inherited one goes by itself.
        assert_eq!(objects("duplicate-index").len(), 2, "{major}");
        assert!(objects("duplicate-index").contains(&"public.local_one".to_owned()));
        assert_eq!(objects("no-primary-key"), ["public.log"], "{major}");
        assert_eq!(
            objects("foreign-key-without-index"),
            ["public.log"],
            "{major}"
        );
        let unused = objects("unused-index");
        assert!(unused.contains(&"public.by_id".to_owned()), "{unused:?}");
        assert!(
            !unused.iter().any(|name| name.starts_with("public.log_1")),
            "{unused:?}"
        );
        let ids = [
            "duplicate-index",
            "redundant-index",
            "foreign-key-without-index",
        ];
        mend(&server, &admin, &ids).await;
    }
}

/// An index that is being built is not broken; one whose build was ended is.
#[tokio::test]
async fn a_build_under_way_is_not_a_broken_index() {
    let Some(server) = distribution() else { return };
    let admin = server.admin("postgres").await;
    run(
        &admin,
        "create table t (a int);; insert into t select generate_series(1, 1000)",
    )
    .await;
    // An open transaction that wrote to the table holds up the build.
    let writer = server.admin("postgres").await;
    run(&writer, "begin;; insert into t values (1)").await;
    let builder = server.admin("postgres").await;
    let build = tokio::spawn(async move {
        let built = builder.batch_execute("create index concurrently t_a on t (a)");
        built.await.is_err()
    });
    let waits = "select count(*) from pg_stat_progress_create_index where phase like 'waiting%'";
    eventually("the build waits", async || {
        let row = admin.query_one(waits, &[]).await.unwrap();
        row.get::<_, i64>(0) == 1
    })
    .await;
    let snapshot = look(&server).await;
    assert!(
        snapshot
            .indexes
            .iter()
            .any(|i| !i.is_valid && i.is_building)
    );
    assert_eq!(told(&snapshot, "invalid-index"), []);
    let end = "select pg_cancel_backend(pid) from pg_stat_progress_create_index";
    run(&admin, end).await;
    assert!(build.await.unwrap(), "the build was to be ended");
    run(&writer, "commit").await;
    mend(&server, &admin, &["invalid-index"]).await;
}
