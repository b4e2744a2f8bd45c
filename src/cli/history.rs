//! `plimsoll history`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::output::Format;
use super::{Outcome, World, calls, soundness};

/// Check and repair the history, write it as JSON lines, or read such lines
///
/// The server must be stopped, but not for `verify`: the history has one owner.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll history export --data-dir /var/lib/plimsoll --out history.jsonl
  plimsoll history export --out - | zstd > history.jsonl.zst
  plimsoll history import history.jsonl --data-dir /srv/plimsoll
  plimsoll history verify --data-dir /var/lib/plimsoll
  plimsoll history repair --data-dir /var/lib/plimsoll --out /srv/repaired")]
pub(super) struct History {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Clone, Subcommand)]
enum Verb {
    /// Write everything as JSON lines
    #[command(after_help = "Examples:\n  plimsoll history export --out history.jsonl")]
    Export {
        /// File to write; - for standard output
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Read JSON lines into an empty data folder
    #[command(after_help = "Examples:\n  plimsoll history import history.jsonl --data-dir new")]
    Import {
        /// File to read; - for standard input
        file: PathBuf,
    },
    /// Read every key, value and log frame, and say what does not read; nothing is written
    ///
    /// Asks the server that has the history open, or reads the folder of a stopped one. Exits 0
    /// when all is sound, 1 with problems, 3 when it could not look.
    #[command(
        after_help = "Examples:\n  plimsoll history verify\n  plimsoll history verify --data-dir /var/lib/plimsoll --format json"
    )]
    Verify {
        /// How to show it
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Copy everything that still reads into a new folder, and say what is lost
    ///
    /// The data folder is only read. Exits 0 when nothing is lost, 1 when something is.
    #[command(
        after_help = "Examples:\n  plimsoll history repair --data-dir /var/lib/plimsoll --out /srv/repaired"
    )]
    Repair {
        /// New folder
        #[arg(long, value_name = "NEWDIR")]
        out: PathBuf,
        /// How to show it
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

impl History {
    /// Whether it only looks, so that "could not look" is an answer of its own.
    pub(super) fn is_a_look(&self) -> bool {
        matches!(self.verb, Verb::Verify { .. })
    }
}

pub(super) fn run(command: &History, world: &World<'_>) -> anyhow::Result<Outcome> {
    match &command.verb {
        Verb::Export { out } => {
            let config = world.load()?;
            let mut to = writer(out).with_context(|| format!("cannot write {}", out.display()))?;
            calls::history_export(&config, &mut to)?;
            to.flush()?;
        }
        Verb::Import { file } => {
            let config = world.load()?;
            let mut from =
                reader(file).with_context(|| format!("cannot read {}", file.display()))?;
            calls::history_import(&config, &mut from)?;
        }
        Verb::Verify { format } => return soundness::verify(*format, world),
        Verb::Repair { out, format } => return soundness::repair(out, *format, world),
    }
    Ok(Outcome::done(""))
}

fn writer(path: &Path) -> io::Result<Box<dyn Write>> {
    Ok(if path.as_os_str() == "-" {
        Box::new(BufWriter::new(io::stdout()))
    } else {
        Box::new(BufWriter::new(File::create(path)?))
    })
}

fn reader(path: &Path) -> io::Result<Box<dyn BufRead>> {
    Ok(if path.as_os_str() == "-" {
        Box::new(BufReader::new(io::stdin()))
    } else {
        Box::new(BufReader::new(File::open(path)?))
    })
}
