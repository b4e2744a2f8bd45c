//! The index advisor against real servers: what it promises is what a build takes and a plan costs, it
//! leaves nothing behind, and it says so where it can only estimate.

use std::time::Duration;

use plimsoll::advise::cost::{Ask, IndexSet, Planner};
use plimsoll::model::advice::{Advice, NewIndex};
use plimsoll::postgres::{Options, WhatIf};
use plimsoll::work::advise::{Request, Told, Workload, of_target};

use crate::server::{self, Admin, Server};

/// Leads as the platform has them, in small: `zip` selective, `kind` not, `at` in order, `note` text.
pub(crate) const LEADS: &str = "\
    create table lead (id int primary key, zip text not null, kind text not null, status text not null, \
      score int, at timestamp not null, tags text[], note text);; \
    insert into lead select g, lpad((g * 7919 % 3000)::text, 5, '0'), (array['a','b','c'])[1 + g % 3], \
      (array['new','open','won','lost'])[1 + g % 4], nullif(g % 100, 0), \
      timestamp '2024-01-01' + g * interval '1 minute', array['t' || g % 50], 'note ' || g \
      from generate_series(1, 40000) g;; \
    create index lead_status on lead (status);; create index lead_status_again on lead (status);; \
    create index lead_zip on lead (kind);; \
    vacuum analyze lead";

const WORKLOAD: &str = "\
    -- name: by-zip calls=50\nselect * from lead where zip = '00042' and kind = 'a';\n\
    -- name: latest calls=20\nselect * from lead l where status = 'new' order by at desc limit 20;\n\
    -- name: words\nselect id from lead where note like '%note 77%';\n\
    -- name: tagged\nselect id from lead where tags @> array['t7'];\n\
    -- name: move calls=5\nupdate lead set at = now() where id = 7;\n\
    -- name: missing\nselect * from no_such_table;\n\
    -- name: several\nselect 1; drop table lead;\n";

pub(crate) async fn run(admin: &Admin, script: &str) {
    for statement in script.split(";;") {
        admin.batch_execute(statement).await.unwrap();
    }
}

pub(crate) fn request(workload: Workload) -> Request {
    Request {
        workload,
        budget: None,
        width: 3,
        time: Duration::from_mins(1),
        explains: None,
        hypopg: true,
        told: Told::nobody(),
    }
}

pub(crate) fn options(server: &Server) -> Options {
    Options::new("t", server.conninfo("user=postgres dbname=postgres"))
}

async fn costed_server() -> Option<(Server, Admin)> {
    let bin = server::require(15)?;
    let server = Server::start(&bin, &["shared_preload_libraries=pg_stat_statements"]);
    let admin = server.admin("postgres").await;
    run(&admin, LEADS).await;
    run(
        &admin,
        "create extension hypopg;; create extension pg_stat_statements",
    )
    .await;
    Some((server, admin))
}

fn keys(advice: &Advice) -> Vec<Vec<&str>> {
    let each = advice.indexes.iter();
    each.map(|index| index.keys.iter().map(String::as_str).collect())
        .collect()
}

