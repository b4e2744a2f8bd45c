//! The summary: one sentence for the whole.
//!
//! For: what a person reads first, and the exit code of `plimsoll check`. Not for: forecasting or
//! finding: it only reads what those said. Pure: the same input gives the same words.

use serde::{Deserialize, Serialize};

use super::headroom::{HeadroomRow, When, countdown, headroom, standing, when_words};
use super::words;
use super::{Reach, ReportInput, TargetReport};
use crate::model::capacity::Resource;
use crate::model::finding::Severity;
use crate::model::units::{Timestamp, counted};

/// How something stands, as an answer to "am I fine?".
///
/// Ordered: the later is the worse. Not knowing stands between fine and a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Nothing to do.
    Fine,
    /// It cannot be said yet.
    Unknown,
    /// To be seen to in working hours.
    Warning,
    /// To be seen to now.
    Critical,
}

impl Standing {
    /// The word that stands beside its colour and sign.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fine => "Fine",
            Self::Unknown => "Not known yet",
            Self::Warning => "Warning",
            Self::Critical => "Critical",
        }
    }
}

impl From<Severity> for Standing {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Fine,
            Severity::Warning => Self::Warning,
            Severity::Critical => Self::Critical,
        }
    }
}

/// The limit that is met first, over all targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NextLimit {
    /// The target's name.
    pub target: String,
    /// Which resource.
    pub resource: Resource,
    /// When.
    pub when: When,
    /// The same as a sentence without its full stop.
    pub sentence: String,
}

/// The answer to "am I fine, what is worst, when do I run out?".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// How the whole stands: the worst of reach, findings, alerts and act-by dates.
    pub standing: Standing,
    /// What is worst, as one sentence without its full stop.
    pub headline: String,
    /// The limit that is met first, if one is in sight.
    pub next_limit: Option<NextLimit>,
    /// Critical findings and alerts.
    pub critical: usize,
    /// Findings and alerts that are warnings.
    pub warnings: usize,
    /// What limits this verdict, one sentence each: made-up history, missing forecasts, no answer.
    pub caveats: Vec<String>,
}

/// Sums up everything.
pub fn verdict(input: &ReportInput) -> Verdict {
    let rows: Vec<HeadroomRow> = rows(input);
    let next_limit = next_limit(input, &rows);
    let of = |severity| input.targets.iter().map(|t| count(t, severity)).sum();
    let mut candidates = Vec::new();
    candidates.extend(
        input
            .targets
            .iter()
            .filter_map(|t| reach_line(t, input.made_at)),
    );
    candidates.extend(rows.iter().filter_map(|row| row_line(row, input)));
    for target in &input.targets {
        candidates.extend(target.alerts.iter().map(|alert| {
            Line {
                standing: alert.severity.into(),
                text: words::one_line(&alert.message, 300)
                    .trim_end_matches('.')
                    .to_owned(),
            }
        }));
    }
    for target in &input.targets {
        candidates.extend(target.findings.iter().map(|finding| {
            Line {
                standing: finding.severity.into(),
                text: words::one_line(&finding.title, 300)
                    .trim_end_matches('.')
                    .to_owned(),
            }
        }));
    }
    // The first of the worst: what does not answer, then dates and alerts, then findings.
    let worst = candidates.into_iter().reduce(|worst, line| {
        if line.standing > worst.standing {
            line
        } else {
            worst
        }
    });
    let (standing, headline) = match worst {
        Some(line) if line.standing >= Standing::Warning => (line.standing, line.text),
        _ => quiet(input, &rows, next_limit.as_ref()),
    };
    Verdict {
        standing,
        headline,
        next_limit,
        critical: of(Severity::Critical),
        warnings: of(Severity::Warning),
        caveats: caveats(input, &rows),
    }
}

/// One row a resource and target, in the order of the input.
pub fn rows(input: &ReportInput) -> Vec<HeadroomRow> {
    let projections = input.targets.iter().flat_map(|t| &t.projections);
    projections
        .map(|projection| HeadroomRow {
            standing: standing(projection, input.made_at),
            ..headroom(projection)
        })
        .collect()
}

struct Line {
    standing: Standing,
    text: String,
}

fn count(target: &TargetReport, severity: Severity) -> usize {
    let findings = target.findings.iter().map(|finding| finding.severity);
    let alerts = target.alerts.iter().map(|alert| alert.severity);
    findings.chain(alerts).filter(|s| *s == severity).count()
}

fn reach_line(target: &TargetReport, now: Timestamp) -> Option<Line> {
    let Reach::Down { since, reason } = &target.reach else {
        return None;
    };
    Some(Line {
        standing: Standing::Critical,
        text: format!(
            "{} has not answered for {}: {}",
            words::one_line(&target.name, 60),
            words::age(*since, now),
            words::one_line(reason, 200)
        ),
    })
}

fn row_line(row: &HeadroomRow, input: &ReportInput) -> Option<Line> {
    if row.standing < Standing::Warning {
        return None;
    }
    let text = limit_sentence(row, input).unwrap_or_else(|| {
        let used = row.utilisation.map_or_else(String::new, |share| {
            format!(": {} of its limit", words::percent(share))
        });
        format!("{} is over its threshold{used}", subject(row, input))
    });
    Some(Line {
        standing: row.standing,
        text,
    })
}

/// The resource, with its target where there is more than one.
fn subject(row: &HeadroomRow, input: &ReportInput) -> String {
    let name = words::resource(row.resource);
    if input.targets.len() > 1 {
        format!("{name} of {}", words::one_line(&row.target, 60))
    } else {
        name.to_owned()
    }
}

