//! Stored buckets: those of one span and 16 series as one value, and back.
//!
//! For: the values in `r5m-…` and `r1h-…` trees. Not for: what a bucket means (`rollup`) or where
//! it lies (`keys`). Read [`put_buckets`] first.
//!
//! In an envelope, packed with zstd (see `codec`): varint count of members; per member, ascending:
//!
//! | part | meaning |
//! |---|---|
//! | u8 | member, 0–15 |
//! | varint | count of buckets |
//! | varint length, bytes | steps of the span that have one: runs, as rows in `chunk` |
//! | u8 | decimal exponent of the five figures, or 255 |
//! | levels | count, covered ms |
//! | five times | `last` as levels; `min`, `max`, `sum` and the largest increase as distances |
//!
//! **Levels**: zigzag first, varint unit, then each distance from the one before in units, zigzag;
//! a unit of 0 says that all are the same and ends it. **Distances**: varint unit (0: all are
//! zero), then each in units, zigzag. They are from what the last values let expect, so that most
//! are zero or small: of a counter, `max` from `last`, `sum` from the growth of `last`, `min` from
//! `last − sum`; of a gauge, `min` and `max` from `last`, `sum` from `count · last`. A first byte
//! says which: 0 gauge, 1 counter, following the member's exponent. With exponent 255 the figures
//! are no decimals, and each is the exclusive or of its bits with those of the bucket before.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "counts and whole figures are within 2^53 or come from a value that is damaged anyway"
)]

use std::collections::BTreeMap;

use super::chunk::{put_rows, read_rows};
use super::codec::{Damaged, Reader, open, put_bytes, put_varint, put_xor, put_zigzag, seal_tight};
use super::column::{POWERS, as_whole, greatest_divisor};
use super::keys::GROUP;
use super::rollup::Bucket;
use crate::model::units::{Millis, Timestamp};

/// Buckets of the members of a group within one span.
pub(super) type Members = BTreeMap<u8, Vec<Bucket>>;

/// Steps in the longest span: a day of seconds is far beyond.
const STEPS_MAX: usize = 100_000;
const FLOATS: u8 = 255;
const FIGURES: usize = 5;

/// Packs the buckets of a span.
pub(super) fn put_buckets(members: &Members, start: Timestamp, step: Millis) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, members.len() as u64);
    for (member, buckets) in members {
        out.push(*member);
        put_varint(&mut out, buckets.len() as u64);
        let rows = buckets.iter().map(|bucket| {
            let offset = bucket.at.as_millis().saturating_sub(start.as_millis());
            u32::try_from(offset.cast_unsigned() / step.0.max(1)).unwrap_or(u32::MAX)
        });
        let mut runs = Vec::new();
        put_rows(&mut runs, rows);
        put_bytes(&mut out, &runs);
        if !buckets.is_empty() {
            put_member(&mut out, buckets);
        }
    }
    seal_tight(&out)
}

/// The figures of a bucket that are values: last, min, max, sum, largest increase.
fn figures(bucket: &Bucket) -> [f64; FIGURES] {
    [
        bucket.last,
        bucket.min,
        bucket.max,
        bucket.sum,
        bucket.max_increase,
    ]
}

fn put_member(out: &mut Vec<u8>, buckets: &[Bucket]) {
    let all: Vec<f64> = buckets.iter().flat_map(figures).collect();
    let whole = as_whole(&all);
    out.push(whole.as_ref().map_or(FLOATS, |(exponent, _)| *exponent));
    let counts: Vec<i64> = buckets.iter().map(|b| b.count.cast_signed()).collect();
    put_levels(out, &counts);
    put_levels(
        out,
        &buckets
            .iter()
            .map(|b| b.covered.0.cast_signed())
            .collect::<Vec<_>>(),
    );
    let Some((_, numbers)) = whole else {
        let mut before = [0u64; FIGURES];
        for bucket in buckets {
            for (value, before) in figures(bucket).into_iter().zip(&mut before) {
                put_xor(out, value.to_bits() ^ *before);
                *before = value.to_bits();
            }
        }
        return;
    };
    let is_counter = buckets.iter().any(|bucket| bucket.covered.0 > 0);
    out.push(u8::from(is_counter));
    let rows: Vec<[i64; FIGURES]> = numbers
        .chunks_exact(FIGURES)
        .filter_map(|row| row.try_into().ok())
        .collect();
    let last: Vec<i64> = rows.iter().map(|[last, ..]| *last).collect();
    put_levels(out, &last);
    let mut before = None;
    let mut distances: [Vec<i64>; FIGURES - 1] = Default::default();
    for ([last, min, max, sum, increase], count) in rows.into_iter().zip(counts) {
        let expected = expect(is_counter, last, before, count);
        let low = if is_counter {
            last.wrapping_sub(sum)
        } else {
            last
        };
        let parts = [
            min.wrapping_sub(low),
            max.wrapping_sub(last),
            sum.wrapping_sub(expected),
            increase,
        ];
        for (into, part) in distances.iter_mut().zip(parts) {
            into.push(part);
        }
        before = Some(last);
    }
    for column in &distances {
        put_distances(out, column);
    }
}

