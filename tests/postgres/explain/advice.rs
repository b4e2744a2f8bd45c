//! What is told of a statement: its plan, its parameters, what to mend, and what it will take.

use plimsoll::model::explain::{ParameterBasis, RecommendationKind};
use plimsoll::work::explain::Question;
use serde_json::json;

use super::*;

/// Sixty thousand rows; `zip` has a value in every hundredth row that must not be shown.
const SCENE: &str = "\
    create table lead (id int primary key, zip text not null, kind int, parent int, email text, \
      created timestamp not null, wide text);;\
    insert into lead select g, case when g % 100 = 0 then 'secret-zip' else 'z' || g % 900 end, \
      g % 7, nullif(g % 50, 0), 'lead' || g || '@mail.example', \
      timestamp '2024-01-01' + g * interval '5 minutes', repeat('x', 100) \
      from generate_series(1, 60000) g;;\
    create index lead_email on lead (email);; create index lead_created on lead (created);;\
    create table work (lead int, agent int, status text);;\
    insert into work select g % 20000, g % 90, 'S' || g % 4 from generate_series(1, 40000) g;;\
    create table parts (id int, at date not null) partition by range (at);;\
    create table p1 partition of parts for values from ('2024-01-01') to ('2024-02-01');;\
    create table p2 partition of parts for values from ('2024-02-01') to ('2024-03-01');;\
    create table p3 partition of parts for values from ('2024-03-01') to ('2024-04-01');;\
    create table p4 partition of parts for values from ('2024-04-01') to ('2024-05-01');;\
    insert into parts select g, date '2024-01-01' + g % 120 from generate_series(1, 20000) g;;\
    analyze";

/// A needle in a haystack: an index with the planner's word for it, or the best guess without.
async fn an_index_is_proposed(stage: &Stage) {
    let analyst = stage.analyst("postgres", &[]);
    let query = "select * from lead where zip = 'z5' and kind = 3 order by created desc limit 20;";
    let analysis = told(&analyst, query).await;
    assert_eq!(analysis.query, query.trim_end_matches(';'));
    assert!(
        (analysis
            .plan
            .nodes()
            .iter()
            .map(|n| n.exclusive_cost)
            .sum::<f64>()
            - analysis.total_cost)
            .abs()
            < 0.01 * analysis.total_cost
    );
    let index = analysis
        .recommendations
        .iter()
        .find(|one| one.kind == RecommendationKind::Index)
        .unwrap_or_else(|| panic!("{analysis:#?}"));
    let ddl = index.implementation.as_deref().unwrap();
    assert!(
        ddl.starts_with("CREATE INDEX CONCURRENTLY ON public.lead ("),
        "{ddl}"
    );
    assert!(index.columns.contains(&"lead.zip".to_owned()), "{index:?}");
    let suggested = &analysis.suggested_indexes[0];
    assert_eq!(suggested.ddl, ddl);
    if stage.has_hypopg {
        let proof = index.proof.unwrap();
        assert!(proof.cost_after < 0.5 * proof.cost_before, "{proof:?}");
        assert_eq!(suggested.predicted_cost, Some(proof.cost_after));
        assert!(analysis.index_basis.starts_with("hypopg"));
        // The promise is kept: built, it is planned as it was said.
        let before = analysis.total_cost;
        stage
            .run(&ddl.replace("INDEX CONCURRENTLY ON", "INDEX promised ON"))
            .await;
        let size = stage.number("select pg_relation_size('promised')").await;
        let after = told(&analyst, query).await.total_cost;
        stage.run("drop index promised").await;
        assert!(after < 0.5 * before, "{before} {after}");
        assert!(
            (after - proof.cost_after).abs() < 0.2 * proof.cost_after,
            "{after} {proof:?}"
        );
        let promised = suggested.predicted_size.unwrap() as f64;
        assert!(
            (promised / size as f64 - 1.0).abs() < 0.15,
            "{promised} {size}"
        );
    } else {
        assert_eq!(index.proof, None);
        assert!(analysis.index_basis.contains("hypopg is not installed"));
        assert!(suggested.predicted_size.is_some());
    }
    // What is right as it is stays unsaid.
    let fine = told(&analyst, "select * from lead where id = 5").await;
    assert!(fine.recommendations.is_empty(), "{fine:#?}");
    stage
        .run("create table tiny as select g i from generate_series(1, 60) g;; analyze tiny")
        .await;
    let fine = told(&analyst, "select * from tiny where i = 5").await;
    assert!(fine.recommendations.is_empty(), "{fine:#?}");
}

