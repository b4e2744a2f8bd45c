//! The portable archive: one SQLite file, written here, read back here or by a person.
//!
//! For: carrying a report to a machine without network or Postgres (`plimsoll report --from`). Not
//! for: the live history (`store`). `sqlite/schema.sql` is the documentation of the format; the file
//! says its version in `meta` and in `PRAGMA user_version`, and whose it is in
//! `PRAGMA application_id`. Reading trusts nothing: a foreign, cut or damaged file is an error that
//! says so. Read [`write()`] first; `rows` fills the tables that are there for people.
#![expect(
    clippy::disallowed_types,
    reason = "this is the module that knows SQLite"
)]

mod rows;
pub mod samples;

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, Transaction, params};

use super::{Error, ReportInput, Result};
use crate::model::series::{Kind, SeriesKey, Window};
use crate::model::units::{Millis, Timestamp};

/// The format written, and the newest that is read. Any change of the schema raises it.
const FORMAT: i64 = 1;

/// `PLIM` in ASCII: SQLite keeps it in the file's header, where `file(1)` finds it, too.
const APPLICATION_ID: i64 = 0x504c_494d;

/// What an SQLite file begins with (SQLite, Database File Format, section 1.3).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Bytes of an SQLite header.
const HEADER: usize = 100;

/// Values that a reader takes into memory at most: a made-up count must not exhaust it.
/// 20 million are 160 MB: fifty series in steps of five minutes for almost four years.
const VALUES_MAX: u64 = 20_000_000;

/// A stretch of one series of one target.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesWindow {
    /// The target's name.
    pub target: String,
    /// Which series.
    pub series: SeriesKey,
    /// Counter or gauge.
    pub kind: Kind,
    /// Its values.
    pub window: Window,
}

/// What an archive holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Archive {
    /// Everything that a report shows.
    pub input: ReportInput,
    /// The history behind it.
    pub windows: Vec<SeriesWindow>,
}

/// Writes an archive; a file that is there already is replaced once the new one is whole.
///
/// Numbers keep every bit in `history`. In the JSON document they are the shortest text that names
/// them, which a reader may take for a neighbour in the last of 53 bits.
///
/// # Errors
/// [`Error::Io`] or [`Error::Sqlite`] if the file cannot be written; nothing is left behind then.
pub fn write(path: &Path, input: &ReportInput, windows: &[SeriesWindow]) -> Result<()> {
    let partial = partial_name(path);
    remove(&partial).map_err(|source| io("written", &partial, source))?;
    let written = fill(&partial, input, windows).and_then(|()| {
        let put = File::open(&partial)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&partial, path));
        put.map_err(|source| io("written", path, source))
    });
    if written.is_err() {
        // The first error is the one to tell; a leftover that cannot be removed changes nothing.
        let _ = remove(&partial);
    }
    written
}

/// Reads an archive back.
///
/// # Errors
/// [`Error::NotAnArchive`], [`Error::Foreign`], [`Error::Truncated`], [`Error::Newer`] or
/// [`Error::Damaged`] for a file that is not a whole archive of this program; [`Error::Io`] if it
/// cannot be read at all.
pub fn read(path: &Path) -> Result<Archive> {
    check_header(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let file = Connection::open_with_flags(path, flags).map_err(|error| damaged(path, &error))?;
    // A file from elsewhere: nothing in its schema may call functions with side effects.
    file.pragma_update(None, "trusted_schema", "OFF")
        .map_err(|error| damaged(path, &error))?;
    let whole: String = file
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| damaged(path, &error))?;
    if whole != "ok" {
        return Err(damaged(path, &whole));
    }
    let input = document(&file).map_err(|what| damaged(path, &what))?;
    let windows = history(&file).map_err(|what| damaged(path, &what))?;
    Ok(Archive { input, windows })
}

fn io(doing: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

fn damaged(path: &Path, what: &impl ToString) -> Error {
    Error::Damaged {
        path: path.to_owned(),
        what: what.to_string(),
    }
}

fn sqlite(path: &Path) -> impl Fn(rusqlite::Error) -> Error + '_ {
    |source| Error::Sqlite {
        path: path.to_owned(),
        source,
    }
}

