//! Sums, means, spreads and quantiles of a window or a group, as Prometheus counts NaN in them.
//!
//! Pure arithmetic. NaN among the values makes a sum NaN; for a minimum or maximum it counts only
//! where there is nothing else.

/// Whole numbers up to here can be added a thousand times without losing a digit.
const WHOLE_MAX: f64 = 2_199_023_255_552.0;
/// So many are added up plainly at most.
const PLAIN_MAX: usize = 1_024;
/// Added and taken away again, it leaves a number of up to 2^51 whole.
const ROUNDER: f64 = 6_755_399_441_055_744.0;

/// Sum of numbers of which every sum on the way is exact: few of them, and whole. `None` where that
/// is not sure. In any order it is what [`sum`] comes to, in a fraction of the time.
#[expect(clippy::float_cmp, reason = "whether it is whole is what is asked")]
fn plain_sum(values: &[f64]) -> Option<f64> {
    if values.len() > PLAIN_MAX {
        return None;
    }
    let is_whole = |value: f64| value.abs() <= WHOLE_MAX && (value + ROUNDER) - ROUNDER == value;
    // Four at a time, none waiting for the one before.
    let (fours, rest) = values.as_chunks::<4>();
    let (mut sums, mut whole) = ([0.0f64; 4], [true; 4]);
    for four in fours {
        for ((sum, whole), value) in sums.iter_mut().zip(&mut whole).zip(four) {
            *whole &= is_whole(*value);
            *sum += value;
        }
    }
    let all_whole = whole == [true; 4] && rest.iter().all(|value| is_whole(*value));
    all_whole.then(|| sums.iter().chain(rest).sum())
}

/// Sum with compensation for lost digits.
///
/// Source: Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen"
/// (ZAMM 54, 1974).
pub(super) fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0f64, 0.0f64);
    for value in values {
        let next = sum + value;
        lost += if sum.abs() >= value.abs() {
            (sum - next) + value
        } else {
            (value - next) + sum
        };
        sum = next;
    }
    // Past the largest number, or NaN: what was lost means nothing.
    if sum.is_finite() { sum + lost } else { sum }
}

/// The same of a slice, four running sums side by side.
///
/// What each addition loses is found as in Knuth, "The Art of Computer Programming" 2 (3rd ed.,
/// 4.2.2, theorem B), which asks nothing of the order of its operands.
pub(super) fn total(values: &[f64]) -> f64 {
    if let Some(total) = plain_sum(values) {
        return total;
    }
    let (fours, rest) = values.as_chunks::<4>();
    let (mut sums, mut lost) = ([0.0f64; 4], [0.0f64; 4]);
    for four in fours {
        for ((sum, lost), value) in sums.iter_mut().zip(&mut lost).zip(four) {
            let next = *sum + value;
            let taken = next - *sum;
            *lost += (*sum - (next - taken)) + (value - taken);
            *sum = next;
        }
    }
    let parts = sums.into_iter().chain(rest.iter().copied()).chain(lost);
    let total = sum(parts);
    if total.is_finite() {
        total
    } else {
        // One of the four may leave the range of numbers where all of them together stay in it.
        sum(values.iter().copied())
    }
}

/// Arithmetic mean; NaN of nothing. Of finite values it is finite, also where their sum is not.
pub(super) fn mean(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let total = total(values);
    if total.is_infinite() && values.iter().all(|value| value.is_finite()) {
        let mean = sum(values.iter().map(|value| value / count));
        // Rounding may take it past the largest of them.
        return mean.clamp(f64::MIN, f64::MAX);
    }
    total / count
}

/// Population variance, by Welford's recurrence (Technometrics 4, 1962).
pub(super) fn variance(values: impl Iterator<Item = f64>) -> f64 {
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        let delta = value - mean;
        mean += delta / count;
        squares += delta * (value - mean);
    }
    squares / count
}

/// Least value; NaN only of NaN alone.
pub(super) fn least(values: impl Iterator<Item = f64>) -> f64 {
    values
        .reduce(|least, value| {
            if value < least || least.is_nan() {
                value
            } else {
                least
            }
        })
        .unwrap_or(f64::NAN)
}

/// Largest value; NaN only of NaN alone.
pub(super) fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values
        .reduce(|largest, value| {
            if value > largest || largest.is_nan() {
                value
            } else {
                largest
            }
        })
        .unwrap_or(f64::NAN)
}

