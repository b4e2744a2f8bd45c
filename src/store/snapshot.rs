//! What a database's last snapshot says: how far its log reached, and of what each page was made.
//!
//! For: noticing that a part of the file `db` is gone although all that is left reads. Not for:
//! finding pages; the log alone says where they are (`pages`). Read [`read`] first.
//!
//! Source of the format: sled 0.34.7, `pagecache::snapshot`. A file `snap.<position, hexadecimal>`:
//! position + 1 i64, segment + 1 number, then one entry a page: u8 0 for a free page (position
//! i64, place), else how many messages it is made of, each a position i64, a place and a number;
//! then the length of all that u64 and its CRC-32. A place: u8 0 and a number, or u8 1, a number
//! and an i64.

use std::fs;
use std::path::Path;

use super::codec::{Damaged, Reader};
use super::segments::number;
use super::{Error, Result, disk};

const FOOT: usize = 12;

/// What the snapshots of a database say.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// How far the log reached; −1 if nothing is known.
    pub(super) stable: i64,
    /// Positions of the messages of each page, by its number.
    pub(super) pages: Vec<(u64, Vec<i64>)>,
    /// What is wrong with the files.
    pub(super) faults: Vec<&'static str>,
}

/// Reads the newest snapshot in a folder.
pub(super) fn read(folder: &Path) -> Result<Snapshot> {
    let mut newest = Snapshot {
        stable: -1,
        ..Snapshot::default()
    };
    for file in disk::entries(folder)? {
        let name = file.file_name().and_then(|name| name.to_str());
        let Some(digits) = name.and_then(|name| name.strip_prefix("snap.")) else {
            continue;
        };
        if digits.ends_with(".generating") {
            let fault = "a snapshot was not finished; opening removes it";
            newest.faults.push(fault);
            continue;
        }
        let bytes = fs::read(&file).map_err(|e| Error::io(&file, e))?;
        match parse(&bytes) {
            Ok(pages) => {
                let stable = i64::from_str_radix(digits, 16).unwrap_or(-1);
                if stable >= newest.stable {
                    (newest.stable, newest.pages) = (stable, pages);
                }
            }
            Err(_) => newest
                .faults
                .push("a snapshot does not match its checksum; opening repairs that"),
        }
    }
    Ok(newest)
}

/// Positions of the messages of each page, as a snapshot's file tells them.
pub(super) fn parse(bytes: &[u8]) -> std::result::Result<Vec<(u64, Vec<i64>)>, Damaged> {
    let (body, foot) = bytes
        .split_last_chunk::<FOOT>()
        .ok_or(Damaged("an early end"))?;
    let mut foot = Reader::new(foot);
    foot.take(8)?;
    if body.is_empty() || foot.u32_le()? != crc32fast::hash(body) {
        return Err(Damaged("a checksum that does not match"));
    }
    let mut from = Reader::new(body);
    from.take(8)?;
    number(&mut from)?;
    let mut pages = Vec::new();
    for page in 0.. {
        if from.is_done() {
            break;
        }
        let count = from.byte()?;
        let mut positions = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            positions.push(from.u64_le()?.cast_signed());
            place(&mut from)?;
            number(&mut from)?;
        }
        if count == 0 {
            from.take(8)?;
            place(&mut from)?;
        }
        pages.push((page, positions));
    }
    Ok(pages)
}

fn place(from: &mut Reader<'_>) -> std::result::Result<(), Damaged> {
    let kind = from.byte()?;
    number(from)?;
    if kind == 1 {
        from.take(8)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::store::barrier::Database;
    use crate::store::op::Op;
    use crate::store::shape::Shape;

    /// A database in a folder that was opened again, so that it has a snapshot; and that file.
    fn opened_twice(path: &Path, keys: u8) -> PathBuf {
        for _ in 0..2 {
            let database = Database::open(path, Shape::small(1 << 20)).unwrap();
            let ops = (0..keys).map(|n| Op::put([n], [n; 40])).collect();
            database.write("t", ops).unwrap();
            database.barrier().unwrap();
        }
        let is_snapshot = |file: &PathBuf| file.display().to_string().contains("snap.");
        let files = disk::entries(path).unwrap();
        files.into_iter().find(is_snapshot).unwrap()
    }

    #[test]
    fn a_snapshot_cut_at_any_length_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        let file = opened_twice(&path, 100);
        let whole = read(&path).unwrap();
        assert!(whole.faults.is_empty() && whole.stable > 0 && whole.pages.len() > 10);
        let bytes = fs::read(&file).unwrap();
        for len in 0..bytes.len() {
            fs::write(&file, &bytes[..len]).unwrap();
            assert_eq!(read(&path).unwrap().faults.len(), 1, "{len}");
        }
    }

    #[test]
    fn a_snapshot_cut_at_every_length_loses_nothing_and_a_copy_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        let snapshot = opened_twice(&path, 20);
        let bytes = fs::read(&snapshot).unwrap();
        let mut files = disk::entries(&path).unwrap();
        files.retain(|file| file.is_file());
        for len in 0..bytes.len() {
            let bad = dir.path().join(format!("bad-{len}"));
            fs::create_dir(&bad).unwrap();
            for file in &files {
                fs::copy(file, bad.join(file.file_name().unwrap())).unwrap();
            }
            fs::write(bad.with_extension("made"), b"").unwrap();
            fs::write(bad.join(snapshot.file_name().unwrap()), &bytes[..len]).unwrap();
            fs::write(bad.join("snap.0000.generating"), b"half").unwrap();
            let database = Database::open(&bad, Shape::small(1 << 20)).unwrap();
            for key in 0..20 {
                let value = database.get("t", &[key]).unwrap();
                assert_eq!(value, Some(vec![key; 40]), "{len} of {}", bytes.len());
            }
            let copy = bad.with_extension("damaged-1");
            assert!(copy.exists(), "{len} of {}", bytes.len());
            drop(database);
            fs::remove_dir_all(&copy).unwrap();
            fs::remove_dir_all(&bad).unwrap();
        }
    }
}
