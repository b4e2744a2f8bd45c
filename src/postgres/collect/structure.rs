//! What changes rarely: columns' statistics, constraints, rights. Read once in [`EVERY`] cycles.
//!
//! Statistics come from `pg_statistic` where the role may read it, in one pass over `pg_index` and
//! one over `pg_class`; else from the view `pg_stats`, which tells of the columns that the role may
//! select and asks for each one's privilege. Relations under an ACCESS EXCLUSIVE lock are not
//! opened: nothing here opens a relation.

use tokio_postgres::Row;

use super::BlindSpots;
use super::tables::FIRST_USER_OID;
use crate::model::structure::{
    ColumnForm, ExtendedStatistics, ForeignKey, IndexForm, Structure, TableForm, Unvalidated,
};
use crate::model::units::{Timestamp, counted};
use crate::postgres::capability::{Capability, quote};
use crate::postgres::read::Cells;
use crate::postgres::session::Session;
use crate::postgres::{APPLICATION_NAME, MARKER, Result};

const PART: &str = "structure";
const STATISTICS: &str = "column statistics";

/// Cycles between two readings: an hour at the default pace.
const EVERY: u64 = 60;
/// Pages from which on columns' statistics are read: what is smaller has no bloat worth a word.
const PAGES_MIN: u32 = 128;
/// Functions that are named; there may be thousands.
const DEFINERS_CAP: usize = 50;

/// Statistics by relation and column, for those who may read them at the source.
const DIRECT: &str = "select starelid, staattnum, stanullfrac, stawidth, stadistinct \
                      from pg_statistic where not stainherit";
/// The same through the view that checks each column's privilege.
const VIEWED: &str = "select c.oid as starelid, a.attnum as staattnum, v.null_frac as stanullfrac, \
                      v.avg_width as stawidth, v.n_distinct as stadistinct from pg_stats v \
                      join pg_namespace n on n.nspname = v.schemaname \
                      join pg_class c on c.relnamespace = n.oid and c.relname = v.tablename \
                      join pg_attribute a on a.attrelid = c.oid and a.attname = v.attname \
                      where not v.inherited";

/// As last read.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    last: Structure,
    read_in: Option<u64>,
}

impl Memory {
    /// Forget what was read: it may be another server now.
    pub(crate) fn forget(&mut self) {
        self.read_in = None;
    }

    /// Reads all of it, if it is time to; what fails alone is left as it was.
    ///
    /// # Errors
    /// Only fatal ones.
    pub(crate) async fn refresh(
        &mut self,
        session: &mut Session,
        able: &Capability,
        blind: &mut BlindSpots,
        (cycle, at): (u64, Timestamp),
    ) -> Result<()> {
        if self.read_in.is_some_and(|read| cycle < read + EVERY) {
            return Ok(());
        }
        let read = read(session, able, blind).await;
        if let Some(mut structure) = blind.settle(PART, read.map(Some))? {
            structure.read_at = Some(at);
            self.last = structure;
        }
        self.read_in = Some(cycle);
        Ok(())
    }

    /// As last read.
    pub(crate) fn last(&self) -> &Structure {
        &self.last
    }
}

async fn read(
    session: &mut Session,
    able: &Capability,
    blind: &mut BlindSpots,
) -> Result<Structure> {
    let source = statistics(session, able, blind).await?;
    let mut structure = Structure {
        page_bytes: able.block_size,
        tables: tables(session, source).await?,
        indexes: indexes(session, source).await?,
        foreign_keys: foreign_keys(session).await?,
        unvalidated: unvalidated(session).await?,
        extended: extended(session).await?,
        ..Structure::default()
    };
    structure.system_id = system_id(session).await?;
    rights(session, &mut structure).await?;
    Ok(structure)
}

