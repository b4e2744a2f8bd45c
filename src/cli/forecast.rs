//! `plimsoll forecast`.

use std::fmt::Write as _;

use clap::Args;

use super::client::{Client, parameter};
use super::output::{Format, json};
use super::status::resources;
use super::table::{Cell, Paint, Table, Tone, day, percent};
use super::{Outcome, World};
use crate::http::wire::{CapacityForecast, quantity};
use crate::model::capacity::{Resource, UnknownResource};

/// Show when a resource reaches its limit, and how sure that is
///
/// The running server computes forecasts by itself; this shows the last ones.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll forecast all
  plimsoll forecast database --months 12
  plimsoll forecast storage --target replica --format json")]
pub(super) struct Forecast {
    /// cpu, memory, storage, bandwidth, database, connections, or all
    #[arg(value_parser = resource)]
    resource: String,
    /// Months ahead
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=24))]
    months: u32,
    /// Name of the target; default: the first in order of name
    #[arg(long)]
    target: Option<String>,
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn resource(text: &str) -> Result<String, UnknownResource> {
    if text != "all" {
        text.parse::<Resource>()?;
    }
    Ok(text.to_owned())
}

pub(super) async fn run(command: &Forecast, world: &World<'_>) -> anyhow::Result<Outcome> {
    let config = world.load()?;
    let mut path = format!(
        "/local/forecast/{}?months={}",
        command.resource, command.months
    );
    if let Some(target) = &command.target {
        path = format!("{path}&{}", parameter("target", target));
    }
    let forecasts: Vec<CapacityForecast> = Client::new(&config.socket()).json(&path).await?;
    Ok(Outcome::done(
        match (command.format, forecasts.as_slice()) {
            (Format::Json, [one]) => json(one)?,
            (Format::Json, all) => json(&all)?,
            (Format::Text, [one]) => text(one, world.paint),
            (Format::Text, all) => resources(all).draw(world.paint),
        },
    ))
}

fn text(forecast: &CapacityForecast, paint: Paint) -> String {
    let mut text = paint.tone(&forecast.target, Tone::Strong) + "\n";
    text.push_str(&resources(std::slice::from_ref(forecast)).draw(paint));
    if !forecast.projections.is_empty() {
        text.push('\n');
        text.push_str(&months(forecast).draw(paint));
    }
    if let (Some(method), Some(backtest)) = (&forecast.method, &forecast.backtest) {
        let _ = writeln!(
            text,
            "\nMethod {method}; back-tested from {} origins: error {:.2} times that of repeating \
             the last season, {:.0} % of values within the 80 % band.",
            backtest.origins,
            backtest.relative_mae,
            backtest.coverage_p80 * 100.0
        );
    }
    for advice in &forecast.recommendations {
        let tone = if advice.priority == "immediate" {
            Tone::Critical
        } else {
            Tone::Warning
        };
        let word = paint.tone(&format!("{} ({})", advice.action, advice.priority), tone);
        let _ = writeln!(
            text,
            "{word}: {}; {}.",
            advice.description, advice.estimated_impact
        );
    }
    text
}

fn months(forecast: &CapacityForecast) -> Table {
    let mut table = Table::new(&[
        "DATE",
        ">EXPECTED",
        ">80 % FROM",
        ">TO",
        ">USED",
        ">WITHIN 10 %",
    ]);
    for month in &forecast.projections {
        let band = month
            .intervals
            .iter()
            .find(|band| (band.level.get() - 0.8).abs() < 1e-9);
        let shown = |value: Option<f64>| {
            value.map_or_else(|| "–".to_owned(), |value| quantity(value, forecast.unit))
        };
        let tone = match month.utilization_rate {
            Some(rate) if rate >= 1.0 => Tone::Critical,
            _ => Tone::Plain,
        };
        table.row([
            day(&month.date).into(),
            shown(Some(month.predicted_usage)).into(),
            shown(band.map(|band| band.lo)).into(),
            shown(band.map(|band| band.hi)).into(),
            Cell::toned(percent(month.utilization_rate), tone),
            percent(month.confidence).into(),
        ]);
    }
    table
}
