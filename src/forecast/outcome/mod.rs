//! What forecasts promised, beside what came, and what the next one makes of it.
//!
//! For: [`promised`], which takes a forecast's word at a few leads; [`review`], which scores promises
//! against the history. Not for: keeping promises (`work::outcome`). Pure, like all of this module.
//!
//! Outcomes whose spans overlap share their errors, so only spans that do not overlap count as
//! independent. Bands: the share of outcomes inside the 80 % band, drawn towards 80 % as if `prior`
//! outcomes had agreed before, says how many times as wide it should have been if errors were
//! normal. Weights: a member's error over that of the whole forecast, drawn towards 1 likewise
//! (compare Bates and Granger 1969, "The combination of forecasts"). Bands are taken as they were
//! before experience widened them, else each correction would undo the one before. Both pulls are
//! our own. Read [`review`] first.

use std::collections::BTreeMap;

use crate::model::capacity::{Forecast, Resource};
use crate::model::outcome::{
    Experience, Kept, LEADS, LeadScore, MemberScore, OUTCOMES_MIN, Promise, Promised, Review,
};
use crate::model::series::Window;
use crate::model::units::{Millis, Timestamp};

use super::interval::normal_quantile;
use super::settings::settings;
use super::{Fold, days};

/// What a forecast says of the days at [`LEADS`] after `origin`, as far as it reaches; nothing where
/// its step is no day, or an 80 or 95 % band is missing.
pub fn promised(forecast: &Forecast, origin: Timestamp) -> Vec<Promised> {
    if forecast.step != Millis::DAY {
        return Vec::new();
    }
    let word = |lead: u16| {
        let at = day(origin, lead);
        let point = forecast.points.iter().find(|point| point.at == at)?;
        let band = |level: f64| {
            let mut bands = point.bands.iter();
            let band = bands.find(|band| (band.level.get() - level).abs() < 1e-9)?;
            Some((band.lo, band.hi))
        };
        Some(Promised {
            lead,
            mean: point.mean,
            p80: band(0.80)?,
            p95: band(0.95)?,
        })
    };
    LEADS.into_iter().map_while(word).collect()
}

/// Start of the `lead`-th day after `origin`.
fn day(origin: Timestamp, lead: u16) -> Timestamp {
    let before = u64::from(lead.saturating_sub(1));
    origin.plus(Millis(before * Millis::DAY.0).as_duration())
}

/// Scores promises of one resource against what came.
///
/// `promises` may stand in any order; `history` is hourly or daily, up to now, NaN for gaps, and is
/// folded to days that begin where each promise begins. A day without values is not scored.
pub fn review(resource: Resource, promises: &[Promise], history: &Window, fold: Fold) -> Review {
    let mut promises: Vec<&Promise> = promises.iter().collect();
    promises.sort_by_key(|promise| promise.origin);
    let outcomes = Actual::of(history, fold).outcomes(&promises);
    let leads: Vec<LeadScore> = LEADS
        .into_iter()
        .filter_map(|lead| score(lead, &of_lead(&outcomes, lead)))
        .collect();
    let independent = leads.iter().map(|lead| lead.independent).max().unwrap_or(0);
    let coverage = pooled(&leads, |lead| lead.inside80 as f64 / lead.scored as f64);
    let members = members(&outcomes, &leads);
    let experience = (independent > 0).then(|| Experience {
        band: band(&outcomes, &leads, independent),
        members: members
            .iter()
            .map(|member| (member.name.clone(), weight(member, independent)))
            .collect(),
        outcomes: independent,
    });
    Review {
        resource,
        promises: promises.len(),
        since: promises.first().map(|promise| promise.origin),
        verdict: coverage.map_or(Kept::TooFew, |share| kept(share, independent)),
        leads,
        members,
        coverage_p80: coverage,
        independent,
        experience,
        synthetic: promises.iter().rev().find_map(|promise| promise.synthetic),
    }
}

/// The history as days, for every hour that a day may begin at.
struct Actual<'a> {
    history: &'a Window,
    fold: Fold,
    by_phase: BTreeMap<u64, Window>,
}

/// One promised value and what came.
struct Outcome<'p> {
    promise: &'p Promise,
    point: Promised,
    /// Place of the point in its promise.
    place: usize,
    actual: f64,
}

impl<'a> Actual<'a> {
    const fn of(history: &'a Window, fold: Fold) -> Self {
        Self {
            history,
            fold,
            by_phase: BTreeMap::new(),
        }
    }

