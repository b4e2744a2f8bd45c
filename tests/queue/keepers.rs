//! Every case of the conformance suite, on every keeper.

use plimsoll::queue::Memory;

use crate::support::{Ask, OnDisk};
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
