//! The receiver: what a sender is answered, and what is kept of what it sent.

use hyper::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::IDLE;
use crate::request::{field, packed, request, series};
use crate::support::http::{Response, send};
use crate::support::plimsoll::{Serve, run};

const HEADERS: [(&str, &str); 3] = [
    ("content-encoding", "snappy"),
    ("content-type", "application/x-protobuf"),
    ("x-prometheus-remote-write-version", "0.1.0"),
];
const UP: [(&str, &str); 3] = [("__name__", "up"), ("instance", "h:1"), ("job", "node")];

async fn write(serve: &Serve, body: &[u8]) -> Response {
    let sent = send(serve.address, Method::POST, "/api/v1/write", &HEADERS, body).await;
    sent.unwrap()
}

/// An instant of now less some seconds, in ms: the receiver looks at its own clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the server's clock is the system's"
)]
fn ago(seconds: i64) -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_millis()).unwrap() - seconds * 1000
}

async fn exported(serve: &Serve) -> Vec<String> {
    let folder = serve.data_dir.display().to_string();
    let output = run(&[
        "history",
        "export",
        "--format",
        "csv",
        "--data-dir",
        &folder,
    ])
    .await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    let mut lines: Vec<String> = output.stdout.lines().skip(1).map(str::to_owned).collect();
    lines.retain(|line| !line.starts_with("plimsoll|"));
    lines.sort();
    lines
}

