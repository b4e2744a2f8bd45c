//! User indexes: `pg_stat_user_indexes`, `pg_index`, and definitions that are read once.

mod definition;
mod fixed;

use std::collections::{BTreeSet, HashMap};
use std::error::Error as StdError;

use tokio_postgres::types::{FromSql, Type};

pub(crate) use fixed::Fixed;

use super::sizes::{CHUNK, is_turn};
use super::tables::FIRST_USER_OID;
use super::{Field, View};
use crate::model::database::Index;
use crate::model::series::{Labels, Metric, Sample};
use crate::postgres::capability::{Capability, V16};
use crate::postgres::read::Cells;
use crate::postgres::session::{Session, VANISHED};
use crate::postgres::{Error, MARKER, Result};

const PART: &str = "indexes";

const IDX_TUP_FETCH: Field = Field::new(
    "pg_stat_get_tuples_fetched(c.oid)",
    Metric::counter(
        "pg_index_idx_tup_fetch_total",
        "Live rows fetched by simple scans of the index.",
    ),
);
const IDX_SCAN: Field = Field::new(
    "pg_stat_get_numscans(c.oid)",
    Metric::counter("pg_index_idx_scan_total", "Scans of the index."),
);
const IDX_TUP_READ: Field = Field::new(
    "pg_stat_get_tuples_returned(c.oid)",
    Metric::counter(
        "pg_index_idx_tup_read_total",
        "Entries returned by scans of the index.",
    ),
);
const BYTES: Metric = Metric::gauge("pg_index_bytes", "Size of the index.").exact_to(1.0);

pub(super) const METRICS: &[&Metric] = &[&BYTES];

pub(super) const VIEW: View = View {
    part: PART,
    labels: &[],
    from: "pg_class c",
    fields: &[IDX_SCAN, IDX_TUP_READ, IDX_TUP_FETCH],
};

/// Cycles within which every definition is read again: a renamed column leaves no other trace.
const ROUND: u64 = 120;

/// A row version's transaction id: differs when the row was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Xid(u32);

impl<'a> FromSql<'a> for Xid {
    fn from_sql(
        _: &Type,
        raw: &'a [u8],
    ) -> std::result::Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(u32::from_be_bytes(raw.try_into()?)))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::XID
    }
}

/// One index, and what its series are made of.
#[derive(Debug, Clone)]
pub(crate) struct IndexRow {
    pub(crate) index: Index,
    pub(crate) pages: u64,
    /// `pg_class.relfilenode`.
    pub(crate) file: u32,
    pub(crate) is_partition: bool,
    pub(crate) idx_tup_fetch: u64,
    versions: (Xid, Xid),
}

/// Reads all indexes of user tables; definitions, names of tables and sizes come later.
pub(crate) async fn read(
    session: &mut Session,
    able: &Capability,
    (fixed, cycle): (&mut Fixed, u64),
) -> Result<Vec<IndexRow>> {
    const FIRST_FIELD: usize = 4;
    let last_scan = if able.is_at_least(V16) {
        "pg_stat_get_lastscan(c.oid)"
    } else {
        "null::timestamptz"
    };
    let columns = VIEW.columns(able.version_num).join(", ");
    let sql = format!(
        "select {MARKER} c.oid, c.xmin, c.relpages, {last_scan}, {columns} from {} \
         where c.oid >= {FIRST_USER_OID} and c.relkind = 'i' and c.relpersistence <> 't' \
         and c.relnamespace <> 'pg_toast'::regnamespace",
        VIEW.from
    );
    let rows = session.rows(PART, &sql, &[]).await?;
    let present: Vec<(u32, Xid)> = rows
        .iter()
        .map(|row| {
            let cells = Cells::new(PART, row);
            Ok((cells.get(0)?, cells.get(1)?))
        })
        .collect::<Result<_>>()?;
    fixed.refresh(session, &present, cycle).await?;
    let under_way = if fixed.has_invalid() {
        under_way(session).await?
    } else {
        BTreeSet::new()
    };
    let mut out = Vec::with_capacity(rows.len());
    for (row, (oid, _)) in rows.iter().zip(&present) {
        // One that was dropped between the two readings is gone.
        let Some(entry) = fixed.get(*oid) else {
            continue;
        };
        let cells = Cells::new(PART, row);
        let mut index = entry.index.clone();
        index.is_building = under_way.contains(oid);
        index.last_idx_scan = cells.time(3)?;
        index.idx_scan = cells.count(FIRST_FIELD)?;
        index.idx_tup_read = cells.count(FIRST_FIELD + 1)?;
        out.push(IndexRow {
            index,
            pages: u64::try_from(cells.get::<i32>(2)?).unwrap_or(0),
            file: entry.file,
            is_partition: entry.is_partition,
            idx_tup_fetch: cells.count(FIRST_FIELD + 2)?,
            versions: entry.versions,
        });
    }
    Ok(out)
}

