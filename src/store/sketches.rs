//! Latencies: a sketch a name, in steps of five minutes and of an hour.
//!
//! For: quantiles of what happens too often to keep each one, over any range. Not for: samples
//! (`history`), nor for anything that must not be lost. Read [`History::observe`] first.
//!
//! What was observed lies in memory for up to a minute ([`EVERY`]) and is then merged into both
//! tiers on disk; a process that dies loses that minute, and no more. Two sketches merge without
//! loss (`stats::sketch`), so a range of any length has the quantiles of all that fell into it.
//!
//! A name is target, metric and labels. Steps of five minutes are kept for [`KEPT_5M`], by whole
//! months, those of an hour as long as 1 h buckets. A value is a sketch in an envelope (`codec`).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::codec::{self, Damaged, Reader, put_bytes};
use super::definition::{put_key, read_key};
use super::history::History;
use super::keys::{self, SKETCHES_1H, SKETCHES_5M};
use super::op::Op;
use super::rollup::Tier;
use super::{Error, Result};
use crate::model::series::SeriesKey;
use crate::model::units::{Millis, Timestamp};
use crate::stats::sketch::Sketch;

/// How long an observation may lie in memory alone.
pub(super) const EVERY: Millis = Millis::MINUTE;
/// Age at which steps of five minutes go, by whole months.
pub(super) const KEPT_5M: Millis = Millis(30 * Millis::DAY.0);
/// Names at most: endpoints and classes of statements are a few dozen.
const NAMES_MAX: usize = 1_000;
/// Bytes of a usual name.
const NAME_USUAL: usize = 160;
/// The longest range that is read at once.
pub(super) const RANGE_MAX: Millis = Millis(366 * Millis::DAY.0);

/// Latencies of one name over a range.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    /// The target's name.
    pub target: String,
    /// Metric and labels.
    pub key: SeriesKey,
    /// Values and counts.
    pub sketch: Sketch,
}

/// What was observed and is not yet on disk.
#[derive(Debug, Default)]
pub(super) struct Observed {
    memory: Mutex<Memory>,
    /// Held while sketches go from memory to disk, and while both are read.
    moving: Mutex<()>,
}

type Pending = BTreeMap<(u32, Vec<u8>), Sketch>;

#[derive(Debug, Default)]
struct Memory {
    /// Not yet stored, by tier, step and name.
    pending: BTreeMap<Tier, Pending>,
    /// The last two steps of each name, for whoever asks every few seconds.
    recent: BTreeMap<Vec<u8>, Recent>,
    stored_at: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Recent {
    step: u32,
    now: Sketch,
    before: Sketch,
    count: u64,
    sum: f64,
}

/// Latencies of one name lately.
#[derive(Debug, Clone, PartialEq)]
pub struct RecentLatency {
    /// The target's name.
    pub target: String,
    /// Metric and labels.
    pub key: SeriesKey,
    /// Values of the running step of five minutes and of the one before.
    pub sketch: Sketch,
    /// Values since this process started.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn step_of(at: Timestamp, tier: Tier) -> Option<u32> {
    keys::span_of(at, tier.step())
}

/// A step's database and tree.
fn place(tier: Tier, step: u32) -> (String, &'static str) {
    let at = keys::span_start(step, tier.step());
    match tier {
        Tier::FiveMinutes => (keys::minutes_part(at), SKETCHES_5M),
        Tier::Hour => (keys::hours_part(at), SKETCHES_1H),
    }
}

fn put_name(target: &str, key: &SeriesKey) -> Vec<u8> {
    let mut name = Vec::with_capacity(NAME_USUAL);
    put_bytes(&mut name, target.as_bytes());
    put_key(&mut name, key);
    name
}

fn read_name(name: &[u8]) -> std::result::Result<(String, SeriesKey), Damaged> {
    let mut from = Reader::new(name);
    let target = from.text()?.to_owned();
    Ok((target, read_key(from.rest())?))
}

/// Reads a sketch as it lies in a tree, and its name.
pub(super) fn read(
    key: &[u8],
    value: &[u8],
) -> std::result::Result<((String, SeriesKey), Sketch), Damaged> {
    let (_, name) = keys::read_sketch_key(key).ok_or(Damaged("a key of a sketch"))?;
    let sketch = Sketch::decode(&codec::open(value)?).map_err(|fault| Damaged(fault.0))?;
    Ok((read_name(name)?, sketch))
}

impl History {
    fn observed(&self) -> MutexGuard<'_, Memory> {
        lock(&self.observed.memory)
    }

