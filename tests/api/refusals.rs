//! Refusals: each with its status, its stable code and its cure.

use std::io::Write as _;

use plimsoll::work::board::Board;

use crate::{BASE, Reply, fixture, get, send};

fn refused(reply: &Reply, status: u16, code: &str, detail: &str) {
    let problem = reply.json();
    assert_eq!(reply.status, status, "{problem}");
    assert_eq!(reply.header("content-type"), "application/problem+json");
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(problem["code"], code);
    assert_eq!(problem["status"], status);
    assert_eq!(problem["type"], format!("urn:plimsoll:error:{code}"));
    let text = problem["detail"].as_str().unwrap();
    assert!(text.contains(detail), "{text}");
    assert!(problem["error"].is_string() && problem["title"].is_string());
}

#[tokio::test]
async fn numbers_out_of_bounds_say_the_bounds() {
    for months in ["0", "25", "1e9", "-1", "banana", "", "99999999999999999999"] {
        let path = format!("{BASE}/capacity/forecast/cpu?target=main&months={months}");
        let reply = get(&path).await;
        refused(
            &reply,
            400,
            "invalid-parameter",
            "a whole number from 1 to 24",
        );
        assert_eq!(reply.json()["error"], "Failed to forecast capacity");
    }
    for limit in ["0", "1001", "ten"] {
        let reply = get(&format!(
            "{BASE}/database/slow-queries?target=main&limit={limit}"
        ))
        .await;
        refused(
            &reply,
            400,
            "invalid-parameter",
            "a whole number from 1 to 1000",
        );
    }
    let reply = get(&format!(
        "{BASE}/database/slow-queries?target=main&order=best"
    ))
    .await;
    refused(
        &reply,
        400,
        "invalid-parameter",
        "one of mean, total, max, calls",
    );
}

#[tokio::test]
async fn strangers_are_not_found_and_the_known_ones_are_named() {
    let reply = get(&format!("{BASE}/capacity/forecast/banana?target=main")).await;
    refused(
        &reply,
        404,
        "unknown-resource",
        "one of cpu, memory, storage",
    );
    let reply = get(&format!("{BASE}/database/size?target=nobody")).await;
    refused(&reply, 404, "unknown-target", "one of broken, main, quiet");
    let reply = get(&format!("{BASE}/database/table-stats/Leed?target=main")).await;
    refused(&reply, 404, "unknown-table", "\"Leed\" in database \"app\"");
    assert_eq!(reply.json()["error"], "Failed to get table statistics");
    let reply = get(&format!("{BASE}/database/table-stats/twin?target=main")).await;
    refused(&reply, 400, "ambiguous-table", "one of a.twin, b.twin");
    let odd = "%00%22%27%3B--%F0%9F%90%98";
    let reply = get(&format!("{BASE}/database/table-stats/{odd}?target=main")).await;
    refused(&reply, 404, "unknown-table", "");
    refused(
        &get("/api/v1/performance").await,
        404,
        "unknown-path",
        "/openapi.json",
    );
    refused(&get("/local/status").await, 404, "unknown-path", "");
}

#[tokio::test]
async fn before_the_first_look_the_answer_is_not_yet_and_says_why() {
    for (path, target, why) in [
        ("capacity/forecast/cpu", "quiet", "the first look"),
        (
            "capacity/dashboard",
            "broken",
            "connection refused; start the server",
        ),
        ("capacity/bottlenecks", "quiet", "the first look"),
        ("database/size", "quiet", "the first look"),
        (
            "database/slow-queries",
            "broken",
            "is down since 2026-05-01T12:00:00",
        ),
    ] {
        let reply = get(&format!("{BASE}/{path}?target={target}")).await;
        refused(&reply, 503, "not-yet-known", why);
        assert!(reply.header("retry-after").parse::<u32>().unwrap() > 0);
    }
}

