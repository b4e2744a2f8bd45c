//! User tables: `pg_stat_user_tables` and what `pg_class` knows.
//!
//! Read through the functions beneath the view: the view joins and sums the indexes of each table,
//! which `indexes` reads anyway.

use super::indexes::IndexRow;
use super::sizes::{SMALL_PAGES, Size};
use super::{Field, View};
use crate::model::database::Table;
use crate::model::series::{Labels, Metric, Sample};
use crate::postgres::capability::Capability;
use crate::postgres::read::Cells;
use crate::postgres::session::Session;
use crate::postgres::{MARKER, Result};

const PART: &str = "tables";

/// Oids below are the system's own (`FirstNormalObjectId` of the server's sources).
pub(super) const FIRST_USER_OID: u32 = 16_384;

pub(super) const IDX_SCAN: Metric =
    Metric::counter("pg_table_idx_scan_total", "Index scans on the table.");
pub(super) const IDX_TUP_FETCH: Metric = Metric::counter(
    "pg_table_idx_tup_fetch_total",
    "Live rows fetched by index scans.",
);
pub(super) const ROW_ESTIMATE: Metric = Metric::gauge(
    "pg_table_rows",
    "Rows as last estimated by VACUUM or ANALYZE.",
)
.exact_to(1.0);
const TOTAL_BYTES: Metric =
    Metric::gauge("pg_table_total_bytes", "Heap, TOAST, maps and indexes.").exact_to(1.0);
const TABLE_BYTES: Metric = Metric::gauge("pg_table_heap_bytes", "The heap alone.").exact_to(1.0);
const INDEX_BYTES: Metric =
    Metric::gauge("pg_table_index_bytes", "All indexes of the table.").exact_to(1.0);
const XID_AGE: Metric = Metric::gauge(
    "pg_table_xid_age",
    "Transactions since the oldest unfrozen transaction id of the table.",
)
.exact_to(1.0);

pub(super) const METRICS: &[&Metric] = &[
    &IDX_SCAN,
    &IDX_TUP_FETCH,
    &ROW_ESTIMATE,
    &TOTAL_BYTES,
    &TABLE_BYTES,
    &INDEX_BYTES,
    &XID_AGE,
];

const fn count(sql: &'static str, name: &'static str, help: &'static str) -> Field {
    Field::new(sql, Metric::counter(name, help))
}

const fn gauge(sql: &'static str, name: &'static str, help: &'static str) -> Field {
    Field::new(sql, Metric::gauge(name, help))
}

