//! Asks the running server over its Unix socket.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;

/// Answers come from memory; a report of a large history is what takes longest.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Runs one asking command to its end.
pub(super) fn wait<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
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
        let (status, body) = tokio::time::timeout(TIMEOUT, self.exchange(path))
            .await
            .map_err(|_| anyhow!("the server has not answered for {} s", TIMEOUT.as_secs()))??;
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
        // The Prometheus API has a form of its own.
        let detail = problem.get("detail").or_else(|| problem.get("error"));
        match detail.and_then(Value::as_str) {
            Some(detail) => bail!("{detail}"),
            None => bail!("the server answered {status}"),
        }
    }

    async fn exchange(&self, path: &str) -> anyhow::Result<(u16, Bytes)> {
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
        let request = Request::get(path)
            .header("host", "localhost")
            .body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }
}

/// `name=value` for a query, percent-encoded.
pub(super) fn parameter(name: &str, value: &str) -> String {
    let mut text = format!("{name}=");
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
