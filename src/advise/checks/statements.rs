//! Statements: not counted at all, slow, spilling to disk, or missing the cache.
//!
//! Source: PostgreSQL manual, `pg_stat_statements` (appendix F.32).

use crate::model::database::{Snapshot, Statement};
use crate::model::finding::Severity;

use super::{Draft, Thresholds, count, percent, short, size};
use crate::advise::sql;

/// The server's block size unless it was built otherwise.
const BLOCK_BYTES: u64 = 8192;

pub(super) fn missing(snapshot: &Snapshot, _: &Thresholds) -> Vec<Draft> {
    let spots = snapshot.blind_spots.iter();
    spots
        .filter(|spot| spot.what == "statements" || spot.why.contains("pg_stat_statements"))
        .take(1)
        .map(|spot| {
            let draft = Draft::new(
                Severity::Info,
                "statements are not counted, so that slow ones cannot be named",
                spot.cure.clone(),
            )
            .about("pg_stat_statements")
            .seen("reason", &spot.why);
            let loaded = snapshot
                .settings
                .get("shared_preload_libraries")
                .is_some_and(|list| list.contains("pg_stat_statements"));
            if loaded {
                draft.cured_by("CREATE EXTENSION IF NOT EXISTS pg_stat_statements;", "none")
            } else {
                draft
            }
        })
        .collect()
}

pub(super) fn slow(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.slow_statement;
    let mut slow: Vec<&Statement> = snapshot
        .statements
        .iter()
        .filter(|s| s.mean_exec_time >= set.mean_ms_min && s.calls >= set.calls_min)
        .collect();
    slow.sort_by(|a, b| b.total_exec_time.total_cmp(&a.total_exec_time));
    slow.into_iter()
        .map(|s| {
            let is_bad = s.mean_exec_time >= set.critical_mean_ms;
            let severity = if is_bad {
                Severity::Critical
            } else {
                Severity::Warning
            };
            named(
                severity,
                format!("a statement takes {:.0} ms on average", s.mean_exec_time),
                "Look at its plan: a sequential scan, a sort on disk or a wrong row estimate is \
                 the usual reason",
                s,
            )
            .seen("mean", format!("{:.1} ms", s.mean_exec_time))
            .seen("largest", format!("{:.1} ms", s.max_exec_time))
        })
        .collect()
}

pub(super) fn temp_spill(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.temp_spill;
    let mut spilling: Vec<&Statement> = snapshot
        .statements
        .iter()
        .filter(|s| s.temp_blks_written >= set.blocks_min)
        .filter(|s| s.temp_blks_written / s.calls.max(1) >= set.blocks_per_call_min)
        .collect();
    spilling.sort_by_key(|s| std::cmp::Reverse(s.temp_blks_written));
    spilling
        .into_iter()
        .map(|s| {
            let bytes = s.temp_blks_written / s.calls.max(1) * BLOCK_BYTES;
            let a_call = size(bytes);
            let draft = named(
                Severity::Warning,
                format!("a statement writes {a_call} of temporary files a call"),
                "Raise work_mem for the role or the session that runs it, or give it an index that \
                 sorts for it",
                s,
            )
            .seen(
                "temporary bytes in all",
                size(s.temp_blks_written.saturating_mul(BLOCK_BYTES)),
            );
            match (&s.role, work_mem_for(snapshot, bytes)) {
                (Some(role), Some(wanted)) => draft.cured_by(
                    format!(
                        "ALTER ROLE {} SET work_mem = '{wanted}MB';",
                        sql::name(role)
                    ),
                    "none; for new sessions of the role",
                ),
                _ => draft,
            }
        })
        .collect()
}

/// Megabytes that hold what was spilled; `None` where that is more than a session should have.
///
/// In memory rows take about twice the room that they take in a file (manual, 20.4.1 `work_mem`).
fn work_mem_for(snapshot: &Snapshot, spilled: u64) -> Option<u64> {
    const SESSION_MAX_MB: u64 = 256;
    let now_kb = snapshot.settings.get("work_mem")?.parse::<u64>().ok()?;
    let wanted = (spilled.saturating_mul(2) >> 20) + (now_kb >> 10) + 1;
    (wanted <= SESSION_MAX_MB).then_some(wanted)
}

