//! Taking scrapes and back-filled buckets, and knowing which series there are.
//!
//! For: the writing half of the history, and the questions that memory answers. Not for: reading
//! ranges (`window`), sealing (`seal`), dropping (`retention`). Read [`History::append`] first.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::barrier::Database;
use super::bulk;
use super::carry::Coming;
use super::catalogue::{Catalogue, Series, SeriesId};
use super::codec;
use super::commit::Commits;
use super::databases::Databases;
use super::definition::put_key;
use super::frame::{self, Frame, Packed};
use super::intern::Names;
use super::keys::{self, CATALOGUE, META, SEALED, SYNTHETIC, TIME_END, UNFOLDED};
use super::op::Op;
use super::recovery::{Opened, load_catalogue, load_synthetic, recover};
use super::retention::Retention;
use super::rollup::{Bucket, Tier};
use super::rotation::{Filling, Sealed};
use super::seal::Upkeep;
use super::segment::Segment;
use super::selector::Selector;
use super::sketches::Observed;
use super::tiers::read_unfolded;
use super::wal::{self, Found, Log};
use super::{Error, Options, Result};
use crate::model::capacity::SyntheticSpan;
use crate::model::series::{Kind, SampleSink, Scrape, SeriesKey};
use crate::model::units::{Millis, Timestamp};

/// A series without a value for so long no longer counts against the limit.
pub(super) const LIVE: Millis = Millis::DAY;
/// What became of a scrape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Appended {
    /// Samples that were kept.
    pub accepted: usize,
    /// Samples of new series that were refused, because there are too many series.
    pub refused_series: usize,
}

/// All samples and rollups of a store.
#[derive(Debug)]
pub struct History {
    pub(super) options: Options,
    pub(super) control: Arc<Database>,
    pub(super) databases: Databases,
    pub(super) upkeep: Mutex<Upkeep>,
    pub(super) observed: Observed,
    head: RwLock<Head>,
    logs: PathBuf,
    opened: Opened,
    /// Days whose hours are behind their five minutes.
    pub(super) unfolded: Mutex<BTreeSet<u32>>,
    /// The log did not reach the disk once: what it holds is to be sealed from memory.
    pub(super) suspect: AtomicBool,
    /// Number of the last log that was sealed; 0 before the first.
    pub(super) sealed_log: AtomicU32,
    pub(super) filling: Mutex<Filling>,
    pub(super) sealed: Sealed,
    pub(super) commits: Commits,
    pub(super) names: RwLock<Names>,
}

/// What lies in memory.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) catalogue: Catalogue,
    /// Logs that are closed and not yet sealed, oldest first.
    pub(super) closed: Vec<Arc<Segment>>,
    pub(super) open: Segment,
    pub(super) log: Log,
    synthetic: BTreeMap<u32, SyntheticSpan>,
}

impl Head {
    /// The log that is being written.
    pub(super) fn log(&mut self) -> &mut Log {
        &mut self.log
    }

    /// Bytes that closed logs take in memory, about.
    pub(super) fn closed_room(&self) -> usize {
        self.closed.iter().map(|segment| segment.room()).sum()
    }

    /// All segments, oldest first.
    pub(super) fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.closed
            .iter()
            .map(Arc::as_ref)
            .chain(std::iter::once(&self.open))
    }

    /// Numbers of the series of a scrape with their values; new ones are defined while there is room.
    fn resolve(&mut self, target: u32, scrape: &Scrape, max_series: usize) -> Vec<(u32, f64)> {
        let mut key = Vec::new();
        let mut values = Vec::with_capacity(scrape.samples.len());
        let mut live = None;
        for sample in &scrape.samples {
            key.clear();
            put_key(&mut key, &sample.series);
            let id = self.catalogue.find(target, &key).or_else(|| {
                let since = scrape.at.minus(LIVE.as_duration());
                let live = live.get_or_insert_with(|| self.catalogue.live(since));
                let has_room = self.catalogue.room(*live, max_series) > 0;
                *live += usize::from(has_room);
                let kind = (sample.kind, sample.resolution);
                has_room.then(|| self.catalogue.define(target, &key, kind))?
            });
            values.extend(id.map(|id| (id, rounded(sample.value, sample.resolution))));
        }
        values
    }
}

