//! A file read block by block: what was read and not yet used lies together.
//!
//! For: readers of records that may be cut by the end of a block. Not for: what a record is
//! ([`csv`](super::csv), [`sheet`](super::sheet)).

use std::io::{ErrorKind, Read};

use super::Result;

/// Bytes of a file from the first unused one on.
#[derive(Debug)]
pub(super) struct Blocks<R> {
    from: R,
    size: usize,
    buffer: Vec<u8>,
    start: usize,
    is_over: bool,
}

impl<R: Read> Blocks<R> {
    /// Reads `size` bytes at once; none yet.
    pub(super) const fn new(from: R, size: usize) -> Self {
        Self {
            from,
            size,
            buffer: Vec::new(),
            start: 0,
            is_over: false,
        }
    }

    /// What was read and not used.
    pub(super) fn left(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Nothing comes behind what is left.
    pub(super) const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Uses up to `len` of what is left.
    pub(super) fn take(&mut self, len: usize) -> &[u8] {
        let from = self.start;
        self.start = (from + len).min(self.buffer.len());
        self.buffer.get(from..self.start).unwrap_or_default()
    }

    /// Reads more behind what is left.
    ///
    /// # Errors
    /// [`super::Error::Io`]; what is left stays.
    pub(super) fn fill(&mut self) -> Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let had = self.buffer.len();
        self.buffer.resize(had + self.size, 0);
        let room = self.buffer.get_mut(had..).unwrap_or_default();
        let read = loop {
            match self.from.read(room) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer
            .truncate(had + read.as_ref().copied().unwrap_or(0));
        self.is_over = read? == 0;
        Ok(())
    }

    /// Length of an empty line at the start.
    pub(super) fn blank(&self) -> Option<usize> {
        match self.left() {
            [b'\n', ..] => Some(1),
            [b'\r', b'\n', ..] => Some(2),
            [b'\r'] if self.is_over => Some(1),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_goes_before_what_comes() {
        let mut blocks = Blocks::new(&b"one\r\ntwo"[..], 3);
        assert!(blocks.left().is_empty() && !blocks.is_over());
        blocks.fill().unwrap();
        assert_eq!(blocks.take(1), b"o");
        assert_eq!(blocks.left(), b"ne");
        blocks.fill().unwrap();
        assert_eq!(blocks.take(2), b"ne");
        assert_eq!(blocks.blank(), Some(2));
        blocks.fill().unwrap();
        blocks.fill().unwrap();
        assert!(blocks.is_over());
        assert_eq!(blocks.take(99), b"\r\ntwo");
        assert!(blocks.left().is_empty() && blocks.blank().is_none());
    }

    #[test]
    fn a_carriage_return_at_the_very_end_is_an_empty_line() {
        let mut blocks = Blocks::new(&b"\r"[..], 8);
        blocks.fill().unwrap();
        assert_eq!(blocks.blank(), None);
        blocks.fill().unwrap();
        assert_eq!(blocks.blank(), Some(1));
    }
}
