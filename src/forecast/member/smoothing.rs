//! Holt's linear smoothing, plain and damped: a level and a slope that follow what comes.
//!
//! Source: Gardner and `McKenzie` 1985, "Forecasting trends in time series". Constants come from a
//! grid, by absolute errors one step ahead and far ahead: those of one step alone chase noise, and
//! here the far future is asked for.

use super::Past;
use crate::forecast::settings::settings;
use crate::stats::median;

/// Undamped: the slope goes on for ever.
pub(super) fn holt(past: &Past<'_>, horizon: usize) -> Option<Vec<f64>> {
    best(past, horizon, &[1.0])
}

/// Damped: the slope fades by a factor a step.
pub(super) fn damped(past: &Past<'_>, horizon: usize) -> Option<Vec<f64>> {
    best(past, horizon, &[0.9, 0.98, 0.995])
}

/// Sets of constants that run side by side, so that the processor's wide registers are used.
const ABREAST: usize = 8;

#[derive(Clone, Copy)]
struct Constants {
    alpha: [f64; ABREAST],
    beta: [f64; ABREAST],
    phi: f64,
}

fn best(past: &Past<'_>, horizon: usize, phis: &[f64]) -> Option<Vec<f64>> {
    let set = &settings().smoothing;
    let (level, slope) = start(past.values)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length"
    )]
    let far = ((past.values.len() as f64 * set.far) as usize).max(2);
    let mut found: Option<(f64, (f64, f64, f64))> = None;
    let alphas = set.alpha.iter();
    let pairs = alphas.flat_map(|alpha| set.beta.iter().map(move |beta| (*alpha, *beta)));
    let pairs: Vec<(f64, f64)> = pairs.collect();
    for &phi in phis {
        for chunk in pairs.chunks(ABREAST) {
            // A short last chunk runs its first constants twice.
            let (mut alpha, mut beta) = ([0.0; ABREAST], [0.0; ABREAST]);
            let filled = alpha.iter_mut().zip(&mut beta).zip(chunk.iter().cycle());
            for ((alpha, beta), pair) in filled {
                (*alpha, *beta) = *pair;
            }
            let constants = Constants { alpha, beta, phi };
            let ends = run(past.values, (level, slope), constants, far);
            for ((loss, level), slope) in ends.loss.iter().zip(ends.level).zip(ends.slope) {
                if found.is_none_or(|(least, _)| *loss < least) {
                    found = Some((*loss, (level, slope, phi)));
                }
            }
        }
    }
    let (_, (level, slope, phi)) = found?;
    let (mut at, mut step) = (level, slope);
    Some(
        (0..horizon)
            .map(|_| {
                step *= phi;
                at += step;
                at
            })
            .collect(),
    )
}

/// First level (one step before the series) and slope, from medians of its first quarter.
fn start(values: &[f64]) -> Option<(f64, f64)> {
    const EDGE: usize = 5;
    let reach = (values.len() / 4).max(2 * EDGE).min(values.len());
    let middle = |from: usize, until: usize| {
        let hood = values.get(from..until)?;
        let there: Vec<f64> = hood.iter().copied().filter(|v| v.is_finite()).collect();
        median(&there).ok()
    };
    let edge = EDGE.min(reach / 2);
    let first = middle(0, edge)?;
    let slope =
        middle(reach - edge, reach).map_or(0.0, |last| (last - first) / (reach - edge) as f64);
    let centre = (edge as f64 - 1.0) / 2.0;
    Some((first - slope * (centre + 1.0), slope))
}

/// Losses and the last levels and slopes, one a set of constants.
struct Ends {
    loss: [f64; ABREAST],
    level: [f64; ABREAST],
    slope: [f64; ABREAST],
}

/// Runs through the past. A gap moves on without learning.
fn run(values: &[f64], start: (f64, f64), c: Constants, far: usize) -> Ends {
    let (mut level, mut slope) = ([start.0; ABREAST], [start.1; ABREAST]);
    let mut loss = [0.0; ABREAST];
    // The sum of the first `far` powers of the factor.
    let reach = (0..far).fold(0.0, |sum, _| (sum + 1.0) * c.phi);
    let root = (far as f64).sqrt();
    for (i, v) in values.iter().enumerate() {
        let states = level.iter_mut().zip(&mut slope).zip(&mut loss);
        if !v.is_finite() {
            for ((level, slope), _) in states {
                (*level, *slope) = (*level + c.phi * *slope, c.phi * *slope);
            }
            continue;
        }
        for (((level, slope), loss), (alpha, beta)) in states.zip(c.alpha.iter().zip(&c.beta)) {
            let expected = *level + c.phi * *slope;
            let error = v - expected;
            let before = *level;
            *level = expected + alpha * error;
            *slope = beta * (*level - before) + (1.0 - beta) * c.phi * *slope;
            *loss += error.abs();
        }
        if let Some(later) = values.get(i + far).filter(|later| later.is_finite()) {
            for ((level, slope), loss) in level.iter().zip(&slope).zip(&mut loss) {
                *loss += (later - level - slope * reach).abs() / root;
            }
        }
    }
    Ends { loss, level, slope }
}
