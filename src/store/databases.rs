//! The databases of a store's metrics: one a day of samples, a month or a year of buckets.
//!
//! For: opening them when they are needed and closing them when they are not, so that years of
//! history cost neither memory nor start-up time. Not for: what lies in them (`keys`). Read
//! [`Databases::find`] first.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::barrier::Database;
use super::disk::sync_parent;
use super::keys::part_bounds;
use super::shape::Shape;
use super::{Error, Result};

/// Page cache of one database: a window of 24 h of some hundred series is a few megabytes.
const CACHE: u64 = 4 << 20;
/// Page cache of the control database.
const CONTROL_CACHE: u64 = 2 << 20;
/// The database that is always there and is none of metrics.
pub(super) const CONTROL: &str = "control";
/// The database of the job queue, once there was a queue.
pub(super) const JOBS: &str = "jobs";
/// Page cache of the jobs: what was written last lies in memory anyhow, and the engine keeps a page in
/// each of its 256 shards.
const JOBS_CACHE: u64 = 2 << 20;
/// Ending of the folder of a database that is being removed.
const DROPPED: &str = "dropped";
/// Databases that stay open; more are opened for a question and closed at the next tick.
const OPEN_MAX: usize = 3;

/// How the database of a name is laid out.
pub(super) fn shape(name: &str) -> Shape {
    if name == CONTROL {
        Shape::small(CONTROL_CACHE)
    } else if name == JOBS {
        Shape::rows(JOBS_CACHE)
    } else if name.starts_with("raw-") {
        Shape::chunks(CACHE)
    } else {
        Shape::buckets(CACHE)
    }
}

#[derive(Debug)]
struct Held {
    database: Arc<Database>,
    used: u64,
}

#[derive(Debug, Default)]
struct Shelf {
    open: BTreeMap<String, Held>,
    uses: u64,
    /// Names of all that are finished, once they were listed: a question asks for them often.
    names: Option<BTreeSet<String>>,
}

impl Shelf {
    /// Names of all that are finished, from the folder the first time.
    fn names(&mut self, folder: &Path) -> Result<&mut BTreeSet<String>> {
        let names = match self.names.take() {
            Some(names) => names,
            None => listed(folder)?,
        };
        Ok(self.names.insert(names))
    }
}

/// Names of the databases that have their mark in a folder.
fn listed(folder: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let entry = entry.map_err(|e| Error::io(folder, e))?;
        if let Some(name) = entry.file_name().to_str()
            && let Some(name) = name.strip_suffix(".made")
            && part_bounds(name).is_some()
        {
            names.insert(name.to_owned());
        }
    }
    Ok(names)
}

/// All databases of metrics in one folder.
#[derive(Debug)]
pub(super) struct Databases {
    folder: PathBuf,
    shelf: Mutex<Shelf>,
}

