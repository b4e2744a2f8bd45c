//! What a queue does with its jobs where they do not say otherwise.

use serde::{Deserialize, Serialize};

use super::options::{
    check_attempts, check_length, check_names, check_priority, check_text, within,
};
use super::{Backoff, Error, Keep, Webhook};
use crate::model::units::{Bytes, Millis};

/// When a change to a queue counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// When a loss of power would not undo it.
    #[default]
    Commit,
    /// At once; a loss of power undoes up to a second.
    Interval,
    /// At once; a loss of power undoes what the system had not written by itself.
    None,
}

/// What becomes of a job that is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exhausted {
    /// It stays as failed.
    Fail,
    /// It stays as failed, and `retry-failed` leaves it alone.
    Archive,
    /// It goes to the dead letters.
    #[default]
    Deadletter,
}

/// At most so many jobs begin in each window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limiter {
    /// Jobs.
    pub max: u32,
    /// The window, in ms; it begins with its first job.
    pub duration: Millis,
}

/// Where jobs go that were given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DeadLetterQueue {
    /// What it is called; the queue's name with `-dlq` if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The oldest go first beyond so many.
    pub max_size: u64,
    /// How long a job stays there, in ms; for ever if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Millis>,
    /// From so many on it is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert_threshold: Option<u64>,
}

impl Default for DeadLetterQueue {
    fn default() -> Self {
        Self {
            name: None,
            max_size: 10_000,
            ttl: None,
            alert_threshold: None,
        }
    }
}

/// What a queue does with its jobs where they do not say otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct QueueConfig {
    /// Jobs active at once; no bound if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Jobs of one key active at once.
    pub key_concurrency: u32,
    /// How many may begin in a window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limiter: Option<Limiter>,
    /// 0 runs first.
    pub priority: u32,
    /// Tries in all.
    pub attempts: u32,
    /// The wait between two of them.
    pub backoff: Backoff,
    /// How long a worker has a job before it must be heard of again, in ms.
    pub lease: Millis,
    /// The longest that one attempt may take, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Millis>,
    /// The longest from when a job may run to its end, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_timeout: Option<Millis>,
    /// Errors that are worth another attempt, by their name; all if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retryable_errors: Option<Vec<String>>,
    /// What becomes of a job that is given up.
    pub on_max_retries_exceeded: Exhausted,
    /// How long done and cancelled jobs are kept.
    pub remove_on_complete: Keep,
    /// How long failed ones are kept; the dead letters have bounds of their own.
    pub remove_on_fail: Keep,
    /// The dead letters.
    pub dead_letter: DeadLetterQueue,
    /// The largest payload, in bytes.
    pub max_payload: Bytes,
    /// Where jobs are sent; they are fetched if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
}

impl Default for QueueConfig {
    /// Three attempts as in the platform's own queues; ended jobs are kept for a look at them.
    fn default() -> Self {
        Self {
            concurrency: None,
            key_concurrency: 1,
            limiter: None,
            priority: 0,
            attempts: 3,
            backoff: Backoff::exponential(Millis(1_000), Some(Millis(60_000))),
            lease: Millis(30_000),
            timeout: None,
            total_timeout: None,
            retryable_errors: None,
            on_max_retries_exceeded: Exhausted::default(),
            remove_on_complete: Keep {
                count: Some(1_000),
                age: Some(86_400),
            },
            remove_on_fail: Keep {
                count: Some(10_000),
                age: Some(7 * 86_400),
            },
            dead_letter: DeadLetterQueue::default(),
            max_payload: Bytes(256 << 10),
            webhook: None,
        }
    }
}

/// Payloads never get larger, whatever a queue says: a job and its payload are one batch.
const PAYLOAD_MAX: u64 = 448 << 10;

impl QueueConfig {
    /// Looks at the bounds of each field.
    ///
    /// # Errors
    /// [`Error::Bounds`], naming the field.
    pub fn check(&self) -> Result<(), Error> {
        let at_least_one = (1, 1_000_000);
        let wanted = "1 to 1000000";
        let many = self.concurrency.map(u64::from);
        within("concurrency", many, at_least_one, wanted)?;
        let many = Some(u64::from(self.key_concurrency));
        within("keyConcurrency", many, at_least_one, wanted)?;
        if let Some(limiter) = self.limiter {
            let many = Some(u64::from(limiter.max));
            within("limiter.max", many, at_least_one, wanted)?;
            check_length("limiter.duration", Some(limiter.duration))?;
        }
        check_priority(Some(self.priority))?;
        check_attempts(Some(self.attempts))?;
        let lease = Some(self.lease.0);
        within("lease", lease, (10, 86_400_000), "10 ms to a day, in ms")?;
        check_length("timeout", self.timeout)?;
        check_length("totalTimeout", self.total_timeout)?;
        check_text("deadLetter.name", self.dead_letter.name.as_deref())?;
        check_length("deadLetter.ttl", self.dead_letter.ttl)?;
        check_names(self.retryable_errors.as_deref())?;
        let payload = Some(self.max_payload.0);
        within("maxPayload", payload, (1, PAYLOAD_MAX), "1 to 458752 bytes")?;
        self.webhook.as_ref().map_or(Ok(()), Webhook::check)
    }

    /// What the dead letters of `queue` are called.
    pub fn dead_letter_name(&self, queue: &str) -> String {
        let given = self.dead_letter.name.clone();
        given.unwrap_or_else(|| format!("{queue}-dlq"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_configuration_reads_as_it_stands() {
        let config: QueueConfig = serde_json::from_str(
            r#"{"concurrency": 5, "priority": 1, "attempts": 3, "timeout": 30000,
            "backoff": {"type": "exponential", "delay": 1000, "maxDelay": 60000}}"#,
        )
        .unwrap();
        config.check().unwrap();
        assert_eq!(config.backoff.max_delay, Some(Millis(60_000)));
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<QueueConfig>(&text).unwrap(), config);
        assert_eq!(config.dead_letter_name("bar"), "bar-dlq");
    }

    #[test]
    fn a_field_out_of_bounds_is_named() {
        let wrong = QueueConfig {
            concurrency: Some(0),
            ..QueueConfig::default()
        };
        let text = wrong.check().unwrap_err().to_string();
        assert_eq!(text, "concurrency is 0; write 1 to 1000000");
        let mut wrong = QueueConfig::default();
        wrong.dead_letter.name = Some("n".repeat(257));
        let text = wrong.check().unwrap_err().to_string();
        assert!(text.starts_with("deadLetter.name is 257 bytes"), "{text}");
    }
}
