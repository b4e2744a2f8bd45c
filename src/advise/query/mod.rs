//! What one statement's plan says of how to write it, index it or run it better.
//!
//! For: rules over a plan, each naming columns and giving DDL or a rewrite. Not for: getting the plan
//! (`postgres::plan`) nor for choosing indexes for a whole workload ([`super::indexes`]): what is said
//! here of indexes comes from there, with the planner's own before and after.
//!
//! A rule that nobody could prove keeps to itself where a table is small, a condition is not selective
//! or a node takes next to nothing of the statement. Read [`Subject`] first, then [`recommend`].

pub mod figures;
pub mod index;
pub mod text;

mod condition;
mod estimate;
mod join;
mod memory;
mod order;
mod scan;
mod shape;

use std::collections::HashMap;

use super::candidates::{self, Need};
use super::relation::{Column, Relation};
use crate::model::explain::{
    Analysis, Impact, Node, Partition, Recommendation, RecommendationKind, Settings,
};

/// A statement with all that is known of it.
#[derive(Debug, Clone)]
pub struct Subject<'s> {
    analysis: &'s Analysis,
    relations: &'s [Relation],
    /// By schema and name: a plan over partitions has thousands of nodes.
    named: HashMap<(&'s str, &'s str), &'s Relation>,
    /// By what the statement calls them.
    aliased: HashMap<&'s str, &'s Relation>,
    /// What the plan needs of the tables.
    needs: Vec<Need>,
    settings: Settings,
    partitions: &'s [Partition],
    is_costed: bool,
}

/// Pages below which a table is read as fast as any index.
const SMALL_PAGES: f64 = 64.0;
/// Rows below which nothing is said of how a node reads them.
const FEW_ROWS: f64 = 1_000.0;
/// Share of a statement below which a node is left alone.
const LITTLE: f64 = 0.02;

/// Everything that the rules say, most useful first.
pub fn recommend(subject: &Subject<'_>) -> Vec<Recommendation> {
    let mut found = Vec::new();
    for rule in [
        scan::rules,
        order::rules,
        join::rules,
        condition::rules,
        estimate::rules,
        memory::rules,
        shape::rules,
    ] {
        found.extend(rule(subject));
    }
    tidy(found)
}

/// Each once, those with most impact first; the order of the rules is kept among equals.
pub fn tidy(found: Vec<Recommendation>) -> Vec<Recommendation> {
    let mut kept: Vec<Recommendation> = Vec::new();
    for one in found {
        let same = |known: &Recommendation| {
            known.rule == one.rule && known.implementation == one.implementation
        };
        if !kept.iter().any(same) {
            kept.push(one);
        }
    }
    kept.sort_by_key(|one| one.impact);
    kept
}

impl<'s> Subject<'s> {
    /// A plan with figures filled in, and the tables and partitions in it. Where it is costed, the
    /// planner was asked about hypothetical indexes, and what it did not take is not proposed.
    pub fn new(
        analysis: &'s Analysis,
        (relations, partitions): (&'s [Relation], &'s [Partition]),
        settings: Settings,
        is_costed: bool,
    ) -> Self {
        let named = relations
            .iter()
            .map(|one| ((one.schema.as_str(), one.name.as_str()), one));
        let mut subject = Self {
            analysis,
            relations,
            named: named.collect(),
            aliased: HashMap::new(),
            needs: candidates::needs::of_plan(0, &analysis.plan.to_plan(), relations),
            settings,
            partitions,
            is_costed,
        };
        for node in subject.nodes() {
            if let (Some(alias), Some(relation)) = (&node.alias, subject.relation(node)) {
                subject.aliased.entry(alias).or_insert(relation);
            }
        }
        subject
    }

    /// Every node, parents first.
    fn nodes(&self) -> Vec<&'s Node> {
        self.analysis.plan.nodes()
    }

    /// The table that a node reads.
    fn relation(&self, node: &Node) -> Option<&'s Relation> {
        let (name, schema) = (node.relation.as_ref()?, node.schema.as_ref()?);
        self.named.get(&(schema.as_str(), name.as_str())).copied()
    }

    /// The table that the statement calls `alias`.
    fn aliased(&self, alias: &str) -> Option<&'s Relation> {
        self.aliased.get(alias).copied()
    }

    /// A table that is worth an index.
    fn is_large(relation: &Relation) -> bool {
        relation.pages >= SMALL_PAGES && relation.rows >= FEW_ROWS
    }

    /// Rows that a scan reads, those thrown away included.
    fn rows_read(&self, node: &Node) -> f64 {
        if self.analysis.analyzed && node.actual_rows.is_some() {
            return rows(node) + node.rows_removed_by_filter.unwrap_or(0.0);
        }
        match self.relation(node) {
            Some(relation) if node.node_type == "Seq Scan" => relation.rows,
            _ => rows(node),
        }
    }
}

/// Rows that a node gives in all its runs: those that came, or those expected of one run.
fn rows(node: &Node) -> f64 {
    match (node.actual_rows, node.actual_loops) {
        (Some(rows), Some(loops)) => rows * loops,
        _ => node.plan_rows,
    }
}

/// Its share of the statement with all below it.
fn share_below(node: &Node) -> f64 {
    let all = node.nodes();
    all.iter().map(|node| node.share).sum::<f64>().min(1.0)
}

/// A recommendation with what all of them have.
fn say(
    kind: RecommendationKind,
    rule: &str,
    share: f64,
    description: String,
    implementation: Option<String>,
) -> Recommendation {
    Recommendation {
        kind,
        rule: rule.to_owned(),
        description,
        impact: Impact::of(share),
        implementation,
        columns: Vec::new(),
        proof: None,
    }
}

/// The index that is there and begins with the column, by name.
fn leading<'r>(relation: &'r Relation, column: &str) -> Option<&'r str> {
    let (place, _) = relation.column(column)?;
    let leads = |index: &&super::relation::Existing| {
        index.method == "btree" && index.keys.first() == Some(&Some(place))
    };
    let found = relation.indexes.iter().find(leads);
    found.map(|index| index.name.as_str())
}

/// `table.column`, for people.
fn shown(relation: &Relation, column: &Column) -> String {
    format!("{}.{}", relation.name, column.name)
}

/// Digits in threes, with a thin enough blank.
pub fn count(value: f64) -> String {
    let digits = format!("{:.0}", value.max(0.0));
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes in the largest unit that leaves a whole part; 1 kB is 1024 bytes, as the server counts.
pub fn bytes(value: f64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = value.max(0.0);
    for unit in UNITS {
        if value < 1_024.0 {
            return if unit == "B" || value >= 10.0 {
                format!("{value:.0} {unit}")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1_024.0;
    }
    format!("{value:.0} PB")
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
