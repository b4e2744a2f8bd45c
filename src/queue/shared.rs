//! A keeper of jobs that lives in this process: one lock around its transitions, and after it the
//! wait for the disk.
//!
//! For: giving [`Transitions`] the shape of [`JobStore`]. Not for: what a transition does. A lock is
//! never held across an await, and whoever waits for the disk does not keep others from changing.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;

use super::Result;
use super::commit::Commits;
use super::store::{JobStore, QueueAdmin, Row};
use super::transition::{
    Ack, Change, Claim, Claimed, Clear, Counts, Ending, Enqueued, Extended, Extra, Flow, Note,
    Outcome, Page, PageAsk, Retry, Setting, Verb,
};
use crate::model::job::{Job, NewJob, QueueName};
use crate::model::units::{Millis, Timestamp};

/// The verbs of [`JobStore`], one after the other; what they write is not yet on the disk.
pub(super) trait Transitions: Send + fmt::Debug {
    fn enqueue(
        &mut self,
        queue: &QueueName,
        jobs: Vec<NewJob>,
        now: Timestamp,
    ) -> Result<Vec<Result<Enqueued>>>;
    fn enqueue_with(
        &mut self,
        queue: &QueueName,
        job: &NewJob,
        extra: Extra,
        now: Timestamp,
    ) -> Result<Enqueued>;
    fn set_extra(&mut self, extra: Extra) -> Result<()>;
    fn extras(&self, prefix: &[u8]) -> Result<Vec<Row>>;
    fn enqueue_flow(&mut self, flow: &Flow, now: Timestamp) -> Result<Vec<(QueueName, Enqueued)>>;
    fn claim(&mut self, queue: &QueueName, claim: &Claim, now: Timestamp) -> Result<Vec<Claimed>>;
    fn settle(
        &mut self,
        queue: &QueueName,
        by: (&str, &str),
        outcome: Outcome,
        now: Timestamp,
    ) -> Result<Vec<Change>>;
    fn settle_many(
        &mut self,
        queue: &QueueName,
        endings: Vec<Ending>,
        now: Timestamp,
    ) -> Result<Vec<Result<Vec<Change>>>>;
    fn extend(
        &mut self,
        queue: &QueueName,
        by: (&str, &str),
        lease: Option<Millis>,
        now: Timestamp,
    ) -> Result<Extended>;
    fn note(
        &mut self,
        queue: &QueueName,
        by: (&str, &str),
        note: Note,
        now: Timestamp,
    ) -> Result<()>;
    fn act(
        &mut self,
        queue: &QueueName,
        id: &str,
        verb: Verb,
        now: Timestamp,
    ) -> Result<Vec<Change>>;
    fn expire(&mut self, limit: usize, now: Timestamp) -> Result<Vec<Change>>;
    fn next_due(&self) -> Option<Timestamp>;
    fn configure(&mut self, queue: &QueueName, setting: Setting) -> Result<()>;
    fn clear(
        &mut self,
        queue: &QueueName,
        clear: Clear,
        limit: usize,
        now: Timestamp,
    ) -> Result<u64>;
    fn retry(&mut self, queue: &QueueName, retry: &Retry, now: Timestamp) -> Result<u64>;
    fn get(&self, queue: &QueueName, id: &str) -> Result<Job>;
    fn page(&self, queue: &QueueName, ask: &PageAsk) -> Result<Page>;
    fn counts(&self, queue: &QueueName) -> Result<Counts>;
    fn queues(&self) -> Vec<QueueName>;
}

/// A keeper of jobs in this process.
#[derive(Debug)]
pub struct Shared<T> {
    state: Mutex<T>,
    commits: Option<Commits>,
}

#[expect(private_bounds, reason = "only keepers of this module are shared so")]
impl<T: Transitions> Shared<T> {
    pub(super) const fn new(state: T, commits: Option<Commits>) -> Self {
        Self {
            state: Mutex::new(state),
            commits,
        }
    }

    pub(super) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does `work`, and answers when what it wrote is on the disk.
    fn durably<'a, R: Send + 'a>(
        &'a self,
        work: impl FnOnce(&mut T) -> Result<R> + Send + 'a,
    ) -> BoxFuture<'a, Result<R>> {
        Box::pin(async move {
            let done = self.with(work)?;
            if let Some(commits) = &self.commits {
                commits.pass().await?;
            }
            Ok(done)
        })
    }

    /// Does `work`, and answers at once.
    fn at_once<'a, R: Send + 'a>(
        &'a self,
        work: impl FnOnce(&mut T) -> R + Send + 'a,
    ) -> BoxFuture<'a, R> {
        Box::pin(async move { self.with(work) })
    }
}

