//! Bytes on disk of a B-tree index before it is built.
//!
//! For: a promise that a budget can rest on. Not for: indexes that are there: the server knows those.
//!
//! The build of an index is followed in miniature: rows with equal keys share a tuple (since
//! PostgreSQL 13), tuples are laid on pages up to the fill factor, and each page needs a downlink.
//! How many rows share a key comes from rows sampled by whole pages, which sees both kinds of
//! repetition: values that recur all over the table, and values that lie next to each other.
//!
//! Source: PostgreSQL 18, `nbtsort.c` (`_bt_buildadd`), `nbtdedup.c` (`_bt_dedup_save_htid`) and
//! the manual, sections 65.1.4.3 (Deduplication) and 65.4 (storage of pages).

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::candidates::Candidate;
use super::relation::{Relation, Sample};

mod pages;

/// What an index would take.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Size {
    /// Bytes on disk right after it is built.
    pub bytes: u64,
    /// Rows that it would hold.
    pub rows: f64,
}

/// Share of rows assumed for a predicate that was neither sampled nor has a common value: that of a
/// comparison about which the planner knows nothing (`DEFAULT_INEQ_SEL`).
const UNKNOWN_SHARE: f64 = 1.0 / 3.0;

/// The size of `candidate` on `relation`.
pub fn of(candidate: &Candidate, relation: &Relation) -> Size {
    let held = candidate.predicate.as_deref();
    let share = held.map_or(1.0, |predicate| share_of(predicate, relation));
    let rows = (relation.rows * share).max(1.0);
    let columns: Vec<usize> = candidate
        .key_columns()
        .chain(candidate.include.iter().copied())
        .collect();
    let shares_tuples = candidate.include.is_empty()
        && candidate.key_columns().all(|place| {
            let column = relation.columns.get(place);
            column.is_some_and(|column| column.is_deduplicable)
        });
    let keys: Vec<usize> = candidate.key_columns().collect();
    let unique = is_unique(&keys, relation);
    let sampled = relation
        .sample
        .as_ref()
        .and_then(|sample| Looked::at(sample, &keys, &columns, held, relation));
    let tuples = sampled.as_ref().map_or_else(
        || expected_tuples(&columns, relation),
        |looked| looked.tuples.clone(),
    );
    let groups = if !shares_tuples || unique {
        pages::Groups::Single
    } else if let Some(looked) = &sampled {
        looked.groups(rows, relation)
    } else {
        pages::Groups::Spread {
            mean: rows / expected_distinct(&keys, relation, rows),
        }
    };
    Size {
        bytes: pages::bytes(rows, &tuples, &groups),
        rows,
    }
}

/// Whether a unique index without a condition lies within the keys.
fn is_unique(keys: &[usize], relation: &Relation) -> bool {
    relation.indexes.iter().any(|index| {
        index.is_unique
            && index.predicate.is_none()
            && index
                .keys
                .iter()
                .all(|key| key.is_some_and(|key| keys.contains(&key)))
    })
}

/// The share of rows for which a predicate holds.
fn share_of(predicate: &str, relation: &Relation) -> f64 {
    let sample = relation.sample.as_ref();
    let tried = sample.and_then(|sample| {
        let found = sample.predicates.iter().find(|(sql, _)| sql == predicate)?;
        let rows = found.1.len();
        let held = found.1.iter().filter(|held| **held).count();
        // Half a row stands for none at all.
        (rows > 0).then(|| (held as f64).max(0.5) / rows as f64)
    });
    tried.unwrap_or(UNKNOWN_SHARE)
}

/// Without a sample: the product of what each column has, at most one a row.
fn expected_distinct(keys: &[usize], relation: &Relation, rows: f64) -> f64 {
    let of = |place: &usize| {
        let column = relation.columns.get(*place);
        column.and_then(|column| column.distinct).unwrap_or(rows)
    };
    let product: f64 = keys.iter().map(of).product();
    product.clamp(1.0, rows)
}

