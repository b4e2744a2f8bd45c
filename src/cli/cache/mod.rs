//! `plimsoll cache`: named queries of the running server, from the terminal.

mod show;

use anyhow::Context as _;
use bytes::Bytes;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::client::{Client, encoded};
use super::output;
use super::{FAILED, Outcome, World};
use crate::model::cached::Priority;

const BASE: &str = "/api/v1/performance/cache";

/// Look at named queries, read what they found, warm and drop their results
///
/// The queries are the sections `query` of plimsoll.toml. The running server keeps their results.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll cache list
  plimsoll cache get agents:active
  plimsoll cache warm --priority critical
  plimsoll cache invalidate --pattern 'agents:*' --dry-run
  plimsoll cache stats
  plimsoll schedules add warm --queue plimsoll --job cache-warm --every 5m")]
pub(super) struct Cache {
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
    /// List the named queries and where each stands
    #[command(after_help = "\
Examples:
  plimsoll cache list
  plimsoll cache list --format json")]
    List(Shown),
    /// Show the rows of a query as JSON; they are loaded if they are not kept
    #[command(after_help = "\
Examples:
  plimsoll cache get agents:active
  plimsoll cache get leads:recent --format json | jq '.[0]'")]
    Get(Get),
    /// Load queries now, the critical ones first, and wait for them
    #[command(after_help = "\
Examples:
  plimsoll cache warm
  plimsoll cache warm agents:active leads:recent
  plimsoll cache warm --priority critical")]
    Warm(Warm),
    /// Drop results by key, pattern, tag or event
    #[command(after_help = "\
Examples:
  plimsoll cache invalidate agents:active
  plimsoll cache invalidate --pattern 'agents:*' --dry-run
  plimsoll cache invalidate --tag agents
  plimsoll cache invalidate --event lead.created")]
    Invalidate(Invalidate),
    /// Show hits, misses, size and measured times since the start of the server
    #[command(after_help = "\
Examples:
  plimsoll cache stats
  plimsoll cache stats --format json")]
    Stats(Shown),
}

#[derive(Debug, Clone, Args)]
struct Get {
    /// The query's key
    key: String,
    #[command(flatten)]
    shown: Shown,
}

#[derive(Debug, Clone, Args)]
struct Warm {
    /// Keys; all queries if left out
    #[arg(conflicts_with = "priority")]
    keys: Vec<String>,
    /// Queries of one priority
    #[arg(long, value_parser = Priority::NAMES)]
    priority: Option<String>,
    #[command(flatten)]
    shown: Shown,
}

#[derive(Debug, Clone, Args)]
#[group(id = "which", required = true, multiple = false)]
struct Which {
    /// The query's key
    key: Option<String>,
    /// Keys that match: * is any text, ? one character
    #[arg(long)]
    pattern: Option<String>,
    /// Queries with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Queries that this event makes wrong
    #[arg(long)]
    event: Option<String>,
}

#[derive(Debug, Clone, Args)]
struct Invalidate {
    #[command(flatten)]
    which: Which,
    /// Only tell what would be dropped
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    shown: Shown,
}

pub(super) async fn run(command: &Cache, world: &World<'_>) -> anyhow::Result<Outcome> {
    let client = Client::new(&world.load()?.socket());
    let paint = world.paint;
    let text = match &command.verb {
        Verb::List(format) => {
            let all: Value = client.json(&format!("{BASE}/queries")).await?;
            shown(format, &all, |all| show::list(all, paint))?
        }
        Verb::Get(get) => {
            let path = format!("{BASE}/queries/{}", encoded(&get.key));
            let rows = client.get(&path).await?;
            return self::rows(get, &rows);
        }
        Verb::Warm(warm) => {
            let body = serde_json::to_vec(&wish(warm))?;
            let answer = client
                .post(&format!("{BASE}/warm"), Bytes::from(body))
                .await?;
            // Some may have failed: then it is told what did, and the exit code says so, too.
            let done: Value = serde_json::from_slice(&answer.body()?).context(VERSIONS)?;
            let text = shown(&warm.shown, &done, |done| show::warmed(done, paint))?;
            let went_well = done.get("success").and_then(Value::as_bool);
            let mut outcome = Outcome::done(text);
            if went_well != Some(true) {
                outcome.code = FAILED;
            }
            return Ok(outcome);
        }
        Verb::Invalidate(invalidate) => {
            let body = serde_json::to_vec(&wanted(invalidate))?;
            let path = format!("{BASE}/invalidate");
            let answer = client.post(&path, Bytes::from(body)).await?.body()?;
            let done: Value = serde_json::from_slice(&answer).context(VERSIONS)?;
            shown(&invalidate.shown, &done, show::dropped)?
        }
        Verb::Stats(format) => {
            let metrics: Value = client.json(&format!("{BASE}/metrics")).await?;
            let rates: Value = client.json(&format!("{BASE}/hit-rate")).await?;
            let both = json!({"metrics": metrics, "hitRate": rates});
            shown(format, &both, |both| show::stats(both, paint))?
        }
    };
    Ok(Outcome::done(text))
}

