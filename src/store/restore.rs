//! Reading a backup: into a new store, or to its end to see that it is whole.
//!
//! For: what `backup` wrote, and for noticing all that is not. Not for: damaged stores (`repair`).
//! Read [`restore`] first; the format stands in `backup`.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::backup::{
    Backup, END, ENTRIES, FRAME_HEAD, FRAME_MAX, HEAD, LOG, MAGIC, VERSION, checksum, failed, wrong,
};
use super::barrier::Database;
use super::codec::{Damaged, Reader};
use super::databases::{CONTROL, JOBS, shape};
use super::disk::{self, clear};
use super::folder::{FORMAT, make_folder, take_lock, write_format};
use super::op::Op;
use super::{Error, Result, keys, wal};
use crate::model::units::Bytes;

/// A part of a backup.
#[derive(Debug)]
enum Part<'a> {
    Entries {
        database: &'a str,
        tree: &'a str,
        entries: Vec<(&'a [u8], &'a [u8])>,
    },
    Log {
        number: u32,
        offset: u64,
        bytes: &'a [u8],
    },
}

/// Reads a backup to its end and says what it holds.
///
/// # Errors
/// [`Error::Backup`] for a file that is cut, changed or something else.
pub fn check(file: &mut File) -> Result<Backup> {
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    read(&mut io::BufReader::new(file), |_, _| Ok(()))
}

/// Reads a backup into a new store in an empty or new folder; `told` hears how far it is.
///
/// # Errors
/// [`Error::NotEmpty`]; [`Error::Backup`] for a file that is cut, changed or something else, and
/// [`Error::NewerFormat`] or [`Error::OlderFormat`]. Then the folder is left empty.
pub fn restore(dir: &Path, from: &mut impl Read, mut told: impl FnMut(Backup)) -> Result<Backup> {
    if !disk::entries(dir)?.is_empty() {
        return Err(Error::NotEmpty {
            path: dir.to_owned(),
        });
    }
    make_folder(dir)?;
    let outcome = fill(dir, from, &mut told);
    if outcome.is_err() {
        clear(dir)?;
    }
    outcome
}

fn fill(dir: &Path, from: &mut impl Read, told: &mut impl FnMut(Backup)) -> Result<Backup> {
    let _lock = take_lock(dir)?;
    let mut databases: BTreeMap<String, Database> = BTreeMap::new();
    let wal = dir.join("wal");
    fs::create_dir_all(&wal).map_err(|e| Error::io(&wal, e))?;
    // Every store has one, also an empty one.
    let control = Database::open(&dir.join(CONTROL), shape(CONTROL))?;
    databases.insert(CONTROL.to_owned(), control);
    let done = read(from, |part, so_far| {
        match part {
            Part::Entries {
                database,
                tree,
                entries,
            } => {
                if !is_name(database) || tree.is_empty() || tree.starts_with("__") {
                    return Err(wrong(format!("names {database:?} and {tree:?}")));
                }
                if !databases.contains_key(database) {
                    // Databases come one after the other: the last is brought to rest.
                    databases.retain(|name, _| name == CONTROL);
                    let opened = Database::open(&dir.join(database), shape(database))?;
                    databases.insert(database.to_owned(), opened);
                }
                if let Some(to) = databases.get(database) {
                    // As a seal does it: leaves take their shape while they are small.
                    to.make_places(tree, entries.iter().map(|(key, _)| *key))?;
                    let ops = entries.iter().map(|(key, value)| Op::put(key, *value));
                    to.write(tree, ops.collect())?;
                    to.barrier()?;
                }
            }
            Part::Log {
                number,
                offset,
                bytes,
            } => append(&wal::path_of(&wal, number), offset, bytes)?,
        }
        told(so_far);
        Ok(())
    })?;
    for database in databases.values() {
        database.barrier()?;
    }
    drop(databases);
    disk::sync_folder(&wal)?;
    write_format(dir)?;
    Ok(done)
}

fn append(path: &Path, offset: u64, bytes: &[u8]) -> Result<()> {
    let failed = |e| Error::io(path, e);
    disk::need_room(path.parent().unwrap_or(path), Bytes(bytes.len() as u64))?;
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(failed)?;
    if file.metadata().map_err(failed)?.len() != offset {
        return Err(wrong("holds parts of a log that do not fit together"));
    }
    file.write_all(bytes).map_err(failed)
}

fn is_name(database: &str) -> bool {
    database == CONTROL || database == JOBS || keys::part_bounds(database).is_some()
}

