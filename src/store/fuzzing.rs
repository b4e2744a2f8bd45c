//! Doors for the fuzzers in `fuzz/`: bytes that nobody vouches for, straight into each decoder.
//!
//! For: finding input that panics, or takes memory or time out of proportion. Not for: anything
//! else; what is decoded is thrown away.

use super::codec::{self, Reader};
use super::content::{self, Tree};
use super::databases::{CONTROL, shape};
use super::{
    backup, buckets, chunk, column, definition, frame, journal, keys, leaves, restore, rollup,
    segments, snapshot, transfer, wal,
};
use crate::model::series::Kind;
use crate::model::units::{Millis, Timestamp};
use crate::stats::sketch::Sketch;

/// Values of the databases: envelopes, time columns, chunks, buckets, keys.
pub fn values(bytes: &[u8]) {
    // As they would lie in a tree, and with a checksum that matches, to come further.
    for value in [bytes.to_vec(), codec::seal(bytes)] {
        let _ = chunk::read_times(&value);
        let _ = content::count(&value, &[0; 100]);
        let start = Timestamp::from_millis(0);
        let _ = buckets::read_buckets(&value, start, Millis::HOUR, |_| true);
        for (database, name) in [
            (CONTROL, keys::CATALOGUE),
            (CONTROL, keys::LAST),
            (CONTROL, keys::TALLY),
            (CONTROL, keys::META),
            ("raw-20260101", keys::DATA),
            ("r5m-202601", keys::SKETCHES_5M),
        ] {
            let tree = Tree { database, name };
            let (key, value) = value.split_at(value.len().min(12));
            let _ = content::check(tree, key, value);
            let _ = content::shown(tree, key);
        }
    }
    let _ = definition::read_key(bytes);
    let _ = keys::read_record_key(bytes);
}

/// Exports of a whole store, line by line.
pub fn archive(bytes: &[u8]) {
    transfer::skim(bytes);
}

/// Sealed columns, chunks and buckets: bytes as they would lie there, and the same bytes as values
/// that must come back bit for bit.
///
/// # Panics
/// Where something does not come back as it was given.
pub fn columns(bytes: &[u8]) {
    let Some(([count, shape], body)) = bytes.split_first_chunk() else {
        return;
    };
    let count = usize::from(*count) << (shape % 8);
    let _ = column::read_values(body, count, &mut Vec::new());
    let _ = column::read_numbers(body, count);
    let sealed = codec::seal_packed(body);
    if let Ok(group) = chunk::Group::open(&sealed) {
        let times: Vec<i64> = (0i64..).take(count).collect();
        for member in group.members() {
            let (mut instants, mut values) = (Vec::new(), Vec::new());
            let read = group.samples(member, &times, (&mut instants, &mut values));
            assert!(values.len() <= count && (read.is_err() || instants.len() == values.len()));
        }
    }
    let start = Timestamp::from_millis(0);
    let _ = buckets::read_buckets(&sealed, start, Millis::HOUR, |member| member % 2 == 0);
    given(body, *shape);
}

/// What the bytes say as values, packed and unpacked again.
fn given(bytes: &[u8], shape: u8) {
    let unit = match shape % 4 {
        0 => 1.0,
        1 => 8.0,
        2 => 100.0,
        _ => 1e6,
    };
    let values: Vec<f64> = if shape.is_multiple_of(8) {
        let words = bytes.as_chunks().0.iter();
        words.map(|word| f64::from_le_bytes(*word)).collect()
    } else {
        let words = bytes.as_chunks().0.iter();
        words
            .map(|word| f64::from(i16::from_le_bytes(*word)) / unit)
            .collect()
    };
    let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let mut packed = Vec::new();
    column::put_values(&mut packed, &values);
    let mut back = Vec::new();
    let read = column::read_values(&packed, values.len(), &mut back);
    assert_eq!((read, bits(&back)), (Ok(()), bits(&values)));
    // As a series of a group, with a hole after each so many rows.
    let hole = u32::from(shape / 8);
    let rows: Vec<(u32, f64)> = (0u32..)
        .filter(|row| hole == 0 || row % (hole + 1) < hole)
        .zip(values.iter().copied())
        .collect();
    let times: Vec<i64> = (0..=rows.last().map_or(0, |(row, _)| i64::from(*row)))
        .map(|row| row * 10_000)
        .collect();
    let member = shape % 16;
    let packed = chunk::put_group(&[(member, rows.clone())]);
    let (mut instants, mut values) = (Vec::new(), Vec::new());
    let into = (&mut instants, &mut values);
    let group = chunk::Group::open(&packed);
    let read = group.and_then(|group| group.samples(member, &times, into));
    assert_eq!(read, Ok(()));
    let samples: Vec<(i64, f64)> = instants.into_iter().zip(values).collect();
    let wanted = rows
        .iter()
        .map(|(row, value)| (i64::from(*row) * 10_000, value.to_bits()));
    assert!(
        samples
            .iter()
            .map(|(at, value)| (*at, value.to_bits()))
            .eq(wanted)
    );
    let kind = if shape.is_multiple_of(2) {
        Kind::Gauge
    } else {
        Kind::Counter
    };
    let start = Timestamp::from_millis(0);
    let folded = rollup::fold(&samples, kind, None, Millis::HOUR);
    let members = buckets::Members::from([(member, folded)]);
    let packed = buckets::put_buckets(&members, start, Millis::HOUR);
    let read = buckets::read_buckets(&packed, start, Millis::HOUR, |_| true);
    // Debug, since a sum of infinities is a NaN, which equals nothing.
    assert_eq!(
        format!("{read:?}"),
        format!("{:?}", Ok::<_, codec::Damaged>(members))
    );
}

/// Frames of a log, and what stands behind a torn place; and those of a journal.
pub fn frames(bytes: &[u8]) {
    journal::skim(bytes);
    let read = frame::read_frames(bytes, |_| {});
    let _ = wal::scrapes_after(bytes, read);
    let _ = wal::read_log(&wal::with_head(bytes, 1), 1, |_| {});
}

/// A backup file.
pub fn backup(bytes: &[u8]) {
    let _ = restore::read_any(bytes);
    let _ = restore::read_any(&backup::with_checksums(bytes));
}

/// A latency sketch; one that reads must survive its own use.
pub fn sketch(bytes: &[u8]) {
    if let Ok(sketch) = Sketch::decode(bytes) {
        let mut twice = sketch.clone();
        twice.merge(&sketch);
        assert!(sketch.is_empty() || twice.quantile(0.5).is_some());
        assert_eq!(Sketch::decode(&sketch.encode()), Ok(sketch));
    }
}

/// The engine's files, read without it.
pub fn pages(bytes: &[u8]) {
    segments::read_any(bytes, shape(CONTROL).segment as u64);
    leaves::read_any(bytes);
    let _ = snapshot::parse(bytes);
    let _ = segments::number(&mut Reader::new(bytes));
}
