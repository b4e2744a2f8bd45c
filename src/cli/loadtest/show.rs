//! Scenarios, progress and results on the terminal.

use std::fmt::Write as _;

use crate::cli::table::{Cell, Paint, Table, Tone};
use crate::model::load::{
    Ended, Errors, Latency, LoadTestResults, Part, Scenario, ThresholdResult,
};
use crate::model::units::counted;
use crate::work::load::Progress;

/// The built-in scenarios, a line each.
pub(super) fn list(all: &[Scenario], paint: Paint) -> String {
    let mut table = Table::new(&["NAME", ">SECONDS", ">PEAK/S", ">REQUESTS", "DESCRIPTION"]);
    for scenario in all {
        table.row([
            Cell::toned(&scenario.name, Tone::Strong),
            (scenario.duration().0 / 1_000).to_string().into(),
            number(scenario.peak_rate()).into(),
            number(scenario.arrivals()).into(),
            scenario.description.as_str().into(),
        ]);
    }
    table.draw(paint)
}

/// How far a run is, in one line.
pub(super) fn progress(progress: &Progress) -> String {
    let mut line = format!(
        "{:>4.0} of {:.0} s  {}: {}/s, {} under way, p50 {} p99 {} ms, {} failed",
        progress.elapsed.as_secs_f64(),
        progress.total.0 as f64 / 1e3,
        progress.stage,
        progress.last_second,
        progress.in_flight,
        millis(progress.p50),
        millis(progress.p99),
        progress.failed,
    );
    if progress.waiting > 0 {
        // Writing to a String cannot fail.
        let _ = write!(line, ", {} wait for a slot", progress.waiting);
    }
    line
}

/// The result in one sentence.
pub(super) fn headline(result: &LoadTestResults) -> String {
    let missed = result.thresholds.iter().filter(|one| !one.passed).count() as u64;
    let verdict = match (result.ended, missed) {
        (Ended::Aborted, _) => "given up".to_owned(),
        (_, 0) => "all thresholds hold".to_owned(),
        (_, missed) => format!("{} missed", counted(missed, "threshold")),
    };
    format!(
        "{} against {}: {verdict}; {} in {:.1} s, {} failed",
        result.scenario_name,
        result.url,
        counted(result.total_requests, "request"),
        result.duration,
        result.failed_requests
    )
}

/// A whole result.
pub(super) fn result(result: &LoadTestResults, paint: Paint) -> String {
    let tone = if result.passed {
        Tone::Good
    } else {
        Tone::Critical
    };
    let mut text = paint.tone(&headline(result), tone) + "\n";
    if let Some(reason) = &result.reason {
        text += reason;
        text.push('\n');
    }
    text += "\n";
    text += &stages(result).draw(paint);
    text += "\n";
    text += &rows("ENDPOINT", &result.endpoints).draw(paint);
    text += "\n";
    text += &thresholds(&result.thresholds).draw(paint);
    text += "\n";
    for line in remarks(result) {
        text += &line;
        text.push('\n');
    }
    text
}

const FIGURES: [&str; 9] = [
    ">REQUESTS",
    ">PER S",
    ">P50",
    ">P75",
    ">P90",
    ">P95",
    ">P99",
    ">MAX",
    ">ERRORS",
];

fn stages(result: &LoadTestResults) -> Table {
    let mut table = Table::new(&[&["STAGE", ">PLANNED/S"], FIGURES.as_slice()].concat());
    for part in &result.stages {
        let planned = part.planned_rate.map_or_else(String::new, number);
        table.row(
            [Cell::from(part.name.as_str()), planned.into()]
                .into_iter()
                .chain(figures(
                    part.requests,
                    part.rate,
                    &part.latency,
                    &part.errors,
                )),
        );
    }
    let all = &result.metrics;
    let rate = all.throughput.requests_per_second;
    let planned = result.planned_requests as f64;
    let head = |name: &str, planned: String| [Cell::toned(name, Tone::Strong), planned.into()];
    let total = figures(result.total_requests, rate, &all.latency, &all.errors);
    let seconds = result.duration.max(1e-3);
    let planned = match result.ended {
        Ended::Finished => number(planned / seconds),
        _ => String::new(),
    };
    table.row(head("all", planned).into_iter().chain(total));
    let service = figures(result.total_requests, rate, &result.service, &all.errors);
    let name = "from sending on";
    table.row(
        [Cell::toned(name, Tone::Faint), "".into()]
            .into_iter()
            .chain(service),
    );
    table
}

