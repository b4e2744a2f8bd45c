//! The index advisor beside its peers: cost left, promised and built sizes, plans, real times.
//!
//! `cargo bench --bench advise [-- WHAT…]` needs a server that was loaded by
//! `../shared/data/tpch/load.sh`, named by `PGHOST`, `PGPORT` and `PGUSER`, with a role that may make
//! databases; without it, it says so. WHAT is any of `cost` (budgets, built for real in a copy),
//! `curve` (quality by plans asked for), `estimate` (arithmetic against HypoPG, index by index) and
//! `verify` (real times of what `plimsoll advise verify` keeps); all of them by default. What peers did
//! on the same data was measured before (`anchors/pgtune.md`, `index-advisor-baseline.csv`).
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark may stop at the first surprise"
)]
#![expect(
    clippy::indexing_slicing,
    reason = "a benchmark may stop at the first surprise"
)]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a benchmark finds its server as psql does, and builds there"
)]

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use plimsoll::advise::cost::{Ask, IndexSet, Planner as _};
use plimsoll::advise::estimate::Estimator;
use plimsoll::config::Config;
use plimsoll::model::advice::Advice;
use plimsoll::postgres::{Environment, Options, WhatIf, resolve};
use plimsoll::work::advise::verify::{Footprint, Order, verify};
use plimsoll::work::advise::{Request, Told, Workload, case_of, of_target};

const QUERIES: &str = "../shared/data/tpch/queries";
/// Left out by the peers' study, too: with them the sum is that of one correlated sub-select.
const LEFT_OUT: [&str; 3] = ["2", "17", "20"];
/// Best peer's share of cost left and what it asked the planner for, by database and budget in MB.
const PEERS: [(&str, u64, &str); 7] = [
    ("tpch_nopk", 250, "Extend 65.4 %, 112 MB built, 953 plans"),
    ("tpch_nopk", 500, "Extend 56.7 %, 205 MB built, 1,957 plans"),
    (
        "tpch_nopk",
        1000,
        "Extend 52.2 %, 344 MB built, 3,431 plans",
    ),
    (
        "tpch_nopk",
        2000,
        "AutoAdmin 50.3 %, 12 indexes, 3,779 plans",
    ),
    ("tpch", 500, "Extend 77.0 %, 1,075 plans"),
    ("tpch", 1000, "Extend 70.2 %, 2,653 plans"),
    ("tpch", 2000, "AutoAdmin 67.9 %, 3,848 plans"),
];

type Admin = tokio_postgres::Client;

fn main() {
    // `cargo test --benches` passes no `--bench`: a full server is not at hand there.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|arg| arg == "--bench") {
        return;
    }
    let wanted: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    let is_wanted = |what: &str| wanted.is_empty() || wanted.contains(&what);
    if !Path::new(QUERIES).is_dir() {
        println!(
            "{QUERIES} is not there: the statements of this benchmark are not in the repository"
        );
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        if connect("postgres").await.is_none() {
            println!(
                "no server at PGHOST, PGPORT, PGUSER; load one with ../shared/data/tpch/load.sh"
            );
            return;
        }
        if is_wanted("cost") {
            cost().await;
        }
        if is_wanted("curve") {
            curve().await;
        }
        if is_wanted("estimate") {
            estimate().await;
        }
        if is_wanted("verify") {
            real_times().await;
        }
    });
}

fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn url(database: &str) -> String {
    format!(
        "host={} port={} user={} dbname={database}",
        variable("PGHOST", "127.0.0.1"),
        variable("PGPORT", "5432"),
        variable("PGUSER", "postgres")
    )
}

async fn connect(database: &str) -> Option<Admin> {
    let (client, connection) = tokio_postgres::connect(&url(database), tokio_postgres::NoTls)
        .await
        .ok()?;
    tokio::spawn(connection);
    Some(client)
}

fn options(database: &str) -> Options {
    Options::new(
        database,
        resolve(&url(database), &Environment::default()).unwrap(),
    )
}

/// Texts by name, in the order of their numbers.
fn statements() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = std::fs::read_dir(QUERIES)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            (name, text.trim().trim_end_matches(';').to_owned())
        })
        .filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()))
        .collect();
    found.sort_by_key(|(name, _)| name.parse::<u32>().unwrap());
    found
}

fn workload(but: &[&str]) -> Workload {
    let mut text = String::new();
    for (name, statement) in statements() {
        if !but.contains(&name.as_str()) {
            writeln!(text, "-- {name}\n{statement};").unwrap();
        }
    }
    Workload::File(text)
}

