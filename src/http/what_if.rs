//! `/capacity/what-if`: stored forecasts under a scenario, answered from the board.
//!
//! For: reading what is asked and showing what comes of it. Not for: reading scenarios (`scenario`)
//! or applying them (`work::what_if`). Paths are simulated beside the sockets, on rayon.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use serde_json::{Map, Value};

use super::Site;
use super::ask::{Ask, MAX_MONTHS, resources, target};
use super::body::Answer;
use super::capacity;
use super::error::Refusal;
use super::outlook::{self, Slice};
use super::scenario::{self, TERMS};
use super::wire::{BreaksFirst, WhatIf, WhatIfResource, quantity};
use crate::model::capacity::{Projection, Resource};
use crate::model::scenario::Scenario;
use crate::report::html;
use crate::work::board::TargetState;
use crate::work::on_rayon;
use crate::work::what_if::{self, Row};

/// What is asked: of which target and resources, how far, and what is different.
struct Asked {
    target: String,
    state: TargetState,
    resources: Vec<Resource>,
    slice: Slice,
    scenario: Scenario,
}

/// `GET /capacity/what-if`.
pub(super) async fn get(State(site): State<Arc<Site>>, ask: Ask) -> Result<Answer, Refusal> {
    let asked = of_query(&site, &ask)?;
    Answer::json(&on_rayon(move || answer(&site, &asked)).await)
}

/// `POST /capacity/what-if`.
pub(super) async fn post(
    State(site): State<Arc<Site>>,
    ask: Ask,
    body: Result<Bytes, BytesRejection>,
) -> Result<Answer, Refusal> {
    let limit = site.settings.max_body_bytes;
    let body = body.map_err(|_| Refusal::BodyTooLarge { limit })?;
    let body: Value = serde_json::from_slice(&body)
        .map_err(|error| Refusal::Body(format!("the body is no JSON: {error}")))?;
    let Value::Object(body) = body else {
        return Err(Refusal::Body(
            "the body is no JSON object; write one such as {\"growth\": 2}".to_owned(),
        ));
    };
    let asked = of_body(&site, &ask, body)?;
    Answer::json(&on_rayon(move || answer(&site, &asked)).await)
}

/// `GET /ui/what-if`: the chart of one resource under a scenario, for the page.
pub(super) async fn drawn(State(site): State<Arc<Site>>, ask: Ask) -> Result<Answer, Refusal> {
    let asked = of_query(&site, &ask)?;
    let [resource] = asked.resources.as_slice() else {
        return Err(Refusal::Parameter {
            name: "resource",
            text: "all".to_owned(),
            wanted: "the resource to draw".to_owned(),
        });
    };
    let resource = *resource;
    let plain = |id: &&str| id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let id = ask.text("id").filter(plain).unwrap_or("what-if").to_owned();
    let page = on_rayon(move || {
        let was = capacity::projection(&site, &asked.target, &asked.state, resource);
        let rows = rows(&site, &asked, std::slice::from_ref(was.as_ref()));
        let is = rows.first().map_or(was.as_ref(), |row| &row.projection);
        html::what_if(is, &was, &words(&asked), &id)
    });
    let page = page.await;
    Ok(Answer::of("text/html; charset=utf-8", page))
}

/// What a query asks.
fn of_query(site: &Site, ask: &Ask) -> Result<Asked, Refusal> {
    let terms = TERMS
        .iter()
        .filter_map(|name| Some((*name, ask.text(name)?)));
    // A form sends its empty fields, too.
    let scenario = scenario::read(terms.filter(|(_, text)| !text.is_empty()))?;
    let (target, state) = ask.target(&site.board)?;
    fitting(Asked {
        target,
        state,
        resources: resources(ask.text("resource").unwrap_or("all"))?,
        slice: ask.slice()?,
        scenario,
    })
}

/// What a body asks; a query beside it may name the rest.
fn of_body(site: &Site, ask: &Ask, mut body: Map<String, Value>) -> Result<Asked, Refusal> {
    let scenario = scenario::from_json(&mut body)?;
    let mut slice = ask.slice()?;
    if let Some(months) = body.remove("months").filter(|months| !months.is_null()) {
        slice.months = months_of(&months)?;
    }
    let resource = text(&mut body, "resource")?;
    let resource = resource.as_deref().or(ask.text("resource"));
    let (target, state) = match text(&mut body, "target")? {
        Some(name) => target(&name, &site.board)?,
        None => ask.target(&site.board)?,
    };
    if let Some(stranger) = body.keys().next() {
        return Err(Refusal::Parameter {
            name: "body",
            text: stranger.chars().take(80).collect(),
            wanted: "growth, load, season, events, migrations, archives, limit, resource, target \
                     and months only"
                .to_owned(),
        });
    }
    fitting(Asked {
        target,
        state,
        resources: resources(resource.unwrap_or("all"))?,
        slice,
        scenario,
    })
}

