//! Gathering what is sealed of a group of series, span by span and log by log.
//!
//! For: every reading of samples from disk. Not for: which spans and databases to look into (`scan`,
//! `window`). Read [`append_group`] first.

use std::collections::BTreeMap;

use super::Result;
use super::barrier::Database;
use super::chunk;
use super::codec::Damaged;
use super::keys::{self, DATA};
use super::segment::settle;

/// Samples that one more chunk is expected to bring at most.
const CHUNK_SAMPLES: usize = 8_192;

/// Samples of one series as they are gathered.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    samples: Vec<(i64, f64)>,
    /// How many the last chunk brought.
    latest: usize,
    /// Not all of them ascend.
    is_mixed: bool,
}

impl Gathered {
    /// Makes room for so many chunks more, each as long as the last, so that it is made once.
    pub(super) fn reserve(&mut self, chunks: usize) {
        let each = self.latest.min(CHUNK_SAMPLES);
        self.samples.reserve(each.saturating_mul(chunks));
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
        self.latest = self.samples.len() - start;
        let first = self.samples.get(start).map(|(at, _)| *at);
        let joins = before
            .zip(first)
            .is_none_or(|(before, first)| before < first);
        self.is_mixed |= !(ascends && joins);
        Ok(())
    }

    /// Appends samples in any order.
    pub(super) fn extend(&mut self, samples: Vec<(i64, f64)>) {
        self.is_mixed |= !samples.is_empty();
        self.samples.extend(samples);
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

/// Sealed values of the wanted members of a group in a span, in order of time.
pub(super) fn read_group(
    database: &Database,
    target: u32,
    place: (u32, u32),
    wanted: impl Fn(u8) -> bool,
) -> Result<BTreeMap<u8, Vec<(i64, f64)>>> {
    let mut all = BTreeMap::new();
    append_group(database, target, place, wanted, &mut all)?;
    let all = all.into_iter();
    Ok(all.map(|(member, of)| (member, of.settled())).collect())
}

/// Appends the sealed values of the wanted members of a group in a span, log by log.
pub(super) fn append_group(
    database: &Database,
    target: u32,
    (span, group): (u32, u32),
    wanted: impl Fn(u8) -> bool,
    all: &mut BTreeMap<u8, Gathered>,
) -> Result<()> {
    let damaged = |damage| database.damaged(damage);
    database.scan(DATA, &keys::group_key(span, group), |key, value| {
        if value.is_empty() {
            return Ok(());
        }
        let Some((_, _, log)) = keys::read_raw_key(key) else {
            return Err(damaged(Damaged("a key of a chunk")));
        };
        let packed = chunk::Group::open(value).map_err(damaged)?;
        let members: Vec<u8> = packed.members().filter(|m| wanted(*m)).collect();
        if members.is_empty() {
            return Ok(());
        }
        let times_key = keys::raw_key(span, keys::times_group(target), log);
        let times = match database.get(DATA, &times_key)? {
            Some(times) => chunk::read_times(&times).map_err(damaged)?,
            None => return Err(damaged(Damaged("a chunk without its times"))),
        };
        let ascends = times.is_sorted_by(|a, b| a < b);
        for member in members {
            let into = all.entry(member).or_default();
            into.append(ascends, |into| {
                packed.values(member, &times, into).map_err(damaged)
            })?;
        }
        Ok(())
    })
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
        all.extend(vec![(5, 0.0)]);
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
