//! What writes pay for an index.
//!
//! For: the entries that a workload's INSERTs and UPDATEs would make in a new index, and the HOT
//! updates that it would end. Not for: what reads gain (`cost`).
//!
//! Costs are the planner's units, which say nothing of indexes being kept up, so an entry is put
//! together from what it does: a way down the tree, as `genericcostestimate` charges it; bytes on a
//! page and in the WAL, as parts of a page; and, where entries come in no order, a page made dirty.
//! Deletes leave entries to vacuum, which removes them page by page: half an entry.
//!
//! Source: PostgreSQL 18, `selfuncs.c` (`btcostestimate`), the manual, section 66.7 (Heap-Only Tuples).

use std::collections::BTreeSet;

use super::candidates::Candidate;
use super::relation::{Existing, Relation};
use super::script;
use super::workload::Statement;
use crate::model::plan::PlanNode;

/// What the workload writes to one table, counted as often as it is called.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TableWrites {
    /// Rows inserted.
    pub inserted: f64,
    /// Rows updated, with the columns that get values (by place), for each statement.
    pub updates: Vec<(f64, BTreeSet<usize>)>,
    /// Rows deleted.
    pub deleted: f64,
}

/// What a new index would cost the writes of its table.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Upkeep {
    /// In the planner's units, over the whole workload.
    pub cost: f64,
    /// Share of the table's updates that were HOT and would not be any more, 0 to 1.
    pub lost_hot_ratio: f64,
}

/// `cpu_operator_cost`, fifty of which `btcostestimate` charges a level of the tree.
const LEVEL: f64 = 50.0 * 0.0025;
/// `cpu_index_tuple_cost`.
const ENTRY: f64 = 0.005;
/// Bytes of a WAL record beside the tuple.
const WAL_RECORD: f64 = 60.0;
/// Bytes of a page, which one unit of cost reads in sequence.
const PAGE: f64 = 8_192.0;
/// Share of updates that are HOT where no index stands in the way and nothing was counted: pages are
/// full now and then.
const HOT_SHARE: f64 = 0.8;
/// What a deleted row costs vacuum, as a share of an entry made.
const REMOVED: f64 = 0.5;

/// What the statements write to each relation. `window` is the share of the tables' own counters that
/// falls into the workload's time; rows that they count and the statements do not explain (COPY,
/// triggers, cascades) are added.
pub fn of_workload(
    statements: &[Statement],
    plans: &[PlanNode],
    relations: &[Relation],
    window: Option<f64>,
) -> Vec<TableWrites> {
    let mut all = vec![TableWrites::default(); relations.len()];
    for (statement, plan) in statements.iter().zip(plans) {
        let assigned = script::assigned_columns(&statement.text);
        for node in plan.nodes() {
            let (Some(operation), Some((schema, name))) = (&node.operation, &node.relation) else {
                continue;
            };
            let place = relations
                .iter()
                .position(|r| r.schema == *schema && r.name == *name);
            let Some((place, relation)) = place.and_then(|p| Some((p, relations.get(p)?))) else {
                continue;
            };
            let Some(writes) = all.get_mut(place) else {
                continue;
            };
            let below: f64 = node.children.first().map_or(1.0, |child| child.rows);
            let rows = statement.calls * below.max(1.0);
            match operation.as_str() {
                "Insert" => writes.inserted += rows,
                "Delete" => writes.deleted += rows,
                _ => {
                    let columns = assigned.iter().filter_map(|name| relation.column(name));
                    let places = columns.map(|(place, _)| place).collect();
                    writes.updates.push((rows, places));
                }
            }
        }
    }
    if let Some(window) = window {
        for (writes, relation) in all.iter_mut().zip(relations) {
            let counted = relation.writes;
            writes.inserted = writes.inserted.max(counted.inserted * window);
            writes.deleted = writes.deleted.max(counted.deleted * window);
            let known: f64 = writes.updates.iter().map(|(rows, _)| rows).sum();
            let unknown = counted.updated * window - known;
            if unknown > 0.0 {
                writes.updates.push((unknown, BTreeSet::new()));
            }
        }
    }
    all
}

