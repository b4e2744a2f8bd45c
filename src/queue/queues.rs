//! All queues of a process: a keeper of jobs, with those who wait for them and listen.
//!
//! For: claims that wait, events, rates, and doing what is due in time. Not for: keeping jobs
//! (`store`, `embedded`). Read [`Queues::claim`] and [`Queues::tick`] first.

mod sweep;
mod tell;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, broadcast, watch};

use super::event::{Alarm, AlarmKind, Event};
use super::meter::{Meter, Recent};
use super::schedule::Schedules;
use super::store::JobStore;
use super::transition::{
    Ack, Claim, Claimed, Counts, Ending, Enqueued, Extended, Extra, Flow, Note, Outcome, Page,
    PageAsk, Setting, Verb,
};
use super::{Error, Result};
use crate::clock::Clock;
use crate::model::job::{Job, JobState, NewJob, QueueName};
use crate::model::units::{Millis, Timestamp};

/// Events that a slow listener may be behind before it misses some.
const EVENTS: usize = 4_096;
/// Jobs that are removed, or whose time is looked at, before others have their turn.
const ROUND: usize = 500;
/// Jobs in one call.
const BULK_MAX: usize = 10_000;
/// Jobs that one claim takes.
const CLAIM_MAX: usize = 1_000;

/// All queues of a process.
#[derive(Debug)]
pub struct Queues {
    keeper: Arc<dyn JobStore>,
    clock: Arc<dyn Clock>,
    bells: Mutex<HashMap<QueueName, Arc<Notify>>>,
    meters: Mutex<HashMap<QueueName, Meter>>,
    events: broadcast::Sender<Event>,
    /// Jobs that are called off while somebody has them.
    called_off: broadcast::Sender<(QueueName, String)>,
    /// When `tick` is called next, as far as it was told; in ms since 1970.
    planned: AtomicI64,
    sooner: Notify,
    /// What somebody should look at, by queue and kind.
    alarms: Mutex<BTreeMap<(QueueName, AlarmKind), Alarm>>,
    closing: watch::Sender<bool>,
    pub(super) schedules: Schedules,
    /// How often a queue was set, made or taken away.
    settings: watch::Sender<u64>,
    /// How often each queue was given its settings in this process.
    times_set: Mutex<HashMap<QueueName, u64>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queues {
    /// Over a keeper of jobs.
    pub fn new(keeper: Arc<dyn JobStore>, clock: Arc<dyn Clock>) -> Self {
        Self {
            keeper,
            clock,
            bells: Mutex::default(),
            meters: Mutex::default(),
            events: broadcast::channel(EVENTS).0,
            called_off: broadcast::channel(EVENTS).0,
            planned: AtomicI64::new(i64::MAX),
            sooner: Notify::new(),
            alarms: Mutex::default(),
            closing: watch::channel(false).0,
            schedules: Schedules::default(),
            settings: watch::channel(0).0,
            times_set: Mutex::default(),
        }
    }

    /// The keeper itself: for what needs no waiting and no telling.
    pub fn keeper(&self) -> &Arc<dyn JobStore> {
        &self.keeper
    }

    /// What time it is for jobs.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Hears what happens from now on; a listener that is too slow misses the oldest.
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Hears of jobs that are called off while somebody has them: their workers should stop.
    pub(super) fn called_off(&self) -> broadcast::Receiver<(QueueName, String)> {
        self.called_off.subscribe()
    }

    /// Changes whenever a queue is set or taken away.
    pub fn settings(&self) -> watch::Receiver<u64> {
        self.settings.subscribe()
    }

    /// How often a queue was given its settings in this process: also where they are the same.
    pub fn times_set(&self, queue: &QueueName) -> u64 {
        lock(&self.times_set).get(queue).copied().unwrap_or(0)
    }

    /// Adds jobs; one answer each, in their order.
    ///
    /// # Errors
    /// [`Error::TooMany`] over 10 000 jobs, else as [`JobStore::enqueue`].
    pub async fn enqueue(
        &self,
        queue: &QueueName,
        jobs: Vec<NewJob>,
    ) -> Result<Vec<Result<Enqueued>>> {
        if jobs.len() > BULK_MAX {
            return Err(Error::TooMany {
                what: "jobs",
                given: jobs.len(),
                limit: BULK_MAX,
            });
        }
        let added = self.keeper.enqueue(queue, jobs, self.now()).await?;
        for one in added.iter().flatten() {
            self.tell_added(queue, one);
        }
        Ok(added)
    }

    /// Adds a job with an extra in the same batch.
    ///
    /// # Errors
    /// As [`JobStore::enqueue_with`].
    pub async fn enqueue_with(
        &self,
        queue: &QueueName,
        job: NewJob,
        extra: Extra,
    ) -> Result<Enqueued> {
        let added = self
            .keeper
            .enqueue_with(queue, job, extra, self.now())
            .await?;
        self.tell_added(queue, &added);
        Ok(added)
    }

    /// Adds a flow.
    ///
    /// # Errors
    /// As [`JobStore::enqueue_flow`].
    pub async fn enqueue_flow(&self, flow: Flow) -> Result<Vec<(QueueName, Enqueued)>> {
        let added = self.keeper.enqueue_flow(flow, self.now()).await?;
        for (queue, one) in &added {
            self.tell_added(queue, one);
        }
        Ok(added)
    }

    /// Gives out jobs; if there are none, waits up to `patience` for some.
    ///
    /// # Errors
    /// [`Error::TooMany`] over 1 000 jobs, else as [`JobStore::claim`].
    pub async fn claim(
        &self,
        queue: &QueueName,
        claim: &Claim,
        patience: Duration,
    ) -> Result<Vec<Claimed>> {
        if claim.max > CLAIM_MAX {
            return Err(Error::TooMany {
                what: "jobs to claim",
                given: claim.max,
                limit: CLAIM_MAX,
            });
        }
        // Before anything is kept for a queue that may not be there.
        let mut claimed = self.keeper.claim(queue, claim, self.now()).await?;
        if claimed.is_empty() && !patience.is_zero() && claim.max > 0 {
            let later = self.claim_later(queue, claim);
            let mut closing = self.closing.subscribe();
            claimed = tokio::select! {
                claimed = later => claimed?,
                () = tokio::time::sleep(patience) => Vec::new(),
                _ = closing.wait_for(|closing| *closing) => Vec::new(),
            };
        }
        if let Some(first) = claimed.iter().map(|one| one.lease.until).min() {
            self.plan(first);
        }
        for one in &claimed {
            self.tell("active", queue, Some(&one.job.id), None);
        }
        Ok(claimed)
    }

    /// As soon as there are jobs.
    async fn claim_later(&self, queue: &QueueName, claim: &Claim) -> Result<Vec<Claimed>> {
        let bell = self.bell(queue);
        loop {
            let mut rings = std::pin::pin!(bell.notified());
            // From here on no ring is missed, also before it is waited for.
            rings.as_mut().enable();
            let claimed = self.keeper.claim(queue, claim, self.now()).await?;
            if !claimed.is_empty() {
                return Ok(claimed);
            }
            self.await_limit(queue).await?;
            rings.await;
        }
    }

    /// Has those woken who wait for jobs that only the rate limit holds back.
    async fn await_limit(&self, queue: &QueueName) -> Result<()> {
        let counts = self.keeper.counts(queue).await?;
        if counts.waiting > 0 && counts.config.limiter.is_some() {
            self.replan().await;
        }
        Ok(())
    }

    /// Answers all who wait, and ends the streams of all who listen: the process is about to end.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Comes when [`Queues::close`] was called.
    pub async fn closed(&self) {
        let mut closing = self.closing.subscribe();
        // The sender lives as long as this does.
        let _ = closing.wait_for(|closing| *closing).await;
    }

    /// Ends an attempt and says where the job stands then.
    ///
    /// # Errors
    /// As [`JobStore::settle`].
    pub async fn settle(
        &self,
        queue: &QueueName,
        id: &str,
        token: &str,
        outcome: Outcome,
    ) -> Result<Option<JobState>> {
        let settled = self
            .keeper
            .settle(queue, id, token, outcome, self.now())
            .await?;
        let state = settled.first().and_then(|change| change.state);
        // A place came free, whatever became of the job.
        self.bell(queue).notify_one();
        self.tell_all(&settled).await;
        Ok(state)
    }

    /// Ends several attempts and says where their jobs stand then, in their order.
    ///
    /// # Errors
    /// [`Error::TooMany`] over 1 000 endings, else as [`JobStore::settle_many`].
    pub async fn settle_many(
        &self,
        queue: &QueueName,
        endings: Vec<Ending>,
        ack: Ack,
    ) -> Result<Vec<Result<Option<JobState>>>> {
        if endings.len() > CLAIM_MAX {
            return Err(Error::TooMany {
                what: "endings",
                given: endings.len(),
                limit: CLAIM_MAX,
            });
        }
        let now = self.now();
        let settled = self.keeper.settle_many(queue, endings, ack, now).await?;
        let mut states = Vec::with_capacity(settled.len());
        for one in settled {
            let Ok(changes) = &one else {
                states.push(one.map(|_| None));
                continue;
            };
            self.bell(queue).notify_one();
            self.tell_all(changes).await;
            states.push(Ok(changes.first().and_then(|change| change.state)));
        }
        Ok(states)
    }

    /// Lets a lease go on.
    ///
    /// # Errors
    /// As [`JobStore::extend`].
    pub async fn extend(
        &self,
        queue: &QueueName,
        id: &str,
        token: &str,
        lease: Option<Millis>,
    ) -> Result<Extended> {
        let extended = self
            .keeper
            .extend(queue, id, token, lease, self.now())
            .await?;
        // It may end sooner than it did.
        self.plan(extended.until);
        Ok(extended)
    }

    /// Keeps what a worker tells.
    ///
    /// # Errors
    /// As [`JobStore::note`].
    pub async fn note(&self, queue: &QueueName, id: &str, token: &str, note: Note) -> Result<()> {
        let is_progress = matches!(note, Note::Progress(_));
        self.keeper.note(queue, id, token, note, self.now()).await?;
        if is_progress {
            self.tell("progress", queue, Some(id), None);
        }
        Ok(())
    }

    /// Does something to one job and says where it stands then.
    ///
    /// # Errors
    /// As [`super::QueueAdmin::act`].
    pub async fn act(&self, queue: &QueueName, id: &str, verb: Verb) -> Result<Option<JobState>> {
        let changes = self.keeper.act(queue, id, verb, self.now()).await?;
        self.tell_all(&changes).await;
        let state = changes.first().and_then(|change| change.state);
        if (verb, state) == (Verb::Cancel, Some(JobState::Active)) {
            // Nobody may be there who hears it.
            let _ = self.called_off.send((queue.clone(), id.to_owned()));
        }
        Ok(state)
    }

    /// Sets a queue.
    ///
    /// # Errors
    /// As [`super::QueueAdmin::configure`].
    pub async fn configure(&self, queue: &QueueName, setting: Setting) -> Result<()> {
        let name = match &setting {
            Setting::Config(_) => "configured",
            Setting::Pause => "paused",
            Setting::Resume => "resumed",
        };
        let is_whole = matches!(setting, Setting::Config(_));
        self.keeper.configure(queue, setting).await?;
        if is_whole {
            *lock(&self.times_set).entry(queue.clone()).or_default() += 1;
        }
        self.settings.send_modify(|times| *times += 1);
        self.bell(queue).notify_waiters();
        self.tell(name, queue, None, None);
        self.warn_of_letters(queue).await;
        self.replan().await;
        Ok(())
    }

    /// One job.
    ///
    /// # Errors
    /// As [`super::QueueAdmin::get`].
    pub async fn get(&self, queue: &QueueName, id: &str) -> Result<Job> {
        self.keeper.get(queue, id).await
    }

    /// Part of a list.
    ///
    /// # Errors
    /// As [`super::QueueAdmin::page`].
    pub async fn page(&self, queue: &QueueName, ask: &PageAsk) -> Result<Page> {
        self.keeper.page(queue, ask).await
    }

    /// How many jobs stand where, and what the queue did lately.
    ///
    /// # Errors
    /// As [`super::QueueAdmin::counts`].
    pub async fn measure(&self, queue: &QueueName) -> Result<(Counts, Recent)> {
        let counts = self.keeper.counts(queue).await?;
        let recent = match lock(&self.meters).get(queue) {
            Some(meter) => meter.recent(self.now()),
            None => Meter::default().recent(self.now()),
        };
        Ok((counts, recent))
    }

    /// All queues, sorted.
    pub async fn names(&self) -> Vec<QueueName> {
        self.keeper.queues().await
    }

    /// Does what is due. Call it again at the instant that it gives, or when [`Queues::sooner`] comes.
    ///
    /// # Errors
    /// What the disk says; then the same is due again.
    pub async fn tick(&self) -> Result<Option<Timestamp>> {
        // Who plans from here on rings.
        self.planned.store(i64::MAX, Ordering::Release);
        loop {
            let changes = self.keeper.expire(ROUND, self.now()).await?;
            let is_last = changes.len() < ROUND;
            self.tell_all(&changes).await;
            if is_last {
                break;
            }
            tokio::task::yield_now().await;
        }
        for queue in self.names().await {
            let bell = lock(&self.bells).get(&queue).cloned();
            if let Some(bell) = bell
                // The queue may have been taken away just now.
                && let Ok(counts) = self.keeper.counts(&queue).await
                && counts.waiting > 0
            {
                bell.notify_waiters();
            }
        }
        let tick = self.fire_due().await?;
        let due = self.keeper.next_due().await;
        let next = tick.into_iter().chain(due).min();
        if let Some(next) = next {
            self.planned.fetch_min(next.as_millis(), Ordering::AcqRel);
        }
        Ok(next)
    }

    /// Comes when something is due sooner than `tick` said.
    pub async fn sooner(&self) {
        self.sooner.notified().await;
    }

    async fn replan(&self) {
        if let Some(next) = self.keeper.next_due().await {
            self.plan(next);
        }
    }

    pub(super) fn plan(&self, at: Timestamp) {
        let before = self.planned.fetch_min(at.as_millis(), Ordering::AcqRel);
        if at.as_millis() < before {
            self.sooner.notify_one();
        }
    }
}
