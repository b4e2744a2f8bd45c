//! Sealing: from closed logs to chunks and rollups, and the work of each tick.
//!
//! For: bringing what is closed to rest, so that its log may go. Not for: the bytes (`chunk`,
//! `rollup`). Read [`History::tick`] first.
//!
//! A seal is not atomic, but it may be done twice: every key follows from the number of the log,
//! every rollup from the chunks below it. The log goes only after all of it is past the barrier;
//! until then a crash means that the seal is done again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, TryLockError};

use super::barrier::Database;
use super::buckets::Members;
use super::gather::read_group;
use super::history::History;
use super::keys::{self, DATA, LAST, META, SEALED, SPAN, TALLY};
use super::op::Op;
use super::rollup::{self, Tier};
use super::segment::{Rows, Segment, settle};
use super::tiers::{Laid, bucket_op, merged_buckets};
use super::{Result, chunk, failpoint, last, wal};
use crate::model::series::Kind;
use crate::model::units::{Bytes, Millis, Timestamp};

/// Chunks packed before they are written: bounds what a seal holds in memory.
const AT_ONCE: usize = 32;
/// Databases that a seal has open at a time, about.
const AT_REST: usize = 6;
/// After a failed seal the next try waits so long, so that a full disk is not hammered.
const RETRY: Millis = Millis(10 * Millis::SECOND.0);

/// What a tick did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tick {
    /// Logs that were sealed and let go.
    pub sealed_logs: usize,
    /// Samples in them.
    pub sealed_samples: u64,
    /// Parts that were dropped because they were too old or too much.
    pub dropped: Vec<String>,
}

/// When what was done, and what is due when.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    pub(super) last: Option<Timestamp>,
    pub(super) retain_at: Option<Timestamp>,
    /// Bytes of the logs when the limit in bytes was last looked at.
    pub(super) measured: Option<Bytes>,
    /// Pushes that had come by the last tick.
    pub(super) pushes: u64,
    /// After a failure, when to try again.
    pub(super) seal_after: Option<Timestamp>,
    /// Months whose latencies by five minutes are gone.
    pub(super) cleared: BTreeSet<String>,
}

impl History {
    /// See [`super::Store::tick`].
    pub(super) fn tick(&self, now: Timestamp) -> Result<Tick> {
        let mut tick = Tick::default();
        let mut upkeep = match self.upkeep.try_lock() {
            Ok(upkeep) => upkeep,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // A backup or a check reads what is at rest: nothing is moved, but the log is synced.
            Err(TryLockError::WouldBlock) => return self.sync_log().map(|()| tick),
        };
        let dropped = self.retain_if_due(&mut upkeep, now);
        let synced = self.sync_log();
        self.rotate_if_due(now)?;
        synced?;
        let waits = upkeep
            .seal_after
            .is_some_and(|after| now < after && now > after.minus(RETRY.as_duration()));
        let sealed = if self.is_flooded(&mut upkeep) || waits {
            Ok(())
        } else {
            self.seal_closed(&mut upkeep, now, &mut tick)
        };
        let folded = if sealed.is_ok() {
            self.fold_days(Some(now))
        } else {
            Ok(())
        };
        let latencies = self.store_latencies_if_due(now);
        self.databases.close_idle();
        upkeep.last = Some(now);
        sealed?;
        folded?;
        latencies?;
        tick.dropped.extend(dropped?);
        Ok(tick)
    }

    pub(super) fn seal_closed(
        &self,
        upkeep: &mut Upkeep,
        now: Timestamp,
        tick: &mut Tick,
    ) -> Result<()> {
        upkeep.seal_after = Some(now.plus(RETRY.as_duration()));
        while let Some(segment) = { self.head().closed.first().map(Arc::clone) } {
            // What a seal writes must fit.
            upkeep.measured = None;
            tick.dropped.extend(self.drop_surplus(upkeep)?);
            if let Err(error) = self.seal(&segment) {
                // A database that met an error stays broken until it is opened again.
                self.databases.close_all();
                return Err(error);
            }
            // A past that is filled in would else leave a database open for each of its days.
            self.databases.close_idle();
            tick.sealed_logs += 1;
            tick.sealed_samples += segment.samples();
        }
        upkeep.seal_after = None;
        Ok(())
    }

    /// Seals one closed log and lets it go.
    pub(super) fn seal(&self, segment: &Segment) -> Result<()> {
        self.rest(segment)?;
        self.head_mut()
            .closed
            .retain(|closed| closed.number != segment.number);
        self.seal_is_done();
        wal::remove(self.logs(), segment.number)
    }

