//! What is read is what the server says.

use std::collections::BTreeSet;

use plimsoll::model::series::{Kind, Sample};
use plimsoll::postgres::{Observer, Options, metrics};

use crate::server::{Admin, eventually};
use crate::{AT, blind_spot, distribution, later, superuser, values};

async fn number(admin: &Admin, sql: &str) -> f64 {
    let row = admin
        .query_one(&format!("select ({sql})::float8"), &[])
        .await
        .unwrap();
    row.get(0)
}

fn whole(value: f64) -> u64 {
    format!("{value:.0}").parse().unwrap()
}

#[tokio::test]
async fn a_table_with_an_evil_name_is_read_like_any_other() {
    let Some(server) = distribution() else { return };
    let admin = server.admin("postgres").await;
    let evil = "Robert\"); DROP TABLE students;--";
    let quoted = format!("\"{}\"", evil.replace('"', "\"\""));
    let sql = format!(
        "create table {quoted} (id serial primary key, \"a b\" text); \
         create unique index on {quoted} (lower(\"a b\") desc, id) include (\"a b\") where id > 7; \
         insert into {quoted} (\"a b\") select 'x' || g from generate_series(1, 500) g; \
         analyze {quoted}; select count(*) from {quoted}"
    );
    admin.batch_execute(&sql).await.unwrap();
    let mut observer = superuser(&server);
    eventually("the counters arrive", async || {
        // A backend hands its counters over at the end of a statement, once a second at most.
        admin.batch_execute("select 1").await.unwrap();
        let (samples, _) = observer.catalog(AT).await.unwrap();
        values(&samples, "pg_table_n_tup_ins_total", &[("relname", evil)]) == [500.0]
    })
    .await;
    let (samples, snapshot) = observer.catalog(AT).await.unwrap();
    let table = snapshot.tables.iter().find(|t| t.name == evil).unwrap();
    assert!(table.has_primary_key && table.seq_scan > 0);
    assert_eq!(table.row_estimate, Some(500.0));
    assert!(table.last_analyze.is_some() && table.last_vacuum.is_none());
    let oid = table.oid;
    let total = number(&admin, &format!("pg_total_relation_size({oid})")).await;
    let heap = number(&admin, &format!("pg_relation_size({oid})")).await;
    assert_eq!(table.total_bytes, whole(total));
    assert_eq!(table.table_bytes, whole(heap));
    assert_eq!(
        values(&samples, "pg_table_total_bytes", &[("relname", evil)]),
        [total]
    );
    let index = snapshot.indexes.iter().find(|i| !i.is_primary).unwrap();
    assert_eq!(index.table, evil);
    assert_eq!(index.keys, ["lower(\"a b\") DESC", "id"]);
    assert_eq!(index.include, ["\"a b\""]);
    assert_eq!(index.predicate.as_deref(), Some("(id > 7)"));
    assert!(index.is_unique && index.is_valid && !index.is_constraint && index.method == "btree");
    let sequence = &snapshot.sequences[0];
    assert_eq!(
        (sequence.last_value, sequence.max_value),
        (Some(500), i64::from(i32::MAX))
    );
    assert_eq!(snapshot.server.database, "postgres");
}

#[tokio::test]
async fn counters_and_settings_are_those_of_the_server() {
    let Some(server) = distribution() else { return };
    let admin = server.admin("postgres").await;
    let mut observer = superuser(&server);
    let (slow, snapshot) = observer.catalog(AT).await.unwrap();
    let connections = number(&admin, "current_setting('max_connections')").await;
    assert_eq!(
        values(&slow, "pg_settings_max_connections", &[]),
        [connections]
    );
    assert_eq!(u64::from(snapshot.pool.max), whole(connections));
    assert_eq!(snapshot.pool.reserved, 3);
    let buffers = number(&admin, "pg_size_bytes(current_setting('shared_buffers'))").await;
    assert_eq!(
        values(&slow, "pg_settings_shared_buffers_bytes", &[]),
        [buffers]
    );
    let size = number(&admin, "pg_database_size('template1')").await;
    assert_eq!(
        values(&slow, "pg_database_size_bytes", &[("datname", "template1")]),
        [size]
    );
    let started = number(&admin, "extract(epoch from pg_postmaster_start_time())").await;
    let quick = observer.scrape(AT).await.unwrap();
    let read = values(&quick, "pg_postmaster_start_time_seconds", &[]);
    assert!((read[0] - started).abs() < 1e-3, "{read:?} {started}");
    let before = values(
        &quick,
        "pg_database_xact_commit_total",
        &[("datname", "postgres")],
    )[0];
    for _ in 0..200 {
        admin.batch_execute("select 1").await.unwrap();
    }
    eventually("two hundred commits more", async || {
        admin.batch_execute("select 1").await.unwrap();
        let quick = observer.scrape(AT).await.unwrap();
        values(
            &quick,
            "pg_database_xact_commit_total",
            &[("datname", "postgres")],
        )[0] >= before + 200.0
    })
    .await;
}

