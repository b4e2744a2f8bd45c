//! Files that the engine writes for pages too large for its log.
//!
//! For: bringing them to the disk, which the engine itself never does. Not for: anything in them.
//! Read [`Blobs::sync`] first.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::disk::entries;
use super::{Error, Result};

/// The files of one database, and which of them are on the disk.
#[derive(Debug)]
pub(super) struct Blobs {
    folder: PathBuf,
    synced: Mutex<BTreeSet<PathBuf>>,
}

impl Blobs {
    /// Those of the database in a folder; none is known to be on the disk.
    pub(super) fn of(database: &Path) -> Self {
        Self {
            folder: database.join("blobs"),
            synced: Mutex::default(),
        }
    }

    /// Syncs those that are new; the engine never writes to one again.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn sync(&self) -> Result<()> {
        let found: BTreeSet<PathBuf> = entries(&self.folder)?.into_iter().collect();
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        if found.difference(&synced).next().is_some() {
            for file in found.difference(&synced).chain([&self.folder]) {
                match File::open(file).and_then(|file| file.sync_all()) {
                    // Replaced meanwhile by a newer page.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    outcome => outcome.map_err(|e| Error::io(file, e))?,
                }
            }
        }
        *synced = found;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_is_synced_once_and_what_is_gone_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::of(dir.path());
        blobs.sync().unwrap();
        std::fs::create_dir(&blobs.folder).unwrap();
        let file = |name: &str| blobs.folder.join(name);
        std::fs::write(file("1"), b"page").unwrap();
        std::fs::write(file("2"), b"page").unwrap();
        blobs.sync().unwrap();
        assert_eq!(*blobs.synced.lock().unwrap(), [file("1"), file("2")].into());
        std::fs::remove_file(file("1")).unwrap();
        blobs.sync().unwrap();
        assert_eq!(*blobs.synced.lock().unwrap(), [file("2")].into());
    }
}
