//! Dead letters: looked through, taken up again, and written out.

use std::sync::Arc;

use axum::extract::{Path, State};
use serde_json::json;

use super::{RETRY, RETRY_MAX, named, page_of, queues, retry_from, wire};
use crate::http::Site;
use crate::http::ask::Ask;
use crate::http::body::Answer;
use crate::http::error::Refusal;
use crate::http::guard::Role;
use crate::model::job::JobState;
use crate::model::units::counted;

/// Bytes after which an export ends with a cursor.
const EXPORT_MAX: usize = 8 << 20;

/// `GET /jobs/{queue}/dead-letter`: a bare array as in the original; `Link` says where it goes on.
pub(in crate::http) async fn list(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    role: Role,
    ask: Ask,
) -> Result<Answer, Refusal> {
    let name = named(&name)?;
    let page = queues(&site)?
        .page(&name, &page_of(&ask, JobState::Dead)?)
        .await?;
    let jobs: Vec<wire::JobView> = page.jobs.iter().map(|job| wire::job(job, role)).collect();
    let answer = Answer::json(&jobs)?.fleeting();
    Ok(match page.next {
        None => answer,
        Some(next) => {
            let link = onward(&format!("{name}/dead-letter"), &ask, &next);
            answer.with("link", &link)
        }
    })
}

/// `POST /jobs/{queue}/dead-letter/replay`: all, or those that the filter means.
pub(in crate::http) async fn replay(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    ask: Ask,
) -> Result<Answer, Refusal> {
    ask.only(RETRY)?;
    let limit = ask.number("limit", RETRY_MAX, (1, RETRY_MAX))? as usize;
    let replayed = retry_from(&site, &name, &ask, JobState::Dead, (limit, 0)).await?;
    let message = format!("{} of {name} replayed", counted(replayed, "dead letter"));
    Answer::json(&json!({"success": true, "message": message, "replayed": replayed}))
}

/// `GET /jobs/{queue}/dead-letter/export`: a job a line; `Link` says where it goes on.
pub(in crate::http) async fn export(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    role: Role,
    ask: Ask,
) -> Result<Answer, Refusal> {
    let name = named(&name)?;
    let mut asked = page_of(&ask, JobState::Dead)?;
    asked.limit = 1_000;
    let mut lines = Vec::new();
    loop {
        let page = queues(&site)?.page(&name, &asked).await?;
        for job in &page.jobs {
            serde_json::to_writer(&mut lines, &wire::job(job, role))
                .map_err(|error| Refusal::Internal(error.to_string()))?;
            lines.push(b'\n');
        }
        asked.cursor = page.next;
        if asked.cursor.is_none() || lines.len() > EXPORT_MAX {
            break;
        }
    }
    let answer = Answer::of("application/x-ndjson", lines).fleeting();
    Ok(match asked.cursor {
        None => answer,
        Some(next) => {
            let link = onward(&format!("{name}/dead-letter/export"), &ask, &next);
            answer.with("link", &link)
        }
    })
}

/// Where a list goes on: with the same filter.
fn onward(path: &str, ask: &Ask, next: &str) -> String {
    format!("<{}{path}?{}>; rel=\"next\"", super::BASE, ask.onward(next))
}
