//! Killed between any two writes, the jobs stand as after the last transition or the one under way.
//!
//! The test runs its own binary again as a child that goes through a script and says how far it is;
//! it dies at a failpoint of the store. The script is then gone through in memory, and what is on
//! the disk must be what is there after as many steps as were answered, or after one more. What is
//! answered at once (a note) may be undone from the last step on that waited for the disk, and a
//! claim as long as its job has not moved on: the job is given out again.
#![expect(
    clippy::disallowed_methods,
    reason = "a child process is told its part by environment, and CI says so that it is CI"
)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use plimsoll::model::job::{Durability, JobState, Payload, QueueConfig};
use plimsoll::queue::{
    Ack, Claim, Claimed, Embedded, Ending, JobStore, Memory, Options, Outcome, QueueAdmin as _,
    Setting, Verb,
};
use plimsoll::store::{Store, failpoint};
use serde_json::json;

use crate::model::{Dump, Op, Subject, dump};
use crate::support::*;

/// One transition a step, each of the kinds that there are.
fn script() -> Vec<(Op, i64)> {
    let plain = json!({});
    let all = vec![
        (
            Op::Set(json!({"lease": 100, "backoff": 0, "removeOnComplete": {}})),
            0,
        ),
        // Emptied and taken away, job by job; and made again.
        (Op::AddMany(20, 2, plain.clone()), 0),
        (Op::Clear(0, 1), 0),
        (Op::Pause(true), 0),
        (Op::Clear(4, 1), 0),
        (Op::Clear(4, 1), 0),
        (
            Op::Set(json!({"lease": 100, "backoff": 0, "removeOnComplete": {}})),
            0,
        ),
        // Many together, and one that is given back.
        (Op::AddMany(30, 4, plain), 0),
        (Op::Pause(true), 0),
        (Op::Pause(false), 0),
        (Op::Claim(4), 0),
        (Op::SettleMany(3, 2), 1),
        (Op::Settle(3, 2), 1),
        (Op::Claim(1), 1),
        (Op::Settle(0, 0), 1),
        (Op::Add(1, json!({"deduplication": {"id": "d"}})), 0),
        (Op::Add(12, json!({"delay": 50, "key": "k"})), 0),
        (
            Op::Add(
                2,
                json!({"removeOnComplete": true, "deduplication": {"id": "e", "ttl": 9999}}),
            ),
            0,
        ),
        (Op::Claim(1), 1),
        (Op::Note(0), 2),
        (Op::Extend(0), 3),
        (Op::Settle(0, 4), 4),
        (Op::Claim(1), 5),
        (Op::Settle(0, 0), 6),
        (Op::Claim(1), 7),
        (Op::Settle(0, 1), 8),
        (
            Op::Flow(5, json!({"attempts": 1, "failParentOnFailure": true})),
            9,
        ),
        (Op::Claim(1), 10),
        (Op::Settle(0, 3), 11),
        (Op::Act(5, Verb::Retry), 12),
        (Op::Act(6, Verb::Remove), 13),
        (Op::Large(8, 150), 14),
        (Op::Claim(1), 15),
        (Op::Settle(0, 0), 16),
        (Op::Act(12, Verb::Promote), 17),
        (Op::Act(12, Verb::Cancel), 18),
        (Op::Retry(JobState::Cancelled, 1), 19),
        (Op::Claim(1), 20),
        (Op::Expire, 500),
    ];
    [all, kept_by_count()].concat()
}

fn kept_by_count() -> Vec<(Op, i64)> {
    let plain = json!({});
    vec![
        // Ended ones are kept by count: as the queue says, and as one says itself.
        (
            Op::Set(json!({"lease": 100, "backoff": 0, "removeOnComplete": 2})),
            501,
        ),
        (Op::AddMany(60, 5, plain.clone()), 501),
        (Op::Claim(5), 501),
        (Op::Settle(4, 1), 502),
        (Op::Settle(3, 0), 503),
        (Op::Settle(2, 0), 504),
        (Op::Add(4, json!({"removeOnComplete": 1})), 505),
        (Op::Claim(1), 506),
        (Op::Settle(0, 0), 507),
        (Op::Settle(2, 1), 508),
        (Op::Pause(true), 509),
        (Op::Add(3, plain), 510),
    ]
}

fn open(dir: &Path, durability: Durability) -> (Arc<Store>, Embedded) {
    let store = Arc::new(open_store(dir));
    let jobs = Embedded::open(&store, Options { durability }).unwrap();
    (store, jobs)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

/// The child's part.
#[test]
fn child_follows_the_script_until_it_dies() {
    let Ok(dir) = std::env::var("PLIMSOLL_TEST_SCRIPT") else {
        return;
    };
    let (_store, jobs) = open(Path::new(&dir), Durability::Commit);
    let point = std::env::var("PLIMSOLL_TEST_FAILPOINT").unwrap();
    let (name, nth) = point.split_once(':').unwrap();
    failpoint::arm(name, nth.parse().unwrap());
    let mut leases = Vec::new();
    for (nth, (op, ms)) in script().iter().enumerate() {
        let mut subject = Subject::new(&jobs, &mut leases);
        runtime().block_on(subject.apply(op, *ms));
        println!("\nstep {}", nth + 1);
    }
    println!("\nthe end");
}

/// Runs a child; answers how many steps were answered, and whether it died.
fn follow(dir: &Path, point: &str) -> (usize, bool) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "crash::child_follows_the_script_until_it_dies",
            "--nocapture",
        ])
        .env("PLIMSOLL_TEST_SCRIPT", dir)
        .env("PLIMSOLL_TEST_FAILPOINT", point)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut steps = 0;
    for line in output.lines().map_while(Result::ok) {
        if let Some(number) = line.strip_prefix("step ") {
            steps = number.parse().unwrap();
        }
    }
    (steps, !child.wait().unwrap().success())
}