impl Databases {
    /// Those in `folder`; none is opened yet.
    ///
    /// # Errors
    /// What the disk says, where a removal is to be ended.
    pub(super) fn in_folder(folder: &Path) -> Result<Self> {
        end_removals(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            shelf: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The database `name`; `None` if there is none.
    pub(super) fn find(&self, name: &str) -> Result<Option<Arc<Database>>> {
        let mut held = self.lock();
        if held.open.contains_key(name) || held.names(&self.folder)?.contains(name) {
            self.open(&mut held, name).map(Some)
        } else {
            Ok(None)
        }
    }

    /// The database `name`, made if need be.
    pub(super) fn find_or_make(&self, name: &str) -> Result<Arc<Database>> {
        self.open(&mut self.lock(), name)
    }

    fn open(&self, held: &mut Shelf, name: &str) -> Result<Arc<Database>> {
        held.uses += 1;
        let used = held.uses;
        if let Some(known) = held.open.get_mut(name) {
            known.used = used;
            return Ok(Arc::clone(&known.database));
        }
        let database = Arc::new(Database::open(&self.folder.join(name), shape(name))?);
        held.names(&self.folder)?.insert(name.to_owned());
        held.open.insert(
            name.to_owned(),
            Held {
                database: Arc::clone(&database),
                used,
            },
        );
        Ok(database)
    }

    /// Names of all, ascending; those of one kind sort by time.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        let mut held = self.lock();
        Ok(held.names(&self.folder)?.iter().cloned().collect())
    }

    /// Closes those that were not used lately and that nobody holds.
    pub(super) fn close_idle(&self) {
        let mut held = self.lock();
        while held.open.len() > OPEN_MAX {
            let idle = held
                .open
                .iter()
                .filter(|(_, one)| Arc::strong_count(&one.database) == 1)
                .min_by_key(|(_, one)| one.used)
                .map(|(name, _)| name.clone());
            match idle {
                Some(name) => held.open.remove(&name),
                None => return,
            };
        }
    }

    /// Closes all that nobody holds.
    pub(super) fn close_all(&self) {
        self.lock()
            .open
            .retain(|_, one| Arc::strong_count(&one.database) > 1);
    }

    /// Removes a database with all it holds; `false` while somebody reads in it.
    pub(super) fn remove(&self, name: &str) -> Result<bool> {
        let mut held = self.lock();
        if held
            .open
            .get(name)
            .is_some_and(|one| Arc::strong_count(&one.database) > 1)
        {
            return Ok(false);
        }
        held.open.remove(name);
        // Listed anew the next time: removing may end half-way.
        held.names = None;
        let path = self.folder.join(name);
        let doomed = path.with_extension(DROPPED);
        // From here on it is gone, whenever the rest is done.
        gone(&path, fs::rename(&path, &doomed))?;
        sync_parent(&path)?;
        remove_dropped(&doomed)?;
        Ok(true)
    }

    /// Passes the barrier of every open database.
    pub(super) fn barrier(&self) -> Result<()> {
        let open: Vec<Arc<Database>> = self
            .lock()
            .open
            .values()
            .map(|held| Arc::clone(&held.database))
            .collect();
        open.iter().try_for_each(|database| database.barrier())
    }
}

/// Ends what a crash left half removed in a folder.
fn end_removals(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        if path
            .extension()
            .is_some_and(|extension| extension == DROPPED)
            && name.is_some_and(|name| part_bounds(name).is_some())
        {
            remove_dropped(&path)?;
        }
    }
    Ok(())
}

/// The mark goes first: while the folder is there, what is to be done is known.
fn remove_dropped(doomed: &Path) -> Result<()> {
    let mark = doomed.with_extension("made");
    gone(&mark, fs::remove_file(&mark))?;
    sync_parent(doomed)?;
    gone(doomed, fs::remove_dir_all(doomed))?;
    sync_parent(doomed)
}

/// What is gone already is fine.
fn gone(path: &Path, outcome: io::Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_databases_close_and_open_again_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        let databases = Databases::in_folder(dir.path()).unwrap();
        assert!(databases.find("r5m-202601").unwrap().is_none());
        for month in 1..=5 {
            databases
                .find_or_make(&format!("r5m-20260{month}"))
                .unwrap();
        }
        let held = databases.find("r5m-202601").unwrap().unwrap();
        databases.close_idle();
        assert_eq!(databases.lock().open.len(), OPEN_MAX);
        assert!(databases.lock().open.contains_key("r5m-202601"));
        assert!(!databases.remove("r5m-202601").unwrap(), "it is being read");
        drop(held);
        assert!(databases.remove("r5m-202601").unwrap());
        assert!(databases.find("r5m-202602").unwrap().is_some());
        assert_eq!(databases.names().unwrap().len(), 4);
    }

    #[test]
    fn a_removal_that_was_cut_short_is_ended_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let databases = Databases::in_folder(dir.path()).unwrap();
        for month in 1..=2 {
            databases
                .find_or_make(&format!("r5m-20260{month}"))
                .unwrap();
        }
        databases.close_all();
        drop(databases);
        let path = dir.path().join("r5m-202601");
        fs::rename(&path, path.with_extension(DROPPED)).unwrap();
        fs::create_dir(dir.path().join("mine.dropped")).unwrap();
        let databases = Databases::in_folder(dir.path()).unwrap();
        assert_eq!(databases.names().unwrap(), ["r5m-202602"]);
        let left = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(
            left, 3,
            "the other database, its mark, and what is not ours"
        );
    }
}
