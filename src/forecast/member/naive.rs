//! The least that a forecast must beat: where it stands, and where it has been drifting to.
//!
//! Source: Hyndman and Athanasopoulos 2021, "Forecasting: principles and practice", section 5.2.

use super::{Past, end_level, jump};

/// Steps whose median is "where it stands": one odd reading must not set the level.
const STAND: usize = 3;

/// The last level, for ever: a random walk.
pub(super) fn last(past: &Past<'_>, horizon: usize) -> Option<Vec<f64>> {
    let (_, level) = end_level(past.values, STAND)?;
    Some(vec![level; horizon])
}

/// The last level, drifting on as it did from first to last, level shifts left out.
pub(super) fn drift(past: &Past<'_>, horizon: usize) -> Option<Vec<f64>> {
    let (at, level) = end_level(past.values, STAND)?;
    let head = past.values.get(..STAND.min(past.values.len()))?;
    let (first_at, first) = end_level(head, STAND)?;
    if at <= first_at {
        return None;
    }
    let jumps: f64 = past.shifts.iter().map(|s| jump(past.values, *s)).sum();
    let slope = (level - first - jumps) / (at - first_at);
    let behind = past.values.len() as f64 - 1.0 - at;
    Some(
        (1..=horizon)
            .map(|j| level + slope * (behind + j as f64))
            .collect(),
    )
}
