//! Names of queues and ids of jobs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Error;

/// Words that stand in the API where a queue's name stands.
const RESERVED: [&str; 8] = [
    "metrics",
    "alerts",
    "schedule",
    "schedules",
    "claim",
    "dead-letter",
    "config",
    "queues",
];
/// Words that stand in the API where a job's id stands.
const RESERVED_IDS: [&str; 10] = [
    "claim",
    "config",
    "dead-letter",
    "drain",
    "events",
    "obliterate",
    "pause",
    "resume",
    "retry-failed",
    "settle",
];
const NAME_MAX: usize = 128;
const ID_MAX: usize = 256;

/// The name of a queue, checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QueueName(std::sync::Arc<str>);

impl QueueName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for QueueName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let fits = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
        // Dots alone would be taken for steps of a path.
        let is_dots = name.chars().all(|c| c == '.');
        if name.len() > NAME_MAX || is_dots || !name.chars().all(fits) {
            return Err(Error::QueueName(name.chars().take(80).collect()));
        }
        if RESERVED.contains(&name) {
            return Err(Error::ReservedName(name.to_owned()));
        }
        Ok(Self(name.into()))
    }
}

impl TryFrom<String> for QueueName {
    type Error = Error;
    fn try_from(name: String) -> Result<Self, Error> {
        name.parse()
    }
}

impl From<QueueName> for String {
    fn from(name: QueueName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks an id that a caller chose. Whole numbers are the ids that the queue gives by itself.
///
/// # Errors
/// [`Error::JobId`].
pub fn check_job_id(id: &str) -> Result<(), Error> {
    let is_number = id.bytes().all(|b| b.is_ascii_digit());
    let is_dots = id.chars().all(|c| c == '.');
    if id.len() > ID_MAX
        || is_number
        || is_dots
        || id.chars().any(char::is_control)
        || RESERVED_IDS.contains(&id)
    {
        return Err(Error::JobId(id.chars().take(80).collect()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_api_name_no_queue() {
        for word in RESERVED {
            assert_eq!(
                word.parse::<QueueName>(),
                Err(Error::ReservedName(word.to_owned()))
            );
        }
        for wrong in ["", "a/b", "a b", "ü", "..", &"x".repeat(129)] {
            assert!(matches!(
                wrong.parse::<QueueName>(),
                Err(Error::QueueName(_))
            ));
        }
        assert_eq!(
            "lead:in_1.x".parse::<QueueName>().unwrap().as_str(),
            "lead:in_1.x"
        );
    }

    #[test]
    fn ids_may_hold_slashes_and_emoji_but_no_bare_number() {
        for id in ["a/b", "🦀", "r0-w1-2", "-1", "1.0"] {
            check_job_id(id).unwrap();
        }
        for id in ["", "7", "events", "a\nb", ".", &"x".repeat(257)] {
            assert!(check_job_id(id).is_err(), "{id:?}");
        }
    }
}
