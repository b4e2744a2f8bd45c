//! What a step is, and so which periods may be in a series.
//!
//! For: candidates of seasons and the length of a year in steps. Not for: finding either (`period`).

use std::borrow::Cow;

use crate::model::units::Millis;

use super::settings::settings;

/// A series' step, and what somebody who knows has said of its periods.
#[derive(Debug, Clone, Copy)]
pub(super) struct Calendar<'a> {
    /// Distance between values.
    pub(super) step: Millis,
    /// Periods in steps; empty: the usual ones are looked for. A period of 1 is none.
    pub(super) told: &'a [usize],
}

impl Calendar<'_> {
    /// Periods that are tried, rising.
    pub(super) fn candidates(&self) -> Cow<'static, [usize]> {
        let set = &settings().season;
        if !self.told.is_empty() {
            let mut told: Vec<usize> = self.told.iter().copied().filter(|p| *p > 1).collect();
            told.sort_unstable();
            told.dedup();
            return Cow::Owned(told);
        }
        match self.step.as_days() {
            _ if self.is_odd() => Cow::Borrowed(&[]),
            days if days <= 1.0 => Cow::Borrowed(&set.day_periods),
            days if (6.5..7.5).contains(&days) => Cow::Borrowed(&set.week_periods),
            _ => Cow::Borrowed(&[]),
        }
    }

    /// A step within a day that does not divide it: no number of steps is a day or a week.
    fn is_odd(&self) -> bool {
        (1..Millis::DAY.0).contains(&self.step.0) && !Millis::DAY.0.is_multiple_of(self.step.0)
    }

    /// Steps of a year.
    pub(super) fn per_year(&self) -> f64 {
        match self.step.as_days() {
            days if days <= 1.0 && !self.is_odd() => 365.25,
            days if (6.5..7.5).contains(&days) => 365.25 / 7.0,
            days => 365.25 / days,
        }
    }

    /// The same of steps that are `per` times as long: told periods that do not divide are gone.
    pub(super) fn folded(told: &[usize], per: usize) -> Vec<usize> {
        let whole = told.iter().filter(|p| p.is_multiple_of(per));
        whole.map(|p| p / per).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn told_periods_are_the_only_candidates() {
        let calendar = |told| Calendar {
            step: Millis::DAY,
            told,
        };
        assert!(calendar(&[]).candidates().contains(&7));
        assert_eq!(*calendar(&[30, 1, 10, 30]).candidates(), [10, 30]);
        assert!(calendar(&[1]).candidates().is_empty());
    }

    #[test]
    fn hours_become_days() {
        assert_eq!(Calendar::folded(&[24, 168, 100], 24), [1, 7]);
    }
}
