//! The upper part of a page: verdict, facts of a target, headroom.

use super::{cell, each, part, table};
use crate::model::capacity::Projection;
use crate::model::units::{Timestamp, counted};
use crate::report::chart::{bar, escape, sparkline};
use crate::report::headroom::{HeadroomRow, When, interval};
use crate::report::verdict::{Standing, Verdict};
use crate::report::{Reach, TargetReport, words};

/// Days behind the small line beside a row's usage.
const RECENT_DAYS: usize = 60;
/// Fewer than these say nothing.
const RECENT_MIN: usize = 7;

/// The class name that gives a standing its colour.
pub(super) const fn class(standing: Standing) -> &'static str {
    match standing {
        Standing::Fine => "fine",
        Standing::Unknown => "unknown",
        Standing::Warning => "warning",
        Standing::Critical => "critical",
    }
}

const fn icon(standing: Standing) -> &'static str {
    match standing {
        Standing::Fine => "<circle cx=\"8\" cy=\"8\" r=\"7\"/><path d=\"M4.6 8.3l2.3 2.3 4.5-5\"/>",
        Standing::Unknown => {
            "<circle cx=\"8\" cy=\"8\" r=\"7\"/><path d=\"M4.5 8h.01M8 8h.01M11.5 8h.01\"/>"
        }
        Standing::Warning => {
            "<path class=\"plate\" d=\"M8 1.2L15.2 14.4H.8Z\"/><path d=\"M8 6v4M8 12.3h.01\"/>"
        }
        Standing::Critical => {
            "<path class=\"plate\" d=\"M5 .8h6L15.2 5v6L11 15.2H5L.8 11V5Z\"/>\
             <path d=\"M8 4.2v4.6M8 11.6h.01\"/>"
        }
    }
}

/// Sign, word and colour together, so that none of them carries the meaning alone.
pub(super) fn badge(standing: Standing, word: &str) -> String {
    format!(
        "<span class=\"badge {}\"><svg viewBox=\"0 0 16 16\" aria-hidden=\"true\">{}</svg>{word}</span>",
        class(standing),
        icon(standing)
    )
}

/// For what is worth knowing and neither good nor bad.
pub(super) fn note_badge() -> &'static str {
    "<span class=\"badge\"><svg viewBox=\"0 0 16 16\" aria-hidden=\"true\"><circle cx=\"8\" \
     cy=\"8\" r=\"7\"/><path d=\"M8 7.6v3.9M8 4.6h.01\"/></svg>Note</span>"
}

/// Marks whatever rests on made-up history.
pub(super) fn synthetic_badge() -> &'static str {
    "<span class=\"badge made-up\" title=\"rests on made-up history\">synthetic</span>"
}

/// The first thing that is read.
pub(super) fn verdict(verdict: &Verdict) -> String {
    let class = class(verdict.standing);
    let mut lines = Vec::new();
    if let Some(next) = &verdict.next_limit
        && next.sentence != verdict.headline
    {
        lines.push(format!("{}.", escape(&next.sentence)));
    }
    if verdict.critical + verdict.warnings > 0 {
        lines.push(format!(
            "Findings and alerts: {} critical, {}.",
            verdict.critical,
            counted(verdict.warnings, "warning")
        ));
    }
    let lines = if lines.is_empty() {
        String::new()
    } else {
        format!("<p class=\"next\">{}</p>", lines.join(" "))
    };
    let caveats = each(verdict.caveats.iter(), |caveat| {
        format!("<li>{}</li>", escape(caveat))
    });
    let caveats = if caveats.is_empty() {
        caveats
    } else {
        format!("<ul class=\"caveats\">{caveats}</ul>")
    };
    format!(
        "<section class=\"verdict {class}\">{}<h1>{}</h1>{lines}{caveats}</section>",
        badge(verdict.standing, verdict.standing.word()),
        escape(&verdict.headline)
    )
}

/// One line of what the target is and whether it answers.
pub(super) fn facts(target: &TargetReport, now: Timestamp) -> String {
    let mut facts = Vec::new();
    facts.push(match &target.reach {
        Reach::Up => badge(Standing::Fine, "answers"),
        Reach::Starting => badge(Standing::Unknown, "not tried yet"),
        Reach::Down { since, reason } => format!(
            "{} for {}: {}",
            badge(Standing::Critical, "no answer"),
            words::age(*since, now),
            escape(&words::one_line(reason, 300))
        ),
    });
    if let Some(server) = &target.server {
        let role = if server.in_recovery {
            "standby"
        } else {
            "primary"
        };
        let version = words::one_line(&server.version, 60);
        // The packager's part in brackets says nothing about capacity.
        let version = version.split(" (").next().unwrap_or_default();
        facts.push(format!("PostgreSQL {} {role}", escape(version)));
        facts.push(format!("up {}", words::age(server.started_at, now)));
        let database = escape(&words::one_line(&server.database, 60));
        let role = escape(&words::one_line(&server.role, 60));
        facts.push(format!("database {database}, watched as {role}"));
    }
    if let Some(at) = target.last_scrape_at {
        facts.push(format!("snapshot {} old", words::age(at, now)));
    }
    if let Some(pool) = &target.pool {
        facts.push(format!("{} of {} connections", pool.total, pool.max));
    }
    if let Some(cost) = target.own_cost {
        facts.push(format!(
            "being watched costs {} of a core",
            words::percent(cost)
        ));
    }
    let items = each(facts.iter(), |fact| format!("<li>{fact}</li>"));
    format!("<ul class=\"facts\">{items}</ul>")
}

