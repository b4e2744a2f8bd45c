//! What a report is written as.

use super::{ReportInput, Result, html, json, markdown};

/// What a report is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One self-contained page.
    Html,
    /// The report's values.
    Json,
    /// Text for a ticket or a wiki.
    Markdown,
    /// The portable archive.
    Sqlite,
}

impl Format {
    /// All, with the names used in flags, queries and file names.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("html", Self::Html),
        ("json", Self::Json),
        ("md", Self::Markdown),
        ("sqlite", Self::Sqlite),
    ];

    /// The name used in flags, queries and file names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Json => "json",
            Self::Markdown => "md",
            Self::Sqlite => "sqlite",
        }
    }

    /// The report as text; `None` for the archive, which is a file ([`super::sqlite::write`]).
    ///
    /// # Errors
    /// [`super::Error::Json`] if a number cannot be written.
    pub fn text(self, input: &ReportInput) -> Result<Option<String>> {
        Ok(match self {
            Self::Html => Some(html::page(input)),
            Self::Json => Some(json::write(input)?),
            Self::Markdown => Some(markdown::write(input)),
            Self::Sqlite => None,
        })
    }
}
