//! Each rule where it must speak, and where it must not.

use super::fixture::{Case, above, column, lead, ran, said, said_of, scan, spilled};
use super::*;
use crate::model::explain::{Jit, RecommendationKind};

fn ids(found: &[Recommendation]) -> Vec<&str> {
    found.iter().map(|one| one.rule.as_str()).collect()
}

fn the<'f>(found: &'f [Recommendation], rule: &str) -> &'f Recommendation {
    let mut all = found.iter().filter(|one| one.rule == rule);
    all.next()
        .unwrap_or_else(|| panic!("no {rule} in {found:#?}"))
}

fn how(one: &Recommendation) -> &str {
    one.implementation.as_deref().unwrap_or("")
}

#[test]
fn a_scan_for_a_needle_is_told_by_rows_read_not_by_rows_given() {
    let filter = "((l.status = 'NEW'::text) AND (l.id > 5))";
    let found = said(scan("Seq Scan", 20_000.0, 5.0, filter), &Case::default());
    let one = the(&found, "seq-scan-filter");
    assert_eq!(one.kind, RecommendationKind::Index);
    assert_eq!(one.impact, Impact::High);
    assert!(
        one.description
            .contains("1,000,000 rows of lead and gives 5"),
        "{one:?}"
    );
    assert_eq!(
        how(one),
        "CREATE INDEX CONCURRENTLY ON public.lead (status, id);"
    );
    assert_eq!(one.columns, ["lead.status", "lead.id"]);
    // Where the planner was asked it has the last word.
    let costed = Case {
        costed: true,
        ..Case::default()
    };
    assert!(said(scan("Seq Scan", 20_000.0, 5.0, filter), &costed).is_empty());
    // Half of the rows are not a needle, and sixty rows are no haystack.
    assert!(
        said(
            scan("Seq Scan", 20_000.0, 400_000.0, filter),
            &Case::default()
        )
        .iter()
        .all(|one| one.kind != RecommendationKind::Index)
    );
    let mut tiny = lead();
    (tiny.rows, tiny.pages) = (60.0, 3.0);
    let plan = scan("Seq Scan", 3.0, 1.0, filter);
    assert!(said_of(plan, &Case::default(), &[tiny]).is_empty());
}

#[test]
fn an_index_that_finds_too_much_is_told_after_a_run() {
    let mut node = scan("Index Scan", 9_000.0, 5.0, "(l.status = 'NEW'::text)");
    node.index_name = Some("lead_email".to_owned());
    assert!(said(node.clone(), &Case::default()).is_empty());
    node.rows_removed_by_filter = Some(80_000.0);
    let found = said(ran(node, 90.0, 5.0, 1.0), &Case::default());
    let one = the(&found, "index-scan-filter");
    assert!(
        one.description
            .contains("80,005 rows of lead by lead_email"),
        "{one:?}"
    );
}

#[test]
fn functions_and_casts_around_a_column_are_told_with_the_index_they_spoil() {
    let cases = [
        (
            "(lower((l.email)::text) = 'a'::text)",
            "function-on-column",
            "lead_email cannot be used",
            "((lower((email)::text)))",
        ),
        (
            "(date_trunc('day'::text, l.created) = '2024-01-01'::timestamp without time zone)",
            "function-on-column",
            "no index on the column",
            "created >= start AND created < start",
        ),
        (
            "((l.created)::date = '2024-01-01'::date)",
            "cast-on-column",
            "compared as date",
            "created >= day AND created < day + interval '1 day'",
        ),
        (
            "((l.id)::numeric = 7.5)",
            "cast-on-column",
            "compared as numeric",
            "id = value::integer",
        ),
        (
            "((l.id + 1) = 7)",
            "function-on-column",
            "is compared, not id itself",
            "put the arithmetic on the value's side",
        ),
    ];
    for (filter, rule, description, implementation) in cases {
        let costed = Case {
            costed: true,
            ..Case::default()
        };
        let found = said(scan("Seq Scan", 20_000.0, 5.0, filter), &costed);
        let one = the(&found, rule);
        assert!(one.description.contains(description), "{filter}: {one:?}");
        assert!(how(one).contains(implementation), "{filter}: {one:?}");
    }
    // What an index does not mind.
    for harmless in [
        "((l.email)::text = 'a'::text)",
        "(l.status = upper('a'::text))",
        "(l.id = (l.parent + 1))",
    ] {
        let costed = Case {
            costed: true,
            ..Case::default()
        };
        let found = said(scan("Seq Scan", 20_000.0, 5.0, harmless), &costed);
        assert!(found.is_empty(), "{harmless}: {found:?}");
    }
}

