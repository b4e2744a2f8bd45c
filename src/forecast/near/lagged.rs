//! Regressions on a series' own past: a value by the values some steps before it.
//!
//! Ridge towards "as one cycle ago" where there is a cycle, towards "no change" where differences
//! are regressed (a random walk), so that little data says little. Forecasts feed themselves.
//! Source: Makridakis, Spiliotis and Assimakopoulos 2020, "The M4 competition: 100,000 time series
//! and 61 forecasting methods", on shrunken autoregressions; the choice of lags is ours.

use super::Origin;
use crate::stats::ridge::Products;

/// What is regressed on what.
#[derive(Debug, Clone)]
pub(super) struct Lagged {
    /// Steps back, rising.
    pub(super) lags: Vec<usize>,
    /// The lag that the regression is drawn to.
    pub(super) home: Option<usize>,
    /// Strength of the pull, as a share of the mean square.
    pub(super) ridge: f64,
    /// Steps looked at, counted from the end.
    pub(super) window: usize,
    /// Steps at an origin's end whose mean is taken off; none: nothing is.
    pub(super) level: Option<usize>,
    /// Regress differences; the mean difference counts t²/(t² + doubt), t being its t-value.
    pub(super) doubt: Option<f64>,
}

/// Nothing is believed beyond so many standard deviations of the past.
const REACH: f64 = 30.0;

impl Lagged {
    /// One forecast an origin, in the series' own unit.
    pub(super) fn forecasts(
        &self,
        values: &[f64],
        present: &[bool],
        origins: &[Origin],
    ) -> Vec<Option<Vec<f64>>> {
        let (Some(farthest), true) = (self.lags.iter().max().copied(), values.len() > 1) else {
            return vec![None; origins.len()];
        };
        let scaled = Scaled::of(values, present, self.doubt.is_some());
        let mut products = Products::new(self.lags.len());
        let mut rows = Vec::new();
        let mut next = values.len().saturating_sub(self.window) + farthest;
        origins
            .iter()
            .map(|origin| {
                rows.clear();
                for t in next..origin.at {
                    scaled.row(t, &self.lags, &mut rows);
                }
                next = next.max(origin.at);
                products.fold(&rows);
                self.forecast(&scaled, &products, *origin)
            })
            .collect()
    }

    fn forecast(&self, past: &Scaled, products: &Products, origin: Origin) -> Option<Vec<f64>> {
        let farthest = self.lags.iter().max().copied()?;
        let (mean, variance) = products.target();
        let centre = match (self.doubt, self.level) {
            (Some(_), _) => mean,
            (None, Some(steps)) => {
                let recent = past
                    .values
                    .get(origin.at.saturating_sub(steps)..origin.at)?;
                crate::stats::mean(recent).ok()?
            }
            (None, None) => 0.0,
        };
        // A drift is believed as far as it stands out of the noise.
        let drift = self.doubt.map(|doubt| {
            let noise = variance / (mean * mean * products.rows()).max(f64::MIN_POSITIVE);
            mean / (1.0 + doubt * noise)
        });
        let home = self
            .home
            .and_then(|h| self.lags.iter().position(|l| *l == h));
        let coefficients = products.solve(centre, home, self.ridge)?;
        let start = origin.at.checked_sub(farthest)?;
        let mut chain: Vec<f64> = past
            .values
            .get(start..origin.at)?
            .iter()
            .map(|v| v - centre)
            .collect();
        chain.reserve(origin.ahead);
        let mut at = past.last(origin.at)?;
        let mut future = Vec::with_capacity(origin.ahead);
        for _ in 0..origin.ahead {
            let end = chain.len();
            let back = |lag: &usize| chain.get(end - lag).copied().unwrap_or(0.0);
            let next: f64 = coefficients
                .iter()
                .zip(&self.lags)
                .map(|(b, lag)| b * back(lag))
                .sum();
            let next = next.clamp(-REACH, REACH);
            chain.push(next);
            match drift {
                Some(drift) => {
                    at += (next + drift) * past.scale;
                    future.push(at);
                }
                None => future.push((next + centre) * past.scale + past.middle),
            }
        }
        future.iter().all(|v| v.is_finite()).then_some(future)
    }
}

/// Values or differences of about unit size.
struct Scaled<'a> {
    values: Vec<f64>,
    present: &'a [bool],
    original: &'a [f64],
    differences: bool,
    middle: f64,
    scale: f64,
}

