use std::collections::BTreeMap;
use std::fs::File;

use proptest::prelude::*;

use super::*;
use crate::store::disk::entries;
use crate::store::journal;

#[test]
fn a_batch_is_there_wholly_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let rows = Rows::open(dir.path()).unwrap();
    let put = |n: u8, size: usize| Write::Put(vec![n], vec![n; size]);
    rows.write((0..100).map(|n| put(n, usize::from(n) * 40)).collect())
        .unwrap();
    let many = (0..200).map(|n| put(n, 1)).collect();
    assert!(matches!(
        rows.write(many),
        Err(Error::Batch { rows: 200, .. })
    ));
    assert_eq!(rows.get(&[99]).unwrap(), Some(vec![99; 99 * 40]));
    assert_eq!(rows.get(&[150]).unwrap(), None);
    rows.write(vec![Write::Delete(vec![7])]).unwrap();
    rows.barrier().unwrap();
    drop(rows);
    let rows = Rows::open(dir.path()).unwrap();
    let mut seen = 0;
    rows.scan(&[], |key, value| {
        assert_eq!(value.len(), usize::from(key[0]) * 40);
        seen += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(seen, 99);
}

fn put(key: &[u8], value: &[u8]) -> Write {
    Write::Put(key.to_vec(), value.to_vec())
}

fn all(rows: &Rows) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut last = None;
    rows.scan(&[], |key, value| {
        assert!(last.as_deref() < Some(key), "in order");
        last = Some(key.to_vec());
        all.insert(key.to_vec(), value.to_vec());
        Ok(())
    })
    .unwrap();
    all
}

/// What a crash now would leave.
fn copied(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for from in entries(dir).unwrap() {
        let to = copy.path().join(from.file_name().unwrap());
        if from.is_dir() {
            std::fs::create_dir(&to).unwrap();
            for file in entries(&from).unwrap().iter().filter(|file| file.is_file()) {
                std::fs::copy(file, to.join(file.file_name().unwrap())).unwrap();
            }
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
    copy
}

#[test]
fn what_is_not_in_the_database_yet_is_read_and_goes_there_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let rows = Rows::open(dir.path()).unwrap();
    let held = |key: &[u8]| rows.inner.database.get(ROWS, key).unwrap().is_some();
    rows.write(vec![put(b"a", b"1"), put(b"b", b"1")]).unwrap();
    rows.write(vec![put(b"a", b"2"), Write::Delete(b"b".to_vec())])
        .unwrap();
    assert_eq!(rows.get(b"a").unwrap().as_deref(), Some(&b"2"[..]));
    assert_eq!(rows.get(b"b").unwrap(), None);
    assert!(!held(b"a"), "nobody waited for it");
    rows.inner.settle().unwrap();
    assert!(held(b"a") && !held(b"b"));
    assert!(lock(&rows.inner.pending).newest.is_empty());
    // One that is written while an older one is on its way stays the newest.
    rows.write(vec![put(b"a", b"3"), put(b"c", b"3")]).unwrap();
    let turn = lock(&rows.inner.turn);
    assert!(
        rows.inner
            .turn_over(&mut lock(&rows.inner.journal))
            .unwrap()
    );
    rows.write(vec![put(b"a", b"4"), put(b"d", b"4")]).unwrap();
    assert!(
        !rows
            .inner
            .turn_over(&mut lock(&rows.inner.journal))
            .unwrap()
    );
    assert_eq!(rows.get(b"a").unwrap().as_deref(), Some(&b"4"[..]));
    assert_eq!(rows.get(b"c").unwrap().as_deref(), Some(&b"3"[..]));
    let both = lock(&rows.inner.pending).under(&[]);
    assert_eq!(both.len(), 3, "{both:?}");
    rows.inner.finish().unwrap();
    drop(turn);
    assert_eq!(rows.get(b"a").unwrap().as_deref(), Some(&b"4"[..]));
    rows.write(vec![Write::Delete(b"a".to_vec())]).unwrap();
    assert_eq!(all(&rows).into_keys().collect::<Vec<_>>(), [b"c", b"d"]);
    drop(rows);
    let rows = Rows::open(dir.path()).unwrap();
    assert_eq!(rows.get(b"a").unwrap(), None);
}

#[test]
fn what_passed_the_barrier_survives_a_crash_before_it_is_in_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let rows = Rows::open(dir.path()).unwrap();
    rows.write(vec![put(b"a", b"1"), put(b"b", b"1")]).unwrap();
    rows.barrier().unwrap();
    rows.write(vec![put(b"a", b"2"), Write::Delete(b"b".to_vec())])
        .unwrap();
    rows.hand_over().unwrap();
    rows.write(vec![put(b"a", b"3")]).unwrap();
    let copy = copied(dir.path());
    let again = Rows::open(copy.path()).unwrap();
    assert_eq!(again.get(b"a").unwrap().as_deref(), Some(&b"2"[..]));
    assert_eq!(again.get(b"b").unwrap(), None);
    drop(again);
    // Torn within the second group, the first alone is there.
    let [journal, _] = journal::paths(&dir.path().join(JOBS));
    let bytes = std::fs::read(&journal).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    for cut in 1..12 {
        let copy = copied(dir.path());
        let mut torn = bytes.clone();
        torn[end + 1 - cut..].fill(0);
        std::fs::write(journal::paths(&copy.path().join(JOBS))[0].clone(), torn).unwrap();
        let again = Rows::open(copy.path()).unwrap();
        assert_eq!(
            again.get(b"a").unwrap().as_deref(),
            Some(&b"1"[..]),
            "{cut}"
        );
        assert_eq!(
            again.get(b"b").unwrap().as_deref(),
            Some(&b"1"[..]),
            "{cut}"
        );
    }
}

