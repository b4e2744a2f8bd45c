//! Jobs in memory, kept the simplest way: every question looks at every job.
//!
//! For: tests, and as the model that the embedded keeper is held to. Not for: many jobs, nor for
//! jobs that matter: they are gone with the process. Read [`Model`] first.

mod expire;
mod verbs;

use std::collections::BTreeMap;

use super::checks::{TRIM_MAX, check_job, check_same};
use super::entry::Entry;
use super::shared::Shared;
use super::trail::{Trail, error_of, unheard};
use super::transition::{Added, Change, Enqueued, Flow};
use super::{Error, Result};
use crate::model::job::{Failure, Job, JobRef, JobState, NewJob, Payload, QueueConfig, QueueName};
use crate::model::units::Timestamp;

/// A keeper of jobs in memory.
pub type Memory = Shared<Model>;

impl Memory {
    /// Without any queue.
    pub fn empty() -> Self {
        let mut model = Model::default();
        // A keeper that begins knows no more of the time than one that begins again.
        model.restart();
        Self::new(model, None)
    }

    /// Forgets what a restart forgets: which delayed jobs had come up, and how many claims lie in
    /// the window of a rate limit.
    pub fn restart(&self) {
        self.with(Model::restart);
    }

    /// Forgets what a keeper that is killed may forget: claims and heartbeats since the last look at
    /// what is due, where nothing else became of their jobs; and what a restart forgets.
    pub fn crash(&self) {
        self.with(Model::crash);
    }

    /// Another keeper that holds the same.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::new(self.with(|model| model.clone()), None)
    }
}

/// All queues.
#[derive(Debug, Clone, Default)]
pub struct Model {
    queues: BTreeMap<QueueName, Queue>,
    next: u64,
    extras: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The latest instant that a lease began at.
    latest: Timestamp,
    /// How often it crashed: who has a lease of before has none.
    crashes: u64,
}

#[derive(Debug, Clone, Default)]
struct Queue {
    config: QueueConfig,
    paused: bool,
    jobs: BTreeMap<u64, Held>,
    /// By deduplication id: the job, and the end of the window if it has one.
    same: BTreeMap<String, (u64, Option<Timestamp>)>,
    completed_total: u64,
    failed_total: u64,
    /// Begin of the window of the rate limit, and the claims in it.
    window: Option<(Timestamp, u32)>,
}

#[derive(Debug, Clone)]
struct Held {
    entry: Entry,
    /// What a disk would still say, where a claim or a heartbeat is newer.
    on_disk: Option<Entry>,
    /// Whether it was delayed until it came up, and then whether it kept its key's place.
    came_up: Option<bool>,
    data: Payload,
    trail: Trail,
    result: Option<Payload>,
    children: Vec<JobRef>,
}

impl Queue {
    fn find(&self, queue: &QueueName, id: &str) -> Result<u64> {
        let found = self.jobs.values().find(|held| held.entry.id() == id);
        let found = found.map(|held| held.entry.seq);
        found.ok_or_else(|| Error::UnknownJob {
            queue: queue.to_string(),
            id: id.to_owned(),
        })
    }

    /// Numbers of the jobs that stand in `state`, in the order in which they come up or ended.
    fn in_order(&self, state: JobState) -> Vec<u64> {
        let mut all: Vec<_> = self
            .jobs
            .values()
            .filter(|held| held.entry.state == state)
            .map(|held| held.entry.order())
            .collect();
        all.sort_unstable();
        all.into_iter().map(|(_, seq)| seq).collect()
    }

    fn count(&self, state: JobState) -> u64 {
        let here = |held: &&Held| held.entry.state == state;
        self.jobs.values().filter(here).count() as u64
    }

    fn come_up(&mut self, now: Timestamp) {
        for held in self.jobs.values_mut() {
            if held.entry.state == JobState::Delayed && held.entry.run_at <= now {
                held.came_up = Some(held.entry.retrying);
                held.entry.state = JobState::Waiting;
                held.entry.retrying = false;
            }
        }
    }

