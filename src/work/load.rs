//! Load tests: which scenario, against whom, what is good enough, and where results are kept.
//!
//! For: `plimsoll loadtest`, and the task `load-test` of the queue `plimsoll`. Not for: sending
//! (`load`). Read [`run`] first, then `task`.
//!
//! Whoever may add a job could have this machine send load to any other, so a job may only load the
//! origins that the operator listed in `load.origins`. At a terminal a person answers for it.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

use crate::clock::{Clock as _, SystemClock};
use crate::diagnose::Targets;
use crate::load::{self, Plan};
use crate::model::job::{Failure, Payload};
use crate::model::load::{LoadTestResults, Origin, Scenario, Summary, Thresholds};
use crate::model::spelling;
use crate::queue::Task;
use crate::store::Store;
use crate::work::tasks::Tools;
use crate::work::{Error, Result};

pub use crate::load::Progress;

/// Whole results, by their ids.
const KIND: &str = "load-test";
/// The same in short, so that a list does not read them all.
const SUMMARY: &str = "load-test-summary";
/// Results that are kept.
const KEPT: usize = 100;
/// A job notes how far it is when a stage begins, and each time so many seconds are over.
const NOTED: u64 = 5;
/// How long a job waits before it asks again whether another load test is over.
const AGAIN: Duration = Duration::from_mins(1);
/// A throughput that nobody set must be reached but for this share of the schedule's own.
const SLACK: f64 = 0.05;

/// One load test at a time in this process: two would measure each other, and several would keep forecasts
/// and backups waiting for a worker.
static LANE: Semaphore = Semaphore::const_new(1);

/// What somebody wants to have run.
#[derive(Debug, Clone)]
pub struct Order {
    /// As its file says.
    pub scenario: Scenario,
    /// Scheme, host, port, and a path before those of the endpoints.
    pub url: String,
    /// Multiplies rates.
    pub rate: f64,
    /// Multiplies lengths.
    pub time: f64,
    /// Headers of every request.
    pub headers: Vec<(String, String)>,
    /// Requests under way at once, in place of what the scenario says.
    pub max_in_flight: Option<usize>,
    /// Share of failures at which it is given up, in place of what the scenario says.
    pub max_errors: Option<f64>,
}

impl Order {
    /// A scenario against a server, as it stands.
    pub fn of(scenario: Scenario, url: &str) -> Self {
        Self {
            scenario,
            url: url.to_owned(),
            rate: 1.0,
            time: 1.0,
            headers: Vec::new(),
            max_in_flight: None,
            max_errors: None,
        }
    }
}

/// The built-in scenarios, in the order of the specification.
///
/// # Errors
/// Only in a build whose `data/scenarios` is broken, which its tests tell.
pub fn scenarios() -> Result<Vec<Scenario>> {
    load::names().map(scenario).collect()
}

/// The built-in scenario of this name.
///
/// # Errors
/// [`Error::UnknownScenario`], with the name that was probably meant.
pub fn scenario(name: &str) -> Result<Scenario> {
    Ok(load::read(name, text(name)?)?)
}

/// The file of a built-in scenario.
///
/// # Errors
/// As [`scenario`].
pub fn text(name: &str) -> Result<&'static str> {
    load::text(name).ok_or_else(|| Error::UnknownScenario {
        name: name.chars().take(100).collect(),
        near: spelling::nearest(name, load::names()).map(str::to_owned),
        known: load::names().collect::<Vec<_>>().join(", "),
    })
}

