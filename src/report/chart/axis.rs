//! The frame of a chart: how time and value map to the drawing, and where the ticks are.
//!
//! For: [`View`] and its two axes. Not for: what is drawn inside.

use std::fmt::Write as _;

use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::Drawn;
use crate::model::capacity::{Forecast, Projection, Unit};
use crate::model::units::{Millis, Timestamp};
use crate::report::words;

/// Width of the drawing, in its own units; the page scales it.
pub(crate) const WIDTH: f64 = 520.0;
/// Height of the drawing.
pub(crate) const HEIGHT: f64 = 250.0;
/// Room for the value axis.
pub(crate) const LEFT: f64 = 44.0;
/// Room for half a date.
pub(crate) const RIGHT: f64 = 14.0;
/// Room for the unit and the word "today".
pub(crate) const TOP: f64 = 22.0;
/// Room for months and years.
pub(crate) const BOTTOM: f64 = 38.0;

/// At most so many dates; on a narrow screen every second one is hidden.
const DATES_MAX: usize = 8;
/// What is drawn of a forecast when no limit is met: a year.
const QUIET_DAYS: f64 = 365.0;
/// What is drawn at least and at most when one is met.
const SHOWN_DAYS: (f64, f64) = (90.0, 730.0);

/// The part of time and value that a chart shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct View {
    from: f64,
    until: f64,
    /// Value at the upper edge; the lower edge is zero, so that headroom is seen as it is.
    top: f64,
    unit: Unit,
}

impl View {
    /// A view that holds the whole history, the drawn forecast, today and the limit.
    pub(crate) fn around(projection: &Projection, points: &[Drawn]) -> Self {
        let day = Millis::DAY.0 as f64;
        let start = projection.history_start.as_millis() as f64;
        let now = projection.made_at.as_millis() as f64;
        let past_end = start + projection.history.len() as f64 * day;
        let from = if projection.history.is_empty() {
            now - 7.0 * day
        } else {
            start
        };
        let last = points.last().map_or(now + day, |point| point.at);
        Self {
            from,
            until: last.max(past_end).max(from + 2.0 * day),
            top: top(projection, points),
            unit: projection.resource.unit(),
        }
    }

    /// Across: where an instant (ms since 1970) is.
    pub(crate) fn x(&self, at: f64) -> f64 {
        LEFT + (at - self.from) / (self.until - self.from) * (self.right() - LEFT)
    }

    /// Down: where a value is. Far outside the view it stays near it, so that numbers stay short.
    pub(crate) fn y(&self, value: f64) -> f64 {
        let share = (value / self.top).clamp(-1.0, 4.0);
        HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
    }

    /// The right edge of the plot.
    #[expect(clippy::unused_self, reason = "reads as the edge of this view")]
    pub(crate) const fn right(&self) -> f64 {
        WIDTH - RIGHT
    }
}

/// How far the forecast is drawn: past the late end of meeting the limit, or a year.
pub(crate) fn horizon(projection: &Projection, forecast: &Forecast) -> Timestamp {
    let limit = forecast.crossings.iter().find(|c| c.name == "limit");
    let days = limit
        .filter(|crossing| !crossing.crossed)
        .and_then(|crossing| crossing.p90.or(crossing.p50))
        .map_or(QUIET_DAYS, |late| {
            let left = words::days_between(projection.made_at, late) * 1.2;
            left.clamp(SHOWN_DAYS.0, SHOWN_DAYS.1)
        });
    let ms = std::time::Duration::from_secs_f64(days * 86_400.0);
    projection.made_at.plus(ms)
}

/// The upper edge: limit and curves are inside; bands may be cut where they would flatten the rest.
fn top(projection: &Projection, points: &[Drawn]) -> f64 {
    let limit = projection.limit.as_ref().map_or(0.0, |limit| limit.value);
    let largest = |values: &mut dyn Iterator<Item = f64>| {
        values.filter(|v| v.is_finite()).fold(0.0_f64, f64::max)
    };
    let past = largest(&mut projection.history.iter().copied());
    let mean = largest(&mut points.iter().map(|point| point.mean));
    let bands = largest(&mut points.iter().flat_map(|p| p.bands.iter().map(|b| b.2)));
    let mean = if limit > 0.0 {
        mean.min(limit * 1.5)
    } else {
        mean
    };
    let needed = (limit * 1.1).max(past * 1.06).max(mean * 1.04);
    let top = needed.max(bands.min(needed * 1.3));
    if top.is_finite() && top > 0.0 {
        top
    } else {
        1.0_f64.max(limit * 1.01)
    }
}

/// Draws grid, ticks and labels.
pub(crate) fn draw(body: &mut String, view: &View) {
    values(body, view);
    dates(body, view);
}

fn values(body: &mut String, view: &View) {
    let (name, scale) = match view.unit {
        Unit::Bytes | Unit::BytesPerSecond => words::byte_scale(view.top),
        Unit::Cores => ("cores", 1.0),
        Unit::Connections => ("conns", 1.0),
    };
    let per_second = if view.unit == Unit::BytesPerSecond {
        "/s"
    } else {
        ""
    };
    let _ = write!(
        body,
        "<text class=\"tick\" x=\"2\" y=\"{:.1}\">{name}{per_second}</text>",
        TOP - 6.0
    );
    let step = nice_step(view.top / scale / 4.0);
    let places = decimals(step);
    let mut value = 0.0;
    while value * scale <= view.top && value <= step * 12.0 {
        let y = view.y(value * scale);
        let _ = write!(
            body,
            "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{}\"/>\
             <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.places$}</text>",
            view.right(),
            LEFT - 7.0,
            y + 4.0
        );
        value += step;
    }
}

