//! Any series, extended: what a file brings, in steps instead of dates.
//!
//! For: evenly spaced values in, the same number of bands and crossings out as were asked for.
//! Not for: resources of a watched server, which have days and limits ([`forecast`](super::forecast)).
//!
//! A series with one value has an answer, too: that value again, in a wide band.

mod future;
mod past;

use crate::model::capacity::{Backtest, Estimate};
use crate::model::units::{Level, Millis};

use super::settings::settings;
use super::{Error, Result};
use future::Future;

pub use past::Past;

/// One series as it was given.
#[derive(Debug, Clone, Copy)]
pub struct Series<'a> {
    /// Evenly spaced, oldest first; NaN is a missing one, and so is taken whatever is not finite.
    pub values: &'a [f64],
    /// Distance between values; without it a step is one unit.
    pub step: Option<Millis>,
    /// Periods in steps, and no others; empty: they are looked for. A period of 1 is none.
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
    /// What is told beside the future, for it costs time.
    pub detail: Detail,
}

/// What is told of a series beside its future.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// Nothing.
    #[default]
    None,
    /// [`Extension::past`].
    Past,
    /// [`Extension::members`].
    Members,
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
    /// Mean of the last season, or of the last steps where there is none.
    pub level: f64,
    /// Change a step over the next quarter, or what is asked, with its 80 % interval.
    pub growth: Estimate,
    /// The same in 30.44 days as a share of the level; nothing where that is not positive, or the
    /// length of a step not known.
    pub growth_per_month: Option<Estimate>,
    /// Too few values for a forecast: the last one is repeated.
    pub lack: Option<Lack>,
    /// What the past was like, where [`Detail::Past`] was asked.
    pub past: Option<Past>,
    /// What each member expects by itself, where [`Detail::Members`] was asked.
    pub members: Vec<Alone>,
}

/// Values there are, and values that the first forecast needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lack {
    /// Finite values.
    pub have: usize,
    /// How many are needed.
    pub need: usize,
}

/// One member's own word.
#[derive(Debug, Clone, PartialEq)]
pub struct Alone {
    /// Its name, as in `models/methods.toml`.
    pub name: &'static str,
    /// What it counts in the combination, 0 to 1.
    pub weight: f64,
    /// The expected values, one a step.
    pub mean: Vec<f64>,
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
    let most = settings().history.most_near;
    let values = series.values.get(..=last).unwrap_or_default();
    let values = values
        .get(values.len().saturating_sub(most)..)
        .unwrap_or_default();
    let first = values.iter().position(|v| v.is_finite()).unwrap_or(0);
    let values = values.get(first..).unwrap_or_default();
    // What has passed in silence since the last value is forecast and cut off.
    let silent = (series.values.len() - last - 1).min(most);
    let size = values.iter().filter(|v| v.is_finite());
    let scale = size.fold(0.0_f64, |max, v| max.max(v.abs()));
    let scale = if scale > 0.0 { scale } else { 1.0 };
    let scaled: Vec<f64> = values
        .iter()
        .map(|v| if v.is_finite() { v / scale } else { f64::NAN })
        .collect();
    let (have, need) = (
        scaled.iter().filter(|v| v.is_finite()).count(),
        settings().history.least,
    );
    let horizon = ask.horizon.saturating_add(silent);
    let lack = (have < need).then_some(Lack { have, need });
    let future = match lack {
        Some(_) => Future::repeated(&scaled, horizon),
        None => Future::of(&scaled, horizon, series, scale),
    };
    let mut told = future.told(&scaled, scale, silent, (series, ask));
    if ask.detail == Detail::Past && lack.is_none() {
        let before = last + 1 - scaled.len();
        let past = Past::of(&scaled, scale, series, &told);
        told.past = Some(past.within(before, silent));
    }
    Ok(Extension { lack, ..told })
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

#[cfg(test)]
mod tests;