/// A scenario's file, and what it says.
///
/// # Errors
/// When it cannot be read, and what is wrong in it, with the line.
pub fn file(path: &Path) -> Result<(String, Scenario)> {
    let text = std::fs::read_to_string(path).map_err(|source| load::Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let scenario = load::read(&path.display().to_string(), &text)?;
    Ok((text, scenario))
}

/// Runs a load test. It ends early, with what was measured, when `stop` comes; `told` is called once
/// a second and must return at once.
///
/// # Errors
/// [`Error::Load`], before any load is sent.
pub async fn run(
    order: Order,
    stop: impl Future<Output = ()> + Send + 'static,
    told: impl Fn(&Progress) + Send + 'static,
) -> Result<LoadTestResults> {
    let plan = plan(order)?;
    Ok(load::run(plan, stop, told).await?)
}

fn plan(order: Order) -> Result<Plan> {
    let (origin, base) = Origin::of_url(&order.url).map_err(load::Error::from)?;
    let mut scenario = load::scaled(&order.scenario, order.rate, order.time)?;
    if let Some(most) = order.max_in_flight {
        scenario.max_in_flight = most;
    }
    if let Some(share) = order.max_errors {
        scenario.abort.error_ratio = share;
    }
    let thresholds = scenario.thresholds.or(usual(&scenario));
    let now = SystemClock.now().to_string().replace(':', "");
    Ok(Plan {
        id: format!("{now}-{}", scenario.name),
        thresholds,
        scenario,
        rate_factor: order.rate,
        time_factor: order.time,
        origin,
        base,
        headers: order.headers,
    })
}

/// The targets of the specification. Its throughput is asked only of a schedule that sends so much.
fn usual(scenario: &Scenario) -> Thresholds {
    let api = &Targets::built_in().api;
    let seconds = scenario.duration().0 as f64 / 1e3;
    let planned = scenario.arrivals() / seconds * (1.0 - SLACK);
    Thresholds {
        p50_ms: Some(api.p50_ms),
        p95_ms: Some(api.p95_ms),
        p99_ms: Some(api.p99_ms),
        error_ratio: Some(api.error_ratio),
        requests_per_s: Some(api.requests_per_s.min(planned)),
    }
}

/// Keeps a result, and forgets the oldest beyond a hundred.
///
/// # Errors
/// When records cannot be written.
pub fn keep(store: &Store, result: &LoadTestResults) -> crate::store::Result<()> {
    let records = store.records();
    // What is cut off between the two is in the list, and goes with it.
    records.put(SUMMARY, &result.id, &result.summary())?;
    records.put(KIND, &result.id, result)?;
    // Ids sort by time.
    let all = records.list::<IgnoredAny>(SUMMARY)?;
    for (id, _) in all.iter().take(all.len().saturating_sub(KEPT)) {
        records.delete(SUMMARY, id)?;
        records.delete(KIND, id)?;
    }
    Ok(())
}

/// Results in short, newest first.
///
/// # Errors
/// When records cannot be read.
pub fn list(store: &Store, limit: usize) -> crate::store::Result<Vec<Summary>> {
    let all = store.records().list::<Summary>(SUMMARY)?;
    let newest = all.into_iter().rev().take(limit);
    Ok(newest.map(|(_, summary)| summary).collect())
}

/// The result of this id.
///
/// # Errors
/// When the record cannot be read.
pub fn get(store: &Store, id: &str) -> crate::store::Result<Option<LoadTestResults>> {
    store.records().get(KIND, id)
}

/// What a job says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    scenario: String,
    url: String,
    #[serde(default = "one")]
    rate: f64,
    #[serde(default = "one")]
    time: f64,
}

const fn one() -> f64 {
    1.0
}

/// The task `load-test`: runs a built-in scenario against an origin that is listed, keeps the
/// result, and tells it in short. Called off, or when the program stops, it keeps what was measured.
pub(crate) async fn task(tools: &Tools, task: &Task) -> std::result::Result<Value, Failure> {
    let order = order(task.job.data.text(), &tools.projector.config.load_origins)?;
    let Ok(_alone) = LANE.try_acquire() else {
        let mut busy = Failure::of("another load test is under way");
        busy.retry_after = Some(crate::model::units::Millis(
            u64::try_from(AGAIN.as_millis()).unwrap_or(u64::MAX),
        ));
        return Err(busy);
    };
    let (tell, told) = watch::channel(None);
    let stopping = task.clone();
    let result = {
        let running = run(
            order,
            async move { stopping.stopping().await },
            move |progress: &Progress| {
                tell.send_replace(Some(progress.clone()));
            },
        );
        let (result, ()) = tokio::join!(running, note(task, told));
        result.map_err(|error| failure(&error))?
    };
    let store = std::sync::Arc::clone(&tools.projector.store);
    let short = short(&result);
    let kept = tokio::task::spawn_blocking(move || keep(&store, &result)).await;
    kept.map_err(|panic| Failure::of(panic.to_string()))?
        .map_err(|error| Failure::of(crate::work::with_causes(&error)))?;
    Ok(short)
}

