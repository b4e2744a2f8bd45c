//! Server-sent events as lines on the terminal, as they come.

use std::io::{self, Write};

use serde_json::Value;

use crate::cli::table::second;
use crate::model::units::{Timestamp, counted};

/// Bytes of one event that are waited for; what is longer is no event of ours.
const EVENT_MAX: usize = 1 << 20;

/// Writes each event that is written to it as a line.
#[derive(Debug)]
pub(super) struct Lines<W> {
    to: W,
    is_json: bool,
    rest: Vec<u8>,
}

impl<W: Write> Lines<W> {
    /// Lines to `to`: the server's JSON, or text for people.
    pub(super) const fn new(to: W, is_json: bool) -> Self {
        Self {
            to,
            is_json,
            rest: Vec::new(),
        }
    }

    fn event(&mut self, data: &str) -> io::Result<()> {
        if self.is_json {
            return writeln!(self.to, "{data}");
        }
        let event: Value = serde_json::from_str(data).unwrap_or_default();
        let field = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or("");
        let at = event.get("timestamp").and_then(Value::as_i64).unwrap_or(0);
        let at = second(&Timestamp::from_millis(at).to_string());
        let (what, id, why) = (field("event"), field("jobId"), field("failedReason"));
        let line = match event.get("count").and_then(Value::as_u64) {
            Some(count) => format!("{at}  {what:<16}  {}", counted(count, "event")),
            None => format!("{at}  {what:<16}  {id}  {why}"),
        };
        writeln!(self.to, "{}", line.trim_end())
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            if let Some(data) = line.trim_end().strip_prefix("data: ") {
                self.event(data)?;
            }
        }
        if self.rest.len() > EVENT_MAX {
            return Err(io::Error::other("the server sends an event without an end"));
        }
        self.flush()?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_become_lines_however_they_are_cut() {
        let sent = ": listening\n\nevent: failed\ndata: {\"event\":\"failed\",\"jobId\":\"é\",\"failedReason\":\"no\",\"timestamp\":0}\n\n";
        let mut whole = Vec::new();
        Lines::new(&mut whole, false)
            .write_all(sent.as_bytes())
            .unwrap();
        let mut cut = Vec::new();
        let mut lines = Lines::new(&mut cut, false);
        for byte in sent.as_bytes() {
            lines.write_all(&[*byte]).unwrap();
        }
        assert_eq!(whole, cut);
        let text = String::from_utf8(whole).unwrap();
        assert_eq!(text, "1970-01-01 00:00:00 UTC  failed            é  no\n");
        let missed = "data: {\"event\":\"missed\",\"count\":1,\"timestamp\":86400000}\n";
        let mut line = Vec::new();
        Lines::new(&mut line, false)
            .write_all(missed.as_bytes())
            .unwrap();
        let text = String::from_utf8(line).unwrap();
        assert_eq!(text, "1970-01-02 00:00:00 UTC  missed            1 event\n");
    }
}
