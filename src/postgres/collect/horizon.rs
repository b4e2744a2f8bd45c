//! Who keeps dead rows alive, and the counters that checks of the server as a whole rest on.

use crate::model::structure::{HorizonHolder, ServerCounters};
use crate::model::units::Timestamp;
use crate::postgres::capability::{Capability, V17};
use crate::postgres::read::Cells;
use crate::postgres::session::Session;
use crate::postgres::{MARKER, Result};

const PART: &str = "horizon";

/// Holders of each kind that are named, the oldest first.
const EACH_CAP: usize = 3;

/// Reads who holds back the horizon of this database, the oldest first.
///
/// Tables of a database wait for its own sessions only, and for standbys; on a standby for all. A lost
/// slot and a running vacuum hold back nothing. Source: `ComputeXidHorizons` in `procarray.c`.
pub(crate) async fn holders(session: &mut Session) -> Result<Vec<HorizonHolder>> {
    let age = "greatest(age(a.backend_xmin), age(a.backend_xid))";
    let sql = format!(
        "select {MARKER} kind, name, age::int8, open, elsewhere from (select kind, name, age, open, elsewhere, \
         row_number() over (partition by kind, elsewhere is null order by age desc) as place from (\
         select case when a.backend_type = 'walsender' then 'standby' else 'session' end as kind, \
         case when a.backend_type = 'walsender' then a.application_name else a.pid::text end as name, \
         {age} as age, extract(epoch from clock_timestamp() - a.xact_start)::float8 as open, \
         null::text as elsewhere \
         from pg_stat_get_activity(null) a where a.pid <> pg_backend_pid() \
         and coalesce(a.backend_type, '') not in ('autovacuum worker', 'logical replication worker') \
         and (a.datid = (select oid from pg_database where datname = current_database()) \
         or a.backend_type = 'walsender' and coalesce(a.datid, 0) = 0 or pg_is_in_recovery()) \
         and not exists (select from pg_stat_progress_vacuum v where v.pid = a.pid) \
         union all select 'slot', s.slot_name::text, age(s.xmin), null, null \
         from pg_replication_slots s where s.wal_status is distinct from 'lost' \
         union all select 'catalog', s.slot_name::text, age(s.catalog_xmin), null, null \
         from pg_replication_slots s where s.wal_status is distinct from 'lost' \
         union all select 'prepared', p.gid, age(p.transaction), \
         extract(epoch from clock_timestamp() - p.prepared)::float8, \
         nullif(p.database, current_database())::text from pg_prepared_xacts p) h \
         where age is not null) h where place <= {EACH_CAP} order by age desc"
    );
    let rows = session.rows(PART, &sql, &[]).await?;
    rows.iter()
        .map(|row| {
            let cells = Cells::new(PART, row);
            Ok(HorizonHolder {
                kind: cells.text(0)?,
                name: cells.text(1)?,
                age: cells.count(2)?,
                open_ms: cells.millis(3)?,
                elsewhere: cells.get(4)?,
            })
        })
        .collect()
}

/// Reads the counters, and when those of the connected database were last reset.
pub(crate) async fn counters(
    session: &mut Session,
    able: &Capability,
) -> Result<(ServerCounters, Option<Timestamp>)> {
    let checkpoints = if able.is_at_least(V17) {
        "num_timed, num_requested, stats_reset from pg_stat_checkpointer"
    } else {
        "checkpoints_timed, checkpoints_req, stats_reset from pg_stat_bgwriter"
    };
    let mut counters = ServerCounters::default();
    let sql = format!("select {MARKER} {checkpoints}");
    for row in session.rows(PART, &sql, &[]).await? {
        let cells = Cells::new(PART, &row);
        counters.checkpoints_timed = cells.count(0)?;
        counters.checkpoints_requested = cells.count(1)?;
        counters.checkpoints_since = cells.time(2)?;
    }
    let sql = format!(
        "select {MARKER} pg_stat_get_db_deadlocks(oid), pg_stat_get_db_temp_bytes(oid), \
         (select coalesce(sum(pg_stat_get_db_checksum_failures(oid)), 0)::int8 from pg_database), \
         pg_stat_get_db_stat_reset_time(oid) from pg_database where datname = current_database()"
    );
    let mut reset = None;
    for row in session.rows(PART, &sql, &[]).await? {
        let cells = Cells::new(PART, &row);
        counters.deadlocks = cells.count(0)?;
        counters.temp_bytes = cells.count(1)?;
        counters.checksum_failures = cells.count(2)?;
        reset = cells.time(3)?;
    }
    let sql = format!(
        "select {MARKER} failed_count, coalesce(last_failed_time > last_archived_time, \
         last_failed_time is not null), last_failed_wal from pg_stat_archiver"
    );
    for row in session.rows(PART, &sql, &[]).await? {
        let cells = Cells::new(PART, &row);
        counters.archive_failures = cells.count(0)?;
        counters.archive_fails_now = cells.get(1)?;
        counters.archive_failed_segment = cells.get(2)?;
    }
    Ok((counters, reset))
}
