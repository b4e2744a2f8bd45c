//! Counts and times since the start, each of something that happened.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What happened to one key.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) hits: AtomicU64,
    pub(super) stale_hits: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) loads: AtomicU64,
    pub(super) load_failures: AtomicU64,
    pub(super) evictions: AtomicU64,
}

/// What happened to one key, or to all, until an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Answered from what was kept, stale ones among them.
    pub hits: u64,
    /// Of these, how many were stale.
    pub stale_hits: u64,
    /// Not there when asked for.
    pub misses: u64,
    /// Loads that gave a result.
    pub loads: u64,
    /// Loads that did not.
    pub load_failures: u64,
    /// Times that it had to make room for another.
    pub evictions: u64,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            hits: read(&self.hits),
            stale_hits: read(&self.stale_hits),
            misses: read(&self.misses),
            loads: read(&self.loads),
            load_failures: read(&self.load_failures),
            evictions: read(&self.evictions),
        }
    }
}

impl Counts {
    /// How often it was asked for.
    pub const fn lookups(&self) -> u64 {
        self.hits + self.misses
    }

    /// Share of the lookups that were answered from what was kept; `None` without any.
    pub fn hit_rate(&self) -> Option<f64> {
        let lookups = self.lookups();
        (lookups > 0).then(|| self.hits as f64 / lookups as f64)
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            hits: self.hits + other.hits,
            stale_hits: self.stale_hits + other.stale_hits,
            misses: self.misses + other.misses,
            loads: self.loads + other.loads,
            load_failures: self.load_failures + other.load_failures,
            evictions: self.evictions + other.evictions,
        }
    }
}

/// How long something takes, on average: every time is measured, which costs two looks at a clock.
#[derive(Debug, Default)]
pub(super) struct Meter {
    times: AtomicU64,
    nanos: AtomicU64,
}

/// Times of something, at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timing {
    /// How often it was done.
    pub times: u64,
    /// How long it took in all.
    pub total: Duration,
}

impl Meter {
    pub(super) fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.times.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Timing {
        Timing {
            times: self.times.load(Ordering::Relaxed),
            total: Duration::from_nanos(self.nanos.load(Ordering::Relaxed)),
        }
    }
}

impl Timing {
    /// The mean in ms; `None` where it was never done.
    pub fn mean_ms(&self) -> Option<f64> {
        (self.times > 0).then(|| self.total.as_secs_f64() * 1e3 / self.times as f64)
    }
}
