//! Flows: a job with the jobs that it waits for, enqueued together or not at all.
//!
//! A flow that fits into one batch is written as one. A larger one is written as *preparing*, batch
//! by batch; then one row says that it is whole; then its entries are written as what they are, and
//! the row goes. A crash before that row leaves nothing, a crash after it leaves the whole flow.

use super::Ledger;
use super::keys::{self, Part};
use super::plan::Plan;
use crate::model::job::{JobRef, JobState, QueueName};
use crate::model::units::Timestamp;
use crate::queue::checks::{check_flow, check_job, same_flow};
use crate::queue::entry::Entry;
use crate::queue::{Added, Enqueued, Error, Flow, Result};
use crate::store::Write;

/// A job of a flow with its place in it.
struct Member<'a> {
    flow: &'a Flow,
    number: u32,
    entry: Entry,
    children: Vec<JobRef>,
}

/// Rows and bytes of one batch, with room for what belongs to it.
const ROWS: usize = 96;
const BYTES: usize = 256 << 10;

fn size_of(write: &Write) -> usize {
    match write {
        Write::Put(key, value) => key.len() + value.len(),
        Write::Delete(key) => key.len(),
    }
}

impl Ledger {
    pub(super) fn add_flow(
        &mut self,
        flow: &Flow,
        now: Timestamp,
    ) -> Result<Vec<(QueueName, Enqueued)>> {
        check_flow(flow)?;
        if let Some(known) = same_flow(self, flow)? {
            return Ok(known);
        }
        self.check_new(flow)?;
        let mut members = Vec::new();
        let mut taken = Vec::new();
        self.number(flow, None, now, &mut members, &mut taken)?;
        self.rows.write(taken)?;
        let enqueued = |member: &Member<'_>| {
            let enqueued = member.entry.enqueued(Added::New);
            (member.flow.queue.clone(), enqueued)
        };
        let answer = members.iter().map(enqueued).collect();
        let mut plan = Plan::default();
        for member in &members {
            plan_member(&mut plan, member, member.entry.clone())?;
        }
        let bytes: usize = plan.writes.iter().map(size_of).sum();
        if plan.writes.len() <= ROWS && bytes <= BYTES {
            self.apply(plan, now)?;
        } else {
            self.write_large(&members)?;
            plan.writes.clear();
            self.apply(plan, now)?;
        }
        Ok(answer)
    }

    /// Looks at every job of a flow, before any is written; makes their queues.
    fn check_new(&mut self, flow: &Flow) -> Result<()> {
        let mut open = vec![flow];
        while let Some(one) = open.pop() {
            match self.lines.get(&one.queue) {
                Some(line) => check_job(&one.job, &one.queue, &line.config)?,
                None => check_job(
                    &one.job,
                    &one.queue,
                    &crate::model::job::QueueConfig::default(),
                )?,
            }
            if let Some(id) = &one.job.opts.job_id
                && self.lines.contains_key(&one.queue)
                && self.find(&one.queue, id)?.is_some()
            {
                return Err(Error::Conflict {
                    queue: one.queue.to_string(),
                    id: id.clone(),
                });
            }
            open.extend(&one.children);
        }
        let mut open = vec![flow];
        while let Some(one) = open.pop() {
            self.make_line(&one.queue)?;
            open.extend(&one.children);
        }
        Ok(())
    }

    /// Gives the jobs of a flow their numbers, parents before children.
    fn number<'a>(
        &mut self,
        flow: &'a Flow,
        parent: Option<(JobRef, u64)>,
        now: Timestamp,
        members: &mut Vec<Member<'a>>,
        taken: &mut Vec<Write>,
    ) -> Result<JobRef> {
        let seq = self.take_number(taken);
        let line = self.line(&flow.queue)?;
        let mut entry = Entry::new(seq, &flow.job, &line.config, now);
        (entry.parent, entry.parent_seq) = parent.unzip();
        entry.await_children(flow.children.len());
        let me = JobRef {
            queue: flow.queue.clone(),
            id: entry.id(),
        };
        let at = members.len();
        members.push(Member {
            flow,
            number: line.number,
            entry,
            children: Vec::new(),
        });
        let mut children = Vec::new();
        for child in &flow.children {
            children.push(self.number(child, Some((me.clone(), seq)), now, members, taken)?);
        }
        if let Some(member) = members.get_mut(at) {
            member.children = children;
        }
        Ok(me)
    }

    fn write_large(&mut self, members: &[Member<'_>]) -> Result<()> {
        let Some(first) = members.first().map(|member| member.entry.seq) else {
            return Ok(());
        };
        let mut preparing = Plan::default();
        let mut whole = Plan::default();
        for member in members {
            let mut entry = member.entry.clone();
            entry.state = JobState::Preparing;
            entry.flow = Some(first);
            plan_member(&mut preparing, member, entry)?;
            // The payloads are there by then; entries alone are written again.
            let mut writes = Plan::default();
            plan_member(&mut writes, member, member.entry.clone())?;
            let entry = keys::job(member.number, member.entry.seq, Part::Entry);
            let of_entry = |write: &Write| matches!(write, Write::Put(key, _) if *key == entry);
            whole
                .writes
                .extend(writes.writes.into_iter().filter(of_entry));
        }
        self.write_in_batches(preparing.writes)?;
        self.rows
            .write(vec![Write::Put(keys::flow(first), vec![1])])?;
        self.write_in_batches(whole.writes)?;
        self.rows.write(vec![Write::Delete(keys::flow(first))])?;
        Ok(())
    }

    fn write_in_batches(&self, writes: Vec<Write>) -> Result<()> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for write in writes {
            if batch.len() == ROWS || (bytes > 0 && bytes + size_of(&write) > BYTES) {
                self.rows.write(std::mem::take(&mut batch))?;
                bytes = 0;
            }
            bytes += size_of(&write);
            batch.push(write);
        }
        Ok(self.rows.write(batch)?)
    }
}

fn plan_member(plan: &mut Plan, member: &Member<'_>, entry: Entry) -> Result<()> {
    if entry.has_children {
        let key = keys::job(member.number, entry.seq, Part::Children);
        plan.writes.push(keys::put(key, &member.children)?);
    }
    let at = (&member.flow.queue, member.number);
    plan.add(at, entry, &member.flow.job.data)
}
