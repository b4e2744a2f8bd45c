//! Repair: everything that still reads, from a damaged store into a new folder.
//!
//! For: getting back what is left when a disk or a file system has failed. Not for: finding out
//! whether that is needed (`verify`). Read [`repair`] first, then `salvage`, which copies one
//! database.
//!
//! The damaged folder is only read. In the new one every value was checked, every chunk has its
//! instants and every series a definition, so that it opens and `verify` finds it sound. A series
//! whose definition is lost is called [`RECOVERED`]: its number must not be given to another.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use serde::Serialize;

use super::barrier::Database;
use super::catalogue::{Catalogue, SeriesId};
use super::databases::{CONTROL, JOBS, shape};
use super::disk::{clear, entries, sync_parent};
use super::folder::{make_folder, share_lock, take_lock, write_format};
use super::frame::Frame;
use super::history::History;
use super::keys::{self, CATALOGUE, DATA, DAY_SPAN, GROUP, META, ROWS, SEALED, SPAN, TALLY};
use super::mark::Mark;
use super::op::Op;
use super::pending::last_values;
use super::rollup::{self, GAP, Tier};
use super::salvage::Salvage;
use super::source::{database_names, open_files};
use super::wal;
use super::{Error, Options, Result, Store, journal};
use crate::model::series::{Kind, Labels, SeriesKey};

/// Metric of a series whose definition is lost; its label `series` is its number.
pub const RECOVERED: &str = "plimsoll_recovered";
/// Name of a target whose own is lost, before its number.
const TARGET: &str = "recovered";

/// What a repair kept, and what it could not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Repair {
    /// Databases that gave something.
    pub databases: u64,
    /// Keys that were kept.
    pub keys: u64,
    /// Sealed samples that were kept.
    pub samples: u64,
    /// Frames of logs that were kept.
    pub frames: u64,
    /// Values of buckets that were made anew from what lies below them.
    pub rebuilt: u64,
    /// What is lost.
    pub losses: Vec<Loss>,
}

/// Something that could not be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Loss {
    /// Database, or the file.
    pub database: String,
    /// Tree, if it is about one.
    pub tree: Option<String>,
    /// The time that it speaks of, as far as its key tells.
    pub span: Option<String>,
    /// Which series, as far as is known.
    pub series: Vec<String>,
    /// What is lost, and why.
    pub what: String,
}

/// Copies what reads of the store in `dir` into the new folder `out`. `dir` stays as it is.
///
/// # Errors
/// [`Error::Locked`] while somebody has the store open, [`Error::NoStore`], [`Error::NotEmpty`]
/// for an `out` that holds something or lies in `dir`, else what the disk says; then `out` is left
/// empty.
pub fn repair(dir: &Path, out: &Path) -> Result<Repair> {
    let _lock = share_lock(dir)?;
    let names = database_names(dir)?;
    if names.is_empty() {
        return Err(Error::NoStore {
            path: dir.to_owned(),
        });
    }
    make_empty(dir, out)?;
    let outcome = copy_all(dir, out, names).and_then(|(repair, known)| rebuild(out, repair, known));
    if outcome.is_err() {
        clear(out)?;
    }
    outcome
}

/// Makes the folder `out`, which must be empty and not in `dir`.
fn make_empty(dir: &Path, out: &Path) -> Result<()> {
    let failed = |e| Error::io(out, e);
    make_folder(out)?;
    let inside = fs::canonicalize(out).map_err(failed)?;
    let dir = fs::canonicalize(dir).map_err(|e| Error::io(dir, e))?;
    if inside.starts_with(&dir) {
        // Nothing was in it, so nothing is lost by taking it away again.
        let _ = fs::remove_dir(out);
        return Err(Error::NotEmpty {
            path: out.to_owned(),
        });
    }
    if entries(out)?.is_empty() {
        Ok(())
    } else {
        Err(Error::NotEmpty {
            path: out.to_owned(),
        })
    }
}