    /// Writes a segment as chunks and rollups, past the barrier.
    pub(super) fn rest(&self, segment: &Segment) -> Result<()> {
        // What is prepared below must never outlive the log that says what goes there.
        self.sync_log()?;
        self.store_definitions()?;
        let mut spans: BTreeMap<u32, Vec<(u32, &Rows)>> = BTreeMap::new();
        for (span, target, rows) in segment.all() {
            spans.entry(span).or_default().push((target, rows));
        }
        let mut touched: BTreeMap<String, Arc<Database>> = BTreeMap::new();
        let mut tallies: BTreeMap<u32, u64> = BTreeMap::new();
        for (span, targets) in spans {
            let start = keys::span_start(span, SPAN);
            let (raw, fine) = (keys::raw_part(start), keys::minutes_part(start));
            // A log may hold years of a past, and each open database costs files and a thread.
            if touched.len() >= AT_REST && !touched.contains_key(&raw) {
                barriers(&mut touched)?;
                self.databases.close_idle();
            }
            let write = Write {
                history: self,
                raw: self.databases.find_or_make(&raw)?,
                fine: self.databases.find_or_make(&fine)?,
                log: segment.number,
                span,
            };
            write.make_places(&targets)?;
            failpoint::hit("between_phases");
            for (target, rows) in targets {
                let samples = write.fill(target, rows)?;
                *tallies.entry(keys::day_number(start)).or_default() += samples;
            }
            self.note_unfolded(start);
            touched.insert(raw, write.raw);
            touched.insert(fine, write.fine);
        }
        barriers(&mut touched)?;
        let tallies = tallies.into_iter().map(|(day, samples)| {
            Op::put(keys::group_key(day, segment.number), samples.to_le_bytes())
        });
        self.control.write(TALLY, tallies.collect())?;
        self.store_last_values()?;
        failpoint::hit("before_sealed_mark");
        let mark = Op::put(SEALED, segment.number.to_be_bytes());
        self.control.write(META, vec![mark, self.unfolded_op()])?;
        self.control.barrier()?;
        self.sealed_log.store(segment.number, Ordering::Release);
        Ok(())
    }

    /// Writes the last values; first the log that holds the newest of them reaches the disk, so
    /// that no last value is remembered whose sample is not.
    pub(super) fn store_last_values(&self) -> Result<()> {
        let blocks = last::blocks(self.head().catalogue.noted());
        self.sync_log()?;
        self.control.write_in_order(LAST, blocks)
    }
}

/// Passes the barriers of what was written, and lets go of it.
fn barriers(touched: &mut BTreeMap<String, Arc<Database>>) -> Result<()> {
    std::mem::take(touched)
        .values()
        .try_for_each(|database| database.barrier())
}

/// One span of one log on its way into a month.
///
/// In two phases: first empty values, then the real ones. So the leaves of the tree take their
/// shape while they are small, and no page with data is written twice: a leaf that is split when
/// full keeps nine keys, and nine values later it is complete, one short of being rewritten. The
/// fences after the last key of a span keep the next span out of its last leaf.
struct Write<'a> {
    history: &'a History,
    raw: Arc<Database>,
    fine: Arc<Database>,
    log: u32,
    span: u32,
}

