//! One statement looked into: its plan with figures, what to mend, what it is expected to take.
//!
//! For: the shape that the API answers with and the command line shows. Field names are the
//! original's where it has them (`nodeType`, `planRows`, …). Not for: asking the server
//! (`postgres::plan`) or judging (`advise::query`).
//!
//! Costs are the planner's units, times ms, sizes bytes; blocks are the server's pages.

use serde::{Deserialize, Serialize};

use super::plan::{PlanNode, Role};

/// What is known of one statement.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Analysis {
    /// The target's name.
    pub target: String,
    /// The statement as it was sent, without comments around it or a `;` after it.
    pub query: String,
    /// `Execution Time` of the server; `None` where the statement was not run.
    pub execution_time: Option<f64>,
    /// `Planning Time` of the server.
    pub plan_time: Option<f64>,
    /// From the question to the server's answer, network and waiting included.
    pub round_trip_ms: f64,
    /// `Total Cost` of the whole plan.
    pub total_cost: f64,
    /// Rows that the statement gives: those that came where it was run, else those expected.
    pub rows: f64,
    /// Whether the statement was run, in a read-only transaction that was rolled back.
    pub analyzed: bool,
    /// Why it was not run.
    pub not_run: Option<String>,
    /// What stood in for `$n`.
    pub parameters: Parameters,
    /// The plan.
    pub plan: Node,
    /// Blocks of the whole run.
    pub buffers: Option<Buffers>,
    /// Rows that were read and thrown away by filters, all nodes together.
    pub rows_removed_by_filter: Option<f64>,
    /// The largest of the nodes' factors between expected and real rows.
    pub misestimate_factor: Option<f64>,
    /// What one run is expected to take.
    pub predicted_time: Option<PredictedTime>,
    /// Why there is no expectation, or what it rests on.
    pub predicted_time_basis: String,
    /// Just-in-time compilation, where the server did or would do it.
    pub jit: Option<Jit>,
    /// What to mend, most useful first.
    pub recommendations: Vec<Recommendation>,
    /// Indexes that the planner would use, with proof where there is one.
    pub suggested_indexes: Vec<SuggestedIndex>,
    /// What the indexes' costs rest on: `hypopg 1.3.1`, or why there are none.
    pub index_basis: String,
}

/// What stood in for the parameters of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parameters {
    /// How many `$n` there are.
    pub count: usize,
    /// Where their values come from.
    pub basis: ParameterBasis,
    /// Type of each, as the server found it.
    pub types: Vec<String>,
}

/// Where the values of parameters come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParameterBasis {
    /// The statement has none.
    #[default]
    None,
    /// The caller gave them.
    Given,
    /// The plan is for any value (`GENERIC_PLAN`).
    Generic,
    /// Values that the columns have, from `pg_stats`; they are not shown.
    Sampled,
}

impl ParameterBasis {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::None => "no parameters",
            Self::Given => "the values given",
            Self::Generic => "a generic plan, for any values",
            Self::Sampled => "values that the columns have, from pg_stats",
        }
    }
}

/// One node of the plan.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// `Node Type`, such as `Seq Scan`.
    pub node_type: String,
    /// The relation that is read or changed, unquoted.
    pub relation: Option<String>,
    /// Its schema, unquoted.
    pub schema: Option<String>,
    /// How the statement calls it.
    pub alias: Option<String>,
    /// `Index Name`.
    pub index_name: Option<String>,
    /// `Parent Relationship`, such as `Inner`.
    pub parent_relationship: Option<String>,
    /// `Subplan Name`, such as `CTE recent` or `InitPlan 1`.
    pub subplan_name: Option<String>,
    /// `CTE Name` of a `CTE Scan`.
    pub cte_name: Option<String>,
    /// `Join Type`, such as `Left`.
    pub join_type: Option<String>,
    /// `Strategy` of an aggregate, `Scan Direction` of an index scan.
    pub strategy: Option<String>,
    /// Cost before the first row.
    pub startup_cost: f64,
    /// Cost of all rows, that of the nodes below included.
    pub total_cost: f64,
    /// Rows that one run of the node is expected to give.
    pub plan_rows: f64,
    /// Expected bytes of a row.
    pub plan_width: f64,
    /// Time of one run of the node, on average, that of the nodes below included.
    pub actual_time: Option<f64>,
    /// Rows that one run gave, on average.
    pub actual_rows: Option<f64>,
    /// How often the node was run.
    pub actual_loops: Option<f64>,
    /// What the node itself costs the statement, without the nodes below; all nodes' sum is the
    /// statement's total cost.
    pub exclusive_cost: f64,
    /// What the node itself took, in wall time.
    pub exclusive_time: Option<f64>,
    /// Its share of the whole, 0 to 1: of the time where the statement was run, else of the cost.
    pub share: f64,
    /// Real rows against expected ones, the larger by the smaller.
    pub misestimate_factor: Option<f64>,
    /// Rows that were read and thrown away, in all runs together.
    pub rows_removed_by_filter: Option<f64>,
    /// Blocks, those of the nodes below included.
    pub buffers: Option<Buffers>,
    /// What did not fit into memory.
    pub spill: Option<Spill>,
    /// Workers that were planned.
    pub workers_planned: Option<u32>,
    /// Workers that came.
    pub workers_launched: Option<u32>,
    /// `Heap Fetches` of an index-only scan.
    pub heap_fetches: Option<f64>,
    /// Conditions as the server writes them.
    pub conditions: Vec<Condition>,
    /// `Sort Key`.
    pub sort_key: Vec<String>,
    /// `Group Key`.
    pub group_key: Vec<String>,
    /// Expressions that the node gives on; for the rules, not for showing.
    #[serde(skip)]
    pub output: Vec<String>,
    /// Shares its work with other workers.
    #[serde(skip)]
    pub is_parallel: bool,
    /// The nodes that feed this one.
    pub plans: Vec<Node>,
}

