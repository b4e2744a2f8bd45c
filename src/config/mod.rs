//! Settings: four sources in, one checked [`Config`] out, each value with its origin.
//!
//! For: everything that an operator can set, and the environment, which only this module reads.
//! Not for: what a connection string means (`postgres::libpq`). Read [`KEYS`] first: it lists
//! every limit of the program, with its default and the reason for it.

mod contradictions;
mod environment;
mod file;
mod human;
mod keys;
mod load;
mod origins;
mod query;
mod target;
mod tokens;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

pub use environment::Environment;
pub use human::{duration as parse_duration, size as parse_size};
pub use keys::{KEYS, Key};
pub use load::{Flag, Flags};
pub use query::{Cache, Query, queries};
pub use target::{Secret, Target, Writes};
pub use value::{Shape, Value};

use crate::model::capacity::{Limit, Resource};
use crate::model::job::Durability;
use crate::model::units::{Bytes, Millis, Ratio};
use load::Settings;
use tokens::Tokens;

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}: {source}; name another file with --config", path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{}:{line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// Well-formed, but unknown, of the wrong type, out of range or contradictory; never empty.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<Problem>),
}

/// The result of loading settings.
pub type Result<T> = std::result::Result<T, Error>;

/// One complaint and the place that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where the offending text stands.
    pub origin: Origin,
    /// What is wrong, and what to write.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.message)
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The command line; says which flag.
    Flag(String),
    /// The environment; says which variable.
    Variable(String),
    /// The configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// Built in, or derived from what is named.
    Default(Option<&'static str>),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => f.write_str(flag),
            Self::Variable(name) => write!(f, "${name}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default(None) => f.write_str("default"),
            Self::Default(Some(from)) => write!(f, "default, from {from}"),
        }
    }
}

/// One row of `plimsoll config check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Dotted name.
    pub key: String,
    /// The value as it would be written, secrets masked; `None` where it is not set.
    pub value: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// What it does.
    pub why: &'static str,
}

/// All settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the API and the page are served.
    pub listen: SocketAddr,
    /// Folder of the history, the lock and the socket.
    pub data_dir: PathBuf,
    /// What to watch, in the order given; may be empty.
    pub targets: Vec<Target>,
    /// Limits of the `[limits]` section; every target has them already, unless it has its own.
    pub limits: BTreeMap<Resource, Limit>,
    /// Readings of this host.
    pub host: Host,
    /// How often and how much is collected.
    pub collect: Collect,
    /// How long the history is kept.
    pub history: History,
    /// Distance of forecast runs.
    pub forecast_every: Millis,
    /// How long a remedy takes from the decision on.
    pub forecast_lead_time: Millis,
    /// Shares of a limit that matter.
    pub thresholds: Thresholds,
    /// When a change to a job queue counts as done.
    pub jobs_durability: Durability,
    /// Near hosts that webhooks may reach.
    pub jobs_webhook_hosts: Vec<String>,
    /// Servers that jobs may send load to.
    pub load_origins: Vec<crate::model::load::Origin>,
    /// What may be done to explain a statement.
    pub explain: Explain,
    /// The longest that one statement which writes to a target may run.
    pub writes_timeout: Millis,
    /// The longest that a statement which writes to a target may wait for a lock.
    pub writes_lock_timeout: Millis,
    /// Read queries by name, in the order given.
    pub queries: Vec<Query>,
    /// Bounds of what is kept of their results.
    pub cache: Cache,
    /// Bounds of the server.
    pub http: Http,
    /// What is logged.
    pub log: Log,
    /// The process environment, for modules that follow other programs' conventions.
    pub environment: Environment,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// Every setting with its origin, in the order of the file.
    pub shown: Vec<Shown>,
}

impl Config {
    /// The Unix socket that the running server answers the command line on.
    pub fn socket(&self) -> PathBuf {
        self.data_dir.join("plimsoll.sock")
    }

    /// Whether nobody set `key`: `demo` then takes a folder that it removes at the end.
    pub fn is_default(&self, key: &str) -> bool {
        let row = self.shown.iter().find(|row| row.key == key);
        row.is_some_and(|row| matches!(row.origin, Origin::Default(_)))
    }
}

/// Readings of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Whether to read them.
    pub watch: bool,
    /// File system that holds the data; `None` lets the collector find it.
    pub mountpoint: Option<PathBuf>,
}

