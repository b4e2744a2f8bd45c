//! What comes, when it meets a limit, and how sure that is.
//!
//! For: one [`Window`] and one [`Plan`] in, one [`Outlook`] out, or any [`Series`] extended; pure,
//! seeded, the same everywhere. Not for: reading history, choosing limits, or what to do about it
//! (`work`, `diagnose`).
//!
//! A window is cleaned and folded to days (`clean`), its seasons (`period`) and level shifts
//! (`shift`) are taken out, members (`member`) extend what is left, a back-test weighs them
//! (`combine`) and sets the bands (`interval`), and simulated paths say when thresholds are
//! met (`crossing`). Horizons that are short beside the past are answered at the series' own step
//! (`near`); months of hours are forecast in days and unfolded (`unfold`). What became of earlier
//! forecasts adjusts weights and bands (`outcome`). Settings and priors are in
//! `models/methods.toml`. Read [`forecast`] first, then `combine`, then [`extend()`].

mod bend;
mod calendar;
mod clean;
mod combine;
mod compute;
mod crossing;
mod extend;
mod frame;
mod interval;
mod member;
mod near;
pub mod outcome;
mod pattern;
mod period;
mod random;
mod settings;
mod shift;
mod unfold;
pub mod what_if;

use rayon::prelude::*;

use crate::model::capacity::{
    Confidence, Estimate, Forecast, ForecastPoint, Interval, Outlook, Simulated,
};
use crate::model::outcome::{Experience, LEADS, MemberPromise};
use crate::model::series::Window;
use crate::model::units::{Level, Millis, Timestamp};

use calendar::Calendar;
use clean::Steps;
use compute::{Inner, backtest, compute_with, method};
use frame::{Frame, crossings};
use interval::Spread;
use member::MEMBERS;
use pattern::Found;
use settings::settings;

pub use extend::{Alone, Ask, Band, Detail, Extension, Lack, Past, Reached, Series, extend};

/// Days in a month, as growth per month counts them.
pub const DAYS_PER_MONTH: f64 = 30.44;

/// The farthest that may be asked for: 24 months.
pub const HORIZON_MAX: Millis = Millis(731 * Millis::DAY.0);

/// Why a forecast cannot be made at all; too little history is no error but an [`Outlook`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The horizon is shorter than a step or longer than 24 months.
    #[error(
        "a horizon of {asked} days is not between {min} and {max} days; ask for 1 to 24 months",
        asked = .asked.as_days(), min = .min.as_days(), max = HORIZON_MAX.as_days()
    )]
    Horizon {
        /// What was asked.
        asked: Millis,
        /// One step of the forecast.
        min: Millis,
    },
    /// A threshold that is not a finite number.
    #[error("threshold {name:?} is not a finite number; give its value in the series' unit")]
    Threshold {
        /// Its name.
        name: String,
    },
    /// Bounds that exclude each other or are NaN.
    #[error("floor {floor} is not below ceiling {ceiling}; swap them or leave one out")]
    Bounds {
        /// Lower bound asked for.
        floor: f64,
        /// Upper bound asked for.
        ceiling: f64,
    },
    /// A series without a value.
    #[error("no value is a number; give at least one, or leave the series out")]
    NoValue,
    /// A horizon of no step.
    #[error("a horizon of 0 steps asks for nothing; ask for 1 or more")]
    NoStep,
    /// A window whose step is zero.
    #[error("the window's step is zero; give the distance between its values")]
    Step,
}

/// The result of a forecast.
pub type Result<T> = std::result::Result<T, Error>;

/// A value whose reaching is asked about.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// `warn`, `critical`, `limit`, or any other name.
    pub name: String,
    /// In the series' unit.
    pub value: f64,
}

/// How readings that are finer than what is looked at are folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fold {
    /// The mean: growth and storage.
    #[default]
    Mean,
    /// The 95 % quantile: what a processor or a line must stand up to.
    P95,
    /// The largest: what refuses whatever comes on top, as connections and memory do.
    Max,
}

