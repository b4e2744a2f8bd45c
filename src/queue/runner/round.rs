//! A runner's loop: claim, start, keep leases, settle together.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, OptionFuture};
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::{Handler, RunnerOptions, Task};
use crate::model::job::{Failure, Job, QueueName};
use crate::model::units::Timestamp;
use crate::queue::{Ack, Claim, Claimed, Ending, Error, Outcome, Queues, Result};

/// How long a claim waits at a time; a queue that is not there is looked for as often.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause after a claim that failed.
const PAUSE: Duration = Duration::from_millis(500);
/// The pause between looks at leases, at most.
const LOOK: Duration = Duration::from_secs(1);
/// Jobs that are claimed together.
const BATCH: usize = 1_000;

/// A job that is being done.
struct Held {
    job: Arc<Job>,
    token: String,
    until: Timestamp,
    /// How long its lease was when it was last extended.
    length: Duration,
    stop: watch::Sender<bool>,
    abort: AbortHandle,
    /// When it was asked to stop.
    asked: Option<Instant>,
}

impl Held {
    fn ask_to_stop(&mut self) {
        self.asked.get_or_insert_with(Instant::now);
        self.stop.send_replace(true);
    }
}

struct Round {
    queues: Arc<Queues>,
    queue: QueueName,
    handler: Handler,
    options: RunnerOptions,
    running: JoinSet<Outcome>,
    held: HashMap<Id, Held>,
}

/// Does jobs until `stopping` turns true.
pub(super) async fn run(
    queues: Arc<Queues>,
    queue: QueueName,
    handler: Handler,
    options: RunnerOptions,
    mut stopping: watch::Receiver<bool>,
) {
    let mut round = Round {
        queues,
        queue,
        handler,
        options,
        running: JoinSet::new(),
        held: HashMap::new(),
    };
    let mut claiming: Option<BoxFuture<'static, Result<Vec<Claimed>>>> = None;
    let mut syncing: Option<BoxFuture<'static, Result<()>>> = None;
    let mut called_off = round.queues.called_off();
    let mut valve = round.options.valve.clone();
    let mut is_dirty = false;
    let mut look = Instant::now() + LOOK;
    while !*stopping.borrow() {
        let free = round.free();
        if claiming.is_none() && free > 0 {
            claiming = Some(round.claim(free));
        }
        if syncing.is_none() && is_dirty {
            is_dirty = false;
            syncing = Some(round.sync());
        }
        tokio::select! {
            biased;
            _ = stopping.changed() => break,
            Some(ended) = round.running.join_next_with_id(), if !round.running.is_empty() => {
                round.settle(ended).await;
                is_dirty = true;
            }
            Some(claimed) = OptionFuture::from(claiming.as_mut()) => {
                claiming = None;
                round.take(claimed);
                look = look.min(round.next_look());
            }
            Some(synced) = OptionFuture::from(syncing.as_mut()) => {
                syncing = None;
                if let Err(error) = synced {
                    tracing::error!(%error, queue = %round.queue, "ends of jobs did not reach the disk");
                }
            }
            Some(turned) = OptionFuture::from(valve.as_mut().map(watch::Receiver::changed)) => {
                // What waits for more than may come now asks anew.
                claiming = None;
                if turned.is_err() {
                    valve = None;
                }
            }
            Ok((queue, id)) = called_off.recv() => round.call_off(&queue, &id),
            () = tokio::time::sleep_until(look) => {
                round.look().await;
                look = round.next_look();
            }
        }
    }
    // A claim under way is dropped: it has either given nothing yet, or is done.
    drop(claiming);
    round.end().await;
}

impl Round {
    fn free(&self) -> usize {
        let most = self.options.concurrency.clamp(1, BATCH);
        let valve = self.options.valve.as_ref();
        let let_through = valve.map_or(most, |valve| *valve.borrow());
        most.min(let_through).saturating_sub(self.held.len())
    }

