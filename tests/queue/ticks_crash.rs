//! Killed between any two writes, a schedule's ticks are each there once.
//!
//! The test runs its own binary again as a child whose clock goes from tick to tick; it dies at a
//! failpoint of the store. Then the same schedules go on here, and in the end every tick is a job.
#![expect(
    clippy::disallowed_methods,
    reason = "a child process is told its part by environment"
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use plimsoll::model::job::Durability;
use plimsoll::queue::{Embedded, JobStore, Options};
use plimsoll::store::failpoint;
use serde_json::json;

use crate::schedules::{Desk, wait};
use crate::support::*;

/// The clock of the child and of who comes after it; the first jump passes over three ticks.
const TIMES: [&str; 6] = ["12:00:01", "12:10", "12:40", "12:50", "12:50:30", "13:00"];
const TICKS: [&str; 6] = [
    "12:10:00", "12:20:00", "12:30:00", "12:40:00", "12:50:00", "13:00:00",
];

fn desk(dir: &Path, durability: Durability) -> Desk {
    let store = open_store(dir);
    let jobs = Embedded::open(&store, Options { durability }).unwrap();
    let keeper: Arc<dyn JobStore> = Arc::new(jobs);
    Desk::over(keeper, "12:00")
}

fn follow_clock(desk: &Desk) {
    if wait(desk.queues.schedules()).unwrap().is_empty() {
        desk.set(&json!({"pattern": "*/10 * * * *", "catchUp": "all"}));
    }
    for time in TIMES {
        desk.at(time);
    }
}

/// The child's part.
#[test]
fn child_lets_ticks_come_until_it_dies() {
    let Ok(dir) = std::env::var("PLIMSOLL_TEST_TICKS") else {
        return;
    };
    let desk = desk(Path::new(&dir), Durability::Commit);
    let point = std::env::var("PLIMSOLL_TEST_FAILPOINT").unwrap();
    let (name, nth) = point.split_once(':').unwrap();
    failpoint::arm(name, nth.parse().unwrap());
    follow_clock(&desk);
}

/// Runs a child; answers whether it died.
fn child_dies(dir: &Path, point: &str) -> bool {
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "ticks_crash::child_lets_ticks_come_until_it_dies",
        ])
        .env("PLIMSOLL_TEST_TICKS", dir)
        .env("PLIMSOLL_TEST_FAILPOINT", point)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    !child.unwrap().success()
}

#[test]
fn killed_between_any_two_writes_each_tick_is_enqueued_once() {
    let mut deaths = 0;
    for name in ["before_batch", "after_batch", "after_fdatasync"] {
        for nth in 1.. {
            let dir = tempfile::tempdir().unwrap();
            let store = dir.path().join("store");
            if !child_dies(&store, &format!("{name}:{nth}")) {
                break;
            }
            deaths += 1;
            let desk = desk(&store, Durability::None);
            // Twice over, with a clock that begins behind what was done.
            follow_clock(&desk);
            follow_clock(&desk);
            assert_eq!(desk.ticks(), TICKS, "{name}:{nth}");
        }
    }
    assert!(
        deaths >= 2 * TICKS.len(),
        "too little was written: {deaths}"
    );
}
