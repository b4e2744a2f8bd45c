//! Sealing: from closed logs to chunks and rollups, and the work of each tick.
//!
//! For: bringing what is closed to rest, so that its log may go. Not for: the bytes (`chunk`,
//! `rollup`). Read [`History::tick`] first.
//!
//! A seal is not atomic, but it may be done twice: every key follows from the number of the log,
//! every rollup from the chunks below it. The log goes only after all of it is past the barrier;
//! until then a crash means that the seal is done again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, TryLockError};

use super::barrier::{Database, Op};
use super::catalogue::Catalogue;
use super::codec::Damaged;
use super::history::History;
use super::keys::{self, DAY_SPAN, GROUP, HOURS_DATABASE, LAST, META, SEALED, SPAN, TALLY};
use super::rollup::{self, Bucket, Members, Tier};
use super::segment::{Rows, Segment, settle};
use super::{Error, Result, chunk, failpoint, wal};
use crate::model::series::Kind;
use crate::model::units::{Millis, Timestamp};

/// Chunks packed before they are written: bounds what a seal holds in memory.
const AT_ONCE: usize = 32;
/// After a failed seal the next try waits so long, so that a full disk is not hammered.
const RETRY: Millis = Millis(10 * Millis::SECOND.0);

/// What a tick did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tick {
    /// Logs that were sealed and let go.
    pub sealed_logs: usize,
    /// Samples in them.
    pub sealed_samples: u64,
    /// Trees and databases that were dropped because they were too old or too much.
    pub dropped: Vec<String>,
}

