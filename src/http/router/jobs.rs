//! Rows of `/jobs/…`.

use axum::routing::{delete, get, post, put};

use super::{JSON, Param, Route};
use crate::http::jobs;
use crate::http::jobs::{enqueue, events, letters, work};

const QUEUE: Param = Param {
    name: "queue",
    place: "path",
    about: "the queue's name: letters, digits, dots, dashes, colons, underscores",
};
const ID: Param = Param {
    name: "id",
    place: "path",
    about: "the job's id, percent-encoded",
};
const CURSOR: Param = Param {
    name: "cursor",
    place: "query",
    about: "where the list goes on: nextCursor, or the Link header, of the page before",
};
const LIMIT: Param = Param {
    name: "limit",
    place: "query",
    about: "at most so many",
};
const NAME: Param = Param {
    name: "name",
    place: "query",
    about: "jobs of this name",
};
const ERROR: Param = Param {
    name: "error",
    place: "query",
    about: "jobs whose last error says this, in its name or message",
};
const FROM: Param = Param {
    name: "from",
    place: "query",
    about: "jobs that ended at or after this day or instant",
};
const UNTIL: Param = Param {
    name: "until",
    place: "query",
    about: "jobs that ended before this day or instant",
};
const RATE: Param = Param {
    name: "rate",
    place: "query",
    about: "jobs per second that come up again; default: all at once",
};

const fn row(
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    does: &'static str,
) -> Route {
    Route {
        method,
        path,
        summary,
        does,
        params: &[QUEUE],
        answer: (JSON, ""),
        serve: || get(jobs::metrics),
    }
}

