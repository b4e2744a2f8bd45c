//! How much is left of one resource, and when it runs out.
//!
//! For: one [`HeadroomRow`] a projection. Not for: the whole (`verdict`) nor for forecasting.
//!
//! Dates come from the crossings of a forecast. The 10 % and 90 % times are called its 80 %
//! interval. *Act by* is the early end of the limit's interval less the configured lead time.

use serde::{Deserialize, Serialize};

use super::verdict::Standing;
use super::words;
use crate::model::capacity::{
    Crossing, Estimate, Forecast, LimitOrigin, Outlook, Projection, Resource, Trust,
};
use crate::model::units::Timestamp;

/// An act-by date nearer than this many days is a warning; one that has passed is critical.
const SOON_DAYS: f64 = 30.0;

/// When a resource reaches a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "when")]
pub enum When {
    /// It is at or over it already.
    Crossed,
    /// More likely than not within the horizon.
    Expected {
        /// Early end of the 80 % interval.
        p10: Timestamp,
        /// Median.
        p50: Timestamp,
        /// Late end; `None` is beyond the horizon.
        p90: Option<Timestamp>,
    },
    /// Less likely than not within the horizon.
    #[serde(rename_all = "camelCase")]
    Unlikely {
        /// Probability within the horizon.
        probability: f64,
        /// The early end, where at least one path in ten gets there.
        p10: Option<Timestamp>,
        /// Where the forecast ends.
        horizon: Option<Timestamp>,
    },
    /// Too little history to say.
    #[serde(rename_all = "camelCase")]
    NotEnoughData {
        /// Days that hold values.
        have_days: f64,
        /// Days needed.
        need_days: f64,
    },
    /// Nothing says what the limit is.
    NoLimit,
    /// The usage cannot be measured here.
    NotMeasured,
    /// No forecast was asked to look for it.
    NotForecast,
}

/// One resource of one target in one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeadroomRow {
    /// The target's name.
    pub target: String,
    /// Which resource.
    pub resource: Resource,
    /// Last measured usage, in the resource's unit.
    pub usage: Option<f64>,
    /// The limit, in the same unit.
    pub limit: Option<f64>,
    /// Where the limit comes from, in words.
    pub limit_origin: Option<String>,
    /// Usage over limit.
    pub utilisation: Option<f64>,
    /// The warning threshold as a share of the limit.
    pub warn_at: Option<f64>,
    /// The critical threshold as a share of the limit.
    pub critical_at: Option<f64>,
    /// Change per month as a share of the level.
    pub growth_per_month: Option<Estimate>,
    /// When it reaches the warning threshold.
    pub warn: When,
    /// When it reaches the critical threshold.
    pub critical: When,
    /// When it reaches the limit.
    pub full: When,
    /// By when to have begun; `None` where no date is in sight.
    pub act_by: Option<Timestamp>,
    /// How it stands.
    pub standing: Standing,
    /// What to do, in words.
    pub action: String,
    /// How far the dates may be trusted; `None` without a forecast.
    pub confidence: Option<Trust>,
    /// Part of the history is made up.
    pub synthetic: bool,
}

/// Sums up one resource, as of the time that its forecast was made.
pub fn headroom(projection: &Projection) -> HeadroomRow {
    let limit = projection.limit.as_ref();
    let forecast = forecast(projection);
    let utilisation = projection
        .usage
        .zip(limit)
        .map(|(usage, limit)| usage / limit.value)
        .filter(|share| share.is_finite());
    let full = when(projection, "limit");
    let standing = standing(projection, projection.made_at);
    HeadroomRow {
        target: projection.target.clone(),
        resource: projection.resource,
        usage: projection.usage,
        limit: limit.map(|limit| limit.value),
        limit_origin: limit.map(|limit| match &limit.origin {
            LimitOrigin::Measured(from) => format!("measured: {from}"),
            LimitOrigin::Configured(key) => format!("configured: {key}"),
        }),
        utilisation,
        warn_at: share_of_limit(projection, "warn"),
        critical_at: share_of_limit(projection, "critical"),
        growth_per_month: forecast.and_then(|forecast| forecast.growth_per_month),
        warn: when(projection, "warn"),
        critical: when(projection, "critical"),
        full,
        act_by: projection
            .act_by()
            .filter(|_| matches!(full, When::Expected { .. } | When::Unlikely { .. })),
        standing,
        action: action(projection, &full, standing),
        confidence: projection.confidence().map(|confidence| confidence.word),
        synthetic: projection.synthetic.is_some(),
    }
}

