//! `/capacity/…`: the records of the last forecast run, sliced; nothing is computed per request.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{Path, State};

use super::Site;
use super::ask::{Ask, not_yet, resources};
use super::body::Answer;
use super::error::Refusal;
use super::outlook::{self, Slice};
use super::wire::{CapacityDashboard, CapacityForecast, ForecastReview};
use crate::model::capacity::{Projection, Resource};
use crate::model::units::Timestamp;
use crate::work::board::TargetState;

/// When to ask again before the first forecast: it comes with the first look at the target.
const RETRY_AFTER_S: u64 = 10;

/// The projections of a target, or "not yet".
pub(super) fn projections(state: &TargetState) -> Result<&[Projection], Refusal> {
    match state.projections.as_ref() {
        [] => Err(not_yet("the forecast", state, RETRY_AFTER_S)),
        projections => Ok(projections),
    }
}

/// `GET /capacity/forecast/{resourceType}`.
pub(super) async fn forecast(
    State(site): State<Arc<Site>>,
    Path(resource): Path<String>,
    ask: Ask,
) -> Result<Answer, Refusal> {
    let resource: Resource = resource.parse()?;
    let slice = ask.slice()?;
    let (name, state) = ask.target(&site.board)?;
    projections(&state)?;
    Answer::json(&one(&site, &name, &state, resource, slice))
}

/// The forecast of one resource; one that the run left out is unmeasured.
pub(super) fn one(
    site: &Site,
    target: &str,
    state: &TargetState,
    resource: Resource,
    slice: Slice,
) -> CapacityForecast {
    let projection = projection(site, target, state, resource);
    outlook::forecast(&projection, slice, &site.thresholds)
}

/// The projection of one resource; one that the run left out is unmeasured.
pub(super) fn projection<'s>(
    site: &Site,
    target: &str,
    state: &'s TargetState,
    resource: Resource,
) -> Cow<'s, Projection> {
    let unmeasured = || Projection {
        target: target.to_owned(),
        resource,
        made_at: state
            .projections
            .first()
            .map_or(site.started_at, |first| first.made_at),
        usage: None,
        limit: None,
        outlook: None,
        history: Vec::new(),
        history_start: Timestamp::from_millis(0),
        coverage: 0.0,
        synthetic: None,
        lead_time: site.lead_time,
    };
    state
        .projection(resource)
        .map_or_else(|| Cow::Owned(unmeasured()), Cow::Borrowed)
}

/// `GET /capacity/dashboard`.
pub(super) async fn dashboard(State(site): State<Arc<Site>>, ask: Ask) -> Result<Answer, Refusal> {
    let slice = ask.slice()?;
    let (name, state) = ask.target(&site.board)?;
    let projections = projections(&state)?;
    Answer::json(&CapacityDashboard {
        timestamp: site.clock.now().to_string(),
        forecasts: Resource::ALL
            .map(|resource| one(&site, &name, &state, resource, slice))
            .to_vec(),
        alerts: state.alerts.iter().map(Into::into).collect(),
        trends: projections.iter().filter_map(outlook::trend).collect(),
        target: name,
        last_scrape_at: state.last_scrape_at.map(|at| at.to_string()),
    })
}

/// `GET /capacity/forecast-review`.
pub(super) async fn forecast_review(
    State(site): State<Arc<Site>>,
    ask: Ask,
) -> Result<Answer, Refusal> {
    let resources = resources(ask.text("resource").unwrap_or("all"))?;
    let (target, state) = ask.target(&site.board)?;
    projections(&state)?;
    Answer::json(&ForecastReview {
        target,
        resources: resources
            .into_iter()
            .map(|resource| (&state.review(resource)).into())
            .collect(),
    })
}

/// `GET /capacity/bottlenecks`.
pub(super) async fn bottlenecks(
    State(site): State<Arc<Site>>,
    ask: Ask,
) -> Result<Answer, Refusal> {
    let (_, state) = ask.target(&site.board)?;
    // None found and not looked yet are different answers.
    if state.bottlenecks.is_empty() && state.projections.is_empty() {
        return Err(not_yet("where it is held up", &state, RETRY_AFTER_S));
    }
    Answer::json(&state.bottlenecks.as_ref())
}
