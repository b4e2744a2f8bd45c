//! What the index advisor chose for one statement → suggestions with the planner's before and after,
//! and, where no planner could be asked, its best candidate for a table.

use super::{Subject, bytes, count, rows, say, share_below};
use crate::advise::candidates::{self, Candidate, Limits, Need};
use crate::advise::relation::Relation;
use crate::advise::size;
use crate::model::advice::{Advice, NewIndex};
use crate::model::explain::{Node, Proof, Recommendation, RecommendationKind, SuggestedIndex};

/// Share of the statement's cost below which an index is not worth its writes.
const LEAST_GAIN: f64 = 0.05;
/// Most key columns of a candidate that was not costed.
const WIDTH: usize = 3;

/// The indexes that the planner would use, each with what it is for; none where all of them together
/// save next to nothing.
pub fn suggestions(subject: &Subject<'_>, advice: &Advice) -> Vec<SuggestedIndex> {
    let gained = advice.cost_before - advice.cost_after;
    if gained < LEAST_GAIN * advice.cost_before {
        return Vec::new();
    }
    let chosen = advice.indexes.iter();
    chosen
        .map(|index| SuggestedIndex {
            ddl: format!("{};", index.ddl),
            predicted_cost: Some(advice.cost_after),
            predicted_size: Some(index.size_bytes),
            cost_before: Some(advice.cost_before),
            cost_without: Some(advice.cost_after + index.gain),
            reason: reason(subject, index),
        })
        .collect()
}

/// The same as recommendations.
pub fn recommendations(subject: &Subject<'_>, advice: &Advice) -> Vec<Recommendation> {
    let suggested = suggestions(subject, advice);
    let of = |ddl: &str| {
        let mut all = advice.indexes.iter();
        all.find(|index| ddl == format!("{};", index.ddl))
    };
    let all = suggested.into_iter().filter_map(|suggestion| {
        let index = of(&suggestion.ddl)?;
        // Of several that only pay together each has the merit of all.
        let saved = (advice.cost_before - advice.cost_after) / advice.cost_before.max(1.0);
        let description = format!(
            "{}; with it the planner expects a cost of {} instead of {}, and it takes {} on disk",
            suggestion.reason,
            count(advice.cost_after),
            count(advice.cost_before),
            bytes(index.size_bytes as f64),
        );
        let ddl = Some(suggestion.ddl);
        let mut one = say(
            RecommendationKind::Index,
            "missing-index",
            saved,
            description,
            ddl,
        );
        one.columns = columns(index);
        one.proof = Some(Proof {
            cost_before: advice.cost_before,
            cost_after: advice.cost_after,
        });
        Some(one)
    });
    all.collect()
}

fn columns(index: &NewIndex) -> Vec<String> {
    let table = index.table.split_once('.').map_or("", |(_, name)| name);
    let all = index.keys.iter().chain(&index.include);
    all.map(|column| format!("{table}.{column}")).collect()
}

/// Indexes that rules propose and that no planner was asked about.
pub fn not_costed(subject: &Subject<'_>, said: &[Recommendation]) -> Vec<SuggestedIndex> {
    let is_open =
        |one: &&Recommendation| one.kind == RecommendationKind::Index && one.proof.is_none();
    let open: Vec<&Recommendation> = said.iter().filter(is_open).collect();
    if open.is_empty() {
        return Vec::new();
    }
    let guesses = subject.nodes().into_iter();
    let sizes: Vec<(String, u64)> = guesses
        .filter_map(|node| guess(subject, node))
        .map(|(ddl, _, size)| (ddl, size))
        .collect();
    let each = open.into_iter();
    each.filter_map(|one| {
        let (_, ddl) = one.implementation.as_ref()?.split_once("CREATE INDEX ")?;
        let ddl = format!("CREATE INDEX {ddl}");
        let size = sizes.iter().find(|(known, _)| *known == ddl);
        Some(SuggestedIndex {
            predicted_size: size.map(|(_, bytes)| *bytes),
            ddl,
            reason: one.description.clone(),
            ..SuggestedIndex::default()
        })
    })
    .collect()
}

