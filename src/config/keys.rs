//! Every setting that is not a target, with its bounds, its default and the reason for it.
//!
//! This is the list of all limits of the program: every loop, queue, buffer, retry and request is
//! bounded by a key here. `packaging/plimsoll.toml` shows the same list; a test compares the two.

use super::value::Shape;
use crate::model::capacity::Resource;
pub(super) use crate::model::spelling::nearest;
use crate::model::units::Millis;

/// A setting that can be given by flag, variable or file.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Dotted name, as in the file: `collect.scrape`.
    pub name: &'static str,
    /// What it may hold.
    pub shape: Shape,
    /// As it would be written; `None` where nothing stands in for it.
    pub default: Option<&'static str>,
    /// What it does, and why the default is what it is.
    pub why: &'static str,
}

impl Key {
    /// The variable that sets it: `PLIMSOLL_COLLECT_SCRAPE`.
    pub fn variable(&self) -> String {
        format!("PLIMSOLL_{}", self.name.replace('.', "_").to_uppercase())
    }
}

const fn key(
    name: &'static str,
    shape: Shape,
    default: Option<&'static str>,
    why: &'static str,
) -> Key {
    Key {
        name,
        shape,
        default,
        why,
    }
}

const DAY: Millis = Millis::DAY;
const YEARS_100: Millis = Millis(100 * 365 * 86_400_000);
const MINUTES_10: Millis = Millis(600_000);
const MAX_SIZE: u64 = 1 << 53;
const SIZE: Shape = Shape::Size(1, MAX_SIZE);

