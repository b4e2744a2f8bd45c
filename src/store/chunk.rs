//! Sealed samples: time columns and chunks of 16 series, and back.
//!
//! For: the values in `raw-…` trees. Not for: where they lie (`keys`) or how a column is packed
//! (`column`). Read [`put_group`] and [`Group`] first.
//!
//! Both lie in an envelope (see `codec`), packed already. An empty value is a place that was made
//! ready and not yet filled: it holds nothing.
//!
//! **Time column** of a target: varint count, then the instants in ms as whole numbers (`column`),
//! ascending, no two the same.
//!
//! **Group**: varint count of members; per member, ascending: u8 member (0–15), varint count of
//! values, varint length of its rows, varint length of its column; then rows and column of each,
//! in the same order. A row is a place in the time column with the same span, target and log. Rows
//! are runs: varint rows left out before the run, varint rows in it; no bytes at all mean one run
//! from the first row on, which is what nearly every series has.

use std::borrow::Cow;
use std::ops::Range;

use super::codec::{Damaged, Reader, open, put_varint, seal_packed};
use super::column::{put_numbers, put_values, read_numbers, read_values};
use super::keys::GROUP;

/// Scrapes of one target in one span: one a millisecond would be 7.2 million.
const TIMES_MAX: usize = 8 << 20;

const BEYOND: Damaged = Damaged("more values than instants");

/// Packs a time column.
pub(super) fn put_times(times: &[i64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(times.len() * 2 + 8);
    put_varint(&mut out, times.len() as u64);
    put_numbers(&mut out, times);
    seal_packed(&out)
}

/// Unpacks a time column.
pub(super) fn read_times(value: &[u8]) -> Result<Vec<i64>, Damaged> {
    let payload = open(value)?;
    let mut from = Reader::new(&payload);
    let count = from.length(TIMES_MAX)?;
    read_numbers(from.rest(), count)
}

/// One series of a group: its place, and its values by ascending row.
pub(super) type Sorted = (u8, Vec<(u32, f64)>);

/// Packs the members of a group, ascending.
pub(super) fn put_group(members: &[Sorted]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bodies = Vec::new();
    let mut column = Vec::new();
    put_varint(&mut out, members.len() as u64);
    for (member, values) in members {
        column.clear();
        column.extend(values.iter().map(|(_, value)| *value));
        let start = bodies.len();
        put_rows(&mut bodies, values.iter().map(|(row, _)| *row));
        let rows = bodies.len() - start;
        put_values(&mut bodies, &column);
        out.push(*member);
        put_varint(&mut out, values.len() as u64);
        put_varint(&mut out, rows as u64);
        put_varint(&mut out, (bodies.len() - start - rows) as u64);
    }
    out.extend_from_slice(&bodies);
    seal_packed(&out)
}

/// Appends ascending rows as runs; nothing for one run from the first row on.
pub(super) fn put_rows(out: &mut Vec<u8>, rows: impl Iterator<Item = u32>) {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for row in rows {
        match runs.last_mut() {
            Some((first, len)) if first.wrapping_add(*len) == row => *len += 1,
            _ => runs.push((row, 1)),
        }
    }
    if matches!(runs[..], [(0, _)]) {
        return;
    }
    let mut at = 0;
    for (first, len) in runs {
        put_varint(out, u64::from(first.saturating_sub(at)));
        put_varint(out, u64::from(len));
        at = first.saturating_add(len);
    }
}

/// Reads `count` rows below `max`.
pub(super) fn read_rows(runs: &[u8], count: usize, max: usize) -> Result<Vec<usize>, Damaged> {
    if runs.is_empty() {
        return Ok((0..count).collect());
    }
    let mut from = Reader::new(runs);
    let mut rows = Vec::with_capacity(count);
    let mut row = 0usize;
    while !from.is_done() {
        row = row.saturating_add(from.length(max)?);
        let end = row.saturating_add(from.length(max)?);
        if end > max || rows.len() + (end - row) > count {
            return Err(Damaged("a row out of range"));
        }
        rows.extend(row..end);
        row = end;
    }
    if rows.len() == count {
        Ok(rows)
    } else {
        Err(Damaged("fewer rows than values"))
    }
}

/// A group whose heads were read; columns are unpacked when they are asked for.
#[derive(Debug)]
pub(super) struct Group<'a> {
    payload: Cow<'a, [u8]>,
    heads: Vec<Head>,
}

#[derive(Debug)]
struct Head {
    member: u8,
    count: usize,
    rows: Range<usize>,
    column: Range<usize>,
}

