//! Which candidates to build with so many bytes.
//!
//! For: a good set early and a better one until the time is up. Not for: what one set costs (`cost`)
//! or what harm it does (`guard`).
//!
//! Plans that were seen are the bricks: each says "with these indexes this statement costs that".
//! `pack` puts bricks together for a budget without asking anybody. Its set is then asked about, and
//! so is what lies around it: for plans that promise much, what would do instead of their largest
//! index, were only smaller ones there (`peel`). The answers are new bricks, and it is packed again.

mod pack;
mod peel;

use std::time::Duration;

use super::cost::{Ask, Atoms, IndexSet, Planner, PlannerError};
use crate::model::plan::PlanNode;
use pack::Packing;

/// What is to be chosen from, and for what.
pub struct Problem<'p> {
    /// What one unit of each statement's planner cost counts.
    pub weights: &'p [f64],
    /// Bytes of each candidate.
    pub bytes: &'p [u64],
    /// What keeping each candidate up costs, in weighted planner units, the toll included.
    pub upkeep: &'p [f64],
    /// What each index must save at least; it counts as a cost in the search, and is shown to nobody.
    pub toll: f64,
    /// The candidates that each statement's plans might use.
    pub relevant: &'p [IndexSet],
    /// Bytes of all that is built together.
    pub budget: u64,
    /// How much a plan's harm counts against it, in planner units of its statement.
    pub risk: &'p (dyn Fn(usize, &PlanNode) -> f64 + Sync),
}

/// When to stop.
pub struct Limits<'l> {
    /// Most questions to the planner.
    pub asks: usize,
    /// Time since the beginning.
    pub elapsed: &'l dyn Fn() -> Duration,
    /// The longest that it may take.
    pub time: Duration,
    /// Is told each better answer.
    pub told: &'l dyn Fn(&Step),
}

impl Limits<'_> {
    fn are_reached(&self, atoms: &Atoms) -> bool {
        atoms.asked >= self.asks || self.is_late()
    }

    fn is_late(&self) -> bool {
        (self.elapsed)() >= self.time
    }
}

/// A set with what it costs, at some point of the search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Questions asked so far.
    pub asks: usize,
    /// Time since the beginning.
    pub after: Duration,
    /// Weighted cost of the workload with the best set so far, upkeep included.
    pub cost: f64,
}

/// What was found.
#[derive(Debug)]
pub struct Choice {
    /// The candidates to build.
    pub indexes: IndexSet,
    /// How the answer became better.
    pub steps: Vec<Step>,
}

/// Rounds without a better set after which more questions are not worth their time.
const ROUNDS_IN_VAIN: usize = 12;
/// Questions of one round.
const ROUND: usize = 110;
/// Sizes at which statements are asked what they would take, each so much smaller than the last.
const LADDER: f64 = 3.0;
/// How many such sizes.
const RUNGS: usize = 7;

/// Asks what little is needed for a first set: each statement without indexes and with all of them.
/// Gives that set's step; what was learnt stays in `atoms`.
///
/// # Errors
/// Those of the planner.
pub fn begin(
    problem: &Problem<'_>,
    planner: &dyn Planner,
    atoms: &mut Atoms,
    limits: &Limits<'_>,
) -> Result<Step, PlannerError> {
    let mut search = Search::new(problem, planner, atoms, limits);
    search.first()?;
    let set =
        Packing::new(problem, search.atoms).pack(&IndexSet::default(), 0, &|| limits.is_late());
    let cost = search.true_cost(&set)?;
    Ok(search.step(&set, cost))
}

/// Chooses candidates for the budget; what was learnt stays in `atoms`, and what they know already
/// is not asked again.
///
/// # Errors
/// Those of the planner.
pub fn choose(
    problem: &Problem<'_>,
    planner: &dyn Planner,
    atoms: &mut Atoms,
    limits: &Limits<'_>,
) -> Result<Choice, PlannerError> {
    Search::new(problem, planner, atoms, limits).run()
}

struct Search<'s> {
    problem: &'s Problem<'s>,
    planner: &'s dyn Planner,
    atoms: &'s mut Atoms,
    limits: &'s Limits<'s>,
}

impl<'s> Search<'s> {
    fn new(
        problem: &'s Problem<'s>,
        planner: &'s dyn Planner,
        atoms: &'s mut Atoms,
        limits: &'s Limits<'s>,
    ) -> Self {
        Self {
            problem,
            planner,
            atoms,
            limits,
        }
    }

