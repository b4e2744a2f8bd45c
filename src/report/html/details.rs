//! The lower part of a page: charts, findings, bottlenecks, waits, statements, coverage.

use std::fmt::Write as _;

use super::summary::{badge, class, note_badge, synthetic_badge};
use super::{cell, each, part, table};
use crate::model::capacity::{Forecast, Projection};
use crate::model::database::BlindSpot;
use crate::model::finding::{Bottleneck, Evidence, Finding, Impact, Severity, Silenced};
use crate::model::units::counted;
use crate::report::chart::{self, axis, escape};
use crate::report::headroom::{forecast, headroom, when_words};
use crate::report::months::months;
use crate::report::verdict::Standing;
use crate::report::{TargetReport, words};

/// Months listed below a chart at most; what is drawn beyond is for the eye.
const MONTHS_MAX: usize = 12;
/// Statements shown; the API has the rest.
const STATEMENTS_MAX: usize = 10;
/// Letters of a statement shown.
const QUERY_MAX: usize = 400;

/// Whether a page has a server to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// The dashboard: each chart has a form for what-ifs.
    Yes,
    /// The report, which opens offline.
    No,
}

/// A figure a resource, with its legend, caption and table.
pub(super) fn charts(target: &TargetReport, i: usize, asking: Asking) -> String {
    let figures = each(
        target
            .projections
            .iter()
            .filter(|projection| !projection.history.is_empty() || projection.outlook.is_some()),
        |projection| figure(projection, i, asking),
    );
    if figures.is_empty() {
        return String::new();
    }
    let legend = "<ul class=\"legend\" aria-label=\"Legend\">\
        <li><svg viewBox=\"0 0 24 12\"><path class=\"history\" d=\"M1 6H23\"/></svg>measured, by day</li>\
        <li><svg viewBox=\"0 0 24 12\"><path class=\"mean\" d=\"M1 6H23\"/></svg>forecast</li>\
        <li><svg viewBox=\"0 0 24 12\"><path class=\"band wide\" d=\"M0 0H24V12H0Z\"/>\
        <path class=\"band middle\" d=\"M0 2H24V10H0Z\"/><path class=\"band narrow\" \
        d=\"M0 4H24V8H0Z\"/></svg>50, 80 and 95 % bands</li>\
        <li><svg viewBox=\"0 0 24 12\"><path class=\"limit\" d=\"M0 6H24\"/></svg>limit</li>\
        <li><svg viewBox=\"0 0 24 12\"><path class=\"threshold\" d=\"M0 6H24\"/></svg>warning and \
        critical thresholds</li>\
        <li><svg viewBox=\"0 0 24 12\"><path class=\"whisker\" d=\"M2 6H22\"/>\
        <circle class=\"meeting\" cx=\"11\" cy=\"6\" r=\"4\"/></svg>limit reached, 80 % interval</li>\
        <li><svg viewBox=\"0 0 24 12\"><path class=\"change\" d=\"M12 0V12\"/>\
        <path class=\"change-mark\" d=\"M8 12h8l-4 -5Z\"/></svg>change for good</li>\
        </ul>";
    part(
        "Forecast by resource",
        &format!("{legend}<div class=\"figures\">{figures}</div>"),
    )
}

fn figure(projection: &Projection, i: usize, asking: Asking) -> String {
    let id = format!("t{i}-{}", projection.resource);
    let row = headroom(projection);
    let made_up = if row.synthetic { synthetic_badge() } else { "" };
    let caption = escape(&chart::description(projection));
    let proof = forecast(projection)
        .map(|f| proof(f, projection))
        .unwrap_or_default();
    let by_month = forecast(projection)
        .map(|f| monthly(f, projection))
        .unwrap_or_default();
    let form = match (asking, forecast(projection)) {
        (Asking::Yes, Some(_)) => form(projection, &id),
        _ => String::new(),
    };
    format!(
        "<figure><h4>{}{made_up}</h4>{form}<div class=\"drawn\">{}<figcaption>{caption}{proof}\
         </figcaption></div>{by_month}</figure>",
        words::resource(projection.resource),
        chart::projection(projection, &id)
    )
}

