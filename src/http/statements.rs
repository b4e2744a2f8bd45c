//! `/database/statements` and `/database/deploys`: what statements cost over a span of time.
//!
//! Reads the history, beside the sockets and one question at a time, as `latency` does.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};

use super::Site;
use super::ask::Ask;
use super::body::Answer;
use super::error::Refusal;
use super::wire::SlowQuery;
use crate::config::parse_duration;
use crate::model::ranking::{By, Deploy, Ranking};
use crate::model::units::{Millis, Timestamp};
use crate::store::Store;
use crate::work::board::TargetState;
use crate::work::{deploy, statements};

/// Spans that may be asked for.
const WINDOWS: (Millis, Millis) = (Millis::MINUTE, Millis(366 * Millis::DAY.0));
const LIMIT: (u32, u32) = (1, 1_000);

/// Runs a reading of the store beside the sockets, one at a time.
pub(super) async fn read<T: Send + 'static>(
    site: &Site,
    work: impl FnOnce(&Store) -> crate::store::Result<T> + Send + 'static,
) -> Result<Option<T>, Refusal> {
    let Some(store) = site.hooks.store.clone() else {
        return Ok(None);
    };
    let _alone = site.reading.lock().await;
    tokio::task::spawn_blocking(move || work(&store))
        .await
        .map_err(|panic| Refusal::Internal(panic.to_string()))?
        .map(Some)
        .map_err(|error| Refusal::Internal(error.to_string()))
}

/// `window` of a query, until now.
fn window(
    site: &Site,
    text: Option<&str>,
    default: Millis,
) -> Result<(Timestamp, Timestamp), Refusal> {
    let length = match text {
        None => default,
        Some(text) => parse_duration(text)
            .ok()
            .filter(|length| (WINDOWS.0..=WINDOWS.1).contains(length))
            .ok_or_else(|| Refusal::Parameter {
                name: "window",
                text: text.to_owned(),
                wanted: "a length of time from 1m to 366d, such as 24h".to_owned(),
            })?,
    };
    let now = site.clock.now();
    Ok((now.minus(length.as_duration()), now))
}

fn asked(
    site: &Site,
    ask: &Ask,
    (by, limit): (By, u32),
    window_text: Option<&str>,
) -> Result<(statements::Ask, TargetState), Refusal> {
    let (from, until) = window(site, window_text, Millis::HOUR)?;
    let (target, state) = ask.target(&site.board)?;
    let asked = statements::Ask {
        target,
        from,
        until,
        by,
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
        database: ask.text("database").map(str::to_owned),
        role: ask.text("role").map(str::to_owned),
    };
    Ok((asked, state))
}

/// `GET /database/statements`.
pub(super) async fn ranking(State(site): State<Arc<Site>>, ask: Ask) -> Result<Answer, Refusal> {
    let by = ask.choice("by", &By::NAMES, By::Total)?;
    let limit = ask.number("limit", 20, LIMIT)?;
    let (asked, _) = asked(&site, &ask, (by, limit), ask.text("window"))?;
    Answer::json(&ranked(&site, asked).await?)
}

async fn ranked(site: &Site, asked: statements::Ask) -> Result<Ranking, Refusal> {
    let board = Arc::clone(&site.board);
    let empty = Ranking {
        target: asked.target.clone(),
        from: asked.from.to_string(),
        until: asked.until.to_string(),
        by: asked.by,
        ran: 0,
        statements: Vec::new(),
        slower: Vec::new(),
    };
    let found = read(site, move |store| {
        statements::ranking(store, &board, &asked)
    })
    .await?;
    Ok(found.unwrap_or(empty))
}

/// Rows of `GET /database/slow-queries?window=…`: what a span has no answer to is null.
pub(super) async fn slow_queries(
    site: &Site,
    ask: &Ask,
    (by, limit): (By, u32),
) -> Result<Vec<SlowQuery>, Refusal> {
    let (asked, _) = asked(site, ask, (by, limit), ask.text("window"))?;
    let ranking = ranked(site, asked).await?;
    let rows = ranking.statements.into_iter().map(|statement| {
        let counted = statement.counted;
        SlowQuery {
            query: statement.query.unwrap_or_default(),
            calls: whole(counted.calls),
            total_exec_time: counted.total_ms,
            mean_exec_time: counted.mean_ms.unwrap_or(0.0),
            max_exec_time: None,
            stddev_exec_time: None,
            queryid: statement.queryid,
            role: Some(statement.role).filter(|role| !role.is_empty()),
            rows: whole(counted.rows),
            shared_blks_hit: whole(counted.shared_blks_hit),
            shared_blks_read: whole(counted.shared_blks_read),
            temp_blks_written: whole(counted.temp_blks_written),
            wal_bytes: whole(counted.wal_bytes),
        }
    });
    Ok(rows.collect())
}

fn whole(value: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count is not negative, and a float cast saturates"
    )]
    let whole = value.round().max(0.0) as u64;
    whole
}

/// `GET /database/statements/{queryid}`.
pub(super) async fn history(
    State(site): State<Arc<Site>>,
    Path(queryid): Path<String>,
    ask: Ask,
) -> Result<Answer, Refusal> {
    let span = window(&site, ask.text("window"), Millis::DAY)?;
    let (target, _) = ask.target(&site.board)?;
    let (board, id) = (Arc::clone(&site.board), queryid.clone());
    let found = read(&site, move |store| {
        statements::history(store, &board, (&target, &id), span)
    });
    match found.await?.flatten() {
        Some(history) => Answer::json(&history),
        None => Err(Refusal::UnknownStatement { queryid }),
    }
}

/// What is posted to mark a deploy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    name: String,
    at: Option<String>,
}

#[derive(Debug, Serialize)]
struct Marked {
    name: String,
    at: String,
}

fn shown(deploy: &Deploy) -> Marked {
    Marked {
        name: deploy.name.clone(),
        at: deploy.at.to_string(),
    }
}

/// `GET /database/deploys`.
pub(super) async fn deploys(State(site): State<Arc<Site>>) -> Result<Answer, Refusal> {
    let found = read(&site, deploy::list).await?.unwrap_or_default();
    let list: Vec<Marked> = found.iter().map(shown).collect();
    Answer::json(&list)
}

/// `POST /database/deploys`.
pub(super) async fn mark(
    State(site): State<Arc<Site>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Answer, Refusal> {
    let limit = site.settings.max_body_bytes;
    let body = body.map_err(|_| Refusal::BodyTooLarge { limit })?;
    let mark: Mark = serde_json::from_slice(&body).map_err(|error| {
        Refusal::Body(format!(
            "the body is no mark ({error}); write one such as {{\"name\": \"v2.1\"}}"
        ))
    })?;
    let name = mark.name.trim().to_owned();
    if name.is_empty() || name.chars().count() > deploy::NAME_MAX {
        return Err(Refusal::Body(format!(
            "the name has {} characters; give 1 to {}",
            name.chars().count(),
            deploy::NAME_MAX
        )));
    }
    let at = match &mark.at {
        None => site.clock.now(),
        Some(text) => Timestamp::parse(text).map_err(|_| {
            Refusal::Body(format!(
                "at is {text:?}; write a time such as 2026-03-10T12:00:00Z"
            ))
        })?,
    };
    let deploy = Deploy { name, at };
    let answer = Answer::json(&shown(&deploy))?;
    read(&site, move |store| deploy::mark(store, &deploy)).await?;
    Ok(answer.fleeting())
}
