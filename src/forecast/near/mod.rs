//! The near future: horizons that are short beside the past.
//!
//! For: a series at its own step, whatever that is. Not for: months ahead from months of history
//! (`far`). The series' cycle is found (`cycle`), regressions on its own past (`regression`, `lagged`),
//! its last cycle (`naive`), and smoothing (`smoothing`, `theta`) on indices (`seasonal`) forecast from
//! the end and from origins before it, and what each got right weighs it (`weigh`). Bands come from the
//! same errors (`error`). Read [`project`] first.

mod cycle;
mod error;
mod lagged;
mod naive;
mod regression;
mod seasonal;
mod smoothing;
mod theta;
mod trend;
mod weigh;

use super::interval::Reach;
use super::settings::settings;
use crate::model::units::Millis;

use cycle::Cycle;
use seasonal::Indices;
use smoothing::Slope;
use weigh::Trial;

/// Where a forecast stands: on the values before `at`, and how many steps it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Origin {
    at: usize,
    ahead: usize,
}

/// What somebody who knows has said of a series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    /// Distance between values, where it is known.
    pub(super) step: Option<Millis>,
    /// Its cycles in steps; empty: they are looked for.
    pub(super) periods: &'a [usize],
}

impl Known<'_> {
    /// Steps of a cycle that may be no whole number: what was told is, but a year of weeks is not.
    fn length(self, steps: usize) -> f64 {
        /// A year of 365.2425 days.
        const YEAR: f64 = 365.2425 / 7.0;
        const WEEKS: usize = 52;
        let is_week = |step: Millis| (6.5..7.5).contains(&step.as_days());
        if steps == WEEKS && self.periods.is_empty() && self.step.is_none_or(is_week) {
            YEAR
        } else {
            steps as f64
        }
    }
}

/// A method and what it said at every origin; nothing where it does not apply.
struct Told {
    name: &'static str,
    /// It regresses on cycles back, and so is the surer the more of them there are.
    by_cycle: bool,
    forecasts: Vec<Option<Vec<f64>>>,
}

