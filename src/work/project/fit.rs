//! What a resource's history and what was learnt make of its future: all of a target's at once.
//!
//! For: the fit, on values that were read. Not for: reading them, or keeping what comes of it
//! ([`project`](super)).

use super::SEED;
use crate::forecast::{self, Fold, Plan, Threshold};
use crate::model::capacity::{Limit, Projection, Resource, SyntheticSpan};
use crate::model::outcome::{Promise, Review};
use crate::model::series::Window;
use crate::model::units::{Millis, Timestamp};
use crate::work::outcome;

/// One resource, read and ready to fit.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) target: String,
    pub(crate) resource: Resource,
    pub(crate) now: Timestamp,
    pub(crate) window: Window,
    pub(super) usage: Option<f64>,
    pub(super) limit: Option<Limit>,
    pub(super) thresholds: [(&'static str, f64); 3],
    pub(crate) synthetic: Option<SyntheticSpan>,
    pub(super) lead_time: Millis,
}

/// What a run came to, one a resource; promises only where there is a forecast.
pub(super) struct Fitted {
    pub(super) projections: Vec<Projection>,
    pub(super) promises: Vec<Promise>,
    pub(super) reviews: Vec<Review>,
}

/// Fits all series in parallel, each with what its `reviews` taught; these are in the same order.
pub(super) fn fit(asked: &[Asked], reviews: Vec<Review>) -> Fitted {
    let plans: Vec<(Window, Plan)> = asked
        .iter()
        .zip(&reviews)
        .map(|(asked, review)| (asked.window.clone(), plan(asked, review)))
        .collect();
    let made = forecast::make_all(&plans);
    let (mut projections, mut promises) = (Vec::new(), Vec::new());
    for ((asked, made), review) in asked.iter().zip(made).zip(&reviews) {
        let made = made.inspect_err(|error| {
            tracing::error!(resource = asked.resource.name(), %error, "the fit was refused");
        });
        let made = made.ok();
        let experience = review.experience.as_ref();
        let promise = made
            .as_ref()
            .and_then(|made| outcome::promise(asked, made, experience));
        promises.extend(promise);
        let days = forecast::days(&asked.window, asked.fold());
        projections.push(Projection {
            target: asked.target.clone(),
            resource: asked.resource,
            made_at: asked.now,
            usage: asked.usage,
            limit: asked.limit.clone(),
            outlook: made.map(|made| made.outlook),
            coverage: asked.window.coverage(),
            history_start: days.start,
            history: days.values,
            synthetic: asked.synthetic,
            lead_time: asked.lead_time,
        });
    }
    Fitted {
        projections,
        promises,
        reviews,
    }
}

fn plan(asked: &Asked, review: &Review) -> Plan {
    let limit = asked.limit.as_ref().map(|limit| limit.value);
    let threshold = |(name, share): &(&'static str, f64)| {
        limit.map(|limit| Threshold {
            name: (*name).to_owned(),
            value: limit * share,
        })
    };
    Plan {
        thresholds: asked.thresholds.iter().filter_map(threshold).collect(),
        fold: asked.fold(),
        seed: SEED,
        experience: review.experience.clone(),
        ..Plan::default()
    }
}

impl Asked {
    /// What a day of this resource is: what piles up is meant by its mean, what slows down by its
    /// busy hours, what refuses by its highest peak.
    pub(crate) const fn fold(&self) -> Fold {
        match self.resource {
            Resource::Storage | Resource::Database => Fold::Mean,
            Resource::Cpu | Resource::Bandwidth => Fold::P95,
            Resource::Memory | Resource::Connections => Fold::Max,
        }
    }
}
