//! Sealed columns: the numbers of one series, or of one clock, in as few bytes as they take.
//!
//! For: columns that are written once and read often. Not for: the open window, which grows value
//! by value (`codec::Column`). Read [`put_values`] first.
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

use pco::ChunkConfig;
use pco::data_types::Number;
use pco::wrapped::{FileCompressor, FileDecompressor};

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

fn unpack<T: Number + Default>(bytes: &[u8], count: usize) -> Result<Vec<T>, Damaged> {
    let (file, mut left) = FileDecompressor::new(bytes).map_err(|_| BROKEN)?;
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let part = (count - numbers.len()).min(CHUNK);
        let done = numbers.len();
        let (mut chunk, rest) = file.chunk_decompressor::<T, _>(left).map_err(|_| BROKEN)?;
        let mut page = chunk.page_decompressor(rest, part).map_err(|_| BROKEN)?;
        numbers.resize(done + part, T::default());
        let into = numbers.get_mut(done..).unwrap_or_default();
        let progress = page.read(into).map_err(|_| BROKEN)?;
        if progress.n_processed != part {
            return Err(BROKEN);
        }
        left = page.into_src();
    }
    if left.is_empty() {
        Ok(numbers)
    } else {
        Err(Damaged("bytes after the last number"))
    }
}

/// Reads `count` values; nothing may be left over.
pub(super) fn read_values(bytes: &[u8], count: usize) -> Result<Vec<f64>, Damaged> {
    if count == 0 {
        return Ok(Vec::new());
    }
    match bytes.split_first() {
        Some((&SAME, bits)) => {
            let bits = bits.try_into().map_err(|_| BROKEN)?;
            Ok(vec![f64::from_bits(u64::from_le_bytes(bits)); count])
        }
        Some((&FLOATS, packed)) => unpack(packed, count),
        _ => {
            let (power, numbers) = read_whole(bytes, count)?;
            // Most are whole as they are, and a division takes as long as all the rest.
            Ok(if power > 1.0 {
                numbers.into_iter().map(|n| n as f64 / power).collect()
            } else {
                numbers.into_iter().map(|n| n as f64).collect()
            })
        }
    }
}

/// Reads `count` whole numbers; nothing may be left over.
pub(super) fn read_numbers(bytes: &[u8], count: usize) -> Result<Vec<i64>, Damaged> {
    if count == 0 {
        return Ok(Vec::new());
    }
    read_whole(bytes, count).map(|(_, numbers)| numbers)
}

fn read_whole(bytes: &[u8], count: usize) -> Result<(f64, Vec<i64>), Damaged> {
    let mut from = Reader::new(bytes);
    let tag = from.byte()?;
    let power = *POWERS
        .get(usize::from(from.byte()?))
        .ok_or(Damaged("a decimal power out of range"))?;
    let (least, unit) = (from.zigzag()?, from.varint()?);
    let value = |n: u64| least.wrapping_add_unsigned(n.wrapping_mul(unit));
    let numbers = match tag {
        WHOLE_16 => unpack::<u16>(from.rest(), count)?
            .into_iter()
            .map(|n| value(u64::from(n)))
            .collect(),
        WHOLE_32 => unpack::<u32>(from.rest(), count)?
            .into_iter()
            .map(|n| value(u64::from(n)))
            .collect(),
        WHOLE_64 => unpack::<u64>(from.rest(), count)?
            .into_iter()
            .map(value)
            .collect(),
        _ => return Err(Damaged("an unknown packing of a column")),
    };
    Ok((power, numbers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn size(values: &[f64]) -> usize {
        let mut out = Vec::new();
        put_values(&mut out, values);
        let back = read_values(&out, values.len()).unwrap();
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
        assert!(read_values(&out[..out.len() - 1], values.len()).is_err());
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
            let _ = read_values(&bytes, count);
            let _ = read_numbers(&bytes, count);
        }
    }
}
