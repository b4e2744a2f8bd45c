//! Which questions promise most: what else would do where a plan wants an index that is dear.
//!
//! A plan that is better than what a statement has now is worth what it saves, were its indexes there.
//! One of them is taken away, and only smaller ones are left in its stead: the answer is a plan for
//! fewer bytes. A plan that rests on what was chosen is asked the same, for the bytes that it would
//! free. Questions of either kind are ranked by what hangs on them, and up to half of a round are of the
//! second: a better set often needs two statements to do with less at once, and neither answer promises
//! anything by itself.

use super::Problem;
use crate::advise::cost::{Ask, Atom, Atoms, IndexSet};

/// At most `most` open questions around `set`, the most promising first.
pub(super) fn questions(
    problem: &Problem<'_>,
    atoms: &Atoms,
    set: &IndexSet,
    most: usize,
) -> Vec<Ask> {
    let around = Around {
        problem,
        set,
        price: price(problem, atoms, set),
        smaller: by_size(problem),
    };
    let (mut freeing, mut wanting) = (Vec::new(), Vec::new());
    for statement in 0..atoms.statements() {
        let relevant = problem.relevant.get(statement).copied().unwrap_or_default();
        let now = atoms
            .exact(&Ask {
                statement,
                indexes: relevant.common(set),
            })
            .map_or(f64::INFINITY, |atom| atom.cost + atom.risk);
        let weight = problem.weights.get(statement).copied().unwrap_or(0.0);
        for atom in atoms.of(statement) {
            let saves = weight * (now - atom.cost - atom.risk);
            let ranked = if atom.used.is_within(set) {
                &mut freeing
            } else {
                &mut wanting
            };
            for (score, offered) in around.of(atom, saves) {
                let ask = Ask {
                    statement,
                    indexes: relevant.common(&offered),
                };
                ranked.push((score, ask));
            }
        }
    }
    let mut asks = Vec::new();
    for (ranked, most) in [(freeing, most / 2), (wanting, most)] {
        take_open(ranked, atoms, most, &mut asks);
    }
    asks
}

/// The best of what is not known yet, until there are `most` questions.
fn take_open(mut ranked: Vec<(f64, Ask)>, atoms: &Atoms, most: usize, asks: &mut Vec<Ask>) {
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    for (_, ask) in ranked {
        if asks.len() >= most {
            break;
        }
        if atoms.exact(&ask).is_none() && !atoms.is_refused(&ask) && !asks.contains(&ask) {
            asks.push(ask);
        }
    }
}

struct Around<'a> {
    problem: &'a Problem<'a>,
    set: &'a IndexSet,
    /// What a byte is worth.
    price: f64,
    /// Candidates by size, smallest first.
    smaller: Vec<(u64, usize)>,
}

impl Around<'_> {
    /// What to offer in the stead of each of a plan's indexes, and what hangs on it.
    fn of(&self, atom: &Atom, saves: f64) -> Vec<(f64, IndexSet)> {
        let missing = atom.used.without(self.set);
        let taken: u64 = missing.iter().map(|member| self.bytes(member)).sum();
        let mut found = Vec::new();
        for member in atom.used.iter() {
            let size = self.bytes(member);
            let score = if missing.is_empty() {
                self.price * size as f64
            } else if saves > 0.0 && missing.contains(member) {
                // What it saves beyond what its bytes are worth, or near that.
                let share = size as f64 / taken.max(1) as f64;
                let worth = saves / (self.price * taken as f64).max(1.0);
                saves * share * worth.min(1.0)
            } else {
                continue;
            };
            let mut rest = atom.used.with(self.set);
            rest.remove(member);
            found.push((
                score,
                rest.with(&self.up_to(size.saturating_sub(1), member)),
            ));
            found.push((score * 0.8, rest.with(&self.up_to(size / 2, member))));
            found.push((score * 0.6, rest));
            // Others of the very same size: seldom better, but nothing else would find them.
            found.push((score * 0.4, rest.with(&self.up_to(size, member))));
        }
        found
    }

    fn bytes(&self, member: usize) -> u64 {
        self.problem.bytes.get(member).copied().unwrap_or(0)
    }

    fn up_to(&self, size: u64, but: usize) -> IndexSet {
        let fitting = self.smaller.iter().take_while(|(bytes, _)| *bytes <= size);
        let mut set = IndexSet::of(fitting.map(|(_, member)| *member));
        set.remove(but);
        set
    }
}

fn by_size(problem: &Problem<'_>) -> Vec<(u64, usize)> {
    let each = problem.bytes.iter().copied();
    let mut sizes: Vec<(u64, usize)> = each.zip(0..).collect();
    sizes.sort_unstable();
    sizes
}

/// What the last indexes of a set save a byte, beside what all do on average.
const LAST: f64 = 0.1;

/// What a byte of the budget saves where it saves least: the rate at which an index is
/// worth its place. Nothing where bytes are not scarce.
fn price(problem: &Problem<'_>, atoms: &Atoms, set: &IndexSet) -> f64 {
    let bytes: u64 = set
        .iter()
        .filter_map(|member| problem.bytes.get(member))
        .sum();
    let (mut none, mut with) = (0.0, 0.0);
    for statement in 0..atoms.statements() {
        let relevant = problem.relevant.get(statement).copied().unwrap_or_default();
        let weight = problem.weights.get(statement).copied().unwrap_or(0.0);
        let cost = |indexes: IndexSet| {
            let atom = atoms.exact(&Ask { statement, indexes });
            atom.map_or(0.0, |atom| weight * atom.cost)
        };
        none += cost(IndexSet::default());
        with += cost(relevant.common(set));
    }
    LAST * (none - with).max(0.0) / bytes.max(1) as f64
}
