//! A throw-away PostgreSQL cluster of our own: made, started, stopped and removed.
//!
//! For: the demo and the tests. Not for: a server that holds anything worth keeping: the folder
//! goes with the value, however the program ends.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::Signal;

pub use super::binaries::{Binaries, find_binaries};
use super::process::{self, Account, Group, Guardian};
use super::{Error, Result, cannot, refused, scratch, session};

/// The superuser of the cluster.
const USER: &str = "postgres";

/// Extensions that every database of the cluster has, where the server brings them.
const EXTENSIONS: [&str; 2] = ["pg_stat_statements", "hypopg"];

/// How long a start may take before it counts as failed; crash recovery is part of it.
const START_LIMIT: Duration = Duration::from_mins(1);

/// How long a fast shutdown may take before an immediate one follows.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Ports tried when another program takes a free one between our look and the server's start.
const PORT_TRIES: usize = 5;

/// A socket's path has room for 107 bytes, its file name included (`unix(7)`).
const SOCKET_FOLDER_MAX: usize = 80;

/// What cluster to make.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Which server.
    pub binaries: Binaries,
    /// The folder to make for it; `None` chooses one in the folder for temporary files.
    pub folder: Option<PathBuf>,
    /// The port on 127.0.0.1; `None` chooses a free one.
    pub port: Option<u16>,
    /// Further lines of `postgresql.conf`, names and values; the last of a name counts.
    pub settings: Vec<(String, String)>,
    /// `shared_preload_libraries`; those that the server does not bring are left out.
    pub preload: Vec<String>,
}

impl ClusterOptions {
    /// A cluster with the server's defaults and `pg_stat_statements`.
    pub fn new(binaries: Binaries) -> Self {
        Self {
            binaries,
            folder: None,
            port: None,
            settings: Vec::new(),
            preload: vec!["pg_stat_statements".to_owned()],
        }
    }

    /// The same with one more setting.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running cluster. Dropping it stops the server at once and removes the folder.
#[derive(Debug)]
pub struct Cluster {
    binaries: Binaries,
    account: Option<Account>,
    folder: PathBuf,
    port: u16,
    password: String,
    server: Option<Child>,
    guardian: Option<Guardian>,
}

impl Cluster {
    /// Makes a cluster, starts it and waits until it takes connections.
    ///
    /// As root it runs as an unprivileged user, since the server refuses root. Every database made
    /// later has `pg_stat_statements` and `hypopg` where they are installed.
    ///
    /// # Errors
    /// If the folder exists already, or a step fails; nothing is left behind then.
    pub async fn start(options: ClusterOptions) -> Result<Self> {
        let account = Account::for_server()?;
        let password = random_hex()?;
        // Over a name that nobody else has, the guardian stands before the folder is made: a kill in
        // between leaves nothing. A folder that was named may be somebody's until it is ours.
        let (folder, early) = if let Some(folder) = &options.folder {
            (folder.clone(), None)
        } else {
            let folder = scratch::fresh_in(&std::env::temp_dir())?;
            let guardian = Guardian::over(&folder)?;
            (folder, Some(guardian))
        };
        // From here on an early return drops the cluster, and with it the folder.
        let mut cluster = Self {
            binaries: options.binaries.clone(),
            account,
            folder: scratch::make_new(&folder)?,
            port: 0,
            password,
            server: None,
            guardian: None,
        };
        cluster.guardian = Some(match early {
            Some(guardian) => guardian,
            None => Guardian::over(&cluster.folder)?,
        });
        Account::give(account, &cluster.folder)?;
        cluster.binaries = process::reachable(options.binaries.clone(), account, &cluster.folder)?;
        cluster.initialise().await?;
        let port_tries = if options.port.is_some() {
            1
        } else {
            PORT_TRIES
        };
        for attempt in 1..=port_tries {
            cluster.port = options.port.map_or_else(free_port, Ok)?;
            cluster.configure(&options)?;
            match cluster.resume().await {
                Err(Error::Start { reason })
                    if attempt < port_tries && reason.contains("already in use") =>
                {
                    tracing::debug!(port = cluster.port, "the port was taken meanwhile");
                }
                started => {
                    started?;
                    break;
                }
            }
        }
        cluster.add_extensions().await?;
        Ok(cluster)
    }

