//! What the catalog knows of the tables in a plan.

use std::collections::HashMap;

use tokio_postgres::types::Type;

use super::backend::Backend;
use crate::advise::relation::{Column, Existing, Relation, Writes};
use crate::postgres::Result;
use crate::postgres::read::Cells;

const RELATIONS: &str = "\
    select /* plimsoll */ c.oid, n.nspname::text, c.relname::text, \
      quote_ident(n.nspname) || '.' || quote_ident(c.relname), \
      c.reltuples::float8, c.relpages::float8, \
      case when c.relkind = 'p' then 0 else pg_relation_size(c.oid) end, c.relkind::text, \
      s.n_tup_ins, s.n_tup_upd, s.n_tup_hot_upd, s.n_tup_del \
    from unnest($1, $2) w(s, t) \
    join pg_namespace n on n.nspname = w.s \
    join pg_class c on c.relnamespace = n.oid and c.relname = w.t \
    left join pg_stat_user_tables s on s.relid = c.oid \
    where c.relkind in ('r', 'p', 'm') order by 2, 3";

/// The class of operators that a type has by default, looked for as the server does: for itself, for
/// what it is a kind of, for what it is stored as. Statistics are looked up by column: joined, all of
/// them might be read, which are hundreds of thousands where there are many partitions.
const COLUMNS: &str = "\
    select /* plimsoll */ a.attrelid, a.attnum::int4, a.attname::text, quote_ident(a.attname), \
      format_type(a.atttypid, a.atttypmod), a.attlen::int4, a.attalign::text, a.attnotnull, \
      b.opc is not null, \
      exists (select from pg_amproc p where p.amprocfamily = b.family and p.amproclefttype = b.intype \
              and p.amprocrighttype = b.intype and p.amprocnum = 4) \
        and coalesce(co.collisdeterministic, true), \
      exists (select from pg_opclass o join pg_am am on am.oid = o.opcmethod and am.amname = 'gin' \
              where o.opcdefault and o.opcintype in (t.oid, case when t.typcategory = 'A' \
              then 'anyarray'::regtype::oid end)), \
      case when t.oid in ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype) \
        and coalesce(case when co.collname = 'default' then d.datcollate::text else co.collname::text end, '') \
          not in ('C', 'POSIX') \
        then case t.oid when 'bpchar'::regtype then 'bpchar_pattern_ops' \
          when 'varchar'::regtype then 'varchar_pattern_ops' else 'text_pattern_ops' end end, \
      s.avg_width::int8, s.null_frac::float8, s.n_distinct::float8, s.correlation::float8, \
      s.most_common_vals::text::text[], s.most_common_freqs::float8[], s.histogram_bounds::text::text[] \
    from pg_attribute a \
    join pg_class c on c.oid = a.attrelid \
    join pg_namespace n on n.oid = c.relnamespace \
    join pg_database d on d.datname = current_database() \
    join pg_type t0 on t0.oid = a.atttypid \
    join pg_type t on t.oid = case when t0.typtype = 'd' then t0.typbasetype else t0.oid end \
    left join pg_collation co on co.oid = a.attcollation \
    left join lateral (select o.oid opc, o.opcfamily as family, o.opcintype as intype \
      from pg_opclass o join pg_am am on am.oid = o.opcmethod and am.amname = 'btree' \
      where o.opcdefault and (o.opcintype = t.oid \
        or o.opcintype = case when t.typtype = 'e' then 'anyenum'::regtype when t.typtype = 'r' \
             then 'anyrange'::regtype when t.typtype = 'm' then to_regtype('pg_catalog.anymultirange') \
             when t.typcategory = 'A' then 'anyarray'::regtype end \
        or exists (select from pg_cast k where k.castsource = t.oid and k.casttarget = o.opcintype \
                   and k.castmethod = 'b' and k.castcontext = 'i')) \
      order by o.opcintype = t.oid desc, o.opcintype = 'text'::regtype desc limit 1) b on true \
    left join lateral (select * from pg_stats s where s.schemaname = n.nspname \
      and s.tablename = c.relname and s.attname = a.attname and not s.inherited offset 0) s on true \
    where a.attrelid = any($1) and a.attnum > 0 and not a.attisdropped \
    order by a.attrelid, a.attnum";