    /// Whether the key of an entry has a place, with those passed over in their own.
    fn has_place(&self, entry: &Entry, passed: &[u64]) -> bool {
        let Some(key) = &entry.opts.key else {
            return true;
        };
        let others = self.jobs.values().map(|held| &held.entry).filter(|other| {
            let takes = other.holds_key() || passed.contains(&other.seq);
            takes && other.opts.key.as_ref() == Some(key)
        });
        (others.count() as u64) < u64::from(self.config.key_concurrency)
    }

    /// The next to run, but for those that were passed over.
    fn next(&self, passed: &[u64]) -> Option<u64> {
        let mut waiting = self.in_order(JobState::Waiting).into_iter();
        waiting.find(|seq| {
            let held = self.jobs.get(seq);
            !passed.contains(seq) && held.is_some_and(|held| self.has_place(&held.entry, passed))
        })
    }

    /// Claims that the bounds of the queue leave now.
    fn room(&mut self, now: Timestamp) -> u64 {
        let active = self.count(JobState::Active);
        let free = self
            .config
            .concurrency
            .map_or(u64::MAX, |most| u64::from(most).saturating_sub(active));
        let Some(limiter) = self.config.limiter else {
            return free;
        };
        self.end_window(now);
        let begun = self.window.map_or(0, |(_, begun)| begun);
        free.min(u64::from(limiter.max.saturating_sub(begun)))
    }

    /// Forgets the window of the rate limit if it has ended.
    fn end_window(&mut self, now: Timestamp) {
        if let Some((from, _)) = self.window
            && self.config.limiter.is_none_or(|limiter| {
                now < from || now >= from.plus(limiter.duration.as_duration())
            })
        {
            self.window = None;
        }
    }

    /// When jobs may be claimed again that only the rate limit holds back.
    fn window_end(&self) -> Option<Timestamp> {
        let (limiter, (from, begun)) = (self.config.limiter?, self.window?);
        let is_held = begun >= limiter.max && self.next(&[]).is_some();
        is_held.then(|| from.plus(limiter.duration.as_duration()))
    }

    fn release_same(&mut self, seq: u64, also_windows: bool) {
        self.same
            .retain(|_, (of, until)| *of != seq || (until.is_some() && !also_windows));
    }
}

impl Model {
    fn queue(&mut self, name: &QueueName) -> Result<&mut Queue> {
        let found = self.queues.get_mut(name);
        found.ok_or_else(|| Error::UnknownQueue(name.to_string()))
    }

    fn look(&self, name: &QueueName) -> Result<&Queue> {
        let found = self.queues.get(name);
        found.ok_or_else(|| Error::UnknownQueue(name.to_string()))
    }

    fn restart(&mut self) {
        self.write_claims();
        self.latest = Timestamp::from_millis(i64::MAX);
        for queue in self.queues.values_mut() {
            queue.window = None;
            for held in queue.jobs.values_mut() {
                if let Some(retrying) = held.came_up.take()
                    && held.entry.state == JobState::Waiting
                {
                    held.entry.state = JobState::Delayed;
                    held.entry.retrying = retrying;
                }
            }
        }
    }

    fn crash(&mut self) {
        for queue in self.queues.values_mut() {
            for held in queue.jobs.values_mut() {
                if let Some(entry) = held.on_disk.take() {
                    held.entry = entry;
                }
            }
        }
        self.crashes += 1;
        self.restart();
    }

    /// What is due is looked at, or the keeper ends: claims and heartbeats are written.
    fn write_claims(&mut self) {
        for queue in self.queues.values_mut() {
            for held in queue.jobs.values_mut() {
                held.on_disk = None;
            }
        }
    }

    /// Shortens leases from the future, where the clock was set back.
    fn set_back(&mut self, now: Timestamp) {
        if now < self.latest {
            for queue in self.queues.values_mut() {
                let all = queue.jobs.values_mut();
                for held in all.filter(|held| held.entry.state == JobState::Active) {
                    held.entry.set_back(&queue.config, now);
                }
            }
        }
        self.latest = now;
    }

