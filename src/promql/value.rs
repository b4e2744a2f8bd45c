//! What expressions come to: one value a step and series, with a mark where there is none.

use crate::model::series::Labels;

/// No value at a step: the stale marker, whose bits no calculation gives.
///
/// It is a signalling NaN, and arithmetic turns those into quiet ones.
pub const ABSENT: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// Whether there is no value; an ordinary NaN is one.
pub fn is_absent(value: f64) -> bool {
    value.to_bits() == ABSENT.to_bits()
}

/// A series of an answer, one value a step; [`ABSENT`] where there is none.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its labels, the metric among them where the operation keeps it.
    pub labels: Labels,
    /// As many as there are steps.
    pub values: Vec<f64>,
}

/// Samples of a series as they were recorded, ascending in time.
#[derive(Debug, Clone, PartialEq)]
pub struct Raw {
    /// Its labels.
    pub labels: Labels,
    /// Instants in ms and values.
    pub samples: Vec<super::Sample>,
}

/// What an expression comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// One number a step.
    Scalar(Vec<f64>),
    /// A text.
    Text(String),
    /// Series; none of them is without any value.
    Vector(Vec<Row>),
    /// Recorded samples, of a range selector alone.
    Matrix(Vec<Raw>),
}

impl Value {
    /// The same, rows in order of labels.
    pub(super) fn in_order(mut self) -> Self {
        if let Self::Vector(rows) = &mut self {
            rows.sort_by(|a, b| a.labels.cmp(&b.labels));
        }
        self
    }
}

/// Rows without those that have no value at all.
pub(super) fn present(rows: impl IntoIterator<Item = Row>) -> Vec<Row> {
    rows.into_iter()
        .filter(|row| row.values.iter().any(|value| !is_absent(*value)))
        .collect()
}

/// The value of the one row that has one; NaN of none or several.
pub(super) fn only_value(rows: &[Row], steps: usize) -> Vec<f64> {
    let mut all = vec![ABSENT; steps];
    let mut several = vec![false; steps];
    for row in rows {
        for ((into, several), value) in all.iter_mut().zip(&mut several).zip(&row.values) {
            if !is_absent(*value) {
                *several = *several || !is_absent(*into);
                *into = *value;
            }
        }
    }
    let pairs = all.into_iter().zip(several);
    pairs
        .map(|(value, several)| {
            if several || is_absent(value) {
                f64::NAN
            } else {
                value
            }
        })
        .collect()
}

/// 1 at each step at which no row has a value.
pub(super) fn where_none(rows: &[Row], steps: usize) -> Vec<f64> {
    let mut values = vec![1.0; steps];
    for row in rows {
        for (into, value) in values.iter_mut().zip(&row.values) {
            if !is_absent(*value) {
                *into = ABSENT;
            }
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "the bits are what is asked about")]
    fn no_calculation_gives_the_mark_of_absence() {
        assert!(is_absent(ABSENT) && ABSENT.is_nan());
        assert!(!is_absent(f64::NAN));
        let hidden = std::hint::black_box(ABSENT);
        for value in [hidden + 0.0, hidden * 1.0, hidden - hidden, hidden / 2.0] {
            assert!(value.is_nan() && !is_absent(value));
        }
        assert!(!is_absent(-hidden));
        assert_eq!(f64::INFINITY, f64::from_bits(0x7ff0_0000_0000_0000));
    }
}