#[tokio::test]
async fn a_reset_restarts_the_counters_and_says_when() {
    let Some(server) = distribution() else { return };
    let admin = server.admin("postgres").await;
    let mut observer = superuser(&server);
    let sql = "create table t as select generate_series(1, 5000)";
    admin.batch_execute(sql).await.unwrap();
    let inserted = |samples: &[Sample]| {
        values(
            samples,
            "pg_database_tup_inserted_total",
            &[("datname", "postgres")],
        )[0]
    };
    eventually("rows are counted", async || {
        admin.batch_execute("select 1").await.unwrap();
        inserted(&observer.scrape(AT).await.unwrap()) > 0.0
    })
    .await;
    let before = inserted(&observer.scrape(AT).await.unwrap());
    admin.batch_execute("select pg_stat_reset()").await.unwrap();
    eventually("the counter restarts", async || {
        inserted(&observer.scrape(AT).await.unwrap()) < before
    })
    .await;
    let (_, snapshot) = observer.catalog(AT).await.unwrap();
    assert!(snapshot.server.stats_reset.is_some());
}

#[tokio::test]
async fn a_plain_role_reads_what_it_may_and_says_what_it_misses() {
    let Some(server) = distribution() else { return };
    let admin = server.admin("postgres").await;
    let sql = "create role watcher login password 'w'; revoke connect on database template1 from public; \
               create table secret (id int primary key); create sequence hidden";
    admin.batch_execute(sql).await.unwrap();
    let conninfo = server.conninfo("user=watcher password=w dbname=postgres");
    let mut observer = Observer::new(Options::new("t", conninfo));
    let quick = observer.scrape(AT).await.unwrap();
    assert!(!values(&quick, "pg_database_xact_commit_total", &[]).is_empty());
    assert!(values(&quick, "pg_connections_used", &[])[0] >= 2.0);
    let (_, snapshot) = observer.catalog(AT).await.unwrap();
    assert_eq!(snapshot.tables.len(), 1);
    let cure = blind_spot(&snapshot, "rights").unwrap();
    assert_eq!(cure, "GRANT pg_monitor TO \"watcher\";");
    assert!(blind_spot(&snapshot, "database sizes").is_some());
    let cure = blind_spot(&snapshot, "statements").unwrap();
    assert!(cure.contains("CREATE EXTENSION") && cure.contains("shared_preload_libraries"));
    let failed: Vec<_> = snapshot
        .blind_spots
        .iter()
        .filter(|s| s.why.contains("could not be read"))
        .collect();
    assert!(failed.is_empty(), "{failed:?}");

    admin
        .batch_execute("grant pg_monitor to watcher; create extension pg_stat_statements")
        .await
        .unwrap();
    let (_, snapshot) = observer.catalog(later(60)).await.unwrap();
    assert!(
        snapshot.blind_spots.is_empty(),
        "{:?}",
        snapshot.blind_spots
    );
}

#[tokio::test]
async fn a_library_that_is_not_loaded_is_told_from_one_that_is_not_installed() {
    let Some(bin) = crate::server::require(15) else {
        return;
    };
    let server = crate::server::Server::start(&bin, &[]);
    let admin = server.admin("postgres").await;
    let mut observer = superuser(&server);
    let (_, snapshot) = observer.catalog(AT).await.unwrap();
    let cure = blind_spot(&snapshot, "statements").unwrap();
    assert!(
        cure.contains("shared_preload_libraries = 'pg_stat_statements'"),
        "{cure}"
    );
    admin
        .batch_execute("create extension pg_stat_statements")
        .await
        .unwrap();
    let (_, snapshot) = observer.catalog(later(60)).await.unwrap();
    let spot = snapshot
        .blind_spots
        .iter()
        .find(|s| s.what == "statements")
        .unwrap();
    assert!(spot.why.contains("did not load"), "{}", spot.why);
    assert!(observer.scrape(later(60)).await.is_ok());
}

