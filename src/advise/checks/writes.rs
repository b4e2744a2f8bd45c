//! What writing costs more than it must: updates that touch every index, checkpoints in a row,
//! deadlocks, an archive that stands still, pages that are damaged.
//!
//! Source: PostgreSQL manual, sections 73.7 "Heap-Only Tuples", 30.5 "WAL Configuration", 13.3.4
//! "Deadlocks", 26.3.1 "Setting Up WAL Archiving", 30.2 "Data Checksums".

use std::collections::BTreeSet;

use super::shape::{Shape, Verb};
use super::{Draft, Thresholds, percent, plain, size, span};
use crate::advise::sql;
use crate::model::database::{Snapshot, Table};
use crate::model::finding::Severity;
use crate::model::units::counted;

pub(super) fn lost_hot_updates(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.lost_hot_updates;
    let share = |t: &Table| t.n_tup_hot_upd as f64 / t.n_tup_upd.max(1) as f64;
    let mut lost: Vec<&Table> = snapshot
        .tables
        .iter()
        .filter(|t| t.n_tup_upd >= set.updates_min && share(t) < set.hot_ratio_min)
        .collect();
    lost.sort_by_key(|t| std::cmp::Reverse(t.n_tup_upd - t.n_tup_hot_upd.min(t.n_tup_upd)));
    let shapes: Vec<Shape> = snapshot
        .statements
        .iter()
        .map(|s| Shape::read(&s.query))
        .filter(|shape| shape.verb == Verb::Update)
        .collect();
    lost.into_iter()
        .filter_map(|table| {
            let name = plain(&table.schema, &table.name);
            let to_blame = indexed_and_set(snapshot, table, &shapes);
            let title = format!(
                "only {} of the updates of {name} leave its indexes alone",
                percent(share(table))
            );
            let mut draft = Draft::new(
                Severity::Info,
                title,
                if to_blame.is_empty() {
                    "No statement that is known sets an indexed column, so pages are too full for \
                     the new version of a row: leave room in them. Pages get it as they are \
                     rewritten"
                } else {
                    "Each of these updates writes to every index of the table, since it sets a \
                     column that one of them holds. Drop that index if it is not worth it, or \
                     make it partial"
                },
            )
            .about(name)
            .seen("n_tup_upd", table.n_tup_upd)
            .seen("n_tup_hot_upd", table.n_tup_hot_upd);
            for (column, indexes) in to_blame.iter().take(3) {
                draft = draft.seen(&format!("sets {column}, held by"), indexes);
            }
            if !to_blame.is_empty() {
                return Some(draft);
            }
            // Room was left already: then it is something else.
            let has_room = table.options.iter().any(|o| o.starts_with("fillfactor="));
            let command = format!(
                "ALTER TABLE {} SET (fillfactor = 85);",
                sql::qualified(&table.schema, &table.name)
            );
            (!has_room).then(|| draft.cured_by(command, "ShareUpdateExclusiveLock on the table"))
        })
        .collect()
}

/// Columns of the table that known statements set and indexes hold, with those indexes.
fn indexed_and_set(snapshot: &Snapshot, table: &Table, shapes: &[Shape]) -> Vec<(String, String)> {
    let set: BTreeSet<&String> = shapes
        .iter()
        .filter(|shape| shape.names(&table.name))
        .flat_map(|shape| &shape.set)
        .collect();
    let own = || snapshot.indexes.iter().filter(|i| i.table_oid == table.oid);
    set.into_iter()
        .filter_map(|column| {
            let quoted = sql::name(column);
            let holds = |text: &String| {
                let first = text.split(' ').next().unwrap_or("");
                first == column || first == quoted || (text.contains('(') && text.contains(column))
            };
            let holders: Vec<String> = own()
                .filter(|i| i.keys.iter().chain(&i.include).any(holds))
                .map(|i| i.name.clone())
                .collect();
            (!holders.is_empty()).then(|| (column.clone(), holders.join(", ")))
        })
        .collect()
}

pub(super) fn checkpoint_pressure(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.checkpoint_pressure;
    let counters = &snapshot.counters;
    let (timed, requested) = (counters.checkpoints_timed, counters.checkpoints_requested);
    let all = timed.saturating_add(requested);
    let share = requested as f64 / all.max(1) as f64;
    if requested < set.requested_min || share < set.warn_ratio {
        return Vec::new();
    }
    let now = snapshot.settings.get("max_wal_size");
    let now_mb = now
        .and_then(|text| text.parse::<u64>().ok())
        .unwrap_or(1_024);
    let wanted = now_mb.saturating_mul(4);
    let mut draft = Draft::new(
        Severity::Warning,
        format!(
            "{} of the checkpoints come because WAL is full, not by the clock",
            percent(share)
        ),
        "Give WAL more room: each checkpoint makes the next write of every page a full one, so \
         that checkpoints in a row multiply the WAL. Crash recovery takes longer with more room",
    )
    .about("max_wal_size")
    .seen("requested", requested)
    .seen("by the clock", timed)
    .seen("max_wal_size", size(now_mb.saturating_mul(1 << 20)));
    if let Some(since) = counters.checkpoints_since {
        draft = draft.seen("counted since", since);
    }
    vec![draft.cured_here(
        format!("ALTER SYSTEM SET max_wal_size = '{wanted}MB';\nSELECT pg_reload_conf();"),
        "",
    )]
}