#[test]
fn the_journal_turns_over_and_what_crashes_anywhere_is_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let rows = Rows::open(dir.path()).unwrap();
    let mut model = BTreeMap::new();
    let noise = |n: u32| crc32fast::hash(&n.to_le_bytes());
    let value = |n: u32| -> Vec<u8> {
        let bytes = (0..5_000).flat_map(|i| noise(n * 5_000 + i).to_le_bytes());
        bytes.collect()
    };
    for round in 0..1_000_u32 {
        let key = (noise(round) % 50).to_be_bytes().to_vec();
        let value = value(round % 40);
        rows.write(vec![
            Write::Put(key.clone(), value.clone()),
            Write::Delete((noise(round * 2) % 50 + 50).to_be_bytes().to_vec()),
        ])
        .unwrap();
        model.insert(key, value);
        if round % 3 == 0 {
            rows.barrier().unwrap();
        }
        if round % 97 == 0 {
            rows.barrier().unwrap();
            // Copied while nothing moves: a crash leaves what one instant has.
            let copy = {
                let _turn = lock(&rows.inner.turn);
                copied(dir.path())
            };
            assert!(all(&Rows::open(copy.path()).unwrap()) == model, "{round}");
        }
    }
    assert!(
        lock(&rows.inner.journal).journal.turns() > 4,
        "20 MB went through it"
    );
    assert!(all(&rows) == model);
    drop(rows);
    assert!(journal::read(&dir.path().join(JOBS)).unwrap().is_empty());
    assert!(all(&Rows::open(dir.path()).unwrap()) == model);
}

#[test]
fn a_journal_of_which_a_part_is_missing_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let rows = Rows::open(dir.path()).unwrap();
    let files = journal::paths(&dir.path().join(JOBS));
    let mut old = None;
    for n in 0..4 {
        rows.write(vec![put(b"a", &[n])]).unwrap();
        rows.barrier().unwrap();
        old.get_or_insert_with(|| std::fs::read(&files[0]).unwrap());
        rows.inner.settle().unwrap();
    }
    rows.write(vec![put(b"a", b"9")]).unwrap();
    rows.barrier().unwrap();
    let turned = lock(&rows.inner.journal).journal.turns() % 2;
    let copy = copied(dir.path());
    let stale = &journal::paths(&copy.path().join(JOBS))[turned as usize];
    std::fs::write(stale, old.unwrap()).unwrap();
    let error = Rows::open(copy.path()).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}

