//! What follows from a job's transition: its row, its totals, its parent, and who counts as the same.

use super::keys::{self, Part};
use super::plan::Plan;
use super::{Ledger, Line};
use crate::model::job::{Failure, JobRef, JobState, Payload, QueueName};
use crate::model::units::Timestamp;
use crate::queue::entry::Entry;
use crate::queue::trail::{Trail, error_of, unheard};
use crate::queue::{Change, Error, Result};
use crate::store::Write;

/// What a worker gave or told at the end of an attempt.
#[derive(Debug, Default)]
pub(super) struct Told<'a> {
    pub(super) failure: Option<&'a Failure>,
    pub(super) result: Option<&'a Payload>,
}

impl Ledger {
    /// The entry of a job, where it stands now.
    pub(super) fn load(&self, line: &Line, seq: u64) -> Result<Option<Entry>> {
        let Some(mut entry) = self.load_written(line.number, seq)? else {
            return Ok(None);
        };
        // That it came up is not written: it follows from the time.
        if entry.state == JobState::Delayed && !line.is_delayed(&entry) {
            entry.state = JobState::Waiting;
            entry.retrying = false;
        }
        Ok(Some(entry))
    }

    /// The entry of a job as its last transition left it.
    pub(super) fn load_written(&self, number: u32, seq: u64) -> Result<Option<Entry>> {
        if let Some(entry) = self.unwritten.get(&(number, seq)) {
            return Ok(Some(entry.clone()));
        }
        let key = keys::job(number, seq, Part::Entry);
        let Some(value) = self.rows.get(&key)? else {
            return Ok(None);
        };
        let mut entry: Entry = keys::read(&self.rows, &value)?;
        entry.seq = seq;
        Ok(Some(entry))
    }

    /// As [`Ledger::load`], for one that is in a list.
    pub(super) fn load_listed(&self, line: &Line, seq: u64) -> Result<Entry> {
        let found = self.load(line, seq)?;
        let damaged = || self.rows.damaged("a job of a list that has no entry");
        Ok(found.ok_or_else(damaged)?)
    }

