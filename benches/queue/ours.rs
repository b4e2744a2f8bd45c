//! Our side: the queue in this process, and the program itself over HTTP.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use plimsoll::clock::SystemClock;
use plimsoll::model::job::{JobOptions, Keep, NewJob, Payload, QueueName};
use plimsoll::queue::{
    Claim, Clear, Embedded, Handler, Options, Outcome, Queues, Runner, RunnerOptions,
};
use plimsoll::store::Store;
use tokio::sync::Notify;

use super::wire::{self, Wire};
use super::{DATA, quantiles};

/// A queue in this process.
pub(crate) struct Inside {
    pub(crate) queues: Arc<Queues>,
    _store: Arc<Store>,
}

pub(crate) fn bar() -> QueueName {
    "bench".parse().unwrap()
}

pub(crate) fn job() -> NewJob {
    let mut job = NewJob::new(
        "j".to_owned(),
        serde_json::from_str::<Payload>(DATA).unwrap(),
    );
    job.opts = JobOptions {
        remove_on_complete: Some(Keep::nothing()),
        ..JobOptions::default()
    };
    job
}

impl Inside {
    /// Opens a store and does what is due in its queues. Call it inside a runtime.
    pub(crate) fn open(folder: &Path) -> Self {
        let options = plimsoll::store::Options::in_dir(folder);
        let store = loop {
            match Store::open(options.clone()) {
                Ok(store) => break Arc::new(store),
                Err(plimsoll::store::Error::Locked { .. }) => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(error) => panic!("{error}"),
            }
        };
        let keeper = Arc::new(Embedded::open(&store, Options::default()).unwrap());
        let queues = Arc::new(Queues::new(keeper, Arc::new(SystemClock)));
        let kept = Arc::clone(&queues);
        tokio::spawn(async move {
            loop {
                let _ = kept.tick().await;
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                    () = kept.sooner() => {}
                }
            }
        });
        Self {
            queues,
            _store: store,
        }
    }

    pub(crate) async fn clear(&self) {
        let everything = Clear::Everything { force: true };
        let _ = self.queues.clear(&bar(), everything).await;
    }

    /// Jobs per second of so many producers, one by one.
    pub(crate) async fn add(&self, producers: usize, time: Duration) -> f64 {
        let mut tasks = tokio::task::JoinSet::new();
        let began = Instant::now();
        for _ in 0..producers {
            let queues = Arc::clone(&self.queues);
            tasks.spawn(async move {
                let (queue, one) = (bar(), job());
                let mut count = 0u64;
                while began.elapsed() < time {
                    let added = queues.enqueue(&queue, vec![one.clone()]).await.unwrap();
                    assert!(added[0].is_ok());
                    count += 1;
                }
                count
            });
        }
        let count: u64 = tasks.join_all().await.into_iter().sum();
        let rate = count as f64 / began.elapsed().as_secs_f64();
        self.clear().await;
        rate
    }

    /// Jobs per second of bulks of 1,000.
    pub(crate) async fn bulk(&self, time: Duration) -> f64 {
        let began = Instant::now();
        let mut count = 0u64;
        while began.elapsed() < time {
            let added = self.queues.enqueue(&bar(), vec![job(); 1_000]).await;
            assert!(added.unwrap().iter().all(Result::is_ok));
            count += 1_000;
        }
        let rate = count as f64 / began.elapsed().as_secs_f64();
        self.clear().await;
        rate
    }

    pub(crate) async fn fill(&self, count: usize) {
        for _ in 0..count.div_ceil(1_000) {
            self.queues
                .enqueue(&bar(), vec![job(); 1_000])
                .await
                .unwrap();
        }
    }

    /// Jobs per second of a runner that does nothing with them.
    pub(crate) async fn work(&self, concurrency: usize, count: usize) -> f64 {
        self.fill(count).await;
        let (left, done) = (
            Arc::new(AtomicU64::new(count as u64)),
            Arc::new(Notify::new()),
        );
        let (counted, told) = (Arc::clone(&left), Arc::clone(&done));
        let handler: Handler = Arc::new(move |_| {
            if counted.fetch_sub(1, Ordering::Relaxed) == 1 {
                told.notify_one();
            }
            Box::pin(std::future::ready(Outcome::Complete(Payload::default())))
        });
        let options = RunnerOptions {
            concurrency,
            ..RunnerOptions::default()
        };
        let began = Instant::now();
        let runner = Runner::start(Arc::clone(&self.queues), bar(), handler, options);
        done.notified().await;
        // The last ends are on the disk before the clock stops.
        runner.stop().await;
        count as f64 / began.elapsed().as_secs_f64()
    }

    /// From the call that adds a job to its handler, idle: median and 99th percentile in ms.
    pub(crate) async fn start(&self, rounds: usize) -> (f64, f64) {
        let (to, mut from) = tokio::sync::mpsc::unbounded_channel();
        let handler: Handler = Arc::new(move |_| {
            to.send(Instant::now()).unwrap();
            Box::pin(std::future::ready(Outcome::Complete(Payload::default())))
        });
        let queues = Arc::clone(&self.queues);
        self.fill(1).await;
        let runner = Runner::start(queues, bar(), handler, RunnerOptions::default());
        for _ in 0..1_000 {
            from.recv().await.unwrap();
        }
        let mut waits = Vec::new();
        for _ in 0..rounds {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let began = Instant::now();
            self.queues.enqueue(&bar(), vec![job()]).await.unwrap();
            let ran = from.recv().await.unwrap();
            waits.push((ran - began).as_secs_f64() * 1_000.0);
        }
        runner.stop().await;
        quantiles(&mut waits)
    }

    /// Microseconds of a claim of one job, median over many.
    pub(crate) async fn claim_cost(&self, claims: usize) -> f64 {
        let claim = Claim {
            max: 1,
            lease: None,
            worker: "bench".to_owned(),
        };
        let mut took = Vec::new();
        for _ in 0..claims {
            let began = Instant::now();
            let claimed = self.queues.claim(&bar(), &claim, Duration::ZERO).await;
            took.push(began.elapsed().as_secs_f64() * 1e6);
            assert_eq!(claimed.unwrap().len(), 1);
        }
        quantiles(&mut took).0
    }
}