/// A condition of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// The server's name of it: `Filter`, `Index Cond`, `Hash Cond`, …
    pub kind: String,
    /// The condition, deparsed by the server.
    pub text: String,
}

/// Blocks that were touched.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Buffers {
    /// Found in the server's cache.
    pub shared_hit: f64,
    /// Read into it.
    pub shared_read: f64,
    /// Made dirty.
    pub shared_dirtied: f64,
    /// Of temporary files, read.
    pub temp_read: f64,
    /// Of temporary files, written.
    pub temp_written: f64,
}

/// What did not fit into `work_mem`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spill {
    /// How it was gone about, such as `external merge`.
    pub method: String,
    /// Bytes that went to disk.
    pub bytes: f64,
    /// Parts that the work was cut into, where the server says so.
    pub batches: Option<f64>,
}

/// Just-in-time compilation.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Jit {
    /// Functions that are compiled.
    pub functions: f64,
    /// Time that it took; `None` where the statement was not run.
    pub total_ms: Option<f64>,
}

/// What one run is expected to take on this server.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PredictedTime {
    /// The middle.
    pub ms: f64,
    /// Lower end of the interval.
    pub low_ms: f64,
    /// Upper end of the interval.
    pub high_ms: f64,
    /// Share of statements whose time lies within, 0 to 1.
    pub level: f64,
    /// Statements that it was learnt from.
    pub statements: usize,
    /// By which factor the middle is off in the middle case, each statement left out in turn.
    pub error_factor: f64,
}

/// What to mend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recommendation {
    /// What sort of change it is.
    #[serde(rename = "type")]
    pub kind: RecommendationKind,
    /// The rule that speaks, such as `seq-scan-filter`; its page is in the docs.
    pub rule: String,
    /// What is wrong, with the columns and the figures.
    pub description: String,
    /// How much it matters.
    pub impact: Impact,
    /// DDL or a rewrite.
    pub implementation: Option<String>,
    /// Columns that it is about, as `table.column`.
    pub columns: Vec<String>,
    /// Total cost of the statement as it is and after the change, both by the planner; `None` where
    /// nobody could ask it.
    pub proof: Option<Proof>,
}

/// Total cost of the statement before and after, by the planner.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// As it is.
    pub cost_before: f64,
    /// With the change.
    pub cost_after: f64,
}

/// Sorts of recommendations, as the original names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecommendationKind {
    /// Build or change an index.
    Index,
    /// Write the statement, or a setting for it, in another way.
    Rewrite,
    /// Partition a table, or let partitions be left out.
    Partition,
    /// Keep a result instead of computing it each time.
    Denormalize,
}

impl RecommendationKind {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Rewrite => "rewrite",
            Self::Partition => "partition",
            Self::Denormalize => "denormalize",
        }
    }
}

/// How much a recommendation matters; the first matters most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Impact {
    /// At least half of the statement's cost or time.
    High,
    /// At least a seventh.
    Medium,
    /// Less.
    Low,
}

impl Impact {
    /// For a share of the statement's cost or time, 0 to 1.
    pub fn of(share: f64) -> Self {
        if share >= 0.5 {
            Self::High
        } else if share >= 0.15 {
            Self::Medium
        } else {
            Self::Low
        }
    }

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

/// An index that the planner would use.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SuggestedIndex {
    /// The statement that builds it.
    pub ddl: String,
    /// Total cost of the statement with all suggested indexes; `None` where it was not costed.
    pub predicted_cost: Option<f64>,
    /// Bytes on disk once built.
    pub predicted_size: Option<u64>,
    /// Total cost of the statement as it is, by the same way of asking.
    pub cost_before: Option<f64>,
    /// Total cost with all the others but without this one.
    pub cost_without: Option<f64>,
    /// What it is for.
    pub reason: String,
}

