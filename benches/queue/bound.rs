//! The least that a job over HTTP can cost here: a server that answers the same to everything.
//!
//! For: telling what the machine does not allow from what our program does not reach. Not for: a
//! server; it reads a request, perhaps syncs 4 kB of a file that does not grow, and answers.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::wire::{self, length};

/// About as long as the answer to a job.
const ANSWER: &[u8] = b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\n\
    content-length: 45\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n\
    {\"success\":true,\"data\":{\"id\":\"1\",\"new\":true}}";

/// Requests per second that are answered at once, over so many connections; each waits for a sync of
/// its own where `synced` is a folder.
pub(crate) fn rate(connections: usize, synced: Option<&Path>, time: Duration) -> f64 {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let file = synced.map(|folder| {
        let file = File::create(folder.join("bound")).unwrap();
        file.write_all_at(&vec![7; 1 << 20], 0).unwrap();
        file.sync_all().unwrap();
        Arc::new(file)
    });
    let port = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                tokio::spawn(answer(stream, file.clone()));
            }
        });
        port
    });
    wire::post(port, "bound", &super::ours::one_job(), connections, time)
}

/// Answers until the client leaves.
async fn answer(mut stream: TcpStream, file: Option<Arc<File>>) {
    const BLOCKS: u64 = 256;
    let mut room = vec![0; 1 << 12];
    let (mut filled, mut turn) = (0, 0);
    while let Ok(read) = stream.read(&mut room[filled..]).await {
        if read == 0 {
            return;
        }
        filled += read;
        let Some(head) = memmem::find(&room[..filled], b"\r\n\r\n") else {
            continue;
        };
        if filled < head + 4 + length(&room[..head]) {
            continue;
        }
        if let Some(file) = &file {
            file.write_all_at(&[7; 4096], turn % BLOCKS * 4096).unwrap();
            file.sync_data().unwrap();
            turn += 1;
        }
        filled = 0;
        if stream.write_all(ANSWER).await.is_err() {
            return;
        }
    }
}