    /// The job of an id.
    pub(super) fn find(&self, name: &QueueName, id: &str) -> Result<Option<Entry>> {
        let line = self.line(name)?;
        if id.bytes().all(|b| b.is_ascii_digit()) {
            let Ok(seq) = id.parse() else {
                return Ok(None);
            };
            let entry = self.load(line, seq)?;
            return Ok(entry.filter(|entry| entry.id() == id));
        }
        for seq in line.named(id) {
            let entry = self.load(line, seq)?;
            if let Some(entry) = entry.filter(|entry| entry.id() == id) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// As [`Ledger::find`], for one that must be there.
    pub(super) fn known(&self, name: &QueueName, id: &str) -> Result<Entry> {
        self.find(name, id)?.ok_or_else(|| Error::UnknownJob {
            queue: name.to_string(),
            id: id.to_owned(),
        })
    }

    pub(super) fn load_trail(&self, number: u32, entry: &Entry) -> Result<Trail> {
        if !entry.has_trail {
            return Ok(Trail::default());
        }
        let key = keys::job(number, entry.seq, Part::Trail);
        match self.rows.get(&key)? {
            Some(value) => Ok(keys::read(&self.rows, &value)?),
            None => Ok(Trail::default()),
        }
    }

    /// Plans that `before` became `after`, with all that follows.
    pub(super) fn plan_move(
        &self,
        plan: &mut Plan,
        name: &QueueName,
        (before, mut after): (Entry, Entry),
        told: &Told<'_>,
        now: Timestamp,
    ) -> Result<()> {
        let line = self.line(name)?;
        let at = (name, line.number);
        let is_new_end = after.state.is_final() && !before.state.is_final();
        plan.changes.push(after.change(name, told.failure, now));
        if is_new_end {
            self.plan_end(plan, name, &mut after, now)?;
            if after.goes_at_once(&line.config) {
                if after.parent.is_none() || after.counted {
                    plan.remove(at, before);
                    return Ok(());
                }
                plan.remove_after(name, after.seq);
            } else if let Some(most) = after.bound(&line.config).count {
                plan.trim(name, after.state, most);
            }
        }
        if let Some(failure) = told.failure {
            let mut trail = self.load_trail(line.number, &before)?;
            trail.add_error(error_of(&before, failure, now));
            plan.trail(line.number, &mut after, &trail)?;
        }
        if let Some(result) = told.result {
            plan.result(line.number, &mut after, result);
        }
        plan.put(at, Some(before), after)
    }

    /// Plans what follows from an end: totals, the window of its like, its parent.
    fn plan_end(
        &self,
        plan: &mut Plan,
        name: &QueueName,
        entry: &mut Entry,
        now: Timestamp,
    ) -> Result<()> {
        let line = self.line(name)?;
        let at = (name, line.number);
        plan.count(at, (line.completed_total, line.failed_total), entry);
        self.plan_unlike(plan, name, entry, false)?;
        self.plan_parent(plan, entry, now)
    }

    /// Plans that others do not count as the same any more.
    fn plan_unlike(
        &self,
        plan: &mut Plan,
        name: &QueueName,
        entry: &Entry,
        also_windows: bool,
    ) -> Result<()> {
        let line = self.line(name)?;
        if let Some(same) = &entry.opts.deduplication
            && let Some((seq, until)) = line.same.get(same.id.as_str())
            && *seq == entry.seq
            && (until.is_none() || also_windows)
        {
            plan.same((name, line.number), &same.id, None);
        }
        Ok(())
    }

    /// Plans what a parent makes of its child's end; marks the child if it is not waited for.
    fn plan_parent(&self, plan: &mut Plan, child: &mut Entry, now: Timestamp) -> Result<()> {
        let Some(JobRef { queue, id }) = child.parent.clone().filter(|_| !child.counted) else {
            return Ok(());
        };
        let fails = matches!(
            child.state,
            JobState::Failed | JobState::Dead | JobState::Cancelled
        );
        let is_settled = !fails || child.opts.ignore_dependency_on_failure;
        if !is_settled && !child.opts.fail_parent_on_failure {
            return Ok(());
        }
        if !self.lines.contains_key(&queue) {
            return Ok(());
        }
        let found = self.find(&queue, &id)?;
        let Some(before) = found.filter(|found| found.is_parent_of(child)) else {
            return Ok(());
        };
        let mut after = before.clone();
        if is_settled {
            child.counted = true;
            after.child_settled(now);
            if before.state != after.state {
                plan.changes.push(after.change(&queue, None, now));
            }
            let number = self.line(&queue)?.number;
            plan.put((&queue, number), Some(before), after)
        } else if before.state == JobState::WaitingChildren {
            let failure = unheard("ChildFailed", format!("its child {:?} failed", child.id()));
            after.give_up(&self.line(&queue)?.config, now);
            let told = Told {
                failure: Some(&failure),
                result: None,
            };
            self.plan_move(plan, &queue, (before, after), &told, now)
        } else {
            Ok(())
        }
    }

    /// Removes a job with all that is known of it.
    pub(super) fn remove_one(
        &mut self,
        name: &QueueName,
        seq: u64,
        now: Timestamp,
    ) -> Result<Vec<Change>> {
        let line = self.line(name)?;
        let Some(entry) = self.load(line, seq)? else {
            return Ok(Vec::new());
        };
        let number = line.number;
        let mut plan = Plan::default();
        self.plan_unlike(&mut plan, name, &entry, !entry.state.is_final())?;
        // A child that is gone is not waited for.
        let mut gone = entry.clone();
        gone.state = JobState::Completed;
        self.plan_parent(&mut plan, &mut gone, now)?;
        plan.remove((name, number), entry);
        self.apply(plan, now)
    }

    /// Ends an attempt, or the job, because its time is over.
    pub(super) fn fail_overdue(
        &mut self,
        name: &QueueName,
        seq: u64,
        now: Timestamp,
    ) -> Result<Vec<Change>> {
        let line = self.line(name)?;
        let Some(before) = self.load(line, seq)? else {
            return Ok(Vec::new());
        };
        let Some(failure) = before.overdue(&line.config, now) else {
            return Ok(Vec::new());
        };
        let mut after = before.clone();
        if before.state == JobState::Active {
            after.fail(&line.config, &failure, now);
        } else {
            after.give_up(&line.config, now);
        }
        let told = Told {
            failure: Some(&failure),
            result: None,
        };
        let mut plan = Plan::default();
        self.plan_move(&mut plan, name, (before, after), &told, now)?;
        self.apply(plan, now)
    }

    /// Ends windows in which others counted as the same.
    pub(super) fn end_windows(
        &mut self,
        name: &QueueName,
        limit: usize,
        now: Timestamp,
    ) -> Result<()> {
        let line = self.line(name)?;
        let ended = line.ended_windows(limit, now);
        let number = line.number;
        for some in ended.chunks(100) {
            let writes = some.iter().map(|id| Write::Delete(keys::same(number, id)));
            self.rows.write(writes.collect())?;
            let line = self.line_mut(name)?;
            for id in some {
                line.set_same(id, None);
            }
        }
        Ok(())
    }
}
