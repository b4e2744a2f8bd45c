//! The dynamic optimised theta model: a line and a smoothed level, weighed against each other.
//!
//! Source: Fiorucci, Pellegrini, Louzada, Petropoulos and Koehler 2016, "Models for optimising the
//! theta method and their relationship to state space models", equations of the dynamic model.

use super::Origin;

const ALPHAS: [f64; 9] = [0.02, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0];
const THETAS: [f64; 5] = [1.0, 1.5, 2.0, 3.0, 6.0];

/// One pair of constants on its way along the series; `mean` and `slope` are of the values so far.
#[derive(Debug, Clone, Copy)]
struct Runner {
    alpha: f64,
    /// 1 − 1/θ.
    weight: f64,
    level: f64,
    mean: f64,
    slope: f64,
    /// (1 − α) to the number of values so far.
    left: f64,
    seen: f64,
    loss: f64,
}

impl Runner {
    fn new(alpha: f64, theta: f64, first: f64) -> Self {
        Self {
            alpha,
            weight: 1.0 - 1.0 / theta,
            level: alpha * first + (1.0 - alpha) * first / 2.0,
            mean: first,
            slope: 0.0,
            left: 1.0 - alpha,
            seen: 1.0,
            loss: 0.0,
        }
    }

    fn expected(&self) -> f64 {
        let line = self.mean - self.slope * (self.seen + 1.0) / 2.0;
        let rest =
            self.left * line + self.slope * (1.0 - self.left * (1.0 - self.alpha)) / self.alpha;
        self.level + self.weight * rest
    }

    fn take(&mut self, v: f64) {
        let t = self.seen;
        self.level += self.alpha * (v - self.level);
        let mean = (t * self.mean + v) / (t + 1.0);
        self.slope = ((t - 1.0) * self.slope + 6.0 * (v - self.mean) / (t + 1.0)) / (t + 2.0);
        self.mean = mean;
        self.left *= 1.0 - self.alpha;
        self.seen = t + 1.0;
    }
}

/// One forecast an origin.
pub(super) fn forecasts(values: &[f64], origins: &[Origin]) -> Vec<Option<Vec<f64>>> {
    /// The first steps tell more of the start than of the constants.
    const SETTLED: usize = 3;
    let first = values.first().copied().unwrap_or(0.0);
    let pairs = THETAS
        .iter()
        .flat_map(|theta| ALPHAS.iter().map(|alpha| (*alpha, *theta)));
    let mut runners: Vec<Runner> = pairs
        .map(|(alpha, theta)| Runner::new(alpha, theta, first))
        .collect();
    let mut next = 1;
    origins
        .iter()
        .map(|origin| {
            for (i, v) in values.iter().enumerate().take(origin.at).skip(next) {
                for runner in &mut runners {
                    if i >= SETTLED {
                        let error = v - runner.expected();
                        runner.loss += error * error;
                    }
                    runner.take(*v);
                }
            }
            next = next.max(origin.at);
            let mut best = *runners.iter().min_by(|a, b| a.loss.total_cmp(&b.loss))?;
            let ahead = (0..origin.ahead).map(|_| {
                let v = best.expected();
                best.take(v);
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
