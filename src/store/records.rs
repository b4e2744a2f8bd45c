//! Small typed documents by kind and name: projections, findings, settings.
//!
//! For: what is written whole and read whole. Not for: samples (`history`), nor for anything that
//! grows without end. Read [`Records::put`] first.
//!
//! A record is JSON in an envelope (see `codec`), cut into parts of 16 KiB so that no page of the
//! database becomes large; all parts are written in one batch, so it is there wholly or not.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::barrier::Database;
use super::keys::{RECORDS, read_record_key, record_key, record_prefix};
use super::op::Op;
use super::{Error, Result, codec};
use crate::model::units::Bytes;

const PART: usize = 16 << 10;
/// Parts of the largest record, so that old and new ones together fit into one batch.
const PARTS_MAX: usize = 24;
const NAME_MAX: usize = 512;

/// The records of a store.
#[derive(Debug)]
pub struct Records {
    control: Arc<Database>,
    path: PathBuf,
}

impl Records {
    pub(super) fn in_database(control: Arc<Database>, dir: &Path) -> Self {
        Self {
            control,
            path: dir.join("control"),
        }
    }

    /// Writes a record, in place of one of the same kind and name; returns past the barrier.
    ///
    /// # Errors
    /// [`Error::RecordName`] and [`Error::RecordSize`] for what cannot be kept, [`Error::Record`]
    /// for what is no JSON, else what the disk says; then the record is as it was.
    pub fn put(&self, kind: &str, id: &str, record: &impl Serialize) -> Result<()> {
        let json = serde_json::to_vec(record).map_err(|source| Error::Record {
            kind: kind.to_owned(),
            id: id.to_owned(),
            source,
        })?;
        self.put_text(kind, id, &json)
    }

    /// Writes a record that is JSON already.
    pub(super) fn put_text(&self, kind: &str, id: &str, json: &[u8]) -> Result<()> {
        check_name(kind)?;
        check_name(id)?;
        let sealed = codec::seal(json);
        let mut ops: Vec<Op> = (0u16..)
            .zip(sealed.chunks(PART))
            .map(|(part, bytes)| Op::put(record_key(kind, id, part), bytes))
            .collect();
        if ops.len() > PARTS_MAX {
            return Err(Error::RecordSize {
                kind: kind.to_owned(),
                id: id.to_owned(),
                size: Bytes(sealed.len() as u64),
                limit: Bytes((PART * PARTS_MAX) as u64),
            });
        }
        let parts = ops.len();
        ops.extend(self.keys(kind, id)?.into_iter().skip(parts).map(Op::Delete));
        debug_assert!(Database::is_atomic(&ops), "a record is one batch");
        self.control.write(RECORDS, ops)?;
        self.control.barrier()
    }

    /// Reads a record; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Record`] if it does not read as `T`, [`Error::Corrupt`] if it is damaged.
    pub fn get<T: DeserializeOwned>(&self, kind: &str, id: &str) -> Result<Option<T>> {
        let mut sealed = Vec::new();
        self.control
            .scan(RECORDS, &record_prefix(kind, id), |_, part| {
                sealed.extend_from_slice(part);
                Ok(())
            })?;
        if sealed.is_empty() {
            return Ok(None);
        }
        self.read(kind, id, &sealed).map(Some)
    }

