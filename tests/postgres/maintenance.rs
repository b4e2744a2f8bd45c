//! What is written to a server where its operator allows it: `VACUUM`, and archives that lose no row.

mod refused;

use std::time::Duration;

use plimsoll::model::maintenance::ArchivalPolicy;
use plimsoll::model::units::{Millis, Timestamp};
use plimsoll::postgres::{Archive, Error, Options, Step, Writer, vacuum, wanting};

use crate::advise::run;
use crate::server::{self, Admin, Server};

/// 400 events, one a day up to the day before [`now`], and two that refer to old ones.
const EVENTS: &str = "\
    create table \"Event\" (id int primary key, \"timestamp\" timestamp(3) not null, data jsonb, \
      price numeric, doubled int generated always as (id * 2) stored);; \
    insert into \"Event\" (id, \"timestamp\", data, price) \
      select i, timestamp '2026-06-01' - make_interval(days => i), \
      json_build_object('n', i, 'text', repeat('x', 100)), i / 3.0 from generate_series(1, 400) i;; \
    create index on \"Event\" (\"timestamp\");; \
    create table note (id int primary key, event int references \"Event\" on delete cascade);; \
    insert into note values (1, 390), (2, 20);; \
    create schema archive;; analyze";

fn now() -> Timestamp {
    Timestamp::parse("2026-06-01T00:00:00Z").unwrap()
}

fn options(server: &Server, user: &str) -> Options {
    Options::new(
        "t",
        server.conninfo(&format!("user={user} dbname=postgres")),
    )
}

async fn scene() -> Option<(Server, Admin)> {
    scene_on(15).await
}

async fn scene_on(major: u32) -> Option<(Server, Admin)> {
    let server = Server::start(&server::require(major)?, &[]);
    let admin = server.admin("postgres").await;
    run(&admin, EVENTS).await;
    Some((server, admin))
}

async fn number(admin: &Admin, sql: &str) -> i64 {
    admin.query_one(sql, &[]).await.unwrap().get(0)
}

fn policy(json: &str) -> ArchivalPolicy {
    let policy: ArchivalPolicy = serde_json::from_str(json).unwrap();
    policy.check().unwrap();
    policy
}

async fn all(archive: &mut Archive<'_>) -> Result<Step, Error> {
    archive.make_destination().await?;
    let mut sum = Step::default();
    loop {
        let step = archive.step(None).await?;
        sum.archived += step.archived;
        sum.deleted += step.deleted;
        if step.is_last {
            return Ok(sum);
        }
    }
}

const MOVE: &str = r#"{"table": "Event", "archiveAfterDays": 365, "archiveStrategy": "move",
    "archiveDestination": "archive.event", "batchRows": 7}"#;

#[tokio::test]
async fn moved_rows_are_the_same_rows_and_those_that_others_refer_to_stay() {
    for major in [13, 15, 18] {
        if let Some((server, admin)) = scene_on(major).await {
            moved(&server, &admin).await;
        }
    }
}

