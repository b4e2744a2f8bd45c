//! Who keeps vacuum from its work, and tables whose settings do.
//!
//! Source: PostgreSQL manual, sections 25.1.2 "Recovering Disk Space", 20.10 "Automatic Vacuuming",
//! 53.16 `pg_prepared_xacts`, and `CREATE TABLE`, "Storage Parameters".

use super::{Draft, Thresholds, count, graded, plain, size, span};
use crate::advise::sql;
use crate::model::database::{Snapshot, Table};
use crate::model::finding::Severity;
use crate::model::structure::HorizonHolder;

/// A slot that is decoded.
const CATALOG: &str = "catalog";

const SETTING_LOCK: &str = "ShareUpdateExclusiveLock on the table";

pub(super) fn held(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.horizon_held;
    let here = || snapshot.horizon.iter().filter(|h| h.elsewhere.is_none());
    // Only the oldest of all holds anything back; the next is told when this one has gone.
    let oldest = here()
        .filter(|h| h.kind != CATALOG)
        .max_by_key(|holder| holder.age);
    let of_catalogs = here()
        .filter(|h| h.kind == CATALOG)
        .max_by_key(|holder| holder.age)
        .filter(|slot| oldest.is_none_or(|oldest| slot.age > oldest.age));
    let dead: u64 = snapshot.tables.iter().map(|t| t.n_dead_tup).sum();
    oldest
        .into_iter()
        .chain(of_catalogs)
        .filter_map(|holder| {
            let severity = graded(&holder.age, &set.warn_age, &set.critical_age)?;
            let (whose, advice) = if holder.kind == CATALOG {
                (
                    "rows of the system's catalogs",
                    "Bring its reader on, or drop it: until then vacuum removes nothing that died \
                     after it from the system's catalogs, which many temporary tables make large",
                )
            } else {
                (
                    "rows",
                    "End it: until then vacuum removes nothing that died after it began, in any table",
                )
            };
            let title = format!(
                "{} keeps {whose} alive that died up to {} transactions ago",
                called(holder),
                holder.age
            );
            let mut draft = Draft::new(severity, title, advice)
                .about(called(holder))
                .seen("age in transactions", holder.age);
            if holder.kind != CATALOG {
                draft = draft.seen("dead rows in all tables", dead);
            }
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
        "slot" | CATALOG => format!("slot {}", holder.name),
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
        "slot" | CATALOG => Some((format!("SELECT pg_drop_replication_slot({name});"), true)),
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
            let draft = Draft::new(
                severity,
                title,
                "Let its manager commit it, or roll it back: it holds its locks and old row \
                 versions, also through a restart",
            )
            .about(&holder.name)
            .seen("age in transactions", holder.age);
            let command = command(holder)?.0;
            Some(match &holder.elsewhere {
                Some(database) => draft
                    .seen("database", database)
                    .cured_by(command, &format!("none; in database {database}")),
                None => draft.cured_by(command, "none"),
            })
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

/// Rows that the server's own formulas count with: `reltuples`, which a crash or a reset of the
/// counters leaves as it is.
pub(super) fn rows(table: &Table) -> f64 {
    table.row_estimate.unwrap_or(table.n_live_tup as f64)
}

/// Dead rows that make autovacuum come to a table of so many `rows`; from 18 on there is a most.
pub(super) fn vacuum_trigger(snapshot: &Snapshot, table: &Table, rows: f64) -> f64 {
    let base = option(snapshot, table, "autovacuum_vacuum_threshold", 50.0);
    let share = option(snapshot, table, "autovacuum_vacuum_scale_factor", 0.2);
    let most = option(
        snapshot,
        table,
        "autovacuum_vacuum_max_threshold",
        f64::INFINITY,
    );
    let most = if most < 0.0 { f64::INFINITY } else { most };
    (base + share * rows).min(most)
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
            let rows = table.row_estimate?.max(table.n_live_tup as f64);
            let trigger = vacuum_trigger(snapshot, table, rows);
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
            elsewhere: None,
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
    fn what_holds_back_catalogs_or_another_database_only_is_not_said_to_hold_back_all() {
        let mut snapshot = quiet();
        snapshot.horizon = vec![
            holder("catalog", 150_000_000, None),
            HorizonHolder {
                elsewhere: Some("other".into()),
                ..holder("prepared", 160_000_000, Some(10_000_000))
            },
            holder("session", 20_000_000, Some(9_000)),
        ];
        let drafts = held(&snapshot, thresholds());
        let titles: Vec<&str> = drafts.iter().map(|d| d.title.as_str()).collect();
        assert_eq!(titles.len(), 2);
        assert!(titles[0].starts_with("session") && !titles[0].contains("catalogs"));
        assert!(titles[1].starts_with("slot") && titles[1].contains("catalogs"));
        let told = &prepared(&snapshot, thresholds())[0];
        assert_eq!(told.cure.as_ref().unwrap().lock, "none; in database other");
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
