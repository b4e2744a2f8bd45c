//! `plimsoll advise indexes`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::{prisma, progress, script, size, table};
use crate::cli::output::json;
use crate::cli::{Outcome, World, calls};
use crate::config::parse_duration;
use crate::model::units::Millis;
use crate::work::advise::{Request, Workload};

/// How to show advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// Aligned tables
    #[default]
    Table,
    /// JSON
    Json,
    /// Statements to run, with what they give in comments
    Sql,
    /// `@@index` lines a model; what Prisma cannot say as SQL in comments
    Prisma,
}

/// The name that stands for the server's own record of statements.
const RECORDED: &str = "pg_stat_statements";

/// What is advised on, and how far.
#[derive(Debug, Clone, Args)]
pub(super) struct Scope {
    /// A file of statements ended by `;`, each with `-- name: NAME calls=N mean_ms=N` before it; or
    /// `pg_stat_statements`: what the server has counted in this database
    #[arg(long, value_name = "FILE.sql", default_value = RECORDED)]
    pub(super) workload: PathBuf,
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
    /// Estimate from statistics although the server has HypoPG
    #[arg(long)]
    no_hypopg: bool,
}

impl Scope {
    pub(super) fn request(&self) -> anyhow::Result<Request> {
        Ok(Request {
            workload: workload(&self.workload)?,
            budget: self.budget,
            width: usize::from(self.max_width),
            time: self.time.as_duration(),
            explains: self.explains,
            hypopg: !self.no_hypopg,
            told: progress::teller(),
        })
    }
}

/// A file's text, or the server's record.
fn workload(path: &Path) -> anyhow::Result<Workload> {
    if path == Path::new(RECORDED) {
        return Ok(Workload::Recorded);
    }
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Workload::File(text))
}

/// Choose indexes for a workload
#[derive(Debug, Clone, Args)]
pub(super) struct Indexes {
    /// Connection string of the server and database
    #[arg(long, value_name = "URL")]
    target: String,
    #[command(flatten)]
    scope: Scope,
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) async fn run(command: &Indexes, world: &World<'_>) -> anyhow::Result<Outcome> {
    let mut settings = world.settings.clone();
    settings.targets = vec![command.target.clone()];
    let config = crate::config::load(&settings.flags(), world.environment)?;
    let advice = calls::advise_indexes(&config, command.scope.request()?).await;
    progress::over();
    let advice = advice?;
    let text = match command.format {
        Format::Json => json(&advice)?,
        Format::Table => table::show(&advice, world.paint),
        Format::Sql => script::show(&advice),
        Format::Prisma => prisma::show(&advice),
    };
    Ok(Outcome::done(text))
}
