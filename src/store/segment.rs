//! The open window: scrapes that are not yet sealed, packed in memory.
//!
//! For: appending a scrape and reading a series back at once. Not for: durability; each segment has
//! a log (`wal`) with the same content, and is rebuilt from it. Read [`Segment::take`] first.

use std::collections::{BTreeMap, HashMap};

use super::codec::{Column, Damaged};
use super::keys::{GROUP, SPAN, span_of};
use super::wal::Packed;
use crate::model::units::Timestamp;

/// Scrapes of one target in one span: a time column, and a packed column a series.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// One instant a scrape, in the order of arrival.
    pub(super) times: Vec<i64>,
    columns: HashMap<u32, Column>,
}

/// Everything that one log holds.
#[derive(Debug)]
pub(super) struct Segment {
    /// Number of the log.
    pub(super) number: u32,
    /// Span of the first scrape.
    pub(super) begun: Option<u32>,
    bits: Vec<u64>,
    rows: BTreeMap<(u32, u32), Rows>,
    samples: u64,
}

impl Segment {
    /// An empty segment for log `number`.
    pub(super) fn new(number: u32) -> Self {
        Self {
            number,
            begun: None,
            bits: Vec::new(),
            rows: BTreeMap::new(),
            samples: 0,
        }
    }

    /// Packs values for the log; on a failed write, [`Segment::undo`] must follow.
    pub(super) fn pack(&mut self, values: &[(u32, f64)]) -> Vec<(u32, u64)> {
        values
            .iter()
            .map(|(id, value)| (*id, self.swap(*id, value.to_bits())))
            .collect()
    }

    /// Takes back what [`Segment::pack`] did.
    pub(super) fn undo(&mut self, packed: &[(u32, u64)]) {
        for (id, xor) in packed.iter().rev() {
            if let Some(bits) = self.bits.get_mut(*id as usize) {
                *bits ^= xor;
            }
        }
    }

    /// Exclusive or of the new bits of a series and those before.
    fn swap(&mut self, id: u32, bits: u64) -> u64 {
        let at = id as usize;
        if self.bits.len() <= at {
            self.bits.resize(at + 1, 0);
        }
        match self.bits.get_mut(at) {
            Some(before) => std::mem::replace(before, bits) ^ bits,
            None => bits,
        }
    }

    /// Values of a scrape as the log holds it.
    pub(super) fn unpack(&mut self, packed: &Packed) -> Vec<(u32, f64)> {
        packed
            .samples
            .iter()
            .map(|(id, xor)| {
                let before = self.bits.get(*id as usize).copied().unwrap_or(0);
                self.swap(*id, before ^ xor);
                (*id, f64::from_bits(before ^ xor))
            })
            .collect()
    }

    /// Takes one scrape.
    pub(super) fn take(
        &mut self,
        target: u32,
        at: Timestamp,
        values: &[(u32, f64)],
    ) -> Result<(), Damaged> {
        let span = span_of(at, SPAN).ok_or(Damaged("an instant out of range"))?;
        self.begun.get_or_insert(span);
        let rows = self.rows.entry((span, target)).or_default();
        let row = u32::try_from(rows.times.len()).map_err(|_| Damaged("too many scrapes"))?;
        rows.times.push(at.as_millis());
        for (id, value) in values {
            rows.columns.entry(*id).or_default().push(row, *value);
        }
        self.samples += values.len() as u64;
        Ok(())
    }

    /// Values of a series in a span, in the order of arrival.
    pub(super) fn values(&self, span: u32, target: u32, id: u32) -> Vec<(i64, f64)> {
        let Some(rows) = self.rows.get(&(span, target)) else {
            return Vec::new();
        };
        let Some(column) = rows.columns.get(&id) else {
            return Vec::new();
        };
        column
            .values()
            .into_iter()
            .filter_map(|(row, value)| Some((*rows.times.get(row as usize)?, value)))
            .collect()
    }

    /// Spans that hold scrapes of `target`, ascending.
    pub(super) fn spans(&self, target: u32) -> impl Iterator<Item = u32> + '_ {
        self.rows
            .keys()
            .filter(move |(_, owner)| *owner == target)
            .map(|(span, _)| *span)
    }

    /// Everything, by span and target.
    pub(super) fn all(&self) -> impl Iterator<Item = (u32, u32, &Rows)> {
        self.rows
            .iter()
            .map(|((span, target), rows)| (*span, *target, rows))
    }

    /// Whether there is nothing to seal.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many samples there are.
    pub(super) fn samples(&self) -> u64 {
        self.samples
    }
}

impl Rows {
    /// Columns by group, members ascending.
    pub(super) fn groups(&self) -> BTreeMap<u32, BTreeMap<u8, &Column>> {
        let mut groups: BTreeMap<u32, BTreeMap<u8, &Column>> = BTreeMap::new();
        for (id, column) in &self.columns {
            let member = u8::try_from(id % GROUP).unwrap_or(0);
            groups.entry(id / GROUP).or_default().insert(member, column);
        }
        groups
    }
}

/// Puts values in order of time; of two at one instant, the one that came later stays.
pub(super) fn settle(mut values: Vec<(i64, f64)>) -> Vec<(i64, f64)> {
    if values
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if a.0 < b.0))
    {
        return values;
    }
    values.sort_by_key(|(at, _)| *at);
    let mut settled: Vec<(i64, f64)> = Vec::with_capacity(values.len());
    for value in values {
        match settled.last_mut() {
            Some(before) if before.0 == value.0 => *before = value,
            _ => settled.push(value),
        }
    }
    settled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_that_was_not_written_leaves_no_trace() {
        let mut segment = Segment::new(1);
        let first = segment.pack(&[(3, 1.5), (3, 2.5)]);
        segment.undo(&first);
        assert_eq!(segment.pack(&[(3, 1.5), (3, 2.5)]), first);
        let mut reader = Segment::new(1);
        let scrape = Packed {
            target: 0,
            at: Timestamp::from_millis(0),
            samples: first,
        };
        assert_eq!(reader.unpack(&scrape), [(3, 1.5), (3, 2.5)]);
    }

    #[test]
    fn the_same_instant_again_wins_and_time_may_run_backwards() {
        let mut segment = Segment::new(1);
        for (at, value) in [(10, 1.0), (30, 3.0), (20, 2.0), (10, 9.0)] {
            segment
                .take(0, Timestamp::from_millis(at), &[(5, value)])
                .unwrap();
        }
        assert_eq!(
            settle(segment.values(0, 0, 5)),
            [(10, 9.0), (20, 2.0), (30, 3.0)]
        );
        assert_eq!(segment.samples(), 4);
        assert!(segment.take(0, Timestamp::from_millis(-1), &[]).is_err());
    }
}
