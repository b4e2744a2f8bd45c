//! How wrong such forecasts were, and so how wide the bands are.
//!
//! Errors of the back-test are taken relative to the size of what was forecast, their mean square
//! is fitted by a + b·steps, and drawn towards that of a (seasonal) random walk the more the fewer
//! origins there are. Bands are quantiles of the errors in units of that fit (split conformal
//! prediction: Lei et al. 2018, "Distribution-free predictive inference for regression"), cut to a
//! range because origins are few. The line, its pull to the walk and the size that errors are taken
//! relative to are our own.

use crate::forecast::interval::{ANCHORS, Reach};
use crate::forecast::settings::settings;
use crate::stats::quantile::quantile_sorted;

use super::{Origin, Past};

/// One error of the back-test.
#[derive(Debug, Clone, Copy)]
struct Missed {
    origin: usize,
    /// Steps ahead, from 1.
    ahead: f64,
    /// In units of the size of what was forecast.
    error: f64,
    /// In the series' unit.
    plain: f64,
}

/// All errors of the back-test, with the fit of their size.
pub(super) struct Errors {
    missed: Vec<Missed>,
    origins: usize,
    level: f64,
    sized: bool,
    walk: Walk,
    fit: Fit,
}

/// Mean square of the error by steps ahead: `base + rise × ahead`, and its quantiles.
#[derive(Debug, Clone, Copy)]
struct Fit {
    base: f64,
    rise: f64,
    reach: [f64; 3],
}

/// Mean square of a (seasonal) random walk: `square` for every `steps` begun.
#[derive(Debug, Clone, Copy)]
struct Walk {
    steps: usize,
    square: f64,
}

impl Errors {
    pub(super) fn of(past: &Past, origins: &[Origin], backs: &[Vec<f64>]) -> Self {
        let sized = past.logs.is_some();
        let level = level(&past.values, past.cycle.steps);
        let mut missed = Vec::new();
        for (k, (origin, forecast)) in origins.iter().zip(backs).enumerate() {
            let own = level_before(past, origin.at);
            let came = past.values.iter().zip(&past.present).skip(origin.at);
            for (j, (f, (v, there))) in forecast.iter().zip(came).enumerate() {
                if *there {
                    let size = if sized { size_of(*f, own) } else { 1.0 };
                    missed.push(Missed {
                        origin: k,
                        ahead: (j + 1) as f64,
                        error: (v - f) / size,
                        plain: v - f,
                    });
                }
            }
        }
        let walk = Walk::of(past, if sized { level } else { 1.0 });
        let fit = Fit::of(&missed, backs.len(), walk, None);
        Self {
            missed,
            origins: backs.len(),
            level,
            sized,
            walk,
            fit,
        }
    }

    /// One standard deviation a step, in the series' unit.
    pub(super) fn sd(&self, mean: &[f64], horizon: usize) -> Vec<f64> {
        let steps = mean.iter().zip(1..=horizon);
        steps
            .map(|(f, j)| {
                let size = if self.sized {
                    size_of(*f, self.level)
                } else {
                    1.0
                };
                self.fit.at(j as f64, self.walk, self.origins) * size
            })
            .collect()
    }

    /// Half the widths of bands, in standard deviations.
    pub(super) fn reach(&self) -> Reach {
        Reach::of(self.fit.reach)
    }

    pub(super) fn mean_absolute(&self) -> f64 {
        let n = self.missed.len().max(1) as f64;
        self.missed.iter().map(|m| m.plain.abs()).sum::<f64>() / n
    }

    /// Coverage of the 80 and 95 % bands, each origin by the errors of the others.
    pub(super) fn coverage(&self) -> (f64, f64) {
        let (mut in80, mut in95) = (0.0, 0.0);
        for origin in 0..self.origins {
            let fit = Fit::of(&self.missed, self.origins - 1, self.walk, Some(origin));
            let [_, r80, r95] = fit.reach;
            for m in self.missed.iter().filter(|m| m.origin == origin) {
                let size = m.error.abs()
                    / fit
                        .at(m.ahead, self.walk, self.origins - 1)
                        .max(f64::MIN_POSITIVE);
                in80 += f64::from(u8::from(size <= r80));
                in95 += f64::from(u8::from(size <= r95));
            }
        }
        let n = self.missed.len().max(1) as f64;
        (in80 / n, in95 / n)
    }
}