fn copy_all(dir: &Path, out: &Path, mut names: Vec<String>) -> Result<(Repair, bool)> {
    let _lock = take_lock(out)?;
    // The control database first: it says which series there are.
    names.retain(|name| name != CONTROL);
    names.insert(0, CONTROL.to_owned());
    let mut salvage = Salvage::default();
    let control = Database::open(&out.join(CONTROL), shape(CONTROL))?;
    for name in &names {
        let source = match open_files(&dir.join(name)) {
            Ok(Some(source)) => source,
            Ok(None) => {
                salvage.lose(name, None, "its files are missing");
                continue;
            }
            Err(Error::Locked { path, pid }) => return Err(Error::Locked { path, pid }),
            Err(error) => {
                salvage.lose(name, None, format!("its files do not read: {error}"));
                continue;
            }
        };
        if let Err(Error::Corrupt { what, .. }) = Mark::of(&dir.join(name)).check(&dir.join(name)) {
            salvage.lose(name, None, what);
        }
        if name == CONTROL {
            salvage.database(name, &source, &control)?;
            continue;
        }
        let to = Database::open(&out.join(name), shape(name))?;
        salvage.database(name, &source, &to)?;
        to.barrier()?;
    }
    bring_over(&dir.join(JOBS), &out.join(JOBS), &mut salvage)?;
    let logs = dir.join("wal");
    fs::create_dir_all(out.join("wal")).map_err(|e| Error::io(out, e))?;
    let (number, mut kept) = (salvage.sealed, Vec::new());
    for path in entries(&logs)? {
        if let Some(log) = wal::number_of(&path)
            && number.is_none_or(|sealed| log > sealed)
        {
            kept.push((log, path));
        }
    }
    kept.sort();
    for (log, path) in &kept {
        copy_log(*log, path, &out.join("wal"), &mut salvage)?;
    }
    let first = kept.first().map(|(log, _)| *log);
    finish_control(&control, &mut salvage, first)?;
    write_format(out)?;
    let known = salvage.has_unfolded;
    Ok((salvage.finish(), known))
}

/// Brings over what the journal of jobs says that is not in their database yet, or no longer.
fn bring_over(from: &Path, to: &Path, salvage: &mut Salvage) -> Result<()> {
    let groups = match journal::read(from) {
        Ok(groups) if groups.is_empty() => return Ok(()),
        Ok(groups) => groups,
        Err(error) => {
            salvage.lose(JOBS, None, format!("its journal does not read: {error}"));
            return Ok(());
        }
    };
    let to = Database::open(to, shape(JOBS))?;
    to.settle(ROWS, &last_values(groups))?;
    to.barrier()
}

/// Copies a log up to where it is torn; what it defines goes into the catalogue.
fn copy_log(number: u32, path: &Path, to: &Path, salvage: &mut Salvage) -> Result<()> {
    let name = format!("wal/{number:010}.log");
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            salvage.lose(&name, None, format!("it does not read: {error}"));
            return Ok(());
        }
    };
    if bytes.is_empty() {
        salvage.lose(&name, None, "it is empty; whatever it held");
    }
    // A damaged head says nothing that its name does not.
    let whole = wal::with_head(&bytes, number);
    let mut frames = 0;
    let good = wal::read_log(&whole, number, |frame| {
        frames += 1;
        match frame {
            Frame::Target { id, name } => {
                salvage.targets.entry(id).or_insert(name);
            }
            Frame::Series { id, definition } => {
                salvage.series.entry(id).or_insert(definition);
            }
            Frame::Scrape(_) | Frame::Push(_) => {}
        }
    });
    salvage.report.frames += frames;
    if whole.len() > good {
        let after = wal::scrapes_after(&whole, good);
        let what = format!(
            "{} bytes after {frames} frames do not read; {} whole scrapes and ends of pushes among \
             them build on what is lost",
            whole.len() - good,
            after.len()
        );
        salvage.lose(&name, None, what);
        if let (Some(first), Some(last), Some(loss)) = (
            after.first(),
            after.last(),
            salvage.report.losses.last_mut(),
        ) {
            loss.span = Some(format!("{first} to {last}"));
        }
    }
    let path = wal::path_of(to, number);
    let mut file = File::create(&path).map_err(|e| Error::io(&path, e))?;
    file.write_all(whole.get(..good).unwrap_or_default())
        .and_then(|()| file.sync_all())
        .map_err(|e| Error::io(&path, e))?;
    sync_parent(&path)
}

