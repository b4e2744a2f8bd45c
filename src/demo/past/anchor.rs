//! What series are now, measured or recorded: where a made-up past has to end.

use serde::Deserialize;

use super::Shape;
use crate::demo::{Error, Result};
use crate::model::series::{Kind, Labels, SeriesKey};

const ANCHORS: &str = include_str!("../../../data/history/anchors.toml");

/// What a series is now, and how it came there.
#[derive(Debug, Clone, PartialEq)]
pub struct Anchor {
    /// Which series.
    pub series: SeriesKey,
    /// Counter or gauge.
    pub kind: Kind,
    /// The value now; of a counter the raw total.
    pub current: f64,
    /// Of a counter, its increase per second now; of a gauge not used.
    pub rate: f64,
    /// How it moves.
    pub shape: Shape,
}

impl Anchor {
    /// A level that is `current` now, with the shape that its name suggests.
    pub fn gauge(series: SeriesKey, current: f64) -> Self {
        let shape = Shape::of(&series, Kind::Gauge);
        Self {
            series,
            kind: Kind::Gauge,
            current,
            rate: 0.0,
            shape,
        }
    }

    /// A running total that is `current` now and grows by `rate` a second.
    pub fn counter(series: SeriesKey, current: f64, rate: f64) -> Self {
        let shape = Shape::of(&series, Kind::Counter);
        Self {
            series,
            kind: Kind::Counter,
            current,
            rate,
            shape,
        }
    }
}

/// The anchors of a platform that exists nowhere, for a demo without a database.
///
/// # Errors
/// [`Error::BuiltIn`] if the list that is compiled in does not read.
pub fn recorded() -> Result<Vec<Anchor>> {
    let file: File = toml::from_str(ANCHORS).map_err(|source| Error::BuiltIn {
        file: "history/anchors.toml",
        source,
    })?;
    Ok(file.series.into_iter().map(Recorded::anchor).collect())
}

#[derive(Deserialize)]
struct File {
    series: Vec<Recorded>,
}

/// One line of `data/history/anchors.toml`: a counter has a rate.
#[derive(Deserialize)]
struct Recorded {
    metric: String,
    #[serde(default)]
    labels: Labels,
    value: f64,
    per_second: Option<f64>,
    ceiling: Option<f64>,
}

impl Recorded {
    fn anchor(self) -> Anchor {
        let series = SeriesKey {
            metric: self.metric.into(),
            labels: self.labels,
        };
        let mut anchor = match self.per_second {
            Some(rate) => Anchor::counter(series, self.value, rate),
            None => Anchor::gauge(series, self.value),
        };
        if let Some(ceiling) = self.ceiling {
            anchor.shape = anchor.shape.under(ceiling);
        }
        anchor
    }
}
