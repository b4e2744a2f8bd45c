//! Export and import: a whole store as lines of JSON.
//!
//! For: moving a store to another format, engine or machine, and looking into it with any tool. Not
//! for: daily backups of large stores; text is ten times as long. Read [`Line`] first.
//!
//! The first line is the head with the format, the last the count of lines before it and the CRC-32
//! of their bytes. Between them, in this order: targets, series, synthetic spans, samples (a series
//! and span of 2 h a line, ascending by span), buckets (a series and month or year a line), records.
//! A value is text, the shortest that reads back to the same bits; NaN and infinities are
//! `bits:` and sixteen hexadecimal digits.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::catalogue::{Catalogue, Series, SeriesId};
use super::disk::clear;
use super::keys::{self, SPAN};
use super::rollup::{Bucket, Tier};
use super::segment::Segment;
use super::selector::Selector;
use super::{Error, Options, Result, Store};
use crate::model::capacity::SyntheticSpan;
use crate::model::series::{Kind, Labels, SeriesKey};
use crate::model::units::{Millis, Timestamp};

const FORMAT: u32 = 1;
/// A longer line is none of ours.
const LINE_MAX: u64 = 256 << 20;

/// One line of an export.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Line {
    /// The first line.
    StoreExport { format: u32 },
    /// A target got its number.
    Target { id: u32, name: String },
    /// A series got its number.
    Series {
        id: u32,
        target: u32,
        kind: Kind,
        resolution: Option<Value>,
        metric: String,
        labels: Labels,
    },
    /// A target's history is made up between two instants.
    Synthetic { target: String, span: SyntheticSpan },
    /// Raw samples of a series within one span.
    Samples {
        series: u32,
        at: Vec<i64>,
        values: Vec<Value>,
    },
    /// Buckets of a series: start, min, max, sum, count, last, largest increase, covered ms.
    Buckets {
        series: u32,
        tier: Tier,
        buckets: Vec<Row>,
    },
    /// A record, as the text of its JSON.
    Record {
        kind: String,
        id: String,
        json: String,
    },
    /// The last line.
    End { lines: u64, crc32: u32 },
}

type Row = (i64, Value, Value, Value, u64, Value, Value, u64);

/// A value as text, bit for bit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Value(f64);

impl From<Value> for String {
    fn from(Value(value): Value) -> Self {
        if value.is_finite() {
            format!("{value:?}")
        } else {
            format!("bits:{:016x}", value.to_bits())
        }
    }
}

impl TryFrom<String> for Value {
    type Error = String;
    fn try_from(text: String) -> std::result::Result<Self, String> {
        let value = match text.strip_prefix("bits:") {
            Some(digits) => u64::from_str_radix(digits, 16).ok().map(f64::from_bits),
            None => text.parse().ok(),
        };
        value
            .map(Self)
            .ok_or_else(|| format!("holds {text:?}, which is no value"))
    }
}

/// Writes lines and keeps count of them.
struct Lines<'a, W> {
    to: &'a mut W,
    count: u64,
    crc: crc32fast::Hasher,
}

impl<W: Write> Lines<'_, W> {
    fn put(&mut self, line: &Line) -> Result<()> {
        let failed = |source| Error::io(Path::new("the export"), source);
        let mut text = serde_json::to_vec(line).map_err(|e| failed(e.into()))?;
        text.push(b'\n');
        self.crc.update(&text);
        self.count += 1;
        self.to.write_all(&text).map_err(failed)
    }
}

impl Store {
    /// Writes everything as lines of JSON; the store may be in use meanwhile.
    ///
    /// # Errors
    /// What the disk or the writer says.
    pub fn export(&self, to: &mut impl Write) -> Result<()> {
        let mut lines = Lines {
            to,
            count: 0,
            crc: crc32fast::Hasher::new(),
        };
        lines.put(&Line::StoreExport { format: FORMAT })?;
        let series = self.history.series(&Selector::default());
        let targets = self.history.targets();
        for (id, name) in (0u32..).zip(&targets) {
            lines.put(&Line::Target {
                id,
                name: name.clone(),
            })?;
        }
        for series in &series {
            lines.put(&definition(series, &targets))?;
        }
        for target in &targets {
            if let Some(span) = self.history.synthetic(target) {
                let target = target.clone();
                lines.put(&Line::Synthetic { target, span })?;
            }
        }
        self.export_samples(&series, &mut lines)?;
        for tier in [Tier::FiveMinutes, Tier::Hour] {
            self.export_buckets(&series, tier, &mut lines)?;
        }
        for kind in self.records.kinds()? {
            for (id, json) in self.records.texts(&kind)? {
                let kind = kind.clone();
                lines.put(&Line::Record { kind, id, json })?;
            }
        }
        let end = Line::End {
            lines: lines.count,
            crc32: lines.crc.clone().finalize(),
        };
        lines.put(&end)?;
        lines
            .to
            .flush()
            .map_err(|source| Error::io(Path::new("the export"), source))
    }

