//! A tab of a headless Chromium, driven over pipes by the Chrome `DevTools` Protocol (1.3).
//!
//! For: what a page does in a browser: errors on its console, sizes after layout. Not for: its
//! document or its picture alone (`browser`).

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};

use super::browser;

/// How long the browser may take to answer before the test gives up.
const LIMIT: Duration = Duration::from_mins(1);

/// An open tab, of a browser of its own.
pub(crate) struct Tab {
    child: Child,
    to: pipe::Sender,
    from: BufReader<pipe::Receiver>,
    session: Option<String>,
    calls: u64,
    is_loaded: bool,
    errors: Vec<String>,
    // Last, so that the browser is gone before its folder.
    _folder: tempfile::TempDir,
}

impl Tab {
    /// Starts a browser with an empty page of `width` × `height`; `None` after saying that the test
    /// is skipped.
    pub(crate) async fn open(width: u32, height: u32) -> Option<Self> {
        let program = browser::program()?;
        let folder = tempfile::tempdir().unwrap();
        let (to, from) = (folder.path().join("to"), folder.path().join("from"));
        let made = Command::new("mkfifo").arg(&to).arg(&from).status().await;
        assert!(made.unwrap().success(), "no pipes for the browser");
        // The browser reads its third and writes its fourth descriptor.
        let child = Command::new("sh")
            .args([
                "-c",
                "in=$1 out=$2; shift 2; exec \"$@\" 3<\"$in\" 4>\"$out\"",
                "sh",
            ])
            .args([&to, &from])
            .arg(program)
            .args(browser::FLAGS)
            .arg("--remote-debugging-pipe")
            .arg(format!(
                "--user-data-dir={}",
                folder.path().join("profile").display()
            ))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut both = pipe::OpenOptions::new();
        let both = both.read_write(true);
        let mut tab = Self {
            child,
            to: both.open_sender(&to).unwrap(),
            from: BufReader::new(both.open_receiver(&from).unwrap()),
            session: None,
            calls: 0,
            is_loaded: false,
            errors: Vec::new(),
            _folder: folder,
        };
        let target = tab
            .call("Target.createTarget", json!({"url": "about:blank"}))
            .await;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = tab.call("Target.attachToTarget", attach).await;
        tab.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            tab.call(domain, json!({})).await;
        }
        tab.resize(width, height).await;
        Some(tab)
    }

    /// Changes the size of the view, in CSS pixels.
    pub(crate) async fn resize(&mut self, width: u32, height: u32) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
        });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Loads `url`, with all that it names.
    pub(crate) async fn go(&mut self, url: &str) {
        self.is_loaded = false;
        let went = self.call("Page.navigate", json!({"url": url})).await;
        assert!(went["errorText"].is_null(), "{url}: {went}");
        while !self.is_loaded {
            self.hear().await;
        }
    }

    /// The value of a JavaScript expression on the page.
    pub(crate) async fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({
            "expression": expression, "returnByValue": true, "awaitPromise": true,
        });
        let answer = self.call("Runtime.evaluate", asked).await;
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {answer}"
        );
        answer["result"]["value"].clone()
    }

    /// What went wrong so far: exceptions, errors on the console, and what could not be loaded.
    pub(crate) fn errors(&self) -> &[String] {
        &self.errors
    }

    /// Closes the browser and waits until it is gone.
    pub(crate) async fn close(mut self) {
        self.session = None;
        self.send("Browser.close", json!({})).await;
        let ended = tokio::time::timeout(LIMIT, self.child.wait()).await;
        ended.expect("the browser ends").unwrap();
    }

    async fn send(&mut self, method: &str, params: Value) -> u64 {
        self.calls += 1;
        let mut message = json!({"id": self.calls, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).await.unwrap();
        self.calls
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params).await;
        loop {
            let message = self.hear().await;
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
        }
    }

    /// The next message; events leave their mark.
    async fn hear(&mut self) -> Value {
        let mut bytes = Vec::new();
        let heard = tokio::time::timeout(LIMIT, self.from.read_until(0, &mut bytes)).await;
        heard.expect("the browser answers").unwrap();
        bytes.pop();
        let message: Value = serde_json::from_slice(&bytes).unwrap();
        let params = &message["params"];
        match message["method"].as_str() {
            Some("Page.loadEventFired") => self.is_loaded = true,
            Some("Runtime.exceptionThrown") => self.errors.push(params.to_string()),
            Some("Runtime.consoleAPICalled") if params["type"] == "error" => {
                self.errors.push(params["args"].to_string());
            }
            Some("Log.entryAdded") if params["entry"]["level"] == "error" => {
                self.errors.push(params["entry"].to_string());
            }
            _ => {}
        }
        message
    }
}
