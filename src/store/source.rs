//! Where a database's entries come from: the engine, or its files.
//!
//! For: reading a store that is in use and one that nobody has open in the same way. Not for:
//! judging what is read (`content`). Read [`Source`] first.

use std::path::Path;
use std::sync::Arc;

use super::Result;
use super::barrier::Database;
use super::content::{Tree, when};
use super::databases::{CONTROL, JOBS};
use super::disk::entries;
use super::keys;
use super::leaves::{Hole, Leaves};
use super::pages::Pages;

/// Where a database's entries come from.
pub(super) enum Source {
    /// From the engine.
    Open(Arc<Database>),
    /// From its files.
    Files(Box<Leaves>),
}

impl Source {
    /// Names of the trees, sorted.
    pub(super) fn trees(&self) -> Vec<String> {
        match self {
            Self::Open(database) => database.trees(),
            Self::Files(leaves) => leaves.trees(),
        }
    }

    /// Calls `visit` with each key and value, in order; returns what is missing between them.
    pub(super) fn scan(
        &self,
        tree: &str,
        visit: impl FnMut(&[u8], &[u8]) -> Result<()>,
    ) -> Result<Vec<Hole>> {
        match self {
            Self::Open(database) => database.scan(tree, &[], visit).map(|()| Vec::new()),
            Self::Files(leaves) => leaves.scan(tree, visit),
        }
    }
}

/// Opens the files of the database in a folder; `None` where there is no database.
pub(super) fn open_files(path: &Path) -> Result<Option<Source>> {
    if !path.join("db").exists() {
        return Ok(None);
    }
    let leaves = Leaves::of(Pages::read(path)?)?;
    Ok(Some(Source::Files(Box::new(leaves))))
}

/// Names of the databases in a store's folder: those that have files, and those that should.
pub(super) fn database_names(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for path in entries(dir)? {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let is_mark = path.extension().is_some_and(|e| e == "made");
        let name = name.strip_suffix(".made").unwrap_or(name);
        // `control.damaged-1` and the like are copies.
        let is_ours = name == CONTROL || name == JOBS || keys::part_bounds(name).is_some();
        if is_ours && (is_mark || path.join("db").exists()) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// The times that a hole in a tree may have held, for people.
pub(super) fn hole_in_time(tree: Tree<'_>, (from, until): &Hole) -> Option<String> {
    let whole = |key: &[u8]| when(tree, &[key, &[0; 4]].concat());
    let (start, _) = whole(from)?;
    let end = match whole(until) {
        Some((end, len)) if !until.is_empty() => end.plus(len.as_duration()).to_string(),
        _ => "its end".to_owned(),
    };
    Some(format!("{start} to {end}"))
}
