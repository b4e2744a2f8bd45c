//! Bends: the steps at which a series began to grow faster or slower.
//!
//! For: saying when growth changed. Not for: forecasting, which keeps many faint hinges
//! (`member::piecewise`) where this names few sure ones.
//!
//! Hinges enter a least-squares line one by one, each where it explains most, and those before it
//! are placed anew. As many stay as a criterion of Schwarz (1978, "Estimating the dimension of a
//! model") bears on an effective number of observations, two parameters a bend: its place and its
//! slope. Source: Muggeo 2003, "Estimating regression models with unknown break-points".

use crate::stats::regress::{Design, Fit, Gram};

use super::member::{effective, present};
use super::settings::settings;

/// A change of growth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bend {
    /// The first step of the new growth.
    pub(super) at: usize,
    /// New growth less old, a step.
    pub(super) change: f64,
}

/// Keeps neighbouring hinges from playing against each other.
const RIDGE: f64 = 1e-9;

/// Finds bends in values without seasons and jumps, oldest first; NaN is a gap.
pub(super) fn find(values: &[f64]) -> Vec<Bend> {
    let set = &settings().bend;
    let points: Vec<(usize, f64)> = present(values).collect();
    let n = values.len();
    if points.len() < 4 * set.least {
        return Vec::new();
    }
    let last = n - set.least;
    let apart = ((last - set.least) / set.places).max(1);
    let coarse: Vec<usize> = (set.least..=last).step_by(apart).collect();
    let Some((found, count)) = grown(&points, &coarse) else {
        return Vec::new();
    };
    // Near each place of the coarse grid, every step is tried.
    let mut fine: Vec<usize> = found
        .iter()
        .flat_map(|at| at.saturating_sub(apart)..=at + apart)
        .filter(|at| (set.least..=last).contains(at))
        .collect();
    fine.sort_unstable();
    fine.dedup();
    let Some(line) = Line::new(&points, &fine) else {
        return Vec::new();
    };
    let place = |at: &usize| fine.binary_search(at).ok();
    let mut chosen: Vec<usize> = found.iter().filter_map(place).collect();
    line.settle(&mut chosen);
    line.prune(&mut chosen, count);
    chosen.sort_unstable();
    let fit = line.fit(&chosen);
    let mut growth = fit.coefficients.first().copied().unwrap_or(0.0);
    let mut bends = Vec::new();
    for at in chosen {
        let change = fit.coefficients.get(at + 1).copied().unwrap_or(0.0);
        let (before, after) = (growth, growth + change);
        growth = after;
        // Growth that is about the same is not worth a word.
        if change.abs() >= set.share * before.abs().max(after.abs()) {
            bends.extend(fine.get(at).map(|at| Bend { at: *at, change }));
        }
    }
    bends
}

/// Places of as many bends as the criterion bears, and what the observations are worth; nothing
/// where there is no bend.
fn grown(points: &[(usize, f64)], places: &[usize]) -> Option<(Vec<usize>, f64)> {
    let line = Line::new(points, places)?;
    let mut chosen: Vec<usize> = Vec::new();
    let mut path = vec![chosen.clone()];
    for _ in 0..settings().bend.max {
        let Some(best) = line.best(&chosen) else {
            break;
        };
        chosen.push(best);
        line.settle(&mut chosen);
        path.push(chosen.clone());
    }
    let count = effective(&line.left(&line.fit(&chosen)));
    let scored = path.into_iter().map(|c| (line.score(&c, count), c));
    let (_, chosen) = scored.reduce(|best, next| if next.0 < best.0 { next } else { best })?;
    let at = chosen.iter().filter_map(|i| places.get(*i).copied());
    let found: Vec<usize> = at.collect();
    (!found.is_empty()).then_some((found, count))
}

/// A line that may bend at any of its places.
struct Line<'a> {
    points: &'a [(usize, f64)],
    places: &'a [usize],
    gram: Gram,
}

impl<'a> Line<'a> {
    fn new(points: &'a [(usize, f64)], places: &'a [usize]) -> Option<Self> {
        let mut design = Design::new(1 + places.len());
        for (i, _) in points {
            design.push(row(*i, places));
        }
        let targets: Vec<f64> = points.iter().map(|(_, v)| *v).collect();
        let gram = Gram::new(&design, &targets, &vec![1.0; targets.len()]).ok()?;
        Some(Self {
            points,
            places,
            gram,
        })
    }

    /// By places' numbers.
    fn fit(&self, chosen: &[usize]) -> Fit {
        let mut columns = vec![0];
        columns.extend(chosen.iter().map(|place| place + 1));
        self.gram.solve(&columns, RIDGE)
    }