/// `$n` as statistics keep them: planned for any value, or for values that are not shown.
async fn parameters_are_filled_and_hidden(stage: &Stage, major: u32) {
    let analyst = stage.analyst("postgres", &[("explain.analyze", "true")]);
    let query = "select * from lead where zip = $1 and created > $2 limit $3";
    let analysis = told(&analyst, query).await;
    let want = if major >= 16 {
        ParameterBasis::Generic
    } else {
        ParameterBasis::Sampled
    };
    assert_eq!(analysis.parameters.basis, want);
    assert_eq!(
        analysis.parameters.types,
        ["text", "timestamp without time zone", "bigint"]
    );
    let json = serde_json::to_string(&analysis).unwrap();
    assert!(!json.contains("secret-zip"), "{json}");
    let plan = serde_json::to_string(&analysis.plan).unwrap();
    assert!(plan.contains("= $1") && plan.contains("> $2"), "{plan}");
    assert!(analysis.not_run.unwrap().contains("give params"));
    let asked = Question {
        analyze: Some(true),
        ..question(query)
    };
    assert_eq!(refused(&analyst, &asked).await.0, Why::ParamsNeeded);
    let given = Question {
        params: Some(vec![json!("z7"), json!("2024-02-01"), json!(3)]),
        ..question(query)
    };
    let analysis = ask(&analyst, &given).await.unwrap();
    assert_eq!(analysis.parameters.basis, ParameterBasis::Given);
    assert!(analysis.analyzed, "{:?}", analysis.not_run);
    assert!((analysis.rows - 3.0).abs() < 0.5, "{}", analysis.rows);
    let shown = serde_json::to_string(&analysis).unwrap();
    assert!(shown.contains("'z7'"), "{shown}");
    let lists = Question {
        params: Some(vec![json!(["z1", "z2"]), json!(null)]),
        ..question("select id from lead where zip = any($1) or wide = $2")
    };
    assert!(ask(&analyst, &lists).await.unwrap().analyzed);
    // What statistics make of a constant of a type.
    let kept = "select count(*) from lead where created >= date $1 - interval $2";
    assert_eq!(
        told(&analyst, kept).await.parameters.types,
        ["date", "interval"]
    );
    // A type of which nothing is known leaves the plan for any value.
    let odd = told(
        &analyst,
        "select * from lead where point(id, id) <@ $1::box",
    )
    .await;
    assert_eq!(odd.parameters.basis, ParameterBasis::Generic);
}

/// Each rule on a plan that a real server made.
async fn rules_speak_of_real_plans(stage: &Stage) {
    let planned = stage.analyst("postgres", &[]);
    let run = stage.analyst("postgres", &[("explain.analyze", "true")]);
    let cases = [
        (
            &planned,
            "select * from lead where lower(email) = 'a@b'",
            "function-on-column",
        ),
        (
            &planned,
            "select * from lead where created::date = '2024-03-01'",
            "cast-on-column",
        ),
        (
            &planned,
            "select * from lead where email ilike '%7@mail%'",
            "leading-wildcard",
        ),
        (
            &planned,
            "select * from lead where email = 'x' or parent = 77",
            "or-across-columns",
        ),
        (
            &planned,
            "select * from lead order by id limit 10 offset 50000",
            "deep-offset",
        ),
        (
            &run,
            "select * from lead order by id limit 10 offset 50000",
            "deep-offset",
        ),
        (&planned, "select * from lead", "unbounded-result"),
        (
            &planned,
            "select * from work where lead not in (select parent from lead where kind = 1)",
            "not-in",
        ),
        (
            &planned,
            "select id, (select count(*) from work w where w.lead = l.id) from lead l where kind = 2",
            "correlated-subselect",
        ),
        (
            &planned,
            "with w as materialized (select * from lead) select * from w where zip = 'z1'",
            "cte-materialised",
        ),
        (
            &planned,
            "select * from parts where id = 7",
            "partition-pruning",
        ),
        (
            &run,
            "select * from lead where zip = 'z5' and zip || '' = 'z5' and email = wide",
            "function-on-column",
        ),
    ];
    for (analyst, query, rule) in cases {
        let analysis = told(analyst, query).await;
        assert!(rules(&analysis).contains(&rule), "{query}: {analysis:#?}");
    }
}

