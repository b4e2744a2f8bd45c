//! Statements and habits of the application.

use super::{Fires, Quiet, index, set, statement, table};
use crate::model::database::{Index, Snapshot, Statement, Table};
use crate::model::structure::{Repeat, Slowdown};

const SEARCH: &str =
    r#"SELECT * FROM "Lead" WHERE "zipCode" = $1 ORDER BY "createdAt" DESC LIMIT $2"#;
const PAGE: &str =
    r#"SELECT * FROM "Lead" WHERE "status" = $1 ORDER BY "createdAt" DESC LIMIT $2 OFFSET $3"#;

/// Leads of 64 MB, carriers of 60 rows.
fn with(snapshot: &mut Snapshot, statements: Vec<Statement>) {
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
    let key = Index {
        is_primary: true,
        is_unique: true,
        is_constraint: true,
        ..index("Lead_pkey", &["id"])
    };
    snapshot.tables = vec![lead, carrier];
    snapshot.indexes = vec![key];
    snapshot.statements = statements;
}

fn slow(snapshot: &mut Snapshot, calls: u64, mean: f64) {
    let slow = Statement {
        mean_exec_time: mean,
        total_exec_time: mean * calls as f64,
        ..statement(SEARCH, calls, (5, 5))
    };
    with(snapshot, vec![slow]);
}

fn spills(snapshot: &mut Snapshot, calls: u64, blocks: u64) {
    set(snapshot, "work_mem", "4096");
    let spilling = Statement {
        temp_blks_written: blocks,
        ..statement(SEARCH, calls, (5, 5))
    };
    with(snapshot, vec![spilling]);
}

fn cache(snapshot: &mut Snapshot, hit: u64, read: u64) {
    let one = Statement {
        shared_blks_hit: hit,
        shared_blks_read: read,
        ..statement(SEARCH, 1, (5, 5))
    };
    with(snapshot, vec![one]);
}

