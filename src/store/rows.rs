//! Rows that change often, in a database of their own: keys, values, atomic batches, a barrier.
//!
//! For: the job queue, whose churn must not share segments with history and records. Not for:
//! samples (`history`) and documents (`records`). Read [`Rows::write`] first.

use std::path::Path;
use std::sync::Arc;

use super::barrier::Database;
use super::databases::{JOBS, shape};
use super::keys::ROWS;
use super::op::Op;
use super::{Error, Result, codec};
use crate::model::units::Bytes;

/// Values under this size are not packed: packing costs more time than their bytes.
const PACK_FROM: usize = 1 << 10;

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
}

impl Rows {
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let database = Arc::new(Database::open(&dir.join(JOBS), shape(JOBS))?);
        Ok(Self { database })
    }

    pub(super) const fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// The value at a key.
    ///
    /// # Errors
    /// What the disk says; [`Error::Corrupt`] for a value that is not what was written.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some(sealed) = self.database.get(ROWS, key)? else {
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
        self.database.scan(ROWS, prefix, |key, sealed| {
            let value = codec::open(sealed).map_err(|damage| self.database.damaged(damage))?;
            visit(key, &value)
        })
    }

    /// Writes all or nothing; not yet past the barrier.
    ///
    /// # Errors
    /// [`Error::Batch`] for more than 128 rows or 512 kB at once, else what the disk says; then
    /// nothing is written.
    pub fn write(&self, writes: Vec<Write>) -> Result<()> {
        let ops: Vec<Op> = writes.into_iter().map(op).collect();
        if !Database::is_atomic(&ops) {
            return Err(Error::Batch {
                rows: ops.len(),
                size: Bytes(ops.iter().map(Op::size).sum::<usize>() as u64),
            });
        }
        self.database.write(ROWS, ops)
    }

    /// Returns when everything written before the call would survive a loss of power. Blocks.
    ///
    /// # Errors
    /// What the disk says.
    pub fn barrier(&self) -> Result<()> {
        self.database.barrier()
    }

    /// A value that is not what its reader wrote.
    pub fn damaged(&self, what: &'static str) -> Error {
        self.database.damaged(codec::Damaged(what))
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
}
