//! One straight line through everything, level shifts and the year taken out, by linfa.

use super::{Past, present, yearly};
use crate::forecast::settings::settings;
use crate::stats::regress::{Design, least_squares};
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
    let fit_of = |points: &[(usize, f64)]| {
        let mut design = Design::new(columns);
        for (i, _) in points {
            design.push(row(*i));
        }
        let targets: Vec<f64> = points.iter().map(|(_, v)| *v).collect();
        least_squares(&design, &targets).ok()
    };
    let points: Vec<(usize, f64)> = present(past.values).collect();
    let mut fit = fit_of(&points)?;
    let residuals: Vec<f64> = points.iter().map(|(i, v)| v - fit.at(row(*i))).collect();
    let bound = OUTLYING * MAD_TO_SD * mad(&residuals).ok()?;
    let calm: Vec<(usize, f64)> = points
        .iter()
        .zip(&residuals)
        .filter(|(_, r)| r.abs() <= bound)
        .map(|(point, _)| *point)
        .collect();
    if calm.len() < points.len() && calm.len() * 2 > points.len() {
        fit = fit_of(&calm)?;
    }
    let recent: Vec<f64> = points
        .iter()
        .rev()
        .take(settings().history.level)
        .map(|(i, v)| v - fit.at(row(*i)))
        .collect();
    let off = median(&recent).ok()?;
    let n = past.values.len();
    Some((n..n + horizon).map(|i| fit.at(row(i)) + off).collect())
}