pub(super) fn deadlocks(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.deadlocks;
    let count = snapshot.counters.deadlocks;
    let since = snapshot
        .server
        .stats_reset
        .unwrap_or(snapshot.server.started_at);
    let age = snapshot.taken_at.since(since);
    let days = (age.as_secs_f64() / 86_400.0).max(1.0);
    if count == 0 || (count as f64 / days) < set.per_day_min {
        return Vec::new();
    }
    let ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    let logs_waits = snapshot.settings.get("log_lock_waits");
    let draft = Draft::new(
        Severity::Warning,
        format!("{} in {}", counted(count, "deadlock"), span(ms)),
        "Let every transaction take its locks in one order, such as by primary key; the \
             server's log names both statements of each (log_lock_waits tells of near ones). The \
             transaction that was ended must be tried again",
    )
    .about(&snapshot.server.database)
    .seen("deadlocks", count)
    .seen("counted since", since);
    // Once waits are logged, only the application can do more.
    vec![if logs_waits.is_some_and(|on| on == "off") {
        draft.cured_here(
            "ALTER SYSTEM SET log_lock_waits = on;\nSELECT pg_reload_conf();",
            "it names who waits for whom in the log, and cures nothing itself",
        )
    } else {
        draft
    }]
}

pub(super) fn archive_failing(snapshot: &Snapshot, _: &Thresholds) -> Vec<Draft> {
    let counters = &snapshot.counters;
    if !counters.archive_fails_now {
        return Vec::new();
    }
    let segment = counters.archive_failed_segment.as_deref();
    vec![
        Draft::new(
            Severity::Critical,
            "the WAL archive does not take the next segment",
            "Mend archive_command (or archive_library) and its target: WAL is kept until it is \
             archived, so the disk fills, and no point in time after this can be restored",
        )
        .about("archive_command")
        .seen("segment", segment.unwrap_or("not known"))
        .seen("failures", counters.archive_failures),
    ]
}

pub(super) fn checksum_failures(snapshot: &Snapshot, _: &Thresholds) -> Vec<Draft> {
    let count = snapshot.counters.checksum_failures;
    if count == 0 {
        return Vec::new();
    }
    vec![
        Draft::new(
            Severity::Critical,
            format!("{} read with a wrong checksum", counted(count, "page")),
            "Take the server's word for it: memory or disk damage pages. Fail over or restore to \
             another machine, then look for the pages with amcheck",
        )
        .about("data checksums")
        .seen("checksum_failures", count),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::checks::fixture::{index, quiet, table, thresholds};
    use crate::model::database::Statement;

    fn updated(hot: u64) -> Snapshot {
        let mut snapshot = quiet();
        snapshot.tables = vec![Table {
            n_tup_upd: 100_000,
            n_tup_hot_upd: hot,
            ..table("lead", 50_000)
        }];
        snapshot.indexes = vec![index("by_status", &["status", "\"createdAt\" DESC"])];
        snapshot
    }

    fn with_statement(query: &str) -> Snapshot {
        let mut snapshot = updated(1_000);
        snapshot.statements = vec![Statement {
            query: query.into(),
            ..Statement::default()
        }];
        snapshot
    }

    #[test]
    fn the_indexed_column_that_is_set_is_named() {
        let snapshot =
            with_statement("UPDATE lead SET status = $1, \"updatedAt\" = now() WHERE id = $2");
        let drafts = lost_hot_updates(&snapshot, thresholds());
        let blamed = drafts[0].evidence.last().unwrap();
        assert_eq!(
            (blamed.label.as_str(), blamed.value.as_str()),
            ("sets status, held by", "by_status")
        );
        assert_eq!(drafts[0].cure, None, "which index goes is for a person");
    }

    #[test]
    fn without_an_indexed_column_the_pages_are_too_full() {
        let snapshot = with_statement("UPDATE lead SET note = $1 WHERE id = $2");
        let drafts = lost_hot_updates(&snapshot, thresholds());
        assert!(
            drafts[0]
                .cure
                .as_ref()
                .unwrap()
                .sql
                .contains("fillfactor = 85")
        );
        assert!(lost_hot_updates(&updated(90_000), thresholds()).is_empty());
        let mut few = updated(0);
        few.tables[0].n_tup_upd = 100;
        assert!(lost_hot_updates(&few, thresholds()).is_empty());
    }

    #[test]
    fn checkpoints_because_of_wal_are_told_and_those_by_the_clock_not() {
        let mut snapshot = quiet();
        snapshot.counters.checkpoints_timed = 100;
        snapshot.counters.checkpoints_requested = 300;
        snapshot
            .settings
            .insert("max_wal_size".into(), "1024".into());
        let drafts = checkpoint_pressure(&snapshot, thresholds());
        assert!(drafts[0].cure.as_ref().unwrap().sql.contains("'4096MB'"));
        snapshot.counters.checkpoints_timed = 10_000;
        assert!(checkpoint_pressure(&snapshot, thresholds()).is_empty());
        snapshot.counters.checkpoints_timed = 0;
        snapshot.counters.checkpoints_requested = 3;
        assert!(checkpoint_pressure(&snapshot, thresholds()).is_empty());
    }

    #[test]
    fn deadlocks_are_told_by_the_day() {
        let mut snapshot = quiet();
        snapshot.counters.deadlocks = 2;
        assert!(
            deadlocks(&snapshot, thresholds()).is_empty(),
            "2 in 90 days"
        );
        snapshot.counters.deadlocks = 200;
        assert_eq!(deadlocks(&snapshot, thresholds()).len(), 1);
    }

    #[test]
    fn a_standing_archive_and_a_damaged_page_are_critical() {
        let mut snapshot = quiet();
        assert!(archive_failing(&snapshot, thresholds()).is_empty());
        assert!(checksum_failures(&snapshot, thresholds()).is_empty());
        snapshot.counters.archive_fails_now = true;
        snapshot.counters.checksum_failures = 1;
        for drafts in [
            archive_failing(&snapshot, thresholds()),
            checksum_failures(&snapshot, thresholds()),
        ] {
            assert_eq!(drafts[0].severity, Severity::Critical);
        }
    }
}
