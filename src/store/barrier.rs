//! One embedded database: guarded opening, bounded batches, and a barrier that reaches the disk.
//!
//! For: every access to sled; only `batch` and `engine` name it beside this file, so that it can be
//! changed. Not for: what lies in the database (`keys`). Read [`Database::barrier`] first.
//!
//! What sled 0.34.7 does not do by itself, and this file does:
//! - `flush()` ends in `sync_file_range`, which does not survive a power cut while the file grows
//!   (spacejam/sled issues 1351 and 1452). The barrier follows it with `fdatasync` on a descriptor
//!   of its own, and opening syncs every file, the folder and its parent.
//! - A page above a quarter of a segment goes to a file in `blobs/`, which is never synced: the
//!   barrier does so.
//! - It writes over a segment as soon as what was in it has been moved and a further segment is
//!   full, although the file's new length may not be on the disk: a power cut then leaves neither the
//!   old nor the new, and the database does not open. So a sync follows each batch after which more
//!   than half a segment of its log may be without one ([`Unsynced`]).
//! - Large batches leak memory and disk: their size is bounded (`batch`).
//! - A left-over `snap.*.generating` or a cut snapshot prevents opening (issues 1527 and 1533), and
//!   a damaged log may open as an empty database. So: half-written snapshots are removed, a copy is
//!   made before any retry, and a sentinel key must be found in a database that was once finished.
//!   A file that was cut opens as a shorter database: it is refused before (`mark`).
//! - A full disk poisons the open database. Writes are refused while `disk::SPARE` is not free.
#![expect(
    clippy::disallowed_types,
    reason = "this file, `batch` and `engine` are the ones that know sled"
)]

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use super::blobs::Blobs;
use super::codec::Damaged;
use super::disk::{copy_aside, remove_half_written, remove_snapshots, set_aside, sync_folder};
use super::engine::{Opening, engine, open_engine, open_trees, rows_of};
use super::gate::Gate;
use super::mark::{Mark, Suspicion, cut};
use super::pages::told_size;
use super::shape::Shape;
use super::unsynced::Unsynced;
use super::{Error, Result, failpoint};

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
    pub(super) path: PathBuf,
    db: sled::Db,
    trees: RwLock<BTreeMap<String, sled::Tree>>,
    disk: File,
    pub(super) writer: Mutex<()>,
    blobs: Blobs,
    gate: Gate,
    pub(super) mark: Mark,
    pub(super) unsynced: Unsynced,
    /// Rows that were there when it was opened, and those that were added; see `mark`.
    pub(super) rows: AtomicU64,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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
        let shape = as_made(path, shape);
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
        let rows = match rows_at_start(&mark, &trees, copy.is_some()) {
            Ok(Some(rows)) => rows,
            Ok(None) => {
                drop((trees, db));
                return Err(cut(path, copy));
            }
            Err(error) => return Err(engine(path, error)),
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
            unsynced: Unsynced::within(shape.segment),
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

    pub(super) fn tree_for_writing(&self, name: &str) -> Result<sled::Tree> {
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

    /// Returns when everything written before the call would survive a loss of power.
    ///
    /// Callers that wait together share one flush and one `fdatasync` (`gate`).
    pub(super) fn barrier(&self) -> Result<()> {
        self.gate.pass(|| self.reach_disk())
    }

    pub(super) fn reach_disk(&self) -> Result<()> {
        let rows = self.rows.load(Ordering::Acquire);
        let unsynced = self.unsynced.now();
        self.db.flush().map_err(|e| self.engine(e))?;
        failpoint::hit("after_flush");
        self.blobs.sync()?;
        self.disk
            .sync_data()
            .map_err(|e| Error::io(&self.path, e))?;
        failpoint::hit("after_fdatasync");
        self.unsynced.passed(unsynced);
        if rows > 0 {
            let file = self.disk.metadata();
            let length = file.map_err(|e| Error::io(&self.path, e))?.len();
            self.mark.remember(length, rows);
        }
        Ok(())
    }

    /// A value in this database that does not decode.
    pub(super) fn damaged(&self, damage: Damaged) -> Error {
        Error::damaged(&self.path, damage)
    }

    pub(super) fn engine(&self, error: sled::Error) -> Error {
        engine(&self.path, error)
    }
}

/// The shape that a database was made with: it stays so.
fn as_made(path: &Path, shape: Shape) -> Shape {
    let made = told_size(path)
        .0
        .and_then(|size| usize::try_from(size).ok());
    Shape {
        segment: made.unwrap_or(shape.segment),
        ..shape
    }
}

/// Rows that a database holds when it is opened: those of its mark, or counted where the mark says
/// nothing or `is_doubtful`; `None` if there are fewer than the mark says.
fn rows_at_start(
    mark: &Mark,
    trees: &BTreeMap<String, sled::Tree>,
    is_doubtful: bool,
) -> sled::Result<Option<u64>> {
    let known = mark.rows();
    if let Some(known) = known.filter(|_| !is_doubtful) {
        return Ok(Some(known));
    }
    let held = rows_of(trees)?;
    Ok((held >= known.unwrap_or(0)).then_some(known.unwrap_or(held)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::disk::entries;
    use crate::store::op::Op;

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
