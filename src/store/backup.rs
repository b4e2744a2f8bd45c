//! A whole store in one file, and back.
//!
//! For: backups, while the store is in use or not, and moving a store as it is. Not for: looking
//! into it with other tools (`transfer`), nor for what is damaged (`repair`). Read
//! [`Store::backup`] first.
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

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use super::barrier::{Database, Op};
use super::codec::{Damaged, Reader, put_bytes, put_varint};
use super::disk::{self, clear, sync_parent};
use super::{Error, FORMAT, Result, Store, wal};
use crate::model::units::Bytes;

const MAGIC: &[u8; 8] = b"PLIMBAK1";
const VERSION: u32 = 1;
const HEAD: usize = 20;
const FRAME_HEAD: usize = 9;
/// Plain bytes after which a frame is closed.
const FRAME: usize = 1 << 20;
/// The longest body and the longest plain one: a value of the largest size with its names.
const FRAME_MAX: usize = 80 << 20;
const LEVEL: i32 = 3;
const ENTRIES: u8 = 1;
const LOG: u8 = 2;
const END: u8 = 3;
/// Page cache of a database that is only filled.
const CACHE: u64 = 4 << 20;

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

fn failed(source: io::Error) -> Error {
    Error::io(Path::new("the backup"), source)
}

fn wrong(what: impl Into<String>) -> Error {
    Error::Backup(what.into())
}

/// Writes frames and keeps count of them.
struct Frames<'a, W> {
    to: &'a mut W,
    frames: u64,
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
            frames: 0,
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
        self.frames += 1;
        self.crc.update(&crc.to_le_bytes());
        self.done.file_bytes.0 += (FRAME_HEAD + body.len()) as u64;
        Ok(())
    }

    fn finish(mut self) -> Result<Backup> {
        let mut plain = Vec::new();
        put_varint(&mut plain, self.frames);
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

fn checksum(kind: u8, body: &[u8]) -> u32 {
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
            logs
        };
        let (count, crc, done) = (frames.frames, frames.crc, frames.done);
        to.write_all(&control).map_err(failed)?;
        drop(control);
        let mut frames = Frames {
            to,
            frames: count,
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
/// [`Error::NewerFormat`]. Then the folder is left empty.
pub fn restore(dir: &Path, from: &mut impl Read, mut told: impl FnMut(Backup)) -> Result<Backup> {
    if !disk::entries(dir)?.is_empty() {
        return Err(Error::NotEmpty {
            path: dir.to_owned(),
        });
    }
    super::make_folder(dir)?;
    let outcome = fill(dir, from, &mut told);
    if outcome.is_err() {
        clear(dir)?;
    }
    outcome
}

fn fill(dir: &Path, from: &mut impl Read, told: &mut impl FnMut(Backup)) -> Result<Backup> {
    let _lock = super::take_lock(dir)?;
    let mut databases: BTreeMap<String, Database> = BTreeMap::new();
    let wal = dir.join("wal");
    fs::create_dir_all(&wal).map_err(|e| Error::io(&wal, e))?;
    // Every store has one, also an empty one.
    let control = Database::open(&dir.join("control"), CACHE)?;
    databases.insert("control".to_owned(), control);
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
                    databases.retain(|name, _| name == "control");
                    let opened = Database::open(&dir.join(database), CACHE)?;
                    databases.insert(database.to_owned(), opened);
                }
                if let Some(to) = databases.get(database) {
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
    super::write_format(dir)?;
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
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    (database == "control" || database.starts_with("metrics-")) && database.chars().all(plain)
}

/// Reads a backup part by part; every byte is checked before it is handed on.
fn read(
    from: &mut impl Read,
    mut visit: impl FnMut(Part<'_>, Backup) -> Result<()>,
) -> Result<Backup> {
    let mut head = [0; HEAD];
    from.read_exact(&mut head).map_err(cut)?;
    let store_format = read_head(&head).map_err(|damage| wrong(damage.0))?;
    if store_format > FORMAT {
        return Err(Error::NewerFormat {
            path: PathBuf::from("the backup"),
            found: store_format,
        });
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
