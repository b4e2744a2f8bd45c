//! Rows that change often, in a database of their own: keys, values, atomic batches, a barrier.
//!
//! For: the job queue, whose churn must not share segments with history and records. Not for:
//! samples (`history`) and documents (`records`). Read [`Rows::write`] first.
//!
//! What is written lies in memory until the next barrier, or until it is much: whoever reads finds it
//! there. Each batch of the engine costs it two writes of its own, so that what many wrote between two
//! barriers goes in as few batches as it fits in; a row that came and went meanwhile costs nothing.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::barrier::Database;
use super::databases::{JOBS, shape};
use super::keys::ROWS;
use super::op::Op;
use super::{Error, Result, codec};
use crate::model::units::Bytes;

/// Values under this size are not packed: packing costs more time than their bytes.
const PACK_FROM: usize = 1 << 10;
/// What lies in memory before whoever writes has it brought into the database.
const PENDING_MAX: usize = 1 << 20;
/// Room on the disk that is looked for at once: a look costs more than to note a small write.
const ROOM: usize = 64 << 10;

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
    database: Arc<Database>,
    pending: Mutex<Pending>,
    /// Held while pending writes go into the database, so that they go in order.
    turn: Mutex<()>,
}

/// Writes that are not in the database yet.
#[derive(Debug, Default)]
struct Pending {
    /// In order; each happens wholly or not at all.
    groups: VecDeque<Vec<Op>>,
    bytes: usize,
    /// Bytes that may lie here, as the disk was at the first of them since the last settling.
    room: usize,
    /// What a key holds after all of them, and the number of the group that says so.
    newest: HashMap<Vec<u8>, (u64, Option<Vec<u8>>)>,
    /// The number of the first group.
    first: u64,
}

/// What goes into the database next, and how.
struct Next {
    ops: Vec<Op>,
    count: usize,
    is_batch: bool,
}

impl Pending {
    fn add(&mut self, group: Vec<Op>) {
        let number = self.first + self.groups.len() as u64;
        for op in &group {
            self.bytes += op.size();
            let (key, value) = match op {
                Op::Put(key, value) => (key, Some(value.clone())),
                Op::Delete(key) => (key, None),
            };
            self.newest.insert(key.clone(), (number, value));
        }
        self.groups.push_back(group);
    }

    /// The first groups that go in together, what they come to, and how many they are: as one batch,
    /// or one by one where each is one operation, all at different keys. That is whole without a
    /// batch, and saves what a batch costs.
    fn next(&self) -> Next {
        let (mut merged, mut count, mut size) = (BTreeMap::new(), 0, 0);
        for group in &self.groups {
            size += group.iter().map(Op::size).sum::<usize>();
            if count > 0 && !Database::fits(merged.len() + group.len(), size) {
                break;
            }
            count += 1;
            merged.extend(group.iter().map(|op| (op.key(), op)));
        }
        let is_alone = self.groups.iter().take(count).all(|group| group.len() == 1);
        if is_alone && merged.len() == count {
            let alone = self.groups.iter().take(count).flatten();
            return Next {
                ops: alone.cloned().collect(),
                count,
                is_batch: false,
            };
        }
        Next {
            ops: merged.into_values().cloned().collect(),
            count,
            is_batch: true,
        }
    }

    /// Forgets the first groups: they are in the database.
    fn forget(&mut self, count: usize) {
        for _ in 0..count {
            for op in self.groups.pop_front().unwrap_or_default() {
                self.bytes -= op.size();
                if let Some((number, _)) = self.newest.get(op.key())
                    && *number <= self.first
                {
                    self.newest.remove(op.key());
                }
            }
            self.first += 1;
        }
    }
}

