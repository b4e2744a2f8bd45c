//! The tiers: where buckets are written, and when hours are folded from five minutes.
//!
//! For: keeping the 5 min and 1 h tiers right, whatever order samples come in. Not for: what a
//! bucket means (`rollup`) or how it is packed (`buckets`). Read [`History::fold_days`] first.
//!
//! Five-minute buckets are written with the chunks they are made of. Hours are written once a day:
//! a day whose five minutes have changed is noted as unfolded, and until it is folded its hours are
//! folded on reading.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use super::barrier::Database;
use super::buckets::{Members, put_buckets, read_buckets};
use super::catalogue::Catalogue;
use super::codec::{Damaged, Reader, put_varint};
use super::history::History;
use super::keys::{self, DATA, DAY_SPAN, GROUP, META, SPAN, SPANS_A_DAY, UNFOLDED};
use super::op::Op;
use super::rollup::{self, Bucket, Tier};
use super::{Error, Result};
use crate::model::series::Kind;
use crate::model::units::{Millis, Timestamp};

/// Values packed before they are written: bounds what is held in memory.
const AT_ONCE: usize = 32;
/// A day is folded this long after its end: what is on its way then comes in time.
const LATE: Millis = Millis(3 * Millis::HOUR.0);

impl History {
    fn with_unfolded<T>(&self, call: impl FnOnce(&mut BTreeSet<u32>) -> T) -> T {
        call(&mut self.unfolded.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that the hours of a day are behind its five minutes.
    pub(super) fn note_unfolded(&self, at: Timestamp) {
        if let Some(day) = keys::span_of(at, DAY_SPAN) {
            self.with_unfolded(|days| days.insert(day));
        }
    }

    /// Days whose hours are folded on reading, ascending.
    pub(super) fn unfolded(&self) -> Vec<u32> {
        self.with_unfolded(|days| days.iter().copied().collect())
    }

    /// The operation that remembers them.
    pub(super) fn unfolded_op(&self) -> Op {
        let mut value = Vec::new();
        for day in self.unfolded() {
            put_varint(&mut value, u64::from(day));
        }
        Op::put(UNFOLDED, super::codec::seal(&value))
    }

    /// Folds the hours of days that are over; all of them when `now` is `None`.
    pub(super) fn fold_days(&self, now: Option<Timestamp>) -> Result<()> {
        for day in self.unfolded() {
            let end = keys::span_start(day.saturating_add(1), DAY_SPAN);
            if now.is_none_or(|now| end.plus(LATE.as_duration()) <= now) {
                self.fold_day(day)?;
            }
        }
        Ok(())
    }

    fn fold_day(&self, day: u32) -> Result<()> {
        let start = keys::span_start(day, DAY_SPAN);
        let Some(first) = keys::span_of(start, SPAN) else {
            return Ok(());
        };
        if let Some(month) = self.databases.find(&keys::minutes_part(start))? {
            let mut groups = BTreeSet::new();
            for span in first..first + SPANS_A_DAY {
                month.scan(DATA, &span.to_be_bytes(), |key, value| {
                    let group = keys::read_group_key(key).map(|(_, group)| group);
                    groups.extend(group.filter(|_| !value.is_empty()));
                    Ok(())
                })?;
            }
            let hours = self.databases.find_or_make(&keys::hours_part(start))?;
            let places = groups.iter().copied().chain(keys::fences());
            hours.make_places(DATA, places.map(|group| keys::group_key(day, group)))?;
            let mut ops = Vec::new();
            for group in groups {
                let mut new = Members::new();
                for span in first..first + SPANS_A_DAY {
                    for (member, buckets) in read(&month, Tier::FiveMinutes, span, group)? {
                        new.entry(member).or_default().extend(buckets);
                    }
                }
                for buckets in new.values_mut() {
                    *buckets = rollup::coarsen(buckets, Tier::Hour.step());
                }
                let place = (day, group);
                let merged = merged_buckets(&hours, Tier::Hour, place, new, Laid::IfNoLess)?;
                ops.push(bucket_op(Tier::Hour, day, group, &merged));
                if ops.len() >= AT_ONCE {
                    hours.write(DATA, std::mem::take(&mut ops))?;
                }
            }
            hours.write(DATA, ops)?;
            hours.barrier()?;
        }
        self.with_unfolded(|days| days.remove(&day));
        self.control.write(META, vec![self.unfolded_op()])
    }

    /// Kind of each member of a group.
    pub(super) fn kinds(&self, group: u32) -> BTreeMap<u8, Kind> {
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
        let mut pending: (String, Vec<Op>) = Default::default();
        for (span, new) in spans {
            let part = part_of(tier, keys::span_start(span, tier.span()));
            let database = self.databases.find_or_make(&part)?;
            if pending.0 != part || pending.1.len() >= AT_ONCE {
                self.write_pending(&mut pending)?;
                pending = (part, Vec::new());
            }
            let new = Members::from([(member, new)]);
            let merged = merged_buckets(&database, tier, (span, group), new, Laid::Over)?;
            if tier == Tier::FiveMinutes
                && let Some(buckets) = merged.get(&member)
            {
                hours.extend(rollup::coarsen(buckets, Tier::Hour.step()));
            }
            pending.1.push(bucket_op(tier, span, group, &merged));
        }
        self.write_pending(&mut pending)?;
        if hours.is_empty() {
            Ok(())
        } else {
            self.write_buckets(id, Tier::Hour, &hours)
        }
    }

    fn write_pending(&self, (part, ops): &mut (String, Vec<Op>)) -> Result<()> {
        if ops.is_empty() {
            return Ok(());
        }
        self.databases
            .find_or_make(part)?
            .write(DATA, std::mem::take(ops))
    }
}

/// Kind of each member of a group.
pub(super) fn kinds_of(catalogue: &Catalogue, group: u32) -> BTreeMap<u8, Kind> {
    (0u8..)
        .zip(group * GROUP..group * GROUP + GROUP)
        .filter_map(|(member, id)| Some((member, catalogue.owner(id)?.1)))
        .collect()
}

/// Part in which the buckets of an instant lie.
pub(super) fn part_of(tier: Tier, at: Timestamp) -> String {
    match tier {
        Tier::FiveMinutes => keys::minutes_part(at),
        Tier::Hour => keys::hours_part(at),
    }
}

/// The operation that stores the buckets of a span and group.
pub(super) fn bucket_op(tier: Tier, span: u32, group: u32, members: &Members) -> Op {
    let start = keys::span_start(span, tier.span());
    Op::put(
        keys::group_key(span, group),
        put_buckets(members, start, tier.step()),
    )
}

/// What a tier holds of a span and group.
fn read(database: &Database, tier: Tier, span: u32, group: u32) -> Result<Members> {
    let start = keys::span_start(span, tier.span());
    match database.get(DATA, &keys::group_key(span, group))? {
        Some(value) if !value.is_empty() => read_buckets(&value, start, tier.step(), |_| true)
            .map_err(|damage| database.damaged(damage)),
        _ => Ok(Members::new()),
    }
}

/// Which buckets stay where a tier holds one already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Laid {
    /// The new one.
    Over,
    /// The new one, unless the old one knows more samples.
    IfNoLess,
}

/// What a tier holds of a span and group, with `new` laid over it.
pub(super) fn merged_buckets(
    database: &Database,
    tier: Tier,
    (span, group): (u32, u32),
    new: Members,
    laid: Laid,
) -> Result<Members> {
    let mut merged = read(database, tier, span, group)?;
    for (member, buckets) in new {
        let old = merged.remove(&member).unwrap_or_default();
        let buckets = match laid {
            Laid::Over => buckets,
            Laid::IfNoLess => rollup::no_less(&old, buckets),
        };
        merged.insert(member, rollup::overlay(old, buckets));
    }
    Ok(merged)
}

/// Days as they are remembered.
pub(super) fn read_unfolded(value: &[u8]) -> std::result::Result<BTreeSet<u32>, Damaged> {
    let payload = super::codec::open(value)?;
    let mut from = Reader::new(&payload);
    let mut days = BTreeSet::new();
    while !from.is_done() {
        days.insert(from.varint_u32()?);
    }
    Ok(days)
}