/// What is held after so many steps, by the simplest keeper.
fn after(steps: usize) -> Dump {
    let memory = Memory::empty();
    let mut leases = Vec::new();
    for (op, ms) in script().iter().take(steps) {
        now(Subject::new(&memory, &mut leases).apply(op, *ms));
    }
    memory.restart();
    dump(&memory)
}

/// The same with every claim undone of a job that is still being worked on.
fn unclaimed((counts, mut lists): Dump) -> Dump {
    let mut jobs = lists.remove(&JobState::Active).unwrap_or_default();
    jobs.extend(lists.remove(&JobState::Waiting).unwrap_or_default());
    for job in &mut jobs {
        job.state = JobState::Waiting;
        (job.lease, job.claimed_at, job.attempts_started) = (None, None, 0);
    }
    jobs.sort_by(|a, b| a.id.cmp(&b.id));
    lists.insert(JobState::Waiting, jobs);
    let counts = counts.map(|mut counts| {
        counts.waiting += std::mem::take(&mut counts.active);
        counts.oldest_waiting = None;
        counts
    });
    (counts, lists)
}

#[test]
fn killed_between_any_two_writes_each_transition_is_there_wholly_or_not_at_all() {
    let mut deaths = 0;
    for name in [
        "before_wal_write",
        "mid_wal_frame",
        "after_wal_write",
        "before_wal_rotate",
        "after_wal_rotate",
        "before_batch",
        "after_batch",
        "after_flush",
        "after_fdatasync",
    ] {
        for nth in 1.. {
            let dir = tempfile::tempdir().unwrap();
            let store = dir.path().join("store");
            let (steps, died) = follow(&store, &format!("{name}:{nth}"));
            if !died {
                assert_eq!(steps, script().len());
                break;
            }
            deaths += 1;
            let (_store, jobs) = open(&store, Durability::None);
            let found = dump(&jobs);
            let all = script();
            let sure = (0..=steps)
                .rev()
                .find(|n| *n == 0 || all[n - 1].0.is_durable());
            let allowed = sure.unwrap()..=(steps + 1).min(all.len());
            let found = unclaimed(found);
            let is_one = allowed
                .clone()
                .any(|steps| found == unclaimed(after(steps)));
            let step = &all[steps.min(all.len() - 1)];
            assert!(
                is_one,
                "{name}:{nth} in {step:?}, not as after {allowed:?}: {found:#?}"
            );
        }
    }
    assert!(deaths > 60, "next to nothing was written: {deaths}");
}

/// Jobs that are kept of those that are done, in a store that does not grow.
const KEPT: u64 = 50;
/// Jobs that its worker ends at once.
const TOGETHER: usize = 16;

/// Jobs that a producer adds at once.
fn bulk() -> usize {
    let bulk = std::env::var("PLIMSOLL_TEST_BULK");
    bulk.map_or(1, |bulk| bulk.parse().unwrap())
}

/// The round of a store that does not grow; empty where it does.
fn round() -> String {
    let round = std::env::var("PLIMSOLL_TEST_STEADY");
    round.map_or_else(|_| String::new(), |round| format!("r{round}"))
}

fn id_of(round: &str, producer: i64, n: i64) -> String {
    format!("{round}p{producer}-{n}")
}

/// The child's part: four producers and a worker say what was acknowledged. Run by `power_cut.py` and
/// `killed`.
#[test]
fn child_enqueues_and_works_until_it_dies() {
    let Ok(dir) = std::env::var("PLIMSOLL_TEST_CHILD") else {
        return;
    };
    let (_store, jobs) = open(Path::new(&dir), Durability::Commit);
    let jobs = Arc::new(jobs);
    // In a store that does not grow, what is done goes.
    let keep = if round().is_empty() {
        json!(false)
    } else {
        json!({"count": KEPT})
    };
    runtime().block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for producer in 0..4 {
            let (jobs, keep) = (Arc::clone(&jobs), keep.clone());
            tasks.spawn(async move {
                let mut first = 0;
                let id_of = |n| id_of(&round(), producer, n);
                while jobs.get(&bar(), &id_of(first)).await.is_ok() {
                    first += 1;
                }
                let one = |n| {
                    let id = id_of(n);
                    job("j", json!({"jobId": id, "removeOnComplete": keep}))
                };
                for n in (first..).step_by(bulk()) {
                    let last = n + i64::try_from(bulk()).unwrap() - 1;
                    let some = (n..=last).map(one).collect();
                    let added = jobs.enqueue(&bar(), some, at(0)).await.unwrap();
                    assert!(added.iter().all(Result::is_ok));
                    println!("\nadded.{producer} {last}");
                }
            });
        }
        tasks.spawn(work(Arc::clone(&jobs)));
        tasks.join_next().await
    });
}

