//! Indexes that cost and give nothing: unused, duplicate, covered by a longer one, or broken.
//!
//! Every proposal to drop one respects what else an index is for: uniqueness, constraints, foreign
//! keys, replica identity. Source: PostgreSQL manual, `pg_index` (section 53.26),
//! `pg_stat_user_indexes` (28.2.17) and `DROP INDEX`.

mod wholes;

use std::collections::{BTreeMap, BTreeSet};

use crate::model::database::{Index, Snapshot};
use crate::model::finding::Severity;
use crate::model::units::Timestamp;

use self::wholes::{Wholes, wholes};
use super::{Draft, Thresholds, plain, size, span};
use crate::advise::sql;

const DROP_LOCK: &str = "ShareUpdateExclusiveLock on the table";
const PARTED_LOCK: &str = "AccessExclusiveLock on the partitioned table and all its partitions";

/// What drops an index, and the lock that it takes; of a part of a partitioned index the whole, since
/// the server drops no part alone, and that only at once.
fn drop_of(index: &Index) -> (String, &'static str) {
    match &index.parent {
        Some(whole) => (
            format!("DROP INDEX {};", sql::qualified(&whole.schema, &whole.name)),
            PARTED_LOCK,
        ),
        None => (
            format!(
                "DROP INDEX CONCURRENTLY {};",
                sql::qualified(&index.schema, &index.name)
            ),
            DROP_LOCK,
        ),
    }
}

/// Its own name, or that of the partitioned index.
fn full_name(index: &Index) -> String {
    match &index.parent {
        Some(whole) => plain(&whole.schema, &whole.name),
        None => plain(&index.schema, &index.name),
    }
}

/// Nothing but speed would be lost with it.
fn is_free(index: &Index) -> bool {
    !index.is_unique && !index.is_primary && !index.is_constraint && !index.is_replica_identity
}

/// Since when the counters count, and for how many ms.
///
/// Without a known reset they are at least as old as the server's start: a crash empties them without
/// leaving a time.
fn counted_since(snapshot: &Snapshot) -> (Timestamp, u64) {
    let server = &snapshot.server;
    let since = server.stats_reset.unwrap_or(server.started_at);
    let age = snapshot.taken_at.since(since).as_millis();
    (since, u64::try_from(age).unwrap_or(u64::MAX))
}

/// Whether its counters are old enough to prove that something is not used.
pub fn has_old_counters(snapshot: &Snapshot, set: &Thresholds) -> bool {
    counted_since(snapshot).1 >= set.unused_index.stats_age_ms_min
}

pub(super) fn unused(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    if snapshot.server.in_recovery || !has_old_counters(snapshot, set) {
        return Vec::new();
    }
    let (since, age) = counted_since(snapshot);
    let set = &set.unused_index;
    let seen = &snapshot.standby_scans;
    let scans = |oid: u32| seen.by_index.get(&oid).copied().unwrap_or(0);
    let on_standbys = |index: &Index| match &index.parent {
        None => scans(index.oid),
        Some(whole) => {
            let parts = snapshot.indexes.iter();
            let parts = parts.filter(|i| i.parent.as_ref() == Some(whole));
            parts.map(|part| scans(part.oid)).sum()
        }
    };
    let all = wholes(snapshot);
    // Somebody may read from a standby that nobody looks at.
    let unseen = snapshot.replicas.len().saturating_sub(seen.standbys.len());
    let recent = |index: &Index| {
        index.last_idx_scan.is_some_and(|at| {
            let ago = snapshot.taken_at.since(at).as_millis();
            ago < u128::from(set.stats_age_ms_min)
        })
    };
    let mut idle: Vec<&Index> = all
        .iter()
        .filter(|i| is_free(i) && i.is_valid && i.idx_scan <= set.scans_max)
        .filter(|i| !recent(i))
        .filter(|i| on_standbys(i) <= set.scans_max)
        .collect();
    idle.sort_by_key(|i| std::cmp::Reverse(i.size_bytes));
    idle.into_iter()
        .map(|index| {
            let title = format!("index {} was not used for {}", full_name(index), span(age));
            let (severity, advice) = if unseen == 0 {
                (
                    told_as(index, set.warn_bytes),
                    "Drop it if no rare job needs it: every write to the table pays for it",
                )
            } else {
                (
                    Severity::Info,
                    "Look at its scans on the standbys first, which count by themselves (make each \
                     a target here and they are counted in); then drop it if no rare job needs it",
                )
            };
            let mut draft = Draft::new(severity, title, advice)
                .about(full_name(index))
                .seen("idx_scan", index.idx_scan)
                .seen("size", size(index.size_bytes))
                .seen("statistics since", since)
                .seen("definition", &index.definition);
            if unseen > 0 {
                draft = draft.seen("standbys that are not looked at", unseen);
            }
            if !seen.standbys.is_empty() {
                draft = draft.seen("nor on the standbys", seen.standbys.join(", "));
            }
            let (command, lock) = drop_of(index);
            draft.cured_by(command, lock)
        })
        .collect()
}

