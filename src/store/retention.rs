//! Dropping what is too old, or too much: whole days, months and years, never single values.
//!
//! For: keeping the store within its age and its bytes. Not for: deciding how long (`config`).
//! Read [`History::retain_if_due`] first.
//!
//! A clock that was set wrong must not cost the history: after a jump of more than a day between
//! two ticks, and after a start, retention waits an hour.

use super::history::History;
use super::keys;
use super::seal::Upkeep;
use super::{Error, Result, stats};
use crate::model::units::{Bytes, Millis, Timestamp};

const EVERY: Millis = Millis::HOUR;
const JUMP: Millis = Millis::DAY;
/// A log is closed early when it gets this long.
const LOG_MAX: u64 = 64 << 20;
/// The least limit in bytes: the logs, a day of samples and the newest rollups must fit.
const BYTES_MIN: Bytes = Bytes(16 << 20);
/// The limit is looked at again when the logs have grown by this much.
const GROWN: Bytes = Bytes(1 << 20);
/// Room that sealing needs beside the logs, so that it never goes beyond the limit.
const SEALING: Bytes = Bytes(4 << 20);

/// How long each tier is kept, and how much in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Age at which raw samples go, by whole days.
    pub raw: Millis,
    /// Age at which 5 min buckets go, by whole months.
    pub rollup_5m: Millis,
    /// Age at which 1 h buckets go, by whole years.
    pub rollup_1h: Millis,
    /// Bytes on disk that are never exceeded: the oldest goes first. `None` is no limit; at least
    /// 16 MiB.
    pub max_bytes: Option<Bytes>,
}

impl Default for Retention {
    /// 30 days, 2 years, 10 years, no limit in bytes.
    fn default() -> Self {
        Self {
            raw: Millis(30 * Millis::DAY.0),
            rollup_5m: Millis(730 * Millis::DAY.0),
            rollup_1h: Millis(3_652 * Millis::DAY.0),
            max_bytes: None,
        }
    }
}

impl Retention {
    pub(super) fn check(&self) -> Result<()> {
        if self.raw > self.rollup_5m || self.rollup_5m > self.rollup_1h {
            return Err(Error::Retention);
        }
        match self.max_bytes {
            Some(limit) if limit < BYTES_MIN => Err(Error::Budget {
                limit,
                least: BYTES_MIN,
            }),
            _ => Ok(()),
        }
    }

    /// Length at which a log is closed early, so that logs never take most of the limit.
    pub(super) fn log_max(&self) -> u64 {
        self.max_bytes
            .map_or(LOG_MAX, |limit| LOG_MAX.min(limit.0 / 16))
    }
}

impl History {
    pub(super) fn retain_if_due(&self, upkeep: &mut Upkeep, now: Timestamp) -> Result<Vec<String>> {
        let mut dropped = self.drop_surplus(upkeep)?;
        let jumped = upkeep.last.is_none_or(|last| {
            now.since(last) > JUMP.as_duration() || last.since(now) > JUMP.as_duration()
        });
        match upkeep.retain_at {
            Some(at) if !jumped && now >= at => {
                upkeep.retain_at = Some(now.plus(EVERY.as_duration()));
                dropped.extend(self.drop_old(now)?);
            }
            Some(at) if !jumped && at <= now.plus(EVERY.as_duration()) => {}
            _ => upkeep.retain_at = Some(now.plus(EVERY.as_duration())),
        }
        Ok(dropped)
    }

    /// Drops what is older than its tier is kept.
    pub(super) fn drop_old(&self, now: Timestamp) -> Result<Vec<String>> {
        let keep = self.options.retention;
        let mut dropped = Vec::new();
        for name in self.databases.names()? {
            let age = match name.split_once('-') {
                Some(("raw", _)) => keep.raw,
                Some(("r5m", _)) => keep.rollup_5m,
                _ => keep.rollup_1h,
            };
            let is_old = keys::part_bounds(&name)
                .is_some_and(|(_, end)| end <= now.minus(age.as_duration()));
            if is_old && self.databases.remove(&name)? {
                dropped.push(name);
            }
        }
        self.drop_tallies(&dropped)?;
        Ok(dropped)
    }

    /// Drops the oldest while the store takes more than it may, so that what the logs hold can
    /// still be sealed: looked at again when the logs have grown.
    pub(super) fn drop_surplus(&self, upkeep: &mut Upkeep) -> Result<Vec<String>> {
        let Some(limit) = self.options.retention.max_bytes else {
            return Ok(Vec::new());
        };
        let logs = stats::bytes_in(self.logs())?;
        if upkeep
            .measured
            .is_some_and(|before| logs.0 >= before.0 && logs.0 - before.0 < GROWN.0)
        {
            return Ok(Vec::new());
        }
        let room = logs.0 + SEALING.0;
        let mut dropped = Vec::new();
        while stats::bytes_in(&self.options.dir)?.0 + room > limit.0 {
            match self.oldest()? {
                Some(name) if self.databases.remove(&name)? => dropped.push(name),
                _ => break,
            }
        }
        upkeep.measured = Some(logs);
        self.drop_tallies(&dropped)?;
        Ok(dropped)
    }

    /// The part to go first: days of samples before months before years, never the newest of each.
    fn oldest(&self) -> Result<Option<String>> {
        let names = self.databases.names()?;
        for kind in ["raw-", "r5m-", "r1h-"] {
            let mut of_kind = names.iter().filter(|name| name.starts_with(kind));
            if let (Some(oldest), Some(_)) = (of_kind.next(), of_kind.next()) {
                return Ok(Some(oldest.clone()));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_may_not_outlive_the_one_made_of_it() {
        assert!(Retention::default().check().is_ok());
        let wrong = Retention {
            raw: Millis(800 * Millis::DAY.0),
            ..Retention::default()
        };
        assert!(matches!(wrong.check(), Err(Error::Retention)));
        let tight = Retention {
            max_bytes: Some(Bytes(1 << 20)),
            ..Retention::default()
        };
        assert!(matches!(tight.check(), Err(Error::Budget { .. })));
    }
}
