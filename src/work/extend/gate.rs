//! Room for what is read and not yet written: who reads waits here.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// So many bytes may be under way at once.
#[derive(Debug)]
pub(super) struct Gate {
    room: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    is_closed: bool,
}

impl Gate {
    pub(super) fn new(room: usize) -> Self {
        Self {
            room,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Waits until there is room, or nothing else is under way; `false` once the gate is closed.
    pub(super) fn enter(&self, bytes: usize) -> bool {
        let full = |state: &mut State| {
            !state.is_closed && state.used > 0 && state.used.saturating_add(bytes) > self.room
        };
        let waited = self.changed.wait_while(self.state(), full);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if !state.is_closed {
            state.used = state.used.saturating_add(bytes);
        }
        !state.is_closed
    }

    /// Gives room back.
    pub(super) fn leave(&self, bytes: usize) {
        let mut state = self.state();
        state.used = state.used.saturating_sub(bytes);
        self.changed.notify_all();
    }

    /// Lets nobody in any more.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn what_is_too_large_enters_alone() {
        let gate = Arc::new(Gate::new(10));
        assert!(gate.enter(100));
        let (told, hear) = mpsc::channel();
        let second = Arc::clone(&gate);
        let waiting = thread::spawn(move || told.send(second.enter(1)));
        assert!(hear.try_recv().is_err());
        gate.leave(100);
        assert!(hear.recv().unwrap());
        waiting.join().unwrap().unwrap();
        assert!(gate.enter(9));
    }

    #[test]
    fn a_closed_gate_sends_those_who_wait_away() {
        let gate = Arc::new(Gate::new(1));
        assert!(gate.enter(1));
        let second = Arc::clone(&gate);
        let waiting = thread::spawn(move || second.enter(1));
        gate.close();
        assert!(!waiting.join().unwrap());
        assert!(!gate.enter(1));
    }
}
