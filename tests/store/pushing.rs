//! Pushed samples: kept in any order, sealed in few pieces, and not lost once acknowledged.
#![expect(
    clippy::disallowed_methods,
    reason = "a child process is told its part by environment"
)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use plimsoll::model::series::{Kind, Labels, SeriesKey};
use plimsoll::store::{
    Batch, Error, Fold, NewSeries, Options, Selector, SeriesId, Store, failpoint,
};

use crate::support::*;

fn key(number: u32) -> SeriesKey {
    SeriesKey {
        metric: "pushed_total".into(),
        labels: Labels::none().with("n", number.to_string()),
    }
}

pub(crate) fn learn(store: &Store, number: u32) -> Option<SeriesId> {
    let series = NewSeries {
        target: "push:job@host",
        key: &key(number),
        kind: Kind::Counter,
        resolution: None,
    };
    let raw = format!("raw {number}");
    let id = store.history().learn(raw.as_bytes(), &series, start());
    let id = id.unwrap();
    assert_eq!(store.history().known(raw.as_bytes()), id);
    id
}

/// A batch of one run a series: samples as offsets from [`start`].
pub(crate) fn batch<'a>(runs: impl IntoIterator<Item = (SeriesId, &'a [(i64, f64)])>) -> Batch {
    let mut batch = Batch::default();
    for (id, run) in runs {
        for (ms, value) in run {
            assert!(batch.sample(at(*ms).as_millis(), *value));
        }
        batch.keep(id);
    }
    batch
}

pub(crate) fn push(store: &Store, batch: &Batch) {
    let pushed = store.history().push(batch).unwrap();
    assert_eq!(pushed.samples, batch.len() as u64);
    store.history().commit(pushed).unwrap();
}

pub(crate) fn bits(store: &Store, id: SeriesId) -> Vec<(i64, u64)> {
    let raw = store.history().raw(id, at(-hours(48)), at(hours(480)));
    raw.unwrap()
        .into_iter()
        .map(|(when, value)| (when.as_millis() - start().as_millis(), value.to_bits()))
        .collect()
}

#[test]
fn late_double_and_strange_samples_are_kept_and_the_later_one_stays() {
    let dir = folder();
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let store = open(&dir);
    let (a, b) = (learn(&store, 1).unwrap(), learn(&store, 2).unwrap());
    let first = [(10, 1.0), (20, 2.0), (30, stale), (hours(2) + 5, 4.0)];
    let second = [(25, -0.0), (20, 2.5), (20, 2.75), (-hours(3), 9.0)];
    push(&store, &batch([(a, &first[..]), (b, &first[..])]));
    push(&store, &batch([(b, &second[..])]));
    push(&store, &Batch::default());
    let wanted: Vec<(i64, u64)> = [
        (-hours(3), 9.0),
        (10, 1.0),
        (20, 2.75),
        (25, -0.0),
        (30, stale),
        (hours(2) + 5, 4.0),
    ]
    .map(|(ms, value): (i64, f64)| (ms, value.to_bits()))
    .into();
    assert_eq!(bits(&store, b), wanted);
    assert_eq!(bits(&store, a).len(), 4);
    drop(store);
    let store = open(&dir);
    assert_eq!(store.opened().recovered_samples, 12);
    assert_eq!(bits(&store, b), wanted);
    let last = store.history().last(&Selector::metric("pushed_total"));
    assert!(
        last.iter()
            .all(|(_, when, value)| *when == at(hours(2) + 5) && *value == 4.0)
    );
    // Seven hours on, everything is sealed; what comes then lies beside it.
    for minute in 0..7 {
        store.tick(at(hours(9) + minutes(minute))).unwrap();
    }
    assert_eq!(bits(&store, b), wanted);
    push(&store, &batch([(b, &[(10, 7.0)][..])]));
    assert_eq!(bits(&store, b)[1], (10, 7.0f64.to_bits()));
}

