//! One queue on the terminal, drawn anew each second: how many stand where, how fast, what happened.
//!
//! For: a person who watches. Not for: pipes, which get events line by line (`watch`). Read [`draw`].

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::watch::Lines;
use super::{BASE, asked, of};
use crate::cli::client::{Client, parameter};
use crate::cli::jobs::show::{bar, cut, length, text, tone, whole};
use crate::cli::table::{Paint, Tone};

/// Between two drawings.
const EVERY: Duration = Duration::from_secs(1);
/// Rates that are remembered: a minute.
const RATES: usize = 60;
/// Rows of the screen that events leave to the rest.
const HEAD: usize = 12;

/// What is known of a queue.
#[derive(Debug, Default)]
struct Seen {
    metrics: Value,
    alerts: Vec<String>,
    /// Jobs that ended in each second, the newest last.
    rates: VecDeque<f64>,
    ended: Option<u64>,
    events: VecDeque<String>,
}

/// Watches a queue until Ctrl-C, or until the server ends.
pub(super) async fn watch(client: &Client, queue: &str, paint: Paint) -> anyhow::Result<()> {
    let seen = RefCell::new(Seen::default());
    let mut sink = Lines::new(Log(&seen, Vec::new()), false);
    let path = of(queue, "/events");
    let events = client.download(&path, &mut sink);
    let drawing = async {
        loop {
            look(client, queue, &seen).await?;
            let (width, height) = size();
            let drawn = draw(&seen.borrow(), (width, height), paint);
            // Home, each line cleared to its end, and all below: nothing flickers.
            let drawn = drawn.replace('\n', "\u{1b}[K\n");
            let mut out = std::io::stdout().lock();
            write!(out, "\u{1b}[H{drawn}\u{1b}[J")?;
            out.flush()?;
            drop(out);
            tokio::time::sleep(EVERY).await;
        }
    };
    print!("\u{1b}[2J");
    tokio::select! {
        ended = events => ended,
        failed = drawing => failed,
    }
}

async fn look(client: &Client, queue: &str, seen: &RefCell<Seen>) -> anyhow::Result<()> {
    let query = [parameter("queue", queue)];
    let metrics: Value = client
        .json(&asked(&format!("{BASE}/metrics"), &query))
        .await?;
    let alerts: Vec<Value> = client.json(&format!("{BASE}/alerts")).await?;
    let alerts = alerts.iter().filter(|one| text(one, "queueName") == queue);
    let alerts = alerts.map(|one| text(one, "message").to_owned()).collect();
    let mut seen = seen.borrow_mut();
    let ended = whole(&metrics, "completed") + whole(&metrics, "failedTotal");
    if let Some(before) = seen.ended.replace(ended) {
        seen.rates.push_back(ended.saturating_sub(before) as f64);
        if seen.rates.len() > RATES {
            seen.rates.pop_front();
        }
    }
    (seen.metrics, seen.alerts) = (metrics, alerts);
    Ok(())
}

/// Columns and rows of the terminal.
fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (80, 24),
    }
}

/// Columns of the terminal; what is no terminal has room for all.
pub(super) fn columns() -> usize {
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 => size.ws_col.into(),
        _ => usize::MAX,
    }
}

