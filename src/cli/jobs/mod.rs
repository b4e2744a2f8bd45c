//! `plimsoll jobs`: queues of the running server, from the terminal.

mod lenient;
mod screen;
mod show;
mod watch;

use std::io::IsTerminal as _;

use anyhow::Context as _;
use bytes::Bytes;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::client::{Client, encoded, parameter};
use super::output;
use super::table::Paint;
use super::{Outcome, World};
use crate::config::parse_duration;
use crate::model::units::Millis;

const BASE: &str = "/api/v1/performance/jobs";
/// Jobs that are listed unless told otherwise.
const PAGE: u32 = 50;

/// Send jobs, look at queues, and mend what failed
///
/// The running server keeps the queues. Workers claim jobs over HTTP; see POST /jobs/{queue}/claim
/// in its /openapi.json.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll jobs add mail send --data '{\"to\": \"a@example.org\"}' --delay 5m
  plimsoll jobs stats
  plimsoll jobs list mail --state delayed
  plimsoll jobs dlq mail --error timeout
  plimsoll jobs replay mail --error timeout --rate 10
  plimsoll jobs pause mail
  plimsoll jobs watch mail")]
pub(super) struct Jobs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// An aligned table
    #[default]
    Table,
    /// The server's JSON
    Json,
}

#[derive(Debug, Clone, Subcommand)]
enum Verb {
    /// Add a job; its queue is made if need be
    #[command(after_help = "\
Examples:
  plimsoll jobs add mail send --data '{\"to\": \"a@example.org\"}'
  plimsoll jobs add mail send --id order-7 --priority 3 --delay 5m
  plimsoll jobs add mail send --opts '{\"attempts\": 5, \"backoff\": 1000}'")]
    Add(Add),
    /// List the jobs of one state
    #[command(after_help = "\
Examples:
  plimsoll jobs list mail
  plimsoll jobs list mail --state failed --name send --limit 10 --format json")]
    List(List),
    /// Show one job with all that is known about it
    #[command(after_help = "\
Examples:
  plimsoll jobs show mail 42
  plimsoll jobs show mail order-7 --format json")]
    Show(One),
    /// Take up a failed, dead or cancelled job again; without an id all failed and dead ones
    #[command(after_help = "\
Examples:
  plimsoll jobs retry mail 42
  plimsoll jobs retry mail --error timeout --rate 10")]
    Retry(Retry),
    /// Call a job off; one that is worked on hears of it at its next heartbeat
    #[command(after_help = "\
Examples:
  plimsoll jobs cancel mail 42")]
    Cancel(One),
    /// Look through the dead letters
    #[command(after_help = "\
Examples:
  plimsoll jobs dlq mail
  plimsoll jobs dlq mail --error timeout --from 2026-05-01 --format json")]
    Dlq(Listed),
    /// Take up dead letters again, attempts reset and priority kept
    #[command(after_help = "\
Examples:
  plimsoll jobs replay mail --rate 10
  plimsoll jobs replay mail --error timeout --limit 100")]
    Replay(Replay),
    /// Let nothing of a queue be claimed any more
    #[command(after_help = "\
Examples:
  plimsoll jobs pause mail")]
    Pause(Queue),
    /// Let claims go on
    #[command(after_help = "\
Examples:
  plimsoll jobs resume mail")]
    Resume(Queue),
    /// Remove the jobs that wait
    #[command(after_help = "\
Examples:
  plimsoll jobs drain mail
  plimsoll jobs drain mail --delayed")]
    Drain(Drain),
    /// Show how many jobs stand where, and how fast they go
    #[command(after_help = "\
Examples:
  plimsoll jobs stats
  plimsoll jobs stats mail --format json")]
    Stats(Stats),
    /// Show what happens in a queue, until Ctrl-C: a screen on a terminal, else a line an event
    #[command(after_help = "\
Examples:
  plimsoll jobs watch mail
  plimsoll jobs watch mail --format json")]
    Watch(Queue),
}

#[derive(Debug, Clone, Args)]
struct Add {
    /// The queue
    queue: String,
    /// What kind of work it is
    name: String,
    /// What the worker needs to know, as JSON
    #[arg(long, default_value = "null", allow_hyphen_values = true)]
    data: String,
    /// Its id; the same again adds nothing
    #[arg(long)]
    id: Option<String>,
    /// 0 runs first
    #[arg(long)]
    priority: Option<u32>,
    /// How long it waits before it may run, such as 5m
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    delay: Option<Millis>,
    /// Tries in all
    #[arg(long)]
    attempts: Option<u32>,
    /// Other options as JSON, called as in BullMQ
    #[arg(long, default_value = "{}")]
    opts: String,
    #[command(flatten)]
    shown: Shown,
}

