//! Capacity: resources, their limits, and when one meets the other.
//!
//! For: what a forecast says and a report shows. Not for: how it is computed (`forecast`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::units::{Level, Millis, Timestamp};

/// Something that can run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resource {
    /// Busy processor cores.
    Cpu,
    /// Memory in use, page cache left out.
    Memory,
    /// Bytes used on the file system that holds the data.
    Storage,
    /// Bytes per second through the network interfaces.
    Bandwidth,
    /// Bytes in all databases of the server.
    Database,
    /// Server connections in use.
    Connections,
}

/// Text that names no resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no resource; one of cpu, memory, storage, bandwidth, database, connections")]
pub struct UnknownResource(pub String);

impl Resource {
    /// All, in the order that reports show.
    pub const ALL: [Self; 6] = [
        Self::Cpu,
        Self::Memory,
        Self::Storage,
        Self::Bandwidth,
        Self::Database,
        Self::Connections,
    ];

    /// The name used in paths, flags and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Storage => "storage",
            Self::Bandwidth => "bandwidth",
            Self::Database => "database",
            Self::Connections => "connections",
        }
    }

    /// The unit that its usage and its limit are counted in.
    pub const fn unit(self) -> Unit {
        match self {
            Self::Cpu => Unit::Cores,
            Self::Memory | Self::Storage | Self::Database => Unit::Bytes,
            Self::Bandwidth => Unit::BytesPerSecond,
            Self::Connections => Unit::Connections,
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Resource {
    type Err = UnknownResource;
    fn from_str(text: &str) -> Result<Self, UnknownResource> {
        Self::ALL
            .into_iter()
            .find(|resource| resource.name() == text)
            .ok_or_else(|| UnknownResource(text.to_owned()))
    }
}

/// What a resource is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Unit {
    /// Processor cores kept busy.
    Cores,
    /// Bytes.
    Bytes,
    /// Bytes per second.
    BytesPerSecond,
    /// Server connections.
    Connections,
}

/// Where a limit comes from. Never a literal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind", content = "detail")]
pub enum LimitOrigin {
    /// Read from the host or the server; says which reading, such as `max_connections`.
    Measured(String),
    /// Set by the operator; says which key.
    Configured(String),
}

/// The most that a resource can give.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limit {
    /// In the resource's unit; positive and finite.
    pub value: f64,
    /// Where the figure comes from.
    pub origin: LimitOrigin,
}

/// A band around a value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interval {
    /// Probability mass between `lo` and `hi`.
    pub level: Level,
    /// Lower end.
    pub lo: f64,
    /// Upper end, never below `lo`.
    pub hi: f64,
}

/// A value with an 80 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// Most likely value.
    pub value: f64,
    /// Lower end of the 80 % interval.
    pub lo: f64,
    /// Upper end of the 80 % interval.
    pub hi: f64,
}

/// One step of a forecast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForecastPoint {
    /// Start of the step.
    pub at: Timestamp,
    /// Expected value, in the series' own unit.
    pub mean: f64,
    /// One band a level asked for, narrowest first; they nest.
    pub bands: Vec<Interval>,
}

/// How a method did on this very series, by forecasting pasts that are known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backtest {
    /// How many origins were forecast from.
    pub origins: usize,
    /// Steps ahead that were scored.
    pub horizon: usize,
    /// Mean absolute error, in the series' unit.
    pub mae: f64,
    /// Mean absolute error over that of the seasonal naive forecast; below 1 is better than it.
    pub relative_mae: f64,
    /// Share of actual values that fell into the 80 % band.
    pub coverage_p80: f64,
    /// Share of actual values that fell into the 95 % band.
    pub coverage_p95: f64,
}

/// When a series reaches a value, if it does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Crossing {
    /// `warn`, `critical` or `limit`, or a name the caller gave.
    pub name: String,
    /// The value, in the series' unit.
    pub threshold: f64,
    /// Probability of reaching it within the horizon.
    pub probability: f64,
    /// Time by which 10 % of simulated paths have reached it; `None` is beyond the horizon.
    pub p10: Option<Timestamp>,
    /// Median time; `None` is beyond the horizon.
    pub p50: Option<Timestamp>,
    /// Time by which 90 % of simulated paths have reached it; `None` is beyond the horizon.
    pub p90: Option<Timestamp>,
    /// The series is already at or over it.
    pub crossed: bool,
}

