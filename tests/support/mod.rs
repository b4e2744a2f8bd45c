//! What several integration tests need: a real server, a client for loopback, a browser.
//!
//! Include with `#[path = "../support/mod.rs"] mod support;`. What is missing on the machine is
//! skipped loudly; `REQUIRE_POSTGRES=1` makes a missing server a failure.
#![allow(
    dead_code,
    reason = "each test binary takes what it needs, so no expectation holds in all of them"
)]

pub(crate) mod browser;
pub(crate) mod demo;
pub(crate) mod devtools;
pub(crate) mod http;
pub(crate) mod mounts;
pub(crate) mod plimsoll;
pub(crate) mod postgres;

/// Says that a test is skipped, and why, past the capture of the test runner.
pub(crate) fn skipped(reason: &str) {
    use std::io::Write as _;
    // A closed standard error leaves nobody to tell.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
}