async fn moved(server: &Server, admin: &Admin) {
    let sum = "select coalesce(sum(hashtextextended(\
               row(id, \"timestamp\", data, price)::text, 0)::numeric) % 1000000007, 0)::int8 from ";
    let old = "where \"timestamp\" < timestamp '2026-06-01' - interval '365 days' and id <> 390";
    let before = number(admin, &format!("{sum} \"Event\" {old}")).await;
    let writer = Writer::open(&options(server, "postgres")).await.unwrap();
    let mut archive = Archive::plan(&writer, &policy(MOVE), now()).await.unwrap();
    let preview = archive.preview().await.unwrap();
    assert_eq!((preview.rows, preview.referenced), (35, 1));
    assert_eq!(preview.destination.as_deref(), Some("archive.event"));
    assert!(
        preview.makes_destination && preview.bytes > 0,
        "{preview:?}"
    );
    // The note's foreign key has no index.
    assert!(
        preview.notes.iter().any(|n| n.contains("public.note")),
        "{preview:?}"
    );
    let done = all(&mut archive).await.unwrap();
    assert_eq!((done.archived, done.deleted), (34, 34));
    assert_eq!(number(admin, &format!("{sum} archive.event")).await, before);
    assert_eq!(
        number(admin, &format!("select count(*) from \"Event\" {old}")).await,
        0
    );
    assert_eq!(number(admin, "select count(*) from \"Event\"").await, 366);
    assert_eq!(number(admin, "select count(*) from note").await, 2);
    // Nothing is left, and a second run finds the destination there.
    let mut again = Archive::plan(&writer, &policy(MOVE), now()).await.unwrap();
    assert_eq!(all(&mut again).await.unwrap().deleted, 0);
    // The destination's own retention.
    let retain = MOVE.replace("365,", "365, \"retentionDays\": 390,");
    let archive = Archive::plan(&writer, &policy(&retain), now())
        .await
        .unwrap();
    assert_eq!(archive.expire().await.unwrap(), 7);
    assert_eq!(archive.expire().await.unwrap(), 3);
    assert_eq!(archive.expire().await.unwrap(), 0);
}

#[tokio::test]
async fn rows_are_copied_once_and_a_copy_that_differs_keeps_its_row_from_being_deleted() {
    let Some((server, admin)) = scene().await else {
        return;
    };
    let writer = Writer::open(&options(&server, "postgres")).await.unwrap();
    let copy = MOVE.replace("move", "copy");
    for copied in [35, 0] {
        let mut archive = Archive::plan(&writer, &policy(&copy), now()).await.unwrap();
        let done = all(&mut archive).await.unwrap();
        assert_eq!((done.archived, done.deleted), (copied, 0));
    }
    assert_eq!(number(&admin, "select count(*) from \"Event\"").await, 400);
    run(&admin, "update archive.event set price = 0 where id = 370").await;
    let mut archive = Archive::plan(&writer, &policy(MOVE), now()).await.unwrap();
    let error = all(&mut archive).await.unwrap_err().to_string();
    assert!(error.contains("1 of its rows with other values"), "{error}");
    assert_eq!(
        number(&admin, "select count(*) from \"Event\" where id = 370").await,
        1
    );
    // Every row is in one of both, whatever was done before.
    let both = "select count(distinct id) from (select id from \"Event\" union all \
                select id from archive.event) x";
    assert_eq!(number(&admin, both).await, 400);
    run(
        &admin,
        "update archive.event a set price = e.price from \"Event\" e where e.id = a.id",
    )
    .await;
    let mut archive = Archive::plan(&writer, &policy(MOVE), now()).await.unwrap();
    all(&mut archive).await.unwrap();
    assert_eq!(number(&admin, "select count(*) from \"Event\"").await, 366);
}

#[tokio::test]
async fn rows_that_somebody_works_on_are_left_and_a_run_that_is_cut_off_loses_nothing() {
    let Some((server, admin)) = scene().await else {
        return;
    };
    let writer = Writer::open(&options(&server, "postgres")).await.unwrap();
    let delete = r#"{"table": "\"Event\"", "archiveAfterDays": 365, "archiveStrategy": "delete",
                     "batchRows": 10}"#;
    run(
        &admin,
        "begin;; select 1 from \"Event\" where id = 380 for update",
    )
    .await;
    let mut archive = Archive::plan(&writer, &policy(delete), now())
        .await
        .unwrap();
    assert_eq!(archive.step(Some(3)).await.unwrap().deleted, 3, "at most");
    assert_eq!(all(&mut archive).await.unwrap().deleted, 30);
    run(&admin, "rollback").await;
    assert_eq!(all(&mut archive).await.unwrap().deleted, 1);
    assert_eq!(number(&admin, "select count(*) from \"Event\"").await, 366);

    // A move whose server goes away in the middle of a batch: the batch is as if it had not been.
    run(
        &admin,
        "create function slow() returns trigger language plpgsql as \
           'begin perform pg_sleep(60); return old; end';; \
         create trigger slow before delete on \"Event\" for each row execute function slow()",
    )
    .await;
    let mut moving = MOVE.replace("365", "300");
    moving = moving.replace("Event\"", "public.\\\"Event\\\"\"");
    let mut archive = Archive::plan(&writer, &policy(&moving), now())
        .await
        .unwrap();
    archive.make_destination().await.unwrap();
    let cut = tokio::time::timeout(Duration::from_millis(500), archive.step(None)).await;
    assert!(cut.is_err(), "it sleeps");
    drop(archive);
    drop(writer);
    // It is cancelled on the server, too.
    let running = "select count(*) from pg_stat_activity where application_name = 'plimsoll' \
                   and state <> 'idle'";
    for _ in 0..100 {
        if number(&admin, running).await == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(number(&admin, running).await, 0);
    assert_eq!(
        number(&admin, "select count(*) from archive.event").await,
        0
    );
    assert_eq!(number(&admin, "select count(*) from \"Event\"").await, 366);
}

