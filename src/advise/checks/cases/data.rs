//! Tables, keys, sequences, bloat, vacuum.

use super::{Fires, Quiet, index, set, statement, table};
use crate::model::database::{Index, Sequence, SequenceColumn, Snapshot, Table};
use crate::model::structure::{
    ColumnForm, ExtendedStatistics, ForeignKey, IndexForm, TableForm, Unvalidated,
};

const MB: u64 = 1_000_000;

fn only(snapshot: &mut Snapshot, table: Table) {
    snapshot.tables = vec![table];
}

fn key(types: (&str, &str), is_indexed: bool, rows: u64) -> impl Fn(&mut Snapshot) {
    let key = ForeignKey {
        name: "item_order".into(),
        table_oid: 1_000,
        columns: vec!["orderId".into()],
        target_oid: 7,
        types: vec![types.0.into()],
        target_types: vec![types.1.into()],
        is_indexed,
    };
    move |snapshot| {
        let parent = Table {
            oid: 7,
            n_tup_del: 3,
            ..table("Order", 1_000)
        };
        snapshot.tables = vec![table("Item", rows), parent];
        snapshot.structure.foreign_keys = vec![key.clone()];
    }
}

fn sequence(last_value: Option<i64>, column: Option<SequenceColumn>) -> Sequence {
    Sequence {
        schema: "public".into(),
        name: "lead_id_seq".into(),
        last_value,
        first_value: 1,
        max_value: i64::from(i32::MAX),
        column,
    }
}

fn column(is_narrow: bool, is_identity: bool) -> SequenceColumn {
    SequenceColumn {
        schema: "public".into(),
        table: "lead".into(),
        name: "id".into(),
        is_narrow,
        is_identity,
    }
}

fn int(distinct: f64) -> ColumnForm {
    ColumnForm {
        length: 4,
        align: 4,
        width: Some(4.0),
        null_share: Some(0.0),
        distinct: Some(distinct),
    }
}

/// A B-tree of so many bytes over columns with so many different values each.
fn btree(snapshot: &mut Snapshot, (rows, bytes): (u64, u64), distinct: &[f64]) {
    let names = ["grp", "kind"];
    snapshot.tables = vec![table("bl", rows)];
    snapshot.indexes = vec![Index {
        size_bytes: bytes,
        ..index("bl_grp", &names[..distinct.len()])
    }];
    snapshot.structure.page_bytes = 8_192;
    snapshot.structure.indexes = vec![IndexForm {
        oid: 2_000,
        columns: distinct.iter().map(|count| int(*count)).collect(),
        key_columns: distinct.len(),
        names: names[..distinct.len()]
            .iter()
            .map(|n| (*n).into())
            .collect(),
        is_image_equal: true,
        ..IndexForm::default()
    }];
}

/// A heap of so many bytes with a million rows of 36 bytes each.
fn heap(snapshot: &mut Snapshot, bytes: u64) {
    snapshot.tables = vec![Table {
        table_bytes: bytes,
        ..table("bl", 1_000_000)
    }];
    snapshot.structure.page_bytes = 8_192;
    snapshot.structure.tables = vec![TableForm {
        oid: 1_000,
        columns: vec![int(-1.0), int(-1.0)],
    }];
}

fn huge(options: &[&str]) -> Table {
    Table {
        n_tup_upd: 5_000_000,
        index_bytes: 1 << 30,
        options: options.iter().map(|o| (*o).to_owned()).collect(),
        ..table("lead", 100_000_000)
    }
}

fn updated(hot: u64) -> Table {
    Table {
        n_tup_upd: 100_000,
        n_tup_hot_upd: hot,
        ..table("lead", 50_000)
    }
}

fn dead(rows: u64, dead: u64) -> Table {
    Table {
        n_dead_tup: dead,
        ..table("busy", rows)
    }
}

fn changed(rows: u64, changes: u64) -> Table {
    Table {
        n_mod_since_analyze: changes,
        ..table("busy", rows)
    }
}

