//! `/jobs/schedule` and `/jobs/schedules…`: jobs that come again and again.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde::Serialize;
use serde_json::{Value, json};

use super::wire::seen_by;
use super::{queues, read, success};
use crate::http::Site;
use crate::http::ask::Ask;
use crate::http::body::Answer;
use crate::http::error::Refusal;
use crate::http::guard::Role;
use crate::model::job::{JobOptions, JobState, NewSchedule, Payload};
use crate::model::units::Timestamp;
use crate::queue::schedule::{Shown, Tick};

/// Ticks of a preview unless asked, and at most.
const TICKS: (u32, u32) = (10, 1_000);

/// `POST /jobs/schedule`: makes one, or replaces the one of its name.
pub(in crate::http) async fn post(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Refusal> {
    let asked: NewSchedule = read(&site, &headers, body).await?;
    let shown = queues(&site)?.schedule(asked).await?;
    let schedule = &shown.schedule;
    let answer = json!({
        "success": true,
        "message": "Job scheduled",
        "name": schedule.asked.name,
        "state": schedule.standing().name(),
        "next": schedule.next.map(Timestamp::as_millis),
        "nextLocal": shown.next_local,
    });
    Ok(Answer::json(&answer)?.fleeting())
}

/// `GET /jobs/schedules`.
pub(in crate::http) async fn list(
    State(site): State<Arc<Site>>,
    role: Role,
) -> Result<Answer, Refusal> {
    let all = queues(&site)?.schedules().await?;
    let all: Vec<View<'_>> = all.iter().map(|one| view(one, role)).collect();
    Ok(Answer::json(&all)?.fleeting())
}

/// `GET /jobs/schedules/{name}`.
pub(in crate::http) async fn show(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    role: Role,
) -> Result<Answer, Refusal> {
    let shown = queues(&site)?.one_schedule(&name).await?;
    Ok(Answer::json(&view(&shown, role))?.fleeting())
}

/// `DELETE /jobs/schedules/{name}`: jobs that it enqueued stay.
pub(in crate::http) async fn remove(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
) -> Result<Answer, Refusal> {
    queues(&site)?.unschedule(&name).await?;
    success(&format!("Schedule {name} removed"))
}

/// `POST /jobs/schedules/{name}/pause`.
pub(in crate::http) async fn pause(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
) -> Result<Answer, Refusal> {
    queues(&site)?.enable_schedule(&name, false).await?;
    success(&format!("Schedule {name} paused"))
}

/// `POST /jobs/schedules/{name}/resume`.
pub(in crate::http) async fn resume(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
) -> Result<Answer, Refusal> {
    let shown = queues(&site)?.enable_schedule(&name, true).await?;
    let next = shown.schedule.next.map(Timestamp::as_millis);
    Answer::json(&json!({
        "success": true,
        "message": format!("Schedule {name} resumed"),
        "next": next,
        "nextLocal": shown.next_local,
    }))
}

/// `POST /jobs/schedules/{name}/run`: its job now; the next tick stays.
pub(in crate::http) async fn run(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
) -> Result<Answer, Refusal> {
    let queues = queues(&site)?;
    let queue = queues.one_schedule(&name).await?.schedule.asked.job_type;
    let added = queues.run_schedule(&name).await?;
    let answer = Answer::json(&json!({
        "success": true,
        "message": format!("Schedule {name} runs as job {}", added.id),
        "id": added.id,
        "queueName": queue.as_str(),
        "state": added.state,
    }))?;
    Ok(answer.created())
}

/// `GET /jobs/schedules/{name}/next`.
pub(in crate::http) async fn next(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    ask: Ask,
) -> Result<Answer, Refusal> {
    let many = ask.number("n", TICKS.0, (1, TICKS.1))? as usize;
    let ticks = queues(&site)?.preview(&name, many).await?;
    let ticks: Vec<Value> = ticks.iter().map(tick).collect();
    Ok(Answer::json(&ticks)?.fleeting())
}

fn tick(tick: &Tick) -> Value {
    json!({
        "tick": tick.at.as_millis(),
        "runAt": tick.runs_at.as_millis(),
        "local": tick.local,
    })
}

/// A schedule: as it was asked for, by the specification's names, and what is known about it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'s> {
    name: &'s str,
    pattern: Option<&'s str>,
    every: Option<u64>,
    job_type: &'s str,
    job_name: Option<&'s str>,
    data: Cow<'s, Payload>,
    timezone: &'s str,
    enabled: bool,
    start_at: Option<i64>,
    end_at: Option<i64>,
    limit: Option<u64>,
    jitter: Option<u64>,
    catch_up: String,
    opts: &'s JobOptions,
    state: &'static str,
    next: Option<i64>,
    next_local: Option<&'s str>,
    count: u64,
    last: Option<Run<'s>>,
    created_at: i64,
    changed_at: i64,
}

/// A run of a schedule.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'s> {
    tick: i64,
    job_id: &'s str,
    queue_name: &'s str,
    timestamp: i64,
    by_hand: bool,
    state: Option<JobState>,
    finished_on: Option<i64>,
    failed_reason: Option<&'s str>,
}

fn view(shown: &Shown, role: Role) -> View<'_> {
    let ms = Timestamp::as_millis;
    let (schedule, asked) = (&shown.schedule, &shown.schedule.asked);
    View {
        name: &asked.name,
        pattern: asked.pattern.as_deref(),
        every: asked.every.map(|every| every.0),
        job_type: asked.job_type.as_str(),
        job_name: asked.job_name.as_deref(),
        data: seen_by(role, &asked.data),
        timezone: &asked.timezone,
        enabled: asked.enabled != Some(false),
        start_at: asked.start_at.map(ms),
        end_at: asked.end_at.map(ms),
        limit: asked.limit,
        jitter: asked.jitter.map(|jitter| jitter.0),
        catch_up: asked.catch_up.to_string(),
        opts: &asked.opts,
        state: schedule.standing().name(),
        next: schedule.next.map(ms),
        next_local: shown.next_local.as_deref(),
        count: schedule.count,
        last: schedule.last.as_ref().map(|last| Run {
            tick: ms(last.tick),
            job_id: &last.job_id,
            queue_name: last.queue.as_str(),
            timestamp: ms(last.at),
            by_hand: last.by_hand,
            state: shown.last_state,
            finished_on: last.ended.as_ref().map(|ended| ms(ended.at)),
            failed_reason: shown.last_reason.as_deref(),
        }),
        created_at: ms(schedule.created_at),
        changed_at: ms(schedule.changed_at),
    }
}