#[derive(Debug, Clone, Args)]
struct Shown {
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Args)]
struct Queue {
    /// The queue
    queue: String,
    #[command(flatten)]
    shown: Shown,
}

#[derive(Debug, Clone, Args)]
struct One {
    /// The queue
    queue: String,
    /// The job's id
    id: String,
    #[command(flatten)]
    shown: Shown,
}

#[derive(Debug, Clone, Args)]
struct Filter {
    /// Jobs of this name
    #[arg(long)]
    name: Option<String>,
    /// Jobs whose last error says this
    #[arg(long)]
    error: Option<String>,
    /// Jobs that ended at or after this day or instant
    #[arg(long)]
    from: Option<String>,
    /// Jobs that ended before this day or instant
    #[arg(long)]
    until: Option<String>,
    /// At most so many
    #[arg(long)]
    limit: Option<u32>,
}

impl Filter {
    fn parameters(&self) -> Vec<String> {
        let limit = self.limit.map(|limit| limit.to_string());
        let all = [
            ("name", &self.name),
            ("error", &self.error),
            ("from", &self.from),
            ("until", &self.until),
            ("limit", &limit),
        ];
        let given = all
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)));
        given.map(|(name, value)| parameter(name, value)).collect()
    }
}

#[derive(Debug, Clone, Args)]
struct Listed {
    /// The queue
    queue: String,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    shown: Shown,
}

#[derive(Debug, Clone, Args)]
struct List {
    /// waiting, delayed, waiting-children, active, completed, failed, dead or cancelled
    #[arg(long, default_value = "waiting")]
    state: String,
    #[command(flatten)]
    listed: Listed,
}

#[derive(Debug, Clone, Args)]
struct Retry {
    /// The queue
    queue: String,
    /// The job's id; all failed and dead ones if left out
    #[arg(conflicts_with_all = ["name", "error", "from", "until", "limit", "rate"])]
    id: Option<String>,
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Clone, Args)]
struct Which {
    #[command(flatten)]
    filter: Filter,
    /// Jobs per second that come up again; all at once if left out
    #[arg(long)]
    rate: Option<u32>,
    #[command(flatten)]
    shown: Shown,
}

#[derive(Debug, Clone, Args)]
struct Replay {
    /// The queue
    queue: String,
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Clone, Args)]
struct Drain {
    #[command(flatten)]
    queue: Queue,
    /// Delayed ones go, too
    #[arg(long)]
    delayed: bool,
}

#[derive(Debug, Clone, Args)]
struct Stats {
    /// One queue; all if left out
    queue: Option<String>,
    #[command(flatten)]
    shown: Shown,
}

pub(super) async fn run(command: &Jobs, world: &World<'_>) -> anyhow::Result<Outcome> {
    let client = Client::new(&world.load()?.socket());
    let paint = world.paint;
    let text = match &command.verb {
        Verb::Add(add) => {
            let body = serde_json::to_vec(&job(add)?)?;
            let added = post(&client, &of(&add.queue, ""), body).await?;
            shown(add.shown.format, &added, show::added)?
        }
        Verb::List(list) => {
            let listed = &list.listed;
            let page = page(&client, listed, &list.state).await?;
            shown(listed.shown.format, &page, |page| show::page(page, paint))?
        }
        Verb::Show(one) => {
            let path = of(&one.queue, &format!("/{}", encoded(&one.id)));
            let job = get(&client, &path).await?;
            shown(one.shown.format, &job, |job| show::job(job, paint))?
        }
        Verb::Retry(retry) => self::retry(&client, retry).await?,
        Verb::Cancel(one) => {
            let path = of(&one.queue, &format!("/{}/cancel", encoded(&one.id)));
            let done = post(&client, &path, Vec::new()).await?;
            shown(one.shown.format, &done, show::cancelled)?
        }
        Verb::Dlq(listed) => {
            let page = page(&client, listed, "dead").await?;
            match listed.shown.format {
                // As the server's own list of dead letters.
                Format::Json => output::json(&page.get("items"))?,
                Format::Table => show::page(&page, paint),
            }
        }
        Verb::Replay(replay) => {
            let verb = "/dead-letter/replay";
            bulk(&client, &replay.queue, &replay.which, verb).await?
        }
        Verb::Pause(queue) => plain(&client, queue, "/pause").await?,
        Verb::Resume(queue) => plain(&client, queue, "/resume").await?,
        Verb::Drain(drain) => {
            let verb = format!("/drain?delayed={}", drain.delayed);
            plain(&client, &drain.queue, &verb).await?
        }
        Verb::Stats(stats) => {
            let query: Vec<String> = stats
                .queue
                .iter()
                .map(|name| parameter("queue", name))
                .collect();
            let all: Value = client
                .json(&asked(&format!("{BASE}/metrics"), &query))
                .await?;
            shown(stats.shown.format, &all, |all| {
                show::stats(all, screen::columns(), paint)
            })?
        }
        Verb::Watch(queue) => watch(&client, queue, paint).await?,
    };
    Ok(Outcome::done(text))
}