/// Without a sample: tuples of mean widths.
fn expected_tuples(columns: &[usize], relation: &Relation) -> Vec<u32> {
    let widths = columns.iter().map(|place| {
        let column = relation.columns.get(*place);
        column.map_or((8.0, 8), |column| {
            let align = column.fixed_width.map_or(1, |_| column.align);
            (column.width, align)
        })
    });
    let data = widths.fold(0.0, |at: f64, (width, align)| {
        let align = f64::from(align.max(1));
        (at / align).ceil() * align + width
    });
    vec![pages::tuple(data, false)]
}

/// Meetings of equal keys below which a sample's own estimate scatters by more than a tenth.
const FEW_MEETINGS: f64 = 100.0;

/// Combinations of several columns' values.
fn combinations(keys: &[usize], relation: &Relation) -> Option<f64> {
    if keys.len() < 2 {
        return None;
    }
    let of = |key: &usize| relation.columns.get(*key)?.distinct;
    let counts: Option<Vec<f64>> = keys.iter().map(of).collect();
    Some(counts?.into_iter().product::<f64>().max(1.0))
}

/// What a sample says of one combination of columns.
struct Looked {
    /// Bytes of each row's tuple.
    tuples: Vec<u32>,
    /// Rows that were looked at and hold the predicate.
    rows: usize,
    /// Distinct keys among them.
    distinct: usize,
    /// Distinct pairs of key and page.
    incidences: usize,
    /// Keys seen on one page only.
    on_one_page: usize,
    /// Runs of equal keys, page by page, in the order of rows.
    runs: usize,
    /// Rows of each key, in no order.
    counts: Vec<u32>,
    pages: usize,
    /// Combinations that there are if the columns know nothing of each other; `None` for one column.
    combinations: Option<f64>,
}