fn text(body: &mut Map<String, Value>, name: &'static str) -> Result<Option<String>, Refusal> {
    match body.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(Refusal::Parameter {
            name,
            text: other.to_string().chars().take(80).collect(),
            wanted: "a text".to_owned(),
        }),
    }
}

fn months_of(value: &Value) -> Result<u32, Refusal> {
    let months = value.as_u64().and_then(|months| u32::try_from(months).ok());
    months
        .filter(|months| (1..=MAX_MONTHS).contains(months))
        .ok_or_else(|| Refusal::Parameter {
            name: "months",
            text: value.to_string().chars().take(80).collect(),
            wanted: format!("a whole number from 1 to {MAX_MONTHS}"),
        })
}

/// Refuses amounts that mean one resource where several are asked about, and archivals of what does
/// not pile up.
fn fitting(asked: Asked) -> Result<Asked, Refusal> {
    let wrong = |name, wanted: &str| {
        Err(Refusal::Parameter {
            name,
            text: "given for a resource that cannot have it".to_owned(),
            wanted: wanted.to_owned(),
        })
    };
    capacity::projections(&asked.state)?;
    let scenario = &asked.scenario;
    match asked.resources.as_slice() {
        [one] if !one.piles_up() && !scenario.archives.is_empty() => {
            wrong("archive", "it for storage or database, which pile up")
        }
        [_] => Ok(asked),
        _ if scenario.limit.is_some() => wrong("limit", "it for one resource, by its name"),
        _ if !scenario.migrations.is_empty() => {
            wrong("migration", "it for one resource, by its name")
        }
        _ => Ok(asked),
    }
}

fn rows(site: &Site, asked: &Asked, projections: &[Projection]) -> Vec<Row> {
    let then = projections.first().map_or(site.started_at, |p| p.made_at);
    let then = outlook::months_later(then, asked.slice.months).unwrap_or(then);
    let under = |scenario: &Scenario, projections: &[Projection]| {
        what_if::under(projections, scenario, &site.thresholds, then)
    };
    if asked.scenario.archives.is_empty() {
        return under(&asked.scenario, projections);
    }
    // Asked of all, an archival is of what piles up.
    let others = Scenario {
        archives: Vec::new(),
        ..asked.scenario.clone()
    };
    let each = projections.iter().flat_map(|projection| {
        let scenario = if projection.resource.piles_up() {
            &asked.scenario
        } else {
            &others
        };
        under(scenario, std::slice::from_ref(projection))
    });
    each.collect()
}

fn answer(site: &Site, asked: &Asked) -> WhatIf {
    let was: Vec<Cow<'_, Projection>> = asked
        .resources
        .iter()
        .map(|resource| capacity::projection(site, &asked.target, &asked.state, *resource))
        .collect();
    let projections: Vec<Projection> = was.iter().map(|p| p.as_ref().clone()).collect();
    let rows = rows(site, asked, &projections);
    let made_at = projections.first().map_or(site.started_at, |p| p.made_at);
    let then = outlook::months_later(made_at, asked.slice.months).unwrap_or(made_at);
    let breaks_first = what_if::breaks_first(&rows).map(|(resource_type, limit)| BreaksFirst {
        resource_type,
        limit: (&limit).into(),
    });
    let resources = rows
        .iter()
        .zip(&projections)
        .map(|(row, was)| WhatIfResource {
            forecast: outlook::forecast(&row.projection, asked.slice, &site.thresholds),
            headroom: row.headroom,
            load_factor_now: row.load_now,
            load_factor_then: row.load_then,
            as_is: was
                .forecast()
                .map_or_else(Vec::new, |made| outlook::met(made, asked.slice.before)),
        });
    WhatIf {
        target: asked.target.clone(),
        scenario: words(asked),
        then: then.to_string(),
        breaks_first,
        resources: resources.collect(),
    }
}

/// The scenario in words, amounts in the unit of the one resource that they can be of.
fn words(asked: &Asked) -> Vec<String> {
    let unit = asked.resources.first().map(|resource| resource.unit());
    scenario::words(&asked.scenario, &|amount| {
        unit.map_or_else(|| amount.to_string(), |unit| quantity(amount, unit))
    })
}