/// Writes the catalogue, the mark and the tallies as they follow from what was kept.
fn finish_control(control: &Database, salvage: &mut Salvage, first_log: Option<u32>) -> Result<()> {
    let mut catalogue = complete_catalogue(salvage);
    let which = catalogue.take_unstored();
    control.write(CATALOGUE, catalogue.definitions(&which))?;
    if salvage.sealed.is_none()
        && let Some(last) = salvage.last_log
    {
        // Without a mark every log would count as new; those that are left come after it.
        let mark = first_log.map_or(last, |first| last.min(first.saturating_sub(1)));
        control.write(META, vec![Op::put(SEALED, mark.to_be_bytes())])?;
        salvage.lose(
            "control",
            Some(META),
            "the mark of the last sealed log; it was made anew",
        );
    }
    let tallies = salvage
        .tallies()
        .into_iter()
        .map(|((day, log), samples)| Op::put(keys::group_key(day, log), samples.to_le_bytes()));
    control.write(TALLY, tallies.collect())?;
    salvage.name_series(&catalogue);
    control.barrier()
}

/// All series that were found or that a chunk names, each of a target.
fn complete_catalogue(salvage: &mut Salvage) -> Catalogue {
    let mut catalogue = Catalogue::default();
    let highest = salvage.owners.values().chain(salvage.targets.keys()).max();
    let series = std::mem::take(&mut salvage.series);
    let owners = series
        .values()
        .filter_map(|d| super::codec::Reader::new(d).varint_u32().ok());
    let highest = owners
        .chain(highest.copied())
        .filter(|id| *id < keys::TARGETS_MAX)
        .max();
    for id in 0..highest.map_or(0, |highest| highest + 1) {
        let known = salvage.targets.get(&id).cloned();
        if known.is_none() {
            let what = format!("the name of target {id}; it is called {TARGET}-{id} now");
            salvage.lose("control", Some(CATALOGUE), what);
        }
        let name = known.unwrap_or_else(|| format!("{TARGET}-{id}"));
        // Numbers ascend without a gap, so this cannot be refused.
        let _ = catalogue.restore_target(id, &name);
    }
    for (id, definition) in &series {
        if let Err(damage) = catalogue.restore_series(*id, definition) {
            salvage.lose(
                "control",
                Some(CATALOGUE),
                format!("series {id}: {}", damage.0),
            );
        }
    }
    for (group, members) in std::mem::take(&mut salvage.used) {
        for member in members {
            let id = group
                .saturating_mul(GROUP)
                .saturating_add(u32::from(member));
            if catalogue.owner(id).is_some() {
                continue;
            }
            let first = group.saturating_mul(GROUP);
            let sister = (first..first.saturating_add(GROUP)).find_map(|id| catalogue.owner(id));
            let owner = sister
                .map(|(target, _)| target)
                .or(salvage.owners.get(&group).copied());
            let target = owner.unwrap_or_else(|| {
                // More than 65 535 targets cannot be, so there is room for one.
                catalogue.target_or_new(TARGET).unwrap_or(0)
            });
            let labels = Labels::none().with("series", id.to_string());
            let key = SeriesKey {
                metric: RECOVERED.into(),
                labels,
            };
            let what = match catalogue.restore_as(id, target, (Kind::Gauge, None), &key) {
                Ok(()) => format!("the definition of series {id}; it is called {key} now"),
                Err(damage) => format!("the definition of series {id}: {}", damage.0),
            };
            salvage.lose("control", Some(CATALOGUE), what);
        }
    }
    catalogue
}