/// The 1, 2 or 5 times a power of ten at or above `rough`, which is positive.
fn nice_step(rough: f64) -> f64 {
    let power = 10.0_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(power * 10.0);
    if step.is_finite() && step > 0.0 {
        step
    } else {
        rough
    }
}

fn decimals(step: f64) -> usize {
    match step {
        step if step >= 1.0 => 0,
        step if step >= 0.1 => 1,
        step if step >= 0.01 => 2,
        _ => 3,
    }
}

fn dates(body: &mut String, view: &View) {
    let floor = HEIGHT - BOTTOM;
    let _ = write!(
        body,
        "<path class=\"axis\" d=\"M{LEFT} {floor}H{}\"/>",
        view.right()
    );
    let mut year = None;
    for (i, tick) in date_ticks(view.from, view.until).into_iter().enumerate() {
        let x = view.x(tick.at);
        let class = if i % 2 == 0 { "tick" } else { "tick second" };
        let _ = write!(
            body,
            "<path class=\"axis\" d=\"M{x:.1} {floor}v4\"/>\
             <text class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            floor + 17.0,
            tick.label
        );
        if year != Some(tick.year) {
            let _ = write!(
                body,
                "<text class=\"tick year\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                floor + 32.0,
                tick.year
            );
            year = Some(tick.year);
        }
    }
}

/// A date on the axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DateTick {
    /// Its midnight, in ms since 1970.
    pub(crate) at: f64,
    /// `May`, or `4 May` where days are shown.
    pub(crate) label: String,
    /// For the line below.
    pub(crate) year: i16,
}

/// Firsts of months, or days of a short span; at most [`DATES_MAX`], all inside the span.
pub(crate) fn date_ticks(from: f64, until: f64) -> Vec<DateTick> {
    let days = (until - from) / Millis::DAY.0 as f64;
    let Some(first) = civil(from) else {
        return Vec::new();
    };
    if days < 75.0 {
        let step = [1, 2, 7, 14]
            .into_iter()
            .find(|step| days / f64::from(*step) <= DATES_MAX as f64 - 1.0)
            .unwrap_or(14);
        return walk(first, from, until, "%-d %b", |day| {
            day.checked_add(step.days())
        });
    }
    let step = [1_i8, 2, 3, 6, 12]
        .into_iter()
        .find(|step| days / 30.44 / f64::from(*step) <= DATES_MAX as f64 - 0.5)
        .unwrap_or(12);
    // Counted from January, so that each year's January is a tick and carries its year.
    let month = (first.month() - 1) / step * step + 1;
    let years = (days / 365.25 / DATES_MAX as f64).ceil().max(1.0);
    Date::new(first.year(), month, 1).map_or_else(
        |_| Vec::new(),
        |start| {
            walk(start, from, until, "%b", |day| {
                let mut next = day.checked_add(step.months())?;
                // Only beyond eight years: then every so many Januaries.
                let mut skipped = 1.0;
                while step == 12 && skipped < years {
                    next = next.checked_add(1.year())?;
                    skipped += 1.0;
                }
                Ok(next)
            })
        },
    )
}

fn walk(
    start: Date,
    from: f64,
    until: f64,
    format: &str,
    next: impl Fn(Date) -> Result<Date, jiff::Error>,
) -> Vec<DateTick> {
    let mut ticks = Vec::new();
    let mut day = start;
    while let Ok(midnight) = day.to_zoned(TimeZone::UTC) {
        let at = midnight.timestamp().as_millisecond() as f64;
        if at > until || ticks.len() > DATES_MAX {
            break;
        }
        if at >= from {
            ticks.push(DateTick {
                at,
                label: day.strftime(format).to_string(),
                year: day.year(),
            });
        }
        let Ok(following) = next(day) else { break };
        day = following;
    }
    ticks
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a float beyond the range saturates, and the calendar then refuses it"
)]
fn civil(ms: f64) -> Option<Date> {
    words::day(Timestamp::from_millis(ms as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(from: &str, until: &str) -> Vec<String> {
        let ms = |text| Timestamp::parse(text).unwrap().as_millis() as f64;
        let ticks = date_ticks(ms(from), ms(until));
        ticks
            .into_iter()
            .map(|tick| format!("{} {}", tick.label, tick.year))
            .collect()
    }

    #[test]
    fn a_year_gets_every_second_month() {
        let got = labels("2025-11-04T00:00:00Z", "2026-11-04T00:00:00Z");
        let want = [
            "Jan 2026", "Mar 2026", "May 2026", "Jul 2026", "Sep 2026", "Nov 2026",
        ];
        assert_eq!(got, want);
    }

    #[test]
    fn a_week_gets_days_and_thirty_years_stay_readable() {
        assert_eq!(
            labels("2026-03-01T00:00:00Z", "2026-03-08T00:00:00Z").len(),
            8
        );
        let decades = labels("2000-01-01T00:00:00Z", "2030-01-01T00:00:00Z");
        assert!(decades.len() <= DATES_MAX + 1, "{decades:?}");
    }

    #[test]
    fn steps_are_1_2_or_5() {
        for (rough, step) in [(0.3, 0.5), (1.1, 2.0), (130.0, 200.0), (6.0, 10.0)] {
            assert!((nice_step(rough) - step).abs() < 1e-9, "{rough}");
        }
    }
}
