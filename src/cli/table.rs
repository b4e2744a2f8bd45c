//! Aligned tables for the terminal, and colours where they are wanted.

/// Colours, or none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint(bool);

/// What a colour says; the words beside it say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Faint,
    Strong,
    Good,
    Warning,
    Critical,
}

impl Paint {
    pub(super) const fn new(on: bool) -> Self {
        Self(on)
    }

    /// `text` in the colour of `tone`.
    pub(super) fn tone(self, text: &str, tone: Tone) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Faint => "2",
            Tone::Strong => "1",
            Tone::Good => "32",
            Tone::Warning => "33",
            Tone::Critical => "31;1",
        };
        if self.0 {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A cell with its colour.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(super) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// Rows under a heading; a title that begins with `>` stands over figures, aligned to the right.
#[derive(Debug)]
pub(super) struct Table {
    titles: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(super) fn new(titles: &[&'static str]) -> Self {
        Self {
            titles: titles.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; cells that are missing stay empty.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Draws the table, every line ended.
    pub(super) fn draw(&self, paint: Paint) -> String {
        let title = |title: &&'static str| Cell::toned(title.trim_start_matches('>'), Tone::Faint);
        let heading: Vec<Cell> = self.titles.iter().map(title).collect();
        let all = || std::iter::once(&heading).chain(&self.rows);
        let width = |column: usize| {
            let cells = all().filter_map(|row| row.get(column));
            cells
                .map(|cell| cell.text.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.titles.len()).map(width).collect();
        let mut text = String::new();
        for row in all() {
            let mut line = String::new();
            for ((cell, title), width) in row.iter().zip(&self.titles).zip(&widths) {
                let pad = " ".repeat(width.saturating_sub(cell.text.chars().count()));
                let shown = paint.tone(&cell.text, cell.tone);
                let cell = if title.starts_with('>') {
                    format!("{pad}{shown}")
                } else {
                    format!("{shown}{pad}")
                };
                line.push_str(&cell);
                line.push_str("  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A share as people read it: `61.5 %`.
pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

/// The day of an ISO 8601 time.
pub(super) fn day(time: &str) -> String {
    time.chars().take(10).collect()
}

/// An ISO 8601 time to the second.
pub(super) fn second(time: &str) -> String {
    let text: String = time.chars().take(19).collect();
    format!("{} UTC", text.replace('T', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_rows() -> Table {
        let mut table = Table::new(&["NAME", ">SIZE"]);
        table.row(["é".into(), Cell::toned("12", Tone::Critical)]);
        table.row(["longer".into(), "3".into()]);
        table
    }

    #[test]
    fn columns_line_up_and_figures_stand_right() {
        let drawn = two_rows().draw(Paint::new(false));
        assert_eq!(drawn, "NAME    SIZE\né         12\nlonger     3\n");
    }

    #[test]
    fn colours_do_not_move_columns() {
        let drawn = two_rows().draw(Paint::new(true));
        assert!(drawn.contains("\u{1b}[31;1m12\u{1b}[0m"));
        let plain = ["\u{1b}[31;1m", "\u{1b}[2m", "\u{1b}[0m"]
            .iter()
            .fold(drawn, |text, code| text.replace(code, ""));
        assert_eq!(plain, two_rows().draw(Paint::new(false)));
    }
}
