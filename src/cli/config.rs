//! `plimsoll config`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::{self, Format};
use super::table::{Cell, Table, Tone};
use super::{Outcome, World};
use crate::config::{Origin, Shown};

/// Check the settings and show where each one comes from
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll config check
  plimsoll config check --config ./plimsoll.toml
  PLIMSOLL_COLLECT_SCRAPE=5s plimsoll config check --format json")]
pub(super) struct Config {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Clone, Subcommand)]
enum Verb {
    /// Load all settings; show each with its origin, or say what is wrong and where
    #[command(after_help = "Examples:\n  plimsoll config check --config ./plimsoll.toml")]
    Check {
        /// How to show it
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

pub(super) fn run(command: &Config, world: &World<'_>) -> anyhow::Result<Outcome> {
    let Verb::Check { format } = &command.verb;
    let config = world.load()?;
    crate::work::cache::check(&config)?;
    Ok(Outcome::done(match format {
        Format::Json => {
            let rows: Vec<Value> = config.shown.iter().map(row).collect();
            output::json(&rows)?
        }
        Format::Text => {
            let mut table = Table::new(&["SETTING", "VALUE", "FROM"]);
            for shown in &config.shown {
                table.row(cells(shown));
            }
            table.draw(world.paint)
        }
    }))
}

fn row(shown: &Shown) -> Value {
    json!({
        "key": shown.key,
        "value": shown.value,
        "origin": shown.origin.to_string(),
        "about": shown.why,
    })
}

/// What is not a default stands out.
fn cells(shown: &Shown) -> [Cell; 3] {
    let tone = match shown.origin {
        Origin::Default(_) => Tone::Faint,
        _ => Tone::Plain,
    };
    let (value, origin) = match &shown.value {
        Some(value) => (value.clone(), shown.origin.to_string()),
        None => ("–".to_owned(), "not set".to_owned()),
    };
    [
        Cell::toned(shown.key.clone(), tone),
        Cell::toned(value, tone),
        Cell::toned(origin, tone),
    ]
}
