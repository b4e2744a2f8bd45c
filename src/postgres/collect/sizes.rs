//! Sizes on disk: of relations, exact but only where something may have changed, and of databases.
//!
//! Each size costs the server an open relation and several `stat` calls, so a size is read again
//! when the relation's write counters, its pages or its file changed, and else once in
//! [`ROUND`] cycles. What is small and was not written to since VACUUM or ANALYZE counted its pages is
//! taken from that count until its turn comes. Relations under an ACCESS EXCLUSIVE lock are not asked
//! for.

use std::collections::{BTreeSet, HashMap};

use tokio_postgres::types::Type;

use super::BlindSpots;
use crate::model::database::Database;
use crate::model::series::{Labels, Metric, Sample};
use crate::postgres::capability::{Capability, quote};
use crate::postgres::read::Cells;
use crate::postgres::session::Session;
use crate::postgres::{MARKER, Result};

const PART: &str = "sizes";

/// Cycles within which every size is read at least once.
const ROUND: u64 = 60;
/// The same for databases, which are fewer and cost more each.
const DATABASE_ROUND: u64 = 10;
/// Rows written to a database from which on its size is read before its turn.
const WRITES_MIN: u64 = 1_000;
/// Relations asked for in one statement, so that none comes near the statement timeout.
pub(super) const CHUNK: usize = 500;

const DATABASE_BYTES: Metric =
    Metric::gauge("pg_database_size_bytes", "Size of the database on disk.").exact_to(1.0);
const XID_AGE: Metric = Metric::gauge(
    "pg_database_xid_age",
    "Transactions since the oldest unfrozen transaction id of the database.",
)
.exact_to(1.0);
const MXID_AGE: Metric = Metric::gauge(
    "pg_database_mxid_age",
    "Multixacts since the oldest multixact id of the database.",
)
.exact_to(1.0);

pub(super) const METRICS: &[&Metric] = &[&DATABASE_BYTES, &XID_AGE, &MXID_AGE];

/// Whether `oid` comes up in `cycle`, once in `round`: about as many in each.
pub(super) fn is_turn(oid: u32, cycle: u64, round: u64) -> bool {
    // Oids of one kind lie a fixed step apart, so they are scattered first (Knuth's multiplier).
    let scattered = u64::from(oid.wrapping_mul(2_654_435_769) >> 8);
    scattered % round == cycle % round
}

/// A relation whose size is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) oid: u32,
    /// Differs when the size may differ.
    pub(crate) stamp: u64,
    /// What the catalog tells of one that is small and was not written to; else `None`.
    pub(crate) told: Option<Size>,
    pub(crate) is_index: bool,
}

/// Pages from which on a size is always read: a megabyte.
pub(super) const SMALL_PAGES: u64 = 128;

/// Bytes of one relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Its main file alone.
    pub(crate) main: u64,
    /// With its maps and, of a table, its TOAST table.
    pub(crate) total: u64,
}

/// Sizes of relations as last read.
#[derive(Debug, Default)]
pub(crate) struct Sizes(HashMap<u32, (Size, u64)>);

impl Sizes {
    /// Reads what changed, what is new, and what comes up by turns.
    pub(crate) async fn refresh(
        &mut self,
        session: &mut Session,
        wanted: &[Wanted],
        untouchable: &BTreeSet<u32>,
        cycle: u64,
    ) -> Result<()> {
        let stamps: HashMap<u32, u64> = wanted.iter().map(|w| (w.oid, w.stamp)).collect();
        self.0.retain(|oid, _| stamps.contains_key(oid));
        for w in wanted {
            if let Some(told) = w.told {
                self.0.entry(w.oid).or_insert((told, w.stamp));
            }
        }
        let due: Vec<&Wanted> = wanted
            .iter()
            .filter(|w| {
                let known = self
                    .0
                    .get(&w.oid)
                    .is_some_and(|(_, stamp)| *stamp == w.stamp);
                // In the first cycle nothing has had its turn, nor need it have.
                !known || (cycle > 0 && is_turn(w.oid, cycle, ROUND))
            })
            .filter(|w| !untouchable.contains(&w.oid))
            .collect();
        for is_index in [false, true] {
            let kind = due.iter().filter(|w| w.is_index == is_index);
            let oids: Vec<u32> = kind.map(|w| w.oid).collect();
            self.read(session, (&oids, is_index), &stamps).await?;
        }
        Ok(())
    }

