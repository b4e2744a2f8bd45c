//! A headless Chromium that looks at a page of ours.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// Names under which distributions install it.
const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// How long a page may take before the test gives up.
const LIMIT: Duration = Duration::from_mins(1);

/// Neither a sandbox (tests may run as root) nor any traffic of the browser's own.
pub(crate) const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];

/// How long a page's clock runs before it is looked at, in ms of its own time.
const BUDGET: &str = "--virtual-time-budget=5000";

/// Writes a PNG of `url` at `width` × `height` CSS pixels; `None` after saying that it is skipped.
pub(crate) async fn screenshot(url: &str, width: u32, height: u32, png: &Path) -> Option<()> {
    let size = format!("--window-size={width},{height}");
    let target = format!("--screenshot={}", png.display());
    run(&[&size, &target, url]).await?;
    assert!(png.is_file(), "chromium wrote no {}", png.display());
    Some(())
}

/// The page's document after its scripts have run; `None` after saying that it is skipped.
pub(crate) async fn document(url: &str) -> Option<String> {
    run(&["--dump-dom", url]).await
}

async fn run(arguments: &[&str]) -> Option<String> {
    let profile = tempfile::tempdir()
        .unwrap_or_else(|error| panic!("a folder for the browser's profile: {error}"));
    let data = format!("--user-data-dir={}", profile.path().display());
    let program = program()?;
    let output = Command::new(program)
        .args(FLAGS)
        .args([BUDGET, &data])
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, output)
        .await
        .unwrap_or_else(|_| panic!("{program} did not finish within {LIMIT:?}"))
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program}: {}", output.status);
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The browser of this machine; `None` after saying that the test is skipped.
pub(crate) fn program() -> Option<&'static str> {
    let runs = |program: &&str| {
        let tried = std::process::Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        tried.is_ok_and(|status| status.success())
    };
    let found = PROGRAMS.into_iter().find(runs);
    if found.is_none() {
        super::skipped("no chromium; run packaging/install-tools.sh test");
    }
    found
}
