//! Whole runs against servers on loopback that stall, refuse, break off and hang.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::*;

pub(super) const ONE: &str = "
name = \"one\"
[[stage]]
name = \"only\"
duration_s = 1
rate = 100
[[endpoint]]
path = \"/\"
weight = 100
";

pub(super) fn plan(url: &str, scenario: &str) -> Plan {
    let (origin, base) = Origin::of_url(url).unwrap();
    Plan {
        id: "test".to_owned(),
        scenario: read("test.toml", scenario).unwrap(),
        rate_factor: 1.0,
        time_factor: 1.0,
        origin,
        base,
        headers: Vec::new(),
        thresholds: Thresholds::default(),
    }
}

/// What a server does with a request, by its path and the time since the first request.
type Does = fn(&str, Duration) -> Act;

enum Act {
    Answer(u16),
    /// Answers at this instant after the first request.
    At(Duration),
    /// Answers, says that it closes, and closes.
    Close,
    BreakOff,
    Hang,
}

struct Server {
    address: SocketAddr,
    /// Requests that came.
    asked: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start(does: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicU64::new(0));
        let (count, start) = (Arc::clone(&asked), Arc::new(OnceLock::new()));
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(talk(stream, does, Arc::clone(&start), Arc::clone(&count)));
            }
        });
        Self {
            address,
            asked,
            task,
        }
    }

    fn plan(&self, scenario: &str) -> Plan {
        plan(&format!("http://{}", self.address), scenario)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn talk(
    mut stream: TcpStream,
    does: Does,
    start: Arc<OnceLock<Instant>>,
    count: Arc<AtomicU64>,
) {
    let mut seen = Vec::new();
    loop {
        let mut buffer = [0; 2_048];
        let Ok(read @ 1..) = stream.read(&mut buffer).await else {
            return;
        };
        seen.extend_from_slice(&buffer[..read]);
        while let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(seen.drain(..end + 4).collect()).unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            let path = head.split(' ').nth(1).unwrap();
            let start = *start.get_or_init(Instant::now);
            let (status, is_last) = match does(path, start.elapsed()) {
                Act::Answer(status) => (status, false),
                Act::At(at) => {
                    tokio::time::sleep_until(start + at).await;
                    (200, false)
                }
                Act::Close => (200, true),
                Act::BreakOff => return,
                Act::Hang => std::future::pending().await,
            };
            let last = if is_last { "connection: close\r\n" } else { "" };
            let answer = format!("HTTP/1.1 {status} X\r\n{last}content-length: 2\r\n\r\nok");
            if stream.write_all(answer.as_bytes()).await.is_err() || is_last {
                return;
            }
        }
    }
}

async fn run_plain(plan: Plan) -> LoadTestResults {
    run(plan, std::future::pending(), |_| ()).await.unwrap()
}

