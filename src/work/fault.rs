//! What fails in this process now, part by part and target by target.
//!
//! For: `/readyz` and the log, which must not take one target's trouble for another's. Not for:
//! troubles of the watched servers: those are findings, alerts and a target's reach.

use std::collections::BTreeMap;
use std::fmt;

/// A part of this process that can fail while the rest goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Writing what a target gave into the history.
    History,
    /// Making a target's forecasts.
    Forecast,
    /// Keeping the store in order, for all targets together.
    Upkeep,
}

impl Part {
    /// The word for it, such as `history`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::Forecast => "forecast",
            Self::Upkeep => "upkeep",
        }
    }
}

/// One part that fails now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What fails.
    pub part: Part,
    /// Of which target; `None` for what all share.
    pub target: Option<String>,
    /// Why, for people.
    pub reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.part {
            Part::History => "the history cannot be written",
            Part::Forecast => "the forecasts cannot be made",
            Part::Upkeep => "the store cannot be kept in order",
        };
        match &self.target {
            Some(target) => write!(f, "{what} for {target}: {}", self.reason),
            None => write!(f, "{what}: {}", self.reason),
        }
    }
}

/// Whether what was told of a part is news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It worked until now.
    Broke,
    /// It failed until now.
    Mended,
    /// As before.
    Same,
}

/// All faults of now: at most one a part and target.
#[derive(Debug, Default)]
pub(crate) struct Faults(BTreeMap<(Part, Option<String>), String>);

impl Faults {
    /// Notes that `part` fails for `target`, or that it works.
    pub(crate) fn set(&mut self, part: Part, target: Option<&str>, reason: Option<String>) -> News {
        let key = (part, target.map(str::to_owned));
        let is_bad = reason.is_some();
        let was_bad = match reason {
            Some(reason) => self.0.insert(key, reason).is_some(),
            None => self.0.remove(&key).is_some(),
        };
        match (was_bad, is_bad) {
            (false, true) => News::Broke,
            (true, false) => News::Mended,
            _ => News::Same,
        }
    }

    /// Part by part, in each target by target.
    pub(crate) fn list(&self) -> Vec<Fault> {
        let all = self.0.iter().map(|((part, target), reason)| Fault {
            part: *part,
            target: target.clone(),
            reason: reason.clone(),
        });
        all.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_target_s_recovery_leaves_the_other_s_fault() {
        let mut faults = Faults::default();
        let full = || Some("no space left on device".to_owned());
        assert_eq!(faults.set(Part::History, Some("a"), full()), News::Broke);
        assert_eq!(faults.set(Part::History, Some("b"), None), News::Same);
        assert_eq!(faults.set(Part::History, Some("a"), full()), News::Same);
        assert_eq!(
            faults.list()[0].to_string(),
            "the history cannot be written for a: no space left on device"
        );
        assert_eq!(faults.set(Part::History, Some("a"), None), News::Mended);
        assert!(faults.list().is_empty());
    }

    #[test]
    fn parts_fail_apart_and_what_all_share_names_no_target() {
        let mut faults = Faults::default();
        faults.set(Part::Upkeep, None, Some("full".to_owned()));
        faults.set(Part::Forecast, Some("a"), Some("cut off".to_owned()));
        let told: Vec<String> = faults.list().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "the forecasts cannot be made for a: cut off",
                "the store cannot be kept in order: full"
            ]
        );
    }
}