#[tokio::test]
async fn a_role_without_the_right_deletes_nothing() {
    let Some((server, admin)) = scene().await else {
        return;
    };
    run(&admin, "create role reader login").await;
    let reader = Writer::open(&options(&server, "reader")).await.unwrap();
    let delete = r#"{"table": "Event", "archiveAfterDays": 365, "archiveStrategy": "delete"}"#;
    let mut archive = Archive::plan(&reader, &policy(delete), now())
        .await
        .unwrap();
    let error = archive.step(None).await.unwrap_err();
    assert!(matches!(error, Error::WriteDenied { .. }), "{error}");
    assert_eq!(number(&admin, "select count(*) from \"Event\"").await, 400);
}

#[tokio::test]
async fn a_vacuum_tells_what_it_changed_and_who_keeps_dead_rows() {
    let Some((server, admin)) = scene().await else {
        return;
    };
    run(
        &admin,
        "create table worn (id int primary key, text text) with (autovacuum_enabled = off);; \
         insert into worn select i, repeat('x', 50) from generate_series(1, 20000) i;; \
         delete from worn where id % 2 = 0;; select pg_stat_force_next_flush()",
    )
    .await;
    let (reading, writing) = (options(&server, "postgres"), options(&server, "postgres"));
    let writer = Writer::open(&writing).await.unwrap();
    let settled = |wanted: bool| {
        let writer = &writer;
        async move {
            for _ in 0..100 {
                let found = wanting(writer, 10).await.unwrap();
                if found.contains(&"public.worn".to_owned()) == wanted {
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            false
        }
    };
    assert!(settled(true).await, "it wants it");
    // Somebody still looks at the rows as they were.
    let holder = server.admin("postgres").await;
    run(
        &holder,
        "begin isolation level repeatable read;; select count(*) from worn",
    )
    .await;
    run(&admin, "delete from worn where id % 3 = 0").await;
    let table = writer.relation("WORN").await.unwrap();
    let done = vacuum(&writer, &table, &reading, &mut |_| {})
        .await
        .unwrap();
    assert_eq!(done.table, "public.worn");
    assert!(
        done.after.dead_rows > 3_000 && done.after.dead_rows < 4_000,
        "{done:?}"
    );
    assert_eq!(done.held_by.as_ref().unwrap().state, "idle in transaction");
    run(&holder, "rollback").await;
    let done = vacuum(&writer, &table, &reading, &mut |_| {})
        .await
        .unwrap();
    assert_eq!(
        (done.after.dead_rows, done.after.changed_rows),
        (0, 0),
        "{done:?}"
    );
    assert!(settled(false).await, "it does not want it any more");

    // The server would only warn.
    run(&admin, "create role reader login").await;
    let reader = Writer::open(&options(&server, "reader")).await.unwrap();
    let refused = vacuum(&reader, &table, &reading, &mut |_| {}).await;
    let relation = reader.relation("worn").await.unwrap();
    assert!(refused.is_ok(), "the relation said that its finder may");
    let error = vacuum(&reader, &relation, &reading, &mut |_| {})
        .await
        .unwrap_err();
    assert!(error.to_string().contains("GRANT MAINTAIN"), "{error}");
}

#[tokio::test]
async fn a_lock_that_is_not_free_is_not_waited_for() {
    let Some((server, admin)) = scene().await else {
        return;
    };
    let mut options = options(&server, "postgres");
    options.lock_timeout = Millis(50);
    let writer = Writer::open(&options).await.unwrap();
    let table = writer.relation("Event").await.unwrap();
    run(&admin, "begin;; lock table \"Event\" in share mode").await;
    let error = vacuum(&writer, &table, &options, &mut |_| {})
        .await
        .unwrap_err();
    assert!(matches!(error, Error::WriteLock { .. }), "{error}");
    let delete = r#"{"table": "Event", "archiveAfterDays": 365, "archiveStrategy": "delete"}"#;
    let mut archive = Archive::plan(&writer, &policy(delete), now())
        .await
        .unwrap();
    let error = archive.step(None).await.unwrap_err();
    assert!(matches!(error, Error::WriteLock { .. }), "{error}");
    run(&admin, "rollback").await;
    assert_eq!(
        all(&mut archive).await.unwrap().deleted,
        34,
        "the session goes on"
    );
}

#[tokio::test]
async fn a_row_that_is_referred_to_through_the_parent_of_its_partition_stays() {
    let Some((server, admin)) = scene().await else {
        return;
    };
    run(
        &admin,
        "create table part (id int, at timestamptz, primary key (id, at)) partition by range (at);; \
         create table part_old partition of part for values from ('2020-01-01') to ('2021-01-01');; \
         insert into part select i, timestamptz '2020-05-01' + make_interval(days => i) \
           from generate_series(1, 20) i;; \
         create table tied (id int, at timestamptz, \
           foreign key (id, at) references part on delete cascade);; \
         insert into tied select id, at from part where id in (3, 7)",
    )
    .await;
    let writer = Writer::open(&options(&server, "postgres")).await.unwrap();
    let delete = r#"{"table": "part_old", "archiveAfterDays": 9, "archiveStrategy": "delete"}"#;
    let mut archive = Archive::plan(&writer, &policy(delete), now())
        .await
        .unwrap();
    assert_eq!(all(&mut archive).await.unwrap().deleted, 18);
    assert_eq!(number(&admin, "select count(*) from part").await, 2);
    assert_eq!(number(&admin, "select count(*) from tied").await, 2);
}

#[tokio::test]
async fn what_is_altered_meanwhile_or_skipped_by_a_trigger_stops_a_run_before_it_loses_anything() {
    let Some((server, admin)) = scene().await else {
        return;
    };
    let writer = Writer::open(&options(&server, "postgres")).await.unwrap();
    let mut archive = Archive::plan(&writer, &policy(MOVE), now()).await.unwrap();
    archive.make_destination().await.unwrap();
    assert_eq!(archive.step(None).await.unwrap().deleted, 7);
    run(
        &admin,
        "alter table \"Event\" add column score int default 5",
    )
    .await;
    let error = archive.step(None).await.unwrap_err().to_string();
    assert!(error.contains("has changed meanwhile"), "{error}");
    // A new run says what the destination lacks.
    let planned = Archive::plan(&writer, &policy(MOVE), now()).await;
    let error = planned.err().unwrap().to_string();
    assert!(
        error.contains("no column where it has score integer"),
        "{error}"
    );
    run(
        &admin,
        "alter table archive.event add column score int;; \
         create function skip() returns trigger language plpgsql as \
           'begin return case when new.id % 2 = 0 then new end; end';; \
         create trigger skip before insert on archive.event for each row execute function skip()",
    )
    .await;
    let mut archive = Archive::plan(&writer, &policy(MOVE), now()).await.unwrap();
    let error = archive.step(None).await.unwrap_err().to_string();
    assert!(error.contains("or not at all"), "{error}");
    let both = "select count(distinct id) from (select id from \"Event\" union all \
                select id from archive.event) x";
    assert_eq!(number(&admin, both).await, 400);
    assert_eq!(number(&admin, "select count(*) from \"Event\"").await, 393);
}

#[tokio::test]
async fn nobodys_operators_stand_in_for_built_in_ones_and_triggers_find_what_they_name() {
    let Some((server, admin)) = scene().await else {
        return;
    };
    run(
        &admin,
        "create table named (name varchar(20) primary key, at timestamptz);; \
         insert into named select 'n' || i, timestamptz '2020-01-01' from generate_series(1, 5) i;; \
         create table naming (name varchar(20) references named);; insert into naming values ('n3');; \
         create function evil(varchar, varchar) returns bool language plpgsql as \
           'begin raise exception ''captured''; end';; \
         create operator public.= (function = evil, leftarg = varchar, rightarg = varchar);; \
         create table gone (name text);; \
         create function note_it() returns trigger language plpgsql as \
           'begin insert into gone values (old.name::text); return old; end';; \
         create trigger note_it after delete on named for each row execute function note_it()",
    )
    .await;
    let writer = Writer::open(&options(&server, "postgres")).await.unwrap();
    let json = r#"{"table": "named", "archiveAfterDays": 9, "archiveStrategy": "move",
                   "archiveDestination": "archive.named"}"#;
    let mut archive = Archive::plan(&writer, &policy(json), now()).await.unwrap();
    assert_eq!(archive.preview().await.unwrap().referenced, 1);
    assert_eq!(all(&mut archive).await.unwrap().deleted, 4);
    assert_eq!(number(&admin, "select count(*) from gone").await, 4);
    assert_eq!(
        number(&admin, "select count(*) from archive.named").await,
        4
    );
    let copy = policy(&json.replace("move", "copy"));
    let mut copying = Archive::plan(&writer, &copy, now()).await.unwrap();
    assert_eq!(all(&mut copying).await.unwrap().archived, 1);
}

/// Names as the role finds them: an enum of its schema, the first table of its path, a destination beside the
/// table; and a reference that compares as its foreign key does.
#[tokio::test]
async fn names_are_those_that_the_role_would_find() {
    let Some((server, admin)) = scene().await else {
        return;
    };
    run(
        &admin,
        "create schema app;; create type app.\"Status\" as enum ('NEW', 'OLD');; \
         create table app.event (id char(4) primary key, at timestamptz, status app.\"Status\", \
           tags text[], uid uuid default gen_random_uuid());; \
         insert into app.event select lpad(i::text, 2, '0'), timestamptz '2020-01-01', 'OLD', array['a', null] \
           from generate_series(1, 9) i;; \
         create table public.event (id int primary key, at timestamptz);; \
         insert into public.event values (1, '2020-01-01');; \
         create table app.remark (event text references app.event on delete cascade);; \
         insert into app.remark values ('03');; \
         alter role postgres set search_path = app, public",
    )
    .await;
    let writer = Writer::open(&options(&server, "postgres")).await.unwrap();
    let json = r#"{"table": "event", "archiveAfterDays": 9, "archiveStrategy": "move",
                   "archiveDestination": "event_old", "batchRows": 4}"#;
    for (moved, made) in [(8, true), (0, false)] {
        let mut archive = Archive::plan(&writer, &policy(json), now()).await.unwrap();
        assert_eq!(archive.table(), "app.event");
        assert_eq!(archive.destination(), Some("app.event_old"));
        assert_eq!(archive.preview().await.unwrap().makes_destination, made);
        assert_eq!(all(&mut archive).await.unwrap().deleted, moved);
    }
    assert_eq!(number(&admin, "select count(*) from app.remark").await, 1);
    assert_eq!(number(&admin, "select count(*) from public.event").await, 1);
    run(
        &admin,
        "create function skip() returns trigger language plpgsql as 'begin return null; end';; \
         create trigger skip before insert on app.event_old for each row execute function skip()",
    )
    .await;
    let copy = policy(&json.replace("move", "copy"));
    let error = Archive::plan(&writer, &copy, now())
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("trigger or rule"), "{error}");
}
