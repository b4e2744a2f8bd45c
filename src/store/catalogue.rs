//! Which series there are: their numbers, keys and last values, kept small in memory.
//!
//! For: finding a series by key for each sample of each scrape, and by selector for each question.
//! Not for: samples (`segment`, `chunk`). Read [`Catalogue::find`] first.
//!
//! Series are numbered in groups of 16 of one target, so that a number says which chunk holds it.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};

use serde::{Deserialize, Serialize};

use super::codec::Damaged;
use super::definition::{Entry, put_definition, put_key, read_definition, read_key};
use super::frame::{Frame, put_frame};
use super::keys::{GROUP, TARGETS_MAX, tagged};
use super::op::Op;
use super::selector::{Ask, ByMetric, Selector};
use super::{Error, Result};
use crate::model::series::{Kind, SeriesKey};
use crate::model::units::Timestamp;

/// Numbers that a store gives out at most, as a multiple of the limit on live series.
const EVER_PER_LIVE: usize = 64;
/// Groups are given out one after the other, and each has a series: so many may be lost before a
/// number is taken for damage, and not for a reason to make room for all below it.
const GROUPS_LOST: usize = 1 << 14;

/// Number of a series; stable for the life of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SeriesId(pub(super) u32);

impl SeriesId {
    /// The number itself, for formats that keep it.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for SeriesId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A series that the store knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its number.
    pub id: SeriesId,
    /// The target's name.
    pub target: String,
    /// Metric and labels.
    pub key: SeriesKey,
    /// Counter or gauge.
    pub kind: Kind,
    /// Values are exact to a multiple of this; `None` keeps every bit.
    pub resolution: Option<f64>,
}

#[derive(Debug)]
struct Target {
    name: String,
    /// Next free number of the group that is not yet full.
    next: Option<u32>,
}

/// All series, by number and by key.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    targets: Vec<Target>,
    names: HashMap<String, u32>,
    entries: Vec<Option<Entry>>,
    index: HashMap<u64, u32>,
    metrics: ByMetric,
    count: usize,
    next_group: u32,
    unlogged: Vec<Frame>,
    unstored: Vec<(u8, u32)>,
}

fn hash(target: u32, key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u32(target);
    hasher.write(key);
    hasher.finish()
}

impl Catalogue {
    fn entry(&self, id: u32) -> Option<&Entry> {
        self.entries.get(id as usize)?.as_ref()
    }