/// Every route of the queues.
pub(super) const ROUTES: &[Route] = &[
    Route {
        params: &[Param {
            name: "queue",
            place: "query",
            about: "one queue; default: an array of all",
        }],
        answer: (JSON, ""),
        ..row(
            "GET",
            "/api/v1/performance/jobs/metrics",
            "Jobs by state, throughput over a minute, times over 15, of one queue or all (JobMetrics).",
            "get job metrics",
        )
    },
    Route {
        params: &[],
        serve: || get(jobs::alerts),
        ..row(
            "GET",
            "/api/v1/performance/jobs/alerts",
            "What needs a look now: dead letters over their threshold, webhooks that do not answer.",
            "list alerts of the queues",
        )
    },
    Route {
        serve: || post(enqueue::post),
        ..row(
            "POST",
            "/api/v1/performance/jobs/{queue}",
            "Adds a job, a job with children, or an array of jobs: 201, or 200 for one that is there.",
            "add the job",
        )
    },
    Route {
        params: &[
            QUEUE,
            Param {
                name: "state",
                place: "query",
                about: "waiting (default), delayed, waiting-children, active, completed, failed, dead or cancelled",
            },
            CURSOR,
            LIMIT,
            NAME,
            ERROR,
            FROM,
            UNTIL,
        ],
        answer: (JSON, "JobPage"),
        serve: || get(jobs::list),
        ..row(
            "GET",
            "/api/v1/performance/jobs/{queue}",
            "Jobs of one state: those that wait in their order, those that ended newest first.",
            "list jobs",
        )
    },
    Route {
        answer: (JSON, "Success"),
        serve: || post(jobs::pause),
        ..row(
            "POST",
            "/api/v1/performance/jobs/{queue}/pause",
            "Nothing of the queue is claimed any more; what runs goes on.",
            "pause the queue",
        )
    },
    Route {
        answer: (JSON, "Success"),
        serve: || post(jobs::resume),
        ..row(
            "POST",
            "/api/v1/performance/jobs/{queue}/resume",
            "Claims go on.",
            "resume the queue",
        )
    },
    Route {
        params: &[QUEUE, LIMIT, NAME, ERROR, FROM, UNTIL, RATE],
        serve: || post(jobs::retry_failed),
        ..row(
            "POST",
            "/api/v1/performance/jobs/{queue}/retry-failed",
            "Takes up failed and dead jobs again, attempts reset, priority kept; says how many.",
            "retry failed jobs",
        )
    },
    Route {
        params: &[
            QUEUE,
            Param {
                name: "delayed",
                place: "query",
                about: "true: delayed jobs go, too",
            },
        ],
        serve: || post(jobs::drain),
        ..row(
            "POST",
            "/api/v1/performance/jobs/{queue}/drain",
            "Removes the jobs that wait.",
            "drain the queue",
        )
    },
    Route {
        params: &[
            QUEUE,
            Param {
                name: "force",
                place: "query",
                about: "true: active jobs go, too",
            },
        ],
        serve: || post(jobs::obliterate),
        ..row(
            "POST",
            "/api/v1/performance/jobs/{queue}/obliterate",
            "Removes the queue with all its jobs.",
            "obliterate the queue",
        )
    },
    Route {
        serve: || get(jobs::config),
        ..row(
            "GET",
            "/api/v1/performance/jobs/{queue}/config",
            "The queue's settings (JobQueueConfig).",
            "get the queue's settings",
        )
    },
    Route {
        serve: || put(jobs::configure),
        ..row(
            "PUT",
            "/api/v1/performance/jobs/{queue}/config",
            "Sets the queue, and makes it if need be; what is left out is as by default.",
            "set the queue",
        )
    },
    Route {
        serve: || post(work::claim),
        ..row(
            "POST",
            "/api/v1/performance/jobs/{queue}/claim",
            "Gives out up to max jobs (1) under leases of leaseMs, after waitMs (0, at most 30000) at most.",
            "claim jobs",
        )
    },
    Route {
        serve: || post(work::settle_many),
        ..row(
            "POST",
            "/api/v1/performance/jobs/{queue}/settle",
            "Ends up to 1000 attempts at once: [{id, token, returnvalue | error | release}]; 207 if some are refused.",
            "settle the jobs",
        )
    },
    Route {
        answer: ("text/event-stream", ""),
        serve: || get(events::listen),
        ..row(
            "GET",
            "/api/v1/performance/jobs/{queue}/events",
            "What happens in the queue, as server-sent events.",
            "listen to the queue",
        )
    },
    Route {
        params: &[QUEUE, CURSOR, LIMIT, NAME, ERROR, FROM, UNTIL],
        answer: (JSON, "[Job]"),
        serve: || get(letters::list),
        ..row(
            "GET",
            "/api/v1/performance/jobs/{queue}/dead-letter",
            "Dead letters, newest first, with the error of each attempt.",
            "get dead letter jobs",
        )
    },
    Route {
        params: &[QUEUE, LIMIT, NAME, ERROR, FROM, UNTIL, RATE],
        serve: || post(letters::replay),
        ..row(
            "POST",
            "/api/v1/performance/jobs/{queue}/dead-letter/replay",
            "Takes up dead letters again, oldest first, at a bounded rate.",
            "replay dead letters",
        )
    },
    Route {
        params: &[QUEUE, CURSOR, NAME, ERROR, FROM, UNTIL],
        answer: ("application/x-ndjson", ""),
        serve: || get(letters::export),
        ..row(
            "GET",
            "/api/v1/performance/jobs/{queue}/dead-letter/export",
            "Dead letters as JSON, a line each.",
            "export dead letters",
        )
    },
    Route {
        params: &[QUEUE, ID],
        answer: (JSON, "Job"),
        serve: || get(jobs::show),
        ..row(
            "GET",
            "/api/v1/performance/jobs/{queue}/{id}",
            "One job with all that is known about it.",
            "get the job",
        )
    },
    Route {
        params: &[QUEUE, ID],
        serve: || delete(jobs::remove),
        ..row(
            "DELETE",
            "/api/v1/performance/jobs/{queue}/{id}",
            "Removes a job that nobody works on.",
            "remove the job",
        )
    },
    Route {
        params: &[QUEUE, ID],
        serve: || post(jobs::retry),
        ..row(
            "POST",
            "/api/v1/performance/jobs/{queue}/{id}/retry",
            "Takes up a failed, dead or cancelled job again.",
            "retry the job",
        )
    },
    Route {
        params: &[QUEUE, ID],
        serve: || post(jobs::promote),
        ..row(
            "POST",
            "/api/v1/performance/jobs/{queue}/{id}/promote",
            "Lets a delayed job run now.",
            "promote the job",
        )
    },
    Route {
        params: &[QUEUE, ID],
        serve: || post(jobs::cancel),
        ..row(
            "POST",
            "/api/v1/performance/jobs/{queue}/{id}/cancel",
            "Calls a job off; an active one hears of it at its next heartbeat.",
            "cancel the job",
        )
    },
    Route {
        params: &[QUEUE, ID],
        serve: || post(work::heartbeat),
        ..row(
            "POST",
            "/api/v1/performance/jobs/{queue}/{id}/heartbeat",
            "Lets a lease go on: {token, leaseMs}; says whether the job is to be called off.",
            "extend the lease",
        )
    },
    Route {
        params: &[QUEUE, ID],
        serve: || post(work::progress),
        ..row(
            "POST",
            "/api/v1/performance/jobs/{queue}/{id}/progress",
            "Notes how far a job is, and a line for its log: {token, progress, text}.",
            "note the progress",
        )
    },
    Route {
        params: &[QUEUE, ID],
        serve: || post(work::complete),
        ..row(
            "POST",
            "/api/v1/performance/jobs/{queue}/{id}/complete",
            "The job is done: {token, returnvalue}.",
            "complete the job",
        )
    },
    Route {
        params: &[QUEUE, ID],
        serve: || post(work::fail),
        ..row(
            "POST",
            "/api/v1/performance/jobs/{queue}/{id}/fail",
            "The attempt failed: {token, error: {name, message, stack, retryable}}.",
            "fail the attempt",
        )
    },
    Route {
        params: &[QUEUE, ID],
        serve: || post(work::release),
        ..row(
            "POST",
            "/api/v1/performance/jobs/{queue}/{id}/release",
            "Gives a job back untouched: {token}.",
            "release the job",
        )
    },
];
