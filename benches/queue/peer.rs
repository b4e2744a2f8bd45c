//! `BullMQ` on Redis: installed beside the build, started on folders of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// How Redis syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    Always,
    EverySecond,
    None,
}

impl Sync {
    pub(crate) const ALL: [Self; 3] = [Self::Always, Self::EverySecond, Self::None];

    const fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Always => ["--appendonly", "yes", "--appendfsync", "always"],
            Self::EverySecond => ["--appendonly", "yes", "--appendfsync", "everysec"],
            Self::None => ["--appendonly", "no", "--appendfsync", "no"],
        }
    }
}

/// Where the packages of npm lie; `None` where they cannot be had.
pub(crate) fn packages() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bullmq");
    if !folder.join("node_modules/bullmq").exists() {
        std::fs::create_dir_all(&folder).ok()?;
        std::fs::write(folder.join("package.json"), "{\"private\": true}").ok()?;
        let done = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--silent", "bullmq@5"])
            .current_dir(&folder)
            .status();
        if !done.is_ok_and(|status| status.success()) {
            return None;
        }
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/queue/bullmq.js");
    std::fs::copy(script, folder.join("bench.js")).ok()?;
    Some(folder)
}

/// The version of `BullMQ` that was installed.
pub(crate) fn version(packages: &Path) -> String {
    let text = std::fs::read(packages.join("node_modules/bullmq/package.json"));
    let package: Value = serde_json::from_slice(&text.unwrap_or_default()).unwrap_or_default();
    package["version"].as_str().unwrap_or("?").to_owned()
}

/// A Redis with a client; both end when dropped.
pub(crate) struct Peer {
    redis: Child,
    node: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts one; `None` where Redis or Node is not installed.
    pub(crate) fn start(sync: Sync, folder: &Path, packages: &Path) -> Option<Self> {
        std::fs::create_dir_all(folder).ok()?;
        let port = super::free_port();
        let redis = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--daemonize", "no", "--dir"])
            .arg(folder)
            .args(sync.arguments())
            .stdout(Stdio::null())
            .spawn()
            .ok()?;
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut node = Command::new("node")
            .arg("bench.js")
            .arg(port.to_string())
            .current_dir(packages)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let to = node.stdin.take()?;
        let from = BufReader::new(node.stdout.take()?);
        let mut peer = Self {
            redis,
            node,
            to,
            from,
        };
        peer.answer()?;
        Some(peer)
    }

    fn answer(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.from.read_line(&mut line).ok()?;
        serde_json::from_str(&line).ok()
    }

    /// One field of the answer to a command.
    pub(crate) fn ask(&mut self, command: &str, field: &str) -> f64 {
        writeln!(self.to, "{command}").unwrap();
        self.answer()
            .and_then(|answer| answer[field].as_f64())
            .unwrap_or(f64::NAN)
    }

    /// Several fields of the answer to a command.
    pub(crate) fn ask_all(&mut self, command: &str) -> Value {
        writeln!(self.to, "{command}").unwrap();
        self.answer().unwrap_or_default()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        for child in [&mut self.node, &mut self.redis] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
