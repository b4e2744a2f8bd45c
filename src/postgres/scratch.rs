//! A database that its owner gave for trying: indexes are built there, and dropped again.
//!
//! For: real times with and without an index. Not for: any server that is watched: whoever opens a
//! [`Scratch`] has checked that (`work::advise::verify`). This is the one place outside of `demo` that
//! writes to a server, and all it ever sends is `CREATE INDEX` and `DROP INDEX` of names that begin with
//! [`PREFIX`]. Statements run in a read-only transaction that is rolled back.
//!
//! "Without" is made by dropping within that same transaction, before it is set to read only: the
//! rollback brings the index back, and nothing was built twice.

#![expect(
    clippy::disallowed_types,
    reason = "a session that builds is not shared with our own queries"
)]

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::observer::{Manner, Options};
use super::plan::explain;
use super::read::Cells;
use super::session::Param;
use super::{Error, Result, connect};
use crate::model::plan::PlanNode;
use crate::model::units::Millis;

/// What the names of our indexes begin with.
const PREFIX: &str = "plimsoll_verify_";
/// The part that runs a statement of others.
const RUN: &str = "a run";
/// The lock that two runs on one database would both want.
const LOCK: i64 = 0x706c_696d_736f_6c6c;
/// Longest wait for a lock on a table; nobody else should be there.
const LOCK_TIMEOUT: Millis = Millis(10_000);
/// How much longer than its own limit a server may take before the line counts as dead.
const NETWORK_SLACK: Duration = Duration::from_secs(10);

/// Which database of which server it is, whatever it is called by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `system_identifier` of the cluster, where the role may see it.
    pub system: Option<i64>,
    /// `oid` of the database.
    pub database_oid: u32,
    /// Its name.
    pub database: String,
}

/// Asks for a database's identity; used by both kinds of session.
pub(super) const IDENTITY: &str = "select /* plimsoll */ \
    case when pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'execute') \
         then (select c.system_identifier from pg_catalog.pg_control_system() c) end, \
    d.oid, d.datname::text from pg_catalog.pg_database d \
    where d.datname = pg_catalog.current_database()";

/// Reads the answer to [`IDENTITY`].
pub(super) fn identity(rows: &[Row]) -> Result<Identity> {
    let Some(row) = rows.first() else {
        return Err(Error::Shape {
            part: "identity",
            detail: "no row".to_owned(),
        });
    };
    let cells = Cells::new("identity", row);
    Ok(Identity {
        system: cells.get(0)?,
        database_oid: cells.get(1)?,
        database: cells.text(2)?,
    })
}

/// An index that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// `schema.name` as SQL writes it.
    pub quoted: String,
    /// Its bare name.
    pub name: String,
    /// Bytes on disk.
    pub bytes: u64,
}

/// One run of a statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// `Execution Time` in ms; the limit where it was cut.
    pub ms: f64,
    /// Blocks hit and read.
    pub blocks: f64,
    /// Names of indexes in the plan.
    pub indexes: Vec<String>,
    /// It ran into the limit.
    pub is_cut: bool,
}

