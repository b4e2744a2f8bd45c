//! The job queue from outside: what every keeper of jobs does, and what the embedded one survives.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![expect(
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod backup;
mod clocks;
mod conformance;
mod crash;
mod flows;
mod keepers;
mod killed;
mod letters;
mod model;
mod racing;
mod runner;
mod schedules;
mod settling;
mod support;
mod ticks_crash;
mod waking;
