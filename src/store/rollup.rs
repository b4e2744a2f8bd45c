//! Buckets: samples of a step folded into min, max, sum, count, last and increases.
//!
//! For: long ranges without reading every sample, and history that never was raw. Not for: where
//! buckets lie (`keys`) or which tier answers a question (`window`). Read [`fold`] first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::column::{POWERS, as_whole};
use super::keys::{DAY_SPAN, SPAN};
use crate::model::series::Kind;
use crate::model::units::{Millis, Timestamp};

/// Samples of a counter that lie further apart than this have a gap between them: what was counted
/// meanwhile belongs to no step. Five minutes is what Prometheus looks back for a value.
pub const GAP: Millis = Millis(5 * Millis::MINUTE.0);

/// How coarse a rollup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Tier {
    /// Buckets of five minutes.
    FiveMinutes,
    /// Buckets of one hour.
    Hour,
}

impl Tier {
    /// Length of a bucket.
    pub const fn step(self) -> Millis {
        match self {
            Self::FiveMinutes => Millis(5 * Millis::MINUTE.0),
            Self::Hour => Millis::HOUR,
        }
    }

    /// Length of time whose buckets lie in one value.
    pub(super) const fn span(self) -> Millis {
        match self {
            Self::FiveMinutes => SPAN,
            Self::Hour => DAY_SPAN,
        }
    }
}

/// What a step of one series comes to; a step without values has no bucket.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bucket {
    /// Start of the step; a multiple of the tier's step.
    pub at: Timestamp,
    /// Least value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Of a gauge, the sum of its values; of a counter, what it grew by, resets understood.
    pub sum: f64,
    /// How many values there were; NaN is none.
    pub count: u64,
    /// Last value.
    pub last: f64,
    /// Largest growth from one value to the next of a counter; 0 for a gauge.
    pub max_increase: f64,
    /// Time over which a counter's growth was seen: gaps are left out; 0 for a gauge.
    pub covered: Millis,
}

impl Bucket {
    /// A bucket of a gauge from its usual figures.
    pub fn gauge(at: Timestamp, [min, mean, max, last]: [f64; 4], count: u64) -> Self {
        Self {
            at,
            min,
            max,
            sum: mean * count as f64,
            count,
            last,
            max_increase: 0.0,
            covered: Millis(0),
        }
    }

    /// A bucket of a counter that stood at `last` in the end and grew evenly by `increase`.
    pub fn counter(at: Timestamp, tier: Tier, last: f64, increase: f64, count: u64) -> Self {
        Self {
            at,
            min: last - increase,
            max: last,
            sum: increase,
            count,
            last,
            max_increase: increase / count.max(1) as f64,
            covered: tier.step(),
        }
    }

    /// This bucket and a later one as one.
    #[must_use]
    pub fn merge(self, later: &Self) -> Self {
        Self {
            at: self.at,
            min: self.min.min(later.min),
            max: self.max.max(later.max),
            sum: self.sum + later.sum,
            count: self.count.saturating_add(later.count),
            last: later.last,
            max_increase: self.max_increase.max(later.max_increase),
            covered: Millis(self.covered.0.saturating_add(later.covered.0)),
        }
    }
}

/// What a counter grew by from one value to the next, and over which time.
///
/// A smaller value means that it was reset, and has counted from zero since. `None` across a gap
/// and where a difference means nothing (infinities).
pub(super) fn growth(before: (i64, f64), now: (i64, f64)) -> Option<(f64, Millis)> {
    let apart = u64::try_from(now.0.checked_sub(before.0)?).ok()?;
    if apart == 0 || apart > GAP.0 {
        return None;
    }
    let grown = if now.1 >= before.1 {
        now.1 - before.1
    } else {
        now.1.max(0.0)
    };
    grown.is_finite().then_some((grown, Millis(apart)))
}

