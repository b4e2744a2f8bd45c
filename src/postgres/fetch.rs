//! Runs the read queries that an operator named, and gives their rows as JSON.
//!
//! For: one statement, whole or not at all, within bounds of time, rows and bytes. Not for: our own
//! queries (`session`), nor for statements that a stranger sent, which are planned at most (`plan`).
//!
//! The statement becomes a sub-query of ours, so that the server writes the JSON: it knows its types.
//! Before that the server parses it alone, which shows that it is one statement and closes nothing of
//! ours. It runs in a read-only transaction that is rolled back, with the role's own search path,
//! time zone and plans. What a read-only transaction lets a role do, such as calling
//! `pg_terminate_backend`, the role's rights must forbid.

#![expect(
    clippy::disallowed_types,
    reason = "rows of an operator's query are streamed, so that they can be bounded"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::pin::pin;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::connect;
use super::observer::{Manner, Options};
use super::{Error, MARKER, Result};
use crate::model::units::Millis;

/// How much longer than its own `statement_timeout` a server may take before the line counts as dead.
const NETWORK_SLACK: Duration = Duration::from_secs(2);
/// How the query is called in errors.
const PART: &str = "the query";

/// How much a result may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Rows.
    pub rows: u64,
    /// Bytes of JSON.
    pub bytes: usize,
}

/// A result.
#[derive(Clone, PartialEq, Eq)]
pub struct Fetched {
    /// A JSON array with an object for each row.
    pub json: Vec<u8>,
    /// How many rows.
    pub rows: u64,
}

/// Asks one target. Holds one connection at most, from the first query on.
pub struct Fetcher {
    options: Options,
    line: Option<Line>,
    /// When connecting failed last, and why.
    down: Option<(Instant, String)>,
}

struct Line {
    client: Client,
    driver: JoinHandle<()>,
    address: String,
    begin: String,
    end: &'static str,
    /// Statements that the server has parsed alone.
    parsed: BTreeSet<String>,
    /// Something is on its way that nobody will read.
    in_use: bool,
}

impl Drop for Line {
    fn drop(&mut self) {
        // Otherwise the driver would read a result to its end, however long it is.
        if self.in_use || self.client.is_closed() {
            self.driver.abort();
        }
    }
}

impl Fetcher {
    /// For a target; `statement_timeout` bounds each query. It connects when it is first asked.
    pub fn new(options: Options) -> Self {
        let options = Options {
            manner: Manner::Planning,
            ..options
        };
        Self {
            options,
            line: None,
            down: None,
        }
    }

    /// Runs one statement without parameters.
    ///
    /// # Errors
    /// Those of connecting and of the server; [`Error::Parameters`], [`Error::SameColumns`],
    /// [`Error::TooManyRows`] and [`Error::TooManyBytes`].
    pub async fn fetch(&mut self, sql: &str, bounds: Bounds) -> Result<Fetched> {
        self.fetch_since(Instant::now(), sql, bounds).await
    }

    /// As [`Self::fetch`], for somebody who has waited for his turn since `asked`: where connecting has failed
    /// meanwhile he is told so, since each of many would else wait for that in turn.
    ///
    /// # Errors
    /// As [`Self::fetch`]; [`Error::StillDown`].
    pub async fn fetch_since(
        &mut self,
        asked: Instant,
        sql: &str,
        bounds: Bounds,
    ) -> Result<Fetched> {
        let line = self.begun(asked).await?;
        self.over(line, sql, bounds).await
    }

    /// A line with a transaction begun. One that had died unseen since the last query is opened anew; what
    /// kills a line later is not run a second time.
    async fn begun(&mut self, asked: Instant) -> Result<Line> {
        let kept = self.line.take();
        let kept = kept.filter(|line| !line.in_use && !line.client.is_closed());
        if let Some(mut line) = kept
            && line.start().await.is_ok()
        {
            return Ok(line);
        }
        if let Some((at, reason)) = &self.down
            && *at >= asked
        {
            return Err(Error::StillDown {
                reason: reason.clone(),
            });
        }
        let opened = async {
            let mut line = Line::open(&self.options).await?;
            line.start().await?;
            Ok(line)
        }
        .await;
        self.down = opened
            .as_ref()
            .err()
            .map(|error: &Error| (Instant::now(), error.to_string()));
        opened
    }

