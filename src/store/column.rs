//! Sealed columns: the numbers of one series, or of one clock, in as few bytes as they take.
//!
//! For: columns that are written once and read often. Not for: the open window, which grows value
//! by value (`open_column`). Read [`put_values`] first.
//!
//! A column does not say how many numbers it holds; whoever keeps it does. The first byte says how
//! it is packed:
//!
//! | tag | then |
//! |---|---|
//! | 0, all the same | bits of the value, u64 little-endian |
//! | 1, whole numbers of a decimal unit | u8 exponent `e`, zigzag `least`, varint `unit`, packed `n` of 16, 32 or 64 bits (tags 1, 2, 3); the value is `(least + unit · n) / 10^e` |
//! | 4, any floats | packed f64 |
//!
//! *Packed* is the wrapped format of the crate `pco` (Loncaric, "Pcodec", arXiv 2502.06112): its
//! header, then for each 65 536 numbers a chunk of one page. Decimal and whole numbers are found by
//! trying: every value must come back bit for bit, else it is kept as a float.
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "whole numbers here are within 2^53, where f64 is exact; each value is checked to come back"
)]

use std::cell::RefCell;

use pco::data_types::Number;
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DecompressorScratch, FULL_BATCH_N};

use super::codec::{Damaged, Reader, put_varint, put_zigzag};

/// Numbers in one packed chunk.
const CHUNK: usize = 1 << 16;
/// Of 12 levels: 10 and 12 save nothing more on recorded metrics, and take two and three times as long.
const LEVEL: usize = 8;
/// Powers of ten that are tried: to the picosecond and below.
pub(super) const POWERS: [f64; 13] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12,
];
/// Whole numbers up to here are exact in an f64.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

const SAME: u8 = 0;
const WHOLE_16: u8 = 1;
const WHOLE_32: u8 = 2;
const WHOLE_64: u8 = 3;
const FLOATS: u8 = 4;

const BROKEN: Damaged = Damaged("a packed column that does not unpack");

thread_local! {
    /// Where columns are unpacked: some kilobytes that each column would have to make anew.
    static SCRATCH: RefCell<DecompressorScratch> = RefCell::default();
}

/// Appends a column of values; they come back bit for bit.
pub(super) fn put_values(out: &mut Vec<u8>, values: &[f64]) {
    let Some(first) = values.first() else { return };
    if values.iter().all(|v| v.to_bits() == first.to_bits()) {
        out.push(SAME);
        out.extend_from_slice(&first.to_bits().to_le_bytes());
        return;
    }
    if let Some((exponent, numbers)) = as_whole(values) {
        put_whole(out, exponent, &numbers);
    } else {
        out.push(FLOATS);
        pack(out, values);
    }
}

/// Appends a column of whole numbers, such as instants.
pub(super) fn put_numbers(out: &mut Vec<u8>, numbers: &[i64]) {
    if !numbers.is_empty() {
        put_whole(out, 0, numbers);
    }
}

/// The decimal exponent under which all values are whole numbers, and those numbers.
pub(super) fn as_whole(values: &[f64]) -> Option<(u8, Vec<i64>)> {
    let mut numbers = Vec::with_capacity(values.len());
    let mut exponent = 0u8;
    // A value that needs a higher power starts the search anew there: what was whole before is
    // whole under a higher power, too, unless it grows too large.
    'powers: loop {
        let power = *POWERS.get(usize::from(exponent))?;
        numbers.clear();
        for value in values {
            let number = (value * power).round();
            if number.is_nan() || number.abs() > WHOLE_MAX {
                return None;
            }
            // As an integer, which has no negative zero.
            let number = number as i64;
            if (number as f64 / power).to_bits() != value.to_bits() {
                exponent += 1;
                continue 'powers;
            }
            numbers.push(number);
        }
        return Some((exponent, numbers));
    }
}

fn put_whole(out: &mut Vec<u8>, exponent: u8, numbers: &[i64]) {
    let least = numbers.iter().copied().min().unwrap_or(0);
    let unit = numbers
        .iter()
        .map(|n| n.abs_diff(least))
        .fold(0, greatest_divisor)
        .max(1);
    let largest = numbers
        .iter()
        .map(|n| n.abs_diff(least) / unit)
        .max()
        .unwrap_or(0);
    let steps = numbers.iter().map(|n| n.abs_diff(least) / unit);
    let tag = if u16::try_from(largest).is_ok() {
        WHOLE_16
    } else if u32::try_from(largest).is_ok() {
        WHOLE_32
    } else {
        WHOLE_64
    };
    out.extend_from_slice(&[tag, exponent]);
    put_zigzag(out, least);
    put_varint(out, unit);
    match tag {
        WHOLE_16 => pack(out, &steps.map(|n| n as u16).collect::<Vec<_>>()),
        WHOLE_32 => pack(out, &steps.map(|n| n as u32).collect::<Vec<_>>()),
        _ => pack(out, &steps.collect::<Vec<_>>()),
    }
}

