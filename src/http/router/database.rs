//! Rows of `/database/…`.

use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use super::params::{DATABASE, ROLE, TARGET, WINDOW};
use super::{JSON, Param, Route};
use crate::http::{database, explain, maintain, statements, strategy};

/// Where deploys are marked.
const DEPLOYS: &str = "/api/v1/performance/database/deploys";

const WAIT: Param = Param {
    name: "wait",
    place: "query",
    about: "seconds to wait for its end, 0 to 55; default 10, then 202 with the job's id",
};

/// The rows, as the description lists them.
pub(super) const ROUTES: &[Route] = &[
    Route {
        method: "POST",
        path: explain::ANALYZE,
        summary: "Explains one statement: its plan with figures, what to mend, what it is expected to take.",
        does: "analyze query",
        params: &[TARGET],
        answer: (JSON, "QueryOptimizationResult"),
        serve: || post(explain::analyze).layer(DefaultBodyLimit::max(explain::BODY_MAX)),
    },
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
        method: "POST",
        path: "/api/v1/performance/database/optimize-table/{tableName}",
        summary: "Vacuums and analyzes one table as a job, where the target allows it.",
        does: "optimize table",
        params: &[
            Param {
                name: "tableName",
                place: "path",
                about: "as it is called, or as SQL writes it: Lead, \"Lead\", public.\"Lead\"",
            },
            WAIT,
            TARGET,
        ],
        answer: (JSON, "Optimized"),
        serve: || post(maintain::optimize),
    },
    Route {
        method: "POST",
        path: maintain::ARCHIVE,
        summary: "Moves, copies or deletes old rows of a table as a job, where the target allows it.",
        does: "archive data",
        params: &[WAIT, TARGET],
        answer: (JSON, "DataArchivalResult"),
        serve: || post(maintain::archive),
    },
    Route {
        method: "POST",
        path: maintain::PREVIEW,
        summary: "Counts what an archive would do, and writes nothing.",
        does: "preview an archive",
        params: &[TARGET],
        answer: (JSON, "ArchivalPreview"),
        serve: || post(maintain::preview),
    },
    Route {
        method: "GET",
        path: "/api/v1/performance/audit",
        summary: "What was written to targets, newest first.",
        does: "list writes to targets",
        params: &[
            Param {
                name: "limit",
                place: "query",
                about: "how many, 1 to 1000; default 50",
            },
            Param {
                name: "target",
                place: "query",
                about: "only of this target; default: of all",
            },
        ],
        answer: (JSON, "AuditLog"),
        serve: || get(maintain::audit),
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
        path: "/api/v1/performance/database/indexing-strategy",
        summary: "Indexes of each table, and which to build and to drop for the statements counted.",
        does: "get the indexing strategy",
        params: &[TARGET],
        answer: (JSON, "[TableStrategy]"),
        serve: || get(strategy::indexing),
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
];
