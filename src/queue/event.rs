//! What listeners hear of queues, as it happens.

use crate::model::job::{JobState, QueueName};
use crate::model::units::Timestamp;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What, by BullMQ's name where it has one: `added`, `active`, `completed`, `failed`, `delayed`,
    /// `waiting`, `progress`, `removed`, `paused`, `resumed`, `drained`, `obliterated`, `alert`.
    pub name: &'static str,
    /// In which queue.
    pub queue: QueueName,
    /// To which job, if to one.
    pub id: Option<String>,
    /// Why, where something failed.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// What kind of trouble a queue has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlarmKind {
    /// The dead letters are as many as were said to be too many.
    DeadLetters,
    /// The webhook does not answer as it should, and jobs wait for it.
    Webhook,
}

impl AlarmKind {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeadLetters => "dead-letters",
            Self::Webhook => "webhook",
        }
    }
}

/// Something that somebody should look at, as long as it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// In which queue.
    pub queue: QueueName,
    /// Of what kind.
    pub kind: AlarmKind,
    /// What it is, for people.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
}

/// What a job's coming to a state is called.
pub(super) const fn name_of(state: Option<JobState>) -> &'static str {
    match state {
        Some(JobState::Completed) => "completed",
        Some(JobState::Failed | JobState::Dead) => "failed",
        Some(JobState::Delayed) => "delayed",
        Some(JobState::WaitingChildren) => "waiting-children",
        Some(JobState::Active) => "active",
        Some(JobState::Cancelled) => "cancelled",
        Some(JobState::Waiting | JobState::Preparing) => "waiting",
        None => "removed",
    }
}
