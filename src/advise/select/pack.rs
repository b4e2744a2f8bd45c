//! The best set that known plans promise for a budget, found without asking anybody.
//!
//! Greedy by gain per byte, lazily: a brick's gain is counted anew only when it comes to the top.
//! Then a large neighbourhood search: a few members go, one of them may not come back, and what is
//! left is filled again; the better set is kept.

use std::collections::{BTreeSet, BinaryHeap};

use rayon::prelude::*;

use super::Problem;
use crate::advise::cost::{Atoms, IndexSet};

/// Neighbours that are looked at in one packing.
const NEIGHBOURS: u64 = 240;
/// Neighbours looked at side by side before the best of them is taken.
const ABREAST: u64 = 24;

/// A plan that is worth having: no other of the statement is cheaper and within it.
struct Brick {
    statement: usize,
    used: IndexSet,
    cost: f64,
}

/// Bricks by statement and by index.
pub(super) struct Packing<'p> {
    problem: &'p Problem<'p>,
    bricks: Vec<Brick>,
    /// Bricks of each statement, cheapest first.
    of: Vec<Vec<usize>>,
    /// Statements that have a brick with each index.
    touched: Vec<Vec<usize>>,
}

/// A set while it is packed.
#[derive(Clone)]
struct State {
    set: IndexSet,
    bytes: u64,
    /// Weighted cost of each statement.
    costs: Vec<f64>,
    upkeep: f64,
}

impl State {
    fn total(&self) -> f64 {
        self.costs.iter().sum::<f64>() + self.upkeep
    }
}

#[derive(PartialEq)]
struct Ranked(f64, usize);

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0).then(other.1.cmp(&self.1))
    }
}

