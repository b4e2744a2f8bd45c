//! Results of named read queries: kept for a while, loaded once for all who ask, dropped on word.
//!
//! For: which result is shown, when it is loaded anew, and what happened to it. Not for: running a
//! query (a [`Loader`] is given) nor for where results are kept (a [`CacheLayer`]). Read
//! [`Cache::get`] first, then `slot`, which has what is known of one query.
//!
//! A result is *fresh* for its `ttl`, less up to a tenth of it; then *stale*: shown once more while it
//! is loaded anew; then it is gone. What fails is not tried again at once, whoever asks: it rests, for
//! longer with each failure in a row. An invalidation also outdates the load under way: who waits for
//! it gets its result, but it is not kept, and who comes later starts another.

mod counters;
mod invalidate;
mod layer;
mod memory;
mod pattern;
mod slot;
mod survey;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

pub use counters::{Counts, Timing};
pub use invalidate::Which;
pub use layer::{CacheLayer, Entry, Life, TooLarge, Usage};
pub use memory::Memory;
pub use slot::Failure;
pub use survey::{QueryState, Standing, Totals};

use crate::clock::{Clock, Stopwatch};
use crate::model::cached::Rule;
use crate::model::spelling;
use crate::model::units::Timestamp;
use counters::{Meter, count};
use slot::{Flight, Outcome, Slot};

/// Names that are offered in place of an unknown one.
const NEAR: usize = 3;

/// What running a query gives.
#[derive(Clone, PartialEq, Eq)]
pub struct Loaded {
    /// A JSON array of the rows.
    pub body: Bytes,
    /// How many rows.
    pub rows: u64,
}

impl std::fmt::Debug for Loaded {
    /// Without the body, which may hold personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded")
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

/// Runs the query of a key; an error is told in words.
pub type Loader = Arc<dyn Fn(&str) -> BoxFuture<'static, Result<Loaded, String>> + Send + Sync>;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No query has this name.
    #[error("there is no query {key:?}{}", hint(near))]
    UnknownKey {
        /// The name.
        key: String,
        /// Names that may have been meant.
        near: Vec<String>,
    },
    /// Its load failed, now or a moment ago.
    #[error("query {key} failed: {}", failure.reason)]
    Failed {
        /// Its name.
        key: String,
        /// Why, and until when it rests.
        failure: Failure,
    },
}

fn hint(near: &[String]) -> String {
    match near {
        [] => "; GET /cache/queries lists all".to_owned(),
        near => format!("; did you mean {}?", near.join(" or ")),
    }
}

/// How an answer came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It was there, and fresh.
    Hit,
    /// It was there, and is being loaded anew.
    Stale,
    /// It was loaded for this answer, or for another that was under way.
    Miss,
}

impl Found {
    /// As the header `X-Cache` says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Miss => "miss",
        }
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Served {
    /// The result.
    pub entry: Arc<Entry>,
    /// How it came about.
    pub found: Found,
    /// How old the result is.
    pub age: Duration,
}

/// The cache: a fixed set of named queries.
pub struct Cache {
    slots: Vec<Arc<Slot>>,
    by_key: BTreeMap<String, usize>,
    by_tag: BTreeMap<String, Vec<usize>>,
    by_event: BTreeMap<String, Vec<usize>>,
    layer: Arc<dyn CacheLayer>,
    clock: Arc<dyn Clock>,
    loader: Loader,
    since: Timestamp,
    gets: Meter,
    sets: Meter,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache")
            .field("queries", &self.slots.len())
            .field("layer", &self.layer)
            .finish_non_exhaustive()
    }
}

impl Cache {
    /// An empty cache of these queries; of two with one key, the later counts.
    pub fn new(
        rules: impl IntoIterator<Item = Rule>,
        layer: Arc<dyn CacheLayer>,
        clock: Arc<dyn Clock>,
        loader: Loader,
    ) -> Arc<Self> {
        let mut cache = Self {
            slots: rules.into_iter().map(|r| Arc::new(Slot::new(r))).collect(),
            by_key: BTreeMap::new(),
            by_tag: BTreeMap::new(),
            by_event: BTreeMap::new(),
            since: clock.now(),
            layer,
            clock,
            loader,
            gets: Meter::default(),
            sets: Meter::default(),
        };
        for (place, slot) in cache.slots.iter().enumerate() {
            cache.by_key.insert(slot.rule.key.clone(), place);
            for tag in &slot.rule.tags {
                cache.by_tag.entry(tag.clone()).or_default().push(place);
            }
            for event in &slot.rule.events {
                cache.by_event.entry(event.clone()).or_default().push(place);
            }
        }
        Arc::new(cache)
    }

    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The rules of all queries, the first to be warmed first, then as they were given.
    pub fn by_priority(&self) -> Vec<&Rule> {
        let mut rules: Vec<&Rule> = self.slots.iter().map(|slot| &slot.rule).collect();
        rules.sort_by_key(|rule| rule.priority);
        rules
    }

    /// The result of a query: as it is kept, or loaded now.
    ///
    /// # Errors
    /// [`Error::UnknownKey`]; [`Error::Failed`] where there is none to show.
    pub async fn get(self: &Arc<Self>, key: &str) -> Result<Served, Error> {
        let slot = self.slot(key)?;
        let now = self.clock.now();
        let watch = Stopwatch::start();
        let entry = self.layer.get(key);
        self.gets.record(watch.elapsed());
        match entry.map(|entry| (entry.life(now), entry)) {
            Some((Life::Fresh, entry)) => {
                count(&slot.counters.hits);
                Ok(served(entry, Found::Hit, now))
            }
            Some((Life::Stale, entry)) => {
                count(&slot.counters.hits);
                count(&slot.counters.stale_hits);
                self.refresh(slot, now);
                Ok(served(entry, Found::Stale, now))
            }
            Some((Life::Over, _)) | None => {
                count(&slot.counters.misses);
                let entry = self.missing(slot, now).await?;
                Ok(served(entry, Found::Miss, self.clock.now()))
            }
        }
    }