    /// The address of the database `postgres`, password included.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The address of `database`, which must be a name that needs no escaping in a URL.
    pub fn url_of(&self, database: &str) -> String {
        let Self { password, port, .. } = self;
        format!("postgres://{USER}:{password}@127.0.0.1:{port}/{database}")
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The superuser's password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Where the cluster lies: `data/`, `server.log` and the server's socket.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The server's programs.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Makes an empty database.
    ///
    /// # Errors
    /// `Postgres` if it exists already.
    pub async fn create_database(&self, name: &str) -> Result<()> {
        let client = session::connect(&self.url(), "plimsoll demo").await?;
        let name = name.replace('"', "\"\"");
        client
            .batch_execute(&format!("CREATE DATABASE \"{name}\""))
            .await
            .map_err(refused("create a database"))
    }

    /// Shuts the server down in order and removes the folder.
    ///
    /// # Errors
    /// `File` if the folder cannot be removed.
    pub async fn stop(mut self) -> Result<()> {
        self.halt().await;
        self.remove()
    }

    /// Shuts the server down and keeps the cluster; [`Cluster::resume`] goes on.
    pub async fn halt(&mut self) {
        let Some(mut server) = self.server.take() else {
            return;
        };
        process::signal(&server, Signal::INT);
        if process::ended(&mut server, STOP_LIMIT).await.is_none() {
            process::signal(&server, Signal::QUIT);
            if process::ended(&mut server, STOP_LIMIT).await.is_none() {
                process::kill_group(&server);
                process::ended(&mut server, STOP_LIMIT).await;
            }
        }
    }

    /// Ends the server as a crash would: without a checkpoint, so that the next start recovers.
    pub async fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            process::signal(&server, Signal::QUIT);
            if process::ended(&mut server, STOP_LIMIT).await.is_none() {
                process::kill_group(&server);
                process::ended(&mut server, STOP_LIMIT).await;
            }
        }
    }

    /// Starts the server of a cluster that was halted or killed, on the same port.
    ///
    /// # Errors
    /// `Start` with the end of the server's log.
    pub async fn resume(&mut self) -> Result<()> {
        let log = self.folder.join("server.log");
        let output = File::create(&log).map_err(cannot("cannot write", &log))?;
        let errors = output.try_clone().map_err(cannot("cannot write", &log))?;
        let mut command = process::command(&self.binaries, "postgres", self.account);
        command
            .arg("-D")
            .arg(self.data())
            .stdout(output)
            .stderr(errors);
        let server = command.spawn().map_err(|source| Error::Run {
            program: self.binaries.program("postgres"),
            source,
        })?;
        self.server = Some(server);
        self.wait_until_ready().await
    }

    /// Shuts down and starts again.
    ///
    /// # Errors
    /// As [`Cluster::resume`].
    pub async fn restart(&mut self) -> Result<()> {
        self.halt().await;
        self.resume().await
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let url = self.url();
        let patience = Duration::from_millis(50);
        let mut left = START_LIMIT;
        while let Some(rest) = left.checked_sub(patience) {
            if session::connect(&url, "plimsoll demo").await.is_ok() {
                return Ok(());
            }
            let server = self.server.as_mut();
            if server.is_some_and(|child| matches!(child.try_wait(), Ok(Some(_)))) {
                break;
            }
            left = rest;
            tokio::time::sleep(patience).await;
        }
        let log = fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
        self.kill().await;
        Err(Error::Start {
            reason: last_lines(&log),
        })
    }

