//! Health checks: one pure function each, one file a family.
//!
//! For: verdicts on one [`Snapshot`]. Not for: trends (`forecast`) or shares of time (`diagnose`).
//! Each check stays silent where its evidence is thin. To add one: a function in its family, a
//! line in `CHECKS`, a table with its `doc` in `data/findings.toml`.

pub mod bloat;
mod correlated;
pub mod explain;
mod horizon;
mod indexes;
mod keys;
mod machine;
mod patterns;
mod pools;
mod replication;
mod rights;
mod sessions;
mod settings;
mod shape;
mod statements;
mod tables;
pub mod thresholds;
mod vacuum;
mod writes;

use std::fmt::Display;

use crate::model::database::Snapshot;
use crate::model::finding::{Cure, Evidence, Finding, Severity};
use crate::model::units::Bytes;

pub use indexes::has_old_counters;
pub use thresholds::Thresholds;

/// A check by its id.
struct Check {
    id: &'static str,
    run: fn(&Snapshot, &Thresholds) -> Vec<Draft>,
}

const fn check(id: &'static str, run: fn(&Snapshot, &Thresholds) -> Vec<Draft>) -> Check {
    Check { id, run }
}

/// All checks.
const CHECKS: [Check; 59] = [
    check("connections-near-max", sessions::connections_near_max),
    check("idle-in-transaction", sessions::idle_in_transaction),
    check("blocked-sessions", sessions::blocked_sessions),
    check("long-transaction", sessions::long_transaction),
    check("xid-wraparound", vacuum::xid_wraparound),
    check("mxid-wraparound", vacuum::mxid_wraparound),
    check("dead-rows", vacuum::dead_rows),
    check("stale-statistics", vacuum::stale_statistics),
    check("unused-index", indexes::unused),
    check("duplicate-index", indexes::duplicate),
    check("redundant-index", indexes::redundant),
    check("invalid-index", indexes::invalid),
    check("no-primary-key", tables::no_primary_key),
    check("sequence-exhaustion", tables::sequence_exhaustion),
    check("inactive-slot", replication::inactive_slot),
    check("replica-lag", replication::replica_lag),
    check("statements-missing", statements::missing),
    check("slow-statement", statements::slow),
    check("temp-spill", statements::temp_spill),
    check("cache-hit-low", statements::cache_hit_low),
    check("fsync-off", settings::fsync_off),
    check("full-page-writes-off", settings::full_page_writes_off),
    check("autovacuum-off", settings::autovacuum_off),
    check("archive-failing", writes::archive_failing),
    check("checksum-failures", writes::checksum_failures),
    check("horizon-held", horizon::held),
    check("prepared-transaction", horizon::prepared),
    check("autovacuum-off-table", horizon::autovacuum_off_table),
    check("pool-waiting", pools::waiting),
    check("pool-oversized", pools::oversized),
    check("plan-change", patterns::plan_change),
    check("statement-slower", patterns::statement_slower),
    check("n-plus-one", patterns::n_plus_one),
    check("missing-index", patterns::missing_index),
    check("unbounded-result", patterns::unbounded),
    check("deep-offset", patterns::deep_offset),
    check("index-bloat", bloat::index_bloat),
    check("table-bloat", bloat::table_bloat),
    check("lost-hot-updates", writes::lost_hot_updates),
    check("checkpoint-pressure", writes::checkpoint_pressure),
    check("deadlocks", writes::deadlocks),
    check("foreign-key-without-index", keys::without_index),
    check("foreign-key-type", keys::other_type),
    check("constraint-not-valid", keys::not_validated),
    check("superuser-sessions", rights::superuser_sessions),
    check("definer-search-path", rights::definer_search_path),
    check("shared-buffers-machine", machine::shared_buffers),
    check("work-mem-machine", machine::work_memory),
    check("planner-settings", machine::planner),
    check("parallel-settings", machine::workers),
    check("correlated-columns", correlated::without_statistics),
    check("vacuum-settings", horizon::vacuum_settings),
    check("public-schema", rights::public_schema),
    check("slot-behind", replication::slot_behind),
    check("standby-behind", replication::standby_behind),
    check("vacuum-memory", vacuum::vacuum_memory),
    check("maintenance-machine", machine::maintenance),
    check("planner-switches", settings::planner_switches),
    check("max-connections-high", settings::max_connections_high),
];

/// Checks that give advice only.
const HINTS: [Check; 4] = [
    check("shared-buffers-default", settings::shared_buffers_default),
    check("io-timing-off", settings::io_timing_off),
    check("password-md5", rights::password_method),
    check("logs-everything", settings::logs_everything),
];

