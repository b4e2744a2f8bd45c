//! Rows that were expected and did not come, or came and were not expected.

use super::{Subject, count, rows, say, share_below};
use crate::advise::clause;
use crate::advise::relation::{Column, Relation};
use crate::advise::sql;
use crate::model::explain::{Impact, Node, Recommendation, RecommendationKind};

/// Factor from which on other plans would have been chosen.
const FACTOR: f64 = 10.0;
/// Rows, expected or real, below which being wrong costs nothing.
const ROWS: f64 = 1_000.0;
/// Columns that one statistics object may have.
const MAX_COLUMNS: usize = 8;

pub(super) fn rules(subject: &Subject<'_>) -> Vec<Recommendation> {
    let nodes = subject.nodes().into_iter();
    let found = nodes.filter_map(|node| {
        let relation = subject.relation(node)?;
        never_analyzed(node, relation).or_else(|| misjudged(node, relation))
    });
    found.collect()
}

/// The columns of the table that the scan's conditions read, each once.
fn compared<'r>(node: &Node, relation: &'r Relation) -> Vec<&'r Column> {
    let mut columns: Vec<&Column> = Vec::new();
    for condition in &node.conditions {
        for column in clause::read(&condition.text).columns() {
            if node.alias.as_deref() != Some(column.alias.as_str()) {
                continue;
            }
            if let Some((_, found)) = relation.column(&column.column)
                && !columns.iter().any(|known| known.name == found.name)
            {
                columns.push(found);
            }
        }
    }
    columns
}

/// A table of which the planner knows nothing.
fn never_analyzed(node: &Node, relation: &Relation) -> Option<Recommendation> {
    let columns = compared(node, relation);
    let unknown = !columns.is_empty() && columns.iter().all(|column| column.distinct.is_none());
    if !unknown || relation.rows < ROWS || relation.kind == 'p' {
        return None;
    }
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let description = format!(
        "the planner has no statistics of {} of {}, about {} rows: it guesses",
        names.join(", "),
        relation.name,
        count(relation.rows)
    );
    let mut one = say(
        RecommendationKind::Rewrite,
        "no-statistics",
        share_below(node).max(0.15),
        description,
        Some(format!("ANALYZE {};", relation.quoted)),
    );
    one.columns = columns.iter().map(|c| super::shown(relation, c)).collect();
    Some(one)
}

fn misjudged(node: &Node, relation: &Relation) -> Option<Recommendation> {
    let factor = node.misestimate_factor.filter(|factor| *factor >= FACTOR)?;
    let came = node.actual_rows?;
    if rows(node).max(node.plan_rows) < ROWS {
        return None;
    }
    let columns = compared(node, relation);
    let cure = cure(relation, &columns);
    let description = format!(
        "{} of {} was expected to give {} rows and gave {}, {} times {}",
        node.node_type,
        relation.name,
        count(node.plan_rows),
        count(came),
        count(factor),
        if came > node.plan_rows {
            "as many"
        } else {
            "fewer"
        }
    );
    let mut one = say(
        RecommendationKind::Rewrite,
        "misestimate",
        0.0,
        description,
        Some(cure),
    );
    // What it costs shows in the plan as a whole: in joins that were chosen for other numbers.
    one.impact = if factor >= 100.0 {
        Impact::High
    } else {
        Impact::Medium
    };
    one.columns = columns.iter().map(|c| super::shown(relation, c)).collect();
    Some(one)
}

fn cure(relation: &Relation, columns: &[&Column]) -> String {
    let analyze = format!("ANALYZE {};", relation.quoted);
    match columns {
        [] => analyze,
        [one] => format!(
            "ALTER TABLE {} ALTER COLUMN {} SET STATISTICS 1000; {analyze}",
            relation.quoted, one.quoted
        ),
        several => {
            let several = several.get(..MAX_COLUMNS).unwrap_or(several);
            let names: Vec<&str> = several.iter().map(|c| c.quoted.as_str()).collect();
            let plain: Vec<&str> = several.iter().map(|c| c.name.as_str()).collect();
            let name = format!("{}_{}_stat", relation.name, plain.join("_"));
            let name: String = name.chars().take(63).collect();
            format!(
                "CREATE STATISTICS {} (ndistinct, dependencies, mcv) ON {} FROM {}; {analyze}",
                sql::name(&name),
                names.join(", "),
                relation.quoted
            )
        }
    }
}
