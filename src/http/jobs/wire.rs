//! Shapes of `/jobs/…`. Names are BullMQ's where BullMQ has the thing; its times are ms since 1970.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};

use crate::http::guard::Role;
use crate::model::job::{AttemptError, Job, JobOptions, JobRef, JobState, LogLine, Payload};
use crate::model::job::{MASK, QueueConfig, QueueName};
use crate::model::units::{Millis, Timestamp};
use crate::queue::{Added, Alarm, Claimed, Counts, Enqueued, Recent};

/// One queue, by the specification's names and more.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobMetrics {
    queue_name: String,
    waiting: u64,
    active: u64,
    completed: u64,
    failed: u64,
    delayed: u64,
    paused: bool,
    avg_processing_time: Option<f64>,
    avg_wait_time: Option<f64>,
    throughput: f64,
    processing_time_p50: Option<f64>,
    processing_time_p95: Option<f64>,
    processing_time_p99: Option<f64>,
    wait_time_p50: Option<f64>,
    wait_time_p95: Option<f64>,
    wait_time_p99: Option<f64>,
    waiting_children: u64,
    completed_kept: u64,
    failed_total: u64,
    dead: u64,
    cancelled: u64,
    next_waiting_age_ms: Option<u64>,
    dead_letter_alert: bool,
}

pub(super) fn metrics(
    name: &QueueName,
    counts: &Counts,
    recent: &Recent,
    now: Timestamp,
) -> JobMetrics {
    let age = |at: Timestamp| u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX);
    JobMetrics {
        queue_name: name.to_string(),
        waiting: counts.waiting,
        active: counts.active,
        completed: counts.completed_total,
        failed: counts.failed + counts.dead,
        delayed: counts.delayed,
        paused: counts.paused,
        avg_processing_time: recent.processing.mean,
        avg_wait_time: recent.wait.mean,
        throughput: recent.throughput.0,
        processing_time_p50: recent.processing.p50,
        processing_time_p95: recent.processing.p95,
        processing_time_p99: recent.processing.p99,
        wait_time_p50: recent.wait.p50,
        wait_time_p95: recent.wait.p95,
        wait_time_p99: recent.wait.p99,
        waiting_children: counts.waiting_children,
        completed_kept: counts.completed,
        failed_total: counts.failed_total,
        dead: counts.dead,
        cancelled: counts.cancelled,
        next_waiting_age_ms: counts.oldest_waiting.map(age),
        dead_letter_alert: counts.alarming().is_some(),
    }
}

/// What somebody should look at.
pub(super) fn alarm(alarm: &Alarm) -> Value {
    json!({
        "queueName": alarm.queue.as_str(),
        "kind": alarm.kind.name(),
        "severity": "warning",
        "message": alarm.message,
        "since": alarm.since.as_millis(),
    })
}

/// A queue's settings with what follows from them.
pub(super) fn config(name: &QueueName, config: &QueueConfig) -> Value {
    let mut shown = serde_json::to_value(config).unwrap_or_default();
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("name".to_owned(), json!(name.as_str()));
        if let Some(hook) = fields.get_mut("webhook").and_then(Value::as_object_mut) {
            hook.insert("secret".to_owned(), json!(MASK));
        }
        if let Some(letters) = fields.get_mut("deadLetter").and_then(Value::as_object_mut) {
            letters.insert(
                "name".to_owned(),
                json!(config.dead_letter_name(name.as_str())),
            );
        }
    }
    shown
}

/// A job.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobView<'j> {
    id: &'j str,
    queue_name: &'j str,
    name: &'j str,
    data: Cow<'j, Payload>,
    opts: &'j JobOptions,
    state: JobState,
    priority: u32,
    progress: Option<Cow<'j, Payload>>,
    delay: u64,
    timestamp: i64,
    run_at: i64,
    processed_on: Option<i64>,
    finished_on: Option<i64>,
    attempts_made: u32,
    attempts_started: u32,
    failed_reason: Option<&'j str>,
    stacktrace: Vec<&'j str>,
    returnvalue: Option<Cow<'j, Payload>>,
    errors: &'j [AttemptError],
    logs: Cow<'j, [LogLine]>,
    worker: Option<&'j str>,
    lease_until: Option<i64>,
    cancelling: bool,
    parent: Option<&'j JobRef>,
    children: &'j [JobRef],
}