    fn open<'a>(&self, sealed: &'a [u8]) -> Result<Cow<'a, [u8]>> {
        codec::open(sealed).map_err(|damage| Error::damaged(&self.path, damage))
    }

    fn read<T: DeserializeOwned>(&self, kind: &str, id: &str, sealed: &[u8]) -> Result<T> {
        serde_json::from_slice(&self.open(sealed)?).map_err(|source| Error::Record {
            kind: kind.to_owned(),
            id: id.to_owned(),
            source,
        })
    }

    /// All records of a kind with their names, in order of names.
    ///
    /// # Errors
    /// As [`Records::get`], for the first that does not read.
    pub fn list<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<(String, T)>> {
        self.list_within(kind, "")
    }

    /// Records of a kind whose names begin with `start`, with their names, in order of names.
    ///
    /// # Errors
    /// As [`Records::get`], for the first that does not read.
    pub fn list_within<T: DeserializeOwned>(
        &self,
        kind: &str,
        start: &str,
    ) -> Result<Vec<(String, T)>> {
        self.sealed(kind, start)?
            .into_iter()
            .map(|(id, bytes)| Ok((id.clone(), self.read(kind, &id, &bytes)?)))
            .collect()
    }

    /// All records of a kind as the text that was written.
    pub(super) fn texts(&self, kind: &str) -> Result<Vec<(String, String)>> {
        self.sealed(kind, "")?
            .into_iter()
            .map(|(id, bytes)| {
                let text = String::from_utf8(self.open(&bytes)?.into_owned());
                let text = text.map_err(|_| codec::Damaged("a record that is not UTF-8"));
                Ok((
                    id,
                    text.map_err(|damage| Error::damaged(&self.path, damage))?,
                ))
            })
            .collect()
    }

    fn sealed(&self, kind: &str, start: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let mut sealed: Vec<(String, Vec<u8>)> = Vec::new();
        let prefix = [kind.as_bytes(), &[0], start.as_bytes()].concat();
        self.control.scan(RECORDS, &prefix, |key, part| {
            if let Some((_, id, _)) = read_record_key(key) {
                match sealed.last_mut() {
                    Some((open, bytes)) if open == id => bytes.extend_from_slice(part),
                    _ => sealed.push((id.to_owned(), part.to_vec())),
                }
            }
            Ok(())
        })?;
        Ok(sealed)
    }

    /// All kinds that have records, sorted.
    ///
    /// # Errors
    /// What the disk says.
    pub fn kinds(&self) -> Result<Vec<String>> {
        let mut kinds: Vec<String> = Vec::new();
        self.control.scan(RECORDS, &[], |key, _| {
            if let Some((kind, _, _)) = read_record_key(key)
                && kinds.last().is_none_or(|last| last != kind)
            {
                kinds.push(kind.to_owned());
            }
            Ok(())
        })?;
        Ok(kinds)
    }

    /// Removes a record and says whether there was one; returns past the barrier.
    ///
    /// # Errors
    /// What the disk says.
    pub fn delete(&self, kind: &str, id: &str) -> Result<bool> {
        let keys = self.keys(kind, id)?;
        let found = !keys.is_empty();
        self.control
            .write(RECORDS, keys.into_iter().map(Op::Delete).collect())?;
        self.control.barrier()?;
        Ok(found)
    }

    fn keys(&self, kind: &str, id: &str) -> Result<Vec<Vec<u8>>> {
        let mut keys = Vec::new();
        self.control
            .scan(RECORDS, &record_prefix(kind, id), |key, _| {
                keys.push(key.to_vec());
                Ok(())
            })?;
        Ok(keys)
    }
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_MAX || name.contains('\0') {
        return Err(Error::RecordName(name.chars().take(80).collect()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_records(check: impl FnOnce(&Records)) {
        let dir = tempfile::tempdir().unwrap();
        let control = Arc::new(
            Database::open(
                &dir.path().join("control"),
                crate::store::shape::Shape::small(1 << 20),
            )
            .unwrap(),
        );
        check(&Records::in_database(control, dir.path()));
    }

    /// Text that does not pack, so that it takes several parts.
    fn noise(len: u32) -> Vec<u32> {
        let step = |state: &mut u32| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some(*state)
        };
        std::iter::successors(Some(1u32), |s| step(&mut s.clone()))
            .take(len as usize)
            .collect()
    }

    #[test]
    fn a_record_comes_back_whole_whatever_its_size() {
        with_records(|records| {
            for len in [0, 10, 20_000, 5] {
                records
                    .put("projection", "primary/cpu", &noise(len))
                    .unwrap();
                let got: Option<Vec<u32>> = records.get("projection", "primary/cpu").unwrap();
                assert_eq!(got, Some(noise(len)));
            }
            assert_eq!(records.keys("projection", "primary/cpu").unwrap().len(), 1);
            assert!(records.delete("projection", "primary/cpu").unwrap());
            assert!(!records.delete("projection", "primary/cpu").unwrap());
            assert_eq!(
                records.get::<u8>("projection", "primary/cpu").unwrap(),
                None
            );
        });
    }

    #[test]
    fn a_kind_lists_its_own_records_only() {
        with_records(|records| {
            records.put("a", "2", &2).unwrap();
            records.put("a", "1", &1).unwrap();
            records.put("ab", "3", &3).unwrap();
            let listed: Vec<(String, u8)> = records.list("a").unwrap();
            assert_eq!(listed, [("1".to_owned(), 1), ("2".to_owned(), 2)]);
            assert_eq!(records.kinds().unwrap(), ["a", "ab"]);
            records.put("a", "x/1", &4).unwrap();
            records.put("a", "xx/1", &5).unwrap();
            let within: Vec<(String, u8)> = records.list_within("a", "x/").unwrap();
            assert_eq!(within, [("x/1".to_owned(), 4)]);
        });
    }

    #[test]
    fn what_cannot_be_kept_is_refused_and_changes_nothing() {
        with_records(|records| {
            records.put("k", "id", &1).unwrap();
            let error = records.put("k", "id", &noise(200_000)).unwrap_err();
            assert!(matches!(error, Error::RecordSize { .. }), "{error}");
            assert!(matches!(
                records.put("k", "a\0b", &1),
                Err(Error::RecordName(_))
            ));
            assert!(matches!(
                records.put("", "x", &1),
                Err(Error::RecordName(_))
            ));
            assert_eq!(records.get("k", "id").unwrap(), Some(1));
            assert!(matches!(
                records.get::<String>("k", "id"),
                Err(Error::Record { .. })
            ));
        });
    }
}