const VERSIONS: &str = "the server's answer is of another version; update both to the same";

/// Rows one a line for people, as they came for programs.
fn rows(get: &Get, body: &[u8]) -> anyhow::Result<Outcome> {
    if get.shown.format == Format::Json {
        let mut text = body.to_vec();
        text.push(b'\n');
        return Ok(Outcome::done(text));
    }
    // As text, so that large numbers keep their digits.
    let rows: Vec<&serde_json::value::RawValue> = serde_json::from_slice(body).context(VERSIONS)?;
    let mut text = String::new();
    for row in rows {
        text.push_str(row.get());
        text.push('\n');
    }
    Ok(Outcome::done(text))
}

fn wish(warm: &Warm) -> Value {
    match &warm.priority {
        Some(priority) => json!({ "priority": priority }),
        None if warm.keys.is_empty() => json!({}),
        None => json!({ "keys": warm.keys }),
    }
}

fn wanted(invalidate: &Invalidate) -> Value {
    let which = &invalidate.which;
    let ways = [
        ("key", &which.key),
        ("pattern", &which.pattern),
        ("tag", &which.tag),
        ("event", &which.event),
    ];
    let ways = ways
        .into_iter()
        .filter_map(|(name, text)| Some((name.to_owned(), json!(text.as_ref()?))));
    let mut body: Map<String, Value> = ways.collect();
    body.insert("dryRun".to_owned(), json!(invalidate.dry_run));
    Value::Object(body)
}

fn shown(
    shown: &Shown,
    value: &Value,
    draw: impl FnOnce(&Value) -> String,
) -> anyhow::Result<String> {
    match shown.format {
        Format::Json => output::json(value),
        Format::Table => Ok(draw(value)),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        cache: Cache,
    }

    fn read(words: &str) -> Result<Verb, clap::Error> {
        let words = std::iter::once("plimsoll").chain(words.split(' '));
        Line::try_parse_from(words).map(|line| line.cache.verb)
    }

    #[test]
    fn what_to_drop_is_named_once() {
        let Ok(Verb::Invalidate(one)) = read("invalidate --tag agents --dry-run") else {
            panic!("a tag is enough");
        };
        assert_eq!(wanted(&one), json!({"tag": "agents", "dryRun": true}));
        for words in [
            "invalidate",
            "invalidate a --tag b",
            "invalidate --pattern x --event y",
        ] {
            assert!(read(words).is_err(), "{words}");
        }
    }

    #[test]
    fn a_warming_is_of_all_of_some_or_of_a_priority() {
        for (words, want) in [
            ("warm", json!({})),
            ("warm a b", json!({"keys": ["a", "b"]})),
            ("warm --priority high", json!({"priority": "high"})),
        ] {
            let Ok(Verb::Warm(warm)) = read(words) else {
                panic!("{words}");
            };
            assert_eq!(wish(&warm), want);
        }
        assert!(read("warm --priority urgent").is_err());
        assert!(read("warm a --priority high").is_err());
    }

    #[test]
    fn rows_keep_their_digits_one_a_line() {
        let get = |format| Get {
            key: "k".to_owned(),
            shown: Shown { format },
        };
        let body = br#"[{"n":12345678901234567890.10},{"n":null}]"#;
        let lines = rows(&get(Format::Table), body).unwrap().text;
        let want = "{\"n\":12345678901234567890.10}\n{\"n\":null}\n";
        assert_eq!(String::from_utf8(lines).unwrap(), want);
        let whole = rows(&get(Format::Json), body).unwrap().text;
        assert!(whole.starts_with(b"[{") && whole.ends_with(b"]\n"));
    }
}
