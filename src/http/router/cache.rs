//! Rows of `/cache/…`.

use axum::routing::{get, post};

use super::{JSON, Param, Route};
use crate::http::cache;

/// Where queries are warmed.
pub const WARM: &str = "/api/v1/performance/cache/warm";
/// Where results are dropped.
pub const INVALIDATE: &str = "/api/v1/performance/cache/invalidate";

const KEY: Param = Param {
    name: "key",
    place: "path",
    about: "the query's key, percent-encoded",
};

/// Every route of the cache.
pub(super) const ROUTES: &[Route] = &[
    Route {
        method: "POST",
        path: WARM,
        summary: "Loads named queries now, the critical ones first, and waits for them; 207 where some failed, 502 where all did.",
        does: "warm the cache",
        params: &[],
        answer: (JSON, "CacheWarmed"),
        serve: || post(cache::warm),
    },
    Route {
        method: "POST",
        path: INVALIDATE,
        summary: "Drops results by key, pattern (* and ?), tag or event; dryRun only tells which.",
        does: "invalidate the cache",
        params: &[],
        answer: (JSON, "CacheInvalidated"),
        serve: || post(cache::invalidate),
    },
    Route {
        method: "GET",
        path: "/api/v1/performance/cache/metrics",
        summary: "Hits, misses, evictions, size and measured times of the cache since the start.",
        does: "get cache metrics",
        params: &[],
        answer: (JSON, "CacheMetrics"),
        serve: || get(cache::metrics),
    },
    Route {
        method: "GET",
        path: "/api/v1/performance/cache/hit-rate",
        summary: "Hit rates since the start: overall, by key and by the first part of keys.",
        does: "get the cache hit rate",
        params: &[],
        answer: (JSON, "CacheHitRateReport"),
        serve: || get(cache::hit_rate),
    },
    Route {
        method: "GET",
        path: "/api/v1/performance/cache/queries",
        summary: "The named queries of the settings, and where each stands.",
        does: "list named queries",
        params: &[],
        answer: (JSON, "[CachedQuery]"),
        serve: || get(cache::queries),
    },
    Route {
        method: "GET",
        path: "/api/v1/performance/cache/queries/{key}",
        summary: "The rows of a named query, with Age, X-Cache (hit, stale or miss) and ETag; loaded where they are not kept.",
        does: "get the rows of the query",
        params: &[KEY],
        answer: (JSON, "[any]"),
        serve: || get(cache::rows),
    },
];
