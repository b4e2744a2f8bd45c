//! What libpq reads, read the same way: connection strings, `PG*` variables, password and service
//! files.
//!
//! For: turning what an operator would give to `psql` into one [`ConnInfo`]. Not for: connecting
//! (`session`) or certificates (`tls`). Read [`resolve`] first; `parse` knows the two spellings of
//! a connection string, `files` the two files.
//!
//! Source: PostgreSQL 18 manual, chapter 32 (libpq), sections 32.1, 32.15, 32.16, 32.17, 32.19.

mod conninfo;
mod files;
mod parse;

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Error, Result};

pub(super) use conninfo::ChannelBinding;
pub use conninfo::{ConnInfo, Host, RootCert, SessionAttrs, SslMode};

/// The surroundings that libpq would look at; handed over, since this module reads none itself.
#[derive(Clone, Default)]
pub struct Environment {
    /// Environment variables; only names that begin with `PG` are looked at.
    pub vars: BTreeMap<String, String>,
    /// The home folder, for `.pgpass`, `.pg_service.conf` and `.postgresql/`.
    pub home: Option<PathBuf>,
    /// The name of the operating system's user, the default role.
    pub user: Option<String>,
}

impl std::fmt::Debug for Environment {
    /// Names only: `PGPASSWORD` is among the variables.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment")
            .field("vars", &self.vars.keys().collect::<Vec<_>>())
            .field("home", &self.home)
            .field("user", &self.user)
            .finish()
    }
}

/// Keys that are honoured, with the variable that stands in for each.
const KEYS: &[(&str, &str)] = &[
    ("service", "PGSERVICE"),
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("dbname", "PGDATABASE"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("options", "PGOPTIONS"),
    ("application_name", "PGAPPNAME"),
    ("fallback_application_name", ""),
    ("client_encoding", "PGCLIENTENCODING"),
    ("keepalives", ""),
    ("keepalives_idle", ""),
    ("keepalives_interval", ""),
    ("keepalives_count", ""),
    ("tcp_user_timeout", ""),
    ("sslmode", "PGSSLMODE"),
    ("sslnegotiation", "PGSSLNEGOTIATION"),
    ("sslcompression", "PGSSLCOMPRESSION"),
    ("sslsni", "PGSSLSNI"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    ("gssencmode", "PGGSSENCMODE"),
];

/// Keys of libpq that would be silently weaker if they were ignored, so they are refused.
const UNSUPPORTED: &[&str] = &[
    "gssdelegation",
    "gsslib",
    "krbsrvname",
    "max_protocol_version",
    "min_protocol_version",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_issuer",
    "oauth_scope",
    "replication",
    "require_auth",
    "requirepeer",
    "scram_client_key",
    "scram_server_key",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcertmode",
    "sslcrl",
    "sslcrldir",
    "sslkeylogfile",
    "sslpassword",
];

/// Settings by key, already merged.
type Settings = BTreeMap<String, String>;

/// Finds out where and how to connect, as `psql` would from the same string and surroundings.
///
/// What the string says wins over the service file, that over the variables, those over the
/// defaults. `application_name` is accepted, but our sessions are always named `plimsoll`, since
/// they are left out of every ranking by that name.
///
/// # Errors
/// Those of [`Error`] that are about connection strings, password and service files: each names
/// the key or the file, and never shows a password.
pub fn resolve(conninfo: &str, environment: &Environment) -> Result<ConnInfo> {
    let mut settings = Settings::new();
    for (key, value) in parse::pairs(conninfo)? {
        check_key(&key, "the connection string")?;
        settings.insert(key, value);
    }
    let service = settings
        .get("service")
        .or_else(|| environment.vars.get("PGSERVICE"))
        .cloned();
    if let Some(service) = service.filter(|name| !name.is_empty()) {
        for (key, value) in files::service(&service, environment)? {
            check_key(&key, "the service file")?;
            settings.entry(key).or_insert(value);
        }
    }
    for (key, variable) in KEYS {
        if let Some(value) = environment.vars.get(*variable).filter(|v| !v.is_empty()) {
            settings
                .entry((*key).to_owned())
                .or_insert_with(|| value.clone());
        }
    }
    settings.retain(|_, value| !value.is_empty());
    ConnInfo::from_settings(&settings, environment)
}

fn check_key(key: &str, place: &'static str) -> Result<()> {
    if KEYS.iter().any(|(known, _)| *known == key) {
        Ok(())
    } else if UNSUPPORTED.contains(&key) {
        Err(Error::UnsupportedKey {
            key: key.to_owned(),
        })
    } else {
        Err(Error::UnknownKey {
            key: key.to_owned(),
            place,
        })
    }
}

#[cfg(test)]
mod tests;
