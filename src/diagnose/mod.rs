//! Where the platform is held up, and what will be.
//!
//! For: evidence in, ranked bottlenecks, alerts and one sentence out. Not for: what to mend in the
//! server's own house (`advise`) or how the future is computed (`forecast`). A rule without its
//! evidence stays silent; thresholds are in `data/targets.toml`. Read [`Evidence`] first, then
//! `saturation`.

mod alerts;
mod database;
mod saturation;
pub mod targets;
mod waits;

use crate::model::capacity::{Projection, Resource};
use crate::model::database::Snapshot;
use crate::model::finding::{Bottleneck, Component, Evidence as Fact, Impact};

pub use alerts::alerts;
pub use targets::Targets;

/// Everything that a diagnosis rests on; what is not known is left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Evidence<'a> {
    /// Usage, limit and future of each resource.
    pub projections: &'a [Projection],
    /// The last look at the catalogs.
    pub snapshot: Option<&'a Snapshot>,
    /// Share of all samples of active sessions by wait class (`CPU`, `Lock`, `IO`, …), 0 to 1.
    pub wait_shares: &'a [(String, f64)],
    /// Rates and shares over the last minutes.
    pub rates: Rates,
}

/// Rates and shares over the last minutes, each as read from the history; `None` is not known.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rates {
    /// Processor time used over what the cores allow, 0 to 1.
    pub cpu_busy_ratio: Option<f64>,
    /// Share of the time in which some task waited for the processor.
    pub cpu_pressure_ratio: Option<f64>,
    /// Share of the time in which some task waited for memory.
    pub memory_pressure_ratio: Option<f64>,
    /// Share of the time in which some task waited for a disk.
    pub io_pressure_ratio: Option<f64>,
    /// Swap in use over swap space.
    pub swap_used_ratio: Option<f64>,
    /// Share of the time in which the busiest disk had work.
    pub disk_busy_ratio: Option<f64>,
    /// Bytes through the busiest interface over its line speed.
    pub network_busy_ratio: Option<f64>,
    /// Blocks found in shared buffers over all that were asked for.
    pub buffer_hit_ratio: Option<f64>,
    /// Temporary files written, in bytes a second.
    pub temp_bytes_per_s: Option<f64>,
    /// Checkpoints asked for before their time over all checkpoints.
    pub checkpoints_requested_ratio: Option<f64>,
    /// The largest lag of replay among the standbys, in ms.
    pub replication_lag_ms: Option<f64>,
    /// Hits of the cache layers over all look-ups.
    pub cache_hit_ratio: Option<f64>,
    /// Jobs that wait in all queues.
    pub queue_depth: Option<f64>,
}

impl Evidence<'_> {
    /// Usage over limit of one resource.
    fn utilisation(&self, resource: Resource) -> Option<f64> {
        let found = self.projections.iter().find(|p| p.resource == resource)?;
        utilisation(found)
    }
}

/// Usage over limit, where both are known and make sense.
pub fn utilisation(projection: &Projection) -> Option<f64> {
    let limit = projection.limit.as_ref()?.value;
    let share = projection.usage? / limit;
    (limit > 0.0 && share.is_finite()).then_some(share)
}

/// A rule: what it found, with a weight that ranks it among those of the same impact.
type Rule = fn(&Evidence<'_>, &Targets) -> Option<(f64, Bottleneck)>;

/// All rules that look at one thing each.
const RULES: [Rule; 13] = [
    saturation::cpu,
    saturation::memory,
    saturation::disk,
    saturation::storage,
    saturation::network,
    saturation::connections,
    waits::idle_in_transaction,
    database::buffers,
    database::temporary_files,
    database::checkpoints,
    database::replication,
    saturation::cache,
    saturation::queue,
];

/// Bottlenecks, worst first; of equal impact, the one that holds up more of the time.
pub fn bottlenecks(evidence: &Evidence<'_>, targets: &Targets) -> Vec<Bottleneck> {
    let mut found: Vec<(f64, Bottleneck)> = RULES
        .iter()
        .filter_map(|rule| rule(evidence, targets))
        .chain(waits::classes(evidence, targets))
        .collect();
    found.sort_by(|a, b| b.1.severity.cmp(&a.1.severity).then(b.0.total_cmp(&a.0)));
    found
        .into_iter()
        .map(|(_, bottleneck)| bottleneck)
        .collect()
}

/// How bad a share is: critical and high at its bounds, and medium where it is not known to hurt.
fn grade(value: f64, warn: f64, critical: f64) -> Option<Impact> {
    if value > critical {
        Some(Impact::Critical)
    } else if value > warn {
        Some(Impact::High)
    } else {
        None
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// The words of a bottleneck.
struct Words {
    description: String,
    impact: &'static str,
    recommendation: &'static str,
}

fn bottleneck(
    (name, kind): (&str, Component),
    severity: Impact,
    words: Words,
    facts: &[(&str, String)],
) -> Bottleneck {
    Bottleneck {
        component: name.to_owned(),
        kind,
        severity,
        description: words.description,
        impact: words.impact.to_owned(),
        recommendation: words.recommendation.to_owned(),
        evidence: facts
            .iter()
            .map(|(label, value)| Fact::new(*label, value))
            .collect(),
    }
}

#[cfg(test)]
mod tests;
