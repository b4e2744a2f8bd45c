//! Batches: what is written into a database, bounded and counted.
//!
//! For: every write. Not for: when it is safe (`barrier`). Read [`Database::write`] first.
#![expect(
    clippy::disallowed_types,
    reason = "this file, `barrier` and `engine` are the ones that know sled"
)]

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use super::barrier::{Database, lock};
use super::disk::need_room;
use super::mark::is_counted;
use super::op::Op;
use super::pending::Values;
use super::{Result, failpoint};
use crate::model::units::Bytes;

/// Operations in one sled batch: 250 and fewer stay stable, 500 leak (measured with 0.34.7).
const BATCH_MAX: usize = 128;
/// Payload of one batch: well inside one segment.
const BATCH_BYTES: usize = 512 << 10;

impl Database {
    /// Writes operations in order, in atomic batches of bounded size; not yet past the barrier.
    pub(super) fn write(&self, tree: &str, ops: Vec<Op>) -> Result<()> {
        if ops.len() == 1 {
            return self.write_each(tree, ops);
        }
        self.need_room(&ops)?;
        let _writer = lock(&self.writer);
        let (tree, rows) = self.begin(tree, &ops)?;
        let mut batch = sled::Batch::default();
        let (mut count, mut size) = (0, 0);
        for op in ops {
            if count == BATCH_MAX || (count > 0 && size + op.size() > BATCH_BYTES) {
                self.apply(&tree, std::mem::take(&mut batch))?;
                self.sync_if_due()?;
                (count, size) = (0, 0);
            }
            count += 1;
            size += op.size();
            self.unsynced.add(op.size(), op.value().is_some());
            match op {
                Op::Put(key, value) => batch.insert(key, value),
                Op::Delete(key) => batch.remove(key),
            }
        }
        if count > 0 {
            self.apply(&tree, batch)?;
        }
        self.rows.fetch_add(rows, Ordering::Release);
        self.sync_if_due()
    }

    /// The tree that is written into, and how many rows it will have more; see `mark`.
    fn begin(&self, name: &str, ops: &[Op]) -> Result<(sled::Tree, u64)> {
        let tree = self.tree_for_writing(name)?;
        let rows = if is_counted(name) {
            self.count(&tree, ops)?
        } else {
            0
        };
        Ok((tree, rows))
    }

    /// How many keys get a value that have none. Those that lose one are taken off the mark.
    fn count(&self, tree: &sled::Tree, ops: &[Op]) -> Result<u64> {
        let (mut new, mut gone) = (BTreeSet::new(), BTreeSet::new());
        for op in ops {
            let held = tree.get(op.key()).map_err(|e| self.engine(e))?;
            let is_held = held.is_some_and(|held| !held.is_empty());
            match op {
                Op::Put(key, value) if !value.is_empty() && !is_held => _ = new.insert(key),
                Op::Delete(key) if is_held => _ = gone.insert(key),
                _ => {}
            }
        }
        if !gone.is_empty() {
            self.mark.forget(gone.len() as u64)?;
        }
        Ok(new.len() as u64)
    }

    /// Makes ascending keys ready, each with an empty value unless it has one; one by one, since
    /// a batch of sled has no order, and keys that come in order fill leaves evenly.
    pub(super) fn make_places<K: AsRef<[u8]>>(
        &self,
        tree: &str,
        keys: impl Iterator<Item = K>,
    ) -> Result<()> {
        self.need_room(&[])?;
        let _writer = lock(&self.writer);
        let tree = self.tree_for_writing(tree)?;
        for key in keys {
            if !tree.contains_key(&key).map_err(|e| self.engine(e))? {
                self.unsynced.add(key.as_ref().len(), true);
                tree.insert(key, &[]).map_err(|e| self.engine(e))?;
                self.sync_if_due()?;
            }
        }
        Ok(())
    }

    /// Writes many small values in order of their keys, one by one: not atomic together, and a
    /// third of the bytes on disk that batches take, whose order is random.
    pub(super) fn write_in_order(&self, tree: &str, mut ops: Vec<Op>) -> Result<()> {
        ops.sort_by(|a, b| a.key().cmp(b.key()));
        self.write_each(tree, ops)
    }

    /// Writes operations one by one in their order, each whole; not yet past the barrier.
    pub(super) fn write_each(&self, tree: &str, ops: Vec<Op>) -> Result<()> {
        self.need_room(&ops)?;
        let _writer = lock(&self.writer);
        let (tree, rows) = self.begin(tree, &ops)?;
        for op in ops {
            self.apply_one(&tree, op.key(), op.value())?;
        }
        self.rows.fetch_add(rows, Ordering::Release);
        Ok(())
    }

    /// Writes the last value of each of many keys, one by one in their order: not atomic together. The
    /// tree must be none whose rows are counted.
    pub(super) fn settle(&self, name: &str, values: &Values) -> Result<()> {
        let sizes = values.iter().map(|(key, value)| {
            let value = value.as_ref().map_or(0, Vec::len);
            key.len() + value
        });
        self.need_bytes(sizes.sum())?;
        debug_assert!(!is_counted(name), "{name} is counted");
        let _writer = lock(&self.writer);
        let tree = self.tree_for_writing(name)?;
        for (key, value) in values {
            self.apply_one(&tree, key, value.as_deref())?;
        }
        Ok(())
    }

    /// Whether `ops` fit into one batch, and so happen wholly or not at all.
    pub(super) fn is_atomic(ops: &[Op]) -> bool {
        Self::fits(ops.len(), ops.iter().map(Op::size).sum())
    }

    /// Whether so many operations of so many bytes fit into one batch.
    pub(super) const fn fits(count: usize, size: usize) -> bool {
        count <= BATCH_MAX && size <= BATCH_BYTES
    }

    /// One operation is whole without a batch, which would cost the engine two more writes.
    fn apply_one(&self, tree: &sled::Tree, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        let size = key.len() + value.map_or(0, <[u8]>::len);
        self.unsynced.add(size, value.is_some());
        failpoint::hit("before_batch");
        match value {
            Some(value) => tree.insert(key, value),
            None => tree.remove(key),
        }
        .map_err(|e| self.engine(e))?;
        failpoint::hit("after_batch");
        self.sync_if_due()
    }

    /// Passes the barrier where as much was written as may be without one.
    fn sync_if_due(&self) -> Result<()> {
        if self.unsynced.is_full() {
            self.reach_disk()
        } else {
            Ok(())
        }
    }

    fn apply(&self, tree: &sled::Tree, batch: sled::Batch) -> Result<()> {
        failpoint::hit("before_batch");
        tree.apply_batch(batch).map_err(|e| self.engine(e))?;
        failpoint::hit("after_batch");
        Ok(())
    }

    /// Fails where the disk has no room for these operations.
    pub(super) fn need_room(&self, ops: &[Op]) -> Result<()> {
        self.need_bytes(ops.iter().map(Op::size).sum())
    }

    /// Fails where the disk has no room for so many bytes.
    pub(super) fn need_bytes(&self, size: usize) -> Result<()> {
        need_room(&self.path, Bytes(size as u64))
    }
}
