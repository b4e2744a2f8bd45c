//! What is kept of jobs that ended: listed to its end, taken up again with care, and told of.

use std::sync::Arc;

use plimsoll::http::Site;
use serde_json::{Value, json};

use crate::command::plimsoll;
use crate::jobs::{ask, kill, path, post};
use crate::{fixture, network, send, send_with};

async fn counts(site: &Arc<Site>) -> [u64; 5] {
    let metrics = ask(site, "metrics?queue=mail").await;
    let count = |field: &str| metrics[field].as_u64().unwrap();
    ["waiting", "delayed", "failed", "dead", "completed"].map(count)
}

/// Adds jobs that are tried once and failed: so many for good, and so many into the dead letters.
async fn fail(site: &Arc<Site>, failed: usize, dead: usize) {
    for n in 0..failed + dead {
        let end = if n < failed { "fail" } else { "deadletter" };
        let opts = json!({"jobId": format!("j{n}"), "attempts": 1, "onMaxRetriesExceeded": end});
        let job = json!({"name": format!("n{}", n % 2), "opts": opts});
        assert_eq!(post(site, "mail", job).await.status, 201);
        let claimed = post(site, "mail/claim", json!({})).await.json();
        let token = &claimed["items"][0]["token"];
        let told = json!({"token": token, "error": {"message": format!("why {}", n % 3)}});
        let told = post(site, &format!("mail/j{n}/fail"), told).await;
        assert_eq!(told.status, 200, "{}", told.text());
    }
}

