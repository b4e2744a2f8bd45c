//! What a full look costs the server: ours against `postgres_exporter` with its `queries.yaml`.
//!
//! `cargo bench --bench inspect` makes a throw-away server with 500 tables and 2,000 indexes, lets
//! both look at it in turns while a few tables are written to, and prints the processor time that
//! their backends used (`/proc/PID/schedstat`, nanoseconds), per look and per minute of watching:
//! ours scrapes each 10 s, reads the catalogs each 60 s and samples activity each second; theirs is
//! scraped each 10 s. A whole inspection is what a fresh connection costs that reads everything, the
//! hourly part with it, and judges it: what `plimsoll check --target URL` does.
//!
//! `-- --peer DIR` holds the whole inspection against another inspector's own SQL: every `*.sql` of
//! that folder is one statement, and all of them are sent on a fresh connection of their own, in turn
//! with ours. `-- --partitions 10000` looks at a table of so many partitions instead, and also tells how
//! much memory that takes here.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark may stop at the first surprise"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark takes the time")]

#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../tests/postgres/server.rs"]
mod server;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use plimsoll::advise::checks;
use plimsoll::model::units::Timestamp;
use plimsoll::postgres::{Observer, Options};
use server::{Admin, Server};

const QUERIES: &str = "/usr/share/doc/prometheus-postgres-exporter/examples/queries.yaml";

/// How large a run is.
struct Scale {
    tables: u32,
    rounds: u32,
    looks: u32,
}

