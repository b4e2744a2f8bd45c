//! Forecast against actual: a table a resource.

use super::{cell, each, part, table};
use crate::model::outcome::{Kept, LeadScore, Review};
use crate::report::chart::{self, escape};
use crate::report::{review, words};

/// What was forecast of days that have come; nothing where none has come due.
pub(super) fn reviews(reviews: &[Review]) -> String {
    part(
        "Forecast against actual",
        &each(review::due(reviews), resource),
    )
}

fn resource(reviewed: &Review) -> String {
    let unit = reviewed.resource.unit();
    let rows = each(&reviewed.leads, |lead| {
        let cells = review::cells(lead, unit);
        let last = cells.len() - 1;
        let cells = each(cells.iter().enumerate(), |(i, text)| {
            let head = review::HEADS.get(i).copied().unwrap_or_default();
            match i {
                5 => cell(head, "used", &format!("{}{}", escape(text), bar(lead))),
                _ if i == last => cell(head, "", &escape(text)),
                _ => cell(head, "number", &escape(text)),
            }
        });
        format!("<tr>{cells}</tr>")
    });
    let name = words::resource(reviewed.resource);
    let drawn = table("stacks", name, &review::HEADS, &rows);
    let said = escape(&review::sentence(reviewed));
    format!("<details><summary>{name}: {said}</summary>{drawn}</details>")
}

/// The share inside the 80 % band, with a mark at 80 %.
fn bar(lead: &LeadScore) -> String {
    let share = lead.inside80 as f64 / lead.scored.max(1) as f64;
    let class = match lead.verdict {
        Kept::TooSure => "warning",
        Kept::AsPromised | Kept::TooCareful | Kept::TooFew => "accent",
    };
    chart::bar(share, &[0.8], class)
}
