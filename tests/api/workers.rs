//! What queues say to workers, to operators in trouble, and to those who may only look.

use std::io::Write as _;
use std::sync::Arc;

use plimsoll::http::Site;
use serde_json::{Value, json};

use crate::{BASE, Reply, fixture, send, send_body, send_with};

fn path(rest: &str) -> String {
    format!("{BASE}/jobs/{rest}")
}

async fn post(site: &Arc<Site>, rest: &str, body: Value) -> Reply {
    send_body(site, &path(rest), body.to_string()).await
}

async fn ask(site: &Arc<Site>, rest: &str) -> Value {
    send(site, "GET", &path(rest), &[]).await.json()
}

#[tokio::test]
async fn many_attempts_end_in_one_call_each_as_it_says() {
    let site = fixture::site();
    let jobs: Vec<Value> = (0..4)
        .map(|n| json!({"name": "j", "opts": {"jobId": format!("j{n}"), "attempts": 1}}))
        .collect();
    assert_eq!(post(&site, "mail", json!(jobs)).await.status, 201);
    let claimed = post(&site, "mail/claim", json!({"max": 9})).await.json();
    let token = |n: usize| claimed["items"][n]["token"].clone();
    let endings = json!([
        {"id": "j0", "token": token(0), "returnvalue": {"n": 0}},
        {"id": "j1", "token": token(1), "error": {"message": "no"}},
        {"id": "j2", "token": token(2), "release": true},
        {"id": "j3", "token": "0"},
    ]);
    let settled = post(&site, "mail/settle", endings).await;
    assert_eq!(settled.status, 207);
    let each = settled.json();
    let states: Vec<&Value> = (0..3).map(|n| &each[n]["state"]).collect();
    assert_eq!(states, ["completed", "dead", "waiting"]);
    assert_eq!(each[3]["id"], "j3");
    assert_eq!(each[3]["error"]["code"], "lease-lost");
    assert_eq!(ask(&site, "mail/j0").await["returnvalue"], json!({"n": 0}));
    let right = json!([{"id": "j3", "token": token(3)}]);
    assert_eq!(post(&site, "mail/settle", right).await.status, 200);
    for (body, status) in [
        (json!({"id": "j3"}), 400),
        (json!([{"id": "j3"}]), 400),
        (json!(vec![json!({"id": "x", "token": "0"}); 1_001]), 413),
    ] {
        assert_eq!(post(&site, "mail/settle", body).await.status, status);
    }
    assert_eq!(post(&site, "none/settle", json!([])).await.status, 404);
    let named = json!({"name": "j", "opts": {"jobId": "settle"}});
    assert_eq!(
        post(&site, "mail", named).await.status,
        400,
        "a word of the API"
    );
}

#[tokio::test]
async fn bulks_beyond_all_measure_add_nothing() {
    let site = fixture::site();
    let many = json!(vec![json!({"name": "a"}); 10_001]);
    let refused = post(&site, "mail", many).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["code"]),
        (413, &json!("too-large"))
    );
    let million = format!("[{}]", vec!["{\"name\":\"a\"}"; 1_000_000].join(","));
    let refused = send_body(&site, &path("mail"), million).await;
    assert_eq!(refused.status, 413);
    let large = json!({"name": "a", "data": "y".repeat(10 << 20)});
    assert_eq!(post(&site, "mail", large).await.status, 413);
    let circle = json!({"name": "a", "opts": {"jobId": "x"},
        "children": [{"name": "b", "children": [{"name": "c", "opts": {"jobId": "x"}}]}]});
    let refused = post(&site, "mail", circle).await;
    assert_eq!(
        refused.json()["code"],
        "conflicting-job",
        "{}",
        refused.text()
    );
    let metrics = send(&site, "GET", &path("metrics?queue=mail"), &[]).await;
    assert!(
        metrics.status == 404 || metrics.json()["waiting"] == 0,
        "{}",
        metrics.text()
    );
}

async fn kill(site: &Arc<Site>, id: &str) {
    let job = json!({"name": "j", "data": {"to": "a@b.c"}, "opts": {"jobId": id, "attempts": 1}});
    assert_eq!(post(site, "mail", job).await.status, 201);
    let claimed = post(site, "mail/claim", json!({})).await.json();
    let token = &claimed["items"][0]["token"];
    let note = json!({"token": token, "text": "wrote to a@b.c", "progress": {"at": "a@b.c"}});
    post(site, &format!("mail/{id}/progress"), note).await;
    let told = json!({"token": token, "error": {"message": "no"}});
    post(site, &format!("mail/{id}/fail"), told).await;
}