/// Folds values (ascending in time) into buckets of `step`.
///
/// `before` is the value that came before the first, if any: the growth from there belongs to the
/// bucket of the first. NaN is no value. Decimals are added and subtracted as whole numbers, so
/// that sums and growths are the decimals they should be.
pub(super) fn fold(
    values: &[(i64, f64)],
    kind: Kind,
    before: Option<(i64, f64)>,
    step: Millis,
) -> Vec<Bucket> {
    let mut values: Vec<(i64, f64)> = before
        .into_iter()
        .chain(values.iter().copied())
        .filter(|(_, value)| !value.is_nan())
        .collect();
    let lead = usize::from(before.is_some_and(|(_, value)| !value.is_nan()));
    let plain: Vec<f64> = values.iter().map(|(_, value)| *value).collect();
    let Some(power) = make_whole(&plain, values.iter_mut().map(|(_, value)| value)) else {
        return fold_figures(&values, lead, kind, step);
    };
    let mut buckets = fold_figures(&values, lead, kind, step);
    for bucket in &mut buckets {
        bucket.min /= power;
        bucket.max /= power;
        bucket.sum /= power;
        bucket.last /= power;
        bucket.max_increase /= power;
    }
    buckets
}

/// Replaces decimals by whole numbers, and returns by what they were multiplied.
fn make_whole<'a>(plain: &[f64], values: impl Iterator<Item = &'a mut f64>) -> Option<f64> {
    let (exponent, numbers) = as_whole(plain)?;
    for (value, number) in values.zip(numbers) {
        *value = number as f64;
    }
    POWERS.get(usize::from(exponent)).copied()
}

/// Folds values after the first `lead`, which only says where growth begins.
fn fold_figures(values: &[(i64, f64)], lead: usize, kind: Kind, step: Millis) -> Vec<Bucket> {
    let mut buckets: Vec<Bucket> = Vec::new();
    let (before, values) = values.split_at(lead.min(values.len()));
    let mut before = before.first().copied();
    for (ms, value) in values.iter().copied() {
        let (grown, covered) = match kind {
            Kind::Counter => before
                .and_then(|before| growth(before, (ms, value)))
                .unwrap_or((0.0, Millis(0))),
            Kind::Gauge => (0.0, Millis(0)),
        };
        before = Some((ms, value));
        let one = Bucket {
            at: Timestamp::from_millis(ms).floor_to(step),
            min: value,
            max: value,
            sum: match kind {
                Kind::Counter => grown,
                Kind::Gauge => value,
            },
            count: 1,
            last: value,
            max_increase: grown,
            covered,
        };
        match buckets.last_mut() {
            Some(open) if open.at == one.at => *open = open.merge(&one),
            _ => buckets.push(one),
        }
    }
    buckets
}

/// Merges buckets (ascending in time) into coarser ones of `step`.
pub(super) fn coarsen(buckets: &[Bucket], step: Millis) -> Vec<Bucket> {
    let mut coarse: Vec<Bucket> = Vec::new();
    for within in buckets.chunk_by(|a, b| a.at.floor_to(step) == b.at.floor_to(step)) {
        let Some((first, rest)) = within.split_first() else {
            continue;
        };
        let mut merged = rest.iter().fold(*first, Bucket::merge);
        merged.at = first.at.floor_to(step);
        merged.sum = sum_of(within);
        coarse.push(merged);
    }
    coarse
}

/// The sum of the sums; of decimals, the decimal.
fn sum_of(buckets: &[Bucket]) -> f64 {
    let plain: Vec<f64> = buckets.iter().map(|bucket| bucket.sum).collect();
    let mut sums = plain.clone();
    let power = make_whole(&plain, sums.iter_mut()).unwrap_or(1.0);
    sums.into_iter().sum::<f64>() / power
}

/// Puts `new` over `old`: of two buckets at one instant, the new one stays. Both ascend.
pub(super) fn overlay(old: Vec<Bucket>, new: Vec<Bucket>) -> Vec<Bucket> {
    if old.is_empty() {
        return new;
    }
    let mut all: BTreeMap<Timestamp, Bucket> = old.into_iter().map(|b| (b.at, b)).collect();
    all.extend(new.into_iter().map(|b| (b.at, b)));
    all.into_values().collect()
}

