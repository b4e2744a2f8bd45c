//! Frames of the log: what one entry is, as bytes and back.
//!
//! For: scrapes, pushes and the definitions they need, each with its length and checksum. Not for:
//! the files that they lie in (`wal`). Read [`Frame`] first.
//!
//! A frame is its length u32, the CRC-32 of its payload u32, and the payload; integers here are
//! little-endian. Payloads (varint, zigzag, exclusive or: see `codec`):
//!
//! | first byte | then |
//! |---|---|
//! | 1, a target | target varint, name (varint length, UTF-8) |
//! | 2, a series | series varint, its definition to the end (see `catalogue`) |
//! | 3, a scrape | target varint, instant i64 in ms, count varint; per sample: zigzag distance from the id before (the first: from 0), exclusive or with the bits of that series' last value in this log (the first: with 0) |
//! | 4, a push | count of series varint; per series: zigzag distance from the id before (the first: from 0), varint of twice the count of samples, plus 1 if their instants are those of the series before; else, per sample, zigzag distance in ms from the instant before (the first: from 0); then, per sample, exclusive or with the bits of that series' value before in this log (the first: with 0) |
//!
//! A target or series is announced before the first scrape that names it, in the same log.

use super::codec::{Damaged, Reader, put_bytes, put_varint, put_xor, put_zigzag};
use crate::model::units::Timestamp;

/// A frame is one scrape or one push; neither comes near this.
const FRAME_MAX: usize = 64 << 20;

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

fn read_push(from: &mut Reader<'_>) -> Result<Pushes, Damaged> {
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

fn read_frame(payload: &[u8]) -> Result<Frame, Damaged> {
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

/// The next frame of `from`.
pub(super) fn next_frame(from: &mut Reader<'_>) -> Result<Frame, Damaged> {
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(in crate::store) fn frames() -> Vec<Frame> {
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

    pub(in crate::store) fn bytes_of(frames: &[Frame]) -> Vec<u8> {
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

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let good = read_frames(&bytes, |_| {});
            prop_assert!(good <= bytes.len());
            let _ = read_frame(&bytes);
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
