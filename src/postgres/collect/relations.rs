//! Tables and indexes together: each needs the other's figures.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::BlindSpots;
use super::indexes::{self, Definitions, Fixed, IndexRow};
use super::partitions::Parents;
use super::ranking::{Weight, most_important};
use super::sizes::{SMALL_PAGES, Size, Sizes, Wanted};
use super::tables::{self, TableRow};
use crate::model::database::{Index, Table};
use crate::model::series::Sample;
use crate::postgres::Result;
use crate::postgres::capability::Capability;
use crate::postgres::observer::Options;
use crate::postgres::session::Session;

/// What is needed to read them.
pub(crate) struct Reader<'a> {
    pub(crate) session: &'a mut Session,
    pub(crate) able: &'a Capability,
    pub(crate) options: &'a Options,
    pub(crate) blind: &'a mut BlindSpots,
    pub(crate) cycle: u64,
}

/// What is remembered from cycle to cycle.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    sizes: Sizes,
    fixed: Fixed,
    definitions: Definitions,
    parents: Parents,
}

/// Records of all relations, and series of those that matter most.
#[derive(Debug, Default)]
pub(crate) struct Relations {
    /// Largest first.
    pub(crate) tables: Vec<Table>,
    /// In order of table and name.
    pub(crate) indexes: Vec<Index>,
    pub(crate) samples: Vec<Sample>,
}