/// The forecast of a projection, where it has one.
pub(crate) fn forecast(projection: &Projection) -> Option<&Forecast> {
    projection.forecast()
}

/// A threshold's date and interval in words: `19 Jun 2026 (80 %: 11 Jun – 3 Jul 2026)`.
pub(crate) fn when_words(when: &When) -> String {
    match when {
        When::Crossed => "already reached".to_owned(),
        When::Expected { p10, p50, p90 } => {
            let middle = words::long_date(*p50);
            format!("{middle} (80 %: {})", interval(*p10, *p90))
        }
        When::Unlikely {
            probability,
            horizon,
            ..
        } => match horizon {
            Some(end) if *probability < 0.01 => format!("not before {}", words::long_date(*end)),
            Some(end) => {
                let chance = words::percent(*probability);
                format!("{chance} chance before {}", words::long_date(*end))
            }
            None => "not in sight".to_owned(),
        },
        When::NotEnoughData {
            have_days,
            need_days,
        } => {
            let more = words::days((need_days - have_days).max(0.0).ceil());
            format!(
                "not enough data yet: {have_days:.0} of {need_days:.0} days, {more} more needed"
            )
        }
        When::NoLimit => "no limit known".to_owned(),
        When::NotMeasured => "not measured".to_owned(),
        When::NotForecast => "no forecast yet".to_owned(),
    }
}

/// The two ends of a date's interval.
pub(crate) fn interval(p10: Timestamp, p90: Option<Timestamp>) -> String {
    p90.map_or_else(
        || format!("{} or later", words::long_date(p10)),
        |p90| words::date_range(p10, p90),
    )
}

/// `in 47 d (80 %: 39–61 d)`, counted from `now`; `None` where no date is expected.
pub(crate) fn countdown(when: &When, now: Timestamp) -> Option<String> {
    let When::Expected { p10, p50, p90 } = when else {
        return None;
    };
    let left = |at: &Timestamp| words::days_between(now, *at).max(0.0);
    let middle = words::days(left(p50));
    let early = left(p10);
    Some(match p90 {
        None => format!("in {middle} (80 %: {} or later)", words::days(early)),
        Some(p90) if left(p90) <= 730.0 => {
            format!("in {middle} (80 %: {early:.0}–{})", words::days(left(p90)))
        }
        Some(p90) => {
            let late = words::days(left(p90));
            format!("in {middle} (80 %: {} – {late})", words::days(early))
        }
    })
}

fn when(projection: &Projection, name: &str) -> When {
    if projection.usage.is_none() && projection.outlook.is_none() {
        return When::NotMeasured;
    }
    if projection.limit.is_none() {
        return When::NoLimit;
    }
    match &projection.outlook {
        Some(Outlook::NotEnoughData {
            have_days,
            need_days,
        }) => When::NotEnoughData {
            have_days: *have_days,
            need_days: *need_days,
        },
        Some(Outlook::Forecast(forecast)) => forecast
            .crossings
            .iter()
            .find(|crossing| crossing.name == name)
            .map_or(When::NotForecast, |crossing| met(crossing, forecast)),
        None => When::NotForecast,
    }
}

fn share_of_limit(projection: &Projection, name: &str) -> Option<f64> {
    let limit = projection.limit.as_ref()?.value;
    let crossing = forecast(projection)?
        .crossings
        .iter()
        .find(|c| c.name == name)?;
    Some(crossing.threshold / limit).filter(|share| share.is_finite())
}