async fn number(admin: &Admin, sql: &str) -> f64 {
    admin.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn what_is_promised_is_what_a_build_takes_and_a_plan_costs() {
    let Some((server, admin)) = costed_server().await else {
        return;
    };
    let advice = of_target(
        "t",
        &options(&server),
        request(Workload::File(WORKLOAD.to_owned())),
    )
    .await
    .unwrap();
    names_what_helps(&advice);
    // Nothing was written, built or left behind.
    let won = "select count(*)::float8 from lead where status = 'won'";
    assert!((number(&admin, won).await - 1e4).abs() < 1.0);
    takes_what_was_promised(&admin, &advice).await;
    costs_what_was_said(&admin, &advice).await;
}

fn names_what_helps(advice: &Advice) {
    assert!(advice.basis.starts_with("hypopg "), "{}", advice.basis);
    let found = keys(advice);
    assert!(
        found
            .iter()
            .any(|keys| keys.starts_with(&["zip"]) || keys.starts_with(&["kind", "zip"])),
        "{found:?}"
    );
    assert!(found.iter().any(|keys| keys.contains(&"at")), "{found:?}");
    assert!(advice.cost_after < 0.5 * advice.cost_before);
    // Every update of `at` enters an index on it anew.
    let on_at = advice
        .indexes
        .iter()
        .find(|index| index.keys.contains(&"at".to_owned()));
    assert!(on_at.unwrap().write_cost > 0.0);
    let names: Vec<&str> = advice.skipped.iter().map(|s| s.name.as_str()).collect();
    assert!(
        names.contains(&"missing") && names.len() == 2,
        "{:?}",
        advice.skipped
    );
    let other: Vec<&str> = advice
        .not_costed
        .iter()
        .map(|n| n.statement.as_str())
        .collect();
    assert_eq!(other, ["words", "tagged"]);
    assert!(
        advice.not_costed[0]
            .ddl
            .ends_with("USING gin (note gin_trgm_ops)")
    );
    let drops: Vec<&str> = advice.drop.iter().map(|d| d.ddl.as_str()).collect();
    assert!(
        drops.contains(&"DROP INDEX CONCURRENTLY public.lead_status_again"),
        "{drops:?}"
    );
}

async fn takes_what_was_promised(admin: &Admin, advice: &Advice) {
    let count = "select count(*)::float8 from pg_index where indrelid = 'lead'::regclass";
    let before = number(admin, count).await;
    let size = "select pg_indexes_size('lead')::float8";
    let bare = number(admin, size).await;
    for index in &advice.indexes {
        admin
            .batch_execute(&index.ddl.replace("CONCURRENTLY ", ""))
            .await
            .unwrap();
    }
    assert!((number(admin, count).await - before - advice.indexes.len() as f64).abs() < 0.5);
    let (built, promised) = (number(admin, size).await - bare, advice.size_bytes as f64);
    assert!(
        (built / promised - 1.0).abs() < 0.1,
        "{built} built, {promised} promised"
    );
}

async fn costs_what_was_said(admin: &Admin, advice: &Advice) {
    for timed in advice.indexes.iter().flat_map(|index| &index.statements) {
        let text = WORKLOAD
            .split("-- name: ")
            .find(|t| t.starts_with(&timed.name))
            .unwrap();
        let text = text
            .split_once('\n')
            .unwrap()
            .1
            .trim()
            .trim_end_matches(';');
        let row = admin
            .query_one(&format!("explain (format json) {text}"), &[])
            .await
            .unwrap();
        let plan: serde_json::Value = row.get(0);
        let cost = plan[0]["Plan"]["Total Cost"].as_f64().unwrap();
        assert!(
            (cost - timed.after).abs() <= 0.1 * timed.after + 4.5,
            "{}: {cost} with real indexes, {} said",
            timed.name,
            timed.after
        );
    }
}

/// Runs some statements with parameters, then asks for advice on what was recorded.
async fn advised_on_record(major: u32) -> Option<(Advice, String)> {
    let bin = server::require(major)?;
    let server = Server::start(&bin, &["shared_preload_libraries=pg_stat_statements"]);
    let admin = server.admin("postgres").await;
    run(&admin, LEADS).await;
    run(
        &admin,
        "create extension pg_stat_statements;; select pg_stat_statements_reset()",
    )
    .await;
    for zip in 0..40_i32 {
        let zip = format!("{zip:05}");
        admin
            .query(
                "select * from lead where zip = $1 limit $2",
                &[&zip, &5_i64],
            )
            .await
            .unwrap();
    }
    run(
        &admin,
        "select count(*) from lead where at between '2024-01-03' and '2024-01-04'",
    )
    .await;
    let advice = of_target("t", &options(&server), request(Workload::Recorded))
        .await
        .unwrap();
    Some((advice, server.log()))
}

#[tokio::test]
async fn recorded_statements_are_planned_with_typical_values_on_every_server() {
    for major in [13, 15, 18] {
        let Some((advice, log)) = advised_on_record(major).await else {
            continue;
        };
        // None of the three has HypoPG in that database.
        assert_eq!(advice.basis, "estimate", "{major}");
        let found = keys(&advice);
        assert!(
            found.iter().any(|keys| keys.first() == Some(&"zip")),
            "{major}: {found:?} {:?}",
            advice.skipped
        );
        assert!(advice.cost_after < advice.cost_before, "{major}");
        assert_eq!(advice.explains, 0, "{major}");
        let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR:")).collect();
        assert!(errors.is_empty(), "{major}: {errors:?}");
    }
}

#[tokio::test]
async fn without_its_extension_the_record_names_the_cure() {
    let Some((server, admin)) = costed_server().await else {
        return;
    };
    run(&admin, "drop extension pg_stat_statements").await;
    let error = of_target("t", &options(&server), request(Workload::Recorded))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("CREATE EXTENSION pg_stat_statements"),
        "{error}"
    );
}