/// What is asked of a forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// How far ahead, from the end of the window; at most [`HORIZON_MAX`].
    pub horizon: Millis,
    /// One band each; any order, the narrowest comes first in the result.
    pub levels: Vec<Level>,
    /// One crossing each, in the same order.
    pub thresholds: Vec<Threshold>,
    /// No value of the future is below this.
    pub floor: Option<f64>,
    /// No value of the future is above this.
    pub ceiling: Option<f64>,
    /// How finer readings are folded to days.
    pub fold: Fold,
    /// Seed of the simulated paths.
    pub seed: u64,
    /// What earlier forecasts of this series taught; nothing changes anything without it.
    pub experience: Option<Experience>,
}

impl Default for Plan {
    /// 24 months with 50, 80 and 95 % bands, no thresholds, nothing below zero.
    fn default() -> Self {
        Self {
            horizon: HORIZON_MAX,
            levels: vec![Level::P50, Level::P80, Level::P95],
            thresholds: Vec::new(),
            floor: Some(0.0),
            ceiling: None,
            fold: Fold::Mean,
            seed: 0,
            experience: None,
        }
    }
}

/// Forecasts one series.
///
/// A window finer than a day is folded to days; a coarser one keeps its step. Gaps are NaN, and so
/// is taken whatever is not finite. Thresholds are met from below; where days are means, a
/// threshold is met when the day's typical busiest part meets it.
///
/// # Errors
/// [`Error`] when the plan or the window's step makes no sense. Too little history is not one: the
/// outlook then says how much is needed.
pub fn forecast(history: &Window, plan: &Plan) -> Result<Outlook> {
    Ok(make(history, plan)?.outlook)
}

/// An outlook, and what each member said.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// What comes.
    pub outlook: Outlook,
    /// Members that applied, with their means at those of [`LEADS`] that lie within the horizon;
    /// empty without a forecast, or where a step is no day.
    pub members: Vec<MemberPromise>,
}

/// Forecasts one series, as [`forecast`] does, and says what each member said.
///
/// # Errors
/// As [`forecast`].
pub fn make(history: &Window, plan: &Plan) -> Result<Made> {
    if history.step.0 == 0 {
        return Err(Error::Step);
    }
    let step = Millis(history.step.0.max(Millis::DAY.0));
    check(plan, step)?;
    let outer = outer_scale(&history.values);
    let steps = if outer > 1.0 {
        let values = history.values.iter().map(|v| v / outer).collect();
        clean::steps(&Window { values, ..*history }, plan.fold)
    } else {
        clean::steps(history, plan.fold)
    };
    let have = steps.values.iter().filter(|v| v.is_finite()).count();
    let need = settings().history.least;
    if have < need {
        return Ok(Made {
            outlook: Outlook::NotEnoughData {
                have_days: have as f64 * step.as_days(),
                need_days: need as f64 * step.as_days(),
            },
            members: Vec::new(),
        });
    }
    let (forecast, members) = project(&steps, outer, history.end(), plan);
    Ok(Made {
        outlook: Outlook::Forecast(Box::new(forecast)),
        members,
    })
}

/// Forecasts many series in parallel; results are in the order of the input.
pub fn make_all(asked: &[(Window, Plan)]) -> Vec<Result<Made>> {
    let each = asked.par_iter();
    each.map(|(window, plan)| make(window, plan)).collect()
}

/// A window as days that end where it ends: the past in the same terms as its forecast.
pub fn days(history: &Window, fold: Fold) -> Window {
    clean::folded(history, Millis::DAY, fold)
}

/// A window in longer steps that end where it ends, faults left in; one without a third of its
/// readings is a gap. A window whose step is as long is left as it is.
///
/// `step` is a multiple of the window's.
pub fn folded(history: &Window, step: Millis, fold: Fold) -> Window {
    clean::folded(history, step, fold)
}

/// Version of `models/methods.toml` that forecasts are made with: records keep it.
pub fn methods_version() -> u32 {
    settings().version
}

