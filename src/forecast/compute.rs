//! The far future of values scaled to 1: seasons and shifts off, members weighed, bands set.
//!
//! For: what both a resource's forecast and a file's series are made of. Not for: units, dates and
//! thresholds ([`forecast`](super::forecast), `extend`).

use crate::model::capacity::Backtest;
use crate::model::outcome::Experience;
use crate::stats::{MAD_TO_SD, mad};

use super::calendar::Calendar;
use super::combine::{self, Scored, Shape, Trial, believed, combined, experienced};
use super::interval::Spread;
use super::member::MEMBERS;
use super::period::Seasons;

/// Everything that is computed on values scaled to 1.
pub(super) struct Inner {
    /// The expected future from the last present value on, seasons included.
    pub(super) mean: Vec<f64>,
    /// Each member's own, where it applies.
    pub(super) forecasts: Vec<Option<Vec<f64>>>,
    pub(super) spread: Spread,
    /// The spread before experience changed it: what the back-test judges.
    pub(super) plain: Spread,
    pub(super) trial: Trial,
    pub(super) scores: Vec<Scored>,
    pub(super) weights: Vec<f64>,
    pub(super) periods: Vec<usize>,
    pub(super) seasons: Seasons,
    /// The past without its seasons.
    pub(super) flat: Vec<f64>,
}

/// Everything, without experience.
pub(super) fn compute(values: &[f64], calendar: Calendar<'_>, horizon: usize) -> Inner {
    compute_with(values, calendar, horizon, None)
}

/// Everything, weights and bands as earlier forecasts taught.
pub(super) fn compute_with(
    values: &[f64],
    calendar: Calendar<'_>,
    horizon: usize,
    experience: Option<&Experience>,
) -> Inner {
    let trial = combine::trial(values, calendar, horizon);
    let shape = Shape::of(values, calendar);
    let combine::Asked {
        forecasts,
        evidence,
    } = shape.asked(horizon);
    let available: Vec<bool> = forecasts.iter().map(Option::is_some).collect();
    let earned = experienced(trial.weights(&available, None), experience);
    let weights = believed(earned, evidence);
    let mean = combined(&forecasts, &weights, horizon);
    let scores = trial.scores();
    let flat = shape.seasons.remove(values);
    let walk: Vec<f64> = flat
        .windows(2)
        .filter_map(|pair| match pair {
            [a, b] if a.is_finite() && b.is_finite() => Some(b - a),
            _ => None,
        })
        .collect();
    let walk = mad(&walk).unwrap_or(0.0) * MAD_TO_SD;
    let level = values.iter().rev().find(|v| v.is_finite()).copied();
    let plain = Spread::of(&scores, trial.origins(), level.unwrap_or(0.0), walk);
    let spread = match experience {
        Some(experience) => plain.clone().widened(experience.band()),
        None => plain.clone(),
    };
    Inner {
        mean,
        forecasts,
        spread,
        plain,
        trial,
        scores,
        weights,
        periods: shape.seasons.periods(),
        seasons: shape.seasons,
        flat,
    }
}

/// The members that carry the forecast, heaviest first, and whether seasons were put on.
pub(super) fn method(inner: &Inner) -> String {
    /// Lighter members are not named.
    const NAMED: f64 = 0.10;
    let mut carried: Vec<(&str, f64)> = MEMBERS
        .iter()
        .zip(&inner.weights)
        .map(|(member, weight)| (member.name, *weight))
        .filter(|(_, weight)| *weight >= NAMED)
        .collect();
    carried.sort_by(|a, b| b.1.total_cmp(&a.1));
    let names: Vec<&str> = carried.into_iter().map(|(name, _)| name).collect();
    let season = if inner.periods.is_empty() {
        ""
    } else {
        " with season"
    };
    format!("{}{season}", names.join("+"))
}

/// An error as a multiple of the naive one; 1 where that is none. Both may be all but nothing.
pub(super) fn relative(own: f64, naive: f64) -> f64 {
    if naive > 0.0 {
        (own / naive).clamp(0.0, f64::MAX)
    } else {
        1.0
    }
}

/// Figures of the back-test; the coverage at an origin uses a spread that did not see it.
pub(super) fn backtest(inner: &Inner, scale: f64) -> Backtest {
    let count = inner.scores.len().max(1) as f64;
    let own: f64 = inner.scores.iter().map(|s| s.error.abs()).sum();
    let naive: f64 = inner.scores.iter().map(|s| s.baseline_error.abs()).sum();
    let origins = inner.trial.origins();
    let (mut in80, mut in95) = (0.0, 0.0);
    for origin in 0..origins {
        let others: Vec<Scored> = inner
            .scores
            .iter()
            .filter(|s| s.origin != origin)
            .copied()
            .collect();
        let spread = if others.is_empty() {
            inner.plain.clone()
        } else {
            Spread::of(&others, origins - 1, 1.0, inner.plain.at(1))
        };
        let [r80, r95] = [0.80, 0.95].map(|level| spread.reach().at(level));
        for s in inner.scores.iter().filter(|s| s.origin == origin) {
            let size = s.error.abs() / spread.at(s.ahead).max(f64::MIN_POSITIVE);
            in80 += f64::from(u8::from(size <= r80));
            in95 += f64::from(u8::from(size <= r95));
        }
    }
    Backtest {
        origins,
        horizon: inner.trial.horizon,
        mae: (own / count * scale).clamp(0.0, f64::MAX),
        relative_mae: relative(own, naive),
        coverage_p80: in80 / count,
        coverage_p95: in95 / count,
    }
}