fn rows(title: &'static str, parts: &[Part]) -> Table {
    let mut table = Table::new(&[&[title], FIGURES.as_slice()].concat());
    for part in parts {
        let figures = figures(part.requests, part.rate, &part.latency, &part.errors);
        table.row(std::iter::once(Cell::from(part.name.as_str())).chain(figures));
    }
    table
}

fn figures(requests: u64, rate: f64, latency: &Latency, errors: &Errors) -> [Cell; 9] {
    let tone = if errors.total > 0 {
        Tone::Critical
    } else {
        Tone::Plain
    };
    [
        requests.to_string().into(),
        number(rate).into(),
        millis(latency.p50).into(),
        millis(latency.p75).into(),
        millis(latency.p90).into(),
        millis(latency.p95).into(),
        millis(latency.p99).into(),
        millis(latency.max).into(),
        Cell::toned(errors.total.to_string(), tone),
    ]
}

fn thresholds(all: &[ThresholdResult]) -> Table {
    let mut table = Table::new(&["THRESHOLD", ">WANTED", ">CAME", ""]);
    for one in all {
        let sign = if one.name == "requests_per_s" {
            "≥"
        } else {
            "≤"
        };
        let (word, tone) = if one.passed {
            ("holds", Tone::Good)
        } else {
            ("missed", Tone::Critical)
        };
        let figure = |value: f64| {
            if one.name == "error_ratio" {
                format!("{:.2} %", value * 100.0)
            } else {
                number(value)
            }
        };
        table.row([
            one.name.as_str().into(),
            format!("{sign} {}", figure(one.limit)).into(),
            one.actual.map_or_else(|| "–".to_owned(), figure).into(),
            Cell::toned(word, tone),
        ]);
    }
    table
}

/// What tables do not say.
fn remarks(result: &LoadTestResults) -> Vec<String> {
    let mut lines = vec![
        "Times in ms, from the intended start of each request; \"from sending on\" leaves out what it \
         waited before."
            .to_owned(),
    ];
    if !result.metrics.errors.by_type.is_empty() {
        let kinds = result.metrics.errors.by_type.iter();
        let kinds: Vec<String> = kinds
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        lines.push(format!("Errors: {}", kinds.join(", ")));
    }
    if result.waited_requests > 0 {
        lines.push(format!(
            "{} waited for one of {} slots.",
            counted(result.waited_requests, "request"),
            result.max_in_flight
        ));
    }
    if result.unfinished_requests > 0 {
        lines.push(format!(
            "{} had not ended when it was stopped.",
            counted(result.unfinished_requests, "request")
        ));
    }
    lines.extend(result.notes.iter().map(|note| format!("Note: {note}.")));
    let generator = &result.generator;
    let share = |share: Option<f64>| {
        share.map_or_else(|| "–".to_owned(), |share| format!("{:.0} %", share * 100.0))
    };
    lines.push(format!(
        "Generator: {} (p99 of its lateness {} ms, at work {}, waiting for a processor {}).",
        generator.says,
        millis(generator.lateness_p99_ms),
        share(generator.cpu_ratio),
        share(generator.run_queue_wait_ratio)
    ));
    lines
}

/// Three digits that count, whole numbers whole.
fn number(value: f64) -> String {
    if value >= 100.0 || value.fract().abs() < f64::EPSILON {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

fn millis(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_says_what_was_missed_and_why_figures_may_mislead() {
        let text = include_str!("../../work/load/result.json");
        let mut found: LoadTestResults = serde_json::from_str(text).unwrap();
        let shown = result(&found, Paint::new(false));
        insta::assert_snapshot!(shown);
        found.ended = Ended::Aborted;
        assert!(
            headline(&found).contains("given up"),
            "{}",
            headline(&found)
        );
    }

    #[test]
    fn figures_have_three_digits_that_count() {
        let all = [0.0, 0.123_4, 9.999, 42.42, 123.4, 1_234.5];
        let shown: Vec<String> = all.into_iter().map(number).collect();
        assert_eq!(shown, ["0", "0.12", "10.00", "42.4", "123", "1234"]);
    }
}
