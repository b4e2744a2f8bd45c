//! Findings on a terminal: the worst first, what they rest on, and SQL that can be copied as it is.

use std::fmt::Write as _;

use super::silence;
use super::table::{Paint, Tone, second};
use crate::http::wire::TargetFindings;
use crate::model::finding::{Cure, Finding, Severity};

/// Columns that text is broken at; SQL is never broken.
const WIDTH: usize = 100;
/// Stands under a title.
const INDENT: &str = "            ";

fn tone(severity: Severity) -> (Tone, &'static str) {
    match severity {
        Severity::Critical => (Tone::Critical, "CRITICAL"),
        Severity::Warning => (Tone::Warning, "WARNING "),
        Severity::Info => (Tone::Faint, "INFO    "),
    }
}

/// All that is known of one target.
pub(super) fn shown(target: &TargetFindings, paint: Paint) -> String {
    let mut text = paint.tone(&target.name, Tone::Strong);
    // Writing to a string cannot go wrong.
    match (&target.reason, &target.taken_at) {
        (Some(reason), _) => {
            let _ = writeln!(text, "  {}: {reason}", paint.tone("down", Tone::Critical));
        }
        (None, None) => text.push_str("  has not been looked at yet\n"),
        (None, Some(at)) => {
            let _ = writeln!(text, "  looked at {}{}", second(at), counts(target));
        }
    }
    for alert in &target.alerts {
        let (tone, word) = tone(alert.severity);
        let _ = writeln!(text, "  {}  {}", paint.tone(word, tone), alert.message);
    }
    let mut advised = None;
    for finding in &target.findings {
        // Of several of a kind the first says what to do.
        let said = (finding.id.as_str(), finding.advice.as_str());
        let is_new = advised != Some(said);
        text.push_str(&one(finding, is_new, paint));
        advised = Some(said);
    }
    if target.findings.is_empty() && target.alerts.is_empty() && target.taken_at.is_some() {
        let _ = writeln!(text, "  {}", paint.tone("nothing to mend", Tone::Good));
    }
    text.push_str(&silence::told(&target.silenced));
    for spot in &target.blind_spots {
        let line = format!("cannot see {}: {}", spot.what, spot.why);
        text.push_str(&wrapped(&line, "  ", "    ", (paint, Tone::Plain)));
        // Not broken: it is to be copied.
        let _ = writeln!(text, "    {}", spot.cure);
    }
    text
}

/// `: 2 critical, 1 warning`; nothing where there is nothing.
fn counts(target: &TargetFindings) -> String {
    let of = |severity| {
        let findings = target.findings.iter().map(|finding| finding.severity);
        let alerts = target.alerts.iter().map(|alert| alert.severity);
        findings.chain(alerts).filter(|s| *s == severity).count()
    };
    let told = [
        (of(Severity::Critical), "critical", "critical"),
        (of(Severity::Warning), "warning", "warnings"),
        (of(Severity::Info), "info", "infos"),
    ];
    let parts: Vec<String> = told
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }))
        .collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!(": {}", parts.join(", "))
    }
}

fn one(finding: &Finding, is_advised: bool, paint: Paint) -> String {
    let (tone, word) = tone(finding.severity);
    let mut text = format!(
        "  {}  {} {}\n",
        paint.tone(word, tone),
        finding.title,
        paint.tone(&format!("[{}]", finding.id), Tone::Faint)
    );
    let object = finding.object.as_deref();
    if let Some(object) = object.filter(|object| !finding.title.contains(object)) {
        text.push_str(&wrapped(object, INDENT, INDENT, (paint, Tone::Plain)));
    }
    let evidence: Vec<String> = finding
        .evidence
        .iter()
        .map(|evidence| format!("{} {}", evidence.label, evidence.value))
        .collect();
    let evidence = evidence.join(", ");
    text.push_str(&wrapped(&evidence, INDENT, INDENT, (paint, Tone::Faint)));
    if is_advised {
        text.push_str(&wrapped(
            &finding.advice,
            INDENT,
            INDENT,
            (paint, Tone::Plain),
        ));
    }
    if let Some(cure) = &finding.cure {
        text.push_str(&sql(cure));
    }
    text
}

/// The statements, and above them what they lock, as a comment.
fn sql(cure: &Cure) -> String {
    let lock = match cure.lock.strip_prefix("none") {
        Some(rest) => format!("no lock{rest}"),
        None => cure.lock.clone(),
    };
    let mut text = format!("{INDENT}-- takes {lock}\n");
    for line in cure.sql.lines() {
        let _ = writeln!(text, "{INDENT}{line}");
    }
    text
}

/// Text broken between words; one word longer than a line stays whole.
fn wrapped(text: &str, first: &str, rest: &str, (paint, tone): (Paint, Tone)) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let indent = if lines.is_empty() { first } else { rest };
        let room = WIDTH.saturating_sub(indent.len());
        let is_full = line.chars().count() + 1 + word.chars().count() > room;
        if is_full && !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    let mut out = String::new();
    for (i, line) in lines.iter().enumerate() {
        let indent = if i == 0 { first } else { rest };
        let _ = writeln!(out, "{indent}{}", paint.tone(line, tone));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::Evidence;

    fn finding(object: &str, lock: &str) -> Finding {
        Finding {
            id: "fsync-off".to_owned(),
            severity: Severity::Critical,
            title: "fsync is off".to_owned(),
            object: Some(object.to_owned()),
            evidence: vec![Evidence::new("fsync", "off")],
            advice: "Switch it on: ".to_owned() + &"a power cut destroys all ".repeat(9),
            cure: Some(Cure {
                sql: "ALTER SYSTEM SET fsync = on;\nSELECT pg_reload_conf();".to_owned(),
                lock: lock.to_owned(),
            }),
        }
    }

    fn drawn(findings: Vec<Finding>) -> String {
        let target = TargetFindings {
            name: "t".to_owned(),
            state: "up".to_owned(),
            reason: None,
            taken_at: Some("2026-05-01T12:00:00Z".to_owned()),
            findings,
            silenced: Vec::new(),
            alerts: Vec::new(),
            blind_spots: Vec::new(),
        };
        shown(&target, Paint::new(false))
    }

    #[test]
    fn a_finding_has_its_id_and_sql_that_can_be_copied() {
        let text = drawn(vec![finding("fsync", "none; then a restart")]);
        assert!(text.starts_with("t  looked at 2026-05-01 12:00:00 UTC: 1 critical\n"));
        assert!(
            text.contains("  CRITICAL  fsync is off [fsync-off]\n"),
            "{text}"
        );
        let sql = "            -- takes no lock; then a restart\n            ALTER SYSTEM SET fsync \
                   = on;\n            SELECT pg_reload_conf();\n";
        assert!(text.ends_with(sql), "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
    }

    #[test]
    fn advice_is_given_once_and_an_object_that_the_title_names_is_not_told_again() {
        let text = drawn(vec![finding("fsync", "none"), finding("other", "none")]);
        assert_eq!(text.matches("Switch it on").count(), 1);
        assert!(text.contains("\n            other\n") && !text.contains("\n            fsync\n"));
    }
}
