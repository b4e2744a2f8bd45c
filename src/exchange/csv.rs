//! Samples as CSV: `series,ts_ms,value`, a sample a line.
//!
//! For: reading and writing files of any size line by line, in memory that does not grow with them.
//! Not for: what a series' text means (`name`) nor a value's (`value`). Read [`Records`] first.
//!
//! Quoting is that of RFC 4180: a field with a comma, a quote or a line end stands in quotes, a
//! quote in it twice. Lines end with LF or CRLF; empty ones are stepped over.

use std::borrow::Cow;
use std::io::Read;

use super::blocks::Blocks;
use super::name::{self, Named};
use super::{Error, Result, Row, Rows, value};

/// The first line.
pub const HEADER: &str = "series,ts_ms,value";
/// A longer record is none of ours.
const RECORD_MAX: usize = 64 << 10;
/// What is read from the file at once.
const BUFFER: usize = 1 << 20;

/// The records of a file, one after the other.
#[derive(Debug)]
pub struct Records<R> {
    blocks: Blocks<R>,
    line: u64,
    lines: u64,
}

/// Where the fields of a record lie behind the start of the buffer.
struct Place {
    series: usize,
    at: (usize, usize),
    value: (usize, usize),
    len: usize,
}

impl<R: Read> Records<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`Error::Line`] where it is missing or another.
    pub fn new(from: R) -> Result<Self> {
        let mut rows = Self {
            blocks: Blocks::new(from, BUFFER),
            line: 0,
            lines: 1,
        };
        let header = loop {
            let left = rows.blocks.left();
            let end = memchr::memchr(b'\n', left);
            if let Some(end) = end.or(rows.blocks.is_over().then_some(left.len())) {
                break end;
            }
            if left.len() > RECORD_MAX {
                break left.len();
            }
            rows.blocks.fill()?;
        };
        let left = rows.blocks.left();
        let text = left.get(..header).unwrap_or_default();
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text != HEADER.as_bytes() {
            let what = format!("is not the header {HEADER}; write it above the samples");
            return Err(Error::line(1, what));
        }
        rows.blocks.take(header + 1);
        Ok(rows)
    }

    /// The next record, if all of it is in the buffer.
    fn place(&mut self) -> Result<Option<Place>> {
        while let Some(blank) = self.blocks.blank() {
            self.blocks.take(blank);
            self.lines += 1;
        }
        self.line = self.lines + 1;
        let left = self.blocks.left();
        if left.is_empty() {
            return Ok(None);
        }
        let found =
            place_in(left, self.blocks.is_over()).map_err(|what| Error::line(self.line, what))?;
        let len = found.as_ref().map_or(left.len(), |place| place.len);
        if len > RECORD_MAX {
            let what = format!("is longer than {RECORD_MAX} bytes");
            return Err(Error::line(self.line, what));
        }
        if let Some(place) = &found {
            let series = left.get(..place.series).unwrap_or_default();
            let within = memchr::memchr_iter(b'\n', series).count();
            self.lines += 1 + within as u64;
        } else if self.blocks.is_over() {
            return Err(Error::line(self.line, "is cut off within quotes"));
        }
        Ok(found)
    }
}

impl<R: Read> Rows for Records<R> {
    fn next(&mut self) -> Result<Option<Row<'_>>> {
        let place = loop {
            match self.place()? {
                Some(place) => break place,
                None if self.blocks.is_over() => return Ok(None),
                None => self.blocks.fill()?,
            }
        };
        let record = self.blocks.take(place.len);
        let field = |(start, end)| unquoted(record.get(start..end).unwrap_or_default());
        let wrong = |what| Error::line(self.line, what);
        let at_ms = value::read_ms(field(place.at))
            .ok_or_else(|| wrong("has no whole number of milliseconds in its second field"))?;
        let value = value::read(field(place.value))
            .ok_or_else(|| wrong("has no number in its third field"))?;
        Ok(Some(Row {
            series: record.get(..place.series).unwrap_or_default(),
            at_ms,
            value,
        }))
    }

    fn line(&self) -> u64 {
        self.line
    }

    fn name(&self, series: &[u8]) -> std::result::Result<Named, String> {
        let text = text(series).ok_or("names a series that is not UTF-8")?;
        name::read(&text)
    }
}

/// The three fields of the record at the start; `None` if its end is not there.
fn place_in(left: &[u8], is_over: bool) -> std::result::Result<Option<Place>, &'static str> {
    const FEW: &str = "has fewer than the three fields series,ts_ms,value";
    let series = if left.first() == Some(&b'"') {
        match quoted_len(left) {
            Some(len) => len,
            None => return Ok(None),
        }
    } else {
        let end = memchr::memchr2(b',', b'\n', left).unwrap_or(left.len());
        if end == left.len() && !is_over {
            return Ok(None);
        }
        end
    };
    let rest = left.get(series..).unwrap_or_default();
    let Some(end) = memchr::memchr(b'\n', rest).or(is_over.then_some(rest.len())) else {
        return Ok(None);
    };
    let line = rest.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let Some((b',', fields)) = line.split_first() else {
        return Err(FEW);
    };
    let middle = memchr::memchr(b',', fields).ok_or(FEW)?;
    let last = fields.get(middle + 1..).unwrap_or_default();
    if memchr::memchr(b',', last).is_some() {
        return Err("has more than the three fields series,ts_ms,value");
    }
    let at = series + 1;
    Ok(Some(Place {
        series,
        at: (at, at + middle),
        value: (at + middle + 1, at + fields.len()),
        len: (series + end + 1).min(left.len()),
    }))
}

