//! One embedded database: guarded opening, bounded batches, and a barrier that reaches the disk.
//!
//! For: every access to sled; only `engine` names it beside this file, so that it can be changed. Not
//! for: what lies in the database (`keys`). Read [`Database::barrier`] first.
//!
//! What sled 0.34.7 does not do by itself, and this file does:
//! - `flush()` ends in `sync_file_range`, which does not survive a power cut while the file grows
//!   (spacejam/sled issues 1351 and 1452). The barrier follows it with `fdatasync` on a descriptor
//!   of its own, and opening syncs every file, the folder and its parent.
//! - A page above a quarter of a segment goes to a file in `blobs/`, which is never synced: the
//!   barrier does so.
//! - Large batches leak memory and disk: a batch has at most [`BATCH_MAX`] operations.
//! - A left-over `snap.*.generating` or a cut snapshot prevents opening (issues 1527 and 1533), and
//!   a damaged log may open as an empty database. So: half-written snapshots are removed, a copy is
//!   made before any retry, and a sentinel key must be found in a database that was once finished.
//!   A file that was cut opens as a shorter database: it is refused before (`mark`).
//! - A full disk poisons the open database. Writes are refused while `disk::SPARE` is not free.
#![expect(
    clippy::disallowed_types,
    reason = "this file and `engine` are the ones that know sled"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use super::blobs::Blobs;
use super::codec::Damaged;
use super::disk::sync_folder;
use super::disk::{copy_aside, need_room, remove_half_written, remove_snapshots, set_aside};
use super::engine::{Opening, engine, open_engine, open_trees, rows_of};
use super::gate::Gate;
use super::mark::{Mark, Suspicion, cut, is_counted};
use super::op::Op;
use super::shape::Shape;
use super::{Error, Result, failpoint};
use crate::model::units::Bytes;

/// Operations in one sled batch: 250 and fewer stay stable, 500 leak (measured with 0.34.7).
const BATCH_MAX: usize = 128;
/// Payload of one batch: well inside one segment.
const BATCH_BYTES: usize = 512 << 10;
pub(super) const SENTINEL_KEY: &[u8] = b"plimsoll";
pub(super) const SENTINEL: &[u8] = b"store 2";

