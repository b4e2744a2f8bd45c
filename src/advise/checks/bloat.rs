//! Room on disk that holds nothing: what a rebuild would give back of tables and B-trees.
//!
//! What a rebuilt one would take comes from [`crate::advise::rebuilt`], which knows that equal keys
//! lie once in a B-tree. Nothing is read but statistics; where a column was never analysed, or may
//! not be seen, nothing is said. Rows that are dead but not yet vacuumed count as waste of the
//! table, since they are.

use std::collections::BTreeMap;

use super::{Draft, Thresholds, percent, plain, size};
use crate::advise::rebuilt::{BTREE_FILL, Btree, Width, data_bytes, heap_bytes};
use crate::advise::sql;
use crate::model::database::{Index, Snapshot, Table};
use crate::model::finding::Severity;
use crate::model::structure::{ColumnForm, IndexForm, Structure};

/// By how much the count of different keys that ANALYZE extrapolates from its sample may be too low
/// (`TPC-H`'s `l_orderkey`: 4.0): an index is told only if it has waste even then.
const DISTINCT_DOUBT: f64 = 4.0;

/// Bytes now, and after a rebuild.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Waste {
    /// As it is.
    pub bytes: f64,
    /// As it would be right after a rebuild.
    pub rebuilt: f64,
}

impl Waste {
    /// Bytes that a rebuild gives back.
    pub fn wasted(self) -> f64 {
        (self.bytes - self.rebuilt).max(0.0)
    }

    fn ratio(self) -> f64 {
        self.wasted() / self.bytes.max(1.0)
    }

    fn is_told(self, bytes_min: u64, ratio_min: f64) -> bool {
        self.wasted() >= bytes_min as f64 && self.ratio() >= ratio_min
    }
}

fn width(column: &ColumnForm) -> Option<Width> {
    Some(Width {
        bytes: if column.length > 0 {
            f64::from(column.length)
        } else {
            column.width?
        },
        align: f64::from(column.align.max(1)),
        varies: column.length < 0,
        null_share: column.null_share?,
    })
}

fn fill(options: &[String], default: f64) -> f64 {
    let given = options.iter().find_map(|o| o.strip_prefix("fillfactor="));
    let percent = given.and_then(|text| text.parse::<f64>().ok());
    percent.map_or(default, |percent| percent / 100.0)
}

/// Different values among `rows`, nulls counted as one more.
fn distinct(column: &ColumnForm, rows: f64) -> Option<f64> {
    let told = column.distinct?;
    let null_share = column.null_share?;
    let values = if told < 0.0 { -told * rows } else { told };
    (told != 0.0).then_some(values + f64::from(u8::from(null_share > 0.0)))
}

/// The content of a B-tree as the statistics tell it; `None` where they do not.
pub(super) fn content(
    structure: &Structure,
    form: &IndexForm,
    index: &Index,
    table: &Table,
) -> Option<Btree> {
    let rows = if index.predicate.is_some() {
        form.rows?
    } else {
        table.row_estimate?
    };
    let widths: Vec<Width> = form.columns.iter().map(width).collect::<Option<_>>()?;
    let keys = form.columns.iter().take(form.key_columns);
    let different = if index.is_unique {
        rows
    } else {
        let each: Vec<f64> = keys
            .map(|c| distinct(c, table.row_estimate?))
            .collect::<Option<_>>()?;
        each.iter().product::<f64>().min(rows)
    };
    let is_off = form.options.iter().any(|o| o == "deduplicate_items=off");
    Some(Btree {
        rows,
        distinct: different.max(1.0),
        data_bytes: data_bytes(&widths),
        deduplicates: form.is_image_equal && !is_off,
        fill: fill(&form.options, BTREE_FILL),
        page: structure.page_bytes.max(1) as f64,
    })
}

/// Waste of each B-tree that the statistics tell of, by oid; it is also what a report may sum up.
pub fn indexes(snapshot: &Snapshot) -> BTreeMap<u32, Waste> {
    let structure = &snapshot.structure;
    let all = measured(snapshot);
    all.into_iter()
        .filter_map(|(form, index, table)| {
            let rebuilt = content(structure, form, index, table)?.bytes();
            let bytes = index.size_bytes as f64;
            Some((index.oid, Waste { bytes, rebuilt }))
        })
        .collect()
}

