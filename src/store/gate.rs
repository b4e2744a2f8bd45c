//! A gate that many pass together: one of those who wait does the work for all of them.
//!
//! For: the barrier, where each pass costs a flush and a sync. Not for: what the work is (`barrier`).
//! Read [`Gate::pass`] first.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Who waits: tickets are given in order, and one round of work serves all given before it.
#[derive(Debug, Default)]
pub(super) struct Gate {
    tickets: Mutex<Tickets>,
    passed: Condvar,
}

#[derive(Debug, Default)]
struct Tickets {
    given: u64,
    done: u64,
    is_running: bool,
}

impl Gate {
    fn tickets(&self) -> MutexGuard<'_, Tickets> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when a round of `work` that began after the call has succeeded.
    ///
    /// Whoever comes while a round is under way waits for the next, and one of them does it for all.
    ///
    /// # Errors
    /// What `work` says, to the one who did it; the others try themselves.
    pub(super) fn pass<E>(&self, work: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let mut tickets = self.tickets();
        tickets.given += 1;
        let mine = tickets.given;
        while tickets.is_running && tickets.done < mine {
            let woken = self.passed.wait(tickets);
            tickets = woken.unwrap_or_else(PoisonError::into_inner);
        }
        if tickets.done >= mine {
            return Ok(());
        }
        tickets.is_running = true;
        let all = tickets.given;
        drop(tickets);
        let outcome = work();
        let mut tickets = self.tickets();
        tickets.is_running = false;
        if outcome.is_ok() {
            tickets.done = tickets.done.max(all);
        }
        drop(tickets);
        self.passed.notify_all();
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn all_who_come_during_a_round_share_the_next() {
        let (gate, rounds) = (Gate::default(), AtomicU64::new(0));
        let waiting = |count: u64| {
            while gate.tickets().given < count {
                std::thread::yield_now();
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    gate.pass(|| {
                        rounds.fetch_add(1, Ordering::Relaxed);
                        // The first round lasts until all others wait.
                        waiting(16);
                        Ok::<(), ()>(())
                    })
                });
            }
        });
        assert_eq!(rounds.into_inner(), 2);
        let tickets = gate.tickets();
        assert_eq!((tickets.given, tickets.done), (16, 16));
    }

    #[test]
    fn a_round_that_failed_serves_nobody() {
        let gate = Gate::default();
        assert_eq!(gate.pass(|| Err("full")), Err("full"));
        assert_eq!(gate.tickets().done, 0);
        assert_eq!(gate.pass(|| Ok::<(), ()>(())), Ok(()));
        assert_eq!(gate.tickets().done, 2);
    }
}
