//! Plimsoll's own work as jobs of the queue `plimsoll`: listed, counted, tried again like any other.
//!
//! For: what is rare and takes long: forecasts, the comparison of statements, backups, reports, writes to a
//! target; and a scrape that somebody wants now. Not for: what must be punctual or comes every second: regular scrapes,
//! looks at the sessions, the store's syncing and sealing, leases. These stay on timers of their own: a
//! sample that waits for the disk of a queue is late, and a job a second would be most of what `jobs
//! list` shows.
//!
//! A queue that cannot take a task must not keep it from being done: then its caller does it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cache::Cache;
use crate::model::job::{Deduplication, Exhausted, Failure, Keep, NewJob, Payload, QueueName};
use crate::model::units::Timestamp;
use crate::queue::{self, Handler, Outcome, Queues, Runner, RunnerOptions, Task};
use crate::report::Format;
use crate::store::{self, Store};
use crate::work::maintain::Maintainer;
use crate::work::project::{Projector, is_read};
use crate::work::scrape::Asker;
use crate::work::{self, cache, load, report, statements};

/// The queue of our own tasks.
pub(crate) const QUEUE: &str = "plimsoll";
/// Reads one target now, or all: `{"target": "shop"}`.
pub(crate) const COLLECT: &str = "collect";
/// Makes the forecasts of one target, or of all: `{"target": "shop"}`.
pub(crate) const FORECAST: &str = "forecast";
/// Finds which statements became slower.
pub(crate) const STATEMENTS: &str = "statements";
/// Writes a backup into `backups/` of the data folder and keeps the newest: `{"keep": 7}`.
pub(crate) const BACKUP: &str = "backup";
/// Writes a report into `reports/` of the data folder and keeps the newest of its format:
/// `{"format": "html", "keep": 7}`.
pub(crate) const REPORT: &str = "report";
/// Loads the named queries, or some of them: `{"keys": ["agents:active"]}`, `{"priority": "critical"}`.
pub(crate) const CACHE_WARM: &str = "cache-warm";
/// Sends load to a server that `load.origins` lists:
/// `{"scenario": "baseline-performance", "url": "http://127.0.0.1:8080", "rate": 0.1, "time": 0.1}`.
pub(crate) const LOAD_TEST: &str = "load-test";

/// Vacuums a table of a target that allows it: `{"target": "shop", "table": "lead"}`; without a table,
/// those that want it most.
pub(crate) const VACUUM: &str = "vacuum";
/// Moves, copies or deletes old rows of a target that allows it: a policy, and `"target": "shop"`.
pub(crate) const ARCHIVE: &str = "archive";

/// Every task.
const ALL: [&str; 9] = [
    COLLECT, FORECAST, STATEMENTS, BACKUP, REPORT, CACHE_WARM, VACUUM, ARCHIVE, LOAD_TEST,
];

/// Tasks at once. Forecasts use all cores by themselves; some others take an hour and wait for a server.
const CONCURRENCY: usize = 4;
/// Ended tasks that are kept.
const KEPT: u64 = 100;
/// Backups, and reports of a format, that are kept unless a job says otherwise.
const FILES: usize = 7;

/// What tasks work with.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    pub(crate) projector: Projector,
    pub(crate) data_dir: PathBuf,
    /// Who reads each target, by its name.
    pub(crate) watchers: Arc<[(String, Asker)]>,
    pub(crate) maintainer: Arc<Maintainer>,
    /// Results of named queries.
    pub(crate) cache: Arc<Cache>,
}

/// Asks for a task, unless the same is under way.
///
/// # Errors
/// As [`Queues::enqueue`].
pub(crate) async fn ask(queues: &Queues, name: &str, data: &Value) -> queue::Result<()> {
    add(queues, name, data, None).await.map(drop)
}

/// As [`ask`]; the id of the job that does it. Of those with one `key`, one runs at a time.
///
/// # Errors
/// As [`Queues::enqueue`].
pub(crate) async fn add(
    queues: &Queues,
    name: &str,
    data: &Value,
    key: Option<String>,
) -> queue::Result<String> {
    let queue = own_queue()?;
    let data = Payload::of(data).unwrap_or_default();
    let same = format!("{name} {}", data.text());
    let mut job = NewJob::new(name.to_owned(), data);
    let keep = Keep {
        count: Some(KEPT),
        age: None,
    };
    job.opts.remove_on_complete = Some(keep);
    // Who asks asks again when it is due.
    job.opts.attempts = Some(1);
    job.opts.on_max_retries_exceeded = Some(Exhausted::Fail);
    job.opts.deduplication = Some(Deduplication {
        id: same,
        ttl: None,
    });
    job.opts.key = key;
    let mut id = String::new();
    for added in queues.enqueue(&queue, vec![job]).await? {
        id = added?.id;
    }
    Ok(id)
}