    /// Number of a target, if it is known.
    pub(super) fn target(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    fn add_target(&mut self, id: u32, name: &str) {
        self.targets.push(Target {
            name: name.to_owned(),
            next: None,
        });
        self.names.entry(name.to_owned()).or_insert(id);
    }

    /// Number of a target, a new one if need be.
    pub(super) fn target_or_new(&mut self, name: &str) -> Result<u32> {
        if let Some(id) = self.target(name) {
            return Ok(id);
        }
        let id = u32::try_from(self.targets.len())
            .ok()
            .filter(|id| *id < TARGETS_MAX)
            .ok_or(Error::TooManyTargets { limit: TARGETS_MAX })?;
        self.add_target(id, name);
        self.unlogged.push(Frame::Target {
            id,
            name: name.to_owned(),
        });
        self.unstored.push((b't', id));
        Ok(id)
    }

    /// Number of the series with this key, written by [`put_key`].
    pub(super) fn find(&self, target: u32, key: &[u8]) -> Option<u32> {
        let mut slot = hash(target, key);
        loop {
            let id = *self.index.get(&slot)?;
            let entry = self.entry(id)?;
            if entry.target == target && *entry.key == *key {
                return Some(id);
            }
            slot = slot.wrapping_add(1);
        }
    }

    /// Numbers a new series of `target`; `key` was written by [`put_key`].
    pub(super) fn define(
        &mut self,
        target: u32,
        key: &[u8],
        (kind, resolution): (Kind, Option<f64>),
    ) -> Option<u32> {
        let next_group = self.next_group;
        let owner = self.targets.get_mut(target as usize)?;
        let id = match owner.next {
            Some(id) => id,
            None => next_group.checked_mul(GROUP)?,
        };
        self.place(
            id,
            Entry {
                target,
                kind,
                resolution,
                key: key.into(),
                last_at: i64::MIN,
                last: f64::NAN,
            },
        );
        let definition = self.entry(id).map(put_definition)?;
        self.unlogged.push(Frame::Series { id, definition });
        self.unstored.push((b's', id));
        Some(id)
    }

    /// Puts an entry at its number and keeps all that depends on numbers right.
    fn place(&mut self, id: u32, entry: Entry) {
        let mut slot = hash(entry.target, &entry.key);
        while self.index.contains_key(&slot) {
            slot = slot.wrapping_add(1);
        }
        self.index.insert(slot, id);
        self.metrics.add(&entry.key, id);
        self.next_group = self.next_group.max(id / GROUP + 1);
        if let Some(owner) = self.targets.get_mut(entry.target as usize) {
            let next = id + 1;
            if owner.next.is_none_or(|at| next > at) {
                owner.next = (!next.is_multiple_of(GROUP)).then_some(next);
            }
        }
        let at = id as usize;
        if self.entries.len() <= at {
            self.entries.resize_with(at + 1, || None);
        }
        if let Some(place) = self.entries.get_mut(at) {
            *place = Some(entry);
        }
        self.count += 1;
    }

    /// Takes a target as stored or logged.
    pub(super) fn restore_target(
        &mut self,
        id: u32,
        name: &str,
    ) -> std::result::Result<(), Damaged> {
        match self.targets.get(id as usize) {
            Some(known) if known.name == name => Ok(()),
            None if id as usize == self.targets.len() => {
                self.add_target(id, name);
                self.unstored.push((b't', id));
                Ok(())
            }
            _ => Err(Damaged("two targets of one number")),
        }
    }

    /// Takes a series as stored or logged.
    pub(super) fn restore_series(
        &mut self,
        id: u32,
        definition: &[u8],
    ) -> std::result::Result<(), Damaged> {
        let entry = read_definition(definition)?;
        if self.targets.get(entry.target as usize).is_none() {
            return Err(Damaged("a series of an unknown target"));
        }
        match self.entry(id) {
            Some(known) if known.target == entry.target && known.key == entry.key => Ok(()),
            Some(_) => Err(Damaged("two series of one number")),
            None if (id / GROUP) as usize > GROUPS_LOST + 16 * self.count => {
                Err(Damaged("a series number out of range"))
            }
            None => {
                self.place(id, entry);
                self.unstored.push((b's', id));
                Ok(())
            }
        }
    }

    /// Takes a series as exported.
    pub(super) fn restore_as(
        &mut self,
        id: u32,
        target: u32,
        (kind, resolution): (Kind, Option<f64>),
        key: &SeriesKey,
    ) -> std::result::Result<(), Damaged> {
        let mut written = Vec::new();
        put_key(&mut written, key);
        let entry = Entry {
            target,
            kind,
            resolution,
            key: written.into(),
            last_at: i64::MIN,
            last: f64::NAN,
        };
        self.restore_series(id, &put_definition(&entry))
    }

    /// How many more series may be numbered, `live` being how many of them are.
    pub(super) fn room(&self, live: usize, max_series: usize) -> usize {
        let ever = max_series.saturating_mul(EVER_PER_LIVE);
        max_series
            .saturating_sub(live)
            .min(ever.saturating_sub(self.count))
    }

    /// How many series have a value since `since`.
    pub(super) fn live(&self, since: Timestamp) -> usize {
        self.entries
            .iter()
            .flatten()
            .filter(|entry| entry.last_at >= since.as_millis())
            .count()
    }

    /// How many series are known.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Frames for what the log does not yet say.
    pub(super) fn announce(&self, out: &mut Vec<u8>) {
        for frame in &self.unlogged {
            put_frame(out, frame);
        }
    }

    /// The log now says it.
    pub(super) fn announced(&mut self) {
        self.unlogged.clear();
    }

    /// Takes the list of what the database does not yet hold; give it back if it cannot be written.
    pub(super) fn take_unstored(&mut self) -> Vec<(u8, u32)> {
        std::mem::take(&mut self.unstored)
    }

    /// Gives back what could not be written.
    pub(super) fn give_back(&mut self, unstored: Vec<(u8, u32)>) {
        self.unstored.extend(unstored);
    }

    /// The operations that store these definitions.
    pub(super) fn definitions(&self, which: &[(u8, u32)]) -> Vec<Op> {
        which
            .iter()
            .filter_map(|(tag, id)| {
                let value = if *tag == b't' {
                    self.targets.get(*id as usize)?.name.clone().into_bytes()
                } else {
                    put_definition(self.entry(*id)?)
                };
                Some(Op::put(tagged(*tag, *id), super::codec::seal(&value)))
            })
            .collect()
    }

    /// Notes a value; of two instants the later one counts.
    pub(super) fn note(&mut self, id: u32, at: Timestamp, value: f64) {
        if let Some(Some(entry)) = self.entries.get_mut(id as usize)
            && at.as_millis() >= entry.last_at
        {
            entry.last_at = at.as_millis();
            entry.last = value;
        }
    }

    /// Last values of all series that have one, in order of their numbers.
    pub(super) fn noted(&self) -> impl Iterator<Item = (u32, Timestamp, f64)> + '_ {
        let all = (0u32..).zip(&self.entries);
        let known = all.filter_map(|(id, entry)| Some((id, entry.as_ref()?)));
        known
            .filter(|(_, entry)| entry.last_at > i64::MIN)
            .map(|(id, entry)| (id, Timestamp::from_millis(entry.last_at), entry.last))
    }

    /// A series with all that is known of it.
    pub(super) fn series(&self, id: u32) -> Option<Series> {
        let entry = self.entry(id)?;
        Some(Series {
            id: SeriesId(id),
            target: self.targets.get(entry.target as usize)?.name.clone(),
            key: read_key(&entry.key).ok()?,
            kind: entry.kind,
            resolution: entry.resolution,
        })
    }

