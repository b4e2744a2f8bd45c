//! The pages of a database, read from its files without the engine.
//!
//! For: looking into a database that nobody has open, damaged or not, without writing one byte;
//! opening it with the engine would cut and zero what it cannot read. Not for: databases in use
//! (`barrier`), nor for what pages hold (`leaves`). Read [`Pages::read`] first.
//!
//! Source of the format: sled 0.34.7, `pagecache` and `serialization`. The file `db` is a row of
//! segments of one size. Integers are little-endian; a **number** is one byte up to 240, else a
//! byte that says how many follow (`segments::number`).
//!
//! | part | bytes |
//! |---|---|
//! | head of a segment | CRC-32 of the rest, its position in the log i64, how far the log was stable i64; the last two exclusive-or `i64::MAX` |
//! | then messages | CRC-32 of body and head, kind u8, length, segment's number, page: numbers; the body |
//! | a body too large | is the i64 name of a file in `blobs/`: CRC-32, kind u8, the body |
//!
//! The newest whole page and the changes after it are the page's state. A CRC-32 here is the usual
//! one with all bits turned.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::codec::Reader;
use super::databases::{CONTROL, shape};
use super::engine::{LOCK_PAUSE, LOCK_TRIES};
use super::segments::{
    self, BATCH, Effect, MESSAGE_HEAD_MAX, Message, Place, Tear, effect, open_segment,
};
use super::snapshot::{self, Snapshot};
use super::{Error, Result};

/// Sizes that sled takes for a segment.
const SEGMENTS: std::ops::RangeInclusive<u64> = 256..=1 << 24;

/// A whole page and the changes after it.
pub(super) type Bodies = (Vec<u8>, Vec<Vec<u8>>);

/// What is known of one page.
#[derive(Debug, Clone, Default)]
struct State {
    whole: Option<Place>,
    changes: Vec<Place>,
    /// Position of the newest whole page, or of its end.
    since: i64,
    /// A newer state of it does not read.
    is_stale: bool,
}

/// All pages of a database.
#[derive(Debug)]
pub(super) struct Pages {
    path: PathBuf,
    file: File,
    states: HashMap<u64, State>,
    tears: Vec<Tear>,
    lost: Vec<u64>,
    faults: Vec<&'static str>,
    /// Bytes of the file `db`.
    pub(super) bytes: u64,
}

