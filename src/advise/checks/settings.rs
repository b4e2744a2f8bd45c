//! Settings that lose data, stop upkeep, or were never looked at.
//!
//! Source: PostgreSQL manual, sections 20.4 to 20.10.

use crate::model::database::Snapshot;
use crate::model::finding::Severity;

use super::{Draft, Thresholds, percent, size};

fn is_off(snapshot: &Snapshot, setting: &str) -> bool {
    snapshot
        .settings
        .get(setting)
        .is_some_and(|value| value == "off")
}

fn switched_off(snapshot: &Snapshot, setting: &str, severity: Severity, why: &str) -> Vec<Draft> {
    if !is_off(snapshot, setting) {
        return Vec::new();
    }
    let command = format!("ALTER SYSTEM SET {setting} = on;\nSELECT pg_reload_conf();");
    vec![
        Draft::new(severity, format!("{setting} is off"), why)
            .about(setting)
            .seen(setting, "off")
            .cured_here(command, ""),
    ]
}

pub(super) fn fsync_off(snapshot: &Snapshot, _: &Thresholds) -> Vec<Draft> {
    let why = "Switch it on: a power cut now can destroy the whole cluster beyond repair";
    switched_off(snapshot, "fsync", Severity::Critical, why)
}

pub(super) fn full_page_writes_off(snapshot: &Snapshot, _: &Thresholds) -> Vec<Draft> {
    let why = "Switch it on, unless the file system never tears a page: half-written pages cannot \
               be mended from the WAL";
    switched_off(snapshot, "full_page_writes", Severity::Critical, why)
}

pub(super) fn autovacuum_off(snapshot: &Snapshot, _: &Thresholds) -> Vec<Draft> {
    let why = "Switch it on: without it tables bloat, plans go wrong, and in the end transaction \
               ids run out";
    switched_off(snapshot, "autovacuum", Severity::Critical, why)
}

pub(super) fn io_timing_off(snapshot: &Snapshot, _: &Thresholds) -> Vec<Draft> {
    let why = "Switch it on if pg_test_timing shows under 100 ns a reading: then the time that \
               statements wait for the disk is known";
    switched_off(snapshot, "track_io_timing", Severity::Info, why)
}

/// Ways of planning that are switched off for everybody.
pub(super) fn planner_switches(snapshot: &Snapshot, _: &Thresholds) -> Vec<Draft> {
    // Partitionwise plans and the like are off unless somebody asks for them.
    const ON_BY_DEFAULT: [&str; 9] = [
        "enable_bitmapscan",
        "enable_hashagg",
        "enable_hashjoin",
        "enable_indexonlyscan",
        "enable_indexscan",
        "enable_mergejoin",
        "enable_nestloop",
        "enable_seqscan",
        "enable_sort",
    ];
    let off: Vec<&str> = ON_BY_DEFAULT
        .into_iter()
        .filter(|setting| is_off(snapshot, setting))
        .collect();
    if off.is_empty() {
        return Vec::new();
    }
    let mut command: Vec<String> = off
        .iter()
        .map(|setting| format!("ALTER SYSTEM RESET {setting};"))
        .collect();
    command.push("SELECT pg_reload_conf();".to_owned());
    vec![
        Draft::new(
            Severity::Warning,
            format!(
                "the planner must not use what {} switches off",
                off.join(", ")
            ),
            "Switch it on again, and mend the one statement that it was for: these are for \
             experiments in a session, and as a setting they spoil every other plan",
        )
        .about(off.join(", "))
        .seen("off", off.join(", "))
        .cured_here(
            command.join("\n"),
            "if it is set in the file, take it out there",
        ),
    ]
}

/// Every statement goes to the server's log.
pub(super) fn logs_everything(snapshot: &Snapshot, _: &Thresholds) -> Vec<Draft> {
    let value = |name: &str| snapshot.settings.get(name).map_or("", String::as_str);
    let (which, wanted) = if value("log_statement") == "all" {
        ("log_statement", "'ddl'")
    } else if value("log_min_duration_statement") == "0" {
        ("log_min_duration_statement", "'1s'")
    } else {
        return Vec::new();
    };
    vec![
        Draft::new(
            Severity::Info,
            format!("{which} writes every statement to the server's log"),
            "Log what is slow instead: the log takes disk and processor, and holds the values of \
             statements, personal data among them. Statements are counted in pg_stat_statements",
        )
        .about(which)
        .seen(which, value(which))
        .cured_here(
            format!("ALTER SYSTEM SET {which} = {wanted};\nSELECT pg_reload_conf();"),
            "",
        ),
    ]
}

