//! A process that is killed, again and again, while it keeps the newest of what is done: what lives
//! stays, and what was done stays done or is gone.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::crash;

/// Runs the child until it has said so many lines, kills it, and answers what it had said.
fn said_until_killed(dir: &Path, round: usize, lines: usize) -> BTreeMap<String, i64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "crash::child_enqueues_and_works_until_it_dies",
            "--nocapture",
        ])
        .env("PLIMSOLL_TEST_CHILD", dir)
        .env("PLIMSOLL_TEST_STEADY", round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = BTreeMap::new();
    let mut note = |line: std::io::Result<String>| {
        let line = line.unwrap();
        if let Some((word, number)) = line.split_once(' ')
            && let Ok(number) = number.parse()
            && word.contains('.')
        {
            said.insert(word.to_owned(), number);
        }
    };
    output.by_ref().take(lines).for_each(&mut note);
    child.kill().unwrap();
    // What it said before it was killed counts, too.
    output.for_each(note);
    child.wait().unwrap();
    said
}

#[test]
fn a_killed_process_loses_no_job_that_lives_and_brings_back_none_that_was_trimmed() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let mut asked = 0;
    for round in 0..20 {
        // From hardly begun to long after the first were trimmed.
        let said = said_until_killed(&store, round, 5 + round * 97 % 800);
        asked += crash::check_left(&store, &said, &format!("r{round}"));
    }
    assert!(asked > 1_000, "next to nothing was done: {asked}");
}
