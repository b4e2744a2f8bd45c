//! Prometheus remote write 1.0: snappy's block format around a protobuf message.
//!
//! For: reading a request in place; nothing is copied but a series whose labels do not lie together.
//! Not for: what is done with it (`work::intake`). Read [`series`] first.
//!
//! Source: the Prometheus Remote-Write 1.0 specification and `prompb/types.proto`. Field numbers:
//! `WriteRequest { timeseries = 1 }`, `TimeSeries { labels = 1, samples = 2 }`,
//! `Label { name = 1, value = 2 }`, `Sample { double value = 1, int64 timestamp = 2 }`. Other fields
//! (exemplars, histograms, metadata) are stepped over.

use std::borrow::Cow;

use super::{Error, Result};

/// The longest body, as it is sent.
pub const PACKED_MAX: usize = 16 << 20;
/// The longest body, unpacked.
pub const UNPACKED_MAX: usize = 32 << 20;

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

const EARLY_END: &str = "it ends early";
const WRONG_TYPE: &str = "a field has another type";

/// Bytes that a body unpacks to, as it says itself.
///
/// # Errors
/// [`Error::Snappy`], [`Error::TooLong`].
pub fn unpacked_len(body: &[u8]) -> Result<usize> {
    let size = snap::raw::decompress_len(body).map_err(|_| Error::Snappy)?;
    if size > UNPACKED_MAX {
        return Err(Error::TooLong {
            size: size as u64,
            limit: UNPACKED_MAX as u64,
        });
    }
    Ok(size)
}

/// Unpacks a body. The length that it claims is looked at before memory is taken.
///
/// # Errors
/// [`Error::Snappy`], [`Error::TooLong`].
pub fn unpack(body: &[u8]) -> Result<Vec<u8>> {
    unpacked_len(body)?;
    snap::raw::Decoder::new()
        .decompress_vec(body)
        .map_err(|_| Error::Snappy)
}

/// One series of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Series<'a> {
    /// Its label fields as they lie in the message, tags included: see [`pairs`].
    pub labels: Cow<'a, [u8]>,
}

/// Reads all series of an unpacked request: `sample` gets each sample of a series (ms, value), then
/// `end` the series.
///
/// # Errors
/// [`Error::Protobuf`]; what came before was already given out.
pub fn series<'a, S>(
    request: &'a [u8],
    state: &mut S,
    mut sample: impl FnMut(&mut S, i64, f64),
    mut end: impl FnMut(&mut S, Series<'a>) -> Result<()>,
) -> Result<()> {
    let mut from = Fields(request);
    while let Some((field, kind)) = from.tag()? {
        if field != 1 {
            from.skip(kind)?;
            continue;
        }
        let one = one_series(from.message(kind)?, |at, value| sample(state, at, value))?;
        end(state, one)?;
    }
    Ok(())
}

fn one_series(message: &[u8], mut sample: impl FnMut(i64, f64)) -> Result<Series<'_>> {
    let mut labels = Cow::Borrowed(&[][..]);
    // Where the labels that were taken so far begin and end, while they lie together.
    let mut region: Option<(usize, usize)> = None;
    let mut from = Fields(message);
    loop {
        let start = message.len() - from.0.len();
        let Some((field, kind)) = from.tag()? else {
            break;
        };
        match field {
            1 => {
                from.message(kind)?;
                let end = message.len() - from.0.len();
                region = match region {
                    None => Some((start, end)),
                    Some((first, until)) if until == start => Some((first, end)),
                    Some((first, until)) => {
                        let before = message.get(first..until).unwrap_or_default();
                        labels.to_mut().extend_from_slice(before);
                        Some((start, end))
                    }
                };
            }
            2 => {
                let (at, value) = one_sample(from.message(kind)?)?;
                sample(at, value);
            }
            _ => from.skip(kind)?,
        }
    }
    let (first, until) = region.unwrap_or_default();
    let rest = message.get(first..until).unwrap_or_default();
    if labels.is_empty() {
        labels = Cow::Borrowed(rest);
    } else {
        labels.to_mut().extend_from_slice(rest);
    }
    Ok(Series { labels })
}

