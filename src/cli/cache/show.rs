//! Named queries as people read them.

use std::fmt::Write as _;

use serde_json::Value;

use crate::cli::table::{Cell, Paint, Table, Tone, percent, second};
use crate::model::units::counted;

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or("")
}

fn whole(value: &Value, field: &str) -> u64 {
    value.get(field).and_then(Value::as_u64).unwrap_or(0)
}

fn number(value: &Value, field: &str) -> Option<f64> {
    value.get(field).and_then(Value::as_f64)
}

fn items<'v>(value: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> {
    let items = value.get(field).and_then(Value::as_array);
    items.into_iter().flatten()
}

/// Bytes as people read them; 1 kB is 1024 bytes.
fn size(bytes: Option<f64>) -> String {
    match bytes {
        None => "–".to_owned(),
        Some(bytes) if bytes < 1024.0 => format!("{bytes} B"),
        Some(bytes) if bytes < 1_048_576.0 => format!("{:.1} kB", bytes / 1024.0),
        Some(bytes) => format!("{:.1} MB", bytes / 1_048_576.0),
    }
}

/// Seconds as people read them.
fn age(seconds: Option<f64>) -> String {
    match seconds {
        None => "–".to_owned(),
        Some(s) if s < 120.0 => format!("{s:.0} s"),
        Some(s) if s < 7_200.0 => format!("{:.0} m", s / 60.0),
        Some(s) => format!("{:.0} h", s / 3_600.0),
    }
}

fn tone(state: &str) -> Tone {
    match state {
        "fresh" => Tone::Good,
        "stale" => Tone::Warning,
        "failed" => Tone::Critical,
        _ => Tone::Faint,
    }
}

pub(super) fn list(all: &Value, paint: Paint) -> String {
    let all: Vec<&Value> = all.as_array().into_iter().flatten().collect();
    if all.is_empty() {
        return "no query is configured; add a [[query]] to plimsoll.toml\n".to_owned();
    }
    let mut table = Table::new(&[
        "QUERY",
        "STATE",
        ">AGE",
        ">ROWS",
        ">SIZE",
        ">HITS",
        ">MISSES",
        ">HIT RATE",
        "PRIORITY",
    ]);
    let mut failures = String::new();
    for query in all {
        let state = text(query, "state");
        let rows = query.get("rows").and_then(Value::as_u64);
        table.row([
            Cell::from(text(query, "key")),
            Cell::toned(state, tone(state)),
            age(number(query, "age")).into(),
            rows.map_or_else(|| "–".to_owned(), |rows| rows.to_string())
                .into(),
            size(number(query, "bytes")).into(),
            whole(query, "hits").to_string().into(),
            whole(query, "misses").to_string().into(),
            percent(number(query, "hitRate")).into(),
            text(query, "priority").into(),
        ]);
        if let Some(failure) = query.get("failure").filter(|failure| !failure.is_null()) {
            // Writing to a String cannot fail.
            let _ = writeln!(
                failures,
                "{} failed at {}: {}",
                text(query, "key"),
                second(text(failure, "at")),
                text(failure, "reason")
            );
        }
    }
    format!(
        "{}{}",
        table.draw(paint),
        paint.tone(&failures, Tone::Plain)
    )
}

pub(super) fn warmed(done: &Value, paint: Paint) -> String {
    let mut table = Table::new(&["QUERY", ">ROWS", ">SIZE", ">TOOK", ""]);
    for one in items(done, "warmed") {
        table.row([
            Cell::from(text(one, "key")),
            whole(one, "rows").to_string().into(),
            size(number(one, "bytes")).into(),
            format!("{:.1} ms", number(one, "tookMs").unwrap_or(0.0)).into(),
        ]);
    }
    for one in items(done, "failed") {
        let empty = || Cell::from("");
        let why = Cell::toned(text(one, "reason"), Tone::Critical);
        table.row([text(one, "key").into(), empty(), empty(), empty(), why]);
    }
    format!("{}{}\n", table.draw(paint), text(done, "message"))
}

