//! Group commit: changes that wait for the disk at the same time share one barrier.
//!
//! For: answering when a change would survive a loss of power. Not for: writing it. One thread
//! passes the barrier, again and again while somebody waits: who comes meanwhile shares the next. Who
//! is alone on a disk that is quick passes it himself: to wake a thread, and to be woken by it, takes
//! longer than such a disk. The runtime is told that he waits for the disk, so that sockets and timers
//! go on however long that takes; one barrier that takes longer, or somebody beside him, and the
//! thread is asked again.
//! Where several shared the last, it waits for as many again, at most half as long as that took: who is
//! about to come would else wait for the one after, and on a quick disk a barrier costs the processor as
//! much as several changes.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;
use tokio::task::block_in_place;
use tokio::time::Instant;

use super::{Error, Result};
use crate::model::job::Durability;
use crate::store::{self, Rows};

/// What a loss of power costs at most with [`Durability::Interval`], with the time of a barrier.
const INTERVAL: Duration = Duration::from_secs(1);
/// A barrier that took no longer is passed by whoever is alone.
const QUICK: Duration = Duration::from_millis(1);
/// How long changes stay in the process with [`Durability::None`].
const SETTLE: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug)]
pub(super) struct Commits {
    durability: Durability,
    gate: Arc<Gate>,
    rows: Arc<Rows>,
    thread: Option<JoinHandle<()>>,
}

/// What somebody who waits is told: nothing, or why it is not on the disk.
type Told = oneshot::Sender<std::result::Result<(), Arc<str>>>;
/// What he hears it by.
type Hears = oneshot::Receiver<std::result::Result<(), Arc<str>>>;

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
    last: Last,
    /// Somebody who is alone is at the barrier.
    is_taken: bool,
    is_over: bool,
}

/// The barrier before.
#[derive(Debug, Clone, Copy, Default)]
struct Last {
    /// Whom it served, and who came meanwhile.
    concerned: usize,
    /// Nothing where there was none yet.
    took: Option<Duration>,
}

impl Commits {
    /// Starts the thread that passes the barrier of `rows`.
    pub(super) fn start(rows: Arc<Rows>, durability: Durability) -> Self {
        let gate = Arc::new(Gate::default());
        let thread = {
            let (gate, rows) = (Arc::clone(&gate), Arc::clone(&rows));
            let name = "jobs-commit".to_owned();
            let work = move || run(&gate, &rows, durability);
            std::thread::Builder::new().name(name).spawn(work).ok()
        };
        Self {
            durability,
            gate,
            rows,
            thread,
        }
    }

    /// Returns when what was written before the call counts as done.
    pub(super) async fn pass(&self) -> Result<()> {
        match Handle::try_current().map(|handle| handle.runtime_flavor()) {
            Ok(RuntimeFlavor::MultiThread) => self.pass_by(Gate::ask).await,
            // Nobody else would look after sockets and timers meanwhile.
            _ => self.pass_beside().await,
        }
    }

    /// The same for one who does other things meanwhile: the thread is asked in any case.
    pub(super) async fn pass_beside(&self) -> Result<()> {
        self.pass_by(|gate| Way::Told(gate.lock().wait(&gate.rings)))
            .await
    }

    async fn pass_by(&self, ask: impl FnOnce(&Gate) -> Way<'_>) -> Result<()> {
        if self.durability != Durability::Commit {
            return Ok(());
        }
        if self.thread.is_none() {
            return Err(Error::NotDurable("no thread could be started".to_owned()));
        }
        let told = match ask(&self.gate) {
            Way::Free(place) => {
                return place
                    .pass(|| self.rows.barrier())
                    .map_err(|error| Error::NotDurable(why(&error)));
            }
            Way::Told(told) => told,
        };
        match told.await {
            Ok(told) => told.map_err(|why| Error::NotDurable(why.to_string())),
            Err(_) => Err(Error::NotDurable("the queue is closed".to_owned())),
        }
    }
}

/// Why changes are not on the disk, which is told in the log, too.
fn why(error: &store::Error) -> String {
    tracing::error!(%error, "changes to jobs did not reach the disk");
    error.to_string()
}

