//! Evenly spaced series from a file: `series,step,y` or `series,ts,y`, a value a line.
//!
//! For: one series after the other, in memory for one; what is wrong names the series and the line.
//! Not for: samples of the history, which have labels and any instants ([`csv`](super::csv)), nor
//! for what comes after a series. Read [`Sequences`] first, then `grid` for how times become steps.

mod cell;
mod grid;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Read;

use super::sheet::Sheet;
use super::{Error, Result};
use crate::model::units::{Millis, Timestamp};

pub use cell::{Cell, value};
use grid::Rows;

/// Steps of one series at most, missing ones too.
pub const STEPS_MAX: usize = 1 << 24;
/// Steps that may be missing between two rows.
pub const GAP_MAX: i64 = 10_000_000;

/// By what the rows of a file are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// Whole numbers: `step`.
    Steps,
    /// Instants: `ts`.
    Times,
}

impl Axis {
    /// The column's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Steps => "step",
            Self::Times => "ts",
        }
    }
}

/// What is wrong with a series.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Another number of fields than the heading.
    #[error("has {has} columns where the heading has {wanted}; quote names with commas")]
    Columns {
        /// Fields of the row.
        has: usize,
        /// Columns of the heading.
        wanted: usize,
    },
    /// The name is not text.
    #[error("names a series that is not UTF-8")]
    Name,
    /// `y` is neither a number nor missing.
    #[error("has no number but {text:?} as y; leave it empty where a value is missing")]
    Value {
        /// What stands there.
        text: String,
    },
    /// `y` is infinite.
    #[error("has an infinite y; leave it empty where a value is missing")]
    Infinite,
    /// `step` is no whole number.
    #[error("has no whole number but {text:?} as step; count steps 0, 1, 2, …")]
    Step {
        /// What stands there.
        text: String,
    },
    /// `ts` is no time.
    #[error(
        "has no time but {text:?} as ts; write 2026-03-01T12:00:00Z, 2026-03-01, \
         2026-03-01 12:00 (UTC), or seconds or milliseconds since 1970"
    )]
    Time {
        /// What stands there.
        text: String,
    },
    /// The row is not after the one before.
    #[error("is not after the row before it: {this} after {before}; sort by series and {axis}, each once", axis = .axis.name())]
    Order {
        /// What orders the file.
        axis: Axis,
        /// The step or time before, as text.
        before: String,
        /// That of the row.
        this: String,
    },
    /// Two rows are nearest to one step.
    #[error(
        "falls on the same step of {step_ms} ms as a row before it; give the true distance with --step"
    )]
    Together {
        /// The step that was found or given.
        step_ms: u64,
    },
    /// Too many steps are missing.
    #[error(
        "comes {missing} steps after the row before it, more than the {GAP_MAX} that may be missing; \
         number the steps one by one"
    )]
    Gap {
        /// Steps in between.
        missing: i64,
    },
    /// Too many steps in all.
    #[error("makes the series longer than {STEPS_MAX} steps; cut its beginning off")]
    Long,
    /// The distance between values cannot be known.
    #[error("is the only one, so that the distance of values is not known; give --step")]
    Alone,
    /// The series was there before.
    #[error(
        "comes back to a series that had ended; put the rows of one series together, sorted by \
         series and {axis}",
        axis = .axis.name()
    )]
    Again {
        /// What orders the file.
        axis: Axis,
    },
}

/// A series that cannot be used, by name, line and reason.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("series {name:?}, line {line}: the row {fault}")]
pub struct Bad {
    /// Its name; what is not UTF-8 in it is replaced.
    pub name: String,
    /// The line, from 1.
    pub line: u64,
    /// What is wrong.
    pub fault: Fault,
}

impl Bad {
    /// Whether series before it may be wrong, too, so that none can be trusted.
    pub fn spoils_others(&self) -> bool {
        matches!(self.fault, Fault::Again { .. })
    }
}

/// Where a series ends, and how it goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum End {
    /// At a step.
    Step {
        /// The last row's.
        last: i64,
        /// How many more the next is: 1 unless values were taken together.
        each: u32,
    },
    /// At this instant.
    Time {
        /// The last row's.
        last: Timestamp,
        /// Distance of values in milliseconds.
        step_ms: f64,
        /// Values are so many calendar months apart, on this day of the month.
        months: Option<(u32, i8)>,
    },
}

/// One series of a file, evenly spaced.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequence {
    /// Its name.
    pub name: String,
    /// The line it begins on.
    pub line: u64,
    /// One a step, oldest first; NaN is a missing one.
    pub values: Vec<f64>,
    /// Distance of values, where it is known.
    pub step: Option<Millis>,
    /// The last row's place.
    pub end: End,
}

