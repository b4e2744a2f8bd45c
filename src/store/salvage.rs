//! Copying what reads of one database into another.
//!
//! For: `repair`. Not for: the logs and the catalogue as a whole, which concern all databases
//! (`repair`). Read [`Salvage::database`] first.

use std::collections::{BTreeMap, BTreeSet};

use super::Result;
use super::barrier::Database;
use super::catalogue::Catalogue;
use super::codec;
use super::content::{Content, Tree, count, shown, when};
use super::databases::{CONTROL, JOBS};
use super::keys::{
    self, CATALOGUE, DATA, GROUP, LAST, META, RECORDS, ROWS, SEALED, SYNTHETIC, TALLY, UNFOLDED,
};
use super::leaves::Leaves;
use super::op::Op;
use super::repair::{Loss, Repair};
use super::source::{Source, hole_in_time};
use super::walk::{self, Found, Span, Walk};

/// Writes that are gathered before they go to the database.
const AT_ONCE: usize = 128;

/// What was found so far, and what is lost.
#[derive(Debug, Default)]
pub(super) struct Salvage {
    pub(super) report: Repair,
    pub(super) targets: BTreeMap<u32, String>,
    pub(super) series: BTreeMap<u32, Vec<u8>>,
    /// Members of each group that chunks and buckets name.
    pub(super) used: BTreeMap<u32, BTreeSet<u8>>,
    /// Whose instants a group's rows fit, where the catalogue does not tell.
    pub(super) owners: BTreeMap<u32, u32>,
    /// The mark of the last sealed log.
    pub(super) sealed: Option<u32>,
    /// Whether the days are known whose hours are behind.
    pub(super) has_unfolded: bool,
    /// The highest log that a chunk names.
    pub(super) last_log: Option<u32>,
    tallied: BTreeMap<(u32, u32), u64>,
    counted: BTreeMap<(u32, u32), u64>,
    /// Groups of losses whose series are named in the end.
    unnamed: Vec<(usize, u32)>,
}

/// What goes into one tree.
struct Writer<'a> {
    at: Tree<'a>,
    to: &'a Database,
    ops: Vec<Op>,
}

impl<'a> Writer<'a> {
    fn into(to: &'a Database, at: Tree<'a>) -> Self {
        let ops = Vec::new();
        Self { at, to, ops }
    }

    fn put(&mut self, op: Op) -> Result<()> {
        self.ops.push(op);
        if self.ops.len() >= AT_ONCE {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.to.write(self.at.name, std::mem::take(&mut self.ops))
    }
}

impl Salvage {
    /// Notes a loss.
    pub(super) fn lose(&mut self, database: &str, tree: Option<&str>, what: impl Into<String>) {
        self.report.losses.push(Loss {
            database: database.to_owned(),
            tree: tree.map(str::to_owned),
            span: None,
            series: Vec::new(),
            what: what.into(),
        });
    }

    /// Notes the loss of one key.
    fn lose_key(&mut self, at: Tree<'_>, key: &[u8], what: &str) {
        let span = when(at, key).map(|(at, len)| format!("{at} to {}", at.plus(len.as_duration())));
        let text = format!("{what}; key {}", shown(at, key));
        self.lose(at.database, Some(at.name), text);
        if let Some(loss) = self.report.losses.last_mut() {
            loss.span = span;
        }
        if at.has_groups()
            && let Some((_, group)) = key.first_chunk::<8>().and_then(|k| keys::read_group_key(k))
        {
            self.unnamed.push((self.report.losses.len() - 1, group));
        }
    }

    /// Copies what reads of a database.
    pub(super) fn database(&mut self, name: &str, source: &Source, to: &Database) -> Result<()> {
        self.report.databases += 1;
        for tree in &walk::trees(source) {
            let at = Tree {
                database: name,
                name: tree,
            };
            let (mut walk, mut writer) = (Walk::through(at), Writer::into(to, at));
            let holes = source.scan(tree, |key, value| {
                walk.entry(key, value, |found| self.take(&mut writer, found))
            })?;
            walk.finish(|found| self.take(&mut writer, found))?;
            writer.flush()?;
            for hole in holes {
                let until = if hole.1.is_empty() {
                    "the end".to_owned()
                } else {
                    shown(at, &hole.1)
                };
                let what = format!(
                    "keys from {} to {until} do not read, or not all",
                    shown(at, &hole.0)
                );
                self.lose(name, Some(tree), what);
                if let Some(loss) = self.report.losses.last_mut() {
                    loss.span = hole_in_time(at, &hole);
                }
            }
        }
        if let Source::Files(leaves) = source {
            self.files(name, leaves, to)?;
        }
        Ok(())
    }

