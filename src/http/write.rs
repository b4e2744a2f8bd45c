//! Samples that others send: Prometheus remote write, and the command line's imports.
//!
//! For: looking at a request's head, bounding what bodies take in memory together, and telling the
//! sender what became of it. Not for: reading the body (`work::intake`). Read [`receive`] first.
//!
//! Answers are those of the Remote-Write 1.0 specification: 204 when the samples are on the disk; a
//! sender does not repeat what was answered with 4xx, and repeats what was answered with 5xx.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::json;
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

use super::Site;
use super::ask::Ask;
use super::body::Answer;
use super::error::Refusal;
use super::explain::{ANALYZE, BODY_MAX};
use super::jobs;
use crate::exchange;
use crate::exchange::remote::{self, PACKED_MAX};
use crate::store;
use crate::work::intake::{Error, Receipt};

/// The path of the receiver.
pub(super) const WRITE: &str = "/api/v1/write";
/// The path on which the command line streams a file's samples.
pub(super) const IMPORT: &str = "/local/history/import";

/// Bytes of bodies that are held at once, in kibibytes; more senders wait.
const HELD_KIB: usize = 64 << 10;
/// Bytes that bodies are unpacked to at once, in kibibytes; a single one takes up to half of it.
const UNPACKED_KIB: usize = 64 << 10;
/// A sender may ask again so soon while the history catches up, and while its disk is full.
const SOON_S: u64 = 1;
const LATER_S: u64 = 30;

/// Keeps bodies from taking more memory together than is meant for them.
#[derive(Debug)]
pub(super) struct Gate {
    held: Semaphore,
    unpacked: Semaphore,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            held: Semaphore::new(HELD_KIB),
            unpacked: Semaphore::new(UNPACKED_KIB),
        }
    }
}

/// The longest body that a path takes.
pub(super) fn limit(path: &str, usual: usize) -> usize {
    match path {
        WRITE | IMPORT => PACKED_MAX,
        ANALYZE => BODY_MAX,
        _ if path.starts_with(jobs::BASE) => jobs::BODY_MAX,
        _ => usual,
    }
}

/// `POST /api/v1/write`.
pub(super) async fn receive(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    check_head(&headers)?;
    let write = Arc::clone(&site.hooks.write);
    let body = whole(&site, &headers, body, PACKED_MAX).await?;
    let len = remote::unpacked_len(&body.bytes).map_err(|error| refusal(&error.into()))?;
    let receipt = taken(&site, len, body, move |body| write(&body)).await?;
    match receipt.complaint() {
        None => Ok(StatusCode::NO_CONTENT.into_response()),
        Some(what) => Err(Refusal::Samples(what)),
    }
}

/// `POST /local/history/import`: samples as CSV.
pub(super) async fn import(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    ask: Ask,
    body: Body,
) -> Result<Answer, Refusal> {
    let resolution = match ask.text("resolution") {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| Refusal::Parameter {
            name: "resolution",
            text: text.to_owned(),
            wanted: "a number".to_owned(),
        })?),
    };
    let import = Arc::clone(&site.hooks.import);
    let body = whole(&site, &headers, body, PACKED_MAX).await?;
    // A line of text and what is read of it take about as much.
    let len = body.bytes.len();
    let samples = taken(&site, len, body, move |body| import(&body, resolution)).await?;
    Answer::json(&json!({ "samples": samples }))
}

/// What is no remote write 1.0 is told so before its body is read.
fn check_head(headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let encoding = text(CONTENT_ENCODING).unwrap_or("none");
    if !encoding.eq_ignore_ascii_case("snappy") {
        return Err(Refusal::Encoding {
            what: "Content-Encoding",
            given: encoding.to_owned(),
            wanted: "snappy",
        });
    }
    let media = text(CONTENT_TYPE).unwrap_or("none");
    let mut parts = media.split(';').map(str::trim);
    let is_protobuf = parts
        .next()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("application/x-protobuf"));
    let is_first = parts
        .filter_map(|part| part.strip_prefix("proto="))
        .all(|message| message == "prometheus.WriteRequest");
    if is_protobuf && is_first {
        Ok(())
    } else {
        Err(Refusal::Encoding {
            what: "Content-Type",
            given: media.to_owned(),
            wanted: "application/x-protobuf (remote write 1.0)",
        })
    }
}

/// A body, and the room that it takes until it is dropped.
pub(super) struct Held<'s> {
    bytes: Bytes,
    _room: SemaphorePermit<'s>,
}

impl Held<'_> {
    /// The body.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX)
}

fn closed(_: AcquireError) -> Refusal {
    Refusal::Internal("the gate of bodies is closed".to_owned())
}

/// Reads a body when there is room for it.
pub(super) async fn whole<'s>(
    site: &'s Site,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<Held<'s>, Refusal> {
    let said = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok())
        .unwrap_or(limit);
    let room = kib(said.min(limit));
    let room = site.gate.held.acquire_many(room).await.map_err(closed)?;
    let body = Limited::new(body, limit).collect().await;
    let body = body.map_err(|error| {
        if error.is::<LengthLimitError>() {
            Refusal::BodyTooLarge { limit }
        } else {
            Refusal::Body(error.to_string())
        }
    })?;
    Ok(Held {
        bytes: body.to_bytes(),
        _room: room,
    })
}

/// Gives a body to `take`, where blocking is allowed, when there is room for `len` bytes more.
///
/// Those that wait for the disk keep their room; there is enough of it for many usual bodies, so
/// that they share a sync.
async fn taken<T: Send + 'static>(
    site: &Site,
    len: usize,
    body: Held<'_>,
    take: impl FnOnce(Bytes) -> Result<T, Error> + Send + 'static,
) -> Result<T, Refusal> {
    let room = site.gate.unpacked.acquire_many(kib(len));
    let _unpacked = room.await.map_err(closed)?;
    let bytes = body.bytes.clone();
    tokio::task::spawn_blocking(move || take(bytes))
        .await
        .map_err(|panic| Refusal::Internal(panic.to_string()))?
        .map_err(|error| refusal(&error))
}

fn refusal(error: &Error) -> Refusal {
    let told = error.to_string();
    match error {
        Error::Format(exchange::Error::TooLong { .. }) | Error::TooMany { .. } => {
            Refusal::TooMuch(told)
        }
        Error::Store(store::Error::Time(_)) | Error::Format(_) => Refusal::Body(told),
        Error::Store(store::Error::Behind) => Refusal::Later {
            why: told,
            retry_after_s: SOON_S,
        },
        Error::Store(_) => Refusal::Later {
            why: told,
            retry_after_s: LATER_S,
        },
    }
}

/// Takes one remote-write body; blocks.
pub type WriteFn = Arc<dyn Fn(&[u8]) -> Result<Receipt, Error> + Send + Sync>;
/// Takes samples as CSV with a declared resolution; blocks.
pub type ImportFn = Arc<dyn Fn(&[u8], Option<f64>) -> Result<u64, Error> + Send + Sync>;
