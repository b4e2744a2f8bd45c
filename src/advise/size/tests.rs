//! Sizes against indexes that PostgreSQL 15 really built over TPC-H's tables (scale 1), whose counts
//! are known from its specification: 6,001,215 rows in lineitem, 1,500,000 orders.

use super::pages::{Groups, bytes, tuple};

/// Within a tenth, as promised.
fn near(ours: u64, built_mb: f64) {
    let ratio = ours as f64 / 1e6 / built_mb;
    assert!(
        (0.9..1.1).contains(&ratio),
        "{ours} against {built_mb} MB: {ratio}"
    );
}

#[test]
fn keys_of_few_repetitions_are_near_what_was_built() {
    // (l_orderkey): 1 to 7 rows each, evenly; built 77.9 MB.
    let orders = Groups::Seen(vec![1, 2, 3, 4, 5, 6, 7]);
    near(bytes(6_001_215.0, &[tuple(4.0, false)], &orders), 77.9);
    // (l_partkey): 200,000 parts; built 45.1 MB.
    let parts = Groups::Spread { mean: 30.0 };
    near(bytes(6_001_215.0, &[tuple(4.0, false)], &parts), 45.1);
    // (l_partkey, l_suppkey): 800,000 pairs; built 60.9 MB.
    let pairs = Groups::Spread { mean: 7.5 };
    near(bytes(6_001_215.0, &[tuple(8.0, false)], &pairs), 60.9);
    // (o_custkey): 99,996 customers have orders; built 12.6 MB.
    let customers = Groups::Spread { mean: 15.0 };
    near(bytes(1_500_000.0, &[tuple(4.0, false)], &customers), 12.6);
}

#[test]
fn keys_of_many_repetitions_are_near_what_was_built() {
    // (l_suppkey): 10,000 suppliers; built 42.6 MB. (l_shipdate): 2,526 days; 42.7 MB.
    let suppliers = Groups::Spread { mean: 600.0 };
    near(bytes(6_001_215.0, &[tuple(4.0, false)], &suppliers), 42.6);
    let days = Groups::Spread { mean: 2_375.0 };
    near(bytes(6_001_215.0, &[tuple(4.0, false)], &days), 42.7);
    // (o_orderdate): 2,406 days; built 10.9 MB. (p_type): 150 types of some 21 bytes; 1.5 MB.
    let dates = Groups::Spread { mean: 623.0 };
    near(bytes(1_500_000.0, &[tuple(4.0, false)], &dates), 10.9);
    let types = Groups::Spread { mean: 1_333.0 };
    near(bytes(200_000.0, &[tuple(22.0, false)], &types), 1.5);
}

#[test]
fn tuples_that_are_not_shared_are_near_what_was_built() {
    // (l_orderkey, l_quantity): a numeric of 5 bytes; built 189.3 MB.
    near(
        bytes(6_001_215.0, &[tuple(9.0, false)], &Groups::Single),
        189.3,
    );
    // (o_orderkey, o_orderpriority): 16 bytes of text; built 60.8 MB.
    near(
        bytes(1_500_000.0, &[tuple(20.0, false)], &Groups::Single),
        60.8,
    );
}

#[test]
fn an_index_over_nothing_has_two_pages() {
    assert_eq!(bytes(0.0, &[], &Groups::Single), 3 * 8_192 - 8_192);
}

/// `(l_shipinstruct, l_partkey)` where `l_shipmode` is AIR: four kinds, 200,000 parts; built 31.1 MB.
#[test]
fn a_thin_sample_of_a_pair_leaves_the_word_to_the_columns() {
    use super::*;
    use crate::advise::candidates::Key;
    use crate::advise::relation::Column;
    let column = |distinct: f64, fixed_width: Option<u16>, align: u16| Column {
        distinct: Some(distinct),
        fixed_width,
        align,
        is_deduplicable: true,
        is_orderable: true,
        ..Column::default()
    };
    // Nearly every pair was met once: the few that were met twice say little.
    let rows: u64 = 4_285;
    let part = |row: u64| if row % 500 == 1 { row - 1 } else { row };
    let sample = Sample {
        pages: 900,
        page_of: (0..rows)
            .map(|row| u32::try_from(row / 5).unwrap())
            .collect(),
        columns: vec![0, 1],
        hashes: vec![
            vec![7; usize::try_from(rows).unwrap()],
            (0..rows).map(|row| 1_000 + part(row * 7 % rows)).collect(),
        ],
        widths: vec![vec![26; 4_285], vec![4; 4_285]],
        predicates: Vec::new(),
    };
    let relation = Relation {
        rows: 857_000.0,
        pages: 112_000.0,
        columns: vec![column(4.0, None, 4), column(200_000.0, Some(4), 4)],
        sample: Some(sample),
        ..Relation::default()
    };
    let candidate = Candidate {
        relation: 0,
        keys: vec![Key::plain(0), Key::plain(1)],
        include: Vec::new(),
        predicate: None,
    };
    near(of(&candidate, &relation).bytes, 31.1);
}
