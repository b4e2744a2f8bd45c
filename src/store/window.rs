//! Reading: raw ranges, and evenly spaced windows from the tier that fits.
//!
//! For: everything that asks for values in time. Not for: last values, which memory answers
//! (`history`). Read [`History::window`] first.
//!
//! Which tier answers: the coarsest whose step divides the step asked for. Everything raw is also
//! in the rollups as soon as it is sealed, and what is not sealed is folded on reading, so the
//! coarse tiers are never behind. Where a finer tier is gone or never was (back-filled history), a
//! coarser one fills in with its own value over each of its steps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::barrier::Database;
use super::buckets::read_buckets;
use super::catalogue::SeriesId;
use super::gather::read_group;
use super::history::History;
use super::keys::{self, DATA, DAY_SPAN, GROUP, SPAN, SPANS_A_DAY};
use super::rollup::{self, Bucket, GAP, Tier};
use super::segment::settle;
use super::tiers::part_of;
use super::{Error, Result};
use crate::model::series::{Kind, Window};
use crate::model::units::{Millis, Timestamp};

/// Steps of the longest window: a month of seconds does not belong into one answer.
const STEPS_MAX: u64 = 1_000_000;

/// What the values of a step come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fold {
    /// Arithmetic mean.
    Mean,
    /// Least value.
    Min,
    /// Largest value.
    Max,
    /// Last value.
    Last,
    /// Sum of the values.
    Sum,
    /// How many values there are.
    Count,
    /// What a counter grew by, resets understood, gaps left out.
    Increase,
    /// What a counter grew by in a second, over the time that was seen.
    Rate,
}

impl Fold {
    const fn is_of_counters(self) -> bool {
        matches!(self, Self::Increase | Self::Rate)
    }

    /// Whether rollups of a counter cannot tell: there `sum` is what it grew by.
    const fn needs_values(self) -> bool {
        matches!(self, Self::Mean | Self::Sum)
    }

    /// Whether the value of a long step is also the best that can be said of a part of it.
    const fn is_a_level(self) -> bool {
        !matches!(self, Self::Sum | Self::Count | Self::Increase)
    }

    fn of(self, bucket: &Bucket) -> f64 {
        let seen = bucket.covered.0 > 0;
        match self {
            Self::Mean => bucket.sum / bucket.count as f64,
            Self::Min => bucket.min,
            Self::Max => bucket.max,
            Self::Last => bucket.last,
            Self::Sum => bucket.sum,
            Self::Count => bucket.count as f64,
            Self::Increase if seen => bucket.sum,
            Self::Rate if seen => bucket.sum / bucket.covered.as_duration().as_secs_f64(),
            Self::Increase | Self::Rate => f64::NAN,
        }
    }
}

/// A part: its name, what it covers, and itself.
pub(super) type Part = (String, (Timestamp, Timestamp), Arc<Database>);

/// What is asked of one series.
#[derive(Debug, Clone, Copy)]
struct Ask {
    id: u32,
    target: u32,
    kind: Kind,
}

impl Ask {
    fn group(&self) -> u32 {
        self.id / GROUP
    }

    fn member(&self) -> u8 {
        u8::try_from(self.id % GROUP).unwrap_or(0)
    }
}

impl History {
    fn ask(&self, id: SeriesId) -> Result<Ask> {
        let owner = self.head().catalogue.owner(id.0);
        let (target, kind) = owner.ok_or(Error::NoSuchSeries(id))?;
        Ok(Ask {
            id: id.0,
            target,
            kind,
        })
    }

