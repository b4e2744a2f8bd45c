//! Rows that change often, in a database of their own: keys, values, atomic groups, a barrier.
//!
//! For: the job queue, whose churn must not share segments with history and records. Not for:
//! samples (`history`) and documents (`records`). Read [`Rows::write`] first.
//!
//! What is written lies in memory, where whoever reads finds it, and goes at the next barrier into a
//! journal of two files: one write and one sync, whatever the engine would make of it. From there a
//! thread brings it into the database, a second later or when half a file is full, each key once: a
//! row that came and went meanwhile costs the engine nothing. What stands in the journal is brought
//! there when the rows are opened, so that a crash between the two loses nothing, and a group need not
//! be one batch.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::barrier::{Database, lock};
use super::databases::{JOBS, shape};
use super::journal::{Journal, emptied};
use super::keys::ROWS;
use super::op::Op;
use super::pending::{Pending, Values};
use super::{Error, Result, codec};
use crate::model::units::Bytes;

/// Values under this size are not packed: packing costs more time than their bytes.
const PACK_FROM: usize = 1 << 10;
/// What lies in memory before whoever writes has it brought into the journal.
const UNLOGGED_MAX: usize = 256 << 10;
/// What is in the journal and not synced, where nobody waits for that.
const UNSYNCED_MAX: usize = 1 << 20;
/// Room on the disk that is looked for at once: a look costs more than to note a small write.
const ROOM: usize = 64 << 10;
/// How long rows stay out of the database where few are written.
const REST: Duration = Duration::from_secs(1);

/// Something to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// This value at this key.
    Put(Vec<u8>, Vec<u8>),
    /// Nothing at this key.
    Delete(Vec<u8>),
}

/// A database of rows, in order of their keys. Each value lies in a checked envelope.
#[derive(Debug)]
pub struct Rows {
    inner: Arc<Inner>,
    thread: Option<JoinHandle<()>>,
}

/// Locks are taken in this order: turn, journal, pending.
#[derive(Debug)]
struct Inner {
    database: Arc<Database>,
    /// Held while rows go into the database.
    turn: Mutex<()>,
    journal: Mutex<Log>,
    pending: Mutex<Pending>,
    wish: Mutex<Wish>,
    rings: Condvar,
}

/// The journal, and how many groups are in it, and on the disk.
#[derive(Debug)]
struct Log {
    journal: Journal,
    logged: u64,
    synced: u64,
}

/// What the thread is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    Nothing,
    /// Bring rows into the database within [`REST`].
    Soon,
    Now,
    End,
}

