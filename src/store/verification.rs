//! What checking a store has found, told one by one up to a bound.
//!
//! For: the answer of `history verify`. Not for: finding it (`verify`). Read [`Verification`] first.

use serde::{Deserialize, Serialize};

use super::content::{Tree, shown};

/// Problems that are told one by one; of more, only the number.
const TOLD_MAX: usize = 1_000;
/// What was looked at, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Databases.
    pub databases: u64,
    /// Trees in them.
    pub trees: u64,
    /// Keys in these.
    pub keys: u64,
    /// Bytes of keys, values and logs.
    pub bytes: u64,
    /// Bytes of the databases' files; 0 where the store is in use.
    pub file_bytes: u64,
    /// Samples in sealed chunks.
    pub samples: u64,
    /// Logs.
    pub logs: u64,
    /// Frames in them.
    pub frames: u64,
    /// What is wrong, at most 1 000 of it.
    pub problems: Vec<Problem>,
    /// How much is wrong beyond that.
    pub more_problems: u64,
    /// What is not wrong, but worth knowing.
    pub notes: Vec<String>,
}

/// Something that does not read as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Database, or the file.
    pub database: String,
    /// Tree, if it is about one.
    pub tree: Option<String>,
    /// Key in it, if it is about one.
    pub key: Option<String>,
    /// What is wrong.
    pub what: String,
}

impl Verification {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty() && self.more_problems == 0
    }

    pub(super) fn tell(
        &mut self,
        database: &str,
        place: Option<(&str, Option<&[u8]>)>,
        what: impl Into<String>,
    ) {
        if self.problems.len() >= TOLD_MAX {
            self.more_problems += 1;
            return;
        }
        let key = place.and_then(|(name, key)| Some(shown(Tree { database, name }, key?)));
        self.problems.push(Problem {
            database: database.to_owned(),
            tree: place.map(|(tree, _)| tree.to_owned()),
            key,
            what: what.into(),
        });
    }
}
