//! A real `PgBouncer` in front of a server, of one connection a pool.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use crate::server::{Server, eventually};

/// Where distributions put it; not every user has the second on the path.
const PROGRAMS: [&str; 2] = ["pgbouncer", "/usr/sbin/pgbouncer"];

/// For how long a client keeps a server connection.
#[derive(Clone, Copy)]
pub(crate) enum Pooling {
    Session,
    Transaction,
}

/// A running pooler, gone with this value.
pub(crate) struct Bouncer {
    child: Child,
    folder: tempfile::TempDir,
    pub(crate) port: u16,
}

impl Bouncer {
    /// Starts one in front of `server`; `None` after saying that the test is skipped, a failure in
    /// CI.
    pub(crate) async fn start(server: &Server, pooling: Pooling) -> Option<Self> {
        let runs = |program: &&str| {
            let tried = Command::new(program).arg("--version").output();
            tried.is_ok_and(|output| output.status.success())
        };
        let Some(program) = PROGRAMS.into_iter().find(runs) else {
            let is_ci = std::env::vars().any(|(name, _)| name == "CI");
            assert!(!is_ci, "no pgbouncer, and CI is set");
            eprintln!("SKIPPED: no pgbouncer; run packaging/install-tools.sh test");
            return None;
        };
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let folder = tempfile::tempdir().unwrap();
        let mode = match pooling {
            Pooling::Session => "session",
            Pooling::Transaction => "transaction",
        };
        let users = folder.path().join("users");
        fs::write(&users, "\"postgres\" \"\"\n").unwrap();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\n\
             pool_mode = {mode}\ndefault_pool_size = 1\nstats_users = postgres\n",
            server.port,
            users.display()
        );
        let file = folder.path().join("pgbouncer.ini");
        fs::write(&file, settings).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new(program);
        command
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        // As the server it refuses to run as root.
        if let Some((uid, gid)) = server.account() {
            for path in [folder.path(), &users, &file] {
                chown(path, Some(uid), Some(gid)).unwrap();
            }
            command.uid(uid).gid(gid);
        }
        let bouncer = Self {
            child: command.spawn().unwrap(),
            folder,
            port,
        };
        let open = async || TcpStream::connect(("127.0.0.1", port)).is_ok();
        eventually("pgbouncer takes connections", open).await;
        Some(bouncer)
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
