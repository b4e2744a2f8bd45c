//! Who keeps vacuum from its work, and tables whose settings do.
//!
//! Source: PostgreSQL manual, sections 25.1.2 "Recovering Disk Space", 20.10 "Automatic Vacuuming",
//! 53.16 `pg_prepared_xacts`, and `CREATE TABLE`, "Storage Parameters".

use super::{Draft, Thresholds, count, graded, plain, size, span};
use crate::advise::sql;
use crate::model::database::{Snapshot, Table};
use crate::model::finding::Severity;
use crate::model::structure::HorizonHolder;

const SETTING_LOCK: &str = "ShareUpdateExclusiveLock on the table";

pub(super) fn held(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.horizon_held;
    // Only the oldest of all holds anything back; the next is told when this one has gone.
    let oldest = snapshot.horizon.iter().max_by_key(|holder| holder.age);
    let dead: u64 = snapshot.tables.iter().map(|t| t.n_dead_tup).sum();
    oldest
        .into_iter()
        .filter_map(|holder| {
            let severity = graded(&holder.age, &set.warn_age, &set.critical_age)?;
            let title = format!(
                "{} keeps rows alive that died up to {} transactions ago",
                called(holder),
                holder.age
            );
            let mut draft = Draft::new(
                severity,
                title,
                "End it: until then vacuum removes nothing that died after it began, in any table",
            )
            .about(called(holder))
            .seen("age in transactions", holder.age)
            .seen("dead rows in all tables", dead);
            if let Some(open) = holder.open_ms {
                draft = draft.seen("open for", span(open));
            }
            Some(match command(holder) {
                Some((command, true)) => draft.cured_here(command, ""),
                Some((command, false)) => draft.cured_by(command, "none"),
                None => draft,
            })
        })
        .collect()
}

fn called(holder: &HorizonHolder) -> String {
    match holder.kind.as_str() {
        "session" => format!("session {}", holder.name),
        "slot" => format!("slot {}", holder.name),
        "prepared" => format!("prepared transaction {}", holder.name),
        _ => format!(
            "standby {} (hot_standby_feedback, or its slot)",
            holder.name
        ),
    }
}

/// What ends it, and whether that runs on a standby, too.
fn command(holder: &HorizonHolder) -> Option<(String, bool)> {
    let name = sql::literal(&holder.name);
    let name = name.trim();
    match holder.kind.as_str() {
        "session" => Some((
            format!("SELECT pg_terminate_backend({});", holder.name),
            true,
        )),
        "slot" => Some((format!("SELECT pg_drop_replication_slot({name});"), true)),
        "prepared" => Some((format!("ROLLBACK PREPARED {name};"), false)),
        _ => None,
    }
}

pub(super) fn prepared(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.prepared_transaction;
    let waiting = snapshot.horizon.iter().filter(|h| h.kind == "prepared");
    waiting
        .filter_map(|holder| {
            let open = holder.open_ms?;
            let severity = graded(&open, &set.warn_age_ms, &set.critical_age_ms)?;
            let title = format!(
                "prepared transaction {} has waited for {}",
                holder.name,
                span(open)
            );
            Some(
                Draft::new(
                    severity,
                    title,
                    "Let its manager commit it, or roll it back: it holds its locks and old row \
                     versions, also through a restart",
                )
                .about(&holder.name)
                .seen("age in transactions", holder.age)
                .cured_by(command(holder)?.0, "none"),
            )
        })
        .collect()
}