/// What a job asks for, if it may.
fn order(text: &str, origins: &[Origin]) -> std::result::Result<Order, Failure> {
    let asked: Asked = serde_json::from_str(text).map_err(|error| {
        refused(format!(
            "its data does not read: {error}; write {{\"scenario\": \"baseline-performance\", \
             \"url\": \"http://host:port\", \"rate\": 1, \"time\": 1}}"
        ))
    })?;
    let (origin, _) = Origin::of_url(&asked.url).map_err(|error| refused(error.to_string()))?;
    if !origins.contains(&origin) {
        return Err(refused(format!(
            "{origin} is not in load.origins, so no job may load it; list it there to allow it"
        )));
    }
    let scenario = scenario(&asked.scenario).map_err(|error| refused(error.to_string()))?;
    let order = Order {
        rate: asked.rate,
        time: asked.time,
        ..Order::of(scenario, &asked.url)
    };
    // Told before the lane is taken.
    plan(order.clone()).map_err(|error| refused(error.to_string()))?;
    Ok(order)
}

/// Notes how far a run is in its job, until it ends.
async fn note(task: &Task, mut told: watch::Receiver<Option<Progress>>) {
    let (mut next, mut stage) = (0, String::new());
    while told.changed().await.is_ok() {
        let Some(progress) = told.borrow_and_update().clone() else {
            continue;
        };
        if progress.elapsed.as_secs() < next && progress.stage == stage {
            continue;
        }
        next = progress.elapsed.as_secs() + NOTED;
        stage.clone_from(&progress.stage);
        let share = progress.elapsed.as_secs_f64() / progress.total.as_duration().as_secs_f64();
        let text = json!({
            "share": share.min(1.0),
            "stage": progress.stage,
            "requests": progress.done,
            "failed": progress.failed,
            "p99Ms": progress.p99,
        });
        let Ok(payload) = Payload::of(&text) else {
            continue;
        };
        if let Err(error) = task.progress(payload).await {
            tracing::debug!(%error, "how far a load test is could not be noted");
        }
    }
}

fn short(result: &LoadTestResults) -> Value {
    let missed = result.thresholds.iter().filter(|one| !one.passed);
    let missed: Vec<&str> = missed.map(|one| one.name.as_str()).collect();
    json!({
        "id": result.id,
        "passed": result.passed,
        "ended": result.ended,
        "reason": result.reason,
        "missed": missed,
        "requests": result.total_requests,
        "failed": result.failed_requests,
        "p50": result.metrics.latency.p50,
        "p95": result.metrics.latency.p95,
        "p99": result.metrics.latency.p99,
    })
}

/// A failure that no other attempt mends.
fn refused(text: String) -> Failure {
    Failure {
        name: Some("LoadTest".to_owned()),
        retryable: Some(false),
        ..Failure::of(text)
    }
}