/// Bytes as the engine has them in memory: kept without a copy, while its page may change or go.
#[derive(Debug, Clone)]
pub(super) struct Value(sled::IVec);

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// An open database. One writer at a time; readers never wait for it.
#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    db: sled::Db,
    trees: RwLock<BTreeMap<String, sled::Tree>>,
    disk: File,
    writer: Mutex<()>,
    blobs: Blobs,
    gate: Gate,
    mark: Mark,
    /// Rows that were there when it was opened, and those that were added; see `mark`.
    rows: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Database {
    /// Opens the database in folder `path`, or makes it.
    ///
    /// A finished database has a file `<path>.made` beside it. With the mark, the sentinel must be
    /// found, or the database is refused; without it, nothing was ever acknowledged in it.
    pub(super) fn open(path: &Path, shape: Shape) -> Result<Self> {
        let mark = Mark::of(path);
        let finished = mark.is_there();
        remove_half_written(path)?;
        let suspicion = if finished {
            mark.check(path)?
        } else {
            Suspicion::None
        };
        let copy = match suspicion {
            Suspicion::None => None,
            Suspicion::TornHeads => Some(copy_aside(path)?),
        };
        let db = match open_engine(path, shape) {
            Ok(db) => db,
            Err(Opening::Locked) => {
                return Err(Error::Locked {
                    path: path.to_owned(),
                    pid: None,
                });
            }
            Err(Opening::Io(source)) => return Err(Error::io(path, source)),
            Err(Opening::Damaged) if !finished => {
                set_aside(path, "unfinished")?;
                open_engine(path, shape).map_err(|error| error.refused(path, None))?
            }
            Err(Opening::Damaged) => {
                let copy = copy_aside(path)?;
                remove_snapshots(path)?;
                open_engine(path, shape).map_err(|error| error.refused(path, Some(copy)))?
            }
        };
        let sentinel = db.get(SENTINEL_KEY).map_err(|e| engine(path, e))?;
        if finished && (!db.was_recovered() || sentinel.as_deref() != Some(SENTINEL)) {
            drop(db);
            return Err(Error::Corrupt {
                path: path.to_owned(),
                what: "it opened as an empty one",
                copy,
            });
        }
        let trees = open_trees(&db).map_err(|e| engine(path, e))?;
        let rows = match mark.rows() {
            Some(known) if copy.is_none() => known,
            known => {
                let held = rows_of(&trees).map_err(|e| engine(path, e))?;
                if known.is_some_and(|known| held < known) {
                    drop((trees, db));
                    return Err(cut(path, copy));
                }
                known.unwrap_or(held)
            }
        };
        let disk = File::open(path.join("db")).map_err(|e| Error::io(path, e))?;
        let database = Self {
            trees: RwLock::new(trees),
            path: path.to_owned(),
            db,
            disk,
            writer: Mutex::default(),
            blobs: Blobs::of(path),
            gate: Gate::default(),
            rows: AtomicU64::new(rows),
            mark,
        };
        if !finished {
            database.finish()?;
        }
        Ok(database)
    }

    fn finish(&self) -> Result<()> {
        self.db
            .insert(SENTINEL_KEY, SENTINEL)
            .map_err(|e| engine(&self.path, e))?;
        self.db.flush().map_err(|e| self.engine(e))?;
        sync_folder(&self.path)?;
        self.mark.make()
    }

    /// Names of the trees that hold data, sorted.
    pub(super) fn trees(&self) -> Vec<String> {
        let trees = self.trees.read();
        let trees = trees.unwrap_or_else(PoisonError::into_inner);
        trees.keys().cloned().collect()
    }

    /// Removes a whole tree, if it is there.
    pub(super) fn drop_tree(&self, name: &str) -> Result<bool> {
        let _writer = lock(&self.writer);
        let mut trees = self.trees.write().unwrap_or_else(PoisonError::into_inner);
        if trees.remove(name).is_none() {
            return Ok(false);
        }
        self.db.drop_tree(name).map_err(|e| self.engine(e))
    }

    fn tree(&self, name: &str) -> Option<sled::Tree> {
        self.trees
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    fn tree_for_writing(&self, name: &str) -> Result<sled::Tree> {
        if let Some(tree) = self.tree(name) {
            return Ok(tree);
        }
        let tree = self.db.open_tree(name).map_err(|e| self.engine(e))?;
        self.trees
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned(), tree.clone());
        Ok(tree)
    }

    /// A copy of the value at `key`, if the tree and the key are there.
    pub(super) fn get(&self, tree: &str, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let found = self.find(tree, key)?;
        Ok(found.map(|value| value.to_vec()))
    }

    /// The value at `key`, if the tree and the key are there.
    pub(super) fn find(&self, tree: &str, key: &[u8]) -> Result<Option<Value>> {
        match self.tree(tree) {
            Some(tree) => Ok(tree.get(key).map_err(|e| self.engine(e))?.map(Value)),
            None => Ok(None),
        }
    }

    /// Keys and values under `prefix`, in order of keys.
    pub(super) fn find_all(&self, tree: &str, prefix: &[u8]) -> Result<Vec<(Value, Value)>> {
        let Some(tree) = self.tree(tree) else {
            return Ok(Vec::new());
        };
        let entries = tree.scan_prefix(prefix);
        entries
            .map(|entry| match entry {
                Ok((key, value)) => Ok((Value(key), Value(value))),
                Err(error) => Err(self.engine(error)),
            })
            .collect()
    }

    /// Calls `visit` with each key and value under `prefix`, in order of keys.
    pub(super) fn scan(
        &self,
        tree: &str,
        prefix: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        let Some(tree) = self.tree(tree) else {
            return Ok(());
        };
        for entry in tree.scan_prefix(prefix) {
            let (key, value) = entry.map_err(|e| self.engine(e))?;
            visit(&key, &value)?;
        }
        Ok(())
    }

    /// Keeps all writers waiting while the guard lives: what is read meanwhile is of one instant.
    pub(super) fn still(&self) -> MutexGuard<'_, ()> {
        lock(&self.writer)
    }

    /// Writes operations in order, in atomic batches of bounded size; not yet past the barrier.
    pub(super) fn write(&self, tree: &str, ops: Vec<Op>) -> Result<()> {
        self.need_room(&ops)?;
        let _writer = lock(&self.writer);
        let is_counted = is_counted(tree);
        let tree = self.tree_for_writing(tree)?;
        let rows = if is_counted {
            self.count(&tree, &ops)?
        } else {
            0
        };
        if ops.len() == 1 {
            let one = ops.into_iter().try_for_each(|op| self.apply_one(&tree, op));
            self.rows.fetch_add(rows, Ordering::Release);
            return one;
        }
        let mut batch = sled::Batch::default();
        let (mut count, mut size) = (0, 0);
        for op in ops {
            if count == BATCH_MAX || (count > 0 && size + op.size() > BATCH_BYTES) {
                self.apply(&tree, std::mem::take(&mut batch))?;
                (count, size) = (0, 0);
            }
            count += 1;
            size += op.size();
            match op {
                Op::Put(key, value) => batch.insert(key, value),
                Op::Delete(key) => batch.remove(key),
            }
        }
        if count > 0 {
            self.apply(&tree, batch)?;
        }
        self.rows.fetch_add(rows, Ordering::Release);
        Ok(())
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
                tree.insert(key, &[]).map_err(|e| self.engine(e))?;
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
        let is_counted = is_counted(tree);
        let tree = self.tree_for_writing(tree)?;
        let rows = if is_counted {
            self.count(&tree, &ops)?
        } else {
            0
        };
        for op in ops {
            self.apply_one(&tree, op)?;
        }
        self.rows.fetch_add(rows, Ordering::Release);
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
    fn apply_one(&self, tree: &sled::Tree, op: Op) -> Result<()> {
        failpoint::hit("before_batch");
        match op {
            Op::Put(key, value) => tree.insert(key, value),
            Op::Delete(key) => tree.remove(key),
        }
        .map_err(|e| self.engine(e))?;
        failpoint::hit("after_batch");
        Ok(())
    }

    fn apply(&self, tree: &sled::Tree, batch: sled::Batch) -> Result<()> {
        failpoint::hit("before_batch");
        tree.apply_batch(batch).map_err(|e| self.engine(e))?;
        failpoint::hit("after_batch");
        Ok(())
    }

    /// Returns when everything written before the call would survive a loss of power.
    ///
    /// Callers that wait together share one flush and one `fdatasync` (`gate`).
    pub(super) fn barrier(&self) -> Result<()> {
        self.gate.pass(|| self.reach_disk())
    }

    fn reach_disk(&self) -> Result<()> {
        let rows = self.rows.load(Ordering::Acquire);
        self.db.flush().map_err(|e| self.engine(e))?;
        failpoint::hit("after_flush");
        self.blobs.sync()?;
        self.disk
            .sync_data()
            .map_err(|e| Error::io(&self.path, e))?;
        failpoint::hit("after_fdatasync");
        if rows > 0 {
            let file = self.disk.metadata();
            let length = file.map_err(|e| Error::io(&self.path, e))?.len();
            self.mark.remember(length, rows);
        }
        Ok(())
    }

    /// Fails where the disk has no room for these operations.
    pub(super) fn need_room(&self, ops: &[Op]) -> Result<()> {
        need_room(
            &self.path,
            Bytes(ops.iter().map(Op::size).sum::<usize>() as u64),
        )
    }

    /// A value in this database that does not decode.
    pub(super) fn damaged(&self, damage: Damaged) -> Error {
        Error::damaged(&self.path, damage)
    }

    fn engine(&self, error: sled::Error) -> Error {
        engine(&self.path, error)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::disk::entries;

    const SHAPE: Shape = Shape::chunks(1 << 20);

    fn put(key: u8) -> Op {
        Op::put([key], vec![key; 10])
    }

    #[test]
    fn what_passed_the_barrier_is_there_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control");
        let database = Database::open(&path, SHAPE).unwrap();
        database.write("t", (0..=255).map(put).collect()).unwrap();
        database.write("t", vec![Op::Delete(vec![7])]).unwrap();
        database.barrier().unwrap();
        drop(database);
        let database = Database::open(&path, SHAPE).unwrap();
        let mut keys = 0;
        database
            .scan("t", &[], |_, _| {
                keys += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(keys, 255);
        assert_eq!(database.get("t", &[7]).unwrap(), None);
        assert_eq!(database.get("none", &[7]).unwrap(), None);
    }

    #[test]
    fn a_finished_database_that_comes_up_empty_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control");
        drop(Database::open(&path, SHAPE).unwrap());
        fs::remove_dir_all(&path).unwrap();
        let error = Database::open(&path, SHAPE).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }

    #[test]
    fn a_cut_snapshot_is_survived_and_a_copy_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control");
        for _ in 0..2 {
            let database = Database::open(&path, SHAPE).unwrap();
            database.write("t", (0..=255).map(put).collect()).unwrap();
            database.barrier().unwrap();
        }
        for file in entries(&path).unwrap() {
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            if name.starts_with("snap.") {
                let bytes = fs::read(&file).unwrap();
                fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
            }
        }
        fs::write(path.join("snap.0000.generating"), b"half").unwrap();
        let database = Database::open(&path, SHAPE).unwrap();
        assert!(database.get("t", &[9]).unwrap().is_some());
        assert!(path.with_extension("damaged-1").exists());
    }

    #[test]
    fn values_too_large_for_a_page_are_synced_and_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control");
        let database = Database::open(&path, SHAPE).unwrap();
        let large = |key: u8| Op::put([key], vec![key; SHAPE.segment / 2]);
        database.write("t", (0..4).map(large).collect()).unwrap();
        database.barrier().unwrap();
        assert!(!entries(&path.join("blobs")).unwrap().is_empty());
        drop(database);
        let database = Database::open(&path, SHAPE).unwrap();
        assert_eq!(
            database.get("t", &[3]).unwrap(),
            Some(vec![3; SHAPE.segment / 2])
        );
    }
}