/// What was forecast, and how well such forecasts did.
#[derive(Debug, Clone)]
pub(super) struct Near {
    pub(super) mean: Vec<f64>,
    /// One standard deviation of the error, a step.
    pub(super) sd: Vec<f64>,
    pub(super) reach: Reach,
    /// Weights by name, heaviest first.
    pub(super) shares: Vec<(&'static str, f64)>,
    /// What each method says by itself, with its weight; those without weight, too.
    pub(super) methods: Vec<(&'static str, f64, Vec<f64>)>,
    pub(super) periods: Vec<usize>,
    pub(super) origins: usize,
    /// Mean absolute error of the back-test, and that of the last value with its season put on.
    pub(super) errors: (f64, f64),
    /// Back-tested coverage of the 80 and 95 % bands, each origin by the errors of the others.
    pub(super) coverage: (f64, f64),
}

/// The past as methods see it.
struct Past {
    /// Gaps filled by straight lines.
    values: Vec<f64>,
    /// Which of them were there.
    present: Vec<bool>,
    /// Logarithms, where all values are positive.
    logs: Option<Vec<f64>>,
    cycle: Cycle,
    /// Steps of the cycle, exactly.
    length: f64,
}

impl Past {
    fn of(values: &[f64], known: Known<'_>) -> Self {
        let filled = filled(values);
        let cycle = if known.periods.is_empty() {
            cycle::find(&filled)
        } else {
            Cycle::told(known.periods, filled.len())
        };
        let positive = filled.iter().all(|v| *v > 0.0);
        Self {
            present: values.iter().map(|v| v.is_finite()).collect(),
            logs: positive.then(|| filled.iter().map(|v| v.ln()).collect()),
            cycle,
            length: known.length(cycle.steps),
            values: filled,
        }
    }

    /// The end of the last value before `at`: a gap is filled by what came after it, which an origin
    /// within it must not know.
    fn on_a_value(&self, at: usize) -> usize {
        let before = self.present.get(..at).unwrap_or_default();
        before.iter().rposition(|there| *there).map_or(0, |i| i + 1)
    }

    fn origins(&self, horizon: usize) -> Vec<Origin> {
        let set = &settings().near;
        let n = self.values.len();
        let steps = self.cycle.steps;
        let least = (if self.cycle.is_some() {
            2 * steps + 6
        } else {
            10
        })
        .max(n / 4)
        .min(n);
        let stride = (horizon / set.strides)
            .max(horizon.min(n / set.span))
            .max(1);
        let back = (1..=set.origins).map(|k| k * stride);
        let mut origins: Vec<Origin> = back
            .take_while(|back| back + least <= n)
            .map(|back| self.on_a_value(n - back))
            .take_while(|at| *at >= least)
            .map(|at| Origin {
                at,
                ahead: horizon.min(n - at),
            })
            .collect();
        origins.dedup();
        origins.reverse();
        origins.push(Origin {
            at: n,
            ahead: horizon,
        });
        origins
    }
}

/// Gaps filled by straight lines between what is there; ends are carried on.
fn filled(values: &[f64]) -> Vec<f64> {
    let mut filled = values.to_vec();
    let mut last: Option<(usize, f64)> = None;
    for (i, v) in values.iter().enumerate() {
        if !v.is_finite() {
            continue;
        }
        let (from, start) = last.map_or((0, *v), |(at, v)| (at + 1, v));
        let length = (i + 1 - from) as f64;
        for (k, cell) in filled.iter_mut().enumerate().take(i).skip(from) {
            *cell = start + (v - start) * (k + 1 - from) as f64 / length;
        }
        last = Some((i, *v));
    }
    let (from, end) = last.map_or((0, 0.0), |(at, v)| (at + 1, v));
    for cell in filled.iter_mut().skip(from) {
        *cell = end;
    }
    filled
}

/// Forecasts values scaled to about 1.
///
/// The last value is present.
pub(super) fn project(values: &[f64], horizon: usize, known: Known<'_>) -> Near {
    let past = Past::of(values, known);
    let origins = past.origins(horizon);
    let mut told = Vec::new();
    regression::by_cycle(&past, &origins, &mut told);
    regression::by_walk(&past, &origins, &mut told);
    naive::by_cycle(&past, &origins, &mut told);
    smoothed(&past, &origins, &mut told);
    let trial = Trial::new(&past, &origins, told);
    trial.near(&past, horizon)
}

/// Steps of a day, where the cycle of the values is one; 1 where it is not.
pub(super) fn day_of(values: &[f64]) -> usize {
    day_among(&[cycle::find(&filled(values)).steps])
}

/// The period that is a day of finer steps; 1 where none is.
pub(super) fn day_among(periods: &[usize]) -> usize {
    let day = |p: &&usize| settings().cycle.days.contains(p);
    periods.iter().find(day).copied().unwrap_or(1)
}

/// Smoothing and theta on the series without its season.
fn smoothed(past: &Past, origins: &[Origin], told: &mut Vec<Told>) {
    let set = &settings().near;
    let n = past.values.len();
    let steps = past.cycle.steps;
    // The earliest origin needs a past of its own.
    let earliest = origins.first().map_or(0, |o| n - o.at);
    let window = set
        .smooth_window
        .max(5 * steps)
        .max(earliest + set.smooth_window / 2);
    // Where cycles are many, one more or less changes the indices little: they are found once.
    let once = !past.cycle.is_some() || n >= set.many_cycles * steps;
    let mut all: Vec<Told> = SMOOTHED
        .iter()
        .map(|(name, _)| Told {
            name,
            by_cycle: false,
            forecasts: Vec::new(),
        })
        .collect();
    if once {
        let from = n.saturating_sub(window);
        extend_smoothed(past, from, n, origins, &mut all);
    } else {
        for origin in origins {
            let from = origin.at.saturating_sub(window);
            extend_smoothed(
                past,
                from,
                origin.at,
                std::slice::from_ref(origin),
                &mut all,
            );
        }
    }
    told.append(&mut all);
}

/// Forecasts at origins from a past without season.
type Smoothing = fn(&[f64], &[Origin]) -> Vec<Option<Vec<f64>>>;

const SMOOTHED: [(&str, Smoothing); 7] = [
    ("naive", |flat, origins| naive::moved(flat, origins, false)),
    ("drift", |flat, origins| naive::moved(flat, origins, true)),
    ("ses", |flat, origins| {
        smoothing::forecasts(flat, Slope::None, origins)
    }),
    ("holt", |flat, origins| {
        smoothing::forecasts(flat, Slope::Lasting, origins)
    }),
    ("damped", |flat, origins| {
        smoothing::forecasts(flat, Slope::Damped, origins)
    }),
    ("damped-log", damped_logs),
    ("theta", theta::forecasts),
];

/// Damped smoothing of logarithms, where there are such.
fn damped_logs(flat: &[f64], origins: &[Origin]) -> Vec<Option<Vec<f64>>> {
    if flat.iter().any(|v| *v <= 0.0) {
        return vec![None; origins.len()];
    }
    let logs: Vec<f64> = flat.iter().map(|v| v.ln()).collect();
    of_logs(smoothing::forecasts(&logs, Slope::Damped, origins))
}

/// Forecasts of logarithms as those of values.
fn of_logs(mut forecasts: Vec<Option<Vec<f64>>>) -> Vec<Option<Vec<f64>>> {
    /// Above this, exp overflows.
    const EXP_MAX: f64 = 700.0;
    for v in forecasts.iter_mut().flatten().flatten() {
        *v = v.min(EXP_MAX).exp();
    }
    forecasts
}

/// Appends forecasts of every smoothing at `origins`, by indices found on `from..until`.
fn extend_smoothed(past: &Past, from: usize, until: usize, origins: &[Origin], all: &mut [Told]) {
    let values = past.values.get(from..until).unwrap_or_default();
    let indices = Indices::of(values, (past.cycle.steps, past.length), past.logs.is_some());
    let flat = indices
        .as_ref()
        .map_or_else(|| values.to_vec(), |indices| indices.remove(values));
    let local: Vec<Origin> = origins
        .iter()
        .map(|o| Origin {
            at: o.at.saturating_sub(from),
            ahead: o.ahead,
        })
        .collect();
    for (told, (_, smoothing)) in all.iter_mut().zip(SMOOTHED) {
        let mut forecasts = smoothing(&flat, &local);
        if let Some(indices) = &indices {
            for (forecast, origin) in forecasts.iter_mut().zip(&local) {
                if let Some(future) = forecast {
                    indices.put_on(origin.at, future);
                }
            }
        }
        told.forecasts.append(&mut forecasts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_of_weeks_is_no_whole_number_of_them() {
        let length = |step, periods: &[usize], steps| Known { step, periods }.length(steps);
        let week = Millis(7 * Millis::DAY.0);
        // 365.2425 days.
        assert!((length(Some(week), &[], 52) - 52.1775).abs() < 1e-9);
        assert!((length(None, &[], 52) - 52.1775).abs() < 1e-9);
        for (step, periods, steps) in [
            (Some(Millis::DAY), &[][..], 52),
            (Some(week), &[52][..], 52),
            (Some(week), &[], 13),
        ] {
            assert!((length(step, periods, steps) - steps as f64).abs() < 1e-9);
        }
    }

    #[test]
    fn no_origin_stands_in_a_gap_that_the_future_fills() {
        let mut values: Vec<f64> = (0..120).map(|i| f64::from(i % 7)).collect();
        values[80..95].fill(f64::NAN);
        values[110] = f64::NAN;
        let told = |values: &[f64]| {
            let known = Known {
                step: None,
                periods: &[1],
            };
            let past = Past::of(values, known);
            let origins = past.origins(10);
            let mut told = Vec::new();
            smoothed(&past, &origins, &mut told);
            regression::by_walk(&past, &origins, &mut told);
            (origins, told)
        };
        let (origins, before) = told(&values);
        assert!(origins.windows(2).all(|pair| pair[0].at < pair[1].at));
        for origin in &origins {
            assert!(values[origin.at - 1].is_finite(), "{origin:?}");
            assert_eq!(
                origin.ahead,
                if origin.at == 120 {
                    10
                } else {
                    10.min(120 - origin.at)
                }
            );
        }
        let at_gap = origins.iter().position(|origin| origin.at == 80).unwrap();
        values[95..].fill(50.0);
        let (_, after) = told(&values);
        for (a, b) in before.iter().zip(&after).filter(|(a, _)| a.name != "level") {
            let pairs = a.forecasts[at_gap]
                .iter()
                .flatten()
                .zip(b.forecasts[at_gap].iter().flatten());
            for (x, y) in pairs {
                assert!((x - y).abs() < 1e-6, "{}: {x} {y}", a.name);
            }
        }
    }
}
