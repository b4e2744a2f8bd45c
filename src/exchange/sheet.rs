//! CSV with a heading: any columns, found by name, a record at a time.
//!
//! For: files that people and other programs make, of any size, in memory that does not grow with
//! them. Not for: our own samples ([`csv`](super::csv)), whose columns are fixed, nor for what a
//! field means. Read [`Sheet`] first.
//!
//! Quoting is that of RFC 4180. Lines end with LF or CRLF; empty ones are stepped over; a byte-order
//! mark in front is, too.

use std::borrow::Cow;
use std::io::Read;

use super::blocks::Blocks;
use super::{Error, Result};

/// A longer record is none of a table of numbers.
const RECORD_MAX: usize = 64 << 10;
/// More columns than this are none, either.
const COLUMNS_MAX: usize = 1_000;
/// What is read from the file at once.
const BUFFER: usize = 256 << 10;

/// Where a field lies in the current record, without its quotes.
#[derive(Debug, Clone, Copy)]
struct Place {
    from: usize,
    to: usize,
    /// Quotes inside are written twice.
    doubled: bool,
}

/// A file of records under a heading. Before the first [`Sheet::advance`] no record is there.
#[derive(Debug)]
pub struct Sheet<R> {
    blocks: Blocks<R>,
    /// Length of the current record, with which the blocks begin.
    len: usize,
    line: u64,
    lines: u64,
    fields: Vec<Place>,
    heading: Vec<String>,
}

impl<R: Read> Sheet<R> {
    /// Reads the heading.
    ///
    /// # Errors
    /// [`Error::Line`] where there is none or it is no text, [`Error::Io`].
    pub fn new(from: R) -> Result<Self> {
        let mut sheet = Self {
            blocks: Blocks::new(from, BUFFER),
            len: 0,
            line: 0,
            lines: 0,
            fields: Vec::new(),
            heading: Vec::new(),
        };
        sheet.blocks.fill()?;
        if sheet.blocks.left().starts_with(b"\xef\xbb\xbf") {
            sheet.len = 3;
        }
        if !sheet.advance()? {
            return Err(Error::line(1, "is missing: the file is empty"));
        }
        for at in 0..sheet.fields.len() {
            let name = String::from_utf8(sheet.field(at).into_owned())
                .map_err(|_| Error::line(sheet.line, "is no heading: it is not UTF-8"))?;
            sheet.heading.push(name.trim().to_owned());
        }
        Ok(sheet)
    }

    /// Names of the columns, in their order.
    pub fn heading(&self) -> &[String] {
        &self.heading
    }

    /// The place of the column of this name, in any case of letters.
    ///
    /// # Errors
    /// [`Error::Line`] if two have it.
    pub fn column(&self, name: &str) -> Result<Option<usize>> {
        let places = self.heading.iter().enumerate();
        let mut found = places.filter(|(_, n)| n.eq_ignore_ascii_case(name));
        let first = found.next().map(|(at, _)| at);
        if found.next().is_some() {
            let what = format!("names column {name} twice; leave one out");
            return Err(Error::line(1, what));
        }
        Ok(first)
    }

    /// Goes on to the next record; `false` at the end.
    ///
    /// # Errors
    /// [`Error::Line`] for a record that is too long or cut off within quotes, [`Error::Io`].
    pub fn advance(&mut self) -> Result<bool> {
        self.blocks.take(self.len);
        self.len = 0;
        loop {
            if let Some(len) = self.blocks.blank() {
                self.blocks.take(len);
                self.lines += 1;
                continue;
            }
            self.line = self.lines + 1;
            if self.blocks.left().is_empty() && self.blocks.is_over() {
                self.fields.clear();
                return Ok(false);
            }
            if self.place()? {
                return Ok(true);
            }
            self.blocks.fill()?;
        }
    }

    /// How many fields the current record has.
    pub fn count(&self) -> usize {
        self.fields.len()
    }

    /// A field of the current record; empty where there is none.
    pub fn field(&self, at: usize) -> Cow<'_, [u8]> {
        let Some(place) = self.fields.get(at) else {
            return Cow::Borrowed(b"");
        };
        let record = self.blocks.left();
        let inner = record.get(place.from..place.to).unwrap_or_default();
        if place.doubled {
            let mut was_quote = false;
            let kept = inner.iter().copied().filter(|byte| {
                let is_second = *byte == b'"' && was_quote;
                was_quote = *byte == b'"' && !was_quote;
                !is_second
            });
            Cow::Owned(kept.collect())
        } else {
            Cow::Borrowed(inner)
        }
    }

    /// The line that the current record began on, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Finds the fields of the record that begins at the start; `false` if its end is not there.
    fn place(&mut self) -> Result<bool> {
        self.fields.clear();
        let left = self.blocks.left();
        let is_over = self.blocks.is_over();
        let wrong = |what: String| Error::line(self.line, what);
        let (mut at, mut within) = (0, 0);
        let len = loop {
            let field = left.get(at..).unwrap_or_default();
            let (place, end) = if field.first() == Some(&b'"') {
                let Some((place, breaks)) = quoted(field) else {
                    break None;
                };
                within += breaks;
                (place, place.to + 1)
            } else {
                let Some(end) =
                    memchr::memchr2(b',', b'\n', field).or_else(|| is_over.then_some(field.len()))
                else {
                    break None;
                };
                let plain = Place {
                    from: 0,
                    to: end,
                    doubled: false,
                };
                (plain, end)
            };
            let place = Place {
                from: at + place.from,
                to: at + place.to,
                doubled: place.doubled,
            };
            self.fields.push(place);
            if self.fields.len() > COLUMNS_MAX {
                return Err(wrong(format!("has more than {COLUMNS_MAX} columns")));
            }
            match field.get(end..).unwrap_or_default() {
                [b',', ..] => at += end + 1,
                [b'\n', ..] => break Some(at + end + 1),
                [b'\r', b'\n', ..] => break Some(at + end + 2),
                [] if is_over => break Some(at + end),
                [b'\r'] if is_over => break Some(at + end + 1),
                [] | [b'\r'] => break None,
                _ => {
                    let what = "goes on after a closing quote; write a quote in quotes twice";
                    return Err(wrong(what.to_owned()));
                }
            }
        };
        if len.unwrap_or(left.len()) > RECORD_MAX {
            return Err(wrong(format!("is longer than {RECORD_MAX} bytes")));
        }
        let Some(len) = len else {
            if is_over {
                return Err(wrong("is cut off within quotes".to_owned()));
            }
            return Ok(false);
        };
        // A carriage return before the line's end belongs to neither.
        if let Some(last) = self.fields.last_mut()
            && matches!(left.get(last.to), Some(b'\n') | None)
            && last.to > last.from
            && left.get(last.to - 1) == Some(&b'\r')
        {
            last.to -= 1;
        }
        self.lines += 1 + within;
        self.len = len;
        Ok(true)
    }
}

/// What lies between the quotes of the field at the start, and how many line ends do; `None` if the
/// closing quote is not there, or may be half of two.
fn quoted(field: &[u8]) -> Option<(Place, u64)> {
    let (mut from, mut doubled) = (1, false);
    loop {
        let quote = from + memchr::memchr(b'"', field.get(from..)?)?;
        if field.get(quote + 1) == Some(&b'"') {
            from = quote + 2;
            doubled = true;
            continue;
        }
        let breaks = memchr::memchr_iter(b'\n', field.get(1..quote)?).count();
        let place = Place {
            from: 1,
            to: quote,
            doubled,
        };
        return Some((place, breaks as u64));
    }
}
