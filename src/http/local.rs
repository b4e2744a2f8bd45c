//! What the command line asks on the Unix socket, beside the API.

use std::sync::Arc;

use axum::extract::{Path, State};

use super::ask::Ask;
use super::body::Answer;
use super::error::Refusal;
use super::outlook::Slice;
use super::wire::{self, SeverityCounts, Status, TargetFindings, TargetStatus};
use super::{Site, capacity};
use crate::model::capacity::Resource;
use crate::model::finding::{Finding, Severity};
use crate::report::Format;
use crate::work::board::TargetState;

/// `GET /local/status`.
pub(super) async fn status(State(site): State<Arc<Site>>) -> Result<Answer, Refusal> {
    let target = |name: String| {
        let state = site.board.target(&name)?;
        Some(target_status(&site, name, &state))
    };
    Answer::json(&Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: site.started_at.to_string(),
        now: site.clock.now().to_string(),
        listen: site.listen.to_string(),
        data_dir: site.data_dir.display().to_string(),
        targets: site.board.names().into_iter().filter_map(target).collect(),
    })
}

fn target_status(site: &Site, name: String, state: &TargetState) -> TargetStatus {
    let (word, reason) = wire::state(&state.reach);
    let snapshot = state.snapshot.as_deref();
    let resources = state
        .projections
        .iter()
        .map(|projection| capacity::one(site, &name, state, projection.resource, Slice::months(1)));
    TargetStatus {
        resources: resources.collect(),
        state: word,
        reason,
        last_scrape_at: state.last_scrape_at.map(|at| at.to_string()),
        server_version: snapshot.map(|snapshot| snapshot.server.version.clone()),
        findings: counts(&state.findings),
        silenced: state.silenced.len(),
        blind_spots: snapshot.map_or(0, |snapshot| snapshot.blind_spots.len()),
        name,
    }
}

fn counts(findings: &[Finding]) -> SeverityCounts {
    let mut counts = SeverityCounts::default();
    for finding in findings {
        match finding.severity {
            Severity::Critical => counts.critical += 1,
            Severity::Warning => counts.warning += 1,
            Severity::Info => counts.info += 1,
        }
    }
    counts
}

/// `GET /local/findings`.
pub(super) async fn findings(State(site): State<Arc<Site>>) -> Result<Answer, Refusal> {
    let target = |name: String| {
        let state = site.board.target(&name)?;
        let (word, reason) = wire::state(&state.reach);
        let snapshot = state.snapshot.as_deref();
        Some(TargetFindings {
            name,
            state: word,
            reason,
            taken_at: snapshot.map(|snapshot| snapshot.taken_at.to_string()),
            findings: state.findings.to_vec(),
            silenced: state.silenced.to_vec(),
            alerts: state.alerts.iter().map(Into::into).collect(),
            blind_spots: snapshot.map_or_else(Vec::new, |snapshot| snapshot.blind_spots.clone()),
        })
    };
    let targets: Vec<TargetFindings> = site.board.names().into_iter().filter_map(target).collect();
    Answer::json(&targets)
}

/// `GET /local/forecast/{resourceType}`: a list, also of one; `all` for every resource.
pub(super) async fn forecast(
    State(site): State<Arc<Site>>,
    Path(resource): Path<String>,
    ask: Ask,
) -> Result<Answer, Refusal> {
    let resources = match resource.as_str() {
        "all" => Resource::ALL.to_vec(),
        name => vec![name.parse::<Resource>()?],
    };
    let slice = ask.slice()?;
    let (name, state) = ask.target(&site.board)?;
    capacity::projections(&state)?;
    let forecasts: Vec<_> = resources
        .into_iter()
        .map(|resource| capacity::one(&site, &name, &state, resource, slice))
        .collect();
    Answer::json(&forecasts)
}

/// `GET /local/report`.
pub(super) async fn report(State(site): State<Arc<Site>>, ask: Ask) -> Result<Answer, Refusal> {
    let format = ask.choice("format", &Format::NAMES, Format::Html)?;
    let body = (site.hooks.report)(format).await.map_err(Refusal::Report)?;
    let media = match format {
        Format::Html => "text/html; charset=utf-8",
        Format::Json => "application/json",
        Format::Markdown => "text/markdown; charset=utf-8",
        Format::Sqlite => "application/vnd.sqlite3",
    };
    Ok(Answer::of(media, body))
}
