//! Databases whose files were cut or overwritten: refused, never opened as less than they were.

use std::fs;
use std::path::Path;

use plimsoll::store::{Error, Options, Store};

use crate::safety::{closed, copy};
use crate::support::*;
use crate::transfer::export;

const DATABASES: [&str; 4] = ["control", "raw-20260310", "r5m-202603", "r1h-2026"];

/// All that a store holds, as it opens.
fn opened(path: &Path) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    Store::open(Options::in_dir(path)).and_then(|store| store.export(&mut text))?;
    Ok(text)
}

#[test]
fn a_database_that_was_cut_never_opens_as_a_smaller_one() {
    let dir = folder();
    let path = closed(&dir);
    let whole = export(&Store::open(Options::in_dir(&path)).unwrap());
    let mut refused = 0;
    for name in DATABASES {
        let name = format!("{name}/db");
        let bytes = fs::read(path.join(&name)).unwrap();
        let used = bytes.iter().rposition(|b| *b != 0).unwrap();
        for share in 0..16 {
            let bad = folder();
            copy(&path, bad.path());
            fs::write(bad.path().join(&name), &bytes[..used * share / 16]).unwrap();
            match opened(bad.path()) {
                Err(_) => refused += 1,
                Ok(text) => assert!(text == whole, "{name} opened with {share}/16 of it"),
            }
        }
    }
    assert!(refused > 30, "only {refused} of 64 were refused");
}

#[test]
fn segments_whose_heads_are_overwritten_are_not_thrown_away() {
    let dir = folder();
    let path = closed(&dir);
    let whole = export(&Store::open(Options::in_dir(&path)).unwrap());
    let mut refused = 0;
    for name in DATABASES {
        let bytes = fs::read(path.join(name).join("db")).unwrap();
        for offset in (0..bytes.len()).step_by(512 << 10) {
            let mut flipped = bytes.clone();
            for byte in &mut flipped[offset..offset + 20] {
                *byte ^= 0xff;
            }
            let bad = folder();
            copy(&path, bad.path());
            let database = bad.path().join(name);
            fs::write(database.join("db"), &flipped).unwrap();
            // As after a kill: what a snapshot covers is found without the heads.
            for entry in fs::read_dir(&database).unwrap() {
                let entry = entry.unwrap();
                if entry.file_name().to_string_lossy().starts_with("snap.") {
                    fs::remove_file(entry.path()).unwrap();
                }
            }
            match opened(bad.path()) {
                Ok(text) => assert!(text == whole, "{name} opened with a head at {offset} gone"),
                Err(error) => {
                    refused += 1;
                    // The engine writes over what it cannot read: only a copy has it still.
                    let copied = database.with_extension("damaged-1").join("db");
                    assert!(fs::read(&copied).unwrap() == flipped, "{error}");
                }
            }
        }
    }
    assert!(refused > 2, "only {refused} were refused");
}
