//! The instants that a selector speaks of, and samples made ready for windows to slide over.
//!
//! For: what `eval` needs of a selector before it reads. Not for: reading (`eval`), nor for what a
//! window comes to (`window`).

use std::borrow::Cow;

use super::Sample;
use super::value::{ABSENT, is_absent};
use super::window::Fold;

/// The instants that a selector speaks of, one a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instants {
    pub(super) first: i64,
    /// 0 where all are the same one.
    pub(super) step: i64,
    pub(super) count: usize,
    /// How many of them are looked at one by one: all, or the first for all.
    pub(super) distinct: usize,
}

impl Instants {
    /// The last of them.
    pub(super) fn last(&self) -> i64 {
        let steps = i64::try_from(self.count.saturating_sub(1)).unwrap_or(i64::MAX);
        self.first.saturating_add(self.step.saturating_mul(steps))
    }

    /// Those that are looked at.
    pub(super) fn iter(&self) -> impl Iterator<Item = i64> + use<> {
        let Self { first, step, .. } = *self;
        (0i64..)
            .take(self.distinct)
            .map(move |i| first.saturating_add(step.saturating_mul(i)))
    }

    /// Values of the instants that were looked at, for all steps.
    pub(super) fn spread(&self, values: Vec<f64>) -> Vec<f64> {
        match values.first() {
            Some(one) if values.len() < self.count => vec![*one; self.count],
            _ => values,
        }
    }
}

/// What is taken of the sample that an instant selector finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Value,
    Time,
}

impl Part {
    pub(super) fn of(self, (at, value): Sample) -> f64 {
        match self {
            _ if is_absent(value) => ABSENT,
            Self::Value => value,
            Self::Time => at as f64 / 1_000.0,
        }
    }
}

/// Samples of a series without stale markers, and where a counter fell.
pub(super) struct Slide<'s> {
    pub(super) samples: Cow<'s, [Sample]>,
    /// Places of samples that are smaller than the one before, with that one's value.
    resets: Vec<(usize, f64)>,
}

impl<'s> Slide<'s> {
    /// Makes ready for a function.
    pub(super) fn over(samples: &'s [Sample], fold: Fold) -> Self {
        // Some at a time, without looking at each whether to go on.
        let is_stale = |some: &[Sample]| some.iter().fold(false, |any, (_, v)| any | is_absent(*v));
        let samples = if samples.chunks(64).any(is_stale) {
            let real = samples.iter().filter(|(_, value)| !is_absent(*value));
            Cow::Owned(real.copied().collect())
        } else {
            Cow::Borrowed(samples)
        };
        let mut resets = Vec::new();
        if fold.is_of_counters() {
            let next = samples.iter().skip(1);
            for (place, ((_, before), (_, after))) in (1..).zip(samples.iter().zip(next)) {
                if after < before {
                    resets.push((place, *before));
                }
            }
        }
        Self { samples, resets }
    }

    /// What a counter had reached at its resets between two of its samples, added up.
    pub(super) fn before_resets(&self, first: usize, end: usize) -> f64 {
        let from = self.resets.partition_point(|(place, _)| *place <= first);
        let within = self.resets.iter().skip(from);
        let within = within.take_while(|(place, _)| *place < end);
        within.map(|(_, before)| *before).sum()
    }
}
