//! Each habit is told from the platform's own statements, and its innocent look-alikes are not.

use super::*;
use crate::advise::checks::fixture::{index, quiet, table, thresholds};
use crate::model::structure::{Repeat, Slowdown};

fn statement(query: &str, calls: u64, (blocks, rows): (u64, u64)) -> Statement {
    Statement {
        query_id: 7,
        query: query.into(),
        calls,
        rows: rows * calls,
        shared_blks_hit: blocks * calls,
        ..Statement::default()
    }
}

/// Leads of 64 MB, carriers of 60 rows.
fn with(statements: Vec<Statement>) -> Snapshot {
    let lead = Table {
        table_bytes: 64 << 20,
        seq_scan: 500,
        ..table("Lead", 200_000)
    };
    let carrier = Table {
        oid: 60,
        table_bytes: 16_384,
        seq_scan: 90_000,
        ..table("Carrier", 60)
    };
    Snapshot {
        tables: vec![lead, carrier],
        statements,
        ..quiet()
    }
}

fn proposed(query: &str) -> Option<String> {
    let snapshot = with(vec![statement(query, 100, (8_100, 15))]);
    let drafts = missing_index(&snapshot, thresholds());
    drafts.into_iter().next()?.cure.map(|cure| cure.sql)
}

#[test]
fn a_search_that_reads_the_whole_table_gets_its_index() {
    let page = "SELECT * FROM \"Lead\" WHERE \"zipCode\" = $1 AND \"insuranceType\" = $2 \
                ORDER BY \"createdAt\" DESC LIMIT $3";
    assert_eq!(
        proposed(page).as_deref(),
        Some(
            "CREATE INDEX CONCURRENTLY ON \"public\".\"Lead\" (\"zipCode\", \"insuranceType\", \
             \"createdAt\");"
        )
    );
    let search = "SELECT * FROM \"Lead\" WHERE \"email\" ILIKE $1 OR \"phone\" ILIKE $1 LIMIT $2";
    assert!(
        proposed(search)
            .unwrap()
            .contains("USING gin (\"email\" gin_trgm_ops, \"phone\"")
    );
    let tags = "SELECT * FROM \"Lead\" WHERE \"tags\" @> ARRAY[$1] LIMIT $2";
    assert!(proposed(tags).unwrap().contains("USING gin (\"tags\")"));
}

#[test]
fn a_document_s_key_is_told_without_a_statement_that_cannot_be_known() {
    let query = "SELECT * FROM \"Lead\" WHERE \"metadata\" ->> $1 = $2 LIMIT $3";
    let snapshot = with(vec![statement(query, 100, (8_100, 15))]);
    let drafts = missing_index(&snapshot, thresholds());
    assert_eq!((drafts.len(), &drafts[0].cure), (1, &None));
}

#[test]
fn small_tables_reports_and_good_searches_are_left_alone() {
    let innocent = [
        // R18: all of a tiny table is the right way to read it.
        (
            "SELECT * FROM \"Carrier\" WHERE \"isActive\" = $1 LIMIT $2",
            (2, 20),
        ),
        (
            "SELECT \"status\", count(*) FROM \"Lead\" WHERE \"createdAt\" >= $1 GROUP BY 1",
            (8_279, 6),
        ),
        ("SELECT * FROM \"Lead\" WHERE \"id\" = $1", (4, 1)),
        (
            "SELECT * FROM \"Lead\" WHERE \"createdAt\" >= $1",
            (8_100, 150_000),
        ),
        (
            "SELECT * FROM \"Lead\" l JOIN \"Agent\" a ON l.a = a.id WHERE l.x = $1",
            (8_100, 3),
        ),
    ];
    for (query, cost) in innocent {
        let snapshot = with(vec![statement(query, 1_000, cost)]);
        assert!(missing_index(&snapshot, thresholds()).is_empty(), "{query}");
    }
}

#[test]
fn an_index_that_is_there_is_not_proposed_again() {
    let query = "SELECT * FROM \"Lead\" WHERE \"zipCode\" = $1 LIMIT $2";
    let mut snapshot = with(vec![statement(query, 100, (8_100, 15))]);
    snapshot.indexes = vec![index("z", &["\"zipCode\"", "x"])];
    assert_eq!(missing_index(&snapshot, thresholds())[0].cure, None);
}

