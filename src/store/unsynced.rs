//! How much of the engine's log may not be on the disk yet.
//!
//! For: `barrier`, which syncs before it is too much. Not for: exact bytes; the engine tells none. Read
//! [`Unsynced::add`] first.

use std::sync::atomic::{AtomicU64, Ordering};

/// A change may have its whole leaf written anew, and one more that is moved out of a segment: so many
/// values of its size.
const LEAF: u64 = 20;
/// What the engine puts around each.
const AROUND: u64 = 64;

/// A bound of the log since the last sync.
#[derive(Debug)]
pub(super) struct Unsynced {
    bytes: AtomicU64,
    /// Size of the usual value: what is deleted leaves a leaf of such.
    usual: AtomicU64,
    max: u64,
}

impl Unsynced {
    /// At most half a segment.
    pub(super) const fn within(segment: usize) -> Self {
        Self {
            bytes: AtomicU64::new(0),
            usual: AtomicU64::new(0),
            max: segment as u64 / 2,
        }
    }

    /// Counts an operation of so many bytes of key and value; one that is no put deletes.
    pub(super) fn add(&self, size: usize, is_put: bool) {
        let size = size as u64;
        let mut usual = self.usual.load(Ordering::Relaxed);
        if is_put {
            usual = (usual * 15 + size).div_ceil(16);
            self.usual.store(usual, Ordering::Relaxed);
        }
        let bytes = LEAF * (size.max(usual) + AROUND);
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    /// Whether it is time for a sync.
    pub(super) fn is_full(&self) -> bool {
        self.now() > self.max
    }

    /// What a sync that begins now covers.
    pub(super) fn now(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// A sync that covered `bytes` has passed.
    pub(super) fn passed(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_meanwhile_is_not_covered() {
        let unsynced = Unsynced::within(1 << 20);
        let mut ops = 0;
        while !unsynced.is_full() {
            unsynced.add(1_010, true);
            ops += 1;
        }
        assert!((20..40).contains(&ops), "{ops}");
        let covered = unsynced.now();
        // A deletion is a leaf of the usual values.
        unsynced.add(10, false);
        unsynced.passed(covered);
        assert!(unsynced.now() > 10_000 && !unsynced.is_full());
    }
}
