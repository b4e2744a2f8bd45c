//! `plimsoll forecast --input`: series from a file, without a server.

mod destination;
mod json;
mod overview;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::forecast::{Format, usage};
use super::table::Paint;
use super::{FAILED, OK, Outcome, World};
use crate::config::parse_duration;
use crate::exchange::gzip::unpacked;
use crate::exchange::projection::{
    CROSSINGS, Percent, Projection, heading, put_meetings, put_rows,
};
use crate::exchange::sequence::{Axis, Sequences};
use crate::exchange::thresholds::{self, Thresholds};
use crate::model::units::Millis;
use crate::work::extend::{
    Answer, Done, Every, Fold, HORIZON_MAX, Order, Progress, Refusal, Taker, extend,
};
use destination::Destination;
use overview::{Overview, Row};

/// Bands that are shown at most.
const LEVELS_MAX: usize = 20;
/// Periods that may be given.
const PERIODS_MAX: usize = 8;
/// Characters of the bar of progress.
const BAR: usize = 24;

/// A file of series, and what is asked of them.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Series of your own (no server needed)")]
pub(super) struct Input {
    /// Forecast the series of a CSV file, also packed with gzip; - reads standard input
    ///
    /// Columns series,step,y or series,ts,y in any order, rows of one series together and in order. A
    /// step is a whole number, counted from anywhere; ts is RFC 3339, a date, a date and a time (UTC),
    /// or seconds or milliseconds since 1970. A skipped step or an empty y is a missing value. CSV comes
    /// out as series,step,mean,lo80,hi80,lo95,hi95 (the levels asked for), step going on from the last;
    /// ts in RFC 3339 where ts came in.
    #[arg(
        id = "input",
        long = "input",
        value_name = "FILE",
        requires = "horizon"
    )]
    #[arg(conflicts_with_all = ["resource", "target", "months", "before", "what_if"])]
    pub(super) file: Option<PathBuf>,
    /// Steps ahead, 1 to 100000
    #[arg(long, value_name = "N", requires = "input", conflicts_with = "resource", value_parser = horizon)]
    horizon: Option<usize>,
    /// Periods in steps, such as 24,168 for hours, and no others; default: each series' own are found; 1: none
    #[arg(
        long,
        value_name = "N,…",
        requires = "input",
        conflicts_with = "resource"
    )]
    #[arg(value_delimiter = ',', value_parser = period)]
    period: Vec<usize>,
    /// Take finer values together before: to hours, days or weeks that end with the last value
    ///
    /// The horizon, --period and the answer's steps then count these; one that holds less than a
    /// third of its values is missing. The series' own step is that of ts, or --step.
    #[arg(long, value_enum, requires = "input", conflicts_with = "resource")]
    every: Option<Length>,
    /// What of the values taken together counts: their mean, the 95 % quantile or the largest
    #[arg(long, value_enum, requires = "every", conflicts_with = "resource")]
    #[arg(default_value = "mean")]
    by: By,
    /// Bands, in percent of the futures
    #[arg(
        long,
        value_name = "PERCENT,…",
        requires = "input",
        conflicts_with = "resource"
    )]
    #[arg(value_delimiter = ',', value_parser = Percent::read, default_value = "80,95")]
    levels: Vec<Percent>,
    /// CSV of series,threshold, several a series if you like: when is each met from below?
    #[arg(long, value_name = "FILE", requires_all = ["input", "crossings_out"], conflicts_with = "resource")]
    thresholds: Option<PathBuf>,
    /// Writes when as CSV: `series,threshold,p_cross,days_p10,days_p50,days_p90`
    ///
    /// `p_cross` is the probability within the horizon; the quantiles are days after the last value
    /// (steps, where the length of a step is not known), empty beyond the horizon.
    #[arg(long, value_name = "FILE", requires_all = ["input", "thresholds"], conflicts_with = "resource")]
    crossings_out: Option<PathBuf>,
    /// How long a remedy takes from the decision on: --format json then says by when to act
    #[arg(
        long,
        value_name = "LENGTH",
        requires = "input",
        conflicts_with = "resource"
    )]
    #[arg(value_parser = parse_duration, default_value = "30d")]
    lead_time: Millis,
    /// File to write, whole or not at all; default, or -: standard output
    #[arg(
        long,
        value_name = "FILE",
        requires = "input",
        conflicts_with = "resource"
    )]
    out: Option<PathBuf>,
    /// Name a series that cannot be used, leave it out and go on; the exit code is then 1
    #[arg(long, requires = "input", conflicts_with = "resource")]
    keep_going: bool,
}

