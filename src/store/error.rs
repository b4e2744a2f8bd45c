//! What can go wrong with a store, and what cures it.
//!
//! For: telling full disks, foreign folders, damage and misuse apart. Not for: what is wrong inside
//! of values that are only looked at (`verify`). Read [`Error`] first.

use std::io;
use std::path::{Path, PathBuf};

use super::catalogue::SeriesId;
use super::codec::Damaged;
use super::folder::FORMAT;
use crate::model::units::{Bytes, Timestamp};

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process has the store open.
    #[error("{} is in use by {}; stop it or choose another --data-dir", path.display(), holder(*pid))]
    Locked {
        /// The store's folder.
        path: PathBuf,
        /// Who holds it, as far as is known.
        pid: Option<u32>,
    },
    /// The folder cannot be made or written.
    #[error("{} cannot be written; give its owner write permission or choose another --data-dir", path.display())]
    NotWritable {
        /// The store's folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The folder holds something else.
    #[error("{} holds files but no store; choose an empty folder", path.display())]
    NotAStore {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds nothing of a store.
    #[error("{} holds no store; name its folder with --data-dir", path.display())]
    NoStore {
        /// The folder.
        path: PathBuf,
    },
    /// The store was written by a later release.
    #[error("{} has store format {found}, this release reads up to {FORMAT}; use the release that wrote it", path.display())]
    NewerFormat {
        /// The store's folder.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The store was written by an earlier release, before the first that promised to be read.
    #[error("{} has store format {found}, this release reads {FORMAT}; export it with the release that wrote it (plimsoll history export), then import it into a new folder", path.display())]
    OlderFormat {
        /// The store's folder.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The file system is full, or so nearly that writing would be unsafe.
    #[error("{} has {free} free, {needed} are needed; free some space or lower [history] max_bytes", path.display())]
    DiskFull {
        /// Where the bytes were to go.
        path: PathBuf,
        /// What is free.
        free: Bytes,
        /// What must be free.
        needed: Bytes,
    },
    /// Something on disk is not what was written.
    #[error("{} is damaged: {what}{}", path.display(), cure(copy.as_deref()))]
    Corrupt {
        /// What is damaged.
        path: PathBuf,
        /// In which way.
        what: &'static str,
        /// A copy made before a repair was tried.
        copy: Option<PathBuf>,
    },
    /// The system refuses to read or write.
    #[error("{} cannot be read or written", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The embedded database refuses.
    #[error("the database {} refuses", path.display())]
    Engine {
        /// The database.
        path: PathBuf,
        /// What it says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An instant that cannot be kept.
    #[error("a sample at {0} cannot be kept; times run from 1970 to 9998")]
    Time(Timestamp),
    /// More targets than can be numbered.
    #[error("there are {limit} targets already; remove the store or watch fewer")]
    TooManyTargets {
        /// How many there may be.
        limit: u32,
    },
    /// More was pushed than could be sealed so far.
    #[error("what was pushed before is still being sealed; send again in a second")]
    Behind,
    /// No series has this number.
    #[error("there is no series {0}")]
    NoSuchSeries(SeriesId),
    /// A question about growth, of something that is no counter.
    #[error("{0} is a gauge; increase and rate are for counters")]
    NotACounter(String),
    /// A window without steps, or with too many.
    #[error(
        "a window needs a step and a range of 1 to {limit} steps, got {steps}; use a longer step"
    )]
    Steps {
        /// How many were asked for; 0 also for a step of zero.
        steps: u64,
        /// How many there may be.
        limit: u64,
    },
    /// Buckets that do not fit their tier.
    #[error("a bucket at {0} is out of order or off its tier's step; sort and align them")]
    Bucket(Timestamp),
    /// A record whose name cannot be a key.
    #[error("{0:?} cannot name a record; names are not empty, short, and hold no zero byte")]
    RecordName(String),
    /// A record that is too large.
    #[error("the record {kind}/{id} takes {size}, at most {limit} fit")]
    RecordSize {
        /// Its kind.
        kind: String,
        /// Its name.
        id: String,
        /// Its size, packed.
        size: Bytes,
        /// The largest size.
        limit: Bytes,
    },
    /// A record that is not what its reader expects.
    #[error(
        "the record {kind}/{id} does not read as what was asked for; it may be of another release"
    )]
    Record {
        /// Its kind.
        kind: String,
        /// Its name.
        id: String,
        /// Which part.
        #[source]
        source: serde_json::Error,
    },
    /// An export that cannot be imported.
    #[error("line {line} of the export {what}")]
    Export {
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// More rows at once than are written as one.
    #[error("{rows} rows of {size} are more than one batch takes; write less at once")]
    Batch {
        /// How many.
        rows: usize,
        /// Their bytes.
        size: Bytes,
    },
    /// A file that is no whole backup.
    #[error("the backup {0}")]
    Backup(String),
    /// An import, a restore or a repair into a folder that is not empty.
    #[error("{} is not empty; choose a new folder", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A limit in bytes that not even the newest would fit into.
    #[error("history.max_bytes is {limit}, at least {least} are needed; raise it")]
    Budget {
        /// What was asked for.
        limit: Bytes,
        /// What is the least.
        least: Bytes,
    },
    /// Retention that would drop a tier before what is made of it.
    #[error(
        "raw samples must not be kept longer than 5 min buckets, nor these longer than 1 h ones"
    )]
    Retention,
}

/// What a fallible call of this module returns.
pub type Result<T> = std::result::Result<T, Error>;

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(
        || "another process".to_owned(),
        |pid| format!("process {pid}"),
    )
}

fn cure(copy: Option<&Path>) -> String {
    match copy {
        Some(copy) => format!("; a copy is in {}, restore a backup", copy.display()),
        None => "; restore a backup".to_owned(),
    }
}

impl Error {
    /// A refusal of the system, sorted by what can be done about it.
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull {
                path,
                free: Bytes(0),
                needed: Bytes(1),
            },
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotADirectory => Self::NotWritable { path, source },
            _ => Self::Io { path, source },
        }
    }

    /// A value that does not decode.
    pub(super) fn damaged(path: &Path, damage: Damaged) -> Self {
        Self::Corrupt {
            path: path.to_owned(),
            what: damage.0,
            copy: None,
        }
    }
}
