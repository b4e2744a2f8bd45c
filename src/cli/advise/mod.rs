//! `plimsoll advise`: what to build and what to drop.

mod indexes;
mod size;
mod table;

use clap::{Args, Subcommand};

use super::{Outcome, World};

/// Say which indexes a workload is missing, what they take and what they give
///
/// Plans the workload's statements with hypothetical indexes and chooses what pays for its bytes.
/// Nothing is executed and nothing is changed: the answer is for a person to run.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll advise indexes --target postgres://db.example/app --workload queries.sql
  plimsoll advise indexes --target postgres://db.example/app --workload queries.sql --budget 500MB
  plimsoll advise indexes --target postgres://db.example/app --workload q.sql --format json")]
pub(super) struct Advise {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    Indexes(indexes::Indexes),
}

pub(super) async fn run(command: &Advise, world: &World<'_>) -> anyhow::Result<Outcome> {
    match &command.what {
        What::Indexes(command) => indexes::run(command, world).await,
    }
}
