//! When a threshold is reached: simulated futures, and when each first gets there.
//!
//! A path is the expected future plus one error that wanders slowly: errors of a forecast follow
//! each other (a wrong slope stays wrong), so that independent draws a day would reach any
//! threshold far too soon. The error is a stationary first-order autoregression in units of the
//! spread at each step, drawn at knots and straight between them.
//!
//! Sources: Uhlenbeck and Ornstein 1930, "On the theory of the Brownian motion" (knots that far apart
//! correlate by e^(−distance / memory)); Hammersley and Morton 1956, "A new Monte Carlo technique:
//! antithetic variates" (each path comes with its mirror image). That one such error is added to the
//! combined forecast, and how long its memory is, is our own.

use super::interval::Spread;
use super::random::Random;
use super::settings::settings;

/// When a threshold is reached, in steps ahead (from 1; 0 is now).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reached {
    /// Share of the paths that got there within the horizon.
    pub(super) probability: f64,
    /// Steps by which 10, 50 and 90 % of all paths are there; nothing beyond the horizon.
    pub(super) quantiles: [Option<f64>; 3],
}

/// Errors of simulated paths in units of the spread, one row a path, at the same knots.
pub(super) struct Paths {
    knots: Vec<usize>,
    errors: Vec<Vec<f64>>,
}

impl Paths {
    /// Draws the paths for a horizon of so many steps.
    pub(super) fn draw(horizon: usize, seed: u64) -> Self {
        let set = &settings().crossing;
        let every = horizon.div_ceil(set.knots.max(1)).max(1);
        let mut knots: Vec<usize> = (1..=horizon).step_by(every).collect();
        if knots.last().is_some_and(|last| *last < horizon) {
            knots.push(horizon);
        }
        let memory = (set.memory * horizon as f64).max(set.memory_min);
        let rho = (-(every as f64) / memory).exp();
        let fresh = (1.0 - rho * rho).sqrt();
        let mut random = Random::seeded(seed);
        // Each draw is used twice, once with the other sign: the paths then have no drift.
        let errors = (0..set.paths / 2)
            .flat_map(|_| {
                let mut at = random.normals().0;
                let path: Vec<f64> = knots
                    .iter()
                    .map(|_| {
                        let now = at;
                        at = rho * at + fresh * random.normals().0;
                        now
                    })
                    .collect();
                let mirrored = path.iter().map(|e| -e).collect();
                [path, mirrored]
            })
            .collect();
        Self { knots, errors }
    }

    /// When the paths around `mean` first reach `threshold`.
    pub(super) fn reach(&self, mean: &[f64], spread: &Spread, threshold: f64) -> Reached {
        let factor = spread.path_factor();
        let spreads: Vec<f64> = (1..=mean.len()).map(|j| factor * spread.at(j)).collect();
        let met = |ahead: usize, error: f64| {
            let m = mean.get(ahead).copied().unwrap_or(f64::NAN);
            let s = spreads.get(ahead).copied().unwrap_or(0.0);
            m + s * error >= threshold
        };
        self.times(met).reached()
    }

    /// When each path first satisfies `met`, which is given a step (from 0) and the path's error
    /// there.
    pub(super) fn times(&self, met: impl Fn(usize, f64) -> bool) -> Times {
        let mut times: Vec<f64> = self
            .errors
            .iter()
            .map(|path| self.first(path, &met))
            .collect();
        times.sort_by(f64::total_cmp);
        Times(times)
    }

    fn first(&self, path: &[f64], met: &impl Fn(usize, f64) -> bool) -> f64 {
        let mut before = (0_usize, path.first().copied().unwrap_or(0.0));
        for (knot, error) in self.knots.iter().zip(path) {
            let (from, start) = before;
            let length = (knot - from).max(1) as f64;
            for j in from + 1..=*knot {
                let share = (j - from) as f64 / length;
                if met(j - 1, start + (error - start) * share) {
                    return j as f64;
                }
            }
            before = (*knot, *error);
        }
        f64::INFINITY
    }
}

/// Steps ahead at which each path got there, rising; infinite for those that do not.
pub(super) struct Times(Vec<f64>);

impl Times {
    /// Share of the paths that are there `steps` ahead.
    pub(super) fn share_by(&self, steps: f64) -> f64 {
        let there = self.0.partition_point(|time| *time <= steps);
        there as f64 / self.0.len().max(1) as f64
    }

    /// The share that gets there at all, and by when 10, 50 and 90 % of all are there.
    pub(super) fn reached(&self) -> Reached {
        let at = |share: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a length"
            )]
            let place = (share * self.0.len() as f64) as usize;
            self.0.get(place).copied().filter(|t| t.is_finite())
        };
        Reached {
            probability: self.share_by(f64::MAX),
            quantiles: [at(0.10), at(0.50), at(0.90)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrow() -> Spread {
        Spread::of(&[], 6, 0.0, 1e-6)
    }

    #[test]
    fn a_sure_line_crosses_on_its_day() {
        let mean: Vec<f64> = (1..=200).map(f64::from).collect();
        let reached = Paths::draw(200, 1).reach(&mean, &narrow(), 99.5);
        assert_eq!(reached.quantiles, [Some(100.0); 3]);
        assert!((reached.probability - 1.0).abs() < 1e-12);
        let never = Paths::draw(200, 1).reach(&mean, &narrow(), 500.0);
        assert_eq!(never.quantiles, [None; 3]);
        assert!(never.probability.abs() < 1e-12);
    }

    #[test]
    fn a_wide_spread_crosses_early_late_or_never() {
        let mean: Vec<f64> = (1..=200).map(f64::from).collect();
        let wide = Spread::of(&[], 6, 0.0, 3.0);
        let reached = Paths::draw(200, 1).reach(&mean, &wide, 150.0);
        let [early, middle, late] = reached.quantiles;
        assert!(early.unwrap() < middle.unwrap());
        assert!(late.is_none_or(|late| late > middle.unwrap()));
        assert!((130.0..170.0).contains(&middle.unwrap()), "{middle:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_paths() {
        assert_eq!(Paths::draw(90, 5).errors, Paths::draw(90, 5).errors);
        assert_ne!(Paths::draw(90, 5).errors, Paths::draw(90, 6).errors);
    }
}
