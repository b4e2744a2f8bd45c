//! What a range of samples comes to: rates, and everything `…_over_time`.
//!
//! For: samples of one series and one window. Not for: finding the windows (`eval`). Samples
//! ascend in time and hold no stale markers.
//!
//! **Extrapolation.** `rate`, `increase` and `delta` speak of the whole range, though the first and
//! last sample lie inside of it. What was seen is scaled up from the time between them: by the time
//! that is left to each end of the range, if that is less than 1.1 times the mean distance of
//! samples, else by half of that distance. A counter is not traced back to below zero. Source: the
//! Prometheus manual, "Functions", `rate`, version 2.42; held to its program by a test.

use std::cmp::Ordering;

use super::sums;
use crate::model::samples::Samples;

/// A function of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    Rate,
    Increase,
    Delta,
    Irate,
    Idelta,
    Avg,
    Min,
    Max,
    Sum,
    Count,
    Last,
    Present,
    Stddev,
    Stdvar,
    Quantile,
    Changes,
    Resets,
    Deriv,
    PredictLinear,
}

impl Fold {
    /// All, by the names that expressions use.
    const NAMES: [(&'static str, Self); 19] = [
        ("rate", Self::Rate),
        ("increase", Self::Increase),
        ("delta", Self::Delta),
        ("irate", Self::Irate),
        ("idelta", Self::Idelta),
        ("avg_over_time", Self::Avg),
        ("min_over_time", Self::Min),
        ("max_over_time", Self::Max),
        ("sum_over_time", Self::Sum),
        ("count_over_time", Self::Count),
        ("last_over_time", Self::Last),
        ("present_over_time", Self::Present),
        ("stddev_over_time", Self::Stddev),
        ("stdvar_over_time", Self::Stdvar),
        ("quantile_over_time", Self::Quantile),
        ("changes", Self::Changes),
        ("resets", Self::Resets),
        ("deriv", Self::Deriv),
        ("predict_linear", Self::PredictLinear),
    ];

    /// The function of a name.
    pub(super) fn named(name: &str) -> Option<Self> {
        let found = Self::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, fold)| *fold)
    }

    /// Whether it looks at every sample of a window; others look at its ends alone.
    pub(super) const fn looks_at_all(self) -> bool {
        !matches!(
            self,
            Self::Rate
                | Self::Increase
                | Self::Delta
                | Self::Irate
                | Self::Idelta
                | Self::Count
                | Self::Last
                | Self::Present
        )
    }

    /// Whether a reset must be known of.
    pub(super) const fn is_of_counters(self) -> bool {
        matches!(self, Self::Rate | Self::Increase)
    }
}

/// A window of one series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window<'s> {
    /// Its samples; not empty.
    pub(super) samples: Samples<'s>,
    /// What a counter had reached at its resets within the window, added up.
    pub(super) before_resets: f64,
    /// First instant, in ms.
    pub(super) from: i64,
    /// Last instant, in ms.
    pub(super) until: i64,
    /// The function's parameter, where it has one.
    pub(super) parameter: f64,
}

