//! Use cases: the only place that combines adapters and engines.
//!
//! For: short functions that read top to bottom, one file a use case. Not for: speaking HTTP, SQL
//! or sled: that is the adapters' and edges' affair. Read [`board`] first.

mod activity;
pub mod board;
mod collect;
