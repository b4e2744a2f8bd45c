//! `plimsoll status`.

use std::fmt::Write as _;

use clap::Args;

use super::client::Client;
use super::output::{Format, json};
use super::table::{Cell, Paint, Table, Tone, day, percent, second};
use super::{Outcome, World};
use crate::http::wire::{self, CapacityForecast, TargetStatus, quantity};
use crate::model::units::counted;

/// Show what the running server watches, and how full each resource is
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll status
  plimsoll status --data-dir /var/lib/plimsoll
  plimsoll status --format json")]
pub(super) struct Status {
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) async fn run(command: &Status, world: &World<'_>) -> anyhow::Result<Outcome> {
    let config = world.load()?;
    let status: wire::Status = Client::new(&config.socket()).json("/local/status").await?;
    Ok(Outcome::done(match command.format {
        Format::Json => json(&status)?,
        Format::Text => text(&status, world.paint),
    }))
}

fn text(status: &wire::Status, paint: Paint) -> String {
    let mut text = format!(
        "plimsoll {} on http://{}/, since {}, data in {}\n",
        status.version,
        status.listen,
        second(&status.started_at),
        status.data_dir
    );
    if status.targets.is_empty() {
        text.push_str("no targets; name one with --target when starting the server\n");
    }
    for target in &status.targets {
        text.push('\n');
        text.push_str(&heading(target, paint));
        if !target.resources.is_empty() {
            text.push_str(&resources(&target.resources).draw(paint));
        }
    }
    text
}

fn heading(target: &TargetStatus, paint: Paint) -> String {
    let tone = match target.state.as_str() {
        "up" => Tone::Good,
        "down" => Tone::Critical,
        _ => Tone::Warning,
    };
    let name = paint.tone(&target.name, Tone::Strong);
    let mut line = format!("{name}  {}", paint.tone(&target.state, tone));
    if let Some(version) = &target.server_version {
        let _ = write!(line, "  PostgreSQL {version}");
    }
    if let Some(at) = &target.last_scrape_at {
        let _ = write!(line, "  last scrape {}", second(at));
    }
    let counts = target.findings;
    let _ = write!(
        line,
        "  {} critical, {}, {}",
        counts.critical,
        counted(counts.warning, "warning"),
        counted(target.blind_spots, "blind spot")
    );
    if let Some(reason) = &target.reason {
        let _ = write!(line, "\n  {reason}");
    }
    line + "\n"
}

/// One line a resource: how full, and when it reaches its limit.
pub(super) fn resources(forecasts: &[CapacityForecast]) -> Table {
    let mut table = Table::new(&[
        "RESOURCE",
        ">NOW",
        ">LIMIT",
        ">USED",
        "LIMIT REACHED (80 %)",
        "HISTORY",
    ]);
    for forecast in forecasts {
        let shown = |value: Option<f64>| {
            value.map_or_else(|| "–".to_owned(), |value| quantity(value, forecast.unit))
        };
        let (used, tone) = (forecast.utilization_rate, tone(forecast));
        table.row([
            forecast.resource_type.name().into(),
            shown(forecast.current_usage).into(),
            shown(forecast.current_capacity).into(),
            Cell::toned(percent(used), tone),
            reached(forecast).into(),
            history(forecast).into(),
        ]);
    }
    table
}

/// How loud the usage is shown: by the thresholds that are reached.
pub(super) fn tone(forecast: &CapacityForecast) -> Tone {
    let crossed = forecast.thresholds.iter().filter(|t| t.crossed);
    let names = crossed.map(|t| t.name.as_str());
    names.fold(Tone::Plain, |worst, name| match (worst, name) {
        (Tone::Critical, _) | (_, "critical" | "limit") => Tone::Critical,
        _ => Tone::Warning,
    })
}

/// When the limit is reached, or why that cannot be said.
pub(super) fn reached(forecast: &CapacityForecast) -> String {
    match forecast.outlook.as_str() {
        "notEnoughData" => {
            let (have, need) = (
                forecast.have_days.unwrap_or(0.0),
                forecast.need_days.unwrap_or(0.0),
            );
            let more = forecast.more_days.unwrap_or(0.0).ceil();
            return format!(
                "not enough history: {have:.1} of {need:.0} days, {more:.0} more needed"
            );
        }
        "unmeasured" => return "not measured".to_owned(),
        _ => {}
    }
    let Some(limit) = forecast.thresholds.iter().find(|t| t.name == "limit") else {
        return "no limit is known".to_owned();
    };
    let shown = |date: &Option<String>| date.as_deref().map_or_else(|| "later".to_owned(), day);
    match &limit.p50 {
        _ if limit.crossed => "now".to_owned(),
        Some(date) => format!(
            "{} ({} to {})",
            day(date),
            shown(&limit.p10),
            shown(&limit.p90)
        ),
        None => format!(
            "beyond the forecast ({:.0} % likely within it)",
            limit.probability * 100.0
        ),
    }
}

fn history(forecast: &CapacityForecast) -> String {
    match &forecast.synthetic {
        _ if forecast.outlook == "unmeasured" => "–".to_owned(),
        Some(times) => format!("made up until {}", day(&times.until)),
        None => format!("{:.0} % recorded", forecast.coverage * 100.0),
    }
}
