//! When arrivals are due: instants from the rates of the stages alone.
//!
//! With a rate that goes evenly from `a` to `b` in `d` seconds, `a t + (b − a) t² / 2d` arrivals
//! are due by `t`. Arrival number `n`, from 0 on, is due where the sum over all stages is `n`: so
//! the first is due at once, fractions carry over from stage to stage, and nothing drifts.

use std::time::Duration;

use crate::model::load::Stage;

/// Sums closer than this to a whole number are meant to be whole.
const WHOLE: f64 = 1e-6;

/// An instant at which a request is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrival {
    /// From 0 on.
    pub(super) number: u64,
    /// After the start.
    pub(super) at: Duration,
    /// Index of the stage.
    pub(super) stage: usize,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: Duration,
    seconds: f64,
    from: f64,
    to: f64,
    /// Arrivals before it, and by its end.
    before: f64,
    after: f64,
}

/// Arrivals in order; what is to come is worked out as it comes.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    spans: Vec<Span>,
    stage: usize,
    number: u64,
    next: Option<Arrival>,
}

impl Schedule {
    /// The arrivals of stages that follow each other.
    pub(super) fn of(stages: &[Stage]) -> Self {
        let (mut spans, mut start, mut before) = (Vec::new(), Duration::ZERO, 0.0);
        for stage in stages {
            let after = whole(before + stage.arrivals());
            let seconds = stage.duration.0 as f64 / 1e3;
            let (from, to) = (stage.from, stage.to);
            spans.push(Span {
                start,
                seconds,
                from,
                to,
                before,
                after,
            });
            start += stage.duration.as_duration();
            before = after;
        }
        let mut schedule = Self {
            spans,
            stage: 0,
            number: 0,
            next: None,
        };
        schedule.next = schedule.find();
        schedule
    }

    /// The next arrival; `None` after the last.
    pub(super) fn peek(&self) -> Option<Arrival> {
        self.next
    }

    /// Takes the next arrival if it is due.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<Arrival> {
        let due = self.next.filter(|arrival| arrival.at <= now)?;
        self.number += 1;
        self.next = self.find();
        Some(due)
    }

    /// How many were taken.
    pub(super) fn taken(&self) -> u64 {
        self.number
    }

    /// How many there are in all.
    pub(super) fn total(&self) -> u64 {
        count(self.spans.last().map_or(0.0, |span| span.after))
    }

    /// How many are due by `now`, that instant included.
    pub(super) fn due_by(&self, now: Duration) -> u64 {
        let open = self.spans.iter().rfind(|span| span.start <= now);
        let Some(span) = open else { return 0 };
        let t = now.saturating_sub(span.start).as_secs_f64();
        if t >= span.seconds {
            return self.total();
        }
        let slope = (span.to - span.from) / span.seconds;
        let sum = span.before + span.from * t + slope * t * t / 2.0;
        count((whole(sum) + WHOLE).floor() + 1.0).min(self.total())
    }

    fn find(&mut self) -> Option<Arrival> {
        let number = self.number as f64;
        while let Some(span) = self.spans.get(self.stage) {
            if number < span.after {
                let at = span.start + span.instant(number - span.before);
                return Some(Arrival {
                    number: self.number,
                    at,
                    stage: self.stage,
                });
            }
            self.stage += 1;
        }
        None
    }
}