/// What somebody who asks is to do.
enum Way<'a> {
    /// Pass the barrier himself.
    Free(Place<'a>),
    /// Wait until he is told.
    Told(Hears),
}

/// The barrier, for one who is alone; others wait until it is given back.
struct Place<'a>(&'a Gate);

impl Place<'_> {
    fn pass<E>(
        self,
        barrier: impl FnOnce() -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let began = Instant::now();
        let outcome = block_in_place(barrier);
        let mut asked = self.0.lock();
        asked.last = Last {
            concerned: 1 + asked.waiting.len(),
            took: Some(began.elapsed()),
        };
        drop(asked);
        outcome
    }
}

impl Drop for Place<'_> {
    /// Also after a panic: whoever came meanwhile must not wait for ever.
    fn drop(&mut self) {
        let mut asked = self.0.lock();
        asked.is_taken = false;
        if !asked.waiting.is_empty() || asked.is_over {
            self.0.rings.notify_one();
        }
    }
}

impl Asked {
    /// Waits for the thread, which is rung if it wants to hear of so many.
    fn wait(&mut self, rings: &Condvar) -> Hears {
        let (tell, told) = oneshot::channel();
        if !self.is_over {
            self.waiting.push(tell);
            if self.waiting.len() == self.wanted && !self.is_taken {
                rings.notify_one();
            }
        }
        told
    }

    fn is_quick(&self) -> bool {
        self.last.took.is_some_and(|took| took <= QUICK)
    }

