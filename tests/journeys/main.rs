//! Whole journeys: the real program, real servers, what a user types and sees.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod cache;
mod demo;
mod explain;
mod interrupted;
mod load_tests;
mod maintain;
mod offline;
mod page;
mod safety;
mod silence;
mod trouble;
mod watch;
mod webhooks;
mod workers;

/// Arguments that make a server look each second.
const QUICK: [&str; 4] = ["--set", "collect.scrape=1s", "--set", "collect.catalog=2s"];

/// Whether what is missing is a failure.
#[expect(
    clippy::disallowed_methods,
    reason = "CI says so by its environment that it is CI"
)]
fn in_ci() -> bool {
    std::env::var("CI").is_ok()
}
