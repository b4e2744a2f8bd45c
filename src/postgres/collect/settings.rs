//! `pg_settings`: all of them for the checks, the ones that bound something as series.
//!
//! Read again only after a reload or a restart: nothing else changes them for a new session.

use std::collections::BTreeMap;

use crate::model::series::{Labels, Metric, Sample};
use crate::model::units::Timestamp;
use crate::postgres::read::Cells;
use crate::postgres::session::Session;
use crate::postgres::{MARKER, Result};

const PART: &str = "settings";

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric::gauge(name, help)
}

/// Setting, series, and what one unit of the setting is in the series' unit. Names are those of
/// the exporter.
const SERIES: &[(&str, Metric)] = &[
    (
        "max_connections",
        gauge("pg_settings_max_connections", "Most connections at a time."),
    ),
    (
        "superuser_reserved_connections",
        gauge(
            "pg_settings_superuser_reserved_connections",
            "Connections kept for superusers.",
        ),
    ),
    (
        "reserved_connections",
        gauge(
            "pg_settings_reserved_connections",
            "Connections kept for pg_use_reserved_connections (16 and later).",
        ),
    ),
    (
        "shared_buffers",
        gauge(
            "pg_settings_shared_buffers_bytes",
            "Size of shared buffers.",
        ),
    ),
    (
        "effective_cache_size",
        gauge(
            "pg_settings_effective_cache_size_bytes",
            "What the planner takes the caches to be.",
        ),
    ),
    (
        "work_mem",
        gauge("pg_settings_work_mem_bytes", "Memory of one sort or hash."),
    ),
    (
        "maintenance_work_mem",
        gauge(
            "pg_settings_maintenance_work_mem_bytes",
            "Memory of one maintenance task.",
        ),
    ),
    (
        "max_wal_size",
        gauge(
            "pg_settings_max_wal_size_bytes",
            "WAL that sets off a checkpoint.",
        ),
    ),
    (
        "checkpoint_timeout",
        gauge(
            "pg_settings_checkpoint_timeout_seconds",
            "Longest time between checkpoints.",
        ),
    ),
    (
        "autovacuum_freeze_max_age",
        gauge(
            "pg_settings_autovacuum_freeze_max_age",
            "Transaction age at which a table is vacuumed against wraparound.",
        ),
    ),
    (
        "autovacuum_multixact_freeze_max_age",
        gauge(
            "pg_settings_autovacuum_multixact_freeze_max_age",
            "Multixact age at which a table is vacuumed against wraparound.",
        ),
    ),
    (
        "autovacuum_max_workers",
        gauge(
            "pg_settings_autovacuum_max_workers",
            "Most autovacuum workers at a time.",
        ),
    ),
    (
        "max_worker_processes",
        gauge(
            "pg_settings_max_worker_processes",
            "Most background workers at a time.",
        ),
    ),
    (
        "max_wal_senders",
        gauge("pg_settings_max_wal_senders", "Most WAL senders at a time."),
    ),
    (
        "max_replication_slots",
        gauge(
            "pg_settings_max_replication_slots",
            "Most replication slots.",
        ),
    ),
    (
        "max_locks_per_transaction",
        gauge(
            "pg_settings_max_locks_per_transaction",
            "Sizes the shared lock table.",
        ),
    ),
];

pub(super) fn metrics() -> impl Iterator<Item = &'static Metric> {
    SERIES.iter().map(|(_, metric)| metric)
}

/// Settings as last read.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    read_at: Option<(Timestamp, Timestamp)>,
    values: BTreeMap<String, String>,
    samples: Vec<Sample>,
}

impl Settings {
    /// Reads them again if the server was started or reloaded since.
    pub(crate) async fn refresh(
        &mut self,
        session: &mut Session,
        (started, loaded): (Timestamp, Timestamp),
    ) -> Result<()> {
        if self.read_at == Some((started, loaded)) {
            return Ok(());
        }
        let sql = format!("select {MARKER} name, setting, unit from pg_show_all_settings()");
        let mut values = BTreeMap::new();
        let mut samples = Vec::new();
        for row in session.rows(PART, &sql, &[]).await? {
            let cells = Cells::new(PART, &row);
            let (name, setting) = (cells.text(0)?, cells.text(1)?);
            if let Some((_, metric)) = SERIES.iter().find(|(setting, _)| *setting == name)
                && let (Ok(value), Some(factor)) = (setting.parse::<f64>(), factor(&cells.text(2)?))
            {
                samples.push(metric.sample(Labels::none(), value * factor));
            }
            values.insert(name, setting);
        }
        *self = Self {
            read_at: Some((started, loaded)),
            values,
            samples,
        };
        Ok(())
    }

    /// All by name, in each setting's own unit.
    pub(crate) fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    /// The series.
    pub(crate) fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// `max_connections`, and how many of them are kept for others.
    pub(crate) fn connection_limits(&self) -> (u32, u32) {
        let number = |name: &str| -> u32 {
            self.values
                .get(name)
                .and_then(|value| value.parse().ok())
                .unwrap_or(0)
        };
        (
            number("max_connections"),
            number("superuser_reserved_connections") + number("reserved_connections"),
        )
    }

    /// Forget what was read: it may be another server now.
    pub(crate) fn forget(&mut self) {
        self.read_at = None;
    }
}

/// Base units (bytes, seconds) in one unit of the setting, such as `8kB` or `ms`.
fn factor(unit: &str) -> Option<f64> {
    let digits = unit
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(unit.len());
    let (count, unit) = unit.split_at(digits);
    let count = count.parse().unwrap_or(1.0);
    Some(
        count
            * match unit {
                "" | "B" | "s" => 1.0,
                "kB" => 1024.0,
                "MB" => 1024.0 * 1024.0,
                "GB" => 1024.0 * 1024.0 * 1024.0,
                "us" => 1e-6,
                "ms" => 1e-3,
                "min" => 60.0,
                "h" => 3_600.0,
                "d" => 86_400.0,
                _ => return None,
            },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_settings_become_base_units() {
        assert_eq!(factor("8kB"), Some(8192.0));
        assert_eq!(factor("16MB"), Some(16.0 * 1024.0 * 1024.0));
        assert_eq!(factor("ms"), Some(1e-3));
        assert_eq!(factor(""), Some(1.0));
        assert_eq!(factor("parsec"), None);
    }
}
