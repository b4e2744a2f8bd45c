//! Jobs in memory, kept the simplest way: every question looks at every job.
//!
//! For: tests, and as the model that the embedded keeper is held to. Not for: many jobs, nor for
//! jobs that matter: they are gone with the process. Read [`Model`] first.

use std::collections::BTreeMap;

use super::checks::{
    LOOKS_MAX, PAGE_MAX, TRIM_MAX, check_flow, check_job, check_progress, check_same, check_size,
    cursor, cursor_text, is_newest_first,
};
use super::entry::{Entry, bound_of};
use super::shared::{Shared, Transitions};
use super::store::Row;
use super::trail::{Trail, error_of, unheard};
use super::transition::{
    Added, Change, Claim, Claimed, Clear, Counts, Enqueued, Extended, Extra, Flow, Note, Outcome,
    Page, PageAsk, Retry, Setting, Verb,
};
use super::{Error, Result};
use crate::model::job::{
    Failure, Job, JobRef, JobState, LogLine, NewJob, Payload, QueueConfig, QueueName,
};
use crate::model::units::{Millis, Timestamp};

/// A keeper of jobs in memory.
pub type Memory = Shared<Model>;

impl Memory {
    /// Without any queue.
    pub fn empty() -> Self {
        Self::new(Model::default(), None)
    }

    /// Forgets what a restart forgets: which delayed jobs had come up, and how many claims lie in
    /// the window of a rate limit.
    pub fn restart(&self) {
        self.with(Model::restart);
    }
}

/// All queues.
#[derive(Debug, Default)]
pub struct Model {
    queues: BTreeMap<QueueName, Queue>,
    next: u64,
    extras: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[derive(Debug, Default)]
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
        if let Some((from, _)) = self.window
            && (now < from || now >= from.plus(limiter.duration.as_duration()))
        {
            self.window = None;
        }
        let begun = self.window.map_or(0, |(_, begun)| begun);
        free.min(u64::from(limiter.max.saturating_sub(begun)))
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

    fn add(&mut self, name: &QueueName, job: &NewJob, now: Timestamp) -> Result<Enqueued> {
        let seq = self.next;
        let queue = self.queues.entry(name.clone()).or_default();
        check_job(job, name, &queue.config)?;
        if let Some(id) = &job.opts.job_id
            && let Ok(known) = queue.find(name, id)
            && let Some(held) = queue.jobs.get(&known)
        {
            check_same(&held.entry, &held.data, job, name)?;
            return Ok(Enqueued {
                id: id.clone(),
                state: Some(held.entry.state),
                added: Added::Same,
            });
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
                });
            }
            let until = same.ttl.map(|ttl| now.plus(ttl.as_duration()));
            queue.same.insert(same.id.clone(), (seq, until));
        }
        let entry = Entry::new(seq, job, &queue.config, now);
        let enqueued = Enqueued {
            id: entry.id(),
            state: Some(entry.state),
            added: Added::New,
        };
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
        let Some(held) = queue.jobs.get_mut(&seq) else {
            return;
        };
        if is_settled {
            held.entry.child_settled(now);
            if held.entry.state != JobState::WaitingChildren && held.entry.pending == 0 {
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
        parent: Option<&JobRef>,
        now: Timestamp,
        added: &mut Vec<(QueueName, Enqueued)>,
    ) -> JobRef {
        let seq = self.next;
        self.next += 1;
        let queue = self.queues.entry(flow.queue.clone()).or_default();
        let mut entry = Entry::new(seq, &flow.job, &queue.config, now);
        entry.parent = parent.cloned();
        entry.await_children(flow.children.len());
        let me = JobRef {
            queue: flow.queue.clone(),
            id: entry.id(),
        };
        let enqueued = Enqueued {
            id: entry.id(),
            state: Some(entry.state),
            added: Added::New,
        };
        added.push((flow.queue.clone(), enqueued));
        let held = Held::new(entry, flow.job.data.clone());
        queue.jobs.insert(seq, held);
        let children: Vec<JobRef> = flow
            .children
            .iter()
            .map(|child| self.add_flow(child, Some(&me), now, added))
            .collect();
        if let Ok(queue) = self.queue(&flow.queue)
            && let Some(held) = queue.jobs.get_mut(&seq)
        {
            held.children = children;
        }
        me
    }

    /// Fails what is overdue in one queue.
    fn expire_in(&mut self, name: &QueueName, limit: usize, now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        let Ok(queue) = self.queue(name) else {
            return changes;
        };
        queue.come_up(now);
        queue
            .same
            .retain(|_, (_, until)| until.is_none_or(|until| now < until));
        let config = queue.config.clone();
        let mut due: Vec<_> = queue
            .jobs
            .values()
            .filter(|held| held.entry.overdue(&config, now).is_some())
            .map(|held| {
                (
                    held.entry.state != JobState::Active,
                    held.due(),
                    held.entry.seq,
                )
            })
            .collect();
        due.sort_unstable();
        let of_kind = |active: bool| {
            due.iter()
                .filter(move |(idle, ..)| *idle != active)
                .take(limit)
        };
        let due: Vec<u64> = of_kind(true)
            .chain(of_kind(false))
            .map(|(.., seq)| *seq)
            .collect();
        for seq in due {
            let Ok(queue) = self.queue(name) else { break };
            let Some(held) = queue.jobs.get_mut(&seq) else {
                continue;
            };
            let Some(failure) = held.entry.overdue(&config, now) else {
                continue;
            };
            held.fail_for(&failure, &config, now);
            let is_final = held.entry.state.is_final();
            changes.push(held.entry.change(name, Some(&failure), now));
            if is_final {
                self.ended(name, seq, now, &mut changes);
            }
        }
        self.forget_old(name, &config, limit, now, &mut changes);
        changes
    }

    fn forget_old(
        &mut self,
        name: &QueueName,
        config: &QueueConfig,
        limit: usize,
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) {
        for state in JobState::VISIBLE
            .into_iter()
            .filter(|state| state.is_final())
        {
            let Some(age) = bound_of(config, state).age else {
                continue;
            };
            let end = now.minus(age.as_duration());
            let Ok(queue) = self.queue(name) else { return };
            let old: Vec<u64> = queue
                .in_order(state)
                .into_iter()
                .filter(|seq| {
                    let held = queue.jobs.get(seq);
                    held.and_then(|held| held.entry.finished_at)
                        .is_some_and(|at| at <= end)
                })
                .take(limit)
                .collect();
            for seq in old {
                self.remove(name, seq, now, changes);
            }
        }
    }
}

