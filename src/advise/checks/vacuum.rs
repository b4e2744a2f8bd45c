//! Upkeep: transaction ids running out, dead rows, statistics of the planner that are too old.
//!
//! Source: PostgreSQL manual, section 25.1 "Routine vacuuming" (wraparound, and the formula by
//! which autovacuum starts: threshold + scale factor × rows).

use crate::model::database::{Snapshot, Table};
use crate::model::finding::Severity;

use super::thresholds::TransactionAges;
use super::{Draft, Thresholds, count, graded, horizon, plain};
use crate::advise::sql;

const VACUUM_LOCK: &str = "ShareUpdateExclusiveLock on the table";

pub(super) fn xid_wraparound(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let ages = snapshot
        .databases
        .iter()
        .map(|db| (db.name.as_str(), db.xid_age));
    let limit = bounds(snapshot, &set.xid_wraparound, "autovacuum_freeze_max_age");
    ages.filter_map(|(name, age)| wraparound(snapshot, "transaction", (name, age), &limit))
        .collect()
}

pub(super) fn mxid_wraparound(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let ages = snapshot
        .databases
        .iter()
        .map(|db| (db.name.as_str(), db.mxid_age));
    let limit = bounds(
        snapshot,
        &set.mxid_wraparound,
        "autovacuum_multixact_freeze_max_age",
    );
    ages.filter_map(|(name, age)| wraparound(snapshot, "multixact", (name, age), &limit))
        .collect()
}

/// An operator who lets ids grow old on purpose is warned later, but is warned.
fn bounds(snapshot: &Snapshot, set: &TransactionAges, setting: &str) -> TransactionAges {
    let own = number(snapshot, setting).unwrap_or(0.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the setting is at most two billion and not negative"
    )]
    let late = (1.25 * own) as u64;
    TransactionAges {
        warn_age: set.warn_age.max(late).min(set.critical_age),
        critical_age: set.critical_age,
    }
}

fn wraparound(
    snapshot: &Snapshot,
    kind: &str,
    (database, age): (&str, u64),
    bounds: &TransactionAges,
) -> Option<Draft> {
    let severity = graded(&age, &bounds.warn_age, &bounds.critical_age)?;
    let millions = age / 1_000_000;
    let title = format!("the oldest {kind} id of database {database} is {millions} million behind");
    let advice = "Vacuum the oldest tables with FREEZE and find out what kept autovacuum from it \
                  (a long transaction, an abandoned slot, a prepared transaction): at about 2.1 \
                  billion the server stops taking writes";
    let mut draft = Draft::new(severity, title, advice)
        .about(database)
        .seen(&format!("age in {kind} ids"), age);
    if database == snapshot.server.database && kind == "transaction" && !snapshot.server.in_recovery
    {
        let mut oldest: Vec<&Table> = snapshot.tables.iter().collect();
        oldest.sort_by_key(|table| std::cmp::Reverse(table.xid_age));
        let oldest: Vec<&Table> = oldest
            .into_iter()
            .filter(|t| t.xid_age * 2 >= age)
            .take(5)
            .collect();
        for table in &oldest {
            draft = draft.seen(&plain(&table.schema, &table.name), table.xid_age);
        }
        let commands: Vec<String> = oldest
            .iter()
            .map(|t| format!("VACUUM (FREEZE) {};", sql::qualified(&t.schema, &t.name)))
            .collect();
        if !commands.is_empty() {
            return Some(draft.cured_by(commands.join("\n"), VACUUM_LOCK));
        }
    }
    let lock = format!("{VACUUM_LOCK}, one after the other; in database {database}");
    Some(draft.cured_by("VACUUM (FREEZE);", &lock))
}

/// Before 17 vacuum remembers dead rows in six bytes each; what does not fit makes it read every
/// index of the table once more.
pub(super) fn vacuum_memory(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    const A_ROW: f64 = 6.0;
    const FLAT_UNTIL: u32 = 17_00_00;
    const MOST_MB: f64 = 1_024.0;
    let set = &set.vacuum_memory;
    let server = &snapshot.server;
    if server.in_recovery || server.version_num >= FLAT_UNTIL {
        return Vec::new();
    }
    let own = number(snapshot, "autovacuum_work_mem").filter(|kb| *kb >= 0.0);
    let Some(room) = own.or_else(|| number(snapshot, "maintenance_work_mem")) else {
        return Vec::new();
    };
    let room = room * 1_024.0;
    let passes = |table: &Table| {
        let rows = table.row_estimate.unwrap_or(0.0);
        let trigger = horizon::vacuum_trigger(snapshot, table, rows);
        let dead = trigger.max(table.n_dead_tup as f64);
        (dead * A_ROW / room.max(1.0), dead)
    };
    let written = |t: &&Table| t.n_tup_upd + t.n_tup_del >= set.rows_min && t.index_bytes > 0;
    let tables = snapshot.tables.iter().filter(written);
    let mut found: Vec<(&Table, f64, f64)> = tables
        .map(|table| (table, passes(table).0, passes(table).1))
        .filter(|(_, passes, _)| *passes > set.passes_max)
        .collect();
    found.sort_by(|a, b| b.1.total_cmp(&a.1));
    let Some((_, _, most)) = found.first().copied() else {
        return Vec::new();
    };
    let wanted = (most * A_ROW / 1_048_576.0).ceil().clamp(64.0, MOST_MB);
    let mut draft = Draft::new(
        Severity::Info,
        format!(
            "vacuum reads all indexes of {} tables more than once a run",
            found.len()
        ),
        "Give it more room, or let it come sooner for these tables (autovacuum_vacuum_scale_factor): \
         dead rows that do not fit make it read every index once more",
    )
    .about("autovacuum_work_mem");
    for (table, passes, dead) in found.iter().take(3) {
        draft = draft.seen(
            &plain(&table.schema, &table.name),
            format!("{dead:.0} dead rows, {:.0} passes", passes.ceil()),
        );
    }
    vec![
        draft
            .seen("room", format!("{:.0} MB", room / 1_048_576.0))
            .cured_here(
                format!(
                    "ALTER SYSTEM SET autovacuum_work_mem = '{wanted:.0}MB';\nSELECT \
                     pg_reload_conf();"
                ),
                "",
            ),
    ]
}