/// Those of `new` that know at least as many samples as the bucket of `old` at the same instant.
///
/// A sample that comes when the samples of its step are gone already makes a bucket of itself alone,
/// which must not stand for what was folded from all of them. Both ascend.
pub(super) fn no_less(old: &[Bucket], new: Vec<Bucket>) -> Vec<Bucket> {
    let count_at = |at: Timestamp| {
        let place = old.binary_search_by_key(&at, |bucket| bucket.at).ok()?;
        old.get(place).map(|bucket| bucket.count)
    };
    let mut new = new;
    new.retain(|bucket| count_at(bucket.at).is_none_or(|count| count <= bucket.count));
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn a_reset_counter_gives_no_negative_growth() {
        let values = [(0, 100.0), (10_000, 160.0), (20_000, 5.0), (30_000, 25.0)];
        let buckets = fold(&values, Kind::Counter, None, Millis::MINUTE);
        assert_eq!(buckets.len(), 1);
        let figures = (buckets[0].sum, buckets[0].max_increase, buckets[0].last);
        assert_eq!(figures, (60.0 + 5.0 + 20.0, 60.0, 25.0));
        assert_eq!(buckets[0].covered, Millis(30_000));
    }

    #[test]
    fn growth_across_a_gap_belongs_to_no_step() {
        let gap = i64::try_from(GAP.0).unwrap();
        assert_eq!(growth((0, 1.0), (gap + 1, 9.0)), None);
        assert_eq!(growth((0, 1.0), (gap, 9.0)), Some((8.0, GAP)));
        assert_eq!(growth((5, 1.0), (5, 9.0)), None);
        assert_eq!(growth((0, f64::INFINITY), (10, f64::INFINITY)), None);
        assert_eq!(growth((i64::MIN, 1.0), (i64::MAX, 9.0)), None);
    }

    #[test]
    fn a_value_that_is_none_is_left_out() {
        let values = [(0, f64::NAN), (1, 3.0), (2, f64::NAN), (3, 5.0)];
        let buckets = fold(&values, Kind::Gauge, None, Millis::SECOND);
        assert_eq!(
            (buckets[0].count, buckets[0].sum, buckets[0].last),
            (2, 8.0, 5.0)
        );
        assert!(fold(&values[..1], Kind::Gauge, None, Millis::SECOND).is_empty());
    }

    #[test]
    fn a_bucket_of_fewer_samples_does_not_take_the_place_of_one_of_more() {
        let of = |at: i64, count| Bucket::gauge(Timestamp::from_millis(at), [1.0; 4], count);
        let old = [of(0, 3), of(10, 3)];
        let new = vec![of(0, 2), of(10, 3), of(20, 1)];
        assert_eq!(no_less(&old, new), [of(10, 3), of(20, 1)]);
    }

    #[test]
    fn new_buckets_lie_over_old_ones() {
        let bucket = |ms, value| Bucket::gauge(at(ms), [value; 4], 1);
        let over = overlay(vec![bucket(0, 1.0), bucket(10, 1.0)], vec![bucket(10, 2.0)]);
        assert_eq!(over.iter().map(|b| b.last).collect::<Vec<_>>(), [1.0, 2.0]);
    }

    fn samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
        prop::collection::btree_map(0i64..86_400_000, -1_000i32..1_000, 1..200)
            .prop_map(|map| map.into_iter().map(|(t, v)| (t, f64::from(v))).collect())
    }

    proptest! {
        // Whole numbers, so that sums do not depend on the order of adding.
        #[test]
        fn folding_to_hours_at_once_or_by_five_minutes_is_the_same(values in samples(), gauge: bool) {
            let kind = if gauge { Kind::Gauge } else { Kind::Counter };
            let fine = fold(&values, kind, None, Tier::FiveMinutes.step());
            let direct = fold(&values, kind, None, Millis::HOUR);
            prop_assert_eq!(coarsen(&fine, Millis::HOUR), direct);
        }

        #[test]
        fn a_counter_never_grows_by_less_than_nothing(
            values in prop::collection::vec((0i64..600_000, any::<f64>()), 2..50),
        ) {
            let mut values = values;
            values.sort_by_key(|v| v.0);
            for bucket in fold(&values, Kind::Counter, None, Millis::MINUTE) {
                prop_assert!(bucket.sum >= 0.0 && bucket.max_increase >= 0.0);
            }
        }
    }
}
