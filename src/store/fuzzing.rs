//! Doors for the fuzzers in `fuzz/`: bytes that nobody vouches for, straight into each decoder.
//!
//! For: finding input that panics, or takes memory or time out of proportion. Not for: anything
//! else; what is decoded is thrown away.

use super::codec::{self, Reader};
use super::content::{self, Tree};
use super::databases::{CONTROL, shape};
use super::{backup, buckets, catalogue, chunk, keys, leaves, restore, segments, snapshot, wal};
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
    let _ = catalogue::read_key(bytes);
    let _ = keys::read_record_key(bytes);
}

/// Frames of a log, and what stands behind a torn place.
pub fn frames(bytes: &[u8]) {
    let read = wal::read_frames(bytes, |_| {});
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
