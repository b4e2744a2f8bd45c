//! The log: files of checksummed frames with what is not yet sealed.
//!
//! For: nothing scraped is lost when the process dies, and at most the last second when power
//! fails. Not for: reading by time (`segment` holds the same scrapes in memory). Read [`Log`]
//! first, and `frame` for what lies in one.
//!
//! A log is `wal/<number, ten digits>.log`. Integers here are little-endian.
//!
//! | bytes | meaning |
//! |---|---|
//! | 0–7 | `PLIMLOG1` |
//! | 8–11 | number of the log, as in its name |
//! | 12–15 | CRC-32 of bytes 0–11 |
//! | then | frames |

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::codec::{Damaged, Reader};
use super::frame::{Frame, next_frame, read_frames};
use super::{Error, Result, disk, failpoint};
use crate::model::units::{Bytes, Timestamp};

const MAGIC: &[u8; 8] = b"PLIMLOG1";
const HEAD: usize = 16;
/// The longest frame that is looked for behind a torn place.
const SOUGHT_MAX: usize = 1 << 20;

/// A log that is being written.
#[derive(Debug)]
pub(super) struct Log {
    file: Arc<File>,
    path: PathBuf,
    len: u64,
}

/// What was found in a log.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// Bytes of head and whole frames.
    pub(super) good: u64,
    /// Bytes after them.
    pub(super) torn: u64,
}

/// Path of a log.
pub(super) fn path_of(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:010}.log"))
}

/// Number of the log at a path, if it is one.
pub(super) fn number_of(path: &Path) -> Option<u32> {
    path.file_name()?
        .to_str()?
        .strip_suffix(".log")?
        .parse()
        .ok()
}

/// Reads the bytes of a log up to where it is torn; returns how many read.
pub(super) fn read_log(bytes: &[u8], number: u32, visit: impl FnMut(Frame)) -> usize {
    if read_head(bytes, number).is_err() {
        return 0;
    }
    HEAD + read_frames(bytes.get(HEAD..).unwrap_or_default(), visit)
}

/// The bytes of a log with the head that its number makes.
pub(super) fn with_head(bytes: &[u8], number: u32) -> Vec<u8> {
    [&head(number)[..], bytes.get(HEAD..).unwrap_or_default()].concat()
}

/// Instants of the scrapes that stand whole after a torn place, and the ends of pushes.
///
/// Their values cannot be had: each builds on those of the scrape before it.
pub(super) fn scrapes_after(bytes: &[u8], torn: usize) -> Vec<Timestamp> {
    let mut found = Vec::new();
    let mut at = torn + 1;
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() > 8) {
        // Most places are none: what cannot be a frame must not cost a checksum.
        let len = Reader::new(rest).u32_le().unwrap_or(u32::MAX) as usize;
        let may_be = len <= SOUGHT_MAX && matches!(rest.get(8), Some(1..=4));
        let mut from = Reader::new(rest);
        match may_be.then(|| next_frame(&mut from)) {
            Some(Ok(frame)) => {
                at = bytes.len() - from.rest().len();
                match frame {
                    Frame::Scrape(packed) => found.push(packed.at),
                    Frame::Push(push) => {
                        let ends = [push.times.iter().min(), push.times.iter().max()];
                        found.extend(
                            ends.into_iter()
                                .flatten()
                                .map(|at| Timestamp::from_millis(*at)),
                        );
                    }
                    Frame::Target { .. } | Frame::Series { .. } => {}
                }
            }
            _ => at += 1,
        }
    }
    found
}

/// Numbers of the logs in a folder, ascending.
pub(super) fn numbers(folder: &Path) -> Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let name = entry.map_err(|e| Error::io(folder, e))?.file_name();
        numbers.extend(number_of(Path::new(&name)));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn head(number: u32) -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    head.extend_from_slice(&number.to_le_bytes());
    head.extend_from_slice(&crc32fast::hash(&head).to_le_bytes());
    head
}

fn read_head(bytes: &[u8], number: u32) -> std::result::Result<(), Damaged> {
    let mut from = Reader::new(bytes);
    let start = from.take(HEAD - 4)?;
    if from.u32_le()? != crc32fast::hash(start) || !start.starts_with(MAGIC) {
        return Err(Damaged("a head that does not match"));
    }
    let mut from = Reader::new(start);
    from.take(MAGIC.len())?;
    if from.u32_le()? != number {
        return Err(Damaged("another number than its name"));
    }
    Ok(())
}

