//! A straight line through points of which some are wild, and how far off it is.
//!
//! Source: Theil 1950, "A rank-invariant method of linear and polynomial regression analysis"; Sen
//! 1968, "Estimates of the regression coefficient based on Kendall's tau". Up to 29 % of the points may
//! be anything without the line following them.

use super::quantile::quantile_sorted;
use super::{Error, Result, check, median};

/// A line, and what it was off by where each point was left out in turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Change of y for one x.
    pub slope: f64,
    /// y where x is 0.
    pub intercept: f64,
    /// `y − fitted` of each point, by a line through all the others; ascending.
    pub errors: Vec<f64>,
}

/// Points below which nothing is said: an interval needs a few on either side.
pub const LEAST: usize = 8;

impl Line {
    /// Fits a line whose slope lies in `slopes`; points as (x, y), in any order.
    ///
    /// # Errors
    /// [`Error::TooFewRows`] for fewer than [`LEAST`] points, and as [`check`].
    pub fn through(points: &[(f64, f64)], slopes: (f64, f64)) -> Result<Self> {
        if points.len() < LEAST {
            return Err(Error::TooFewRows {
                rows: points.len(),
                columns: LEAST - 1,
            });
        }
        let (x, y): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
        check(&x)?;
        check(&y)?;
        let (slope, intercept) = fit(points, slopes)?;
        let mut errors = Vec::with_capacity(points.len());
        for (left_out, (x, y)) in points.iter().enumerate() {
            let others: Vec<(f64, f64)> = points
                .iter()
                .enumerate()
                .filter(|(place, _)| *place != left_out)
                .map(|(_, point)| *point)
                .collect();
            let (slope, intercept) = fit(&others, slopes)?;
            errors.push(y - (slope * x + intercept));
        }
        errors.sort_by(f64::total_cmp);
        Ok(Self {
            slope,
            intercept,
            errors,
        })
    }

    /// The fitted value.
    pub fn at(&self, x: f64) -> f64 {
        self.slope * x + self.intercept
    }

    /// Where the value of a new point lies with probability `level` (0 to 1, exclusive), as offsets
    /// from the fitted value: quantiles of the errors, widened for their number (split conformal).
    ///
    /// # Errors
    /// [`Error::Probability`].
    pub fn interval(&self, level: f64) -> Result<(f64, f64)> {
        let n = self.errors.len() as f64;
        // The k-th of n errors is the k/(n+1) quantile of the next one.
        let widened = (level * (n + 1.0) / n).min(1.0);
        let tail = (1.0 - widened) / 2.0;
        let low = quantile_sorted(&self.errors, tail)?;
        let high = quantile_sorted(&self.errors, 1.0 - tail)?;
        Ok((low.min(0.0), high.max(0.0)))
    }

    /// Median of the errors without their sign.
    ///
    /// # Errors
    /// As [`median`].
    pub fn median_error(&self) -> Result<f64> {
        let sizes: Vec<f64> = self.errors.iter().map(|error| error.abs()).collect();
        median(&sizes)
    }
}

/// Median of the slopes of all pairs, then median of what is left.
fn fit(points: &[(f64, f64)], (least, most): (f64, f64)) -> Result<(f64, f64)> {
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (place, (x, y)) in points.iter().enumerate() {
        let later = points.iter().skip(place + 1);
        slopes.extend(
            later
                .filter(|(other, _)| (other - x).abs() > f64::EPSILON)
                .map(|(other, value)| (value - y) / (other - x)),
        );
    }
    // Points above one another say nothing of a slope.
    let slope = if slopes.is_empty() {
        f64::midpoint(least, most)
    } else {
        median(&slopes)?.clamp(least, most)
    };
    let rest: Vec<f64> = points.iter().map(|(x, y)| y - slope * x).collect();
    Ok((slope, median(&rest)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANY: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);

    /// Deviations that look random and have median 0: multiples of the golden ratio.
    fn noise(place: usize) -> f64 {
        (place as f64 * 0.618_033_988_749_895).fract() - 0.5
    }

    #[test]
    fn wild_points_do_not_bend_the_line() {
        let mut points: Vec<(f64, f64)> = (0..20)
            .map(|x| (f64::from(x), 3.0 + 2.0 * f64::from(x)))
            .collect();
        for wild in [3, 9, 12, 17] {
            points[wild].1 = 1e6;
        }
        let line = Line::through(&points, ANY).unwrap();
        assert!((line.slope - 2.0).abs() < 1e-9, "{}", line.slope);
        assert!((line.at(100.0) - 203.0).abs() < 1e-6);
        assert!(line.median_error().unwrap() < 1e-6);
    }

    #[test]
    fn a_slope_is_held_within_its_bounds() {
        let points: Vec<(f64, f64)> = (0..10)
            .map(|x| (f64::from(x), 5.0 * f64::from(x)))
            .collect();
        let line = Line::through(&points, (0.5, 1.5)).unwrap();
        assert!((line.slope - 1.5).abs() < 1e-12);
        let above: Vec<(f64, f64)> = (0..10).map(|y| (1.0, f64::from(y))).collect();
        let line = Line::through(&above, (0.5, 1.5)).unwrap();
        assert!((line.at(1.0) - 4.5).abs() < 1e-12);
    }

    #[test]
    fn few_points_say_nothing() {
        let few = vec![(1.0, 1.0); LEAST - 1];
        assert!(matches!(
            Line::through(&few, ANY),
            Err(Error::TooFewRows { .. })
        ));
        let mut bad = vec![(1.0, 1.0); LEAST];
        bad[2].1 = f64::NAN;
        assert!(Line::through(&bad, ANY).is_err());
    }

    #[test]
    fn an_interval_holds_about_as_many_new_points_as_it_says() {
        let points: Vec<(f64, f64)> = (0..60).map(|n| (noise(7 * n), noise(n))).collect();
        let line = Line::through(&points, ANY).unwrap();
        let (low, high) = line.interval(0.8).unwrap();
        let inside = (1_000..3_000)
            .filter(|n| {
                let (x, y) = (noise(7 * n), noise(*n));
                (low..=high).contains(&(y - line.at(x)))
            })
            .count();
        assert!((1_450..=1_750).contains(&inside), "{inside} of 2000");
    }

    proptest! {
        #[test]
        fn an_interval_holds_the_line_and_grows_with_its_level(
            points in prop::collection::vec((-1e3..1e3_f64, -1e3..1e3_f64), LEAST..20)
        ) {
            let line = Line::through(&points, (0.5, 1.5)).unwrap();
            let (low, high) = line.interval(0.5).unwrap();
            let (lower, higher) = line.interval(0.9).unwrap();
            prop_assert!(lower <= low && low <= 0.0 && 0.0 <= high && high <= higher);
        }
    }
}
