//! The store from outside: what it keeps, what it gives back, and what it survives.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![expect(
    clippy::float_cmp,
    reason = "values are kept bit for bit, so equality is meant"
)]
#![expect(
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod crash;
mod golden;
mod limits;
mod overwritten;
mod power;
mod pushing;
mod reading;
mod safety;
mod support;
mod transfer;
mod writing;
