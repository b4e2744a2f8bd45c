//! Growth that runs into a ceiling of its own: a logistic curve over a grid of ceilings.
//!
//! Source: Fisher and Pry 1971, "A simple substitution model of technological change": the
//! logarithm of what is filled over what is free is a straight line. The ceiling is chosen by the
//! squared error of the values themselves.

use super::{Past, present};
use crate::forecast::settings::settings;
use crate::stats::median;
use crate::stats::quantile::quantile;
use crate::stats::regress::{Design, Gram};

/// Ceilings tried, as multiples of the span from the floor to the largest value.
const CEILINGS: [f64; 9] = [1.02, 1.05, 1.1, 1.2, 1.35, 1.6, 2.0, 2.6, 3.5];
/// Fewer steps than this cannot tell a curve from a line.
const MIN_STEPS: usize = 40;

/// A rising logistic curve, moved to the level of the last steps; nothing where it falls.
pub(super) fn logistic(past: &Past<'_>, horizon: usize) -> Option<Vec<f64>> {
    let points: Vec<(usize, f64)> = present(past.values).collect();
    if points.len() < MIN_STEPS || !past.shifts.is_empty() {
        return None;
    }
    let values: Vec<f64> = points.iter().map(|(_, v)| *v).collect();
    let low = quantile(&values, 0.02).ok()?;
    let high = quantile(&values, 0.98).ok()?;
    if high <= low {
        return None;
    }
    let floor = low - 0.02 * (high - low);
    let best = CEILINGS
        .iter()
        .filter_map(|multiple| Curve::fit(&points, floor, (high - floor) * multiple))
        .min_by(|a, b| a.loss.total_cmp(&b.loss))?;
    let recent: Vec<f64> = points
        .iter()
        .rev()
        .take(settings().history.level)
        .map(|(i, v)| v - best.at(*i))
        .collect();
    let off = median(&recent).ok()?;
    let n = past.values.len();
    Some((n..n + horizon).map(|i| best.at(i) + off).collect())
}

struct Curve {
    floor: f64,
    span: f64,
    intercept: f64,
    slope: f64,
    loss: f64,
}

impl Curve {
    fn fit(points: &[(usize, f64)], floor: f64, span: f64) -> Option<Self> {
        let mut design = Design::new(1);
        let (mut targets, mut weights) = (Vec::new(), Vec::new());
        for (i, v) in points {
            let filled = ((v - floor) / span).clamp(0.01, 0.99);
            design.push([*i as f64]);
            targets.push((filled / (1.0 - filled)).ln());
            // The delta method: near both ends the logarithm magnifies the noise.
            weights.push((filled * (1.0 - filled)).powi(2));
        }
        let fit = Gram::new(&design, &targets, &weights)
            .ok()?
            .solve(&[0], 0.0);
        let slope = fit.coefficients.first().copied().filter(|s| *s > 0.0)?;
        let mut curve = Self {
            floor,
            span,
            intercept: fit.intercept,
            slope,
            loss: 0.0,
        };
        curve.loss = points.iter().map(|(i, v)| (v - curve.at(*i)).powi(2)).sum();
        Some(curve)
    }

    fn at(&self, step: usize) -> f64 {
        let odds = (self.intercept + self.slope * step as f64).exp();
        self.floor + self.span * (1.0 - 1.0 / (1.0 + odds))
    }
}
