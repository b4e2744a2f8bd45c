//! `plimsoll explain`.

mod tree;

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::client::{Client, parameter};
use super::output::json as written;
use super::{Outcome, World, calls};
use crate::http::explain::ANALYZE;
use crate::model::explain::Analysis;
use crate::report::explain as page;
use crate::work::explain::Question;

/// Say why a statement is slow, what would help, and what it is expected to take
///
/// The statement is planned in a read-only transaction that is rolled back; with --analyze it is run
/// there, too, where the configuration allows it (explain.analyze) and it calls nothing that might do
/// more than read. Texts with $1, as statistics keep them, are planned as well. Nothing is stored.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll explain 'SELECT * FROM lead WHERE zip = $1 ORDER BY created_at DESC LIMIT 20'
  plimsoll explain --file slow.sql --format html > plan.html
  plimsoll explain --params '[\"78701\", 20]' 'SELECT * FROM lead WHERE zip = $1 LIMIT $2'
  plimsoll explain --target postgres://db.example/app --file slow.sql
  plimsoll --set explain.analyze=true explain --target postgres://db.example/app --analyze 'SELECT …'
  pbpaste | plimsoll explain -")]
pub(super) struct Explain {
    /// The statement; - reads it from standard input
    #[arg(
        value_name = "SQL",
        required_unless_present = "file",
        allow_hyphen_values = true
    )]
    statement: Option<String>,
    /// Read the statement from a file
    #[arg(long, value_name = "FILE", conflicts_with = "statement")]
    file: Option<PathBuf>,
    /// Name of a target of the running server, or a connection string to ask a server directly
    #[arg(long, value_name = "NAME|URL")]
    target: Option<String>,
    /// Values of $1, $2, … as a JSON list
    #[arg(long, value_name = "JSON")]
    params: Option<String>,
    /// Run it, too
    #[arg(long)]
    analyze: bool,
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// How a plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// A tree for the terminal
    #[default]
    Text,
    /// The API's answer
    Json,
    /// One page that needs nothing else
    Html,
}

pub(super) async fn run(command: &Explain, world: &World<'_>) -> anyhow::Result<Outcome> {
    let question = Question {
        query: statement(command)?,
        params: params(command)?,
        // Without the flag nothing is run from here, whatever the configuration allows.
        analyze: Some(command.analyze),
    };
    let analysis = match &command.target {
        Some(target) if is_connection(target) => direct(target, &question, world).await?,
        target => asked(target.as_deref(), &question, world).await?,
    };
    Ok(Outcome::done(match command.format {
        Format::Json => written(&analysis)?,
        Format::Html => page::page(&analysis),
        Format::Text => tree::show(&analysis, world.paint),
    }))
}

fn statement(command: &Explain) -> anyhow::Result<String> {
    if let Some(path) = &command.file {
        return std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()));
    }
    match command.statement.as_deref() {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("cannot read the statement from standard input")?;
            Ok(text)
        }
        text => Ok(text.unwrap_or_default().to_owned()),
    }
}

fn params(command: &Explain) -> anyhow::Result<Option<Vec<Value>>> {
    let Some(text) = &command.params else {
        return Ok(None);
    };
    let values = serde_json::from_str(text)
        .with_context(|| format!("--params is {text:?}; write a JSON list such as [\"a\", 5]"))?;
    Ok(Some(values))
}

/// Connection strings are URLs or have `key=value` in them; names of targets have neither.
fn is_connection(target: &str) -> bool {
    target.contains("://") || target.contains('=')
}

async fn direct(target: &str, question: &Question, world: &World<'_>) -> anyhow::Result<Analysis> {
    let mut settings = world.settings.clone();
    settings.targets = vec![target.to_owned()];
    let config = crate::config::load(&settings.flags(), world.environment)?;
    calls::explain(&config, question).await
}

async fn asked(
    target: Option<&str>,
    question: &Question,
    world: &World<'_>,
) -> anyhow::Result<Analysis> {
    let client = Client::new(&world.load()?.socket());
    let path = match target {
        Some(target) => format!("{ANALYZE}?{}", parameter("target", target)),
        None => ANALYZE.to_owned(),
    };
    let body = json!({
        "query": question.query,
        "params": question.params,
        "analyze": question.analyze,
    });
    let answer = client.post(&path, body.to_string().into()).await?.body()?;
    serde_json::from_slice(&answer)
        .context("the server's answer is of another version; update both to the same")
}