async fn work(jobs: Arc<Embedded>) {
    let mut config = QueueConfig::default();
    (config.attempts, config.backoff.delay) = (1_000, millis(0));
    let setting = Setting::Config(Box::new(config));
    jobs.configure(&bar(), setting).await.unwrap();
    // What was under way at the last cut comes first, so that jobs are done in their order.
    jobs.expire(1_000, at(60_000)).await.unwrap();
    let claim = Claim {
        // As many as come, where the store is not to grow.
        max: if round().is_empty() { 1 } else { TOGETHER },
        lease: None,
        worker: "w".to_owned(),
    };
    loop {
        let held = jobs.claim(&bar(), &claim, at(0)).await;
        let held = held.as_deref().unwrap_or_default();
        if held.is_empty() {
            tokio::task::yield_now().await;
            continue;
        }
        let ending = |one: &Claimed| Ending {
            id: one.job.id.clone(),
            token: one.lease.token.clone(),
            outcome: Outcome::Complete(Payload::default()),
        };
        let endings = held.iter().map(ending).collect();
        let settled = jobs.settle_many(&bar(), endings, Ack::OnDisk, at(1)).await;
        assert!(settled.unwrap().iter().all(Result::is_ok));
        for one in held {
            let id = &one.job.id;
            // What a round before left says nothing about this one.
            if let Some(own) = id.strip_prefix(&format!("{}p", round())) {
                let (producer, n) = own.split_once('-').unwrap();
                println!("\ndone.{producer} {n}");
            }
        }
        tokio::task::yield_now().await;
    }
}

/// The check after a cut. Run by `power_cut.py`.
#[test]
fn no_acknowledged_job_may_be_missing_after_power_loss() {
    let Ok(dir) = std::env::var("PLIMSOLL_TEST_CHECK") else {
        return;
    };
    let said = std::env::var("PLIMSOLL_TEST_SAID").unwrap();
    let said = said
        .split_whitespace()
        .filter_map(|pair| pair.split_once('='))
        .map(|(word, number)| (word.to_owned(), number.parse().unwrap()))
        .collect();
    println!("kept {}", check_left(Path::new(&dir), &said, &round()));
}

/// Holds a store after its end to what was said by then, by word and producer; how many jobs it was
/// asked for. With a round it is one that does not grow.
pub(crate) fn check_left(dir: &Path, said: &BTreeMap<String, i64>, round: &str) -> usize {
    let (_store, jobs) = open(dir, Durability::None);
    let is_steady = !round.is_empty();
    let mut asked = 0;
    for producer in 0..4 {
        let last = |word: &str| {
            let last = said.get(&format!("{word}.{producer}"));
            last.copied().unwrap_or(-1)
        };
        for n in 0..=last("added") {
            let id = id_of(round, producer, n);
            let one = now(jobs.get(&bar(), &id));
            // Jobs of one producer are done in the order in which they came.
            if n <= last("done") {
                let is_done = one
                    .as_ref()
                    .is_ok_and(|one| one.state == JobState::Completed);
                assert!(is_done || (is_steady && one.is_err()), "{id} was done");
            } else {
                // It may be done, but not for so long that others have taken its place.
                assert!(one.is_ok(), "{id} was added");
            }
            asked += 1;
        }
    }
    let most = KEPT + TOGETHER as u64;
    let kept = now(jobs.counts(&bar())).map_or(0, |counts| counts.completed);
    assert!(!is_steady || kept <= most, "{kept} are kept");
    asked
}

fn cut(store: &str, rounds: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/power_cut.py");
    let output = Command::new("python3")
        .arg(script)
        .arg(std::env::current_exe().unwrap())
        .args(["--play", "jobs", "--store", store, "--rounds", rounds])
        .output();
    let (code, text) = match output {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            (
                output.status.code(),
                String::from_utf8_lossy(&text).into_owned(),
            )
        }
        Err(error) => (Some(77), error.to_string()),
    };
    if code == Some(77) && std::env::var("CI").is_err() {
        eprintln!("SKIPPED: no power was cut on this machine: {text}");
        return;
    }
    assert_eq!(code, Some(0), "{store}: {text}");
}

#[test]
fn a_power_cut_loses_no_job_that_was_acknowledged() {
    cut("growing", "20");
}

#[test]
fn a_power_cut_loses_no_job_of_a_new_store() {
    cut("fresh", "10");
}

#[test]
fn a_power_cut_loses_no_job_of_bulks_nor_the_queue() {
    cut("bulk", "10");
}

#[test]
fn a_power_cut_loses_no_job_of_a_store_at_rest() {
    cut("steady", "10");
}