    fn add(&mut self, name: &QueueName, job: &NewJob, now: Timestamp) -> Result<Enqueued> {
        let seq = self.next;
        if !self.queues.contains_key(name) {
            check_job(job, name, &QueueConfig::default())?;
        }
        let queue = self.queues.entry(name.clone()).or_default();
        check_job(job, name, &queue.config)?;
        if let Some(id) = &job.opts.job_id
            && let Ok(known) = queue.find(name, id)
            && let Some(held) = queue.jobs.get(&known)
        {
            check_same(&held.entry, &held.data, job, name)?;
            return Ok(held.entry.enqueued(Added::Same));
        }
        if let Some(same) = &job.opts.deduplication {
            if let Some((of, until)) = queue.same.get(&same.id)
                && until.is_none_or(|until| now < until)
            {
                let held = queue.jobs.get(of);
                return Ok(Enqueued {
                    id: held.map_or_else(|| of.to_string(), |held| held.entry.id()),
                    state: held.map(|held| held.entry.state),
                    added: Added::Deduplicated,
                    due: None,
                });
            }
            let until = same.ttl.map(|ttl| now.plus(ttl.as_duration()));
            queue.same.insert(same.id.clone(), (seq, until));
        }
        let entry = Entry::new(seq, job, &queue.config, now);
        let enqueued = entry.enqueued(Added::New);
        queue.jobs.insert(seq, Held::new(entry, job.data.clone()));
        self.next += 1;
        Ok(enqueued)
    }

    /// What follows from a job's having ended: totals, its parent, and what is kept.
    fn ended(&mut self, name: &QueueName, seq: u64, now: Timestamp, changes: &mut Vec<Change>) {
        let Ok(queue) = self.queue(name) else { return };
        let Some(held) = queue.jobs.get(&seq) else {
            return;
        };
        let entry = held.entry.clone();
        match entry.state {
            JobState::Completed => queue.completed_total += 1,
            JobState::Failed | JobState::Dead => queue.failed_total += 1,
            _ => {}
        }
        queue.release_same(seq, false);
        self.tell_parent(&entry, now, changes);
        let Ok(queue) = self.queue(name) else { return };
        if entry.goes_at_once(&queue.config) {
            self.remove(name, seq, now, changes);
            return;
        }
        let Some(most) = entry.bound(&queue.config).count else {
            return;
        };
        let kept = queue.in_order(entry.state);
        let over = (kept.len() as u64).saturating_sub(most);
        let over = usize::try_from(over).unwrap_or(TRIM_MAX).min(TRIM_MAX);
        for seq in kept.into_iter().take(over) {
            self.remove(name, seq, now, changes);
        }
    }

    /// Tells a parent that its child has ended, or is gone.
    fn tell_parent(&mut self, child: &Entry, now: Timestamp, changes: &mut Vec<Change>) {
        let Some(up) = child.parent.clone().filter(|_| !child.counted) else {
            return;
        };
        let fails = matches!(
            child.state,
            JobState::Failed | JobState::Dead | JobState::Cancelled
        );
        let is_settled = !fails || child.opts.ignore_dependency_on_failure;
        if !is_settled && !child.opts.fail_parent_on_failure {
            return;
        }
        let Ok(queue) = self.queue(&up.queue) else {
            return;
        };
        let Ok(seq) = queue.find(&up.queue, &up.id) else {
            return;
        };
        let config = queue.config.clone();
        let held = queue.jobs.get_mut(&seq);
        let Some(held) = held.filter(|held| held.entry.is_parent_of(child)) else {
            return;
        };
        if is_settled {
            held.on_disk = None;
            let before = held.entry.state;
            held.entry.child_settled(now);
            if held.entry.state != before {
                changes.push(held.entry.change(&up.queue, None, now));
            }
            self.mark_counted(child);
        } else if held.entry.state == JobState::WaitingChildren {
            let failure = unheard("ChildFailed", format!("its child {:?} failed", child.id()));
            held.fail_for(&failure, &config, now);
            changes.push(held.entry.change(&up.queue, Some(&failure), now));
            self.ended(&up.queue, seq, now, changes);
        }
    }

