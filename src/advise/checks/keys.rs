//! Foreign keys without an index or of another type, and constraints that were never checked.
//!
//! Source: PostgreSQL manual, section 5.4.5 "Foreign Keys" and `ALTER TABLE … VALIDATE CONSTRAINT`.

use std::collections::BTreeMap;

use super::{Draft, Thresholds, plain};
use crate::advise::sql;
use crate::model::database::{Snapshot, Table};
use crate::model::finding::Severity;
use crate::model::structure::ForeignKey;

/// Tables by oid, partitioned ones with the rows and deletes of their partitions added up.
fn by_oid(snapshot: &Snapshot) -> BTreeMap<u32, Table> {
    let mut all: BTreeMap<u32, Table> = BTreeMap::new();
    for table in &snapshot.tables {
        if let Some(whole) = &table.parent {
            let sum = all.entry(whole.oid).or_insert_with(|| Table {
                oid: whole.oid,
                schema: whole.schema.clone(),
                name: whole.name.clone(),
                parent: Some(whole.clone()),
                ..Table::default()
            });
            sum.n_live_tup = sum.n_live_tup.saturating_add(rows(table));
            sum.n_tup_del = sum.n_tup_del.saturating_add(table.n_tup_del);
        }
        all.insert(table.oid, table.clone());
    }
    all
}

fn rows(table: &Table) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate of rows is neither negative nor near the end of the range"
    )]
    let estimate = table.row_estimate.unwrap_or(0.0) as u64;
    estimate.max(table.n_live_tup)
}

pub(super) fn without_index(snapshot: &Snapshot, set: &Thresholds) -> Vec<Draft> {
    let tables = by_oid(snapshot);
    let keys = snapshot.structure.foreign_keys.iter();
    let mut found: Vec<(&ForeignKey, &Table, Option<&Table>)> = keys
        .filter(|key| !key.is_indexed)
        .filter_map(|key| {
            let table = tables.get(&key.table_oid)?;
            Some((key, table, tables.get(&key.target_oid)))
        })
        .filter(|(_, table, _)| rows(table) >= set.foreign_key_without_index.rows_min)
        .collect();
    found.sort_by_key(|(_, table, _)| std::cmp::Reverse(rows(table)));
    found
        .into_iter()
        .map(|(key, table, target)| {
            let deletes = target.map_or(0, |target| target.n_tup_del);
            // Without a delete nothing pays for it yet but joins.
            let severity = if deletes > 0 {
                Severity::Warning
            } else {
                Severity::Info
            };
            let name = plain(&table.schema, &table.name);
            let columns: Vec<String> = key.columns.iter().map(|c| sql::name(c)).collect();
            let title = format!(
                "foreign key {} of {name} ({}) has no index",
                key.name,
                key.columns.join(", ")
            );
            let advice = "Index its columns: each delete or change of key in the table referred to \
                          reads this whole table, under a lock";
            // A partitioned table takes no concurrent build.
            let (how, lock) = if table.parent.is_some() {
                (
                    "",
                    "ShareLock on the table and its partitions: writers wait",
                )
            } else {
                (" CONCURRENTLY", "ShareUpdateExclusiveLock on the table")
            };
            let command = format!(
                "CREATE INDEX{how} ON {} ({});",
                sql::qualified(&table.schema, &table.name),
                columns.join(", ")
            );
            Draft::new(severity, title, advice)
                .about(name)
                .seen("rows", rows(table))
                .seen(
                    "refers to",
                    target.map_or_else(
                        || "a table not seen".to_owned(),
                        |t| plain(&t.schema, &t.name),
                    ),
                )
                .seen("deletes there", deletes)
                .cured_by(command, lock)
        })
        .collect()
}

/// Types of one form, which the server compares without converting.
fn is_text(name: &str) -> bool {
    ["text", "character varying"].contains(&name)
}

pub(super) fn other_type(snapshot: &Snapshot, _: &Thresholds) -> Vec<Draft> {
    let tables = by_oid(snapshot);
    let keys = snapshot.structure.foreign_keys.iter();
    keys.filter_map(|key| {
        let table = tables.get(&key.table_oid)?;
        let pairs = key.columns.iter().zip(&key.types).zip(&key.target_types);
        let differing: Vec<(&String, &String, &String)> = pairs
            .filter(|((_, own), other)| own != other && !(is_text(own) && is_text(other)))
            .map(|((column, own), other)| (column, own, other))
            .collect();
        let (column, own, other) = *differing.first()?;
        let name = plain(&table.schema, &table.name);
        let title = format!("{name}.{column} is {own} and refers to {other}");
        let advice = "Give both columns one type: comparisons convert on each row, and the \
                      narrower of the two runs out first. The change rewrites the table under its \
                      strongest lock: plan a window, or fill a second column in batches";
        let changes: Vec<String> = differing
            .iter()
            .map(|(column, _, other)| format!("ALTER COLUMN {} TYPE {other}", sql::name(column)))
            .collect();
        let command = format!(
            "ALTER TABLE {} {};",
            sql::qualified(&table.schema, &table.name),
            changes.join(", ")
        );
        Some(
            Draft::new(Severity::Warning, title, advice)
                .about(name)
                .seen("constraint", &key.name)
                .seen("rows", rows(table))
                .cured_by(
                    command,
                    "AccessExclusiveLock on the table, and a rewrite of it",
                ),
        )
    })
    .collect()
}

