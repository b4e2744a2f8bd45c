//! A made-up past of 180 days, so that a demo has something to forecast from in its first minute.
//!
//! For: series of the demo, always marked as synthetic where they are kept and shown. Not for: real
//! targets. Pure: the same instant, anchors and seed give the same past.
//!
//! Each series ends at the value that was just measured (a counter also at its rate), so that real
//! readings join without a jump. In it are growth, days and weeks, an open-enrolment peak (100 days
//! ago), a migration step (62 days ago) and gaps. A counter starts from zero once, where the value
//! now and the rates behind it say that it must have: as after a restart of the server.

mod anchor;

pub use anchor::{Anchor, recorded};

use super::dice::{noise, seed_of};
use super::shape::SPAN_DAYS;
pub use super::shape::{Pattern, Shape};
use crate::model::capacity::SyntheticSpan;
use crate::model::series::{Kind, SeriesKey};
use crate::model::units::{Millis, Timestamp};

/// Length of the fine step, and of the coarse one.
const FINE: Millis = Millis(5 * 60_000);
const COARSE: Millis = Millis::HOUR;
const FINE_PER_COARSE: usize = 12;

/// The fine step covers the last 30 days, the coarse one all 180.
const FINE_DAYS: u64 = 30;
const COARSE_DAYS: u64 = SPAN_DAYS;

/// Readings behind a fine bucket: one every ten seconds.
const READINGS: u64 = 30;

/// Gaps of the collector: days before now, and hours. The seed moves them by up to a day.
const GAPS: [(f64, f64); 6] = [
    (171.0, 7.0),
    (133.0, 3.0),
    (96.0, 11.0),
    (51.0, 2.0),
    (17.0, 4.0),
    (6.0, 0.7),
];

/// The readings of one step, folded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PastBucket {
    /// Start of the step.
    pub at: Timestamp,
    /// Smallest reading.
    pub min: f64,
    /// Largest reading.
    pub max: f64,
    /// Sum of all readings.
    pub sum: f64,
    /// How many readings.
    pub count: u64,
    /// The last reading.
    pub last: f64,
    /// Largest rise between neighbouring readings of a counter; 0 for a gauge.
    pub max_increase: f64,
}

impl PastBucket {
    fn fold(&mut self, next: &Self) {
        self.min = self.min.min(next.min);
        self.max = self.max.max(next.max);
        self.sum += next.sum;
        self.count += next.count;
        self.last = next.last;
        self.max_increase = self.max_increase.max(next.max_increase);
    }
}

/// The past of one series at one step.
#[derive(Debug, Clone, PartialEq)]
pub struct PastSeries {
    /// Which series.
    pub series: SeriesKey,
    /// Counter or gauge.
    pub kind: Kind,
    /// Five minutes or an hour.
    pub step: Millis,
    /// Oldest first, aligned to the step, complete steps only; steps in a gap are missing.
    pub buckets: Vec<PastBucket>,
}

/// The time that a back-fill covers.
pub fn span(now: Timestamp) -> SyntheticSpan {
    SyntheticSpan {
        from: start(now, COARSE_DAYS),
        until: now,
    }
}

/// Makes up the past of `anchors`: for each the last 30 days in steps of five minutes, then all 180
/// days in steps of an hour; the two agree. A value that is not finite has no past.
///
/// One series is held in memory at a time.
pub fn back_fill(
    now: Timestamp,
    anchors: &[Anchor],
    seed: u64,
) -> impl Iterator<Item = PastSeries> + '_ {
    let grid = Grid::new(now, seed);
    anchors
        .iter()
        .filter(|anchor| anchor.current.is_finite() && anchor.rate.is_finite())
        .flat_map(move |anchor| {
            let fine = grid.buckets(anchor, seed_of(seed, &anchor.series.to_string()));
            let coarse = coarse(&fine, now);
            let since = start(now, FINE_DAYS);
            let recent = fine.into_iter().filter(|bucket| bucket.at >= since);
            [(FINE, recent.collect()), (COARSE, coarse)].map(|(step, buckets)| PastSeries {
                series: anchor.series.clone(),
                kind: anchor.kind,
                step,
                buckets,
            })
        })
}