/// A session that may build.
pub struct Scratch {
    client: Client,
    driver: JoinHandle<()>,
    address: String,
    limit: Millis,
    pid: i32,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Scratch {
    /// Connects and takes the lock that keeps a second run away.
    ///
    /// # Errors
    /// Those of connecting; [`Error::Pooled`] behind a pooler; [`Error::ScratchBusy`] where another run
    /// is at work.
    pub async fn open(options: &Options) -> Result<Self> {
        let mut options = options.clone();
        options.manner = Manner::Planning;
        options.lock_timeout = LOCK_TIMEOUT;
        let opened = connect::open(&options).await?;
        if opened.pooled {
            return Err(Error::Pooled {
                address: opened.address,
            });
        }
        let mut scratch = Self {
            client: opened.client,
            driver: opened.driver,
            address: opened.address,
            limit: options.statement_timeout,
            pid: 0,
        };
        scratch
            .simple(
                "set /* plimsoll */ default_transaction_read_only = off; \
                 set idle_in_transaction_session_timeout = 0",
            )
            .await?;
        let sql = "select /* plimsoll */ pg_catalog.pg_backend_pid(), \
                   pg_catalog.pg_try_advisory_lock($1), pg_catalog.pg_is_in_recovery()";
        let rows = scratch.rows("session", sql, &[(&LOCK, Type::INT8)]).await?;
        let Some(row) = rows.first() else {
            return Err(Error::NotConnected);
        };
        let cells = Cells::new("session", row);
        scratch.pid = cells.get(0)?;
        if !cells.get::<bool>(1)? {
            return Err(Error::ScratchBusy {
                address: scratch.address.clone(),
            });
        }
        if cells.get::<bool>(2)? {
            return Err(Error::ScratchStandby {
                address: scratch.address.clone(),
            });
        }
        Ok(scratch)
    }

    /// The server's process that serves this session.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Which database it is.
    ///
    /// # Errors
    /// Those of the line.
    pub async fn identity(&self) -> Result<Identity> {
        identity(&self.rows("identity", IDENTITY, &[]).await?)
    }

    /// Ends the session `pid` of this role, if it is still there, and drops every index of ours.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn sweep(options: &Options, pid: Option<i32>) -> Result<usize> {
        // The old session may still hold the lock, so this one must do without.
        let mut options = options.clone();
        options.manner = Manner::Planning;
        options.lock_timeout = LOCK_TIMEOUT;
        let opened = connect::open(&options).await?;
        let sweeper = Self {
            client: opened.client,
            driver: opened.driver,
            address: opened.address,
            limit: options.statement_timeout,
            pid: 0,
        };
        sweeper
            .simple("set /* plimsoll */ default_transaction_read_only = off")
            .await?;
        if let Some(pid) = pid {
            let sql = "select /* plimsoll */ pg_catalog.pg_terminate_backend(pid) \
                       from pg_catalog.pg_stat_activity \
                       where pid = $1 and usename = current_user and application_name = $2";
            let name = super::APPLICATION_NAME;
            sweeper
                .rows("session", sql, &[(&pid, Type::INT4), (&name, Type::TEXT)])
                .await?;
        }
        sweeper.drop_ours().await
    }

