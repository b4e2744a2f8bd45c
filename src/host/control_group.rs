//! What a control group allows and uses: versions 1 and 2, and machines that mount both.
//!
//! The tightest limit between the group and the root holds, so the whole path is walked up.
//! Source: Linux `Documentation/admin-guide/cgroup-v2.rst` (cpu.max, cpu.stat, memory.max,
//! memory.stat) and `cgroup-v1/{memory.rst,cpuacct.rst}`, `scheduler/sched-bwc.rst`.

use std::path::{Path, PathBuf};

use super::{Roots, field, number, text};

/// A version 1 memory limit at or above this is "no limit": the kernel shows a huge page-rounded
/// number there.
const UNLIMITED_BYTES: f64 = (1_u64 << 60) as f64;

/// What the group allows and what it has used; `None` where it sets no limit or does not say.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct ControlGroup {
    /// Cores, fractions allowed.
    pub(super) cores: Option<f64>,
    /// Processor seconds used by the group that sets `cores`.
    pub(super) cpu_seconds: Option<f64>,
    /// Bytes of memory allowed.
    pub(super) memory_limit: Option<f64>,
    /// Bytes used by the group that sets `memory_limit`, page cache left out.
    pub(super) memory_used: Option<f64>,
}

/// Reads the limits that hold for `named`, or for the process that `/proc/self` is.
pub(super) fn read(roots: &Roots<'_>, named: Option<&str>) -> ControlGroup {
    let lines = text(&roots.proc.join("self/cgroup")).unwrap_or_default();
    let mount = roots.sys.join("fs/cgroup");
    let mut group = ControlGroup::default();
    for root in [mount.clone(), mount.join("unified")] {
        if root.join("cgroup.controllers").exists() {
            let path = named.or_else(|| path_in(&lines, "")).unwrap_or("/");
            version_2(&root, path, &mut group);
        }
    }
    if let Some(root) = v1_root(&mount, &["cpu", "cpu,cpuacct"]) {
        let path = named.or_else(|| path_in(&lines, "cpu")).unwrap_or("/");
        version_1_cpu(&root, path, &mount, &mut group);
    }
    if let Some(root) = v1_root(&mount, &["memory"]) {
        let path = named.or_else(|| path_in(&lines, "memory")).unwrap_or("/");
        version_1_memory(&root, path, &mut group);
    }
    group
}

/// The path of a controller in `/proc/self/cgroup`; version 2 is the one without a name.
fn path_in<'a>(lines: &'a str, controller: &str) -> Option<&'a str> {
    lines.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (id, names, path) = (parts.next()?, parts.next()?, parts.next()?);
        let is_it = if controller.is_empty() {
            id == "0" && names.is_empty()
        } else {
            names.split(',').any(|name| name == controller)
        };
        is_it.then_some(path)
    })
}

fn v1_root(mount: &Path, names: &[&str]) -> Option<PathBuf> {
    names
        .iter()
        .map(|name| mount.join(name))
        .find(|root| root.is_dir() && !root.join("cgroup.controllers").exists())
}

/// Existing folders from the group up to the controller's root. In a container the path of the
/// outside may not exist inside: then only the root, which is the container's own group, is left.
fn upwards(root: &Path, path: &str) -> Vec<PathBuf> {
    let inner = path.trim_matches('/');
    let mut folders: Vec<PathBuf> = Path::new(inner)
        .ancestors()
        .map(|part| root.join(part))
        .filter(|folder| folder.is_dir())
        .collect();
    if folders.is_empty() {
        folders.push(root.to_path_buf());
    }
    folders
}

fn version_2(root: &Path, path: &str, group: &mut ControlGroup) {
    for folder in upwards(root, path) {
        if let Some(cores) = text(&folder.join("cpu.max")).as_deref().and_then(quota_v2)
            && group.cores.is_none_or(|have| cores < have)
        {
            group.cores = Some(cores);
            group.cpu_seconds = text(&folder.join("cpu.stat"))
                .and_then(|stat| field(&stat, "usage_usec"))
                .map(|us| us / 1e6);
        }
        if let Some(limit) = number(&folder.join("memory.max"))
            && group.memory_limit.is_none_or(|have| limit < have)
        {
            group.memory_limit = Some(limit);
            group.memory_used = used_without_cache(
                number(&folder.join("memory.current")),
                text(&folder.join("memory.stat")),
                ["active_file", "inactive_file"],
            );
        }
    }
}

/// `cpu.max` is `quota period` in µs, or `max period`.
fn quota_v2(line: &str) -> Option<f64> {
    let mut parts = line.split_whitespace();
    let quota: f64 = parts.next()?.parse().ok()?;
    let period: f64 = parts.next()?.parse().ok()?;
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

fn version_1_cpu(root: &Path, path: &str, mount: &Path, group: &mut ControlGroup) {
    for folder in upwards(root, path) {
        let quota = number(&folder.join("cpu.cfs_quota_us")).filter(|q| *q > 0.0);
        let period = number(&folder.join("cpu.cfs_period_us")).filter(|p| *p > 0.0);
        let Some(cores) = quota.zip(period).map(|(q, p)| q / p) else {
            continue;
        };
        if group.cores.is_none_or(|have| cores < have) {
            group.cores = Some(cores);
            let below = folder.strip_prefix(root).unwrap_or(Path::new(""));
            group.cpu_seconds = number(&folder.join("cpuacct.usage"))
                .or_else(|| number(&mount.join("cpuacct").join(below).join("cpuacct.usage")))
                .map(|ns| ns / 1e9);
        }
    }
}

fn version_1_memory(root: &Path, path: &str, group: &mut ControlGroup) {
    for folder in upwards(root, path) {
        let limit = number(&folder.join("memory.limit_in_bytes")).filter(|l| *l < UNLIMITED_BYTES);
        let Some(limit) = limit else { continue };
        if group.memory_limit.is_none_or(|have| limit < have) {
            group.memory_limit = Some(limit);
            group.memory_used = used_without_cache(
                number(&folder.join("memory.usage_in_bytes")),
                text(&folder.join("memory.stat")),
                ["total_active_file", "total_inactive_file"],
            );
        }
    }
}

/// Shared memory, Postgres's buffers among it, is on the anonymous lists and so stays counted.
fn used_without_cache(current: Option<f64>, stat: Option<String>, cache: [&str; 2]) -> Option<f64> {
    let (current, stat) = (current?, stat?);
    let cached: f64 = cache.iter().filter_map(|key| field(&stat, key)).sum();
    Some((current - cached).max(0.0))
}
