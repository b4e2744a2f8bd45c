//! `pg_stat_wal`, `pg_stat_archiver`, the write position and the size of the WAL folder.

use super::{Field, View};
use crate::model::series::{Labels, Metric, Sample};
use crate::postgres::capability::{Capability, V14, V18};
use crate::postgres::read::Cells;
use crate::postgres::session::Session;
use crate::postgres::{MARKER, Result};

const POSITION: Metric = Metric::counter(
    "pg_wal_position_bytes_total",
    "Write-ahead log written (primary) or replayed (standby) since the cluster was made, in bytes.",
);
const FOLDER_BYTES: Metric = Metric::gauge(
    "pg_wal_folder_bytes",
    "Size of all files in the WAL folder.",
)
.exact_to(1.0);
const FOLDER_FILES: Metric =
    Metric::gauge("pg_wal_folder_files", "Files in the WAL folder.").exact_to(1.0);

pub(super) const METRICS: &[&Metric] = &[&POSITION, &FOLDER_BYTES, &FOLDER_FILES];

/// 14 and later.
pub(super) const VIEW: View = View {
    part: "wal",
    labels: &[],
    from: "pg_stat_wal",
    fields: &[
        Field::new(
            "wal_records",
            Metric::counter("pg_wal_records_total", "WAL records generated."),
        )
        .since(V14),
        Field::new(
            "wal_fpi",
            Metric::counter(
                "pg_wal_full_page_images_total",
                "Full pages written to WAL.",
            ),
        )
        .since(V14),
        Field::new(
            "wal_bytes::float8",
            Metric::counter("pg_wal_bytes_total", "Bytes of WAL generated."),
        )
        .since(V14),
        Field::new(
            "wal_buffers_full",
            Metric::counter(
                "pg_wal_buffers_full_total",
                "Times WAL was written because its buffers were full.",
            ),
        )
        .since(V14),
        Field::new(
            "wal_write",
            Metric::counter(
                "pg_wal_writes_total",
                "Writes of WAL buffers; 18: see pg_io.",
            ),
        )
        .since(V14)
        .until(V18),
        Field::new(
            "wal_sync",
            Metric::counter(
                "pg_wal_syncs_total",
                "Synchronisations of WAL; 18: see pg_io.",
            ),
        )
        .since(V14)
        .until(V18),
        Field::millis(
            "wal_write_time",
            Metric::counter(
                "pg_wal_write_seconds_total",
                "Time spent writing WAL; 0 unless track_wal_io_timing is on; 18: see pg_io.",
            ),
        )
        .since(V14)
        .until(V18),
        Field::millis(
            "wal_sync_time",
            Metric::counter(
                "pg_wal_sync_seconds_total",
                "Time spent synchronising WAL; 0 unless track_wal_io_timing is on; 18: see pg_io.",
            ),
        )
        .since(V14)
        .until(V18),
    ],
};

pub(super) const ARCHIVER: View = View {
    part: "archiver",
    labels: &[],
    from: "pg_stat_archiver",
    fields: &[
        Field::new(
            "archived_count",
            Metric::counter("pg_archiver_archived_total", "WAL files archived."),
        )
        .like("pg_stat_archiver_archived_count"),
        Field::new(
            "failed_count",
            Metric::counter(
                "pg_archiver_failed_total",
                "Failed attempts to archive WAL files.",
            ),
        )
        .like("pg_stat_archiver_failed_count"),
        Field::new(
            "extract(epoch from clock_timestamp() - last_archived_time)::float8",
            Metric::gauge(
                "pg_archiver_last_archive_age_seconds",
                "Time since the last WAL file was archived.",
            )
            .exact_to(1e-3),
        )
        .like("pg_stat_archiver_last_archive_age"),
    ],
};

/// The write position: a counter that every version has, and that no reset touches.
pub(crate) async fn position(session: &mut Session) -> Result<Vec<Sample>> {
    const PART: &str = "wal";
    let sql = format!(
        "select {MARKER} pg_wal_lsn_diff(case when pg_is_in_recovery() \
         then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, '0/0')::float8"
    );
    let mut out = Vec::new();
    for row in session.rows(PART, &sql, &[]).await? {
        if let Some(bytes) = Cells::new(PART, &row).number(0)? {
            out.push(POSITION.sample(Labels::none(), bytes));
        }
    }
    Ok(out)
}

/// The size of the WAL folder; it takes `pg_monitor` to look.
pub(crate) async fn folder(session: &mut Session, able: &Capability) -> Result<Vec<Sample>> {
    const PART: &str = "wal folder";
    if !able.reads_all_stats {
        return Ok(Vec::new());
    }
    let sql = format!("select {MARKER} sum(size)::float8, count(*) from pg_ls_waldir()");
    let mut out = Vec::new();
    for row in session.rows(PART, &sql, &[]).await? {
        let cells = Cells::new(PART, &row);
        for (column, metric) in [(0, &FOLDER_BYTES), (1, &FOLDER_FILES)] {
            out.extend(
                cells
                    .number(column)?
                    .map(|v| metric.sample(Labels::none(), v)),
            );
        }
    }
    Ok(out)
}
