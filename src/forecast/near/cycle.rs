//! The cycle of a series, found without knowing what a step is.
//!
//! Two tests. Usual cycles (a day of hours, a week of days, a year of months …) are tried by a
//! one-way analysis of variance of their phases after a centred moving average; outliers are cut,
//! because one of them can hide any season. Where none of them holds, the autocorrelation of the
//! differences may show a cycle of any length (a car park that closes at night has days of 21
//! readings), even one whose phase drifts.
//!
//! Sources: Schwarzenberg-Czerny 1989, "On the advantage of using analysis of variance for period
//! search"; Kelley 1935, "An unbiased correlation ratio measure" (the share of the variance, adjusted
//! for the number of phases). Candidates, bounds and the choice between cycles are our own.

use crate::forecast::settings::settings;

use super::trend::around;

/// Steps after which a series repeats itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cycle {
    /// Steps of one cycle; 1 where there is none.
    pub(super) steps: usize,
    /// A cycle of cycles: a week of days; equals `steps` where there is none.
    pub(super) long: usize,
}

impl Cycle {
    pub(super) const NONE: Self = Self { steps: 1, long: 1 };

    pub(super) const fn is_some(self) -> bool {
        self.steps > 1
    }

    /// As told by somebody who knows: the shortest, and the longest beside it; none where no
    /// period is longer than a step and fits twice.
    pub(super) fn told(periods: &[usize], n: usize) -> Self {
        let fits = periods.iter().copied().filter(|p| *p > 1 && 2 * p < n);
        fits.clone().min().map_or(Self::NONE, |steps| Self {
            steps,
            long: fits.max().unwrap_or(steps),
        })
    }
}

/// A candidate that the analysis of variance accepts, with the share of the variance it explains.
type Accepted = (usize, f64);

/// Finds the cycle of filled values.
pub(super) fn find(values: &[f64]) -> Cycle {
    let set = &settings().cycle;
    let from = values.len().saturating_sub(set.window);
    let recent = values.get(from..).unwrap_or_default();
    let n = recent.len();
    let explained = |m: usize| variance_explained(recent, m);
    let mut accepted: Vec<Accepted> = set
        .candidates
        .iter()
        .filter_map(|m| {
            let (f, share) = explained(*m)?;
            let many = n >= set.many * *m;
            let need = if many { set.share_many } else { set.share_few };
            (f > set.f && share > need).then_some((*m, share))
        })
        .collect();
    if accepted.is_empty() && n <= set.short {
        // Too short to be sure; seasons are shrunk by what is sure of them.
        let yearly = explained(set.yearly).filter(|(f, _)| *f > set.yearly_f);
        accepted.extend(yearly.map(|(_, share)| (set.yearly, share)));
    }
    let best = accepted.iter().copied().reduce(|best, next| {
        if next.1 > best.1 + set.clearly {
            next
        } else {
            best
        }
    });
    let Some((longest, share)) = best else {
        return by_correlation(recent).map_or(Cycle::NONE, |steps| with_week(steps, n));
    };
    let divides = accepted
        .iter()
        .filter(|(m, own)| longest % m == 0 && *own >= set.part * share);
    let steps = divides.map(|(m, _)| *m).min().unwrap_or(longest);
    // A week that hides its days is seven of them, unless a cycle of another length fills it.
    if steps == longest && set.weeks.contains(&longest) {
        let day = longest / DAYS;
        let other = by_correlation(recent)
            .filter(|p| longest % p == 0 && *p < longest && !day.is_multiple_of(*p));
        return Cycle {
            steps: other.unwrap_or(day),
            long: longest,
        };
    }
    with_week(steps, n)
}

const DAYS: usize = 7;

/// Days have weeks, where there is history for them.
fn with_week(steps: usize, n: usize) -> Cycle {
    let set = &settings().cycle;
    let long = if set.days.contains(&steps) && n >= 2 * DAYS * steps + steps {
        DAYS * steps
    } else {
        steps
    };
    Cycle { steps, long }
}

/// F of the phases and the share of the variance they explain, adjusted for their number; the
/// better one of the values as they are and of the values with outliers cut.
fn variance_explained(values: &[f64], m: usize) -> Option<(f64, f64)> {
    if m < 2 || values.len() < 3 * m {
        return None;
    }
    let mut flat: Vec<f64> = around(values, m).map(|(v, mean)| v - mean).collect();
    let plain = by_phase(&flat, m);
    let mut sizes: Vec<f64> = flat.iter().map(|v| v.abs()).collect();
    let middle = sizes.len() / 2;
    let bound =
        3.0 * crate::stats::MAD_TO_SD * *sizes.select_nth_unstable_by(middle, f64::total_cmp).1;
    if bound <= 0.0 {
        return plain;
    }
    for v in &mut flat {
        *v = v.clamp(-bound, bound);
    }
    let cut = by_phase(&flat, m);
    match (plain, cut) {
        (Some(a), Some(b)) => Some(if b.1 > a.1 { b } else { a }),
        (a, b) => a.or(b),
    }
}

