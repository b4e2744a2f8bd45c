//! Rows of the page, and of what tells whether the server is well.

use axum::routing::get;

use super::params::{SCENARIO, TARGET};
use super::{JSON, Param, Route};
use crate::http::{openapi, pages, what_if};

/// The rows, as the description lists them.
pub(super) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/healthz",
        summary: "Whether the process answers; it asks nobody else.",
        does: "get health",
        params: &[],
        answer: (JSON, "Health"),
        serve: || get(pages::healthz),
    },
    Route {
        method: "GET",
        path: "/readyz",
        summary: "Whether collecting runs and the history can be written; 503 where not.",
        does: "get readiness",
        params: &[],
        answer: (JSON, "Readiness"),
        serve: || get(pages::readyz),
    },
    Route {
        method: "GET",
        path: "/openapi.json",
        summary: "This description.",
        does: "describe the API",
        params: &[],
        answer: (JSON, ""),
        serve: || get(openapi::serve),
    },
    Route {
        method: "GET",
        path: "/",
        summary: "The dashboard page.",
        does: "draw the page",
        params: &[
            TARGET,
            Param {
                name: "fragment",
                place: "query",
                about: "main: only the part that changes",
            },
        ],
        answer: ("text/html", ""),
        serve: || get(pages::dashboard),
    },
    Route {
        method: "GET",
        path: "/ui/what-if",
        summary: "The chart of one resource under a scenario, for the page.",
        does: "draw what if",
        params: SCENARIO,
        answer: ("text/html", ""),
        serve: || get(what_if::drawn),
    },
    Route {
        method: "GET",
        path: "/ui/app.js",
        summary: "The page's script.",
        does: "get the script",
        params: &[],
        answer: ("text/javascript", ""),
        serve: || get(pages::script),
    },
    Route {
        method: "GET",
        path: "/ui/style.css",
        summary: "The page's style.",
        does: "get the style",
        params: &[],
        answer: ("text/css", ""),
        serve: || get(pages::style),
    },
];
