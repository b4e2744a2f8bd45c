//! What if: a stored forecast under a scenario, at once and without a fit.
//!
//! For: the points, bands, crossings and limits of load that a change would bring. Not for: reading
//! scenarios (`http`) or choosing resources (`work`). Read [`under`] first.
//!
//! Each part of a scenario is a map of values at a step that never turns their order round. Means,
//! the edges of bands and simulated paths all go through the same maps: bands nest as before and
//! scale with what they surround, and whatever raises every path cannot make a crossing later. That
//! quantiles go through such maps unchanged is known (Koenker 2005, "Quantile regression", on
//! equivariance to monotone transformations); the maps are our own derivations:
//!
//! - *Growth × k* acts on what lies above the present level with its season. For k > 1 that part of
//!   each value is multiplied. For k < 1 every value falls by what the mean loses, so that less
//!   growth does not pass for less doubt. What lies below the level is no growth and stays.
//! - *Load × k* multiplies values of what comes and goes. What piles up (storage, database) is not
//!   multiplied: it fills k times as fast, as growth does.
//! - *Season × k* adds (k − 1) times the seasons found. An *event × k* multiplies what comes and
//!   goes while it lasts; what piles up keeps what came in addition.
//! - A *migration* adds; an *archival* takes away a share of the mean, season left out, at its date.

use crate::model::capacity::{Crossing, Estimate, Forecast, ForecastPoint, Interval, Simulated};
use crate::model::scenario::{Event, FACTOR_MAX, Scenario};
use crate::model::units::{Millis, Timestamp};

use super::crossing::{Paths, Times};
use super::interval::normal_quantile;
use super::{DAYS_PER_MONTH, Threshold};

/// A checked scenario, and whether what it is applied to piles up.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// What is different; [`Scenario::check`] has passed it.
    pub scenario: &'a Scenario,
    /// More load fills it faster instead of using more at once.
    pub piles_up: bool,
}

impl Change<'_> {
    /// A value of now under what takes effect at once; `start` is when the forecast begins.
    pub fn at_once(&self, value: f64, start: Timestamp) -> f64 {
        let scenario = self.scenario;
        let mut value = scaled(value, self.factor_at(start));
        for migration in scenario.migrations.iter().filter(|m| is_now(m.at, start)) {
            value += migration.amount;
        }
        for archive in scenario.archives.iter().filter(|a| is_now(a.at, start)) {
            value -= archive.share * value.max(0.0);
        }
        value
    }

    /// What multiplies values of what comes and goes at an instant.
    fn factor_at(&self, at: Timestamp) -> f64 {
        if self.piles_up {
            return 1.0;
        }
        let events = self.scenario.events.iter().filter(|e| lasts(e, at));
        events.fold(self.load(), |all, event| all * event.factor)
    }

    /// What multiplies values at all times.
    fn load(&self) -> f64 {
        if self.piles_up {
            1.0
        } else {
            self.scenario.load
        }
    }

    /// What multiplies growth.
    fn growth(&self) -> f64 {
        let filling = if self.piles_up {
            self.scenario.load
        } else {
            1.0
        };
        self.scenario.growth * filling
    }
}

/// The forecast under a change: points, bands, level, growth, and when `thresholds` (of the
/// changed world) are met. `seed` is that of the plan it was made with.
pub fn under(
    forecast: &Forecast,
    change: &Change<'_>,
    thresholds: &[Threshold],
    seed: u64,
) -> Forecast {
    let warp = Warp::of(forecast, change);
    let start = start(forecast);
    let level = finite(change.at_once(forecast.level, start));
    let per_day = growth(forecast.growth_per_day, change);
    let mut seasons = forecast.seasons.clone();
    for v in seasons.iter_mut().flat_map(|season| &mut season.profile) {
        *v = finite(*v * change.load());
    }
    Forecast {
        level,
        points: warp.points(forecast),
        growth_per_day: per_day,
        growth_per_month: (level > 0.0)
            .then(|| each(per_day, |v| finite(v * DAYS_PER_MONTH / level))),
        crossings: crossings(forecast, change, &warp, thresholds, seed),
        seasons,
        simulated: forecast.simulated.map(|simulated| Simulated {
            swing: finite(simulated.swing * change.factor_at(start)),
            present: finite(change.at_once(simulated.present, start)),
            ..simulated
        }),
        ..forecast.clone()
    }
}

