//! The future of one series on values scaled to 1: which methods answer, and what they say.
//!
//! For: choosing between near, far and daily forecasts, and bringing them back to the series' own
//! steps and unit. Not for: what is asked and answered ([`extend`](super::extend())).

use crate::forecast::calendar::Calendar;
use crate::forecast::compute::{backtest, compute, method, relative};
use crate::forecast::crossing::Paths;
use crate::forecast::interval::Reach;
use crate::forecast::member::MEMBERS;
use crate::forecast::near::Known;
use crate::forecast::settings::settings;
use crate::forecast::unfold::DayShape;
use crate::forecast::{Fold, QUARTER, clean, each_of, level_of, near, per_month, slope};
use crate::model::capacity::{Backtest, Estimate};
use crate::model::units::Millis;
use crate::stats::median;

use super::{Alone, Ask, Band, Detail, Extension, Reached, Series};

/// The future of values scaled to 1, from the last present one on.
pub(super) struct Future {
    mean: Vec<f64>,
    /// One standard deviation of a value, a step.
    sd: Vec<f64>,
    reach: Reach,
    /// One standard deviation of what a simulated path goes astray, a step.
    astray: Vec<f64>,
    periods: Vec<usize>,
    method: String,
    backtest: Option<Backtest>,
    /// Each member's name, weight and expected values, in days where there is a `shape`.
    members: Vec<(&'static str, f64, Vec<f64>)>,
    /// What days were unfolded by.
    shape: Option<DayShape>,
}

impl Future {
    /// The last value again, as wide as a walk of the steps seen, or of the value's own size.
    ///
    /// A walk strays by the root of its steps (Hyndman and Athanasopoulos 2021, "Forecasting:
    /// principles and practice", section 5.5); what few equal values may hide is our own bound.
    pub(super) fn repeated(scaled: &[f64], horizon: usize) -> Self {
        let present: Vec<f64> = scaled.iter().copied().filter(|v| v.is_finite()).collect();
        let last = present.last().copied().unwrap_or(0.0);
        let moves: Vec<f64> = present
            .windows(2)
            .map(|pair| match pair {
                [a, b] => (b - a).abs(),
                _ => 0.0,
            })
            .collect();
        let usual = moves.iter().fold(0.0_f64, |max, step| max.max(*step));
        // Few equal values do not prove that nothing moves.
        let unseen = last.abs() / (present.len() as f64 + 1.0);
        let step = usual.max(unseen);
        let sd: Vec<f64> = (1..=horizon).map(|j| step * (j as f64).sqrt()).collect();
        Self {
            mean: vec![last; horizon],
            astray: sd.clone(),
            sd,
            reach: Reach::NORMAL,
            periods: Vec::new(),
            method: "last value".to_owned(),
            backtest: None,
            members: Vec::new(),
            shape: None,
        }
    }

    /// By methods that know a series' own step.
    fn near(scaled: &[f64], horizon: usize, known: Known<'_>, scale: f64) -> Self {
        /// Lighter methods are not named.
        const NAMED: f64 = 0.10;
        let near = near::project(scaled, horizon, known);
        let heavy = near.shares.iter().filter(|(_, weight)| *weight >= NAMED);
        let names: Vec<&str> = heavy.map(|(name, _)| *name).collect();
        let season = if near.periods.is_empty() {
            ""
        } else {
            " with season"
        };
        let (mae, naive) = near.errors;
        Self {
            astray: near.sd.iter().map(|sd| sd * near.reach.middle()).collect(),
            method: format!("{}{season}", names.join("+")),
            backtest: (near.origins > 0).then(|| Backtest {
                origins: near.origins,
                horizon,
                mae: (mae * scale).clamp(0.0, f64::MAX),
                relative_mae: relative(mae, naive),
                coverage_p80: near.coverage.0,
                coverage_p95: near.coverage.1,
            }),
            mean: near.mean,
            sd: near.sd,
            reach: near.reach,
            periods: near.periods,
            members: near.methods,
            shape: None,
        }
    }

    /// By what fits the horizon; months of hours are forecast in days.
    pub(super) fn of(scaled: &[f64], horizon: usize, series: &Series<'_>, scale: f64) -> Self {
        let set = settings();
        let per = steps_of_day(scaled, horizon, series);
        if per > 1
            && scaled.len() >= set.history.least * per
            && let Some(daily) = Self::daily(scaled, horizon, (series, per), scale)
        {
            return daily;
        }
        if is_near(horizon, scaled.len()) {
            let known = Known {
                step: series.step,
                periods: series.periods,
            };
            return Self::near(scaled, horizon, known, scale);
        }
        let from = scaled.len().saturating_sub(set.history.most);
        let mut recent = scaled.get(from..).unwrap_or_default().to_vec();
        clean::mask_faults(&mut recent);
        let calendar = Calendar {
            step: series.step.unwrap_or(Millis::DAY),
            told: series.periods,
        };
        Self::far(&recent, horizon, calendar, scale)
    }

