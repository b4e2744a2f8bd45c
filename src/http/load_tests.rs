//! `/load-tests`: results of load tests that ran as jobs, as they were kept.

use std::sync::Arc;

use axum::extract::{Path, State};
use serde_json::json;

use super::Site;
use super::ask::Ask;
use super::body::Answer;
use super::error::Refusal;
use super::statements::read;
use crate::work::load;

/// As many as are kept.
const LIMIT: (u32, u32) = (1, 100);
const USUAL: u32 = 20;

/// `GET /load-tests`: newest first.
pub(super) async fn list(State(site): State<Arc<Site>>, ask: Ask) -> Result<Answer, Refusal> {
    let limit = ask.number("limit", USUAL, LIMIT)? as usize;
    let items = read(&site, move |store| load::list(store, limit)).await?;
    Answer::json(&json!({ "items": items.unwrap_or_default() }))
}

/// `GET /load-tests/{id}`.
pub(super) async fn one(
    State(site): State<Arc<Site>>,
    Path(id): Path<String>,
) -> Result<Answer, Refusal> {
    let name = id.clone();
    let found = read(&site, move |store| load::get(store, &name)).await?;
    match found.flatten() {
        Some(result) => Answer::json(&result),
        None => Err(Refusal::UnknownLoadTest {
            id: id.chars().take(200).collect(),
        }),
    }
}
