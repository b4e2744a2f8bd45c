//! Advice on indexes for a workload, from values and a planner.
//!
//! For: the way from plans to a set of indexes with what they cost, take and give. Not for: reading
//! a server (`postgres`) or showing advice (`cli`). Read [`Case`] first, then [`advise`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rayon::prelude::*;

use super::candidates::{self, Candidate, Need};
use super::cost::{Atoms, IndexSet, MAX_CANDIDATES, Planner, PlannerError};
use super::guard::{self, Effort};
use super::relation::Relation;
use super::select::{self, Limits, Problem};
use super::size::{self, Size};
use super::workload::{self, Statement};
use super::writes::{self, Upkeep};
use crate::model::advice::Advice;
use crate::model::plan::PlanNode;

mod report;

pub use super::select::Step;

/// How far advice may go.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes that new indexes may take together; `None` is no limit.
    pub budget: Option<u64>,
    /// Most key columns of an index.
    pub width: usize,
    /// The longest that the search may take.
    pub time: Duration,
    /// Most plans that may be asked for.
    pub asks: usize,
}

/// Most `INCLUDE` columns: what is wider is a copy of the table.
const MAX_INCLUDE: usize = 6;
/// What an index must save at least, as a share of the workload's cost: another index to know of, to
/// back up and to wait for is worth more than what is below.
const LEAST_GAIN: f64 = 1e-4;
/// Candidates that are looked at; more would make each plan slower than they are worth.
const CANDIDATES: usize = 640;
/// Candidates times the nodes of a plan: HypoPG looks at each candidate for each table of a plan, some
/// two microseconds each, which over thousands of partitions is what planning takes.
const PAIRS: usize = 250_000;
/// Candidates that are looked at all the same.
const CANDIDATES_LEAST: usize = 8;
const _: () = assert!(
    CANDIDATES <= MAX_CANDIDATES,
    "a set must hold every candidate"
);

/// A workload with all that is known of it before anything is chosen.
#[derive(Debug, Clone, Default)]
pub struct Case {
    /// Statements that can be planned.
    pub statements: Vec<Statement>,
    /// Each statement's plan as it is, with every detail.
    pub plans: Vec<PlanNode>,
    /// The tables in those plans.
    pub relations: Vec<Relation>,
    /// What the plans need of the tables.
    pub needs: Vec<Need>,
    /// What might be built.
    pub candidates: Vec<Candidate>,
    /// Share of the tables' own counters of writes that falls into the workload's time; `None` where
    /// the workload alone says what is written.
    pub window: Option<f64>,
}

impl Case {
    /// Finds what might be built.
    pub fn new(
        statements: Vec<Statement>,
        plans: Vec<PlanNode>,
        relations: Vec<Relation>,
        width: usize,
    ) -> Self {
        let needs: Vec<Need> = plans
            .iter()
            .enumerate()
            .flat_map(|(number, plan)| {
                let mut needs = candidates::needs::of_plan(number, plan, &relations);
                let made_up = statements.get(number).map_or(&[][..], |s| &s.made_up);
                for need in &mut needs {
                    let known = |p: &candidates::predicate::Predicate| !p.rests_on(made_up);
                    need.predicates.retain(known);
                }
                needs
            })
            .collect();
        let widest = plans.iter().map(|plan| plan.nodes().len()).max();
        let bearable = PAIRS / widest.unwrap_or(0).max(1);
        let limits = candidates::Limits {
            width: width.max(1),
            include: MAX_INCLUDE,
            total: bearable.clamp(CANDIDATES_LEAST, CANDIDATES),
        };
        let found = candidates::propose(&needs, &relations, limits);
        Self {
            statements,
            plans,
            relations,
            needs,
            candidates: found.into_iter().map(|(candidate, _)| candidate).collect(),
            window: None,
        }
    }

    /// What a sample of each relation must hold, by the relation's place: columns and predicates.
    pub fn sampled(&self) -> BTreeMap<usize, (Vec<usize>, Vec<String>)> {
        let mut wanted: BTreeMap<usize, (BTreeSet<usize>, BTreeSet<String>)> = BTreeMap::new();
        for candidate in &self.candidates {
            let (columns, predicates) = wanted.entry(candidate.relation).or_default();
            columns.extend(
                candidate
                    .key_columns()
                    .chain(candidate.include.iter().copied()),
            );
            predicates.extend(candidate.predicate.clone());
        }
        wanted
            .into_iter()
            .map(|(relation, (columns, predicates))| {
                let columns = columns.into_iter().collect();
                (relation, (columns, predicates.into_iter().collect()))
            })
            .collect()
    }

    /// What each candidate would be built by, hypothetically.
    pub fn what_ifs(&self) -> Vec<String> {
        let relation = |candidate: &Candidate| self.relations.get(candidate.relation);
        self.candidates
            .iter()
            .map(|c| relation(c).map_or_else(String::new, |r| c.what_if(r)))
            .collect()
    }
}

/// Who looks on while indexes are chosen.
pub struct Watch<'w> {
    /// Time since the beginning.
    pub elapsed: &'w dyn Fn() -> Duration,
    /// Is told each better answer.
    pub told: &'w dyn Fn(&Step),
}

/// What was learnt on the way to a first answer.
pub struct Begun {
    atoms: Atoms,
    first: Step,
}

