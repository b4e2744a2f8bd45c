//! Tables for a terminal: headroom, findings, status, one forecast.
//!
//! For: what the command line prints. Columns are aligned and fit the width that is asked for; the
//! last column wraps. Not for: pages (`html`) nor programs (`json`). Names from outside are on one
//! line and cannot drive the terminal.

use std::fmt::Write as _;

use super::headroom::{HeadroomRow, When, when_words};
use super::verdict::{Standing, rows, verdict};
use super::words;
use super::{Reach, ReportInput, TargetReport};
use crate::model::capacity::{Outlook, Projection};
use crate::model::finding::{Finding, Severity};
use crate::model::units::Timestamp;

/// The narrowest table that is tried; below it lines are simply longer than the terminal.
const WIDTH_MIN: usize = 40;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Columns of the terminal.
    pub width: usize,
    /// What the terminal can show.
    pub letters: Letters,
    /// Whether severity words get their colour.
    pub colour: Colour,
}

/// Which letters a terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letters {
    /// Everything.
    Unicode,
    /// 7 bits: dashes and dots are replaced, other letters become `?`.
    Ascii,
}

/// Whether a terminal shows colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Plain text, for pipes, files and `NO_COLOR`.
    Never,
    /// ANSI colours for severity words.
    Ansi,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            width: 100,
            letters: Letters::Unicode,
            colour: Colour::Never,
        }
    }
}

/// The verdict, each target's reach and its headroom: `plimsoll status`.
pub fn status(input: &ReportInput, style: Style) -> String {
    let verdict = verdict(input);
    let mut out = format!(
        "{}: {}\n",
        coloured(verdict.standing, verdict.standing.word(), style),
        verdict.headline
    );
    if let Some(next) = &verdict.next_limit
        && next.sentence != verdict.headline
    {
        let _ = writeln!(out, "{}", next.sentence);
    }
    for caveat in &verdict.caveats {
        out.push_str(&wrapped(caveat, style.width, "  "));
    }
    out.push('\n');
    for target in &input.targets {
        let _ = writeln!(out, "{}", target_line(target, input));
    }
    out.push('\n');
    out.push_str(&headroom(input, style));
    finish(out, style)
}

/// One line a resource and target.
pub fn headroom(input: &ReportInput, style: Style) -> String {
    let rows = rows(input);
    if rows.is_empty() {
        return "No resource is projected yet.\n".into();
    }
    let many = input.targets.len() > 1;
    let mut table = Table::new(&[
        "RESOURCE",
        "NOW",
        "LIMIT",
        "USED",
        "LIMIT REACHED",
        "ACT BY",
        "ACTION",
    ]);
    table.right = &[1, 2, 3];
    for row in &rows {
        table.push(headroom_cells(row, many), row.standing);
    }
    let mut out = table.print(style);
    if rows.iter().any(|row| row.synthetic) {
        out.push_str("* rests on synthetic history: made up for the demo, not recorded\n");
    }
    finish(out, style)
}

/// Findings, worst first, each with evidence and cure: `plimsoll check`.
pub fn findings(input: &ReportInput, style: Style) -> String {
    let mut out = String::new();
    for target in &input.targets {
        for finding in &target.findings {
            one_finding(&mut out, finding, &target.name, style);
        }
    }
    if out.is_empty() {
        out.push_str("The checks found nothing to mend.\n");
    }
    finish(out, style)
}

/// The forecast of one resource at the first of each month: `plimsoll forecast`.
///
/// Shows at most `months` months, fewer where the forecast is shorter.
pub fn projection(projection: &Projection, months: usize, style: Style) -> String {
    let row = super::headroom(projection);
    let unit = projection.resource.unit();
    let amount = |value: Option<f64>| {
        value.map_or_else(
            || "not known".to_owned(),
            |value| words::quantity(value, unit),
        )
    };
    let mut out = format!(
        "{} of {}: {} of {}\nLimit reached: {}\n",
        words::resource(projection.resource),
        words::one_line(&projection.target, 60),
        amount(projection.usage),
        amount(row.limit),
        when_words(&row.full)
    );
    if let Some(confidence) = row.confidence {
        let _ = writeln!(out, "Confidence: {}", confidence.word());
    }
    if let Some(span) = projection.synthetic {
        let span = words::date_range(span.from, span.until);
        let _ = writeln!(out, "History of {span} is synthetic: made up, not recorded");
    }
    if let Some(Outlook::Forecast(_)) = projection.outlook {
        out.push('\n');
        out.push_str(&month_table(projection, months).print(style));
    }
    finish(out, style)
}

fn month_table(projection: &Projection, months: usize) -> Table<'static> {
    let unit = projection.resource.unit();
    let mut table = Table::new(&["DATE", "EXPECTED", "80 % FROM", "TO", "OF LIMIT"]);
    table.right = &[1, 2, 3, 4];
    for month in super::months::months(projection, Timestamp::from_millis(i64::MAX), months) {
        let end = |value: Option<f64>| {
            value.map_or_else(String::new, |value| words::quantity(value, unit))
        };
        table.push(
            vec![
                words::date(month.at),
                words::quantity(month.mean, unit),
                end(month.band.map(|(lo, _)| lo)),
                end(month.band.map(|(_, hi)| hi)),
                month.share.map_or_else(String::new, words::percent),
            ],
            Standing::Fine,
        );
    }
    table
}

