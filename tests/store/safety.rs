//! A store that is checked, repaired and backed up: nothing is lost quietly.

use std::fs;
use std::path::{Path, PathBuf};

use plimsoll::model::series::{Labels, SeriesKey};
use plimsoll::store::{self, Backup, Error, Options, Selector, Store, Tier, Verification};
use tempfile::TempDir;

use crate::support::*;
use crate::transfer::{export, full_store};

/// Every file below a folder with its content.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            all.push((path, bytes));
        }
    }
    all.sort();
    all
}

/// A closed store with raw samples, both tiers, a record, latencies and an open log.
pub(crate) fn closed(dir: &TempDir) -> PathBuf {
    let store = full_store(dir);
    let key = SeriesKey {
        metric: "latency".into(),
        labels: Labels::none().with("route", "/"),
    };
    for i in 0..100 {
        store
            .history()
            .observe(TARGET, &key, at(hours(1)), f64::from(i) / 1e3, 1);
    }
    store.close(at(hours(3))).unwrap();
    dir.path().join("store")
}

pub(crate) fn copy(from: &Path, to: &Path) {
    for (path, bytes) in contents(from) {
        let to = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
    }
}

fn told(verification: &Verification) -> String {
    let tell = |p: &store::Problem| format!("{} {:?} {:?} {}", p.database, p.tree, p.key, p.what);
    verification
        .problems
        .iter()
        .map(tell)
        .collect::<Vec<_>>()
        .join("\n")
}

/// How many raw samples a store gives back, each of which must be one that was put.
fn samples(dir: &Path) -> usize {
    let store = Store::open(Options::in_dir(dir)).unwrap();
    let mut found = 0;
    for series in store.history().series(&Selector::default()) {
        let values = store
            .history()
            .raw(series.id, at(-hours(72)), at(hours(72)))
            .unwrap();
        found += values.len();
        for (when, value) in values {
            let ms = when.as_millis() - start().as_millis();
            let is_last = ms == hours(3);
            let expected = [count_at(ms), load_at(ms)];
            assert!(
                is_last || expected.contains(&value),
                "{} {ms}: {value}",
                series.key
            );
        }
    }
    found
}

#[test]
fn a_sound_store_is_found_sound_and_not_one_byte_is_written() {
    let dir = folder();
    let path = closed(&dir);
    let before = contents(&path);
    let found = store::verify(&path).unwrap();
    assert!(found.is_sound(), "{}", told(&found));
    assert_eq!(
        (found.databases, found.logs, found.samples),
        (4, 1, 2 * 720)
    );
    assert!(found.keys > 10 && found.frames > 10 && found.notes.is_empty());
    assert!(contents(&path) == before, "something was written");
}

#[test]
fn a_store_in_use_is_checked_from_inside_and_refused_from_outside() {
    let dir = folder();
    let store = full_store(&dir);
    let found = store.verify().unwrap();
    assert!(found.is_sound(), "{}", told(&found));
    assert!(found.samples > 0 && found.logs > 0);
    let path = dir.path().join("store");
    assert!(matches!(store::verify(&path), Err(Error::Locked { .. })));
    let out = dir.path().join("new");
    assert!(matches!(
        store::repair(&path, &out),
        Err(Error::Locked { .. })
    ));
    let other = folder();
    assert!(matches!(
        store::verify(other.path()),
        Err(Error::NoStore { .. })
    ));
}

#[test]
fn a_repair_of_a_sound_store_loses_nothing() {
    let dir = folder();
    let path = closed(&dir);
    let before = contents(&path);
    let out = dir.path().join("new");
    let repair = store::repair(&path, &out).unwrap();
    assert_eq!(repair.losses, []);
    assert_eq!(repair.rebuilt, 0);
    assert!(contents(&path) == before, "the old folder was changed");
    let found = store::verify(&out).unwrap();
    assert!(found.is_sound(), "{}", told(&found));
    let [old, new] = [&path, &out].map(|dir| Store::open(Options::in_dir(dir)).unwrap());
    assert_eq!(export(&old), export(&new));
    let range = (at(0), at(hours(3)));
    let latencies = |store: &Store| store.history().latencies(range.0, range.1).unwrap();
    assert_eq!(latencies(&old), latencies(&new));
    assert_eq!(latencies(&new)[0].sketch.count(), 100);
    let again = store::repair(&path, &path.join("inside"));
    assert!(matches!(
        again,
        Err(Error::Locked { .. } | Error::NotEmpty { .. })
    ));
}