const INDEXES: &str = "\
    select /* plimsoll */ i.indrelid, quote_ident(n.nspname) || '.' || quote_ident(c.relname), \
      c.relname::text, am.amname::text, \
      string_to_array(i.indkey::text, ' ')::int4[], i.indnkeyatts::int4, \
      array(select pg_get_indexdef(i.indexrelid, k, true) from generate_series(1, i.indnkeyatts) k), \
      array(select concat_ws(' ', \
              case when i.indcollation[u.k - 1] not in (0, coalesce(a.attcollation, 'default'::regcollation)) \
                then 'COLLATE ' || i.indcollation[u.k - 1]::regcollation::text end, \
              case when not o.opcdefault then quote_ident(o.opcname) end, \
              '(' || array_to_string(x.attoptions, ', ') || ')', \
              nullif(array_to_string(array[case when i.indoption[u.k - 1] & 1 = 1 then 'DESC' end, \
                case when i.indoption[u.k - 1] & 2 = 2 then 'NULLS FIRST' end], ' '), '')) \
            from unnest(i.indclass::oid[]) with ordinality u(oid, k) \
            join pg_opclass o on o.oid = u.oid \
            left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[u.k - 1] and a.attnum > 0 \
            left join pg_attribute x on x.attrelid = i.indexrelid and x.attnum = u.k order by u.k), \
      pg_get_expr(i.indpred, i.indrelid), i.indisunique, \
      i.indisreplident or i.indisexclusion or i.indisclustered or c.relispartition \
        or coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false) \
        or exists (select from pg_constraint k where k.conindid = i.indexrelid), \
      pg_relation_size(i.indexrelid), coalesce(s.idx_scan, 0) \
    from pg_index i join pg_class c on c.oid = i.indexrelid \
    join pg_namespace n on n.oid = c.relnamespace \
    join pg_am am on am.oid = c.relam \
    left join pg_stat_user_indexes s on s.indexrelid = i.indexrelid \
    where i.indrelid = any($1) and i.indisvalid and c.relkind = 'i' order by 1, 3";

/// The manual's 63.6.1: a tuple's header and its pointer.
const TUPLE_OVERHEAD: f64 = 28.0;

/// Reads the relations called (schema, name).
pub(super) async fn read(
    backend: &mut Backend,
    names: &[(String, String)],
    block_size: u64,
) -> Result<Vec<Relation>> {
    let schemas: Vec<&str> = names.iter().map(|(schema, _)| schema.as_str()).collect();
    let tables: Vec<&str> = names.iter().map(|(_, table)| table.as_str()).collect();
    let params = [
        (
            &schemas as &(dyn tokio_postgres::types::ToSql + Sync),
            Type::TEXT_ARRAY,
        ),
        (
            &tables as &(dyn tokio_postgres::types::ToSql + Sync),
            Type::TEXT_ARRAY,
        ),
    ];
    let rows = backend.rows("relations", RELATIONS, &params).await?;
    let (mut relations, mut counted) = (Vec::new(), Vec::new());
    for row in &rows {
        let cells = Cells::new("relations", row);
        let tuples = cells.number(4)?.unwrap_or(-1.0);
        let pages_then = cells.number(5)?.unwrap_or(0.0);
        relations.push(Relation {
            oid: cells.get(0)?,
            schema: cells.text(1)?,
            name: cells.text(2)?,
            quoted: cells.text(3)?,
            pages: cells.number(6)?.unwrap_or(0.0) / block_size as f64,
            kind: cells.text(7)?.chars().next().unwrap_or('r'),
            writes: Writes {
                inserted: cells.number(8)?.unwrap_or(0.0),
                updated: cells.number(9)?.unwrap_or(0.0),
                updated_hot: cells.number(10)?.unwrap_or(0.0),
                deleted: cells.number(11)?.unwrap_or(0.0),
            },
            ..Relation::default()
        });
        counted.push((tuples, pages_then));
    }
    let oids: Vec<u32> = relations.iter().map(|relation| relation.oid).collect();
    let places: HashMap<u32, usize> = oids.iter().copied().zip(0..).collect();
    let numbers = columns(backend, &oids, &places, &mut relations).await?;
    indexes(backend, &oids, &places, &numbers, &mut relations).await?;
    for (relation, (tuples, pages_then)) in relations.iter_mut().zip(counted) {
        // As the planner does: the density of then, the pages of now.
        let width: f64 = relation.columns.iter().map(|column| column.width).sum();
        let density = if pages_then > 0.0 && tuples >= 0.0 {
            tuples / pages_then
        } else {
            block_size as f64 / (width + TUPLE_OVERHEAD)
        };
        relation.rows = density * relation.pages;
        if relation.kind == 'p' && tuples > 0.0 {
            relation.rows = tuples;
        }
        for column in &mut relation.columns {
            // A negative number is a share of the rows.
            column.distinct = column
                .distinct
                .map(|n| if n < 0.0 { -n * relation.rows } else { n });
        }
    }
    Ok(relations)
}