pub(crate) fn own_queue() -> queue::Result<QueueName> {
    QUEUE.parse().map_err(queue::Error::Invalid)
}

/// Does tasks.
///
/// # Errors
/// None that a caller can mend: the queue's name is a fixed one.
pub(crate) fn start(queues: &Arc<Queues>, tools: Tools) -> queue::Result<Runner> {
    let handler: Handler = Arc::new(move |task: Task| {
        let tools = tools.clone();
        let done: BoxFuture<'static, Outcome> = Box::pin(async move {
            match run(&tools, &task).await {
                Ok(told) => Outcome::Complete(Payload::of(&told).unwrap_or_default()),
                Err(failure) => Outcome::Fail(failure),
            }
        });
        done
    });
    let options = RunnerOptions {
        concurrency: CONCURRENCY,
        worker: "plimsoll".to_owned(),
        ..RunnerOptions::default()
    };
    Ok(Runner::start(
        Arc::clone(queues),
        own_queue()?,
        handler,
        options,
    ))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Asked {
    target: Option<String>,
    keep: Option<usize>,
    format: Option<String>,
}

async fn run(tools: &Tools, task: &Task) -> Result<Value, Failure> {
    let text = task.job.data.text();
    // These read their data themselves.
    match task.job.name.as_str() {
        VACUUM => return tools.maintainer.vacuum(task).await,
        ARCHIVE => return tools.maintainer.archive(task).await,
        LOAD_TEST => return load::task(tools, task).await,
        CACHE_WARM => {
            // A load goes on without it; a stop does not wait for slow queries.
            return tokio::select! {
                done = cache::task(&tools.cache, text) => done,
                () = task.stopping() => Err(Failure::of("it was called off, or the program stops")),
            };
        }
        _ => {}
    }
    let asked: Option<Asked> = serde_json::from_str(text)
        .map_err(|error| refused(format!("its data does not read: {error}")))?;
    let asked = asked.unwrap_or_default();
    match task.job.name.as_str() {
        COLLECT => collect(&tools.watchers, asked.target.as_deref()).await,
        FORECAST => forecast(&tools.projector, asked.target.as_deref()).await,
        STATEMENTS => {
            let projector = &tools.projector;
            let (store, board) = (&projector.store, &projector.board);
            statements::compare_all(store, board, projector.clock.now()).await;
            Ok(Value::Null)
        }
        BACKUP => {
            let folder = tools.data_dir.join("backups");
            let keep = asked.keep;
            let store = Arc::clone(&tools.projector.store);
            beside(tools, move |now| backup(&store, &folder, keep, now)).await
        }
        REPORT => {
            let format = format_of(asked.format.as_deref())?;
            let folder = tools.data_dir.join("reports");
            let projector = tools.projector.clone();
            let keep = asked.keep;
            beside(tools, move |now| {
                report(&projector, format, &folder, keep, now)
            })
            .await
        }
        other => Err(refused(format!(
            "there is no task {other:?}; one of {}",
            ALL.join(", ")
        ))),
    }
}

/// A failure that no other attempt mends.
fn refused(text: String) -> Failure {
    Failure {
        name: Some("Task".to_owned()),
        retryable: Some(false),
        ..Failure::of(text)
    }
}

fn no_target(name: &str) -> Failure {
    refused(format!(
        "there is no target {name:?}; `plimsoll status` lists them"
    ))
}

/// Has every target wanted read; one that fails does not keep the others from it.
async fn collect(watchers: &[(String, Asker)], target: Option<&str>) -> Result<Value, Failure> {
    let wanted = watchers
        .iter()
        .filter(|(name, _)| target.is_none_or(|wanted| wanted == name));
    let (mut read, mut failed) = (serde_json::Map::new(), Vec::new());
    for (name, asker) in wanted {
        let scraped = asker.scrape().await;
        let scraped = scraped.ok_or_else(|| Failure::of("the program stops".to_owned()))?;
        if let Some(reason) = scraped.failed {
            failed.push(format!("{name}: {reason}"));
        }
        read.insert(name.clone(), json!({ "samples": scraped.samples }));
    }
    if let (true, Some(target)) = (read.is_empty(), target) {
        return Err(no_target(target));
    }
    if failed.is_empty() {
        Ok(json!({ "targets": read }))
    } else {
        Err(Failure::of(failed.join("; ")))
    }
}