/// Reads a log from disk, frame by frame, up to where it is torn.
pub(super) fn replay(folder: &Path, number: u32, visit: impl FnMut(Frame)) -> Result<Found> {
    let path = path_of(folder, number);
    let bytes = fs::read(&path).map_err(|e| Error::io(&path, e))?;
    let good = read_log(&bytes, number, visit);
    Ok(Found {
        good: good as u64,
        torn: (bytes.len() - good) as u64,
    })
}

/// Keeps a copy of a torn log, then cuts it to its good part.
pub(super) fn cut(folder: &Path, number: u32, found: Found) -> Result<()> {
    let path = path_of(folder, number);
    let copy = path.with_extension("torn");
    fs::copy(&path, &copy).map_err(|e| Error::io(&copy, e))?;
    let file = OpenOptions::new()
        .write(true)
        .open(&path)
        .map_err(|e| Error::io(&path, e))?;
    file.set_len(found.good)
        .and_then(|()| file.sync_all())
        .map_err(|e| Error::io(&path, e))
}

impl Log {
    /// Begins log `number`.
    pub(super) fn create(folder: &Path, number: u32) -> Result<Self> {
        let path = path_of(folder, number);
        let head = head(number);
        disk::need_room(folder, Bytes(head.len() as u64))?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|e| Error::io(&path, e))?;
        let written = file
            .write_all(&head)
            .and_then(|()| file.sync_all())
            .map_err(|e| Error::io(&path, e))
            .and_then(|()| disk::sync_parent(&path));
        if let Err(error) = written {
            // A name without a head would stand in the way of the next try.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Self {
            file: Arc::new(file),
            path,
            len: head.len() as u64,
        })
    }

    /// Goes on with log `number`, whose good part is known.
    pub(super) fn resume(folder: &Path, number: u32, found: Found) -> Result<Self> {
        let path = path_of(folder, number);
        let mut file = OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(|e| Error::io(&path, e))?;
        file.seek(SeekFrom::Start(found.good))
            .map_err(|e| Error::io(&path, e))?;
        Ok(Self {
            file: Arc::new(file),
            path,
            len: found.good,
        })
    }

    /// Appends frames in one write; when that fails, the log is as it was before.
    pub(super) fn append(&mut self, frames: &[u8]) -> Result<()> {
        failpoint::hit("before_wal_write");
        if failpoint::is_next("mid_wal_frame") {
            let half = frames.get(..frames.len() / 2).unwrap_or_default();
            let _ = (&*self.file).write_all(half);
        }
        failpoint::hit("mid_wal_frame");
        disk::need_room(&self.path, Bytes(frames.len() as u64))?;
        if let Err(error) = (&*self.file).write_all(frames) {
            let restored = self
                .file
                .set_len(self.len)
                .and_then(|()| (&*self.file).seek(SeekFrom::Start(self.len)));
            return Err(Error::io(&self.path, restored.err().unwrap_or(error)));
        }
        self.len += frames.len() as u64;
        failpoint::hit("after_wal_write");
        Ok(())
    }

    /// Its length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// A handle for `fdatasync` that needs no lock.
    pub(super) fn file(&self) -> (Arc<File>, PathBuf) {
        (Arc::clone(&self.file), self.path.clone())
    }
}

/// Removes a log that was sealed; one that is gone already is fine.
pub(super) fn remove(folder: &Path, number: u32) -> Result<()> {
    failpoint::hit("before_wal_delete");
    let path = path_of(folder, number);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io(&path, e)),
        _ => {
            failpoint::hit("after_wal_delete");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::frame::tests::{bytes_of, frames};
    use proptest::prelude::*;

    #[test]
    fn a_torn_log_is_cut_with_a_copy_kept_and_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::create(dir.path(), 7).unwrap();
        let bytes = bytes_of(&frames());
        log.append(&bytes).unwrap();
        log.append(&bytes[..bytes.len() / 2]).unwrap();
        drop(log);
        let mut seen = 0;
        let found = replay(dir.path(), 7, |_| seen += 1).unwrap();
        assert!(seen >= 5 && found.torn > 0);
        cut(dir.path(), 7, found).unwrap();
        assert!(dir.path().join("0000000007.torn").exists());
        let mut log = Log::resume(dir.path(), 7, found).unwrap();
        log.append(&bytes).unwrap();
        let mut again = 0;
        let found = replay(dir.path(), 7, |_| again += 1).unwrap();
        assert_eq!((again, found.torn), (seen + 5, 0));
        assert_eq!(numbers(dir.path()).unwrap(), [7]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read_head(&bytes, 0);
            let good = read_log(&with_head(&bytes, 0), 0, |_| {});
            prop_assert!(good <= bytes.len().max(HEAD));
            let _ = scrapes_after(&bytes, 0);
        }
    }
}
