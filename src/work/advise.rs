//! Advice on indexes: a workload, a server's plans, what to build.
//!
//! Reads only: what it says is for a person to run. Read [`indexes`] first, then `workload` for how
//! statements get the values that they are planned with.

pub mod strategy;
pub mod verify;
mod workload;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::advise::cost::{Planner, PlannerError};
use crate::advise::estimate::Estimator;
use crate::advise::indexes::{Bounds, Case, Step, Watch, advise, begin};
use crate::clock::Stopwatch;
use crate::config::Config;
use crate::model::advice::{Advice, Skipped};
use crate::postgres::{Options, WhatIf};
use crate::work::targets::watched_targets;
use crate::work::{Error, Result};

pub use workload::Workload;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The statements that advice is for.
    pub workload: Workload,
    /// Bytes that new indexes may take together.
    pub budget: Option<u64>,
    /// Most key columns.
    pub width: usize,
    /// The longest that the search may take.
    pub time: Duration,
    /// Most plans that may be asked for; `None` leaves it to the size of the workload.
    pub explains: Option<usize>,
    /// Costs come from hypothetical indexes where the server has them; else from statistics.
    pub hypopg: bool,
    /// Is told how far it is.
    pub told: Told,
}

/// Who is told of progress.
#[derive(Clone)]
pub struct Told(pub Arc<dyn Fn(&Progress) + Send + Sync>);

