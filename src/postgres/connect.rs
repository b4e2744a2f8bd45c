//! Opens one connection: hosts in order, TLS as asked, and each failure by its own name.

#![expect(
    clippy::disallowed_types,
    reason = "this module and `session` are the ones that speak to a server"
)]

use std::fmt::Write as _;
use std::net::IpAddr;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::{self, Config};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use super::error::{io_cause, root_cause};
use super::libpq::{ChannelBinding, ConnInfo, Host, SessionAttrs, SslMode};
use super::observer::{Manner, Options};
use super::{APPLICATION_NAME, Error, Result, tls};

/// A connection that is ready, before anything was asked.
pub(super) struct Opened {
    pub(super) client: Client,
    /// Drives the socket; ends with the client.
    pub(super) driver: JoinHandle<()>,
    pub(super) address: String,
    /// A pooler stands between: it refused the settings that a session begins with.
    pub(super) pooled: bool,
}

/// The settings that keep us harmless, as the startup packet carries them.
fn startup_options(options: &Options) -> String {
    let mut text = options.conninfo.options.clone().unwrap_or_default();
    for (name, value) in settings(options) {
        let _ = write!(text, " -c {name}={value}");
    }
    text.trim_start().to_owned()
}

/// [`harmless_settings`] without those that would alter plans, where plans must come out as they do
/// for those who run the statement.
pub(super) fn settings(options: &Options) -> impl Iterator<Item = (&'static str, String)> {
    let alters_plans = ["search_path", "max_parallel_workers_per_gather", "jit"];
    let is_reading = options.manner == Manner::Reading;
    let all = harmless_settings(options).into_iter();
    all.filter(move |(name, _)| is_reading || !alters_plans.contains(name))
}

