//! `pg_stat_bgwriter`, and `pg_stat_checkpointer` that took half of it over in 17.

use super::{Field, View};
use crate::model::series::Metric;
use crate::postgres::capability::{V17, V18};

const TIMED: Metric = Metric::counter(
    "pg_checkpoints_timed_total",
    "Checkpoints because checkpoint_timeout passed.",
);
const REQUESTED: Metric = Metric::counter(
    "pg_checkpoints_requested_total",
    "Checkpoints because WAL grew to max_wal_size, or on request.",
);
const WRITE_TIME: Metric = Metric::counter(
    "pg_checkpoint_write_seconds_total",
    "Time checkpoints spent writing files.",
);
const SYNC_TIME: Metric = Metric::counter(
    "pg_checkpoint_sync_seconds_total",
    "Time checkpoints spent synchronising files to disk.",
);
const BUFFERS: Metric = Metric::counter(
    "pg_checkpoint_buffers_written_total",
    "Buffers written by checkpoints and restartpoints.",
);

/// What is left of the view in every version, and what 17 moved elsewhere.
pub(super) const VIEW: View = View {
    part: "bgwriter",
    labels: &[],
    from: "pg_stat_bgwriter",
    fields: &[
        Field::new("checkpoints_timed", TIMED)
            .like("pg_stat_bgwriter_checkpoints_timed_total")
            .until(V17),
        Field::new("checkpoints_req", REQUESTED)
            .like("pg_stat_bgwriter_checkpoints_req_total")
            .until(V17),
        Field::millis("checkpoint_write_time", WRITE_TIME)
            .like("pg_stat_bgwriter_checkpoint_write_time_total")
            .until(V17),
        Field::millis("checkpoint_sync_time", SYNC_TIME)
            .like("pg_stat_bgwriter_checkpoint_sync_time_total")
            .until(V17),
        Field::new("buffers_checkpoint", BUFFERS)
            .like("pg_stat_bgwriter_buffers_checkpoint_total")
            .until(V17),
        Field::new(
            "buffers_backend",
            Metric::counter(
                "pg_backend_buffers_written_total",
                "Buffers that backends had to write themselves; 17 and later: see pg_io.",
            ),
        )
        .like("pg_stat_bgwriter_buffers_backend_total")
        .until(V17),
        Field::new(
            "buffers_backend_fsync",
            Metric::counter(
                "pg_backend_fsyncs_total",
                "Synchronisations that backends had to do themselves; 17 and later: see pg_io.",
            ),
        )
        .like("pg_stat_bgwriter_buffers_backend_fsync_total")
        .until(V17),
        Field::new(
            "buffers_clean",
            Metric::counter(
                "pg_bgwriter_buffers_written_total",
                "Buffers written by the background writer.",
            ),
        )
        .like("pg_stat_bgwriter_buffers_clean_total"),
        Field::new(
            "maxwritten_clean",
            Metric::counter(
                "pg_bgwriter_maxwritten_clean_total",
                "Times the background writer stopped at bgwriter_lru_maxpages.",
            ),
        )
        .like("pg_stat_bgwriter_maxwritten_clean_total"),
        Field::new(
            "buffers_alloc",
            Metric::counter("pg_buffers_allocated_total", "Buffers allocated."),
        )
        .like("pg_stat_bgwriter_buffers_alloc_total"),
        Field::new(
            "stats_reset",
            Metric::gauge(
                "pg_bgwriter_stats_reset_time_seconds",
                "When these counters were last reset, in seconds since 1970.",
            ),
        )
        .like("pg_stat_bgwriter_stats_reset_total"),
    ],
};

/// 17 and later.
pub(super) const CHECKPOINTER: View = View {
    part: "checkpointer",
    labels: &[],
    from: "pg_stat_checkpointer",
    fields: &[
        Field::new("num_timed", TIMED).since(V17),
        Field::new("num_requested", REQUESTED).since(V17),
        Field::millis("write_time", WRITE_TIME).since(V17),
        Field::millis("sync_time", SYNC_TIME).since(V17),
        Field::new("buffers_written", BUFFERS).since(V17),
        Field::new(
            "num_done",
            Metric::counter(
                "pg_checkpoints_done_total",
                "Checkpoints that were completed.",
            ),
        )
        .since(V18),
        Field::new(
            "restartpoints_timed",
            Metric::counter("pg_restartpoints_timed_total", "Scheduled restartpoints."),
        )
        .since(V17),
        Field::new(
            "restartpoints_req",
            Metric::counter(
                "pg_restartpoints_requested_total",
                "Requested restartpoints.",
            ),
        )
        .since(V17),
        Field::new(
            "restartpoints_done",
            Metric::counter("pg_restartpoints_done_total", "Restartpoints performed."),
        )
        .since(V17),
    ],
};