    /// Counts a value of a name `times` times; from memory to disk within a minute of ticks.
    ///
    /// Beyond 1 000 names, and outside 1970 to 9998, nothing is counted.
    pub fn observe(&self, target: &str, key: &SeriesKey, at: Timestamp, value: f64, times: u64) {
        let fine = step_of(at, Tier::FiveMinutes);
        let (Some(step), Some(hour)) = (fine, step_of(at, Tier::Hour)) else {
            return;
        };
        // Each request comes by here: what is known already is found without a copy of its name.
        let mut place = (step, put_name(target, key));
        let mut observed = self.observed();
        if !observed.recent.contains_key(&place.1) {
            if observed.recent.len() >= NAMES_MAX {
                return;
            }
            observed.recent.insert(place.1.clone(), Recent::default());
        }
        if let Some(recent) = observed.recent.get_mut(&place.1) {
            recent.turn(step);
            recent.now.add(value, times);
            if value.is_finite() {
                recent.count = recent.count.saturating_add(times);
                recent.sum += value.max(0.0) * times as f64;
            }
        }
        for (tier, step) in [(Tier::FiveMinutes, step), (Tier::Hour, hour)] {
            place.0 = step;
            let pending = observed.pending.entry(tier).or_default();
            match pending.get_mut(&place) {
                Some(sketch) => sketch.add(value, times),
                None => pending.entry(place.clone()).or_default().add(value, times),
            }
        }
    }

    /// Latencies of the last five to ten minutes, from memory.
    pub fn recent_latencies(&self, now: Timestamp) -> Vec<RecentLatency> {
        let mut observed = self.observed();
        let step = step_of(now, Tier::FiveMinutes);
        let recent = observed.recent.iter_mut().filter_map(|(name, recent)| {
            recent.turn(step?);
            let (target, key) = read_name(name).ok()?;
            let mut sketch = recent.now.clone();
            sketch.merge(&recent.before);
            Some(RecentLatency {
                target,
                key,
                sketch,
                count: recent.count,
                sum: recent.sum,
            })
        });
        recent.collect()
    }

    /// Stores what was observed, if a minute has passed since the last time.
    pub(super) fn store_latencies_if_due(&self, now: Timestamp) -> Result<()> {
        let is_due = {
            let mut observed = self.observed();
            let last = *observed.stored_at.get_or_insert(now);
            // A clock that was set back must not keep everything in memory.
            now < last || now.since(last) >= EVERY.as_duration()
        };
        if is_due {
            self.store_latencies()?;
            self.observed().stored_at = Some(now);
        }
        Ok(())
    }

