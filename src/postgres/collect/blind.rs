//! What could not be read: one note per part, kept until the part is read again.

use std::collections::BTreeMap;

use crate::model::database::BlindSpot;
use crate::postgres::{Error, Result};

/// Notes by part.
#[derive(Debug, Default)]
pub(crate) struct BlindSpots(BTreeMap<&'static str, BlindSpot>);

impl BlindSpots {
    /// Notes what is missing; logs it when it is new.
    pub(crate) fn note(
        &mut self,
        what: &'static str,
        why: impl Into<String>,
        cure: impl Into<String>,
    ) {
        let spot = BlindSpot {
            what: what.to_owned(),
            why: why.into(),
            cure: cure.into(),
        };
        if self.0.get(what).is_none_or(|old| old.cure != spot.cure) {
            tracing::warn!(
                part = what,
                why = spot.why,
                cure = spot.cure,
                "not all can be read"
            );
        }
        self.0.insert(what, spot);
    }

    /// The part was read: its note goes.
    pub(crate) fn clear(&mut self, what: &'static str) {
        if self.0.remove(what).is_some() {
            tracing::info!(part = what, "it can be read again");
        }
    }

    /// The value of a part; one that failed alone leaves a note and the default.
    ///
    /// # Errors
    /// Only fatal ones: the session is gone.
    pub(crate) fn settle<T: Default>(
        &mut self,
        what: &'static str,
        outcome: Result<T>,
    ) -> Result<T> {
        match outcome {
            Ok(value) => {
                if self
                    .0
                    .get(what)
                    .is_some_and(|spot| spot.why.starts_with(FAILED))
                {
                    self.clear(what);
                }
                Ok(value)
            }
            Err(error) if error.is_fatal() => Err(error),
            Err(error) => {
                let cure = match &error {
                    Error::Denied { cure, .. } => cure,
                    Error::StatementTimeout { .. } => "raise statement_timeout of this target",
                    Error::LockTimeout { .. } => "nothing: it is read again in the next cycle",
                    _ => "see the server's log",
                };
                self.note(what, format!("{FAILED}: {error}"), cure);
                Ok(T::default())
            }
        }
    }

    /// Whether a part has a note.
    pub(crate) fn has(&self, what: &str) -> bool {
        self.0.contains_key(what)
    }

    /// All notes, in order of part.
    pub(crate) fn all(&self) -> Vec<BlindSpot> {
        self.0.values().cloned().collect()
    }
}

/// Begins the reason of a note that a success takes back.
const FAILED: &str = "it could not be read";
