//! Texts of statements that have run, so that a ranking of last month names what is gone by now.
//!
//! For: normalised texts by `queryid`, and which ids have been one statement: an upgrade of the server
//! gives all of them new ids. Not for: texts of what runs now, which the last look has. A target's
//! texts lie in [`SHELVES`] records, so that a new one rewrites a sixteenth of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::database::Statement;
use crate::model::units::{Millis, Timestamp};
use crate::store::{Result, Store};
use crate::work::board::Board;

const KIND: &str = "statement-texts";
/// Records of a target.
const SHELVES: u64 = 16;
/// Texts of one record; those that were seen longest ago go.
const SHELF_MAX: usize = 200;
/// Longest text that is kept, in characters.
const TEXT_MAX: usize = 1_000;
/// How old the note of a text's last sight may be before it is written anew.
const SEEN_EVERY: Millis = Millis::DAY;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Kept {
    text: String,
    seen: Timestamp,
}

type Shelf = BTreeMap<i64, Kept>;

/// Texts of one target.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Texts(BTreeMap<u64, Shelf>);

const fn shelf_of(id: i64) -> u64 {
    id.unsigned_abs() % SHELVES
}

fn record(target: &str, shelf: u64) -> String {
    format!("{target}/{shelf:02}")
}

impl Texts {
    /// All that are kept of a target.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub(crate) fn load(store: &Store, target: &str) -> Result<Self> {
        let mut texts = Self::default();
        for shelf in 0..SHELVES {
            if let Some(kept) = store.records().get(KIND, &record(target, shelf))? {
                texts.0.insert(shelf, kept);
            }
        }
        Ok(texts)
    }

    /// Keeps what is new, and notes what was seen; only what changed is written.
    ///
    /// # Errors
    /// When a record cannot be written.
    pub(crate) fn keep(
        &mut self,
        store: &Store,
        target: &str,
        (statements, now): (&[Statement], Timestamp),
    ) -> Result<()> {
        let mut changed = BTreeSet::new();
        for statement in statements {
            let id = statement.query_id;
            let text: String = statement.query.chars().take(TEXT_MAX).collect();
            let texts = self.0.entry(shelf_of(id)).or_default();
            let is_fresh = texts.get(&id).is_some_and(|kept| {
                kept.text == text && now.since(kept.seen) < SEEN_EVERY.as_duration()
            });
            if !is_fresh {
                texts.insert(id, Kept { text, seen: now });
                changed.insert(shelf_of(id));
            }
        }
        for place in changed {
            let Some(texts) = self.0.get_mut(&place) else {
                continue;
            };
            while texts.len() > SHELF_MAX {
                let oldest = texts.iter().min_by_key(|(_, kept)| kept.seen);
                let Some(id) = oldest.map(|(id, _)| *id) else {
                    break;
                };
                texts.remove(&id);
            }
            store.records().put(KIND, &record(target, place), texts)?;
        }
        Ok(())
    }

    /// The text of an id.
    pub(crate) fn of(&self, id: i64) -> Option<&str> {
        let kept = self.0.get(&shelf_of(id))?.get(&id)?;
        Some(&kept.text)
    }

    /// Other ids of the same text: what the statement was called before an upgrade.
    pub(crate) fn others(&self, id: i64) -> Vec<i64> {
        let Some(text) = self.of(id) else {
            return Vec::new();
        };
        let all = self.0.values().flatten();
        let same = all.filter(|(other, kept)| **other != id && kept.text == text);
        same.map(|(other, _)| *other).collect()
    }
}

/// Keeps the texts of the statements that every target ran last.
pub(crate) async fn keep_all(store: &Arc<Store>, board: &Board, now: Timestamp) {
    for target in board.names() {
        let Some(snapshot) = board.target(&target).and_then(|state| state.snapshot) else {
            continue;
        };
        let (worker, name) = (Arc::clone(store), target.clone());
        let work = move || {
            let mut texts = Texts::load(&worker, &name)?;
            texts.keep(&worker, &name, (&snapshot.statements, now))
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(target, %error, "texts cannot be kept"),
            Err(panic) => tracing::error!(target, %panic, "texts cannot be kept"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Options;

    fn statement(query_id: i64, query: &str) -> Statement {
        Statement {
            query_id,
            query: query.to_owned(),
            ..Statement::default()
        }
    }

    fn at(day: i64) -> Timestamp {
        Timestamp::from_millis(day * 86_400_000)
    }

    #[test]
    fn texts_outlive_what_they_belong_to_and_ids_are_told_to_be_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Options::in_dir(folder.path())).unwrap();
        let mut texts = Texts::default();
        let before = [statement(-7, "SELECT 1"), statement(8, "SELECT 2")];
        texts.keep(&store, "t", (&before, at(1))).unwrap();
        texts
            .keep(&store, "t", (&[statement(99, "SELECT 1")], at(2)))
            .unwrap();
        let read = Texts::load(&store, "t").unwrap();
        assert_eq!(read, texts);
        assert_eq!(read.of(-7), Some("SELECT 1"));
        assert_eq!((read.others(99), read.others(8)), (vec![-7], vec![]));
        assert_eq!(Texts::load(&store, "other").unwrap(), Texts::default());
    }

    #[test]
    fn without_end_the_oldest_go_and_a_record_stays_small() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Options::in_dir(folder.path())).unwrap();
        let mut texts = Texts::default();
        let long = "é".repeat(3_000);
        for day in 0..3 {
            let many: Vec<Statement> = (0..150)
                .map(|n| statement((day * 150 + n) * 16, &long))
                .collect();
            texts.keep(&store, "t", (&many, at(day))).unwrap();
        }
        let kept = Texts::load(&store, "t").unwrap();
        assert_eq!(kept.0[&0].len(), SHELF_MAX);
        assert_eq!(kept.of(0), None, "of the first day");
        assert!(kept.of(449 * 16).unwrap().chars().count() == TEXT_MAX);
    }
}
