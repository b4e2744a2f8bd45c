//! Shapes of `/capacity/…`: forecasts, what-ifs, the dashboard.
//!
//! For: the fields that the specification names, and ours beside them. Not for: filling them
//! (`outlook`, `what_if`).

use serde::{Deserialize, Serialize};

use crate::model::capacity::{
    Backtest, Change, ChangeKind, Confidence, Crossing, Estimate, Interval, LimitOrigin, Resource,
    Season, SyntheticSpan, Unit,
};
use crate::model::finding::{self, Severity};
use crate::model::units::Timestamp;

/// Forecast of one resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CapacityForecast {
    /// Which resource.
    pub resource_type: Resource,
    /// Last measured usage, in `unit`.
    pub current_usage: Option<f64>,
    /// The limit, in `unit`.
    pub current_capacity: Option<f64>,
    /// Usage over limit.
    pub utilization_rate: Option<f64>,
    /// One a month, or a day where that was asked, nearest first; empty without a forecast.
    pub projections: Vec<CapacityProjection>,
    /// What to do, most urgent first.
    pub recommendations: Vec<CapacityRecommendation>,
    /// The target's name.
    pub target: String,
    /// What usage and limit are counted in.
    pub unit: Unit,
    /// When it was computed.
    pub made_at: String,
    /// `forecast`, `notEnoughData` or `unmeasured`.
    pub outlook: String,
    /// Days of history there are, where they are too few.
    pub have_days: Option<f64>,
    /// Days of history that are needed, where there are too few.
    pub need_days: Option<f64>,
    /// Where the limit comes from.
    pub limit_origin: Option<LimitOrigin>,
    /// The method that the back-test chose.
    pub method: Option<String>,
    /// How it did on this series' own past.
    pub backtest: Option<Backtest>,
    /// Change a day, in `unit`.
    pub growth_per_day: Option<Estimate>,
    /// Change in 30.44 days as a share of the level.
    pub growth_per_month: Option<Estimate>,
    /// When shares of the limit are reached.
    pub thresholds: Vec<ThresholdDate>,
    /// Share of hours of history that hold a value.
    pub coverage: f64,
    /// Which part of the history is made up, if any is.
    pub synthetic: Option<SyntheticTimes>,
    /// Days of history that are missing before the first forecast, where they are.
    pub more_days: Option<f64>,
    /// The smoothed value that the forecast rests on, in `unit`.
    pub level: Option<f64>,
    /// Where the past changed for good, oldest first.
    pub changes: Vec<ChangePoint>,
    /// What comes again and again, strongest first.
    pub seasons: Vec<Season>,
    /// How far the forecast may be trusted.
    pub confidence: Option<Confidence>,
    /// The date by which to act: the early end of reaching the limit less the lead time, today
    /// where that has passed; null where no date is in sight.
    pub act_by: Option<String>,
}

/// A point at which usage changed for good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangePoint {
    /// When.
    pub date: String,
    /// `step`, or `slope`.
    pub kind: ChangeKind,
    /// In `unit` for a step, in `unit` per day for a slope.
    pub size: f64,
}

/// `GET` and `POST capacity/what-if`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WhatIf {
    /// The target's name.
    pub target: String,
    /// What is different, in words.
    pub scenario: Vec<String>,
    /// The date that `loadFactorThen` speaks of.
    pub then: String,
    /// The resource whose limit is met first; null where none is in sight.
    pub breaks_first: Option<BreaksFirst>,
    /// One a resource that was asked about.
    pub resources: Vec<WhatIfResource>,
}

/// The resource that gives in first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BreaksFirst {
    /// Which resource.
    pub resource_type: Resource,
    /// When it meets its limit.
    #[serde(flatten)]
    pub limit: ThresholdDate,
}

/// One resource under a scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WhatIfResource {
    /// Usage, limit and forecast as they would be.
    #[serde(flatten)]
    pub forecast: CapacityForecast,
    /// Capacity less usage, in `unit`.
    pub headroom: Option<f64>,
    /// The load, as a multiple of the present one, that reaches the limit now; null where none up
    /// to 1000 does, as for what piles up, or where usage or limit are not known.
    pub load_factor_now: Option<f64>,
    /// The load, as a multiple of the present one, that reaches the limit by `then`.
    pub load_factor_then: Option<f64>,
    /// When shares of the limit are reached as things are.
    pub as_is: Vec<ThresholdDate>,
}

