//! Advice on indexes: a workload, a server's plans, what to build.
//!
//! Reads only: what it says is for a person to run.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::advise::indexes::{Bounds, Case, advise};
use crate::advise::relation::Relation;
use crate::advise::workload::{self, Statement};
use crate::clock::Stopwatch;
use crate::config::Config;
use crate::model::advice::{Advice, Skipped};
use crate::postgres::WhatIf;
use crate::work::app::watched_targets;
use crate::work::{Error, Result};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Text of a workload file.
    pub workload: String,
    /// Bytes that new indexes may take together.
    pub budget: Option<u64>,
    /// Most key columns.
    pub width: usize,
    /// The longest that the search may take.
    pub time: Duration,
    /// Most plans that may be asked for; `None` leaves it to the size of the workload.
    pub explains: Option<usize>,
}

/// Sessions that plan: no more than a look at a server ever holds.
const SESSIONS: usize = 2;
/// Plans that are asked for unless said otherwise: at least, and for each statement.
const LEAST_EXPLAINS: usize = 2_700;
const EXPLAINS_PER_STATEMENT: usize = 60;

/// Advises on the first configured target.
///
/// # Errors
/// When no target is configured, it cannot be reached, or the line breaks.
pub async fn indexes(config: &Config, request: Request) -> Result<Advice> {
    let watch = Stopwatch::start();
    let target = watched_targets(config)?
        .into_iter()
        .find(|target| target.options.is_some());
    let Some((name, options)) = target.and_then(|t| Some((t.name, t.options?))) else {
        return Err(Error::NoTarget);
    };
    let mut planner = WhatIf::open(&options, SESSIONS).await?;
    let (statements, mut skipped) = workload::read(&request.workload);
    let (case, unplanned) = case(&planner, statements, request.width).await?;
    skipped.extend(unplanned);
    let mut case = case;
    let wanted = case.sampled();
    planner.sample(&mut case.relations, &wanted).await?;
    let texts = case.statements.iter().map(|s| s.text.clone()).collect();
    planner.prepare(texts, case.what_ifs());
    let basis = planner
        .ability()
        .hypopg
        .clone()
        .map(|version| format!("hypopg {version}"));
    let bounds = Bounds {
        budget: request.budget,
        width: request.width,
        time: request.time,
        asks: request
            .explains
            .unwrap_or_else(|| LEAST_EXPLAINS.max(EXPLAINS_PER_STATEMENT * case.statements.len())),
    };
    let planner = Arc::new(planner);
    let theirs = Arc::clone(&planner);
    let chosen = tokio::task::spawn_blocking(move || {
        advise(&case, theirs.as_ref(), bounds, &|| watch.elapsed())
    });
    let advice = chosen
        .await
        .unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()));
    if let Some(planner) = Arc::into_inner(planner) {
        planner.close().await;
    }
    let mut advice = advice.map_err(|error| Error::Planner(error.0))?;
    advice.target = name;
    advice.basis = basis.unwrap_or_else(|| "estimate".to_owned());
    advice.budget_bytes = request.budget;
    advice.seconds = watch.elapsed().as_secs_f64();
    advice.skipped = skipped
        .into_iter()
        .map(|skipped| Skipped {
            name: skipped.name,
            reason: skipped.reason,
        })
        .collect();
    Ok(advice)
}

/// Plans every statement as it is, and reads what the plans touch.
async fn case(
    planner: &WhatIf,
    statements: Vec<Statement>,
    width: usize,
) -> Result<(Case, Vec<workload::Skipped>)> {
    let (mut kept, mut plans, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
    for statement in statements {
        match planner.explain(&statement.text).await {
            Ok(plan) => {
                plans.push(plan);
                kept.push(statement);
            }
            Err(error) if error.is_fatal() => return Err(error.into()),
            Err(error) => skipped.push(workload::Skipped {
                name: statement.name,
                reason: error.to_string(),
            }),
        }
    }
    let names: BTreeSet<(String, String)> = plans
        .iter()
        .flat_map(|plan| plan.nodes())
        .filter_map(|node| node.relation.clone())
        .collect();
    let names: Vec<(String, String)> = names.into_iter().collect();
    let relations: Vec<Relation> = planner.relations(&names).await?;
    Ok((Case::new(kept, plans, relations, width), skipped))
}
