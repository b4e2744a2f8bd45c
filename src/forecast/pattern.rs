//! What was found in the past, as a person is told it: seasons by name, changes by date.
//!
//! For: [`Season`] and [`Change`] from what the engine found. Not for: finding them (`period`,
//! `shift`, `bend`).

use crate::model::capacity::{Change, ChangeKind, Season, Turn};
use crate::model::units::{Millis, Timestamp};
use crate::stats::{mean, median};

use super::bend;
use super::period::Seasons;
use super::settings::settings;
use super::shift;

/// Steps over which several seasons are told apart at most: the product of two monthly ones.
const APART_MAX: usize = 1_024;

/// The name of a ramp that falls back.
pub(super) const SAWTOOTH: &str = "sawtooth";

/// Lengths in days that have a name: from, until, name.
const NAMES: [(f64, f64, &str); 7] = [
    (0.99, 1.01, "day"),
    (6.9, 7.1, "week"),
    (13.9, 14.1, "two weeks"),
    (27.9, 28.1, "four weeks"),
    (29.5, 31.5, "month"),
    (89.0, 93.0, "quarter"),
    (360.0, 370.0, "year"),
];

/// The past that seasons and changes were found in, on values scaled to 1.
pub(super) struct Found<'a> {
    /// The seasons on top of `flat`.
    pub(super) seasons: &'a Seasons,
    /// One value a step with its seasons taken off; NaN is a gap.
    pub(super) flat: &'a [f64],
    /// Distance between values.
    pub(super) step: Millis,
    /// What values were divided by.
    pub(super) scale: f64,
}

impl Found<'_> {
    /// Each season by itself, strongest first; profiles begin at step `first`, around `level`.
    ///
    /// Together they are what the engine puts on. Seasons are told apart by averaging the phases of
    /// each over whole rounds of the others. Strength is `1 − Var(R) / Var(R + S)` with the season
    /// S and what a moving mean leaves, R (Wang, Smith and Hyndman 2006, "Characteristic-based
    /// clustering for time series data").
    pub(super) fn seasons(&self, level: f64, first: usize) -> Vec<Season> {
        let periods = self.seasons.periods();
        let apart = periods
            .iter()
            .fold(1_usize, |all, p| all.saturating_mul(*p));
        let longest = periods.iter().copied().max().unwrap_or(1);
        let apart = apart.min(APART_MAX).max(longest);
        let mut left: Vec<f64> = (first..first + apart)
            .map(|i| self.seasons.put_on(level, i) - level)
            .collect();
        let told = periods.into_iter().filter(|period| *period > 1);
        told.map(|period| {
            let shape = phases(&left, period);
            for (v, own) in left.iter_mut().zip(shape.iter().cycle()) {
                *v -= own;
            }
            Season {
                period,
                name: name(&shape, period, self.step),
                strength: self.strength(&shape, first),
                profile: shape.into_iter().map(|v| v * self.scale).collect(),
            }
        })
        // Readings near the end of the number range can overflow: then nothing is said.
        .filter(|season| season.profile.iter().all(|v| v.is_finite()))
        .collect()
    }

    fn strength(&self, shape: &[f64], first: usize) -> f64 {
        let period = shape.len().max(1);
        // Where in the shape step 0 stands, when step `first` stands at its beginning.
        let offset = (period - first % period) % period;
        let half = period.div_ceil(2).max(3);
        let there = |v: &f64| v.is_finite();
        let (mut rest, mut whole) = (Vec::new(), Vec::new());
        for (i, v) in self.flat.iter().enumerate().filter(|(_, v)| there(v)) {
            let hood = self
                .flat
                .get(i.saturating_sub(half)..(i + half + 1).min(self.flat.len()));
            let near: Vec<f64> = hood
                .unwrap_or_default()
                .iter()
                .copied()
                .filter(there)
                .collect();
            let left = v - mean(&near).unwrap_or(*v);
            rest.push(left);
            whole.push(left + shape.get((i + offset) % period).copied().unwrap_or(0.0));
        }
        let (rest, whole) = (variance(&rest), variance(&whole));
        if whole > 0.0 {
            (1.0 - rest / whole).clamp(0.0, 1.0)
        } else {
            0.0
        }
    }

    /// What [`Self::turns`] finds, by date; `end` is the end of the last value's step.
    pub(super) fn changes(&self, end: Timestamp) -> Vec<Change> {
        let turns = self.turns().into_iter();
        turns
            .map(|turn| {
                let back = self.flat.len().saturating_sub(turn.at) as u64;
                let back = Millis(self.step.0.saturating_mul(back));
                Change {
                    at: end.minus(back.as_duration()),
                    kind: turn.kind,
                    size: turn.size,
                }
            })
            .collect()
    }

    /// Jumps that stayed, where they are worth a word, and bends of the growth, oldest first.
    pub(super) fn turns(&self) -> Vec<Turn> {
        let there = self.flat.iter().filter(|v| v.is_finite());
        let sizes: Vec<f64> = there.map(|v| v.abs()).collect();
        let worth = settings().shift.told * median(&sizes).unwrap_or(0.0);
        let jumps = shift::sizes(self.flat, &shift::find(self.flat));
        let mut smooth = self.flat.to_vec();
        for (place, size) in &jumps {
            for v in smooth.iter_mut().skip(*place) {
                *v -= size;
            }
        }
        let per_day = self.scale / self.step.as_days();
        let jumps = jumps
            .into_iter()
            .filter(|(_, size)| size.abs() >= worth)
            .map(|(at, size)| Turn {
                at,
                kind: ChangeKind::Step,
                size: size * self.scale,
            });
        let bends = bend::find(&smooth).into_iter().map(|bend| Turn {
            at: bend.at,
            kind: ChangeKind::Slope,
            size: bend.change * per_day,
        });
        let mut turns: Vec<Turn> = jumps.chain(bends).collect();
        turns.retain(|turn| turn.size.is_finite());
        turns.sort_by_key(|turn| turn.at);
        turns
    }
}

