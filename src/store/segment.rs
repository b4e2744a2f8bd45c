//! The open window: scrapes that are not yet sealed, packed in memory.
//!
//! For: appending a scrape and reading a series back at once. Not for: durability; each segment has
//! a log (`wal`) with the same content, and is rebuilt from it. Read [`Segment::take`] first.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::codec::Damaged;
use super::frame::Packed;
use super::keys::{GROUP, SPAN, span_of, span_start};
use super::open_column::Column;
use crate::model::units::Timestamp;

/// Scrapes of one target in one span: a time column, and a packed column a series.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// One instant a scrape, in the order of arrival.
    pub(super) times: Vec<i64>,
    columns: HashMap<u32, Column>,
    places: Places,
}

/// Where instants lie in a time column, so that pushed series share rows.
#[derive(Debug, Default)]
struct Places {
    /// Row at which the last run began: the next one most likely begins there, too.
    begin: usize,
    /// The row of each instant; kept only once instants have come out of order.
    index: Option<BTreeMap<i64, u32>>,
}

impl Places {
    /// Appends a row.
    fn append(&mut self, times: &mut Vec<i64>, at: i64) -> Result<u32, Damaged> {
        let row = u32::try_from(times.len()).map_err(|_| Damaged("too many scrapes"))?;
        let ascends = times.last().is_none_or(|last| *last < at);
        if let Some(index) = &mut self.index {
            index.insert(at, row);
        } else if !ascends {
            let all = times.iter().copied().chain([at]).zip(0u32..);
            self.index = Some(all.collect());
        }
        times.push(at);
        Ok(row)
    }

    /// The row of an instant, `guess` if it is there, a new one if there is none.
    fn find(&mut self, times: &mut Vec<i64>, at: i64, guess: usize) -> Result<u32, Damaged> {
        let found = if times.get(guess) == Some(&at) {
            u32::try_from(guess).ok()
        } else if let Some(index) = &self.index {
            index.get(&at).copied()
        } else if times.last().is_none_or(|last| *last < at) {
            None
        } else {
            times
                .binary_search(&at)
                .ok()
                .and_then(|row| u32::try_from(row).ok())
        };
        match found {
            Some(row) => Ok(row),
            None => self.append(times, at),
        }
    }
}

