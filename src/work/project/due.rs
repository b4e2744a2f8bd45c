//! When a forecast is made anew.

use std::time::Duration;

use crate::model::capacity::{Limit, LimitOrigin, Outlook, Projection};
use crate::model::units::{Millis, Timestamp};

/// How soon a run is repeated while a resource has too little history for a forecast.
const YOUNG: Millis = Millis::HOUR;

/// Whether the time for a run has come.
pub(super) fn is_due(projections: &[Projection], every: Millis, now: Timestamp) -> bool {
    let young = |p: &Projection| matches!(p.outlook, None | Some(Outlook::NotEnoughData { .. }));
    projections.is_empty()
        || projections.iter().any(|projection| {
            let every = if young(projection) {
                YOUNG.0.min(every.0)
            } else {
                every.0
            };
            // Made in the future: the clock was set back, and the run belongs to that future.
            projection.made_at > now
                || now.since(projection.made_at) >= Duration::from_millis(every)
        })
}

/// Whether the thresholds that a forecast was asked about are not these shares of the limit.
///
/// What an operator has set counts at once and to the last digit. A limit that is measured moves by
/// itself, as free space does: it counts once it is off by a hundredth, and not before an hour.
pub(super) fn has_other_thresholds(
    projection: &Projection,
    limit: &Limit,
    shares: &[(&str, f64)],
    now: Timestamp,
) -> bool {
    let Some(Outlook::Forecast(forecast)) = &projection.outlook else {
        return false;
    };
    let is_young = now.since(projection.made_at) < Duration::from_millis(YOUNG.0);
    let slack = match limit.origin {
        LimitOrigin::Configured(_) => 1e-9,
        LimitOrigin::Measured(_) if is_young => return false,
        LimitOrigin::Measured(_) => 0.01,
    };
    let asked = &forecast.crossings;
    shares.len() != asked.len()
        || shares.iter().zip(asked).any(|((name, share), crossing)| {
            let wanted = limit.value * share;
            crossing.name != *name || (crossing.threshold - wanted).abs() > slack * wanted.abs()
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::{self, Plan, Threshold};
    use crate::model::capacity::Resource;
    use crate::model::series::Window;

    #[test]
    fn other_limits_than_a_forecast_was_made_for_are_a_reason_for_a_new_one() {
        let made_at = Timestamp::from_millis(1_700_000_000_000);
        let shares = [("warn", 0.8), ("limit", 1.0)];
        let values = (0..90).map(f64::from).collect();
        let window = Window {
            start: made_at.minus(Millis(90 * Millis::DAY.0).as_duration()),
            step: Millis::DAY,
            values,
        };
        let thresholds = shares.map(|(name, share)| Threshold {
            name: name.to_owned(),
            value: 200.0 * share,
        });
        let plan = Plan {
            thresholds: thresholds.into(),
            ..Plan::default()
        };
        let projection = Projection {
            target: "main".into(),
            resource: Resource::Storage,
            made_at,
            usage: None,
            limit: None,
            outlook: Some(forecast::make(&window, &plan).unwrap().outlook),
            coverage: 1.0,
            history_start: window.start,
            history: Vec::new(),
            synthetic: None,
            lead_time: Millis::DAY,
        };
        let now = |hours: u64| made_at.plus(Millis(hours * Millis::HOUR.0).as_duration());
        let set = |value| Limit {
            value,
            origin: LimitOrigin::Configured("limits".into()),
        };
        let read = |value| Limit {
            value,
            origin: LimitOrigin::Measured("size".into()),
        };
        let is_due = |limit: Limit, shares: &[(&str, f64)], hours| {
            has_other_thresholds(&projection, &limit, shares, now(hours))
        };
        assert!(!is_due(set(200.0), &shares, 9) && is_due(set(200.5), &shares, 0));
        assert!(is_due(set(200.0), &[("warn", 0.7), ("limit", 1.0)], 0));
        // Free space moves by itself.
        assert!(!is_due(read(201.0), &shares, 9) && !is_due(read(300.0), &shares, 0));
        assert!(is_due(read(300.0), &shares, 2));
    }
}
