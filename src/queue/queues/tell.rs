//! Telling: who waits for jobs, who listens, and what is counted.

use std::sync::Arc;

use tokio::sync::Notify;

use super::{Queues, lock};
use crate::model::job::{JobState, QueueName};
use crate::model::units::counted;
use crate::queue::event::{Alarm, AlarmKind, Event, name_of};
use crate::queue::{Added, Change, Enqueued};

impl Queues {
    pub(super) fn tell_added(&self, queue: &QueueName, one: &Enqueued) {
        if one.added == Added::New {
            if one.state == Some(JobState::Waiting) {
                self.bell(queue).notify_one();
            }
            if let Some(due) = one.due {
                self.plan(due);
            }
            self.tell("added", queue, Some(&one.id), None);
        }
    }

    pub(super) fn bell(&self, queue: &QueueName) -> Arc<Notify> {
        Arc::clone(lock(&self.bells).entry(queue.clone()).or_default())
    }

    pub(super) async fn tell_all(&self, changes: &[Change]) {
        let mut is_later = false;
        for change in changes {
            let now = self.now();
            self.schedules.outcomes.hear(change, now);
            if let Some(state) = change.state {
                let mut meters = lock(&self.meters);
                let meter = meters.entry(change.queue.clone()).or_default();
                if state.is_final() {
                    meter.ended(now);
                }
                if state == JobState::Completed {
                    meter.took(change.wait, change.run, now);
                }
            }
            match change.state {
                Some(JobState::Waiting) => self.bell(&change.queue).notify_one(),
                Some(JobState::Delayed) => is_later = true,
                _ => {}
            }
            let (id, reason) = (Some(change.id.as_str()), change.reason.as_deref());
            self.tell(name_of(change.state), &change.queue, id, reason);
            if change.state == Some(JobState::Dead) {
                self.warn_of_letters(&change.queue).await;
            }
        }
        if is_later {
            self.replan().await;
        }
    }

    /// Looks whether the dead letters are too many; tells when they become so.
    pub(super) async fn warn_of_letters(&self, queue: &QueueName) {
        let Ok(counts) = self.keeper.counts(queue).await else {
            return;
        };
        let message = counts.alarming().map(|threshold| {
            let dead = counted(counts.dead, "dead letter");
            format!("{dead}; told from {threshold} on")
        });
        self.set_alarm(queue, AlarmKind::DeadLetters, message);
    }

    /// Notes that something is wrong with a queue, or that it is not any more; tells when it begins.
    pub fn set_alarm(&self, queue: &QueueName, kind: AlarmKind, message: Option<String>) {
        let key = (queue.clone(), kind);
        let mut alarms = lock(&self.alarms);
        let Some(message) = message else {
            alarms.remove(&key);
            return;
        };
        let known = alarms.get(&key).map(|known| known.since);
        let alarm = Alarm {
            queue: queue.clone(),
            kind,
            message: message.clone(),
            since: known.unwrap_or_else(|| self.now()),
        };
        alarms.insert(key, alarm);
        drop(alarms);
        if known.is_none() {
            tracing::warn!(%queue, kind = kind.name(), message, "a queue needs a look");
            self.tell("alert", queue, None, Some(&message));
        }
    }

    /// What somebody should look at now, by queue.
    pub async fn alarms(&self) -> Vec<Alarm> {
        // Letters go without a word: when they are too old, replayed, or the threshold is moved. And
        // a process that was just started has heard of none.
        for queue in self.names().await {
            self.warn_of_letters(&queue).await;
        }
        lock(&self.alarms).values().cloned().collect()
    }

    pub(super) fn tell(
        &self,
        name: &'static str,
        queue: &QueueName,
        id: Option<&str>,
        reason: Option<&str>,
    ) {
        if self.events.receiver_count() == 0 {
            return;
        }
        let event = Event {
            name,
            queue: queue.clone(),
            id: id.map(str::to_owned),
            reason: reason.map(str::to_owned),
            at: self.now(),
        };
        // Nobody may be left to hear it.
        let _ = self.events.send(event);
    }
}
