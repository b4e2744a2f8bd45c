//! A job that comes again and again: what it is, and when it is to come.
//!
//! For: the words of a schedule and the bounds of each. Not for: which instants a pattern means
//! (`queue::schedule`), nor for keeping schedules.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use super::options::{check_length, within};
use super::{Error, JobOptions, NewJob, Payload, QueueName};
use crate::model::units::{Millis, Timestamp};

const NAME_MAX: usize = 128;
/// No schedule comes more often: each tick is a write that waits for the disk.
const EVERY_MIN: u64 = 100;
const EVERY_MAX: u64 = 3_650 * 86_400_000;
/// Job and schedule are one batch, and both carry the payload.
const DATA_MAX: usize = 128 << 10;
/// Ticks that are made up for at once, at most.
const CATCH_UP_MAX: u32 = 1_000;
/// And unless it is said how many.
const CATCH_UP_USUAL: u32 = 100;

/// What happens to ticks that passed while nobody could act on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(into = "String")]
pub enum CatchUp {
    /// Nothing: the next tick is the next run.
    Skip,
    /// One run for all of them.
    #[default]
    One,
    /// A run for each of the newest so many.
    All(u32),
}

impl FromStr for CatchUp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::Bounds {
            field: "catchUp",
            given: format!("{text:?}"),
            wanted: "skip, one, all, or all:N with N from 1 to 1000",
        };
        match text {
            "skip" => Ok(Self::Skip),
            "one" => Ok(Self::One),
            "all" => Ok(Self::All(CATCH_UP_USUAL)),
            other => {
                let many = other.strip_prefix("all:").and_then(|n| n.parse().ok());
                let many = many.filter(|many| (1..=CATCH_UP_MAX).contains(many));
                many.map(Self::All).ok_or_else(wrong)
            }
        }
    }
}

impl fmt::Display for CatchUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skip => f.write_str("skip"),
            Self::One => f.write_str("one"),
            Self::All(many) => write!(f, "all:{many}"),
        }
    }
}

impl From<CatchUp> for String {
    fn from(policy: CatchUp) -> Self {
        policy.to_string()
    }
}

impl<'de> Deserialize<'de> for CatchUp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A schedule as it is asked for: the specification's `JobSchedule` and more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewSchedule {
    /// Unique; the same again replaces it.
    pub name: String,
    /// When, as cron writes it; or else `every`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The distance of two ticks in ms, whatever clocks on walls do; or else `pattern`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Millis>,
    /// The queue that its jobs go to.
    #[serde(alias = "queue")]
    pub job_type: QueueName,
    /// What its jobs are called; the schedule's name if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_name: Option<String>,
    /// What the worker needs to know.
    #[serde(default = "nothing")]
    pub data: Payload,
    /// The zone whose clocks the pattern means, by its IANA name.
    #[serde(default = "utc", alias = "tz")]
    pub timezone: String,
    /// Whether it runs; if left out, as before, and a new one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// No tick is before; ISO 8601, or ms since 1970.
    #[serde(
        default,
        deserialize_with = "when",
        skip_serializing_if = "Option::is_none"
    )]
    pub start_at: Option<Timestamp>,
    /// No tick is after.
    #[serde(
        default,
        deserialize_with = "when",
        skip_serializing_if = "Option::is_none"
    )]
    pub end_at: Option<Timestamp>,
    /// So many ticks run, and then no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Each run begins up to so many ms after its tick; how many, follows from name and tick.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Millis>,
    /// What becomes of ticks that were missed.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// Options of its jobs.
    #[serde(default)]
    pub opts: JobOptions,
}

/// An object without fields, as in the specification.
fn nothing() -> Payload {
    Payload::of(&serde_json::Map::new()).unwrap_or_default()
}

fn utc() -> String {
    "UTC".to_owned()
}

fn when<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Millis(i64),
        Text(String),
    }
    match Option::<Written>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Written::Millis(ms)) => Ok(Some(Timestamp::from_millis(ms))),
        Some(Written::Text(text)) => {
            let read = Timestamp::parse(&text).map_err(serde::de::Error::custom);
            read.map(Some)
        }
    }
}

