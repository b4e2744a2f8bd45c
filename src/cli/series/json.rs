//! An answer as one line of JSON.
//!
//! Names are those of a resource's forecast (`http::wire`), where it has the same.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::exchange::projection::Meeting;
use crate::exchange::sequence::{Axis, End, Sequence};
use crate::model::capacity::{Backtest, Confidence, Crossing, Estimate, Season, Turn};
use crate::model::units::{Millis, Timestamp};
use crate::work::extend::Answer;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    series: &'a str,
    /// `forecast`, or `notEnoughData`: the last value is repeated then.
    outlook: &'static str,
    /// `haveSteps`, `needSteps` and `moreSteps`, where there are too few values.
    #[serde(flatten)]
    lack: Option<Map<String, Value>>,
    level: f64,
    /// `growthPerDay`, or `growthPerStep` where the length of a step is not known.
    #[serde(flatten)]
    growth: Map<String, Value>,
    /// Change in 30.44 days as a share of the level.
    growth_per_month: Option<Estimate>,
    points: Vec<Map<String, Value>>,
    bands: Vec<Band<'a>>,
    crossings: Vec<Map<String, Value>>,
    changes: Vec<Map<String, Value>>,
    seasons: &'a [Season],
    periods: &'a [usize],
    method: &'a str,
    backtest: Option<&'a Backtest>,
    confidence: Option<Confidence>,
}

/// One a level; its ends are in the order of the points.
#[derive(Serialize)]
struct Band<'a> {
    level: f64,
    lo: &'a [f64],
    hi: &'a [f64],
}

/// One object and a line end; `lead` is how long a remedy takes.
pub(super) fn line(answer: &Answer<'_>, lead: Millis) -> serde_json::Result<Vec<u8>> {
    let (sequence, extension) = (answer.sequence, answer.extension);
    let points = extension.mean.iter().enumerate();
    let points = points.map(|(ahead, mean)| {
        let place = place(sequence, |out| sequence.end.put_ahead(out, ahead + 1));
        [place, ("mean".to_owned(), json!(mean))]
            .into_iter()
            .collect()
    });
    let bands = extension.bands.iter().map(|band| Band {
        level: band.level.get(),
        lo: &band.lo,
        hi: &band.hi,
    });
    let met = answer.meetings.iter();
    let past = extension.past.as_ref();
    let mut text = serde_json::to_vec(&Line {
        series: &sequence.name,
        outlook: match extension.lack {
            Some(_) => "notEnoughData",
            None => "forecast",
        },
        lack: extension.lack.map(|lack| {
            let more = lack.need - lack.have;
            let told = [("have", lack.have), ("need", lack.need), ("more", more)];
            let told = told.into_iter();
            told.map(|(name, steps)| (format!("{name}Steps"), json!(steps)))
                .collect()
        }),
        level: extension.level,
        growth: growth(extension.growth, sequence.step),
        growth_per_month: extension.growth_per_month,
        points: points.collect(),
        bands: bands.collect(),
        crossings: met
            .map(|meeting| crossing(meeting, sequence, lead))
            .collect(),
        changes: past.map_or_else(Vec::new, |past| {
            let changes = past.changes.iter();
            changes.map(|turn| change(turn, sequence)).collect()
        }),
        seasons: past.map_or(&[][..], |past| &past.seasons),
        periods: &extension.periods,
        method: &extension.method,
        backtest: extension.backtest.as_ref(),
        confidence: extension.backtest.as_ref().map(Confidence::of),
    })?;
    text.push(b'\n');
    Ok(text)
}

/// A place on the series' axis, as `step` or as `ts`.
fn place(sequence: &Sequence, put: impl FnOnce(&mut Vec<u8>)) -> (String, Value) {
    let mut text = Vec::new();
    put(&mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    let (axis, value) = match sequence.end {
        End::Step { .. } => (
            Axis::Steps,
            text.parse::<i64>().map_or(Value::Null, Value::from),
        ),
        End::Time { .. } => (Axis::Times, Value::from(text)),
    };
    (axis.name().to_owned(), value)
}

/// Change a day, or a step where its length is not known.
fn growth(per_step: Estimate, step: Option<Millis>) -> Map<String, Value> {
    let (name, days) = match step {
        Some(step) => ("growthPerDay", step.as_days()),
        None => ("growthPerStep", 1.0),
    };
    let growth = Estimate {
        value: per_step.value / days,
        lo: per_step.lo / days,
        hi: per_step.hi / days,
    };
    Map::from_iter([(name.to_owned(), json!(growth))])
}

fn change(turn: &Turn, sequence: &Sequence) -> Map<String, Value> {
    let back = sequence.values.len().saturating_sub(turn.at + 1);
    [
        place(sequence, |out| sequence.end.put_back(out, back)),
        ("kind".to_owned(), json!(turn.kind)),
        ("size".to_owned(), json!(turn.size)),
    ]
    .into_iter()
    .collect()
}

/// When a threshold is met, in days after the last value or in steps, and by date where there are
/// dates; and by when to act, where it is known how long that is.
fn crossing(meeting: &Meeting, sequence: &Sequence, lead: Millis) -> Map<String, Value> {
    const QUANTILES: [&str; 3] = ["P10", "P50", "P90"];
    let unit = if sequence.step.is_some() {
        "days"
    } else {
        "steps"
    };
    let mut told: Map<String, Value> = [
        ("threshold", json!(meeting.threshold)),
        ("probability", json!(meeting.probability)),
        ("crossed", json!(meeting.crossed)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    for (name, time) in QUANTILES.into_iter().zip(meeting.quantiles) {
        told.insert(format!("{unit}{name}"), json!(time));
    }
    let last = match sequence.end {
        End::Time { last, .. } => Some(last),
        End::Step { .. } => None,
    };
    // Where there are no dates, days are counted from the last value.
    let now = last.unwrap_or(Timestamp::from_millis(0));
    let [p10, p50, p90] = meeting.quantiles.map(|days| Some(later(now, days?)));
    let crossing = Crossing {
        name: String::new(),
        threshold: meeting.threshold,
        probability: meeting.probability,
        p10,
        p50,
        p90,
        crossed: meeting.crossed,
    };
    let act_by = crossing.act_by(now, lead);
    if last.is_some() {
        let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
        for (name, at) in ["p10", "p50", "p90"].into_iter().zip([p10, p50, p90]) {
            told.insert(name.to_owned(), json!(text(at)));
        }
        told.insert("actBy".to_owned(), json!(text(act_by)));
    } else if sequence.step.is_some() {
        let days = act_by.map(|at| at.as_millis() as f64 / Millis::DAY.0 as f64);
        told.insert("actByDays".to_owned(), json!(days));
    }
    told
}

/// So many days after `now`.
fn later(now: Timestamp, days: f64) -> Timestamp {
    const SECONDS: f64 = 86_400.0;
    let by = std::time::Duration::try_from_secs_f64(days * SECONDS);
    now.plus(by.unwrap_or_default())
}