/// Everything that one log holds.
#[derive(Debug)]
pub(super) struct Segment {
    /// Number of the log.
    pub(super) number: u32,
    /// The span that it was begun for; what lies before it was filled in.
    pub(super) begun: Option<u32>,
    bits: Vec<u64>,
    rows: BTreeMap<(u32, u32), Rows>,
    samples: u64,
    is_pushed: bool,
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
            is_pushed: false,
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
        let row = rows.places.append(&mut rows.times, at.as_millis())?;
        for (id, value) in values {
            rows.columns.entry(*id).or_default().push(row, *value);
        }
        self.samples += values.len() as u64;
        Ok(())
    }

    /// Says which span it is for; of several the latest counts.
    pub(super) fn begin(&mut self, span: u32) {
        self.begun = Some(self.begun.map_or(span, |begun| begun.max(span)));
    }

    /// Takes values of one series, each at an instant of its own; instants that the target has
    /// already share their row.
    pub(super) fn take_run(
        &mut self,
        target: u32,
        id: u32,
        run: impl IntoIterator<Item = (i64, f64)>,
    ) -> Result<(), Damaged> {
        let mut run = run.into_iter().peekable();
        self.is_pushed = true;
        while let Some((first, _)) = run.peek().copied() {
            let span = span_of(Timestamp::from_millis(first), SPAN)
                .ok_or(Damaged("an instant out of range"))?;
            let start = span_start(span, SPAN).as_millis();
            let within = start..start.saturating_add_unsigned(SPAN.0);
            let rows = self.rows.entry((span, target)).or_default();
            let column = rows.columns.entry(id).or_default();
            let mut guess = rows.places.begin;
            let mut is_first = true;
            while let Some((at, value)) = run.next_if(|(at, _)| within.contains(at)) {
                let row = rows.places.find(&mut rows.times, at, guess)?;
                if std::mem::take(&mut is_first) {
                    rows.places.begin = row as usize;
                }
                guess = row as usize + 1;
                column.push(row, value);
                self.samples += 1;
            }
        }
        Ok(())
    }

    /// The bits of the last value of a series that the log holds; 0 if it holds none.
    pub(super) fn bits(&self, id: u32) -> u64 {
        self.bits.get(id as usize).copied().unwrap_or(0)
    }

    /// Sets what [`Segment::bits`] gives.
    pub(super) fn set_bits(&mut self, id: u32, bits: u64) {
        self.swap(id, bits);
    }

    /// How many spans of targets, columns and rows there are: what they take does not depend on the
    /// values.
    pub(super) fn extent(&self) -> (usize, usize, usize) {
        let all = self.rows.values();
        all.fold((self.rows.len(), 0, 0), |(spans, columns, rows), one| {
            (spans, columns + one.columns.len(), rows + one.times.len())
        })
    }

    /// Takes out the rows of a span as a segment of their own, for log `number`.
    pub(super) fn split_off(&mut self, span: u32, number: u32) -> Self {
        let mut other = Self::new(number);
        let keys: Vec<_> = self
            .rows
            .range((span, 0)..=(span, u32::MAX))
            .map(|(key, _)| *key)
            .collect();
        for key in keys {
            if let Some(rows) = self.rows.remove(&key) {
                let samples = rows.samples();
                self.samples -= samples;
                other.samples += samples;
                other.rows.insert(key, rows);
            }
        }
        other
    }

    /// Takes in a span of another segment, which it holds nothing of.
    pub(super) fn adopt(&mut self, span: u32, other: Self) {
        self.begin(span);
        self.samples += other.samples;
        self.is_pushed = true;
        self.rows.extend(other.rows);
    }

    /// Spans that it holds anything of, ascending.
    pub(super) fn all_spans(&self) -> BTreeSet<u32> {
        self.rows.keys().map(|(span, _)| *span).collect()
    }

    /// Whether it holds anything of spans before this one.
    pub(super) fn holds_before(&self, span: u32) -> bool {
        let oldest = self.rows.keys().next();
        oldest.is_some_and(|(oldest, _)| *oldest < span)
    }

    /// Spans from `first` on, ascending, as many as have no more than `most` samples together.
    pub(super) fn spans_from(&self, first: u32, most: u64) -> Vec<u32> {
        let mut left = most;
        let spans = self.all_spans().into_iter().filter(|span| *span >= first);
        let fits = spans.take_while(|span| {
            let rows = self.rows.range((*span, 0)..=(*span, u32::MAX));
            let samples = rows.map(|(_, rows)| rows.samples()).sum();
            let rest = left.checked_sub(samples);
            left = rest.unwrap_or(0);
            rest.is_some()
        });
        fits.collect()
    }

    /// Values of a series in a span, in the order of arrival.
    pub(super) fn values(&self, span: u32, target: u32, id: u32) -> Vec<(i64, f64)> {
        let Some(rows) = self.rows.get(&(span, target)) else {
            return Vec::new();
        };
        match rows.columns.get(&id) {
            Some(column) => rows.samples_of(column),
            None => Vec::new(),
        }
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

    /// Whether it holds anything of spans before the one that it was begun in.
    pub(super) fn holds_past(&self) -> bool {
        self.begun.is_some_and(|begun| self.holds_before(begun))
    }

    /// Whether any of it was pushed.
    pub(super) fn is_pushed(&self) -> bool {
        self.is_pushed
    }

    /// How many samples there are.
    pub(super) fn samples(&self) -> u64 {
        self.samples
    }

    /// Bytes that its columns take in memory, about.
    pub(super) fn room(&self) -> usize {
        let columns = self.rows.values().flat_map(|rows| rows.columns.values());
        columns.map(Column::room).sum()
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

    /// Values with their instants, in the order of arrival.
    fn samples_of(&self, column: &Column) -> Vec<(i64, f64)> {
        let values = column.values().into_iter();
        values
            .filter_map(|(row, value)| Some((*self.times.get(row as usize)?, value)))
            .collect()
    }

    /// All series by number, each with its samples in the order of arrival.
    pub(super) fn series(&self) -> impl Iterator<Item = (u32, Vec<(i64, f64)>)> + '_ {
        let columns: BTreeMap<u32, &Column> = self.columns.iter().map(|(n, c)| (*n, c)).collect();
        let columns = columns.into_iter();
        columns.map(|(id, column)| (id, self.samples_of(column)))
    }

    /// How many samples there are.
    fn samples(&self) -> u64 {
        self.columns.values().map(|c| u64::from(c.count())).sum()
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

    #[test]
    fn pushed_series_of_one_target_share_their_rows_in_any_order() {
        let mut segment = Segment::new(1);
        let hours = 7_200_000;
        let at = [10, 20, 30, hours + 10, 20];
        segment.begin(1);
        for id in 0..20 {
            let run = at.iter().map(|at| (*at, f64::from(id) + *at as f64));
            segment.take_run(0, id, run).unwrap();
        }
        let late = [(15, 1.0), (10, 2.0), (40, 3.0)];
        segment.take_run(0, 3, late).unwrap();
        segment.take_run(0, 4, late).unwrap();
        segment
            .take(0, Timestamp::from_millis(15), &[(3, 9.0)])
            .unwrap();
        assert_eq!(segment.extent(), (2, 40, 7));
        assert_eq!(
            settle(segment.values(0, 0, 3)),
            [(10, 2.0), (15, 9.0), (20, 23.0), (30, 33.0), (40, 3.0)]
        );
        assert_eq!(settle(segment.values(0, 0, 4))[1], (15, 1.0));
        assert_eq!(segment.begun, Some(1));
        let first = segment.split_off(0, 7);
        assert_eq!((first.samples(), segment.samples()), (87, 20));
        assert_eq!(segment.values(1, 0, 3), [(hours + 10, (hours + 13) as f64)]);
        assert!(segment.take_run(0, 1, [(i64::MAX, 0.0)]).is_err());
    }
}