#[test]
fn results_without_a_bound_are_told_and_bounded_ones_not() {
    let told = |query: &str, rows| {
        unbounded(
            &with(vec![statement(query, 20, (9_000, rows))]),
            thresholds(),
        )
        .len()
    };
    assert_eq!(
        told("SELECT * FROM \"Lead\" WHERE \"createdAt\" >= $1", 180_000),
        1
    );
    assert_eq!(told("SELECT * FROM \"Lead\" LIMIT $1", 50_000), 0);
    assert_eq!(
        told("SELECT * FROM \"Lead\" WHERE x = $1", 1_500),
        0,
        "a small part"
    );
    assert_eq!(
        told("SELECT * FROM \"Carrier\"", 60),
        0,
        "all of a tiny table"
    );
    assert_eq!(told("INSERT INTO \"Lead\" SELECT * FROM old", 500_000), 0);
    assert_eq!(told("COPY \"Lead\" TO STDOUT", 500_000), 0);
}

#[test]
fn deep_pages_are_told_with_or_without_an_order() {
    let told = |query: &str, cost| {
        let drafts = deep_offset(&with(vec![statement(query, 50, cost)]), thresholds());
        drafts.first().map(|draft| draft.advice.clone())
    };
    let ordered = "SELECT * FROM \"Lead\" WHERE s = $1 ORDER BY c DESC LIMIT $2 OFFSET $3";
    assert!(told(ordered, (8_315, 20)).unwrap().starts_with("Page by"));
    assert_eq!(told(ordered, (23, 20)), None, "the first pages are cheap");
    let unordered = "SELECT * FROM \"Lead\" WHERE q IS NULL LIMIT $1 OFFSET $2";
    assert!(
        told(unordered, (6_307, 100))
            .unwrap()
            .starts_with("Give it an order")
    );
    let counted = "SELECT count(*) FROM (SELECT id FROM \"Lead\" OFFSET $1) sub";
    assert_eq!(told(counted, (8_000, 1)), None);
}

fn repeated(query: &str, bursts: u32, rows: f64) -> Snapshot {
    let list = Statement {
        query_id: 1,
        ..statement("SELECT id FROM \"Lead\" LIMIT $1", 4, (10, 100))
    };
    let mut snapshot = with(vec![list, statement(query, 900, (4, 1))]);
    snapshot.repeats = vec![Repeat {
        list_id: 1,
        each_id: 7,
        bursts,
        rows,
        calls_per_row: 2.0,
    }];
    snapshot
}

#[test]
fn one_by_one_is_told_once_it_was_seen_often_enough() {
    let each = "SELECT * FROM \"Lead\" WHERE \"id\" = $1";
    let drafts = n_plus_one(&repeated(each, 4, 100.0), thresholds());
    assert!(drafts[0].title.contains("twice for each row"));
    assert!(n_plus_one(&repeated(each, 1, 100.0), thresholds()).is_empty());
    assert!(n_plus_one(&repeated(each, 9, 3.0), thresholds()).is_empty());
    let write = "UPDATE \"Lead\" SET s = $1 WHERE \"id\" = $2";
    assert!(n_plus_one(&repeated(write, 4, 100.0), thresholds()).is_empty());
}

fn slowed(blocks: (f64, f64), rows: (f64, f64), ms: (f64, f64)) -> (usize, usize) {
    let mut snapshot = with(vec![statement(
        "SELECT * FROM \"Lead\" WHERE a = $1",
        9,
        (1, 1),
    )]);
    snapshot.slowdowns = vec![Slowdown {
        query_id: 7,
        against: "last week".into(),
        mean_ms: ms,
        blocks_per_call: blocks,
        rows_per_call: rows,
        calls: (500.0, 500.0),
    }];
    (
        plan_change(&snapshot, thresholds()).len(),
        statement_slower(&snapshot, thresholds()).len(),
    )
}

#[test]
fn a_new_plan_is_told_apart_from_a_slow_day_and_from_more_work() {
    let one = (1.0, 1.0);
    assert_eq!(slowed((10.0, 9_000.0), one, (1.0, 50.0)), (1, 0));
    assert_eq!(slowed((10.0, 10.0), one, (5.0, 50.0)), (0, 1));
    assert_eq!(slowed((10.0, 10.0), one, (5.0, 6.0)), (0, 0));
    assert_eq!(slowed((10.0, 100.0), (10.0, 100.0), (5.0, 50.0)), (0, 0));
    assert_eq!(
        slowed((10.0, 9_000.0), one, (0.01, 0.05)),
        (0, 0),
        "too short to matter"
    );
}
