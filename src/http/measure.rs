//! Our own latency: requests by route and code, and a histogram by route.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::exposition::{Exposition, Kind};
use crate::model::series::Labels;

/// Upper bounds in seconds: most answers take under 1 ms, a report a few hundred.
const BOUNDS: [f64; 12] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 0.5, 1.0, 5.0,
];

#[derive(Debug, Clone, Default)]
struct Histogram {
    /// One a bound: how many took this long or less, but longer than the bound before.
    counts: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
}

#[derive(Debug, Default)]
struct Counts {
    requests: BTreeMap<(&'static str, u16), u64>,
    durations: BTreeMap<&'static str, Histogram>,
}

/// Counts requests; routes and codes are few, so it stays small.
#[derive(Debug, Default)]
pub(super) struct Meter(Mutex<Counts>);

impl Meter {
    /// Counts one answered request.
    pub(super) fn record(&self, route: &'static str, code: u16, took: Duration) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.requests.entry((route, code)).or_default() += 1;
        let histogram = counts.durations.entry(route).or_default();
        let seconds = took.as_secs_f64();
        histogram.count += 1;
        histogram.sum += seconds;
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        if let Some(count) = histogram.counts.get_mut(bucket) {
            *count += 1;
        }
    }

    /// Adds what was counted to the exposition.
    pub(super) fn write(&self, to: &mut Exposition) {
        const REQUESTS: &str = "plimsoll_http_requests_total";
        const DURATION: &str = "plimsoll_http_request_duration_seconds";
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        to.declare(REQUESTS, Kind::Counter, "HTTP requests answered.");
        for ((route, code), count) in &counts.requests {
            let labels = route_label(route).with("code", code.to_string());
            to.sample(REQUESTS, "", &labels, *count as f64);
        }
        to.declare(
            DURATION,
            Kind::Histogram,
            "Time from a request's head to its answer.",
        );
        for (route, histogram) in &counts.durations {
            let labels = route_label(route);
            let mut below = 0;
            for (bound, count) in BOUNDS.iter().zip(histogram.counts) {
                below += count;
                let labels = labels.clone().with("le", format!("{bound:?}"));
                to.sample(DURATION, "_bucket", &labels, below as f64);
            }
            let all = labels.clone().with("le", "+Inf");
            to.sample(DURATION, "_bucket", &all, histogram.count as f64);
            to.sample(DURATION, "_sum", &labels, histogram.sum);
            to.sample(DURATION, "_count", &labels, histogram.count as f64);
        }
    }
}

fn route_label(route: &str) -> Labels {
    Labels::none().with("route", route)
}