/// A storage parameter of a table, or the server's setting.
pub(super) fn option(snapshot: &Snapshot, table: &Table, name: &str, default: f64) -> f64 {
    let mut own = table.options.iter();
    let own = own.find_map(|o| o.strip_prefix(name)?.strip_prefix('='));
    let text = own.or_else(|| snapshot.settings.get(name).map(String::as_str));
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Whether autovacuum is switched off for the table.
pub(super) fn is_off(table: &Table) -> bool {
    let mut values = table.options.iter();
    values.any(|o| {
        o.strip_prefix("autovacuum_enabled=")
            .is_some_and(|value| ["false", "off", "no", "0"].contains(&value))
    })
}

pub(super) fn autovacuum_off_table(snapshot: &Snapshot, _: &Thresholds) -> Vec<Draft> {
    let off = snapshot.tables.iter().filter(|table| is_off(table));
    off.map(|table| {
        let name = plain(&table.schema, &table.name);
        let command = format!(
            "ALTER TABLE {} RESET (autovacuum_enabled);",
            sql::qualified(&table.schema, &table.name)
        );
        Draft::new(
            Severity::Warning,
            format!("autovacuum is switched off for {name}"),
            "Switch it on again, or vacuum and analyse the table by a job of your own: else it \
             bloats, its plans go wrong, and in the end transaction ids run out",
        )
        .about(name)
        .seen("n_dead_tup", table.n_dead_tup)
        .seen("n_mod_since_analyze", table.n_mod_since_analyze)
        .cured_by(command, SETTING_LOCK)
    })
    .collect()
}

pub(super) fn vacuum_settings(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.vacuum_settings;
    if snapshot.server.in_recovery {
        return Vec::new();
    }
    let mut late: Vec<(&Table, f64)> = snapshot
        .tables
        .iter()
        .filter(|t| t.n_tup_upd + t.n_tup_del > set.rows_min)
        .filter_map(|table| {
            let base = option(snapshot, table, "autovacuum_vacuum_threshold", 50.0);
            let share = option(snapshot, table, "autovacuum_vacuum_scale_factor", 0.2);
            let rows = table.row_estimate?.max(table.n_live_tup as f64);
            let most = option(
                snapshot,
                table,
                "autovacuum_vacuum_max_threshold",
                f64::INFINITY,
            );
            let most = if most < 0.0 { f64::INFINITY } else { most };
            let trigger = (base + share * rows).min(most);
            (trigger >= set.dead_rows_max as f64).then_some((table, trigger))
        })
        .collect();
    late.sort_by(|a, b| b.1.total_cmp(&a.1));
    late.into_iter()
        .map(|(table, trigger)| {
            let name = plain(&table.schema, &table.name);
            let rows = table.row_estimate.unwrap_or(0.0).max(1.0);
            // Rounded down to a digit, so that it reads as a setting.
            let wanted = (set.dead_rows_max as f64 / 2.0 / rows * 1e3)
                .floor()
                .max(1.0)
                / 1e3;
            let command = format!(
                "ALTER TABLE {} SET (autovacuum_vacuum_scale_factor = {wanted}, \
                 autovacuum_vacuum_threshold = 1000);",
                sql::qualified(&table.schema, &table.name)
            );
            Draft::new(
                Severity::Info,
                format!(
                    "autovacuum waits for {} dead rows in {name}",
                    count(trigger)
                ),
                "Let it come sooner for this table: many short runs keep the table and its \
                 indexes small, one long run does not",
            )
            .about(name)
            .seen("rows", format!("{rows:.0}"))
            .seen("size", size(table.table_bytes))
            .seen(
                "updates and deletes",
                table.n_tup_upd.saturating_add(table.n_tup_del),
            )
            .cured_by(command, SETTING_LOCK)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::checks::fixture::{quiet, table, thresholds};

    fn holder(kind: &str, age: u64, open_ms: Option<u64>) -> HorizonHolder {
        HorizonHolder {
            kind: kind.into(),
            name: "o'ld".into(),
            age,
            open_ms,
        }
    }

    #[test]
    fn only_the_oldest_holder_is_to_blame() {
        let mut snapshot = quiet();
        snapshot.horizon = vec![
            holder("session", 20_000_000, Some(9_000)),
            holder("slot", 150_000_000, None),
        ];
        let drafts = held(&snapshot, thresholds());
        assert_eq!(drafts.len(), 1);
        assert_eq!(drafts[0].severity, Severity::Critical);
        assert_eq!(
            drafts[0].cure.as_ref().unwrap().sql,
            "SELECT pg_drop_replication_slot('o''ld');"
        );
        snapshot.horizon = vec![holder("session", 50_000, Some(9_000))];
        assert!(held(&snapshot, thresholds()).is_empty());
        snapshot.horizon = vec![holder("standby", 20_000_000, None)];
        assert_eq!(held(&snapshot, thresholds())[0].cure, None);
    }

    #[test]
    fn a_forgotten_prepared_transaction_is_told_and_a_fresh_one_not() {
        let mut snapshot = quiet();
        snapshot.horizon = vec![holder("prepared", 3, Some(10_000_000))];
        let drafts = prepared(&snapshot, thresholds());
        assert_eq!(
            drafts[0].cure.as_ref().unwrap().sql,
            "ROLLBACK PREPARED 'o''ld';"
        );
        snapshot.horizon = vec![holder("prepared", 3, Some(1_000))];
        assert!(prepared(&snapshot, thresholds()).is_empty());
    }

    fn with_option(text: &str) -> Snapshot {
        let mut snapshot = quiet();
        snapshot.tables[0].options = vec![text.to_owned()];
        snapshot
    }

    #[test]
    fn a_table_without_autovacuum_is_told() {
        let drafts = autovacuum_off_table(&with_option("autovacuum_enabled=false"), thresholds());
        assert_eq!(
            drafts[0].cure.as_ref().unwrap().sql,
            "ALTER TABLE \"public\".\"lead\" RESET (autovacuum_enabled);"
        );
        for fine in ["autovacuum_enabled=true", "fillfactor=80"] {
            assert!(autovacuum_off_table(&with_option(fine), thresholds()).is_empty());
        }
    }

    #[test]
    fn a_huge_table_gets_a_smaller_share_unless_it_has_one() {
        let huge = |option: &str| {
            let mut snapshot = quiet();
            snapshot.tables = vec![Table {
                n_tup_upd: 5_000_000,
                options: vec![option.to_owned()],
                ..table("lead", 100_000_000)
            }];
            snapshot
        };
        let drafts = vacuum_settings(&huge("fillfactor=90"), thresholds());
        let sql = &drafts[0].cure.as_ref().unwrap().sql;
        assert!(sql.contains("scale_factor = 0.025"), "{sql}");
        let set = huge("autovacuum_vacuum_scale_factor=0.01");
        assert!(vacuum_settings(&set, thresholds()).is_empty());
        let mut read_only = huge("fillfactor=90");
        read_only.tables[0].n_tup_upd = 0;
        assert!(vacuum_settings(&read_only, thresholds()).is_empty());
    }
}
