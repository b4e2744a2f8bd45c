//! `plimsoll vacuum`, `plimsoll archive`, `plimsoll audit`: writes to targets that allow them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, encoded, parameter};
use super::output::json as written;
use super::table::{Cell, Table, Tone, second};
use super::{Outcome, World};
use crate::model::maintenance::{
    ArchivalPreview, ArchivalResult, AuditEntry, AuditOutcome, Strategy, Vacuumed,
};
use crate::model::units::{Bytes, counted};

const BASE: &str = "/api/v1/performance";
/// Between two looks at a job.
const LOOK: Duration = Duration::from_millis(300);

#[derive(Debug, Clone, Args)]
struct Common {
    /// Name of the target; default: the only one that allows it
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// The server's JSON
    Json,
}

/// Vacuum and analyze a table of a target that allows it
///
/// It is a job of the queue `plimsoll`: it takes the pauses that autovacuum takes, waits at most
/// `writes.lock_timeout` for its lock, and goes on if this command is stopped (`plimsoll jobs cancel` ends
/// it). Without a table, those with most dead or changed rows are done, ten at most.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll vacuum lead
  plimsoll vacuum 'public.\"Lead\"' --target shop --format json
  plimsoll vacuum
  plimsoll schedules add nightly-vacuum --queue plimsoll --job vacuum --cron '0 3 * * *'

A target allows it with allow_writes = [\"vacuum\"] and a writer in its section of plimsoll.toml.")]
pub(super) struct Vacuum {
    /// The table, as it is called or as SQL writes it
    table: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Move, copy or delete old rows of a table, in batches
///
/// What is moved is copied, compared value by value and only then deleted, a transaction a batch; rows that
/// others refer to stay. A run that is cut off goes on with what is left when it is started again.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll archive event --days 365 --strategy move --to archive.event --dry-run
  plimsoll archive event --days 365 --strategy move --to archive.event --retention-days 2555
  plimsoll archive 'public.\"Event\"' --days 90 --strategy delete --max-rows 100000
  plimsoll schedules add old-events --queue plimsoll --job archive --cron '0 2 * * *' \\
    --data '{\"table\": \"event\", \"archiveAfterDays\": 365, \"archiveStrategy\": \"delete\"}'

A target allows it with allow_writes = [\"archive\"] and a writer in its section of plimsoll.toml.")]
pub(super) struct Archive {
    /// The table, as it is called or as SQL writes it
    table: String,
    /// Age in days from which a row is old
    #[arg(long, value_name = "DAYS")]
    days: u32,
    /// What becomes of old rows
    #[arg(long, value_enum)]
    strategy: What,
    /// Table of the same database that takes them; made if it is not there
    #[arg(long, value_name = "TABLE")]
    to: Option<String>,
    /// Age in days from which rows of that table are deleted
    #[arg(long, value_name = "DAYS")]
    retention_days: Option<u32>,
    /// The column that tells how old a row is, where several could
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// Rows of one transaction
    #[arg(long, default_value_t = 1_000)]
    batch_rows: u32,
    /// Rows of this run; default: all
    #[arg(long, value_name = "ROWS")]
    max_rows: Option<u64>,
    /// Count what it would do, and write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    common: Common,
}

/// As [`Strategy`], for the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Copied, compared, deleted
    Move,
    /// Copied
    Copy,
    /// Deleted
    Delete,
}

/// List what was written to targets, by whom, and what became of it
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll audit
  plimsoll audit --limit 5 --format json")]
pub(super) struct Audit {
    /// How many, newest first
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) async fn vacuum(command: &Vacuum, world: &World<'_>) -> anyhow::Result<Outcome> {
    let client = Client::new(&world.load()?.socket());
    let result = if let Some(table) = &command.table {
        let mut path = format!("{BASE}/database/optimize-table/{}?wait=0", encoded(table));
        path.push_str(&target(&command.common, '&'));
        let asked = client.post(&path, "".into()).await?.body()?;
        let asked: Asked = serde_json::from_slice(&asked)?;
        ended(&client, &asked.job_id).await?.0
    } else {
        let data = json!({ "target": command.common.target });
        let body = json!({ "name": "vacuum", "data": data, "opts": {"attempts": 1} });
        let path = format!("{BASE}/jobs/plimsoll");
        let added = client.post(&path, body.to_string().into()).await?.body()?;
        let added: Added = serde_json::from_slice(&added)?;
        ended(&client, &added.id).await?.0
    };
    if command.common.format == Format::Json {
        return Ok(Outcome::done(written(&result)?));
    }
    let done: Vec<Vacuumed> = match result.get("tables") {
        Some(tables) => serde_json::from_value(tables.clone())?,
        None => vec![serde_json::from_value(result)?],
    };
    Ok(Outcome::done(vacuumed(&done, world)))
}