    /// Runs it over a line, which is kept if it is still good.
    async fn over(&mut self, mut line: Line, sql: &str, bounds: Bounds) -> Result<Fetched> {
        let limit = self.options.statement_timeout.as_duration() + NETWORK_SLACK;
        let told = (line.address.clone(), self.options.statement_timeout);
        let fetched = match timeout(limit, line.transaction(sql, bounds)).await {
            Ok(Ok(fetched)) => Ok(fetched),
            Ok(Err(Fault::Ours(error))) => Err(error),
            Ok(Err(Fault::Theirs(error))) => {
                Err(Error::from_query(PART, (&told.0, told.1), &error))
            }
            Err(_) => Err(Error::Lost {
                address: told.0,
                detail: format!("no answer within {} ms", limit.as_millis()),
            }),
        };
        let may_go_on = match &fetched {
            // The rest of its rows is on its way.
            Err(Error::TooManyRows { .. } | Error::TooManyBytes { .. }) => false,
            Err(error) => !error.is_fatal(),
            Ok(_) => true,
        };
        if may_go_on && line.end().await.is_ok() {
            line.in_use = false;
            self.line = Some(line);
        }
        fetched
    }
}

/// Whose no it is.
enum Fault {
    Ours(Error),
    Theirs(tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Theirs(error)
    }
}

impl Line {
    async fn open(options: &Options) -> Result<Self> {
        let opened = connect::open(options).await?;
        let mut begin = format!("begin {MARKER} read only");
        if opened.pooled {
            // Set for one transaction only: the server's connection belongs to others, too.
            for (name, value) in connect::settings(options) {
                if name != "default_transaction_read_only" {
                    let _ = write!(begin, "; set {MARKER} local {name} = {value}");
                }
            }
        }
        Ok(Self {
            client: opened.client,
            driver: opened.driver,
            address: opened.address,
            begin,
            end: if opened.pooled {
                "rollback /* plimsoll */"
            } else {
                // A lock of the session would outlive the transaction.
                "rollback /* plimsoll */; select /* plimsoll */ pg_catalog.pg_advisory_unlock_all()"
            },
            parsed: BTreeSet::new(),
            in_use: false,
        })
    }

    async fn transaction(
        &mut self,
        sql: &str,
        bounds: Bounds,
    ) -> std::result::Result<Fetched, Fault> {
        if !self.parsed.contains(sql) {
            self.parse(sql).await?;
            self.parsed.insert(sql.to_owned());
        }
        // A comment at the end of theirs must not take our bracket with it, and a column of theirs
        // may be called as our row is.
        // The driver takes a row whole, so none may be longer than what is too long in any case.
        let longest = i32::try_from(bounds.bytes.saturating_add(1)).unwrap_or(i32::MAX);
        let whole = format!(
            "select {MARKER} pg_catalog.left(pg_catalog.row_to_json(plimsoll_row.*)::pg_catalog.text, {longest}) \
             from (\n{sql}\n) plimsoll_row"
        );
        let none: [(i32, Type); 0] = [];
        let mut rows = pin!(self.client.query_typed_raw(&whole, none).await?);
        let mut fetched = Fetched {
            json: vec![b'['],
            rows: 0,
        };
        while let Some(row) = rows.try_next().await? {
            let text: &str = row.try_get(0)?;
            if fetched.rows == bounds.rows {
                return Err(Fault::Ours(Error::TooManyRows { limit: bounds.rows }));
            }
            if fetched.rows > 0 {
                fetched.json.push(b',');
            }
            fetched.rows += 1;
            // With the closing bracket.
            if fetched.json.len() + text.len() + 1 > bounds.bytes {
                let limit = bounds.bytes;
                return Err(Fault::Ours(Error::TooManyBytes { limit }));
            }
            fetched.json.extend_from_slice(text.as_bytes());
        }
        fetched.json.push(b']');
        // What is kept for long should take no more than it holds.
        fetched.json.shrink_to_fit();
        Ok(fetched)
    }

    /// Begins the transaction of one query.
    async fn start(&mut self) -> Result<()> {
        self.in_use = true;
        let begun = timeout(NETWORK_SLACK, self.client.batch_execute(&self.begin)).await;
        match begun {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Error::from_query(PART, (&self.address, Millis(0)), &error)),
            Err(_) => Err(Error::Lost {
                address: self.address.clone(),
                detail: format!("no answer within {} ms", NETWORK_SLACK.as_millis()),
            }),
        }
    }

    /// Has the server parse the statement alone, and looks at what it would give.
    async fn parse(&self, sql: &str) -> std::result::Result<(), Fault> {
        let statement = self.client.prepare(sql).await?;
        let count = statement.params().len();
        if count > 0 {
            return Err(Fault::Ours(Error::Parameters { count }));
        }
        let mut names = BTreeSet::new();
        for column in statement.columns() {
            if !names.insert(column.name()) {
                let name = column.name().to_owned();
                return Err(Fault::Ours(Error::SameColumns { name }));
            }
        }
        Ok(())
    }

    async fn end(&self) -> Result<()> {
        let ended = timeout(NETWORK_SLACK, self.client.batch_execute(self.end)).await;
        match ended {
            Ok(Ok(())) => Ok(()),
            _ => Err(Error::NotConnected),
        }
    }
}
