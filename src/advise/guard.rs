//! What a plan does besides what the planner charges for, and when that is too much.
//!
//! For: keeping statements from getting worse although their cost falls. Not for: costs (`cost`) or
//! real times (`plimsoll advise verify`).
//!
//! The planner takes a page that is likely to be cached as nearly free, and an index that is read in
//! the order of its table as reading in sequence. But each row that an index leads to is a look into
//! the buffers, and millions of them take seconds. So the looks are counted from the plan's rows and
//! loops, and each is charged [`TOUCH`] planner units of the process that makes it. A plan is held
//! against the same statement's plan as it is; see [`worse`].
//!
//! [`TOUCH`] was measured: over eighteen statements of TPC-H (scale 1, in memory, two workers), with
//! and without sets of 17 and 24 indexes, those that did not gain in time what they gained in cost
//! lost it by 0.17 to 0.47 units a look.

use super::relation::Relation;
use crate::model::plan::{PlanNode, Role};

/// What one look into the buffers costs, in planner units (a page read in sequence is one).
pub const TOUCH: f64 = 0.25;
/// How much dearer, looks included, a statement may become.
pub const BOUND: f64 = 1.25;
/// How much more than a gain a loss weighs: what others gain by an index rarely makes up for it.
const WEIGHT: f64 = 10.0;
/// Below this a statement is over before anybody notices, in planner units with looks.
const SMALL: f64 = 1_000.0;
/// Rows that one page of an index leads to: a guess that matters little beside the rows themselves.
const ROWS_PER_LEAF: f64 = 250.0;
/// Pages from the root of an index to its leaf.
const HEIGHT: f64 = 3.0;
/// Least cost of a row that an index scan looks at: `cpu_tuple_cost` + `cpu_index_tuple_cost` + two
/// comparisons.
const ROW_COST: f64 = 0.01 + 0.005 + 2.0 * 0.0025;

/// What a plan does.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Effort {
    /// The planner's total cost.
    pub cost: f64,
    /// Pages looked at in the buffers, by all processes, each time counted.
    pub blocks: f64,
    /// The same, divided among those that work side by side.
    pub own_blocks: f64,
    /// Workers planned.
    pub workers: u32,
}

impl Effort {
    /// Cost with looks into the buffers charged: nearer to time than cost alone.
    pub fn charged(&self) -> f64 {
        self.cost + TOUCH * self.own_blocks
    }
}

/// Why a plan is worse than another of the same statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// The planner itself charges more.
    Cost,
    /// More pages are looked at than the saved cost is worth.
    Blocks,
    /// Workers are lost, and what is left to one process is more than each had before.
    Workers,
}

/// Whether `after` gets worse than the bound allows, and in what.
pub fn worse(before: &Effort, after: &Effort) -> Option<Harm> {
    let bound = BOUND * before.charged() + SMALL;
    if after.cost > BOUND * before.cost + SMALL {
        Some(Harm::Cost)
    } else if after.charged() <= bound {
        None
    } else if before.workers > 0 && after.workers == 0 {
        Some(Harm::Workers)
    } else {
        Some(Harm::Blocks)
    }
}

/// What a plan that gets worse counts more than its cost says, in planner units: enough to make it a
/// loss beside no index at all, `WEIGHT` times the share by which it gets worse. 0 for all others.
pub fn risk(before: &Effort, after: &Effort) -> f64 {
    if worse(before, after).is_none() {
        return 0.0;
    }
    let share = (after.charged() / before.charged().max(1.0)).max(BOUND) - 1.0;
    (before.cost * (1.0 + WEIGHT * share) - after.cost).max(0.0)
}

/// What a plan does, estimated from its rows and loops.
pub fn effort(plan: &PlanNode, relations: &[Relation]) -> Effort {
    let mut sum = Sum {
        relations,
        blocks: 0.0,
        own: 0.0,
    };
    sum.add(plan, 1.0, 1.0);
    Effort {
        cost: plan.total_cost,
        blocks: sum.blocks,
        own_blocks: sum.own,
        workers: plan.nodes().iter().map(|node| node.workers).sum(),
    }
}

struct Sum<'r> {
    relations: &'r [Relation],
    blocks: f64,
    own: f64,
}

