//! Settings against the machine that the server runs on; only where that is this one.
//!
//! Source: PostgreSQL manual, sections 20.4 "Resource Consumption", 20.7.2 "Planner Cost Constants",
//! 20.4.6 "Asynchronous Behavior". Shares are the manual's where it gives them (a quarter of memory
//! for `shared_buffers`, seldom more than 40 %), and bounds of `data/findings.toml` elsewhere.

use super::thresholds::Shares;
use super::{Draft, Thresholds, percent, size};
use crate::model::database::Snapshot;
use crate::model::finding::Severity;

const BLOCK: f64 = 8_192.0;
const KIB: f64 = 1_024.0;
const GIB: f64 = 1_073_741_824.0;

fn number(snapshot: &Snapshot, setting: &str) -> Option<f64> {
    snapshot.settings.get(setting)?.parse().ok()
}

fn shown(bytes: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a size is not negative, and a float cast saturates"
    )]
    let whole = bytes.max(0.0) as u64;
    size(whole)
}

fn megabytes(bytes: f64) -> String {
    format!("'{:.0}MB'", (bytes / (KIB * KIB)).floor().max(1.0))
}

fn set(setting: &str, value: &str) -> String {
    format!("ALTER SYSTEM SET {setting} = {value};\nSELECT pg_reload_conf();")
}

/// What sets `shared_buffers` to its good share; `None` where it has that, or memory is not known.
pub(super) fn good_buffers(snapshot: &Snapshot, bounds: &Shares) -> Option<String> {
    let wanted = snapshot.machine.memory_bytes? * bounds.good_ratio;
    let buffers = number(snapshot, "shared_buffers")? * BLOCK;
    (buffers < 0.9 * wanted)
        .then(|| format!("ALTER SYSTEM SET shared_buffers = {};", megabytes(wanted)))
}

pub(super) fn shared_buffers(snapshot: &Snapshot, thresholds: &Thresholds) -> Vec<Draft> {
    let bounds = &thresholds.shared_buffers_machine;
    let Some(memory) = snapshot.machine.memory_bytes else {
        return Vec::new();
    };
    let Some(buffers) = number(snapshot, "shared_buffers").map(|blocks| blocks * BLOCK) else {
        return Vec::new();
    };
    let sizes = snapshot.databases.iter().filter_map(|db| db.size_bytes);
    let data: u64 = sizes.sum();
    let share = buffers / memory;
    let is_small = share < bounds.low_ratio && (data as f64) > 2.0 * buffers;
    let is_large = share > bounds.high_ratio;
    if !(is_small || is_large) {
        return Vec::new();
    }
    let wanted = memory * bounds.good_ratio;
    let (title, advice) = if is_small {
        (
            format!(
                "shared_buffers takes {} of this machine's memory",
                percent(share)
            ),
            "Set it to about a quarter and restart: the databases are larger than what it holds",
        )
    } else {
        (
            format!(
                "shared_buffers takes {} of this machine's memory",
                percent(share)
            ),
            "Set it lower and restart: sorts, sessions and the system's own cache need the rest, \
             and what lies in both caches is kept twice",
        )
    };
    vec![
        Draft::new(Severity::Warning, title, advice)
            .about("shared_buffers")
            .seen("shared_buffers", shown(buffers))
            .seen("memory", shown(memory))
            .seen("databases", size(data))
            .cured_here(
                format!("ALTER SYSTEM SET shared_buffers = {};", megabytes(wanted)),
                "then a restart",
            ),
    ]
}

/// What all allowed sessions may take for sorts and hashes at once, against memory.
pub(super) fn work_memory(snapshot: &Snapshot, thresholds: &Thresholds) -> Vec<Draft> {
    let bounds = &thresholds.work_mem_machine;
    let Some(memory) = snapshot.machine.memory_bytes else {
        return Vec::new();
    };
    let Some(work) = number(snapshot, "work_mem").map(|kb| kb * KIB) else {
        return Vec::new();
    };
    let sessions = f64::from(snapshot.pool.max);
    let multiplier = number(snapshot, "hash_mem_multiplier").unwrap_or(1.0);
    let most = work * multiplier.max(1.0) * sessions;
    if most <= bounds.high_ratio * memory {
        return Vec::new();
    }
    let wanted = memory * bounds.high_ratio / (multiplier.max(1.0) * sessions.max(1.0));
    vec![
        Draft::new(
            Severity::Warning,
            format!(
                "sorts of all allowed sessions together may take {} of this machine's memory",
                percent(most / memory)
            ),
            "Lower work_mem, or max_connections with a pooler in front; raise work_mem only for \
             the role that needs it (ALTER ROLE … SET work_mem). One statement may use it several \
             times",
        )
        .about("work_mem")
        .seen("work_mem", shown(work))
        .seen("hash_mem_multiplier", multiplier)
        .seen("max_connections", snapshot.pool.max)
        .seen("memory", shown(memory))
        .cured_here(set("work_mem", &megabytes(wanted)), ""),
    ]
}

