//! How a database is laid out.
//!
//! For: lengths of segments and bounds of caches, by what a database holds. Not for: which database
//! has which (`databases`). Read [`Shape`] first.

/// How a database is laid out and how much of it stays in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Bound of the page cache in bytes.
    pub(super) cache: u64,
    /// Length of a segment, the unit of sled's file, in bytes; fixed when the database is made.
    ///
    /// sled moves pages above a quarter of a segment into files of their own, which amplify writes:
    /// sixteen of the largest usual values should fit into a quarter.
    pub(super) segment: usize,
}

impl Shape {
    /// For small values.
    pub(super) const fn small(cache: u64) -> Self {
        Self {
            cache,
            segment: 512 << 10,
        }
    }

    /// For rows that come and go: the larger a segment, the more goes between two syncs.
    pub(super) const fn rows(cache: u64) -> Self {
        Self {
            cache,
            segment: 2 << 20,
        }
    }

    /// For chunks of buckets.
    pub(super) const fn buckets(cache: u64) -> Self {
        Self {
            cache,
            segment: 1 << 20,
        }
    }

    /// For chunks of samples.
    pub(super) const fn chunks(cache: u64) -> Self {
        Self {
            cache,
            segment: 2 << 20,
        }
    }
}