fn refused(response: &Response, status: u16, words: &str) {
    assert_eq!(response.status, status, "{}", response.text());
    let told = response.json();
    let told = told["detail"].as_str().unwrap();
    assert!(told.contains(words), "{told}");
    assert!(
        !response.text().contains('\n'),
        "senders log the first line alone"
    );
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill_and_comes_back_in_every_bit() {
    let folder = tempfile::tempdir().unwrap();
    let serve = Serve::start(folder.path(), &IDLE).await;
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let at = ago(60);
    let odd = [("__name__", "odd:name_total"), ("x", "a,\"b\"\n\\é")];
    let body = request(&[
        series(&UP, &[(at, 1.0), (at + 1, 0.1), (at + 2, stale)]),
        // Labels in another order, a sample that is late, and one that replaces another.
        series(&[UP[2], UP[0], UP[1]], &[(at - 5, -0.0), (at, 2.0)]),
        series(&odd, &[(at, f64::INFINITY)]),
        series(&UP, &[]),
    ]);
    let answer = write(&serve, &body).await;
    assert_eq!(
        (answer.status.as_u16(), answer.body.len()),
        (204, 0),
        "{}",
        answer.text()
    );
    assert_eq!(write(&serve, &packed(b"")).await.status, 204);
    let name = r#""push:node@h:1|up{instance=""h:1"",job=""node""}""#;
    let mut wanted = vec![
        format!("{name},{},-0", at - 5),
        format!("{name},{at},2"),
        format!("{name},{},0.1", at + 1),
        format!("{name},{},bits:7ff0000000000002", at + 2),
        format!(r#""push:|odd:name_total{{x=""a,\""b\""\n\\é""}}",{at},+Inf"#),
    ];
    wanted.sort();
    assert_eq!(exported(&serve).await, wanted);
    serve.kill().await;
    let serve = Serve::start(folder.path(), &IDLE).await;
    assert_eq!(exported(&serve).await, wanted);
    // Sent again, as a sender does that heard no answer.
    assert_eq!(write(&serve, &body).await.status, 204);
    assert_eq!(exported(&serve).await, wanted);
}

#[tokio::test]
async fn what_is_wrong_is_left_out_and_told_and_the_rest_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let limit = ["--set", "collect.max_series=100"];
    let serve = Serve::start(folder.path(), &[&IDLE[..], &limit].concat()).await;
    let at = ago(10);
    let ends = [i64::MIN, -1, 0, at, i64::MAX, ago(-90 * 86_400)];
    let body = request(&[
        series(&UP, &ends.map(|at| (at, 1.0))),
        series(&[("job", "node")], &[(at, 1.0)]),
        series(&[("__name__", "no-name")], &[(at, 1.0)]),
        series(&[("__name__", "up"), ("a", "1"), ("a", "2")], &[(at, 1.0)]),
    ]);
    let answer = write(&serve, &body).await;
    refused(
        &answer,
        400,
        "5 samples lie outside the times that are kept",
    );
    refused(
        &answer,
        400,
        "3 series have labels that are not taken: a series has no __name__",
    );
    refused(&answer, 400, "the other 1 samples are kept");
    assert_eq!(exported(&serve).await.len(), 1);
    // A million labels, and more series than there is room for.
    let names: Vec<String> = (0..1_000_000).map(|n| format!("l{n}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
    let answer = write(&serve, &request(&[series(&many, &[(at, 1.0)])])).await;
    refused(&answer, 400, "64 labels");
    let crowd: Vec<Vec<u8>> = (0..300)
        .map(|n| series(&[UP[0], ("n", &n.to_string())], &[(at, 1.0)]))
        .collect();
    let answer = write(&serve, &request(&crowd)).await;
    refused(&answer, 400, "collect.max_series is reached");
    let kept = exported(&serve).await.len();
    assert!((50..=100).contains(&kept), "{kept}");
}

#[tokio::test]
async fn a_body_that_does_not_read_is_refused_before_it_takes_memory() {
    let folder = tempfile::tempdir().unwrap();
    let serve = Serve::start(folder.path(), &IDLE).await;
    let lie = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    refused(&write(&serve, &lie).await, 413, "4294967295 bytes");
    for wrong in [&b""[..], b"\xff\xff\xff", b"hello"] {
        refused(&write(&serve, wrong).await, 400, "snappy's block format");
    }
    for wrong in [&b"\x0a\xff\xff\xff\x7f"[..], b"\x08\x01", b"{}"] {
        refused(
            &write(&serve, &packed(wrong)).await,
            400,
            "no remote-write request",
        );
    }
    // Two million samples of two bytes each: small as it is sent, 32 MB as it lies in memory.
    let mut crowd = series(&UP, &[]);
    for _ in 0..2_000_000 {
        field(&mut crowd, 2, b"");
    }
    refused(
        &write(&serve, &request(&[crowd])).await,
        400,
        "outside the times that are kept",
    );
    let crowd: Vec<(i64, f64)> = (0..1_100_000).map(|n| (ago(3600) + n, 0.0)).collect();
    refused(
        &write(&serve, &request(&[series(&UP, &crowd)])).await,
        413,
        "1048576 samples",
    );
    assert_eq!(exported(&serve).await.len(), 0);
    let body = request(&[series(&UP, &[(ago(1), 1.0)])]);
    for (headers, given) in [
        (vec![], "Content-Encoding"),
        (vec![HEADERS[0]], "Content-Type"),
        (vec![("content-encoding", "gzip"), HEADERS[1]], "gzip"),
        (
            vec![
                HEADERS[0],
                (
                    "content-type",
                    "application/x-protobuf;proto=io.prometheus.write.v2.Request",
                ),
            ],
            "v2",
        ),
    ] {
        let answer = send(
            serve.address,
            Method::POST,
            "/api/v1/write",
            &headers,
            &body,
        )
        .await;
        refused(&answer.unwrap(), 415, given);
    }
    // Refused by its head, before it is sent.
    let mut stream = TcpStream::connect(serve.address).await.unwrap();
    let head = "POST /api/v1/write HTTP/1.1\r\nhost: localhost\r\ncontent-length: 16777217\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut reply = [0; 12];
    stream.read_exact(&mut reply).await.unwrap();
    assert_eq!(&reply, b"HTTP/1.1 413");
    let answer = send(serve.address, Method::GET, "/api/v1/write", &[], "")
        .await
        .unwrap();
    assert_eq!(answer.status, 405);
    assert_eq!(write(&serve, &body).await.status, 204);
    assert_eq!(exported(&serve).await.len(), 1);
}

#[tokio::test]
async fn a_token_guards_writing_as_it_guards_reading() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "0123456789abcdef0123456789abcdef\n").unwrap();
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let flag = format!("http.token_file={}", token.display());
    let data = folder.path().join("data");
    let mut serve = Serve::start(&data, &[&IDLE[..], &["--set", &flag]].concat()).await;
    let body = request(&[series(&UP, &[(ago(1), 1.0)])]);
    assert_eq!(write(&serve, &body).await.status, 401);
    let bearer = ("authorization", "Bearer 0123456789abcdef0123456789abcdef");
    let headers = [&HEADERS[..], &[bearer]].concat();
    let sent = send(
        serve.address,
        Method::POST,
        "/api/v1/write",
        &headers,
        &body,
    )
    .await;
    assert_eq!(sent.unwrap().status, 204);
    serve
        .wait_for("/healthz", |answer| answer.status.is_success())
        .await;
    assert_eq!(exported(&serve).await.len(), 1);
}
