//! Which members to believe: forecasts of pasts that are known, and weights from their errors.
//!
//! From several origins every member forecasts what then came, seasons and shifts being found anew
//! from each origin's own past. Weights are prior × (error relative to seasonal naive)^-power,
//! members far behind the best left out (Bates and Granger 1969, "The combination of forecasts";
//! Tashman 2000, "Out-of-sample tests of forecasting accuracy"). Errors of the combination at an
//! origin are taken with weights that did not see that origin. Later origins count more. Level
//! shifts that came after an origin are taken out of what it is scored by: nobody can foresee a
//! migration, and one of them must not decide which slope is believed.

use crate::model::outcome::Experience;

use super::calendar::Calendar;
use super::member::{self, MEMBERS, Member, Past, SATURATING};
use super::period::{self, Seasons};
use super::settings::settings;
use super::shift;

/// What a past looks like before any member sees it.
pub(super) struct Shape {
    pub(super) seasons: Seasons,
    flat: Vec<f64>,
    shifts: Vec<usize>,
    year: Option<f64>,
}

impl Shape {
    /// Finds seasons and shifts. `values` ends with a present one.
    pub(super) fn of(values: &[f64], calendar: Calendar<'_>) -> Self {
        let seasons = period::find(values, &calendar.candidates());
        let per_year = calendar.per_year();
        let flat = seasons.remove(values);
        let shifts = shift::find(&flat);
        let year = (values.len() as f64 >= 2.0 * per_year && per_year >= 12.0).then_some(per_year);
        Self {
            seasons,
            flat,
            shifts,
            year,
        }
    }

    /// One member's forecast with the seasons put on; nothing if it does not apply.
    fn ask(&self, past: &Past<'_>, member: &Member, horizon: usize) -> Option<Vec<f64>> {
        // Values are scaled to 1, and no forecast beyond a thousand times the past is of use.
        const REACH: f64 = 1e3;
        let n = self.flat.len();
        let flat = (member.forecast)(past, horizon)?;
        let whole = flat.into_iter().enumerate().map(|(j, v)| {
            // A runaway curve is cut before it can spoil the mean of the others.
            self.seasons.put_on(v.clamp(-REACH, REACH), n + j)
        });
        let future: Vec<f64> = whole.collect();
        future.iter().all(|v| v.is_finite()).then_some(future)
    }

    /// Every member's forecast.
    pub(super) fn asked(&self, horizon: usize) -> Asked {
        let past = Past::new(&self.flat, &self.shifts, self.year);
        let each = MEMBERS.iter();
        Asked {
            forecasts: each.map(|m| self.ask(&past, m, horizon)).collect(),
            evidence: member::evidence(&past),
        }
    }
}

/// What the members say of a future.
pub(super) struct Asked {
    /// One a member, where it applies.
    pub(super) forecasts: Vec<Option<Vec<f64>>>,
    /// How sure it is that the growth runs into a ceiling: 0 to 1.
    pub(super) evidence: f64,
}

/// One origin of the back-test.
struct Track {
    /// What came, later level shifts taken out.
    actual: Vec<f64>,
    /// What those shifts had added by each step.
    jumped: Vec<f64>,
    forecasts: Vec<Option<Vec<f64>>>,
    /// For growth that runs into a ceiling, as seen from this origin.
    evidence: f64,
    baseline: Vec<f64>,
}

/// The back-test of one series.
pub(super) struct Trial {
    tracks: Vec<Track>,
    /// Steps ahead that were scored at most.
    pub(super) horizon: usize,
}

/// One scored value of the back-test.
#[derive(Clone, Copy)]
pub(super) struct Scored {
    pub(super) origin: usize,
    /// Steps ahead, from 1.
    pub(super) ahead: usize,
    pub(super) error: f64,
    /// What level shifts after the origin had added, which `error` leaves out.
    pub(super) jumped: f64,
    pub(super) baseline_error: f64,
}

