//! Files and folders: syncing them, copying them aside, and looking for room before writing.
//!
//! For: what `barrier`, `wal` and opening need of the file system. Not for: contents. Read
//! [`need_room`] first.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{Error, Result};
use crate::model::units::Bytes;

/// Free bytes that a write leaves on the file system: sled grows by segments, and must never meet
/// the end of the disk.
const SPARE: Bytes = Bytes(16 << 20);

/// Fails while fewer than [`SPARE`] bytes beyond `wanted` are free where `path` lies.
pub(super) fn need_room(path: &Path, wanted: Bytes) -> Result<()> {
    let room = rustix::fs::statvfs(path).map_err(|e| Error::io(path, e.into()))?;
    let free = Bytes(room.f_bavail.saturating_mul(room.f_frsize));
    if free.0 < SPARE.0.saturating_add(wanted.0) {
        return Err(Error::DiskFull {
            path: path.to_owned(),
            free,
            needed: Bytes(SPARE.0.saturating_add(wanted.0)),
        });
    }
    Ok(())
}

/// Paths in a folder; none if there is no folder.
pub(super) fn entries(path: &Path) -> Result<Vec<PathBuf>> {
    match fs::read_dir(path) {
        Ok(listing) => listing
            .map(|entry| entry.map(|e| e.path()).map_err(|e| Error::io(path, e)))
            .collect(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(Error::io(path, e)),
    }
}

fn remove_files(path: &Path, doomed: impl Fn(&str) -> bool) -> Result<()> {
    for file in entries(path)? {
        if file
            .file_name()
            .and_then(|n| n.to_str())
            .is_some_and(&doomed)
        {
            fs::remove_file(&file).map_err(|e| Error::io(&file, e))?;
        }
    }
    Ok(())
}

/// Empties a folder.
pub(super) fn clear(dir: &Path) -> Result<()> {
    let failed = |e| Error::io(dir, e);
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path: PathBuf = entry.map_err(failed)?.path();
        if path.is_dir() {
            fs::remove_dir_all(&path).map_err(failed)?;
        } else {
            fs::remove_file(&path).map_err(failed)?;
        }
    }
    Ok(())
}

/// Removes snapshots that sled had not finished: they prevent opening.
pub(super) fn remove_half_written(path: &Path) -> Result<()> {
    remove_files(path, |name| {
        name.starts_with("snap.") && name.ends_with(".generating")
    })
}

/// Removes all snapshots: sled then reads its whole log.
pub(super) fn remove_snapshots(path: &Path) -> Result<()> {
    remove_files(path, |name| name.starts_with("snap."))
}

/// A free name beside `path`: `control.damaged-1`, `-2` and so on.
fn free_name(path: &Path, why: &str) -> PathBuf {
    let mut number = 1;
    loop {
        let candidate = path.with_extension(format!("{why}-{number}"));
        if !candidate.exists() {
            return candidate;
        }
        number += 1;
    }
}

/// Renames a folder out of the way.
pub(super) fn set_aside(path: &Path, why: &str) -> Result<()> {
    fs::rename(path, free_name(path, why)).map_err(|e| Error::io(path, e))
}

/// Copies a folder beside itself, synced, and returns the copy's path. What was copied once is not
/// copied each time somebody asks: the last copy of a file of that length does.
pub(super) fn copy_aside(path: &Path) -> Result<PathBuf> {
    let length = |of: &Path| fs::metadata(of.join("db")).map(|file| file.len()).ok();
    let names = (1..).map(|number| path.with_extension(format!("damaged-{number}")));
    let known = names.take_while(|name| name.exists()).last();
    if let Some(known) = known.filter(|known| length(known) == length(path)) {
        return Ok(known);
    }
    let to = free_name(path, "damaged");
    copy_folder(path, &to).map_err(|e| Error::io(&to, e))?;
    Ok(to)
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            File::open(&target)?.sync_all()?;
        }
    }
    File::open(to)?.sync_all()
}

/// Syncs every file of a folder, the folder, and its parent.
pub(super) fn sync_folder(path: &Path) -> Result<()> {
    for file in entries(path)? {
        File::open(&file)
            .and_then(|f| f.sync_all())
            .map_err(|e| Error::io(&file, e))?;
    }
    File::open(path)
        .and_then(|f| f.sync_all())
        .map_err(|e| Error::io(path, e))?;
    sync_parent(path)
}

/// Syncs the folder that holds `path`, so that its name survives.
pub(super) fn sync_parent(path: &Path) -> Result<()> {
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    File::open(parent)
        .and_then(|f| f.sync_all())
        .map_err(|e| Error::io(parent, e))
}
