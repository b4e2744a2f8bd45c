//! When the open log is closed, so that what it holds can be sealed.
//!
//! For: spans that are over, pasts that were filled in, logs that are too long or no longer trusted.
//! Not for: sealing (`seal`) or the log's bytes (`wal`). Read [`History::rotate_if_due`] first.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::history::{Head, History};
use super::keys::{self, SPAN};
use super::seal::Tick;
use super::segment::Segment;
use super::wal::{self, Log};
use super::{Error, Result};
use crate::model::units::{Millis, Timestamp};

/// Closed logs that may wait for sealing before the open one is no longer closed.
const CLOSED_MAX: usize = 8;
/// What closed logs take in memory at most before a push that would close one more waits.
const CLOSED_ROOM: usize = 12 << 20;
/// How long it waits for them to be sealed.
const PATIENCE: Duration = Duration::from_secs(5);
/// A log with less of the past than this waits for the end of its span.
const BACK_FILL: u64 = 4 << 20;
/// Back-filling is over when the log has grown by no more than [`QUIET_GROWTH`] in this time.
const QUIET: Millis = Millis(30 * Millis::SECOND.0);
const QUIET_GROWTH: u64 = 1 << 20;
/// A log of a span that is long over waits so long for more of it, so that what is filled in
/// afterwards is sealed in few pieces.
const FILLING: Millis = Millis(5 * Millis::MINUTE.0);

/// How the open log is being filled.
#[derive(Debug, Default)]
pub(super) struct Filling {
    log: u32,
    /// A tick saw it while its span lasted.
    was_live: bool,
    /// The first tick that saw its span over.
    since: Option<Timestamp>,
    /// The last tick that saw it grow fast, and its length then.
    grew: Option<(Timestamp, u64)>,
}

/// Wakes those who wait for a closed log to be sealed.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    turn: Mutex<()>,
    done: Condvar,
}

impl History {
    /// Seals, or waits some seconds at most for who is at it, while the open log should be closed
    /// and those that are closed already take too much memory: a past that is filled in is taken
    /// in as fast as it is sealed.
    ///
    /// The caller holds no lock of the head.
    pub(super) fn await_seals(&self, newest: Option<u32>) {
        let is_crowded = || {
            let head = self.head();
            let room = || -> usize { head.closed.iter().map(|segment| segment.room()).sum() };
            self.is_full(&head, newest) && room() > CLOSED_ROOM
        };
        // Before the first tick there is nothing to go by, and after a failure a tick tries again.
        if is_crowded()
            && let Ok(mut upkeep) = self.upkeep.try_lock()
            && let Some(now) = upkeep.last.filter(|_| upkeep.seal_after.is_none())
        {
            _ = self.seal_closed(&mut upkeep, now, &mut Tick::default());
        }
        let turn = self.sealed.turn.lock();
        let turn = turn.unwrap_or_else(PoisonError::into_inner);
        // Whether it waited in vain does not matter here: `rotate` knows how many there may be.
        let is_crowded = |(): &mut ()| is_crowded();
        _ = self
            .sealed
            .done
            .wait_timeout_while(turn, PATIENCE, is_crowded);
    }

    /// Says that a closed log was sealed.
    pub(super) fn seal_is_done(&self) {
        let turn = self.sealed.turn.lock();
        drop(turn.unwrap_or_else(PoisonError::into_inner));
        self.sealed.done.notify_all();
    }

    /// Whether the open log is to be closed before anything of span `newest` is taken.
    pub(super) fn is_full(&self, head: &Head, newest: Option<u32>) -> bool {
        let ends = head.open.begun.zip(newest);
        ends.is_some_and(|(begun, newest)| newest > begun)
            || head.log.len() > self.options.retention.log_max()
    }

    /// Closes the open log and begins the next; the closed one waits to be sealed.
    pub(super) fn rotate(&self, head: &mut Head) -> Result<()> {
        if head.open.is_empty() || head.closed.len() >= CLOSED_MAX {
            return Ok(());
        }
        super::failpoint::hit("before_wal_rotate");
        let number = head.open.number.saturating_add(1);
        head.log = Log::create(self.logs(), number)?;
        let closed = std::mem::replace(&mut head.open, Segment::new(number));
        head.closed.push(Arc::new(closed));
        super::failpoint::hit("after_wal_rotate");
        Ok(())
    }

    /// Begins a log behind all that was sealed past the log; the open one is empty.
    pub(super) fn go_on_after(&self, sealed: u32) -> Result<()> {
        let mut head = self.head_mut();
        let before = head.open.number;
        if sealed <= before {
            return Ok(());
        }
        let number = sealed.saturating_add(1);
        head.log = Log::create(self.logs(), number)?;
        head.open = Segment::new(number);
        drop(head);
        wal::remove(self.logs(), before)
    }

    /// Closes the open log if its span is over, or if the clock was set far back, or if the log
    /// did not reach the disk.
    pub(super) fn rotate_if_due(&self, now: Timestamp) -> Result<()> {
        let suspect = self.suspect.load(Ordering::Acquire);
        let due = {
            let head = self.head();
            match (head.open.begun, keys::span_of(now, SPAN)) {
                (Some(begun), Some(span)) => {
                    let is_over = span > begun || span.saturating_add(1) < begun;
                    suspect
                        || self.is_filled(&head.open, is_over, now)
                        || self.is_back_filled(&head, now)
                }
                _ => false,
            }
        };
        if due {
            self.rotate(&mut self.head_mut())?;
            self.suspect.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// Whether nothing more is awaited for the open log. One that was begun while its span lasted
    /// is done with it; one that is pushed into afterwards may wait for more.
    fn is_filled(&self, open: &Segment, is_over: bool, now: Timestamp) -> bool {
        let mut filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        if filling.log != open.number {
            *filling = Filling {
                log: open.number,
                ..Filling::default()
            };
        }
        if !is_over {
            filling.was_live = true;
            return false;
        }
        let since = *filling.since.get_or_insert(now);
        let is_awaited = now >= since && now.since(since) < FILLING.as_duration();
        filling.was_live || !open.is_pushed() || !is_awaited
    }

    /// Whether the open log holds much of spans before its own, and no more is coming: a past that
    /// was pushed need not stay in memory until the present is over.
    fn is_back_filled(&self, head: &Head, now: Timestamp) -> bool {
        let len = head.log.len();
        let mut filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, before) = *filling.grew.get_or_insert((now, len));
        if len > before + QUIET_GROWTH || now < since {
            filling.grew = Some((now, len));
            return false;
        }
        len > BACK_FILL && head.open.holds_past() && now.since(since) >= QUIET.as_duration()
    }

    /// Leaves a log that did not reach the disk once: what follows in it could not be read back.
    pub(super) fn leave_suspect(&self, head: &mut Head) -> Result<()> {
        if !self.suspect.load(Ordering::Acquire) {
            return Ok(());
        }
        let number = head.open.number;
        self.rotate(head)?;
        if head.open.number == number && !head.open.is_empty() {
            return Err(Error::Behind);
        }
        self.suspect.store(false, Ordering::Release);
        Ok(())
    }
}