impl NewSchedule {
    /// Looks at everything that can be looked at without a calendar.
    ///
    /// # Errors
    /// [`Error`], naming the field.
    pub fn check(&self) -> Result<(), Error> {
        check_schedule_name(&self.name)?;
        if self.pattern.is_some() == self.every.is_some() {
            return Err(Error::Bounds {
                field: "pattern",
                given: match self.pattern {
                    Some(_) => "set beside every".to_owned(),
                    None => "left out, and so is every".to_owned(),
                },
                wanted: "one of the two: a cron pattern such as \"0 3 * * *\", or every in ms",
            });
        }
        let every = self.every.map(|every| every.0);
        let wanted = "milliseconds, from 100 to ten years";
        within("every", every, (EVERY_MIN, EVERY_MAX), wanted)?;
        within(
            "limit",
            self.limit,
            (1, u64::MAX),
            "1 or more, or leave it out",
        )?;
        check_length("jitter", self.jitter)?;
        if self.data.size() > DATA_MAX {
            return Err(Error::Bounds {
                field: "data",
                given: format!("{} bytes long", self.data.size()),
                wanted: "at most 131072 bytes; keep large data elsewhere and send its address",
            });
        }
        if self.opts.job_id.is_some() {
            return Err(Error::Bounds {
                field: "opts.jobId",
                given: "set in a schedule".to_owned(),
                wanted: "none: each tick gives its job an id of its own",
            });
        }
        if let (Some(start), Some(end)) = (self.start_at, self.end_at)
            && end < start
        {
            return Err(Error::Bounds {
                field: "endAt",
                given: format!("{end}, before startAt"),
                wanted: "an instant after it",
            });
        }
        self.job().check()
    }

    /// The job of each tick, before it has an id.
    pub fn job(&self) -> NewJob {
        NewJob {
            name: self.job_name.clone().unwrap_or_else(|| self.name.clone()),
            data: self.data.clone(),
            opts: self.opts.clone(),
        }
    }

    /// Whether another one means the same instants.
    pub fn is_when(&self, other: &Self) -> bool {
        self.pattern == other.pattern
            && self.every == other.every
            && self.timezone == other.timezone
            && self.start_at == other.start_at
            && self.end_at == other.end_at
            && self.limit == other.limit
    }
}

/// Checks the name of a schedule.
///
/// # Errors
/// [`Error::ScheduleName`].
pub fn check_schedule_name(name: &str) -> Result<(), Error> {
    let is_dots = name.chars().all(|c| c == '.');
    if name.len() > NAME_MAX || is_dots || name.chars().any(char::is_control) {
        return Err(Error::ScheduleName(name.chars().take(80).collect()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> NewSchedule {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_specifications_schedule_reads_as_it_stands() {
        let plain = read(
            r#"{"name": "nightly", "pattern": "0 3 * * *", "jobType": "cleanup", "data": {"a": 1},
            "timezone": "America/New_York", "enabled": true}"#,
        );
        plain.check().unwrap();
        assert_eq!(plain.job().name, "nightly");
        let back: NewSchedule =
            serde_json::from_str(&serde_json::to_string(&plain).unwrap()).unwrap();
        assert_eq!(back, plain);
        let short = read(r#"{"name": "a", "every": 60000, "queue": "q", "catchUp": "all:7"}"#);
        assert_eq!(
            (short.timezone.as_str(), short.enabled, short.catch_up),
            ("UTC", None, CatchUp::All(7))
        );
        assert_eq!(short.data.text(), "{}");
    }

    #[test]
    fn instants_are_taken_as_text_and_as_milliseconds() {
        let text = r#"{"name": "a", "every": 1000, "jobType": "q",
            "startAt": "2026-05-01T00:00:00Z", "endAt": 1777593600001}"#;
        let read = read(text);
        assert_eq!(read.start_at.unwrap().as_millis() + 1, 1_777_593_600_001);
        read.check().unwrap();
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let wrong = |change: &dyn Fn(&mut NewSchedule)| {
            let mut asked = read(r#"{"name": "a", "pattern": "* * * * *", "jobType": "q"}"#);
            asked.check().unwrap();
            change(&mut asked);
            asked.check().unwrap_err().to_string()
        };
        for (field, change) in [
            (
                "pattern",
                &(|s: &mut NewSchedule| s.pattern = None) as &dyn Fn(&mut NewSchedule),
            ),
            ("pattern", &|s| s.every = Some(Millis(5_000))),
            ("every", &|s| (s.pattern, s.every) = (None, Some(Millis(5)))),
            ("data", &|s| {
                s.data = Payload::of(&"x".repeat(DATA_MAX)).unwrap();
            }),
            ("limit", &|s| s.limit = Some(0)),
            ("jitter", &|s| s.jitter = Some(Millis(0))),
            ("opts.jobId", &|s| s.opts.job_id = Some("x".to_owned())),
            ("priority", &|s| s.opts.priority = Some(u32::MAX)),
            ("schedule", &|s| s.name = "..".to_owned()),
            ("schedule", &|s| s.name = "a\nb".to_owned()),
            ("endAt", &|s| {
                s.start_at = Some(Timestamp::from_millis(5));
                s.end_at = Some(Timestamp::from_millis(4));
            }),
        ] {
            let text = wrong(change);
            assert!(text.contains(field), "{field}: {text}");
        }
        for text in ["all:0", "all:1001", "everything", ""] {
            assert!(text.parse::<CatchUp>().is_err(), "{text}");
        }
    }
}