#[test]
fn patterns_in_several_columns_get_one_trigram_index() {
    let filter = "(((l.email)::text ~~* '%ann%'::text) OR (l.status ~~ '%ann%'::text))";
    let found = said(scan("Seq Scan", 20_000.0, 50.0, filter), &Case::default());
    let one = the(&found, "leading-wildcard");
    assert!(
        how(one).contains("USING gin (email gin_trgm_ops, status gin_trgm_ops);"),
        "{one:?}"
    );
    assert!(!ids(&found).contains(&"or-across-columns"), "{found:?}");
    let fixed = "(l.status ~~ 'ann%'::text)";
    let found = said(scan("Seq Scan", 20_000.0, 50.0, fixed), &Case::default());
    assert!(!ids(&found).contains(&"leading-wildcard"), "{found:?}");
}

#[test]
fn an_or_over_two_columns_names_the_index_that_is_missing() {
    let filter = "(((l.email)::text = 'a'::text) OR (l.status = 'b'::text))";
    let found = said(scan("Seq Scan", 20_000.0, 2.0, filter), &Case::default());
    let one = the(&found, "or-across-columns");
    assert!(
        how(one).starts_with("CREATE INDEX CONCURRENTLY ON public.lead (status);"),
        "{one:?}"
    );
    assert!(!how(one).contains("(email);"), "{one:?}");
    assert_eq!(one.columns, ["lead.email", "lead.status"]);
    let same = "((l.status = 'a'::text) OR (l.status = 'b'::text))";
    let found = said(scan("Seq Scan", 20_000.0, 2.0, same), &Case::default());
    assert!(!ids(&found).contains(&"or-across-columns"), "{found:?}");
}

#[test]
fn a_deep_offset_is_read_off_the_limit_s_own_costs() {
    let mut sort = above("Sort", 1_200.0, 100_000.0, vec![]);
    sort.startup_cost = 200.0;
    sort.sort_key = vec!["l.created DESC".to_owned()];
    sort.plans = vec![scan("Seq Scan", 150.0, 100_000.0, "(l.id > 0)")];
    let mut limit = above("Limit", 700.2, 20.0, vec![sort]);
    limit.startup_cost = 700.0;
    let found = said(limit.clone(), &Case::default());
    let one = the(&found, "deep-offset");
    assert!(
        one.description
            .contains("reads 50,000 rows in the order l.created DESC"),
        "{one:?}"
    );
    limit.startup_cost = 200.0;
    assert!(!ids(&said(limit, &Case::default())).contains(&"deep-offset"));
}

#[test]
fn a_result_without_a_bound_is_told_and_a_counted_one_is_not() {
    let whole = scan("Seq Scan", 20_000.0, 1e6, "(l.id > 0)");
    let found = said(whole.clone(), &Case::default());
    assert!(
        the(&found, "unbounded-result")
            .description
            .contains("1,000,000 rows of 100 bytes")
    );
    let count = above("Aggregate", 21_000.0, 1.0, vec![whole.clone()]);
    let found = said(count, &Case::default());
    assert_eq!(ids(&found), ["condensed-each-time"]);
    let limit = above("Limit", 10.0, 20_000.0, vec![whole]);
    assert!(!ids(&said(limit, &Case::default())).contains(&"unbounded-result"));
}

#[test]
fn not_in_is_told_with_the_column_that_may_be_null() {
    let mut sub = scan("Seq Scan", 100.0, 500.0, "(l_1.id > 0)");
    sub.alias = Some("l_1".to_owned());
    sub.output = vec!["l_1.parent".to_owned()];
    sub.parent_relationship = Some("SubPlan".to_owned());
    sub.subplan_name = Some("SubPlan 1".to_owned());
    let mut outer = scan("Seq Scan", 900.0, 100.0, "(NOT (hashed SubPlan 1))");
    outer.plans = vec![sub];
    let case = Case {
        query: "select * from lead where id NOT in (select parent from lead)",
        costed: true,
        ..Case::default()
    };
    let found = said(outer.clone(), &case);
    let one = the(&found, "not-in");
    assert!(
        one.description.contains("lead.parent may be null"),
        "{one:?}"
    );
    assert!(how(one).starts_with("NOT EXISTS"), "{one:?}");
    outer.conditions[0].text = "(NOT (SubPlan 1))".to_owned();
    let found = said(outer, &case);
    assert_eq!(the(&found, "not-in").impact, Impact::High);
}

