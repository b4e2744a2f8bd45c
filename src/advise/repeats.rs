//! Which statement runs once for each row that another one gives.
//!
//! For: pairs of a list and the burst of look-ups that comes with it, from counters of scrapes
//! alone. Not for: reading them (`work`) or judging whether it matters (`checks`).
//!
//! A list is rare and gives many rows a call; a look-up gives one row at most. Beside its steady
//! calls, the look-up's calls rise each time the list comes, by a whole multiple of its rows. What
//! rises by chance, or once, is left out. Steady lists, seen in most scrapes, cannot be told apart.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::structure::Repeat;

/// What grew between two scrapes: statement, calls, rows.
pub type Growth = Vec<(i64, f64, f64)>;

/// Rows a call from which a statement counts as a list.
const LIST_ROWS: f64 = 10.0;
/// Rows a call up to which one counts as a look-up.
const EACH_ROWS: f64 = 1.5;
/// Look-ups that are told for one list.
const EACH_MAX: usize = 3;
/// By how many standard deviations of its steady calls a look-up must rise.
const DEVIATIONS: f64 = 4.0;

#[derive(Default)]
struct Track {
    calls: Vec<f64>,
    rows: Vec<f64>,
}

impl Track {
    fn rows_per_call(&self) -> f64 {
        self.rows.iter().sum::<f64>() / self.calls.iter().sum::<f64>().max(1.0)
    }
}

/// Pairs that `intervals`, in order of time, show.
pub fn find(intervals: &[Growth]) -> Vec<Repeat> {
    let mut tracks: BTreeMap<i64, Track> = BTreeMap::new();
    for (i, interval) in intervals.iter().enumerate() {
        for (id, calls, rows) in interval {
            let track = tracks.entry(*id).or_default();
            track.calls.resize(intervals.len(), 0.0);
            track.rows.resize(intervals.len(), 0.0);
            if let (Some(c), Some(r)) = (track.calls.get_mut(i), track.rows.get_mut(i)) {
                *c += calls;
                *r += rows;
            }
        }
    }
    let looks_up = |(_, track): &(&i64, &Track)| track.rows_per_call() <= EACH_ROWS;
    let each: Vec<(&i64, &Track)> = tracks.iter().filter(looks_up).collect();
    let mut found = Vec::new();
    for (list_id, list) in &tracks {
        let times = list.calls.iter().filter(|calls| **calls > 0.0).count();
        if list.rows_per_call() < LIST_ROWS || times * 2 > intervals.len() {
            continue;
        }
        let bursts = bursts(&list.calls);
        let pairs = each.iter().filter_map(|(each_id, each)| {
            let calls_per_row = follows(list, each, &bursts)?;
            Some(Repeat {
                list_id: *list_id,
                each_id: **each_id,
                bursts: u32::try_from(bursts.len()).unwrap_or(u32::MAX),
                rows: list.rows_per_call(),
                calls_per_row,
            })
        });
        let mut pairs: Vec<Repeat> = pairs.collect();
        pairs.sort_by(|a, b| b.calls_per_row.total_cmp(&a.calls_per_row));
        found.extend(pairs.into_iter().take(EACH_MAX));
    }
    found
}

/// Runs of intervals in which the list came, each with the interval after it: a burst goes on.
fn bursts(calls: &[f64]) -> Vec<Vec<usize>> {
    let came = calls.iter().enumerate().filter(|(_, calls)| **calls > 0.0);
    let near: BTreeSet<usize> = came
        .flat_map(|(i, _)| [i, i + 1])
        .filter(|i| *i < calls.len())
        .collect();
    let mut runs: Vec<Vec<usize>> = Vec::new();
    for i in near {
        match runs.last_mut() {
            Some(run) if run.last().is_some_and(|last| last + 1 == i) => run.push(i),
            _ => runs.push(vec![i]),
        }
    }
    runs
}

