//! Group commit: callers that wait for the disk at the same time share one sync.
//!
//! For: acknowledging pushes only when they would survive a loss of power, at the cost of one sync
//! for all that wait. Not for: the sync itself (`history`). Read [`History::commit`] first.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use super::history::History;
use super::push::Pushed;
use super::{Error, Result};

/// How far the log was written, and how far it is on the disk. Marks count pushes from 1.
#[derive(Debug, Default)]
pub(super) struct Commits {
    appended: AtomicU64,
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    synced: u64,
    failed: u64,
    is_running: bool,
}

impl Commits {
    /// How many pushes were appended so far.
    pub(super) fn count(&self) -> u64 {
        self.appended.load(Ordering::Acquire)
    }

    /// The mark of a push that was just appended; the log is locked meanwhile.
    pub(super) fn appended(&self) -> u64 {
        self.appended.fetch_add(1, Ordering::AcqRel) + 1
    }
}

impl History {
    /// Returns when a push would survive a loss of power.
    ///
    /// One caller syncs for all that wait by then; the others sleep. Blocks on the disk.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::DiskFull`]: then the push must not be acknowledged, though it may
    /// survive; pushed again, it is kept once.
    pub fn commit(&self, pushed: Pushed) -> Result<()> {
        let commits = &self.commits;
        let mut state = commits.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            // A page that did not reach the disk once is not tried again by a later sync.
            if pushed.mark <= state.failed {
                let source = io::Error::other("an earlier write did not reach the disk");
                return Err(Error::io(self.logs(), source));
            }
            if pushed.mark <= state.synced {
                return Ok(());
            }
            if !state.is_running {
                break;
            }
            state = commits
                .done
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.is_running = true;
        drop(state);
        let upto = commits.appended.load(Ordering::Acquire);
        let outcome = self.sync_log();
        let mut state = commits.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_running = false;
        match &outcome {
            Ok(()) => state.synced = state.synced.max(upto),
            // Also what was appended while the sync ran may lie in the log that failed.
            Err(_) => state.failed = commits.appended.load(Ordering::Acquire),
        }
        drop(state);
        commits.done.notify_all();
        outcome
    }
}
