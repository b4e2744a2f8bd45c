//! A session that may write to a watched server, by a role of its own.
//!
//! For: what an operator allowed by class (`work::maintain` checks that). Not for: anything else:
//! every statement that writes is in `vacuum` and `archive`, and names its table as the catalog does.
//!
//! A statement that is given up is cancelled on the server, too: a `VACUUM` whose client is gone would
//! run to its end.

#![expect(
    clippy::disallowed_types,
    reason = "a session that writes is not shared with those that read"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::capability::V17;
use super::libpq::ConnInfo;
use super::observer::{Manner, Options};
use super::read::Cells;
use super::session::Param;
use super::{Error, Result, connect, tls};
use crate::model::identifier::{self, Found};
use crate::model::units::{Millis, Timestamp};

/// How much longer than its own limit a server may take before the line counts as dead.
const NETWORK_SLACK: Duration = Duration::from_secs(10);
/// How long the server may take to hear that a statement is given up.
const CANCEL_LIMIT: Duration = Duration::from_secs(5);

/// A table that may be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of the catalog, each with a refusal of its own"
)]
pub struct Relation {
    /// `schema.name` as SQL writes it; by the server's own quoting.
    pub quoted: String,
    /// Its schema, unquoted.
    pub schema: String,
    /// Its name, unquoted.
    pub name: String,
    pub(super) oid: u32,
    /// It is split into partitions and has no rows of its own.
    pub(super) is_partitioned: bool,
    /// Others inherit from it, and are read with it.
    pub(super) has_children: bool,
    /// A crash of the server empties it.
    pub(super) is_unlogged: bool,
    /// The role may vacuum it.
    pub(super) may_vacuum: bool,
    /// Who owns it.
    pub(super) owner: String,
}

/// A session that may write.
pub struct Writer {
    client: Client,
    driver: JoinHandle<()>,
    conninfo: ConnInfo,
    address: String,
    limit: Millis,
    /// A statement is under way.
    is_busy: AtomicBool,
    version: u32,
    pid: i32,
    role: String,
    database: String,
    /// The role's own search path, which triggers and rules rest on.
    path: String,
    /// The schemas on it.
    schemas: Vec<String>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.is_busy.load(Ordering::Relaxed) {
            return self.driver.abort();
        }
        let token = self.client.cancel_token();
        let connector = tls::connector(&self.conninfo);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            let cancelled = async {
                match connector {
                    Ok(connector) => token.cancel_query(connector).await,
                    Err(_) => token.cancel_query(tokio_postgres::NoTls).await,
                }
            };
            match timeout(CANCEL_LIMIT, cancelled).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "a statement could not be cancelled"),
                Err(_) => tracing::warn!("a statement could not be cancelled in time"),
            }
        });
    }
}

impl Writer {
    /// Connects; `options` are those of the role that writes. Nothing is written yet.
    ///
    /// # Errors
    /// Those of connecting; [`Error::WriterPooled`] behind a pooler, [`Error::Standby`] on a standby.
    pub async fn open(options: &Options) -> Result<Self> {
        let mut options = options.clone();
        // Triggers and index expressions find their names as they do for everybody else.
        options.manner = Manner::Planning;
        let opened = connect::open(&options).await?;
        let pooled = Error::WriterPooled {
            address: opened.address.clone(),
        };
        if opened.pooled {
            return Err(pooled);
        }
        let mut writer = Self {
            client: opened.client,
            driver: opened.driver,
            conninfo: options.conninfo.clone(),
            address: opened.address,
            limit: options.statement_timeout,
            is_busy: AtomicBool::new(false),
            version: 0,
            pid: 0,
            role: String::new(),
            database: String::new(),
            path: String::new(),
            schemas: Vec::new(),
        };
        let sql = "select /* plimsoll */ pg_catalog.pg_backend_pid(), \
                   pg_catalog.current_setting('server_version_num')::pg_catalog.int4, \
                   current_user::pg_catalog.text, pg_catalog.current_database()::pg_catalog.text, \
                   pg_catalog.pg_is_in_recovery(), \
                   pg_catalog.current_setting('default_transaction_read_only'), \
                   pg_catalog.current_setting('search_path'), \
                   pg_catalog.current_schemas(false)::pg_catalog.text[]";
        let rows = writer.rows("the session", sql, &[]).await?;
        let Some(row) = rows.first() else {
            return Err(Error::NotConnected);
        };
        let cells = Cells::new("the session", row);
        // Some poolers take the startup packet's settings and forget them.
        if cells.text(5)? != "on" {
            return Err(pooled);
        }
        if cells.get::<bool>(4)? {
            return Err(Error::Standby {
                address: writer.address.clone(),
            });
        }
        writer.pid = cells.get(0)?;
        writer.version = u32::try_from(cells.get::<i32>(1)?).unwrap_or_default();
        writer.role = cells.text(2)?;
        writer.database = cells.text(3)?;
        let path = cells.text(6)?;
        writer.path = if path.trim().is_empty() {
            "pg_catalog".to_owned()
        } else {
            format!("pg_catalog, {path}")
        };
        writer.schemas = cells.get(7)?;
        // A policy that hides rows must not make an archive that lacks them. VACUUM takes the pauses
        // that autovacuum takes, and like that finds nobody's functions in place of built-in ones.
        writer
            .simple(
                "set /* plimsoll */ default_transaction_read_only = off; \
                 set row_security = off; set search_path = pg_catalog; set datestyle = 'ISO'; \
                 set extra_float_digits = 1; set idle_in_transaction_session_timeout = '60s'; set vacuum_cost_delay = '2ms'",
            )
            .await?;
        Ok(writer)
    }

