//! `plimsoll advise indexes`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::{size, table};
use crate::cli::output::json;
use crate::cli::{Outcome, World, calls};
use crate::config::parse_duration;
use crate::model::units::Millis;
use crate::work::advise::Request;

/// How to show advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// Aligned tables
    #[default]
    Table,
    /// JSON
    Json,
}

/// Choose indexes for a workload
#[derive(Debug, Clone, Args)]
pub(super) struct Indexes {
    /// Connection string of the server and database
    #[arg(long, value_name = "URL")]
    target: String,
    /// File of statements ended by `;`, each with `-- name: NAME calls=N mean_ms=N` before it
    #[arg(long, value_name = "FILE.sql")]
    workload: PathBuf,
    /// Most that new indexes may take together on disk; 1 MB is 10⁶ bytes
    #[arg(long, value_name = "SIZE", value_parser = size::read)]
    budget: Option<u64>,
    /// Most key columns of an index
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=8))]
    max_width: u8,
    /// Longest time for the search; the best answer so far is given
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    time: Millis,
    /// Most plans that may be asked of the server
    #[arg(long, value_name = "N")]
    explains: Option<usize>,
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) async fn run(command: &Indexes, world: &World<'_>) -> anyhow::Result<Outcome> {
    let workload = std::fs::read_to_string(&command.workload)
        .with_context(|| format!("cannot read {}", command.workload.display()))?;
    let mut settings = world.settings.clone();
    settings.targets = vec![command.target.clone()];
    let config = crate::config::load(&settings.flags(), world.environment)?;
    let request = Request {
        workload,
        budget: command.budget,
        width: usize::from(command.max_width),
        time: command.time.as_duration(),
        explains: command.explains,
    };
    let advice = calls::advise_indexes(&config, request).await?;
    let text = match command.format {
        Format::Json => json(&advice)?,
        Format::Table => table::show(&advice, world.paint),
    };
    Ok(Outcome::done(text))
}
