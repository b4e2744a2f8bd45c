//! How large a B-tree or a heap is when it was just built, so that what is beyond that is waste.
//!
//! For: what a rebuild of indexes and tables that are there would leave, from planner statistics
//! alone. Not for: indexes that are not built yet, of which rows are sampled (`size`), nor for reading
//! statistics (`postgres`).
//! Since 13 a B-tree keeps equal keys once, with a list of rows: an estimate without that is off by
//! a factor of two to six on keys that repeat.
//!
//! Source: PostgreSQL 15's sources, `nbtsort.c` (`_bt_load`, `_bt_buildadd`), `nbtree.h`,
//! `itup.h`, `bufpage.h`; manual, section 67.4.3 "Deduplication". Assumes: rows evenly spread over
//! distinct keys, and a build that sorts.

/// What is aligned to this on all supported 64-bit platforms (`MAXALIGN`).
const ALIGN: f64 = 8.0;
/// `ItemIdData`: each tuple's entry in its page.
const LINE: f64 = 4.0;
/// A page's header.
const PAGE_HEADER: f64 = 24.0;
/// What a B-tree page keeps at its end.
const BTREE_SPECIAL: f64 = 16.0;
/// `IndexTupleData`, and what a bitmap of nulls makes of it.
const INDEX_HEADER: f64 = 8.0;
/// `HeapTupleHeaderData`.
const HEAP_HEADER: f64 = 23.0;
/// `ItemPointerData`: one row in a list of rows.
const ROW_POINTER: f64 = 6.0;
/// Share of a page that a list of rows may take in a build.
const LIST_SHARE: f64 = 0.10;
/// Share of an inner page that a build fills.
const INNER_FILL: f64 = 0.70;
/// Share of a leaf that a build fills, unless `fillfactor` says otherwise.
pub const BTREE_FILL: f64 = 0.90;
/// The longest value with a header of one byte, which is not aligned.
const SHORT: f64 = 127.0;

/// Width of one column as it is stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Width {
    /// Bytes of a value that is not null, its header included.
    pub bytes: f64,
    /// Bytes that its type is aligned to: 1, 2, 4 or 8.
    pub align: f64,
    /// Of varying length.
    pub varies: bool,
    /// Share of nulls, 0 to 1; they take no room.
    pub null_share: f64,
}

/// Bytes of one row's values, alignment between them included; nulls weighed by their share.
pub fn data_bytes(columns: &[Width]) -> f64 {
    columns.iter().fold(0.0, |end, column| {
        let is_aligned = !column.varies || column.bytes >= SHORT;
        let start = if is_aligned {
            raised(end, column.align)
        } else {
            end
        };
        let filled = start + column.bytes - end;
        end + filled * (1.0 - column.null_share)
    })
}

fn raised(bytes: f64, align: f64) -> f64 {
    (bytes / align).ceil() * align
}

/// A B-tree's content.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Btree {
    /// Rows in the index.
    pub rows: f64,
    /// Different keys among them, null counted as one; at most `rows`.
    pub distinct: f64,
    /// [`data_bytes`] of its columns, those of INCLUDE as well.
    pub data_bytes: f64,
    /// Equal keys are kept once: no INCLUDE, and every type's equality is that of its bytes.
    pub deduplicates: bool,
    /// Share of a leaf that a build fills, 0 to 1.
    pub fill: f64,
    /// Bytes of a page.
    pub page: f64,
}

impl Btree {
    fn tuple(&self) -> f64 {
        raised(INDEX_HEADER + self.data_bytes, ALIGN)
    }

    /// Bytes of the leaves' content if there were so many different keys.
    fn content(&self, distinct: f64) -> f64 {
        let (rows, tuple) = (self.rows.max(0.0), self.tuple());
        let distinct = distinct.clamp(1.0, rows.max(1.0));
        if !self.deduplicates || distinct >= rows {
            return rows * (tuple + LINE);
        }
        let list = (LIST_SHARE * self.page / ALIGN).floor() * ALIGN - LINE;
        let per_list = ((list - tuple) / ROW_POINTER).floor().max(2.0);
        let each = rows / distinct;
        // A list ends aligned: half of that is lost on average. One row needs no list.
        let lists = (each / per_list).max(1.0);
        let pad = if each > 2.0 { ALIGN / 2.0 } else { 0.0 };
        let pointers = if each < 2.0 { 2.0 * (each - 1.0) } else { each };
        distinct * (lists * (tuple + LINE + pad) + pointers * ROW_POINTER)
    }

    fn leaf_room(&self) -> f64 {
        let kept_free = self.page * (1.0 - self.fill);
        // Each leaf begins with the key that ends it.
        (self.page - PAGE_HEADER - BTREE_SPECIAL - kept_free - self.tuple() - LINE).max(64.0)
    }

    /// Bytes on disk right after a build: leaves, inner pages, the first page.
    pub fn bytes(&self) -> f64 {
        let leaves = (self.content(self.distinct) / self.leaf_room()).ceil();
        let inner_room = self.page * INNER_FILL - PAGE_HEADER - BTREE_SPECIAL;
        let fan_out = (inner_room / (self.tuple() + LINE)).max(2.0);
        let inner = if leaves > 1.0 {
            (leaves / (fan_out - 1.0)).ceil()
        } else {
            0.0
        };
        (leaves + inner + 1.0) * self.page
    }