impl Rows {
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let database = Arc::new(Database::open(&dir.join(JOBS), shape(JOBS))?);
        let journal = Journal::open(&database.path, |groups| {
            let mut newest = Pending::default();
            for group in groups {
                newest.add(group);
            }
            settle_into(&database, &newest.newest)
        })?;
        let inner = Arc::new(Inner {
            database,
            turn: Mutex::default(),
            journal: Mutex::new(Log {
                journal,
                logged: 0,
                synced: 0,
            }),
            pending: Mutex::default(),
            wish: Mutex::new(Wish::Nothing),
            rings: Condvar::new(),
        });
        let thread = {
            let inner = Arc::clone(&inner);
            let name = "jobs-settle".to_owned();
            // Without one, whoever finds the journal full brings it into the database.
            std::thread::Builder::new()
                .name(name)
                .spawn(move || inner.settle_until_the_end())
                .ok()
        };
        Ok(Self { inner, thread })
    }

    /// The database, with everything in it that was written before.
    pub(super) fn database(&self) -> Result<&Arc<Database>> {
        self.inner.settle()?;
        Ok(&self.inner.database)
    }

    /// The value at a key.
    ///
    /// # Errors
    /// What the disk says; [`Error::Corrupt`] for a value that is not what was written.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let pending = lock(&self.inner.pending).read(key, |value| value.map(<[u8]>::to_vec));
        let sealed = match pending {
            Some(pending) => pending,
            None => self.inner.database.get(ROWS, key)?,
        };
        let Some(sealed) = sealed else {
            return Ok(None);
        };
        let opened = codec::open(&sealed);
        let opened = opened.map_err(|damage| self.inner.database.damaged(damage))?;
        Ok(Some(opened.into_owned()))
    }

    /// Calls `visit` with each key and value under a prefix, in order of keys; it must not write.
    ///
    /// # Errors
    /// As [`Rows::get`], or what `visit` says.
    pub fn scan(
        &self,
        prefix: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        let database = &self.inner.database;
        // Nothing goes into the database meanwhile.
        let _turn = lock(&self.inner.turn);
        let mut pending = lock(&self.inner.pending)
            .under(prefix)
            .into_iter()
            .peekable();
        let mut tell = |key: &[u8], sealed: &[u8]| {
            let value = codec::open(sealed).map_err(|damage| database.damaged(damage))?;
            visit(key, &value)
        };
        database.scan(ROWS, prefix, |key, sealed| {
            while let Some((earlier, value)) = pending.next_if(|(other, _)| other.as_slice() < key)
            {
                value.map_or(Ok(()), |value| tell(&earlier, &value))?;
            }
            match pending.next_if(|(other, _)| other == key) {
                Some((_, value)) => value.map_or(Ok(()), |value| tell(key, &value)),
                None => tell(key, sealed),
            }
        })?;
        pending.try_for_each(|(key, value)| value.map_or(Ok(()), |value| tell(&key, &value)))
    }

    /// Writes all or nothing, after all that was written before; not yet past the barrier.
    ///
    /// # Errors
    /// [`Error::Batch`] for more than 128 rows or 512 kB at once, else what the disk says; then
    /// nothing is written.
    pub fn write(&self, writes: Vec<Write>) -> Result<()> {
        if writes.is_empty() {
            return Ok(());
        }
        let ops: Vec<Op> = writes.into_iter().map(op).collect();
        let size = ops.iter().map(Op::size).sum::<usize>();
        if !Database::fits(ops.len(), size) {
            return Err(Error::Batch {
                rows: ops.len(),
                size: Bytes(size as u64),
            });
        }
        let inner = &*self.inner;
        let mut pending = lock(&inner.pending);
        while pending.unlogged.len() > UNLOGGED_MAX {
            drop(pending);
            inner.log(false)?;
            pending = lock(&inner.pending);
        }
        let wanted = pending.used + size;
        if wanted > pending.room {
            inner.database.need_bytes(wanted + ROOM)?;
            pending.room = wanted + ROOM;
        }
        pending.used = wanted;
        pending.add(ops);
        Ok(())
    }

    /// Hands everything that was written to the system: it survives the process, not a loss of power.
    ///
    /// # Errors
    /// What the disk says; what did not get there is tried again the next time.
    pub fn hand_over(&self) -> Result<()> {
        self.inner.log(false)
    }

    /// Returns when everything written before the call would survive a loss of power. Blocks.
    ///
    /// # Errors
    /// What the disk says.
    pub fn barrier(&self) -> Result<()> {
        self.inner.log(true)
    }

    /// A value that is not what its reader wrote.
    pub fn damaged(&self, what: &'static str) -> Error {
        self.inner.database.damaged(codec::Damaged(what))
    }
}

impl Inner {
    /// Brings everything that was written into the journal, and on the disk if that `is_awaited`.
    fn log(&self, is_awaited: bool) -> Result<()> {
        loop {
            let mut log = lock(&self.journal);
            if self.try_log(&mut log, is_awaited)? {
                let is_half_full = log.journal.is_half_full();
                let is_turned = is_half_full && self.turn_over(&mut log)?;
                drop(log);
                self.wish(if is_turned { Wish::Now } else { Wish::Soon });
                return Ok(());
            }
            if !self.turn_over(&mut log)? {
                drop(log);
                let _turn = lock(&self.turn);
                self.finish()?;
            }
        }
    }

    /// The same, unless the file has no room for it.
    fn try_log(&self, log: &mut Log, is_awaited: bool) -> Result<bool> {
        let (mut groups, count) = {
            let mut pending = lock(&self.pending);
            (std::mem::take(&mut pending.unlogged), pending.count)
        };
        if !groups.is_empty() {
            let fits = log.journal.fits(groups.len());
            let appended = if fits {
                log.journal.append(&groups)
            } else {
                Ok(())
            };
            if !fits || appended.is_err() {
                lock(&self.pending).give_back(groups);
                return appended.map(|()| false);
            }
            emptied(&mut groups);
            // Its room serves those that come next.
            let mut pending = lock(&self.pending);
            if pending.unlogged.is_empty() {
                pending.unlogged = groups;
            }
        }
        log.logged = count;
        if is_awaited || log.journal.unsynced() > UNSYNCED_MAX {
            log.journal.sync()?;
            log.synced = log.logged;
        }
        Ok(true)
    }

