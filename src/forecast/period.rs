//! Seasons: which periods a series really has, and their shapes.
//!
//! A candidate is tested by a one-way analysis of variance of its phases on the series with its
//! trend taken off (a centred moving average of one period, which removes that season exactly:
//! Kendall and Stuart 1966, "The advanced theory of statistics" vol. 3, section 46). The strongest
//! is taken out and the others are tested again on what is left. Sources of the test:
//! Schwarzenberg-Czerny 1989, "On the advantage of using analysis of variance for period search";
//! Kelley 1935, "An unbiased correlation ratio measure". Shapes are medians by phase, and the choice
//! between amounts and factors by what is left rough is our own.

use crate::stats::{mean, median};

use super::settings::settings;

/// Windows that are summed side by side, so that the processor's wide registers are used.
const ABREAST: usize = 8;

/// By this share of the variance a longer period must beat a shorter one.
const CLEARLY: f64 = 0.02;

/// Seasons found, on top of each other.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Seasons {
    /// Strongest first.
    parts: Vec<Part>,
    /// Shapes are factors (kept as logarithms), not amounts.
    multiplies: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Part {
    period: usize,
    /// One a phase, mean 0; phase 0 is the first step of the series it was found on.
    shape: Vec<f64>,
}

impl Seasons {
    /// Periods in steps, strongest first.
    pub(super) fn periods(&self) -> Vec<usize> {
        self.parts.iter().map(|part| part.period).collect()
    }

    /// The series without its seasons.
    pub(super) fn remove(&self, values: &[f64]) -> Vec<f64> {
        let without = |(i, v): (usize, &f64)| {
            if self.multiplies {
                v / self.at(i).exp()
            } else {
                v - self.at(i)
            }
        };
        values.iter().enumerate().map(without).collect()
    }

    /// `base` at step `i` with the seasons put on.
    pub(super) fn put_on(&self, base: f64, i: usize) -> f64 {
        if self.multiplies {
            base * self.at(i).exp()
        } else {
            base + self.at(i)
        }
    }

    fn at(&self, i: usize) -> f64 {
        let shapes = self.parts.iter();
        shapes
            .filter_map(|part| part.shape.get(i % part.period.max(1)))
            .sum()
    }
}

/// Finds the seasons of a series with gaps, added or multiplied, whichever leaves less behind.
pub(super) fn find(values: &[f64], candidates: &[usize]) -> Seasons {
    let added = decompose(values, candidates);
    let rough = roughness(&added.remove(values));
    let positive = values.iter().all(|v| !v.is_finite() || *v > 0.0);
    if added.parts.is_empty() || !positive {
        return added;
    }
    let logs: Vec<f64> = values.iter().map(|v| v.ln()).collect();
    let multiplied = Seasons {
        multiplies: true,
        ..decompose(&logs, candidates)
    };
    if multiplied.parts.is_empty() || roughness(&multiplied.remove(values)) >= rough {
        added
    } else {
        multiplied
    }
}

