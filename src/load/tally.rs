//! What was counted so far: sketches by stage and endpoint, a point each so many seconds.

use std::time::Duration;

use super::client::{Kind, Reply};
use crate::model::load::{Errors, Latency, Point};
use crate::stats::sketch::Sketch;

/// Points of the timeline, at most.
const POINTS_MAX: u64 = 240;

/// How one request ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    pub(super) stage: usize,
    pub(super) endpoint: usize,
    /// From the intended start to the end.
    pub(super) response: Duration,
    /// From sending to the end.
    pub(super) service: Duration,
    /// From the intended start to sending.
    pub(super) late: Duration,
    /// Whether it had to wait for a slot.
    pub(super) waited: bool,
    /// Whether it ended before the last stage did.
    pub(super) in_time: bool,
    pub(super) reply: Result<Reply, Kind>,
}

impl Outcome {
    fn failure(&self) -> Option<Kind> {
        match self.reply {
            Ok(Reply {
                status: 400..500, ..
            }) => Some(Kind::Refused),
            Ok(Reply { status: 500.., .. }) => Some(Kind::Broken),
            Ok(_) => None,
            Err(kind) => Some(kind),
        }
    }

    /// Whether its length says something about the server: it answered, had its time and did not, or took
    /// the request and went away.
    fn has_latency(&self) -> bool {
        matches!(self.reply, Ok(_) | Err(Kind::Timeout | Kind::Reset))
    }
}

/// Requests of one stage and endpoint, or of several together.
#[derive(Debug, Clone, Default)]
pub(super) struct Cell {
    pub(super) requests: u64,
    /// Those that ended before the last stage did, how many of them went well, and what they brought.
    pub(super) in_time: u64,
    pub(super) good_in_time: u64,
    pub(super) bytes: u64,
    failures: [u64; Kind::ALL.len()],
    response: Sketch,
    service: Sketch,
}

impl Cell {
    fn note(&mut self, outcome: &Outcome, failure: Option<Kind>) {
        self.requests += 1;
        self.in_time += u64::from(outcome.in_time);
        self.good_in_time += u64::from(outcome.in_time && failure.is_none());
        if outcome.in_time
            && let Ok(reply) = outcome.reply
        {
            self.bytes += reply.bytes;
        }
        if let Some(kind) = failure {
            self.fail(kind, 1);
        }
        if outcome.has_latency() {
            self.response.add(millis(outcome.response), 1);
            self.service.add(millis(outcome.service), 1);
        }
    }

    fn fail(&mut self, kind: Kind, times: u64) {
        for (known, count) in Kind::ALL.into_iter().zip(&mut self.failures) {
            if known == kind {
                *count += times;
            }
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.in_time += other.in_time;
        self.good_in_time += other.good_in_time;
        for (own, more) in self.failures.iter_mut().zip(other.failures) {
            *own += more;
        }
        self.response.merge(&other.response);
        self.service.merge(&other.service);
    }

    pub(super) fn failed(&self) -> u64 {
        self.failures.iter().sum()
    }

    pub(super) fn errors(&self) -> Errors {
        let kinds = Kind::ALL.into_iter().zip(self.failures);
        let by_type = kinds.filter(|(_, count)| *count > 0);
        let total = self.failed();
        Errors {
            total,
            by_type: by_type
                .map(|(kind, count)| (kind.name().to_owned(), count))
                .collect(),
            rate: total as f64 / self.requests.max(1) as f64,
        }
    }

    /// From the intended start.
    pub(super) fn latency(&self) -> Latency {
        latency(&self.response)
    }

    /// From sending.
    pub(super) fn service(&self) -> Latency {
        latency(&self.service)
    }
}

/// Requests that ended in a piece of time.
#[derive(Debug, Clone, Default)]
pub(super) struct Piece {
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) response: Sketch,
}

impl Piece {
    fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.response.merge(&other.response);
    }

    fn point(&self, at: Duration) -> Point {
        Point {
            at: at.as_secs_f64(),
            requests: self.requests,
            failed: self.failed,
            p50: self.response.quantile(0.5),
            p99: self.response.quantile(0.99),
            max: self.response.max(),
        }
    }
}

