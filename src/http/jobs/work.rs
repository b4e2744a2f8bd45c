//! The worker's side of a queue: taking jobs, saying how far they are, and how they ended.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{BODY_MAX, Part, named, queues, read, wire};
use crate::http::Site;
use crate::http::body::Answer;
use crate::http::error::Refusal;
use crate::http::write::whole;
use crate::model::job::{Failure, JobState, Payload};
use crate::model::units::Millis;
use crate::queue::{Ack, Claim, Ending, Note, Outcome};

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
    let items = claimed.iter().map(wire::claimed).collect();
    Ok(Answer::json(&Items { items })?.fleeting())
}

/// What a claim gives.
#[derive(Debug, Serialize)]
struct Items<'j> {
    items: Vec<wire::ClaimedView<'j>>,
}

/// Where an attempt's end led.
#[derive(Debug, Serialize)]
struct Settled<'j> {
    id: &'j str,
    state: Option<JobState>,
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

/// One of several endings: how it ended is said as for one, and `release` gives a job back.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ToldEnding {
    id: String,
    token: String,
    #[serde(default)]
    returnvalue: Payload,
    error: Option<Failure>,
    #[serde(default)]
    release: bool,
}

impl From<ToldEnding> for Ending {
    fn from(told: ToldEnding) -> Self {
        let outcome = match (told.release, told.error) {
            (true, _) => Outcome::Release,
            (false, Some(failure)) => Outcome::Fail(failure),
            (false, None) => Outcome::Complete(told.returnvalue),
        };
        Self {
            id: told.id,
            token: told.token,
            outcome,
        }
    }
}

/// `POST /jobs/{queue}/settle`: ends of several attempts with one wait for the disk.
pub(in crate::http) async fn settle_many(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Refusal> {
    let name = named(&name)?;
    let told: Vec<ToldEnding> = {
        let held = whole(&site, &headers, body, BODY_MAX).await?;
        serde_json::from_slice(held.bytes())
            .map_err(|error| Refusal::Body(format!("the body does not read: {error}")))?
    };
    let endings: Vec<Ending> = told.into_iter().map(Ending::from).collect();
    let ids: Vec<String> = endings.iter().map(|one| one.id.clone()).collect();
    let settled = queues(&site)?
        .settle_many(&name, endings, Ack::OnDisk)
        .await?;
    let is_refused = settled.iter().any(Result::is_err);
    let each = ids.iter().zip(settled).map(|(id, one)| match one {
        Ok(state) => Part::Done(Settled { id, state }),
        Err(error) => {
            let mut told = Refusal::from(error).told();
            if let Some(fields) = told.as_object_mut() {
                fields.insert("id".to_owned(), json!(id));
            }
            Part::Refused(told)
        }
    });
    let answer = Answer::json(&each.collect::<Vec<_>>())?.fleeting();
    Ok(if is_refused {
        answer.of_several()
    } else {
        answer
    })
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
    Ok(Answer::json(&Settled { id: &id, state })?.fleeting())
}