    fn export_samples<W: Write>(&self, series: &[Series], lines: &mut Lines<'_, W>) -> Result<()> {
        for span in self.history.raw_spans()? {
            let start = keys::span_start(span, SPAN);
            let end = start.plus(SPAN.as_duration());
            for series in series {
                let samples = self.history.raw(series.id, start, end)?;
                if samples.is_empty() {
                    continue;
                }
                lines.put(&Line::Samples {
                    series: series.id.0,
                    at: samples.iter().map(|(at, _)| at.as_millis()).collect(),
                    values: samples.iter().map(|(_, value)| Value(*value)).collect(),
                })?;
            }
        }
        Ok(())
    }

    fn export_buckets<W: Write>(
        &self,
        series: &[Series],
        tier: Tier,
        lines: &mut Lines<'_, W>,
    ) -> Result<()> {
        for (from, until) in self.history.rollup_ranges(tier)? {
            for series in series {
                let buckets = self.history.rollups(series.id, tier, from, until)?;
                if !buckets.is_empty() {
                    lines.put(&Line::Buckets {
                        series: series.id.0,
                        tier,
                        buckets: buckets.iter().map(row).collect(),
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Reads an export into a new store in an empty or new folder.
    ///
    /// # Errors
    /// [`Error::NotEmpty`]; [`Error::Export`] with the line that does not read, also when the end
    /// is missing or its checksum differs. Then the folder is left empty, as it was.
    pub fn import(options: Options, from: impl BufRead) -> Result<()> {
        let dir = options.dir.clone();
        let listing = fs::read_dir(&dir).map(|mut entries| entries.next().is_none());
        if !listing.unwrap_or(true) {
            return Err(Error::NotEmpty { path: dir });
        }
        let outcome = Self::open(options).and_then(|store| Import::new(&store).run(from));
        if outcome.is_err() {
            clear(&dir)?;
        }
        outcome
    }
}

fn definition(series: &Series, targets: &[String]) -> Line {
    let target = targets.iter().position(|name| *name == series.target);
    Line::Series {
        id: series.id.0,
        target: target
            .and_then(|at| u32::try_from(at).ok())
            .unwrap_or(u32::MAX),
        kind: series.kind,
        resolution: series.resolution.map(Value),
        metric: series.key.metric.clone().into_owned(),
        labels: series.key.labels.clone(),
    }
}

fn row(bucket: &Bucket) -> Row {
    (
        bucket.at.as_millis(),
        Value(bucket.min),
        Value(bucket.max),
        Value(bucket.sum),
        bucket.count,
        Value(bucket.last),
        Value(bucket.max_increase),
        bucket.covered.0,
    )
}

fn bucket((at, min, max, sum, count, last, max_increase, covered): Row) -> Bucket {
    Bucket {
        at: Timestamp::from_millis(at),
        min: min.0,
        max: max.0,
        sum: sum.0,
        count,
        last: last.0,
        max_increase: max_increase.0,
        covered: Millis(covered),
    }
}

/// Reads lines of an export as far as that goes without a store.
pub(super) fn skim(bytes: &[u8]) {
    let mut catalogue = Catalogue::default();
    for text in bytes.split(|byte| *byte == b'\n') {
        match serde_json::from_slice::<Line>(text) {
            Ok(Line::Target { id, name }) => _ = catalogue.restore_target(id, &name),
            Ok(Line::Series {
                id,
                target,
                kind,
                resolution,
                metric,
                labels,
            }) => {
                let key = SeriesKey {
                    metric: metric.into(),
                    labels,
                };
                let kind = (kind, resolution.map(|r| r.0));
                _ = catalogue.restore_as(id, target, kind, &key);
            }
            Ok(Line::Buckets { tier, buckets, .. }) => {
                let buckets: Vec<Bucket> = buckets.into_iter().map(bucket).collect();
                _ = super::history::check_buckets(tier, &buckets);
            }
            _ => {}
        }
    }
}

/// An import under way: samples of one span are gathered, then sealed without a log.
struct Import<'a> {
    store: &'a Store,
    line: u64,
    log: u32,
    span: Option<u32>,
    scrapes: BTreeMap<(u32, i64), Vec<(u32, f64)>>,
}

impl<'a> Import<'a> {
    fn new(store: &'a Store) -> Self {
        Self {
            store,
            line: 0,
            log: 1,
            span: None,
            scrapes: BTreeMap::new(),
        }
    }

    fn wrong(&self, what: impl Into<String>) -> Error {
        Error::Export {
            line: self.line,
            what: what.into(),
        }
    }

    fn run(mut self, mut from: impl BufRead) -> Result<()> {
        let mut crc = crc32fast::Hasher::new();
        let mut text = Vec::new();
        loop {
            self.line += 1;
            text.clear();
            let read = (&mut from).take(LINE_MAX).read_until(b'\n', &mut text);
            read.map_err(|e| Error::io(Path::new("the export"), e))?;
            if text.last() != Some(&b'\n') {
                return Err(self.wrong("is cut off; the export is not whole"));
            }
            let line: Line = serde_json::from_slice(&text)
                .map_err(|e| self.wrong(format!("does not read: {e}")))?;
            let is_head = matches!(line, Line::StoreExport { .. });
            if is_head != (self.line == 1) {
                return Err(self.wrong("is out of place; it is no store export"));
            }
            if let Line::End { lines, crc32 } = line {
                if lines != self.line - 1 || crc32 != crc.finalize() {
                    return Err(self.wrong("says that lines before it were changed or lost"));
                }
                return self.finish();
            }
            crc.update(&text);
            self.take(line)?;
        }
    }

    fn take(&mut self, line: Line) -> Result<()> {
        let history = self.store.history();
        match line {
            Line::StoreExport { format } if format > FORMAT => {
                Err(self.wrong(format!("has format {format}, this release reads {FORMAT}")))
            }
            Line::StoreExport { .. } | Line::End { .. } => Ok(()),
            Line::Target { id, name } => history
                .head_mut()
                .catalogue
                .restore_target(id, &name)
                .map_err(|damage| self.wrong(format!("names {}", damage.0))),
            Line::Series {
                id,
                target,
                kind,
                resolution,
                metric,
                labels,
            } => {
                let key = SeriesKey {
                    metric: metric.into(),
                    labels,
                };
                history
                    .head_mut()
                    .catalogue
                    .restore_as(id, target, (kind, resolution.map(|r| r.0)), &key)
                    .map_err(|damage| self.wrong(format!("names {}", damage.0)))
            }
            Line::Synthetic { target, span } => history.mark_synthetic(&target, span),
            Line::Samples { series, at, values } => self.gather(series, &at, &values),
            Line::Buckets {
                series,
                tier,
                buckets,
            } => {
                self.seal()?;
                let buckets: Vec<Bucket> = buckets.into_iter().map(bucket).collect();
                self.owner(series)?;
                super::history::check_buckets(tier, &buckets)?;
                history.store_definitions()?;
                history.write_buckets(series, tier, &buckets)?;
                if let Some(last) = buckets.last() {
                    history
                        .head_mut()
                        .catalogue
                        .note(series, last.at, last.last);
                }
                Ok(())
            }
            Line::Record { kind, id, json } => {
                serde_json::from_str::<serde::de::IgnoredAny>(&json)
                    .map_err(|e| self.wrong(format!("holds no record: {e}")))?;
                self.store.records().put_text(&kind, &id, json.as_bytes())
            }
        }
    }

    fn owner(&self, series: u32) -> Result<u32> {
        let owner = self.store.history().head().catalogue.owner(series);
        owner
            .map(|(target, _)| target)
            .ok_or_else(|| Error::NoSuchSeries(SeriesId(series)))
    }

    fn gather(&mut self, series: u32, at: &[i64], values: &[Value]) -> Result<()> {
        let target = self.owner(series)?;
        if at.len() != values.len() {
            return Err(self.wrong("has more instants than values, or fewer"));
        }
        for (at, value) in at.iter().zip(values) {
            let when = Timestamp::from_millis(*at);
            let span = keys::span_of(when, SPAN).ok_or(Error::Time(when))?;
            if self.span != Some(span) {
                self.seal()?;
                self.span = Some(span);
            }
            self.scrapes
                .entry((target, *at))
                .or_default()
                .push((series, value.0));
        }
        Ok(())
    }

    fn seal(&mut self) -> Result<()> {
        if self.scrapes.is_empty() {
            return Ok(());
        }
        self.log += 1;
        let mut segment = Segment::new(self.log);
        for ((target, at), values) in std::mem::take(&mut self.scrapes) {
            let at = Timestamp::from_millis(at);
            segment
                .take(target, at, &values)
                .map_err(|damage| self.wrong(format!("has {}", damage.0)))?;
            let mut head = self.store.history().head_mut();
            for (series, value) in values {
                head.catalogue.note(series, at, value);
            }
        }
        self.store.history().rest(&segment)
    }

    fn finish(mut self) -> Result<()> {
        self.seal()?;
        self.store.history().store_definitions()?;
        // An empty segment moves the mark past the log that opening has begun.
        self.store.history().rest(&Segment::new(self.log + 1))?;
        self.store.history().fold_days(None)?;
        self.store.history().settle()?;
        self.store.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_value_keeps_its_bits_as_text(bits: u64) {
            let value = Value(f64::from_bits(bits));
            let back = Value::try_from(String::from(value)).unwrap();
            prop_assert_eq!(back.0.to_bits(), bits);
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        assert!(Value::try_from("bits:xyz".to_owned()).is_err());
        assert!(Value::try_from("one".to_owned()).is_err());
    }
}