/// What `candidate`, of so many bytes and rows, costs the writes to its table.
pub fn upkeep(
    candidate: &Candidate,
    bytes: u64,
    rows: f64,
    relation: &Relation,
    writes: &TableWrites,
) -> Upkeep {
    let share = (rows / relation.rows.max(1.0)).clamp(0.0, 1.0);
    let own = Shape {
        bytes: bytes as f64,
        rows,
        lead: candidate.key_columns().next(),
    };
    let entry = own.entry(relation);
    let mut touched: BTreeSet<usize> = candidate.key_columns().collect();
    touched.extend(&candidate.include);
    touched.extend(predicate_columns(candidate, relation));
    let taken: BTreeSet<usize> = relation.indexes.iter().flat_map(columns_of).collect();
    let others: f64 = relation
        .indexes
        .iter()
        .map(|index| Shape::of(index, relation).entry(relation))
        .sum();
    let hot = hot_share(relation, writes, &taken);
    let mut cost = share * entry * (writes.inserted + REMOVED * writes.deleted);
    let (mut updated, mut lost) = (0.0, 0.0);
    for (rows, columns) in &writes.updates {
        updated += rows;
        let was_hot = if columns.is_disjoint(&taken) {
            hot
        } else {
            0.0
        };
        if columns.is_disjoint(&touched) {
            // Only where the row moves to another page.
            cost += rows * (1.0 - was_hot) * share * entry;
        } else {
            // A new entry here, and one in every other index that was spared so far.
            cost += rows * (share * entry + was_hot * others);
            lost += rows * was_hot;
        }
    }
    Upkeep {
        cost,
        lost_hot_ratio: if updated > 0.0 { lost / updated } else { 0.0 },
    }
}

/// Columns named in a partial index's condition: an update of them moves rows in or out.
fn predicate_columns(candidate: &Candidate, relation: &Relation) -> Vec<usize> {
    let Some(predicate) = &candidate.predicate else {
        return Vec::new();
    };
    let columns = relation.columns.iter().enumerate();
    columns
        .filter(|(_, column)| predicate.contains(&column.quoted))
        .map(|(place, _)| place)
        .collect()
}

fn columns_of(index: &Existing) -> Vec<usize> {
    let keys = index.keys.iter().flatten().copied();
    keys.chain(index.include.iter().copied()).collect()
}

/// How many of the updates that touch no index are HOT, as far as the table's counters tell.
fn hot_share(relation: &Relation, writes: &TableWrites, taken: &BTreeSet<usize>) -> f64 {
    let counted = relation.writes;
    if counted.updated < 1.0 {
        return HOT_SHARE;
    }
    let all: f64 = writes.updates.iter().map(|(rows, _)| rows).sum();
    let free = writes.updates.iter().filter(|(_, c)| c.is_disjoint(taken));
    let free: f64 = free.map(|(rows, _)| rows).sum();
    if free <= 0.0 {
        return HOT_SHARE;
    }
    (counted.updated_hot / counted.updated * all / free).clamp(0.0, 1.0)
}

/// An index as far as an entry in it costs.
struct Shape {
    bytes: f64,
    rows: f64,
    lead: Option<usize>,
}

impl Shape {
    fn of(index: &Existing, relation: &Relation) -> Self {
        Self {
            bytes: index.size_bytes as f64,
            rows: relation.rows,
            lead: index.keys.first().copied().flatten(),
        }
    }

