//! `pg_stat_database`: one row per database, and one for shared objects.

use super::{Field, View};
use crate::model::series::Metric;
use crate::postgres::capability::{V14, V18};

const fn count(sql: &'static str, name: &'static str, help: &'static str) -> Field {
    Field::new(sql, Metric::counter(name, help))
}

const fn time(sql: &'static str, name: &'static str, help: &'static str) -> Field {
    Field::millis(sql, Metric::counter(name, help))
}

/// The row of shared objects has no name, and so no `datname` label.
pub(super) const VIEW: View = View {
    part: "database",
    labels: &[("datname", "datname::text")],
    from: "pg_stat_database",
    fields: &[
        Field::new(
            "numbackends",
            Metric::gauge(
                "pg_database_numbackends",
                "Backends connected to the database now.",
            )
            .exact_to(1.0),
        )
        .like("pg_stat_database_numbackends"),
        count(
            "xact_commit",
            "pg_database_xact_commit_total",
            "Transactions committed.",
        )
        .like("pg_stat_database_xact_commit"),
        count(
            "xact_rollback",
            "pg_database_xact_rollback_total",
            "Transactions rolled back.",
        )
        .like("pg_stat_database_xact_rollback"),
        count(
            "blks_read",
            "pg_database_blks_read_total",
            "Blocks read from disk or OS cache.",
        )
        .like("pg_stat_database_blks_read"),
        count(
            "blks_hit",
            "pg_database_blks_hit_total",
            "Blocks found in shared buffers.",
        )
        .like("pg_stat_database_blks_hit"),
        count(
            "tup_returned",
            "pg_database_tup_returned_total",
            "Live rows fetched by sequential scans and index entries returned by index scans.",
        )
        .like("pg_stat_database_tup_returned"),
        count(
            "tup_fetched",
            "pg_database_tup_fetched_total",
            "Live rows fetched by index scans.",
        )
        .like("pg_stat_database_tup_fetched"),
        count(
            "tup_inserted",
            "pg_database_tup_inserted_total",
            "Rows inserted.",
        )
        .like("pg_stat_database_tup_inserted"),
        count(
            "tup_updated",
            "pg_database_tup_updated_total",
            "Rows updated.",
        )
        .like("pg_stat_database_tup_updated"),
        count(
            "tup_deleted",
            "pg_database_tup_deleted_total",
            "Rows deleted.",
        )
        .like("pg_stat_database_tup_deleted"),
        count(
            "conflicts",
            "pg_database_conflicts_total",
            "Queries cancelled on a standby by conflicts with recovery.",
        )
        .like("pg_stat_database_conflicts"),
        count(
            "temp_files",
            "pg_database_temp_files_total",
            "Temporary files made by queries.",
        )
        .like("pg_stat_database_temp_files"),
        count(
            "temp_bytes",
            "pg_database_temp_bytes_total",
            "Bytes written to temporary files.",
        )
        .like("pg_stat_database_temp_bytes"),
        count(
            "deadlocks",
            "pg_database_deadlocks_total",
            "Deadlocks found.",
        )
        .like("pg_stat_database_deadlocks"),
        count(
            "checksum_failures",
            "pg_database_checksum_failures_total",
            "Data pages whose checksum was wrong; absent when checksums are off.",
        )
        .like("pg_stat_database_checksum_failures"),
        time(
            "blk_read_time",
            "pg_database_blk_read_seconds_total",
            "Time backends spent reading blocks; 0 unless track_io_timing is on.",
        )
        .like("pg_stat_database_blk_read_time"),
        time(
            "blk_write_time",
            "pg_database_blk_write_seconds_total",
            "Time backends spent writing blocks; 0 unless track_io_timing is on.",
        )
        .like("pg_stat_database_blk_write_time"),
        time(
            "session_time",
            "pg_database_session_seconds_total",
            "Time that sessions lasted; updated when a session's state changes.",
        )
        .like("pg_stat_database_session_time")
        .since(V14),
        time(
            "active_time",
            "pg_database_active_seconds_total",
            "Time sessions spent executing statements.",
        )
        .like("pg_stat_database_active_time")
        .since(V14),
        time(
            "idle_in_transaction_time",
            "pg_database_idle_in_transaction_seconds_total",
            "Time sessions spent idle in a transaction.",
        )
        .like("pg_stat_database_idle_in_transaction_time")
        .since(V14),
        count(
            "sessions",
            "pg_database_sessions_total",
            "Sessions established.",
        )
        .like("pg_stat_database_sessions")
        .since(V14),
        count(
            "sessions_abandoned",
            "pg_database_sessions_abandoned_total",
            "Sessions whose client went away.",
        )
        .like("pg_stat_database_sessions_abandoned")
        .since(V14),
        count(
            "sessions_fatal",
            "pg_database_sessions_fatal_total",
            "Sessions ended by a fatal error.",
        )
        .like("pg_stat_database_sessions_fatal")
        .since(V14),
        count(
            "sessions_killed",
            "pg_database_sessions_killed_total",
            "Sessions ended by an operator.",
        )
        .like("pg_stat_database_sessions_killed")
        .since(V14),
        count(
            "parallel_workers_to_launch",
            "pg_database_parallel_workers_planned_total",
            "Parallel workers that plans asked for.",
        )
        .since(V18),
        count(
            "parallel_workers_launched",
            "pg_database_parallel_workers_launched_total",
            "Parallel workers that were launched.",
        )
        .since(V18),
        Field::new(
            "stats_reset",
            Metric::gauge(
                "pg_database_stats_reset_time_seconds",
                "When the database's counters were last reset, in seconds since 1970.",
            ),
        )
        .like("pg_stat_database_stats_reset"),
    ],
};
