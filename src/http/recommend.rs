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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::capacity::{Backtest, Estimate, Forecast, Limit, LimitOrigin};
    use crate::model::units::Ratio;

    fn advice(
        usage: Option<f64>,
        limit: Option<f64>,
        crossings: Vec<Crossing>,
    ) -> Vec<(String, String)> {
        let estimate = Estimate {
            value: 0.0,
            lo: 0.0,
            hi: 0.0,
        };
        let projection = Projection {
            target: "t".to_owned(),
            resource: Resource::Memory,
            made_at: Timestamp::from_millis(0),
            usage,
            limit: limit.map(|value| Limit {
                value,
                origin: LimitOrigin::Measured("MemTotal".to_owned()),
            }),
            outlook: Some(Outlook::Forecast(Box::new(Forecast {
                level: 1.0,
                step: Millis::DAY,
                points: Vec::new(),
                growth_per_day: estimate,
                growth_per_month: None,
                periods: Vec::new(),
                method: "naive".to_owned(),
                backtest: Backtest {
                    origins: 1,
                    horizon: 1,
                    mae: 0.0,
                    relative_mae: 1.0,
                    coverage_p80: 0.8,
                    coverage_p95: 0.95,
                },
                crossings,
                changes: Vec::new(),
                seasons: Vec::new(),
                confidence: None,
                simulated: None,
            }))),
            history: Vec::new(),
            history_start: Timestamp::from_millis(0),
            coverage: 1.0,
            synthetic: None,
            lead_time: Millis::DAY,
        };
        let thresholds = Thresholds {
            warn: Ratio::new(0.75).unwrap(),
            critical: Ratio::new(0.9).unwrap(),
        };
        let given = recommend(&projection, &thresholds).into_iter();
        given
            .map(|advice| (advice.action, advice.priority))
            .collect()
    }

    fn crossing(name: &str, day: Option<u64>, crossed: bool) -> Crossing {
        let date =
            day.map(|day| Timestamp::from_millis(0).plus(Millis(day * 86_400_000).as_duration()));
        Crossing {
            name: name.to_owned(),
            threshold: 1.0,
            probability: if day.is_some() { 0.9 } else { 0.01 },
            p10: date,
            p50: date,
            p90: date,
            crossed,
        }
    }

    fn one(action: &str, priority: &str) -> Vec<(String, String)> {
        vec![(action.to_owned(), priority.to_owned())]
    }

    #[test]
    fn the_nearer_the_date_the_more_urgent() {
        let on = |day| {
            advice(
                Some(5.0),
                Some(10.0),
                vec![crossing("warn", Some(day), false)],
            )
        };
        assert_eq!(on(30), one("scale-up", "short-term"));
        assert_eq!(on(120), one("scale-up", "medium-term"));
        assert_eq!(on(400), one("scale-up", "long-term"));
        assert_eq!(
            advice(Some(9.5), Some(10.0), Vec::new()),
            one("scale-up", "immediate")
        );
    }

    #[test]
    fn a_passed_warning_looks_to_the_critical_date() {
        let passed = || crossing("warn", None, true);
        let next = vec![passed(), crossing("critical", Some(150), false)];
        assert_eq!(
            advice(Some(8.0), Some(10.0), next),
            one("scale-up", "medium-term")
        );
        assert_eq!(
            advice(Some(8.0), Some(10.0), vec![passed()]),
            one("scale-up", "short-term")
        );
    }

    #[test]
    fn an_idle_resource_may_shrink_and_an_unknown_one_gets_no_advice() {
        let idle = vec![crossing("warn", None, false)];
        assert_eq!(
            advice(Some(1.0), Some(10.0), idle.clone()),
            one("optimize", "long-term")
        );
        assert_eq!(advice(Some(5.0), Some(10.0), idle.clone()), []);
        assert_eq!(advice(None, Some(10.0), idle.clone()), []);
        assert_eq!(advice(Some(1.0), None, idle), []);
    }
}
