//! A window that moves along a series, its values kept in order.
//!
//! For: a median at every step, for what one value that leaves and one that comes cost. Not for:
//! windows of more than some dozen values: a step takes time in proportion to them.

use super::quantile::quantile_sorted;

/// Values of a window, ascending.
#[derive(Debug, Clone, PartialEq)]
pub struct Moving {
    sorted: Vec<f64>,
}

impl Moving {
    /// An empty window that `most` values will be in.
    pub fn with_capacity(most: usize) -> Self {
        Self {
            sorted: Vec::with_capacity(most),
        }
    }

    /// Takes a value in; one that is not finite stays outside.
    pub fn take(&mut self, value: f64) {
        if value.is_finite() {
            self.sorted.insert(self.place(value), value);
        }
    }

    /// Lets a value go that was taken before.
    pub fn leave(&mut self, value: f64) {
        let place = self.place(value);
        if self.sorted.get(place) == Some(&value) {
            self.sorted.remove(place);
        }
    }

    /// How many values are in the window.
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The middle value, the mean of the two middle ones for an even count; NaN without any.
    pub fn median(&self) -> f64 {
        quantile_sorted(&self.sorted, 0.5).unwrap_or(f64::NAN)
    }

    fn place(&self, value: f64) -> usize {
        self.sorted.iter().take_while(|v| **v < value).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::median;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_finite_neither_comes_nor_goes() {
        let mut window = Moving::with_capacity(3);
        assert!(window.median().is_nan());
        for v in [2.0, f64::NAN, 1.0, f64::INFINITY] {
            window.take(v);
        }
        window.leave(f64::NAN);
        window.leave(7.0);
        assert_eq!(window.count(), 2);
        assert!((window.median() - 1.5).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn medians_are_those_of_each_window_by_itself(
            values in prop::collection::vec(prop::num::f64::NORMAL | prop::num::f64::ZERO, 8..60),
        ) {
            let mut window = Moving::with_capacity(7);
            for (at, v) in values.iter().enumerate() {
                window.take(*v);
                if at >= 7 {
                    window.leave(values[at - 7]);
                }
                let own = median(&values[(at + 1).saturating_sub(7)..=at]).unwrap();
                prop_assert!((window.median() - own).abs() < f64::MIN_POSITIVE);
            }
        }
    }
}