impl History {
    pub(super) fn open(options: Options, control: Arc<Database>) -> Result<Self> {
        let logs = options.dir.join("wal");
        fs::create_dir_all(&logs).map_err(|e| Error::io(&logs, e))?;
        let mut catalogue = load_catalogue(&control, &options.dir)?;
        let synthetic = load_synthetic(&control, &options.dir)?;
        let sealed = control
            .get(META, SEALED)?
            .and_then(|bytes| bytes.try_into().ok().map(u32::from_be_bytes));
        let unfolded = match control.get(META, UNFOLDED)? {
            Some(value) => read_unfolded(&value).map_err(|damage| control.damaged(damage))?,
            None => BTreeSet::new(),
        };
        let mut opened = Opened::default();
        let mut segments: Vec<(Segment, Found)> = Vec::new();
        let mut next = sealed.map_or(1, |sealed| sealed.saturating_add(1));
        for number in wal::numbers(&logs)? {
            if sealed.is_some_and(|sealed| number <= sealed) {
                wal::remove(&logs, number)?;
                continue;
            }
            let (segment, found) = recover(&logs, number, &mut catalogue, &mut opened)?;
            next = number.saturating_add(1);
            segments.push((segment, found));
        }
        let (open, log) = match segments.pop() {
            Some((segment, found)) if found.good > 0 => {
                let log = Log::resume(&logs, segment.number, found)?;
                (segment, log)
            }
            // A log whose very head is cut holds nothing; its copy was kept.
            Some((segment, _)) => {
                wal::remove(&logs, segment.number)?;
                let log = Log::create(&logs, segment.number)?;
                (segment, log)
            }
            None => (Segment::new(next), Log::create(&logs, next)?),
        };
        let databases = Databases::in_folder(&options.dir)?;
        bulk::undo(&control, &databases, sealed.unwrap_or(0))?;
        Ok(Self {
            databases,
            options,
            control,
            upkeep: Mutex::default(),
            observed: Observed::default(),
            head: RwLock::new(Head {
                catalogue,
                closed: segments.into_iter().map(|(s, _)| Arc::new(s)).collect(),
                open,
                log,
                synthetic,
            }),
            logs,
            opened,
            unfolded: Mutex::new(unfolded),
            suspect: AtomicBool::new(false),
            sealed_log: AtomicU32::new(sealed.unwrap_or(0)),
            filling: Mutex::default(),
            sealed: Sealed::default(),
            commits: Commits::default(),
            names: RwLock::default(),
        })
    }

    pub(super) fn head(&self) -> RwLockReadGuard<'_, Head> {
        self.head.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn head_mut(&self) -> RwLockWriteGuard<'_, Head> {
        self.head.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of the last log that was sealed.
    pub(super) fn sealed_upto(&self) -> u32 {
        self.sealed_log.load(Ordering::Acquire)
    }

    pub(super) fn logs(&self) -> &Path {
        &self.logs
    }

    /// How long what is kept.
    pub fn retention(&self) -> Retention {
        self.options.retention
    }

    pub(super) fn opened(&self) -> Opened {
        self.opened
    }

