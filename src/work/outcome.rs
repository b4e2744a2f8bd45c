//! Keeps what forecasts promised, so that they can be held to it when the days have come.
//!
//! For: a record a day and target, thinned as it ages, and the reviews made of them. Not for: scoring
//! (`forecast::outcome`). Read [`Kept`] first.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::forecast::{self, Made, Plan, outcome};
use crate::model::capacity::{Outlook, Resource};
use crate::model::outcome::{Experience, LEADS, Promise, Promised, Review};
use crate::model::units::{Millis, Timestamp};
use crate::store::Store;
use crate::work::Result;
use crate::work::board::Board;
use crate::work::project::Asked;

/// The kind that promises are recorded under: a record a day and target, of all resources.
const KIND: &str = "promise";

/// The kind that reviews are recorded under, so that a restart shows them.
const REVIEW: &str = "review";

/// All promises of the last days are kept: a month and a half.
const ALL: Millis = Millis(45 * Millis::DAY.0);

/// Older ones are kept one a week.
const WEEK: Millis = Millis(7 * Millis::DAY.0);

/// Nothing is kept longer: 13 months.
const OLDEST: Millis = Millis(396 * Millis::DAY.0);

/// Origins in a made-up past that forecasts are made from, and how far apart they are: 120 to 10
/// days ago, so that each has two months behind it and most leads have come due.
const ORIGINS: u64 = 12;
const APART: Millis = Millis(10 * Millis::DAY.0);

/// The promises of one target that are kept, by the day they were made on.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    days: BTreeMap<Timestamp, Vec<Promise>>,
}

impl Kept {
    /// Reads them.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub(crate) fn recall(store: &Store, target: &str) -> Result<Self> {
        let start = format!("{target}/");
        let mut kept = Self::default();
        for (id, promises) in store.records().list_within::<Vec<Promise>>(KIND, &start)? {
            // A target's name may itself hold the sign; what is left must be a day.
            let day = id
                .strip_prefix(&start)
                .map(|day| format!("{day}T00:00:00Z"));
            if let Some(day) = day.and_then(|day| Timestamp::parse(&day).ok()) {
                kept.days.insert(day, promises);
            }
        }
        Ok(kept)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.days.is_empty()
    }

    /// Promises of one resource, oldest first.
    pub(crate) fn of(&self, resource: Resource) -> Vec<Promise> {
        let all = self.days.values().flatten();
        all.filter(|promise| promise.resource == resource)
            .cloned()
            .collect()
    }

    /// Records promises, the first of each day and resource, and forgets what is too old or too many.
    ///
    /// # Errors
    /// When the records cannot be written.
    pub(crate) fn add(
        &mut self,
        store: &Store,
        target: &str,
        promises: Vec<Promise>,
        now: Timestamp,
    ) -> Result<()> {
        let mut changed = BTreeSet::new();
        for promise in promises {
            let day = promise.made_at.floor_to(Millis::DAY);
            let made = self.days.entry(day).or_default();
            if made.iter().all(|own| own.resource != promise.resource) {
                made.push(promise);
                changed.insert(day);
            }
        }
        let keep = kept_days(self.days.keys().copied(), now);
        for (day, made) in &self.days {
            if keep.contains(day) && changed.contains(day) {
                store.records().put(KIND, &name(target, *day), made)?;
            } else if !keep.contains(day) {
                store.records().delete(KIND, &name(target, *day))?;
            }
        }
        self.days.retain(|day, _| keep.contains(day));
        Ok(())
    }
}

fn name(target: &str, day: Timestamp) -> String {
    let day: String = day.to_string().chars().take(10).collect();
    format!("{target}/{day}")
}

/// Which of these days are kept: all young ones, the first of each week of the others.
fn kept_days(days: impl Iterator<Item = Timestamp>, now: Timestamp) -> BTreeSet<Timestamp> {
    let mut weeks = BTreeSet::new();
    let mut keep = BTreeSet::new();
    for day in days {
        let age = now.since(day);
        if age > OLDEST.as_duration() {
            continue;
        }
        if weeks.insert(day.floor_to(WEEK)) || age <= ALL.as_duration() {
            keep.insert(day);
        }
    }
    keep
}