/// How often and how much is collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collect {
    /// Distance of scrapes.
    pub scrape: Millis,
    /// Distance of looks at the catalogs; never shorter than `scrape`.
    pub catalog: Millis,
    /// Distance of activity samples.
    pub activity: Millis,
    /// Statements kept, by total time.
    pub top_statements: usize,
    /// Tables with series of their own.
    pub max_relations: usize,
    /// Series kept for all targets.
    pub max_series: usize,
    /// Bound of one query.
    pub statement_timeout: Millis,
    /// Bound of waiting for a lock.
    pub lock_timeout: Millis,
    /// Bound of connecting.
    pub connect_timeout: Millis,
}

/// How long the history is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// Full-resolution samples.
    pub raw: Millis,
    /// 5 min aggregates; never shorter than `raw`.
    pub rollup_5m: Millis,
    /// 1 h aggregates; never shorter than `rollup_5m`.
    pub rollup_1h: Millis,
    /// Bound on disk, if one is set.
    pub max_bytes: Option<Bytes>,
}

/// Shares of a limit that matter; `warn` lies below `critical`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Worth a warning.
    pub warn: Ratio,
    /// Worth waking somebody.
    pub critical: Ratio,
}

/// What may be done to explain a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explain {
    /// Whether it may be run.
    pub analyze: bool,
    /// Bound of planning it, and of running it.
    pub timeout: Millis,
}

/// Bounds of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// What clients must send, if anything.
    pub token: Option<Secret>,
    /// What clients send who may only look.
    pub viewer_token: Option<Secret>,
    /// Names that browsers may call this server by, besides loopback ones; lower case.
    pub hosts: Vec<String>,
    /// Connections at once.
    pub max_connections: usize,
    /// Bound of a request's head, and of an idle connection.
    pub header_timeout: Millis,
    /// Bound of an answer.
    pub request_timeout: Millis,
    /// The largest request head.
    pub max_header_bytes: usize,
    /// The largest request body.
    pub max_body_bytes: usize,
    /// Answers from this size on are compressed.
    pub compression_threshold: usize,
    /// gzip level, 1 to 9.
    pub compression_level: u32,
    /// How long running requests may finish after a stop signal.
    pub shutdown_grace: Millis,
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// Lines for programs instead of people.
    pub json: bool,
}

/// Loads the settings from flags, environment, file and defaults, in this order of precedence.
///
/// # Errors
/// [`Error`], with every complaint at once where the file could be parsed.
pub fn load(flags: &Flags, environment: &Environment) -> Result<Config> {
    let settings = load::merge(flags, environment)?;
    let mut problems = contradictions::find(&settings);
    let tokens = tokens::read(&settings, &mut problems);
    let listen = settings.address("listen");
    if !listen.ip().is_loopback() && settings.path("http.token_file").is_none() {
        problems.push(settings.problem(
            "listen",
            &format!("{listen} can be reached from other machines; set http.token_file, or listen on 127.0.0.1"),
        ));
    }
    if !problems.is_empty() {
        return Err(Error::Invalid(problems));
    }
    Ok(assemble(&settings, tokens, environment.clone()))
}

fn assemble(settings: &Settings, tokens: Tokens, environment: Environment) -> Config {
    Config {
        listen: settings.address("listen"),
        data_dir: settings.path("data_dir").unwrap_or_default(),
        targets: settings.targets.clone(),
        limits: settings.limits.clone(),
        host: Host {
            watch: settings.flag("host.watch"),
            mountpoint: settings.path("host.mountpoint"),
        },
        collect: Collect {
            scrape: settings.length("collect.scrape"),
            catalog: settings.length("collect.catalog"),
            activity: settings.length("collect.activity"),
            top_statements: settings.count("collect.top_statements"),
            max_relations: settings.count("collect.max_relations"),
            max_series: settings.count("collect.max_series"),
            statement_timeout: settings.length("collect.statement_timeout"),
            lock_timeout: settings.length("collect.lock_timeout"),
            connect_timeout: settings.length("collect.connect_timeout"),
        },
        history: History {
            raw: settings.length("history.raw"),
            rollup_5m: settings.length("history.rollup_5m"),
            rollup_1h: settings.length("history.rollup_1h"),
            max_bytes: settings.size("history.max_bytes"),
        },
        forecast_every: settings.length("forecast.every"),
        forecast_lead_time: settings.length("forecast.lead_time"),
        thresholds: Thresholds {
            warn: settings.ratio("thresholds.warn"),
            critical: settings.ratio("thresholds.critical"),
        },
        jobs_durability: match settings.text("jobs.durability").as_str() {
            "interval" => Durability::Interval,
            "none" => Durability::None,
            _ => Durability::Commit,
        },
        jobs_webhook_hosts: settings.list("jobs.webhook_hosts"),
        load_origins: origins::read(settings),
        explain: Explain {
            analyze: settings.flag("explain.analyze"),
            timeout: settings.length("explain.timeout"),
        },
        writes_timeout: settings.length("writes.timeout"),
        writes_lock_timeout: settings.length("writes.lock_timeout"),
        queries: settings.queries.clone(),
        cache: Cache::of(settings),
        http: http(settings, tokens),
        log: Log {
            level: settings.text("log.level"),
            json: settings.text("log.format") == "json",
        },
        environment,
        file: settings.file.clone(),
        shown: load::shown(settings),
    }
}