    /// Keeps a scrape: in the log (safe from the death of the process at once, from a loss of power
    /// after the next tick or sync) and in memory.
    ///
    /// A scrape may come late or out of order; of two at one instant the later one stays. Values
    /// are kept bit for bit, NaN and infinities included.
    ///
    /// # Errors
    /// [`Error::Time`] outside 1970 to 9998; [`Error::DiskFull`] or [`Error::Io`] if it cannot be
    /// written: then this scrape is refused as a whole, and the next one is tried anew.
    pub fn append(&self, scrape: &Scrape) -> Result<Appended> {
        let coming = Coming::of(scrape.at, scrape.at).ok_or(Error::Time(scrape.at))?;
        let mut head = self.head_mut();
        let is_newer = head.open.begun.is_some_and(|begun| coming.span > begun);
        // Scrapes come in order; who pushes into the same log may be late.
        let is_over = is_newer && !head.open.is_pushed();
        if is_over || head.is_full(Some(coming), self.options.retention.log_max()) {
            self.rotate_before(&mut head, coming)?;
        }
        let target = head.catalogue.target_or_new(&scrape.target)?;
        let values = head.resolve(target, scrape, self.options.max_series);
        let packed = Packed {
            target,
            at: scrape.at,
            samples: head.open.pack(&values),
        };
        let mut frames = Vec::with_capacity(packed.samples.len() * 4 + 64);
        head.catalogue.announce(&mut frames);
        let frame = Frame::Scrape(packed);
        frame::put_frame(&mut frames, &frame);
        if let Err(error) = head.log.append(&frames) {
            if let Frame::Scrape(packed) = &frame {
                head.open.undo(&packed.samples);
            }
            return Err(error);
        }
        head.catalogue.announced();
        head.open
            .take(target, scrape.at, &values)
            .map_err(|damage| Error::damaged(&self.logs, damage))?;
        for (id, value) in &values {
            head.catalogue.note(*id, scrape.at, *value);
        }
        Ok(Appended {
            accepted: values.len(),
            refused_series: scrape.samples.len() - values.len(),
        })
    }

    /// Brings the open log to the disk. Closed ones wait for their seal, which has its own barrier.
    pub(super) fn sync_log(&self) -> Result<()> {
        let files = {
            let head = self.head();
            let mut files = vec![head.log.file()];
            for segment in &head.closed {
                let path = wal::path_of(&self.logs, segment.number);
                let file = fs::File::open(&path).map_err(|e| Error::io(&path, e))?;
                files.push((Arc::new(file), path));
            }
            files
        };
        for (file, path) in files {
            if let Err(error) = file.sync_data() {
                self.suspect.store(true, Ordering::Release);
                return Err(Error::io(&path, error));
            }
        }
        Ok(())
    }

    pub(super) fn barrier(&self) -> Result<()> {
        self.databases.barrier()
    }

    /// Stores the definitions that only the logs hold, past the barrier: a chunk must never name a
    /// series that could be forgotten.
    pub(super) fn store_definitions(&self) -> Result<()> {
        let (unstored, ops) = {
            let mut head = self.head_mut();
            let unstored = head.catalogue.take_unstored();
            let ops = head.catalogue.definitions(&unstored);
            (unstored, ops)
        };
        if unstored.is_empty() {
            return Ok(());
        }
        let stored = self
            .control
            .write_in_order(CATALOGUE, ops)
            .and_then(|()| self.control.barrier());
        if stored.is_err() {
            self.head_mut().catalogue.give_back(unstored);
        }
        stored
    }

    /// Writes buckets of one series straight into a tier; those at the same instants are replaced.
    ///
    /// Buckets of 5 min are folded into the 1 h tier as well. Past the barrier after the next
    /// [`super::Store::close`] or seal, or when [`History::settle`] returns.
    ///
    /// # Errors
    /// [`Error::Bucket`] if they do not ascend or lie off the tier's step, [`Error::Time`] outside
    /// 1970 to 9998, else what the disk says; then earlier spans may be written and later ones not.
    pub fn append_rollups(
        &self,
        target: &str,
        tier: Tier,
        key: &SeriesKey,
        kind: Kind,
        buckets: &[Bucket],
    ) -> Result<SeriesId> {
        check_buckets(tier, buckets)?;
        let id = {
            let mut head = self.head_mut();
            let number = head.catalogue.target_or_new(target)?;
            let mut written = Vec::new();
            put_key(&mut written, key);
            let known = head.catalogue.find(number, &written);
            known
                .or_else(|| head.catalogue.define(number, &written, (kind, None)))
                .ok_or(Error::TooManyTargets {
                    limit: keys::TARGETS_MAX,
                })?
        };
        self.store_definitions()?;
        self.write_buckets(id, tier, buckets)?;
        if let Some(last) = buckets.last() {
            self.head_mut().catalogue.note(id, last.at, last.last);
        }
        Ok(SeriesId(id))
    }

    /// Returns when everything that was back-filled would survive a loss of power.
    ///
    /// # Errors
    /// What the disk says.
    pub fn settle(&self) -> Result<()> {
        self.store_last_values()?;
        self.control.barrier()?;
        self.databases.barrier()?;
        self.databases.close_idle();
        Ok(())
    }