/// Name and value of each setting that keeps us harmless.
///
/// No parallel workers and no JIT: our queries are small, and both cost the server more than they
/// save. The search path is fixed, so that no function of the database stands in for a built-in.
pub(super) fn harmless_settings(options: &Options) -> [(&'static str, String); 7] {
    let timeout = options.statement_timeout.0;
    [
        ("default_transaction_read_only", "on".to_owned()),
        ("statement_timeout", timeout.to_string()),
        ("lock_timeout", options.lock_timeout.0.to_string()),
        (
            "idle_in_transaction_session_timeout",
            (2 * timeout).to_string(),
        ),
        ("search_path", "pg_catalog".to_owned()),
        ("max_parallel_workers_per_gather", "0".to_owned()),
        ("jit", "off".to_owned()),
    ]
}

/// Tries every host in order and takes the first of the wanted kind.
///
/// # Errors
/// That of the last host tried; a server that answered and said no ends the search.
pub(super) async fn open(options: &Options) -> Result<Opened> {
    let info = &options.conninfo;
    let passes: &[SessionAttrs] = match info.session_attrs {
        SessionAttrs::PreferStandby => &[SessionAttrs::Standby, SessionAttrs::Any],
        SessionAttrs::Primary => &[SessionAttrs::Primary],
        SessionAttrs::Standby => &[SessionAttrs::Standby],
        SessionAttrs::Any => &[SessionAttrs::Any],
    };
    let limit = info.connect_timeout.unwrap_or(options.connect_timeout);
    let mut last = Error::NotConnected;
    for wanted in passes {
        for host in &info.hosts {
            let attempt = open_host(options, host, *wanted);
            last = match timeout(limit.as_duration(), attempt).await {
                Ok(Ok(opened)) => return Ok(opened),
                Ok(Err(error)) if error.is_refusal() => return Err(error),
                Ok(Err(error)) => error,
                Err(_) => Error::ConnectTimeout {
                    address: host.display(),
                    after_ms: limit.0,
                },
            };
        }
    }
    Err(last)
}

async fn open_host(options: &Options, host: &Host, wanted: SessionAttrs) -> Result<Opened> {
    let mut last = Error::NoSuchHost {
        host: host.name.clone(),
    };
    for address in addresses(host).await? {
        match open_address(options, host, address).await {
            Ok(opened) => {
                check_kind(&opened, wanted).await?;
                return Ok(opened);
            }
            Err(error) if error.is_refusal() => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Every address of a host; one `None` for a Unix socket.
async fn addresses(host: &Host) -> Result<Vec<Option<IpAddr>>> {
    if host.is_socket() {
        return Ok(vec![None]);
    }
    if let Some(address) = host.address {
        return Ok(vec![Some(address)]);
    }
    let found = tokio::net::lookup_host((host.name.as_str(), host.port)).await;
    let found = found.map_err(|_| Error::NoSuchHost {
        host: host.name.clone(),
    })?;
    Ok(found.map(|address| Some(address.ip())).collect())
}

/// Whether TLS is used in one attempt.
#[derive(Clone, Copy, PartialEq)]
enum Wire {
    Plain,
    Tls,
}

/// What to try with one address, in order, as libpq's `sslmode` says.
fn wires(info: &ConnInfo, host: &Host) -> &'static [Wire] {
    match info.sslmode {
        _ if host.is_socket() => &[Wire::Plain],
        SslMode::Disable => &[Wire::Plain],
        SslMode::Allow => &[Wire::Plain, Wire::Tls],
        SslMode::Prefer => &[Wire::Tls, Wire::Plain],
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Wire::Tls],
    }
}

async fn open_address(options: &Options, host: &Host, address: Option<IpAddr>) -> Result<Opened> {
    let mut last = Error::NotConnected;
    for wire in wires(&options.conninfo, host) {
        let opened = match attempt(options, host, address, *wire, false).await {
            // PgBouncer and its kin take no settings in the startup packet.
            Err(Failure::NoStartupOptions) => attempt(options, host, address, *wire, true).await,
            other => other,
        };
        last = match opened {
            Ok(opened) => return Ok(opened),
            Err(Failure::NoStartupOptions) => Error::Refused {
                address: host.display(),
                detail: "a startup parameter is not supported".to_owned(),
            },
            // Only what the other wire may cure is tried again over it.
            Err(Failure::Other(error @ (Error::Tls { .. } | Error::NotAllowed { .. }))) => error,
            Err(Failure::Other(error)) => return Err(error),
        };
    }
    Err(last)
}

enum Failure {
    NoStartupOptions,
    Other(Error),
}

async fn attempt(
    options: &Options,
    host: &Host,
    address: Option<IpAddr>,
    wire: Wire,
    pooled: bool,
) -> std::result::Result<Opened, Failure> {
    let mut config = driver_config(options, host, wire);
    if let Some(address) = address {
        config.hostaddr(address);
    }
    if !pooled {
        config.options(startup_options(options));
    }
    let connected = if wire == Wire::Tls {
        let connector = tls::connector(&options.conninfo).map_err(Failure::Other)?;
        config.connect(connector).await.map(|(client, connection)| {
            let driver = tokio::spawn(async move { drop(connection.await) });
            (client, driver)
        })
    } else {
        config.connect(NoTls).await.map(|(client, connection)| {
            let driver = tokio::spawn(async move { drop(connection.await) });
            (client, driver)
        })
    };
    let (client, driver) = connected.map_err(|e| name_failure(&options.conninfo, host, &e))?;
    Ok(Opened {
        client,
        driver,
        address: host.display(),
        pooled,
    })
}

fn driver_config(options: &Options, host: &Host, wire: Wire) -> Config {
    let info = &options.conninfo;
    let mut config = Config::new();
    config
        .user(&info.user)
        .dbname(&info.dbname)
        .port(host.port)
        .application_name(APPLICATION_NAME)
        .keepalives(info.keepalives)
        .channel_binding(match info.channel_binding {
            ChannelBinding::Disable => config::ChannelBinding::Disable,
            ChannelBinding::Prefer => config::ChannelBinding::Prefer,
            ChannelBinding::Require => config::ChannelBinding::Require,
        })
        .ssl_mode(match (wire, info.sslmode) {
            (Wire::Plain, _) => config::SslMode::Disable,
            // The server may say no to TLS; then the same connection goes on without.
            (Wire::Tls, SslMode::Prefer) if !info.direct_tls => config::SslMode::Prefer,
            (Wire::Tls, _) => config::SslMode::Require,
        });
    if host.is_socket() {
        config.host_path(&host.name);
    } else {
        config.host(&host.name);
    }
    if info.direct_tls {
        config.ssl_negotiation(config::SslNegotiation::Direct);
    }
    if let Some(password) = &host.password {
        config.password(password.reveal());
    }
    if let Some(idle) = info.keepalives_idle {
        config.keepalives_idle(idle.as_duration());
    }
    if let Some(limit) = info.tcp_user_timeout {
        config.tcp_user_timeout(limit.as_duration());
    }
    config
}

/// Which of our errors a failed attempt is.
fn name_failure(info: &ConnInfo, host: &Host, error: &tokio_postgres::Error) -> Failure {
    let address = host.display();
    let user = info.user.clone();
    let detail = root_cause(error);
    let shown = error.to_string();
    let Some(db) = error.as_db_error() else {
        return Failure::Other(if shown.contains("TLS") {
            Error::Tls { address, detail }
        } else if detail.contains("password missing") {
            let cure = match &info.exposed_pass_file {
                Some(path) => format!("{} is ignored until chmod 0600", path.display()),
                None => "set PGPASSWORD or add a line to ~/.pgpass".to_owned(),
            };
            Error::NoPassword {
                address,
                user,
                cure,
            }
        } else if io_cause(error).is_some() {
            Error::Unreachable { address, detail }
        } else {
            Error::Refused { address, detail }
        });
    };
    let detail = db.message().to_owned();
    Failure::Other(match db.code() {
        c if *c == SqlState::INVALID_PASSWORD => Error::WrongPassword { address, user },
        c if *c == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => Error::NotAllowed {
            address,
            user,
            detail,
        },
        c if *c == SqlState::INVALID_CATALOG_NAME => Error::NoDatabase {
            address,
            database: info.dbname.clone(),
        },
        c if *c == SqlState::TOO_MANY_CONNECTIONS => Error::Full { address },
        c if *c == SqlState::CANNOT_CONNECT_NOW => Error::NotReady { address },
        _ if detail.contains("startup parameter") => return Failure::NoStartupOptions,
        _ => Error::Refused { address, detail },
    })
}

async fn check_kind(opened: &Opened, wanted: SessionAttrs) -> Result<()> {
    let (standby, want) = match wanted {
        SessionAttrs::Any | SessionAttrs::PreferStandby => return Ok(()),
        SessionAttrs::Primary => (false, "primary"),
        SessionAttrs::Standby => (true, "standby"),
    };
    let sql = "select /* plimsoll */ pg_catalog.pg_is_in_recovery()";
    let row = opened.client.query_typed_one(sql, &[]).await;
    let in_recovery: bool = row
        .and_then(|row| row.try_get(0))
        .map_err(|e| Error::Lost {
            address: opened.address.clone(),
            detail: root_cause(&e),
        })?;
    if in_recovery == standby {
        Ok(())
    } else {
        Err(Error::WrongKind {
            address: opened.address.clone(),
            want,
        })
    }
}
