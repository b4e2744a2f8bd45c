//! How each resource is read from the history: usage as a window, and the limit that goes with it.
//!
//! For: the one place that says what "memory used" or "bandwidth" is made of. Not for: what comes
//! next (`forecast`).
//!
//! | resource | usage | limit |
//! |---|---|---|
//! | cpu | cores busy, within what the cgroup allows | cores, or the cgroup's quota |
//! | memory | used, page cache left out, at its most | memory, or the cgroup's limit |
//! | storage | used on the file system that holds the data | its size |
//! | bandwidth | the busier direction, all interfaces | their speed, where the kernel tells it |
//! | database | all databases of the server | databases + free space beside them |
//! | connections | client backends, at their most | `max_connections` less the reserved ones |
//!
//! "At its most" is the largest reading of each hour: whoever asks for one more at that instant is
//! refused, whatever the hour's mean. Other limits slow down what comes, or are reached by growth.
//!
//! A configured limit overrides a measured one.

use std::collections::BTreeMap;

use crate::model::capacity::{Limit, LimitOrigin, Resource};
use crate::model::series::Window;
use crate::model::units::{Millis, Timestamp};
use crate::store::{Fold, History, Result, Selector, Series};

/// What a person calls "now" for a rate: shorter is noise.
const RECENT: Millis = Millis(300_000);

/// Reads the history of one target.
pub(crate) struct Reader<'a> {
    /// The history.
    pub(crate) history: &'a History,
    /// The target's name.
    pub(crate) target: &'a str,
    /// Mount point of the file system that holds the data; `None` when the host is not watched.
    pub(crate) mountpoint: Option<&'a str>,
    /// What the operator set.
    pub(crate) limits: &'a BTreeMap<Resource, Limit>,
    /// The present.
    pub(crate) now: Timestamp,
}

/// Which series a reading sums up.
struct Source {
    metric: &'static str,
    fold: Fold,
    keep: fn(&Reader<'_>, &Series) -> bool,
}

const CPU: Source = Source {
    fold: Fold::Rate,
    ..gauge("host_cpu_busy_seconds_total")
};
const MEMORY: Source = Source {
    fold: Fold::Max,
    ..gauge("host_memory_used_bytes")
};
const STORAGE: Source = Source {
    keep: on_data_mount,
    ..gauge("host_filesystem_used_bytes")
};
const STORAGE_SIZE: Source = Source {
    keep: on_data_mount,
    ..gauge("host_filesystem_size_bytes")
};
const STORAGE_FREE: Source = Source {
    keep: on_data_mount,
    ..gauge("host_filesystem_available_bytes")
};
const RECEIVED: Source = Source {
    fold: Fold::Rate,
    ..gauge("host_network_receive_bytes_total")
};
const SENT: Source = Source {
    fold: Fold::Rate,
    ..gauge("host_network_transmit_bytes_total")
};
const DATABASE: Source = gauge("pg_database_size_bytes");
const CONNECTIONS: Source = Source {
    fold: Fold::Max,
    ..gauge("pg_connections_used")
};

const fn gauge(metric: &'static str) -> Source {
    Source {
        metric,
        fold: Fold::Mean,
        keep: |_, _| true,
    }
}

fn on_data_mount(reader: &Reader<'_>, series: &Series) -> bool {
    reader.mountpoint.is_some() && series.key.labels.get("mountpoint") == reader.mountpoint
}

impl Reader<'_> {
    /// Hourly usage of `resource` from `from` until now; `None` where it is not measured.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub(crate) fn window(&self, resource: Resource, from: Timestamp) -> Result<Option<Window>> {
        self.usage(resource, from, Millis::HOUR)
    }

    /// Usage of `resource` now: the last reading, or the rate over the last five minutes.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub(crate) fn current(&self, resource: Resource) -> Result<Option<f64>> {
        match resource {
            Resource::Cpu | Resource::Bandwidth => {
                let from = self.now.minus(RECENT.as_duration());
                let window = self.usage(resource, from, Millis(RECENT.0))?;
                Ok(window.and_then(|window| window.last()))
            }
            Resource::Memory => Ok(self.last(&MEMORY)),
            Resource::Storage => Ok(self.last(&STORAGE)),
            Resource::Database => Ok(self.last(&DATABASE)),
            Resource::Connections => Ok(self.last(&CONNECTIONS)),
        }
    }

    /// The limit of `resource`: configured, else measured, else `None`.
    pub(crate) fn limit(&self, resource: Resource) -> Option<Limit> {
        if let Some(limit) = self.limits.get(&resource) {
            return Some(limit.clone());
        }
        let one = |metric| self.last(&gauge(metric));
        let (value, reading) = match resource {
            Resource::Cpu => (one("host_cpu_cores"), "cores"),
            Resource::Memory => (one("host_memory_limit_bytes"), "memory"),
            Resource::Storage => (self.last(&STORAGE_SIZE), "size of the file system"),
            Resource::Bandwidth => (one("host_network_speed_bytes"), "speed of the interfaces"),
            Resource::Database => {
                let room = self.last(&DATABASE).zip(self.last(&STORAGE_FREE));
                (
                    room.map(|(used, free)| used + free),
                    "databases and free space beside them",
                )
            }
            Resource::Connections => {
                let most = one("pg_settings_max_connections");
                let kept = |metric| one(metric).unwrap_or(0.0);
                let reserved = kept("pg_settings_reserved_connections")
                    + kept("pg_settings_superuser_reserved_connections");
                (
                    most.map(|most| most - reserved),
                    "max_connections less the reserved ones",
                )
            }
        };
        let value = value.filter(|value| value.is_finite() && *value > 0.0)?;
        Some(Limit {
            value,
            origin: LimitOrigin::Measured(reading.to_owned()),
        })
    }

    fn usage(&self, resource: Resource, from: Timestamp, step: Millis) -> Result<Option<Window>> {
        let sum = |source: &Source| -> Result<Option<Window>> {
            let parts = self.series(source).into_iter().map(|series| {
                self.history
                    .window(series.id, from, self.now, step, source.fold)
            });
            Ok(combined(&parts.collect::<Result<Vec<_>>>()?, |a, b| a + b))
        };
        match resource {
            Resource::Cpu => sum(&CPU),
            Resource::Memory => sum(&MEMORY),
            Resource::Storage => sum(&STORAGE),
            Resource::Bandwidth => {
                let directions = [sum(&RECEIVED)?, sum(&SENT)?];
                Ok(combined(
                    &directions.into_iter().flatten().collect::<Vec<_>>(),
                    f64::max,
                ))
            }
            Resource::Database => sum(&DATABASE),
            Resource::Connections => sum(&CONNECTIONS),
        }
    }

    fn series(&self, source: &Source) -> Vec<Series> {
        let mut found = self.history.series(&self.selector(source));
        found.retain(|series| (source.keep)(self, series));
        found
    }

    /// Sum of the last values; `None` without any.
    fn last(&self, source: &Source) -> Option<f64> {
        let values = self.history.last(&self.selector(source)).into_iter();
        let kept = values.filter(|(series, _, _)| (source.keep)(self, series));
        kept.map(|(_, _, value)| value).reduce(|a, b| a + b)
    }

    fn selector(&self, source: &Source) -> Selector {
        Selector::metric(source.metric).of(self.target)
    }
}