/// Mean of each phase, mean 0 over all.
fn phases(values: &[f64], period: usize) -> Vec<f64> {
    let mut sums = vec![(0.0, 0.0); period];
    for (i, v) in values.iter().enumerate() {
        if let Some((sum, count)) = sums.get_mut(i % period) {
            *sum += v;
            *count += 1.0;
        }
    }
    let means: Vec<f64> = sums
        .into_iter()
        .map(|(s, n): (f64, f64)| s / n.max(1.0))
        .collect();
    let off = mean(&means).unwrap_or(0.0);
    means.into_iter().map(|v| v - off).collect()
}

fn variance(values: &[f64]) -> f64 {
    let middle = mean(values).unwrap_or(0.0);
    let squares: f64 = values.iter().map(|v| (v - middle).powi(2)).sum();
    squares / values.len().max(1) as f64
}

fn name(shape: &[f64], period: usize, step: Millis) -> String {
    if is_sawtooth(shape) {
        return SAWTOOTH.to_owned();
    }
    let days = period as f64 * step.as_days();
    let known = NAMES
        .iter()
        .find(|(from, until, _)| (*from..*until).contains(&days));
    match known {
        Some((_, _, name)) => (*name).to_owned(),
        None if days >= 1.0 => format!("{days:.0} days"),
        None => format!("{:.0} hours", days * 24.0),
    }
}

