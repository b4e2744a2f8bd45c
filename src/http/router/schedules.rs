//! Rows of `/jobs/schedule` and `/jobs/schedules…`.

use axum::routing::{delete, get, post};

use super::{JSON, Param, Route};
use crate::http::jobs::schedules;

const NAME: Param = Param {
    name: "name",
    place: "path",
    about: "the schedule's name, percent-encoded",
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
        params: &[NAME],
        answer: (JSON, "Success"),
        serve: || get(schedules::list),
    }
}

/// Every route of the schedules.
pub(super) const ROUTES: &[Route] = &[
    Route {
        params: &[],
        answer: (JSON, "Scheduled"),
        serve: || post(schedules::post),
        ..row(
            "POST",
            "/api/v1/performance/jobs/schedule",
            "Makes a schedule (JobSchedule, or every, startAt, endAt, limit, jitter, catchUp, opts), or replaces the one of its name.",
            "schedule the job",
        )
    },
    Route {
        params: &[],
        answer: (JSON, "[Schedule]"),
        ..row(
            "GET",
            "/api/v1/performance/jobs/schedules",
            "All schedules with their next tick and their last run.",
            "list schedules",
        )
    },
    Route {
        answer: (JSON, "Schedule"),
        serve: || get(schedules::show),
        ..row(
            "GET",
            "/api/v1/performance/jobs/schedules/{name}",
            "One schedule with its next tick and its last run.",
            "get the schedule",
        )
    },
    Route {
        serve: || delete(schedules::remove),
        ..row(
            "DELETE",
            "/api/v1/performance/jobs/schedules/{name}",
            "Removes a schedule; jobs that it enqueued stay.",
            "remove the schedule",
        )
    },
    Route {
        serve: || post(schedules::pause),
        ..row(
            "POST",
            "/api/v1/performance/jobs/schedules/{name}/pause",
            "Lets a schedule rest.",
            "pause the schedule",
        )
    },
    Route {
        serve: || post(schedules::resume),
        ..row(
            "POST",
            "/api/v1/performance/jobs/schedules/{name}/resume",
            "Lets a schedule run from its next tick on; nothing is made up for.",
            "resume the schedule",
        )
    },
    Route {
        serve: || post(schedules::run),
        ..row(
            "POST",
            "/api/v1/performance/jobs/schedules/{name}/run",
            "Enqueues a schedule's job now: 201 with its id; the next tick stays.",
            "run the schedule",
        )
    },
    Route {
        params: &[
            NAME,
            Param {
                name: "n",
                place: "query",
                about: "how many, 1 to 1000; default 10",
            },
        ],
        answer: (JSON, "[Tick]"),
        serve: || get(schedules::next),
        ..row(
            "GET",
            "/api/v1/performance/jobs/schedules/{name}/next",
            "The next ticks, when their jobs may run, and what the zone's clocks show.",
            "preview the schedule",
        )
    },
];