    /// Drops every index of ours, from this run or one that was killed; gives how many.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn drop_ours(&self) -> Result<usize> {
        let sql = "select /* plimsoll */ pg_catalog.quote_ident(n.nspname) || '.' || \
                   pg_catalog.quote_ident(c.relname) from pg_catalog.pg_class c \
                   join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
                   where c.relkind in ('i', 'I') and pg_catalog.starts_with(c.relname::text, $1) \
                   and pg_catalog.pg_get_userbyid(c.relowner) = current_user";
        let rows = self
            .rows("our indexes", sql, &[(&PREFIX, Type::TEXT)])
            .await?;
        for row in &rows {
            let name = Cells::new("our indexes", row).text(0)?;
            self.within(
                self.limit,
                &format!("drop index /* plimsoll */ if exists {name}"),
            )
            .await?;
        }
        Ok(rows.len())
    }

    /// Builds what a `CREATE INDEX [CONCURRENTLY] ON …` says, under a name of ours, within a time.
    ///
    /// # Errors
    /// [`Error::NotAnIndex`] for any other text; those of the server, such as a full disk.
    pub async fn build(&self, ddl: &str, number: usize, limit: Millis) -> Result<Built> {
        let refused = || Error::NotAnIndex {
            text: ddl.chars().take(60).collect(),
        };
        let rest = ddl.strip_prefix("CREATE INDEX ").ok_or_else(refused)?;
        let rest = rest.strip_prefix("CONCURRENTLY ").unwrap_or(rest);
        let body = rest.strip_prefix("ON ").ok_or_else(refused)?;
        let name = format!("{PREFIX}{number}");
        // The extended protocol takes one statement only.
        self.simple(&format!("set statement_timeout = {}", limit.0.max(1)))
            .await?;
        let sql = format!("create index /* plimsoll */ {name} on {body}");
        let built = self
            .bounded("an index", limit, self.client.query_typed(&sql, &[]))
            .await;
        self.simple(&format!("set statement_timeout = {}", self.limit.0))
            .await?;
        built?;
        let sql = "select /* plimsoll */ pg_catalog.quote_ident(n.nspname) || '.' || \
                   pg_catalog.quote_ident(c.relname), pg_catalog.pg_relation_size(c.oid) \
                   from pg_catalog.pg_class c \
                   join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
                   where c.relname = $1 and c.relkind in ('i', 'I')";
        let rows = self
            .rows("our indexes", sql, &[(&name, Type::TEXT)])
            .await?;
        let Some(row) = rows.first() else {
            return Err(Error::Shape {
                part: "our indexes",
                detail: format!("{name} is not there"),
            });
        };
        let cells = Cells::new("our indexes", row);
        Ok(Built {
            quoted: cells.text(0)?,
            name,
            bytes: cells.count(1)?,
        })
    }

    /// Those of `tables` (as SQL writes them) that are not there or hold nothing.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn empty_tables(&self, tables: &[String]) -> Result<Vec<String>> {
        let sql = "select /* plimsoll */ t.name from pg_catalog.unnest($1) t(name) \
                   where coalesce(pg_catalog.pg_relation_size(pg_catalog.to_regclass(t.name)), 0) = 0 \
                   and not exists (select from pg_catalog.pg_inherits i \
                                   where i.inhparent = pg_catalog.to_regclass(t.name))";
        let rows = self
            .rows("tables", sql, &[(&tables, Type::TEXT_ARRAY)])
            .await?;
        rows.iter()
            .map(|row| Cells::new("tables", row).text(0))
            .collect()
    }

    /// Runs one statement once, as if the indexes `without` were not there.
    ///
    /// # Errors
    /// Those of the server; a statement that runs into `limit` is none.
    pub async fn run(&self, statement: &str, without: &[&str], limit: Millis) -> Result<Measured> {
        let measured = self.run_within(statement, without, limit).await;
        self.simple("rollback /* plimsoll */").await?;
        match measured {
            Err(Error::StatementTimeout { .. }) => Ok(Measured {
                ms: limit.0 as f64,
                blocks: 0.0,
                indexes: Vec::new(),
                is_cut: true,
            }),
            other => other,
        }
    }

    async fn run_within(
        &self,
        statement: &str,
        without: &[&str],
        limit: Millis,
    ) -> Result<Measured> {
        self.simple("begin /* plimsoll */").await?;
        if !without.is_empty() {
            self.simple(&format!("drop index /* plimsoll */ {}", without.join(", ")))
                .await?;
        }
        self.simple("set transaction read only").await?;
        self.simple(&format!("set local statement_timeout = {}", limit.0.max(1)))
            .await?;
        let sql = format!(
            "explain /* plimsoll */ (analyze, buffers, timing off, format json) {statement}"
        );
        let rows = self
            .bounded(RUN, limit, self.client.query_typed(&sql, &[]))
            .await?;
        let value = json(&rows)?;
        let number = |value: Option<&serde_json::Value>| value.and_then(serde_json::Value::as_f64);
        let top = value.get(0);
        let plan = top.and_then(|top| top.get("Plan"));
        let blocks = ["Shared Hit Blocks", "Shared Read Blocks"]
            .iter()
            .filter_map(|key| number(plan.and_then(|plan| plan.get(key))))
            .sum();
        let tree = explain::read(&value);
        let nodes = tree.iter().flat_map(PlanNode::nodes);
        Ok(Measured {
            ms: number(top.and_then(|top| top.get("Execution Time"))).unwrap_or(f64::NAN),
            blocks,
            indexes: nodes.filter_map(|node| node.index.clone()).collect(),
            is_cut: false,
        })
    }

    async fn within(&self, limit: Millis, sql: &str) -> Result<()> {
        self.bounded("our indexes", limit, self.client.batch_execute(sql))
            .await
    }

    async fn simple(&self, sql: &str) -> Result<()> {
        self.bounded("transaction", self.limit, self.client.batch_execute(sql))
            .await
    }

    async fn rows(&self, part: &'static str, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>> {
        self.bounded(part, self.limit, self.client.query_typed(sql, params))
            .await
    }

    async fn bounded<T>(
        &self,
        part: &'static str,
        after: Millis,
        work: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        match timeout(after.as_duration() + NETWORK_SLACK, work).await {
            Ok(outcome) => outcome.map_err(|e| Error::from_query(part, (&self.address, after), &e)),
            Err(_) => Err(Error::Lost {
                address: self.address.clone(),
                detail: format!("no answer within {} ms", after.0),
            }),
        }
    }
}

/// Whether it is the statement itself that failed when it was run, and not what was done around it.
pub fn is_of_a_run(error: &Error) -> bool {
    match error {
        Error::Query { part, .. } | Error::Denied { part, .. } => *part == RUN,
        _ => false,
    }
}

/// The one JSON value of an answer.
fn json(rows: &[Row]) -> Result<serde_json::Value> {
    let shape = |detail: String| Error::Shape {
        part: "a plan",
        detail,
    };
    let row = rows.first().ok_or_else(|| shape("no row".to_owned()))?;
    row.try_get(0)
        .map_err(|e| shape(super::error::root_cause(&e)))
}