fn start(now: Timestamp, days: u64) -> Timestamp {
    let length = Millis(days * Millis::DAY.0);
    now.minus(length.as_duration()).floor_to(COARSE)
}

/// The fine steps of the whole span, and which of them are gaps: the same for all series.
struct Grid {
    now: Timestamp,
    start: Timestamp,
    steps: usize,
    gaps: Vec<(f64, f64)>,
}

impl Grid {
    fn new(now: Timestamp, seed: u64) -> Self {
        let start = start(now, COARSE_DAYS);
        let length = now.floor_to(FINE).since(start);
        let steps = length.as_millis() / u128::from(FINE.0);
        let gaps = GAPS.iter().zip(0_u64..).map(|((age, hours), i)| {
            let began = age + noise(seed, i);
            (began, began - hours / 24.0)
        });
        Self {
            now,
            start,
            steps: usize::try_from(steps).unwrap_or(0),
            gaps: gaps.collect(),
        }
    }

    /// Start of step `i`; with `i` = `steps`, the end of the last one.
    fn at(&self, i: usize) -> Timestamp {
        self.start.plus(Millis(FINE.0 * i as u64).as_duration())
    }

    /// Days from step `i` to now.
    fn age(&self, i: usize) -> f64 {
        self.now.since(self.at(i)).as_secs_f64() / 86_400.0
    }

    fn is_gap(&self, i: usize) -> bool {
        let (began, ended) = (self.age(i), self.age(i + 1));
        self.gaps
            .iter()
            .any(|(from, until)| ended < *from && began > *until)
    }

    fn buckets(&self, anchor: &Anchor, seed: u64) -> Vec<PastBucket> {
        let edges = match (anchor.kind, anchor.shape.pattern) {
            (Kind::Counter, _) => self.rates(anchor, seed),
            (Kind::Gauge, Pattern::Stock) => self.stock(anchor),
            (Kind::Gauge, _) => self.levels(anchor, anchor.current, seed),
        };
        let fold = match anchor.kind {
            Kind::Counter => counter_buckets,
            Kind::Gauge => gauge_buckets,
        };
        let folded = fold(self, anchor, &edges, seed);
        let numbered = folded.into_iter().enumerate();
        numbered
            .filter(|(i, _)| !self.is_gap(*i))
            .map(|(_, bucket)| bucket)
            .collect()
    }

    /// What `now_is` was at each edge of a step, following demand.
    fn levels(&self, anchor: &Anchor, now_is: f64, seed: u64) -> Vec<f64> {
        let shape = &anchor.shape;
        let unit = now_is / shape.demand(millis(self.now), 0.0);
        let level = |i: usize| {
            let (at, age) = (self.at(i), self.age(i));
            // Over the last hour the noise fades, so that the past ends at what was measured.
            let fade = (age * 24.0).min(1.0);
            let off = 1.0 + shape.noise * fade * deviation(seed, at);
            (unit * shape.demand(millis(at), age) * off).min(shape.ceiling.max(now_is))
        };
        (0..=self.steps).map(level).collect()
    }

    fn rates(&self, anchor: &Anchor, seed: u64) -> Vec<f64> {
        // A rate was measured over seconds, and ticks of a clock may put it above what there is.
        let rate = anchor.rate.max(0.0).min(anchor.shape.ceiling);
        self.levels(anchor, rate, seed)
    }

    /// What had come together at each edge, when what came followed demand.
    fn stock(&self, anchor: &Anchor) -> Vec<f64> {
        let shape = &anchor.shape;
        let mut come = 0.0;
        let mut sums = Vec::with_capacity(self.steps + 1);
        for i in 0..=self.steps {
            sums.push(come);
            come += shape.demand(millis(self.at(i)), self.age(i));
        }
        let whole = sums.last().copied().unwrap_or(0.0).max(f64::MIN_POSITIVE);
        let holds = sums.iter().enumerate().map(|(i, sum)| {
            let value = anchor.current * shape.stock(sum / whole, self.age(i));
            value.min(shape.ceiling.max(anchor.current))
        });
        holds.collect()
    }
}

fn millis(at: Timestamp) -> f64 {
    at.as_millis() as f64
}