impl Sum<'_> {
    /// `loops`: runs of the node by one process; `abreast`: processes that share the work.
    fn add(&mut self, node: &PlanNode, loops: f64, abreast: f64) {
        let touched = self.touched(node) * loops;
        // A scan in parallel takes each page once for all; what lies below its like is run by each.
        let is_shared = node.is_parallel && node.kind == "Seq Scan";
        self.blocks += touched * if is_shared { 1.0 } else { abreast };
        self.own += touched / if is_shared { abreast } else { 1.0 };
        let abreast = if node.workers > 0 {
            divisor(node.workers)
        } else {
            abreast
        };
        let mut outer_rows = 1.0;
        let mut outer_cost = 0.0;
        for (place, child) in node.children.iter().enumerate() {
            let mut runs = loops;
            match node.kind.as_str() {
                "Nested Loop" if place == 0 => {
                    (outer_rows, outer_cost) = (child.rows.max(1.0), child.total_cost);
                }
                "Nested Loop" => runs *= rescans(node, child, outer_rows, outer_cost),
                "Limit" => runs *= fraction(node, child),
                _ => {}
            }
            if child.relationship == "SubPlan" && !is_hashed(node) {
                runs *= node.rows.max(1.0);
            }
            self.add(child, runs, abreast);
        }
    }

    /// Pages that one run of one process looks at.
    fn touched(&self, node: &PlanNode) -> f64 {
        let relation = node.relation.as_ref().and_then(|(schema, name)| {
            let mut all = self.relations.iter();
            all.find(|r| r.schema == *schema && r.name == *name)
        });
        let Some(relation) = relation else {
            return 0.0;
        };
        let pages = relation.pages.max(1.0);
        match node.kind.as_str() {
            "Seq Scan" => pages,
            "Index Only Scan" => HEIGHT + looked_at(node, relation) / ROWS_PER_LEAF,
            "Index Scan" => {
                let rows = looked_at(node, relation);
                HEIGHT + rows / ROWS_PER_LEAF + heap_looks(node, relation, rows)
            }
            "Bitmap Heap Scan" => {
                let rows = looked_at(node, relation).max(1.0);
                HEIGHT + rows / ROWS_PER_LEAF + pages * (1.0 - (-rows / pages).exp())
            }
            _ => 0.0,
        }
    }
}

/// Rows that a scan looks at, those included that its filter throws away.
fn looked_at(node: &PlanNode, relation: &Relation) -> f64 {
    let is_filtered = node
        .conditions
        .iter()
        .any(|(role, _)| *role == Role::Filter);
    let rows = node.rows.max(1.0);
    if !is_filtered {
        return rows;
    }
    let most = (node.total_cost - node.startup_cost).max(0.0) / ROW_COST;
    most.min(relation.rows).max(rows)
}

/// Looks into the heap: one a row, unless the next row lies on the same page.
fn heap_looks(node: &PlanNode, relation: &Relation, rows: f64) -> f64 {
    let per_page = (relation.rows / relation.pages.max(1.0)).max(1.0);
    let in_order = rows / per_page;
    // What the planner charged tells how it took the rows to lie: a page in sequence is one unit.
    let charged = (node.total_cost - node.startup_cost - rows * ROW_COST).max(0.0);
    let pages = charged.max(in_order);
    let sorted = lead_correlation(node, relation);
    (in_order * sorted + rows * (1.0 - sorted))
        .max(in_order)
        .min(rows.max(pages))
}

/// How far rows in the order of the scanned index lie in the order of the table, 0 to 1.
fn lead_correlation(node: &PlanNode, relation: &Relation) -> f64 {
    let existing = node.index.as_ref().and_then(|name| {
        let mut all = relation.indexes.iter();
        all.find(|index| index.name == *name)
    });
    let lead = match existing {
        Some(index) => index.keys.first().copied().flatten(),
        // Hypothetical: its name ends with its columns, `<123>btree_table_column_column`.
        None => node.index.as_ref().and_then(|name| {
            let table = format!("btree_{}_", relation.name);
            let rest = name.split_once(&table)?.1;
            let columns = relation.columns.iter().enumerate();
            let fitting = columns.filter(|(_, column)| rest.starts_with(&column.name));
            fitting
                .max_by_key(|(_, column)| column.name.len())
                .map(|(place, _)| place)
        }),
    };
    let column = lead.and_then(|lead| relation.columns.get(lead));
    column.map_or(0.0, |column| column.correlation.powi(2))
}

/// How often the inner side of a nested loop is run.
fn rescans(join: &PlanNode, inner: &PlanNode, outer_rows: f64, outer_cost: f64) -> f64 {
    match inner.kind.as_str() {
        "Materialize" => 1.0,
        // What it remembers is not asked for again; the join's cost tells how often it is.
        "Memoize" => {
            let run = inner.total_cost.max(0.01);
            ((join.total_cost - outer_cost) / run).clamp(1.0, outer_rows)
        }
        _ => outer_rows,
    }
}