    /// Nobody is at the barrier, nobody waits for it, and nobody shared the last.
    fn is_alone(&self) -> bool {
        let is_free = self.wanted == 1 && !self.is_taken && !self.is_over;
        is_free && self.waiting.is_empty() && self.last.concerned <= 1
    }
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self) -> Way<'_> {
        let mut asked = self.lock();
        if asked.is_quick() && asked.is_alone() {
            asked.is_taken = true;
            return Way::Free(Place(self));
        }
        Way::Told(asked.wait(&self.rings))
    }

    /// Waits for somebody, or so long; `None` when it is over and nobody waits.
    fn next(&self, pause: Option<Duration>) -> Option<Vec<Told>> {
        let mut asked = self.lock();
        if let Some(pause) = pause {
            if !asked.is_over {
                asked = self.hear(asked, pause);
            }
        } else {
            asked.wanted = 1;
            while asked.is_taken || asked.waiting.is_empty() && !asked.is_over {
                let rung = self.rings.wait(asked);
                asked = rung.unwrap_or_else(PoisonError::into_inner);
            }
            asked = self.gather(asked);
            // Until the barrier has passed, nobody need be heard.
            asked.wanted = 0;
        }
        let waiting = std::mem::take(&mut asked.waiting);
        (!waiting.is_empty() || !asked.is_over).then_some(waiting)
    }

    fn gather<'a>(&'a self, mut asked: MutexGuard<'a, Asked>) -> MutexGuard<'a, Asked> {
        let last = asked.last;
        let until = Instant::now() + last.took.unwrap_or_default() / 2;
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
    while let Some(waiting) = gate.next(pause) {
        let began = Instant::now();
        let outcome = match durability {
            Durability::None => rows.hand_over(),
            Durability::Commit | Durability::Interval => rows.barrier(),
        };
        let told = outcome.map_err(|error| Arc::from(why(&error)));
        {
            let mut asked = gate.lock();
            asked.last = Last {
                concerned: waiting.len() + asked.waiting.len(),
                took: Some(began.elapsed()),
            };
        }
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

    fn ask(gate: &Gate, count: usize) -> Vec<Hears> {
        let one = |way| match way {
            Way::Told(told) => told,
            Way::Free(_) => panic!("nobody is alone here"),
        };
        (0..count).map(|_| one(gate.ask())).collect()
    }

    /// Longer than any test.
    const LONG: Duration = Duration::from_hours(1);

    fn next_after(gate: &Gate, concerned: usize, took: Duration) -> Option<usize> {
        let took = Some(took);
        gate.lock().last = Last { concerned, took };
        gate.next(None).map(|told| told.len())
    }

    #[test]
    fn who_comes_after_several_is_waited_for_and_no_longer_than_that() {
        let gate = Gate::default();
        let _alone = ask(&gate, 1);
        assert_eq!(next_after(&gate, 1, LONG), Some(1));
        let _first = ask(&gate, 1);
        let gathered = std::thread::scope(|scope| {
            let next = scope.spawn(|| next_after(&gate, 3, LONG));
            // Each may come before or after the thread waits for all three.
            let _rest = ask(&gate, 2);
            next.join().unwrap()
        });
        assert_eq!(gathered, Some(3));
        // As many do not come again: the time is over.
        let _few = ask(&gate, 2);
        assert_eq!(next_after(&gate, 3, Duration::from_millis(2)), Some(2));
    }

    /// A gate whose thread waits, after a barrier of so many that took so long.
    fn idle(concerned: usize, took: Option<Duration>) -> Gate {
        let gate = Gate::default();
        {
            let mut asked = gate.lock();
            asked.wanted = 1;
            asked.last = Last { concerned, took };
        }
        gate
    }

    #[test]
    fn who_is_alone_on_a_quick_disk_passes_himself_and_the_next_waits_for_him() {
        let gate = idle(1, Some(QUICK));
        let Way::Free(place) = gate.ask() else {
            panic!("he is alone");
        };
        std::thread::scope(|scope| {
            let told = ask(&gate, 1);
            let next = scope.spawn(|| gate.next(None).map(|told| told.len()));
            assert_eq!(place.pass(|| Err(5)), Err(5), "what the disk says");
            assert_eq!(next.join().unwrap(), Some(1));
            drop(told);
        });
        let last = gate.lock().last;
        assert_eq!(last.concerned, 2, "the one who came meanwhile counts");
        gate.lock().wanted = 1;
        assert!(matches!(gate.ask(), Way::Told(_)), "he is no longer alone");
    }

    #[test]
    fn on_a_slow_disk_after_several_and_before_anything_is_known_the_thread_is_asked() {
        let slow = QUICK + Duration::from_nanos(1);
        for (concerned, took) in [(1, Some(slow)), (2, Some(QUICK)), (0, None)] {
            let gate = idle(concerned, took);
            assert!(matches!(gate.ask(), Way::Told(_)), "{concerned} {took:?}");
        }
    }

    #[test]
    fn timers_go_on_while_somebody_is_at_a_barrier_that_stalls() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_time()
            .build()
            .unwrap();
        let (to, from) = std::sync::mpsc::channel();
        let rung = runtime.block_on(async move {
            let waits = tokio::spawn(async move {
                let gate = idle(1, Some(QUICK));
                let Way::Free(place) = gate.ask() else {
                    panic!("he is alone");
                };
                place.pass(|| from.recv_timeout(Duration::from_secs(10)))
            });
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                to.send(()).unwrap();
            });
            waits.await.unwrap()
        });
        assert_eq!(rung, Ok(()), "the only worker's timer rang");
    }

    #[test]
    fn one_who_panics_at_the_barrier_gives_it_back() {
        let gate = idle(1, Some(QUICK));
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let Way::Free(place) = gate.ask() else { return };
            let _ = place.pass(|| -> std::result::Result<(), ()> { panic!("as the engine may") });
        }));
        assert!(ended.is_err());
        assert!(matches!(gate.ask(), Way::Free(_)));
    }

    #[test]
    fn a_thread_that_panics_leaves_nobody_waiting() {
        let gate = idle(1, Some(QUICK));
        gate.lock().wanted = 0;
        let mut asked = ask(&gate, 1);
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _end = End(&gate);
            panic!("as the engine may");
        }));
        assert!(ended.is_err());
        gate.lock().wanted = 1;
        asked.extend(ask(&gate, 1));
        assert!(asked.into_iter().all(|told| told.blocking_recv().is_err()));
    }

    #[test]
    fn whoever_waits_at_the_end_is_served() {
        let gate = Gate::default();
        let _two = ask(&gate, 2);
        gate.lock().is_over = true;
        assert_eq!(next_after(&gate, 9, LONG), Some(2));
        assert_eq!(next_after(&gate, 9, LONG), None);
        let late = ask(&gate, 1).remove(0);
        assert!(late.blocking_recv().is_err(), "nobody would tell him");
    }
}
