//! Growth that runs into a ceiling of its own: a logistic curve with free floor, ceiling, middle
//! and width, and what speaks for it.
//!
//! Floor and ceiling come by least squares for any middle and width; these two by a grid and a
//! search around its best cell, on at most 128 means of the past. Source of the curve: Verhulst
//! 1838, "Notice sur la loi que la population suit dans son accroissement". The evidence compares
//! it with a line, an exponential and a line with one bend by Schwarz's criterion (1978,
//! "Estimating the dimension of a model") on errors whitened by their own first-order correlation.

use super::{Past, present};
use crate::forecast::settings::settings;
use crate::stats::median;

/// Fewer steps than this cannot tell a curve from a line.
const MIN_STEPS: usize = 40;
/// Floor to ceiling is at most this multiple of what was seen.
const FARTHEST: f64 = 3.5;
/// Means that the past is reduced to.
const MEANS: usize = 128;

/// A rising logistic curve, moved half-way to the level of the last steps; nothing where it falls.
pub(super) fn logistic(past: &Past<'_>, horizon: usize) -> Option<Vec<f64>> {
    let Rising { thin, curve } = rising(past)?;
    let recent: Vec<f64> = present(past.values)
        .rev()
        .take(settings().history.level)
        .map(|(i, v)| v - curve.at(thin.place(i)))
        .collect();
    let off = 0.5 * median(&recent).ok()?;
    let n = past.values.len();
    Some(
        (n..n + horizon)
            .map(|i| curve.at(thin.place(i)) + off)
            .collect(),
    )
}

/// How much a logistic curve explains the past better than everything that goes on for ever: 0 to
/// 1, near 0 unless the difference is beyond doubt.
pub(in crate::forecast) fn evidence(past: &Past<'_>) -> f64 {
    let set = &settings().saturating;
    let difference = rising(past).and_then(|rising| rising.thin.evidence(&rising.curve));
    let Some(difference) = difference else {
        return 0.0;
    };
    set.most / (1.0 + (-(difference - set.evidence) / set.slack).exp())
}

/// The best rising curve of a past, and what it was fitted on.
pub(super) struct Rising {
    thin: Thin,
    curve: Curve,
}

/// Fitted once, for forecast and evidence alike.
fn rising<'a>(past: &'a Past<'_>) -> Option<&'a Rising> {
    let fitted = past.rising.get_or_init(|| {
        let thin = Thin::of(past)?;
        let curve = Curve::fit(&thin)?;
        Some(Rising { thin, curve })
    });
    fitted.as_ref()
}

/// Means of equally many steps, their places from 0 to about 1.
struct Thin {
    at: Vec<f64>,
    values: Vec<f64>,
    steps: f64,
    /// The largest span from floor to ceiling that is believed.
    farthest: f64,
}

impl Thin {
    fn of(past: &Past<'_>) -> Option<Self> {
        let n = past.values.len();
        if present(past.values).count() < MIN_STEPS || !past.shifts.is_empty() {
            return None;
        }
        let per = n.div_ceil(MEANS);
        let mut thin = Self {
            at: Vec::new(),
            values: Vec::new(),
            steps: n as f64,
            farthest: 0.0,
        };
        for (k, chunk) in past.values.chunks(per).enumerate() {
            let there: Vec<f64> = chunk.iter().copied().filter(|v| v.is_finite()).collect();
            if let Ok(mean) = crate::stats::mean(&there) {
                let centre = (k * per) as f64 + (chunk.len() as f64 - 1.0) / 2.0;
                thin.at.push(centre / thin.steps);
                thin.values.push(mean);
            }
        }
        let ends = thin
            .values
            .iter()
            .fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
        thin.farthest = FARTHEST * (ends.1 - ends.0);
        Some(thin)
    }

    fn place(&self, step: usize) -> f64 {
        step as f64 / self.steps
    }

