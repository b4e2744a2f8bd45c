//! How one job is to be done; what is left out, its queue says.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Backoff, Error, Exhausted, check_job_id};
use crate::model::units::Millis;

/// The highest number of a priority, and so the last to run.
pub const PRIORITY_MAX: u32 = 2_097_151;
const ATTEMPTS_MAX: u32 = 1_000;
const TEXT_MAX: usize = 256;
/// No delay or timeout is longer: ten years.
const LONGEST: u64 = 3_650 * 86_400_000;

/// Options of a job, called as in BullMQ where it has them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct JobOptions {
    /// Unique in the queue; the queue gives one if it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// 0 runs first, up to [`PRIORITY_MAX`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// How long to wait before it may run, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Millis>,
    /// Tries in all, the first among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// The wait between two of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// The longest that one attempt may take, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Millis>,
    /// The longest from when it may run to its end, waits and retries among them, in ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_timeout: Option<Millis>,
    /// Jobs of one key run in order, so many at once as the queue's `keyConcurrency` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Leaves it out while another of the same id is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deduplication: Option<Deduplication>,
    /// How long it is kept when it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove_on_complete: Option<Keep>,
    /// How long it is kept when it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove_on_fail: Option<Keep>,
    /// Errors that are worth another attempt, by their name; all if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retryable_errors: Option<Vec<String>>,
    /// What becomes of it when it is given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_max_retries_exceeded: Option<Exhausted>,
    /// In a flow: its parent fails with it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fail_parent_on_failure: bool,
    /// In a flow: its parent does not mind if it fails.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ignore_dependency_on_failure: bool,
}

/// A window in which a second job of the same id is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deduplication {
    /// What makes two jobs the same.
    pub id: String,
    /// The window from the enqueuing on, in ms; until the job has ended if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Millis>,
}

/// How many ended jobs are kept, and for how long; what is left out does not bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenKeep")]
pub struct Keep {
    /// So many of the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// So long, in seconds as in BullMQ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<u64>,
}

enum WrittenKeep {
    Flag(bool),
    Count(u64),
    Whole(KeepFields),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeepFields {
    count: Option<u64>,
    age: Option<u64>,
}

impl<'de> Deserialize<'de> for WrittenKeep {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AsWritten)
    }
}

/// Reads each way of writing it; an untagged enum would not say what is wrong.
struct AsWritten;

impl<'de> Visitor<'de> for AsWritten {
    type Value = WrittenKeep;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(
            "removeOnComplete or removeOnFail as true, false, a count, or {\"count\", \"age\"}",
        )
    }

    fn visit_bool<E>(self, flag: bool) -> Result<WrittenKeep, E> {
        Ok(WrittenKeep::Flag(flag))
    }

    fn visit_u64<E>(self, count: u64) -> Result<WrittenKeep, E> {
        Ok(WrittenKeep::Count(count))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<WrittenKeep, A::Error> {
        let read = KeepFields::deserialize(MapAccessDeserializer::new(fields));
        let named =
            |error| A::Error::custom(format_args!("removeOnComplete or removeOnFail: {error}"));
        read.map(WrittenKeep::Whole).map_err(named)
    }
}

impl From<WrittenKeep> for Keep {
    fn from(written: WrittenKeep) -> Self {
        match written {
            WrittenKeep::Flag(true) => Self::nothing(),
            WrittenKeep::Flag(false) => Self {
                count: None,
                age: None,
            },
            WrittenKeep::Count(count) => Self {
                count: Some(count),
                age: None,
            },
            WrittenKeep::Whole(KeepFields { count, age }) => Self { count, age },
        }
    }
}

impl Keep {
    /// Ended jobs are removed at once.
    pub const fn nothing() -> Self {
        Self {
            count: Some(0),
            age: None,
        }
    }

    /// Its age, if it bounds.
    pub fn age(self) -> Option<Millis> {
        self.age.map(|s| Millis(s.saturating_mul(1_000)))
    }