    fn mark_counted(&mut self, child: &Entry) {
        for queue in self.queues.values_mut() {
            if let Some(held) = queue.jobs.get_mut(&child.seq) {
                held.entry.counted = true;
            }
        }
    }

    fn remove(&mut self, name: &QueueName, seq: u64, now: Timestamp, changes: &mut Vec<Change>) {
        let Ok(queue) = self.queue(name) else { return };
        let Some(held) = queue.jobs.remove(&seq) else {
            return;
        };
        queue.release_same(seq, !held.entry.state.is_final());
        let mut gone = held.entry;
        // A child that is gone is not waited for.
        gone.state = JobState::Completed;
        self.tell_parent(&gone, now, changes);
    }

    fn lease<'a>(
        &'a mut self,
        name: &QueueName,
        (id, token): (&str, &str),
    ) -> Result<(QueueConfig, &'a mut Held)> {
        let queue = self.queue(name)?;
        let seq = queue.find(name, id)?;
        let config = queue.config.clone();
        let held = queue.jobs.get_mut(&seq);
        let held = held.ok_or_else(|| Error::UnknownJob {
            queue: name.to_string(),
            id: id.to_owned(),
        })?;
        held.entry.check_lease(token)?;
        Ok((config, held))
    }

    fn add_flow(
        &mut self,
        flow: &Flow,
        parent: Option<(&JobRef, u64)>,
        now: Timestamp,
        added: &mut Vec<(QueueName, Enqueued)>,
    ) -> JobRef {
        let seq = self.next;
        self.next += 1;
        let queue = self.queues.entry(flow.queue.clone()).or_default();
        let mut entry = Entry::new(seq, &flow.job, &queue.config, now);
        entry.parent = parent.map(|(parent, _)| parent.clone());
        entry.parent_seq = parent.map(|(_, seq)| seq);
        entry.await_children(flow.children.len());
        let me = JobRef {
            queue: flow.queue.clone(),
            id: entry.id(),
        };
        let enqueued = entry.enqueued(Added::New);
        added.push((flow.queue.clone(), enqueued));
        let held = Held::new(entry, flow.job.data.clone());
        queue.jobs.insert(seq, held);
        let children: Vec<JobRef> = flow
            .children
            .iter()
            .map(|child| self.add_flow(child, Some((&me, seq)), now, added))
            .collect();
        if let Ok(queue) = self.queue(&flow.queue)
            && let Some(held) = queue.jobs.get_mut(&seq)
        {
            held.children = children;
        }
        me
    }
}

impl Held {
    fn new(entry: Entry, data: Payload) -> Self {
        Self {
            entry,
            on_disk: None,
            came_up: None,
            data,
            trail: Trail::default(),
            result: None,
            children: Vec::new(),
        }
    }

    /// A failure that no worker told: of an active job an attempt's, else the job's.
    fn fail_for(&mut self, failure: &Failure, config: &QueueConfig, now: Timestamp) {
        (self.came_up, self.on_disk) = (None, None);
        self.trail.add_error(error_of(&self.entry, failure, now));
        if self.entry.state == JobState::Active {
            self.entry.fail(config, failure, now);
        } else {
            self.entry.give_up(config, now);
        }
    }

    /// Before a claim or a heartbeat, which are written later.
    fn lag(&mut self) {
        let mut entry = self.entry.clone();
        // That it came up is not written either.
        if let Some(retrying) = self.came_up.take() {
            entry.state = JobState::Delayed;
            entry.retrying = retrying;
        }
        self.on_disk.get_or_insert(entry);
    }

    fn due(&self) -> Timestamp {
        match self.entry.state {
            JobState::Active => self.entry.lease_until,
            _ => self.entry.deadline.unwrap_or_default(),
        }
    }

    fn job(&self, queue: &QueueName) -> Job {
        self.entry.job(
            queue,
            self.data.clone(),
            self.trail.clone(),
            self.result.clone(),
            self.children.clone(),
        )
    }
}