/// Folds windows of one shape step by step. A step is missing when all parts miss it; a part that
/// misses it alone stands at its last value, and before its first at zero (a database made later).
fn combined(parts: &[Window], fold: fn(f64, f64) -> f64) -> Option<Window> {
    let mut whole = parts.first()?.clone();
    let mut held = vec![0.0; parts.len()];
    for (i, value) in whole.values.iter_mut().enumerate() {
        let mut seen = false;
        for (part, held) in parts.iter().zip(&mut held) {
            if let Some(now) = part.values.get(i).filter(|v| v.is_finite()) {
                (*held, seen) = (*now, true);
            }
        }
        let all = held.iter().copied().reduce(fold).unwrap_or(f64::NAN);
        *value = if seen { all } else { f64::NAN };
    }
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::series::{Kind, SeriesKey};
    use crate::store::{Bucket, Options, Store, Tier};

    #[test]
    fn what_refuses_is_read_at_its_most_and_what_grows_at_its_mean() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Options::in_dir(folder.path())).unwrap();
        let at =
            |minutes: u64| Timestamp::from_millis(0).plus(Millis(minutes * 60_000).as_duration());
        // Two hours of five minutes, 40 on average; at one moment of the first there are 95.
        let buckets: Vec<Bucket> = (0..24)
            .map(|i| {
                Bucket::gauge(
                    at(5 * i),
                    [30.0, 40.0, if i == 7 { 95.0 } else { 50.0 }, 40.0],
                    20,
                )
            })
            .collect();
        let (history, of) = (store.history(), SeriesKey::bare);
        for metric in [
            "pg_connections_used",
            "host_memory_used_bytes",
            "pg_database_size_bytes",
        ] {
            history
                .append_rollups(
                    "main",
                    Tier::FiveMinutes,
                    &of(metric),
                    Kind::Gauge,
                    &buckets,
                )
                .unwrap();
        }
        let limits = BTreeMap::new();
        let reader = Reader {
            history,
            target: "main",
            mountpoint: None,
            limits: &limits,
            now: at(120),
        };
        let hours = |resource| reader.window(resource, at(0)).unwrap().unwrap().values;
        assert_eq!(hours(Resource::Connections), [95.0, 50.0]);
        assert_eq!(hours(Resource::Memory), [95.0, 50.0]);
        assert_eq!(hours(Resource::Database), [40.0, 40.0]);
        // What is there now is no peak.
        assert_eq!(reader.current(Resource::Connections).unwrap(), Some(40.0));
    }

    fn window(values: &[f64]) -> Window {
        Window {
            start: Timestamp::from_millis(0),
            step: Millis::HOUR,
            values: values.to_vec(),
        }
    }

    #[test]
    fn a_part_that_starts_later_counts_from_then_on() {
        let old = window(&[1.0, 2.0, f64::NAN, 4.0]);
        let new = window(&[f64::NAN, f64::NAN, f64::NAN, 10.0]);
        let whole = combined(&[old, new], |a, b| a + b).unwrap();
        assert!((whole.values[1] - 2.0).abs() < 1e-12);
        assert!(whole.values[2].is_nan(), "nothing was read then");
        assert!((whole.values[3] - 14.0).abs() < 1e-12);
    }

    #[test]
    fn a_part_that_misses_a_step_stands_at_its_last_value() {
        let whole = combined(&[window(&[1.0, f64::NAN]), window(&[5.0, 6.0])], |a, b| {
            a + b
        })
        .unwrap();
        assert!((whole.values[1] - 7.0).abs() < 1e-12);
    }

    #[test]
    fn the_busier_direction_is_taken_step_by_step() {
        let whole = combined(&[window(&[1.0, 9.0]), window(&[5.0, 6.0])], f64::max).unwrap();
        assert_eq!(whole.values, [5.0, 9.0]);
        assert!(combined(&[], f64::max).is_none());
    }
}
