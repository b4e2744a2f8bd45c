//! Who sends: one pacer that gives out arrivals when they are due, and a worker a connection.
//!
//! All run on one thread, so nothing is locked: what they share is borrowed for a moment. An arrival
//! that is due goes to an idle worker, else to a new one, else it stays in the schedule until a
//! worker is done: a worker that is done looks for the next due arrival by itself. So what waits
//! takes no memory, and the pacer wakes once for all that became due together.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use super::client::{Kind, Line, Target};
use super::pace::{Arrival, Schedule};
use super::request::Set;
use super::tally::{Outcome, Piece, Tally};
use super::timer::Timer;
use super::{Error, Progress, Result};
use crate::clock::Stopwatch;
use crate::model::load::{Abort, Scenario, Stage};

/// The pacer rests at least so long: what becomes due meanwhile goes out together.
const REST: Duration = Duration::from_micros(150);
/// How long requests under way may go on when the run is stopped.
const GRACE: Duration = Duration::from_secs(1);
/// From one look at what was counted to the next.
const LOOK: Duration = Duration::from_secs(1);
/// From one look to the next whether all requests have ended.
const GLANCE: Duration = Duration::from_millis(5);

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    Finished,
    Stopped,
    Aborted(String),
}

/// What a run leaves.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) ended: End,
    pub(super) took: Duration,
    pub(super) tally: Tally,
    pub(super) planned: u64,
    pub(super) unsent: u64,
    pub(super) unfinished: u64,
    pub(super) connections: u64,
    /// Method and path of each endpoint.
    pub(super) shown: Vec<String>,
    /// How many arrivals waited at once, at most.
    pub(super) backlog_max: u64,
}

/// An arrival and whether it waited for a slot.
type Given = (Arrival, bool);

/// Where an idle worker is handed its next arrival.
#[derive(Default)]
struct Slot {
    given: Cell<Option<Given>>,
    bell: Notify,
}

impl Slot {
    async fn wait(&self) -> Given {
        loop {
            self.bell.notified().await;
            if let Some(given) = self.given.take() {
                return given;
            }
        }
    }
}

/// What changes while a run goes on.
struct State {
    schedule: Schedule,
    tally: Tally,
    idle: Vec<Rc<Slot>>,
    workers: usize,
    in_flight: usize,
    connections: u64,
    /// Arrivals are due and no slot is free.
    is_full: bool,
    /// Nothing is given out any more.
    is_over: bool,
    /// What was due by then and had not been given out.
    unsent: u64,
    backlog_max: u64,
}

struct Crew {
    target: Target,
    set: Set,
    watch: Stopwatch,
    timeout: Duration,
    /// When the last stage is over.
    total: Duration,
    max_in_flight: usize,
    state: RefCell<State>,
    /// Rings when no arrival waits any more.
    room: Notify,
}

/// Sends a scenario's requests and counts.
///
/// # Errors
/// [`Error::Generator`] where this machine gives no timer.
pub(super) async fn run(
    scenario: &Scenario,
    target: Target,
    set: Set,
    stop: impl Future<Output = ()>,
    told: &dyn Fn(&Progress),
) -> Result<Ran> {
    let timer = Timer::new().map_err(|error| Error::Generator(error.to_string()))?;
    let schedule = Schedule::of(&scenario.stages);
    let planned = schedule.total();
    let total = scenario.duration().as_duration();
    let crew = Rc::new(Crew {
        watch: Stopwatch::start(),
        timeout: scenario.timeout.as_duration(),
        total,
        max_in_flight: scenario.max_in_flight,
        state: RefCell::new(State {
            schedule,
            // Answers may come for as long as a request may wait and take after the last stage.
            tally: Tally::new(
                scenario.stages.len(),
                set.len(),
                total + 2 * scenario.timeout.as_duration(),
            ),
            idle: Vec::new(),
            workers: 0,
            in_flight: 0,
            connections: 0,
            is_full: false,
            is_over: false,
            unsent: 0,
            backlog_max: 0,
        }),
        room: Notify::new(),
        target,
        set,
    });
    let ended = tokio::select! {
        whole = pace(&crew, &timer, total) => whole.map(|()| End::Finished),
        why = look(&crew, scenario, told) => Ok(End::Aborted(why)),
        () = stop => Ok(End::Stopped),
    };
    let ended = ended.map_err(|error| Error::Generator(error.to_string()))?;
    crew.end(ended == End::Finished);
    if ended != End::Finished {
        // What is under way may still come, for a moment.
        let _ = tokio::time::timeout(GRACE, crew.all_ended()).await;
    }
    let took = crew.watch.elapsed();
    let mut state = crew.state.borrow_mut();
    let mut tally = std::mem::replace(&mut state.tally, Tally::new(0, 0, Duration::ZERO));
    tally.finish(took);
    Ok(Ran {
        ended,
        took,
        tally,
        planned,
        unsent: state.unsent,
        unfinished: state.in_flight as u64,
        connections: state.connections,
        shown: (0..crew.set.len())
            .map(|index| crew.set.shown(index).to_owned())
            .collect(),
        backlog_max: state.backlog_max,
    })
}