    /// Criterion of the best unbounded shape less that of the curve; positive speaks for the curve.
    fn evidence(&self, curve: &Curve) -> Option<f64> {
        let set = &settings().saturating;
        // A curve that has not bent back yet is any growth; a steep one is a step.
        if curve.middle > set.latest || curve.width < set.narrowest {
            return None;
        }
        let left = |of: &dyn Fn(f64) -> f64| -> Vec<f64> {
            self.at
                .iter()
                .zip(&self.values)
                .map(|(x, v)| v - of(*x))
                .collect()
        };
        let of_curve = left(&|x| curve.at(x));
        let line = on(&self.at, &self.values);
        let of_line = left(&|x| line.at(x));
        let of_exponential = EXPONENTS
            .iter()
            .map(|g| {
                let z: Vec<f64> = self.at.iter().map(|x| (g * x).exp()).collect();
                let fit = on(&z, &self.values);
                left(&|x| fit.at((g * x).exp()))
            })
            .min_by(|a, b| square(a).total_cmp(&square(b)))?;
        let of_bend = BENDS
            .iter()
            .map(|bend| bent(&self.at, &self.values, *bend))
            .min_by(|a, b| square(a).total_cmp(&square(b)))?;
        let all = [
            (&of_line, 2.0),
            (&of_exponential, 3.0),
            (&of_bend, 4.0),
            (&of_curve, 4.0),
        ];
        let kept = all
            .iter()
            .map(|(left, _)| correlation(left))
            .fold(0.95_f64, f64::min)
            .max(0.0);
        let criterion = |left: &[f64], free: f64| {
            let n = left.len().saturating_sub(1) as f64;
            let fresh: f64 = left
                .windows(2)
                .map(|pair| match pair {
                    [a, b] => (b - kept * a).powi(2),
                    _ => 0.0,
                })
                .sum();
            // What is left of a perfect fit is rounding; squares of values far below 1 underflow.
            let floor = (1e-18 * square(&self.values)).max(f64::MIN_POSITIVE);
            n * (fresh.max(floor) / n).ln() + free * n.ln()
        };
        let [line, exponential, bend, curve] = all.map(|(left, free)| criterion(left, free));
        Some(line.min(exponential).min(bend) - curve)
    }
}

const EXPONENTS: [f64; 7] = [0.3, 0.6, 1.0, 1.5, 2.0, 3.0, 4.0];
const BENDS: [f64; 17] = [
    0.10, 0.15, 0.20, 0.25, 0.30, 0.35, 0.40, 0.45, 0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85,
    0.90,
];

fn square(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum()
}

/// First-order correlation of what a fit leaves.
fn correlation(left: &[f64]) -> f64 {
    let with: f64 = left
        .iter()
        .zip(left.iter().skip(1))
        .map(|(a, b)| a * b)
        .sum();
    with / square(left).max(f64::MIN_POSITIVE)
}

/// A straight line on one column.
struct Line {
    intercept: f64,
    slope: f64,
}

impl Line {
    fn at(&self, z: f64) -> f64 {
        self.intercept + self.slope * z
    }
}

