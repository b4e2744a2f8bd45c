//! `plimsoll statements`, `plimsoll deploy`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;

use super::client::{Client, parameter};
use super::output::json;
use super::table::{Cell, Paint, Table, Tone, second};
use super::{Outcome, World};
use crate::model::ranking::{By, Counted, Ranking, Slower, StatementHistory, StatementUse};
use crate::model::units::Bytes;

const BASE: &str = "/api/v1/performance/database";

/// Rank what statements cost over any span, from the history
///
/// The server's counters are never reset: a span is what they grew by. This program's own
/// statements are left out.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll statements
  plimsoll statements --by io --window 24h
  plimsoll statements --by wal --window 7d --database app --format json
  plimsoll statements show 4811526353426517083 --window 7d
  plimsoll statements --slower")]
pub(super) struct Statements {
    #[command(subcommand)]
    command: Option<Command>,
    /// What to rank by
    #[arg(long, value_enum, default_value_t)]
    by: Rank,
    /// Which statements became slower, against last week and the last deploy
    #[arg(long)]
    slower: bool,
    /// Only of this database
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// Only of this role
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
    /// How many
    #[arg(long, default_value_t = 20)]
    limit: u32,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Args)]
struct Common {
    /// How far back, 1m to 366d [default: 1h; of show: 24h]
    #[arg(long, global = true)]
    window: Option<String>,
    /// Name of the target; default: the first
    #[arg(long, global = true, value_name = "NAME")]
    target: Option<String>,
    /// How to show it
    #[arg(long, global = true, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// One statement over time
    #[command(after_help = "\
Examples:
  plimsoll statements show 4811526353426517083
  plimsoll statements show 4811526353426517083 --window 30d --format json")]
    Show {
        /// Its `queryid`, as the ranking shows it
        #[arg(allow_hyphen_values = true)]
        queryid: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// An aligned table
    #[default]
    Table,
    /// The server's JSON
    Json,
}

/// As [`By`], for the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Rank {
    /// Time of all calls
    #[default]
    Total,
    /// Time of a call
    Mean,
    /// Calls
    Calls,
    /// Blocks read from outside the buffers
    Io,
    /// Temporary blocks
    Temp,
    /// Bytes of WAL
    Wal,
    /// Rows
    Rows,
}

impl Rank {
    const fn by(self) -> By {
        match self {
            Self::Total => By::Total,
            Self::Mean => By::Mean,
            Self::Calls => By::Calls,
            Self::Io => By::Io,
            Self::Temp => By::Temp,
            Self::Wal => By::Wal,
            Self::Rows => By::Rows,
        }
    }
}

pub(super) async fn run(command: &Statements, world: &World<'_>) -> anyhow::Result<Outcome> {
    let client = Client::new(&world.load()?.socket());
    let common = &command.common;
    let mut fields = Vec::new();
    for (name, value) in [("window", &common.window), ("target", &common.target)] {
        fields.extend(value.as_ref().map(|value| parameter(name, value)));
    }
    if let Some(Command::Show { queryid }) = &command.command {
        let path = format!("{BASE}/statements/{queryid}?{}", fields.join("&"));
        let found: StatementHistory = client.json(&path).await?;
        return Ok(Outcome::done(match common.format {
            Format::Json => json(&found)?,
            Format::Table => shown(&found, world.paint),
        }));
    }
    for (name, value) in [("database", &command.database), ("role", &command.role)] {
        fields.extend(value.as_ref().map(|value| parameter(name, value)));
    }
    fields.push(parameter("by", command.by.by().name()));
    fields.push(parameter("limit", &command.limit.to_string()));
    let path = format!("{BASE}/statements?{}", fields.join("&"));
    let ranking: Ranking = client.json(&path).await?;
    Ok(Outcome::done(match (common.format, command.slower) {
        (Format::Json, true) => json(&ranking.slower)?,
        (Format::Json, false) => json(&ranking)?,
        (Format::Table, true) => slower(&ranking.slower, world.paint),
        (Format::Table, false) => table(&ranking, world.paint),
    }))
}

