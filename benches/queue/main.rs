//! The queue beside `BullMQ` 5 on Redis, in turns: sending, working, starting, memory.
//!
//! `cargo bench --bench queue` measures all rows; `-- one many bound bulk work start memory` chooses, and
//! `-- alone` leaves `BullMQ` out. `-- churn` sends a million jobs through ours with 10 000 live,
//! and `-- claims` asks what a claim costs from 1 000 to 1 M waiting. Before each figure stands what
//! the disk could do at that time: appends of 4 kB with fdatasync, per second. With `-- slow` each
//! sync takes 2 ms longer for everybody, as on many servers' disks (needs a C compiler). `BullMQ` comes
//! from npm into `target/bullmq`; `redis-server` and `node` are the distribution's. Payloads are 100 bytes.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    reason = "a benchmark may stop at the first surprise, and measures time"
)]

mod bound;
mod disk;
mod ours;
mod peer;
mod wire;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ours::{Inside, Served};
use peer::{Peer, Sync};

/// 100 bytes of JSON.
const DATA: &str = r#"{"text":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}"#;
const TIME: Duration = Duration::from_millis(1_500);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` passes no `--bench`: then only that it builds is of interest.
    if !words.iter().any(|word| word == "--bench") {
        return;
    }
    assert_eq!(DATA.len(), 100);
    let has = |word: &str| words.iter().any(|known| known == word);
    if has("slow") && !disk::is_slow() {
        disk::again_on_a_slow_one(&words);
        return;
    }
    if has("churn") {
        return churn();
    }
    if has("claims") {
        return claims();
    }
    let rows = ["one", "many", "bound", "bulk", "work", "start", "memory"];
    let all = !rows.iter().any(|row| has(row));
    let folder = tempfile::tempdir().unwrap();
    let packages = if has("alone") { None } else { peer::packages() };
    if let Some(packages) = &packages {
        println!("BullMQ {}", peer::version(packages));
    }
    let mut bench = Bench::start(folder.path(), packages.as_deref());
    println!(
        "\n| row | of the disk, 4 kB syncs/s | BullMQ always, everysec, no sync | ours, HTTP | ours, in process |"
    );
    println!("|---|---|---|---|---|");
    for row in rows {
        if all || has(row) {
            bench.row(row);
        }
    }
}

fn single() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Median and 99th percentile.
fn quantiles(values: &mut [f64]) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |percent: usize| values[(values.len() * percent / 100).min(values.len() - 1)];
    (at(50), at(99))
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Everybody who takes turns.
struct Bench {
    folder: PathBuf,
    peers: Vec<Peer>,
    served: Served,
    inside: Inside,
    /// Ours is a multi-threaded runtime, as in the program.
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn start(folder: &Path, packages: Option<&Path>) -> Self {
        let start = |sync: Sync| {
            let own = folder.join(format!("redis-{sync:?}"));
            let peer = Peer::start(sync, &own, packages?);
            assert!(peer.is_some(), "redis-server and node are needed");
            peer
        };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let entered = runtime.enter();
        let inside = Inside::open(&folder.join("inside"));
        drop(entered);
        Self {
            peers: Sync::ALL.into_iter().filter_map(start).collect(),
            served: Served::start(&folder.join("served")),
            inside,
            folder: folder.to_owned(),
            runtime,
        }
    }

    /// What the peers say to a command, and the disk's rate before each.
    fn ask(&mut self, command: &str, field: &str, disk: &mut Vec<f64>) -> String {
        let mut told = Vec::new();
        for peer in &mut self.peers {
            disk.push(disk::rate(&self.folder));
            told.push(format!("{:.0}", peer.ask(command, field)));
        }
        told.join(", ")
    }

    fn row(&mut self, row: &str) {
        match row {
            "one" => self.sending("one by one", "one", 1, 1),
            "many" => {
                self.sending("100 in flight (in process 64)", "many", 100, 64);
                let mut disk = vec![disk::rate(&self.folder)];
                let rate = self.runtime.block_on(self.inside.add(256, TIME));
                print("256 in flight", &mut disk, "", "", &format!("{rate:.0}"));
            }
            "bound" => self.bound(),
            "bulk" => {
                let mut disk = Vec::new();
                let theirs = self.ask(&format!("bulk {}", TIME.as_millis()), "rate", &mut disk);
                disk.push(disk::rate(&self.folder));
                let http = self.served.bulk(TIME);
                disk.push(disk::rate(&self.folder));
                let inside = self.runtime.block_on(self.inside.bulk(TIME));
                print(
                    "bulk of 1000",
                    &mut disk,
                    &theirs,
                    &format!("{http:.0}"),
                    &format!("{inside:.0}"),
                );
            }
            "work" => {
                for (concurrency, theirs, ours) in
                    [(1, 2_000, 20_000), (5, 5_000, 40_000), (50, 10_000, 40_000)]
                {
                    self.working(concurrency, theirs, ours);
                }
            }
            "start" => self.starting(),
            _ => self.memory(),
        }
    }

    fn sending(&mut self, name: &str, command: &str, connections: usize, producers: usize) {
        let mut disk = Vec::new();
        let theirs = self.ask(
            &format!("{command} {}", TIME.as_millis()),
            "rate",
            &mut disk,
        );
        let before = disk::rate(&self.folder);
        let (http, each) = self.served.add(connections, TIME);
        let between = disk::rate(&self.folder);
        let inside = self.runtime.block_on(self.inside.add(producers, TIME));
        let after = disk::rate(&self.folder);
        disk.extend([before, between, after]);
        let share = |rate: f64, disk: f64| format!("{rate:.0} ({:.2} × the disk)", rate / disk);
        let http = share(http, f64::midpoint(before, between));
        let http = format!("{http}, {each:.0} µs of processor each");
        let inside = share(inside, f64::midpoint(between, after));
        print(name, &mut disk, &theirs, &http, &inside);
    }

    /// What no server can pass on this machine.
    fn bound(&self) {
        let mut disk = vec![disk::rate(&self.folder)];
        let one = bound::rate(1, Some(&self.folder), TIME);
        let name = "answered at once, one by one, a sync each";
        print(name, &mut disk, "", &format!("{one:.0}"), "");
        let many = bound::rate(100, None, TIME);
        let name = "answered at once, 100 in flight, no sync";
        print(name, &mut [], "", &format!("{many:.0}"), "");
    }

    fn working(&mut self, concurrency: usize, theirs: usize, ours: usize) {
        let mut disk = Vec::new();
        let theirs = self.ask(&format!("work {concurrency} {theirs}"), "rate", &mut disk);
        let http = if concurrency == 50 {
            disk.push(disk::rate(&self.folder));
            format!("{:.0}, batches of 50", self.served.work(4, 50, ours))
        } else {
            String::new()
        };
        disk.push(disk::rate(&self.folder));
        let inside = self.runtime.block_on(self.inside.work(concurrency, ours));
        let name = format!("no-op, concurrency {concurrency}");
        print(&name, &mut disk, &theirs, &http, &format!("{inside:.0}"));
    }

    fn starting(&mut self) {
        let mut disk = Vec::new();
        let mut told = Vec::new();
        for peer in &mut self.peers {
            disk.push(disk::rate(&self.folder));
            let answer = peer.ask_all("start 200");
            told.push(format!(
                "{:.2}/{:.2}",
                answer["p50"].as_f64().unwrap_or(f64::NAN),
                answer["p99"].as_f64().unwrap_or(f64::NAN)
            ));
        }
        disk.push(disk::rate(&self.folder));
        let http = self.served.start_latency(200);
        disk.push(disk::rate(&self.folder));
        let inside = self.runtime.block_on(self.inside.start(200));
        let show = |(p50, p99): (f64, f64)| format!("{p50:.2}/{p99:.2}");
        print(
            "start, ms, p50/p99",
            &mut disk,
            &told.join(", "),
            &show(http),
            &show(inside),
        );
    }

    fn memory(&mut self) {
        let mut told = Vec::new();
        for peer in &mut self.peers {
            told.push(format!("{:.1}", peer.ask("memory 100000", "bytes") / 1e6));
        }
        let served = Served::start(&self.folder.join("fresh"));
        served.fill(1_000);
        let before = served.resident();
        served.fill(100_000);
        std::thread::sleep(Duration::from_secs(2));
        let bytes = served.resident() - before;
        let http = format!("{:.1}", bytes / 1e6);
        print(
            "memory, MB per 100,000 waiting",
            &mut Vec::new(),
            &told.join(", "),
            &http,
            "",
        );
    }
}

fn print(name: &str, disk: &mut [f64], theirs: &str, http: &str, inside: &str) {
    disk.sort_by(f64::total_cmp);
    let rates = match disk {
        [] => String::new(),
        [one] => format!("{one:.0}"),
        [first, .., last] => format!("{first:.0}–{last:.0}"),
    };
    println!("| {name} | {rates} | {theirs} | {http} | {inside} |");
}

/// Bytes on the disk under a folder.
fn bytes(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(of) if of.is_dir() => bytes(&entry.path()),
        Ok(of) => of.blocks() * 512,
        Err(_) => 0,
    });
    sizes.sum()
}

/// A million jobs through with 10 000 live: memory, disk, and how long opening takes.
fn churn() {
    const JOBS: usize = 1_000_000;
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("served");
    let served = Served::start(&own);
    served.fill(10_000);
    let began = Instant::now();
    let mut peak = 0.0_f64;
    for done in (0..JOBS).step_by(10_000) {
        served.fill(10_000);
        let rate = served.pass(2, 100, 10_000);
        peak = peak.max(served.resident());
        if done % 100_000 == 0 {
            println!(
                "{done} jobs: {rate:.0} per s, {:.1} MB resident, {:.1} MB on disk",
                served.resident() / 1e6,
                bytes(&own.join("jobs")) as f64 / 1e6
            );
        }
    }
    let took = began.elapsed().as_secs_f64();
    println!(
        "{JOBS} jobs through in {took:.0} s: resident {:.1} MB at the end, {:.1} MB at most; {:.1} MB on disk",
        served.resident() / 1e6,
        peak / 1e6,
        bytes(&own.join("jobs")) as f64 / 1e6
    );
    let began = Instant::now();
    let served = served.again();
    served.ask("GET", "metrics?queue=bench", "");
    println!(
        "killed and open again after {:.3} s, {:.1} MB resident, {:.1} MB on disk",
        began.elapsed().as_secs_f64(),
        served.resident() / 1e6,
        bytes(&own.join("jobs")) as f64 / 1e6
    );
}

/// What a claim costs, the more wait.
fn claims() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let inside = Inside::open(folder.path());
        println!("| waiting | a claim, µs |\n|---|---|");
        let mut waiting = 0;
        for wanted in [1_000, 10_000, 100_000, 1_000_000] {
            inside.fill(wanted - waiting).await;
            let cost = inside.claim_cost(500).await;
            waiting = wanted - 500;
            println!("| {wanted} | {cost:.1} |");
        }
    });
}
