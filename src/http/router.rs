//! The API in one table: method, path, handler, summary.
//!
//! `openapi` describes exactly these rows, and the own latency is counted by their paths.

mod jobs;
mod params;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{self, Next};
use axum::routing::{MethodRouter, get, post};

use super::error::Refusal;
use super::{
    Site, archive, capacity, database, front, latency, local, metrics, openapi, pages, prom,
    silences, statements, stream, what_if, write,
};

pub use jobs::JOB_ROUTES;
use params::{
    BEFORE, DATABASE, INSTANT, MONTHS, RANGE, RESOURCE, ROLE, SCENARIO, SELECTORS, START, STEP,
    TARGET, WHICH, WINDOW,
};

/// A parameter of a route.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// As in the path or the query.
    pub name: &'static str,
    /// `path` or `query`.
    pub place: &'static str,
    /// What it takes; bounds and the default are said here.
    pub about: &'static str,
}

/// One row of the API.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// GET (and with it HEAD), POST, PUT or DELETE; a path that takes several has a row for each.
    pub method: &'static str,
    /// With `{…}` for parameters.
    pub path: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// What fails when it fails: `error` is `Failed to …`, as the original's clients read it.
    pub does: &'static str,
    /// What it takes.
    pub params: &'static [Param],
    /// Media type and schema of the answer; the schema is empty where it is no JSON.
    pub answer: (&'static str, &'static str),
    serve: fn() -> MethodRouter<Arc<Site>>,
}

const JSON: &str = "application/json";

/// Where it is asked how forecasts held.
pub const FORECAST_REVIEW: &str = "/api/v1/performance/capacity/forecast-review";

/// Where deploys are marked.
pub const DEPLOYS: &str = "/api/v1/performance/database/deploys";

/// Where scenarios are asked about.
pub const WHAT_IF: &str = "/api/v1/performance/capacity/what-if";

/// Every route that is served over TCP, but for the queues' ([`JOB_ROUTES`]).
pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/api/v1/performance/database/size",
        summary: "Size of the database, and of all others of the server.",
        does: "get database size",
        params: &[TARGET],
        answer: (JSON, "DatabaseSize"),
        serve: || get(database::size),
    },
    Route {
        method: "GET",
        path: "/api/v1/performance/database/table-stats/{tableName}",
        summary: "Size and counters of one table.",
        does: "get table statistics",
        params: &[
            Param {
                name: "tableName",
                place: "path",
                about: "as it is called, or as SQL writes it: Lead, \"Lead\", public.\"Lead\"",
            },
            TARGET,
        ],
        answer: (JSON, "TableStats"),
        serve: || get(database::table_stats),
    },
    Route {
        method: "GET",
        path: "/api/v1/performance/database/connection-pool",
        summary: "Connections by state, against the server's limit.",
        does: "get connection pool metrics",
        params: &[TARGET],
        answer: (JSON, "ConnectionPool"),
        serve: || get(database::connection_pool),
    },
    Route {
        method: "GET",
        path: "/api/v1/performance/database/slow-queries",
        summary: "Statements by mean, total or longest time, or by calls.",
        does: "get slow queries",
        params: &[
            Param {
                name: "limit",
                place: "query",
                about: "how many, 1 to 1000; default 10",
            },
            Param {
                name: "order",
                place: "query",
                about: "mean (default), total, max, calls, io, temp, wal or rows",
            },
            Param {
                name: "window",
                place: "query",
                about: "only what ran in this time, such as 1h; default: since the counters began",
            },
            DATABASE,
            ROLE,
            TARGET,
        ],
        answer: (JSON, "[SlowQuery]"),
        serve: || get(database::slow_queries),
    },
    Route {
        method: "GET",
        path: "/api/v1/performance/database/statements",
        summary: "What statements cost over a span, from the history, and which became slower.",
        does: "rank statements",
        params: &[
            Param {
                name: "by",
                place: "query",
                about: "total (default), mean, calls, io, temp, wal or rows",
            },
            WINDOW,
            Param {
                name: "limit",
                place: "query",
                about: "how many, 1 to 1000; default 20",
            },
            DATABASE,
            ROLE,
            TARGET,
        ],
        answer: (JSON, "StatementRanking"),
        serve: || get(statements::ranking),
    },
    Route {
        method: "GET",
        path: "/api/v1/performance/database/statements/{queryid}",
        summary: "One statement over a span, step by step.",
        does: "get the statement",
        params: &[
            Param {
                name: "queryid",
                place: "path",
                about: "as the ranking gives it",
            },
            WINDOW,
            TARGET,
        ],
        answer: (JSON, "StatementHistory"),
        serve: || get(statements::history),
    },
    Route {
        method: "GET",
        path: DEPLOYS,
        summary: "Marks of deploys, oldest first.",
        does: "list deploys",
        params: &[],
        answer: (JSON, "[DeployMark]"),
        serve: || get(statements::deploys),
    },
    Route {
        method: "POST",
        path: DEPLOYS,
        summary: "Marks a deploy: {\"name\": \"v2.1\"}; statements are compared with what they took before.",
        does: "mark the deploy",
        params: &[],
        answer: (JSON, "DeployMark"),
        serve: || post(statements::mark),
    },
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

/// Routes of the Unix socket alone: what the command line asks beside the API.
pub const LOCAL_ROUTES: &[Route] = &[
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

/// The row that answered, for the own latency and the error text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matched(pub(super) &'static Route);

/// Every route that is served over TCP, the queues' among them.
pub fn all_routes() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().chain(JOB_ROUTES)
}

/// What is served over TCP: the host and, where one is set, the token are checked.
pub fn router(site: &Arc<Site>) -> Router {
    let routes = all_routes().fold(Router::new(), with);
    guarded(routes, site, front::over_tcp)
}

/// What is served on the Unix socket: the folder's rights are the guard.
pub fn local_router(site: &Arc<Site>) -> Router {
    let rows = all_routes().chain(LOCAL_ROUTES);
    guarded(rows.fold(Router::new(), with), site, front::over_socket)
}

fn with(router: Router<Arc<Site>>, route: &'static Route) -> Router<Arc<Site>> {
    let tag = move |request: Request, next: Next| async move {
        let mut response = next.run(request).await;
        response.extensions_mut().insert(Matched(route));
        response
    };
    router.route(route.path, (route.serve)().layer(middleware::from_fn(tag)))
}

fn guarded<F, R>(routes: Router<Arc<Site>>, site: &Arc<Site>, guard: F) -> Router
where
    F: Fn(axum::extract::State<Arc<Site>>, Request, Next) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = axum::response::Response> + Send + 'static,
{
    routes
        .fallback(|| async { Refusal::UnknownPath })
        .method_not_allowed_fallback(|| async { Refusal::Method })
        .layer(DefaultBodyLimit::max(site.settings.max_body_bytes))
        .layer(middleware::from_fn_with_state(site.clone(), guard))
        .with_state(site.clone())
}
