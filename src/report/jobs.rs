//! What the page tells of the queues of its server.

use super::verdict::Standing;
use crate::model::units::{PerSecond, Timestamp};

/// Queues and schedules, those that need a look first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JobsReport {
    /// Queues.
    pub queues: Vec<QueueRow>,
    /// Queues that there are beside them.
    pub more_queues: usize,
    /// Schedules, the next to come first.
    pub schedules: Vec<ScheduleRow>,
    /// Schedules that there are beside them.
    pub more_schedules: usize,
}

/// A queue.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueRow {
    /// Its name.
    pub name: String,
    /// Jobs that may be claimed.
    pub waiting: u64,
    /// Jobs that are worked on.
    pub active: u64,
    /// Jobs that wait for an instant.
    pub delayed: u64,
    /// Dead letters.
    pub dead: u64,
    /// Whether there are as many as it wants to be told of.
    pub alert: bool,
    /// Whether nothing is claimed.
    pub paused: bool,
    /// Jobs that ended, over the last minute.
    pub throughput: PerSecond,
    /// How long jobs waited, in ms.
    pub wait_p95: Option<f64>,
    /// How long they took, in ms.
    pub run_p95: Option<f64>,
}

/// A schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleRow {
    /// Its name.
    pub name: String,
    /// Where its jobs go.
    pub queue: String,
    /// Its pattern and zone, or how often.
    pub when: String,
    /// Its next tick on its zone's clocks.
    pub next: Option<String>,
    /// Whether it rests.
    pub paused: bool,
    /// Its last run.
    pub last: Option<RunRow>,
}

/// A run of a schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// When it was enqueued.
    pub at: Timestamp,
    /// Where its job stands.
    pub state: String,
    /// Whether that is good.
    pub standing: Standing,
    /// What went wrong, if something did.
    pub reason: Option<String>,
}

/// Queues and schedules as a server might have them, for the tests of the page.
#[cfg(test)]
pub(crate) mod fixture {
    use super::*;
    use crate::model::units::Millis;
    use crate::report::fixture::{HOSTILE, now};

    pub(crate) fn queues() -> JobsReport {
        let queue = |name: &str, waiting, dead| QueueRow {
            name: name.to_owned(),
            waiting,
            active: waiting / 10,
            delayed: 3,
            dead,
            alert: dead > 10,
            paused: dead == 1,
            throughput: PerSecond(12.5),
            wait_p95: (waiting > 0).then_some(1_240.0),
            run_p95: (waiting > 0).then_some(82.0),
        };
        let run = |state: &str, standing, reason: Option<&str>| {
            Some(RunRow {
                at: now().minus(Millis(600_000).as_duration()),
                state: state.to_owned(),
                standing,
                reason: reason.map(str::to_owned),
            })
        };
        let schedule = |name: &str, next: Option<&str>, last| ScheduleRow {
            name: name.to_owned(),
            queue: "mail".to_owned(),
            when: "0 3 * * * Europe/Berlin".to_owned(),
            next: next.map(str::to_owned),
            paused: name == "paused",
            last,
        };
        let next = Some("2026-05-02 03:00:00 +02:00");
        JobsReport {
            queues: vec![
                queue("mail", 1_204, 42),
                queue(HOSTILE, 0, 1),
                queue("idle", 0, 0),
            ],
            more_queues: 2,
            schedules: vec![
                schedule(
                    HOSTILE,
                    next,
                    run("dead", Standing::Critical, Some(HOSTILE)),
                ),
                schedule("nightly", next, run("completed", Standing::Fine, None)),
                schedule("paused", None, run("waiting", Standing::Unknown, None)),
                schedule("over", None, None),
            ],
            more_schedules: 0,
        }
    }
}