/// When what was done, and what is due when.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    pub(super) last: Option<Timestamp>,
    pub(super) retain_at: Option<Timestamp>,
    seal_after: Option<Timestamp>,
    /// Months that hold no raw samples past their age; looked at again after a seal.
    pub(super) settled: BTreeSet<String>,
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
        let synced = self.sync_log();
        self.rotate_if_due(now)?;
        synced?;
        let waits = upkeep
            .seal_after
            .is_some_and(|after| now < after && now > after.minus(RETRY.as_duration()));
        let sealed = if waits {
            Ok(())
        } else {
            self.seal_closed(&mut upkeep, now, &mut tick)
        };
        // Also when sealing failed: on a full disk this is what makes room.
        let dropped = self.retain_if_due(&mut upkeep, now);
        let latencies = self.store_latencies_if_due(now);
        self.databases.close_idle();
        upkeep.last = Some(now);
        sealed?;
        tick.dropped = dropped?;
        latencies?;
        Ok(tick)
    }

    fn seal_closed(&self, upkeep: &mut Upkeep, now: Timestamp, tick: &mut Tick) -> Result<()> {
        upkeep.seal_after = Some(now.plus(RETRY.as_duration()));
        while let Some(segment) = { self.head().closed.first().map(Arc::clone) } {
            if let Err(error) = self.seal(&segment) {
                // A database that met an error stays broken until it is opened again.
                self.databases.close_all();
                return Err(error);
            }
            upkeep.settled.clear();
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
        wal::remove(self.logs(), segment.number)
    }

    /// Writes a segment as chunks and rollups, past the barrier.
    pub(super) fn rest(&self, segment: &Segment) -> Result<()> {
        self.store_definitions()?;
        let mut touched: BTreeMap<String, Arc<Database>> = BTreeMap::new();
        let mut tallies: BTreeMap<u32, u64> = BTreeMap::new();
        for (span, target, rows) in segment.all() {
            let start = keys::span_start(span, SPAN);
            let name = keys::month_database(start);
            let database = self.databases.find_or_make(&name)?;
            write_chunks(&database, segment.number, span, target, rows)?;
            self.fold_span(&database, span, target, rows)?;
            *tallies.entry(keys::day_number(start)).or_default() += rows.samples();
            touched.insert(name, database);
        }
        touched
            .values()
            .try_for_each(|database| database.barrier())?;
        if !segment.is_empty() {
            self.databases.find_or_make(HOURS_DATABASE)?.barrier()?;
        }
        let tallies = tallies.into_iter().map(|(day, samples)| {
            Op::put(keys::group_key(day, segment.number), samples.to_le_bytes())
        });
        self.control.write(TALLY, tallies.collect())?;
        self.store_last_values()?;
        failpoint::hit("before_sealed_mark");
        let mark = Op::put(SEALED, segment.number.to_be_bytes());
        self.control.write(META, vec![mark])?;
        self.control.barrier()
    }

    /// Writes the last values; first the log that holds the newest of them reaches the disk, so
    /// that no last value is remembered whose sample is not.
    pub(super) fn store_last_values(&self) -> Result<()> {
        let last = self.head().catalogue.last_values();
        self.sync_log()?;
        self.control.write(LAST, last)
    }

    /// Folds the groups that got rows in a span into both tiers.
    fn fold_span(&self, database: &Database, span: u32, target: u32, rows: &Rows) -> Result<()> {
        let start = keys::span_start(span, SPAN);
        let before_start = start.minus(SPAN.as_duration());
        let earlier = match keys::span_of(before_start, SPAN) {
            Some(_) => self.databases.find(&keys::month_database(before_start))?,
            None => None,
        };
        let groups: Vec<(u32, Vec<u8>)> = rows
            .groups()
            .into_iter()
            .map(|(group, members)| (group, members.into_keys().collect()))
            .collect();
        let mut fine = Vec::new();
        let mut coarse = Vec::new();
        for (group, changed) in groups {
            let is_changed = |member: u8| changed.contains(&member);
            let values = read_group(database, target, (span, group), is_changed)?;
            let before = match &earlier {
                Some(earlier) => {
                    read_group(earlier, target, (span.saturating_sub(1), group), is_changed)?
                }
                None => BTreeMap::new(),
            };
            let kinds = self.kinds(group);
            let mut new = Members::new();
            for (member, values) in values {
                let kind = kinds.get(&member).copied().unwrap_or(Kind::Gauge);
                let before = before
                    .get(&member)
                    .and_then(|values| values.last().copied());
                new.insert(
                    member,
                    rollup::fold(&values, kind, before, Tier::FiveMinutes.step()),
                );
            }
            let merged = merged_buckets(database, Tier::FiveMinutes, span, group, &new)?;
            fine.push(bucket_op(Tier::FiveMinutes, span, group, &merged));
            let hours = merged
                .into_iter()
                .filter(|(member, _)| is_changed(*member))
                .map(|(member, buckets)| (member, rollup::coarsen(&buckets, Tier::Hour.step())))
                .collect();
            coarse.push((group, hours));
            if fine.len() >= AT_ONCE {
                self.write_tiers(
                    database,
                    start,
                    std::mem::take(&mut fine),
                    std::mem::take(&mut coarse),
                )?;
            }
        }
        self.write_tiers(database, start, fine, coarse)
    }

    fn write_tiers(
        &self,
        database: &Database,
        start: Timestamp,
        fine: Vec<Op>,
        coarse: Vec<(u32, Members)>,
    ) -> Result<()> {
        // A long seal must not keep the newest scrapes from the disk.
        self.sync_log()?;
        database.write(&keys::minutes_tree(start), fine)?;
        let hours = self.databases.find_or_make(HOURS_DATABASE)?;
        let day = keys::span_of(start, DAY_SPAN).ok_or(Error::Time(start))?;
        let mut ops = Vec::with_capacity(coarse.len());
        for (group, new) in coarse {
            let merged = merged_buckets(&hours, Tier::Hour, day, group, &new)?;
            ops.push(bucket_op(Tier::Hour, day, group, &merged));
        }
        hours.write(&keys::hours_tree(start), ops)
    }

    fn kinds(&self, group: u32) -> BTreeMap<u8, Kind> {
        let head = self.head();
        kinds_of(&head.catalogue, group)
    }

    /// Writes buckets of one series into a tier, and those of 5 min into the 1 h tier, too.
    pub(super) fn write_buckets(&self, id: u32, tier: Tier, buckets: &[Bucket]) -> Result<()> {
        let (group, member) = (id / GROUP, u8::try_from(id % GROUP).unwrap_or(0));
        let mut spans: BTreeMap<u32, Vec<Bucket>> = BTreeMap::new();
        for bucket in buckets {
            let span = keys::span_of(bucket.at, tier.span()).ok_or(Error::Time(bucket.at))?;
            spans.entry(span).or_default().push(*bucket);
        }
        let mut hours: Vec<Bucket> = Vec::new();
        let mut pending: (String, String, Vec<Op>) = Default::default();
        for (span, new) in spans {
            let start = keys::span_start(span, tier.span());
            let (name, tree) = place(tier, start);
            let database = self.databases.find_or_make(&name)?;
            if (&pending.0, &pending.1) != (&name, &tree) || pending.2.len() >= AT_ONCE {
                self.write_pending(&mut pending)?;
                pending = (name, tree, Vec::new());
            }
            let new = Members::from([(member, new)]);
            let merged = merged_buckets(&database, tier, span, group, &new)?;
            if tier == Tier::FiveMinutes
                && let Some(buckets) = merged.get(&member)
            {
                hours.extend(rollup::coarsen(buckets, Tier::Hour.step()));
            }
            pending.2.push(bucket_op(tier, span, group, &merged));
        }
        self.write_pending(&mut pending)?;
        if hours.is_empty() {
            Ok(())
        } else {
            self.write_buckets(id, Tier::Hour, &hours)
        }
    }

    fn write_pending(&self, (name, tree, ops): &mut (String, String, Vec<Op>)) -> Result<()> {
        if ops.is_empty() {
            return Ok(());
        }
        self.databases
            .find_or_make(name)?
            .write(tree, std::mem::take(ops))
    }
}

