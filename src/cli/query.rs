//! `plimsoll query`.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::Value;

use super::client::{Client, parameter};
use super::output::json;
use super::table::{Cell, Paint, Table};
use super::{Outcome, World};
use crate::model::series::{Labels, SeriesKey};
use crate::model::units::Timestamp;

/// Ask the history a question in `PromQL`
///
/// The running server answers, as it answers Grafana. The help of functions is in the Prometheus
/// manual; what is not supported is named in the answer.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  plimsoll query pg_database_size_bytes
  plimsoll query 'topk(5, rate(pg_database_tup_inserted_total[10m]))'
  plimsoll query 'sum by (target) (pg_database_size_bytes)' --format csv
  plimsoll query 'avg_over_time(pg_database_size_bytes[5m])' --from 2026-03-10T00:00:00Z --until 2026-03-11T00:00:00Z --step 5m")]
pub(super) struct Query {
    /// The expression
    expression: String,
    /// Instant: seconds since 1970, or RFC 3339; default: now
    #[arg(long, conflicts_with = "from", allow_hyphen_values = true)]
    at: Option<String>,
    /// First instant of a range
    #[arg(long, requires = "until", allow_hyphen_values = true)]
    from: Option<String>,
    /// Last instant of a range
    #[arg(long, requires = "from", allow_hyphen_values = true)]
    until: Option<String>,
    /// From one instant of a range to the next: seconds, or a length such as 5m
    #[arg(long, default_value = "5m", requires = "from")]
    step: String,
    /// How to show it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// An aligned table
    #[default]
    Table,
    /// The server's JSON
    Json,
    /// A line a value: time, series, value
    Csv,
}

/// The server's answer, as far as it is shown.
#[derive(Debug, Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Value,
}

/// One value of an answer, as text.
#[derive(Debug, PartialEq)]
struct Line {
    time: String,
    series: String,
    value: String,
}

pub(super) async fn run(command: &Query, world: &World<'_>) -> anyhow::Result<Outcome> {
    let config = world.load()?;
    let client = Client::new(&config.socket());
    let body: Value = client.json(&path(command)).await?;
    if command.format == Format::Json {
        return Ok(Outcome::done(json(&body)?));
    }
    let answer: Answer = serde_json::from_value(body)?;
    let lines = lines(&answer.data);
    Ok(Outcome::done(match command.format {
        Format::Csv => csv(&lines),
        _ => table(&lines, world.paint),
    }))
}

fn path(command: &Query) -> String {
    let query = parameter("query", &command.expression);
    if let (Some(from), Some(until)) = (&command.from, &command.until) {
        let fields = [
            query,
            parameter("start", from),
            parameter("end", until),
            parameter("step", &command.step),
        ];
        return format!("/api/v1/query_range?{}", fields.join("&"));
    }
    match &command.at {
        Some(at) => format!("/api/v1/query?{query}&{}", parameter("time", at)),
        None => format!("/api/v1/query?{query}"),
    }
}

/// All values of an answer, in its order.
fn lines(data: &Data) -> Vec<Line> {
    match data.result_type.as_str() {
        "vector" | "matrix" => {
            let all = data.result.as_array().into_iter().flatten();
            all.flat_map(|one| {
                let series = key(one.get("metric"));
                let single = one.get("value").into_iter();
                let many = one.get("values").and_then(Value::as_array);
                let points = single.chain(many.into_iter().flatten());
                points.map(|point| line(&series, point)).collect::<Vec<_>>()
            })
            .collect()
        }
        _ => vec![line("", &data.result)],
    }
}

/// A label set as people write it.
fn key(metric: Option<&Value>) -> String {
    let pairs = metric.and_then(Value::as_object).into_iter().flatten();
    let labels: Labels = pairs
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect();
    let name = labels.get("__name__").unwrap_or("").to_owned();
    let key = SeriesKey {
        metric: name.into(),
        labels: labels.with("__name__", ""),
    };
    let text = key.to_string();
    if text.is_empty() {
        "{}".to_owned()
    } else {
        text
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the server's times are within the calendar"
)]
fn line(series: &str, point: &Value) -> Line {
    let seconds = point.get(0).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let value = point.get(1).and_then(Value::as_str).unwrap_or("");
    Line {
        time: Timestamp::from_millis((seconds * 1_000.0).round() as i64).to_string(),
        series: series.to_owned(),
        value: value.to_owned(),
    }
}

fn table(lines: &[Line], paint: Paint) -> String {
    if lines.is_empty() {
        return "no series matches, or none has a value then\n".to_owned();
    }
    let mut table = Table::new(&["TIME", "SERIES", ">VALUE"]);
    for line in lines {
        let cells = [&line.time, &line.series, &line.value];
        table.row(cells.map(|text| Cell::from(text.as_str())));
    }
    table.draw(paint)
}

/// RFC 4180, with a heading.
fn csv(lines: &[Line]) -> String {
    let mut text = "time,series,value\n".to_owned();
    for line in lines {
        let series = line.series.replace('"', "\"\"");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{},\"{series}\",{}", line.time, line.value);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn data(result_type: &str, result: Value) -> Data {
        Data {
            result_type: result_type.to_owned(),
            result,
        }
    }

    #[test]
    fn every_kind_of_answer_becomes_lines() {
        let metric = json!({"__name__": "m", "a": "b\"c"});
        let vector = json!([{"metric": metric, "value": [1.5, "2"]}]);
        let matrix = json!([{"metric": {}, "values": [[1, "2"], [2, "NaN"]]}]);
        let shown = lines(&data("vector", vector));
        assert_eq!(shown[0].series, r#"m{a="b\"c"}"#);
        assert_eq!(shown[0].time, "1970-01-01T00:00:01.500Z");
        let shown = lines(&data("matrix", matrix));
        assert_eq!((shown.len(), shown[1].value.as_str()), (2, "NaN"));
        assert_eq!(shown[0].series, "{}");
        assert_eq!(lines(&data("scalar", json!([1, "3"])))[0].value, "3");
    }

    #[test]
    fn quotes_in_a_series_do_not_end_its_field() {
        let line = Line {
            time: "t".to_owned(),
            series: r#"m{a="b"}"#.to_owned(),
            value: "1".to_owned(),
        };
        assert_eq!(csv(&[line]), "time,series,value\nt,\"m{a=\"\"b\"\"}\",1\n");
    }
}
