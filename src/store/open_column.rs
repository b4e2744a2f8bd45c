//! Columns of the open window: values of one series, packed as they come.
//!
//! For: what is appended to value by value and may be read at any time. Not for: columns that are
//! written once (`column`). Read [`Column`] first.
//!
//! Each value has the row (of the time column) that it belongs to. A value is the exclusive or of its
//! bits with those of the value before (the first: with 0); a row is its distance from the row before
//! (the first: from −1). One token a value:
//!
//! | token | meaning |
//! |---|---|
//! | `0xFF`, varint n | n times: same distance, same bits |
//! | header `0x80 \| code`, zigzag d, bytes | from here on the distance is d |
//! | header `code`, bytes | same distance |
//!
//! `code` and the bytes are those of an exclusive or (`codec`).

use super::codec::{Damaged, Reader, put_varint, put_xor_bytes, put_zigzag, shape};

/// No column has more values: a log of scrapes with one sample each ends before.
const VALUES_MAX: u32 = 4 << 20;
const RUN: u8 = 0xFF;
const NEW_STEP: u8 = 0x80;

/// Values of one series, packed as they come; see the module for the bytes.
#[derive(Debug, Clone)]
pub(super) struct Column {
    bytes: Vec<u8>,
    bits: u64,
    row: i64,
    step: i64,
    run: u32,
    count: u32,
}

impl Default for Column {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            bits: 0,
            row: -1,
            step: 1,
            run: 0,
            count: 0,
        }
    }
}

impl Column {
    /// Appends one value at `row`; rows may come in any order.
    pub(super) fn push(&mut self, row: u32, value: f64) {
        let (row, bits) = (i64::from(row), value.to_bits());
        let step = row - self.row;
        let xor = bits ^ self.bits;
        if step == self.step && xor == 0 {
            self.run += 1;
        } else {
            flush_run(&mut self.bytes, self.run);
            self.run = 0;
            let (code, tail, len) = shape(xor);
            // Grown by a quarter rather than doubled: ten thousand half-empty buffers add up.
            if self.bytes.capacity() - self.bytes.len() < 20 {
                self.bytes.reserve_exact(24 + self.bytes.len() / 4);
            }
            if step == self.step {
                self.bytes.push(code);
            } else {
                self.bytes.push(code | NEW_STEP);
                put_zigzag(&mut self.bytes, step);
            }
            put_xor_bytes(&mut self.bytes, xor, tail, len);
        }
        self.row = row;
        self.step = step;
        self.bits = bits;
        self.count += 1;
    }

    /// Bytes that it takes in memory.
    pub(super) fn room(&self) -> usize {
        self.bytes.capacity() + size_of::<Self>()
    }

    /// How many values there are.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// The packed bytes, whole.
    pub(super) fn encoded(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes.len() + 6);
        bytes.extend_from_slice(&self.bytes);
        flush_run(&mut bytes, self.run);
        bytes
    }

    /// Values with their rows, in the order they were pushed.
    pub(super) fn values(&self) -> Vec<(u32, f64)> {
        // Bytes that this very struct has written decode; an empty answer is never reached.
        unpack(&self.encoded(), self.count).unwrap_or_default()
    }
}

fn flush_run(bytes: &mut Vec<u8>, run: u32) {
    match run {
        0 => {}
        1 => bytes.push(0),
        n => {
            bytes.push(RUN);
            put_varint(bytes, u64::from(n));
        }
    }
}

/// Reads `count` values of a packed column, with their rows; nothing may be left over.
fn unpack(bytes: &[u8], count: u32) -> Result<Vec<(u32, f64)>, Damaged> {
    // Runs make many values of few bytes: what is damaged must not cost memory.
    if count > VALUES_MAX {
        return Err(Damaged("more values than a column may have"));
    }
    let mut from = Reader::new(bytes);
    let mut values = Vec::with_capacity((count as usize).min(1 << 16));
    let (mut row, mut step, mut bits, mut left) = (-1i64, 1i64, 0u64, count);
    while left > 0 {
        let header = from.byte()?;
        let times = if header == RUN {
            from.varint_u32()?
        } else {
            if header & NEW_STEP != 0 {
                step = from.zigzag()?;
            }
            bits ^= from.xor_bytes(header & !NEW_STEP)?;
            1
        };
        left = left
            .checked_sub(times)
            .ok_or(Damaged("more values than announced"))?;
        for _ in 0..times {
            row = row.saturating_add(step);
            let row = u32::try_from(row).map_err(|_| Damaged("a row out of range"))?;
            values.push((row, f64::from_bits(bits)));
        }
    }
    if from.is_done() {
        Ok(values)
    } else {
        Err(Damaged("bytes after the last value"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packed(values: &[(u32, u64)]) -> Column {
        let mut column = Column::default();
        for (row, bits) in values {
            column.push(*row, f64::from_bits(*bits));
        }
        column
    }

    #[test]
    fn a_value_that_stays_costs_next_to_nothing() {
        let mut column = Column::default();
        for row in 0..720 {
            column.push(row, 42.0);
        }
        assert!(column.encoded().len() <= 6, "{}", column.encoded().len());
        assert_eq!(column.values().len(), 720);
    }

    #[test]
    fn endless_runs_are_damage_and_take_no_memory() {
        assert!(unpack(&[RUN, 0xff, 0xff, 0xff, 0xff, 0x0f], 5).is_err());
        let endless = [NEW_STEP, 0, RUN, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(unpack(&endless, u32::MAX).is_err());
    }

    proptest! {
        #[test]
        fn any_bit_patterns_at_any_rows_come_back(
            values in prop::collection::vec((any::<u32>(), any::<u64>()), 0..200),
            repeats in 0u32..5,
        ) {
            let mut given = values;
            if let Some((row, bits)) = given.last().copied() {
                given.extend((1..=repeats).map(|i| (row.saturating_add(i), bits)));
            }
            let column = packed(&given);
            prop_assert_eq!(column.count as usize, given.len());
            let got: Vec<_> = column.values().iter().map(|(r, v)| (*r, v.to_bits())).collect();
            prop_assert_eq!(got, given);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), count in 0u32..10_000) {
            let _ = unpack(&bytes, count);
        }
    }
}
