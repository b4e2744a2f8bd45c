//! `plimsoll loadtest`: sends load to a server and says how it held.

mod show;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use tokio::sync::watch;

use super::output;
use super::{FAILED, MISSED, OK, Outcome, World, calls};
use crate::model::load::{Ended, LoadTestResults, Scenario};
use crate::work::load::{self, Order, Progress};

/// Where standard error is no terminal, a line each so many seconds.
const PLAIN_EVERY: u64 = 10;

/// Send load to a server and measure how it holds: steady, rising, in spikes, for hours
///
/// Requests are sent when they are due, whether or not the server keeps up, and their latency counts
/// from that instant: what callers would have waited. No running server of ours is needed.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll loadtest list
  plimsoll loadtest run baseline-performance --url http://127.0.0.1:8080
  plimsoll loadtest run stress-test --url https://shop.example --token-file token --rate 2 --time 0.1
  plimsoll loadtest show spike-test > mine.toml
  plimsoll loadtest run mine.toml --url http://127.0.0.1:8080 --format json --output result.json

Exit codes of run:
  0  all thresholds hold        4  a threshold was missed, or too much failed and it was given up
  1  it was stopped, or no server answers")]
pub(super) struct Loadtest {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// Aligned tables
    #[default]
    Table,
    /// JSON
    Json,
}

#[derive(Debug, Clone, Subcommand)]
enum Verb {
    /// List the built-in scenarios
    #[command(after_help = "\
Examples:
  plimsoll loadtest list
  plimsoll loadtest list --format json")]
    List {
        /// How to show them
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Show a scenario; as a table it is the file to start your own from
    #[command(after_help = "\
Examples:
  plimsoll loadtest show spike-test
  plimsoll loadtest show spike-test > mine.toml
  plimsoll loadtest show mine.toml --format json")]
    Show {
        /// A built-in scenario, or a file that ends in .toml
        scenario: String,
        /// How to show it
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Run a scenario against a server that you may load
    #[command(after_help = "\
Examples:
  plimsoll loadtest run baseline-performance --url http://127.0.0.1:8080
  plimsoll loadtest run spike-test --url http://127.0.0.1:8080 --rate 10 --time 0.1
  plimsoll loadtest run mine.toml --url https://shop.example --header 'X-Tenant: 7' --max-errors 5%
  plimsoll loadtest run api-focused --url http://127.0.0.1:3002 --format json --output result.json")]
    Run(Box<Run>),
}

#[derive(Debug, Clone, Args)]
struct Run {
    /// A built-in scenario, or a file that ends in .toml
    scenario: String,
    /// Whom to load, such as `http://127.0.0.1:8080`; a path goes before those of the scenario
    #[arg(long)]
    url: String,
    /// Multiplies all rates
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = factor)]
    rate: f64,
    /// Multiplies all lengths
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = factor)]
    time: f64,
    /// File with a token; sent as `Authorization: Bearer`
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A header of every request; may come several times
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// Requests under way at once; further ones wait, and their waiting counts
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    max_in_flight: Option<u32>,
    /// Give up when a larger share of each second's requests fails, ten seconds on end (as the
    /// scenario says; 10% there unless set)
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    max_errors: Option<f64>,
    /// How to show the result
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write the result to this file instead
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn factor(text: &str) -> Result<f64, String> {
    let factor = text.parse().ok();
    factor
        .filter(|factor| *factor > 0.0 && *factor <= 1_000.0)
        .ok_or_else(|| "write a factor above 0 and up to 1000, such as 0.1".to_owned())
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once(':')
        .filter(|(name, _)| !name.trim().is_empty())
        .ok_or_else(|| "write 'Name: value'".to_owned())?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// A share as people write it: `10%`.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').map(str::trim_end);
    let number: Option<f64> = number.and_then(|number| number.parse().ok());
    number
        .filter(|percent| (0.0..=100.0).contains(percent))
        .map(|percent| percent / 100.0)
        .ok_or_else(|| "write a percentage from 0% to 100%, such as 10%".to_owned())
}