/// Indexes that are being built at this moment, those of REINDEX as well.
async fn under_way(session: &mut Session) -> Result<BTreeSet<u32>> {
    let sql = format!(
        "select {MARKER} index_relid from pg_stat_progress_create_index \
         where index_relid is not null and index_relid <> 0"
    );
    let rows = session.rows(PART, &sql, &[]).await?;
    rows.iter()
        .map(|row| Cells::new(PART, row).get(0))
        .collect()
}

/// What an index is, as long as nobody changes it.
#[derive(Debug, Clone)]
struct Known {
    versions: (Xid, Xid),
    /// Schema, table and index: renaming a table changes none of the index's own rows.
    names: (String, String, String),
    method: String,
    definition: String,
    parts: definition::Parts,
}

fn names(index: &Index) -> (String, String, String) {
    (
        index.schema.clone(),
        index.table.clone(),
        index.name.clone(),
    )
}

/// Definitions by index, read when an index is new or changed, and by turns.
#[derive(Debug, Default)]
pub(crate) struct Definitions(HashMap<u32, Known>);

impl Definitions {
    /// Reads what is missing and fills in every index that is known then.
    ///
    /// To deparse an expression the server locks the table, so those in `untouchable` are left as
    /// they are known.
    pub(crate) async fn complete(
        &mut self,
        session: &mut Session,
        rows: &mut [IndexRow],
        untouchable: &BTreeSet<u32>,
        cycle: u64,
    ) -> Result<()> {
        let due: Vec<u32> = rows
            .iter()
            .filter(|row| {
                let known = self.0.get(&row.index.oid);
                known.is_none_or(|k| k.versions != row.versions || k.names != names(&row.index))
                    || is_turn(row.index.oid, cycle, ROUND)
            })
            .filter(|row| {
                ![row.index.oid, row.index.table_oid]
                    .iter()
                    .any(|o| untouchable.contains(o))
            })
            .map(|row| row.index.oid)
            .collect();
        let outcome = self.fetch(session, &due, rows).await;
        for row in rows.iter_mut() {
            if let Some(known) = self.0.get(&row.index.oid) {
                row.index.method.clone_from(&known.method);
                row.index.definition.clone_from(&known.definition);
                row.index.keys.clone_from(&known.parts.keys);
                row.index.include.clone_from(&known.parts.include);
                row.index.predicate.clone_from(&known.parts.predicate);
            }
        }
        let present: BTreeSet<u32> = rows.iter().map(|row| row.index.oid).collect();
        self.0.retain(|oid, _| present.contains(oid));
        outcome
    }

    /// A relation that is dropped while its definition is written fails the statement for all of
    /// them: the halves are asked again, until the one that is gone is alone.
    async fn fetch(&mut self, session: &mut Session, due: &[u32], rows: &[IndexRow]) -> Result<()> {
        let rows: HashMap<u32, &IndexRow> = rows.iter().map(|row| (row.index.oid, row)).collect();
        let mut left: Vec<&[u32]> = due.chunks(CHUNK).collect();
        while let Some(oids) = left.pop() {
            match self.ask(session, oids, &rows).await {
                Err(Error::Query { code, .. }) if code == VANISHED => {
                    if oids.len() > 1 {
                        let (first, second) = oids.split_at(oids.len() / 2);
                        left.extend([first, second]);
                    }
                }
                outcome => outcome?,
            }
        }
        Ok(())
    }

    async fn ask(
        &mut self,
        session: &mut Session,
        oids: &[u32],
        rows: &HashMap<u32, &IndexRow>,
    ) -> Result<()> {
        let sql = format!(
            "select {MARKER} c.oid, m.amname::text, pg_get_indexdef(c.oid) \
             from pg_class c join pg_am m on m.oid = c.relam where c.oid = any ($1)"
        );
        let param = (&oids as _, Type::OID_ARRAY);
        for answer in session.rows(PART, &sql, &[param]).await? {
            let cells = Cells::new(PART, &answer);
            let oid: u32 = cells.get(0)?;
            let text = cells.text(2)?;
            if let Some(row) = rows.get(&oid) {
                let known = Known {
                    versions: row.versions,
                    names: names(&row.index),
                    method: cells.text(1)?,
                    parts: definition::parts(&text),
                    definition: text,
                };
                self.0.insert(oid, known);
            }
        }
        Ok(())
    }
}

/// The series of one index.
pub(crate) fn samples(row: &IndexRow, able: &Capability) -> Vec<Sample> {
    let index = &row.index;
    let labels = Labels::none()
        .with("datname", able.database.as_str())
        .with("schemaname", index.schema.as_str())
        .with("relname", index.table.as_str())
        .with("indexrelname", index.name.as_str());
    [
        (&IDX_SCAN.metric, index.idx_scan),
        (&IDX_TUP_READ.metric, index.idx_tup_read),
        (&IDX_TUP_FETCH.metric, row.idx_tup_fetch),
        (&BYTES, index.size_bytes),
    ]
    .into_iter()
    .map(|(metric, value)| metric.sample(labels.clone(), value as f64))
    .collect()
}