/// What values are taken together to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Length {
    Hour,
    Day,
    Week,
}

/// By what they are taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    Mean,
    P95,
    Max,
}

impl Input {
    fn every(&self) -> Option<Every> {
        let step = match self.every? {
            Length::Hour => Millis::HOUR,
            Length::Day => Millis::DAY,
            Length::Week => Millis(7 * Millis::DAY.0),
        };
        let fold = match self.by {
            By::Mean => Fold::Mean,
            By::P95 => Fold::P95,
            By::Max => Fold::Max,
        };
        Some(Every { step, fold })
    }
}

fn horizon(text: &str) -> Result<usize, String> {
    let steps = text.parse().ok();
    steps
        .filter(|steps| (1..=HORIZON_MAX).contains(steps))
        .ok_or_else(|| format!("write a number of steps from 1 to {HORIZON_MAX}"))
}

fn period(text: &str) -> Result<usize, String> {
    let steps = text.trim().parse().ok();
    steps
        .filter(|steps| *steps > 0)
        .ok_or_else(|| "write numbers of steps above 0, such as 24,168".to_owned())
}

/// What else was said on the command line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The file of series.
    pub(super) path: &'a Path,
    /// Distance of values.
    pub(super) step: Option<Millis>,
    /// How to show the answers.
    pub(super) format: Option<Format>,
}

/// Forecasts the series of a file.
pub(super) fn run(input: &Input, asked: &Asked<'_>, world: &World<'_>) -> anyhow::Result<Outcome> {
    let path = asked.path;
    let format = asked.format.unwrap_or_else(|| {
        if input.out.is_none() && io::stdout().is_terminal() {
            Format::Table
        } else {
            Format::Csv
        }
    });
    let levels = levels(&input.levels, format)?;
    check(input)?;
    let cannot = || format!("cannot read {}", shown(path));
    let (file, meter) = open(path).with_context(cannot)?;
    let sequences = Sequences::new(file, asked.step).with_context(cannot)?;
    let thresholds = match &input.thresholds {
        Some(path) => read_thresholds(path)?,
        None => Thresholds::new(),
    };
    let axis = sequences.axis();
    warn_of_columns(&sequences.ignored(), axis);
    let order = Order {
        horizon: input.horizon.unwrap_or(HORIZON_MAX),
        levels: levels.iter().map(|level| level.level()).collect(),
        periods: input.period.clone(),
        thresholds,
        tells_past: format == Format::Json,
        every: input.every(),
        keep_going: input.keep_going,
        read: Arc::clone(&meter.read),
        ..Order::default()
    };
    let knows_step = axis == Axis::Times || asked.step.is_some();
    let paint = if input.out.is_none() {
        world.paint
    } else {
        Paint::new(false)
    };
    let mut writer = Writer {
        out: to(input.out.as_deref())?,
        crossings: match &input.crossings_out {
            Some(path) => Some(to(Some(path))?),
            None => None,
        },
        overview: Overview::new(knows_step, input.thresholds.is_some(), paint),
        meter,
    };
    if format == Format::Csv {
        writer.out.put(heading(axis, &levels).as_bytes())?;
    }
    if let Some(crossings) = &mut writer.crossings {
        crossings.put(CROSSINGS.as_bytes())?;
    }
    let lead = input.lead_time;
    let done = extend(
        sequences,
        order,
        move |answer| shaped(answer, format, lead),
        &mut writer,
    );
    Writer::clear();
    let done = done.with_context(|| format!("{}: nothing was written", shown(path)))?;
    warn_of_periods(&done);
    writer.finish()?;
    Ok(Outcome {
        text: Vec::new(),
        code: if done.left_out > 0 { FAILED } else { OK },
    })
}

