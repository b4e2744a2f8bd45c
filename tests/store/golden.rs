//! Stores of each format that was ever released still open, and hold what they held.
//!
//! `tests/golden/store-v2` is a whole folder, each file packed with zstd (the database's files are
//! mostly holes), and `export.jsonl`, what it held. Written once by this test with
//! `PLIMSOLL_TEST_GOLDEN=write`; it never overwrites.
#![expect(
    clippy::disallowed_methods,
    reason = "writing a golden store is asked for by environment"
)]

use std::fs;
use std::path::{Path, PathBuf};

use plimsoll::store::{Options, Store};

use crate::support::*;
use crate::transfer::{export, full_store};

/// What a store may come to when unpacked.
const UNPACKED_MAX: usize = 64 << 20;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/store-v2")
}

/// Calls `visit` with each file below `folder` and its path from there.
fn each_file(folder: &Path, inside: &Path, visit: &mut impl FnMut(&Path, &Path)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let inside = inside.join(path.file_name().unwrap());
        if path.is_dir() {
            each_file(&path, &inside, visit);
        } else {
            visit(&path, &inside);
        }
    }
}

fn write_golden() {
    assert!(!golden().exists(), "a golden store is written once");
    let dir = folder();
    let store = full_store(&dir);
    let text = export(&store);
    store.close(at(hours(3))).unwrap();
    drop(store);
    each_file(
        &dir.path().join("store"),
        Path::new("folder"),
        &mut |path, inside| {
            if !path.ends_with("LOCK") {
                let to = golden().join(format!("{}.zst", inside.display()));
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                let packed = zstd::bulk::compress(&fs::read(path).unwrap(), 19).unwrap();
                fs::write(to, packed).unwrap();
            }
        },
    );
    fs::write(golden().join("export.jsonl"), text).unwrap();
}

#[test]
fn a_store_of_format_2_opens_and_holds_what_it_held() {
    if std::env::var("PLIMSOLL_TEST_GOLDEN").is_ok_and(|word| word == "write") {
        write_golden();
    }
    let dir = folder();
    each_file(&golden().join("folder"), dir.path(), &mut |path, to| {
        let bytes = zstd::bulk::decompress(&fs::read(path).unwrap(), UNPACKED_MAX).unwrap();
        let to = to.with_file_name(
            to.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .trim_end_matches(".zst"),
        );
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
    });
    let store = Store::open(Options::in_dir(dir.path())).unwrap();
    let held = fs::read(golden().join("export.jsonl")).unwrap();
    assert_eq!(
        String::from_utf8(export(&store)).unwrap(),
        String::from_utf8(held).unwrap()
    );
    assert_eq!(store.opened().torn_bytes, 0);
    // And it goes on from there, into a store of the present.
    fill(&store, hours(4), hours(7));
    store.tick(at(hours(8))).unwrap();
    assert_eq!(raw(&store, &LOAD, hours(4), hours(8)).len(), 3 * 360);
}

#[test]
fn an_export_of_format_1_is_imported() {
    let text = fs::read(golden().join("../export-v1.jsonl")).unwrap();
    let dir = folder();
    Store::import(Options::in_dir(dir.path().join("store")), &text[..]).unwrap();
    let store = Store::open(Options::in_dir(dir.path().join("store"))).unwrap();
    let again = String::from_utf8(export(&store)).unwrap();
    assert_eq!(again, String::from_utf8(text).unwrap());
}