/// Real HypoPG is 1.3 here; what 1.4 adds is put beside it, as functions that note their calls.
const HIDING: &str = "create function hypopg_hide_index(i oid) returns bool language plpgsql as \
     $$ begin raise log 'hidden %', i::regclass; return true; end $$;; \
     create function hypopg_unhide_all_indexes() returns void language plpgsql as \
     $$ begin raise log 'shown again'; end $$;; \
     update pg_extension set extversion = '1.4.0' where extname = 'hypopg'";

#[tokio::test]
async fn what_can_be_hidden_is_hidden_before_its_drop_is_advised() {
    let Some((server, admin)) = costed_server().await else {
        return;
    };
    run(&admin, HIDING).await;
    let advice = of_target(
        "t",
        &options(&server),
        request(Workload::File(WORKLOAD.to_owned())),
    )
    .await
    .unwrap();
    assert_eq!(advice.basis, "hypopg 1.4.0");
    assert!(!advice.drop.is_empty());
    let log = server.log();
    assert!(log.contains("hidden lead_status_again"), "{log}");
    assert!(log.contains("shown again"));
}

/// The plans of a session that took the place of a lost one lack what that one hid, too.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_hidden_stays_hidden_when_a_session_is_lost() {
    let Some((server, admin)) = costed_server().await else {
        return;
    };
    run(&admin, HIDING).await;
    run(
        &admin,
        "create function deadly() returns text immutable language plpgsql as \
         $$ begin perform pg_terminate_backend(pg_backend_pid()); return 'a'; end $$",
    )
    .await;
    let mut planner = WhatIf::open(&options(&server), 1).await.unwrap();
    let texts = [
        "select * from lead where kind = deadly()",
        "select * from lead where kind = 'a'",
    ];
    planner.prepare(texts.map(str::to_owned).into(), Vec::new());
    let answers = tokio::task::spawn_blocking(move || {
        let asks = [0, 1].map(|statement| Ask {
            statement,
            indexes: IndexSet::default(),
        });
        planner.plan_hiding(&["public.lead_zip".to_owned()], &asks)
    });
    let answers = answers.await.unwrap().unwrap().unwrap();
    assert!(answers[0].is_none() && answers[1].is_some());
    let log = server.log();
    assert_eq!(log.matches("hidden lead_zip").count(), 2, "{log}");
}

/// What differs in class, collation or direction is no duplicate, and a part of a partitioned index
/// cannot be dropped by itself.
#[tokio::test]
async fn only_what_is_alike_in_every_respect_is_advised_to_be_dropped() {
    for major in [13, 15, 18] {
        let Some(bin) = server::require(major) else {
            continue;
        };
        let server = Server::start(&bin, &[]);
        let admin = server.admin("postgres").await;
        run(
            &admin,
            "create table lead (a text, b int);; \
             insert into lead select 'x' || g, g from generate_series(1, 20000) g;; \
             create index plain on lead (a, b);; create index again on lead (a, b);; \
             create index pattern on lead (a text_pattern_ops, b);; \
             create index posix on lead (a collate \"POSIX\", b);; \
             create index down on lead (a, b desc);; \
             create index late on lead (a desc nulls last, b);; \
             create index lower on lead (lower(a));; \
             create index lower_posix on lead (lower(a) collate \"POSIX\");; \
             create table log (a text, b int) partition by range (b);; \
             create table log_1 partition of log for values from (0) to (100000);; \
             insert into log select 'x' || g, g from generate_series(1, 20000) g;; \
             create index log_a on log (a);; create index log_a_b on log (a, b);; \
             analyze",
        )
        .await;
        let file = "select * from lead where a = 'x7';\nselect * from log_1 where a = 'x7';\n";
        let workload = Workload::File(file.to_owned());
        let advice = of_target("t", &options(&server), request(workload))
            .await
            .unwrap();
        let drops: Vec<&str> = advice.drop.iter().map(|d| d.ddl.as_str()).collect();
        let again = ["DROP INDEX CONCURRENTLY public.again"];
        let plain = ["DROP INDEX CONCURRENTLY public.plain"];
        assert!(drops == again || drops == plain, "{major}: {drops:?}");
    }
}

