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
use crate::model::samples::Samples;

/// Samples of one series as they are gathered.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    times: Vec<i64>,
    values: Vec<f64>,
    /// Not all of them ascend.
    is_mixed: bool,
}

impl Gathered {
    /// Takes everything out, so that the room can be used again.
    pub(super) fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.is_mixed = false;
    }

    /// How many samples there is room for.
    pub(super) fn room(&self) -> usize {
        self.times.capacity().max(self.values.capacity())
    }

    /// Appends what `put` appends; `ascends` says whether that is in order in itself.
    fn append(
        &mut self,
        ascends: bool,
        put: impl FnOnce(&mut Vec<i64>, &mut Vec<f64>) -> Result<()>,
    ) -> Result<()> {
        let before = self.times.last().copied();
        let start = self.times.len();
        put(&mut self.times, &mut self.values)?;
        let first = self.times.get(start).copied();
        let joins = before
            .zip(first)
            .is_none_or(|(before, first)| before < first);
        self.is_mixed |= !(ascends && joins);
        Ok(())
    }

    /// Appends samples in any order.
    pub(super) fn extend(&mut self, samples: &[(i64, f64)]) {
        self.is_mixed |= !samples.is_empty();
        self.times.extend(samples.iter().map(|(at, _)| at));
        self.values.extend(samples.iter().map(|(_, value)| value));
    }

    /// In order of time; of two at one instant, the one that came later.
    pub(super) fn settled(&mut self) -> Samples<'_> {
        if std::mem::take(&mut self.is_mixed) {
            let samples = Samples::of(&self.times, &self.values);
            let settled = settle(samples.iter().collect());
            (self.times, self.values) = settled.into_iter().unzip();
        }
        Samples::of(&self.times, &self.values)
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
    /// Appends the chunks of a group in a span, log by log; all logs up to `sealed` are.
    pub(super) fn find(
        database: &'d Database,
        target: u32,
        (span, group): (u32, u32),
        sealed: u32,
        into: &mut Vec<Self>,
    ) -> Result<()> {
        for (key, value) in database.find_all(DATA, &keys::group_key(span, group))? {
            if !value.is_empty() {
                into.push(Self {
                    database,
                    target,
                    key,
                    value,
                });
                continue;
            }
            // A place that a seal made ready and has not filled yet; or that it filled, in a file
            // that was cut since.
            let log = keys::read_raw_key(&key).map(|(_, _, log)| log);
            if log.is_some_and(|log| log <= sealed) && !keys::is_fence(group) {
                let damage = Damaged("a chunk that was sealed is not there");
                return Err(database.damaged(damage));
            }
        }
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
    /// Appends the samples of a member.
    pub(super) fn unpack(&self, member: u8, into: &mut Gathered) -> Result<()> {
        into.append(self.ascends, |times, values| {
            let read = self.group.samples(member, &self.times, (times, values));
            read.map_err(|damage| self.database.damaged(damage))
        })
    }
}

/// Chunks of one group whose columns can be unpacked, in the order in which they were found.
pub(super) struct Beside<'c> {
    opened: Vec<Opened<'c>>,
    /// All instants of all of them, if they ascend: those of most series.
    clock: Option<Vec<i64>>,
}

impl<'c> Beside<'c> {
    /// Opens what holds something of the members that are wanted.
    pub(super) fn open(chunks: &'c [Chunk<'_>], members: &[u8]) -> Result<Self> {
        let opened = chunks.iter();
        let opened = opened.map(|chunk| chunk.open(|member| members.contains(&member)));
        let opened: Vec<Opened<'_>> = opened
            .filter_map(Result::transpose)
            .collect::<Result<_>>()?;
        let all: usize = opened.iter().map(|chunk| chunk.times.len()).sum();
        let mut clock = Vec::with_capacity(all);
        let ascends = opened.iter().all(|chunk| {
            let first = chunk.times.first();
            let joins = clock.last().zip(first).is_none_or(|(a, b)| a < b);
            clock.extend_from_slice(&chunk.times);
            chunk.ascends && joins
        });
        Ok(Self {
            opened,
            clock: ascends.then_some(clock),
        })
    }

    /// Samples of a member in order of time, with those that are not sealed yet; unpacked into
    /// room that is used again.
    pub(super) fn samples<'s>(
        &'s self,
        member: u8,
        unsealed: &[(i64, f64)],
        room: &'s mut Gathered,
    ) -> Result<Samples<'s>> {
        room.clear();
        let is_whole = |chunk: &Opened<'_>| chunk.group.is_whole(member, chunk.times.len());
        if let Some(clock) = &self.clock
            && unsealed.is_empty()
            && self.opened.iter().all(is_whole)
        {
            room.values.reserve(clock.len());
            for chunk in &self.opened {
                let instants = chunk.times.len();
                let read = chunk.group.values(member, instants, &mut room.values);
                read.map_err(|damage| chunk.database.damaged(damage))?;
            }
            return Ok(Samples::of(clock, &room.values));
        }
        for chunk in &self.opened {
            chunk.unpack(member, room)?;
        }
        room.extend(unsealed);
        Ok(room.settled())
    }
}

/// Sealed values of the wanted members of a group in a span, in order of time; all logs up to
/// `sealed` are.
pub(super) fn read_group(
    database: &Database,
    target: u32,
    place: (u32, u32),
    sealed: u32,
    wanted: impl Fn(u8) -> bool,
) -> Result<BTreeMap<u8, Vec<(i64, f64)>>> {
    let mut chunks = Vec::new();
    Chunk::find(database, target, place, sealed, &mut chunks)?;
    let mut all: BTreeMap<u8, Gathered> = BTreeMap::new();
    for chunk in &chunks {
        if let Some(opened) = chunk.open(&wanted)? {
            for member in opened.group.members().filter(|member| wanted(*member)) {
                opened.unpack(member, all.entry(member).or_default())?;
            }
        }
    }
    let all = all.into_iter();
    Ok(all
        .map(|(member, mut of)| (member, of.settled().iter().collect()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_in_any_order_is_settled() {
        let mut all = Gathered::default();
        let mut put = |ascends, samples: &[(i64, f64)]| {
            let put = |times: &mut Vec<i64>, values: &mut Vec<f64>| {
                times.extend(samples.iter().map(|(at, _)| at));
                values.extend(samples.iter().map(|(_, value)| value));
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
        assert_eq!(all.settled().iter().collect::<Vec<_>>(), wanted);
    }
}