#[test]
fn a_past_that_is_pushed_into_a_running_store_is_sealed_when_no_more_comes() {
    let dir = folder();
    let store = open(&dir);
    // The present, as a server that watches something has it.
    fill(&store, hours(24), hours(24) + minutes(1));
    let ids: Vec<_> = (0..100).map(|n| learn(&store, n).unwrap()).collect();
    let mut noise = 1u64;
    for hour in 0..24 {
        let run: Vec<(i64, f64)> = (0..360)
            .map(|n| {
                noise = noise
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (hours(hour) + n * STEP, (noise >> 12) as f64)
            })
            .collect();
        push(&store, &batch(ids.iter().map(|id| (*id, &run[..]))));
    }
    let now = hours(24) + minutes(2);
    let tick = |later: i64| store.tick(at(now + later)).unwrap();
    assert_eq!(tick(0).sealed_logs, 0);
    assert_eq!(tick(10_000).sealed_logs, 0, "more of it may come");
    let sealed = tick(40_000);
    assert_eq!(
        (sealed.sealed_logs, sealed.sealed_samples),
        (1, 24 * 360 * 100),
        "the present goes on in the next log"
    );
    assert_eq!(bits(&store, ids[7]).len(), 24 * 360);
    let present = || {
        let series = store.history().series(&Selector::metric(XACTS.name));
        bits(&store, series[0].id).len()
    };
    assert_eq!(present(), 6);
    for minute in 0..7 {
        store.tick(at(hours(26) + minutes(minute))).unwrap();
    }
    assert_eq!(present(), 6);
}

#[test]
fn who_pushes_faster_than_can_be_sealed_waits_for_it() {
    const SPANS: i64 = 16;
    let dir = folder();
    let store = open(&dir);
    let ids: Vec<_> = (0..500).map(|n| learn(&store, n).unwrap()).collect();
    let noise = |n: i64| f64::from_bits(n.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2);
    let (said, heard) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let (store, ids) = (&store, &ids);
        scope.spawn(move || {
            for span in 0..SPANS {
                let run: Vec<(i64, f64)> = (0..720)
                    .map(|n| (hours(2 * span) + n * STEP, noise(span * 720 + n)))
                    .collect();
                push(store, &batch(ids.iter().map(|id| (*id, &run[..]))));
                said.send(span).unwrap();
            }
        });
        let mut waited = 0;
        loop {
            match heard.recv_timeout(std::time::Duration::from_secs(2)) {
                Ok(_) => {}
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                    // It waits for the first tick: what lies in memory has a bound.
                    let logs = std::fs::read_dir(dir.path().join("store/wal")).unwrap();
                    assert!(logs.count() < 7, "all of it lies in memory");
                    store.tick(at(hours(48))).unwrap();
                    waited += 1;
                }
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        assert!(waited > 0, "nobody waited");
    });
    assert_eq!(bits(&store, ids[3]).len(), 720 * 16);
}

#[test]
fn what_cannot_be_kept_is_refused_whole() {
    let dir = folder();
    let store = Store::open(Options {
        max_series: 3,
        ..Options::in_dir(dir.path().join("store"))
    })
    .unwrap();
    let mut batch = Batch::default();
    for ms in [i64::MIN, -1, i64::MAX, 253_370_764_800_000] {
        assert!(!batch.sample(ms, 1.0), "{ms}");
    }
    assert_eq!(batch.pending(), 0);
    let ids: Vec<_> = (0..3).map(|n| learn(&store, n).unwrap()).collect();
    assert_eq!(learn(&store, 3), None);
    assert_eq!(learn(&store, 0), Some(ids[0]));
    // A series of another store, with a number that this one has not given.
    let other = folder();
    let other = open(&other);
    let stranger = (0..40).filter_map(|n| learn(&other, n)).last().unwrap();
    batch.sample(at(0).as_millis(), 1.0);
    batch.keep(ids[0]);
    batch.sample(at(0).as_millis(), 1.0);
    batch.keep(stranger);
    let error = store.history().push(&batch).unwrap_err();
    assert!(matches!(error, Error::NoSuchSeries(_)), "{error}");
    assert_eq!(bits(&store, ids[0]), []);
}

