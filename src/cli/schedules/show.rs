//! Schedules as people read them.

use std::fmt::Write as _;

use serde_json::Value;

use crate::cli::table::{Cell, Paint, Table, Tone, second};
use crate::model::units::Timestamp;

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or("")
}

fn whole(value: &Value, field: &str) -> Option<i64> {
    value.get(field).and_then(Value::as_i64)
}

/// Milliseconds since 1970 as people read them.
fn instant(value: &Value, field: &str) -> String {
    let at = whole(value, field).map(|ms| second(&Timestamp::from_millis(ms).to_string()));
    at.unwrap_or_else(|| "–".to_owned())
}

/// An instant on a zone's clocks: `2027-03-28 03:00:00 +02:00`.
fn clock(local: &str) -> String {
    let (time, ahead) = local.split_at_checked(19).unwrap_or((local, ""));
    format!("{} {ahead}", time.replace('T', " "))
}

/// Milliseconds as flags write them.
fn length(ms: i64) -> String {
    for (unit, length) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
    ] {
        if ms % length == 0 {
            return format!("{}{unit}", ms / length);
        }
    }
    format!("{ms}ms")
}

/// When it comes: the pattern, or how often.
fn when(schedule: &Value) -> String {
    match whole(schedule, "every") {
        Some(every) => format!("every {}", length(every)),
        None => text(schedule, "pattern").to_owned(),
    }
}

fn tone(state: &str) -> Tone {
    match state {
        "completed" => Tone::Good,
        "failed" | "dead" => Tone::Critical,
        "paused" => Tone::Warning,
        "ended" | "delayed" | "cancelled" => Tone::Faint,
        _ => Tone::Plain,
    }
}

/// How the last run ended, or where it stands.
fn outcome(schedule: &Value) -> Cell {
    let last = schedule.get("last").filter(|last| !last.is_null());
    let Some(last) = last else {
        return Cell::toned("–", Tone::Faint);
    };
    match (text(last, "state"), text(last, "failedReason")) {
        ("", "") => Cell::toned("removed", Tone::Faint),
        ("", _) => Cell::toned("left out", Tone::Warning),
        (state, _) => Cell::toned(state, tone(state)),
    }
}

pub(super) fn message(value: &Value) -> String {
    format!("{}\n", text(value, "message"))
}

pub(super) fn made(value: &Value) -> String {
    let state = match text(value, "nextLocal") {
        "" => text(value, "state").to_owned(),
        next => format!("next {}", clock(next)),
    };
    format!("{} scheduled, {state}\n", text(value, "name"))
}

pub(super) fn list(value: &Value, paint: Paint) -> String {
    let all = value.as_array().map_or(&[][..], Vec::as_slice);
    if all.is_empty() {
        return "no schedules; make one: plimsoll schedules add NAME --queue QUEUE --cron PATTERN\n"
            .to_owned();
    }
    let titles = [
        "NAME", "QUEUE", "WHEN", "ZONE", "STATE", "NEXT", ">RUNS", "LAST", "OUTCOME",
    ];
    let mut table = Table::new(&titles);
    for one in all {
        let state = text(one, "state");
        let next = match text(one, "nextLocal") {
            "" => "–".to_owned(),
            next => clock(next),
        };
        let last = one.get("last").unwrap_or(&Value::Null);
        table.row([
            text(one, "name").into(),
            text(one, "jobType").into(),
            when(one).into(),
            text(one, "timezone").into(),
            Cell::toned(state, tone(state)),
            next.into(),
            whole(one, "count").unwrap_or(0).to_string().into(),
            instant(last, "timestamp").into(),
            outcome(one),
        ]);
    }
    table.draw(paint)
}

