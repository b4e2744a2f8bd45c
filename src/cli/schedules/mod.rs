//! `plimsoll schedules`: jobs that come again and again, from the terminal.

mod show;

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::client::{Client, encoded};
use super::output;
use super::{Outcome, World};
use crate::config::parse_duration;
use crate::model::units::{Millis, Timestamp, counted};
use crate::work::preview;

const BASE: &str = "/api/v1/performance/jobs/schedules";
const POST: &str = "/api/v1/performance/jobs/schedule";

/// Let jobs come again and again: by cron in a time zone, or at fixed distances
///
/// The running server keeps the schedules and enqueues a job at each tick, once. Only `next` with
/// a pattern needs no server.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll schedules add nightly --queue cleanup --cron '0 3 * * *' --zone Europe/Berlin
  plimsoll schedules add beat --queue health --every 30s
  plimsoll schedules list
  plimsoll schedules next '30 2 * * *' --zone America/New_York -n 5
  plimsoll schedules pause nightly
  plimsoll schedules run nightly
  plimsoll schedules rm nightly")]
pub(super) struct Schedules {
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

#[derive(Debug, Clone, Args)]
struct Shown {
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Subcommand)]
enum Verb {
    /// Make a schedule, or replace the one of its name
    #[command(after_help = "\
Examples:
  plimsoll schedules add nightly --queue cleanup --cron '0 3 * * *' --zone Europe/Berlin
  plimsoll schedules add payday --queue mail --cron '0 9 LW * *' --data '{\"to\": \"all\"}'
  plimsoll schedules add beat --queue health --every 30s --jitter 5s --catch-up skip
  plimsoll schedules add launch --queue news --cron '0 8 * * MON' --start 2027-01-01 --limit 4
  plimsoll schedules add weekly --queue plimsoll --job report --cron '0 7 * * MON' --data '{\"keep\": 12}'
  plimsoll schedules list --format json > all.json; plimsoll schedules add --from all.json")]
    Add(Box<Add>),
    /// List all schedules with their next tick and their last run
    #[command(after_help = "\
Examples:
  plimsoll schedules list
  plimsoll schedules list --format json")]
    List(Shown),
    /// Show one schedule with all that is known about it
    #[command(after_help = "\
Examples:
  plimsoll schedules show nightly")]
    Show(One),
    /// Tell the next ticks of a schedule, or of a cron pattern without any server
    #[command(after_help = "\
Examples:
  plimsoll schedules next nightly
  plimsoll schedules next '0 0 * * *' --zone America/Sao_Paulo -n 10
  plimsoll schedules next '30 2 * * *' --zone Europe/Berlin --after 2027-03-27 -n 3 --format json")]
    Next(Next),
    /// Let a schedule rest
    #[command(after_help = "\
Examples:
  plimsoll schedules pause nightly")]
    Pause(One),
    /// Let a schedule run again from its next tick on
    #[command(after_help = "\
Examples:
  plimsoll schedules resume nightly")]
    Resume(One),
    /// Enqueue a schedule's job now; its next tick stays
    #[command(after_help = "\
Examples:
  plimsoll schedules run nightly")]
    Run(One),
    /// Remove a schedule; jobs that it enqueued stay
    #[command(after_help = "\
Examples:
  plimsoll schedules rm nightly")]
    Rm(One),
}

#[derive(Debug, Clone, Args)]
struct One {
    /// The schedule's name
    name: String,
    #[command(flatten)]
    shown: Shown,
}