/// One step of a forecast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CapacityProjection {
    /// The day it speaks of.
    pub date: String,
    /// Expected usage then.
    pub predicted_usage: f64,
    /// The limit then, as far as it is known now.
    pub predicted_capacity: Option<f64>,
    /// Predicted usage over capacity.
    pub utilization_rate: Option<f64>,
    /// Probability that usage lies within 10 % of the predicted one, by the forecast's own bands.
    pub confidence: Option<f64>,
    /// The bands.
    pub intervals: Vec<Interval>,
}

/// Something to do about a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CapacityRecommendation {
    /// Which resource.
    pub resource_type: Resource,
    /// `scale-up`, `scale-out`, `optimize` or `archive`.
    pub action: String,
    /// `immediate`, `short-term`, `medium-term` or `long-term`.
    pub priority: String,
    /// Why.
    pub description: String,
    /// Left out until there is a price list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_cost: Option<f64>,
    /// What it brings.
    pub estimated_impact: String,
}

/// When a share of a limit is reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThresholdDate {
    /// `warn`, `critical` or `limit`.
    pub name: String,
    /// The value, in the resource's unit.
    pub value: f64,
    /// Probability of reaching it within the forecast's horizon.
    pub probability: f64,
    /// 10 % of paths have reached it by then; null is beyond the horizon.
    pub p10: Option<String>,
    /// Half of all paths have.
    pub p50: Option<String>,
    /// 90 % have.
    pub p90: Option<String>,
    /// It is reached already.
    pub crossed: bool,
    /// Probability of reaching it before the date that was asked about; null where none was, and
    /// beyond the forecast's horizon.
    #[serde(default)]
    pub probability_before: Option<f64>,
}

/// Times between which history is made up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SyntheticTimes {
    /// First instant.
    pub from: String,
    /// First instant that is real again.
    pub until: String,
}

/// `GET capacity/dashboard`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CapacityDashboard {
    /// When it was asked.
    pub timestamp: String,
    /// One a resource.
    pub forecasts: Vec<CapacityForecast>,
    /// Worst first.
    pub alerts: Vec<CapacityAlert>,
    /// One a resource with history.
    pub trends: Vec<CapacityTrend>,
    /// The target's name.
    pub target: String,
    /// When it was last scraped.
    pub last_scrape_at: Option<String>,
}

/// A threshold passed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CapacityAlert {
    /// Which resource.
    pub resource_type: Resource,
    /// How bad.
    pub severity: Severity,
    /// One sentence.
    pub message: String,
    /// Share of the limit.
    pub threshold: f64,
    /// Share in use.
    pub current_value: f64,
    /// When it was seen.
    pub timestamp: String,
    /// The target's name.
    pub target: String,
}

/// Where a resource has been going.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CapacityTrend {
    /// Which resource.
    pub resource_type: Resource,
    /// What `growth` is per: always `month`.
    pub period: String,
    /// Share of the level that is added in a period; null without a forecast.
    pub growth: Option<f64>,
    /// `stable` where the 80 % interval of the growth holds 0; null without a forecast.
    pub trend: Option<String>,
    /// Daily means, oldest first, at most 90; days without values are left out.
    pub data_points: Vec<DataPoint>,
    /// Which part of the history is made up, if any is.
    pub synthetic: Option<SyntheticTimes>,
}

/// One day of a trend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataPoint {
    /// Start of the day.
    pub timestamp: String,
    /// Mean usage.
    pub value: f64,
}

impl From<SyntheticSpan> for SyntheticTimes {
    fn from(span: SyntheticSpan) -> Self {
        Self {
            from: span.from.to_string(),
            until: span.until.to_string(),
        }
    }
}

impl From<&Crossing> for ThresholdDate {
    fn from(crossing: &Crossing) -> Self {
        let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
        Self {
            name: crossing.name.clone(),
            value: crossing.threshold,
            probability: crossing.probability,
            p10: text(crossing.p10),
            p50: text(crossing.p50),
            p90: text(crossing.p90),
            crossed: crossing.crossed,
            probability_before: None,
        }
    }
}

impl From<&Change> for ChangePoint {
    fn from(change: &Change) -> Self {
        Self {
            date: change.at.to_string(),
            kind: change.kind,
            size: change.size,
        }
    }
}

impl From<&finding::Alert> for CapacityAlert {
    fn from(alert: &finding::Alert) -> Self {
        Self {
            resource_type: alert.resource_type,
            severity: alert.severity,
            message: alert.message.clone(),
            threshold: alert.threshold,
            current_value: alert.current_value,
            timestamp: alert.timestamp.to_string(),
            target: alert.target.clone(),
        }
    }
}
