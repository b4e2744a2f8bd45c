//! `plimsoll forecast`: of a resource from the running server, or of series from a file.

mod review;
mod what_if;

use std::fmt::Write as _;

use clap::error::ErrorKind;
use clap::{Args, ValueEnum};

use super::client::{self, Client, parameter};
use super::output::json;
use super::series::{self, Asked, Input};
use super::status::resources;
use super::table::{Cell, Paint, Table, Tone, day, percent};
use super::{Outcome, World};
use crate::config::parse_duration;
use crate::http::router::{FORECAST_REVIEW, WHAT_IF};
use crate::http::scenario::{self, TERMS};
use crate::http::wire::{CapacityForecast, ForecastReview, WhatIf, quantity};
use crate::model::capacity::{ChangeKind, Resource, UnknownResource};
use crate::model::units::Millis;
use crate::report;

/// Show when a resource reaches its limit, and how sure that is
///
/// The running server computes forecasts by itself; this shows the last ones. With --input, series
/// from a file are forecast here, without a server.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll forecast all
  plimsoll forecast database --months 12
  plimsoll forecast database --before 2027-01-31
  plimsoll forecast storage --target replica --step day --format json

What if (answered from the last forecast, at once):
  plimsoll forecast database --what-if growth=2 --what-if archive=20%@2027-03-01
  plimsoll forecast database --what-if limit=2TB --what-if migration=+50GB@2027-01-15
  plimsoll forecast cpu --what-if event=3@2026-11-20..2026-12-01 --what-if season=2
  plimsoll forecast all --what-if load=10

What was forecast, and what came (bands and weights follow it):
  plimsoll forecast --review
  plimsoll forecast --review database --target replica --format json

Series of a file:
  plimsoll forecast --input disks.csv --horizon 90 --step 1d
  plimsoll forecast --input hourly.csv.gz --horizon 48 --period 24,168 --levels 80,95 --out next.csv
  plimsoll forecast --input disks.csv --horizon 365 --step 1d --thresholds sizes.csv --crossings-out full.csv --out next.csv
  plimsoll forecast --input hourly.csv.gz --horizon 60 --every day --by max
  zstdcat load.csv.zst | plimsoll forecast --input - --horizon 24 --format json --keep-going")]
pub(super) struct Forecast {
    /// cpu, memory, storage, bandwidth, database, connections, or all
    #[arg(value_parser = resource, required_unless_present_any = ["input", "review"])]
    resource: Option<String>,
    /// Months ahead
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=24))]
    months: u32,
    /// Of a resource: a point a month (the default), or a day. Of series: the distance of values, such
    /// as 1h; default: the median distance of ts, else one unit
    #[arg(long, value_name = "month|day|LENGTH", value_parser = step)]
    step: Option<Step>,
    /// Also say how likely each threshold is reached before this date, such as 2027-01-31
    #[arg(long, value_name = "DATE", value_parser = date)]
    before: Option<String>,
    /// What would be different: growth=2, load=10, season=2, event=3@FROM..TO, migration=+50GB,
    /// archive=20% or limit=2TB; @DATE behind a value says from when; may come several times
    #[arg(long, value_name = "TERM", value_parser = term)]
    what_if: Vec<Term>,
    /// Show how earlier forecasts held: forecast against actual by days ahead
    #[arg(long, conflicts_with_all = ["input", "what_if", "before"])]
    review: bool,
    /// Name of the target; default: the first in order of name
    #[arg(long)]
    target: Option<String>,
    /// How to show it; default: a table, but csv for series that do not go to a terminal
    #[arg(long, value_enum)]
    format: Option<Format>,
    #[command(flatten)]
    series: Input,
}

/// How far apart points are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Month,
    Day,
    Length(Millis),
}

fn step(text: &str) -> Result<Step, String> {
    match text {
        "month" => Ok(Step::Month),
        "day" => Ok(Step::Day),
        _ => match parse_duration(text)? {
            Millis(0) => Err("a step is longer than 0; write one such as 1h".to_owned()),
            step => Ok(Step::Length(step)),
        },
    }
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

/// A part of a scenario: its name, and what it is.
type Term = (String, String);

/// Checks a term before the server is asked.
fn term(text: &str) -> Result<Term, String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(format!(
            "write NAME=VALUE, with NAME one of {}",
            TERMS.join(", ")
        ));
    };
    scenario::read([(name, value)]).map_err(|wrong| wrong.to_string())?;
    Ok((name.to_owned(), value.to_owned()))
}

fn date(text: &str) -> Result<String, String> {
    match scenario::date(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("write a date such as 2027-01-31 or 2027-01-31T12:00:00Z".to_owned()),
    }
}

/// The query that the flags make, without the resource.
fn query(command: &Forecast) -> String {
    let mut query = format!("months={}", command.months);
    if command.step == Some(Step::Day) {
        query.push_str("&step=day");
    }
    for (name, value) in [("before", &command.before), ("target", &command.target)] {
        if let Some(value) = value {
            query = format!("{query}&{}", parameter(name, value));
        }
    }
    query
}