pub(super) fn dropped(done: &Value) -> String {
    let mut shown = format!("{}\n", text(done, "message"));
    for key in items(done, "keys").filter_map(Value::as_str) {
        shown.push_str(key);
        shown.push('\n');
    }
    shown
}

pub(super) fn stats(both: &Value, paint: Paint) -> String {
    let nothing = Value::Null;
    let metrics = both.get("metrics").unwrap_or(&nothing);
    let rates = both.get("hitRate").unwrap_or(&nothing);
    let lookups = whole(metrics, "lookups");
    let rate = number(metrics, "hitRate").filter(|_| lookups > 0);
    let time = |field, count| {
        let times = whole(metrics, count);
        let mean = number(metrics, field).filter(|_| times > 0);
        mean.map_or_else(|| "–".to_owned(), |ms| format!("{:.1} µs", ms * 1e3))
    };
    let held = size(number(metrics, "memoryUsage"));
    let most = size(number(metrics, "maxBytes"));
    let mut shown = format!(
        "hit rate {} of {} since {}\n",
        percent(rate),
        counted(lookups, "lookup"),
        second(text(metrics, "since"))
    );
    // Writing to a String cannot fail.
    let _ = writeln!(
        shown,
        "{} in {held} of {most}, {}",
        counted(whole(metrics, "size"), "result"),
        counted(whole(metrics, "evictions"), "eviction")
    );
    let _ = writeln!(
        shown,
        "{} and {} failed",
        counted(whole(metrics, "loads"), "load"),
        whole(metrics, "loadFailures")
    );
    let _ = writeln!(
        shown,
        "a look takes {}, a change {}",
        time("avgGetTime", "gets"),
        time("avgSetTime", "sets")
    );
    let mut table = Table::new(&["KEYS", ">HIT RATE"]);
    for field in ["byPattern", "byKey"] {
        let all = rates.get(field).and_then(Value::as_object);
        for (key, rate) in all.into_iter().flatten() {
            let name = if field == "byKey" {
                key.clone()
            } else {
                format!("{key}:*")
            };
            table.row([Cell::from(name), percent(rate.as_f64()).into()]);
        }
    }
    if lookups > 0 {
        shown.push_str(&table.draw(paint));
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failure_is_told_below_the_list() {
        let all = json!([
            {"key": "a", "state": "fresh", "age": 3.2, "rows": 7, "bytes": 2048, "hits": 9,
             "misses": 1, "hitRate": 0.9, "priority": "high", "failure": null},
            {"key": "b", "state": "failed", "age": null, "rows": null, "bytes": null, "hits": 0,
             "misses": 1, "hitRate": 0.0, "priority": "low",
             "failure": {"reason": "no such table", "at": "2026-05-01T12:00:00.000Z"}},
        ]);
        let shown = list(&all, Paint::new(false));
        let lines: Vec<&str> = shown.lines().collect();
        assert!(
            lines[1].contains("fresh") && lines[1].contains("2.0 kB"),
            "{shown}"
        );
        assert!(
            lines[2].contains("failed") && lines[2].contains('–'),
            "{shown}"
        );
        assert_eq!(
            lines[3],
            "b failed at 2026-05-01 12:00:00 UTC: no such table"
        );
        assert!(list(&json!([]), Paint::new(false)).contains("[[query]]"));
    }

    #[test]
    fn figures_without_a_lookup_are_not_made_up() {
        let since = "2026-05-01T12:00:00.000Z";
        let none =
            json!({"metrics": {"lookups": 0, "hitRate": 0.0, "since": since}, "hitRate": {}});
        let shown = stats(&none, Paint::new(false));
        assert!(shown.starts_with("hit rate – of 0 lookups"), "{shown}");
        assert!(shown.contains("a look takes –"), "{shown}");
    }
}