#[tokio::test]
async fn a_backend_that_is_killed_costs_one_answer_and_not_the_advice() {
    let Some((server, admin)) = costed_server().await else {
        return;
    };
    let options = options(&server);
    let pids = "select pid from pg_stat_activity where application_name = 'plimsoll'";
    let work = of_target("t", &options, request(Workload::File(WORKLOAD.to_owned())));
    let killer = async {
        // As soon as it is there: as a crash of its backend would, this restarts the server.
        loop {
            let rows = admin.query(pids, &[]).await.unwrap();
            if let Some(row) = rows.first() {
                let pid: i32 = row.get(0);
                tokio::time::sleep(Duration::from_millis(150)).await;
                let _ = std::process::Command::new("kill")
                    .args(["-9", &pid.to_string()])
                    .status();
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let (advice, ()) = tokio::join!(work, killer);
    // Killed before the first plan there is a clear error; later there is advice.
    match advice {
        Ok(advice) => assert!(!advice.indexes.is_empty()),
        Err(error) => assert!(error.to_string().contains("lost"), "{error}"),
    }
}

/// Tables that are being altered, or that the role may not read, cost their own statements only.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_planned_is_named_and_the_rest_advised_on() {
    let Some((server, admin)) = costed_server().await else {
        return;
    };
    run(
        &admin,
        "create table held (id int, zip text);; create table secret (id int, zip text);; \
         create role reader login;; grant select on lead, held to reader",
    )
    .await;
    let holder = server.admin("postgres").await;
    run(&holder, "begin;; alter table held add column a int").await;
    let workload = "-- name: open\nselect * from lead where zip = '00042' and kind = 'a';\n\
                    -- name: held\nselect * from held where zip = '00042';\n\
                    -- name: secret\nselect * from secret where zip = '00042';\n";
    let options = Options::new("t", server.conninfo("user=reader dbname=postgres"));
    let advice = of_target("t", &options, request(Workload::File(workload.to_owned())));
    let advice = advice.await.unwrap();
    let skipped: Vec<(&str, &str)> = advice
        .skipped
        .iter()
        .map(|s| (s.name.as_str(), s.reason.as_str()))
        .collect();
    let [("held", held), ("secret", secret)] = skipped[..] else {
        panic!("{skipped:?}")
    };
    assert!(held.contains("waited too long for a lock"), "{held}");
    assert!(
        secret.contains("permission denied for table secret"),
        "{secret}"
    );
    let on_lead = |index: &NewIndex| index.ddl.contains(" ON public.lead ");
    assert!(!advice.indexes.is_empty() && advice.indexes.iter().all(on_lead));
    run(&holder, "rollback").await;
}

/// HypoPG has crashed over `INCLUDE` before: what was asked is asked again without such candidates, by
/// a session that takes none of them any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_over_include_is_answered_without_it() {
    let Some((server, admin)) = costed_server().await else {
        return;
    };
    let sql = "select indexrelid::int8 from hypopg_create_index('create index on lead (zip)')";
    let first: i64 = admin.query_one(sql, &[]).await.unwrap().get(0);
    // The planner calls it, as it calls whatever is said to be immutable; HypoPG numbers the indexes of
    // each session from the same number. (A query in it would end what HypoPG takes for an EXPLAIN.)
    run(
        &admin,
        &format!(
            "create function deadly() returns text immutable language plpgsql as $$ begin \
               if hypopg_get_indexdef({first}) like '%INCLUDE%' then \
                 perform pg_terminate_backend(pg_backend_pid()); \
               end if; return '00042'; end $$"
        ),
    )
    .await;
    let mut planner = WhatIf::open(&options(&server), 1).await.unwrap();
    let texts = ["select id, at from lead where zip = deadly()".to_owned()];
    let candidates = [
        "CREATE INDEX ON public.lead (zip) INCLUDE (id, at)",
        "CREATE INDEX ON public.lead (zip)",
    ];
    planner.prepare(texts.into(), candidates.map(str::to_owned).into());
    let answers = tokio::task::spawn_blocking(move || {
        let ask = |indexes: &[usize]| Ask {
            statement: 0,
            indexes: IndexSet::of(indexes.iter().copied()),
        };
        planner.plan(&[ask(&[0, 1]), ask(&[0])])
    });
    let answers = answers.await.unwrap().unwrap();
    let used: Vec<Vec<usize>> = answers
        .iter()
        .map(|answer| answer.as_ref().unwrap().used.iter().collect())
        .collect();
    assert_eq!(used, [vec![1], vec![]]);
    let log = server.log();
    let lost = "terminating connection due to administrator command";
    assert_eq!(log.matches(lost).count(), 1, "it is not tried twice");
}
