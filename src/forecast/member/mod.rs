//! The members: methods that each turn a past without seasons into a future.
//!
//! A member sees one slice and gives one value a step, or nothing when it does not apply. It knows
//! nothing of time, bands or the other members; `combine` weighs them by what they got right. To
//! add one: a file here, a line in [`MEMBERS`], a prior in `models/methods.toml`.

mod naive;
mod piecewise;
mod saturating;
mod smoothing;
mod trend;

use std::cell::OnceCell;

use crate::stats::median;

/// A series without its seasons; NaN is a gap, the last value is present.
pub(super) struct Past<'a> {
    /// Oldest first.
    pub(super) values: &'a [f64],
    /// First steps after level shifts, in order.
    pub(super) shifts: &'a [usize],
    /// Steps in a year, where the past holds at least two of them.
    pub(super) year: Option<f64>,
    /// Its logistic curve, once somebody has asked for it.
    rising: OnceCell<Option<saturating::Rising>>,
    /// What lines that may bend are made of, the same.
    frame: OnceCell<Option<piecewise::Frame>>,
}

impl<'a> Past<'a> {
    pub(super) const fn new(values: &'a [f64], shifts: &'a [usize], year: Option<f64>) -> Self {
        Self {
            values,
            shifts,
            year,
            rising: OnceCell::new(),
            frame: OnceCell::new(),
        }
    }
}

/// A method by its name.
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) forecast: fn(&Past<'_>, usize) -> Option<Vec<f64>>,
}

/// All members, simplest first.
pub(super) const MEMBERS: [Member; 8] = [
    Member {
        name: "naive",
        forecast: naive::last,
    },
    Member {
        name: "drift",
        forecast: naive::drift,
    },
    Member {
        name: "damped",
        forecast: smoothing::damped,
    },
    Member {
        name: "holt",
        forecast: smoothing::holt,
    },
    Member {
        name: "trend",
        forecast: trend::line,
    },
    Member {
        name: "piecewise",
        forecast: piecewise::plain,
    },
    Member {
        name: "piecewise-log",
        forecast: piecewise::logarithmic,
    },
    Member {
        name: "saturating",
        forecast: saturating::logistic,
    },
];

/// How sure it is that the growth runs into a ceiling: 0 to 1.
pub(super) use saturating::evidence;

/// The member that evidence speaks for.
pub(super) const SATURATING: &str = "saturating";

/// Names of all members.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    MEMBERS.iter().map(|member| member.name)
}

/// Present values with their steps.
pub(super) fn present(values: &[f64]) -> impl DoubleEndedIterator<Item = (usize, f64)> {
    let pairs = values.iter().copied().enumerate();
    pairs.filter(|(_, v)| v.is_finite())
}

/// How many independent errors these are worth, by their correlation from step to step.
pub(super) fn effective(residuals: &[f64]) -> f64 {
    let n = residuals.len() as f64;
    let square: f64 = residuals.iter().map(|r| r * r).sum();
    let next = residuals.iter().zip(residuals.iter().skip(1));
    let product: f64 = next.map(|(a, b)| a * b).sum();
    let rho = if square > 0.0 {
        (product / square).clamp(0.0, 0.95)
    } else {
        0.0
    };
    n * (1.0 - rho) / (1.0 + rho)
}

/// Median of the last `count` present values, and the mean step they lie at.
fn end_level(values: &[f64], count: usize) -> Option<(f64, f64)> {
    let (at, last): (Vec<f64>, Vec<f64>) = present(values)
        .rev()
        .take(count)
        .map(|(i, v)| (i as f64, v))
        .unzip();
    Some((crate::stats::mean(&at).ok()?, median(&last).ok()?))
}

/// Size of the jump at `at`, by medians of up to a window on each side.
fn jump(values: &[f64], at: usize) -> f64 {
    const REACH: usize = 7;
    let middle = |from: usize, until: usize| {
        let hood = values
            .get(from..until.min(values.len()))
            .unwrap_or_default();
        let there: Vec<f64> = present(hood).map(|(_, v)| v).collect();
        median(&there).ok()
    };
    let before = middle(at.saturating_sub(REACH), at);
    let after = middle(at, at + REACH);
    before.zip(after).map_or(0.0, |(b, a)| a - b)
}

/// Columns for the yearly season: two harmonics, which hold its slow shape (Harvey 1989,
/// "Forecasting, structural time series models", section 2.3.4).
fn yearly(year: Option<f64>, step: usize) -> impl Iterator<Item = f64> {
    let turn = year.map(|year| std::f64::consts::TAU * step as f64 / year);
    turn.into_iter().flat_map(|turn| {
        [
            turn.sin(),
            turn.cos(),
            (2.0 * turn).sin(),
            (2.0 * turn).cos(),
        ]
    })
}
