//! Ends of attempts: one, or many with few batches.

use std::collections::HashSet;

use super::Ledger;
use super::plan::Plan;
use super::transit::Told;
use crate::model::job::{Keep, QueueName};
use crate::model::units::Timestamp;
use crate::queue::checks::check_size;
use crate::queue::entry::Entry;
use crate::queue::{Change, Ending, Outcome, Result};

/// Rows that are planned before they are written; one ending takes a few.
const ROWS: usize = 90;
/// Bytes of results and errors in one batch.
const BYTES: usize = 192 << 10;

/// Endings that are planned and not yet written.
#[derive(Default)]
struct Pending {
    plan: Plan,
    /// Which endings, and where their changes begin.
    planned: Vec<(usize, usize)>,
    jobs: HashSet<u64>,
    bytes: usize,
}

type Answers = [Option<Result<Vec<Change>>>];

impl Ledger {
    /// The job of a lease that is in force.
    pub(super) fn leased(&self, name: &QueueName, (id, token): (&str, &str)) -> Result<Entry> {
        let entry = self.known(name, id)?;
        entry.check_lease(token)?;
        Ok(entry)
    }

    /// Plans the end of an attempt.
    fn plan_settle(
        &self,
        plan: &mut Plan,
        name: &QueueName,
        before: Entry,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Result<()> {
        let config = &self.line(name)?.config;
        let mut after = before.clone();
        let mut told = Told::default();
        match outcome {
            Outcome::Complete(result) => {
                check_size(result, name, config.max_payload)?;
                after.complete(now);
                told.result = Some(result).filter(|result| !result.is_null());
            }
            Outcome::Fail(failure) => {
                after.fail(config, failure, now);
                told.failure = Some(failure);
            }
            Outcome::Release => after.release(now),
        }
        self.plan_move(plan, name, (before, after), &told, now)
    }

    /// Ends one attempt.
    pub(super) fn settle_one(
        &mut self,
        name: &QueueName,
        by: (&str, &str),
        outcome: &Outcome,
        now: Timestamp,
    ) -> Result<Vec<Change>> {
        let before = self.leased(name, by)?;
        let mut plan = Plan::default();
        self.plan_settle(&mut plan, name, before, outcome, now)?;
        self.apply(plan, now)
    }

    /// Ends attempts, many to a batch. Those that cannot be written together are tried one by one.
    pub(super) fn settle_each(
        &mut self,
        name: &QueueName,
        endings: &[Ending],
        now: Timestamp,
    ) -> Vec<Result<Vec<Change>>> {
        let mut answers: Vec<Option<Result<Vec<Change>>>> = Vec::new();
        answers.resize_with(endings.len(), || None);
        let mut pending = Pending::default();
        for (at, ending) in endings.iter().enumerate() {
            let by = (ending.id.as_str(), ending.token.as_str());
            let before = self.leased(name, by).ok();
            let size = size_of(&ending.outcome);
            let is_plain = |entry: &Entry| !pending.jobs.contains(&entry.seq) && is_plain(entry);
            let is_apart = !before.as_ref().is_some_and(is_plain);
            let is_full = pending.plan.writes.len() >= ROWS || pending.bytes + size > BYTES;
            if is_apart || is_full {
                let full = std::mem::take(&mut pending);
                self.write_endings(name, full, endings, &mut answers, now);
            }
            let Some(before) = before.filter(|_| !is_apart) else {
                let settled = self.settle_one(name, by, &ending.outcome, now);
                set(&mut answers, at, settled);
                continue;
            };
            let seq = before.seq;
            let from = pending.plan.changes.len();
            let plan = &mut pending.plan;
            if let Err(error) = self.plan_settle(plan, name, before, &ending.outcome, now) {
                set(&mut answers, at, Err(error));
                continue;
            }
            pending.jobs.insert(seq);
            pending.bytes += size;
            pending.planned.push((at, from));
        }
        self.write_endings(name, pending, endings, &mut answers, now);
        let missing = || Err(self.rows.damaged("an ending that was not planned").into());
        let answers = answers.into_iter();
        answers.map(|one| one.unwrap_or_else(missing)).collect()
    }

    fn write_endings(
        &mut self,
        name: &QueueName,
        pending: Pending,
        endings: &[Ending],
        answers: &mut Answers,
        now: Timestamp,
    ) {
        let Ok(mut changes) = self.apply(pending.plan, now) else {
            for (at, _) in pending.planned {
                if let Some(one) = endings.get(at) {
                    let settled = self.settle_one(name, (&one.id, &one.token), &one.outcome, now);
                    set(answers, at, settled);
                }
            }
            return;
        };
        // What follows for other jobs stands after what was planned, and so goes with the last.
        for (at, from) in pending.planned.into_iter().rev() {
            let own = changes.split_off(from.min(changes.len()));
            set(answers, at, Ok(own));
        }
    }
}

/// Whether nothing of an ending must be seen by the next: no parent hears of it, and no bound of its
/// own removes others. The queue's bounds are the same for all, and so may come last.
fn is_plain(entry: &Entry) -> bool {
    let removes = |keep: Option<Keep>| {
        let count = keep.and_then(|keep| keep.count);
        count.is_some_and(|count| count > 0)
    };
    entry.parent.is_none()
        && !removes(entry.opts.remove_on_complete)
        && !removes(entry.opts.remove_on_fail)
}

/// Bytes that an ending brings along.
fn size_of(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Complete(result) => result.size(),
        Outcome::Fail(failure) => {
            // A trail keeps up to twenty errors and a hundred lines; it is written anew.
            let stack = failure.stack.as_ref().map_or(0, String::len);
            (64 << 10) + failure.message.len() + stack
        }
        Outcome::Release => 0,
    }
}

fn set(answers: &mut Answers, at: usize, answer: Result<Vec<Change>>) {
    if let Some(place) = answers.get_mut(at) {
        *place = Some(answer);
    }
}