fn measured(snapshot: &Snapshot) -> Vec<(&IndexForm, &Index, &Table)> {
    let tables: BTreeMap<u32, &Table> = snapshot.tables.iter().map(|t| (t.oid, t)).collect();
    let indexes: BTreeMap<u32, &Index> = snapshot.indexes.iter().map(|i| (i.oid, i)).collect();
    let forms = snapshot.structure.indexes.iter();
    forms
        .filter_map(|form| {
            let index = *indexes.get(&form.oid)?;
            let table = *tables.get(&index.table_oid)?;
            index.is_valid.then_some((form, index, table))
        })
        .collect()
}

pub(super) fn index_bloat(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.index_bloat;
    let structure = &snapshot.structure;
    let mut found: Vec<(&Index, Waste)> = measured(snapshot)
        .into_iter()
        .filter_map(|(form, index, table)| {
            let content = content(structure, form, index, table)?;
            let bytes = index.size_bytes as f64;
            let of = |rebuilt| Waste { bytes, rebuilt };
            let doubtful = Btree {
                distinct: (content.distinct * DISTINCT_DOUBT).min(content.rows),
                ..content
            };
            let is_told =
                of(doubtful.bytes()).is_told(set.waste_bytes_min / 2, set.waste_ratio_min);
            let waste = of(content.bytes());
            (is_told && waste.is_told(set.waste_bytes_min, set.waste_ratio_min))
                .then_some((index, waste))
        })
        .collect();
    found.sort_by(|a, b| b.1.wasted().total_cmp(&a.1.wasted()));
    found
        .into_iter()
        .map(|(index, waste)| {
            let name = plain(&index.schema, &index.name);
            let title = format!("{} of index {name} hold nothing", percent(waste.ratio()));
            let command = format!(
                "REINDEX INDEX CONCURRENTLY {};",
                sql::qualified(&index.schema, &index.name)
            );
            Draft::new(
                Severity::Warning,
                title,
                "Rebuild it: searches read fewer pages, and the buffers hold more of what counts. \
                 It takes as much room again while it runs",
            )
            .about(name)
            .seen("size", size(index.size_bytes))
            .seen("after a rebuild", bytes(waste.rebuilt))
            .seen("table", plain(&index.schema, &index.table))
            .cured_by(command, "ShareUpdateExclusiveLock on the table")
        })
        .collect()
}

pub(super) fn table_bloat(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.table_bloat;
    let tables: BTreeMap<u32, &Table> = snapshot.tables.iter().map(|t| (t.oid, t)).collect();
    let page = snapshot.structure.page_bytes.max(1) as f64;
    let forms = snapshot.structure.tables.iter();
    let mut found: Vec<(&Table, Waste)> = forms
        .filter_map(|form| {
            let table = *tables.get(&form.oid)?;
            let widths: Vec<Width> = form.columns.iter().map(width).collect::<Option<_>>()?;
            let rows = live(table)?;
            let rebuilt = heap_bytes(rows, &widths, (fill(&table.options, 1.0), page));
            let bytes = table.table_bytes as f64;
            let waste = Waste { bytes, rebuilt };
            (!widths.is_empty() && waste.is_told(set.waste_bytes_min, set.waste_ratio_min))
                .then_some((table, waste))
        })
        .collect();
    found.sort_by(|a, b| b.1.wasted().total_cmp(&a.1.wasted()));
    found
        .into_iter()
        .map(|(table, waste)| {
            let name = plain(&table.schema, &table.name);
            let title = format!("{} of table {name} hold nothing", percent(waste.ratio()));
            let command = format!(
                "VACUUM (FULL, ANALYZE) {};",
                sql::qualified(&table.schema, &table.name)
            );
            Draft::new(
                Severity::Warning,
                title,
                "New rows will fill the gaps, so leave it if the table grows again. Else rebuild \
                 it: the statement here locks out readers and writers, pg_repack (an extension) \
                 does not. Then let autovacuum come sooner for this table",
            )
            .about(name)
            .seen("heap", size(table.table_bytes))
            .seen("after a rebuild", bytes(waste.rebuilt))
            .seen("n_dead_tup", table.n_dead_tup)
            .cured_by(
                command,
                "AccessExclusiveLock on the table, and a rewrite of it",
            )
        })
        .collect()
}

/// Live rows: as counted where that is less than was estimated and the counter has been set to what
/// is there, by a vacuum or ANALYZE. A crash or a reset empties it together with their times, and from
/// then on until the next one it knows only what came since.
fn live(table: &Table) -> Option<f64> {
    let estimate = table.row_estimate?;
    let set = [
        table.last_vacuum,
        table.last_autovacuum,
        table.last_analyze,
        table.last_autoanalyze,
    ];
    Some(if set.iter().any(Option::is_some) {
        estimate.min(table.n_live_tup as f64)
    } else {
        estimate
    })
}