/// A forecast of one series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// The last value that it rests on, smoothed over the last season.
    pub level: f64,
    /// Distance between points.
    pub step: Millis,
    /// One a step, oldest first.
    pub points: Vec<ForecastPoint>,
    /// Change per day in the series' unit.
    pub growth_per_day: Estimate,
    /// Change per 30.44 days as a share of the level; `None` when the level is not positive.
    pub growth_per_month: Option<Estimate>,
    /// Seasons found, in steps, strongest first.
    pub periods: Vec<usize>,
    /// The method chosen, such as `trend+season`.
    pub method: String,
    /// How that method did on this series.
    pub backtest: Backtest,
    /// One a threshold asked for, in the order asked.
    pub crossings: Vec<Crossing>,
}

/// What can be said of a series' future.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "outlook")]
pub enum Outlook {
    /// A forecast.
    Forecast(Box<Forecast>),
    /// Too little history; honest silence.
    #[serde(rename_all = "camelCase")]
    NotEnoughData {
        /// Days of history that hold values.
        have_days: f64,
        /// Days needed before the first forecast.
        need_days: f64,
    },
}

/// Times between which a target's history is made up (demo), not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyntheticSpan {
    /// First instant.
    pub from: Timestamp,
    /// First instant that is real again.
    pub until: Timestamp,
}

/// Usage, limit and future of one resource of one target: the record that everything shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Projection {
    /// The target's name.
    pub target: String,
    /// Which resource.
    pub resource: Resource,
    /// When this was computed.
    pub made_at: Timestamp,
    /// Last measured usage, in the resource's unit; `None` where it cannot be measured.
    pub usage: Option<f64>,
    /// `None` where nothing says what the limit is.
    pub limit: Option<Limit>,
    /// What comes; `None` where usage cannot be measured.
    pub outlook: Option<Outlook>,
    /// Daily means of the past, for charts; NaN is written as null.
    #[serde(with = "gaps_as_null")]
    pub history: Vec<f64>,
    /// Start of the first day of `history`.
    pub history_start: Timestamp,
    /// Share of hours between first and last sample that hold a value.
    pub coverage: f64,
    /// Where the past is made up.
    pub synthetic: Option<SyntheticSpan>,
}

mod gaps_as_null {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(values: &[f64], to: S) -> Result<S::Ok, S::Error> {
        let values: Vec<Option<f64>> = values.iter().map(|v| v.is_finite().then_some(*v)).collect();
        values.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
        let values = Vec::<Option<f64>>::deserialize(from)?;
        Ok(values.into_iter().map(|v| v.unwrap_or(f64::NAN)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resource_is_read_back_from_its_name() {
        for resource in Resource::ALL {
            assert_eq!(resource.name().parse(), Ok(resource));
        }
        let error = "banana".parse::<Resource>().unwrap_err();
        assert!(error.to_string().contains("one of cpu"));
    }

    #[test]
    fn gaps_in_a_projection_survive_json() {
        let projection = Projection {
            target: "t".into(),
            resource: Resource::Cpu,
            made_at: Timestamp::from_millis(5),
            usage: Some(1.5),
            limit: Some(Limit {
                value: 2.0,
                origin: LimitOrigin::Measured("cores".into()),
            }),
            outlook: Some(Outlook::NotEnoughData {
                have_days: 1.0,
                need_days: 3.0,
            }),
            history: vec![1.0, f64::NAN],
            history_start: Timestamp::from_millis(0),
            coverage: 0.5,
            synthetic: None,
        };
        let text = serde_json::to_string(&projection).unwrap();
        assert!(text.contains("[1.0,null]"), "{text}");
        let back: Projection = serde_json::from_str(&text).unwrap();
        assert_eq!(back.outlook, projection.outlook);
        assert!(back.history[1].is_nan());
    }
}
