//! Which candidates to build with so many bytes.
//!
//! For: a good set early and a better one until the time is up. Not for: what one set costs (`cost`)
//! or what harm it does (`guard`).
//!
//! Plans that were seen are the bricks: each says "with these indexes this statement costs that".
//! `pack` puts bricks together for a budget without asking anybody. Its set is then asked about,
//! and so is its neighbourhood: what would each statement take if a little more, or something else
//! of that size, were there. The answers are new bricks, and it is packed again.

mod pack;

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
    /// What keeping each candidate up costs, in weighted planner units.
    pub upkeep: &'p [f64],
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
}

impl Limits<'_> {
    fn are_reached(&self, atoms: &Atoms) -> bool {
        atoms.asked >= self.asks || (self.elapsed)() >= self.time
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
const ROUNDS_IN_VAIN: usize = 4;
/// Sizes at which statements are asked what they would take, each this much larger than the last.
const LADDER: f64 = 2.0;

/// Chooses candidates for the budget; what was learnt stays in `atoms`.
///
/// # Errors
/// Those of the planner.
pub fn choose(
    problem: &Problem<'_>,
    planner: &dyn Planner,
    atoms: &mut Atoms,
    limits: &Limits<'_>,
) -> Result<Choice, PlannerError> {
    let mut search = Search {
        problem,
        planner,
        atoms,
        limits,
        rungs: rungs(problem),
    };
    search.run()
}

/// Sizes from the smallest candidate's to the largest's that fits.
fn rungs(problem: &Problem<'_>) -> Vec<u64> {
    let fitting = problem
        .bytes
        .iter()
        .copied()
        .filter(|b| *b <= problem.budget);
    let (least, most) = fitting.fold((u64::MAX, 0), |(a, b), size| (a.min(size), b.max(size)));
    let mut rungs = Vec::new();
    let mut size = most;
    while size >= least.max(1) && size > 0 && rungs.len() < 14 {
        rungs.push(size);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a size shrinks and stays a size"
        )]
        let smaller = (size as f64 / LADDER) as u64;
        size = smaller;
    }
    rungs.reverse();
    rungs
}

struct Search<'s> {
    problem: &'s Problem<'s>,
    planner: &'s dyn Planner,
    atoms: &'s mut Atoms,
    limits: &'s Limits<'s>,
    rungs: Vec<u64>,
}

impl Search<'_> {
    fn run(&mut self) -> Result<Choice, PlannerError> {
        let statements = 0..self.problem.relevant.len();
        let none = statements
            .clone()
            .map(|q| self.ask(q, &IndexSet::default()));
        let none: Vec<Ask> = none.collect();
        self.learn(&none)?;
        self.climb(&IndexSet::default())?;
        let mut best = IndexSet::default();
        let mut best_cost = self.true_cost(&best)?;
        let mut steps = Vec::new();
        let mut in_vain = 0;
        let mut round = 0_u64;
        loop {
            let packing = Packing::new(self.problem, self.atoms);
            let set = packing.pack(&best, round);
            round += 1;
            let cost = self.true_cost(&set)?;
            in_vain += 1;
            if cost < best_cost * (1.0 - 1e-6) {
                if cost < best_cost * (1.0 - 5e-4) {
                    in_vain = 0;
                }
                (best, best_cost) = (set, cost);
                steps.push(Step {
                    asks: self.atoms.asked,
                    after: (self.limits.elapsed)(),
                    cost,
                });
            }
            if self.limits.are_reached(self.atoms) || in_vain > ROUNDS_IN_VAIN {
                break;
            }
            let asked = self.atoms.asked;
            self.neighbourhood(&set)?;
            if set != best && self.atoms.asked == asked {
                self.neighbourhood(&best)?;
            }
            if self.atoms.asked == asked {
                in_vain += 1;
                self.remove_one(&best)?;
            }
        }
        Ok(Choice {
            indexes: self.without_idle(best),
            steps,
        })
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
            if !is_first && (left == 0 || (self.limits.elapsed)() >= self.limits.time) {
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
        for rung in self.rungs.clone() {
            let small = self.up_to(rung).with(set);
            let statements = 0..self.problem.relevant.len();
            let asks: Vec<Ask> = statements.map(|q| self.ask(q, &small)).collect();
            self.learn(&asks)?;
        }
        Ok(())
    }

    fn up_to(&self, size: u64) -> IndexSet {
        let sizes = self.problem.bytes.iter().enumerate();
        IndexSet::of(sizes.filter(|(_, bytes)| **bytes <= size).map(|(i, _)| i))
    }

    /// Around a set: more of each size; and for each of its members, something smaller or nothing in
    /// its stead.
    fn neighbourhood(&mut self, set: &IndexSet) -> Result<(), PlannerError> {
        self.climb(set)?;
        let mut asks = Vec::new();
        for statement in 0..self.problem.relevant.len() {
            let here = self.ask(statement, set);
            let Some(atom) = self.atoms.exact(&here) else {
                continue;
            };
            for member in atom.used.iter() {
                let mut rest = *set;
                rest.remove(member);
                asks.push(self.ask(statement, &rest));
                let size = self.problem.bytes.get(member).copied().unwrap_or(0);
                let mut smaller = self.up_to(size);
                smaller.remove(member);
                asks.push(self.ask(statement, &rest.with(&smaller)));
                let half = self.up_to(size / 2);
                asks.push(self.ask(statement, &rest.with(&half)));
            }
        }
        self.learn(&asks)
    }

    /// Other plans for each statement: without one of the indexes of each cheap plan known.
    fn remove_one(&mut self, set: &IndexSet) -> Result<(), PlannerError> {
        let mut asks = Vec::new();
        for statement in 0..self.problem.relevant.len() {
            for atom in self.atoms.of(statement) {
                for member in atom.used.iter() {
                    let mut rest = atom.offered;
                    rest.remove(member);
                    asks.push(self.ask(statement, &rest));
                }
            }
        }
        let _ = set;
        asks.retain(|ask| self.atoms.exact(ask).is_none());
        // A bound on one round: the most of what a small budget of questions allows.
        asks.truncate(200);
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