/// All settings but the targets, in the order of the file.
pub const KEYS: &[Key] = &[
    key(
        "listen",
        Shape::Address,
        Some("127.0.0.1:3002"),
        "where the API and the page are served; an address that is not loopback needs http.token_file",
    ),
    key(
        "data_dir",
        Shape::Path,
        None,
        "folder of the history; default $STATE_DIRECTORY, else $XDG_STATE_HOME/plimsoll, else ~/.local/state/plimsoll",
    ),
    key(
        "host.watch",
        Shape::Flag,
        Some("true"),
        "read CPU, memory, disk and network of this host; right when the server runs here",
    ),
    key(
        "host.mountpoint",
        Shape::Path,
        None,
        "file system that holds the data; default: the one that holds the server's data folder, else /",
    ),
    key(
        "limits.cpu_cores",
        Shape::Number(0.0, 1e6),
        None,
        "cores, in place of the measured count",
    ),
    key(
        "limits.memory",
        SIZE,
        None,
        "memory, in place of the measured size",
    ),
    key(
        "limits.storage",
        SIZE,
        None,
        "file system size, in place of the measured one",
    ),
    key(
        "limits.bandwidth",
        SIZE,
        None,
        "bytes per second through the network, in place of the link speed",
    ),
    key(
        "limits.database",
        SIZE,
        None,
        "bytes that all databases together may take; default: the file system's size",
    ),
    key(
        "limits.connections",
        Shape::Count(1, 1_000_000),
        None,
        "connections, in place of max_connections",
    ),
    key(
        "collect.scrape",
        Shape::Duration(Millis::SECOND, Millis::HOUR),
        Some("10s"),
        "distance of readings; 10 s shows a burst and costs the server next to nothing",
    ),
    key(
        "collect.catalog",
        Shape::Duration(Millis::SECOND, DAY),
        Some("60s"),
        "distance of looks at tables, indexes and sizes, which cost more than counters",
    ),
    key(
        "collect.activity",
        Shape::Duration(Millis(100), Millis::MINUTE),
        Some("1s"),
        "distance of samples of what sessions wait for; shorter waits than this are still counted in proportion",
    ),
    key(
        "collect.top_statements",
        Shape::Count(0, 5_000),
        Some("200"),
        "statements kept, by total time; beyond the first 200 little time is left in most workloads",
    ),
    key(
        "collect.max_relations",
        Shape::Count(1, 100_000),
        Some("1000"),
        "tables with series of their own, largest first; four times as many indexes",
    ),
    key(
        "collect.max_series",
        Shape::Count(100, 10_000_000),
        Some("20000"),
        "series kept for all targets; more are refused and said so, because memory grows with them",
    ),
    key(
        "collect.statement_timeout",
        Shape::Duration(Millis(10), Millis::MINUTE),
        Some("5s"),
        "the longest that one of our queries may run on the server",
    ),
    key(
        "collect.lock_timeout",
        Shape::Duration(Millis(1), Millis::MINUTE),
        Some("100ms"),
        "the longest that one of our queries may wait for a lock; it must never queue before others",
    ),
    key(
        "collect.connect_timeout",
        Shape::Duration(Millis(100), Millis::MINUTE),
        Some("5s"),
        "the longest that connecting may take before the scrape is a gap",
    ),
    key(
        "history.raw",
        Shape::Duration(DAY, YEARS_100),
        Some("30d"),
        "age of full-resolution samples; a month shows any recent incident as it was",
    ),
    key(
        "history.rollup_5m",
        Shape::Duration(DAY, YEARS_100),
        Some("2y"),
        "age of 5 min aggregates; two years show a yearly season twice",
    ),
    key(
        "history.rollup_1h",
        Shape::Duration(DAY, YEARS_100),
        Some("10y"),
        "age of 1 h aggregates; they are small",
    ),
    key(
        "history.max_bytes",
        Shape::Size(64 << 20, MAX_SIZE),
        None,
        "size that the history may take on disk, never exceeded; the oldest raw days go first",
    ),
    key(
        "forecast.every",
        Shape::Duration(Millis::MINUTE, Millis(7 * 86_400_000)),
        Some("24h"),
        "distance of forecast runs; a day changes little in a forecast of months",
    ),
    key(
        "forecast.lead_time",
        Shape::Duration(Millis(0), Millis(2 * 365 * 86_400_000)),
        Some("30d"),
        "how long a remedy takes from the decision on: the day to act by is the early end of reaching the limit less this; a month covers an order or a migration",
    ),
    key(
        "thresholds.warn",
        Shape::Number(0.0, 1.0),
        Some("0.75"),
        "share of a limit that warns",
    ),
    key(
        "thresholds.critical",
        Shape::Number(0.0, 1.0),
        Some("0.9"),
        "share of a limit that is critical",
    ),
    key(
        "jobs.durability",
        Shape::Choice(&["commit", "interval", "none"]),
        Some("commit"),
        "when a change to a queue is answered: commit waits for the disk, interval risks a second of them in a power cut, none what the system has not written",
    ),
    key(
        "jobs.webhook_hosts",
        Shape::List,
        None,
        "hosts that webhooks may reach though they are near or without TLS; all others must be public and https, so that nobody reaches this machine's neighbours through it",
    ),
    key(
        "load.origins",
        Shape::List,
        None,
        "servers that a load test run as a job may send load to, as scheme, host and port; a job can be added over HTTP, so nobody is loaded whom the operator did not name",
    ),
    key(
        "explain.analyze",
        Shape::Flag,
        Some("false"),
        "run a statement that is explained, in a read-only transaction that is rolled back, where it calls nothing that might do more than read; it then costs the server what it costs",
    ),
    key(
        "explain.timeout",
        Shape::Duration(Millis(10), MINUTES_10),
        Some("5s"),
        "the longest that planning a statement, or running it, may take",
    ),
    key(
        "writes.timeout",
        Shape::Duration(Millis::SECOND, Millis(7 * 86_400_000)),
        Some("2h"),
        "the longest that one statement which writes to a target may run, where its allow_writes allows any; a VACUUM of a large table is meant",
    ),
    key(
        "writes.lock_timeout",
        Shape::Duration(Millis(1), Millis::MINUTE),
        Some("2s"),
        "the longest that such a statement may wait for a lock; while it waits, others may wait behind it",
    ),
    key(
        "cache.max_bytes",
        Shape::Size(1 << 16, 1 << 40),
        Some("64MB"),
        "memory that results of named queries take together; one of them takes a quarter at most",
    ),
    key(
        "cache.query_timeout",
        Shape::Duration(Millis(10), MINUTES_10),
        Some("5s"),
        "the longest that a named query may run on its server",
    ),
    key(
        "http.token_file",
        Shape::Path,
        None,
        "file with the token that clients send as `Authorization: Bearer`; not readable for others",
    ),
    key(
        "http.viewer_token_file",
        Shape::Path,
        None,
        "file with a second token, for those who may look and change nothing; what jobs carry is masked for them",
    ),
    key(
        "http.hosts",
        Shape::List,
        None,
        "names that browsers may call this server by, besides loopback ones; guards against DNS rebinding",
    ),
    key(
        "http.max_connections",
        Shape::Count(1, 65_536),
        Some("256"),
        "connections at once; more wait in the kernel's queue",
    ),
    key(
        "http.header_timeout",
        Shape::Duration(Millis(100), MINUTES_10),
        Some("30s"),
        "the longest that a request's head may take, and that an idle connection is kept",
    ),
    key(
        "http.request_timeout",
        Shape::Duration(Millis(100), MINUTES_10),
        Some("60s"),
        "the longest that an answer may take; only reports take more than milliseconds",
    ),
    key(
        "http.max_header_bytes",
        Shape::Size(8 << 10, 1 << 20),
        Some("16kB"),
        "the largest request head; browsers stay below 8 kB",
    ),
    key(
        "http.max_body_bytes",
        Shape::Size(0, 16 << 20),
        Some("64kB"),
        "the largest request body; remote write takes 16 MB whatever this says",
    ),
    key(
        "http.compression_threshold",
        Shape::Size(0, 1 << 20),
        Some("1kB"),
        "answers from this size on are compressed; smaller ones fit a packet or two as they are",
    ),
    key(
        "http.compression_level",
        Shape::Count(1, 9),
        Some("6"),
        "gzip level; 6 costs 2 microseconds for 2 kB, 9 gains nothing on JSON",
    ),
    key(
        "http.shutdown_grace",
        Shape::Duration(Millis(0), MINUTES_10),
        Some("5s"),
        "how long running requests may finish after a stop signal",
    ),
    key(
        "log.level",
        Shape::Choice(&["error", "warn", "info", "debug", "trace"]),
        Some("info"),
        "the least severe line that is written to standard error",
    ),
    key(
        "log.format",
        Shape::Choice(&["text", "json"]),
        Some("text"),
        "how lines are written",
    ),
];

/// The last part of a limit's key, by resource; under `limits` and under `target.limits` alike.
pub(super) const LIMITS: [(Resource, &str); 6] = [
    (Resource::Cpu, "cpu_cores"),
    (Resource::Memory, "memory"),
    (Resource::Storage, "storage"),
    (Resource::Bandwidth, "bandwidth"),
    (Resource::Database, "database"),
    (Resource::Connections, "connections"),
];

/// The key of this name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_lies_within_its_own_bounds() {
        for key in KEYS {
            if let Some(text) = key.default {
                let value = key.shape.read(text).unwrap();
                assert_eq!(
                    key.shape.read(&value.to_string()),
                    Ok(value),
                    "{}",
                    key.name
                );
            }
        }
    }

    #[test]
    fn every_limit_has_its_key() {
        for (resource, part) in LIMITS {
            assert!(find(&format!("limits.{part}")).is_some(), "{resource}");
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_understood_and_a_stranger_is_not() {
        let names = || KEYS.iter().map(|key| key.name);
        assert_eq!(nearest("collect.scrap", names()), Some("collect.scrape"));
        assert_eq!(nearest("listen", names()), Some("listen"));
        assert_eq!(nearest("banana", names()), None);
    }
}
