//! Bytes: varints, exclusive ors, and the checked envelope around every stored value.
//!
//! For: turning numbers into few bytes and back, bit for bit. Not for: what the numbers mean
//! (`chunk`, `rollup`, `wal`). Read [`Reader`] first.
//!
//! **Varint**: seven bits a byte, lowest first, the top bit set on all but the last. **Zigzag**:
//! a signed number `n` as the varint `(n << 1) ^ (n >> 63)`.
//!
//! **Envelope**, around every value in a database:
//!
//! | byte | meaning |
//! |---|---|
//! | 0 | version, 1 |
//! | 1 | codec: 0 plain, 1 zstd |
//! | 2–5 | CRC-32 (IEEE) of the payload as it lies here, little-endian |
//! | 6… | payload; for zstd the plain length as a varint, then one zstd frame |
//!
//! **Exclusive or** of a value's bits with those of the value before: one byte `code`, 0 for the same
//! bits, else `1 + ((len − 1) << 3 | tail)`: `tail` zero bytes were cut from the low end, `len` bytes
//! follow, lowest first. The idea is that of Pelkonen et al., "Gorilla" (VLDB 2015, section 4.1), in
//! whole bytes.

use std::borrow::Cow;
use std::cell::Cell;

use zstd::bulk::Decompressor;

/// A value that does not decode; the text says which rule it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged(pub(super) &'static str);

/// What a payload is packed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Plain = 0,
    Zstd = 1,
}

const VERSION: u8 = 1;
const HEAD: usize = 6;
/// No stored value is larger than this when unpacked; a larger claim is damage, not data.
const UNPACKED_MAX: usize = 64 << 20;
/// Small payloads do not repay a zstd frame.
const PACK_FROM: usize = 64;

/// Puts `payload` into an envelope, packed where that makes it smaller.
pub(super) fn seal(payload: &[u8]) -> Vec<u8> {
    seal_at(payload, 1)
}

/// As [`seal`], with more work for fewer bytes: for what is written once.
pub(super) fn seal_tight(payload: &[u8]) -> Vec<u8> {
    seal_at(payload, 9)
}

fn seal_at(payload: &[u8], level: i32) -> Vec<u8> {
    let packed = (payload.len() >= PACK_FROM)
        .then(|| zstd::bulk::compress(payload, level).ok())
        .flatten()
        .map(|frame| {
            let mut body = Vec::with_capacity(frame.len() + 4);
            put_varint(&mut body, payload.len() as u64);
            body.extend_from_slice(&frame);
            body
        })
        .filter(|body| body.len() < payload.len());
    match packed {
        Some(body) => wrap(Packing::Zstd, &body),
        None => wrap(Packing::Plain, payload),
    }
}

/// Puts `payload` into an envelope as it is: it is packed already.
pub(super) fn seal_packed(payload: &[u8]) -> Vec<u8> {
    wrap(Packing::Plain, payload)
}

fn wrap(packing: Packing, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + body.len());
    out.push(VERSION);
    out.push(packing as u8);
    out.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    out.extend_from_slice(body);
    out
}

/// Takes the payload out of an envelope.
pub(super) fn open(value: &[u8]) -> Result<Cow<'_, [u8]>, Damaged> {
    let mut from = Reader::new(value);
    if from.byte()? != VERSION {
        return Err(Damaged("an envelope of another version"));
    }
    let packing = from.byte()?;
    let crc = from.u32_le()?;
    let body = from.rest();
    if crc32fast::hash(body) != crc {
        return Err(Damaged("a checksum that does not match"));
    }
    match packing {
        0 => Ok(Cow::Borrowed(body)),
        1 => {
            let mut from = Reader::new(body);
            let len = from.length(UNPACKED_MAX)?;
            let plain =
                unpacked(from.rest(), len).ok_or(Damaged("a zstd frame that does not unpack"))?;
            if plain.len() == len {
                Ok(Cow::Owned(plain))
            } else {
                Err(Damaged("a zstd frame of another length"))
            }
        }
        _ => Err(Damaged("an unknown codec")),
    }
}

/// Unpacks a zstd frame of at most `len` bytes.
fn unpacked(frame: &[u8], len: usize) -> Option<Vec<u8>> {
    thread_local! {
        /// A context takes 160 kB, which each frame would else make anew.
        static CONTEXT: Cell<Option<Decompressor<'static>>> = const { Cell::new(None) };
    }
    let mut context = CONTEXT.take().or_else(|| Decompressor::new().ok())?;
    let plain = context.decompress(frame, len).ok();
    CONTEXT.set(Some(context));
    plain
}

/// Appends a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or(0);
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Appends a signed number as a zigzag varint.
pub(super) fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