    /// Whether nothing is kept.
    pub fn is_nothing(self) -> bool {
        self.count == Some(0) || self.age == Some(0)
    }
}

pub(super) fn within(
    field: &'static str,
    given: Option<u64>,
    (least, most): (u64, u64),
    wanted: &'static str,
) -> Result<(), Error> {
    match given {
        Some(given) if !(least..=most).contains(&given) => Err(Error::Bounds {
            field,
            given: given.to_string(),
            wanted,
        }),
        _ => Ok(()),
    }
}

pub(super) fn check_length(field: &'static str, given: Option<Millis>) -> Result<(), Error> {
    within(
        field,
        given.map(|length| length.0),
        (1, LONGEST),
        "milliseconds, from 1 to ten years",
    )
}

pub(super) fn check_attempts(attempts: Option<u32>) -> Result<(), Error> {
    let bounds = (1, u64::from(ATTEMPTS_MAX));
    within("attempts", attempts.map(u64::from), bounds, "1 to 1000")
}

pub(super) fn check_priority(priority: Option<u32>) -> Result<(), Error> {
    let bounds = (0, u64::from(PRIORITY_MAX));
    within("priority", priority.map(u64::from), bounds, "0 to 2097151")
}

pub(super) fn check_text(field: &'static str, text: Option<&str>) -> Result<(), Error> {
    match text {
        Some(text) if text.is_empty() || text.len() > TEXT_MAX => Err(Error::Bounds {
            field,
            given: format!("{} bytes long", text.len()),
            wanted: "1 to 256 bytes",
        }),
        _ => Ok(()),
    }
}

/// Names of errors in a list.
const NAMES_MAX: usize = 50;

pub(super) fn check_names(names: Option<&[String]>) -> Result<(), Error> {
    let names = names.unwrap_or_default();
    if names.len() > NAMES_MAX {
        return Err(Error::Bounds {
            field: "retryableErrors",
            given: format!("{} names", names.len()),
            wanted: "at most 50 names",
        });
    }
    let mut names = names.iter();
    names.try_for_each(|name| check_text("retryableErrors", Some(name)))
}

impl JobOptions {
    pub(super) fn check(&self) -> Result<(), Error> {
        if let Some(id) = &self.job_id {
            check_job_id(id)?;
        }
        check_priority(self.priority)?;
        check_attempts(self.attempts)?;
        within(
            "delay",
            self.delay.map(|delay| delay.0),
            (0, LONGEST),
            "milliseconds, up to ten years",
        )?;
        check_length("timeout", self.timeout)?;
        check_length("totalTimeout", self.total_timeout)?;
        check_text("key", self.key.as_deref())?;
        if let Some(deduplication) = &self.deduplication {
            check_text("deduplication.id", Some(&deduplication.id))?;
            check_length("deduplication.ttl", deduplication.ttl)?;
        }
        check_names(self.retryable_errors.as_deref())?;
        if self.fail_parent_on_failure && self.ignore_dependency_on_failure {
            return Err(Error::Bounds {
                field: "failParentOnFailure",
                given: "set beside ignoreDependencyOnFailure".to_owned(),
                wanted: "one of the two",
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeping_reads_as_flag_count_or_both_and_else_says_what_is_wrong() {
        let read = serde_json::from_str::<Keep>;
        assert!(read("true").unwrap().is_nothing());
        let whole = Keep {
            count: Some(5),
            age: None,
        };
        assert_eq!(read("5").unwrap(), whole);
        assert_eq!(read(r#"{"count":5}"#).unwrap(), whole);
        for (wrong, says) in [
            ("\"all\"", "expected removeOnComplete or removeOnFail as"),
            (r#"{"cuont":1}"#, "removeOnFail: unknown field `cuont`"),
        ] {
            let told = read(wrong).unwrap_err().to_string();
            assert!(told.contains(says), "{wrong}: {told}");
        }
    }
}