fn target_line(target: &TargetReport, input: &ReportInput) -> String {
    let name = words::one_line(&target.name, 60);
    let reach = match &target.reach {
        Reach::Up => "answers".to_owned(),
        Reach::Starting => "not tried yet".to_owned(),
        Reach::Down { since, reason } => format!(
            "no answer for {}: {}",
            words::age(*since, input.made_at),
            words::one_line(reason, 300)
        ),
    };
    let server = target.server.as_ref().map_or_else(String::new, |server| {
        let role = if server.in_recovery {
            "standby"
        } else {
            "primary"
        };
        let version = words::one_line(&server.version, 60);
        let version = version.split(" (").next().unwrap_or_default().to_owned();
        format!(" · PostgreSQL {version} {role}")
    });
    let seen = target.last_scrape_at.map_or_else(String::new, |at| {
        format!(" · snapshot {} old", words::age(at, input.made_at))
    });
    format!("{name}: {reach}{server}{seen}")
}

fn headroom_cells(row: &HeadroomRow, many: bool) -> Vec<String> {
    let unit = row.resource.unit();
    let amount = |value: Option<f64>| {
        value.map_or_else(|| "–".to_owned(), |value| words::quantity(value, unit))
    };
    let mark = if row.synthetic { "*" } else { "" };
    let name = if many {
        format!(
            "{} {}{mark}",
            words::one_line(&row.target, 24),
            row.resource
        )
    } else {
        format!("{}{mark}", row.resource)
    };
    let full = match row.full {
        When::Expected { p10, p50, p90 } => {
            let late = p90.map_or_else(|| "later".to_owned(), words::date);
            format!("{} ({} – {late})", words::date(p50), words::date(p10))
        }
        other => when_words(&other),
    };
    vec![
        name,
        amount(row.usage),
        amount(row.limit),
        row.utilisation
            .map_or_else(|| "–".to_owned(), words::percent),
        full,
        row.act_by.map_or_else(|| "–".to_owned(), words::date),
        format!("{}: {}", row.standing.word(), row.action),
    ]
}

fn one_finding(out: &mut String, finding: &Finding, target: &str, style: Style) {
    let standing = Standing::from(finding.severity);
    let word = match finding.severity {
        Severity::Info => "Note",
        _ => standing.word(),
    };
    if !out.is_empty() {
        out.push('\n');
    }
    let head = format!(
        "{}: {} [{}, {}]",
        coloured(standing, word, style),
        words::one_line(&finding.title, 300),
        words::one_line(target, 60),
        words::one_line(&finding.id, 80)
    );
    let _ = writeln!(out, "{head}");
    if let Some(object) = &finding.object {
        let _ = writeln!(out, "  {}", words::one_line(object, 200));
    }
    for fact in &finding.evidence {
        let label = words::one_line(&fact.label, 120);
        let _ = writeln!(out, "  {label}: {}", words::one_line(&fact.value, 300));
    }
    out.push_str(&wrapped(
        &words::one_line(&finding.advice, 1_000),
        style.width,
        "  ",
    ));
    if let Some(cure) = &finding.cure {
        for line in cure.sql.lines() {
            let _ = writeln!(out, "    {}", words::verbatim(line));
        }
        let _ = writeln!(
            out,
            "    -- strongest lock: {}",
            words::one_line(&cure.lock, 80)
        );
    }
}

fn coloured(standing: Standing, word: &str, style: Style) -> String {
    let code = match (style.colour, standing) {
        (Colour::Never, _) => return word.to_owned(),
        (Colour::Ansi, Standing::Fine) => 32,
        (Colour::Ansi, Standing::Unknown) => 90,
        (Colour::Ansi, Standing::Warning) => 33,
        (Colour::Ansi, Standing::Critical) => 31,
    };
    format!("\u{1b}[1;{code}m{word}\u{1b}[0m")
}

/// Text in lines of at most `width` letters, each behind `indent`. A longer word has its own line.
fn wrapped(text: &str, width: usize, indent: &str) -> String {
    let room = width.max(WIDTH_MIN).saturating_sub(indent.len());
    let mut out = String::new();
    for line in lines_of(text, room) {
        let _ = writeln!(out, "{indent}{line}");
    }
    out
}

