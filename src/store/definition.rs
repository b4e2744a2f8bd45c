//! Definitions: what is told of a series once, as bytes and back.
//!
//! For: the log and the tree `catalogue`, which hold the same bytes. Not for: finding series
//! (`catalogue`). Read [`put_definition`] first.
//!
//! | part | meaning |
//! |---|---|
//! | varint | target |
//! | u8 | 0 counter, 1 gauge |
//! | u8, then u64 little-endian | 1 and the bits of the resolution; or 0 alone |
//! | varint length, UTF-8 | metric |
//! | to the end: twice varint length, UTF-8 | label and value, sorted by label |

use super::codec::{Damaged, Reader, put_bytes, put_varint};
use crate::model::series::{Kind, Labels, SeriesKey};

/// A series as memory holds it: its definition, and its last value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) target: u32,
    pub(super) kind: Kind,
    pub(super) resolution: Option<f64>,
    /// As [`put_key`] writes it.
    pub(super) key: Box<[u8]>,
    pub(super) last_at: i64,
    pub(super) last: f64,
}

/// Writes a key as the catalogue keeps it.
pub(super) fn put_key(out: &mut Vec<u8>, key: &SeriesKey) {
    put_bytes(out, key.metric.as_bytes());
    for (name, value) in key.labels.iter() {
        put_bytes(out, name.as_bytes());
        put_bytes(out, value.as_bytes());
    }
}

/// Reads what [`put_key`] wrote.
pub(super) fn read_key(bytes: &[u8]) -> Result<SeriesKey, Damaged> {
    let mut from = Reader::new(bytes);
    let metric = from.text()?.to_owned();
    let mut labels = Vec::new();
    while !from.is_done() {
        labels.push((from.text()?.to_owned().into(), from.text()?.to_owned()));
    }
    Ok(SeriesKey {
        metric: metric.into(),
        labels: Labels::from_sorted(labels),
    })
}

/// Writes what is told of a series once.
pub(super) fn put_definition(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::with_capacity(entry.key.len() + 12);
    put_varint(&mut out, u64::from(entry.target));
    out.push(match entry.kind {
        Kind::Counter => 0,
        Kind::Gauge => 1,
    });
    out.push(u8::from(entry.resolution.is_some()));
    if let Some(resolution) = entry.resolution {
        out.extend_from_slice(&resolution.to_bits().to_le_bytes());
    }
    out.extend_from_slice(&entry.key);
    out
}

/// Reads what [`put_definition`] wrote; no value is known yet.
pub(super) fn read_definition(bytes: &[u8]) -> Result<Entry, Damaged> {
    let mut from = Reader::new(bytes);
    let target = from.varint_u32()?;
    let kind = match from.byte()? {
        0 => Kind::Counter,
        1 => Kind::Gauge,
        _ => return Err(Damaged("an unknown kind of series")),
    };
    let resolution = match from.byte()? {
        0 => None,
        1 => Some(f64::from_bits(from.u64_le()?)),
        _ => return Err(Damaged("an unknown kind of resolution")),
    };
    read_key(from.rest())?;
    Ok(Entry {
        target,
        kind,
        resolution,
        key: from.rest().into(),
        last_at: i64::MIN,
        last: f64::NAN,
    })
}
