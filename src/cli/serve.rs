//! `plimsoll serve`.

use clap::Args;

use super::{Outcome, World, calls};
use crate::config::Log;

/// Watch the targets, keep their history, and serve the page and the API
///
/// Connection strings are read as psql reads them: URL or key=value, PG variables, ~/.pgpass,
/// service files. Without a target it serves the history that there is.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll serve --target postgres://plimsoll@db.example/app
  plimsoll serve --target main=postgres://db1/app --target replica=postgres://db2/app
  PGPASSWORD=secret plimsoll serve --target 'host=db dbname=app user=plimsoll'
  plimsoll serve --config /etc/plimsoll/plimsoll.toml --set collect.scrape=5s")]
pub(super) struct Serve {
    /// Server and database to watch; may be given several times
    #[arg(long, value_name = "[NAME=]URL")]
    target: Vec<String>,
    /// Address of the page and the API; one that is not loopback needs `http.token_file`
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
}

pub(super) fn run(
    command: &Serve,
    world: &World<'_>,
    start_log: impl FnOnce(&Log),
) -> anyhow::Result<Outcome> {
    let mut settings = world.settings.clone();
    settings.targets.clone_from(&command.target);
    settings.listen.clone_from(&command.listen);
    let config = crate::config::load(&settings.flags(), world.environment)?;
    crate::work::cache::check(&config)?;
    start_log(&config.log);
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(calls::serve(config))?;
    Ok(Outcome::done(""))
}