impl Window<'_> {
    fn values(&self) -> impl ExactSizeIterator<Item = f64> + Clone {
        self.samples.values().iter().copied()
    }

    fn pairs(&self) -> impl Iterator<Item = (f64, f64)> {
        let next = self.values().skip(1);
        self.values().zip(next)
    }

    /// What the window comes to; `None` where there are too few samples.
    pub(super) fn fold(&self, fold: Fold) -> Option<f64> {
        let count = self.samples.len();
        Some(match fold {
            Fold::Rate | Fold::Increase | Fold::Delta => return self.growth(fold),
            Fold::Irate | Fold::Idelta => return self.latest(fold),
            Fold::Avg => sums::mean(self.samples.values()),
            Fold::Min => sums::least(self.values()),
            Fold::Max => sums::largest(self.values()),
            Fold::Sum => sums::total(self.samples.values()),
            Fold::Count => count as f64,
            Fold::Last => self.samples.last()?.1,
            Fold::Present => 1.0,
            Fold::Stddev => sums::variance(self.values()).sqrt(),
            Fold::Stdvar => sums::variance(self.values()),
            Fold::Quantile => {
                let mut values: Vec<f64> = self.values().collect();
                sums::quantile(self.parameter, &mut values)
            }
            Fold::Changes => {
                let differ = |(a, b): &(f64, f64)| {
                    a.partial_cmp(b).is_none_or(Ordering::is_ne) && !(a.is_nan() && b.is_nan())
                };
                self.pairs().filter(differ).count() as f64
            }
            Fold::Resets => self.pairs().filter(|(a, b)| b < a).count() as f64,
            Fold::Deriv => {
                let first = self.samples.first()?.0;
                return (count > 1).then(|| self.line(first).0);
            }
            Fold::PredictLinear => {
                let (slope, level) = (count > 1).then(|| self.line(self.until))?;
                slope * self.parameter + level
            }
        })
    }

    /// Growth over the whole range; see the module.
    fn growth(&self, fold: Fold) -> Option<f64> {
        let (first, last) = self.samples.first().zip(self.samples.last())?;
        if self.samples.len() < 2 {
            return None;
        }
        let mut grown = last.1 - first.1;
        if fold.is_of_counters() {
            grown += self.before_resets;
        }
        let seconds = |from: i64, until: i64| (until - from) as f64 / 1_000.0;
        let seen = seconds(first.0, last.0);
        let apart = seen / (self.samples.len() - 1) as f64;
        let mut lead = seconds(self.from, first.0);
        if fold.is_of_counters() && grown > 0.0 && first.1 >= 0.0 {
            // Where it would have been zero.
            lead = lead.min(seen * (first.1 / grown));
        }
        let reach = |gap: f64| if gap < apart * 1.1 { gap } else { apart / 2.0 };
        let all = seen + reach(lead) + reach(seconds(last.0, self.until));
        let mut factor = all / seen;
        if fold == Fold::Rate {
            factor /= seconds(self.from, self.until);
        }
        Some(grown * factor)
    }

    /// Between the last two samples alone.
    fn latest(&self, fold: Fold) -> Option<f64> {
        let before = self.samples.get(self.samples.len().checked_sub(2)?)?;
        let last = self.samples.last()?;
        if fold == Fold::Idelta {
            return Some(last.1 - before.1);
        }
        let grown = if last.1 < before.1 {
            last.1
        } else {
            last.1 - before.1
        };
        let seconds = (last.0 - before.0) as f64 / 1_000.0;
        (seconds > 0.0).then(|| grown / seconds)
    }

    /// Slope in 1/s of the least-squares line, and its level at `at`.
    fn line(&self, at: i64) -> (f64, f64) {
        let first = self.values().next().unwrap_or(f64::NAN);
        if self.values().all(|value| value.total_cmp(&first).is_eq()) {
            return if first.is_infinite() {
                (f64::NAN, f64::NAN)
            } else {
                (0.0, first)
            };
        }
        let xs = || {
            self.samples
                .iter()
                .map(move |(t, _)| (t - at) as f64 / 1_000.0)
        };
        let count = self.samples.len() as f64;
        let (x, y) = (sums::sum(xs()), sums::sum(self.values()));
        let xy = sums::sum(xs().zip(self.values()).map(|(x, y)| x * y));
        let xx = sums::sum(xs().map(|x| x * x));
        let slope = (xy - x * y / count) / (xx - x * x / count);
        (slope, y / count - slope * x / count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the first minute comes to, of a counter that had reached so much at its resets.
    fn after_resets(before_resets: f64, samples: &[(i64, f64)], fold: Fold) -> Option<f64> {
        let (times, values): (Vec<i64>, Vec<f64>) = samples.iter().copied().unzip();
        let window = Window {
            samples: Samples::of(&times, &values),
            before_resets,
            from: 0,
            until: 60_000,
            parameter: 100.0,
        };
        window.fold(fold)
    }

    fn fold(samples: &[(i64, f64)], fold: Fold) -> Option<f64> {
        after_resets(0.0, samples, fold)
    }

    #[test]
    fn growth_reaches_to_the_ends_that_are_near() {
        // 50 s seen with 10 s between samples; 5 s are left at either end: all 60 s are spoken of.
        let samples: Vec<(i64, f64)> = (0..6)
            .map(|i| (5_000 + i * 10_000, 100.0 + i as f64))
            .collect();
        assert!((fold(&samples, Fold::Increase).unwrap() - 6.0).abs() < 1e-12);
        assert!((fold(&samples, Fold::Rate).unwrap() - 0.1).abs() < 1e-12);
    }

    #[test]
    fn growth_reaches_half_a_distance_to_an_end_that_is_far() {
        let samples = [(20_000, 100.0), (30_000, 101.0)];
        // 10 s seen; 20 s before and 30 s after are too far: 5 s are added at either end.
        assert_eq!(fold(&samples, Fold::Delta), Some(2.0));
    }

    #[test]
    fn a_counter_is_not_traced_below_zero() {
        let samples = [(9_000, 1.0), (19_000, 11.0), (60_000, 52.0)];
        // It was zero 1 s before the first sample, not 9 s.
        assert_eq!(fold(&samples, Fold::Increase), Some(52.0));
        assert_eq!(fold(&samples, Fold::Delta), Some(60.0));
    }

    #[test]
    fn a_reset_counts_from_zero() {
        let samples = [(0, 10.0), (30_000, 4.0), (60_000, 6.0)];
        assert_eq!(after_resets(10.0, &samples, Fold::Increase), Some(6.0));
        assert_eq!(after_resets(10.0, &samples, Fold::Delta), Some(-4.0));
        assert_eq!(fold(&samples, Fold::Resets), Some(1.0));
        assert_eq!(fold(&samples[..2], Fold::Irate), Some(4.0 / 30.0));
    }

    #[test]
    fn one_sample_has_no_growth_and_no_slope() {
        let one = [(0, 1.0)];
        for of in [Fold::Rate, Fold::Irate, Fold::Deriv, Fold::PredictLinear] {
            assert_eq!(fold(&one, of), None);
        }
    }

    #[test]
    fn a_straight_line_is_found_and_carried_on() {
        let samples: Vec<(i64, f64)> = (0..7).map(|i| (i * 10_000, 5.0 + i as f64)).collect();
        assert!((fold(&samples, Fold::Deriv).unwrap() - 0.1).abs() < 1e-12);
        assert!((fold(&samples, Fold::PredictLinear).unwrap() - 21.0).abs() < 1e-9);
        let flat = [(0, 3.0), (10_000, 3.0)];
        assert_eq!(fold(&flat, Fold::Deriv), Some(0.0));
    }

    #[test]
    fn nan_after_nan_is_no_change() {
        let samples = [(0, 1.0), (1, f64::NAN), (2, f64::NAN), (3, 1.0), (4, 1.0)];
        assert_eq!(fold(&samples, Fold::Changes), Some(2.0));
    }
}
