//! A whole store in one file, and back.
//!
//! For: backups, while the store is in use or not, and moving a store as it is. Not for: looking
//! into it with other tools (`transfer`), nor for what is damaged (`repair`). Read
//! [`Store::backup`] first, then `restore` for the way back.
//!
//! A backup is of one instant: everything acknowledged before it began is in it. Nothing is sealed
//! or dropped while it is written; scrapes and records go on.
//!
//! | part | bytes |
//! |---|---|
//! | head | `PLIMBAK1`, version u32, format of the store u32, CRC-32 of these 16 bytes u32 |
//! | then frames | kind u8, length u32, CRC-32 of kind and body u32, body |
//! | body | plain length varint, then one zstd frame |
//! | kind 1, entries | database, tree; to the end: key, value; each with a varint length before it |
//! | kind 2, a part of a log | its number varint, where the part begins varint, its bytes |
//! | kind 3, the last | frames before it, entries, bytes of entries and logs: varints; CRC-32 of the CRC-32s of all frames before it u32 |
//!
//! Integers are little-endian. After the last frame the file ends. So a file that is cut at any
//! length, or changed anywhere, is noticed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use super::barrier::Database;
use super::codec::{Reader, put_bytes, put_varint};
use super::databases::JOBS;
use super::disk::sync_parent;
use super::folder::FORMAT;
use super::keys::ROWS;
use super::{Error, Result, Store, wal};
use crate::model::units::Bytes;

pub(super) const MAGIC: &[u8; 8] = b"PLIMBAK1";
pub(super) const VERSION: u32 = 1;
pub(super) const HEAD: usize = 20;
pub(super) const FRAME_HEAD: usize = 9;
/// Plain bytes after which a frame is closed.
const FRAME: usize = 1 << 20;
/// The longest body and the longest plain one: a value of the largest size with its names.
pub(super) const FRAME_MAX: usize = 80 << 20;
const LEVEL: i32 = 3;
pub(super) const ENTRIES: u8 = 1;
pub(super) const LOG: u8 = 2;
pub(super) const END: u8 = 3;

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// Keys with their values.
    pub entries: u64,
    /// Bytes of keys, values and logs, before packing.
    pub bytes: Bytes,
    /// Bytes of the file.
    pub file_bytes: Bytes,
}

pub(super) fn failed(source: io::Error) -> Error {
    Error::io(Path::new("the backup"), source)
}

pub(super) fn wrong(what: impl Into<String>) -> Error {
    Error::Backup(what.into())
}

/// Writes frames and keeps count of them.
struct Frames<'a, W> {
    to: &'a mut W,
    written: u64,
    crc: crc32fast::Hasher,
    done: Backup,
}

impl<'a, W: Write> Frames<'a, W> {
    fn begin(to: &'a mut W) -> Result<Self> {
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&FORMAT.to_le_bytes());
        head.extend_from_slice(&crc32fast::hash(&head).to_le_bytes());
        to.write_all(&head).map_err(failed)?;
        Ok(Self {
            to,
            written: 0,
            crc: crc32fast::Hasher::new(),
            done: Backup {
                file_bytes: Bytes(HEAD as u64),
                ..Backup::default()
            },
        })
    }

    fn put(&mut self, kind: u8, plain: &[u8]) -> Result<()> {
        let mut body = Vec::new();
        put_varint(&mut body, plain.len() as u64);
        body.extend_from_slice(&zstd::bulk::compress(plain, LEVEL).map_err(failed)?);
        let len =
            u32::try_from(body.len()).map_err(|_| wrong("holds a value that is too large"))?;
        let crc = checksum(kind, &body);
        self.to
            .write_all(&[kind])
            .and_then(|()| self.to.write_all(&len.to_le_bytes()))
            .and_then(|()| self.to.write_all(&crc.to_le_bytes()))
            .and_then(|()| self.to.write_all(&body))
            .map_err(failed)?;
        self.written += 1;
        self.crc.update(&crc.to_le_bytes());
        self.done.file_bytes.0 += (FRAME_HEAD + body.len()) as u64;
        Ok(())
    }

    fn finish(mut self) -> Result<Backup> {
        let mut plain = Vec::new();
        put_varint(&mut plain, self.written);
        put_varint(&mut plain, self.done.entries);
        put_varint(&mut plain, self.done.bytes.0);
        plain.extend_from_slice(&self.crc.clone().finalize().to_le_bytes());
        self.put(END, &plain)?;
        self.to.flush().map_err(failed)?;
        Ok(self.done)
    }

    fn tree(&mut self, database: &Database, name: &str, tree: &str) -> Result<()> {
        let head = || {
            let mut plain = Vec::new();
            put_bytes(&mut plain, name.as_bytes());
            put_bytes(&mut plain, tree.as_bytes());
            plain
        };
        let mut plain = head();
        let empty = plain.len();
        database.scan(tree, &[], |key, value| {
            put_bytes(&mut plain, key);
            put_bytes(&mut plain, value);
            self.done.entries += 1;
            self.done.bytes.0 += (key.len() + value.len()) as u64;
            if plain.len() >= FRAME {
                self.put(ENTRIES, &std::mem::replace(&mut plain, head()))?;
            }
            Ok(())
        })?;
        // An empty tree is none.
        if plain.len() > empty {
            self.put(ENTRIES, &plain)?;
        }
        Ok(())
    }

    fn log(&mut self, number: u32, mut file: File, len: u64) -> Result<()> {
        let mut part = vec![0; FRAME];
        let mut offset = 0;
        while offset < len {
            let room = usize::try_from(len - offset).unwrap_or(FRAME).min(FRAME);
            let part = part.get_mut(..room).unwrap_or_default();
            file.read_exact(part).map_err(failed)?;
            let mut plain = Vec::with_capacity(room + 8);
            put_varint(&mut plain, u64::from(number));
            put_varint(&mut plain, offset);
            plain.extend_from_slice(part);
            self.put(LOG, &plain)?;
            offset += room as u64;
            self.done.bytes.0 += room as u64;
        }
        Ok(())
    }
}

