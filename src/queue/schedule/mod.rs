//! Schedules: jobs that come again and again, each tick once.
//!
//! For: when a schedule is due, what is made up for after a standstill, and keeping all of it
//! beside the jobs. Not for: doing the work, nor for keeping time: `Queues::tick` calls in. Read
//! [`Schedule`] first, then `due` (what is to be done now, pure), `fire` (doing it: the job and the
//! schedule's next tick are one batch), and `recurrence` for the rules about clocks that change.

mod cron;
mod due;
mod fire;
mod kept;
mod outcomes;
mod recurrence;
mod verbs;
mod zone;

use serde::{Deserialize, Serialize};

pub(super) use outcomes::Outcomes;
pub use recurrence::Recurrence;
pub(super) use verbs::Schedules;
pub use verbs::{Shown, Tick};

use crate::model::job::{JobState, NewSchedule, QueueName};
use crate::model::units::Timestamp;

/// Why a schedule cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A pattern that does not read.
    #[error("the pattern {pattern:?} is none: {why}")]
    Pattern {
        /// As it was given.
        pattern: String,
        /// Which field, what stands there, and what may.
        why: String,
    },
    /// A zone that is not known.
    #[error("there is no time zone {name:?}; {}", cure(near))]
    Zone {
        /// As it was given.
        name: String,
        /// Names that look like it.
        near: Vec<String>,
    },
    /// It would never run.
    #[error("{what} never fires: {why}")]
    Never {
        /// What.
        what: String,
        /// Why.
        why: String,
    },
    /// No schedule has this name.
    #[error("there is no schedule {0:?}; GET /jobs/schedules lists those that there are")]
    Unknown(String),
}

fn cure(near: &[String]) -> String {
    if near.is_empty() {
        "write an IANA name such as Europe/Berlin, or UTC".to_owned()
    } else {
        format!("did you mean {}?", near.join(", "))
    }
}

/// What the functions of this module give.
pub type Result<T> = std::result::Result<T, Error>;

/// A schedule with all that is known about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// As it was asked for.
    pub asked: NewSchedule,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub changed_at: Timestamp,
    /// The next tick; `None` while it is paused, and after its last.
    pub next: Option<Timestamp>,
    /// The first tick of one that counts by `every`.
    pub(super) first: Timestamp,
    /// The newest tick that ran.
    pub last_tick: Option<Timestamp>,
    /// Ticks that ran.
    pub count: u64,
    /// Runs that were asked for by hand.
    pub by_hand: u64,
    /// The last run.
    pub last: Option<LastRun>,
    /// The newest span that passed while nobody could act.
    pub(super) missed: Option<Missed>,
}

/// A run: the job that a tick became.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// The tick; when it was asked for if that was by hand.
    pub tick: Timestamp,
    /// Its queue.
    pub queue: QueueName,
    /// The job.
    pub job_id: String,
    /// When it was enqueued.
    pub at: Timestamp,
    /// Whether it was asked for by hand.
    pub by_hand: bool,
    /// How it ended, once it did.
    pub ended: Option<Ended>,
    /// Why it became no job.
    pub refused: Option<String>,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Where it stands.
    pub state: JobState,
    /// Since when.
    pub at: Timestamp,
    /// What went wrong.
    pub reason: Option<String>,
}

/// Ticks from `from` to before `until` that passed unheard; those in `made_up` ran all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Missed {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
    pub(super) made_up: Vec<Timestamp>,
}

/// Where a schedule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has a next tick.
    Active,
    /// It waits to be resumed.
    Paused,
    /// Its limit is reached, or its end has passed.
    Ended,
}

impl Standing {
    /// As it is written in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Ended => "ended",
        }
    }
}

impl Schedule {
    /// Where it stands.
    pub fn standing(&self) -> Standing {
        match self.next {
            Some(_) => Standing::Active,
            None if self.asked.enabled == Some(false) => Standing::Paused,
            None => Standing::Ended,
        }
    }
}
