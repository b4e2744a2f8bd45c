//! Taking pushed samples: many series, each with instants of its own, in one frame of the log.
//!
//! For: what others send (remote write, lines of a file). Not for: what was scraped here
//! (`history`), nor for whole files into a store at rest (`bulk`). Read [`Batch`] first.

use std::borrow::Cow;
use std::ops::Range;

use super::carry::Coming;
use super::catalogue::SeriesId;
use super::frame;
use super::history::{Head, History, rounded};
use super::keys::TIME_END;
use super::segment::Segment;
use super::{Error, Result};
use crate::model::units::Timestamp;

/// Samples that one batch takes at most: 16 bytes each in memory.
pub const BATCH_MAX: usize = 1 << 20;

/// Samples of one series: a part of the batch's instants and of its values.
#[derive(Debug, Clone, Copy)]
struct Run {
    id: u32,
    times: (usize, usize),
    values: usize,
}

impl Run {
    /// Where its values lie.
    fn values(&self) -> Range<usize> {
        self.values..self.values + (self.times.1 - self.times.0)
    }
}

/// Samples that are pushed together.
///
/// Begin each series with its samples ([`Batch::sample`]), then say whose they were
/// ([`Batch::keep`]) or that nobody wants them ([`Batch::discard`]). Instants need not ascend; of
/// two samples of a series at one instant, the later one in the batch stays.
#[derive(Debug, Default)]
pub struct Batch {
    runs: Vec<Run>,
    times: Vec<i64>,
    values: Vec<f64>,
    /// Where the run under way begins.
    begun: (usize, usize),
}

impl Batch {
    /// Takes one sample of the series under way; whether it lies in the times that can be kept,
    /// 1970 to 9998.
    pub fn sample(&mut self, at_ms: i64, value: f64) -> bool {
        let fits = (0..TIME_END).contains(&at_ms);
        if fits {
            self.times.push(at_ms);
            self.values.push(value);
        }
        fits
    }

    /// How many samples the series under way has.
    pub fn pending(&self) -> usize {
        self.values.len() - self.begun.1
    }

    /// Ends the series under way: its samples are those of `id`.
    pub fn keep(&mut self, id: SeriesId) {
        let (from, values) = self.begun;
        if self.values.len() > values {
            let mut times = (from, self.times.len());
            if let Some(before) = self.runs.last()
                && self.times.get(before.times.0..before.times.1) == self.times.get(from..)
            {
                times = before.times;
                self.times.truncate(from);
            }
            self.runs.push(Run {
                id: id.0,
                times,
                values,
            });
        }
        self.begun = (self.times.len(), self.values.len());
    }

    /// Ends the series under way without its samples.
    pub fn discard(&mut self) {
        self.times.truncate(self.begun.0);
        self.values.truncate(self.begun.1);
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether it has [`BATCH_MAX`] samples: it should be pushed before it takes more.
    pub fn is_full(&self) -> bool {
        self.values.len() >= BATCH_MAX
    }

    /// Takes out everything, so that the room can be used again.
    pub fn clear(&mut self) {
        self.runs.clear();
        self.times.clear();
        self.values.clear();
        self.begun = (0, 0);
    }

    fn times(&self, run: &Run) -> &[i64] {
        self.times.get(run.times.0..run.times.1).unwrap_or_default()
    }

    /// Values as exact as their series declare.
    fn rounded(&self, head: &Head) -> Cow<'_, [f64]> {
        let mut values = Cow::Borrowed(self.values.as_slice());
        for run in &self.runs {
            let resolution = head.catalogue.resolution(run.id);
            if resolution.is_some()
                && let Some(of_run) = values.to_mut().get_mut(run.values())
            {
                for value in of_run {
                    *value = rounded(*value, resolution);
                }
            }
        }
        values
    }

    /// Where in time it lies.
    fn coming(&self) -> Option<Coming> {
        let (oldest, newest) = (self.times.iter().min()?, self.times.iter().max()?);
        Coming::of(
            Timestamp::from_millis(*oldest),
            Timestamp::from_millis(*newest),
        )
    }

    /// All values, series by series.
    pub(super) fn values(&self) -> &[f64] {
        &self.values
    }
}

