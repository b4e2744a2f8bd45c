//! When a check speaks up: the values of `data/findings.toml`, compiled in, each overridable.

use std::sync::OnceLock;

use serde::Deserialize;

pub(super) const TEXT: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/data/findings.toml"));

/// Two bounds of a share, 0 to 1.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ratios {
    /// A warning at or above this.
    pub warn_ratio: f64,
    /// Critical at or above this.
    pub critical_ratio: f64,
}

/// Two bounds of an age, in ms.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ages {
    /// A warning at or above this.
    pub warn_age_ms: u64,
    /// Critical at or above this.
    pub critical_age_ms: u64,
}

/// Two bounds of an age in transactions or multixacts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransactionAges {
    /// A warning at or above this.
    pub warn_age: u64,
    /// Critical at or above this.
    pub critical_age: u64,
}

/// When waiting sessions are worth a word.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blocked {
    /// Shorter waits are not told, in ms.
    pub warn_age_ms: u64,
    /// A wait of this length is critical, in ms.
    pub critical_age_ms: u64,
    /// So many waiting for one session are critical.
    pub critical_count: usize,
}

/// When automatic upkeep is behind.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overdue {
    /// Multiple of the server's own trigger.
    pub overdue_factor: f64,
    /// Fewer rows than this do not matter.
    pub rows_min: u64,
}

/// When an index counts as unused.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unused {
    /// At most so many scans.
    pub scans_max: u64,
    /// Smaller ones are not worth a change, in bytes.
    pub size_bytes_min: u64,
    /// Younger statistics prove nothing, in ms.
    pub stats_age_ms_min: u64,
}

/// A least size.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizeMin {
    /// Smaller ones are left alone, in bytes.
    pub size_bytes_min: u64,
}

/// A least number of rows.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowsMin {
    /// Smaller ones are left alone.
    pub rows_min: u64,
}

/// Two bounds of a size, in bytes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sizes {
    /// A warning at or above this.
    pub warn_bytes: u64,
    /// Critical at or above this.
    pub critical_bytes: u64,
}

/// How far a standby may be behind, in time or bytes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lag {
    /// A warning at or above this, in ms.
    pub warn_ms: u64,
    /// Critical at or above this, in ms.
    pub critical_ms: u64,
    /// A warning at or above this.
    pub warn_bytes: u64,
    /// Critical at or above this.
    pub critical_bytes: u64,
}

/// When a statement is slow.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slow {
    /// Mean time from which it is told, in ms.
    pub mean_ms_min: f64,
    /// Mean time from which it is critical, in ms.
    pub critical_mean_ms: f64,
    /// Fewer calls say nothing.
    pub calls_min: u64,
}

/// When a statement spills.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spill {
    /// Temporary blocks written in all.
    pub blocks_min: u64,
    /// Temporary blocks written a call.
    pub blocks_per_call_min: u64,
}

/// When the buffer cache is too small.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheHit {
    /// Hits over all block reads, below which it is told.
    pub warn_ratio: f64,
    /// Fewer blocks say nothing.
    pub blocks_min: u64,
}

/// When the default of `shared_buffers` is too small.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedBuffers {
    /// Blocks of 8 kB.
    pub default_blocks: u64,
    /// Smaller servers may keep the default, in bytes.
    pub database_bytes_min: u64,
}

/// A check that has nothing to set.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fixed {}

/// How much is told.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Findings of one check that are given.
    pub per_check_max: usize,
}

/// Thresholds of all checks; each field is named as the check's id.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each field is the id of its check")]
pub struct Thresholds {
    pub limits: Limits,
    pub connections_near_max: Ratios,
    pub idle_in_transaction: Ages,
    pub blocked_sessions: Blocked,
    pub long_transaction: Ages,
    pub xid_wraparound: TransactionAges,
    pub mxid_wraparound: TransactionAges,
    pub dead_rows: Overdue,
    pub stale_statistics: Overdue,
    pub unused_index: Unused,
    pub duplicate_index: SizeMin,
    pub redundant_index: SizeMin,
    pub invalid_index: SizeMin,
    pub no_primary_key: RowsMin,
    pub sequence_exhaustion: Ratios,
    pub inactive_slot: Sizes,
    pub replica_lag: Lag,
    pub statements_missing: Fixed,
    pub slow_statement: Slow,
    pub temp_spill: Spill,
    pub cache_hit_low: CacheHit,
    pub fsync_off: Fixed,
    pub full_page_writes_off: Fixed,
    pub autovacuum_off: Fixed,
    pub shared_buffers_default: SharedBuffers,
    pub io_timing_off: Fixed,
}

impl Thresholds {
    /// The values that this program was built with.
    ///
    /// # Panics
    /// Only in a build whose `data/findings.toml` is broken, which its tests tell.
    pub fn built_in() -> &'static Self {
        static BUILT_IN: OnceLock<Thresholds> = OnceLock::new();
        BUILT_IN.get_or_init(|| {
            #[expect(
                clippy::expect_used,
                reason = "the text is compiled in and a test reads it"
            )]
            toml::from_str(TEXT).expect("data/findings.toml is whole")
        })
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Self::built_in().clone()
    }
}
