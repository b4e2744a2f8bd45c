//! What a queue did lately: how many jobs a second, how long they waited and took.
//!
//! For: rates and percentiles over the last minutes. Not for: totals, which are kept on the disk. A
//! process that was just started knows nothing yet, and says so.

use std::collections::VecDeque;

use crate::model::units::{Millis, PerSecond, Timestamp};
use crate::stats::sketch::Sketch;

/// Jobs a second are those of so long.
pub const THROUGHPUT_WINDOW: Millis = Millis::MINUTE;
/// Times are those of so many minutes, the present one among them.
const MINUTES: usize = 15;

/// How a length of time was spread.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Spread {
    /// Its mean, in ms; `None` of nothing.
    pub mean: Option<f64>,
    /// Medians and above, in ms, at most 2 % off.
    pub p50: Option<f64>,
    /// See `p50`.
    pub p95: Option<f64>,
    /// See `p50`.
    pub p99: Option<f64>,
}

impl Spread {
    fn of(sketch: &Sketch) -> Self {
        let count = sketch.count();
        Self {
            mean: (count > 0).then(|| sketch.sum() / count as f64),
            p50: sketch.quantile(0.5),
            p95: sketch.quantile(0.95),
            p99: sketch.quantile(0.99),
        }
    }
}

/// What a queue did lately.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recent {
    /// Jobs that came to an end, over [`THROUGHPUT_WINDOW`].
    pub throughput: PerSecond,
    /// How long attempts took that were done.
    pub processing: Spread,
    /// How long jobs waited from when they might have run.
    pub wait: Spread,
}

/// Counts what happens in one queue.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// Seconds since 1970, and jobs that ended in them.
    seconds: VecDeque<(i64, u64)>,
    minutes: VecDeque<Minute>,
}

#[derive(Debug)]
struct Minute {
    number: i64,
    processing: Sketch,
    wait: Sketch,
}

impl Meter {
    /// Counts an end.
    pub(super) fn ended(&mut self, now: Timestamp) {
        let second = now.as_millis().div_euclid(1_000);
        match self.seconds.back_mut() {
            Some((last, count)) if *last == second => *count += 1,
            _ => self.seconds.push_back((second, 1)),
        }
        while self.seconds.len() > 2 * 60 {
            self.seconds.pop_front();
        }
    }

    /// Counts an attempt that was done, and how long its job had waited.
    pub(super) fn took(&mut self, wait: Millis, run: Millis, now: Timestamp) {
        let number = now.as_millis().div_euclid(60_000);
        if self.minutes.back().is_none_or(|last| last.number != number) {
            self.minutes.push_back(Minute {
                number,
                processing: Sketch::default(),
                wait: Sketch::default(),
            });
        }
        while self.minutes.len() > MINUTES {
            self.minutes.pop_front();
        }
        if let Some(minute) = self.minutes.back_mut() {
            minute.processing.add(run.0 as f64, 1);
            minute.wait.add(wait.0 as f64, 1);
        }
    }

    /// What happened up to now.
    pub(super) fn recent(&self, now: Timestamp) -> Recent {
        let second = now.as_millis().div_euclid(1_000);
        let window = i64::try_from(THROUGHPUT_WINDOW.0 / 1_000).unwrap_or(60);
        let ended = self.seconds.iter();
        let ended = ended.filter(|(at, _)| *at > second - window && *at <= second);
        let ended: u64 = ended.map(|(_, count)| count).sum();
        let minute = now.as_millis().div_euclid(60_000);
        let (mut processing, mut wait) = (Sketch::default(), Sketch::default());
        for one in &self.minutes {
            if minute - one.number < i64::try_from(MINUTES).unwrap_or(15) && one.number <= minute {
                processing.merge(&one.processing);
                wait.merge(&one.wait);
            }
        }
        Recent {
            throughput: PerSecond(ended as f64 / window as f64),
            processing: Spread::of(&processing),
            wait: Spread::of(&wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_last_minute_and_times_of_the_last_quarter() {
        let mut meter = Meter::default();
        let at = |s: i64| Timestamp::from_millis(s * 1_000);
        assert_eq!(meter.recent(at(0)).processing, Spread::default());
        for s in 0..120 {
            meter.ended(at(s));
            meter.took(Millis(10), Millis(200), at(s));
        }
        let recent = meter.recent(at(119));
        assert!((recent.throughput.0 - 1.0).abs() < 1e-9);
        assert_eq!(recent.processing.mean, Some(200.0));
        assert!((recent.wait.p99.unwrap() - 10.0).abs() < 0.3);
        let later = meter.recent(at(60 * 20));
        assert!(later.throughput.0.abs() < 1e-9);
        assert_eq!(later.wait.p50, None);
    }
}
