//! The demo's parts on a real server: cluster, schema, traffic, faults.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![expect(
    clippy::disallowed_types,
    reason = "a test asks the server itself, past all adapters"
)]

#[path = "../support/mod.rs"]
mod support;

mod cluster;
mod findings;
mod platform;