fn request(workload: Workload, budget_mb: u64, explains: Option<usize>) -> Request {
    Request {
        workload,
        budget: Some(budget_mb * 1_000_000),
        width: 3,
        time: Duration::from_mins(1),
        explains,
        hypopg: true,
        told: Told::nobody(),
    }
}

async fn total_cost(admin: &Admin) -> f64 {
    let mut sum = 0.0;
    for (_, text) in statements() {
        let row = admin
            .query_one(&format!("explain (format json) {text}"), &[])
            .await
            .unwrap();
        let plan: serde_json::Value = row.get(0);
        sum += plan[0]["Plan"]["Total Cost"].as_f64().unwrap();
    }
    sum
}

/// Builds advice in a copy; gives cost and bytes with it.
async fn built(database: &str, advice: &Advice) -> (f64, f64) {
    let copy = format!("{database}_bench");
    let admin = connect("postgres").await.unwrap();
    let drop = format!("drop database if exists {copy}");
    admin.batch_execute(&drop).await.unwrap();
    let make = format!("create database {copy} template {database}");
    admin.batch_execute(&make).await.unwrap();
    let lab = connect(&copy).await.unwrap();
    let bytes = "select coalesce(sum(pg_relation_size(indexrelid)), 0)::float8 from pg_index";
    let before: f64 = lab.query_one(bytes, &[]).await.unwrap().get(0);
    for index in &advice.indexes {
        lab.batch_execute(&index.ddl.replace("CONCURRENTLY ", ""))
            .await
            .unwrap();
    }
    let after: f64 = lab.query_one(bytes, &[]).await.unwrap().get(0);
    let cost = total_cost(&lab).await;
    std::mem::drop(lab);
    tokio::time::sleep(Duration::from_millis(300)).await;
    admin.batch_execute(&drop).await.unwrap();
    (cost, after - before)
}

async fn cost() {
    println!(
        "| database, budget | cost left, built (said) | built / promised | indexes, plans, first answer, all | best peer |"
    );
    println!("|---|---|---|---|---|");
    for (database, budget, peer) in PEERS {
        let Some(admin) = connect(database).await else {
            println!("| {database} is not there | | | | |");
            continue;
        };
        let before = total_cost(&admin).await;
        std::mem::drop(admin);
        let advice = of_target(
            database,
            &options(database),
            request(workload(&[]), budget, None),
        )
        .await
        .unwrap();
        let (after, bytes) = built(database, &advice).await;
        println!(
            "| {database}, {budget} MB | {:.1} % ({:.1} %) | {:.0} / {:.0} MB = {:.3} | {}, {}, {:.2} s, {:.1} s | {peer} |",
            100.0 * after / before,
            100.0 * advice.cost_after / advice.cost_before,
            bytes / 1e6,
            advice.size_bytes as f64 / 1e6,
            bytes / advice.size_bytes as f64,
            advice.indexes.len(),
            advice.explains,
            advice.curve.first().map_or(f64::NAN, |p| p.seconds),
            advice.seconds
        );
        for worse in &advice.worse {
            println!(
                "|   {} may get worse in {} | | | | |",
                worse.name, worse.what
            );
        }
    }
}

async fn curve() {
    println!(
        "\n| tpch_nopk, 1,000 MB, plans at most | cost left | asked | seconds |\n|---|---|---|---|"
    );
    for explains in [100, 500, 1_000, 2_000, 2_800] {
        let request = request(workload(&[]), 1_000, Some(explains));
        let advice = of_target("tpch_nopk", &options("tpch_nopk"), request)
            .await
            .unwrap();
        println!(
            "| {explains} | {:.1} % | {} | {:.1} |",
            100.0 * advice.cost_after / advice.cost_before,
            advice.explains,
            advice.seconds
        );
    }
}

