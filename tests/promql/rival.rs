//! The distribution's Prometheus with the samples in its own blocks, on a free port of loopback.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::samples;
use crate::support::{http, skipped};

/// How often it is asked whether it is ready, and how long that may take in all.
const PAUSE: Duration = Duration::from_millis(100);
const TRIES: u32 = 300;

/// A Prometheus that answers.
pub(crate) struct Rival {
    address: SocketAddr,
    _child: Child,
    _dir: TempDir,
}

/// `name=value`, percent-encoded.
pub(crate) fn field(name: &str, value: &str) -> String {
    let mut text = format!("{name}=");
    for byte in value.bytes() {
        write!(text, "%{byte:02X}").unwrap();
    }
    text
}

impl Rival {
    /// Starts one with [`samples::open_metrics`]; `None` after saying that it is skipped.
    pub(crate) async fn start() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let (text, config) = (dir.path().join("text"), dir.path().join("config.yml"));
        std::fs::write(&text, samples::open_metrics()).unwrap();
        std::fs::write(&config, "").unwrap();
        let blocks = dir.path().join("blocks");
        let made = Command::new("promtool")
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([&text, &blocks])
            .stdin(Stdio::null())
            .output()
            .await;
        let Ok(made) = made else {
            skipped("no promtool; run packaging/install-tools.sh test");
            return None;
        };
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        assert!(made.status.success(), "promtool: {said}");
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = port.local_addr().unwrap();
        drop(port);
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", blocks.display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--storage.tsdb.retention.time=50y")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let Ok(child) = child else {
            skipped("no prometheus; run packaging/install-tools.sh test");
            return None;
        };
        let rival = Self {
            address,
            _child: child,
            _dir: dir,
        };
        for _ in 0..TRIES {
            if let Ok(answer) = http::get(address, "/-/ready").await
                && answer.status == 200
            {
                return Some(rival);
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("prometheus did not become ready");
    }

    /// The data of an answer, or the text of a refusal.
    pub(crate) async fn ask(&self, path: &str, fields: &[(&str, &str)]) -> Result<Value, String> {
        let fields: Vec<String> = fields.iter().map(|(n, v)| field(n, v)).collect();
        let path = format!("/api/v1/{path}?{}", fields.join("&"));
        let answer = http::get(self.address, &path).await.unwrap().json();
        if answer["status"] == "success" {
            Ok(answer["data"].clone())
        } else {
            Err(answer["error"].as_str().unwrap_or_default().to_owned())
        }
    }
}
