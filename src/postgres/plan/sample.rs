//! Some pages of a table, hashed by the server: no value leaves it.

use std::fmt::Write as _;

use super::backend::Backend;
use crate::advise::relation::{Relation, Sample};
use crate::postgres::Result;
use crate::postgres::read::Cells;

/// Rows of one table that are looked at: the number of distinct pairs is then known within a few
/// per cent where it matters for a size.
const ROWS: f64 = 30_000.0;
/// Hashes of all tables together: at ten bytes each they take 80 MB.
const HASHES: f64 = 8e6;
/// Least pages: fewer say nothing of how a table is laid out.
const PAGES: f64 = 60.0;

/// Looks at `wanted` (columns by place, predicates as SQL); `total` columns are wanted in all tables.
pub(super) async fn take(
    backend: &mut Backend,
    relation: &Relation,
    wanted: &(Vec<usize>, Vec<String>),
    total: usize,
) -> Result<Sample> {
    let sql = question(relation, wanted, total);
    let (columns, predicates) = wanted;
    let rows = backend.rows("a sample of rows", &sql, &[]).await?;
    let mut sample = Sample {
        columns: columns.clone(),
        hashes: vec![Vec::with_capacity(rows.len()); columns.len()],
        widths: vec![Vec::with_capacity(rows.len()); columns.len()],
        predicates: predicates
            .iter()
            .map(|sql| (sql.clone(), Vec::new()))
            .collect(),
        ..Sample::default()
    };
    let mut last = None;
    for row in &rows {
        let cells = Cells::new("a sample of rows", row);
        let page = u32::try_from(cells.count(0)?).unwrap_or(u32::MAX);
        sample.pages += usize::from(last != Some(page));
        last = Some(page);
        sample.page_of.push(page);
        for (hash, of) in cells
            .get::<Vec<i64>>(1)?
            .into_iter()
            .zip(&mut sample.hashes)
        {
            of.push(hash.cast_unsigned());
        }
        for (width, of) in cells
            .get::<Vec<i32>>(2)?
            .into_iter()
            .zip(&mut sample.widths)
        {
            of.push(u16::try_from(width).unwrap_or(u16::MAX));
        }
        for (held, of) in cells
            .get::<Vec<bool>>(3)?
            .into_iter()
            .zip(&mut sample.predicates)
        {
            of.1.push(held);
        }
    }
    Ok(sample)
}

/// The query for a sample: page, hashes, widths, predicates.
fn question(relation: &Relation, wanted: &(Vec<usize>, Vec<String>), total: usize) -> String {
    let (columns, predicates) = wanted;
    let mut hashes = String::new();
    let mut widths = String::new();
    let mut held = String::new();
    for place in columns {
        let Some(column) = relation.columns.get(*place) else {
            continue;
        };
        let name = &column.quoted;
        let comma = if hashes.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(
            hashes,
            "{comma}coalesce(pg_catalog.hashtextextended({name}::pg_catalog.text, 0), 0)"
        );
        let _ = write!(
            widths,
            "{comma}coalesce(pg_catalog.pg_column_size({name}), 0)"
        );
    }
    for predicate in predicates {
        let comma = if held.is_empty() { "" } else { ", " };
        let _ = write!(held, "{comma}coalesce({predicate}, false)");
    }
    let rows_wanted = ROWS.min(HASHES / (total.max(1) as f64));
    let per_page = (relation.rows / relation.pages.max(1.0)).max(1.0);
    let pages = (rows_wanted / per_page).max(PAGES);
    let share = (100.0 * pages / relation.pages.max(1.0)).clamp(0.0, 100.0);
    let sampled = if share < 100.0 {
        format!("tablesample system ({share}) repeatable (1)")
    } else {
        String::new()
    };
    format!(
        "select /* plimsoll */ (ctid::pg_catalog.text::pg_catalog.point)[0]::pg_catalog.int8, \
         array[{hashes}]::pg_catalog.int8[], array[{widths}]::pg_catalog.int4[], \
         array[{held}]::pg_catalog.bool[] from {} {sampled} limit {}",
        relation.quoted,
        // Never more than planned for, whatever the density.
        (3.0 * rows_wanted).ceil()
    )
}