fn http(settings: &Settings, tokens: Tokens) -> Http {
    let bytes = |key| {
        let size = settings.size(key).unwrap_or_default();
        usize::try_from(size.0).unwrap_or(usize::MAX)
    };
    Http {
        token: tokens.operator,
        viewer_token: tokens.viewer,
        hosts: settings.list("http.hosts"),
        max_connections: settings.count("http.max_connections"),
        header_timeout: settings.length("http.header_timeout"),
        request_timeout: settings.length("http.request_timeout"),
        max_header_bytes: bytes("http.max_header_bytes"),
        max_body_bytes: bytes("http.max_body_bytes"),
        compression_threshold: bytes("http.compression_threshold"),
        compression_level: u32::try_from(settings.count("http.compression_level")).unwrap_or(6),
        shutdown_grace: settings.length("http.shutdown_grace"),
    }
}

/// Typed reading. A key that [`KEYS`] declares with another shape is a slip in this module, and
/// the first load of any kind shows it.
impl Settings {
    fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key).map(|setting| &setting.value)
    }

    fn problem(&self, key: &str, message: &str) -> Problem {
        let origin = self.values.get(key).map(|setting| setting.origin.clone());
        Problem {
            origin: origin.unwrap_or(Origin::Default(None)),
            message: format!("{key}: {message}"),
        }
    }

    fn address(&self, key: &str) -> SocketAddr {
        match self.value(key) {
            Some(Value::Address(address)) => *address,
            other => misdeclared(key, other),
        }
    }

    fn path(&self, key: &str) -> Option<PathBuf> {
        match self.value(key) {
            Some(Value::Path(path)) => Some(path.clone()),
            None => None,
            other => misdeclared(key, other),
        }
    }

    fn text(&self, key: &str) -> String {
        match self.value(key) {
            Some(Value::Text(text)) => text.clone(),
            other => misdeclared(key, other),
        }
    }

    fn flag(&self, key: &str) -> bool {
        match self.value(key) {
            Some(Value::Flag(flag)) => *flag,
            other => misdeclared(key, other),
        }
    }

    fn count(&self, key: &str) -> usize {
        match self.value(key) {
            Some(Value::Count(count)) => usize::try_from(*count).unwrap_or(usize::MAX),
            other => misdeclared(key, other),
        }
    }

    fn length(&self, key: &str) -> Millis {
        match self.value(key) {
            Some(Value::Duration(length)) => *length,
            other => misdeclared(key, other),
        }
    }

    fn size(&self, key: &str) -> Option<Bytes> {
        match self.value(key) {
            Some(Value::Size(size)) => Some(*size),
            None => None,
            other => misdeclared(key, other),
        }
    }

    fn ratio(&self, key: &str) -> Ratio {
        match self.value(key) {
            Some(Value::Number(share)) => match Ratio::new(*share) {
                Ok(ratio) => ratio,
                Err(_) => misdeclared(key, self.value(key)),
            },
            other => misdeclared(key, other),
        }
    }

    fn list(&self, key: &str) -> Vec<String> {
        match self.value(key) {
            Some(Value::List(texts)) => texts.iter().map(|text| text.to_lowercase()).collect(),
            None => Vec::new(),
            other => misdeclared(key, other),
        }
    }
}

fn misdeclared(key: &str, found: Option<&Value>) -> ! {
    unreachable!("{key} is declared with another shape in KEYS: {found:?}")
}

#[cfg(test)]
mod tests;