/// Runs every check; findings come worst first, then in the order of the checks.
///
/// Of one check at most `limits.per_check_max` are given, each family's most important first; the
/// last of them says how many more there are.
pub fn run(snapshot: &Snapshot, thresholds: &Thresholds) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for check in CHECKS.iter().chain(&HINTS) {
        let mut own = (check.run)(snapshot, thresholds);
        own.sort_by_key(|draft| std::cmp::Reverse(draft.severity));
        let shown = thresholds.limits.per_check_max;
        let more = own.len().saturating_sub(shown);
        own.truncate(shown);
        if let (Some(last), true) = (own.last_mut(), more > 0) {
            last.evidence.push(Evidence::new("more of the same", more));
        }
        let is_standby = snapshot.server.in_recovery;
        findings.extend(own.into_iter().map(|draft| {
            let draft = if is_standby {
                draft.of_a_standby()
            } else {
                draft
            };
            draft.named(check.id)
        }));
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// A finding before it has its id.
struct Draft {
    severity: Severity,
    title: String,
    object: Option<String>,
    evidence: Vec<Evidence>,
    advice: String,
    cure: Option<Cure>,
    /// The cure also runs on a standby: it writes nothing to the database.
    runs_anywhere: bool,
}

impl Draft {
    fn new(severity: Severity, title: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            severity,
            title: title.into(),
            object: None,
            evidence: Vec::new(),
            advice: advice.into(),
            cure: None,
            runs_anywhere: false,
        }
    }

    fn about(mut self, object: impl Into<String>) -> Self {
        self.object = Some(object.into());
        self
    }

    fn seen(mut self, label: &str, value: impl Display) -> Self {
        self.evidence.push(Evidence::new(label, value.to_string()));
        self
    }

    fn cured_by(mut self, sql: impl Into<String>, lock: &str) -> Self {
        self.cure = Some(Cure {
            sql: sql.into(),
            lock: lock.to_owned(),
        });
        self
    }

    /// A cure that takes no lock and runs on the server that was looked at, whatever it is: a signal,
    /// a setting, a slot. `after` is what must follow, such as a restart; else empty.
    fn cured_here(mut self, sql: impl Into<String>, after: &str) -> Self {
        self.runs_anywhere = true;
        let lock = if after.is_empty() {
            "none".to_owned()
        } else {
            format!("none; {after}")
        };
        self.cured_by(sql, &lock)
    }

    /// A standby takes no writes: what changes the database is said to be for its primary.
    fn of_a_standby(mut self) -> Self {
        if let (Some(cure), false) = (&mut self.cure, self.runs_anywhere) {
            cure.lock.push_str("; on the primary");
            self.advice = format!("On the primary, since this is a standby: {}", self.advice);
        }
        self
    }

    fn named(self, id: &str) -> Finding {
        Finding {
            id: id.to_owned(),
            severity: self.severity,
            title: self.title,
            object: self.object,
            evidence: self.evidence,
            advice: self.advice,
            cure: self.cure,
        }
    }
}

/// Critical at or above `critical`, a warning at or above `warn`, else nothing.
fn graded<T: PartialOrd>(value: &T, warn: &T, critical: &T) -> Option<Severity> {
    if value >= critical {
        Some(Severity::Critical)
    } else if value >= warn {
        Some(Severity::Warning)
    } else {
        None
    }
}

/// A length of time as a person says it.
fn span(ms: u64) -> String {
    let seconds = ms as f64 / 1e3;
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3_600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}

fn size(bytes: u64) -> String {
    Bytes(bytes).to_string()
}

fn percent(ratio: f64) -> String {
    format!("{:.1} %", 100.0 * ratio)
}

/// A count with its thousands set apart.
fn count(value: f64) -> String {
    let digits = format!("{:.0}", value.max(0.0));
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `schema.name`, as a person writes it.
fn plain(schema: &str, name: &str) -> String {
    format!("{schema}.{name}")
}

/// A statement cut to what fits a line.
fn short(query: &str) -> String {
    const LINE: usize = 120;
    let one_line = query.split_whitespace().collect::<Vec<_>>().join(" ");
    if one_line.chars().count() <= LINE {
        return one_line;
    }
    let head: String = one_line.chars().take(LINE).collect();
    format!("{head}…")
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod fixture;

#[cfg(test)]
mod tests {
    use super::fixture::{quiet, thresholds};
    use super::*;
    use crate::model::database::Table;

    #[test]
    fn a_healthy_server_gives_no_finding() {
        assert_eq!(run(&quiet(), thresholds()), []);
    }

    #[test]
    fn findings_come_worst_first_and_are_cut_with_a_count() {
        let mut snapshot = quiet();
        snapshot.settings.insert("fsync".into(), "off".into());
        snapshot.tables = (0..60)
            .map(|i| Table {
                oid: i,
                schema: "public".into(),
                name: format!("t{i}"),
                row_estimate: Some(10.0),
                n_live_tup: 10,
                ..Table::default()
            })
            .collect();
        let findings = run(&snapshot, thresholds());
        assert_eq!(findings[0].id, "fsync-off");
        assert_eq!(findings[0].severity, Severity::Critical);
        let keyless: Vec<_> = findings
            .iter()
            .filter(|f| f.id == "no-primary-key")
            .collect();
        assert_eq!(keyless.len(), 50);
        let last = keyless.last().unwrap().evidence.last().unwrap();
        assert_eq!(last, &Evidence::new("more of the same", 10));
        let critical = findings.iter().filter(|f| f.severity == Severity::Critical);
        assert_eq!(critical.count(), 1);
    }

    #[test]
    fn ids_are_unique_and_each_has_its_table() {
        let mut ids: Vec<&str> = CHECKS.iter().chain(&HINTS).map(|c| c.id).collect();
        let table: toml::Table = thresholds::TEXT.parse().unwrap();
        for id in &ids {
            assert!(table.contains_key(*id), "{id}");
        }
        ids.sort_unstable();
        let all = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), all);
        assert_eq!(table.len(), all + 1, "a table without a check");
    }
}