/// The greatest number that divides both; 0 is divided by all.
pub(super) fn greatest_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn pack<T: Number>(out: &mut Vec<u8>, numbers: &[T]) {
    // Writing to memory fails only for a wrong level or too large a chunk, which are constant.
    let _ = try_pack(out, numbers);
}

fn try_pack<T: Number>(out: &mut Vec<u8>, numbers: &[T]) -> pco::errors::PcoResult<()> {
    let config = ChunkConfig::default().with_compression_level(LEVEL);
    let file = FileCompressor::default();
    file.write_header(&mut *out)?;
    for part in numbers.chunks(CHUNK) {
        let mut chunk = file.chunk_compressor(part, &config)?;
        chunk.write_meta(&mut *out)?;
        for page in 0..chunk.n_per_page().len() {
            chunk.write_page(page, &mut *out)?;
        }
    }
    Ok(())
}

/// Unpacks `count` numbers and shows them in order, at most [`FULL_BATCH_N`] at a time; nothing may
/// be left over.
fn unpack<T: Number + Default>(
    bytes: &[u8],
    count: usize,
    mut show: impl FnMut(&[T]),
) -> Result<(), Damaged> {
    let (file, mut left) = FileDecompressor::new(bytes).map_err(|_| BROKEN)?;
    let mut batch = [T::default(); FULL_BATCH_N];
    let mut todo = count;
    SCRATCH.with_borrow_mut(|scratch| {
        while todo > 0 {
            let (chunk, rest) = file.chunk_decompressor::<T, _>(left).map_err(|_| BROKEN)?;
            let mut part = todo.min(CHUNK);
            todo -= part;
            let mut page = chunk
                .page_decompressor_with_scratch(rest, part, scratch)
                .map_err(|_| BROKEN)?;
            while part > 0 {
                let read = page.read(&mut batch).map_err(|_| BROKEN)?.n_processed;
                let numbers = batch.get(..read).filter(|read| !read.is_empty());
                show(numbers.ok_or(BROKEN)?);
                part = part.saturating_sub(read);
            }
            left = page.into_src();
        }
        Ok(())
    })?;
    if left.is_empty() {
        Ok(())
    } else {
        Err(Damaged("bytes after the last number"))
    }
}

/// Reads `count` values and appends them; nothing may be left over.
pub(super) fn read_values(bytes: &[u8], count: usize, into: &mut Vec<f64>) -> Result<(), Damaged> {
    each_batch(bytes, count, |batch| into.extend_from_slice(batch))
}

/// Shows `count` values in order, some at a time; nothing may be left over.
fn each_batch(bytes: &[u8], count: usize, mut show: impl FnMut(&[f64])) -> Result<(), Damaged> {
    if count == 0 {
        return Ok(());
    }
    match bytes.split_first() {
        Some((&SAME, bits)) => {
            let bits = bits.try_into().map_err(|_| BROKEN)?;
            let batch = [f64::from_bits(u64::from_le_bytes(bits)); FULL_BATCH_N];
            for first in (0..count).step_by(FULL_BATCH_N) {
                show(batch.get(..count - first).unwrap_or(&batch));
            }
            Ok(())
        }
        Some((&FLOATS, packed)) => unpack(packed, count, show),
        _ => {
            let whole = Whole::read(bytes)?;
            match whole.tag {
                WHOLE_16 => unpack(whole.packed, count, |n: &[u16]| whole.values(n, &mut show)),
                WHOLE_32 => unpack(whole.packed, count, |n: &[u32]| whole.values(n, &mut show)),
                _ => unpack(whole.packed, count, |n: &[u64]| whole.large(n, &mut show)),
            }
        }
    }
}

/// Reads `count` whole numbers; nothing may be left over.
pub(super) fn read_numbers(bytes: &[u8], count: usize) -> Result<Vec<i64>, Damaged> {
    let mut numbers = Vec::new();
    if count == 0 {
        return Ok(numbers);
    }
    let whole = Whole::read(bytes)?;
    let of = |n: u64| whole.number(n);
    match whole.tag {
        WHOLE_16 => unpack(whole.packed, count, |batch: &[u16]| {
            numbers.extend(batch.iter().map(|n| of(u64::from(*n))));
        }),
        WHOLE_32 => unpack(whole.packed, count, |batch: &[u32]| {
            numbers.extend(batch.iter().map(|n| of(u64::from(*n))));
        }),
        _ => unpack(whole.packed, count, |batch: &[u64]| {
            numbers.extend(batch.iter().map(|n| of(*n)));
        }),
    }?;
    Ok(numbers)
}

/// A column of whole numbers of a decimal unit, its head read.
struct Whole<'a> {
    tag: u8,
    power: f64,
    least: i64,
    unit: u64,
    packed: &'a [u8],
}

