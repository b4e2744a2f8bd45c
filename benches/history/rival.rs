//! The servers that take turns: ours, and what the distribution has of others.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::wire::Wire;

/// Which server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    Plimsoll,
    Prometheus,
    Victoria,
}

impl Kind {
    /// All three.
    pub(crate) const ALL: [Self; 3] = [Self::Plimsoll, Self::Prometheus, Self::Victoria];

    /// As it is shown.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plimsoll => "plimsoll",
            Self::Prometheus => "prometheus",
            Self::Victoria => "victoria-metrics",
        }
    }

    fn program(self) -> String {
        match self {
            Self::Plimsoll => env!("CARGO_BIN_EXE_plimsoll").to_owned(),
            other => other.name().to_owned(),
        }
    }

    fn arguments(self, folder: &Path, port: u16) -> Vec<String> {
        let (folder, address) = (folder.display(), format!("127.0.0.1:{port}"));
        match self {
            Self::Plimsoll => vec![
                "serve".into(),
                format!("--data-dir={folder}"),
                format!("--listen={address}"),
                // More than it takes at once by default, for what grows.
                "--set=collect.max_series=100000".into(),
            ],
            Self::Prometheus => vec![
                format!("--config.file={folder}.yml"),
                format!("--storage.tsdb.path={folder}"),
                format!("--web.listen-address={address}"),
                "--web.enable-remote-write-receiver".into(),
                "--storage.tsdb.retention.time=100y".into(),
                "--query.lookback-delta=5m".into(),
            ],
            Self::Victoria => vec![
                format!("-storageDataPath={folder}"),
                format!("-httpListenAddr={address}"),
                "-retentionPeriod=100y".into(),
                "-search.latencyOffset=0s".into(),
                "-search.disableCache".into(),
            ],
        }
    }
}

/// A running server; killed when dropped.
pub(crate) struct Rival {
    pub(crate) kind: Kind,
    pub(crate) folder: PathBuf,
    pub(crate) wire: Wire,
    /// From its start to its first answer.
    pub(crate) ready: Duration,
    port: u16,
    child: Child,
}

impl Rival {
    /// Starts one on its folder; `None` where it is not installed.
    pub(crate) fn start(kind: Kind, folder: &Path) -> Option<Self> {
        let port = free_port();
        fs::write(format!("{}.yml", folder.display()), "global: {}\n").unwrap();
        let began = Instant::now();
        let child = Command::new(kind.program())
            .args(kind.arguments(folder, port))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(format!("{}.log", folder.display())).unwrap())
            .spawn()
            .ok()?;
        let mut child = child;
        while began.elapsed() < Duration::from_secs(60) {
            if let Some(mut wire) = Wire::connect(port)
                && let Some((200, _)) = wire.get("/api/v1/query", &[("query", "vector(1)")])
            {
                return Some(Self {
                    kind,
                    folder: folder.to_owned(),
                    wire,
                    ready: began.elapsed(),
                    port,
                    child,
                });
            }
            if child.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = child.kill();
        println!(
            "{} does not start; see {}.log",
            kind.name(),
            folder.display()
        );
        None
    }

    /// Kills it at once and starts it again on the same folder.
    pub(crate) fn kill_and_start(self) -> Option<Self> {
        let (kind, folder) = (self.kind, self.folder.clone());
        drop(self);
        Self::start(kind, &folder)
    }

    /// Stops it in good order and starts it again on the same folder.
    pub(crate) fn stop_and_start(mut self) -> Option<Self> {
        let (kind, folder) = (self.kind, self.folder.clone());
        let pid = self.child.id().to_string();
        Command::new("kill").arg(&pid).status().unwrap();
        self.child.wait().unwrap();
        drop(self);
        Self::start(kind, &folder)
    }

    /// Connects anew.
    pub(crate) fn reconnect(&mut self) {
        self.wire = Wire::connect(self.port).unwrap();
    }

    /// Seconds of processor time so far.
    pub(crate) fn cpu(&self) -> f64 {
        let tasks = format!("/proc/{}/stat", self.child.id());
        let text = fs::read_to_string(tasks).unwrap();
        let fields: Vec<&str> = text
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        ticks / 100.0
    }

    /// Resident memory in MB: now, and the most there was.
    pub(crate) fn memory(&self) -> (f64, f64) {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let of = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace()
                .nth(1)
                .unwrap()
                .parse::<f64>()
                .unwrap()
                / 1000.0
        };
        (of("VmRSS:"), of("VmHWM:"))
    }

    /// Waits until it is at rest: a second and a half without work to speak of.
    pub(crate) fn settle(&self) {
        for _ in 0..120 {
            let before = self.cpu();
            std::thread::sleep(Duration::from_millis(1_500));
            if self.cpu() - before < 0.05 {
                return;
            }
        }
    }
}

impl Rival {
    /// Ours seals what was pushed late when no more of it has come for some minutes.
    pub(crate) fn wait_for_rest(&self) {
        let (began, patience) = (Instant::now(), Duration::from_secs(600));
        while self.kind == Kind::Plimsoll
            && bytes(&self.folder, "/wal/") > 4 << 20
            && began.elapsed() < patience
        {
            std::thread::sleep(Duration::from_secs(2));
        }
        self.settle();
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Bytes of all files below a folder whose path holds `part`.
pub(crate) fn bytes(folder: &Path, part: &str) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .filter_map(Result::ok)
        .map(|entry| {
            let path = entry.path();
            match entry.metadata() {
                Ok(data) if data.is_dir() => bytes(&path, part),
                Ok(data) if path.to_string_lossy().contains(part) => data.size(),
                _ => 0,
            }
        })
        .sum()
}