/// The series of a file, one after the other.
#[derive(Debug)]
pub struct Sequences<R> {
    sheet: Sheet<R>,
    axis: Axis,
    series: usize,
    at: usize,
    y: usize,
    step: Option<Millis>,
    /// A row lies ready that belongs to the next series.
    waits: bool,
    /// Names that were there, as 64 bits each: of a million names two are the same so with a chance
    /// of 3 in 100 million.
    seen: HashSet<u64>,
}

impl<R: Read> Sequences<R> {
    /// Reads the heading; `step` is the distance of values where it is known.
    ///
    /// # Errors
    /// [`Error::Line`] where columns are missing, [`Error::Io`].
    pub fn new(from: R, step: Option<Millis>) -> Result<Self> {
        let mut sheet = Sheet::new(from)?;
        let times = sheet.column("ts")?;
        let at = times.map_or_else(|| sheet.column("step"), |at| Ok(Some(at)))?;
        let (Some(series), Some(at), Some(y)) = (sheet.column("series")?, at, sheet.column("y")?)
        else {
            let what =
                "is no heading with series, step or ts, and y; write series,step,y above the rows";
            return Err(Error::line(sheet.line(), what));
        };
        let waits = sheet.advance()?;
        if !waits {
            return Err(Error::line(
                sheet.line(),
                "is missing: no row follows the heading",
            ));
        }
        Ok(Self {
            sheet,
            axis: times.map_or(Axis::Steps, |_| Axis::Times),
            series,
            at,
            y,
            step,
            waits,
            seen: HashSet::new(),
        })
    }

    /// By what the rows are ordered.
    pub fn axis(&self) -> Axis {
        self.axis
    }

    /// Names of the columns that are not looked at.
    pub fn ignored(&self) -> Vec<&str> {
        let used = [self.series, self.at, self.y];
        let columns = self.sheet.heading().iter().enumerate();
        columns
            .filter(|(at, _)| !used.contains(at))
            .map(|(_, name)| name.as_str())
            .collect()
    }

    /// The next series, or what is wrong with it; `None` at the end.
    ///
    /// # Errors
    /// [`Error`] when the file cannot be read on; nothing more can then be had of it.
    pub fn read(&mut self) -> Result<Option<std::result::Result<Sequence, Bad>>> {
        if !self.waits {
            return Ok(None);
        }
        let raw = self.sheet.field(self.series).into_owned();
        let line = self.sheet.line();
        let name = match String::from_utf8(raw.clone()) {
            Ok(name) => Ok(name),
            Err(text) => Err(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        };
        let mut fault = name.is_err().then_some((line, Fault::Name));
        let name = name.unwrap_or_else(|shown| shown);
        let mut hasher = DefaultHasher::new();
        raw.hash(&mut hasher);
        if !self.seen.insert(hasher.finish()) {
            fault = Some((line, Fault::Again { axis: self.axis }));
        }
        let mut rows = Rows::new(self.axis, self.step);
        loop {
            if fault.is_none() {
                fault = self
                    .row(&mut rows)
                    .err()
                    .map(|what| (self.sheet.line(), what));
                if fault.is_some() {
                    // What came before the fault is of no more use.
                    rows = Rows::new(self.axis, self.step);
                }
            }
            self.waits = self.sheet.advance()?;
            if !self.waits || *self.sheet.field(self.series) != *raw {
                break;
            }
        }
        let done = match fault {
            Some(fault) => Err(fault),
            None => rows.done(),
        };
        Ok(Some(match done {
            Ok((values, step, end)) => Ok(Sequence {
                name,
                line,
                values,
                step,
                end,
            }),
            Err((line, fault)) => Err(Bad { name, line, fault }),
        }))
    }

    /// Adds the current row.
    fn row(&self, rows: &mut Rows) -> std::result::Result<(), Fault> {
        let sheet = &self.sheet;
        let (has, wanted) = (sheet.count(), sheet.heading().len());
        if has != wanted {
            return Err(Fault::Columns { has, wanted });
        }
        let y = sheet.field(self.y);
        let y = match cell::value(&y) {
            Cell::Number(y) => y,
            Cell::Missing => f64::NAN,
            Cell::Infinite => return Err(Fault::Infinite),
            Cell::Other => {
                return Err(Fault::Value {
                    text: cell::shown(&y),
                });
            }
        };
        rows.add(&sheet.field(self.at), y, sheet.line())
    }
}

#[cfg(test)]
mod tests;