fn vacuumed(done: &[Vacuumed], world: &World<'_>) -> String {
    if done.is_empty() {
        return "no table wants it: none has more than a tenth of its rows dead or changed\n"
            .into();
    }
    let titles = ["TABLE", ">DEAD", ">LEFT", ">SIZE", ">BEFORE", ">TOOK"];
    let mut table = Table::new(&titles);
    for one in done {
        let size = |state: &crate::model::maintenance::TableState| {
            Bytes(state.table_bytes + state.index_bytes).to_string()
        };
        table.row([
            one.table.as_str().into(),
            one.before.dead_rows.to_string().into(),
            one.after.dead_rows.to_string().into(),
            size(&one.after).into(),
            size(&one.before).into(),
            format!("{:.1} s", one.took_ms as f64 / 1e3).into(),
        ]);
    }
    let mut text = table.draw(world.paint);
    for (one, holder) in done.iter().filter_map(|v| Some((v, v.held_by.as_ref()?))) {
        // Writing to a string cannot go wrong.
        let _ = writeln!(
            text,
            "{}: {} left; the transaction of pid {} ({}, {}) has been open for {:.0} s",
            one.table,
            counted(one.after.dead_rows, "dead row"),
            holder.pid,
            holder.application,
            holder.state,
            holder.open_ms as f64 / 1e3,
        );
    }
    text
}

pub(super) async fn archive(command: &Archive, world: &World<'_>) -> anyhow::Result<Outcome> {
    let client = Client::new(&world.load()?.socket());
    let policy = json!({
        "table": command.table,
        "archiveAfterDays": command.days,
        "archiveStrategy": match command.strategy {
            What::Move => Strategy::Move,
            What::Copy => Strategy::Copy,
            What::Delete => Strategy::Delete,
        },
        "archiveDestination": command.to,
        "retentionDays": command.retention_days,
        "column": command.column,
        "batchRows": command.batch_rows,
        "maxRows": command.max_rows,
    });
    let is_json = command.common.format == Format::Json;
    if command.dry_run {
        let path = format!(
            "{BASE}/database/archive/preview{}",
            target(&command.common, '?')
        );
        let told = client
            .post(&path, policy.to_string().into())
            .await?
            .body()?;
        let preview: ArchivalPreview = serde_json::from_slice(&told)?;
        return Ok(Outcome::done(if is_json {
            written(&preview)?
        } else {
            previewed(&preview)
        }));
    }
    let path = format!(
        "{BASE}/database/archive?wait=0{}",
        target(&command.common, '&')
    );
    let asked = client
        .post(&path, policy.to_string().into())
        .await?
        .body()?;
    let asked: Asked = serde_json::from_slice(&asked)?;
    let (result, _) = ended(&client, &asked.job_id).await?;
    let done: ArchivalResult = serde_json::from_value(result)?;
    Ok(Outcome::done(if is_json {
        written(&done)?
    } else {
        archived(&done)
    }))
}

fn previewed(preview: &ArchivalPreview) -> String {
    let going = preview.rows.saturating_sub(preview.referenced);
    let mut text = format!(
        "{} of {} are older than {} ({}), about {}\n",
        counted(going, "row"),
        preview.table,
        second(&preview.before.to_string()),
        preview.column,
        Bytes(preview.bytes),
    );
    // Writing to a string cannot go wrong.
    if preview.referenced > 0 {
        let _ = writeln!(
            text,
            "{} more stay, since other tables refer to them",
            preview.referenced
        );
    }
    if let Some(place) = &preview.destination {
        let made = if preview.makes_destination {
            ", which will be made"
        } else {
            ""
        };
        let _ = writeln!(text, "they go to {place}{made}");
    }
    notes(&mut text, &preview.notes);
    text.push_str("nothing was written; the same without --dry-run does it\n");
    text
}