#[derive(Debug, Clone, Args)]
struct Add {
    /// The schedule's name
    #[arg(required_unless_present = "from")]
    name: Option<String>,
    /// The queue that its jobs go to
    #[arg(long, required_unless_present = "from")]
    queue: Option<String>,
    /// When: minute, hour, day of month, month, day of week; or six fields with seconds first
    #[arg(long, value_name = "PATTERN", required_unless_present_any = ["every", "from"])]
    cron: Option<String>,
    /// The distance of two ticks, such as 30s or 1h
    #[arg(long, value_name = "TIME", value_parser = parse_duration, conflicts_with = "cron")]
    every: Option<Millis>,
    /// The zone whose clocks the pattern means, by its IANA name; UTC if left out
    #[arg(long)]
    zone: Option<String>,
    /// What its jobs are called; the schedule's name if left out
    #[arg(long, value_name = "NAME")]
    job: Option<String>,
    /// What the worker needs to know, as JSON
    #[arg(long, allow_hyphen_values = true)]
    data: Option<String>,
    /// No tick is before this day or instant
    #[arg(long, value_name = "WHEN")]
    start: Option<String>,
    /// No tick is after this day or instant
    #[arg(long, value_name = "WHEN")]
    end: Option<String>,
    /// So many ticks run, and then no more
    #[arg(long)]
    limit: Option<u64>,
    /// Each run begins up to so long after its tick
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    jitter: Option<Millis>,
    /// What becomes of ticks that were missed: skip, one run for all of them, or all, up to all:N
    #[arg(long, value_name = "POLICY")]
    catch_up: Option<String>,
    /// Options of its jobs as JSON, called as in BullMQ
    #[arg(long)]
    opts: Option<String>,
    /// It rests until it is resumed
    #[arg(long)]
    paused: bool,
    /// Make all schedules of a file: the JSON of `list --format json`, or - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "queue", "cron", "every"])]
    from: Option<PathBuf>,
    #[command(flatten)]
    shown: Shown,
}

#[derive(Debug, Clone, Args)]
struct Next {
    /// A schedule's name, or a cron pattern
    what: String,
    /// The zone of a pattern; UTC if left out
    #[arg(long)]
    zone: Option<String>,
    /// How many
    #[arg(short = 'n', long = "count", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
    /// Of a pattern: ticks after this day or instant; now if left out
    #[arg(long, value_name = "WHEN")]
    after: Option<String>,
    #[command(flatten)]
    shown: Shown,
}

pub(super) fn run(command: &Schedules, world: &World<'_>) -> anyhow::Result<Outcome> {
    match &command.verb {
        Verb::Next(next) if is_pattern(&next.what) => preview(next, world),
        verb => super::client::wait(ask(verb, world)),
    }
}

async fn ask(verb: &Verb, world: &World<'_>) -> anyhow::Result<Outcome> {
    let client = Client::new(&world.load()?.socket());
    let paint = world.paint;
    let text = match verb {
        Verb::Add(add) => {
            if let Some(file) = &add.from {
                add_all(&client, file).await?
            } else {
                let made = post(&client, POST, &asked(add)?).await?;
                shown(add.shown.format, &made, show::made)?
            }
        }
        Verb::List(list) => {
            let all: Value = client.json(BASE).await?;
            shown(list.format, &all, |all| show::list(all, paint))?
        }
        Verb::Show(one) => {
            let schedule: Value = client.json(&of(&one.name, "")).await?;
            shown(one.shown.format, &schedule, |one| show::one(one, paint))?
        }
        Verb::Next(next) => {
            ensure!(
                next.zone.is_none() && next.after.is_none(),
                "--zone and --after go with a cron pattern; the schedule {:?} has its own zone",
                next.what
            );
            let path = of(&next.what, &format!("/next?n={}", next.count));
            let ticks: Value = client.json(&path).await?;
            shown(next.shown.format, &ticks, |ticks| show::ticks(ticks, paint))?
        }
        Verb::Pause(one) => plain(&client, one, "/pause").await?,
        Verb::Resume(one) => plain(&client, one, "/resume").await?,
        Verb::Run(one) => plain(&client, one, "/run").await?,
        Verb::Rm(one) => {
            let done = client.delete(&of(&one.name, "")).await?;
            shown(one.shown.format, &read(&done)?, show::message)?
        }
    };
    Ok(Outcome::done(text))
}

/// Whether a text is meant as a pattern: names rarely have five words, and never begin so.
fn is_pattern(text: &str) -> bool {
    let begins = text
        .trim_start()
        .starts_with(|c: char| c.is_ascii_digit() || c == '*');
    text.starts_with('@') || begins && text.split_whitespace().count() > 1
}

/// The ticks of a pattern, worked out here.
fn preview(next: &Next, world: &World<'_>) -> anyhow::Result<Outcome> {
    let zone = next.zone.as_deref().unwrap_or("UTC");
    let after = next.after.as_deref().map(instant).transpose()?;
    let (after, ticks) = preview::ticks(&next.what, zone, after, next.count.into())?;
    let ticks: Vec<Value> = ticks
        .iter()
        .map(|tick| {
            json!({
                "tick": tick.at.as_millis(),
                "runAt": tick.runs_at.as_millis(),
                "local": tick.local,
            })
        })
        .collect();
    ensure!(!ticks.is_empty(), "no tick comes after {after}");
    let paint = world.paint;
    let text = shown(next.shown.format, &json!(ticks), |ticks| {
        show::ticks(ticks, paint)
    })?;
    Ok(Outcome::done(text))
}