pub(super) fn planner(snapshot: &Snapshot, thresholds: &Thresholds) -> Vec<Draft> {
    let bounds = &thresholds.planner_settings;
    let mut drafts = Vec::new();
    let memory = snapshot.machine.memory_bytes;
    let cache = number(snapshot, "effective_cache_size").map(|blocks| blocks * BLOCK);
    if let (Some(memory), Some(cache)) = (memory, cache) {
        let share = cache / memory;
        if share < bounds.low_ratio || share > bounds.high_ratio {
            drafts.push(
                Draft::new(
                    Severity::Info,
                    format!(
                        "the planner takes the caches for {} of this machine's memory",
                        percent(share)
                    ),
                    "Tell it what there is: too little makes it shun indexes, too much makes it \
                     trust them blindly. It reserves nothing",
                )
                .about("effective_cache_size")
                .seen("effective_cache_size", shown(cache))
                .seen("memory", shown(memory))
                .cured_here(
                    set(
                        "effective_cache_size",
                        &megabytes(memory * bounds.good_ratio),
                    ),
                    "",
                ),
            );
        }
    }
    let is_solid = snapshot.machine.is_rotational == Some(false);
    let page_cost = number(snapshot, "random_page_cost");
    if let (true, Some(cost)) = (
        is_solid,
        page_cost.filter(|cost| *cost > bounds.page_cost_max),
    ) {
        drafts.push(
            Draft::new(
                Severity::Info,
                "random_page_cost is that of a disk that spins, and this one does not",
                "Lower it, then compare plans: at 4 the planner prefers to read a whole table \
                 where an index would do",
            )
            .about("random_page_cost")
            .seen("random_page_cost", cost)
            .seen("disk", "does not spin")
            .cured_here(set("random_page_cost", "1.1"), ""),
        );
    }
    drafts
}

/// What builds of indexes and vacuum may use, against memory and the largest index.
pub(super) fn maintenance(snapshot: &Snapshot, thresholds: &Thresholds) -> Vec<Draft> {
    let bounds = &thresholds.maintenance_machine;
    let Some(memory) = snapshot.machine.memory_bytes else {
        return Vec::new();
    };
    let Some(work) = number(snapshot, "maintenance_work_mem").map(|kb| kb * KIB) else {
        return Vec::new();
    };
    let sizes = snapshot.indexes.iter().map(|index| index.size_bytes);
    let largest = sizes.max().unwrap_or(0) as f64;
    let workers = number(snapshot, "autovacuum_max_workers").unwrap_or(3.0);
    // Each worker of autovacuum may take as much, unless that has a limit of its own.
    let is_own = number(snapshot, "autovacuum_work_mem").is_some_and(|kb| kb >= 0.0);
    let together = work * if is_own { 1.0 } else { workers + 1.0 };
    let wanted = (memory * bounds.good_ratio).min(GIB);
    let (severity, title, advice) = if together > bounds.high_ratio * memory {
        (
            Severity::Warning,
            format!(
                "vacuum and builds of indexes together may take {} of this machine's memory",
                percent(together / memory)
            ),
            "Lower it: each autovacuum worker may take as much, beside what sessions need",
        )
    } else if work < bounds.low_ratio * memory && work < wanted && largest > 4.0 * work {
        (
            Severity::Info,
            format!(
                "builds of indexes may use {} on a machine of {}",
                shown(work),
                shown(memory)
            ),
            "Raise it: a build or rebuild of the largest index sorts on disk with so little",
        )
    } else {
        return Vec::new();
    };
    vec![
        Draft::new(severity, title, advice)
            .about("maintenance_work_mem")
            .seen("maintenance_work_mem", shown(work))
            .seen("largest index", shown(largest))
            .seen("memory", shown(memory))
            .cured_here(set("maintenance_work_mem", &megabytes(wanted)), ""),
    ]
}

