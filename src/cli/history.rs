//! `plimsoll history`.

mod at_rest;
mod running;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal as _, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;

use super::output::{self, Format as Shape};
use super::{Outcome, World, client, soundness};
use crate::exchange::name::Wanted;
use crate::model::units::{Bytes, Timestamp};
use crate::store::{MetricCount, Tier, TierStats};
use crate::work::export;

/// Bytes of a pipe or a file that are buffered.
const BUFFER: usize = 1 << 20;
/// Metrics that the count names.
const TOP: u16 = 10;

/// Take samples in and out of the history, count, check and repair it
///
/// On a data folder that no server holds, else through the server that runs on it.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll history import --format csv --data-dir /srv/plimsoll samples.csv
  plimsoll history export --format csv --series 'db1|pg_stat_database_xact_commit_total' --from 2026-03-01
  plimsoll history export --out history.jsonl
  plimsoll history stats --format json
  plimsoll history verify
  plimsoll history repair --data-dir /var/lib/plimsoll --out /srv/repaired")]
pub(super) struct History {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Clone, Subcommand)]
enum Verb {
    Export(Export),
    Import(Import),
    Stats(Stats),
    Verify(Verify),
    Repair(Repair),
}

/// Read every key, value and log frame, and say what does not read; nothing is written
///
/// Asks the server that has the history open, or reads the folder of a stopped one. Exits 0 when all
/// is sound, 1 with problems, 3 when it could not look.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll history verify
  plimsoll history verify --data-dir /var/lib/plimsoll --format json")]
struct Verify {
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = Shape::Text)]
    format: Shape,
}

/// Copy everything that still reads into a new folder, and say what is lost
///
/// The data folder is only read, and no server may have it open. Exits 0 when nothing is lost, 1
/// when something is.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  plimsoll history repair --data-dir /var/lib/plimsoll --out /srv/repaired"
)]
struct Repair {
    /// New folder
    #[arg(long, value_name = "NEWDIR")]
    out: PathBuf,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = Shape::Text)]
    format: Shape,
}

impl History {
    /// Whether it only looks, so that "could not look" is an answer of its own.
    pub(super) fn is_a_look(&self) -> bool {
        matches!(self.verb, Verb::Verify(_))
    }
}

/// Write samples as a file
///
/// jsonl is the whole store, with rollups and records, for a move to another machine; the others
/// are raw samples. A series is written [target|]metric{label="value"}. In CSV a NaN with other bits
/// than the usual ones is bits: and 16 hexadecimal digits; in SQLite it is NULL.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll history export --out history.jsonl
  plimsoll history export --format csv --series '{job=\"node\"}' | zstd > node.csv.zst
  plimsoll history export --format openmetrics --from 2026-03-01 --until 2026-03-02 --out day.om
  plimsoll history export --format sqlite --out samples.sqlite")]
struct Export {
    /// How the file holds them
    #[arg(long, value_enum, default_value_t = Kind::Jsonl)]
    format: Kind,
    /// File to write; default, or -: standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// From this instant on: 2026-03-01, 2026-03-01T12:00:00Z or milliseconds since 1970
    #[arg(long, value_name = "TIME", value_parser = instant)]
    from: Option<Timestamp>,
    /// Up to, but without, this instant
    #[arg(long, value_name = "TIME", value_parser = instant)]
    until: Option<Timestamp>,
    /// Only these series: [target|]metric{label="value"}, of which each part may be left out
    #[arg(long, value_name = "SELECTOR", value_parser = Wanted::read)]
    series: Option<Wanted>,
}

/// Read samples from a file
///
/// csv has the header `series,ts_ms,value`; a series is [target|]metric{label="value"}, and without a
/// target it is that of imports. Any order of lines will do; of two samples of a series at one
/// instant the later line stays. What a name ends in says counter (_total, _count, _sum, _bucket) or
/// gauge. A wrong line ends the import: what stands before it is kept, and said. jsonl is a whole
/// store, for an empty folder: all of it or nothing.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll history import history.jsonl --data-dir new
  plimsoll history import --format csv --data-dir /srv/plimsoll samples.csv
  zstdcat node.om.zst | plimsoll history import --format openmetrics -")]