impl Pages {
    /// Reads where each page of the database in folder `path` lies.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let db = path.join("db");
        let file = File::open(&db).map_err(|e| Error::io(&db, e))?;
        wait_for_rest(&file, path)?;
        let bytes = file.metadata().map_err(|e| Error::io(&db, e))?.len();
        let mut pages = Self {
            path: path.to_owned(),
            file,
            states: HashMap::new(),
            tears: Vec::new(),
            lost: Vec::new(),
            faults: Vec::new(),
            bytes,
        };
        let size = pages.segment_size();
        let (mut messages, mut doubtful) = (Vec::new(), Vec::new());
        let known = snapshot::read(path)?;
        pages.faults.extend(&known.faults);
        let (mut stable, mut end) = (known.stable, -1);
        let mut buffer = vec![0; usize::try_from(size).unwrap_or(1 << 24)];
        for offset in (0..bytes).step_by(usize::try_from(size).unwrap_or(1 << 24)) {
            let len = buffer
                .len()
                .min(usize::try_from(bytes - offset).unwrap_or(usize::MAX));
            let part = buffer.get_mut(..len).unwrap_or_default();
            pages
                .file
                .read_exact_at(part, offset)
                .map_err(|e| Error::io(&db, e))?;
            if let Some(segment) = open_segment(part, offset, size, &mut stable) {
                let first = messages.len();
                let torn = segment.messages(&mut messages);
                let last = messages.get(first..).and_then(<[_]>::last);
                end = end.max(last.map_or(-1, |m: &Message| m.place.end));
                doubtful.push((first..messages.len(), torn));
            }
        }
        if stable > end.saturating_add(i64::try_from(MESSAGE_HEAD_MAX).unwrap_or(0)) {
            pages
                .faults
                .push("its end is gone: the log was longer once");
        }
        let within = forget_torn_batches(&pages.file, &messages, end);
        messages
            .iter()
            .filter(|m| m.place.at <= within)
            .for_each(|m| pages.apply_later(*m));
        for state in pages.states.values_mut() {
            state.changes.retain(|change| change.at > state.since);
            state.changes.sort_by_key(|change| change.at);
        }
        pages.keep_live_tears(&messages, doubtful);
        pages.compare(known);
        Ok(pages)
    }

    /// Messages may come in any order: the newest whole page counts.
    fn apply_later(&mut self, message: Message) {
        let state = self.states.entry(message.page).or_insert_with(|| State {
            since: -1,
            ..State::default()
        });
        match effect(message.kind) {
            Effect::None => {}
            Effect::Change => state.changes.push(message.place),
            now if message.place.at > state.since => {
                state.since = message.place.at;
                state.whole = (now == Effect::Whole).then_some(message.place);
            }
            _ => {}
        }
    }

    /// Of what does not read, what is not replaced by something newer counts.
    fn keep_live_tears(
        &mut self,
        messages: &[Message],
        doubtful: Vec<(std::ops::Range<usize>, Vec<Tear>)>,
    ) {
        for (range, torn) in doubtful {
            if torn.is_empty() {
                continue;
            }
            let is_in_use = messages.get(range).unwrap_or_default().iter().any(|m| {
                let state = self.states.get(&m.page);
                state.is_some_and(|s| {
                    s.whole.is_some_and(|whole| whole.at == m.place.at)
                        || s.changes.iter().any(|change| change.at == m.place.at)
                })
            });
            for tear in torn {
                match tear.page {
                    Some((page, is_whole)) => {
                        let state = self.states.entry(page).or_insert_with(|| State {
                            since: -1,
                            ..State::default()
                        });
                        if tear.at < state.since {
                            continue;
                        }
                        if is_whole {
                            // What follows was written to a page that is not there any more.
                            state.is_stale = true;
                            state.changes.retain(|change| change.at < tear.at);
                        }
                    }
                    None if !is_in_use => continue,
                    None => {}
                }
                self.tears.push(tear);
            }
        }
    }

    /// Marks pages that a snapshot knew in a later state than is found.
    fn compare(&mut self, known: Snapshot) {
        for (page, positions) in known.pages {
            let state = self.states.entry(page).or_insert_with(|| State {
                since: -1,
                ..State::default()
            });
            let is_found = |position: &i64| {
                state.since >= *position || state.changes.iter().any(|c| c.at == *position)
            };
            if !positions.iter().all(is_found) {
                state.is_stale = true;
                self.lost.push(page);
            }
        }
    }

    /// Pages of which a snapshot knew more than is found.
    pub(super) fn lost(&self) -> &[u64] {
        &self.lost
    }

    /// What does not read and was not replaced.
    pub(super) fn tears(&self) -> &[Tear] {
        &self.tears
    }

    /// What is wrong with the files beside `db`, or with its end.
    pub(super) fn faults(&self) -> &[&'static str] {
        &self.faults
    }

    /// Whether a newer state of the page does not read.
    pub(super) fn is_stale(&self, page: u64) -> bool {
        self.states.get(&page).is_some_and(|state| state.is_stale)
    }

    /// Numbers of all pages that are there, ascending.
    pub(super) fn numbers(&self) -> Vec<u64> {
        let there = self
            .states
            .iter()
            .filter(|(_, state)| state.whole.is_some());
        let mut numbers: Vec<u64> = there.map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// The body of a whole page and of the changes after it; `None` if there is no such page.
    pub(super) fn page(&self, number: u64) -> Result<Option<Bodies>> {
        let Some(state) = self.states.get(&number) else {
            return Ok(None);
        };
        let Some(whole) = state.whole else {
            return Ok(None);
        };
        let Some(whole) = self.body(whole)? else {
            return Ok(None);
        };
        let mut changes = Vec::with_capacity(state.changes.len());
        for change in &state.changes {
            changes.extend(self.body(*change)?);
        }
        Ok(Some((whole, changes)))
    }

    /// A body, checked again where it lies in a file of its own; `None` if it does not read.
    fn body(&self, place: Place) -> Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; place.len as usize];
        self.file
            .read_exact_at(&mut bytes, place.offset)
            .map_err(|e| Error::io(&self.path, e))?;
        if !place.in_blob {
            return Ok(Some(bytes));
        }
        let Ok(name) = <[u8; 8]>::try_from(bytes.as_slice()).map(i64::from_le_bytes) else {
            return Ok(None);
        };
        let path = self.path.join("blobs").join(name.to_string());
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(&path, e)),
        };
        let mut from = Reader::new(&bytes);
        let Ok(crc) = from.u32_le() else {
            return Ok(None);
        };
        let is_sound = crc32fast::hash(from.rest()) == crc;
        Ok(is_sound.then(|| from.rest().get(1..).unwrap_or_default().to_vec()))
    }

    /// The size at whose multiples the most segments begin, of those that this build gives.
    fn likely_size(&self) -> u64 {
        let sizes = ["raw-", "r5m-", CONTROL].map(|name| shape(name).segment as u64);
        let begins = |size: u64| {
            let step = usize::try_from(size).unwrap_or(1 << 20);
            let mut head = [0; segments::SEGMENT_HEAD];
            let mut is_head = |offset: u64| {
                let read = self.file.read_exact_at(&mut head, offset);
                read.is_ok() && segments::head(&head).is_some_and(|(at, _)| at % size == 0)
            };
            let found = (0..self.bytes)
                .step_by(step)
                .filter(|at| is_head(*at))
                .count() as u64;
            found * 1_000 / (self.bytes / size).max(1)
        };
        sizes
            .into_iter()
            .max_by_key(|size| begins(*size))
            .unwrap_or(1 << 20)
    }

    /// The size of segments, from the file `conf`; else the likeliest.
    fn segment_size(&mut self) -> u64 {
        let (size, is_sound) = told_size(&self.path);
        if !is_sound {
            self.faults
                .push("the file conf does not match its checksum");
        }
        size.unwrap_or_else(|| self.likely_size())
    }
}

