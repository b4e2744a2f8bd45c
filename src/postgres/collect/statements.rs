//! `pg_stat_statements`: the counters of those that matter most; texts only once each.
//!
//! Counters are read without texts, since the server keeps those in one file that it reads as a
//! whole. Texts of new entries are fetched in the slow cycle; until then an entry has no series,
//! because it may be one of our own, which the comment in its text tells.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio_postgres::types::Type;

use super::activity::TEXT_CAP;
use super::{BlindSpots, Field, View};
use crate::model::database::Statement;
use crate::model::series::{Labels, Metric, Sample};
use crate::model::units::Timestamp;
use crate::postgres::capability::{Capability, StatementsExtension, quote};
use crate::postgres::read::Cells;
use crate::postgres::session::Session;
use crate::postgres::{Error, MARKER, Result, mask};

const PART: &str = "statements";

/// Texts that are kept before those outside of the top are forgotten.
const TEXTS_CAP: usize = 2_000;

/// For a text the server reads the file of all texts, which may be hundreds of megabytes: after each
/// reading it is left alone for so many times as long as that took, so that where new statements never
/// end it costs one per cent of the time.
const REST: u32 = 100;
/// What takes no longer needs no rest.
const SHORT: Duration = Duration::from_millis(50);
/// Longest such rest.
const REST_MAX: Duration = Duration::from_mins(30);

/// `object_not_in_prerequisite_state`: the library is not in `shared_preload_libraries`.
const NOT_LOADED: &str = "55000";

const fn count(sql: &'static str, name: &'static str, help: &'static str) -> Field {
    Field::new(sql, Metric::counter(name, help))
}

const CALLS: Field = count(
    "calls",
    "pg_statement_calls_total",
    "Times the statement was executed.",
)
.like("pg_stat_statements_calls");
const EXEC: Field = Field::millis(
    "total_exec_time",
    Metric::counter(
        "pg_statement_exec_seconds_total",
        "Time spent executing the statement.",
    ),
)
.same_unit("pg_stat_statements_total_time_seconds");
const ROWS: Field = count(
    "rows",
    "pg_statement_rows_total",
    "Rows returned or affected.",
)
.like("pg_stat_statements_rows");
const HIT: Field = count(
    "shared_blks_hit",
    "pg_statement_shared_blks_hit_total",
    "Blocks found in shared buffers.",
)
.like("pg_stat_statements_shared_blks_hit");
const READ: Field = count(
    "shared_blks_read",
    "pg_statement_shared_blks_read_total",
    "Blocks read from disk or OS cache.",
)
.like("pg_stat_statements_shared_blks_read");
const TEMP: Field = count(
    "temp_blks_written",
    "pg_statement_temp_blks_written_total",
    "Blocks written to temporary files.",
)
.like("pg_stat_statements_temp_blks_written");
const WAL: Field = count(
    "wal_bytes",
    "pg_statement_wal_bytes_total",
    "Bytes of WAL that the statement made.",
);
const BLOCK_READ: Field = Field::millis(
    "blk_read_time",
    Metric::counter(
        "pg_statement_blk_read_seconds_total",
        "Time spent reading blocks; 0 unless track_io_timing is on.",
    ),
)
.same_unit("pg_stat_statements_blk_read_time_seconds");

/// Declares the series; the query is made by [`select`], since names differ by extension version.
pub(super) const VIEW: View = View {
    part: PART,
    labels: &[],
    from: "pg_stat_statements",
    fields: &[CALLS, EXEC, ROWS, HIT, READ, TEMP, WAL, BLOCK_READ],
};

/// What an entry is counted by; entries that differ in `toplevel` only are added up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    query_id: i64,
    database: String,
    role: String,
}

/// One entry's counters.
#[derive(Debug, Clone, Default)]
struct Counters {
    /// In the order of [`VIEW`]'s fields, in their series' units.
    values: [f64; VIEW.fields.len()],
    max_ms: f64,
    stddev_ms: f64,
}

/// The entries that matter most, by total time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Top(BTreeMap<Key, Counters>);

