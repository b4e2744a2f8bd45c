//! Quantiles of a stream with a bounded relative error, mergeable without loss: a `DDSketch`.
//!
//! For: latencies, which are merged over minutes, hours and endpoints. Not for: values whose exact
//! order matters, nor negative ones. Read [`Sketch::add`] first.
//!
//! Source: Masson, Rim and Lee 2019, "`DDSketch`: a fast and fully-mergeable quantile sketch with
//! relative-error guarantees", VLDB 12 (12). A value `x` is counted in bin `⌈ln x / ln γ⌉` with
//! `γ = (1 + α) / (1 − α)`; a bin stands for `2 γ^i / (γ + 1)`, which is at most the share `α` off
//! any value in it. Two sketches merge by adding their bins, so the merge of two is the sketch of
//! both streams, bin for bin.
//!
//! Bins are kept sparsely, at most [`BINS_MAX`]: beyond, the lowest two become one, which gives up
//! the bound for the lowest quantiles only. With α = 2 % that many bins span 35 powers of ten.

use std::collections::BTreeMap;

/// Relative error of a quantile.
pub const ERROR: f64 = 0.02;
/// Bins at most.
pub const BINS_MAX: usize = 2_048;
/// Values below this count as zero: a nanosecond, where the unit is the second.
const TINY: f64 = 1e-9;
/// Bins lie between these whatever the value: `γ^±i` stays a finite, normal float.
const BIN: std::ops::RangeInclusive<i32> = -17_000..=17_000;
const VERSION: u8 = 1;

fn ln_gamma() -> f64 {
    ((1.0 + ERROR) / (1.0 - ERROR)).ln()
}