pub(super) fn dead_rows(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.dead_rows;
    if snapshot.server.in_recovery {
        return Vec::new();
    }
    let is_server_off = snapshot
        .settings
        .get("autovacuum")
        .is_some_and(|on| on == "off");
    let mut overdue: Vec<&Table> = snapshot
        .tables
        .iter()
        .filter(|t| t.n_dead_tup >= set.rows_min)
        .filter(|t| {
            let trigger = horizon::vacuum_trigger(snapshot, t, horizon::rows(t));
            // Where autovacuum will not come, what it would come for is overdue.
            let factor = if is_server_off || horizon::is_off(t) {
                1.0
            } else {
                set.overdue_factor
            };
            t.n_dead_tup as f64 >= factor * trigger
        })
        .collect();
    overdue.sort_by_key(|t| std::cmp::Reverse(t.n_dead_tup));
    overdue
        .into_iter()
        .map(|t| {
            let title = format!(
                "{} dead rows wait in {}",
                count(t.n_dead_tup as f64),
                plain(&t.schema, &t.name)
            );
            let advice = "Vacuum the table; if this comes back, lower its \
                          autovacuum_vacuum_scale_factor or look for a long transaction that keeps \
                          the rows alive";
            Draft::new(Severity::Warning, title, advice)
                .about(plain(&t.schema, &t.name))
                .seen("n_dead_tup", t.n_dead_tup)
                .seen("n_live_tup", t.n_live_tup)
                .seen("last_vacuum", when(t.last_vacuum.max(t.last_autovacuum)))
                .cured_by(
                    format!("VACUUM (ANALYZE) {};", sql::qualified(&t.schema, &t.name)),
                    VACUUM_LOCK,
                )
        })
        .collect()
}

pub(super) fn stale_statistics(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.stale_statistics;
    if snapshot.server.in_recovery {
        return Vec::new();
    }
    let mut stale: Vec<(&Table, bool)> = snapshot
        .tables
        .iter()
        .filter_map(|t| {
            // The times of the last analyse are lost with a reset; the row estimate is not.
            let never = t.row_estimate.is_none() && t.n_live_tup >= set.rows_min;
            let base = horizon::option(snapshot, t, "autovacuum_analyze_threshold", 50.0);
            let share = horizon::option(snapshot, t, "autovacuum_analyze_scale_factor", 0.1);
            let trigger = base + share * horizon::rows(t);
            let behind = t.n_mod_since_analyze >= set.rows_min
                && t.n_mod_since_analyze as f64 >= set.overdue_factor * trigger;
            (never || behind).then_some((t, never))
        })
        .collect();
    stale.sort_by_key(|(t, _)| std::cmp::Reverse(t.n_mod_since_analyze));
    stale
        .into_iter()
        .map(|(t, never)| {
            let table = plain(&t.schema, &t.name);
            let title = if never {
                format!("{table} was never analysed")
            } else {
                format!(
                    "{table} changed by {} rows since it was analysed",
                    count(t.n_mod_since_analyze as f64)
                )
            };
            let advice = "Analyse the table: the planner guesses from what it knew last, and its \
                          plans are as wrong as that";
            Draft::new(Severity::Warning, title, advice)
                .about(table)
                .seen("n_mod_since_analyze", t.n_mod_since_analyze)
                .seen("n_live_tup", t.n_live_tup)
                .seen("last_analyze", when(t.last_analyze.max(t.last_autoanalyze)))
                .cured_by(
                    format!("ANALYZE {};", sql::qualified(&t.schema, &t.name)),
                    VACUUM_LOCK,
                )
        })
        .collect()
}

fn number(snapshot: &Snapshot, setting: &str) -> Option<f64> {
    snapshot.settings.get(setting)?.parse().ok()
}