fn one_sample(message: &[u8]) -> Result<(i64, f64)> {
    let (mut at, mut value) = (0, 0.0);
    let mut from = Fields(message);
    while let Some((field, kind)) = from.tag()? {
        match (field, kind) {
            (1, FIXED64) => value = f64::from_bits(from.fixed64()?),
            (2, VARINT) => at = from.varint()?.cast_signed(),
            (1 | 2, _) => return Err(Error::Protobuf(WRONG_TYPE)),
            _ => from.skip(kind)?,
        }
    }
    Ok((at, value))
}

/// Name and value of each label, as bytes, in the order they were sent.
///
/// # Errors
/// [`Error::Protobuf`] in place of the first label that does not read.
pub fn pairs(labels: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8])>> {
    let mut from = Fields(labels);
    std::iter::from_fn(move || {
        let next = from.tag().and_then(|tag| match tag {
            Some((_, kind)) => one_label(from.message(kind)?).map(Some),
            None => Ok(None),
        });
        if next.is_err() {
            from = Fields(&[]);
        }
        next.transpose()
    })
}

fn one_label(message: &[u8]) -> Result<(&[u8], &[u8])> {
    let (mut name, mut value) = (&[][..], &[][..]);
    let mut from = Fields(message);
    while let Some((field, kind)) = from.tag()? {
        match field {
            1 => name = from.message(kind)?,
            2 => value = from.message(kind)?,
            _ => from.skip(kind)?,
        }
    }
    Ok((name, value))
}

