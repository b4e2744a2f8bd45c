//! A plain HTTP client: many connections on one thread, each kept, a request at a time on each.

use std::time::{Duration, Instant};

use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection.
pub(crate) struct Wire {
    stream: TcpStream,
    port: u16,
    room: Vec<u8>,
}

impl Wire {
    pub(crate) async fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            port,
            room: vec![0; 1 << 16],
        }
    }

    /// A request as bytes.
    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        let port = self.port;
        let length = body.len();
        format!(
            "{method} /api/v1/performance/jobs/{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    /// Sends a request; status and body of the answer.
    pub(crate) async fn send(&mut self, request: &[u8]) -> (u16, &[u8]) {
        self.stream.write_all(request).await.unwrap();
        let mut filled = 0;
        let (head, whole) = loop {
            if filled == self.room.len() {
                self.room.resize(filled * 2, 0);
            }
            let read = self.stream.read(&mut self.room[filled..]).await.unwrap();
            assert!(read > 0, "the server closed");
            filled += read;
            let text = &self.room[..filled];
            if let Some(head) = memmem::find(text, b"\r\n\r\n") {
                let length = length(&text[..head]);
                break (head + 4, head + 4 + length);
            }
        };
        if self.room.len() < whole {
            self.room.resize(whole, 0);
        }
        while filled < whole {
            let read = self
                .stream
                .read(&mut self.room[filled..whole])
                .await
                .unwrap();
            assert!(read > 0, "the server closed");
            filled += read;
        }
        let status = std::str::from_utf8(&self.room[9..12])
            .unwrap()
            .parse()
            .unwrap();
        (status, &self.room[head..whole])
    }
}

/// Bytes of the body; servers write names in small letters, and so does this client.
pub(crate) fn length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"\r\ncontent-length: ";
    let at = memmem::find(head, NAME).unwrap() + NAME.len();
    let digits = head[at..].iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'))
}

/// Posts the same body again and again over so many connections; requests per second.
pub(crate) fn post(port: u16, path: &str, body: &str, connections: usize, time: Duration) -> f64 {
    super::single().block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        let began = Instant::now();
        for _ in 0..connections {
            let (path, body) = (path.to_owned(), body.to_owned());
            tasks.spawn(async move {
                let mut wire = Wire::connect(port).await;
                let request = wire.request("POST", &path, &body);
                let mut count = 0u64;
                while began.elapsed() < time {
                    let (status, answer) = wire.send(&request).await;
                    assert_eq!(status, 201, "{}", String::from_utf8_lossy(answer));
                    count += 1;
                }
                count
            });
        }
        let count: u64 = tasks.join_all().await.into_iter().sum();
        count as f64 / began.elapsed().as_secs_f64()
    })
}