async fn a_sort_that_goes_to_disk_is_told_before_and_after(stage: &Stage) {
    stage
        .run("alter role postgres set work_mem = '256kB'")
        .await;
    for analyze in ["false", "true"] {
        let analyst = stage.analyst("postgres", &[("explain.analyze", analyze)]);
        let analysis = told(&analyst, "select * from lead order by wide, id").await;
        assert!(rules(&analysis).contains(&"sort-spill"), "{analysis:#?}");
        let spilled = analysis
            .plan
            .nodes()
            .iter()
            .any(|node| node.spill.is_some());
        assert_eq!(spilled, analysis.analyzed);
    }
    stage.run("alter role postgres reset work_mem").await;
}

/// Columns that go together are told after a run, and what is proposed mends it.
async fn statistics_that_are_proposed_mend_the_estimate(stage: &Stage) {
    let planned = stage.analyst("postgres", &[]);
    let run = stage.analyst("postgres", &[("explain.analyze", "true")]);
    stage
        .run(
            "create table pair as select g % 100 a, g % 100 b from generate_series(1, 200000) g;; \
             analyze pair",
        )
        .await;
    let analysis = told(&run, "select * from pair where a = 5 and b = 5").await;
    let one = analysis
        .recommendations
        .iter()
        .find(|one| one.rule == "misestimate")
        .unwrap();
    let cure = one.implementation.as_deref().unwrap();
    assert!(cure.contains("ON a, b FROM public.pair"), "{cure}");
    stage.run(cure).await;
    let analysis = told(&run, "select * from pair where a = 5 and b = 5").await;
    assert!(!rules(&analysis).contains(&"misestimate"), "the cure cures");
    assert!(analysis.misestimate_factor.unwrap() < 3.0);
    stage
        .run("create table fresh as select g a from generate_series(1, 5000) g")
        .await;
    let analysis = told(&planned, "select * from fresh where a = 5").await;
    assert!(rules(&analysis).contains(&"no-statistics"), "{analysis:#?}");
}

/// The server's own statements say what a cost means in time.
async fn time_is_learnt_from_the_server_s_own_statements(stage: &Stage) {
    stage.run("select pg_stat_statements_reset()").await;
    let analyst = stage.analyst("postgres", &[]);
    let query = "select count(*) from lead where kind = 3";
    let early = told(&analyst, query).await;
    assert!(early.predicted_time.is_none());
    assert!(
        early.predicted_time_basis.contains("are needed"),
        "{}",
        early.predicted_time_basis
    );
    for share in 1..=12_usize {
        // Each of another shape, so that each is a statement of its own.
        let kinds: Vec<String> = (0..share).map(|n| format!("kind <> {n}")).collect();
        let wide = format!(
            "select count(*) from lead where id < {} and {}",
            share * 5_000,
            kinds.join(" and ")
        );
        let narrow = format!(
            "select {} from lead where id = {share}",
            vec!["zip"; share].join(", ")
        );
        for sql in [wide, narrow] {
            for _ in 0..3 {
                stage.admin.batch_execute(&sql).await.unwrap();
            }
        }
    }
    // What was learnt holds for an hour; a new analyst learns anew.
    let analyst = stage.analyst("postgres", &[]);
    let later = told(&analyst, query).await;
    let predicted = later
        .predicted_time
        .unwrap_or_else(|| panic!("{}", later.predicted_time_basis));
    assert!(predicted.statements >= 8, "{predicted:?}");
    assert!(predicted.low_ms <= predicted.ms && predicted.ms <= predicted.high_ms);
    assert!(predicted.ms > 0.0 && predicted.error_factor >= 1.0);
    stage.run("drop extension pg_stat_statements").await;
    let analyst = stage.analyst("postgres", &[]);
    let without = told(&analyst, query).await;
    assert!(without.predicted_time.is_none());
    assert!(without.predicted_time_basis.contains("not installed"));
}

