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
//! | `jobs/` | the job queue, once there was one (`rows`) |
//! | `raw-YYYYMMDD/` | raw samples of a day |
//! | `r5m-YYYYMM/`, `r1h-YYYY/` | 5 min buckets of a month, 1 h buckets of a year |
//! | `*.made` | the database of that name was once finished |
//! | `*.damaged-N`, `*.torn` | copies made before a repair was tried; may be removed by hand |
//!
//! What is promised: a record is past the barrier when `put` returns. A scrape survives the death
//! of the process at once, and a loss of power after the next [`Store::sync`] or [`Store::tick`].

mod backup;
mod barrier;
mod batch;
mod blobs;
mod buckets;
mod bulk;
mod carry;
mod catalogue;
mod census;
mod chunk;
mod coarse;
mod codec;
mod column;
mod commit;
mod content;
mod databases;
mod definition;
mod disk;
mod engine;
mod error;
mod extract;
pub mod failpoint;
mod folder;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod gather;
mod history;
mod intern;
mod journal;
mod keys;
mod last;
mod leaves;
mod mark;
mod op;
mod open_column;
mod pages;
mod pending;
mod push;
mod records;
mod recovery;
mod repair;
mod restore;
mod retention;
mod rollup;
mod rotation;
mod rows;
mod salvage;
mod scan;
mod seal;
mod segment;
mod segments;
mod selector;
mod shape;
mod sketches;
mod snapshot;
mod source;
mod stats;
mod tiers;
mod transfer;
mod unsynced;
mod verification;
mod verify;
mod wal;
mod walk;
mod window;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use self::backup::{Backup, write_whole};
pub use self::bulk::Bulk;
pub use self::catalogue::{Series, SeriesId};
pub use self::census::{Census, MetricCount};
pub use self::error::{Error, Result};
pub use self::history::{Appended, History};
pub use self::intern::NewSeries;
pub use self::push::{BATCH_MAX, Batch, Pushed};
pub use self::records::Records;
pub use self::recovery::Opened;
pub use self::repair::{Loss, RECOVERED, Repair, repair};
pub use self::restore::{check as check_backup, restore};
pub use self::retention::Retention;
pub use self::rollup::{Bucket, GAP, Tier};
pub use self::rows::{Rows, Write};
pub use self::seal::Tick;
pub use self::selector::{BadPattern, Matcher, NAME, PUSHED, Selector, TARGET};
pub use self::sketches::{Latency, RecentLatency};
pub use self::stats::{HistoryStats, TierStats};
pub use self::verification::{Problem, Verification};
pub use self::verify::verify;
pub use self::window::Fold;

use self::barrier::Database;
use self::databases::{CONTROL, shape};
use self::folder::{make_folder, read_format, refuse_foreign, take_lock, write_format};
use crate::model::units::{Bytes, Timestamp};

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
    jobs: Mutex<Option<Arc<Rows>>>,
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
        let control = Arc::new(Database::open(&dir.join(CONTROL), shape(CONTROL))?);
        let history = History::open(options, Arc::clone(&control))?;
        if !known {
            write_format(&dir)?;
        }
        Ok(Self {
            history,
            records: Records::in_database(Arc::clone(&control), &dir),
            control,
            jobs: Mutex::default(),
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

    /// The rows of the job queue, opened (and made) when they are first asked for.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn jobs(&self) -> Result<Arc<Rows>> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(jobs) = &*jobs {
            return Ok(Arc::clone(jobs));
        }
        let opened = Arc::new(Rows::open(&self.dir)?);
        *jobs = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// The rows of the job queue, if there was ever a queue.
    fn known_jobs(&self) -> Result<Option<Arc<Rows>>> {
        let is_made = self
            .dir
            .join(databases::JOBS)
            .with_extension("made")
            .exists();
        is_made.then(|| self.jobs()).transpose()
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
        if let Some(jobs) = &*self.jobs.lock().unwrap_or_else(PoisonError::into_inner) {
            jobs.barrier()?;
        }
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
