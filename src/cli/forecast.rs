//! `plimsoll forecast`: of a resource from the running server, or of series from a file.

use std::fmt::Write as _;

use clap::error::ErrorKind;
use clap::{Args, ValueEnum};

use super::client::{self, Client, parameter};
use super::output::json;
use super::series::{self, Input};
use super::status::resources;
use super::table::{Cell, Paint, Table, Tone, day, percent};
use super::{Outcome, World};
use crate::http::wire::{CapacityForecast, quantity};
use crate::model::capacity::{Resource, UnknownResource};

/// Show when a resource reaches its limit, and how sure that is
///
/// The running server computes forecasts by itself; this shows the last ones. With --input, series
/// from a file are forecast here, without a server.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll forecast all
  plimsoll forecast database --months 12
  plimsoll forecast storage --target replica --format json
  plimsoll forecast --input disks.csv --horizon 90 --step 1d
  plimsoll forecast --input hourly.csv.gz --horizon 48 --period 24,168 --levels 80,95 --out next.csv
  plimsoll forecast --input disks.csv --horizon 365 --step 1d --thresholds sizes.csv --crossings-out full.csv --out next.csv
  zstdcat load.csv.zst | plimsoll forecast --input - --horizon 24 --format json --keep-going")]
pub(super) struct Forecast {
    /// cpu, memory, storage, bandwidth, database, connections, or all
    #[arg(value_parser = resource, required_unless_present = "input")]
    resource: Option<String>,
    /// Months ahead
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=24))]
    months: u32,
    /// Name of the target; default: the first in order of name
    #[arg(long)]
    target: Option<String>,
    /// How to show it; default: a table, but csv for series that do not go to a terminal
    #[arg(long, value_enum)]
    format: Option<Format>,
    #[command(flatten)]
    series: Input,
}

/// For people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Aligned; a row a series
    #[value(alias = "text")]
    Table,
    /// JSON; for series, an object a line
    Json,
    /// For series: a line a step
    Csv,
}

fn resource(text: &str) -> Result<String, UnknownResource> {
    if text != "all" {
        text.parse::<Resource>()?;
    }
    Ok(text.to_owned())
}

pub(super) fn run(command: &Forecast, world: &World<'_>) -> anyhow::Result<Outcome> {
    if let Some(path) = &command.series.file {
        return series::run(&command.series, path, command.format, world);
    }
    let resource = command.resource.as_deref().unwrap_or("all");
    match command.format {
        Some(Format::Csv) => Err(clap::Error::raw(
            ErrorKind::ArgumentConflict,
            "--format csv is for series of a file (--input); for a resource choose table or json\n",
        )
        .into()),
        format => client::wait(of_resource(resource, command, format, world)),
    }
}

async fn of_resource(
    resource: &str,
    command: &Forecast,
    format: Option<Format>,
    world: &World<'_>,
) -> anyhow::Result<Outcome> {
    let config = world.load()?;
    let mut path = format!("/local/forecast/{resource}?months={}", command.months);
    if let Some(target) = &command.target {
        path = format!("{path}&{}", parameter("target", target));
    }
    let forecasts: Vec<CapacityForecast> = Client::new(&config.socket()).json(&path).await?;
    Ok(Outcome::done(match (format, forecasts.as_slice()) {
        (Some(Format::Json), [one]) => json(one)?,
        (Some(Format::Json), all) => json(&all)?,
        (_, [one]) => text(one, world.paint),
        (_, all) => resources(all).draw(world.paint),
    }))
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