#[test]
fn a_sub_select_for_each_row_is_told_with_its_runs() {
    let mut sub = scan("Index Scan", 8.0, 1.0, "(l_1.parent = l.id)");
    sub.parent_relationship = Some("SubPlan".to_owned());
    sub.subplan_name = Some("SubPlan 1".to_owned());
    let mut outer = scan("Seq Scan", 80_500.0, 10_000.0, "(l.id > 0)");
    outer.output = vec!["(SubPlan 1)".to_owned()];
    outer.plans = vec![sub];
    let costed = Case {
        costed: true,
        ..Case::default()
    };
    let found = said(outer.clone(), &costed);
    let one = the(&found, "correlated-subselect");
    assert!(one.description.contains("run 10,000 times"), "{one:?}");
    outer.output = vec!["(hashed SubPlan 1)".to_owned()];
    assert!(!ids(&said(outer, &costed)).contains(&"correlated-subselect"));
}

#[test]
fn a_loop_over_a_whole_table_asks_for_an_index_on_the_joined_column() {
    let mut inner = scan("Seq Scan", 900.0, 10.0, "(o.id = l.parent)");
    inner.parent_relationship = Some("Inner".to_owned());
    let mut outer = above("Seq Scan", 10.0, 500.0, vec![]);
    (outer.relation, outer.alias) = (Some("other".to_owned()), Some("o".to_owned()));
    outer.schema = Some("public".to_owned());
    let other = Relation {
        oid: 8,
        schema: "public".to_owned(),
        name: "other".to_owned(),
        columns: vec![column("id", "integer")],
        ..Relation::default()
    };
    let plan = above("Nested Loop", 460_000.0, 500.0, vec![outer, inner]);
    let found = said_of(plan, &Case::default(), &[lead(), other]);
    let one = the(&found, "join-without-index");
    assert_eq!(
        how(one),
        "CREATE INDEX CONCURRENTLY ON public.lead (parent);"
    );
}

#[test]
fn rows_that_came_unexpected_ask_for_statistics_on_all_columns_together() {
    let filter = "((l.status = 'a'::text) AND ((l.email)::text = 'b'::text))";
    let node = ran(scan("Seq Scan", 20_000.0, 3.0, filter), 50.0, 90_000.0, 1.0);
    let found = said(node, &Case::default());
    let one = the(&found, "misestimate");
    assert_eq!(one.impact, Impact::High);
    assert!(
        how(one).starts_with(
            "CREATE STATISTICS \"lead_status_email_stat\" (ndistinct, dependencies, mcv) ON \
             status, email FROM public.lead; ANALYZE"
        ),
        "{one:?}"
    );
    let node = ran(
        scan("Seq Scan", 20_000.0, 3.0, "(l.status = 'a'::text)"),
        50.0,
        9_000.0,
        1.0,
    );
    assert!(how(the(&said(node, &Case::default()), "misestimate")).contains("SET STATISTICS 1000"));
    let node = ran(scan("Seq Scan", 20_000.0, 3.0, filter), 50.0, 40.0, 1.0);
    assert!(!ids(&said(node, &Case::default())).contains(&"misestimate"));
}

#[test]
fn a_table_without_statistics_is_told_before_anything_else_of_it() {
    let mut unknown = lead();
    for column in &mut unknown.columns {
        column.distinct = None;
    }
    let plan = scan("Seq Scan", 20_000.0, 500_000.0, "(l.status = 'a'::text)");
    let found = said_of(plan, &Case::default(), &[unknown]);
    assert_eq!(how(the(&found, "no-statistics")), "ANALYZE public.lead;");
}

#[test]
fn what_does_not_fit_into_memory_is_told_with_a_figure() {
    let whole = scan("Seq Scan", 20_000.0, 1e6, "(l.id > 0)");
    let mut sort = above("Sort", 90_000.0, 1e6, vec![whole.clone()]);
    sort.sort_key = vec!["l.created".to_owned()];
    let found = said(sort.clone(), &Case::default());
    let one = the(&found, "sort-spill");
    assert!(
        one.description
            .contains("1,000,000 rows by l.created will go to disk"),
        "{one:?}"
    );
    assert!(
        how(one).starts_with("SET LOCAL work_mem = '128MB';"),
        "{one:?}"
    );
    // Under a LIMIT it keeps the best few.
    let top = above("Limit", 90_000.0, 20.0, vec![sort.clone()]);
    assert!(!ids(&said(top, &Case::default())).contains(&"sort-spill"));
    sort.plans = vec![ran(whole, 100.0, 1e6, 1.0)];
    let mut after = ran(sort, 900.0, 1e6, 1.0);
    assert!(!ids(&said(after.clone(), &Case::default())).contains(&"sort-spill"));
    after.spill = Some(spilled(30.0));
    let found = said(after, &Case::default());
    assert!(
        how(the(&found, "sort-spill")).contains("'64MB'"),
        "{found:?}"
    );
}

