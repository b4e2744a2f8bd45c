//! Columns that go together, which the planner takes for independent.
//!
//! Plan-free evidence: an index over several columns keeps equal keys once, so its size bounds how
//! many different combinations there are. Where that is far below the product of the columns' own
//! counts, the planner's estimates for conditions on all of them are too low by that factor. Source:
//! PostgreSQL manual, section 14.2.2 "Extended Statistics".

use std::collections::BTreeSet;

use super::bloat::content;
use super::{Draft, Thresholds, plain, size};
use crate::advise::sql;
use crate::model::database::{Index, Snapshot, Table};
use crate::model::finding::Severity;
use crate::model::structure::IndexForm;

struct Found<'a> {
    form: &'a IndexForm,
    index: &'a Index,
    table: &'a Table,
    factor: f64,
}

pub(super) fn without_statistics(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let set = &set.correlated_columns;
    let structure = &snapshot.structure;
    let mut found: Vec<Found<'_>> = Vec::new();
    for form in &structure.indexes {
        let index = snapshot.indexes.iter().find(|i| i.oid == form.oid);
        let Some(index) = index.filter(|i| i.is_valid && !i.is_unique && i.predicate.is_none())
        else {
            continue;
        };
        let table = snapshot.tables.iter().find(|t| t.oid == index.table_oid);
        let is_plain = form.names.len() > 1 && form.names.iter().all(|name| !name.is_empty());
        let (Some(table), true) = (table, is_plain) else {
            continue;
        };
        if table.row_estimate.unwrap_or(0.0) < set.rows_min as f64 || has(snapshot, form, table) {
            continue;
        }
        let Some(content) = content(structure, form, index, table) else {
            continue;
        };
        let Some(most) = content.distinct_within(index.size_bytes as f64) else {
            continue;
        };
        let factor = content.distinct / most;
        if factor >= set.factor_min {
            found.push(Found {
                form,
                index,
                table,
                factor,
            });
        }
    }
    found.sort_by(|a, b| b.factor.total_cmp(&a.factor));
    found.iter().map(draft).collect()
}

/// Extended statistics over these columns, or more, are there.
fn has(snapshot: &Snapshot, form: &IndexForm, table: &Table) -> bool {
    let wanted: BTreeSet<&String> = form.names.iter().collect();
    let all = snapshot.structure.extended.iter();
    all.filter(|kept| kept.table_oid == table.oid)
        .any(|kept| wanted.is_subset(&kept.columns.iter().collect()))
}

fn draft(found: &Found<'_>) -> Draft {
    let Found {
        form,
        index,
        table,
        factor,
    } = found;
    let name = plain(&table.schema, &table.name);
    let columns: Vec<String> = form.names.iter().map(|c| sql::name(c)).collect();
    let title = format!(
        "({}) of {name} go together; row estimates for them are {factor:.0} times too low",
        form.names.join(", ")
    );
    let relation = sql::qualified(&table.schema, &table.name);
    let command = format!(
        "CREATE STATISTICS (ndistinct, dependencies) ON {} FROM {relation};\nANALYZE {relation};",
        columns.join(", ")
    );
    // Before 14 the object must have a name.
    let command = command.replace(
        "CREATE STATISTICS (",
        &format!(
            "CREATE STATISTICS {} (",
            sql::qualified(&table.schema, &format!("{}_together", index.name))
        ),
    );
    Draft::new(
        Severity::Info,
        title,
        "Let the server count the combinations: with estimates that are far too low it picks \
         nested loops where a hash join is due",
    )
    .about(name)
    .seen("told by the size of", plain(&index.schema, &index.name))
    .seen("its size", size(index.size_bytes))
    .cured_by(command, "ShareUpdateExclusiveLock on the table")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::checks::fixture::{index, quiet, table, thresholds};
    use crate::model::structure::{ColumnForm, ExtendedStatistics};

    fn column(distinct: f64) -> ColumnForm {
        ColumnForm {
            length: 4,
            align: 4,
            width: Some(4.0),
            null_share: Some(0.0),
            distinct: Some(distinct),
        }
    }

    /// TPC-H's lineitem (`l_partkey`, `l_suppkey`) on `PostgreSQL` 15: 60.9 MB.
    fn line_items(bytes: u64) -> Snapshot {
        let mut snapshot = quiet();
        snapshot.tables = vec![table("lineitem", 6_001_215)];
        snapshot.indexes = vec![Index {
            size_bytes: bytes,
            ..index("part_supp", &["l_partkey", "l_suppkey"])
        }];
        snapshot.structure.page_bytes = 8_192;
        snapshot.structure.indexes = vec![IndexForm {
            oid: 2_000,
            columns: vec![column(200_000.0), column(10_000.0)],
            key_columns: 2,
            names: vec!["l_partkey".into(), "l_suppkey".into()],
            is_image_equal: true,
            ..IndexForm::default()
        }];
        snapshot
    }

    #[test]
    fn a_small_index_tells_that_its_columns_go_together() {
        let drafts = without_statistics(&line_items(60_900_000), thresholds());
        assert_eq!(drafts.len(), 1);
        let sql = &drafts[0].cure.as_ref().unwrap().sql;
        assert!(sql.starts_with("CREATE STATISTICS \"public\".\"part_supp_together\" (ndistinct"));
    }

    #[test]
    fn independent_columns_and_those_with_statistics_are_left_alone() {
        assert!(without_statistics(&line_items(135_000_000), thresholds()).is_empty());
        let mut known = line_items(60_900_000);
        known.structure.extended = vec![ExtendedStatistics {
            table_oid: 1_000,
            columns: vec!["l_suppkey".into(), "l_partkey".into()],
        }];
        assert!(without_statistics(&known, thresholds()).is_empty());
    }
}