/// What the script shows beside a chart; without a script it stays hidden.
fn form(projection: &Projection, id: &str) -> String {
    let mut fields = vec![
        ("growth", "Growth ×", "1"),
        ("load", "Load ×", "1"),
        ("limit", "Limit", "as is"),
    ];
    if projection.resource.piles_up() {
        fields.push(("archive", "Archive %", "0"));
    }
    let fields = each(fields, |(name, label, usual)| {
        format!(
            "<label>{label}<input name=\"{name}\" placeholder=\"{usual}\" \
             autocomplete=\"off\"/></label>"
        )
    });
    format!(
        "<form class=\"what-if\" action=\"/ui/what-if\" hidden=\"hidden\" \
         aria-label=\"What if, {}\"><input type=\"hidden\" name=\"target\" value=\"{}\"/>\
         <input type=\"hidden\" name=\"resource\" value=\"{}\"/>\
         <input type=\"hidden\" name=\"id\" value=\"{id}\"/>{fields}\
         <output></output></form>",
        words::resource(projection.resource),
        escape(&projection.target),
        projection.resource
    )
}

/// See [`what_if`](super::what_if).
pub(super) fn what_if(
    changed: &Projection,
    was: &Projection,
    scenario: &[String],
    id: &str,
) -> String {
    let said = if scenario.is_empty() {
        "nothing is different".to_owned()
    } else {
        scenario.join("; ")
    };
    let (is, was_full) = (headroom(changed), headroom(was).full);
    let act_by = is.act_by.map_or_else(String::new, |at| {
        format!(" Act by {}.", words::long_date(at))
    });
    format!(
        "{}<figcaption><b>What if: {}.</b> {}{act_by}<small>As it is (broken line): limit reached: \
         {}.</small></figcaption>",
        chart::what_if(changed, was, id),
        escape(&said),
        escape(&chart::description(changed)),
        escape(&when_words(&was_full))
    )
}

/// How the method did on this series.
fn proof(forecast: &Forecast, projection: &Projection) -> String {
    let test = &forecast.backtest;
    let unit = projection.resource.unit();
    let days = forecast.step.as_days() * test.horizon as f64;
    let confidence = projection
        .confidence()
        .unwrap_or_else(|| forecast.confidence());
    let made_up = projection
        .synthetic
        .map_or("", |_| ", for history is made up");
    format!(
        "<small>Method {}. Back-test from {} over {}: mean error {}, {:.2} of the seasonal \
         naive forecast’s; {} of values fell into the 80 % band. Confidence {}{made_up} ({:.2} of 1 by the back-test).</small>",
        escape(&words::one_line(&forecast.method, 60)),
        counted(test.origins, "origin"),
        words::days(days),
        words::quantity(test.mae, unit),
        test.relative_mae,
        words::percent(test.coverage_p80),
        confidence.word.word(),
        confidence.value
    )
}

/// The forecast at the first of each month, inside what is drawn.
fn monthly(forecast: &Forecast, projection: &Projection) -> String {
    let unit = projection.resource.unit();
    let until = axis::horizon(projection, forecast);
    let rows = each(months(projection, until, MONTHS_MAX), |month| {
        let range = month.band.map_or_else(String::new, |(lo, hi)| {
            format!(
                "{} – {}",
                words::quantity(lo, unit),
                words::quantity(hi, unit)
            )
        });
        format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{range}</td><td>{}</td></tr>",
            words::long_date(month.at),
            words::quantity(month.mean, unit),
            month.share.map_or_else(String::new, words::percent)
        )
    });
    if rows.is_empty() {
        return rows;
    }
    let heads = ["Date", "Expected", "80 % band", "Of limit"];
    let caption = "Means of the week around each date";
    let table = table("plain", caption, &heads, &rows);
    format!("<details><summary>Figures by month</summary>{table}</details>")
}

fn evidence(evidence: &[Evidence]) -> String {
    if evidence.is_empty() {
        return String::new();
    }
    let items = each(evidence.iter(), |fact| {
        let label = escape(&words::one_line(&fact.label, 120));
        let value = escape(&words::one_line(&fact.value, 300));
        format!("<div><dt>{label}</dt><dd>{value}</dd></div>")
    });
    format!("<dl class=\"evidence\">{items}</dl>")
}

