//! Pages: one that opens offline, and the dashboard, made of the same parts.
//!
//! For: whole documents. [`page`] carries its style inside and asks nothing of any network;
//! [`dashboard`] links `/ui/style.css` and `/ui/app.js` and holds no inline style or script, so that
//! a strict content security policy can stand. Not for: drawing (`chart`) or wording (`words`).
//! All tags are closed, so the pages are well-formed XML, too; a test holds them to it.
//! Read `summary` first.

mod details;
mod jobs;
mod method;
mod outcome;
mod summary;

use super::chart::escape;
use super::jobs::JobsReport;
use super::verdict::{rows, verdict};
use super::words;
use super::{HeadroomRow, ReportInput, TargetReport};
use crate::model::capacity::Projection;
use details::Asking;

/// The style sheet, served at `/ui/style.css` and carried inside the report.
pub const STYLE: &str = include_str!("../http/ui/style.css");

/// The dashboard's script, served at `/ui/app.js`: refreshes the main part, tells staleness.
pub const SCRIPT: &str = include_str!("../http/ui/app.js");

/// The sign beside the name: a load line.
pub(super) const MARK: &str = "<svg class=\"mark\" viewBox=\"0 0 24 24\" aria-hidden=\"true\">\
    <circle cx=\"12\" cy=\"12\" r=\"7.5\"/><path d=\"M1 12H23\"/></svg>";

/// The offline report: one file, no script, no network, made for screen and paper.
pub fn page(input: &ReportInput) -> String {
    let mut body = lead(input);
    for (i, target) in input.targets.iter().enumerate() {
        body.push_str(&target_head(target, input, i));
        body.push_str(&summary::headroom(
            &target_rows(input, target),
            input.made_at,
        ));
        body.push_str(&details::charts(target, i, Asking::No));
        body.push_str(&outcome::reviews(&target.reviews));
        body.push_str(&details::findings(&target.findings, &target.silenced));
        body.push_str(&details::bottlenecks(&target.bottlenecks));
        body.push_str(&details::waits(target));
        body.push_str(&details::statements(target));
        body.push_str(&details::coverage(target));
        body.push_str(&details::blind_spots(&target.blind_spots));
        body.push_str("</section>");
    }
    body.push_str(&method::method());
    body.push_str(&method::glossary());
    let title = title(input, "Capacity report");
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head>{}<title>{title}</title><style>{STYLE}</style>\
         </head><body class=\"report\"><header class=\"top\"><p class=\"brand\">{MARK} Plimsoll</p>\
         <p class=\"made\">Capacity report · {}</p></header><main>{body}</main>{}</body></html>\n",
        metas(),
        words::instant(input.made_at),
        footer(input)
    )
}

/// The dashboard: the same parts, refreshed by `/ui/app.js`, or by the browser without scripts.
///
/// `input` is read from memory, never from the observed server; `jobs` are those of this one.
pub fn dashboard(input: &ReportInput, jobs: &JobsReport) -> String {
    let title = title(input, "Plimsoll");
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head>{}<title>{title}</title>\
         <link rel=\"icon\" href=\"data:,\"/>\
         <link rel=\"stylesheet\" href=\"/ui/style.css\"/>\
         <script src=\"/ui/app.js\" defer=\"defer\"></script>\
         <noscript><meta http-equiv=\"refresh\" content=\"30\"/></noscript></head>\
         <body class=\"dashboard\"><header class=\"top\"><p class=\"brand\">{MARK} Plimsoll</p>\
         <p class=\"made\" id=\"freshness\" role=\"status\">As of {}</p></header>\
         <main id=\"main\">{}</main>{}</body></html>\n",
        metas(),
        words::instant(input.made_at),
        dashboard_main(input, jobs),
        footer(input)
    )
}

