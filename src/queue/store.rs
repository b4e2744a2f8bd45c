//! The verbs that every keeper of jobs has: those of an operator, and those that give jobs out.

use std::fmt;

use futures_util::future::BoxFuture;

use super::Result;
use super::transition::{
    Ack, Change, Claim, Claimed, Clear, Counts, Ending, Enqueued, Extended, Extra, Flow, Note,
    Outcome, Page, PageAsk, Retry, Setting, Verb,
};
use crate::model::job::{Job, NewJob, QueueName};
use crate::model::units::Timestamp;

/// Key and value of an extra.
pub type Row = (Vec<u8>, Vec<u8>);

/// A keeper of jobs. Each verb happens wholly or not at all, and for bulks that holds job by job.
///
/// What enqueues, ends, configures or removes is answered when it would survive a loss of power.
/// A claim, a heartbeat and a note are answered at once: if one is lost, the job is given out again.
///
/// # Errors
/// Every verb refuses with [`super::Error`] what cannot be, and all but `enqueue` and
/// `Setting::Config` refuse a queue that is not there.
pub trait JobStore: QueueAdmin {
    /// Adds jobs; the queue is made if it is not there. One answer a job, in their order.
    fn enqueue<'a>(
        &'a self,
        queue: &'a QueueName,
        jobs: Vec<NewJob>,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Result<Enqueued>>>>;

    /// Adds a job and writes `extra`, both or neither; also where the job stands already.
    fn enqueue_with<'a>(
        &'a self,
        queue: &'a QueueName,
        job: NewJob,
        extra: Extra,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Enqueued>>;

    /// Writes an extra alone.
    fn set_extra(&self, extra: Extra) -> BoxFuture<'_, Result<()>>;

    /// Keys and values of the extras under a prefix, in order of keys.
    fn extras<'a>(&'a self, prefix: &'a [u8]) -> BoxFuture<'a, Result<Vec<Row>>>;

    /// Adds a flow, all of it or none. Answers with the jobs, parents before their children.
    fn enqueue_flow(
        &self,
        flow: Flow,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<(QueueName, Enqueued)>>>;

    /// Gives out the jobs that are next, as far as the queue's bounds let it.
    fn claim<'a>(
        &'a self,
        queue: &'a QueueName,
        claim: &'a Claim,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Claimed>>>;

    /// Ends an attempt. The first change is the job's, others are its parents'.
    fn settle<'a>(
        &'a self,
        queue: &'a QueueName,
        id: &'a str,
        token: &'a str,
        outcome: Outcome,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Change>>>;

    /// Ends several attempts, each wholly or not at all. One answer an ending, in their order; what
    /// follows for other jobs may be told with a later one of them.
    fn settle_many<'a>(
        &'a self,
        queue: &'a QueueName,
        endings: Vec<Ending>,
        ack: Ack,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Result<Vec<Change>>>>>;

    /// Returns when all that was written before the call would survive a loss of power.
    fn sync(&self) -> BoxFuture<'_, Result<()>>;

    /// Lets a lease go on, from now as long as the queue (or `lease`) says.
    fn extend<'a>(
        &'a self,
        queue: &'a QueueName,
        id: &'a str,
        token: &'a str,
        lease: Option<crate::model::units::Millis>,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Extended>>;

    /// Keeps what a worker tells.
    fn note<'a>(
        &'a self,
        queue: &'a QueueName,
        id: &'a str,
        token: &'a str,
        note: Note,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<()>>;

    /// Does what is due: fails attempts whose lease or time has ended, lets delayed jobs up, and
    /// forgets what is too old. At most `limit` of each; ask again while it answers `limit` changes.
    fn expire(&self, limit: usize, now: Timestamp) -> BoxFuture<'_, Result<Vec<Change>>>;

    /// When there is next something to do for `expire`, or for a claim that found nothing.
    fn next_due(&self) -> BoxFuture<'_, Option<Timestamp>>;
}

/// The operator's verbs: looking at queues and jobs, and setting them right. They are all that a keeper
/// needs whose jobs are given out by somebody else, such as a queue of another system.
///
/// # Errors
/// As [`JobStore`].
pub trait QueueAdmin: Send + Sync + fmt::Debug {
    /// Does something to one job.
    fn act<'a>(
        &'a self,
        queue: &'a QueueName,
        id: &'a str,
        verb: Verb,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Change>>>;

    /// Sets a queue.
    fn configure<'a>(&'a self, queue: &'a QueueName, setting: Setting)
    -> BoxFuture<'a, Result<()>>;

    /// Removes at most `limit` jobs and says how many; ask again until it says 0.
    fn clear<'a>(
        &'a self,
        queue: &'a QueueName,
        clear: Clear,
        limit: usize,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<u64>>;

    /// Takes up again what was given up, attempts reset and priority kept; says how many.
    fn retry<'a>(
        &'a self,
        queue: &'a QueueName,
        retry: &'a Retry,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<u64>>;

    /// One job.
    fn get<'a>(&'a self, queue: &'a QueueName, id: &'a str) -> BoxFuture<'a, Result<Job>>;

    /// Part of a list.
    fn page<'a>(&'a self, queue: &'a QueueName, ask: &'a PageAsk) -> BoxFuture<'a, Result<Page>>;

    /// How many jobs stand where.
    fn counts<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<Counts>>;

    /// All queues, sorted.
    fn queues(&self) -> BoxFuture<'_, Vec<QueueName>>;
}
