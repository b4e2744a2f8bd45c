//! Dropping results: by key, pattern, tag or event.

use std::sync::Arc;

use super::slot::Slot;
use super::{Cache, Error, pattern};

/// Which results are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// That of one query.
    Key(String),
    /// Of the keys that match, with `*` for any text and `?` for one character.
    Pattern(String),
    /// Of the queries that carry this tag.
    Tag(String),
    /// Of the queries that this event makes wrong.
    Event(String),
}

impl Cache {
    /// Keys that are meant and hold a result now.
    ///
    /// # Errors
    /// [`Error::UnknownKey`]; patterns, tags and events may mean nothing.
    pub fn held(&self, which: &Which) -> Result<Vec<String>, Error> {
        let keys = self.meant(which)?.into_iter().map(|slot| &slot.rule.key);
        let held = keys.filter(|key| self.layer.peek(key).is_some());
        Ok(held.cloned().collect())
    }

    /// Drops results; the keys of those that were there. Failures are forgotten, too, and loads under
    /// way are outdated.
    ///
    /// # Errors
    /// As [`Cache::held`].
    pub fn invalidate(&self, which: &Which) -> Result<Vec<String>, Error> {
        let mut dropped = Vec::new();
        for slot in self.meant(which)? {
            let mut state = slot.state();
            state.epoch += 1;
            state.flight = None;
            state.failure = None;
            if self.layer.remove(&slot.rule.key) {
                dropped.push(slot.rule.key.clone());
            }
        }
        Ok(dropped)
    }

    fn meant(&self, which: &Which) -> Result<Vec<&Arc<Slot>>, Error> {
        let listed = |places: Option<&Vec<usize>>| {
            let places = places.into_iter().flatten();
            places.filter_map(|place| self.slots.get(*place)).collect()
        };
        Ok(match which {
            Which::Key(key) => vec![self.slot(key)?],
            Which::Pattern(wanted) => {
                let slots = self.slots.iter();
                slots
                    .filter(|slot| pattern::matches(wanted, &slot.rule.key))
                    .collect()
            }
            Which::Tag(tag) => listed(self.by_tag.get(tag)),
            Which::Event(event) => listed(self.by_event.get(event)),
        })
    }
}
