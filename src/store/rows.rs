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
use super::journal::{self, Journal, emptied};
use super::keys::ROWS;
use super::mark::Mark;
use super::op::Op;
use super::pending::{Pending, Values, last_values};
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
        let path = dir.join(JOBS);
        if !Mark::of(&path).is_there() {
            journal::set_aside(&path)?;
        }
        let database = Arc::new(Database::open(&path, shape(JOBS))?);
        let journal = Journal::open(&database.path, |groups| {
            settle_into(&database, &last_values(groups))
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
        while pending.taken + pending.unlogged.len() > UNLOGGED_MAX {
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
            if log.journal.is_empty() {
                return Err(self.full());
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
        let (mut groups, count) = lock(&self.pending).take();
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
            lock(&self.pending).taken_over(groups);
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
        if log.journal.is_empty() {
            // A turn without a frame would look like a lost one.
            self.try_log(log, false)?;
            if log.journal.is_empty() {
                return Ok(false);
            }
        }
        log.journal.sync()?;
        log.synced = log.logged;
        log.journal.turn_over()?;
        lock(&self.pending).begin();
        Ok(true)
    }

    /// Brings what is on its way into the database, and on the disk there. Call it with the turn.
    fn finish(&self) -> Result<()> {
        let Some(settling) = lock(&self.pending).settling.clone() else {
            return Ok(());
        };
        {
            let mut log = lock(&self.journal);
            if log.logged >= settling.count {
                log.journal.sync()?;
                log.synced = log.logged;
            } else if !self.try_log(&mut log, true)? {
                // What goes first into a file that was turned to has room there.
                return Err(self.full());
            }
        }
        settle_into(&self.database, &settling.values)?;
        lock(&self.pending).settling = None;
        Ok(())
    }

    /// More in one frame than a file holds, which `write` does not let in.
    fn full(&self) -> Error {
        let damage = codec::Damaged("a journal that has no room");
        self.database.damaged(damage)
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
        if let Err(error) = self.inner.log(true) {
            tracing::error!(%error, "changes to jobs that nobody waited for are lost");
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
mod tests;
