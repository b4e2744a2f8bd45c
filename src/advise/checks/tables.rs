//! Tables without a key, and sequences that run out.
//!
//! Source: PostgreSQL manual, section 5.4.4 "Primary keys" and `CREATE SEQUENCE`.

use crate::model::database::Snapshot;
use crate::model::finding::Severity;

use super::{Draft, Thresholds, graded, percent, plain};
use crate::advise::sql;

pub(super) fn no_primary_key(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let keyless = snapshot.tables.iter().filter(|t| !t.has_primary_key);
    keyless
        .filter(|t| t.n_live_tup >= set.no_primary_key.rows_min)
        .map(|t| {
            Draft::new(
                Severity::Info,
                format!("{} has no primary key", plain(&t.schema, &t.name)),
                "Give it one: logical replication, upserts and finding a single row rest on it",
            )
            .about(plain(&t.schema, &t.name))
            .seen("n_live_tup", t.n_live_tup)
        })
        .collect()
}

pub(super) fn sequence_exhaustion(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.sequence_exhaustion;
    let mut used: Vec<_> = snapshot
        .sequences
        .iter()
        .filter(|s| s.max_value > 0)
        .filter_map(|s| Some((s, s.last_value? as f64 / s.max_value as f64)))
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
                "Turn the column into bigint before the last number: the next insert then fails. \
                 Rewriting a large table takes long; add a bigint column, fill it in batches and \
                 swap. A sequence that is itself int is widened by the statement here",
            );
            let command = format!(
                "ALTER SEQUENCE {} AS bigint;",
                sql::qualified(&s.schema, &s.name)
            );
            Some(
                draft
                    .about(name)
                    .seen("last_value", s.last_value.unwrap_or(0))
                    .seen("largest possible", s.max_value)
                    .cured_by(command, "ShareRowExclusiveLock on the sequence"),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::checks::fixture::{quiet, table, thresholds};
    use crate::model::database::Sequence;

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
            max_value: i64::from(i32::MAX),
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
}
