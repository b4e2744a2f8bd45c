//! `/jobs/…`: queues over HTTP, for those who send jobs, those who do them and those who look after them.
//!
//! For: reading requests and showing answers. Not for: what a verb does (`queue`). Read [`list`]
//! and [`enqueue`] first; `work` is the worker's side, `letters` the dead letters, `schedules`
//! what comes again, `events` the stream of what happens, `wire` the shapes.

pub(super) mod enqueue;
pub(super) mod events;
pub(super) mod letters;
pub(super) mod overview;
pub(super) mod schedules;
mod wire;
pub(super) mod work;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Site;
use super::ask::Ask;
use super::body::Answer;
use super::error::Refusal;
use super::guard::Role;
use super::write::whole;
use crate::model::job::{JobState, MASK, QueueConfig, QueueName, Secret};
use crate::model::units::counted;
use crate::queue::{Clear, Error, Filter, PageAsk, Queues, Retry, Setting, Verb};
use crate::work::push;

/// One of many answers in one: what was done, or why it was refused.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Part<T> {
    Done(T),
    Refused(Value),
}

/// A page. It is no `json!`, which reads payloads as values that cannot hold all of them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'j> {
    items: Vec<wire::JobView<'j>>,
    next_cursor: Option<&'j str>,
}

/// Where all paths of this module begin.
pub(super) const BASE: &str = "/api/v1/performance/jobs/";
/// The longest body: ten thousand usual jobs.
pub(super) const BODY_MAX: usize = 8 << 20;
/// Jobs on a page unless asked, and at most.
const PAGE: (u32, u32) = (50, 1_000);
/// Dead jobs that one call takes up again.
const RETRY_MAX: u32 = 1_000_000;
/// What such a call may say.
const RETRY: &[&str] = &["name", "error", "from", "until", "limit", "rate"];

/// The queues, if this server has some.
fn queues(site: &Site) -> Result<&Arc<Queues>, Refusal> {
    let none = || Refusal::Internal("this server keeps no jobs".to_owned());
    site.hooks.queues.as_ref().ok_or_else(none)
}

fn named(name: &str) -> Result<QueueName, Refusal> {
    name.parse()
        .map_err(|error| Refusal::from(Error::Invalid(error)))
}