fn when(at: Option<crate::model::units::Timestamp>) -> String {
    at.map_or_else(|| "not known".to_owned(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::checks::fixture::{quiet, table, thresholds};

    #[test]
    fn ids_that_run_out_name_the_oldest_tables() {
        let mut snapshot = quiet();
        snapshot.databases[0].xid_age = 1_500_000_000;
        snapshot.tables[0].xid_age = 1_500_000_000;
        let drafts = xid_wraparound(&snapshot, thresholds());
        assert_eq!(drafts[0].severity, Severity::Critical);
        assert_eq!(
            drafts[0].cure.as_ref().unwrap().sql,
            "VACUUM (FREEZE) \"public\".\"lead\";"
        );
        snapshot.databases[0].xid_age = 190_000_000;
        assert!(xid_wraparound(&snapshot, thresholds()).is_empty());
    }

    #[test]
    fn a_late_freeze_by_design_is_warned_later() {
        let mut snapshot = quiet();
        snapshot.databases[0].xid_age = 600_000_000;
        assert_eq!(xid_wraparound(&snapshot, thresholds()).len(), 1);
        let own = (
            "autovacuum_freeze_max_age".to_owned(),
            "800000000".to_owned(),
        );
        snapshot.settings.extend([own]);
        assert!(xid_wraparound(&snapshot, thresholds()).is_empty());
    }

    #[test]
    fn multixacts_are_watched_on_their_own() {
        let mut snapshot = quiet();
        snapshot.databases[0].mxid_age = 900_000_000;
        assert!(xid_wraparound(&snapshot, thresholds()).is_empty());
        let drafts = mxid_wraparound(&snapshot, thresholds());
        assert_eq!(drafts[0].severity, Severity::Warning);
        assert!(drafts[0].title.contains("multixact"));
    }

    #[test]
    fn dead_rows_are_overdue_by_the_server_s_own_formula() {
        let mut snapshot = quiet();
        snapshot.tables = vec![table("busy", 100_000)];
        snapshot.tables[0].n_dead_tup = 30_000;
        assert!(
            dead_rows(&snapshot, thresholds()).is_empty(),
            "1.5 times the trigger"
        );
        snapshot.tables[0].n_dead_tup = 50_000;
        let drafts = dead_rows(&snapshot, thresholds());
        assert_eq!(
            drafts[0].cure.as_ref().unwrap().sql,
            "VACUUM (ANALYZE) \"public\".\"busy\";"
        );
        snapshot.tables[0] = table("small", 10);
        snapshot.tables[0].n_dead_tup = 9_000;
        assert!(
            dead_rows(&snapshot, thresholds()).is_empty(),
            "too few to matter"
        );
    }

    #[test]
    fn the_server_s_formulas_count_with_its_estimate_of_rows() {
        // A crash has emptied the counters; what came since is far from making autovacuum come.
        let mut snapshot = quiet();
        snapshot.tables = vec![table("large", 10_000_000)];
        snapshot.tables[0].n_live_tup = 5_000;
        snapshot.tables[0].n_dead_tup = 20_000;
        snapshot.tables[0].n_mod_since_analyze = 25_000;
        assert!(dead_rows(&snapshot, thresholds()).is_empty());
        assert!(stale_statistics(&snapshot, thresholds()).is_empty());
    }

    #[test]
    fn from_18_on_there_is_a_most_of_dead_rows() {
        let mut snapshot = quiet();
        snapshot.tables = vec![table("huge", 2_000_000_000)];
        snapshot.tables[0].n_dead_tup = 250_000_000;
        assert!(dead_rows(&snapshot, thresholds()).is_empty());
        let most = (
            "autovacuum_vacuum_max_threshold".to_owned(),
            "100000000".to_owned(),
        );
        snapshot.settings.extend([most]);
        assert_eq!(dead_rows(&snapshot, thresholds()).len(), 1);
        snapshot.tables[0].options = vec!["autovacuum_vacuum_max_threshold=-1".into()];
        assert!(dead_rows(&snapshot, thresholds()).is_empty());
    }

    #[test]
    fn a_standby_is_not_told_to_vacuum() {
        let mut snapshot = quiet();
        snapshot.tables[0].n_dead_tup = 10_000_000;
        snapshot.tables[0].row_estimate = None;
        snapshot.server.in_recovery = true;
        assert!(dead_rows(&snapshot, thresholds()).is_empty());
        assert!(stale_statistics(&snapshot, thresholds()).is_empty());
    }

    #[test]
    fn never_analysed_is_known_by_the_estimate_not_by_the_times() {
        let mut snapshot = quiet();
        snapshot.tables = vec![table("fresh", 20_000)];
        // After a reset of the statistics the times are gone, the estimate is not.
        assert!(stale_statistics(&snapshot, thresholds()).is_empty());
        snapshot.tables[0].row_estimate = None;
        assert!(
            stale_statistics(&snapshot, thresholds())[0]
                .title
                .contains("never analysed")
        );
        snapshot.tables[0].row_estimate = Some(20_000.0);
        snapshot.tables[0].n_mod_since_analyze = 15_000;
        assert_eq!(stale_statistics(&snapshot, thresholds()).len(), 1);
    }
}