/// The size of segments that the file `conf` tells, and whether the file matches its checksum.
pub(super) fn told_size(path: &Path) -> (Option<u64>, bool) {
    let text = fs::read(path.join("conf")).unwrap_or_default();
    let (text, crc) = text.split_at(text.len().saturating_sub(4));
    let is_sound = crc32fast::hash(text).to_le_bytes() == crc;
    let text = String::from_utf8_lossy(text);
    let size = text
        .lines()
        .find_map(|line| line.strip_prefix("segment_size: ")?.trim().parse().ok());
    let is_size = |size: &u64| SEGMENTS.contains(size) && size.is_power_of_two();
    (size.filter(is_size), is_sound)
}

/// Whether a segment that holds something does not begin with a head that reads. The engine takes such
/// a segment for one that is free, and writes over it.
pub(super) fn has_torn_heads(path: &Path) -> Result<bool> {
    let db = path.join("db");
    let failed = |e| Error::io(&db, e);
    let mut pages = Pages {
        path: path.to_owned(),
        file: File::open(&db).map_err(failed)?,
        states: HashMap::new(),
        tears: Vec::new(),
        lost: Vec::new(),
        faults: Vec::new(),
        bytes: fs::metadata(&db).map_err(failed)?.len(),
    };
    let size = pages.segment_size();
    let mut head = [0; segments::SEGMENT_HEAD];
    for offset in (0..pages.bytes).step_by(usize::try_from(size).unwrap_or(1 << 24)) {
        match pages.file.read_exact_at(&mut head, offset) {
            Ok(()) if head.iter().all(|byte| *byte == 0) => {}
            Ok(()) if segments::head(&head).is_some() => {}
            Ok(()) => return Ok(true),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(e) => return Err(failed(e)),
        }
    }
    Ok(false)
}

/// The engine locks its file while it has it open, and a moment longer.
fn wait_for_rest(file: &File, path: &Path) -> Result<()> {
    for _ in 0..LOCK_TRIES {
        match file.try_lock_shared() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(e)) => return Err(Error::io(path, e)),
        }
    }
    Err(Error::Locked {
        path: path.to_owned(),
        pid: None,
    })
}

/// A batch whose last message never came is left out, with all after it, as the engine does.
fn forget_torn_batches(file: &File, messages: &[Message], end: i64) -> i64 {
    let mut within = i64::MAX;
    for batch in messages.iter().filter(|m| m.kind == BATCH) {
        let mut bytes = [0; 8];
        if file.read_exact_at(&mut bytes, batch.place.offset).is_ok()
            && i64::from_le_bytes(bytes) > end
        {
            within = within.min(batch.place.at);
        }
    }
    within
}
