//! A lead-generation platform in miniature: a throw-away cluster, its schema, traffic and faults.
//!
//! For: showing Plimsoll at work within a minute, and for tests that need a real server with known
//! troubles. Not for: any server that this module has not started itself: it writes, locks and
//! deletes. The order of the story (start, fill, back-fill, drive, stop) is in `work::demo`.
//!
//! Read [`cluster`] first; then [`leadgen`] (schema and rows), [`traffic`] (the statement mix),
//! [`fault`] (planted troubles) and [`past`] (made-up history, so that forecasts exist at once).

use std::path::PathBuf;

pub mod binaries;
pub mod cluster;
mod dice;
pub mod fault;
pub mod leadgen;
mod mix;
pub mod past;
mod process;
pub mod scratch;
mod session;
mod shape;
pub mod traffic;

/// Why the demo could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No folder that was searched holds `postgres` and `initdb`.
    #[error(
        "no PostgreSQL server found (postgres and initdb); install one with \
         `apt install postgresql` or `dnf install postgresql-server`"
    )]
    NoBinaries,
    /// There is a server, but none that this program supports.
    #[error(
        "{} holds PostgreSQL {major}, which is not supported; install 13 or newer with \
         `apt install postgresql` or `dnf install postgresql-server`", path.display()
    )]
    TooOld {
        /// Where it lies.
        path: PathBuf,
        /// Its major version.
        major: u32,
    },
    /// The server refuses to run as root, and there is nobody else to run it as.
    #[error(
        "the server refuses to run as root, and there is no user postgres or nobody; \
         run the demo as another user"
    )]
    NoAccount,
    /// A file or folder could not be made, read or removed.
    #[error("{} {}", .doing, path.display())]
    File {
        /// What was tried, such as `cannot create`.
        doing: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// Why it went wrong.
        source: std::io::Error,
    },
    /// A program could not be run.
    #[error("cannot run {}", program.display())]
    Run {
        /// Which program.
        program: PathBuf,
        /// Why it went wrong.
        source: std::io::Error,
    },
    /// A program ended with an error.
    #[error("{} reports: {output}", program.display())]
    Tool {
        /// Which program.
        program: PathBuf,
        /// The end of what it printed.
        output: String,
    },
    /// The server ended, or did not answer, before it took connections.
    #[error("the demo server did not start: {reason}")]
    Start {
        /// The end of its log.
        reason: String,
    },
    /// A scale that makes no platform.
    #[error("the scale lies above 0 and at most {max}, got {got}; 1 is 200,000 leads")]
    Scale {
        /// What was asked for.
        got: f64,
        /// The most that is allowed.
        max: f64,
    },
    /// A rate of statements or a number of connections that drives nothing.
    #[error(
        "traffic needs a rate above 0 and at least one connection, got {rate} over {connections}"
    )]
    Rate {
        /// Statements per second.
        rate: f64,
        /// Connections.
        connections: usize,
    },
    /// A file that is compiled in does not say what it should.
    #[error("the built-in {file} does not read")]
    BuiltIn {
        /// Which file, below `data/`.
        file: &'static str,
        /// Where and why.
        source: toml::de::Error,
    },
    /// A trouble that nobody knows how to plant.
    #[error("no fault is named {id}; those of data/leadgen/faults.toml are")]
    Fault {
        /// The name.
        id: String,
    },
    /// The platform's tables hold no rows to work with.
    #[error("the platform is empty; fill it first")]
    Empty,
    /// The demo server answered with an error, or did not answer.
    #[error("the demo server refused: {doing}")]
    Postgres {
        /// What was asked of it.
        doing: &'static str,
        /// What it said.
        source: tokio_postgres::Error,
    },
}

/// What the functions of this module return.
pub type Result<T> = std::result::Result<T, Error>;

/// Names what was tried on which file when it goes wrong.
fn cannot<'a>(
    doing: &'static str,
    path: &'a std::path::Path,
) -> impl FnOnce(std::io::Error) -> Error + 'a {
    move |source| Error::File {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// Names what was asked of the server when it refuses.
pub(crate) fn refused(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Error {
    move |source| Error::Postgres { doing, source }
}