/// Damages a copy of a store, repairs it, and holds the outcome against what may be.
fn survive(
    sound: &Path,
    damage: impl FnOnce(&Path),
    least: usize,
) -> (Verification, store::Repair) {
    let dir = folder();
    let (bad, out) = (dir.path().join("bad"), dir.path().join("new"));
    copy(sound, &bad);
    damage(&bad);
    let before = contents(&bad);
    let found = store::verify(&bad).unwrap();
    let repair = store::repair(&bad, &out).unwrap();
    assert!(contents(&bad) == before, "the damaged folder was changed");
    let after = store::verify(&out).unwrap();
    assert!(after.is_sound(), "{}", told(&after));
    let kept = samples(&out);
    assert!(kept >= least, "{kept} of {least} samples are left");
    (found, repair)
}

const ALL: usize = 2 * (780 + 1);

#[test]
fn a_flipped_byte_anywhere_is_found_if_it_matters_and_the_rest_is_kept() {
    let dir = folder();
    let path = closed(&dir);
    let mut noticed = 0;
    for (file, bytes) in contents(&path) {
        let name = file.strip_prefix(&path).unwrap().to_owned();
        if name == Path::new("LOCK") || bytes.is_empty() {
            continue;
        }
        // Databases are mostly holes: where something stands, and where it begins.
        let full: Vec<usize> = (0..bytes.len()).filter(|i| bytes[*i] != 0).collect();
        for share in 0..6 {
            let place = full[full.len() * share / 6];
            // A flip in a log costs what follows it, elsewhere a page: one group, one time column.
            let least = if name.starts_with("wal") { 2 * 720 } else { 0 };
            let (found, repair) = survive(
                &path,
                |bad| {
                    let mut bytes = bytes.clone();
                    bytes[place] ^= 0x04;
                    fs::write(bad.join(&name), bytes).unwrap();
                },
                least,
            );
            noticed += usize::from(!found.is_sound());
            let lost = repair
                .losses
                .iter()
                .any(|l| l.what.contains("samples that log"));
            assert!(!lost || !found.is_sound(), "{} at {place}", name.display());
        }
    }
    assert!(noticed > 10, "only {noticed} were noticed");
}

#[test]
fn cut_files_are_found_and_what_is_left_is_kept() {
    let dir = folder();
    let path = closed(&dir);
    for name in [
        "control/db",
        "raw-20260310/db",
        "r1h-2026/db",
        "wal/0000000002.log",
    ] {
        let bytes = fs::read(path.join(name)).unwrap();
        let used = bytes.iter().rposition(|b| *b != 0).unwrap();
        for share in 0..4 {
            let cut = |bad: &Path| fs::write(bad.join(name), &bytes[..used * share / 4]).unwrap();
            let (found, repair) = survive(&path, cut, 0);
            assert!(
                !found.is_sound() || !found.notes.is_empty(),
                "{name} {share}"
            );
            assert!(!repair.losses.is_empty(), "{name} {share}");
        }
    }
}

#[test]
fn what_can_be_made_anew_is_no_loss() {
    let dir = folder();
    let path = closed(&dir);
    let remove = |name: &'static str| move |bad: &Path| fs::remove_file(bad.join(name)).unwrap();
    let (found, repair) = survive(&path, remove("FORMAT"), ALL);
    assert!(!found.is_sound());
    assert_eq!(repair.losses, []);
    for mark in ["control.made", "raw-20260310.made", "r1h-2026.made"] {
        let (found, repair) = survive(&path, remove(mark), ALL);
        assert!(told(&found).contains("mark is missing"), "{mark}");
        assert_eq!(repair.losses, [], "{mark}");
    }
    // The tier of minutes follows from the samples, where there are some.
    let minutes = |bad: &Path| fs::remove_dir_all(bad.join("r5m-202603")).unwrap();
    let (found, repair) = survive(&path, minutes, ALL);
    assert!(!found.is_sound());
    assert!(
        repair.rebuilt > 0 && repair.losses.len() == 1,
        "{:?}",
        repair.losses
    );
}

