//! From raw readings to evenly spaced steps: faults masked, gaps kept, days folded.
//!
//! Days are counted back from the end of the window, so that the last one is whole and shifting a
//! series in time changes nothing. A day's mean with hours missing is put right by the typical
//! shape of the day; a gap stays a gap.

use crate::model::series::Window;
use crate::model::units::Millis;
use crate::stats::moving::Moving;
use crate::stats::{MAD_TO_SD, mad, mean, median, quantile};

use super::Fold;
use super::settings::settings;

/// A window folded to the step of the forecast.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Steps {
    /// One a step, oldest first; NaN is a gap. First and last are present unless all are gaps.
    pub(super) values: Vec<f64>,
    /// Distance between values.
    pub(super) step: Millis,
    /// Steps without a value between the last one and the end of the window.
    pub(super) silent: usize,
    /// How far the busiest part of a day stands above the day's value, typically; 0 if unknown.
    pub(super) swing: f64,
}

/// Masks faults, folds to days where the window is finer, cuts to what is looked at.
pub(super) fn steps(window: &Window, fold: Fold) -> Steps {
    let max = settings().history.most;
    let day = Millis::DAY.0;
    if window.step.0 >= day {
        let from = window.values.len().saturating_sub(max);
        let mut values = finite(window.values.get(from..).unwrap_or_default());
        mask_faults(&mut values);
        return trimmed(values, window.step, 0.0);
    }
    let per_day = usize::try_from(day / window.step.0.max(1)).unwrap_or(usize::MAX);
    let from = window
        .values
        .len()
        .saturating_sub(per_day.saturating_mul(max));
    let mut raw = finite(window.values.get(from..).unwrap_or_default());
    mask_faults(&mut raw);
    days(&raw, window.step, fold)
}

/// Readings finer than a day, folded to days; faults are masked already, infinities are none.
pub(super) fn days(masked: &[f64], fine: Millis, fold: Fold) -> Steps {
    let lengths = Lengths {
        fine,
        whole: Millis::DAY,
    };
    let (mut days, swing) = fold_steps(masked, lengths, fold);
    mask_faults(&mut days);
    trimmed(days, Millis::DAY, swing)
}

/// A window in longer steps that end where it ends, faults left in: what a chart of the past shows.
pub(super) fn folded(window: &Window, step: Millis, fold: Fold) -> Window {
    if window.step.0 >= step.0 {
        return window.clone();
    }
    let lengths = Lengths {
        fine: window.step,
        whole: step,
    };
    let (values, _) = fold_steps(&finite(&window.values), lengths, fold);
    let length = Millis(step.0.saturating_mul(values.len() as u64));
    let start = window.end().minus(length.as_duration());
    Window {
        start,
        step,
        values,
    }
}

fn finite(values: &[f64]) -> Vec<f64> {
    let keep = |v: &f64| if v.is_finite() { *v } else { f64::NAN };
    values.iter().map(keep).collect()
}

fn trimmed(mut values: Vec<f64>, step: Millis, swing: f64) -> Steps {
    let whole = values.len();
    let kept = values
        .iter()
        .rposition(|v| v.is_finite())
        .map_or(0, |last| last + 1);
    values.truncate(kept);
    let lead = values.iter().position(|v| v.is_finite()).unwrap_or(0);
    values.drain(..lead);
    Steps {
        values,
        step,
        silent: whole - kept,
        swing,
    }
}

/// Replaces isolated spikes and zero readings by gaps.
///
/// A reading is compared with the median of its neighbours (Hampel's filter: Davies and Gather
/// 1993, "The identification of multiple outliers"). Whatever comes in longer runs, or too often,
/// or at the very end, is taken for real.
pub(super) fn mask_faults(values: &mut [f64]) {
    let set = &settings().clean;
    let n = values.len();
    let residuals = off_their_neighbours(values, set.window);
    let sizes: Vec<f64> = residuals
        .iter()
        .filter(|r| r.is_finite())
        .map(|r| r.abs())
        .collect();
    if sizes.len() < 2 * set.window + 1 {
        return;
    }
    let middle = quantile::quantile(&sizes, 0.5).unwrap_or(0.0) * MAD_TO_SD;
    let q95 = quantile::quantile(&sizes, 0.95).unwrap_or(0.0);
    let bound = (set.spike_sd * middle).max(set.spike_q95 * q95);
    let suspects: Vec<usize> = residuals
        .iter()
        .enumerate()
        // The last readings have no neighbours after them that could speak against them.
        .filter(|(i, r)| r.abs() > bound && *i + set.spike_run < n)
        .map(|(i, _)| i)
        .collect();
    if suspects.len() as f64 > set.spike_share * sizes.len() as f64 {
        return;
    }
    for run in suspects.chunk_by(|a, b| a + 1 == *b) {
        if run.len() <= set.spike_run {
            for i in run {
                if let Some(v) = values.get_mut(*i) {
                    *v = f64::NAN;
                }
            }
        }
    }
}

