//! Dropping what is too old, or too much: whole days, months and years, never single values.
//!
//! For: keeping the store within its age and its bytes. Not for: deciding how long (`config`).
//! Read [`History::retain_if_due`] first.
//!
//! A clock that was set wrong must not cost the history: after a jump of more than a day between
//! two ticks, and after a start, retention waits an hour.

use super::history::History;
use super::keys::{self, HOURS_DATABASE};
use super::seal::Upkeep;
use super::sketches::KEPT_5M;
use super::{Error, Result, stats};
use crate::model::units::{Bytes, Millis, Timestamp};

const EVERY: Millis = Millis::HOUR;
const JUMP: Millis = Millis::DAY;
/// Whole units that one pass drops to come back under the limit in bytes.
const DROPS_MAX: usize = 16;

/// How long each tier is kept, and how much in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Age at which raw samples go, by whole days.
    pub raw: Millis,
    /// Age at which 5 min buckets go, by whole months.
    pub rollup_5m: Millis,
    /// Age at which 1 h buckets go, by whole years.
    pub rollup_1h: Millis,
    /// Bytes on disk above which the oldest goes first; `None` is no limit.
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
        if self.raw <= self.rollup_5m && self.rollup_5m <= self.rollup_1h {
            Ok(())
        } else {
            Err(Error::Retention)
        }
    }
}

impl History {
    pub(super) fn retain_if_due(&self, upkeep: &mut Upkeep, now: Timestamp) -> Result<Vec<String>> {
        let jumped = upkeep.last.is_none_or(|last| {
            now.since(last) > JUMP.as_duration() || last.since(now) > JUMP.as_duration()
        });
        match upkeep.retain_at {
            Some(at) if !jumped && now >= at => {
                upkeep.retain_at = Some(now.plus(EVERY.as_duration()));
                self.retain(upkeep, now)
            }
            Some(at) if !jumped && at <= now.plus(EVERY.as_duration()) => Ok(Vec::new()),
            _ => {
                upkeep.retain_at = Some(now.plus(EVERY.as_duration()));
                Ok(Vec::new())
            }
        }
    }

    /// Drops what is older than its tier is kept, then the oldest while there is too much.
    pub(super) fn retain(&self, upkeep: &mut Upkeep, now: Timestamp) -> Result<Vec<String>> {
        let keep = self.options.retention;
        let mut dropped = Vec::new();
        let is_old = |end: Option<Timestamp>, age: Millis| {
            end.is_some_and(|end| end <= now.minus(age.as_duration()))
        };
        for name in self.databases.names()? {
            let end = keys::month_end(&name);
            if is_old(end, keep.rollup_5m) {
                self.drop_database(&name, &mut dropped)?;
            } else if !upkeep.settled.contains(&name) {
                self.drop_trees(&name, &mut dropped, |tree| {
                    is_old(keys::day_end(tree), keep.raw)
                        || is_old(keys::year_end(tree), keep.rollup_1h)
                        || is_old(keys::sketches_end(tree), KEPT_5M)
                })?;
                if is_old(end, keep.raw) && is_old(end, KEPT_5M) {
                    upkeep.settled.insert(name);
                }
                self.databases.close_idle();
            }
        }
        if let Some(limit) = keep.max_bytes {
            for _ in 0..DROPS_MAX {
                if stats::bytes_in(&self.options.dir)? <= limit
                    || !self.drop_oldest(&mut dropped)?
                {
                    break;
                }
            }
        }
        self.drop_tallies(&dropped)?;
        Ok(dropped)
    }

    fn drop_database(&self, name: &str, dropped: &mut Vec<String>) -> Result<()> {
        if let Some(database) = self.databases.find(name)? {
            dropped.extend(database.trees());
        }
        if self.databases.remove(name)? {
            dropped.push(name.to_owned());
        }
        Ok(())
    }

    fn drop_trees(
        &self,
        name: &str,
        dropped: &mut Vec<String>,
        doomed: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let Some(database) = self.databases.find(name)? else {
            return Ok(());
        };
        let before = dropped.len();
        for tree in database.trees().into_iter().filter(|tree| doomed(tree)) {
            database.drop_tree(&tree)?;
            dropped.push(tree);
        }
        if dropped.len() > before {
            database.barrier()?;
        }
        Ok(())
    }

    /// Drops the oldest month, but never the newest; a file shrinks only when it goes as a whole.
    /// With one month left, the oldest of its days but the newest goes, which makes room inside.
    fn drop_oldest(&self, dropped: &mut Vec<String>) -> Result<bool> {
        let months: Vec<String> = self
            .databases
            .names()?
            .into_iter()
            .filter(|name| name != HOURS_DATABASE)
            .collect();
        let before = dropped.len();
        match &months[..] {
            [] => {}
            [only] => {
                let days: Vec<String> = match self.databases.find(only)? {
                    Some(database) => database.trees(),
                    None => Vec::new(),
                };
                let mut days = days.into_iter().filter(|tree| tree.starts_with("raw-"));
                if let (Some(oldest), Some(_)) = (days.next(), days.next()) {
                    self.drop_trees(only, dropped, |tree| tree == oldest)?;
                }
            }
            [oldest, ..] => self.drop_database(oldest, dropped)?,
        }
        Ok(dropped.len() > before)
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
    }
}