fn bytes(value: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a size is not negative, and a float cast saturates"
    )]
    let whole = value.max(0.0) as u64;
    size(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::checks::fixture::{index, quiet, table, thresholds};
    use crate::model::structure::TableForm;

    const MB: u64 = 1_000_000;

    fn int(distinct: f64) -> ColumnForm {
        ColumnForm {
            length: 4,
            align: 4,
            width: Some(4.0),
            null_share: Some(0.0),
            distinct: Some(distinct),
        }
    }

    fn with(rows: u64, form: IndexForm, bytes: u64) -> Snapshot {
        let mut snapshot = quiet();
        snapshot.tables = vec![table("bl", rows)];
        snapshot.indexes = vec![Index {
            size_bytes: bytes,
            ..index("bl_grp", &["grp"])
        }];
        snapshot.structure.page_bytes = 8_192;
        snapshot.structure.indexes = vec![form];
        snapshot
    }

    fn form(distinct: f64) -> IndexForm {
        IndexForm {
            oid: 2_000,
            columns: vec![int(distinct)],
            key_columns: 1,
            names: vec!["grp".into()],
            is_image_equal: true,
            ..IndexForm::default()
        }
    }

    fn ten_times(snapshot: &Snapshot) -> Vec<Draft> {
        index_bloat(snapshot, thresholds())
    }

    #[test]
    fn a_deduplicated_index_s_waste_is_seen() {
        // Ten times the index of a thousand groups that was measured on PostgreSQL 15: 73 MB, and
        // 29 MB after REINDEX.
        let drafts = ten_times(&with(4_000_000, form(10_000.0), 73 * MB));
        assert_eq!(drafts.len(), 1);
        assert_eq!(
            drafts[0].cure.as_ref().unwrap().sql,
            "REINDEX INDEX CONCURRENTLY \"public\".\"bl_grp\";"
        );
        let waste = indexes(&with(4_000_000, form(10_000.0), 73 * MB))[&2_000].wasted();
        assert!((waste / 44e6 - 1.0).abs() < 0.15, "{waste}");
    }

    #[test]
    fn an_index_as_it_was_built_or_as_it_grows_is_left_alone() {
        assert!(ten_times(&with(4_000_000, form(10_000.0), 29 * MB)).is_empty());
        // Half-split pages after inserts in any order.
        assert!(ten_times(&with(4_000_000, form(10_000.0), 40 * MB)).is_empty());
        // Unique: 90 MB built.
        assert!(ten_times(&with(4_000_000, form(-1.0), 92 * MB)).is_empty());
    }

    #[test]
    fn a_count_of_keys_that_may_be_too_low_is_not_believed() {
        // TPC-H's l_orderkey: 370,000 keys told, 1.5 million there, 77.9 MB as built.
        assert!(ten_times(&with(6_001_215, form(370_000.0), 78 * MB)).is_empty());
    }

    #[test]
    fn without_statistics_nothing_is_said() {
        let mut blind = form(1_000.0);
        blind.columns[0].null_share = None;
        assert!(ten_times(&with(4_000_000, blind, 730 * MB)).is_empty());
    }

    #[test]
    fn a_heap_that_is_mostly_air_is_told_and_one_in_use_is_not() {
        let mut snapshot = with(1_000_000, form(-1.0), MB);
        snapshot.structure.tables = vec![TableForm {
            oid: 1_000,
            columns: vec![int(-1.0), int(-1.0)],
        }];
        // A million rows of 36 bytes are 36 MB.
        snapshot.tables[0].table_bytes = 400 * MB;
        let drafts = table_bloat(&snapshot, thresholds());
        assert_eq!(drafts.len(), 1);
        assert!(
            drafts[0]
                .cure
                .as_ref()
                .unwrap()
                .lock
                .starts_with("AccessExclusive")
        );
        snapshot.tables[0].table_bytes = 45 * MB;
        assert!(table_bloat(&snapshot, thresholds()).is_empty());
    }

    #[test]
    fn rows_that_were_deleted_count_once_the_counters_know_them() {
        let mut snapshot = with(10_000_000, form(-1.0), MB);
        snapshot.structure.tables = vec![TableForm {
            oid: 1_000,
            columns: vec![int(-1.0), int(-1.0)],
        }];
        snapshot.tables[0].table_bytes = 400 * MB;
        // A crash has emptied the counters, and a hundred rows came since.
        snapshot.tables[0].n_live_tup = 100;
        assert!(table_bloat(&snapshot, thresholds()).is_empty());
        snapshot.tables[0].last_autovacuum = Some(snapshot.taken_at);
        assert_eq!(table_bloat(&snapshot, thresholds()).len(), 1);
    }
}
