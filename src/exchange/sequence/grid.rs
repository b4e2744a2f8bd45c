//! From rows to steps: gaps become missing values, times the nearest step.
//!
//! The step of times is the median distance of two rows. It is known to the clock's tick only, and
//! over a long series a tick a row adds up; so it is refined to the span of all rows by the steps in
//! it, as long as both agree. Months differ in length: their mean is the step, and what comes after
//! stands on the same day of each.

use jiff::tz::TimeZone;

use super::cell::{self, instant};
use super::{Axis, End, Fault, GAP_MAX, STEPS_MAX};
use crate::model::units::{Millis, Timestamp};

/// By this share the refined step may differ from the median: months differ by 2 %.
const AGREE: f64 = 0.05;
/// Mean length of a month of the Gregorian calendar.
const MONTH_MS: f64 = 30.436_875 * 86_400_000.0;
/// The mean of a few months differs from it by less.
const MONTH_AGREE: f64 = 0.05;

/// The rows of one series so far.
pub(super) enum Rows {
    Steps {
        values: Vec<f64>,
        last: Option<i64>,
        step: Option<Millis>,
    },
    Times {
        rows: Vec<(i64, f64)>,
        /// Where the number of the line does not follow from the row before: row and line.
        lines: Vec<(usize, u64)>,
        step: Option<Millis>,
    },
}

/// Values, their distance, and the last one's place.
type Done = (Vec<f64>, Option<Millis>, End);

impl Rows {
    pub(super) fn new(axis: Axis, step: Option<Millis>) -> Self {
        match axis {
            Axis::Steps => Self::Steps {
                values: Vec::new(),
                last: None,
                step,
            },
            Axis::Times => Self::Times {
                rows: Vec::new(),
                lines: Vec::new(),
                step,
            },
        }
    }

    /// Adds a row that stands on `line`.
    pub(super) fn add(&mut self, at: &[u8], y: f64, line: u64) -> Result<(), Fault> {
        match self {
            Self::Steps { values, last, .. } => add_step(values, last, at, y),
            Self::Times { rows, lines, .. } => add_time(rows, lines, at, y, line),
        }
    }

    /// All of them as steps; what is wrong comes with its line.
    pub(super) fn done(self) -> Result<Done, (u64, Fault)> {
        match self {
            Self::Steps { values, last, step } => {
                Ok((values, step, End::at_step(last.unwrap_or_default())))
            }
            Self::Times { rows, lines, step } => on_steps(&rows, &lines, step),
        }
    }
}

fn add_step(values: &mut Vec<f64>, last: &mut Option<i64>, at: &[u8], y: f64) -> Result<(), Fault> {
    let step = cell::step(at).ok_or_else(|| Fault::Step {
        text: cell::shown(at),
    })?;
    if let Some(before) = *last {
        let missing = step.saturating_sub(before).saturating_sub(1);
        if missing < 0 {
            return Err(Fault::Order {
                axis: Axis::Steps,
                before: before.to_string(),
                this: step.to_string(),
            });
        }
        fill(values, missing)?;
    }
    if values.len() >= STEPS_MAX {
        return Err(Fault::Long);
    }
    values.push(y);
    *last = Some(step);
    Ok(())
}

/// Adds missing values.
fn fill(values: &mut Vec<f64>, missing: i64) -> Result<(), Fault> {
    if missing > GAP_MAX {
        return Err(Fault::Gap { missing });
    }
    let len = values.len() + usize::try_from(missing).unwrap_or(usize::MAX);
    if len > STEPS_MAX {
        return Err(Fault::Long);
    }
    values.resize(len, f64::NAN);
    Ok(())
}

fn add_time(
    rows: &mut Vec<(i64, f64)>,
    lines: &mut Vec<(usize, u64)>,
    at: &[u8],
    y: f64,
    line: u64,
) -> Result<(), Fault> {
    let ms = instant(at)
        .ok_or_else(|| Fault::Time {
            text: cell::shown(at),
        })?
        .as_millis();
    if let Some((before, _)) = rows.last()
        && ms <= *before
    {
        return Err(Fault::Order {
            axis: Axis::Times,
            before: Timestamp::from_millis(*before).to_string(),
            this: Timestamp::from_millis(ms).to_string(),
        });
    }
    if rows.len() >= STEPS_MAX {
        return Err(Fault::Long);
    }
    if lines
        .last()
        .is_none_or(|(row, at)| at + (rows.len() - row) as u64 != line)
    {
        lines.push((rows.len(), line));
    }
    rows.push((ms, y));
    Ok(())
}

/// The line of a row.
fn line_of(row: usize, lines: &[(usize, u64)]) -> u64 {
    let place = lines.partition_point(|(from, _)| *from <= row);
    let known = place.checked_sub(1).and_then(|at| lines.get(at));
    known.map_or(0, |(from, line)| line + (row - from) as u64)
}

fn on_steps(
    rows: &[(i64, f64)],
    lines: &[(usize, u64)],
    given: Option<Millis>,
) -> Result<Done, (u64, Fault)> {
    let (Some((first, _)), Some((last, _))) = (rows.first(), rows.last()) else {
        return Ok((Vec::new(), given, End::at_step(0)));
    };
    let (step_ms, months) = match given {
        Some(step) => (step.0 as f64, None),
        None => spacing(rows).ok_or((line_of(0, lines), Fault::Alone))?,
    };
    let mut values = Vec::new();
    let mut before = -1_i64;
    for (row, (ms, y)) in rows.iter().enumerate() {
        let place = ((ms - first) as f64 / step_ms).round();
        #[expect(clippy::cast_possible_truncation, reason = "it stops at the largest")]
        let place = place as i64;
        let added = match place - before - 1 {
            missing if missing < 0 => Err(Fault::Together {
                step_ms: whole(step_ms),
            }),
            missing => fill(&mut values, missing),
        };
        let added = added.and_then(|()| {
            if values.len() >= STEPS_MAX {
                return Err(Fault::Long);
            }
            values.push(*y);
            Ok(())
        });
        added.map_err(|fault| (line_of(row, lines), fault))?;
        before = place;
    }
    let end = End::Time {
        last: Timestamp::from_millis(*last),
        step_ms,
        months,
    };
    Ok((values, Some(Millis(whole(step_ms).max(1))), end))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a distance within the calendar, above 0"
)]
fn whole(ms: f64) -> u64 {
    ms.round() as u64
}

