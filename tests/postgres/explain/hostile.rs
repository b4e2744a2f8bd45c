//! No write, no volatile call, no lock queue, and a clear answer to each.

use std::time::Duration;

use plimsoll::work::explain::Question;

use super::*;
use crate::server::eventually;

const SCENE: &str = "\
    create table lead (id int primary key, zip text, note text);;\
    insert into lead select g, (g % 500)::text, 'n' from generate_series(1, 5000) g;;\
    create table victim (i int);; insert into victim values (1);; create sequence s;; analyze;;\
    create function evil() returns int volatile language plpgsql as \
      $$ begin insert into victim values (2); return 1; end $$;;\
    create function liar() returns int immutable language plpgsql as \
      $$ begin perform nextval('s'); return 1; end $$;;\
    create function quiet(int) returns int stable language plpgsql as \
      $$ begin return pg_backend_pid(); end $$;;\
    create function add_up(int, int) returns int volatile language plpgsql as \
      $$ begin perform nextval('s'); return $1 + $2; end $$;;\
    create operator === (function = add_up, leftarg = int, rightarg = int);;\
    create aggregate sum_up(int) (sfunc = add_up, stype = int, initcond = '0');;\
    create view innocent as select id from lead limit evil();;\
    create view outer_view as select * from innocent;;\
    create role nobody_much login";

/// Nothing was written, no sequence moved, and none of our sessions is left waiting.
async fn unharmed(stage: &Stage, after: &str) {
    let rows = stage
        .number("select count(*) from victim where i = 1")
        .await;
    let all = stage.number("select count(*) from victim").await;
    let leads = stage.number("select count(*) from lead").await;
    let moved = stage.number("select count(*) from s where is_called").await;
    assert_eq!((rows, all, leads, moved), (1, 1, 5_000, 0), "{after}");
}

async fn refuses_what_is_no_single_plannable_statement(stage: &Stage) {
    let analyst = stage.analyst("postgres", &[("explain.analyze", "true")]);
    let long = format!("select '{}'", "x".repeat(1 << 20));
    let cases = [
        ("", Why::Empty, "no statement"),
        (" -- nothing\n ;", Why::Empty, "no statement"),
        ("select 1; delete from lead", Why::Several, "more than one"),
        ("select 1; select 2", Why::Several, "more than one"),
        (
            "do $$ begin insert into victim values (2); end $$",
            Why::NotPlannable,
            "DO has no plan",
        ),
        (
            "copy lead to program 'touch /tmp/x'",
            Why::NotPlannable,
            "COPY has no plan",
        ),
        ("vacuum lead", Why::NotPlannable, "VACUUM"),
        (
            "explain analyze delete from lead",
            Why::NotPlannable,
            "EXPLAIN",
        ),
        ("prepare x as select 1", Why::NotPlannable, "PREPARE"),
        (long.as_str(), Why::TooLong, "1048576"),
        (
            "select * into stolen from lead",
            Why::NotPlannable,
            "SELECT INTO",
        ),
        ("select * frm lead", Why::Refused, "42601"),
        ("select * from nothing_here", Why::Refused, "42P01"),
        ("select nothing_here from lead", Why::Refused, "42703"),
        ("select 1::no_such_type", Why::Refused, "42704"),
        ("select no_such_function(1)", Why::Refused, "42883"),
        (
            "select * from lead where zip = any($1",
            Why::Refused,
            "42601",
        ),
    ];
    for (query, why, word) in cases {
        let (found, text) = refused(&analyst, &question(query)).await;
        let shown: String = query.chars().take(60).collect();
        assert_eq!(found, why, "{shown}: {text}");
        assert!(text.contains(word), "{shown}: {text}");
    }
    let given = Question {
        params: Some(vec![1.into(), 2.into()]),
        ..question("select * from lead where id = $1")
    };
    assert_eq!(refused(&analyst, &given).await.0, Why::BadParameters);
    let wrong = Question {
        params: Some(vec!["x".into()]),
        ..question("select * from lead where id = $1")
    };
    let (why, text) = refused(&analyst, &wrong).await;
    assert_eq!(why, Why::Refused, "{text}");
    assert!(text.contains("22P02"), "{text}");
    unharmed(stage, "refusals").await;
}

