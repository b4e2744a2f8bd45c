//! The pages of a database, read from its files without the engine.
//!
//! For: looking into a database that nobody has open, damaged or not, without writing one byte;
//! opening it with the engine would cut and zero what it cannot read. Not for: databases in use
//! (`barrier`), nor for what pages hold (`leaves`). Read [`Pages::read`] first.
//!
//! Source of the format: sled 0.34.7, `pagecache` and `serialization`. The file `db` is a row of
//! segments of one size. Integers are little-endian; a **number** is one byte up to 240, else a
//! byte that says how many follow ([`number`]).
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

use super::barrier::{LOCK_PAUSE, LOCK_TRIES};
use super::codec::{Damaged, Reader};
use super::snapshot::{self, Snapshot};
use super::{Error, Result};

const SEGMENT_HEAD: usize = 20;
/// Less than this is left empty at the end of a segment.
const MESSAGE_HEAD_MAX: usize = 32;
/// Sizes that sled takes for a segment.
const SEGMENTS: std::ops::RangeInclusive<u64> = 256..=1 << 24;
const CAP: u8 = 2;
const BATCH: u8 = 3;
const FREE: u8 = 4;
const KINDS: std::ops::RangeInclusive<u8> = 1..=11;

/// What a message does to its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Nothing.
    None,
    /// The page is gone.
    Free,
    /// The page is this.
    Whole,
    /// The page changes by this.
    Change,
}

fn effect(kind: u8) -> Effect {
    match kind {
        FREE => Effect::Free,
        5..=9 => Effect::Whole,
        10 | 11 => Effect::Change,
        _ => Effect::None,
    }
}

/// Where a message's body lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: i64,
    end: i64,
    offset: u64,
    len: u32,
    in_blob: bool,
}

/// One message of the log.
#[derive(Debug, Clone, Copy)]
struct Message {
    page: u64,
    kind: u8,
    place: Place,
}

/// Bytes that held a message once and do not read now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tear {
    /// Where in the file `db`.
    pub(super) offset: u64,
    /// How many bytes do not read.
    pub(super) len: u64,
    /// The page and whether all of it was written there, if the head still tells.
    pub(super) page: Option<(u64, bool)>,
    at: i64,
}

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

/// One segment in memory.
struct Segment<'a> {
    bytes: &'a [u8],
    offset: u64,
    number: u64,
    size: u64,
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
    pub(super) fn page(&self, number: u64) -> Result<Option<(Vec<u8>, Vec<Vec<u8>>)>> {
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

    /// The size of segments, from the file `conf`; else that of this build.
    fn segment_size(&mut self) -> u64 {
        let text = fs::read(self.path.join("conf")).unwrap_or_default();
        let (text, crc) = text.split_at(text.len().saturating_sub(4));
        if crc32fast::hash(text).to_le_bytes() != crc {
            self.faults
                .push("the file conf does not match its checksum");
        }
        let text = String::from_utf8_lossy(text);
        let size = text
            .lines()
            .find_map(|line| line.strip_prefix("segment_size: ")?.trim().parse().ok());
        size.filter(|size: &u64| SEGMENTS.contains(size) && size.is_power_of_two())
            .unwrap_or(super::barrier::SEGMENT as u64)
    }
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

/// A segment by its head, or by the first message that says which it is.
fn open_segment<'a>(
    bytes: &'a [u8],
    offset: u64,
    size: u64,
    stable: &mut i64,
) -> Option<Segment<'a>> {
    let named = |number| Segment {
        bytes,
        offset,
        number,
        size,
    };
    let mut from = Reader::new(bytes);
    if let (Ok(crc), Ok(at), Ok(known)) = (from.u32_le(), from.u64_le(), from.u64_le())
        && let Some(head) = bytes.get(4..SEGMENT_HEAD)
        && !crc32fast::hash(head) == crc
    {
        let turned = |value: u64| value.cast_signed() ^ i64::MAX;
        let at = u64::try_from(turned(at)).ok()?;
        // A segment that was never filled says the largest position.
        if at > i64::MAX.cast_unsigned() - size {
            return None;
        }
        *stable = (*stable).max(turned(known));
        return Some(named(at / size));
    }
    let rest = bytes.get(SEGMENT_HEAD..)?;
    (0..rest.len()).find_map(|skip| {
        let head = read_head(rest.get(skip..)?).ok()?;
        head.is_sound.then(|| named(head.segment))
    })
}

struct Head {
    kind: u8,
    len: usize,
    segment: u64,
    page: u64,
    head_len: usize,
    is_sound: bool,
}