    fn claim(&self, max: usize) -> BoxFuture<'static, Result<Vec<Claimed>>> {
        let (queues, queue) = (Arc::clone(&self.queues), self.queue.clone());
        let claim = Claim {
            max,
            lease: self.options.lease,
            worker: self.options.worker.clone(),
        };
        Box::pin(async move {
            let claimed = queues.claim(&queue, &claim, PATIENCE).await;
            match &claimed {
                Err(Error::UnknownQueue(_)) => tokio::time::sleep(PAUSE).await,
                Err(error) => {
                    tracing::warn!(%error, %queue, "no job could be claimed");
                    tokio::time::sleep(PATIENCE).await;
                }
                Ok(_) => {}
            }
            claimed
        })
    }

    fn sync(&self) -> BoxFuture<'static, Result<()>> {
        let keeper = Arc::clone(self.queues.keeper());
        Box::pin(async move { keeper.sync().await })
    }

    /// Starts jobs that were claimed.
    fn take(&mut self, claimed: Result<Vec<Claimed>>) {
        let now = self.queues.now();
        for Claimed { job, lease } in claimed.unwrap_or_default() {
            let (stop, stopping) = watch::channel(false);
            let job = Arc::new(job);
            let task = Task {
                job: Arc::clone(&job),
                token: lease.token.clone(),
                queues: Arc::clone(&self.queues),
                stopping,
            };
            let handler = Arc::clone(&self.handler);
            // The handler is called in there, so that it may panic, too.
            let abort = self.running.spawn(async move { handler(task).await });
            let held = Held {
                job,
                token: lease.token,
                until: lease.until,
                length: lease.until.since(now),
                stop,
                abort,
                asked: None,
            };
            self.held.insert(held.abort.id(), held);
        }
    }

    /// Settles a job that ended, with all that ended meanwhile.
    async fn settle(&mut self, first: std::result::Result<(Id, Outcome), JoinError>) {
        let mut endings = Vec::new();
        let mut ended = Some(first);
        while let Some(one) = ended {
            endings.extend(self.ending(one));
            ended = self.running.try_join_next_with_id();
        }
        if endings.is_empty() {
            return;
        }
        match self
            .queues
            .settle_many(&self.queue, endings, Ack::AtOnce)
            .await
        {
            Ok(settled) => {
                for error in settled.into_iter().filter_map(Result::err) {
                    tracing::debug!(%error, queue = %self.queue, "a job was done and is another's");
                }
            }
            // Their leases end, and they are done again.
            Err(error) => {
                tracing::error!(%error, queue = %self.queue, "ends of jobs could not be written");
            }
        }
    }

    fn ending(&mut self, ended: std::result::Result<(Id, Outcome), JoinError>) -> Option<Ending> {
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, outcome),
            Err(error) => {
                let id = error.id();
                let failure = if error.is_panic() {
                    Failure {
                        name: Some("Panic".to_owned()),
                        ..Failure::of(panic_text(error.into_panic().as_ref()))
                    }
                } else {
                    Failure {
                        name: Some("Stopped".to_owned()),
                        ..Failure::of("it did not stop when it was asked to")
                    }
                };
                (id, Outcome::Fail(failure))
            }
        };
        let held = self.held.remove(&id)?;
        Some(Ending {
            id: held.job.id.clone(),
            token: held.token,
            outcome,
        })
    }

    /// A job was called off.
    fn call_off(&mut self, queue: &QueueName, id: &str) {
        if *queue == self.queue {
            let mut held = self.held.values_mut();
            if let Some(held) = held.find(|held| held.job.id == id) {
                held.ask_to_stop();
            }
        }
    }

    fn next_look(&self) -> Instant {
        let now = self.queues.now();
        let left = |held: &Held| held.until.since(now).min(LOOK).max(held.length / 20);
        let soonest = self.held.values().map(left).min();
        Instant::now() + soonest.unwrap_or(LOOK)
    }

    /// Extends leases that are half over, and stops what has none any more.
    async fn look(&mut self) {
        let now = self.queues.now();
        let grace = self.options.grace;
        let mut due = Vec::new();
        for (id, held) in &self.held {
            if held.asked.is_some_and(|asked| asked.elapsed() > grace) {
                held.abort.abort();
            }
            if held.until.since(now) <= held.length / 2 {
                due.push((*id, held.job.id.clone(), held.token.clone()));
            }
        }
        for (id, job, token) in due {
            let extended = self
                .queues
                .extend(&self.queue, &job, &token, self.options.lease)
                .await;
            let Some(held) = self.held.get_mut(&id) else {
                continue;
            };
            match extended {
                Ok(extended) => {
                    held.until = extended.until;
                    if extended.cancelling {
                        held.ask_to_stop();
                    }
                }
                // Its time is over, or it was taken away: what it says now is not heard any more.
                Err(
                    Error::LeaseLost { .. } | Error::UnknownJob { .. } | Error::UnknownQueue(_),
                ) => {
                    held.abort.abort();
                }
                Err(error) => {
                    tracing::warn!(%error, queue = %self.queue, "a lease was not extended");
                }
            }
        }
    }

    /// Lets what runs end, and gives back what does not.
    async fn end(mut self) {
        for held in self.held.values() {
            held.stop.send_replace(true);
        }
        let deadline = Instant::now() + self.options.grace;
        while !self.running.is_empty() {
            tokio::select! {
                Some(ended) = self.running.join_next_with_id() => {
                    self.settle(ended).await;
                }
                () = tokio::time::sleep_until(deadline) => break,
                () = tokio::time::sleep(LOOK) => self.look().await,
            }
        }
        let rest: Vec<Ending> = self.held.drain().map(|(_, held)| release(held)).collect();
        self.running.shutdown().await;
        for some in rest.chunks(BATCH) {
            let released = self
                .queues
                .settle_many(&self.queue, some.to_vec(), Ack::AtOnce);
            if let Err(error) = released.await {
                tracing::warn!(%error, queue = %self.queue, "jobs are not given back; their leases end");
            }
        }
        if let Err(error) = self.queues.keeper().sync().await {
            tracing::error!(%error, queue = %self.queue, "ends of jobs did not reach the disk");
        }
    }
}

fn release(held: Held) -> Ending {
    Ending {
        id: held.job.id.clone(),
        token: held.token,
        outcome: Outcome::Release,
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}