/// Length of a quoted field with its quotes; `None` if its end is not there, or may be half of two.
fn quoted_len(left: &[u8]) -> Option<usize> {
    let mut from = 1;
    loop {
        let quote = from + memchr::memchr(b'"', left.get(from..)?)?;
        match left.get(quote + 1) {
            Some(b'"') => from = quote + 2,
            Some(_) => return Some(quote + 1),
            None => return None,
        }
    }
}

fn unquoted(field: &[u8]) -> &[u8] {
    field
        .strip_prefix(b"\"")
        .and_then(|field| field.strip_suffix(b"\""))
        .unwrap_or(field)
}

/// The text of a field as it stands in the file; `None` if it is not UTF-8.
pub fn text(field: &[u8]) -> Option<Cow<'_, str>> {
    let inner = unquoted(field);
    let text = std::str::from_utf8(inner).ok()?;
    Some(if inner.len() < field.len() && text.contains('"') {
        Cow::Owned(text.replace("\"\"", "\""))
    } else {
        Cow::Borrowed(text)
    })
}

/// Appends a field, in quotes where it must be.
pub fn put_field(out: &mut Vec<u8>, text: &str) {
    let needs_quotes = text.contains([',', '"', '\n', '\r']);
    if needs_quotes {
        out.push(b'"');
        out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

/// Appends a line; `series` was written by [`put_field`].
pub fn put_row(out: &mut Vec<u8>, series: &[u8], at_ms: i64, of: f64) {
    out.extend_from_slice(series);
    out.push(b',');
    out.extend_from_slice(itoa::Buffer::new().format(at_ms).as_bytes());
    out.push(b',');
    value::put(out, of);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives out a few bytes at a time, so that every record is met in halves.
    struct Drops<'a>(&'a [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let len = self.1.min(self.0.len()).min(into.len());
            let (now, later) = self.0.split_at(len);
            into[..len].copy_from_slice(now);
            self.0 = later;
            Ok(len)
        }
    }

    fn read(file: &[u8], at_once: usize) -> Result<Vec<(String, i64, u64)>> {
        let mut rows = Records::new(Drops(file, at_once))?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            let series = text(row.series).unwrap().into_owned();
            all.push((series, row.at_ms, row.value.to_bits()));
        }
        Ok(all)
    }

    fn wrong(file: &[u8]) -> String {
        let [one, few, all] = [1, 7, 1 << 20].map(|n| read(file, n).unwrap_err().to_string());
        assert!(one == few && few == all, "{one} {few} {all}");
        all
    }

    #[test]
    fn lines_are_read_as_spreadsheets_write_them() {
        let file = b"\xef\xbb\xbfseries,ts_ms,value\r\n\"a{b=\"\"c,d\"\"}\",-1,\"2.5\"\r\n\r\ns17,7,NaN\n\n\"x\ny\",8,-Inf";
        let wanted = [
            ("a{b=\"c,d\"}".to_owned(), -1, 2.5f64.to_bits()),
            ("s17".to_owned(), 7, f64::NAN.to_bits()),
            ("x\ny".to_owned(), 8, f64::NEG_INFINITY.to_bits()),
        ];
        for at_once in [1, 2, 3, 1 << 20] {
            assert_eq!(read(file, at_once).unwrap(), wanted);
        }
        assert_eq!(read(b"series,ts_ms,value", 1).unwrap(), []);
    }

    #[test]
    fn what_does_not_read_names_its_line_and_takes_no_memory() {
        let with = |lines: &str| format!("{HEADER}\n{lines}").into_bytes();
        assert!(wrong(b"").contains("line 1 is not the header"));
        assert!(wrong(b"s,1,2\n").contains("line 1 is not the header"));
        let columns = vec![b','; 1 << 20];
        assert!(wrong(&columns).contains("line 1 is not the header"));
        for (lines, what) in [
            ("s,1,2\ns,1\n", "line 3 has fewer"),
            ("s,1,2\n\ns\n", "line 4 has fewer"),
            ("\"a\nb\",1,2\ns,1,2,3\n", "line 4 has more"),
            ("s,1.5,2\n", "line 2 has no whole number of milliseconds"),
            ("s,1,two\n", "line 2 has no number"),
            ("s,9223372036854775808,1\n", "line 2 has no whole number"),
            ("\"s,1,2\n", "line 2 is cut off within quotes"),
            ("\"s\"x,1,2\n", "line 2 has fewer"),
        ] {
            let told = wrong(&with(lines));
            assert!(told.contains(what), "{told}");
        }
        let mut endless = with("\"");
        endless.resize(3 << 20, b'x');
        assert!(wrong(&endless).contains("line 2 is longer than"));
        let mut columns = with("");
        columns.resize(3 << 20, b',');
        assert!(wrong(&columns).contains("line 2 is longer than"));
    }

    proptest! {
        #[test]
        fn any_text_and_any_bits_come_back(
            rows in prop::collection::vec((".{1,30}", any::<i64>(), any::<u64>()), 0..20),
            at_once in 1usize..50,
        ) {
            let mut file = format!("{HEADER}\n").into_bytes();
            for (series, at, bits) in &rows {
                let mut field = Vec::new();
                put_field(&mut field, series);
                put_row(&mut file, &field, *at, f64::from_bits(*bits));
            }
            prop_assert_eq!(read(&file, at_once).unwrap(), rows);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_bytes(&bytes);
            let mut file = format!("{HEADER}\n").into_bytes();
            file.extend_from_slice(&bytes);
            let _ = read_bytes(&file);
        }
    }

    fn read_bytes(file: &[u8]) -> Result<usize> {
        let mut rows = Records::new(file)?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            let _ = text(row.series);
            count += 1;
        }
        Ok(count)
    }
}