/// Probability that `value` is reached before `date`; nothing beyond the horizon.
pub fn probability_before(
    forecast: &Forecast,
    value: f64,
    date: Timestamp,
    seed: u64,
) -> Option<f64> {
    let (start, last) = (start(forecast), forecast.points.last()?);
    if date > last.at.plus(forecast.step.as_duration()) {
        return None;
    }
    let neutral = Scenario::default();
    let change = Change {
        scenario: &neutral,
        piles_up: false,
    };
    if has_crossed(forecast, &change, value) {
        return Some(1.0);
    }
    let times = Warp::of(forecast, &change).times(forecast, value, seed);
    let days = date.since(start).as_millis() as f64 / forecast.step.0.max(1) as f64;
    Some(times.share_by(days))
}

/// The load, as a multiple of the present one, at which `limit` is reached by `until`: at once for
/// the start of the forecast, else by what is expected. Nothing where no load up to a thousand
/// times the present one reaches it.
pub fn load_at_limit(
    forecast: &Forecast,
    change: &Change<'_>,
    limit: f64,
    until: Timestamp,
) -> Option<f64> {
    /// Halvings: more than the digits of the result.
    const ROUNDS: usize = 48;
    let reached = |load: f64| {
        let scenario = Scenario {
            load,
            ..change.scenario.clone()
        };
        let change = Change {
            scenario: &scenario,
            ..*change
        };
        has_crossed(forecast, &change, limit)
            || (until > start(forecast) && {
                let warp = Warp::of(forecast, &change);
                let steps = forecast.points.iter().zip(&warp.steps);
                let mut before = steps.take_while(|(point, _)| point.at < until);
                before.any(|(point, step)| warp.value(step, point.mean) + step.swing >= limit)
            })
    };
    let (mut lo, mut hi) = (0.0, FACTOR_MAX);
    if !reached(hi) {
        return None;
    }
    for _ in 0..ROUNDS {
        let middle = f64::midpoint(lo, hi);
        if reached(middle) {
            hi = middle;
        } else {
            lo = middle;
        }
    }
    Some(hi)
}

/// What happens to values at one step.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// Growth is what lies above this.
    base: f64,
    /// Growth that does not come.
    fall: f64,
    /// Seasons that swing more or less.
    season: f64,
    /// Events, for what comes and goes.
    event: f64,
    /// What has come or gone for good by then.
    moved: f64,
    /// How far the busiest part of the step stands above its value.
    swing: f64,
}

/// All steps of a forecast under a change.
struct Warp {
    /// By how much growth exceeds the forecast's, as a share of it.
    more: f64,
    load: f64,
    steps: Vec<Step>,
}

impl Warp {
    fn of(forecast: &Forecast, change: &Change<'_>) -> Self {
        let scenario = change.scenario;
        let (growth, load) = (change.growth(), change.load());
        let swing = forecast.simulated.map_or(0.0, |simulated| simulated.swing);
        let season = |ahead: usize| -> f64 { forecast.seasons.iter().map(|s| s.at(ahead)).sum() };
        let steps = forecast.points.iter().enumerate().map(|(ahead, point)| {
            let (own, now) = (season(ahead), start(forecast));
            let base = forecast.level + own;
            let more = match scenario.season {
                Some(season) if is_by(season.from, now, point.at) => season.factor - 1.0,
                _ => 0.0,
            };
            let event = change.factor_at(point.at);
            Step {
                base,
                fall: (1.0 - growth).max(0.0) * finite(point.mean - base).max(0.0),
                season: more * own * load,
                event: if load > 0.0 { event / load } else { 1.0 },
                moved: 0.0,
                swing: swing * event,
            }
        });
        let mut warp = Self {
            more: (growth - 1.0).max(0.0),
            load,
            steps: steps.collect(),
        };
        warp.pile(forecast, change, &season);
        warp.shift(forecast, scenario, &season);
        warp
    }

