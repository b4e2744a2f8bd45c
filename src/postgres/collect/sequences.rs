//! Sequences and identity columns: how much of the range is used up.
//!
//! Read in every tenth cycle: each one has to be opened, and none runs out within minutes. One that
//! begins anew after its last number (`CYCLE`) never runs out.

use std::collections::BTreeSet;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::model::database::{Sequence, SequenceColumn};
use crate::model::series::{Labels, Metric, Sample};
use crate::postgres::capability::Capability;
use crate::postgres::read::Cells;
use crate::postgres::session::Session;
use crate::postgres::{Error, MARKER, Result};

const PART: &str = "sequences";

/// Cycles between two readings.
const EVERY: u64 = 10;
/// How often a reading is tried while sequences vanish.
const TRIES: u32 = 4;
/// How many series are given: those nearest to their end.
const SERIES_CAP: usize = 100;

const USED: Metric = Metric::gauge(
    "pg_sequence_used_ratio",
    "Share of a sequence's range that is used up, or of its column's type if that is smaller.",
)
.exact_to(1e-6);

pub(super) const METRICS: &[&Metric] = &[&USED];

/// Sequences as last read.
#[derive(Debug, Default)]
pub(crate) struct Sequences {
    list: Vec<Sequence>,
    read_in: Option<u64>,
}

/// One that is dropped between the question whether it is there and its reading fails them all; at the
/// next try it is known to be gone.
async fn patient(
    session: &mut Session,
    sql: &str,
    untouchable: &BTreeSet<u32>,
) -> Result<Vec<Row>> {
    let skip: Vec<u32> = untouchable.iter().copied().collect();
    let params = [(&skip as _, Type::OID_ARRAY)];
    let mut tries = 0;
    loop {
        tries += 1;
        match session.rows(PART, sql, &params).await {
            Err(Error::Query { .. }) if tries < TRIES => {}
            read => return read,
        }
    }
}

impl Sequences {
    /// Reads all sequences, if it is time to. Those in `untouchable` are left out.
    pub(crate) async fn refresh(
        &mut self,
        session: &mut Session,
        (cycle, in_recovery): (u64, bool),
        untouchable: &BTreeSet<u32>,
    ) -> Result<()> {
        if self.read_in.is_some_and(|read| cycle < read + EVERY) {
            return Ok(());
        }
        // An unlogged sequence has no content on a standby.
        let unlogged = if in_recovery {
            "and c.relpersistence <> 'u'"
        } else {
            ""
        };
        let sql = format!(
            "select {MARKER} n.nspname::text, c.relname::text, \
             case when has_sequence_privilege(c.oid, 'SELECT,USAGE') \
             then pg_sequence_last_value(c.oid) end, \
             case when s.seqincrement > 0 then least(s.seqmax, case a.atttypid \
             when 'int2'::regtype then 32767 when 'int4'::regtype then 2147483647 end) \
             else greatest(s.seqmin, case a.atttypid \
             when 'int2'::regtype then -32768 when 'int4'::regtype then -2147483648 end) end, \
             tn.nspname::text, t.relname::text, a.attname::text, \
             a.atttypid in ('int2'::regtype, 'int4'::regtype), d.deptype = 'i', \
             case when s.seqincrement > 0 then s.seqmin else s.seqmax end \
             from pg_sequence s join pg_class c on c.oid = s.seqrelid \
             join pg_namespace n on n.oid = c.relnamespace \
             left join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = c.oid \
             and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i') \
             and d.refobjsubid > 0 \
             left join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid \
             left join pg_class t on t.oid = d.refobjid \
             left join pg_namespace tn on tn.oid = t.relnamespace \
             where c.relpersistence <> 't' {unlogged} and not s.seqcycle \
             and c.oid <> all ($1)"
        );
        let rows = patient(session, &sql, untouchable).await?;
        let mut list = Vec::new();
        for row in rows {
            let cells = Cells::new(PART, &row);
            let column = match cells.get::<Option<String>>(6)? {
                Some(name) => Some(SequenceColumn {
                    schema: cells.text(4)?,
                    table: cells.text(5)?,
                    name,
                    is_narrow: cells.get(7)?,
                    is_identity: cells.get(8)?,
                }),
                None => None,
            };
            list.push(Sequence {
                schema: cells.text(0)?,
                name: cells.text(1)?,
                last_value: cells.get(2)?,
                max_value: cells.get(3)?,
                first_value: cells.get(9)?,
                column,
            });
        }
        let used = |s: &Sequence| s.used_ratio().unwrap_or(0.0);
        list.sort_by(|a, b| used(b).total_cmp(&used(a)));
        self.list = list;
        self.read_in = Some(cycle);
        Ok(())
    }

    /// As last read, nearest to its end first.
    pub(crate) fn list(&self) -> &[Sequence] {
        &self.list
    }

    /// Forget what was read: it may be another server now.
    pub(crate) fn forget(&mut self) {
        self.read_in = None;
    }

    /// The series.
    pub(crate) fn samples(&self, able: &Capability) -> Vec<Sample> {
        let known = self.list.iter().take(SERIES_CAP);
        known
            .filter_map(|sequence| {
                let used = sequence.used_ratio()?;
                let labels = Labels::none()
                    .with("datname", able.database.as_str())
                    .with("schemaname", sequence.schema.as_str())
                    .with("sequencename", sequence.name.as_str());
                Some(USED.sample(labels, used))
            })
            .collect()
    }
}
