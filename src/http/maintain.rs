//! Writes to targets: `POST /database/optimize-table/…`, `POST /database/archive`, and what was written.
//!
//! For: asking for a job of our own queue and waiting a while for its end. Not for: doing it (`work`).
//! The same job asked for while it is under way is that job.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Site;
use super::ask::Ask;
use super::body::Answer;
use super::database::is_known;
use super::error::{MaintenanceRefusal, Refusal};
use super::statements::read;
use crate::model::job::{Job, JobState, QueueName};
use crate::model::maintenance::WriteClass;
use crate::queue::Queues;
use crate::work::maintain::{ArchivalAsk, Maintainer};
use crate::work::{audit, maintain};

/// Where tables are vacuumed.
pub(super) const OPTIMIZE: &str = "/api/v1/performance/database/optimize-table/";
/// Where old rows are archived.
pub(super) const ARCHIVE: &str = "/api/v1/performance/database/archive";
/// Where it is counted what that would do.
pub(super) const PREVIEW: &str = "/api/v1/performance/database/archive/preview";

/// Between two looks at a job that somebody waits for.
const LOOK: Duration = Duration::from_millis(50);

fn maintainer(site: &Site) -> Result<&Arc<Maintainer>, Refusal> {
    let maintainer = site.hooks.maintainer.as_ref();
    maintainer.ok_or_else(|| Refusal::Internal("this server writes to nobody".to_owned()))
}

fn queues(site: &Site) -> Result<&Arc<Queues>, Refusal> {
    let queues = site.hooks.queues.as_ref();
    queues.ok_or_else(|| Refusal::Internal("this server has no queues".to_owned()))
}

/// Waits for a job's end, for as long as was asked.
async fn ended(queues: &Queues, id: &str, ask: &Ask) -> Result<(QueueName, Job), Refusal> {
    let queue = maintain::queue()?;
    let patience = Duration::from_secs(u64::from(ask.number("wait", 10, (0, 55))?));
    let since = Instant::now();
    loop {
        let job = queues.get(&queue, id).await?;
        if job.state.is_final() || since.elapsed() >= patience {
            return Ok((queue, job));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Why a job failed, as whoever asked for it is told.
fn failure(job: &Job) -> Option<Refusal> {
    if job.state == JobState::Completed || !job.state.is_final() {
        return None;
    }
    let failure = job.errors.last().map(|error| &error.failure);
    let passes = failure.is_some_and(|failure| failure.retryable == Some(true));
    Some(Refusal::Maintenance {
        kind: if passes {
            MaintenanceRefusal::NotNow
        } else {
            MaintenanceRefusal::Refused
        },
        text: failure.map_or_else(|| "it was called off".to_owned(), |f| f.message.clone()),
    })
}

fn parsed(text: Option<&crate::model::job::Payload>) -> Value {
    text.and_then(|text| serde_json::from_str(text.text()).ok())
        .unwrap_or(Value::Null)
}

/// `POST /database/optimize-table/{tableName}`.
pub(super) async fn optimize(
    State(site): State<Arc<Site>>,
    Path(table): Path<String>,
    ask: Ask,
) -> Result<Answer, Refusal> {
    ask.only(&["target", "wait"])?;
    let asked = ask.text("target");
    let target = maintainer(&site)?.permitted(asked, WriteClass::Vacuum)?;
    let (_, state) = super::ask::target(&target, &site.board)?;
    if let Some(snapshot) = &state.snapshot {
        is_known(snapshot, &table)?;
    }
    ask.number("wait", 10, (0, 55))?;
    let queues = queues(&site)?;
    let id = maintain::ask_vacuum(queues, &target, &table).await?;
    let (queue, job) = ended(queues, &id, &ask).await?;
    if let Some(refusal) = failure(&job) {
        return Err(refusal);
    }
    let is_done = job.state == JobState::Completed;
    let message = if is_done {
        format!("Table {table} optimized")
    } else {
        format!("Table {table} is being optimized; job {id} of queue {queue} says how far it is")
    };
    let answer = Answer::json(&json!({
        "success": true,
        "message": message,
        "queueName": queue,
        "jobId": id,
        "state": job.state,
        "vacuumed": parsed(job.result.as_ref()),
    }))?;
    Ok(in_time(answer.fleeting(), is_done))
}

fn in_time(answer: Answer, is_done: bool) -> Answer {
    if is_done { answer } else { answer.accepted() }
}

fn policy(
    site: &Site,
    ask: &Ask,
    body: Result<Bytes, BytesRejection>,
) -> Result<ArchivalAsk, Refusal> {
    let limit = site.settings.max_body_bytes;
    let body = body.map_err(|_| Refusal::BodyTooLarge { limit })?;
    let text = std::str::from_utf8(&body)
        .map_err(|error| Refusal::Body(format!("the body is no text: {error}")))?;
    let mut policy = ArchivalAsk::read(text)?;
    if let Some(target) = ask.text("target") {
        policy.target = Some(target.to_owned());
    }
    let named = policy.target.as_deref();
    let target = maintainer(site)?.permitted(named, WriteClass::Archive)?;
    policy.target = Some(target);
    Ok(policy)
}

/// `POST /database/archive`.
pub(super) async fn archive(
    State(site): State<Arc<Site>>,
    ask: Ask,
    body: Result<Bytes, BytesRejection>,
) -> Result<Answer, Refusal> {
    ask.only(&["target", "wait"])?;
    ask.number("wait", 10, (0, 55))?;
    let policy = policy(&site, &ask, body)?;
    let queues = queues(&site)?;
    let id = maintain::ask_archive(queues, &policy).await?;
    let (queue, job) = ended(queues, &id, &ask).await?;
    let is_done = job.state == JobState::Completed;
    let mut result = if is_done {
        parsed(job.result.as_ref())
    } else {
        parsed(job.progress.as_ref())
    };
    if let Some(refusal) = failure(&job)
        && result.is_null()
    {
        // Nothing was begun.
        return Err(refusal);
    }
    if result.is_null() {
        result = json!(maintain::begun(&policy, site.clock.now()));
    }
    if let Some(fields) = result.as_object_mut() {
        fields.insert("queueName".to_owned(), json!(queue));
        fields.insert("jobId".to_owned(), json!(id));
        fields.insert("state".to_owned(), json!(job.state));
    }
    let is_over = is_done || failure(&job).is_some();
    Ok(in_time(Answer::json(&result)?.fleeting(), is_over))
}

/// `POST /database/archive/preview`.
pub(super) async fn preview(
    State(site): State<Arc<Site>>,
    ask: Ask,
    body: Result<Bytes, BytesRejection>,
) -> Result<Answer, Refusal> {
    ask.only(&["target"])?;
    let policy = policy(&site, &ask, body)?;
    let preview = maintainer(&site)?.preview(&policy).await?;
    Ok(Answer::json(&preview)?.fleeting())
}

/// `GET /audit`.
pub(super) async fn audit(State(site): State<Arc<Site>>, ask: Ask) -> Result<Answer, Refusal> {
    ask.only(&["limit", "target"])?;
    let most = ask.number("limit", 50, (1, 1_000))? as usize;
    let target = ask.text("target").map(str::to_owned);
    let items = read(&site, move |store| {
        audit::list(store, target.as_deref(), most)
    })
    .await?;
    Answer::json(&json!({ "items": items.unwrap_or_default() }))
}
