//! Group commit: changes that wait for the disk at the same time share one barrier.
//!
//! For: answering when a change would survive a loss of power. Not for: writing it. One thread
//! passes the barrier, again and again while somebody waits: who comes meanwhile shares the next.
//! Where several shared the last, it waits for as many again, at most half as long as that took: who is
//! about to come would else wait for the one after, and on a quick disk a barrier costs the processor as
//! much as several changes.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

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
    /// The thread, where it waits, wants to hear of so many.
    wanted: usize,
    is_over: bool,
}

/// The barrier before.
#[derive(Debug, Clone, Copy, Default)]
struct Last {
    /// Whom it served, and who came meanwhile.
    concerned: usize,
    took: Duration,
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
            if asked.waiting.len() == asked.wanted {
                self.rings.notify_one();
            }
        }
        told
    }

    /// Waits for somebody, or so long; `None` when it is over and nobody waits.
    fn next(&self, pause: Option<Duration>, last: Last) -> Option<Vec<Told>> {
        let mut asked = self.lock();
        if let Some(pause) = pause {
            if !asked.is_over {
                asked = self.hear(asked, pause);
            }
        } else {
            asked.wanted = 1;
            while asked.waiting.is_empty() && !asked.is_over {
                let rung = self.rings.wait(asked);
                asked = rung.unwrap_or_else(PoisonError::into_inner);
            }
            asked = self.gather(asked, last);
            // Until the barrier has passed, nobody need be heard.
            asked.wanted = 0;
        }
        let waiting = std::mem::take(&mut asked.waiting);
        (!waiting.is_empty() || !asked.is_over).then_some(waiting)
    }

    fn gather<'a>(&'a self, mut asked: MutexGuard<'a, Asked>, last: Last) -> MutexGuard<'a, Asked> {
        let until = Instant::now() + last.took / 2;
        asked.wanted = last.concerned;
        while asked.waiting.len() < last.concerned && !asked.is_over {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            asked = self.hear(asked, left);
        }
        asked
    }

    fn hear<'a>(&'a self, asked: MutexGuard<'a, Asked>, pause: Duration) -> MutexGuard<'a, Asked> {
        let waited = self.rings.wait_timeout(asked, pause);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Whoever waits when the thread ends, also by a panic, hears so; and whoever comes then.
struct End<'a>(&'a Gate);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let mut asked = self.0.lock();
        asked.is_over = true;
        asked.waiting.clear();
    }
}

fn run(gate: &Gate, rows: &Rows, durability: Durability) {
    let pause = match durability {
        Durability::Commit => None,
        Durability::Interval => Some(INTERVAL),
        Durability::None => Some(SETTLE),
    };
    let _end = End(gate);
    let mut last = Last::default();
    while let Some(waiting) = gate.next(pause, last) {
        let began = Instant::now();
        let outcome = match durability {
            Durability::None => rows.hand_over(),
            Durability::Commit | Durability::Interval => rows.barrier(),
        };
        if let Err(error) = &outcome {
            tracing::error!(%error, "changes to jobs did not reach the disk");
        }
        let told = outcome.map_err(|error| Arc::from(error.to_string()));
        last = Last {
            concerned: waiting.len() + gate.lock().waiting.len(),
            took: began.elapsed(),
        };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(gate: &Gate, count: usize) -> Vec<oneshot::Receiver<std::result::Result<(), Arc<str>>>> {
        (0..count).map(|_| gate.ask()).collect()
    }

    /// Longer than any test.
    const LONG: Duration = Duration::from_hours(1);

    #[test]
    fn who_comes_after_several_is_waited_for_and_no_longer_than_that() {
        let gate = Gate::default();
        let _alone = ask(&gate, 1);
        let last = Last {
            concerned: 1,
            took: LONG,
        };
        assert_eq!(gate.next(None, last).map(|told| told.len()), Some(1));
        let last = Last {
            concerned: 3,
            took: LONG,
        };
        let _first = ask(&gate, 1);
        let gathered = std::thread::scope(|scope| {
            let next = scope.spawn(|| gate.next(None, last).map(|told| told.len()));
            // Each may come before or after the thread waits for all three.
            let _rest = ask(&gate, 2);
            next.join().unwrap()
        });
        assert_eq!(gathered, Some(3));
        // As many do not come again: the time is over.
        let _few = ask(&gate, 2);
        let last = Last {
            concerned: 3,
            took: Duration::from_millis(2),
        };
        assert_eq!(gate.next(None, last).map(|told| told.len()), Some(2));
    }

    #[test]
    fn a_thread_that_panics_leaves_nobody_waiting() {
        let gate = Gate::default();
        let mut asked = ask(&gate, 1);
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _end = End(&gate);
            panic!("as the engine may");
        }));
        assert!(ended.is_err());
        asked.extend(ask(&gate, 1));
        assert!(asked.into_iter().all(|told| told.blocking_recv().is_err()));
    }

    #[test]
    fn whoever_waits_at_the_end_is_served() {
        let gate = Gate::default();
        let _two = ask(&gate, 2);
        gate.lock().is_over = true;
        let last = Last {
            concerned: 9,
            took: LONG,
        };
        assert_eq!(gate.next(None, last).map(|told| told.len()), Some(2));
        assert!(gate.next(None, last).is_none());
        assert!(gate.ask().blocking_recv().is_err(), "nobody would tell him");
    }
}