/// What `sum` should be, by the last values and the count.
fn expect(is_counter: bool, last: i64, before: Option<i64>, count: i64) -> i64 {
    if is_counter {
        before.map_or(0, |before| last.wrapping_sub(before))
    } else {
        last.wrapping_mul(count)
    }
}

fn put_levels(out: &mut Vec<u8>, numbers: &[i64]) {
    let Some(first) = numbers.first() else { return };
    put_zigzag(out, *first);
    let steps: Vec<i64> = numbers
        .windows(2)
        .map(|pair| match pair {
            [a, b] => b.wrapping_sub(*a),
            _ => 0,
        })
        .collect();
    put_distances(out, &steps);
}

fn put_distances(out: &mut Vec<u8>, numbers: &[i64]) {
    let unit = numbers
        .iter()
        .map(|n| n.unsigned_abs())
        .fold(0, greatest_divisor);
    // Only one number has an absolute value that a positive one cannot have; keep it as it is.
    let unit = if numbers.contains(&i64::MIN) { 1 } else { unit };
    put_varint(out, unit);
    if unit > 0 {
        for number in numbers {
            put_zigzag(out, number / unit.cast_signed());
        }
    }
}

fn read_levels(from: &mut Reader<'_>, count: usize) -> Result<Vec<i64>, Damaged> {
    let mut at = from.zigzag()?;
    let mut numbers = vec![at];
    for step in read_distances(from, count - 1)? {
        at = at.wrapping_add(step);
        numbers.push(at);
    }
    Ok(numbers)
}

fn read_distances(from: &mut Reader<'_>, count: usize) -> Result<Vec<i64>, Damaged> {
    let unit = from.varint()?.cast_signed();
    if unit == 0 {
        return Ok(vec![0; count]);
    }
    (0..count)
        .map(|_| Ok(from.zigzag()?.wrapping_mul(unit)))
        .collect()
}

/// Unpacks the buckets of a span for the members that are wanted.
pub(super) fn read_buckets(
    value: &[u8],
    start: Timestamp,
    step: Millis,
    wanted: impl Fn(u8) -> bool,
) -> Result<Members, Damaged> {
    let payload = open(value)?;
    let mut from = Reader::new(&payload);
    let mut members = Members::new();
    for _ in 0..from.length(GROUP as usize)? {
        let member = from.byte()?;
        let count = from.length(STEPS_MAX)?;
        let runs = from.bytes()?;
        if count == 0 {
            members.insert(member, Vec::new());
            continue;
        }
        let mut buckets = read_member(&mut from, count)?;
        if wanted(member) {
            let rows = read_rows(runs, count, STEPS_MAX)?;
            for (bucket, row) in buckets.iter_mut().zip(rows) {
                let offset = Millis(step.0.saturating_mul(row as u64));
                bucket.at = start.plus(offset.as_duration());
            }
            members.insert(member, buckets);
        }
    }
    if from.is_done() {
        Ok(members)
    } else {
        Err(Damaged("bytes after the last bucket"))
    }
}