/// Gives out arrivals until all are sent and have ended, or the time to wait for a slot is over.
async fn pace(crew: &Rc<Crew>, timer: &Timer, total: Duration) -> std::io::Result<()> {
    let last = total + crew.timeout;
    loop {
        let now = crew.watch.elapsed();
        let next = crew.give(now);
        if crew.state.borrow().is_full {
            // Who comes too late for a slot is not sent; else a server that hangs holds us for ever.
            let left = last.saturating_sub(now);
            if tokio::time::timeout(left, crew.room.notified())
                .await
                .is_err()
            {
                crew.end(true);
                break;
            }
            continue;
        }
        match next {
            Some(at) => timer.wait(at.saturating_sub(now).max(REST)).await?,
            None => break,
        }
    }
    crew.all_ended().await;
    Ok(())
}

/// Looks each second: tells how far it is, and comes when too much has failed for too long.
async fn look(crew: &Rc<Crew>, scenario: &Scenario, told: &dyn Fn(&Progress)) -> String {
    let mut bad = Bad::default();
    let mut every = tokio::time::interval(LOOK);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    every.tick().await;
    loop {
        every.tick().await;
        let (second, progress) = crew.second(scenario);
        told(&progress);
        if let Some(why) = bad.note(second.requests, second.failed, scenario.abort) {
            return why;
        }
    }
}

fn stage_at(stages: &[Stage], now: Duration) -> &str {
    let mut end = Duration::ZERO;
    for stage in stages {
        end += stage.duration.as_duration();
        if now < end {
            return &stage.name;
        }
    }
    "last answers"
}

/// Seconds on end in which too much failed.
#[derive(Debug, Default)]
pub(super) struct Bad {
    seconds: u32,
}

impl Bad {
    /// Takes a second; says why it is enough, when it is.
    pub(super) fn note(&mut self, requests: u64, failed: u64, rule: Abort) -> Option<String> {
        if requests == 0 {
            // Nothing ended, which is neither good nor bad yet.
            return None;
        }
        if failed as f64 > rule.error_ratio * requests as f64 {
            self.seconds += 1;
        } else {
            self.seconds = 0;
        }
        let share = rule.error_ratio * 100.0;
        (self.seconds >= rule.seconds).then(|| {
            format!(
                "more than {share} % of the requests failed for {} seconds on end",
                self.seconds
            )
        })
    }
}

impl State {
    fn waiting(&self, now: Duration) -> u64 {
        if self.is_over {
            return 0;
        }
        self.schedule
            .due_by(now)
            .saturating_sub(self.schedule.taken())
    }

    /// The next arrival, if it is due.
    fn take(&mut self, now: Duration) -> Option<Arrival> {
        if self.is_over {
            return None;
        }
        self.schedule.take_due(now)
    }
}

impl Crew {
    /// Gives out what is due; says when the next arrival is, if there is one.
    fn give(self: &Rc<Self>, now: Duration) -> Option<Duration> {
        let mut state = self.state.borrow_mut();
        loop {
            let next = state.schedule.peek()?;
            if next.at > now {
                return Some(next.at);
            }
            if state.idle.is_empty() && state.workers >= self.max_in_flight {
                state.is_full = true;
                return Some(next.at);
            }
            let arrival = state.take(now)?;
            state.in_flight += 1;
            if let Some(slot) = state.idle.pop() {
                slot.given.set(Some((arrival, false)));
                slot.bell.notify_one();
            } else {
                state.workers += 1;
                tokio::task::spawn_local(work(Rc::clone(self), arrival));
            }
        }
    }

