//! Resources that have passed a share of their limit, or will within a month.

use crate::model::capacity::{Outlook, Projection};
use crate::model::finding::{Alert, Severity};
use crate::model::units::{Millis, Timestamp};

use super::{Targets, percent, utilisation};

/// A month ahead, as growth per month counts it.
const MONTH: Millis = Millis(Millis::DAY.0 * 3044 / 100);

/// Alerts at `now`, worst first, then by the share in use.
///
/// Use above the critical share is critical, above the warning share a warning; a forecast whose
/// mean a month from now lies above its own share is a warning, too, unless the resource is
/// critical already.
pub fn alerts(projections: &[Projection], targets: &Targets, now: Timestamp) -> Vec<Alert> {
    let mut alerts: Vec<Alert> = Vec::new();
    for projection in projections {
        let Some(used) = utilisation(projection) else {
            continue;
        };
        let in_use = used_now(projection, used, targets, now);
        let is_critical = in_use
            .as_ref()
            .is_some_and(|a| a.severity == Severity::Critical);
        alerts.extend(in_use);
        if !is_critical {
            alerts.extend(next_month(projection, used, targets, now));
        }
    }
    alerts.sort_by(|a, b| {
        let worst = b.severity.cmp(&a.severity);
        worst.then(b.current_value.total_cmp(&a.current_value))
    });
    alerts
}

fn used_now(p: &Projection, used: f64, targets: &Targets, now: Timestamp) -> Option<Alert> {
    let set = &targets.capacity;
    let (severity, threshold) = if used > set.critical_ratio {
        (Severity::Critical, set.critical_ratio)
    } else if used > set.warn_ratio {
        (Severity::Warning, set.warn_ratio)
    } else {
        return None;
    };
    let message = format!("{} uses {} of its limit", p.resource, percent(used));
    Some(alert(p, severity, message, (threshold, used), now))
}

fn next_month(p: &Projection, used: f64, targets: &Targets, now: Timestamp) -> Option<Alert> {
    let Some(Outlook::Forecast(forecast)) = &p.outlook else {
        return None;
    };
    let limit = p.limit.as_ref()?.value;
    let then = now.plus(MONTH.as_duration());
    let point = forecast
        .points
        .iter()
        .rev()
        .find(|point| point.at <= then)?;
    // A forecast that ends before, or is too old to reach there, says nothing of that day.
    if then.since(point.at) > 2 * forecast.step.as_duration() {
        return None;
    }
    let expected = point.mean / limit;
    let threshold = targets.capacity.next_month_ratio;
    (expected > threshold).then(|| {
        let message = format!(
            "{} is expected to use {} of its limit in a month",
            p.resource,
            percent(expected)
        );
        alert(p, Severity::Warning, message, (threshold, used), now)
    })
}

fn alert(
    p: &Projection,
    severity: Severity,
    message: String,
    (threshold, current_value): (f64, f64),
    timestamp: Timestamp,
) -> Alert {
    Alert {
        target: p.target.clone(),
        resource_type: p.resource,
        severity,
        message,
        threshold,
        current_value,
        timestamp,
    }
}