#[test]
fn callers_that_wait_together_are_all_acknowledged() {
    let dir = folder();
    let store = open(&dir);
    let ids: Vec<_> = (0..8).map(|n| learn(&store, n).unwrap()).collect();
    std::thread::scope(|scope| {
        for id in &ids {
            let store = &store;
            scope.spawn(move || {
                for n in 0..25 {
                    push(store, &batch([(*id, &[(n * STEP, n as f64)][..])]));
                }
            });
        }
    });
    drop(store);
    let store = open(&dir);
    for id in ids {
        assert_eq!(bits(&store, id).len(), 25);
    }
}

/// Keys of a folder's logs, sealed or not: how many pieces a day fell into.
fn logs_so_far(dir: &Path) -> u32 {
    let names = std::fs::read_dir(dir.join("wal")).unwrap();
    let numbers = names.filter_map(|entry| {
        let name = entry.unwrap().file_name();
        name.to_str()?.strip_suffix(".log")?.parse().ok()
    });
    numbers.max().unwrap()
}

#[test]
fn a_day_that_is_filled_in_afterwards_is_sealed_in_few_pieces() {
    let dir = folder();
    let store = open(&dir);
    let ids: Vec<_> = (0..5).map(|n| learn(&store, n).unwrap()).collect();
    // Twelve hours in pieces of two minutes, while a tick comes after each, a week later.
    let now = hours(24 * 7);
    for piece in 0..360i64 {
        let run: Vec<(i64, f64)> = (0..12)
            .map(|i| (minutes(2) * piece + i * STEP, (piece * 12 + i) as f64))
            .collect();
        push(&store, &batch(ids.iter().map(|id| (*id, &run[..]))));
        store.tick(at(now + piece * 250)).unwrap();
    }
    let logs = logs_so_far(&dir.path().join("store"));
    assert!(logs <= 8, "{logs} logs for six spans");
    for minute in 0..12 {
        store.tick(at(now + minutes(2 + minute))).unwrap();
    }
    let stats = store.history().stats().unwrap();
    assert_eq!(stats.samples, 5 * 4_320);
    for id in ids {
        assert_eq!(bits(&store, id).len(), 4_320);
        let counts = store
            .history()
            .window(id, at(0), at(hours(12)), step(hours(1)), Fold::Count);
        assert_eq!(counts.unwrap().values, vec![360.0; 12]);
    }
}

#[test]
fn a_live_sender_and_one_that_fills_in_share_the_logs() {
    let dir = folder();
    let store = open(&dir);
    let (live, past) = (learn(&store, 1).unwrap(), learn(&store, 2).unwrap());
    for n in 0..500i64 {
        let now = hours(100) + n * minutes(1);
        push(&store, &batch([(past, &[(n * minutes(5), n as f64)][..])]));
        push(&store, &batch([(live, &[(now, n as f64)][..])]));
        store.tick(at(now)).unwrap();
    }
    let logs = logs_so_far(&dir.path().join("store"));
    assert!(logs <= 12, "{logs} logs for nine hours");
    assert_eq!(
        (bits(&store, live).len(), bits(&store, past).len()),
        (500, 500)
    );
}

/// The child's part: a sample a day for two years, sealed with few files.
#[test]
fn child_pushes_a_scattered_past() {
    let Ok(dir) = std::env::var("PLIMSOLL_TEST_SCATTERED") else {
        return;
    };
    let store = Store::open(Options::in_dir(&dir)).unwrap();
    let id = learn(&store, 1).unwrap();
    let past: Vec<(i64, f64)> = (0..730).map(|day| (day * hours(24), day as f64)).collect();
    push(&store, &batch([(id, &past[..])]));
    store.history().settle().unwrap();
    store.tick(at(hours(24 * 731))).unwrap();
    store.close(at(hours(24 * 731))).unwrap();
}

#[test]
fn a_past_of_many_days_is_sealed_with_few_files_and_threads() {
    let dir = folder();
    let store = dir.path().join("store");
    let program = std::env::current_exe().unwrap();
    let output = Command::new("bash")
        .args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""])
        .arg(program)
        .args([
            "--exact",
            "pushing::child_pushes_a_scattered_past",
            "--nocapture",
        ])
        .env("PLIMSOLL_TEST_SCATTERED", &store)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let store = Store::open(Options::in_dir(&store)).unwrap();
    let id = store.history().series(&Selector::metric("pushed_total"))[0].id;
    let kept = store.history().raw(id, start(), at(hours(24 * 731)));
    assert_eq!(kept.unwrap().len(), 730);
}

