//! Power cuts: what was acknowledged is on the disk, not only on its way there.
#![expect(
    clippy::disallowed_methods,
    reason = "CI says by environment that it is CI, and a child process is told its part by it"
)]

use std::collections::BTreeMap;
use std::process::Command;

use plimsoll::store::{Options, Selector, SeriesId, Store};

use crate::crash::said;
use crate::pushing::{batch, bits, learn, push};
use crate::support::*;

/// Exit code of `power_cut.py` where the machine cannot mount a loop device.
const CANNOT_MOUNT: i32 = 77;
/// Senders that push at the same time, so that their commits share syncs.
const SENDERS: u32 = 4;
/// Series of each sender.
const SERIES: u32 = 8;
/// Samples of a series in one push, a minute apart: a span is 24 pushes.
const SAMPLES: i64 = 5;

/// Cuts the power under a play of `power_cut.py`, so many times.
fn cut(play: &str, rounds: u32) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/power_cut.py");
    let output = Command::new("python3")
        .arg(script)
        .arg(std::env::current_exe().unwrap())
        .args(["--play", play, "--rounds", &rounds.to_string()])
        .output();
    let (code, text) = match output {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            (
                output.status.code(),
                String::from_utf8_lossy(&text).into_owned(),
            )
        }
        Err(error) => (Some(CANNOT_MOUNT), error.to_string()),
    };
    if code == Some(CANNOT_MOUNT) && std::env::var("CI").is_err() {
        eprintln!("SKIPPED: no power was cut on this machine: {text}");
        return;
    }
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    cut("scrapes", 6);
}

#[test]
fn a_power_cut_loses_no_push_that_was_acknowledged() {
    cut("pushes", 20);
}

fn value(series: u32, sample: i64) -> f64 {
    (sample * 100) as f64 + f64::from(series) + 0.5
}

fn number_of(sender: u32, series: u32) -> u32 {
    sender * SERIES + series
}

/// Push number `n` of a sender.
fn send(store: &Store, sender: u32, ids: &[SeriesId], n: i64) {
    let run = |series: u32| -> Vec<(i64, f64)> {
        (n * SAMPLES..(n + 1) * SAMPLES)
            .map(|sample| (sample * minutes(1), value(series, sample)))
            .collect()
    };
    let runs: Vec<_> = (0..SERIES)
        .map(|series| run(number_of(sender, series)))
        .collect();
    push(
        store,
        &batch(ids.iter().copied().zip(runs.iter().map(Vec::as_slice))),
    );
}

/// The child's part: senders push at the same time and say what was acknowledged, until the power
/// is cut. Run by `power_cut.py`.
#[test]
fn child_pushes_together_until_it_dies() {
    let Ok(dir) = std::env::var("PLIMSOLL_TEST_CHILD") else {
        return;
    };
    let store = Store::open(Options::in_dir(&dir)).unwrap();
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let store = &store;
            scope.spawn(move || {
                let ids: Vec<SeriesId> = (0..SERIES)
                    .map(|series| learn(store, number_of(sender, series)).unwrap())
                    .collect();
                let done = i64::try_from(bits(store, ids[0]).len()).unwrap() / SAMPLES;
                for n in done.. {
                    send(store, sender, &ids, n);
                    println!("\npushed.{sender} {n}");
                    if sender == 0 {
                        store.tick(at(n * SAMPLES * minutes(1))).unwrap();
                    }
                }
            });
        }
    });
}

/// The check after a cut. Run by `power_cut.py`.
#[test]
fn no_acknowledged_push_may_be_missing_after_power_loss() {
    let Ok(dir) = std::env::var("PLIMSOLL_TEST_CHECK") else {
        return;
    };
    let said = said();
    let store = Store::open(Options::in_dir(&dir)).unwrap();
    let series = store.history().series(&Selector::metric("pushed_total"));
    let mut kept: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
    for one in &series {
        let number: u32 = one.key.labels.get("n").unwrap().parse().unwrap();
        let all = bits(&store, one.id);
        for (sample, (ms, value_bits)) in (0i64..).zip(&all) {
            let wanted = (sample * minutes(1), value(number, sample).to_bits());
            assert_eq!((*ms, *value_bits), wanted, "series {number}");
        }
        let samples = i64::try_from(all.len()).unwrap();
        assert_eq!(samples % SAMPLES, 0, "series {number}: half a push");
        kept.entry(number / SERIES)
            .or_default()
            .push(samples / SAMPLES - 1);
    }
    for sender in 0..SENDERS {
        let acknowledged = said.get(&format!("pushed.{sender}")).copied().unwrap_or(-1);
        let last = kept.remove(&sender).unwrap_or_default();
        assert!(
            last.windows(2).all(|pair| pair[0] == pair[1]),
            "sender {sender}: {last:?}"
        );
        let is_whole = last.len() == SERIES as usize || last.iter().all(|n| *n == -1);
        assert!(is_whole, "sender {sender}: {last:?} of {SERIES} series");
        let last = last.first().copied().unwrap_or(-1);
        assert!(
            last >= acknowledged,
            "sender {sender}: {acknowledged} was acknowledged, {last} is there"
        );
        println!("kept {sender} {last}");
    }
}