impl Told {
    /// Nobody.
    pub fn nobody() -> Self {
        Self(Arc::new(|_| {}))
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Told")
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Progress {
    /// Statements are planned as they are.
    Planning {
        /// So many.
        statements: usize,
    },
    /// Rows of tables are looked at for sizes.
    Sampling {
        /// So many tables.
        tables: usize,
    },
    /// The best set so far.
    Found {
        /// Plans asked for.
        explains: usize,
        /// What the workload costs with it, as a share of what it does.
        cost_ratio: f64,
    },
}

/// Sessions that plan: no more than a look at a server ever holds.
const SESSIONS: usize = 2;
/// Plans that are asked for unless said otherwise: at least, and for each statement.
const LEAST_EXPLAINS: usize = 2_750;
const EXPLAINS_PER_STATEMENT: usize = 60;

/// Advises on the first configured target.
///
/// # Errors
/// When no target is configured, it cannot be reached, or the line breaks.
pub async fn indexes(config: &Config, request: Request) -> Result<Advice> {
    let target = watched_targets(config)?
        .into_iter()
        .find(|target| target.options.is_some());
    let Some((name, options)) = target.and_then(|t| Some((t.name, t.options?))) else {
        return Err(Error::NoTarget);
    };
    of_target(&name, &options, request).await
}

/// Advises on one target.
///
/// # Errors
/// When it cannot be reached, or the line breaks.
pub async fn of_target(name: &str, options: &Options, request: Request) -> Result<Advice> {
    let watch = Stopwatch::start();
    let mut planner = WhatIf::open(options, SESSIONS).await?;
    let (statements, mut skipped, window) = workload::read(&planner, &request.workload).await?;
    (request.told.0)(&Progress::Planning {
        statements: statements.len(),
    });
    let (mut case, unplanned) = workload::case(&planner, statements, request.width).await?;
    case.window = window;
    skipped.extend(unplanned);
    let texts = case.statements.iter().map(|s| s.text.clone()).collect();
    planner.prepare(texts, case.what_ifs());
    let bounds = Bounds {
        budget: request.budget,
        width: request.width,
        time: request.time,
        asks: request
            .explains
            .unwrap_or_else(|| LEAST_EXPLAINS.max(EXPLAINS_PER_STATEMENT * case.statements.len())),
    };
    let version = planner.ability().hypopg.clone().filter(|_| request.hypopg);
    let planner = Arc::new(planner);
    let chosen = if version.is_some() {
        costed(&planner, case, bounds, watch, &request.told).await
    } else {
        estimated(&planner, case, bounds, watch, &request.told).await
    };
    if let Some(planner) = Arc::into_inner(planner) {
        planner.close().await;
    }
    let mut advice = chosen?;
    name.clone_into(&mut advice.target);
    advice.basis = version.map_or_else(|| "estimate".to_owned(), |v| format!("hypopg {v}"));
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

/// A workload's statements with their plans, needs and candidates, tables sampled: what advice is made
/// of, for whoever makes something else of it.
///
/// # Errors
/// When the line breaks, or the workload cannot be read.
pub async fn case_of(planner: &WhatIf, workload: &Workload, width: usize) -> Result<Case> {
    let (statements, _, window) = workload::read(planner, workload).await?;
    let (mut case, _) = workload::case(planner, statements, width).await?;
    case.window = window;
    let wanted = case.sampled();
    planner.sample(&mut case.relations, &wanted).await?;
    Ok(case)
}

/// With hypothetical indexes: a first answer, then sizes from sampled rows, then better ones.
async fn costed(
    planner: &Arc<WhatIf>,
    case: Case,
    bounds: Bounds,
    watch: Stopwatch,
    told: &Told,
) -> Result<Advice> {
    let (theirs, listener) = (Arc::clone(planner), told.clone());
    let (mut case, begun) = blocking(move || {
        let whole = whole(&case);
        let watch = Watch {
            elapsed: &|| watch.elapsed(),
            told: &|step| listener.found(step, whole),
        };
        let begun = begin(&case, theirs.as_ref(), bounds, &watch);
        (case, begun)
    })
    .await;
    let begun = begun.map_err(lost)?;
    sample(planner, &mut case, told).await?;
    let (theirs, listener) = (Arc::clone(planner), told.clone());
    let advice = blocking(move || {
        let whole = whole(&case);
        let watch = Watch {
            elapsed: &|| watch.elapsed(),
            told: &|step| listener.found(step, whole),
        };
        advise(&case, theirs.as_ref(), bounds, &watch, Some(begun))
    });
    advice.await.map_err(lost)
}

/// Without: costs by arithmetic over the plans as they are and the columns' statistics.
async fn estimated(
    planner: &Arc<WhatIf>,
    mut case: Case,
    bounds: Bounds,
    watch: Stopwatch,
    told: &Told,
) -> Result<Advice> {
    sample(planner, &mut case, told).await?;
    let listener = told.clone();
    let advice = blocking(move || {
        let whole = whole(&case);
        let watch = Watch {
            elapsed: &|| watch.elapsed(),
            told: &|step| listener.found(step, whole),
        };
        let estimator = Estimator::new(&case);
        let advice = advise(&case, &estimator as &dyn Planner, bounds, &watch, None);
        // Nobody was asked for a plan.
        advice.map(|advice| Advice {
            explains: 0,
            ..advice
        })
    });
    advice.await.map_err(lost)
}

async fn sample(planner: &Arc<WhatIf>, case: &mut Case, told: &Told) -> Result<()> {
    let wanted = case.sampled();
    (told.0)(&Progress::Sampling {
        tables: wanted.len(),
    });
    Ok(planner.sample(&mut case.relations, &wanted).await?)
}

impl Told {
    fn found(&self, step: &Step, whole: f64) {
        (self.0)(&Progress::Found {
            explains: step.asks,
            cost_ratio: if whole > 0.0 { step.cost / whole } else { 1.0 },
        });
    }
}

/// What the workload costs as it is.
fn whole(case: &Case) -> f64 {
    let costs: Vec<f64> = case.plans.iter().map(|plan| plan.total_cost).collect();
    let weights = crate::advise::workload::weights(&case.statements, &costs);
    weights.iter().zip(&costs).map(|(w, c)| w * c).sum()
}

fn lost(error: PlannerError) -> Error {
    Error::Planner(error.0)
}

/// Runs work that waits for the planner, off the threads that drive sockets.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))
}