const SEQ_SCAN: Field = count(
    "pg_stat_get_numscans(c.oid)",
    "pg_table_seq_scan_total",
    "Sequential scans of the table.",
)
.like("pg_stat_user_tables_seq_scan");
const SEQ_TUP_READ: Field = count(
    "pg_stat_get_tuples_returned(c.oid)",
    "pg_table_seq_tup_read_total",
    "Live rows fetched by sequential scans.",
)
.like("pg_stat_user_tables_seq_tup_read");
const N_TUP_INS: Field = count(
    "pg_stat_get_tuples_inserted(c.oid)",
    "pg_table_n_tup_ins_total",
    "Rows inserted.",
)
.like("pg_stat_user_tables_n_tup_ins");
const N_TUP_UPD: Field = count(
    "pg_stat_get_tuples_updated(c.oid)",
    "pg_table_n_tup_upd_total",
    "Rows updated.",
)
.like("pg_stat_user_tables_n_tup_upd");
const N_TUP_DEL: Field = count(
    "pg_stat_get_tuples_deleted(c.oid)",
    "pg_table_n_tup_del_total",
    "Rows deleted.",
)
.like("pg_stat_user_tables_n_tup_del");
const N_TUP_HOT_UPD: Field = count(
    "pg_stat_get_tuples_hot_updated(c.oid)",
    "pg_table_n_tup_hot_upd_total",
    "Rows updated without a change to any index.",
)
.like("pg_stat_user_tables_n_tup_hot_upd");
const N_LIVE_TUP: Field = gauge(
    "pg_stat_get_live_tuples(c.oid)",
    "pg_table_n_live_tup",
    "Live rows, estimated.",
)
.like("pg_stat_user_tables_n_live_tup");
const N_DEAD_TUP: Field = gauge(
    "pg_stat_get_dead_tuples(c.oid)",
    "pg_table_n_dead_tup",
    "Dead rows, estimated.",
)
.like("pg_stat_user_tables_n_dead_tup");
const N_MOD_SINCE_ANALYZE: Field = gauge(
    "pg_stat_get_mod_since_analyze(c.oid)",
    "pg_table_n_mod_since_analyze",
    "Rows changed since the last ANALYZE, estimated.",
)
.like("pg_stat_user_tables_n_mod_since_analyze");
const LAST_VACUUM: Field = gauge(
    "pg_stat_get_last_vacuum_time(c.oid)",
    "pg_table_last_vacuum_time_seconds",
    "Last VACUUM by hand, in seconds since 1970.",
)
.like("pg_stat_user_tables_last_vacuum");
const LAST_AUTOVACUUM: Field = gauge(
    "pg_stat_get_last_autovacuum_time(c.oid)",
    "pg_table_last_autovacuum_time_seconds",
    "Last VACUUM by autovacuum, in seconds since 1970.",
)
.like("pg_stat_user_tables_last_autovacuum");
const LAST_ANALYZE: Field = gauge(
    "pg_stat_get_last_analyze_time(c.oid)",
    "pg_table_last_analyze_time_seconds",
    "Last ANALYZE by hand, in seconds since 1970.",
)
.like("pg_stat_user_tables_last_analyze");
const LAST_AUTOANALYZE: Field = gauge(
    "pg_stat_get_last_autoanalyze_time(c.oid)",
    "pg_table_last_autoanalyze_time_seconds",
    "Last ANALYZE by autovacuum, in seconds since 1970.",
)
.like("pg_stat_user_tables_last_autoanalyze");
const VACUUM_COUNT: Field = count(
    "pg_stat_get_vacuum_count(c.oid)",
    "pg_table_vacuum_total",
    "Times the table was vacuumed by hand.",
)
.like("pg_stat_user_tables_vacuum_count");
const AUTOVACUUM_COUNT: Field = count(
    "pg_stat_get_autovacuum_count(c.oid)",
    "pg_table_autovacuum_total",
    "Times the table was vacuumed by autovacuum.",
)
.like("pg_stat_user_tables_autovacuum_count");
const ANALYZE_COUNT: Field = count(
    "pg_stat_get_analyze_count(c.oid)",
    "pg_table_analyze_total",
    "Times the table was analysed by hand.",
)
.like("pg_stat_user_tables_analyze_count");
const AUTOANALYZE_COUNT: Field = count(
    "pg_stat_get_autoanalyze_count(c.oid)",
    "pg_table_autoanalyze_total",
    "Times the table was analysed by autovacuum.",
)
.like("pg_stat_user_tables_autoanalyze_count");
const HEAP_BLKS_READ: Field = count(
    "pg_stat_get_blocks_fetched(c.oid) - pg_stat_get_blocks_hit(c.oid)",
    "pg_table_heap_blks_read_total",
    "Blocks of the heap read from disk or OS cache.",
)
.like("pg_statio_user_tables_heap_blks_read");
const HEAP_BLKS_HIT: Field = count(
    "pg_stat_get_blocks_hit(c.oid)",
    "pg_table_heap_blks_hit_total",
    "Blocks of the heap found in shared buffers.",
)
.like("pg_statio_user_tables_heap_blks_hit");