pub(super) fn run(command: &Forecast, world: &World<'_>) -> anyhow::Result<Outcome> {
    if let Some(path) = &command.series.file {
        let step = match command.step {
            None => None,
            Some(Step::Length(step)) => Some(step),
            Some(Step::Day) => Some(Millis::DAY),
            Some(Step::Month) => {
                let what =
                    "a month has no fixed length; give --step of a series as one such as 30d";
                return Err(usage(what));
            }
        };
        let asked = Asked {
            path,
            step,
            format: command.format,
        };
        return series::run(&command.series, &asked, world);
    }
    if let Some(Step::Length(_)) = command.step {
        return Err(usage("--step of a resource is month or day"));
    }
    if command.format == Some(Format::Csv) {
        return Err(usage(
            "--format csv is for series of a file (--input); for a resource choose table or json",
        ));
    }
    let resource = command.resource.as_deref().unwrap_or("all");
    client::wait(of_resource(resource, command, world))
}

/// What is wrong with the command line and clap cannot see.
pub(super) fn usage(what: &str) -> anyhow::Error {
    clap::Error::raw(ErrorKind::ArgumentConflict, format!("{what}\n")).into()
}

async fn of_resource(
    resource: &str,
    command: &Forecast,
    world: &World<'_>,
) -> anyhow::Result<Outcome> {
    let config = world.load()?;
    if command.review {
        let target = command.target.as_ref();
        let target = target.map_or_else(String::new, |name| {
            format!("&{}", parameter("target", name))
        });
        let path = format!("{FORECAST_REVIEW}?resource={resource}{target}");
        let answer: ForecastReview = Client::new(&config.socket()).json(&path).await?;
        return Ok(Outcome::done(match command.format {
            Some(Format::Json) => json(&answer)?,
            _ => review::text(&answer, world.paint),
        }));
    }
    if !command.what_if.is_empty() {
        let mut path = format!("{WHAT_IF}?resource={}&{}", resource, query(command));
        for name in TERMS {
            let values = command.what_if.iter().filter(|(own, _)| own == name);
            let values: Vec<&str> = values.map(|(_, value)| value.as_str()).collect();
            if !values.is_empty() {
                path = format!("{path}&{}", parameter(name, &values.join(",")));
            }
        }
        let answer: WhatIf = Client::new(&config.socket()).json(&path).await?;
        return Ok(Outcome::done(match command.format {
            Some(Format::Json) => json(&answer)?,
            _ => what_if::text(&answer, world.paint),
        }));
    }
    let path = format!("/local/forecast/{}?{}", resource, query(command));
    let forecasts: Vec<CapacityForecast> = Client::new(&config.socket()).json(&path).await?;
    Ok(Outcome::done(
        match (command.format, forecasts.as_slice()) {
            (Some(Format::Json), [one]) => json(one)?,
            (Some(Format::Json), all) => json(&all)?,
            (_, [one]) => text(one, world.paint),
            (_, all) => resources(all).draw(world.paint),
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
    text.push_str(&told(forecast));
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

/// Changes, seasons, confidence, chances and the day to act, a line each.
fn told(forecast: &CapacityForecast) -> String {
    let mut text = String::new();
    let unit = forecast.unit;
    let signed = |value: f64| report::signed(value, unit);
    for change in &forecast.changes {
        let (size, date) = (signed(change.size), day(&change.date));
        let _ = match change.kind {
            ChangeKind::Step => writeln!(text, "Jumped by {size} on {date}."),
            ChangeKind::Slope => writeln!(text, "Growth changed by {size} a day on {date}."),
        };
    }
    let seasons = forecast.seasons.iter().map(|season| {
        let (swing, share) = (quantity(season.swing(), unit), season.strength * 100.0);
        format!("{} (swing {swing}, strength {share:.0} %)", season.name)
    });
    let seasons: Vec<String> = seasons.collect();
    if !seasons.is_empty() {
        let _ = writeln!(text, "Repeats by: {}.", seasons.join(", "));
    }
    for threshold in &forecast.thresholds {
        if let Some(chance) = threshold.probability_before {
            let (name, chance) = (&threshold.name, chance * 100.0);
            let _ = writeln!(
                text,
                "{chance:.0} % likely to reach {name} before the date asked."
            );
        }
    }
    if let Some(confidence) = forecast.confidence {
        let (word, value) = (confidence.word.word(), confidence.value);
        let _ = match forecast.synthetic {
            Some(_) => writeln!(
                text,
                "Confidence {word}, for history is made up ({value:.2} of 1 by its back-test)."
            ),
            None => writeln!(text, "Confidence {word} ({value:.2} of 1)."),
        };
    }
    if let Some(date) = &forecast.act_by {
        let _ = writeln!(text, "Act by {}.", day(date));
    }
    if text.is_empty() {
        text
    } else {
        format!("\n{text}")
    }
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