/// What is known of an entry's text.
#[derive(Debug, Clone)]
enum Text {
    Own,
    Other(String),
}

/// Texts by query id, and when the next may be read.
#[derive(Debug, Default)]
pub(crate) struct Texts(HashMap<i64, Text>, Option<Timestamp>);

impl Texts {
    /// Query ids of our own statements.
    pub(crate) fn own(&self) -> Vec<i64> {
        let own = self.0.iter().filter(|(_, text)| matches!(text, Text::Own));
        own.map(|(id, _)| *id).collect()
    }

    fn other(&self, id: i64) -> Option<&str> {
        match self.0.get(&id) {
            Some(Text::Other(text)) => Some(text),
            _ => None,
        }
    }

    /// Fetches the texts of entries that are new, and forgets those that are gone.
    pub(crate) async fn complete(
        &mut self,
        session: &mut Session,
        extension: &StatementsExtension,
        (top, at): (&Top, Timestamp),
    ) -> Result<()> {
        let ids = || top.0.keys().map(|key| key.query_id);
        let missing: Vec<i64> = ids().filter(|id| !self.0.contains_key(id)).collect();
        if missing.is_empty()
            || self
                .1
                .is_some_and(|next| at < next && next.since(at) <= REST_MAX)
        {
            return Ok(());
        }
        let begun = tokio::time::Instant::now();
        let sql = format!(
            "select {MARKER} queryid, left(query, {TEXT_CAP}), position('{MARKER}' in query) > 0 \
             from {}.pg_stat_statements(true) where queryid = any ($1)",
            quote(&extension.schema)
        );
        // Entries near the end of the top come and go; each return would read the whole file.
        if self.0.len() > TEXTS_CAP {
            self.0
                .retain(|id, text| matches!(text, Text::Own) || ids().any(|top| top == *id));
        }
        for row in session
            .rows(PART, &sql, &[(&missing as _, Type::INT8_ARRAY)])
            .await?
        {
            let cells = Cells::new(PART, &row);
            let text = if cells.get::<Option<bool>>(2)?.unwrap_or(false) {
                Text::Own
            } else {
                Text::Other(mask(&cells.text(1)?))
            };
            self.0.insert(cells.get(0)?, text);
        }
        let took = begun.elapsed();
        self.1 = (took > SHORT).then(|| at.plus(took.saturating_mul(REST).min(REST_MAX)));
        Ok(())
    }
}

fn select(extension: &StatementsExtension) -> String {
    let (total, max, stddev) = if extension.has_exec_time() {
        ("total_exec_time", "max_exec_time", "stddev_exec_time")
    } else {
        ("total_time", "max_time", "stddev_time")
    };
    let wal = if extension.has_exec_time() {
        "wal_bytes::float8"
    } else {
        "0::float8"
    };
    let read = if extension.has_shared_blk_time() {
        "shared_blk_read_time"
    } else {
        "blk_read_time"
    };
    format!(
        "select {MARKER} s.queryid, (select datname::text from pg_database where oid = s.dbid), \
         pg_get_userbyid(s.userid)::text, s.{max}, s.{stddev}, s.calls, s.{total}, s.rows, \
         s.shared_blks_hit, s.shared_blks_read, s.temp_blks_written, s.{wal}, s.{read} \
         from {}.pg_stat_statements(false) s \
         where s.queryid is not null and s.queryid <> all ($1) \
         order by s.queryid = any ($3) desc, s.{total} desc limit $2",
        quote(&extension.schema)
    )
}

