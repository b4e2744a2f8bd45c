//! When the open log is closed, so that what it holds can be sealed.
//!
//! For: spans that are over, pasts that were filled in, logs that are too long or no longer trusted.
//! Not for: sealing (`seal`) or the log's bytes (`wal`). Read [`History::rotate_if_due`] first.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::carry::{Coming, SETTLED};
use super::history::{Head, History};
use super::keys::{self, SPAN};
use super::seal::{Tick, Upkeep};
use super::segment::Segment;
use super::wal::{self, Log};
use super::{Error, Result};
use crate::model::units::{Millis, Timestamp};

/// Closed logs that may wait for sealing before the open one is no longer closed.
const CLOSED_MAX: usize = 8;
/// What closed logs take in memory at most before a push that would close one more waits.
const CLOSED_ROOM: usize = 24 << 20;
/// So many pushes between two ticks are a past that is being filled in.
const FLOOD: u64 = 50;
/// How long it waits for them to be sealed.
const PATIENCE: Duration = Duration::from_secs(5);
/// A log with less of the past than this waits for the end of its span.
const BACK_FILL: u64 = 4 << 20;
/// Back-filling is over when the log has grown by no more than [`QUIET_GROWTH`] in this time.
const QUIET: Millis = Millis(30 * Millis::SECOND.0);
const QUIET_GROWTH: u64 = 1 << 20;

/// How the open log is being filled.
#[derive(Debug, Default)]
pub(super) struct Filling {
    log: u32,
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
    pub(super) fn await_seals(&self, coming: Option<Coming>) {
        let is_crowded = || {
            let head = self.head();
            head.is_full(coming, self.options.retention.log_max())
                && head.closed_room() > CLOSED_ROOM
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

    /// Whether closed logs may wait: more of the past is coming fast, and there is room for it. What
    /// is pushed is then answered sooner.
    pub(super) fn is_flooded(&self, upkeep: &mut Upkeep) -> bool {
        let pushes = self.commits.count();
        let before = std::mem::replace(&mut upkeep.pushes, pushes);
        let head = self.head();
        pushes - before >= FLOOD && head.open.holds_past() && head.closed_room() <= CLOSED_ROOM
    }

    /// Says that a closed log was sealed.
    pub(super) fn seal_is_done(&self) {
        let turn = self.sealed.turn.lock();
        drop(turn.unwrap_or_else(PoisonError::into_inner));
        self.sealed.done.notify_all();
    }

    /// Closes the open log and begins the next; the closed one waits to be sealed. What it holds of
    /// `spans` goes on in the next.
    pub(super) fn rotate(&self, head: &mut Head, spans: &[u32]) -> Result<()> {
        if head.open.is_empty() || head.closed.len() >= CLOSED_MAX {
            return Ok(());
        }
        super::failpoint::hit("before_wal_rotate");
        let (next, log) = self.next_log(&mut head.open, spans)?;
        head.log = log;
        let closed = std::mem::replace(&mut head.open, next);
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

    /// Closes the open log if its span is over, or if it was begun far ahead and holds a span that
    /// is over, or if it did not reach the disk.
    pub(super) fn rotate_if_due(&self, now: Timestamp) -> Result<()> {
        let suspect = self.suspect.load(Ordering::Acquire);
        let span = keys::span_of(now, SPAN);
        let due = {
            let head = self.head();
            match (head.open.begun, span) {
                (Some(begun), Some(span)) => {
                    // Begun in the future: by a clock that was set back, or by who pushes into it.
                    let is_ahead = span.saturating_add(1) < begun && head.open.holds_before(span);
                    let is_over = span > begun || is_ahead;
                    suspect
                        || self.is_filled(&head.open, is_over, now)
                        || self.is_back_filled(&head, now)
                }
                _ => false,
            }
        };
        if let Some(span) = span.filter(|_| due) {
            let is_inside = !suspect;
            self.rotate_before(&mut self.head_mut(), Coming { span, is_inside })?;
            self.suspect.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// Whether nothing more is awaited for the open log: what is pushed may come late.
    fn is_filled(&self, open: &Segment, is_over: bool, now: Timestamp) -> bool {
        let mut filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        if filling.log != open.number {
            *filling = Filling {
                log: open.number,
                ..Filling::default()
            };
        }
        if !is_over {
            filling.since = None;
            return false;
        }
        let since = *filling.since.get_or_insert(now);
        let is_awaited = now >= since && now.since(since) < SETTLED.as_duration();
        !open.is_pushed() || !is_awaited
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
        self.rotate(head, &[])?;
        if head.open.number == number && !head.open.is_empty() {
            return Err(Error::Behind);
        }
        self.suspect.store(false, Ordering::Release);
        Ok(())
    }
}
