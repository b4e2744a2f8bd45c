//! Queues over HTTP: sending, working, looking after; and the same from the command line.

use std::sync::Arc;

use plimsoll::http::Site;
use serde_json::{Value, json};

use crate::command::plimsoll;
use crate::{BASE, Reply, fixture, get, network, send, send_body, send_with};

pub(crate) fn path(rest: &str) -> String {
    format!("{BASE}/jobs/{rest}")
}

pub(crate) async fn post(site: &Arc<Site>, rest: &str, body: Value) -> Reply {
    send_body(site, &path(rest), body.to_string()).await
}

pub(crate) async fn ask(site: &Arc<Site>, rest: &str) -> Value {
    send(site, "GET", &path(rest), &[]).await.json()
}

/// Adds a job that is tried once, and fails it.
pub(crate) async fn kill(site: &Arc<Site>, id: &str, why: &str) {
    let job = json!({"name": "j", "data": {"of": id}, "opts": {"jobId": id, "attempts": 1}});
    assert_eq!(post(site, "mail", job).await.status, 201);
    let claimed = post(site, "mail/claim", json!({"worker": "w"}))
        .await
        .json();
    let token = &claimed["items"][0]["token"];
    let error = json!({"name": "E", "message": why, "stack": "at a"});
    let told = json!({"token": token, "error": error});
    let failed = post(site, &format!("mail/{id}/fail"), told).await;
    assert_eq!(failed.json()["state"], "dead");
}

#[tokio::test]
async fn a_job_goes_from_its_sender_to_its_worker_and_back() {
    let site = fixture::site();
    let job = json!({"name": "send", "data": {"to": 7}, "opts": {"jobId": "a/🦀", "priority": 3}});
    let added = post(&site, "mail", job.clone()).await;
    assert_eq!(added.status, 201, "{}", added.text());
    assert_eq!(
        added.json(),
        json!({"id": "a/🦀", "state": "waiting", "added": "new"})
    );
    let again = post(&site, "mail", job).await;
    assert_eq!(
        (again.status.as_u16(), &again.json()["added"]),
        (200, &json!("same"))
    );
    let other = post(
        &site,
        "mail",
        json!({"name": "x", "opts": {"jobId": "a/🦀"}}),
    )
    .await;
    assert_eq!(
        (other.status.as_u16(), &other.json()["code"]),
        (409, &json!("conflicting-job"))
    );
    let claim = json!({"max": 5, "waitMs": 0, "leaseMs": 60_000, "worker": "w1"});
    let claimed = post(&site, "mail/claim", claim).await.json();
    let (job, token) = (&claimed["items"][0]["job"], &claimed["items"][0]["token"]);
    assert_eq!(
        (&job["data"], &job["attemptsStarted"]),
        (&json!({"to": 7}), &json!(1))
    );
    let id = "mail/a%2F%F0%9F%A6%80";
    let beat = post(&site, &format!("{id}/heartbeat"), json!({"token": token})).await;
    assert_eq!(beat.json()["cancelling"], false, "{}", beat.text());
    let note = json!({"token": token, "progress": {"done": 1}, "text": "half"});
    assert_eq!(
        post(&site, &format!("{id}/progress"), note).await.status,
        200
    );
    let stale = post(&site, &format!("{id}/complete"), json!({"token": "00"})).await;
    assert_eq!(
        (stale.status.as_u16(), &stale.json()["code"]),
        (409, &json!("lease-lost"))
    );
    let told = json!({"token": token, "returnvalue": [1]});
    let done = post(&site, &format!("{id}/complete"), told).await;
    assert_eq!(done.json()["state"], "completed");
    let shown = ask(&site, id).await;
    assert_eq!(
        (
            &shown["returnvalue"],
            &shown["progress"],
            &shown["logs"][0]["text"]
        ),
        (&json!([1]), &json!({"done": 1}), &json!("half"))
    );
}

