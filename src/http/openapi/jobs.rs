//! Shapes of `/jobs/…`, written as in `openapi`.

use serde_json::{Value, json};

use super::schema::kind;

/// Where schedules are made.
pub(super) const SCHEDULE: &str = "/api/v1/performance/jobs/schedule";
/// What is sent there.
pub(super) fn schedule_body() -> Value {
    json!({
        "required": true,
        "description": "pattern or every, name and jobType are needed; the rest may be left out. \
            Instants are ISO 8601 or ms since 1970; catchUp is skip, one (default), all or all:N.",
        "content": {"application/json": {"schema": kind("NewSchedule")}},
    })
}

/// Fields of each shape.
pub(super) const SHAPES: &[(&str, &str)] = &[
    ("JobPage", "items [Job], nextCursor text?"),
    (
        "Job",
        "id text, queueName text, name text, data any, opts any, state text, priority whole, \
      progress any, delay whole, timestamp whole, runAt whole, processedOn whole?, \
      finishedOn whole?, attemptsMade whole, attemptsStarted whole, failedReason text?, \
      stacktrace [text], returnvalue any, errors [any], logs [any], worker text?, \
      leaseUntil whole?, cancelling flag, parent any, children [any]",
    ),
    (
        "NewSchedule",
        "name text, pattern text?, every whole?, jobType text, jobName text?, data any, \
      timezone text?, enabled flag?, startAt any, endAt any, limit whole?, jitter whole?, \
      catchUp text?, opts any",
    ),
    (
        "Scheduled",
        "success flag, message text, name text, state text, next whole?, nextLocal text?",
    ),
    (
        "Schedule",
        "name text, pattern text?, every whole?, jobType text, jobName text?, data any, \
      timezone text, enabled flag, startAt whole?, endAt whole?, limit whole?, jitter whole?, \
      catchUp text, opts any, state text, next whole?, nextLocal text?, count whole, \
      last ScheduleRun?, createdAt whole, changedAt whole",
    ),
    (
        "ScheduleRun",
        "tick whole, jobId text, queueName text, timestamp whole, byHand flag, state text?, \
      finishedOn whole?, failedReason text?",
    ),
    ("Tick", "tick whole, runAt whole, local text"),
];