/// The share of its child that a limit lets run.
fn fraction(limit: &PlanNode, child: &PlanNode) -> f64 {
    let whole = child.total_cost - child.startup_cost;
    if whole <= 0.0 {
        return 1.0;
    }
    ((limit.total_cost - child.startup_cost) / whole).clamp(0.0, 1.0)
}

fn is_hashed(node: &PlanNode) -> bool {
    let mut texts = node.conditions.iter();
    texts.any(|(_, text)| text.contains("hashed SubPlan"))
}

/// Processes that workers make, the leader's help counted as the planner does.
fn divisor(workers: u32) -> f64 {
    let workers = f64::from(workers);
    workers + (1.0 - 0.3 * workers).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::relation::Column;

    fn orders() -> Relation {
        Relation {
            schema: "public".to_owned(),
            name: "orders".to_owned(),
            rows: 1_500_000.0,
            pages: 26_000.0,
            columns: vec![
                Column {
                    name: "custkey".to_owned(),
                    ..Column::default()
                },
                Column {
                    name: "orderkey".to_owned(),
                    correlation: 1.0,
                    ..Column::default()
                },
            ],
            ..Relation::default()
        }
    }

    fn scan(kind: &str, index: Option<&str>, rows: f64, cost: f64) -> PlanNode {
        PlanNode {
            kind: kind.to_owned(),
            relation: Some(("public".to_owned(), "orders".to_owned())),
            index: index.map(|name| format!("<1>btree_orders_{name}")),
            rows,
            total_cost: cost,
            ..PlanNode::default()
        }
    }

    #[test]
    fn rows_out_of_order_are_a_look_each() {
        let relations = [orders()];
        let sequence = effort(&scan("Seq Scan", None, 1.5e6, 41_000.0), &relations);
        let sorted = effort(
            &scan("Index Scan", Some("orderkey"), 1.5e6, 60_000.0),
            &relations,
        );
        let scattered = effort(
            &scan("Index Scan", Some("custkey"), 1.5e6, 90_000.0),
            &relations,
        );
        assert!((sequence.blocks - 26_000.0).abs() < 1.0);
        assert!(sorted.blocks < 40_000.0, "{sorted:?}");
        assert!(scattered.blocks > 1.4e6, "{scattered:?}");
        // Cheaper by the planner than before, and dearer with its looks.
        let before = Effort {
            cost: 150_000.0,
            ..sequence
        };
        assert_eq!(worse(&before, &scattered), Some(Harm::Blocks));
        assert!(scattered.cost + risk(&before, &scattered) > BOUND * before.cost);
        assert_eq!(worse(&before, &sorted), None);
        assert!(risk(&before, &sorted).abs() < f64::EPSILON);
    }

    #[test]
    fn loops_and_limits_are_counted() {
        let relations = [orders()];
        let inner = PlanNode {
            relationship: "Inner".to_owned(),
            ..scan("Index Scan", Some("custkey"), 15.0, 60.0)
        };
        let outer = PlanNode {
            kind: "Seq Scan".to_owned(),
            rows: 1_000.0,
            ..PlanNode::default()
        };
        let join = PlanNode {
            kind: "Nested Loop".to_owned(),
            total_cost: 60_000.0,
            children: vec![outer, inner],
            ..PlanNode::default()
        };
        let all = effort(&join, &relations).blocks;
        assert!((17_000.0..20_000.0).contains(&all), "{all}");
        let limit = PlanNode {
            kind: "Limit".to_owned(),
            total_cost: 600.0,
            children: vec![join],
            ..PlanNode::default()
        };
        let first = effort(&limit, &relations).blocks;
        assert!((first * 100.0 - all).abs() < 1.0, "{first}");
    }

    #[test]
    fn lost_workers_count_only_where_one_process_has_more_to_do() {
        let before = Effort {
            cost: 100_000.0,
            blocks: 50_000.0,
            own_blocks: 20_000.0,
            workers: 2,
        };
        let better = Effort {
            cost: 20_000.0,
            blocks: 100_000.0,
            own_blocks: 100_000.0,
            workers: 0,
        };
        assert_eq!(worse(&before, &better), None);
        let slower = Effort {
            own_blocks: 900_000.0,
            ..better
        };
        assert_eq!(worse(&before, &slower), Some(Harm::Workers));
        let dearer = Effort {
            cost: 130_000.0,
            ..before
        };
        assert_eq!(worse(&before, &dearer), Some(Harm::Cost));
    }
}
