//! Questions in `PromQL`, answered from the history.
//!
//! For: bringing the engine (`promql`) and the store together, with bounds on time and on how many
//! run at once. Not for: JSON (`http::prom`) or the meaning of expressions (`promql`). Read
//! [`Queries`] first.
//!
//! Chunks are read on rayon's threads, 16 series at a time, and each series is folded where it was
//! read: what a question holds in memory is its answer, and a thread its chunks as they lie on disk
//! and one series unpacked.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::model::samples::Samples;
use crate::model::series::{Kind, Labels};
use crate::model::units::{Millis, Timestamp};
use crate::promql::{self, Found, Limits, Source, Steps};
use crate::store::{Matcher, Selector, SeriesId, Store};
use crate::work::board::Board;

pub use crate::promql::{Error, Raw, Row, STEPS_MAX, Value, is_absent};

/// Questions that are worked on at once; others wait, within their time.
const AT_ONCE: usize = 4;
/// Selectors that one question about series may name.
const SELECTORS_MAX: usize = 64;

/// Answers questions about one store.
pub struct Queries {
    store: Arc<Store>,
    board: Arc<Board>,
    clock: Arc<dyn Clock>,
    places: Arc<Semaphore>,
    limits: Limits,
    patience: Millis,
}

/// The instants of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub from: Timestamp,
    /// The last, if the steps meet it.
    pub until: Timestamp,
    /// From one to the next.
    pub step: Millis,
}

/// What is known of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub metric: String,
    /// Counter or gauge.
    pub kind: Kind,
    /// What it means; empty where nobody has said.
    pub help: &'static str,
}

/// The result of a question.
pub type Result<T> = std::result::Result<T, Error>;

/// A length of time as expressions write it (`5m`, `1h30m`), in ms.
pub fn length(text: &str) -> Option<Millis> {
    promql::length(text)
}

impl fmt::Debug for Queries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queries")
            .field("limits", &self.limits)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// Says stop when it is dropped: nobody waits for the answer any more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Queries {
    /// For one store; a question may take `patience`.
    pub fn new(
        store: Arc<Store>,
        board: Arc<Board>,
        clock: Arc<dyn Clock>,
        patience: Millis,
    ) -> Self {
        Self {
            store,
            board,
            clock,
            places: Arc::new(Semaphore::new(AT_ONCE)),
            limits: Limits::default(),
            patience,
        }
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The value of an expression at one instant.
    ///
    /// # Errors
    /// What is wrong with it, or what it takes too much of.
    pub async fn instant(&self, text: &str, at: Timestamp) -> Result<Value> {
        let query = promql::Query::parse(text)?;
        let limits = self.limits;
        self.work(move |source, stop| query.instant(source, at.as_millis(), limits, stop))
            .await
    }

    /// The value of an expression at each step of a range.
    ///
    /// # Errors
    /// What is wrong with it, or what it takes too much of; [`Error::Parse`] also for an end before
    /// the start, a step of nothing, and more than [`STEPS_MAX`] steps.
    pub async fn range(&self, text: &str, span: Span) -> Result<(Value, Steps)> {
        let steps = steps(span)?;
        let query = promql::Query::parse(text)?;
        let limits = self.limits;
        let value = self
            .work(move |source, stop| query.range(source, steps, limits, stop))
            .await?;
        Ok((value, steps))
    }

    /// Label sets of the series that meet one of `selectors` and that had a value since `since`.
    ///
    /// # Errors
    /// What is wrong with a selector.
    pub async fn series(
        &self,
        selectors: &[String],
        since: Option<Timestamp>,
    ) -> Result<BTreeSet<Labels>> {
        if selectors.len() > SELECTORS_MAX {
            return Err(Error::Guard {
                what: "too many selectors",
                limit: SELECTORS_MAX,
                unit: "selectors",
            });
        }
        let mut asks = Vec::with_capacity(selectors.len());
        for text in selectors {
            let query = promql::Query::parse(text)?;
            let matchers = query.matchers().ok_or_else(|| {
                Error::Parse(format!("{text:?} is not a selector; write x{{a=\"b\"}}"))
            })?;
            asks.push(selector(matchers)?);
        }
        self.work(move |source, _| Ok(source.labels(&asks, since)))
            .await
    }

    /// Label sets of all series that had a value since `since`.
    ///
    /// # Errors
    /// Only that it took too long.
    pub async fn all_series(&self, since: Option<Timestamp>) -> Result<BTreeSet<Labels>> {
        self.work(move |source, _| Ok(source.labels(&[Selector::default()], since)))
            .await
    }

    /// What is known of each metric, by name.
    ///
    /// # Errors
    /// Only that it took too long.
    pub async fn metrics(&self) -> Result<Vec<Described>> {
        let all = self
            .work(|source, _| Ok(source.0.history().metrics()))
            .await?;
        let described = all.into_iter().map(|(metric, kind)| Described {
            help: self.board.metric(&metric).map_or("", |known| known.help),
            metric,
            kind,
        });
        Ok(described.collect())
    }

    /// Runs work where blocking is allowed, when its turn comes, within the patience.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&InStore, &AtomicBool) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let stop = Arc::new(AtomicBool::new(false));
        let _stop = StopOnDrop(Arc::clone(&stop));
        let source = InStore(Arc::clone(&self.store));
        let places = Arc::clone(&self.places);
        let turn = async move {
            let place = places.acquire_owned().await;
            let done = tokio::task::spawn_blocking(move || {
                let result = work(&source, &stop);
                drop(place);
                result
            });
            done.await
        };
        match tokio::time::timeout(self.patience.as_duration(), turn).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => Err(Error::Source(Box::new(panic))),
            Err(_) => Err(Error::Stopped),
        }
    }
}