pub(super) fn workers(snapshot: &Snapshot, thresholds: &Thresholds) -> Vec<Draft> {
    let bounds = &thresholds.parallel_settings;
    let Some(cores) = snapshot.machine.cores else {
        return Vec::new();
    };
    let names = [
        "max_worker_processes",
        "max_parallel_workers",
        "max_parallel_workers_per_gather",
    ];
    let [all, parallel, gather] = names.map(|name| number(snapshot, name));
    let usable = all.zip(parallel).map(|(all, parallel)| all.min(parallel));
    let mut drafts = Vec::new();
    if let Some(usable) = usable.filter(|usable| *usable * bounds.cores_unused_ratio < cores) {
        let wanted = cores.floor().max(1.0);
        let command = format!(
            "ALTER SYSTEM SET max_worker_processes = {:.0};\nALTER SYSTEM SET \
             max_parallel_workers = {wanted:.0};",
            wanted + 8.0
        );
        drafts.push(
            Draft::new(
                Severity::Info,
                format!("parallel queries may use {usable:.0} of {cores:.0} cores"),
                "Allow as many parallel workers as there are cores, if reports matter here",
            )
            .about("max_parallel_workers")
            .seen("cores", cores)
            .cured_here(command, "then a restart"),
        );
    }
    if let Some(gather) = gather.filter(|gather| *gather > cores.max(2.0)) {
        drafts.push(
            Draft::new(
                Severity::Warning,
                format!("one statement may use {gather:.0} workers on {cores:.0} cores"),
                "Set it to half of the cores at most: one report takes the processor from all \
                 others",
            )
            .about("max_parallel_workers_per_gather")
            .seen("max_parallel_workers_per_gather", gather)
            .seen("cores", cores)
            .cured_here(
                set(
                    "max_parallel_workers_per_gather",
                    &format!("{:.0}", (cores / 2.0).floor().max(1.0)),
                ),
                "",
            ),
        );
    }
    drafts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::checks::fixture::{quiet, thresholds};
    use crate::model::structure::Machine;

    fn with(settings: &[(&str, &str)]) -> Snapshot {
        let mut snapshot = quiet();
        snapshot.machine = Machine {
            memory_bytes: Some(16.0 * GIB),
            cores: Some(8.0),
            is_rotational: Some(false),
        };
        snapshot.databases[0].size_bytes = Some(200 << 30);
        let given = settings.iter();
        let given = given.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        snapshot.settings.extend(given);
        snapshot
    }

    #[test]
    fn buffers_are_held_against_memory_from_both_sides() {
        let told =
            |blocks: &str| shared_buffers(&with(&[("shared_buffers", blocks)]), thresholds());
        assert!(told("16384")[0].title.contains("0.8 %"));
        assert!(told("524288").is_empty(), "a quarter");
        assert_eq!(told("1572864").len(), 1, "three quarters");
        let mut elsewhere = with(&[("shared_buffers", "16384")]);
        elsewhere.machine = Machine::default();
        assert!(shared_buffers(&elsewhere, thresholds()).is_empty());
        let mut small = with(&[("shared_buffers", "16384")]);
        small.databases[0].size_bytes = Some(50 << 20);
        assert!(shared_buffers(&small, thresholds()).is_empty());
    }

    #[test]
    fn sorts_of_all_sessions_must_fit() {
        let told = |kb: &str| work_memory(&with(&[("work_mem", kb)]), thresholds());
        assert!(told("4096").is_empty());
        let drafts = told("1048576");
        assert!(
            drafts[0]
                .cure
                .as_ref()
                .unwrap()
                .sql
                .contains("work_mem = '")
        );
    }

    #[test]
    fn the_planner_is_told_of_caches_and_disks() {
        let fine = [
            ("effective_cache_size", "1572864"),
            ("random_page_cost", "1.1"),
        ];
        assert!(planner(&with(&fine), thresholds()).is_empty());
        let odd = [("effective_cache_size", "16384"), ("random_page_cost", "4")];
        assert_eq!(planner(&with(&odd), thresholds()).len(), 2);
        let mut spinning = with(&[("random_page_cost", "4")]);
        spinning.machine.is_rotational = Some(true);
        assert!(planner(&spinning, thresholds()).is_empty());
    }

    #[test]
    fn workers_are_held_against_cores() {
        let given = |all: &str, gather: &str| {
            workers(
                &with(&[
                    ("max_worker_processes", all),
                    ("max_parallel_workers", all),
                    ("max_parallel_workers_per_gather", gather),
                ]),
                thresholds(),
            )
        };
        assert!(given("8", "2").is_empty());
        assert_eq!(given("2", "2").len(), 1);
        assert_eq!(given("8", "16").len(), 1);
    }
}
