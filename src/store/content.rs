//! What one key and its value hold, and whether they hold it rightly.
//!
//! For: `verify` and `repair`, which must trust nothing. Not for: reading ranges (`window`). Read
//! [`check`] first.

use super::codec::{self, Damaged, Reader};
use super::keys::{self, CATALOGUE, DATA, LAST, META, RECORDS, ROWS, SEALED, SPAN};
use super::keys::{SKETCHES_1H, SKETCHES_5M, SYNTHETIC, TALLY, UNFOLDED};
use super::rollup::Tier;
use super::tiers::{part_of, read_unfolded};
use super::{buckets, chunk, sketches};
use crate::model::units::{Millis, Timestamp};

/// Where a value lies: database and tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tree<'a> {
    pub(super) database: &'a str,
    pub(super) name: &'a str,
}

impl Tree<'_> {
    /// The tier whose buckets lie here.
    fn tier(&self) -> Option<Tier> {
        match (self.database.get(..4), self.name) {
            (Some("r5m-"), DATA) => Some(Tier::FiveMinutes),
            (Some("r1h-"), DATA) => Some(Tier::Hour),
            _ => None,
        }
    }

    fn is_raw(&self) -> bool {
        self.database.starts_with("raw-") && self.name == DATA
    }

    /// Whether keys here begin with a span and a group of series.
    pub(super) fn has_groups(&self) -> bool {
        self.is_raw() || self.tier().is_some()
    }
}

/// What a value holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// A place that was made ready for a chunk and not filled.
    Place { log: u32 },
    /// Instants of a target.
    Times {
        span: u32,
        target: u32,
        log: u32,
        times: Vec<i64>,
    },
    /// Columns of these members; they are read with their instants ([`count`]).
    Chunk {
        span: u32,
        group: u32,
        log: u32,
        members: Vec<u8>,
    },
    /// Buckets of these members.
    Buckets { group: u32, members: Vec<u8> },
    /// A count of samples.
    Tally { day: u32, log: u32, samples: u64 },
    /// A target and its name.
    Target(u32, String),
    /// A series and its definition.
    Series(u32, Vec<u8>),
    /// The last log that was sealed.
    Sealed(u32),
    /// Days whose hours are behind their five minutes.
    Unfolded,
    /// Something that stands alone.
    Other,
}

/// Reads a value, as far as it can be read alone. Records are not looked into: their parts say
/// nothing alone.
pub(super) fn check(tree: Tree<'_>, key: &[u8], value: &[u8]) -> Result<Content, Damaged> {
    if tree.is_raw() {
        return check_raw(tree, key, value);
    }
    if let Some(tier) = tree.tier() {
        return check_buckets(tier, tree, key, value);
    }
    match tree.name {
        CATALOGUE => {
            let payload = codec::open(value)?.into_owned();
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
        META if key == UNFOLDED => read_unfolded(value).map(|_| Content::Unfolded),
        ROWS => codec::open(value).map(|_| Content::Other),
        SKETCHES_5M | SKETCHES_1H => sketches::read(key, value).map(|_| Content::Other),
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

fn check_raw(tree: Tree<'_>, key: &[u8], value: &[u8]) -> Result<Content, Damaged> {
    let (span, group, log) = keys::read_raw_key(key).ok_or(Damaged("a key of a chunk"))?;
    if keys::raw_part(keys::span_start(span, SPAN)) != tree.database {
        return Err(Damaged("a span of another day"));
    }
    if value.is_empty() {
        return Ok(if keys::is_fence(group) {
            Content::Other
        } else {
            Content::Place { log }
        });
    }
    if keys::is_times(group) {
        return Ok(Content::Times {
            span,
            target: keys::target_of_times(group),
            log,
            times: chunk::read_times(value)?,
        });
    }
    Ok(Content::Chunk {
        span,
        group,
        log,
        members: chunk::Group::open(value)?.members().collect(),
    })
}

/// Reads all columns of a chunk and counts their values.
pub(super) fn count(value: &[u8], times: &[i64]) -> Result<u64, Damaged> {
    let group = chunk::Group::open(value)?;
    let members: Vec<u8> = group.members().collect();
    let (mut count, mut instants, mut values) = (0, Vec::new(), Vec::new());
    for member in members {
        instants.clear();
        values.clear();
        group.samples(member, times, (&mut instants, &mut values))?;
        count += values.len() as u64;
    }
    Ok(count)
}

fn check_buckets(tier: Tier, tree: Tree<'_>, key: &[u8], value: &[u8]) -> Result<Content, Damaged> {
    let (span, group) = keys::read_group_key(key).ok_or(Damaged("a key of buckets"))?;
    let start = keys::span_start(span, tier.span());
    if part_of(tier, start) != tree.database {
        return Err(Damaged("a span of another month or year"));
    }
    if value.is_empty() {
        return Ok(Content::Other);
    }
    let members = buckets::read_buckets(value, start, tier.step(), |_| true)?;
    let end = start.plus(tier.span().as_duration());
    for buckets in members.values() {
        let within = buckets.iter().all(|b| (start..end).contains(&b.at));
        if !buckets.is_sorted_by(|a, b| a.at < b.at) || !within {
            return Err(Damaged("buckets that are out of order"));
        }
    }
    Ok(Content::Buckets {
        group,
        members: members.into_keys().collect(),
    })
}

/// The time that a key of a tree speaks of, if it does.
pub(super) fn when(tree: Tree<'_>, key: &[u8]) -> Option<(Timestamp, Millis)> {
    let number = u32::from_be_bytes(*key.first_chunk::<4>()?);
    let len = match tree.name {
        SKETCHES_5M => Tier::FiveMinutes.step(),
        SKETCHES_1H => Tier::Hour.step(),
        _ if tree.is_raw() => SPAN,
        _ => tree.tier()?.span(),
    };
    Some((keys::span_start(number, len), len))
}

/// A key as people read it.
pub(super) fn shown(tree: Tree<'_>, key: &[u8]) -> String {
    use std::fmt::Write as _;
    let text: String = match tree.name {
        RECORDS => String::from_utf8_lossy(key.get(..key.len().saturating_sub(3)).unwrap_or(key))
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
