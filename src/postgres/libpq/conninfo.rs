//! One resolved connection: every setting checked, the password out of sight.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::files::{self, PassFile, Wanted};
use super::{Environment, Settings};
use crate::model::units::Millis;
use crate::postgres::{Error, Result};

/// A password: shown by nothing.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one who sends it to the server.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// How much TLS is asked for; names and meaning are libpq's (manual, table 32.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS only where the server insists.
    Allow,
    /// TLS where the server offers it.
    Prefer,
    /// TLS, whoever the server is.
    Require,
    /// TLS, and the certificate comes from a trusted authority.
    VerifyCa,
    /// TLS, and the certificate names the host, too.
    VerifyFull,
}

/// Where trusted authorities come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCert {
    /// `~/.postgresql/root.crt`, where it exists.
    Default(Option<PathBuf>),
    /// This file.
    File(PathBuf),
    /// The operating system's list.
    System,
}

/// Which kind of server among several hosts is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionAttrs {
    /// Whichever answers first.
    Any,
    /// `primary` and `read-write`: a server that is not in recovery.
    Primary,
    /// `standby` and `read-only`: a server in recovery.
    Standby,
    /// A standby, or whichever answers when there is none.
    PreferStandby,
}

/// Whether the password exchange must be bound to the TLS channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChannelBinding {
    /// Never.
    Disable,
    /// Where possible.
    Prefer,
    /// Always.
    Require,
}

/// One place to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// A host name, an address, or the folder of a Unix socket (begins with `/` or `@`).
    pub name: String,
    /// `hostaddr`: spares the look-up of the name.
    pub address: Option<IpAddr>,
    /// The port; part of the socket's name, too.
    pub port: u16,
    /// From the connection string, the variables or the password file.
    pub(crate) password: Option<Secret>,
}

impl Host {
    /// Whether this is a Unix socket.
    pub fn is_socket(&self) -> bool {
        self.address.is_none() && self.name.starts_with(['/', '@'])
    }

    /// `host:port` for people; the socket's path for a Unix socket.
    pub fn display(&self) -> String {
        if self.is_socket() {
            format!("{}/.s.PGSQL.{}", self.name, self.port)
        } else if self.name.contains(':') {
            format!("[{}]:{}", self.name, self.port)
        } else {
            format!("{}:{}", self.name, self.port)
        }
    }

    fn is_local(&self) -> bool {
        let address = self.address.or_else(|| self.name.parse().ok());
        self.is_socket()
            || self.name == "localhost"
            || address.is_some_and(|address| address.is_loopback())
    }
}

/// Where and how to connect. `Debug` shows no password.
#[derive(Debug, Clone)]
pub struct ConnInfo {
    /// Places to try, in order; at least one.
    pub hosts: Vec<Host>,
    /// The database.
    pub dbname: String,
    /// The role.
    pub user: String,
    /// How much TLS.
    pub sslmode: SslMode,
    /// Where trusted authorities come from.
    pub sslrootcert: RootCert,
    /// Which kind of server is wanted.
    pub session_attrs: SessionAttrs,
    /// A password file that was left unread, since others could read it.
    pub exposed_pass_file: Option<PathBuf>,
    pub(crate) sslcert: Option<PathBuf>,
    pub(crate) sslkey: Option<PathBuf>,
    pub(crate) direct_tls: bool,
    pub(crate) channel_binding: ChannelBinding,
    pub(crate) connect_timeout: Option<Millis>,
    pub(crate) options: Option<String>,
    pub(crate) keepalives: bool,
    pub(crate) keepalives_idle: Option<Millis>,
    pub(crate) tcp_user_timeout: Option<Millis>,
}

impl ConnInfo {
    /// `host:port/database` for people, hosts separated by commas.
    pub fn display(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(Host::display).collect();
        format!("{}/{}", hosts.join(","), self.dbname)
    }

    /// Whether every host is this machine: a Unix socket or the loopback.
    pub fn is_local(&self) -> bool {
        self.hosts.iter().all(Host::is_local)
    }

