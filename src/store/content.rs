//! What one key and its value hold, and whether they hold it rightly.
//!
//! For: `verify` and `repair`, which must trust nothing. Not for: reading ranges (`window`). Read
//! [`check`] first.

use super::codec::{self, Damaged, Reader};
use super::keys::{self, CATALOGUE, DAY_SPAN, LAST, META, SEALED, SPAN, SYNTHETIC, TALLY};
use super::rollup::{self, Tier};
use super::{chunk, sketches};
use crate::model::units::{Millis, Timestamp};

/// What a value holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// A place that was made ready for a chunk and not filled.
    Place { span: u32, log: u32 },
    /// So many instants of a target.
    Times {
        span: u32,
        target: u32,
        log: u32,
        count: usize,
    },
    /// Columns: each member, its number of values and its last row.
    Chunk {
        span: u32,
        group: u32,
        log: u32,
        members: Vec<(u8, u64, u32)>,
    },
    /// Buckets of these members.
    Buckets {
        tier: Tier,
        span: u32,
        group: u32,
        members: Vec<u8>,
    },
    /// A count of samples.
    Tally { day: u32, log: u32, samples: u64 },
    /// A target and its name.
    Target(u32, String),
    /// A series and its definition.
    Series(u32, Vec<u8>),
    /// The last log that was sealed.
    Sealed(u32),
    /// Something that stands alone.
    Other,
}

/// Reads a value wholly. Records are not looked into: their parts say nothing alone.
pub(super) fn check(tree: &str, key: &[u8], value: &[u8]) -> Result<Content, Damaged> {
    match tree {
        CATALOGUE => {
            let payload = codec::open(value)?;
            match keys::read_tagged(key).ok_or(Damaged("a key of the catalogue"))? {
                (b't', id) => String::from_utf8(payload)
                    .map(|name| Content::Target(id, name))
                    .map_err(|_| Damaged("a name that is not UTF-8")),
                (b's', id) => Ok(Content::Series(id, payload)),
                _ => Err(Damaged("a key of the catalogue")),
            }
        }
        LAST => check_last(&codec::open(value)?),
        TALLY => {
            let (day, log) = keys::read_group_key(key).ok_or(Damaged("a key of a tally"))?;
            let samples = value.try_into().map(u64::from_le_bytes);
            let samples = samples.map_err(|_| Damaged("a tally that is no number"))?;
            Ok(Content::Tally { day, log, samples })
        }
        SYNTHETIC => match codec::open(value)?.len() {
            16 => Ok(Content::Other),
            _ => Err(Damaged("a span that is not two instants")),
        },
        META if key == SEALED => value
            .try_into()
            .map(|mark| Content::Sealed(u32::from_be_bytes(mark)))
            .map_err(|_| Damaged("a mark that is no number")),
        _ if tree.starts_with("raw-") => check_raw(tree, key, value),
        _ if tree.starts_with("r5m-") => check_buckets(Tier::FiveMinutes, tree, key, value),
        _ if tree.starts_with("r1h-") => check_buckets(Tier::Hour, tree, key, value),
        _ if tree.starts_with("s5m-") || tree.starts_with("s1h-") => {
            sketches::read(key, value).map(|_| Content::Other)
        }
        _ => Ok(Content::Other),
    }
}

fn check_last(payload: &[u8]) -> Result<Content, Damaged> {
    let mut from = Reader::new(payload);
    while !from.is_done() {
        from.varint_u32()?;
        from.zigzag()?;
        from.u64_le()?;
    }
    Ok(Content::Other)
}

fn check_raw(tree: &str, key: &[u8], value: &[u8]) -> Result<Content, Damaged> {
    let (span, group, log) = keys::read_raw_key(key).ok_or(Damaged("a key of a chunk"))?;
    if keys::raw_tree(keys::span_start(span, SPAN)) != tree {
        return Err(Damaged("a span of another day"));
    }
    if value.is_empty() {
        return Ok(Content::Place { span, log });
    }
    if keys::is_times(group) {
        let count = chunk::read_times(value)?.len();
        return Ok(Content::Times {
            span,
            target: keys::target_of_times(group),
            log,
            count,
        });
    }
    let members = chunk::read_group(value, |_| true)?
        .into_iter()
        .map(|(member, values)| {
            let last = values.iter().map(|(row, _)| *row).max().unwrap_or(0);
            (member, values.len() as u64, last)
        })
        .collect();
    Ok(Content::Chunk {
        span,
        group,
        log,
        members,
    })
}

fn check_buckets(tier: Tier, tree: &str, key: &[u8], value: &[u8]) -> Result<Content, Damaged> {
    let (span, group) = keys::read_group_key(key).ok_or(Damaged("a key of buckets"))?;
    let start = keys::span_start(span, tier.span());
    if super::seal::place(tier, start).1 != tree {
        return Err(Damaged("a span of another month or year"));
    }
    let members = rollup::read_buckets(value, start, tier.step(), |_| true)?;
    let end = start.plus(tier.span().as_duration());
    for buckets in members.values() {
        let ascend = buckets
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if a.at < b.at));
        let within = buckets.iter().all(|b| (start..end).contains(&b.at));
        if !ascend || !within {
            return Err(Damaged("buckets that are out of order"));
        }
    }
    Ok(Content::Buckets {
        tier,
        span,
        group,
        members: members.into_keys().collect(),
    })
}

/// The time that a key of a tree speaks of, if it does.
pub(super) fn when(tree: &str, key: &[u8]) -> Option<(Timestamp, Millis)> {
    let number = u32::from_be_bytes(*key.first_chunk::<4>()?);
    let len = match tree.get(..4)? {
        "raw-" | "r5m-" => SPAN,
        "r1h-" => DAY_SPAN,
        "s5m-" => Tier::FiveMinutes.step(),
        "s1h-" => Tier::Hour.step(),
        _ => return None,
    };
    Some((keys::span_start(number, len), len))
}

/// A key as people read it.
pub(super) fn shown(tree: &str, key: &[u8]) -> String {
    use std::fmt::Write as _;
    let text: String = match tree {
        "records" => String::from_utf8_lossy(key.get(..key.len().saturating_sub(3)).unwrap_or(key))
            .replace('\0', "/"),
        _ => key.iter().fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        }),
    };
    match when(tree, key) {
        Some((at, _)) => format!("{text} ({at})"),
        None => text,
    }
}
