//! The summary: one sentence for the whole, one row for each resource.
//!
//! For: what a person reads first, and the exit code of `plimsoll check`. Not for: forecasting or
//! finding: it only reads what those said. Pure: the same input gives the same words.
//!
//! Dates come from the crossings of a forecast. The 10 % and 90 % times are called its 80 %
//! interval. *Act by* is the early end of the limit's interval less the time that a remedy takes.

use serde::{Deserialize, Serialize};

use super::words;
use super::{Reach, ReportInput, TargetReport};
use crate::model::capacity::{Backtest, Crossing, Estimate, Forecast, LimitOrigin, Outlook};
use crate::model::capacity::{Projection, Resource};
use crate::model::finding::Severity;
use crate::model::units::{Millis, Timestamp};

/// An act-by date nearer than this many days is a warning; one that has passed is critical.
const SOON_DAYS: f64 = 30.0;

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

/// How far a forecast may be trusted, from how it did on this series' own past.
///
/// - `High`: at least 5 origins, at least 70 % of values fell into the 80 % band, and the mean
///   absolute error was at most 0.9 of the seasonal naive forecast's.
/// - `Medium`: at least 3 origins, at least 60 % in the band, and at most 1.1 of that error.
/// - `Low`: everything else, and every forecast that rests on made-up history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// Take the date as a hint.
    Low,
    /// Plan with the interval, not with the date.
    Medium,
    /// Plan with it.
    High,
}

impl Confidence {
    /// The word for tables.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// Reads the word off a back-test, by the rule above.
    pub fn of(backtest: &Backtest) -> Self {
        let passes = |origins, coverage, error| {
            backtest.origins >= origins
                && backtest.coverage_p80 >= coverage
                && backtest.relative_mae <= error
        };
        if passes(5, 0.70, 0.9) {
            Self::High
        } else if passes(3, 0.60, 1.1) {
            Self::Medium
        } else {
            Self::Low
        }
    }
}

/// When a resource reaches a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "when")]
pub enum When {
    /// It is at or over it already.
    Crossed,
    /// More likely than not within the horizon.
    Expected {
        /// Early end of the 80 % interval.
        p10: Timestamp,
        /// Median.
        p50: Timestamp,
        /// Late end; `None` is beyond the horizon.
        p90: Option<Timestamp>,
    },
    /// Less likely than not within the horizon.
    #[serde(rename_all = "camelCase")]
    Unlikely {
        /// Probability within the horizon.
        probability: f64,
        /// The early end, where at least one path in ten gets there.
        p10: Option<Timestamp>,
        /// Where the forecast ends.
        horizon: Option<Timestamp>,
    },
    /// Too little history to say.
    #[serde(rename_all = "camelCase")]
    NotEnoughData {
        /// Days that hold values.
        have_days: f64,
        /// Days needed.
        need_days: f64,
    },
    /// Nothing says what the limit is.
    NoLimit,
    /// The usage cannot be measured here.
    NotMeasured,
    /// No forecast was asked to look for it.
    NotForecast,
}

/// One resource of one target in one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeadroomRow {
    /// The target's name.
    pub target: String,
    /// Which resource.
    pub resource: Resource,
    /// Last measured usage, in the resource's unit.
    pub usage: Option<f64>,
    /// The limit, in the same unit.
    pub limit: Option<f64>,
    /// Where the limit comes from, in words.
    pub limit_origin: Option<String>,
    /// Usage over limit.
    pub utilisation: Option<f64>,
    /// Change per month as a share of the level.
    pub growth_per_month: Option<Estimate>,
    /// When it reaches the warning threshold.
    pub warn: When,
    /// When it reaches the critical threshold.
    pub critical: When,
    /// When it reaches the limit.
    pub full: When,
    /// By when to have begun; `None` where no date is in sight.
    pub act_by: Option<Timestamp>,
    /// How it stands.
    pub standing: Standing,
    /// What to do, in words.
    pub action: String,
    /// How far the dates may be trusted; `None` without a forecast.
    pub confidence: Option<Confidence>,
    /// Part of the history is made up.
    pub synthetic: bool,
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
    for target in &input.targets {
        candidates.extend(reach_line(target, input.made_at));
        candidates.extend(target.findings.iter().map(|finding| Line {
            standing: finding.severity.into(),
            text: finding.title.trim_end_matches('.').to_owned(),
        }));
    }
    candidates.extend(rows.iter().filter_map(|row| row_line(row, input)));
    for target in &input.targets {
        candidates.extend(target.alerts.iter().map(|alert| Line {
            standing: alert.severity.into(),
            text: alert.message.trim_end_matches('.').to_owned(),
        }));
    }
    // The first of the worst: what does not answer, then findings, dates and alerts.
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