pub(super) fn one(value: &Value, paint: Paint) -> String {
    let state = text(value, "state");
    let mut drawn = format!(
        "{} into {}: {}\n",
        text(value, "name"),
        text(value, "jobType"),
        paint.tone(state, tone(state))
    );
    let mut line = |title: &str, shown: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(drawn, "  {title:<10} {shown}");
    };
    line(
        "when",
        format!("{} {}", when(value), text(value, "timezone")),
    );
    if !text(value, "nextLocal").is_empty() {
        line("next", clock(text(value, "nextLocal")));
    }
    line("runs", whole(value, "count").unwrap_or(0).to_string());
    for (title, field) in [("from", "startAt"), ("until", "endAt")] {
        if whole(value, field).is_some() {
            line(title, instant(value, field));
        }
    }
    if let Some(jitter) = whole(value, "jitter") {
        line("jitter", length(jitter));
    }
    for (title, field) in [
        ("limit", "limit"),
        ("catch up", "catchUp"),
        ("job", "jobName"),
        ("data", "data"),
        ("options", "opts"),
    ] {
        if let Some(shown) = value.get(field).filter(|shown| !shown.is_null()) {
            line(
                title,
                shown
                    .as_str()
                    .map_or_else(|| shown.to_string(), str::to_owned),
            );
        }
    }
    if let Some(last) = value.get("last").filter(|last| !last.is_null()) {
        line(
            "last run",
            format!(
                "{} as job {}",
                instant(last, "timestamp"),
                text(last, "jobId")
            ),
        );
        let reason = text(last, "failedReason");
        let state = match text(last, "state") {
            "" if reason.is_empty() => "removed",
            "" => "left out",
            state => state,
        };
        let colon = if reason.is_empty() { "" } else { ": " };
        line(
            "outcome",
            format!("{}{colon}{reason}", paint.tone(state, tone(state))),
        );
    }
    line("made", instant(value, "createdAt"));
    drawn
}

pub(super) fn ticks(value: &Value, paint: Paint) -> String {
    let all = value.as_array().map_or(&[][..], Vec::as_slice);
    if all.is_empty() {
        return "no tick is to come\n".to_owned();
    }
    let is_late = |tick: &Value| whole(tick, "tick") != whole(tick, "runAt");
    let with_jitter = all.iter().any(is_late);
    let titles: &[&str] = if with_jitter {
        &["ON THE CLOCK", "UTC", "RUNS FROM"]
    } else {
        &["ON THE CLOCK", "UTC"]
    };
    let mut table = Table::new(titles);
    for tick in all {
        let mut cells: Vec<Cell> = vec![
            clock(text(tick, "local")).into(),
            instant(tick, "tick").trim_end_matches(" UTC").into(),
        ];
        if with_jitter {
            cells.push(instant(tick, "runAt").trim_end_matches(" UTC").into());
        }
        table.row(cells);
    }
    table.draw(paint)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nightly() -> Value {
        json!({"name": "nightly", "jobType": "cleanup", "pattern": "0 3 * * *", "count": 4,
            "timezone": "Europe/Berlin", "state": "active", "catchUp": "one", "jitter": 5_000,
            "nextLocal": "2027-03-28T03:00:00+02:00", "createdAt": 0,
            "last": {"timestamp": 0, "jobId": "schedule:nightly:0", "state": "dead",
            "failedReason": "no disk"}})
    }

    #[test]
    fn a_schedule_shows_when_it_comes_and_how_it_went() {
        let drawn = list(&json!([nightly()]), Paint::new(false));
        for shown in [
            "0 3 * * *",
            "2027-03-28 03:00:00 +02:00",
            "dead",
            "1970-01-01 00:00:00 UTC",
        ] {
            assert!(drawn.contains(shown), "{shown}: {drawn}");
        }
        let drawn = one(&nightly(), Paint::new(false));
        assert!(drawn.contains("outcome    dead: no disk"), "{drawn}");
        assert!(drawn.contains("jitter     5s"), "{drawn}");
        assert!(list(&json!([]), Paint::new(false)).contains("schedules add"));
    }

    #[test]
    fn a_run_without_outcome_is_not_called_good() {
        let mut left_out = nightly();
        left_out["last"]["state"] = Value::Null;
        assert!(one(&left_out, Paint::new(false)).contains("left out: no disk"));
        left_out["last"]["failedReason"] = Value::Null;
        assert!(one(&left_out, Paint::new(false)).contains("removed"));
    }

    #[test]
    fn ticks_show_the_jitter_where_there_is_some() {
        let plain = json!([{"tick": 0, "runAt": 0, "local": "1970-01-01T01:00:00+01:00"}]);
        let drawn = ticks(&plain, Paint::new(false));
        assert_eq!(
            drawn,
            "ON THE CLOCK                UTC\n1970-01-01 01:00:00 +01:00  1970-01-01 00:00:00\n"
        );
        let late = json!([{"tick": 0, "runAt": 1_000, "local": "1970-01-01T01:00:00+01:00"}]);
        assert!(ticks(&late, Paint::new(false)).contains("RUNS FROM"));
        assert_eq!(
            (length(90_000), length(7_200_000), length(5)),
            ("90s".into(), "2h".into(), "5ms".into())
        );
    }
}
