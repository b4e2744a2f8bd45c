//! The layer in this process's memory: bounded by bytes, and not emptied by one pass over all keys.
//!
//! `quick_cache` keeps what is asked for again apart from what was asked for once (S3-FIFO's idea), so
//! that a scan pushes out other scans. It sits behind a lock: one entry of a shard of its own could
//! not be larger than the shard, and a lock that is held for a lookup costs nothing beside a socket.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_cache::unsync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, Weighter};

use super::layer::{CacheLayer, Entry, TooLarge, Usage};

/// Entries that are expected; it grows beyond.
const EXPECTED: usize = 256;
/// One entry takes so large a part of the bound at most, so that it does not push out all others.
const PARTS: u64 = 4;

type Store = Cache<String, Arc<Entry>, Weight, DefaultHashBuilder, Evicted>;

/// See [`Entry::weight`].
#[derive(Debug, Clone)]
struct Weight;

impl Weighter<String, Arc<Entry>> for Weight {
    fn weight(&self, key: &String, entry: &Arc<Entry>) -> u64 {
        entry.weight(key)
    }
}

/// Remembers what had to go.
#[derive(Debug, Clone)]
struct Evicted;

impl Lifecycle<String, Arc<Entry>> for Evicted {
    type RequestState = Vec<String>;

    fn on_evict(&self, gone: &mut Vec<String>, key: String, _: Arc<Entry>) {
        gone.push(key);
    }
}

/// Entries in memory.
pub struct Memory {
    store: Mutex<Store>,
    max_bytes: u64,
    evictions: AtomicU64,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory")
            .field("usage", &self.usage())
            .finish_non_exhaustive()
    }
}

impl Memory {
    /// An empty one that takes so many bytes.
    pub fn new(max_bytes: u64) -> Self {
        Self {
            store: Mutex::new(Cache::with(
                EXPECTED,
                max_bytes,
                Weight,
                DefaultHashBuilder::default(),
                Evicted,
            )),
            max_bytes,
            evictions: AtomicU64::new(0),
        }
    }

    /// The most bytes that one entry may take of such a bound.
    pub const fn entry_max(max_bytes: u64) -> u64 {
        max_bytes / PARTS
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CacheLayer for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.store().get(key).cloned()
    }

    fn peek(&self, key: &str) -> Option<Arc<Entry>> {
        self.store().peek(key).cloned()
    }

    fn set(&self, key: &str, entry: Arc<Entry>) -> Result<Vec<String>, TooLarge> {
        let (bytes, limit) = (entry.weight(key), Self::entry_max(self.max_bytes));
        let mut store = self.store();
        if bytes > limit {
            store.remove(key);
            return Err(TooLarge { bytes, limit });
        }
        let mut gone = Vec::new();
        store.insert_with_lifecycle(key.to_owned(), Arc::clone(&entry), &mut gone);
        if store.peek(key).is_none() {
            // One that had gone lately comes among those that are asked for again, and may be the first of
            // them to go; by now there is room.
            store.insert_with_lifecycle(key.to_owned(), entry, &mut gone);
        }
        let is_kept = store.peek(key).is_some();
        drop(store);
        // What is replaced is told as if it had to go.
        gone.retain(|gone| gone != key);
        if !is_kept {
            gone.push(key.to_owned());
        }
        self.evictions
            .fetch_add(gone.len() as u64, Ordering::Relaxed);
        Ok(gone)
    }

    fn remove(&self, key: &str) -> bool {
        self.store().remove(key).is_some()
    }

    fn clear(&self) -> u64 {
        let mut store = self.store();
        let count = store.len() as u64;
        store.clear();
        count
    }

    fn usage(&self) -> Usage {
        let store = self.store();
        Usage {
            entries: store.len() as u64,
            bytes: store.weight(),
            max_bytes: self.max_bytes,
            evictions: self.evictions.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::model::units::Timestamp;

    fn entry(bytes: usize) -> Arc<Entry> {
        Arc::new(Entry {
            body: Bytes::from(vec![b'x'; bytes]),
            rows: 1,
            stored_at: Timestamp::from_millis(0),
            fresh_until: Timestamp::from_millis(1),
            stale_until: Timestamp::from_millis(1),
            took: Duration::ZERO,
        })
    }

    #[test]
    fn what_is_too_large_is_not_kept_and_neither_is_what_it_replaces() {
        let memory = Memory::new(4_096);
        memory.set("a", entry(10)).unwrap();
        let error = memory.set("a", entry(2_000)).unwrap_err();
        assert_eq!(error.limit, 1_024);
        assert!(error.to_string().contains("cache.max_bytes"), "{error}");
        assert!(memory.get("a").is_none());
        assert_eq!(memory.usage().bytes, 0);
    }

    #[test]
    fn what_is_asked_for_again_survives_a_scan() {
        let memory = Memory::new(64 << 10);
        for key in ["hot-1", "hot-2"] {
            memory.set(key, entry(1_000)).unwrap();
            for _ in 0..3 {
                assert!(memory.get(key).is_some());
            }
        }
        for key in 0..1_000 {
            memory.set(&format!("scan-{key}"), entry(1_000)).unwrap();
        }
        assert!(memory.peek("hot-1").is_some() && memory.peek("hot-2").is_some());
        assert!(memory.usage().evictions > 900);
        assert_eq!(memory.clear(), memory.usage().evictions.abs_diff(1_002));
        assert_eq!(memory.usage().entries, 0);
    }

    proptest! {
        #[test]
        fn the_bound_holds_and_what_is_counted_is_what_is_there(
            steps in prop::collection::vec((0_u8..4, 0_u8..30, 0_usize..3_000), 1..200)
        ) {
            let memory = Memory::new(8_192);
            let mut evicted = 0;
            for (what, key, bytes) in steps {
                let key = format!("key-{key}");
                match what {
                    0 | 1 => {
                        if let Ok(gone) = memory.set(&key, entry(bytes)) {
                            evicted += gone.len() as u64;
                            prop_assert!(memory.peek(&key).is_some());
                            prop_assert!(gone.iter().all(|gone| memory.peek(gone).is_none()));
                        }
                    }
                    2 => drop(memory.get(&key)),
                    _ => {
                        let was_there = memory.peek(&key).is_some();
                        prop_assert_eq!(memory.remove(&key), was_there);
                    }
                }
                let usage = memory.usage();
                prop_assert!(usage.bytes <= usage.max_bytes, "{:?}", usage);
                let held: Vec<(String, Arc<Entry>)> = (0..30)
                    .map(|key| format!("key-{key}"))
                    .filter_map(|key| Some((key.clone(), memory.peek(&key)?)))
                    .collect();
                let bytes: u64 = held.iter().map(|(key, entry)| entry.weight(key)).sum();
                prop_assert_eq!((usage.entries, usage.bytes), (held.len() as u64, bytes));
                prop_assert_eq!(usage.evictions, evicted);
            }
        }
    }
}