/// An answer that carries payloads.
async fn get(client: &Client, path: &str) -> anyhow::Result<Value> {
    let answer = client.get(path).await?;
    let value = std::str::from_utf8(&answer).ok().and_then(lenient::read);
    value.context("the server's answer is of another version; update both to the same")
}

/// As many jobs as were asked for. The server looks at so many a page, of which few may fit.
async fn page(client: &Client, listed: &Listed, state: &str) -> anyhow::Result<Value> {
    let limit = listed.filter.limit.unwrap_or(PAGE);
    let (mut items, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let left = limit.saturating_sub(u32::try_from(items.len()).unwrap_or(limit));
        let mut filter = listed.filter.clone();
        // What the server makes of a limit that it does not take, it says itself.
        filter.limit = Some(if items.is_empty() { limit } else { left });
        let mut query = filter.parameters();
        query.push(parameter("state", state));
        query.extend(cursor.map(|cursor| parameter("cursor", &cursor)));
        let mut page = get(client, &asked(&of(&listed.queue, ""), &query)).await?;
        if let Some(more) = page.get_mut("items").and_then(Value::as_array_mut) {
            items.append(more);
        }
        let next = page.get("nextCursor").and_then(Value::as_str);
        cursor = next.map(str::to_owned);
        if cursor.is_none() || items.len() >= limit as usize {
            return Ok(json!({"items": items, "nextCursor": cursor}));
        }
    }
}

async fn watch(client: &Client, queue: &Queue, paint: Paint) -> anyhow::Result<String> {
    let is_json = queue.shown.format == Format::Json;
    if !is_json && std::io::stdout().is_terminal() {
        screen::watch(client, &queue.queue, paint).await?;
        return Ok(String::new());
    }
    let mut lines = watch::Lines::new(std::io::stdout(), is_json);
    let events = of(&queue.queue, "/events");
    client.download(&events, &mut lines).await?;
    Ok(String::new())
}

async fn retry(client: &Client, retry: &Retry) -> anyhow::Result<String> {
    let Some(id) = &retry.id else {
        return bulk(client, &retry.queue, &retry.which, "/retry-failed").await;
    };
    let path = of(&retry.queue, &format!("/{}/retry", encoded(id)));
    let done = post(client, &path, Vec::new()).await?;
    shown(retry.which.shown.format, &done, show::moved)
}

async fn bulk(client: &Client, queue: &str, which: &Which, verb: &str) -> anyhow::Result<String> {
    let mut query = which.filter.parameters();
    query.extend(which.rate.map(|rate| parameter("rate", &rate.to_string())));
    let done = post(client, &asked(&of(queue, verb), &query), Vec::new()).await?;
    shown(which.shown.format, &done, show::message)
}

async fn plain(client: &Client, queue: &Queue, verb: &str) -> anyhow::Result<String> {
    let done = post(client, &of(&queue.queue, verb), Vec::new()).await?;
    shown(queue.shown.format, &done, show::message)
}

fn of(queue: &str, rest: &str) -> String {
    format!("{BASE}/{}{rest}", encoded(queue))
}

fn asked(path: &str, query: &[String]) -> String {
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", query.join("&"))
    }
}

async fn post(client: &Client, path: &str, body: Vec<u8>) -> anyhow::Result<Value> {
    let answer = client.post(path, Bytes::from(body)).await?.body()?;
    serde_json::from_slice(&answer)
        .context("the server's answer is of another version; update both to the same")
}

fn shown(
    format: Format,
    value: &Value,
    draw: impl FnOnce(&Value) -> String,
) -> anyhow::Result<String> {
    match format {
        Format::Json => output::json(value),
        Format::Table => Ok(draw(value)),
    }
}

/// The job that flags describe.
fn job(add: &Add) -> anyhow::Result<Value> {
    let data: Value = serde_json::from_str(&add.data)
        .context("--data is no JSON; put texts into double quotes: '\"text\"'")?;
    let mut opts: Value = serde_json::from_str(&add.opts).context("--opts is no JSON")?;
    let fields = opts
        .as_object_mut()
        .context("--opts is no JSON object; write one such as '{\"attempts\": 5}'")?;
    let given = [
        ("jobId", add.id.as_ref().map(|id| json!(id))),
        ("priority", add.priority.map(|priority| json!(priority))),
        ("delay", add.delay.map(|delay| json!(delay.0))),
        ("attempts", add.attempts.map(|attempts| json!(attempts))),
    ];
    for (name, value) in given {
        fields.extend(value.map(|value| (name.to_owned(), value)));
    }
    Ok(json!({"name": add.name, "data": data, "opts": opts}))
}