    /// Samples of a series from `from` up to, but without, `until`; ascending, bit for bit.
    ///
    /// # Errors
    /// [`Error::NoSuchSeries`], or what the disk says.
    pub fn raw(
        &self,
        id: SeriesId,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<(Timestamp, f64)>> {
        let ask = self.ask(id)?;
        let samples = self.samples(&ask, from, until)?;
        Ok(samples
            .into_iter()
            .map(|(at, value)| (Timestamp::from_millis(at), value))
            .collect())
    }

    /// Buckets that a tier holds of a series, what is not yet sealed included; ascending.
    ///
    /// # Errors
    /// [`Error::NoSuchSeries`], or what the disk says.
    pub fn rollups(
        &self,
        id: SeriesId,
        tier: Tier,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Bucket>> {
        let ask = self.ask(id)?;
        self.buckets(&ask, tier, from, until)
    }

    /// A series in even steps from `from` (floored to the step) to `until` (raised to it).
    ///
    /// Steps are multiples of `step` since 1970. A step without values is NaN. A counter's growth
    /// belongs to the step of the later of two values; across a gap ([`GAP`]) nothing is said. Sum,
    /// count and increase are never spread over steps finer than what is kept.
    ///
    /// # Errors
    /// [`Error::Steps`] for no step or too many, [`Error::NotACounter`], [`Error::NoSuchSeries`],
    /// else what the disk says.
    pub fn window(
        &self,
        id: SeriesId,
        from: Timestamp,
        until: Timestamp,
        step: Millis,
        fold: Fold,
    ) -> Result<Window> {
        let ask = self.ask(id)?;
        if fold.is_of_counters() && ask.kind == Kind::Gauge {
            let key = self.head().catalogue.series(id.0).map(|series| series.key);
            return Err(Error::NotACounter(
                key.map_or_else(String::new, |key| key.to_string()),
            ));
        }
        let start = from.floor_to(step);
        let range = u64::try_from(until.since(start).as_millis()).unwrap_or(u64::MAX);
        let steps = range
            .checked_div(step.0)
            .map_or(0, |_| range.div_ceil(step.0));
        if steps == 0 || steps > STEPS_MAX {
            return Err(Error::Steps {
                steps,
                limit: STEPS_MAX,
            });
        }
        let mut window = Window {
            start,
            step,
            values: vec![f64::NAN; usize::try_from(steps).unwrap_or(0)],
        };
        let end = window.end();
        let by_values = ask.kind == Kind::Counter && fold.needs_values();
        let tiers = [Tier::FiveMinutes, Tier::Hour];
        let exact = tiers
            .into_iter()
            .rev()
            .find(|tier| !by_values && step.0.is_multiple_of(tier.step().0));
        let buckets = match exact {
            Some(tier) => rollup::coarsen(&self.buckets(&ask, tier, start, end)?, step),
            None => self.folded(&ask, start, end, step, by_values)?,
        };
        for bucket in &buckets {
            put(&mut window, bucket.at, fold.of(bucket));
        }
        let coarser = tiers.into_iter().filter(|tier| {
            fold.is_a_level() && !by_values && exact.is_none_or(|exact| *tier > exact)
        });
        let mut known: Vec<Timestamp> = buckets.iter().map(|bucket| bucket.at).collect();
        for tier in coarser {
            let missing = window.values.iter().any(|value| value.is_nan());
            if missing && tier.step() > step {
                self.fill(&ask, tier, &mut window, &mut known, fold)?;
            }
        }
        Ok(window)
    }

    /// Raw samples folded into steps of any length.
    fn folded(
        &self,
        ask: &Ask,
        start: Timestamp,
        end: Timestamp,
        step: Millis,
        by_values: bool,
    ) -> Result<Vec<Bucket>> {
        let kind = if by_values { Kind::Gauge } else { ask.kind };
        let lead = match kind {
            Kind::Counter => start.minus(GAP.as_duration()),
            Kind::Gauge => start,
        };
        let samples = self.samples(ask, lead, end)?;
        let mut buckets = rollup::fold(&samples, kind, None, step);
        buckets.retain(|bucket| bucket.at >= start);
        Ok(buckets)
    }

    /// Fills steps from a coarser tier, where nothing finer is known of its whole bucket.
    fn fill(
        &self,
        ask: &Ask,
        tier: Tier,
        window: &mut Window,
        known: &mut Vec<Timestamp>,
        fold: Fold,
    ) -> Result<()> {
        let (start, end) = (window.start.floor_to(tier.step()), window.end());
        let buckets = self.buckets(ask, tier, start, end)?;
        let instants: Vec<Timestamp> = buckets.iter().map(|bucket| bucket.at).collect();
        for bucket in buckets {
            let until = bucket.at.plus(tier.step().as_duration());
            let first = known.partition_point(|finer| *finer < bucket.at);
            if known.get(first).is_some_and(|finer| *finer < until) {
                continue;
            }
            let value = fold.of(&bucket);
            let mut at = bucket.at.max(window.start);
            while at < until.min(end) {
                if get(window, at).is_some_and(f64::is_nan) {
                    put(window, at, value);
                }
                at = at.plus(window.step.as_duration());
            }
        }
        known.extend(instants);
        known.sort_unstable();
        Ok(())
    }

    /// Samples from memory and disk, ascending, one an instant.
    fn samples(&self, ask: &Ask, from: Timestamp, until: Timestamp) -> Result<Vec<(i64, f64)>> {
        // Memory before disk: what is being sealed meanwhile is then seen twice, never not at all.
        let memory = self.in_memory(ask, from, until);
        let mut all = Vec::new();
        for (_, (start, end), database) in self.parts("raw-", from, until)? {
            let last = end.min(until).minus(Millis(1).as_duration());
            let (Some(first), Some(last)) = (
                keys::span_of(start.max(from), SPAN),
                keys::span_of(last, SPAN),
            ) else {
                continue;
            };
            for span in first..=last {
                let is_it = |member| member == ask.member();
                let place = (span, ask.group());
                let mut group =
                    read_group(&database, ask.target, place, self.sealed_upto(), is_it)?;
                all.extend(group.remove(&ask.member()).unwrap_or_default());
            }
        }
        all.extend(memory.into_values().flatten());
        all.retain(|(at, _)| (from.as_millis()..until.as_millis()).contains(at));
        Ok(settle(all))
    }

    /// Spans that may hold raw samples, sealed or not, ascending.
    pub(super) fn raw_spans(&self) -> Result<BTreeSet<u32>> {
        let mut spans: BTreeSet<u32> = {
            let head = self.head();
            head.segments()
                .flat_map(|s| s.all().map(|(span, ..)| span))
                .collect()
        };
        for name in self.databases.names()? {
            let bounds = keys::part_bounds(&name).filter(|_| name.starts_with("raw-"));
            let first = bounds.and_then(|(start, _)| keys::span_of(start, SPAN));
            spans.extend(
                first
                    .into_iter()
                    .flat_map(|first| first..first + SPANS_A_DAY),
            );
        }
        Ok(spans)
    }

    /// Months or years that may hold buckets of a tier, sealed or not, ascending.
    pub(super) fn rollup_ranges(&self, tier: Tier) -> Result<BTreeSet<(Timestamp, Timestamp)>> {
        let bounds = |name: &str| keys::part_bounds(name);
        let mut ranges: BTreeSet<(Timestamp, Timestamp)> = self
            .databases
            .names()?
            .iter()
            .filter(|name| name.starts_with(prefix(tier)))
            .filter_map(|name| bounds(name))
            .collect();
        if tier == Tier::Hour {
            for day in self.unfolded() {
                ranges.extend(bounds(&part_of(tier, keys::span_start(day, DAY_SPAN))));
            }
        }
        let head = self.head();
        for span in head.segments().flat_map(|s| s.all().map(|(span, ..)| span)) {
            ranges.extend(bounds(&part_of(tier, keys::span_start(span, SPAN))));
        }
        Ok(ranges)
    }

    /// Values that are not yet sealed, by span, in the order of arrival.
    fn in_memory(
        &self,
        ask: &Ask,
        from: Timestamp,
        until: Timestamp,
    ) -> BTreeMap<u32, Vec<(i64, f64)>> {
        let head = self.head();
        let mut spans: BTreeMap<u32, Vec<(i64, f64)>> = BTreeMap::new();
        for segment in head.segments() {
            for span in segment.spans(ask.target) {
                let start = keys::span_start(span, SPAN);
                if start < until && start.plus(SPAN.as_duration()) > from {
                    let values = segment.values(span, ask.target, ask.id);
                    if !values.is_empty() {
                        spans.entry(span).or_default().extend(values);
                    }
                }
            }
        }
        spans
    }

    /// Parts of a kind that touch a range, oldest first, with what they cover.
    pub(super) fn parts(
        &self,
        prefix: &str,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        for name in self.databases.names()? {
            if let Some((start, end)) = keys::part_bounds(&name)
                && name.starts_with(prefix)
                && end > from
                && start < until
                && let Some(database) = self.databases.find(&name)?
            {
                parts.push((name, (start, end), database));
            }
        }
        Ok(parts)
    }

    /// Buckets of a tier, with what is not yet sealed folded over them.
    fn buckets(
        &self,
        ask: &Ask,
        tier: Tier,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Bucket>> {
        let memory = self.in_memory(ask, from, until);
        let mut all = self.sealed(ask, tier, from, until)?;
        for span in memory.into_keys() {
            let start = keys::span_start(span, SPAN);
            let end = start.plus(SPAN.as_duration());
            let lead = start.minus(GAP.as_duration());
            let samples = self.samples(ask, lead, end)?;
            let split = samples.partition_point(|(at, _)| *at < start.as_millis());
            let (earlier, within) = samples.split_at(split);
            let new = rollup::fold(
                within,
                ask.kind,
                earlier.last().copied(),
                Tier::FiveMinutes.step(),
            );
            let new = match tier {
                Tier::FiveMinutes => new,
                Tier::Hour => {
                    let fine = self.sealed(ask, Tier::FiveMinutes, start, end)?;
                    rollup::coarsen(&rollup::overlay(fine, new), Tier::Hour.step())
                }
            };
            let new = rollup::no_less(&all, new);
            all = rollup::overlay(all, new);
        }
        all.retain(|bucket| bucket.at >= from.floor_to(tier.step()) && bucket.at < until);
        Ok(all)
    }

    /// Buckets of a tier that are sealed: as they lie on disk, and the hours of unfolded days.
    fn sealed(
        &self,
        ask: &Ask,
        tier: Tier,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Bucket>> {
        let mut all = self.stored(ask, tier, from, until)?;
        if tier == Tier::Hour {
            for day in self.unfolded() {
                let start = keys::span_start(day, DAY_SPAN);
                let end = keys::span_start(day.saturating_add(1), DAY_SPAN);
                if start < until && end > from {
                    let fine = self.stored(ask, Tier::FiveMinutes, start, end)?;
                    let hours = rollup::coarsen(&fine, Tier::Hour.step());
                    all = rollup::overlay(all, hours);
                }
            }
            all.retain(|bucket| bucket.at >= from.floor_to(tier.step()) && bucket.at < until);
        }
        Ok(all)
    }

    /// Buckets of a tier as they lie on disk.
    fn stored(
        &self,
        ask: &Ask,
        tier: Tier,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Bucket>> {
        let mut all = Vec::new();
        for (_, (start, end), database) in self.parts(prefix(tier), from, until)? {
            let len = tier.span();
            let last = end.min(until).minus(Millis(1).as_duration());
            let (Some(first), Some(last)) = (
                keys::span_of(start.max(from.floor_to(len)), len),
                keys::span_of(last, len),
            ) else {
                continue;
            };
            for span in first..=last {
                let start = keys::span_start(span, len);
                let key = keys::group_key(span, ask.group());
                let value = database.get(DATA, &key)?.unwrap_or_default();
                if value.is_empty() {
                    continue;
                }
                let is_it = |member| member == ask.member();
                let mut members = read_buckets(&value, start, tier.step(), is_it)
                    .map_err(|damage| database.damaged(damage))?;
                all.extend(members.remove(&ask.member()).unwrap_or_default());
            }
        }
        all.retain(|bucket: &Bucket| bucket.at >= from.floor_to(tier.step()) && bucket.at < until);
        Ok(all)
    }
}

/// How the names of a tier's parts begin.
pub(super) const fn prefix(tier: Tier) -> &'static str {
    match tier {
        Tier::FiveMinutes => "r5m-",
        Tier::Hour => "r1h-",
    }
}

fn get(window: &Window, at: Timestamp) -> Option<f64> {
    window.values.get(place_in(window, at)?).copied()
}

fn put(window: &mut Window, at: Timestamp, value: f64) {
    if let Some(place) = place_in(window, at)
        && let Some(slot) = window.values.get_mut(place)
    {
        *slot = value;
    }
}

fn place_in(window: &Window, at: Timestamp) -> Option<usize> {
    let offset = at.as_millis().checked_sub(window.start.as_millis())?;
    usize::try_from(u64::try_from(offset).ok()? / window.step.0).ok()
}