/// Reads the buckets of one member; their instants are still open.
fn read_member(from: &mut Reader<'_>, count: usize) -> Result<Vec<Bucket>, Damaged> {
    let exponent = from.byte()?;
    let counts = read_levels(from, count)?;
    let covered = read_levels(from, count)?;
    let bucket =
        |[last, min, max, sum, max_increase]: [f64; FIGURES], count: i64, covered: i64| Bucket {
            at: Timestamp::from_millis(0),
            min,
            max,
            sum,
            count: count.max(0) as u64,
            last,
            max_increase,
            covered: Millis(covered.max(0) as u64),
        };
    let ends = counts.iter().zip(covered);
    if exponent == FLOATS {
        let mut bits = [0u64; FIGURES];
        return ends
            .map(|(count, covered)| {
                for bits in &mut bits {
                    *bits ^= from.xor()?;
                }
                Ok(bucket(bits.map(f64::from_bits), *count, covered))
            })
            .collect();
    }
    let power = *POWERS
        .get(usize::from(exponent))
        .ok_or(Damaged("a decimal power out of range"))?;
    let is_counter = from.byte()? == 1;
    let last = read_levels(from, count)?;
    let columns: Vec<Vec<i64>> = (1..FIGURES)
        .map(|_| read_distances(from, count))
        .collect::<Result<_, _>>()?;
    let [min, max, sum, increase] = &columns[..] else {
        return Err(Damaged("an early end"));
    };
    let others = min.iter().zip(max).zip(sum).zip(increase);
    let mut before = None;
    Ok(last
        .iter()
        .zip(others)
        .zip(ends)
        .map(
            |((last, (((min, max), sum), increase)), (count, covered))| {
                let sum = sum.wrapping_add(expect(is_counter, *last, before, *count));
                before = Some(*last);
                let low = if is_counter {
                    last.wrapping_sub(sum)
                } else {
                    *last
                };
                let whole = [
                    *last,
                    min.wrapping_add(low),
                    max.wrapping_add(*last),
                    sum,
                    *increase,
                ];
                bucket(whole.map(|n| n as f64 / power), *count, covered)
            },
        )
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::series::Kind;
    use crate::store::codec::seal;
    use crate::store::rollup::fold;
    use proptest::prelude::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn packed(buckets: Vec<Bucket>) -> usize {
        let members = Members::from([(3, buckets)]);
        let packed = put_buckets(&members, at(0), Millis(300_000));
        let got = read_buckets(&packed, at(0), Millis(300_000), |_| true).unwrap();
        assert_eq!(got, members);
        packed.len()
    }

    #[test]
    fn what_stands_still_or_grows_evenly_takes_few_bytes() {
        let values = |f: fn(i64) -> f64| (0..720).map(move |n| (n * 10_000, f(n))).collect();
        let still: Vec<(i64, f64)> = values(|_| 12.5);
        let even: Vec<(i64, f64)> = values(|n| (n * 7) as f64);
        let step = Millis(300_000);
        let size = packed(fold(&still, Kind::Gauge, None, step));
        assert!(size < 40, "{size}");
        let size = packed(fold(&even, Kind::Counter, None, step));
        assert!(size < 90, "{size}");
    }

    #[test]
    fn a_value_that_is_no_decimal_keeps_its_bits() {
        let odd = [f64::INFINITY, -0.0, 1e300, 1.0 / 3.0];
        let buckets = (0i64..).zip(odd).map(|(n, value)| Bucket {
            max_increase: value,
            ..Bucket::gauge(at(n * 300_000), [value; 4], 3)
        });
        packed(buckets.filter(|bucket| !bucket.sum.is_nan()).collect());
    }

    proptest! {
        #[test]
        fn folded_values_come_back(
            values in prop::collection::btree_map(0i64..86_400_000, -1_000_000i32..1_000_000, 1..200),
            member in 0u8..16,
            cents: bool,
            gauge: bool,
        ) {
            let unit = if cents { 100.0 } else { 1.0 };
            let values: Vec<_> = values.into_iter().map(|(t, v)| (t, f64::from(v) / unit)).collect();
            let kind = if gauge { Kind::Gauge } else { Kind::Counter };
            let members = Members::from([(member, fold(&values, kind, None, Millis::HOUR))]);
            let packed = put_buckets(&members, at(0), Millis::HOUR);
            let got = read_buckets(&packed, at(0), Millis::HOUR, |_| true).unwrap();
            prop_assert_eq!(got, members);
        }

        #[test]
        fn any_numbers_come_back(numbers in prop::collection::vec(any::<i64>(), 1..40)) {
            let mut out = Vec::new();
            put_levels(&mut out, &numbers);
            let mut from = Reader::new(&out);
            prop_assert_eq!(read_levels(&mut from, numbers.len()), Ok(numbers));
            prop_assert!(from.is_done());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_buckets(&seal(&bytes), at(0), Millis(1), |_| true);
        }
    }
}
