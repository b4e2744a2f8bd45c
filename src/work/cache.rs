//! Named queries of the settings, run on the targets and kept by the cache; and their warming.
//!
//! For: turning settings into a cache, and a wish into loads in their order. Not for: what is kept for
//! how long (`cache`) nor how a query is run (`postgres::fetch`).

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::advise::{query, script};
use crate::cache::{self, Cache, Loaded, Loader, Memory};
use crate::clock::Clock;
use crate::config::{self, Config, Problem, Query};
use crate::model::cached::Priority;
use crate::model::job::Failure;
use crate::model::spelling;
use crate::model::units::Millis;
use crate::postgres::{Bounds, Error, Fetcher};
use crate::queue::Queues;
use crate::work::targets::{WatchedTarget, watched_targets};
use crate::work::tasks;

/// First words of statements that read.
const READS: [&str; 4] = ["select", "with", "values", "table"];
/// `read_only_sql_transaction`: how a server refuses to write.
const READ_ONLY: &str = "25006";

/// One connection of a target, and who waits for it.
type Door = Arc<Mutex<Fetcher>>;

/// A query that can be run.
struct Plan {
    door: Door,
    sql: String,
    bounds: Bounds,
}

/// Whether the settings' queries can be run: each is one statement that reads, on a target that is
/// there.
///
/// # Errors
/// [`config::Error::Invalid`] with all that is wrong; nothing is said of targets that cannot be
/// resolved, which is said elsewhere.
pub fn check(config: &Config) -> Result<(), config::Error> {
    let Ok(targets) = watched_targets(config) else {
        return Ok(());
    };
    let servers: Vec<&str> = targets
        .iter()
        .filter(|target| target.options.is_some())
        .map(|target| target.name.as_str())
        .collect();
    let wrong = config.queries.iter().filter_map(|query| {
        let told = statement(query)
            .map(|_| ())
            .and_then(|()| target(query, &servers).map(|_| ()));
        let message = format!("query {}: {}", query.rule.key, told.err()?);
        Some(Problem {
            origin: query.origin.clone(),
            message,
        })
    });
    match wrong.collect::<Vec<Problem>>() {
        none if none.is_empty() => Ok(()),
        wrong => Err(config::Error::Invalid(wrong)),
    }
}

/// The one statement of a query, without comments around it.
fn statement(query: &Query) -> Result<&str, String> {
    let sql = script::single(&query.sql).map_err(|refusal| match refusal {
        script::Refusal::Several => {
            "sql has more than one statement; write each as a query of its own".to_owned()
        }
        script::Refusal::Kind { word } => writes(&word),
        other => format!("sql: {other}"),
    })?;
    let first = sql.trim_start_matches(['(', ' ', '\n', '\t', '\r']);
    let first: String = first
        .chars()
        .take_while(char::is_ascii_alphabetic)
        .collect();
    // Before the first word may stand comments; the server then says what is wrong.
    if !first.is_empty() && !READS.iter().any(|word| first.eq_ignore_ascii_case(word)) {
        return Err(writes(&first.to_uppercase()));
    }
    if query::text::makes_a_table(sql) {
        return Err(writes("SELECT INTO"));
    }
    match script::parameters(sql) {
        0 => Ok(sql),
        _ => Err("sql has parameters such as $1, and nobody gives them values; write the values in their place".to_owned()),
    }
}

fn writes(word: &str) -> String {
    format!("sql begins with {word}; only SELECT, WITH, VALUES and TABLE read")
}