/// A job that was given out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClaimedView<'j> {
    job: JobView<'j>,
    lease_until: i64,
    token: &'j str,
}

pub(super) fn claimed(one: &Claimed) -> ClaimedView<'_> {
    ClaimedView {
        job: job(&one.job, Role::Operator),
        lease_until: one.lease.until.as_millis(),
        token: &one.lease.token,
    }
}

/// What became of a job that was sent.
#[derive(Debug, Serialize)]
pub(super) struct AddedView<'j> {
    id: &'j str,
    state: Option<JobState>,
    added: &'static str,
}

pub(super) fn added(one: &Enqueued) -> AddedView<'_> {
    AddedView {
        id: &one.id,
        state: one.state,
        added: match one.added {
            Added::New => "new",
            Added::Same => "same",
            Added::Deduplicated => "deduplicated",
        },
    }
}

/// A job, for whoever looks at it.
pub(super) fn job(job: &Job, role: Role) -> JobView<'_> {
    let shown = |payload| seen_by(role, payload);
    let ms = Timestamp::as_millis;
    let last = job.errors.last();
    let stacks = job.errors.iter();
    JobView {
        id: &job.id,
        queue_name: job.queue.as_str(),
        name: &job.name,
        data: shown(&job.data),
        opts: &job.opts,
        state: job.state,
        priority: job.priority,
        progress: job.progress.as_ref().map(shown),
        delay: job.opts.delay.unwrap_or(Millis(0)).0,
        timestamp: ms(job.created_at),
        run_at: ms(job.run_at),
        processed_on: job.claimed_at.map(ms),
        finished_on: job.finished_at.map(ms),
        attempts_made: job.attempts_made,
        attempts_started: job.attempts_started,
        failed_reason: last.map(|error| error.failure.message.as_str()),
        stacktrace: stacks
            .filter_map(|error| error.failure.stack.as_deref())
            .collect(),
        returnvalue: job.result.as_ref().map(shown),
        errors: &job.errors,
        logs: match role {
            Role::Operator => Cow::Borrowed(&job.logs),
            Role::Viewer => job.logs.iter().map(masked_line).collect(),
        },
        worker: job.lease.as_ref().map(|lease| lease.worker.as_str()),
        lease_until: job.lease.as_ref().map(|lease| ms(lease.until)),
        cancelling: job.cancelling,
        parent: job.parent.as_ref(),
        children: &job.children,
    }
}

pub(super) fn seen_by(role: Role, payload: &Payload) -> Cow<'_, Payload> {
    match role {
        Role::Operator => Cow::Borrowed(payload),
        Role::Viewer => {
            let mut value = serde_json::from_str(payload.text()).unwrap_or_default();
            mask(&mut value);
            Cow::Owned(Payload::of(&value).unwrap_or_default())
        }
    }
}

/// Leaves fields and shape, and nothing of what they hold.
fn mask(value: &mut Value) {
    match value {
        Value::Null => {}
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Object(fields) => fields.values_mut().for_each(mask),
        other => *other = json!("***"),
    }
}

fn masked_line(line: &LogLine) -> LogLine {
    LogLine::new(line.at, "***".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_sees_the_shape_of_a_payload_alone() {
        let text = r#"{"to":"a@b.c","n":[1,null,{"ok":true}]}"#;
        let payload: Payload = serde_json::from_str(text).unwrap();
        assert_eq!(seen_by(Role::Operator, &payload).text(), text);
        let masked = seen_by(Role::Viewer, &payload).into_owned();
        let value: Value = serde_json::from_str(masked.text()).unwrap();
        assert_eq!(
            value,
            json!({"to": "***", "n": ["***", null, {"ok": "***"}]})
        );
    }
}
