//! Where results are kept: what a layer must do, whatever it is made of.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::model::units::Timestamp;

/// What an entry takes beside its body and its key, about.
const OVERHEAD: u64 = 256;
/// A clock may be set back by so much before what is kept counts as from the future.
const CLOCK_SLACK: Duration = Duration::from_secs(1);

/// One result, whole and encoded, with the span of its life.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// A JSON array of the rows.
    pub body: Bytes,
    /// How many rows.
    pub rows: u64,
    /// When it was loaded.
    pub stored_at: Timestamp,
    /// From here on it is loaded anew.
    pub fresh_until: Timestamp,
    /// From here on it is not shown any more.
    pub stale_until: Timestamp,
    /// How long loading it took.
    pub took: Duration,
}

/// What an entry is worth at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// As good as new.
    Fresh,
    /// Shown while it is loaded anew.
    Stale,
    /// Not shown.
    Over,
}

impl Entry {
    /// What it is worth at `now`. After a clock was set back, what it cannot have seen yet is over.
    pub fn life(&self, now: Timestamp) -> Life {
        if self.stored_at > now.plus(CLOCK_SLACK) || now >= self.stale_until {
            Life::Over
        } else if now < self.fresh_until {
            Life::Fresh
        } else {
            Life::Stale
        }
    }

    /// Bytes that it takes under `key`.
    pub fn weight(&self, key: &str) -> u64 {
        OVERHEAD + key.len() as u64 + self.body.len() as u64
    }
}

impl fmt::Debug for Entry {
    /// Without the body, which may hold personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("bytes", &self.body.len())
            .field("rows", &self.rows)
            .field("stored_at", &self.stored_at)
            .field("fresh_until", &self.fresh_until)
            .field("stale_until", &self.stale_until)
            .finish_non_exhaustive()
    }
}

/// An entry that a layer does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the result has {bytes} bytes, and at most {limit} are kept of one; select less, or raise cache.max_bytes"
)]
pub struct TooLarge {
    /// What it weighs.
    pub bytes: u64,
    /// The most that one may weigh.
    pub limit: u64,
}

/// How full a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Entries.
    pub entries: u64,
    /// Bytes that they take together.
    pub bytes: u64,
    /// The most that they may take.
    pub max_bytes: u64,
    /// Entries that had to make room since the start.
    pub evictions: u64,
}

/// Keeps entries under keys, within a bound. It knows no time: whoever asks judges an entry's life.
pub trait CacheLayer: Send + Sync + fmt::Debug {
    /// Its name, such as `memory`.
    fn name(&self) -> &'static str;

    /// The entry under `key`; being asked for makes it worth keeping.
    fn get(&self, key: &str) -> Option<Arc<Entry>>;

    /// The entry under `key`, for who only looks.
    fn peek(&self, key: &str) -> Option<Arc<Entry>>;

    /// Puts an entry in place of what is under `key`; the keys of those that made room for it.
    ///
    /// # Errors
    /// [`TooLarge`]; what was under `key` is gone then, too.
    fn set(&self, key: &str, entry: Arc<Entry>) -> Result<Vec<String>, TooLarge>;

    /// Takes the entry under `key` away; whether there was one.
    fn remove(&self, key: &str) -> bool;

    /// Takes all entries away; how many there were.
    fn clear(&self) -> u64;

    /// How full it is.
    fn usage(&self) -> Usage;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_the_future_is_over() {
        let at = Timestamp::from_millis;
        let entry = Entry {
            body: Bytes::from_static(b"[]"),
            rows: 0,
            stored_at: at(10_000),
            fresh_until: at(20_000),
            stale_until: at(30_000),
            took: Duration::ZERO,
        };
        for (now, life) in [
            (8_000, Life::Over),
            (9_500, Life::Fresh),
            (19_999, Life::Fresh),
            (20_000, Life::Stale),
            (29_999, Life::Stale),
            (30_000, Life::Over),
        ] {
            assert_eq!(entry.life(at(now)), life, "{now}");
        }
    }

    #[test]
    fn a_body_is_not_shown_in_debug_output() {
        let entry = Entry {
            body: Bytes::from_static(b"[\"secret\"]"),
            rows: 1,
            stored_at: Timestamp::default(),
            fresh_until: Timestamp::default(),
            stale_until: Timestamp::default(),
            took: Duration::ZERO,
        };
        assert!(!format!("{entry:?}").contains("secret"));
    }
}