pub(super) fn checksum(kind: u8, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(body);
    hasher.finalize()
}

impl Store {
    /// Writes a backup; `told` hears after each tree how far it is. The store may be in use.
    ///
    /// # Errors
    /// What the disk or the writer says.
    pub fn backup(&self, to: &mut impl Write, mut told: impl FnMut(Backup)) -> Result<Backup> {
        let history = self.history();
        history.store_latencies()?;
        // No seal and no retention until the end: what is at rest stays as it is.
        let upkeep = history.upkeep.lock();
        let _still = upkeep.unwrap_or_else(PoisonError::into_inner);
        let mut control = Vec::new();
        let mut frames = Frames::begin(&mut control)?;
        let logs = {
            // The instant: no scrape and no record is taken.
            let _head = history.head();
            let logs = open_logs(history.logs())?;
            let _writer = self.control.still();
            for tree in self.control.trees() {
                frames.tree(&self.control, "control", &tree)?;
            }
            if let Some(jobs) = self.known_jobs()? {
                let database = jobs.database()?;
                let _writer = database.still();
                frames.tree(database, JOBS, ROWS)?;
            }
            logs
        };
        let (count, crc, done) = (frames.written, frames.crc, frames.done);
        to.write_all(&control).map_err(failed)?;
        drop(control);
        let mut frames = Frames {
            to,
            written: count,
            crc,
            done,
        };
        for (number, file, len) in logs {
            frames.log(number, file, len)?;
        }
        told(frames.done);
        for name in history.databases.names()? {
            if let Some(database) = history.databases.find(&name)? {
                for tree in database.trees() {
                    frames.tree(&database, &name, &tree)?;
                    told(frames.done);
                }
            }
            history.databases.close_idle();
        }
        frames.finish()
    }
}

/// The logs as they are now. A log that is removed later can still be read.
fn open_logs(folder: &Path) -> Result<Vec<(u32, File, u64)>> {
    let mut logs = Vec::new();
    for number in wal::numbers(folder)? {
        let path = wal::path_of(folder, number);
        let file = File::open(&path).map_err(|e| Error::io(&path, e))?;
        let len = file.metadata().map_err(|e| Error::io(&path, e))?.len();
        logs.push((number, file, len));
    }
    Ok(logs)
}

/// Writes a file under another name and gives it its own when it is whole and on the disk.
///
/// # Errors
/// What `write` says, or the disk; then no file is there that was not before.
pub fn write_whole<T, E: From<Error>>(
    path: &Path,
    write: impl FnOnce(&mut File) -> std::result::Result<T, E>,
) -> std::result::Result<T, E> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let draft = path.with_file_name(name);
    let refused = |e| Error::io(&draft, e);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(refused)?;
    let written = write(&mut file).and_then(|done| {
        file.sync_all()
            .and_then(|()| fs::rename(&draft, path))
            .map_err(refused)?;
        sync_parent(path)?;
        Ok(done)
    });
    if written.is_err() {
        // What went wrong is the error to tell.
        let _ = fs::remove_file(&draft);
    }
    written
}

/// A backup whose frames have the bodies that `bytes` tell, and checksums that match: for fuzzing.
/// The first byte of each stretch is the kind, the second the length, the rest a plain body.
pub(super) fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    if let Ok(mut frames) = Frames::begin(&mut file) {
        let mut from = Reader::new(bytes);
        while let (Ok(kind), Ok(len)) = (from.byte(), from.byte()) {
            let plain = from.take(usize::from(len).min(from.rest().len()));
            if frames.put(kind, plain.unwrap_or_default()).is_err() {
                break;
            }
        }
        let _ = frames.finish();
    }
    file
}
