//! Asks the running server over its Unix socket.

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;

use crate::config::Config;

/// Answers come from memory; a report of a large history is what takes longest.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Runs one asking command to its end.
pub(super) fn wait<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

/// Whether a server answers on the socket of the configured folder.
pub(super) fn answers(config: &Config) -> bool {
    std::os::unix::net::UnixStream::connect(config.socket()).is_ok()
}

/// Speaks to one server.
#[derive(Debug)]
pub(super) struct Client {
    socket: PathBuf,
}

impl Client {
    /// For the server that holds the socket.
    pub(super) fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    /// The JSON at `path`.
    pub(super) async fn json<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let body = self.get(path).await?;
        serde_json::from_slice(&body)
            .context("the server's answer is of another version; update both to the same")
    }

    /// The body at `path`; a refusal becomes an error with the server's words.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Bytes> {
        let request = Request::get(path).body(Full::default())?;
        in_time(async { whole(self.exchange(request).await?).await })
            .await?
            .body()
    }

    /// Sends a body to `path`.
    pub(super) async fn post(&self, path: &str, body: Bytes) -> anyhow::Result<Answer> {
        let request = Request::post(path).body(Full::new(body))?;
        in_time(async { whole(self.exchange(request).await?).await }).await
    }

    /// Removes what is at `path`.
    pub(super) async fn delete(&self, path: &str) -> anyhow::Result<Bytes> {
        let request = Request::delete(path).body(Full::default())?;
        in_time(async { whole(self.exchange(request).await?).await })
            .await?
            .body()
    }

    /// Writes the body at `path` to `to` as it comes; one that breaks off is an error.
    pub(super) async fn download(&self, path: &str, to: &mut dyn Write) -> anyhow::Result<()> {
        let request = Request::get(path).body(Full::default())?;
        let mut response = in_time(self.exchange(request)).await?;
        if !response.status().is_success() {
            return in_time(whole(response)).await?.body().map(|_| ());
        }
        loop {
            let frame = in_time(async { Ok(response.body_mut().frame().await) }).await?;
            match frame {
                None => return Ok(()),
                Some(frame) => {
                    let frame = frame.context("the server broke off; its answer is not whole")?;
                    if let Ok(bytes) = frame.into_data() {
                        to.write_all(&bytes)?;
                    }
                }
            }
        }
    }

    async fn exchange(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> anyhow::Result<Response<Incoming>> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| {
            anyhow!(
                "no server answers on {} ({error}); start one with `plimsoll serve`, or name its \
                 folder with --data-dir",
                self.socket.display()
            )
        })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let host = HeaderValue::from_static("localhost");
        request.headers_mut().insert(HOST, host);
        Ok(sender.send_request(request).await?)
    }
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    retry_after_s: Option<u64>,
    bytes: Bytes,
}

impl Answer {
    /// When to ask again, if the server could not take it now.
    pub(super) fn retry_after_s(&self) -> Option<u64> {
        self.retry_after_s
            .filter(|_| self.status == StatusCode::SERVICE_UNAVAILABLE)
    }

    /// The body; a refusal becomes an error with the server's words.
    pub(super) fn body(self) -> anyhow::Result<Bytes> {
        if self.status.is_success() {
            return Ok(self.bytes);
        }
        let problem: Value = serde_json::from_slice(&self.bytes).unwrap_or_default();
        // The Prometheus API has a form of its own.
        let detail = problem.get("detail").or_else(|| problem.get("error"));
        match detail.and_then(Value::as_str) {
            Some(detail) => bail!("{detail}"),
            None => bail!("the server answered {}", self.status.as_u16()),
        }
    }
}

async fn whole(response: Response<Incoming>) -> anyhow::Result<Answer> {
    let retry_after = response.headers().get(RETRY_AFTER);
    Ok(Answer {
        status: response.status(),
        retry_after_s: retry_after.and_then(|value| value.to_str().ok()?.parse().ok()),
        bytes: response.into_body().collect().await?.to_bytes(),
    })
}

async fn in_time<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::time::timeout(TIMEOUT, work)
        .await
        .map_err(|_| anyhow!("the server has not answered for {} s", TIMEOUT.as_secs()))?
}

/// `name=value` for a query, percent-encoded.
pub(super) fn parameter(name: &str, value: &str) -> String {
    format!("{name}={}", encoded(value))
}

/// A text for one segment of a path, or for a query, percent-encoded.
pub(super) fn encoded(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_keeps_its_value_through_a_query() {
        assert_eq!(
            parameter("target", "db:5432/a&b"),
            "target=db%3A5432%2Fa%26b"
        );
        assert_eq!(parameter("target", "é"), "target=%C3%A9");
    }
}
