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
