//! `plimsoll advise verify`.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use super::indexes::Scope;
use super::{progress, size};
use crate::cli::output::json;
use crate::cli::table::{Paint, Table, Tone, percent};
use crate::cli::{Outcome, World, calls};
use crate::config::parse_duration;
use crate::model::advice::{Advice, Proof};
use crate::model::units::Millis;
use crate::work::advise::verify::Order;

/// How to show a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// Aligned tables
    #[default]
    Table,
    /// The advice with its proof, as JSON
    Json,
}

/// Build advised indexes in a scratch database and keep what pays in real time
///
/// Every statement that only reads is run with and without the indexes, in turn; what makes a
/// statement slower, or saves nothing, is taken out of the set. Everything that was built is dropped
/// at the end, also after Ctrl-C. The scratch database must not be the target: give a clone, or one
/// into which the tables concerned were loaded.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll advise verify --scratch postgres://db.example/app_copy --target postgres://db.example/app
  plimsoll advise verify --scratch postgres://lab.example/app --workload q.sql --budget 500MB
  plimsoll advise verify --scratch postgres://lab.example/app --advice advice.json --workload q.sql")]
pub(super) struct Verify {
    /// Connection string of a database to build in; its owner must be the role
    #[arg(long, value_name = "URL")]
    scratch: String,
    /// Connection string of the database that advice is for; without it, the scratch database's plans
    /// are advised on
    #[arg(long, value_name = "URL")]
    target: Option<String>,
    /// Advice that is there already, as `advise indexes --format json` wrote it; the proof is written
    /// into it
    #[arg(long, value_name = "FILE.json")]
    advice: Option<PathBuf>,
    #[command(flatten)]
    scope: Scope,
    /// Runs of each statement with the set and without it
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Longest time of one run of a statement
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    statement_limit: Millis,
    /// Longest time of everything
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = parse_duration)]
    total_limit: Millis,
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) async fn run(command: &Verify, world: &World<'_>) -> anyhow::Result<Outcome> {
    let config = world.load()?;
    let known = command.advice.as_ref().map(|path| {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str::<Advice>(&text).with_context(|| {
            format!(
                "{} is no advice; write one with `plimsoll advise indexes --format json`",
                path.display()
            )
        })
    });
    let order = Order {
        scratch: command.scratch.clone(),
        target: command.target.clone(),
        advice: known.transpose()?,
        request: command.scope.request()?,
        statement: command.statement_limit.as_duration(),
        total: command.total_limit.as_duration(),
        runs: command.runs,
        told,
    };
    let advice = calls::advise_verify(&config, order).await;
    progress::over();
    let advice = advice?;
    if let Some(path) = &command.advice {
        std::fs::write(path, json(&advice)?)
            .with_context(|| format!("cannot write the proof into {}", path.display()))?;
    }
    let Some(proof) = &advice.proof else {
        bail!("the verification gave no proof");
    };
    let text = match command.format {
        Format::Json => json(&advice)?,
        Format::Table => show(proof, world.paint),
    };
    Ok(Outcome::done(text))
}

fn told(what: &str) {
    if std::io::stderr().is_terminal() {
        progress::line(what);
    }
}

/// Before and after, what stays and what goes.
fn show(proof: &Proof, paint: Paint) -> String {
    let ratio = |part: f64, whole: f64| percent((whole > 0.0).then_some(part / whole));
    let mut text = format!(
        "{}  {:.0} ms without, {:.0} ms with {} indexes ({} of the time), {}; {} runs a side, {:.0} s\n\n",
        paint.tone(&proof.scratch, Tone::Strong),
        proof.before_ms,
        proof.after_ms,
        proof.kept.len(),
        ratio(proof.after_ms, proof.before_ms),
        size::show(proof.built_bytes),
        proof.runs,
        proof.seconds
    );
    let mut table = Table::new(&[
        "STATEMENT",
        ">BEFORE ms",
        ">AFTER ms",
        ">TIME",
        ">BLOCKS",
        ">AFTER",
    ]);
    for timed in &proof.statements {
        let before = if timed.is_cut {
            format!("> {:.0}", timed.before_ms)
        } else {
            format!("{:.1}", timed.before_ms)
        };
        table.row([
            timed.name.clone().into(),
            before.into(),
            format!("{:.1}", timed.after_ms).into(),
            ratio(timed.after_ms, timed.before_ms).into(),
            format!("{:.0}", timed.before_blocks).into(),
            format!("{:.0}", timed.after_blocks).into(),
        ]);
    }
    text.push_str(&table.draw(paint));
    if !proof.kept.is_empty() {
        let mut table = Table::new(&[">PROMISED", ">BUILT", ">SAVES ms", "KEPT"]);
        for kept in &proof.kept {
            table.row([
                size::show(kept.size_bytes).into(),
                size::show(kept.built_bytes).into(),
                format!("{:.1}", kept.saves_ms).into(),
                format!("{};", kept.ddl).into(),
            ]);
        }
        // Writing to a string cannot go wrong.
        let _ = write!(text, "\n{}", table.draw(paint));
    }
    for unkept in &proof.dropped {
        let word = paint.tone("taken out", Tone::Warning);
        let _ = writeln!(text, "{word}  {}: {}", unkept.ddl, unkept.reason);
    }
    for skipped in &proof.skipped {
        let word = paint.tone("not run", Tone::Faint);
        let _ = writeln!(text, "{word}  {}: {}", skipped.name, skipped.reason);
    }
    for note in &proof.notes {
        let word = paint.tone("note", Tone::Warning);
        let _ = writeln!(text, "{word}  {note}");
    }
    text
}
