//! Questions in `PromQL`: hand-checked answers, the same answers as a real Prometheus, the API's
//! JSON, and input that means harm.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![expect(clippy::expect_used, reason = "a test may stop at the first surprise")]
#![expect(
    clippy::indexing_slicing,
    reason = "a missing JSON field reads as null"
)]

mod answers;
mod api;
mod differential;
mod hostile;
mod rival;
mod samples;
#[path = "../support/mod.rs"]
mod support;
