//! One job's own state, and what each transition does to it: pure, the same for every keeper.
//!
//! For: deciding where a job goes. Not for: which job is next, nor for writing anything. Read
//! [`Entry::fail`] first, which holds the rules of trying again.

mod shown;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::{Deserialize, Deserializer, Serialize};

use super::trail::unheard;
use super::{Error, Result};
use crate::model::job::{
    Exhausted, Failure, JobOptions, JobRef, JobState, Keep, Lease, NewJob, Payload, QueueConfig,
};
use crate::model::units::{Millis, Timestamp};

/// A job without its payload.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says one thing of its own, and its row is as short as they are few"
)]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Order of enqueuing, unique in the store; lies in the key, not in the value.
    #[serde(skip)]
    pub(super) seq: u64,
    #[serde(rename = "n")]
    pub(super) name: String,
    #[serde(rename = "o")]
    pub(super) opts: JobOptions,
    #[serde(rename = "s")]
    pub(super) state: JobState,
    #[serde(rename = "p")]
    pub(super) priority: u32,
    #[serde(rename = "c")]
    pub(super) created_at: Timestamp,
    #[serde(rename = "r")]
    pub(super) run_at: Timestamp,
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub(super) claimed_at: Option<Timestamp>,
    #[serde(rename = "u", default, skip_serializing_if = "is_default")]
    pub(super) lease_until: Timestamp,
    /// How long its lease is, where the worker said so.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub(super) asked: Option<Millis>,
    #[serde(rename = "t", default, skip_serializing_if = "is_default")]
    pub(super) token: u64,
    #[serde(rename = "w", default, skip_serializing_if = "String::is_empty")]
    pub(super) worker: String,
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub(super) finished_at: Option<Timestamp>,
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub(super) deadline: Option<Timestamp>,
    #[serde(rename = "m", default, skip_serializing_if = "is_default")]
    pub(super) made: u32,
    #[serde(rename = "a", default, skip_serializing_if = "is_default")]
    pub(super) started: u32,
    /// Waits for its next attempt, and so keeps its key's place.
    #[serde(rename = "y", default, skip_serializing_if = "is_default")]
    pub(super) retrying: bool,
    #[serde(rename = "x", default, skip_serializing_if = "is_default")]
    pub(super) cancelling: bool,
    #[serde(rename = "v", default, skip_serializing_if = "is_default")]
    pub(super) archived: bool,
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<JobRef>,
    /// The parent's number: another job may have its id by now. Older rows do not say it.
    #[serde(rename = "gn", default, skip_serializing_if = "Option::is_none")]
    pub(super) parent_seq: Option<u64>,
    /// Whether its parent need not wait for it any more.
    #[serde(rename = "q", default, skip_serializing_if = "is_default")]
    pub(super) counted: bool,
    /// Children that are not done.
    #[serde(rename = "k", default, skip_serializing_if = "is_default")]
    pub(super) pending: u32,
    #[serde(rename = "h", default, skip_serializing_if = "is_default")]
    pub(super) has_children: bool,
    #[serde(rename = "l", default, skip_serializing_if = "is_default")]
    pub(super) has_trail: bool,
    #[serde(rename = "z", default, skip_serializing_if = "is_default")]
    pub(super) has_result: bool,
    /// The flow that it belongs to while that is not whole.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub(super) flow: Option<u64>,
    /// A payload that is small; another lies beside the entry.
    #[serde(
        rename = "j",
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "there"
    )]
    pub(super) data: Option<Payload>,
}

/// What is there is a payload, also where it is null.
fn there<'de, D: Deserializer<'de>>(text: D) -> std::result::Result<Option<Payload>, D::Error> {
    Payload::deserialize(text).map(Some)
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// How long ended jobs are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) count: Option<u64>,
    pub(super) age: Option<Millis>,
}

impl From<Keep> for Bound {
    fn from(keep: Keep) -> Self {
        Self {
            count: keep.count,
            age: keep.age(),
        }
    }
}

