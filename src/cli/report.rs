//! `plimsoll report`.

use std::ffi::OsStr;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use super::client::Client;
use super::{Outcome, World, calls};
use crate::report::Format;

/// Write the capacity report: one page that opens without network, or the archive of it
///
/// From the running server's history, or from an archive (.sqlite) on any machine. The server makes
/// reports by itself when a schedule says so, into reports/ of its data folder.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll report --out capacity.html
  plimsoll report --out archive.sqlite
  plimsoll report --from archive.sqlite --out capacity.html
  plimsoll report --out - --format md | less
  plimsoll schedules add weekly --queue plimsoll --job report --cron '0 7 * * MON'")]
pub(super) struct Report {
    /// File to write; - for standard output
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What to write; default: by the ending of --out, else html
    #[arg(long, value_enum)]
    format: Option<Kind>,
    /// Archive to read, in place of the running server
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// One self-contained page
    Html,
    /// The report's values
    Json,
    /// Markdown
    Md,
    /// The portable archive
    Sqlite,
}

impl From<Kind> for Format {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Html => Self::Html,
            Kind::Json => Self::Json,
            Kind::Md => Self::Markdown,
            Kind::Sqlite => Self::Sqlite,
        }
    }
}

pub(super) async fn run(command: &Report, world: &World<'_>) -> anyhow::Result<Outcome> {
    let format = match command.format {
        Some(kind) => kind.into(),
        None => format_of(&command.out),
    };
    let to_stdout = command.out.as_os_str() == "-";
    if to_stdout && format == Format::Sqlite && std::io::stdout().is_terminal() {
        bail!("an archive is no text; name a file with --out");
    }
    let body = if let Some(archive) = &command.from {
        calls::report_from(archive, format)?
    } else {
        let config = world.load()?;
        let path = format!("/local/report?format={}", format.name());
        Client::new(&config.socket()).get(&path).await?.to_vec()
    };
    if to_stdout {
        return Ok(Outcome::done(body));
    }
    write_whole(&command.out, &body)
        .with_context(|| format!("cannot write {}", command.out.display()))?;
    Ok(Outcome::done(format!(
        "wrote {} ({} bytes)\n",
        command.out.display(),
        body.len()
    )))
}

pub(super) fn format_of(path: &Path) -> Format {
    match path.extension().and_then(OsStr::to_str) {
        Some("json") => Format::Json,
        Some("md") => Format::Markdown,
        Some("sqlite" | "db") => Format::Sqlite,
        _ => Format::Html,
    }
}

/// Writes beside the file and renames, so that an older report stays whole until the new one is.
pub(super) fn write_whole(path: &Path, body: &[u8]) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let draft = PathBuf::from(name);
    let mut file = std::fs::File::create(&draft)?;
    let written = file
        .write_all(body)
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&draft, path));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&draft);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_says_the_format() {
        for (path, format) in [
            ("a.html", Format::Html),
            ("a.md", Format::Markdown),
            ("a.json", Format::Json),
            ("a.sqlite", Format::Sqlite),
            ("-", Format::Html),
        ] {
            assert_eq!(format_of(Path::new(path)), format, "{path}");
        }
    }

    #[test]
    fn a_report_replaces_the_old_one_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.html");
        write_whole(&path, b"old").unwrap();
        write_whole(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_whole(&folder.path().join("no/r.html"), b"x").is_err());
    }
}
