//! Every case of the conformance suite, on every keeper.

use plimsoll::model::job::JobState;
use plimsoll::queue::{Memory, Verb};
use serde_json::json;

use crate::support::{Ask, OnDisk, at, now};
use crate::{conformance, flows, letters, settling};

fn cases() -> Vec<conformance::Case> {
    [
        conformance::CASES,
        letters::CASES,
        flows::CASES,
        settling::CASES,
    ]
    .concat()
}

#[test]
fn the_keeper_in_memory_does_what_every_keeper_does() {
    for (name, case) in cases() {
        println!("{name}");
        case(&Ask(&Memory::empty()));
    }
}

#[test]
fn the_embedded_keeper_does_what_every_keeper_does() {
    for (name, case) in cases() {
        println!("{name}");
        let disk = OnDisk::new();
        case(&Ask(disk.jobs.as_ref()));
    }
}

#[test]
fn a_parent_is_known_by_its_number_after_a_restart_too() {
    let flow = |child: &str| {
        let child = flows::part("bar", child, json!({}), Vec::new());
        flows::part("bar", "top", json!({}), vec![child])
    };
    let disk = OnDisk::new();
    let ask = Ask(disk.jobs.as_ref());
    now(ask.0.enqueue_flow(flow("old"), at(0))).unwrap();
    ask.act("top", Verb::Remove, 1).unwrap();
    now(ask.0.enqueue_flow(flow("new"), at(2))).unwrap();
    let disk = disk.reopen();
    let ask = Ask(disk.jobs.as_ref());
    let held = ask.claim(2, 3);
    assert_eq!(held[1].job.id, "new");
    ask.complete(&held[1], 4);
    assert_eq!(ask.job("top").state, JobState::Waiting);
}
