//! Last values as they are stored: a block for 256 series.
//!
//! For: knowing them at once when a store is opened. Not for: keeping them up to date (`catalogue`).
//! Read [`blocks`] first.
//!
//! A block in the tree `last`: varint distance from the id before (the first: from the block's
//! start), zigzag instant in ms, bits of the value (u64 little-endian); to the end.

use std::collections::BTreeMap;

use super::codec::{Damaged, Reader, put_varint, put_zigzag, seal};
use super::op::Op;
use crate::model::units::Timestamp;

/// Series in one block.
const BLOCK: u32 = 256;

/// The operations that store last values, ascending by series.
pub(super) fn blocks(values: impl Iterator<Item = (u32, Timestamp, f64)>) -> Vec<Op> {
    let mut blocks: BTreeMap<u32, (Vec<u8>, u32)> = BTreeMap::new();
    for (id, at, value) in values {
        let block = id / BLOCK;
        let begin = || (Vec::new(), block * BLOCK);
        let (out, before) = blocks.entry(block).or_insert_with(begin);
        put_varint(out, u64::from(id.saturating_sub(*before)));
        put_zigzag(out, at.as_millis());
        out.extend_from_slice(&value.to_bits().to_le_bytes());
        *before = id;
    }
    let blocks = blocks.into_iter();
    blocks
        .map(|(block, (out, _))| Op::put(block.to_be_bytes(), seal(&out)))
        .collect()
}

/// Shows what an unpacked block holds.
pub(super) fn read(
    block: u32,
    bytes: &[u8],
    mut show: impl FnMut(u32, Timestamp, f64),
) -> Result<(), Damaged> {
    let mut from = Reader::new(bytes);
    let mut id = block
        .checked_mul(BLOCK)
        .ok_or(Damaged("a block out of range"))?;
    while !from.is_done() {
        id = id
            .checked_add(from.varint_u32()?)
            .ok_or(Damaged("a series out of range"))?;
        let at = Timestamp::from_millis(from.zigzag()?);
        show(id, at, f64::from_bits(from.u64_le()?));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::codec::open;

    proptest! {
        #[test]
        fn last_values_come_back(
            values in prop::collection::btree_map(0u32..2_000, any::<(i64, u64)>(), 0..60),
        ) {
            let at = |(id, (ms, bits)): (&u32, &(i64, u64))| {
                (*id, Timestamp::from_millis(*ms), f64::from_bits(*bits))
            };
            let mut back = std::collections::BTreeMap::new();
            for op in blocks(values.iter().map(at)) {
                let Op::Put(key, value) = op else { unreachable!() };
                let block = u32::from_be_bytes(key.try_into().unwrap());
                let show = |id, at: Timestamp, value: f64| {
                    back.insert(id, (at.as_millis(), value.to_bits()));
                };
                read(block, &open(&value).unwrap(), show).unwrap();
            }
            prop_assert_eq!(back, values);
        }

        #[test]
        fn arbitrary_bytes_never_panic(block: u32, bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = read(block, &bytes, |_, _, _| {});
        }
    }
}