/// What is read of the table as it is, and what the index has for it.
fn reason(subject: &Subject<'_>, index: &NewIndex) -> String {
    let is_of = |node: &&&Node| {
        let name = format!(
            "{}.{}",
            node.schema.as_deref().unwrap_or(""),
            node.relation.as_deref().unwrap_or("")
        );
        name == index.table
    };
    let nodes = subject.nodes();
    let mut scans: Vec<&&Node> = nodes.iter().filter(is_of).collect();
    scans.sort_by(|a, b| share_below(b).total_cmp(&share_below(a)));
    let keys = index.keys.join(", ");
    let Some(scan) = scans.first() else {
        return format!("an index on {} ({keys}) is missing", index.table);
    };
    let (read, given) = (subject.rows_read(scan), rows(scan));
    let table = scan.relation.as_deref().unwrap_or("");
    if let Some(limit) = limit_above(&subject.analysis.plan, scan) {
        return format!(
            "{} rows of {table} are read and sorted to give {}; an index on ({keys}) has them in order",
            count(read),
            count(limit)
        );
    }
    match scan.node_type.as_str() {
        "Seq Scan" if given < read => format!(
            "all {} rows of {table} are read to give {}; an index on ({keys}) finds them",
            count(read),
            count(given)
        ),
        "Seq Scan" => format!(
            "all {} rows of {table} are read with all their columns; an index on ({keys}) is smaller \
             or finds them by another table's rows",
            count(read)
        ),
        kind => format!(
            "{kind} of {table} reads {} rows to give {}; an index on ({keys}) fits better",
            count(read),
            count(given)
        ),
    }
}

/// Rows of a `Limit` right above a sort of what this node gives.
fn limit_above(root: &Node, scan: &Node) -> Option<f64> {
    let limit = root.nodes().into_iter().find(|node| {
        node.node_type == "Limit"
            && node.plans.iter().any(|sort| {
                sort.node_type == "Sort" && sort.plans.iter().any(|below| holds(below, scan))
            })
    })?;
    (rows(limit) * 10.0 < rows(scan)).then(|| rows(limit))
}

fn holds(node: &Node, wanted: &Node) -> bool {
    node.nodes().iter().any(|one| std::ptr::eq(*one, wanted))
}

/// The best that the advisor could think of for one table, where no planner was asked: equal columns
/// first, those with most values before others, then one that is ranged over or ordered by.
pub fn guess(subject: &Subject<'_>, node: &Node) -> Option<(String, Vec<String>, u64)> {
    let relation = subject.relation(node)?;
    let place = subject
        .relations
        .iter()
        .position(|r| r.oid == relation.oid)?;
    let of_table = subject.needs.iter().filter(|need| need.relation == place);
    let needs: Vec<Need> = of_table.cloned().collect();
    let limits = Limits {
        width: WIDTH,
        include: 0,
        total: 200,
    };
    let proposed = candidates::propose(&needs, subject.relations, limits);
    let best = proposed
        .into_iter()
        .filter(|(candidate, _)| candidate.predicate.is_none() && candidate.include.is_empty())
        .filter_map(|(candidate, _)| Some((score(&candidate, &needs, relation)?, candidate)))
        .max_by(|(a, _), (b, _)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)))?
        .1;
    let names = best.key_columns().filter_map(|key| {
        let column = relation.columns.get(key)?;
        Some(format!("{}.{}", relation.name, column.name))
    });
    Some((
        format!("{};", best.ddl(relation)),
        names.collect(),
        size::of(&best, relation).bytes,
    ))
}

/// How many times fewer rows the index leaves to be read; and, of two that leave as many, how well the
/// first column does by itself, less a little for each column.
fn score(candidate: &Candidate, needs: &[Need], relation: &Relation) -> Option<(f64, f64)> {
    let mut factor = 1.0;
    let mut lead = None;
    let mut ended = false;
    for key in &candidate.keys {
        let column = relation.columns.get(key.column)?;
        let is_equal =
            |need: &Need| need.equal.contains(&key.column) || need.joined.contains(&key.column);
        if ended {
            return None;
        }
        let own = if needs.iter().any(is_equal) {
            column.distinct.unwrap_or(10.0).max(1.0)
        } else {
            // Behind a range or an order nothing is found any more.
            ended = true;
            3.0
        };
        lead.get_or_insert(own);
        factor *= own;
    }
    let width = candidate.keys.len() as f64;
    Some((factor.min(relation.rows.max(1.0)), lead? / width))
}