    /// Runs a query now, whatever is kept and whatever failed before; who asks twice at once is
    /// answered by one run.
    ///
    /// # Errors
    /// [`Error::UnknownKey`]; [`Error::Failed`].
    pub async fn load(self: &Arc<Self>, key: &str) -> Result<Arc<Entry>, Error> {
        let slot = self.slot(key)?;
        let flight = self.flight(slot, &mut slot.state());
        flight.await.map_err(|failure| failed(key, failure))
    }

    fn slot(&self, key: &str) -> Result<&Arc<Slot>, Error> {
        let found = self
            .by_key
            .get(key)
            .and_then(|place| self.slots.get(*place));
        found.ok_or_else(|| {
            let key: String = key.chars().take(200).collect();
            let near = spelling::near(&key, self.by_key.keys().map(String::as_str), NEAR);
            Error::UnknownKey {
                near: near.into_iter().map(str::to_owned).collect(),
                key,
            }
        })
    }

    async fn missing(self: &Arc<Self>, slot: &Arc<Slot>, now: Timestamp) -> Outcomed {
        let key = &slot.rule.key;
        let flight = {
            let mut state = slot.state();
            // Another one's load may have ended since this one looked.
            let entry = self.layer.peek(key);
            if let Some(entry) = entry.filter(|entry| entry.life(now) == Life::Fresh) {
                return Ok(entry);
            }
            if state.flight.is_none()
                && let Some(failure) = state.resting(now)
            {
                return Err(failed(key, failure.clone()));
            }
            self.flight(slot, &mut state)
        };
        flight.await.map_err(|failure| failed(key, failure))
    }

    /// Loads anew beside whoever asked, unless that is under way or rests.
    fn refresh(self: &Arc<Self>, slot: &Arc<Slot>, now: Timestamp) {
        let mut state = slot.state();
        // Another one's load may have ended since this one looked.
        let entry = self.layer.peek(&slot.rule.key);
        let is_fresh = entry.is_some_and(|entry| entry.life(now) == Life::Fresh);
        if !is_fresh && state.flight.is_none() && state.resting(now).is_none() {
            drop(self.flight(slot, &mut state));
        }
    }

    /// The load under way, or a new one. It goes on when nobody waits for it any more: another will.
    fn flight(self: &Arc<Self>, slot: &Arc<Slot>, state: &mut slot::State) -> Flight {
        // One that has ended and is still here ended badly; nobody should wait for it again.
        if let Some(flight) = state.flight.as_ref().filter(|f| f.peek().is_none()) {
            return flight.clone();
        }
        let (cache, worker, epoch) = (Arc::clone(self), Arc::clone(slot), state.epoch);
        let at = self.clock.now();
        let task = tokio::spawn(async move { cache.run(&worker, epoch).await });
        let flight = async move {
            task.await.unwrap_or_else(|_| {
                Err(Failure {
                    reason: "the program stops".into(),
                    at,
                    until: at,
                    times: 1,
                })
            })
        };
        let flight = flight.boxed().shared();
        state.flight = Some(flight.clone());
        flight
    }

    async fn run(&self, slot: &Slot, epoch: u64) -> Outcome {
        let watch = Stopwatch::start();
        let loading = AssertUnwindSafe((self.loader)(&slot.rule.key)).catch_unwind();
        let loaded = loading
            .await
            .unwrap_or_else(|_| Err("the load panicked; the log says more".to_owned()));
        let (took, now) = (watch.elapsed(), self.clock.now());
        let mut state = slot.state();
        let is_current = state.epoch == epoch;
        if is_current {
            state.flight = None;
        }
        let reason = match loaded {
            Ok(loaded) => match self.keep(slot, loaded, (now, took), is_current) {
                Ok(entry) => {
                    count(&slot.counters.loads);
                    if is_current {
                        state.failure = None;
                    }
                    return Ok(entry);
                }
                Err(too_large) => too_large.to_string(),
            },
            Err(reason) => reason,
        };
        count(&slot.counters.load_failures);
        if is_current {
            Err(state.failed(&reason, now))
        } else {
            // What failed was outdated: it says nothing of the next load.
            Err(slot::State::default().failed(&reason, now))
        }
    }

    fn keep(
        &self,
        slot: &Slot,
        loaded: Loaded,
        (now, took): (Timestamp, Duration),
        is_current: bool,
    ) -> Result<Arc<Entry>, TooLarge> {
        let fresh_until = now.plus(slot.fresh_for(now));
        let entry = Arc::new(Entry {
            body: loaded.body,
            rows: loaded.rows,
            stored_at: now,
            fresh_until,
            stale_until: fresh_until.plus(slot.rule.stale.as_duration()),
            took,
        });
        if is_current {
            let watch = Stopwatch::start();
            let gone = self.layer.set(&slot.rule.key, Arc::clone(&entry));
            self.sets.record(watch.elapsed());
            for key in gone? {
                if let Ok(other) = self.slot(&key) {
                    count(&other.counters.evictions);
                }
            }
        }
        Ok(entry)
    }
}

/// A result, or why there is none.
type Outcomed = Result<Arc<Entry>, Error>;

fn failed(key: &str, failure: Failure) -> Error {
    Error::Failed {
        key: key.to_owned(),
        failure,
    }
}

fn served(entry: Arc<Entry>, found: Found, now: Timestamp) -> Served {
    let age = now.since(entry.stored_at);
    Served { entry, found, age }
}

#[cfg(test)]
mod tests;
