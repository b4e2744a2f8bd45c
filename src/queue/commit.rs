//! Group commit: changes that wait for the disk at the same time share one barrier.
//!
//! For: answering when a change would survive a loss of power. Not for: writing it. One thread
//! passes the barrier, again and again while somebody waits: who comes meanwhile shares the next.
//! Where several shared the last, it first lets others have the processor: on a busy machine a
//! barrier costs as much of it as several changes, and those that are about to come share it, too.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Error, Result};
use crate::model::job::Durability;
use crate::store::Rows;

/// What a loss of power costs at most with [`Durability::Interval`], with the time of a barrier.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long changes stay in the process with [`Durability::None`].
const SETTLE: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug)]
pub(super) struct Commits {
    durability: Durability,
    gate: Arc<Gate>,
    thread: Option<JoinHandle<()>>,
}

/// What somebody who waits is told: nothing, or why it is not on the disk.
type Told = oneshot::Sender<std::result::Result<(), Arc<str>>>;

#[derive(Debug, Default)]
struct Gate {
    asked: Mutex<Asked>,
    rings: Condvar,
}

#[derive(Debug, Default)]
struct Asked {
    waiting: Vec<Told>,
    is_over: bool,
}

impl Commits {
    /// Starts the thread that passes the barrier of `rows`.
    pub(super) fn start(rows: Arc<Rows>, durability: Durability) -> Self {
        let gate = Arc::new(Gate::default());
        let thread = {
            let gate = Arc::clone(&gate);
            let name = "jobs-commit".to_owned();
            let work = move || run(&gate, &rows, durability);
            std::thread::Builder::new().name(name).spawn(work).ok()
        };
        Self {
            durability,
            gate,
            thread,
        }
    }

    /// Returns when what was written before the call counts as done.
    pub(super) async fn pass(&self) -> Result<()> {
        if self.durability != Durability::Commit {
            return Ok(());
        }
        if self.thread.is_none() {
            return Err(Error::NotDurable("no thread could be started".to_owned()));
        }
        match self.gate.ask().await {
            Ok(told) => told.map_err(|why| Error::NotDurable(why.to_string())),
            Err(_) => Err(Error::NotDurable("the queue is closed".to_owned())),
        }
    }
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self) -> oneshot::Receiver<std::result::Result<(), Arc<str>>> {
        let (tell, told) = oneshot::channel();
        let mut asked = self.lock();
        if !asked.is_over {
            asked.waiting.push(tell);
            self.rings.notify_one();
        }
        told
    }

    /// Waits for somebody, or so long; `None` when it is over and nobody waits. `last` is how many
    /// there were before.
    fn next(&self, pause: Option<Duration>, last: usize) -> Option<Vec<Told>> {
        let mut asked = self.lock();
        if let Some(pause) = pause {
            if !asked.is_over {
                let waited = self.rings.wait_timeout(asked, pause);
                asked = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        } else {
            while asked.waiting.is_empty() && !asked.is_over {
                let rung = self.rings.wait(asked);
                asked = rung.unwrap_or_else(PoisonError::into_inner);
            }
            if last > 1 {
                drop(asked);
                std::thread::yield_now();
                asked = self.lock();
            }
        }
        let waiting = std::mem::take(&mut asked.waiting);
        (!waiting.is_empty() || !asked.is_over).then_some(waiting)
    }
}

fn run(gate: &Gate, rows: &Rows, durability: Durability) {
    let pause = match durability {
        Durability::Commit => None,
        Durability::Interval => Some(INTERVAL),
        Durability::None => Some(SETTLE),
    };
    let mut last = 0;
    while let Some(waiting) = gate.next(pause, last) {
        last = waiting.len();
        let outcome = match durability {
            Durability::None => rows.settle(),
            Durability::Commit | Durability::Interval => rows.barrier(),
        };
        if let Err(error) = &outcome {
            tracing::error!(%error, "changes to jobs did not reach the disk");
        }
        let told = outcome.map_err(|error| Arc::from(error.to_string()));
        for one in waiting {
            // Who waited may have gone.
            let _ = one.send(told.clone());
        }
    }
}

impl Drop for Commits {
    fn drop(&mut self) {
        self.gate.lock().is_over = true;
        self.gate.rings.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic there was told when it happened.
            let _ = thread.join();
        }
    }
}