impl Rows {
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let database = Arc::new(Database::open(&dir.join(JOBS), shape(JOBS))?);
        Ok(Self {
            database,
            pending: Mutex::default(),
            turn: Mutex::default(),
        })
    }

    /// The database, with everything in it that was written before.
    pub(super) fn database(&self) -> Result<&Arc<Database>> {
        self.settle()?;
        Ok(&self.database)
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value at a key.
    ///
    /// # Errors
    /// What the disk says; [`Error::Corrupt`] for a value that is not what was written.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let newest = {
            let pending = self.pending();
            pending.newest.get(key).map(|(_, value)| value.clone())
        };
        let sealed = match newest {
            Some(newest) => newest,
            None => self.database.get(ROWS, key)?,
        };
        let Some(sealed) = sealed else {
            return Ok(None);
        };
        let opened = codec::open(&sealed);
        let opened = opened.map_err(|damage| self.database.damaged(damage))?;
        Ok(Some(opened.into_owned()))
    }

    /// Calls `visit` with each key and value under a prefix, in order of keys.
    ///
    /// # Errors
    /// As [`Rows::get`], or what `visit` says.
    pub fn scan(
        &self,
        prefix: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        self.settle()?;
        self.database.scan(ROWS, prefix, |key, sealed| {
            let value = codec::open(sealed).map_err(|damage| self.database.damaged(damage))?;
            visit(key, &value)
        })
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
        let mut pending = self.pending();
        if pending.bytes > PENDING_MAX {
            drop(pending);
            self.settle()?;
            pending = self.pending();
        }
        let wanted = pending.bytes + size;
        if wanted > pending.room {
            self.database.need_bytes(wanted + ROOM)?;
            pending.room = wanted + ROOM;
        }
        pending.add(ops);
        Ok(())
    }

    /// Brings everything that was written into the database; not yet past the barrier.
    ///
    /// # Errors
    /// What the disk says; what did not get there is tried again the next time.
    pub fn settle(&self) -> Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let next = {
                let mut pending = self.pending();
                pending.room = 0;
                pending.next()
            };
            if next.count == 0 {
                return Ok(());
            }
            if next.is_batch {
                self.database.write(ROWS, next.ops)?;
            } else {
                self.database.write_each(ROWS, next.ops)?;
            }
            self.pending().forget(next.count);
        }
    }

    /// Returns when everything written before the call would survive a loss of power. Blocks.
    ///
    /// # Errors
    /// What the disk says.
    pub fn barrier(&self) -> Result<()> {
        self.settle()?;
        self.database.barrier()
    }

    /// A value that is not what its reader wrote.
    pub fn damaged(&self, what: &'static str) -> Error {
        self.database.damaged(codec::Damaged(what))
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        if let Err(error) = self.settle() {
            tracing::error!(%error, "changes to jobs that nobody waited for are lost");
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
    use super::*;

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

    #[test]
    fn what_is_not_in_the_database_yet_is_read_and_goes_there_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let rows = Rows::open(dir.path()).unwrap();
        let put = |key: &[u8], value: &[u8]| Write::Put(key.to_vec(), value.to_vec());
        let held = |key: &[u8]| rows.database.get(ROWS, key).unwrap().is_some();
        rows.write(vec![put(b"a", b"1"), put(b"b", b"1")]).unwrap();
        rows.write(vec![put(b"a", b"2"), Write::Delete(b"b".to_vec())])
            .unwrap();
        assert_eq!(rows.get(b"a").unwrap().as_deref(), Some(&b"2"[..]));
        assert_eq!(rows.get(b"b").unwrap(), None);
        assert!(!held(b"a"), "nobody waited for it");
        rows.settle().unwrap();
        assert!(held(b"a") && !held(b"b"));
        let pending = rows.pending();
        assert!(pending.newest.is_empty() && pending.bytes == 0 && pending.first == 2);
        drop(pending);
        // One that is written while an older one is on its way stays the newest.
        rows.write(vec![put(b"a", b"3")]).unwrap();
        let next = rows.pending().next();
        rows.write(vec![put(b"a", b"4")]).unwrap();
        rows.database.write(ROWS, next.ops).unwrap();
        rows.pending().forget(next.count);
        assert_eq!(rows.get(b"a").unwrap().as_deref(), Some(&b"4"[..]));
        rows.write(vec![Write::Delete(b"a".to_vec())]).unwrap();
        drop(rows);
        let rows = Rows::open(dir.path()).unwrap();
        assert_eq!(rows.get(b"a").unwrap(), None);
    }

    #[test]
    fn many_small_writes_share_batches_and_much_is_not_kept_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let rows = Rows::open(dir.path()).unwrap();
        let put = |n: u32, size: usize| Write::Put(n.to_be_bytes().to_vec(), vec![1; size]);
        for n in 0..300 {
            rows.write(vec![put(n, 100)]).unwrap();
        }
        let next = rows.pending().next();
        assert_eq!(
            (next.ops.len(), next.count, next.is_batch),
            (128, 128, false)
        );
        drop(next);
        rows.settle().unwrap();
        for n in 0..100 {
            rows.write(vec![put(n, 50), put(1_000, 50)]).unwrap();
        }
        let next = rows.pending().next();
        assert_eq!(
            (next.ops.len(), next.count, next.is_batch),
            (101, 100, true)
        );
        drop(next);
        rows.settle().unwrap();
        // Two operations of one transition go together, whatever stands beside them.
        rows.write(Vec::new()).unwrap();
        rows.write(vec![put(1_001, 50), put(1_002, 50)]).unwrap();
        rows.write(Vec::new()).unwrap();
        assert!(rows.pending().next().is_batch);
        // What does not pack.
        let noise = |n: u32| (n * 15_000..).map(|i| crc32fast::hash(&i.to_le_bytes()));
        for n in 300..400 {
            let noise = noise(n).take(15_000).flat_map(u32::to_le_bytes).collect();
            rows.write(vec![Write::Put(n.to_be_bytes().to_vec(), noise)])
                .unwrap();
            assert!(rows.pending().bytes <= PENDING_MAX + 70_000);
        }
        rows.barrier().unwrap();
        let mut seen = 0;
        rows.scan(&[], |_, _| {
            seen += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, 403);
    }
}