struct Import {
    /// How the file holds them
    #[arg(long, value_enum, default_value_t = Taken::Jsonl)]
    format: Taken,
    /// Declares that values of new series are exact to a multiple of this, such as 0.001
    #[arg(long, value_name = "STEP", value_parser = resolution)]
    resolution: Option<f64>,
    /// File to read; - for standard input
    file: PathBuf,
}

/// Count series, samples and bytes
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Examples:\n  plimsoll history stats --format json --data-dir /srv/plimsoll"
)]
struct Stats {
    /// For people or for programs
    #[arg(long, value_enum, default_value_t = Shape::Text)]
    format: Shape,
    /// How many metrics to name, those with the most samples first
    #[arg(long, value_name = "N", default_value_t = TOP)]
    top: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A line a sample: series, milliseconds, value
    Csv,
    /// OpenMetrics text, as promtool takes it
    Openmetrics,
    /// A SQLite file with two tables
    Sqlite,
    /// The whole store as lines of JSON
    Jsonl,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Taken {
    /// A line a sample: series, milliseconds, value
    Csv,
    /// OpenMetrics text with times
    Openmetrics,
    /// A whole store as lines of JSON
    Jsonl,
}

impl From<Kind> for export::Format {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Csv => Self::Csv,
            Kind::Openmetrics => Self::OpenMetrics,
            Kind::Sqlite => Self::Sqlite,
            Kind::Jsonl => Self::Jsonl,
        }
    }
}

pub(super) fn run(command: &History, world: &World<'_>) -> anyhow::Result<Outcome> {
    let config = world.load()?;
    match &command.verb {
        Verb::Export(export) => {
            let order = export::Order {
                format: export.format.into(),
                from: export.from.unwrap_or(Timestamp::from_millis(i64::MIN)),
                until: export.until.unwrap_or(Timestamp::from_millis(i64::MAX)),
                wanted: export.series.clone(),
                scratch: std::env::temp_dir(),
            };
            let store = at_rest::open_known(&config)?;
            written(export.out.as_deref(), |to| match &store {
                Some(store) => Ok(export::export(store, &order, to)?),
                None => client::wait(running::export(&config, &order, to)),
            })?;
        }
        Verb::Import(import) => {
            let from = reader(&import.file)
                .with_context(|| format!("cannot read {}", import.file.display()))?;
            match (import.format, import.resolution) {
                (Taken::Jsonl, None) => at_rest::import_store(&config, from)?,
                (Taken::Jsonl, Some(_)) => {
                    anyhow::bail!(
                        "jsonl says itself how exact each series is; leave out --resolution"
                    )
                }
                (format, resolution) => {
                    let samples = match at_rest::open(&config)? {
                        Some(store) => at_rest::import(store, format, from, resolution)?,
                        None => client::wait(running::import(&config, format, from, resolution))?,
                    };
                    tell_all(samples);
                }
            }
        }
        Verb::Verify(verify) => return soundness::verify(verify.format, world),
        Verb::Repair(repair) => return soundness::repair(&repair.out, repair.format, world),
        Verb::Stats(stats) => {
            let census = match at_rest::open_known(&config)? {
                Some(store) => serde_json::to_value(store.census(stats.top.into())?)?,
                None => client::wait(running::stats(&config, stats.top))?,
            };
            return Ok(Outcome::done(match stats.format {
                Shape::Json => output::json(&census)?,
                Shape::Text => shown(&serde_json::from_value(census)?),
            }));
        }
    }
    Ok(Outcome::done(""))
}

fn instant(text: &str) -> Result<Timestamp, String> {
    let parsed = match text.parse() {
        Ok(ms) => Some(Timestamp::from_millis(ms)),
        Err(_) => Timestamp::parse(text)
            .or_else(|_| Timestamp::parse(&format!("{text}T00:00:00Z")))
            .ok(),
    };
    parsed.ok_or_else(|| {
        "write 2026-03-01, 2026-03-01T12:00:00Z or milliseconds since 1970".to_owned()
    })
}