    /// How many different keys an index of so many bytes holds at most: the inverse of
    /// [`Btree::bytes`] by bisection, within 1 %. Waste only makes it larger. `None` where the size
    /// does not depend on it.
    pub fn distinct_within(&self, bytes: f64) -> Option<f64> {
        if !self.deduplicates || self.rows < 2.0 {
            return None;
        }
        let with = |distinct| Self { distinct, ..*self }.bytes();
        let (mut low, mut high) = (1.0, self.rows);
        if with(high) <= bytes {
            return Some(high);
        }
        while high / low > 1.01 {
            let middle = (low * high).sqrt();
            if with(middle) <= bytes {
                low = middle;
            } else {
                high = middle;
            }
        }
        Some(high)
    }
}

/// Bytes of a heap that holds `rows` and no free room but what `fill` (0 to 1) leaves.
pub fn heap_bytes(rows: f64, columns: &[Width], (fill, page): (f64, f64)) -> f64 {
    let nulls = columns.iter().any(|column| column.null_share > 0.0);
    let bitmap = if nulls {
        (columns.len() as f64 / 8.0).ceil()
    } else {
        0.0
    };
    let tuple = raised(HEAP_HEADER + bitmap, ALIGN) + raised(data_bytes(columns), ALIGN);
    let room = (page - PAGE_HEADER) * fill;
    let a_page = (room / (tuple + LINE)).floor().max(1.0);
    (rows.max(0.0) / a_page).ceil() * page
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: f64 = 8_192.0;

    fn btree(rows: f64, distinct: f64, data_bytes: f64, deduplicates: bool) -> Btree {
        Btree {
            rows,
            distinct,
            data_bytes,
            deduplicates,
            fill: BTREE_FILL,
            page: PAGE,
        }
    }

    fn near(got: f64, want: f64, share: f64) {
        assert!((got / want - 1.0).abs() <= share, "{got} is not {want}");
    }

    /// Built on `PostgreSQL` 15 with TPC-H at scale 1: `CREATE INDEX`, then `pg_relation_size`.
    #[test]
    fn built_indexes_are_met_within_a_tenth() {
        let items = 6_001_215.0;
        let built = [
            // l_partkey, l_suppkey, l_shipdate; (l_orderkey, l_quantity), numeric: never deduplicated.
            (btree(items, 200_000.0, 4.0, true), 45.1e6),
            (btree(items, 10_000.0, 4.0, true), 42.6e6),
            (btree(items, 2_526.0, 4.0, true), 42.7e6),
            (btree(items, items, 16.0, false), 189.3e6),
            // o_custkey, o_orderdate.
            (btree(1.5e6, 99_996.0, 4.0, true), 12.6e6),
            (btree(1.5e6, 2_406.0, 4.0, true), 10.9e6),
            // ps_suppkey.
            (btree(800_000.0, 10_000.0, 4.0, true), 5.5e6),
        ];
        for (index, want) in built {
            near(index.bytes(), want, 0.10);
        }
    }

    #[test]
    fn deduplication_only_ever_saves_room() {
        let mut before = f64::INFINITY;
        for distinct in [1e6, 6e5, 4e5, 1e5, 1e3, 1.0] {
            let bytes = btree(1e6, distinct, 8.0, true).bytes();
            assert!(bytes <= before, "{distinct}");
            before = bytes;
        }
        near(before, 1e6 * ROW_POINTER / BTREE_FILL, 0.06);
    }

    #[test]
    fn a_size_tells_how_many_keys_there_are() {
        for distinct in [5e4, 1e5, 4e5] {
            let index = btree(1e6, distinct, 8.0, true);
            let told = index.distinct_within(index.bytes()).unwrap();
            near(told, distinct, 0.1);
        }
        assert_eq!(btree(1e6, 1e3, 8.0, false).distinct_within(1e6), None);
    }

    #[test]
    fn an_empty_index_has_its_first_page_alone() {
        near(btree(0.0, 0.0, 4.0, true).bytes(), PAGE, 1e-9);
    }

    #[test]
    fn values_are_aligned_as_in_a_tuple() {
        let column = |bytes, align, varies, null_share| Width {
            bytes,
            align,
            varies,
            null_share,
        };
        // An int, a bigint, a short text: 4, 4 lost, 8, 5.
        let row = [
            column(4.0, 4.0, false, 0.0),
            column(8.0, 8.0, false, 0.0),
            column(5.0, 4.0, true, 0.0),
        ];
        near(data_bytes(&row), 21.0, 1e-9);
        near(data_bytes(&[column(8.0, 8.0, false, 0.25)]), 6.0, 1e-9);
    }

    #[test]
    fn a_heap_of_ints_takes_36_bytes_a_row() {
        let columns = [Width {
            bytes: 4.0,
            align: 4.0,
            varies: false,
            null_share: 0.0,
        }];
        // 226 tuples of 24 + 8 + 4 bytes fit into a page: a figure that `pgbench` tables show.
        near(
            heap_bytes(226_000.0, &columns, (1.0, PAGE)),
            1_000.0 * PAGE,
            1e-9,
        );
    }
}