    /// The next arrival for a worker that is done.
    fn next(&self) -> Option<Given> {
        let mut state = self.state.borrow_mut();
        state.in_flight -= 1;
        let waited = state.is_full;
        if let Some(arrival) = state.take(self.watch.elapsed()) {
            state.in_flight += 1;
            return Some((arrival, waited));
        }
        if state.is_full {
            state.is_full = false;
            self.room.notify_one();
        }
        None
    }

    /// Ends a second: what ended in it, and how far the run is.
    fn second(&self, scenario: &Scenario) -> (Piece, Progress) {
        let now = self.watch.elapsed();
        let mut state = self.state.borrow_mut();
        let second = state.tally.tick(now);
        let waiting = state.waiting(now);
        state.backlog_max = state.backlog_max.max(waiting);
        let progress = Progress {
            elapsed: now,
            total: scenario.duration(),
            stage: stage_at(&scenario.stages, now).to_owned(),
            done: state.tally.done,
            failed: state.tally.failed,
            last_second: second.requests,
            in_flight: state.in_flight,
            waiting,
            p50: second.response.quantile(0.5),
            p99: second.response.quantile(0.99),
        };
        (second, progress)
    }

    /// Ends giving out, once. What was due and not sent counts as failed if the run is to be whole.
    fn end(&self, is_whole: bool) {
        let now = self.watch.elapsed();
        let mut state = self.state.borrow_mut();
        if state.is_over {
            return;
        }
        if is_whole {
            while let Some(arrival) = state.take(now) {
                state.unsent += 1;
                let endpoint = self.set.draw(arrival.number);
                let waited = now.saturating_sub(arrival.at);
                state.tally.note_unsent(arrival.stage, endpoint, waited);
            }
        } else {
            state.unsent = state.waiting(now);
        }
        state.is_over = true;
    }

    async fn all_ended(&self) {
        while self.state.borrow().in_flight > 0 {
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Sends one request and counts how it ended.
    async fn serve(&self, line: &mut Line, (arrival, waited): Given) {
        let endpoint = self.set.draw(arrival.number);
        let sent_at = self.watch.elapsed();
        let opened = line.opened;
        let reply = match self.set.make(endpoint, arrival.number) {
            None => Err(Kind::Other),
            Some(request) => {
                let sent = tokio::time::timeout(self.timeout, line.send(&self.target, request));
                sent.await.unwrap_or(Err(Kind::Timeout))
            }
        };
        let ended_at = self.watch.elapsed();
        let mut state = self.state.borrow_mut();
        state.connections += line.opened - opened;
        state.tally.note(&Outcome {
            stage: arrival.stage,
            endpoint,
            response: ended_at.saturating_sub(arrival.at),
            service: ended_at.saturating_sub(sent_at),
            late: sent_at.saturating_sub(arrival.at),
            waited,
            in_time: ended_at <= self.total,
            reply,
        });
    }
}

/// A worker: one request after the other on a connection of its own.
async fn work(crew: Rc<Crew>, first: Arrival) {
    let slot = Rc::new(Slot::default());
    let mut line = Line::default();
    let mut given = (first, false);
    loop {
        crew.serve(&mut line, given).await;
        given = if let Some(given) = crew.next() {
            given
        } else {
            crew.state.borrow_mut().idle.push(Rc::clone(&slot));
            slot.wait().await
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_given_up_when_too_much_fails_for_too_long() {
        let rule = Abort::default();
        let mut bad = Bad::default();
        for _ in 0..9 {
            assert_eq!(bad.note(100, 11, rule), None);
        }
        // A good second begins it anew, and one in which nothing ends does not.
        assert_eq!(bad.note(100, 10, rule), None);
        for _ in 0..9 {
            assert_eq!(bad.note(100, 100, rule), None);
            assert_eq!(bad.note(0, 0, rule), None);
        }
        let why = bad.note(1, 1, rule).unwrap();
        assert_eq!(
            why,
            "more than 10 % of the requests failed for 10 seconds on end"
        );
        let never = Abort {
            error_ratio: 1.0,
            seconds: 1,
        };
        assert_eq!(Bad::default().note(5, 5, never), None);
    }

    #[test]
    fn the_stage_of_an_instant_is_named() {
        let stage = |name: &str| Stage {
            name: name.to_owned(),
            duration: crate::model::units::Millis(1_000),
            from: 1.0,
            to: 1.0,
        };
        let stages = [stage("a"), stage("b")];
        let at = |millis| stage_at(&stages, Duration::from_millis(millis));
        assert_eq!(
            (at(0), at(999), at(1_000), at(2_000)),
            ("a", "a", "b", "last answers")
        );
    }
}
