//! Indexes: unused, the same twice, the beginning of another, broken.

use super::{Fires, Quiet, index};
use crate::model::database::{Index, Parent, Replica, Snapshot};
use crate::model::units::{Millis, Timestamp};

const MB: u64 = 1_000_000;

fn idle() -> Index {
    Index {
        idx_scan: 0,
        size_bytes: 50 * MB,
        ..index("by_a", &["a"])
    }
}

fn indexes(snapshot: &mut Snapshot, all: Vec<Index>) {
    snapshot.indexes = all;
}

/// An index beside one of column `a`.
fn beside(snapshot: &mut Snapshot, other: Index) {
    let first = Index {
        size_bytes: 5 * MB,
        ..index("a", &["a"])
    };
    snapshot.indexes = vec![
        first,
        Index {
            size_bytes: 9 * MB,
            ..other
        },
    ];
}

fn whole(oid: u32, name: &str) -> Parent {
    Parent {
        oid,
        schema: "public".into(),
        name: name.into(),
    }
}

/// Parts of two partitions of one partitioned index.
fn parts(scans: u64) -> Vec<Index> {
    let part = |oid, idx_scan| Index {
        oid,
        table_oid: oid,
        idx_scan,
        parent: Some(whole(9, "all_by_a")),
        ..idle()
    };
    vec![part(1, 0), part(2, scans)]
}

pub(super) const FIRES: &[Fires] = &[
    ("unused-index", |s| indexes(s, vec![idle()])),
    ("unused-index", |s| {
        indexes(s, vec![idle()]);
        s.replicas = vec![Replica::default()];
    }),
    ("unused-index", |s| indexes(s, parts(0))),
    ("duplicate-index", |s| beside(s, index("again", &["a"]))),
    ("redundant-index", |s| {
        beside(s, index("longer", &["a", "b"]));
    }),
    ("redundant-index", |s| {
        beside(s, index("longer", &["a", "b"]));
        s.indexes[0].parent = Some(whole(8, "all_by_a"));
        s.indexes[1].parent = Some(whole(9, "all_by_a_and_b"));
    }),
    ("redundant-index", |s| {
        beside(
            s,
            Index {
                include: vec!["b".into()],
                ..index("wider", &["a"])
            },
        );
    }),
    ("invalid-index", |s| {
        indexes(
            s,
            vec![Index {
                is_valid: false,
                ..index("broken", &["a"])
            }],
        );
    }),
    ("invalid-index", |s| {
        indexes(
            s,
            vec![Index {
                is_valid: false,
                ..index("a_ccnew1", &["a"])
            }],
        );
    }),
];

pub(super) const QUIET: &[Quiet] = &[
    ("unused-index", "counters younger than two weeks", |s| {
        indexes(s, vec![idle()]);
        let week = Millis(7 * Millis::DAY.0).as_duration();
        s.server.stats_reset = Some(s.taken_at.minus(week));
    }),
    ("unused-index", "a unique index", |s| {
        indexes(
            s,
            vec![Index {
                is_unique: true,
                ..idle()
            }],
        );
    }),
    ("unused-index", "an index of a constraint", |s| {
        indexes(
            s,
            vec![Index {
                is_constraint: true,
                ..idle()
            }],
        );
    }),
    ("unused-index", "a replica identity", |s| {
        indexes(
            s,
            vec![Index {
                is_replica_identity: true,
                ..idle()
            }],
        );
    }),
    ("unused-index", "an index that was scanned last week", |s| {
        let at = Timestamp::from_millis(s.taken_at.as_millis() - 1_000);
        indexes(
            s,
            vec![Index {
                last_idx_scan: Some(at),
                ..idle()
            }],
        );
    }),
    (
        "unused-index",
        "an index that a watched standby uses",
        |s| {
            indexes(s, vec![idle()]);
            s.replicas = vec![Replica::default()];
            s.standby_scans.standbys = vec!["standby".into()];
            s.standby_scans.by_index.insert(idle().oid, 40);
        },
    ),
    (
        "unused-index",
        "a partitioned index of which one partition makes use",
        |s| indexes(s, parts(7)),
    ),
    ("unused-index", "any index, looked at on a standby", |s| {
        indexes(s, vec![idle()]);
        s.server.in_recovery = true;
    }),
    ("duplicate-index", "another direction", |s| {
        beside(s, index("b", &["a DESC"]));
    }),
    ("duplicate-index", "another operator class", |s| {
        beside(s, index("b", &["a text_pattern_ops"]));
    }),
    ("duplicate-index", "another condition", |s| {
        beside(
            s,
            Index {
                predicate: Some("(x > 0)".into()),
                ..index("b", &["a"])
            },
        );
    }),
    ("duplicate-index", "another method", |s| {
        beside(
            s,
            Index {
                method: "hash".into(),
                ..index("b", &["a"])
            },
        );
    }),
    ("duplicate-index", "another table's", |s| {
        beside(
            s,
            Index {
                table_oid: 77,
                ..index("b", &["a"])
            },
        );
    }),
    ("duplicate-index", "indexes of two constraints", |s| {
        let both = ["u1", "u2"].map(|name| Index {
            is_unique: true,
            is_constraint: true,
            ..index(name, &["a"])
        });
        indexes(s, both.into());
    }),
    (
        "redundant-index",
        "a unique index that begins another",
        |s| {
            beside(s, index("longer", &["a", "b"]));
            s.indexes[0].is_unique = true;
        },
    ),
    (
        "redundant-index",
        "the same columns in another order",
        |s| {
            beside(s, index("ba", &["b", "a"]));
        },
    ),
    ("redundant-index", "an index that is no B-tree", |s| {
        beside(s, index("longer", &["a", "b"]));
        s.indexes.iter_mut().for_each(|i| i.method = "gin".into());
    }),
    ("redundant-index", "a partial one beside a whole one", |s| {
        beside(s, index("longer", &["a", "b"]));
        s.indexes[0].predicate = Some("(open)".into());
    }),
    (
        "redundant-index",
        "a partitioned one beside a longer one of one partition alone",
        |s| {
            beside(s, index("longer", &["a", "b"]));
            s.indexes[0].parent = Some(whole(8, "all_by_a"));
        },
    ),
    ("redundant-index", "a longer one that is invalid", |s| {
        beside(
            s,
            Index {
                is_valid: false,
                ..index("longer", &["a", "b"])
            },
        );
    }),
    (
        "invalid-index",
        "a concurrent build that is under way",
        |s| {
            let building = Index {
                is_valid: false,
                is_building: true,
                ..index("new", &["a"])
            };
            indexes(s, vec![building]);
        },
    ),
];