#[tokio::test]
async fn payloads_that_no_number_can_hold_are_carried_and_listed_as_they_are() {
    let site = fixture::site();
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    for (id, data) in [("a", "1e999"), ("b", &deep), ("c", "36893488147419103232")] {
        let body = format!(r#"{{"name":"j","data":{data},"opts":{{"jobId":"{id}"}}}}"#);
        let added = crate::send_body(&site, &path("mail"), body).await;
        assert_eq!(added.status, 201, "{}", added.text());
        let page = send(&site, "GET", &path("mail"), &[]).await;
        assert_eq!(page.status, 200);
        assert!(page.text().contains(data), "{}", page.text());
        let one = send(&site, "GET", &path(&format!("mail/{id}")), &[]).await;
        assert!(one.text().contains(data), "{}", one.text());
    }
    network::serving(Arc::clone(&site), async |_, socket| {
        let (code, text) = plimsoll(socket, &["jobs", "list", "mail"]).await;
        assert!(code == 0 && text.lines().count() == 4, "{code}: {text}");
        let (code, text) = plimsoll(socket, &["jobs", "show", "mail", "a"]).await;
        assert!(code == 0 && text.contains("1e999"), "{code}: {text}");
    })
    .await;
    let other = r#"{"name":"j","data":[1e999],"opts":{"jobId":"a"}}"#;
    let other = crate::send_body(&site, &path("mail"), other.to_owned()).await;
    assert_eq!(other.status, 409, "another payload is another job");
    let held = crate::send_body(&site, &path("mail/claim"), r#"{"max":3}"#.to_owned()).await;
    assert!(held.text().contains(r#""data":1e999"#), "{}", held.text());
}

#[tokio::test]
async fn a_page_of_letters_goes_on_with_its_filter() {
    let site = fixture::site();
    for n in 0..5 {
        let why = if n == 2 { "refused" } else { "timed & out" };
        kill(&site, &format!("j{n}"), why).await;
    }
    let (mut seen, mut rest) = (
        0,
        "mail/dead-letter?error=timed+%26&limit=3&name=j".to_owned(),
    );
    loop {
        let page = send(&site, "GET", &path(&rest), &[]).await;
        let jobs = page.json();
        seen += jobs.as_array().unwrap().len();
        let link = page.header("link").to_owned();
        let Some((_, next)) = link.split_once("/jobs/") else {
            break;
        };
        next.split_once('>').unwrap().0.clone_into(&mut rest);
        for kept in ["error=timed%20%26", "limit=3", "name=j", "cursor="] {
            assert!(rest.contains(kept), "{kept}: {rest}");
        }
    }
    assert_eq!(seen, 4);
}

#[tokio::test]
async fn the_command_line_finds_letters_however_deep_and_says_when_more_follow() {
    let site = fixture::site();
    let opts = json!({"attempts": 1});
    let jobs: Vec<Value> = (0..1_100)
        .map(|_| json!({"name": "j", "opts": opts}))
        .collect();
    assert_eq!(post(&site, "mail", json!(jobs)).await.status, 201);
    for many in [1_000, 100] {
        let held = post(&site, "mail/claim", json!({"max": many})).await.json();
        let held = held["items"].as_array().unwrap();
        let ending = |(nth, one): (usize, &Value)| {
            let is_first = many > 100 && nth == 0;
            let why = if is_first { "the rare one" } else { "no" };
            json!({"id": one["job"]["id"], "token": one["token"], "error": {"message": why}})
        };
        let endings: Vec<Value> = held.iter().enumerate().map(ending).collect();
        assert_eq!(post(&site, "mail/settle", json!(endings)).await.status, 200);
    }
    network::serving(site, async |_, socket| {
        let run = async |arguments: &[&str]| {
            let all = [&["jobs", "dlq", "mail"], arguments].concat();
            let (code, text) = plimsoll(socket, &all).await;
            assert_eq!(code, 0, "{arguments:?}: {text}");
            text
        };
        let all = run(&[]).await;
        assert!(
            all.ends_with("more follow; ask for them with --limit\n"),
            "{all}"
        );
        let rare = run(&["--error", "rare"]).await;
        assert!(
            rare.contains("the rare one") && !rare.contains("more"),
            "{rare}"
        );
        let few = run(&["--limit", "2", "--format", "json"]).await;
        let few: Value = serde_json::from_str(&few).unwrap();
        assert_eq!(few.as_array().unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn retry_failed_keeps_to_its_filter_limit_and_rate() {
    let site = fixture::site();
    fail(&site, 3, 3).await;
    assert_eq!(counts(&site).await, [0, 0, 6, 3, 0]);
    let wrong = post(&site, "mail/retry-failed?eror=why", json!({})).await;
    assert_eq!(
        (wrong.status.as_u16(), &wrong.json()["code"]),
        (400, &json!("invalid-parameter"))
    );
    for rest in [
        "dead-letter/replay?eror=x",
        "drain?dealyed=true",
        "obliterate?force=true&really=1",
        "pause?for=5m",
        "j0/retry?rate=1",
    ] {
        let wrong = post(&site, &format!("mail/{rest}"), json!({})).await;
        assert_eq!(wrong.status, 400, "{rest}");
    }
    assert_eq!(counts(&site).await, [0, 0, 6, 3, 0], "nothing has changed");
    let none = post(&site, "mail/retry-failed?error=nothing", json!({})).await;
    assert_eq!(none.json()["message"], "0 jobs of mail retried");
    let one = post(&site, "mail/retry-failed?error=WHY+1&limit=1", json!({})).await;
    assert_eq!(one.json()["message"], "1 job of mail retried");
    assert_eq!(ask(&site, "mail/j1").await["state"], "waiting");
    // Five are left: one each 100 ms, those of both lists in one row.
    let rest = post(&site, "mail/retry-failed?rate=10", json!({})).await;
    assert_eq!(rest.json()["retried"], 5);
    let mut begins = Vec::new();
    for id in ["j0", "j2", "j3", "j4", "j5"] {
        begins.push(
            ask(&site, &format!("mail/{id}")).await["runAt"]
                .as_i64()
                .unwrap(),
        );
    }
    let first = begins[0];
    let begins: Vec<i64> = begins.iter().map(|at| at - first).collect();
    assert_eq!(begins, [0, 100, 200, 300, 400]);
}

#[tokio::test]
async fn alerts_are_those_that_the_metrics_tell_whoever_saw_them_begin() {
    let site = fixture::site();
    for (threshold, dead, is_told) in [(0, 0, false), (0, 1, true), (2, 1, false), (1, 1, true)] {
        let config = json!({"deadLetter": {"alertThreshold": threshold}}).to_string();
        let put = send_with(&site, "PUT", &path("mail/config"), config).await;
        assert_eq!(put.status, 200);
        if dead > 0 {
            let known = send(&site, "GET", &path("mail/one"), &[]).await;
            if known.status == 404 {
                kill(&site, "one", "no").await;
            }
        }
        let metrics = ask(&site, "metrics?queue=mail").await;
        assert_eq!(metrics["deadLetterAlert"], is_told, "{threshold} {dead}");
        let alerts = ask(&site, "alerts").await;
        assert_eq!(alerts.as_array().unwrap().len(), usize::from(is_told));
    }
    let alerts = ask(&site, "alerts").await;
    assert_eq!(alerts[0]["message"], "1 dead letter; told from 1 on");
}

#[tokio::test]
async fn a_flow_that_is_sent_again_is_answered_as_a_job_is() {
    let site = fixture::site();
    let flow = |data: i64| {
        json!({"name": "top", "data": data, "opts": {"jobId": "top"}, "children": [
            {"name": "a", "opts": {"jobId": "a"}}, {"name": "b", "queueName": "other"}]})
    };
    let first = post(&site, "mail", flow(1)).await;
    assert_eq!(first.status, 201, "{}", first.text());
    let again = post(&site, "mail", flow(1)).await;
    assert_eq!(again.status, 200, "{}", again.text());
    let (first, again) = (first.json(), again.json());
    for n in 0..3 {
        assert_eq!(first["jobs"][n]["id"], again["jobs"][n]["id"]);
        assert_eq!(again["jobs"][n]["added"], "same");
    }
    assert_eq!(ask(&site, "metrics?queue=other").await["waiting"], 1);
    assert_eq!(post(&site, "mail", flow(2)).await.status, 409);
    let mut shorter = flow(1);
    shorter["children"].as_array_mut().unwrap().pop();
    assert_eq!(post(&site, "mail", shorter).await.status, 409);
    let circle = json!({"name": "x", "opts": {"jobId": "x"}, "children": [
        {"name": "x", "opts": {"jobId": "x"}}]});
    let circle = post(&site, "mail", circle).await.json();
    assert!(
        circle["detail"].as_str().unwrap().contains("twice"),
        "{circle}"
    );
}

#[tokio::test]
async fn metrics_tell_percentiles_by_their_names() {
    let site = fixture::site();
    post(&site, "mail", json!({"name": "a", "opts": {"jobId": "a"}})).await;
    let metrics = ask(&site, "metrics?queue=mail").await;
    let all = [
        "processingTimeP50",
        "processingTimeP95",
        "processingTimeP99",
    ];
    let all = all
        .iter()
        .chain(&["waitTimeP50", "waitTimeP95", "waitTimeP99"]);
    for name in all.clone() {
        assert_eq!(metrics.get(*name), Some(&Value::Null), "{name}");
    }
    let claimed = post(&site, "mail/claim", json!({})).await.json();
    let token = &claimed["items"][0]["token"];
    post(&site, "mail/a/complete", json!({"token": token})).await;
    let metrics = ask(&site, "metrics?queue=mail").await;
    for name in all {
        assert!(metrics[*name].is_number(), "{name}: {metrics}");
    }
}

#[tokio::test]
async fn a_listener_hears_of_progress_failures_and_ends() {
    let site = fixture::site();
    let kept = Arc::clone(&site);
    network::serving(site, async |address, _| {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let request = hyper::Request::get(path("bar/events"))
            .header("host", "localhost")
            .body(String::new())
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        let mut body = response.into_body();
        let mut heard = String::new();
        // It listens when its hello is there.
        while !heard_hello(&mut body).await {}
        let mut hear = async |until: &str| {
            while !heard.contains(until) {
                let frame = http_body_util::BodyExt::frame(&mut body).await;
                let bytes = frame.unwrap().unwrap().into_data().unwrap();
                heard.push_str(std::str::from_utf8(&bytes).unwrap());
            }
            let (_, data) = heard.split_once(until).unwrap();
            let data = data.lines().nth(1).unwrap().strip_prefix("data: ").unwrap();
            serde_json::from_str::<Value>(data).unwrap()
        };
        let job = json!({"name": "b", "opts": {"jobId": "b", "attempts": 1}});
        post(&kept, "bar", job).await;
        let held = post(&kept, "bar/claim", json!({"max": 2})).await.json();
        let token = |n: usize| held["items"][n]["token"].clone();
        let note = json!({"token": token(0), "progress": 5});
        post(&kept, "bar/job-1/progress", note).await;
        post(&kept, "bar/job-1/complete", json!({"token": token(0)})).await;
        let why = json!({"token": token(1), "error": {"message": "no\nway"}});
        post(&kept, "bar/b/fail", why).await;
        assert_eq!(hear("event: progress").await["jobId"], "job-1");
        assert_eq!(hear("event: completed").await["jobId"], "job-1");
        let failed = hear("event: failed").await;
        assert_eq!(
            (&failed["jobId"], &failed["failedReason"]),
            (&json!("b"), &json!("no\nway"))
        );
    })
    .await;
}

async fn heard_hello(body: &mut hyper::body::Incoming) -> bool {
    let frame = http_body_util::BodyExt::frame(body).await;
    let bytes = frame.unwrap().unwrap().into_data().unwrap();
    bytes.starts_with(b": listening")
}

#[tokio::test]
async fn a_schedule_that_is_made_again_runs_by_hand_as_a_new_job() {
    let site = fixture::site();
    let make = json!({"name": "s", "every": 60_000, "jobType": "mail"});
    let mut ids = Vec::new();
    for data in [json!(1), json!(1), json!(2)] {
        let mut make = make.clone();
        make["data"] = data;
        assert_eq!(post(&site, "schedule", make).await.status, 200);
        for _ in 0..2 {
            let run = post(&site, "schedules/s/run", json!({})).await;
            assert_eq!(run.status, 201, "{}", run.text());
            ids.push(run.json()["id"].clone());
        }
        send(&site, "DELETE", &path("schedules/s"), &[]).await;
    }
    assert_eq!(counts(&site).await[0], 6, "{ids:?}");
}
