//! How long to wait before the next attempt.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::Error;
use crate::model::units::{Millis, Ratio, counted};

/// How the wait grows from attempt to attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackoffKind {
    /// `delay` each time.
    Fixed,
    /// `delay` × attempts made.
    Linear,
    /// `delay` × 2^(attempts made − 1).
    #[default]
    Exponential,
    /// As `delays` says; the last of them from then on.
    Custom,
}

/// The wait before the next attempt, by how many were made. A bare number is a fixed one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", rename_all = "camelCase")]
pub struct Backoff {
    /// How it grows.
    #[serde(rename = "type")]
    pub kind: BackoffKind,
    /// The unit of growth.
    pub delay: Millis,
    /// No wait is longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_delay: Option<Millis>,
    /// The share of the wait that is left to chance: 0.5 gives half of it to all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Ratio>,
    /// The waits of a custom one, in ms.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub delays: Vec<Millis>,
}

enum Written {
    Fixed(u64),
    Whole(Fields),
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AsWritten)
    }
}

/// Reads either way of writing it; an untagged enum would not say what is wrong.
struct AsWritten;

impl<'de> Visitor<'de> for AsWritten {
    type Value = Written;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("backoff as milliseconds, or as {\"type\", \"delay\"}")
    }

    fn visit_u64<E>(self, delay: u64) -> Result<Written, E> {
        Ok(Written::Fixed(delay))
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Written, A::Error> {
        let read = Fields::deserialize(MapAccessDeserializer::new(fields));
        let named = |error| A::Error::custom(format_args!("backoff: {error}"));
        read.map(Written::Whole).map_err(named)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Fields {
    #[serde(rename = "type")]
    kind: BackoffKind,
    #[serde(default)]
    delay: Millis,
    max_delay: Option<Millis>,
    jitter: Option<Ratio>,
    #[serde(default)]
    delays: Vec<Millis>,
}

/// Waits in a custom table.
const DELAYS_MAX: usize = 100;

impl TryFrom<Written> for Backoff {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self, Error> {
        let fields = match written {
            Written::Fixed(delay) => {
                return Ok(Self {
                    kind: BackoffKind::Fixed,
                    ..Self::exponential(Millis(delay), None)
                });
            }
            Written::Whole(fields) => fields,
        };
        let is_custom = fields.kind == BackoffKind::Custom;
        if is_custom == fields.delays.is_empty() || fields.delays.len() > DELAYS_MAX {
            return Err(Error::Bounds {
                field: "backoff.delays",
                given: counted(fields.delays.len(), "wait"),
                wanted: "1 to 100 waits in ms with type custom, and none with another",
            });
        }
        Ok(Self {
            kind: fields.kind,
            delay: fields.delay,
            max_delay: fields.max_delay,
            jitter: fields.jitter,
            delays: fields.delays,
        })
    }
}

impl Backoff {
    /// Twice as long each time.
    pub const fn exponential(delay: Millis, max_delay: Option<Millis>) -> Self {
        Self {
            kind: BackoffKind::Exponential,
            delay,
            max_delay,
            jitter: None,
            delays: Vec::new(),
        }
    }

    /// The wait after `made` attempts (1 is the first), with `luck` from 0 to 1 for the jitter.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length that is not negative is one, too"
    )]
    pub fn wait(&self, made: u32, luck: f64) -> Millis {
        let nth = made.saturating_sub(1);
        let plain = match self.kind {
            BackoffKind::Fixed => self.delay.0,
            BackoffKind::Linear => self.delay.0.saturating_mul(u64::from(nth) + 1),
            BackoffKind::Exponential => {
                let factor = 1u64.checked_shl(nth).unwrap_or(u64::MAX);
                self.delay.0.saturating_mul(factor)
            }
            BackoffKind::Custom => {
                let at = self.delays.get(nth as usize).or(self.delays.last());
                at.map_or(0, |wait| wait.0)
            }
        };
        let capped = plain.min(self.max_delay.map_or(u64::MAX, |max| max.0));
        let jitter = self.jitter.map_or(0.0, Ratio::get);
        let off = capped as f64 * jitter * luck.clamp(0.0, 1.0);
        Millis(capped.saturating_sub(off as u64))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Backoff {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn each_kind_grows_as_it_says() {
        let waits = |backoff: &Backoff| [1, 2, 3, 4].map(|made| backoff.wait(made, 0.0).0);
        assert_eq!(waits(&read("250")), [250; 4]);
        assert_eq!(
            waits(&read(r#"{"type":"linear","delay":10}"#)),
            [10, 20, 30, 40]
        );
        let capped = r#"{"type":"exponential","delay":1000,"maxDelay":3000}"#;
        assert_eq!(waits(&read(capped)), [1000, 2000, 3000, 3000]);
        let table = r#"{"type":"custom","delays":[5,70]}"#;
        assert_eq!(waits(&read(table)), [5, 70, 70, 70]);
    }

    #[test]
    fn a_table_belongs_to_a_custom_one() {
        for wrong in [
            r#"{"type":"custom"}"#,
            r#"{"type":"fixed","delay":1,"delays":[1]}"#,
            r#"{"type":"fixed","delay":-1}"#,
            r#"{"type":"fixed","delay":1,"jitter":1.5}"#,
        ] {
            assert!(serde_json::from_str::<Backoff>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_does_not_read_is_told_by_its_name() {
        for (wrong, says) in [
            ("\"soon\"", "expected backoff as milliseconds"),
            ("-1", "expected backoff as milliseconds"),
            (r#"{"kind":"fixed"}"#, "backoff: unknown field `kind`"),
            (r#"{"type":"slow"}"#, "backoff: unknown variant `slow`"),
        ] {
            let told = serde_json::from_str::<Backoff>(wrong)
                .unwrap_err()
                .to_string();
            assert!(told.contains(says), "{wrong}: {told}");
        }
    }

    proptest! {
        #[test]
        fn no_wait_is_over_its_bound_or_under_its_jitter(
            delay in 0u64..u64::MAX, max in 0u64..1 << 40, made in 0u32..u32::MAX,
            jitter in 0.0f64..=1.0, luck in 0.0f64..=1.0, kind in 0usize..3,
        ) {
            let kinds = [BackoffKind::Fixed, BackoffKind::Linear, BackoffKind::Exponential];
            let mut backoff = Backoff::exponential(Millis(delay), Some(Millis(max)));
            backoff.kind = kinds[kind];
            let whole = backoff.wait(made, luck).0;
            prop_assert!(whole <= max);
            backoff.jitter = Ratio::new(jitter).ok();
            let shaken = backoff.wait(made, luck).0;
            prop_assert!(shaken <= whole);
            prop_assert!(shaken as f64 >= (1.0 - jitter) * whole as f64 - 1.0);
        }
    }
}
