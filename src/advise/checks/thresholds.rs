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
    /// Smaller ones are only a hint, in bytes.
    pub warn_bytes: u64,
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

/// A size from which on it matters.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizeWarn {
    /// Smaller ones are only a hint, in bytes.
    pub warn_bytes: u64,
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

/// When bloat is worth a rebuild.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bloat {
    /// Bytes that a rebuild gives back.
    pub waste_bytes_min: u64,
    /// The same as a share of its size.
    pub waste_ratio_min: f64,
}

/// When a search lacks an index.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    /// Smaller tables are read as a whole at no cost, in bytes.
    pub table_bytes_min: u64,
    /// Fewer calls say nothing.
    pub calls_min: u64,
    /// Blocks a call over those of the table.
    pub read_ratio_min: f64,
    /// Rows a call over those of the table.
    pub given_ratio_max: f64,
}

/// When columns count as going together.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Correlated {
    /// Smaller tables do not matter.
    pub rows_min: u64,
    /// Combinations that the planner expects over those there are.
    pub factor_min: f64,
}

/// When autovacuum comes late to a table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LateVacuum {
    /// Updates and deletes below which it does not matter.
    pub rows_min: u64,
    /// Dead rows that it should not wait for.
    pub dead_rows_max: u64,
}

/// When updates touch the indexes too often.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LostHot {
    /// Fewer updates do not matter.
    pub updates_min: u64,
    /// Share of updates that leave the indexes alone, below which it is told.
    pub hot_ratio_min: f64,
}

/// When checkpoints come too often.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoints {
    /// Fewer say nothing.
    pub requested_min: u64,
    /// Share of those that WAL asked for.
    pub warn_ratio: f64,
}

/// A rate.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Daily {
    /// Fewer a day are not told.
    pub per_day_min: f64,
}

/// When a result has no bound.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unbounded {
    /// Fewer calls say nothing.
    pub calls_min: u64,
    /// Rows a call.
    pub rows_min: u64,
    /// Rows a call if they are most of a table.
    pub rows_whole_min: u64,
    /// What counts as most of it.
    pub share_min: f64,
}

/// When pages are deep.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deep {
    /// Fewer calls say nothing.
    pub calls_min: u64,
    /// Blocks a call.
    pub blocks_per_call_min: f64,
    /// Blocks a row given.
    pub blocks_per_row_min: f64,
}

/// When one statement follows another row by row.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeated {
    /// How often it must have been seen.
    pub bursts_min: u32,
    /// Rows of the list, on average.
    pub rows_min: f64,
}

/// When a statement counts as slower than it was.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slower {
    /// Mean time now over then.
    pub time_factor_min: f64,
    /// Blocks a call now over then, for a new plan.
    pub blocks_factor_min: f64,
    /// Shorter ones do not matter, in ms.
    pub mean_ms_min: f64,
}

/// How much of what vacuum must remember fits.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VacuumMemory {
    /// Updates and deletes below which a table does not matter.
    pub rows_min: u64,
    /// Passes over its indexes that are no matter.
    pub passes_max: f64,
}

/// When there are too many seats.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seats {
    /// `max_connections` from which on it is told.
    pub connections_min: u32,
}

/// Shares of this machine's memory.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shares {
    /// Too little below this.
    pub low_ratio: f64,
    /// What the cure sets.
    pub good_ratio: f64,
    /// Too much above this.
    pub high_ratio: f64,
}

/// What the planner should be told.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannerShares {
    /// Share of memory, too little below this.
    pub low_ratio: f64,
    /// What the cure sets.
    pub good_ratio: f64,
    /// Too much above this.
    pub high_ratio: f64,
    /// Largest `random_page_cost` of a disk that does not spin.
    pub page_cost_max: f64,
}

/// Parallel workers against cores.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parallel {
    /// Cores over usable workers.
    pub cores_unused_ratio: f64,
}

/// A least number of sessions.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionsMin {
    /// Fewer may be people.
    pub sessions_min: u32,
}

/// Two bounds of a wait, in ms.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waits {
    /// A warning at or above this.
    pub warn_ms: u64,
    /// Critical at or above this.
    pub critical_ms: u64,
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
    pub duplicate_index: SizeWarn,
    pub redundant_index: SizeWarn,
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
    pub missing_index: Missing,
    pub foreign_key_without_index: RowsMin,
    pub foreign_key_type: Fixed,
    pub constraint_not_valid: Fixed,
    pub table_bloat: Bloat,
    pub index_bloat: Bloat,
    pub correlated_columns: Correlated,
    pub horizon_held: TransactionAges,
    pub prepared_transaction: Ages,
    pub autovacuum_off_table: Fixed,
    pub vacuum_settings: LateVacuum,
    pub lost_hot_updates: LostHot,
    pub checkpoint_pressure: Checkpoints,
    pub deadlocks: Daily,
    pub archive_failing: Fixed,
    pub checksum_failures: Fixed,
    pub unbounded_result: Unbounded,
    pub deep_offset: Deep,
    pub n_plus_one: Repeated,
    pub plan_change: Slower,
    pub statement_slower: Fixed,
    pub shared_buffers_machine: Shares,
    pub work_mem_machine: Shares,
    pub planner_settings: PlannerShares,
    pub parallel_settings: Parallel,
    pub superuser_sessions: SessionsMin,
    pub public_schema: Fixed,
    pub definer_search_path: Fixed,
    pub password_md5: Fixed,
    pub pool_waiting: Waits,
    pub pool_oversized: Fixed,
    pub slot_behind: Sizes,
    pub standby_behind: Fixed,
    pub vacuum_memory: VacuumMemory,
    pub maintenance_machine: Shares,
    pub planner_switches: Fixed,
    pub max_connections_high: Seats,
    pub logs_everything: Fixed,
}

impl Thresholds {
    /// The values that this program was built with.
    ///
    /// # Panics
    /// Only in a build whose `data/findings.toml` is broken, which its tests tell.
    pub fn built_in() -> &'static Self {
        static BUILT_IN: OnceLock<Thresholds> = OnceLock::new();
        BUILT_IN.get_or_init(|| {
            let mut tables = super::explain::tables();
            for (_, table) in &mut tables {
                if let Some(table) = table.as_table_mut() {
                    table.remove("doc");
                }
            }
            #[expect(
                clippy::expect_used,
                reason = "the text is compiled in and a test reads it"
            )]
            tables.try_into().expect("data/findings.toml is whole")
        })
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Self::built_in().clone()
    }
}