pub(super) const FIRES: &[Fires] = &[
    ("dead-rows", |s| only(s, dead(100_000, 90_000))),
    ("dead-rows", |s| {
        let off = vec!["autovacuum_enabled=off".to_owned()];
        let late = Table {
            options: off,
            ..dead(100_000, 30_000)
        };
        only(s, late);
    }),
    ("stale-statistics", |s| only(s, changed(20_000, 15_000))),
    ("stale-statistics", |s| {
        only(
            s,
            Table {
                row_estimate: None,
                ..table("fresh", 20_000)
            },
        );
    }),
    ("no-primary-key", |s| {
        only(
            s,
            Table {
                has_primary_key: false,
                ..table("log", 5)
            },
        );
    }),
    ("no-primary-key", |s| {
        only(
            s,
            Table {
                has_primary_key: false,
                ..table("log", 5)
            },
        );
        s.indexes = vec![Index {
            is_unique: true,
            ..index("u", &["a"])
        }];
    }),
    ("sequence-exhaustion", |s| {
        s.sequences = vec![sequence(Some(2_000_000_000), None)];
    }),
    ("sequence-exhaustion", |s| {
        s.sequences = vec![sequence(Some(2_000_000_000), Some(column(true, false)))];
    }),
    ("sequence-exhaustion", |s| {
        s.sequences = vec![sequence(Some(2_000_000_000), Some(column(true, true)))];
    }),
    ("foreign-key-without-index", |s| {
        key(("integer", "integer"), false, 500_000)(s);
    }),
    ("foreign-key-type", |s| {
        key(("integer", "bigint"), true, 500_000)(s);
    }),
    ("constraint-not-valid", |s| {
        s.structure.unvalidated.push(Unvalidated {
            name: "positive".into(),
            schema: "public".into(),
            table: "lead".into(),
            definition: "CHECK".into(),
        });
    }),
    ("table-bloat", |s| heap(s, 400 * MB)),
    ("index-bloat", |s| {
        btree(s, (4_000_000, 73 * MB), &[10_000.0]);
    }),
    ("correlated-columns", |s| {
        btree(s, (6_001_215, 60_900_000), &[200_000.0, 10_000.0]);
    }),
    ("autovacuum-off-table", |s| {
        only(s, huge(&["autovacuum_enabled=false"]));
    }),
    ("vacuum-settings", |s| only(s, huge(&[]))),
    ("vacuum-memory", |s| {
        only(s, huge(&[]));
        set(s, "maintenance_work_mem", "65536");
    }),
    ("lost-hot-updates", |s| only(s, updated(1_000))),
    ("lost-hot-updates", |s| {
        only(s, updated(1_000));
        s.indexes = vec![index("by_status", &["status"])];
        s.statements = vec![statement(
            "UPDATE lead SET status = $1 WHERE id = $2",
            9,
            (4, 1),
        )];
    }),
];

