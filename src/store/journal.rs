//! The journal of rows: two files, written over in turns, with what is not yet in their database.
//!
//! For: a change of rows is safe after one write and one `fdatasync` into a file whose length and place
//! do not change. Not for: samples (`wal`), and when it turns over (`rows`). Read [`Journal`] first.
//!
//! Each file holds frames from its start; behind the last stand those of an earlier turn. Integers here are
//! little-endian.
//!
//! | bytes | meaning |
//! |---|---|
//! | 0–3 | length of what follows the head |
//! | 4–7 | CRC-32 of bytes 8 to the end |
//! | 8–15 | turn: how often a file was taken, which is the same for all frames of a file |
//! | 16–23 | number of the frame, going on over the turns |
//! | then | groups of operations, as `pending` writes them |
//!
//! A turn begins with a head alone, which has the number of the frame before it, and is on the disk before
//! anything else of the turn is written. So a file is of the one turn or of the other, whichever of its pages
//! a loss of power leaves; and no turn comes twice, so that nothing that was lost can stand where a later
//! frame ends. After an opening and a clean end both files hold such a head.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::codec::{Damaged, Reader};
use super::op::Op;
use super::pending::read_groups;
use super::{Error, Result, disk, failpoint};
use crate::model::units::Bytes;

/// Bytes of each file.
const SIZE: usize = 2 << 20;
/// Room that an empty buffer keeps.
const KEPT: usize = 64 << 10;
/// Bytes before the groups of a frame.
const HEAD: usize = 24;

/// See the module. One writer, whose lock is the caller's.
#[derive(Debug)]
pub(super) struct Journal {
    files: [(File, PathBuf); 2],
    active: usize,
    /// Where the next frame goes.
    at: usize,
    turn: u64,
    number: u64,
    /// Frames since the last sync, and where they begin: written again where a sync failed, since
    /// the system may then have forgotten that they are not on the disk.
    unsynced: Vec<u8>,
    has_failed: bool,
}

/// What was found in a file.
#[derive(Debug, Default)]
struct Found {
    turn: u64,
    /// The number of its head: of the last frame of the turn before.
    first: u64,
    last: u64,
    groups: Vec<Vec<Op>>,
}

/// The files of the journal of a database.
pub(super) fn paths(database: &Path) -> [PathBuf; 2] {
    ["journal-0", "journal-1"].map(|ending| database.with_extension(ending))
}

