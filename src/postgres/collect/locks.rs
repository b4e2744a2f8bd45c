//! `pg_locks`: heavyweight locks by mode, and relations that must not be touched.

use std::collections::BTreeSet;

use tokio_postgres::types::Type;

use super::Seen;
use crate::model::series::{Labels, Metric, Sample};
use crate::postgres::capability::Capability;
use crate::postgres::read::Cells;
use crate::postgres::session::Session;
use crate::postgres::{MARKER, Result};

const PART: &str = "locks";

pub(super) const LOCKS: Metric = Metric::gauge(
    "pg_locks",
    "Heavyweight locks held or waited for, by database and mode, without this monitor's own.",
)
.exact_to(1.0);
const WAITING: Metric = Metric::gauge(
    "pg_locks_waiting",
    "Heavyweight locks waited for, by database and mode.",
)
.exact_to(1.0);

pub(super) const METRICS: &[&Metric] = &[&LOCKS, &WAITING];

/// Modes seen so far, so that one that is no longer held falls to 0.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    all: Seen,
    waiting: Seen,
}

/// Counts locks.
pub(crate) async fn read(session: &mut Session, memory: &mut Memory) -> Result<Vec<Sample>> {
    let sql = format!(
        "select {MARKER} d.datname::text, l.mode, count(*), count(*) filter (where not l.granted) \
         from pg_locks l left join pg_database d on d.oid = l.database \
         where l.pid is distinct from pg_backend_pid() group by 1, 2"
    );
    let (mut all, mut waiting) = (Vec::new(), Vec::new());
    for row in session.rows(PART, &sql, &[]).await? {
        let cells = Cells::new(PART, &row);
        let mode = cells.text(1)?.to_lowercase();
        let labels = Labels::none()
            .with("datname", cells.text(0)?)
            .with("mode", mode);
        all.push((labels.clone(), cells.count(2)? as f64));
        waiting.push((labels, cells.count(3)? as f64));
    }
    let mut out = Vec::new();
    memory.all.gauge(&LOCKS, all, &mut out);
    memory.waiting.gauge(&WAITING, waiting, &mut out);
    Ok(out)
}

/// Relations of this database under an ACCESS EXCLUSIVE lock, held or waited for: whoever asks
/// for their size or definition would queue behind it, and others behind that.
pub(crate) async fn untouchable(session: &mut Session, able: &Capability) -> Result<BTreeSet<u32>> {
    let sql = format!(
        "select {MARKER} relation from pg_locks where locktype = 'relation' \
         and mode = 'AccessExclusiveLock' and database in (0, $1) and relation is not null"
    );
    let params = [(&able.database_oid as _, Type::OID)];
    let rows = session.rows(PART, &sql, &params).await?;
    rows.iter()
        .map(|row| Cells::new(PART, row).get(0))
        .collect()
}