impl<'p> Packing<'p> {
    /// From all plans seen so far.
    pub(super) fn new(problem: &'p Problem<'p>, atoms: &Atoms) -> Self {
        let mut bricks = Vec::new();
        let mut of = vec![Vec::new(); atoms.statements()];
        let mut touched: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); problem.bytes.len()];
        for (statement, mine) in of.iter_mut().enumerate() {
            let weight = problem.weights.get(statement).copied().unwrap_or(0.0);
            let mut sorted: Vec<_> = atoms.of(statement).iter().collect();
            // The planner takes the cheapest, whatever else it does.
            sorted.sort_by(|a, b| a.cost.total_cmp(&b.cost));
            for (place, atom) in sorted.iter().enumerate() {
                let cheaper = sorted.get(..place).unwrap_or_default();
                if cheaper
                    .iter()
                    .any(|better| better.used.is_within(&atom.used))
                {
                    continue;
                }
                for index in atom.used.iter() {
                    if let Some(statements) = touched.get_mut(index) {
                        statements.insert(statement);
                    }
                }
                mine.push(bricks.len());
                bricks.push(Brick {
                    statement,
                    used: atom.used,
                    cost: weight * (atom.cost + atom.risk),
                });
            }
        }
        let touched = touched
            .into_iter()
            .map(|s| s.into_iter().collect())
            .collect();
        Self {
            problem,
            bricks,
            of,
            touched,
        }
    }

    /// The best set found from nothing and from `start`; `seed` varies what is tried, and `is_late` ends
    /// it early.
    pub(super) fn pack(&self, start: &IndexSet, seed: u64, is_late: &dyn Fn() -> bool) -> IndexSet {
        let greedy = self.filled(self.state(&IndexSet::default()), &IndexSet::default());
        let kept = self.filled(self.state(start), &IndexSet::default());
        let mut best = if kept.total() < greedy.total() {
            kept
        } else {
            greedy
        };
        for wave in 0..NEIGHBOURS / ABREAST {
            if is_late() {
                break;
            }
            let tries: Vec<State> = (0..ABREAST)
                .into_par_iter()
                .map(|lane| {
                    let mut chance = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(
                        (wave * ABREAST + lane + 1).wrapping_mul(0xD1B5_4A32_D192_ED03),
                    );
                    self.neighbour(&best, &mut chance)
                })
                .collect();
            let least = tries
                .into_iter()
                .min_by(|a, b| a.total().total_cmp(&b.total()));
            if let Some(least) = least.filter(|least| least.total() < best.total()) {
                best = least;
            }
        }
        best.set
    }

    fn neighbour(&self, from: &State, chance: &mut u64) -> State {
        let mut members: Vec<usize> = from.set.iter().collect();
        let mut set = from.set;
        let mut barred = IndexSet::default();
        let gone = 1 + draw(chance, 4);
        for turn in 0..gone {
            if members.is_empty() {
                break;
            }
            let member = members.swap_remove(draw(chance, members.len()));
            set.remove(member);
            // One does not come back, or every neighbour would be the set itself.
            if turn == 0 || draw(chance, 3) == 0 {
                barred.insert(member);
            }
        }
        let filled = self.filled(self.state(&set), &barred);
        // What was barred may have been worth more than what came instead.
        self.filled(filled, &IndexSet::default())
    }

    fn cost_of(&self, statement: usize, set: &IndexSet) -> f64 {
        let mine = self.of.get(statement).into_iter().flatten();
        let mut bricks = mine.filter_map(|brick| self.bricks.get(*brick));
        let first = bricks.find(|brick| brick.used.is_within(set));
        first.map_or(0.0, |brick| brick.cost)
    }

    fn state(&self, set: &IndexSet) -> State {
        let mut state = State {
            set: *set,
            bytes: self.bytes(set),
            costs: (0..self.of.len()).map(|q| self.cost_of(q, set)).collect(),
            upkeep: self.upkeep(set),
        };
        self.thin(&mut state);
        state
    }

    fn bytes(&self, set: &IndexSet) -> u64 {
        set.iter()
            .filter_map(|index| self.problem.bytes.get(index))
            .sum()
    }

    fn upkeep(&self, set: &IndexSet) -> f64 {
        set.iter()
            .filter_map(|index| self.problem.upkeep.get(index))
            .sum()
    }

    fn statements_with(&self, set: &IndexSet) -> Vec<usize> {
        let lists = set.iter().filter_map(|index| self.touched.get(index));
        let mut statements: Vec<usize> = lists.flatten().copied().collect();
        statements.sort_unstable();
        statements.dedup();
        statements
    }

    /// What adding `new` saves.
    fn gain(&self, state: &State, new: &IndexSet) -> f64 {
        let with = state.set.with(new);
        let saved: f64 = self
            .statements_with(new)
            .into_iter()
            .map(|q| state.costs.get(q).copied().unwrap_or(0.0) - self.cost_of(q, &with))
            .sum();
        saved - self.upkeep(new)
    }

    fn add(&self, state: &mut State, new: &IndexSet) {
        state.set = state.set.with(new);
        state.bytes += self.bytes(new);
        state.upkeep += self.upkeep(new);
        for q in self.statements_with(new) {
            let cost = self.cost_of(q, &state.set);
            if let Some(slot) = state.costs.get_mut(q) {
                *slot = cost;
            }
        }
    }

    /// Fills what is left of the budget, greedily; nothing of `barred` is taken.
    fn filled(&self, mut state: State, barred: &IndexSet) -> State {
        let mut heap: BinaryHeap<Ranked> = BinaryHeap::new();
        for (place, brick) in self.bricks.iter().enumerate() {
            let new = brick.used.without(&state.set);
            if !new.is_empty() && new.common(barred).is_empty() {
                heap.push(Ranked(f64::INFINITY, place));
            }
        }
        while let Some(Ranked(_, place)) = heap.pop() {
            let Some(brick) = self.bricks.get(place) else {
                continue;
            };
            let new = brick.used.without(&state.set);
            let bytes = self.bytes(&new);
            let fits = state.bytes + bytes <= self.problem.budget;
            let has_gone = state
                .costs
                .get(brick.statement)
                .is_some_and(|c| *c <= brick.cost);
            if new.is_empty() || !fits || has_gone {
                continue;
            }
            let worth = self.gain(&state, &new) / (bytes.max(1) as f64);
            if worth <= 0.0 {
                continue;
            }
            if heap.peek().is_none_or(|next| worth >= next.0) {
                self.add(&mut state, &new);
                self.thin(&mut state);
            } else {
                heap.push(Ranked(worth, place));
            }
        }
        state
    }

    /// Takes out members that nothing is lost without.
    fn thin(&self, state: &mut State) {
        let mut members: Vec<usize> = state.set.iter().collect();
        members.sort_by_key(|m| std::cmp::Reverse(self.problem.bytes.get(*m).copied()));
        for member in members {
            let mut rest = state.set;
            rest.remove(member);
            let one = IndexSet::of([member]);
            let lost: f64 = self
                .statements_with(&one)
                .into_iter()
                .map(|q| self.cost_of(q, &rest) - state.costs.get(q).copied().unwrap_or(0.0))
                .sum();
            if lost <= self.upkeep(&one) {
                state.set = rest;
                state.bytes = state.bytes.saturating_sub(self.bytes(&one));
                state.upkeep -= self.upkeep(&one);
                for q in self.statements_with(&one) {
                    let cost = self.cost_of(q, &rest);
                    if let Some(slot) = state.costs.get_mut(q) {
                        *slot = cost;
                    }
                }
            }
        }
    }
}

/// A number below `below` (xorshift); the same in each run.
fn draw(chance: &mut u64, below: usize) -> usize {
    *chance |= 1;
    *chance ^= *chance << 13;
    *chance ^= *chance >> 7;
    *chance ^= *chance << 17;
    usize::try_from((*chance >> 16) % (below.max(1) as u64)).unwrap_or(0)
}
