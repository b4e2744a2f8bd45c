//! Named queries against real servers: what their rows become, and what they cannot do.

use std::time::Duration;

use plimsoll::clock::Stopwatch;
use plimsoll::model::units::Millis;
use plimsoll::postgres::{APPLICATION_NAME, Bounds, Error, Fetched, Fetcher, Options};
use serde_json::{Value, json};

use crate::distribution;
use crate::server::{Server, eventually, require};

const BOUNDS: Bounds = Bounds {
    rows: 1_000,
    bytes: 1 << 20,
};

fn fetcher(server: &Server, role: &str, timeout: u64) -> Fetcher {
    let conninfo = server.conninfo(&format!("user={role} dbname=postgres"));
    Fetcher::new(Options {
        statement_timeout: Millis(timeout),
        ..Options::new("t", conninfo)
    })
}

fn rows(fetched: &Fetched) -> Value {
    serde_json::from_slice(&fetched.json).unwrap()
}

#[tokio::test]
async fn every_type_becomes_the_json_that_the_server_makes_of_it() {
    for major in [13, 15, 18] {
        let Some(bin) = require(major) else { continue };
        let server = Server::start(&bin, &["timezone=Europe/Berlin"]);
        let admin = server.admin("postgres").await;
        let sql = "create schema app; create type app.\"Mood\" as enum ('glad', 'Sad'); \
                   create table app.\"Agent\" (\"id\" int, \"isActive\" bool); \
                   insert into app.\"Agent\" values (1, true), (2, null); \
                   alter role postgres set search_path = app";
        admin.batch_execute(sql).await.unwrap();
        let mut fetcher = fetcher(&server, "postgres", 5_000);
        let sql = "select 12345678901234567890.10::numeric as \"Total\", 'NaN'::numeric as nan, \
                   9223372036854775807::int8 as big, 0.1::float8 as f, \
                   '2026-05-01 12:00:00+00'::timestamptz as at, '2026-05-01'::date as day, \
                   array[1, null, 3] as list, array[['a', 'b \"c\"']] as nested, \
                   '{\"k\": [1, null]}'::jsonb as doc, null::text as nothing, \
                   '\\xdeadbeef'::bytea as bytes, 'Sad'::\"Mood\" as mood, \
                   'line\nbreak \"ü\" \\'::text as text, (1, 'x') as pair -- the end";
        let found = fetcher.fetch(sql, BOUNDS).await.unwrap();
        assert_eq!(found.rows, 1);
        let text = String::from_utf8(found.json.clone()).unwrap();
        assert!(text.contains("\"Total\":12345678901234567890.10"), "{text}");
        let row = &rows(&found)[0];
        for (column, want) in [
            ("nan", json!("NaN")),
            ("big", json!(i64::MAX)),
            ("f", json!(0.1)),
            ("at", json!("2026-05-01T14:00:00+02:00")),
            ("day", json!("2026-05-01")),
            ("list", json!([1, null, 3])),
            ("nested", json!([["a", "b \"c\""]])),
            ("doc", json!({"k": [1, null]})),
            ("nothing", Value::Null),
            ("bytes", json!("\\xdeadbeef")),
            ("mood", json!("Sad")),
            ("text", json!("line\nbreak \"ü\" \\")),
            ("pair", json!({"f1": 1, "f2": "x"})),
        ] {
            assert_eq!(row[column], want, "{column} on {major}");
        }
        // Its own search path, quoted names in mixed case, and the order that was asked for.
        let sql = "select * from \"Agent\" order by \"id\" desc";
        let found = fetcher.fetch(sql, BOUNDS).await.unwrap();
        let want = json!([{"id": 2, "isActive": null}, {"id": 1, "isActive": true}]);
        assert_eq!(rows(&found), want);
        for (sql, want) in [
            ("table \"Agent\"", 2),
            ("values (1), (2), (3)", 3),
            ("with x as (select 1 as plimsoll_row) select * from x", 1),
            ("(select 1 as n) union all (select 2)", 2),
            ("select 1 where false", 0),
        ] {
            let found = fetcher.fetch(sql, BOUNDS).await.unwrap();
            assert_eq!(found.rows, want, "{sql}");
            assert_eq!(rows(&found).as_array().unwrap().len() as u64, want);
        }
    }
}

