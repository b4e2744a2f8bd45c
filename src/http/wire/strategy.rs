//! Indexes of each table, and what is advised for it.

use serde::Serialize;

use crate::model::advice::{Advice, NewIndex};
use crate::model::database::{Index, Snapshot, Table};
use crate::work::advise::strategy::Standing;

/// One table with its indexes and the advice on them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct TableStrategy {
    table_name: String,
    schema_name: String,
    indexes: Vec<TableIndex>,
    recommendations: Vec<IndexRecommendation>,
    /// Indexes of the table that need not be kept.
    drops: Vec<IndexDrop>,
    /// Indexes of the table that might help and whose cost nobody could plan.
    not_costed: Vec<UncostedIndex>,
    /// Statements whose plans the advice changes in a way that may not pay; of all tables together.
    worse: Vec<WorseStatement>,
    /// What the workload costs with the advice, as a share of what it does; of all tables together.
    cost_ratio: Option<f64>,
    /// What costs rest on: `hypopg 1.4.1`, or `estimate`.
    basis: String,
    advised_at: String,
}

/// An index that is there.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct TableIndex {
    name: String,
    columns: Vec<String>,
    /// `BTREE`, `HASH`, `GIN`, `GIST`, `BRIN` and what extensions bring.
    r#type: String,
    unique: bool,
    partial: bool,
    estimated_size: u64,
    definition: String,
    scans: u64,
}

/// An index to build.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct IndexRecommendation {
    table: String,
    columns: Vec<String>,
    reason: String,
    priority: &'static str,
    estimated_impact: String,
    ddl: String,
    size_bytes: u64,
    gain_ratio: Option<f64>,
    write_cost_ratio: Option<f64>,
    statements: Vec<String>,
}

/// An index to drop.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct IndexDrop {
    ddl: String,
    reason: String,
    frees_bytes: u64,
}

/// An index whose use nobody could plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct UncostedIndex {
    ddl: String,
    /// The statement that it is for.
    statement: String,
    reason: String,
}

/// A statement that may not gain in time what it gains in cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct WorseStatement {
    name: String,
    /// `cost`, `blocks` or `workers`.
    what: String,
    before: f64,
    after: f64,
}

/// Shares of the workload's cost from which advice is of high and of medium priority.
const HIGH: f64 = 0.1;
const MEDIUM: f64 = 0.01;

/// Every table that has indexes or advice, as the snapshot lists them.
pub(in crate::http) fn tables(snapshot: &Snapshot, standing: &Standing) -> Vec<TableStrategy> {
    let advice = &standing.advice;
    let each = snapshot.tables.iter();
    each.map(|table| strategy(table, snapshot, standing))
        .filter(|strategy| {
            !strategy.indexes.is_empty()
                || !strategy.recommendations.is_empty()
                || !strategy.not_costed.is_empty()
        })
        .map(|strategy| TableStrategy {
            cost_ratio: share(advice.cost_after, advice.cost_before),
            ..strategy
        })
        .collect()
}

fn strategy(table: &Table, snapshot: &Snapshot, standing: &Standing) -> TableStrategy {
    let advice = &standing.advice;
    let full = format!("{}.{}", table.schema, table.name);
    let own: Vec<&Index> = snapshot
        .indexes
        .iter()
        .filter(|index| index.schema == table.schema && index.table == table.name)
        .collect();
    let new = advice.indexes.iter().filter(|index| index.table == full);
    let drops = advice.drop.iter().filter(|drop| drop.table == full);
    TableStrategy {
        table_name: table.name.clone(),
        schema_name: table.schema.clone(),
        recommendations: new
            .map(|index| recommendation(index, table, advice))
            .collect(),
        drops: drops
            .map(|drop| IndexDrop {
                ddl: drop.ddl.clone(),
                reason: drop.reason.clone(),
                frees_bytes: drop.frees_bytes,
            })
            .collect(),
        not_costed: advice
            .not_costed
            .iter()
            .filter(|other| other.table == full)
            .map(|other| UncostedIndex {
                ddl: other.ddl.clone(),
                statement: other.statement.clone(),
                reason: other.reason.clone(),
            })
            .collect(),
        worse: advice
            .worse
            .iter()
            .map(|worse| WorseStatement {
                name: worse.name.clone(),
                what: worse.what.clone(),
                before: worse.before,
                after: worse.after,
            })
            .collect(),
        indexes: own.into_iter().map(index).collect(),
        cost_ratio: None,
        basis: advice.basis.clone(),
        advised_at: standing.at.to_string(),
    }
}

fn index(index: &Index) -> TableIndex {
    TableIndex {
        name: index.name.clone(),
        columns: index.keys.iter().chain(&index.include).cloned().collect(),
        r#type: index.method.to_uppercase(),
        unique: index.is_unique,
        partial: index.predicate.is_some(),
        estimated_size: index.size_bytes,
        definition: index.definition.clone(),
        scans: index.idx_scan,
    }
}

fn recommendation(index: &NewIndex, table: &Table, advice: &Advice) -> IndexRecommendation {
    let gain = share(index.gain, advice.cost_before);
    let writes = share(index.write_cost, advice.cost_before);
    let gained = gain.unwrap_or(0.0);
    let names: Vec<String> = index.statements.iter().map(|s| s.name.clone()).collect();
    let costed = if advice.basis == "estimate" {
        "an estimate from statistics"
    } else {
        "the planner's cost with a hypothetical index"
    };
    IndexRecommendation {
        table: table.name.clone(),
        columns: index.keys.clone(),
        reason: format!(
            "{} statements would use it ({costed}); it takes {:.1} MB",
            names.len(),
            index.size_bytes as f64 / 1e6
        ),
        priority: if gained >= HIGH {
            "high"
        } else if gained >= MEDIUM {
            "medium"
        } else {
            "low"
        },
        estimated_impact: format!("{:.1} % of the workload's cost", gained * 100.0),
        ddl: index.ddl.clone(),
        size_bytes: index.size_bytes,
        gain_ratio: gain,
        write_cost_ratio: writes,
        statements: names,
    }
}

fn share(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then_some(part / whole)
}