/// What must be the same for one index to stand in for another.
fn kind_of(index: &Index) -> (u32, &str, Option<&str>) {
    (index.table_oid, &index.method, index.predicate.as_deref())
}

fn families(snapshot: &Snapshot) -> BTreeMap<(u32, &str, Option<&str>), Vec<&Index>> {
    let mut families: BTreeMap<_, Vec<&Index>> = BTreeMap::new();
    for index in snapshot.indexes.iter().filter(|i| i.is_valid) {
        families.entry(kind_of(index)).or_default().push(index);
    }
    families
}

pub(super) fn duplicate(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let mut drafts = Vec::new();
    let wholes = Wholes::of(snapshot);
    for family in families(snapshot).values() {
        let mut by_columns: BTreeMap<(&[String], &[String]), Vec<&Index>> = BTreeMap::new();
        for index in family {
            by_columns
                .entry((&index.keys, &index.include))
                .or_default()
                .push(index);
        }
        for mut same in by_columns.into_values().filter(|same| same.len() > 1) {
            same.sort_by_key(|index| std::cmp::Reverse(wholes.worth(index)));
            let Some((kept, others)) = same.split_first() else {
                continue;
            };
            for index in others {
                let is_part_fit = wholes.stands_in(kept, index);
                let index = wholes.whole(index);
                // A second unique index is dropped only where the first one is unique, too.
                let is_safe = is_part_fit
                    && !index.is_constraint
                    && !index.is_primary
                    && !index.is_replica_identity
                    && (!index.is_unique || kept.is_unique);
                if is_safe {
                    let title = format!(
                        "index {} is the same as {}",
                        full_name(index),
                        full_name(kept)
                    );
                    let severity = told_as(index, set.duplicate_index.warn_bytes);
                    drafts.push((index.size_bytes, covered(severity, index, kept, title)));
                }
            }
        }
    }
    largest_first(drafts)
}

pub(super) fn redundant(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let mut drafts = Vec::new();
    let wholes = Wholes::of(snapshot);
    for family in families(snapshot).into_values() {
        // Only a B-tree can be searched by the first of its columns alone, as fast as by its own.
        if family.first().is_none_or(|index| index.method != "btree") {
            continue;
        }
        for index in family.iter().filter(|i| i.include.is_empty()) {
            let whole = wholes.whole(index);
            if !is_free(whole) {
                continue;
            }
            // Columns of INCLUDE do not order it, so with the same keys they only add.
            let longer = family.iter().find(|other| {
                let has_more = other.keys.len() > index.keys.len() || !other.include.is_empty();
                has_more && other.keys.starts_with(&index.keys) && wholes.stands_in(other, index)
            });
            let Some(longer) = longer else { continue };
            let title = format!(
                "index {} is the beginning of {}",
                full_name(whole),
                full_name(longer)
            );
            let severity = told_as(whole, set.redundant_index.warn_bytes);
            drafts.push((whole.size_bytes, covered(severity, whole, longer, title)));
        }
    }
    largest_first(drafts)
}

fn largest_first(mut drafts: Vec<(u64, Draft)>) -> Vec<Draft> {
    drafts.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    // Of a partitioned index each part says the same.
    let mut named = BTreeSet::new();
    drafts.retain(|(_, draft)| named.insert(draft.object.clone()));
    drafts.into_iter().map(|(_, draft)| draft).collect()
}

/// A small one costs little, and is only a hint.
fn told_as(index: &Index, warn_bytes: u64) -> Severity {
    if index.size_bytes >= warn_bytes {
        Severity::Warning
    } else {
        Severity::Info
    }
}