/// What a queue keeps of jobs that ended in `state`, unless a job says otherwise.
pub(super) fn bound_of(config: &QueueConfig, state: JobState) -> Bound {
    match state {
        JobState::Dead => Bound {
            count: Some(config.dead_letter.max_size),
            age: config.dead_letter.ttl,
        },
        JobState::Failed => config.remove_on_fail.into(),
        _ => config.remove_on_complete.into(),
    }
}

impl Entry {
    /// A job that was just enqueued.
    pub(super) fn new(seq: u64, job: &NewJob, config: &QueueConfig, now: Timestamp) -> Self {
        let delay = job.opts.delay.unwrap_or_default();
        let run_at = now.plus(delay.as_duration());
        let mut entry = Self {
            seq,
            name: job.name.clone(),
            opts: job.opts.clone(),
            state: JobState::Waiting,
            priority: job.opts.priority.unwrap_or(config.priority),
            created_at: now,
            run_at,
            claimed_at: None,
            lease_until: Timestamp::default(),
            asked: None,
            token: 0,
            worker: String::new(),
            finished_at: None,
            deadline: None,
            made: 0,
            started: 0,
            retrying: false,
            cancelling: false,
            archived: false,
            parent: None,
            parent_seq: None,
            counted: false,
            pending: 0,
            has_children: false,
            has_trail: false,
            has_result: false,
            flow: None,
            data: None,
        };
        entry.set_out(config, run_at, now);
        entry
    }

    /// Its id: the one it was given, or else its number.
    pub(super) fn id(&self) -> String {
        match &self.opts.job_id {
            Some(id) => id.clone(),
            None => self.seq.to_string(),
        }
    }

    /// Whether it is the parent that a child names.
    pub(super) fn is_parent_of(&self, child: &Self) -> bool {
        child.parent_seq.is_none_or(|seq| seq == self.seq)
    }

    /// Whether it takes one of the places that its key has.
    pub(super) fn holds_key(&self) -> bool {
        self.opts.key.is_some()
            && (self.state == JobState::Active
                || (self.state == JobState::Delayed && self.retrying))
    }

    /// Waits for so many children before it runs.
    pub(super) fn await_children(&mut self, count: usize) {
        self.pending = u32::try_from(count).unwrap_or(u32::MAX);
        self.has_children = count > 0;
        if count > 0 {
            self.state = JobState::WaitingChildren;
        }
    }

    /// Takes its place when its flow is found to be whole.
    pub(super) fn finish_preparing(&mut self) {
        self.place(self.run_at, self.created_at);
    }

    /// One child need not be waited for any more.
    pub(super) fn child_settled(&mut self, now: Timestamp) {
        self.pending = self.pending.saturating_sub(1);
        if self.pending == 0 && self.state == JobState::WaitingChildren {
            self.place(self.run_at, now);
        }
    }

    /// Begins anew, to run at `run_at`.
    fn set_out(&mut self, config: &QueueConfig, run_at: Timestamp, now: Timestamp) {
        let total = self.opts.total_timeout.or(config.total_timeout);
        self.run_at = run_at;
        self.deadline = total.map(|total| run_at.plus(total.as_duration()));
        self.finished_at = None;
        self.made = 0;
        self.archived = false;
        self.place(run_at, now);
    }

    fn place(&mut self, run_at: Timestamp, now: Timestamp) {
        self.state = if self.pending > 0 {
            JobState::WaitingChildren
        } else if run_at > now {
            JobState::Delayed
        } else {
            JobState::Waiting
        };
    }

    /// Goes to a worker.
    pub(super) fn claim(
        &mut self,
        config: &QueueConfig,
        worker: &str,
        lease: Option<Millis>,
        nonce: u64,
        now: Timestamp,
    ) -> Lease {
        self.state = JobState::Active;
        self.retrying = false;
        self.claimed_at = Some(now);
        self.started = self.started.saturating_add(1);
        worker.clone_into(&mut self.worker);
        let mut hasher = DefaultHasher::new();
        (nonce, self.seq, self.started).hash(&mut hasher);
        self.token = hasher.finish();
        self.extend(config, lease, now);
        self.lease().unwrap_or_else(|| Lease {
            token: String::new(),
            worker: String::new(),
            until: now,
        })
    }