fn scenario(seconds: f64, rate: f64, more: &str) -> String {
    format!(
        "name = \"s\"\n{more}\n[[stage]]\nname = \"a\"\nduration_s = {seconds}\nrate = {rate}\n\
         [[endpoint]]\npath = \"/\"\nweight = 100\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_arrival_is_sent_once_and_counted_in_its_stage_and_endpoint() {
    let server = Server::start(|_, _| Act::Answer(200)).await;
    let two = "
name = \"two\"
[[stage]]
name = \"up\"
duration_s = 0.5
from = 0
to = 400
[[stage]]
name = \"hold\"
duration_s = 0.5
rate = 200
[[endpoint]]
path = \"/a\"
weight = 80
[[endpoint]]
method = \"POST\"
path = \"/b\"
weight = 20
";
    let found = run_plain(server.plan(two)).await;
    assert_eq!((found.total_requests, found.failed_requests), (200, 0));
    assert_eq!(found.planned_requests, 200);
    // One more came: the look before the load, at what changes nothing.
    assert_eq!(server.asked.load(Ordering::Relaxed), 201);
    let requests = |parts: &[crate::model::load::Part]| -> Vec<u64> {
        parts.iter().map(|part| part.requests).collect()
    };
    assert_eq!(requests(&found.stages), [100, 100]);
    assert_eq!(requests(&found.endpoints).iter().sum::<u64>(), 200);
    assert_eq!(found.endpoints[1].name, "POST /b");
    assert_eq!(found.ended, Ended::Finished);
    assert!(found.duration >= 0.99, "{}", found.duration);
    assert!(found.passed && found.thresholds.is_empty());
    assert!(
        found
            .timeline
            .iter()
            .map(|point| point.requests)
            .sum::<u64>()
            == 200
    );
}

/// A server that answers at once, but nothing from 0.3 s to 0.8 s.
fn stalls(_: &str, elapsed: Duration) -> Act {
    let (from, to) = (Duration::from_millis(300), Duration::from_millis(800));
    if elapsed >= from && elapsed < to {
        Act::At(to)
    } else {
        Act::Answer(200)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stalls_is_seen_from_the_intended_start_even_with_few_slots() {
    // A third of all arrivals fall into the stall; four slots see four of them wait.
    let server = Server::start(stalls).await;
    let text = scenario(1.5, 200.0, "max_in_flight = 4");
    let found = run_plain(server.plan(&text)).await;
    assert_eq!((found.total_requests, found.failed_requests), (300, 0));
    let (response, service) = (found.metrics.latency, found.service);
    let (true_p90, blind_p90) = (response.p90.unwrap(), service.p90.unwrap());
    assert!(true_p90 > 150.0, "{response:?}");
    assert!(true_p90 > 5.0 * blind_p90, "{response:?} {service:?}");
    // Who waited for a slot is counted, and told.
    assert!(found.waited_requests > 50, "{}", found.waited_requests);
    let bottleneck = &found.bottlenecks.last().unwrap().description;
    assert!(
        bottleneck.contains("waited because 4 requests"),
        "{bottleneck}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_are_counted_by_kind() {
    let server = Server::start(|path, _| match path {
        "/missing" => Act::Answer(404),
        "/broken" => Act::Answer(503),
        "/off" => Act::BreakOff,
        "/hang" => Act::Hang,
        _ => Act::Answer(200),
    })
    .await;
    let mut text = "name = \"s\"\ntimeout_ms = 100\n[[stage]]\nname = \"a\"\nduration_s = 0.5\n\
                    rate = 200\n[abort]\nerror_ratio = 1\n"
        .to_owned();
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/missing"),
        ("GET", "/broken"),
        ("POST", "/off"),
        ("POST", "/hang"),
    ] {
        let _ = write!(
            text,
            "[[endpoint]]\nmethod = \"{method}\"\npath = \"{path}\"\nweight = 20\n"
        );
    }
    let found = run_plain(server.plan(&text)).await;
    let count = |index: usize| found.endpoints[index].requests;
    let of = |kind: &str| found.metrics.errors.by_type.get(kind).copied();
    assert_eq!(of("4xx"), Some(count(1)));
    assert_eq!(of("5xx"), Some(count(2)));
    assert_eq!(of("reset"), Some(count(3)));
    assert_eq!(of("timeout"), Some(count(4)));
    assert_eq!(found.total_requests, 100);
    assert_eq!(found.successful_requests, count(0));
    assert!(
        found
            .notes
            .iter()
            .any(|note| note.contains("GET /missing answered 404"))
    );
    assert!(found.endpoints[4].latency.min.unwrap() >= 100.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_the_server_closes_between_requests_is_no_error() {
    let server = Server::start(|_, _| Act::Close).await;
    let found = run_plain(server.plan(&scenario(0.5, 100.0, ""))).await;
    assert_eq!((found.total_requests, found.failed_requests), (50, 0));
    assert!(found.generator.connections >= 50, "{:?}", found.generator);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_in_the_middle_ends_the_run_with_what_was_measured() {
    let server = Server::start(|_, elapsed| {
        if elapsed < Duration::from_millis(700) {
            Act::Answer(200)
        } else {
            Act::BreakOff
        }
    })
    .await;
    let text = scenario(60.0, 100.0, "abort = { seconds = 2 }");
    let found = run_plain(server.plan(&text)).await;
    assert_eq!(found.ended, Ended::Aborted);
    assert!(!found.passed);
    let reason = found.reason.unwrap();
    assert!(reason.contains("more than 10 %"), "{reason}");
    assert!(found.duration < 20.0, "{}", found.duration);
    assert!(
        found.successful_requests >= 30,
        "{}",
        found.successful_requests
    );
    assert!(found.metrics.errors.by_type["reset"] > 50);
    assert!(found.total_requests < found.planned_requests);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_tells_what_was_measured_until_then() {
    let server = Server::start(|_, _| Act::Answer(200)).await;
    let plan = server.plan(&scenario(600.0, 50.0, ""));
    let (stop, mut stopping) = tokio::sync::watch::channel(false);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    let found = run(
        plan,
        async move {
            let _ = stopping.wait_for(|stop| *stop).await;
        },
        move |progress: &Progress| {
            told.lock().unwrap().push(progress.clone());
            stop.send_replace(true);
        },
    )
    .await
    .unwrap();
    assert_eq!(found.ended, Ended::Stopped);
    assert!(found.total_requests >= 40, "{}", found.total_requests);
    assert_eq!((found.failed_requests, found.unfinished_requests), (0, 0));
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0].stage, "a");
    assert_eq!(
        (seen[0].done, seen[0].last_second),
        (seen[0].last_second, seen[0].done)
    );
    // A stage is as long as it was seen, so that its rate is not thinned.
    assert!(
        (found.stages[0].rate - 50.0).abs() < 15.0,
        "{:?}",
        found.stages[0]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_in_the_middle_ends_in_time_and_leaves_nobody_uncounted() {
    let server = Server::start(|_, elapsed| {
        if elapsed < Duration::from_millis(100) {
            Act::Answer(200)
        } else {
            Act::Hang
        }
    })
    .await;
    let more = "timeout_ms = 300\nmax_in_flight = 2\nabort = { error_ratio = 1 }";
    let found = run_plain(server.plan(&scenario(0.5, 100.0, more))).await;
    assert_eq!(found.ended, Ended::Finished);
    assert_eq!(found.total_requests, 50, "each arrival has an end");
    assert!(found.unsent_requests > 20, "{}", found.unsent_requests);
    assert_eq!(
        found.metrics.errors.by_type["unsent"],
        found.unsent_requests
    );
    assert!(found.duration < 5.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_answer_is_told_before_any_load() {
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let refused = run(
        plan(&format!("http://{closed}"), ONE),
        std::future::pending(),
        |_| (),
    );
    let error = refused.await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
    let hangs = Server::start(|_, _| Act::Hang).await;
    let text = ONE.replace("name = \"one\"", "name = \"one\"\ntimeout_ms = 200");
    let error = run(hangs.plan(&text), std::future::pending(), |_| ())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Silent { .. }), "{error}");
    assert_eq!(hangs.asked.load(Ordering::Relaxed), 1);
    let cut = Server::start(|_, _| Act::BreakOff).await;
    let error = run(cut.plan(ONE), std::future::pending(), |_| ())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("without an answer"), "{error}");
    let stopped = run(cut.plan(ONE), std::future::ready(()), |_| ()).await;
    assert!(matches!(
        stopped,
        Err(Error::Stopped | Error::Unreachable { .. })
    ));
}
