//! Signed requests to other people's servers: a webhook's outgoing side.
//!
//! For: sending one request where it may go, and saying what was answered. Not for: when it is
//! sent, nor what an answer means for a job (`work::push`). Read [`Sender::send`] first.
//!
//! A URL is what somebody with access to the API chose, so it must not reach what this machine alone
//! can reach: addresses are looked at after the name is resolved and that one is connected to, no
//! redirect is followed, and the answer is bounded in length and in time.

mod address;
mod sign;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::model::job::Webhook;
use crate::model::units::Timestamp;
use address::is_public;

/// Bytes of an answer that are read.
const ANSWER_MAX: usize = 64 << 10;
/// No `Retry-After` keeps a job waiting for longer.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// Why nothing was answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A target that must not be reached.
    #[error(
        "{host} is an address of this machine or of a private network; name it in jobs.webhook_hosts to allow it"
    )]
    Private {
        /// The name or address.
        host: String,
    },
    /// A target without encryption that is not known to be near.
    #[error("{host} is to be reached without TLS; use https, or name it in jobs.webhook_hosts")]
    Plain {
        /// The name or address.
        host: String,
    },
    /// A URL that cannot be used.
    #[error("{0:?} is no URL of a webhook")]
    Url(String),
    /// It takes too long.
    #[error("no answer within {0} ms")]
    Timeout(u64),
    /// The target cannot be reached, or breaks off.
    #[error("no answer: {0}")]
    Unreachable(String),
}

/// What a target answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its `Retry-After`, an hour at most.
    pub retry_after: Option<Duration>,
    /// Its body, as far as it was read.
    pub body: Bytes,
    /// Whether the body says that it is JSON, and was read to its end.
    pub is_json: bool,
}

/// Sends signed requests.
#[derive(Debug)]
pub struct Sender {
    /// Hosts that may be reached though they are near, and without TLS; in lower case.
    allowed: Vec<String>,
    tls: Arc<ClientConfig>,
}

impl Sender {
    /// One that reaches public addresses by https, and `allowed` hosts in any way.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when this machine has no usable TLS.
    pub fn new(allowed: &[String]) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Unreachable(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            allowed: allowed.iter().map(|host| host.to_lowercase()).collect(),
            tls: Arc::new(tls),
        })
    }

    /// Whether a target may be reached, as far as its URL says; names are looked at when they are
    /// resolved.
    ///
    /// # Errors
    /// [`Error::Private`] and [`Error::Plain`].
    pub fn check(hook: &Webhook, allowed: &[String]) -> Result<(), Error> {
        let host = hook.host().to_lowercase();
        if allowed.iter().any(|known| known.to_lowercase() == host) {
            return Ok(());
        }
        if host.parse().is_ok_and(|address| !is_public(address)) {
            return Err(Error::Private { host });
        }
        if hook.is_plain() {
            return Err(Error::Plain { host });
        }
        Ok(())
    }

    /// Sends `body` under `id`, signed as of `now`. The same id means the same message.
    ///
    /// # Errors
    /// [`Error`]; what was answered with any status is no error.
    pub async fn send(
        &self,
        hook: &Webhook,
        id: &str,
        body: Bytes,
        now: Timestamp,
    ) -> Result<Reply, Error> {
        let limit = hook.timeout.as_duration();
        let exchange = self.exchange(hook, id, body, now);
        let Ok(reply) = tokio::time::timeout(limit, exchange).await else {
            return Err(Error::Timeout(hook.timeout.0));
        };
        reply
    }

    async fn exchange(
        &self,
        hook: &Webhook,
        id: &str,
        body: Bytes,
        now: Timestamp,
    ) -> Result<Reply, Error> {
        let url = || Error::Url(hook.url.clone());
        let uri: hyper::Uri = hook.url.parse().map_err(|_| url())?;
        let host = uri.host().ok_or_else(url)?.to_owned();
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let bare = host.trim_matches(['[', ']']).to_lowercase();
        let is_allowed = self.allowed.contains(&bare);
        if !is_tls && !is_allowed {
            return Err(Error::Plain { host: bare });
        }
        let address = resolve(&bare, port, is_allowed).await?;
        let failed = |error: std::io::Error| Error::Unreachable(error.to_string());
        let stream = TcpStream::connect(address).await.map_err(failed)?;
        let authority = uri.authority().map_or(host.as_str(), |all| all.as_str());
        let path = uri.path_and_query().map_or("/", |all| all.as_str());
        let request = request(hook, (authority, path), id, body, now).ok_or_else(url)?;
        if is_tls {
            let name = ServerName::try_from(bare).map_err(|_| url())?;
            let connector = TlsConnector::from(Arc::clone(&self.tls));
            talk(
                connector.connect(name, stream).await.map_err(failed)?,
                request,
            )
            .await
        } else {
            talk(stream, request).await
        }
    }
}

/// The address that a host is reached at; none that is private unless it may be.
async fn resolve(host: &str, port: u16, may_be_private: bool) -> Result<SocketAddr, Error> {
    let found = tokio::net::lookup_host((host, port)).await;
    let found = found.map_err(|error| Error::Unreachable(error.to_string()))?;
    let mut is_private = false;
    for address in found {
        if may_be_private || is_public(address.ip()) {
            return Ok(address);
        }
        is_private = true;
    }
    let host = host.to_owned();
    Err(if is_private {
        Error::Private { host }
    } else {
        Error::Unreachable(format!("{host} has no address"))
    })
}

/// `None` where something does not fit into a header.
fn request(
    hook: &Webhook,
    (authority, path): (&str, &str),
    id: &str,
    body: Bytes,
    now: Timestamp,
) -> Option<Request<Full<Bytes>>> {
    let timestamp = now.as_millis().div_euclid(1_000);
    let signature = sign::sign(hook.secret.expose(), id, timestamp, &body);
    Request::post(path)
        .header(HOST, authority)
        .header(USER_AGENT, "plimsoll")
        .header(CONTENT_TYPE, "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", signature)
        .body(Full::new(body))
        .ok()
}

async fn talk<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Reply, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| Error::Unreachable(error.to_string());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(failed)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes);
        Ok(Reply {
            status: head.status.as_u16(),
            retry_after: retry_after(head.status, &head.headers),
            is_json: body.is_ok() && is_json(&head.headers),
            body: body.unwrap_or_default(),
        })
    };
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        reply = &mut exchange => reply,
        // The connection's end may come before the answer was taken from it.
        _ = connection => exchange.await,
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media = headers.get(CONTENT_TYPE).map(HeaderValue::to_str);
    let media = media.and_then(Result::ok).unwrap_or_default();
    media.split(';').next().unwrap_or_default().trim() == "application/json"
}

/// Seconds alone: a date would be read by a clock that may differ from the target's.
fn retry_after(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    if status.is_success() {
        return None;
    }
    let seconds = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}