/// Reads the entries that matter most and those that are followed, those known to be our own left
/// out.
pub(crate) async fn read(
    session: &mut Session,
    extension: &StatementsExtension,
    (texts, limit, followed): (&Texts, usize, &[i64]),
) -> Result<Top> {
    const FIRST_FIELD: usize = 5;
    let own = texts.own();
    let limit = limit.saturating_add(followed.len());
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let followed = followed.to_vec();
    let params = [
        (&own as _, Type::INT8_ARRAY),
        (&limit as _, Type::INT8),
        (&followed as _, Type::INT8_ARRAY),
    ];
    let mut top: BTreeMap<Key, Counters> = BTreeMap::new();
    for row in session.rows(PART, &select(extension), &params).await? {
        let cells = Cells::new(PART, &row);
        let key = Key {
            query_id: cells.get(0)?,
            database: cells.text(1)?,
            role: cells.text(2)?,
        };
        let entry = top.entry(key).or_default();
        entry.max_ms = entry.max_ms.max(cells.number(3)?.unwrap_or(0.0));
        entry.stddev_ms = entry.stddev_ms.max(cells.number(4)?.unwrap_or(0.0));
        for (i, (value, field)) in entry.values.iter_mut().zip(VIEW.fields).enumerate() {
            *value += cells.number(FIRST_FIELD + i)?.unwrap_or(0.0) * field.scale;
        }
    }
    Ok(Top(top))
}

/// The entries, or a note that says why there are none.
///
/// # Errors
/// Only fatal ones.
pub(crate) fn settle(top: Result<Top>, able: &Capability, blind: &mut BlindSpots) -> Result<Top> {
    match top {
        Err(Error::Query { code, .. }) if code == NOT_LOADED => {
            blind.note(
                PART,
                "pg_stat_statements is created, but the server did not load it at its start",
                able.statements_cure(),
            );
            Ok(Top::default())
        }
        top => {
            if top.is_ok() {
                blind.clear(PART);
            }
            blind.settle(PART, top)
        }
    }
}

impl Top {
    /// Query ids of the entries.
    pub(crate) fn ids(&self) -> Vec<i64> {
        self.0.keys().map(|key| key.query_id).collect()
    }

    /// Series of the entries that are known not to be our own; those that `begin` say so start at 0,
    /// and have their counters with the next scrape.
    pub(crate) fn samples(
        &self,
        texts: &Texts,
        mut begins: impl FnMut(i64) -> bool,
    ) -> Vec<Sample> {
        let told = self.0.keys().map(|key| key.query_id);
        let told = told.filter(|id| texts.other(*id).is_some());
        let begun: BTreeSet<i64> = told.filter(|id| begins(*id)).collect();
        let mut out = Vec::with_capacity(self.0.len() * VIEW.fields.len());
        for (key, counters) in &self.0 {
            if texts.other(key.query_id).is_none() {
                continue;
            }
            let labels = Labels::none()
                .with("datname", key.database.as_str())
                .with("queryid", key.query_id.to_string())
                .with("rolname", key.role.as_str());
            let share = if begun.contains(&key.query_id) {
                0.0
            } else {
                1.0
            };
            for (field, value) in VIEW.fields.iter().zip(counters.values) {
                out.push(field.metric.sample(labels.clone(), share * value));
            }
        }
        out
    }

    /// Records of the same entries, the most total time first.
    pub(crate) fn statements(&self, texts: &Texts, able: &Capability) -> Vec<Statement> {
        let whole = |value: f64| u64::try_from(crate::postgres::read::whole(value)).unwrap_or(0);
        let mut out: Vec<Statement> = self
            .0
            .iter()
            .filter(|(key, _)| key.database == able.database)
            .filter_map(|(key, counters)| {
                let query = texts.other(key.query_id)?.to_owned();
                let [calls, exec, rows, hit, read, temp, wal, _] = counters.values;
                Some(Statement {
                    query_id: key.query_id,
                    query,
                    role: Some(key.role.clone()).filter(|role| !role.is_empty()),
                    calls: whole(calls),
                    total_exec_time: exec * 1e3,
                    mean_exec_time: if calls > 0.0 { exec * 1e3 / calls } else { 0.0 },
                    max_exec_time: counters.max_ms,
                    stddev_exec_time: counters.stddev_ms,
                    rows: whole(rows),
                    shared_blks_hit: whole(hit),
                    shared_blks_read: whole(read),
                    temp_blks_written: whole(temp),
                    wal_bytes: whole(wal),
                })
            })
            .collect();
        out.sort_by(|a, b| b.total_exec_time.total_cmp(&a.total_exec_time));
        out
    }
}