    /// The role that writes.
    pub fn role(&self) -> &str {
        &self.role
    }

    /// The server's process that serves this session.
    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// What the server's clock says.
    pub(super) async fn now(&self) -> Result<Timestamp> {
        let sql = "select /* plimsoll */ pg_catalog.now()";
        let rows = self.rows("the server's clock", sql, &[]).await?;
        let at = match rows.first() {
            Some(row) => Cells::new("the server's clock", row).time(0)?,
            None => None,
        };
        at.ok_or(Error::NotConnected)
    }

    /// Begins a transaction that sees what others have committed, statement by statement.
    pub(super) async fn begin(&self) -> Result<()> {
        self.simple(
            "begin /* plimsoll */ isolation level read committed; set local row_security = off",
        )
        .await
    }

    /// From here to the transaction's end names are found as the role finds them, after built-in ones:
    /// triggers and rules may rest on that.
    pub(super) async fn find_as_the_role(&self) -> Result<()> {
        let sql = "select /* plimsoll */ pg_catalog.set_config('search_path', $1, true)";
        self.rows("the search path", sql, &[(&self.path, Type::TEXT)])
            .await?;
        Ok(())
    }

    /// Ends a transaction: with what was done where it went well, else without.
    pub(super) async fn end<T>(&self, done: Result<T>) -> Result<T> {
        match done {
            Ok(done) => {
                self.simple("commit /* plimsoll */").await?;
                Ok(done)
            }
            Err(lost @ Error::Lost { .. }) => Err(lost),
            Err(error) => {
                // The first error says more than that of taking it back.
                let _ = self.simple("rollback /* plimsoll */").await;
                Err(error)
            }
        }
    }

    /// The table that `asked` names; [`identifier::find`] says how.
    ///
    /// # Errors
    /// [`Error::NoTable`] and [`Error::SeveralTables`]; those of the server.
    pub async fn relation(&self, asked: &str) -> Result<Relation> {
        match self.find(asked).await? {
            Some(relation) => Ok(relation),
            None => Err(Error::NoTable {
                name: asked.to_owned(),
                database: self.database.clone(),
            }),
        }
    }

    /// As [`Self::relation`]; `None` where there is none.
    pub(super) async fn find(&self, asked: &str) -> Result<Option<Relation>> {
        let names = identifier::names(asked);
        let parts = [false, true].map(|folded| identifier::parts(asked, folded));
        let is_bare = parts.iter().flatten().all(|parts| parts.len() == 1);
        // A bare name is one that the role would find: another schema's table of the same name is not
        // meant, least of all where rows are deleted.
        let is_meant = |relation: &Relation| {
            let has_schema = parts
                .iter()
                .flatten()
                .any(|parts| matches!(parts.as_slice(), [schema, _] if *schema == relation.schema));
            has_schema || self.schemas.contains(&relation.schema)
        };
        let mut found = self.relations(&names).await?;
        found.retain(is_meant);
        // Of one name in several schemas of the path, the first schema's.
        let place = |relation: &Relation| self.schemas.iter().position(|s| *s == relation.schema);
        let all = found.clone();
        found.retain(|relation| {
            let own = place(relation);
            let hides = |other: &Relation| other.name == relation.name && place(other) < own;
            own.is_none()
                || !all
                    .iter()
                    .any(|other| place(other).is_some() && hides(other))
                || !is_bare
        });
        Self::pick(asked, &found)
    }

    /// The table that `asked`, a bare name, names in this schema; `None` where there is none.
    pub(super) async fn find_in(&self, schema: &str, asked: &str) -> Result<Option<Relation>> {
        let mut found = self.relations(&identifier::names(asked)).await?;
        found.retain(|relation| relation.schema == schema);
        Self::pick(asked, &found)
    }

