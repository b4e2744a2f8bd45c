//! Tables without a key, and sequences that run out.
//!
//! Source: PostgreSQL manual, section 5.4.4 "Primary keys" and `CREATE SEQUENCE`.

use std::collections::BTreeSet;

use crate::model::database::{Index, Sequence, Snapshot, Table};
use crate::model::finding::Severity;

use super::{Draft, Thresholds, graded, percent, plain};
use crate::advise::sql;

pub(super) fn no_primary_key(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let keyless = snapshot.tables.iter().filter(|t| !t.has_primary_key);
    let filled = keyless.filter(|t| t.n_live_tup >= set.no_primary_key.rows_min);
    // A key is the partitioned table's affair; its partitions cannot have one that it lacks.
    let mut told = BTreeSet::new();
    filled
        .filter(|t| t.parent.as_ref().is_none_or(|whole| told.insert(whole.oid)))
        .map(|t| {
            let whole = t.parent.as_ref();
            let (schema, name) =
                whole.map_or((&t.schema, &t.name), |whole| (&whole.schema, &whole.name));
            let draft = Draft::new(
                Severity::Info,
                format!("{} has no primary key", plain(schema, name)),
                "Give it one: logical replication, upserts and finding a single row rest on it",
            )
            .about(plain(schema, name))
            .seen("n_live_tup", t.n_live_tup);
            let relation = sql::qualified(schema, name);
            if whole.is_some() {
                // Its key must hold the columns that it is split by, which are for a person to name.
                return draft.seen("partition", plain(&t.schema, &t.name));
            }
            match unique_columns(snapshot, t) {
                // The scan for nulls is all that it waits for.
                Some(index) => draft.cured_by(
                    format!(
                        "ALTER TABLE {relation} ADD PRIMARY KEY USING INDEX {};",
                        sql::name(&index.name)
                    ),
                    "AccessExclusiveLock on the table, and a read of it if the columns may be null",
                ),
                None => draft.cured_by(
                    format!(
                        "ALTER TABLE {relation} ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY \
                         PRIMARY KEY;"
                    ),
                    "AccessExclusiveLock on the table, and a rewrite of it",
                ),
            }
        })
        .collect()
}

/// A unique index of plain columns and all rows, that may become the primary key.
fn unique_columns<'s>(snapshot: &'s Snapshot, table: &Table) -> Option<&'s Index> {
    let mut own = snapshot.indexes.iter().filter(|i| i.table_oid == table.oid);
    own.find(|i| {
        let is_plain = |key: &String| {
            let quoted = key.strip_prefix('"').and_then(|key| key.strip_suffix('"'));
            let bare = |c: char| c.is_alphanumeric() || c == '_';
            quoted.is_some_and(|key| !key.contains('"')) || key.chars().all(bare)
        };
        let is_whole = i.predicate.is_none() && i.method == "btree" && i.keys.iter().all(is_plain);
        i.is_unique && i.is_valid && !i.is_constraint && is_whole
    })
}

pub(super) fn sequence_exhaustion(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.sequence_exhaustion;
    let mut used: Vec<_> = snapshot
        .sequences
        .iter()
        .filter_map(|s| Some((s, s.used_ratio()?)))
        .collect();
    used.sort_by(|a, b| b.1.total_cmp(&a.1));
    used.into_iter()
        .filter_map(|(s, share)| {
            let severity = graded(&share, &set.warn_ratio, &set.critical_ratio)?;
            let name = plain(&s.schema, &s.name);
            let title = format!(
                "sequence {name} has given out {} of its numbers",
                percent(share)
            );
            let draft = Draft::new(
                severity,
                title,
                "Widen it before the last number: the next insert then fails. Where the column is \
                 narrow the statement rewrites its table: for a large one add a bigint column, fill \
                 it in batches and swap. Columns that refer to it must be widened, too",
            );
            let (command, lock) = widen(s);
            Some(
                draft
                    .about(name)
                    .seen("last_value", s.last_value.unwrap_or(0))
                    .seen(
                        if s.is_descending() {
                            "least possible"
                        } else {
                            "largest possible"
                        },
                        s.max_value,
                    )
                    .cured_by(command, lock),
            )
        })
        .collect()
}

/// What widens a sequence, and its column where that is the narrower of the two.
fn widen(s: &Sequence) -> (String, &'static str) {
    let sequence = format!(
        "ALTER SEQUENCE {} AS bigint NO {};",
        sql::qualified(&s.schema, &s.name),
        if s.is_descending() {
            "MINVALUE"
        } else {
            "MAXVALUE"
        }
    );
    let Some(column) = s.column.as_ref().filter(|column| column.is_narrow) else {
        return (sequence, "ShareRowExclusiveLock on the sequence");
    };
    let table = format!(
        "ALTER TABLE {} ALTER COLUMN {} TYPE bigint;",
        sql::qualified(&column.schema, &column.table),
        sql::name(&column.name)
    );
    let both = if column.is_identity {
        table
    } else {
        format!("{sequence}\n{table}")
    };
    (
        both,
        "AccessExclusiveLock on the table, and a rewrite of it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::checks::fixture::{quiet, table, thresholds};

    #[test]
    fn a_table_with_rows_and_no_key_is_told() {
        let mut snapshot = quiet();
        let mut keyless = table("log", 5);
        keyless.has_primary_key = false;
        snapshot.tables = vec![keyless, table("lead", 5)];
        assert_eq!(no_primary_key(&snapshot, thresholds()).len(), 1);
        snapshot.tables[0].n_live_tup = 0;
        assert!(
            no_primary_key(&snapshot, thresholds()).is_empty(),
            "an empty table can wait"
        );
    }

    #[test]
    fn a_sequence_near_its_end_is_critical_and_a_fresh_one_silent() {
        let mut snapshot = quiet();
        let sequence = |last_value| Sequence {
            schema: "public".into(),
            name: "lead_id_seq".into(),
            last_value,
            first_value: 1,
            max_value: i64::from(i32::MAX),
            column: None,
        };
        snapshot.sequences = vec![
            sequence(Some(2_000_000_000)),
            sequence(Some(5)),
            sequence(None),
        ];
        let drafts = sequence_exhaustion(&snapshot, thresholds());
        assert_eq!(drafts.len(), 1);
        assert_eq!(drafts[0].severity, Severity::Critical);
    }

    #[test]
    fn a_range_that_begins_late_or_counts_down_is_measured_from_its_own_start() {
        let of = |first_value, last_value, max_value| Sequence {
            first_value,
            last_value: Some(last_value),
            max_value,
            ..Sequence::default()
        };
        let used = |sequence: Sequence| sequence.used_ratio().unwrap();
        assert!(used(of(1_000, 1_000, 1_100)) < 0.01);
        assert!(used(of(i64::MIN, 0, i64::MAX)) < 0.51);
        assert!((used(of(-1, -30_000, -32_768)) - 0.9155).abs() < 1e-3);
        let mut snapshot = quiet();
        snapshot.sequences = vec![of(-1, -30_000, -32_768)];
        let drafts = sequence_exhaustion(&snapshot, thresholds());
        let cure = &drafts[0].cure.as_ref().unwrap().sql;
        assert!(cure.ends_with("AS bigint NO MINVALUE;"), "{cure}");
    }
}
