//! The history as a file of samples.
//!
//! For: `plimsoll history export`, of a history at rest as well as of a running one. Not for: reports
//! (`report`). Read [`export`] first.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::exchange::name::Wanted;
use crate::exchange::{csv, name, openmetrics};
use crate::model::units::Timestamp;
use crate::report::sqlite::samples::{SeriesRow, Table};
use crate::store::{self, Selector, Series, Store};

/// Bytes that are gathered before they are written.
const CHUNK: usize = 64 << 10;

/// How a file holds samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `series,ts_ms,value`.
    Csv,
    /// OpenMetrics text 1.0.
    OpenMetrics,
    /// A SQLite file.
    Sqlite,
    /// The whole store with rollups and records, as lines of JSON.
    Jsonl,
}

impl Format {
    /// All, with the names used in flags and queries.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("csv", Self::Csv),
        ("openmetrics", Self::OpenMetrics),
        ("sqlite", Self::Sqlite),
        ("jsonl", Self::Jsonl),
    ];
}

/// What is to be exported.
#[derive(Debug, Clone)]
pub struct Order {
    /// How.
    pub format: Format,
    /// From this instant on.
    pub from: Timestamp,
    /// Up to, but without, this instant.
    pub until: Timestamp,
    /// Only these series.
    pub wanted: Option<Wanted>,
    /// Folder for a file of the export's own, where its format needs one.
    pub scratch: PathBuf,
}

/// Why an export is not whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The history cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// What was read cannot be written.
    #[error("the export cannot be written")]
    Write(#[from] io::Error),
    /// The SQLite file cannot be made.
    #[error(transparent)]
    Sqlite(#[from] crate::report::Error),
    /// A series has no name that the format knows.
    #[error(
        "OpenMetrics cannot name the series {0:?}; leave it out with --series, or use --format csv"
    )]
    Name(String),
    /// The archive is whole or nothing.
    #[error(
        "jsonl is the whole store; leave out --from, --until and --series, or use --format csv"
    )]
    Whole,
}

/// Writes the history to `to`, in memory that does not grow with it.
///
/// CSV and SQLite go by spans of two hours, and in each series by series; OpenMetrics, as it must,
/// metric by metric.
///
/// # Errors
/// [`Error`]; what was written by then is not a whole file.
pub fn export(store: &Store, order: &Order, to: &mut dyn Write) -> Result<(), Error> {
    let history = store.history();
    let mut series = history.series(&Selector::default());
    if let Some(wanted) = &order.wanted {
        series.retain(|one| wanted.has(&one.target, &one.key));
    }
    match order.format {
        Format::Csv => write_csv(store, order, &series, to),
        Format::OpenMetrics => write_openmetrics(store, order, series, to),
        Format::Sqlite => write_sqlite(store, order, &series, to),
        Format::Jsonl => {
            let is_whole = order.from == Timestamp::from_millis(i64::MIN)
                && order.until == Timestamp::from_millis(i64::MAX);
            if !is_whole || order.wanted.is_some() {
                return Err(Error::Whole);
            }
            let mut to = to;
            Ok(store.export(&mut to)?)
        }
    }
}

fn write_csv(
    store: &Store,
    order: &Order,
    series: &[Series],
    to: &mut dyn Write,
) -> Result<(), Error> {
    let mut out = format!("{}\n", csv::HEADER).into_bytes();
    let mut field = Vec::new();
    let range = (order.from, order.until);
    store.history().visit(series, range, |one, samples| {
        field.clear();
        csv::put_field(&mut field, &name::write(&one.target, &one.key));
        for (at, value) in samples {
            csv::put_row(&mut out, &field, *at, *value);
            flush(&mut out, to, CHUNK)?;
        }
        Ok::<(), Error>(())
    })?;
    flush(&mut out, to, 0)
}

fn write_openmetrics(
    store: &Store,
    order: &Order,
    mut series: Vec<Series>,
    to: &mut dyn Write,
) -> Result<(), Error> {
    // All names are looked at before the first is written.
    let name = |one: &Series| {
        let written = openmetrics::written(&one.target, &one.key);
        written.ok_or_else(|| Error::Name(name::write(&one.target, &one.key)))
    };
    series.iter().try_for_each(|one| name(one).map(|_| ()))?;
    series.sort_by(|a, b| (&a.key.metric, a.id).cmp(&(&b.key.metric, b.id)));
    let mut out = Vec::new();
    let mut family = None;
    for one in &series {
        let samples = store.history().raw(one.id, order.from, order.until)?;
        if samples.is_empty() {
            continue;
        }
        if family != Some(&one.key.metric) {
            openmetrics::put_family(&mut out, &one.key.metric, one.kind);
            family = Some(&one.key.metric);
        }
        let text = name(one)?.to_string();
        for (at, value) in samples {
            openmetrics::put_sample(&mut out, &text, at.as_millis(), value);
            flush(&mut out, to, CHUNK)?;
        }
    }
    out.extend_from_slice(openmetrics::END.as_bytes());
    flush(&mut out, to, 0)
}

fn write_sqlite(
    store: &Store,
    order: &Order,
    series: &[Series],
    to: &mut dyn Write,
) -> Result<(), Error> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("plimsoll-export-{}-{next}.sqlite", std::process::id());
    let file = order.scratch.join(name);
    let outcome = (|| {
        let mut table = Table::create(&file)?;
        for one in series {
            table.series(&SeriesRow {
                number: one.id.number(),
                target: &one.target,
                key: &one.key,
                kind: one.kind,
                resolution: one.resolution,
            })?;
        }
        let range = (order.from, order.until);
        store.history().visit(series, range, |one, samples| {
            Ok::<(), Error>(table.samples(one.id.number(), samples)?)
        })?;
        table.finish()?;
        io::copy(&mut File::open(&file)?, to)?;
        Ok(to.flush()?)
    })();
    // Whatever happened above is the error to tell, not what is left of the file.
    let _ = std::fs::remove_file(&file);
    outcome
}

/// Writes what is gathered once it is more than `limit` bytes.
fn flush(out: &mut Vec<u8>, to: &mut dyn Write, limit: usize) -> Result<(), Error> {
    if out.len() > limit {
        to.write_all(out)?;
        out.clear();
    }
    if limit == 0 {
        to.flush()?;
    }
    Ok(())
}