#[tokio::test]
async fn metrics_count_what_was_done_however_little_of_it_is_kept() {
    let site = fixture::site();
    let opts = json!({"removeOnComplete": true});
    post(&site, "mail", json!({"name": "send", "opts": opts})).await;
    let claimed = post(&site, "mail/claim", json!({})).await.json();
    let (id, token) = (
        &claimed["items"][0]["job"]["id"],
        &claimed["items"][0]["token"],
    );
    let path = format!("mail/{}/complete", id.as_str().unwrap());
    post(&site, &path, json!({"token": token})).await;
    let metrics = ask(&site, "metrics?queue=mail").await;
    assert_eq!(
        (&metrics["completed"], &metrics["waiting"]),
        (&json!(1), &json!(0))
    );
    assert!(metrics["throughput"].as_f64().unwrap() > 0.0);
    assert_eq!(
        metrics["avgProcessingTime"], 0.0,
        "the clock of the test stands still"
    );
    let all = ask(&site, "metrics").await;
    let names: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|queue| &queue["queueName"])
        .collect();
    assert_eq!(names, ["bar", "mail"]);
}

#[tokio::test]
async fn a_bulk_answers_for_each_job() {
    let site = fixture::site();
    let jobs = json!([{"name": "a"}, {"name": "b", "opts": {"jobId": "7"}}, {"name": "c"}]);
    let added = post(&site, "mail", jobs).await;
    assert_eq!(added.status, 207);
    let each = added.json();
    assert_eq!(
        (&each[0]["added"], &each[2]["state"]),
        (&json!("new"), &json!("waiting"))
    );
    assert_eq!(
        (&each[1]["error"]["status"], &each[1]["error"]["code"]),
        (&json!(400), &json!("invalid-job"))
    );
    let page = ask(&site, "mail?limit=1").await;
    assert_eq!(page["items"][0]["name"], "a");
    let cursor = page["nextCursor"].as_str().unwrap();
    let rest = ask(&site, &format!("mail?limit=9&cursor={cursor}")).await;
    assert_eq!(
        (&rest["items"][0]["name"], &rest["nextCursor"]),
        (&json!("c"), &Value::Null)
    );
    let flow = json!({"name": "top", "children": [{"name": "leaf", "queueName": "other"}]});
    let added = post(&site, "mail", flow).await;
    assert_eq!(added.status, 201);
    let jobs = added.json();
    assert_eq!(jobs["jobs"][0]["state"], "waiting-children");
    assert_eq!(jobs["jobs"][1]["queueName"], "other");
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_its_status_and_changes_nothing() {
    let site = fixture::site();
    let large = "y".repeat(300 << 10);
    for (rest, body, status, code) in [
        ("metrics", json!({"name": "a"}), 405, "method-not-allowed"),
        ("dead-letter", json!({"name": "a"}), 400, "invalid-job"),
        ("a%20b", json!({"name": "a"}), 400, "invalid-job"),
        (
            "mail",
            json!({"name": "a", "opts": {"lifo": true}}),
            400,
            "bad-body",
        ),
        (
            "mail",
            json!({"name": "a", "opts": {"priority": 2_097_152}}),
            400,
            "invalid-job",
        ),
        (
            "mail",
            json!({"name": "a", "data": large}),
            413,
            "too-large",
        ),
        ("none/claim", json!({}), 404, "unknown-queue"),
        ("none/pause", json!({}), 404, "unknown-queue"),
        ("bar/none/retry", json!({}), 404, "unknown-job"),
        ("bar/job-1/promote", json!({}), 409, "other-state"),
        ("bar/claim", json!({"max": 5000}), 413, "too-large"),
        ("bar/claim", json!({"leaseMs": 1}), 400, "invalid-parameter"),
    ] {
        let reply = post(&site, rest, body).await;
        assert_eq!(reply.status.as_u16(), status, "{rest}: {}", reply.text());
        assert_eq!(reply.json()["code"], code, "{rest}");
    }
    assert_eq!(
        ask(&site, "metrics").await.as_array().unwrap().len(),
        1,
        "what is refused makes no queue"
    );
    for (origin, status) in [
        ("http://evil.example", 403),
        ("null", 403),
        ("http://localhost:3002", 200),
    ] {
        let headers = [("origin", origin)];
        let reply = send(&site, "POST", &path("bar/pause"), &headers).await;
        assert_eq!(reply.status.as_u16(), status, "{origin}: {}", reply.text());
    }
    let huge = "z".repeat(9 << 20);
    assert_eq!(
        post(&site, "mail", json!([{"name": huge}])).await.status,
        413
    );
    assert_eq!(get(&path("none")).await.status, 404);
    assert_eq!(get(&path("metrics?queue=none")).await.status, 404);
}

#[tokio::test]
async fn dead_letters_are_looked_through_replayed_and_written_out() {
    let site = fixture::site();
    for (id, why) in [
        ("one", "timed out"),
        ("two", "refused"),
        ("three", "timed out too"),
    ] {
        kill(&site, id, why).await;
    }
    let all = ask(&site, "mail/dead-letter").await;
    assert_eq!(all.as_array().unwrap().len(), 3, "a bare array");
    assert_eq!(all[0]["failedReason"], "timed out too");
    assert_eq!(all[0]["stacktrace"], json!(["at a"]));
    let page = send(&site, "GET", &path("mail/dead-letter?limit=2"), &[]).await;
    assert!(
        page.header("link").contains("cursor="),
        "{}",
        page.header("link")
    );
    let export = send(
        &site,
        "GET",
        &path("mail/dead-letter/export?error=timed"),
        &[],
    )
    .await;
    assert_eq!(export.header("content-type"), "application/x-ndjson");
    assert_eq!(export.text().lines().count(), 2);
    let replayed = post(
        &site,
        "mail/dead-letter/replay?error=timed&rate=10",
        json!({}),
    )
    .await;
    assert_eq!(replayed.json()["replayed"], 2, "{}", replayed.text());
    let metrics = ask(&site, "metrics?queue=mail").await;
    assert_eq!(
        (&metrics["waiting"], &metrics["delayed"], &metrics["failed"]),
        (&json!(1), &json!(1), &json!(1)),
        "the second comes up 100 ms later"
    );
    let retried = post(&site, "mail/retry-failed", json!({})).await;
    assert_eq!(retried.json()["retried"], 1);
    assert_eq!(ask(&site, "mail/dead-letter").await, json!([]));
}

#[tokio::test]
async fn operators_set_pause_drain_and_remove() {
    let site = fixture::site();
    let config = json!({"name": "mail", "concurrency": 5, "priority": 1, "attempts": 3,
        "backoff": {"type": "exponential", "delay": 1000, "maxDelay": 60000}, "timeout": 30000});
    let put = send_with(&site, "PUT", &path("mail/config"), config.to_string()).await;
    assert_eq!(put.status, 200, "{}", put.text());
    let shown = ask(&site, "mail/config").await;
    assert_eq!(
        (&shown["timeout"], &shown["deadLetter"]["name"]),
        (&json!(30000), &json!("mail-dlq"))
    );
    let wrong = send_with(
        &site,
        "PUT",
        &path("mail/config"),
        json!({"name": "x"}).to_string(),
    )
    .await;
    assert_eq!(wrong.status, 400);
    let jobs: Vec<Value> = (0..7)
        .map(|n| json!({"name": "a", "opts": {"jobId": format!("j{n}")}}))
        .collect();
    post(&site, "mail", json!(jobs)).await;
    assert_eq!(
        post(&site, "mail/pause", json!({})).await.json()["success"],
        true
    );
    assert_eq!(
        post(&site, "mail/claim", json!({})).await.json()["items"],
        json!([])
    );
    post(&site, "mail/resume", json!({})).await;
    let held = post(&site, "mail/claim", json!({"max": 9})).await.json();
    assert_eq!(
        held["items"].as_array().unwrap().len(),
        5,
        "the queue's concurrency"
    );
    assert_eq!(
        post(&site, "mail/j6/cancel", json!({})).await.json()["state"],
        "cancelled"
    );
    let gone = send(&site, "DELETE", &path("mail/j6"), &[]).await;
    assert_eq!(gone.json()["success"], true);
    assert_eq!(send(&site, "GET", &path("mail/j6"), &[]).await.status, 404);
    assert_eq!(
        post(&site, "mail/drain", json!({})).await.json()["removed"],
        1
    );
    assert_eq!(post(&site, "mail/obliterate", json!({})).await.status, 409);
    assert_eq!(
        post(&site, "mail/obliterate?force=true", json!({}))
            .await
            .json()["removed"],
        5
    );
    assert_eq!(get(&path("mail")).await.status, 404);
}

#[tokio::test]
async fn a_claim_waits_for_a_job_and_a_listener_hears_of_it() {
    network::serving(fixture::site(), async |address, socket| {
        let folder = socket.to_owned();
        let listener = tokio::spawn(async move {
            let mut watch = tokio::process::Command::new(env!("CARGO_BIN_EXE_plimsoll"))
                .args(["jobs", "watch", "bar", "--data-dir"])
                .arg(folder.parent().unwrap())
                .env_clear()
                .env("HOME", "/nowhere")
                .stdout(std::process::Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            let out = watch.stdout.take().unwrap();
            let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(out));
            lines.next_line().await.unwrap().unwrap()
        });
        let drained = call(address, "bar/drain", json!({})).await;
        assert_eq!(drained["removed"], 1);
        let waiting = tokio::spawn(async move {
            call(
                address,
                "bar/claim",
                json!({"waitMs": 20_000, "worker": "w"}),
            )
            .await
        });
        // Whenever the other two are there: the claim takes the first, the listener hears of any.
        let mut sent = 0;
        while !(waiting.is_finished() && listener.is_finished()) {
            call(address, "bar", json!({"name": "late"})).await;
            sent += 1;
            assert!(sent < 100_000, "nobody hears");
            tokio::task::yield_now().await;
        }
        let claimed = waiting.await.unwrap();
        assert_eq!(claimed["items"][0]["job"]["name"], "late");
        assert!(listener.await.unwrap().contains(" added "));
    })
    .await;
}

async fn call(address: std::net::SocketAddr, rest: &str, body: Value) -> Value {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::post(path(rest))
        .header("host", "localhost")
        .body(body.to_string())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let body = http_body_util::BodyExt::collect(response.into_body()).await;
    serde_json::from_slice(&body.unwrap().to_bytes()).unwrap()
}

#[tokio::test]
async fn the_command_line_sends_shows_and_mends() {
    let site = fixture::site();
    kill(&site, "letter", "timed out").await;
    network::serving(site, async |_, socket| {
        let run = async |arguments: &[&str]| {
            let all = [&["jobs"], arguments].concat();
            let (code, text) = plimsoll(socket, &all).await;
            assert_eq!(code, 0, "{arguments:?}: {text}");
            text
        };
        let add = [
            "add",
            "mail",
            "send",
            "--id",
            "o/7",
            "--delay",
            "5m",
            "--data",
            "{\"to\": 1}",
        ];
        assert_eq!(run(&add).await, "o/7 added, delayed\n");
        assert_eq!(run(&add).await, "o/7 was there already, delayed\n");
        assert!(
            run(&["list", "mail", "--state", "delayed"])
                .await
                .contains("o/7")
        );
        assert!(
            run(&["show", "mail", "o/7"])
                .await
                .contains("data       {\"to\":1}")
        );
        assert!(
            run(&["dlq", "mail", "--error", "TIMED"])
                .await
                .contains("timed out")
        );
        assert_eq!(
            run(&["replay", "mail", "--rate", "5"]).await,
            "1 dead letter of mail replayed\n"
        );
        assert_eq!(
            run(&["cancel", "mail", "letter"]).await,
            "letter is cancelled\n"
        );
        assert_eq!(
            run(&["retry", "mail", "letter"]).await,
            "letter is waiting\n"
        );
        assert_eq!(run(&["pause", "mail"]).await, "Queue mail paused\n");
        assert!(run(&["stats"]).await.contains("mail (paused)"));
        let json = run(&["stats", "mail", "--format", "json"]).await;
        assert_eq!(
            serde_json::from_str::<Value>(&json).unwrap()["paused"],
            true
        );
        assert_eq!(run(&["resume", "mail"]).await, "Queue mail resumed\n");
        assert_eq!(
            run(&["drain", "mail", "--delayed"]).await,
            "2 jobs removed from mail\n"
        );
        assert_eq!(run(&["retry", "mail"]).await, "0 jobs of mail retried\n");
        let (code, text) = plimsoll(socket, &["jobs", "show", "none", "x"]).await;
        assert_eq!(code, 1);
        assert!(text.contains("there is no queue \"none\""), "{text}");
    })
    .await;
}

#[tokio::test]
async fn a_schedule_is_made_by_the_specifications_names_looked_at_and_removed() {
    let site = fixture::site();
    let asked = json!({"name": "weekly report", "pattern": "0 9 * * MON", "jobType": "reports",
        "data": {"to": "all"}, "timezone": "europe/berlin", "enabled": true});
    let made = post(&site, "schedule", asked.clone()).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let made = made.json();
    assert_eq!(
        (&made["success"], &made["message"], &made["state"]),
        (&json!(true), &json!("Job scheduled"), &json!("active"))
    );
    let metrics = ask(&site, "metrics?queue=reports").await;
    assert_eq!(metrics["waiting"], 0, "its queue is made");
    let again = post(&site, "schedule", asked).await;
    assert_eq!(again.status, 200);
    let all = ask(&site, "schedules").await;
    let names: Vec<_> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(names, ["nightly", "weekly report"]);
    let path = "schedules/weekly%20report";
    let shown = ask(&site, path).await;
    assert_eq!(
        (
            &shown["timezone"],
            &shown["data"],
            &shown["catchUp"],
            &shown["last"]
        ),
        (
            &json!("Europe/Berlin"),
            &json!({"to": "all"}),
            &json!("one"),
            &Value::Null
        )
    );
    assert!(shown["nextLocal"].as_str().unwrap().contains("T09:00:00+"));
    let ticks = ask(&site, &format!("{path}/next?n=3")).await;
    assert_eq!(ticks.as_array().unwrap().len(), 3);
    assert_eq!(ticks[0]["tick"], shown["next"]);
    for (verb, state) in [("pause", "paused"), ("resume", "active")] {
        let done = post(&site, &format!("{path}/{verb}"), json!({})).await;
        assert_eq!(done.json()["success"], true, "{}", done.text());
        assert_eq!(ask(&site, path).await["state"], state);
    }
    let run = post(&site, &format!("{path}/run"), json!({})).await;
    assert_eq!(run.status, 201, "{}", run.text());
    assert_eq!(run.json()["queueName"], "reports");
    let job = ask(&site, "reports").await["items"][0].clone();
    assert_eq!(
        (&job["id"], &job["name"]),
        (&run.json()["id"], &json!("weekly report"))
    );
    let last = ask(&site, path).await["last"].clone();
    assert_eq!(
        (&last["state"], &last["byHand"]),
        (&json!("waiting"), &json!(true))
    );
    let gone = send(&site, "DELETE", &crate::jobs::path(path), &[]).await;
    assert_eq!(gone.json()["success"], true);
    let unknown = send(&site, "GET", &crate::jobs::path(path), &[]).await;
    assert_eq!(
        (unknown.status.as_u16(), &unknown.json()["code"]),
        (404, &json!("unknown-schedule"))
    );
}

#[tokio::test]
async fn a_schedule_that_cannot_be_is_refused_with_its_field_and_text() {
    let site = fixture::site();
    for (fields, code, says) in [
        (
            json!({"pattern": "61 * * * *"}),
            "invalid-schedule",
            "its minute is \"61\"; write 0 to 59",
        ),
        (
            json!({"pattern": "* * * *"}),
            "invalid-schedule",
            "it has 4 fields",
        ),
        (
            json!({"pattern": "0 0 30 2 *"}),
            "invalid-schedule",
            "never fires",
        ),
        (
            json!({"pattern": "@daily", "timezone": "Amerika/New_York"}),
            "invalid-schedule",
            "did you mean America/New_York",
        ),
        (
            json!({"pattern": "@daily", "jobType": "metrics"}),
            "bad-body",
            "word of the API",
        ),
        (
            json!({"pattern": "@daily", "catchUp": "some"}),
            "bad-body",
            "all:N",
        ),
        (
            json!({"pattern": "@daily", "startAt": "soon"}),
            "bad-body",
            "soon",
        ),
        (
            json!({"pattern": "@daily", "colour": 1}),
            "bad-body",
            "colour",
        ),
        (json!({"every": 1}), "invalid-job", "every is 1"),
        (json!({}), "invalid-job", "one of the two"),
    ] {
        let mut asked = json!({"name": "s", "jobType": "mail"});
        for (name, value) in fields.as_object().unwrap() {
            asked[name] = value.clone();
        }
        let refused = post(&site, "schedule", asked).await;
        let told = refused.json();
        assert_eq!(
            (refused.status.as_u16(), &told["code"]),
            (400, &json!(code)),
            "{fields}: {told}"
        );
        assert!(told["detail"].as_str().unwrap().contains(says), "{told}");
        assert_eq!(told["error"], "Failed to schedule the job");
    }
    for verb in ["pause", "resume", "run"] {
        let unknown = post(&site, &format!("schedules/none/{verb}"), json!({})).await;
        assert_eq!(unknown.status, 404);
    }
    let many = send(&site, "GET", &path("schedules/nightly/next?n=1001"), &[]).await;
    assert_eq!(many.json()["code"], "invalid-parameter");
    let made = send(&site, "GET", &path("schedule"), &[]).await;
    assert_eq!(made.status, 405, "{}", made.text());
}

#[tokio::test]
async fn schedules_are_looked_after_from_the_command_line() {
    network::serving(fixture::site(), async |_, socket| {
        let run = async |arguments: &[&str]| {
            let all = [&["schedules"], arguments].concat();
            plimsoll(socket, &all).await
        };
        let add = [
            "add",
            "report",
            "--queue",
            "mail",
            "--cron",
            "0 9 * * MON",
            "--zone",
            "Europe/Berlin",
            "--start",
            "2026-06-01",
            "--jitter",
            "5s",
        ];
        let (code, text) = run(&add).await;
        assert_eq!(code, 0, "{text}");
        assert!(text.starts_with("report scheduled, next 20"), "{text}");
        let (_, text) = run(&[
            "add", "beat", "--queue", "mail", "--every", "90s", "--paused",
        ])
        .await;
        assert_eq!(text, "beat scheduled, paused\n");
        let (_, text) = run(&["list"]).await;
        for shown in [
            "nightly",
            "0 9 * * MON",
            "every 90s",
            "paused",
            "09:00:00 +02:00",
        ] {
            assert!(text.contains(shown), "{shown}: {text}");
        }
        let (_, text) = run(&["next", "report", "-n", "2"]).await;
        assert!(
            text.contains("RUNS FROM") && text.lines().count() == 3,
            "{text}"
        );
        let (_, text) = run(&["run", "report"]).await;
        assert!(text.contains("as job schedule:report:run:1"), "{text}");
        let (_, text) = run(&["show", "report"]).await;
        assert!(
            text.contains("outcome    waiting") && text.contains("jitter     5s"),
            "{text}"
        );
        let (_, all) = run(&["list", "--format", "json"]).await;
        let (_, text) = run(&["rm", "report"]).await;
        assert_eq!(text, "Schedule report removed\n");
        let file = socket.parent().unwrap().join("all.json");
        std::fs::write(&file, all).unwrap();
        let (code, text) = run(&["add", "--from", file.to_str().unwrap()]).await;
        assert_eq!((code, text.as_str()), (0, "3 schedules made\n"));
        let (_, text) = run(&["list"]).await;
        assert!(text.contains("0 9 * * MON"), "{text}");
        let (code, text) = run(&["add", "x", "--queue", "mail", "--cron", "61 * * * *"]).await;
        assert!(
            code == 1 && text.contains("minute is \"61\""),
            "{code}: {text}"
        );
    })
    .await;
}

#[tokio::test]
async fn ticks_of_a_pattern_are_told_without_a_server() {
    let nowhere = std::path::Path::new("/nowhere/socket");
    let next = [
        "schedules",
        "next",
        "30 2 * * *",
        "--zone",
        "America/New_York",
        "-n",
        "2",
        "--after",
        "2026-03-07T12:00:00Z",
    ];
    let (code, text) = plimsoll(nowhere, &next).await;
    assert_eq!(code, 0, "{text}");
    assert_eq!(
        text,
        "ON THE CLOCK                UTC\n\
         2026-03-08 03:00:00 -04:00  2026-03-08 07:00:00\n\
         2026-03-09 02:30:00 -04:00  2026-03-09 06:30:00\n"
    );
    let (code, text) = plimsoll(
        nowhere,
        &["schedules", "next", "@daily", "--format", "json"],
    )
    .await;
    let ticks: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, ticks.as_array().unwrap().len()), (0, 10));
    let (code, text) = plimsoll(nowhere, &["schedules", "next", "0 0 30 2 *"]).await;
    assert!(code == 1 && text.contains("never fires"), "{code}: {text}");
}