/// Forecasts from several origins of the past.
pub(super) fn trial(values: &[f64], calendar: Calendar<'_>, horizon: usize) -> Trial {
    let set = &settings().backtest;
    let n = values.len();
    let share = |of: f64, share: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a length"
        )]
        let steps = (of * share).round() as usize;
        steps
    };
    let first = share(n as f64, set.first).max(settings().history.least.div_euclid(2) + 3);
    let longest = horizon.min(n.saturating_sub(first));
    let last = n.saturating_sub(share(longest as f64, set.last).max(3));
    let jumps = shift::sizes(values, &shift::find(values));
    let mut tracks = Vec::new();
    let mut before = None;
    for k in 0..set.origins {
        let at = first + (last.saturating_sub(first)) * k / set.origins.saturating_sub(1).max(1);
        let past = values.get(..at).unwrap_or_default();
        // An origin stands on a present value, as the forecast itself does.
        let kept = past
            .iter()
            .rposition(|v| v.is_finite())
            .map_or(0, |i| i + 1);
        let past = values.get(..kept).unwrap_or_default();
        if kept < first.min(last) || before == Some(kept) || kept >= n {
            continue;
        }
        before = Some(kept);
        let later = values.iter().enumerate().skip(kept).take(longest);
        let (actual, jumped): (Vec<f64>, Vec<f64>) = later
            .map(|(i, v)| {
                let since = jumps.iter().filter(|(at, _)| (kept..=i).contains(at));
                let jumped = since.map(|(_, size)| size).sum::<f64>();
                (v - jumped, jumped)
            })
            .unzip();
        let own = Shape::of(past, calendar);
        let asked = own.asked(actual.len());
        tracks.push(Track {
            baseline: seasonal_naive(past, &own.seasons, actual.len()),
            forecasts: asked.forecasts,
            evidence: asked.evidence,
            actual,
            jumped,
        });
    }
    Trial {
        tracks,
        horizon: longest,
    }
}

/// The last value of the same phase; without a season, the last value.
fn seasonal_naive(past: &[f64], seasons: &Seasons, horizon: usize) -> Vec<f64> {
    let period = seasons.periods().first().copied().unwrap_or(1);
    let last = past.last().copied().unwrap_or(0.0);
    (0..horizon)
        .map(|j| {
            let back = period - j % period;
            let mut at = past.len().checked_sub(back);
            // Over gaps, one period further back.
            while let Some(i) = at {
                match past.get(i) {
                    Some(v) if v.is_finite() => return *v,
                    _ => at = i.checked_sub(period),
                }
            }
            last
        })
        .collect()
}

impl Trial {
    /// How many origins were scored.
    pub(super) fn origins(&self) -> usize {
        self.tracks.len()
    }

    /// Weights of the members, summing to 1 over those in `available`; `without` is an origin that
    /// they must not have seen.
    pub(super) fn weights(&self, available: &[bool], without: Option<usize>) -> Vec<f64> {
        let set = &settings().backtest;
        let skills: Vec<Option<f64>> = (0..MEMBERS.len())
            .map(|m| {
                let can = available.get(m).copied().unwrap_or(false);
                if can { self.skill(m, without) } else { None }
            })
            .collect();
        let best = skills
            .iter()
            .flatten()
            .copied()
            .fold(f64::INFINITY, f64::min);
        let prior = |m: usize| {
            let name = MEMBERS.get(m).map_or("", |member| member.name);
            settings().prior.get(name).copied().unwrap_or(0.0)
        };
        // A perfect member leaves room for perfect ones only.
        let bound = (best * set.drop).max(1e-9);
        let kept = |m: usize| match skills.get(m).copied().flatten() {
            Some(skill) => skill <= bound,
            None => best.is_infinite() && available.get(m).copied().unwrap_or(false),
        };
        let earned = normalised((0..MEMBERS.len()).map(|m| {
            let skill = skills.get(m).copied().flatten().unwrap_or(1.0);
            if kept(m) {
                prior(m) * skill.max(1e-9).powf(-set.power)
            } else {
                0.0
            }
        }));
        let given = normalised((0..MEMBERS.len()).map(|m| if kept(m) { prior(m) } else { 0.0 }));
        let mixed = earned.iter().zip(&given);
        mixed
            .map(|(e, g)| (1.0 - set.shrink) * e + set.shrink * g)
            .collect()
    }

