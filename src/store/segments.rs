//! Segments of the engine's log: messages one by one, and what does not read between them.
//!
//! For: `pages`, which puts them together. Not for: what a page holds (`leaves`). Read
//! [`Segment::messages`] first; the format stands in `pages`.

use super::codec::{Damaged, Reader};

pub(super) const SEGMENT_HEAD: usize = 20;
/// Less than this is left empty at the end of a segment.
pub(super) const MESSAGE_HEAD_MAX: usize = 32;
const CAP: u8 = 2;
pub(super) const BATCH: u8 = 3;
const FREE: u8 = 4;
const KINDS: std::ops::RangeInclusive<u8> = 1..=11;

/// What a message does to its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    None,
    /// The page is gone.
    Free,
    /// The page is this.
    Whole,
    /// The page changes by this.
    Change,
}

pub(super) fn effect(kind: u8) -> Effect {
    match kind {
        FREE => Effect::Free,
        5..=9 => Effect::Whole,
        10 | 11 => Effect::Change,
        _ => Effect::None,
    }
}

/// Where a message's body lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Position in the log, and that of its end.
    pub(super) at: i64,
    pub(super) end: i64,
    /// Where in the file `db`.
    pub(super) offset: u64,
    pub(super) len: u32,
    /// Whether the body names a file that holds it.
    pub(super) in_blob: bool,
}

/// One message of the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message {
    pub(super) page: u64,
    pub(super) kind: u8,
    pub(super) place: Place,
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
    /// Position in the log.
    pub(super) at: i64,
}

/// One segment in memory.
pub(super) struct Segment<'a> {
    bytes: &'a [u8],
    offset: u64,
    number: u64,
    size: u64,
}

/// Position of a segment and how far the log was stable, if its head reads.
pub(super) fn head(bytes: &[u8]) -> Option<(u64, i64)> {
    let mut from = Reader::new(bytes);
    let (crc, at, known) = (
        from.u32_le().ok()?,
        from.u64_le().ok()?,
        from.u64_le().ok()?,
    );
    let turned = |value: u64| value.cast_signed() ^ i64::MAX;
    let is_sound = !crc32fast::hash(bytes.get(4..SEGMENT_HEAD)?) == crc;
    is_sound.then_some(())?;
    Some((u64::try_from(turned(at)).ok()?, turned(known)))
}

/// A segment by its head, or by the first message that says which it is.
pub(super) fn open_segment<'a>(
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
    if let Some((at, known)) = head(bytes) {
        // A segment that was never filled says the largest position.
        if at > i64::MAX.cast_unsigned() - size {
            return None;
        }
        *stable = (*stable).max(known);
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
    own_len: usize,
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
    let own_len = bytes.len() - from.rest().len();
    let len = usize::try_from(len).map_err(|_| Damaged("a length beyond its bound"))?;
    // A body that is cut has a checksum that does not match, too.
    let body = from.rest().get(..len).unwrap_or_default();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(body);
    hasher.update(bytes.get(4..own_len).unwrap_or_default());
    Ok(Head {
        kind,
        len,
        segment,
        page,
        own_len,
        is_sound: body.len() == len && !hasher.finalize() == crc,
    })
}

impl Segment<'_> {
    /// Collects all messages that read; returns what does not.
    pub(super) fn messages(&self, into: &mut Vec<Message>) -> Vec<Tear> {
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
            let body = at + head.own_len;
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
        // The file ends with a message: what is left over was one.
        let rest = self.bytes.get(at..).unwrap_or_default();
        let is_cut = (self.bytes.len() as u64) < self.size && rest.iter().any(|byte| *byte != 0);
        if head.is_none() && next.is_none() && !is_cut {
            return None;
        }
        let until = next.unwrap_or(self.bytes.len());
        // More than one message may be gone: then the head tells of the first of them only.
        let alone = head.as_ref().is_some_and(|head| {
            let end = (at + head.own_len).saturating_add(head.len);
            next.is_none_or(|next| end == next)
        });
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

/// Reads any bytes as a segment, for fuzzing.
pub(super) fn read_any(bytes: &[u8], size: u64) {
    let mut stable = -1;
    if let Some(segment) = open_segment(bytes, 0, size, &mut stable) {
        let _ = segment.messages(&mut Vec::new());
    }
    let first = Segment {
        bytes,
        offset: 0,
        number: 0,
        size,
    };
    let _ = first.messages(&mut Vec::new());
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
