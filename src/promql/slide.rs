//! The instants that a selector speaks of, and samples made ready for windows to slide over.
//!
//! For: what `eval` needs of a selector before it reads. Not for: reading (`eval`), nor for what a
//! window comes to (`window`).

use super::Sample;
use super::value::{ABSENT, is_absent};
use super::window::Fold;
use crate::model::samples::Samples;

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
    given: Samples<'s>,
    /// What is left of them where some are stale.
    real: Option<(Vec<i64>, Vec<f64>)>,
    /// Places of samples that are smaller than the one before, with that one's value.
    resets: Vec<(usize, f64)>,
}

impl<'s> Slide<'s> {
    /// Makes ready for a function.
    pub(super) fn over(given: Samples<'s>, fold: Fold) -> Self {
        // Some at a time, without looking at each whether to go on.
        let is_stale = |some: &[f64]| some.iter().fold(false, |any, v| any | is_absent(*v));
        let real = given.values().chunks(64).any(is_stale).then(|| {
            let real = given.iter().filter(|(_, value)| !is_absent(*value));
            real.unzip()
        });
        let mut slide = Self {
            given,
            real,
            resets: Vec::new(),
        };
        if fold.is_of_counters() {
            let values = slide.samples().values();
            let pairs = values.iter().zip(values.iter().skip(1));
            let falls = (1..)
                .zip(pairs)
                .filter(|(_, (before, after))| after < before);
            slide.resets = falls.map(|(place, (before, _))| (place, *before)).collect();
        }
        slide
    }

    /// The samples.
    pub(super) fn samples(&self) -> Samples<'_> {
        match &self.real {
            Some((times, values)) => Samples::of(times, values),
            None => self.given,
        }
    }

    /// What a counter had reached at its resets between two of its samples, added up.
    pub(super) fn before_resets(&self, first: usize, end: usize) -> f64 {
        let from = self.resets.partition_point(|(place, _)| *place <= first);
        let within = self.resets.iter().skip(from);
        let within = within.take_while(|(place, _)| *place < end);
        within.map(|(_, before)| *before).sum()
    }
}

/// A place among ascending instants that only moves on, by about as much each time.
#[derive(Debug, Default)]
pub(super) struct Edge {
    pub(super) place: usize,
    /// How far it moved last.
    stride: usize,
}

impl Edge {
    /// Moves behind all instants that `is_before` says yes to; those come first.
    pub(super) fn move_behind(&mut self, times: &[i64], is_before: impl Fn(i64) -> bool) {
        let passes = |place: usize| times.get(place).is_some_and(|at| is_before(*at));
        let start = self.place;
        let mut place = start.saturating_add(self.stride).min(times.len());
        while place > start && !passes(place - 1) {
            place -= 1;
        }
        while passes(place) {
            place += 1;
        }
        self.place = place;
        self.stride = place - start;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_edge_finds_what_counting_finds(
            times in prop::collection::btree_set(0i64..2_000, 0..200),
            mut bounds in prop::collection::vec(-10i64..2_010, 1..40),
        ) {
            let times: Vec<i64> = times.into_iter().collect();
            bounds.sort_unstable();
            let mut edge = Edge::default();
            for bound in bounds {
                edge.move_behind(&times, |at| at <= bound);
                prop_assert_eq!(edge.place, times.iter().filter(|at| **at <= bound).count());
            }
        }
    }

    #[test]
    fn stale_markers_are_left_out_and_resets_are_found_behind_them() {
        let (times, values) = ([1, 2, 3, 4], [5.0, ABSENT, 2.0, 4.0]);
        let slide = Slide::over(Samples::of(&times, &values), Fold::Rate);
        assert_eq!(slide.samples().times(), [1, 3, 4]);
        assert_eq!(slide.resets, [(1, 5.0)]);
        let plain = Slide::over(Samples::of(&times[2..], &values[2..]), Fold::Rate);
        assert!(plain.real.is_none() && plain.resets.is_empty());
    }
}