/// Counts of values by magnitude.
#[derive(Debug, Clone, PartialEq)]
pub struct Sketch {
    bins: BTreeMap<i32, u64>,
    zeros: u64,
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl Default for Sketch {
    /// Nothing was counted.
    fn default() -> Self {
        Self {
            bins: BTreeMap::new(),
            zeros: 0,
            count: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }
}

/// Bytes that are no sketch; the text says which rule they break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoSketch(pub &'static str);

impl Sketch {
    /// Counts a value `times` times. What is negative counts as zero; NaN and infinities do not
    /// count.
    pub fn add(&mut self, value: f64, times: u64) {
        if !value.is_finite() || times == 0 {
            return;
        }
        let value = value.max(0.0);
        if value < TINY {
            self.zeros = self.zeros.saturating_add(times);
        } else {
            let bin = self.bins.entry(bin_of(value)).or_default();
            *bin = bin.saturating_add(times);
        }
        self.count = self.count.saturating_add(times);
        self.sum += value * times as f64;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.collapse();
    }

    /// Counts all that another has counted.
    pub fn merge(&mut self, other: &Self) {
        for (bin, count) in &other.bins {
            let into = self.bins.entry(*bin).or_default();
            *into = into.saturating_add(*count);
        }
        self.zeros = self.zeros.saturating_add(other.zeros);
        self.count = self.count.saturating_add(other.count);
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.collapse();
    }

    /// The lowest bins become one while there are too many.
    fn collapse(&mut self) {
        while self.bins.len() > BINS_MAX {
            if let Some((_, low)) = self.bins.pop_first()
                && let Some(mut next) = self.bins.first_entry()
            {
                *next.get_mut() = next.get().saturating_add(low);
            }
        }
    }

    /// The value below which the share `p` of all lies, within [`ERROR`]; `None` when nothing was
    /// counted or `p` lies outside 0..=1.
    ///
    /// The rank is `⌊p · (count − 1)⌋`, as in the paper.
    pub fn quantile(&self, p: f64) -> Option<f64> {
        if self.count == 0 || !(0.0..=1.0).contains(&p) {
            return None;
        }
        let rank = (p * (self.count - 1) as f64).floor();
        let mut below = self.zeros;
        if below as f64 > rank {
            return Some(0.0_f64.max(self.min));
        }
        for (bin, count) in &self.bins {
            below = below.saturating_add(*count);
            if below as f64 > rank {
                return Some(value_of(*bin).clamp(self.min, self.max));
            }
        }
        Some(self.max)
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// The least, exactly; `None` without values.
    pub fn min(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min)
    }

    /// The largest, exactly; `None` without values.
    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max)
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Packs it: version 1; sum, min and max as the bits of floats, little-endian; then varints:
    /// zeros, number of bins, and per bin the distance from the one before (the first: its zigzag
    /// number) and its count.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 + self.bins.len() * 3);
        out.push(VERSION);
        for value in [self.sum, self.min, self.max] {
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        put(&mut out, self.zeros);
        put(&mut out, self.bins.len() as u64);
        let mut before = None;
        for (bin, count) in &self.bins {
            let step = match before {
                Some(before) => u64::from(bin.abs_diff(before)),
                None => u64::from(((bin << 1) ^ (bin >> 31)).cast_unsigned()),
            };
            put(&mut out, step);
            put(&mut out, *count);
            before = Some(*bin);
        }
        out
    }

    /// Unpacks what [`Sketch::encode`] wrote.
    ///
    /// # Errors
    /// [`NoSketch`] for any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, NoSketch> {
        let mut from = bytes;
        if byte(&mut from)? != VERSION {
            return Err(NoSketch("a sketch of another version"));
        }
        let (sum, min, max) = (float(&mut from)?, float(&mut from)?, float(&mut from)?);
        let zeros = get(&mut from)?;
        let len = usize::try_from(get(&mut from)?).unwrap_or(usize::MAX);
        if len > BINS_MAX {
            return Err(NoSketch("more bins than there may be"));
        }
        let (mut bins, mut bin, mut count) = (BTreeMap::new(), None, zeros);
        for _ in 0..len {
            let step =
                u32::try_from(get(&mut from)?).map_err(|_| NoSketch("a bin out of range"))?;
            let next = match bin {
                None => Some((step >> 1).cast_signed() ^ -((step & 1).cast_signed())),
                Some(_) if step == 0 => None,
                Some(bin) => i32::checked_add_unsigned(bin, step),
            };
            let next = next
                .filter(|next| BIN.contains(next))
                .ok_or(NoSketch("a bin out of range"))?;
            let times = get(&mut from)?;
            count = count
                .checked_add(times)
                .filter(|_| times > 0)
                .ok_or(NoSketch("a count out of range"))?;
            bins.insert(next, times);
            bin = Some(next);
        }
        let is_whole = from.is_empty();
        let empty = count == 0;
        let ordered = empty || (0.0 <= min && min <= max && max.is_finite() && sum >= 0.0);
        if !is_whole || !ordered {
            return Err(NoSketch("a sketch that contradicts itself"));
        }
        Ok(if empty {
            Self::default()
        } else {
            Self {
                bins,
                zeros,
                count,
                sum,
                min,
                max,
            }
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the logarithm of a finite positive float over 0.04 is below 18 000"
)]
fn bin_of(value: f64) -> i32 {
    ((value.ln() / ln_gamma()).ceil() as i32).clamp(*BIN.start(), *BIN.end())
}

fn value_of(bin: i32) -> f64 {
    // 2 γ^i / (γ + 1), with γ + 1 = 2 / (1 − α).
    (f64::from(bin) * ln_gamma()).exp() * (1.0 - ERROR)
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or(0));
}

fn byte(from: &mut &[u8]) -> Result<u8, NoSketch> {
    let (first, rest) = from.split_first().ok_or(NoSketch("an early end"))?;
    *from = rest;
    Ok(*first)
}

fn float(from: &mut &[u8]) -> Result<f64, NoSketch> {
    let (bytes, rest) = from
        .split_first_chunk::<8>()
        .ok_or(NoSketch("an early end"))?;
    *from = rest;
    Ok(f64::from_bits(u64::from_le_bytes(*bytes)))
}

fn get(from: &mut &[u8]) -> Result<u64, NoSketch> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let next = byte(from)?;
        if shift == 63 && next > 1 {
            break;
        }
        value |= u64::from(next & 0x7f) << shift;
        if next < 0x80 {
            return Ok(value);
        }
    }
    Err(NoSketch("a number beyond 64 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f64]) -> Sketch {
        let mut sketch = Sketch::default();
        for value in values {
            sketch.add(*value, 1);
        }
        sketch
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank lies within the values"
    )]
    /// The order statistic of the rank that the sketch answers for.
    fn exact(values: &[f64], p: f64) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[(p * (sorted.len() - 1) as f64).floor() as usize]
    }

    /// Sums are floats, so they depend on the order of adding; all else must agree exactly.
    fn assert_same(left: &Sketch, right: &Sketch) -> Result<(), TestCaseError> {
        prop_assert_eq!(&left.bins, &right.bins);
        prop_assert_eq!((left.zeros, left.count), (right.zeros, right.count));
        prop_assert_eq!((left.min(), left.max()), (right.min(), right.max()));
        prop_assert!((left.sum - right.sum).abs() <= 1e-9 * left.sum.abs());
        Ok(())
    }

    #[test]
    fn nothing_counted_has_no_quantile_and_what_is_no_number_does_not_count() {
        let mut sketch = of(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
        assert_eq!((sketch.quantile(0.5), sketch.count()), (None, 0));
        sketch.add(-3.0, 2);
        assert_eq!((sketch.quantile(0.5), sketch.min()), (Some(0.0), Some(0.0)));
        assert_eq!(sketch.quantile(95.0), None);
        assert_eq!(
            Sketch::decode(&Sketch::default().encode()),
            Ok(Sketch::default())
        );
    }

    #[test]
    fn too_many_bins_give_up_the_lowest_only() {
        let mut sketch = Sketch::default();
        let value = |i: i32| (f64::from(i) * ln_gamma()).exp() * 1e-8;
        for i in 0..4_000 {
            sketch.add(value(i), 1);
        }
        assert_eq!((sketch.bins.len(), sketch.count()), (BINS_MAX, 4_000));
        let high = sketch.quantile(0.9).unwrap();
        assert!((high / value(3_599) - 1.0).abs() < 2.0 * ERROR, "{high}");
    }

    #[test]
    fn a_thousand_latencies_take_a_few_hundred_bytes() {
        let values: Vec<f64> = (0..1_000)
            .map(|i| 0.001 * (1.0 + f64::from(i * 7919 % 1000) / 50.0))
            .collect();
        assert!(of(&values).encode().len() < 400);
    }

    proptest! {
        #[test]
        fn quantiles_stay_within_the_error(
            logs in prop::collection::vec(-8.0_f64..6.0, 1..400),
        ) {
            let values: Vec<f64> = logs.iter().map(|log| 10_f64.powf(*log)).collect();
            let sketch = of(&values);
            for p in [0.0, 0.5, 0.95, 0.99, 1.0] {
                let (got, want) = (sketch.quantile(p).unwrap(), exact(&values, p));
                prop_assert!((got - want).abs() <= ERROR * want * (1.0 + 1e-9), "p{p}: {got} {want}");
            }
        }

        #[test]
        fn a_merge_is_the_sketch_of_both_in_any_order(
            a in prop::collection::vec(0.0_f64..1e4, 0..200),
            b in prop::collection::vec(0.0_f64..1e-6, 0..200),
        ) {
            let (mut ab, mut ba) = (of(&a), of(&b));
            ab.merge(&of(&b));
            ba.merge(&of(&a));
            assert_same(&ab, &of(&[a, b].concat()))?;
            assert_same(&ab, &ba)?;
        }

        #[test]
        fn a_sketch_comes_back(values in prop::collection::vec(any::<f64>(), 0..200), times in 1u64..1_000_000) {
            let mut sketch = of(&values);
            sketch.add(0.25, times);
            // A sum of the largest floats is infinite, and comes back as such.
            prop_assert_eq!(Sketch::decode(&sketch.encode()), Ok(sketch));
        }

        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Sketch::decode(&bytes);
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            if let Ok(sketch) = Sketch::decode(&bytes) {
                let mut twice = sketch.clone();
                twice.merge(&sketch);
                let _ = twice.quantile(0.5);
            }
        }
    }
}
