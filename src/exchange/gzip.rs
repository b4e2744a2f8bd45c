//! Files that may be packed with gzip: told by their first bytes, not by their name.
//!
//! For: reading a file or a pipe as it was before it was packed. Not for: packing.

use std::io::{self, BufReader, Cursor, ErrorKind, Read};

use flate2::bufread::MultiGzDecoder;

/// What every gzip member begins with (RFC 1952, section 2.3.1).
const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Packed bytes that are read at once.
const BUFFER: usize = 128 << 10;

/// The bytes of `from`, unpacked if they were packed.
///
/// # Errors
/// The system's, of the first two bytes. Later, reading says that the gzip is cut off or damaged.
pub fn unpacked(mut from: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut first = Vec::new();
    (&mut from)
        .take(MAGIC.len() as u64)
        .read_to_end(&mut first)?;
    let is_packed = first == MAGIC;
    let whole = Cursor::new(first).chain(from);
    Ok(if is_packed {
        let packed = BufReader::with_capacity(BUFFER, whole);
        Box::new(Unpacked(MultiGzDecoder::new(packed)))
    } else {
        Box::new(whole)
    })
}

/// Says of broken gzip that it is broken, and what to do.
struct Unpacked<R>(R);

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into).map_err(|error| {
            let what = match error.kind() {
                ErrorKind::UnexpectedEof => "its gzip is cut off; fetch or pack it again",
                ErrorKind::InvalidInput | ErrorKind::InvalidData => {
                    "its gzip is damaged; fetch or pack it again"
                }
                _ => return error,
            };
            io::Error::new(error.kind(), what)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    fn read(file: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        unpacked(Cursor::new(file))?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn packed_or_not_the_same_bytes_come() {
        let bytes = b"series,step,y\n".repeat(1000);
        assert_eq!(read(bytes.clone()).unwrap(), bytes);
        assert_eq!(read(packed(&bytes)).unwrap(), bytes);
        // Several members, as `cat a.gz b.gz` makes them.
        let two = [packed(&bytes), packed(b"x")].concat();
        assert_eq!(read(two).unwrap(), [&bytes[..], b"x"].concat());
        assert_eq!(read(b"\x1f".to_vec()).unwrap(), b"\x1f");
        assert_eq!(read(Vec::new()).unwrap(), b"");
    }

    #[test]
    fn a_broken_gzip_is_told_with_its_cure() {
        let whole = packed(&b"series,step,y\n".repeat(1000));
        for cut in [3, whole.len() / 2, whole.len() - 1] {
            let error = read(whole[..cut].to_vec()).unwrap_err();
            assert!(error.to_string().contains("cut off"), "{cut}: {error}");
        }
        let mut damaged = whole.clone();
        let last = damaged.len() - 6;
        damaged[last] ^= 0xff;
        let error = read(damaged).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
    }
}