    fn outcomes<'p>(&mut self, promises: &[&'p Promise]) -> Vec<Outcome<'p>> {
        let mut outcomes = Vec::new();
        for promise in promises {
            for (place, point) in promise.points.iter().enumerate() {
                let sound = [
                    point.mean,
                    point.p80.0,
                    point.p80.1,
                    point.p95.0,
                    point.p95.1,
                ];
                let actual = self.on(promise.origin, point.lead);
                if let (Some(actual), true) = (actual, sound.iter().all(|v| v.is_finite())) {
                    outcomes.push(Outcome {
                        promise,
                        point: *point,
                        place,
                        actual,
                    });
                }
            }
        }
        outcomes
    }

    /// The value of the `lead`-th day after `origin`; `None` where it has not passed or is a gap.
    fn on(&mut self, origin: Timestamp, lead: u16) -> Option<f64> {
        let (start, end) = (day(origin, lead), self.history.end());
        if start < self.history.start || start.plus(Millis::DAY.as_duration()) > end {
            return None;
        }
        let silent = u64::try_from(end.since(origin).as_millis()).ok()? % Millis::DAY.0;
        let phase = silent.checked_div(self.history.step.0)?;
        let (history, fold) = (self.history, self.fold);
        let folded = self.by_phase.entry(phase).or_insert_with(|| {
            let cut = usize::try_from(phase).unwrap_or(usize::MAX);
            let kept = history.values.len().saturating_sub(cut);
            let mut values = history.values.clone();
            values.truncate(kept);
            days(&Window { values, ..*history }, fold)
        });
        let after = u64::try_from(start.since(folded.start).as_millis()).ok()?;
        let half = folded.step.0 / 2;
        let place = usize::try_from((after + half).checked_div(folded.step.0)?).ok()?;
        folded.values.get(place).copied().filter(|v| v.is_finite())
    }
}

impl Outcome<'_> {
    fn error(&self) -> f64 {
        self.point.mean - self.actual
    }

    /// Whether it came within the 80 % band as it was before experience changed its width.
    fn inside_plain80(&self) -> bool {
        let factor = self
            .promise
            .experience
            .as_ref()
            .map_or(1.0, Experience::band);
        // The lower end may be cut off at zero; the upper end never is.
        let (lo, hi) = self.point.p80;
        let half = (hi - self.point.mean).max(self.point.mean - lo);
        self.error().abs() <= half / factor
    }
}

fn of_lead<'o, 'p>(outcomes: &'o [Outcome<'p>], lead: u16) -> Vec<&'o Outcome<'p>> {
    outcomes.iter().filter(|o| o.point.lead == lead).collect()
}

