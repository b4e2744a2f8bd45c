//! `EXPLAIN (FORMAT JSON)` → a tree of nodes.

use serde_json::Value;

use crate::model::plan::{PlanNode, Role};

/// The plan in an answer of the server; `None` where there is none, as for a utility statement.
pub(in crate::postgres) fn read(answer: &Value) -> Option<PlanNode> {
    let plan = answer.get(0)?.get("Plan")?;
    Some(node(plan))
}

/// The server's names of conditions.
const CONDITIONS: [(&str, Role); 9] = [
    ("Filter", Role::Filter),
    ("One-Time Filter", Role::Filter),
    ("Conflict Filter", Role::Filter),
    ("Index Cond", Role::Index),
    ("Recheck Cond", Role::Index),
    ("TID Cond", Role::Index),
    ("Hash Cond", Role::Join),
    ("Merge Cond", Role::Join),
    ("Join Filter", Role::Join),
];

fn node(value: &Value) -> PlanNode {
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let number = |key: &str| value.get(key).and_then(Value::as_f64).unwrap_or(0.0);
    let list = |key: &str| -> Vec<String> {
        let members = value.get(key).and_then(Value::as_array);
        let texts = members.into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    };
    let relation = text("Relation Name").map(|name| (text("Schema").unwrap_or_default(), name));
    let conditions = CONDITIONS
        .iter()
        .filter_map(|(key, role)| Some((*role, text(key)?)));
    let cache = text("Cache Key").map(|key| (Role::Cache, key));
    let children = value.get("Plans").and_then(Value::as_array);
    PlanNode {
        kind: text("Node Type").unwrap_or_default(),
        relationship: text("Parent Relationship").unwrap_or_default(),
        relation,
        operation: text("Operation"),
        alias: text("Alias"),
        index: text("Index Name"),
        startup_cost: number("Startup Cost"),
        total_cost: number("Total Cost"),
        rows: number("Plan Rows"),
        width: number("Plan Width"),
        workers: value
            .get("Workers Planned")
            .and_then(Value::as_u64)
            .and_then(|workers| u32::try_from(workers).ok())
            .unwrap_or(0),
        is_parallel: value
            .get("Parallel Aware")
            .and_then(Value::as_bool)
            .unwrap_or(false),
        output: list("Output"),
        conditions: conditions.chain(cache).collect(),
        sort_key: list("Sort Key"),
        group_key: list("Group Key"),
        children: children.into_iter().flatten().map(node).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_recorded_plan_keeps_its_tree() {
        let answer = json!([{"Plan": {
            "Node Type": "Gather", "Total Cost": 30.5, "Plan Rows": 7, "Workers Planned": 2,
            "Plans": [{
                "Node Type": "Seq Scan", "Parent Relationship": "Outer", "Parallel Aware": true,
                "Relation Name": "orders", "Schema": "public", "Alias": "o",
                "Filter": "(o.status = 'F'::bpchar)", "Output": ["o.id"]
            }]
        }}]);
        let plan = read(&answer).unwrap();
        assert_eq!((plan.kind.as_str(), plan.workers), ("Gather", 2));
        let scan = &plan.children[0];
        assert_eq!(
            scan.relation,
            Some(("public".to_owned(), "orders".to_owned()))
        );
        assert_eq!(
            scan.conditions,
            [(Role::Filter, "(o.status = 'F'::bpchar)".to_owned())]
        );
        assert!(scan.is_parallel);
        assert!(read(&json!(["Utility Statement"])).is_none());
    }
}