pub(super) fn cache_hit_low(snapshot: &Snapshot, all_set: &Thresholds) -> Vec<Draft> {
    let set = &all_set.cache_hit_low;
    let hit: u64 = snapshot.statements.iter().map(|s| s.shared_blks_hit).sum();
    let read: u64 = snapshot.statements.iter().map(|s| s.shared_blks_read).sum();
    let all = hit.saturating_add(read);
    let share = hit as f64 / all.max(1) as f64;
    if all < set.blocks_min || share >= set.warn_ratio {
        return Vec::new();
    }
    let mut worst: Vec<&Statement> = snapshot.statements.iter().collect();
    worst.sort_by_key(|s| std::cmp::Reverse(s.shared_blks_read));
    let mut draft = Draft::new(
        Severity::Warning,
        format!(
            "only {} of the blocks that statements ask for are in the buffers",
            percent(share)
        ),
        "See the statements here first: one that reads a whole table spoils the figure for all. \
         Then raise shared_buffers, if memory allows it",
    )
    .about("shared_buffers")
    .seen("blocks in the buffers", count(hit as f64))
    .seen("blocks from outside", count(read as f64));
    for s in worst.into_iter().take(3) {
        draft = draft.seen(
            &format!("read {} blocks", count(s.shared_blks_read as f64)),
            short(&s.query),
        );
    }
    // Only where memory is known, and not yet used for it.
    vec![
        match super::machine::good_buffers(snapshot, &all_set.shared_buffers_machine) {
            Some(command) => draft.cured_here(command, "then a restart"),
            None => draft,
        },
    ]
}

fn named(severity: Severity, title: String, advice: &str, statement: &Statement) -> Draft {
    Draft::new(severity, title, advice)
        .about(short(&statement.query))
        .seen("queryid", statement.query_id)
        .seen("calls", count(statement.calls as f64))
        .seen("total", format!("{:.0} s", statement.total_exec_time / 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::checks::fixture::{quiet, thresholds};
    use crate::model::database::BlindSpot;

    fn statement(calls: u64, mean: f64) -> Statement {
        Statement {
            query: "SELECT *\n  FROM lead WHERE email = $1".into(),
            calls,
            mean_exec_time: mean,
            total_exec_time: mean * calls as f64,
            ..Statement::default()
        }
    }

    fn with(statements: Vec<Statement>) -> Snapshot {
        Snapshot {
            statements,
            ..quiet()
        }
    }

    #[test]
    fn a_missing_extension_is_told_with_what_to_do() {
        let mut snapshot = quiet();
        assert!(missing(&snapshot, thresholds()).is_empty());
        snapshot.blind_spots.push(BlindSpot {
            what: "statements".into(),
            why: "pg_stat_statements is not installed".into(),
            cure: "add it to shared_preload_libraries and restart".into(),
        });
        let drafts = missing(&snapshot, thresholds());
        assert!(drafts[0].advice.contains("shared_preload_libraries"));
        assert_eq!(
            drafts[0].cure, None,
            "creating it does not help before it is loaded"
        );
        let loaded = (
            "shared_preload_libraries".into(),
            "pg_stat_statements".into(),
        );
        snapshot.settings.extend([loaded]);
        assert!(missing(&snapshot, thresholds())[0].cure.is_some());
    }

    #[test]
    fn slow_statements_come_by_total_time_and_rare_ones_not_at_all() {
        let snapshot = with(vec![
            statement(100, 200.0),
            statement(1_000, 150.0),
            statement(5, 9_000.0),
            statement(1_000_000, 0.2),
        ]);
        let drafts = slow(&snapshot, thresholds());
        assert_eq!(drafts.len(), 2);
        assert!(drafts[0].title.contains("150 ms"));
        assert_eq!(
            drafts[0].object.as_deref(),
            Some("SELECT * FROM lead WHERE email = $1")
        );
    }

    #[test]
    fn spills_are_told_by_the_call_and_in_all() {
        let spill = |calls, temp_blks_written| Statement {
            temp_blks_written,
            ..statement(calls, 1.0)
        };
        let snapshot = with(vec![
            spill(100, 200_000),
            spill(1_000_000, 200_000),
            spill(1, 1_000),
        ]);
        assert_eq!(temp_spill(&snapshot, thresholds()).len(), 1);
    }

    #[test]
    fn a_cold_cache_needs_enough_blocks_to_be_believed() {
        let blocks = |shared_blks_hit, shared_blks_read| Statement {
            shared_blks_hit,
            shared_blks_read,
            ..statement(1, 1.0)
        };
        let told = |hit, read| cache_hit_low(&with(vec![blocks(hit, read)]), thresholds()).len();
        assert_eq!(told(800_000, 400_000), 1);
        assert_eq!(told(80, 40), 0);
        assert_eq!(told(2_000_000, 20_000), 0);
    }
}