    /// Schwarz's criterion, by so many independent observations: the lower the better.
    fn score(&self, chosen: &[usize], count: f64) -> f64 {
        let n = self.points.len() as f64;
        let whole: f64 = self.points.iter().map(|(_, v)| v * v).sum();
        // What rounding alone leaves is no error to be explained.
        let least = 1e-18 * whole.max(f64::MIN_POSITIVE);
        let spread = (self.fit(chosen).residual_sum / n).max(least);
        count * spread.ln() + settings().bend.criterion * 2.0 * chosen.len() as f64 * n.ln()
    }

    /// Leaves out what the criterion does not bear, the others placed anew.
    fn prune(&self, chosen: &mut Vec<usize>, count: f64) {
        loop {
            let own = self.score(chosen, count);
            let fewer = (0..chosen.len()).map(|k| {
                let mut fewer = chosen.clone();
                fewer.remove(k);
                self.settle(&mut fewer);
                (self.score(&fewer, count), fewer)
            });
            match fewer.reduce(|best, next| if next.0 < best.0 { next } else { best }) {
                Some((score, fewer)) if score <= own => *chosen = fewer,
                _ => break,
            }
        }
    }

    fn left(&self, fit: &Fit) -> Vec<f64> {
        let each = self.points.iter();
        each.map(|(i, v)| v - fit.at(row(*i, self.places)))
            .collect()
    }

    /// The place that explains most beside those chosen, at a distance from them.
    fn best(&self, chosen: &[usize]) -> Option<usize> {
        let least = settings().bend.least;
        let far = |at: usize, other: &usize| {
            let other = self.places.get(*other).copied().unwrap_or(at);
            other.abs_diff(at) >= least
        };
        let free = self.places.iter().enumerate();
        let free = free.filter(|(_, at)| chosen.iter().all(|other| far(**at, other)));
        let left = free.map(|(place, _)| {
            let mut with = chosen.to_vec();
            with.push(place);
            (place, self.fit(&with).residual_sum)
        });
        let best = left.reduce(|best, next| if next.1 < best.1 { next } else { best });
        best.map(|(place, _)| place)
    }

    /// Each place anew, the others standing still.
    fn settle(&self, chosen: &mut Vec<usize>) {
        for _ in 0..chosen.len() {
            let first = chosen.remove(0);
            chosen.push(self.best(chosen).unwrap_or(first));
        }
    }
}

fn row(i: usize, places: &[usize]) -> impl Iterator<Item = f64> {
    let hinges = places.iter().map(move |at| i.saturating_sub(*at) as f64);
    std::iter::once(i as f64).chain(hinges)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(i: usize) -> f64 {
        let mut z = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    }

    fn bent(n: usize, bends: &[(usize, f64)], noisy: f64) -> Vec<f64> {
        let grown = |i: usize| {
            let each = bends.iter();
            each.map(|(at, change)| change * i.saturating_sub(*at) as f64)
                .sum::<f64>()
        };
        (0..n)
            .map(|i| 100.0 + 0.5 * i as f64 + grown(i) + noisy * noise(i))
            .collect()
    }

    #[test]
    fn a_bend_is_told_by_its_step_and_size() {
        for n in [120, 400, 900] {
            let at = n * 6 / 10;
            for change in [0.7, -0.8] {
                let [bend] = find(&bent(n, &[(at, change)], 4.0)).try_into().unwrap();
                assert!(bend.at.abs_diff(at) <= 4, "{n} {change}: {bend:?}");
                assert!((bend.change - change).abs() < 0.1, "{n}: {bend:?}");
            }
        }
    }

    #[test]
    fn two_bends_are_told_apart_over_gaps() {
        let mut values = bent(300, &[(100, 1.0), (200, -1.2)], 3.0);
        for v in &mut values[140..150] {
            *v = f64::NAN;
        }
        let [first, second] = find(&values).try_into().unwrap();
        assert!(first.at.abs_diff(100) <= 4 && second.at.abs_diff(200) <= 4);
        assert!(first.change > 0.0 && second.change < 0.0);
    }

    #[test]
    fn lines_levels_noise_and_walks_do_not_bend() {
        assert_eq!(find(&bent(300, &[], 0.0)), []);
        assert_eq!(find(&bent(300, &[], 20.0)), []);
        assert_eq!(find(&[5.0; 300]), []);
        assert_eq!(find(&[f64::NAN; 300]), []);
        assert_eq!(find(&bent(40, &[(20, 3.0)], 1.0)), []);
        let walks = (0..40).filter(|seed| {
            let walk = (0..300).scan(0.0, |at, i| {
                *at += noise(seed * 1_000 + i);
                Some(*at)
            });
            !find(&walk.collect::<Vec<f64>>()).is_empty()
        });
        let bent = walks.count();
        assert!(bent <= 4, "{bent} of 40 walks were told to bend");
    }

    #[test]
    fn a_growth_that_hardly_changed_is_not_worth_a_word() {
        assert_eq!(find(&bent(400, &[(200, 0.06)], 0.01)), []);
    }
}