    /// Runs `initdb`: UTF-8 with byte order collation, passwords on TCP, trust in our own folder.
    async fn initialise(&self) -> Result<()> {
        let secret = self.folder.join("password");
        fs::write(&secret, &self.password).map_err(cannot("cannot write", &secret))?;
        Account::give(self.account, &secret)?;
        let (mut said, log) = (String::new(), self.folder.join("initdb.log"));
        // Old C libraries do not know C.UTF-8.
        for locale in ["C.UTF-8", "C"] {
            let errors = File::create(&log).map_err(cannot("cannot write", &log))?;
            let mut command = process::command(&self.binaries, "initdb", self.account);
            command
                .arg("-D")
                .arg(self.data())
                .args(["--username", USER, "--encoding", "UTF8", "--no-sync"])
                .args(["--auth-local", "trust", "--auth-host", "scram-sha-256"])
                .arg(format!("--locale={locale}"))
                .arg(format!("--pwfile={}", secret.display()))
                .stdout(Stdio::null())
                .stderr(errors);
            let program = self.binaries.program("initdb");
            let group = Group::spawn(command).map_err(|source| Error::Run { program, source })?;
            if group.ended().await.is_some_and(|status| status.success()) {
                return fs::remove_file(&secret).map_err(cannot("cannot remove", &secret));
            }
            said = last_lines(&fs::read_to_string(&log).unwrap_or_default());
        }
        Err(Error::Tool {
            program: self.binaries.program("initdb"),
            output: said,
        })
    }

    /// Writes the settings that differ from the server's defaults to `postgresql.auto.conf`.
    fn configure(&self, options: &ClusterOptions) -> Result<()> {
        let sockets = if self.folder.as_os_str().len() > SOCKET_FOLDER_MAX {
            String::new()
        } else {
            self.folder.display().to_string()
        };
        let preload: Vec<&str> = options
            .preload
            .iter()
            .map(String::as_str)
            .filter(|name| self.binaries.has_library(name))
            .collect();
        let mut text = String::new();
        let own = [
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("port", self.port.to_string()),
            ("unix_socket_directories", sockets),
            ("shared_preload_libraries", preload.join(",")),
            ("track_io_timing", "on".to_owned()),
            ("timezone", "UTC".to_owned()),
            ("log_timezone", "UTC".to_owned()),
        ];
        let given = options
            .settings
            .iter()
            .map(|(n, v)| (n.as_str(), v.clone()));
        for (name, value) in own.into_iter().chain(given) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name} = '{}'", value.replace('\'', "''"));
        }
        let path = self.data().join("postgresql.auto.conf");
        fs::write(&path, text).map_err(cannot("cannot write", &path))
    }

    /// `template1` first, so that databases made later have them, too.
    async fn add_extensions(&self) -> Result<()> {
        for database in ["template1", "postgres"] {
            let client = session::connect(&self.url_of(database), "plimsoll demo").await?;
            let rows = client
                .query(
                    "SELECT name FROM pg_available_extensions WHERE name = ANY($1)",
                    &[&EXTENSIONS.as_slice()],
                )
                .await
                .map_err(refused("list its extensions"))?;
            for row in rows {
                let name: String = row.get(0);
                client
                    .batch_execute(&format!("CREATE EXTENSION IF NOT EXISTS {name}"))
                    .await
                    .map_err(refused("create an extension"))?;
            }
        }
        Ok(())
    }

    /// Removes the folder, and sends the guardian home if that went well.
    fn remove(&mut self) -> Result<()> {
        scratch::remove_all(&self.folder)?;
        if let Some(guardian) = self.guardian.take() {
            guardian.dismiss();
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            process::signal(&server, Signal::QUIT);
            if !process::ended_blocking(&mut server, STOP_LIMIT) {
                process::kill_group(&server);
                process::ended_blocking(&mut server, STOP_LIMIT);
            }
        }
        if let Err(error) = self.remove() {
            tracing::warn!(%error, "the demo's folder is still there");
        }
    }
}

/// Sixteen random bytes as text.
pub(super) fn random_hex() -> Result<String> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0_u8; 16];
    File::open(path)
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(cannot("cannot read", path))?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

fn free_port() -> Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(cannot("cannot listen on", Path::new("127.0.0.1")))
}

/// The end of a log, on one line.
fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let start = lines.len().saturating_sub(4);
    let end = lines.get(start..).unwrap_or_default().join("; ");
    if end.is_empty() {
        "it said nothing".to_owned()
    } else {
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_what_is_shown() {
        assert_eq!(last_lines("a\n\nb\nc\nd\ne\n"), "b; c; d; e");
        assert_eq!(last_lines(" \n"), "it said nothing");
    }
}
