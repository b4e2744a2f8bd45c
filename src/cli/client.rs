//! Asks the running server over its Unix socket.

use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::{Request, Response};
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
        let (status, body) = tokio::time::timeout(TIMEOUT, self.exchange(path))
            .await
            .map_err(|_| anyhow!("the server has not answered for {} s", TIMEOUT.as_secs()))??;
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
        match problem.get("detail").and_then(Value::as_str) {
            Some(detail) => bail!("{detail}"),
            None => bail!("the server answered {status}"),
        }
    }

    /// Writes the body at `path` as it comes, however long it takes; `told` hears how much came.
    /// An answer that is broken off is an error.
    pub(super) async fn copy(
        &self,
        path: &str,
        to: &mut impl Write,
        mut told: impl FnMut(u64),
    ) -> anyhow::Result<()> {
        let response = self.send(path).await?;
        let is_good = response.status().is_success();
        let mut body = response.into_body();
        let (mut bytes, mut refusal) = (0, Vec::new());
        while let Some(frame) = body.frame().await {
            let frame = frame.context("the server broke its answer off")?;
            let Some(piece) = frame.data_ref() else {
                continue;
            };
            if is_good {
                to.write_all(piece)?;
            } else {
                refusal.extend_from_slice(piece);
            }
            bytes += piece.len() as u64;
            told(bytes);
        }
        let problem: Value = serde_json::from_slice(&refusal).unwrap_or_default();
        match problem.get("detail").and_then(Value::as_str) {
            Some(detail) => bail!("{detail}"),
            None if is_good => Ok(()),
            None => bail!("the server refused"),
        }
    }

    async fn exchange(&self, path: &str) -> anyhow::Result<(u16, Bytes)> {
        let response = self.send(path).await?;
        let status = response.status().as_u16();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    async fn send(&self, path: &str) -> anyhow::Result<Response<Incoming>> {
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
        Ok(sender.send_request(request).await?)
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
