//! Raw samples as a SQLite file of two tables, for any tool that reads one.
//!
//! For: `plimsoll history export --format sqlite`. Not for: reports, which are archives of their own
//! (`sqlite`). Read [`Table`] first.
//!
//! ```sql
//! SELECT datetime(at_ms / 1000, 'unixepoch'), value
//!   FROM samples JOIN series USING (series)
//!  WHERE metric = 'pg_up' AND labels ->> 'datname' = 'app' ORDER BY at_ms;
//! ```
//!
//! SQLite has no NaN: such a sample (Prometheus' stale marker is one) has NULL as its value.
#![expect(
    clippy::disallowed_types,
    reason = "this is the module that knows SQLite"
)]

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use super::{io, sqlite};
use crate::model::series::{Kind, SeriesKey};
use crate::report::{Error, Result};

/// `PLMS` in ASCII: a file of samples, where an archive says `PLIM`.
const APPLICATION_ID: i64 = 0x504c_4d53;

const SCHEMA: &str = "
CREATE TABLE series (
    series     INTEGER PRIMARY KEY,
    target     TEXT NOT NULL,
    metric     TEXT NOT NULL,
    labels     TEXT NOT NULL,  -- a JSON object
    kind       TEXT NOT NULL,  -- counter or gauge
    resolution REAL            -- values are exact to a multiple of it; NULL: to the bit
) STRICT;
CREATE TABLE samples (
    series INTEGER NOT NULL REFERENCES series,
    at_ms  INTEGER NOT NULL,   -- UTC milliseconds since 1970
    value  REAL,               -- NULL: not a number
    PRIMARY KEY (series, at_ms)
) STRICT, WITHOUT ROWID;
";

/// A series of the file.
#[derive(Debug, Clone)]
pub struct SeriesRow<'a> {
    /// Its number; samples name it.
    pub number: u32,
    /// The target's name.
    pub target: &'a str,
    /// Metric and labels.
    pub key: &'a SeriesKey,
    /// Counter or gauge.
    pub kind: Kind,
    /// Values are exact to a multiple of this.
    pub resolution: Option<f64>,
}

/// A file that is being written.
#[derive(Debug)]
pub struct Table {
    file: Connection,
    path: PathBuf,
}

impl Table {
    /// Makes the file; there must be none.
    ///
    /// # Errors
    /// What the system or SQLite says.
    pub fn create(path: &Path) -> Result<Self> {
        // SQLite's own message for a missing folder is "unable to open database file".
        File::create_new(path).map_err(|source| io("written", path, source))?;
        let fail = sqlite(path);
        let file = Connection::open(path).map_err(&fail)?;
        // A file that a crash leaves half written is thrown away, so it needs no journal.
        let pragmas = [("journal_mode", "OFF"), ("synchronous", "OFF")];
        for (name, value) in pragmas {
            file.pragma_update(None, name, value).map_err(&fail)?;
        }
        file.pragma_update(None, "application_id", APPLICATION_ID)
            .map_err(&fail)?;
        file.execute_batch(SCHEMA).map_err(&fail)?;
        file.execute_batch("BEGIN").map_err(&fail)?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Adds a series.
    ///
    /// # Errors
    /// What SQLite says, for instance that the number is taken.
    pub fn series(&mut self, row: &SeriesRow<'_>) -> Result<()> {
        let labels: serde_json::Map<String, serde_json::Value> = row
            .key
            .labels
            .iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        let labels = serde_json::to_string(&labels).map_err(Error::Json)?;
        let kind = match row.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let values = params![
            row.number,
            row.target,
            row.key.metric,
            labels,
            kind,
            row.resolution
        ];
        self.file
            .prepare_cached("INSERT INTO series VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
            .and_then(|mut insert| insert.execute(values))
            .map_err(sqlite(&self.path))?;
        Ok(())
    }

    /// Adds samples of a series: instants in ms, and values.
    ///
    /// # Errors
    /// What SQLite says, for instance that the disk is full.
    pub fn samples(&mut self, number: u32, samples: &[(i64, f64)]) -> Result<()> {
        let fail = sqlite(&self.path);
        let mut insert = self
            .file
            .prepare_cached("INSERT INTO samples VALUES (?1, ?2, ?3)")
            .map_err(&fail)?;
        for (at, value) in samples {
            insert.execute(params![number, at, value]).map_err(&fail)?;
        }
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn finish(self) -> Result<()> {
        let fail = sqlite(&self.path);
        self.file.execute_batch("COMMIT").map_err(&fail)?;
        self.file.close().map_err(|(_, error)| fail(error))
    }
}
