//! `plimsoll demo` as a one-shot, and what it leaves behind: nothing.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use crate::support::http::{self, Response};
use crate::support::plimsoll::{command, free_address};
use crate::support::postgres::Major;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_one_shot_demo_serves_reports_and_cleans_up() {
    if Major::Distribution.binaries_or_skip().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let temporary = folder.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    // The server runs as another user where the test is root, and must get at its folder.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&temporary, open).unwrap();
    let (address, report) = (free_address(), folder.path().join("capacity.html"));
    let listen = address.to_string();
    let out = report.display().to_string();
    let arguments = [
        "demo",
        "--scale",
        "0.01",
        "--exit-after",
        "20s",
        "--listen",
        &listen,
        "--report",
        &out,
    ];
    let child = command(&arguments)
        .env("TMPDIR", &temporary)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let size = once(address, "/api/v1/performance/database/size", "leadgen")
        .await
        .json();
    assert_eq!(size["datname"], "leadgen");
    assert!(size["size_bytes"].as_u64().unwrap() > 1_000_000, "{size}");
    let page = once(address, "/", "synthetic").await.text();
    assert!(page.contains("leadgen") && page.contains("<svg"));
    let done = child.wait_with_output().await.unwrap();
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        done.status.success(),
        "{told}\n{}",
        String::from_utf8_lossy(&done.stderr)
    );
    assert!(
        told.contains(&format!("http://{address}/")) && told.contains("Ctrl-C"),
        "{told}"
    );
    assert!(
        told.contains("Found: ") && told.contains("warnings in all"),
        "{told}"
    );
    assert!(
        std::fs::read_to_string(&report)
            .unwrap()
            .contains("</html>")
    );
    let left: Vec<_> = std::fs::read_dir(&temporary).unwrap().flatten().collect();
    assert!(left.is_empty(), "it left {left:?}");
}

/// The answer to `path` as soon as it holds `word`.
async fn once(address: SocketAddr, path: &str, word: &str) -> Response {
    let watch = async {
        loop {
            match http::get(address, path).await {
                Ok(response) if response.text().contains(word) => break response,
                _ => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(2), watch)
        .await
        .unwrap()
}
