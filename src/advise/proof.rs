//! From real times to what is worth building.
//!
//! For: judging a set of indexes by runs with and without its members. Not for: running statements
//! (`postgres::scratch`) or in which order (`work::advise::verify`).
//!
//! Times of one run scatter, so the least of several counts, and runs that are compared were made in
//! turn. A difference below [`NOISE_MS`] says nothing.

use std::collections::{BTreeMap, BTreeSet};

/// How much slower a statement may become. Tighter than what is promised (a quarter), so that it
/// holds in a second run, too.
pub const SLOWER: f64 = 1.12;
/// Differences below this are the machine's, in ms.
pub const NOISE_MS: f64 = 3.0;
/// Share of its users' time that an index must save.
const PAYS: f64 = 0.02;
/// Share of its users' blocks that an index must save where it saves no time.
const PAYS_BLOCKS: f64 = 0.2;

/// One statement under one set: the least time of its runs, and what it looked at.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Run {
    /// Least time in ms.
    pub ms: f64,
    /// Blocks that were looked at, in buffers or beyond.
    pub blocks: f64,
    /// Indexes of the set that the plan used.
    pub used: BTreeSet<usize>,
    /// It ran into the limit: it takes at least so long.
    pub is_cut: bool,
}

impl Run {
    /// Both together: the better time of two runs with the same plan.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        if other.ms < self.ms { other } else { self }
    }
}

/// Whether a statement got slower than it may.
pub fn is_slower(before: &Run, after: &Run) -> bool {
    !before.is_cut && after.ms > before.ms * SLOWER + NOISE_MS
}

/// What taking one index away does: for each statement that used it, its run without.
pub type Without = BTreeMap<usize, Run>;

/// What an index saves its users in ms (weighted) and in blocks, by runs with and without it.
pub fn saved(after: &[Run], weights: &[f64], without: &Without) -> (f64, f64) {
    let each = without.iter().filter_map(|(q, run)| {
        let weight = weights.get(*q).copied().unwrap_or(1.0);
        let with = after.get(*q)?;
        Some((
            weight * (run.ms - with.ms),
            weight * (run.blocks - with.blocks),
        ))
    });
    each.fold((0.0, 0.0), |(ms, blocks), (m, b)| (ms + m, blocks + b))
}

/// The statement that lost most, of those that got slower than they may by indexes of the set.
pub fn slowest(before: &[Run], after: &[Run]) -> Option<usize> {
    let pairs = before.iter().zip(after).enumerate();
    let slower = pairs.filter(|(_, (old, new))| is_slower(old, new) && !new.used.is_empty());
    let lost = |(_, (old, new)): &(usize, (&Run, &Run))| new.ms - old.ms;
    slower
        .max_by(|a, b| lost(a).total_cmp(&lost(b)))
        .map(|(q, _)| q)
}

/// The index that its users miss least.
pub fn least_missed(
    after: &[Run],
    weights: &[f64],
    tried: &BTreeMap<usize, Without>,
) -> Option<usize> {
    let lost = |without: &Without| saved(after, weights, without).0;
    let ranked = tried.iter().map(|(index, without)| (lost(without), *index));
    ranked
        .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
        .map(|(_, index)| index)
}

/// Indexes that are gone together, what their users miss most first: what each statement lost or
/// won counts for all that it used of them.
pub fn by_worth(
    gone: &BTreeSet<usize>,
    with: &[Run],
    without: &[Run],
    weights: &[f64],
) -> Vec<usize> {
    let missed = |index: &usize| -> f64 {
        let each = with.iter().zip(without).enumerate();
        let users = each.filter(|(_, (with, _))| with.used.contains(index));
        let lost = users.map(|(q, (with, without))| {
            weights.get(q).copied().unwrap_or(1.0) * (without.ms - with.ms).max(0.0)
        });
        lost.sum()
    };
    let mut ranked: Vec<(f64, usize)> = gone.iter().map(|index| (missed(index), *index)).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    ranked.into_iter().map(|(_, index)| index).collect()
}

