//! One sentence for the top of the page.

use crate::model::capacity::{Outlook, Projection, Resource};
use crate::model::finding::{Alert, Finding, Severity};
use crate::model::units::Timestamp;

/// How it stands, in one sentence.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The worst of alerts and findings; `None` when there is neither.
    pub severity: Option<Severity>,
    /// For people.
    pub sentence: String,
}

/// Sums up: the worst alert, else what runs out first, and how many findings wait.
pub fn verdict(projections: &[Projection], alerts: &[Alert], findings: &[Finding]) -> Verdict {
    let by_alerts = alerts.iter().map(|alert| alert.severity);
    let severity = by_alerts.chain(findings.iter().map(|f| f.severity)).max();
    let worst = alerts.iter().max_by_key(|alert| alert.severity);
    let capacity = match worst {
        Some(alert) => alert.message.clone(),
        None => first_limit(projections).map_or_else(
            || nothing_ahead(projections),
            |(resource, at)| {
                format!(
                    "{resource} is the first to meet its limit, about {}",
                    day(at)
                )
            },
        ),
    };
    let urgent = findings
        .iter()
        .filter(|f| f.severity >= Severity::Warning)
        .count();
    let tail = match urgent {
        0 => String::new(),
        1 => "; 1 finding to mend".to_owned(),
        n => format!("; {n} findings to mend"),
    };
    Verdict {
        severity,
        sentence: format!("{capacity}{tail}"),
    }
}

/// The crossing of a limit that most likely comes first.
fn first_limit(projections: &[Projection]) -> Option<(Resource, Timestamp)> {
    let forecasts = projections.iter().filter_map(|p| match &p.outlook {
        Some(Outlook::Forecast(forecast)) => Some((p.resource, forecast)),
        _ => None,
    });
    forecasts
        .filter_map(|(resource, forecast)| {
            let limit = forecast.crossings.iter().find(|c| c.name == "limit")?;
            Some((resource, limit.p50?))
        })
        .min_by_key(|(_, at)| *at)
}

/// What to say when no forecast meets a limit: whether there is one at all.
fn nothing_ahead(projections: &[Projection]) -> String {
    let forecasts = projections
        .iter()
        .filter(|p| matches!(p.outlook, Some(Outlook::Forecast(_))))
        .count();
    if forecasts == 0 {
        "there is too little history for a forecast yet".to_owned()
    } else {
        "no resource is expected to meet its limit within the forecast".to_owned()
    }
}

fn day(at: Timestamp) -> String {
    at.to_string().chars().take("2026-01-01".len()).collect()
}