/// Makes buckets anew where what lies below them is there. Hours are folded on reading, and for
/// good at the next ticks; `known` says whether it is known of which days they are behind.
fn rebuild(out: &Path, mut repair: Repair, known: bool) -> Result<Repair> {
    let store = Store::open(Options::in_dir(out))?;
    let history = store.history();
    repair.rebuilt = history.rebuild_minutes()? + history.note_missing_hours(known)?;
    history.settle()?;
    store.sync()?;
    Ok(repair)
}

type Places = BTreeSet<(u32, u32)>;

impl History {
    /// Spans and groups that have values in a part.
    fn places(&self, part: &str) -> Result<Places> {
        let mut places = Places::new();
        if let Some(database) = self.databases.find(part)? {
            database.scan(DATA, &[], |key, value| {
                let place = key.first_chunk::<8>().and_then(|k| keys::read_group_key(k));
                let place = place.filter(|(_, group)| !value.is_empty() && !keys::is_times(*group));
                places.extend(place);
                Ok(())
            })?;
        }
        Ok(places)
    }

    fn names_of(&self, prefix: &str) -> Result<Vec<String>> {
        let mut names = self.databases.names()?;
        names.retain(|name| name.starts_with(prefix));
        Ok(names)
    }

    fn members(&self, group: u32) -> Vec<(u32, Kind)> {
        let head = self.head();
        let first = group.saturating_mul(GROUP);
        (first..first.saturating_add(GROUP))
            .filter_map(|id| Some((id, head.catalogue.owner(id)?.1)))
            .collect()
    }

    /// Folds raw samples whose 5 min buckets are not there, into hours as well.
    fn rebuild_minutes(&self) -> Result<u64> {
        let mut rebuilt = 0;
        for day in self.names_of("raw-")? {
            let Some((start, _)) = keys::part_bounds(&day) else {
                continue;
            };
            let missing = &self.places(&day)? - &self.places(&keys::minutes_part(start))?;
            for (span, group) in missing {
                let start = keys::span_start(span, SPAN);
                for (id, kind) in self.members(group) {
                    let lead = start.minus(GAP.as_duration());
                    let end = start.plus(SPAN.as_duration());
                    let samples = self.raw(SeriesId(id), lead, end)?;
                    let samples: Vec<(i64, f64)> = samples
                        .into_iter()
                        .map(|(at, value)| (at.as_millis(), value))
                        .collect();
                    let split = samples.partition_point(|(at, _)| *at < start.as_millis());
                    let (before, within) = samples.split_at(split);
                    let before = before.last().copied();
                    let buckets = rollup::fold(within, kind, before, Tier::FiveMinutes.step());
                    self.write_buckets(id, Tier::FiveMinutes, &buckets)?;
                }
                rebuilt += 1;
            }
            self.databases.close_idle();
        }
        Ok(rebuilt)
    }

    /// Notes the days whose hours are not there though their five minutes are.
    fn note_missing_hours(&self, known: bool) -> Result<u64> {
        let behind: BTreeSet<u32> = self.unfolded().into_iter().collect();
        let mut folded = Places::new();
        for year in self.names_of("r1h-")? {
            folded.extend(self.places(&year)?);
            self.databases.close_idle();
        }
        let mut missing = 0;
        for month in self.names_of("r5m-")? {
            let day_of = |(span, group)| {
                let day = keys::span_of(keys::span_start(span, SPAN), DAY_SPAN);
                day.map(|day| (day, group))
            };
            let days: Places = self
                .places(&month)?
                .into_iter()
                .filter_map(day_of)
                .collect();
            for (day, group) in days {
                let is_missing = !folded.contains(&(day, group)) && !behind.contains(&day);
                missing += u64::from(is_missing);
                if is_missing || !known {
                    self.note_unfolded(keys::span_start(day, DAY_SPAN));
                }
            }
            self.databases.close_idle();
        }
        self.control.write(META, vec![self.unfolded_op()])?;
        Ok(missing)
    }
}
