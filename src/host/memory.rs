//! Memory and swap. Source: `proc(5)`, `/proc/meminfo`; control groups where they are tighter.

use crate::model::series::{Labels, Sample};

use super::control_group::ControlGroup;
use super::{Roots, field, metrics, text};

pub(super) fn read(roots: &Roots<'_>, group: &ControlGroup, into: &mut Vec<Sample>) {
    let Some(meminfo) = text(&roots.proc.join("meminfo")) else {
        return;
    };
    let bytes = |key: &str| field(&meminfo, key).map(|kilobytes| kilobytes * 1024.0);
    let total = bytes("MemTotal");
    // Kernels before 3.14 have no estimate of their own; free and cached pages stand in for it.
    let available = bytes("MemAvailable").or_else(|| {
        let parts = ["MemFree", "Buffers", "Cached", "SReclaimable"];
        let sum: f64 = parts.iter().filter_map(|key| bytes(key)).sum();
        bytes("MemFree").map(|_| (sum - bytes("Shmem").unwrap_or(0.0)).max(0.0))
    });
    let bound = group
        .memory_limit
        .filter(|limit| total.is_none_or(|t| *limit < t));
    let on_machine = total.zip(available).map(|(t, a)| (t - a).max(0.0));
    let used = if bound.is_some() {
        group.memory_used.or(on_machine)
    } else {
        on_machine
    };
    let left_in_group = bound.zip(used).map(|(limit, used)| (limit - used).max(0.0));
    let available = match (available, left_in_group) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    let swap_total = bytes("SwapTotal");
    let swap_used = swap_total
        .zip(bytes("SwapFree"))
        .map(|(total, free)| (total - free).max(0.0));
    let readings = [
        (&metrics::MEMORY_TOTAL, total),
        (&metrics::MEMORY_AVAILABLE, available),
        (&metrics::MEMORY_USED, used),
        (&metrics::MEMORY_LIMIT, bound.or(total)),
        (&metrics::SWAP_TOTAL, swap_total),
        (&metrics::SWAP_USED, swap_used),
    ];
    for (metric, value) in readings {
        if let Some(value) = value {
            into.push(metric.sample(Labels::none(), value));
        }
    }
}