/// Each value less the median of those up to `reach` steps away, itself among them; NaN at gaps.
fn off_their_neighbours(values: &[f64], reach: usize) -> Vec<f64> {
    let mut near = Moving::with_capacity(2 * reach + 2);
    for v in values.iter().take(reach) {
        near.take(*v);
    }
    let off = |(at, own): (usize, &f64)| {
        if let Some(come) = values.get(at + reach) {
            near.take(*come);
        }
        if let Some(gone) = at.checked_sub(reach + 1).and_then(|gone| values.get(gone)) {
            near.leave(*gone);
        }
        own - near.median()
    };
    values.iter().enumerate().map(off).collect()
}

/// What is folded into what.
#[derive(Debug, Clone, Copy)]
struct Lengths {
    /// Distance of readings.
    fine: Millis,
    /// Of what they are folded into: a day, as a rule.
    whole: Millis,
}

impl Lengths {
    /// The place of a reading: days before the end, and steps before the end of that day.
    fn place(self, from_end: usize) -> (usize, usize) {
        let before = (from_end as u64).saturating_mul(self.fine.0);
        let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        (
            count(before / self.whole.0),
            count(before % self.whole.0 / self.fine.0.max(1)),
        )
    }
}

fn fold_steps(raw: &[f64], lengths: Lengths, fold: Fold) -> (Vec<f64>, f64) {
    let mut days: Vec<Vec<(usize, f64)>> = Vec::new();
    for (from_end, v) in raw.iter().rev().enumerate() {
        let (day, phase) = lengths.place(from_end);
        if days.len() <= day {
            days.resize(day + 1, Vec::new());
        }
        if let (Some(bucket), true) = (days.get_mut(day), v.is_finite()) {
            bucket.push((phase, *v));
        }
    }
    let full = usize::try_from(lengths.whole.0 / lengths.fine.0.max(1))
        .unwrap_or(1)
        .max(1);
    let shape = shape_of_day(&days, full);
    let at = |phase: usize| shape.get(phase).copied().unwrap_or(0.0);
    let need = settings().clean.day_share * full as f64;
    let folded = days.iter().rev().map(|readings| {
        if readings.is_empty() || (readings.len() as f64) < need {
            return f64::NAN;
        }
        match fold {
            Fold::Mean => {
                let flat: Vec<f64> = readings.iter().map(|(p, v)| v - at(*p)).collect();
                mean(&flat).unwrap_or(f64::NAN)
            }
            Fold::P95 => {
                let plain: Vec<f64> = readings.iter().map(|(_, v)| *v).collect();
                quantile::quantile(&plain, 0.95).unwrap_or(f64::NAN)
            }
            Fold::Max => readings.iter().map(|(_, v)| *v).fold(f64::NAN, f64::max),
        }
    });
    let swing = match fold {
        Fold::Mean => shape.iter().copied().fold(0.0, f64::max),
        Fold::P95 | Fold::Max => 0.0,
    };
    (folded.collect(), swing)
}

