//! The store: every sample, rollup and record of an installation, in one folder.
//!
//! For: keeping what was scraped through crashes, power cuts and full disks, and giving it back as
//! windows. Not for: deciding anything about it, nor for time: `now` is always a parameter. Read
//! [`Store`] here, then `history`; `keys` says where each thing lies.
//!
//! A store's folder:
//!
//! | name | content |
//! |---|---|
//! | `FORMAT` | `plimsoll store 2` |
//! | `LOCK` | locked while a process has the store open; its process id |
//! | `wal/` | logs of scrapes that are not yet sealed (`wal`) |
//! | `control/` | catalogue, records, meta (`keys`, `barrier`) |
//! | `raw-YYYYMMDD/` | raw samples of a day |
//! | `r5m-YYYYMM/`, `r1h-YYYY/` | 5 min buckets of a month, 1 h buckets of a year |
//! | `*.made` | the database of that name was once finished |
//! | `*.damaged-N`, `*.torn` | copies made before a repair was tried; may be removed by hand |
//!
//! What is promised: a record is past the barrier when `put` returns. A scrape survives the death
//! of the process at once, and a loss of power after the next [`Store::sync`] or [`Store::tick`].

mod backup;
mod barrier;
mod buckets;
mod bulk;
mod catalogue;
mod census;
mod chunk;
mod coarse;
mod codec;
mod column;
mod commit;
mod content;
mod databases;
mod disk;
mod extract;
pub mod failpoint;
#[doc(hidden)]
pub mod fuzzing;
mod history;
mod intern;
mod keys;
mod leaves;
mod pages;
mod push;
mod records;
mod recovery;
mod repair;
mod restore;
mod retention;
mod rollup;
mod salvage;
mod scan;
mod seal;
mod segment;
mod segments;
mod selector;
mod sketches;
mod snapshot;
mod source;
mod stats;
mod tiers;
mod transfer;
mod verify;
mod wal;
mod window;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::backup::{Backup, write_whole};
pub use self::bulk::Bulk;
pub use self::catalogue::{Series, SeriesId};
pub use self::census::{Census, MetricCount};
pub use self::history::{Appended, History};
pub use self::intern::NewSeries;
pub use self::push::{BATCH_MAX, Batch, Pushed};
pub use self::records::Records;
pub use self::recovery::Opened;
pub use self::repair::{Loss, RECOVERED, Repair, repair};
pub use self::restore::{check as check_backup, restore};
pub use self::retention::Retention;
pub use self::rollup::{Bucket, GAP, Tier};
pub use self::scan::Samples;
pub use self::seal::Tick;
pub use self::selector::{BadPattern, Matcher, NAME, PUSHED, Selector, TARGET};
pub use self::sketches::{Latency, RecentLatency};
pub use self::stats::{HistoryStats, TierStats};
pub use self::verify::{Problem, Verification, verify};
pub use self::window::Fold;

use self::barrier::{Database, Shape};
use crate::model::units::{Bytes, Timestamp};

/// The format that this build writes.
const FORMAT: u32 = 2;
const FORMAT_NAME: &str = "plimsoll store ";
/// Page cache of the control database.
const CONTROL_CACHE: u64 = 2 << 20;

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
    fn io(path: &Path, source: io::Error) -> Self {
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
    fn damaged(path: &Path, damage: codec::Damaged) -> Self {
        Self::Corrupt {
            path: path.to_owned(),
            what: damage.0,
            copy: None,
        }
    }
}

/// Where a store lies and what it keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The folder; made if it is not there.
    pub dir: PathBuf,
    /// How long what is kept.
    pub retention: Retention,
    /// New series are refused while so many have had a value within a day.
    pub max_series: usize,
}

impl Options {
    /// The usual options for a folder: 10 000 series, default retention.
    pub fn in_dir(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            retention: Retention::default(),
            max_series: 10_000,
        }
    }
}

/// An open store. Shared as `Arc<Store>`; all calls may block on the disk, never on the network.
#[derive(Debug)]
pub struct Store {
    history: History,
    records: Records,
    control: Arc<Database>,
    dir: PathBuf,
    // Dropped last: the lock is let go when everything is closed.
    _lock: File,
}

impl Store {
    /// Opens the store in a folder, or makes one there, and recovers what a crash left.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::NotWritable`], [`Error::NotAStore`], [`Error::NewerFormat`],
    /// [`Error::DiskFull`] and [`Error::Corrupt`], each naming the folder; never an empty store
    /// where there was one.
    pub fn open(options: Options) -> Result<Self> {
        options.retention.check()?;
        let dir = options.dir.clone();
        make_folder(&dir)?;
        refuse_foreign(&dir)?;
        let lock = take_lock(&dir)?;
        let known = read_format(&dir)?;
        if known && !dir.join("control.made").exists() {
            return Err(Error::Corrupt {
                path: dir.join("control"),
                what: "its catalogue is gone",
                copy: None,
            });
        }
        disk::need_room(&dir, Bytes(0))?;
        let control = Arc::new(Database::open(
            &dir.join("control"),
            Shape::small(CONTROL_CACHE),
        )?);
        let history = History::open(options, Arc::clone(&control))?;
        if !known {
            write_format(&dir)?;
        }
        Ok(Self {
            history,
            records: Records::in_database(Arc::clone(&control), &dir),
            control,
            dir,
            _lock: lock,
        })
    }