/// More connections are allowed than any machine can serve at once.
pub(super) fn max_connections_high(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.max_connections_high;
    let allowed = snapshot.pool.max;
    if allowed < set.connections_min {
        return Vec::new();
    }
    let share = f64::from(snapshot.pool.active) / f64::from(allowed.max(1));
    vec![
        Draft::new(
            Severity::Info,
            format!("max_connections is {allowed}"),
            "Let a pooler share out a few dozen instead: each open session costs memory and makes \
             every snapshot dearer, and a crowd that all runs at once is slower than a queue",
        )
        .about("max_connections")
        .seen(
            "active now",
            format!("{}, {}", snapshot.pool.active, percent(share)),
        )
        .seen("open now", snapshot.pool.total),
    ]
}

pub(super) fn shared_buffers_default(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.shared_buffers_default;
    let blocks = snapshot
        .settings
        .get("shared_buffers")
        .and_then(|v| v.parse::<u64>().ok());
    let bytes: u64 = snapshot
        .databases
        .iter()
        .filter_map(|db| db.size_bytes)
        .sum();
    let Some(blocks) = blocks.filter(|blocks| *blocks <= set.default_blocks) else {
        return Vec::new();
    };
    // Where the machine is known, it is what they are held against.
    if bytes < set.database_bytes_min || snapshot.machine.memory_bytes.is_some() {
        return Vec::new();
    }
    vec![
        Draft::new(
            Severity::Warning,
            "shared_buffers is at its built-in default, which suits a laptop",
            "Set it to about a quarter of the machine's memory, as the manual advises, and restart. \
             That memory is not known here: 512 MB suit any machine of 2 GB or more",
        )
        .about("shared_buffers")
        .seen("shared_buffers", size(blocks.saturating_mul(8192)))
        .seen("databases", size(bytes))
        .cured_here(
            "ALTER SYSTEM SET shared_buffers = '512MB';",
            "then a restart",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::checks::fixture::{quiet, thresholds};

    #[test]
    fn dangerous_switches_are_critical_and_unknown_ones_silent() {
        let checks = [
            (
                "fsync",
                fsync_off as fn(&Snapshot, &Thresholds) -> Vec<Draft>,
            ),
            ("full_page_writes", full_page_writes_off),
            ("autovacuum", autovacuum_off),
        ];
        for (setting, check) in checks {
            let mut snapshot = quiet();
            assert!(check(&snapshot, thresholds()).is_empty(), "{setting} is on");
            snapshot.settings.insert(setting.into(), "off".into());
            let drafts = check(&snapshot, thresholds());
            assert_eq!(drafts[0].severity, Severity::Critical);
            assert!(
                drafts[0]
                    .cure
                    .as_ref()
                    .unwrap()
                    .sql
                    .contains(&format!("SET {setting} = on"))
            );
            snapshot.settings.remove(setting);
            assert!(
                check(&snapshot, thresholds()).is_empty(),
                "{setting} could not be read"
            );
        }
    }

    #[test]
    fn io_timing_is_only_a_hint() {
        let mut snapshot = quiet();
        snapshot
            .settings
            .insert("track_io_timing".into(), "off".into());
        assert_eq!(
            io_timing_off(&snapshot, thresholds())[0].severity,
            Severity::Info
        );
    }

    #[test]
    fn small_servers_may_keep_the_default_buffers() {
        let mut snapshot = quiet();
        snapshot
            .settings
            .insert("shared_buffers".into(), "16384".into());
        assert!(shared_buffers_default(&snapshot, thresholds()).is_empty());
        snapshot.databases[0].size_bytes = Some(20 << 30);
        assert_eq!(shared_buffers_default(&snapshot, thresholds()).len(), 1);
        snapshot
            .settings
            .insert("shared_buffers".into(), "524288".into());
        assert!(shared_buffers_default(&snapshot, thresholds()).is_empty());
    }
}