/// The headroom table of one target.
pub(super) fn headroom(rows: &[(HeadroomRow, &Projection)], now: Timestamp) -> String {
    let lines = each(rows, |(row, projection)| headroom_row(row, projection, now));
    if lines.is_empty() {
        return part(
            "Headroom",
            "<p class=\"empty\">No resource is projected yet. Usage is shown as soon as it is \
             measured, a forecast as soon as there is enough history.</p>",
        );
    }
    let heads = [
        "Resource",
        "Now",
        "Limit",
        "Used",
        "Warning",
        "Critical",
        "Limit reached",
        "Act by",
        "Action",
    ];
    let caption = "Usage, limit and the dates of meeting it, with 80 % intervals";
    part(
        "Headroom",
        &table("headroom stacks", caption, &heads, &lines),
    )
}

fn headroom_row(row: &HeadroomRow, projection: &Projection, now: Timestamp) -> String {
    let unit = row.resource.unit();
    let amount = |value: Option<f64>| value.map_or_else(dash, |v| words::quantity(v, unit));
    let name = words::resource(row.resource);
    let made_up = if row.synthetic { synthetic_badge() } else { "" };
    let skipped = projection.history.len().saturating_sub(RECENT_DAYS);
    let recent = projection.history.get(skipped..).unwrap_or_default();
    let recent = match recent.iter().filter(|value| value.is_finite()).count() {
        0..RECENT_MIN => String::new(),
        _ => sparkline(recent, "The last 60 days"),
    };
    let used = row.utilisation.map_or_else(dash, |share| {
        let marks: Vec<f64> = [row.warn_at, row.critical_at]
            .into_iter()
            .flatten()
            .collect();
        let bar = bar(share, &marks, class(row.standing));
        format!("{}{bar}", words::percent(share))
    });
    let act_by = match (row.full, row.act_by) {
        (When::Crossed, _) => "now".to_owned(),
        (_, Some(at)) if at <= now => "now".to_owned(),
        (_, Some(at)) => format!("<b>{}</b>", words::long_date(at)),
        (_, None) => dash(),
    };
    let left = match row.full {
        When::Expected { p50, .. } => {
            format!("in {}, ", words::days(words::days_between(now, p50)))
        }
        _ => String::new(),
    };
    let trust = match (row.full, row.confidence) {
        (When::Expected { .. } | When::Unlikely { .. }, Some(confidence)) => {
            format!("<small>{left}confidence {}</small>", confidence.word())
        }
        _ => String::new(),
    };
    let full = format!("{}{trust}", when(&row.full));
    let action = format!(
        "{}<small>{}</small>",
        badge(row.standing, row.standing.word()),
        escape(&row.action)
    );
    format!(
        "<tr><th scope=\"row\">{name}{made_up}</th>{}{}{}{}{}{}{}{}</tr>",
        cell("Now", "number", &format!("{}{recent}", amount(row.usage))),
        cell("Limit", "number", &amount(row.limit)),
        cell("Used", "used", &used),
        cell("Warning", "date", &when(&row.warn)),
        cell("Critical", "date", &when(&row.critical)),
        cell("Limit reached", "date strong", &full),
        cell("Act by", "date", &act_by),
        cell("Action", "action", &action)
    )
}

fn dash() -> String {
    "–".to_owned()
}

/// A date with its interval below, or the reason why there is none.
fn when(when: &When) -> String {
    match when {
        When::Crossed => "<b>reached</b>".to_owned(),
        When::Expected { p10, p50, p90 } => {
            let middle = words::long_date(*p50);
            format!(
                "<b>{middle}</b><small>80 %: {}</small>",
                interval(*p10, *p90)
            )
        }
        When::Unlikely {
            probability,
            horizon,
            ..
        } => {
            let end = horizon.map_or_else(|| "the horizon".to_owned(), words::long_date);
            let chance = words::percent(*probability);
            format!("not in sight<small>{chance} chance before {end}</small>")
        }
        When::NotEnoughData {
            have_days,
            need_days,
        } => {
            let more = words::days((need_days - have_days).max(0.0).ceil());
            format!(
                "too little data<small>{have_days:.0} of {need_days:.0} days, {more} more needed</small>"
            )
        }
        When::NoLimit => "no limit known".to_owned(),
        When::NotMeasured => "not measured".to_owned(),
        When::NotForecast => "no forecast yet".to_owned(),
    }
}
