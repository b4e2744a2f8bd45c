//! What a load test found, with the specification's names and some of our own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::finding::Bottleneck;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// All stages were run.
    Finished,
    /// Somebody stopped it.
    Stopped,
    /// Too much failed for too long.
    Aborted,
}

/// A whole result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadTestResults {
    /// Names this result; sorts by time.
    pub id: String,
    /// The scenario's name.
    pub scenario_name: String,
    /// Who was loaded.
    pub url: String,
    /// When the first request was due, RFC 3339.
    pub start_time: String,
    /// When the last one had ended.
    pub end_time: String,
    /// From start to end, in seconds.
    pub duration: f64,
    /// By how much the scenario's rates were multiplied.
    pub rate_factor: f64,
    /// By how much the scenario's lengths were multiplied.
    pub time_factor: f64,
    /// How it ended.
    pub ended: Ended,
    /// Why, where it did not run to its end.
    pub reason: Option<String>,
    /// Whether all thresholds hold, and it was not aborted.
    pub passed: bool,
    /// What was expected, and what came.
    pub thresholds: Vec<ThresholdResult>,
    /// Arrivals of the whole schedule.
    pub planned_requests: u64,
    /// Requests whose end is known.
    pub total_requests: u64,
    /// Those that were answered with a status below 400.
    pub successful_requests: u64,
    /// The others.
    pub failed_requests: u64,
    /// Requests that had to wait because as many as allowed were under way.
    pub waited_requests: u64,
    /// Arrivals that were due and never sent.
    pub unsent_requests: u64,
    /// Requests under way when it was stopped; their end is not known.
    pub unfinished_requests: u64,
    /// Requests under way at once, at most.
    pub max_in_flight: u64,
    /// All requests together.
    pub metrics: LoadTestMetrics,
    /// From sending to the end of the answer: what a caller sees that never waits.
    pub service: Latency,
    /// A row a stage, by the stage that a request was due in.
    pub stages: Vec<Part>,
    /// A row an endpoint.
    pub endpoints: Vec<Part>,
    /// How it went, a point each so many seconds, by when requests ended.
    pub timeline: Vec<Point>,
    /// What the generator itself took.
    pub generator: Generator,
    /// What held the test up.
    pub bottlenecks: Vec<Bottleneck>,
    /// What else a reader must know.
    pub notes: Vec<String>,
}

/// The specification's `LoadTestMetrics`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadTestMetrics {
    /// From the intended start to the end of the answer.
    pub latency: Latency,
    /// How much.
    pub throughput: Throughput,
    /// What failed.
    pub errors: Errors,
    /// Of the server that was loaded: null, since it is not looked at from here.
    pub resources: Resources,
}

/// Quantiles in ms, at most 2 % off; null where nothing was counted.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "percentiles and bounds, in ms")]
pub struct Latency {
    pub p50: Option<f64>,
    pub p75: Option<f64>,
    pub p90: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
    pub p999: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub avg: Option<f64>,
}

/// How much was done per second.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Throughput {
    /// Requests whose end is known.
    pub requests_per_second: f64,
    /// Bytes of bodies of answers.
    pub bytes_per_second: f64,
}

/// What failed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Errors {
    /// How many.
    pub total: u64,
    /// By kind: 4xx, 5xx, connect, timeout, reset, other, unsent.
    pub by_type: BTreeMap<String, u64>,
    /// As a share of all requests, 0 to 1.
    pub rate: f64,
}

/// Shares in use, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each resource by its name")]
pub struct Resources {
    pub cpu: Option<f64>,
    pub memory: Option<f64>,
    pub network: Option<f64>,
    pub disk: Option<f64>,
}

/// A stage or an endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// The stage's name, or method and path.
    pub name: String,
    /// Arrivals per second that were planned; null for an endpoint.
    pub planned_rate: Option<f64>,
    /// Requests whose end is known.
    pub requests: u64,
    /// Those per second of the stage, or of the run.
    pub rate: f64,
    /// From the intended start.
    pub latency: Latency,
    /// From sending.
    pub service: Latency,
    /// What failed.
    pub errors: Errors,
}

/// A piece of the run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// Its end, in seconds after the start.
    pub at: f64,
    /// Requests that ended in it.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
    /// Median from the intended start, in ms.
    pub p50: Option<f64>,
    /// 99 % quantile.
    pub p99: Option<f64>,
    /// The longest.
    pub max: Option<f64>,
}

/// What was expected of one figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThresholdResult {
    /// As in a scenario's file: `p95_ms`.
    pub name: String,
    /// The most, or the least, that is good enough.
    pub limit: f64,
    /// What came; null where nothing was counted, which is not good enough.
    pub actual: Option<f64>,
    /// Whether it is good enough.
    pub passed: bool,
}

/// What the generator took, and whether it was the bottleneck.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Generator {
    /// Median of how late requests were sent that had a free slot, in ms.
    pub lateness_p50_ms: Option<f64>,
    /// 99 % quantile of the same.
    pub lateness_p99_ms: Option<f64>,
    /// The longest.
    pub lateness_max_ms: Option<f64>,
    /// Share of the run in which its thread ran; null where the kernel does not say.
    pub cpu_ratio: Option<f64>,
    /// Share of the run in which its thread was ready and had no processor.
    pub run_queue_wait_ratio: Option<f64>,
    /// Connections that were opened.
    pub connections: u64,
    /// Whether it limited the test, so that the figures say less about the server.
    pub limited: bool,
    /// The same in words.
    pub says: String,
}

/// A result as a list shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields of the result")]
pub struct Summary {
    pub id: String,
    pub scenario_name: String,
    pub url: String,
    pub start_time: String,
    pub duration: f64,
    pub ended: Ended,
    pub passed: bool,
    pub total_requests: u64,
    pub failed_requests: u64,
    pub requests_per_second: f64,
    pub p50: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
}

impl LoadTestResults {
    /// The same in short.
    pub fn summary(&self) -> Summary {
        let latency = &self.metrics.latency;
        Summary {
            id: self.id.clone(),
            scenario_name: self.scenario_name.clone(),
            url: self.url.clone(),
            start_time: self.start_time.clone(),
            duration: self.duration,
            ended: self.ended,
            passed: self.passed,
            total_requests: self.total_requests,
            failed_requests: self.failed_requests,
            requests_per_second: self.metrics.throughput.requests_per_second,
            p50: latency.p50,
            p95: latency.p95,
            p99: latency.p99,
        }
    }
}
