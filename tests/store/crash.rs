//! Killed at any moment, the store opens again with everything that it has promised.
//!
//! The test runs its own binary again as a child that writes scrapes and records and says on its
//! standard output what was acknowledged; the child dies at a failpoint or by SIGKILL. Everything
//! about the scrapes follows from their number, so the parent knows what must be there, and that
//! nothing else may be.
#![expect(
    clippy::disallowed_methods,
    reason = "a child process is told its part by environment"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use plimsoll::model::series::{Labels, Metric, Scrape};
use plimsoll::store::{Options, Selector, Store, failpoint};

use crate::support::*;

const SERIES: i64 = 40;
const EACH: Metric = Metric::counter("each_total", "Numbered.").exact_to(0.25);
/// Scrapes are a minute apart, so that a child passes through many spans.
const APART: i64 = 60_000;

/// Value of a series in scrape number `n`: no two scrapes agree.
fn value(n: i64, series: i64) -> f64 {
    (n * 1_000 + series) as f64 + 0.25
}

fn numbered(n: i64) -> Scrape {
    let sample = |series: i64| {
        EACH.sample(
            Labels::none().with("n", series.to_string()),
            value(n, series),
        )
    };
    Scrape {
        target: TARGET.into(),
        at: at(n * APART),
        samples: (0..SERIES).map(sample).collect(),
    }
}

/// What the child promised.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Promised {
    /// Last scrape whose append returned.
    wrote: i64,
    /// Last scrape before a sync or a tick that returned.
    synced: i64,
    /// Last record whose put returned.
    record: i64,
}

impl Promised {
    fn hear(&mut self, line: &str) {
        // libtest prints before the first line without ending its own.
        for (word, place) in [
            ("wrote ", &mut self.wrote),
            ("synced ", &mut self.synced),
            ("record ", &mut self.record),
        ] {
            if let Some((_, number)) = line.rsplit_once(word)
                && let Ok(number) = number.trim().parse()
            {
                *place = number;
            }
        }
    }
}

/// The child's part: writes until it is killed. Also run under `power_cut.py`.
#[test]
fn child_writes_until_it_dies() {
    let Ok(dir) = std::env::var("PLIMSOLL_TEST_CHILD") else {
        return;
    };
    if let Ok(point) = std::env::var("PLIMSOLL_TEST_FAILPOINT") {
        let (name, nth) = point.split_once(':').unwrap();
        failpoint::arm(name, nth.parse().unwrap());
    }
    let store = Store::open(Options::in_dir(&dir)).unwrap();
    let first = last_scrape(&store) + 1;
    let limit = std::env::var("PLIMSOLL_TEST_SCRAPES").map_or(i64::MAX, |n| n.parse().unwrap());
    // The one before may have died between its scrape and its record.
    record(&store, first - 1);
    for n in first..first.saturating_add(limit) {
        store.history().append(&numbered(n)).unwrap();
        println!("wrote {n}");
        if n % 7 == 0 {
            store.sync().unwrap();
            println!("synced {n}");
        }
        record(&store, n);
        store.tick(at(n * APART)).unwrap();
        println!("synced {n}");
    }
}

fn record(store: &Store, n: i64) {
    if n >= 0 && n % 11 == 0 {
        store
            .records()
            .put("crash", "latest", &vec![n; 100])
            .unwrap();
        store
            .records()
            .put("crash", &format!("{n:09}"), &n)
            .unwrap();
        println!("record {n}");
    }
}

fn last_scrape(store: &Store) -> i64 {
    let last = store.history().last(&Selector::metric(EACH.name));
    let newest = last.iter().map(|(_, when, _)| when.as_millis()).max();
    newest.map_or(-1, |ms| (ms - start().as_millis()) / APART)
}