async fn forecast(projector: &Projector, target: Option<&str>) -> Result<Value, Failure> {
    let wanted = projector.targets.iter();
    let wanted = wanted.filter(|known| target.is_none_or(|name| known.name == name));
    let mut made = Vec::new();
    for known in wanted {
        let state = projector.board.target(&known.name).unwrap_or_default();
        if !is_read(known, &state) {
            // After a start the limits are not known yet; it is asked for again when they are.
            return Err(Failure::of(format!("{} has not been read yet", known.name)));
        }
        let done = projector.run(known).await;
        let told = done.as_ref().err().map(ToString::to_string);
        projector.tell(&known.name, told);
        done.map_err(|error| Failure::of(format!("{}: {error}", known.name)))?;
        made.push(known.name.clone());
    }
    if let (true, Some(target)) = (made.is_empty(), target) {
        return Err(no_target(target));
    }
    Ok(json!({ "targets": made }))
}

/// Does what blocks where blocking is allowed.
async fn beside(
    tools: &Tools,
    does: impl FnOnce(Timestamp) -> work::Result<Value> + Send + 'static,
) -> Result<Value, Failure> {
    let now = tools.projector.clock.now();
    let done = tokio::task::spawn_blocking(move || does(now)).await;
    done.map_err(|panic| Failure::of(panic.to_string()))?
        .map_err(|error| Failure::of(work::with_causes(&error)))
}

/// Writes a backup and removes the oldest beyond `keep`.
fn backup(
    store: &Store,
    folder: &Path,
    keep: Option<usize>,
    now: Timestamp,
) -> work::Result<Value> {
    const ENDING: &str = "plimsoll";
    let (name, path) = place(folder, ENDING, now)?;
    let done = store::write_whole(&path, |file| -> store::Result<store::Backup> {
        let mut to = std::io::BufWriter::new(&mut *file);
        store.backup(&mut to, |_| ())?;
        std::io::Write::flush(&mut to).map_err(io(folder))?;
        drop(to);
        store::check_backup(file)
    })?;
    keep_newest(folder, ENDING, keep)?;
    Ok(json!({"file": name, "bytes": done.file_bytes.0, "entries": done.entries}))
}

/// Writes a report and removes the oldest of its format beyond `keep`.
fn report(
    projector: &Projector,
    format: Format,
    folder: &Path,
    keep: Option<usize>,
    now: Timestamp,
) -> work::Result<Value> {
    let (name, path) = place(folder, format.name(), now)?;
    let written = report::write(projector, format, &path)?;
    keep_newest(folder, format.name(), keep)?;
    Ok(json!({"file": name, "bytes": written.0}))
}

fn format_of(name: Option<&str>) -> Result<Format, Failure> {
    let Some(name) = name else {
        return Ok(Format::Html);
    };
    let known = Format::NAMES.iter().find(|(known, _)| *known == name);
    known.map(|(_, format)| *format).ok_or_else(|| {
        let names = Format::NAMES.map(|(name, _)| name).join(", ");
        refused(format!("there is no format {name:?}; one of {names}"))
    })
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> store::Error + '_ {
    |source| store::Error::Io {
        path: path.to_owned(),
        source,
    }
}

/// Name and path of a file of this instant, in a folder that is there then. Names sort by time; signs
/// that some file systems refuse are left out.
fn place(folder: &Path, ending: &str, now: Timestamp) -> work::Result<(String, PathBuf)> {
    std::fs::create_dir_all(folder).map_err(io(folder))?;
    let name = format!("{}.{ending}", now.to_string().replace(':', ""));
    let path = folder.join(&name);
    Ok((name, path))
}

/// Removes the oldest files of an ending beyond `keep`; the newest stays in any case.
fn keep_newest(folder: &Path, ending: &str, keep: Option<usize>) -> work::Result<()> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(io(folder))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|own| own == ending))
        .collect();
    all.sort_unstable();
    let over = all.len().saturating_sub(keep.unwrap_or(FILES).max(1));
    for old in all.iter().take(over) {
        match std::fs::remove_file(old) {
            // Another task of the kind was faster.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            removed => removed.map_err(io(old))?,
        }
    }
    Ok(())
}
