//! What the observer never does to a server.

use plimsoll::postgres::{APPLICATION_NAME, Observer, Options};

use crate::server::eventually;
use crate::{AT, blind_spot, distribution, later, superuser, values};

#[tokio::test]
async fn a_locked_table_is_skipped_and_blocks_nothing() {
    let Some(server) = distribution() else { return };
    let admin = server.admin("postgres").await;
    let sql = "create table free (id int primary key); create table held (id int primary key); \
               create index on held ((id + 1)); insert into free select generate_series(1, 1000)";
    admin.batch_execute(sql).await.unwrap();
    let sql = "begin; lock table held in access exclusive mode";
    admin.batch_execute(sql).await.unwrap();
    let mut observer = superuser(&server);
    observer.scrape(AT).await.unwrap();
    let (samples, snapshot) = observer.catalog(AT).await.unwrap();
    assert_eq!(snapshot.tables.len(), 2);
    assert_eq!(snapshot.indexes.len(), 3);
    assert!(blind_spot(&snapshot, "locked relations").is_some());
    assert!(
        blind_spot(&snapshot, "sizes").is_none(),
        "{:?}",
        snapshot.blind_spots
    );
    let free = values(&samples, "pg_table_heap_bytes", &[("relname", "free")]);
    assert!(free[0] > 0.0);
    // Nothing of ours waits, nor holds what others need.
    let sql = "select count(*) from pg_locks l join pg_stat_activity a using (pid) \
               where a.application_name = $1";
    let held: i64 = admin
        .query_one(sql, &[&APPLICATION_NAME])
        .await
        .unwrap()
        .get(0);
    assert_eq!(held, 0);
    admin.batch_execute("commit").await.unwrap();
    let (_, snapshot) = observer.catalog(later(60)).await.unwrap();
    assert!(blind_spot(&snapshot, "locked relations").is_none());
    let index = snapshot
        .indexes
        .iter()
        .find(|i| i.name == "held_expr_idx")
        .unwrap();
    assert_eq!(index.keys, ["((id + 1))"]);
}

#[tokio::test]
async fn one_connection_is_held_and_it_can_only_read() {
    let Some(server) = distribution() else { return };
    let admin = server.admin("postgres").await;
    let mut observer = superuser(&server);
    for cycle in 0..3 {
        observer.scrape(later(cycle)).await.unwrap();
        observer.catalog(later(cycle)).await.unwrap();
        observer.activity().await.unwrap();
    }
    let sql = "select pid, state from pg_stat_activity where application_name = $1";
    let ours = admin.query(sql, &[&APPLICATION_NAME]).await.unwrap();
    assert_eq!(ours.len(), 1);
    assert_eq!(Some(ours[0].get::<_, i32>(0)), observer.backend_pid());
    assert_eq!(ours[0].get::<_, &str>(1), "idle");
}

#[tokio::test]
async fn even_a_function_that_writes_cannot_write_through_us() {
    let Some(server) = distribution() else { return };
    let admin = server.admin("postgres").await;
    let sql = "create extension pg_stat_statements; create table victim (i int); \
               alter function pg_stat_statements(boolean) rename to genuine; \
               create function pg_stat_statements(boolean) returns setof pg_stat_statements \
               language plpgsql as $$ begin insert into public.victim values (1); end $$";
    admin.batch_execute(sql).await.unwrap();
    let mut observer = superuser(&server);
    observer.scrape(AT).await.unwrap();
    let (_, snapshot) = observer.catalog(AT).await.unwrap();
    let spot = snapshot
        .blind_spots
        .iter()
        .find(|s| s.what == "statements")
        .unwrap();
    assert!(spot.why.contains("25006"), "{}", spot.why);
    let rows = admin.query("select from victim", &[]).await.unwrap();
    assert_eq!(rows.len(), 0);
}

#[tokio::test]
async fn a_broken_line_leaves_no_second_connection_behind() {
    let Some(server) = distribution() else { return };
    let admin = server.admin("postgres").await;
    let mut observer = superuser(&server);
    observer.scrape(AT).await.unwrap();
    let sql = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1";
    admin.query(sql, &[&APPLICATION_NAME]).await.unwrap();
    // Whether the line is already known to be dead is a race; at the second try it is.
    let mut at = 10;
    eventually("it is open again", async || {
        at += 10;
        observer.scrape(later(at)).await.is_ok()
    })
    .await;
    eventually("one connection of ours", async || {
        let sql = "select count(*) from pg_stat_activity where application_name = $1";
        let row = admin.query_one(sql, &[&APPLICATION_NAME]).await.unwrap();
        row.get::<_, i64>(0) == 1
    })
    .await;
}

#[tokio::test]
async fn our_own_queries_are_in_no_ranking() {
    let Some(server) = distribution() else { return };
    let admin = server.admin("postgres").await;
    admin
        .batch_execute("create extension pg_stat_statements")
        .await
        .unwrap();
    admin.batch_execute("select 'visible', 42").await.unwrap();
    let mut observer = superuser(&server);
    for cycle in 0..3 {
        observer.scrape(later(cycle)).await.unwrap();
        observer.catalog(later(cycle)).await.unwrap();
        observer.activity().await.unwrap();
    }
    let samples = observer.scrape(later(60)).await.unwrap();
    let (_, snapshot) = observer.catalog(later(60)).await.unwrap();
    let texts: Vec<&str> = snapshot
        .statements
        .iter()
        .map(|s| s.query.as_str())
        .collect();
    assert!(
        texts.iter().any(|text| text.starts_with("select $1, $2")),
        "{texts:?}"
    );
    for text in &texts {
        assert!(
            !text.contains("pg_stat_get_activity") && !text.contains("plimsoll"),
            "{text}"
        );
    }
    let series = values(&samples, "pg_statement_calls_total", &[]).len();
    assert!(
        series > 0 && series <= texts.len() + 1,
        "{series} series, {texts:?}"
    );
    assert!(
        snapshot
            .sessions
            .iter()
            .all(|s| s.application != APPLICATION_NAME)
    );
    // Everything of ours that the server remembers carries the marker inside.
    let sql = "select query from pg_stat_statements where query like '%pg_stat_get_activity%' \
               and query not like '%pg_stat_statements%'";
    for row in admin.query(sql, &[]).await.unwrap() {
        assert!(row.get::<_, &str>(0).contains("/* plimsoll */"));
    }
}

#[tokio::test]
async fn a_query_that_takes_too_long_fails_alone() {
    let Some(server) = distribution() else { return };
    let mut options = Options::new("t", server.conninfo("user=postgres dbname=postgres"));
    options.lock_timeout = plimsoll::model::units::Millis(20);
    let admin = server.admin("postgres").await;
    // A lock that no relation of ours may skip: on a catalog that one part reads.
    let sql = "begin; lock table pg_stat_archiver in access exclusive mode";
    admin.batch_execute(sql).await.unwrap();
    let mut observer = Observer::new(options);
    let samples = observer.scrape(AT).await.unwrap();
    assert_eq!(values(&samples, "pg_up", &[]), [1.0]);
    assert!(!values(&samples, "pg_locks", &[]).is_empty());
    let (_, snapshot) = observer.catalog(AT).await.unwrap();
    assert!(
        blind_spot(&snapshot, "archiver")
            .unwrap()
            .contains("next cycle")
    );
    admin.batch_execute("commit").await.unwrap();
    observer.scrape(later(60)).await.unwrap();
    let (_, snapshot) = observer.catalog(later(60)).await.unwrap();
    assert!(
        blind_spot(&snapshot, "archiver").is_none(),
        "{:?}",
        snapshot.blind_spots
    );
}