/// Planned, and not run: whatever they would do.
async fn plans_what_would_write_without_running_it(stage: &Stage) {
    let analyst = stage.analyst("postgres", &[]);
    for query in [
        "select evil()",
        "select pg_sleep(60)",
        "select nextval('s')",
        "select * from lead limit evil()",
        "with d as (delete from victim returning *) select * from d",
        "insert into victim values (3)",
        "update lead set zip = 'x'",
        "delete from lead",
        "select * from lead for update",
        "select * from outer_view",
        "select pg_terminate_backend(pid) from pg_stat_activity",
    ] {
        let analysis = told(&analyst, query).await;
        assert!(
            !analysis.analyzed && analysis.execution_time.is_none(),
            "{query}"
        );
        assert_eq!(analysis.not_run.as_deref(), Some("explain.analyze is off"));
        assert!(analysis.total_cost >= 0.0);
        unharmed(stage, query).await;
    }
    let asked = Question {
        analyze: Some(true),
        ..question("select 1")
    };
    let (why, text) = refused(&analyst, &asked).await;
    assert_eq!(why, Why::AnalyzeOff);
    assert!(text.contains("explain.analyze = true"), "{text}");
    // Planning evaluates what is declared immutable; the transaction is what keeps it from writing.
    let (why, text) = refused(&analyst, &question("select liar()")).await;
    assert_eq!(why, Why::Refused);
    assert!(text.contains("25006"), "{text}");
    unharmed(stage, "liar").await;
}

/// Where running is allowed, only what reads and computes is run.
async fn runs_only_what_reads(stage: &Stage) {
    let analyst = stage.analyst("postgres", &[("explain.analyze", "true")]);
    for query in [
        "select evil()",
        "select \"evil\" /* x /* y */ */ ()",
        "select pg_sleep(0)",
        "select nextval('s')",
        "select * from lead where id = (select evil())",
        "select * from lead limit evil()",
        "select * from (select 1) x offset evil()",
        "select * from lead where id === 5 > 3",
        "select sum_up(id) from lead",
        "select * from outer_view",
        "select * from evil()",
        "select quiet(id) from lead",
        "select U&\"\\0065vil\"()",
        "with d as (delete from victim returning *) select * from d",
        "insert into victim select evil()",
        "update lead set zip = 'x'",
        "delete from lead",
        "select * from lead for update",
        "select * from lead for share",
    ] {
        let asked = Question {
            analyze: Some(true),
            ..question(query)
        };
        let (why, text) = refused(&analyst, &asked).await;
        assert_eq!(why, Why::Harmful, "{query}: {text}");
        assert!(text.contains("ask without analyze"), "{text}");
        // Left to the configuration it is planned, and says why it was not run.
        let analysis = told(&analyst, query).await;
        assert!(!analysis.analyzed && analysis.not_run.is_some(), "{query}");
        unharmed(stage, query).await;
    }
    for query in [
        "select zip, count(*) from lead where note like 'n%' group by 1 order by 2 desc limit 5",
        "select date_trunc('day', now()), lower(zip), id + 1, 'evil()' from lead where id < 10",
        "with a as (select * from lead) select count(*) from a join a b using (id)",
    ] {
        let analysis = told(&analyst, query).await;
        assert!(analysis.analyzed, "{query}: {:?}", analysis.not_run);
        assert!(analysis.execution_time.is_some_and(|ms| ms > 0.0));
        assert!(
            analysis
                .buffers
                .is_some_and(|b| b.shared_hit + b.shared_read > 0.0)
        );
        assert!(analysis.plan.exclusive_time.is_some());
    }
    stage
        .run("create domain picky as int check (value > 0 and random() >= 0)")
        .await;
    let asked = question("select 1::picky");
    let analysis = ask(&analyst, &asked).await.unwrap();
    assert!(!analysis.analyzed, "a domain's check is a call, too");
    stage.run("drop domain picky").await;
}