/// A server that does not answer now may answer later; nothing else gets better by itself.
fn failure(error: &Error) -> Failure {
    let is_passing = matches!(
        error,
        Error::Load(
            load::Error::Unreachable { .. } | load::Error::Silent { .. } | load::Error::Stopped
        )
    );
    Failure {
        retryable: Some(is_passing),
        ..refused(crate::work::with_causes(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Options;

    fn origins() -> Vec<Origin> {
        vec!["http://127.0.0.1:3002".parse().unwrap()]
    }

    #[test]
    fn a_name_that_is_nearly_right_is_told_what_was_meant() {
        let told = scenario("spike-tset").unwrap_err().to_string();
        assert!(told.contains("did you mean spike-test?"), "{told}");
        let told = scenario("banana").unwrap_err().to_string();
        assert!(told.contains("one of baseline-performance, "), "{told}");
        assert_eq!(scenarios().unwrap().len(), 5);
    }

    #[test]
    fn the_targets_of_the_specification_hold_unless_the_scenario_has_its_own() {
        let url = "http://127.0.0.1:3002";
        let mut slow = scenario("baseline-performance").unwrap();
        slow.thresholds.p95_ms = Some(7.0);
        let limits = plan(Order::of(slow, url)).unwrap().thresholds;
        assert_eq!((limits.p50_ms, limits.p95_ms), (Some(50.0), Some(7.0)));
        assert_eq!(
            (limits.p99_ms, limits.error_ratio),
            (Some(500.0), Some(0.001))
        );
        // 5100 arrivals in 300 s are not 1000 a second.
        assert!((limits.requests_per_s.unwrap() - 16.15).abs() < 1e-9);
        let fast = Order {
            rate: 100.0,
            ..Order::of(scenario("api-focused").unwrap(), url)
        };
        assert_eq!(plan(fast).unwrap().thresholds.requests_per_s, Some(1_000.0));
    }

    #[test]
    fn a_job_loads_only_what_the_operator_listed() {
        let text =
            |url: &str| format!(r#"{{"scenario": "spike-test", "url": "{url}", "time": 0.1}}"#);
        let good = order(&text("http://127.0.0.1:3002/base"), &origins()).unwrap();
        assert!((good.time - 0.1).abs() < 1e-9 && (good.rate - 1.0).abs() < 1e-9);
        for url in [
            "http://127.0.0.1:3003",
            "https://127.0.0.1:3002",
            "http://localhost:3002",
            "http://169.254.169.254",
        ] {
            let failure = order(&text(url), &origins()).unwrap_err();
            assert_eq!(failure.retryable, Some(false));
            assert!(
                failure.message.contains("load.origins"),
                "{}",
                failure.message
            );
            assert!(order(&text(url), &[]).is_err());
        }
    }

    #[test]
    fn a_job_that_cannot_be_read_is_refused_for_good() {
        for (data, why) in [
            ("null", "does not read"),
            ("{}", "missing field"),
            (r#"{"scenario": "x", "url": "y", "z": 1}"#, "unknown field"),
            (r#"{"scenario": "x", "url": "127.0.0.1"}"#, "no scheme"),
            (
                r#"{"scenario": "x", "url": "http://127.0.0.1:3002"}"#,
                "one of",
            ),
            (
                r#"{"scenario": "spike-test", "url": "http://127.0.0.1:3002", "rate": 0}"#,
                "rate is a factor",
            ),
            (
                r#"{"scenario": "spike-test", "url": "http://127.0.0.1:3002", "time": 1e9}"#,
                "time is a factor",
            ),
        ] {
            let failure = order(data, &origins()).unwrap_err();
            assert_eq!(failure.retryable, Some(false), "{data}");
            assert!(failure.message.contains(why), "{data}: {}", failure.message);
        }
    }

    #[tokio::test]
    async fn the_newest_hundred_results_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Options::in_dir(folder.path())).unwrap();
        let mut result: LoadTestResults =
            serde_json::from_str(include_str!("load/result.json")).unwrap();
        for number in 0..KEPT + 3 {
            result.id = format!("{number:04}");
            keep(&store, &result).unwrap();
        }
        let listed = list(&store, 1_000).unwrap();
        assert_eq!(listed.len(), KEPT);
        assert_eq!(
            (listed[0].id.as_str(), listed[99].id.as_str()),
            ("0102", "0003")
        );
        assert_eq!(list(&store, 2).unwrap().len(), 2);
        assert_eq!(get(&store, "0002").unwrap(), None);
        assert_eq!(get(&store, "0102").unwrap().unwrap(), result);
    }
}