fn table(ranking: &Ranking, paint: Paint) -> String {
    let mut text = format!(
        "{}, {} to {}: {} statements ran, by {}\n",
        paint.tone(&ranking.target, Tone::Strong),
        second(&ranking.from),
        second(&ranking.until),
        ranking.ran,
        ranking.by.name()
    );
    if ranking.statements.is_empty() {
        text.push_str("none is known of this span; `plimsoll check` says what cannot be seen\n");
        return text;
    }
    let mut titles = vec![
        ">SHARE", ">CALLS", ">TOTAL", ">MEAN", ">ROWS", ">READ", ">TEMP", ">WAL",
    ];
    // Who ran it is told where not everything ran as one.
    let several = |of: fn(&StatementUse) -> &str| {
        let all: BTreeSet<&str> = ranking.statements.iter().map(of).collect();
        all.len() > 1
    };
    let (databases, roles) = (several(|s| &s.database), several(|s| &s.role));
    titles.extend(databases.then_some("DATABASE"));
    titles.extend(roles.then_some("ROLE"));
    titles.extend(["QUERYID", "STATEMENT"]);
    let mut table = Table::new(&titles);
    for statement in &ranking.statements {
        let counted = &statement.counted;
        let share = statement
            .share
            .map_or_else(String::new, |s| format!("{:.1} %", s * 100.0));
        let mut cells: Vec<Cell> = vec![share.into()];
        cells.extend(figures(counted).map(Cell::from));
        cells.extend(databases.then(|| Cell::from(statement.database.as_str())));
        cells.extend(roles.then(|| Cell::from(statement.role.as_str())));
        cells.push(statement.queryid.as_str().into());
        let query = statement
            .query
            .as_deref()
            .map_or("(text not known)".to_owned(), short);
        cells.push(query.into());
        table.row(cells);
    }
    text.push_str(&table.draw(paint));
    if !ranking.slower.is_empty() {
        let _ = writeln!(
            text,
            "\n{} statements became slower; plimsoll statements --slower",
            ranking.slower.len()
        );
    }
    text
}

fn figures(counted: &Counted) -> [String; 7] {
    [
        format!("{:.0}", counted.calls),
        time(Some(counted.total_ms)),
        time(counted.mean_ms),
        format!("{:.0}", counted.rows),
        blocks(counted.shared_blks_read),
        blocks(counted.temp_blks_written),
        bytes(counted.wal_bytes),
    ]
}

fn time(ms: Option<f64>) -> String {
    match ms {
        None => "–".to_owned(),
        Some(ms) if ms < 1.0 => format!("{ms:.3} ms"),
        Some(ms) if ms < 10_000.0 => format!("{ms:.1} ms"),
        Some(ms) => format!("{:.1} s", ms / 1e3),
    }
}

fn blocks(count: f64) -> String {
    bytes(count * 8_192.0)
}

fn bytes(value: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a size is not negative, and a float cast saturates"
    )]
    let whole = value.max(0.0) as u64;
    if whole == 0 {
        "–".to_owned()
    } else {
        Bytes(whole).to_string()
    }
}

fn short(query: &str) -> String {
    const LINE: usize = 80;
    let one_line = query.split_whitespace().collect::<Vec<_>>().join(" ");
    if one_line.chars().count() <= LINE {
        return one_line;
    }
    let head: String = one_line.chars().take(LINE).collect();
    format!("{head}…")
}

fn slower(all: &[Slower], paint: Paint) -> String {
    if all.is_empty() {
        return "no statement that ran in the last hour is known to take longer than it did\n"
            .to_owned();
    }
    let mut table = Table::new(&[
        ">TIMES",
        ">MEAN",
        ">WAS",
        ">BLOCKS",
        ">WERE",
        "AGAINST",
        "QUERYID",
        "STATEMENT",
    ]);
    for one in all {
        let cells = [
            format!("{:.1}", one.mean_ms_now / one.mean_ms_then.max(1e-9)),
            time(Some(one.mean_ms_now)),
            time(Some(one.mean_ms_then)),
            format!("{:.0}", one.blocks_now),
            format!("{:.0}", one.blocks_then),
            one.against.clone(),
            one.queryid.clone(),
            one.query.as_deref().map(short).unwrap_or_default(),
        ];
        table.row(cells.map(Cell::from));
    }
    table.draw(paint)
}