impl<T: Transitions> JobStore for Shared<T> {
    fn enqueue<'a>(
        &'a self,
        queue: &'a QueueName,
        jobs: Vec<NewJob>,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Result<Enqueued>>>> {
        self.durably(move |state| state.enqueue(queue, jobs, now))
    }

    fn enqueue_with<'a>(
        &'a self,
        queue: &'a QueueName,
        job: NewJob,
        extra: Extra,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Enqueued>> {
        self.durably(move |state| state.enqueue_with(queue, &job, extra, now))
    }

    fn set_extra(&self, extra: Extra) -> BoxFuture<'_, Result<()>> {
        self.durably(move |state| state.set_extra(extra))
    }

    fn extras<'a>(&'a self, prefix: &'a [u8]) -> BoxFuture<'a, Result<Vec<Row>>> {
        self.at_once(move |state| state.extras(prefix))
    }

    fn enqueue_flow(
        &self,
        flow: Flow,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<(QueueName, Enqueued)>>> {
        self.durably(move |state| state.enqueue_flow(&flow, now))
    }

    fn claim<'a>(
        &'a self,
        queue: &'a QueueName,
        claim: &'a Claim,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Claimed>>> {
        self.at_once(move |state| state.claim(queue, claim, now))
    }

    fn settle<'a>(
        &'a self,
        queue: &'a QueueName,
        id: &'a str,
        token: &'a str,
        outcome: Outcome,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Change>>> {
        self.durably(move |state| state.settle(queue, (id, token), outcome, now))
    }

    fn settle_many<'a>(
        &'a self,
        queue: &'a QueueName,
        endings: Vec<Ending>,
        ack: Ack,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Result<Vec<Change>>>>> {
        let work = move |state: &mut T| state.settle_many(queue, endings, now);
        match ack {
            Ack::OnDisk => self.durably(work),
            Ack::AtOnce => self.at_once(work),
        }
    }

    fn sync(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            match &self.commits {
                Some(commits) => commits.pass_beside().await,
                None => Ok(()),
            }
        })
    }

    fn extend<'a>(
        &'a self,
        queue: &'a QueueName,
        id: &'a str,
        token: &'a str,
        lease: Option<Millis>,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Extended>> {
        self.at_once(move |state| state.extend(queue, (id, token), lease, now))
    }

    fn note<'a>(
        &'a self,
        queue: &'a QueueName,
        id: &'a str,
        token: &'a str,
        note: Note,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<()>> {
        self.at_once(move |state| state.note(queue, (id, token), note, now))
    }

    fn expire(&self, limit: usize, now: Timestamp) -> BoxFuture<'_, Result<Vec<Change>>> {
        self.at_once(move |state| state.expire(limit, now))
    }

    fn next_due(&self) -> BoxFuture<'_, Option<Timestamp>> {
        self.at_once(|state| state.next_due())
    }
}

impl<T: Transitions> QueueAdmin for Shared<T> {
    fn act<'a>(
        &'a self,
        queue: &'a QueueName,
        id: &'a str,
        verb: Verb,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Change>>> {
        self.durably(move |state| state.act(queue, id, verb, now))
    }

    fn configure<'a>(
        &'a self,
        queue: &'a QueueName,
        setting: Setting,
    ) -> BoxFuture<'a, Result<()>> {
        self.durably(move |state| state.configure(queue, setting))
    }

    fn clear<'a>(
        &'a self,
        queue: &'a QueueName,
        clear: Clear,
        limit: usize,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<u64>> {
        self.durably(move |state| state.clear(queue, clear, limit, now))
    }

    fn retry<'a>(
        &'a self,
        queue: &'a QueueName,
        retry: &'a Retry,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<u64>> {
        self.durably(move |state| state.retry(queue, retry, now))
    }

    fn get<'a>(&'a self, queue: &'a QueueName, id: &'a str) -> BoxFuture<'a, Result<Job>> {
        self.at_once(move |state| state.get(queue, id))
    }

    fn page<'a>(&'a self, queue: &'a QueueName, ask: &'a PageAsk) -> BoxFuture<'a, Result<Page>> {
        self.at_once(move |state| state.page(queue, ask))
    }

    fn counts<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<Counts>> {
        self.at_once(move |state| state.counts(queue))
    }

    fn queues(&self) -> BoxFuture<'_, Vec<QueueName>> {
        self.at_once(|state| state.queues())
    }
}