/// What clap does not check.
fn check(input: &Input) -> anyhow::Result<()> {
    if input.period.len() > PERIODS_MAX {
        return Err(usage(&format!(
            "--period takes at most {PERIODS_MAX} periods"
        )));
    }
    let out = input.out.as_deref().unwrap_or(Path::new("-"));
    if input.crossings_out.as_deref() == Some(out) {
        let what = "--out and --crossings-out name the same file; give each its own";
        return Err(usage(what));
    }
    Ok(())
}

fn shown(path: &Path) -> String {
    if path.as_os_str() == "-" {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    }
}

/// Levels in rising order, each once; a table shows the 80 % band.
fn levels(asked: &[Percent], format: Format) -> anyhow::Result<Vec<Percent>> {
    let mut levels = asked.to_vec();
    if format == Format::Table {
        levels.extend(Percent::read("80"));
    }
    levels.sort_by(|a, b| a.level().get().total_cmp(&b.level().get()));
    levels.dedup();
    if levels.len() > LEVELS_MAX {
        return Err(usage(&format!(
            "--levels takes at most {LEVELS_MAX} levels"
        )));
    }
    Ok(levels)
}

fn read_thresholds(path: &Path) -> anyhow::Result<Thresholds> {
    let cannot = || format!("cannot read {}", path.display());
    let (file, _) = open(path).with_context(cannot)?;
    thresholds::read(file).with_context(cannot)
}

fn to(path: Option<&Path>) -> anyhow::Result<Destination> {
    Destination::open(path).with_context(|| {
        let path = path.unwrap_or(Path::new("standard output"));
        format!("cannot write {}", path.display())
    })
}

fn warn_of_columns(ignored: &[&str], axis: Axis) {
    if !ignored.is_empty() {
        let names = ignored.join(", ");
        let axis = axis.name();
        // A closed standard error is no reason to stop.
        let _ = writeln!(
            io::stderr(),
            "plimsoll: only series, {axis} and y are read; ignored: {names}"
        );
    }
}

fn warn_of_periods(done: &Done) {
    for (period, (series, first)) in &done.too_long {
        // The same.
        let _ = writeln!(
            io::stderr(),
            "plimsoll: a period of {period} steps is longer than the data of {series} series, \
             the first is {first:?}; it was not used there"
        );
    }
}

/// What of an answer is to be written.
enum Shaped {
    Lines(anyhow::Result<Vec<u8>>, Vec<u8>),
    Row(Row, Vec<u8>),
}

fn shaped(answer: &Answer<'_>, format: Format, lead: Millis) -> Shaped {
    let mut crossings = Vec::new();
    let name = &answer.sequence.name;
    put_meetings(&mut crossings, name, &answer.meetings);
    match format {
        Format::Table => Shaped::Row(overview::row(answer), crossings),
        Format::Json => Shaped::Lines(json::line(answer, lead).map_err(Into::into), crossings),
        Format::Csv => {
            let bands = answer.extension.bands.iter();
            let projection = Projection {
                series: name,
                end: answer.sequence.end,
                mean: &answer.extension.mean,
                bands: bands.map(|band| (&band.lo[..], &band.hi[..])).collect(),
            };
            let mut rows = Vec::new();
            put_rows(&mut rows, &projection);
            Shaped::Lines(Ok(rows), crossings)
        }
    }
}

/// Writes answers, and tells how far it is.
struct Writer {
    out: Destination,
    crossings: Option<Destination>,
    overview: Overview,
    meter: Meter,
}

impl Taker<Shaped> for Writer {
    fn take(&mut self, answer: Shaped) -> io::Result<()> {
        let crossings = match answer {
            Shaped::Lines(lines, crossings) => {
                self.out.put(&lines.map_err(io::Error::other)?)?;
                crossings
            }
            Shaped::Row(row, crossings) => {
                if let Some(page) = self.overview.add(row) {
                    self.out.put(page.as_bytes())?;
                }
                crossings
            }
        };
        match &mut self.crossings {
            Some(to) => to.put(&crossings),
            None => Ok(()),
        }
    }

