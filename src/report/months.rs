//! A forecast in a few figures: one at the first of each month.
//!
//! For: the tables beside charts and in a terminal. Not for: drawing, which shows every step.

use super::headroom::forecast;
use super::words;
use crate::model::capacity::{ForecastPoint, Projection};
use crate::model::units::{Millis, Timestamp};

/// Half of the week around a first of a month that is averaged: what the day of the week adds would
/// otherwise make every other month look busy.
const AROUND_MS: i64 = 7 * 86_400_000 / 2;

/// What is expected at the first of a month.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Month {
    /// Midnight of the first.
    pub(crate) at: Timestamp,
    /// Mean of the week around it.
    pub(crate) mean: f64,
    /// The 80 % band, averaged likewise; `None` where the forecast has none.
    pub(crate) band: Option<(f64, f64)>,
    /// `mean` over the limit.
    pub(crate) share: Option<f64>,
}

/// The coming firsts of months up to `until`, at most `max`.
pub(crate) fn months(projection: &Projection, until: Timestamp, max: usize) -> Vec<Month> {
    let points = forecast(projection).map_or(&[][..], |forecast| forecast.points.as_slice());
    let limit = projection.limit.as_ref().map(|limit| limit.value);
    let mut current = words::day(projection.made_at).map(|day| (day.year(), day.month()));
    let mut months = Vec::new();
    for point in points.iter().take_while(|point| point.at <= until) {
        let here = words::day(point.at).map(|day| (day.year(), day.month()));
        if here == current {
            continue;
        }
        if months.len() == max {
            break;
        }
        current = here;
        let at = point.at.floor_to(Millis::DAY);
        months.extend(around(points, at, limit));
    }
    months
}

fn around(points: &[ForecastPoint], at: Timestamp, limit: Option<f64>) -> Option<Month> {
    let near = |point: &&ForecastPoint| {
        (point.at.as_millis().saturating_sub(at.as_millis())).abs() <= AROUND_MS
    };
    let week: Vec<&ForecastPoint> = points.iter().filter(near).collect();
    let n = week.len() as f64;
    let mean = week.iter().map(|point| point.mean / n).sum::<f64>();
    let bands = week.iter().map(|point| {
        let band = point
            .bands
            .iter()
            .find(|b| (b.level.get() - 0.8).abs() < 1e-9)?;
        Some((band.lo / n, band.hi / n))
    });
    let band = bands.reduce(|sum, band| {
        let ((lo, hi), (more_lo, more_hi)) = (sum?, band?);
        Some((lo + more_lo, hi + more_hi))
    })?;
    Some(Month {
        at,
        mean,
        band,
        share: limit
            .map(|limit| mean / limit)
            .filter(|share| share.is_finite()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn months_follow_each_other_without_the_weekly_season() {
        let input = fixture::rich();
        let cpu = &input.targets[0].projections[0];
        let months = months(cpu, Timestamp::from_millis(i64::MAX), 12);
        assert_eq!(months.len(), 12);
        assert!(months[0].at.to_string().starts_with("2026-06-01"));
        // CPU grows steadily under a weekly wave ninety times the size of a day's growth.
        for pair in months.windows(2) {
            assert!(pair[0].mean < pair[1].mean, "{pair:?}");
        }
        let (lo, hi) = months[3].band.unwrap();
        assert!(lo < months[3].mean && months[3].mean < hi);
    }

    #[test]
    fn without_a_forecast_there_are_none() {
        let input = fixture::fresh();
        let until = Timestamp::from_millis(i64::MAX);
        assert!(months(&input.targets[0].projections[0], until, 12).is_empty());
    }
}
