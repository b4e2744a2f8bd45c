//! Any series, extended: what a file brings, in steps instead of dates.
//!
//! For: evenly spaced values in, the same number of bands and crossings out as were asked for.
//! Not for: resources of a watched server, which have days and limits ([`forecast`](super::forecast)).
//!
//! A series with one value has an answer, too: that value again, in a wide band.

use crate::model::capacity::Backtest;
use crate::model::units::{Level, Millis};

use super::crossing::Paths;
use super::interval::Spread;
use super::period::{self, Seasons};
use super::settings::settings;
use super::{Error, Inner, Result, backtest, compute, method};

/// One series as it was given.
#[derive(Debug, Clone, Copy)]
pub struct Series<'a> {
    /// Evenly spaced, oldest first; NaN is a missing one, and so is taken whatever is not finite.
    pub values: &'a [f64],
    /// Distance between values; without it a step is one unit.
    pub step: Option<Millis>,
    /// Periods in steps; empty: they are looked for.
    pub periods: &'a [usize],
}

/// What is asked of a series' future.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Steps after the last value; at least 1.
    pub horizon: usize,
    /// One band each; any order.
    pub levels: &'a [Level],
    /// Values whose reaching is asked about, from below; any order.
    pub thresholds: &'a [f64],
    /// No value of the future is below this.
    pub floor: Option<f64>,
    /// No value of the future is above this.
    pub ceiling: Option<f64>,
    /// Seed of the simulated paths.
    pub seed: u64,
}

/// Where the future lies with a probability of `level`, step by step.
#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    /// The share of futures inside.
    pub level: Level,
    /// Lower ends, one a step.
    pub lo: Vec<f64>,
    /// Upper ends, one a step.
    pub hi: Vec<f64>,
}

/// When a threshold is met, in steps after the last value; `None` is beyond the horizon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reached {
    /// That it is met within the horizon.
    pub probability: f64,
    /// By when it is met in 10 % of the futures.
    pub p10: Option<f64>,
    /// In half of them.
    pub p50: Option<f64>,
    /// In 90 % of them.
    pub p90: Option<f64>,
    /// It is met already; the probability is then 1 and the times are 0.
    pub crossed: bool,
}

/// What comes after a series. Every number is finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Extension {
    /// The expected values, one a step.
    pub mean: Vec<f64>,
    /// One a level asked for, the narrowest first.
    pub bands: Vec<Band>,
    /// One a threshold, in the order asked.
    pub reached: Vec<Reached>,
    /// Periods that were found or given and used, in steps, strongest first.
    pub periods: Vec<usize>,
    /// What made it, for people.
    pub method: String,
    /// How it did on the series' own past; nothing where that is too short.
    pub backtest: Option<Backtest>,
}

/// Extends one series.
///
/// # Errors
/// [`Error::NoValue`] without a finite value, [`Error::NoStep`] for a horizon of 0,
/// [`Error::Threshold`] and [`Error::Bounds`] as [`forecast`](super::forecast).
pub fn extend(series: &Series<'_>, ask: &Ask<'_>) -> Result<Extension> {
    check(ask)?;
    let last = series.values.iter().rposition(|v| v.is_finite());
    let last = last.ok_or(Error::NoValue)?;
    let most = settings().history.most;
    let values = series.values.get(..=last).unwrap_or_default();
    let values = values
        .get(values.len().saturating_sub(most)..)
        .unwrap_or_default();
    // What has passed in silence since the last value is forecast and cut off.
    let silent = (series.values.len() - last - 1).min(most);
    let size = values.iter().filter(|v| v.is_finite());
    let scale = size.fold(0.0_f64, |max, v| max.max(v.abs()));
    let scale = if scale > 0.0 { scale } else { 1.0 };
    let scaled: Vec<f64> = values
        .iter()
        .map(|v| if v.is_finite() { v / scale } else { f64::NAN })
        .collect();
    let known = scaled.iter().filter(|v| v.is_finite()).count();
    let future = if known < settings().history.least {
        Future::repeated(&scaled, ask.horizon + silent)
    } else {
        Future::computed(&scaled, series, ask.horizon + silent, scale)
    };
    Ok(future.told(&scaled, scale, silent, ask))
}

