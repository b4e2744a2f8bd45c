//! Rows of `/load-tests`.

use axum::routing::get;

use super::{JSON, Param, Route};
use crate::http::load_tests;

/// The rows, as the description lists them.
pub(super) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/api/v1/performance/load-tests",
        summary: "Load tests that ran as jobs, in short, newest first.",
        does: "list load tests",
        params: &[Param {
            name: "limit",
            place: "query",
            about: "at most so many, 1 to 100; default 20",
        }],
        answer: (JSON, "LoadTestList"),
        serve: || get(load_tests::list),
    },
    Route {
        method: "GET",
        path: "/api/v1/performance/load-tests/{id}",
        summary: "One load test with its stages, endpoints, timeline and thresholds (LoadTestResults).",
        does: "get the load test",
        params: &[Param {
            name: "id",
            place: "path",
            about: "the result's id, as the list or the job's returnvalue has it",
        }],
        answer: (JSON, "LoadTestResults"),
        serve: || get(load_tests::one),
    },
];