/// A push that is in the log; [`History::commit`] says when it is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it may be acknowledged only after a commit"]
pub struct Pushed {
    /// Samples that were kept.
    pub samples: u64,
    pub(super) mark: u64,
}

impl History {
    /// Keeps a batch: in the log, and in memory, where it can be read at once. All of it or nothing.
    ///
    /// Samples may be late or out of order; of two at one instant the one that came later stays.
    /// Values are kept bit for bit, or as exact as their series declares. It survives the death of the process at once, a loss of power
    /// after [`History::commit`].
    ///
    /// # Errors
    /// [`Error::NoSuchSeries`]; [`Error::Behind`] while too much waits to be sealed;
    /// [`Error::DiskFull`] or [`Error::Io`] if it cannot be written.
    pub fn push(&self, batch: &Batch) -> Result<Pushed> {
        let coming = batch.coming();
        self.await_seals(coming);
        let mut head = self.head_mut();
        let mut targets = Vec::with_capacity(batch.runs.len());
        for run in &batch.runs {
            let owner = head.catalogue.owner(run.id);
            let (target, _) = owner.ok_or(Error::NoSuchSeries(SeriesId(run.id)))?;
            targets.push(target);
        }
        self.make_way(&mut head, coming)?;
        let mut frames = Vec::with_capacity(batch.len() * 4 + 64);
        head.catalogue.announce(&mut frames);
        let values = batch.rounded(&head);
        let before = put_push(&mut frames, &mut head.open, batch, &values);
        if let Err(error) = head.log().append(&frames) {
            for (id, bits) in before.into_iter().rev() {
                head.open.set_bits(id, bits);
            }
            return Err(error);
        }
        head.catalogue.announced();
        for (run, target) in batch.runs.iter().zip(targets) {
            let of_run = values.get(run.values()).unwrap_or_default();
            let samples = batch.times(run).iter().zip(of_run);
            let samples = samples.map(|(at, value)| (*at, *value));
            head.open
                .take_run(target, run.id, samples.clone())
                .map_err(|damage| Error::damaged(self.logs(), damage))?;
            if let Some((at, value)) = samples.rev().max_by_key(|(at, _)| *at) {
                head.catalogue
                    .note(run.id, Timestamp::from_millis(at), value);
            }
        }
        Ok(Pushed {
            samples: batch.len() as u64,
            mark: self.commits.appended(),
        })
    }

    /// Closes the open log where its time is over or it is no longer trusted.
    fn make_way(&self, head: &mut Head, coming: Option<Coming>) -> Result<()> {
        let log_max = self.options.retention.log_max();
        let is_long = head.log().len() > log_max;
        // A log of this length takes seconds to seal, and what comes meanwhile lies in memory.
        if is_long && !head.closed.is_empty() {
            return Err(Error::Behind);
        }
        if let Some(coming) = coming.filter(|coming| head.is_full(Some(*coming), log_max)) {
            self.rotate_before(head, coming)?;
        }
        self.leave_suspect(head)?;
        if let Some(coming) = coming.filter(|_| head.open.is_empty()) {
            head.open.begin(coming.span);
        }
        Ok(())
    }
}

/// Writes a batch as a frame; returns the bits of each series before its run, to take it back.
pub(super) fn put_push(
    frames: &mut Vec<u8>,
    open: &mut Segment,
    batch: &Batch,
    values: &[f64],
) -> Vec<(u32, u64)> {
    let mut before = Vec::with_capacity(batch.runs.len());
    frame::put_framed(frames, |out| {
        frame::put_push(out, batch.runs.len());
        let (mut last, mut shared) = (0i64, None);
        for run in &batch.runs {
            let new = (shared != Some(run.times)).then(|| batch.times(run));
            let mut bits = open.bits(run.id);
            before.push((run.id, bits));
            let of_run = values.get(run.values()).unwrap_or_default();
            let xors = of_run.iter().map(|value| {
                let xor = bits ^ value.to_bits();
                bits = value.to_bits();
                xor
            });
            frame::put_run(out, i64::from(run.id) - last, new, xors);
            open.set_bits(run.id, bits);
            (last, shared) = (i64::from(run.id), Some(run.times));
        }
    });
    before
}