fn shown(history: &StatementHistory, paint: Paint) -> String {
    let mut text = format!("{}\n", paint.tone(&history.queryid, Tone::Strong));
    if let Some(query) = &history.query {
        let _ = writeln!(text, "{query}");
    }
    let _ = writeln!(text, "run by {}", history.ran_by.join(", "));
    let mut table = Table::new(&[
        "FROM", ">CALLS", ">TOTAL", ">MEAN", ">ROWS", ">READ", ">TEMP", ">WAL",
    ]);
    let ran = history.points.iter().filter(|p| p.counted.calls > 0.0);
    for point in ran {
        let mut cells: Vec<Cell> = vec![second(&point.at).into()];
        cells.extend(figures(&point.counted).map(Cell::from));
        table.row(cells);
    }
    let mut cells: Vec<Cell> = vec!["in all".into()];
    cells.extend(figures(&history.total).map(Cell::from));
    table.row(cells);
    text.push_str(&table.draw(paint));
    if !history.slower.is_empty() {
        text.push('\n');
        text.push_str(&slower(&history.slower, paint));
    }
    text
}

/// Mark a deploy, so that statements are compared with what they took before
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll deploy mark v2.1
  plimsoll deploy mark v2.1 --at 2026-03-10T12:00:00Z
  plimsoll deploy list")]
pub(super) struct Deploy {
    #[command(subcommand)]
    command: DeployCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum DeployCommand {
    /// Mark one
    #[command(after_help = "Examples:\n  plimsoll deploy mark v2.1")]
    Mark {
        /// What it is called
        name: String,
        /// When, RFC 3339; default: now
        #[arg(long)]
        at: Option<String>,
    },
    /// List the marks, oldest first
    #[command(after_help = "Examples:\n  plimsoll deploy list")]
    List,
}

#[derive(Debug, Deserialize)]
struct Marked {
    name: String,
    at: String,
}

pub(super) async fn deploy(command: &Deploy, world: &World<'_>) -> anyhow::Result<Outcome> {
    let client = Client::new(&world.load()?.socket());
    let path = format!("{BASE}/deploys");
    let line = |mark: &Marked| format!("{}  {}\n", second(&mark.at), mark.name);
    match &command.command {
        DeployCommand::Mark { name, at } => {
            let body = serde_json::json!({ "name": name, "at": at }).to_string();
            let answer = client.post(&path, body.into()).await?.body()?;
            let mark: Marked = serde_json::from_slice(&answer)?;
            Ok(Outcome::done(format!("marked: {}", line(&mark))))
        }
        DeployCommand::List => {
            let marks: Vec<Marked> = client.json(&path).await?;
            Ok(Outcome::done(marks.iter().map(line).collect::<String>()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ranking::StatementUse;

    #[test]
    fn a_ranking_is_a_table_with_what_is_not_known_left_open() {
        let statement = StatementUse {
            queryid: "-7".to_owned(),
            query: Some("SELECT *\n  FROM lead".to_owned()),
            share: Some(0.5),
            counted: Counted {
                calls: 3.0,
                total_ms: 30_000.0,
                mean_ms: Some(10_000.0),
                shared_blks_read: 128.0,
                ..Counted::default()
            },
            ..StatementUse::default()
        };
        let ranking = Ranking {
            target: "main".to_owned(),
            from: "2026-05-01T11:00:00.000Z".to_owned(),
            until: "2026-05-01T12:00:00.000Z".to_owned(),
            by: By::Total,
            ran: 9,
            statements: vec![statement, StatementUse::default()],
            slower: Vec::new(),
        };
        let drawn = table(&ranking, Paint::new(false));
        for part in ["50.0 %", " 30.0 s", " 10.0 s"] {
            assert!(drawn.contains(part), "{drawn}");
        }
        assert!(
            drawn.contains("1.0 MB") && drawn.contains("SELECT * FROM lead"),
            "{drawn}"
        );
        assert!(drawn.contains("(text not known)"), "{drawn}");
    }
}
