//! `/database/indexing-strategy`: indexes of each table and advice on them, as last made.
//!
//! A question waits for nothing and asks no server: where advice is missing or older than an hour, the
//! background makes it anew.

use std::sync::Arc;

use axum::extract::State;

use super::Site;
use super::ask::{Ask, not_yet};
use super::body::Answer;
use super::error::Refusal;
use super::wire::strategy;

/// Seconds after which a first run has probably ended.
const RETRY_S: u64 = 15;
/// When the advice was made; the body is a bare array.
const ADVISED_AT: &str = "plimsoll-advised-at";

/// `GET /database/indexing-strategy`.
pub(super) async fn indexing(State(site): State<Arc<Site>>, ask: Ask) -> Result<Answer, Refusal> {
    let (name, state) = ask.target(&site.board)?;
    let Some(snapshot) = state.snapshot.clone() else {
        return Err(not_yet("the database", &state, site.catalog.0 / 1_000));
    };
    if state.strategy.is_stale(site.clock.now()) {
        site.board
            .update(&name, |state| state.strategy.wanted = true);
    }
    let Some(standing) = &state.strategy.standing else {
        let why = match &state.strategy.failure {
            Some((at, reason)) => format!("the run at {at} failed: {reason}"),
            None => "the first run has just been asked for".to_owned(),
        };
        return Err(Refusal::NotYet {
            what: "the advice on indexes",
            why,
            retry_after_s: RETRY_S,
        });
    };
    let answer = Answer::json(&strategy::tables(&snapshot, standing))?;
    Ok(answer.with(ADVISED_AT, &standing.at.to_string()))
}