/// What to mend, each with its evidence and its cure.
pub(super) fn findings(findings: &[Finding], silenced: &[Silenced]) -> String {
    let mut items = String::new();
    let mut rest = findings;
    // They come by severity and check: of many of a kind the first few stand for all.
    while let Some(first) = rest.first() {
        let is_same = |one: &&Finding| one.id == first.id && one.severity == first.severity;
        let count = rest.iter().take_while(is_same).count();
        let (same, others) = rest.split_at(count);
        items.push_str(&kind(same));
        rest = others;
    }
    if !silenced.is_empty() {
        let reasons = each(silenced.iter(), |one| {
            let reason = escape(&words::one_line(&one.reason, 200));
            format!(
                "<li><code>{}</code>: {reason}</li>",
                escape(&one.finding.id)
            )
        });
        // Writing to a string cannot go wrong.
        let _ = write!(
            items,
            "<details><summary>{} silenced</summary><ul>{reasons}</ul></details>",
            silenced.len()
        );
    }
    if items.is_empty() {
        part(
            "Findings",
            "<p class=\"empty\">The checks found nothing to mend.</p>",
        )
    } else {
        part("Findings", &items)
    }
}

/// Findings of one check, the most important first: some open, the others folded.
fn kind(same: &[Finding]) -> String {
    const OPEN: usize = 3;
    // One more is no reason to fold.
    let open = if same.len() <= OPEN + 1 {
        same.len()
    } else {
        OPEN
    };
    let (shown, folded) = same.split_at(open);
    let mut items = each(shown.iter(), finding);
    if let Some(first) = folded.first() {
        // Writing to a string cannot go wrong.
        let _ = write!(
            items,
            "<details class=\"more\"><summary>{} more of {}</summary>{}</details>",
            folded.len(),
            escape(&words::one_line(&first.id, 80)),
            each(folded.iter(), finding)
        );
    }
    items
}

/// Escaped text whose `` `commands` `` are set as such.
fn with_code(text: &str) -> String {
    let escaped = escape(&words::one_line(text, 1_000));
    let mut out = String::with_capacity(escaped.len());
    for (i, part) in escaped.split('`').enumerate() {
        match i % 2 {
            0 => out.push_str(part),
            _ => {
                let _ = write!(out, "<code>{part}</code>");
            }
        }
    }
    out
}

fn finding(finding: &Finding) -> String {
    let standing = Standing::from(finding.severity);
    let badge = match finding.severity {
        Severity::Info => note_badge().to_owned(),
        Severity::Warning | Severity::Critical => badge(standing, standing.word()),
    };
    let object = finding
        .object
        .as_deref()
        .filter(|object| !finding.title.contains(object))
        .map_or_else(String::new, |object| {
            format!(
                "<p class=\"object\"><code>{}</code></p>",
                escape(&words::one_line(object, 200))
            )
        });
    let cure = finding.cure.as_ref().map_or_else(String::new, |cure| {
        format!(
            "<pre class=\"sql\"><code>{}</code></pre>",
            escape(&cure.sql)
        )
    });
    let lock = finding.cure.as_ref().map_or_else(String::new, |cure| {
        format!(
            "<span>Strongest lock: {}</span> ",
            escape(&words::one_line(&cure.lock, 200))
        )
    });
    format!(
        "<article class=\"finding {}\"><h4>{badge} {}</h4>{object}{}<p>{}</p>{cure}\
         <p class=\"lock\">{lock}<span class=\"id\">{}</span></p></article>",
        class(standing),
        escape(&words::one_line(&finding.title, 300)),
        evidence(&finding.evidence),
        with_code(&finding.advice),
        escape(&words::one_line(&finding.id, 80))
    )
}

/// Where the platform is held up, worst first.
pub(super) fn bottlenecks(bottlenecks: &[Bottleneck]) -> String {
    let items = each(bottlenecks.iter(), |bottleneck| {
        let (standing, word) = match bottleneck.severity {
            Impact::Low => (Standing::Fine, "Low"),
            Impact::Medium => (Standing::Warning, "Medium"),
            Impact::High => (Standing::Warning, "High"),
            Impact::Critical => (Standing::Critical, "Critical"),
        };
        format!(
            "<article class=\"finding {}\"><h4>{} {}</h4><p>{}. {}.</p>{}<p>{}.</p></article>",
            class(standing),
            badge(standing, word),
            sentence(&bottleneck.component),
            sentence(&bottleneck.description),
            sentence(&bottleneck.impact),
            evidence(&bottleneck.evidence),
            sentence(&bottleneck.recommendation)
        )
    });
    part("Bottlenecks", &items)
}

/// One escaped line without its full stop.
fn sentence(text: &str) -> String {
    escape(words::one_line(text, 600).trim_end_matches('.'))
}

