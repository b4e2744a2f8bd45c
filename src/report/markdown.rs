//! The report as Markdown, for tickets and wikis.
//!
//! For: what a person pastes and edits. Not for: charts (`html`). Names from outside are escaped so
//! that no table, link or markup comes of them.

use std::fmt::Write as _;

use super::headroom::{HeadroomRow, when_words};
use super::verdict::{rows, verdict};
use super::{ReportInput, TargetReport};
use super::{review, words};
use crate::model::finding::{Evidence, Finding, Severity};
use crate::report::verdict::Standing;

/// Writes the whole report.
pub fn write(input: &ReportInput) -> String {
    let verdict = verdict(input);
    let mut out = format!(
        "# Capacity report, {}\n\n**{}: {}.**\n\n",
        words::instant(input.made_at),
        verdict.standing.word(),
        plain(&verdict.headline)
    );
    if let Some(next) = &verdict.next_limit
        && next.sentence != verdict.headline
    {
        let _ = writeln!(out, "{}.\n", plain(&next.sentence));
    }
    for caveat in &verdict.caveats {
        let _ = writeln!(out, "- {}", plain(caveat));
    }
    if !verdict.caveats.is_empty() {
        out.push('\n');
    }
    for target in &input.targets {
        one_target(&mut out, target, input);
    }
    let _ = writeln!(
        out,
        "---\n\nMade by {}. Dates are when half of the simulated paths have crossed, with the 80 % \
         interval; all times are UTC, 1 kB is 1024 bytes.",
        plain(&input.generator)
    );
    out
}

fn one_target(out: &mut String, target: &TargetReport, input: &ReportInput) {
    let _ = writeln!(out, "## {}\n", plain(&target.name));
    let own = rows(input)
        .into_iter()
        .filter(|row| row.target == target.name);
    headroom(out, &own.collect::<Vec<_>>());
    reviews(out, target);
    if !target.findings.is_empty() {
        out.push_str("### Findings\n\n");
        for finding in &target.findings {
            one_finding(out, finding);
        }
    }
    if !target.silenced.is_empty() {
        let _ = writeln!(out, "{} findings are silenced.\n", target.silenced.len());
    }
    if !target.bottlenecks.is_empty() {
        out.push_str("### Bottlenecks\n\n");
        for bottleneck in &target.bottlenecks {
            let _ = writeln!(
                out,
                "- **{}**: {}. {}. {}.",
                plain(&bottleneck.component),
                sentence(&bottleneck.description),
                sentence(&bottleneck.impact),
                sentence(&bottleneck.recommendation)
            );
            evidence(out, &bottleneck.evidence, "  ");
        }
        out.push('\n');
    }
    coverage(out, target);
}

fn headroom(out: &mut String, rows: &[HeadroomRow]) {
    if rows.is_empty() {
        out.push_str("No resource is projected yet.\n\n");
        return;
    }
    out.push_str(
        "| Resource | Now | Limit | Used | Warning | Critical | Limit reached | Act by | \
         Confidence | Action |\n|---|---:|---:|---:|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let unit = row.resource.unit();
        let amount = |value: Option<f64>| {
            value.map_or_else(|| "–".to_owned(), |value| words::quantity(value, unit))
        };
        let made_up = if row.synthetic { " (synthetic)" } else { "" };
        let _ = writeln!(
            out,
            "| {}{made_up} | {} | {} | {} | {} | {} | {} | {} | {} | {}: {} |",
            words::resource(row.resource),
            amount(row.usage),
            amount(row.limit),
            row.utilisation
                .map_or_else(|| "–".to_owned(), words::percent),
            when_words(&row.warn),
            when_words(&row.critical),
            when_words(&row.full),
            row.act_by.map_or_else(|| "–".to_owned(), words::long_date),
            row.confidence
                .map_or("–", crate::model::capacity::Trust::word),
            row.standing.word(),
            plain(&row.action)
        );
    }
    out.push('\n');
}

