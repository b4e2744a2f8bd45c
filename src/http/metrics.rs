//! `/metrics`: the last scrape of each target that answers, our own series, our own latency.
//!
//! Made-up history never appears here: only what was scraped does, and a target that is down has
//! a gap instead of old values.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};

use super::ask::Ask;
use super::body::Answer;
use super::error::Refusal;
use super::exposition::{Exposition, Format, Kind};
use super::{Compat, Site, latency};
use crate::model::series::{self, Labels, Sample};
use crate::model::target::Reach;
use crate::work::board::Board;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /metrics`.
pub(super) async fn scrape(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    ask: Ask,
) -> Result<Answer, Refusal> {
    let names = [("own", None), ("compat", Some(&site.hooks.compat))];
    let compat = ask.choice("names", &names, None)?;
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    let open = accept.is_some_and(|accept| accept.contains("application/openmetrics-text"));
    let mut exposition = Exposition::default();
    process(&site, &mut exposition);
    site.meter.write(&mut exposition);
    latency::write(&site, &mut exposition);
    if let Some(own) = site.board.own() {
        for sample in &own.samples {
            add(
                &mut exposition,
                &site.board,
                compat,
                sample,
                &sample.series.labels,
            );
        }
    }
    targets(&site, compat, &mut exposition);
    Ok(if open {
        Answer::of(OPEN, exposition.write(Format::OpenMetrics))
    } else {
        Answer::of(TEXT, exposition.write(Format::Text))
    })
}

fn process(site: &Site, to: &mut Exposition) {
    const BUILD: &str = "plimsoll_build_info";
    const START: &str = "plimsoll_start_time_seconds";
    to.declare(
        BUILD,
        Kind::Gauge,
        "Version of this program; the value is always 1.",
    );
    let version = Labels::none().with("version", env!("CARGO_PKG_VERSION"));
    to.sample(BUILD, "", &version, 1.0);
    to.declare(
        START,
        Kind::Gauge,
        "When this process started, in seconds since 1970.",
    );
    to.sample(START, "", &Labels::none(), site.started_at.as_secs_f64());
}

fn targets(site: &Site, compat: Option<&Compat>, to: &mut Exposition) {
    // The name that alert rules for PostgreSQL know; a scrape cannot tell that it failed.
    const UP: &str = "pg_up";
    const LAST: &str = "plimsoll_target_last_scrape_timestamp_seconds";
    to.declare(
        UP,
        Kind::Gauge,
        "Whether the last scrape of the server succeeded.",
    );
    to.declare(
        LAST,
        Kind::Gauge,
        "When the target was last scraped, in seconds since 1970.",
    );
    for name in site.board.names() {
        let Some(state) = site.board.target(&name) else {
            continue;
        };
        let label = Labels::none().with("target", name.as_str());
        let up = state.reach == Reach::Up;
        to.sample(UP, "", &label, f64::from(u8::from(up)));
        if let Some(at) = state.last_scrape_at {
            to.sample(LAST, "", &label, at.as_secs_f64());
        }
        for sample in state.samples().filter(|_| up) {
            let labels = sample.series.labels.clone().with("target", name.as_str());
            add(to, &site.board, compat, sample, &labels);
        }
    }
}

fn add(
    to: &mut Exposition,
    board: &Board,
    compat: Option<&Compat>,
    sample: &Sample,
    labels: &Labels,
) {
    let own = sample.series.metric.as_ref();
    let kind = match sample.kind {
        series::Kind::Counter => Kind::Counter,
        series::Kind::Gauge => Kind::Gauge,
    };
    let help = board
        .metric(own)
        .map_or("Collected, but not described.", |metric| metric.help);
    let Some(names) = compat.and_then(|compat| compat.get(own)) else {
        to.declare(own, kind, help);
        to.sample(own, "", labels, sample.value);
        return;
    };
    for name in names {
        to.declare(name.theirs, kind, help);
        to.sample(name.theirs, "", labels, sample.value * name.factor);
    }
}