/// Active sessions by what they waited for.
pub(super) fn waits(target: &TargetReport) -> String {
    if target.wait_shares.is_empty() {
        return String::new();
    }
    let shares: Vec<f64> = target.wait_shares.iter().map(|(_, share)| *share).collect();
    let items = each(
        target.wait_shares.iter().enumerate(),
        |(i, (name, share))| {
            format!(
                "<li><svg viewBox=\"0 0 12 12\" aria-hidden=\"true\"><rect class=\"part-{}\" \
                 width=\"12\" height=\"12\"/></svg>{} {}</li>",
                i % 6 + 1,
                escape(&words::one_line(name, 60)),
                words::percent(*share)
            )
        },
    );
    part(
        "What active sessions did, last hour",
        &format!(
            "{}<ul class=\"legend\">{items}</ul>",
            chart::stack(
                &shares,
                "Shares of active session time; the list below has the figures"
            )
        ),
    )
}

/// The statements that took the most time.
pub(super) fn statements(target: &TargetReport) -> String {
    let total: f64 = target.statements.iter().map(|s| s.total_exec_time).sum();
    let rows = each(target.statements.iter().take(STATEMENTS_MAX), |statement| {
        let share = if total > 0.0 {
            statement.total_exec_time / total
        } else {
            0.0
        };
        let query = escape(&words::one_line(&statement.query, QUERY_MAX));
        format!(
            "<tr>{}{}{}{}{}</tr>",
            cell("Statement", "query", &format!("<code>{query}</code>")),
            cell("Calls", "number", &words::count(statement.calls)),
            cell("Mean", "number", &words::millis(statement.mean_exec_time)),
            cell("Total", "number", &words::millis(statement.total_exec_time)),
            cell(
                "Share",
                "used",
                &format!(
                    "{}{}",
                    words::percent(share),
                    chart::bar(share, &[], "accent")
                )
            )
        )
    });
    if rows.is_empty() {
        return String::new();
    }
    let heads = ["Statement", "Calls", "Mean", "Total", "Share"];
    let caption = "By total execution time; the share is of the statements kept";
    part(
        "Top statements",
        &table("statements stacks", caption, &heads, &rows),
    )
}

/// What the report rests on.
pub(super) fn coverage(target: &TargetReport) -> String {
    let data = &target.data;
    let mut lines = match (data.from, data.until) {
        (Some(from), Some(until)) => format!(
            "<p>{} samples of {} series, from {} to {}.</p>",
            words::count(data.samples),
            words::count(data.series),
            words::instant(from),
            words::instant(until)
        ),
        _ => "<p>Nothing is recorded yet.</p>".to_owned(),
    };
    if let Some(span) = target.synthetic() {
        let _ = write!(
            lines,
            "<p>{}: {} is made up for the demo, not recorded; charts show it hatched.</p>",
            synthetic_badge(),
            words::date_range(span.from, span.until)
        );
    }
    let rows = each(target.projections.iter(), |projection| {
        let present = projection.history.iter().filter(|v| v.is_finite()).count();
        format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            words::resource(projection.resource),
            words::long_date(projection.history_start),
            counted(present, "day"),
            words::percent(projection.coverage),
            limit_origin(projection)
        )
    });
    if !rows.is_empty() {
        let heads = [
            "Resource",
            "From",
            "Days with values",
            "Hours covered",
            "Limit",
        ];
        lines.push_str(&table(
            "plain",
            "History behind each forecast",
            &heads,
            &rows,
        ));
    }
    part("Data coverage", &lines)
}

fn limit_origin(projection: &Projection) -> String {
    let origin = headroom(projection).limit_origin;
    origin.map_or_else(
        || "not known".to_owned(),
        |origin| escape(&words::one_line(&origin, 120)),
    )
}

/// What could not be read, why, and the cure.
pub(super) fn blind_spots(spots: &[BlindSpot]) -> String {
    let items = each(spots.iter(), |spot| {
        format!(
            "<div><dt>{}</dt><dd>{}. <span class=\"cure\">Cure: {}.</span></dd></div>",
            sentence(&spot.what),
            sentence(&spot.why),
            sentence(&spot.cure)
        )
    });
    if items.is_empty() {
        return String::new();
    }
    part("Blind spots", &format!("<dl class=\"spots\">{items}</dl>"))
}