fn reviews(out: &mut String, target: &TargetReport) {
    let due = review::due(&target.reviews);
    if due.is_empty() {
        return;
    }
    out.push_str("### Forecast against actual\n\n| Resource |");
    for head in review::HEADS {
        let _ = write!(out, " {head} |");
    }
    out.push_str("\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---|\n");
    for review in due {
        for lead in &review.leads {
            let name = words::resource(review.resource);
            let cells = review::cells(lead, review.resource.unit());
            let _ = writeln!(out, "| {name} | {} |", cells.join(" | "));
        }
    }
    out.push('\n');
    for review in review::due(&target.reviews) {
        let name = words::resource(review.resource);
        let _ = writeln!(out, "- {name}: {}", plain(&review::sentence(review)));
    }
    out.push('\n');
}

fn one_finding(out: &mut String, finding: &Finding) {
    let word = match finding.severity {
        Severity::Info => "Note",
        severity => Standing::from(severity).word(),
    };
    let _ = writeln!(out, "#### {word}: {}\n", plain(&finding.title));
    if let Some(object) = &finding.object {
        let _ = writeln!(out, "{}\n", code(object));
    }
    evidence(out, &finding.evidence, "");
    let _ = writeln!(out, "\n{}\n", plain(&finding.advice));
    if let Some(cure) = &finding.cure {
        let fence = "`".repeat(longest_run(&cure.sql).max(2) + 1);
        let lock = plain(&cure.lock);
        let _ = writeln!(
            out,
            "{fence}sql\n{}\n{fence}\n\nStrongest lock: {lock}\n",
            cure.sql
        );
    }
}

fn evidence(out: &mut String, evidence: &[Evidence], indent: &str) {
    for fact in evidence {
        let _ = writeln!(
            out,
            "{indent}- {}: {}",
            code(&fact.label),
            plain(&fact.value)
        );
    }
}

fn coverage(out: &mut String, target: &TargetReport) {
    out.push_str("### Data coverage\n\n");
    match (target.data.from, target.data.until) {
        (Some(from), Some(until)) => {
            let _ = writeln!(
                out,
                "{} samples of {} series, from {} to {}.",
                words::count(target.data.samples),
                words::count(target.data.series),
                words::instant(from),
                words::instant(until)
            );
        }
        _ => out.push_str("Nothing is recorded yet.\n"),
    }
    for spot in &target.blind_spots {
        let (why, cure) = (sentence(&spot.why), sentence(&spot.cure));
        let _ = writeln!(
            out,
            "\n- Not seen: {}. {why}. Cure: {cure}.",
            plain(&spot.what)
        );
    }
    out.push('\n');
}

/// One line in which nothing is markup.
fn plain(text: &str) -> String {
    let mut safe = String::new();
    for c in words::one_line(text, 1_000).chars() {
        if matches!(
            c,
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '~'
        ) {
            safe.push('\\');
        }
        safe.push(c);
    }
    safe
}

fn sentence(text: &str) -> String {
    plain(text.trim_end().trim_end_matches('.'))
}

/// A code span with a fence longer than any inside; a pipe would still end a table's cell.
fn code(text: &str) -> String {
    let line = words::one_line(text, 300);
    let fence = "`".repeat(longest_run(&line) + 1);
    if fence.len() > 1 {
        format!("{fence} {line} {fence}")
    } else {
        format!("`{line}`")
    }
}

/// The longest run of backticks.
fn longest_run(text: &str) -> usize {
    let runs = text.split(|c| c != '`').map(str::len);
    runs.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_report_reads_as_agreed() {
        insta::assert_snapshot!(write(&fixture::rich()));
    }

    #[test]
    fn names_make_no_markup() {
        assert_eq!(plain("a|b <i> `x`"), "a\\|b \\<i\\> \\`x\\`");
        assert_eq!(code("a``b"), "``` a``b ```");
        let page = write(&fixture::rich());
        assert!(!page.contains("\n<script>") && page.contains("Robert"));
    }

    #[test]
    fn sql_cannot_leave_its_fence() {
        let mut input = fixture::rich();
        let cure = input.targets[0].findings[0].cure.as_mut().unwrap();
        cure.sql = "SELECT 1;\n```\n# owned".into();
        assert!(write(&input).contains("````sql\nSELECT 1;\n```\n# owned\n````"));
    }
}