    /// The lease in force.
    pub(super) fn lease(&self) -> Option<Lease> {
        (self.state == JobState::Active).then(|| Lease {
            token: format!("{:016x}", self.token),
            worker: self.worker.clone(),
            until: self.lease_until,
        })
    }

    /// Fails unless `token` is that of the lease in force.
    pub(super) fn check_lease(&self, token: &str) -> Result<()> {
        match self.lease() {
            Some(lease) if lease.token == token => Ok(()),
            _ => Err(Error::LeaseLost { id: self.id() }),
        }
    }

    fn attempt_end(&self, config: &QueueConfig) -> Option<Timestamp> {
        let timeout = self.opts.timeout.or(config.timeout)?;
        Some(self.claimed_at?.plus(timeout.as_duration()))
    }

    fn lease_end(&self, config: &QueueConfig, lease: Option<Millis>, now: Timestamp) -> Timestamp {
        let plain = now.plus(lease.unwrap_or(config.lease).as_duration());
        let ends = [self.attempt_end(config), self.deadline];
        ends.into_iter().flatten().fold(plain, Timestamp::min)
    }

    /// A lease that goes on; never past the attempt's time.
    pub(super) fn extend(&mut self, config: &QueueConfig, lease: Option<Millis>, now: Timestamp) {
        self.asked = lease;
        self.lease_until = self.lease_end(config, lease, now);
    }

    /// The clock was set back: a lease from the future is as long as it was, from now on, so that
    /// a worker that is gone does not keep its job until the clock is there again.
    pub(super) fn set_back(&mut self, config: &QueueConfig, now: Timestamp) {
        self.claimed_at = self.claimed_at.map(|at| at.min(now));
        let until = self.lease_end(config, self.asked, now);
        self.lease_until = self.lease_until.min(until);
    }

    /// Is done.
    pub(super) fn complete(&mut self, now: Timestamp) {
        self.made = self.made.saturating_add(1);
        self.end(JobState::Completed, now);
    }

    fn end(&mut self, state: JobState, now: Timestamp) {
        self.state = state;
        self.retrying = false;
        self.cancelling = false;
        self.finished_at = Some(now);
    }

    /// Was tried in vain: once more, or given up.
    pub(super) fn fail(&mut self, config: &QueueConfig, failure: &Failure, now: Timestamp) {
        self.made = self.made.saturating_add(1);
        let attempts = self.opts.attempts.unwrap_or(config.attempts);
        let is_late = self.deadline.is_some_and(|deadline| now >= deadline);
        if self.cancelling {
            self.end(JobState::Cancelled, now);
        } else if self.made >= attempts || is_late || !self.is_worth_more(config, failure) {
            self.give_up(config, now);
        } else {
            let backoff = self.opts.backoff.as_ref().unwrap_or(&config.backoff);
            let wait = backoff.wait(self.made, self.luck());
            let asked = failure.retry_after.unwrap_or_default().min(Millis::DAY);
            self.run_at = now.plus(wait.max(asked).as_duration());
            self.place(self.run_at, now);
            self.retrying = self.state == JobState::Delayed;
        }
    }

    /// Is not tried again.
    pub(super) fn give_up(&mut self, config: &QueueConfig, now: Timestamp) {
        let exhausted = self.opts.on_max_retries_exceeded;
        let exhausted = exhausted.unwrap_or(config.on_max_retries_exceeded);
        self.archived = exhausted == Exhausted::Archive;
        let state = match exhausted {
            Exhausted::Deadletter => JobState::Dead,
            Exhausted::Fail | Exhausted::Archive => JobState::Failed,
        };
        self.end(state, now);
    }

    fn is_worth_more(&self, config: &QueueConfig, failure: &Failure) -> bool {
        if let Some(retryable) = failure.retryable {
            return retryable;
        }
        let listed = self.opts.retryable_errors.as_ref();
        let Some(listed) = listed.or(config.retryable_errors.as_ref()) else {
            return true;
        };
        let name = failure.name.as_deref().unwrap_or_default();
        listed.iter().any(|worth| worth == name)
    }

    /// From 0 to 1, the same for the same attempt of the same job.
    fn luck(&self) -> f64 {
        let mut hasher = DefaultHasher::new();
        (self.id(), self.made).hash(&mut hasher);
        hasher.finish() as f64 / u64::MAX as f64
    }

