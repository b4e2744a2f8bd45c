//! Reading many series at once: each chunk is read and unpacked a single time.
//!
//! For: questions about hundreds of series. Not for: steps and buckets (`window`). Read
//! [`History::read_many`] first.
//!
//! A chunk holds one span of 16 series. Asked for one by one, they would each unpack all of it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::barrier::Database;
use super::catalogue::{Series, SeriesId};
use super::gather::{Gathered, append_group};
use super::history::History;
use super::keys::{self, GROUP, SPAN};
use super::selector::Selector;
use super::{Error, Result};
use crate::model::series::Kind;
use crate::model::units::{Millis, Timestamp};

/// Samples of one series: instants in ms since 1970, and values.
pub type Samples = Vec<(i64, f64)>;

/// What was read of one series.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Ascending, one an instant, within the range.
    pub(super) samples: Samples,
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

    /// Samples of several series from `from` up to, but without, `until`; in the order of `ids`,
    /// each ascending, bit for bit. Ascending `ids` read each chunk once.
    ///
    /// # Errors
    /// [`Error::NoSuchSeries`], or what the disk says.
    pub(super) fn read_many(
        &self,
        ids: &[SeriesId],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Read>> {
        let mut all = Vec::with_capacity(ids.len());
        for beside in ids.chunk_by(|a, b| a.is_beside(*b)) {
            let Some(first) = beside.first() else {
                continue;
            };
            let owner = self.head().catalogue.owner(first.0);
            let (target, _) = owner.ok_or(Error::NoSuchSeries(*first))?;
            let members: Vec<u8> = beside.iter().map(|id| id.member()).collect();
            let mut read = self.group_samples((target, first.0 / GROUP), &members, from, until)?;
            let reads = beside.iter().map(|id| read.remove(&id.member()));
            all.extend(reads.map(Option::unwrap_or_default));
        }
        Ok(all)
    }

    /// Samples of members of a group, from memory and disk.
    pub(super) fn group_samples(
        &self,
        (target, group): (u32, u32),
        members: &[u8],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<BTreeMap<u8, Read>> {
        // Memory before disk: what is being sealed meanwhile is then seen twice, never not at all.
        let memory = self.group_in_memory((target, group), members, from, until);
        let mut all: BTreeMap<u8, Gathered> = BTreeMap::new();
        for (database, spans) in self.raw_places(from, until)? {
            let mut left = spans.clone().count();
            for span in spans {
                let wanted = |member| members.contains(&member);
                for gathered in all.values_mut() {
                    gathered.reserve(left);
                }
                left = left.saturating_sub(1);
                append_group(&database, target, (span, group), wanted, &mut all)?;
            }
        }
        for (member, samples) in memory {
            all.entry(member).or_default().extend(samples);
        }
        let within = from.as_millis()..until.as_millis();
        let settled = all.into_iter().map(|(member, gathered)| {
            let mut samples = gathered.settled();
            let first = samples.first().map(|(at, _)| *at);
            samples.truncate(samples.partition_point(|(at, _)| *at < within.end));
            samples.drain(..samples.partition_point(|(at, _)| *at < within.start));
            (member, Read { samples, first })
        });
        Ok(settled.collect())
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
    ) -> BTreeMap<u8, Samples> {
        let head = self.head();
        let mut all: BTreeMap<u8, Samples> = BTreeMap::new();
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