fn check(ask: &Ask<'_>) -> Result<()> {
    if ask.horizon == 0 {
        return Err(Error::NoStep);
    }
    if let Some(bad) = ask.thresholds.iter().find(|t| !t.is_finite()) {
        return Err(Error::Threshold {
            name: bad.to_string(),
        });
    }
    let floor = ask.floor.unwrap_or(f64::NEG_INFINITY);
    let ceiling = ask.ceiling.unwrap_or(f64::INFINITY);
    if floor >= ceiling || floor.is_nan() || ceiling.is_nan() {
        return Err(Error::Bounds { floor, ceiling });
    }
    Ok(())
}

/// The future of values scaled to 1, from the last present one on.
struct Future {
    mean: Vec<f64>,
    spread: Spread,
    periods: Vec<usize>,
    method: String,
    backtest: Option<Backtest>,
}

impl Future {
    /// The last value again, as wide as a walk of the steps seen, or of the value's own size.
    fn repeated(scaled: &[f64], horizon: usize) -> Self {
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
        Self {
            mean: vec![last; horizon],
            spread: Spread::of(&[], 0, last, usual.max(unseen)),
            periods: Vec::new(),
            method: "last value".to_owned(),
            backtest: None,
        }
    }

    fn computed(scaled: &[f64], series: &Series<'_>, horizon: usize, scale: f64) -> Self {
        let seasons = seasons(scaled, series);
        let step = series.step.unwrap_or(Millis::DAY);
        let flat = seasons.remove(scaled);
        let inner: Inner = compute(&flat, step, horizon);
        let last = scaled.last().copied().unwrap_or(0.0);
        let whole = inner.mean.iter().enumerate();
        let mean = whole.map(|(j, v)| {
            let v = seasons.put_on(*v, scaled.len() + j);
            if v.is_finite() { v } else { last }
        });
        let tested = backtest(&inner, scale);
        let mut periods = seasons.periods();
        periods.extend(inner.periods.iter().copied());
        periods.dedup();
        Self {
            mean: mean.collect(),
            method: method(&inner),
            periods,
            backtest: (tested.origins > 0).then_some(tested),
            spread: inner.spread,
        }
    }

    /// In the series' own unit, from the end of what was given on.
    fn told(self, scaled: &[f64], scale: f64, silent: usize, ask: &Ask<'_>) -> Extension {
        let low = ask.floor.unwrap_or(-f64::MAX);
        let high = ask.ceiling.unwrap_or(f64::MAX);
        let cut = |v: f64| (v * scale).max(low).min(high);
        let mut levels = ask.levels.to_vec();
        levels.sort_by(|a, b| a.get().total_cmp(&b.get()));
        let mut reach = 0.0_f64;
        let bands = levels.into_iter().map(|level| {
            // Calibration may bend, but a wider level is never narrower.
            reach = reach.max(self.spread.reach(level.get()));
            let ends = |side: f64| {
                let ahead = self.mean.iter().enumerate().skip(silent);
                ahead
                    .map(|(j, mean)| cut(mean + side * reach * self.spread.at(j + 1)))
                    .collect()
            };
            Band {
                level,
                lo: ends(-1.0),
                hi: ends(1.0),
            }
        });
        Extension {
            bands: bands.collect(),
            mean: self.mean.iter().skip(silent).map(|v| cut(*v)).collect(),
            reached: self.reached(scaled, scale, silent, ask),
            periods: self.periods,
            method: self.method,
            backtest: self.backtest,
        }
    }

    fn reached(&self, scaled: &[f64], scale: f64, silent: usize, ask: &Ask<'_>) -> Vec<Reached> {
        if ask.thresholds.is_empty() {
            return Vec::new();
        }
        let now = scaled.iter().rev().copied().find(|v| v.is_finite());
        let now = now.unwrap_or(f64::NEG_INFINITY);
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
            let found = paths.reach(&self.mean, &self.spread, value);
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

/// Seasons of what is finer than a day, and those that were given.
fn seasons(values: &[f64], series: &Series<'_>) -> Seasons {
    if !series.periods.is_empty() {
        let real: Vec<usize> = series.periods.iter().copied().filter(|p| *p > 1).collect();
        return period::find(values, &real);
    }
    let Some(step) = series
        .step
        .filter(|step| (1..Millis::DAY.0).contains(&step.0))
    else {
        return Seasons::default();
    };
    let fits = [Millis::DAY.0, 7 * Millis::DAY.0]
        .into_iter()
        .filter(|length| length.is_multiple_of(step.0))
        .filter_map(|length| usize::try_from(length / step.0).ok());
    period::find(values, &fits.collect::<Vec<_>>())
}
