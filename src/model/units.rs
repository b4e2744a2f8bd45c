//! Quantities whose unit is part of the type.
//!
//! For: every number that crosses a module boundary. Not for: numbers inside one function, nor for
//! text: rendering lives with whoever shows them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A number that a unit does not accept.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A share of a whole lies between 0 and 1.
    #[error("a ratio lies between 0 and 1, got {0}")]
    Ratio(f64),
    /// A level is exclusive at both ends: 0 % and 100 % bands do not exist.
    #[error("a level lies between 0 and 1, both excluded, got {0}; write 0.95 for 95 %")]
    Level(f64),
    /// Text that is not an RFC 3339 instant.
    #[error("{0:?} is not a time such as 2026-05-01T12:00:00Z")]
    Timestamp(String),
}

/// An instant in UTC, in milliseconds since 1970.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Wraps milliseconds since 1970.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Seconds since 1970, with the fraction.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e3
    }

    /// Later by `by`; stops at the end of the range instead of wrapping.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// Earlier by `by`; stops at the end of the range instead of wrapping.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// Time from `earlier` to here; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The last multiple of `step` at or before this instant. A zero step changes nothing.
    #[must_use]
    pub fn floor_to(self, step: Millis) -> Self {
        let step = i64::try_from(step.0).unwrap_or(i64::MAX);
        if step == 0 {
            self
        } else {
            Self(self.0.saturating_sub(self.0.rem_euclid(step)))
        }
    }

    /// Reads RFC 3339 text.
    ///
    /// # Errors
    /// [`Error::Timestamp`] if the text is no instant.
    pub fn parse(text: &str) -> Result<Self, Error> {
        text.parse::<jiff::Timestamp>()
            .map(|at| Self(at.as_millisecond()))
            .map_err(|_| Error::Timestamp(text.to_owned()))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds; out of calendar range, the bare number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

/// A length of time in whole milliseconds.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// One second.
    pub const SECOND: Self = Self(1_000);
    /// One minute.
    pub const MINUTE: Self = Self(60_000);
    /// One hour.
    pub const HOUR: Self = Self(3_600_000);
    /// One day.
    pub const DAY: Self = Self(86_400_000);

    /// The same length as a standard duration.
    pub const fn as_duration(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// Days, with the fraction.
    pub fn as_days(self) -> f64 {
        self.0 as f64 / Self::DAY.0 as f64
    }
}

/// A count of bytes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    /// Binary units as Postgres writes them: `812 kB`, `1.5 GB` (1 kB = 1024 bytes).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0 as f64;
        for unit in ["bytes", "kB", "MB", "GB", "TB"] {
            if value < 1024.0 {
                let digits = usize::from(unit != "bytes" && value < 100.0);
                return write!(f, "{value:.digits$} {unit}");
            }
            value /= 1024.0;
        }
        write!(f, "{value:.1} PB")
    }
}

/// Events per second.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PerSecond(pub f64);

/// The planner's arbitrary cost unit. Never shown as time.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlannerCost(pub f64);

/// A share of a whole, 0 to 1 inclusive.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Ratio(f64);

impl Ratio {
    /// Checks that `share` lies in 0..=1.
    ///
    /// # Errors
    /// [`Error::Ratio`] otherwise, NaN included.
    pub fn new(share: f64) -> Result<Self, Error> {
        if (0.0..=1.0).contains(&share) {
            Ok(Self(share))
        } else {
            Err(Error::Ratio(share))
        }
    }

    /// `part / whole`, cut to 0..=1; `None` when the whole is not positive or either is not finite.
    pub fn of(part: f64, whole: f64) -> Option<Self> {
        let share = part / whole;
        (whole > 0.0 && share.is_finite()).then(|| Self(share.clamp(0.0, 1.0)))
    }

    /// The share as a plain number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Ratio {
    type Error = Error;
    fn try_from(share: f64) -> Result<Self, Error> {
        Self::new(share)
    }
}

impl From<Ratio> for f64 {
    fn from(ratio: Ratio) -> Self {
        ratio.0
    }
}

/// The probability mass of a prediction interval, 0 to 1 exclusive: 0.95 is a 95 % band.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Level(f64);

impl Level {
    /// The 50 % band.
    pub const P50: Self = Self(0.50);
    /// The 80 % band.
    pub const P80: Self = Self(0.80);
    /// The 95 % band.
    pub const P95: Self = Self(0.95);

    /// Checks that `mass` lies strictly between 0 and 1.
    ///
    /// # Errors
    /// [`Error::Level`] otherwise; 95 for 95 % is the usual slip.
    pub fn new(mass: f64) -> Result<Self, Error> {
        if mass > 0.0 && mass < 1.0 {
            Ok(Self(mass))
        } else {
            Err(Error::Level(mass))
        }
    }

    /// The mass as a plain number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Level {
    type Error = Error;
    fn try_from(mass: f64) -> Result<Self, Error> {
        Self::new(mass)
    }
}

impl From<Level> for f64 {
    fn from(level: Level) -> Self {
        level.0
    }
}

/// A count with its noun: `1 job`, `2 jobs`.
pub fn counted<N: fmt::Display + PartialEq + From<u8> + Copy>(many: N, noun: &str) -> String {
    let s = if many == N::from(1) { "" } else { "s" };
    format!("{many} {noun}{s}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_of_95_is_refused_with_the_cure() {
        let error = Level::new(95.0).unwrap_err();
        assert!(error.to_string().contains("write 0.95"));
        assert!(Level::new(f64::NAN).is_err());
    }

    #[test]
    fn a_ratio_of_nothing_is_none() {
        assert_eq!(Ratio::of(1.0, 0.0), None);
        assert_eq!(Ratio::of(f64::NAN, 1.0), None);
        assert_eq!(Ratio::of(3.0, 2.0), Ratio::new(1.0).ok());
    }

    #[test]
    fn bytes_read_as_postgres_writes_them() {
        assert_eq!(Bytes(512).to_string(), "512 bytes");
        assert_eq!(Bytes(1536).to_string(), "1.5 kB");
        assert_eq!(Bytes(250 * 1024 * 1024).to_string(), "250 MB");
    }

    #[test]
    fn times_floor_towards_the_past_also_before_1970() {
        assert_eq!(
            Timestamp::from_millis(-1)
                .floor_to(Millis(1_000))
                .as_millis(),
            -1_000
        );
        assert_eq!(
            Timestamp::from_millis(1_999)
                .floor_to(Millis(1_000))
                .as_millis(),
            1_000
        );
        assert_eq!(Timestamp::from_millis(7).floor_to(Millis(0)).as_millis(), 7);
    }

    #[test]
    fn times_survive_text() {
        let at = Timestamp::parse("2026-05-01T12:00:00Z").unwrap();
        assert_eq!(at.to_string(), "2026-05-01T12:00:00.000Z");
        assert!(Timestamp::parse("yesterday").is_err());
    }
}
