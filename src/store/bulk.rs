//! Bulk: files of samples into a store at rest, past the log, sealed as they come.
//!
//! For: importing millions of samples in memory that does not grow with them, in order of time as
//! well as series by series. Not for: a store that is being written (`push`). Read [`Bulk`] first.
//!
//! Samples are gathered packed, over all spans. When they take their share of memory, all spans but
//! the one that was written last are sealed: in a file in order of time that one is not yet whole,
//! in a file series by series it is one of many.

use std::sync::Arc;

use super::barrier::Database;
use super::catalogue::SeriesId;
use super::codec::Damaged;
use super::databases::Databases;
use super::definition::put_key;
use super::history::{History, LIVE, rounded};
use super::intern::NewSeries;
use super::keys::{BULK, DATA, META, SPAN, is_fence, read_raw_key, span_of};
use super::op::Op;
use super::segment::Segment;
use super::{Error, Result, Store};
use crate::model::units::Timestamp;

/// Bytes that gathered samples may take before they are sealed.
const GATHERED_MAX: u64 = 48 << 20;
/// After so many samples it is looked at how much they take.
const LOOK_EVERY: u64 = 4096;
/// What a column, and the rows of a target in a span, take beside their samples.
const COLUMN: usize = 128;
const ROWS: usize = 512;

/// A series of the import.
#[derive(Debug, Clone, Copy)]
struct Gathered {
    target: u32,
    resolution: Option<f64>,
    /// The latest sample by its instant.
    last: (i64, f64),
    /// Bits of the sample that came last.
    bits: u64,
}

/// An import under way; the store belongs to it until [`Bulk::finish`].
#[derive(Debug)]
pub struct Bulk<'s> {
    history: &'s History,
    gathered: Segment,
    /// Bytes of the values that are gathered, at most.
    bytes: u64,
    samples: u64,
    log: u32,
    span: u32,
    series: Vec<Option<Gathered>>,
    /// New series for which there is room, once they were counted.
    room: Option<usize>,
}

impl Store {
    /// Begins an import. What waited in the log is sealed first.
    ///
    /// # Errors
    /// What the disk says.
    pub fn bulk(&mut self) -> Result<Bulk<'_>> {
        let history = &self.history;
        history.seal_all()?;
        let log = history.head().open.number;
        Ok(Bulk {
            history,
            gathered: Segment::new(log),
            bytes: 0,
            samples: 0,
            log,
            span: 0,
            series: Vec::new(),
            room: None,
        })
    }
}

