//! What each method got right, and what that makes it weigh.
//!
//! Errors are compared with those of the naive forecast, origin by origin, so that one at which all
//! went wrong does not decide alone; methods far behind the best are dropped, the others weigh prior × (relative error)^-power, and the forecast is the mean
//! of the middle of their weighted distribution: between mean and median, so that one method that
//! runs away moves nothing. Sources: Bates and Granger 1969, "The combination of forecasts"; Jose
//! and Winkler 2008, "Simple robust averages of forecasts"; Davydenko and Fildes 2013, "Measuring
//! forecasting accuracy: the case of judgmental adjustments to SKU-level demand forecasts" (the
//! geometric mean of relative errors).

use crate::forecast::settings::settings;

use super::error::Errors;
use super::{Near, Origin, Past, Told};

/// Everything that was told, beside what came.
pub(super) struct Trial {
    origins: Vec<Origin>,
    told: Vec<Told>,
    /// Sum of absolute errors and count by method and origin; none where it did not apply.
    losses: Vec<Vec<Option<(f64, f64)>>>,
}

impl Trial {
    pub(super) fn new(past: &Past, origins: &[Origin], mut told: Vec<Told>) -> Self {
        for forecast in told.iter_mut().flat_map(|t| &mut t.forecasts) {
            *forecast = forecast.take().and_then(sound);
        }
        told.retain(|t| matches!(t.forecasts.last(), Some(Some(_))));
        let before = origins.len().saturating_sub(1);
        let loss = |forecast: &Option<Vec<f64>>, origin: &Origin| {
            let forecast = forecast.as_ref()?;
            let came = past.values.iter().zip(&past.present).skip(origin.at);
            let (mut sum, mut count) = (0.0, 0.0);
            for (f, (v, there)) in forecast.iter().zip(came) {
                if *there {
                    sum += (f - v).abs();
                    count += 1.0;
                }
            }
            sum.is_finite().then_some((sum, count))
        };
        let losses = told
            .iter()
            .map(|t| {
                t.forecasts
                    .iter()
                    .zip(origins)
                    .take(before)
                    .map(|(f, o)| loss(f, o))
                    .collect()
            })
            .collect();
        Self {
            origins: origins.to_vec(),
            told,
            losses,
        }
    }

    fn before(&self) -> usize {
        self.origins.len().saturating_sub(1)
    }

    /// Errors relative to the naive forecast: the geometric mean over the origins at which both
    /// applied.
    fn skills(&self) -> Vec<Option<f64>> {
        let even = settings().near.even;
        let naive = self.told.iter().position(|t| t.name == "naive");
        let naive = naive.and_then(|i| self.losses.get(i));
        // Where no value came after an origin, nobody was tried.
        let came = naive.map(|losses| losses.iter().flatten().filter(|(_, came)| *came > 0.0));
        let tried = came.map_or(0, Iterator::count);
        self.losses
            .iter()
            .map(|own| {
                let both: Vec<(f64, f64)> = own
                    .iter()
                    .zip(naive?)
                    .filter_map(|(a, b)| Some((a.as_ref()?, b.as_ref()?)))
                    .filter(|(_, (_, came))| *came > 0.0)
                    .map(|(a, b)| (a.0, b.0))
                    .collect();
                // A method that applies at few origins was tried on easier ones, or harder.
                if both.is_empty() || 2 * both.len() < tried {
                    return None;
                }
                let count = both.len() as f64;
                // Where the naive forecast is all but right, a ratio says nothing.
                let little = even * both.iter().map(|(_, b)| b).sum::<f64>() / count + TINY;
                let logs = both.iter().map(|(a, b)| ((a + little) / (b + little)).ln());
                Some((logs.sum::<f64>() / count).exp())
            })
            .collect()
    }

    fn weights(&self, cycles: usize) -> Vec<f64> {
        let set = &settings().near;
        let skills = self.skills();
        let best = skills
            .iter()
            .flatten()
            .copied()
            .fold(f64::INFINITY, f64::min);
        let tried = best.is_finite();
        let prior = |t: &Told| {
            let own = settings().near_prior.get(t.name).copied().unwrap_or(1.0);
            // Regressions on cycles are the surer the more of them there are.
            let many = (cycles as f64 / set.many_cycles as f64).powi(2);
            if t.by_cycle {
                own * many.clamp(1.0, set.many_factor)
            } else {
                own
            }
        };
        let given: Vec<f64> = self
            .told
            .iter()
            .zip(&skills)
            .map(|(t, skill)| match skill {
                Some(skill) if *skill <= best * set.drop => prior(t),
                None if !tried => prior(t),
                _ => 0.0,
            })
            .collect();
        let earned = given
            .iter()
            .zip(&skills)
            .map(|(p, s)| p * s.unwrap_or(1.0).max(1e-6).powf(-set.power));
        let earned: Vec<f64> = earned.collect();
        let (all_given, all_earned) = (given.iter().sum::<f64>(), earned.iter().sum::<f64>());
        let mix = |(g, e): (&f64, &f64)| {
            set.shrink * g / all_given.max(TINY) + (1.0 - set.shrink) * e / all_earned.max(TINY)
        };
        given.iter().zip(&earned).map(mix).collect()
    }

