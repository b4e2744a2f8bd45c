//! Exponential smoothing: a level, perhaps a slope that may fade, followed along the series.
//!
//! Constants come from a grid by squared errors one step ahead and over a whole horizon, multiplied:
//! those of one step alone follow noise that is gone by the end of the horizon, those of the horizon
//! alone are few. All of the grid runs along the series at once, so that every origin on the way costs
//! only its forecast. Sources: Gardner 1985, "Exponential smoothing: the state of the art"; Tiao and
//! Xu 1993, "Robustness of maximum likelihood estimates for multi-step predictions: the exponential
//! smoothing case".

use super::Origin;

/// Sets of constants that run side by side, so that the processor's wide registers are used.
const ABREAST: usize = 12;

/// Sets of constants on their way along the series.
#[derive(Debug, Clone, Copy)]
struct Runners {
    alpha: [f64; ABREAST],
    /// `alpha` times the share of an error that goes to the slope.
    beta: [f64; ABREAST],
    phi: f64,
    level: [f64; ABREAST],
    slope: [f64; ABREAST],
    /// Squared errors one step ahead.
    loss: [f64; ABREAST],
    held: Held,
}

/// Forecasts that were made some steps ago, and how they did since.
#[derive(Debug, Clone, Copy)]
struct Held {
    level: [f64; ABREAST],
    slope: [f64; ABREAST],
    /// Steps since.
    age: usize,
    /// What the slope has faded to, and the sum of it.
    fade: f64,
    grown: f64,
    /// Squared errors up to a horizon ahead.
    loss: [f64; ABREAST],
}

impl Held {
    fn take(&mut self, v: f64, phi: f64) {
        self.age += 1;
        self.fade *= phi;
        self.grown += self.fade;
        let state = self.level.iter().zip(&self.slope);
        for ((level, slope), loss) in state.zip(&mut self.loss) {
            let error = v - (level + slope * self.grown);
            *loss += error * error;
        }
    }

    const fn hold(&mut self, level: [f64; ABREAST], slope: [f64; ABREAST]) {
        (self.level, self.slope) = (level, slope);
        (self.age, self.fade, self.grown) = (0, 1.0, 0.0);
    }
}

impl Runners {
    /// Takes a value; forecasts are held for `every` steps.
    fn take(&mut self, v: f64, every: usize) {
        if self.held.age >= every {
            self.held.hold(self.level, self.slope);
        }
        self.held.take(v, self.phi);
        let constants = self.alpha.iter().zip(&self.beta);
        let state = self.level.iter_mut().zip(&mut self.slope);
        let all = constants.zip(state).zip(&mut self.loss);
        for (((alpha, beta), (level, slope)), loss) in all {
            let moved = self.phi * *slope;
            let expected = *level + moved;
            let error = v - expected;
            *loss += error * error;
            *level = expected + alpha * error;
            *slope = moved + beta * error;
        }
    }

    /// The least loss, with level, slope and fade.
    fn best(&self) -> Option<(f64, f64, f64, f64)> {
        let losses = self.loss.iter().zip(&self.held.loss);
        let losses = losses.map(|(one, all)| one.sqrt() * all.sqrt());
        let state = self.level.iter().zip(&self.slope).zip(losses);
        state
            .map(|((level, slope), loss)| (loss, *level, *slope, self.phi))
            .min_by(|a, b| a.0.total_cmp(&b.0))
    }
}

/// Which smoothing: what the slope does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slope {
    /// There is none.
    None,
    /// It goes on.
    Lasting,
    /// It fades.
    Damped,
}

const ALPHAS: [f64; 9] = [0.02, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0];
const BETAS: [f64; 4] = [0.02, 0.1, 0.3, 0.6];
const FADES: [f64; 3] = [0.8, 0.9, 0.97];

impl Slope {
    fn runners(self, values: &[f64]) -> Vec<Runners> {
        let (betas, phis): (&[f64], &[f64]) = match self {
            Self::None => (&[0.0], &[0.0]),
            Self::Lasting => (&BETAS, &[1.0]),
            Self::Damped => (&BETAS, &FADES),
        };
        let (level, slope) = match self {
            Self::None => (start_level(values), 0.0),
            _ => start_line(values),
        };
        let pairs = ALPHAS
            .iter()
            .flat_map(|a| betas.iter().map(move |b| (*a, a * b)));
        let pairs: Vec<(f64, f64)> = pairs.collect();
        let mut runners = Vec::new();
        for phi in phis {
            for chunk in pairs.chunks(ABREAST) {
                // A short last chunk runs its first constants twice.
                let filled = || chunk.iter().cycle();
                let (mut alpha, mut beta) = ([0.0; ABREAST], [0.0; ABREAST]);
                for ((a, b), pair) in alpha.iter_mut().zip(&mut beta).zip(filled()) {
                    (*a, *b) = *pair;
                }
                runners.push(Runners {
                    alpha,
                    beta,
                    phi: *phi,
                    level: [level; ABREAST],
                    slope: [slope; ABREAST],
                    loss: [0.0; ABREAST],
                    held: Held {
                        level: [level; ABREAST],
                        slope: [slope; ABREAST],
                        age: 0,
                        fade: 1.0,
                        grown: 0.0,
                        loss: [0.0; ABREAST],
                    },
                });
            }
        }
        runners
    }
}

