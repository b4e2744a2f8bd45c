//! `plimsoll backup` and `plimsoll restore`.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, IsTerminal as _, Write};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;

use super::client::{self, Client};
use super::{Outcome, World};
use crate::config::Config;
use crate::store::{self, Store};
use crate::work::store_options;

/// Bytes between two lines of progress.
const TELL_EVERY: u64 = 64 << 20;

/// Write the whole history into one file, while the server runs or not
///
/// Everything acknowledged before the command started is in it. The file is there only when it is
/// whole, checked and on the disk.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll backup --out /backup/monday.plimsoll
  plimsoll backup --data-dir /var/lib/plimsoll --out monday.plimsoll")]
pub(super) struct Backup {
    /// File to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Read a backup into an empty data folder
///
/// A file that is cut off, changed or something else is refused, and the folder stays empty.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll restore monday.plimsoll --data-dir /var/lib/plimsoll-new
  plimsoll serve --data-dir /var/lib/plimsoll-new")]
pub(super) struct Restore {
    /// File that `plimsoll backup` wrote
    file: PathBuf,
}

pub(super) fn run(command: &Backup, world: &World<'_>) -> anyhow::Result<Outcome> {
    let config = world.load()?;
    let out = &command.out;
    let done = store::write_whole(out, |file| -> anyhow::Result<store::Backup> {
        if client::answers(&config) {
            let mut to = Counted {
                to: BufWriter::new(&mut *file),
                bytes: 0,
                progress: Progress::new("received"),
            };
            let client = Client::new(&config.socket());
            let copied = client.download("/local/backup", &mut to);
            client::wait(copied).context("the server's log says more")?;
            to.flush()?;
        } else {
            need_store(&config)?;
            let store = Store::open(store_options(&config))?;
            let mut to = BufWriter::new(&mut *file);
            let mut progress = Progress::new("packed");
            store.backup(&mut to, |done| progress.tell(done.bytes.0))?;
            to.flush()?;
        }
        // What cannot be read back is no backup.
        Ok(store::check_backup(file)?)
    })?;
    let (shown, size) = (out.display(), done.file_bytes);
    Ok(Outcome::done(format!(
        "wrote {shown}: {size}, {} entries\n",
        done.entries
    )))
}

pub(super) fn restore(command: &Restore, world: &World<'_>) -> anyhow::Result<Outcome> {
    let config = world.load()?;
    let dir = &config.data_dir;
    let shown = command.file.display();
    let file = File::open(&command.file).with_context(|| format!("cannot read {shown}"))?;
    let mut progress = Progress::new("restored");
    let mut from = BufReader::new(file);
    let done = store::restore(dir, &mut from, |done| progress.tell(done.bytes.0))?;
    Ok(Outcome::done(format!(
        "restored {} entries into {}; start with plimsoll serve --data-dir {}\n",
        done.entries,
        dir.display(),
        dir.display()
    )))
}

/// A backup of a folder without a store would make one there.
fn need_store(config: &Config) -> anyhow::Result<()> {
    let dir = &config.data_dir;
    if !dir.join("FORMAT").exists() {
        bail!(
            "{} holds no store; name its folder with --data-dir",
            dir.display()
        );
    }
    Ok(())
}

/// Writes on and tells how much it was.
struct Counted<W> {
    to: W,
    bytes: u64,
    progress: Progress,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.bytes += written as u64;
        self.progress.tell(self.bytes);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Tells how far it is, on standard error.
struct Progress {
    what: &'static str,
    told: u64,
}

impl Progress {
    fn new(what: &'static str) -> Self {
        Self { what, told: 0 }
    }

    fn tell(&mut self, bytes: u64) {
        let is_shown = io::stderr().is_terminal();
        if bytes < self.told + if is_shown { 1 << 20 } else { TELL_EVERY } {
            return;
        }
        self.told = bytes;
        let end = if is_shown { "\x1b[K\r" } else { "\n" };
        // A closed standard error is no reason to stop.
        let _ = write!(io::stderr(), "{} {} MB{end}", self.what, bytes >> 20);
    }
}
