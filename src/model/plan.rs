//! One statement's plan, as the planner tells it.
//!
//! For: a tree of nodes with their costs and the texts of their conditions. Not for: asking for a
//! plan (`postgres::plan`) or understanding the conditions (`advise::clause`).
//!
//! Source: PostgreSQL 18 manual, section 14.1 (Using EXPLAIN) and `EXPLAIN (FORMAT JSON)`.

/// What a condition does in its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// `Filter`, `One-Time Filter`: rows are read, then thrown away.
    Filter,
    /// `Index Cond`, `Recheck Cond`, `TID Cond`: rows are found by it.
    Index,
    /// `Hash Cond`, `Merge Cond`, `Join Filter`.
    Join,
    /// `Cache Key` of a memoize node.
    Cache,
}

/// One node and what lies below it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PlanNode {
    /// `Node Type`, such as `Seq Scan`.
    pub kind: String,
    /// `Parent Relationship`: `Outer`, `Inner`, `SubPlan`, `InitPlan`, `Subquery`, `Member`.
    pub relationship: String,
    /// Schema and name of the relation that is scanned or changed, unquoted.
    pub relation: Option<(String, String)>,
    /// `Operation` of a node that changes rows: `Insert`, `Update`, `Delete` or `Merge`.
    pub operation: Option<String>,
    /// How the statement calls the relation; unique in the plan.
    pub alias: Option<String>,
    /// `Index Name`.
    pub index: Option<String>,
    /// `Startup Cost`, in the planner's units.
    pub startup_cost: f64,
    /// `Total Cost`, in the planner's units, that of the nodes below included.
    pub total_cost: f64,
    /// `Plan Rows`: expected rows of one run of the node.
    pub rows: f64,
    /// `Plan Width`: expected bytes of one row.
    pub width: f64,
    /// `Workers Planned`.
    pub workers: u32,
    /// Shares its work with other workers.
    pub is_parallel: bool,
    /// `Output`: the expressions that the node gives on; only of a verbose plan.
    pub output: Vec<String>,
    /// Conditions with their role, as deparsed by the server.
    pub conditions: Vec<(Role, String)>,
    /// `Sort Key`.
    pub sort_key: Vec<String>,
    /// `Group Key`.
    pub group_key: Vec<String>,
    /// The nodes that feed this one.
    pub children: Vec<PlanNode>,
}

impl PlanNode {
    /// This node and all below it, parents first.
    pub fn nodes(&self) -> Vec<&Self> {
        let mut all = vec![self];
        let mut next = 0;
        while let Some(node) = all.get(next).copied() {
            all.extend(&node.children);
            next += 1;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_nodes_are_walked_once_parents_first() {
        let leaf = |kind: &str| PlanNode {
            kind: kind.to_owned(),
            ..PlanNode::default()
        };
        let mut join = leaf("Hash Join");
        join.children = vec![leaf("Seq Scan"), leaf("Hash")];
        let kinds: Vec<&str> = join.nodes().iter().map(|n| n.kind.as_str()).collect();
        assert_eq!(kinds, ["Hash Join", "Seq Scan", "Hash"]);
    }
}