impl Held {
    fn new(entry: Entry, data: Payload) -> Self {
        Self {
            entry,
            came_up: None,
            data,
            trail: Trail::default(),
            result: None,
            children: Vec::new(),
        }
    }

    /// A failure that no worker told: of an active job an attempt's, else the job's.
    fn fail_for(&mut self, failure: &Failure, config: &QueueConfig, now: Timestamp) {
        self.came_up = None;
        self.trail.add_error(error_of(&self.entry, failure, now));
        if self.entry.state == JobState::Active {
            self.entry.fail(config, failure, now);
        } else {
            self.entry.give_up(config, now);
        }
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

impl Transitions for Model {
    fn enqueue(
        &mut self,
        queue: &QueueName,
        jobs: Vec<NewJob>,
        now: Timestamp,
    ) -> Result<Vec<Result<Enqueued>>> {
        Ok(jobs.iter().map(|job| self.add(queue, job, now)).collect())
    }

    fn enqueue_with(
        &mut self,
        queue: &QueueName,
        job: &NewJob,
        extra: Extra,
        now: Timestamp,
    ) -> Result<Enqueued> {
        let added = self.add(queue, job, now)?;
        self.set_extra(extra)?;
        Ok(added)
    }

    fn set_extra(&mut self, extra: Extra) -> Result<()> {
        match extra.value {
            Some(value) => self.extras.insert(extra.key, value),
            None => self.extras.remove(&extra.key),
        };
        Ok(())
    }

    fn extras(&self, prefix: &[u8]) -> Result<Vec<Row>> {
        let under = self
            .extras
            .iter()
            .filter(|(key, _)| key.starts_with(prefix));
        Ok(under
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    fn enqueue_flow(&mut self, flow: &Flow, now: Timestamp) -> Result<Vec<(QueueName, Enqueued)>> {
        check_flow(flow)?;
        let usual = QueueConfig::default();
        let mut open = vec![flow];
        while let Some(one) = open.pop() {
            let queue = self.queues.get(&one.queue);
            let config = queue.map_or(&usual, |queue| &queue.config);
            check_job(&one.job, &one.queue, config)?;
            if let (Some(queue), Some(id)) = (queue, &one.job.opts.job_id)
                && queue.find(&one.queue, id).is_ok()
            {
                return Err(Error::Conflict {
                    queue: one.queue.to_string(),
                    id: id.clone(),
                });
            }
            open.extend(&one.children);
        }
        let mut added = Vec::new();
        self.add_flow(flow, None, now, &mut added);
        Ok(added)
    }

    fn claim(&mut self, name: &QueueName, claim: &Claim, now: Timestamp) -> Result<Vec<Claimed>> {
        let queue = self.queue(name)?;
        queue.come_up(now);
        let (mut claimed, mut passed) = (Vec::new(), Vec::new());
        while !queue.paused && claimed.len() < claim.max && queue.room(now) > 0 {
            let Some(seq) = queue.next(&passed) else {
                break;
            };
            let config = queue.config.clone();
            let Some(held) = queue.jobs.get_mut(&seq) else {
                break;
            };
            if held.entry.overdue(&config, now).is_some() {
                // `expire` fails it; those behind it need not wait for that.
                passed.push(seq);
                continue;
            }
            held.came_up = None;
            let lease = held
                .entry
                .claim(&config, &claim.worker, claim.lease, 0, now);
            let job = held.job(name);
            claimed.push(Claimed { job, lease });
            if config.limiter.is_some() {
                let (_, begun) = queue.window.get_or_insert((now, 0));
                *begun += 1;
            }
        }
        Ok(claimed)
    }

    fn settle(
        &mut self,
        name: &QueueName,
        by: (&str, &str),
        outcome: Outcome,
        now: Timestamp,
    ) -> Result<Vec<Change>> {
        let (config, held) = self.lease(name, by)?;
        let mut failure = None;
        match outcome {
            Outcome::Complete(result) => {
                check_size(&result, name, config.max_payload)?;
                held.result = Some(result).filter(|result| !result.is_null());
                held.entry.complete(now);
            }
            Outcome::Fail(told) => {
                held.trail.add_error(error_of(&held.entry, &told, now));
                held.entry.fail(&config, &told, now);
                failure = Some(told);
            }
            Outcome::Release => held.entry.release(now),
        }
        let (seq, is_final) = (held.entry.seq, held.entry.state.is_final());
        let mut changes = vec![held.entry.change(name, failure.as_ref(), now)];
        if is_final {
            self.ended(name, seq, now, &mut changes);
        }
        Ok(changes)
    }

    fn extend(
        &mut self,
        name: &QueueName,
        by: (&str, &str),
        lease: Option<Millis>,
        now: Timestamp,
    ) -> Result<Extended> {
        let (config, held) = self.lease(name, by)?;
        held.entry.extend(&config, lease, now);
        Ok(Extended {
            until: held.entry.lease_until,
            cancelling: held.entry.cancelling,
        })
    }

    fn note(
        &mut self,
        name: &QueueName,
        by: (&str, &str),
        note: Note,
        now: Timestamp,
    ) -> Result<()> {
        let (_, held) = self.lease(name, by)?;
        match note {
            Note::Progress(progress) => {
                check_progress(&progress, name)?;
                held.trail.progress = Some(progress);
            }
            Note::Log(text) => held.trail.add_line(LogLine::new(now, text)),
        }
        Ok(())
    }

    fn act(
        &mut self,
        name: &QueueName,
        id: &str,
        verb: Verb,
        now: Timestamp,
    ) -> Result<Vec<Change>> {
        let queue = self.queue(name)?;
        let seq = queue.find(name, id)?;
        let config = queue.config.clone();
        let Some(held) = queue.jobs.get_mut(&seq) else {
            return Ok(Vec::new());
        };
        match verb {
            Verb::Retry => held.entry.retry(&config, now, now)?,
            Verb::Promote => held.entry.promote(now)?,
            Verb::Cancel => held.entry.cancel(now)?,
            Verb::Remove => held.entry.check_removable()?,
        }
        held.came_up = None;
        let mut changes = vec![held.entry.change(name, None, now)];
        let is_final = held.entry.state.is_final();
        if verb == Verb::Remove {
            for change in &mut changes {
                change.state = None;
            }
            self.remove(name, seq, now, &mut changes);
        } else if is_final {
            self.ended(name, seq, now, &mut changes);
        }
        Ok(changes)
    }

    fn expire(&mut self, limit: usize, now: Timestamp) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        for name in self.queues() {
            changes.extend(self.expire_in(&name, limit, now));
        }
        Ok(changes)
    }

    fn next_due(&self) -> Option<Timestamp> {
        let jobs = self.queues.values().flat_map(|queue| queue.jobs.values());
        let due = jobs.filter_map(|held| match held.entry.state {
            JobState::Delayed => {
                let ends = held.entry.deadline.into_iter();
                ends.chain([held.entry.run_at]).min()
            }
            state if state.is_final() => None,
            JobState::Active => Some(held.entry.lease_until),
            _ => held.entry.deadline,
        });
        due.min()
    }

    fn configure(&mut self, name: &QueueName, setting: Setting) -> Result<()> {
        match setting {
            Setting::Config(config) => {
                config.check()?;
                self.queues.entry(name.clone()).or_default().config = *config;
            }
            Setting::Pause => self.queue(name)?.paused = true,
            Setting::Resume => self.queue(name)?.paused = false,
        }
        Ok(())
    }

    fn clear(
        &mut self,
        name: &QueueName,
        clear: Clear,
        limit: usize,
        now: Timestamp,
    ) -> Result<u64> {
        let queue = self.queue(name)?;
        let doomed: Vec<u64> = match clear {
            Clear::Waiting => queue.in_order(JobState::Waiting),
            Clear::Pending => [JobState::Waiting, JobState::Delayed]
                .into_iter()
                .flat_map(|state| queue.in_order(state))
                .collect(),
            Clear::Ended(state) => queue.in_order(state),
            Clear::Everything { force } => {
                let active = queue.count(JobState::Active);
                if active > 0 && !force {
                    let queue = name.to_string();
                    return Err(Error::Busy { queue, active });
                }
                queue.paused = true;
                let states = JobState::VISIBLE.into_iter();
                states.flat_map(|state| queue.in_order(state)).collect()
            }
        };
        let doomed: Vec<u64> = doomed.into_iter().take(limit).collect();
        for seq in &doomed {
            self.remove(name, *seq, now, &mut Vec::new());
        }
        if doomed.is_empty() && matches!(clear, Clear::Everything { .. }) {
            self.queues.remove(name);
        }
        Ok(doomed.len() as u64)
    }

    fn retry(&mut self, name: &QueueName, retry: &Retry, now: Timestamp) -> Result<u64> {
        let queue = self.queue(name)?;
        let config = queue.config.clone();
        let mut run_at = retry.first;
        let mut count = 0;
        for seq in queue.in_order(retry.state) {
            let Some(held) = queue.jobs.get_mut(&seq).filter(|_| count < retry.limit) else {
                break;
            };
            let fits = retry.filter.fits(&held.entry) && retry.filter.fits_trail(&held.trail);
            if fits && !held.entry.archived {
                held.came_up = None;
                held.entry.retry(&config, run_at, now)?;
                run_at = run_at.plus(retry.apart.as_duration());
                count += 1;
            }
        }
        Ok(count as u64)
    }

    fn get(&self, name: &QueueName, id: &str) -> Result<Job> {
        let queue = self.look(name)?;
        let seq = queue.find(name, id)?;
        let held = queue.jobs.get(&seq).map(|held| held.job(name));
        held.ok_or_else(|| Error::UnknownJob {
            queue: name.to_string(),
            id: id.to_owned(),
        })
    }

    fn page(&self, name: &QueueName, ask: &PageAsk) -> Result<Page> {
        let queue = self.look(name)?;
        let after = cursor(ask)?;
        let mut all: Vec<&Held> = queue
            .in_order(ask.state)
            .iter()
            .filter_map(|seq| queue.jobs.get(seq))
            .collect();
        if is_newest_first(ask.state) {
            all.reverse();
            all.retain(|held| after.is_none_or(|after| held.entry.order() < after));
        } else {
            all.retain(|held| after.is_none_or(|after| held.entry.order() > after));
        }
        let mut page = Page {
            jobs: Vec::new(),
            next: None,
        };
        let mut last = None;
        for (looked, held) in all.into_iter().enumerate() {
            if page.jobs.len() == ask.limit.min(PAGE_MAX) || looked == LOOKS_MAX {
                page.next = last.map(cursor_text);
                break;
            }
            last = Some(held.entry.order());
            if ask.filter.fits(&held.entry) && ask.filter.fits_trail(&held.trail) {
                page.jobs.push(held.job(name));
            }
        }
        Ok(page)
    }

    fn counts(&self, name: &QueueName) -> Result<Counts> {
        let queue = self.look(name)?;
        let first = queue.in_order(JobState::Waiting).into_iter().next();
        let first = first.and_then(|seq| queue.jobs.get(&seq));
        Ok(Counts {
            waiting: queue.count(JobState::Waiting),
            delayed: queue.count(JobState::Delayed),
            waiting_children: queue.count(JobState::WaitingChildren),
            active: queue.count(JobState::Active),
            completed: queue.count(JobState::Completed),
            failed: queue.count(JobState::Failed),
            dead: queue.count(JobState::Dead),
            cancelled: queue.count(JobState::Cancelled),
            completed_total: queue.completed_total,
            failed_total: queue.failed_total,
            paused: queue.paused,
            oldest_waiting: first.map(|held| held.entry.created_at),
            config: queue.config.clone(),
        })
    }

    fn queues(&self) -> Vec<QueueName> {
        self.queues.keys().cloned().collect()
    }
}
