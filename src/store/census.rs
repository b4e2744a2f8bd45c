//! A census: how much there is in all, a sample's share of the disk, and which metrics are many.
//!
//! For: `plimsoll history stats`. Not for: each minute; it reads every chunk (see `stats`). Read
//! [`Census`] first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::selector::Selector;
use super::stats::TierStats;
use super::{Result, Store};
use crate::model::units::{Bytes, Timestamp};

/// What a metric takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricCount {
    /// The metric's name.
    pub metric: String,
    /// Series of it.
    pub series: u64,
    /// Raw samples of them that are kept.
    pub samples: u64,
    /// Bytes that their columns take, as far as they are sealed; without roll-ups.
    pub bytes: u64,
    /// Its values are exact to a multiple of this, as its collector declared; `None` keeps every
    /// bit.
    pub resolution: Option<f64>,
}

/// What a store holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Census {
    /// Series that were ever seen.
    pub series: u64,
    /// Raw samples that are kept; one that came twice counts twice until it is dropped.
    pub samples: u64,
    /// Bytes that the store's folder takes on disk, rollups, records and logs included.
    pub bytes_on_disk: Bytes,
    /// Bytes on disk by raw sample; `None` without samples.
    pub bytes_per_sample: Option<f64>,
    /// Oldest instant that anything is known of.
    pub oldest: Option<Timestamp>,
    /// Instant of the newest sample.
    pub newest: Option<Timestamp>,
    /// Raw, 5 min, 1 h.
    pub tiers: Vec<TierStats>,
    /// Metrics with the most samples, descending.
    pub metrics: Vec<MetricCount>,
}

impl Store {
    /// Counts what there is, and the `top` metrics with the most samples. Reads all raw chunks.
    ///
    /// # Errors
    /// What the disk says.
    pub fn census(&self, top: usize) -> Result<Census> {
        let stats = self.history.stats()?;
        let series = self.history.series(&Selector::default());
        let sizes = self.history.column_bytes()?;
        let mut counts: BTreeMap<&str, MetricCount> = BTreeMap::new();
        for one in &series {
            let metric = &*one.key.metric;
            let count = counts.entry(metric).or_insert_with(|| MetricCount {
                metric: metric.to_owned(),
                series: 0,
                samples: 0,
                bytes: 0,
                resolution: one.resolution,
            });
            count.series += 1;
            count.bytes += sizes.get(&one.id.number()).copied().unwrap_or(0);
        }
        let all = (
            Timestamp::from_millis(i64::MIN),
            Timestamp::from_millis(i64::MAX),
        );
        self.history.visit(&series, all, |one, samples| {
            if let Some(count) = counts.get_mut(&*one.key.metric) {
                count.samples += samples.len() as u64;
            }
            Ok::<(), super::Error>(())
        })?;
        let mut metrics: Vec<MetricCount> = counts.into_values().collect();
        metrics.sort_by(|a, b| {
            (b.samples, b.series, &a.metric).cmp(&(a.samples, a.series, &b.metric))
        });
        metrics.truncate(top);
        let has_samples = stats.samples > 0;
        Ok(Census {
            series: stats.series,
            samples: stats.samples,
            bytes_on_disk: stats.bytes_on_disk,
            bytes_per_sample: has_samples
                .then(|| stats.bytes_on_disk.0 as f64 / stats.samples as f64),
            oldest: stats.oldest,
            newest: stats.newest,
            tiers: stats.tiers,
            metrics,
        })
    }
}
