//! A folder that is gone when the demo is: removed with the value, or by a guardian if we are killed.
//!
//! For: the demo's throw-away history. Not for: the server's own folder, which `cluster` looks after.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cluster::random_hex;
use super::process::Guardian;
use super::{Result, cannot};

/// Tries to remove a folder that something still writes to, and the pause between them.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// A throw-away folder. Dropping it removes it with all that it holds.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    guardian: Option<Guardian>,
}

impl Scratch {
    /// Makes a folder with a name of its own in `parent`, for its owner alone.
    ///
    /// # Errors
    /// `File` if it cannot be made, `Run` if there is no shell to look after it.
    pub fn make_in(parent: &Path) -> Result<Self> {
        // The name is nobody else's, so the guardian may be there first: a kill in between leaves
        // nothing.
        let folder = fresh_in(parent)?;
        let guardian = Guardian::over(&folder)?;
        match make_new(&folder) {
            Ok(folder) => Ok(Self {
                folder,
                guardian: Some(guardian),
            }),
            Err(error) => {
                guardian.dismiss();
                Err(error)
            }
        }
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes it.
    ///
    /// # Errors
    /// `File` if something is in the way; the guardian then tries on when this process ends.
    pub fn remove(mut self) -> Result<()> {
        self.clear()
    }

    fn clear(&mut self) -> Result<()> {
        remove_all(&self.folder)?;
        if let Some(guardian) = self.guardian.take() {
            guardian.dismiss();
        }
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            tracing::warn!(%error, "the demo's folder is still there");
        }
    }
}

/// A name in `parent` that nobody else has.
pub(super) fn fresh_in(parent: &Path) -> Result<PathBuf> {
    let name = random_hex()?.split_off(20);
    Ok(parent.join(format!("plimsoll-demo-{name}")))
}

/// Makes the folder for its owner alone; one that exists is not ours to use, nor to remove.
pub(super) fn make_new(folder: &Path) -> Result<PathBuf> {
    DirBuilder::new()
        .mode(0o700)
        .create(folder)
        .map_err(cannot("cannot create", folder))?;
    Ok(folder.to_owned())
}

/// Removes a folder with all that it holds; that it is gone already is no error.
///
/// A process that was just killed may finish its last write: it is given a moment.
pub(super) fn remove_all(folder: &Path) -> Result<()> {
    let mut tries = TRIES;
    loop {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty && tries > 0 => {
                tries -= 1;
                std::thread::sleep(PAUSE);
            }
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(cannot("cannot remove", folder)(error));
            }
            _ => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_its_value_and_two_never_meet() {
        let home = tempfile::tempdir().unwrap();
        let scratch = Scratch::make_in(home.path()).unwrap();
        let other = Scratch::make_in(home.path()).unwrap();
        assert_ne!(scratch.folder(), other.folder());
        fs::create_dir(scratch.folder().join("deep")).unwrap();
        fs::write(scratch.folder().join("deep/file"), "x").unwrap();
        drop(scratch);
        other.remove().unwrap();
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_exists_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = make_new(folder.path()).unwrap_err();
        assert!(error.to_string().starts_with("cannot create"), "{error}");
        assert!(folder.path().exists());
    }

    #[test]
    fn a_folder_in_a_folder_that_is_not_there_is_refused() {
        let error = Scratch::make_in(Path::new("/nonexistent")).unwrap_err();
        assert!(error.to_string().starts_with("cannot create"), "{error}");
    }
}
