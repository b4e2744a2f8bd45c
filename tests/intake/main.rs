//! Samples in and out, with the real program: remote write, files, and what is wrong with either.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

#[path = "../support/mod.rs"]
mod support;

mod files;
mod prometheus;
mod receiver;
mod request;

/// Arguments of a server that watches nothing, so that the history holds what was sent alone.
const IDLE: [&str; 4] = ["--set", "host.watch=false", "--set", "collect.scrape=1m"];
