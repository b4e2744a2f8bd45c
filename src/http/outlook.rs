//! A stored projection, sliced into months or days: nothing is fitted here.

use super::recommend::recommend;
use super::wire::{CapacityForecast, CapacityProjection, CapacityTrend, DataPoint, ThresholdDate};
use crate::config::Thresholds;
use crate::model::capacity::{Forecast, ForecastPoint, Interval, Outlook, Projection};
use crate::model::units::{Millis, Timestamp};
use crate::work::what_if::probability_before;

/// Days that a trend shows at most: a quarter.
const TREND_DAYS: usize = 90;
/// How near the predicted usage counts as right, as a share of it: what `confidence` speaks of.
const NEAR: f64 = 0.10;

/// Which part of a forecast is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slice {
    /// Months ahead.
    pub(super) months: u32,
    /// A point a day instead of a month.
    pub(super) daily: bool,
    /// The date before which thresholds may be reached.
    pub(super) before: Option<Timestamp>,
}

impl Slice {
    /// Monthly points, no date.
    pub(super) const fn months(months: u32) -> Self {
        Self {
            months,
            daily: false,
            before: None,
        }
    }
}

/// The forecast of one resource.
pub(super) fn forecast(
    projection: &Projection,
    slice: Slice,
    thresholds: &Thresholds,
) -> CapacityForecast {
    let capacity = projection.limit.as_ref().map(|limit| limit.value);
    let made = projection.forecast();
    let (outlook, have_days, need_days) = match &projection.outlook {
        Some(Outlook::Forecast(_)) => ("forecast", None, None),
        Some(Outlook::NotEnoughData {
            have_days,
            need_days,
        }) => ("notEnoughData", Some(*have_days), Some(*need_days)),
        None => ("unmeasured", None, None),
    };
    let projections = made.map(|made| {
        if slice.daily {
            daily(made, projection.made_at, slice.months, capacity)
        } else {
            monthly(made, projection.made_at, slice.months, capacity)
        }
    });
    CapacityForecast {
        resource_type: projection.resource,
        current_usage: projection.usage,
        current_capacity: capacity,
        utilization_rate: rate(projection.usage, capacity),
        projections: projections.unwrap_or_default(),
        recommendations: recommend(projection, thresholds),
        target: projection.target.clone(),
        unit: projection.resource.unit(),
        made_at: projection.made_at.to_string(),
        outlook: outlook.to_owned(),
        have_days,
        need_days,
        limit_origin: projection.limit.as_ref().map(|limit| limit.origin.clone()),
        method: made.map(|made| made.method.clone()),
        backtest: made.map(|made| made.backtest.clone()),
        growth_per_day: made.map(|made| made.growth_per_day),
        growth_per_month: made.and_then(|made| made.growth_per_month),
        thresholds: made.map_or_else(Vec::new, |made| met(made, slice.before)),
        coverage: projection.coverage,
        synthetic: projection.synthetic.map(Into::into),
        more_days: have_days
            .zip(need_days)
            .map(|(have, need)| (need - have).max(0.0)),
        level: made.map(|made| made.level),
        changes: made.map_or_else(Vec::new, |made| {
            made.changes.iter().map(Into::into).collect()
        }),
        seasons: made.map_or_else(Vec::new, |made| made.seasons.clone()),
        confidence: projection.confidence(),
        act_by: projection.act_by().map(|at| at.to_string()),
    }
}

/// When thresholds are met, and how likely that is before a date.
pub(super) fn met(forecast: &Forecast, before: Option<Timestamp>) -> Vec<ThresholdDate> {
    let crossings = forecast.crossings.iter();
    crossings
        .map(|crossing| ThresholdDate {
            probability_before: before
                .and_then(|date| probability_before(forecast, crossing.threshold, date)),
            ..crossing.into()
        })
        .collect()
}

/// Usage over limit, if both are known. It may exceed 1: a limit can be configured below the usage.
pub(super) fn rate(usage: Option<f64>, limit: Option<f64>) -> Option<f64> {
    let rate = usage? / limit?;
    rate.is_finite().then_some(rate)
}

/// One point a month, as far as the forecast reaches.
fn monthly(
    forecast: &Forecast,
    from: Timestamp,
    months: u32,
    capacity: Option<f64>,
) -> Vec<CapacityProjection> {
    (1..=months)
        .map_while(|month| {
            let date = months_later(from, month)?;
            Some(projected(point_at(forecast, date)?, date, capacity))
        })
        .collect()
}

/// Every point of the coming months; a point's date is the start of its step.
fn daily(
    forecast: &Forecast,
    from: Timestamp,
    months: u32,
    capacity: Option<f64>,
) -> Vec<CapacityProjection> {
    let until = months_later(from, months);
    let points = forecast.points.iter();
    points
        .take_while(|point| until.is_some_and(|until| point.at <= until))
        .map(|point| projected(point, point.at, capacity))
        .collect()
}

fn projected(point: &ForecastPoint, date: Timestamp, capacity: Option<f64>) -> CapacityProjection {
    CapacityProjection {
        date: date.to_string(),
        predicted_usage: point.mean,
        predicted_capacity: capacity,
        utilization_rate: rate(Some(point.mean), capacity),
        confidence: confidence(point),
        intervals: point.bands.clone(),
    }
}

/// The same day `months` later, or the month's last where it has no such day.
pub(super) fn months_later(from: Timestamp, months: u32) -> Option<Timestamp> {
    let from = jiff::Timestamp::from_millisecond(from.as_millis()).ok()?;
    let later = from
        .to_zoned(jiff::tz::TimeZone::UTC)
        .checked_add(jiff::Span::new().months(i64::from(months)))
        .ok()?;
    Some(Timestamp::from_millis(later.timestamp().as_millisecond()))
}

