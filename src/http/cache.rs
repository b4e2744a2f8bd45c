//! `/cache/…`: results of named queries, and what happened to them.
//!
//! For: reading wishes and showing answers. Not for: what is kept (`cache`) nor how a query is run
//! (`work::cache`). Rows are for operators alone: they may be about people.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Site;
use super::ask::Ask;
use super::body::Answer;
use super::error::Refusal;
use super::guard::Role;
use crate::cache::{Cache, Counts, Error, Failure, QueryState, Which};
use crate::model::units::{Timestamp, counted};
use crate::work::cache::{self as work, Warmed};

/// Where all paths of this module begin.
pub(super) const BASE: &str = "/api/v1/performance/cache/";

/// The cache, if this server has one.
fn cache(site: &Site) -> Result<&Arc<Cache>, Refusal> {
    let none = || Refusal::Internal("this server keeps no results".to_owned());
    site.hooks.cache.as_ref().ok_or_else(none)
}

fn body(site: &Site, body: Result<Bytes, BytesRejection>) -> Result<Bytes, Refusal> {
    let limit = site.settings.max_body_bytes;
    body.map_err(|_| Refusal::BodyTooLarge { limit })
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Failed { failure, .. } => Self::NotLoaded {
                text,
                retry_after_s: seconds_up(failure.until.since(failure.at)),
            },
            _ => Self::UnknownQuery { text },
        }
    }
}