pub(super) const QUIET: &[Quiet] = &[
    ("dead-rows", "less than twice what starts autovacuum", |s| {
        only(s, dead(100_000, 30_000));
    }),
    ("dead-rows", "a small table", |s| only(s, dead(10, 9_000))),
    ("dead-rows", "a standby, which cannot vacuum", |s| {
        only(s, dead(100_000, 90_000));
        s.server.in_recovery = true;
    }),
    (
        "stale-statistics",
        "fewer changes than start ANALYZE",
        |s| {
            only(s, changed(500_000, 40_000));
        },
    ),
    (
        "stale-statistics",
        "a table that was analysed before the counters were reset",
        |s| {
            only(s, table("fresh", 20_000));
        },
    ),
    ("stale-statistics", "a standby", |s| {
        only(s, changed(20_000, 15_000));
        s.server.in_recovery = true;
    }),
    ("no-primary-key", "an empty table", |s| {
        only(
            s,
            Table {
                has_primary_key: false,
                ..table("log", 0)
            },
        );
    }),
    (
        "sequence-exhaustion",
        "a sequence with half of its numbers left",
        |s| {
            s.sequences = vec![sequence(Some(1_000_000_000), Some(column(true, false)))];
        },
    ),
    (
        "sequence-exhaustion",
        "one that was never used or is hidden",
        |s| {
            s.sequences = vec![sequence(None, None)];
        },
    ),
    ("foreign-key-without-index", "a small table", |s| {
        key(("integer", "integer"), false, 60)(s);
    }),
    (
        "foreign-key-without-index",
        "an index that begins with its columns",
        |s| {
            key(("integer", "integer"), true, 500_000)(s);
        },
    ),
    ("foreign-key-type", "one type", |s| {
        key(("bigint", "bigint"), true, 500_000)(s);
    }),
    (
        "foreign-key-type",
        "text and varchar, which are compared as they are",
        |s| {
            key(("text", "character varying"), true, 500_000)(s);
        },
    ),
    (
        "constraint-not-valid",
        "constraints that were checked",
        |s| {
            key(("integer", "integer"), true, 500_000)(s);
        },
    ),
    ("table-bloat", "a fifth of free room", |s| heap(s, 45 * MB)),
    (
        "table-bloat",
        "rows that the counters forgot in a crash",
        |s| {
            heap(s, 90 * MB);
            s.tables[0].row_estimate = Some(10_000_000.0);
            s.tables[0].table_bytes = 400 * MB;
            s.tables[0].n_live_tup = 100;
        },
    ),
    ("table-bloat", "a small table, however empty", |s| {
        heap(s, 90 * MB);
    }),
    (
        "table-bloat",
        "columns that were never analysed or are hidden",
        |s| {
            heap(s, 400 * MB);
            s.structure.tables[0].columns[0].width = None;
            s.structure.tables[0].columns[0].length = -1;
        },
    ),
    ("index-bloat", "an index as it was built", |s| {
        btree(s, (4_000_000, 29 * MB), &[10_000.0]);
    }),
    (
        "index-bloat",
        "pages that inserts in any order have split",
        |s| {
            btree(s, (4_000_000, 40 * MB), &[10_000.0]);
        },
    ),
    (
        "index-bloat",
        "a count of keys that ANALYZE may have taken too low",
        |s| {
            btree(s, (6_001_215, 78 * MB), &[370_000.0]);
        },
    ),
    (
        "index-bloat",
        "columns that were never analysed or are hidden",
        |s| {
            btree(s, (4_000_000, 730 * MB), &[10_000.0]);
            s.structure.indexes[0].columns[0].null_share = None;
        },
    ),
    ("correlated-columns", "columns that are independent", |s| {
        btree(s, (6_001_215, 135_000_000), &[200_000.0, 10_000.0]);
    }),
    (
        "correlated-columns",
        "columns with extended statistics",
        |s| {
            btree(s, (6_001_215, 60_900_000), &[200_000.0, 10_000.0]);
            s.structure.extended = vec![ExtendedStatistics {
                table_oid: 1_000,
                columns: vec!["kind".into(), "grp".into()],
            }];
        },
    ),
    ("autovacuum-off-table", "other options", |s| {
        only(s, huge(&["fillfactor=80"]));
    }),
    ("autovacuum-off-table", "autovacuum that is set on", |s| {
        only(s, huge(&["autovacuum_enabled=true"]));
    }),
    (
        "vacuum-settings",
        "a huge table with a share of its own",
        |s| {
            only(s, huge(&["autovacuum_vacuum_scale_factor=0.01"]));
        },
    ),
    ("vacuum-settings", "a huge table that is only read", |s| {
        only(
            s,
            Table {
                n_tup_upd: 0,
                ..huge(&[])
            },
        );
    }),
    ("vacuum-settings", "a table of a million rows", |s| {
        only(
            s,
            Table {
                n_tup_upd: 5_000_000,
                ..table("lead", 1_000_000)
            },
        );
    }),
    ("vacuum-memory", "dead rows that fit", |s| {
        only(
            s,
            Table {
                index_bytes: 1 << 30,
                n_tup_upd: 5_000_000,
                ..table("lead", 9_000_000)
            },
        );
        set(s, "maintenance_work_mem", "65536");
    }),
    (
        "vacuum-memory",
        "a server from 17 on, which packs them",
        |s| {
            only(s, huge(&[]));
            set(s, "maintenance_work_mem", "65536");
            s.server.version_num = 17_00_02;
        },
    ),
    (
        "lost-hot-updates",
        "updates that leave the indexes alone",
        |s| only(s, updated(90_000)),
    ),
    ("lost-hot-updates", "few updates", |s| {
        only(
            s,
            Table {
                n_tup_upd: 100,
                ..updated(0)
            },
        );
    }),
];