fn met(crossing: &Crossing, forecast: &Forecast) -> When {
    match (crossing.crossed, crossing.p10, crossing.p50) {
        (true, ..) => When::Crossed,
        (_, early, Some(p50)) => When::Expected {
            p10: early.unwrap_or(p50),
            p50,
            p90: crossing.p90,
        },
        (_, p10, None) => When::Unlikely {
            probability: crossing.probability,
            p10,
            horizon: forecast.points.last().map(|point| point.at),
        },
    }
}

pub(crate) fn standing(projection: &Projection, now: Timestamp) -> Standing {
    let full = when(projection, "limit");
    let by_date = match (&full, projection.act_by()) {
        (When::Crossed, _) => Standing::Critical,
        // An unlikely date is shown, but it alarms nobody.
        (When::Expected { .. }, Some(by)) => match words::days_between(now, by) {
            left if left <= 0.0 => Standing::Critical,
            left if left <= SOON_DAYS => Standing::Warning,
            _ => Standing::Fine,
        },
        (When::NotEnoughData { .. } | When::NotForecast | When::NoLimit | When::NotMeasured, _) => {
            Standing::Unknown
        }
        _ => Standing::Fine,
    };
    let by_level = if when(projection, "critical") == When::Crossed {
        Standing::Critical
    } else if when(projection, "warn") == When::Crossed {
        Standing::Warning
    } else {
        Standing::Fine
    };
    by_date.max(by_level)
}

fn action(projection: &Projection, full: &When, standing: Standing) -> String {
    let resource = projection.resource;
    match full {
        When::NotMeasured => "Watch the host too, or name its figures in the configuration".into(),
        When::NoLimit => format!("Set limits.{resource} in the configuration"),
        When::NotEnoughData {
            have_days,
            need_days,
        } => {
            let wait = (need_days - have_days).max(0.0).ceil();
            format!("Keep recording: a forecast comes in {}", words::days(wait))
        }
        When::NotForecast => "Wait for the first forecast".into(),
        _ if standing >= Standing::Warning => remedy(resource).into(),
        When::Expected { .. } => format!("Plan to {}", lower_first(remedy(resource))),
        _ => "Nothing to do".into(),
    }
}

const fn remedy(resource: Resource) -> &'static str {
    match resource {
        Resource::Cpu => "Mend the costliest statements first, then add cores",
        Resource::Memory => "Lower work_mem or connections, or add memory",
        Resource::Storage => "Enlarge the volume, or archive and drop old rows",
        Resource::Bandwidth => "Return fewer rows and columns, or take a faster network",
        Resource::Database => "Archive old rows, drop unused indexes, or raise the limit",
        Resource::Connections => "Put a pooler in front, or raise max_connections",
    }
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn act_by_is_the_early_end_less_the_time_of_the_remedy() {
        let input = fixture::rich();
        let row = headroom(&input.targets[0].projections[2]);
        let When::Expected { p10, .. } = row.full else {
            panic!("{:?}", row.full)
        };
        let left = words::days_between(row.act_by.unwrap(), p10);
        assert!((left - 30.0).abs() < 1e-9);
        assert_eq!(row.standing, Standing::Warning);
    }

    #[test]
    fn made_up_history_never_gives_high_confidence() {
        let input = fixture::rich();
        let rows = crate::report::verdict::rows(&input);
        let confidence = |resource| {
            let row = rows.iter().find(|row| row.resource == resource);
            row.and_then(|row| row.confidence)
        };
        assert_eq!(confidence(Resource::Storage), Some(Trust::High));
        assert_eq!(confidence(Resource::Database), Some(Trust::Low));
    }

    #[test]
    fn what_is_not_known_is_said_by_its_reason() {
        let mut projection = fixture::rich().targets[0].projections[0].clone();
        projection.limit = None;
        assert_eq!(headroom(&projection).full, When::NoLimit);
        projection.usage = None;
        projection.outlook = None;
        let row = headroom(&projection);
        assert_eq!(row.full, When::NotMeasured);
        assert_eq!(row.standing, Standing::Unknown);
    }
}
