//! The mark beside a database: that it was finished once, and how much of it was past its barrier.
//!
//! For: noticing a file that was cut, which the engine opens as the shorter database it then is, and
//! segments that it would throw away. Not for: what does not read; checksums tell that. Read
//! [`Mark::check`] first.
//!
//! The file `<database>.made` is empty until the first barrier, then 20 bytes: length of the file
//! `db` u64 and rows u64, little-endian, and the CRC-32 of both. A row is a value that is not empty, in
//! a tree that is counted. The mark says at most what there is: it is written after the barrier, and
//! rows that are to be deleted are taken off it, past a sync, before they are.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::disk::sync_parent;
use super::keys::{ROWS, SKETCHES_1H, SKETCHES_5M};
use super::leaves::Leaves;
use super::pages::{Pages, has_torn_heads};
use super::{Error, Result};

const LEN: usize = 20;

/// How much was past the last barrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Reach {
    /// Bytes of the file `db`.
    length: u64,
    rows: u64,
}

#[derive(Debug, Default)]
struct State {
    written: Reach,
    /// Bytes and rows that were past the last barrier.
    length: u64,
    added: u64,
    /// Rows that were deleted since the mark was read.
    gone: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Mark {
    path: PathBuf,
    state: Mutex<State>,
    /// What the file said; `None` if it said nothing.
    found: Option<Reach>,
}

/// What is to be thought of a database that is about to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suspicion {
    /// Nothing speaks against it.
    None,
    /// Segments do not begin as they should: the engine would write over them.
    TornHeads,
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
        let found = fs::read(&path).ok().and_then(|bytes| parse(&bytes));
        let written = found.unwrap_or_default();
        Self {
            path,
            found,
            state: Mutex::new(State {
                written,
                length: written.length,
                added: written.rows,
                gone: 0,
            }),
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

    /// Rows that were past the last barrier; `None` if the mark says nothing of them.
    pub(super) fn rows(&self) -> Option<u64> {
        self.found.map(|reach| reach.rows)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers how much is past the barrier: the file's length, and rows that were there at the
    /// start or were added since and are past it.
    pub(super) fn remember(&self, length: u64, added: u64) {
        let mut state = self.state();
        (state.length, state.added) = (length, added);
        // What it says now is less, and so still true.
        if let Err(error) = self.write(&mut state, false) {
            tracing::debug!(%error, "a mark was not written");
        }
    }

    /// Forgets rows that are about to be deleted.
    ///
    /// # Errors
    /// What the disk says; then nothing may be deleted.
    pub(super) fn forget(&self, rows: u64) -> Result<()> {
        let mut state = self.state();
        state.gone += rows;
        self.write(&mut state, true)
    }

    fn write(&self, state: &mut State, is_synced: bool) -> Result<()> {
        let now = Reach {
            length: state.length,
            rows: state.added.saturating_sub(state.gone),
        };
        if state.written == now {
            return Ok(());
        }
        let failed = |e| Error::io(&self.path, e);
        let file = OpenOptions::new().write(true).open(&self.path);
        let file = file.map_err(failed)?;
        file.write_all_at(&put(now), 0).map_err(failed)?;
        if is_synced {
            file.sync_data().map_err(failed)?;
        }
        state.written = now;
        Ok(())
    }

    /// Refuses the database in folder `path`, which nobody has open, if its file is shorter than it
    /// was and rows are missing. The engine may shorten a file by itself, and loses nothing by that.
    ///
    /// # Errors
    /// [`Error::Corrupt`] then; what the disk says.
    pub(super) fn check(&self, path: &Path) -> Result<Suspicion> {
        let db = path.join("db");
        if let Some(known) = self.found.filter(|known| known.rows > 0)
            && fs::metadata(&db).map_or(0, |file| file.len()) < known.length
            && count(path)? < known.rows
        {
            return Err(cut(path, None));
        }
        if db.exists() && has_torn_heads(path)? {
            return Ok(Suspicion::TornHeads);
        }
        Ok(Suspicion::None)
    }
}

/// A database that lacks rows which were past its barrier.
pub(super) fn cut(path: &Path, copy: Option<PathBuf>) -> Error {
    Error::Corrupt {
        path: path.to_owned(),
        what: "its file was cut or overwritten, and rows that were safe are not there",
        copy,
    }
}

/// Rows that read, without the engine.
fn count(path: &Path) -> Result<u64> {
    let mut rows = 0;
    if path.join("db").exists() {
        let leaves = Leaves::of(Pages::read(path)?)?;
        for tree in leaves.trees().iter().filter(|tree| is_counted(tree)) {
            leaves.scan(tree, |_, value| {
                rows += u64::from(!value.is_empty());
                Ok(())
            })?;
        }
    }
    Ok(rows)
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
        assert!(Mark::of(&path).is_there() && Mark::of(&path).rows().is_none());
        mark.remember(1 << 20, 77);
        mark.forget(7).unwrap();
        assert_eq!(Mark::of(&path).rows(), Some(70));
        // A barrier that began before the deletion ends after it.
        mark.remember(1 << 20, 77);
        assert_eq!(Mark::of(&path).rows(), Some(70));
        mark.remember(1 << 20, 80);
        assert_eq!(Mark::of(&path).rows(), Some(73));
        let good = fs::read(&mark.path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(parse(&bad), None, "byte {at}");
            assert_eq!(parse(&good[..at]), None, "length {at}");
        }
    }
}