fn main() {
    // `cargo test --benches` passes no `--bench`: then only that it runs is of interest.
    let full = std::env::args().any(|arg| arg == "--bench");
    let scale = if full {
        Scale {
            tables: 500,
            rounds: 5,
            looks: 6,
        }
    } else {
        Scale {
            tables: 5,
            rounds: 1,
            looks: 1,
        }
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut given = std::env::args().skip_while(|arg| arg != "--partitions");
    match given.nth(1) {
        Some(count) => runtime.block_on(partitions(count.parse().unwrap())),
        None => runtime.block_on(compare(&scale)),
    }
}

/// A table of very many partitions with two indexes each: what the first look and later ones cost.
async fn partitions(count: u32) {
    let Some(bin) = server::require(15) else {
        return;
    };
    let locks = format!("max_locks_per_transaction={}", 4 * count.max(64));
    let server = Server::start(
        &bin,
        &["shared_preload_libraries=pg_stat_statements", &locks],
    );
    let admin = server.admin("postgres").await;
    admin.batch_execute("create database bench").await.unwrap();
    let admin = server.admin("bench").await;
    let sql = "create extension pg_stat_statements; create table log (id int, day int, note text, \
               primary key (id, day)) partition by range (day); create index on log (day)";
    admin.batch_execute(sql).await.unwrap();
    // In hundreds, since each partition more of one table takes longer to make.
    for first in (0..count).step_by(100) {
        let past = count.min(first + 100);
        let bounds = |from: u32, to: u32| format!("for values from ({from}) to ({to})");
        let hundred = format!(
            "create table h{first} partition of log {} partition by range (day)",
            bounds(first, past)
        );
        let each = (first..past).map(|day| {
            let bounds = bounds(day, day + 1);
            format!("create table p{day} partition of h{first} {bounds}")
        });
        let all: Vec<String> = std::iter::once(hundred).chain(each).collect();
        admin.batch_execute(&all.join("; ")).await.unwrap();
    }
    let rows =
        format!("insert into log select g, g % {count}, 'x' from generate_series(1, 100000) g");
    admin.batch_execute(&rows).await.unwrap();
    admin.batch_execute("vacuum analyze").await.unwrap();
    let before = resident();
    let mut options = Options::new("bench", server.conninfo("user=postgres dbname=bench"));
    options.statement_timeout = plimsoll::model::units::Millis(30_000);
    let mut ours = Observer::new(options);
    ours.scrape(at(0)).await.unwrap();
    let pid = [ours.backend_pid().unwrap()];
    for look in 0..4 {
        let (begun, spent) = (Instant::now(), cpu(&pid));
        let (samples, snapshot) = ours.catalog(at(look * 60)).await.unwrap();
        let read = begun.elapsed().as_secs_f64() * 1e3;
        let findings = checks::run(&snapshot, &checks::Thresholds::default());
        let all = begun.elapsed().as_secs_f64() * 1e3;
        println!(
            "look {look}: {} tables, {} indexes, {} series, {} findings; server {:.0} ms, wall \
             {read:.0} ms, checks {:.0} ms, resident {:.0} MB more, backend {:.0} MB",
            snapshot.tables.len(),
            snapshot.indexes.len(),
            samples.len(),
            findings.len(),
            cpu(&pid) - spent,
            all - read,
            resident() - before,
            memory(&format!("/proc/{}/status", pid[0]), "VmRSS"),
        );
    }
}

/// Megabytes of this process.
fn resident() -> f64 {
    memory("/proc/self/status", "VmRSS")
}

fn memory(file: &str, field: &str) -> f64 {
    let text = std::fs::read_to_string(file).unwrap();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap();
    let kilobytes = line.split_whitespace().nth(1).unwrap();
    kilobytes.parse::<f64>().unwrap() / 1e3
}

async fn compare(scale: &Scale) {
    let Some(bin) = server::require(15) else {
        return;
    };
    let settings = [
        "shared_preload_libraries=pg_stat_statements",
        "autovacuum=off",
    ];
    let server = Server::start(&bin, &settings);
    fill(&server, scale.tables).await;
    let mut options = Options::new("bench", server.conninfo("user=postgres dbname=bench"));
    options.statement_timeout = plimsoll::model::units::Millis(30_000);
    let mut ours = Observer::new(options);
    let admin = server.admin("bench").await;
    let exporter = Exporter::start(&server);
    let mut series = (0, 0);
    // The first look fills caches on both sides.
    series.0 += ours.scrape(at(0)).await.unwrap().len();
    series.0 += ours.catalog(at(0)).await.unwrap().0.len();
    if let Some(exporter) = &exporter {
        series.1 = exporter.scrape();
    }
    let mut spent = Spent::default();
    for round in 0..scale.rounds {
        for look in 0..scale.looks {
            write_some(&admin, scale.tables).await;
            let now = at(u64::from(round * scale.looks + look) * 60);
            spent.look(&mut ours, now).await;
        }
        for _ in 0..scale.looks {
            let Some(exporter) = &exporter else { break };
            write_some(&admin, scale.tables).await;
            let pids = exporter.backends(&admin).await;
            let (before, asked) = (cpu(&pids), Instant::now());
            exporter.scrape();
            spent.answers.push(asked.elapsed().as_secs_f64() * 1e3);
            let after = exporter.backends(&admin).await;
            assert_eq!(pids, after, "the exporter connected anew");
            spent.theirs.push(cpu(&pids) - before);
        }
    }
    let peer = peer_sql();
    let (mut whole, mut others) = (Vec::new(), Vec::new());
    for _ in 0..scale.rounds {
        whole.push(inspection(&server).await);
        if !peer.is_empty() {
            others.push(peer_inspection(&server, &peer).await);
        }
    }
    println!(
        "{} tables, {} looks each, mean milliseconds of the server's processor time",
        scale.tables,
        spent.scrapes.len()
    );
    spent.print(series);
    tell(&whole, others, peer.len());
}

/// The whole inspection, against the peer's where there is one.
fn tell(whole: &[(f64, usize)], others: Vec<f64>, statements: usize) {
    let own = median(whole.iter().map(|(ms, _)| *ms).collect());
    println!(
        "a whole inspection from a fresh connection: median {own:.1} ms of the server, {} findings",
        whole.first().map_or(0, |(_, findings)| *findings)
    );
    if others.is_empty() {
        println!("no --peer DIR: the whole inspection is held against nothing");
        return;
    }
    let theirs = median(others);
    println!(
        "the peer's {statements} statements: median {theirs:.1} ms of the server; ours is {:.3} of \
         that",
        own / theirs
    );
}

/// Statements of the folder that `--peer` names, in order of their names; empty without one.
fn peer_sql() -> Vec<String> {
    let mut given = std::env::args().skip_while(|arg| arg != "--peer");
    let Some(folder) = given.nth(1) else {
        return Vec::new();
    };
    let files = std::fs::read_dir(Path::new(&folder)).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "sql"));
    files.sort();
    let texts = files.iter().map(std::fs::read_to_string);
    texts.map(Result::unwrap).collect()
}

/// Milliseconds of the server's processor for another inspector's statements.
async fn peer_inspection(server: &Server, statements: &[String]) -> f64 {
    let session = server.admin("bench").await;
    let sql = "select pg_backend_pid()";
    let pid: i32 = session.query_one(sql, &[]).await.unwrap().get(0);
    for statement in statements {
        session.simple_query(statement).await.unwrap();
    }
    cpu(&[pid])
}

/// Milliseconds of the server's processor for everything, and how many findings came of it.
async fn inspection(server: &Server) -> (f64, usize) {
    let mut options = Options::new("whole", server.conninfo("user=postgres dbname=bench"));
    options.statement_timeout = plimsoll::model::units::Millis(30_000);
    let mut observer = Observer::new(options);
    let admin = server.admin("bench").await;
    let (_, snapshot) = observer.catalog(at(0)).await.unwrap();
    let sql = "select pid from pg_stat_activity where application_name = 'plimsoll' \
               order by backend_start desc limit 1";
    let pid: i32 = admin.query_one(sql, &[]).await.unwrap().get(0);
    let findings = checks::run(&snapshot, &checks::Thresholds::default());
    (cpu(&[pid]), findings.len())
}

