//! The demo's parts on a real server: cluster, schema, traffic, faults.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![expect(clippy::expect_used, reason = "a test may stop at the first surprise")]

#[path = "../support/mod.rs"]
mod support;

mod cluster;
mod platform;