    /// What events add for good to what piles up.
    fn pile(&mut self, forecast: &Forecast, change: &Change<'_>, season: &dyn Fn(usize) -> f64) {
        if !change.piles_up || change.scenario.events.is_empty() {
            return;
        }
        let (mut before, mut piled) = (forecast.level, 0.0);
        for (ahead, point) in forecast.points.iter().enumerate() {
            let Some(step) = self.steps.get(ahead) else {
                return;
            };
            let now = self.value(step, point.mean) - season(ahead) - step.season;
            let events = change.scenario.events.iter();
            for event in events.filter(|event| lasts(event, point.at)) {
                piled += (event.factor - 1.0) * (now - before).max(0.0);
            }
            before = now;
            if let Some(step) = self.steps.get_mut(ahead) {
                step.moved = piled;
            }
        }
    }

    /// What migrations bring and archivals take.
    fn shift(&mut self, forecast: &Forecast, scenario: &Scenario, season: &dyn Fn(usize) -> f64) {
        let now = start(forecast);
        let points = || forecast.points.iter();
        for migration in &scenario.migrations {
            for (point, own) in points().zip(&mut self.steps) {
                if is_by(migration.at, now, point.at) {
                    own.moved += migration.amount;
                }
            }
        }
        let mut archives = scenario.archives.clone();
        archives.sort_by_key(|archive| archive.at);
        for archive in archives {
            let Some(at) = points().position(|point| is_by(archive.at, now, point.at)) else {
                continue;
            };
            let (Some(point), Some(own)) = (forecast.points.get(at), self.steps.get(at)) else {
                continue;
            };
            let level = self.value(own, point.mean) - season(at) * self.load - own.season;
            let freed = archive.share * level.max(0.0);
            for own in self.steps.iter_mut().skip(at) {
                own.moved -= freed;
            }
        }
    }

    /// A value of the forecast at one step, under the change.
    fn value(&self, step: &Step, value: f64) -> f64 {
        let above = finite(value - step.base).max(0.0);
        let grown = finite(value + self.more * above) - step.fall;
        finite(scaled(scaled(grown, self.load) + step.season, step.event)) + finite(step.moved)
    }

    fn points(&self, forecast: &Forecast) -> Vec<ForecastPoint> {
        let lowest = |point: &ForecastPoint| {
            let edges = point.bands.iter().map(|band| band.lo);
            edges.fold(point.mean, f64::min)
        };
        // What never went below zero does not do so now.
        let never_negative = forecast.points.iter().all(|point| lowest(point) >= 0.0);
        let floor = if never_negative { 0.0 } else { -f64::MAX };
        let pairs = forecast.points.iter().zip(&self.steps);
        pairs
            .map(|(point, step)| {
                let moved = |v: f64| finite(self.value(step, v)).max(floor);
                ForecastPoint {
                    at: point.at,
                    mean: moved(point.mean),
                    bands: point
                        .bands
                        .iter()
                        .map(|band| Interval {
                            level: band.level,
                            lo: moved(band.lo),
                            hi: moved(band.hi),
                        })
                        .collect(),
                }
            })
            .collect()
    }

    /// When paths around the forecast, under the change, first reach `threshold`.
    fn times(&self, forecast: &Forecast, threshold: f64, seed: u64) -> Times {
        let spread = forecast.simulated.map(|simulated| simulated.spread);
        let spreads: Vec<f64> = forecast
            .points
            .iter()
            .map(|p| spread_at(p, spread))
            .collect();
        Paths::draw(forecast.points.len(), seed).times(|ahead, error| {
            let (Some(point), Some(step), Some(spread)) = (
                forecast.points.get(ahead),
                self.steps.get(ahead),
                spreads.get(ahead),
            ) else {
                return false;
            };
            self.value(step, point.mean + spread * error) + step.swing >= threshold
        })
    }
}