/// Kind of each member of a group.
pub(super) fn kinds_of(catalogue: &Catalogue, group: u32) -> BTreeMap<u8, Kind> {
    (0u8..)
        .zip(group * GROUP..group * GROUP + GROUP)
        .filter_map(|(member, id)| Some((member, catalogue.owner(id)?.1)))
        .collect()
}

/// Database and tree in which the buckets of a span lie.
pub(super) fn place(tier: Tier, start: Timestamp) -> (String, String) {
    match tier {
        Tier::FiveMinutes => (keys::month_database(start), keys::minutes_tree(start)),
        Tier::Hour => (HOURS_DATABASE.to_owned(), keys::hours_tree(start)),
    }
}

fn bucket_op(tier: Tier, span: u32, group: u32, members: &Members) -> Op {
    let start = keys::span_start(span, tier.span());
    Op::put(
        keys::group_key(span, group),
        rollup::put_buckets(members, start, tier.step()),
    )
}

/// What a tier holds of a span and group, with `new` laid over it.
fn merged_buckets(
    database: &Database,
    tier: Tier,
    span: u32,
    group: u32,
    new: &Members,
) -> Result<Members> {
    let start = keys::span_start(span, tier.span());
    let (_, tree) = place(tier, start);
    let mut merged = match database.get(&tree, &keys::group_key(span, group))? {
        Some(value) => rollup::read_buckets(&value, start, tier.step(), |_| true)
            .map_err(|damage| database.damaged(damage))?,
        None => Members::new(),
    };
    for (member, buckets) in new {
        let old = merged.remove(member).unwrap_or_default();
        merged.insert(*member, rollup::overlay(old, buckets.clone()));
    }
    Ok(merged)
}

/// Writes the chunks of one target in one span.
///
/// In two phases: first empty values, then the real ones. So the leaves of the tree take their
/// shape while they are small, and no page with data is written twice.
fn write_chunks(database: &Database, log: u32, span: u32, target: u32, rows: &Rows) -> Result<()> {
    let tree = keys::raw_tree(keys::span_start(span, SPAN));
    let groups = rows.groups();
    let times_key = keys::raw_key(span, keys::times_group(target), log);
    let mut places = Vec::new();
    for key in groups
        .keys()
        .map(|group| keys::raw_key(span, *group, log))
        .chain([times_key])
    {
        if database.get(&tree, &key)?.is_none() {
            places.push(Op::put(key, []));
        }
    }
    database.write(&tree, places)?;
    failpoint::hit("between_phases");
    // Times first: a group without its times could not be read.
    let mut ops = vec![Op::put(times_key, chunk::put_times(&rows.times))];
    for (group, members) in &groups {
        let value = chunk::put_group(members.iter().map(|(member, column)| (*member, *column)));
        ops.push(Op::put(keys::raw_key(span, *group, log), value));
        if ops.len() >= AT_ONCE {
            database.write(&tree, std::mem::take(&mut ops))?;
        }
    }
    database.write(&tree, ops)
}

/// Sealed values of the wanted members of a group in a span, in order of time.
pub(super) fn read_group(
    database: &Database,
    target: u32,
    (span, group): (u32, u32),
    wanted: impl Fn(u8) -> bool,
) -> Result<BTreeMap<u8, Vec<(i64, f64)>>> {
    let tree = keys::raw_tree(keys::span_start(span, SPAN));
    let damaged = |damage| database.damaged(damage);
    let mut all: BTreeMap<u8, Vec<(i64, f64)>> = BTreeMap::new();
    database.scan(&tree, &keys::group_key(span, group), |key, value| {
        if value.is_empty() {
            return Ok(());
        }
        let Some((_, _, log)) = keys::read_raw_key(key) else {
            return Err(damaged(Damaged("a key of a chunk")));
        };
        let members = chunk::read_group(value, &wanted).map_err(damaged)?;
        if members.is_empty() {
            return Ok(());
        }
        let times_key = keys::raw_key(span, keys::times_group(target), log);
        let times = match database.get(&tree, &times_key)? {
            Some(times) => chunk::read_times(&times).map_err(damaged)?,
            None => return Err(damaged(Damaged("a chunk without its times"))),
        };
        for (member, values) in members {
            let into = all.entry(member).or_default();
            for (row, value) in values {
                let at = times
                    .get(row as usize)
                    .ok_or_else(|| damaged(Damaged("a row without a time")))?;
                into.push((*at, value));
            }
        }
        Ok(())
    })?;
    Ok(all
        .into_iter()
        .map(|(member, values)| (member, settle(values)))
        .collect())
}
