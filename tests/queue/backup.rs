//! Backups and checks of a store know its jobs.

use plimsoll::model::job::Durability;
use plimsoll::store::{repair, restore, verify};
use serde_json::json;

use crate::flows::part;
use crate::model::dump;
use crate::support::*;
use plimsoll::queue::{Embedded, JobStore as _, Options};

#[test]
fn a_backup_brings_the_jobs_along_and_a_check_reads_them() {
    let disk = OnDisk::new();
    let ask = Ask(disk.jobs.as_ref());
    for n in 0..300 {
        ask.add(&format!("j{n}"), json!({"delay": n % 2 * 1_000}), n);
    }
    let leaf = part("bar", "leaf", json!({}), Vec::new());
    now(disk
        .jobs
        .enqueue_flow(part("bar", "top", json!({}), vec![leaf]), at(0)))
    .unwrap();
    ask.complete(&ask.one(1), 2);
    ask.fail(&ask.one(3), json!({"message": "m", "retryable": false}), 4);
    let held = dump(disk.jobs.as_ref());
    let mut file = Vec::new();
    disk.store.backup(&mut file, |_| ()).unwrap();
    let live = disk.store.verify().unwrap();
    assert!(live.problems.is_empty(), "{:?}", live.problems);
    let to = disk.dir.path().join("restored");
    restore(&to, &mut file.as_slice(), |_| ()).unwrap();
    let at_rest = verify(&to).unwrap();
    assert!(at_rest.problems.is_empty(), "{:?}", at_rest.problems);
    assert!(at_rest.keys > 300, "{}", at_rest.keys);
    let store = open_store(&to);
    let jobs = Embedded::open(&store, Options::default()).unwrap();
    let found = dump(&jobs);
    assert_eq!(found, held);
}

#[test]
fn a_check_and_a_repair_read_what_a_crash_left_in_the_journal() {
    let disk = OnDisk::in_folder(tempfile::tempdir().unwrap(), Durability::Commit);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let one = |n| job("j", json!({"jobId": format!("j{n}")}));
    let queue = bar();
    let added = disk.jobs.enqueue(&queue, (0..50).map(one).collect(), at(0));
    assert!(runtime.block_on(added).unwrap().iter().all(Result::is_ok));
    let held = dump(disk.jobs.as_ref());
    // As it stands on the disk at this instant, most of it not in the database.
    let crashed = disk.dir.path().join("crashed");
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .args([disk.store.dir(), &crashed])
        .status();
    assert!(copied.unwrap().success());
    let at_rest = verify(&crashed).unwrap();
    assert!(at_rest.problems.is_empty(), "{:?}", at_rest.problems);
    let to = disk.dir.path().join("repaired");
    let repaired = repair(&crashed, &to).unwrap();
    assert!(repaired.losses.is_empty(), "{:?}", repaired.losses);
    let store = open_store(&to);
    let jobs = Embedded::open(&store, Options::default()).unwrap();
    assert_eq!(dump(&jobs), held);
}
