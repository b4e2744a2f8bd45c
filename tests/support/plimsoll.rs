//! The program itself, run as a user would run it.

#![allow(clippy::expect_used, reason = "a test may stop at the first surprise")]

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::http::{self, Response};

/// How long a condition may take to come true before the test gives up.
const LIMIT: Duration = Duration::from_mins(1);

/// A command of the program with nothing of the caller's environment that could sway it.
pub(crate) fn command(arguments: &[&str]) -> Command {
    clean(Command::new(env!("CARGO_BIN_EXE_plimsoll")), arguments)
}

/// The same for a program that runs it in turn.
pub(crate) fn clean(mut command: Command, arguments: &[&str]) -> Command {
    for (name, _) in std::env::vars() {
        if name.starts_with("PG") || name.starts_with("PLIMSOLL_") || name.starts_with("XDG_") {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// What a finished command gave.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command to its end.
pub(crate) async fn run(arguments: &[&str]) -> Output {
    let output = tokio::time::timeout(LIMIT, command(arguments).output())
        .await
        .unwrap_or_else(|_| panic!("plimsoll {arguments:?} did not end within {LIMIT:?}"))
        .expect("plimsoll runs");
    Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A running `plimsoll serve`, killed with the test.
#[derive(Debug)]
pub(crate) struct Serve {
    pub(crate) address: SocketAddr,
    pub(crate) data_dir: PathBuf,
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Serve {
    /// Starts `plimsoll serve` with these arguments more, and waits until it answers.
    pub(crate) async fn start(data_dir: &Path, arguments: &[&str]) -> Self {
        let started = Self::start_by(data_dir, arguments, |all| Some(command(all)));
        started.await.expect("a command")
    }

    /// As [`Serve::start`], by a command of the caller's making; `None` if it makes none.
    pub(crate) async fn start_by(
        data_dir: &Path,
        arguments: &[&str],
        make: impl FnOnce(&[&str]) -> Option<Command>,
    ) -> Option<Self> {
        let address = free_address();
        let listen = address.to_string();
        let folder = data_dir.display().to_string();
        let mut all = vec!["serve", "--data-dir", &folder, "--listen", &listen];
        all.extend(arguments);
        let mut child = make(&all)?
            .stderr(Stdio::piped())
            .spawn()
            .expect("plimsoll starts");
        let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let told = Arc::clone(&log);
        // Its log is shown with a failing test, and its pipe must not fill up.
        tokio::spawn(async move {
            let mut lines = lines;
            while let Ok(Some(line)) = lines.next_line().await {
                eprintln!("serve: {line}");
                let mut told = told.lock().expect("a log");
                told.push_str(&line);
                told.push('\n');
            }
        });
        let mut serve = Self {
            address,
            data_dir: data_dir.to_owned(),
            child,
            log,
        };
        serve
            .wait_for("/healthz", |response| response.status.is_success())
            .await;
        Some(serve)
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("a log").clone()
    }

    /// `GET path`.
    pub(crate) async fn get(&self, path: &str) -> Response {
        http::get(self.address, path).await.expect("an answer")
    }

    /// Asks `path` again and again until `good`; what was good is the answer.
    pub(crate) async fn wait_for(
        &mut self,
        path: &str,
        good: impl Fn(&Response) -> bool,
    ) -> Response {
        let mut last = None;
        let deadline = tokio::time::Instant::now() + LIMIT;
        while tokio::time::Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("a child") {
                panic!("plimsoll serve ended with {status}");
            }
            match http::get(self.address, path).await {
                Ok(response) if good(&response) => return response,
                Ok(response) => last = Some(response.text()),
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{path} was not as wanted within {LIMIT:?}; last: {last:?}");
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Ends it as a service manager would, and waits for it.
    pub(crate) async fn terminate(mut self) -> i32 {
        let pid = i32::try_from(self.pid())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        let pid = pid.expect("a process id");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
        let status = tokio::time::timeout(LIMIT, self.child.wait())
            .await
            .expect("it ends");
        status.expect("a status").code().unwrap_or(-1)
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("a signal");
    }
}

/// A loopback address that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}