    /// What the files tell beside their content, and keys whose tree is not known any more.
    fn files(&mut self, name: &str, leaves: &Leaves, to: &Database) -> Result<()> {
        for tear in leaves.pages().tears() {
            let what = format!(
                "{} bytes at {} of its file do not read; what they held is lost unless it is \
                 named here",
                tear.len, tear.offset
            );
            self.lose(name, None, what);
        }
        if leaves.lost_list {
            let what = "its list of trees does not read; keys went where they belong by their form";
            self.lose(name, None, what);
        }
        for fault in leaves.pages().faults() {
            self.lose(name, None, *fault);
        }
        let lost = leaves.pages().lost().len();
        if lost > 0 {
            let what = format!("{lost} pages are older than they once were");
            self.lose(name, None, what);
        }
        // Sorted again by tree and key, so that spans and records come together.
        let mut homeless: BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>> = BTreeMap::new();
        leaves.orphans(|key, value| {
            if let Some(tree) = home(name, key, value)
                && to.get(&tree, key)?.is_none()
            {
                let tree = homeless.entry(tree).or_default();
                tree.insert(key.to_vec(), value.to_vec());
            }
            Ok(())
        })?;
        for (tree, entries) in homeless {
            let at = Tree {
                database: name,
                name: &tree,
            };
            let (mut walk, mut writer) = (Walk::through(at), Writer::into(to, at));
            for (key, value) in &entries {
                walk.entry(key, value, |found| self.take(&mut writer, found))?;
            }
            walk.finish(|found| self.take(&mut writer, found))?;
            writer.flush()?;
        }
        Ok(())
    }

    fn take(&mut self, writer: &mut Writer<'_>, found: Found<'_>) -> Result<()> {
        match found {
            Found::Damage { key, damage } => {
                self.lose_key(writer.at, key, damage.0);
                Ok(())
            }
            Found::Value {
                key,
                value,
                content,
            } => self.value(writer, (key, value), content),
            Found::Span(span) => self.span(writer, span),
            Found::Record(parts) => self.record(writer, parts),
        }
    }

    /// Keeps a value that reads, or what it says where that is written in the end.
    fn value(
        &mut self,
        writer: &mut Writer<'_>,
        (key, value): (&[u8], &[u8]),
        content: Content,
    ) -> Result<()> {
        match content {
            Content::Place { log } => {
                if self.sealed.is_some_and(|sealed| log <= sealed) {
                    let what = "its chunk was sealed, and is not there";
                    self.lose_key(writer.at, key, what);
                }
                return Ok(());
            }
            Content::Target(id, text) => {
                self.targets.insert(id, text);
                return Ok(());
            }
            Content::Series(id, definition) => {
                self.series.insert(id, definition);
                return Ok(());
            }
            // Written in the end, as what was kept makes them.
            Content::Tally { day, log, samples } => {
                self.tallied.insert((day, log), samples);
                return Ok(());
            }
            Content::Buckets { group, members } => {
                self.used.entry(group).or_default().extend(members);
            }
            Content::Sealed(log) => self.sealed = Some(log),
            Content::Unfolded => self.has_unfolded = true,
            Content::Times { .. } | Content::Chunk { .. } | Content::Other => {}
        }
        self.report.keys += 1;
        writer.put(Op::put(key, value))
    }