pub(super) async fn run(command: Loadtest, world: &World<'_>) -> anyhow::Result<Outcome> {
    match command.verb {
        Verb::List { format } => {
            let all = load::scenarios()?;
            Ok(Outcome::done(match format {
                Format::Table => show::list(&all, world.paint),
                Format::Json => output::json(&all)?,
            }))
        }
        Verb::Show { scenario, format } => {
            let (text, scenario) = find(&scenario)?;
            Ok(Outcome::done(match format {
                Format::Table => text,
                Format::Json => output::json(&scenario)?,
            }))
        }
        Verb::Run(run) => start(&run, world).await,
    }
}

/// A scenario with its text.
fn find(name: &str) -> anyhow::Result<(String, Scenario)> {
    let is_file =
        Path::new(name).extension().is_some_and(|end| end == "toml") || name.contains('/');
    if is_file {
        Ok(load::file(Path::new(name))?)
    } else {
        Ok((load::text(name)?.to_owned(), load::scenario(name)?))
    }
}

async fn start(run: &Run, world: &World<'_>) -> anyhow::Result<Outcome> {
    let (_, scenario) = find(&run.scenario)?;
    let mut headers = run.header.clone();
    if let Some(path) = &run.token_file {
        headers.push((
            "authorization".to_owned(),
            format!("Bearer {}", token(path)?),
        ));
    }
    let order = Order {
        rate: run.rate,
        time: run.time,
        headers,
        max_in_flight: run.max_in_flight.map(|most| most as usize),
        max_errors: run.max_errors,
        ..Order::of(scenario, &run.url)
    };
    // Told on this thread: a terminal that is slow must not hold up the one that sends.
    let (tell, told) = watch::channel(None);
    let running = calls::loadtest(order, move |progress: &Progress| {
        tell.send_replace(Some(progress.clone()));
    });
    let (result, ()) = tokio::join!(running, tell_all(told));
    if io::stderr().is_terminal() {
        output::line("");
    }
    let result = result?;
    let text = match run.format {
        Format::Table => show::result(&result, world.paint),
        Format::Json => output::json(&result)?,
    };
    let text = match &run.output {
        None => text,
        Some(path) => {
            super::report::write_whole(path, text.as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
            format!("{}\nwrote {}\n", show::headline(&result), path.display())
        }
    };
    Ok(Outcome {
        text: text.into_bytes(),
        code: code(&result),
    })
}

fn code(result: &LoadTestResults) -> u8 {
    match result.ended {
        _ if !result.passed => MISSED,
        Ended::Stopped => FAILED,
        _ => OK,
    }
}

fn token(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the token in {}", path.display()))?;
    let token = text.trim();
    ensure!(!token.is_empty(), "{} holds no token", path.display());
    if !token.chars().all(|c| c.is_ascii_graphic()) {
        bail!(
            "{} holds more than a token of printable characters",
            path.display()
        );
    }
    Ok(token.to_owned())
}

/// Tells how far it is until it ends: on a terminal in one line, else in a line now and then.
async fn tell_all(mut told: watch::Receiver<Option<Progress>>) {
    let is_terminal = io::stderr().is_terminal();
    let mut next = 0;
    while told.changed().await.is_ok() {
        let Some(progress) = told.borrow_and_update().clone() else {
            continue;
        };
        let line = show::progress(&progress);
        if is_terminal {
            output::line(&line);
        } else if progress.elapsed.as_secs() >= next {
            next = progress.elapsed.as_secs() + PLAIN_EVERY;
            // A closed standard error is no reason to stop.
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_and_shares_are_read_and_nonsense_is_not() {
        assert_eq!(factor("0.1"), Ok(0.1));
        for wrong in ["0", "-1", "NaN", "inf", "1e9", "ten", ""] {
            assert!(factor(wrong).is_err(), "{wrong}");
        }
        assert_eq!((percent("10%"), percent("2.5 %")), (Ok(0.1), Ok(0.025)));
        for wrong in ["10", "0.1", "101%", "-1%", "NaN%", "%"] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_header_has_a_name_and_a_value() {
        let read = header("X-Tenant: a:b ").unwrap();
        assert_eq!(read, ("X-Tenant".to_owned(), "a:b".to_owned()));
        assert!(header("nothing").is_err() && header(": x").is_err());
    }
}
