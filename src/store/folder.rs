//! A store's folder: whose it is, who has it open, and which format lies in it.
//!
//! For: refusing what is none of ours before anything is touched. Not for: what the databases in it
//! hold (`barrier`, `databases`). Read [`take_lock`] and [`read_format`] first.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::{Error, Result, disk};

/// The format that this build writes.
pub(super) const FORMAT: u32 = 2;
const FORMAT_NAME: &str = "plimsoll store ";

/// Makes a store's folder, which only this user may open.
pub(super) fn make_folder(dir: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| Error::NotWritable {
            path: dir.to_owned(),
            source,
        })
}

/// Keeps every other process from opening a store; let go when it is dropped.
pub(super) fn take_lock(dir: &Path) -> Result<File> {
    let path = dir.join("LOCK");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|e| Error::io(dir, e))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            return Err(Error::Locked {
                path: dir.to_owned(),
                pid: holder_of(&mut file),
            });
        }
        Err(fs::TryLockError::Error(e)) => return Err(Error::io(&path, e)),
    }
    file.set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| writeln!(file, "{}", std::process::id()))
        .map_err(|e| Error::io(&path, e))?;
    Ok(file)
}

/// Keeps others from opening a store without writing to it; `None` if it was never opened.
pub(super) fn share_lock(dir: &Path) -> Result<Option<File>> {
    let path = dir.join("LOCK");
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(&path, e)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Err(Error::Locked {
            path: dir.to_owned(),
            pid: holder_of(&mut file),
        }),
        Err(fs::TryLockError::Error(e)) => Err(Error::io(&path, e)),
    }
}

/// The process that a lock names.
fn holder_of(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    let _ = lock.read_to_string(&mut text);
    text.trim().parse().ok()
}

/// A folder with anything but a store in it, also a half-made one, is left alone.
pub(super) fn refuse_foreign(dir: &Path) -> Result<()> {
    if dir.join("FORMAT").exists() {
        return Ok(());
    }
    for entry in fs::read_dir(dir).map_err(|e| Error::io(dir, e))? {
        let name = entry.map_err(|e| Error::io(dir, e))?.file_name();
        let ours = name.to_str().is_some_and(|name| {
            ["LOCK", "FORMAT.new", "wal", "lost+found"].contains(&name)
                || name.starts_with("control")
        });
        if !ours {
            return Err(Error::NotAStore {
                path: dir.to_owned(),
            });
        }
    }
    Ok(())
}

/// Whether the folder says that it is a store of a format we read.
pub(super) fn read_format(dir: &Path) -> Result<bool> {
    let path = dir.join("FORMAT");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(Error::io(&path, e)),
    };
    let found: Option<u32> = text
        .strip_prefix(FORMAT_NAME)
        .and_then(|number| number.trim().parse().ok());
    match found {
        Some(FORMAT) => Ok(true),
        Some(found) if found < FORMAT => Err(Error::OlderFormat {
            path: dir.to_owned(),
            found,
        }),
        Some(found) => Err(Error::NewerFormat {
            path: dir.to_owned(),
            found,
        }),
        None => Err(Error::Corrupt {
            path,
            what: "it does not say which format the store has",
            copy: None,
        }),
    }
}

/// Writes which format the store has, all at once: from then on the folder is a store.
pub(super) fn write_format(dir: &Path) -> Result<()> {
    let (path, draft) = (dir.join("FORMAT"), dir.join("FORMAT.new"));
    let mut file = File::create(&draft).map_err(|e| Error::io(&draft, e))?;
    writeln!(file, "{FORMAT_NAME}{FORMAT}")
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&draft, &path))
        .map_err(|e| Error::io(&path, e))?;
    disk::sync_parent(&path)
}