/// How uneven a series is from step to step: what a season that was missed leaves behind.
fn roughness(values: &[f64]) -> f64 {
    let steps = values.windows(2).filter_map(|pair| match pair {
        [a, b] if a.is_finite() && b.is_finite() => Some((b - a).abs()),
        _ => None,
    });
    let (sum, count) = steps.fold((0.0, 0.0), |(s, c), d| (s + d, c + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}

fn decompose(values: &[f64], candidates: &[usize]) -> Seasons {
    let set = &settings().season;
    let mut left = values.to_vec();
    let mut parts: Vec<Part> = Vec::new();
    while parts.len() < set.max_seasons {
        let best = candidates
            .iter()
            .filter(|p| parts.iter().all(|part| part.period != **p))
            .filter(|p| values.len() as f64 >= set.min_cycles * **p as f64)
            .filter_map(|p| test(&left, *p))
            // A multiple of the true period explains as much with more phases: candidates rise, and
            // a longer one must explain clearly more.
            .reduce(|best, next| {
                if next.1 > best.1 + CLEARLY {
                    next
                } else {
                    best
                }
            });
        let Some((part, _)) = best else { break };
        for (i, v) in left.iter_mut().enumerate() {
            *v -= part.shape.get(i % part.period).copied().unwrap_or(0.0);
        }
        parts.push(part);
    }
    Seasons {
        parts,
        multiplies: false,
    }
}

/// The season of one period and its share of the variance, adjusted for its number of phases, if
/// it is there at all.
fn test(values: &[f64], period: usize) -> Option<(Part, f64)> {
    let set = &settings().season;
    let trend = moving_average(values, period);
    let mut phases: Vec<Vec<f64>> = vec![Vec::new(); period];
    for (i, (v, t)) in values.iter().zip(&trend).enumerate() {
        if let (Some(bucket), true) = (phases.get_mut(i % period), (v - t).is_finite()) {
            bucket.push(v - t);
        }
    }
    if phases.iter().any(|bucket| bucket.len() < 2) {
        return None;
    }
    let all: Vec<f64> = phases.iter().flatten().copied().collect();
    let middle = mean(&all).ok()?;
    let total: f64 = all.iter().map(|v| (v - middle).powi(2)).sum();
    let within: f64 = phases
        .iter()
        .filter_map(|bucket| {
            let own = mean(bucket).ok()?;
            Some(bucket.iter().map(|v| (v - own).powi(2)).sum::<f64>())
        })
        .sum();
    let (n, p) = (all.len() as f64, period as f64);
    // Rounding alone leaves about this much of a series without any season.
    let size: f64 = values.iter().filter(|v| v.is_finite()).map(|v| v * v).sum();
    if total <= 1e-20 * size || n <= p {
        return None;
    }
    let f = ((total - within) / (p - 1.0)) / (within / (n - p)).max(1e-12 * total);
    let explained = 1.0 - (within / (n - p)) / (total / (n - 1.0));
    if f < set.min_f || explained < set.min_share {
        return None;
    }
    let typical: Vec<f64> = phases.iter().map(|b| median(b).unwrap_or(0.0)).collect();
    let off = mean(&typical).unwrap_or(0.0);
    let shape = typical.iter().map(|v| v - off).collect();
    Some((Part { period, shape }, explained))
}

/// Centred moving average of one period, half weights at the ends of an even one; NaN where the
/// window is not whole in time or is mostly gaps.
///
/// Gaps are stepped over by the mean of what is there, phase by phase being out of balance only a
/// little.
fn moving_average(values: &[f64], period: usize) -> Vec<f64> {
    let half = period / 2;
    let n = values.len();
    let edge = if period.is_multiple_of(2) { 0.5 } else { 1.0 };
    let mut averages = vec![f64::NAN; n];
    // The last windows abreast may look beyond the end, at nothing.
    let beyond = || std::iter::repeat_n(0.0, ABREAST);
    let known = |v: &f64| if v.is_finite() { *v } else { 0.0 };
    let known: Vec<f64> = values.iter().map(known).chain(beyond()).collect();
    let there = |v: &f64| f64::from(u8::from(v.is_finite()));
    let there: Vec<f64> = values.iter().map(there).chain(beyond()).collect();
    let whole = averages.get_mut(half..n.saturating_sub(half));
    for (k, averages) in whole.unwrap_or_default().chunks_mut(ABREAST).enumerate() {
        let first = k * ABREAST;
        let (mut sums, mut weights) = ([0.0; ABREAST], [0.0; ABREAST]);
        for step in 0..=2 * half {
            let w = if step == 0 || step == 2 * half {
                edge
            } else {
                1.0
            };
            let reach = first + step..first + step + ABREAST;
            let known = known.get(reach.clone()).unwrap_or_default();
            let there = there.get(reach).unwrap_or_default();
            let totals = sums.iter_mut().zip(&mut weights);
            for ((sum, weight), (v, there)) in totals.zip(known.iter().zip(there)) {
                *sum += w * v;
                *weight += w * there;
            }
        }
        for (average, (sum, weight)) in averages.iter_mut().zip(sums.iter().zip(&weights)) {
            if *weight >= 0.6 * period as f64 {
                *average = sum / weight;
            }
        }
    }
    averages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(i: usize) -> f64 {
        ((i * 7919 + 13) % 101) as f64 / 101.0 - 0.5
    }

    const DAYS: [usize; 5] = [7, 14, 28, 30, 31];

    #[test]
    fn a_week_is_found_under_growth_and_noise() {
        let week = [0.0, 1.0, 2.0, 1.0, 0.0, -4.0, -5.0];
        let values: Vec<f64> = (0..120)
            .map(|i| 100.0 + 0.5 * i as f64 + week[i % 7] + 0.5 * noise(i))
            .collect();
        let seasons = find(&values, &DAYS);
        assert_eq!(seasons.periods().first(), Some(&7));
        let left = seasons.remove(&values);
        for (i, v) in left.iter().enumerate() {
            assert!(
                (v - 100.0 + 5.0 / 7.0 - 0.5 * i as f64).abs() < 1.0,
                "{i} {v}"
            );
            assert!((seasons.put_on(*v, i) - values[i]).abs() < 1e-9);
        }
    }

    #[test]
    fn a_monthly_saw_tooth_is_found() {
        let values: Vec<f64> = (0..240)
            .map(|i| 50.0 + (i % 30) as f64 + noise(i))
            .collect();
        assert_eq!(find(&values, &DAYS).periods().first(), Some(&30));
    }

    #[test]
    fn noise_and_a_bare_line_have_no_season() {
        let values: Vec<f64> = (0..200).map(|i| noise(i * i)).collect();
        assert_eq!(find(&values, &DAYS).periods(), Vec::<usize>::new());
        let line: Vec<f64> = (0..200).map(|i| 0.1 * f64::from(i)).collect();
        assert_eq!(find(&line, &DAYS).periods(), Vec::<usize>::new());
    }

    #[test]
    fn a_season_that_grows_with_the_level_multiplies() {
        let week = [1.0, 1.1, 1.2, 1.1, 1.0, 0.8, 0.8];
        let values: Vec<f64> = (0..210)
            .map(|i| 100.0 * (0.01 * i as f64).exp() * week[i % 7])
            .collect();
        let seasons = find(&values, &DAYS);
        assert!(seasons.multiplies);
        assert_eq!(seasons.periods(), [7]);
    }
}