/// Fills in columns; gives (relation's place, column's number) → column's place.
async fn columns(
    backend: &mut Backend,
    oids: &Vec<u32>,
    places: &HashMap<u32, usize>,
    relations: &mut [Relation],
) -> Result<HashMap<(usize, i32), usize>> {
    let mut numbers = HashMap::new();
    let rows = backend
        .rows("columns", COLUMNS, &[(oids, Type::OID_ARRAY)])
        .await?;
    for row in &rows {
        let cells = Cells::new("columns", row);
        let Some(place) = places.get(&cells.get::<u32>(0)?).copied() else {
            continue;
        };
        let Some(relation) = relations.get_mut(place) else {
            continue;
        };
        numbers.insert((place, cells.get::<i32>(1)?), relation.columns.len());
        let length: i32 = cells.get(5)?;
        let common: Option<Vec<Option<String>>> = cells.get(16)?;
        let shares: Option<Vec<f64>> = cells.get(17)?;
        let bounds: Option<Vec<Option<String>>> = cells.get(18)?;
        let fixed_width = u16::try_from(length).ok();
        relation.columns.push(Column {
            name: cells.text(2)?,
            quoted: cells.text(3)?,
            type_name: cells.text(4)?,
            fixed_width,
            align: match cells.text(6)?.as_str() {
                "c" => 1,
                "s" => 2,
                "i" => 4,
                _ => 8,
            },
            is_not_null: cells.get(7)?,
            is_orderable: cells.get(8)?,
            is_deduplicable: cells.get(9)?,
            has_gin: cells.get(10)?,
            pattern_class: cells.get(11)?,
            width: match cells.number(12)? {
                Some(width) => width,
                None => fixed_width.map_or(32.0, f64::from),
            },
            null_share: cells.number(13)?.unwrap_or(0.0),
            distinct: cells.number(14)?,
            correlation: cells.number(15)?.unwrap_or(0.0),
            common: common
                .unwrap_or_default()
                .into_iter()
                .flatten()
                .zip(shares.unwrap_or_default())
                .collect(),
            bounds: bounds.unwrap_or_default().into_iter().flatten().collect(),
        });
    }
    Ok(numbers)
}

async fn indexes(
    backend: &mut Backend,
    oids: &Vec<u32>,
    places: &HashMap<u32, usize>,
    numbers: &HashMap<(usize, i32), usize>,
    relations: &mut [Relation],
) -> Result<()> {
    let rows = backend
        .rows("indexes", INDEXES, &[(oids, Type::OID_ARRAY)])
        .await?;
    for row in &rows {
        let cells = Cells::new("indexes", row);
        let Some(place) = places.get(&cells.get::<u32>(0)?).copied() else {
            continue;
        };
        let Some(relation) = relations.get_mut(place) else {
            continue;
        };
        let members: Vec<i32> = cells.get(4)?;
        let key_count = usize::try_from(cells.get::<i32>(5)?).unwrap_or(members.len());
        let key_forms: Vec<String> = cells.get(7)?;
        let column = |number: &i32| numbers.get(&(place, *number)).copied();
        let keys = members
            .iter()
            .take(key_count)
            .enumerate()
            .map(|(at, number)| {
                let is_plain = key_forms.get(at).is_some_and(String::is_empty);
                column(number).filter(|_| is_plain)
            });
        relation.indexes.push(Existing {
            quoted: cells.text(1)?,
            name: cells.text(2)?,
            method: cells.text(3)?,
            keys: keys.collect(),
            key_texts: cells.get(6)?,
            include: members.iter().skip(key_count).filter_map(column).collect(),
            predicate: cells.get(8)?,
            is_unique: cells.get(9)?,
            is_constraint: cells.get(10)?,
            size_bytes: cells.count(11)?,
            scans: cells.count(12)?,
            key_forms,
        });
    }
    Ok(())
}
