//! How much there is: series, samples, bytes, and from when to when.
//!
//! For: `history stats` and the store's own metrics. Not for: the samples themselves. Read
//! [`HistoryStats`] first.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::chunk::Group;
use super::history::History;
use super::keys::{self, DATA, DAY_SPAN, GROUP, SPAN, TALLY};
use super::op::Op;
use super::rollup::Tier;
use super::selector::Selector;
use super::{Error, Result};
use crate::model::units::{Bytes, Timestamp};

/// What a tier holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TierStats {
    /// `None` is raw samples.
    pub tier: Option<Tier>,
    /// Start of the oldest span that is kept.
    pub oldest: Option<Timestamp>,
    /// End of the newest span that is sealed.
    pub newest: Option<Timestamp>,
    /// Values of the database: chunks of 16 series.
    pub chunks: u64,
    /// Bytes that its databases take on disk.
    pub bytes: Bytes,
}

/// What the history holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryStats {
    /// Series that were ever seen.
    pub series: u64,
    /// Raw samples that are kept, sealed or not.
    pub samples: u64,
    /// Bytes that the store's folder takes on disk.
    pub bytes_on_disk: Bytes,
    /// Raw, 5 min, 1 h.
    pub tiers: Vec<TierStats>,
    /// Oldest instant that anything is known of.
    pub oldest: Option<Timestamp>,
    /// Instant of the newest sample.
    pub newest: Option<Timestamp>,
}

impl History {
    /// Counts what there is. Reads every key of the rollups: not for each request.
    ///
    /// # Errors
    /// What the disk says.
    pub fn stats(&self) -> Result<HistoryStats> {
        let mut samples: u64 = {
            let head = self.head();
            head.segments().map(super::segment::Segment::samples).sum()
        };
        self.control.scan(TALLY, &[], |_, count| {
            samples += count.try_into().map_or(0, u64::from_le_bytes);
            Ok(())
        })?;
        let tiers = vec![
            self.tier_stats(None)?,
            self.tier_stats(Some(Tier::FiveMinutes))?,
            self.tier_stats(Some(Tier::Hour))?,
        ];
        let last = self.last(&Selector::default());
        let in_memory = {
            let head = self.head();
            let first = head
                .segments()
                .flat_map(|s| s.all().map(|(span, ..)| span))
                .min();
            first.map(|span| keys::span_start(span, SPAN))
        };
        Ok(HistoryStats {
            series: self.head().catalogue.len() as u64,
            samples,
            bytes_on_disk: bytes_in(&self.options.dir)?,
            oldest: tiers.iter().filter_map(|t| t.oldest).chain(in_memory).min(),
            newest: last.iter().map(|(_, at, _)| *at).max(),
            tiers,
        })
    }

    fn tier_stats(&self, tier: Option<Tier>) -> Result<TierStats> {
        let (prefix, len) = match tier {
            None => ("raw-", SPAN),
            Some(Tier::FiveMinutes) => ("r5m-", SPAN),
            Some(Tier::Hour) => ("r1h-", DAY_SPAN),
        };
        let mut stats = TierStats {
            tier,
            oldest: None,
            newest: None,
            chunks: 0,
            bytes: Bytes(0),
        };
        for name in self.databases.names()? {
            if !name.starts_with(prefix) {
                continue;
            }
            stats.bytes.0 += bytes_in(&self.options.dir.join(&name))?.0;
            let Some(database) = self.databases.find(&name)? else {
                continue;
            };
            database.scan(DATA, &[], |key, value| {
                let Some((span, group)) =
                    key.first_chunk::<8>().and_then(|k| keys::read_group_key(k))
                else {
                    return Ok(());
                };
                if !value.is_empty() && !keys::is_times(group) {
                    let (start, end) =
                        (keys::span_start(span, len), keys::span_start(span + 1, len));
                    stats.oldest = Some(stats.oldest.map_or(start, |at| at.min(start)));
                    stats.newest = Some(stats.newest.map_or(end, |at| at.max(end)));
                    stats.chunks += 1;
                }
                Ok(())
            })?;
            drop(database);
            self.databases.close_idle();
        }
        Ok(stats)
    }

    /// Bytes that the sealed columns of each series take, by the series' number.
    pub(super) fn column_bytes(&self) -> Result<HashMap<u32, u64>> {
        let mut bytes: HashMap<u32, u64> = HashMap::new();
        for name in self.databases.names()? {
            let Some(database) = self.databases.find(&name)?.filter(|_| is_raw(&name)) else {
                continue;
            };
            database.scan(DATA, &[], |key, value| {
                let group = keys::read_raw_key(key).map(|(_, group, _)| group);
                let group = group.filter(|group| !value.is_empty() && !keys::is_times(*group));
                if let Some(first) = group.map(|group| group.saturating_mul(GROUP)) {
                    let chunk = Group::open(value).map_err(|damage| database.damaged(damage))?;
                    for (member, len) in chunk.sizes() {
                        *bytes.entry(first + u32::from(member)).or_default() += len as u64;
                    }
                }
                Ok(())
            })?;
            drop(database);
            self.databases.close_idle();
        }
        Ok(bytes)
    }

    /// Forgets the counts of days whose parts were dropped.
    pub(super) fn drop_tallies(&self, dropped: &[String]) -> Result<()> {
        let mut ops = Vec::new();
        for tree in dropped {
            let Some(day) = tree
                .strip_prefix("raw-")
                .and_then(|d| d.parse::<u32>().ok())
            else {
                continue;
            };
            self.control.scan(TALLY, &day.to_be_bytes(), |key, _| {
                ops.push(Op::Delete(key.to_vec()));
                Ok(())
            })?;
        }
        self.control.write(TALLY, ops)
    }
}

fn is_raw(name: &str) -> bool {
    name.starts_with("raw-")
}

/// Bytes that a folder takes on disk, holes left out.
pub(super) fn bytes_in(folder: &Path) -> Result<Bytes> {
    fn add(folder: &Path, sum: &mut u64) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let known = entry.metadata()?;
            if known.is_dir() {
                add(&entry.path(), sum)?;
            } else {
                // st_blocks counts 512-byte units, whatever the file system's own block size.
                *sum += known.blocks() * 512;
            }
        }
        Ok(())
    }
    let mut sum = 0;
    // A file may go while it is being counted: then the sum is that of a moment ago.
    match add(folder, &mut sum) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io(folder, e)),
        _ => Ok(Bytes(sum)),
    }
}