/// Sums up one resource, as of the time that its forecast was made.
pub fn headroom(projection: &Projection) -> HeadroomRow {
    let limit = projection.limit.as_ref();
    let forecast = forecast(projection);
    let utilisation = projection
        .usage
        .zip(limit)
        .map(|(usage, limit)| usage / limit.value)
        .filter(|share| share.is_finite());
    let full = when(projection, "limit");
    let standing = standing(projection, projection.made_at);
    HeadroomRow {
        target: projection.target.clone(),
        resource: projection.resource,
        usage: projection.usage,
        limit: limit.map(|limit| limit.value),
        limit_origin: limit.map(|limit| match &limit.origin {
            LimitOrigin::Measured(from) => format!("measured: {from}"),
            LimitOrigin::Configured(key) => format!("configured: {key}"),
        }),
        utilisation,
        growth_per_month: forecast.and_then(|forecast| forecast.growth_per_month),
        warn: when(projection, "warn"),
        critical: when(projection, "critical"),
        full,
        act_by: act_by(projection.resource, &full),
        standing,
        action: action(projection, &full, standing),
        confidence: forecast.map(|forecast| match projection.synthetic {
            Some(_) => Confidence::Low,
            None => Confidence::of(&forecast.backtest),
        }),
        synthetic: projection.synthetic.is_some(),
    }
}

/// The forecast of a projection, where it has one.
pub(crate) fn forecast(projection: &Projection) -> Option<&Forecast> {
    match &projection.outlook {
        Some(Outlook::Forecast(forecast)) => Some(forecast),
        _ => None,
    }
}

/// A threshold's date and interval in words: `19 Jun 2026 (80 %: 11 Jun 2026 – 3 Jul 2026)`.
pub(crate) fn when_words(when: &When) -> String {
    match when {
        When::Crossed => "already reached".to_owned(),
        When::Expected { p10, p50, p90 } => {
            let late = p90.map_or_else(|| "beyond the horizon".to_owned(), words::date);
            let (early, middle) = (words::date(*p10), words::date(*p50));
            format!("{middle} (80 %: {early} – {late})")
        }
        When::Unlikely {
            probability,
            horizon,
            ..
        } => match horizon {
            Some(end) if *probability < 0.01 => format!("not before {}", words::date(*end)),
            Some(end) => {
                let chance = words::percent(*probability);
                format!("{chance} chance before {}", words::date(*end))
            }
            None => "not in sight".to_owned(),
        },
        When::NotEnoughData {
            have_days,
            need_days,
        } => format!("not enough data yet: {have_days:.0} of {need_days:.0} days"),
        When::NoLimit => "no limit known".to_owned(),
        When::NotMeasured => "not measured".to_owned(),
        When::NotForecast => "no forecast yet".to_owned(),
    }
}

/// `in 47 d (80 %: 39–61 d)`, counted from `now`; `None` where no date is expected.
pub(crate) fn countdown(when: &When, now: Timestamp) -> Option<String> {
    let When::Expected { p10, p50, p90 } = when else {
        return None;
    };
    let left = |at: &Timestamp| words::days_between(now, *at).max(0.0);
    let middle = words::days(left(p50));
    let early = left(p10);
    Some(match p90 {
        None => format!("in {middle} (80 %: {} or later)", words::days(early)),
        Some(p90) if left(p90) <= 730.0 => {
            format!("in {middle} (80 %: {early:.0}–{})", words::days(left(p90)))
        }
        Some(p90) => {
            let late = words::days(left(p90));
            format!("in {middle} (80 %: {} – {late})", words::days(early))
        }
    })
}