fn covered(severity: Severity, index: &Index, by: &Index, title: String) -> Draft {
    Draft::new(
        severity,
        title,
        "Drop it: the other one answers the same searches, and each write pays for both",
    )
    .about(full_name(index))
    .seen("size", size(index.size_bytes))
    .seen("idx_scan", index.idx_scan)
    .seen("definition", &index.definition)
    .seen("covered by", &by.definition)
    .cured_by(drop_of(index).0, drop_of(index).1)
}

pub(super) fn invalid(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let broken = snapshot.indexes.iter();
    let broken = broken.filter(|i| !i.is_valid && !i.is_building);
    broken
        .filter(|i| i.size_bytes >= set.invalid_index.size_bytes_min)
        .map(|index| {
            Draft::new(
                Severity::Warning,
                format!(
                    "index {} is invalid: writes keep it up, no search uses it",
                    full_name(index)
                ),
                "A concurrent build of it failed. Build it anew, or drop it; one whose name ends in \
                 _ccnew or _ccold is what a rebuild left behind, and is only dropped",
            )
            .about(full_name(index))
            .seen("size", size(index.size_bytes))
            .seen("definition", &index.definition)
            .cured_by(
                if is_left_behind(&index.name) {
                    drop_of(index).0
                } else {
                    format!(
                        "REINDEX INDEX CONCURRENTLY {};",
                        sql::qualified(&index.schema, &index.name)
                    )
                },
                DROP_LOCK,
            )
        })
        .collect()
}