impl Reader<'_> {
    /// Reads them all. Relations in `untouchable` keep the size and definition last known.
    pub(crate) async fn read(
        mut self,
        memory: &mut Memory,
        untouchable: &BTreeSet<u32>,
    ) -> Result<Relations> {
        let is_new = memory.sizes.is_empty();
        let tables = tables::read(self.session, self.able, is_new).await;
        let tables = self.blind.settle("tables", tables)?;
        let known = (&mut memory.fixed, self.cycle);
        let indexes = indexes::read(self.session, self.able, known).await;
        let mut indexes = self.blind.settle("indexes", indexes)?;
        let mut tables: BTreeMap<u32, TableRow> =
            tables.into_iter().map(|row| (row.table.oid, row)).collect();
        // An index whose table was made between the two readings comes with the next cycle.
        indexes.retain_mut(|row| {
            let table = tables.get(&row.index.table_oid);
            if let Some(TableRow { table, .. }) = table {
                row.index.schema.clone_from(&table.schema);
                row.index.table.clone_from(&table.name);
            }
            table.is_some()
        });
        self.measure(memory, &mut tables, &mut indexes, untouchable)
            .await?;
        let completed = memory
            .definitions
            .complete(self.session, &mut indexes, untouchable, self.cycle)
            .await;
        self.blind.settle("index definitions", completed)?;
        self.climb(&mut memory.parents, &mut tables, &mut indexes)
            .await?;
        for row in &indexes {
            if let Some(table) = tables.get_mut(&row.index.table_oid) {
                table.add_index(row);
            }
        }
        for row in tables.values_mut() {
            row.table.total_bytes += row.table.index_bytes;
        }
        Ok(self.finish(tables.into_values().collect(), indexes))
    }

    /// Says of each partition what it belongs to.
    async fn climb(
        &mut self,
        parents: &mut Parents,
        tables: &mut BTreeMap<u32, TableRow>,
        indexes: &mut [IndexRow],
    ) -> Result<()> {
        let of_tables = tables.values().filter(|row| row.is_partition);
        let of_indexes = indexes.iter().filter(|row| row.is_partition);
        let children: Vec<u32> = of_tables
            .map(|row| row.table.oid)
            .chain(of_indexes.map(|row| row.index.oid))
            .collect();
        let read = parents.refresh(self.session, &children, self.cycle).await;
        self.blind.settle("partitions", read)?;
        for row in tables.values_mut() {
            row.table.parent = parents.of(row.table.oid).cloned();
        }
        for row in indexes {
            row.index.parent = parents.of(row.index.oid).cloned();
        }
        Ok(())
    }

    async fn measure(
        &mut self,
        memory: &mut Memory,
        tables: &mut BTreeMap<u32, TableRow>,
        indexes: &mut [IndexRow],
        untouchable: &BTreeSet<u32>,
    ) -> Result<()> {
        let page = self.able.block_size;
        let stamps: Vec<Wanted> = tables
            .values()
            .map(|row| Wanted {
                oid: row.table.oid,
                stamp: row.stamp,
                told: row.told(page),
                is_index: false,
            })
            .chain(indexes.iter().map(|row| {
                let table = tables.get(&row.index.table_oid);
                let stamp = table.map_or(0, |table| table.stamp);
                // Counted together with its table, and as small.
                let is_small = (1..SMALL_PAGES).contains(&row.pages);
                let is_told = is_small && table.is_some_and(|table| table.told(page).is_some());
                let bytes = row.pages * page;
                Wanted {
                    oid: row.index.oid,
                    stamp: stamp ^ row.pages.rotate_left(32) ^ u64::from(row.file).rotate_left(7),
                    told: is_told.then_some(Size {
                        main: bytes,
                        total: bytes,
                    }),
                    is_index: true,
                }
            }))
            .collect();
        // With the table locked, its indexes cannot be opened either: sizes of both wait.
        let mut skipped = untouchable.clone();
        skipped.extend(
            indexes
                .iter()
                .filter(|row| untouchable.contains(&row.index.table_oid))
                .map(|row| row.index.oid),
        );
        let measured = memory
            .sizes
            .refresh(self.session, &stamps, &skipped, self.cycle)
            .await;
        self.blind.settle("sizes", measured)?;
        let locked = stamps
            .iter()
            .filter(|w| untouchable.contains(&w.oid))
            .count();
        if locked == 0 {
            self.blind.clear("locked relations");
        } else {
            self.blind.note(
                "locked relations",
                format!("{locked} relations are under ACCESS EXCLUSIVE lock"),
                "wait for the lock's holder: sizes are the last known",
            );
        }
        for row in tables.values_mut() {
            let size = memory.sizes.of(row.table.oid, row.pages * page);
            row.table.table_bytes = size.main;
            row.table.total_bytes = size.total;
        }
        for row in indexes {
            row.index.size_bytes = memory.sizes.of(row.index.oid, row.pages * page).total;
        }
        Ok(())
    }

    /// Chooses whose series are given, and puts the records in order.
    fn finish(self, mut tables: Vec<TableRow>, mut indexes: Vec<IndexRow>) -> Relations {
        let weights = tables.iter().map(|row| Weight {
            oid: row.table.oid,
            bytes: row.table.total_bytes,
            activity: row.activity(),
        });
        let chosen_tables = most_important(weights.collect(), self.options.max_tables);
        let weights = indexes.iter().map(|row| Weight {
            oid: row.index.oid,
            bytes: row.index.size_bytes,
            activity: row.index.idx_scan,
        });
        let chosen_indexes = most_important(weights.collect(), self.options.max_indexes);
        let limit =
            |all: usize, chosen: usize, what: &'static str, key: &str, blind: &mut BlindSpots| {
                if all > chosen {
                    let why = format!("{chosen} of {all} have series: the largest and the busiest");
                    blind.note(what, why, format!("raise {key}"));
                } else {
                    blind.clear(what);
                }
            };
        limit(
            tables.len(),
            chosen_tables.len(),
            "series of tables",
            "max_tables",
            self.blind,
        );
        let count = chosen_indexes.len();
        limit(
            indexes.len(),
            count,
            "series of indexes",
            "max_indexes",
            self.blind,
        );
        let mut out = Relations::default();
        tables.sort_by_key(|row| (Reverse(row.table.total_bytes), row.table.oid));
        for mut row in tables {
            if chosen_tables.contains(&row.table.oid) {
                out.samples.extend(row.samples(self.able));
            }
            out.tables.push(row.table);
        }
        indexes.sort_by(|a, b| {
            let key = |row: &IndexRow| {
                let index = &row.index;
                (
                    index.schema.clone(),
                    index.table.clone(),
                    index.name.clone(),
                )
            };
            key(a).cmp(&key(b))
        });
        for row in indexes {
            if chosen_indexes.contains(&row.index.oid) {
                out.samples.extend(indexes::samples(&row, self.able));
            }
            out.indexes.push(row.index);
        }
        out
    }
}