    fn pick(asked: &str, found: &[Relation]) -> Result<Option<Relation>> {
        let of = |relation: &'_ Relation| -> (String, String) {
            (relation.schema.clone(), relation.name.clone())
        };
        let keys: Vec<(String, String)> = found.iter().map(of).collect();
        let key = match identifier::find(asked, &keys, |key| (key.0.as_str(), key.1.as_str())) {
            Found::None => return Ok(None),
            Found::One(key) => key,
            Found::Several(all) => {
                return Err(Error::SeveralTables {
                    name: asked.to_owned(),
                    known: all
                        .iter()
                        .map(|(schema, name)| format!("{schema}.{name}"))
                        .collect::<Vec<_>>()
                        .join(", "),
                });
            }
        };
        Ok(found.iter().find(|found| of(found) == *key).cloned())
    }

    /// The condition that the role may vacuum the table `c`.
    pub(super) fn may_vacuum(&self) -> String {
        let may_maintain = if self.version >= V17 {
            "pg_catalog.has_table_privilege(c.oid, 'MAINTAIN')"
        } else {
            "false"
        };
        format!(
            "(pg_catalog.pg_has_role(c.relowner, 'USAGE') or {may_maintain} or exists (\
                select from pg_catalog.pg_database d where d.datname = pg_catalog.current_database() \
                and pg_catalog.pg_has_role(d.datdba, 'USAGE')))"
        )
    }

    /// Tables and materialized views of these names that are nobody's temporary ones and no catalogs.
    async fn relations(&self, names: &[String]) -> Result<Vec<Relation>> {
        let may_vacuum = self.may_vacuum();
        let sql = format!(
            "select /* plimsoll */ n.nspname::text, c.relname::text, \
             pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), \
             c.oid, c.relkind = 'p', \
             {may_vacuum}, pg_catalog.pg_get_userbyid(c.relowner)::text, \
             exists (select from pg_catalog.pg_inherits i where i.inhparent = c.oid), \
             c.relpersistence = 'u' \
             from pg_catalog.pg_class c \
             join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
             where c.relkind in ('r', 'p', 'm') and c.relname = any($1) and c.relpersistence <> 't' \
             and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')"
        );
        let rows = self
            .rows("the table", &sql, &[(&names, Type::TEXT_ARRAY)])
            .await?;
        let read = |row: &Row| {
            let cells = Cells::new("the table", row);
            Ok(Relation {
                schema: cells.text(0)?,
                name: cells.text(1)?,
                quoted: cells.text(2)?,
                oid: cells.get(3)?,
                is_partitioned: cells.get(4)?,
                may_vacuum: cells.get(5)?,
                owner: cells.text(6)?,
                has_children: cells.get(7)?,
                is_unlogged: cells.get(8)?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Several statements without parameters, in a transaction of their own if they say so.
    pub(super) async fn simple(&self, sql: &str) -> Result<()> {
        self.bounded("a statement", self.client.batch_execute(sql))
            .await
    }

    /// Rows of a query; `what` names it in errors.
    pub(super) async fn rows(
        &self,
        what: &'static str,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>> {
        self.bounded(what, self.client.query_typed(sql, params))
            .await
    }

    /// How many rows a statement touched.
    pub(super) async fn execute(
        &self,
        what: &'static str,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<u64> {
        let types: Vec<Type> = params.iter().map(|(_, ty)| ty.clone()).collect();
        let values: Vec<&(dyn ToSql + Sync)> = params.iter().map(|(value, _)| *value).collect();
        self.bounded(what, async {
            let statement = self.client.prepare_typed(sql, &types).await?;
            self.client.execute(&statement, &values).await
        })
        .await
    }

    async fn bounded<T>(
        &self,
        what: &'static str,
        work: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        self.is_busy.store(true, Ordering::Relaxed);
        let outcome = timeout(self.limit.as_duration() + NETWORK_SLACK, work).await;
        let Ok(outcome) = outcome else {
            return Err(Error::Lost {
                address: self.address.clone(),
                detail: format!("no answer within {} ms", self.limit.0),
            });
        };
        self.is_busy.store(false, Ordering::Relaxed);
        outcome.map_err(|error| self.refusal(what, &error))
    }

    fn refusal(&self, what: &'static str, error: &tokio_postgres::Error) -> Error {
        let Some(db) = error.as_db_error() else {
            return Error::from_query(what, (&self.address, self.limit), error);
        };
        let detail = db.message().to_owned();
        match db.code() {
            c if *c == SqlState::QUERY_CANCELED => Error::WriteTimeout {
                what,
                after: self.limit,
            },
            c if *c == SqlState::LOCK_NOT_AVAILABLE => Error::WriteLock { what },
            c if *c == SqlState::INSUFFICIENT_PRIVILEGE => Error::WriteDenied {
                role: self.role.clone(),
                detail,
            },
            c if *c == SqlState::T_R_SERIALIZATION_FAILURE
                || *c == SqlState::T_R_DEADLOCK_DETECTED =>
            {
                Error::WriteLock { what }
            }
            c => match Error::from_query(what, (&self.address, self.limit), error) {
                Error::Query { .. } => Error::WriteRefused {
                    what,
                    code: c.code().to_owned(),
                    detail,
                },
                other => other,
            },
        }
    }
}