/// Reads a backup part by part; every byte is checked before it is handed on.
fn read(
    from: &mut impl Read,
    mut visit: impl FnMut(Part<'_>, Backup) -> Result<()>,
) -> Result<Backup> {
    let mut head = [0; HEAD];
    from.read_exact(&mut head).map_err(cut)?;
    let store_format = read_head(&head).map_err(|damage| wrong(damage.0))?;
    let path = PathBuf::from("the backup");
    let found = store_format;
    match found.cmp(&FORMAT) {
        Ordering::Greater => return Err(Error::NewerFormat { path, found }),
        Ordering::Less => return Err(Error::OlderFormat { path, found }),
        Ordering::Equal => {}
    }
    let mut done = Backup {
        file_bytes: Bytes(HEAD as u64),
        ..Backup::default()
    };
    let (mut frames, mut all) = (0u64, crc32fast::Hasher::new());
    loop {
        let mut head = [0; FRAME_HEAD];
        from.read_exact(&mut head).map_err(cut)?;
        let [kind, a, b, c, d, crc @ ..] = head;
        let len = u32::from_le_bytes([a, b, c, d]) as usize;
        if len > FRAME_MAX {
            return Err(wrong("holds a frame beyond its bound"));
        }
        // Grown as it comes: a length that lies must not cost memory.
        let mut body = Vec::new();
        let read = from.take(len as u64).read_to_end(&mut body).map_err(cut)?;
        if read != len {
            return Err(cut(io::ErrorKind::UnexpectedEof.into()));
        }
        if checksum(kind, &body).to_le_bytes() != crc {
            return Err(wrong("holds a frame that does not match its checksum"));
        }
        done.file_bytes.0 += (FRAME_HEAD + len) as u64;
        let plain = unpack(&body).map_err(|damage| wrong(damage.0))?;
        if kind == END {
            let told = read_end(&plain).map_err(|damage| wrong(damage.0))?;
            let found = (frames, done.entries, done.bytes.0, all.finalize());
            if told != found {
                return Err(wrong("does not hold as much as its end says"));
            }
            return match from.read(&mut [0; 1]).map_err(cut)? {
                0 => Ok(done),
                _ => Err(wrong("goes on behind its end")),
            };
        }
        frames += 1;
        all.update(&crc);
        let part = read_part(kind, &plain).map_err(|damage| wrong(damage.0))?;
        match &part {
            Part::Entries { entries, .. } => {
                done.entries += entries.len() as u64;
                let bytes = entries.iter().map(|(k, v)| k.len() + v.len());
                done.bytes.0 += bytes.sum::<usize>() as u64;
            }
            Part::Log { bytes, .. } => done.bytes.0 += bytes.len() as u64,
        }
        visit(part, done)?;
    }
}

fn cut(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => wrong("is cut off; it is not whole"),
        _ => failed(error),
    }
}

fn read_head(head: &[u8]) -> std::result::Result<u32, Damaged> {
    let mut from = Reader::new(head);
    if from.take(MAGIC.len())? != MAGIC {
        return Err(Damaged("is no backup of a store"));
    }
    let (version, format) = (from.u32_le()?, from.u32_le()?);
    if from.u32_le()? != crc32fast::hash(head.get(..HEAD - 4).unwrap_or_default()) {
        return Err(Damaged("has a head that does not match its checksum"));
    }
    if version > VERSION {
        return Err(Damaged("is of a later release; use that one"));
    }
    Ok(format)
}

fn unpack(body: &[u8]) -> std::result::Result<Vec<u8>, Damaged> {
    let mut from = Reader::new(body);
    let len = from.length(FRAME_MAX)?;
    zstd::bulk::decompress(from.rest(), len)
        .ok()
        .filter(|plain| plain.len() == len)
        .ok_or(Damaged("holds a frame that does not unpack"))
}

fn read_end(plain: &[u8]) -> std::result::Result<(u64, u64, u64, u32), Damaged> {
    let mut from = Reader::new(plain);
    Ok((
        from.varint()?,
        from.varint()?,
        from.varint()?,
        from.u32_le()?,
    ))
}

fn read_part(kind: u8, plain: &[u8]) -> std::result::Result<Part<'_>, Damaged> {
    let mut from = Reader::new(plain);
    match kind {
        ENTRIES => {
            let (database, tree) = (from.text()?, from.text()?);
            let mut entries = Vec::new();
            while !from.is_done() {
                entries.push((from.bytes()?, from.bytes()?));
            }
            Ok(Part::Entries {
                database,
                tree,
                entries,
            })
        }
        LOG => Ok(Part::Log {
            number: from.varint_u32()?,
            offset: from.varint()?,
            bytes: from.rest(),
        }),
        _ => Err(Damaged("holds an unknown frame")),
    }
}

/// Reads any bytes as a backup, for fuzzing.
pub(super) fn read_any(bytes: &[u8]) -> Result<Backup> {
    read(&mut io::Cursor::new(bytes), |_, _| Ok(()))
}
