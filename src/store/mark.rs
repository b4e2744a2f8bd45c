//! The mark beside a database: that it was finished once, and how much of it was past its barrier.
//!
//! For: noticing a file that was cut, which the engine opens as the shorter database it then is. Not
//! for: what does not read; checksums tell that. Read [`Mark::check`] first.
//!
//! The file `<database>.made` is empty until the first barrier, then 20 bytes: length of the file
//! `db` u64 and rows u64, little-endian, and the CRC-32 of both. It is written after the barrier and
//! not synced: after a loss of power it may say less than there is, never more; rows that are about to
//! be deleted are taken off before. A row is a value that is not empty, in a tree that is counted.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::disk::sync_parent;
use super::keys::{ROWS, SKETCHES_1H, SKETCHES_5M};
use super::leaves::Leaves;
use super::pages::Pages;
use super::{Error, Result};

const LEN: usize = 20;

/// How much was past the last barrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Reach {
    /// Bytes of the file `db`.
    length: u64,
    rows: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Mark {
    path: PathBuf,
    known: Mutex<Reach>,
}

/// Whether the values of a tree are counted: not those of jobs, which come and go by the thousand, nor
/// those of trees that are dropped as a whole.
pub(super) fn is_counted(tree: &str) -> bool {
    ![ROWS, SKETCHES_5M, SKETCHES_1H].contains(&tree)
}

impl Mark {
    /// The mark of the database in folder `path`, whether it is there or not.
    pub(super) fn of(path: &Path) -> Self {
        let path = path.with_extension("made");
        let known = fs::read(&path).ok().and_then(|bytes| parse(&bytes));
        Self {
            path,
            known: Mutex::new(known.unwrap_or_default()),
        }
    }

    /// Whether the database was finished once.
    pub(super) fn is_there(&self) -> bool {
        self.path.exists()
    }

    /// Marks the database as finished.
    pub(super) fn make(&self) -> Result<()> {
        let file = File::create(&self.path).map_err(|e| Error::io(&self.path, e))?;
        file.sync_all().map_err(|e| Error::io(&self.path, e))?;
        sync_parent(&self.path)
    }

    /// Rows that were past the last barrier.
    pub(super) fn rows(&self) -> u64 {
        self.known().rows
    }

    fn known(&self) -> Reach {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers how much is past the barrier.
    pub(super) fn remember(&self, length: u64, rows: u64) {
        self.write(|_| Reach { length, rows });
    }

    /// Forgets rows that are about to be deleted.
    pub(super) fn forget(&self, rows: u64) {
        self.write(|known| Reach {
            rows: known.rows.saturating_sub(rows),
            ..known
        });
    }

    fn write(&self, change: impl FnOnce(Reach) -> Reach) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = change(*known);
        if *known == now {
            return;
        }
        *known = now;
        let file = OpenOptions::new().write(true).open(&self.path);
        if let Err(error) = file.and_then(|file| file.write_all_at(&put(now), 0)) {
            tracing::warn!(%error, path = %self.path.display(), "a mark was not written");
        }
    }

    /// Refuses the database in folder `path`, which nobody has open, if its file is shorter than it
    /// was and rows are missing. The engine may shorten a file by itself, and loses nothing by that.
    ///
    /// # Errors
    /// [`Error::Corrupt`] then; what the disk says.
    pub(super) fn check(&self, path: &Path) -> Result<()> {
        let known = self.known();
        let db = path.join("db");
        let length = fs::metadata(&db).map_or(0, |file| file.len());
        if length >= known.length || known.rows == 0 {
            return Ok(());
        }
        let mut rows = 0;
        if db.exists() {
            let leaves = Leaves::of(Pages::read(path)?)?;
            for tree in leaves.trees().iter().filter(|tree| is_counted(tree)) {
                leaves.scan(tree, |_, value| {
                    rows += u64::from(!value.is_empty());
                    Ok(())
                })?;
            }
        }
        if rows < known.rows {
            return Err(Error::Corrupt {
                path: path.to_owned(),
                what: "its file was cut, and rows that were safe are not there",
                copy: None,
            });
        }
        Ok(())
    }
}

fn put(reach: Reach) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LEN);
    bytes.extend(reach.length.to_le_bytes());
    bytes.extend(reach.rows.to_le_bytes());
    let crc = crc32fast::hash(&bytes);
    bytes.extend(crc.to_le_bytes());
    bytes
}

fn parse(bytes: &[u8]) -> Option<Reach> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (rows, crc) = rest.split_first_chunk()?;
    let reach = Reach {
        length: u64::from_le_bytes(*length),
        rows: u64::from_le_bytes(*rows),
    };
    (bytes.len() == LEN && put(reach).ends_with(crc)).then_some(reach)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_says_what_it_was_told_or_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        let mark = Mark::of(&path);
        assert!(!mark.is_there());
        mark.make().unwrap();
        assert!(Mark::of(&path).is_there() && Mark::of(&path).rows() == 0);
        mark.remember(1 << 20, 77);
        assert_eq!(Mark::of(&path).known(), mark.known());
        mark.forget(7);
        assert_eq!(Mark::of(&path).rows(), 70);
        let good = fs::read(&mark.path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(parse(&bad), None, "byte {at}");
            assert_eq!(parse(&good[..at]), None, "length {at}");
        }
    }
}
