//! Statements from a file or from the server's own record, with values that they can be planned with.

use crate::advise::indexes::Case;
use crate::advise::relation::Relation;
use crate::advise::workload::{self, Skipped, Statement};
use crate::advise::{parameters, script};
use crate::model::plan::PlanNode;
use crate::postgres::WhatIf;
use crate::work::Result;

/// Where statements come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Workload {
    /// Text of a workload file.
    File(String),
    /// What `pg_stat_statements` has counted in this database.
    Recorded,
}

/// Statements of the record that are looked at: the first of them nearly always take nine tenths of
/// the time.
const RECORDED: u32 = 200;

/// The statements, what is left out, and the share of the tables' counters that falls into their time.
pub(super) async fn read(
    planner: &WhatIf,
    from: &Workload,
) -> Result<(Vec<Statement>, Vec<Skipped>, Option<f64>)> {
    let (statements, mut skipped, window) = match from {
        Workload::File(text) => {
            let (statements, skipped) = workload::read(text);
            (statements, skipped, None)
        }
        Workload::Recorded => recorded(planner).await?,
    };
    let statements = filled(planner, statements, &mut skipped).await?;
    Ok((statements, skipped, window))
}

async fn recorded(planner: &WhatIf) -> Result<(Vec<Statement>, Vec<Skipped>, Option<f64>)> {
    let record = planner.recorded(RECORDED).await?;
    let (mut statements, mut skipped) = (Vec::new(), Vec::new());
    if record.hidden > 0 {
        skipped.push(Skipped {
            name: format!("{} statements", record.hidden),
            reason: "the role may not see their texts; GRANT pg_read_all_stats to it".to_owned(),
        });
    }
    for one in record.statements {
        let name = one.id.to_string();
        match script::single(&one.text) {
            Ok(text) => statements.push(Statement {
                name,
                text: text.to_owned(),
                calls: one.calls,
                mean_ms: Some(one.mean_ms),
                made_up: Vec::new(),
            }),
            Err(refusal) => skipped.push(Skipped {
                name,
                reason: refusal.to_string(),
            }),
        }
    }
    // Counters of tables began elsewhere in time; their pace is taken to be the same.
    let ages = record.age_s.zip(planner.ability().statistics_age_s);
    let window = ages.map(|(record, tables)| (record / tables.max(1.0)).clamp(0.0, 1.0));
    Ok((statements, skipped, window))
}

/// Statements with values in the stead of their parameters.
async fn filled(
    planner: &WhatIf,
    statements: Vec<Statement>,
    skipped: &mut Vec<Skipped>,
) -> Result<Vec<Statement>> {
    let mut generic: Vec<Option<(Vec<String>, PlanNode)>> = Vec::new();
    let mut kept = Vec::new();
    for statement in statements {
        if script::parameters(&statement.text) == 0 {
            generic.push(None);
            kept.push(statement);
            continue;
        }
        match planner.generic(&statement.text).await {
            Ok(found) => {
                generic.push(Some(found));
                kept.push(statement);
            }
            Err(error) if error.is_fatal() => return Err(error.into()),
            Err(error) => skipped.push(Skipped {
                name: statement.name,
                reason: error.to_string(),
            }),
        }
    }
    let plans = generic.iter().flatten().map(|(_, plan)| plan);
    let relations = relations(planner, plans).await?;
    for (statement, generic) in kept.iter_mut().zip(&generic) {
        if let Some((types, plan)) = generic {
            let seen = parameters::Seen::in_plan(plan, &relations);
            let values = parameters::values(&statement.text, types, &seen);
            statement.text = parameters::filled(&statement.text, types, &values);
            statement.made_up = values.into_iter().flatten().collect();
        }
    }
    Ok(kept)
}

/// Plans every statement as it is, and reads what the plans touch.
pub(super) async fn case(
    planner: &WhatIf,
    statements: Vec<Statement>,
    width: usize,
) -> Result<(Case, Vec<Skipped>)> {
    let (mut kept, mut plans, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
    for statement in statements {
        match planner.explain(&statement.text).await {
            Ok(plan) => {
                plans.push(plan);
                kept.push(statement);
            }
            Err(error) if error.is_fatal() => return Err(error.into()),
            Err(error) => skipped.push(Skipped {
                name: statement.name,
                reason: error.to_string(),
            }),
        }
    }
    let relations = relations(planner, plans.iter()).await?;
    Ok((Case::new(kept, plans, relations, width), skipped))
}

/// What the catalog knows of the tables in some plans, the costliest to read first.
async fn relations(
    planner: &WhatIf,
    plans: impl Iterator<Item = &PlanNode>,
) -> Result<Vec<Relation>> {
    let mut read: Vec<&PlanNode> = plans.flat_map(PlanNode::nodes).collect();
    read.retain(|node| node.relation.is_some());
    read.sort_by(|a, b| b.total_cost.total_cmp(&a.total_cost));
    let names: Vec<(String, String)> = read
        .into_iter()
        .filter_map(|node| node.relation.clone())
        .collect();
    Ok(planner.relations(&names).await?)
}
