//! A small HTTP/1.1 client for servers on loopback: one connection a request.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{HOST, HeaderMap};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long an answer may take before the test gives up.
const LIMIT: Duration = Duration::from_secs(30);

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Response {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; panics with the body if it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    /// One header as text; empty if it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// `GET path`.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Result<Response, String> {
    send(address, Method::GET, path, &[], "").await
}

/// `POST path` with a JSON body.
pub(crate) async fn post(address: SocketAddr, path: &str, json: &str) -> Result<Response, String> {
    let headers = [("content-type", "application/json")];
    send(address, Method::POST, path, &headers, json).await
}

/// Any request; errors are text, since a test only shows them.
pub(crate) async fn send(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Result<Response, String> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request
        .body(Full::new(Bytes::copy_from_slice(body.as_ref())))
        .map_err(|error| error.to_string())?;
    tokio::time::timeout(LIMIT, exchange(address, request))
        .await
        .map_err(|_| format!("no answer from {address}{path} within {LIMIT:?}"))?
}

async fn exchange(address: SocketAddr, request: Request<Full<Bytes>>) -> Result<Response, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| format!("{address}: {error}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| error.to_string())?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?;
    Ok(Response {
        status: parts.status,
        headers: parts.headers,
        body: body.to_bytes(),
    })
}
