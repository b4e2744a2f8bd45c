//! What a load test is: stages of arrivals, weighted endpoints, and what is good enough.
//!
//! For: the words of load tests. Not for: reading a scenario's file or sending anything (`load`).
//! Read [`Scenario`] first; what a run found is in `results`.

mod origin;
mod results;

use serde::Serialize;

use super::units::Millis;

pub use origin::{BadUrl, Origin};
pub use results::{
    Ended, Errors, Generator, Latency, LoadTestMetrics, LoadTestResults, Part, Point, Resources,
    Summary, ThresholdResult, Throughput,
};

/// What is sent, when, and what is expected of the answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scenario {
    /// Its name: lower case letters, digits and dashes.
    pub name: String,
    /// One or two sentences.
    pub description: String,
    /// One after the other; never empty.
    pub stages: Vec<Stage>,
    /// One is drawn for each arrival by weight; never empty, the weights sum to 100.
    pub endpoints: Vec<Endpoint>,
    /// What is good enough, where the scenario says so.
    pub thresholds: Thresholds,
    /// When a run is given up.
    pub abort: Abort,
    /// How long an answer may take.
    #[serde(rename = "timeoutMs")]
    pub timeout: Millis,
    /// Requests under way at once; further arrivals wait.
    pub max_in_flight: usize,
    /// The draw of endpoints; the same seed gives the same requests in the same order.
    pub seed: u64,
}

impl Scenario {
    /// Length of all stages.
    pub fn duration(&self) -> Millis {
        Millis(self.stages.iter().map(|stage| stage.duration.0).sum())
    }

    /// The highest rate of any stage, in arrivals per second.
    pub fn peak_rate(&self) -> f64 {
        let rates = self.stages.iter().map(|stage| stage.from.max(stage.to));
        rates.fold(0.0, f64::max)
    }

    /// Arrivals of all stages, fractions included.
    pub fn arrivals(&self) -> f64 {
        self.stages.iter().map(Stage::arrivals).sum()
    }
}

/// A span with a rate of arrivals that is constant or changes evenly.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// How long; never zero.
    #[serde(rename = "durationMs")]
    pub duration: Millis,
    /// Arrivals per second at its start.
    #[serde(rename = "fromRate")]
    pub from: f64,
    /// Arrivals per second at its end.
    #[serde(rename = "arrivalRate")]
    pub to: f64,
}

impl Stage {
    /// Arrivals in it, fractions included.
    pub fn arrivals(&self) -> f64 {
        f64::midpoint(self.from, self.to) * self.duration.0 as f64 / 1e3
    }
}

/// One kind of request.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Such as `GET`.
    pub method: String,
    /// From `/` on; `{{n}}` becomes the number of the arrival.
    pub path: String,
    /// Its share of the arrivals, in percent.
    pub weight: f64,
    /// Headers more than every request has.
    pub headers: Vec<(String, String)>,
    /// What is sent; `{{n}}` becomes the number of the arrival.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// What is good enough; latencies are counted from the intended start.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Thresholds {
    /// The median, at most, in ms.
    pub p50_ms: Option<f64>,
    /// The 95 % quantile, at most, in ms.
    pub p95_ms: Option<f64>,
    /// The 99 % quantile, at most, in ms.
    pub p99_ms: Option<f64>,
    /// Failed requests, at most, as a share of all.
    pub error_ratio: Option<f64>,
    /// Requests that succeed per second, at least.
    pub requests_per_s: Option<f64>,
}

impl Thresholds {
    /// These, and `others` where these say nothing.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            p50_ms: self.p50_ms.or(others.p50_ms),
            p95_ms: self.p95_ms.or(others.p95_ms),
            p99_ms: self.p99_ms.or(others.p99_ms),
            error_ratio: self.error_ratio.or(others.error_ratio),
            requests_per_s: self.requests_per_s.or(others.requests_per_s),
        }
    }
}

/// When a run is given up: this share of each second's requests fails, so many seconds on end.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Abort {
    /// Share of the requests that end in a second; 1 never gives up.
    pub error_ratio: f64,
    /// Seconds on end; those in which nothing ends do not count.
    pub seconds: u32,
}

impl Default for Abort {
    fn default() -> Self {
        Self {
            error_ratio: 0.10,
            seconds: 10,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_has_the_arrivals_of_its_mean_rate() {
        let stage = Stage {
            name: "up".to_owned(),
            duration: Millis(10_000),
            from: 0.0,
            to: 100.0,
        };
        assert!((stage.arrivals() - 500.0).abs() < 1e-9);
    }

    #[test]
    fn what_a_scenario_says_wins_over_what_others_say() {
        let own = Thresholds {
            p95_ms: Some(1.0),
            ..Thresholds::default()
        };
        let others = Thresholds {
            p95_ms: Some(2.0),
            p99_ms: Some(3.0),
            ..Thresholds::default()
        };
        let both = own.or(others);
        assert_eq!((both.p95_ms, both.p99_ms), (Some(1.0), Some(3.0)));
        assert_eq!(both.p50_ms, None);
    }
}