/// The body as JSON; nothing at all reads as an empty object.
async fn read<T: DeserializeOwned>(
    site: &Site,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Refusal> {
    let held = whole(site, headers, body, BODY_MAX).await?;
    let text: &[u8] = match held.bytes() {
        [] => b"{}",
        text => text,
    };
    serde_json::from_slice(text)
        .map_err(|error| Refusal::Body(format!("the body does not read: {error}")))
}

/// `GET /jobs/metrics`.
pub(super) async fn metrics(State(site): State<Arc<Site>>, ask: Ask) -> Result<Answer, Refusal> {
    let queues = queues(&site)?;
    if let Some(name) = ask.text("queue") {
        let name = named(name)?;
        let (counts, recent) = queues.measure(&name).await?;
        return Ok(Answer::json(&wire::metrics(&name, &counts, &recent, queues.now()))?.fleeting());
    }
    let mut all = Vec::new();
    for name in queues.names().await {
        let (counts, recent) = queues.measure(&name).await?;
        all.push(wire::metrics(&name, &counts, &recent, queues.now()));
    }
    Ok(Answer::json(&all)?.fleeting())
}

/// `GET /jobs/alerts`.
pub(super) async fn alerts(State(site): State<Arc<Site>>) -> Result<Answer, Refusal> {
    let alarms = queues(&site)?.alarms().await;
    let alarms: Vec<Value> = alarms.iter().map(wire::alarm).collect();
    Ok(Answer::json(&alarms)?.fleeting())
}

/// `POST /jobs/{queue}/pause`.
pub(super) async fn pause(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    ask: Ask,
) -> Result<Answer, Refusal> {
    ask.only(&[])?;
    let name = named(&name)?;
    queues(&site)?.configure(&name, Setting::Pause).await?;
    success(&format!("Queue {name} paused"))
}

/// `POST /jobs/{queue}/resume`.
pub(super) async fn resume(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    ask: Ask,
) -> Result<Answer, Refusal> {
    ask.only(&[])?;
    let name = named(&name)?;
    queues(&site)?.configure(&name, Setting::Resume).await?;
    success(&format!("Queue {name} resumed"))
}

fn success(message: &str) -> Result<Answer, Refusal> {
    Answer::json(&json!({"success": true, "message": message}))
}

/// `POST /jobs/{queue}/drain`.
pub(super) async fn drain(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    ask: Ask,
) -> Result<Answer, Refusal> {
    ask.only(&["delayed"])?;
    let name = named(&name)?;
    let clear = ask.choice(
        "delayed",
        &[("false", Clear::Waiting), ("true", Clear::Pending)],
        Clear::Waiting,
    )?;
    let removed = queues(&site)?.clear(&name, clear).await?;
    removed_answer(&name, removed)
}

/// `POST /jobs/{queue}/obliterate`.
pub(super) async fn obliterate(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    ask: Ask,
) -> Result<Answer, Refusal> {
    ask.only(&["force"])?;
    let name = named(&name)?;
    let force = ask.choice("force", &[("false", false), ("true", true)], false)?;
    let removed = queues(&site)?
        .clear(&name, Clear::Everything { force })
        .await?;
    removed_answer(&name, removed)
}

fn removed_answer(name: &QueueName, removed: u64) -> Result<Answer, Refusal> {
    let message = format!("{} removed from {name}", counted(removed, "job"));
    Answer::json(&json!({"success": true, "message": message, "removed": removed}))
}

/// `GET /jobs/{queue}/config`.
pub(super) async fn config(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
) -> Result<Answer, Refusal> {
    let name = named(&name)?;
    let (counts, _) = queues(&site)?.measure(&name).await?;
    Answer::json(&wire::config(&name, &counts.config))
}

/// `PUT /jobs/{queue}/config`: the whole of it; what is left out is as by default.
pub(super) async fn configure(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Refusal> {
    let name = named(&name)?;
    let mut given: Value = read(&site, &headers, body).await?;
    // The specification's configuration carries the queue's name.
    let own = given
        .as_object_mut()
        .and_then(|fields| fields.remove("name"));
    if let Some(own) = own.filter(|own| own.as_str() != Some(name.as_str())) {
        return Err(Refusal::Body(format!(
            "name is {own}, the path says {name}; send one name"
        )));
    }
    let mut config: QueueConfig = serde_json::from_value(given)
        .map_err(|error| Refusal::Body(format!("the configuration does not read: {error}")))?;
    if let Some(hook) = &mut config.webhook {
        if hook.secret.expose() == MASK {
            hook.secret = kept_secret(queues(&site)?, &name).await?;
        }
        push::check(hook, &site.webhook_hosts).map_err(Refusal::Body)?;
    }
    let setting = Setting::Config(Box::new(config.clone()));
    queues(&site)?.configure(&name, setting).await?;
    Answer::json(&wire::config(&name, &config))
}

/// The secret that is there already: what is shown may be sent back.
async fn kept_secret(queues: &Queues, name: &QueueName) -> Result<Secret, Refusal> {
    let counts = queues.keeper().counts(name).await.ok();
    let kept = counts.and_then(|counts| counts.config.webhook);
    kept.map(|hook| hook.secret).ok_or_else(|| {
        let text = "webhook.secret is the mask of one; this queue has none yet, so send it itself";
        Refusal::Body(text.to_owned())
    })
}

/// A filter of the query.
fn filter(ask: &Ask) -> Result<Filter, Refusal> {
    Ok(Filter {
        name: ask.text("name").map(str::to_owned),
        error: ask.text("error").map(str::to_owned),
        from: ask.date("from")?,
        until: ask.date("until")?,
    })
}

fn page_of(ask: &Ask, state: JobState) -> Result<PageAsk, Refusal> {
    Ok(PageAsk {
        state,
        cursor: ask.text("cursor").map(str::to_owned),
        limit: ask.number("limit", PAGE.0, (1, PAGE.1))? as usize,
        filter: filter(ask)?,
    })
}

/// `GET /jobs/{queue}`.
pub(super) async fn list(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    role: Role,
    ask: Ask,
) -> Result<Answer, Refusal> {
    let states = JobState::VISIBLE.map(|state| (state.name(), state));
    let state = ask.choice("state", &states, JobState::Waiting)?;
    let page = queues(&site)?
        .page(&named(&name)?, &page_of(&ask, state)?)
        .await?;
    let items: Vec<wire::JobView> = page.jobs.iter().map(|job| wire::job(job, role)).collect();
    let next_cursor = page.next.as_deref();
    Ok(Answer::json(&Listed { items, next_cursor })?.fleeting())
}

/// `GET /jobs/{queue}/{id}`.
pub(super) async fn show(
    State(site): State<Arc<Site>>,
    Path((name, id)): Path<(String, String)>,
    role: Role,
) -> Result<Answer, Refusal> {
    let job = queues(&site)?.get(&named(&name)?, &id).await?;
    Ok(Answer::json(&wire::job(&job, role))?.fleeting())
}

async fn act(
    site: &Site,
    (name, id): (String, String),
    ask: &Ask,
    verb: Verb,
) -> Result<Answer, Refusal> {
    ask.only(&[])?;
    let state = queues(site)?.act(&named(&name)?, &id, verb).await?;
    Answer::json(&json!({"success": true, "id": id, "state": state}))
}

/// `DELETE /jobs/{queue}/{id}`.
pub(super) async fn remove(
    State(site): State<Arc<Site>>,
    Path(which): Path<(String, String)>,
    ask: Ask,
) -> Result<Answer, Refusal> {
    act(&site, which, &ask, Verb::Remove).await
}

/// `POST /jobs/{queue}/{id}/retry`.
pub(super) async fn retry(
    State(site): State<Arc<Site>>,
    Path(which): Path<(String, String)>,
    ask: Ask,
) -> Result<Answer, Refusal> {
    act(&site, which, &ask, Verb::Retry).await
}

/// `POST /jobs/{queue}/{id}/promote`.
pub(super) async fn promote(
    State(site): State<Arc<Site>>,
    Path(which): Path<(String, String)>,
    ask: Ask,
) -> Result<Answer, Refusal> {
    act(&site, which, &ask, Verb::Promote).await
}

/// `POST /jobs/{queue}/{id}/cancel`.
pub(super) async fn cancel(
    State(site): State<Arc<Site>>,
    Path(which): Path<(String, String)>,
    ask: Ask,
) -> Result<Answer, Refusal> {
    act(&site, which, &ask, Verb::Cancel).await
}

/// `POST /jobs/{queue}/retry-failed`: failed ones and dead letters.
pub(super) async fn retry_failed(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    ask: Ask,
) -> Result<Answer, Refusal> {
    ask.only(RETRY)?;
    let mut total = 0;
    let limit = ask.number("limit", RETRY_MAX, (1, RETRY_MAX))? as usize;
    for state in [JobState::Failed, JobState::Dead] {
        let left = limit - usize::try_from(total).unwrap_or(limit).min(limit);
        total += retry_from(&site, &name, &ask, state, (left, total)).await?;
    }
    let message = format!("{} of {name} retried", counted(total, "job"));
    Answer::json(&json!({"success": true, "message": message, "retried": total}))
}

async fn retry_from(
    site: &Site,
    name: &str,
    ask: &Ask,
    state: JobState,
    (limit, taken): (usize, u64),
) -> Result<u64, Refusal> {
    let queues = queues(site)?;
    let rate = ask.number("rate", 0, (0, 1_000_000))?;
    let retry = Retry {
        state,
        filter: filter(ask)?,
        limit,
        rate,
        first: queues.now(),
        taken,
    };
    Ok(queues.retry(&named(name)?, &retry).await?)
}