#[test]
fn compiling_that_takes_as_long_as_running_is_told() {
    let case = |ms: f64| Case {
        jit: Some(Jit {
            functions: 40.0,
            total_ms: Some(ms),
        }),
        ..Case::default()
    };
    let plan = || {
        ran(
            scan("Seq Scan", 200_000.0, 10.0, "(l.id > 0)"),
            300.0,
            10.0,
            1.0,
        )
    };
    let found = said(plan(), &case(180.0));
    assert!(how(the(&found, "jit")).starts_with("SET LOCAL jit = off"));
    assert!(!ids(&said(plan(), &case(30.0))).contains(&"jit"));
}

#[test]
fn a_part_of_with_that_is_mostly_thrown_away_is_told() {
    let mut part = scan("Seq Scan", 20_000.0, 1e6, "(l.id > 0)");
    part.subplan_name = Some("CTE recent".to_owned());
    part.parent_relationship = Some("InitPlan".to_owned());
    let mut top = above("CTE Scan", 42_000.0, 50.0, vec![part]);
    top.cte_name = Some("recent".to_owned());
    top.conditions = scan("", 0.0, 0.0, "(recent.status = 'a'::text)").conditions;
    let found = said(top.clone(), &Case::default());
    assert!(how(the(&found, "cte-materialised")).starts_with("WITH recent AS NOT MATERIALIZED"));
    top.plan_rows = 900_000.0;
    assert!(!ids(&said(top, &Case::default())).contains(&"cte-materialised"));
}

#[test]
fn partitions_that_are_all_read_are_told_with_their_key() {
    let parts: Vec<Partition> = (0..6)
        .map(|n| Partition {
            schema: "public".to_owned(),
            name: format!("lead_{n}"),
            parent: "public.lead".to_owned(),
            key: "RANGE (created)".to_owned(),
            siblings: 6,
        })
        .collect();
    let scans = |count: usize| {
        let scans = (0..count).map(|n| {
            let mut node = scan("Seq Scan", 100.0, 10.0, "(l.id = 1)");
            node.relation = Some(format!("lead_{n}"));
            node
        });
        above("Append", 600.0, 60.0, scans.collect())
    };
    let case = Case {
        partitions: parts,
        ..Case::default()
    };
    let found = said(scans(6), &case);
    let one = the(&found, "partition-pruning");
    assert_eq!(one.kind, RecommendationKind::Partition);
    assert!(
        one.description.contains("all 6 partitions of public.lead"),
        "{one:?}"
    );
    assert!(!ids(&said(scans(1), &case)).contains(&"partition-pruning"));
}

#[test]
fn a_range_of_time_of_a_huge_table_asks_for_partitions() {
    let mut huge = lead();
    huge.pages = 4e6;
    let filter = "(l.created >= '2024-01-01'::timestamp without time zone)";
    let plan = || scan("Seq Scan", 20_000.0, 900_000.0, filter);
    let found = said_of(plan(), &Case::default(), &[huge]);
    let one = the(&found, "partition-by-time");
    assert!(one.description.contains("takes 31 GB"), "{one:?}");
    assert!(!ids(&said(plan(), &Case::default())).contains(&"partition-by-time"));
}

#[test]
fn the_same_advice_is_given_once_and_the_weightiest_first() {
    let one = |share: f64, text: &str| {
        say(
            RecommendationKind::Rewrite,
            "r",
            share,
            text.to_owned(),
            Some(text.to_owned()),
        )
    };
    let kept = tidy(vec![one(0.01, "a"), one(0.9, "b"), one(0.01, "a")]);
    let texts: Vec<&str> = kept.iter().map(|one| one.description.as_str()).collect();
    assert_eq!(texts, ["b", "a"]);
}

#[test]
fn quantities_are_written_for_people() {
    assert_eq!(count(1_234_567.4), "1,234,567");
    assert_eq!(count(0.0), "0");
    assert_eq!(bytes(1_536.0), "1.5 kB");
    assert_eq!(bytes(33e9), "31 GB");
}