/// Calls of `each` for a row of `list`, a whole number, if it follows it.
fn follows(list: &Track, each: &Track, bursts: &[Vec<usize>]) -> Option<f64> {
    let near: BTreeSet<usize> = bursts.iter().flatten().copied().collect();
    let steady: Vec<f64> = each
        .calls
        .iter()
        .enumerate()
        .filter(|(i, _)| !near.contains(i))
        .map(|(_, calls)| *calls)
        .collect();
    let count = steady.len() as f64;
    if count < 1.0 {
        return None;
    }
    let base = steady.iter().sum::<f64>() / count;
    let variance = steady.iter().map(|c| (c - base).powi(2)).sum::<f64>() / count;
    let at =
        |values: &[f64], run: &[usize]| -> f64 { run.iter().filter_map(|i| values.get(*i)).sum() };
    let rises: Vec<(f64, f64)> = bursts
        .iter()
        .map(|run| {
            let rise = at(&each.calls, run) - base * run.len() as f64;
            (rise, at(&list.rows, run))
        })
        .collect();
    let rise: f64 = rises.iter().map(|(rise, _)| rise).sum();
    let rows: f64 = rises.iter().map(|(_, rows)| rows).sum();
    let slope = rise / rows.max(1.0);
    let whole = slope.round().max(1.0);
    let is_whole = (slope - whole).abs() <= 0.1 + 0.15 * whole;
    // Counts scatter at least as those of independent calls do.
    let deviation = (variance.max(base) * near.len() as f64).sqrt();
    let is_clear = rise >= DEVIATIONS * deviation && rise > 0.0;
    let often = rises
        .iter()
        .filter(|(rise, rows)| *rise >= 0.5 * whole * rows)
        .count();
    let is_each_time = often as f64 >= 0.8 * rises.len() as f64;
    (is_whole && is_clear && is_each_time).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: i64 = 1;
    const EACH: i64 = 2;

    /// Steady look-ups in each of `n` intervals; in each `every`th a list of a hundred rows and
    /// `times` look-ups a row, the last tenth of which fall into the next interval.
    fn traffic(n: usize, every: usize, times: f64) -> Vec<Growth> {
        let steady = |i: usize| 40.0 + f64::from(u8::from(i.is_multiple_of(3)));
        let mut all: Vec<Growth> = (0..n).map(|i| vec![(EACH, steady(i), steady(i))]).collect();
        for i in (1..n - 1).step_by(every) {
            all[i].push((LIST, 1.0, 100.0));
            all[i].push((EACH, 90.0 * times, 90.0 * times));
            all[i + 1].push((EACH, 10.0 * times, 10.0 * times));
        }
        all
    }

    #[test]
    fn a_burst_with_each_list_is_found_beside_steady_calls() {
        for times in [1.0, 2.0] {
            let found = find(&traffic(60, 6, times));
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!((found[0].list_id, found[0].each_id), (LIST, EACH));
            assert_eq!(found[0].bursts, 10);
            assert!((found[0].calls_per_row - times).abs() < 1e-9);
            assert!((found[0].rows - 100.0).abs() < 1e-9);
        }
    }

    #[test]
    fn steady_look_ups_beside_a_list_follow_nothing() {
        assert!(find(&traffic(60, 6, 0.0)).is_empty());
        assert!(find(&[]).is_empty());
    }

    #[test]
    fn one_coincidence_among_many_lists_is_not_enough() {
        let mut calm = traffic(60, 6, 0.0);
        calm[7].push((EACH, 1_000.0, 1_000.0));
        assert!(find(&calm).is_empty());
    }

    #[test]
    fn statements_that_give_many_rows_are_no_look_ups() {
        let mut all = traffic(60, 6, 1.0);
        for interval in &mut all {
            for (id, _, rows) in interval {
                if *id == EACH {
                    *rows *= 20.0;
                }
            }
        }
        assert!(find(&all).is_empty());
    }
}