    pub(super) fn from_settings(settings: &Settings, environment: &Environment) -> Result<Self> {
        let read = Reader { settings };
        let user = settings.get("user").or(environment.user.as_ref()).cloned();
        let user = user.ok_or(Error::NoUser)?;
        let dbname = settings.get("dbname").unwrap_or(&user).clone();
        let mut hosts = read.hosts()?;
        let exposed_pass_file =
            read.fill_passwords(&mut hosts, (dbname.as_str(), user.as_str()), environment)?;
        let dot = environment.home.as_ref().map(|h| h.join(".postgresql"));
        let default = |name: &str| dot.as_ref().map(|d| d.join(name)).filter(|p| p.exists());
        let file = |key: &str, name: &str| {
            let given = settings.get(key).map(PathBuf::from);
            given.or_else(|| default(name))
        };
        let sslrootcert = match settings.get("sslrootcert").map(String::as_str) {
            None => RootCert::Default(default("root.crt")),
            Some("system") => RootCert::System,
            Some(path) => RootCert::File(PathBuf::from(path)),
        };
        read.refuse("gssencmode", &["disable", "prefer"])?;
        read.refuse("sslcompression", &["0"])?;
        read.refuse("sslsni", &["1"])?;
        Ok(Self {
            sslmode: read.sslmode(&sslrootcert)?,
            sslrootcert,
            session_attrs: read.session_attrs()?,
            exposed_pass_file,
            sslcert: file("sslcert", "postgresql.crt"),
            sslkey: file("sslkey", "postgresql.key"),
            direct_tls: read.choice("sslnegotiation", &[("postgres", false), ("direct", true)])?,
            channel_binding: read.channel_binding()?,
            // Zero and negative mean "no limit of its own"; ours applies then.
            connect_timeout: read.seconds("connect_timeout")?.filter(|t| t.0 > 0),
            options: settings.get("options").cloned(),
            keepalives: read.choice("keepalives", &[("1", true), ("0", false)])?,
            keepalives_idle: read.seconds("keepalives_idle")?.filter(|t| t.0 > 0),
            tcp_user_timeout: read
                .number::<u64>("tcp_user_timeout", "milliseconds")?
                .map(Millis),
            hosts,
            dbname,
            user,
        })
    }
}

struct Reader<'a> {
    settings: &'a Settings,
}

