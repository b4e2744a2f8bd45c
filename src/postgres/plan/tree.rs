//! `EXPLAIN (FORMAT JSON)` → a tree of nodes with all that a person wants to see of it.
//!
//! Source: PostgreSQL 13 to 18, `EXPLAIN (FORMAT JSON)`; fields that a version lacks stay empty.

use serde_json::Value;

use crate::model::explain::{Buffers, Condition, Jit, Node, Spill};

/// A whole answer of `EXPLAIN`.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Told {
    pub(super) plan: Node,
    pub(super) planning_ms: Option<f64>,
    pub(super) execution_ms: Option<f64>,
    pub(super) jit: Option<Jit>,
}

/// The answer; `None` where there is no plan in it, as for a utility statement.
pub(super) fn read(answer: &Value) -> Option<Told> {
    let answer = answer.get(0)?;
    let number = |key: &str| answer.get(key).and_then(Value::as_f64);
    let jit = answer.get("JIT").map(|jit| Jit {
        functions: jit.get("Functions").and_then(Value::as_f64).unwrap_or(0.0),
        total_ms: jit.pointer("/Timing/Total").and_then(Value::as_f64),
    });
    Some(Told {
        plan: node(answer.get("Plan")?),
        planning_ms: number("Planning Time"),
        execution_ms: number("Execution Time"),
        jit,
    })
}

/// What the server calls conditions, in the order in which they are shown.
const CONDITIONS: [&str; 16] = [
    "Index Cond",
    "Recheck Cond",
    "TID Cond",
    "Hash Cond",
    "Merge Cond",
    "Join Filter",
    "Filter",
    "One-Time Filter",
    "Conflict Filter",
    "Run Condition",
    "Order By",
    "Cache Key",
    "Function Call",
    "Table Function Call",
    "Sampling Parameters",
    "Window",
];

/// Rows that are read and thrown away, per run of the node.
const REMOVED: [&str; 3] = [
    "Rows Removed by Filter",
    "Rows Removed by Join Filter",
    "Rows Removed by Index Recheck",
];

const BLOCK: f64 = 1_024.0;

fn node(value: &Value) -> Node {
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let number = |key: &str| value.get(key).and_then(Value::as_f64);
    let count = |key: &str| number(key).map(whole);
    let list = |key: &str| -> Vec<String> {
        let members = value.get(key).and_then(Value::as_array);
        let texts = members.into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    };
    let conditions = CONDITIONS.iter().filter_map(|kind| {
        Some(Condition {
            kind: (*kind).to_owned(),
            text: condition(value.get(*kind)?)?,
        })
    });
    let loops = number("Actual Loops");
    let removed: Vec<f64> = REMOVED.iter().filter_map(|key| number(key)).collect();
    let children = value.get("Plans").and_then(Value::as_array);
    Node {
        node_type: text("Node Type").unwrap_or_default(),
        relation: text("Relation Name").or_else(|| text("Function Name")),
        schema: text("Schema"),
        alias: text("Alias"),
        index_name: text("Index Name"),
        parent_relationship: text("Parent Relationship"),
        subplan_name: text("Subplan Name"),
        cte_name: text("CTE Name"),
        join_type: text("Join Type"),
        strategy: ["Operation", "Strategy", "Scan Direction"]
            .iter()
            .find_map(|key| text(key)),
        startup_cost: number("Startup Cost").unwrap_or(0.0),
        total_cost: number("Total Cost").unwrap_or(0.0),
        plan_rows: number("Plan Rows").unwrap_or(0.0),
        plan_width: number("Plan Width").unwrap_or(0.0),
        actual_time: number("Actual Total Time"),
        actual_rows: number("Actual Rows"),
        actual_loops: loops,
        rows_removed_by_filter: (!removed.is_empty())
            .then(|| removed.iter().sum::<f64>() * loops.unwrap_or(1.0).max(1.0)),
        buffers: buffers(value),
        spill: spill(value),
        workers_planned: count("Workers Planned"),
        workers_launched: count("Workers Launched"),
        heap_fetches: number("Heap Fetches"),
        conditions: conditions.collect(),
        sort_key: list("Sort Key"),
        group_key: list("Group Key"),
        output: list("Output"),
        is_parallel: value
            .get("Parallel Aware")
            .and_then(Value::as_bool)
            .unwrap_or(false),
        plans: children.into_iter().flatten().map(node).collect(),
        ..Node::default()
    }
}

/// Most are texts; a few are lists of them.
fn condition(value: &Value) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    let parts = value.as_array()?.iter().filter_map(Value::as_str);
    Some(parts.collect::<Vec<_>>().join(", "))
}