fn on(z: &[f64], y: &[f64]) -> Line {
    let n = z.len().max(1) as f64;
    let (mz, my) = (z.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let (mut zz, mut zy) = (0.0, 0.0);
    for (a, b) in z.iter().zip(y) {
        zz += (a - mz) * (a - mz);
        zy += (a - mz) * (b - my);
    }
    let slope = if zz > 0.0 { zy / zz } else { 0.0 };
    Line {
        intercept: my - slope * mz,
        slope,
    }
}

/// What a line with one bend leaves: both sides are freed of the line, then one of the other
/// (Frisch and Waugh 1933).
fn bent(x: &[f64], y: &[f64], bend: f64) -> Vec<f64> {
    let hinge: Vec<f64> = x.iter().map(|x| (x - bend).max(0.0)).collect();
    let (of_y, of_hinge) = (on(x, y), on(x, &hinge));
    let left = |values: &[f64], line: &Line| -> Vec<f64> {
        x.iter().zip(values).map(|(x, v)| v - line.at(*x)).collect()
    };
    let (y, hinge) = (left(y, &of_y), left(&hinge, &of_hinge));
    let line = on(&hinge, &y);
    hinge.iter().zip(&y).map(|(z, v)| v - line.at(*z)).collect()
}

#[derive(Debug, Clone, Copy)]
struct Curve {
    floor: f64,
    span: f64,
    middle: f64,
    width: f64,
    loss: f64,
}

impl Curve {
    fn fit(thin: &Thin) -> Option<Self> {
        const NARROWEST: f64 = 0.03;
        const LATEST: f64 = 1.3;
        const SEARCH: usize = 40;
        let mut best: Option<Self> = None;
        for m in 2..=13 {
            for width in [0.06, 0.09, 0.12, 0.16, 0.2, 0.25, 0.3] {
                Self::better(&mut best, Self::with(thin, f64::from(m) / 10.0, width));
            }
        }
        let (mut across, mut along) = (0.05, 0.02);
        for _ in 0..SEARCH {
            let from = best?;
            for (a, b) in [
                (1.0, 0.0),
                (-1.0, 0.0),
                (0.0, 1.0),
                (0.0, -1.0),
                (1.0, 1.0),
                (-1.0, -1.0),
                (1.0, -1.0),
                (-1.0, 1.0),
            ] {
                let (middle, width) = (from.middle + a * across, from.width + b * along);
                if width >= NARROWEST && middle <= LATEST {
                    Self::better(&mut best, Self::with(thin, middle, width));
                }
            }
            if best?.loss >= from.loss {
                across /= 2.0;
                along /= 2.0;
            }
        }
        best
    }

    fn better(best: &mut Option<Self>, next: Option<Self>) {
        if let Some(next) = next
            && best.is_none_or(|best| next.loss < best.loss)
        {
            *best = Some(next);
        }
    }

    /// The best floor and span for a middle and a width; nothing where it would fall.
    fn with(thin: &Thin, middle: f64, width: f64) -> Option<Self> {
        let filled: Vec<f64> = thin.at.iter().map(|x| share(*x, middle, width)).collect();
        let line = on(&filled, &thin.values);
        let left = filled
            .iter()
            .zip(&thin.values)
            .map(|(z, v)| (v - line.at(*z)).powi(2));
        let loss = left.sum();
        let rises = line.slope > 0.0 && line.slope <= thin.farthest;
        rises.then_some(Self {
            floor: line.intercept,
            span: line.slope,
            middle,
            width,
            loss,
        })
    }

    fn at(&self, x: f64) -> f64 {
        self.floor + self.span * share(x, self.middle, self.width)
    }
}

fn share(x: f64, middle: f64, width: f64) -> f64 {
    1.0 / (1.0 + (-(x - middle) / width).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(values: &[f64]) -> Past<'_> {
        Past::new(values, &[], None)
    }

    fn noise(i: usize) -> f64 {
        let mut z = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    }

    #[test]
    fn a_curve_is_known_by_its_bend_and_goes_to_its_ceiling() {
        let values: Vec<f64> = (0..200)
            .map(|i| 100.0 + 200.0 * share(i as f64, 130.0, 25.0) + noise(i))
            .collect();
        assert!(evidence(&past(&values)) > 0.8);
        let future = logistic(&past(&values), 300).unwrap();
        assert!((future[299] - 300.0).abs() < 6.0, "{}", future[299]);
    }

    #[test]
    fn values_whose_squares_underflow_are_no_curve() {
        // They come before a value of another size, which all are scaled by.
        let values: Vec<f64> = (0..60).map(|i| 1e-200 * noise(i)).collect();
        assert!(evidence(&past(&values)) < 0.1);
    }

    #[test]
    fn lines_and_compound_growth_are_no_curves() {
        let line: Vec<f64> = (0..200)
            .map(|i| 100.0 + i as f64 + 3.0 * noise(i))
            .collect();
        let grown: Vec<f64> = (0..200)
            .map(|i| 100.0 * (0.01 * i as f64).exp() + 3.0 * noise(i))
            .collect();
        let bent: Vec<f64> = (0..200)
            .map(|i| 100.0 + (i as f64 - 80.0).max(0.0) + 3.0 * noise(i))
            .collect();
        for values in [line, grown, bent] {
            assert!(evidence(&past(&values)) < 0.1);
        }
    }
}
