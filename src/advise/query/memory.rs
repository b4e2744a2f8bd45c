//! What does not fit into memory, and what is compiled for nothing.

use super::{LITTLE, Subject, bytes, count, rows, say, share_below};
use crate::model::explain::{Node, Recommendation, RecommendationKind};

/// Bytes that a row takes in memory besides its columns, in a sort and in a hash.
const SORT_ROW: f64 = 24.0;
const HASH_ROW: f64 = 48.0;
/// What is on disk takes this much more in memory.
const UNPACKED: f64 = 2.0;
const MB: f64 = 1_048_576.0;
/// Largest `work_mem` that is advised: beyond it a sort on disk is the lesser evil.
const MOST: f64 = 1_024.0 * MB;
/// Share of the run from which on compiling is called a waste, and the ms below which it is nothing.
const COMPILING: (f64, f64) = (0.25, 20.0);

pub(super) fn rules(subject: &Subject<'_>) -> Vec<Recommendation> {
    let nodes = subject.nodes().into_iter();
    let mut found: Vec<Recommendation> = nodes.filter_map(|node| spill(subject, node)).collect();
    found.extend(jit(subject));
    found
}

/// Bytes that the node needs and the bytes it may take, where it does not fit.
fn overflow(subject: &Subject<'_>, node: &Node) -> Option<(f64, f64)> {
    let settings = subject.settings;
    let is_hash = node.node_type == "Hash" || node.node_type == "Aggregate";
    let allowed = if is_hash {
        settings.hash_mem_bytes
    } else {
        settings.work_mem_bytes
    };
    if subject.analysis.analyzed {
        let spill = node.spill.as_ref()?;
        let unpacked = if is_hash { 1.0 } else { UNPACKED };
        return Some((spill.bytes.max(allowed) * unpacked, allowed));
    }
    let needed = match node.node_type.as_str() {
        "Sort" => {
            let input = node.plans.first()?;
            rows(input) * (input.plan_width + SORT_ROW)
        }
        "Hash" => rows(node) * (node.plan_width + HASH_ROW),
        _ => return None,
    };
    (needed > allowed && allowed > 0.0).then_some((needed, allowed))
}

/// Under a `LIMIT` a sort keeps only the rows that are asked for.
fn is_bounded(subject: &Subject<'_>, sort: &Node) -> bool {
    subject.nodes().into_iter().any(|node| {
        node.node_type == "Limit" && node.plans.iter().any(|child| std::ptr::eq(child, sort))
    })
}

fn spill(subject: &Subject<'_>, node: &Node) -> Option<Recommendation> {
    let (needed, allowed) = overflow(subject, node)?;
    let share = share_below(node);
    if share < LITTLE || (!subject.analysis.analyzed && is_bounded(subject, node)) {
        return None;
    }
    let multiplier = subject.settings.hash_mem_bytes / subject.settings.work_mem_bytes.max(1.0);
    let is_sort = node.node_type == "Sort";
    let work_mem = if is_sort {
        needed
    } else {
        needed / multiplier.max(1.0)
    };
    let megabytes = power_of_two(work_mem / MB);
    let (what, verb) = match (is_sort, subject.analysis.analyzed) {
        (true, true) => ("the sort", "went to disk"),
        (true, false) => ("the sort", "will go to disk"),
        (false, true) => ("the hash", "was cut into parts on disk"),
        (false, false) => ("the hash", "will be cut into parts on disk"),
    };
    let keys = if is_sort {
        format!(" by {}", node.sort_key.join(", "))
    } else {
        String::new()
    };
    let description = format!(
        "{what} of {} rows{keys} {verb}: it needs about {} and may take {}",
        count(node.plans.first().map_or_else(|| rows(node), rows)),
        bytes(needed),
        bytes(allowed)
    );
    let cure = if work_mem > MOST {
        "sort or join fewer rows or narrower ones first: no sane work_mem holds this".to_owned()
    } else {
        format!(
            "SET LOCAL work_mem = '{megabytes}MB'; in the transaction of this statement alone: \
             every sort and hash of every session may take as much"
        )
    };
    let own = if subject.analysis.analyzed {
        share
    } else {
        share * 0.5
    };
    Some(say(
        RecommendationKind::Rewrite,
        if is_sort { "sort-spill" } else { "hash-spill" },
        own,
        description,
        Some(cure),
    ))
}

/// The next power of two that holds it, at least 8.
fn power_of_two(megabytes: f64) -> u64 {
    let mut power = 8_u64;
    while (power as f64) < megabytes && power < 1 << 20 {
        power *= 2;
    }
    power
}

fn jit(subject: &Subject<'_>) -> Option<Recommendation> {
    let jit = subject.analysis.jit?;
    let (compiling, whole) = (jit.total_ms?, subject.analysis.execution_time?);
    if compiling < COMPILING.1 || compiling < COMPILING.0 * whole {
        return None;
    }
    let description = format!(
        "just-in-time compilation of {} functions took {compiling:.0} of {whole:.0} ms",
        count(jit.functions)
    );
    let cure = format!(
        "SET LOCAL jit = off; for this statement, or a jit_above_cost above {} for all of its kind",
        count(subject.analysis.total_cost)
    );
    Some(say(
        RecommendationKind::Rewrite,
        "jit",
        compiling / whole.max(f64::MIN_POSITIVE),
        description,
        Some(cure),
    ))
}