impl<'a> Group<'a> {
    /// Reads the heads of a stored group.
    pub(super) fn open(value: &'a [u8]) -> Result<Self, Damaged> {
        let payload = open(value)?;
        let mut from = Reader::new(&payload);
        let len = from.length(GROUP as usize)?;
        let mut heads = Vec::with_capacity(len);
        let mut end = 0usize;
        for _ in 0..len {
            let member = from.byte()?;
            if u32::from(member) >= GROUP {
                return Err(Damaged("a member out of range"));
            }
            let count = from.length(TIMES_MAX)?;
            let rows = end..end.saturating_add(from.length(payload.len())?);
            let column = rows.end..rows.end.saturating_add(from.length(payload.len())?);
            end = column.end;
            heads.push(Head {
                member,
                count,
                rows,
                column,
            });
        }
        let bodies = payload.len() - from.rest().len();
        if end != from.rest().len() {
            return Err(Damaged("columns of another length than announced"));
        }
        for head in &mut heads {
            head.rows = head.rows.start + bodies..head.rows.end + bodies;
            head.column = head.column.start + bodies..head.column.end + bodies;
        }
        Ok(Self { payload, heads })
    }

    /// Places of the series that have values, ascending.
    pub(super) fn members(&self) -> impl Iterator<Item = u8> + '_ {
        self.heads.iter().map(|head| head.member)
    }

    /// Bytes that each of them takes, in the same order.
    pub(super) fn sizes(&self) -> impl Iterator<Item = (u8, usize)> + '_ {
        let heads = self.heads.iter();
        heads.map(|head| (head.member, head.rows.len() + head.column.len()))
    }

    fn head(&self, member: u8) -> Option<&Head> {
        self.heads.iter().find(|head| head.member == member)
    }

    fn part(&self, range: &Range<usize>) -> &[u8] {
        self.payload.get(range.clone()).unwrap_or_default()
    }

    /// Whether a member has a value at each of so many instants.
    pub(super) fn is_whole(&self, member: u8, instants: usize) -> bool {
        let head = self.head(member);
        head.is_some_and(|head| head.count == instants && head.rows.is_empty())
    }

    /// Appends the values of a member without their instants, of which there are at most so many;
    /// none if it has none.
    pub(super) fn values(
        &self,
        member: u8,
        instants: usize,
        into: &mut Vec<f64>,
    ) -> Result<(), Damaged> {
        let Some(head) = self.head(member) else {
            return Ok(());
        };
        if head.count > instants {
            return Err(BEYOND);
        }
        read_values(self.part(&head.column), head.count, into)
    }

    /// Appends the values of a member with those of `times` at which it has them; none if it has
    /// none.
    pub(super) fn samples(
        &self,
        member: u8,
        times: &[i64],
        (instants, values): (&mut Vec<i64>, &mut Vec<f64>),
    ) -> Result<(), Damaged> {
        let Some(head) = self.head(member) else {
            return Ok(());
        };
        self.values(member, times.len(), values)?;
        if head.rows.is_empty() {
            instants.extend_from_slice(times.get(..head.count).ok_or(BEYOND)?);
            return Ok(());
        }
        for row in read_rows(self.part(&head.rows), head.count, times.len())? {
            instants.push(*times.get(row).ok_or(Damaged("a row without a time"))?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn times_with_any_gaps_come_back(times in prop::collection::btree_set(any::<i64>(), 0..300)) {
            let times: Vec<i64> = times.into_iter().collect();
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
            let members: Vec<(u8, Vec<(u32, f64)>)> = values
                .iter()
                .map(|(member, rows)| {
                    let rows = rows.iter().map(|(row, bits)| (*row, f64::from_bits(*bits)));
                    (*member, rows.collect())
                })
                .collect();
            let packed = put_group(&members);
            let times: Vec<i64> = (0..2_000).map(|row| row * 10).collect();
            let group = Group::open(&packed).unwrap();
            let got: Vec<_> = group
                .members()
                .map(|m| {
                    let (mut instants, mut values) = (Vec::new(), Vec::new());
                    group.samples(m, &times, (&mut instants, &mut values)).unwrap();
                    assert_eq!(instants.len(), values.len());
                    assert_eq!(group.is_whole(m, values.len()), instants == times[..values.len()]);
                    let rows = instants.into_iter().zip(values);
                    (m, rows.map(|(t, v)| (t / 10, v.to_bits())).collect())
                })
                .collect();
            let given: Vec<(u8, Vec<(i64, u64)>)> = values
                .into_iter()
                .map(|(m, rows)| (m, rows.into_iter().map(|(r, v)| (i64::from(r), v)).collect()))
                .collect();
            prop_assert_eq!(got, given);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let sealed = seal_packed(&bytes);
            let _ = read_times(&sealed);
            if let Ok(group) = Group::open(&sealed) {
                for member in group.members() {
                    let _ = group.samples(member, &[1, 2, 3], (&mut vec![], &mut vec![]));
                }
            }
        }
    }
}