/// Milliseconds per look.
#[derive(Default)]
struct Spent {
    scrapes: Vec<f64>,
    catalogs: Vec<f64>,
    activities: Vec<f64>,
    theirs: Vec<f64>,
    /// Wall time of the exporter's answers.
    answers: Vec<f64>,
}

impl Spent {
    async fn look(&mut self, ours: &mut Observer, now: Timestamp) {
        let pid = [ours.backend_pid().unwrap()];
        let start = cpu(&pid);
        ours.scrape(now).await.unwrap();
        let after_scrape = cpu(&pid);
        ours.catalog(now).await.unwrap();
        let after_catalog = cpu(&pid);
        ours.activity().await.unwrap();
        self.scrapes.push(after_scrape - start);
        self.catalogs.push(after_catalog - after_scrape);
        self.activities.push(cpu(&pid) - after_catalog);
    }

    fn print(&self, (ours, theirs): (usize, usize)) {
        let scrape = mean(&self.scrapes);
        let catalog = mean(&self.catalogs);
        let activity = mean(&self.activities);
        println!(
            "ours: scrape {scrape:.2}, catalog {catalog:.2}, activity {activity:.3} ({ours} series)"
        );
        if self.theirs.is_empty() {
            println!("prometheus-postgres-exporter is not installed: nothing to compare with");
            return;
        }
        let exporter = mean(&self.theirs);
        let answer = median(self.answers.clone());
        println!(
            "exporter: scrape {exporter:.2} ({theirs} series), answered in {answer:.1} (wall)"
        );
        let each = (6.0 * scrape + catalog) / 6.0;
        println!(
            "a regular cycle of 10 s: {each:.2}, {:.3} of the exporter's wall time and {:.3} of its \
             server time; scrape and catalogs in one: {:.2}, {:.3} of its wall time",
            each / answer,
            each / exporter,
            scrape + catalog,
            (scrape + catalog) / answer
        );
        println!(
            "full cycle: {:.2} of the exporter's",
            (scrape + catalog) / exporter
        );
        let minute = 6.0 * scrape + catalog + 54.0 * activity;
        println!(
            "a minute of watching: {minute:.1} against {:.1}, {:.2} of the exporter's",
            6.0 * exporter,
            minute / (6.0 * exporter)
        );
    }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000).plus(Duration::from_secs(seconds))
}

/// Milliseconds that some processes have spent on a processor.
fn cpu(pids: &[i32]) -> f64 {
    let of = |pid: &i32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
        text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e6
    };
    pids.iter().map(of).sum()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

async fn fill(server: &Server, tables: u32) {
    let admin = server.admin("postgres").await;
    admin.batch_execute("create database bench").await.unwrap();
    admin
        .batch_execute("create role exporter superuser login")
        .await
        .unwrap();
    let admin = server.admin("bench").await;
    admin
        .batch_execute("create extension pg_stat_statements")
        .await
        .unwrap();
    for table in 0..tables {
        let sql = format!(
            "create table t{table} (id int primary key, a int, b text, c timestamptz); \
             insert into t{table} select g, g % 7, 'text ' || g, now() from generate_series(1, 200) g; \
             create index on t{table} (a); create index on t{table} (b, a); \
             create index on t{table} (c) where a > 3; analyze t{table}"
        );
        admin.batch_execute(&sql).await.unwrap();
    }
    // As a server that has been up for a while: catalogs analysed, the making forgotten.
    admin.batch_execute("vacuum analyze").await.unwrap();
    admin
        .batch_execute("select pg_stat_statements_reset()")
        .await
        .unwrap();
}

/// Updates a row in one table of fifty, as a quiet application would.
async fn write_some(admin: &Admin, tables: u32) {
    for table in (0..tables).step_by(50) {
        let sql = format!("update t{table} set a = a + 1 where id <= 5");
        admin.batch_execute(&sql).await.unwrap();
    }
}

/// The distribution's exporter, stopped with this value.
struct Exporter {
    child: Child,
    port: u16,
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Exporter {
    fn start(server: &Server) -> Option<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let source = format!(
            "host={} port={} user=exporter dbname=bench sslmode=disable",
            server.socket(),
            server.port
        );
        let child = Command::new("prometheus-postgres-exporter")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg(format!("--extend.query-path={QUERIES}"))
            .env("DATA_SOURCE_NAME", source)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let exporter = Self { child, port };
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(exporter);
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        None
    }

    /// One scrape; gives the number of series.
    fn scrape(&self) -> usize {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let request = "GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.lines().filter(|line| line.starts_with("pg_")).count()
    }

    /// Its backends: it holds one connection for its own metrics and one for the queries file.
    async fn backends(&self, admin: &Admin) -> Vec<i32> {
        let sql = "select pid from pg_stat_activity where usename = 'exporter' order by pid";
        let rows = admin.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}