/// Where statistics are read, and a note where they are not all there.
async fn statistics(
    session: &mut Session,
    able: &Capability,
    blind: &mut BlindSpots,
) -> Result<&'static str> {
    let sql = format!(
        "select {MARKER} has_table_privilege('pg_catalog.pg_statistic', 'SELECT'), \
         (select count(*) from pg_class c where c.relkind = 'r' and c.oid >= {FIRST_USER_OID} \
         and c.relpersistence <> 't' and c.relpages >= {PAGES_MIN} \
         and not has_any_column_privilege(c.oid, 'SELECT'))"
    );
    let rows = session.rows(PART, &sql, &[]).await?;
    let Some(row) = rows.first().map(|row| Cells::new(PART, row)) else {
        return Ok(VIEWED);
    };
    let (is_direct, hidden) = (row.get::<bool>(0)?, row.count(1)?);
    if is_direct || hidden == 0 {
        blind.clear(STATISTICS);
    } else {
        let role = quote(&able.role);
        blind.note(
            STATISTICS,
            format!(
                "the role may not select from {}, so the server hides the statistics of columns \
                 there: nothing is said of bloat",
                counted(hidden, "table")
            ),
            format!("GRANT pg_read_all_data TO {role}; before 14: GRANT SELECT on the tables"),
        );
    }
    Ok(if is_direct { DIRECT } else { VIEWED })
}

/// Arrays of what a column is, in order of `n`; the first of them stands at `first`.
const COLUMNS: &str = "coalesce(array_agg(a.attlen order by n) filter (where n > 0), '{}'), \
                       coalesce(array_agg(a.attalign::text order by n) filter (where n > 0), '{}'), \
                       coalesce(array_agg(s.stawidth::float8 order by n) \
                       filter (where n > 0), '{}'), \
                       coalesce(array_agg(s.stanullfrac::float8 order by n) \
                       filter (where n > 0), '{}'), \
                       coalesce(array_agg(s.stadistinct::float8 order by n) \
                       filter (where n > 0), '{}')";

fn columns(row: &Row, first: usize) -> Result<Vec<ColumnForm>> {
    let cells = Cells::new(PART, row);
    let lengths: Vec<i16> = cells.get(first)?;
    let aligns: Vec<String> = cells.get(first + 1)?;
    let widths: Vec<Option<f64>> = cells.get(first + 2)?;
    let nulls: Vec<Option<f64>> = cells.get(first + 3)?;
    let distinct: Vec<Option<f64>> = cells.get(first + 4)?;
    let align = |text: &str| match text {
        "d" => 8,
        "i" => 4,
        "s" => 2,
        _ => 1,
    };
    let all = lengths.into_iter().zip(aligns).zip(widths).zip(nulls);
    Ok(all
        .zip(distinct)
        .map(
            |((((length, aligned), width), null_share), distinct)| ColumnForm {
                length,
                align: align(&aligned),
                width,
                null_share,
                distinct,
            },
        )
        .collect())
}

async fn tables(session: &mut Session, source: &str) -> Result<Vec<TableForm>> {
    let sql = format!(
        "select {MARKER} c.oid, {COLUMNS} from pg_class c \
         left join (select attrelid, attnum as n, attlen, attalign from pg_attribute \
         where attnum > 0 and not attisdropped) a on a.attrelid = c.oid \
         left join ({source}) s on s.starelid = c.oid and s.staattnum = a.n \
         where c.relkind in ('r', 'm') and c.relpersistence <> 't' and c.oid >= {FIRST_USER_OID} \
         and c.relpages >= {PAGES_MIN} group by c.oid"
    );
    let rows = session.rows(PART, &sql, &[]).await?;
    rows.iter()
        .map(|row| {
            let cells = Cells::new(PART, row);
            Ok(TableForm {
                oid: cells.get(0)?,
                columns: columns(row, 1)?,
            })
        })
        .collect()
}

