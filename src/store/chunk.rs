//! Sealed samples: time columns and chunks of 16 series, and back.
//!
//! For: the values in `raw-…` trees. Not for: where they lie (`keys`) or how a column is packed
//! (`codec`). Read [`put_group`] first.
//!
//! Both lie in an envelope (see `codec`). An empty value is a place that was made ready and not
//! yet filled: it holds nothing.
//!
//! **Time column** of a target: varint count, then per scrape the zigzag distance in ms from the
//! one before (the first: from 0), in the order of arrival.
//!
//! **Group**: varint count of members; per member, ascending: u8 member (0–15), varint count of
//! values, varint length of its column; then the columns in the same order. A row of a column is
//! a place in the time column with the same span, target and log.

use super::codec::{Column, Damaged, Reader, open, put_varint, put_zigzag, seal, unpack};
use super::keys::GROUP;

/// Scrapes of one target in one span: one a millisecond would be 7.2 million.
const TIMES_MAX: usize = 8 << 20;
/// Values of one group in one span: a log is closed at 64 MB, and a sample takes two bytes there.
const VALUES_MAX: u64 = 40 << 20;

/// Packs a time column.
pub(super) fn put_times(times: &[i64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(times.len() * 2 + 8);
    put_varint(&mut out, times.len() as u64);
    let mut before = 0i64;
    for at in times {
        put_zigzag(&mut out, at.wrapping_sub(before));
        before = *at;
    }
    seal(&out)
}

/// Unpacks a time column.
pub(super) fn read_times(value: &[u8]) -> Result<Vec<i64>, Damaged> {
    let payload = open(value)?;
    let mut from = Reader::new(&payload);
    let count = from.length(TIMES_MAX.min(payload.len()))?;
    let mut times = Vec::with_capacity(count);
    let mut at = 0i64;
    for _ in 0..count {
        at = at.wrapping_add(from.zigzag()?);
        times.push(at);
    }
    Ok(times)
}

/// Packs the columns of a group, members ascending.
pub(super) fn put_group<'a>(members: impl ExactSizeIterator<Item = (u8, &'a Column)>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut columns = Vec::new();
    put_varint(&mut out, members.len() as u64);
    for (member, column) in members {
        let bytes = column.encoded();
        out.push(member);
        put_varint(&mut out, u64::from(column.count()));
        put_varint(&mut out, bytes.len() as u64);
        columns.extend_from_slice(&bytes);
    }
    out.extend_from_slice(&columns);
    seal(&out)
}

/// One member of a group: its place, and its values by row.
pub(super) type Member = (u8, Vec<(u32, f64)>);

/// Unpacks the members of a group that are wanted.
pub(super) fn read_group(
    value: &[u8],
    wanted: impl Fn(u8) -> bool,
) -> Result<Vec<Member>, Damaged> {
    let payload = open(value)?;
    let mut from = Reader::new(&payload);
    let count = from.length(GROUP as usize)?;
    let mut heads = Vec::with_capacity(count);
    for _ in 0..count {
        let member = from.byte()?;
        if u32::from(member) >= GROUP {
            return Err(Damaged("a member out of range"));
        }
        heads.push((member, from.varint_u32()?, from.length(payload.len())?));
    }
    let all: u64 = heads.iter().map(|(_, count, _)| u64::from(*count)).sum();
    if all > VALUES_MAX {
        return Err(Damaged("more values than a log may hold"));
    }
    let mut members = Vec::new();
    for (member, count, len) in heads {
        let bytes = from.take(len)?;
        if wanted(member) {
            members.push((member, unpack(bytes, count)?));
        }
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn times_with_any_gaps_come_back(times in prop::collection::vec(any::<i64>(), 0..300)) {
            prop_assert_eq!(read_times(&put_times(&times)), Ok(times));
        }

        #[test]
        fn groups_with_any_holes_come_back(
            values in prop::collection::btree_map(
                0u8..16,
                prop::collection::btree_map(0u32..2_000, any::<u64>(), 1..50),
                0..16,
            ),
        ) {
            let columns: Vec<(u8, Column)> = values
                .iter()
                .map(|(member, rows)| {
                    let mut column = Column::default();
                    for (row, bits) in rows {
                        column.push(*row, f64::from_bits(*bits));
                    }
                    (*member, column)
                })
                .collect();
            let packed = put_group(columns.iter().map(|(m, c)| (*m, c)));
            let got: Vec<_> = read_group(&packed, |_| true)
                .unwrap()
                .into_iter()
                .map(|(m, rows)| (m, rows.into_iter().map(|(r, v)| (r, v.to_bits())).collect()))
                .collect();
            prop_assert_eq!(got, values.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let sealed = seal(&bytes);
            let _ = read_times(&sealed);
            let _ = read_group(&sealed, |_| true);
        }
    }
}