#[test]
fn a_snapshot_cut_at_any_length_costs_nothing() {
    let dir = folder();
    drop(full_store(&dir));
    // Opening again writes the snapshots.
    open(&dir).close(at(hours(3))).unwrap();
    let path = dir.path().join("store");
    let is_snapshot = |(path, _): &(PathBuf, Vec<u8>)| path.display().to_string().contains("snap.");
    let (file, bytes) = contents(&path).into_iter().find(is_snapshot).unwrap();
    let name = file.strip_prefix(&path).unwrap();
    for len in (0..bytes.len()).step_by(bytes.len() / 7) {
        let cut = |bad: &Path| fs::write(bad.join(name), &bytes[..len]).unwrap();
        let (found, repair) = survive(&path, cut, ALL);
        assert!(told(&found).contains("snapshot"), "{len}");
        assert!(
            repair
                .losses
                .iter()
                .all(|loss| loss.what.contains("snapshot"))
        );
    }
    let gone = |bad: &Path| fs::remove_file(bad.join(name)).unwrap();
    assert!(survive(&path, gone, ALL).0.is_sound());
}

#[test]
fn a_lost_catalogue_gives_series_names_that_no_other_gets() {
    let dir = folder();
    let path = closed(&dir);
    let gone = |bad: &Path| fs::remove_dir_all(bad.join("control")).unwrap();
    let dir = folder();
    let (bad, out) = (dir.path().join("bad"), dir.path().join("new"));
    copy(&path, &bad);
    gone(&bad);
    store::repair(&bad, &out).unwrap();
    let store = Store::open(Options::in_dir(&out)).unwrap();
    let found = store.history().series(&Selector::metric(store::RECOVERED));
    assert!(!found.is_empty());
    let before = store.history().series(&Selector::default()).len();
    put(&store, hours(5), 1.0, 1.0);
    let after = store.history().series(&Selector::default());
    assert!(after.len() >= before && after.iter().all(|s| !s.target.is_empty()));
}

fn backup(store: &Store) -> (Vec<u8>, Backup) {
    let mut file = Vec::new();
    let done = store.backup(&mut file, |_| ()).unwrap();
    assert_eq!(done.file_bytes.0, file.len() as u64);
    (file, done)
}

#[test]
fn a_restored_backup_is_the_store_with_all_that_was_acknowledged() {
    let dir = folder();
    let store = full_store(&dir);
    put(&store, hours(4), 7.0, 8.0);
    let (file, done) = backup(&store);
    assert!(done.entries > 0);
    let to = dir.path().join("restored");
    assert_eq!(store::restore(&to, &mut &file[..], |_| ()).unwrap(), done);
    let copy = Store::open(Options::in_dir(&to)).unwrap();
    assert_eq!(export(&copy), export(&store));
    copy.close(at(hours(4))).unwrap();
    drop(copy);
    let found = store::verify(&to).unwrap();
    assert!(found.is_sound(), "{}", told(&found));
    let again = store::restore(&to, &mut &file[..], |_| ());
    assert!(matches!(again, Err(Error::NotEmpty { .. })));
    let size: u64 = contents(&dir.path().join("store"))
        .iter()
        .map(|(_, b)| b.len() as u64)
        .sum();
    assert!(done.file_bytes.0 < size);
}

