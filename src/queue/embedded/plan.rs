//! A transition that is planned and not yet done.
//!
//! For: gathering all rows and all moves of one transition, so that they happen together. Read
//! [`Ledger::apply`] first.

use std::collections::BTreeMap;

use super::keys::{self, Part};
use super::{INLINE_MAX, Ledger};
use crate::model::job::{JobState, Payload, QueueName};
use crate::model::units::Timestamp;
use crate::queue::checks::TRIM_MAX;
use crate::queue::entry::Entry;
use crate::queue::trail::Trail;
use crate::queue::{Change, Enqueued, Result};
use crate::store::Write;

/// An entry that comes, goes or moves.
#[derive(Debug)]
struct Move {
    queue: QueueName,
    before: Option<Entry>,
    after: Option<Entry>,
}

/// A change to who counts as the same.
#[derive(Debug)]
struct Same {
    queue: QueueName,
    id: String,
    to: Option<(u64, Option<Timestamp>)>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) writes: Vec<Write>,
    moves: Vec<Move>,
    same: Vec<Same>,
    /// By queue: its number, and its totals of done and given up.
    totals: BTreeMap<QueueName, (u32, u64, u64)>,
    trims: Vec<(QueueName, JobState, u64)>,
    /// Jobs that go after the batch: their parents still count them.
    gone: Vec<(QueueName, u64)>,
    pub(super) changes: Vec<Change>,
    /// The job that the plan adds.
    pub(super) enqueued: Option<Enqueued>,
}

impl Plan {
    /// Puts a new entry, or one that was not seen before, in its place.
    pub(super) fn add(
        &mut self,
        (queue, number): (&QueueName, u32),
        mut entry: Entry,
        data: &Payload,
    ) -> Result<()> {
        if data.size() <= INLINE_MAX {
            entry.data = Some(data.clone());
        } else {
            let key = keys::job(number, entry.seq, Part::Data);
            let text = data.text().as_bytes().to_vec();
            self.writes.push(Write::Put(key, text));
        }
        self.put((queue, number), None, entry)
    }

    /// Moves an entry from where it stood.
    pub(super) fn put(
        &mut self,
        (queue, number): (&QueueName, u32),
        before: Option<Entry>,
        after: Entry,
    ) -> Result<()> {
        let key = keys::job(number, after.seq, Part::Entry);
        self.writes.push(keys::put(key, &after)?);
        self.moves.push(Move {
            queue: queue.clone(),
            before,
            after: Some(after),
        });
        Ok(())
    }

    /// Takes an entry away with all its rows.
    pub(super) fn remove(&mut self, (queue, number): (&QueueName, u32), before: Entry) {
        for part in Part::ALL {
            let is_there = match part {
                Part::Entry => true,
                Part::Data => before.data.is_none(),
                Part::Trail => before.has_trail,
                Part::Result => before.has_result,
                Part::Children => before.has_children,
            };
            if is_there {
                let key = keys::job(number, before.seq, part);
                self.writes.push(Write::Delete(key));
            }
        }
        self.moves.push(Move {
            queue: queue.clone(),
            before: Some(before),
            after: None,
        });
    }

    /// Writes what was told about a job.
    pub(super) fn trail(&mut self, number: u32, entry: &mut Entry, trail: &Trail) -> Result<()> {
        entry.has_trail = true;
        let key = keys::job(number, entry.seq, Part::Trail);
        self.writes.push(keys::put(key, trail)?);
        Ok(())
    }

    /// Writes what a job gave.
    pub(super) fn result(&mut self, number: u32, entry: &mut Entry, result: &Payload) {
        entry.has_result = true;
        let key = keys::job(number, entry.seq, Part::Result);
        let text = result.text().as_bytes().to_vec();
        self.writes.push(Write::Put(key, text));
    }

    /// Notes who counts as the same from here on.
    pub(super) fn same(
        &mut self,
        (queue, number): (&QueueName, u32),
        id: &str,
        to: Option<(u64, Option<Timestamp>)>,
    ) {
        let key = keys::same(number, id);
        self.writes.push(match to {
            Some((seq, until)) => Write::Put(key, keys::same_value(seq, until)),
            None => Write::Delete(key),
        });
        self.same.push(Same {
            queue: queue.clone(),
            id: id.to_owned(),
            to,
        });
    }

    /// Counts a job that ended, and notes that its list may be longer than it should.
    pub(super) fn count(
        &mut self,
        (queue, number): (&QueueName, u32),
        (done, given_up): (u64, u64),
        entry: &Entry,
    ) {
        let (one_done, one_given_up) = match entry.state {
            JobState::Completed => (1, 0),
            JobState::Failed | JobState::Dead => (0, 1),
            _ => return,
        };
        let totals = self.totals.entry(queue.clone());
        let totals = totals.or_insert((number, done, given_up));
        totals.1 += one_done;
        totals.2 += one_given_up;
    }

    /// Notes that a job goes as soon as the batch is written.
    pub(super) fn remove_after(&mut self, queue: &QueueName, seq: u64) {
        self.gone.push((queue.clone(), seq));
    }

    /// Notes that no more than `most` jobs are to be kept that ended in `state`.
    pub(super) fn trim(&mut self, queue: &QueueName, state: JobState, most: u64) {
        self.trims.push((queue.clone(), state, most));
    }
}

impl Ledger {
    /// Writes a plan as one batch, and then takes it over into memory. What is too much to keep
    /// goes afterwards, job by job.
    pub(super) fn apply(&mut self, mut plan: Plan, now: Timestamp) -> Result<Vec<Change>> {
        for (number, done, given_up) in plan.totals.values() {
            let value = keys::pair(*done, *given_up);
            plan.writes.push(Write::Put(keys::totals(*number), value));
        }
        if let Err(error) = self.rows.write(plan.writes) {
            // The mark of the numbers that are taken may not have got there.
            self.taken = self.next;
            return Err(error.into());
        }
        for moved in plan.moves {
            let Some(line) = self.lines.get_mut(&moved.queue) else {
                continue;
            };
            if let Some(before) = &moved.before {
                line.take(before);
                self.unwritten.remove(&(line.number, before.seq));
            }
            match (&moved.before, &moved.after) {
                (None, Some(after)) => line.know(after),
                (Some(before), None) => line.forget(before),
                _ => {}
            }
            if let Some(after) = &moved.after {
                line.put(after);
            }
        }
        for same in plan.same {
            if let Some(line) = self.lines.get_mut(&same.queue) {
                line.set_same(&same.id, same.to);
            }
        }
        for (queue, (_, done, given_up)) in plan.totals {
            if let Some(line) = self.lines.get_mut(&queue) {
                (line.completed_total, line.failed_total) = (done, given_up);
            }
        }
        let mut changes = plan.changes;
        for (queue, state, most) in plan.trims {
            self.trim(&queue, state, most, now, &mut changes)?;
        }
        for (queue, seq) in plan.gone {
            changes.extend(self.remove_one(&queue, seq, now)?);
        }
        Ok(changes)
    }

    fn trim(
        &mut self,
        queue: &QueueName,
        state: JobState,
        most: u64,
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) -> Result<()> {
        let Ok(line) = self.line(queue) else {
            return Ok(());
        };
        let over = line.count(state).saturating_sub(most);
        let over = usize::try_from(over).unwrap_or(TRIM_MAX).min(TRIM_MAX);
        for (_, seq) in line.oldest(state, None, over) {
            changes.extend(self.remove_one(queue, seq, now)?);
        }
        Ok(())
    }
}