#[tokio::test]
async fn too_many_dead_letters_are_an_alert_until_they_are_fewer() {
    let site = fixture::site();
    let config = json!({"deadLetter": {"alertThreshold": 2}}).to_string();
    let set = send_with(&site, "PUT", &path("mail/config"), config).await;
    assert_eq!(set.status, 200);
    kill(&site, "a").await;
    assert_eq!(ask(&site, "alerts").await, json!([]));
    kill(&site, "b").await;
    let alerts = ask(&site, "alerts").await;
    assert_eq!(
        (&alerts[0]["queueName"], &alerts[0]["kind"]),
        (&json!("mail"), &json!("dead-letters"))
    );
    assert!(
        alerts[0]["message"]
            .as_str()
            .unwrap()
            .starts_with("2 dead letters")
    );
    post(&site, "mail/b/retry", json!({})).await;
    assert_eq!(ask(&site, "alerts").await, json!([]));
    let added = post(&site, "alerts", json!({"name": "a"})).await;
    assert_eq!(added.status, 405, "a word of the API");
}

/// Gives up the job `d` of the queue `dead`.
async fn die(site: &Arc<Site>, headers: &[(&str, &str)]) {
    let post = async |rest: &str, body: Value| {
        let routes = plimsoll::http::router(site);
        let body = body.to_string().into();
        crate::through(routes, "POST", &path(rest), headers, body).await
    };
    let opts = json!({"jobId": "d", "attempts": 1});
    let job = json!({"name": "j", "data": {"to": "a@b.c"}, "opts": opts});
    post("dead", job).await;
    let held = post("dead/claim", json!({})).await.json();
    let token = &held["items"][0]["token"];
    let told = json!({"token": token, "error": {"message": "mailbox full", "stack": "at send"}});
    assert_eq!(post("dead/d/fail", told).await.status, 200);
}

#[tokio::test]
async fn who_may_only_look_sees_no_payload_and_changes_nothing() {
    let file = |text: &[u8]| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text).unwrap();
        file
    };
    let (operator, viewer) = (file(b"0123456789abcdef"), file(b"fedcba9876543210"));
    let config = fixture::config(&[
        ("http.token_file", operator.path().to_str().unwrap()),
        ("http.viewer_token_file", viewer.path().to_str().unwrap()),
    ]);
    let site = fixture::site_with(fixture::board(), &config);
    let look = [("authorization", "Bearer fedcba9876543210")];
    let all = [("authorization", "Bearer 0123456789abcdef")];
    let body = json!({"name": "j", "data": {"to": "a@b.c"}, "opts": {"jobId": "a"}}).to_string();
    let routes = plimsoll::http::router(&site);
    let added = crate::through(routes, "POST", &path("bar"), &all, body.into()).await;
    assert_eq!(added.status, 201);
    let body = json!({"name": "s", "every": 60_000, "jobType": "bar", "data": {"to": "a@b.c"}});
    let routes = plimsoll::http::router(&site);
    let to = path("schedule");
    let made = crate::through(routes, "POST", &to, &all, body.to_string().into()).await;
    assert_eq!(made.status, 200, "{}", made.text());
    die(&site, &all).await;
    let letters = send(&site, "GET", &path("dead/dead-letter"), &look).await;
    assert_eq!(
        letters.json()[0]["failedReason"],
        "mailbox full",
        "why a job failed is for whoever looks"
    );
    for rest in [
        "dead/d",
        "dead?state=dead",
        "dead/dead-letter",
        "dead/dead-letter/export",
        "bar/a",
        "bar",
        "bar?state=waiting",
        "schedules",
        "schedules/s",
    ] {
        let shown = send(&site, "GET", &path(rest), &all).await;
        let masked = send(&site, "GET", &path(rest), &look).await;
        assert_eq!((shown.status.as_u16(), masked.status.as_u16()), (200, 200));
        assert!(shown.text().contains("a@b.c"), "{}", shown.text());
        let masked = masked.text();
        assert!(
            !masked.contains("a@b.c") && masked.contains(r#"{"to":"***"}"#),
            "{masked}"
        );
    }
    for (method, rest) in [
        ("POST", "bar/pause"),
        ("POST", "bar/claim"),
        ("DELETE", "bar/job-1"),
        ("PUT", "bar/config"),
        ("POST", "schedules/s/run"),
        ("DELETE", "schedules/s"),
    ] {
        let refused = send(&site, method, &path(rest), &look).await;
        assert_eq!(refused.status, 403, "{method} {rest}");
        assert_eq!(refused.json()["code"], "only-looking");
    }
    assert_eq!(
        send(&site, "POST", &path("bar/pause"), &all).await.status,
        200
    );
    assert_eq!(send(&site, "GET", "/metrics", &look).await.status, 200);
}