/// A list of rows, and a statement that runs for each of them.
fn each(snapshot: &mut Snapshot, query: &str, (bursts, rows): (u32, f64)) {
    let list = Statement {
        query_id: 1,
        ..statement(r#"SELECT "id" FROM "Lead" LIMIT $1"#, 50, (5, 100))
    };
    with(snapshot, vec![list, statement(query, 5_000, (4, 1))]);
    snapshot.repeats = vec![Repeat {
        list_id: 1,
        each_id: 7,
        bursts,
        rows,
        calls_per_row: 1.0,
    }];
}

fn slower(snapshot: &mut Snapshot, ms: (f64, f64), blocks: (f64, f64), rows: (f64, f64)) {
    with(snapshot, vec![statement(SEARCH, 100, (5, 5))]);
    snapshot.slowdowns = vec![Slowdown {
        query_id: 7,
        against: "last week".into(),
        mean_ms: ms,
        blocks_per_call: blocks,
        rows_per_call: rows,
        calls: (900.0, 900.0),
    }];
}

pub(super) const FIRES: &[Fires] = &[
    ("slow-statement", |s| slow(s, 100, 200.0)),
    ("temp-spill", |s| spills(s, 100, 200_000)),
    ("cache-hit-low", |s| cache(s, 800_000, 400_000)),
    ("missing-index", |s| {
        with(s, vec![statement(SEARCH, 100, (8_100, 15))]);
    }),
    ("unbounded-result", |s| {
        with(
            s,
            vec![statement(r#"SELECT * FROM "Lead""#, 5, (8_192, 200_000))],
        );
    }),
    ("deep-offset", |s| {
        with(s, vec![statement(PAGE, 50, (8_315, 20))]);
    }),
    ("n-plus-one", |s| {
        each(s, r#"SELECT * FROM "Lead" WHERE "id" = $1"#, (5, 100.0));
    }),
    ("plan-change", |s| {
        slower(s, (2.0, 9.0), (10.0, 900.0), (5.0, 5.0));
    }),
    ("statement-slower", |s| {
        slower(s, (2.0, 9.0), (10.0, 10.0), (5.0, 5.0));
    }),
];

pub(super) const QUIET: &[Quiet] = &[
    ("slow-statement", "a report that runs now and then", |s| {
        slow(s, 5, 9_000.0);
    }),
    (
        "slow-statement",
        "a fast statement of very many calls",
        |s| slow(s, 1_000_000, 0.2),
    ),
    ("temp-spill", "a few blocks a call", |s| {
        spills(s, 1_000_000, 200_000);
    }),
    ("temp-spill", "one sort of some megabytes", |s| {
        spills(s, 1, 1_000);
    }),
    ("cache-hit-low", "too few blocks to tell", |s| {
        cache(s, 80, 40);
    }),
    ("cache-hit-low", "a cache that serves", |s| {
        cache(s, 2_000_000, 20_000);
    }),
    (
        "missing-index",
        "all of a table of sixty rows, read as it should be",
        |s| {
            let carriers =
                r#"SELECT * FROM "Carrier" WHERE "isActive" AND "partnershipStatus" = $1 LIMIT $2"#;
            with(s, vec![statement(carriers, 90_000, (2, 20))]);
        },
    ),
    (
        "missing-index",
        "a count, which must read what it counts",
        |s| {
            let count = r#"SELECT count(*) FROM "Lead" WHERE "status" = $1"#;
            with(s, vec![statement(count, 100, (8_100, 1))]);
        },
    ),
    (
        "missing-index",
        "a search that gives a good part of the table",
        |s| {
            with(s, vec![statement(SEARCH, 100, (8_100, 60_000))]);
        },
    ),
    ("missing-index", "a search that its index leads to", |s| {
        with(s, vec![statement(SEARCH, 100, (9, 15))]);
    }),
    ("missing-index", "a statement that ran a few times", |s| {
        with(s, vec![statement(SEARCH, 3, (8_100, 15))]);
    }),
    ("unbounded-result", "a page with a limit", |s| {
        with(
            s,
            vec![statement(
                r#"SELECT * FROM "Lead" LIMIT $1"#,
                5,
                (8_192, 20_000),
            )],
        );
    }),
    ("unbounded-result", "all of a table of sixty rows", |s| {
        with(
            s,
            vec![statement(r#"SELECT * FROM "Carrier""#, 5_000, (2, 60))],
        );
    }),
    ("unbounded-result", "an export that ran once", |s| {
        with(
            s,
            vec![statement(r#"SELECT * FROM "Lead""#, 1, (8_192, 200_000))],
        );
    }),
    ("unbounded-result", "groups", |s| {
        let groups = r#"SELECT "status", count(*) FROM "Lead" GROUP BY "status""#;
        with(s, vec![statement(groups, 500, (8_192, 6))]);
    }),
    ("deep-offset", "the first pages", |s| {
        with(s, vec![statement(PAGE, 5_000, (23, 20))]);
    }),
    ("deep-offset", "pages by the last row seen", |s| {
        with(s, vec![statement(SEARCH, 50, (8_315, 20))]);
    }),
    ("n-plus-one", "a list that came with a burst once", |s| {
        each(s, r#"SELECT * FROM "Lead" WHERE "id" = $1"#, (1, 100.0));
    }),
    ("n-plus-one", "a list of five rows", |s| {
        each(s, r#"SELECT * FROM "Lead" WHERE "id" = $1"#, (9, 5.0));
    }),
    (
        "n-plus-one",
        "a job that writes for each row of its list",
        |s| {
            each(
                s,
                r#"UPDATE "Lead" SET "status" = $1 WHERE "id" = $2"#,
                (9, 100.0),
            );
        },
    ),
    ("n-plus-one", "a statement that looks nothing up", |s| {
        each(s, r"SELECT now()", (9, 100.0));
    }),
    ("plan-change", "more rows asked for", |s| {
        slower(s, (2.0, 9.0), (10.0, 45.0), (5.0, 23.0));
    }),
    ("plan-change", "a statement under a millisecond", |s| {
        slower(s, (0.02, 0.4), (2.0, 9.0), (1.0, 1.0));
    }),
    (
        "plan-change",
        "the same blocks, which statement-slower tells",
        |s| {
            slower(s, (2.0, 9.0), (10.0, 10.0), (5.0, 5.0));
        },
    ),
    ("statement-slower", "a third longer", |s| {
        slower(s, (3.0, 4.0), (10.0, 10.0), (5.0, 5.0));
    }),
    ("statement-slower", "more rows in more time", |s| {
        slower(s, (2.0, 9.0), (10.0, 19.0), (5.0, 25.0));
    }),
];
