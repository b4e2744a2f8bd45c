//! The history as a file, and how much it is, for the command line beside a running server.
//!
//! For: streaming what `work::export` writes. Not for: writing it. Read [`export`] first.

use std::io::{self, Write};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::mpsc;

use super::Site;
use super::ask::Ask;
use super::body::Answer;
use super::error::Refusal;
use crate::exchange::name::Wanted;
use crate::model::units::Timestamp;
use crate::store::Census;
use crate::work::export::{Format, Order};

/// Chunks that wait for the reader; each is what the writer gathered, about 64 KiB.
const WAITING: usize = 4;
/// Metrics that are counted one by one unless asked otherwise, and at most.
const TOP: u32 = 10;
const TOP_MAX: u32 = 1000;

/// Writes the history; blocks. The error is for people.
pub type ExportFn = Arc<dyn Fn(&Order, &mut dyn Write) -> Result<(), String> + Send + Sync>;
/// Counts the history; blocks. The error is for people.
pub type CensusFn = Arc<dyn Fn(usize) -> Result<Census, String> + Send + Sync>;

/// `GET /local/history/export`: the file, in chunks. When it cannot be finished, it ends early and
/// the connection breaks, so that nobody takes it for whole.
pub(super) async fn export(State(site): State<Arc<Site>>, ask: Ask) -> Result<Response, Refusal> {
    let order = order(&ask)?;
    let (to, mut from) = mpsc::channel::<Result<Bytes, io::Error>>(WAITING);
    let write = Arc::clone(&site.hooks.export);
    tokio::task::spawn_blocking(move || {
        let mut sender = Sender(to);
        if let Err(why) = write(&order, &mut sender) {
            // A reader that has gone away hears nothing; there is nobody else to tell.
            let _ = sender.0.blocking_send(Err(io::Error::other(why)));
        }
    });
    // The first chunk tells whether there is an answer at all.
    let first = match from.recv().await {
        Some(Err(why)) => return Err(Refusal::Export(why.to_string())),
        Some(Ok(first)) => first,
        None => Bytes::new(),
    };
    let rest = stream::unfold(from, |mut from| async {
        from.recv().await.map(|chunk| (chunk, from))
    });
    let all = futures_util::StreamExt::chain(stream::iter([Ok(first)]), rest);
    Ok(Body::from_stream(all).into_response())
}

/// `GET /local/history/stats`.
pub(super) async fn stats(State(site): State<Arc<Site>>, ask: Ask) -> Result<Answer, Refusal> {
    let top = ask.number("top", TOP, (0, TOP_MAX))?;
    let count = Arc::clone(&site.hooks.census);
    let census = tokio::task::spawn_blocking(move || count(top as usize))
        .await
        .map_err(|panic| Refusal::Internal(panic.to_string()))?
        .map_err(Refusal::Internal)?;
    Answer::json(&census)
}

fn order(ask: &Ask) -> Result<Order, Refusal> {
    let instant = |name: &'static str, default: i64| match ask.text(name) {
        None => Ok(Timestamp::from_millis(default)),
        Some(text) => text
            .parse()
            .map(Timestamp::from_millis)
            .map_err(|_| Refusal::Parameter {
                name,
                text: text.to_owned(),
                wanted: "whole milliseconds since 1970".to_owned(),
            }),
    };
    let wanted = ask.text("series").map(|text| {
        Wanted::read(text).map_err(|wanted| Refusal::Parameter {
            name: "series",
            text: text.to_owned(),
            wanted,
        })
    });
    Ok(Order {
        format: ask.choice("format", &Format::NAMES, Format::Csv)?,
        from: instant("from", i64::MIN)?,
        until: instant("until", i64::MAX)?,
        wanted: wanted.transpose()?,
        scratch: std::env::temp_dir(),
    })
}

/// Gives what is written to the stream of an answer; waits while its reader is slow.
struct Sender(mpsc::Sender<Result<Bytes, io::Error>>);

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(Ok(Bytes::copy_from_slice(bytes)))
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