impl Looked {
    fn at(
        sample: &Sample,
        keys: &[usize],
        columns: &[usize],
        predicate: Option<&str>,
        relation: &Relation,
    ) -> Option<Self> {
        let held = match predicate {
            Some(predicate) => {
                let tried = sample.predicates.iter().find(|(sql, _)| sql == predicate)?;
                Some(&tried.1)
            }
            None => None,
        };
        let hashes: Vec<&Vec<u64>> = keys
            .iter()
            .map(|key| sample.hashes.get(sample.place(*key)?))
            .collect::<Option<_>>()?;
        let widths: Vec<(&Vec<u16>, Option<u16>, u16)> = columns
            .iter()
            .map(|place| {
                let column = relation.columns.get(*place)?;
                let widths = sample.widths.get(sample.place(*place)?)?;
                Some((widths, column.fixed_width, column.align))
            })
            .collect::<Option<_>>()?;
        let mut looked = Self {
            tuples: Vec::new(),
            rows: 0,
            distinct: 0,
            incidences: 0,
            on_one_page: 0,
            runs: 0,
            counts: Vec::new(),
            pages: sample.pages,
            combinations: combinations(keys, relation),
        };
        // Key → rows, pages, last page.
        let mut seen: HashMap<u64, (u32, u32, u32), BuildHasherDefault<Mixed>> = HashMap::default();
        let mut last = None;
        for (row, page) in sample.page_of.iter().enumerate() {
            if held.is_some_and(|held| held.get(row) != Some(&true)) {
                continue;
            }
            looked.rows += 1;
            let key = hashes.iter().fold(0_u64, |all, hash| {
                let hash = hash.get(row).copied().unwrap_or(0);
                (all.rotate_left(23) ^ hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
            });
            let entry = seen.entry(key).or_insert((0, 0, u32::MAX));
            entry.0 += 1;
            if entry.2 != *page {
                entry.1 += 1;
                entry.2 = *page;
                looked.incidences += 1;
            }
            looked.runs += usize::from(last != Some((key, *page)));
            last = Some((key, *page));
            looked.tuples.push(row_tuple(&widths, row));
        }
        looked.distinct = seen.len();
        looked.on_one_page = seen.values().filter(|entry| entry.1 == 1).count();
        let mut counts: Vec<(u64, u32)> = seen.iter().map(|(key, e)| (*key, e.0)).collect();
        // The same order in each run of the program.
        counts.sort_unstable();
        looked.counts = counts.into_iter().map(|(_, count)| count).collect();
        (looked.rows > 0).then_some(looked)
    }

    /// Distinct keys of the whole table, with so many rows in the index.
    ///
    /// Haas and Stokes (1998), "Estimating the number of classes in a finite population", their
    /// estimator `Duj1`, with pages as what is sampled: a value that lies on one page only was seen
    /// once, however many of its rows lie there.
    fn distinct_in(&self, rows: f64, relation: &Relation) -> f64 {
        let (seen, distinct) = (self.incidences as f64, self.distinct as f64);
        if let Some(estimate) = self.independent(rows) {
            return estimate.clamp(distinct, rows.max(distinct));
        }
        let once = self.on_one_page as f64;
        let all = (seen * rows / self.rows as f64).max(seen);
        let mut estimate = seen * distinct / (seen - once + once * seen / all);
        if self.is_clustered() {
            // A run of equal keys is cut by the end of a page, and was counted on both.
            let cuts = relation.pages.min(all / 2.0);
            let cuts = if (self.pages as f64) < relation.pages {
                cuts
            } else {
                0.0
            };
            estimate = estimate.min((all - cuts).max(1.0) / (1.0 - cuts / rows).max(0.01));
        }
        estimate.clamp(distinct, rows.max(distinct))
    }

    /// Distinct keys if columns are independent, where the sample met no more and no fewer equal keys
    /// than they would then: a few meetings say little by themselves, and the columns' own counts more.
    fn independent(&self, rows: f64) -> Option<f64> {
        let all = self.combinations?;
        let (seen, distinct) = (self.incidences as f64, self.distinct as f64);
        let expected = seen - all * (1.0 - (-seen / all).exp());
        let met = seen - distinct;
        let is_as_expected = (met - expected).abs() <= 2.0 * expected.max(1.0).sqrt();
        let is_thin = expected < FEW_MEETINGS && seen > 0.98 * self.rows as f64;
        (is_thin && is_as_expected).then(|| all * (1.0 - (-rows / all).exp()))
    }

    /// Equal keys lie next to each other.
    fn is_clustered(&self) -> bool {
        let (runs, seen) = (self.runs as f64, self.incidences as f64);
        seen < 0.8 * self.rows as f64
            && runs < 1.1 * seen
            && self.on_one_page * 10 > self.distinct * 8
    }

    fn groups(&self, rows: f64, relation: &Relation) -> pages::Groups {
        let mean = rows / self.distinct_in(rows, relation);
        let seen = self.rows as f64 / self.distinct as f64;
        if mean < 1.3 * seen {
            // The sample saw whole groups.
            pages::Groups::Seen(self.counts.clone())
        } else {
            pages::Groups::Spread { mean }
        }
    }
}

/// Hashes what is a hash already: of each sampled row one is looked up for each candidate.
#[derive(Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0.rotate_left(8) ^ u64::from(*byte)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Bytes of one sampled row's index tuple.
fn row_tuple(widths: &[(&Vec<u16>, Option<u16>, u16)], row: usize) -> u32 {
    let (mut at, mut has_null) = (0_u32, false);
    for (widths, fixed, align) in widths {
        let width = u32::from(widths.get(row).copied().unwrap_or(0));
        if width == 0 {
            has_null = true;
            continue;
        }
        // A short string has a header of one byte and stands anywhere.
        let align = u32::from(if fixed.is_none() && width < 128 {
            1
        } else {
            *align
        });
        at = at.next_multiple_of(align.max(1)) + width;
    }
    pages::tuple(f64::from(at), has_null)
}

#[cfg(test)]
mod tests;