fn buffers(value: &Value) -> Option<Buffers> {
    let number = |key: &str| value.get(key).and_then(Value::as_f64);
    Some(Buffers {
        shared_hit: number("Shared Hit Blocks")?,
        shared_read: number("Shared Read Blocks").unwrap_or(0.0),
        shared_dirtied: number("Shared Dirtied Blocks").unwrap_or(0.0),
        temp_read: number("Temp Read Blocks").unwrap_or(0.0),
        temp_written: number("Temp Written Blocks").unwrap_or(0.0),
    })
}

/// What went to disk: a sort, the batches of a hash join, the groups of an aggregate.
fn spill(value: &Value) -> Option<Spill> {
    let number = |key: &str| value.get(key).and_then(Value::as_f64);
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    if text("Sort Space Type") == Some("Disk") {
        return Some(Spill {
            method: text("Sort Method").unwrap_or("sort").to_owned(),
            bytes: number("Sort Space Used").unwrap_or(0.0) * BLOCK,
            batches: None,
        });
    }
    if let Some(batches) = number("Hash Batches").filter(|batches| *batches > 1.0) {
        return Some(Spill {
            method: "hash join".to_owned(),
            // What was in memory at once, times the parts that there were.
            bytes: number("Peak Memory Usage").unwrap_or(0.0) * BLOCK * batches,
            batches: Some(batches),
        });
    }
    let used = number("Disk Usage").filter(|kilobytes| *kilobytes > 0.0)?;
    Some(Spill {
        method: "hash aggregate".to_owned(),
        bytes: used * BLOCK,
        batches: number("HashAgg Batches"),
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of workers; a float cast saturates"
)]
fn whole(value: f64) -> u32 {
    value as u32
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_keeps_what_a_person_looks_for() {
        let answer = json!([{
            "Plan": {
                "Node Type": "Sort", "Startup Cost": 1.0, "Total Cost": 9.5, "Plan Rows": 3,
                "Plan Width": 8, "Actual Total Time": 2.5, "Actual Rows": 3, "Actual Loops": 1,
                "Sort Key": ["t.a DESC"], "Sort Method": "external merge",
                "Sort Space Used": 2048, "Sort Space Type": "Disk",
                "Shared Hit Blocks": 7, "Shared Read Blocks": 1,
                "Temp Written Blocks": 256,
                "Plans": [{
                    "Node Type": "Seq Scan", "Parent Relationship": "Outer",
                    "Relation Name": "T", "Schema": "s", "Alias": "t",
                    "Startup Cost": 0.0, "Total Cost": 8.0, "Plan Rows": 3, "Plan Width": 8,
                    "Actual Total Time": 2.0, "Actual Rows": 1.5, "Actual Loops": 2,
                    "Filter": "(t.b = 1)", "Rows Removed by Filter": 10,
                    "Output": ["t.a"]
                }]
            },
            "Planning Time": 0.2, "Execution Time": 3.0,
            "JIT": {"Functions": 4, "Timing": {"Total": 1.5}}
        }]);
        let told = read(&answer).unwrap();
        assert_eq!(told.planning_ms, Some(0.2));
        assert_eq!(told.jit.unwrap().total_ms, Some(1.5));
        let sort = &told.plan;
        let spill = sort.spill.as_ref().unwrap();
        assert!((spill.bytes - 2_097_152.0).abs() < 0.5);
        assert!((sort.buffers.unwrap().temp_written - 256.0).abs() < 0.5);
        let scan = &sort.plans[0];
        assert_eq!(scan.rows_removed_by_filter, Some(20.0));
        assert_eq!(scan.condition("Filter"), Some("(t.b = 1)"));
        assert_eq!(scan.relation.as_deref(), Some("T"));
        assert_eq!(scan.to_plan().output, ["t.a"]);
    }

    #[test]
    fn hashes_spill_in_batches_and_aggregates_in_kilobytes() {
        let hash = json!({"Node Type": "Hash", "Hash Batches": 4, "Peak Memory Usage": 1024});
        assert!((spill(&hash).unwrap().bytes - 4_194_304.0).abs() < 0.5);
        let aggregate = json!({"Node Type": "Aggregate", "HashAgg Batches": 5, "Disk Usage": 100});
        assert_eq!(spill(&aggregate).unwrap().batches, Some(5.0));
        let fits = json!({"Node Type": "Hash", "Hash Batches": 1, "Peak Memory Usage": 9});
        assert_eq!(spill(&fits), None);
        assert_eq!(read(&json!([{"Utility Statement": "x"}])), None);
    }
}