fn score(lead: u16, outcomes: &[&Outcome<'_>]) -> Option<LeadScore> {
    let n = outcomes.len() as f64;
    if outcomes.is_empty() {
        return None;
    }
    let mean = |of: &dyn Fn(&Outcome<'_>) -> f64| outcomes.iter().map(|o| of(o) / n).sum::<f64>();
    let inside = |band: fn(&Promised) -> (f64, f64)| {
        let held = |o: &&&Outcome<'_>| {
            let (lo, hi) = band(&o.point);
            (lo..=hi).contains(&o.actual)
        };
        outcomes.iter().filter(held).count()
    };
    let mae = mean(&|o| o.error().abs());
    let level = mean(&|o| o.actual);
    let naive = mean(&|o| (o.promise.last - o.actual).abs());
    let inside80 = inside(|point| point.p80);
    let independent = independent(outcomes, lead);
    Some(LeadScore {
        lead,
        scored: outcomes.len(),
        independent,
        mae,
        mae_share: (level > 0.0).then(|| mae / level).filter(|v| v.is_finite()),
        bias: mean(&|o| o.error()),
        relative_to_naive: (naive > 0.0).then(|| mae / naive).filter(|v| v.is_finite()),
        inside80,
        inside95: inside(|point| point.p95),
        verdict: kept(inside80 as f64 / n, independent),
    })
}

/// The most spans from origin to lead that do not overlap; `outcomes` ascend by origin.
fn independent(outcomes: &[&Outcome<'_>], lead: u16) -> usize {
    let span = Millis(u64::from(lead) * Millis::DAY.0).as_duration();
    let mut free = None;
    let mut count = 0;
    for outcome in outcomes {
        let origin = outcome.promise.origin;
        if free.is_none_or(|free| origin >= free) {
            free = Some(origin.plus(span));
            count += 1;
        }
    }
    count
}

/// Mean over leads, weighted by independent outcomes up to `lead_most`.
fn pooled(leads: &[LeadScore], of: impl Fn(&LeadScore) -> f64) -> Option<f64> {
    let most = settings().outcome.lead_most;
    let weight = |lead: &LeadScore| lead.independent.min(most) as f64;
    let sum: f64 = leads.iter().map(weight).sum();
    (sum > 0.0).then(|| {
        leads
            .iter()
            .map(|lead| weight(lead) * of(lead))
            .sum::<f64>()
            / sum
    })
}

/// How many times as wide the plain bands should have been.
fn band(outcomes: &[Outcome<'_>], leads: &[LeadScore], independent: usize) -> f64 {
    const PROMISED: f64 = 0.80;
    let share = |lead: &LeadScore| {
        let all = of_lead(outcomes, lead.lead);
        let inside = all.iter().filter(|o| o.inside_plain80()).count();
        inside as f64 / all.len().max(1) as f64
    };
    let seen = pooled(leads, share).unwrap_or(PROMISED);
    let (n, prior) = (independent as f64, settings().outcome.prior);
    let share = (n * seen + prior * PROMISED) / (n + prior);
    let factor = normal_quantile(f64::midpoint(1.0, PROMISED))
        / normal_quantile(f64::midpoint(1.0, share)).max(f64::MIN_POSITIVE);
    let (min, max) = Experience::BAND;
    factor.clamp(min, max)
}

/// Members by their error over that of the whole forecast on the same days, best first.
fn members(outcomes: &[Outcome<'_>], leads: &[LeadScore]) -> Vec<MemberScore> {
    let most = settings().outcome.ratio_most;
    // By name and lead: own error, the whole forecast's error, values.
    let mut sums: BTreeMap<&str, BTreeMap<u16, (f64, f64, usize)>> = BTreeMap::new();
    for outcome in outcomes {
        for member in &outcome.promise.members {
            let Some(mean) = member.means.get(outcome.place).filter(|v| v.is_finite()) else {
                continue;
            };
            let of_lead = sums.entry(&member.name).or_default();
            let (own, whole, count) = of_lead.entry(outcome.point.lead).or_default();
            *own += (mean - outcome.actual).abs();
            *whole += outcome.error().abs();
            *count += 1;
        }
    }
    let mut scores: Vec<MemberScore> = sums
        .into_iter()
        .filter_map(|(name, by_lead)| {
            let known: Vec<LeadScore> = leads
                .iter()
                .filter(|lead| by_lead.contains_key(&lead.lead))
                .cloned()
                .collect();
            let ratio = |lead: &LeadScore| match by_lead.get(&lead.lead) {
                Some((own, whole, _)) if *whole > 0.0 => (own / whole).min(most),
                Some((own, _, _)) if *own > 0.0 => most,
                _ => 1.0,
            };
            Some(MemberScore {
                name: name.to_owned(),
                relative_error: pooled(&known, ratio)?,
                scored: by_lead.values().map(|(_, _, count)| count).sum(),
            })
        })
        .collect();
    scores.sort_by(|a, b| a.relative_error.total_cmp(&b.relative_error));
    scores
}

/// What a member's weight is multiplied by.
fn weight(member: &MemberScore, independent: usize) -> f64 {
    let n = independent as f64;
    let ratio = member
        .relative_error
        .max(1.0 / settings().outcome.ratio_most);
    let (min, max) = Experience::WEIGHT;
    let believed = n / (n + settings().outcome.prior);
    ratio.powf(-believed).clamp(min, max)
}

/// Whether `share` of `independent` outcomes inside the 80 % band agrees with it, by the tails of
/// the binomial distribution.
fn kept(share: f64, independent: usize) -> Kept {
    const ROUNDING: f64 = 1e-9;
    if independent < OUTCOMES_MIN {
        return Kept::TooFew;
    }
    let hits = share * independent as f64;
    // Rounded to the side that speaks for the promise.
    if at_most((hits - ROUNDING).ceil(), independent) < settings().outcome.doubt {
        Kept::TooSure
    } else if 1.0 - at_most((hits + ROUNDING).floor() - 1.0, independent) < settings().outcome.doubt
    {
        Kept::TooCareful
    } else {
        Kept::AsPromised
    }
}

/// Probability of at most `hits` of `n` when each has 80 %.
fn at_most(hits: f64, n: usize) -> f64 {
    const P: f64 = 0.8;
    const Q: f64 = 1.0 - P;
    // Summed from the top, where the terms are large: those above `hits`, taken from 1.
    let mut term = P.powi(i32::try_from(n).unwrap_or(i32::MAX));
    let mut above = 0.0;
    let mut k = n as f64;
    while k > hits && k >= 0.0 {
        above += term;
        term *= k / (n as f64 - k + 1.0) * Q / P;
        k -= 1.0;
    }
    (1.0 - above).max(0.0)
}

#[cfg(test)]
mod tests;