/// The platform's whole mix as its services send it, and a few of the kind that reports send.
async fn the_platform_s_mix_is_explained_as_written(stage: &Stage) {
    stage
        .run(include_str!("../../../data/leadgen/schema.sql"))
        .await;
    let generate = include_str!("../../../data/leadgen/generate.sql");
    let set = "set leadgen.leads = 2000; set leadgen.agents = 100; set leadgen.first = 1; \
               set leadgen.last = 2000;";
    stage.run(&format!("{set}{generate}")).await;
    stage
        .run(include_str!("../../../data/leadgen/indexes.sql"))
        .await;
    stage.run("analyze").await;
    let analyst = stage.analyst("postgres", &[]);
    let mix: toml::Table =
        toml::from_str(include_str!("../../../data/leadgen/statements.toml")).unwrap();
    let statements = mix["statement"].as_array().unwrap();
    assert!(statements.len() >= 30, "{}", statements.len());
    for statement in statements {
        let (id, sql) = (&statement["id"], statement["sql"].as_str().unwrap());
        let first = statement["params"].as_array().unwrap().len() + 1;
        let ids = (first..first + 1_000)
            .map(|n| format!("${n}"))
            .collect::<Vec<_>>()
            .join(", ");
        let sql = sql.replace("{ids}", &ids);
        let analysis = told(&analyst, &sql).await;
        assert!(analysis.total_cost > 0.0, "{id}");
    }
    for report in [
        "select a.\"state\", l.\"insuranceType\", count(*), avg(l.\"qualityScore\") from \"Lead\" l \
         join \"LeadAssignment\" x on x.\"leadId\" = l.\"id\" join \"Agent\" a on a.\"id\" = x.\"agentId\" \
         where l.\"createdAt\" >= date '2024-01-01' group by 1, 2 having count(*) > 3 order by 3 desc",
        "with recent as (select * from \"Event\" where \"timestamp\" > now() - interval '30 days'), \
         per as (select \"entityId\", count(*) n from recent group by 1) \
         select l.\"source\", sum(p.n) from \"Lead\" l left join per p on p.\"entityId\" = l.\"id\" group by rollup (1)",
        "select \"id\", rank() over (partition by \"state\" order by \"rating\" desc) from \"Agent\" a \
         where exists (select 1 from \"LeadAssignment\" x where x.\"agentId\" = a.\"id\" and x.\"status\" = 'PENDING')",
        "select * from \"Lead\" l where \"qualityScore\" > (select avg(\"qualityScore\") from \"Lead\" m where \
         m.\"state\" = l.\"state\") and \"zipCode\" not in (select \"zipCode\" from \"Lead\" where \"status\" = 'REJECTED')",
        "select date_trunc('day', \"createdAt\") d, count(*) filter (where \"status\" = 'CONVERTED') from \"Lead\" \
         group by 1 union all select null, count(*) from \"Event\" order by 1 nulls last",
        "with recursive up as (select 1 n union all select n + 1 from up where n < 10) select * from up, \
         lateral (select \"id\" from \"Carrier\" where \"performanceScore\" > n limit 1) c",
        "table \"Carrier\"",
        "values (1, 'a'), (2, 'b')",
    ] {
        told(&analyst, report).await;
    }
}

async fn everything(major: u32) {
    let Some(stage) = Stage::set(major).await else {
        return;
    };
    stage.run(SCENE).await;
    an_index_is_proposed(&stage).await;
    parameters_are_filled_and_hidden(&stage, major).await;
    rules_speak_of_real_plans(&stage).await;
    a_sort_that_goes_to_disk_is_told_before_and_after(&stage).await;
    statistics_that_are_proposed_mend_the_estimate(&stage).await;
    the_platform_s_mix_is_explained_as_written(&stage).await;
    time_is_learnt_from_the_server_s_own_statements(&stage).await;
}

#[tokio::test]
async fn statements_are_explained_on_thirteen() {
    everything(13).await;
}

#[tokio::test]
async fn statements_are_explained_on_fifteen() {
    everything(15).await;
}

#[tokio::test]
async fn statements_are_explained_on_eighteen() {
    everything(18).await;
}