/// Everything that is counted.
#[derive(Debug)]
pub(super) struct Tally {
    endpoints: usize,
    /// Stage by stage, in each endpoint by endpoint.
    cells: Vec<Cell>,
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) waited: u64,
    pub(super) lateness: Sketch,
    second: Piece,
    open: Piece,
    /// Seconds of a point, and how many of them are in the open one.
    step: u64,
    seconds: u64,
    pub(super) timeline: Vec<Point>,
}

impl Tally {
    pub(super) fn new(stages: usize, endpoints: usize, total: Duration) -> Self {
        Self {
            endpoints,
            cells: vec![Cell::default(); stages * endpoints],
            done: 0,
            failed: 0,
            waited: 0,
            lateness: Sketch::default(),
            second: Piece::default(),
            open: Piece::default(),
            step: total.as_secs().div_ceil(POINTS_MAX).max(1),
            seconds: 0,
            timeline: Vec::new(),
        }
    }

    pub(super) fn note(&mut self, outcome: &Outcome) {
        let failure = outcome.failure();
        let at = outcome.stage * self.endpoints + outcome.endpoint;
        if let Some(cell) = self.cells.get_mut(at) {
            cell.note(outcome, failure);
        }
        self.done += 1;
        self.second.requests += 1;
        if failure.is_some() {
            self.failed += 1;
            self.second.failed += 1;
        }
        if outcome.has_latency() {
            self.second.response.add(millis(outcome.response), 1);
        }
        if outcome.waited {
            self.waited += 1;
        } else {
            self.lateness.add(millis(outcome.late), 1);
        }
    }

    /// An arrival that was due, has waited so long, and is never sent: its latency would have been more.
    pub(super) fn note_unsent(&mut self, stage: usize, endpoint: usize, waited: Duration) {
        if let Some(cell) = self.cells.get_mut(stage * self.endpoints + endpoint) {
            cell.requests += 1;
            cell.fail(Kind::Unsent, 1);
            cell.response.add(millis(waited), 1);
        }
        self.done += 1;
        self.failed += 1;
    }

    /// Ends a second; gives what ended in it.
    pub(super) fn tick(&mut self, at: Duration) -> Piece {
        let second = std::mem::take(&mut self.second);
        self.open.merge(&second);
        self.seconds += 1;
        if self.seconds >= self.step {
            self.close(at);
        }
        second
    }

    /// Ends the timeline.
    pub(super) fn finish(&mut self, at: Duration) {
        let second = std::mem::take(&mut self.second);
        self.open.merge(&second);
        if self.open.requests > 0 {
            self.close(at);
        }
    }

    fn close(&mut self, at: Duration) {
        self.timeline.push(self.open.point(at));
        self.open = Piece::default();
        self.seconds = 0;
    }

    /// All requests of a stage.
    pub(super) fn stage(&self, stage: usize) -> Cell {
        let from = stage * self.endpoints;
        merged(self.cells.iter().skip(from).take(self.endpoints))
    }

    /// All requests of an endpoint.
    pub(super) fn endpoint(&self, endpoint: usize) -> Cell {
        merged(
            self.cells
                .iter()
                .skip(endpoint)
                .step_by(self.endpoints.max(1)),
        )
    }

    /// All requests.
    pub(super) fn whole(&self) -> Cell {
        merged(&self.cells)
    }
}

fn merged<'c>(cells: impl IntoIterator<Item = &'c Cell>) -> Cell {
    let mut all = Cell::default();
    for cell in cells {
        all.merge(cell);
    }
    all
}

/// Quantiles of a sketch of ms.
pub(super) fn latency(sketch: &Sketch) -> Latency {
    let avg = sketch.sum() / sketch.count() as f64;
    Latency {
        p50: sketch.quantile(0.5),
        p75: sketch.quantile(0.75),
        p90: sketch.quantile(0.9),
        p95: sketch.quantile(0.95),
        p99: sketch.quantile(0.99),
        p999: sketch.quantile(0.999),
        min: sketch.min(),
        max: sketch.max(),
        avg: avg.is_finite().then_some(avg),
    }
}

