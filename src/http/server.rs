//! The accept loops: one on TCP, one on the Unix socket; bounded, and stopped gently.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};

use super::prompt::Prompt;
use super::stall::Patient;
use super::{Error, Result, Site, local_router, router};
use crate::config::Http;

/// Connections of the command line at once; it makes one a call.
const LOCAL_CONNECTIONS: usize = 16;
/// Pause after a failed accept: out of file descriptors is the usual reason, and it must not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Listens on `address`.
///
/// # Errors
/// [`Error::AddressInUse`] and [`Error::Listen`].
pub async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => Error::AddressInUse(address),
            _ => Error::Listen { address, source },
        })
}

/// Listens on the Unix socket `path`, which only this user may open.
///
/// Call it with the data folder locked: a socket that nobody answers on is taken over.
///
/// # Errors
/// [`Error::SocketInUse`] and [`Error::Socket`], for instance for a path of over 100 characters.
pub async fn bind_socket(path: &Path) -> Result<UnixListener> {
    let failed = |source| Error::Socket {
        path: path.to_owned(),
        source,
    };
    if tokio::net::UnixStream::connect(path).await.is_ok() {
        return Err(Error::SocketInUse(path.to_owned()));
    }
    // Made under another name and renamed, so that it is never there with wider rights.
    let draft = path.with_extension("new");
    for stale in [path, &draft] {
        match std::fs::remove_file(stale) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    let listener = UnixListener::bind(&draft).map_err(failed)?;
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    std::fs::rename(&draft, path).map_err(failed)?;
    Ok(listener)
}

/// Serves until `stop` comes; then running requests may finish within `http.shutdown_grace`.
///
/// Give the socket's path beside its listener: it is removed at the end.
pub async fn serve(
    site: Arc<Site>,
    tcp: Option<TcpListener>,
    socket: Option<(UnixListener, &Path)>,
    stop: impl Future<Output = ()> + Send,
) {
    let (tell, told) = watch::channel(());
    let (local, path) = socket.map_or((None, None), |(listener, path)| {
        (Some(listener), Some(path))
    });
    let network = async {
        if let Some(listener) = tcp {
            let accept = || async {
                let (stream, _) = listener.accept().await?;
                // An event that follows another at once must not wait until that one is acknowledged;
                // where that cannot be set, it waits.
                let _ = stream.set_nodelay(true);
                Ok(stream)
            };
            let limit = site.settings.max_connections;
            accept_all(accept, limit, router(&site), &site.settings, told.clone()).await;
        }
    };
    let local = async {
        if let Some(listener) = local {
            let accept = || async { listener.accept().await.map(|(stream, _)| stream) };
            let routes = local_router(&site);
            accept_all(
                accept,
                LOCAL_CONNECTIONS,
                routes,
                &site.settings,
                told.clone(),
            )
            .await;
        }
    };
    let stopped = async {
        stop.await;
        drop(tell);
    };
    tokio::join!(network, local, stopped);
    if let Some(path) = path
        && let Err(error) = std::fs::remove_file(path)
    {
        tracing::warn!(%error, path = %path.display(), "the socket stays behind");
    }
}

async fn accept_all<S, F, R>(
    accept: F,
    limit: usize,
    routes: Router,
    settings: &Http,
    mut stop: watch::Receiver<()>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn() -> R,
    R: Future<Output = io::Result<S>>,
{
    let places = Arc::new(Semaphore::new(limit));
    let graceful = GracefulShutdown::new();
    let patience = settings.request_timeout.as_duration();
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            (place, accept().await)
        };
        let (place, stream) = tokio::select! {
            next = next => next,
            _ = stop.changed() => break,
        };
        let (Ok(place), Ok(stream)) = (place, stream) else {
            tracing::warn!("a connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let connection = protocol(settings).serve_connection(
            TokioIo::new(Patient::new(stream, patience)),
            TowerToHyperService::new(routes.clone()),
        );
        let connection = Prompt::new(graceful.watch(connection));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    let grace = settings.shutdown_grace.as_duration();
    if tokio::time::timeout(grace, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests were still running at the end of http.shutdown_grace");
    }
}

fn protocol(settings: &Http) -> hyper::server::conn::http1::Builder {
    let mut protocol = hyper::server::conn::http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout.as_duration())
        .max_buf_size(settings.max_header_bytes);
    protocol
}