impl Bulk<'_> {
    /// Finds or numbers a series; `None` if there are too many. `at` is when it has a value.
    ///
    /// # Errors
    /// [`Error::TooManyTargets`].
    pub fn series(&mut self, new: &NewSeries<'_>, at: Timestamp) -> Result<Option<SeriesId>> {
        let mut key = Vec::new();
        put_key(&mut key, new.key);
        let max_series = self.history.options.max_series;
        let mut head = self.history.head_mut();
        let known = head.catalogue.target(new.target);
        let known = known.and_then(|target| head.catalogue.find(target, &key));
        let id = if let Some(id) = known {
            id
        } else {
            let room = self.room.get_or_insert_with(|| {
                let live = head.catalogue.live(at.minus(LIVE.as_duration()));
                head.catalogue.room(live, max_series)
            });
            let Some(left) = room.checked_sub(1) else {
                return Ok(None);
            };
            *room = left;
            let target = head.catalogue.target_or_new(new.target)?;
            let kind = (new.kind, new.resolution);
            match head.catalogue.define(target, &key, kind) {
                Some(id) => id,
                None => return Ok(None),
            }
        };
        let target = head.catalogue.owner(id).map(|(target, _)| target);
        let place = id as usize;
        if self.series.len() <= place {
            self.series.resize(place + 1, None);
        }
        if let (Some(slot @ None), Some(target)) = (self.series.get_mut(place), target) {
            *slot = Some(Gathered {
                target,
                resolution: head.catalogue.resolution(id),
                last: (i64::MIN, f64::NAN),
                bits: 0,
            });
        }
        Ok(Some(SeriesId(id)))
    }

    /// Takes a sample of a series that [`Bulk::series`] gave.
    ///
    /// # Errors
    /// [`Error::Time`] outside 1970 to 9998; then the sample is left out. Else what the disk says.
    pub fn take(&mut self, id: SeriesId, at_ms: i64, value: f64) -> Result<()> {
        let at = Timestamp::from_millis(at_ms);
        self.span = span_of(at, SPAN).ok_or(Error::Time(at))?;
        let Some(Some(series)) = self.series.get_mut(id.0 as usize) else {
            return Err(Error::NoSuchSeries(id));
        };
        let value = rounded(value, series.resolution);
        if at_ms >= series.last.0 {
            series.last = (at_ms, value);
        }
        let xor = value.to_bits() ^ std::mem::replace(&mut series.bits, value.to_bits());
        let zeros = u64::from(xor.leading_zeros() / 8 + xor.trailing_zeros() / 8);
        self.bytes += 2 + 8u64.saturating_sub(zeros);
        self.gathered
            .take_run(series.target, id.0, [(at_ms, value)])
            .map_err(|damage| Error::damaged(self.history.logs(), damage))?;
        self.samples += 1;
        if self.samples.is_multiple_of(LOOK_EVERY) && self.held() > GATHERED_MAX {
            self.seal_whole_spans()?;
        }
        Ok(())
    }

    /// How many samples came.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Seals what is gathered; returns how many samples came, past the barrier.
    ///
    /// # Errors
    /// What the disk says.
    pub fn finish(mut self) -> Result<u64> {
        let rest = std::mem::replace(&mut self.gathered, Segment::new(self.log));
        self.seal(rest)?;
        self.history.store_definitions()?;
        // The open log has a lower number than what was sealed: a log of its own goes on from here.
        self.history.go_on_after(self.log)?;
        self.history.fold_days(None)?;
        self.history.settle()?;
        Ok(self.samples)
    }

    /// Bytes that the gathered samples take.
    fn held(&self) -> u64 {
        let (spans, columns, rows) = self.gathered.extent();
        let fixed = spans * ROWS + columns * COLUMN + rows * size_of::<i64>();
        self.bytes + fixed as u64
    }

    fn seal_whole_spans(&mut self) -> Result<()> {
        let last = self.gathered.split_off(self.span, self.log);
        let (kept, whole) = (last.samples(), self.gathered.samples());
        let whole_spans = std::mem::replace(&mut self.gathered, last);
        self.seal(whole_spans)?;
        self.bytes = self.bytes * kept / (kept + whole).max(1);
        // One span that takes most of the room by itself is sealed in parts.
        if kept > whole {
            let part = std::mem::replace(&mut self.gathered, Segment::new(self.log));
            self.bytes = 0;
            self.seal(part)?;
        }
        Ok(())
    }

    fn seal(&mut self, mut segment: Segment) -> Result<()> {
        if segment.is_empty() {
            return Ok(());
        }
        self.log = self.log.saturating_add(1);
        segment.number = self.log;
        self.room = None;
        {
            let mut head = self.history.head_mut();
            for (id, series) in (0u32..).zip(&self.series) {
                if let Some(Gathered { last, .. }) = series
                    && last.0 > i64::MIN
                {
                    let at = Timestamp::from_millis(last.0);
                    head.catalogue.note(id, at, last.1);
                }
            }
        }
        if let Ok(mut upkeep) = self.history.upkeep.lock() {
            // What is written must fit.
            upkeep.measured = None;
            self.history.drop_surplus(&mut upkeep)?;
        }
        // No log would do this again: what is broken off is undone (`undo`).
        let mark = Op::put(BULK, self.log.to_be_bytes());
        self.history.control.write(META, vec![mark])?;
        self.history.control.barrier()?;
        self.history.rest(&segment)
    }
}