/// Appends bytes with their length before them.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The one-byte code for an exclusive or, and how much of it follows: (code, tail, length).
pub(super) fn shape(xor: u64) -> (u8, u32, usize) {
    if xor == 0 {
        return (0, 0, 0);
    }
    let tail = xor.trailing_zeros() / 8;
    let len = 8 - xor.leading_zeros() / 8 - tail;
    let code = u8::try_from(1 + ((len - 1) << 3 | tail)).unwrap_or(0);
    (code, tail, len as usize)
}

/// Appends an exclusive or: code, then the bytes that are not zero at its ends.
pub(super) fn put_xor(out: &mut Vec<u8>, xor: u64) {
    let (code, tail, len) = shape(xor);
    out.push(code);
    put_xor_bytes(out, xor, tail, len);
}

/// Appends the bytes that [`shape`] says follow.
pub(super) fn put_xor_bytes(out: &mut Vec<u8>, xor: u64, tail: u32, len: usize) {
    if len > 0 {
        out.extend((xor >> (8 * tail)).to_le_bytes().into_iter().take(len));
    }
}

/// Reads numbers from bytes; every read past the end is damage.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    /// Whether nothing is left.
    pub(super) fn is_done(&self) -> bool {
        self.left.is_empty()
    }

    /// Everything that is left; the reader stays where it is.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.left
    }

    /// The next `n` bytes.
    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], Damaged> {
        let (head, tail) = self
            .left
            .split_at_checked(n)
            .ok_or(Damaged("an early end"))?;
        self.left = tail;
        Ok(head)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Damaged> {
        let (first, rest) = self.left.split_first().ok_or(Damaged("an early end"))?;
        self.left = rest;
        Ok(*first)
    }

    pub(super) fn u32_le(&mut self) -> Result<u32, Damaged> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes(
            bytes.try_into().map_err(|_| Damaged("an early end"))?,
        ))
    }

    pub(super) fn u64_le(&mut self) -> Result<u64, Damaged> {
        let bytes = self.take(8)?;
        Ok(u64::from_le_bytes(
            bytes.try_into().map_err(|_| Damaged("an early end"))?,
        ))
    }

    pub(super) fn varint(&mut self) -> Result<u64, Damaged> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(Damaged("a varint beyond 64 bits"));
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Damaged("a varint beyond 64 bits"))
    }

    pub(super) fn varint_u32(&mut self) -> Result<u32, Damaged> {
        u32::try_from(self.varint()?).map_err(|_| Damaged("a number beyond 32 bits"))
    }

    pub(super) fn zigzag(&mut self) -> Result<i64, Damaged> {
        let raw = self.varint()?;
        Ok((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()))
    }

    /// A length that is at most `max`.
    pub(super) fn length(&mut self, max: usize) -> Result<usize, Damaged> {
        usize::try_from(self.varint()?)
            .ok()
            .filter(|len| *len <= max)
            .ok_or(Damaged("a length beyond its bound"))
    }

    /// Bytes with their length before them.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Damaged> {
        let len = self.length(self.left.len())?;
        self.take(len)
    }

    /// Text with its length before it.
    pub(super) fn text(&mut self) -> Result<&'a str, Damaged> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Damaged("text that is not UTF-8"))
    }

    /// What [`put_xor`] wrote.
    pub(super) fn xor(&mut self) -> Result<u64, Damaged> {
        let code = self.byte()?;
        self.xor_bytes(code)
    }

    /// What [`put_xor_bytes`] wrote after this code.
    pub(super) fn xor_bytes(&mut self, code: u8) -> Result<u64, Damaged> {
        let Some(code) = code.checked_sub(1) else {
            return Ok(0);
        };
        let (len, tail) = (usize::from(code >> 3) + 1, u32::from(code & 7));
        if len + tail as usize > 8 {
            return Err(Damaged("a value wider than 64 bits"));
        }
        let value = self
            .take(len)?
            .iter()
            .rev()
            .fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        Ok(value << (8 * tail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_flipped_bit_is_noticed() {
        let payload: Vec<u8> = (0..200u8).collect();
        let good = seal(&payload);
        assert_eq!(open(&good).as_deref(), Ok(&payload[..]));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            assert!(open(&bad).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_huge_claimed_length_is_damage_and_takes_no_memory() {
        let mut body = Vec::new();
        put_varint(&mut body, u64::MAX >> 1);
        assert_eq!(
            open(&wrap(Packing::Zstd, &body)),
            Err(Damaged("a length beyond its bound"))
        );
    }

    proptest! {
        #[test]
        fn numbers_come_back(value: u64, signed: i64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            put_zigzag(&mut out, signed);
            put_xor(&mut out, value);
            let mut from = Reader::new(&out);
            prop_assert_eq!(from.varint(), Ok(value));
            prop_assert_eq!(from.zigzag(), Ok(signed));
            prop_assert_eq!(from.xor(), Ok(value));
            prop_assert!(from.is_done());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = open(&bytes);
        }

        #[test]
        fn an_envelope_gives_back_its_payload(payload in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let sealed = seal(&payload);
            prop_assert_eq!(open(&sealed), Ok(Cow::Owned(payload)));
        }
    }
}
