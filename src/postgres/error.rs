//! What can go wrong between us and a server, with the cure at the end.

use std::io;
use std::path::PathBuf;

use tokio_postgres::error::SqlState;

use crate::model::units::{Millis, Timestamp};

/// Something that went wrong with a target. No message ever holds a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "each variant's message says what it is, its fields carry the facts"
)]
pub enum Error {
    #[error(
        "the connection string {what} (near character {at}); write postgres://user@host/db or host=… dbname=…"
    )]
    Syntax { what: &'static str, at: usize },
    #[error(
        "`{key}` in {place} is no connection setting; see `Parameter Key Words` in libpq's manual"
    )]
    UnknownKey { key: String, place: &'static str },
    #[error("connection setting `{key}` is not supported; leave it out")]
    UnsupportedKey { key: String },
    #[error("connection setting `{key}` is {value:?}; it must be {want}")]
    BadValue {
        key: &'static str,
        value: String,
        want: String,
    },
    #[error("no role to connect as; give user=… or set PGUSER")]
    NoUser,
    #[error("service `{name}` is not defined in {looked_at}")]
    NoService { name: String, looked_at: String },
    #[error("line {line} of {path} is not key=value", path = path.display())]
    ServiceLine { path: PathBuf, line: usize },
    #[error("cannot read {path}", path = path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{path}: {detail}", path = path.display())]
    Certificate { path: PathBuf, detail: String },
    #[error(
        "sslmode verifies the server, but there are no authorities; set sslrootcert=system or a file"
    )]
    NoRootCert,

    #[error("host {host} is not known; check the name and the resolver")]
    NoSuchHost { host: String },
    #[error("nothing answers at {address}: {detail}; check that the server runs and listens there")]
    Unreachable { address: String, detail: String },
    #[error("{address} did not answer within {after_ms} ms; check address and firewall")]
    ConnectTimeout { address: String, after_ms: u64 },
    #[error("{address} refused the password of role {user}; check PGPASSWORD or ~/.pgpass")]
    WrongPassword { address: String, user: String },
    #[error("{address} asks for a password of role {user}; {cure}")]
    NoPassword {
        address: String,
        user: String,
        cure: String,
    },
    #[error("{address} does not let role {user} in: {detail}; see pg_hba.conf and CREATE ROLE")]
    NotAllowed {
        address: String,
        user: String,
        detail: String,
    },
    #[error("{address} has no database {database}; set dbname")]
    NoDatabase { address: String, database: String },
    #[error(
        "{address} has no free connection; raise max_connections or grant pg_monitor a reserved one"
    )]
    Full { address: String },
    #[error("{address} is starting up or shutting down; it is tried again")]
    NotReady { address: String },
    #[error("no TLS with {address}: {detail}; check sslmode and sslrootcert")]
    Tls { address: String, detail: String },
    #[error("{address} is not a {want}; see target_session_attrs")]
    WrongKind { address: String, want: &'static str },
    #[error("{address} runs Postgres {version}; 13 and later are supported")]
    TooOld { address: String, version: String },
    #[error("{address} refused the session: {detail}")]
    Refused { address: String, detail: String },

    #[error(
        "{address} is a pooler, and plans need one backend for themselves; give the server's own address"
    )]
    Pooled { address: String },
    #[error(
        "{address} lost its session again and again while planning with hypothetical indexes ({detail}); see the server's log, and plan without HypoPG (--no-hypopg) or with a newer one"
    )]
    PlanningLost { address: String, detail: String },

    #[error(
        "another verification is at work on the scratch database at {address}; wait for its end"
    )]
    ScratchBusy { address: String },
    #[error(
        "{address} is a standby, where no index can be built; give a scratch database on a primary"
    )]
    ScratchStandby { address: String },
    #[error("{text:?}… is no CREATE INDEX … ON …, and nothing else is built")]
    NotAnIndex { text: String },

    #[error(
        "{address} is a standby, where nothing can be written; give the primary as the target's writer"
    )]
    Standby { address: String },
    #[error(
        "{address} is a pooler, and who writes needs settings of its own; give the server's own address as the target's writer"
    )]
    WriterPooled { address: String },
    #[error(
        "there is no table {name:?} in database {database:?}; write it as it is called, or quoted as in SQL, with its schema unless the role's search path has that"
    )]
    NoTable { name: String, database: String },
    #[error("{name:?} is the name of several tables; one of {known}")]
    SeveralTables { name: String, known: String },
    #[error("role {role} may not vacuum {table}, which {owner} owns; {cure}")]
    NotOwner {
        role: String,
        table: String,
        owner: String,
        cure: String,
    },
    #[error("{table} cannot be archived: {reason}")]
    NotArchivable { table: String, reason: String },
    #[error("{what} took longer than {after} ms and was cancelled; raise writes.timeout, or run it at a quieter time", after = after.0)]
    WriteTimeout { what: &'static str, after: Millis },
    #[error("{what} was refused by the server ({code}): {detail}")]
    WriteRefused {
        what: &'static str,
        code: String,
        detail: String,
    },
    #[error(
        "{what} waited too long for a lock and gave up, so that nobody waits behind it; it can be tried again"
    )]
    WriteLock { what: &'static str },
    #[error(
        "role {role} may not do that: {detail}; packaging/monitor-role.sql has the rights of a role that writes"
    )]
    WriteDenied { role: String, detail: String },

    #[error("not connected since {reason}; next try at {next_try}")]
    Waiting { reason: String, next_try: Timestamp },
    #[error("{reason}")]
    StillDown { reason: String },
    #[error("not connected; the next scrape connects")]
    NotConnected,
    #[error("the connection to {address} was lost: {detail}; it is opened again")]
    Lost { address: String, detail: String },
    #[error("reading {part} was cancelled after {after} ms; raise statement_timeout or look for load", after = after.0)]
    StatementTimeout { part: &'static str, after: Millis },
    #[error("reading {part} waited too long for a lock; it is tried again")]
    LockTimeout { part: &'static str },
    #[error("the role may not read {part}: {detail}; run {cure}")]
    Denied {
        part: &'static str,
        detail: String,
        cure: &'static str,
    },
    #[error("reading {part} was refused by the server ({code}): {detail}")]
    Query {
        part: &'static str,
        code: String,
        detail: String,
    },
    #[error("reading {part} gave an answer of an unexpected shape: {detail}")]
    Shape { part: &'static str, detail: String },

    #[error(
        "it has {count} parameters, and nobody gives them values; write the values in their place"
    )]
    Parameters { count: usize },
    #[error("two columns are called {name:?}; give one another name with AS")]
    SameColumns { name: String },
    #[error("it gives more than {limit} rows; add a LIMIT, or raise its max_rows")]
    TooManyRows { limit: u64 },
    #[error("its rows take more than {limit} bytes as JSON; select less, or raise cache.max_bytes")]
    TooManyBytes { limit: usize },
}