impl<'a> Whole<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Damaged> {
        let mut from = Reader::new(bytes);
        let tag = from.byte()?;
        if !matches!(tag, WHOLE_16 | WHOLE_32 | WHOLE_64) {
            return Err(Damaged("an unknown packing of a column"));
        }
        let power = *POWERS
            .get(usize::from(from.byte()?))
            .ok_or(Damaged("a decimal power out of range"))?;
        Ok(Self {
            tag,
            power,
            least: from.zigzag()?,
            unit: from.varint()?,
            packed: from.rest(),
        })
    }

    fn number(&self, n: u64) -> i64 {
        self.least.wrapping_add_unsigned(n.wrapping_mul(self.unit))
    }

    /// Shows the values of a batch of small numbers.
    fn values<T>(&self, batch: &[T], show: &mut impl FnMut(&[f64]))
    where
        T: Copy + Into<u64> + Into<f64>,
    {
        // Where every product and sum is exact as a float, floats are several times as fast.
        let largest = self.unit.saturating_mul(u64::from(u32::MAX));
        let largest = largest.saturating_add(self.least.unsigned_abs());
        if largest as f64 > WHOLE_MAX {
            return self.each(batch, show, |n| self.number((*n).into()) as f64);
        }
        let (least, unit) = (self.least as f64, self.unit as f64);
        self.each(batch, show, |n| {
            let n: f64 = (*n).into();
            n * unit + least
        });
    }

    /// Shows the values of a batch of numbers of any size.
    fn large(&self, batch: &[u64], show: &mut impl FnMut(&[f64])) {
        self.each(batch, show, |n| self.number(*n) as f64);
    }

    fn each<T>(&self, batch: &[T], show: &mut impl FnMut(&[f64]), value: impl Fn(&T) -> f64) {
        let mut values = [0.0; FULL_BATCH_N];
        let into = values.iter_mut().zip(batch);
        // Most are whole as they are, and a division takes as long as all the rest.
        if self.power > 1.0 {
            into.for_each(|(into, n)| *into = value(n) / self.power);
        } else {
            into.for_each(|(into, n)| *into = value(n));
        }
        show(values.get(..batch.len()).unwrap_or(&values));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8], count: usize) -> Result<Vec<f64>, Damaged> {
        let mut values = Vec::new();
        read_values(bytes, count, &mut values).map(|()| values)
    }

    fn size(values: &[f64]) -> usize {
        let mut out = Vec::new();
        put_values(&mut out, values);
        let back = read(&out, values.len()).unwrap();
        assert!(
            back.iter()
                .zip(values)
                .all(|(a, b)| a.to_bits() == b.to_bits())
        );
        out.len()
    }

    #[test]
    fn what_is_regular_takes_few_bytes() {
        assert_eq!(size(&[42.5; 720]), 9);
        let even: Vec<f64> = (0..720).map(|n| f64::from(n) * 8_192.0).collect();
        assert!(size(&even) < 30, "{}", size(&even));
        let cents: Vec<f64> = (0..720).map(|n| f64::from(n * n % 997) / 100.0).collect();
        assert!(size(&cents) < 720 * 3 / 2, "{}", size(&cents));
    }

    #[test]
    fn what_is_no_decimal_is_kept_as_a_float() {
        for odd in [f64::NAN, f64::INFINITY, -0.0, 1e300, 5e-324, 0.1 + 0.2] {
            assert!(as_whole(&[1.0, odd]).is_none(), "{odd}");
            size(&[1.0, odd, 2.0]);
        }
        assert_eq!(as_whole(&[1.0, 0.25]), Some((2, vec![100, 25])));
        let stale = f64::from_bits(0x7ff0_0000_0000_0002);
        size(&[1.0, stale, 3.0]);
    }

    #[test]
    fn long_columns_are_packed_in_parts() {
        let values: Vec<f64> = (0..150_000).map(|n| f64::from(n).sqrt()).collect();
        size(&values);
        let mut out = Vec::new();
        put_values(&mut out, &values);
        assert!(read(&out[..out.len() - 1], values.len()).is_err());
    }

    proptest! {
        #[test]
        fn any_bits_come_back(bits in prop::collection::vec(any::<u64>(), 0..300)) {
            size(&bits.into_iter().map(f64::from_bits).collect::<Vec<_>>());
        }

        #[test]
        fn decimals_come_back(
            numbers in prop::collection::vec(-1_000_000_000i64..1_000_000_000, 1..300),
            exponent in 0usize..10,
        ) {
            size(&numbers.iter().map(|n| *n as f64 / POWERS[exponent]).collect::<Vec<_>>());
        }

        #[test]
        fn large_whole_values_come_back(
            least in -9_007_199_254_740_992i64..9_007_199_254_740_992,
            unit in prop::sample::select(vec![1i64, 1 << 17, 1 << 20, 1 << 21, 1 << 36, 1 << 37]),
            steps in prop::collection::vec(0i64..70_000, 2..300),
        ) {
            let numbers = steps.iter().map(|n| least.saturating_add(n * unit) as f64);
            size(&numbers.collect::<Vec<_>>());
        }

        #[test]
        fn any_whole_numbers_come_back(numbers in prop::collection::vec(any::<i64>(), 0..300)) {
            let mut out = Vec::new();
            put_numbers(&mut out, &numbers);
            prop_assert_eq!(read_numbers(&out, numbers.len()), Ok(numbers));
        }

        #[test]
        fn arbitrary_bytes_never_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            count in 0usize..2_000,
        ) {
            let _ = read(&bytes, count);
            let _ = read_numbers(&bytes, count);
        }
    }
}
