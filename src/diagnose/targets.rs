//! What is good enough: the values of `data/targets.toml`, compiled in, each overridable.

use std::sync::OnceLock;

use serde::Deserialize;

const TEXT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/data/targets.toml"));

/// Shares of a limit that raise an alert.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    /// In use now, above which it is a warning.
    pub warn_ratio: f64,
    /// In use now, above which it is critical.
    pub critical_ratio: f64,
    /// Expected a month from now, above which it is a warning.
    pub next_month_ratio: f64,
}

/// What callers of the platform's own interface may expect; times in ms.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "percentiles and bounds, named as in the file")]
pub struct Api {
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    pub requests_per_s: f64,
    pub error_ratio: f64,
    pub p95_warn_ms: f64,
    pub p95_critical_ms: f64,
    pub p99_warn_ms: f64,
    pub p99_critical_ms: f64,
    pub error_warn_ratio: f64,
    pub error_critical_ratio: f64,
}

/// What the database server should hold.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "bounds, named and explained in the file")]
pub struct Database {
    pub pool_warn_ratio: f64,
    pub pool_critical_ratio: f64,
    pub cache_hit_ratio: f64,
    pub query_warn_ms: f64,
    pub query_critical_ms: f64,
    pub slow_per_minute_warn: f64,
    pub slow_per_minute_critical: f64,
    pub wait_share_warn: f64,
    pub wait_share_critical: f64,
    pub idle_in_transaction_ratio: f64,
    pub temp_bytes_warn: f64,
    pub checkpoints_requested_ratio: f64,
    pub replication_lag_warn_ms: f64,
    pub replication_lag_critical_ms: f64,
}

/// What the machine should hold.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "bounds, named and explained in the file")]
pub struct Host {
    pub pressure_warn_ratio: f64,
    pub pressure_critical_ratio: f64,
    pub disk_busy_warn_ratio: f64,
    pub disk_busy_critical_ratio: f64,
    pub swap_used_ratio: f64,
}

/// What the cache layers should hold; times in ms.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "bounds, named as in the file")]
pub struct Cache {
    pub hit_ratio: f64,
    pub hit_critical_ratio: f64,
    pub memory_warn_ratio: f64,
    pub memory_critical_ratio: f64,
    pub evictions_per_s_warn: f64,
    pub evictions_per_s_critical: f64,
    pub get_memory_ms: f64,
    pub get_redis_ms: f64,
    pub set_memory_ms: f64,
    pub set_redis_ms: f64,
}

/// What the job queues should hold; times in ms.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "bounds, named as in the file")]
pub struct Queue {
    pub depth_warn: f64,
    pub depth_critical: f64,
    pub p95_warn_ms: f64,
    pub p95_critical_ms: f64,
    pub failed_warn_ratio: f64,
    pub failed_critical_ratio: f64,
}

/// All targets; change single fields of the default to override them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is a table of the file")]
pub struct Targets {
    pub capacity: Capacity,
    pub api: Api,
    pub database: Database,
    pub host: Host,
    pub cache: Cache,
    pub queue: Queue,
}

impl Targets {
    /// The values that this program was built with.
    ///
    /// # Panics
    /// Only in a build whose `data/targets.toml` is broken, which its tests tell.
    pub fn built_in() -> &'static Self {
        static BUILT_IN: OnceLock<Targets> = OnceLock::new();
        BUILT_IN.get_or_init(|| {
            #[expect(
                clippy::expect_used,
                reason = "the text is compiled in and a test reads it"
            )]
            toml::from_str(TEXT).expect("data/targets.toml is whole")
        })
    }
}

impl Default for Targets {
    fn default() -> Self {
        Self::built_in().clone()
    }
}