/// Sets aside the journal of a database that is not there: it is of another.
pub(super) fn set_aside(database: &Path) -> Result<()> {
    for path in paths(database) {
        let mut name = path.clone().into_os_string();
        name.push("-unfinished");
        match std::fs::rename(&path, name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(&path, error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The groups of operations that stand in the journal of a database, in their order.
///
/// # Errors
/// What the disk says; [`Error::Corrupt`] where a part between others is missing.
pub(super) fn read(database: &Path) -> Result<Vec<Vec<Op>>> {
    Ok(found(&paths(database))?
        .into_iter()
        .flat_map(|found| found.groups)
        .collect())
}

/// What stands in the files, the older turn first.
fn found(paths: &[PathBuf; 2]) -> Result<Vec<Found>> {
    let mut all = Vec::new();
    for path in paths {
        match std::fs::read(path) {
            Ok(bytes) => all.extend(read_file(&bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io(path, error)),
        }
    }
    all.sort_by_key(|found| found.turn);
    if let [older, newer] = all.as_slice()
        && !older.groups.is_empty()
        && !newer.groups.is_empty()
        && (newer.turn != older.turn + 1 || newer.first != older.last)
    {
        let [path, _] = paths;
        return Err(Error::damaged(path, Damaged("a part of it is missing")));
    }
    Ok(all)
}

/// The frames of one turn from the start on, up to where they end or are torn.
fn read_file(bytes: &[u8]) -> Option<Found> {
    let mut from = Reader::new(bytes);
    let (turn, first, groups) = read_frame(&mut from).ok()?;
    if !groups.is_empty() {
        return None;
    }
    let mut found = Found {
        turn,
        first,
        last: first,
        groups,
    };
    while let Ok((turn, number, groups)) = read_frame(&mut from) {
        if turn != found.turn || number != found.last.wrapping_add(1) {
            break;
        }
        found.last = number;
        found.groups.extend(groups);
    }
    Some(found)
}

fn read_frame(from: &mut Reader<'_>) -> std::result::Result<(u64, u64, Vec<Vec<Op>>), Damaged> {
    let length = from.u32_le()? as usize;
    let crc = from.u32_le()?;
    let body = from.take(HEAD - 8 + length)?;
    // Zeros, where nothing was ever written, have another sum.
    if crc != crc32fast::hash(body) {
        return Err(Damaged("a frame that does not match its checksum"));
    }
    let mut body = Reader::new(body);
    Ok((body.u64_le()?, body.u64_le()?, read_groups(body.rest())?))
}

impl Journal {
    /// Opens the journal of a database, or makes it; `replay` gets what stands there, in order, and
    /// returns when it is in the database and on the disk.
    ///
    /// # Errors
    /// What the disk or `replay` says; [`Error::Corrupt`] where a part between others is missing.
    pub(super) fn open(
        database: &Path,
        replay: impl FnOnce(Vec<Vec<Op>>) -> Result<()>,
    ) -> Result<Self> {
        let paths = paths(database);
        let all = found(&paths)?;
        let (turn, number) = all
            .last()
            .map_or((0, 0), |newest| (newest.turn, newest.last));
        let groups: Vec<Vec<Op>> = all.into_iter().flat_map(|found| found.groups).collect();
        if !groups.is_empty() {
            replay(groups)?;
        }
        let [first, second] = paths;
        let mut journal = Self {
            files: [make(first)?, make(second)?],
            active: 0,
            at: HEAD,
            turn: turn + 1,
            number,
            unsynced: Vec::new(),
            has_failed: false,
        };
        journal.clear()?;
        Ok(journal)
    }

    /// Forgets all frames: what they say is in the database and on the disk.
    pub(super) fn clear(&mut self) -> Result<()> {
        let mut heads = Vec::new();
        for (file, path) in &self.files {
            let mut head = [0; HEAD];
            let read = file.read_exact_at(&mut head, 0);
            read.map_err(|error| Error::io(path, error))?;
            let mut from = Reader::new(&head);
            let turn = from.take(8).and_then(|_| from.u64_le()).unwrap_or(0);
            heads.push((turn, file, path));
        }
        // The older first: the newer one alone can still be read, the older one alone would be wrong.
        heads.sort_by_key(|(turn, ..)| *turn);
        let head = frame(self.turn, self.number, &[]);
        for (_, file, path) in heads {
            begin(file, path, &head)?;
        }
        self.at = HEAD;
        self.unsynced.clear();
        Ok(())
    }

    /// Whether nothing was written since the last turn.
    pub(super) fn is_empty(&self) -> bool {
        self.at == HEAD
    }

    /// Whether a frame of so many bytes of groups has room in the file.
    pub(super) fn fits(&self, bytes: usize) -> bool {
        self.at + HEAD + bytes <= SIZE
    }

    /// Whether it is time to turn over.
    pub(super) fn is_half_full(&self) -> bool {
        self.at > SIZE / 2
    }

    /// Writes a frame, for which there must be room; when that fails, it is as if it were not there.
    pub(super) fn append(&mut self, groups: &[u8]) -> Result<()> {
        failpoint::hit("before_wal_write");
        let mut frame = frame(self.turn, self.number + 1, groups);
        if failpoint::is_next("mid_wal_frame") {
            let _ = self.write(frame.get(..frame.len() / 2).unwrap_or_default(), self.at);
        }
        failpoint::hit("mid_wal_frame");
        self.write(&frame, self.at)?;
        failpoint::hit("after_wal_write");
        self.at += frame.len();
        self.number += 1;
        self.unsynced.append(&mut frame);
        Ok(())
    }

    fn write(&self, bytes: &[u8], at: usize) -> Result<()> {
        let (file, path) = self.active();
        let written = file.write_all_at(bytes, at as u64);
        written.map_err(|error| Error::io(path, error))
    }

    fn active(&self) -> (&File, &Path) {
        let [first, second] = &self.files;
        let (file, path) = if self.active == 0 { first } else { second };
        (file, path)
    }

    /// Returns when all frames would survive a loss of power.
    pub(super) fn sync(&mut self) -> Result<()> {
        if self.unsynced.is_empty() {
            return Ok(());
        }
        if self.has_failed {
            self.write(&self.unsynced, self.at - self.unsynced.len())?;
        }
        let (file, path) = self.active();
        let synced = file.sync_data().map_err(|error| Error::io(path, error));
        self.has_failed = synced.is_err();
        synced?;
        failpoint::hit("after_fdatasync");
        emptied(&mut self.unsynced);
        Ok(())
    }

    /// Bytes that were written and not synced.
    pub(super) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// Goes on in the other file, whose frames are in the database. All of this one must be synced.
    pub(super) fn turn_over(&mut self) -> Result<()> {
        failpoint::hit("before_wal_rotate");
        let [first, second] = &self.files;
        let (file, path) = if self.active == 0 { second } else { first };
        begin(file, path, &frame(self.turn + 1, self.number, &[]))?;
        failpoint::hit("after_wal_rotate");
        self.active = 1 - self.active;
        self.at = HEAD;
        self.turn += 1;
        Ok(())
    }
}

/// Writes the head that a turn begins with, and returns when it is on the disk.
fn begin(file: &File, path: &Path, head: &[u8]) -> Result<()> {
    let begun = file.write_all_at(head, 0).and_then(|()| file.sync_data());
    begun.map_err(|error| Error::io(path, error))
}

fn frame(turn: u64, number: u64, groups: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEAD + groups.len());
    let length = u32::try_from(groups.len()).unwrap_or(u32::MAX);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(&turn.to_le_bytes());
    frame.extend_from_slice(&number.to_le_bytes());
    frame.extend_from_slice(groups);
    let crc = crc32fast::hash(frame.get(8..).unwrap_or_default());
    if let Some(place) = frame.get_mut(4..8) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
    frame
}

/// Reads bytes as a file, and as groups of frames whose checksums match; for the fuzzers.
pub(super) fn skim(bytes: &[u8]) {
    let _ = read_file(bytes);
    let _ = read_file(&[frame(1, 1, &[]), frame(1, 2, bytes)].concat());
}

#[cfg(test)]
impl Journal {
    /// How often the files were taken.
    pub(super) fn turns(&self) -> u64 {
        self.turn
    }

    /// Puts another file in the place of the one that is written; `/dev/null` takes frames and
    /// cannot be synced.
    pub(super) fn exchange(&mut self, file: File) -> File {
        let (active, _) = &mut self.files[self.active];
        std::mem::replace(active, file)
    }
}

/// Empties a buffer, whose room is kept if it is little.
pub(super) fn emptied(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.shrink_to(KEPT);
}

/// Opens a file at its full length: later writes change neither its length nor where it lies.
fn make(path: PathBuf) -> Result<(File, PathBuf)> {
    let failed = |error| Error::io(&path, error);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let missing = SIZE.saturating_sub(usize::try_from(length).unwrap_or(SIZE));
    if missing > 0 {
        disk::need_room(&path, Bytes(missing as u64))?;
        let zeros = vec![0; missing];
        file.write_all_at(&zeros, length).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        disk::sync_parent(&path)?;
    }
    Ok((file, path))
}
