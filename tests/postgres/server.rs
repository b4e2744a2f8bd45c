//! Throw-away servers for tests, of any version whose binaries are there.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use plimsoll::postgres::{ConnInfo, Environment, resolve};
use tokio_postgres::NoTls;

/// Where the binaries of a major version lie, if they do.
pub(crate) fn binaries(major: u32) -> Option<PathBuf> {
    let unpacked =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/postgres/{major}/bin"));
    let packaged = PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"));
    [unpacked, packaged]
        .into_iter()
        .find(|bin| bin.join("postgres").exists())
}

/// The binaries of `major`, or a loud skip; a failure where `REQUIRE_POSTGRES` is 1.
pub(crate) fn require(major: u32) -> Option<PathBuf> {
    let found = binaries(major);
    if found.is_none() {
        let required = std::env::vars().any(|(k, v)| k == "REQUIRE_POSTGRES" && v == "1");
        assert!(!required, "no Postgres {major}, and REQUIRE_POSTGRES=1");
        eprintln!("SKIPPED: no Postgres {major} in target/postgres/{major}/bin or the system");
    }
    found
}

/// A private cluster: a socket in its own folder, a port on the loopback, gone with this value.
pub(crate) struct Server {
    bin: PathBuf,
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    settings: Vec<String>,
    /// The account that runs it: the server refuses to run as root.
    account: Option<(u32, u32)>,
}

impl Server {
    /// Makes and starts a cluster; `settings` are `name=value`.
    pub(crate) fn start(bin: &Path, settings: &[&str]) -> Self {
        let server = Self::planned(bin, settings);
        server.run(
            "initdb",
            &[
                "-D",
                &server.data(),
                "-U",
                "postgres",
                "-A",
                "trust",
                "--no-sync",
                "-E",
                "UTF8",
                "--locale=C",
            ],
        );
        let hba = "local all watcher scram-sha-256\nlocal all all trust\n\
                   host all watcher 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n\
                   local replication all trust\n";
        fs::write(Path::new(&server.data()).join("pg_hba.conf"), hba).unwrap();
        server.up();
        server
    }

    /// Makes and starts a standby of this server, which streams from it over its socket.
    pub(crate) fn standby(&self, settings: &[&str]) -> Self {
        let standby = Self::planned(&self.bin, settings);
        let (socket, port) = (self.socket(), self.port.to_string());
        let from = ["-h", &socket, "-p", &port, "-U", "postgres"];
        let what = ["-X", "stream", "-R", "--no-sync", "--checkpoint=fast"];
        let to = ["-D", &standby.data()];
        standby.run("pg_basebackup", &[&from[..], &what, &to].concat());
        standby.up();
        standby
    }

    /// A folder and a port; no cluster yet.
    fn planned(bin: &Path, settings: &[&str]) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("plimsoll-test-")
            .tempdir()
            .unwrap();
        let account = is_root().then(postgres_account);
        if let Some((uid, gid)) = account {
            chown(folder.path(), Some(uid), Some(gid)).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        Self {
            bin: bin.to_owned(),
            folder,
            port,
            settings: settings.iter().map(|s| (*s).to_owned()).collect(),
            account,
        }
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    /// The folder of the socket.
    pub(crate) fn socket(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// One of the server's own programs.
    fn command(&self, program: &str) -> Command {
        self.as_account(&self.bin.join(program))
    }

    /// A program run by the server's account.
    fn as_account(&self, program: &Path) -> Command {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new(program);
        if let Some((uid, gid)) = self.account {
            command.uid(uid).gid(gid);
        }
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, program: &str, args: &[&str]) {
        let output = self.command(program).args(args).output().unwrap();
        let shown = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {args:?}: {shown}");
    }

    /// Starts it, and waits until it takes connections.
    pub(crate) fn up(&self) {
        let mut options = format!(
            "-p {} -k {} -c listen_addresses=127.0.0.1 -c fsync=off",
            self.port,
            self.socket()
        );
        for setting in &self.settings {
            let _ = write!(options, " -c {setting}");
        }
        let log = self.folder.path().join("log").display().to_string();
        let status = self
            .command("pg_ctl")
            .args([
                "-D",
                &self.data(),
                "-w",
                "-t",
                "60",
                "-l",
                &log,
                "-o",
                &options,
                "start",
            ])
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(
            status.success(),
            "{}",
            fs::read_to_string(&log).unwrap_or_default()
        );
    }

    /// What the server logged since it was made.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Has sessions that begin from now on write no file beyond `bytes`: what lies across that end is
    /// written in part, as on a disk that is full.
    pub(crate) fn limit_files(&self, bytes: u64) {
        let pids = fs::read_to_string(Path::new(&self.data()).join("postmaster.pid")).unwrap();
        let pid = pids.lines().next().unwrap();
        let limit = format!("--fsize={bytes}");
        // Its own account may, whatever ours may not.
        let mut command = self.as_account(Path::new("prlimit"));
        let status = command.args(["--pid", pid, &limit]).status();
        assert!(status.unwrap().success(), "no limit for {pid}");
    }

    /// The account that runs it; `None` is ours.
    pub(crate) fn account(&self) -> Option<(u32, u32)> {
        self.account
    }

    /// Writes a file into the data folder, readable by the server alone.
    pub(crate) fn install(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = Path::new(&self.data()).join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        if let Some((uid, gid)) = self.account {
            chown(&path, Some(uid), Some(gid)).unwrap();
        }
    }

    /// Stops it: `fast` or `immediate`.
    pub(crate) fn down(&self, mode: &str) {
        self.run("pg_ctl", &["-D", &self.data(), "-w", "-m", mode, "stop"]);
    }

    /// Connection settings for `rest`, such as `user=postgres dbname=postgres`, over the socket.
    pub(crate) fn conninfo(&self, rest: &str) -> ConnInfo {
        let text = format!("host={} port={} {rest}", self.socket(), self.port);
        resolve(&text, &Environment::default()).unwrap()
    }

    /// A superuser's own connection.
    pub(crate) async fn admin(&self, database: &str) -> Admin {
        let text = format!(
            "host={} port={} user=postgres dbname={database}",
            self.socket(),
            self.port
        );
        let (client, connection) = tokio_postgres::connect(&text, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

#[expect(
    clippy::disallowed_types,
    reason = "a test plays the server's other users"
)]
pub(crate) type Admin = tokio_postgres::Client;

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self
            .command("pg_ctl")
            .args(["-D", &self.data(), "-w", "-m", "immediate", "stop"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// User and group id of `postgres`, or else of `nobody`.
fn postgres_account() -> (u32, u32) {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let find = |name: &str| {
        let line = passwd
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map(|id| id.parse().unwrap());
        Some((ids.next()?, ids.next()?))
    };
    find("postgres").or_else(|| find("nobody")).unwrap()
}

/// Waits until `condition` holds, for ten seconds at most.
#[expect(
    clippy::disallowed_methods,
    reason = "a limit for a condition outside of our clock"
)]
pub(crate) async fn eventually<F: AsyncFnMut() -> bool>(what: &str, mut condition: F) {
    let limit = Instant::now() + Duration::from_secs(10);
    while !condition().await {
        assert!(Instant::now() < limit, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