/// A ramp that falls (or jumps) back in one step: that step takes most of the range, all others
/// together go the other way, and none of them is large. The bounds are our own.
fn is_sawtooth(shape: &[f64]) -> bool {
    /// A shorter pattern is told by its length.
    const LEAST: usize = 5;
    let (lo, hi) = shape
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| {
            (lo.min(*v), hi.max(*v))
        });
    let range = hi - lo;
    if shape.len() < LEAST || range <= 0.0 {
        return false;
    }
    let next = shape.iter().cycle().skip(1);
    let moves: Vec<f64> = shape.iter().zip(next).map(|(a, b)| b - a).collect();
    let largest = moves
        .iter()
        .copied()
        .fold(0.0_f64, |a, b| if b.abs() > a.abs() { b } else { a });
    let travelled: f64 = moves.iter().map(|m| m.abs()).sum();
    let back = moves
        .iter()
        .map(|m| -m * largest.signum())
        .fold(0.0_f64, f64::max);
    largest.abs() >= 0.7 * range && travelled <= 2.5 * range && back <= 0.4 * range
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::period;

    fn noise(i: usize) -> f64 {
        ((i * 7919 + 13) % 101) as f64 / 101.0 - 0.5
    }

    fn found(values: &[f64], read: impl Fn(&Found<'_>) -> Vec<Season>) -> Vec<Season> {
        let seasons = period::find(values, &[7, 14, 28, 30, 31]);
        let flat = seasons.remove(values);
        read(&Found {
            seasons: &seasons,
            flat: &flat,
            step: Millis::DAY,
            scale: 10.0,
        })
    }

    #[test]
    fn a_week_is_told_by_name_from_the_first_step_on() {
        let week = [0.0, 1.0, 2.0, 1.0, 0.0, -2.0, -2.0];
        let values: Vec<f64> = (0..123)
            .map(|i| 50.0 + week[i % 7] + 0.2 * noise(i))
            .collect();
        let told = found(&values, |found| found.seasons(50.0, 123));
        assert_eq!(
            (told.len(), told[0].name.as_str(), told[0].period),
            (1, "week", 7)
        );
        for (ahead, v) in told[0].profile.iter().enumerate() {
            let wanted = 10.0 * week[(123 + ahead) % 7];
            assert!((v - wanted).abs() < 2.0, "{ahead}: {v} for {wanted}");
        }
        assert!(told[0].strength > 0.95, "{}", told[0].strength);
    }

    #[test]
    fn a_ramp_that_falls_back_is_a_sawtooth_and_a_week_is_none() {
        let values: Vec<f64> = (0..240)
            .map(|i| 50.0 + (i % 30) as f64 + noise(i))
            .collect();
        let told = found(&values, |found| found.seasons(60.0, 240));
        assert_eq!(told[0].name, "sawtooth");
        assert!(!is_sawtooth(&[1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]));
    }

    #[test]
    fn two_seasons_add_up_to_what_the_engine_puts_on() {
        let week = [0.0, 1.0, 2.0, 1.0, 0.0, -2.0, -2.0];
        let month = |i: usize| 3.0 * (i as f64 / 30.0 * std::f64::consts::TAU).sin();
        let values: Vec<f64> = (0..300)
            .map(|i| 50.0 + week[i % 7] + month(i) + 0.2 * noise(i))
            .collect();
        let seasons = period::find(&values, &[7, 14, 28, 30, 31]);
        assert_eq!(seasons.periods().len(), 2);
        let flat = seasons.remove(&values);
        let found = Found {
            seasons: &seasons,
            flat: &flat,
            step: Millis::DAY,
            scale: 1.0,
        };
        let told = found.seasons(50.0, 300);
        for ahead in 0..100 {
            let sum: f64 = told.iter().map(|season| season.at(ahead)).sum();
            let put_on = seasons.put_on(50.0, 300 + ahead) - 50.0;
            assert!((sum - put_on).abs() < 0.3, "{ahead}: {sum} for {put_on}");
        }
    }

    #[test]
    fn a_jump_is_told_by_its_day_and_size() {
        let values: Vec<f64> = (0..120)
            .map(|i| 10.0 + noise(i) + if i >= 70 { 15.0 } else { 0.0 })
            .collect();
        let end = Timestamp::from_millis(120 * 86_400_000);
        let found = Found {
            seasons: &Seasons::default(),
            flat: &values,
            step: Millis::DAY,
            scale: 2.0,
        };
        let [change] = found.changes(end).try_into().unwrap();
        assert_eq!(change.at, Timestamp::from_millis(70 * 86_400_000));
        assert!((change.size - 30.0).abs() < 2.0, "{change:?}");
    }

    #[test]
    fn a_jump_that_nobody_would_see_is_not_told() {
        let values: Vec<f64> = (0..120)
            .map(|i| 100.0 + 0.01 * noise(i) + if i >= 70 { 0.5 } else { 0.0 })
            .collect();
        let found = Found {
            seasons: &Seasons::default(),
            flat: &values,
            step: Millis::DAY,
            scale: 1.0,
        };
        assert_eq!(shift::find(&values), [70]);
        assert_eq!(found.changes(Timestamp::from_millis(0)), []);
    }

    #[test]
    fn growth_that_doubles_after_a_jump_is_told_a_day() {
        let grown = |i: usize| i as f64 + i.saturating_sub(120) as f64;
        let values: Vec<f64> = (0..200)
            .map(|i| 500.0 + grown(i) + noise(i) + if i >= 60 { 90.0 } else { 0.0 })
            .collect();
        let found = Found {
            seasons: &Seasons::default(),
            flat: &values,
            step: Millis(2 * Millis::DAY.0),
            scale: 4.0,
        };
        let end = Timestamp::from_millis(400 * 86_400_000);
        let [jump, bend] = found.changes(end).try_into().unwrap();
        assert_eq!(
            (jump.kind, bend.kind),
            (ChangeKind::Step, ChangeKind::Slope)
        );
        let days = bend.at.as_millis() / 86_400_000;
        assert!((232..=248).contains(&days), "{days}");
        assert!((bend.size - 2.0).abs() < 0.2, "{bend:?}");
    }
}
