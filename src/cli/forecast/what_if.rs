//! What `plimsoll forecast --what-if` prints.

use std::fmt::Write as _;

use super::{months, told};
use crate::cli::status::{reached, tone};
use crate::cli::table::{Cell, Paint, Table, Tone, day, percent};
use crate::http::wire::{WhatIf, WhatIfResource, quantity};

/// A line a resource: how it stands then, and what load it takes.
pub(super) fn text(answer: &WhatIf, paint: Paint) -> String {
    let mut text = paint.tone(&answer.target, Tone::Strong) + "\n";
    let said = if answer.scenario.is_empty() {
        "nothing is different".to_owned()
    } else {
        answer.scenario.join("; ")
    };
    let _ = writeln!(text, "What if: {said}");
    let _ = match &answer.breaks_first {
        Some(first) if first.limit.crossed => {
            let line = format!(
                "{} breaks first: its limit is reached at once",
                first.resource_type
            );
            writeln!(text, "{}", paint.tone(&line, Tone::Critical))
        }
        Some(first) => {
            let date = first.limit.p50.as_deref().map_or_else(
                || {
                    let chance = first.limit.probability * 100.0;
                    format!("{chance:.0} % likely within the forecast")
                },
                |date| format!("around {}", day(date)),
            );
            let line = format!("{} breaks first: {date}", first.resource_type);
            writeln!(text, "{}", paint.tone(&line, Tone::Warning))
        }
        None => writeln!(text, "No limit is met within the forecast."),
    };
    text.push('\n');
    text.push_str(&resources(answer).draw(paint));
    let _ = writeln!(
        text,
        "\nLoad × is the multiple of the present load that reaches the limit now, and by {}.",
        day(&answer.then)
    );
    if let [one] = answer.resources.as_slice()
        && !one.forecast.projections.is_empty()
    {
        text.push('\n');
        text.push_str(&months(&one.forecast).draw(paint));
        text.push_str(&told(&one.forecast));
    }
    text
}

fn resources(answer: &WhatIf) -> Table {
    let mut table = Table::new(&[
        "RESOURCE",
        ">THEN",
        ">LIMIT",
        ">USED",
        ">HEADROOM",
        "LIMIT REACHED (80 %)",
        "AS IT IS",
        ">LOAD × NOW",
        ">× LATER",
    ]);
    for row in &answer.resources {
        let forecast = &row.forecast;
        let shown =
            |value: Option<f64>| value.map_or_else(dash, |value| quantity(value, forecast.unit));
        // A negative size is an amount that is missing.
        let headroom = row.headroom.map_or_else(dash, |left| {
            let sign = if left < 0.0 { "-" } else { "" };
            format!("{sign}{}", quantity(left.abs(), forecast.unit))
        });
        let factor =
            |factor: Option<f64>| factor.map_or_else(dash, |factor| format!("{factor:.2}"));
        table.row([
            forecast.resource_type.name().into(),
            shown(forecast.current_usage).into(),
            shown(forecast.current_capacity).into(),
            Cell::toned(percent(forecast.utilization_rate), tone(forecast)),
            headroom.into(),
            reached(forecast).into(),
            as_is(row).into(),
            factor(row.load_factor_now).into(),
            factor(row.load_factor_then).into(),
        ]);
    }
    table
}

fn as_is(row: &WhatIfResource) -> String {
    let Some(limit) = row.as_is.iter().find(|t| t.name == "limit") else {
        return dash();
    };
    match &limit.p50 {
        _ if limit.crossed => "now".to_owned(),
        Some(date) => day(date),
        None => "beyond".to_owned(),
    }
}

fn dash() -> String {
    "–".to_owned()
}
