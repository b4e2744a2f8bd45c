//! The engine: opening it, and what its errors mean.
//!
//! For: `barrier`, which guards what is opened here. Not for: anyone else; `barrier`, `batch` and this file
//! alone know sled. Read [`open_engine`] first.
#![expect(
    clippy::disallowed_types,
    reason = "this file, `barrier` and `batch` are the ones that know sled"
)]

use std::collections::BTreeMap;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Error;
use super::mark::is_counted;
use super::shape::Shape;

/// sled lets go of its lock a moment after the handle is dropped.
pub(super) const LOCK_TRIES: u32 = 40;
pub(super) const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Why it did not open.
pub(super) enum Opening {
    Locked,
    Io(io::Error),
    Damaged,
}

impl Opening {
    pub(super) fn refused(self, path: &Path, copy: Option<PathBuf>) -> Error {
        match self {
            Self::Io(source) => Error::io(path, source),
            Self::Locked => Error::Locked {
                path: path.to_owned(),
                pid: None,
            },
            Self::Damaged => Error::Corrupt {
                path: path.to_owned(),
                what: "it does not open, also without its snapshot",
                copy,
            },
        }
    }
}

/// The one place where sled is opened. A damaged log may make sled panic: that is damage, too.
pub(super) fn open_engine(path: &Path, shape: Shape) -> std::result::Result<sled::Db, Opening> {
    for attempt in 0.. {
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(shape.cache)
            .flush_every_ms(Some(500))
            .segment_size(shape.segment);
        let opened = std::panic::catch_unwind(AssertUnwindSafe(|| config.open()));
        match opened {
            Ok(Ok(db)) => return Ok(db),
            Ok(Err(sled::Error::Io(e))) if e.to_string().contains("acquire lock") => {
                if attempt == LOCK_TRIES {
                    return Err(Opening::Locked);
                }
                std::thread::sleep(LOCK_PAUSE);
            }
            Ok(Err(sled::Error::Io(e))) if e.kind() != io::ErrorKind::UnexpectedEof => {
                return Err(Opening::Io(e));
            }
            Ok(Err(_)) | Err(_) => return Err(Opening::Damaged),
        }
    }
    Err(Opening::Locked)
}

/// The trees that are not the engine's own, by name.
pub(super) fn open_trees(db: &sled::Db) -> sled::Result<BTreeMap<String, sled::Tree>> {
    let mut trees = BTreeMap::new();
    for name in db.tree_names() {
        if let Ok(text) = std::str::from_utf8(&name)
            && !text.starts_with("__sled")
        {
            trees.insert(text.to_owned(), db.open_tree(&name)?);
        }
    }
    Ok(trees)
}

/// Rows of the trees that are counted; see `mark`.
pub(super) fn rows_of(trees: &BTreeMap<String, sled::Tree>) -> sled::Result<u64> {
    let mut rows = 0;
    for (_, tree) in trees.iter().filter(|(name, _)| is_counted(name)) {
        for entry in tree {
            rows += u64::from(!entry?.1.is_empty());
        }
    }
    Ok(rows)
}

/// What an error of the engine means.
pub(super) fn engine(path: &Path, error: sled::Error) -> Error {
    match error {
        sled::Error::Io(source) => Error::io(path, source),
        sled::Error::Corruption { .. } => Error::Corrupt {
            path: path.to_owned(),
            what: "a page that does not match its checksum",
            copy: None,
        },
        other => Error::Engine {
            path: path.to_owned(),
            source: Box::new(other),
        },
    }
}