/// Between -1 and 1: slow over hours, with a little that is new each step.
fn deviation(seed: u64, at: Timestamp) -> f64 {
    let hours = millis(at) / millis(Timestamp::from_millis(3_600_000));
    let place = |hour: f64| noise(seed, hour.to_bits());
    let slow =
        place(hours.floor()) * (1.0 - hours.fract()) + place(hours.floor() + 1.0) * hours.fract();
    2.0 * (0.7 * slow + 0.3 * noise(!seed, hours.to_bits())) - 1.0
}

fn gauge_buckets(grid: &Grid, anchor: &Anchor, edges: &[f64], seed: u64) -> Vec<PastBucket> {
    let round = |value: f64| {
        if anchor.shape.whole {
            value.round()
        } else {
            value
        }
    };
    let folded = pairs(edges).map(|(i, first, last)| {
        let at = grid.at(i);
        let spread = 0.3 * anchor.shape.noise * noise(seed, at.as_millis().unsigned_abs());
        let (first, last) = (round(first), round(last));
        PastBucket {
            at,
            min: round(first.min(last) * (1.0 - spread)).min(last),
            max: round(first.max(last) * (1.0 + spread))
                .min(anchor.shape.ceiling)
                .max(first.max(last)),
            sum: f64::midpoint(first, last) * READINGS as f64,
            count: READINGS,
            last,
            max_increase: 0.0,
        }
    });
    folded.collect()
}

/// Totals from rates: backwards from the value now, and before its start from zero, forwards.
fn counter_buckets(grid: &Grid, anchor: &Anchor, rates: &[f64], seed: u64) -> Vec<PastBucket> {
    let seconds = FINE.as_duration().as_secs_f64();
    let rises: Vec<f64> = pairs(rates)
        .map(|(_, first, last)| f64::midpoint(first, last) * seconds)
        .collect();
    let since_last_step = grid.now.since(grid.at(grid.steps)).as_secs_f64();
    let mut total = anchor.current - anchor.rate.max(0.0) * since_last_step;
    let mut ends = vec![0.0; rises.len()];
    for (end, rise) in ends.iter_mut().zip(&rises).rev() {
        *end = total;
        total -= rise;
    }
    let started = ends.iter().filter(|end| **end < 0.0).count();
    let mut sum = 0.0;
    for (end, rise) in ends.iter_mut().zip(&rises).take(started) {
        sum += rise;
        *end = sum;
    }
    let folded = rises.iter().zip(&ends).enumerate().map(|(i, (rise, end))| {
        let at = grid.at(i);
        let first = (end - rise).max(0.0);
        let burst = 1.0 + anchor.shape.noise * noise(seed, at.as_millis().unsigned_abs());
        PastBucket {
            at,
            min: first,
            max: *end,
            sum: f64::midpoint(first, *end) * READINGS as f64,
            count: READINGS,
            last: *end,
            max_increase: rise / READINGS as f64 * burst,
        }
    });
    folded.collect()
}

/// Each step with the values at its two edges.
fn pairs(edges: &[f64]) -> impl Iterator<Item = (usize, f64, f64)> + '_ {
    let ends = edges.iter().skip(1);
    edges
        .iter()
        .zip(ends)
        .enumerate()
        .map(|(i, (a, b))| (i, *a, *b))
}

