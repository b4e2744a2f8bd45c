//! The log: a file of checksummed frames with the scrapes that are not yet sealed.
//!
//! For: nothing scraped is lost when the process dies, and at most the last second when power
//! fails. Not for: reading by time (`segment` holds the same scrapes in memory). Read [`Frame`]
//! first.
//!
//! A log is `wal/<number, ten digits>.log`. Integers here are little-endian.
//!
//! | bytes | meaning |
//! |---|---|
//! | 0–7 | `PLIMLOG1` |
//! | 8–11 | number of the log, as in its name |
//! | 12–15 | CRC-32 of bytes 0–11 |
//! | then frames | length u32, CRC-32 of the payload u32, payload |
//!
//! Payloads (varint, zigzag, exclusive or: see `codec`):
//!
//! | first byte | then |
//! |---|---|
//! | 1, a target | target varint, name (varint length, UTF-8) |
//! | 2, a series | series varint, its definition to the end (see `catalogue`) |
//! | 3, a scrape | target varint, instant i64 in ms, count varint; per sample: zigzag distance from the id before (the first: from 0), exclusive or with the bits of that series' last value in this log (the first: with 0) |
//! | 4, a push | count of series varint; per series: zigzag distance from the id before (the first: from 0), varint of twice the count of samples, plus 1 if their instants are those of the series before; else, per sample, zigzag distance in ms from the instant before (the first: from 0); then, per sample, exclusive or with the bits of that series' value before in this log (the first: with 0) |
//!
//! A target or series is announced before the first scrape that names it, in the same file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::codec::{Damaged, Reader, put_bytes, put_varint, put_xor, put_zigzag};
use super::{Error, Result, disk, failpoint};
use crate::model::units::{Bytes, Timestamp};

const MAGIC: &[u8; 8] = b"PLIMLOG1";
const HEAD: usize = 16;
/// A frame is one scrape or one push; neither comes near this.
const FRAME_MAX: usize = 64 << 20;
/// The longest frame that is looked for behind a torn place.
const SOUGHT_MAX: usize = 1 << 20;

/// One entry of the log.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Frame {
    /// A target got its number.
    Target {
        /// Its number.
        id: u32,
        /// Its name.
        name: String,
    },
    /// A series got its number.
    Series {
        /// Its number.
        id: u32,
        /// As the catalogue writes it.
        definition: Vec<u8>,
    },
    /// One scrape.
    Scrape(Packed),
    /// Samples of series, each with an instant of its own.
    Push(Pushes),
}

/// A push as it lies in the log: values as exclusive or with what the log held before.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Pushes {
    /// Series, and how many samples it has.
    pub(super) runs: Vec<(u32, usize)>,
    /// Instants of all runs, one after the other.
    pub(super) times: Vec<i64>,
    /// Exclusive or of all runs, one after the other.
    pub(super) xors: Vec<u64>,
}

/// A scrape as it lies in the log: values as exclusive or with what the log held before.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Packed {
    /// Number of the target.
    pub(super) target: u32,
    /// When the readings were taken.
    pub(super) at: Timestamp,
    /// Series and exclusive or.
    pub(super) samples: Vec<(u32, u64)>,
}

/// Appends a frame to `out`.
pub(super) fn put_frame(out: &mut Vec<u8>, frame: &Frame) {
    put_framed(out, |out| put_payload(out, frame));
}

/// Appends a frame whose payload `put` writes.
pub(super) fn put_framed(out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    put(out);
    let payload = out.get(start + 8..).unwrap_or_default();
    let (len, crc) = (payload.len(), crc32fast::hash(payload));
    let head = [
        u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes(),
        crc.to_le_bytes(),
    ]
    .concat();
    if let Some(to) = out.get_mut(start..start + 8) {
        to.copy_from_slice(&head);
    }
}

/// Writes the start of a push; a [`put_run`] a series must follow.
pub(super) fn put_push(out: &mut Vec<u8>, series: usize) {
    out.push(4);
    put_varint(out, series as u64);
}