/// The program itself; killed when dropped.
pub(crate) struct Served {
    pub(crate) port: u16,
    folder: PathBuf,
    child: Child,
}

impl Served {
    pub(crate) fn start(folder: &Path) -> Self {
        let port = super::free_port();
        let child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
            .args(["serve", "--data-dir"])
            .arg(folder)
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..500 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Self {
            port,
            folder: folder.to_owned(),
            child,
        }
    }

    pub(crate) fn again(mut self) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        Self::start(&self.folder.clone())
    }

    /// Resident bytes, now.
    pub(crate) fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
        kib.unwrap_or(f64::NAN) * 1024.0
    }

    /// Seconds of processor time that it took so far, all threads together.
    fn processor(&self) -> f64 {
        /// Of a second, in which Linux counts on every architecture that we know.
        const TICK: f64 = 0.01;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        let stat = stat.unwrap_or_default();
        // The name in brackets may hold anything; user and system time come 12th and 13th after it.
        let fields = stat.rsplit_once(')').map_or("", |(_, after)| after);
        let ticks = fields.split_whitespace().skip(11).take(2);
        ticks
            .filter_map(|ticks| ticks.parse::<f64>().ok())
            .sum::<f64>()
            * TICK
    }

    /// Jobs per second, one a request, over so many connections; and the server's processor time of
    /// each, in µs.
    pub(crate) fn add(&self, connections: usize, time: Duration) -> (f64, f64) {
        let (began, before) = (Instant::now(), self.processor());
        let rate = wire::post(self.port, "bench", &one_job(), connections, time);
        let (took, after) = (began.elapsed().as_secs_f64(), self.processor());
        self.clear();
        (rate, (after - before) / (rate * took) * 1e6)
    }

    pub(crate) fn bulk(&self, time: Duration) -> f64 {
        let rate = wire::post(self.port, "bench", &many_jobs(), 1, time) * 1_000.0;
        self.clear();
        rate
    }

    pub(crate) fn clear(&self) {
        self.ask("POST", "bench/obliterate?force=true", "");
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        super::single().block_on(async {
            let mut wire = Wire::connect(self.port).await;
            let request = wire.request(method, path, body);
            let (status, answer) = wire.send(&request).await;
            assert!(
                status < 300,
                "{status}: {}",
                String::from_utf8_lossy(answer)
            );
            answer.to_vec()
        })
    }

    pub(crate) fn fill(&self, count: usize) {
        for _ in 0..count.div_ceil(1_000) {
            self.ask("POST", "bench", &many_jobs());
        }
    }

    /// Jobs per second through claim and settle in batches, over so many connections.
    pub(crate) fn work(&self, connections: usize, batch: usize, count: usize) -> f64 {
        self.fill(count);
        self.pass(connections, batch, count)
    }

    /// Takes so many of the jobs that wait through claim and settle; jobs per second.
    pub(crate) fn pass(&self, connections: usize, batch: usize, count: usize) -> f64 {
        let port = self.port;
        super::single().block_on(async {
            let began = Instant::now();
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..connections {
                tasks.spawn(worker(port, batch, count / connections));
            }
            let done: usize = tasks.join_all().await.into_iter().sum();
            assert_eq!(done, count);
            count as f64 / began.elapsed().as_secs_f64()
        })
    }

    /// From sending a job to the answer of a claim that waits for it: median and 99th percentile, ms.
    pub(crate) fn start_latency(&self, rounds: usize) -> (f64, f64) {
        let port = self.port;
        let mut waits = super::single().block_on(async {
            let (to, mut from) = tokio::sync::mpsc::unbounded_channel();
            let mut adding = Wire::connect(port).await;
            let add = adding.request("POST", "bench", &one_job());
            adding.send(&add).await;
            let worker = tokio::spawn(async move {
                let mut wire = Wire::connect(port).await;
                let body = r#"{"max":1,"waitMs":5000,"worker":"bench"}"#;
                let claim = wire.request("POST", "bench/claim", body);
                for _ in 0..=rounds {
                    let (_, answer) = wire.send(&claim).await;
                    to.send(Instant::now()).unwrap();
                    let body = endings(answer).0;
                    let settle = wire.request("POST", "bench/settle", &body);
                    wire.send(&settle).await;
                }
            });
            from.recv().await.unwrap();
            let mut waits = Vec::new();
            for _ in 0..rounds {
                tokio::time::sleep(Duration::from_millis(5)).await;
                let began = Instant::now();
                let (sent, ran) = tokio::join!(adding.send(&add), from.recv());
                assert_eq!(sent.0, 201);
                waits.push((ran.unwrap() - began).as_secs_f64() * 1_000.0);
            }
            worker.await.unwrap();
            waits
        });
        quantiles(&mut waits)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn one_job() -> String {
    format!(r#"{{"name":"j","data":{DATA},"opts":{{"removeOnComplete":true}}}}"#)
}

fn many_jobs() -> String {
    format!("[{}]", vec![one_job(); 1_000].join(","))
}

async fn worker(port: u16, batch: usize, most: usize) -> usize {
    let mut wire = Wire::connect(port).await;
    let body = format!(r#"{{"max":{batch},"waitMs":0,"worker":"bench"}}"#);
    let claim = wire.request("POST", "bench/claim", &body);
    let mut done = 0;
    loop {
        let (status, answer) = wire.send(&claim).await;
        assert_eq!(status, 200);
        let (body, count) = endings(answer);
        if count == 0 {
            return done;
        }
        let settle = wire.request("POST", "bench/settle", &body);
        let (status, answer) = wire.send(&settle).await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(answer));
        done += count;
        if done >= most {
            return done;
        }
    }
}

#[derive(serde::Deserialize)]
struct Given {
    items: Vec<Item>,
}

#[derive(serde::Deserialize)]
struct Item {
    job: Ident,
    token: String,
}

#[derive(serde::Deserialize)]
struct Ident {
    id: String,
}

/// The body that completes what a claim gave, and how many that are.
fn endings(answer: &[u8]) -> (String, usize) {
    let given: Given = serde_json::from_slice(answer).unwrap();
    let each: Vec<String> = given
        .items
        .iter()
        .map(|one| format!(r#"{{"id":"{}","token":"{}"}}"#, one.job.id, one.token))
        .collect();
    (format!("[{}]", each.join(",")), each.len())
}