async fn indexes(session: &mut Session, source: &str) -> Result<Vec<IndexForm>> {
    // Support function 4 says that equal keys have equal bytes; for texts, if the collation is
    // deterministic (manual, section 67.2 "Support functions").
    let sql = format!(
        "with image as materialized (select o.oid from pg_opclass o \
         join pg_am m on m.oid = o.opcmethod and m.amname = 'btree' \
         join pg_amproc p on p.amprocfamily = o.opcfamily and p.amprocnum = 4 \
         and p.amproclefttype = o.opcintype and p.amprocrighttype = o.opcintype), \
         k as materialized (select i.indexrelid, i.indrelid, u.attnum, u.n, i.indnkeyatts, \
         i.indnatts, (i.indclass::oid[])[(u.n - 1)::int] as class, \
         (i.indcollation::oid[])[(u.n - 1)::int] as coll \
         from pg_index i cross join lateral unnest(i.indkey::int2[]) with ordinality u(attnum, n) \
         where i.indexrelid >= {FIRST_USER_OID} and i.indexrelid in \
         (select oid from pg_class where relkind = 'i' and relpages >= {PAGES_MIN})) \
         select {MARKER} c.oid, coalesce(c.reloptions, '{{}}'), {COLUMNS}, c.reltuples, \
         min(k.indnkeyatts)::int8, \
         array_agg(case when k.attnum > 0 then t.attname::text else '' end order by n) \
         filter (where n <= k.indnkeyatts), \
         min(k.indnkeyatts) = min(k.indnatts) and bool_and(image.oid is not null \
         and coalesce(l.collisdeterministic, true)) \
         from k join pg_class c on c.oid = k.indexrelid \
         join pg_am m on m.oid = c.relam and m.amname = 'btree' \
         join pg_attribute a on a.attrelid = k.indexrelid and a.attnum = k.n \
         left join pg_attribute t on t.attrelid = k.indrelid and t.attnum = k.attnum \
         and k.attnum > 0 \
         left join ({source}) s on s.starelid = case when k.attnum = 0 then k.indexrelid \
         else k.indrelid end and s.staattnum = case when k.attnum = 0 then k.n else k.attnum end \
         left join image on image.oid = k.class left join pg_collation l on l.oid = k.coll \
         where c.relkind = 'i' and c.relpersistence <> 't' \
         and c.relnamespace <> 'pg_toast'::regnamespace \
         group by c.oid, c.reloptions, c.reltuples"
    );
    let rows = session.rows(PART, &sql, &[]).await?;
    rows.iter()
        .map(|row| {
            let cells = Cells::new(PART, row);
            let counted = f64::from(cells.get::<f32>(7)?);
            Ok(IndexForm {
                oid: cells.get(0)?,
                options: cells.get(1)?,
                columns: columns(row, 2)?,
                rows: (counted >= 0.0).then_some(counted),
                key_columns: usize::try_from(cells.count(8)?).unwrap_or(0),
                names: cells.get::<Option<Vec<String>>>(9)?.unwrap_or_default(),
                is_image_equal: cells.get::<Option<bool>>(10)?.unwrap_or(false),
            })
        })
        .collect()
}

async fn foreign_keys(session: &mut Session) -> Result<Vec<ForeignKey>> {
    let sql = format!(
        "select {MARKER} f.conname::text, f.conrelid, f.confrelid, \
         array_agg(a.attname::text order by u.n), \
         array_agg(format_type(coalesce(nullif(ta.typbasetype, 0), ta.oid), null) order by u.n), \
         array_agg(format_type(coalesce(nullif(tb.typbasetype, 0), tb.oid), null) order by u.n), \
         exists (select from pg_index i where i.indrelid = f.conrelid and i.indisvalid \
         and i.indpred is null and i.indnkeyatts >= cardinality(f.conkey) \
         and (i.indkey::int2[])[0:cardinality(f.conkey) - 1] @> f.conkey) \
         from pg_constraint f \
         cross join lateral unnest(f.conkey, f.confkey) with ordinality u(own, other, n) \
         join pg_attribute a on a.attrelid = f.conrelid and a.attnum = u.own \
         join pg_attribute b on b.attrelid = f.confrelid and b.attnum = u.other \
         join pg_type ta on ta.oid = a.atttypid join pg_type tb on tb.oid = b.atttypid \
         where f.contype = 'f' and f.conparentid = 0 and f.conrelid >= {FIRST_USER_OID} \
         group by f.oid, f.conname, f.conrelid, f.confrelid, f.conkey"
    );
    let rows = session.rows(PART, &sql, &[]).await?;
    rows.iter()
        .map(|row| {
            let cells = Cells::new(PART, row);
            Ok(ForeignKey {
                name: cells.text(0)?,
                table_oid: cells.get(1)?,
                target_oid: cells.get(2)?,
                columns: cells.get(3)?,
                types: cells.get(4)?,
                target_types: cells.get(5)?,
                is_indexed: cells.get(6)?,
            })
        })
        .collect()
}

