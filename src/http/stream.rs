//! Answers that are longer than memory, or that take longer than a request may: the backup and the
//! check, on the Unix socket alone.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{self, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use tokio::sync::mpsc::{Sender, channel};

use super::Site;
use super::error::Refusal;
use crate::store::Store;

/// Bytes in one piece, and pieces that wait for the reader.
const PIECE: usize = 256 << 10;
const WAITING: usize = 4;
const BYTES: &str = "application/octet-stream";
const JSON: &str = "application/json";
/// While a check runs its reader hears a blank so often, which JSON allows before a value.
const BLANK_EVERY: Duration = Duration::from_secs(10);

/// `GET /local/backup`.
pub(super) async fn backup(State(site): State<Arc<Site>>) -> Result<Response, Refusal> {
    streamed(&site, BYTES, |store, to| {
        store
            .backup(to, |_| ())
            .map(|_| ())
            .map_err(|e| e.to_string())
    })
}

/// `GET /local/verify`: either what was found, or why nothing could be.
pub(super) async fn verify(State(site): State<Arc<Site>>) -> Result<Response, Refusal> {
    streamed(&site, JSON, |store, to| {
        let found = store.verify().map_err(|error| error.to_string());
        serde_json::to_writer(to, &found).map_err(|error| error.to_string())
    })
}

type Work = fn(&Store, &mut Pieces) -> Result<(), String>;

/// Answers at once, and then with what `work` writes; a failure breaks the answer off.
fn streamed(site: &Site, media: &'static str, work: Work) -> Result<Response, Refusal> {
    let Some(store) = site.hooks.store.clone() else {
        return Err(Refusal::Internal("this server keeps no history".to_owned()));
    };
    let (to, mut from) = channel::<io::Result<Bytes>>(WAITING);
    if media == JSON {
        let to = to.downgrade();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(BLANK_EVERY).await;
                let Some(to) = to.upgrade() else { return };
                if to.send(Ok(Bytes::from_static(b"\n"))).await.is_err() {
                    return;
                }
            }
        });
    }
    tokio::task::spawn_blocking(move || {
        let mut pieces = Pieces {
            to,
            piece: Vec::with_capacity(PIECE),
        };
        let written = work(&store, &mut pieces)
            .and_then(|()| pieces.flush().map_err(|error| error.to_string()));
        if let Err(error) = written {
            tracing::error!(error, "an answer was broken off");
            // Nobody may be left to hear it.
            let _ = pieces.to.blocking_send(Err(io::Error::other(error)));
        }
    });
    let pieces = futures_util::stream::poll_fn(move |context| from.poll_recv(context));
    let mut response = Response::new(Body::from_stream(pieces));
    let media = HeaderValue::from_static(media);
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    Ok(response)
}

/// Hands on what is written, piece by piece; it waits while the reader is slow.
struct Pieces {
    to: Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.to
            .blocking_send(Ok(piece.into()))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
