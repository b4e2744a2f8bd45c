//! Settings that lose data, stop upkeep, or were never looked at.
//!
//! Source: PostgreSQL manual, sections 20.4 to 20.10.

use crate::model::database::Snapshot;
use crate::model::finding::Severity;

use super::{Draft, Thresholds, size};

const RELOAD_LOCK: &str = "none";

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
            .cured_by(command, RELOAD_LOCK),
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
            "Set it to about a quarter of the machine's memory, as the manual advises, and restart",
        )
        .about("shared_buffers")
        .seen("shared_buffers", size(blocks.saturating_mul(8192)))
        .seen("databases", size(bytes)),
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
