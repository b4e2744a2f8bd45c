//! The sources of readings: thin wrappers over the adapters, so that the watcher treats all alike.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::host::{self, Host};
use crate::model::database::ActivitySample;
use crate::model::series::{Labels, Metric, SampleSink, Scrape};
use crate::model::units::{Millis, Timestamp};
use crate::postgres::Observer;
use crate::store::Store;
use crate::work::board::Board;
use crate::work::collect::{Failure, Readings, Source};

/// What watching a target costs its server.
pub(crate) const COST: Metric = Metric::counter(
    "plimsoll_target_cost_seconds_total",
    "Processor time that this monitor's own session used on the target's server, in seconds.",
)
.exact_to(0.01);

/// A Postgres server: counters at each scrape, the catalogs when they are due.
pub(crate) struct PostgresSource {
    observer: Observer,
    catalog_every: Millis,
    catalog_at: Option<Timestamp>,
}

impl PostgresSource {
    /// Reads the catalogs at the first scrape, then every `catalog_every`.
    pub(crate) fn new(observer: Observer, catalog_every: Millis) -> Self {
        Self {
            observer,
            catalog_every,
            catalog_at: None,
        }
    }

    fn is_catalog_due(&self, at: Timestamp) -> bool {
        // A clock set back would otherwise put the catalogs off until it has caught up.
        self.catalog_at.is_none_or(|last| {
            at < last || at.since(last).as_millis() >= u128::from(self.catalog_every.0)
        })
    }
}

impl Source for PostgresSource {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn is_target(&self) -> bool {
        true
    }

    fn read(&mut self, at: Timestamp) -> BoxFuture<'_, Result<Readings, Failure>> {
        Box::pin(async move {
            let mut samples = self.observer.scrape(at).await?;
            let mut snapshot = None;
            if self.is_catalog_due(at) {
                let (more, look) = self.observer.catalog(at).await?;
                samples.extend(more);
                snapshot = Some(look);
                self.catalog_at = Some(at);
            }
            // A server on another machine or in another container has no such process here.
            let session = self
                .observer
                .backend_pid()
                .filter(|_| self.observer.conninfo().is_local());
            if let Some(session) = session.and_then(host::process) {
                samples.push(COST.sample(Labels::none(), session.cpu_seconds));
            }
            Ok(Readings { samples, snapshot })
        })
    }

    fn look(&mut self) -> BoxFuture<'_, Option<ActivitySample>> {
        // A look that fails is not news: the next scrape fails as well and says so.
        Box::pin(async move { self.observer.activity().await.ok() })
    }
}

/// The machine that the target runs on, when it is this one.
pub(crate) struct HostSource(pub(crate) Host);

impl Source for HostSource {
    fn name(&self) -> &'static str {
        "host"
    }

    fn read(&mut self, at: Timestamp) -> BoxFuture<'_, Result<Readings, Failure>> {
        let samples = self.0.read(at);
        let readings = samples.map(|samples| Readings {
            samples,
            snapshot: None,
        });
        Box::pin(std::future::ready(readings.map_err(Into::into)))
    }
}

/// The history as a sink; what it has no room for is told on the board.
pub(crate) struct HistorySink {
    pub(crate) store: Arc<Store>,
    pub(crate) board: Arc<Board>,
}

impl SampleSink for HistorySink {
    fn take(&self, scrape: &Scrape) -> Result<(), Failure> {
        let refused = self.store.history().append(scrape)?.refused_series;
        let known = self
            .board
            .target(&scrape.target)
            .map(|state| state.refused_series);
        if known.is_some_and(|known| known != refused) {
            let target = &scrape.target;
            if refused > 0 {
                tracing::warn!(target, refused, "collect.max_series is reached; raise it");
            }
            self.board
                .update(target, |state| state.refused_series = refused);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Options;

    const VALUE: Metric = Metric::gauge("test_value", "A value.");

    #[test]
    fn series_without_room_are_told_on_the_board_and_the_others_kept() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            max_series: 16,
            ..Options::in_dir(folder.path())
        };
        let store = Arc::new(Store::open(options).unwrap());
        let board = Arc::new(Board::new(["t".to_owned()], Vec::new()));
        let sink = HistorySink {
            store: Arc::clone(&store),
            board: Arc::clone(&board),
        };
        let label = |i: i32| Labels::none().with("i", i.to_string());
        let samples = (0..20)
            .map(|i| VALUE.sample(label(i), f64::from(i)))
            .collect();
        let at = Timestamp::from_millis(1_000_000_000_000);
        sink.take(&Scrape {
            target: "t".into(),
            at,
            samples,
        })
        .unwrap();
        assert_eq!(board.target("t").unwrap().refused_series, 4);
        assert_eq!(store.history().stats().unwrap().series, 16);
    }
}