/// The name of the target that a query runs on.
fn target<'q>(query: &'q Query, servers: &[&'q str]) -> Result<&'q str, String> {
    match (&query.target, servers) {
        (Some(name), _) if servers.contains(&name.as_str()) => Ok(name),
        (None, [only]) => Ok(only),
        (_, []) => Err("there is no target to run it on; add a [[target]]".to_owned()),
        (None, several) => Err(format!(
            "target is missing, and there are several; one of {}",
            several.join(", ")
        )),
        (Some(name), known) => Err(match spelling::nearest(name, known.iter().copied()) {
            Some(near) => format!("target {name:?} is not watched; did you mean {near:?}?"),
            None => format!(
                "target {name:?} is not watched; one of {}",
                known.join(", ")
            ),
        }),
    }
}

/// The cache of the settings' queries, empty.
///
/// # Errors
/// As [`check`].
pub(crate) fn open(
    config: &Config,
    targets: &[WatchedTarget],
    clock: Arc<dyn Clock>,
) -> Result<Arc<Cache>, config::Error> {
    check(config)?;
    let max_bytes = config.cache.max_bytes.0;
    let entry_max = usize::try_from(Memory::entry_max(max_bytes)).unwrap_or(usize::MAX);
    let mut doors: BTreeMap<&str, Door> = BTreeMap::new();
    for target in targets {
        let Some(options) = &target.options else {
            continue;
        };
        let mut options = options.clone();
        options.statement_timeout = config.cache.query_timeout;
        let door = Arc::new(Mutex::new(Fetcher::new(options)));
        doors.insert(&target.name, door);
    }
    let servers: Vec<&str> = doors.keys().copied().collect();
    let mut plans = BTreeMap::new();
    for query in &config.queries {
        let (Ok(sql), Ok(name)) = (statement(query), target(query, &servers)) else {
            continue;
        };
        let Some(door) = doors.get(name) else {
            continue;
        };
        let plan = Plan {
            door: Arc::clone(door),
            sql: sql.to_owned(),
            bounds: Bounds {
                rows: query.max_rows,
                bytes: entry_max,
            },
        };
        plans.insert(query.rule.key.clone(), Arc::new(plan));
    }
    let rules = config.queries.iter().map(|query| query.rule.clone());
    let layer = Arc::new(Memory::new(max_bytes));
    let loader = loader(plans, config.cache.query_timeout);
    Ok(Cache::new(rules, layer, clock, loader))
}

/// Runs a query over its target's one connection; who comes first is served first.
fn loader(plans: BTreeMap<String, Arc<Plan>>, limit: Millis) -> Loader {
    Arc::new(move |key: &str| {
        let (plan, key) = (plans.get(key).cloned(), key.to_owned());
        Box::pin(async move {
            let plan = plan.ok_or("it has no target")?;
            let asked = Instant::now();
            let mut fetcher = plan.door.lock().await;
            let result = fetcher.fetch_since(asked, &plan.sql, plan.bounds).await;
            match result {
                Ok(result) => Ok(Loaded {
                    body: Bytes::from(result.json),
                    rows: result.rows,
                }),
                Err(error) => {
                    tracing::warn!(key, %error, "a named query failed");
                    Err(told(&error, limit))
                }
            }
        })
    })
}

/// What whoever wrote the query can do about it.
fn told(error: &Error, limit: Millis) -> String {
    match error {
        Error::StatementTimeout { .. } => format!(
            "it took longer than {} ms; make it faster, or raise cache.query_timeout",
            limit.0
        ),
        Error::LockTimeout { .. } => {
            "a table that it reads is locked by somebody else; it is tried again".to_owned()
        }
        Error::Denied { detail, .. } => {
            format!("the role may not run it: {detail}; GRANT SELECT, or ask for less")
        }
        Error::Query { code, .. } if code == READ_ONLY => {
            "it would write, and it runs in a read-only transaction".to_owned()
        }
        Error::Query { code, detail, .. } => format!("the server refused it ({code}): {detail}"),
        other => other.to_string(),
    }
}

/// What is to be warmed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Wish {
    /// Every query.
    #[default]
    All,
    /// These.
    Keys(Vec<String>),
    /// Those of one priority.
    Priority(Priority),
}

/// What became of a warming.
#[derive(Debug, Clone, Default)]
pub struct Warmed {
    /// What was loaded, in the order of warming.
    pub loaded: Vec<WarmedQuery>,
    /// What was not, and why.
    pub failed: Vec<(String, String)>,
}