impl Fit {
    fn of(missed: &[Missed], origins: usize, walk: Walk, without: Option<usize>) -> Self {
        let set = &settings().near;
        let seen = || missed.iter().filter(move |m| Some(m.origin) != without);
        let (mut n, mut x, mut y) = (0.0, 0.0, 0.0);
        let mut sizes: Vec<f64> = seen().map(|m| m.error.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        let usual = quantile_sorted(&sizes, 0.5).unwrap_or(0.0);
        let bound = if usual > 0.0 {
            set.clip * usual
        } else {
            f64::INFINITY
        };
        // One origin that went wild is no measure of the others.
        let square = |m: &Missed| m.error.abs().min(bound).powi(2);
        for m in seen() {
            n += 1.0;
            x += m.ahead;
            y += square(m);
        }
        if n < 1.0 {
            let reach = [0.6745, 1.2816 * set.alone, 1.96 * set.alone];
            return Self {
                base: 0.0,
                rise: 0.0,
                reach,
            };
        }
        let (mx, my) = (x / n, y / n);
        let (mut xx, mut xy) = (0.0, 0.0);
        for m in seen() {
            xx += (m.ahead - mx) * (m.ahead - mx);
            xy += (m.ahead - mx) * (square(m) - my);
        }
        // Least squares with both not negative: on a border, the other alone.
        let rise = if xx > 0.0 {
            (xy / xx).clamp(0.0, my / mx)
        } else {
            0.0
        };
        let base = my - rise * mx;
        let mut fit = Self {
            base,
            rise,
            reach: [1.0; 3],
        };
        sizes.clear();
        sizes.extend(
            seen().map(|m| m.error.abs() / fit.at(m.ahead, walk, origins).max(f64::MIN_POSITIVE)),
        );
        sizes.sort_by(f64::total_cmp);
        let few = 1.0 + set.few / origins.max(1) as f64;
        let bounds = [(set.reach50), (set.reach80), (set.reach95)];
        for ((reach, anchor), [low, high]) in fit.reach.iter_mut().zip(ANCHORS).zip(bounds) {
            let found = quantile_sorted(&sizes, anchor).unwrap_or(1.0) * few;
            *reach = found.clamp(low, high);
        }
        // A wider band is never the narrower one.
        let [r50, r80, r95] = fit.reach;
        fit.reach = [r50, r80.max(r50), r95.max(r80).max(r50)];
        fit
    }

    /// One standard deviation, in units of what was forecast.
    fn at(&self, ahead: f64, walk: Walk, origins: usize) -> f64 {
        let own = self.base + self.rise * ahead;
        let walked = walk.at(ahead);
        // Nothing is known but the walk.
        if origins == 0 || own <= 0.0 && walked > 0.0 && origins < 2 {
            return walked.sqrt();
        }
        let doubt = 2.0 / (origins as f64 + 2.0);
        ((1.0 - doubt) * own + doubt * walked.min(4.0 * own)).sqrt()
    }
}

impl Walk {
    fn of(past: &Past, size: f64) -> Self {
        let steps = past.cycle.steps;
        let recent = past.values.len().saturating_sub(400.max(4 * steps));
        let values = past.values.get(recent..).unwrap_or_default();
        let later = values.get(steps.min(values.len())..).unwrap_or_default();
        let squares = values.iter().zip(later).map(|(a, b)| (b - a) * (b - a));
        let (sum, count) = squares.fold((0.0, 0.0), |(s, c), d| (s + d, c + 1.0));
        let square = if count > 0.0 {
            sum / count / (size * size).max(f64::MIN_POSITIVE)
        } else {
            0.0
        };
        Self { steps, square }
    }

    fn at(self, ahead: f64) -> f64 {
        self.square * (ahead / self.steps as f64).ceil()
    }
}

/// Between the forecast's own size and the level: noise grows with what is measured, but a night
/// near zero is not sure to be near zero.
fn size_of(forecast: f64, level: f64) -> f64 {
    let own = settings().near.own_size;
    let f = forecast.abs().max(0.02 * level);
    (level.powf(1.0 - own) * f.powf(own)).max(f64::MIN_POSITIVE)
}

fn level(values: &[f64], steps: usize) -> f64 {
    let recent = values.len().saturating_sub(steps.max(7));
    let recent = values.get(recent..).unwrap_or_default();
    recent.iter().map(|v| v.abs()).sum::<f64>() / recent.len().max(1) as f64
}

fn level_before(past: &Past, at: usize) -> f64 {
    level(past.values.get(..at).unwrap_or_default(), past.cycle.steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STILL: Walk = Walk {
        steps: 1,
        square: 0.0,
    };

    /// Errors of evenly spread sizes up to `size`, ten steps at each origin.
    fn missed(origins: usize, size: impl Fn(usize) -> f64) -> Vec<Missed> {
        (0..origins * 10)
            .map(|i| {
                let error = size(i / 10) * ((i * 7) % 10 + 1) as f64 / 10.0;
                Missed {
                    origin: i / 10,
                    ahead: (i % 10 + 1) as f64,
                    error,
                    plain: error,
                }
            })
            .collect()
    }

    #[test]
    fn one_origin_that_went_wild_is_no_measure_of_the_others() {
        let usual = Fit::of(&missed(12, |_| 1.0), 12, STILL, None);
        let wild = missed(12, |origin| if origin == 5 { 1e4 } else { 1.0 });
        let wild = Fit::of(&wild, 12, STILL, None);
        let (a, b) = (usual.at(5.0, STILL, 12), wild.at(5.0, STILL, 12));
        // Unclipped it would be near 1e4 / sqrt(12).
        assert!(b < 20.0 * a, "{a} {b}");
    }

    #[test]
    fn bands_nest_whatever_was_seen() {
        for few in [1, 2, 3, 12] {
            for size in [0.0, 1.0, 1e300] {
                let [r50, r80, r95] = Fit::of(&missed(few, |_| size), few, STILL, None).reach;
                assert!(r50 <= r80 && r80 <= r95 && r95.is_finite(), "{few} {size}");
            }
        }
    }

    #[test]
    fn without_a_back_test_the_walk_is_all_that_is_known() {
        let walk = Walk {
            steps: 2,
            square: 9.0,
        };
        let fit = Fit::of(&[], 0, walk, None);
        assert!((fit.at(1.0, walk, 0) - 3.0).abs() < 1e-12);
        assert!((fit.at(3.0, walk, 0) - 18.0_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn an_origin_that_erred_more_than_the_others_lies_outside_their_bands() {
        let walk = STILL;
        let errors = |missed: Vec<Missed>| Errors {
            fit: Fit::of(&missed, 12, walk, None),
            missed,
            origins: 12,
            level: 1.0,
            sized: false,
            walk,
        };
        let (even80, even95) = errors(missed(12, |_| 1.0)).coverage();
        assert!(even80 > 0.75 && even95 > 0.9, "{even80} {even95}");
        let uneven = errors(missed(12, |origin| if origin < 6 { 1.0 } else { 50.0 }));
        let (uneven80, _) = uneven.coverage();
        assert!(uneven80 < even80, "{uneven80} {even80}");
    }
}
