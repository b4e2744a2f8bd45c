//! Latencies: `GET /api/v1/performance/latency`, and their place in `/metrics`.
//!
//! As `statements`, it reads the history: a range may be of any length, and what it reads
//! is some hundred bytes a step and name. It does so beside the sockets, one at a time.

use std::sync::Arc;

use axum::extract::State;

use super::Site;
use super::ask::Ask;
use super::body::Answer;
use super::error::Refusal;
use super::exposition::{Exposition, Kind};
use super::wire::{EndpointLatency, Latencies, LatencyFigures, StatementLatency};
use crate::config::parse_duration;
use crate::model::units::Millis;
use crate::stats::sketch::Sketch;
use crate::store::Latency;
use crate::work::latency::{OWN, REQUEST, STATEMENT};

const RANGE: Millis = Millis::HOUR;
const RANGES: (Millis, Millis) = (
    Millis(5 * Millis::MINUTE.0),
    Millis(366 * Millis::DAY.0 - Millis::HOUR.0),
);
/// Quantiles in `/metrics`.
const QUANTILES: [(f64, &str); 4] = [(0.5, "0.5"), (0.9, "0.9"), (0.95, "0.95"), (0.99, "0.99")];
const ABOUT: [(&str, &str); 2] = [
    (
        REQUEST,
        "Time from a request's head to its answer; quantiles of the last 5 to 10 minutes.",
    ),
    (
        STATEMENT,
        "Mean execution time of statements weighted by calls; quantiles of the last 5 to 10 minutes.",
    ),
];

/// `GET latency`.
pub(super) async fn latency(State(site): State<Arc<Site>>, ask: Ask) -> Result<Answer, Refusal> {
    let range = match ask.text("range") {
        None => RANGE,
        Some(text) => parse_duration(text)
            .ok()
            .filter(|range| (RANGES.0..=RANGES.1).contains(range))
            .ok_or_else(|| Refusal::Parameter {
                name: "range",
                text: text.to_owned(),
                wanted: "a length of time from 5m to 365d, such as 24h".to_owned(),
            })?,
    };
    let until = site.clock.now();
    let from = until.minus(range.as_duration());
    let found = match site.hooks.store.clone() {
        None => Vec::new(),
        Some(store) => {
            let _alone = site.reading.lock().await;
            // What is counted at this very instant is in it.
            let end = until.plus(Millis(1).as_duration());
            let read = move || store.history().latencies(from, end);
            tokio::task::spawn_blocking(read)
                .await
                .map_err(|panic| Refusal::Internal(panic.to_string()))?
                .map_err(|error| Refusal::Internal(error.to_string()))?
        }
    };
    let mut answer = Latencies {
        from: from.to_string(),
        until: until.to_string(),
        endpoints: Vec::new(),
        statements: Vec::new(),
    };
    for Latency {
        target,
        key,
        sketch,
    } in found
    {
        let label = |name| key.labels.get(name).unwrap_or_default().to_owned();
        let figures = figures(&sketch);
        match key.metric.as_ref() {
            REQUEST => answer.endpoints.push(EndpointLatency {
                method: label("method"),
                route: label("route"),
                figures,
            }),
            STATEMENT => answer.statements.push(StatementLatency {
                target,
                class: label("class"),
                figures,
            }),
            _ => {}
        }
    }
    Answer::json(&answer)
}

fn figures(sketch: &Sketch) -> LatencyFigures {
    let ms = |seconds: Option<f64>| seconds.map(|seconds| seconds * 1e3);
    let count = sketch.count();
    LatencyFigures {
        count,
        mean_ms: ms((count > 0).then(|| sketch.sum() / count as f64)),
        p50_ms: ms(sketch.quantile(0.5)),
        p90_ms: ms(sketch.quantile(0.9)),
        p95_ms: ms(sketch.quantile(0.95)),
        p99_ms: ms(sketch.quantile(0.99)),
        max_ms: ms(sketch.max()),
    }
}

/// Adds the latencies of the last minutes to the exposition, from memory.
pub(super) fn write(site: &Site, to: &mut Exposition) {
    let Some(store) = &site.hooks.store else {
        return;
    };
    for (metric, about) in ABOUT {
        to.declare(metric, Kind::Summary, about);
    }
    for latency in store.history().recent_latencies(site.clock.now()) {
        let mut labels = latency.key.labels.clone();
        if latency.target != OWN {
            labels = labels.with("target", latency.target.as_str());
        }
        let metric = latency.key.metric.as_ref();
        for (p, shown) in QUANTILES {
            let value = latency.sketch.quantile(p).unwrap_or(f64::NAN);
            to.sample(metric, "", &labels.clone().with("quantile", shown), value);
        }
        to.sample(metric, "_sum", &labels, latency.sum);
        to.sample(metric, "_count", &labels, latency.count as f64);
    }
}
