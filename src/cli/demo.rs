//! `plimsoll demo`.

use std::path::PathBuf;

use clap::Args;

use super::{Outcome, World, calls};
use crate::config::{Log, parse_duration};
use crate::model::units::Millis;

/// Start a throw-away Postgres with a busy lead platform, and watch it
///
/// Its history of the last 180 days is made up, and marked so wherever it is shown; what it
/// measures from now on is real. Everything that it starts is stopped and removed at the end.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll demo
  plimsoll demo --scale 0.2 --rate 200
  plimsoll demo --exit-after 90s --report capacity.html")]
pub(crate) struct Demo {
    /// Size of the database, above 0 and up to 100; 1 is 200,000 leads
    #[arg(long, default_value_t = 0.03, value_parser = scale, allow_negative_numbers = true)]
    pub(crate) scale: f64,
    /// Statements a second
    #[arg(long, default_value_t = 40, allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rate: u32,
    /// Stop by itself after this time, such as 90s
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) exit_after: Option<Millis>,
    /// Write a report before it stops
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Address of the page and the API
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<String>,
    /// Folder of the server's programs, where they are not found by themselves
    #[arg(long, value_name = "DIR")]
    pub(crate) postgres_bin: Option<PathBuf>,
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(scale) if scale > 0.0 && scale <= 100.0 => Ok(scale),
        _ => Err("write a number above 0 and up to 100".to_owned()),
    }
}

pub(super) fn run(
    command: Demo,
    world: &World<'_>,
    start_log: impl FnOnce(&Log),
) -> anyhow::Result<Outcome> {
    let mut settings = world.settings.clone();
    settings.listen.clone_from(&command.listen);
    // Thrown away unless it was named: the folder of a real history is never the demo's, which
    // makes one of its own where temporary files go.
    let keep_folder = settings.data_dir.is_some();
    if !keep_folder {
        settings.data_dir = Some(std::env::temp_dir().display().to_string());
    }
    let config = crate::config::load(&settings.flags(), world.environment)?;
    // Its own steps are the news here; what goes wrong is logged all the same.
    let quiet = Log {
        level: "warn".to_owned(),
        ..config.log.clone()
    };
    start_log(if settings.sets("log.level") {
        &config.log
    } else {
        &quiet
    });
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(calls::demo(config, command, keep_folder))?;
    Ok(Outcome::done(""))
}
