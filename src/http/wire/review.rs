//! Shapes of `/capacity/forecast-review`: forecast against actual.

use serde::{Deserialize, Serialize};

use super::SyntheticTimes;
use crate::model::capacity::{Resource, Unit};
use crate::model::outcome::{Kept, LeadScore, Review};

/// `GET capacity/forecast-review`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForecastReview {
    /// The target's name.
    pub target: String,
    /// One a resource that was asked about.
    pub resources: Vec<ResourceReview>,
}

/// How the forecasts of one resource held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceReview {
    /// Which resource.
    pub resource_type: Resource,
    /// What errors are counted in.
    pub unit: Unit,
    /// Forecasts that are kept, due or not.
    pub promises: usize,
    /// Where the oldest of them began.
    pub since: Option<String>,
    /// One a lead of which a forecast has come due, nearest first.
    pub leads: Vec<LeadReview>,
    /// Members of the forecasts, best first.
    pub members: Vec<MemberReview>,
    /// Share of all that came inside the 80 % band, leads weighted by independent outcomes.
    pub coverage_p80: Option<f64>,
    /// Outcomes of spans that do not overlap.
    pub independent: usize,
    /// `asPromised`, `tooSure`, `tooCareful` or `tooFew`.
    pub verdict: Kept,
    /// The same in words.
    pub says: String,
    /// What the next forecast's bands are multiplied by; null before the first outcome.
    pub band_factor: Option<f64>,
    /// Where history behind the forecasts is made up.
    pub synthetic: Option<SyntheticTimes>,
}

/// How forecasts of so many days ahead held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeadReview {
    /// Days ahead.
    pub lead_days: u16,
    /// Forecasts whose day has come and was measured.
    pub scored: usize,
    /// How many of them have spans that do not overlap.
    pub independent: usize,
    /// Mean absolute error, in `unit`.
    pub mean_error: f64,
    /// The same as a share of what came.
    pub mean_error_share: Option<f64>,
    /// Mean of forecast less actual, in `unit`: positive is too high.
    pub bias: f64,
    /// How many came inside the 80 % band.
    pub inside80: usize,
    /// How many came inside the 95 % band.
    pub inside95: usize,
    /// Mean error over that of repeating the last day; below 1 is better.
    pub relative_to_naive: Option<f64>,
    /// `asPromised`, `tooSure`, `tooCareful` or `tooFew`.
    pub verdict: Kept,
    /// The same in words.
    pub says: String,
}

/// How one member of the forecasts did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberReview {
    /// Its name.
    pub name: String,
    /// Its error over that of the whole forecast; below 1 is better.
    pub relative_error: f64,
    /// Values of it that were scored.
    pub scored: usize,
    /// What its weight in the next forecast is multiplied by.
    pub weight_factor: f64,
}

impl From<&LeadScore> for LeadReview {
    fn from(score: &LeadScore) -> Self {
        Self {
            lead_days: score.lead,
            scored: score.scored,
            independent: score.independent,
            mean_error: score.mae,
            mean_error_share: score.mae_share,
            bias: score.bias,
            inside80: score.inside80,
            inside95: score.inside95,
            relative_to_naive: score.relative_to_naive,
            verdict: score.verdict,
            says: score.verdict.words(score.independent),
        }
    }
}

impl From<&Review> for ResourceReview {
    fn from(review: &Review) -> Self {
        let learnt = review.experience.as_ref();
        let members = review.members.iter().map(|member| MemberReview {
            name: member.name.clone(),
            relative_error: member.relative_error,
            scored: member.scored,
            weight_factor: learnt.map_or(1.0, |learnt| learnt.weight(&member.name)),
        });
        Self {
            resource_type: review.resource,
            unit: review.resource.unit(),
            promises: review.promises,
            since: review.since.map(|at| at.to_string()),
            leads: review.leads.iter().map(Into::into).collect(),
            members: members.collect(),
            coverage_p80: review.coverage_p80,
            independent: review.independent,
            verdict: review.verdict,
            says: review.verdict.words(review.independent),
            band_factor: learnt.map(crate::model::outcome::Experience::band),
            synthetic: review.synthetic.map(Into::into),
        }
    }
}