    /// Goes on in the journal's other file, if what stands there is in the database; what was written
    /// so far is then on its way there.
    fn turn_over(&self, log: &mut Log) -> Result<bool> {
        if lock(&self.pending).settling.is_some() {
            return Ok(false);
        }
        log.journal.sync()?;
        log.synced = log.logged;
        lock(&self.pending).begin();
        log.journal.turn_over();
        Ok(true)
    }

    /// Brings what is on its way into the database, and on the disk there. Call it with the turn.
    fn finish(&self) -> Result<()> {
        let Some(settling) = lock(&self.pending).settling.clone() else {
            return Ok(());
        };
        {
            let mut log = lock(&self.journal);
            // The first that goes into a file that was turned to has room there.
            if log.synced < settling.count && !self.try_log(&mut log, true)? {
                return Err(self
                    .database
                    .damaged(codec::Damaged("a journal that has no room")));
            }
        }
        settle_into(&self.database, &settling.values)?;
        lock(&self.pending).settling = None;
        Ok(())
    }

    /// Brings everything that was written into the database.
    fn settle(&self) -> Result<()> {
        let _turn = lock(&self.turn);
        self.finish()?;
        if lock(&self.pending).newest.is_empty() {
            return Ok(());
        }
        // Where a full file was turned to the other meanwhile, all of it is on its way just so.
        self.turn_over(&mut lock(&self.journal))?;
        self.finish()
    }

    fn wish(&self, wish: Wish) {
        let mut wished = lock(&self.wish);
        if wish > *wished {
            *wished = wish;
            drop(wished);
            self.rings.notify_one();
        }
    }

    fn settle_until_the_end(&self) {
        loop {
            let mut wished = lock(&self.wish);
            while *wished == Wish::Nothing {
                let rung = self.rings.wait(wished);
                wished = rung.unwrap_or_else(PoisonError::into_inner);
            }
            if *wished == Wish::Soon {
                let is_soon = |wish: &mut Wish| *wish == Wish::Soon;
                let rung = self.rings.wait_timeout_while(wished, REST, is_soon);
                wished = rung.unwrap_or_else(PoisonError::into_inner).0;
            }
            let is_over = *wished == Wish::End;
            if !is_over {
                *wished = Wish::Nothing;
            }
            drop(wished);
            if is_over {
                return;
            }
            if let Err(error) = self.settle() {
                tracing::error!(%error, "changes to jobs stay in their journal");
                self.wish(Wish::Soon);
            }
        }
    }
}

/// Writes the last value of each key into the database, on the disk when it returns.
fn settle_into(database: &Database, values: &Values) -> Result<()> {
    database.settle(ROWS, values)?;
    database.barrier()
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.inner.wish(Wish::End);
        if let Some(thread) = self.thread.take() {
            // A panic there was told when it happened.
            let _ = thread.join();
        }
        let settled = self.inner.settle();
        if let Err(error) = settled.and_then(|()| lock(&self.inner.journal).journal.clear()) {
            tracing::error!(%error, "changes to jobs stay in their journal");
        }
    }
}

fn op(write: Write) -> Op {
    match write {
        Write::Put(key, value) if value.len() < PACK_FROM => {
            Op::Put(key, codec::seal_packed(&value))
        }
        Write::Put(key, value) => Op::Put(key, codec::seal(&value)),
        Write::Delete(key) => Op::Delete(key),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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
    fn a_sync_that_failed_is_made_good() {
        let dir = tempfile::tempdir().unwrap();
        let rows = Rows::open(dir.path()).unwrap();
        rows.write(vec![put(b"a", b"1")]).unwrap();
        rows.hand_over().unwrap();
        // As after a failure, of which the system may have forgotten what was written.
        let [journal, _] = journal::paths(&dir.path().join(JOBS));
        lock(&rows.inner.journal)
            .journal
            .forget_as_after_a_failure();
        assert!(
            std::fs::read(&journal)
                .unwrap()
                .iter()
                .all(|byte| *byte == 0)
        );
        rows.write(vec![put(b"b", b"2")]).unwrap();
        rows.barrier().unwrap();
        let copy = copied(dir.path());
        assert_eq!(all(&Rows::open(copy.path()).unwrap()).len(), 2);
    }
}
