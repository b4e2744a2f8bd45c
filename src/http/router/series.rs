//! Rows of series: what is taken in, what is scraped, what `PromQL` is asked.

use axum::routing::{get, post};

use super::params::{INSTANT, RANGE, SELECTORS, START, WHICH};
use super::{JSON, Param, Route};
use crate::http::{latency, metrics, prom, write};

/// The rows, as the description lists them.
pub(super) const ROUTES: &[Route] = &[
    Route {
        method: "POST",
        path: write::WRITE,
        summary: "Prometheus remote write 1.0: 204 when the samples are on the disk.",
        does: "take samples",
        params: &[],
        answer: ("", ""),
        serve: || post(write::receive),
    },
    Route {
        method: "GET",
        path: "/api/v1/performance/latency",
        summary: "Latency of this server's endpoints and of statements by class, over a range.",
        does: "get latency",
        params: &[Param {
            name: "range",
            place: "query",
            about: "how far back, 5m to 365d; default 1h",
        }],
        answer: (JSON, "Latencies"),
        serve: || get(latency::latency),
    },
    Route {
        method: "GET",
        path: "/metrics",
        summary: "All series of all targets, for Prometheus: text 0.0.4, or OpenMetrics by Accept.",
        does: "write metrics",
        params: &[Param {
            name: "names",
            place: "query",
            about: "own (default), or compat for the names of the existing exporters",
        }],
        answer: ("text/plain", ""),
        serve: || get(metrics::scrape),
    },
    Route {
        method: "GET",
        path: "/api/v1/query",
        summary: "PromQL at one instant, in the JSON of Prometheus.",
        does: "evaluate the expression",
        params: INSTANT,
        answer: (JSON, ""),
        serve: || get(prom::instant_query),
    },
    Route {
        method: "GET",
        path: "/api/v1/query_range",
        summary: "PromQL at each step of a range, in the JSON of Prometheus.",
        does: "evaluate the expression over the range",
        params: RANGE,
        answer: (JSON, ""),
        serve: || get(prom::range_query),
    },
    Route {
        method: "GET",
        path: "/api/v1/series",
        summary: "Label sets of the series that selectors name.",
        does: "list the series",
        params: WHICH,
        answer: (JSON, ""),
        serve: || get(prom::series),
    },
    Route {
        method: "GET",
        path: "/api/v1/labels",
        summary: "Names of labels.",
        does: "list the labels",
        params: WHICH,
        answer: (JSON, ""),
        serve: || get(prom::labels),
    },
    Route {
        method: "POST",
        path: "/api/v1/query",
        summary: "PromQL at one instant, in the JSON of Prometheus. Parameters come as a form.",
        does: "evaluate the posted expression",
        params: INSTANT,
        answer: (JSON, ""),
        serve: || post(prom::instant_query),
    },
    Route {
        method: "POST",
        path: "/api/v1/query_range",
        summary: "PromQL at each step of a range, in the JSON of Prometheus. Parameters come as a form.",
        does: "evaluate the posted expression over the range",
        params: RANGE,
        answer: (JSON, ""),
        serve: || post(prom::range_query),
    },
    Route {
        method: "POST",
        path: "/api/v1/series",
        summary: "Label sets of the series that selectors name. Parameters come as a form.",
        does: "list the posted series",
        params: WHICH,
        answer: (JSON, ""),
        serve: || post(prom::series),
    },
    Route {
        method: "POST",
        path: "/api/v1/labels",
        summary: "Names of labels. Parameters come as a form.",
        does: "list the posted labels",
        params: WHICH,
        answer: (JSON, ""),
        serve: || post(prom::labels),
    },
    Route {
        method: "GET",
        path: "/api/v1/label/{name}/values",
        summary: "Values of one label; of `__name__`, the metrics.",
        does: "list the values",
        params: &[
            Param {
                name: "name",
                place: "path",
                about: "the label",
            },
            SELECTORS,
            START,
        ],
        answer: (JSON, ""),
        serve: || get(prom::label_values),
    },
    Route {
        method: "GET",
        path: "/api/v1/metadata",
        summary: "Kind and meaning of each metric.",
        does: "describe the metrics",
        params: &[
            Param {
                name: "metric",
                place: "query",
                about: "only this one",
            },
            Param {
                name: "limit",
                place: "query",
                about: "how many metrics at most",
            },
        ],
        answer: (JSON, ""),
        serve: || get(prom::metadata),
    },
    Route {
        method: "GET",
        path: "/api/v1/status/buildinfo",
        summary: "The Prometheus whose answers ours follow, for programs that ask before they query.",
        does: "get the build",
        params: &[],
        answer: (JSON, ""),
        serve: || get(prom::build),
    },
];
