//! Checking a store: every key, every value and every frame of the logs, without writing a byte.
//!
//! For: knowing that what was kept can still be read, before it is needed. Not for: mending
//! (`repair`). Read [`verify`] first; `content` says what a single value must hold.
//!
//! What cannot be noticed: a file that was cut exactly between two of the engine's messages, before
//! its database was opened again, if nothing else speaks of what was there; of samples the tallies do.
//!
//! A store that nobody has open is read from its files (`pages`, `leaves`), since the engine would
//! cut and zero what it cannot read. One that is open is read through its databases.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use super::barrier::{SENTINEL, SENTINEL_KEY};
use super::catalogue::Catalogue;
use super::codec;
use super::content::{Content, Tree, count, shown};
use super::databases::{CONTROL, JOBS};
use super::disk::entries;
use super::folder::{read_format, share_lock};
use super::frame::Frame;
use super::keys::{CATALOGUE, GROUP, RECORDS, ROWS, TALLY};
use super::mark::Mark;
use super::op::Op;
use super::source::{Source, database_names, open_files};
use super::verification::Verification;
use super::walk::{self, Found, Span, Walk, record_of};
use super::{Error, Result, Store, journal, keys, wal};

/// Tree of the engine in which the sentinel lies.
const DEFAULT_TREE: &str = "__sled__default";

/// Checks a store that nobody has open. Nothing is written.
///
/// # Errors
/// [`Error::Locked`] while somebody has it open, [`Error::NoStore`] for another folder,
/// [`Error::Io`] where it cannot be read: then nothing was found out.
pub fn verify(dir: &Path) -> Result<Verification> {
    let _lock = share_lock(dir)?;
    let names = database_names(dir)?;
    if names.is_empty() {
        return Err(Error::NoStore {
            path: dir.to_owned(),
        });
    }
    let mut audit = Audit::default();
    match read_format(dir) {
        Ok(true) => {}
        Ok(false) => audit.found.tell("FORMAT", None, "it is missing"),
        Err(Error::Corrupt { what, .. }) => audit.found.tell("FORMAT", None, what),
        Err(other) => return Err(other),
    }
    for name in [CONTROL.to_owned()]
        .into_iter()
        .chain(names.iter().filter(|name| *name != CONTROL).cloned())
    {
        let made = dir.join(&name).with_extension("made").exists();
        match open_files(&dir.join(&name))? {
            Some(source) => {
                audit.files(&name, &dir.join(&name), &source, made)?;
                audit.database(&name, &source)?;
            }
            None => audit.found.tell(&name, None, "its files are missing"),
        }
        if name == CONTROL {
            audit.logs(&log_files(&dir.join("wal"))?)?;
        }
    }
    Ok(audit.finish())
}

impl Store {
    /// Checks the store while it is in use; nothing is sealed or dropped meanwhile.
    ///
    /// # Errors
    /// What the disk says.
    pub fn verify(&self) -> Result<Verification> {
        let history = self.history();
        let upkeep = history.upkeep.lock();
        let _still = upkeep.unwrap_or_else(PoisonError::into_inner);
        let mut audit = Audit::default();
        audit.database("control", &Source::Open(Arc::clone(&self.control)))?;
        // While no scrape is taken: so that no log ends in the middle of one.
        let logs = {
            let _head = history.head();
            log_files(history.logs())?
        };
        audit.logs(&logs)?;
        for name in history.databases.names()? {
            if let Some(database) = history.databases.find(&name)? {
                audit.database(&name, &Source::Open(database))?;
            }
            history.databases.close_idle();
        }
        if let Some(jobs) = self.known_jobs()? {
            audit.database(JOBS, &Source::Open(Arc::clone(jobs.database()?)))?;
        }
        Ok(audit.finish())
    }
}

/// Logs in a folder, with their lengths now.
fn log_files(folder: &Path) -> Result<Vec<(u32, PathBuf, u64)>> {
    let mut files = Vec::new();
    for path in entries(folder)? {
        if let Some(number) = wal::number_of(&path) {
            let known = fs::metadata(&path).map_err(|e| Error::io(&path, e))?;
            files.push((number, path, known.len()));
        }
    }
    files.sort();
    Ok(files)
}

/// A check under way.
#[derive(Default)]
struct Audit {
    found: Verification,
    catalogue: Catalogue,
    has_catalogue: bool,
    sealed: Option<u32>,
    /// Samples that were counted when they were sealed, by day and log.
    tallies: BTreeMap<(u32, u32), u64>,
    counted: BTreeMap<(u32, u32), u64>,
}

