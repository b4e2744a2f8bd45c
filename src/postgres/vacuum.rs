//! `VACUUM (ANALYZE)` of one table, with what it changed; and which tables want it.
//!
//! For: what autovacuum does, when somebody wants it done now or at night. Not for: `VACUUM FULL`, which
//! keeps everybody out of the table.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::observer::Options;
use super::read::Cells;
use super::session::Session;
use super::writer::{Relation, Writer};
use super::{Error, Result};
use crate::model::maintenance::{Holder, TableState, Vacuumed};

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_secs(2);

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// As `pg_stat_progress_vacuum` calls it.
    pub phase: String,
    /// Pages of the table.
    pub pages: u64,
    /// Pages that were looked at.
    pub scanned: u64,
}

/// Vacuums a table and reads its columns' statistics anew. `reading` is how a second session asks how far
/// it is; `tell` hears of it every two seconds.
///
/// # Errors
/// [`Error::NotOwner`] before anything is done; those of the server.
pub async fn vacuum(
    writer: &Writer,
    table: &Relation,
    reading: &Options,
    tell: &mut (dyn FnMut(Progress) + Send),
) -> Result<Vacuumed> {
    if !table.may_vacuum {
        // The server would only warn, and leave the table as it is.
        return Err(Error::NotOwner {
            role: writer.role().to_owned(),
            table: table.quoted.clone(),
            owner: table.owner.clone(),
            cure: format!(
                "GRANT MAINTAIN ON {} TO it (PostgreSQL 17), or make it a member of {}",
                table.quoted, table.owner
            ),
        });
    }
    let before = state(writer, table).await?;
    let began = tokio::time::Instant::now();
    let sql = format!(
        "vacuum (analyze, parallel 0) /* plimsoll */ {}",
        table.quoted
    );
    {
        let work = writer.simple(&sql);
        tokio::pin!(work);
        let mut watching = None;
        loop {
            tokio::select! {
                done = &mut work => break done?,
                () = tokio::time::sleep(LOOK) => {
                    if let Some(progress) = look(&mut watching, reading, writer.pid()).await {
                        tell(progress);
                    }
                }
            }
        }
    }
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let after = settled(writer, table, &before).await?;
    let held_by = if after.dead_rows > 0 {
        holder(writer).await?
    } else {
        None
    };
    Ok(Vacuumed {
        table: table.quoted.clone(),
        before,
        after,
        took_ms,
        held_by,
    })
}

/// How far the session `pid` is; what cannot be read is not told.
async fn look(watching: &mut Option<Session>, reading: &Options, pid: i32) -> Option<Progress> {
    let sql = "select /* plimsoll */ p.phase, p.heap_blks_total, p.heap_blks_scanned \
               from pg_catalog.pg_stat_progress_vacuum p where p.pid = $1";
    if watching.is_none() {
        *watching = Session::open(reading).await.ok();
    }
    let session = watching.as_mut()?;
    let read = async {
        session.begin().await?;
        let rows = session.rows("progress", sql, &[(&pid, Type::INT4)]).await?;
        session.end().await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let cells = Cells::new("progress", row);
        Ok::<_, Error>(Some(Progress {
            phase: cells.text(0)?,
            pages: cells.count(1)?,
            scanned: cells.count(2)?,
        }))
    };
    if let Ok(progress) = read.await {
        return progress;
    }
    *watching = None;
    None
}

/// Sizes and counts of a table, its partitions added up.
///
/// # Errors
/// Those of the server.
pub(super) async fn state(writer: &Writer, table: &Relation) -> Result<TableState> {
    let sql = "select /* plimsoll */ \
               coalesce(sum(s.n_live_tup), 0)::int8, coalesce(sum(s.n_dead_tup), 0)::int8, \
               coalesce(sum(s.n_mod_since_analyze), 0)::int8, \
               coalesce(sum(pg_catalog.pg_table_size(c.oid)), 0)::int8, \
               coalesce(sum(pg_catalog.pg_indexes_size(c.oid)), 0)::int8, \
               coalesce(max(pg_catalog.age(c.relfrozenxid)), 0)::int8 \
               from (select $1::oid as oid union \
                     select t.relid::oid from pg_catalog.pg_partition_tree($1::oid::regclass) t) p \
               join pg_catalog.pg_class c on c.oid = p.oid and c.relkind in ('r', 'm') \
               left join pg_catalog.pg_stat_all_tables s on s.relid = c.oid";
    let rows = writer
        .rows("the table's state", sql, &[(&table.oid, Type::OID)])
        .await?;
    let Some(row) = rows.first() else {
        return Err(Error::Shape {
            part: "the table's state",
            detail: "no row".to_owned(),
        });
    };
    let cells = Cells::new("the table's state", row);
    Ok(TableState {
        live_rows: cells.count(0)?,
        dead_rows: cells.count(1)?,
        changed_rows: cells.count(2)?,
        table_bytes: cells.count(3)?,
        index_bytes: cells.count(4)?,
        xid_age: cells.count(5)?,
    })
}

/// The state once the statistics have heard of the end: servers before 15 are told by datagram.
async fn settled(writer: &Writer, table: &Relation, before: &TableState) -> Result<TableState> {
    let mut after = state(writer, table).await?;
    for _ in 0..20 {
        if after.changed_rows == 0 || after != *before {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        after = state(writer, table).await?;
    }
    Ok(after)
}

/// Who has the oldest snapshot of this database.
async fn holder(writer: &Writer) -> Result<Option<Holder>> {
    let sql = "select /* plimsoll */ a.pid, coalesce(a.application_name, ''), coalesce(a.state, ''), \
               (extract(epoch from pg_catalog.now() - a.xact_start) * 1000)::int8 \
               from pg_catalog.pg_stat_activity a \
               where (a.backend_xmin is not null or a.backend_xid is not null) \
               and a.pid <> pg_catalog.pg_backend_pid() \
               and a.datname = pg_catalog.current_database() \
               order by pg_catalog.age(coalesce(a.backend_xmin, a.backend_xid)) desc limit 1";
    let rows = writer.rows("who holds rows back", sql, &[]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let cells = Cells::new("who holds rows back", row);
    Ok(Some(Holder {
        pid: cells.get(0)?,
        application: cells.text(1)?,
        state: cells.text(2)?,
        open_ms: cells.count(3)?,
    }))
}

/// Tables of which more than a tenth, and more than 1,000 rows, are dead or have changed since the last
/// `ANALYZE`, and which the role may vacuum: those with most such rows first, as SQL writes them.
///
/// # Errors
/// Those of the server.
pub async fn wanting(writer: &Writer, most: usize) -> Result<Vec<String>> {
    let sql = format!(
        "select /* plimsoll */ \
         pg_catalog.quote_ident(s.schemaname) || '.' || pg_catalog.quote_ident(s.relname) \
         from pg_catalog.pg_stat_user_tables s \
         join pg_catalog.pg_class c on c.oid = s.relid and c.relpersistence <> 't' \
         where greatest(s.n_dead_tup, s.n_mod_since_analyze) > 1000 \
         and 10 * greatest(s.n_dead_tup, s.n_mod_since_analyze) > s.n_live_tup \
         and {may_vacuum} \
         order by greatest(s.n_dead_tup, s.n_mod_since_analyze) desc limit $1",
        may_vacuum = writer.may_vacuum(),
    );
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = writer
        .rows("tables that want it", &sql, &[(&most, Type::INT8)])
        .await?;
    rows.iter()
        .map(|row| Cells::new("tables that want it", row).text(0))
        .collect()
}
