//! Capacity: resources, their limits, and when one meets the other.
//!
//! For: what is forecast of what, and what a report shows. Not for: how it is computed. What a
//! forecast says of any series stands in [`forecast`](super::forecast).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use super::forecast::{
    Backtest, Change, ChangeKind, Confidence, Crossing, Estimate, Forecast, ForecastPoint,
    Interval, Outlook, Season, Simulated, Trust, Turn,
};
use super::units::{Millis, Timestamp};

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

impl UnknownResource {
    /// The names that there are, for people.
    pub const KNOWN: &str = "cpu, memory, storage, bandwidth, database, connections";
}

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

    /// Whether it piles up: more load then fills it faster, but not at once.
    pub const fn piles_up(self) -> bool {
        match self {
            Self::Storage | Self::Database => true,
            Self::Cpu | Self::Memory | Self::Bandwidth | Self::Connections => false,
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
    /// How long a remedy takes from the decision on.
    #[serde(default = "month")]
    pub lead_time: Millis,
}

/// The lead time of records that name none: the default of `forecast.lead_time` when it came.
const fn month() -> Millis {
    Millis(30 * Millis::DAY.0)
}

impl Projection {
    /// Its forecast, where it has one.
    pub fn forecast(&self) -> Option<&Forecast> {
        match &self.outlook {
            Some(Outlook::Forecast(forecast)) => Some(forecast),
            _ => None,
        }
    }

    /// How far its forecast may be trusted; the word is `low` where history is made up.
    pub fn confidence(&self) -> Option<Confidence> {
        let confidence = self.forecast()?.confidence();
        let word = match self.synthetic {
            Some(_) => Trust::Low,
            None => confidence.word,
        };
        Some(Confidence { word, ..confidence })
    }

    /// The date by which to act: the early end (10 %) of reaching the limit less the lead time, or
    /// the day of the forecast where that has passed; `None` where no date is in sight.
    pub fn act_by(&self) -> Option<Timestamp> {
        let limit = self.forecast()?.crossing("limit")?;
        limit.act_by(self.made_at, self.lead_time)
    }
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
            lead_time: Millis::DAY,
        };
        let text = serde_json::to_string(&projection).unwrap();
        assert!(text.contains("[1.0,null]"), "{text}");
        let back: Projection = serde_json::from_str(&text).unwrap();
        assert_eq!(back.outlook, projection.outlook);
        assert!(back.history[1].is_nan());
    }

    /// A projection as recorded before there were change points, seasons and confidence.
    const OLD: &str = r#"{"target":"t","resource":"cpu","madeAt":5,"usage":1.0,"limit":null,
        "outlook":{"outlook":"forecast","level":1.0,"step":86400000,"points":[],
        "growthPerDay":{"value":0.0,"lo":0.0,"hi":0.0},"growthPerMonth":null,"periods":[7],
        "method":"naive","backtest":{"origins":8,"horizon":9,"mae":1.0,"relativeMae":0.62,
        "coverageP80":0.79,"coverageP95":0.94},"crossings":[{"name":"limit","threshold":2.0,
        "probability":0.5,"p10":8640000000,"p50":null,"p90":null,"crossed":false}]},
        "history":[],"historyStart":0,"coverage":1.0,"synthetic":null}"#;

    #[test]
    fn a_record_of_an_earlier_version_is_read() {
        let old: Projection = serde_json::from_str(OLD).unwrap();
        assert_eq!(old.confidence().unwrap().word, Trust::High);
        // A hundred days less thirty.
        assert_eq!(old.act_by().unwrap().as_millis(), 70 * 86_400_000);
        let forecast = old.forecast().unwrap();
        assert_eq!((forecast.changes.len(), forecast.seasons.len()), (0, 0));
    }

    #[test]
    fn the_day_to_act_is_never_before_the_forecast() {
        let text = OLD.replace("8640000000", "86400000");
        let late: Projection = serde_json::from_str(&text).unwrap();
        assert_eq!(late.act_by(), Some(late.made_at));
        let crossed = OLD.replace("\"crossed\":false", "\"crossed\":true");
        let crossed: Projection = serde_json::from_str(&crossed).unwrap();
        assert_eq!(crossed.act_by(), Some(crossed.made_at));
    }
}