fn limit_sentence(row: &HeadroomRow, input: &ReportInput) -> Option<String> {
    let subject = subject(row, input);
    match &row.full {
        When::Crossed => Some(format!("{subject} is at or over its limit")),
        full => {
            countdown(full, input.made_at).map(|left| format!("{subject} reaches its limit {left}"))
        }
    }
}

fn next_limit(input: &ReportInput, rows: &[HeadroomRow]) -> Option<NextLimit> {
    let date = |row: &HeadroomRow| match row.full {
        When::Crossed => Some(i64::MIN),
        When::Expected { p50, .. } => Some(p50.as_millis()),
        _ => None,
    };
    let row = rows
        .iter()
        .filter(|row| date(row).is_some())
        .min_by_key(|row| date(row))?;
    Some(NextLimit {
        target: row.target.clone(),
        resource: row.resource,
        when: row.full,
        sentence: limit_sentence(row, input)?,
    })
}

/// What to say when nothing alarms.
fn quiet(
    input: &ReportInput,
    rows: &[HeadroomRow],
    next: Option<&NextLimit>,
) -> (Standing, String) {
    if input.targets.is_empty() {
        return (Standing::Unknown, "No target is watched yet".into());
    }
    if let Some(next) = next {
        return (Standing::Fine, next.sentence.clone());
    }
    let horizon = rows.iter().filter_map(|row| match row.full {
        When::Unlikely { horizon, .. } => horizon,
        _ => None,
    });
    if let Some(end) = horizon.min() {
        let until = words::long_date(end);
        return (
            Standing::Fine,
            format!("No limit is in sight before {until}"),
        );
    }
    let waiting = rows.iter().find_map(|row| match row.full {
        When::NotEnoughData { .. } => Some(when_words(&row.full)),
        _ => None,
    });
    let reason = waiting.unwrap_or_else(|| "no forecast yet".to_owned());
    let mut letters = reason.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    (
        Standing::Unknown,
        first.into_iter().chain(letters).collect(),
    )
}

fn caveats(input: &ReportInput, rows: &[HeadroomRow]) -> Vec<String> {
    let mut said = Vec::new();
    for target in &input.targets {
        if let Some(span) = target.synthetic() {
            said.push(format!(
                "History of {}, {}, is synthetic: made up for the demo, not recorded. Forecasts \
                 that rest on it show how the program works, not how a server behaves.",
                words::one_line(&target.name, 60),
                words::date_range(span.from, span.until),
            ));
        }
    }
    let without = rows.iter().filter(|row| row.confidence.is_none()).count();
    // Where nothing has one, the headline says so.
    if without > 0 && without < rows.len() {
        let all = counted(rows.len(), "resource");
        said.push(format!("No forecast yet for {without} of {all}."));
    }
    let blind: usize = input.targets.iter().map(|t| t.blind_spots.len()).sum();
    if blind > 0 {
        let things = counted(blind, "thing");
        said.push(format!("{things} could not be read; see the blind spots."));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::units::Millis;
    use crate::report::fixture;

    #[test]
    fn a_critical_finding_is_the_headline_and_the_next_limit_stands_beside_it() {
        let verdict = verdict(&fixture::rich());
        assert_eq!(verdict.standing, Standing::Critical);
        assert!(verdict.headline.starts_with("Transaction ids of orders"));
        assert_eq!((verdict.critical, verdict.warnings), (1, 2));
        let next = verdict.next_limit.unwrap();
        assert_eq!(
            next.sentence,
            "Storage of orders reaches its limit in 47 d (80 %: 39–61 d)"
        );
        assert!(verdict.caveats[0].contains("is synthetic"));
    }

    #[test]
    fn a_near_date_alone_is_a_warning_with_the_date_as_headline() {
        let mut input = fixture::rich();
        input.targets.truncate(1);
        input.targets[0].findings.clear();
        input.targets[0].alerts.clear();
        let verdict = verdict(&input);
        assert_eq!(verdict.standing, Standing::Warning);
        assert_eq!(
            verdict.headline,
            "Storage reaches its limit in 47 d (80 %: 39–61 d)"
        );
    }

    #[test]
    fn two_days_of_history_are_called_too_few() {
        let verdict = verdict(&fixture::fresh());
        assert_eq!(verdict.standing, Standing::Unknown);
        assert_eq!(
            verdict.headline,
            "Not enough data yet: 2 of 14 days, 12 d more needed"
        );
        assert_eq!(verdict.next_limit, None);
    }

    #[test]
    fn far_dates_are_fine_and_still_told() {
        let verdict = verdict(&fixture::calm());
        assert_eq!(verdict.standing, Standing::Fine);
        assert!(
            verdict.headline.starts_with("CPU reaches its limit in"),
            "{}",
            verdict.headline
        );
    }

    #[test]
    fn nothing_watched_is_not_called_fine() {
        let mut input = fixture::rich();
        input.targets.clear();
        assert_eq!(verdict(&input).standing, Standing::Unknown);
    }

    #[test]
    fn a_target_that_does_not_answer_is_worse_than_anything() {
        let mut input = fixture::rich();
        input.targets[1].reach = Reach::Down {
            since: fixture::now().minus(Millis(180_000).as_duration()),
            reason: "connection refused".into(),
        };
        let verdict = verdict(&input);
        assert_eq!(
            verdict.headline,
            "archive has not answered for 3 min: connection refused"
        );
    }
}