#[test]
fn a_backup_cut_at_any_length_or_changed_anywhere_is_refused() {
    let dir = folder();
    let (file, _) = backup(&full_store(&dir));
    let to = dir.path().join("restored");
    let refuse = |bytes: &[u8], what: &str| {
        let error = store::restore(&to, &mut &bytes[..], |_| ()).unwrap_err();
        assert!(matches!(error, Error::Backup(_)), "{what}: {error}");
        assert_eq!(fs::read_dir(&to).unwrap().count(), 0, "{what}");
    };
    refuse(b"", "empty");
    refuse(b"not a backup, but long enough to be one", "foreign");
    for len in (0..file.len())
        .step_by(file.len() / 40)
        .chain([file.len() - 1])
    {
        refuse(&file[..len], "cut");
    }
    for place in (0..file.len()).step_by(file.len() / 40) {
        let mut changed = file.clone();
        changed[place] ^= 1;
        refuse(&changed, "changed");
    }
    refuse(&[&file[..], b"x"].concat(), "longer");
}

#[test]
fn scrapes_during_a_backup_go_on_and_it_is_of_one_instant() {
    let dir = folder();
    let store = full_store(&dir);
    fill(&store, hours(4), hours(5));
    let before = export(&store);
    let mut file = Vec::new();
    let mut n = 0;
    store
        .backup(&mut file, |_| {
            // Into the next spans, so that logs are closed; nothing is sealed meanwhile.
            n += 1;
            put(&store, hours(6 + 2 * n), 1.0, 1.0);
            assert_eq!(store.tick(at(hours(6 + 2 * n))).unwrap().sealed_logs, 0);
        })
        .unwrap();
    assert!(n > 3);
    assert!(store.tick(at(hours(8 + 2 * n))).unwrap().sealed_logs > 0);
    let to = dir.path().join("restored");
    store::restore(&to, &mut &file[..], |_| ()).unwrap();
    let copy = Store::open(Options::in_dir(&to)).unwrap();
    assert_eq!(export(&copy), before);
}

#[test]
fn latencies_merge_over_any_range_and_survive_a_restart() {
    let dir = folder();
    let store = open(&dir);
    let key = |route: &str| SeriesKey {
        metric: "latency".into(),
        labels: Labels::none().with("route", route.to_owned()),
    };
    // A value a minute over a day: minute m takes m ms.
    for m in 0..24 * 60 {
        store
            .history()
            .observe("own", &key("/a"), at(minutes(m)), m as f64 / 1e3, 2);
        store.tick(at(minutes(m))).unwrap();
    }
    store.history().observe("own", &key("/b"), at(0), 1.0, 1);
    let of = |store: &Store, from: i64, until: i64| {
        let found = store
            .history()
            .latencies(at(minutes(from)), at(minutes(until)))
            .unwrap();
        let a = found.iter().find(|latency| latency.key == key("/a"));
        a.map(|a| (a.sketch.count(), a.sketch.quantile(0.5).unwrap()))
    };
    let check = |store: &Store| {
        for (from, until) in [(0, 1440), (5, 10), (55, 125), (130, 1115), (60, 120)] {
            let (count, p50) = of(store, from, until).unwrap();
            assert_eq!(count, 2 * (until - from).cast_unsigned(), "{from} {until}");
            let middle = f64::midpoint(from as f64, (until - 1) as f64) / 1e3;
            assert!(
                (p50 / middle - 1.0).abs() < 0.1 + 1.0 / (until - from) as f64,
                "{p50} {middle}"
            );
        }
        assert_eq!(of(store, 1440, 1500), None);
    };
    check(&store);
    store.close(at(minutes(1441))).unwrap();
    drop(store);
    let store = open(&dir);
    check(&store);
    assert_eq!(
        store
            .history()
            .latencies(at(0), at(hours(24)))
            .unwrap()
            .len(),
        2
    );
    // Months of five-minute steps go after 30 days, the hours stay.
    let later = |days: i64| at(hours(24 * days));
    store.tick(later(80)).unwrap();
    let dropped = store
        .tick(later(80).plus(step(hours(2)).as_duration()))
        .unwrap()
        .dropped;
    assert!(
        dropped.contains(&"r5m-202603/s5m".to_owned()),
        "{dropped:?}"
    );
    assert_eq!(of(&store, 60, 120).map(|(count, _)| count), Some(120));
    assert_eq!(of(&store, 5, 10), None);
    assert!(
        store
            .history()
            .stats()
            .unwrap()
            .tiers
            .iter()
            .all(|t| t.tier != Some(Tier::Hour) || t.chunks == 0)
    );
}
