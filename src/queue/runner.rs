//! Workers inside this process: handlers that are given jobs, so many at once.
//!
//! For: doing jobs where the queue is. Not for: what a job means: a handler is a function value.
//! Read [`Runner::start`] first; `runner::round` is its loop.
//!
//! A handler that panics has failed, and one that outlasts its time is stopped and has failed.
//! Ends of attempts are answered to nobody here, so they need not wait for the disk one by one:
//! what ended during one barrier shares the next. A loss of power in between means that those jobs
//! are done again, as they would be had they not been finished.

mod round;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Note, Outcome, Queues, Result};
use crate::model::job::{Job, Payload, QueueName};
use crate::model::units::Millis;

/// What does a job. It must not block its thread for long: give long work to a thread of its own.
pub type Handler = Arc<dyn Fn(Task) -> BoxFuture<'static, Outcome> + Send + Sync>;

/// A job in a handler's hands.
#[derive(Debug, Clone)]
pub struct Task {
    /// The job.
    pub job: Arc<Job>,
    token: String,
    queues: Arc<Queues>,
    stopping: watch::Receiver<bool>,
}

impl Task {
    /// Notes how far it is.
    ///
    /// # Errors
    /// As [`Queues::note`].
    pub async fn progress(&self, progress: Payload) -> Result<()> {
        self.note(Note::Progress(progress)).await
    }

    /// Notes a line.
    ///
    /// # Errors
    /// As [`Queues::note`].
    pub async fn log(&self, text: String) -> Result<()> {
        self.note(Note::Log(text)).await
    }

    async fn note(&self, note: Note) -> Result<()> {
        let job = &self.job;
        self.queues
            .note(&job.queue, &job.id, &self.token, note)
            .await
    }

    /// Comes when the job was called off, or the runner is to stop: then end soon.
    pub async fn stopping(&self) {
        let mut stopping = self.stopping.clone();
        if stopping.wait_for(|stopping| *stopping).await.is_err() {
            // Its runner is gone, and this task with it.
            std::future::pending::<()>().await;
        }
    }
}

/// How jobs are done.
#[derive(Debug, Clone)]
pub struct RunnerOptions {
    /// Jobs at once.
    pub concurrency: usize,
    /// How many of those are let through now; all if left out. With 0 nothing is claimed.
    pub valve: Option<watch::Receiver<usize>>,
    /// What the runner calls itself.
    pub worker: String,
    /// How long a job may be silent; as its queue says if left out.
    pub lease: Option<Millis>,
    /// How long those that run may go on when the runner stops, or their job is called off.
    pub grace: Duration,
}

impl Default for RunnerOptions {
    fn default() -> Self {
        Self {
            concurrency: 1,
            valve: None,
            worker: "inside".to_owned(),
            lease: None,
            grace: Duration::from_secs(10),
        }
    }
}

/// A worker of one queue.
#[derive(Debug)]
pub struct Runner {
    stop: watch::Sender<bool>,
    work: JoinHandle<()>,
}

impl Runner {
    /// Starts to do the jobs of a queue, also of one that is not there yet.
    pub fn start(
        queues: Arc<Queues>,
        queue: QueueName,
        handler: Handler,
        options: RunnerOptions,
    ) -> Self {
        let (stop, stopping) = watch::channel(false);
        let work = round::run(queues, queue, handler, options, stopping);
        Self {
            stop,
            work: tokio::spawn(work),
        }
    }

    /// Takes no more jobs, lets those that run end within the grace, and gives the rest back.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.work.await {
            tracing::error!(%error, "a runner of jobs ended early");
        }
    }
}