/// Folds fine buckets into whole hours; an hour that is not over yet is left out.
fn coarse(fine: &[PastBucket], now: Timestamp) -> Vec<PastBucket> {
    let mut folded: Vec<PastBucket> = Vec::with_capacity(fine.len() / FINE_PER_COARSE + 1);
    let over = now.floor_to(COARSE);
    for bucket in fine.iter().take_while(|bucket| bucket.at < over) {
        let hour = bucket.at.floor_to(COARSE);
        match folded.last_mut() {
            Some(last) if last.at == hour => last.fold(bucket),
            _ => folded.push(PastBucket {
                at: hour,
                ..*bucket
            }),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Wednesday, 12:34:56 UTC.
    fn now() -> Timestamp {
        Timestamp::parse("2026-05-06T12:34:56Z").unwrap()
    }

    fn past(anchor: Anchor) -> (Vec<PastBucket>, Vec<PastBucket>) {
        let anchors = [anchor];
        let mut series = back_fill(now(), &anchors, 7);
        let (fine, hours) = (series.next().unwrap(), series.next().unwrap());
        assert!(series.next().is_none());
        assert_eq!((fine.step, hours.step), (FINE, COARSE));
        (fine.buckets, hours.buckets)
    }

    fn size() -> Anchor {
        Anchor::gauge(SeriesKey::bare("pg_database_size_bytes"), 4e9)
    }

    fn commits(total: f64) -> Anchor {
        Anchor::counter(
            SeriesKey::bare("pg_database_xact_commit_total"),
            total,
            40.0,
        )
    }

    #[test]
    fn a_gauge_ends_at_what_was_measured() {
        for (name, value) in [
            ("pg_database_size_bytes", 4e9),
            ("host_memory_used_bytes", 3e9),
            ("pg_connections_used", 17.0),
            ("host_cpu_cores", 2.0),
            ("something_else", 0.25),
        ] {
            let (fine, hours) = past(Anchor::gauge(SeriesKey::bare(name), value));
            let last = fine.last().unwrap();
            // The last whole step ends up to five minutes before now; demand moves a little.
            assert!(
                (last.last / value - 1.0).abs() < 0.01,
                "{name}: {}",
                last.last
            );
            assert_eq!(last.at, Timestamp::parse("2026-05-06T12:25:00Z").unwrap());
            let hour = hours.last().unwrap();
            assert_eq!(hour.at, Timestamp::parse("2026-05-06T11:00:00Z").unwrap());
        }
    }

    #[test]
    fn steps_are_aligned_in_order_and_some_are_missing() {
        let (fine, hours) = past(size());
        for (buckets, step, all) in [(&fine, FINE, 30 * 288), (&hours, COARSE, 180 * 24)] {
            assert!(buckets.is_sorted_by(|a, b| a.at < b.at));
            assert!(
                buckets
                    .iter()
                    .all(|bucket| bucket.at.floor_to(step) == bucket.at)
            );
            let missing = all + 12 - i64::try_from(buckets.len()).unwrap();
            assert!(missing > 5, "no gap in steps of {step:?}: {missing}");
            assert!(missing < all / 50, "too many gaps: {missing}");
        }
        assert_eq!(hours.first().unwrap().at, span(now()).from);
    }

    #[test]
    fn hours_are_the_sums_of_their_fine_steps() {
        let (fine, hours) = past(commits(1e9));
        let hour = hours[hours.len() - 30];
        let parts: Vec<&PastBucket> = fine
            .iter()
            .filter(|bucket| bucket.at.floor_to(COARSE) == hour.at)
            .collect();
        assert_eq!(parts.len(), 12);
        assert_eq!(hour.count, parts.iter().map(|part| part.count).sum::<u64>());
        assert!((hour.last - parts[11].last).abs() < 1e-6);
        assert!((hour.min - parts[0].min).abs() < 1e-6);
    }

    #[test]
    fn every_bucket_keeps_its_readings_between_its_extremes() {
        let anchors = recorded().unwrap();
        for series in back_fill(now(), &anchors, 1) {
            for bucket in &series.buckets {
                let mean = bucket.sum / bucket.count as f64;
                let ordered =
                    bucket.min <= mean + 1e-6 && mean <= bucket.max * (1.0 + 1e-12) + 1e-6;
                assert!(ordered, "{}: {bucket:?}", series.series);
                assert!(bucket.min <= bucket.last && bucket.last <= bucket.max);
                assert!(bucket.min >= 0.0, "{}: {bucket:?}", series.series);
            }
        }
    }

    #[test]
    fn a_long_lived_counter_never_falls_and_ends_at_its_value_and_rate() {
        let (fine, hours) = past(commits(1e10));
        for buckets in [&fine, &hours] {
            assert!(buckets.is_sorted_by(|a, b| a.last <= b.last));
        }
        let [before, last] = [fine[fine.len() - 2], fine[fine.len() - 1]];
        let rate = (last.last - before.last) / 300.0;
        assert!((rate / 40.0 - 1.0).abs() < 0.02, "{rate}");
        let rest = 1e10 - last.last;
        assert!(
            (rest - 40.0 * 296.0).abs() < 1.0,
            "12:30:00 to 12:34:56: {rest}"
        );
        assert!(last.max_increase >= 0.99 * (last.last - before.last) / 30.0);
    }

    #[test]
    fn a_young_counter_falls_once_and_starts_from_zero_there() {
        // A day of 40 a second and some: the server started within the last two days.
        let (fine, _) = past(commits(4.0e6));
        let falls: Vec<usize> = (1..fine.len())
            .filter(|i| fine[*i].last < fine[i - 1].last)
            .collect();
        let [fall] = falls[..] else {
            panic!("falls at {falls:?}");
        };
        assert!(fine[fall].last < 40.0 * 2.0 * 300.0);
        assert!(fine[fall].at > now().minus(Millis(2 * Millis::DAY.0).as_duration()));
        assert!((fine.last().unwrap().last - 4.0e6).abs() < 40.0 * 300.0);
        let rate = (fine[fall - 1].last - fine[fall - 2].last) / 300.0;
        assert!(rate > 10.0, "the earlier life has a rate, too: {rate}");
    }

    #[test]
    fn the_past_has_growth_weeks_days_a_peak_and_a_step() {
        let mean = |buckets: &[PastBucket], from_age: f64, until_age: f64| {
            let values: Vec<f64> = buckets
                .iter()
                .filter(|bucket| {
                    let age = now().since(bucket.at).as_secs_f64() / 86_400.0;
                    age <= from_age && age > until_age
                })
                .map(|bucket| bucket.sum / bucket.count as f64)
                .collect();
            values.iter().sum::<f64>() / values.len() as f64
        };
        let (_, hours) = past(Anchor::gauge(SeriesKey::bare("pg_connections"), 1_000.0));
        assert!(
            mean(&hours, 14.0, 0.0) > 1.2 * mean(&hours, 180.0, 166.0),
            "growth"
        );
        assert!(
            mean(&hours, 107.0, 93.0) > 1.3 * mean(&hours, 144.0, 130.0),
            "peak"
        );
        // Sunday the third, against Tuesday the fifth.
        assert!(
            mean(&hours, 3.52, 2.52) < 0.85 * mean(&hours, 1.52, 0.52),
            "week"
        );
        let night = mean(&hours, 0.46, 0.40);
        assert!(night < 0.75 * mean(&hours, 0.1, 0.0), "day: {night}");
        let (_, hours) = past(size());
        let (before, after) = (mean(&hours, 63.0, 62.2), mean(&hours, 61.8, 61.0));
        assert!(after - before > 0.05 * 4e9, "step: {before} to {after}");
    }

    #[test]
    fn the_same_seed_gives_the_same_past_and_another_does_not() {
        let anchors = [commits(1e9)];
        let fill = |seed| back_fill(now(), &anchors, seed).collect::<Vec<_>>();
        assert_eq!(fill(1), fill(1));
        assert_ne!(fill(1), fill(2));
    }

    #[test]
    fn what_was_not_measured_has_no_past() {
        let mut unknown = size();
        unknown.current = f64::NAN;
        assert_eq!(back_fill(now(), &[unknown], 1).count(), 0);
        let (_, nothing) = past(Anchor::gauge(SeriesKey::bare("pg_locks_waiting"), 0.0));
        assert!(nothing.iter().all(|bucket| bucket.max == 0.0));
    }

    #[test]
    fn nothing_lies_above_its_ceiling() {
        let mut busy = Anchor::gauge(SeriesKey::bare("pg_connections_used"), 55.0);
        busy.shape = busy.shape.under(60.0);
        let (fine, hours) = past(busy);
        assert!(fine.iter().chain(&hours).all(|bucket| bucket.max <= 60.0));
    }

    #[test]
    fn no_counter_rises_faster_than_its_ceiling() {
        let key = SeriesKey::bare("host_cpu_busy_seconds_total");
        let mut busy = Anchor::counter(key, 40_000_000.0, 2.4);
        busy.shape = busy.shape.under(2.0);
        let (fine, _) = past(busy);
        let rate = |bucket: &PastBucket| (bucket.last - bucket.min) / 300.0;
        assert!(fine.iter().all(|bucket| rate(bucket) < 2.0 + 1e-6));
    }

    #[test]
    fn the_recorded_platform_has_some_fifty_series_each_once() {
        let anchors = recorded().unwrap();
        let mut names: Vec<String> = anchors.iter().map(|a| a.series.to_string()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), anchors.len());
        assert!((45..=60).contains(&names.len()), "{}", names.len());
    }
}
