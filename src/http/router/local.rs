//! Rows of the Unix socket alone: what the command line asks beside the API.

use axum::routing::{get, post};

use super::params::{BEFORE, MONTHS, STEP, TARGET};
use super::{JSON, Route};
use crate::http::{archive, local, silences, stream, write};

/// The rows, as the description lists them.
pub(super) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/local/status",
        summary: "Targets, their resources and their worst findings, for `plimsoll status`.",
        does: "get status",
        params: &[],
        answer: (JSON, ""),
        serve: || get(local::status),
    },
    Route {
        method: "GET",
        path: "/local/findings",
        summary: "Findings, alerts and blind spots, for `plimsoll check`.",
        does: "get findings",
        params: &[],
        answer: (JSON, ""),
        serve: || get(local::findings),
    },
    Route {
        method: "GET",
        path: "/local/silences",
        summary: "Silences of findings, for `plimsoll check`.",
        does: "list silences",
        params: &[],
        answer: (JSON, ""),
        serve: || get(silences::list),
    },
    Route {
        method: "POST",
        path: "/local/silences",
        summary: "Silences a finding, for `plimsoll check --silence`.",
        does: "silence the finding",
        params: &[],
        answer: (JSON, ""),
        serve: || post(silences::add),
    },
    Route {
        method: "POST",
        path: "/local/unsilence",
        summary: "Takes a silence back, for `plimsoll check --unsilence`.",
        does: "take the silence back",
        params: &[],
        answer: (JSON, ""),
        serve: || post(silences::remove),
    },
    Route {
        method: "GET",
        path: "/local/forecast/{resourceType}",
        summary: "Forecasts of one resource, or of all, for `plimsoll forecast`.",
        does: "forecast capacity",
        params: &[MONTHS, STEP, BEFORE, TARGET],
        answer: (JSON, ""),
        serve: || get(local::forecast),
    },
    Route {
        method: "GET",
        path: "/local/backup",
        summary: "The whole store in one file, for `plimsoll backup`.",
        does: "back up the store",
        params: &[],
        answer: ("application/octet-stream", ""),
        serve: || get(stream::backup),
    },
    Route {
        method: "GET",
        path: "/local/verify",
        summary: "What a check of the whole store finds, for `plimsoll history verify`.",
        does: "check the store",
        params: &[],
        answer: (JSON, ""),
        serve: || get(stream::verify),
    },
    Route {
        method: "GET",
        path: "/local/report",
        summary: "The report in one of its formats, for `plimsoll report`.",
        does: "write the report",
        params: &[],
        answer: ("application/octet-stream", ""),
        serve: || get(local::report),
    },
    Route {
        method: "POST",
        path: write::IMPORT,
        summary: "Takes samples as CSV, for `plimsoll history import`.",
        does: "take samples",
        params: &[],
        answer: (JSON, ""),
        serve: || post(write::import),
    },
    Route {
        method: "GET",
        path: "/local/history/export",
        summary: "The history as a file, for `plimsoll history export`.",
        does: "export the history",
        params: &[],
        answer: ("application/octet-stream", ""),
        serve: || get(archive::export),
    },
    Route {
        method: "GET",
        path: "/local/history/stats",
        summary: "How much the history holds, for `plimsoll history stats`.",
        does: "count the history",
        params: &[],
        answer: (JSON, ""),
        serve: || get(archive::stats),
    },
];
