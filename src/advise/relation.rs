//! A table as advice needs it: columns with their statistics, what is indexed, how it is written to.
//!
//! For: values that `postgres` reads and the rest of `advise` judges. Not for: the snapshot that the
//! checks look at (`model::database`).

/// A table with what the catalog knows of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Relation {
    /// `pg_class.oid`.
    pub oid: u32,
    /// Schema, unquoted.
    pub schema: String,
    /// Name, unquoted.
    pub name: String,
    /// `schema.name` as the server quotes it.
    pub quoted: String,
    /// Expected rows now: `reltuples / relpages` times its pages now.
    pub rows: f64,
    /// Pages of the heap now.
    pub pages: f64,
    /// `relkind`: `r` a table, `p` partitioned, `m` a materialised view.
    pub kind: char,
    /// In order of their number.
    pub columns: Vec<Column>,
    /// What is there already; only valid ones.
    pub indexes: Vec<Existing>,
    /// Rows written since the statistics were reset.
    pub writes: Writes,
    /// Rows looked at in a sample, hashed; `None` where none was taken.
    pub sample: Option<Sample>,
}

impl Relation {
    /// The column called `name`, with its place in [`Relation::columns`].
    pub fn column(&self, name: &str) -> Option<(usize, &Column)> {
        let mut columns = self.columns.iter().enumerate();
        columns.find(|(_, column)| column.name == name)
    }
}

/// A column with its statistics.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of the catalog by itself"
)]
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Column {
    /// Unquoted.
    pub name: String,
    /// As the server quotes it.
    pub quoted: String,
    /// `format_type`.
    pub type_name: String,
    /// Bytes of each value, or `None` where they differ.
    pub fixed_width: Option<u16>,
    /// Bytes that a value's start is rounded up to: 1, 2, 4 or 8.
    pub align: u16,
    /// Its type has a default class of operators for B-trees.
    pub is_orderable: bool,
    /// Equal values have equal bytes, so that B-trees keep a repeated one once (`equalimage`).
    pub is_deduplicable: bool,
    /// A default class of operators for GIN exists (arrays, jsonb, tsvector).
    pub has_gin: bool,
    /// A string whose order is not that of its bytes: patterns need `text_pattern_ops`.
    pub pattern_class: Option<String>,
    /// `NOT NULL`.
    pub is_not_null: bool,
    /// Mean bytes of a value, from `pg_stats`.
    pub width: f64,
    /// Share of nulls.
    pub null_share: f64,
    /// Distinct values, from `pg_stats`; `None` before ANALYZE.
    pub distinct: Option<f64>,
    /// `correlation` of values with their place on disk, −1 to 1; 0 where unknown.
    pub correlation: f64,
    /// Most common values as text with their shares, most common first.
    pub common: Vec<(String, f64)>,
    /// Bounds of the histogram as text.
    pub bounds: Vec<String>,
}

/// An index that is there.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Existing {
    /// Schema and name as the server quotes them.
    pub quoted: String,
    /// Unquoted name.
    pub name: String,
    /// Access method.
    pub method: String,
    /// Key columns by place in [`Relation::columns`]; `None` is an expression, or a column in a form
    /// of its own.
    pub keys: Vec<Option<usize>>,
    /// Each key's column or expression.
    pub key_texts: Vec<String>,
    /// Each key's collation, class of operators and direction, where they are not the default; else
    /// empty.
    pub key_forms: Vec<String>,
    /// `INCLUDE` columns by place.
    pub include: Vec<usize>,
    /// Predicate as the server writes it.
    pub predicate: Option<String>,
    /// Unique.
    pub is_unique: bool,
    /// Backs a constraint, is the replica identity, or a part of a partitioned index: never to be
    /// dropped as an index.
    pub is_constraint: bool,
    /// Bytes on disk.
    pub size_bytes: u64,
    /// `idx_scan` since the statistics were reset.
    pub scans: u64,
}

/// Rows written to a table since `days` ago.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Writes {
    /// `n_tup_ins`.
    pub inserted: f64,
    /// `n_tup_upd`.
    pub updated: f64,
    /// `n_tup_hot_upd`.
    pub updated_hot: f64,
    /// `n_tup_del`.
    pub deleted: f64,
}

/// Rows of whole pages picked by chance: hashes and widths, no values.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sample {
    /// Pages that were looked at, empty ones not counted.
    pub pages: usize,
    /// The page of each row.
    pub page_of: Vec<u32>,
    /// The columns that were looked at, by place in [`Relation::columns`].
    pub columns: Vec<usize>,
    /// For each of `columns`, a hash of each row's value; 0 is null.
    pub hashes: Vec<Vec<u64>>,
    /// For each of `columns`, the bytes of each row's value as stored.
    pub widths: Vec<Vec<u16>>,
    /// Predicates that were tried on each row, as SQL without an alias, with their answers.
    pub predicates: Vec<(String, Vec<bool>)>,
}

impl Sample {
    /// Where a column stands in the sample.
    pub fn place(&self, column: usize) -> Option<usize> {
        self.columns.iter().position(|c| *c == column)
    }
}
