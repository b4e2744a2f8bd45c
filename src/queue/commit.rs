//! Group commit: changes that wait for the disk at the same time share one barrier.
//!
//! For: answering when a change would survive a loss of power. Not for: writing it. One thread
//! passes the barrier, again and again while somebody waits: who comes meanwhile shares the next.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use super::{Error, Result};
use crate::model::job::Durability;
use crate::store::Rows;

/// What a loss of power costs at most with [`Durability::Interval`], with the time of a barrier.
const INTERVAL: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Commits {
    durability: Durability,
    gate: Arc<Gate>,
    passed: watch::Receiver<Passed>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Gate {
    /// The last ticket that was given.
    given: Mutex<u64>,
    asked: Condvar,
    stop: AtomicBool,
}

/// How far changes are on the disk.
#[derive(Debug, Clone, Default)]
struct Passed {
    /// Tickets up to here.
    upto: u64,
    /// Tickets up to here that did not get there, and why.
    failed: Option<(u64, String)>,
}

impl Commits {
    /// Starts the thread that passes the barrier of `rows`.
    pub(super) fn start(rows: Arc<Rows>, durability: Durability) -> Self {
        let gate = Arc::new(Gate::default());
        let (tell, passed) = watch::channel(Passed::default());
        let thread = (durability != Durability::None)
            .then(|| {
                let gate = Arc::clone(&gate);
                let name = "jobs-commit".to_owned();
                let work = move || run(&gate, &rows, &tell, durability);
                std::thread::Builder::new().name(name).spawn(work).ok()
            })
            .flatten();
        Self {
            durability,
            gate,
            passed,
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
        let mine = self.gate.ask();
        let mut passed = self.passed.clone();
        let reached = passed.wait_for(|passed| {
            let failed = passed
                .failed
                .as_ref()
                .is_some_and(|(upto, _)| *upto >= mine);
            failed || passed.upto >= mine
        });
        match reached.await {
            Ok(passed) => match &passed.failed {
                Some((upto, why)) if *upto >= mine => Err(Error::NotDurable(why.clone())),
                _ => Ok(()),
            },
            Err(_) => Err(Error::NotDurable("the queue is closed".to_owned())),
        }
    }
}

impl Gate {
    fn ask(&self) -> u64 {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        *given += 1;
        self.asked.notify_one();
        *given
    }

    /// Waits for tickets after `done`; `None` when it is over.
    fn next(&self, done: u64, durability: Durability) -> Option<u64> {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        while *given <= done && !self.stop.load(Ordering::Acquire) {
            if durability == Durability::Interval {
                let waited = self.asked.wait_timeout(given, INTERVAL);
                drop(waited.unwrap_or_else(PoisonError::into_inner));
                let over = self.stop.load(Ordering::Acquire);
                return (!over).then_some(done);
            }
            given = self
                .asked
                .wait(given)
                .unwrap_or_else(PoisonError::into_inner);
        }
        (*given > done).then_some(*given)
    }
}

fn run(gate: &Gate, rows: &Rows, tell: &watch::Sender<Passed>, durability: Durability) {
    let mut done = 0;
    while let Some(upto) = gate.next(done, durability) {
        let outcome = rows.barrier();
        done = upto;
        tell.send_modify(|passed| match outcome {
            Ok(()) => passed.upto = passed.upto.max(upto),
            Err(error) => {
                tracing::error!(%error, "changes to jobs did not reach the disk");
                passed.failed = Some((upto, error.to_string()));
            }
        });
    }
}

impl Drop for Commits {
    fn drop(&mut self) {
        self.gate.stop.store(true, Ordering::Release);
        self.gate.asked.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic there was told when it happened.
            let _ = thread.join();
        }
    }
}