const SERIES: u32 = 30;
const SAMPLES: i64 = 5;

/// Push number `n` of the child: no two agree.
fn numbered(ids: &[SeriesId], n: i64) -> Batch {
    let mut batch = Batch::default();
    for (id, series) in ids.iter().zip(0i64..) {
        for i in 0..SAMPLES {
            let sample = n * SAMPLES + i;
            batch.sample(
                at(sample * minutes(1)).as_millis(),
                (sample * 100 + series) as f64 + 0.5,
            );
        }
        batch.keep(*id);
    }
    batch
}

/// The child's part: pushes until it is killed.
#[test]
fn child_pushes_until_it_dies() {
    let Ok(dir) = std::env::var("PLIMSOLL_TEST_PUSHER") else {
        return;
    };
    if let Ok(point) = std::env::var("PLIMSOLL_TEST_FAILPOINT") {
        failpoint::arm(&point, 3);
    }
    let store = Store::open(Options::in_dir(&dir)).unwrap();
    let ids: Vec<_> = (0..SERIES).map(|n| learn(&store, n).unwrap()).collect();
    let done = bits(&store, ids[0]).len();
    for n in i64::try_from(done).unwrap() / SAMPLES.. {
        push(&store, &numbered(&ids, n));
        println!("\npushed {n}");
        store.tick(at(n * SAMPLES * minutes(1))).unwrap();
    }
}

/// Runs a child to its death; the last push that it acknowledged.
fn run(dir: &Path, failpoint: Option<&str>, lines: usize) -> i64 {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "pushing::child_pushes_until_it_dies",
            "--nocapture",
        ])
        .env("PLIMSOLL_TEST_PUSHER", dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(failpoint) = failpoint {
        command.env("PLIMSOLL_TEST_FAILPOINT", failpoint);
    }
    let mut child = command.spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut acknowledged = -1;
    let mut heard = 0;
    for line in output.lines().map_while(Result::ok) {
        if let Some(number) = line.strip_prefix("pushed ") {
            acknowledged = number.parse().unwrap();
            heard += 1;
            if heard == lines {
                child.kill().unwrap();
            }
        }
    }
    assert!(!child.wait().unwrap().success());
    acknowledged
}

#[test]
fn killed_at_any_moment_no_acknowledged_push_is_lost_and_none_is_halved() {
    let dir = folder();
    let points = [
        "before_wal_write",
        "mid_wal_frame",
        "after_wal_write",
        "after_wal_rotate",
        "between_phases",
        "before_wal_delete",
    ];
    let mut last = -1;
    let rounds = points.map(Some).into_iter().chain([None; 4]);
    for (round, point) in rounds.enumerate() {
        let lines = if point.is_some() {
            usize::MAX
        } else {
            17 + round * 13
        };
        let acknowledged = run(dir.path(), point, lines).max(last);
        let store = Store::open(Options::in_dir(dir.path())).unwrap();
        let series = store.history().series(&Selector::metric("pushed_total"));
        let mut counts = Vec::new();
        for one in &series {
            let number: i64 = one.key.labels.get("n").unwrap().parse().unwrap();
            let all = bits(&store, one.id);
            for (sample, (ms, value)) in (0i64..).zip(&all) {
                let wanted = (sample * 100 + number) as f64 + 0.5;
                assert_eq!((*ms, *value), (sample * minutes(1), wanted.to_bits()));
            }
            counts.push(i64::try_from(all.len()).unwrap());
        }
        let kept = counts.first().copied().unwrap_or(0);
        assert!(
            counts.iter().all(|count| *count == kept),
            "{point:?}: {counts:?}"
        );
        assert_eq!(kept % SAMPLES, 0, "{point:?}: half a push");
        last = kept / SAMPLES - 1;
        assert!(
            last >= acknowledged,
            "{point:?}: {acknowledged} was acknowledged, {last} is there"
        );
    }
    assert!(last > 100, "the children pushed next to nothing: {last}");
}
