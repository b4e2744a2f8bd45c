//! Where a scaled future lies in time and unit, and when it meets the plan's thresholds there.
//!
//! For: turning steps ahead into instants. Not for: the paths themselves (`crossing`).

use crate::model::capacity::Crossing;
use crate::model::units::{Millis, Timestamp};
use crate::stats::median;

use super::Plan;
use super::clean::Steps;
use super::compute::Inner;
use super::crossing::{Paths, Reached};
use super::settings::settings;

/// Readings whose median says where a series stands now.
const NOW: usize = 3;

/// Where the scaled future lies in time and unit.
pub(super) struct Frame<'a> {
    pub(super) steps: &'a Steps,
    /// How far the busiest part of a day stands above its value, in the series' unit.
    pub(super) swing: f64,
    pub(super) scale: f64,
    pub(super) level: f64,
    pub(super) silent: usize,
    pub(super) end: Timestamp,
}

impl Frame<'_> {
    /// Where the series stands now: its last readings or its level, whichever is higher; after a step
    /// down its last readings alone.
    pub(super) fn present(&self, scaled: &[f64], season: Option<usize>) -> f64 {
        let last = scaled.iter().rev().copied().filter(|v| v.is_finite());
        let now = median(&last.take(NOW).collect::<Vec<_>>()).unwrap_or(self.level);
        if has_stepped_down(scaled, season) {
            now
        } else {
            now.max(self.level)
        }
    }

    /// The end of the last step that holds a value.
    pub(super) fn last_end(&self) -> Timestamp {
        let silent = self.steps.step.0.saturating_mul(self.steps.silent as u64);
        self.end.minus(Millis(silent).as_duration())
    }
}

/// Whether the level of the last season is one that has been left for a lower one: its last readings,
/// two or more, all lie below all others, by more than either part of them scatters. With a season,
/// against the readings of one season before: the end of each week is no step. The rule is our own.
fn has_stepped_down(scaled: &[f64], season: Option<usize>) -> bool {
    /// How much wider than both parts together the gap is.
    const CLEAR: f64 = 2.0;
    let count = season.unwrap_or(settings().history.level);
    let from = scaled.len().saturating_sub(count);
    let recent = scaled.get(from..).unwrap_or_default();
    let moves: Vec<f64> = match season {
        Some(season) if scaled.len() >= 2 * season => {
            let before = scaled.get(from - season..).unwrap_or_default();
            let pairs = recent.iter().zip(before);
            pairs.map(|(now, then)| now - then).collect()
        }
        _ => recent.to_vec(),
    };
    let moves: Vec<f64> = moves.into_iter().filter(|v| v.is_finite()).collect();
    let ends = |part: &[f64]| {
        let least = part.iter().copied().fold(f64::INFINITY, f64::min);
        let most = part.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (least, most)
    };
    (2..moves.len().saturating_sub(1)).any(|split| {
        let (high, low) = moves.split_at(split);
        let ((high_least, high_most), (low_least, low_most)) = (ends(high), ends(low));
        let scatter = (high_most - high_least) + (low_most - low_least);
        let gap = high_least - low_most;
        // Not the last digit of a constant.
        gap > CLEAR * scatter && gap > 1e-9 * high_most.abs()
    })
}

/// When each threshold of the plan is met, in its order.
pub(super) fn crossings(
    scaled: &[f64],
    inner: &Inner,
    plan: &Plan,
    frame: &Frame<'_>,
) -> Vec<Crossing> {
    if plan.thresholds.is_empty() {
        return Vec::new();
    }
    let present = frame.present(scaled, inner.periods.first().copied());
    let paths = Paths::draw(inner.mean.len(), plan.seed);
    plan.thresholds
        .iter()
        .map(|threshold| {
            let value = (threshold.value - frame.swing) / frame.scale;
            let crossed = present >= value;
            let reached = if crossed {
                Reached {
                    probability: 1.0,
                    quantiles: [Some(0.0); 3],
                }
            } else {
                paths.reach(&inner.mean, &inner.spread, value)
            };
            let at = |steps: Option<f64>| steps.map(|steps| instant(steps, frame));
            let [p10, p50, p90] = reached.quantiles;
            Crossing {
                name: threshold.name.clone(),
                threshold: threshold.value,
                probability: reached.probability,
                p10: at(p10),
                p50: at(p50),
                p90: at(p90),
                crossed,
            }
        })
        .collect()
}

/// The end of the step in which something is reached; never before the end of the history.
fn instant(steps: f64, frame: &Frame<'_>) -> Timestamp {
    let ahead = (steps - frame.silent as f64).max(0.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most two years in milliseconds, not negative"
    )]
    let ms = (ahead * frame.steps.step.0 as f64) as u64;
    frame.end.plus(Millis(ms).as_duration())
}
