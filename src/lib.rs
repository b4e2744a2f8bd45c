//! Plimsoll says how much load a PostgreSQL platform can still take.
//!
//! One binary, given one connection string, keeps its own metrics history in an embedded store,
//! forecasts when each resource reaches its limit and how sure that is, inspects the server for
//! what to mend, serves an HTTP API with a dashboard, and writes reports that open offline.
//!
//! It is not:
//! - a connection pooler or a proxy: it never stands between an application and its database;
//! - a general time-series database for a fleet: one machine, the series of the servers it watches;
//! - a tool that changes the server it watches: it reads, and says what a person may do.
//!
//! Read [`model`] first: it is the glossary. `ARCHITECTURE.md` shows how the modules stand to each
//! other; `tests/layers.rs` holds them to it.

pub mod advise;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod diagnose;
pub mod exchange;
pub mod forecast;
pub mod hook;
pub mod host;
pub mod http;
pub mod load;
pub mod model;
pub mod postgres;
pub mod promql;
pub mod queue;
pub mod report;
pub mod stats;
pub mod store;
pub mod work;
