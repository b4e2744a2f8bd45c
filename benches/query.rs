//! Speed of questions in `PromQL` through HTTP, over a day of 2 319 series at 10 s.
//!
//! `cargo bench --bench query`. A third of the series stands still, a third counts, a third goes
//! both ways with all digits of a float; scrapes come up to 5 ms late. One connection that is kept,
//! no compression. Seeded, so that every run sees the same values.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark may stop at the first surprise"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use plimsoll::clock::{Clock, SettableClock};
use plimsoll::config::{self, Environment, Flags};
use plimsoll::http::{Compat, Hooks, Site};
use plimsoll::model::series::{Labels, Metric, Sample, Scrape};
use plimsoll::model::units::{Millis, Timestamp};
use plimsoll::store::{Options, Selector, Store};
use plimsoll::work::board::Board;
use plimsoll::work::query::Queries;

const APART: u64 = 10_000;
const DAY: u64 = Millis::DAY.0 / APART;
const LEVEL: Metric = Metric::gauge("bench_level_ratio", "Goes both ways.");
const STILL: Metric = Metric::gauge("bench_still_bytes", "Does not move.");
const COUNTER: Metric = Metric::counter("bench_events_total", "Grows.");

fn start() -> Timestamp {
    Timestamp::parse("2026-03-10T00:00:00Z").unwrap()
}

/// A number from 0 to 999 that depends on both and looks like noise.
fn noise(a: u64, b: u64) -> u64 {
    let mut x = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.wrapping_mul(0xd1b5_4a32_d192_ed03);
    x ^= x >> 29;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (x ^ (x >> 32)) % 1_000
}

fn scrape(number: u64) -> Scrape {
    let sample = |(metric, series): (&Metric, u64)| -> Sample {
        let labels = Labels::none()
            .with("datname", "platform")
            .with("relname", format!("table_{series}"))
            .with("schemaname", "public");
        let value = match metric.name {
            "bench_events_total" => (number * 100 + noise(series, number) % 100) as f64,
            "bench_still_bytes" => series as f64 * 8_192.0,
            _ => noise(series, number) as f64 / 997.0,
        };
        metric.sample(labels, value)
    };
    let levels = (0..104).map(|series| (&LEVEL, series));
    let others = (0..2_215).map(|series| match series % 3 {
        0 => (&STILL, series),
        1 => (&COUNTER, series),
        _ if series % 100 < 33 => (&STILL, series + 10_000),
        _ => (&COUNTER, series + 10_000),
    });
    Scrape {
        target: "bench".into(),
        at: start().plus(Millis(number * APART + noise(7, number) % 6).as_duration()),
        samples: levels.chain(others).map(sample).collect(),
    }
}

fn day(store: &Store) {
    for number in 0..DAY {
        let scrape = scrape(number);
        store.history().append(&scrape).unwrap();
        if number % 720 == 0 {
            store.tick(scrape.at).unwrap();
        }
    }
}

/// A server on loopback with one connection to it.
struct Asked {
    runtime: tokio::runtime::Runtime,
    sender: SendRequest<Empty<Bytes>>,
}

impl Asked {
    fn of(store: &Arc<Store>) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let now = start().plus(Millis(Millis::DAY.0 - APART).as_duration());
        let clock: Arc<dyn Clock> = Arc::new(SettableClock::at(now));
        let board = Arc::new(Board::new([], Vec::new()));
        let patience = Millis::MINUTE;
        let queries = Queries::new(
            Arc::clone(store),
            Arc::clone(&board),
            Arc::clone(&clock),
            patience,
        );
        let environment: Environment = [("HOME", "/nowhere")].into_iter().collect();
        let config = config::load(&Flags::default(), &environment).unwrap();
        let hooks = Hooks {
            page: Arc::new(|_| String::new()),
            report: Arc::new(|_| Box::pin(async { Ok(Vec::new()) })),
            queries: Some(Arc::new(queries)),
            compat: Compat::new(),
            script: "",
            style: "",
        };
        let site = Site::new(board, clock, &config, hooks);
        let sender = runtime.block_on(async {
            let any: SocketAddr = ([127, 0, 0, 1], 0).into();
            let listener = plimsoll::http::bind(any).await.unwrap();
            let address = listener.local_addr().unwrap();
            let never = std::future::pending();
            tokio::spawn(plimsoll::http::serve(site, Some(listener), None, never));
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            sender
        });
        Self { runtime, sender }
    }

    fn get(&mut self, path: &str) -> Bytes {
        let request = Request::get(path).header("host", "localhost");
        let request = request.body(Empty::new()).unwrap();
        let sender = &mut self.sender;
        self.runtime.block_on(async {
            sender.ready().await.unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), 200);
            response.into_body().collect().await.unwrap().to_bytes()
        })
    }
}

fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        write!(out, "%{byte:02X}").unwrap();
    }
    out
}

fn questions(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(Options::in_dir(dir.path())).unwrap());
    day(&store);
    let mut asked = Asked::of(&store);
    let mut group = c.benchmark_group("query");
    group.measurement_time(Duration::from_secs(8));
    let from = start().as_millis() / 1_000;
    let raw = encoded(r#"bench_level_ratio{relname="table_50"}[24h]"#);
    let raw = format!("/api/v1/query?query={raw}");
    let mean = encoded("avg_over_time(bench_level_ratio[5m])");
    let mean = format!(
        "/api/v1/query_range?query={mean}&start={from}&end={}&step=300",
        from + 86_400
    );
    let last = format!("/api/v1/query?query={}", encoded(r#"{__name__=~".+"}"#));
    let rate = encoded("sum(rate(bench_events_total[5m]))");
    let rate = format!(
        "/api/v1/query_range?query={rate}&start={from}&end={}&step=300",
        from + 86_400
    );
    for (name, path, bytes) in [
        ("raw_24h_of_one", &raw, 200_000),
        ("mean_5m_of_104", &mean, 600_000),
        ("last_of_2319", &last, 200_000),
        ("sum_rate_of_1000", &rate, 5_000),
    ] {
        assert!(asked.get(path).len() > bytes, "{name}");
        group.bench_function(name, |b| b.iter(|| black_box(asked.get(path))));
    }
    group.bench_function("last_in_process", |b| {
        b.iter(|| black_box(store.history().last(&Selector::default()).len()));
    });
    group.finish();
}

criterion_group!(benches, questions);
criterion_main!(benches);