impl<'a> Scaled<'a> {
    fn of(original: &'a [f64], present: &'a [bool], differences: bool) -> Self {
        let n = original.len() as f64;
        let (mut values, middle) = if differences {
            let steps = original
                .windows(2)
                .map(|p| p.iter().rev().copied().reduce(|b, a| b - a).unwrap_or(0.0));
            (std::iter::once(0.0).chain(steps).collect::<Vec<f64>>(), 0.0)
        } else {
            (
                original.to_vec(),
                crate::stats::mean(original).unwrap_or(0.0),
            )
        };
        let square: f64 = values.iter().map(|v| (v - middle) * (v - middle)).sum();
        let scale = (square / n)
            .sqrt()
            .max(1e-9 * middle.abs())
            .max(f64::MIN_POSITIVE);
        for v in &mut values {
            *v = (*v - middle) / scale;
        }
        Self {
            values,
            present,
            original,
            differences,
            middle,
            scale,
        }
    }

    /// Lags, target and 1 of step `t`, where they are all there.
    fn row(&self, t: usize, lags: &[usize], rows: &mut Vec<f64>) {
        let there = |i: usize| self.present.get(i).copied().unwrap_or(false);
        let whole = there(t) && (!self.differences || t.checked_sub(1).is_some_and(there));
        let Some((past, target)) = self
            .values
            .get(..=t)
            .and_then(|upto| upto.split_last().map(|(v, past)| (past, *v)))
        else {
            return;
        };
        if whole {
            rows.extend(
                lags.iter()
                    .map(|lag| past.get((t).wrapping_sub(*lag)).copied().unwrap_or(0.0)),
            );
            rows.extend([target, 1.0]);
        }
    }

    /// The last value before `at`, in the series' own unit.
    fn last(&self, at: usize) -> Option<f64> {
        self.original.get(at.checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(at: usize, ahead: usize) -> [Origin; 1] {
        [Origin { at, ahead }]
    }

    #[test]
    fn a_repeating_series_repeats() {
        let values: Vec<f64> = (0..200).map(|i| f64::from(i % 10)).collect();
        let lagged = Lagged {
            lags: vec![1, 2, 9, 10, 11, 20],
            home: Some(10),
            ridge: 1e-3,
            window: 1_000,
            level: Some(40),
            doubt: None,
        };
        let found = lagged
            .forecasts(&values, &[true; 200], &origin(200, 30))
            .remove(0)
            .unwrap();
        for (j, v) in found.iter().enumerate() {
            assert!((v - (j % 10) as f64).abs() < 0.05, "{j} {v}");
        }
    }

    #[test]
    fn a_sure_drift_goes_on_and_a_doubtful_one_stops() {
        let lagged = Lagged {
            lags: vec![1, 2, 3],
            home: None,
            ridge: 0.2,
            window: 1_000,
            level: None,
            doubt: Some(4.0),
        };
        let line: Vec<f64> = (0..100).map(|i| 5.0 + 2.0 * f64::from(i)).collect();
        let sure = lagged
            .forecasts(&line, &[true; 100], &origin(100, 10))
            .remove(0)
            .unwrap();
        assert!((sure[9] - 223.0).abs() < 0.5, "{}", sure[9]);
        let zigzag: Vec<f64> = (0..100)
            .map(|i| if i % 2 == 0 { 0.0 } else { 10.0 } + 0.001 * f64::from(i))
            .collect();
        let doubtful = lagged
            .forecasts(&zigzag, &[true; 100], &origin(100, 40))
            .remove(0)
            .unwrap();
        assert!(
            doubtful.iter().all(|v| (-2.0..12.0).contains(v)),
            "{doubtful:?}"
        );
    }

    #[test]
    fn an_origin_sees_nothing_after_it() {
        let mut values: Vec<f64> = (0..120).map(|i| f64::from(i % 7)).collect();
        let lagged = Lagged {
            lags: vec![1, 7],
            home: Some(7),
            ridge: 1e-3,
            window: 500,
            level: Some(28),
            doubt: None,
        };
        let both = [Origin { at: 80, ahead: 10 }, Origin { at: 120, ahead: 10 }];
        // The scale of the whole series may differ; values before the origin decide all else.
        let before = lagged
            .forecasts(&values, &[true; 120], &both)
            .remove(0)
            .unwrap();
        values[100] = 6.5;
        let after = lagged
            .forecasts(&values, &[true; 120], &both)
            .remove(0)
            .unwrap();
        assert!(before.iter().zip(&after).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}