/// What stands inside the dashboard's `<main>`: what `/?fragment=main` answers.
pub fn dashboard_main(input: &ReportInput, queues: &JobsReport) -> String {
    let mut body = lead(input);
    for (i, target) in input.targets.iter().enumerate() {
        body.push_str(&target_head(target, input, i));
        body.push_str(&summary::headroom(
            &target_rows(input, target),
            input.made_at,
        ));
        body.push_str(&details::findings(&target.findings, &target.silenced));
        body.push_str(&details::charts(target, i, Asking::Yes));
        body.push_str(&outcome::reviews(&target.reviews));
        body.push_str(&details::bottlenecks(&target.bottlenecks));
        body.push_str(&details::waits(target));
        body.push_str(&details::statements(target));
        body.push_str(&details::blind_spots(&target.blind_spots));
        body.push_str("</section>");
    }
    body.push_str(&jobs::jobs(queues, input.made_at));
    body
}

/// The chart of one resource under a scenario, with what was expected without it: what
/// `/ui/what-if` answers. `scenario` holds its parts in words; `id` must be unique in the page.
pub fn what_if(changed: &Projection, was: &Projection, scenario: &[String], id: &str) -> String {
    details::what_if(changed, was, scenario, id)
}

fn lead(input: &ReportInput) -> String {
    let mut body = summary::verdict(&verdict(input));
    if input.targets.len() > 1 {
        body.push_str("<nav class=\"targets\" aria-label=\"Targets\">");
        body.push_str(&each(input.targets.iter().enumerate(), |(i, target)| {
            let name = escape(&words::one_line(&target.name, 60));
            format!("<a href=\"#target-{i}\">{name}</a>")
        }));
        body.push_str("</nav>");
    }
    body
}

fn target_head(target: &TargetReport, input: &ReportInput, i: usize) -> String {
    format!(
        "<section class=\"target\" id=\"target-{i}\"><h2>{}</h2>{}",
        escape(&words::one_line(&target.name, 80)),
        summary::facts(target, input.made_at)
    )
}

fn target_rows<'a>(
    input: &ReportInput,
    target: &'a TargetReport,
) -> Vec<(HeadroomRow, &'a Projection)> {
    let rows = rows(input).into_iter();
    rows.filter(|row| row.target == target.name)
        .zip(&target.projections)
        .collect()
}

fn title(input: &ReportInput, what: &str) -> String {
    let names: Vec<_> = input.targets.iter().map(|t| t.name.as_str()).collect();
    escape(&words::one_line(
        &format!("{what}: {}", names.join(", ")),
        120,
    ))
}

fn metas() -> &'static str {
    "<meta charset=\"utf-8\"/>\
     <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
     <meta name=\"color-scheme\" content=\"light dark\"/>\
     <meta name=\"referrer\" content=\"no-referrer\"/>"
}

fn footer(input: &ReportInput) -> String {
    format!(
        "<footer><p>Made by {} at {}. All times are UTC; 1 kB is 1024 bytes.</p></footer>",
        escape(&words::one_line(&input.generator, 80)),
        words::instant(input.made_at)
    )
}

/// A titled part of a target's section; an empty body leaves it out.
fn part(title: &str, body: &str) -> String {
    if body.is_empty() {
        String::new()
    } else {
        format!("<section class=\"part\"><h3>{title}</h3>{body}</section>")
    }
}

/// The parts of a list, one after the other.
pub(super) fn each<T>(items: impl IntoIterator<Item = T>, show: impl Fn(T) -> String) -> String {
    items.into_iter().map(show).collect()
}

/// A table cell that carries its column's name, for screens too narrow for columns.
fn cell(label: &str, class: &str, html: &str) -> String {
    format!("<td class=\"{class}\" data-label=\"{label}\"><span>{html}</span></td>")
}

/// A table in a box of its own that scrolls where it must.
fn table(class: &str, caption: &str, heads: &[&str], rows: &str) -> String {
    let heads = each(heads.iter(), |head| {
        format!("<th scope=\"col\">{head}</th>")
    });
    format!(
        "<div class=\"scroll\"><table class=\"{class}\"><caption>{caption}</caption>\
         <thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
}

#[cfg(test)]
mod tests;
