//! An answer as one line of JSON.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::exchange::projection::Meeting;
use crate::exchange::sequence::{Axis, End};
use crate::model::capacity::Backtest;
use crate::work::extend::Answer;

#[derive(Serialize)]
struct Line<'a> {
    series: &'a str,
    points: Vec<Map<String, Value>>,
    bands: Vec<Band<'a>>,
    crossings: Vec<Map<String, Value>>,
    periods: &'a [usize],
    method: &'a str,
    backtest: Option<&'a Backtest>,
}

/// One a level; its ends are in the order of the points.
#[derive(Serialize)]
struct Band<'a> {
    level: f64,
    lo: &'a [f64],
    hi: &'a [f64],
}

/// One object and a line end.
pub(super) fn line(answer: &Answer<'_>) -> serde_json::Result<Vec<u8>> {
    let (sequence, extension) = (answer.sequence, answer.extension);
    let axis = match sequence.end {
        End::Step(_) => Axis::Steps,
        End::Time { .. } => Axis::Times,
    };
    let points = extension.mean.iter().enumerate();
    let points = points.map(|(ahead, mean)| {
        let mut place = Vec::new();
        sequence.end.put_ahead(&mut place, ahead + 1);
        let place = String::from_utf8_lossy(&place).into_owned();
        let place = match axis {
            Axis::Steps => place.parse::<i64>().map_or(Value::Null, Value::from),
            Axis::Times => Value::from(place),
        };
        [
            (axis.name().to_owned(), place),
            ("mean".to_owned(), json!(mean)),
        ]
        .into_iter()
        .collect()
    });
    let unit = if sequence.step.is_some() {
        "days"
    } else {
        "steps"
    };
    let bands = extension.bands.iter().map(|band| Band {
        level: band.level.get(),
        lo: &band.lo,
        hi: &band.hi,
    });
    let mut text = serde_json::to_vec(&Line {
        series: &sequence.name,
        points: points.collect(),
        bands: bands.collect(),
        crossings: answer.meetings.iter().map(|m| crossing(m, unit)).collect(),
        periods: &extension.periods,
        method: &extension.method,
        backtest: extension.backtest.as_ref(),
    })?;
    text.push(b'\n');
    Ok(text)
}

fn crossing(meeting: &Meeting, unit: &str) -> Map<String, Value> {
    let plain = [
        ("threshold".to_owned(), json!(meeting.threshold)),
        ("probability".to_owned(), json!(meeting.probability)),
    ];
    let quantiles = ["P10", "P50", "P90"].into_iter().zip(meeting.quantiles);
    let quantiles = quantiles.map(|(name, time)| (format!("{unit}{name}"), json!(time)));
    plain.into_iter().chain(quantiles).collect()
}
