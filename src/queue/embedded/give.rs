//! Giving jobs out, and leases that go on: what is answered before it is written.
//!
//! For: claims that cost no write where the job is done soon. A claim that is lost is only a second
//! delivery, so it stays in memory until the job moves on, or the next look at what is due writes
//! all of them together: a second at most.

use std::collections::HashMap;

use super::Ledger;
use super::keys::{self, Part};
use crate::model::job::{JobState, QueueName};
use crate::model::units::Timestamp;
use crate::queue::entry::Entry;
use crate::queue::{Claim, Claimed, Error, Result};
use crate::store::Write;

/// Entries that are newer than their rows, by queue and job.
pub(super) type Unwritten = HashMap<(u32, u64), Entry>;

/// Rows and bytes of one batch.
const ROWS: usize = 64;
const BYTES: usize = 256 << 10;

impl Ledger {
    pub(super) fn give_out(
        &mut self,
        name: &QueueName,
        claim: &Claim,
        now: Timestamp,
    ) -> Result<Vec<Claimed>> {
        self.come_up(name, now)?;
        let (mut claimed, mut passed) = (Vec::new(), None);
        while claimed.len() < claim.max {
            let line = self.line_mut(name)?;
            if line.room(now) == 0 {
                break;
            }
            let line = self.line(name)?;
            let Some(place) = line.next(passed) else {
                break;
            };
            let entry = self.load_listed(line, place.1)?;
            if entry.overdue(&line.config, now).is_some() {
                // `expire` fails it; those behind it need not wait for that.
                passed = Some(place);
                continue;
            }
            claimed.push(self.give(name, &entry, claim, now)?);
        }
        Ok(claimed)
    }

    fn give(
        &mut self,
        name: &QueueName,
        entry: &Entry,
        claim: &Claim,
        now: Timestamp,
    ) -> Result<Claimed> {
        let nonce = self.nonce;
        let line = self.line(name)?;
        let mut after = entry.clone();
        let lease = after.claim(&line.config, &claim.worker, claim.lease, nonce, now);
        let job = self.whole(name, line, &after)?;
        self.move_unwritten(name, entry, after)?;
        self.line_mut(name)?.began(now);
        self.latest = self.latest.max(now);
        Ok(Claimed { job, lease })
    }

    /// Moves an entry in memory alone.
    pub(super) fn move_unwritten(
        &mut self,
        name: &QueueName,
        before: &Entry,
        after: Entry,
    ) -> Result<()> {
        let line = self.line_mut(name)?;
        line.take(before);
        line.put(&after);
        let at = (line.number, after.seq);
        self.unwritten.insert(at, after);
        Ok(())
    }

    /// Shortens leases from the future, where the clock was set back.
    pub(super) fn set_back(&mut self, now: Timestamp) -> Result<()> {
        if now < self.latest {
            for name in self.lines.keys().cloned().collect::<Vec<_>>() {
                let line = self.line(&name)?;
                for (_, seq) in line.list(JobState::Active, None, usize::MAX) {
                    let line = self.line(&name)?;
                    let before = self.load_listed(line, seq)?;
                    let mut after = before.clone();
                    after.set_back(&line.config, now);
                    if after != before {
                        self.move_unwritten(&name, &before, after)?;
                    }
                }
            }
        }
        self.latest = now;
        Ok(())
    }

    /// Writes what is in memory alone; not yet past the barrier.
    pub(super) fn write_claims(&mut self) -> Result<()> {
        while !self.unwritten.is_empty() {
            let (mut writes, mut written, mut bytes) = (Vec::new(), Vec::new(), 0);
            for (&(number, seq), entry) in &self.unwritten {
                let write = keys::put(keys::job(number, seq, Part::Entry), entry)?;
                if let Write::Put(_, value) = &write {
                    bytes += value.len();
                }
                writes.push(write);
                written.push((number, seq));
                if writes.len() == ROWS || bytes > BYTES {
                    break;
                }
            }
            self.rows.write(writes)?;
            for at in written {
                self.unwritten.remove(&at);
            }
        }
        Ok(())
    }

    pub(super) fn come_up(&mut self, name: &QueueName, now: Timestamp) -> Result<()> {
        let Some(mut line) = self.lines.remove(name) else {
            return Err(Error::UnknownQueue(name.to_string()));
        };
        let read = |number, seq| {
            let found = self.load_written(number, seq)?;
            let damaged = || self.rows.damaged("a delayed job that has no entry");
            Ok(found.ok_or_else(damaged)?)
        };
        let outcome = line.come_up(now, read);
        self.lines.insert(name.clone(), line);
        outcome
    }
}

impl Drop for Ledger {
    /// Who has a job keeps it when the process is stopped and started again.
    fn drop(&mut self) {
        if let Err(error) = self.write_claims() {
            tracing::warn!(%error, "claims are not written; their jobs are given out again");
        }
    }
}