    /// The forecast at one origin.
    fn combined(&self, origin: usize, weights: &[f64]) -> Vec<f64> {
        let ahead = self.origins.get(origin).map_or(0, |o| o.ahead);
        let said: Vec<(&[f64], f64)> = self
            .told
            .iter()
            .zip(weights)
            .filter(|(_, w)| **w > 0.0)
            .filter_map(|(t, w)| Some((t.forecasts.get(origin)?.as_deref()?, *w)))
            .collect();
        let mut column: Vec<(f64, f64)> = Vec::with_capacity(said.len());
        (0..ahead)
            .map(|j| {
                column.clear();
                column.extend(said.iter().filter_map(|(f, w)| Some((*f.get(j)?, *w))));
                middle(&mut column)
            })
            .collect()
    }

    pub(super) fn near(&self, past: &Past, horizon: usize) -> Near {
        let weights = self.weights(past.values.len() / past.cycle.steps.max(1));
        let mean = self.combined(self.before(), &weights);
        let backs: Vec<Vec<f64>> = (0..self.before())
            .map(|i| self.combined(i, &weights))
            .collect();
        let errors = Errors::of(past, &self.origins, &backs);
        let naive = self
            .told
            .iter()
            .position(|t| t.name == "naive")
            .and_then(|i| self.losses.get(i));
        let naive = naive.map_or((0.0, 0.0), |losses| {
            losses
                .iter()
                .flatten()
                .fold((0.0, 0.0), |(s, c), (sum, count)| (s + sum, c + count))
        });
        let methods = self.told.iter().zip(&weights).filter_map(|(told, weight)| {
            let forecast = told.forecasts.last()?.clone()?;
            Some((told.name, *weight, forecast))
        });
        let methods = methods.collect();
        let mut shares: Vec<(&'static str, f64)> =
            self.told.iter().map(|t| t.name).zip(weights).collect();
        shares.retain(|(_, w)| *w > 0.0);
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        let periods = match past.cycle {
            c if !c.is_some() => Vec::new(),
            c if c.long > c.steps => vec![c.steps, c.long],
            c => vec![c.steps],
        };
        Near {
            sd: errors.sd(&mean, horizon),
            reach: errors.reach(),
            coverage: errors.coverage(),
            errors: (
                errors.mean_absolute(),
                if naive.1 > 0.0 {
                    naive.0 / naive.1
                } else {
                    0.0
                },
            ),
            origins: self.before(),
            mean,
            shares,
            methods,
            periods,
        }
    }
}

const TINY: f64 = 1e-12;

/// A forecast as far as it is of use: nothing where it is no number, and never beyond a thousand
/// times the past, which is scaled to 1.
fn sound(mut forecast: Vec<f64>) -> Option<Vec<f64>> {
    const REACH: f64 = 1e3;
    for v in &mut forecast {
        *v = v.clamp(-REACH, REACH);
    }
    forecast.iter().all(|v| !v.is_nan()).then_some(forecast)
}

/// Mean of a weighted distribution between two of its quantiles.
fn middle(column: &mut [(f64, f64)]) -> f64 {
    let set = &settings().near;
    column.sort_by(|a, b| a.0.total_cmp(&b.0));
    let whole: f64 = column.iter().map(|(_, w)| w).sum();
    let (low, high) = (set.trim * whole, (1.0 - set.trim) * whole);
    let (mut passed, mut sum, mut inside) = (0.0_f64, 0.0, 0.0);
    for (v, w) in column.iter() {
        let share = ((passed + w).min(high) - passed.max(low)).max(0.0);
        sum += v * share;
        inside += share;
        passed += w;
    }
    if inside > 0.0 {
        sum / inside
    } else {
        column.first().map_or(0.0, |(v, _)| *v)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::near::Known;

    /// A saw of 1 and 3, forecast at four origins as if each method were wrong by so much.
    fn trial(methods: &[(&'static str, f64)]) -> (Past, Trial) {
        let values: Vec<f64> = (0..40).map(|i| 1.0 + 2.0 * f64::from(i % 2)).collect();
        let known = Known {
            step: None,
            periods: &[1],
        };
        let past = Past::of(&values, known);
        let origins: Vec<Origin> = [25, 30, 35, 40].map(|at| Origin { at, ahead: 5 }).to_vec();
        let said = |wrong: f64, at: usize| {
            let ahead = (at..at + 5).map(|i| 1.0 + 2.0 * (i % 2) as f64 + wrong);
            Some(ahead.collect())
        };
        let told = methods.iter().map(|(name, wrong)| Told {
            name,
            by_cycle: false,
            forecasts: origins.iter().map(|o| said(*wrong, o.at)).collect(),
        });
        let told = told.collect();
        let trial = Trial::new(&past, &origins, told);
        (past, trial)
    }

    #[test]
    fn the_better_weighs_more_and_what_is_far_behind_nothing() {
        let (_, trial) = trial(&[("naive", 0.6), ("ses", 0.5), ("holt", 40.0)]);
        let weights = trial.weights(1);
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(weights[1] > weights[0] && weights[0] > 0.0, "{weights:?}");
        assert!(weights[2].abs() < 1e-12, "{weights:?}");
    }

    #[test]
    fn one_origin_at_which_all_went_wrong_does_not_decide() {
        let (_, mut trial) = trial(&[("naive", 0.6), ("ses", 0.1)]);
        // Errors of 30 in place of 0.1; the sum alone would be seventeen times the naive one's.
        trial.losses[1][0] = Some((150.0, 5.0));
        let skill = trial.skills()[1].unwrap();
        assert!((0.8..1.5).contains(&skill), "{skill}");
    }

    #[test]
    fn an_origin_after_which_nothing_came_says_nothing() {
        let (_, mut trial) = trial(&[("naive", 0.6), ("ses", 0.3)]);
        let before = trial.skills()[1].unwrap();
        for losses in &mut trial.losses {
            losses[0] = Some((0.0, 0.0));
        }
        assert!((trial.skills()[1].unwrap() - before).abs() < 1e-9);
    }

    #[test]
    fn regressions_on_cycles_weigh_more_the_more_cycles_there_are() {
        let (_, mut trial) = trial(&[("ses", 0.5), ("lags", 0.5)]);
        trial.told[1].by_cycle = true;
        for (cycles, wanted) in [(2, 1.0), (10, 1.0), (20, 4.0), (100, 5.0)] {
            let weights = trial.weights(cycles);
            let ratio = weights[1] / weights[0];
            assert!((ratio - wanted).abs() < 1e-9, "{cycles}: {ratio}");
        }
    }

    #[test]
    fn a_method_without_a_finite_future_is_not_heard() {
        let (past, trial) = trial(&[("naive", 0.5), ("ses", f64::NAN)]);
        let near = trial.near(&past, 5);
        assert_eq!(near.shares.len(), 1);
        assert!(near.mean.iter().all(|v| v.is_finite()));
        assert!((near.errors.0 - 0.5).abs() < 1e-9 && (near.errors.1 - 0.5).abs() < 1e-9);
    }

    #[test]
    fn what_is_no_number_at_one_origin_spoils_nothing_there() {
        let (past, made) = trial(&[("naive", 0.6), ("ses", 0.1)]);
        let mut told = made.told;
        told[1].forecasts[0] = Some(vec![1.0, f64::NAN, 1.0, 1.0, 1.0]);
        told[0].forecasts[1] = Some(vec![f64::INFINITY; 5]);
        let trial = Trial::new(&past, &made.origins, told);
        assert_eq!(trial.losses[1][0], None);
        let near = trial.near(&past, 5);
        assert!(near.errors.0.is_finite() && near.sd.iter().all(|sd| sd.is_finite()));
    }

    #[test]
    fn what_applies_at_few_origins_was_not_tried() {
        let (_, mut trial) = trial(&[("naive", 0.6), ("ses", 0.1)]);
        for loss in trial.losses[1].iter_mut().skip(1) {
            *loss = None;
        }
        assert_eq!(trial.skills()[1], None);
        assert!(trial.weights(1)[1].abs() < 1e-12);
    }

    #[test]
    fn one_that_runs_away_moves_nothing() {
        assert!((middle(&mut [(1e9, 0.05), (1.0, 0.95)]) - 1.0).abs() < 1e-9);
        assert!((middle(&mut [(0.0, 0.5), (2.0, 0.5)]) - 1.0).abs() < 1e-9);
        assert!((middle(&mut [(7.0, 0.0)]) - 7.0).abs() < 1e-12);
        assert!(middle(&mut []).abs() < 1e-12);
    }
}
