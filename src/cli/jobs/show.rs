//! Queues and jobs as people read them.

use std::fmt::Write as _;

use serde_json::Value;

use crate::cli::table::{Cell, Paint, Table, Tone, second};
use crate::model::units::Timestamp;

/// Signs of the longest bar, where there is room.
const BAR: usize = 20;
/// Columns that a table of queues takes beside names and bars.
const REST: usize = 72;

pub(super) fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or("")
}

pub(super) fn whole(value: &Value, field: &str) -> u64 {
    value.get(field).and_then(Value::as_u64).unwrap_or(0)
}

/// Milliseconds since 1970 as people read them.
fn instant(value: &Value, field: &str) -> String {
    let ms = value.get(field).and_then(Value::as_i64);
    let at = ms.map(|ms| second(&Timestamp::from_millis(ms).to_string()));
    at.unwrap_or_else(|| "–".to_owned())
}

/// Milliseconds as people read them.
pub(super) fn length(value: &Value, field: &str) -> String {
    match value.get(field).and_then(Value::as_f64) {
        None => "–".to_owned(),
        Some(ms) if ms < 1_000.0 => format!("{ms:.0} ms"),
        Some(ms) => format!("{:.1} s", ms / 1_000.0),
    }
}

pub(super) fn tone(state: &str) -> Tone {
    match state {
        "completed" => Tone::Good,
        "failed" | "dead" => Tone::Critical,
        "delayed" | "cancelled" => Tone::Faint,
        _ => Tone::Plain,
    }
}

pub(super) fn added(value: &Value) -> String {
    let what = match text(value, "added") {
        "same" => "was there already",
        "deduplicated" => "stands for it",
        _ => "added",
    };
    match text(value, "state") {
        // It is gone, and its window goes on.
        "" => format!("{} {what}\n", text(value, "id")),
        state => format!("{} {what}, {state}\n", text(value, "id")),
    }
}

pub(super) fn moved(value: &Value) -> String {
    format!("{} is {}\n", text(value, "id"), text(value, "state"))
}

/// A job that was called off; one that somebody works on goes on until that somebody stops.
pub(super) fn cancelled(value: &Value) -> String {
    match text(value, "state") {
        "active" => format!(
            "{} is active; its worker is asked to stop\n",
            text(value, "id")
        ),
        _ => moved(value),
    }
}

pub(super) fn message(value: &Value) -> String {
    format!("{}\n", text(value, "message"))
}

fn rows<'v>(jobs: impl Iterator<Item = &'v Value>, paint: Paint) -> String {
    let titles = [
        "ID",
        "NAME",
        "STATE",
        ">PRIORITY",
        ">ATTEMPTS",
        "ENQUEUED",
        "ERROR",
    ];
    let mut table = Table::new(&titles);
    let mut count = 0;
    for job in jobs {
        let state = text(job, "state");
        table.row([
            text(job, "id").into(),
            text(job, "name").into(),
            Cell::toned(state, tone(state)),
            whole(job, "priority").to_string().into(),
            whole(job, "attemptsMade").to_string().into(),
            instant(job, "timestamp").into(),
            text(job, "failedReason")
                .lines()
                .next()
                .unwrap_or("")
                .into(),
        ]);
        count += 1;
    }
    if count == 0 {
        return "no jobs\n".to_owned();
    }
    table.draw(paint)
}

pub(super) fn page(value: &Value, paint: Paint) -> String {
    let items = value.get("items").and_then(Value::as_array);
    let mut drawn = rows(items.into_iter().flatten(), paint);
    if value.get("nextCursor").is_some_and(Value::is_string) {
        drawn.push_str("more follow; ask for them with --limit\n");
    }
    drawn
}

pub(super) fn job(value: &Value, paint: Paint) -> String {
    let state = text(value, "state");
    let mut drawn = format!(
        "{} {} in {}: {}\n",
        text(value, "name"),
        text(value, "id"),
        text(value, "queueName"),
        paint.tone(state, tone(state))
    );
    for (title, field) in [
        ("enqueued", "timestamp"),
        ("runs from", "runAt"),
        ("began", "processedOn"),
        ("ended", "finishedOn"),
    ] {
        // Writing to a String cannot fail.
        let _ = writeln!(drawn, "  {title:<10} {}", instant(value, field));
    }
    for (title, field) in [
        ("priority", "priority"),
        ("attempts", "attemptsMade"),
        ("data", "data"),
        ("options", "opts"),
        ("progress", "progress"),
        ("result", "returnvalue"),
    ] {
        if let Some(shown) = value.get(field).filter(|shown| !shown.is_null()) {
            let _ = writeln!(drawn, "  {title:<10} {shown}");
        }
    }
    for error in value
        .get("errors")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let _ = writeln!(
            drawn,
            "  attempt {} at {}: {}",
            whole(error, "attempt"),
            instant(error, "at"),
            text(error, "message")
        );
    }
    for line in value
        .get("logs")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let _ = writeln!(drawn, "  {}  {}", instant(line, "at"), text(line, "text"));
    }
    drawn
}

