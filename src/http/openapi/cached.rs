//! Shapes of `/cache/…`, written as those of the parent.

use serde_json::{Value, json};

use super::schema::kind;
use crate::http::router::{INVALIDATE, Route, WARM};

/// Fields of each shape.
pub(super) const SHAPES: &[(&str, &str)] = &[
    (
        "CacheMetrics",
        "hits whole, misses whole, hitRate number, evictions whole, size whole, memoryUsage whole, \
      avgGetTime number, avgSetTime number, lookups whole, staleHits whole, loads whole, \
      loadFailures whole, gets whole, sets whole, maxBytes whole, queries whole, layer text, \
      since time",
    ),
    (
        "CacheHitRateReport",
        "overall number, byKey any, byPattern any, timestamp time, lookups whole, since time",
    ),
    (
        "CachedQuery",
        "key text, state text, loading flag, age number?, rows whole?, bytes whole?, \
      loadedAt time?, freshUntil time?, staleUntil time?, tookMs number?, hits whole, \
      staleHits whole, misses whole, loads whole, loadFailures whole, evictions whole, \
      hitRate number?, failure CachedFailure?, ttlMs whole, staleMs whole, priority text, \
      tags [text], events [text]",
    ),
    (
        "CachedFailure",
        "reason text?, at time, retryAt time, times whole",
    ),
    (
        "CacheWarmed",
        "success flag, message text, warmed [WarmedQuery], failed [UnwarmedQuery]",
    ),
    (
        "WarmedQuery",
        "key text, rows whole, bytes whole, tookMs number",
    ),
    ("UnwarmedQuery", "key text, reason text"),
    (
        "CacheInvalidated",
        "success flag, message text, count whole, keys [text], dryRun flag",
    ),
    ("WarmWish", "keys [text], priority text?"),
    (
        "InvalidateWish",
        "key text?, pattern text?, tag text?, event text?, dryRun flag?",
    ),
];

/// What a field says beyond its name and type.
pub(super) const NOTES: &[(&str, &str, &str)] = &[
    (
        "CacheMetrics",
        "hitRate",
        "0 to 1, stale hits among the hits; 0 where lookups is 0",
    ),
    (
        "CacheMetrics",
        "avgGetTime",
        "ms, measured at every look; 0 where gets is 0",
    ),
    (
        "CacheMetrics",
        "avgSetTime",
        "ms, measured at every change; 0 where sets is 0",
    ),
    ("CacheMetrics", "memoryUsage", "bytes, keys included"),
    (
        "CacheHitRateReport",
        "byKey",
        "hit rate of each key that was asked for",
    ),
    (
        "CacheHitRateReport",
        "byPattern",
        "the same by the first part of the keys, up to a colon",
    ),
    ("CachedQuery", "state", "fresh, stale, absent or failed"),
    ("CachedQuery", "age", "seconds since it was loaded"),
    (
        "CachedFailure",
        "reason",
        "null for those who may only look: a server's words may quote a value",
    ),
];

/// What is sent to a route, if it is one of these.
pub(super) fn body(route: &Route) -> Option<Value> {
    let (schema, required, description) = match route.path {
        WARM => ("WarmWish", false, "Which queries; all without it."),
        INVALIDATE => (
            "InvalidateWish",
            true,
            "One of key, pattern, tag and event.",
        ),
        _ => return None,
    };
    Some(json!({
        "required": required,
        "description": description,
        "content": {"application/json": {"schema": kind(schema)}},
    }))
}