/// A day means its start, in UTC.
fn instant(text: &str) -> anyhow::Result<Timestamp> {
    let day = format!("{text}T00:00:00Z");
    let read = Timestamp::parse(text).or_else(|_| Timestamp::parse(&day));
    read.with_context(|| format!("{text:?} is no time; write a day or an instant, such as 2027-03-31 or 2027-03-31T12:00:00Z"))
}

/// The schedule that flags describe.
fn asked(add: &Add) -> anyhow::Result<Value> {
    let json = |flag: &str, text: &Option<String>| -> anyhow::Result<Option<Value>> {
        let read = text.as_deref().map(serde_json::from_str).transpose();
        read.with_context(|| format!("{flag} is no JSON; put texts into double quotes: '\"text\"'"))
    };
    let when = |text: &Option<String>| -> anyhow::Result<Option<Value>> {
        let read = text.as_deref().map(instant).transpose()?;
        Ok(read.map(|at| json!(at.as_millis())))
    };
    let text = |text: &Option<String>| text.as_ref().map(|text| json!(text));
    let length = |length: Option<Millis>| length.map(|length| json!(length.0));
    let fields = [
        ("name", text(&add.name)),
        ("jobType", text(&add.queue)),
        ("pattern", text(&add.cron)),
        ("every", length(add.every)),
        ("timezone", text(&add.zone)),
        ("jobName", text(&add.job)),
        ("data", json("--data", &add.data)?),
        ("startAt", when(&add.start)?),
        ("endAt", when(&add.end)?),
        ("limit", add.limit.map(|limit| json!(limit))),
        ("jitter", length(add.jitter)),
        ("catchUp", text(&add.catch_up)),
        ("opts", json("--opts", &add.opts)?),
        ("enabled", add.paused.then_some(json!(false))),
    ];
    let given = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Ok(Value::Object(given.collect()))
}

/// Fields that `list` tells and that nobody asks for.
const TOLD: [&str; 9] = [
    "success",
    "message",
    "state",
    "next",
    "nextLocal",
    "count",
    "last",
    "createdAt",
    "changedAt",
];

/// Makes all schedules of a file, one after the other.
async fn add_all(client: &Client, file: &std::path::Path) -> anyhow::Result<String> {
    let text = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin()).context("standard input does not read")?
    } else {
        std::fs::read_to_string(file)
            .with_context(|| format!("{} does not read", file.display()))?
    };
    let all: Vec<Map<String, Value>> = serde_json::from_str(&text).context(
        "the file is no array of schedules; write one with `plimsoll schedules list --format json`",
    )?;
    let many = all.len();
    for (nth, mut one) in all.into_iter().enumerate() {
        one.retain(|name, _| !TOLD.contains(&name.as_str()));
        let name = one.get("name").cloned().unwrap_or_default();
        let made = post(client, POST, &Value::Object(one)).await;
        if let Err(error) = made {
            let all = counted(many, "schedule");
            bail!("{nth} of {all} made; {name}: {error:#}");
        }
    }
    Ok(format!("{} made\n", counted(many, "schedule")))
}

async fn plain(client: &Client, one: &One, verb: &str) -> anyhow::Result<String> {
    let done = client
        .post(&of(&one.name, verb), Bytes::new())
        .await?
        .body()?;
    shown(one.shown.format, &read(&done)?, show::message)
}

fn of(name: &str, rest: &str) -> String {
    format!("{BASE}/{}{rest}", encoded(name))
}

async fn post(client: &Client, path: &str, body: &Value) -> anyhow::Result<Value> {
    let answer = client.post(path, body.to_string().into()).await?.body()?;
    read(&answer)
}

fn read(answer: &[u8]) -> anyhow::Result<Value> {
    serde_json::from_slice(answer)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_and_names_are_told_apart() {
        for pattern in ["0 3 * * *", "*/5 * * * * *", "@daily", "61 * * *", "0 0"] {
            assert!(is_pattern(pattern), "{pattern}");
        }
        for name in ["nightly", "daily clean up of it", "7", "2nd", "*"] {
            assert!(!is_pattern(name), "{name}");
        }
    }
}
