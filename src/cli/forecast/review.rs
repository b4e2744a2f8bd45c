//! `plimsoll forecast --review`: what was forecast, and what came.

use std::fmt::Write as _;

use crate::cli::table::{Cell, Paint, Table, Tone, day, percent};
use crate::http::wire::{ForecastReview, LeadReview, ResourceReview, quantity};
use crate::model::capacity::Unit;
use crate::model::outcome::Kept;

/// A table a resource, and what is learnt from it.
pub(super) fn text(review: &ForecastReview, paint: Paint) -> String {
    let mut text = paint.tone(&review.target, Tone::Strong) + ", forecast against actual\n";
    for resource in &review.resources {
        text.push('\n');
        text.push_str(&one(resource, paint));
    }
    text
}

fn one(review: &ResourceReview, paint: Paint) -> String {
    let name = paint.tone(review.resource_type.name(), Tone::Strong);
    let said = paint.tone(&review.says, tone(review.verdict));
    let mut text = format!("{name}: {said}\n");
    let Some(since) = &review.since else {
        text.push_str("Nothing was forecast yet; the first forecast comes with enough history.\n");
        return text;
    };
    let made_up = review
        .synthetic
        .as_ref()
        .map_or("", |_| ", from made-up history");
    let count = review.promises;
    let forecasts = if count == 1 { "forecast" } else { "forecasts" };
    let _ = writeln!(
        text,
        "{count} {forecasts} kept since {}{made_up}.",
        day(since)
    );
    if review.leads.is_empty() {
        text.push_str("None has come due yet.\n");
        return text;
    }
    text.push_str(&leads(review).draw(paint));
    if let Some(band) = review.band_factor {
        let _ = writeln!(text, "Learnt: bands × {band:.2}{}.", weights(review));
    }
    text
}

/// Members whose weight changes by a twentieth or more.
fn weights(review: &ResourceReview) -> String {
    let changed = review
        .members
        .iter()
        .filter(|m| (m.weight_factor - 1.0).abs() >= 0.05);
    let words = changed.map(|m| format!("{} × {:.2}", m.name, m.weight_factor));
    let words: Vec<String> = words.collect();
    if words.is_empty() {
        words.concat()
    } else {
        format!("; weights: {}", words.join(", "))
    }
}

fn leads(review: &ResourceReview) -> Table {
    let mut table = Table::new(&[
        ">DAYS AHEAD",
        ">SCORED",
        ">MEAN ERROR",
        ">OF USAGE",
        ">BIAS",
        ">IN 80 % BAND",
        ">IN 95 %",
        ">TO NAIVE",
        "BANDS",
    ]);
    for lead in &review.leads {
        table.row(row(lead, review.unit));
    }
    table
}

fn row(lead: &LeadReview, unit: Unit) -> [Cell; 9] {
    let inside = |count: usize| format!("{count} of {}", lead.scored);
    let sign = if lead.bias < 0.0 { '-' } else { '+' };
    let naive = lead.relative_to_naive;
    [
        lead.lead_days.to_string().into(),
        lead.scored.to_string().into(),
        quantity(lead.mean_error, unit).into(),
        percent(lead.mean_error_share).into(),
        format!("{sign}{}", quantity(lead.bias.abs(), unit)).into(),
        inside(lead.inside80).into(),
        inside(lead.inside95).into(),
        naive
            .map_or_else(|| "–".to_owned(), |naive| format!("{naive:.2}"))
            .into(),
        Cell::toned(lead.says.as_str(), tone(lead.verdict)),
    ]
}

const fn tone(verdict: Kept) -> Tone {
    match verdict {
        Kept::AsPromised => Tone::Good,
        Kept::TooSure | Kept::TooCareful => Tone::Warning,
        Kept::TooFew => Tone::Faint,
    }
}