fn check(plan: &Plan, step: Millis) -> Result<()> {
    if plan.horizon < step || plan.horizon > HORIZON_MAX {
        return Err(Error::Horizon {
            asked: plan.horizon,
            min: step,
        });
    }
    if let Some(bad) = plan.thresholds.iter().find(|t| !t.value.is_finite()) {
        return Err(Error::Threshold {
            name: bad.name.clone(),
        });
    }
    let floor = plan.floor.unwrap_or(f64::NEG_INFINITY);
    let ceiling = plan.ceiling.unwrap_or(f64::INFINITY);
    if floor >= ceiling || floor.is_nan() || ceiling.is_nan() {
        return Err(Error::Bounds { floor, ceiling });
    }
    Ok(())
}

/// What values are divided by before they are cleaned and folded: 1 unless their differences could
/// overflow.
fn outer_scale(values: &[f64]) -> f64 {
    const LARGE: f64 = 1e300;
    let largest = largest(values);
    if largest > LARGE { largest } else { 1.0 }
}

/// The largest size of a finite value; 0 where there is none.
fn largest(values: &[f64]) -> f64 {
    let sizes = values.iter().map(|v| v.abs()).filter(|v| v.is_finite());
    sizes.fold(0.0_f64, f64::max)
}

/// Forecasts steps of values divided by `outer`.
fn project(
    steps: &Steps,
    outer: f64,
    end: Timestamp,
    plan: &Plan,
) -> (Forecast, Vec<MemberPromise>) {
    let asked = usize::try_from(plan.horizon.0 / steps.step.0).unwrap_or(usize::MAX);
    // The future begins after the last reading; what has passed since in silence is cut off.
    let silent = steps.silent.min(settings().history.most);
    let scale = match largest(&steps.values) {
        size if size > 0.0 => size,
        _ => 1.0,
    };
    let scaled: Vec<f64> = steps.values.iter().map(|v| v / scale).collect();
    let (scale, swing) = (scale * outer, steps.swing * outer);
    let learnt = plan.experience.as_ref();
    let calendar = Calendar {
        step: steps.step,
        told: &[],
    };
    let inner = compute_with(&scaled, calendar, asked + silent, learnt);
    let level = level_of(&scaled, &inner.periods);
    let back = |v: f64| (v * scale).clamp(-f64::MAX, f64::MAX);
    let cut = |v: f64| {
        let low = plan.floor.unwrap_or(-f64::MAX);
        let high = plan.ceiling.unwrap_or(f64::MAX);
        back(v).max(low).min(high)
    };
    let ahead = inner.mean.iter().enumerate().skip(silent);
    let points = ahead
        .map(|(j, mean)| ForecastPoint {
            at: end.plus(Millis(steps.step.0.saturating_mul((j - silent) as u64)).as_duration()),
            mean: cut(*mean),
            bands: bands(&plan.levels, *mean, j + 1, &inner.spread, &cut),
        })
        .collect();
    let per_day = growth(&inner, steps.step.as_days());
    let growth_per_month = per_month(per_day, level);
    let frame = Frame {
        steps,
        swing,
        scale,
        level,
        silent,
        end,
    };
    let found = Found {
        seasons: &inner.seasons,
        flat: &inner.flat,
        step: steps.step,
        scale,
    };
    let backtest = backtest(&inner, scale);
    let members = members(&inner, steps.step, silent, &cut);
    let forecast = Forecast {
        level: back(level),
        step: steps.step,
        points,
        growth_per_day: each_of(per_day, back),
        growth_per_month,
        periods: inner.periods.clone(),
        method: method(&inner),
        confidence: Some(Confidence::of(&backtest)),
        backtest,
        crossings: crossings(&scaled, &inner, plan, &frame),
        changes: found.changes(frame.last_end()),
        seasons: found.seasons(level, scaled.len() + silent),
        simulated: Some(Simulated {
            spread: inner.spread.path_factor() / inner.spread.reach().at(0.80),
            swing: back(swing / scale),
            present: back(frame.present(&scaled, inner.periods.first().copied())),
        }),
    };
    (forecast, members)
}