/// Every candidate alone, for each statement that may use it: arithmetic against the planner.
async fn estimate() {
    for database in ["tpch_nopk", "tpch"] {
        let mut planner = WhatIf::open(&options(database), 2).await.unwrap();
        let case = case_of(&planner, &workload(&[]), 3).await.unwrap();
        let texts = case.statements.iter().map(|s| s.text.clone()).collect();
        planner.prepare(texts, case.what_ifs());
        let mut asks = Vec::new();
        for need in &case.needs {
            for (number, candidate) in case.candidates.iter().enumerate() {
                if plimsoll::advise::candidates::may_serve(candidate, need) {
                    asks.push(Ask {
                        statement: need.statement,
                        indexes: IndexSet::of([number]),
                    });
                }
            }
        }
        asks.sort();
        asks.dedup();
        // Every fifth is enough, and as many as a search asks for.
        let asks: Vec<Ask> = asks.into_iter().step_by(5).take(1_500).collect();
        let estimator = Estimator::new(&case);
        let ours = estimator.plan(&asks).unwrap();
        let planner = std::sync::Arc::new(planner);
        let (theirs, asked) = (std::sync::Arc::clone(&planner), asks.clone());
        let answers = tokio::task::spawn_blocking(move || theirs.plan(&asked).unwrap())
            .await
            .unwrap();
        let (mut errors, mut both, mut only) = (Vec::new(), 0, (0, 0));
        for ((ask, ours), theirs) in asks.iter().zip(ours).zip(answers) {
            let (Some(ours), Some(theirs)) = (ours, theirs) else {
                continue;
            };
            let whole = case.plans[ask.statement].total_cost;
            let (said, true_cost) = (ours.plan.total_cost, theirs.plan.total_cost);
            match (!ours.used.is_empty(), !theirs.used.is_empty()) {
                (true, true) => both += 1,
                (true, false) => only.0 += 1,
                (false, true) => only.1 += 1,
                (false, false) => continue,
            }
            errors.push((said - true_cost).abs() / whole);
        }
        errors.sort_by(f64::total_cmp);
        let at = |percent: usize| errors[(errors.len() - 1) * percent / 100];
        println!(
            "\n{database}: {} single indexes that either uses: both {both}, only the estimate {}, only the planner {}; \
             off by {:.1} % (median), {:.1} % (three in four), {:.1} % (nine in ten) of the statement's cost",
            errors.len(),
            only.0,
            only.1,
            100.0 * at(50),
            100.0 * at(75),
            100.0 * at(90)
        );
    }
}

/// Real times of what `verify` keeps, then of the same set once more.
async fn real_times() {
    let admin = connect("postgres").await.unwrap();
    let (scratch, from) = ("plimsoll_bench_scratch", "tpch_nopk");
    let drop = format!("drop database if exists {scratch}");
    admin.batch_execute(&drop).await.unwrap();
    let make = format!("create database {scratch} template {from}");
    admin.batch_execute(&make).await.unwrap();
    let config = plimsoll::config::load(
        &plimsoll::config::Flags::default(),
        &[("HOME", "/nowhere")].into_iter().collect(),
    )
    .unwrap();
    let order = |advice: Option<Advice>, runs: u32| Order {
        scratch: url(scratch),
        target: None,
        advice,
        request: request(workload(&["21"]), 500, None),
        statement: Duration::from_mins(1),
        total: Duration::from_mins(15),
        runs,
        told: |_| {},
    };
    let footprint = Footprint::default();
    // Advice is for all statements; the one that takes minutes without an index is not run.
    let asked = request(workload(&[]), 500, None);
    let advice = of_target(from, &options(from), asked).await.unwrap();
    let first = run(&config, order(Some(advice), 3), &footprint).await;
    tell("first run", &first);
    let second = run(&config, order(Some(first), 3), &footprint).await;
    tell("second run, of what was kept", &second);
    admin.batch_execute(&drop).await.unwrap();
}

async fn run(config: &Config, order: Order, footprint: &Footprint) -> Advice {
    verify(config, order, footprint).await.unwrap()
}

fn tell(title: &str, advice: &Advice) {
    let proof = advice.proof.as_ref().unwrap();
    println!(
        "\n{title}: {:.2} s without, {:.2} s with {} indexes, {:.0} MB ({:.1} %); {} taken out; {:.0} s in all",
        proof.before_ms / 1e3,
        proof.after_ms / 1e3,
        proof.kept.len(),
        proof.built_bytes as f64 / 1e6,
        100.0 * proof.after_ms / proof.before_ms,
        proof.dropped.len(),
        proof.seconds
    );
    println!(
        "| statement | ms before | ms after | × | blocks before | after |\n|---|---|---|---|---|---|"
    );
    for timed in &proof.statements {
        println!(
            "| {} | {:.0} | {:.0} | {:.2} | {:.0} | {:.0} |",
            timed.name,
            timed.before_ms,
            timed.after_ms,
            timed.after_ms / timed.before_ms,
            timed.before_blocks,
            timed.after_blocks
        );
    }
    for unkept in &proof.dropped {
        println!("taken out: {}: {}", unkept.ddl, unkept.reason);
    }
}
