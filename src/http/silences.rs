//! Silences of findings, for `plimsoll check --silence`: on the Unix socket alone.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use serde::Deserialize;
use serde_json::json;

use super::Site;
use super::body::Answer;
use super::error::Refusal;
use super::statements::read;
use crate::model::finding::Silence;
use crate::model::units::Timestamp;
use crate::work::silence;

/// Longest reason, in characters.
const REASON_MAX: usize = 500;

/// What is posted to silence a finding.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    finding: String,
    object: Option<String>,
    target: Option<String>,
    reason: String,
    until: Timestamp,
}

/// What is posted to take a silence back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    id: String,
}

fn parse<T: serde::de::DeserializeOwned>(
    site: &Site,
    body: Result<Bytes, BytesRejection>,
) -> Result<T, Refusal> {
    let limit = site.settings.max_body_bytes;
    let body = body.map_err(|_| Refusal::BodyTooLarge { limit })?;
    serde_json::from_slice(&body)
        .map_err(|error| Refusal::Body(format!("the body cannot be used: {error}")))
}

/// `GET /local/silences`.
pub(super) async fn list(State(site): State<Arc<Site>>) -> Result<Answer, Refusal> {
    let now = site.clock.now();
    let found = read(&site, move |store| silence::list(store, now)).await?;
    Answer::json(&found.unwrap_or_default())
}

/// `POST /local/silences`.
pub(super) async fn add(
    State(site): State<Arc<Site>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Answer, Refusal> {
    let asked: Asked = parse(&site, body)?;
    let now = site.clock.now();
    let reason = asked.reason.trim().to_owned();
    if reason.is_empty() || reason.chars().count() > REASON_MAX {
        return Err(Refusal::Body(format!(
            "give a reason of 1 to {REASON_MAX} characters"
        )));
    }
    if asked.until <= now {
        return Err(Refusal::Body(format!(
            "until is {}, which is over; give a day to come",
            asked.until
        )));
    }
    if let Some(target) = &asked.target {
        super::ask::target(target, &site.board)?;
    }
    let silence = Silence {
        finding: asked.finding,
        object: asked.object,
        target: asked.target,
        reason,
        until: asked.until,
        made_at: now,
    };
    let answer = Answer::json(&silence)?;
    let board = Arc::clone(&site.board);
    read(&site, move |store| {
        silence::add(store, &board, &silence, now)
    })
    .await?;
    Ok(answer.fleeting())
}

/// `POST /local/unsilence`.
pub(super) async fn remove(
    State(site): State<Arc<Site>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Answer, Refusal> {
    let Named { id } = parse(&site, body)?;
    let (board, now) = (Arc::clone(&site.board), site.clock.now());
    let name = id.clone();
    let was_there = read(&site, move |store| {
        silence::remove(store, &board, &name, now)
    })
    .await?;
    if was_there.unwrap_or(false) {
        Answer::json(&json!({ "id": id }))
    } else {
        Err(Refusal::Body(format!(
            "there is no silence {id:?}; `plimsoll check` lists them"
        )))
    }
}
