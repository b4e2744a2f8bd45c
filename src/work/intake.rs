//! Taking samples from others into the running history, acknowledged only when they are on the disk.
//!
//! For: what a sender pushes (Prometheus remote write) and what the command line streams. Not for:
//! HTTP, nor for files into a history at rest (`import`). Read [`remote_write`] first.

use std::collections::BTreeMap;

use crate::exchange::labels::{self, Invalid};
use crate::exchange::name::Named;
use crate::exchange::{self, Rows, remote};
use crate::model::units::{Millis, Timestamp};
use crate::store::{self, Batch, History, NewSeries, SeriesId, Store};

/// How far ahead of our clock a sample may be. Each month of the history has a database of its own,
/// so a sender with wild instants would make thousands.
const AHEAD: Millis = Millis(31 * Millis::DAY.0);

/// Why nothing of a request was taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It does not read.
    #[error(transparent)]
    Format(#[from] exchange::Error),
    /// It holds more samples than are taken at once.
    #[error("a body holds at most {limit} samples; send fewer at once")]
    TooMany {
        /// How many are taken.
        limit: usize,
    },
    /// The history cannot take it now.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Receipt {
    /// Samples that are kept, on the disk.
    pub samples: u64,
    /// Samples whose instant lies outside what is kept.
    pub out_of_range: u64,
    /// Series whose labels break the rules.
    pub invalid_series: u64,
    /// The first of them.
    pub first_invalid: Option<Invalid>,
    /// New series for which there is no room.
    pub refused_series: u64,
}

impl Receipt {
    /// What the sender should be told, if not everything was kept.
    pub fn complaint(&self) -> Option<String> {
        let mut parts = Vec::new();
        if self.out_of_range > 0 {
            parts.push(format!(
                "{} samples lie outside the times that are kept",
                self.out_of_range
            ));
        }
        if let Some(first) = &self.first_invalid {
            parts.push(format!(
                "{} series have labels that are not taken: {first}",
                self.invalid_series
            ));
        }
        if self.refused_series > 0 {
            parts.push(format!(
                "{} new series were refused: collect.max_series is reached, raise it",
                self.refused_series
            ));
        }
        let told = parts.join("; ");
        (!parts.is_empty()).then(|| format!("{told}; the other {} samples are kept", self.samples))
    }
}

/// Takes one remote-write request as it was sent, and returns when it would survive a loss of power.
///
/// Blocks on the disk. Series whose labels break the rules, new series without room and samples
/// outside the times that are kept are left out and counted; the rest is kept.
///
/// # Errors
/// [`Error`]; then nothing of it is kept.
pub fn remote_write(store: &Store, body: &[u8], now: Timestamp) -> Result<Receipt, Error> {
    let (batch, mut receipt) = read(store, body, now)?;
    if !batch.is_empty() {
        let pushed = store.history().push(&batch)?;
        store.history().commit(pushed)?;
        receipt.samples = pushed.samples;
    }
    Ok(receipt)
}

/// Reads a remote-write request into a batch that can be pushed, numbering series that are new.
///
/// # Errors
/// [`Error`], as of [`remote_write`].
pub fn read(store: &Store, body: &[u8], now: Timestamp) -> Result<(Batch, Receipt), Error> {
    let request = remote::unpack(body)?;
    let mut taker = Taker::new(store.history(), now);
    remote::series(&request, &mut taker, Taker::sample, |taker, series| {
        taker.end(&series.labels)
    })?;
    if taker.is_over {
        return Err(Error::TooMany {
            limit: store::BATCH_MAX,
        });
    }
    match taker.failed {
        Some(error) => Err(error.into()),
        None => Ok((taker.batch, taker.receipt)),
    }
}

struct Taker<'s> {
    history: &'s History,
    now: Timestamp,
    within: std::ops::RangeInclusive<i64>,
    batch: Batch,
    receipt: Receipt,
    failed: Option<store::Error>,
    is_over: bool,
}

impl<'s> Taker<'s> {
    fn new(history: &'s History, now: Timestamp) -> Self {
        let oldest = now.minus(history.retention().rollup_1h.as_duration());
        let newest = now.plus(AHEAD.as_duration());
        Self {
            history,
            now,
            within: oldest.as_millis()..=newest.as_millis(),
            batch: Batch::default(),
            receipt: Receipt::default(),
            failed: None,
            is_over: false,
        }
    }

