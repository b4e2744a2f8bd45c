//! Opening: from the logs and the control database back into memory.
//!
//! For: what happens once, before the first scrape. Not for: opening databases (`barrier`). Read
//! [`recover`] first.

use std::collections::BTreeMap;
use std::path::Path;

use super::barrier::Database;
use super::catalogue::Catalogue;
use super::codec::{self, Damaged, Reader};
use super::frame::{Frame, Pushes};
use super::keys::{self, CATALOGUE, LAST, SPAN, SYNTHETIC, span_of};
use super::segment::Segment;
use super::wal::{self, Found};
use super::{Error, Result, last};
use crate::model::capacity::SyntheticSpan;
use crate::model::units::Timestamp;

/// What was found in the logs when the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Opened {
    /// Scrapes that were not yet sealed.
    pub recovered_scrapes: u64,
    /// Samples in them.
    pub recovered_samples: u64,
    /// Bytes at the end of logs that were no whole scrape; a copy of each such log was kept.
    pub torn_bytes: u64,
    /// Samples of series whose definition was lost with an earlier log's end.
    pub orphan_samples: u64,
}

/// Reads one log into memory; cuts it where it is torn.
pub(super) fn recover(
    logs: &Path,
    number: u32,
    catalogue: &mut Catalogue,
    opened: &mut Opened,
) -> Result<(Segment, Found)> {
    let mut segment = Segment::new(number);
    let mut damage = None;
    let found = wal::replay(logs, number, |frame| {
        if damage.is_some() {
            return;
        }
        let taken = match frame {
            Frame::Target { id, name } => catalogue.restore_target(id, &name),
            Frame::Series { id, definition } => catalogue.restore_series(id, &definition),
            Frame::Scrape(packed) => {
                opened.recovered_scrapes += 1;
                let mut values = segment.unpack(&packed);
                let all = values.len();
                values.retain(|(id, _)| {
                    catalogue
                        .owner(*id)
                        .is_some_and(|(target, _)| target == packed.target)
                });
                opened.orphan_samples += (all - values.len()) as u64;
                for (id, value) in &values {
                    catalogue.note(*id, packed.at, *value);
                }
                segment.take(packed.target, packed.at, &values)
            }
            Frame::Push(push) => {
                opened.recovered_scrapes += 1;
                retake(push, &mut segment, catalogue, opened)
            }
        };
        damage = taken.err();
    })?;
    if let Some(damage) = damage {
        return Err(Error::damaged(&wal::path_of(logs, number), damage));
    }
    if found.torn > 0 {
        wal::cut(logs, number, found)?;
        opened.torn_bytes += found.torn;
    }
    opened.recovered_samples += segment.samples();
    Ok((segment, found))
}

/// Takes a push as the log holds it.
fn retake(
    push: Pushes,
    segment: &mut Segment,
    catalogue: &mut Catalogue,
    opened: &mut Opened,
) -> std::result::Result<(), Damaged> {
    let mut samples = push.times.into_iter().zip(push.xors);
    for (id, count) in push.runs {
        let mut bits = segment.bits(id);
        let run: Vec<(i64, f64)> = (&mut samples)
            .take(count)
            .map(|(at, xor)| {
                bits ^= xor;
                (at, f64::from_bits(bits))
            })
            .collect();
        segment.set_bits(id, bits);
        let Some((target, _)) = catalogue.owner(id) else {
            opened.orphan_samples += run.len() as u64;
            continue;
        };
        for (at, value) in &run {
            let at = Timestamp::from_millis(*at);
            catalogue.note(id, at, *value);
            segment.begin(span_of(at, SPAN).ok_or(Damaged("an instant out of range"))?);
        }
        segment.take_run(target, id, run)?;
    }
    Ok(())
}

/// Reads targets, series and last values from the control database.
pub(super) fn load_catalogue(control: &Database, dir: &Path) -> Result<Catalogue> {
    let mut catalogue = Catalogue::default();
    let damaged = |damage| Error::damaged(&dir.join("control"), damage);
    // Targets before series: a definition names its target.
    for tag in [b't', b's'] {
        control.scan(CATALOGUE, &[tag], |key, value| {
            let value = codec::open(value).map_err(damaged)?;
            match keys::read_tagged(key) {
                Some((b't', id)) => std::str::from_utf8(&value)
                    .map_err(|_| Damaged("a name that is not UTF-8"))
                    .and_then(|name| catalogue.restore_target(id, name)),
                Some((_, id)) => catalogue.restore_series(id, &value),
                None => Err(Damaged("a key of the catalogue")),
            }
            .map_err(damaged)
        })?;
    }
    catalogue.take_unstored();
    control.scan(LAST, &[], |key, value| {
        let block = key.try_into().map(u32::from_be_bytes);
        let block = block.map_err(|_| damaged(Damaged("a key of the last values")))?;
        let value = codec::open(value).map_err(damaged)?;
        let note = |id, at, value| catalogue.note(id, at, value);
        last::read(block, &value, note).map_err(damaged)
    })?;
    Ok(catalogue)
}

/// Reads where history is made up, by target.
pub(super) fn load_synthetic(
    control: &Database,
    dir: &Path,
) -> Result<BTreeMap<u32, SyntheticSpan>> {
    let mut spans = BTreeMap::new();
    let damaged = |damage| Error::damaged(&dir.join("control"), damage);
    control.scan(SYNTHETIC, &[], |key, value| {
        let value = codec::open(value).map_err(damaged)?;
        let mut from = Reader::new(&value);
        let mut instant = || {
            from.u64_le()
                .map(|ms| Timestamp::from_millis(ms.cast_signed()))
        };
        let span = SyntheticSpan {
            from: instant().map_err(damaged)?,
            until: instant().map_err(damaged)?,
        };
        let id = key.try_into().map(u32::from_be_bytes);
        spans.insert(id.map_err(|_| damaged(Damaged("a key of a target")))?, span);
        Ok(())
    })?;
    Ok(spans)
}