/// Forecasts are held for so small a part of the past at most, so that there are some.
const QUARTER: usize = 4;

/// One forecast an origin.
pub(super) fn forecasts(values: &[f64], slope: Slope, origins: &[Origin]) -> Vec<Option<Vec<f64>>> {
    let mut runners = slope.runners(values);
    let horizon = origins.last().map_or(1, |last| last.ahead);
    let every = horizon.min(values.len() / QUARTER).max(1);
    let mut next = 0;
    origins
        .iter()
        .map(|origin| {
            let fresh = values.get(next..origin.at).unwrap_or_default();
            for abreast in &mut runners {
                for v in fresh {
                    abreast.take(*v, every);
                }
            }
            next = next.max(origin.at);
            let all = runners.iter().filter_map(Runners::best);
            let (_, level, slope, phi) = all.min_by(|a, b| a.0.total_cmp(&b.0))?;
            Some(ahead(level, slope, phi, origin.ahead))
        })
        .collect()
}

fn ahead(mut level: f64, mut slope: f64, phi: f64, steps: usize) -> Vec<f64> {
    (0..steps)
        .map(|_| {
            slope *= phi;
            level += slope;
            level
        })
        .collect()
}

fn start_level(values: &[f64]) -> f64 {
    const FIRST: usize = 6;
    crate::stats::mean(values.get(..FIRST.min(values.len())).unwrap_or_default()).unwrap_or(0.0)
}

/// Level one step before the first value and slope, by least squares on the first values.
fn start_line(values: &[f64]) -> (f64, f64) {
    const FIRST: usize = 10;
    let first = values.get(..FIRST.min(values.len())).unwrap_or_default();
    let middle = (first.len() as f64 - 1.0) / 2.0;
    let mean = crate::stats::mean(first).unwrap_or(0.0);
    let (mut with, mut square) = (0.0, 0.0);
    for (i, v) in first.iter().enumerate() {
        let x = i as f64 - middle;
        with += x * (v - mean);
        square += x * x;
    }
    let slope = if square > 0.0 { with / square } else { 0.0 };
    (mean - slope * (middle + 1.0), slope)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(values: &[f64], slope: Slope, ahead: usize) -> Vec<f64> {
        let origins = [Origin {
            at: values.len(),
            ahead,
        }];
        forecasts(values, slope, &origins).remove(0).unwrap()
    }

    #[test]
    fn a_line_lasts_and_fades() {
        let line: Vec<f64> = (0..60).map(|i| 10.0 + 3.0 * f64::from(i)).collect();
        let lasting = last(&line, Slope::Lasting, 20);
        assert!((lasting[19] - (10.0 + 3.0 * 79.0)).abs() < 1e-6);
        let damped = last(&line, Slope::Damped, 200);
        assert!(damped[199] < 10.0 + 3.0 * 259.0 && damped[199] > 190.0);
        let flat = last(&line, Slope::None, 5);
        assert!((flat[0] - 187.0).abs() < 1.0 && (flat[0] - flat[4]).abs() < 1e-12);
    }

    #[test]
    fn constants_serve_the_whole_horizon() {
        // Each value is 0.8 of the one before and fresh noise: one step ahead the last value says most,
        // sixty steps ahead the mean, which is 0.
        let mut z = 1_u64;
        let mut at = 0.0;
        let values: Vec<f64> = (0..600)
            .map(|_| {
                z = z
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                at = 0.8 * at + (z >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
                at
            })
            .collect();
        let strayed = |ahead: usize| -> f64 {
            let ends = (300..=600).step_by(10);
            let origins: Vec<Origin> = ends.map(|at| Origin { at, ahead }).collect();
            let levels = forecasts(&values, Slope::None, &origins);
            levels.iter().flatten().map(|f| f[0] * f[0]).sum()
        };
        let (near, far) = (strayed(1), strayed(60));
        assert!(far < 0.5 * near, "{far} {near}");
    }

    #[test]
    fn an_origin_on_the_way_is_as_the_end_of_its_past() {
        let values: Vec<f64> = (0..90).map(|i| f64::from((i * i) % 17)).collect();
        let both = [Origin { at: 50, ahead: 4 }, Origin { at: 90, ahead: 4 }];
        // Both pasts are long enough for forecasts to be held over the whole horizon.
        for slope in [Slope::None, Slope::Lasting, Slope::Damped] {
            let found = forecasts(&values, slope, &both);
            assert_eq!(found[0], Some(last(&values[..50], slope, 4)));
            assert_eq!(found[1], Some(last(&values, slope, 4)));
        }
    }
}
