//! What stands where: totals, and the state of each query.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Cache;
use super::counters::{Counts, Timing};
use super::layer::{Entry, Life, Usage};
use super::slot::{Failure, Slot};
use crate::model::cached::Rule;
use crate::model::units::Timestamp;

/// Everything together, since [`Totals::since`].
#[derive(Debug, Clone, PartialEq)]
pub struct Totals {
    /// Of all keys.
    pub counts: Counts,
    /// How full the layer is.
    pub usage: Usage,
    /// Looking into the layer.
    pub get: Timing,
    /// Putting into the layer.
    pub set: Timing,
    /// Queries that there are.
    pub queries: usize,
    /// The layer's name.
    pub layer: &'static str,
    /// When counting began.
    pub since: Timestamp,
}

/// Where a query stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its result is fresh.
    Fresh,
    /// Its result is stale.
    Stale,
    /// There is no result, and the last load failed.
    Failed,
    /// There is no result.
    Absent,
}

impl Standing {
    /// As it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Failed => "failed",
            Self::Absent => "absent",
        }
    }
}

/// All that is known of one query.
#[derive(Debug, Clone)]
pub struct QueryState {
    /// How its result is kept.
    pub rule: Rule,
    /// Where it stands.
    pub standing: Standing,
    /// Its result, if it has one to show.
    pub entry: Option<Arc<Entry>>,
    /// The last failure, unless a load has gone well since.
    pub failure: Option<Failure>,
    /// Whether it is being loaded.
    pub is_loading: bool,
    /// What happened to it.
    pub counts: Counts,
}

impl Cache {
    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Everything together. What is over is taken away first.
    pub fn totals(&self) -> Totals {
        let now = self.clock.now();
        for slot in &self.slots {
            self.sweep(slot, now);
        }
        let counts = self.slots.iter().map(|slot| slot.counters.read());
        Totals {
            counts: counts.fold(Counts::default(), Counts::and),
            usage: self.layer.usage(),
            get: self.gets.read(),
            set: self.sets.read(),
            queries: self.slots.len(),
            layer: self.layer.name(),
            since: self.since,
        }
    }

    /// Every query, as they were given.
    pub fn survey(&self) -> Vec<QueryState> {
        let now = self.clock.now();
        self.slots.iter().map(|slot| self.look(slot, now)).collect()
    }

    /// What happened to each key that was asked for.
    pub fn counts_by_key(&self) -> BTreeMap<String, Counts> {
        let all = self.slots.iter();
        all.map(|slot| (slot.rule.key.clone(), slot.counters.read()))
            .filter(|(_, counts)| counts.lookups() > 0)
            .collect()
    }

    /// The same by the first part of the keys, up to a colon.
    pub fn counts_by_pattern(&self) -> BTreeMap<String, Counts> {
        let mut together: BTreeMap<String, Counts> = BTreeMap::new();
        for (key, counts) in self.counts_by_key() {
            let first = key.split(':').next().unwrap_or_default().to_owned();
            let sum = together.entry(first).or_default();
            *sum = sum.and(counts);
        }
        together
    }

    fn look(&self, slot: &Slot, now: Timestamp) -> QueryState {
        let state = slot.state();
        let entry = self.layer.peek(&slot.rule.key);
        let entry = entry.filter(|entry| entry.life(now) != Life::Over);
        let failure = state.failure.clone();
        let standing = match (&entry, &failure) {
            (Some(entry), _) if entry.life(now) == Life::Fresh => Standing::Fresh,
            (Some(_), _) => Standing::Stale,
            (None, Some(_)) => Standing::Failed,
            (None, None) => Standing::Absent,
        };
        QueryState {
            rule: slot.rule.clone(),
            standing,
            entry,
            failure,
            is_loading: state.flight.is_some(),
            counts: slot.counters.read(),
        }
    }

    fn sweep(&self, slot: &Slot, now: Timestamp) {
        // Held, so that no load puts a new one there between the look and the removal.
        let _state = slot.state();
        let entry = self.layer.peek(&slot.rule.key);
        if entry.is_some_and(|entry| entry.life(now) == Life::Over) {
            self.layer.remove(&slot.rule.key);
        }
    }
}
