//! A `plimsoll demo` with a folder for temporary files of its own, so that what it leaves is seen.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test may stop at the first surprise"
)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

/// How long anything may take before the test gives up.
const LIMIT: Duration = Duration::from_mins(2);

/// Folders that are gone with the value.
pub(crate) struct Home {
    folder: tempfile::TempDir,
    temporary: PathBuf,
}

impl Home {
    /// A folder for results, and one for temporary files, in which another user's server may run.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let temporary = folder.path().join("tmp");
        std::fs::create_dir(&temporary).unwrap();
        for (path, mode) in [(folder.path(), 0o755), (&temporary, 0o777)] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        }
        Self { folder, temporary }
    }

    /// For results.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Files below the folder for temporary files, and processes that were started there.
    pub(crate) fn left(&self) -> Vec<String> {
        let files = std::fs::read_dir(&self.temporary).unwrap().flatten();
        let mut left: Vec<String> = files
            .map(|file| file.path().display().to_string())
            .collect();
        let name = self.temporary.display().to_string();
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if line.contains(&name) {
                left.push(line);
            }
        }
        left
    }

    /// Waits until nothing is left.
    pub(crate) async fn wait_until_empty(&self) {
        let deadline = tokio::time::Instant::now() + LIMIT;
        while tokio::time::Instant::now() < deadline {
            if self.left().is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("it left {:?}", self.left());
    }
}

/// A demo that runs, killed with the test.
pub(crate) struct Demo {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    told: String,
}

impl Demo {
    /// Runs `command` with the temporary files in `home`.
    pub(crate) fn start(mut command: Command, home: &Home) -> Self {
        let mut child = command
            .env("TMPDIR", &home.temporary)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("plimsoll starts");
        let (tell, lines) = mpsc::unbounded_channel();
        tokio::spawn(forward(child.stdout.take().unwrap(), tell.clone()));
        tokio::spawn(forward(child.stderr.take().unwrap(), tell));
        Self {
            child,
            lines,
            told: String::new(),
        }
    }

    /// Waits until it says `words` on either output.
    pub(crate) async fn wait_for(&mut self, words: &str) {
        while !self.told.contains(words) {
            let line = tokio::time::timeout(LIMIT, self.lines.recv()).await;
            match line {
                Ok(Some(line)) => self.told.push_str(&line),
                _ => panic!("it never said {words:?}, but: {}", self.told),
            }
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        let pid = pid.and_then(Pid::from_raw).expect("it runs");
        rustix::process::kill_process(pid, signal).expect("a signal");
    }

    /// Waits for its end: its exit code, -1 after a signal, and all that it said.
    pub(crate) async fn ended(mut self) -> (i32, String) {
        let status = tokio::time::timeout(LIMIT, self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("it runs on: {}", self.told));
        while let Ok(Some(line)) = tokio::time::timeout(LIMIT, self.lines.recv()).await {
            self.told.push_str(&line);
        }
        (status.unwrap().code().unwrap_or(-1), self.told)
    }
}

async fn forward(output: impl AsyncRead + Unpin, to: mpsc::UnboundedSender<String>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if to.send(format!("{line}\n")).is_err() {
            return;
        }
    }
}
