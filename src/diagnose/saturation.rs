//! Components by utilisation, saturation and errors: how full each is, and who waits for it.
//!
//! Saturation counts more than utilisation: a processor at 95 % that nobody waits for is well
//! used. Source: Gregg 2013, "Thinking methodically about performance" (the USE method).

use crate::model::capacity::Resource;
use crate::model::finding::{Bottleneck, Component, Impact};

use super::{Evidence, Targets, Words, bottleneck, grade, percent};

/// The worse of what utilisation and pressure say.
fn worse(
    busy: Option<f64>,
    (warn, critical): (f64, f64),
    pressure: Option<f64>,
    targets: &Targets,
) -> Option<(f64, Impact)> {
    let host = &targets.host;
    let by_use = busy.and_then(|b| grade(b, warn, critical));
    let by_wait =
        pressure.and_then(|p| grade(p, host.pressure_warn_ratio, host.pressure_critical_ratio));
    let impact = by_use.max(by_wait)?;
    Some((busy.unwrap_or(0.0).max(pressure.unwrap_or(0.0)), impact))
}

fn known(facts: &[(&'static str, Option<f64>)]) -> Vec<(&'static str, String)> {
    let there = facts.iter().filter_map(|(label, v)| v.map(|v| (*label, v)));
    there.map(|(label, v)| (label, percent(v))).collect()
}

pub(super) fn cpu(evidence: &Evidence<'_>, targets: &Targets) -> Option<(f64, Bottleneck)> {
    let rates = &evidence.rates;
    let busy = rates
        .cpu_busy_ratio
        .or_else(|| evidence.utilisation(Resource::Cpu));
    let bounds = (targets.capacity.warn_ratio, targets.capacity.critical_ratio);
    let (weight, impact) = worse(busy, bounds, rates.cpu_pressure_ratio, targets)?;
    let words = Words {
        description: format!(
            "the processor is {} busy",
            busy.map_or("not measurably".into(), percent)
        ),
        impact: "statements wait for a core, and all of them take longer",
        recommendation: "Look at the statements with the largest total time; then add cores",
    };
    let facts = known(&[
        ("busy", busy),
        ("some task waited", rates.cpu_pressure_ratio),
    ]);
    Some((
        weight,
        bottleneck(("Processor", Component::Cpu), impact, words, &facts),
    ))
}

pub(super) fn memory(evidence: &Evidence<'_>, targets: &Targets) -> Option<(f64, Bottleneck)> {
    let rates = &evidence.rates;
    let used = evidence.utilisation(Resource::Memory);
    let bounds = (targets.capacity.warn_ratio, targets.capacity.critical_ratio);
    let by_use = worse(used, bounds, rates.memory_pressure_ratio, targets);
    let swapping = rates
        .swap_used_ratio
        .filter(|s| *s > targets.host.swap_used_ratio);
    let (weight, impact) = by_use.or(swapping.map(|s| (s, Impact::Medium)))?;
    let words = Words {
        description: match (used, swapping) {
            (_, Some(swap)) => format!(
                "memory is short: {} of the swap space is in use",
                percent(swap)
            ),
            (Some(used), None) => format!("{} of the memory is in use", percent(used)),
            (None, None) => "tasks wait for memory".to_owned(),
        },
        impact: "the page cache shrinks, reads go to disk, and the kernel may end the server",
        recommendation: "Lower work_mem times the number of connections, or add memory",
    };
    let facts = known(&[
        ("used", used),
        ("some task waited", rates.memory_pressure_ratio),
        ("swap in use", rates.swap_used_ratio),
    ]);
    Some((
        weight,
        bottleneck(("Memory", Component::Memory), impact, words, &facts),
    ))
}

pub(super) fn disk(evidence: &Evidence<'_>, targets: &Targets) -> Option<(f64, Bottleneck)> {
    let rates = &evidence.rates;
    let host = &targets.host;
    let bounds = (host.disk_busy_warn_ratio, host.disk_busy_critical_ratio);
    let (weight, mut impact) = worse(
        rates.disk_busy_ratio,
        bounds,
        rates.io_pressure_ratio,
        targets,
    )?;
    // Disks that answer many requests at once are busy long before they are full.
    let nobody_waits = rates
        .io_pressure_ratio
        .is_some_and(|p| p <= host.pressure_warn_ratio);
    if nobody_waits {
        impact = impact.min(Impact::Medium);
    }
    let words = Words {
        description: format!(
            "the busiest disk has work {} of the time",
            rates
                .disk_busy_ratio
                .map_or("an unknown share".into(), percent)
        ),
        impact: "reads, writes and commits queue up behind each other",
        recommendation: "Find what reads and writes most (temporary files, checkpoints, sequential \
                         scans), then look for faster storage",
    };
    let facts = known(&[
        ("busy", rates.disk_busy_ratio),
        ("some task waited", rates.io_pressure_ratio),
    ]);
    Some((
        weight,
        bottleneck(("Disk throughput", Component::Disk), impact, words, &facts),
    ))
}

pub(super) fn storage(evidence: &Evidence<'_>, targets: &Targets) -> Option<(f64, Bottleneck)> {
    let used = evidence.utilisation(Resource::Storage)?;
    let impact = grade(
        used,
        targets.capacity.warn_ratio,
        targets.capacity.critical_ratio,
    )?;
    let words = Words {
        description: format!("{} of the file system is in use", percent(used)),
        impact: "at the end of the space the server stops",
        recommendation: "Archive old rows, drop unused indexes and abandoned slots, or enlarge it",
    };
    let facts = [("used", percent(used))];
    Some((
        used,
        bottleneck(("Disk space", Component::Disk), impact, words, &facts),
    ))
}

pub(super) fn network(evidence: &Evidence<'_>, targets: &Targets) -> Option<(f64, Bottleneck)> {
    let measured = evidence.rates.network_busy_ratio;
    let busy = measured.or_else(|| evidence.utilisation(Resource::Bandwidth))?;
    let impact = grade(
        busy,
        targets.capacity.warn_ratio,
        targets.capacity.critical_ratio,
    )?;
    let words = Words {
        description: format!(
            "the busiest interface carries {} of its line speed",
            percent(busy)
        ),
        impact: "answers and replication wait for the line",
        recommendation: "Return fewer columns and rows, compress, or take a faster line",
    };
    let facts = [("line speed in use", percent(busy))];
    Some((
        busy,
        bottleneck(("Network", Component::Network), impact, words, &facts),
    ))
}

pub(super) fn connections(evidence: &Evidence<'_>, targets: &Targets) -> Option<(f64, Bottleneck)> {
    let from_pool = evidence.snapshot.and_then(|snapshot| {
        let pool = &snapshot.pool;
        let open = pool.max.saturating_sub(pool.reserved);
        (open > 0).then(|| f64::from(pool.total) / f64::from(open))
    });
    let used = from_pool.or_else(|| evidence.utilisation(Resource::Connections))?;
    let set = &targets.database;
    let impact = grade(used, set.pool_warn_ratio, set.pool_critical_ratio)?;
    let words = Words {
        description: format!("{} of the connections are taken", percent(used)),
        impact: "when none is left, new sessions are refused",
        recommendation: "Put a pooler in front, or shrink the applications' pools",
    };
    let mut facts = vec![("used", percent(used))];
    if let Some(snapshot) = evidence.snapshot {
        facts.push(("active", snapshot.pool.active.to_string()));
        facts.push(("idle", snapshot.pool.idle.to_string()));
    }
    Some((
        used,
        bottleneck(("Connections", Component::Database), impact, words, &facts),
    ))
}

pub(super) fn cache(evidence: &Evidence<'_>, targets: &Targets) -> Option<(f64, Bottleneck)> {
    let hit = evidence.rates.cache_hit_ratio?;
    let set = &targets.cache;
    let impact = grade(1.0 - hit, 1.0 - set.hit_ratio, 1.0 - set.hit_critical_ratio)?;
    let words = Words {
        description: format!("the cache layers answer {} of the look-ups", percent(hit)),
        impact: "what they miss is asked of the database again",
        recommendation: "Lengthen the time to live of what changes rarely, and warm what is asked most",
    };
    let facts = [("hits", percent(hit))];
    Some((
        1.0 - hit,
        bottleneck(("Cache", Component::Cache), impact, words, &facts),
    ))
}

pub(super) fn queue(evidence: &Evidence<'_>, targets: &Targets) -> Option<(f64, Bottleneck)> {
    let depth = evidence.rates.queue_depth?;
    let impact = grade(
        depth,
        targets.queue.depth_warn,
        targets.queue.depth_critical,
    )?;
    let words = Words {
        description: format!("{depth:.0} jobs wait"),
        impact: "jobs start late, and later ones later still",
        recommendation: "Add workers, or find the kind of job that takes longest",
    };
    let facts = [("waiting", format!("{depth:.0}"))];
    let weight = depth / targets.queue.depth_critical.max(1.0);
    Some((
        weight.min(1.0),
        bottleneck(("Job queues", Component::Queue), impact, words, &facts),
    ))
}
