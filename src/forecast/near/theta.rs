//! The dynamic optimised theta model: a line and a smoothed level, weighed against each other.
//!
//! Source: Fiorucci, Pellegrini, Louzada, Petropoulos and Koehler 2016, "Models for optimising the
//! theta method and their relationship to state space models", equations of the dynamic model.

use super::Origin;

const ALPHAS: [f64; 9] = [0.02, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0];
const THETAS: [f64; 5] = [1.0, 1.5, 2.0, 3.0, 6.0];

/// Mean and least-squares slope of the values so far; the same for all constants.
#[derive(Debug, Clone, Copy)]
struct Trend {
    mean: f64,
    slope: f64,
    seen: f64,
}

impl Trend {
    fn take(&mut self, v: f64) {
        let t = self.seen;
        self.slope = ((t - 1.0) * self.slope + 6.0 * (v - self.mean) / (t + 1.0)) / (t + 2.0);
        self.mean = (t * self.mean + v) / (t + 1.0);
        self.seen = t + 1.0;
    }

    /// Where the line stands at its first value.
    fn start(&self) -> f64 {
        self.mean - self.slope * (self.seen + 1.0) / 2.0
    }
}

/// One smoothing constant on its way along the series, with the loss for each weight of the line.
#[derive(Debug, Clone, Copy)]
struct Runner {
    alpha: f64,
    per_alpha: f64,
    level: f64,
    /// (1 − α) to the number of values so far.
    left: f64,
    losses: [f64; THETAS.len()],
}

impl Runner {
    fn new(alpha: f64, first: f64) -> Self {
        Self {
            alpha,
            per_alpha: 1.0 / alpha,
            level: alpha * first + (1.0 - alpha) * first / 2.0,
            left: 1.0 - alpha,
            losses: [0.0; THETAS.len()],
        }
    }

    /// What the line adds to the level, before it is weighed.
    fn rest(&self, trend: &Trend, start: f64) -> f64 {
        let gone = 1.0 - self.left * (1.0 - self.alpha);
        self.left * start + trend.slope * gone * self.per_alpha
    }

    fn take(&mut self, v: f64) {
        self.level += self.alpha * (v - self.level);
        self.left *= 1.0 - self.alpha;
    }
}

/// One forecast an origin.
pub(super) fn forecasts(values: &[f64], origins: &[Origin]) -> Vec<Option<Vec<f64>>> {
    /// The first steps tell more of the start than of the constants.
    const SETTLED: usize = 3;
    let first = values.first().copied().unwrap_or(0.0);
    let weights = THETAS.map(|theta| 1.0 - 1.0 / theta);
    let mut trend = Trend {
        mean: first,
        slope: 0.0,
        seen: 1.0,
    };
    let mut runners = ALPHAS.map(|alpha| Runner::new(alpha, first));
    let mut next = 1;
    origins
        .iter()
        .map(|origin| {
            for (i, v) in values.iter().enumerate().take(origin.at).skip(next) {
                let start = trend.start();
                for runner in &mut runners {
                    if i >= SETTLED {
                        let rest = runner.rest(&trend, start);
                        let over = v - runner.level;
                        for (loss, weight) in runner.losses.iter_mut().zip(weights) {
                            let error = over - weight * rest;
                            *loss += error * error;
                        }
                    }
                    runner.take(*v);
                }
                trend.take(*v);
            }
            next = next.max(origin.at);
            let pairs = runners.iter().flat_map(|runner| {
                let losses = runner.losses.into_iter().zip(weights);
                losses.map(move |(loss, weight)| (loss, weight, runner))
            });
            let (_, weight, best) = pairs.min_by(|a, b| a.0.total_cmp(&b.0))?;
            let (mut runner, mut trend) = (*best, trend);
            let ahead = (0..origin.ahead).map(|_| {
                let v = runner.level + weight * runner.rest(&trend, trend.start());
                runner.take(v);
                trend.take(v);
                v
            });
            let future: Vec<f64> = ahead.collect();
            future.iter().all(|v| v.is_finite()).then_some(future)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_followed_and_a_level_is_kept() {
        let origin = |n| [Origin { at: n, ahead: 10 }];
        let line: Vec<f64> = (0..50).map(|i| 20.0 + f64::from(i)).collect();
        let found = forecasts(&line, &origin(50)).remove(0).unwrap();
        assert!((found[9] - 79.0).abs() < 2.5, "{}", found[9]);
        let level = forecasts(&[7.0; 40], &origin(40)).remove(0).unwrap();
        assert!(level.iter().all(|v| (v - 7.0).abs() < 0.2), "{level:?}");
    }

    #[test]
    fn an_origin_on_the_way_is_as_the_end_of_its_past() {
        let values: Vec<f64> = (0..60).map(|i| f64::from((i * i) % 13)).collect();
        let both = [Origin { at: 40, ahead: 3 }, Origin { at: 60, ahead: 3 }];
        let alone = forecasts(&values[..40], &both[..1]);
        assert_eq!(forecasts(&values, &both)[0], alone[0]);
    }
}