impl Span {
    /// When `n` arrivals of it are due: the root of the sum that loses no digits.
    fn instant(&self, n: f64) -> Duration {
        if n <= 0.0 {
            return Duration::ZERO;
        }
        let slope = (self.to - self.from) / self.seconds;
        let root = (self.from * self.from + 2.0 * slope * n).max(0.0).sqrt();
        let seconds = (2.0 * n / (self.from + root)).min(self.seconds);
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

/// The whole number that a sum is meant to be, if it is meant to be one.
fn whole(sum: f64) -> f64 {
    let near = sum.round();
    if (sum - near).abs() < WHOLE {
        near
    } else {
        sum
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of arrivals, below 10^10 as a scenario is checked"
)]
fn count(sum: f64) -> u64 {
    sum.ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::units::Millis;

    fn stage(millis: u64, from: f64, to: f64) -> Stage {
        Stage {
            name: "s".to_owned(),
            duration: Millis(millis),
            from,
            to,
        }
    }

    fn all(stages: &[Stage]) -> Vec<Arrival> {
        let mut schedule = Schedule::of(stages);
        let next = || schedule.take_due(Duration::MAX);
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn a_constant_rate_has_even_distances() {
        let found = all(&[stage(2_000, 5.0, 5.0)]);
        let want: Vec<u64> = (0..10).map(|k| k * 200).collect();
        let got: Vec<Duration> = found.iter().map(|arrival| arrival.at).collect();
        assert_eq!(
            got,
            want.into_iter()
                .map(Duration::from_millis)
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_ramp_from_nothing_has_arrivals_at_roots() {
        // 5 t² / 2 … from 0 to 50 per second in 10 s: 2.5 t² arrivals by t.
        let found = all(&[stage(10_000, 0.0, 50.0)]);
        assert_eq!(found.len(), 250);
        for arrival in &found {
            let want = (arrival.number as f64 / 2.5).sqrt();
            assert!(
                (arrival.at.as_secs_f64() - want).abs() < 1e-8,
                "{arrival:?}"
            );
        }
        // Down again, seen in a mirror: as many, all inside the stage.
        let down = all(&[stage(10_000, 50.0, 0.0)]);
        assert_eq!(down.len(), 250);
        assert!(
            down.iter()
                .all(|arrival| arrival.at < Duration::from_secs(10))
        );
        assert!(down.is_sorted_by_key(|arrival| arrival.at));
        // 50 t − 2.5 t² = 120 → t = 10 − √52.
        let at = down[120].at.as_secs_f64();
        assert!((at - (10.0 - 52.0_f64.sqrt())).abs() < 1e-8, "{at}");
    }

    #[test]
    fn fractions_carry_over_from_stage_to_stage() {
        // Half an arrival each: together two, at 0 s and where the sum is 1: after 2 s.
        let found = all(&[
            stage(1_000, 0.5, 0.5),
            stage(1_000, 0.5, 0.5),
            stage(1_000, 0.5, 0.5),
            stage(1_000, 0.5, 0.5),
        ]);
        let seen: Vec<(u64, usize)> = found
            .iter()
            .map(|arrival| (arrival.at.as_secs(), arrival.stage))
            .collect();
        assert_eq!(seen, [(0, 0), (2, 2)]);
    }

    #[test]
    fn stages_follow_each_other_at_their_rates() {
        let stages = [
            stage(1_000, 10.0, 10.0),
            stage(1_000, 10.0, 30.0),
            stage(2_000, 2.5, 2.5),
        ];
        let found = all(&stages);
        let of = |stage| {
            found
                .iter()
                .filter(|arrival| arrival.stage == stage)
                .count()
        };
        assert_eq!((of(0), of(1), of(2)), (10, 20, 5));
        assert_eq!(found[10].at, Duration::from_secs(1));
        assert_eq!(found[30].at, Duration::from_secs(2));
        assert_eq!(found[31].at, Duration::from_millis(2_400));
        assert_eq!(Schedule::of(&stages).total(), 35);
    }

    #[test]
    fn what_is_due_is_counted_without_walking_there() {
        let stages = [stage(3_000, 7.0, 90.0), stage(2_500, 33.0, 1.0)];
        let found = all(&stages);
        let schedule = Schedule::of(&stages);
        assert_eq!(schedule.total(), found.len() as u64);
        for millis in (0..6_000).step_by(37) {
            let now = Duration::from_millis(millis);
            let walked = found.iter().filter(|arrival| arrival.at <= now).count() as u64;
            assert_eq!(schedule.due_by(now), walked, "{millis} ms");
        }
    }

    #[test]
    fn nothing_is_taken_before_it_is_due() {
        let mut schedule = Schedule::of(&[stage(1_000, 10.0, 10.0)]);
        assert!(schedule.take_due(Duration::ZERO).is_some());
        assert_eq!(schedule.take_due(Duration::from_millis(99)), None);
        assert!(schedule.take_due(Duration::from_millis(100)).is_some());
        assert_eq!(schedule.taken(), 2);
        assert_eq!(schedule.peek().unwrap().at, Duration::from_millis(200));
    }

    #[test]
    fn a_long_fast_run_does_not_drift() {
        let schedule = Schedule::of(&[stage(86_400_000, 50_000.0, 50_000.0)]);
        assert_eq!(schedule.total(), 4_320_000_000);
        let span = schedule.spans[0];
        let last = span.instant(4_319_999_999.0);
        let want = Duration::from_hours(24) - Duration::from_micros(20);
        assert!(last.abs_diff(want) < Duration::from_micros(1), "{last:?}");
    }
}
