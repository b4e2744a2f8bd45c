//! Query parameters, each with bounds.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;

use super::error::Refusal;
use super::outlook::Slice;
use super::scenario;
use crate::model::capacity::{Resource, UnknownResource};
use crate::model::target::Reach;
use crate::model::units::Timestamp;
use crate::work::board::{Board, TargetState};

/// How far the forecasts of the run reach, in months; a request slices them.
pub(super) const MAX_MONTHS: u32 = 24;

/// The query of a request; of a name given twice, the last counts.
#[derive(Debug, Default)]
pub(super) struct Ask(BTreeMap<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for Ask {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(
            Query::try_from_uri(&parts.uri)
                .map_or_else(|_| Self::default(), |Query(map)| Self(map)),
        )
    }
}

impl Ask {
    /// The text of `name`, if it was given.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Refuses what is not among `names`: a filter that is misspelt must not mean all.
    pub(super) fn only(&self, names: &[&str]) -> Result<(), Refusal> {
        let is_known = |name: &&String| names.contains(&name.as_str());
        match self.0.keys().find(|name| !is_known(name)) {
            None => Ok(()),
            Some(text) => Err(Refusal::Parameter {
                name: "the query",
                text: text.chars().take(200).collect(),
                wanted: match names {
                    [] => "none; this path takes no parameters".to_owned(),
                    names => format!("parameters among {}", names.join(", ")),
                },
            }),
        }
    }

    /// The same query with another `cursor`, for a link.
    pub(super) fn onward(&self, cursor: &str) -> String {
        let given = self.0.iter().filter(|(name, _)| *name != "cursor");
        let given = given.map(|(name, value)| (name.as_str(), value.as_str()));
        let all = given.chain([("cursor", cursor)]);
        let all = all.map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        all.collect::<Vec<String>>().join("&")
    }

    /// A whole number between `min` and `max`.
    pub(super) fn number(
        &self,
        name: &'static str,
        default: u32,
        (min, max): (u32, u32),
    ) -> Result<u32, Refusal> {
        let Some(text) = self.text(name) else {
            return Ok(default);
        };
        match text.parse() {
            Ok(number) if (min..=max).contains(&number) => Ok(number),
            _ => Err(Refusal::Parameter {
                name,
                text: text.to_owned(),
                wanted: format!("a whole number from {min} to {max}"),
            }),
        }
    }

    /// `months`, 6 when not given.
    pub(super) fn months(&self) -> Result<u32, Refusal> {
        self.number("months", 6, (1, MAX_MONTHS))
    }

    /// A date, if one was given: a day or an instant.
    pub(super) fn date(&self, name: &'static str) -> Result<Option<Timestamp>, Refusal> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let read = scenario::date(text).ok_or_else(|| Refusal::Parameter {
            name,
            text: text.to_owned(),
            wanted: scenario::DATE.to_owned(),
        });
        read.map(Some)
    }

    /// Which part of a forecast: `months`, `step` and `before`.
    pub(super) fn slice(&self) -> Result<Slice, Refusal> {
        Ok(Slice {
            months: self.months()?,
            daily: self.choice("step", &[("month", false), ("day", true)], false)?,
            before: self.date("before")?,
        })
    }

    /// One of several words, the first of them when not given.
    pub(super) fn choice<T: Copy>(
        &self,
        name: &'static str,
        words: &[(&'static str, T)],
        default: T,
    ) -> Result<T, Refusal> {
        let Some(text) = self.text(name) else {
            return Ok(default);
        };
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            Refusal::Parameter {
                name,
                text: text.to_owned(),
                wanted: format!("one of {}", words.join(", ")),
            }
        })
    }

    /// The target that is meant.
    pub(super) fn target(&self, board: &Board) -> Result<(String, TargetState), Refusal> {
        match self.text("target") {
            None => board.first().ok_or(Refusal::NoTargets),
            Some(name) => target(name, board),
        }
    }
}

fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The resource of this name, or `all`.
pub(super) fn resources(name: &str) -> Result<Vec<Resource>, Refusal> {
    if name == "all" {
        return Ok(Resource::ALL.to_vec());
    }
    let resource = name.parse::<Resource>().map_err(|_| Refusal::Parameter {
        name: "resource",
        text: name.to_owned(),
        wanted: format!("all, or one of {}", UnknownResource::KNOWN),
    })?;
    Ok(vec![resource])
}

/// The target of this name.
pub(super) fn target(name: &str, board: &Board) -> Result<(String, TargetState), Refusal> {
    match board.target(name) {
        Some(state) => Ok((name.to_owned(), state)),
        None => Err(Refusal::UnknownTarget {
            name: name.to_owned(),
            known: board.names(),
        }),
    }
}

/// "Not yet" with the best reason that there is.
pub(super) fn not_yet(what: &'static str, state: &TargetState, retry_after_s: u64) -> Refusal {
    let why = match &state.reach {
        Reach::Starting => "the first look at the target has not come back".to_owned(),
        Reach::Down { since, reason } => format!("the target is down since {since}: {reason}"),
        Reach::Up => "the first run is not done".to_owned(),
    };
    Refusal::NotYet {
        what,
        why,
        retry_after_s: retry_after_s.max(1),
    }
}