/// A run is stopped after its time, and its plan is told nevertheless.
async fn stops_a_run_in_time(stage: &Stage) {
    let set = [("explain.analyze", "true"), ("explain.timeout", "800ms")];
    let analyst = stage.analyst("postgres", &set);
    let query = "select count(*) from generate_series(1, 100000) a, generate_series(1, 100000) b";
    let analysis = told(&analyst, query).await;
    let why = analysis.not_run.unwrap();
    assert!(
        why.contains("800 ms") && why.contains("explain.timeout"),
        "{why}"
    );
    assert!(!analysis.analyzed && analysis.total_cost > 0.0);
}

/// A table under `ALTER TABLE` is not waited for.
async fn waits_for_no_lock(stage: &Stage) {
    let analyst = stage.analyst("postgres", &[]);
    let other = stage.server.admin("postgres").await;
    let sql = "begin; alter table lead add column extra int";
    other.batch_execute(sql).await.unwrap();
    let asked = question("select * from lead where id = 1");
    let limit = Duration::from_secs(20);
    let (why, text) = tokio::time::timeout(limit, refused(&analyst, &asked))
        .await
        .unwrap();
    assert_eq!(why, Why::Locked, "{text}");
    other.batch_execute("rollback").await.unwrap();
    let waiting = "select count(*) from pg_stat_activity where application_name = 'plimsoll'";
    eventually("our session ends", async || {
        stage.number(waiting).await == 0
    })
    .await;
    told(&analyst, "select * from lead where id = 1").await;
}

async fn needs_the_right_to_read(stage: &Stage) {
    let analyst = stage.analyst("nobody_much", &[]);
    let (why, text) = refused(&analyst, &question("select * from lead")).await;
    assert_eq!(why, Why::Denied, "{text}");
    assert!(text.contains("GRANT SELECT"), "{text}");
    // Nobody may see another's statements either: no prediction, and the reason.
    let analysis = told(&analyst, "select 1").await;
    assert!(analysis.predicted_time.is_none());
    assert!(!analysis.predicted_time_basis.is_empty());
}

/// Tables that come and go while they are looked at, and those of another's session.
async fn survives_tables_that_vanish(stage: &Stage) {
    let analyst = stage.analyst("postgres", &[]);
    let other = stage.server.admin("postgres").await;
    let sql = "create temp table mine as select 1 as i";
    other.batch_execute(sql).await.unwrap();
    let schema: String = other
        .query_one(
            "select nspname::text from pg_namespace where oid = pg_my_temp_schema()",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(
        refused(&analyst, &question("select * from mine")).await.0,
        Why::Refused
    );
    // By its full name it is seen, planned or refused, never run.
    match ask(&analyst, &question(&format!("select * from {schema}.mine"))).await {
        Ok(analysis) => assert!(!analysis.analyzed),
        Err(refusal) => assert_eq!(refusal.why(), Why::Refused, "{refusal}"),
    }
    let churn = tokio::spawn(async move {
        for _ in 0..40 {
            let sql = "create table fleeting as select g i from generate_series(1, 2000) g";
            other.batch_execute(sql).await.unwrap();
            tokio::task::yield_now().await;
            other.batch_execute("drop table fleeting").await.unwrap();
        }
    });
    for _ in 0..25 {
        match ask(&analyst, &question("select * from fleeting where i = 7")).await {
            Ok(analysis) => assert_eq!(analysis.plan.relation.as_deref(), Some("fleeting")),
            Err(refusal) => {
                let known = [Why::Refused, Why::Locked];
                assert!(known.contains(&refusal.why()), "{refusal}");
            }
        }
    }
    churn.await.unwrap();
}

async fn everything(major: u32) {
    let Some(stage) = Stage::set(major).await else {
        return;
    };
    stage.run(SCENE).await;
    refuses_what_is_no_single_plannable_statement(&stage).await;
    plans_what_would_write_without_running_it(&stage).await;
    runs_only_what_reads(&stage).await;
    stops_a_run_in_time(&stage).await;
    waits_for_no_lock(&stage).await;
    needs_the_right_to_read(&stage).await;
    survives_tables_that_vanish(&stage).await;
    unharmed(&stage, "everything").await;
}

#[tokio::test]
async fn thirteen_is_not_harmed() {
    everything(13).await;
}

#[tokio::test]
async fn fifteen_is_not_harmed() {
    everything(15).await;
}

#[tokio::test]
async fn eighteen_is_not_harmed() {
    everything(18).await;
}
