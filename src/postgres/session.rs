//! One careful session: read-only, bounded in time, one transaction per reading.
//!
//! For: running the queries of `collect`. Not for: knowing them.
//!
//! A reading runs in one transaction: servers before 15 read their statistics file once per
//! transaction, and a transaction pooler keeps one server connection for its length. A part that
//! fails does not fail its neighbours: the transaction is begun anew for the next one.

#![expect(
    clippy::disallowed_types,
    reason = "this module and `connect` are the ones that speak to a server"
)]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Statement};

use super::connect;
use super::observer::Options;
use super::{Error, MARKER, Result};
use crate::model::units::Millis;

/// How much longer than its own `statement_timeout` a server may take before the line counts as
/// dead.
const NETWORK_SLACK: Duration = Duration::from_secs(2);
/// `internal_error`: how the server says that a relation went away while it was looked up ("could not
/// open relation with OID", "cache lookup failed"): its catalogs are older than the relation's end.
pub(super) const VANISHED: &str = "XX000";
/// How often a query is asked before it is left for the next cycle.
const TRIES: usize = 5;

/// A parameter and its type.
pub(super) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// One open connection.
pub(super) struct Session {
    client: Client,
    driver: JoinHandle<()>,
    prepared: HashMap<String, Statement>,
    address: String,
    pooled: bool,
    begin: String,
    statement_timeout: Millis,
    /// The transaction that is open, if any.
    transaction: Transaction,
}

#[derive(Clone, Copy, PartialEq)]
enum Transaction {
    None,
    Open,
    /// A part failed in it; nothing more can be asked before it is rolled back.
    Failed,
}

impl Drop for Session {
    fn drop(&mut self) {
        // A lost line would keep its driver, and so the socket, until the kernel gives up.
        if self.client.is_closed() {
            self.driver.abort();
        }
    }
}

impl Session {
    /// Connects, and finds out whether a pooler stands between.
    ///
    /// # Errors
    /// Those of connecting.
    pub(super) async fn open(options: &Options) -> Result<Self> {
        let opened = connect::open(options).await?;
        let mut session = Self {
            client: opened.client,
            driver: opened.driver,
            prepared: HashMap::new(),
            address: opened.address,
            pooled: opened.pooled,
            begin: format!("begin {MARKER} read only"),
            statement_timeout: options.statement_timeout,
            transaction: Transaction::None,
        };
        if !session.pooled {
            // Some poolers take the startup packet's settings and forget them.
            let sql =
                "select /* plimsoll */ pg_catalog.current_setting('default_transaction_read_only')";
            let rows = session.unnamed("session", sql, &[]).await?;
            let value: Option<String> = rows.first().and_then(|row| row.try_get(0).ok());
            session.pooled = value.as_deref() != Some("on");
        }
        if session.pooled {
            // Set for one transaction only: the server's connection belongs to others, too.
            for (name, value) in connect::harmless_settings(options) {
                if name != "default_transaction_read_only" {
                    let _ = write!(session.begin, "; set {MARKER} local {name} = {value}");
                }
            }
        }
        Ok(session)
    }

    /// Whether a pooler stands between us and the server.
    pub(super) fn is_pooled(&self) -> bool {
        self.pooled
    }

    /// Takes note that a pooler stands between: its connections change under us.
    pub(super) fn set_pooled(&mut self, options: &Options) {
        if !self.pooled {
            self.pooled = true;
            self.prepared.clear();
            for (name, value) in connect::harmless_settings(options) {
                if name != "default_transaction_read_only" {
                    let _ = write!(self.begin, "; set {MARKER} local {name} = {value}");
                }
            }
        }
    }

    /// Whether the line is known to be dead.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Begins the transaction of one reading.
    ///
    /// # Errors
    /// [`Error::Lost`] when the line is dead.
    pub(super) async fn begin(&mut self) -> Result<()> {
        if self.transaction != Transaction::None {
            self.simple("rollback /* plimsoll */".to_owned()).await?;
            self.transaction = Transaction::None;
        }
        self.simple(self.begin.clone()).await?;
        self.transaction = Transaction::Open;
        Ok(())
    }

    /// Ends the transaction of one reading. Nothing was written, so nothing can be lost.
    ///
    /// # Errors
    /// [`Error::Lost`] when the line is dead.
    pub(super) async fn end(&mut self) -> Result<()> {
        self.simple("rollback /* plimsoll */".to_owned()).await?;
        self.transaction = Transaction::None;
        Ok(())
    }

    /// Rows of one query; `part` names it in errors. Where a relation went away while it was looked
    /// up, the query is asked again.
    ///
    /// # Errors
    /// Of this part alone, or fatal ones (see [`Error::is_fatal`]).
    pub(super) async fn rows(
        &mut self,
        part: &'static str,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>> {
        let mut outcome = self.once(part, sql, params).await;
        for _ in 1..TRIES {
            if !matches!(&outcome, Err(Error::Query { code, .. }) if code == VANISHED) {
                break;
            }
            outcome = self.once(part, sql, params).await;
        }
        outcome
    }

    async fn once(
        &mut self,
        part: &'static str,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>> {
        if self.transaction == Transaction::Failed {
            self.begin().await?;
        }
        let outcome = if self.pooled {
            self.unnamed(part, sql, params).await
        } else {
            self.named(part, sql, params).await
        };
        if outcome.is_err() && self.transaction == Transaction::Open {
            self.transaction = Transaction::Failed;
        }
        outcome
    }

    /// Prepares once, so that the server plans its catalog joins once.
    async fn named(
        &mut self,
        part: &'static str,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>> {
        let statement = if let Some(statement) = self.prepared.get(sql) {
            statement.clone()
        } else {
            let types: Vec<Type> = params.iter().map(|(_, ty)| ty.clone()).collect();
            let statement = self
                .bounded(part, self.client.prepare_typed(sql, &types))
                .await?;
            self.prepared.insert(sql.to_owned(), statement.clone());
            statement
        };
        let values: Vec<&(dyn ToSql + Sync)> = params.iter().map(|(value, _)| *value).collect();
        let outcome = self
            .bounded(part, self.client.query(&statement, &values))
            .await;
        if let Err(Error::Query { code, .. }) = &outcome {
            // Somebody else deallocated it, or an extension changed what it returns.
            let stale = [
                SqlState::INVALID_SQL_STATEMENT_NAME,
                SqlState::FEATURE_NOT_SUPPORTED,
            ];
            if stale.iter().any(|state| state.code() == code) {
                self.prepared.remove(sql);
            }
        }
        outcome
    }

    /// One round trip and no name: what a transaction pooler can bear.
    async fn unnamed(
        &self,
        part: &'static str,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>> {
        self.bounded(part, self.client.query_typed(sql, params))
            .await
    }

    async fn simple(&self, sql: String) -> Result<()> {
        self.bounded("transaction", self.client.batch_execute(&sql))
            .await
    }

    async fn bounded<T>(
        &self,
        part: &'static str,
        work: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        let limit = self.statement_timeout.as_duration() + NETWORK_SLACK;
        match timeout(limit, work).await {
            Ok(outcome) => outcome
                .map_err(|e| Error::from_query(part, (&self.address, self.statement_timeout), &e)),
            Err(_) => Err(Error::Lost {
                address: self.address.clone(),
                detail: format!("no answer within {} ms", limit.as_millis()),
            }),
        }
    }
}