async fn unvalidated(session: &mut Session) -> Result<Vec<Unvalidated>> {
    let sql = format!(
        "select {MARKER} f.conname::text, n.nspname::text, c.relname::text, \
         case when f.contype = 'f' then 'FOREIGN KEY' else 'CHECK' end from pg_constraint f \
         join pg_class c on c.oid = f.conrelid join pg_namespace n on n.oid = c.relnamespace \
         where not f.convalidated and f.contype in ('f', 'c') and f.conrelid >= {FIRST_USER_OID} \
         and f.conparentid = 0"
    );
    let rows = session.rows(PART, &sql, &[]).await?;
    rows.iter()
        .map(|row| {
            let cells = Cells::new(PART, row);
            Ok(Unvalidated {
                name: cells.text(0)?,
                schema: cells.text(1)?,
                table: cells.text(2)?,
                definition: cells.text(3)?,
            })
        })
        .collect()
}

async fn extended(session: &mut Session) -> Result<Vec<ExtendedStatistics>> {
    let sql = format!(
        "select {MARKER} e.stxrelid, array_agg(a.attname::text) from pg_statistic_ext e \
         join pg_attribute a on a.attrelid = e.stxrelid and a.attnum = any (e.stxkeys) \
         group by e.oid, e.stxrelid"
    );
    let rows = session.rows(PART, &sql, &[]).await?;
    rows.iter()
        .map(|row| {
            let cells = Cells::new(PART, row);
            Ok(ExtendedStatistics {
                table_oid: cells.get(0)?,
                columns: cells.get(1)?,
            })
        })
        .collect()
}

/// Whoever may not call the function learns nothing, and nothing fails.
async fn system_id(session: &mut Session) -> Result<Option<String>> {
    let may = format!(
        "select {MARKER} has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')"
    );
    let rows = session.rows(PART, &may, &[]).await?;
    let may = rows.first().map(|row| Cells::new(PART, row).get::<bool>(0));
    if !may.transpose()?.unwrap_or(false) {
        return Ok(None);
    }
    let sql = format!("select {MARKER} system_identifier::text from pg_control_system()");
    let rows = session.rows(PART, &sql, &[]).await?;
    rows.first()
        .map_or(Ok(None), |row| Cells::new(PART, row).get(0))
}

async fn rights(session: &mut Session, structure: &mut Structure) -> Result<()> {
    let sql = format!(
        "select {MARKER} r.rolname::text, count(a.pid) from pg_roles r \
         left join pg_stat_get_activity(null) a on a.usesysid = r.oid \
         and a.datid is not null and a.application_name <> '{APPLICATION_NAME}' \
         where r.rolsuper and r.rolcanlogin group by 1 order by 2 desc, 1"
    );
    for row in session.rows(PART, &sql, &[]).await? {
        let cells = Cells::new(PART, &row);
        let sessions = u32::try_from(cells.count(1)?).unwrap_or(u32::MAX);
        structure.superusers.push((cells.text(0)?, sessions));
    }
    let sql = format!(
        "select {MARKER} exists (select from pg_namespace n, \
         aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) g \
         where n.nspname = 'public' and g.grantee = 0 and g.privilege_type = 'CREATE')"
    );
    for row in session.rows(PART, &sql, &[]).await? {
        structure.public_may_create = Cells::new(PART, &row).get(0)?;
    }
    // Functions of extensions are their extension's affair.
    let sql = format!(
        "select {MARKER} p.oid::regprocedure::text from pg_proc p where p.prosecdef \
         and p.oid >= {FIRST_USER_OID} and not exists (select from unnest(p.proconfig) s \
         where s like 'search_path=%') and not exists (select from pg_depend d \
         where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e') \
         order by 1 limit {DEFINERS_CAP}"
    );
    for row in session.rows(PART, &sql, &[]).await? {
        let name = Cells::new(PART, &row).text(0)?;
        structure.open_definers.push(name);
    }
    Ok(())
}
