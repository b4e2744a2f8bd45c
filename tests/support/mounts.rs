//! The program with mounts of its own: they are seen by it alone and end with it.

#![allow(clippy::expect_used, reason = "a test may stop at the first surprise")]

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

/// A command of the program that runs after `prepare`, a line of shell that mounts; `None` after
/// saying that the test is skipped.
///
/// Panics in CI, where nothing is skipped.
pub(crate) fn command(prepare: &str, arguments: &[&str]) -> Option<Command> {
    let script = format!("{prepare} && exec \"$@\"");
    let program = env!("CARGO_BIN_EXE_plimsoll");
    let mut words = own_mounts();
    words.extend(["sh", "-c", &script, "sh", program]);
    words.extend(arguments);
    if is_possible() {
        let (first, rest) = words.split_first().expect("a program");
        return Some(super::plimsoll::clean(Command::new(first), rest));
    }
    let reason = "this user may not mount, not even for itself";
    assert!(!is_ci(), "CI is set, but {reason}");
    super::skipped(reason);
    None
}

/// `path` as the process `pid` sees it.
pub(crate) fn seen_by(pid: u32, path: &Path) -> PathBuf {
    let below_root = path.strip_prefix("/").expect("an absolute path");
    Path::new("/proc")
        .join(pid.to_string())
        .join("root")
        .join(below_root)
}

fn own_mounts() -> Vec<&'static str> {
    let mut words = vec!["unshare", "--mount"];
    if !rustix::process::geteuid().is_root() {
        words.push("--map-root-user");
    }
    words
}

fn is_possible() -> bool {
    let words = own_mounts();
    let (first, rest) = words.split_first().expect("a program");
    let tried = std::process::Command::new(first)
        .args(rest)
        .args(["mount", "-t", "tmpfs", "tmpfs", "/mnt"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}

#[expect(
    clippy::disallowed_methods,
    reason = "CI says by environment that it is CI"
)]
fn is_ci() -> bool {
    std::env::var("CI").is_ok()
}