pub(super) fn not_validated(snapshot: &Snapshot, _: &Thresholds) -> Vec<Draft> {
    let constraints = snapshot.structure.unvalidated.iter();
    constraints
        .map(|constraint| {
            let table = plain(&constraint.schema, &constraint.table);
            let title = format!(
                "constraint {} of {table} was never checked for old rows",
                constraint.name
            );
            let command = format!(
                "ALTER TABLE {} VALIDATE CONSTRAINT {};",
                sql::qualified(&constraint.schema, &constraint.table),
                sql::name(&constraint.name)
            );
            let lock = if constraint.definition == "FOREIGN KEY" {
                "ShareUpdateExclusiveLock on the table, RowShareLock on the one referred to"
            } else {
                "ShareUpdateExclusiveLock on the table"
            };
            Draft::new(
                Severity::Warning,
                title,
                "Validate it: rows that break it may be there, and the planner does not rely on it",
            )
            .about(table)
            .seen("kind", &constraint.definition)
            .cured_by(command, lock)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::checks::fixture::{quiet, table, thresholds};
    use crate::model::structure::Unvalidated;

    fn with(key: ForeignKey) -> Snapshot {
        let mut snapshot = quiet();
        let child = table("Item", 500_000);
        let parent = Table {
            oid: 7,
            n_tup_del: 3,
            ..table("Order", 1_000)
        };
        snapshot.tables = vec![child, parent];
        snapshot.structure.foreign_keys = vec![key];
        snapshot
    }

    fn key() -> ForeignKey {
        ForeignKey {
            name: "item_order".into(),
            table_oid: 1_000,
            columns: vec!["orderId".into()],
            target_oid: 7,
            types: vec!["integer".into()],
            target_types: vec!["integer".into()],
            is_indexed: false,
        }
    }

    #[test]
    fn a_large_table_that_deletes_must_search_is_told() {
        let drafts = without_index(&with(key()), thresholds());
        assert_eq!(drafts[0].severity, Severity::Warning);
        assert_eq!(
            drafts[0].cure.as_ref().unwrap().sql,
            "CREATE INDEX CONCURRENTLY ON \"public\".\"Item\" (\"orderId\");"
        );
        let indexed = ForeignKey {
            is_indexed: true,
            ..key()
        };
        assert!(without_index(&with(indexed), thresholds()).is_empty());
        let mut small = with(key());
        small.tables[0] = table("Item", 60);
        assert!(without_index(&small, thresholds()).is_empty());
        let mut calm = with(key());
        calm.tables[1].n_tup_del = 0;
        assert_eq!(
            without_index(&calm, thresholds())[0].severity,
            Severity::Info
        );
    }

    #[test]
    fn another_type_is_told_with_the_change() {
        assert!(other_type(&with(key()), thresholds()).is_empty());
        let narrow = ForeignKey {
            target_types: vec!["bigint".into()],
            ..key()
        };
        let drafts = other_type(&with(narrow), thresholds());
        let cure = drafts[0].cure.as_ref().unwrap();
        assert_eq!(
            cure.sql,
            "ALTER TABLE \"public\".\"Item\" ALTER COLUMN \"orderId\" TYPE bigint;"
        );
        assert!(cure.lock.contains("rewrite"));
    }

    #[test]
    fn a_constraint_that_is_not_valid_is_told_by_name() {
        let mut snapshot = quiet();
        assert!(not_validated(&snapshot, thresholds()).is_empty());
        snapshot.structure.unvalidated.push(Unvalidated {
            name: "po\"sitive".into(),
            schema: "public".into(),
            table: "lead".into(),
            definition: "CHECK".into(),
        });
        assert_eq!(
            not_validated(&snapshot, thresholds())[0]
                .cure
                .as_ref()
                .unwrap()
                .sql,
            "ALTER TABLE \"public\".\"lead\" VALIDATE CONSTRAINT \"po\"\"sitive\";"
        );
    }
}