    /// By days of `per` steps each; nothing where too few of them hold enough.
    fn daily(
        scaled: &[f64],
        horizon: usize,
        (series, per): (&Series<'_>, usize),
        scale: f64,
    ) -> Option<Self> {
        let most = settings().history.most.saturating_mul(per);
        let from = scaled.len().saturating_sub(most);
        let mut readings = scaled.get(from..).unwrap_or_default().to_vec();
        clean::mask_faults(&mut readings);
        let fine = Millis(Millis::DAY.0 / per as u64);
        let days = clean::days(&readings, fine, Fold::Mean);
        let have = days.values.iter().filter(|v| v.is_finite()).count();
        if have < settings().history.least {
            return None;
        }
        // Days at the end that held too little are forecast and cut off.
        let ahead = horizon.div_ceil(per) + days.silent;
        let told = Calendar::folded(series.periods, per);
        let mut daily = if is_near(ahead, days.values.len()) {
            let known = Known {
                step: Some(Millis::DAY),
                periods: &told,
            };
            Self::near(&days.values, ahead, known, scale)
        } else {
            let calendar = Calendar {
                step: Millis::DAY,
                told: &told,
            };
            Self::far(&days.values, ahead, calendar, scale)
        };
        let members = daily.members.iter_mut().map(|(.., mean)| mean);
        let whole = [&mut daily.mean, &mut daily.sd, &mut daily.astray];
        for part in whole.into_iter().chain(members) {
            part.drain(..days.silent);
        }
        Some(daily.unfolded(DayShape::of(&readings, per), horizon))
    }

    /// By methods that look far beside their past.
    fn far(values: &[f64], horizon: usize, calendar: Calendar<'_>, scale: f64) -> Self {
        let inner = compute(values, calendar, horizon);
        let tested = backtest(&inner, scale);
        let sd: Vec<f64> = (1..=horizon).map(|j| inner.spread.at(j)).collect();
        let factor = inner.spread.path_factor();
        Self {
            astray: sd.iter().map(|sd| factor * sd).collect(),
            sd,
            reach: inner.spread.reach(),
            method: method(&inner),
            backtest: (tested.origins > 0).then_some(tested),
            members: MEMBERS
                .iter()
                .zip(inner.weights)
                .zip(inner.forecasts)
                .filter_map(|((member, weight), mean)| Some((member.name, weight, mean?)))
                .collect(),
            shape: None,
            periods: inner.periods,
            mean: inner.mean,
        }
    }

    /// Days as the steps they were folded from.
    fn unfolded(self, shape: DayShape, horizon: usize) -> Self {
        let per = shape.per();
        let of_day = |values: &[f64], j: usize| values.get(j / per).copied().unwrap_or(0.0);
        let steps = || 0..horizon;
        let mean = |j: usize| of_day(&self.mean, j);
        Self {
            mean: steps().map(|j| shape.put_on(mean(j), j % per)).collect(),
            sd: steps()
                .map(|j| of_day(&self.sd, j).hypot(shape.noise(mean(j))))
                .collect(),
            astray: steps().map(|j| of_day(&self.astray, j)).collect(),
            periods: std::iter::once(per)
                .chain(self.periods.iter().map(|p| p * per))
                .collect(),
            reach: self.reach,
            method: self.method,
            backtest: self.backtest,
            members: self.members,
            shape: Some(shape),
        }
    }

    /// Each member's expected values in steps, `silent` of them cut off.
    fn members(&self, silent: usize, cut: impl Fn(f64) -> f64) -> Vec<Alone> {
        let steps = silent..self.mean.len();
        let each = self.members.iter();
        each.map(|(name, weight, mean)| {
            let at = |j: usize| match &self.shape {
                Some(shape) => {
                    let per = shape.per();
                    shape.put_on(mean.get(j / per).copied().unwrap_or(0.0), j % per)
                }
                None => mean.get(j).copied().unwrap_or(0.0),
            };
            Alone {
                name,
                weight: *weight,
                mean: steps.clone().map(|j| cut(at(j))).collect(),
            }
        })
        .collect()
    }

    /// Change a step and its 80 % interval, on values scaled to 1.
    fn growth(&self, step: Option<Millis>) -> Estimate {
        let quarter = match step {
            Some(step) if (1..Millis::DAY.0).contains(&step.0) => {
                usize::try_from(QUARTER as u64 * Millis::DAY.0 / step.0).unwrap_or(usize::MAX)
            }
            _ => QUARTER,
        };
        let width = |ahead: usize| {
            let sd = self.sd.get(ahead.saturating_sub(1)).copied();
            self.reach.at(0.80) * sd.unwrap_or(0.0)
        };
        slope(&self.mean, self.periods.first().copied(), quarter, width)
    }

    /// In the series' own unit, from the end of what was given on.
    pub(super) fn told(
        self,
        scaled: &[f64],
        scale: f64,
        silent: usize,
        (series, ask): (&Series<'_>, &Ask<'_>),
    ) -> Extension {
        let low = ask.floor.unwrap_or(-f64::MAX);
        let high = ask.ceiling.unwrap_or(f64::MAX);
        let cut = |v: f64| (v * scale).max(low).min(high);
        let mut levels = ask.levels.to_vec();
        levels.sort_by(|a, b| a.get().total_cmp(&b.get()));
        let mut reach = 0.0_f64;
        let bands = levels.into_iter().map(|level| {
            // Calibration may bend, but a wider level is never narrower.
            reach = reach.max(self.reach.at(level.get()));
            let ends = |side: f64| {
                let ahead = self.mean.iter().zip(&self.sd).skip(silent);
                ahead
                    .map(|(mean, sd)| cut(mean + side * reach * sd))
                    .collect()
            };
            Band {
                level,
                lo: ends(-1.0),
                hi: ends(1.0),
            }
        });
        let back = |v: f64| (v * scale).clamp(-f64::MAX, f64::MAX);
        let level = level_of(scaled, &self.periods);
        let growth = self.growth(series.step);
        let per_day = |days: f64| each_of(growth, |v| v / days);
        Extension {
            level: back(level),
            growth: each_of(growth, back),
            growth_per_month: series
                .step
                .and_then(|step| per_month(per_day(step.as_days()), level)),
            lack: None,
            past: None,
            members: match ask.detail {
                Detail::Members => self.members(silent, cut),
                _ => Vec::new(),
            },
            bands: bands.collect(),
            mean: self.mean.iter().skip(silent).map(|v| cut(*v)).collect(),
            reached: self.reached(scaled, scale, silent, ask),
            periods: self.periods,
            method: self.method,
            backtest: self.backtest,
        }
    }

    fn reached(&self, scaled: &[f64], scale: f64, silent: usize, ask: &Ask<'_>) -> Vec<Reached> {
        /// Readings whose median says where a series stands now.
        const NOW: usize = 3;
        if ask.thresholds.is_empty() {
            return Vec::new();
        }
        let present = scaled.iter().rev().copied().filter(|v| v.is_finite());
        let now = median(&present.take(NOW).collect::<Vec<_>>()).unwrap_or(f64::NEG_INFINITY);
        let paths = Paths::draw(self.mean.len(), ask.seed);
        let one = |threshold: &f64| {
            let value = threshold / scale;
            if now >= value {
                return Reached {
                    probability: 1.0,
                    p10: Some(0.0),
                    p50: Some(0.0),
                    p90: Some(0.0),
                    crossed: true,
                };
            }
            let met = |ahead: usize, error: f64| {
                let m = self.mean.get(ahead).copied().unwrap_or(f64::NAN);
                m + self.astray.get(ahead).copied().unwrap_or(0.0) * error >= value
            };
            let found = paths.times(met).reached();
            let [p10, p50, p90] = found
                .quantiles
                .map(|steps| steps.map(|steps| (steps - silent as f64).max(0.0)));
            Reached {
                probability: found.probability,
                p10,
                p50,
                p90,
                crossed: false,
            }
        };
        ask.thresholds.iter().map(one).collect()
    }
}

/// Whether a horizon is short beside the past.
fn is_near(horizon: usize, past: usize) -> bool {
    (horizon as f64) < settings().near.share * past as f64
}

/// Steps of a day where they are finer and days are what is asked about: by the step's length, by
/// what was told, or by the cycle; 1 where steps stay as they are, or a day is told to be no period.
fn steps_of_day(values: &[f64], horizon: usize, series: &Series<'_>) -> usize {
    let fold = settings().near.fold_days;
    let worth = |per: usize| !is_near(horizon, values.len()) || horizon >= fold * per;
    let per = match series.step {
        // A day of steps of seven hours has no whole number of them, and so no shape.
        Some(step)
            if step.0 > 0 && step.0 < Millis::DAY.0 && Millis::DAY.0.is_multiple_of(step.0) =>
        {
            usize::try_from(Millis::DAY.0 / step.0).unwrap_or(1)
        }
        None if !series.periods.is_empty() => near::day_among(series.periods),
        None if worth(HOURS) => near::day_of(values),
        _ => 1,
    };
    let told_off = !series.periods.is_empty() && !series.periods.contains(&per);
    if worth(per) && !told_off { per } else { 1 }
}

/// The fewest steps that a day is looked for in.
const HOURS: usize = 24;
