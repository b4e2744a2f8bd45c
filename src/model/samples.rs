//! Samples of one series: a column of instants and one of values.
//!
//! For: passing what was read to whoever folds it, without a copy; columns are read faster than
//! pairs, and series of one target share their instants. Not for: keeping samples (`store`).

use std::ops::Range;

/// Samples of one series, borrowed: as many instants as values.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Samples<'s> {
    times: &'s [i64],
    values: &'s [f64],
}

impl<'s> Samples<'s> {
    /// Puts two columns beside each other; what one has more than the other is left out.
    pub fn of(times: &'s [i64], values: &'s [f64]) -> Self {
        let len = times.len().min(values.len());
        Self {
            times: times.get(..len).unwrap_or_default(),
            values: values.get(..len).unwrap_or_default(),
        }
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Their instants in ms since 1970.
    pub const fn times(&self) -> &'s [i64] {
        self.times
    }

    /// Their values.
    pub const fn values(&self) -> &'s [f64] {
        self.values
    }

    /// The one at a place.
    pub fn get(&self, place: usize) -> Option<(i64, f64)> {
        Some((*self.times.get(place)?, *self.values.get(place)?))
    }

    /// The first.
    pub fn first(&self) -> Option<(i64, f64)> {
        self.get(0)
    }

    /// The last.
    pub fn last(&self) -> Option<(i64, f64)> {
        self.get(self.len().checked_sub(1)?)
    }

    /// Those at some places; none if any of them is beyond the last.
    #[must_use]
    pub fn part(&self, places: Range<usize>) -> Self {
        Self::of(
            self.times.get(places.clone()).unwrap_or_default(),
            self.values.get(places).unwrap_or_default(),
        )
    }

    /// All of them, one by one.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (i64, f64)> + Clone + use<'s> {
        let times = self.times.iter().copied();
        times.zip(self.values.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_different_length_are_cut_and_places_beyond_the_end_hold_nothing() {
        let samples = Samples::of(&[1, 2, 3], &[0.5, 1.5]);
        assert_eq!(samples.iter().collect::<Vec<_>>(), [(1, 0.5), (2, 1.5)]);
        assert_eq!(
            (samples.first(), samples.last()),
            (Some((1, 0.5)), Some((2, 1.5)))
        );
        assert_eq!(samples.part(1..2), Samples::of(&[2], &[1.5]));
        assert!(samples.part(1..3).is_empty());
        assert_eq!(Samples::default().last(), None);
    }
}