    /// Why an attempt that nobody ended is over; `None` while it is not.
    pub(super) fn overdue(&self, config: &QueueConfig, now: Timestamp) -> Option<Failure> {
        if self.deadline.is_some_and(|deadline| now >= deadline) && !self.state.is_final() {
            let text = "it was not done within its total timeout".to_owned();
            return Some(unheard("TotalTimeout", text));
        }
        if self.state != JobState::Active || now < self.lease_until {
            return None;
        }
        Some(match self.attempt_end(config) {
            Some(end) if now >= end => {
                let text = "the attempt took longer than its timeout".to_owned();
                unheard("Timeout", text)
            }
            _ => unheard("LeaseExpired", "lease expired".to_owned()),
        })
    }

    /// Given back without an attempt counted.
    pub(super) fn release(&mut self, now: Timestamp) {
        if self.cancelling {
            self.end(JobState::Cancelled, now);
        } else {
            self.state = JobState::Waiting;
        }
    }

    /// Taken up again.
    pub(super) fn retry(
        &mut self,
        config: &QueueConfig,
        run_at: Timestamp,
        now: Timestamp,
    ) -> Result<()> {
        match self.state {
            JobState::Failed | JobState::Dead | JobState::Cancelled => {
                self.set_out(config, run_at, now);
                Ok(())
            }
            _ => Err(self.misplaced("retry", "failed, dead or cancelled")),
        }
    }

    /// Runs now.
    pub(super) fn promote(&mut self, now: Timestamp) -> Result<()> {
        if self.state != JobState::Delayed {
            return Err(self.misplaced("promote", "delayed"));
        }
        self.run_at = now;
        self.retrying = false;
        self.state = JobState::Waiting;
        Ok(())
    }

    /// Called off, or asked to stop.
    pub(super) fn cancel(&mut self, now: Timestamp) -> Result<()> {
        match self.state {
            JobState::Active => self.cancelling = true,
            state if state.is_final() => {
                return Err(self.misplaced("cancel", "not ended"));
            }
            _ => self.end(JobState::Cancelled, now),
        }
        Ok(())
    }

    /// Fails for a job that is worked on.
    pub(super) fn check_removable(&self) -> Result<()> {
        match self.state {
            JobState::Active => Err(self.misplaced("remove", "not active; cancel it first")),
            _ => Ok(()),
        }
    }

    fn misplaced(&self, verb: &'static str, needs: &'static str) -> Error {
        Error::Misplaced {
            id: self.id(),
            state: self.state,
            verb,
            needs,
        }
    }

    /// What it says itself about how long it is kept, now that it has ended.
    pub(super) fn own_keep(&self) -> Option<Keep> {
        match self.state {
            JobState::Completed | JobState::Cancelled => self.opts.remove_on_complete,
            JobState::Failed => self.opts.remove_on_fail,
            _ => None,
        }
    }

    /// When it goes by what it says itself.
    pub(super) fn goes_at(&self) -> Option<Timestamp> {
        let age = self.own_keep()?.age()?;
        Some(self.finished_at?.plus(age.as_duration()))
    }

    /// How long it is kept.
    pub(super) fn bound(&self, config: &QueueConfig) -> Bound {
        let own = self.own_keep();
        own.map_or_else(|| bound_of(config, self.state), Bound::from)
    }

    /// Whether it goes as soon as it has ended.
    pub(super) fn goes_at_once(&self, config: &QueueConfig) -> bool {
        let bound = self.bound(config);
        self.state.is_final() && (bound.count == Some(0) || bound.age == Some(Millis(0)))
    }

    /// Where its list begins with it: those that run first, or ended last.
    pub(super) fn order(&self) -> (i64, u64) {
        match self.state {
            JobState::Waiting => (i64::from(self.priority), self.seq),
            JobState::Delayed => (self.run_at.as_millis(), self.seq),
            state if state.is_final() => {
                let at = self.finished_at.unwrap_or_default().as_millis();
                (at, self.seq)
            }
            _ => (0, self.seq),
        }
    }
}