    /// One entry, in planner units.
    fn entry(&self, relation: &Relation) -> f64 {
        let pages = (self.bytes / PAGE).max(1.0);
        let height = 1.0 + (pages.ln() / 200_f64.ln()).max(0.0);
        let tuple = self.bytes / self.rows.max(1.0);
        let column = self.lead.and_then(|lead| relation.columns.get(lead));
        // New rows of a column that grows with the table all go to the last page.
        let scattered = 1.0 - column.map_or(0.0, |column| column.correlation.max(0.0).powi(2));
        LEVEL * (height + 1.0) + ENTRY + (2.0 * tuple + WAL_RECORD) / PAGE + scattered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::candidates::Key;
    use crate::advise::relation::{Column, Writes};

    fn table() -> Relation {
        let column = |name: &str, correlation: f64| Column {
            name: name.to_owned(),
            quoted: name.to_owned(),
            correlation,
            ..Column::default()
        };
        Relation {
            schema: "public".to_owned(),
            name: "lead".to_owned(),
            rows: 10_000.0,
            columns: vec![column("id", 0.0), column("status", 0.1), column("at", 1.0)],
            indexes: vec![Existing {
                keys: vec![Some(0)],
                size_bytes: 400_000,
                ..Existing::default()
            }],
            ..Relation::default()
        }
    }

    fn on(column: usize) -> Candidate {
        Candidate {
            relation: 0,
            keys: vec![Key::plain(column)],
            include: Vec::new(),
            predicate: None,
        }
    }

    fn statement(text: &str, calls: f64) -> Statement {
        Statement {
            name: "s".to_owned(),
            text: text.to_owned(),
            calls,
            mean_ms: None,
            made_up: Vec::new(),
        }
    }

    fn change(operation: &str) -> PlanNode {
        PlanNode {
            operation: Some(operation.to_owned()),
            relation: Some(("public".to_owned(), "lead".to_owned())),
            children: vec![PlanNode {
                rows: 1.0,
                ..PlanNode::default()
            }],
            ..PlanNode::default()
        }
    }

    #[test]
    fn an_index_on_what_is_updated_ends_hot_updates() {
        let statements = [
            statement("update lead set status = 'x' where id = 1", 30.0),
            statement("update lead set at = now() where id = 1", 10.0),
        ];
        let plans = [change("Update"), change("Update")];
        let relations = [table()];
        let writes = of_workload(&statements, &plans, &relations, None);
        let status = upkeep(&on(1), 300_000, 10_000.0, &relations[0], &writes[0]);
        let at = upkeep(&on(2), 300_000, 10_000.0, &relations[0], &writes[0]);
        // Nothing was counted: four in five are taken to be HOT; three in four of all set it.
        assert!((status.lost_hot_ratio - 0.6).abs() < 1e-9);
        assert!((at.lost_hot_ratio - 0.2).abs() < 1e-9);
        assert!(status.cost > 2.0 * at.cost, "{status:?} {at:?}");
    }

    #[test]
    fn rows_in_order_are_cheaper_and_reads_cost_nothing() {
        let relations = [table()];
        let writes = of_workload(
            &[statement("insert into lead values (1)", 100.0)],
            &[change("Insert")],
            &relations,
            None,
        );
        let cost = |column| upkeep(&on(column), 300_000, 10_000.0, &relations[0], &writes[0]).cost;
        assert!(cost(2) > 0.0 && cost(1) > 2.0 * cost(2));
        let read = of_workload(
            &[statement("select 1", 9.0)],
            &[PlanNode::default()],
            &relations,
            None,
        );
        assert_eq!(read, [TableWrites::default()]);
    }

    #[test]
    fn counters_tell_of_writes_that_no_statement_explains() {
        let mut relation = table();
        relation.writes = Writes {
            inserted: 1_000.0,
            updated: 100.0,
            updated_hot: 90.0,
            deleted: 0.0,
        };
        let relations = [relation];
        let writes = of_workload(&[], &[], &relations, Some(0.5));
        assert!((writes[0].inserted - 500.0).abs() < 1e-9);
        assert_eq!(writes[0].updates, [(50.0, BTreeSet::new())]);
    }
}