fn when(projection: &Projection, name: &str) -> When {
    if projection.usage.is_none() && projection.outlook.is_none() {
        return When::NotMeasured;
    }
    if projection.limit.is_none() {
        return When::NoLimit;
    }
    match &projection.outlook {
        Some(Outlook::NotEnoughData {
            have_days,
            need_days,
        }) => When::NotEnoughData {
            have_days: *have_days,
            need_days: *need_days,
        },
        Some(Outlook::Forecast(forecast)) => forecast
            .crossings
            .iter()
            .find(|crossing| crossing.name == name)
            .map_or(When::NotForecast, |crossing| met(crossing, forecast)),
        None => When::NotForecast,
    }
}

fn met(crossing: &Crossing, forecast: &Forecast) -> When {
    match (crossing.crossed, crossing.p10, crossing.p50) {
        (true, ..) => When::Crossed,
        (_, early, Some(p50)) => When::Expected {
            p10: early.unwrap_or(p50),
            p50,
            p90: crossing.p90,
        },
        (_, p10, None) => When::Unlikely {
            probability: crossing.probability,
            p10,
            horizon: forecast.points.last().map(|point| point.at),
        },
    }
}

/// How long a remedy takes from the decision on: a setting and a restart, a larger volume, a
/// larger machine. Deliberately generous; the date is for a calendar, not for an alarm.
const fn lead_days(resource: Resource) -> u64 {
    match resource {
        Resource::Connections => 7,
        Resource::Storage | Resource::Database => 14,
        Resource::Cpu | Resource::Memory | Resource::Bandwidth => 30,
    }
}

fn act_by(resource: Resource, full: &When) -> Option<Timestamp> {
    let early = match full {
        When::Expected { p10, .. } => *p10,
        When::Unlikely { p10, .. } => (*p10)?,
        _ => return None,
    };
    Some(early.minus(Millis(lead_days(resource) * Millis::DAY.0).as_duration()))
}

fn standing(projection: &Projection, now: Timestamp) -> Standing {
    let full = when(projection, "limit");
    let by_date = match (&full, act_by(projection.resource, &full)) {
        (When::Crossed, _) => Standing::Critical,
        // An unlikely date is shown, but it alarms nobody.
        (When::Expected { .. }, Some(by)) => match words::days_between(now, by) {
            left if left <= 0.0 => Standing::Critical,
            left if left <= SOON_DAYS => Standing::Warning,
            _ => Standing::Fine,
        },
        (When::NotEnoughData { .. } | When::NotForecast | When::NoLimit, _) => Standing::Unknown,
        (When::NotMeasured, _) => Standing::Unknown,
        _ => Standing::Fine,
    };
    let by_level = if when(projection, "critical") == When::Crossed {
        Standing::Critical
    } else if when(projection, "warn") == When::Crossed {
        Standing::Warning
    } else {
        Standing::Fine
    };
    by_date.max(by_level)
}

fn action(projection: &Projection, full: &When, standing: Standing) -> String {
    let resource = projection.resource;
    match full {
        When::NotMeasured => "Watch the host too, or name its figures in the configuration".into(),
        When::NoLimit => format!("Set limits.{resource} in the configuration"),
        When::NotEnoughData {
            have_days,
            need_days,
        } => {
            let wait = (need_days - have_days).max(0.0).ceil();
            format!("Keep recording: a forecast comes in {}", words::days(wait))
        }
        When::NotForecast => "Wait for the first forecast".into(),
        _ if standing >= Standing::Warning => remedy(resource).into(),
        When::Expected { .. } => format!("Plan: {}", lower_first(remedy(resource))),
        _ => "Nothing to do".into(),
    }
}