/// The fields of a message that are left.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Number and type of the next field; `None` at the end.
    fn tag(&mut self) -> Result<Option<(u64, u64)>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        if tag >> 3 == 0 {
            return Err(Error::Protobuf("a field has number 0"));
        }
        Ok(Some((tag >> 3, tag & 7)))
    }

    fn varint(&mut self) -> Result<u64> {
        if let Some((&byte, rest)) = self.0.split_first()
            && byte < 0x80
        {
            self.0 = rest;
            return Ok(u64::from(byte));
        }
        let mut value = 0;
        for (shift, byte) in (0..64).step_by(7).zip(self.0) {
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                self.0 = self.0.get(shift / 7 + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(Error::Protobuf(EARLY_END))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (head, rest) = self
            .0
            .split_at_checked(len)
            .ok_or(Error::Protobuf(EARLY_END))?;
        self.0 = rest;
        Ok(head)
    }

    fn fixed64(&mut self) -> Result<u64> {
        let bytes = self
            .take(8)?
            .try_into()
            .map_err(|_| Error::Protobuf(EARLY_END))?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// The bytes of a field that must be text or a message.
    fn message(&mut self, kind: u64) -> Result<&'a [u8]> {
        if kind != BYTES {
            return Err(Error::Protobuf(WRONG_TYPE));
        }
        let len = usize::try_from(self.varint()?).map_err(|_| Error::Protobuf(EARLY_END))?;
        self.take(len)
    }

    fn skip(&mut self, kind: u64) -> Result<()> {
        match kind {
            VARINT => self.varint().map(|_| ()),
            FIXED64 => self.take(8).map(|_| ()),
            BYTES => self.message(kind).map(|_| ()),
            FIXED32 => self.take(4).map(|_| ()),
            _ => Err(Error::Protobuf(
                "a field has a type that proto3 does not know",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
        out.push(number << 3 | 2);
        let mut len = bytes.len();
        while len >= 0x80 {
            out.push(u8::try_from(len & 0x7f).unwrap() | 0x80);
            len >>= 7;
        }
        out.push(u8::try_from(len).unwrap());
        out.extend_from_slice(bytes);
    }

    fn label(name: &str, value: &str) -> Vec<u8> {
        let mut out = Vec::new();
        field(&mut out, 1, name.as_bytes());
        field(&mut out, 2, value.as_bytes());
        out
    }

    fn sample(at: i64, value: f64) -> Vec<u8> {
        let mut out = vec![0x09];
        out.extend_from_slice(&value.to_bits().to_le_bytes());
        out.push(0x10);
        let mut rest = at.cast_unsigned();
        while rest >= 0x80 {
            out.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
            rest >>= 7;
        }
        out.push(u8::try_from(rest).unwrap());
        out
    }

    type Got = Vec<(Vec<(String, String)>, Vec<(i64, u64)>)>;

    fn read(request: &[u8]) -> Result<Got> {
        let mut state = (Vec::new(), Vec::new());
        series(
            request,
            &mut state,
            |state, at, value| state.1.push((at, value.to_bits())),
            |state: &mut (Got, Vec<(i64, u64)>), series| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let labels = pairs(&series.labels)
                    .map(|pair| pair.map(|(name, value)| (text(name), text(value))))
                    .collect::<Result<_>>()?;
                let samples = std::mem::take(&mut state.1);
                state.0.push((labels, samples));
                Ok(())
            },
        )?;
        Ok(state.0)
    }

    #[test]
    fn labels_that_do_not_lie_together_and_unknown_fields_are_read() {
        let mut one = Vec::new();
        field(&mut one, 1, &label("__name__", "up"));
        field(&mut one, 2, &sample(-5, f64::NAN));
        field(&mut one, 3, b"an exemplar");
        field(&mut one, 1, &label("job", "a"));
        field(&mut one, 2, &[]);
        let mut request = Vec::new();
        field(&mut request, 3, b"metadata");
        field(&mut request, 1, &one);
        request.extend_from_slice(&[0x78, 0x05, 0x7d, 1, 2, 3, 4]);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            read(&request).unwrap(),
            [(
                vec![pair("__name__", "up"), pair("job", "a")],
                vec![(-5, f64::NAN.to_bits()), (0, 0)]
            )]
        );
    }

    #[test]
    fn a_length_that_is_a_lie_takes_no_memory() {
        // Four gigabytes less one, as snappy's head writes it.
        let lie = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
        assert!(matches!(unpack(&lie), Err(Error::TooLong { .. })));
        for wrong in [&b""[..], &[0xff; 12], &[0x05, 0x00]] {
            assert!(matches!(unpack(wrong), Err(Error::Snappy)));
        }
        // A message that claims more bytes than there are.
        for wrong in [
            &[0x0a, 0xff, 0xff, 0xff, 0x7f][..],
            &[0x0a, 0x05, 0x0a],
            &[0x08, 0x01],
            &[0x00],
            &[0x0b],
            &[0xff; 11],
        ] {
            assert!(matches!(read(wrong), Err(Error::Protobuf(_))), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bits_at_any_instant_come_through(
            all in prop::collection::vec(
                (
                    prop::collection::vec((".{0,20}", ".{0,200}"), 0..6),
                    prop::collection::vec((any::<i64>(), any::<u64>()), 0..20),
                ),
                0..6,
            ),
        ) {
            let mut request = Vec::new();
            for (labels, samples) in &all {
                let mut one = Vec::new();
                for (name, value) in labels {
                    field(&mut one, 1, &label(name, value));
                }
                for (at, bits) in samples {
                    field(&mut one, 2, &sample(*at, f64::from_bits(*bits)));
                }
                field(&mut request, 1, &one);
            }
            let packed = snap::raw::Encoder::new().compress_vec(&request).unwrap();
            prop_assert_eq!(read(&unpack(&packed).unwrap()).unwrap(), all);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
            let _ = unpack(&bytes);
            let _ = pairs(&bytes).count();
        }
    }
}