/// Beside the target, so that the rename stays within one file system.
fn partial_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    path.with_file_name(name)
}

fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn fill(path: &Path, input: &ReportInput, windows: &[SeriesWindow]) -> Result<()> {
    // SQLite's own message for a missing folder is "unable to open database file".
    File::create_new(path).map_err(|source| io("written", path, source))?;
    let fail = sqlite(path);
    let mut file = Connection::open(path).map_err(&fail)?;
    // A partial file that a crash leaves is thrown away, so it needs no journal of its own.
    file.pragma_update(None, "journal_mode", "OFF")
        .map_err(&fail)?;
    file.pragma_update(None, "synchronous", "OFF")
        .map_err(&fail)?;
    file.pragma_update(None, "application_id", APPLICATION_ID)
        .map_err(&fail)?;
    file.pragma_update(None, "user_version", FORMAT)
        .map_err(&fail)?;
    file.execute_batch(include_str!("sqlite/schema.sql"))
        .map_err(&fail)?;
    let json = serde_json::to_string(input).map_err(Error::Json)?;
    let all = file.transaction().map_err(&fail)?;
    meta(&all, input, &json)
        .and_then(|()| rows::write(&all, input))
        .map_err(&fail)?;
    for (id, window) in (1_i64..).zip(windows) {
        write_window(&all, id, window, path)?;
    }
    all.commit().map_err(&fail)?;
    file.close().map_err(|(_, error)| fail(error))
}

fn meta(all: &Transaction<'_>, input: &ReportInput, json: &str) -> rusqlite::Result<()> {
    let facts = [
        ("format_version", FORMAT.to_string()),
        ("generator", input.generator.clone()),
        ("made_at", input.made_at.to_string()),
        (
            "documents_crc32",
            crc32fast::hash(json.as_bytes()).to_string(),
        ),
    ];
    for (key, value) in facts {
        all.execute("INSERT INTO meta VALUES (?1, ?2)", params![key, value])?;
    }
    all.execute("INSERT INTO documents VALUES ('report', ?1)", [json])?;
    Ok(())
}

fn write_window(all: &Transaction<'_>, id: i64, of: &SeriesWindow, path: &Path) -> Result<()> {
    let fail = sqlite(path);
    let key = serde_json::to_string(&of.series).map_err(Error::Json)?;
    let kind = match of.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
    };
    let window = &of.window;
    all.execute(
        "INSERT INTO series VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            id,
            of.target,
            of.series.to_string(),
            key,
            kind,
            window.start.as_millis(),
            i64::try_from(window.step.0).unwrap_or(i64::MAX),
            i64::try_from(window.values.len()).unwrap_or(i64::MAX),
        ],
    )
    .map_err(&fail)?;
    let mut insert = all
        .prepare_cached("INSERT INTO history VALUES (?1, ?2, ?3)")
        .map_err(&fail)?;
    for (step, value) in (0_i64..).zip(&window.values) {
        if !value.is_nan() {
            insert.execute(params![id, step, value]).map_err(&fail)?;
        }
    }
    Ok(())
}

/// Looks at the first 100 bytes before SQLite does, for errors that name the cure.
fn check_header(path: &Path) -> Result<()> {
    let cannot = |source| io("read", path, source);
    let mut header = [0_u8; HEADER];
    let mut start = Vec::with_capacity(HEADER);
    let file = File::open(path).map_err(cannot)?;
    let have = file.metadata().map_err(cannot)?.len();
    file.take(HEADER as u64)
        .read_to_end(&mut start)
        .map_err(cannot)?;
    for (to, from) in header.iter_mut().zip(&start) {
        *to = *from;
    }
    let magic = start.len().min(MAGIC.len());
    if start.is_empty() || start.get(..magic) != MAGIC.get(..magic) {
        return Err(Error::NotAnArchive {
            path: path.to_owned(),
        });
    }
    let number = |at: usize, bytes: usize| {
        let part = header.iter().skip(at).take(bytes);
        part.fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte))
    };
    // Page size and page count, big-endian, at 16 and 28; a size of 1 stands for 65,536.
    let page = match number(16, 2) {
        1 => 65_536,
        size => size,
    };
    let want = (page * number(28, 4)).max(HEADER as u64);
    if have < want {
        return Err(Error::Truncated {
            path: path.to_owned(),
            have,
            want,
        });
    }
    if i64::try_from(number(68, 4)) != Ok(APPLICATION_ID) {
        return Err(Error::Foreign {
            path: path.to_owned(),
        });
    }
    let found = i64::try_from(number(60, 4)).unwrap_or(i64::MAX);
    if found > FORMAT {
        return Err(Error::Newer {
            path: path.to_owned(),
            found,
            known: FORMAT,
        });
    }
    Ok(())
}