    fn sample(&mut self, at_ms: i64, value: f64) {
        if self.batch.is_full() {
            self.is_over = true;
        } else if !self.within.contains(&at_ms) || !self.batch.sample(at_ms, value) {
            self.receipt.out_of_range += 1;
        }
    }

    fn end(&mut self, raw: &[u8]) -> exchange::Result<()> {
        // A series without a sample that is kept is not worth a number.
        if self.batch.pending() == 0 {
            return Ok(());
        }
        let known = self.history.known(raw);
        let id = match known {
            Some(id) => Some(id),
            None => self.learn(raw)?,
        };
        match id {
            Some(id) => self.batch.keep(id),
            None => self.batch.discard(),
        }
        Ok(())
    }

    fn learn(&mut self, raw: &[u8]) -> exchange::Result<Option<SeriesId>> {
        // Taken as they come: a million labels are refused at the sixty-fifth.
        let mut broken = None;
        let pairs = remote::pairs(raw).map_while(|pair| pair.map_err(|e| broken = Some(e)).ok());
        let checked = labels::checked(pairs);
        if let Some(broken) = broken {
            return Err(broken);
        }
        let key = match checked {
            Ok(key) => key,
            Err(invalid) => {
                self.receipt.invalid_series += 1;
                self.receipt.first_invalid.get_or_insert(invalid);
                return Ok(None);
            }
        };
        let series = NewSeries {
            target: &labels::pushed_target(&key),
            key: &key,
            kind: labels::kind_of(&key.metric),
            resolution: None,
        };
        let id = match self.history.learn(raw, &series, self.now) {
            Ok(id) => id,
            Err(store::Error::TooManyTargets { .. }) => None,
            Err(error) => {
                self.failed.get_or_insert(error);
                None
            }
        };
        self.receipt.refused_series += u64::from(id.is_none());
        Ok(id)
    }
}

/// Takes samples of a file that the command line streams, and returns when they would survive a
/// loss of power; how many they were.
///
/// # Errors
/// [`Error`]; then nothing of them is kept.
pub fn rows(
    store: &Store,
    rows: &mut impl Rows,
    resolution: Option<f64>,
    now: Timestamp,
) -> Result<u64, Error> {
    let history = store.history();
    let mut ids: BTreeMap<Box<[u8]>, SeriesId> = BTreeMap::new();
    let mut samples: BTreeMap<SeriesId, Vec<(i64, f64)>> = BTreeMap::new();
    let mut count = 0;
    while let Some(row) = rows.next()? {
        count += 1;
        if count > store::BATCH_MAX {
            return Err(Error::TooMany {
                limit: store::BATCH_MAX,
            });
        }
        let (at_ms, value) = (row.at_ms, row.value);
        if let Some(id) = ids.get(row.series) {
            samples.entry(*id).or_default().push((at_ms, value));
            continue;
        }
        let raw: Box<[u8]> = row.series.into();
        let wrong = |what: String| exchange::Error::Line {
            line: rows.line(),
            what,
        };
        let named = rows.name(&raw).map_err(wrong)?;
        let known = history.learn(&raw, &new_series(&named, resolution), now)?;
        let id = known.ok_or_else(|| wrong(NO_ROOM.to_owned()))?;
        ids.insert(raw, id);
        samples.entry(id).or_default().push((at_ms, value));
    }
    let mut batch = Batch::default();
    for (id, samples) in samples {
        for (at_ms, value) in samples {
            if !batch.sample(at_ms, value) {
                return Err(store::Error::Time(Timestamp::from_millis(at_ms)).into());
            }
        }
        batch.keep(id);
    }
    if batch.is_empty() {
        return Ok(0);
    }
    let pushed = history.push(&batch)?;
    history.commit(pushed)?;
    Ok(pushed.samples)
}

/// What a line is told whose series has no room.
pub(super) const NO_ROOM: &str = "is of one series more than collect.max_series allows; raise it";

/// A series of a file, as the history numbers it.
pub(super) fn new_series(named: &Named, resolution: Option<f64>) -> NewSeries<'_> {
    NewSeries {
        target: &named.target,
        key: &named.key,
        kind: labels::kind_of(&named.key.metric),
        resolution,
    }
}
