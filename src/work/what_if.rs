//! What if: the projections on the board under a scenario, and which resource gives in first.
//!
//! For: answers at once, from memory; nothing is read, fitted or recorded. Not for: the arithmetic
//! (`forecast::what_if`).

use crate::config::Thresholds;
use crate::forecast::Threshold;
use crate::forecast::what_if::{self, Change};
use crate::model::capacity::{
    Crossing, Forecast, Limit, LimitOrigin, Outlook, Projection, Resource,
};
use crate::model::scenario::Scenario;
use crate::model::units::Timestamp;

use super::project::SEED;

/// One resource under a scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Usage, limit and outlook as they would be.
    pub projection: Projection,
    /// Limit less usage, in the resource's unit.
    pub headroom: Option<f64>,
    /// The load, as a multiple of the present one, that reaches the limit now; `None` where no load
    /// does, as for what piles up, or where limit or usage are not known.
    pub load_now: Option<f64>,
    /// The load, as a multiple of the present one, that reaches the limit by the date asked about.
    pub load_then: Option<f64>,
}

/// Each projection under `scenario`, in their order. `then` is the date that [`Row::load_then`]
/// speaks of. The scenario must have passed [`Scenario::check`].
pub fn under(
    projections: &[Projection],
    scenario: &Scenario,
    thresholds: &Thresholds,
    then: Timestamp,
) -> Vec<Row> {
    let of = |projection| row(projection, scenario, thresholds, then);
    projections.iter().map(of).collect()
}

/// The resource that gives in first: of what is reached now, what bears the least load; else by the
/// median date, else by the chance within the horizon. `None` where no limit is met on any path.
pub fn breaks_first(rows: &[Row]) -> Option<(Resource, Crossing)> {
    let limits = rows.iter().filter_map(|row| Some((row, meeting(row)?)));
    let met = limits.filter(|(_, limit)| limit.probability > 0.0);
    let first = met.min_by(|(one, a), (other, b)| {
        let date = |crossing: &Crossing| match (crossing.crossed, crossing.p50) {
            (true, _) => Timestamp::from_millis(i64::MIN),
            (_, Some(date)) => date,
            _ => Timestamp::from_millis(i64::MAX),
        };
        // What piles up and is full bears no load at all.
        let bears = |row: &Row| row.load_now.unwrap_or(0.0);
        let by_chance = b.probability.total_cmp(&a.probability);
        let by_load = bears(one).total_cmp(&bears(other));
        date(a).cmp(&date(b)).then(by_chance).then(by_load)
    });
    first.map(|(row, limit)| (row.projection.resource, limit))
}

/// When a row meets its limit. Without a forecast the present alone can be said.
fn meeting(row: &Row) -> Option<Crossing> {
    let projection = &row.projection;
    if let Some(forecast) = projection.forecast() {
        return forecast.crossing("limit").cloned();
    }
    let limit = projection.limit.as_ref()?.value;
    (projection.usage? >= limit).then(|| Crossing {
        name: "limit".to_owned(),
        threshold: limit,
        probability: 1.0,
        p10: Some(projection.made_at),
        p50: Some(projection.made_at),
        p90: Some(projection.made_at),
        crossed: true,
    })
}

/// Probability that a stored forecast reaches `value` before `date`; `None` beyond its horizon.
pub fn probability_before(forecast: &Forecast, value: f64, date: Timestamp) -> Option<f64> {
    what_if::probability_before(forecast, value, date, SEED)
}

fn row(
    projection: &Projection,
    scenario: &Scenario,
    thresholds: &Thresholds,
    then: Timestamp,
) -> Row {
    let mut changed = projection.clone();
    let change = Change {
        scenario,
        piles_up: projection.resource.piles_up(),
    };
    if let Some(limit) = scenario.limit {
        changed.limit = Some(Limit {
            value: limit,
            origin: LimitOrigin::Configured("what if".to_owned()),
        });
    }
    let usage = projection.usage;
    changed.usage = usage.map(|usage| change.at_once(usage, projection.made_at).max(0.0));
    let limit = changed.limit.as_ref().map(|limit| limit.value);
    let (mut load_now, mut load_then) = (None, None);
    match (projection.forecast(), limit) {
        (Some(forecast), limit) => {
            let thresholds = limit.map(|limit| of_limit(limit, thresholds));
            let thresholds = thresholds.unwrap_or_default();
            let outlook = what_if::under(forecast, &change, &thresholds, SEED);
            changed.outlook = Some(Outlook::Forecast(Box::new(outlook)));
            let start = forecast.points.first().map(|point| point.at);
            if let (Some(limit), Some(start)) = (limit, start) {
                load_now = what_if::load_at_limit(forecast, &change, limit, start);
                load_then = what_if::load_at_limit(forecast, &change, limit, then.max(start));
            }
        }
        // Without a forecast the present alone can be said.
        (None, Some(limit)) if !change.piles_up => {
            let factor = usage
                .filter(|usage| *usage > 0.0)
                .map(|usage| limit / usage);
            load_now = factor.filter(|factor| factor.is_finite());
        }
        _ => {}
    }
    Row {
        headroom: limit.zip(changed.usage).map(|(limit, usage)| limit - usage),
        projection: changed,
        load_now,
        load_then,
    }
}

fn of_limit(limit: f64, thresholds: &Thresholds) -> Vec<Threshold> {
    let shares = [
        ("warn", thresholds.warn.get()),
        ("critical", thresholds.critical.get()),
        ("limit", 1.0),
    ];
    shares
        .map(|(name, share)| Threshold {
            name: name.to_owned(),
            value: limit * share,
        })
        .to_vec()
}
