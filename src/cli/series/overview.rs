//! Answers as a table: a row a series.

use crate::cli::table::{Cell, Paint, Table};
use crate::exchange::sequence::{End, Sequence};
use crate::model::units::{Level, Millis};
use crate::work::extend::Answer;

/// Rows under one heading: so many stay in memory, and a reader who pages sees each heading again.
const PAGE: usize = 500;
/// Characters of a name.
const NAME: usize = 48;

/// Rows that wait to be drawn, all of one width.
#[derive(Debug)]
pub(super) struct Overview {
    table: Table,
    titles: Vec<&'static str>,
    rows: usize,
    paint: Paint,
}

/// The cells of one series.
pub(super) type Row = Vec<String>;

impl Overview {
    /// `knows_step`: growth is per day; `has_thresholds`: one more column.
    pub(super) fn new(knows_step: bool, has_thresholds: bool, paint: Paint) -> Self {
        let mut titles = vec![
            "SERIES",
            ">LAST",
            ">AT THE END",
            ">80 % FROM",
            ">TO",
            if knows_step { ">PER DAY" } else { ">PER STEP" },
            ">PERIOD",
            ">ERROR",
        ];
        if has_thresholds {
            titles.push("THRESHOLD MET");
        }
        Self {
            table: Table::new(&titles),
            titles,
            rows: 0,
            paint,
        }
    }

    /// Adds a row; gives a page when it is full.
    pub(super) fn add(&mut self, row: Row) -> Option<String> {
        self.table.row(row.into_iter().map(Cell::from));
        self.rows += 1;
        (self.rows >= PAGE).then(|| self.page())
    }

    /// What is left over; nothing if there is none.
    pub(super) fn rest(&mut self) -> Option<String> {
        (self.rows > 0).then(|| self.page())
    }

    fn page(&mut self) -> String {
        self.rows = 0;
        let table = std::mem::replace(&mut self.table, Table::new(&self.titles));
        table.draw(self.paint)
    }
}

/// The cells of an answer.
pub(super) fn row(answer: &Answer<'_>) -> Row {
    let (sequence, extension) = (answer.sequence, answer.extension);
    let wide = (extension.bands.iter()).find(|band| is_same(band.level, Level::P80));
    let at_end = |ends: Option<&Vec<f64>>| figure(ends.and_then(|ends| ends.last().copied()));
    let last = sequence
        .values
        .iter()
        .rev()
        .copied()
        .find(|v| v.is_finite());
    let season = extension.periods.first().copied();
    let mut cells = vec![
        named(&sequence.name),
        figure(last),
        at_end(Some(&extension.mean)),
        at_end(wide.map(|band| &band.lo)),
        at_end(wide.map(|band| &band.hi)),
        figure(growth(answer)),
        season.map_or_else(|| "–".to_owned(), |period| period.to_string()),
        (extension.backtest.as_ref()).map_or_else(
            || "–".to_owned(),
            |backtest| format!("{:.2} × naive", backtest.relative_mae),
        ),
    ];
    if let Some(meeting) = answer.meetings.first() {
        let [_, median, _] = meeting.quantiles;
        cells.push(median.map_or_else(
            || "not within the horizon".to_owned(),
            |time| met(time, sequence),
        ));
    }
    cells
}

fn is_same(a: Level, b: Level) -> bool {
    (a.get() - b.get()).abs() < 1e-9
}

/// Change a day, or a step where its length is not known; `None` for a horizon of one step.
fn growth(answer: &Answer<'_>) -> Option<f64> {
    let unit = answer.sequence.step.map_or(1.0, Millis::as_days);
    let is_one = answer.extension.mean.len() < 2;
    (!is_one).then(|| answer.extension.growth.value / unit)
}

/// When a threshold is met, `time` days (or steps) after the last value.
fn met(time: f64, sequence: &Sequence) -> String {
    if time <= 0.0 {
        return "met already".to_owned();
    }
    match (sequence.end, sequence.step) {
        (End::Time { last, .. }, _) => {
            let seconds = std::time::Duration::try_from_secs_f64(time * 86_400.0);
            let at = last.plus(seconds.unwrap_or_default());
            crate::cli::table::day(&at.to_string())
        }
        (End::Step { .. }, Some(_)) => format!("in {time:.1} days"),
        (End::Step { .. }, None) => format!("in {time:.0} steps"),
    }
}

/// A number to five digits.
fn figure(number: Option<f64>) -> String {
    const DIGITS: i32 = 5;
    let Some(number) = number else {
        return "–".to_owned();
    };
    let size = number.abs();
    if number == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e12).contains(&size) {
        return format!("{number:.3e}");
    }
    #[expect(clippy::cast_possible_truncation, reason = "between -4 and 12")]
    let whole = size.log10().floor() as i32 + 1;
    let decimals = usize::try_from((DIGITS - whole).clamp(0, 8)).unwrap_or(0);
    let text = format!("{number:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A name on one line, cut where it is long.
fn named(name: &str) -> String {
    let plain = |c: char| if c.is_control() { '·' } else { c };
    let mut shown: String = name.chars().map(plain).take(NAME).collect();
    if name.chars().count() > NAME {
        shown.push('…');
    }
    shown
}