    /// Whether a folder holds a store, as far as its name says.
    pub fn is_in(dir: &Path) -> bool {
        dir.join("FORMAT").exists()
    }

    /// Samples and rollups.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Small documents.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// What was recovered when the store was opened.
    pub fn opened(&self) -> Opened {
        self.history.opened()
    }

    /// The store's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns when everything before the call would survive a loss of power.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::DiskFull`]; then nothing is promised of what came since the last
    /// success, and the next tick brings it to a new file.
    pub fn sync(&self) -> Result<()> {
        self.history.sync_log()?;
        self.control.barrier()
    }

    /// Keeps the house: call it each second, where blocking is allowed.
    ///
    /// Brings the log to the disk, seals what is closed, folds rollups and drops what is too old,
    /// each when it is due.
    ///
    /// # Errors
    /// Whatever stood in the way; nothing is lost, and the next tick tries again.
    pub fn tick(&self, now: Timestamp) -> Result<Tick> {
        self.history.tick(now)
    }

    /// Brings everything to rest before the store is dropped; an open span stays in its log.
    ///
    /// # Errors
    /// As [`Store::sync`].
    pub fn close(&self, now: Timestamp) -> Result<()> {
        let ticked = self.history.tick(now);
        let latencies = self.history.store_latencies();
        self.sync()?;
        self.history.barrier()?;
        ticked?;
        latencies
    }
}

/// Makes a store's folder, which only this user may open.
fn make_folder(dir: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| Error::NotWritable {
            path: dir.to_owned(),
            source,
        })
}

fn take_lock(dir: &Path) -> Result<File> {
    let path = dir.join("LOCK");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|e| Error::io(dir, e))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            return Err(Error::Locked {
                path: dir.to_owned(),
                pid: holder_of(&mut file),
            });
        }
        Err(fs::TryLockError::Error(e)) => return Err(Error::io(&path, e)),
    }
    file.set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| writeln!(file, "{}", std::process::id()))
        .map_err(|e| Error::io(&path, e))?;
    Ok(file)
}

/// Keeps others from opening a store without writing to it; `None` if it was never opened.
fn share_lock(dir: &Path) -> Result<Option<File>> {
    let path = dir.join("LOCK");
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(&path, e)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Err(Error::Locked {
            path: dir.to_owned(),
            pid: holder_of(&mut file),
        }),
        Err(fs::TryLockError::Error(e)) => Err(Error::io(&path, e)),
    }
}

/// The process that a lock names.
fn holder_of(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    let _ = lock.read_to_string(&mut text);
    text.trim().parse().ok()
}

/// A folder with anything but a store in it, also a half-made one, is left alone.
fn refuse_foreign(dir: &Path) -> Result<()> {
    if dir.join("FORMAT").exists() {
        return Ok(());
    }
    for entry in fs::read_dir(dir).map_err(|e| Error::io(dir, e))? {
        let name = entry.map_err(|e| Error::io(dir, e))?.file_name();
        let ours = name.to_str().is_some_and(|name| {
            ["LOCK", "FORMAT.new", "wal", "lost+found"].contains(&name)
                || name.starts_with("control")
        });
        if !ours {
            return Err(Error::NotAStore {
                path: dir.to_owned(),
            });
        }
    }
    Ok(())
}

/// Whether the folder says that it is a store of a format we read.
fn read_format(dir: &Path) -> Result<bool> {
    let path = dir.join("FORMAT");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(Error::io(&path, e)),
    };
    let found: Option<u32> = text
        .strip_prefix(FORMAT_NAME)
        .and_then(|number| number.trim().parse().ok());
    match found {
        Some(FORMAT) => Ok(true),
        Some(found) if found < FORMAT => Err(Error::OlderFormat {
            path: dir.to_owned(),
            found,
        }),
        Some(found) => Err(Error::NewerFormat {
            path: dir.to_owned(),
            found,
        }),
        None => Err(Error::Corrupt {
            path,
            what: "it does not say which format the store has",
            copy: None,
        }),
    }
}

fn write_format(dir: &Path) -> Result<()> {
    let (path, draft) = (dir.join("FORMAT"), dir.join("FORMAT.new"));
    let mut file = File::create(&draft).map_err(|e| Error::io(&draft, e))?;
    writeln!(file, "{FORMAT_NAME}{FORMAT}")
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&draft, &path))
        .map_err(|e| Error::io(&path, e))?;
    disk::sync_parent(&path)
}