/// Writes a series of a push: its distance from the one before, its instants unless they are those
/// of the series before, and its values.
pub(super) fn put_run(
    out: &mut Vec<u8>,
    distance: i64,
    times: Option<&[i64]>,
    xors: impl ExactSizeIterator<Item = u64>,
) {
    put_zigzag(out, distance);
    put_varint(out, (xors.len() as u64) << 1 | u64::from(times.is_none()));
    let mut before = 0i64;
    for at in times.unwrap_or_default() {
        put_zigzag(out, at.wrapping_sub(before));
        before = *at;
    }
    for xor in xors {
        put_xor(out, xor);
    }
}

fn put_payload(out: &mut Vec<u8>, frame: &Frame) {
    match frame {
        Frame::Target { id, name } => {
            out.push(1);
            put_varint(out, u64::from(*id));
            put_bytes(out, name.as_bytes());
        }
        Frame::Series { id, definition } => {
            out.push(2);
            put_varint(out, u64::from(*id));
            out.extend_from_slice(definition);
        }
        Frame::Scrape(scrape) => {
            out.push(3);
            put_varint(out, u64::from(scrape.target));
            out.extend_from_slice(&scrape.at.as_millis().to_le_bytes());
            put_varint(out, scrape.samples.len() as u64);
            let mut before = 0;
            for (id, xor) in &scrape.samples {
                put_zigzag(out, i64::from(*id) - before);
                put_xor(out, *xor);
                before = i64::from(*id);
            }
        }
        Frame::Push(push) => {
            put_push(out, push.runs.len());
            let (mut id, mut from, mut before) = (0i64, 0usize, None);
            for (series, count) in &push.runs {
                let until = from + count;
                let times = push.times.get(from..until).unwrap_or_default();
                let xors = push.xors.get(from..until).unwrap_or_default();
                let new = (before != Some(times)).then_some(times);
                put_run(out, i64::from(*series) - id, new, xors.iter().copied());
                (id, from, before) = (i64::from(*series), until, Some(times));
            }
        }
    }
}

fn read_push(from: &mut Reader<'_>) -> std::result::Result<Pushes, Damaged> {
    let all = from.rest().len();
    let count = from.length(all)?;
    let mut push = Pushes {
        runs: Vec::with_capacity(count),
        ..Pushes::default()
    };
    let (mut id, mut shared) = (0i64, 0..0);
    for _ in 0..count {
        id = id.saturating_add(from.zigzag()?);
        let series = u32::try_from(id).map_err(|_| Damaged("a series out of range"))?;
        let head = from.varint()?;
        // Every sample takes at least a byte.
        let samples = usize::try_from(head >> 1)
            .ok()
            .filter(|samples| *samples <= all)
            .ok_or(Damaged("a length beyond its bound"))?;
        let start = push.times.len();
        if head & 1 == 1 {
            if shared.len() != samples {
                return Err(Damaged("instants of another series"));
            }
            push.times.extend_from_within(shared);
        } else {
            let mut at = 0i64;
            for _ in 0..samples {
                at = at.wrapping_add(from.zigzag()?);
                push.times.push(at);
            }
        }
        shared = start..push.times.len();
        for _ in 0..samples {
            push.xors.push(from.xor()?);
        }
        push.runs.push((series, samples));
    }
    Ok(push)
}

fn read_frame(payload: &[u8]) -> std::result::Result<Frame, Damaged> {
    let mut from = Reader::new(payload);
    match from.byte()? {
        1 => Ok(Frame::Target {
            id: from.varint_u32()?,
            name: from.text()?.to_owned(),
        }),
        2 => Ok(Frame::Series {
            id: from.varint_u32()?,
            definition: from.rest().to_vec(),
        }),
        3 => {
            let target = from.varint_u32()?;
            let at = Timestamp::from_millis(from.u64_le()?.cast_signed());
            let count = from.length(payload.len())?;
            let mut samples = Vec::with_capacity(count);
            let mut id = 0i64;
            for _ in 0..count {
                id = id.saturating_add(from.zigzag()?);
                let series = u32::try_from(id).map_err(|_| Damaged("a series out of range"))?;
                samples.push((series, from.xor()?));
            }
            Ok(Frame::Scrape(Packed {
                target,
                at,
                samples,
            }))
        }
        4 => read_push(&mut from).map(Frame::Push),
        _ => Err(Damaged("an unknown frame")),
    }
}