/// What `REINDEX CONCURRENTLY` calls its own, with a number where that was taken.
fn is_left_behind(name: &str) -> bool {
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit());
    bare.ends_with("_ccnew") || bare.ends_with("_ccold")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::checks::fixture::{index, quiet, thresholds};
    use crate::model::database::Replica;
    use crate::model::units::Millis;

    const MB: u64 = 1 << 20;

    fn with(indexes: Vec<Index>) -> Snapshot {
        Snapshot { indexes, ..quiet() }
    }

    fn idle(name: &str) -> Index {
        Index {
            idx_scan: 0,
            size_bytes: 50 * MB,
            ..index(name, &["a"])
        }
    }

    #[test]
    fn an_unused_index_is_told_with_its_drop() {
        let drafts = unused(&with(vec![idle("by_a")]), thresholds());
        let cure = drafts[0].cure.as_ref().unwrap();
        assert_eq!(cure.sql, "DROP INDEX CONCURRENTLY \"public\".\"by_a\";");
        assert_eq!(cure.lock, DROP_LOCK);
    }

    #[test]
    fn young_statistics_prove_nothing() {
        let mut snapshot = with(vec![idle("by_a")]);
        let week = Millis(7 * Millis::DAY.0).as_duration();
        snapshot.server.stats_reset = Some(snapshot.taken_at.minus(week));
        assert!(unused(&snapshot, thresholds()).is_empty());
        // No reset is known, and the server has just started.
        snapshot.server.stats_reset = None;
        snapshot.server.started_at = snapshot.taken_at.minus(week);
        assert!(unused(&snapshot, thresholds()).is_empty());
    }

    #[test]
    fn indexes_with_duties_small_or_recently_used_are_kept() {
        let recent = Timestamp::from_millis(quiet().taken_at.as_millis() - 1_000);
        let kept = [
            Index {
                is_unique: true,
                ..idle("u")
            },
            Index {
                is_constraint: true,
                ..idle("c")
            },
            Index {
                is_replica_identity: true,
                ..idle("r")
            },
            Index {
                idx_scan: 1,
                ..idle("b")
            },
            Index {
                last_idx_scan: Some(recent),
                ..idle("l")
            },
        ];
        assert!(unused(&with(kept.into()), thresholds()).is_empty());
    }

    #[test]
    fn a_standby_s_scans_are_mentioned() {
        let mut snapshot = with(vec![idle("by_a")]);
        snapshot.replicas.push(Replica::default());
        let drafts = unused(&snapshot, thresholds());
        assert_eq!(drafts[0].severity, Severity::Info, "nobody looks there");
        snapshot.standby_scans.standbys = vec!["replica".into()];
        let drafts = unused(&snapshot, thresholds());
        assert_eq!(drafts[0].severity, Severity::Warning);
        let oid = snapshot.indexes[0].oid;
        snapshot.standby_scans.by_index.insert(oid, 3);
        assert!(unused(&snapshot, thresholds()).is_empty(), "used there");
    }

    #[test]
    fn of_two_equal_indexes_the_one_without_duties_goes() {
        let unique = Index {
            is_unique: true,
            is_constraint: true,
            oid: 9,
            ..index("pk", &["a"])
        };
        let drafts = duplicate(&with(vec![index("extra", &["a"]), unique]), thresholds());
        assert_eq!(drafts.len(), 1);
        assert_eq!(drafts[0].object.as_deref(), Some("public.extra"));
    }

    fn part(oid: u32, table_oid: u32, parent: u32, idx_scan: u64) -> Index {
        Index {
            oid,
            table_oid,
            idx_scan,
            parent: Some(crate::model::database::Parent {
                oid: parent,
                schema: "public".into(),
                name: format!("whole_{parent}"),
            }),
            ..index(&format!("part_{oid}"), &["a"])
        }
    }

    #[test]
    fn of_two_equal_partitioned_indexes_one_goes_whatever_each_partition_says() {
        let mut parts = vec![
            part(1, 10, 100, 900),
            part(2, 10, 200, 1),
            part(3, 20, 100, 1),
            part(4, 20, 200, 500),
        ];
        let told = |parts: Vec<Index>| -> Vec<String> {
            let drafts = duplicate(&with(parts), thresholds());
            drafts.into_iter().filter_map(|d| d.object).collect()
        };
        assert_eq!(told(parts.clone()), ["public.whole_200"]);
        // The busier one is not there in every partition, so it is no stand-in for the other.
        let mut wider = parts.clone();
        wider.push(part(5, 30, 200, 0));
        assert_eq!(told(wider), ["public.whole_100"]);
        // In one partition it is what tells its rows apart.
        parts[3].is_replica_identity = true;
        assert_eq!(told(parts), ["public.whole_100"]);
    }

    #[test]
    fn indexes_that_only_look_alike_are_kept() {
        let base = index("a", &["a"]);
        let others = [
            Index {
                method: "hash".into(),
                ..index("b", &["a"])
            },
            Index {
                predicate: Some("(x > 0)".into()),
                ..index("c", &["a"])
            },
            Index {
                table_oid: 77,
                ..index("d", &["a"])
            },
            index("e", &["a DESC"]),
            index("f", &["a text_pattern_ops"]),
            Index {
                include: vec!["z".into()],
                ..index("g", &["a"])
            },
            Index {
                is_valid: false,
                ..index("h", &["a"])
            },
        ];
        for other in others {
            let name = other.name.clone();
            let snapshot = with(vec![base.clone(), other]);
            assert!(duplicate(&snapshot, thresholds()).is_empty(), "{name}");
        }
        let both_needed = [("u1", true), ("u2", true)].map(|(name, is_unique)| Index {
            is_unique,
            is_constraint: true,
            ..index(name, &["a"])
        });
        assert!(duplicate(&with(both_needed.into()), thresholds()).is_empty());
    }

    #[test]
    fn the_beginning_of_a_longer_index_is_redundant() {
        let short = Index {
            size_bytes: 5 * MB,
            ..index("short", &["a"])
        };
        let long = Index {
            size_bytes: 9 * MB,
            ..index("long", &["a", "b"])
        };
        let drafts = redundant(&with(vec![short.clone(), long.clone()]), thresholds());
        assert_eq!(drafts[0].object.as_deref(), Some("public.short"));
        let unique = Index {
            is_unique: true,
            ..short.clone()
        };
        assert!(redundant(&with(vec![unique, long.clone()]), thresholds()).is_empty());
        let gin = |i: &Index| Index {
            method: "gin".into(),
            ..i.clone()
        };
        assert!(redundant(&with(vec![gin(&short), gin(&long)]), thresholds()).is_empty());
        let other_order = index("ba", &["b", "a"]);
        assert!(redundant(&with(vec![short, other_order]), thresholds()).is_empty());
    }

    #[test]
    fn an_invalid_index_is_rebuilt_by_name() {
        let robert = Index {
            is_valid: false,
            ..index("Robert\"); DROP TABLE", &["a"])
        };
        let drafts = invalid(&with(vec![robert, index("fine", &["a"])]), thresholds());
        assert_eq!(drafts.len(), 1);
        assert_eq!(
            drafts[0].cure.as_ref().unwrap().sql,
            "REINDEX INDEX CONCURRENTLY \"public\".\"Robert\"\"); DROP TABLE\";"
        );
    }
}
