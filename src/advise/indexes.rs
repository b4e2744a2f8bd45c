//! Advice on indexes for a workload, from values and a planner.
//!
//! For: the way from plans to a set of indexes with what they cost, take and give. Not for: reading
//! a server (`postgres`) or showing advice (`cli`). Read [`Case`] first, then [`advise`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::candidates::{self, Candidate, Need};
use super::cost::{Ask, Atoms, IndexSet, MAX_CANDIDATES, Planner, PlannerError};
use super::relation::Relation;
use super::select::{self, Choice, Limits, Problem};
use super::size;
use super::workload::Statement;
use crate::model::advice::{Advice, NewIndex, Point, StatementCost};
use crate::model::plan::PlanNode;

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
/// Candidates that are looked at; more would make each plan slower than they are worth.
const CANDIDATES: usize = 640;
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
            .flat_map(|(number, plan)| candidates::needs::of_plan(number, plan, &relations))
            .collect();
        let limits = candidates::Limits {
            width: width.max(1),
            include: MAX_INCLUDE,
            total: CANDIDATES,
        };
        let found = candidates::propose(&needs, &relations, limits);
        Self {
            statements,
            plans,
            relations,
            needs,
            candidates: found.into_iter().map(|(candidate, _)| candidate).collect(),
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

/// Chooses indexes for the case. `planner` numbers statements and candidates as the case does.
///
/// # Errors
/// Those of the planner.
pub fn advise(
    case: &Case,
    planner: &dyn Planner,
    bounds: Bounds,
    elapsed: &dyn Fn() -> Duration,
) -> Result<Advice, PlannerError> {
    let bytes: Vec<u64> = case
        .candidates
        .iter()
        .map(|candidate| {
            let relation = case.relations.get(candidate.relation);
            relation.map_or(0, |relation| size::of(candidate, relation).bytes)
        })
        .collect();
    let weights: Vec<f64> = case.statements.iter().map(|s| s.calls).collect();
    let budget = bounds.budget.unwrap_or(u64::MAX / 2);
    let relevant = relevant(case, &bytes, budget);
    let upkeep = vec![0.0; bytes.len()];
    let problem = Problem {
        weights: &weights,
        bytes: &bytes,
        upkeep: &upkeep,
        relevant: &relevant,
        budget,
        risk: &|_, _| 0.0,
    };
    let limits = Limits {
        asks: bounds.asks,
        elapsed,
        time: bounds.time,
    };
    let mut atoms = Atoms::new(case.statements.len());
    let choice = select::choose(&problem, planner, &mut atoms, &limits)?;
    let costs = Costs::of(&problem, planner, &mut atoms, &choice)?;
    Ok(report(case, &problem, &choice, &costs, &atoms))
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

/// Each statement's cost before, after, and after without each chosen index.
struct Costs {
    before: Vec<f64>,
    after: Vec<f64>,
    used: Vec<IndexSet>,
    without: BTreeMap<usize, Vec<(usize, f64)>>,
}

impl Costs {
    fn of(
        problem: &Problem<'_>,
        planner: &dyn Planner,
        atoms: &mut Atoms,
        choice: &Choice,
    ) -> Result<Self, PlannerError> {
        let ask = |statement: usize, set: &IndexSet| Ask {
            statement,
            indexes: problem
                .relevant
                .get(statement)
                .map_or(*set, |r| r.common(set)),
        };
        let statements = 0..problem.relevant.len();
        let mut asks: Vec<Ask> = statements
            .clone()
            .map(|q| ask(q, &choice.indexes))
            .collect();
        atoms.learn(planner, &asks, problem.risk)?;
        let users = |atoms: &Atoms, index: usize| -> Vec<usize> {
            let uses = |q: &usize| {
                let atom = atoms.exact(&ask(*q, &choice.indexes));
                atom.is_some_and(|atom| atom.used.contains(index))
            };
            statements.clone().filter(uses).collect()
        };
        asks.clear();
        for index in choice.indexes.iter() {
            let mut rest = choice.indexes;
            rest.remove(index);
            asks.extend(users(atoms, index).into_iter().map(|q| ask(q, &rest)));
        }
        atoms.learn(planner, &asks, problem.risk)?;
        let cost = |q: usize, set: &IndexSet| {
            let ask = ask(q, set);
            let known = atoms.exact(&ask).or_else(|| atoms.bound(q, &ask.indexes));
            known.map_or(0.0, |atom| atom.cost)
        };
        let mut without = BTreeMap::new();
        for index in choice.indexes.iter() {
            let mut rest = choice.indexes;
            rest.remove(index);
            let users = users(atoms, index).into_iter();
            without.insert(index, users.map(|q| (q, cost(q, &rest))).collect());
        }
        let used = statements.clone().map(|q| {
            let atom = atoms.exact(&ask(q, &choice.indexes));
            atom.map_or_else(IndexSet::default, |atom| atom.used)
        });
        Ok(Self {
            before: statements
                .clone()
                .map(|q| cost(q, &IndexSet::default()))
                .collect(),
            used: used.collect(),
            after: statements
                .clone()
                .map(|q| cost(q, &choice.indexes))
                .collect(),
            without,
        })
    }
}

fn report(
    case: &Case,
    problem: &Problem<'_>,
    choice: &Choice,
    costs: &Costs,
    atoms: &Atoms,
) -> Advice {
    let weight = |q: usize| problem.weights.get(q).copied().unwrap_or(0.0);
    let after = |q: usize| costs.after.get(q).copied().unwrap_or(0.0);
    let sum = |of: &[f64]| of.iter().zip(problem.weights).map(|(c, w)| c * w).sum();
    let mut indexes: Vec<NewIndex> = Vec::new();
    for number in choice.indexes.iter() {
        let Some(candidate) = case.candidates.get(number) else {
            continue;
        };
        let Some(relation) = case.relations.get(candidate.relation) else {
            continue;
        };
        let without = costs.without.get(&number).map_or(&[][..], Vec::as_slice);
        let gain = without
            .iter()
            .map(|(q, cost)| weight(*q) * (cost - after(*q)))
            .sum();
        let column = |place: usize| {
            let column = relation.columns.get(place);
            column.map_or_else(String::new, |column| column.name.clone())
        };
        let users = costs
            .used
            .iter()
            .enumerate()
            .filter(|(_, used)| used.contains(number));
        indexes.push(NewIndex {
            ddl: candidate.ddl(relation),
            table: format!("{}.{}", relation.schema, relation.name),
            keys: candidate.key_columns().map(column).collect(),
            include: candidate.include.iter().copied().map(column).collect(),
            predicate: candidate.predicate.clone(),
            size_bytes: problem.bytes.get(number).copied().unwrap_or(0),
            gain,
            write_cost: problem.upkeep.get(number).copied().unwrap_or(0.0),
            lost_hot_ratio: 0.0,
            statements: users
                .filter_map(|(q, _)| {
                    Some(StatementCost {
                        name: case.statements.get(q)?.name.clone(),
                        before: *costs.before.get(q)?,
                        after: after(q),
                    })
                })
                .collect(),
        });
    }
    indexes.sort_by(|a, b| {
        let density = |index: &NewIndex| index.gain / (index.size_bytes.max(1) as f64);
        density(b).total_cmp(&density(a))
    });
    Advice {
        cost_before: sum(&costs.before),
        cost_after: sum(&costs.after),
        explains: atoms.asked as u64,
        size_bytes: indexes.iter().map(|index| index.size_bytes).sum(),
        indexes,
        curve: choice
            .steps
            .iter()
            .map(|step| Point {
                explains: step.asks as u64,
                seconds: step.after.as_secs_f64(),
                cost: step.cost,
            })
            .collect(),
        ..Advice::default()
    }
}