    fn leave_out(&mut self, why: &Refusal) {
        Self::clear();
        // A closed standard error is no reason to stop.
        let _ = writeln!(io::stderr(), "plimsoll: left out: {why}");
    }

    fn tell(&mut self, progress: Progress) {
        if io::stderr().is_terminal() {
            // The same.
            let _ = write!(io::stderr(), "{}\x1b[K\r", self.meter.bar(progress));
        }
    }
}

impl Writer {
    /// Takes the bar of progress away.
    fn clear() {
        if io::stderr().is_terminal() {
            // The same.
            let _ = write!(io::stderr(), "\x1b[K");
        }
    }

    /// Shows all that was written, both files or none.
    fn finish(mut self) -> anyhow::Result<()> {
        let rest = self.overview.rest();
        let cannot = "the answers cannot be written";
        let put = rest.map_or(Ok(()), |rest| self.out.put(rest.as_bytes()));
        put.and_then(|()| self.out.sync()).context(cannot)?;
        if let Some(mut crossings) = self.crossings.take() {
            let synced = crossings.sync();
            synced.and_then(|()| crossings.finish()).context(cannot)?;
        }
        self.out.finish().context(cannot)
    }
}

/// How much of a file has been read.
#[derive(Debug, Clone, Default)]
struct Meter {
    read: Arc<AtomicU64>,
    /// Nothing for a pipe.
    size: Option<u64>,
}

impl Meter {
    /// Series done and their rate, and a bar where the size of the file is known.
    fn bar(&self, progress: Progress) -> String {
        let seconds = progress.elapsed.as_secs_f64().max(1e-3);
        let rate = progress.series as f64 / seconds;
        let mut text = String::new();
        if let Some(size) = self.size.filter(|size| *size > 0) {
            let share = (progress.read as f64 / size as f64).min(1.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a length"
            )]
            let full = (share * BAR as f64) as usize;
            let (full, empty) = ("█".repeat(full), "·".repeat(BAR - full.min(BAR)));
            // Writing to a String cannot fail.
            let _ = write!(text, "{full}{empty} {:>3.0} %  ", share * 100.0);
        }
        let _ = write!(text, "{} series, {rate:.0} a second", progress.series);
        text
    }
}

/// Counts what is read.
struct Counted<R>(R, Arc<AtomicU64>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(into)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

fn open(path: &Path) -> io::Result<(Box<dyn Read + Send>, Meter)> {
    if path.as_os_str() == "-" {
        return Ok((unpacked(io::stdin())?, Meter::default()));
    }
    let file = File::open(path)?;
    let found = file.metadata()?;
    if found.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let meter = Meter {
        read: Arc::default(),
        size: found.is_file().then_some(found.len()),
    };
    let counted = Counted(file, Arc::clone(&meter.read));
    Ok((unpacked(counted)?, meter))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_bar_shows_share_series_and_rate() {
        let progress = Progress {
            series: 500,
            read: 50,
            elapsed: Duration::from_secs(2),
        };
        assert_eq!(Meter::default().bar(progress), "500 series, 250 a second");
        let meter = Meter {
            read: Arc::default(),
            size: Some(100),
        };
        let bar = meter.bar(progress);
        assert!(bar.contains("  50 %  500 series"), "{bar}");
        assert_eq!(bar.matches('█').count(), BAR / 2);
        assert_eq!(bar.matches('·').count(), BAR / 2);
    }

    #[test]
    fn levels_come_in_rising_order_each_once() {
        let asked = ["95", "50", "95"].map(|text| Percent::read(text).unwrap());
        let shown = |format| {
            let levels = levels(&asked, format).unwrap();
            levels.iter().map(Percent::to_string).collect::<Vec<_>>()
        };
        assert_eq!(shown(Format::Csv), ["50", "95"]);
        assert_eq!(shown(Format::Table), ["50", "80", "95"]);
    }
}
