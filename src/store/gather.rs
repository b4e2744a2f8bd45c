//! Gathering what is sealed of a group of series, span by span and log by log.
//!
//! For: every reading of samples from disk. Not for: which spans and databases to look into (`scan`,
//! `window`). Read [`Chunk`] first.

use std::collections::BTreeMap;

use super::Result;
use super::barrier::{Database, Value};
use super::chunk;
use super::codec::Damaged;
use super::keys::{self, DATA};
use super::segment::settle;

/// Samples of one series as they are gathered.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    samples: Vec<(i64, f64)>,
    /// Not all of them ascend.
    is_mixed: bool,
}

impl Gathered {
    /// Nothing yet, in room that is used again.
    pub(super) fn within(mut room: Vec<(i64, f64)>) -> Self {
        room.clear();
        Self {
            samples: room,
            is_mixed: false,
        }
    }

    /// Makes room for so many samples more.
    pub(super) fn reserve(&mut self, samples: usize) {
        self.samples.reserve(samples);
    }

    /// Appends what `put` appends; `ascends` says whether that is in order in itself.
    fn append(
        &mut self,
        ascends: bool,
        put: impl FnOnce(&mut Vec<(i64, f64)>) -> Result<()>,
    ) -> Result<()> {
        let before = self.samples.last().map(|(at, _)| *at);
        let start = self.samples.len();
        put(&mut self.samples)?;
        let first = self.samples.get(start).map(|(at, _)| *at);
        let joins = before
            .zip(first)
            .is_none_or(|(before, first)| before < first);
        self.is_mixed |= !(ascends && joins);
        Ok(())
    }

    /// Appends samples in any order.
    pub(super) fn extend(&mut self, samples: &[(i64, f64)]) {
        self.is_mixed |= !samples.is_empty();
        self.samples.extend_from_slice(samples);
    }

    /// In order of time; of two at one instant, the one that came later.
    pub(super) fn settled(self) -> Vec<(i64, f64)> {
        if self.is_mixed {
            settle(self.samples)
        } else {
            self.samples
        }
    }
}

/// A sealed chunk as it lies on disk: values of a group in a span, of one log.
pub(super) struct Chunk<'d> {
    database: &'d Database,
    target: u32,
    key: Value,
    value: Value,
}

impl<'d> Chunk<'d> {
    /// Appends the chunks of a group in a span, log by log.
    pub(super) fn find(
        database: &'d Database,
        target: u32,
        (span, group): (u32, u32),
        into: &mut Vec<Self>,
    ) -> Result<()> {
        let found = database.find_all(DATA, &keys::group_key(span, group))?;
        // Empty is a place that a seal made ready and has not filled yet.
        let filled = found.into_iter().filter(|(_, value)| !value.is_empty());
        into.extend(filled.map(|(key, value)| Self {
            database,
            target,
            key,
            value,
        }));
        Ok(())
    }

    /// Reads its head and its instants; `None` if it holds nothing of the members that are wanted.
    pub(super) fn open(&self, wanted: impl Fn(u8) -> bool) -> Result<Option<Opened<'_>>> {
        let damaged = |damage| self.database.damaged(damage);
        let Some((span, _, log)) = keys::read_raw_key(&self.key) else {
            return Err(damaged(Damaged("a key of a chunk")));
        };
        let group = chunk::Group::open(&self.value).map_err(damaged)?;
        if !group.members().any(wanted) {
            return Ok(None);
        }
        let times_key = keys::raw_key(span, keys::times_group(self.target), log);
        let times = match self.database.find(DATA, &times_key)? {
            Some(times) => chunk::read_times(&times).map_err(damaged)?,
            None => return Err(damaged(Damaged("a chunk without its times"))),
        };
        Ok(Some(Opened {
            database: self.database,
            ascends: times.is_sorted_by(|a, b| a < b),
            group,
            times,
        }))
    }
}

/// A chunk whose columns can be unpacked.
pub(super) struct Opened<'c> {
    database: &'c Database,
    group: chunk::Group<'c>,
    times: Vec<i64>,
    ascends: bool,
}

impl Opened<'_> {
    /// How many values a member has.
    pub(super) fn count(&self, member: u8) -> usize {
        self.group.count(member).min(self.times.len())
    }

    /// Appends the values of a member.
    pub(super) fn unpack(&self, member: u8, into: &mut Gathered) -> Result<()> {
        into.append(self.ascends, |into| {
            let values = self.group.values(member, &self.times, into);
            values.map_err(|damage| self.database.damaged(damage))
        })
    }
}

/// Sealed values of the wanted members of a group in a span, in order of time.
pub(super) fn read_group(
    database: &Database,
    target: u32,
    place: (u32, u32),
    wanted: impl Fn(u8) -> bool,
) -> Result<BTreeMap<u8, Vec<(i64, f64)>>> {
    let mut chunks = Vec::new();
    Chunk::find(database, target, place, &mut chunks)?;
    let mut all: BTreeMap<u8, Gathered> = BTreeMap::new();
    for chunk in &chunks {
        if let Some(opened) = chunk.open(&wanted)? {
            for member in opened.group.members().filter(|member| wanted(*member)) {
                opened.unpack(member, all.entry(member).or_default())?;
            }
        }
    }
    let all = all.into_iter();
    Ok(all.map(|(member, of)| (member, of.settled())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_in_any_order_is_settled() {
        let mut all = Gathered::default();
        let mut put = |ascends, samples: &[(i64, f64)]| {
            let put = |into: &mut Vec<(i64, f64)>| {
                into.extend(samples);
                Ok(())
            };
            all.append(ascends, put).unwrap();
        };
        put(true, &[(10, 1.0), (20, 2.0)]);
        put(true, &[]);
        put(true, &[(30, 3.0)]);
        put(true, &[(30, 4.0), (40, 5.0)]);
        put(false, &[(60, 7.0), (50, 6.0)]);
        all.extend(&[(5, 0.0)]);
        let wanted = [
            (5, 0.0),
            (10, 1.0),
            (20, 2.0),
            (30, 4.0),
            (40, 5.0),
            (50, 6.0),
            (60, 7.0),
        ];
        assert_eq!(all.settled(), wanted);
    }
}
