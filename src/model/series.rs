//! Series, samples and windows: what the history is made of.
//!
//! For: the shape of what collectors give and the history keeps. Not for: how it is stored
//! (`store`) or what a value means for capacity (`capacity`).

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use super::units::{Millis, Timestamp};

/// Whether a metric only ever grows (until a reset) or goes both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A running total: stored raw, read as a rate. It falls only when it was reset.
    Counter,
    /// A level: read as it is.
    Gauge,
}

/// What one collector gives for one field: declared once, beside the query that reads it.
///
/// `name` follows Prometheus: base unit last, counters end in `_total`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// Prometheus name, `snake_case`.
    pub name: &'static str,
    /// Counter or gauge.
    pub kind: Kind,
    /// One sentence for `# HELP`.
    pub help: &'static str,
    /// Values are exact to a multiple of this; `None` keeps every bit.
    pub resolution: Option<f64>,
}

impl Metric {
    /// Declares a counter of whole numbers.
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Counter,
            help,
            resolution: Some(1.0),
        }
    }

    /// Declares a gauge that is kept bit for bit.
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Gauge,
            help,
            resolution: None,
        }
    }

    /// The same metric, exact to multiples of `resolution`.
    #[must_use]
    pub const fn exact_to(self, resolution: f64) -> Self {
        Self {
            resolution: Some(resolution),
            ..self
        }
    }

    /// One value of this metric.
    pub fn sample(&self, labels: Labels, value: f64) -> Sample {
        Sample {
            series: SeriesKey {
                metric: Cow::Borrowed(self.name),
                labels,
            },
            kind: self.kind,
            resolution: self.resolution,
            value,
        }
    }
}

/// Label pairs, sorted by name, names unique, no empty values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(Vec<(Cow<'static, str>, String)>);

impl Labels {
    /// No labels.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// A set of pairs that are as they should be: sorted, names unique, values not empty. What is
    /// not is put right.
    pub fn from_sorted(pairs: Vec<(Cow<'static, str>, String)>) -> Self {
        let ascend = |pair: &[(Cow<'static, str>, String)]| matches!(pair, [a, b] if a.0 < b.0);
        if pairs.windows(2).all(ascend) && pairs.iter().all(|(_, value)| !value.is_empty()) {
            Self(pairs)
        } else {
            pairs.into_iter().collect()
        }
    }

    /// This set with `name="value"`; an empty value removes the label, as Prometheus reads it.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        let (name, value) = (name.into(), value.into());
        self.0.retain(|(n, _)| *n != name);
        if !value.is_empty() {
            let at = self.0.partition_point(|(n, _)| *n < name);
            self.0.insert(at, (name, value));
        }
        self
    }

    /// The value of `name`, if the set has it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// Pairs in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_ref(), v.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<Cow<'static, str>>, V: Into<String>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        pairs
            .into_iter()
            .fold(Self::none(), |labels, (name, value)| {
                labels.with(name, value)
            })
    }
}

/// How a label is compared when series are asked for; a label that is not there is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// `=`: the same text.
    Equal,
    /// `!=`: another text.
    NotEqual,
    /// `=~`: the pattern, anchored at both ends, matches.
    Matches,
    /// `!~`: the pattern, anchored at both ends, does not match.
    MatchesNot,
}

/// Identifies a series within one target: `metric{label="value"}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeriesKey {
    /// Prometheus name.
    pub metric: Cow<'static, str>,
    /// What tells this series from its sisters.
    pub labels: Labels,
}

impl SeriesKey {
    /// A series without labels.
    pub fn bare(metric: impl Into<Cow<'static, str>>) -> Self {
        Self {
            metric: metric.into(),
            labels: Labels::none(),
        }
    }
}