const fn remedy(resource: Resource) -> &'static str {
    match resource {
        Resource::Cpu => "Mend the costliest statements first, then add cores",
        Resource::Memory => "Lower work_mem or connections, or add memory",
        Resource::Storage => "Enlarge the volume, or archive and drop old rows",
        Resource::Bandwidth => "Return fewer rows and columns, or take a faster network",
        Resource::Database => "Archive old rows, drop unused indexes, or raise the limit",
        Resource::Connections => "Put a pooler in front, or raise max_connections",
    }
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
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
        When::Crossed => Some(format!("{subject} is at its limit")),
        full => countdown(full, input.made_at)
            .map(|left| format!("{subject} reaches its limit {left}")),
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
        return (Standing::Fine, format!("No limit is in sight before {until}"));
    }
    let waiting = rows.iter().find_map(|row| match row.full {
        When::NotEnoughData { .. } => Some(when_words(&row.full)),
        _ => None,
    });
    let reason = waiting.unwrap_or_else(|| "no forecast yet".to_owned());
    let mut letters = reason.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    (Standing::Unknown, first.into_iter().chain(letters).collect())
}

fn caveats(input: &ReportInput, rows: &[HeadroomRow]) -> Vec<String> {
    let mut said = Vec::new();
    for target in &input.targets {
        if let Some(span) = target.synthetic() {
            said.push(format!(
                "The history of {} from {} to {} is synthetic: made up for the demo, not recorded. \
                 Forecasts that rest on it show how the program works, not how a server behaves.",
                words::one_line(&target.name, 60),
                words::date(span.from),
                words::date(span.until),
            ));
        }
    }
    let without = rows.iter().filter(|row| row.confidence.is_none()).count();
    if without > 0 {
        let all = words::plural(rows.len(), "resource");
        said.push(format!("{without} of {all} have no forecast yet."));
    }
    let blind: usize = input.targets.iter().map(|t| t.blind_spots.len()).sum();
    if blind > 0 {
        let things = words::plural(blind, "thing");
        said.push(format!("{things} could not be read; see the blind spots."));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
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
        assert_eq!(verdict.headline, "Not enough data yet: 2 of 14 days");
        assert_eq!(verdict.next_limit, None);
    }

    #[test]
    fn far_dates_are_fine_and_still_told() {
        let verdict = verdict(&fixture::calm());
        assert_eq!(verdict.standing, Standing::Fine);
        assert!(verdict.headline.starts_with("CPU reaches its limit in"), "{}", verdict.headline);
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

    #[test]
    fn act_by_is_the_early_end_less_the_time_of_the_remedy() {
        let input = fixture::rich();
        let row = headroom(&input.targets[0].projections[2]);
        let When::Expected { p10, .. } = row.full else {
            panic!("{:?}", row.full)
        };
        let left = words::days_between(row.act_by.unwrap(), p10);
        assert!((left - 14.0).abs() < 1e-9);
        assert_eq!(row.standing, Standing::Warning);
    }

    #[test]
    fn made_up_history_never_gives_high_confidence() {
        let input = fixture::rich();
        let rows = rows(&input);
        let confidence = |resource| {
            let row = rows.iter().find(|row| row.resource == resource);
            row.and_then(|row| row.confidence)
        };
        assert_eq!(confidence(Resource::Storage), Some(Confidence::High));
        assert_eq!(confidence(Resource::Database), Some(Confidence::Low));
    }

    #[test]
    fn what_is_not_known_is_said_by_its_reason() {
        let mut projection = fixture::rich().targets[0].projections[0].clone();
        projection.limit = None;
        assert_eq!(headroom(&projection).full, When::NoLimit);
        projection.usage = None;
        projection.outlook = None;
        let row = headroom(&projection);
        assert_eq!(row.full, When::NotMeasured);
        assert_eq!(row.standing, Standing::Unknown);
    }
}