/// Takes out what an import left that was broken off while it wrote: chunks of a log that nothing
/// seals again. Buckets that were folded from them stay; the import made anew lays its own over them.
pub(super) fn undo(control: &Database, databases: &Databases, sealed: u32) -> Result<()> {
    let Some(mark) = control.get(META, BULK)? else {
        return Ok(());
    };
    let number = mark.as_slice().try_into().map(u32::from_be_bytes);
    let number = number.map_err(|_| control.damaged(Damaged("a mark that is no number")))?;
    if number > sealed {
        for name in databases.names()? {
            if name.starts_with("raw-")
                && let Some(database) = databases.find(&name)?
            {
                let mut left = Vec::new();
                database.scan(DATA, &[], |key, _| {
                    let (_, group, log) = read_raw_key(key).unwrap_or_default();
                    if log == number && !is_fence(group) {
                        left.push(Op::Delete(key.to_vec()));
                    }
                    Ok(())
                })?;
                database.write(DATA, left)?;
                database.barrier()?;
            }
            databases.close_idle();
        }
    }
    control.write(META, vec![Op::Delete(BULK.to_vec())])?;
    control.barrier()
}

impl History {
    /// Seals everything that waits, the open log included.
    fn seal_all(&self) -> Result<()> {
        for _ in 0..2 {
            while let Some(segment) = { self.head().closed.first().map(Arc::clone) } {
                self.seal(&segment)?;
            }
            self.rotate(&mut self.head_mut(), &[])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::series::{Kind, SeriesKey};
    use crate::store::keys::{raw_key, raw_part};
    use crate::store::{Options, Selector};

    const START: i64 = 1_767_225_600_000;

    fn import(store: &mut Store, hours: std::ops::Range<i64>) {
        let mut bulk = store.bulk().unwrap();
        let new = NewSeries {
            target: "import",
            key: &SeriesKey::bare("m"),
            kind: Kind::Gauge,
            resolution: None,
        };
        let at = |n: i64| START + n * 60_000;
        let id = bulk.series(&new, Timestamp::from_millis(at(0))).unwrap();
        for n in hours.start * 60..hours.end * 60 {
            bulk.take(id.unwrap(), at(n), n as f64).unwrap();
        }
        bulk.finish().unwrap();
    }

    fn held(store: &Store) -> usize {
        let series = store.history().series(&Selector::default());
        let (from, until) = (i64::MIN, i64::MAX);
        let ends = (Timestamp::from_millis(from), Timestamp::from_millis(until));
        let raw = store.history().raw(series[0].id, ends.0, ends.1);
        raw.unwrap().len()
    }

    #[test]
    fn what_an_import_left_that_was_broken_off_is_taken_out() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::in_dir(dir.path());
        let mut store = Store::open(options.clone()).unwrap();
        import(&mut store, 0..4);
        let sealed = store.history.sealed_upto();
        // A second part as it stands when the power goes: marked, its places made, one of them filled.
        let number = sealed + 1;
        let mark = Op::put(BULK, number.to_be_bytes());
        store.control.write(META, vec![mark]).unwrap();
        let start = Timestamp::from_millis(START);
        let span = span_of(start, SPAN).unwrap();
        let raw = store.history.databases.find(&raw_part(start));
        let raw = raw.unwrap().unwrap();
        let place = raw_key(span, 0, number);
        raw.make_places(DATA, [place, raw_key(span + 1, 0, number)].iter())
            .unwrap();
        raw.write(DATA, vec![Op::put(place, b"half".as_slice())])
            .unwrap();
        raw.barrier().unwrap();
        drop((raw, store));
        let mut store = Store::open(options).unwrap();
        assert_eq!(held(&store), 240);
        import(&mut store, 2..8);
        import(&mut store, 8..9);
        assert!(store.history.sealed_upto() > number);
        assert_eq!(held(&store), 540);
        assert!(store.verify().unwrap().is_sound());
    }
}