    /// Target and kind of a series.
    pub(super) fn owner(&self, id: u32) -> Option<(u32, Kind)> {
        self.entry(id).map(|entry| (entry.target, entry.kind))
    }

    /// How exact the values of a series are declared to be.
    pub(super) fn resolution(&self, id: u32) -> Option<f64> {
        self.entry(id)?.resolution
    }

    /// The last value of a series, if it has one.
    pub(super) fn last(&self, id: u32) -> Option<(Timestamp, f64)> {
        self.entry(id)
            .filter(|entry| entry.last_at > i64::MIN)
            .map(|entry| (Timestamp::from_millis(entry.last_at), entry.last))
    }

    /// Names of all targets, in order of their numbers.
    pub(super) fn targets(&self) -> Vec<String> {
        self.targets.iter().map(|t| t.name.clone()).collect()
    }

    /// Names of all metrics in order, each with the kind of its first series.
    pub(super) fn metrics(&self) -> Vec<(String, Kind)> {
        let firsts = self.metrics.firsts();
        firsts
            .filter_map(|(name, id)| Some((name.to_owned(), self.entry(id)?.kind)))
            .collect()
    }

    /// All series that match, in order of their numbers.
    pub(super) fn select(&self, selector: &Selector) -> Vec<Series> {
        let numbers = self.numbers(selector).into_iter();
        numbers.filter_map(|id| self.series(id)).collect()
    }

    /// Numbers of all series that match, ascending.
    pub(super) fn numbers(&self, selector: &Selector) -> Vec<u32> {
        let ask = Ask::of(selector);
        let targets: Vec<bool> = self.targets.iter().map(|t| ask.target(&t.name)).collect();
        let is_it = |id: &u32| {
            self.entry(*id).is_some_and(|entry| {
                let owner = entry.target as usize;
                let name = self.targets.get(owner).map_or("", |t| t.name.as_str());
                targets.get(owner) == Some(&true) && ask.labels(&entry.key, name)
            })
        };
        self.metrics.numbers(&ask).filter(is_it).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::series::{Labels, Metric};

    const SIZE: Metric = Metric::gauge("pg_table_size_bytes", "Size.");

    fn fill(catalogue: &mut Catalogue, target: &str, tables: u32) -> Vec<u32> {
        let target = catalogue.target_or_new(target).unwrap();
        (0..tables)
            .map(|table| {
                let sample = SIZE.sample(Labels::none().with("relname", format!("t{table}")), 1.0);
                let mut key = Vec::new();
                put_key(&mut key, &sample.series);
                catalogue
                    .find(target, &key)
                    .or_else(|| catalogue.define(target, &key, (sample.kind, sample.resolution)))
                    .unwrap()
            })
            .collect()
    }

    #[test]
    fn a_group_holds_series_of_one_target_only() {
        let mut catalogue = Catalogue::default();
        let first = fill(&mut catalogue, "a", 3);
        let other = fill(&mut catalogue, "b", 17);
        let more = fill(&mut catalogue, "a", 20);
        assert_eq!(first, [0, 1, 2]);
        assert_eq!(other.first(), Some(&16));
        assert_eq!(other.last(), Some(&32));
        assert_eq!(&more[..3], &first[..]);
        assert_eq!((more[15], more[16]), (15, 48));
        assert_eq!(catalogue.len(), 37);
    }

    #[test]
    fn what_is_stored_restores_the_same_numbers() {
        let mut catalogue = Catalogue::default();
        fill(&mut catalogue, "a", 20);
        catalogue.note(19, Timestamp::from_millis(-5), f64::NEG_INFINITY);
        let mut again = Catalogue::default();
        let which = catalogue.take_unstored();
        for op in catalogue.definitions(&which) {
            let Op::Put(key, value) = op else {
                unreachable!()
            };
            let value = crate::store::codec::open(&value).unwrap();
            match crate::store::keys::read_tagged(&key).unwrap() {
                (b't', id) => again.restore_target(id, std::str::from_utf8(&value).unwrap()),
                (_, id) => again.restore_series(id, &value),
            }
            .unwrap();
        }
        for (id, at, value) in catalogue.noted() {
            again.note(id, at, value);
        }
        assert_eq!(
            again.select(&Selector::default()),
            catalogue.select(&Selector::default())
        );
        assert_eq!(
            again.last(19),
            Some((Timestamp::from_millis(-5), f64::NEG_INFINITY))
        );
        assert_eq!(fill(&mut again, "a", 21).last(), Some(&20));
    }

    #[test]
    fn a_selector_needs_all_its_labels() {
        let mut catalogue = Catalogue::default();
        fill(&mut catalogue, "a", 3);
        let ask = Selector::metric("pg_table_size_bytes").of("a");
        assert_eq!(catalogue.select(&ask).len(), 3);
        assert_eq!(
            catalogue.select(&ask.clone().with("relname", "t1")).len(),
            1
        );
        assert_eq!(
            catalogue
                .select(&ask.clone().with("relname", "t1").with("x", "y"))
                .len(),
            0
        );
        assert_eq!(catalogue.select(&ask.of("nobody")).len(), 0);
    }
}