/// The point whose step holds `date`; `None` beyond the horizon.
pub(super) fn point_at(forecast: &Forecast, date: Timestamp) -> Option<&ForecastPoint> {
    let after = forecast.points.partition_point(|point| point.at <= date);
    let point = forecast.points.get(after.checked_sub(1)?)?;
    (date < point.at.plus(forecast.step.as_duration())).then_some(point)
}

/// Probability that usage lies within 10 % of the predicted one.
///
/// Read off the forecast's own bands: between two of their edges the distribution function is
/// taken as straight, beyond the widest as exponential with the rate of the widest band's edge. A
/// narrow forecast near its origin has nearly 1, a wide one far away little. `None` without bands
/// or for a usage that is not positive. Our own derivation.
fn confidence(point: &ForecastPoint) -> Option<f64> {
    if point.bands.is_empty() || point.mean <= 0.0 {
        return None;
    }
    let reach = NEAR * point.mean;
    let upper = half_mass(&point.bands, reach, |band| band.hi - point.mean);
    let lower = half_mass(&point.bands, reach, |band| point.mean - band.lo);
    Some((upper + lower).clamp(0.0, 1.0))
}

/// Mass on one side of the mean that lies within `reach` of it.
fn half_mass(bands: &[Interval], reach: f64, width: impl Fn(&Interval) -> f64) -> f64 {
    let (mut mass, mut edge) = (0.0, 0.0);
    for band in bands {
        let (next_mass, next_edge) = (band.level.get() / 2.0, width(band).max(edge));
        if reach < next_edge {
            return mass + (next_mass - mass) * (reach - edge) / (next_edge - edge);
        }
        (mass, edge) = (next_mass, next_edge);
    }
    if edge <= 0.0 {
        return 0.5;
    }
    // An exponential tail that holds what is left of the half, with its scale such that the last
    // band's mass would have been reached at its edge.
    let left = 0.5 - mass;
    let scale = edge / (0.5 / left).ln();
    mass + left * (1.0 - (-(reach - edge) / scale).exp())
}

/// Where a resource has been going; `None` without history.
pub(super) fn trend(projection: &Projection) -> Option<CapacityTrend> {
    let skipped = projection.history.len().saturating_sub(TREND_DAYS);
    let day = |i: usize| {
        let offset = Millis(Millis::DAY.0.saturating_mul(i as u64));
        projection.history_start.plus(offset.as_duration())
    };
    let data_points: Vec<DataPoint> = projection
        .history
        .iter()
        .enumerate()
        .skip(skipped)
        .filter(|(_, value)| value.is_finite())
        .map(|(i, value)| DataPoint {
            timestamp: day(i).to_string(),
            value: *value,
        })
        .collect();
    let growth = match &projection.outlook {
        Some(Outlook::Forecast(forecast)) => forecast.growth_per_month,
        _ => None,
    };
    let direction = growth.map(|growth| {
        if growth.lo > 0.0 {
            "increasing"
        } else if growth.hi < 0.0 {
            "decreasing"
        } else {
            "stable"
        }
    });
    (!data_points.is_empty()).then(|| CapacityTrend {
        resource_type: projection.resource,
        period: "month".to_owned(),
        growth: growth.map(|growth| growth.value),
        trend: direction.map(str::to_owned),
        data_points,
        synthetic: projection.synthetic.map(Into::into),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::units::Level;

    fn point(mean: f64, sigma: f64) -> ForecastPoint {
        // Normal quantiles of 50, 80 and 95 % bands.
        let bands = [
            (Level::P50, 0.6745),
            (Level::P80, 1.2816),
            (Level::P95, 1.96),
        ];
        let band = |(level, z): (Level, f64)| Interval {
            level,
            lo: mean - z * sigma,
            hi: mean + z * sigma,
        };
        ForecastPoint {
            at: Timestamp::from_millis(0),
            mean,
            bands: bands.map(band).to_vec(),
        }
    }

    #[test]
    fn confidence_is_near_the_normal_mass_for_normal_bands() {
        // P(|Z| < 0.1·mean/σ) from the normal table; straight lines between edges err by < 0.05.
        for (sigma, wanted) in [
            (2.0, 1.0),
            (5.0, 0.954),
            (10.0, 0.683),
            (20.0, 0.383),
            (50.0, 0.159),
        ] {
            let got = confidence(&point(100.0, sigma)).unwrap();
            assert!(
                (got - wanted).abs() < 0.05,
                "σ {sigma}: {got} against {wanted}"
            );
        }
        assert_eq!(confidence(&point(0.0, 1.0)), None);
    }

    #[test]
    fn confidence_falls_as_bands_widen_and_a_sure_thing_has_all() {
        let values: Vec<f64> = (1..200)
            .map(|sigma| confidence(&point(100.0, f64::from(sigma))).unwrap())
            .collect();
        assert!(values.windows(2).all(|pair| pair[0] >= pair[1]));
        assert!((confidence(&point(100.0, 0.0)).unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_31st_becomes_the_last_of_a_shorter_month() {
        let from = Timestamp::parse("2026-08-31T12:00:00Z").unwrap();
        let later = |n| months_later(from, n).unwrap().to_string();
        assert_eq!(later(1), "2026-09-30T12:00:00.000Z");
        assert_eq!(later(6), "2027-02-28T12:00:00.000Z");
        assert_eq!(months_later(Timestamp::from_millis(i64::MAX), 1), None);
    }
}