    /// Merges what was observed into both tiers; returns past the barrier.
    pub(super) fn store_latencies(&self) -> Result<()> {
        let _moving = lock(&self.observed.moving);
        for tier in [Tier::FiveMinutes, Tier::Hour] {
            let pending = self.observed().pending.remove(&tier).unwrap_or_default();
            if let Err(error) = self.merge_into(tier, &pending) {
                let mut observed = self.observed();
                let left = observed.pending.entry(tier).or_default();
                for (key, sketch) in pending {
                    left.entry(key).or_default().merge(&sketch);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn merge_into(&self, tier: Tier, new: &Pending) -> Result<()> {
        let mut ops: BTreeMap<(String, &str), Vec<Op>> = BTreeMap::new();
        for ((step, name), sketch) in new {
            let (database, tree) = place(tier, *step);
            let key = keys::sketch_key(*step, name);
            let held = self.databases.find_or_make(&database)?.get(tree, &key)?;
            // A sketch that does not read is begun anew: `verify` would have told.
            let held = held.and_then(|value| read(&key, &value).ok());
            let mut merged = held.map(|(_, sketch)| sketch).unwrap_or_default();
            merged.merge(sketch);
            let op = Op::put(key, codec::seal(&merged.encode()));
            ops.entry((database, tree)).or_default().push(op);
        }
        for ((database, tree), ops) in ops {
            let database = self.databases.find_or_make(&database)?;
            database.write(tree, ops)?;
            database.barrier()?;
        }
        Ok(())
    }

    /// Latencies of each name from `from` (floored to five minutes) up to, but without, `until`;
    /// sorted by target and name.
    ///
    /// Whole hours are read from the 1 h tier, the ends from the 5 min one as far as it is kept.
    ///
    /// # Errors
    /// [`Error::Steps`] for a range of over a year, [`Error::Corrupt`] for a sketch that does not
    /// read, else what the disk says.
    pub fn latencies(&self, from: Timestamp, until: Timestamp) -> Result<Vec<Latency>> {
        let (fine, hour) = (Tier::FiveMinutes.step(), Tier::Hour.step());
        let from = from.floor_to(fine);
        if until.since(from) > RANGE_MAX.as_duration() {
            return Err(Error::Steps {
                steps: u64::try_from(until.since(from).as_millis() / u128::from(hour.0))
                    .unwrap_or(u64::MAX),
                limit: RANGE_MAX.0 / hour.0,
            });
        }
        let mut all: BTreeMap<Vec<u8>, Sketch> = BTreeMap::new();
        let moving = lock(&self.observed.moving);
        let after = hour.as_duration().saturating_sub(Millis(1).as_duration());
        let first_hour = from.plus(after).floor_to(hour);
        let last_hour = until.floor_to(hour);
        if first_hour < last_hour {
            self.gather(Tier::FiveMinutes, from, first_hour, &mut all)?;
            self.gather(Tier::Hour, first_hour, last_hour, &mut all)?;
            self.gather(Tier::FiveMinutes, last_hour, until, &mut all)?;
        } else {
            self.gather(Tier::FiveMinutes, from, until, &mut all)?;
        }
        drop(moving);
        let named = all.into_iter().map(|(name, sketch)| {
            let (target, key) =
                read_name(&name).map_err(|damage| Error::damaged(&self.options.dir, damage))?;
            Ok(Latency {
                target,
                key,
                sketch,
            })
        });
        let mut named = named.collect::<Result<Vec<Latency>>>()?;
        named.sort_by(|a, b| (&a.target, &a.key).cmp(&(&b.target, &b.key)));
        Ok(named)
    }

    fn gather(
        &self,
        tier: Tier,
        from: Timestamp,
        until: Timestamp,
        all: &mut BTreeMap<Vec<u8>, Sketch>,
    ) -> Result<()> {
        for ((step, name), sketch) in self.observed().pending.get(&tier).into_iter().flatten() {
            let at = keys::span_start(*step, tier.step());
            if from <= at && at < until {
                all.entry(name.clone()).or_default().merge(sketch);
            }
        }
        let mut at = from;
        while at < until {
            if let Some(step) = step_of(at, tier) {
                let (name, tree) = place(tier, step);
                if let Some(database) = self.databases.find(&name)? {
                    database.scan(tree, &step.to_be_bytes(), |key, value| {
                        let (_, sketch) =
                            read(key, value).map_err(|damage| database.damaged(damage))?;
                        if let Some((_, name)) = keys::read_sketch_key(key) {
                            all.entry(name.to_vec()).or_default().merge(&sketch);
                        }
                        Ok(())
                    })?;
                }
            }
            at = at.plus(tier.step().as_duration());
        }
        Ok(())
    }
}

impl Recent {
    /// Moves on to a later step; an earlier one counts as the present.
    fn turn(&mut self, step: u32) {
        if step > self.step {
            let now = std::mem::take(&mut self.now);
            self.before = if step == self.step + 1 {
                now
            } else {
                Sketch::default()
            };
            self.step = step;
        }
    }
}