/// One loaded query.
#[derive(Debug, Clone, PartialEq)]
pub struct WarmedQuery {
    /// Its key.
    pub key: String,
    /// Rows of its result.
    pub rows: u64,
    /// Bytes of its result.
    pub bytes: usize,
    /// How long loading it took, waiting for the connection included.
    pub took_ms: f64,
}

/// Loads what is wished for: those of one priority together, the critical ones first, and the next when
/// they are done.
///
/// # Errors
/// [`cache::Error::UnknownKey`], before anything is loaded. What fails is told in the result.
pub async fn warm(cache: &Arc<Cache>, wish: &Wish) -> Result<Warmed, cache::Error> {
    let mut keys: Vec<(Priority, String)> = Vec::new();
    for rule in cache.by_priority() {
        let is_wanted = match wish {
            Wish::All => true,
            Wish::Keys(wanted) => wanted.contains(&rule.key),
            Wish::Priority(priority) => rule.priority == *priority,
        };
        if is_wanted {
            keys.push((rule.priority, rule.key.clone()));
        }
    }
    if let Wish::Keys(wanted) = wish {
        let is_known = |key: &&String| keys.iter().any(|(_, known)| known == *key);
        for key in wanted.iter().filter(|key| !is_known(key)) {
            // Says what may have been meant.
            cache.held(&cache::Which::Key(key.clone()))?;
        }
    }
    let mut warmed = Warmed::default();
    for same in keys.chunk_by(|(one, _), (other, _)| one == other) {
        let loads = same.iter().map(|(_, key)| cache.load(key));
        for ((_, key), done) in same.iter().zip(join_all(loads).await) {
            match done {
                Ok(entry) => warmed.loaded.push(WarmedQuery {
                    key: key.clone(),
                    rows: entry.rows,
                    bytes: entry.body.len(),
                    took_ms: entry.took.as_secs_f64() * 1e3,
                }),
                Err(cache::Error::Failed { failure, .. }) => {
                    warmed
                        .failed
                        .push((key.clone(), failure.reason.to_string()));
                }
                Err(other) => warmed.failed.push((key.clone(), other.to_string())),
            }
        }
    }
    Ok(warmed)
}

/// What a task `cache-warm` may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Asked {
    keys: Option<Vec<String>>,
    priority: Option<String>,
}

/// Reads a wish: `{}`, `{"keys": […]}` or `{"priority": "critical"}`.
///
/// # Errors
/// In words.
pub fn wish(data: &str) -> Result<Wish, String> {
    let asked = match serde_json::from_str(data).map_err(|error| error.to_string())? {
        Value::Null => Asked::default(),
        // A struct reads from a list, too, which nobody means.
        Value::Object(fields) => serde_json::from_value(Value::Object(fields))
            .map_err(|error: serde_json::Error| error.to_string())?,
        _ => return Err("it is no JSON object".to_owned()),
    };
    match (asked.keys, asked.priority) {
        (Some(_), Some(_)) => Err("give keys or priority, not both".to_owned()),
        (Some(keys), None) if keys.is_empty() => {
            Err("keys is empty; leave it out for all".to_owned())
        }
        (Some(keys), None) => Ok(Wish::Keys(keys)),
        (None, Some(name)) => {
            let priority = name.parse::<Priority>();
            priority
                .map(Wish::Priority)
                .map_err(|error| error.to_string())
        }
        (None, None) => Ok(Wish::All),
    }
}

/// Asks for the first warming of a program that starts; where the queue cannot take it, it is done
/// here.
pub(crate) async fn warm_first(queues: &Queues, cache: &Arc<Cache>) {
    if cache.is_empty() {
        return;
    }
    if let Err(error) = tasks::ask(queues, tasks::CACHE_WARM, &json!({})).await {
        tracing::warn!(%error, "the queue takes no warming; it is done without");
        // What fails is told in the log by itself.
        let _ = warm(cache, &Wish::All).await;
    }
}

