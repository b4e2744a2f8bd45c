//! `plimsoll advise`: what to build and what to drop.

mod indexes;
mod prisma;
mod progress;
mod script;
mod size;
mod table;
mod verify;

use clap::{Args, Subcommand};

use super::{Outcome, World};

/// Say which indexes a workload is missing, what they take and what they give
///
/// Plans the workload's statements with hypothetical indexes and chooses what pays for its bytes.
/// Nothing is executed and nothing is changed: the answer is for a person to run. `verify` tries it
/// in a scratch database.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll advise indexes --target postgres://db.example/app --workload queries.sql
  plimsoll advise indexes --target postgres://db.example/app --workload queries.sql --budget 500MB
  plimsoll advise indexes --target postgres://db.example/app --workload q.sql --format json
  plimsoll advise indexes --target postgres://db.example/app            # from pg_stat_statements
  plimsoll advise indexes --target postgres://db.example/app --format prisma")]
pub(super) struct Advise {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    Indexes(indexes::Indexes),
    Verify(verify::Verify),
}

pub(super) async fn run(command: &Advise, world: &World<'_>) -> anyhow::Result<Outcome> {
    match &command.what {
        What::Indexes(command) => indexes::run(command, world).await,
        What::Verify(command) => verify::run(command, world).await,
    }
}
