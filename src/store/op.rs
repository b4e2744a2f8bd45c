//! Operations: what is written into a database, one key at a time.
//!
//! For: saying what is to be written. Not for: writing it (`barrier`). Read [`Op`] first.

/// One step of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Op {
    /// Key and value.
    Put(Vec<u8>, Vec<u8>),
    /// Key.
    Delete(Vec<u8>),
}

impl Op {
    /// Puts `value` at `key`.
    pub(super) fn put(key: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) -> Self {
        Self::Put(key.as_ref().to_vec(), value.into())
    }

    /// Where it happens.
    pub(super) fn key(&self) -> &[u8] {
        match self {
            Self::Put(key, _) | Self::Delete(key) => key,
        }
    }

    /// What is there afterwards, if anything.
    pub(super) fn value(&self) -> Option<&[u8]> {
        match self {
            Self::Put(_, value) => Some(value),
            Self::Delete(_) => None,
        }
    }

    /// Key, and what is there afterwards, if anything.
    pub(super) fn into_parts(self) -> (Vec<u8>, Option<Vec<u8>>) {
        match self {
            Self::Put(key, value) => (key, Some(value)),
            Self::Delete(key) => (key, None),
        }
    }

    /// Bytes of key and value.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Put(key, value) => key.len() + value.len(),
            Self::Delete(key) => key.len(),
        }
    }
}