fn millis(length: Duration) -> f64 {
    length.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(stage: usize, endpoint: usize, ms: u64, reply: Result<Reply, Kind>) -> Outcome {
        Outcome {
            stage,
            endpoint,
            response: Duration::from_millis(ms),
            service: Duration::from_millis(ms / 2),
            late: Duration::from_millis(1),
            waited: false,
            in_time: ms < 1_000,
            reply,
        }
    }

    const fn answer(status: u16) -> Reply {
        Reply { status, bytes: 10 }
    }

    #[test]
    fn each_end_is_counted_where_and_as_what_it_was() {
        let mut tally = Tally::new(2, 2, Duration::from_secs(10));
        tally.note(&outcome(0, 0, 10, Ok(answer(200))));
        tally.note(&outcome(0, 1, 20, Ok(answer(404))));
        tally.note(&outcome(1, 1, 30, Ok(answer(503))));
        tally.note(&outcome(1, 0, 40, Ok(answer(302))));
        tally.note(&outcome(1, 0, 1_000, Err(Kind::Timeout)));
        tally.note(&outcome(1, 0, 1, Err(Kind::Connect)));
        tally.note_unsent(1, 1, Duration::from_millis(1_500));
        let whole = tally.whole();
        assert_eq!((whole.in_time, whole.good_in_time), (5, 2));
        let of = |cell: Cell| (cell.requests, cell.failed());
        assert_eq!(of(tally.whole()), (7, 5));
        assert_eq!((of(tally.stage(0)), of(tally.stage(1))), ((2, 1), (5, 4)));
        assert_eq!(
            (of(tally.endpoint(0)), of(tally.endpoint(1))),
            ((4, 2), (3, 3))
        );
        let errors = tally.whole().errors();
        let kinds: Vec<_> = errors.by_type.keys().map(String::as_str).collect();
        assert_eq!(kinds, ["4xx", "5xx", "connect", "timeout", "unsent"]);
        assert!((errors.rate - 5.0 / 7.0).abs() < 1e-9);
        // A connection that was refused at once says nothing about how fast the server answers.
        let latency = tally.whole().latency();
        // One that was never sent waited at least so long.
        assert_eq!((latency.min, latency.max), (Some(10.0), Some(1_500.0)));
        assert_eq!(tally.whole().service().max, Some(500.0));
        assert_eq!(tally.whole().bytes, 40);
    }

    #[test]
    fn a_timeline_stays_short_however_long_the_run_is() {
        let hours = Duration::from_hours(12);
        let mut tally = Tally::new(1, 1, hours);
        for second in 1..=hours.as_secs() {
            tally.note(&outcome(0, 0, second % 7, Ok(answer(200))));
            let piece = tally.tick(Duration::from_secs(second));
            assert_eq!((piece.requests, piece.failed), (1, 0));
        }
        tally.finish(hours);
        assert_eq!(tally.timeline.len(), 240);
        assert!(tally.timeline.iter().all(|point| point.requests == 180));
        // What ended after the last tick is a point of its own.
        tally.note(&outcome(0, 0, 5, Ok(answer(500))));
        tally.finish(hours + Duration::from_millis(20));
        let last = tally.timeline.last().unwrap();
        assert_eq!((last.requests, last.failed), (1, 1));
    }

    #[test]
    fn waiting_for_a_slot_is_no_lateness_of_the_generator() {
        let mut tally = Tally::new(1, 1, Duration::from_secs(1));
        let waited = Outcome {
            waited: true,
            late: Duration::from_secs(3),
            ..outcome(0, 0, 3_100, Ok(answer(200)))
        };
        tally.note(&waited);
        assert_eq!((tally.waited, tally.lateness.count()), (1, 0));
    }
}