pub(super) const VIEW: View = View {
    part: PART,
    labels: &[],
    from: "pg_class c",
    fields: &[
        SEQ_SCAN,
        SEQ_TUP_READ,
        N_TUP_INS,
        N_TUP_UPD,
        N_TUP_DEL,
        N_TUP_HOT_UPD,
        N_LIVE_TUP,
        N_DEAD_TUP,
        N_MOD_SINCE_ANALYZE,
        LAST_VACUUM,
        LAST_AUTOVACUUM,
        LAST_ANALYZE,
        LAST_AUTOANALYZE,
        VACUUM_COUNT,
        AUTOVACUUM_COUNT,
        ANALYZE_COUNT,
        AUTOANALYZE_COUNT,
        HEAP_BLKS_READ,
        HEAP_BLKS_HIT,
    ],
};

/// One table, and what its series are made of.
#[derive(Debug, Clone)]
pub(crate) struct TableRow {
    pub(crate) table: Table,
    pub(crate) pages: u64,
    /// Differs when the size may differ.
    pub(crate) stamp: u64,
    pub(crate) is_partition: bool,
    /// Pages of its TOAST table and one of that one's index; `None` where they were not asked for.
    toast_pages: Option<u64>,
    has_visible: bool,
    idx_tup_fetch: u64,
    samples: Vec<Sample>,
}

/// Reads all user tables and materialized views; pages of TOAST tables only where `sizes_are_new`.
pub(crate) async fn read(
    session: &mut Session,
    able: &Capability,
    sizes_are_new: bool,
) -> Result<Vec<TableRow>> {
    const FIRST_FIELD: usize = 12;
    // One look-up a table, which is only worth it while no size is known.
    let toast = if sizes_are_new {
        "(select t.relpages::int8 + 1 from pg_class t where t.oid = c.reltoastrelid)"
    } else {
        "null::int8"
    };
    let columns = VIEW.columns(able.version_num).join(", ");
    let sql = format!(
        "select {MARKER} c.oid, n.nspname::text, c.relname::text, c.reltuples, c.relpages::int8, \
         c.relfilenode, case when c.relfrozenxid::text <> '0' then age(c.relfrozenxid)::int8 end, \
         pg_stat_get_tuples_fetched(c.oid), coalesce(c.reloptions, '{{}}'), \
         c.relispartition, {toast}, c.relallvisible > 0, {columns} \
         from {} join pg_namespace n on n.oid = c.relnamespace \
         where c.relkind in ('r', 'm') and c.relpersistence <> 't' and c.oid >= {FIRST_USER_OID}",
        VIEW.from
    );
    let mut out = Vec::new();
    for row in session.rows(PART, &sql, &[]).await? {
        let cells = Cells::new(PART, &row);
        let mut table = Table {
            oid: cells.get(0)?,
            schema: cells.text(1)?,
            name: cells.text(2)?,
            xid_age: cells.count(6)?,
            options: cells.get(8)?,
            ..Table::default()
        };
        let pages = cells.count(4)?;
        let (tuples, file) = (cells.get::<f32>(3)?, cells.get::<u32>(5)?);
        // Before 14 a table that was never analysed says 0 rows in 0 pages.
        table.row_estimate =
            (tuples > 0.0 || (tuples == 0.0 && pages > 0)).then(|| f64::from(tuples));
        let labels = Labels::none()
            .with("datname", able.database.as_str())
            .with("schemaname", table.schema.as_str())
            .with("relname", table.name.as_str());
        let mut samples = Vec::with_capacity(VIEW.fields.len() + METRICS.len());
        VIEW.samples(&row, (able.version_num, FIRST_FIELD), &labels, &mut samples)?;
        let vacuums = fill(&mut table, &samples);
        let stamp = [
            pages,
            u64::from(file),
            vacuums,
            table.n_tup_ins,
            table.n_tup_upd,
        ]
        .iter()
        .fold(table.n_tup_del, |stamp, part| {
            stamp.rotate_left(13).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ part
        });
        out.push(TableRow {
            table,
            pages,
            stamp,
            is_partition: cells.get(9)?,
            toast_pages: sizes_are_new.then(|| cells.count(10)).transpose()?,
            has_visible: cells.get(11)?,
            idx_tup_fetch: cells.count(7)?,
            samples,
        });
    }
    Ok(out)
}

