//! Webhooks: signed deliveries, and targets that hang, fail, redirect or must not be reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::support::http::{self, Response};
use crate::support::plimsoll::{Serve, free_address};

const JOBS: &str = "/api/v1/performance/jobs";
const SECRET: &str = "a secret of the tests";
const NEAR: [&str; 2] = ["--set", "jobs.webhook_hosts=127.0.0.1"];

/// A target that answers the nth request as it is told; `None` never answers.
struct Target {
    url: String,
    asked: Arc<AtomicUsize>,
}

impl Target {
    async fn start(answer: impl Fn(usize) -> Option<String> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let (count, answer) = (Arc::clone(&asked), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let nth = count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve_one(stream, answer(nth)));
            }
        });
        Self { url, asked }
    }

    async fn wait_until_asked(&self, times: usize) {
        let asked = async {
            while self.asked() < times {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), asked)
            .await
            .unwrap();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn serve_one(stream: TcpStream, answer: Option<String>) {
    let mut stream = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while stream.read_line(&mut line).await.is_ok_and(|read| read > 2) {
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    if stream.read_exact(&mut body).await.is_err() {
        return;
    }
    let Some(answer) = answer else {
        return std::future::pending().await;
    };
    let _ = stream.write_all(answer.as_bytes()).await;
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "answers come as an option: one may never come"
)]
fn status(line: &str) -> Option<String> {
    Some(format!(
        "HTTP/1.1 {line}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    ))
}

async fn put(serve: &Serve, config: Value) -> Response {
    let path = format!("{JOBS}/mail/config");
    let headers = [("content-type", "application/json")];
    let body = config.to_string();
    let sent = http::send(serve.address, hyper::Method::PUT, &path, &headers, body).await;
    sent.unwrap()
}

fn config(url: &str) -> Value {
    let hook = json!({"url": url, "secret": SECRET, "timeout": 300, "concurrency": 1});
    json!({"attempts": 1, "backoff": 1, "webhook": hook})
}

async fn add(serve: &Serve, id: &str) {
    let job = json!({"name": "sum", "data": {"numbers": [40, 2]}, "opts": {"jobId": id}});
    let sent = http::post(serve.address, &format!("{JOBS}/mail"), &job.to_string()).await;
    assert_eq!(sent.unwrap().status, 201);
}

async fn once(serve: &mut Serve, id: &str, state: &str) -> Value {
    let path = format!("{JOBS}/mail/{id}");
    let stands = |response: &Response| response.json()["state"] == state;
    serve.wait_for(&path, stands).await.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_verifies_what_is_sent_and_answers_with_the_result() {
    let folder = tempfile::tempdir().unwrap();
    let mut serve = Serve::start(folder.path(), &NEAR).await;
    let address = free_address();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/examples/webhook.py");
    let target = tokio::process::Command::new("python3")
        .args([script, &address.port().to_string()])
        .env("PLIMSOLL_WEBHOOK_SECRET", SECRET)
        .kill_on_drop(true)
        .spawn();
    if target.is_err() && !crate::in_ci() {
        return crate::support::skipped("python3 is not installed");
    }
    let _target = target.unwrap();
    let retried = json!({"attempts": 50, "backoff": 50});
    let mut config = config(&format!("http://{address}/hook"));
    config
        .as_object_mut()
        .unwrap()
        .extend(retried.as_object().unwrap().clone());
    config["webhook"]["timeout"] = json!(10_000);
    assert_eq!(put(&serve, config.clone()).await.status, 200);
    // The target may not listen yet: then it is tried again.
    add(&serve, "a").await;
    let done = once(&mut serve, "a", "completed").await;
    assert_eq!(done["returnvalue"], json!({"sum": 42}));
    // With another secret the target refuses, and that is not tried again.
    config["webhook"]["secret"] = json!("another secret than that");
    assert_eq!(put(&serve, config).await.status, 200);
    add(&serve, "b").await;
    let dead = once(&mut serve, "b", "dead").await;
    assert_eq!(
        (&dead["errors"][0]["name"], &dead["attemptsMade"]),
        (&json!("Http401"), &json!(1))
    );
    assert_eq!(serve.terminate().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_hangs_is_left_after_its_time_and_one_that_fails_has_a_rest() {
    let folder = tempfile::tempdir().unwrap();
    let mut serve = Serve::start(folder.path(), &NEAR).await;
    let hangs = Target::start(|_| None).await;
    assert_eq!(put(&serve, config(&hangs.url)).await.status, 200);
    add(&serve, "hangs").await;
    let dead = once(&mut serve, "hangs", "dead").await;
    assert_eq!(dead["errors"][0]["message"], "no answer within 300 ms");

    // Five failures open the circuit: what comes then waits until the target answers again.
    let fails = Target::start(|nth| status(if nth < 5 { "500 Oops" } else { "204 Fine" })).await;
    assert_eq!(put(&serve, config(&fails.url)).await.status, 200);
    for n in 0..8 {
        add(&serve, &format!("f{n}")).await;
    }
    for n in 0..5 {
        let dead = once(&mut serve, &format!("f{n}"), "dead").await;
        assert_eq!(dead["errors"][0]["name"], "Http500");
    }
    for n in 5..8 {
        let done = once(&mut serve, &format!("f{n}"), "completed").await;
        assert_eq!(done["attemptsMade"], 1, "it waited unharmed");
    }
    assert_eq!(fails.asked(), 8);

    let busy = Target::start(|nth| match nth {
        0 => Some("HTTP/1.1 503 Busy\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n".to_owned()),
        1 | 3 => status("410 Gone"),
        _ => status("200 OK"),
    })
    .await;
    let mut again = config(&busy.url);
    again["attempts"] = json!(3);
    assert_eq!(put(&serve, again.clone()).await.status, 200);
    add(&serve, "busy").await;
    let waits = once(&mut serve, "busy", "delayed").await;
    let wait = waits["runAt"].as_i64().unwrap() - waits["processedOn"].as_i64().unwrap();
    assert!(wait >= 1_000, "Retry-After counts: {wait}");
    // Gone: the job goes back, and waits until the queue is set anew.
    busy.wait_until_asked(2).await;
    let back = once(&mut serve, "busy", "waiting").await;
    assert_eq!(back["attemptsMade"], 1, "{back}");
    again["webhook"]["timeout"] = json!(301);
    assert_eq!(put(&serve, again.clone()).await.status, 200);
    once(&mut serve, "busy", "completed").await;
    add(&serve, "gone").await;
    busy.wait_until_asked(4).await;
    once(&mut serve, "gone", "waiting").await;
    // The same settings once more set the queue anew, too.
    assert_eq!(put(&serve, again).await.status, 200);
    once(&mut serve, "gone", "completed").await;
    assert_eq!(serve.terminate().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_redirect_is_followed_and_nothing_near_is_reached_unless_it_may_be() {
    let folder = tempfile::tempdir().unwrap();
    let mut serve = Serve::start(folder.path(), &NEAR).await;
    let inner = Target::start(|_| status("200 OK")).await;
    let to = inner.url.clone();
    let redirects = Target::start(move |_| {
        Some(format!(
            "HTTP/1.1 307 Go\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"
        ))
    })
    .await;
    assert_eq!(put(&serve, config(&redirects.url)).await.status, 200);
    add(&serve, "r").await;
    let dead = once(&mut serve, "r", "dead").await;
    assert_eq!(dead["errors"][0]["name"], "Http307");
    assert_eq!((redirects.asked(), inner.asked()), (1, 0));

    for (url, why) in [
        ("http://169.254.169.254/latest", "private network"),
        ("https://10.0.0.1/", "private network"),
        ("https://[::ffff:127.0.0.1]/", "private network"),
        ("http://hooks.example/", "without TLS"),
        ("ftp://hooks.example/", "webhook.url"),
    ] {
        let refused = put(&serve, config(url)).await;
        assert!(
            refused.status == 400 && refused.text().contains(why),
            "{url}: {}",
            refused.text()
        );
    }
    // A name says where it leads only when it is resolved.
    let port = free_address().port();
    let by_name = config(&format!("https://localhost:{port}/"));
    assert_eq!(put(&serve, by_name).await.status, 200);
    add(&serve, "n").await;
    let dead = once(&mut serve, "n", "dead").await;
    let said = dead["errors"][0]["message"].as_str().unwrap();
    assert!(
        said.contains("localhost") && said.contains("jobs.webhook_hosts"),
        "{said}"
    );

    let path = format!("{JOBS}/mail/config");
    let shown = serve.get(&path).await;
    assert!(!shown.text().contains(SECRET), "{}", shown.text());
    assert_eq!(shown.json()["webhook"]["secret"], "********");
    let mut back = shown.json();
    back["webhook"]["url"] = json!(inner.url);
    assert_eq!(put(&serve, back).await.status, 200);
    add(&serve, "kept").await;
    once(&mut serve, "kept", "completed").await;
    assert!(!serve.log().contains(SECRET));
    tokio::time::timeout(Duration::from_secs(30), serve.terminate())
        .await
        .unwrap();
}