#[tokio::test]
async fn who_waits_for_whom_is_seen_and_literals_are_not() {
    let Some(server) = distribution() else { return };
    let holder = server.admin("postgres").await;
    let waiter = server.admin("postgres").await;
    holder
        .batch_execute("create table t (name text)")
        .await
        .unwrap();
    holder.batch_execute("begin; lock table t").await.unwrap();
    let blocked = tokio::spawn(async move {
        waiter
            .batch_execute("update t set name = 'Ms Secret' where 1 = 4711")
            .await
    });
    let mut observer = superuser(&server);
    observer.scrape(AT).await.unwrap();
    eventually("the waiter waits", async || {
        let sample = observer.activity().await.unwrap();
        sample.waits.keys().any(|(class, _)| class == "Lock")
    })
    .await;
    let (_, snapshot) = observer.catalog(AT).await.unwrap();
    let waiting = snapshot
        .sessions
        .iter()
        .find(|s| !s.blocked_by.is_empty())
        .unwrap();
    assert_eq!(waiting.query, "update t set name = ? where ? = ?");
    assert_eq!(snapshot.pool.lock_waiting, 1);
    assert!(
        snapshot
            .sessions
            .iter()
            .any(|s| s.pid == waiting.blocked_by[0])
    );
    let quick = observer.scrape(AT).await.unwrap();
    let labels = [("mode", "rowexclusivelock")];
    assert_eq!(values(&quick, "pg_locks_waiting", &labels), [1.0]);
    holder.batch_execute("commit").await.unwrap();
    blocked.await.unwrap().unwrap();
    let quick = observer.scrape(AT).await.unwrap();
    assert_eq!(values(&quick, "pg_locks_waiting", &labels), [0.0]);
}

#[tokio::test]
async fn series_are_unique_declared_and_limited() {
    let Some(server) = distribution() else { return };
    let admin = server.admin("postgres").await;
    let sql = "do $$ begin for i in 1..20 loop \
               execute format('create table t%s (id int primary key)', i); end loop; end $$; \
               create extension pg_stat_statements";
    admin.batch_execute(sql).await.unwrap();
    let mut options = Options::new("t", server.conninfo("user=postgres dbname=postgres"));
    (options.max_tables, options.max_indexes) = (5, 7);
    let mut observer = Observer::new(options);
    let (mut samples, snapshot) = observer.catalog(AT).await.unwrap();
    assert_eq!((snapshot.tables.len(), snapshot.indexes.len()), (20, 20));
    assert_eq!(values(&samples, "pg_table_total_bytes", &[]).len(), 5);
    assert_eq!(values(&samples, "pg_index_bytes", &[]).len(), 7);
    assert_eq!(
        blind_spot(&snapshot, "series of tables"),
        Some("raise max_tables")
    );
    samples.extend(observer.scrape(AT).await.unwrap());
    let declared: Vec<_> = metrics();
    let mut keys = BTreeSet::new();
    for sample in &samples {
        assert!(
            keys.insert(sample.series.clone()),
            "twice: {}",
            sample.series
        );
        let metric = declared.iter().find(|m| m.name == sample.series.metric);
        let metric = metric.unwrap_or_else(|| panic!("undeclared: {}", sample.series));
        assert_eq!(metric.kind, sample.kind, "{}", metric.name);
        assert!(sample.value.is_finite(), "{}", sample.series);
    }
    lint(&samples);
}

/// What promtool says of the same samples as exposition text: nothing.
fn lint(samples: &[Sample]) {
    use std::fmt::Write as _;
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut text = String::new();
    for metric in metrics() {
        let kind = if metric.kind == Kind::Counter {
            "counter"
        } else {
            "gauge"
        };
        let of = samples.iter().filter(|s| s.series.metric == metric.name);
        let lines: Vec<String> = of.map(|s| format!("{} {}\n", s.series, s.value)).collect();
        if !lines.is_empty() {
            let _ = write!(
                text,
                "# HELP {0} {1}\n# TYPE {0} {kind}\n",
                metric.name, metric.help
            );
            text.extend(lines);
        }
    }
    let tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut tool) = tool else {
        eprintln!("SKIPPED: no promtool");
        return;
    };
    tool.stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = tool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(said.trim().is_empty(), "{said}");
}

#[tokio::test]
async fn definitions_follow_renames_and_sizes_follow_growth() {
    let Some(server) = distribution() else { return };
    let admin = server.admin("postgres").await;
    admin
        .batch_execute("create table t (id int primary key, note text)")
        .await
        .unwrap();
    let mut observer = superuser(&server);
    let (_, snapshot) = observer.catalog(AT).await.unwrap();
    assert!(snapshot.indexes[0].definition.contains("ON public.t "));
    let sql = "alter table t rename to u; insert into u select g, repeat('x', 500) from generate_series(1, 2000) g";
    admin.batch_execute(sql).await.unwrap();
    let oid = snapshot.tables[0].oid;
    let total = number(&admin, &format!("pg_total_relation_size({oid})")).await;
    eventually("size and name follow", async || {
        admin.batch_execute("select 1").await.unwrap();
        let (_, snapshot) = observer.catalog(later(60)).await.unwrap();
        snapshot.tables[0].total_bytes == whole(total)
            && snapshot.indexes[0].definition.contains("ON public.u ")
            && snapshot.indexes[0].table == "u"
    })
    .await;
}
