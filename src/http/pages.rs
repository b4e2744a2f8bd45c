//! The page with its script and style, and the two probes.

use std::sync::Arc;

use axum::extract::State;
use serde_json::json;

use super::ask::Ask;
use super::body::Answer;
use super::error::Refusal;
use super::jobs::overview::overview;
use super::{PageAsk, Site, wire};
use crate::model::target::Reach;

/// A target is stale after this many scrapes that did not come; one may be lost to a lock.
const STALE_SCRAPES: u64 = 5;

/// `GET /`.
pub(super) async fn dashboard(State(site): State<Arc<Site>>, ask: Ask) -> Result<Answer, Refusal> {
    let target = match ask.text("target") {
        Some(_) => Some(ask.target(&site.board)?.0),
        None => None,
    };
    let fragment = ask.choice("fragment", &[("main", Some("main"))], None)?;
    let page = (site.hooks.page)(&PageAsk {
        target,
        fragment: fragment.map(str::to_owned),
        jobs: overview(&site).await,
    });
    Ok(Answer::of("text/html; charset=utf-8", page))
}

/// `GET /ui/app.js`.
pub(super) async fn script(State(site): State<Arc<Site>>) -> Answer {
    Answer::of("text/javascript; charset=utf-8", site.hooks.script)
}

/// `GET /ui/style.css`.
pub(super) async fn style(State(site): State<Arc<Site>>) -> Answer {
    Answer::of("text/css; charset=utf-8", site.hooks.style)
}

/// `GET /healthz`.
pub(super) async fn healthz() -> Result<Answer, Refusal> {
    Answer::json(&json!({"status": "ok"}))
}

/// `GET /readyz`: what fails here, and of which target. A target that is down is its own gap and no
/// reason to restart this process.
pub(super) async fn readyz(State(site): State<Arc<Site>>) -> Result<Answer, Refusal> {
    let oldest = site.clock.now().minus(
        crate::model::units::Millis(site.scrape.0.saturating_mul(STALE_SCRAPES)).as_duration(),
    );
    let faults = site.board.faults();
    let mut reasons: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let mut targets = Vec::new();
    for name in site.board.names() {
        let Some(state) = site.board.target(&name) else {
            continue;
        };
        match state.reach {
            Reach::Starting => reasons.push(format!("{name} has not been looked at yet")),
            Reach::Up if state.last_scrape_at.is_none_or(|at| at < oldest) => {
                reasons.push(format!(
                    "{name} has not been scraped for {STALE_SCRAPES} intervals"
                ));
            }
            _ => {}
        }
        let (word, reason) = wire::state(&state.reach);
        targets.push(json!({
            "name": name,
            "state": word,
            "reason": reason,
            "lastScrapeAt": state.last_scrape_at.map(|at| at.to_string()),
        }));
    }
    let ready = reasons.is_empty();
    let status = if ready { "ready" } else { "unready" };
    let faults: Vec<_> = faults
        .iter()
        .map(|fault| {
            json!({
                "part": fault.part.name(),
                "target": fault.target,
                "reason": fault.reason,
            })
        })
        .collect();
    let body = json!({
        "status": status,
        "reasons": reasons,
        "faults": faults,
        "targets": targets,
    });
    let answer = Answer::json(&body)?;
    Ok(if ready {
        answer
    } else {
        answer.unavailable(1 + site.scrape.0 / 1_000)
    })
}