    fn run(&mut self) -> Result<Choice, PlannerError> {
        self.first()?;
        let mut best = IndexSet::default();
        let mut best_cost = self.true_cost(&best)?;
        let mut steps = Vec::new();
        let mut in_vain = 0;
        let mut round = 0_u64;
        loop {
            let packing = Packing::new(self.problem, self.atoms);
            let set = packing.pack(&best, round, &|| self.limits.is_late());
            let cost = self.true_cost(&set)?;
            round += 1;
            in_vain += 1;
            if cost < best_cost * (1.0 - 1e-6) {
                if cost < best_cost * (1.0 - 5e-4) {
                    in_vain = 0;
                }
                (best, best_cost) = (set, cost);
                let step = self.step(&set, cost);
                (self.limits.told)(&step);
                steps.push(step);
            }
            if self.limits.are_reached(self.atoms) || in_vain > ROUNDS_IN_VAIN {
                break;
            }
            let asked = self.atoms.asked;
            if round == 1 {
                self.climb(&best)?;
            }
            self.around(&best)?;
            if self.atoms.asked == asked {
                // Nothing is left to ask; other draws may still pack better.
                in_vain += 2;
            }
        }
        Ok(Choice {
            indexes: self.without_idle(best),
            steps,
        })
    }

    fn step(&self, set: &IndexSet, cost: f64) -> Step {
        let cost = cost - self.problem.toll * set.len() as f64;
        Step {
            asks: self.atoms.asked,
            after: (self.limits.elapsed)(),
            cost,
        }
    }

    /// Each statement without indexes, and with all that fit.
    fn first(&mut self) -> Result<(), PlannerError> {
        let statements = 0..self.problem.relevant.len();
        let all = self.up_to(self.problem.budget);
        let none: Vec<Ask> = statements
            .clone()
            .map(|q| self.ask(q, &IndexSet::default()))
            .collect();
        self.learn(&none)?;
        let most: Vec<Ask> = statements.map(|q| self.ask(q, &all)).collect();
        self.learn(&most)
    }

    /// A question about what matters to the statement only.
    fn ask(&self, statement: usize, indexes: &IndexSet) -> Ask {
        let relevant = self.problem.relevant.get(statement);
        Ask {
            statement,
            indexes: relevant.map_or_else(IndexSet::default, |r| r.common(indexes)),
        }
    }

    fn learn(&mut self, asks: &[Ask]) -> Result<(), PlannerError> {
        // Within the limit, and in portions, so that the time is looked at.
        for portion in asks.chunks(200) {
            let left = self.limits.asks.saturating_sub(self.atoms.asked);
            let is_first = portion.iter().all(|ask| ask.indexes.is_empty());
            if !is_first && (left == 0 || self.limits.is_late()) {
                return Ok(());
            }
            let portion = if is_first {
                portion
            } else {
                portion.get(..left.min(portion.len())).unwrap_or_default()
            };
            self.atoms.learn(self.planner, portion, self.problem.risk)?;
        }
        Ok(())
    }

    /// What the workload costs with a set: asked where it is not known, bounded where nobody answers.
    fn true_cost(&mut self, set: &IndexSet) -> Result<f64, PlannerError> {
        let statements = 0..self.problem.relevant.len();
        let asks: Vec<Ask> = statements.map(|q| self.ask(q, set)).collect();
        // These are always asked: without them nothing is known of the set.
        self.atoms.learn(self.planner, &asks, self.problem.risk)?;
        let mut total: f64 = set.iter().filter_map(|i| self.problem.upkeep.get(i)).sum();
        for ask in &asks {
            let known = self.atoms.exact(ask);
            let known = known.or_else(|| self.atoms.bound(ask.statement, &ask.indexes));
            let weight = self
                .problem
                .weights
                .get(ask.statement)
                .copied()
                .unwrap_or(0.0);
            total += weight * known.map_or(0.0, |atom| atom.cost + atom.risk);
        }
        Ok(total)
    }

    /// What would each statement take beside `set`, were everything up to a size there?
    fn climb(&mut self, set: &IndexSet) -> Result<(), PlannerError> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a size shrinks and stays a size"
        )]
        let smaller = |size: u64| (size as f64 / LADDER) as u64;
        let largest = self
            .problem
            .bytes
            .iter()
            .filter(|b| **b <= self.problem.budget);
        let mut size = smaller(largest.max().copied().unwrap_or(0));
        for _ in 0..RUNGS {
            if size == 0 {
                break;
            }
            let small = self.up_to(size).with(set);
            let statements = 0..self.problem.relevant.len();
            let asks: Vec<Ask> = statements.map(|q| self.ask(q, &small)).collect();
            self.learn(&asks)?;
            size = smaller(size);
        }
        Ok(())
    }

    fn up_to(&self, size: u64) -> IndexSet {
        let sizes = self.problem.bytes.iter().enumerate();
        IndexSet::of(sizes.filter(|(_, bytes)| **bytes <= size).map(|(i, _)| i))
    }

    /// Asks what promises most around a set.
    fn around(&mut self, set: &IndexSet) -> Result<(), PlannerError> {
        let asks = peel::questions(self.problem, self.atoms, set, ROUND);
        self.learn(&asks)
    }

    /// Without members that no statement's plan uses.
    fn without_idle(&self, set: IndexSet) -> IndexSet {
        let mut used = IndexSet::default();
        for statement in 0..self.problem.relevant.len() {
            let ask = self.ask(statement, &set);
            if let Some(atom) = self.atoms.exact(&ask) {
                used = used.with(&atom.used);
            }
        }
        set.common(&used)
    }
}

#[cfg(test)]
mod tests;
