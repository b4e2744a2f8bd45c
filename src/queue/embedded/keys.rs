//! Where the rows of jobs lie, and how their values are written.
//!
//! | key | value |
//! |---|---|
//! | `j`, queue u32, job u64, 0 | the entry (`entry`), JSON |
//! | the same with 1 | its payload, where that is large |
//! | with 2 | its trail (`trail`), JSON |
//! | with 3 | its result |
//! | with 4 | its children, JSON |
//! | `q`, name | the queue: number, settings, whether it is paused; JSON |
//! | `n`, queue u32 | totals of done and given up: two u64 little-endian |
//! | `u`, queue u32, deduplication id | job u64, end of the window i64 or the least one for none |
//! | `f`, job u64 | a flow of this first job is whole, though its entries may not say so yet |
//! | `s` | numbers of jobs are taken up to here, u64 little-endian |
//! | `x`, key | an extra, as it was given |
//!
//! Integers in keys are big-endian. Lists, order and counts are in memory alone: they follow from
//! the entries, so one row tells where a job stands.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::model::job::{QueueConfig, QueueName};
use crate::model::units::Timestamp;
use crate::queue::Result;
use crate::store::{Rows, Write};

/// What of a job lies in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Part {
    Entry = 0,
    Data = 1,
    Trail = 2,
    Result = 3,
    Children = 4,
}

impl Part {
    pub(super) const ALL: [Self; 5] = [
        Self::Entry,
        Self::Data,
        Self::Trail,
        Self::Result,
        Self::Children,
    ];
}

pub(super) const JOBS: &[u8] = b"j";
pub(super) const QUEUES: &[u8] = b"q";
pub(super) const TOTALS: &[u8] = b"n";
pub(super) const SAME: &[u8] = b"u";
pub(super) const FLOWS: &[u8] = b"f";
pub(super) const TAKEN: &[u8] = b"s";
pub(super) const EXTRAS: &[u8] = b"x";

/// The row of a queue.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct QueueRow {
    pub(super) number: u32,
    pub(super) paused: bool,
    pub(super) config: QueueConfig,
}

pub(super) fn job(queue: u32, seq: u64, part: Part) -> Vec<u8> {
    [
        JOBS,
        &queue.to_be_bytes(),
        &seq.to_be_bytes(),
        &[part as u8],
    ]
    .concat()
}

/// Queue, job and part of a job's row.
pub(super) fn read_job(key: &[u8]) -> Option<(u32, u64, u8)> {
    let rest = key.strip_prefix(JOBS)?;
    let (queue, rest) = rest.split_first_chunk::<4>()?;
    let (seq, rest) = rest.split_first_chunk::<8>()?;
    let [part] = rest else { return None };
    Some((u32::from_be_bytes(*queue), u64::from_be_bytes(*seq), *part))
}

pub(super) fn queue(name: &QueueName) -> Vec<u8> {
    [QUEUES, name.as_str().as_bytes()].concat()
}

pub(super) fn totals(queue: u32) -> Vec<u8> {
    [TOTALS, &queue.to_be_bytes()].concat()
}

pub(super) fn same(queue: u32, id: &str) -> Vec<u8> {
    [SAME, &queue.to_be_bytes(), id.as_bytes()].concat()
}

/// Queue and id of a deduplication.
pub(super) fn read_same(key: &[u8]) -> Option<(u32, &str)> {
    let (queue, id) = key.strip_prefix(SAME)?.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*queue), std::str::from_utf8(id).ok()?))
}

pub(super) fn flow(first: u64) -> Vec<u8> {
    [FLOWS, &first.to_be_bytes()].concat()
}

pub(super) fn extra(key: &[u8]) -> Vec<u8> {
    [EXTRAS, key].concat()
}

pub(super) fn pair(first: u64, second: u64) -> Vec<u8> {
    [first.to_le_bytes(), second.to_le_bytes()].concat()
}

pub(super) fn read_pair(value: &[u8]) -> Option<(u64, u64)> {
    let (first, rest) = value.split_first_chunk::<8>()?;
    let second = rest.try_into().ok()?;
    Some((u64::from_le_bytes(*first), u64::from_le_bytes(second)))
}

/// The value of a deduplication.
pub(super) fn same_value(seq: u64, until: Option<Timestamp>) -> Vec<u8> {
    let until = until.map_or(i64::MIN, Timestamp::as_millis);
    pair(seq, until.cast_unsigned())
}

pub(super) fn read_same_value(value: &[u8]) -> Option<(u64, Option<Timestamp>)> {
    let (seq, until) = read_pair(value)?;
    let until = until.cast_signed();
    Some((
        seq,
        (until != i64::MIN).then(|| Timestamp::from_millis(until)),
    ))
}

/// A row that is JSON.
pub(super) fn put(key: Vec<u8>, value: &impl Serialize) -> Result<Write> {
    let failed = |_| crate::store::Error::RecordName("a row of jobs".to_owned());
    Ok(Write::Put(key, serde_json::to_vec(value).map_err(failed)?))
}

/// Reads a value that is JSON.
pub(super) fn read<T: DeserializeOwned>(rows: &Rows, value: &[u8]) -> crate::store::Result<T> {
    serde_json::from_slice(value)
        .map_err(|_| rows.damaged("a row of jobs that does not read; it may be of another release"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_sort_by_queue_then_by_age_and_keys_read_back() {
        let keys = [(1, 2), (1, 256), (2, 0)].map(|(queue, seq)| job(queue, seq, Part::Trail));
        assert!(keys.is_sorted());
        assert_eq!(read_job(&keys[1]), Some((1, 256, Part::Trail as u8)));
        assert_eq!(read_job(b"j123"), None);
        assert_eq!(read_same(&same(7, "é")), Some((7, "é")));
        for until in [None, Some(Timestamp::from_millis(-5))] {
            assert_eq!(read_same_value(&same_value(9, until)), Some((9, until)));
        }
    }
}
