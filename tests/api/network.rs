//! Encodings and headers; and the servers themselves, on TCP and on the Unix socket.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use plimsoll::http::{self, Site};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use crate::{BASE, fixture, get, send};

#[tokio::test]
async fn a_known_answer_is_not_sent_again() {
    let site = fixture::site();
    let path = format!("{BASE}/database/size?target=main");
    let first = send(&site, "GET", &path, &[]).await;
    let tag = first.header("etag").to_owned();
    assert!(
        tag.starts_with('"') && tag.ends_with('"'),
        "{tag} is strong"
    );
    for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
        let again = send(&site, "GET", &path, &[("if-none-match", &known)]).await;
        assert_eq!(again.status, 304);
        assert!(again.body.is_empty());
        assert_eq!(again.header("etag"), tag);
        assert_eq!(again.header("vary"), "accept, accept-encoding");
    }
    let other = send(&site, "GET", &path, &[("if-none-match", "\"x\"")]).await;
    assert_eq!(other.status, 200);
}

#[tokio::test]
async fn answers_are_packed_from_the_threshold_on() {
    let site = fixture::site();
    let zip = [("accept-encoding", "gzip, br")];
    let path = format!("{BASE}/capacity/dashboard?target=main");
    let plain = send(&site, "GET", &path, &[]).await;
    let packed = send(&site, "GET", &path, &zip).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert!(packed.body.len() * 3 < plain.body.len());
    assert_eq!(packed.unzipped(), plain.text());
    assert_ne!(packed.header("etag"), plain.header("etag"));
    let small = send(&site, "GET", "/healthz", &zip).await;
    assert_eq!(small.header("content-encoding"), "");
}

#[tokio::test]
async fn head_has_the_headers_alone() {
    let site = fixture::site();
    let path = format!("{BASE}/database/size?target=main");
    let whole = send(&site, "GET", &path, &[]).await;
    let head = send(&site, "HEAD", &path, &[]).await;
    assert!(head.body.is_empty());
    assert_eq!(head.header("content-length"), whole.body.len().to_string());
}

#[tokio::test]
async fn every_answer_is_hardened_refusals_too() {
    for path in ["/", "/nowhere", "/metrics"] {
        let reply = get(path).await;
        assert_eq!(
            reply.header("content-security-policy"),
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
             connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        );
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("referrer-policy"), "no-referrer");
        assert_eq!(reply.header("x-frame-options"), "DENY");
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    // A server that gives up on us may close with our bytes unread: a reset after its answer.
    let _ = stream.read_to_end(&mut reply).await;
    String::from_utf8_lossy(&reply).into_owned()
}

const CLOSE: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

pub(crate) async fn serving<T>(
    site: Arc<Site>,
    asks: impl AsyncFnOnce(std::net::SocketAddr, &std::path::Path) -> T,
) -> T {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plimsoll.sock");
    let tcp = http::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = tcp.local_addr().unwrap();
    let socket = http::bind_socket(&path).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn({
        let path = path.clone();
        async move {
            let stopped = async { stopped.await.unwrap_or(()) };
            http::serve(site, Some(tcp), Some((socket, &path)), stopped).await;
        }
    });
    let result = asks(address, &path).await;
    stop.send(()).unwrap();
    server.await.unwrap();
    assert!(!path.exists(), "the socket is removed at the end");
    result
}

#[tokio::test]
async fn tcp_and_the_socket_are_served_until_stopped() {
    serving(fixture::site(), async |address, path| {
        let reply = exchange(TcpStream::connect(address).await.unwrap(), CLOSE).await;
        assert!(reply.starts_with("HTTP/1.1 200 OK"), "{reply}");
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let local = CLOSE.replace("/healthz", "/local/status");
        let reply = exchange(UnixStream::connect(path).await.unwrap(), &local).await;
        assert!(reply.starts_with("HTTP/1.1 200 OK"), "{reply}");
        let again = http::bind_socket(path).await.unwrap_err();
        assert!(again.to_string().contains("answers on"), "{again}");
        let again = http::bind(address).await.unwrap_err();
        assert!(again.to_string().contains("is in use"), "{again}");
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_and_an_endless_head_are_given_up() {
    let config = fixture::config(&[
        ("http.header_timeout", "100ms"),
        ("http.max_connections", "1"),
    ]);
    let site = fixture::site_with(fixture::board(), &config);
    serving(site, async |address, _| {
        // With one place, the second is served only once the first is given up.
        let idle = TcpStream::connect(address).await.unwrap();
        let reply = exchange(TcpStream::connect(address).await.unwrap(), CLOSE).await;
        assert!(reply.starts_with("HTTP/1.1 200 OK"), "{reply}");
        drop(idle);
        let slow = TcpStream::connect(address).await.unwrap();
        let reply = exchange(slow, "GET / HTTP/1.1\r\nhost: local").await;
        assert!(!reply.starts_with("HTTP/1.1 200"), "{reply}");
        let long = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(20_000));
        let reply = exchange(TcpStream::connect(address).await.unwrap(), &long).await;
        assert!(
            reply.is_empty() || reply.starts_with("HTTP/1.1 431"),
            "{reply}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_stops_reading_is_given_up() {
    let set = [
        ("http.request_timeout", "200ms"),
        ("http.max_connections", "1"),
    ];
    let site = fixture::site_with(fixture::board(), &fixture::config(&set));
    serving(site, async |address, _| {
        let mut deaf = TcpStream::connect(address).await.unwrap();
        let ask = format!(
            "GET {BASE}/capacity/dashboard?target=main HTTP/1.1\r\nhost: localhost\r\n\r\n"
        );
        let asks = ask.repeat(4_000);
        // The server stops taking requests once its answers are stuck.
        let _ =
            tokio::time::timeout(Duration::from_millis(200), deaf.write_all(asks.as_bytes())).await;
        let reply = exchange(TcpStream::connect(address).await.unwrap(), CLOSE).await;
        assert!(reply.starts_with("HTTP/1.1 200 OK"), "{reply}");
        drop(deaf);
    })
    .await;
}

#[tokio::test]
async fn a_socket_that_nobody_answers_on_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plimsoll.sock");
    drop(http::bind_socket(&path).await.unwrap());
    assert!(path.exists(), "as after a kill");
    http::bind_socket(&path).await.unwrap();
    let long = folder.path().join("x".repeat(120));
    let error = http::bind_socket(&long).await.unwrap_err().to_string();
    assert!(error.contains("--data-dir"), "{error}");
}
