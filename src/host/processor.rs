//! Processor time, cores and load. Source: `proc(5)`, `/proc/stat` and `/proc/loadavg`.

use crate::model::series::{Labels, Sample};

use super::control_group::ControlGroup;
use super::{Roots, field, metrics, text};

/// `USER_HZ`: ticks per second of `/proc/stat`, 100 on every architecture that is built for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Columns of a `cpu` line; `guest` is left out because `user` holds it already.
const MODES: [&str; 8] = [
    "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal",
];

/// Modes in which the machine works for its own programs.
const BUSY: [&str; 5] = ["user", "nice", "system", "irq", "softirq"];

pub(super) fn read(roots: &Roots<'_>, group: &ControlGroup, into: &mut Vec<Sample>) {
    if let Some(stat) = text(&roots.proc.join("stat")) {
        read_stat(&stat, group, into);
    }
    if let Some(averages) = text(&roots.proc.join("loadavg")) {
        let loads = [&metrics::LOAD1, &metrics::LOAD5, &metrics::LOAD15];
        for (metric, value) in loads.into_iter().zip(averages.split_whitespace()) {
            if let Ok(load) = value.parse() {
                into.push(metric.sample(Labels::none(), load));
            }
        }
    }
}

fn read_stat(stat: &str, group: &ControlGroup, into: &mut Vec<Sample>) {
    let mut busy_seconds = None;
    if let Some(line) = stat.lines().find(|line| line.starts_with("cpu ")) {
        let ticks = line.split_whitespace().skip(1).map(str::parse::<f64>);
        for (mode, ticks) in MODES.into_iter().zip(ticks) {
            let Ok(ticks) = ticks else { continue };
            let seconds = ticks / TICKS_PER_SECOND;
            if BUSY.contains(&mode) {
                *busy_seconds.get_or_insert(0.0) += seconds;
            }
            into.push(metrics::CPU_SECONDS.sample(Labels::none().with("mode", mode), seconds));
        }
    }
    let online = stat
        .lines()
        .filter_map(|line| line.strip_prefix("cpu"))
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        .count() as f64;
    // The group's own time counts only where its quota binds: usage and limit go together.
    let bound = group.cores.filter(|cores| *cores < online || online == 0.0);
    let cores = bound.unwrap_or(online);
    if cores > 0.0 {
        into.push(metrics::CPU_CORES.sample(Labels::none(), cores));
    }
    let busy = if bound.is_some() && group.cpu_seconds.is_some() {
        group.cpu_seconds
    } else {
        busy_seconds
    };
    if let Some(seconds) = busy {
        into.push(metrics::CPU_BUSY.sample(Labels::none(), seconds));
    }
    if let Some(booted) = field(stat, "btime") {
        into.push(metrics::BOOT_TIME.sample(Labels::none(), booted));
    }
}