/// Settings of the server that judge a plan.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Settings {
    /// `server_version_num`.
    pub version_num: u32,
    /// `work_mem`, in bytes.
    pub work_mem_bytes: f64,
    /// `work_mem` times `hash_mem_multiplier`, in bytes.
    pub hash_mem_bytes: f64,
    /// `block_size`, in bytes.
    pub block_bytes: f64,
}

/// A partition that the plan reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Partition {
    /// Its schema, unquoted.
    pub schema: String,
    /// Its name, unquoted.
    pub name: String,
    /// The partitioned table at the top, as SQL writes it.
    pub parent: String,
    /// By what it is cut, such as `RANGE (at)`.
    pub key: String,
    /// Partitions that the table has in all, those that hold rows.
    pub siblings: usize,
}

impl Node {
    /// This node and all below it, parents first.
    pub fn nodes(&self) -> Vec<&Self> {
        let mut all = vec![self];
        let mut next = 0;
        while let Some(node) = all.get(next).copied() {
            all.extend(&node.plans);
            next += 1;
        }
        all
    }

    /// The text of a condition of this kind.
    pub fn condition(&self, kind: &str) -> Option<&str> {
        let found = self.conditions.iter().find(|c| c.kind == kind);
        found.map(|condition| condition.text.as_str())
    }

    /// Whether the parent waits for this one as a part of the statement of its own.
    pub fn is_aside(&self) -> bool {
        matches!(
            self.parent_relationship.as_deref(),
            Some("InitPlan" | "SubPlan")
        )
    }

    /// The same tree as the index advisor reads it.
    pub fn to_plan(&self) -> PlanNode {
        let relation = self
            .relation
            .clone()
            .map(|name| (self.schema.clone().unwrap_or_default(), name));
        PlanNode {
            kind: self.node_type.clone(),
            relationship: self.parent_relationship.clone().unwrap_or_default(),
            relation,
            operation: (self.node_type == "ModifyTable")
                .then(|| self.strategy.clone())
                .flatten(),
            alias: self.alias.clone(),
            index: self.index_name.clone(),
            startup_cost: self.startup_cost,
            total_cost: self.total_cost,
            rows: self.plan_rows,
            width: self.plan_width,
            workers: self.workers_planned.unwrap_or(0),
            is_parallel: self.is_parallel,
            output: self.output.clone(),
            conditions: self
                .conditions
                .iter()
                .filter_map(|c| Some((role(&c.kind)?, c.text.clone())))
                .collect(),
            sort_key: self.sort_key.clone(),
            group_key: self.group_key.clone(),
            children: self.plans.iter().map(Self::to_plan).collect(),
        }
    }
}

fn role(kind: &str) -> Option<Role> {
    Some(match kind {
        "Filter" | "One-Time Filter" | "Conflict Filter" => Role::Filter,
        "Index Cond" | "Recheck Cond" | "TID Cond" => Role::Index,
        "Hash Cond" | "Merge Cond" | "Join Filter" => Role::Join,
        "Cache Key" => Role::Cache,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_s_names_are_on_the_wire() {
        let analysis = Analysis {
            recommendations: vec![Recommendation {
                kind: RecommendationKind::Denormalize,
                rule: "r".to_owned(),
                description: "d".to_owned(),
                impact: Impact::High,
                implementation: None,
                columns: Vec::new(),
                proof: None,
            }],
            ..Analysis::default()
        };
        let json = serde_json::to_value(&analysis).unwrap();
        for name in [
            "query",
            "executionTime",
            "planTime",
            "totalCost",
            "rows",
            "plan",
            "recommendations",
            "roundTripMs",
            "buffers",
            "rowsRemovedByFilter",
            "misestimateFactor",
            "suggestedIndexes",
        ] {
            assert!(json.get(name).is_some(), "{name}");
        }
        for name in [
            "nodeType",
            "relation",
            "alias",
            "startupCost",
            "totalCost",
            "planRows",
            "planWidth",
            "actualTime",
            "actualRows",
            "actualLoops",
            "plans",
        ] {
            assert!(json["plan"].get(name).is_some(), "{name}");
        }
        assert_eq!(json["recommendations"][0]["type"], "denormalize");
        assert_eq!(json["recommendations"][0]["impact"], "high");
    }

    #[test]
    fn impact_is_read_off_the_share() {
        assert_eq!(Impact::of(0.5), Impact::High);
        assert_eq!(Impact::of(0.2), Impact::Medium);
        assert_eq!(Impact::of(0.01), Impact::Low);
        assert!(Impact::High < Impact::Low);
    }
}