impl Audit {
    /// What the files say before their content is looked at.
    fn files(&mut self, name: &str, path: &Path, source: &Source, made: bool) -> Result<()> {
        let Source::Files(leaves) = source else {
            return Ok(());
        };
        if !made {
            self.found
                .tell(name, None, "its mark is missing, so it would not be opened");
        }
        let pages = leaves.pages();
        if let Err(Error::Corrupt { what, .. }) = Mark::of(path).check(path) {
            self.found.tell(name, None, what);
        }
        self.found.file_bytes += pages.bytes;
        for fault in pages.faults() {
            self.found.tell(name, None, *fault);
        }
        for tear in pages.tears() {
            let what = format!(
                "{} bytes at {} of its file do not read",
                tear.len, tear.offset
            );
            self.found.tell(name, None, what);
        }
        if !pages.lost().is_empty() {
            let what = format!("{} pages are older than they once were", pages.lost().len());
            self.found.tell(name, None, what);
        }
        if leaves.lost_list {
            self.found
                .tell(name, None, "its list of trees does not read");
        }
        let mut lost = 0u64;
        leaves.orphans(|_, _| {
            lost += 1;
            Ok(())
        })?;
        if lost > 0 {
            self.found
                .tell(name, None, format!("{lost} keys belong to no tree"));
        }
        let mut has_sentinel = false;
        source.scan(DEFAULT_TREE, |key, value| {
            has_sentinel |= key == SENTINEL_KEY && value == SENTINEL;
            Ok(())
        })?;
        if !has_sentinel {
            self.found.tell(name, None, "it would open as an empty one");
        }
        if name == JOBS {
            self.journal(path)?;
        }
        Ok(())
    }

