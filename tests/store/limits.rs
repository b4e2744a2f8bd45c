//! What a store refuses, and how it says so: locks, permissions, formats, full disks, old age.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use plimsoll::model::series::{Labels, Metric, Scrape};
use plimsoll::model::units::{Bytes, Millis};
use plimsoll::store::{Error, Options, Retention, Selector, Store, Write};

use crate::support::*;

#[test]
fn a_second_process_is_told_who_holds_the_store() {
    let dir = folder();
    let _store = open(&dir);
    let error = Store::open(Options::in_dir(dir.path().join("store"))).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Locked { .. }), "{text}");
    assert!(
        text.contains(&format!("process {}", std::process::id())),
        "{text}"
    );
    assert!(text.contains(dir.path().to_str().unwrap()), "{text}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let dir = folder();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.join("store"), PathBuf::from("/proc/plimsoll")] {
        let error = Store::open(Options::in_dir(&path)).unwrap_err();
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
        assert!(matches!(error, Error::NotWritable { .. }), "{error}");
    }
}

#[test]
fn a_folder_with_other_things_in_it_is_left_alone() {
    let dir = folder();
    fs::write(dir.path().join("letter.txt"), "dear").unwrap();
    let error = Store::open(Options::in_dir(dir.path())).unwrap_err();
    assert!(matches!(error, Error::NotAStore { .. }), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_store_of_a_later_release_is_refused() {
    let dir = folder();
    drop(open(&dir));
    fs::write(dir.path().join("store/FORMAT"), "plimsoll store 3\n").unwrap();
    let error = Store::open(Options::in_dir(dir.path().join("store"))).unwrap_err();
    assert!(
        matches!(error, Error::NewerFormat { found: 3, .. }),
        "{error}"
    );
}

#[test]
fn a_store_of_an_earlier_format_is_refused_with_the_way_out() {
    let dir = folder();
    drop(open(&dir));
    fs::write(dir.path().join("store/FORMAT"), "plimsoll store 1\n").unwrap();
    let error = Store::open(Options::in_dir(dir.path().join("store"))).unwrap_err();
    assert!(
        matches!(error, Error::OlderFormat { found: 1, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("history export"), "{error}");
}

#[test]
fn a_store_whose_catalogue_is_gone_never_comes_up_empty() {
    for lost in [&["control"][..], &["control", "control.made"]] {
        let dir = folder();
        let store = open(&dir);
        fill(&store, 0, minutes(1));
        drop(store);
        for name in lost {
            let path = dir.path().join("store").join(name);
            if path.is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
        let error = Store::open(Options::in_dir(dir.path().join("store"))).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }
}

/// Ticks each half hour, as if `days` went by.
fn live(store: &Store, days: std::ops::Range<i64>) -> Vec<String> {
    let mut dropped = Vec::new();
    for half_hour in days.start * 48..days.end * 48 {
        dropped.extend(store.tick(at(minutes(30) * half_hour)).unwrap().dropped);
    }
    dropped
}

#[test]
fn each_tier_goes_at_its_own_age() {
    let dir = folder();
    let options = Options {
        retention: Retention {
            raw: Millis(2 * Millis::DAY.0),
            rollup_5m: Millis(40 * Millis::DAY.0),
            ..Retention::default()
        },
        ..Options::in_dir(dir.path())
    };
    let store = Store::open(options).unwrap();
    fill(&store, 0, hours(1));
    fill(&store, hours(24), hours(25));
    assert_eq!(live(&store, 1..2), [""; 0]);
    assert_eq!(live(&store, 2..4), ["raw-20260310"]);
    let only = raw(&store, &LOAD, 0, hours(48));
    assert_eq!((only.len(), only[0].0), (360, hours(24)));
    assert_eq!(store.history().stats().unwrap().samples, 720);
    let means = store.history().window(
        id(&store, &LOAD),
        at(0),
        at(hours(1)),
        step(STEP),
        plimsoll::store::Fold::Mean,
    );
    assert_eq!(means.unwrap().present(), 360, "the 5 min tier stands in");
    let dropped = live(&store, 4..70);
    assert_eq!(dropped, ["raw-20260311", "r5m-202603"]);
    let hourly = store.history().window(
        id(&store, &LOAD),
        at(0),
        at(hours(26)),
        Millis::HOUR,
        plimsoll::store::Fold::Count,
    );
    assert_eq!(
        hourly.unwrap().present(),
        2,
        "the 1 h tier is all that is left"
    );
}

#[test]
fn a_clock_that_jumps_ahead_drops_nothing() {
    let dir = folder();
    let store = open(&dir);
    fill(&store, 0, hours(1));
    live(&store, 0..1);
    for now in [
        hours(24 * 365 * 20),
        hours(24),
        hours(24 * 365 * 20) + 1,
        hours(25),
    ] {
        assert_eq!(store.tick(at(now)).unwrap().dropped, [""; 0]);
    }
    assert_eq!(raw(&store, &LOAD, 0, hours(1)).len(), 360);
}

#[test]
fn the_oldest_goes_first_and_the_limit_in_bytes_is_never_exceeded() {
    const NOISE: Metric = Metric::gauge("noise_ratio", "Takes all of its eight bytes.");
    const SCRAPES: i64 = 3 * 8_640;
    let dir = folder();
    let limit = Bytes(16 << 20);
    let options = Options {
        retention: Retention {
            max_bytes: Some(limit),
            ..Retention::default()
        },
        ..Options::in_dir(dir.path())
    };
    let store = Store::open(options).unwrap();
    let (mut noise, mut most, mut dropped) = (1u64, 0, Vec::new());
    for scrape in 0..SCRAPES {
        let sample = |n: u32| {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let value = f64::from_bits(0x3ff0_0000_0000_0000 | (noise >> 12));
            NOISE.sample(Labels::none().with("n", n.to_string()), value)
        };
        let now = at(scrape * STEP);
        let scrape_of_noise = Scrape {
            target: TARGET.into(),
            at: now,
            samples: (0..150).map(sample).collect(),
        };
        store.history().append(&scrape_of_noise).unwrap();
        if scrape % 90 == 0 {
            dropped.extend(store.tick(now).unwrap().dropped);
            most = most.max(store.history().stats().unwrap().bytes_on_disk.0);
        }
    }
    assert!(most <= limit.0, "{most}");
    assert!(most > limit.0 / 3, "{most}");
    assert!(dropped.contains(&"raw-20260310".to_owned()), "{dropped:?}");
    let one = store.history().series(&Selector::metric(NOISE.name))[0].id;
    let left = store.history().raw(one, at(0), at(hours(24 * 4))).unwrap();
    assert_eq!(left.last().unwrap().0, at((SCRAPES - 1) * STEP));
    assert!(left.len() >= 2_000, "{}", left.len());
}

/// A small file system of our own; `None` where this process may not mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, megabytes: u32) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "plimsoll-test"])
            .arg(at)
            .status();
        mounted.ok()?.success().then(|| Self(at.to_owned()))
    }
}

impl SmallDisk {
    /// Leaves less room than the store wants to have, until the file is removed.
    fn fill(&self) -> PathBuf {
        let ballast = self.0.join("ballast");
        let filled = Command::new("fallocate")
            .args(["-l", "34M"])
            .arg(&ballast)
            .status();
        assert!(filled.unwrap().success());
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_a_scrape_and_keeps_the_others() {
    let dir = folder();
    let Some(disk) = SmallDisk::mount(&dir.path().join("disk"), 48) else {
        eprintln!("SKIPPED: mounting a tmpfs needs root");
        return;
    };
    let options = Options::in_dir(disk.0.join("store"));
    let store = Store::open(options.clone()).unwrap();
    fill(&store, 0, minutes(30));
    let ballast = disk.fill();
    let error = store
        .history()
        .append(&scrape(minutes(30), 0.0, 0.0))
        .unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error}");
    assert!(error.to_string().contains("free some space"), "{error}");
    let refused = store.records().put("kind", "id", &1);
    assert!(matches!(refused, Err(Error::DiskFull { .. })));
    assert_eq!(raw(&store, &LOAD, 0, hours(1)).len(), 180);
    assert!(store.tick(at(hours(3))).is_err(), "nothing can be sealed");
    fs::remove_file(&ballast).unwrap();
    fill(&store, minutes(31), minutes(40));
    store.records().put("kind", "id", &1).unwrap();
    store.tick(at(hours(4))).unwrap();
    assert_eq!(raw(&store, &LOAD, 0, hours(1)).len(), 234);
    drop(store);
    let store = Store::open(options).unwrap();
    assert_eq!(raw(&store, &LOAD, 0, hours(1)).len(), 234);
    drop(store);
}

#[test]
fn a_full_disk_refuses_rows_and_keeps_those_that_were_taken() {
    let dir = folder();
    let Some(disk) = SmallDisk::mount(&dir.path().join("disk"), 48) else {
        eprintln!("SKIPPED: mounting a tmpfs needs root");
        return;
    };
    let options = Options::in_dir(disk.0.join("store"));
    let store = Store::open(options.clone()).unwrap();
    let rows = store.jobs().unwrap();
    let put = |n: u8| rows.write(vec![Write::Put(vec![n], vec![n; 100])]);
    put(1).unwrap();
    let ballast = disk.fill();
    // Room for this one was found with the first, and the journal has its own.
    put(2).unwrap();
    rows.barrier().unwrap();
    // Room is looked for again when rows go into the database, as they must before they are checked.
    assert!(matches!(store.verify(), Err(Error::DiskFull { .. })));
    assert!(matches!(put(3), Err(Error::DiskFull { .. })));
    rows.barrier().unwrap();
    fs::remove_file(&ballast).unwrap();
    put(4).unwrap();
    rows.barrier().unwrap();
    drop((rows, store));
    let rows = Store::open(options).unwrap().jobs().unwrap();
    for (n, is_there) in [(1, true), (2, true), (3, false), (4, true)] {
        assert_eq!(rows.get(&[n]).unwrap().is_some(), is_there, "{n}");
    }
    drop(rows);
}