/// One queue or many, with a bar for what waits as long as `columns` leaves room for one.
pub(super) fn stats(value: &Value, columns: usize, paint: Paint) -> String {
    let one = std::slice::from_ref(value);
    let queues = value.as_array().map_or(one, Vec::as_slice);
    if queues.is_empty() {
        return "no queues; the first job makes one: plimsoll jobs add QUEUE NAME\n".to_owned();
    }
    let titles = [
        "QUEUE", ">WAITING", "", ">ACTIVE", ">DELAYED", ">DONE", ">FAILED", ">DEAD", ">PER S",
        ">WAIT", ">RUN",
    ];
    let most = queues
        .iter()
        .map(|queue| whole(queue, "waiting"))
        .max()
        .unwrap_or(0);
    let is_paused = |queue: &Value| queue.get("paused") == Some(&Value::Bool(true));
    let name = |queue: &Value| {
        let paused = if is_paused(queue) { " (paused)" } else { "" };
        let name = format!("{}{paused}", text(queue, "queueName"));
        cut(&name, columns.saturating_sub(REST).max(12))
    };
    let longest = queues.iter().map(|queue| name(queue).chars().count());
    let room = columns.saturating_sub(REST + longest.max().unwrap_or(0));
    let mut table = Table::new(&titles);
    for queue in queues {
        let tone = if is_paused(queue) {
            Tone::Warning
        } else {
            Tone::Plain
        };
        let name = Cell::toned(name(queue), tone);
        let count = |field: &str, tone: Tone| match whole(queue, field) {
            0 => Cell::toned("0", Tone::Faint),
            many => Cell::toned(many.to_string(), tone),
        };
        let rate = queue
            .get("throughput")
            .and_then(Value::as_f64)
            .unwrap_or(0.0);
        table.row([
            name,
            count("waiting", Tone::Plain),
            bar(whole(queue, "waiting"), most, room.min(BAR)).into(),
            count("active", Tone::Plain),
            count("delayed", Tone::Plain),
            count("completed", Tone::Good),
            count("failed", Tone::Critical),
            count("dead", Tone::Critical),
            format!("{rate:.1}").into(),
            length(queue, "waitTimeP95").into(),
            length(queue, "processingTimeP95").into(),
        ]);
    }
    let mut drawn = table.draw(paint);
    drawn.push_str("WAIT and RUN: 95 of 100 jobs took at most so long, in the last 15 minutes\n");
    drawn
}

/// As much of a text as has room.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept + "…"
}

/// A bar as long as its share of the longest; something is never drawn as nothing.
pub(super) fn bar(value: u64, most: u64, longest: usize) -> String {
    let longest = longest as u64;
    let signs = (value * longest).div_ceil(most.max(1));
    "▇".repeat(usize::try_from(signs.min(longest)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stats_of_one_and_of_many_line_up() {
        let one = json!({"queueName": "mail", "waiting": 4, "failed": 1, "throughput": 2.25,
            "waitTimeP95": 1500.0, "paused": false});
        let drawn = stats(&one, 120, Paint::new(false));
        assert!(drawn.contains("mail"), "{drawn}");
        assert!(drawn.contains("1.5 s") && drawn.contains("–"), "{drawn}");
        let two = json!([one, {"queueName": "x", "waiting": 1, "paused": true}]);
        let drawn = stats(&two, 120, Paint::new(false));
        assert!(drawn.contains("x (paused)"), "{drawn}");
        assert_eq!(drawn.matches('▇').count(), 25, "{drawn}");
        let long = json!([{"queueName": "a-queue-whose-name-is-rather-long"}, two[0]]);
        let narrow = stats(&long, 80, Paint::new(false));
        assert!(
            narrow.lines().all(|line| line.chars().count() <= 80),
            "{narrow}"
        );
        assert!(stats(&json!([]), 80, Paint::new(false)).contains("jobs add"));
    }

    #[test]
    fn a_list_says_when_there_is_more() {
        let job = json!({"id": "7", "name": "n", "state": "dead", "failedReason": "one\ntwo"});
        let drawn = page(
            &json!({"items": [job], "nextCursor": "1.2"}),
            Paint::new(false),
        );
        assert!(drawn.contains("one") && !drawn.contains("two"), "{drawn}");
        assert!(drawn.contains("more follow"), "{drawn}");
        assert_eq!(page(&json!({}), Paint::new(false)), "no jobs\n");
    }

    #[test]
    fn what_became_of_a_job_is_told_as_it_is() {
        let gone = json!({"id": "7", "added": "deduplicated", "state": null});
        assert_eq!(added(&gone), "7 stands for it\n");
        let active = cancelled(&json!({"id": "7", "state": "active"}));
        assert_eq!(active, "7 is active; its worker is asked to stop\n");
        assert_eq!(
            cancelled(&json!({"id": "7", "state": "cancelled"})),
            "7 is cancelled\n"
        );
    }
}
