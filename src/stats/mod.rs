//! Numbers over slices: robust summaries, quantiles, regressions.
//!
//! For: statistics without domain words, each checked for empty and non-finite input. Not for:
//! time, gaps or units (`forecast`, `store`). Third-party numerics (linfa, ndarray) stay in
//! [`regress`] and [`ridge`]. Read [`quantile`] first.

pub mod moving;
pub mod quantile;
pub mod regress;
pub mod ridge;
pub mod robust;
pub mod sketch;

/// Why a statistic cannot be given.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing to summarise.
    #[error("no values; give at least one")]
    Empty,
    /// A NaN or an infinity among the values.
    #[error("value {at} is not finite; leave gaps out before")]
    NotFinite {
        /// Its place, from 0.
        at: usize,
    },
    /// A probability outside 0 to 1.
    #[error("a probability lies between 0 and 1, got {0}")]
    Probability(f64),
    /// Rows and targets differ in number.
    #[error("{rows} rows but {targets} targets; give one target a row")]
    Lengths {
        /// Rows of the design.
        rows: usize,
        /// Values of the target.
        targets: usize,
    },
    /// Fewer rows than a fit needs.
    #[error("{rows} rows cannot carry {columns} columns and an intercept; give more rows")]
    TooFewRows {
        /// Rows of the design.
        rows: usize,
        /// Columns of the design.
        columns: usize,
    },
    /// The solver gave up.
    #[error("the solver gave up: {0}")]
    Solver(String),
}

/// The result of a statistic.
pub type Result<T> = std::result::Result<T, Error>;

/// Standard deviations in one MAD of a normal sample: 1 / Φ⁻¹(3/4).
pub const MAD_TO_SD: f64 = 1.482_602_218_505_602;

/// Checks that there are values and that all are finite.
///
/// # Errors
/// [`Error::Empty`] or [`Error::NotFinite`] with the first place.
pub fn check(values: &[f64]) -> Result<()> {
    if values.is_empty() {
        return Err(Error::Empty);
    }
    match values.iter().position(|v| !v.is_finite()) {
        Some(at) => Err(Error::NotFinite { at }),
        None => Ok(()),
    }
}

/// Arithmetic mean.
///
/// # Errors
/// As [`check`].
pub fn mean(values: &[f64]) -> Result<f64> {
    check(values)?;
    let n = values.len() as f64;
    // Divided first, so that values near the largest float do not overflow in the sum.
    Ok(values.iter().map(|v| v / n).sum())
}

/// Sum of products of two slices, up to the shorter; eight running sums, so that the processor's
/// wide registers are used.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let whole = a.len().min(b.len()) / LANES * LANES;
    let (a, a_rest) = a.split_at(whole);
    let (b, b_rest) = b.split_at(whole);
    for (x, y) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += x * y;
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f64>() + rest
}

/// The middle value; the mean of the two middle ones for an even count. Any order.
///
/// # Errors
/// As [`check`].
pub fn median(values: &[f64]) -> Result<f64> {
    quantile::quantile(values, 0.5)
}

/// Median absolute deviation from the median, not scaled; 0 when over half the values are equal.
///
/// Source: Hampel 1974, "The influence curve and its role in robust estimation".
///
/// # Errors
/// As [`check`].
pub fn mad(values: &[f64]) -> Result<f64> {
    let middle = median(values)?;
    let distances: Vec<f64> = values.iter().map(|v| (v - middle).abs()).collect();
    median(&distances)
}

/// How many robust standard deviations `x` lies from the median of `values`.
///
/// The scale has a floor of `floor` (in the values' unit), without which a constant series would
/// make any change infinitely surprising; `None` when both are zero.
///
/// Source: Iglewicz and Hoaglin 1993, "How to detect and handle outliers", section 3.
///
/// # Errors
/// As [`check`].
pub fn robust_z(values: &[f64], x: f64, floor: f64) -> Result<Option<f64>> {
    let scale = (mad(values)? * MAD_TO_SD).max(floor);
    let middle = median(values)?;
    Ok((scale > 0.0).then(|| (x - middle) / scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_product_counts_every_pair() {
        let a: Vec<f64> = (0..19).map(f64::from).collect();
        let want: f64 = a.iter().map(|v| v * v).sum();
        assert!((dot(&a, &a) - want).abs() < 1e-9);
        assert!(dot(&a, &[]).abs() < f64::MIN_POSITIVE);
    }

    #[test]
    fn the_median_of_an_even_count_is_the_mean_of_the_middle() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Ok(2.5));
        assert_eq!(median(&[7.0]), Ok(7.0));
    }

    #[test]
    fn the_mad_of_a_hand_worked_case_is_right() {
        // Median 2; distances 1 1 0 0 2 4 7; their median 1 (the usual textbook example).
        assert_eq!(mad(&[1.0, 1.0, 2.0, 2.0, 4.0, 6.0, 9.0]), Ok(1.0));
    }

    #[test]
    fn empty_and_non_finite_input_is_an_error() {
        assert_eq!(mean(&[]), Err(Error::Empty));
        assert_eq!(median(&[1.0, f64::NAN]), Err(Error::NotFinite { at: 1 }));
        assert_eq!(mad(&[f64::INFINITY]), Err(Error::NotFinite { at: 0 }));
    }

    #[test]
    fn a_mean_near_the_largest_float_does_not_overflow() {
        assert_eq!(mean(&[1e308, 1e308, 1e308, 1e308]), Ok(1e308));
    }

    #[test]
    fn a_constant_series_needs_a_floor_to_be_surprised() {
        assert_eq!(robust_z(&[5.0; 9], 6.0, 0.0), Ok(None));
        assert_eq!(robust_z(&[5.0; 9], 6.0, 0.5), Ok(Some(2.0)));
    }
}