impl Write<'_> {
    fn make_places(&self, targets: &[(u32, &Rows)]) -> Result<()> {
        let groups: BTreeSet<u32> = targets
            .iter()
            .flat_map(|(_, rows)| rows.groups().into_keys())
            .collect();
        let times = targets.iter().map(|(target, _)| keys::times_group(*target));
        let raw = groups
            .iter()
            .copied()
            .chain(times)
            .map(|group| keys::raw_key(self.span, group, self.log))
            .chain(keys::fences().map(|fence| keys::raw_key(self.span, fence, 0)));
        self.raw.make_places(DATA, raw)?;
        let fine = groups
            .into_iter()
            .chain(keys::fences())
            .map(|group| keys::group_key(self.span, group));
        self.fine.make_places(DATA, fine)
    }

    /// Writes what one target has, some groups at a time; returns how many samples that is, of
    /// those at one instant one.
    fn fill(&self, target: u32, rows: &Rows) -> Result<u64> {
        let order = Order::of(&rows.times);
        // Times first: a group without its times could not be read.
        let times_key = keys::raw_key(self.span, keys::times_group(target), self.log);
        let times = Op::put(times_key, chunk::put_times(&order.times));
        self.raw.write(DATA, vec![times])?;
        let (mut raw, mut fine) = (Vec::new(), Vec::new());
        let mut samples = 0;
        for (group, members) in rows.groups() {
            let members: Vec<chunk::Sorted> = members
                .into_iter()
                .map(|(member, column)| (member, order.sort(column.values())))
                .collect();
            samples += members.iter().map(|(_, v)| v.len() as u64).sum::<u64>();
            let key = keys::raw_key(self.span, group, self.log);
            raw.push(Op::put(key, chunk::put_group(&members)));
            fine.push(self.fold(target, group, &order.times, members)?);
            if raw.len() >= AT_ONCE {
                self.write(&mut raw, &mut fine)?;
            }
        }
        self.write(&mut raw, &mut fine)?;
        Ok(samples)
    }

    fn write(&self, raw: &mut Vec<Op>, fine: &mut Vec<Op>) -> Result<()> {
        // A long seal must not keep the newest scrapes from the disk.
        self.history.sync_log()?;
        self.raw.write(DATA, std::mem::take(raw))?;
        self.fine.write(DATA, std::mem::take(fine))
    }

    /// The 5 min buckets of a group, over what the tier holds of it already.
    fn fold(
        &self,
        target: u32,
        group: u32,
        times: &[i64],
        members: Vec<chunk::Sorted>,
    ) -> Result<Op> {
        let kinds = self.history.kinds(group);
        let kind_of = |member: u8| kinds.get(&member).copied().unwrap_or(Kind::Gauge);
        let changed: Vec<u8> = members.iter().map(|(member, _)| *member).collect();
        let key = keys::group_key(self.span, group);
        // Other logs may have brought values of the same span.
        let mut others = false;
        self.raw.scan(DATA, &key, |key, value| {
            let log = keys::read_raw_key(key).map(|(_, _, log)| log);
            others |= !value.is_empty() && log != Some(self.log);
            Ok(())
        })?;
        let mut values: BTreeMap<u8, Vec<(i64, f64)>> = members
            .into_iter()
            .map(|(member, rows)| {
                let at = |row: u32| times.get(row as usize).copied().unwrap_or_default();
                (
                    member,
                    rows.into_iter().map(|(row, v)| (at(row), v)).collect(),
                )
            })
            .collect();
        if others {
            let place = (self.span, group);
            let known = read_group(&self.raw, target, place, self.history.sealed_upto(), |m| {
                changed.contains(&m)
            })?;
            for (member, mut all) in known {
                all.extend(values.remove(&member).unwrap_or_default());
                values.insert(member, settle(all));
            }
        }
        let is_counter = |member: u8| changed.contains(&member) && kind_of(member) == Kind::Counter;
        let before = self.before(target, group, is_counter)?;
        let new: Members = values
            .into_iter()
            .map(|(member, values)| {
                let before = before
                    .get(&member)
                    .and_then(|values| values.last().copied());
                let step = Tier::FiveMinutes.step();
                (member, rollup::fold(&values, kind_of(member), before, step))
            })
            .collect();
        // Alone, and yet the tier knows more: what it was folded from is too old to be kept.
        let laid = if others { Laid::Over } else { Laid::IfNoLess };
        let place = (self.span, group);
        let merged = merged_buckets(&self.fine, Tier::FiveMinutes, place, new, laid)?;
        Ok(bucket_op(Tier::FiveMinutes, self.span, group, &merged))
    }

    /// Values of the span before, from whose last a counter's growth goes on.
    fn before(
        &self,
        target: u32,
        group: u32,
        wanted: impl Fn(u8) -> bool,
    ) -> Result<BTreeMap<u8, Vec<(i64, f64)>>> {
        let Some(span) = self.span.checked_sub(1) else {
            return Ok(BTreeMap::new());
        };
        let part = keys::raw_part(keys::span_start(span, SPAN));
        match self.history.databases.find(&part)? {
            Some(earlier) => {
                let sealed = self.history.sealed_upto();
                read_group(&earlier, target, (span, group), sealed, wanted)
            }
            None => Ok(BTreeMap::new()),
        }
    }
}

/// Instants in order, each once, and where each row of arrival went.
struct Order {
    times: Vec<i64>,
    /// `None` if every row is where it was.
    places: Option<Vec<u32>>,
}

impl Order {
    fn of(arrived: &[i64]) -> Self {
        if arrived.is_sorted_by(|a, b| a < b) {
            return Self {
                times: arrived.to_vec(),
                places: None,
            };
        }
        let times: Vec<i64> = arrived
            .iter()
            .copied()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let place = |at: &i64| u32::try_from(times.partition_point(|t| t < at)).unwrap_or(u32::MAX);
        Self {
            places: Some(arrived.iter().map(place).collect()),
            times,
        }
    }

    /// Values by ascending row; of two at one instant, the one that came later stays.
    fn sort(&self, values: Vec<(u32, f64)>) -> Vec<(u32, f64)> {
        let mut values = values;
        if let Some(places) = &self.places {
            for (row, _) in &mut values {
                *row = places.get(*row as usize).copied().unwrap_or(u32::MAX);
            }
        }
        if values.is_sorted_by(|a, b| a.0 < b.0) {
            return values;
        }
        let sorted: BTreeMap<u32, f64> = values.into_iter().collect();
        sorted.into_iter().collect()
    }
}
