//! Rates and shares of the last minutes, read from the history for the diagnosis.

use crate::diagnose::Rates;
use crate::model::units::{Millis, Timestamp};
use crate::store::{Fold, History, Result, Selector, Series};
use crate::work::board::TargetState;
use crate::work::source::COST;

/// How far back a rate looks: shorter is noise, longer is history.
const RECENT: Millis = Millis(600_000);

/// Reads one target's last minutes.
struct Recent<'a> {
    history: &'a History,
    target: &'a str,
    now: Timestamp,
}

/// What the history says of one target's last minutes; what it does not know is `None`.
///
/// # Errors
/// When the history cannot be read.
pub(crate) fn rates(
    history: &History,
    target: &str,
    state: &TargetState,
    now: Timestamp,
) -> Result<Rates> {
    let recent = Recent {
        history,
        target,
        now,
    };
    let busy = recent.sum("host_cpu_busy_seconds_total", &[])?;
    let cores = recent.last("host_cpu_cores");
    let pressure = |of| {
        recent.sum(
            "host_pressure_seconds_total",
            &[("resource", of), ("tasks", "some")],
        )
    };
    let hit = recent.sum("pg_database_blks_hit_total", &[])?;
    let read = recent.sum("pg_database_blks_read_total", &[])?;
    let asked = recent.sum("pg_checkpoints_requested_total", &[])?;
    let timed = recent.sum("pg_checkpoints_timed_total", &[])?;
    let swap = recent
        .last("host_swap_used_bytes")
        .zip(recent.last("host_swap_total_bytes"));
    let replicas = state
        .snapshot
        .as_deref()
        .map(|snapshot| snapshot.replicas.iter());
    let lags = replicas
        .into_iter()
        .flatten()
        .filter_map(|replica| replica.replay_lag_ms);
    Ok(Rates {
        cpu_busy_ratio: share(busy, cores),
        cpu_pressure_ratio: pressure("cpu")?,
        memory_pressure_ratio: pressure("memory")?,
        io_pressure_ratio: pressure("io")?,
        swap_used_ratio: swap.and_then(|(used, total)| share(Some(used), Some(total))),
        disk_busy_ratio: recent.most("host_disk_io_seconds_total", |_| Some(1.0))?,
        network_busy_ratio: recent.network()?,
        buffer_hit_ratio: part(hit, read),
        temp_bytes_per_s: recent.sum("pg_database_temp_bytes_total", &[])?,
        checkpoints_requested_ratio: part(asked, timed),
        replication_lag_ms: lags.max().map(|lag| lag as f64),
        cache_hit_ratio: None,
        queue_depth: None,
    })
}

/// Share of one core that watching costs the target's server; `None` where it cannot be seen.
///
/// # Errors
/// When the history cannot be read.
pub(crate) fn own_cost(history: &History, target: &str, now: Timestamp) -> Result<Option<f64>> {
    Recent {
        history,
        target,
        now,
    }
    .sum(COST.name, &[])
}

/// `part` of `whole`, where there is a whole.
fn share(part: Option<f64>, whole: Option<f64>) -> Option<f64> {
    let (part, whole) = part.zip(whole)?;
    (whole > 0.0).then(|| part / whole)
}

/// What `one` is of both together.
fn part(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    let (one, other) = one.zip(other)?;
    share(Some(one), Some(one + other))
}