/// The task `cache-warm`.
pub(crate) async fn task(cache: &Arc<Cache>, data: &str) -> Result<Value, Failure> {
    let refused = |text: String| Failure {
        name: Some("Task".to_owned()),
        retryable: Some(false),
        ..Failure::of(text)
    };
    let wish = wish(data).map_err(|error| refused(format!("its data does not read: {error}")))?;
    let done = warm(cache, &wish).await;
    let done = done.map_err(|error| refused(error.to_string()))?;
    if done.failed.is_empty() {
        let loaded = done.loaded.iter();
        let rows: Vec<Value> = loaded
            .map(|one| json!({"key": one.key, "rows": one.rows, "bytes": one.bytes, "tookMs": one.took_ms}))
            .collect();
        return Ok(json!({ "warmed": rows }));
    }
    // A server's words may quote a value, and who may only look sees why a job failed.
    let failed: Vec<&str> = done.failed.iter().map(|(key, _)| key.as_str()).collect();
    Err(Failure::of(format!(
        "not loaded: {}; `plimsoll cache list` says why",
        failed.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cached::Rule;

    fn query(sql: &str, target: Option<&str>) -> Query {
        Query {
            rule: Rule {
                key: "k".to_owned(),
                ..Rule::default()
            },
            target: target.map(str::to_owned),
            sql: sql.to_owned(),
            max_rows: 1,
            origin: config::Origin::Default(None),
        }
    }

    #[test]
    fn only_one_statement_that_reads_is_taken() {
        for sql in [
            "select 1",
            " -- all of them\nSELECT 1; ",
            "(select 1) union (select 2)",
            "with x as (select 1) select * from x",
            "values (1)",
            "table t",
            "select ';' , 'insert'",
        ] {
            assert!(statement(&query(sql, None)).is_ok(), "{sql}");
        }
        for (sql, word) in [
            ("", "no statement"),
            ("-- nothing", "no statement"),
            ("select 1; select 2", "more than one"),
            ("select 1; drop table x", "more than one"),
            ("insert into t values (1)", "begins with INSERT"),
            ("delete from t returning *", "begins with DELETE"),
            ("drop table t", "begins with DROP"),
            ("select 1 as a into t", "SELECT INTO"),
            ("select $1", "parameters"),
        ] {
            let error = statement(&query(sql, None)).unwrap_err();
            assert!(error.contains(word), "{sql}: {error}");
        }
    }

    #[test]
    fn the_target_may_be_left_out_where_there_is_one() {
        let one = query("select 1", None);
        assert_eq!(target(&one, &["main"]), Ok("main"));
        assert!(
            target(&one, &["main", "other"])
                .unwrap_err()
                .contains("main, other")
        );
        assert!(target(&one, &[]).unwrap_err().contains("[[target]]"));
        let named = query("select 1", Some("mian"));
        assert!(
            target(&named, &["main"])
                .unwrap_err()
                .contains("did you mean \"main\"")
        );
        assert!(
            target(&named, &["zebra"])
                .unwrap_err()
                .contains("one of zebra")
        );
    }

    #[test]
    fn a_wish_is_read_strictly() {
        assert_eq!(wish("{}"), Ok(Wish::All));
        assert_eq!(wish("null"), Ok(Wish::All));
        assert_eq!(
            wish("{\"priority\": \"high\"}"),
            Ok(Wish::Priority(Priority::High))
        );
        assert_eq!(
            wish("{\"keys\": [\"a\"]}"),
            Ok(Wish::Keys(vec!["a".to_owned()]))
        );
        for (data, word) in [
            ("{\"key\": \"a\"}", "unknown field"),
            ("{\"keys\": \"a\"}", "invalid type"),
            ("{\"keys\": []}", "empty"),
            ("{\"priority\": \"urgent\"}", "critical"),
            ("{\"keys\": [\"a\"], \"priority\": \"high\"}", "not both"),
            ("[]", "no JSON object"),
            ("{", "EOF"),
        ] {
            let error = wish(data).unwrap_err();
            assert!(error.contains(word), "{data}: {error}");
        }
    }
}