/// Records reviews and puts them on the board.
///
/// # Errors
/// When the records cannot be written.
pub(crate) fn show(store: &Store, board: &Board, target: &str, reviews: Vec<Review>) -> Result<()> {
    store.records().put(REVIEW, target, &reviews)?;
    board.update(target, |state| state.reviews = reviews.into());
    Ok(())
}

/// Puts recorded reviews on the board.
///
/// # Errors
/// When the records cannot be read.
pub(crate) fn recall(store: &Store, board: &Board) -> Result<()> {
    for name in board.names() {
        if let Some(reviews) = store.records().get::<Vec<Review>>(REVIEW, &name)? {
            board.update(&name, |state| state.reviews = reviews.into());
        }
    }
    Ok(())
}

/// Forecast against actual for each resource, in their order.
pub(crate) fn reviews(asked: &[Asked], kept: &Kept) -> Vec<Review> {
    let each = asked.par_iter().map(|asked| {
        let promises = kept.of(asked.resource);
        outcome::review(asked.resource, &promises, &asked.window, asked.fold())
    });
    each.collect()
}

/// What a forecast made at `asked.now` is to be held to; `None` where it is none.
pub(crate) fn promise(
    asked: &Asked,
    made: &Made,
    experience: Option<&Experience>,
) -> Option<Promise> {
    let Outlook::Forecast(forecast) = &made.outlook else {
        return None;
    };
    let origin = asked.window.end();
    let points: Vec<Promised> = outcome::promised(forecast, origin)
        .into_iter()
        .map(|point| Promised {
            mean: figure(point.mean),
            p80: (figure(point.p80.0), figure(point.p80.1)),
            p95: (figure(point.p95.0), figure(point.p95.1)),
            ..point
        })
        .collect();
    if points.is_empty() {
        return None;
    }
    let mut members = made.members.clone();
    for member in &mut members {
        member.weight = figure(member.weight);
        for mean in &mut member.means {
            *mean = figure(*mean);
        }
    }
    Some(Promise {
        target: asked.target.clone(),
        resource: asked.resource,
        made_at: asked.now,
        origin,
        methods: forecast::methods_version(),
        method: forecast.method.clone(),
        last: figure(forecast::days(&asked.window, asked.fold()).last()?),
        points,
        members,
        experience: experience.cloned(),
        synthetic: asked.synthetic,
    })
}

/// Seven digits: a forecast is no finer, and a record half as long.
fn figure(value: f64) -> f64 {
    format!("{value:.6e}").parse().unwrap_or(value)
}

/// What forecasts would have promised in the past that `asked` holds: really made from what lay
/// before each origin. For made-up history, which has no promises of its own.
pub(crate) fn looking_back(asked: &[Asked]) -> Vec<Promise> {
    let farthest = LEADS.last().copied().unwrap_or(1);
    let origins: Vec<(&Asked, u64)> = asked
        .iter()
        .flat_map(|asked| (1..=ORIGINS).map(move |back| (asked, back * APART.0)))
        .collect();
    let each = origins.par_iter().filter_map(|(asked, back)| {
        let mut past = Asked::clone(asked);
        past.now = asked.now.minus(Millis(*back).as_duration());
        let cut = usize::try_from(back.checked_div(asked.window.step.0)?).ok()?;
        let kept = asked.window.values.len().checked_sub(cut)?;
        past.window.values.truncate(kept);
        let plan = Plan {
            horizon: Millis(u64::from(farthest) * Millis::DAY.0),
            fold: asked.fold(),
            seed: super::project::SEED,
            ..Plan::default()
        };
        let made = forecast::make(&past.window, &plan).ok()?;
        promise(&past, &made, None)
    });
    each.collect()
}

#[cfg(test)]
mod tests;