/// Distance of values in milliseconds, and whether it is one of calendar months; `None` for one row.
fn spacing(rows: &[(i64, f64)]) -> Option<(f64, Option<(u32, i8)>)> {
    let mut apart: Vec<i64> = rows
        .windows(2)
        .map(|pair| match pair {
            [(a, _), (b, _)] => b - a,
            _ => 0,
        })
        .collect();
    let middle = apart.len() / 2;
    if apart.is_empty() {
        return None;
    }
    let (_, median, _) = apart.select_nth_unstable(middle);
    let median = *median as f64;
    let steps: f64 = apart.iter().map(|ms| (*ms as f64 / median).round()).sum();
    let span: f64 = apart.iter().map(|ms| *ms as f64).sum();
    let refined = span / steps.max(1.0);
    let step = if (refined / median - 1.0).abs() <= AGREE {
        refined
    } else {
        median
    };
    let uneven = apart.iter().any(|ms| {
        let steps = *ms as f64 / median;
        (steps - steps.round()).abs() > 1e-3
    });
    let months = uneven.then(|| months(rows, step)).flatten();
    Some((step, months))
}

/// How many calendar months lie between values, and the day of the month they stand on.
fn months(rows: &[(i64, f64)], step_ms: f64) -> Option<(u32, i8)> {
    let count = [1_u32, 3, 6, 12].into_iter().find(|count| {
        let length = MONTH_MS * f64::from(*count);
        (step_ms / length - 1.0).abs() <= MONTH_AGREE
    })?;
    let date = |(ms, _): &(i64, f64)| {
        let at = jiff::Timestamp::from_millisecond(*ms).ok()?;
        Some(at.to_zoned(TimeZone::UTC).date())
    };
    let dates: Vec<_> = rows.iter().filter_map(date).collect();
    let day = dates.iter().map(|date| date.day()).max()?;
    let same = dates
        .iter()
        .all(|date| date.day() == day.min(date.days_in_month()));
    same.then_some((count, day))
}

impl End {
    /// At a step whose next is one more.
    pub const fn at_step(last: i64) -> Self {
        Self::Step { last, each: 1 }
    }

    /// The same place, steps being so many times as long.
    #[must_use]
    pub fn longer(self, times: u32) -> Self {
        match self {
            Self::Step { last, each } => Self::Step {
                last,
                each: each.saturating_mul(times),
            },
            Self::Time { last, step_ms, .. } => Self::Time {
                last,
                step_ms: step_ms * f64::from(times),
                months: None,
            },
        }
    }

    /// The place so many steps after the end, appended as text.
    pub fn put_ahead(&self, out: &mut Vec<u8>, ahead: usize) {
        self.put(out, i64::try_from(ahead).unwrap_or(i64::MAX));
    }

    /// The place so many steps before the end, appended as text.
    pub fn put_back(&self, out: &mut Vec<u8>, back: usize) {
        self.put(out, i64::try_from(back).map_or(i64::MIN, |back| -back));
    }

    fn put(&self, out: &mut Vec<u8>, ahead: i64) {
        match *self {
            Self::Step { last, each } => {
                let step = last.saturating_add(ahead.saturating_mul(i64::from(each)));
                out.extend_from_slice(itoa::Buffer::new().format(step).as_bytes());
            }
            Self::Time {
                last,
                step_ms,
                months,
            } => {
                let by_month = months.and_then(|months| after_months(last, months, ahead));
                let at = by_month.unwrap_or_else(|| {
                    #[expect(clippy::cast_possible_truncation, reason = "it stops at the largest")]
                    let by = (step_ms * ahead as f64).round() as i64;
                    Timestamp::from_millis(last.as_millis().saturating_add(by))
                });
                put_instant(out, at);
            }
        }
    }
}

/// The same time of day so many months on; on a shorter month's last day.
fn after_months(last: Timestamp, (each, day): (u32, i8), ahead: i64) -> Option<Timestamp> {
    let at = jiff::Timestamp::from_millisecond(last.as_millis()).ok()?;
    let civil = at.to_zoned(TimeZone::UTC).datetime();
    let by = ahead.checked_mul(i64::from(each))?;
    let first = civil.with().day(1).build().ok()?;
    let there = first
        .checked_add(jiff::Span::new().try_months(by).ok()?)
        .ok()?;
    let day = day.min(there.date().days_in_month());
    let there = there.with().day(day).build().ok()?;
    let at = there.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some(Timestamp::from_millis(at.as_millisecond()))
}

/// RFC 3339 in UTC, with milliseconds only where there are any.
fn put_instant(out: &mut Vec<u8>, at: Timestamp) {
    let text = match jiff::Timestamp::from_millisecond(at.as_millis()) {
        Ok(at) => at.to_string(),
        // Beyond the year 9999 the bare count, which is read as one again.
        Err(_) => at.as_millis().to_string(),
    };
    out.extend_from_slice(text.as_bytes());
}
