//! Series by the very bytes that a sender names them with, so that a known one costs no text.
//!
//! For: remote write, where a series comes with all its labels each time. Not for: which series
//! there are (`catalogue`). Read [`History::known`] first.
//!
//! Bytes are compared whole: two label sets are never taken for one another.

use std::collections::HashMap;
use std::sync::PoisonError;

use super::Result;
use super::catalogue::SeriesId;
use super::definition::put_key;
use super::history::{History, LIVE};
use crate::model::series::{Kind, SeriesKey};
use crate::model::units::{Millis, Timestamp};

/// Remembered byte strings, as a multiple of the live series: senders differ in how they sort.
const PER_LIVE: usize = 4;
/// Remembered in any case.
const AT_LEAST: usize = 1 << 10;
/// Bytes that are remembered at most.
const BYTES_MAX: usize = 64 << 20;
/// While there is no room for a series, live ones are counted again only so often.
const COUNT_EVERY: Millis = Millis::MINUTE;

/// A series as it is first seen.
#[derive(Debug, Clone)]
pub struct NewSeries<'a> {
    /// The target's name.
    pub target: &'a str,
    /// Metric and labels.
    pub key: &'a SeriesKey,
    /// Counter or gauge.
    pub kind: Kind,
    /// Values are exact to a multiple of this; `None` keeps every bit.
    pub resolution: Option<f64>,
}

/// What senders called series so far.
#[derive(Debug, Default)]
pub(super) struct Names {
    ids: HashMap<Box<[u8]>, u32>,
    bytes: usize,
    /// New series that may come before live ones are counted again.
    room: usize,
    counted_at: Option<Timestamp>,
}

impl Names {
    fn remember(&mut self, raw: &[u8], id: u32, live: impl FnOnce() -> usize) {
        let is_power = self.ids.len() >= AT_LEAST && self.ids.len().is_power_of_two();
        let too_many = is_power && self.ids.len() > PER_LIVE * live();
        if too_many || self.bytes + raw.len() > BYTES_MAX {
            self.ids.clear();
            self.bytes = 0;
        }
        if self.ids.insert(raw.into(), id).is_none() {
            self.bytes += raw.len();
        }
    }
}

impl History {
    /// The series that these bytes were said to name, if they were.
    pub fn known(&self, raw: &[u8]) -> Option<SeriesId> {
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        names.ids.get(raw).map(|id| SeriesId(*id))
    }

    /// Finds or numbers a series, and remembers the bytes that name it; `None` if there are too
    /// many series.
    ///
    /// # Errors
    /// [`super::Error::TooManyTargets`].
    pub fn learn(
        &self,
        raw: &[u8],
        series: &NewSeries<'_>,
        now: Timestamp,
    ) -> Result<Option<SeriesId>> {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        let Some(id) = self.find_or_define(series, now, &mut names)? else {
            return Ok(None);
        };
        let since = now.minus(LIVE.as_duration());
        names.remember(raw, id, || self.head().catalogue.live(since));
        Ok(Some(SeriesId(id)))
    }

    fn find_or_define(
        &self,
        series: &NewSeries<'_>,
        now: Timestamp,
        names: &mut Names,
    ) -> Result<Option<u32>> {
        let mut key = Vec::new();
        put_key(&mut key, series.key);
        let mut head = self.head_mut();
        let target = head.catalogue.target(series.target);
        if let Some(id) = target.and_then(|target| head.catalogue.find(target, &key)) {
            return Ok(Some(id));
        }
        if names.room == 0 {
            let is_recent = names
                .counted_at
                .is_some_and(|then| now >= then && now.since(then) < COUNT_EVERY.as_duration());
            if is_recent {
                return Ok(None);
            }
            names.counted_at = Some(now);
            let live = head.catalogue.live(now.minus(LIVE.as_duration()));
            names.room = head.catalogue.room(live, self.options.max_series);
        }
        if names.room == 0 {
            return Ok(None);
        }
        names.room -= 1;
        let target = head.catalogue.target_or_new(series.target)?;
        Ok(head
            .catalogue
            .define(target, &key, (series.kind, series.resolution)))
    }
}
