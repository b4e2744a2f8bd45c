//! Rows that are sorted, skipped or sent for nothing.

use super::{LITTLE, Subject, bytes, count, index, rows, say, share_below};
use crate::model::explain::{Node, Recommendation, RecommendationKind};

/// Rows that are skipped before a page, from which on it matters.
const SKIPPED: f64 = 1_000.0;
/// Rows sent at once from which on nobody looks at them all; as the check of the same name.
const UNBOUNDED: f64 = 10_000.0;
/// Rows read for each row that a `LIMIT` lets through.
const SORTED: f64 = 10.0;

pub(super) fn rules(subject: &Subject<'_>) -> Vec<Recommendation> {
    let mut found: Vec<Recommendation> = subject
        .nodes()
        .into_iter()
        .filter(|node| node.node_type == "Limit")
        .flat_map(|limit| [deep_offset(subject, limit), sort_for_limit(subject, limit)])
        .flatten()
        .collect();
    found.extend(unbounded(subject));
    found
}

/// The node whose order a `Limit` cuts, and the keys of that order.
fn order(limit: &Node) -> Option<(&Node, &[String])> {
    let below = limit.plans.first()?;
    let sorted = below
        .nodes()
        .into_iter()
        .find(|node| matches!(node.node_type.as_str(), "Sort" | "Incremental Sort"));
    sorted.map(|sort| (sort, sort.sort_key.as_slice()))
}

/// Rows that are read before the first that counts.
fn skipped(subject: &Subject<'_>, limit: &Node) -> f64 {
    let Some(below) = limit.plans.iter().find(|child| !child.is_aside()) else {
        return 0.0;
    };
    if subject.analysis.analyzed {
        return (rows(below) - rows(limit)).max(0.0);
    }
    // A limit's first row costs as much as all rows before it.
    let run = below.total_cost - below.startup_cost;
    if run <= 0.0 {
        return 0.0;
    }
    let share = (limit.startup_cost - below.startup_cost).max(0.0) / run;
    share.min(1.0) * below.plan_rows
}

fn deep_offset(subject: &Subject<'_>, limit: &Node) -> Option<Recommendation> {
    let skipped = skipped(subject, limit);
    let given = rows(limit);
    if skipped < SKIPPED || skipped < 10.0 * given {
        return None;
    }
    let keys = order(limit).map(|(_, keys)| keys.join(", "));
    let by_index = limit
        .nodes()
        .into_iter()
        .find_map(|node| node.index_name.clone());
    let (how, rewrite) = match (keys, by_index) {
        (Some(keys), _) => (
            format!("in the order {keys}"),
            format!(
                "remember the last row of the page before and ask for what comes after it: \
                 WHERE ({0}) follows the values of that row ORDER BY {0}, and a unique column at the \
                 end, LIMIT {1} without OFFSET",
                keys,
                count(given)
            ),
        ),
        (None, Some(index)) => (
            format!("in the order of {index}"),
            format!(
                "remember the last row of the page before and put its values of {index} into WHERE, \
                 with a unique column at the end; LIMIT {} without OFFSET",
                count(given)
            ),
        ),
        (None, None) => (
            "in no order, so that pages may overlap and miss rows".to_owned(),
            format!(
                "ORDER BY a unique column such as the primary key, and ask for WHERE key > the last \
                 one seen LIMIT {} without OFFSET",
                count(given)
            ),
        ),
    };
    let description = format!(
        "OFFSET reads {} rows {how} and throws them away before it gives {}; each page costs more \
         than the one before",
        count(skipped),
        count(given)
    );
    let share = share_below(limit) * skipped / (skipped + given);
    Some(say(
        RecommendationKind::Rewrite,
        "deep-offset",
        share,
        description,
        Some(rewrite),
    ))
}

fn sort_for_limit(subject: &Subject<'_>, limit: &Node) -> Option<Recommendation> {
    if subject.is_costed {
        return None;
    }
    let (sort, keys) = order(limit)?;
    let scan = sort.plans.first()?;
    let relation = subject.relation(scan)?;
    let (read, given) = (rows(scan), rows(limit));
    if sort.node_type != "Sort" || read < SORTED * given.max(1.0) || !Subject::is_large(relation) {
        return None;
    }
    let (ddl, columns, _) = index::guess(subject, scan)?;
    let description = format!(
        "{} rows of {} are sorted by {} to give {}; an index in that order gives them without",
        count(read),
        relation.name,
        keys.join(", "),
        count(given)
    );
    let mut one = say(
        RecommendationKind::Index,
        "sort-for-limit",
        share_below(sort),
        description,
        Some(ddl),
    );
    one.columns = columns;
    Some(one)
}

/// A statement that sends most of a large table to whoever asked.
fn unbounded(subject: &Subject<'_>) -> Option<Recommendation> {
    let root = &subject.analysis.plan;
    let sent = subject.analysis.rows;
    let is_bounded = root.node_type == "Limit" || root.node_type == "ModifyTable";
    if is_bounded || sent < UNBOUNDED || share_below(root) < LITTLE {
        return None;
    }
    let largest = root
        .nodes()
        .into_iter()
        .filter_map(|node| subject.relation(node))
        .max_by(|a, b| a.rows.total_cmp(&b.rows))?;
    let description = format!(
        "{} rows of {} bytes each ({}) are sent without a LIMIT, and more as {} grows",
        count(sent),
        count(root.plan_width),
        bytes(sent * root.plan_width),
        largest.name
    );
    let rewrite = "page by a unique key (WHERE key > the last one seen ORDER BY key LIMIT 500), name \
                   the columns that are needed, or count in the server (GROUP BY)";
    Some(say(
        RecommendationKind::Rewrite,
        "unbounded-result",
        0.3,
        description,
        Some(rewrite.to_owned()),
    ))
}