/// The steps of a range, or why there are none.
fn steps(span: Span) -> Result<Steps> {
    let step = i64::try_from(span.step.0).unwrap_or(i64::MAX);
    let (start, end) = (span.from.as_millis(), span.until.as_millis());
    if step == 0 {
        return Err(Error::Parse(
            "zero or negative query resolution step widths are not accepted. Try a positive integer"
                .to_owned(),
        ));
    }
    if end < start {
        return Err(Error::Parse(
            "invalid parameter \"end\": end timestamp must not be before start time".to_owned(),
        ));
    }
    Steps::between(start, end, step).ok_or_else(|| {
        Error::Parse(format!(
            "exceeded maximum resolution of {STEPS_MAX} points per timeseries. Try decreasing the \
             query resolution (?step=XX)"
        ))
    })
}

/// Conditions as the store takes them.
fn selector(matchers: &[promql::Matcher]) -> Result<Selector> {
    let one = |matcher: &promql::Matcher| {
        Matcher::new(
            matcher.label.clone(),
            matcher.compare,
            matcher.value.clone(),
        )
        .map_err(|bad| Error::Pattern(bad.to_string()))
    };
    let matchers = matchers.iter().map(one).collect::<Result<_>>()?;
    Ok(Selector::matching(matchers))
}

/// The history as the engine sees it.
struct InStore(Arc<Store>);

impl InStore {
    fn labels(&self, asks: &[Selector], since: Option<Timestamp>) -> BTreeSet<Labels> {
        let history = self.0.history();
        let all = asks.iter().flat_map(|ask| history.find(ask));
        all.filter(|(_, last)| match (since, last) {
            (Some(since), Some((at, _))) => *at >= since,
            _ => true,
        })
        .map(|(series, _)| series.labels())
        .collect()
    }
}

impl Source for InStore {
    fn find(&self, matchers: &[promql::Matcher]) -> Result<Vec<Found>> {
        let found = self.0.history().find(&selector(matchers)?).into_iter();
        Ok(found
            .map(|(series, last)| Found {
                id: series.id.number(),
                labels: series.labels(),
                last: last.map(|(at, value)| (at.as_millis(), value)),
            })
            .collect())
    }

    fn scan(
        &self,
        ids: &[u32],
        from: i64,
        until: i64,
        visit: &(dyn Fn(usize, Samples<'_>) + Sync),
    ) -> Result<()> {
        let ids: Vec<SeriesId> = ids.iter().copied().map(SeriesId::of).collect();
        let mut first = 0;
        let beside = ids.chunk_by(|a, b| a.is_beside(*b)).map(|chunk| {
            let place = first;
            first += chunk.len();
            (place, chunk)
        });
        let chunks: Vec<(usize, &[SeriesId])> = beside.collect();
        let from = Timestamp::from_millis(from);
        let until = Timestamp::from_millis(until.saturating_add(1));
        let history = self.0.history();
        chunks.into_par_iter().try_for_each(|(first, ids)| {
            let show = |i, samples: Samples<'_>| visit(first + i, samples);
            let shown = history.samples_many(ids, from, until, show);
            shown.map_err(|error| Error::Source(Box::new(error)))
        })
    }
}
