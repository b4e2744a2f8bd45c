//! Reading many series at once: each chunk is read a single time, and one series is unpacked at
//! a time.
//!
//! For: questions about hundreds of series. Not for: steps and buckets (`window`). Read
//! [`History::read_beside`] first.
//!
//! A chunk holds one span of 16 series. Asked for one by one, they would each read all of it;
//! unpacked all together, they would take the memory of sixteen, which no cache of a processor has.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::barrier::Database;
use super::catalogue::{Series, SeriesId};
use super::gather::{Beside, Chunk, Gathered};
use super::history::History;
use super::keys::{self, GROUP, SPAN};
use super::selector::Selector;
use super::{Error, Result};
use crate::model::samples::Samples;
use crate::model::series::Kind;
use crate::model::units::{Millis, Timestamp};

/// Samples of one series as they arrived: instants in ms since 1970, and values.
type Arrived = Vec<(i64, f64)>;

/// Room for so many samples is kept by a thread until its next question: a day of ten seconds
/// twice, 256 KiB with their instants.
const ROOM_MAX: usize = 1 << 14;

thread_local! {
    /// Where a series is unpacked: larger than what an allocator keeps at hand, so that making it
    /// anew would ask the system for it each time.
    static ROOM: Cell<Gathered> = Cell::default();
}

/// What was read of one series.
#[derive(Debug)]
pub(super) struct Read<'s> {
    /// Ascending, one an instant, within the range.
    pub(super) samples: Samples<'s>,
    /// The earliest instant in all spans that the range touches, also before the range.
    pub(super) first: Option<i64>,
}

impl SeriesId {
    /// The series of a number, if there is one; reading tells.
    pub const fn of(number: u32) -> Self {
        Self(number)
    }

    /// Its place among those beside it.
    pub(super) fn member(self) -> u8 {
        u8::try_from(self.0 % GROUP).unwrap_or(0)
    }

    /// Whether both lie in the same chunks, so that reading one unpacks the other.
    pub const fn is_beside(self, other: Self) -> bool {
        self.0 / GROUP == other.0 / GROUP
    }
}

impl History {
    /// All series that match, in order of their numbers, each with its last value; from memory.
    pub fn find(&self, selector: &Selector) -> Vec<(Series, Option<(Timestamp, f64)>)> {
        let head = self.head();
        let numbers = head.catalogue.numbers(selector).into_iter();
        numbers
            .filter_map(|id| Some((head.catalogue.series(id)?, head.catalogue.last(id))))
            .collect()
    }

    /// Names of all metrics in order, each with the kind of its first series; from memory.
    pub fn metrics(&self) -> Vec<(String, Kind)> {
        self.head().catalogue.metrics()
    }

    /// Shows samples from `from` up to, but without, `until` of series that lie beside each other,
    /// with their places in `ids`, each ascending, bit for bit.
    ///
    /// # Errors
    /// [`Error::NoSuchSeries`], or what the disk says; else what `show` says, which ends it.
    pub(super) fn read_beside(
        &self,
        ids: &[SeriesId],
        (from, until): (Timestamp, Timestamp),
        mut show: impl FnMut(usize, Read<'_>) -> Result<()>,
    ) -> Result<()> {
        let Some(first) = ids.first() else {
            return Ok(());
        };
        let owner = self.head().catalogue.owner(first.0);
        let (target, _) = owner.ok_or(Error::NoSuchSeries(*first))?;
        let place = (target, first.0 / GROUP);
        let members: Vec<u8> = ids.iter().map(|id| id.member()).collect();
        // Memory before disk: what is being sealed meanwhile is then seen twice, never not at all.
        let memory = self.group_in_memory(place, &members, from, until);
        let (sealed, places) = (self.sealed_upto(), self.raw_places(from, until)?);
        let mut chunks = Vec::new();
        for (database, spans) in &places {
            for span in spans.clone() {
                Chunk::find(database, target, (span, place.1), sealed, &mut chunks)?;
            }
        }
        let beside = Beside::open(&chunks, &members)?;
        for (i, member) in members.iter().enumerate() {
            let mut room = ROOM.take();
            let unsealed = memory.get(member).map_or(&[][..], Vec::as_slice);
            let samples = beside.samples(*member, unsealed, &mut room)?;
            let place_of = |end: Timestamp| {
                let end = end.as_millis();
                samples.times().partition_point(|at| *at < end)
            };
            let read = Read {
                samples: samples.part(place_of(from)..place_of(until)),
                first: samples.first().map(|(at, _)| at),
            };
            show(i, read)?;
            if room.room() <= ROOM_MAX {
                ROOM.set(room);
            }
        }
        Ok(())
    }

    /// Where sealed samples of a range lie: databases, each with the spans to look for.
    fn raw_places(
        &self,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<(Arc<Database>, RangeInclusive<u32>)>> {
        let parts = self.parts("raw-", from, until)?.into_iter();
        let places = parts.filter_map(|(_, bounds, database)| {
            let spans = spans(bounds, (from, until), SPAN)?;
            Some((database, spans))
        });
        Ok(places.collect())
    }

    /// Samples of members of a group that are not yet sealed, in the order of arrival.
    fn group_in_memory(
        &self,
        (target, group): (u32, u32),
        members: &[u8],
        from: Timestamp,
        until: Timestamp,
    ) -> BTreeMap<u8, Arrived> {
        let head = self.head();
        let mut all: BTreeMap<u8, Arrived> = BTreeMap::new();
        for segment in head.segments() {
            for span in segment.spans(target) {
                let start = keys::span_start(span, SPAN);
                if start >= until || start.plus(SPAN.as_duration()) <= from {
                    continue;
                }
                for member in members {
                    let id = group * GROUP + u32::from(*member);
                    let values = segment.values(span, target, id);
                    if !values.is_empty() {
                        all.entry(*member).or_default().extend(values);
                    }
                }
            }
        }
        all
    }
}

/// Spans of length `len` of a part that touch a range.
pub(super) fn spans(
    (start, end): (Timestamp, Timestamp),
    (from, until): (Timestamp, Timestamp),
    len: Millis,
) -> Option<RangeInclusive<u32>> {
    let last = end.min(until).minus(Millis(1).as_duration());
    Some(keys::span_of(start.max(from), len)?..=keys::span_of(last, len)?)
}
