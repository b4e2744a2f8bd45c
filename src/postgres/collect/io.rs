//! `pg_stat_io`: who read and wrote what, and why (16 and later).

use super::{Field, View};
use crate::model::series::Metric;
use crate::postgres::capability::{V16, V18};

const fn count(sql: &'static str, name: &'static str, help: &'static str) -> Field {
    Field::new(sql, Metric::counter(name, help)).since(V16)
}

const fn time(sql: &'static str, name: &'static str, help: &'static str) -> Field {
    Field::millis(sql, Metric::counter(name, help)).since(V16)
}

const READ_BYTES: Metric = Metric::counter("pg_io_read_bytes_total", "Bytes read.");
const WRITE_BYTES: Metric = Metric::counter("pg_io_write_bytes_total", "Bytes written.");
const EXTEND_BYTES: Metric = Metric::counter(
    "pg_io_extend_bytes_total",
    "Bytes that relations were extended by.",
);

/// Rows of which nothing ever happened are left out: most combinations never occur.
pub(super) const VIEW: View = View {
    part: "io",
    labels: &[
        ("backend_type", "backend_type"),
        ("object", "object"),
        ("context", "context"),
    ],
    from: "pg_stat_io where coalesce(reads, 0) + coalesce(writes, 0) + coalesce(extends, 0) \
           + coalesce(hits, 0) + coalesce(evictions, 0) + coalesce(fsyncs, 0) > 0",
    fields: &[
        count("reads", "pg_io_reads_total", "Read operations."),
        time(
            "read_time",
            "pg_io_read_seconds_total",
            "Time spent reading.",
        ),
        count("writes", "pg_io_writes_total", "Write operations."),
        time(
            "write_time",
            "pg_io_write_seconds_total",
            "Time spent writing.",
        ),
        count(
            "extends",
            "pg_io_extends_total",
            "Operations that extended a relation.",
        ),
        time(
            "extend_time",
            "pg_io_extend_seconds_total",
            "Time spent extending relations.",
        ),
        count(
            "hits",
            "pg_io_hits_total",
            "Blocks found in shared buffers.",
        ),
        count(
            "evictions",
            "pg_io_evictions_total",
            "Blocks thrown out of a buffer.",
        ),
        count("fsyncs", "pg_io_fsyncs_total", "Synchronisations to disk."),
        time(
            "fsync_time",
            "pg_io_fsync_seconds_total",
            "Time spent synchronising to disk.",
        ),
        Field::new("reads * op_bytes", READ_BYTES)
            .since(V16)
            .until(V18),
        Field::new("writes * op_bytes", WRITE_BYTES)
            .since(V16)
            .until(V18),
        Field::new("extends * op_bytes", EXTEND_BYTES)
            .since(V16)
            .until(V18),
        Field::new("read_bytes::float8", READ_BYTES).since(V18),
        Field::new("write_bytes::float8", WRITE_BYTES).since(V18),
        Field::new("extend_bytes::float8", EXTEND_BYTES).since(V18),
    ],
};
