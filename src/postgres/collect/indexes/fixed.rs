//! What an index is, apart from its counters: read again only when somebody changed a definition.
//!
//! Joining `pg_index` to `pg_class` and sending names and flags costs the server more than the
//! counters do, so a fingerprint of both catalogs decides whether it is done. Indexes that come, go or
//! are renamed are noticed at once by their row versions; what changes in `pg_index` or in constraints
//! alone within [`ROUND`] cycles, or at once while an index is invalid.

use std::collections::HashMap;

use super::Xid;
use crate::model::database::Index;
use crate::postgres::collect::tables::FIRST_USER_OID;
use crate::postgres::read::Cells;
use crate::postgres::session::Session;
use crate::postgres::{MARKER, Result};

const PART: &str = "indexes";

/// Cycles between two fingerprints while nothing else tells of a change.
const ROUND: u64 = 5;

/// One index without its counters.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) index: Index,
    pub(super) file: u32,
    pub(super) is_partition: bool,
    /// Row versions in `pg_index` and `pg_class`.
    pub(super) versions: (Xid, Xid),
}

/// Indexes by oid, as of a fingerprint.
#[derive(Debug, Default)]
pub(crate) struct Fixed {
    fingerprint: Option<(i64, i64)>,
    entries: HashMap<u32, Entry>,
}

impl Fixed {
    /// Reads all indexes again, unless nothing has changed. `present` are the row versions of the
    /// indexes in `pg_class`.
    pub(super) async fn refresh(
        &mut self,
        session: &mut Session,
        present: &[(u32, Xid)],
        cycle: u64,
    ) -> Result<()> {
        let known = |(oid, version): &(u32, Xid)| {
            let entry = self.entries.get(oid);
            entry.is_some_and(|entry| entry.versions.1 == *version)
        };
        let is_known = self.fingerprint.is_some() && present.iter().all(known);
        if is_known && !cycle.is_multiple_of(ROUND) && !self.has_invalid() {
            return Ok(());
        }
        let fingerprint = fingerprint(session).await?;
        if is_known && self.fingerprint == Some(fingerprint) {
            return Ok(());
        }
        let sql = format!(
            "select {MARKER} i.indexrelid, i.indrelid, c.relname::text, c.relfilenode, \
             i.indisunique, i.indisprimary, i.indisvalid, i.indisreplident, \
             i.indexrelid in (select conindid from pg_constraint), i.xmin, c.xmin, \
             c.relispartition from pg_index i join pg_class c on c.oid = i.indexrelid \
             where i.indexrelid >= {FIRST_USER_OID}"
        );
        let mut entries = HashMap::new();
        for row in session.rows(PART, &sql, &[]).await? {
            let cells = Cells::new(PART, &row);
            let index = Index {
                oid: cells.get(0)?,
                table_oid: cells.get(1)?,
                name: cells.text(2)?,
                is_unique: cells.get(4)?,
                is_primary: cells.get(5)?,
                is_valid: cells.get(6)?,
                is_replica_identity: cells.get(7)?,
                is_constraint: cells.get(8)?,
                ..Index::default()
            };
            let entry = Entry {
                file: cells.get(3)?,
                versions: (cells.get(9)?, cells.get(10)?),
                is_partition: cells.get(11)?,
                index,
            };
            entries.insert(entry.index.oid, entry);
        }
        *self = Self {
            fingerprint: Some(fingerprint),
            entries,
        };
        Ok(())
    }

    /// Whether any of them is broken, or being built.
    pub(super) fn has_invalid(&self) -> bool {
        self.entries.values().any(|entry| !entry.index.is_valid)
    }

    pub(super) fn get(&self, oid: u32) -> Option<&Entry> {
        self.entries.get(&oid)
    }
}

/// Differs when a row of `pg_index`, or a constraint with an index, was added, changed or removed.
async fn fingerprint(session: &mut Session) -> Result<(i64, i64)> {
    let sql = format!(
        "select {MARKER} (select coalesce(sum(hashint8((xmin::text::int8 << 32) \
         + indexrelid::int8)), 0)::int8 from pg_index where indexrelid >= {FIRST_USER_OID}), \
         (select coalesce(sum(hashint8((xmin::text::int8 << 32) + conindid::int8)), 0)::int8 \
         from pg_constraint where conindid <> 0)"
    );
    let rows = session.rows(PART, &sql, &[]).await?;
    let row = rows.first().map(|row| Cells::new(PART, row));
    row.map_or(Ok((0, 0)), |cells| Ok((cells.get(0)?, cells.get(1)?)))
}
