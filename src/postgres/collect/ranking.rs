//! Which relations keep their series when there are too many.

use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Size and activity of one relation.
pub(crate) struct Weight {
    /// `pg_class.oid`.
    pub(crate) oid: u32,
    /// Bytes on disk.
    pub(crate) bytes: u64,
    /// Scans and writes since the statistics were reset.
    pub(crate) activity: u64,
}

/// Oids of the `limit` relations that matter most: half by size, the rest by activity.
pub(crate) fn most_important(mut weights: Vec<Weight>, limit: usize) -> BTreeSet<u32> {
    if weights.len() <= limit {
        return weights.iter().map(|w| w.oid).collect();
    }
    weights.sort_by_key(|w| (Reverse(w.bytes), w.oid));
    let mut active = weights.split_off(limit / 2);
    active.sort_by_key(|w| (Reverse(w.activity), w.oid));
    active.truncate(limit - limit / 2);
    weights.iter().chain(&active).map(|w| w.oid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_and_the_busiest_are_kept() {
        let weight = |oid, bytes, activity| Weight {
            oid,
            bytes,
            activity,
        };
        let all = || {
            vec![
                weight(1, 10, 0),
                weight(2, 9, 1),
                weight(3, 1, 99),
                weight(4, 2, 3),
            ]
        };
        assert_eq!(most_important(all(), 2), BTreeSet::from([1, 3]));
        assert_eq!(most_important(all(), 9).len(), 4);
        assert_eq!(most_important(all(), 1), BTreeSet::from([3]));
    }
}
