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

#[derive(Clone, Copy)]
struct Constants {
    alpha: f64,
    beta: f64,
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
    for &phi in phis {
        for &alpha in &set.alpha {
            for &beta in &set.beta {
                let constants = Constants { alpha, beta, phi };
                let (loss, level, slope) = run(past.values, (level, slope), constants, far);
                if found.is_none_or(|(least, _)| loss < least) {
                    found = Some((loss, (level, slope, phi)));
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

/// Runs through the past; returns the loss and the last level and slope. A gap moves on without
/// learning.
fn run(values: &[f64], start: (f64, f64), c: Constants, far: usize) -> (f64, f64, f64) {
    let (mut level, mut slope) = start;
    // The sum of the first `far` powers of the factor.
    let reach = (0..far).fold(0.0, |sum, _| (sum + 1.0) * c.phi);
    let root = (far as f64).sqrt();
    let mut loss = 0.0;
    for (i, v) in values.iter().enumerate() {
        let expected = level + c.phi * slope;
        if !v.is_finite() {
            (level, slope) = (expected, c.phi * slope);
            continue;
        }
        let error = v - expected;
        let before = level;
        level = expected + c.alpha * error;
        slope = c.beta * (level - before) + (1.0 - c.beta) * c.phi * slope;
        loss += error.abs();
        if let Some(later) = values.get(i + far).filter(|later| later.is_finite()) {
            loss += (later - level - slope * reach).abs() / root;
        }
    }
    (loss, level, slope)
}
