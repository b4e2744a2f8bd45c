//! Connections to the server that is loaded, and what can go wrong on them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Error, Result};
use crate::model::load::Origin;

/// How long a name may take to be looked up.
const LOOKUP: Duration = Duration::from_secs(5);

/// What became of a request that gave no answer below 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Refused,
    Broken,
    Connect,
    Timeout,
    Reset,
    Other,
    Unsent,
}

impl Kind {
    pub(super) const ALL: [Self; 7] = [
        Self::Refused,
        Self::Broken,
        Self::Connect,
        Self::Timeout,
        Self::Reset,
        Self::Other,
        Self::Unsent,
    ];

    /// As results name it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Refused => "4xx",
            Self::Broken => "5xx",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Other => "other",
            Self::Unsent => "unsent",
        }
    }
}

/// An answer, read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Of its body.
    pub(super) bytes: u64,
}

/// Who is loaded, looked up once.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) origin: Origin,
    addresses: Arc<[SocketAddr]>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Target {
    /// Looks the host up.
    ///
    /// # Errors
    /// [`Error::Unreachable`] for a name without address.
    pub(super) async fn resolve(origin: &Origin) -> Result<Self> {
        let unreachable = |reason: String| Error::Unreachable {
            origin: origin.to_string(),
            reason,
        };
        let found = tokio::net::lookup_host((origin.host.as_str(), origin.port));
        let found = tokio::time::timeout(LOOKUP, found)
            .await
            .map_err(|_| unreachable("the resolver did not answer".to_owned()))?;
        let addresses: Vec<_> = found
            .map_err(|error| unreachable(error.to_string()))?
            .collect();
        if addresses.is_empty() {
            return Err(unreachable("its name has no address".to_owned()));
        }
        let tls = if origin.tls {
            let name = ServerName::try_from(origin.host.clone())
                .map_err(|error| unreachable(error.to_string()))?;
            Some((connector()?, name))
        } else {
            None
        };
        Ok(Self {
            origin: origin.clone(),
            addresses: addresses.into(),
            tls,
        })
    }

    async fn connect(&self) -> std::io::Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(&*self.addresses).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => start(stream).await,
            Some((tls, name)) => start(tls.connect(name.clone(), stream).await?).await,
        }
    }
}

fn connector() -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Generator(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(tls)))
}

async fn start<S>(stream: S) -> std::io::Result<SendRequest<Full<Bytes>>>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(std::io::Error::other)?;
    // It ends with its sender, or when the server ends it; why is told to the request.
    tokio::task::spawn_local(connection);
    Ok(sender)
}

/// One connection at a time, opened when it is needed and kept while the server keeps it.
#[derive(Default)]
pub(super) struct Line {
    sender: Option<SendRequest<Full<Bytes>>>,
    /// How many were opened.
    pub(super) opened: u64,
    /// Why the last connection could not be opened.
    pub(super) trouble: Option<String>,
}

impl Line {
    /// Sends a request and reads the answer to its end. A connection that the server closed before
    /// the request was on it is replaced once.
    pub(super) async fn send(
        &mut self,
        target: &Target,
        mut request: Request<Full<Bytes>>,
    ) -> std::result::Result<Reply, Kind> {
        loop {
            let kept = self.ready().await;
            let is_fresh = kept.is_none();
            let mut sender = match kept {
                Some(sender) => sender,
                None => self.open(target).await?,
            };
            match sender.try_send_request(request).await {
                Ok(response) => {
                    let status = response.status().as_u16();
                    let bytes = read(response.into_body()).await?;
                    self.sender = Some(sender);
                    return Ok(Reply { status, bytes });
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !is_fresh => request = unsent,
                    _ => return Err(kind_of(error.error())),
                },
            }
        }
    }

    /// Opens a connection and keeps it.
    pub(super) async fn connect(&mut self, target: &Target) -> std::result::Result<(), Kind> {
        self.sender = Some(self.open(target).await?);
        Ok(())
    }

    /// The connection of before, if it still takes requests.
    async fn ready(&mut self) -> Option<SendRequest<Full<Bytes>>> {
        let mut sender = self.sender.take()?;
        if !sender.is_ready() && (sender.is_closed() || sender.ready().await.is_err()) {
            return None;
        }
        Some(sender)
    }

    async fn open(
        &mut self,
        target: &Target,
    ) -> std::result::Result<SendRequest<Full<Bytes>>, Kind> {
        self.opened += 1;
        target.connect().await.map_err(|error| {
            self.trouble = Some(error.to_string());
            if is_ours(&error) {
                Kind::Other
            } else {
                Kind::Connect
            }
        })
    }
}

/// Whether this machine has no more files or ports for a connection.
fn is_ours(error: &std::io::Error) -> bool {
    let ours = [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL];
    let code = error.raw_os_error();
    ours.iter().any(|errno| Some(errno.raw_os_error()) == code)
}

async fn read(mut body: hyper::body::Incoming) -> std::result::Result<u64, Kind> {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| kind_of(&error))?;
        bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
    Ok(bytes)
}

/// A connection that ended early is a reset, whichever way it ended; the rest broke the protocol.
fn kind_of(error: &hyper::Error) -> Kind {
    let mut cause = std::error::Error::source(error);
    let mut is_io = false;
    while let Some(inner) = cause {
        is_io |= inner.is::<std::io::Error>();
        cause = inner.source();
    }
    if is_io || error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        Kind::Reset
    } else {
        Kind::Other
    }
}