/// Quantile `q`, interpolated between the two nearest ranks; NaN sorts lowest.
///
/// Below 0 it is −∞, above 1 +∞, of nothing or for NaN it is NaN. Sorts `values`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank lies between 0 and the number of values"
)]
pub(super) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(|a, b| match (a.is_nan(), b.is_nan()) {
        (false, false) => a.total_cmp(b),
        (a, b) => b.cmp(&a),
    });
    let rank = q * (values.len() - 1) as f64;
    let below = rank.floor() as usize;
    let weight = rank - rank.floor();
    let low = values.get(below).copied().unwrap_or(f64::NAN);
    let high = values.get(below + 1).copied().unwrap_or(low);
    low * (1.0 - weight) + high * weight
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "compensation makes these exact")]
    fn a_sum_keeps_what_cancels() {
        assert_eq!(sum([1e100, 1.0, -1e100].into_iter()), 1.0);
        assert_eq!(sum([f64::INFINITY, 1.0].into_iter()), f64::INFINITY);
        assert!(sum([f64::INFINITY, f64::NEG_INFINITY].into_iter()).is_nan());
        assert_eq!(mean(&[f64::MAX, f64::MAX]), f64::MAX);
    }

    proptest! {
        #[test]
        fn a_plain_sum_is_the_compensated_one(
            numbers in prop::collection::vec(-3_000_000_000_000i64..3_000_000_000_000, 0..1_100),
            divisor in prop::sample::select(vec![1.0, 1.0, 1.0, 4.0, 10.0]),
        ) {
            let values: Vec<f64> = numbers.iter().map(|n| *n as f64 / divisor).collect();
            if let Some(plain) = plain_sum(&values) {
                prop_assert_eq!(plain.to_bits(), sum(values.iter().copied()).to_bits());
            }
        }
    }

    proptest! {
        #[test]
        fn four_sums_side_by_side_are_as_exact_as_one(
            parts in prop::collection::vec((-1_000_000i32..1_000_000, -40i32..40), 0..200),
        ) {
            // Against sums of whole multiples of 2^-40, which lose nothing.
            let values: Vec<f64> = parts.iter().map(|(v, e)| f64::from(*v) * 2f64.powi(*e)).collect();
            let exact: i128 = parts.iter().map(|(v, e)| i128::from(*v) << (e + 40)).sum();
            let size: f64 = values.iter().map(|v| v.abs()).sum();
            let wanted = exact as f64 * 2f64.powi(-40);
            let error = (total(&values) - wanted).abs();
            prop_assert!(error <= wanted.abs() * 1e-15 + size * 1e-28, "{error}");
        }
    }

    #[test]
    #[expect(
        clippy::float_cmp,
        reason = "what leaves the range and comes back is exact"
    )]
    fn four_sums_side_by_side_stay_in_range_where_one_does() {
        let large = [f64::MAX, -f64::MAX].repeat(8);
        assert_eq!(total(&large), 0.0);
        assert_eq!(mean(&large), 0.0);
        assert_eq!(mean(&[f64::MAX; 9]), f64::MAX);
        let odd = [0.5, f64::INFINITY, 0.25, 1.0, 0.5, 0.5];
        assert_eq!(total(&odd), f64::INFINITY);
        assert!(total(&[0.5, f64::NAN, 0.25, 1.0, 0.5]).is_nan());
        assert!(total(&[f64::INFINITY, 1.0, f64::NEG_INFINITY, 0.5, 1.0]).is_nan());
    }

    #[test]
    fn what_may_lose_a_digit_is_not_added_plainly() {
        for odd in [
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            0.5,
            1e13,
            -1e300,
            5e-324,
        ] {
            assert_eq!(plain_sum(&[1.0, 2.0, odd]), None, "{odd}");
            assert_eq!(plain_sum(&[odd, 0.0, 0.0, 0.0]), None, "{odd}");
        }
        assert_eq!(plain_sum(&[1.0, -2.0, 4.0, 8.0, 16.0]), Some(27.0));
        let zeros = plain_sum(&[-0.0, -0.0]).map(f64::to_bits);
        assert_eq!(zeros, Some(sum([-0.0, -0.0].into_iter()).to_bits()));
        assert_eq!(plain_sum(&vec![1.0; PLAIN_MAX + 1]), None);
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "the ranks fall on whole values")]
    fn quantiles_interpolate_and_have_ends() {
        let mut values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(quantile(0.5, &mut values), 2.5);
        assert_eq!(quantile(0.0, &mut values), 1.0);
        assert_eq!(quantile(1.0, &mut values), 4.0);
        assert_eq!(quantile(-0.1, &mut values), f64::NEG_INFINITY);
        assert_eq!(quantile(1.1, &mut values), f64::INFINITY);
        assert!(quantile(f64::NAN, &mut values).is_nan());
        assert!(quantile(0.5, &mut []).is_nan());
        assert!(quantile(0.0, &mut [1.0, f64::NAN]).is_nan());
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "worked by hand in whole numbers")]
    fn nan_yields_to_numbers_at_the_ends_and_spoils_a_sum() {
        let values = [f64::NAN, 3.0, -1.0, f64::NAN];
        assert_eq!(least(values.into_iter()), -1.0);
        assert_eq!(largest(values.into_iter()), 3.0);
        assert!(sum(values.into_iter()).is_nan());
        assert_eq!(
            variance([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0].into_iter()),
            4.0
        );
    }
}