fn crossings(
    forecast: &Forecast,
    change: &Change<'_>,
    warp: &Warp,
    thresholds: &[Threshold],
    seed: u64,
) -> Vec<Crossing> {
    let start = start(forecast);
    let of = |threshold: &Threshold| {
        let crossed = has_crossed(forecast, change, threshold.value);
        let (probability, quantiles) = if crossed {
            (1.0, [Some(0.0); 3])
        } else {
            let reached = warp.times(forecast, threshold.value, seed).reached();
            (reached.probability, reached.quantiles)
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most two years in milliseconds, not negative"
        )]
        let ms = |steps: f64| (steps * forecast.step.0 as f64) as u64;
        let at =
            |steps: Option<f64>| steps.map(|steps| start.plus(Millis(ms(steps)).as_duration()));
        let [p10, p50, p90] = quantiles;
        Crossing {
            name: threshold.name.clone(),
            threshold: threshold.value,
            probability,
            p10: at(p10),
            p50: at(p50),
            p90: at(p90),
            crossed,
        }
    };
    thresholds.iter().map(of).collect()
}

fn has_crossed(forecast: &Forecast, change: &Change<'_>, threshold: f64) -> bool {
    let start = start(forecast);
    let (present, swing) = forecast
        .simulated
        .map_or((forecast.level, 0.0), |s| (s.present, s.swing));
    change.at_once(present, start) + swing * change.factor_at(start) >= threshold
}

/// Standard deviation of paths at a point: by what was recorded, else that of a normal band.
fn spread_at(point: &ForecastPoint, recorded: Option<f64>) -> f64 {
    let upper = |band: &Interval| (band.hi - point.mean).max(0.0);
    let middle = point
        .bands
        .iter()
        .find(|b| (b.level.get() - 0.8).abs() < 1e-9);
    match (middle, recorded) {
        (Some(band), Some(spread)) => upper(band) * spread,
        _ => middle.or(point.bands.last()).map_or(0.0, |band| {
            upper(band) / normal_quantile(f64::midpoint(1.0, band.level.get())).max(0.1)
        }),
    }
}

/// Growth a day: the part above zero is multiplied, and less of it moves all alike.
fn growth(per_day: Estimate, change: &Change<'_>) -> Estimate {
    let factor = change.growth();
    let fall = (1.0 - factor).max(0.0) * per_day.value.max(0.0);
    let more = (factor - 1.0).max(0.0);
    each(per_day, |v| {
        finite((v + more * v.max(0.0) - fall) * change.load())
    })
}

fn each(estimate: Estimate, map: impl Fn(f64) -> f64) -> Estimate {
    Estimate {
        value: map(estimate.value),
        lo: map(estimate.lo),
        hi: map(estimate.hi),
    }
}

/// Where the forecast begins; the history ends there.
fn start(forecast: &Forecast) -> Timestamp {
    let first = forecast.points.first();
    first.map_or(Timestamp::from_millis(0), |point| point.at)
}

fn is_now(at: Option<Timestamp>, start: Timestamp) -> bool {
    at.is_none_or(|at| at <= start)
}

/// Whether a date has come by the step that begins at `step`; without a date it has from the start.
fn is_by(at: Option<Timestamp>, start: Timestamp, step: Timestamp) -> bool {
    is_now(at, start) || at.is_some_and(|at| at <= step)
}

fn lasts(event: &Event, at: Timestamp) -> bool {
    event.from <= at && at < event.to
}

/// What is not there cannot be multiplied.
fn scaled(value: f64, factor: f64) -> f64 {
    let value = finite(value);
    if value > 0.0 {
        finite(value * factor)
    } else {
        value
    }
}

fn finite(value: f64) -> f64 {
    value.clamp(-f64::MAX, f64::MAX)
}

#[cfg(test)]
mod tests;