    /// Absolute error relative to seasonal naive, over the origins at which the member applied.
    fn skill(&self, member: usize, without: Option<usize>) -> Option<f64> {
        let (mut own, mut naive) = (0.0, 0.0);
        let decay = settings().backtest.decay;
        let mut recent = decay.powf(self.tracks.len() as f64);
        for (k, track) in self.tracks.iter().enumerate() {
            recent /= decay;
            if Some(k) == without {
                continue;
            }
            let Some(Some(forecast)) = track.forecasts.get(member) else {
                continue;
            };
            let errors = track.actual.iter().zip(forecast).zip(&track.baseline);
            for ((actual, f), b) in errors.filter(|((a, _), _)| a.is_finite()) {
                own += recent * (actual - f).abs();
                naive += recent * (actual - b).abs();
            }
        }
        if naive > 0.0 {
            Some(own / naive)
        } else {
            (own <= 1e-12).then_some(1.0)
        }
    }

    /// Every scored value of the combination.
    pub(super) fn scores(&self) -> Vec<Scored> {
        let mut scores = Vec::new();
        for (origin, track) in self.tracks.iter().enumerate() {
            let available: Vec<bool> = track.forecasts.iter().map(Option::is_some).collect();
            let without = (self.tracks.len() > 1).then_some(origin);
            let weights = believed(self.weights(&available, without), track.evidence);
            let combined = combined(&track.forecasts, &weights, track.actual.len());
            let rows = track.actual.iter().zip(&combined).zip(&track.baseline);
            for (j, (((actual, f), b), jumped)) in rows.zip(&track.jumped).enumerate() {
                if actual.is_finite() {
                    scores.push(Scored {
                        origin,
                        ahead: j + 1,
                        error: actual - f,
                        jumped: *jumped,
                        baseline_error: actual - b,
                    });
                }
            }
        }
        scores
    }
}

/// Weights times what was learnt of each member, summing to what they summed to.
pub(super) fn experienced(weights: Vec<f64>, experience: Option<&Experience>) -> Vec<f64> {
    let Some(experience) = experience else {
        return weights;
    };
    let factored = weights.iter().zip(&MEMBERS);
    normalised(factored.map(|(weight, member)| weight * experience.weight(member.name)))
}

/// Weights of which the saturating member gets at least the share that the evidence gives it.
pub(super) fn believed(mut weights: Vec<f64>, evidence: f64) -> Vec<f64> {
    let place = MEMBERS.iter().position(|member| member.name == SATURATING);
    let own = place.and_then(|at| weights.get(at).copied()).unwrap_or(0.0);
    if own >= evidence {
        return weights;
    }
    for weight in &mut weights {
        *weight *= (1.0 - evidence) / (1.0 - own);
    }
    if let Some(weight) = place.and_then(|at| weights.get_mut(at)) {
        *weight = evidence;
    }
    weights
}

/// The weighted mean of the members' forecasts.
pub(super) fn combined(
    forecasts: &[Option<Vec<f64>>],
    weights: &[f64],
    horizon: usize,
) -> Vec<f64> {
    let mut sum = vec![0.0; horizon];
    for (forecast, weight) in forecasts.iter().zip(weights) {
        for (cell, v) in sum.iter_mut().zip(forecast.iter().flatten()) {
            *cell += weight * v;
        }
    }
    sum
}

fn normalised(weights: impl Iterator<Item = f64>) -> Vec<f64> {
    let weights: Vec<f64> = weights.collect();
    let sum: f64 = weights.iter().sum();
    let part = |w: &f64| if sum > 0.0 { w / sum } else { 0.0 };
    weights.iter().map(part).collect()
}