    /// Keeps the chunks of a span that read with their instants.
    fn span(&mut self, writer: &mut Writer<'_>, span: Span) -> Result<()> {
        let day = keys::day_number(keys::span_start(span.number, keys::SPAN));
        for chunk in span.chunks {
            let of = |target: u32| {
                let times = span.times.get(&(target, chunk.log))?;
                Some((target, count(&chunk.value, times).ok()?))
            };
            let found = if let Some(owner) = self.owner(chunk.group) {
                of(owner)
            } else {
                let mut all = span.times.keys().filter(|(_, log)| *log == chunk.log);
                all.find_map(|(target, _)| of(*target))
            };
            let Some((owner, samples)) = found else {
                let what = "a chunk that does not read with its instants";
                self.lose_key(writer.at, &chunk.key, what);
                continue;
            };
            self.owners.entry(chunk.group).or_insert(owner);
            self.used
                .entry(chunk.group)
                .or_default()
                .extend(chunk.members);
            self.report.samples += samples;
            self.report.keys += 1;
            *self.counted.entry((day, chunk.log)).or_default() += samples;
            self.last_log = self.last_log.max(Some(chunk.log));
            writer.put(Op::put(chunk.key, chunk.value))?;
        }
        Ok(())
    }

    /// The target of a group, as the definitions of its members tell.
    fn owner(&self, group: u32) -> Option<u32> {
        let first = group.saturating_mul(GROUP);
        let mut members = self.series.range(first..first.saturating_add(GROUP));
        let known = members.find_map(|(_, d)| codec::Reader::new(d).varint_u32().ok());
        known.or(self.owners.get(&group).copied())
    }

    /// Keeps a record wholly or not.
    fn record(&mut self, writer: &mut Writer<'_>, parts: &[(Vec<u8>, Vec<u8>)]) -> Result<()> {
        let Some((first, _)) = parts.first() else {
            return Ok(());
        };
        let sealed: Vec<u8> = parts.iter().flat_map(|(_, part)| part).copied().collect();
        let is_named = keys::read_record_key(first).is_some_and(|(_, _, part)| part == 0);
        if !is_named || codec::open(&sealed).is_err() {
            self.lose_key(writer.at, first, "a record that does not read");
            return Ok(());
        }
        // In one batch: a record is there wholly or not.
        writer.flush()?;
        self.report.keys += parts.len() as u64;
        writer.ops = parts
            .iter()
            .map(|(key, value)| Op::put(key, value.as_slice()))
            .collect();
        writer.flush()
    }

    /// Samples by day and log, as they are now; what is fewer than once is lost.
    pub(super) fn tallies(&mut self) -> BTreeMap<(u32, u32), u64> {
        for ((day, log), samples) in std::mem::take(&mut self.tallied) {
            let found = self.counted.get(&(day, log)).copied().unwrap_or(0);
            if found < samples {
                let what = format!(
                    "{} of {samples} samples that log {log} brought",
                    samples - found
                );
                self.lose("control", Some(&format!("raw-{day:08}")), what);
            }
        }
        std::mem::take(&mut self.counted)
    }

    /// Names the series of losses, now that all are known.
    pub(super) fn name_series(&mut self, catalogue: &Catalogue) {
        for (loss, group) in std::mem::take(&mut self.unnamed) {
            let first = group.saturating_mul(GROUP);
            let ids = first..first.saturating_add(GROUP);
            let named = ids.filter_map(|id| catalogue.series(id));
            if let Some(loss) = self.report.losses.get_mut(loss) {
                loss.series = named
                    .map(|s| format!("{} of {}", s.key, s.target))
                    .collect();
            }
        }
    }

    /// The report.
    pub(super) fn finish(self) -> Repair {
        self.report
    }
}

/// The tree that a key must have come from, where the database no longer tells.
fn home(database: &str, key: &[u8], value: &[u8]) -> Option<String> {
    if database == JOBS {
        return Some(ROWS.to_owned());
    }
    if database != CONTROL {
        return home_of_samples(database, key);
    }
    let tree = match key.len() {
        _ if key == SEALED || key == UNFOLDED => META,
        4 if codec::open(value).is_ok_and(|payload| payload.len() == 16) => SYNTHETIC,
        4 => LAST,
        5 if matches!(key.first(), Some(b't' | b's')) => CATALOGUE,
        8 if value.len() == 8 => TALLY,
        _ if keys::read_record_key(key).is_some() => RECORDS,
        _ => return None,
    };
    Some(tree.to_owned())
}

fn home_of_samples(database: &str, key: &[u8]) -> Option<String> {
    let tree = match (database.get(..4)?, key.len()) {
        ("raw-", 12) | ("r5m-" | "r1h-", 8) => DATA,
        ("r5m-", _) => keys::SKETCHES_5M,
        ("r1h-", _) => keys::SKETCHES_1H,
        _ => return None,
    };
    Some(tree.to_owned())
}