#[tokio::test]
async fn nothing_is_written_whatever_the_statement_is() {
    let Some(server) = distribution() else { return };
    let admin = server.admin("postgres").await;
    let sql = "create table victim (i int); insert into victim values (1); create sequence counter; \
               create function writes() returns int volatile language plpgsql as \
               $$ begin insert into victim values (2); return 1; end $$; \
               create function unlocks() returns int volatile language plpgsql as \
               $$ begin set transaction read write; delete from victim; return 1; end $$; \
               create function settles() returns int volatile language plpgsql as \
               $$ begin perform set_config('transaction_read_only', 'off', false); \
               delete from victim; return 1; end $$";
    admin.batch_execute(sql).await.unwrap();
    let mut fetcher = fetcher(&server, "postgres", 5_000);
    for sql in [
        "insert into victim values (3) returning i",
        "delete from victim returning i",
        "with gone as (delete from victim returning i) select * from gone",
        "with new as (insert into victim values (3) returning i) select * from new",
        "select i from victim for update",
        "select i from victim for share",
        "select writes()",
        "select unlocks()",
        "select settles()",
        "select nextval('counter')",
        "select 1 as i into copy",
        "create table other (i int)",
        "select 1; delete from victim",
        "select 1) x; delete from victim; --",
        "select 1) x; commit; delete from victim; select * from (select 1",
        "commit",
        "copy victim to stdout",
    ] {
        let refused = fetcher.fetch(sql, BOUNDS).await;
        let error = refused.map(|found| found.rows).unwrap_err();
        let is_query = matches!(error, Error::Query { .. });
        assert!(is_query, "{sql}: {error}");
    }
    let row = admin
        .query_one("select count(*), max(i) from victim", &[])
        .await
        .unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i32>(1)), (1, 1));
    let tables = "select from pg_class where relname in ('copy', 'other')";
    assert!(admin.query(tables, &[]).await.unwrap().is_empty());
    // Nothing stays behind: no transaction, no lock of the session, and one connection.
    let locked = fetcher
        .fetch("select pg_advisory_lock(7) is null as l", BOUNDS)
        .await;
    assert_eq!(locked.map(|found| found.rows).unwrap(), 1);
    let sql = "select state, (select count(*) from pg_locks l where l.locktype = 'advisory') \
               from pg_stat_activity where application_name = $1";
    let ours = admin.query(sql, &[&APPLICATION_NAME]).await.unwrap();
    assert_eq!(ours.len(), 1);
    assert_eq!(
        (ours[0].get::<_, &str>(0), ours[0].get::<_, i64>(1)),
        ("idle", 0)
    );
}

#[tokio::test]
async fn bounds_of_time_rows_and_bytes_hold_and_the_next_query_runs() {
    let Some(server) = distribution() else { return };
    let admin = server.admin("postgres").await;
    let mut fetcher = fetcher(&server, "postgres", 300);
    let watch = Stopwatch::start();
    let slow = fetcher.fetch("select pg_sleep(60)", BOUNDS).await;
    assert!(matches!(slow, Err(Error::StatementTimeout { .. })));
    assert!(watch.elapsed() < Duration::from_secs(10));
    let few = Bounds { rows: 3, ..BOUNDS };
    let sql = "select n from generate_series(1, 3) n";
    assert_eq!(
        fetcher
            .fetch(sql, few)
            .await
            .map(|found| found.rows)
            .unwrap(),
        3
    );
    let sql = "select n from generate_series(1, 100000) n";
    let many = fetcher
        .fetch(sql, few)
        .await
        .map(|found| found.rows)
        .unwrap_err();
    assert!(matches!(many, Error::TooManyRows { limit: 3 }), "{many}");
    assert!(many.to_string().contains("max_rows"), "{many}");
    let small = Bounds {
        bytes: 1_000,
        ..BOUNDS
    };
    let sql = "select repeat('x', 900) as x, n from generate_series(1, 50) n";
    let large = fetcher
        .fetch(sql, small)
        .await
        .map(|found| found.rows)
        .unwrap_err();
    assert!(large.to_string().contains("cache.max_bytes"), "{large}");
    // The one that was broken off is gone from the server, too.
    eventually("one connection of ours at most", async || {
        let sql = "select count(*) from pg_stat_activity where application_name = $1";
        let row = admin.query_one(sql, &[&APPLICATION_NAME]).await.unwrap();
        row.get::<_, i64>(0) <= 1
    })
    .await;
    let found = fetcher.fetch("select 1 as n", BOUNDS).await;
    assert_eq!(found.map(|found| found.json).unwrap(), b"[{\"n\":1}]");
}

#[tokio::test]
async fn what_no_json_object_can_hold_is_told_with_its_cure() {
    let Some(server) = distribution() else { return };
    let admin = server.admin("postgres").await;
    let sql = "create role reader login; create table secret (i int)";
    admin.batch_execute(sql).await.unwrap();
    let mut fetcher = fetcher(&server, "reader", 5_000);
    for (sql, word) in [
        ("select 1 as n, 2 as n", "another name with AS"),
        ("select $1::int", "1 parameters"),
        ("select * from secret", "permission denied"),
        ("select * from nothing", "does not exist"),
        ("selec 1", "syntax error"),
    ] {
        let refused = fetcher.fetch(sql, BOUNDS).await;
        let error = refused.map(|found| found.rows).unwrap_err().to_string();
        assert!(error.contains(word), "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_line_that_died_unseen_is_opened_again() {
    let Some(server) = distribution() else { return };
    let admin = server.admin("postgres").await;
    let mut fetcher = fetcher(&server, "postgres", 5_000);
    for _ in 0..3 {
        let found = fetcher.fetch("select 1 as n", BOUNDS).await;
        assert_eq!(found.map(|found| found.rows).unwrap(), 1);
        let sql =
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1";
        admin.query(sql, &[&APPLICATION_NAME]).await.unwrap();
    }
    server.down("immediate");
    let asked = tokio::time::Instant::now();
    let error = fetcher
        .fetch("select 1", BOUNDS)
        .await
        .map(|found| found.rows)
        .unwrap_err();
    assert!(error.is_fatal(), "{error}");
    server.up();
    // Who had been waiting while connecting failed is told so; who asks now is answered.
    let waiting = fetcher.fetch_since(asked, "select 1 as n", BOUNDS).await;
    let told = waiting.map(|found| found.rows).unwrap_err();
    assert_eq!(told.to_string(), error.to_string());
    let found = fetcher.fetch("select 1 as n", BOUNDS).await;
    assert_eq!(found.map(|found| found.rows).unwrap(), 1);
}