impl fmt::Display for SeriesKey {
    /// The exposition format: quotes, backslashes and newlines in values are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.metric)?;
        if self.labels.is_empty() {
            return Ok(());
        }
        f.write_char('{')?;
        for (i, (name, value)) in self.labels.iter().enumerate() {
            if i > 0 {
                f.write_char(',')?;
            }
            write!(f, "{name}=\"")?;
            for c in value.chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    '"' => f.write_str("\\\"")?,
                    '\n' => f.write_str("\\n")?,
                    c => f.write_char(c)?,
                }
            }
            f.write_char('"')?;
        }
        f.write_char('}')
    }
}

/// One reading of one series; the instant belongs to the [`Scrape`].
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Which series.
    pub series: SeriesKey,
    /// Counter or gauge, as declared by the collector.
    pub kind: Kind,
    /// As declared by the collector; `None` keeps every bit.
    pub resolution: Option<f64>,
    /// The value as read. Counters raw, never as rates. NaN is kept, too.
    pub value: f64,
}

/// All readings of one target at one instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Scrape {
    /// The target's name, as configured.
    pub target: String,
    /// When the readings were taken.
    pub at: Timestamp,
    /// Each series at most once.
    pub samples: Vec<Sample>,
}

/// Takes scrapes; the history is one, a vector in tests another, remote write a third.
pub trait SampleSink: Send + Sync {
    /// Takes one scrape.
    ///
    /// # Errors
    /// Text for the log; the caller goes on with the other sinks.
    fn take(&self, scrape: &Scrape) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}

/// Evenly spaced values of one series; a missing one is NaN.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Start of the first step.
    pub start: Timestamp,
    /// Distance between values; never zero.
    pub step: Millis,
    /// One value a step, oldest first; NaN where nothing was recorded.
    pub values: Vec<f64>,
}

impl Window {
    /// Start of step `i`.
    pub fn at(&self, i: usize) -> Timestamp {
        let offset = self.step.0.saturating_mul(i as u64);
        self.start.plus(Millis(offset).as_duration())
    }

    /// End of the last step: where a forecast begins.
    pub fn end(&self) -> Timestamp {
        self.at(self.values.len())
    }

    /// How many steps hold a value.
    pub fn present(&self) -> usize {
        self.values.iter().filter(|v| v.is_finite()).count()
    }

    /// The last recorded value.
    pub fn last(&self) -> Option<f64> {
        self.values.iter().rev().copied().find(|v| v.is_finite())
    }

    /// Share of steps that hold a value; 0 for an empty window.
    pub fn coverage(&self) -> f64 {
        if self.values.is_empty() {
            0.0
        } else {
            self.present() as f64 / self.values.len() as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stay_sorted_and_lose_empty_values() {
        let labels = Labels::none()
            .with("b", "2")
            .with("a", "1")
            .with("c", "")
            .with("b", "3");
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "3")]);
        assert_eq!(labels.get("b"), Some("3"));
        let pairs = [("b", "2"), ("a", "1"), ("c", ""), ("b", "3")];
        let pairs = pairs.map(|(name, value)| (name.into(), value.to_owned()));
        assert_eq!(Labels::from_sorted(pairs.to_vec()), labels);
    }

    #[test]
    fn a_key_prints_as_exposition_text() {
        let key = SeriesKey {
            metric: "pg_x".into(),
            labels: Labels::none().with("relname", "Robert\"); DROP\nTABLE\\"),
        };
        assert_eq!(
            key.to_string(),
            r#"pg_x{relname="Robert\"); DROP\nTABLE\\"}"#
        );
    }

    #[test]
    fn a_window_knows_its_gaps() {
        let window = Window {
            start: Timestamp::from_millis(0),
            step: Millis::HOUR,
            values: vec![1.0, f64::NAN, 3.0, f64::NAN],
        };
        assert_eq!(window.present(), 2);
        assert_eq!(window.last(), Some(3.0));
        assert_eq!(window.end(), Timestamp::from_millis(4 * 3_600_000));
        assert!((window.coverage() - 0.5).abs() < 1e-12);
    }
}