fn by_phase(flat: &[f64], m: usize) -> Option<(f64, f64)> {
    let mut phases = vec![(0.0, 0.0); m];
    let (mut square, mut sum) = (0.0, 0.0);
    for row in flat.chunks(m) {
        for (v, (total, count)) in row.iter().zip(&mut phases) {
            *total += v;
            *count += 1.0;
            square += v * v;
            sum += v;
        }
    }
    if phases.iter().any(|(_, count)| *count < 2.0) {
        return None;
    }
    let n = flat.len() as f64;
    let mean = sum / n;
    let whole = square - n * mean * mean;
    let between: f64 = phases.iter().map(|(t, c)| t * t / c).sum::<f64>() - n * mean * mean;
    let within = (whole - between).max(1e-12 * whole);
    let p = m as f64;
    if whole <= f64::MIN_POSITIVE || n <= p {
        return None;
    }
    let f = (between / (p - 1.0)) / (within / (n - p));
    let share = 1.0 - (within / (n - p)) / (whole / (n - 1.0));
    Some((f, share))
}

/// The first high peak in the autocorrelation of the differences, outliers cut.
fn by_correlation(values: &[f64]) -> Option<usize> {
    let set = &settings().cycle;
    if values.len() < set.correlation_least {
        return None;
    }
    let from = values.len().saturating_sub(set.correlation_window);
    let recent = values.get(from..).unwrap_or_default();
    let mut steps: Vec<f64> = recent
        .windows(2)
        .map(|p| p.iter().rev().copied().reduce(|b, a| b - a).unwrap_or(0.0))
        .collect();
    let mut sizes: Vec<f64> = steps.iter().map(|v| v.abs()).collect();
    let tenth = sizes.len() * 9 / 10;
    let bound = 2.0 * *sizes.select_nth_unstable_by(tenth, f64::total_cmp).1;
    if bound <= 0.0 {
        return None;
    }
    for v in &mut steps {
        *v = v.clamp(-bound, bound);
    }
    let mean = crate::stats::mean(&steps).unwrap_or(0.0);
    for v in &mut steps {
        *v -= mean;
    }
    let whole: f64 = steps.iter().map(|v| v * v).sum();
    let farthest = (steps.len() / 4).min(set.correlation_farthest);
    let correlation: Vec<f64> = (0..=farthest)
        .map(|lag| {
            let later = steps.get(lag..).unwrap_or_default();
            crate::stats::dot(&steps, later) / whole
        })
        .collect();
    let peaks: Vec<(usize, f64)> = correlation
        .windows(3)
        .enumerate()
        .filter_map(|(i, around)| match around {
            [before, own, after] if own > before && own >= after => Some((i + 1, *own)),
            _ => None,
        })
        .filter(|(lag, own)| *lag >= 4 && *own > set.correlation)
        .collect();
    let top = peaks.iter().fold(0.0_f64, |top, (_, own)| top.max(*own));
    peaks
        .into_iter()
        .find(|(_, own)| *own >= 0.8 * top)
        .map(|(lag, _)| lag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(i: usize) -> f64 {
        let mut z = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    }

    fn wave(i: usize, steps: usize) -> f64 {
        (std::f64::consts::TAU * i as f64 / steps as f64).sin()
    }

    #[test]
    fn what_is_told_is_believed_even_that_there_is_none() {
        let both = Cycle {
            steps: 24,
            long: 168,
        };
        assert_eq!(Cycle::told(&[168, 24], 700), both);
        assert_eq!(Cycle::told(&[168, 24], 300).long, 24);
        assert_eq!(Cycle::told(&[1], 700), Cycle::NONE);
    }

    #[test]
    fn hours_show_their_day_and_week() {
        let values: Vec<f64> = (0..700)
            .map(|i| 50.0 + 10.0 * wave(i, 24) + 3.0 * wave(i, 168) + noise(i))
            .collect();
        assert_eq!(
            find(&values),
            Cycle {
                steps: 24,
                long: 168
            }
        );
    }

    #[test]
    fn a_week_that_hides_its_days_is_seven_of_them() {
        let values: Vec<f64> = (0..900)
            .map(|i| 50.0 + 10.0 * wave(i, 168) + noise(i))
            .collect();
        assert_eq!(
            find(&values),
            Cycle {
                steps: 24,
                long: 168
            }
        );
    }

    #[test]
    fn a_cycle_of_odd_length_is_found() {
        let values: Vec<f64> = (0..800).map(|i| (i % 21) as f64 + noise(i)).collect();
        assert_eq!(find(&values).steps, 21);
    }

    #[test]
    fn one_outlier_hides_no_season() {
        let mut values: Vec<f64> = (0..120)
            .map(|i| 10.0 + 3.0 * wave(i, 12) + noise(i))
            .collect();
        values[60] = 1e6;
        assert_eq!(find(&values).steps, 12);
    }

    #[test]
    fn noise_a_walk_and_a_line_have_no_cycle() {
        let noisy: Vec<f64> = (0..600).map(|i| noise(i * i + 7)).collect();
        assert_eq!(find(&noisy), Cycle::NONE);
        let walk: Vec<f64> = noisy
            .iter()
            .scan(0.0, |at, v| {
                *at += v;
                Some(*at)
            })
            .collect();
        assert_eq!(find(&walk), Cycle::NONE);
        let line: Vec<f64> = (0..300).map(f64::from).collect();
        assert_eq!(find(&line), Cycle::NONE);
        assert_eq!(find(&[1.0; 300]), Cycle::NONE);
    }
}
