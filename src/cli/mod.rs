//! The `plimsoll` command: one file a command, each with examples in its help.
//!
//! For: reading arguments, asking the running server over its socket, and showing answers. Not
//! for: doing the work (`work`) or knowing what is true (the server). Read [`run`] first, then
//! `calls`, where commands that need no running server enter the rest of the house.

mod advise;
mod backup;
mod cache;
mod calls;
mod check;
mod client;
mod config;
mod demo;
mod explain;
mod findings;
mod forecast;
mod history;
mod jobs;
mod loadtest;
mod maintain;
mod output;
mod query;
mod report;
mod schedules;
mod series;
mod serve;
mod settings;
mod silence;
mod site;
mod soundness;
mod statements;
mod status;
mod table;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};

use clap::{Parser, Subcommand};

use crate::config::{Environment, Log};
use settings::Settings;
use table::Paint;

/// All is well.
pub const OK: u8 = 0;
/// `check`: warnings. Other commands: it did not work.
pub const FAILED: u8 = 1;
/// `check`: something is critical.
pub const CRITICAL: u8 = 2;
/// `check` and `history verify`: could not look.
pub const UNKNOWN: u8 = 3;
/// `loadtest run`: what was expected did not come.
pub const MISSED: u8 = 4;
/// The command line is wrong (`EX_USAGE` of BSD's `sysexits`).
pub const USAGE: u8 = 64;
/// The configuration is wrong (`EX_CONFIG`).
pub const CONFIG: u8 = 78;

const EXIT_CODES: &str = "\
Exit codes:
  0   done; for check: nothing to mend; for history verify and repair: all is there
  1   not done; for check: warnings; for history verify and repair: not all is there
  2   check: critical findings
  3   check and history verify: could not look
  4   loadtest run: a threshold was missed, or too much failed and it was given up
  64  the command line is wrong
  78  the configuration is wrong

Each command has examples: plimsoll serve --help";

/// Says how much load a PostgreSQL platform can still take.
#[derive(Debug, Parser)]
#[command(name = "plimsoll", version, about, after_help = EXIT_CODES)]
#[command(subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Serve(serve::Serve),
    Status(status::Status),
    Check(check::Check),
    Statements(statements::Statements),
    Deploy(statements::Deploy),
    Forecast(forecast::Forecast),
    Advise(advise::Advise),
    Explain(explain::Explain),
    Query(query::Query),
    Vacuum(maintain::Vacuum),
    Archive(maintain::Archive),
    Audit(maintain::Audit),
    Report(report::Report),
    History(history::History),
    Jobs(Box<jobs::Jobs>),
    Schedules(schedules::Schedules),
    Cache(cache::Cache),
    Loadtest(loadtest::Loadtest),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Config(config::Config),
}

/// What a command leaves: its output and its exit code.
struct Outcome {
    text: Vec<u8>,
    code: u8,
}

impl Outcome {
    fn done(text: impl Into<Vec<u8>>) -> Self {
        Self {
            text: text.into(),
            code: OK,
        }
    }
}

/// What a command may use of the world around it.
struct World<'w> {
    settings: Settings,
    environment: &'w Environment,
    paint: Paint,
}

impl World<'_> {
    fn load(&self) -> crate::config::Result<crate::config::Config> {
        crate::config::load(&self.settings.flags(), self.environment)
    }
}

/// Runs one command and gives the exit code. `start_log` is called by commands that run long; its
/// second argument says whether colours are wanted.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &Environment,
    start_log: fn(&Log, bool),
) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way, too, and are no errors.
            let _ = error.print();
            return if error.use_stderr() { USAGE } else { OK };
        }
    };
    let colour = environment.get("NO_COLOR").is_none();
    let world = World {
        settings: cli.settings,
        environment,
        paint: Paint::new(colour && io::stdout().is_terminal()),
    };
    let is_check = match &cli.command {
        Command::Check(_) => true,
        Command::History(history) => history.is_a_look(),
        _ => false,
    };
    let result = dispatch(cli.command, &world, |log| {
        start_log(log, colour && io::stderr().is_terminal());
    });
    match result.and_then(|outcome| write(&outcome)) {
        Ok(code) => code,
        Err(error) => {
            if let Some(usage) = error.downcast_ref::<clap::Error>() {
                // What clap cannot find out by itself.
                let _ = usage.print();
                return USAGE;
            }
            let _ = writeln!(io::stderr(), "plimsoll: {error:#}");
            match error.downcast_ref::<crate::config::Error>() {
                _ if is_check => UNKNOWN,
                Some(_) => CONFIG,
                None => FAILED,
            }
        }
    }
}

fn dispatch(
    command: Command,
    world: &World<'_>,
    start_log: impl FnOnce(&Log),
) -> anyhow::Result<Outcome> {
    match command {
        Command::Demo(command) => demo::run(command, world, start_log),
        Command::Serve(command) => serve::run(&command, world, start_log),
        Command::Status(command) => client::wait(status::run(&command, world)),
        Command::Check(command) => client::wait(check::run(&command, world)),
        Command::Statements(command) => client::wait(statements::run(&command, world)),
        Command::Deploy(command) => client::wait(statements::deploy(&command, world)),
        Command::Forecast(command) => forecast::run(&command, world),
        Command::Advise(command) => client::wait(advise::run(&command, world)),
        Command::Explain(command) => client::wait(explain::run(&command, world)),
        Command::Query(command) => client::wait(query::run(&command, world)),
        Command::Vacuum(command) => client::wait(maintain::vacuum(&command, world)),
        Command::Archive(command) => client::wait(maintain::archive(&command, world)),
        Command::Audit(command) => client::wait(maintain::audit(&command, world)),
        Command::Report(command) => client::wait(report::run(&command, world)),
        Command::History(command) => history::run(&command, world),
        Command::Jobs(command) => client::wait(jobs::run(&command, world)),
        Command::Schedules(command) => schedules::run(&command, world),
        Command::Cache(command) => client::wait(cache::run(&command, world)),
        Command::Loadtest(command) => client::wait(loadtest::run(command, world)),
        Command::Backup(command) => backup::run(&command, world),
        Command::Restore(command) => backup::restore(&command, world),
        Command::Config(command) => config::run(&command, world),
    }
}

/// Writes the output; a reader that has seen enough (`| head`) is no failure.
fn write(outcome: &Outcome) -> anyhow::Result<u8> {
    let mut out = io::stdout().lock();
    match out.write_all(&outcome.text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(outcome.code),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples_in_its_help() {
        for command in Cli::command().get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            assert!(
                help.contains("Examples:\n  plimsoll "),
                "{}",
                command.get_name()
            );
        }
    }
}
