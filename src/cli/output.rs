//! How a command shows what it found.

use std::io::{self, Write as _};

use clap::ValueEnum;
use serde::Serialize;

/// For people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Format {
    /// Aligned tables
    #[default]
    Text,
    /// JSON
    Json,
}

/// `value` as indented JSON with a line end.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// Replaces the last line of standard error, a terminal.
pub(super) fn line(text: &str) {
    // A closed standard error is no reason to stop.
    let _ = write!(io::stderr(), "\r{text}\x1b[K");
    let _ = io::stderr().flush();
}