fn draw(seen: &Seen, (width, height): (usize, usize), paint: Paint) -> String {
    let metrics = &seen.metrics;
    let mut drawn = String::new();
    let mut line = |text: &str| {
        drawn.push_str(text.trim_end());
        drawn.push('\n');
    };
    let is_paused = metrics.get("paused") == Some(&Value::Bool(true));
    let name = text(metrics, "queueName");
    let paused = if is_paused { "  paused" } else { "" };
    line(&format!("{name}{}", paint.tone(paused, Tone::Warning)));
    let states = [
        ("waiting", "waiting"),
        ("delayed", "delayed"),
        ("active", "active"),
        ("failed", "failed"),
        ("dead", "dead"),
    ];
    let most = states.iter().map(|(_, field)| whole(metrics, field)).max();
    let room = width.saturating_sub(24).clamp(8, 60);
    for (title, field) in states {
        let count = whole(metrics, field);
        let bar = bar(count, most.unwrap_or(0), room);
        let bar = paint.tone(&bar, tone(field));
        line(&format!("  {title:<9} {count:>9}  {bar}"));
    }
    let done = whole(metrics, "completed");
    line(&format!("  {:<9} {done:>9}", "completed"));
    let rates: Vec<f64> = seen.rates.iter().copied().collect();
    let rate = rates
        .last()
        .map_or_else(|| "–".to_owned(), |rate| format!("{rate:.0}"));
    let curve = spark(&rates, room);
    line(&format!(
        "  {:<9} {rate:>9}  {}",
        "per s",
        paint.tone(&curve, Tone::Good)
    ));
    for (title, kind) in [("wait", "waitTime"), ("run", "processingTime")] {
        let of = |percent: &str| length(metrics, &format!("{kind}{percent}"));
        line(&format!(
            "  {title:<9} p50 {}  p95 {}  p99 {}",
            of("P50"),
            of("P95"),
            of("P99")
        ));
    }
    for alert in &seen.alerts {
        line(&paint.tone(&cut(&format!("  ! {alert}"), width), Tone::Critical));
    }
    let left = height.saturating_sub(HEAD + seen.alerts.len()).max(1);
    let first = seen.events.len().saturating_sub(left);
    for event in seen.events.iter().skip(first) {
        line(&paint.tone(&cut(event, width), Tone::Faint));
    }
    // The last line has no end: it would scroll a full screen.
    drawn.pop();
    drawn
}

/// The newest values as signs of eight heights.
fn spark(values: &[f64], room: usize) -> String {
    const SIGNS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let values = values.iter().skip(values.len().saturating_sub(room));
    let most = values.clone().copied().fold(0.0, f64::max);
    let sign = |value: &f64| {
        let share = if most > 0.0 { value / most } else { 0.0 };
        let at = SIGNS.iter().enumerate().rev();
        let mut at = at.filter(|(at, _)| *at as f64 <= share * 7.0);
        at.next().map_or('▁', |(_, sign)| *sign)
    };
    values.map(sign).collect()
}

/// Takes lines of events.
struct Log<'s>(&'s RefCell<Seen>, Vec<u8>);

impl std::io::Write for Log<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.1.extend_from_slice(bytes);
        while let Some(end) = self.1.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.1.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let events = &mut self.0.borrow_mut().events;
            events.push_back(line);
            if events.len() > 200 {
                events.pop_front();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_screen_fits_its_terminal_and_shows_the_newest_events() {
        let metrics = json!({"queueName": "mail", "waiting": 1200, "delayed": 3, "active": 40,
            "completed": 99, "dead": 2, "paused": true, "waitTimeP50": 12.0, "waitTimeP95": 1500.0});
        let mut seen = Seen {
            metrics,
            alerts: vec!["2 dead letters; told from 1 on".to_owned()],
            rates: (0..90).map(f64::from).collect(),
            ..Seen::default()
        };
        seen.events = (0..50)
            .map(|n| format!("event {n} {}", "long ".repeat(40)))
            .collect();
        for (width, height) in [(80, 24), (120, 40), (40, 10)] {
            let drawn = draw(&seen, (width, height), Paint::new(false));
            let lines: Vec<&str> = drawn.lines().collect();
            assert!(
                lines.iter().all(|line| line.chars().count() <= width),
                "{width}:\n{drawn}"
            );
            assert!(lines.len() <= height.max(HEAD + 2), "{height}:\n{drawn}");
            assert!(lines.last().unwrap().starts_with("event 49"), "{drawn}");
            assert!(
                drawn.contains("mail  paused") && drawn.contains("1.5 s"),
                "{drawn}"
            );
        }
    }

    #[test]
    fn a_curve_ends_at_its_newest_and_highest() {
        assert_eq!(spark(&[0.0, 1.0, 2.0, 4.0], 3), "▂▄█");
        assert_eq!(spark(&[0.0, 0.0], 5), "▁▁");
        assert_eq!(spark(&[], 5), "");
    }
}