fn archived(done: &ArchivalResult) -> String {
    let mut text = format!(
        "{}: {} archived, {} deleted",
        done.table,
        counted(done.records_archived, "row"),
        done.records_deleted
    );
    // Writing to a string cannot go wrong.
    if done.records_expired > 0 {
        let _ = write!(text, ", {} expired", done.records_expired);
    }
    if let Some(left) = done.records_left.filter(|left| *left > 0) {
        let _ = write!(text, "; {left} old ones are left");
    }
    text.push('\n');
    notes(&mut text, &done.notes);
    text
}

fn notes(text: &mut String, notes: &[String]) {
    for note in notes {
        // Writing to a string cannot go wrong.
        let _ = writeln!(text, "note: {note}");
    }
}

pub(super) async fn audit(command: &Audit, world: &World<'_>) -> anyhow::Result<Outcome> {
    let client = Client::new(&world.load()?.socket());
    let log: Log = client
        .json(&format!("{BASE}/audit?limit={}", command.limit))
        .await?;
    if command.format == Format::Json {
        return Ok(Outcome::done(written(&log.items)?));
    }
    if log.items.is_empty() {
        return Ok(Outcome::done("nothing was written to any target\n"));
    }
    let mut table = Table::new(&["WHEN", "TARGET", "ROLE", "BY", "WHAT", "OUTCOME"]);
    for entry in &log.items {
        let outcome = match &entry.outcome {
            AuditOutcome::Started => Cell::toned("started; no end is known", Tone::Warning),
            AuditOutcome::Done(told) => Cell::toned(told, Tone::Good),
            AuditOutcome::Failed(why) => Cell::toned(format!("failed: {why}"), Tone::Critical),
        };
        table.row([
            second(&entry.at.to_string()).into(),
            entry.target.as_str().into(),
            entry.role.as_str().into(),
            entry.by.as_str().into(),
            entry.what.as_str().into(),
            outcome,
        ]);
    }
    Ok(Outcome::done(table.draw(world.paint)))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    job_id: String,
}

#[derive(Debug, Deserialize)]
struct Added {
    id: String,
}

#[derive(Debug, Deserialize)]
struct Log {
    items: Vec<AuditEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Job {
    state: String,
    progress: Value,
    returnvalue: Value,
    failed_reason: Option<String>,
}

/// Waits for a job's end and tells how far it is; its result, and the progress it noted last.
async fn ended(client: &Client, id: &str) -> anyhow::Result<(Value, Value)> {
    let path = |id: &str| format!("{BASE}/jobs/plimsoll/{}", encoded(id));
    let (mut at, mut told) = (path(id), Value::Null);
    loop {
        let job: Job = client.json(&at).await?;
        // Behind another write to the target, a job waits as another one.
        if let Some(next) = job.returnvalue.get("handedOn").and_then(Value::as_str) {
            at = path(next);
            continue;
        }
        if job.progress != told {
            told = job.progress.clone();
            // Nobody may be there to read it.
            let _ = writeln!(std::io::stderr(), "{}", step(&told));
        }
        match job.state.as_str() {
            "completed" => return Ok((job.returnvalue, job.progress)),
            "failed" | "dead" | "cancelled" => {
                let called_off = || "it was called off".to_owned();
                bail!(job.failed_reason.unwrap_or_else(called_off))
            }
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}

/// One line on how far a job is.
fn step(progress: &Value) -> String {
    let whole = |name: &str| progress.get(name).and_then(Value::as_u64);
    let text = |name: &str| progress.get(name).and_then(Value::as_str).unwrap_or("");
    match (whole("scanned"), whole("pages"), whole("recordsDeleted")) {
        (Some(scanned), Some(pages), _) => format!(
            "{}: {}, {scanned} of {pages} pages",
            text("table"),
            text("phase")
        ),
        (_, _, Some(deleted)) => format!(
            "{}: {} archived, {deleted} deleted so far",
            text("table"),
            counted(whole("recordsArchived").unwrap_or(0), "row")
        ),
        _ => progress.to_string(),
    }
}

/// A part of a query, if a target was named.
fn target(common: &Common, before: char) -> String {
    match &common.target {
        Some(name) => format!("{before}{}", parameter("target", name)),
        None => String::new(),
    }
}
