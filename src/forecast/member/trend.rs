//! One straight line through everything, level shifts and the year taken out, by linfa.
//!
//! Source: Hyndman and Athanasopoulos 2021, "Forecasting: principles and practice", section 7.4, on
//! trend, dummy and Fourier columns. That outliers are left out of a second fit, and that the line is
//! moved to the median of the last residuals, is our own.

use super::{Past, present, yearly};
use crate::forecast::settings::settings;
use crate::stats::regress::{Design, Fit, least_squares};
use crate::stats::{MAD_TO_SD, mad, median};

/// Residuals beyond this many robust standard deviations are left out of the second fit.
const OUTLYING: f64 = 3.5;

/// Least squares on time, shifts and the year; fitted twice, the second time without outliers, and
/// moved to the level of the last steps.
pub(super) fn line(past: &Past<'_>, horizon: usize) -> Option<Vec<f64>> {
    let row = |i: usize| {
        let jumps = past
            .shifts
            .iter()
            .map(move |s| f64::from(u8::from(i >= *s)));
        std::iter::once(i as f64)
            .chain(jumps)
            .chain(yearly(past.year, i))
    };
    let columns = 1 + past.shifts.len() + past.year.map_or(0, |_| 4);
    let points: Vec<(usize, f64)> = present(past.values).collect();
    let mut design = Design::new(columns);
    for (i, _) in &points {
        design.push(row(*i));
    }
    let targets: Vec<f64> = points.iter().map(|(_, v)| *v).collect();
    let residuals_of = |fit: &Fit| -> Vec<f64> {
        let rows = design.iter().zip(&targets);
        rows.map(|(row, v)| v - fit.at(row.iter().copied()))
            .collect()
    };
    let mut fit = least_squares(&design, &targets).ok()?;
    let mut residuals = residuals_of(&fit);
    let bound = OUTLYING * MAD_TO_SD * mad(&residuals).ok()?;
    let (mut calm, mut calm_targets) = (Design::new(columns), Vec::new());
    for ((row, v), r) in design.iter().zip(&targets).zip(&residuals) {
        if r.abs() <= bound {
            calm.push(row.iter().copied());
            calm_targets.push(*v);
        }
    }
    if calm_targets.len() < points.len() && calm_targets.len() * 2 > points.len() {
        fit = least_squares(&calm, &calm_targets).ok()?;
        residuals = residuals_of(&fit);
    }
    let from = residuals.len().saturating_sub(settings().history.level);
    let recent = residuals.get(from..)?;
    let off = median(recent).ok()?;
    let n = past.values.len();
    Some((n..n + horizon).map(|i| fit.at(row(i)) + off).collect())
}