fn lines_of(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let letters = word.chars().count();
        let Some(line) = lines.last_mut() else { break };
        let used = line.chars().count();
        if used == 0 {
            line.push_str(word);
        } else if used + 1 + letters <= room {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

fn finish(text: String, style: Style) -> String {
    match style.letters {
        Letters::Unicode => text,
        Letters::Ascii => text
            .chars()
            .map(|c| match c {
                '–' | '−' | '—' => '-',
                '·' => '|',
                '…' => '~',
                '’' => '\'',
                '\u{a0}' => ' ',
                c if c.is_ascii() => c,
                _ => '?',
            })
            .collect(),
    }
}

/// Rows whose last column takes what room is left, and wraps in it.
struct Table<'a> {
    heads: Vec<&'a str>,
    rows: Vec<(Vec<String>, Standing)>,
    /// Columns that are set flush right.
    right: &'a [usize],
}

impl<'a> Table<'a> {
    fn new(heads: &[&'a str]) -> Self {
        Self {
            heads: heads.to_vec(),
            rows: Vec::new(),
            right: &[],
        }
    }

    fn push(&mut self, cells: Vec<String>, standing: Standing) {
        self.rows.push((cells, standing));
    }

    fn widths(&self) -> Vec<usize> {
        let widest = |column: usize| {
            let cells = self.rows.iter().filter_map(|(cells, _)| cells.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let heads = self.heads.iter().enumerate();
        heads
            .map(|(i, head)| head.chars().count().max(widest(i)))
            .collect()
    }

    fn print(&self, style: Style) -> String {
        let widths = self.widths();
        let last = widths.len().saturating_sub(1);
        let before: usize = widths.iter().take(last).map(|width| width + 2).sum();
        // A last column of less than 20 letters is no column: then it goes below, indented.
        let room = style.width.saturating_sub(before);
        let below = room < 20 && widths.last().is_some_and(|width| *width > room);
        let mut out = String::new();
        let heads: Vec<String> = self.heads.iter().map(|head| (*head).to_owned()).collect();
        let shown = if below { last } else { last + 1 };
        let head: Vec<String> = heads.into_iter().take(shown).collect();
        let _ = writeln!(out, "{}", self.line(&head, &widths).trim_end());
        for (cells, standing) in &self.rows {
            let (front, tail) = cells.split_at(last.min(cells.len()));
            let front = self.line(front, &widths);
            let tail = tail.first().map_or("", String::as_str);
            let pad = if below { 4 } else { before };
            let room = if below {
                style.width.max(WIDTH_MIN) - 4
            } else {
                room
            };
            let mut lines = lines_of(tail, room).into_iter();
            if below {
                let _ = writeln!(out, "{}", front.trim_end());
            } else {
                let first = lines.next().unwrap_or_default();
                let first = if self.right.contains(&last) {
                    format!("{first:>0$}", widths.last().copied().unwrap_or(0))
                } else {
                    first
                };
                let line = format!("{front}{}", paint(&first, *standing, style));
                let _ = writeln!(out, "{}", line.trim_end());
            }
            for line in lines {
                let line = if below {
                    paint(&line, *standing, style)
                } else {
                    line
                };
                let _ = writeln!(out, "{:pad$}{line}", "");
            }
        }
        out
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for (i, (cell, width)) in cells.iter().zip(widths).enumerate() {
            if self.right.contains(&i) {
                let _ = write!(line, "{cell:>width$}  ");
            } else {
                let _ = write!(line, "{cell:<width$}  ");
            }
        }
        line
    }
}

/// Colours the severity word that a cell begins with.
fn paint(cell: &str, standing: Standing, style: Style) -> String {
    match cell.strip_prefix(standing.word()) {
        Some(rest) if rest.starts_with(':') => {
            format!("{}{rest}", coloured(standing, standing.word(), style))
        }
        _ => cell.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn status_reads_as_agreed() {
        insta::assert_snapshot!(status(
            &fixture::rich(),
            Style {
                width: 140,
                ..Style::default()
            }
        ));
    }

    #[test]
    fn findings_read_as_agreed() {
        insta::assert_snapshot!(findings(&fixture::rich(), Style::default()));
    }

    #[test]
    fn a_forecast_reads_as_agreed() {
        let input = fixture::rich();
        let storage = &input.targets[0].projections[2];
        insta::assert_snapshot!(projection(storage, 6, Style::default()));
    }

    #[test]
    fn ascii_is_ascii_and_lines_keep_to_the_width() {
        for width in [60, 80, 100, 140] {
            let style = Style {
                width,
                letters: Letters::Ascii,
                ..Style::default()
            };
            let mut input = fixture::rich();
            input.targets.truncate(1);
            let text = headroom(&input, style);
            assert!(text.is_ascii());
            let longest = text.lines().map(str::len).max().unwrap();
            // Columns before the last are never cut: a date is worth more than a margin.
            assert!(longest <= width.max(89), "{longest} at {width}:\n{text}");
        }
    }

    #[test]
    fn colours_come_only_when_asked_for() {
        let plain = status(&fixture::rich(), Style::default());
        assert!(!plain.contains('\u{1b}'));
        let style = Style {
            colour: Colour::Ansi,
            ..Style::default()
        };
        assert!(status(&fixture::rich(), style).contains("\u{1b}[1;31mCritical\u{1b}[0m"));
    }

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        let mut input = fixture::rich();
        let odd = "a\u{1b}]0;owned\u{7}";
        input.targets[0].name = odd.into();
        input.targets[0].findings[0].title = odd.into();
        input.targets[0].findings[0].cure.as_mut().unwrap().sql = odd.into();
        assert!(!status(&input, Style::default()).contains('\u{1b}'));
        assert!(!findings(&input, Style::default()).contains('\u{7}'));
    }
}