/// Opens the folder and holds it against what was promised; returns the last scrape.
pub(crate) fn check(dir: &Path, at_least: i64, record_at_least: i64) -> i64 {
    let store = Store::open(Options::in_dir(dir)).unwrap();
    let last = last_scrape(&store);
    assert!(
        last >= at_least,
        "scrapes up to {at_least} were promised, {last} is the last"
    );
    let series = store.history().series(&Selector::metric(EACH.name));
    if last >= 0 {
        assert_eq!(i64::try_from(series.len()), Ok(SERIES));
    }
    for series in &series {
        let number: i64 = series.key.labels.get("n").unwrap().parse().unwrap();
        let values = store
            .history()
            .raw(series.id, at(0), at(i64::MAX / 2))
            .unwrap();
        let expected: Vec<_> = (0..=last)
            .map(|n| (at(n * APART), value(n, number)))
            .collect();
        assert_eq!(values.len(), expected.len(), "series {number}");
        assert_eq!(values, expected, "series {number}");
    }
    check_rollups(&store, last);
    let records: Vec<(String, serde_json::Value)> = store.records().list("crash").unwrap();
    let records: BTreeMap<String, serde_json::Value> = records.into_iter().collect();
    let newest = records
        .keys()
        .filter_map(|id| id.parse::<i64>().ok())
        .max()
        .unwrap_or(-1);
    assert!(
        newest >= record_at_least,
        "record {record_at_least} was promised, {newest} is the last"
    );
    for n in (0..=newest).filter(|n| n % 11 == 0) {
        assert_eq!(records[&format!("{n:09}")], n);
    }
    if newest >= 0 {
        let latest: Vec<i64> = store.records().get("crash", "latest").unwrap().unwrap();
        assert!(
            latest.len() == 100 && latest.iter().all(|n| *n == latest[0]),
            "a record is whole"
        );
        assert!(latest[0] >= newest);
    }
    last
}

/// Every sealed hour must hold each of its scrapes once.
fn check_rollups(store: &Store, last: i64) {
    let Some(series) = store.history().series(&Selector::metric(EACH.name)).pop() else {
        return;
    };
    let until = at((last + 1) * APART);
    let counts = store.history().window(
        series.id,
        at(0),
        until,
        step(hours(1)),
        plimsoll::store::Fold::Count,
    );
    let counts = counts.unwrap().values;
    for (hour, count) in (0i64..).zip(&counts) {
        let expected = (last + 1 - hour * 60).min(60);
        assert_eq!(*count, expected as f64, "hour {hour}");
    }
}

fn spawn(dir: &Path, failpoint: Option<String>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "crash::child_writes_until_it_dies",
            "--nocapture",
        ])
        .env("PLIMSOLL_TEST_CHILD", dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(failpoint) = failpoint {
        command.env("PLIMSOLL_TEST_FAILPOINT", failpoint);
        command.env("PLIMSOLL_TEST_SCRAPES", "2000");
    }
    command.spawn().unwrap()
}

/// Runs a child to its death; it is killed after `lines` lines, if it lives so long.
fn run(dir: &Path, failpoint: Option<String>, lines: usize) -> (Promised, bool) {
    let mut child = spawn(dir, failpoint);
    let mut promised = Promised {
        wrote: -1,
        synced: -1,
        record: -1,
    };
    let output = BufReader::new(child.stdout.take().unwrap());
    for (i, line) in output.lines().map_while(Result::ok).enumerate() {
        promised.hear(&line);
        if i == lines {
            child.kill().unwrap();
        }
    }
    let died = !child.wait().unwrap().success();
    (promised, died)
}

#[test]
fn killed_at_every_failpoint_nothing_written_is_lost() {
    let dir = folder();
    for (round, name) in (0u64..).zip(failpoint::NAMES) {
        for nth in [1, 2 + round % 3] {
            let (promised, died) = run(dir.path(), Some(format!("{name}:{nth}")), usize::MAX);
            assert!(died, "{name}:{nth} was never passed");
            check(dir.path(), promised.wrote, promised.record);
        }
    }
}

#[test]
fn killed_at_any_moment_nothing_written_is_lost() {
    let dir = folder();
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut last = -1;
    for round in 0..20 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let lines = usize::try_from(seed % 600).unwrap();
        let (promised, died) = run(dir.path(), None, lines);
        assert!(died, "round {round} ended by itself");
        last = check(dir.path(), promised.wrote.max(last), promised.record);
    }
    assert!(last > 20, "the children wrote next to nothing: {last}");
}

#[test]
fn nothing_that_was_synced_may_be_missing_after_power_loss() {
    // Run by `power_cut.py` after each cut, with what the child had said by then.
    let Ok(dir) = std::env::var("PLIMSOLL_TEST_CHECK") else {
        return;
    };
    let said = said();
    let number = |word: &str| said.get(word).copied().unwrap_or(-1);
    let last = check(Path::new(&dir), number("synced"), number("record"));
    println!("kept {last}");
}

/// What a child had said before the power was cut: the last number after each word.
pub(crate) fn said() -> BTreeMap<String, i64> {
    let said = std::env::var("PLIMSOLL_TEST_SAID").unwrap();
    let pairs = said.split_whitespace().map(|pair| {
        let (word, number) = pair.split_once('=').unwrap();
        (word.to_owned(), number.parse().unwrap())
    });
    pairs.collect()
}