/// Whole seconds, never too few.
fn seconds_up(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

/// `POST /cache/warm`.
pub(super) async fn warm(
    State(site): State<Arc<Site>>,
    ask: Ask,
    sent: Result<Bytes, BytesRejection>,
) -> Result<Answer, Refusal> {
    ask.only(&[])?;
    let sent = body(&site, sent)?;
    let text =
        std::str::from_utf8(&sent).map_err(|_| Refusal::Body("the body is no text".to_owned()))?;
    let text = if text.trim().is_empty() { "{}" } else { text };
    let wish = work::wish(text)
        .map_err(|error| Refusal::Body(format!("the body does not read: {error}")))?;
    let done = work::warm(cache(&site)?, &wish).await?;
    warmed(&done)
}

fn warmed(done: &Warmed) -> Result<Answer, Refusal> {
    let (loaded, failed) = (done.loaded.len() as u64, done.failed.len() as u64);
    let message = match (loaded, failed) {
        (0, 0) => "There is no query to warm; add a [[query]] to the settings".to_owned(),
        (_, 0) => format!("Cache warming completed: {} loaded", queries_of(loaded)),
        _ => format!(
            "{} loaded, {} failed",
            queries_of(loaded),
            queries_of(failed)
        ),
    };
    let mut told = json!({
        "success": failed == 0,
        "message": message,
        "warmed": done.loaded.iter().map(|one| json!({
            "key": one.key, "rows": one.rows, "bytes": one.bytes, "tookMs": one.took_ms,
        })).collect::<Vec<Value>>(),
        "failed": done.failed.iter().map(|(key, reason)| json!({
            "key": key, "reason": reason,
        })).collect::<Vec<Value>>(),
    });
    match (loaded, failed) {
        (_, 0) => Ok(Answer::json(&told)?.fleeting()),
        (0, _) => {
            // As a refusal is told, for those who read no more of it.
            let reasons = done.failed.iter();
            let reasons: Vec<String> = reasons.map(|(key, why)| format!("{key}: {why}")).collect();
            if let Some(told) = told.as_object_mut() {
                told.insert("code".to_owned(), json!("not-loaded"));
                told.insert("error".to_owned(), json!("Failed to warm the cache"));
                told.insert("detail".to_owned(), json!(reasons.join("; ")));
            }
            Ok(Answer::json(&told)?.of_bad_gateway())
        }
        _ => Ok(Answer::json(&told)?.of_several()),
    }
}

fn queries_of(count: u64) -> String {
    if count == 1 {
        "1 query".to_owned()
    } else {
        format!("{count} queries")
    }
}

/// What `POST /cache/invalidate` takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wanted {
    key: Option<String>,
    pattern: Option<String>,
    tag: Option<String>,
    event: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

impl Wanted {
    fn read(sent: &[u8]) -> Result<(Which, bool), Refusal> {
        let missing = "name what to drop: one of key, pattern, tag and event";
        if sent.trim_ascii().is_empty() {
            return Err(Refusal::Body(missing.to_owned()));
        }
        let wanted: Self = serde_json::from_slice(sent)
            .map_err(|error| Refusal::Body(format!("the body does not read: {error}")))?;
        let ways = [
            wanted.key.map(Which::Key),
            wanted.pattern.map(Which::Pattern),
            wanted.tag.map(Which::Tag),
            wanted.event.map(Which::Event),
        ];
        let mut ways = ways.into_iter().flatten();
        match (ways.next(), ways.next()) {
            (Some(which), None) if !is_empty(&which) => Ok((which, wanted.dry_run)),
            (Some(_), None) => Err(Refusal::Body(format!("it is empty; {missing}"))),
            (None, _) => Err(Refusal::Body(missing.to_owned())),
            (Some(_), Some(_)) => Err(Refusal::Body(format!("there are several; {missing}"))),
        }
    }
}

fn is_empty(which: &Which) -> bool {
    let (Which::Key(text) | Which::Pattern(text) | Which::Tag(text) | Which::Event(text)) = which;
    text.trim().is_empty()
}

/// `POST /cache/invalidate`.
pub(super) async fn invalidate(
    State(site): State<Arc<Site>>,
    ask: Ask,
    sent: Result<Bytes, BytesRejection>,
) -> Result<Answer, Refusal> {
    ask.only(&[])?;
    let (which, dry_run) = Wanted::read(&body(&site, sent)?)?;
    let cache = cache(&site)?;
    let keys = if dry_run {
        cache.held(&which)?
    } else {
        cache.invalidate(&which)?
    };
    let count = keys.len() as u64;
    let done = if dry_run {
        "would be dropped"
    } else {
        "dropped"
    };
    let message = format!("{} {done}", counted(count, "result"));
    let told = json!({
        "success": true, "message": message, "count": count, "keys": keys, "dryRun": dry_run,
    });
    Ok(Answer::json(&told)?.fleeting())
}

/// `GET /cache/metrics`.
pub(super) async fn metrics(State(site): State<Arc<Site>>) -> Result<Answer, Refusal> {
    let totals = cache(&site)?.totals();
    let (counts, usage) = (totals.counts, totals.usage);
    let told = json!({
        "hits": counts.hits,
        "misses": counts.misses,
        "hitRate": counts.hit_rate().unwrap_or(0.0),
        "evictions": counts.evictions,
        "size": usage.entries,
        "memoryUsage": usage.bytes,
        "avgGetTime": totals.get.mean_ms().unwrap_or(0.0),
        "avgSetTime": totals.set.mean_ms().unwrap_or(0.0),
        "lookups": counts.lookups(),
        "staleHits": counts.stale_hits,
        "loads": counts.loads,
        "loadFailures": counts.load_failures,
        "gets": totals.get.times,
        "sets": totals.set.times,
        "maxBytes": usage.max_bytes,
        "queries": totals.queries,
        "layer": totals.layer,
        "since": totals.since.to_string(),
    });
    Ok(Answer::json(&told)?.fleeting())
}

/// `GET /cache/hit-rate`.
pub(super) async fn hit_rate(State(site): State<Arc<Site>>) -> Result<Answer, Refusal> {
    let cache = cache(&site)?;
    let rates = |all: BTreeMap<String, Counts>| -> BTreeMap<String, f64> {
        let rate = |(key, counts): (String, Counts)| Some((key, counts.hit_rate()?));
        all.into_iter().filter_map(rate).collect()
    };
    let totals = cache.totals();
    let told = json!({
        "overall": totals.counts.hit_rate().unwrap_or(0.0),
        "byKey": rates(cache.counts_by_key()),
        "byPattern": rates(cache.counts_by_pattern()),
        "timestamp": cache.now().to_string(),
        "lookups": totals.counts.lookups(),
        "since": totals.since.to_string(),
    });
    Ok(Answer::json(&told)?.fleeting())
}

/// `GET /cache/queries`.
pub(super) async fn queries(State(site): State<Arc<Site>>, role: Role) -> Result<Answer, Refusal> {
    let cache = cache(&site)?;
    let now = cache.now();
    let all = cache.survey();
    let all: Vec<Value> = all.iter().map(|query| state(query, role, now)).collect();
    Ok(Answer::json(&all)?.fleeting())
}

fn state(query: &QueryState, role: Role, now: Timestamp) -> Value {
    let (kept, counts) = (&query.rule, query.counts);
    let entry = query.entry.as_deref();
    let failure = |failure: &Failure| {
        json!({
            "reason": (role == Role::Operator).then_some(&*failure.reason),
            "at": failure.at.to_string(),
            "retryAt": failure.until.to_string(),
            "times": failure.times,
        })
    };
    json!({
        "key": kept.key,
        "state": query.standing.name(),
        "loading": query.is_loading,
        "age": entry.map(|entry| now.since(entry.stored_at).as_secs_f64()),
        "rows": entry.map(|entry| entry.rows),
        "bytes": entry.map(|entry| entry.body.len()),
        "loadedAt": entry.map(|entry| entry.stored_at.to_string()),
        "freshUntil": entry.map(|entry| entry.fresh_until.to_string()),
        "staleUntil": entry.map(|entry| entry.stale_until.to_string()),
        "tookMs": entry.map(|entry| entry.took.as_secs_f64() * 1e3),
        "hits": counts.hits,
        "staleHits": counts.stale_hits,
        "misses": counts.misses,
        "loads": counts.loads,
        "loadFailures": counts.load_failures,
        "evictions": counts.evictions,
        "hitRate": counts.hit_rate(),
        "failure": query.failure.as_ref().map(failure),
        "ttlMs": kept.ttl.0,
        "staleMs": kept.stale.0,
        "priority": kept.priority.name(),
        "tags": kept.tags,
        "events": kept.events,
    })
}

/// `GET /cache/queries/{key}`.
pub(super) async fn rows(
    State(site): State<Arc<Site>>,
    Path(key): Path<String>,
    role: Role,
) -> Result<Answer, Refusal> {
    if role == Role::Viewer {
        return Err(Refusal::NotForViewers);
    }
    let served = cache(&site)?.get(&key).await?;
    let body = served.entry.body.clone();
    Ok(Answer::of("application/json", body)
        .with("age", &served.age.as_secs().to_string())
        .with("x-cache", served.found.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_drop_is_named_once_and_strictly() {
        let read = |text: &str| Wanted::read(text.as_bytes()).map_err(|error| error.to_string());
        let pattern = Which::Pattern("agents:*".to_owned());
        assert_eq!(read(r#"{"pattern": "agents:*"}"#), Ok((pattern, false)));
        let tag = Which::Tag("agents".to_owned());
        assert_eq!(
            read(r#"{"tag": "agents", "dryRun": true}"#),
            Ok((tag, true))
        );
        for (body, word) in [
            ("", "name what to drop"),
            ("{}", "name what to drop"),
            (r#"{"dryRun": true}"#, "name what to drop"),
            (r#"{"pattern": null}"#, "name what to drop"),
            (r#"{"pattern": " "}"#, "empty"),
            (r#"{"pattern": 7}"#, "invalid type"),
            (r#"{"key": "a", "tag": "b"}"#, "several"),
            (r#"{"patern": "a"}"#, "unknown field"),
            (r#"{"key": "a", "dryRun": "yes"}"#, "invalid type"),
            ("[]", "does not read"),
        ] {
            let error = read(body).unwrap_err();
            assert!(error.contains(word), "{body}: {error}");
        }
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_and_never_too_short() {
        assert_eq!(seconds_up(Duration::from_millis(1_001)), 2);
        assert_eq!(seconds_up(Duration::from_secs(2)), 2);
    }
}
