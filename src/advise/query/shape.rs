//! How a statement is put together: parts of `WITH`, partitions, aggregates over everything.

use std::collections::{BTreeMap, HashMap};

use super::{LITTLE, Subject, bytes, count, rows, say, share_below};
use crate::advise::clause;
use crate::model::explain::{Node, Recommendation, RecommendationKind};

/// Partitions from which on reading all of them is worth a word.
const PARTITIONS: usize = 4;
/// Rows that an aggregate reads from which on its result is worth keeping.
const AGGREGATED: f64 = 100_000.0;
/// Rows read for each row that it gives.
const CONDENSED: f64 = 100.0;
/// Bytes of a table from which on it is worth cutting up.
const HUGE: f64 = 10.0 * 1_073_741_824.0;

pub(super) fn rules(subject: &Subject<'_>) -> Vec<Recommendation> {
    let mut found = Vec::new();
    for node in subject.nodes() {
        found.extend(kept_part(subject, node));
        found.extend(huge(subject, node));
    }
    found.extend(pruning(subject));
    found.extend(aggregate(subject));
    found
}

/// A part of `WITH` that is computed whole although only some of it is asked for.
fn kept_part(subject: &Subject<'_>, scan: &Node) -> Option<Recommendation> {
    let name = scan.cte_name.as_ref()?;
    let filter = scan.condition("Filter")?;
    let marked = format!("CTE {name}");
    let nodes = subject.nodes().into_iter();
    let mut parts = nodes.filter(|node| node.subplan_name.as_ref() == Some(&marked));
    let part = parts.next()?;
    let share = share_below(part);
    let can_be_inlined = !matches!(part.node_type.as_str(), "Recursive Union" | "ModifyTable");
    let throws_away = rows(scan) * 10.0 <= rows(part).max(1.0);
    if !can_be_inlined || share < LITTLE || !throws_away {
        return None;
    }
    let description = format!(
        "WITH {name} is computed whole, {} rows, before {filter} leaves {} of them",
        count(rows(part)),
        count(rows(scan))
    );
    let rewrite = format!(
        "WITH {name} AS NOT MATERIALIZED (…): the condition then reaches the tables inside"
    );
    Some(say(
        RecommendationKind::Rewrite,
        "cte-materialised",
        share,
        description,
        Some(rewrite),
    ))
}

/// All partitions of a table are read.
fn pruning(subject: &Subject<'_>) -> Vec<Recommendation> {
    let mut read: BTreeMap<&str, Vec<&Node>> = BTreeMap::new();
    let known: HashMap<(&str, &str), &str> = subject
        .partitions
        .iter()
        .map(|p| ((p.schema.as_str(), p.name.as_str()), p.parent.as_str()))
        .collect();
    for node in subject.nodes() {
        let (Some(schema), Some(name)) = (&node.schema, &node.relation) else {
            continue;
        };
        if let Some(parent) = known.get(&(schema.as_str(), name.as_str())) {
            read.entry(*parent).or_default().push(node);
        }
    }
    let all = read.into_iter().filter_map(|(parent, nodes)| {
        let partition = subject.partitions.iter().find(|p| p.parent == parent)?;
        let total = partition.siblings;
        let share: f64 = nodes.iter().map(|node| share_below(node)).sum();
        if total < PARTITIONS || nodes.len() < total || share < LITTLE {
            return None;
        }
        let description = format!(
            "all {total} partitions of {parent} are read: no condition tells the planner which of \
             them ({}) can hold rows",
            partition.key
        );
        let rewrite = format!(
            "add a condition on {} with a value or a parameter, not with the result of a function or \
             a join",
            partition.key
        );
        Some(say(
            RecommendationKind::Partition,
            "partition-pruning",
            share.min(1.0),
            description,
            Some(rewrite),
        ))
    });
    all.collect()
}

/// A very large table of which a range of time is read.
fn huge(subject: &Subject<'_>, node: &Node) -> Option<Recommendation> {
    let relation = subject.relation(node)?;
    let size = relation.pages * subject.settings.block_bytes;
    if relation.kind == 'p' || size < HUGE || share_below(node) < 0.3 {
        return None;
    }
    let is_partition = subject
        .partitions
        .iter()
        .any(|p| p.schema == relation.schema && p.name == relation.name);
    if is_partition {
        return None;
    }
    let conditions = node.conditions.iter().map(|c| clause::read(&c.text));
    let columns: Vec<String> = conditions
        .flat_map(|read| read.columns().into_iter().cloned().collect::<Vec<_>>())
        .filter_map(|column| {
            let (_, found) = relation.column(&column.column)?;
            let is_time = found.type_name.starts_with("timestamp") || found.type_name == "date";
            is_time.then(|| found.quoted.clone())
        })
        .collect();
    let key = columns.first()?;
    let description = format!(
        "{} takes {}, and a range of {key} is read of it: cut by {key}, only the parts of that range \
         are touched, and old ones go by DETACH instead of DELETE",
        relation.name,
        bytes(size)
    );
    let ddl = format!(
        "a new table with PARTITION BY RANGE ({key}), one partition a month, filled in batches and \
         renamed in place of {}",
        relation.quoted
    );
    let mut one = say(
        RecommendationKind::Partition,
        "partition-by-time",
        share_below(node).min(0.4),
        description,
        Some(ddl),
    );
    one.columns = vec![format!("{}.{}", relation.name, key.trim_matches('"'))];
    Some(one)
}

/// The statement condenses a large part of a table into a few rows, each time anew.
fn aggregate(subject: &Subject<'_>) -> Option<Recommendation> {
    let root = &subject.analysis.plan;
    let mut top = root;
    // Sorting or cutting a few rows changes nothing about where they come from.
    while matches!(
        top.node_type.as_str(),
        "Sort" | "Limit" | "Gather" | "Gather Merge" | "Incremental Sort"
    ) {
        top = top.plans.first()?;
    }
    if top.node_type != "Aggregate" && top.node_type != "Group" {
        return None;
    }
    let scanned: f64 = top
        .nodes()
        .into_iter()
        .filter(|node| node.relation.is_some() && node.node_type.ends_with("Scan"))
        .map(rows)
        .fold(0.0, f64::max);
    if scanned < AGGREGATED || scanned < CONDENSED * rows(top).max(1.0) {
        return None;
    }
    let keys = if top.group_key.is_empty() {
        String::new()
    } else {
        format!(" by {}", top.group_key.join(", "))
    };
    let description = format!(
        "{} rows are condensed{keys} into {} each time anew",
        count(scanned),
        count(rows(top))
    );
    let ddl = "where it is asked often and may be a little old: CREATE MATERIALIZED VIEW … AS this \
               statement, a unique index on its keys, and REFRESH MATERIALIZED VIEW CONCURRENTLY on a \
               schedule; or a table of sums that the writes keep up";
    Some(say(
        RecommendationKind::Denormalize,
        "condensed-each-time",
        0.1,
        description,
        Some(ddl.to_owned()),
    ))
}