/// Takes the record's counters from the samples; gives how often the table was vacuumed.
fn fill(table: &mut Table, samples: &[Sample]) -> u64 {
    use crate::model::units::Timestamp;
    let find = |field: &Field| {
        let sample = samples
            .iter()
            .find(|s| s.series.metric == field.metric.name);
        sample.map(|s| s.value)
    };
    let count = |field| u64::try_from(crate::postgres::read::whole(find(field).unwrap_or(0.0)));
    let count = |field| count(field).unwrap_or(0);
    let time =
        |field| find(field).map(|s| Timestamp::from_millis(crate::postgres::read::whole(s * 1e3)));
    table.seq_scan = count(&SEQ_SCAN);
    table.seq_tup_read = count(&SEQ_TUP_READ);
    table.n_tup_ins = count(&N_TUP_INS);
    table.n_tup_upd = count(&N_TUP_UPD);
    table.n_tup_del = count(&N_TUP_DEL);
    table.n_tup_hot_upd = count(&N_TUP_HOT_UPD);
    table.n_live_tup = count(&N_LIVE_TUP);
    table.n_dead_tup = count(&N_DEAD_TUP);
    table.n_mod_since_analyze = count(&N_MOD_SINCE_ANALYZE);
    table.last_vacuum = time(&LAST_VACUUM);
    table.last_autovacuum = time(&LAST_AUTOVACUUM);
    table.last_analyze = time(&LAST_ANALYZE);
    table.last_autoanalyze = time(&LAST_AUTOANALYZE);
    count(&VACUUM_COUNT) + count(&AUTOVACUUM_COUNT)
}

impl TableRow {
    /// Adds what the table's indexes know: scans, rows fetched, bytes, primary key.
    pub(crate) fn add_index(&mut self, row: &IndexRow) {
        self.table.idx_scan += row.index.idx_scan;
        self.idx_tup_fetch += row.idx_tup_fetch;
        self.table.index_bytes += row.index.size_bytes;
        self.table.has_primary_key |= row.index.is_primary;
    }

    /// What the catalog tells of its size, if it is small and was not written to since it was counted.
    ///
    /// The maps take three pages and one.
    pub(crate) fn told(&self, page: u64) -> Option<Size> {
        const FREE_SPACE_FROM: u64 = 4;
        let table = &self.table;
        let is_small = (1..SMALL_PAGES).contains(&self.pages);
        let is_counted = table.row_estimate.is_some() && table.n_mod_since_analyze == 0;
        let toast = self.toast_pages.filter(|pages| *pages < SMALL_PAGES)?;
        let maps = u64::from(self.pages > FREE_SPACE_FROM) * 3 + u64::from(self.has_visible);
        (is_small && is_counted).then(|| Size {
            main: self.pages * page,
            total: (self.pages + maps + toast) * page,
        })
    }

    /// Scans and writes since the statistics were reset.
    pub(crate) fn activity(&self) -> u64 {
        let t = &self.table;
        t.seq_scan + t.idx_scan + t.n_tup_ins + t.n_tup_upd + t.n_tup_del
    }

    /// The table's series.
    pub(crate) fn samples(&mut self, able: &Capability) -> Vec<Sample> {
        let mut out = std::mem::take(&mut self.samples);
        let table = &self.table;
        let labels = Labels::none()
            .with("datname", able.database.as_str())
            .with("schemaname", table.schema.as_str())
            .with("relname", table.name.as_str());
        for (metric, value) in [
            (&IDX_SCAN, table.idx_scan),
            (&IDX_TUP_FETCH, self.idx_tup_fetch),
            (&TOTAL_BYTES, table.total_bytes),
            (&TABLE_BYTES, table.table_bytes),
            (&INDEX_BYTES, table.index_bytes),
            (&XID_AGE, table.xid_age),
        ] {
            out.push(metric.sample(labels.clone(), value as f64));
        }
        if let Some(rows) = table.row_estimate {
            out.push(ROW_ESTIMATE.sample(labels, rows));
        }
        out
    }
}
