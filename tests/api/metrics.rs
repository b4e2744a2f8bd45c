//! `/metrics` in both formats, judged by the tools that read them.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::{fixture, get, send};

const OPEN: (&str, &str) = ("accept", "application/openmetrics-text; version=1.0.0");

#[expect(
    clippy::disallowed_methods,
    reason = "a test asks whether it runs in CI"
)]
fn in_ci() -> bool {
    std::env::var_os("CI").is_some()
}

/// Feeds `text` to `program`; `None` where it is not installed, which CI does not let pass.
#[expect(
    clippy::disallowed_methods,
    reason = "a test asks whether it runs in CI"
)]
fn judged(program: &str, arguments: &[&str], text: &str) -> Option<(bool, String)> {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        assert!(
            std::env::var_os("CI").is_none(),
            "{program} is missing; CI needs it"
        );
        eprintln!("SKIPPED: {program} is not installed");
        return None;
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Some((
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    ))
}

/// A site that has answered before, so that its own latency is there.
async fn metrics(path: &str, headers: &[(&str, &str)]) -> String {
    let site = fixture::site();
    for path in [
        "/healthz",
        "/nowhere",
        "/api/v1/performance/database/size?target=main",
    ] {
        send(&site, "GET", path, &[]).await;
    }
    let reply = send(&site, "GET", path, headers).await;
    assert_eq!(reply.status, 200);
    reply.text()
}

#[tokio::test]
async fn promtool_has_nothing_to_say() {
    judge(&metrics("/metrics", &[]).await);
}

/// Fails if promtool has anything to say.
pub(crate) fn judge(text: &str) {
    if let Some((ok, said)) = judged("promtool", &["check", "metrics"], text) {
        assert!(ok && said.trim().is_empty(), "{said}\n{text}");
    }
}

#[tokio::test]
async fn the_strict_parser_reads_open_metrics() {
    const PARSE: &str = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\n\
        print(len(list(parse(sys.stdin.read()))))";
    let venv = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python3");
    let python = if venv.exists() {
        venv.display().to_string()
    } else {
        "python3".to_owned()
    };
    let has = judged(&python, &["-c", "import prometheus_client"], "");
    if !has.is_some_and(|(ok, _)| ok) {
        assert!(!in_ci(), "prometheus_client is missing; CI needs it");
        eprintln!("SKIPPED: prometheus_client is not installed");
        return;
    }
    for path in ["/metrics", "/metrics?names=compat"] {
        let text = metrics(path, &[OPEN]).await;
        let (ok, said) = judged(&python, &["-c", PARSE], &text).unwrap();
        assert!(ok, "{said}\n{text}");
        assert!(said.trim().parse::<u32>().unwrap() >= 8, "{said}");
    }
}

#[tokio::test]
async fn only_targets_that_answer_have_series() {
    let text = metrics("/metrics", &[]).await;
    assert!(text.contains("pg_up{target=\"broken\"} 0\n"), "{text}");
    assert!(text.contains("pg_up{target=\"main\"} 1\n"), "{text}");
    assert!(
        text.contains("plimsoll_database_commits_total{datname=\"app\",target=\"main\"} 12345\n")
    );
    assert!(
        !text.contains("datname=\"app\",target=\"broken\""),
        "{text}"
    );
    assert!(
        text.contains(r#"relname="Robert\"); DROP TABLE""#),
        "{text}"
    );
    assert!(text.contains(r#"relname="line\nbreak\\""#), "{text}");
}

#[tokio::test]
async fn our_own_latency_is_counted_by_route() {
    let text = metrics("/metrics", &[]).await;
    for line in [
        "plimsoll_http_requests_total{code=\"200\",route=\"/healthz\"} 1\n",
        "plimsoll_http_requests_total{code=\"404\",route=\"none\"} 1\n",
        "plimsoll_http_request_duration_seconds_bucket{le=\"+Inf\",route=\"/healthz\"} 1\n",
        "plimsoll_http_request_duration_seconds_count{route=\"/healthz\"} 1\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn existing_exporters_names_are_there_when_asked_for() {
    let text = metrics("/metrics?names=compat", &[]).await;
    let line = "pg_stat_database_xact_commit{datname=\"app\",target=\"main\"} 12345\n";
    assert!(text.contains(line), "{text}");
    let line = "pg_commits_in_thousands{datname=\"app\",target=\"main\"} 12.345\n";
    assert!(text.contains(line), "{text}");
    assert!(!text.contains("plimsoll_database_commits_total"));
    assert_eq!(get("/metrics?names=theirs").await.status, 400);
}

#[tokio::test]
async fn the_format_follows_the_accept_header() {
    let site = fixture::site();
    let plain = send(&site, "GET", "/metrics", &[("accept", "*/*")]).await;
    assert!(
        plain
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    let open = send(&site, "GET", "/metrics", &[OPEN]).await;
    assert!(
        open.header("content-type")
            .starts_with("application/openmetrics-text; version=1.0.0")
    );
    assert!(open.text().ends_with("# EOF\n"));
    assert!(
        open.text()
            .contains("# TYPE plimsoll_database_commits counter\n")
    );
}