    async fn read(
        &mut self,
        session: &mut Session,
        (oids, is_index): (&[u32], bool),
        stamps: &HashMap<u32, u64>,
    ) -> Result<()> {
        // Each map is one more file to look for; an index has its main file and next to nothing else.
        let total = if is_index {
            "null::int8"
        } else {
            "pg_table_size(o)"
        };
        let sql =
            format!("select {MARKER} o, pg_relation_size(o), {total} from unnest($1::oid[]) o");
        for chunk in oids.chunks(CHUNK) {
            let chunk = chunk.to_vec();
            for row in session
                .rows(PART, &sql, &[(&chunk as _, Type::OID_ARRAY)])
                .await?
            {
                let cells = Cells::new(PART, &row);
                let oid: u32 = cells.get(0)?;
                let main = cells.count(1)?;
                let size = Size {
                    main,
                    total: cells.count(2)?.max(main),
                };
                let stamp = stamps.get(&oid).copied().unwrap_or(0);
                self.0.insert(oid, (size, stamp));
            }
        }
        Ok(())
    }

    /// Nothing was read yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The size of `oid`; from its page count where it was never read.
    pub(crate) fn of(&self, oid: u32, estimate: u64) -> Size {
        let estimate = Size {
            main: estimate,
            total: estimate,
        };
        self.0.get(&oid).map_or(estimate, |(size, _)| *size)
    }
}

/// Sizes of databases as last read, with the writes counted then.
#[derive(Debug, Default)]
pub(crate) struct DatabaseSizes(HashMap<u32, (u64, i64)>);

struct Row {
    oid: u32,
    database: Database,
    is_readable: bool,
    writes: i64,
}

impl DatabaseSizes {
    /// All databases; sizes are read again where many rows were written, and else every few cycles.
    pub(crate) async fn read(
        &mut self,
        session: &mut Session,
        able: &Capability,
        cycle: u64,
        blind: &mut BlindSpots,
    ) -> Result<Vec<Database>> {
        let mut rows = databases(session, able).await?;
        let due: Vec<u32> = rows
            .iter()
            .filter(|row| row.is_readable)
            .filter(|row| {
                let turn = is_turn(row.oid, cycle, DATABASE_ROUND);
                let written = |writes: i64| row.writes.abs_diff(writes) >= WRITES_MIN;
                let known = self.0.get(&row.oid);
                turn || known.is_none_or(|(_, writes)| written(*writes))
            })
            .map(|row| row.oid)
            .collect();
        let sql = format!("select {MARKER} o, pg_database_size(o) from unnest($1::oid[]) o");
        if !due.is_empty() {
            for row in session
                .rows(PART, &sql, &[(&due as _, Type::OID_ARRAY)])
                .await?
            {
                let cells = Cells::new(PART, &row);
                let oid: u32 = cells.get(0)?;
                let writes = rows
                    .iter()
                    .find(|row| row.oid == oid)
                    .map_or(0, |row| row.writes);
                self.0.insert(oid, (cells.count(1)?, writes));
            }
        }
        self.0
            .retain(|oid, _| rows.iter().any(|row| row.oid == *oid));
        let hidden: Vec<String> = rows
            .iter()
            .filter(|row| !row.is_readable)
            .map(|row| quote(&row.database.name))
            .collect();
        if hidden.is_empty() {
            blind.clear("database sizes");
        } else {
            let role = quote(&able.role);
            blind.note(
                "database sizes",
                format!("the role may not connect to {}", hidden.join(", ")),
                format!("GRANT pg_monitor TO {role};"),
            );
        }
        for row in &mut rows {
            row.database.size_bytes = self.0.get(&row.oid).map(|(size, _)| *size);
        }
        Ok(rows.into_iter().map(|row| row.database).collect())
    }
}

async fn databases(session: &mut Session, able: &Capability) -> Result<Vec<Row>> {
    let sql = format!(
        "select {MARKER} d.oid, d.datname::text, age(d.datfrozenxid)::int8, \
         mxid_age(d.datminmxid)::int8, has_database_privilege(d.oid, 'CONNECT'), \
         pg_stat_get_db_tuples_inserted(d.oid) + pg_stat_get_db_tuples_updated(d.oid) \
         + pg_stat_get_db_tuples_deleted(d.oid) from pg_database d order by d.datname"
    );
    let mut out = Vec::new();
    for row in session.rows(PART, &sql, &[]).await? {
        let cells = Cells::new(PART, &row);
        out.push(Row {
            oid: cells.get(0)?,
            database: Database {
                name: cells.text(1)?,
                size_bytes: None,
                xid_age: cells.count(2)?,
                mxid_age: cells.count(3)?,
            },
            is_readable: able.reads_all_stats || cells.get(4)?,
            writes: cells.get::<Option<i64>>(5)?.unwrap_or(0),
        });
    }
    Ok(out)
}

/// Series of all databases.
pub(crate) fn database_samples(databases: &[Database]) -> Vec<Sample> {
    let mut out = Vec::with_capacity(databases.len() * 3);
    for database in databases {
        let labels = Labels::none().with("datname", database.name.as_str());
        if let Some(size) = database.size_bytes {
            out.push(DATABASE_BYTES.sample(labels.clone(), size as f64));
        }
        out.push(XID_AGE.sample(labels.clone(), database.xid_age as f64));
        out.push(MXID_AGE.sample(labels, database.mxid_age as f64));
    }
    out
}