fn resolution(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok();
    value
        .filter(|value| value.is_finite() && *value > 0.0)
        .ok_or_else(|| "write a number above 0, such as 0.001".to_owned())
}

/// Writes to a file that gets its name when it is whole, or to standard output.
fn written(
    path: Option<&Path>,
    write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let Some(path) = path.filter(|path| path.as_os_str() != "-") else {
        let mut to = BufWriter::with_capacity(BUFFER, io::stdout().lock());
        let written = write(&mut to).and_then(|()| Ok(to.flush()?));
        return match written {
            // A reader that has seen enough (`| head`) is no failure.
            Err(error) if is_broken_pipe(&error) => Ok(()),
            other => other,
        };
    };
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let cannot = || format!("cannot write {}", path.display());
    let mut to = BufWriter::with_capacity(BUFFER, File::create(&partial).with_context(cannot)?);
    let outcome = write(&mut to)
        .and_then(|()| Ok(to.flush()?))
        .and_then(|()| Ok(std::fs::rename(&partial, path)?));
    if outcome.is_err() {
        // The failure above is the one to tell.
        let _ = std::fs::remove_file(&partial);
    }
    outcome.with_context(cannot)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe)
    })
}

fn reader(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let from: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path)?)
    };
    Ok(Box::new(BufReader::with_capacity(BUFFER, from)))
}

/// Tells on a terminal how far an import is.
fn tell(samples: u64) {
    if io::stderr().is_terminal() {
        // A closed standard error is no reason to stop.
        let _ = write!(io::stderr(), "{samples:>12} samples\x1b[K\r");
    }
}

/// Says how many samples there were.
fn tell_all(samples: u64) {
    // The same.
    let _ = writeln!(io::stderr(), "imported {samples} samples");
}

/// What people are shown of the count.
#[derive(Debug, Deserialize)]
struct Shown {
    series: u64,
    samples: u64,
    bytes_on_disk: Bytes,
    bytes_per_sample: Option<f64>,
    oldest: Option<Timestamp>,
    newest: Option<Timestamp>,
    tiers: Vec<TierStats>,
    metrics: Vec<MetricCount>,
}

/// The count as lines for people.
fn shown(census: &Shown) -> String {
    let time = |at: Option<Timestamp>| at.map_or("-".to_owned(), |at| at.to_string());
    let each = census
        .bytes_per_sample
        .map_or("-".to_owned(), |bytes| format!("{bytes:.3}"));
    let mut text = format!(
        "series            {}\nsamples           {}\nbytes on disk     {}\nbytes per sample  {each}\n\
         oldest            {}\nnewest            {}\n",
        census.series,
        census.samples,
        census.bytes_on_disk,
        time(census.oldest),
        time(census.newest),
    );
    text.push_str("\ntier        bytes  from\n");
    for tier in &census.tiers {
        let name = match tier.tier {
            None => "raw",
            Some(Tier::FiveMinutes) => "5 min",
            Some(Tier::Hour) => "1 h",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<5}{:>12}  {}", tier.bytes.0, time(tier.oldest));
    }
    if !census.metrics.is_empty() {
        text.push_str("\n     samples  series       bytes  exact to  metric\n");
    }
    for one in &census.metrics {
        let exact = one
            .resolution
            .map_or("bit".to_owned(), |unit| unit.to_string());
        // The same.
        let _ = writeln!(
            text,
            "{:>12}  {:>6}  {:>10}  {exact:>8}  {}",
            one.samples, one.series, one.bytes, one.metric
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_dates_times_or_milliseconds() {
        let wanted = Timestamp::parse("2026-03-01T00:00:00Z").unwrap();
        for text in ["2026-03-01", "2026-03-01T00:00:00Z", "1772323200000"] {
            assert_eq!(instant(text), Ok(wanted));
        }
        assert!(instant("yesterday").is_err());
        assert!(resolution("0").is_err() && resolution("nan").is_err());
    }
}
