//! What each check means, from the same table as its thresholds: a page a check, in the binary.

use std::fmt::Write as _;

use super::{CHECKS, HINTS, thresholds};

/// What is said of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The check's id.
    pub id: String,
    /// What it finds.
    pub title: String,
    /// Why that matters, and what counts as evidence.
    pub why: String,
    /// What mends it.
    pub cure: String,
    /// What it needs: `monitor`, `advisor`, `machine`, `history` or `pooler`.
    pub tier: String,
    /// What it gives without that.
    pub without: String,
    /// Why no SQL mends it, where that is so.
    pub by_hand: Option<String>,
    /// Cases on which it is silent.
    pub quiet: Vec<String>,
    /// Its thresholds, `name = value` each, as in `data/findings.toml`.
    pub thresholds: Vec<String>,
}

/// The compiled-in file as it is.
pub(super) fn tables() -> toml::Table {
    #[expect(
        clippy::expect_used,
        reason = "the text is compiled in and a test reads it"
    )]
    thresholds::TEXT
        .parse()
        .expect("data/findings.toml is TOML")
}

/// All pages, in the order of the checks.
pub fn pages() -> Vec<Page> {
    let tables = tables();
    let checks = CHECKS.iter().chain(&HINTS);
    checks
        .filter_map(|check| page(check.id, tables.get(check.id)?.as_table()?))
        .collect()
}

fn page(id: &str, table: &toml::Table) -> Option<Page> {
    let doc = table.get("doc")?.as_table()?;
    let text = |name: &str| Some(doc.get(name)?.as_str()?.to_owned());
    let values = table.iter().filter(|(name, _)| *name != "doc");
    Some(Page {
        id: id.to_owned(),
        title: text("title")?,
        why: text("why")?,
        cure: text("cure")?,
        tier: text("tier")?,
        without: text("without")?,
        by_hand: text("by_hand"),
        quiet: doc
            .get("quiet")
            .and_then(toml::Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|case| Some(case.as_str()?.to_owned()))
            .collect(),
        thresholds: values
            .map(|(name, value)| format!("{name} = {value}"))
            .collect(),
    })
}

/// Words for what a check needs.
pub fn needs(tier: &str) -> &'static str {
    match tier {
        "advisor" => "pg_monitor and pg_read_all_data",
        "machine" => "the server on this machine, watched",
        "history" => "a history, kept by the running server",
        "pooler" => "the pooler's admin console",
        _ => "pg_monitor",
    }
}

impl Page {
    /// The page as Markdown, its heading of the second level.
    pub fn markdown(&self) -> String {
        let mut text = format!("## `{}`: {}\n\n{}\n\n", self.id, self.title, self.why);
        // Writing to a string cannot go wrong.
        let _ = writeln!(text, "- Cure: {}", self.cure);
        if let Some(by_hand) = &self.by_hand {
            let _ = writeln!(text, "- By hand: {by_hand}");
        }
        let _ = writeln!(text, "- Needs: {}. {}", needs(&self.tier), self.without);
        let _ = writeln!(text, "- Silent on: {}.", self.quiet.join("; "));
        if !self.thresholds.is_empty() {
            let _ = writeln!(text, "- Thresholds: `{}`", self.thresholds.join("`, `"));
        }
        text
    }
}

/// All pages as one document.
pub fn document() -> String {
    let mut text = "# Findings\n\nWhat `plimsoll check` looks for, and why. Made from \
                    `data/findings.toml` by `plimsoll check --explain all`. Ages are in ms, sizes \
                    in bytes, ratios from 0 to 1.\n"
        .to_owned();
    for page in pages() {
        text.push('\n');
        text.push_str(&page.markdown());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_its_page() {
        let pages = pages();
        assert_eq!(pages.len(), CHECKS.len() + HINTS.len());
        let tiers = ["monitor", "advisor", "machine", "history", "pooler"];
        for page in &pages {
            assert!(tiers.contains(&page.tier.as_str()), "{}", page.id);
            for text in [&page.why, &page.cure, &page.without] {
                assert!(text.ends_with('.') && text.len() > 5, "{}: {text}", page.id);
            }
        }
    }

    #[test]
    fn the_document_in_the_repository_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/findings.md");
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(
            kept,
            document(),
            "run `plimsoll check --explain all > docs/findings.md`"
        );
    }
}
