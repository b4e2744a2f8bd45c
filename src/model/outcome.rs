//! Forecasts kept as promises, and what became of them.
//!
//! For: the records that `work` keeps, the engine that scores them, and everything that shows how
//! forecasts held. Not for: the arithmetic (`forecast::outcome`). Read [`Promise`] first, then
//! [`Review`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::capacity::{Resource, SyntheticSpan};
use super::units::Timestamp;

/// Days ahead at which a forecast is kept to its word.
pub const LEADS: [u16; 8] = [1, 3, 7, 14, 30, 60, 90, 180];

/// Outcomes of spans that do not overlap, below which nothing is said of the bands.
pub const OUTCOMES_MIN: usize = 5;

/// What the past forecasts of one series teach the next one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Experience {
    /// What bands are multiplied by, 0.8 to 2.
    pub band: f64,
    /// What each member's weight is multiplied by, 0.5 to 2; a member without an entry keeps its own.
    pub members: BTreeMap<String, f64>,
    /// Outcomes of spans that do not overlap that this rests on.
    pub outcomes: usize,
}

impl Experience {
    /// Narrowest and widest factor of a band.
    pub const BAND: (f64, f64) = (0.8, 2.0);
    /// Smallest and largest factor of a weight.
    pub const WEIGHT: (f64, f64) = (0.5, 2.0);

    /// The factor of the bands within its bounds; 1 where it is no number.
    pub fn band(&self) -> f64 {
        within(self.band, Self::BAND)
    }

    /// The factor of one member's weight within its bounds; 1 where there is none.
    pub fn weight(&self, member: &str) -> f64 {
        let factor = self.members.get(member).copied().unwrap_or(1.0);
        within(factor, Self::WEIGHT)
    }
}

fn within(factor: f64, (min, max): (f64, f64)) -> f64 {
    if factor.is_finite() {
        factor.clamp(min, max)
    } else {
        1.0
    }
}

/// What a forecast said of one day.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Promised {
    /// Which day after the promise's origin: 1 is the first.
    pub lead: u16,
    /// Expected value of that day, in the resource's unit.
    pub mean: f64,
    /// Ends of the 80 % band.
    pub p80: (f64, f64),
    /// Ends of the 95 % band.
    pub p95: (f64, f64),
}

/// What one member of a forecast said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberPromise {
    /// The member's name.
    pub name: String,
    /// Its share of the forecast, 0 to 1.
    pub weight: f64,
    /// Its means at the leads of the promise's points, in their order.
    pub means: Vec<f64>,
}

/// A forecast of one resource as it was given, at a few days ahead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Promise {
    /// The target's name.
    pub target: String,
    /// Which resource.
    pub resource: Resource,
    /// When it was made.
    pub made_at: Timestamp,
    /// End of the history that it rests on: its first day begins here.
    pub origin: Timestamp,
    /// Version of the methods it was made with.
    pub methods: u32,
    /// The method, as the forecast named it.
    pub method: String,
    /// The last day's value then: what the naive forecast would have promised for every day.
    pub last: f64,
    /// One a lead within the horizon, nearest first.
    pub points: Vec<Promised>,
    /// What each member said.
    pub members: Vec<MemberPromise>,
    /// What had been learnt by then, and was used.
    pub experience: Option<Experience>,
    /// Where the history that it rests on was made up.
    pub synthetic: Option<SyntheticSpan>,
}

/// How the promises of one lead held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeadScore {
    /// Days ahead.
    pub lead: u16,
    /// Promises whose day has come and was measured.
    pub scored: usize,
    /// How many of them have spans that do not overlap: what one may count as independent.
    pub independent: usize,
    /// Mean absolute error, in the resource's unit.
    pub mae: f64,
    /// The same over the mean of what came; `None` where that is not positive.
    pub mae_share: Option<f64>,
    /// Mean of forecast less actual: positive is too high.
    pub bias: f64,
    /// Mean absolute error over that of the naive forecast; `None` where naive made none.
    pub relative_to_naive: Option<f64>,
    /// How many came inside the 80 % band.
    pub inside80: usize,
    /// How many came inside the 95 % band.
    pub inside95: usize,
    /// What that says of the bands.
    pub verdict: Kept,
}

/// How one member's promises held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberScore {
    /// The member's name.
    pub name: String,
    /// Its absolute error over that of the whole forecast, all leads alike; below 1 is better.
    pub relative_error: f64,
    /// Promised values that were scored.
    pub scored: usize,
}

/// Whether bands held what they promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kept {
    /// The share inside agrees with what was promised.
    AsPromised,
    /// Fewer came inside than chance allows: bands were too narrow.
    TooSure,
    /// More came inside than chance allows: bands were too wide.
    TooCareful,
    /// Fewer than [`OUTCOMES_MIN`] independent outcomes.
    #[default]
    TooFew,
}

impl Kept {
    /// In words; `independent` is how many outcomes there are.
    pub fn words(self, independent: usize) -> String {
        match self {
            Self::AsPromised => "as promised".to_owned(),
            Self::TooSure => "too sure".to_owned(),
            Self::TooCareful => "too careful".to_owned(),
            Self::TooFew => {
                format!("too few outcomes yet: {independent} of at least {OUTCOMES_MIN}")
            }
        }
    }
}

/// Forecast against actual, of one resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Review {
    /// Which resource.
    pub resource: Resource,
    /// Promises that are kept, due or not.
    pub promises: usize,
    /// Origin of the oldest of them.
    pub since: Option<Timestamp>,
    /// Leads of which a promise has come due, nearest first.
    pub leads: Vec<LeadScore>,
    /// Members by what they got right, best first.
    pub members: Vec<MemberScore>,
    /// Share of all that came inside the 80 % band, leads weighted by independent outcomes.
    pub coverage_p80: Option<f64>,
    /// Outcomes of spans that do not overlap.
    pub independent: usize,
    /// What that says of the bands.
    pub verdict: Kept,
    /// What the next forecast makes of it; `None` before the first outcome.
    pub experience: Option<Experience>,
    /// Where history behind the promises was made up.
    pub synthetic: Option<SyntheticSpan>,
}

impl Review {
    /// Of a resource of which nothing was promised yet.
    pub const fn none(resource: Resource) -> Self {
        Self {
            resource,
            promises: 0,
            since: None,
            leads: Vec::new(),
            members: Vec::new(),
            coverage_p80: None,
            independent: 0,
            verdict: Kept::TooFew,
            experience: None,
            synthetic: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_stay_within_their_bounds_whatever_a_record_says() {
        let wild = |band, weight| Experience {
            band,
            members: [("drift".to_owned(), weight)].into_iter().collect(),
            outcomes: 9,
        };
        for (factor, band, weight) in [
            (1e300, 2.0, 2.0),
            (-5.0, 0.8, 0.5),
            (f64::NAN, 1.0, 1.0),
            (1.1, 1.1, 1.1),
        ] {
            let experience = wild(factor, factor);
            let near = |seen: f64, want: f64| assert!((seen - want).abs() < 1e-12, "{seen}");
            near(experience.band(), band);
            near(experience.weight("drift"), weight);
            near(experience.weight("stranger"), 1.0);
        }
    }
}
