//! What an entry tells: of its last transition, and of all that is known of it.

use super::Entry;
use crate::model::job::{Failure, Job, JobRef, JobState, Payload, QueueName};
use crate::model::units::{Millis, Timestamp};
use crate::queue::trail::Trail;
use crate::queue::{Added, Change, Enqueued};

impl Entry {
    /// What the transition that led here tells.
    pub(in crate::queue) fn change(
        &self,
        queue: &QueueName,
        failure: Option<&Failure>,
        now: Timestamp,
    ) -> Change {
        let began = self.claimed_at.unwrap_or(now);
        let length = |from: Timestamp, to: Timestamp| {
            Millis(u64::try_from(to.since(from).as_millis()).unwrap_or(u64::MAX))
        };
        Change {
            queue: queue.clone(),
            id: self.id(),
            state: Some(self.state),
            failed: failure.is_some(),
            wait: length(self.run_at.min(began), began),
            run: length(began, now),
            reason: failure.map(|failure| failure.message.clone()),
        }
    }

    /// What is answered for it to whoever sent it.
    pub(in crate::queue) fn enqueued(&self, added: Added) -> Enqueued {
        let begins = (self.state == JobState::Delayed).then_some(self.run_at);
        let due = begins.into_iter().chain(self.deadline).min();
        Enqueued {
            id: self.id(),
            state: Some(self.state),
            added,
            due: due.filter(|_| added == Added::New),
        }
    }

    /// All that is known of it.
    pub(in crate::queue) fn job(
        &self,
        queue: &QueueName,
        data: Payload,
        trail: Trail,
        result: Option<Payload>,
        children: Vec<JobRef>,
    ) -> Job {
        Job {
            id: self.id(),
            queue: queue.clone(),
            name: self.name.clone(),
            data,
            opts: self.opts.clone(),
            state: self.state,
            priority: self.priority,
            created_at: self.created_at,
            run_at: self.run_at,
            claimed_at: self.claimed_at,
            finished_at: self.finished_at,
            lease: self.lease(),
            attempts_made: self.made,
            attempts_started: self.started,
            cancelling: self.cancelling,
            progress: trail.progress,
            result,
            errors: trail.errors,
            logs: trail.logs,
            parent: self.parent.clone(),
            children,
        }
    }
}
