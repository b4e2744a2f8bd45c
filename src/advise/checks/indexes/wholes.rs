//! Partitioned indexes as wholes: no cure works on a part of one.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::database::{Index, Snapshot};

/// Partitioned indexes by their oids, each as one.
pub(super) struct Wholes(BTreeMap<u32, Whole>);

/// A partitioned index: its parts' scans and bytes in sum, their latest use, the duties that any has;
/// invalid where any of them is.
struct Whole {
    index: Index,
    /// The tables that its parts are of.
    tables: BTreeSet<u32>,
}

impl Wholes {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let mut parted: BTreeMap<u32, Whole> = BTreeMap::new();
        for index in &snapshot.indexes {
            let Some(parent) = &index.parent else {
                continue;
            };
            let whole = parted.entry(parent.oid).or_insert_with(|| Whole {
                index: Index {
                    size_bytes: 0,
                    idx_scan: 0,
                    ..index.clone()
                },
                tables: BTreeSet::new(),
            });
            whole.tables.insert(index.table_oid);
            let sum = &mut whole.index;
            sum.size_bytes = sum.size_bytes.saturating_add(index.size_bytes);
            sum.idx_scan = sum.idx_scan.saturating_add(index.idx_scan);
            sum.last_idx_scan = sum.last_idx_scan.max(index.last_idx_scan);
            sum.is_valid &= index.is_valid;
            sum.is_primary |= index.is_primary;
            sum.is_constraint |= index.is_constraint;
            sum.is_replica_identity |= index.is_replica_identity;
        }
        Self(parted)
    }

    fn get(&self, index: &Index) -> Option<&Whole> {
        self.0.get(&index.parent.as_ref()?.oid)
    }

    /// The index, or the whole that it is a part of.
    pub(super) fn whole<'i>(&'i self, index: &'i Index) -> &'i Index {
        self.get(index).map_or(index, |whole| &whole.index)
    }

    /// A partitioned index goes as a whole, so only another whole may take its place, and only one
    /// that is there in each of its partitions.
    pub(super) fn stands_in(&self, kept: &Index, gone: &Index) -> bool {
        match (self.get(kept), self.get(gone)) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(kept), Some(gone)) => kept.tables.is_superset(&gone.tables),
        }
    }

    /// Which of two equal indexes stays: the one with duties, then that of more partitions, then the
    /// busier, then the older. Of partitioned ones the wholes are compared, so that no two partitions
    /// say different things.
    pub(super) fn worth(
        &self,
        index: &Index,
    ) -> (bool, bool, bool, usize, u64, std::cmp::Reverse<u32>) {
        let whole = self.whole(index);
        (
            whole.is_primary,
            whole.is_constraint || whole.is_replica_identity,
            whole.is_unique,
            self.get(index).map_or(0, |whole| whole.tables.len()),
            whole.idx_scan,
            std::cmp::Reverse(index.parent.as_ref().map_or(index.oid, |parent| parent.oid)),
        )
    }
}

/// Indexes, those of one partitioned index as one.
pub(super) fn wholes(snapshot: &Snapshot) -> Vec<Index> {
    let plain = snapshot.indexes.iter().filter(|i| i.parent.is_none());
    let mut all: Vec<Index> = plain.cloned().collect();
    all.extend(
        Wholes::of(snapshot)
            .0
            .into_values()
            .map(|whole| whole.index),
    );
    all
}
