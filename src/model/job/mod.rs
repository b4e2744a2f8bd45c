//! Jobs: what is asked to be done later, the states it goes through, and what a queue promises.
//!
//! For: the words of the queue and the checks on what callers send. Not for: which job is next, nor
//! for keeping them (`queue`). Read [`Job`] and [`JobState`] first, then [`QueueConfig`].
//!
//! Names follow BullMQ where it has the thing: `jobId`, `priority`, `attempts`, `backoff`, `delay`.

mod backoff;
mod config;
mod name;
mod options;
mod payload;
mod report;
mod schedule;
mod webhook;

use serde::{Deserialize, Serialize};

pub use backoff::{Backoff, BackoffKind};
pub use config::{DeadLetterQueue, Durability, Exhausted, Limiter, QueueConfig};
pub use name::{QueueName, check_job_id};
pub use options::{Deduplication, JobOptions, Keep, PRIORITY_MAX};
pub use payload::Payload;
pub use report::{AttemptError, Failure, LogLine};
pub use schedule::{CatchUp, NewSchedule, check_schedule_name};
pub use webhook::{MASK, Secret, Webhook};

use super::units::{Bytes, Timestamp};

/// What is wrong with something that a caller sent about jobs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A queue's name that has other signs than it may.
    #[error(
        "{0:?} cannot name a queue; write 1 to 128 letters, digits, dots, dashes, colons or underscores"
    )]
    QueueName(String),
    /// A queue's name that is a word of the API.
    #[error("{0:?} is a word of the API and cannot name a queue; choose another name")]
    ReservedName(String),
    /// A job's id that cannot be one.
    #[error(
        "{0:?} cannot be a job's id; write 1 to 256 bytes that are no whole number and no word of the API such as pause"
    )]
    JobId(String),
    /// A schedule's name that cannot be one.
    #[error(
        "{0:?} cannot name a schedule; write 1 to 128 bytes without line ends and other control characters"
    )]
    ScheduleName(String),
    /// An option outside its bounds.
    #[error("{field} is {given}; write {wanted}")]
    Bounds {
        /// The field, as it is called in JSON.
        field: &'static str,
        /// What was given.
        given: String,
        /// What it takes.
        wanted: &'static str,
    },
    /// A payload over the queue's limit.
    #[error(
        "the payload takes {size}, the queue {queue} takes at most {limit}; keep large data elsewhere and send its address, or raise maxPayload"
    )]
    Payload {
        /// The queue.
        queue: String,
        /// Its size.
        size: Bytes,
        /// The queue's limit.
        limit: Bytes,
    },
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Part of a flow that is not whole yet; nobody sees it.
    Preparing,
    /// May be claimed.
    Waiting,
    /// May be claimed from an instant on.
    Delayed,
    /// Waits until its children are done.
    WaitingChildren,
    /// Somebody has a lease on it.
    Active,
    /// Done.
    Completed,
    /// Given up; `retry-failed` takes it up again.
    Failed,
    /// Given up and in the dead letters.
    Dead,
    /// Called off.
    Cancelled,
}

impl JobState {
    /// All that callers can ask for, in the order of a job's life.
    pub const VISIBLE: [Self; 8] = [
        Self::Waiting,
        Self::Delayed,
        Self::WaitingChildren,
        Self::Active,
        Self::Completed,
        Self::Failed,
        Self::Dead,
        Self::Cancelled,
    ];

    /// As it is written in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Waiting => "waiting",
            Self::Delayed => "delayed",
            Self::WaitingChildren => "waiting-children",
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::VISIBLE.into_iter().find(|state| state.name() == name)
    }

    /// Whether nothing happens to it by itself any more.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Dead | Self::Cancelled
        )
    }
}

impl std::fmt::Display for JobState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What is asked to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewJob {
    /// What kind of work it is.
    #[serde(default = "unnamed")]
    pub name: String,
    /// What the worker needs to know; null if nothing.
    #[serde(default)]
    pub data: Payload,
    /// How it is to be done.
    #[serde(default)]
    pub opts: JobOptions,
}

