//! `plimsoll history`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::{Outcome, World, calls};

/// Write the whole history as JSON lines, or read it into an empty folder
///
/// The server must be stopped: the history has one owner.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll history export --data-dir /var/lib/plimsoll --out history.jsonl
  plimsoll history export --out - | zstd > history.jsonl.zst
  plimsoll history import history.jsonl --data-dir /srv/plimsoll")]
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
}

pub(super) fn run(command: &History, world: &World<'_>) -> anyhow::Result<Outcome> {
    let config = world.load()?;
    match &command.verb {
        Verb::Export { out } => {
            let mut to = writer(out).with_context(|| format!("cannot write {}", out.display()))?;
            calls::history_export(&config, &mut to)?;
            to.flush()?;
        }
        Verb::Import { file } => {
            let mut from =
                reader(file).with_context(|| format!("cannot read {}", file.display()))?;
            calls::history_import(&config, &mut from)?;
        }
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
