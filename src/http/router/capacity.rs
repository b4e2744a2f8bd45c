//! Rows of `/capacity/…`.

use axum::routing::{get, post};

use super::params::{BEFORE, MONTHS, RESOURCE, SCENARIO, STEP, TARGET};
use super::{JSON, Param, Route};
use crate::http::{capacity, what_if};

/// Where it is asked how forecasts held.
pub const FORECAST_REVIEW: &str = "/api/v1/performance/capacity/forecast-review";

/// Where scenarios are asked about.
pub const WHAT_IF: &str = "/api/v1/performance/capacity/what-if";

/// The rows, as the description lists them.
pub(super) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/api/v1/performance/capacity/dashboard",
        summary: "Forecasts, alerts and trends of all resources.",
        does: "get capacity dashboard",
        params: &[MONTHS, STEP, BEFORE, TARGET],
        answer: (JSON, "CapacityDashboard"),
        serve: || get(capacity::dashboard),
    },
    Route {
        method: "GET",
        path: "/api/v1/performance/capacity/forecast/{resourceType}",
        summary: "Forecast of one resource, a point a month, with intervals and its back-test.",
        does: "forecast capacity",
        params: &[
            Param {
                name: "resourceType",
                place: "path",
                about: "cpu, memory, storage, bandwidth, database or connections",
            },
            MONTHS,
            STEP,
            BEFORE,
            TARGET,
        ],
        answer: (JSON, "CapacityForecast"),
        serve: || get(capacity::forecast),
    },
    Route {
        method: "GET",
        path: FORECAST_REVIEW,
        summary: "Forecast against actual: what was forecast of days that have come, by days ahead.",
        does: "review forecasts",
        params: &[RESOURCE, TARGET],
        answer: (JSON, "ForecastReview"),
        serve: || get(capacity::forecast_review),
    },
    Route {
        method: "GET",
        path: WHAT_IF,
        summary: "Stored forecasts under a scenario, at once: what breaks first, and when.",
        does: "answer what if",
        params: SCENARIO,
        answer: (JSON, "WhatIf"),
        serve: || get(what_if::get),
    },
    Route {
        method: "POST",
        path: WHAT_IF,
        summary: "Stored forecasts under a scenario in JSON, at once: what breaks first, and when.",
        does: "answer the posted what if",
        params: &[RESOURCE, MONTHS, STEP, BEFORE, TARGET],
        answer: (JSON, "WhatIf"),
        serve: || post(what_if::post),
    },
    Route {
        method: "GET",
        path: "/api/v1/performance/capacity/bottlenecks",
        summary: "Where the platform is held up, worst first.",
        does: "identify bottlenecks",
        params: &[TARGET],
        answer: (JSON, "[PerformanceBottleneck]"),
        serve: || get(capacity::bottlenecks),
    },
];