fn unnamed() -> String {
    "__default__".to_owned()
}

impl NewJob {
    /// A job with the usual options.
    pub fn new(name: impl Into<String>, data: Payload) -> Self {
        Self {
            name: name.into(),
            data,
            opts: JobOptions::default(),
        }
    }

    /// Looks at everything that can be looked at without the queue.
    ///
    /// # Errors
    /// [`Error`], naming the field.
    pub fn check(&self) -> Result<(), Error> {
        if self.name.is_empty() || self.name.len() > 256 {
            return Err(Error::Bounds {
                field: "name",
                given: format!("{} bytes long", self.name.len()),
                wanted: "1 to 256 bytes",
            });
        }
        self.opts.check()
    }
}

/// A job of a queue: which one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobRef {
    /// Its queue.
    pub queue: QueueName,
    /// Its id there.
    pub id: String,
}

/// The right to work on a job until an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Proves it; another attempt at the same job has another.
    pub token: String,
    /// Who has it, as they call themselves.
    pub worker: String,
    /// When it ends, unless it is extended.
    pub until: Timestamp,
}

/// A job with all that is known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Unique in its queue.
    pub id: String,
    /// Its queue.
    pub queue: QueueName,
    /// What kind of work it is.
    pub name: String,
    /// What the worker needs to know.
    pub data: Payload,
    /// As they were given.
    pub opts: JobOptions,
    /// Where it stands.
    pub state: JobState,
    /// In force; lower runs first.
    pub priority: u32,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// From when on it may run.
    pub run_at: Timestamp,
    /// When its last attempt began.
    pub claimed_at: Option<Timestamp>,
    /// When it came to its final state.
    pub finished_at: Option<Timestamp>,
    /// While it is active.
    pub lease: Option<Lease>,
    /// Attempts that ended, since it was enqueued or retried by hand.
    pub attempts_made: u32,
    /// Attempts that began, ever.
    pub attempts_started: u32,
    /// Whether it is to be called off while it is active.
    pub cancelling: bool,
    /// What its worker said last about how far it is.
    pub progress: Option<Payload>,
    /// What it gave.
    pub result: Option<Payload>,
    /// Attempts that failed, oldest first; the newest twenty.
    pub errors: Vec<AttemptError>,
    /// What its workers noted, oldest first; the newest hundred.
    pub logs: Vec<LogLine>,
    /// The job that waits for it.
    pub parent: Option<JobRef>,
    /// The jobs that it waits for, or waited.
    pub children: Vec<JobRef>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_reads_as_bullmq_writes_it() {
        let job: NewJob = serde_json::from_str(
            r#"{"name": "score", "data": {"lead":  7}, "opts": {"jobId": "a/é", "priority": 3,
            "delay": 500, "attempts": 4, "backoff": {"type": "exponential", "delay": 1000},
            "removeOnComplete": true, "removeOnFail": 50, "deduplication": {"id": "x", "ttl": 9}}}"#,
        )
        .unwrap();
        job.check().unwrap();
        assert_eq!(job.data.text(), r#"{"lead":  7}"#);
        assert_eq!(job.opts.remove_on_complete, Some(Keep::nothing()));
        assert_eq!(job.opts.remove_on_fail.unwrap().count, Some(50));
        let back: NewJob = serde_json::from_str(&serde_json::to_string(&job).unwrap()).unwrap();
        assert_eq!(back, job);
    }

    #[test]
    fn an_option_that_is_not_known_is_named_and_not_dropped() {
        let error = serde_json::from_str::<NewJob>(r#"{"name": "a", "opts": {"lifo": true}}"#);
        assert!(error.unwrap_err().to_string().contains("lifo"));
    }

    #[test]
    fn states_have_one_name_each() {
        for state in JobState::VISIBLE {
            assert_eq!(JobState::named(state.name()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
        assert_eq!(JobState::named("preparing"), None, "nobody sees it");
    }
}