/// The head of a message, and whether its body matches.
fn read_head(bytes: &[u8]) -> std::result::Result<Head, Damaged> {
    let mut from = Reader::new(bytes);
    let crc = from.u32_le()?;
    let kind = from.byte()?;
    if !KINDS.contains(&kind) {
        return Err(Damaged("an unknown message"));
    }
    let len = number(&mut from)?;
    let (segment, page) = (number(&mut from)?, number(&mut from)?);
    let head_len = bytes.len() - from.rest().len();
    let len = usize::try_from(len).map_err(|_| Damaged("a length beyond its bound"))?;
    // A body that is cut has a checksum that does not match, too.
    let body = from.rest().get(..len).unwrap_or_default();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(body);
    hasher.update(bytes.get(4..head_len).unwrap_or_default());
    Ok(Head {
        kind,
        len,
        segment,
        page,
        head_len,
        is_sound: body.len() == len && !hasher.finalize() == crc,
    })
}

impl Segment<'_> {
    /// Collects all messages that read; returns what does not.
    fn messages(&self, into: &mut Vec<Message>) -> Vec<Tear> {
        let mut torn = Vec::new();
        let mut at = SEGMENT_HEAD;
        let room = usize::try_from(self.size).unwrap_or(self.bytes.len());
        while at + MESSAGE_HEAD_MAX <= room {
            let Some(head) = self.sound_at(at) else {
                let next = (at + 1..self.bytes.len()).find(|next| self.sound_at(*next).is_some());
                torn.extend(self.tear(at, next));
                match next {
                    Some(next) => at = next,
                    None => break,
                }
                continue;
            };
            let body = at + head.head_len;
            into.push(Message {
                page: head.page,
                kind: head.kind,
                place: Place {
                    at: self.position(at),
                    end: self.position(body + head.len),
                    offset: self.offset + body as u64,
                    len: u32::try_from(head.len).unwrap_or(u32::MAX),
                    in_blob: matches!(head.kind, 7 | 9 | 11),
                },
            });
            if head.kind == CAP {
                break;
            }
            at = body + head.len;
        }
        torn
    }

    fn position(&self, at: usize) -> i64 {
        let position = self
            .number
            .saturating_mul(self.size)
            .saturating_add(at as u64);
        i64::try_from(position).unwrap_or(i64::MAX)
    }

    /// The message at a place, if one of this segment stands there whole.
    fn sound_at(&self, at: usize) -> Option<Head> {
        // The cheap part of the head first: this is asked for every byte after a damaged one.
        let bytes = self.bytes.get(at..)?;
        if !KINDS.contains(bytes.get(4)?) {
            return None;
        }
        let mut from = Reader::new(bytes.get(5..)?);
        number(&mut from).ok()?;
        if number(&mut from).ok()? != self.number {
            return None;
        }
        read_head(bytes).ok().filter(|head| head.is_sound)
    }

    /// What did not read at `at`; `None` where the log may simply have ended.
    fn tear(&self, at: usize, next: Option<usize>) -> Option<Tear> {
        let head = self.bytes.get(at..).and_then(|bytes| read_head(bytes).ok());
        let head = head.filter(|head| head.segment == self.number);
        if head.is_none() && next.is_none() {
            return None;
        }
        let until = next.unwrap_or(self.bytes.len());
        // More than one message may be gone: then the head tells of the first of them only.
        let alone = head
            .as_ref()
            .is_some_and(|head| next.is_none_or(|next| at + head.head_len + head.len == next));
        let page = head
            .filter(|_| alone)
            .and_then(|head| match effect(head.kind) {
                Effect::None => None,
                effect => Some((head.page, effect != Effect::Change)),
            });
        Some(Tear {
            offset: self.offset + at as u64,
            len: (until - at) as u64,
            page,
            at: self.position(at),
        })
    }
}

/// A number as sled writes it.
pub(super) fn number(from: &mut Reader<'_>) -> std::result::Result<u64, Damaged> {
    let first = from.byte()?;
    match first {
        0..=240 => Ok(u64::from(first)),
        241..=248 => Ok(240 + 256 * (u64::from(first) - 241) + u64::from(from.byte()?)),
        249 => Ok(2288 + 256 * u64::from(from.byte()?) + u64::from(from.byte()?)),
        _ => {
            let mut bytes = [0; 8];
            let low = from.take(usize::from(first) - 247)?;
            for (to, byte) in bytes.iter_mut().zip(low) {
                *to = *byte;
            }
            Ok(u64::from_le_bytes(bytes))
        }
    }
}