/// The document, if it is the one that was written.
fn document(file: &Connection) -> std::result::Result<ReportInput, String> {
    let json: String = file
        .query_row(
            "SELECT json FROM documents WHERE name = 'report'",
            [],
            |row| row.get(0),
        )
        .map_err(|error| format!("its report cannot be read ({error})"))?;
    let sum: String = file
        .query_row(
            "SELECT value FROM meta WHERE key = 'documents_crc32'",
            [],
            |row| row.get(0),
        )
        .map_err(|error| format!("its checksum cannot be read ({error})"))?;
    if sum != crc32fast::hash(json.as_bytes()).to_string() {
        return Err("its report does not match its checksum".into());
    }
    serde_json::from_str(&json).map_err(|error| format!("its report is not understood ({error})"))
}

/// A row of `series`.
#[derive(Debug)]
struct SeriesRow {
    id: i64,
    target: String,
    key: String,
    kind: String,
    start_ms: i64,
    step_ms: i64,
    steps: i64,
}

fn history(file: &Connection) -> std::result::Result<Vec<SeriesWindow>, String> {
    let told = |error: rusqlite::Error| format!("its history cannot be read ({error})");
    let mut query = file
        .prepare(
            "SELECT series, target, key, kind, start_ms, step_ms, steps FROM series ORDER BY series",
        )
        .map_err(told)?;
    let rows = query
        .query_map([], |row| {
            Ok(SeriesRow {
                id: row.get(0)?,
                target: row.get(1)?,
                key: row.get(2)?,
                kind: row.get(3)?,
                start_ms: row.get(4)?,
                step_ms: row.get(5)?,
                steps: row.get(6)?,
            })
        })
        .map_err(told)?;
    let mut left = VALUES_MAX;
    let mut windows = Vec::new();
    for row in rows {
        let row = row.map_err(told)?;
        let steps = u64::try_from(row.steps).unwrap_or(u64::MAX);
        left = left
            .checked_sub(steps)
            .ok_or_else(|| format!("its history holds more than {VALUES_MAX} values"))?;
        windows.push(read_window(file, row)?);
    }
    Ok(windows)
}

fn read_window(file: &Connection, row: SeriesRow) -> std::result::Result<SeriesWindow, String> {
    let told = |error: rusqlite::Error| format!("its history cannot be read ({error})");
    let series = serde_json::from_str(&row.key)
        .map_err(|error| format!("a series' key is not understood ({error})"))?;
    let kind = match row.kind.as_str() {
        "counter" => Kind::Counter,
        "gauge" => Kind::Gauge,
        other => return Err(format!("{other:?} is neither counter nor gauge")),
    };
    let step = match u64::try_from(row.step_ms) {
        Ok(step) if step > 0 => Millis(step),
        _ => return Err(format!("a series has steps of {} ms", row.step_ms)),
    };
    let steps = usize::try_from(row.steps).map_err(|error| error.to_string())?;
    let mut values = vec![f64::NAN; steps];
    let mut query = file
        .prepare_cached("SELECT step, value FROM history WHERE series = ?1")
        .map_err(told)?;
    let mut found = query.query([row.id]).map_err(told)?;
    while let Some(reading) = found.next().map_err(told)? {
        let at: i64 = reading.get(0).map_err(told)?;
        let place = usize::try_from(at).ok().and_then(|at| values.get_mut(at));
        *place.ok_or_else(|| format!("step {at} lies outside its series"))? =
            reading.get(1).map_err(told)?;
    }
    Ok(SeriesWindow {
        target: row.target,
        series,
        kind,
        window: Window {
            start: Timestamp::from_millis(row.start_ms),
            step,
            values,
        },
    })
}

#[cfg(test)]
mod tests;
