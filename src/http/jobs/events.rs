//! `GET /jobs/{queue}/events`: what happens in a queue, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{self, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::channel;

use super::{named, queues};
use crate::http::Site;
use crate::http::error::Refusal;
use crate::model::job::QueueName;
use crate::model::units::Timestamp;
use crate::queue::Event;

/// A comment so often keeps proxies from closing a silent stream, and finds out who is gone.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// Events that wait for a slow reader, beside those that the queue keeps for it.
const WAITING: usize = 64;

/// `GET /jobs/{queue}/events`.
pub(in crate::http) async fn listen(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let name = named(&name)?;
    let queues = queues(&site)?;
    // Unknown queues are refused as everywhere.
    queues.measure(&name).await?;
    let mut heard = queues.listen();
    let queues = Arc::clone(queues);
    let (to, mut from) = channel::<Result<Bytes, Infallible>>(WAITING);
    tokio::spawn(async move {
        let hello = Bytes::from_static(b": listening\n\n");
        let mut next = Some(hello);
        loop {
            if let Some(text) = next.take()
                && to.send(Ok(text)).await.is_err()
            {
                return;
            }
            let heard = tokio::select! {
                heard = tokio::time::timeout(COMMENT_EVERY, heard.recv()) => heard,
                () = queues.closed() => return,
            };
            next = match heard {
                Err(_) => Some(Bytes::from_static(b": nothing new\n\n")),
                Ok(Ok(event)) if event.queue == name => Some(written(&event)),
                Ok(Ok(_)) => None,
                Ok(Err(RecvError::Lagged(missed))) => Some(missing(&name, missed, queues.now())),
                Ok(Err(RecvError::Closed)) => return,
            };
        }
    });
    let pieces = futures_util::stream::poll_fn(move |context| from.poll_recv(context));
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    let media = HeaderValue::from_static("text/event-stream");
    headers.insert(header::CONTENT_TYPE, media);
    let no_store = HeaderValue::from_static("no-store");
    headers.insert(header::CACHE_CONTROL, no_store);
    Ok(response)
}

fn written(event: &Event) -> Bytes {
    let data = json!({
        "event": event.name,
        "queueName": event.queue,
        "jobId": event.id,
        "failedReason": event.reason,
        "timestamp": event.at.as_millis(),
    });
    format!("event: {}\ndata: {data}\n\n", event.name).into()
}

/// Tells a reader who was too slow how many events it missed.
fn missing(queue: &QueueName, count: u64, now: Timestamp) -> Bytes {
    let data = json!({
        "event": "missed",
        "queueName": queue,
        "count": count,
        "timestamp": now.as_millis(),
    });
    format!("event: missed\ndata: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reader_is_told_when_and_how_many_it_missed() {
        let at = Timestamp::from_millis(7);
        let text = missing(&"bar".parse().unwrap(), 3, at);
        let text = String::from_utf8(text.to_vec()).unwrap();
        assert!(text.starts_with("event: missed\ndata: {"), "{text}");
        assert!(
            text.contains(r#""count":3"#) && text.contains(r#""timestamp":7"#),
            "{text}"
        );
    }

    #[test]
    fn a_reason_with_lines_stays_in_one_field() {
        let event = Event {
            name: "failed",
            queue: "bar".parse().unwrap(),
            id: Some("a\nb".to_owned()),
            reason: Some("one\ntwo".to_owned()),
            at: Timestamp::from_millis(5),
        };
        let text = String::from_utf8(written(&event).to_vec()).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.contains(r#""failedReason":"one\ntwo""#));
    }
}
