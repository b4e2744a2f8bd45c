//! The board: the latest of everything that is known, in memory, for whoever asks.
//!
//! For: every reader (API, page, command line, report), so that N viewers cost the observed server
//! nothing. Not for: history (`store::history`) nor for anything that must survive a restart by
//! itself: `work` fills it again from the records.

use std::sync::{Arc, RwLock};

use crate::model::capacity::{Projection, Resource};
use crate::model::database::Snapshot;
use crate::model::finding::{Alert, Bottleneck, Finding, Silenced};
use crate::model::outcome::Review;
use crate::model::series::{Metric, Sample, Scrape};
use crate::model::structure::{Repeat, Slowdown};
use crate::model::target::Reach;
use crate::model::units::Timestamp;
use crate::work::advise::strategy::Strategy;
use crate::work::fault::{Fault, Faults, News, Part};

/// What is known of one target.
#[derive(Debug, Clone, Default)]
pub struct TargetState {
    /// Whether it answers.
    pub reach: Reach,
    /// When the last scrape succeeded.
    pub last_scrape_at: Option<Timestamp>,
    /// The last scrape, host readings included.
    pub scrape: Option<Arc<Scrape>>,
    /// The last scrape that read the catalogs, too: what the last one did not read stands there.
    pub catalog_scrape: Option<Arc<Scrape>>,
    /// The last look at the catalogs.
    pub snapshot: Option<Arc<Snapshot>>,
    /// What the checks said of that snapshot, worst first.
    pub findings: Arc<[Finding]>,
    /// What they said, too, and somebody has silenced; worst first.
    pub silenced: Arc<[Silenced]>,
    /// Statements that run once a row of another, as the last half hour shows.
    pub repeats: Arc<[Repeat]>,
    /// Statements that take longer than they took, as of the last comparison.
    pub slowdowns: Arc<[Slowdown]>,
    /// One a resource, as of the last run of the forecasts; empty before the first.
    pub projections: Arc<[Projection]>,
    /// Forecast against actual, one a resource, as of the last run of the forecasts.
    pub reviews: Arc<[Review]>,
    /// Where it is held up, worst first.
    pub bottlenecks: Arc<[Bottleneck]>,
    /// Thresholds passed, worst first.
    pub alerts: Arc<[Alert]>,
    /// Active sessions over the last hour: wait class to share of all samples, most first.
    pub wait_shares: Arc<[(String, f64)]>,
    /// New series of the last scrape that the history had no room for (`collect.max_series`).
    pub refused_series: usize,
    /// Share of one core that our own backend sessions cost, if measured.
    pub own_cost: Option<f64>,
    /// Advice on indexes, as of its last run.
    pub strategy: Strategy,
}

impl TargetState {
    /// The last value of everything that is read, fresh ones first; of two of one series the first
    /// counts.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        let both = [&self.scrape, &self.catalog_scrape];
        both.into_iter()
            .flatten()
            .flat_map(|scrape| &scrape.samples)
    }

    /// The projection of one resource, if there is one yet.
    pub fn projection(&self, resource: Resource) -> Option<&Projection> {
        self.projections
            .iter()
            .find(|projection| projection.resource == resource)
    }

    /// How forecasts of one resource held; empty before the first.
    pub fn review(&self, resource: Resource) -> Review {
        let found = self
            .reviews
            .iter()
            .find(|review| review.resource == resource);
        found.cloned().unwrap_or_else(|| Review::none(resource))
    }
}

/// The latest of everything, by target. Cheap to read: values are shared, not copied.
#[derive(Debug, Default)]
pub struct Board {
    /// In the order they were configured; few enough that a search is cheaper than a map.
    targets: RwLock<Vec<(String, TargetState)>>,
    /// Series of this process itself (`plimsoll_…`), refreshed with each scrape.
    own: RwLock<Option<Arc<Scrape>>>,
    /// Parts of this process that fail now.
    faults: RwLock<Faults>,
    /// What each metric means, for `# HELP`.
    metrics: Vec<&'static Metric>,
}

impl Board {
    /// An empty board that knows `targets` by name and what `metrics` mean.
    pub fn new(targets: impl IntoIterator<Item = String>, metrics: Vec<&'static Metric>) -> Self {
        let targets = targets
            .into_iter()
            .map(|name| (name, TargetState::default()))
            .collect();
        Self {
            targets: RwLock::new(targets),
            own: RwLock::default(),
            faults: RwLock::default(),
            metrics,
        }
    }

    /// Names of all targets, as configured.
    pub fn names(&self) -> Vec<String> {
        self.read(|targets| targets.iter().map(|(name, _)| name.clone()).collect())
    }

    /// What is known of `name`; `None` for a name that is not watched.
    pub fn target(&self, name: &str) -> Option<TargetState> {
        self.read(|targets| {
            let mut found = targets.iter().filter(|(known, _)| known == name);
            found.next().map(|(_, state)| state.clone())
        })
    }

    /// The target that a request without a name means: the first that is configured.
    pub fn first(&self) -> Option<(String, TargetState)> {
        self.read(|targets| targets.first().cloned())
    }

    /// Changes what is known of `name`, and adds it when it is new.
    pub fn update(&self, name: &str, change: impl FnOnce(&mut TargetState)) {
        let mut targets = self
            .targets
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, state)) = targets.iter_mut().find(|(known, _)| known == name) {
            change(state);
        } else {
            let mut state = TargetState::default();
            change(&mut state);
            targets.push((name.to_owned(), state));
        }
    }

    /// Our own series as of the last scrape.
    pub fn own(&self) -> Option<Arc<Scrape>> {
        self.own
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// Replaces our own series.
    pub fn set_own(&self, scrape: Scrape) {
        *self
            .own
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Arc::new(scrape));
    }

    /// Notes why a part of this process fails for `target`, or that it works; no target is what
    /// all share.
    pub fn set_fault(&self, part: Part, target: Option<&str>, reason: Option<String>) -> News {
        self.faults
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .set(part, target, reason)
    }

    /// Parts of this process that fail now; empty when all is well.
    pub fn faults(&self) -> Vec<Fault> {
        self.faults
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .list()
    }

    /// What a metric of this name means, if a collector declares it.
    pub fn metric(&self, name: &str) -> Option<&'static Metric> {
        self.metrics
            .iter()
            .find(|metric| metric.name == name)
            .copied()
    }

    fn read<T>(&self, look: impl FnOnce(&[(String, TargetState)]) -> T) -> T {
        look(
            &self
                .targets
                .read()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_known_before_its_first_scrape_and_a_stranger_is_not() {
        let board = Board::new(["b".to_owned(), "a".to_owned()], Vec::new());
        assert_eq!(board.names(), ["b", "a"]);
        assert_eq!(board.target("a").unwrap().reach, Reach::Starting);
        assert!(board.target("c").is_none());
        board.update("b", |state| state.reach = Reach::Up);
        assert_eq!(board.first().unwrap().1.reach, Reach::Up);
    }
}
