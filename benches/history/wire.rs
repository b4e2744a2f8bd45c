//! A plain HTTP client on one connection that is kept.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// A connection to one server.
pub(crate) struct Wire {
    stream: BufReader<TcpStream>,
    port: u16,
}

impl Wire {
    /// Connects; `None` while nobody listens.
    pub(crate) fn connect(port: u16) -> Option<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_nodelay(true).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(120)))
            .ok()?;
        Some(Self {
            stream: BufReader::with_capacity(1 << 18, stream),
            port,
        })
    }

    /// Gets a path with parameters; status and body.
    pub(crate) fn get(
        &mut self,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Option<(u16, Vec<u8>)> {
        let pairs: Vec<String> = parameters
            .iter()
            .map(|(name, value)| format!("{name}={}", escaped(value)))
            .collect();
        let head = format!(
            "GET {path}?{} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n",
            pairs.join("&"),
            self.port
        );
        self.ask(head.as_bytes(), &[])
    }

    /// Posts a remote-write body; status and body.
    pub(crate) fn write(&mut self, path: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/x-protobuf\r\n\
             Content-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n\
             User-Agent: plimsoll-bench\r\nContent-Length: {}\r\n\r\n",
            self.port,
            body.len()
        );
        self.ask(head.as_bytes(), body)
    }

    fn ask(&mut self, head: &[u8], body: &[u8]) -> Option<(u16, Vec<u8>)> {
        self.stream.get_mut().write_all(head).ok()?;
        self.stream.get_mut().write_all(body).ok()?;
        let mut line = String::new();
        self.stream.read_line(&mut line).ok()?;
        let status: u16 = line.split(' ').nth(1)?.parse().ok()?;
        let (mut length, mut chunked) = (0, false);
        loop {
            line.clear();
            self.stream.read_line(&mut line).ok()?;
            let lower = line.trim_end().to_ascii_lowercase();
            if lower.is_empty() {
                break;
            }
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            chunked |= lower.starts_with("transfer-encoding:") && lower.contains("chunked");
        }
        let mut answer = Vec::new();
        if !chunked {
            answer.resize(length, 0);
            self.stream.read_exact(&mut answer).ok()?;
            return Some((status, answer));
        }
        loop {
            line.clear();
            self.stream.read_line(&mut line).ok()?;
            let size = usize::from_str_radix(line.trim(), 16).ok()?;
            let done = answer.len();
            answer.resize(done + size, 0);
            self.stream.read_exact(&mut answer[done..]).ok()?;
            line.clear();
            self.stream.read_line(&mut line).ok()?;
            if size == 0 {
                return Some((status, answer));
            }
        }
    }
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