/// Short for a result with this module's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Server states after which the session is gone (manual, appendix A).
const FATAL: &[SqlState] = &[
    SqlState::ADMIN_SHUTDOWN,
    SqlState::CRASH_SHUTDOWN,
    SqlState::CANNOT_CONNECT_NOW,
    SqlState::DATABASE_DROPPED,
    SqlState::IDLE_SESSION_TIMEOUT,
    SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
];

impl Error {
    /// Whether the session cannot be used any more.
    pub fn is_fatal(&self) -> bool {
        !matches!(
            self,
            Self::StatementTimeout { .. }
                | Self::LockTimeout { .. }
                | Self::Denied { .. }
                | Self::Query { .. }
                | Self::Shape { .. }
                | Self::Parameters { .. }
                | Self::SameColumns { .. }
                | Self::TooManyRows { .. }
                | Self::TooManyBytes { .. }
        )
    }

    /// Whether trying the next host would be pointless: the server answered and said no.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::WrongPassword { .. }
                | Self::NoPassword { .. }
                | Self::NotAllowed { .. }
                | Self::NoDatabase { .. }
        )
    }

    /// What the server or the driver said of one part of a scrape.
    pub(super) fn from_query(
        part: &'static str,
        (address, after): (&str, Millis),
        error: &tokio_postgres::Error,
    ) -> Self {
        let Some(db) = error.as_db_error() else {
            let detail = root_cause(error);
            return if error.is_closed() || has_io(error) {
                Self::Lost {
                    address: address.to_owned(),
                    detail,
                }
            } else {
                Self::Shape { part, detail }
            };
        };
        let detail = db.message().to_owned();
        let code = db.code();
        if FATAL.contains(code) || code.code().starts_with("08") {
            return Self::Lost {
                address: address.to_owned(),
                detail,
            };
        }
        match code {
            c if *c == SqlState::QUERY_CANCELED => Self::StatementTimeout { part, after },
            c if *c == SqlState::LOCK_NOT_AVAILABLE => Self::LockTimeout { part },
            c if *c == SqlState::INSUFFICIENT_PRIVILEGE => Self::Denied {
                cure: if detail.contains("for schema") {
                    "GRANT USAGE ON that SCHEMA TO the role"
                } else {
                    "GRANT pg_monitor TO the role"
                },
                part,
                detail,
            },
            c => Self::Query {
                part,
                code: c.code().to_owned(),
                detail,
            },
        }
    }
}

/// The innermost message of a chain: the one that says something.
pub(super) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// The I/O error in a chain, if there is one.
pub(super) fn io_cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<io::Error>() {
            return Some(found);
        }
        next = current.source();
    }
    None
}

fn has_io(error: &(dyn std::error::Error + 'static)) -> bool {
    io_cause(error).is_some()
}