impl Recent<'_> {
    fn selector(&self, metric: &str) -> Selector {
        Selector::metric(metric).of(self.target)
    }

    /// Sum of the last values; `None` without any.
    fn last(&self, metric: &str) -> Option<f64> {
        let values = self.history.last(&self.selector(metric)).into_iter();
        values.map(|(_, _, value)| value).reduce(|a, b| a + b)
    }

    /// A counter's rate over the last minutes.
    fn rate(&self, series: &Series) -> Result<Option<f64>> {
        let from = self.now.minus(RECENT.as_duration());
        let minutes = self
            .history
            .window(series.id, from, self.now, Millis::MINUTE, Fold::Rate)?;
        let seen = minutes
            .values
            .iter()
            .copied()
            .filter(|rate| rate.is_finite());
        let (sum, count) = seen.fold((0.0, 0.0), |(sum, count), rate| (sum + rate, count + 1.0));
        Ok(share(Some(sum), Some(count)))
    }

    /// Sum of the rates of all series that have these labels.
    fn sum(&self, metric: &str, labels: &[(&'static str, &str)]) -> Result<Option<f64>> {
        let selector = labels
            .iter()
            .fold(self.selector(metric), |s, (name, value)| {
                s.with(*name, *value)
            });
        let mut sum = None;
        for series in self.history.series(&selector) {
            if let Some(rate) = self.rate(&series)? {
                sum = Some(sum.unwrap_or(0.0) + rate);
            }
        }
        Ok(sum)
    }

    /// The largest rate of all series, each over what it can give at most.
    fn most(&self, metric: &str, limit: impl Fn(&Series) -> Option<f64>) -> Result<Option<f64>> {
        let mut most: Option<f64> = None;
        for series in self.history.series(&self.selector(metric)) {
            if let Some(busy) = share(self.rate(&series)?, limit(&series)) {
                most = Some(most.map_or(busy, |so_far| so_far.max(busy)));
            }
        }
        Ok(most)
    }

    /// The busiest direction of the busiest interface over its speed.
    fn network(&self) -> Result<Option<f64>> {
        let speeds = self
            .history
            .last(&self.selector("host_network_speed_bytes"));
        let speed = |series: &Series| {
            let device = series.key.labels.get("device");
            let mut found = speeds
                .iter()
                .filter(|(s, _, _)| s.key.labels.get("device") == device);
            found.next().map(|(_, _, speed)| *speed)
        };
        let received = self.most("host_network_receive_bytes_total", speed)?;
        let sent = self.most("host_network_transmit_bytes_total", speed)?;
        Ok(received.into_iter().chain(sent).reduce(f64::max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::series::{Labels, Metric, Scrape};
    use crate::store::{Options, Store};

    const BUSY: Metric = Metric::counter("host_cpu_busy_seconds_total", "Busy.");
    const CORES: Metric = Metric::gauge("host_cpu_cores", "Cores.");
    const HIT: Metric = Metric::counter("pg_database_blks_hit_total", "Hits.");
    const READ: Metric = Metric::counter("pg_database_blks_read_total", "Reads.");

    #[test]
    fn shares_come_from_the_last_minutes_and_strangers_stay_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Options::in_dir(folder.path())).unwrap();
        for i in 0..60_u32 {
            let (at, i) = (1_000_000_000_000 + i64::from(i) * 10_000, f64::from(i));
            let samples = vec![
                BUSY.sample(Labels::none(), i * 10.0),
                CORES.sample(Labels::none(), 4.0),
                HIT.sample(Labels::none().with("datname", "a"), i * 90.0),
                READ.sample(Labels::none().with("datname", "a"), i * 10.0),
            ];
            let at = Timestamp::from_millis(at);
            store
                .history()
                .append(&Scrape {
                    target: "t".into(),
                    at,
                    samples,
                })
                .unwrap();
        }
        let now = Timestamp::from_millis(1_000_000_600_000);
        let rates = rates(store.history(), "t", &TargetState::default(), now).unwrap();
        assert!((rates.cpu_busy_ratio.unwrap() - 0.25).abs() < 1e-9);
        assert!((rates.buffer_hit_ratio.unwrap() - 0.9).abs() < 1e-9);
        assert_eq!(rates.disk_busy_ratio, None);
        assert_eq!(rates.temp_bytes_per_s, None);
    }

    #[test]
    fn nothing_of_nothing_is_unknown() {
        assert_eq!(part(Some(0.0), Some(0.0)), None);
        assert_eq!(share(Some(1.0), None), None);
    }
}
