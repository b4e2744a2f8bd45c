//! The worker's side of a queue: taking jobs, saying how far they are, and how they ended.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{named, queues, read, wire};
use crate::http::Site;
use crate::http::body::Answer;
use crate::http::error::Refusal;
use crate::model::job::{Failure, Payload};
use crate::model::units::Millis;
use crate::queue::{Claim, Note, Outcome};

/// The longest that a claim waits; proxies cut what is silent for longer.
const WAIT_MAX: Millis = Millis(30_000);
const LEASE_MAX: Millis = Millis::DAY;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct AskedClaim {
    max: usize,
    wait_ms: u64,
    lease_ms: Option<u64>,
    worker: String,
}

impl Default for AskedClaim {
    fn default() -> Self {
        Self {
            max: 1,
            wait_ms: 0,
            lease_ms: None,
            worker: String::new(),
        }
    }
}

/// `POST /jobs/{queue}/claim`.
pub(in crate::http) async fn claim(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Refusal> {
    let asked: AskedClaim = read(&site, &headers, body).await?;
    let claim = Claim {
        max: asked.max,
        lease: checked_lease(asked.lease_ms)?,
        worker: asked.worker.chars().take(128).collect(),
    };
    // An answer that comes after the request's own limit comes to nobody.
    let longest = WAIT_MAX.0.min(site.settings.request_timeout.0 / 10 * 9);
    let patience = Duration::from_millis(asked.wait_ms.min(longest));
    let claimed = queues(&site)?
        .claim(&named(&name)?, &claim, patience)
        .await?;
    let mut items = Vec::with_capacity(claimed.len());
    for one in &claimed {
        items.push(json!({
            "job": wire::job(&one.job),
            "token": one.lease.token,
            "leaseUntil": one.lease.until.as_millis(),
        }));
    }
    Ok(Answer::json(&json!({ "items": items }))?.fleeting())
}

fn checked_lease(lease_ms: Option<u64>) -> Result<Option<Millis>, Refusal> {
    match lease_ms {
        Some(ms) if !(10..=LEASE_MAX.0).contains(&ms) => Err(Refusal::Parameter {
            name: "leaseMs",
            text: ms.to_string(),
            wanted: "10 to 86400000".to_owned(),
        }),
        other => Ok(other.map(Millis)),
    }
}

/// What every message of a worker carries, and what some do.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Told {
    token: String,
    lease_ms: Option<u64>,
    progress: Option<Payload>,
    text: Option<String>,
    #[serde(default)]
    returnvalue: Payload,
    error: Option<Failure>,
}

/// `POST /jobs/{queue}/{id}/heartbeat`.
pub(in crate::http) async fn heartbeat(
    State(site): State<Arc<Site>>,
    Path((name, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Refusal> {
    let told: Told = read(&site, &headers, body).await?;
    let lease = checked_lease(told.lease_ms)?;
    let queues = queues(&site)?;
    let extended = queues
        .extend(&named(&name)?, &id, &told.token, lease)
        .await?;
    Answer::json(&json!({
        "leaseUntil": extended.until.as_millis(),
        "cancelling": extended.cancelling,
    }))
}

/// `POST /jobs/{queue}/{id}/progress`: how far it is, a line for its log, or both.
pub(in crate::http) async fn progress(
    State(site): State<Arc<Site>>,
    Path((name, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Refusal> {
    let told: Told = read(&site, &headers, body).await?;
    let (queues, name) = (queues(&site)?, named(&name)?);
    let notes = [told.progress.map(Note::Progress), told.text.map(Note::Log)];
    for note in notes.into_iter().flatten() {
        queues.note(&name, &id, &told.token, note).await?;
    }
    Answer::json(&json!({"success": true}))
}

/// `POST /jobs/{queue}/{id}/complete`.
pub(in crate::http) async fn complete(
    State(site): State<Arc<Site>>,
    Path(which): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Refusal> {
    let mut told: Told = read(&site, &headers, body).await?;
    let result = std::mem::take(&mut told.returnvalue);
    settle(&site, which, &told.token, Outcome::Complete(result)).await
}

/// `POST /jobs/{queue}/{id}/fail`.
pub(in crate::http) async fn fail(
    State(site): State<Arc<Site>>,
    Path(which): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Refusal> {
    let told: Told = read(&site, &headers, body).await?;
    let failure = told.error.unwrap_or_default();
    settle(&site, which, &told.token, Outcome::Fail(failure)).await
}

/// `POST /jobs/{queue}/{id}/release`.
pub(in crate::http) async fn release(
    State(site): State<Arc<Site>>,
    Path(which): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Refusal> {
    let told: Told = read(&site, &headers, body).await?;
    settle(&site, which, &told.token, Outcome::Release).await
}

async fn settle(
    site: &Site,
    (name, id): (String, String),
    token: &str,
    outcome: Outcome,
) -> Result<Answer, Refusal> {
    let state = queues(site)?
        .settle(&named(&name)?, &id, token, outcome)
        .await?;
    let answer: Value = json!({"id": id, "state": state});
    Ok(Answer::json(&answer)?.fleeting())
}