/// Why an index does not pay, by its users' runs with and without it; `None` where it does.
pub fn idle(after: &[Run], weights: &[f64], without: &Without) -> Option<String> {
    if without.is_empty() {
        return Some("no plan uses it".to_owned());
    }
    let (ms, blocks) = saved(after, weights, without);
    let sum = |of: fn(&Run) -> f64| -> f64 {
        let each = without.iter();
        each.map(|(q, run)| weights.get(*q).copied().unwrap_or(1.0) * of(run))
            .sum()
    };
    let (all_ms, all_blocks) = (sum(|run| run.ms), sum(|run| run.blocks));
    let is_faster = ms > PAYS * all_ms && ms > NOISE_MS / 3.0;
    let is_lighter = blocks > PAYS_BLOCKS * all_blocks && ms > -PAYS * all_ms;
    if is_faster || is_lighter {
        return None;
    }
    Some(format!(
        "its statements take {all_ms:.1} ms in sum without it and {:.1} ms with it",
        all_ms - ms
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(ms: f64, blocks: f64) -> Run {
        Run {
            ms,
            blocks,
            ..Run::default()
        }
    }

    #[test]
    fn small_differences_and_cut_runs_make_nothing_slower() {
        assert!(is_slower(&run(100.0, 0.0), &run(120.0, 0.0)));
        assert!(!is_slower(&run(1.0, 0.0), &run(3.0, 0.0)));
        let cut = Run {
            is_cut: true,
            ..run(60.0, 0.0)
        };
        assert!(!is_slower(&cut, &run(90.0, 0.0)));
    }

    #[test]
    fn an_index_pays_in_time_or_in_blocks() {
        let after = [run(50.0, 1_000.0), run(10.0, 10.0)];
        let weights = [1.0, 2.0];
        let without = |q: usize, ms: f64, blocks: f64| Without::from([(q, run(ms, blocks))]);
        assert_eq!(idle(&after, &weights, &without(0, 80.0, 1_000.0)), None);
        assert_eq!(idle(&after, &weights, &without(0, 50.2, 2_000.0)), None);
        assert!(idle(&after, &weights, &without(0, 50.2, 1_050.0)).is_some());
        assert!(idle(&after, &weights, &without(0, 40.0, 9_000.0)).is_some());
        assert_eq!(
            idle(&after, &weights, &Without::new()).as_deref(),
            Some("no plan uses it")
        );
    }

    #[test]
    fn the_statement_that_lost_most_is_cured_first() {
        let used = |ms: f64| Run {
            used: BTreeSet::from([0]),
            ..run(ms, 0.0)
        };
        let before = [run(100.0, 0.0), run(100.0, 0.0), run(10.0, 0.0)];
        let after = [used(150.0), used(300.0), run(500.0, 0.0)];
        // The last is slower without any of the set: nothing of it is to blame.
        assert_eq!(slowest(&before, &after), Some(1));
        assert_eq!(slowest(&before, &before), None);
    }

    #[test]
    fn of_those_that_cure_the_one_that_others_miss_least_goes() {
        // Without either, statement 0 is cured; without 2, statement 1 takes nine times as long.
        let after = [run(300.0, 0.0), run(10.0, 0.0)];
        let without = |second: f64| Without::from([(0, run(101.0, 0.0)), (1, run(second, 0.0))]);
        let tried = BTreeMap::from([(1, without(20.0)), (2, without(90.0))]);
        assert_eq!(least_missed(&after, &[1.0, 1.0], &tried), Some(1));
        assert_eq!(least_missed(&after, &[1.0, 1.0], &BTreeMap::new()), None);
    }

    #[test]
    fn what_is_missed_most_comes_back_first() {
        let used = |ms: f64, of: &[usize]| Run {
            used: of.iter().copied().collect(),
            ..run(ms, 0.0)
        };
        let with = [used(300.0, &[0, 1, 2]), used(10.0, &[2]), used(5.0, &[1])];
        let without = [run(100.0, 0.0), run(50.0, 0.0), run(10.0, 0.0)];
        let gone = BTreeSet::from([0, 1, 2]);
        assert_eq!(by_worth(&gone, &with, &without, &[1.0; 3]), [2, 1, 0]);
        assert_eq!(
            by_worth(&gone, &with, &without, &[1.0, 1.0, 9.0]),
            [1, 2, 0]
        );
    }
}