/// The same with each of its figures changed.
fn each_of(estimate: Estimate, change: impl Fn(f64) -> f64) -> Estimate {
    Estimate {
        value: change(estimate.value),
        lo: change(estimate.lo),
        hi: change(estimate.hi),
    }
}

/// What each member said of the days at [`LEADS`], `silent` steps after the last value; nothing
/// where a step is no day.
fn members(
    inner: &Inner,
    step: Millis,
    silent: usize,
    cut: &dyn Fn(f64) -> f64,
) -> Vec<MemberPromise> {
    if step != Millis::DAY {
        return Vec::new();
    }
    let named = MEMBERS.iter().zip(&inner.weights).zip(&inner.forecasts);
    named
        .filter_map(|((member, weight), forecast)| {
            let forecast = forecast.as_ref()?;
            let days = LEADS.iter().map(|lead| silent + usize::from(*lead) - 1);
            let means = days.map_while(|day| forecast.get(day).map(|mean| cut(*mean)));
            Some(MemberPromise {
                name: member.name.to_owned(),
                weight: *weight,
                means: means.collect(),
            })
        })
        .collect()
}

/// Mean of the last season, or of the last steps where there is none.
fn level_of(values: &[f64], periods: &[usize]) -> f64 {
    let count = periods.first().copied().unwrap_or(settings().history.level);
    let from = values.len().saturating_sub(count);
    let recent = values.get(from..).unwrap_or_default();
    let there: Vec<f64> = recent.iter().copied().filter(|v| v.is_finite()).collect();
    crate::stats::mean(&there).unwrap_or(0.0)
}

fn bands(
    levels: &[Level],
    mean: f64,
    ahead: usize,
    spread: &Spread,
    cut: &dyn Fn(f64) -> f64,
) -> Vec<Interval> {
    let mut levels = levels.to_vec();
    levels.sort_by(|a, b| a.get().total_cmp(&b.get()));
    let sd = spread.at(ahead);
    let mut reach = 0.0_f64;
    levels
        .into_iter()
        .map(|level| {
            // Calibration may bend, but a wider level is never narrower.
            reach = reach.max(spread.reach().at(level.get()));
            Interval {
                level,
                lo: cut(mean - reach * sd),
                hi: cut(mean + reach * sd),
            }
        })
        .collect()
}

/// Change per day as a share of the level in a month; nothing where the level is not positive.
fn per_month(per_day: Estimate, level: f64) -> Option<Estimate> {
    let share = |v: f64| v * DAYS_PER_MONTH / level;
    (level > 0.0).then(|| each_of(per_day, share))
}

/// Change per day of a far future; the quarter that it looks at is counted in steps of a day or more.
fn growth(inner: &Inner, days_per_step: f64) -> Estimate {
    let season = inner.periods.first().copied();
    let half = |ahead: usize| inner.spread.reach().at(0.80) * inner.spread.at(ahead);
    let per_step = slope(&inner.mean, season, QUARTER, half);
    each_of(per_step, |v| v / days_per_step)
}

/// Days of a quarter.
const QUARTER: usize = 91;

/// Slope a step over the next `quarter` (or what is asked), from season to season, and its 80 %
/// interval from `half` that band's width so many steps ahead. Our own: the chord of the expected
/// future, as sure as its far end.
fn slope(
    mean: &[f64],
    season: Option<usize>,
    quarter: usize,
    half: impl Fn(usize) -> f64,
) -> Estimate {
    let season = season.unwrap_or(1).max(1);
    let n = mean.len();
    let reach = n.min(quarter.max(2 * season));
    let apart = (reach.saturating_sub(1) / season).max(1) * season;
    let apart = apart.min(n.saturating_sub(1));
    let steps = apart.max(1) as f64;
    let value = match (mean.first(), mean.get(apart)) {
        (Some(first), Some(last)) if n > 1 => (last - first) / steps,
        _ => 0.0,
    };
    let half = half(reach) / steps;
    Estimate {
        value,
        lo: value - half,
        hi: value + half,
    }
}

#[cfg(test)]
mod tests;
