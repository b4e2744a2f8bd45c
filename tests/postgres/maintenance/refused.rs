//! What is not archived, and what each refusal says to change.

use plimsoll::postgres::{Archive, Writer};

use super::{MOVE, now, number, options, policy, scene};
use crate::advise::run;

/// Table, what the policy says more, and words of the refusal.
const REFUSED: &[(&str, &str, &str)] = &[
    ("nothing", "", "no table \"nothing\""),
    ("twin", "", "with its schema"),
    ("born", "", "say in column"),
    ("Event\", \"note", "", "no table"),
    ("pg_class", "", "no table"),
    ("timeless", "", "no column of type timestamp"),
    ("twice", "", "one of born, died"),
    ("twice", r#", "column": "id""#, "no time column \"id\""),
    ("parted", "", "detach its old partitions"),
    (
        "keyless",
        r#", "archiveStrategy": "move", "archiveDestination": "archive.k""#,
        "primary key",
    ),
    (
        "Event",
        r#", "archiveStrategy": "move", "archiveDestination": "archive.other""#,
        "make them alike",
    ),
    (
        "Event",
        r#", "archiveStrategy": "move", "archiveDestination": "archive.unkeyed""#,
        "another primary key",
    ),
    (
        "Event",
        r#", "archiveStrategy": "move", "archiveDestination": "archive.looking""#,
        "is no table",
    ),
    (
        "Event",
        r#", "archiveStrategy": "move", "archiveDestination": "nowhere.event""#,
        "no schema \"nowhere\"",
    ),
    (
        "Event",
        r#", "archiveStrategy": "move", "archiveDestination": "pg_catalog.event""#,
        "no schema",
    ),
    (
        "Event",
        r#", "archiveStrategy": "move", "archiveDestination": "public.\"Event\"""#,
        "its own destination",
    ),
    (
        "Event",
        r#", "archiveStrategy": "move", "archiveDestination": "a.b.c""#,
        "no name of a table",
    ),
];

#[tokio::test]
async fn what_cannot_be_archived_safely_is_refused_with_what_to_change() {
    let Some((server, admin)) = scene().await else {
        return;
    };
    run(
        &admin,
        "create table keyless (at timestamptz);; \
         create table timeless (id int primary key);; \
         create table twice (id int primary key, born date, died date);; \
         create table parted (id int, at date) partition by range (at);; \
         create table archive.other (id int primary key, \"timestamp\" date);; \
         create table born (id int primary key, birthday date);; \
         create table archive.unkeyed (like \"Event\");; create view archive.looking as select 1;; \
         create schema a;; create schema b;; create table a.twin (at date);; create table b.twin (at date)",
    )
    .await;
    let writer = Writer::open(&options(&server, "postgres")).await.unwrap();
    for (table, more, words) in REFUSED {
        let (table, more, words) = (*table, *more, *words);
        let strategy = if more.contains("Strategy") {
            ""
        } else {
            r#", "archiveStrategy": "delete""#
        };
        let more = more.replace("\"Event\"\"", "\\\"Event\\\"\"");
        let name = table.replace('"', "\\\"");
        let json = format!(r#"{{"table": "{name}", "archiveAfterDays": 9{strategy}{more}}}"#);
        let planned = Archive::plan(&writer, &policy(&json), now()).await;
        let error = planned
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        assert!(error.contains(words), "{json}: {error}");
    }
}

/// What would share rows or places with the table, or lose them: each is refused, and nothing is gone.
#[tokio::test]
async fn tables_that_share_rows_or_lose_them_are_refused() {
    let Some((server, admin)) = scene().await else {
        return;
    };
    run(
        &admin,
        "create table archive.heir () inherits (\"Event\");; \
         alter table archive.heir add primary key (id)",
    )
    .await;
    let writer = Writer::open(&options(&server, "postgres")).await.unwrap();
    let refused = async |json: &str| {
        let planned = Archive::plan(&writer, &policy(json), now()).await;
        planned.err().map(|e| e.to_string()).unwrap_or_default()
    };
    let error = refused(&MOVE.replace("archive.event", "archive.heir")).await;
    assert!(error.contains("inherit from it"), "{error}");
    run(
        &admin,
        "drop table archive.heir;; \
         create table archive.parted (like \"Event\" including generated, primary key (id, \"timestamp\")) \
           partition by range (\"timestamp\");; \
         create unlogged table archive.loose (like \"Event\" including generated, primary key (id));; \
         create table archive.held (like \"Event\" including generated, primary key (id));; \
         create table archive.holding (id int references archive.held on delete cascade)",
    )
    .await;
    for (place, more, words) in [
        ("archive.parted", "365,", "has partitions"),
        ("archive.loose", "365,", "SET LOGGED"),
        (
            "archive.held",
            "365, \"retentionDays\": 390,",
            "refer to archive.held",
        ),
    ] {
        let json = MOVE.replace("archive.event", place).replace("365,", more);
        let error = refused(&json).await;
        assert!(error.contains(words), "{place}: {error}");
    }
    assert_eq!(number(&admin, "select count(*) from \"Event\"").await, 400);
}