/// Median distance from the day's mean by time of day, over recent days that are nearly whole;
/// its own mean is 0. Empty when no day is.
fn shape_of_day(days: &[Vec<(usize, f64)>], full: usize) -> Vec<f64> {
    /// Eight weeks: long enough to be steady, short enough to be of today.
    const RECENT_DAYS: usize = 56;
    let mut by_phase: Vec<Vec<f64>> = vec![Vec::new(); full];
    let whole = days.iter().filter(|d| d.len() as f64 >= 0.9 * full as f64);
    for readings in whole.take(RECENT_DAYS) {
        let values: Vec<f64> = readings.iter().map(|(_, v)| *v).collect();
        let Ok(middle) = mean(&values) else { continue };
        for (phase, v) in readings {
            if let Some(bucket) = by_phase.get_mut(*phase) {
                bucket.push(v - middle);
            }
        }
    }
    let mut shape: Vec<f64> = by_phase.iter().map(|b| median(b).unwrap_or(0.0)).collect();
    let noise = by_phase
        .iter()
        .filter_map(|b| mad(b).ok())
        .fold(0.0, f64::max)
        * MAD_TO_SD;
    let cycles = by_phase.iter().map(Vec::len).max().unwrap_or(0).max(1) as f64;
    // The largest of many noisy medians is above zero without any shape to the day.
    let doubt = 2.5 * noise / cycles.sqrt();
    if shape.iter().all(|v| v.abs() <= doubt) {
        shape.fill(0.0);
    }
    let off = mean(&shape).unwrap_or(0.0);
    shape.iter().map(|v| v - off).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::units::Timestamp;

    fn window(step: Millis, values: Vec<f64>) -> Window {
        Window {
            start: Timestamp::from_millis(0),
            step,
            values,
        }
    }

    #[test]
    fn isolated_spikes_and_zero_readings_become_gaps_and_steps_stay() {
        let noise = |i: usize| ((i * 7919) % 13) as f64 / 10.0;
        let mut values: Vec<f64> = (0..120)
            .map(|i| if i < 60 { 100.0 } else { 140.0 } + noise(i))
            .collect();
        values[20] = 300.0;
        values[80] = 0.0;
        mask_faults(&mut values);
        let gaps: Vec<usize> = (0..120).filter(|i| values[*i].is_nan()).collect();
        assert_eq!(gaps, [20, 80]);
    }

    #[test]
    fn a_saw_tooth_is_structure() {
        let mut values: Vec<f64> = (0..140).map(|i| f64::from(i % 14)).collect();
        mask_faults(&mut values);
        assert!(values.iter().all(|v| v.is_finite()));
    }

    #[test]
    fn hours_fold_to_days_counted_from_the_end() {
        // 2.5 days: the first half day is half there, and still counts.
        let hours: Vec<f64> = (0..60).map(|h| if h < 12 { 1.0 } else { 2.0 }).collect();
        let folded = steps(&window(Millis::HOUR, hours), Fold::Mean);
        assert_eq!(folded.step, Millis::DAY);
        let near = |(v, want): (&f64, f64)| (v - want).abs() < 1e-9;
        assert!(folded.values.iter().zip([1.0, 2.0, 2.0]).all(near));
        assert_eq!(folded.values.len(), 3);
    }

    #[test]
    fn hours_fold_to_weeks_and_days_by_mean_quantile_or_largest() {
        // Two weeks and a day of hours: 0 to 23 each day, ten times that on the last of a week.
        let hours: Vec<f64> = (0..15 * 24)
            .map(|h| f64::from(h % 24) * if h / 24 % 7 == 0 { 10.0 } else { 1.0 })
            .collect();
        let hours = window(Millis::HOUR, hours);
        let fold = |step: u64, fold| folded(&hours, Millis(step * Millis::DAY.0), fold).values;
        let near = |found: &[f64], wanted: &[f64]| {
            assert_eq!(found.len(), wanted.len(), "{found:?}");
            for (a, b) in found.iter().zip(wanted) {
                assert!(
                    (a - b).abs() < 1e-9 || a.is_nan() && b.is_nan(),
                    "{found:?}"
                );
            }
        };
        // numpy.quantile(range(24), .95) is 21.85.
        near(&fold(1, Fold::P95)[12..], &[21.85, 21.85, 218.5]);
        near(&fold(1, Fold::Max)[12..], &[23.0, 23.0, 230.0]);
        // Weeks end where the hours end; the day before the first whole one is too little of a week.
        near(&fold(7, Fold::Max), &[f64::NAN, 230.0, 230.0]);
        near(&fold(7, Fold::Mean), &[f64::NAN, 184.0 / 7.0, 184.0 / 7.0]);
        let week = folded(&hours, Millis(7 * Millis::DAY.0), Fold::Mean);
        assert_eq!(week.end(), hours.end());
        // What is as coarse stays as it is.
        let days = folded(&hours, Millis::DAY, Fold::Mean);
        assert_eq!(folded(&days, Millis::HOUR, Fold::Max), days);
    }

    #[test]
    fn a_day_with_its_busy_hours_missing_is_put_right() {
        let mut hours: Vec<f64> = (0..240)
            .map(|h| {
                if (8..20).contains(&(h % 24)) {
                    30.0
                } else {
                    10.0
                }
            })
            .collect();
        for hour in &mut hours[128..140] {
            *hour = f64::NAN;
        }
        let folded = steps(&window(Millis::HOUR, hours), Fold::Mean);
        assert!(folded.values.iter().all(|v| (v - 20.0).abs() < 1e-9));
        assert!((folded.swing - 10.0).abs() < 1e-9);
    }

    #[test]
    fn silence_at_the_end_is_counted_and_infinities_are_gaps() {
        let values = vec![f64::INFINITY, 1.0, 2.0, f64::NAN, f64::NAN];
        let folded = steps(&window(Millis::DAY, values), Fold::Mean);
        assert_eq!(folded.values, [1.0, 2.0]);
        assert_eq!(folded.silent, 2);
    }
}