#[tokio::test]
async fn without_targets_there_is_nothing_to_ask_about() {
    let site = fixture::site_with(Board::default(), &fixture::config(&[]));
    let reply = send(&site, "GET", &format!("{BASE}/database/size"), &[]).await;
    refused(&reply, 404, "no-target", "--target");
    assert_eq!(send(&site, "GET", "/readyz", &[]).await.status, 200);
    assert_eq!(send(&site, "GET", "/metrics", &[]).await.status, 200);
}

/// Every byte percent-encoded, so that any text is a path and a query.
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut all, byte| {
        write!(all, "%{byte:02X}").unwrap();
        all
    })
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    #[test]
    fn no_text_in_a_path_or_a_query_breaks_a_handler(text in "[\\PC\n\r\0]{1,30}") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let text = encoded(&text);
        for path in [
            format!("{BASE}/database/table-stats/{text}?target=main"),
            format!("{BASE}/capacity/forecast/{text}?target=main"),
            format!("{BASE}/capacity/forecast/cpu?target={text}&months={text}"),
            format!("{BASE}/database/slow-queries?limit={text}&order={text}"),
            format!("/metrics?names={text}"),
            format!("/?fragment={text}"),
        ] {
            let reply = runtime.block_on(get(&path));
            proptest::prop_assert!([400, 404].contains(&reply.status.as_u16()), "{}", reply.text());
            proptest::prop_assert!(reply.json()["code"].is_string());
        }
    }
}

#[tokio::test]
async fn another_method_is_told_which_one_to_use() {
    let site = fixture::site();
    let reply = send(&site, "POST", &format!("{BASE}/database/size"), &[]).await;
    refused(&reply, 405, "method-not-allowed", "Allow");
    assert_eq!(reply.header("allow"), "GET,HEAD");
}

#[tokio::test]
async fn a_large_body_is_refused_before_it_is_sent() {
    let site = fixture::site();
    let length = [("content-length", "70000")];
    let reply = send(&site, "POST", &format!("{BASE}/database/size"), &length).await;
    refused(&reply, 413, "body-too-large", "65536 bytes");
}

#[tokio::test]
async fn only_our_own_names_are_answered_to() {
    let site = fixture::site();
    for ours in [
        "localhost",
        "LOCALHOST:3002",
        "127.0.0.1:3002",
        "127.9.9.9",
        "[::1]:3002",
        "a.localhost",
        "localhost.",
    ] {
        let reply = send(&site, "GET", "/healthz", &[("host", ours)]).await;
        assert_eq!(reply.status, 200, "{ours}");
    }
    for foreign in [
        "evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "127.0.0.1.evil.example:3002",
    ] {
        let reply = send(&site, "GET", "/healthz", &[("host", foreign)]).await;
        refused(&reply, 421, "foreign-host", "http.hosts");
    }
    refused(
        &send(&site, "GET", "/healthz", &[("host", "")]).await,
        400,
        "no-host",
        "names no host",
    );
    let config = fixture::config(&[("http.hosts", "monitor.example")]);
    let site = fixture::site_with(fixture::board(), &config);
    let named = [("host", "Monitor.example:3002")];
    assert_eq!(send(&site, "GET", "/healthz", &named).await.status, 200);
}

#[tokio::test]
async fn a_token_that_is_set_is_asked_for() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"0123456789abcdef").unwrap();
    let path = file.path().to_str().unwrap();
    let config = fixture::config(&[("http.token_file", path)]);
    let site = fixture::site_with(fixture::board(), &config);
    for wrong in [
        "",
        "Bearer",
        "Bearer 0123456789abcdeX",
        "Basic 0123456789abcdef",
    ] {
        let reply = send(&site, "GET", "/metrics", &[("authorization", wrong)]).await;
        refused(&reply, 401, "no-token", "Authorization: Bearer");
        assert_eq!(reply.header("www-authenticate"), "Bearer");
    }
    let right = [("authorization", "bearer 0123456789abcdef")];
    assert_eq!(send(&site, "GET", "/metrics", &right).await.status, 200);
    assert_eq!(send(&site, "GET", "/healthz", &[]).await.status, 200);
    assert_eq!(crate::send_local(&site, "/metrics").await.status, 200);
}