#[test]
fn what_earlier_turns_left_is_never_taken_for_what_came_later() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..5_u8 {
        // All frames of one length, so that what is left behind stands where a next one would.
        let rows = Rows::open(dir.path()).unwrap();
        for n in round..5 {
            rows.write(vec![put(&[n], &[round])]).unwrap();
            rows.hand_over().unwrap();
        }
        let copy = copied(dir.path());
        let again = Rows::open(copy.path()).unwrap();
        for n in 0..5 {
            let newest = n.min(round);
            assert_eq!(again.get(&[n]).unwrap(), Some(vec![newest]), "{round} {n}");
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_in_a_journal_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        journal::skim(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// 0–9 write, 10–13 hand over, 14–17 pass the barrier, 18 ends, 19 and 20 crash, the rest settle.
    #[test]
    fn a_crash_leaves_what_was_handed_over_and_no_half_of_a_group(
        steps in prop::collection::vec((0..32_u8, 0..6_u8), 1..60)
    ) {
        let mut dir = tempfile::tempdir().unwrap();
        let mut rows = Rows::open(dir.path()).unwrap();
        let (mut states, mut sure) = (vec![BTreeMap::new()], 0);
        for (n, (step, key)) in (0_u8..).zip(steps) {
            match step {
                0..10 => {
                    let other = vec![key + 100];
                    let second = if step < 3 {
                        Write::Delete(other.clone())
                    } else {
                        put(&other, &[n])
                    };
                    rows.write(vec![put(&[key], &[n]), second]).unwrap();
                    let mut state = states.last().unwrap().clone();
                    state.insert(vec![key], vec![n]);
                    if step < 3 {
                        state.remove(&other);
                    } else {
                        state.insert(other, vec![n]);
                    }
                    states.push(state);
                }
                10..14 => rows.hand_over().unwrap(),
                14..18 => rows.barrier().unwrap(),
                21.. => rows.inner.settle().unwrap(),
                18 => {
                    drop(rows);
                    rows = Rows::open(dir.path()).unwrap();
                }
                _ => {
                    let copy = {
                        let _turn = lock(&rows.inner.turn);
                        copied(dir.path())
                    };
                    drop(rows);
                    dir = copy;
                    rows = Rows::open(dir.path()).unwrap();
                    let found = all(&rows);
                    let left = states.iter().skip(sure).position(|state| *state == found);
                    prop_assert!(left.is_some(), "{found:?} of {:?}", &states[sure..]);
                    states = vec![found];
                }
            }
            if step > 9 {
                sure = states.len() - 1;
            }
            prop_assert_eq!(&all(&rows), states.last().unwrap());
        }
    }
}

/// Takes what is written to it, forgets it, and cannot be synced.
fn broken() -> File {
    let options = File::options().read(true).write(true).clone();
    options.open("/dev/null").unwrap()
}

#[test]
fn a_sync_that_failed_is_made_good() {
    let dir = tempfile::tempdir().unwrap();
    let rows = Rows::open(dir.path()).unwrap();
    let sound = lock(&rows.inner.journal).journal.exchange(broken());
    rows.write(vec![put(b"a", b"1")]).unwrap();
    assert!(matches!(rows.barrier(), Err(Error::Io { .. })));
    lock(&rows.inner.journal).journal.exchange(sound);
    assert!(journal::read(&dir.path().join(JOBS)).unwrap().is_empty());
    rows.write(vec![put(b"b", b"2")]).unwrap();
    rows.barrier().unwrap();
    let copy = copied(dir.path());
    assert_eq!(all(&Rows::open(copy.path()).unwrap()).len(), 2);
}

#[test]
fn syncs_that_fail_until_the_file_is_full_are_made_good_too() {
    const LARGE: u32 = 90_000;
    let dir = tempfile::tempdir().unwrap();
    let rows = Rows::open(dir.path()).unwrap();
    rows.write(vec![put(b"a", b"1")]).unwrap();
    rows.barrier().unwrap();
    let sound = {
        // Turned over with a group that is in neither file yet.
        let _turn = lock(&rows.inner.turn);
        rows.write(vec![put(b"b", b"1")]).unwrap();
        let mut log = lock(&rows.inner.journal);
        assert!(rows.inner.turn_over(&mut log).unwrap());
        log.journal.exchange(broken())
    };
    let mut taken = vec![b"a".to_vec(), b"b".to_vec()];
    for n in 0..60 {
        let key = vec![b'n', n];
        // What does not pack.
        let noise = |i: u32| crc32fast::hash(&(u32::from(n) << 20 | i).to_le_bytes());
        let noise: Vec<u8> = (0..LARGE / 4)
            .flat_map(|i| noise(i).to_le_bytes())
            .collect();
        if rows.write(vec![put(&key, &noise)]).is_ok() {
            taken.push(key);
        }
        assert!(rows.barrier().is_err());
    }
    assert!(
        !lock(&rows.inner.journal).journal.fits(LARGE as usize),
        "it is full"
    );
    lock(&rows.inner.journal).journal.exchange(sound);
    rows.barrier().unwrap();
    rows.write(vec![put(b"z", b"1")]).unwrap();
    rows.barrier().unwrap();
    taken.push(b"z".to_vec());
    let copy = copied(dir.path());
    for rows in [rows, Rows::open(copy.path()).unwrap()] {
        assert_eq!(all(&rows).into_keys().collect::<Vec<_>>(), taken);
    }
}

/// A file of the journal of which a loss of power left some pages as they were before.
fn patched(dir: &Path, file: usize, bytes: &[u8]) -> tempfile::TempDir {
    let copy = copied(dir);
    let path = &journal::paths(&copy.path().join(JOBS))[file];
    std::fs::write(path, bytes).unwrap();
    copy
}

#[test]
fn whichever_pages_of_a_turns_first_frame_are_on_the_disk_it_opens() {
    const PAGE: usize = 4_096;
    let dir = tempfile::tempdir().unwrap();
    let rows = Rows::open(dir.path()).unwrap();
    let noise = |seed: u32| -> Vec<u8> {
        let bytes =
            (0..2_000).flat_map(|i| crc32fast::hash(&(seed + i).to_le_bytes()).to_le_bytes());
        bytes.collect()
    };
    for n in 0..2_u8 {
        for key in 0..9 {
            rows.write(vec![put(&[key], &[n; 50])]).unwrap();
            rows.barrier().unwrap();
        }
        rows.inner.settle().unwrap();
    }
    let held = all(&rows);
    let [first, _] = journal::paths(&dir.path().join(JOBS));
    let before = std::fs::read(&first).unwrap();
    rows.write(vec![put(&[1], &noise(1)), put(&[2], &noise(9_000))])
        .unwrap();
    rows.hand_over().unwrap();
    let after = std::fs::read(&first).unwrap();
    assert!(
        before[2 * PAGE..] != after[2 * PAGE..],
        "it takes several pages"
    );
    for cut in [PAGE, 2 * PAGE] {
        let second_half = [&before[..cut], &after[cut..]].concat();
        let first_half = [&after[..cut], &before[cut..]].concat();
        for bytes in [second_half, first_half] {
            let copy = patched(dir.path(), 0, &bytes);
            let again = Rows::open(copy.path()).unwrap();
            assert!(all(&again) == held, "cut at {cut}");
        }
    }
}

#[test]
fn a_frame_that_was_lost_and_the_one_after_it_never_come_back() {
    let dir = tempfile::tempdir().unwrap();
    drop(Rows::open(dir.path()).unwrap());
    let rows = Rows::open(dir.path()).unwrap();
    let [first, _] = journal::paths(&dir.path().join(JOBS));
    let empty = std::fs::read(&first).unwrap();
    rows.write(vec![put(b"a", b"1")]).unwrap();
    rows.hand_over().unwrap();
    let one = std::fs::read(&first).unwrap();
    rows.write(vec![put(b"b", b"1")]).unwrap();
    rows.hand_over().unwrap();
    let two = std::fs::read(&first).unwrap();
    // The first is not on the disk, the second is.
    let end = (0..one.len())
        .rev()
        .find(|at| one[*at] != empty[*at])
        .unwrap()
        + 1;
    let cut = patched(dir.path(), 0, &[&empty[..end], &two[end..]].concat());
    let rows = Rows::open(cut.path()).unwrap();
    assert!(all(&rows).is_empty());
    rows.write(vec![put(b"c", b"1")]).unwrap();
    rows.hand_over().unwrap();
    let crashed = copied(cut.path());
    let held = all(&Rows::open(crashed.path()).unwrap());
    assert_eq!(held.into_keys().collect::<Vec<_>>(), [b"c"]);
}

#[test]
fn the_journal_of_a_database_that_is_gone_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let rows = Rows::open(dir.path()).unwrap();
    rows.write(vec![put(b"a", b"1")]).unwrap();
    rows.barrier().unwrap();
    let copy = copied(dir.path());
    std::fs::remove_dir_all(copy.path().join(JOBS)).unwrap();
    std::fs::remove_file(copy.path().join(JOBS).with_extension("made")).unwrap();
    assert!(all(&Rows::open(copy.path()).unwrap()).is_empty());
    assert!(copy.path().join("jobs.journal-0-unfinished").exists());
}
