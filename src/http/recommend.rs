//! What to do about a resource, from its limit and the dates that the forecast gives.

use super::outlook::rate;
use super::wire::{CapacityRecommendation, quantity};
use crate::config::Thresholds;
use crate::model::capacity::{Crossing, Outlook, Projection, Resource};
use crate::model::units::{Level, Millis, Timestamp};

/// Reached within this time is `short-term`: ordering and moving takes a quarter.
const SHORT_TERM: Millis = Millis(90 * 86_400_000);
/// Reached within this time is `medium-term`; later is `long-term`.
const MEDIUM_TERM: Millis = Millis(180 * 86_400_000);
/// Below this share of the limit a smaller one may do.
const IDLE: f64 = 0.30;
/// And only when reaching the warning share is less likely than this.
const UNLIKELY: f64 = 0.05;

/// Recommendations, most urgent first; none where usage, limit or both are not known.
pub(super) fn recommend(
    projection: &Projection,
    thresholds: &Thresholds,
) -> Vec<CapacityRecommendation> {
    let limit = projection.limit.as_ref().map(|limit| limit.value);
    let Some(share) = rate(projection.usage, limit) else {
        return Vec::new();
    };
    let resource = projection.resource;
    let crossing = |name: &str| match &projection.outlook {
        Some(Outlook::Forecast(forecast)) => forecast
            .crossings
            .iter()
            .find(|crossing| crossing.name == name),
        _ => None,
    };
    // What comes next; where nothing does, what is passed already.
    let named = || ["warn", "critical"].into_iter().filter_map(crossing);
    let next = named()
        .find(|crossing| !crossing.crossed && crossing.p50.is_some())
        .or_else(|| named().find(|crossing| crossing.crossed));
    let critical = thresholds.critical.get();
    let (action, priority, reason) = if share >= critical {
        let reason = format!("{resource} uses {:.0} % of its limit", share * 100.0);
        ("scale-up", "immediate", reason)
    } else if let Some(crossing) = next {
        let priority = priority(projection, crossing);
        (
            action(resource),
            priority,
            reached(resource, crossing, thresholds),
        )
    } else if share < IDLE && crossing("warn").is_some_and(|warn| warn.probability < UNLIKELY) {
        let reason = format!(
            "{resource} uses {:.0} % of its limit and is unlikely to reach {:.0} %",
            share * 100.0,
            thresholds.warn.get() * 100.0
        );
        ("optimize", "long-term", reason)
    } else {
        return Vec::new();
    };
    let made_up = projection
        .synthetic
        .map_or("", |_| "; this rests on made-up history");
    vec![CapacityRecommendation {
        resource_type: resource,
        action: action.to_owned(),
        priority: priority.to_owned(),
        description: format!("{reason}{made_up}"),
        estimated_cost: None,
        estimated_impact: impact(projection, thresholds),
    }]
}

fn priority(projection: &Projection, crossing: &Crossing) -> &'static str {
    let Some(date) = crossing.p50.filter(|_| !crossing.crossed) else {
        return "short-term";
    };
    let within = |time: Millis| date <= projection.made_at.plus(time.as_duration());
    if within(SHORT_TERM) {
        "short-term"
    } else if within(MEDIUM_TERM) {
        "medium-term"
    } else {
        "long-term"
    }
}

/// What helps first: old rows leave a database, a pooler saves connections, CPU and network are
/// shared among more machines, memory and disks grow.
fn action(resource: Resource) -> &'static str {
    match resource {
        Resource::Cpu | Resource::Bandwidth => "scale-out",
        Resource::Memory | Resource::Storage => "scale-up",
        Resource::Database => "archive",
        Resource::Connections => "optimize",
    }
}

fn reached(resource: Resource, crossing: &Crossing, thresholds: &Thresholds) -> String {
    let share = match crossing.name.as_str() {
        "critical" => thresholds.critical.get(),
        _ => thresholds.warn.get(),
    };
    let threshold = format!("{:.0} % of its limit", share * 100.0);
    match (crossing.crossed, crossing.p50) {
        (false, Some(date)) => {
            let early = crossing.p10.map_or_else(|| "now".to_owned(), day);
            let late = crossing
                .p90
                .map_or_else(|| "beyond the forecast".to_owned(), day);
            let date = day(date);
            format!("{resource} reaches {threshold} around {date} (80 %: {early} to {late})")
        }
        _ => format!("{resource} is over {threshold}"),
    }
}

/// The limit that would hold the upper end of the 80 % band, six months on, below the warning.
fn impact(projection: &Projection, thresholds: &Thresholds) -> String {
    let unit = projection.resource.unit();
    let last = match &projection.outlook {
        Some(Outlook::Forecast(forecast)) => {
            let date = projection.made_at.plus(MEDIUM_TERM.as_duration());
            super::outlook::point_at(forecast, date).or(forecast.points.last())
        }
        _ => None,
    };
    let band = last.and_then(|point| point.bands.iter().find(|band| band.level == Level::P80));
    let warn = thresholds.warn.get();
    let (Some(band), Some(point)) = (band, last) else {
        let needed = quantity(projection.usage.unwrap_or_default() / warn, unit);
        return format!(
            "a limit of {needed} brings it below {:.0} % now",
            warn * 100.0
        );
    };
    let needed = quantity(band.hi / warn, unit);
    let below = format!("below {:.0} % until {}", warn * 100.0, day(point.at));
    format!("a limit of {needed} keeps the upper end of the 80 % band {below}")
}

fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}