    /// What the journal of jobs says that is not in their database yet.
    fn journal(&mut self, database: &Path) -> Result<()> {
        let groups = match journal::read(database) {
            Ok(groups) => groups,
            Err(Error::Corrupt { what, .. }) => {
                self.found.tell(JOBS, None, format!("its journal: {what}"));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for op in groups.iter().flatten() {
            if let Op::Put(key, value) = op
                && let Err(damage) = codec::open(value)
            {
                let place = Some((ROWS, Some(key.as_slice())));
                self.found.tell(JOBS, place, damage.0);
            }
        }
        Ok(())
    }

    /// Every key and value of a database; control comes first.
    fn database(&mut self, name: &str, source: &Source) -> Result<()> {
        self.found.databases += 1;
        for tree in walk::trees(source) {
            self.found.trees += 1;
            let at = Tree {
                database: name,
                name: &tree,
            };
            let mut walk = Walk::through(at);
            // Targets may come after the series that they own.
            let mut series = Vec::new();
            let holes = source.scan(&tree, |key, value| {
                self.found.keys += 1;
                self.found.bytes += (key.len() + value.len()) as u64;
                walk.entry(key, value, |found| {
                    self.take(at, found, &mut series);
                    Ok(())
                })
            })?;
            walk.finish(|found| {
                self.take(at, found, &mut series);
                Ok(())
            })?;
            for (id, definition) in series {
                if let Err(damage) = self.catalogue.restore_series(id, &definition) {
                    let key = keys::tagged(b's', id);
                    self.found.tell(name, Some((&tree, Some(&key))), damage.0);
                }
            }
            self.has_catalogue |= tree == CATALOGUE;
            for (from, until) in holes {
                let end = if until.is_empty() {
                    "the end".to_owned()
                } else {
                    shown(at, &until)
                };
                let what = format!("keys from here to {end} do not read");
                self.found.tell(name, Some((&tree, Some(&from))), what);
            }
        }
        Ok(())
    }

    fn take(&mut self, at: Tree<'_>, found: Found<'_>, series: &mut Vec<(u32, Vec<u8>)>) {
        match found {
            Found::Damage { key, damage } => {
                let place = Some((at.name, Some(key)));
                self.found.tell(at.database, place, damage.0);
            }
            Found::Value {
                content: Content::Series(id, definition),
                ..
            } => series.push((id, definition)),
            Found::Value { key, content, .. } => self.value(at, key, content),
            Found::Span(span) => self.span(at, span),
            Found::Record(parts) => self.record(at, parts),
        }
    }

    fn value(&mut self, at: Tree<'_>, key: &[u8], content: Content) {
        let place = Some((at.name, Some(key)));
        match content {
            Content::Place { log } => {
                if self.sealed.is_some_and(|sealed| log <= sealed) {
                    let what = "its chunk was sealed, and is not there";
                    self.found.tell(at.database, place, what);
                }
            }
            Content::Buckets { group, members } => self.known(at, key, group, &members),
            Content::Tally { day, log, samples } => {
                self.tallies.insert((day, log), samples);
            }
            Content::Target(id, text) => {
                if let Err(damage) = self.catalogue.restore_target(id, &text) {
                    self.found.tell(at.database, place, damage.0);
                }
            }
            Content::Sealed(log) => self.sealed = Some(log),
            Content::Series(..)
            | Content::Times { .. }
            | Content::Chunk { .. }
            | Content::Unfolded
            | Content::Other => {}
        }
    }

    /// Whether the catalogue knows the series of a chunk.
    fn known(&mut self, at: Tree<'_>, key: &[u8], group: u32, members: &[u8]) {
        let first = group.saturating_mul(GROUP);
        let ids = members.iter().map(|m| first.saturating_add(u32::from(*m)));
        let mut unknown = ids.filter(|id| self.catalogue.owner(*id).is_none());
        if let Some(id) = unknown.next() {
            let what = format!("it holds series {id}, which the catalogue does not know");
            let place = Some((at.name, Some(key)));
            self.found.tell(at.database, place, what);
        }
    }

    /// Every row of every chunk needs its instant.
    fn span(&mut self, at: Tree<'_>, span: Span) {
        let day = keys::day_number(keys::span_start(span.number, keys::SPAN));
        for chunk in span.chunks {
            self.known(at, &chunk.key, chunk.group, &chunk.members);
            let owner = self.catalogue.owner(chunk.group.saturating_mul(GROUP));
            let Some((target, _)) = owner else {
                continue;
            };
            let times = span.times.get(&(target, chunk.log));
            let what = match times.map(|times| count(&chunk.value, times)) {
                Some(Ok(samples)) => {
                    self.found.samples += samples;
                    *self.counted.entry((day, chunk.log)).or_default() += samples;
                    continue;
                }
                Some(Err(damage)) => damage.0,
                None => "a chunk without its times",
            };
            let place = Some((at.name, Some(chunk.key.as_slice())));
            self.found.tell(at.database, place, what);
        }
    }

    fn record(&mut self, at: Tree<'_>, parts: &[(Vec<u8>, Vec<u8>)]) {
        let Some((key, _)) = parts.first() else {
            return;
        };
        let mut tell = |key: &[u8], what| {
            self.found
                .tell(at.database, Some((RECORDS, Some(key))), what);
        };
        let Some(record) = record_of(key) else {
            return tell(key, "a key of a record");
        };
        let sealed: Vec<u8> = parts.iter().flat_map(|(_, part)| part).copied().collect();
        let what = match codec::open(&sealed) {
            Err(damage) => damage.0,
            Ok(json) => match serde_json::from_slice::<serde::de::IgnoredAny>(&json) {
                Ok(_) => return,
                Err(_) => "a record that is no JSON",
            },
        };
        tell(&[record, &[0, 0]].concat(), what);
    }

    /// Every frame of every log.
    fn logs(&mut self, files: &[(u32, PathBuf, u64)]) -> Result<()> {
        for (number, path, len) in files {
            self.found.logs += 1;
            self.found.bytes += len;
            let mut bytes = fs::read(path).map_err(|e| Error::io(path, e))?;
            bytes.truncate(usize::try_from(*len).unwrap_or(usize::MAX));
            let name = format!("wal/{number:010}.log");
            let mut damage = None;
            let good = wal::read_log(&bytes, *number, |frame| {
                self.found.frames += 1;
                let taken = match frame {
                    Frame::Target { id, name } => self.catalogue.restore_target(id, &name),
                    Frame::Series { id, definition } => {
                        self.catalogue.restore_series(id, &definition)
                    }
                    Frame::Scrape(_) | Frame::Push(_) => Ok(()),
                };
                damage = damage.or(taken.err());
            });
            if let Some(damage) = damage {
                self.found.tell(&name, None, damage.0);
            }
            if bytes.is_empty() {
                self.found
                    .tell(&name, None, "it is empty, without even a head");
            }
            let torn = bytes.len() - good;
            let after = wal::scrapes_after(&bytes, good).len();
            let is_last = files.last().is_some_and(|(last, ..)| last == number);
            if torn > 0 && after == 0 && is_last && good > 0 {
                let note = format!("{name} ends in {torn} bytes of a scrape that was not finished");
                self.found.notes.push(note);
            } else if torn > 0 {
                let what = format!(
                    "it does not read from byte {good} on: {torn} bytes, {after} whole scrapes and ends of pushes"
                );
                self.found.tell(&name, None, what);
            }
        }
        Ok(())
    }

    /// What only the whole can tell.
    fn finish(mut self) -> Verification {
        if !self.has_catalogue && self.found.samples > 0 {
            self.found
                .tell("control", Some((CATALOGUE, None)), "it is missing");
        }
        for ((day, log), samples) in std::mem::take(&mut self.tallies) {
            let found = self.counted.get(&(day, log)).copied().unwrap_or(0);
            if found < samples && self.sealed.is_none_or(|sealed| log <= sealed) {
                let part = format!("raw-{day:08}");
                let what = format!(
                    "{} of {samples} samples that log {log} brought are not there",
                    samples - found
                );
                self.found
                    .tell("control", Some((TALLY, None)), format!("{part}: {what}"));
            }
        }
        self.found
    }
}