    /// Notes that a target's history is made up within `span`; returns past the barrier.
    ///
    /// # Errors
    /// What the disk says.
    pub fn mark_synthetic(&self, target: &str, span: SyntheticSpan) -> Result<()> {
        let id = self.head_mut().catalogue.target_or_new(target)?;
        self.store_definitions()?;
        let value = [span.from, span.until]
            .map(|at| at.as_millis().to_le_bytes())
            .concat();
        let op = Op::put(id.to_be_bytes(), codec::seal(&value));
        self.control.write(SYNTHETIC, vec![op])?;
        self.control.barrier()?;
        self.head_mut().synthetic.insert(id, span);
        Ok(())
    }

    /// Where a target's history is made up, if anywhere.
    pub fn synthetic(&self, target: &str) -> Option<SyntheticSpan> {
        let head = self.head();
        let id = head.catalogue.target(target)?;
        head.synthetic.get(&id).copied()
    }

    /// Names of all targets that were ever seen.
    pub fn targets(&self) -> Vec<String> {
        self.head().catalogue.targets()
    }

    /// All series that match, oldest first.
    pub fn series(&self, selector: &Selector) -> Vec<Series> {
        self.head().catalogue.select(selector)
    }

    /// The last value of each series that matches, with its instant; from memory.
    pub fn last(&self, selector: &Selector) -> Vec<(Series, Timestamp, f64)> {
        let head = self.head();
        head.catalogue
            .select(selector)
            .into_iter()
            .filter_map(|series| {
                let (at, value) = head.catalogue.last(series.id.0)?;
                Some((series, at, value))
            })
            .collect()
    }
}

impl SampleSink for History {
    fn take(
        &self,
        scrape: &Scrape,
    ) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.append(scrape)?;
        Ok(())
    }
}

/// A value as exact as its metric declares; what is finer is not kept.
///
/// Units of 1/n are counted in n, so that 0.1 comes back as 0.1. Too large for its resolution to
/// matter, NaN and infinite values stay as they are.
pub(super) fn rounded(value: f64, resolution: Option<f64>) -> f64 {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let Some(unit) = resolution.filter(|unit| unit.is_finite() && *unit > 0.0) else {
        return value;
    };
    let inverse = (1.0 / unit).round();
    let is_fraction = unit < 1.0 && (inverse * unit - 1.0).abs() < 1e-9;
    let count = if is_fraction {
        value * inverse
    } else {
        value / unit
    };
    if count.is_nan() || count.abs() > EXACT_MAX {
        value
    } else if is_fraction {
        count.round() / inverse
    } else {
        count.round() * unit
    }
}

pub(super) fn check_buckets(tier: Tier, buckets: &[Bucket]) -> Result<()> {
    let mut before = None;
    for bucket in buckets {
        if !(0..TIME_END).contains(&bucket.at.as_millis()) {
            return Err(Error::Time(bucket.at));
        }
        let aligned = bucket.at.floor_to(tier.step()) == bucket.at;
        if !aligned || before.is_some_and(|before| before >= bucket.at) {
            return Err(Error::Bucket(bucket.at));
        }
        before = Some(bucket.at);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_rounded_to_what_is_declared() {
        let cases = [
            (1e-6, 0.123_456_789, 0.123_457),
            (0.1, 0.25, 0.3),
            (1.0, 2.5e15, 2.5e15),
            (8_192.0, 8_000.0, 8_192.0),
        ];
        for (unit, value, expected) in cases {
            let kept = rounded(value, Some(unit));
            assert_eq!(kept.to_bits(), f64::to_bits(expected), "{value} to {unit}");
        }
        let plain = rounded(0.123_456_789, None);
        assert_eq!(plain.to_bits(), 0.123_456_789f64.to_bits());
    }

    #[test]
    fn what_cannot_be_rounded_stays() {
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, f64::MAX] {
            let kept = rounded(odd, Some(1e-6));
            assert_eq!(kept.to_bits(), odd.to_bits());
        }
        for unit in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(rounded(0.3, Some(unit)).to_bits(), 0.3f64.to_bits());
        }
    }
}