/// Finds a first answer with few plans, before tables were sampled: sizes rest on statistics alone.
///
/// # Errors
/// Those of the planner.
pub fn begin(
    case: &Case,
    planner: &dyn Planner,
    bounds: Bounds,
    watch: &Watch<'_>,
) -> Result<Begun, PlannerError> {
    let weighed = Weighed::new(case, bounds);
    let mut atoms = Atoms::new(case.statements.len());
    let risk = |statement: usize, plan: &PlanNode| weighed.risk(case, statement, plan);
    atoms.begin(&case.plans, &risk);
    let limits = watch.limits(bounds);
    let first = select::begin(&weighed.problem(&risk), planner, &mut atoms, &limits)?;
    (watch.told)(&first);
    Ok(Begun { atoms, first })
}

/// Chooses indexes for the case. `planner` numbers statements and candidates as the case does; what
/// [`begin`] learnt of the same case is not asked again.
///
/// # Errors
/// Those of the planner.
pub fn advise(
    case: &Case,
    planner: &dyn Planner,
    bounds: Bounds,
    watch: &Watch<'_>,
    begun: Option<Begun>,
) -> Result<Advice, PlannerError> {
    let weighed = Weighed::new(case, bounds);
    let (mut atoms, first) = match begun {
        Some(begun) => (begun.atoms, Some(begun.first)),
        None => (Atoms::new(case.statements.len()), None),
    };
    let risk = |statement: usize, plan: &PlanNode| weighed.risk(case, statement, plan);
    let problem = weighed.problem(&risk);
    let limits = watch.limits(bounds);
    let mut choice = select::choose(&problem, planner, &mut atoms, &limits)?;
    choice.steps.splice(0..0, first);
    let outcome = report::Outcome {
        case,
        problem: &problem,
        upkeep: &weighed.upkeep,
        before: &weighed.before,
        choice: &choice,
    };
    report::write(&outcome, planner, &mut atoms)
}

/// What is known of each candidate and statement before anything is asked.
struct Weighed {
    budget: u64,
    bytes: Vec<u64>,
    weights: Vec<f64>,
    relevant: Vec<IndexSet>,
    upkeep: Vec<Upkeep>,
    upkeep_costs: Vec<f64>,
    toll: f64,
    before: Vec<Effort>,
}

impl Weighed {
    fn new(case: &Case, bounds: Bounds) -> Self {
        let sizes: Vec<Size> = case
            .candidates
            .par_iter()
            .map(|candidate| {
                let relation = case.relations.get(candidate.relation);
                relation.map_or(Size::default(), |relation| size::of(candidate, relation))
            })
            .collect();
        let bytes: Vec<u64> = sizes.iter().map(|size| size.bytes).collect();
        let costs: Vec<f64> = case.plans.iter().map(|plan| plan.total_cost).collect();
        let budget = bounds.budget.unwrap_or(u64::MAX / 2);
        let upkeep = upkeep(case, &sizes);
        let efforts = case.plans.iter();
        let weights = workload::weights(&case.statements, &costs);
        let whole: f64 = weights.iter().zip(&costs).map(|(w, c)| w * c).sum();
        let toll = LEAST_GAIN * whole;
        Self {
            budget,
            weights,
            relevant: relevant(case, &bytes, budget),
            upkeep_costs: upkeep.iter().map(|upkeep| upkeep.cost + toll).collect(),
            toll,
            upkeep,
            before: efforts
                .map(|plan| guard::effort(plan, &case.relations))
                .collect(),
            bytes,
        }
    }

    fn problem<'w>(&'w self, risk: &'w (dyn Fn(usize, &PlanNode) -> f64 + Sync)) -> Problem<'w> {
        Problem {
            weights: &self.weights,
            bytes: &self.bytes,
            upkeep: &self.upkeep_costs,
            toll: self.toll,
            relevant: &self.relevant,
            budget: self.budget,
            risk,
        }
    }

    fn risk(&self, case: &Case, statement: usize, plan: &PlanNode) -> f64 {
        let after = guard::effort(plan, &case.relations);
        let before = self.before.get(statement);
        before.map_or(0.0, |before| guard::risk(before, &after))
    }
}

impl<'w> Watch<'w> {
    fn limits(&self, bounds: Bounds) -> Limits<'w> {
        Limits {
            asks: bounds.asks,
            elapsed: self.elapsed,
            time: bounds.time,
            told: self.told,
        }
    }
}

/// What each candidate costs the workload's writes.
fn upkeep(case: &Case, sizes: &[Size]) -> Vec<Upkeep> {
    let written = writes::of_workload(&case.statements, &case.plans, &case.relations, case.window);
    let each = case.candidates.iter().zip(sizes);
    each.map(|(candidate, size)| {
        let relation = case.relations.get(candidate.relation);
        let writes = written.get(candidate.relation);
        relation
            .zip(writes)
            .map_or(Upkeep::default(), |(relation, writes)| {
                writes::upkeep(candidate, size.bytes, size.rows, relation, writes)
            })
    })
    .collect()
}

/// The candidates that each statement might use and that fit.
fn relevant(case: &Case, bytes: &[u64], budget: u64) -> Vec<IndexSet> {
    let mut relevant = vec![IndexSet::default(); case.statements.len()];
    for need in &case.needs {
        let Some(set) = relevant.get_mut(need.statement) else {
            continue;
        };
        for (number, (candidate, bytes)) in case.candidates.iter().zip(bytes).enumerate() {
            if *bytes <= budget && candidates::may_serve(candidate, need) {
                set.insert(number);
            }
        }
    }
    relevant
}
