//! Exact quantiles of a slice.
//!
//! Rule: linear interpolation of the order statistics at `(n − 1)·p`, type 7 in Hyndman and Fan
//! 1996, "Sample quantiles in statistical packages"; the default of R and numpy.

use super::{Error, Result, check};

/// The `p`-quantile of values in any order.
///
/// # Errors
/// As [`check`]; [`Error::Probability`] when `p` lies outside 0..=1.
pub fn quantile(values: &[f64], p: f64) -> Result<f64> {
    check(values)?;
    let (below, share) = place(values.len(), p)?;
    let mut parted = values.to_vec();
    let (_, lower, above) = parted.select_nth_unstable_by(below, f64::total_cmp);
    let lower = *lower;
    let upper = above.iter().copied().min_by(f64::total_cmp);
    Ok(between(lower, upper.unwrap_or(lower), share))
}

/// The `p`-quantile of values that are finite and sorted already.
///
/// # Errors
/// [`Error::Empty`]; [`Error::Probability`] when `p` lies outside 0..=1.
pub fn quantile_sorted(sorted: &[f64], p: f64) -> Result<f64> {
    let (below, share) = place(sorted.len(), p)?;
    let lower = sorted.get(below).copied().ok_or(Error::Empty)?;
    let upper = sorted.get(below + 1).copied().unwrap_or(lower);
    Ok(between(lower, upper, share))
}

/// The order statistic below the quantile, and how far towards the next one it lies.
fn place(count: usize, p: f64) -> Result<(usize, f64)> {
    if !(0.0..=1.0).contains(&p) {
        return Err(Error::Probability(p));
    }
    let last = count.checked_sub(1).ok_or(Error::Empty)?;
    let place = last as f64 * p;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the place lies between 0 and the last index"
    )]
    let below = place.floor() as usize;
    Ok((below, place - below as f64))
}

/// Two products, so that the distance of two huge values does not overflow.
fn between(lower: f64, upper: f64, share: f64) -> f64 {
    lower * (1.0 - share) + upper * share
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantiles_agree_with_numpy() {
        // numpy.quantile([1, 2, 4, 8, 16], [0, .1, .25, .5, .9, 1]).
        let values = [16.0, 1.0, 8.0, 2.0, 4.0];
        let want = [
            (0.0, 1.0),
            (0.1, 1.4),
            (0.25, 2.0),
            (0.5, 4.0),
            (0.9, 12.8),
            (1.0, 16.0),
        ];
        for (p, q) in want {
            assert!((quantile(&values, p).unwrap() - q).abs() < 1e-12, "{p}");
        }
    }

    #[test]
    fn a_probability_in_percent_is_refused() {
        assert_eq!(quantile(&[1.0], 95.0), Err(Error::Probability(95.0)));
        assert!(quantile(&[1.0], f64::NAN).is_err());
        assert_eq!(quantile_sorted(&[], 0.5), Err(Error::Empty));
    }

    proptest! {
        #[test]
        fn quantiles_lie_within_the_values_and_rise_with_p(
            values in prop::collection::vec(-1e9_f64..1e9, 1..60),
            a in 0.0_f64..=1.0,
            b in 0.0_f64..=1.0,
        ) {
            let (lo, hi) = (a.min(b), a.max(b));
            let (q_lo, q_hi) = (quantile(&values, lo).unwrap(), quantile(&values, hi).unwrap());
            let slack = 1e-6;
            prop_assert!(q_lo <= q_hi + slack);
            prop_assert!(values.iter().any(|v| *v <= q_lo + slack));
            prop_assert!(values.iter().any(|v| *v >= q_hi - slack));
        }
    }
}