impl Reader<'_> {
    fn bad(key: &'static str, value: &str, want: String) -> Error {
        Error::BadValue {
            key,
            value: value.to_owned(),
            want,
        }
    }

    fn choice<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> Result<T> {
        let value = self.settings.get(key);
        let found = match value {
            None => choices.first(),
            Some(value) => choices.iter().find(|(name, _)| name == value),
        };
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            Self::bad(
                key,
                value.map_or("", String::as_str),
                format!("one of {}", names.join(", ")),
            )
        })
    }

    /// An error for a value that would have to do something that we do not.
    fn refuse(&self, key: &'static str, harmless: &[&str]) -> Result<()> {
        let choices: Vec<(&str, ())> = harmless.iter().map(|name| (*name, ())).collect();
        self.choice(key, &choices)
    }

    fn number<T: FromStr>(&self, key: &'static str, want: &str) -> Result<Option<T>> {
        self.settings
            .get(key)
            .map(|value| {
                let number = value.trim().parse();
                number.map_err(|_| Self::bad(key, value, format!("a whole number of {want}")))
            })
            .transpose()
    }

    fn seconds(&self, key: &'static str) -> Result<Option<Millis>> {
        let seconds = self.number::<i64>(key, "seconds")?;
        Ok(seconds.map(|s| Millis(u64::try_from(s).unwrap_or(0).saturating_mul(1_000))))
    }

    fn sslmode(&self, roots: &RootCert) -> Result<SslMode> {
        const MODES: [(&str, SslMode); 6] = [
            ("prefer", SslMode::Prefer),
            ("disable", SslMode::Disable),
            ("allow", SslMode::Allow),
            ("require", SslMode::Require),
            ("verify-ca", SslMode::VerifyCa),
            ("verify-full", SslMode::VerifyFull),
        ];
        if *roots == RootCert::System {
            if let Some(mode) = self.settings.get("sslmode").filter(|m| *m != "verify-full") {
                let want = "verify-full, since sslrootcert is system".to_owned();
                return Err(Self::bad("sslmode", mode, want));
            }
            return Ok(SslMode::VerifyFull);
        }
        let mode = self.choice("sslmode", &MODES)?;
        // The manual: `require` with a root certificate behaves as `verify-ca`.
        let has_roots = !matches!(roots, RootCert::Default(None));
        Ok(if mode == SslMode::Require && has_roots {
            SslMode::VerifyCa
        } else {
            mode
        })
    }

    fn session_attrs(&self) -> Result<SessionAttrs> {
        self.choice(
            "target_session_attrs",
            &[
                ("any", SessionAttrs::Any),
                ("read-write", SessionAttrs::Primary),
                ("primary", SessionAttrs::Primary),
                ("read-only", SessionAttrs::Standby),
                ("standby", SessionAttrs::Standby),
                ("prefer-standby", SessionAttrs::PreferStandby),
            ],
        )
    }

    fn channel_binding(&self) -> Result<ChannelBinding> {
        self.choice(
            "channel_binding",
            &[
                ("prefer", ChannelBinding::Prefer),
                ("disable", ChannelBinding::Disable),
                ("require", ChannelBinding::Require),
            ],
        )
    }

    fn list(&self, key: &str) -> Vec<&str> {
        self.settings
            .get(key)
            .map(|value| value.split(',').map(str::trim).collect())
            .unwrap_or_default()
    }

    fn hosts(&self) -> Result<Vec<Host>> {
        let (names, addresses, ports) =
            (self.list("host"), self.list("hostaddr"), self.list("port"));
        let count = names.len().max(addresses.len()).max(1);
        for (key, list) in [("host", &names), ("hostaddr", &addresses), ("port", &ports)] {
            let one_for_all = key == "port" && list.len() == 1;
            if !list.is_empty() && list.len() != count && !one_for_all {
                let shown = list.join(",");
                return Err(Self::bad(
                    key,
                    &shown,
                    format!("a list of {count}, as the hosts are"),
                ));
            }
        }
        (0..count)
            .map(|i| {
                let address = match addresses.get(i).filter(|a| !a.is_empty()) {
                    None => None,
                    Some(text) => Some(text.parse::<IpAddr>().map_err(|_| {
                        Self::bad("hostaddr", text, "an IPv4 or IPv6 address".to_owned())
                    })?),
                };
                let name = match (names.get(i).filter(|n| !n.is_empty()), address) {
                    (Some(name), _) => (*name).to_owned(),
                    (None, Some(address)) => address.to_string(),
                    (None, None) => default_socket_folder().to_owned(),
                };
                let port = ports.get(i).or(ports.first()).filter(|p| !p.is_empty());
                let port = port.map_or(Ok(5432), |text| {
                    let port = text.parse::<u16>().ok().filter(|port| *port > 0);
                    port.ok_or_else(|| Self::bad("port", text, "1 to 65535".to_owned()))
                })?;
                Ok(Host {
                    name,
                    address,
                    port,
                    password: None,
                })
            })
            .collect()
    }

    /// Gives each host its password; says which password file was left unread.
    fn fill_passwords(
        &self,
        hosts: &mut [Host],
        (dbname, user): (&str, &str),
        environment: &Environment,
    ) -> Result<Option<PathBuf>> {
        if let Some(password) = self.settings.get("password") {
            for host in hosts {
                host.password = Some(Secret::new(password.clone()));
            }
            return Ok(None);
        }
        let given = self.settings.get("passfile").map(PathBuf::from);
        let home = environment.home.as_ref().map(|home| home.join(".pgpass"));
        let Some(path) = given.or(home) else {
            return Ok(None);
        };
        let text = match files::read_pass_file(&path)? {
            PassFile::Missing => return Ok(None),
            PassFile::Exposed(path) => return Ok(Some(path)),
            PassFile::Text(text) => text,
        };
        for host in hosts {
            let localhost = host.is_socket() && host.name == default_socket_folder();
            let wanted = Wanted {
                host: if localhost { "localhost" } else { &host.name },
                port: host.port,
                dbname,
                user,
            };
            host.password = files::password(&text, &wanted);
        }
        Ok(None)
    }
}

/// Debian's and Red Hat's socket folder where it exists, else that of a plain build.
fn default_socket_folder() -> &'static str {
    const PACKAGED: &str = "/var/run/postgresql";
    if Path::new(PACKAGED).is_dir() {
        PACKAGED
    } else {
        "/tmp"
    }
}
