//! What this process itself costs: memory, time, and the size of the history.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::cache::Cache;
use crate::host;
use crate::model::series::{Labels, Metric};
use crate::model::units::{Millis, Timestamp};
use crate::store::{HistoryStats, Store};
use crate::work::collect::{Failure, Readings, Source};

const RESIDENT: Metric = Metric::gauge(
    "plimsoll_resident_memory_bytes",
    "Resident memory of this process.",
)
.exact_to(1.0);
const CPU: Metric = Metric::counter(
    "plimsoll_cpu_seconds_total",
    "Processor time that this process used.",
)
.exact_to(0.01);
const SERIES: Metric =
    Metric::gauge("plimsoll_history_series", "Series in the history.").exact_to(1.0);
pub(crate) const SAMPLES: Metric =
    Metric::gauge("plimsoll_history_samples", "Raw samples in the history.").exact_to(1.0);
const BYTES: Metric =
    Metric::gauge("plimsoll_history_bytes", "Size of the history on disk.").exact_to(1.0);
const CACHE_HITS: Metric = Metric::counter(
    "plimsoll_cache_hits_total",
    "Answers of named queries from what was kept.",
)
.exact_to(1.0);
const CACHE_MISSES: Metric = Metric::counter(
    "plimsoll_cache_misses_total",
    "Answers of named queries that were not kept.",
)
.exact_to(1.0);
const CACHE_EVICTIONS: Metric = Metric::counter(
    "plimsoll_cache_evictions_total",
    "Results of named queries that had to make room.",
)
.exact_to(1.0);
const CACHE_ENTRIES: Metric = Metric::gauge(
    "plimsoll_cache_entries",
    "Results of named queries that are kept.",
)
.exact_to(1.0);
const CACHE_BYTES: Metric = Metric::gauge(
    "plimsoll_cache_bytes",
    "Memory that results of named queries take.",
)
.exact_to(1.0);
/// What the metrics of this module mean.
pub(crate) const METRICS: [&Metric; 10] = [
    &RESIDENT,
    &CPU,
    &SERIES,
    &SAMPLES,
    &BYTES,
    &CACHE_HITS,
    &CACHE_MISSES,
    &CACHE_EVICTIONS,
    &CACHE_ENTRIES,
    &CACHE_BYTES,
];

/// What dashboards and rules of platforms with a cache call these.
pub(crate) const COMPAT: [(&str, &str); 2] = [
    (CACHE_HITS.name, "cache_hits_total"),
    (CACHE_MISSES.name, "cache_misses_total"),
];

/// How long a count of what the store holds is good enough: it reads every key.
const COUNT_EVERY: Millis = Millis(300_000);

/// Reads this process and its store.
pub(crate) struct OwnSource {
    store: Arc<Store>,
    cache: Arc<Cache>,
    counted: Option<(Timestamp, HistoryStats)>,
}

impl OwnSource {
    /// Nothing is counted yet.
    pub(crate) fn new(store: Arc<Store>, cache: Arc<Cache>) -> Self {
        Self {
            store,
            cache,
            counted: None,
        }
    }

    async fn count(&mut self, at: Timestamp) -> Result<&HistoryStats, Failure> {
        let is_good = |(then, _): &(Timestamp, HistoryStats)| {
            at >= *then && at.since(*then) < COUNT_EVERY.as_duration()
        };
        if !self.counted.as_ref().is_some_and(is_good) {
            let store = Arc::clone(&self.store);
            let stats = tokio::task::spawn_blocking(move || store.history().stats()).await??;
            self.counted = Some((at, stats));
        }
        let (_, stats) = self.counted.as_ref().ok_or("nothing was counted")?;
        Ok(stats)
    }
}

impl Source for OwnSource {
    fn name(&self) -> &'static str {
        "own"
    }

    fn read(&mut self, at: Timestamp) -> BoxFuture<'_, Result<Readings, Failure>> {
        Box::pin(async move {
            let none = Labels::none;
            let stats = self.count(at).await?;
            let mut samples = vec![
                SERIES.sample(none(), stats.series as f64),
                SAMPLES.sample(none(), stats.samples as f64),
                BYTES.sample(none(), stats.bytes_on_disk.0 as f64),
            ];
            if let Some(process) = host::this_process() {
                samples.push(RESIDENT.sample(none(), process.resident_bytes.0 as f64));
                samples.push(CPU.sample(none(), process.cpu_seconds));
            }
            if !self.cache.is_empty() {
                let totals = self.cache.totals();
                let (counts, usage) = (totals.counts, totals.usage);
                samples.push(CACHE_HITS.sample(none(), counts.hits as f64));
                samples.push(CACHE_MISSES.sample(none(), counts.misses as f64));
                samples.push(CACHE_EVICTIONS.sample(none(), counts.evictions as f64));
                samples.push(CACHE_ENTRIES.sample(none(), usage.entries as f64));
                samples.push(CACHE_BYTES.sample(none(), usage.bytes as f64));
            }
            Ok(Readings {
                samples,
                snapshot: None,
            })
        })
    }
}