/// Reads whole frames until the first that is cut or does not match; returns the bytes they took.
pub(super) fn read_frames(bytes: &[u8], mut visit: impl FnMut(Frame)) -> usize {
    let mut from = Reader::new(bytes);
    let mut good = 0;
    while let Ok(frame) = next_frame(&mut from) {
        good = bytes.len() - from.rest().len();
        visit(frame);
    }
    good
}

fn next_frame(from: &mut Reader<'_>) -> std::result::Result<Frame, Damaged> {
    let len = from.u32_le()? as usize;
    let crc = from.u32_le()?;
    if len > FRAME_MAX {
        return Err(Damaged("a length beyond its bound"));
    }
    let payload = from.take(len)?;
    if crc32fast::hash(payload) != crc {
        return Err(Damaged("a checksum that does not match"));
    }
    read_frame(payload)
}

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
    use proptest::prelude::*;

    fn frames() -> Vec<Frame> {
        let scrape = |at, samples| {
            Frame::Scrape(Packed {
                target: 1,
                at: Timestamp::from_millis(at),
                samples,
            })
        };
        vec![
            Frame::Target {
                id: 1,
                name: "primary".into(),
            },
            Frame::Series {
                id: 16,
                definition: b"definition".to_vec(),
            },
            scrape(10, vec![(16, u64::MAX), (17, 0), (3, 0xff00)]),
            scrape(i64::MIN, vec![]),
            Frame::Push(Pushes {
                runs: vec![(16, 2), (17, 2), (3, 0), (4, 1)],
                times: vec![10, 20, 10, 20, i64::MIN],
                xors: vec![1, u64::MAX, 0, 0xff00, 7],
            }),
        ]
    }

    fn bytes_of(frames: &[Frame]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for frame in frames {
            put_frame(&mut bytes, frame);
        }
        bytes
    }

    #[test]
    fn any_truncation_gives_a_prefix() {
        let all = frames();
        let bytes = bytes_of(&all);
        for cut in 0..=bytes.len() {
            let mut seen = Vec::new();
            let good = read_frames(&bytes[..cut], |frame| seen.push(frame));
            assert!(good <= cut);
            assert_eq!(seen, all[..seen.len()]);
            assert_eq!(good, bytes_of(&seen).len());
        }
    }

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
            let good = read_frames(&bytes, |_| {});
            prop_assert!(good <= bytes.len());
            let _ = read_frame(&bytes);
            let _ = read_head(&bytes, 0);
        }

        #[test]
        fn scrapes_come_back(
            target: u32, at: i64,
            samples in prop::collection::vec((any::<u32>(), any::<u64>()), 0..50),
        ) {
            let frame = Frame::Scrape(Packed { target, at: Timestamp::from_millis(at), samples });
            let mut seen = Vec::new();
            read_frames(&bytes_of(std::slice::from_ref(&frame)), |f| seen.push(f));
            prop_assert_eq!(seen, vec![frame]);
        }

        #[test]
        fn pushes_come_back(
            runs in prop::collection::vec((any::<u32>(), 0usize..5), 0..12),
            times in prop::collection::vec(any::<i64>(), 5),
            bits: u64,
        ) {
            let mut push = Pushes::default();
            for (series, count) in runs {
                push.runs.push((series, count));
                push.times.extend(&times[..count]);
                push.xors.extend((0u32..).take(count).map(|i| bits.rotate_left(i)));
            }
            let frame = Frame::Push(push);
            let mut seen = Vec::new();
            read_frames(&bytes_of(std::slice::from_ref(&frame)), |f| seen.push(f));
            prop_assert_eq!(seen, vec![frame]);
        }
    }
}
