//! The queues of this server: a table of them, and one of schedules.

use super::{cell, each, part, summary, table};
use crate::model::units::{Timestamp, counted};
use crate::report::chart::{self, escape};
use crate::report::jobs::{JobsReport, QueueRow, ScheduleRow};
use crate::report::verdict::Standing;
use crate::report::words;

/// Queues and schedules; nothing where there are none.
pub(super) fn jobs(report: &JobsReport, now: Timestamp) -> String {
    let body = format!("{}{}", queues(report), schedules(report, now));
    if body.is_empty() {
        return body;
    }
    format!("<section class=\"target\" id=\"jobs\"><h2>Jobs</h2>{body}</section>")
}

fn queues(report: &JobsReport) -> String {
    if report.queues.is_empty() {
        return String::new();
    }
    let most = report.queues.iter().map(|queue| queue.waiting).max();
    let most = most.unwrap_or(0).max(1) as f64;
    let rows = each(&report.queues, |queue| row(queue, most));
    let heads = [
        "Queue",
        "Waiting",
        "Active",
        "Delayed",
        "Done per s",
        "Wait, p95",
        "Run, p95",
        "Dead letters",
    ];
    let caption = format!(
        "Done per second over the last minute, times over the last 15{}",
        more(report.more_queues, "queue")
    );
    part("Queues", &table("stacks", &caption, &heads, &rows))
}

fn row(queue: &QueueRow, most: f64) -> String {
    let name = escape(&words::one_line(&queue.name, 60));
    let paused = if queue.paused {
        format!(" {}", summary::badge(Standing::Warning, "paused"))
    } else {
        String::new()
    };
    let bar = match queue.waiting {
        0 => String::new(),
        many => chart::bar(many as f64 / most, &[], "accent"),
    };
    let count = |label: &str, many: u64| number(label, many == 0, &words::count(many));
    let length = |label: &str, ms: Option<f64>| match ms {
        Some(ms) => number(label, false, &words::millis(ms)),
        None => number(label, true, "–"),
    };
    let rate = queue.throughput.0;
    format!(
        "<tr><th scope=\"row\">{name}{paused}</th>{}{}{}{}{}{}{}</tr>",
        cell(
            "Waiting",
            "used",
            &format!("{}{bar}", words::count(queue.waiting))
        ),
        count("Active", queue.active),
        count("Delayed", queue.delayed),
        number("Done per s", rate < 0.05, &format!("{rate:.1}")),
        length("Wait, p95", queue.wait_p95),
        length("Run, p95", queue.run_p95),
        number("Dead letters", queue.dead == 0, &letters(queue)),
    )
}

/// A figure; where columns do not fit, one that says nothing is left out.
fn number(label: &str, is_idle: bool, html: &str) -> String {
    let class = if is_idle { "number idle" } else { "number" };
    cell(label, class, html)
}

/// Dead letters are a warning from the queue's own threshold on, else only a number.
fn letters(queue: &QueueRow) -> String {
    let many = words::count(queue.dead);
    if queue.alert {
        summary::badge(Standing::Warning, &many)
    } else {
        many
    }
}

fn schedules(report: &JobsReport, now: Timestamp) -> String {
    if report.schedules.is_empty() {
        return String::new();
    }
    let rows = each(&report.schedules, |schedule| {
        format!(
            "<tr><th scope=\"row\">{}</th>{}{}{}{}</tr>",
            escape(&words::one_line(&schedule.name, 60)),
            cell("Queue", "", &escape(&words::one_line(&schedule.queue, 60))),
            cell("When", "", &escape(&words::one_line(&schedule.when, 80))),
            cell("Next", "date", &next(schedule)),
            cell("Last run", "", &last(schedule, now)),
        )
    });
    let heads = ["Schedule", "Queue", "When", "Next", "Last run"];
    let caption = format!(
        "Next runs on the clocks of their zones{}",
        more(report.more_schedules, "schedule")
    );
    part("Schedules", &table("stacks", &caption, &heads, &rows))
}

fn next(schedule: &ScheduleRow) -> String {
    match &schedule.next {
        Some(next) => format!("<b>{}</b>", escape(next)),
        None if schedule.paused => summary::badge(Standing::Warning, "paused"),
        None => "ended".to_owned(),
    }
}

fn last(schedule: &ScheduleRow, now: Timestamp) -> String {
    let Some(last) = &schedule.last else {
        return "–".to_owned();
    };
    let state = escape(&words::one_line(&last.state, 20));
    let state = match last.standing {
        Standing::Unknown => state,
        standing => summary::badge(standing, &state),
    };
    let reason = match &last.reason {
        Some(reason) => format!("<small>{}</small>", escape(&words::one_line(reason, 120))),
        None => String::new(),
    };
    format!("{state}, {} ago{reason}", words::age(last.at, now))
}

fn more(many: usize, word: &str) -> String {
    match many {
        0 => String::new(),
        many => format!("; {} more not shown", counted(many, word)),
    }
}
