//! A file of samples into a history at rest.
//!
//! For: `plimsoll history import` where no server runs; any size, in order of time or series by
//! series. Not for: a running history (`intake`). Read [`import`] first.

use std::collections::HashMap;
use std::sync::Arc;

use super::intake::{NO_ROOM, new_series};
use crate::exchange::{self, Rows};
use crate::model::units::Timestamp;
use crate::store::{self, Bulk, SeriesId, Store};

/// Names that are remembered, as a multiple of the series: a name may be quoted in several ways.
const NAMES_MAX: usize = 1 << 20;
/// Samples between two tellings of how far it is.
const TELL_EVERY: u64 = 1 << 16;

/// Why an import ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A line is wrong; what stands before it is kept.
    #[error("line {line} {what}; the {kept} samples before it are kept")]
    Line {
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
        /// Samples that are kept.
        kept: u64,
    },
    /// The file cannot be read further; what stands before is kept.
    #[error("the file cannot be read further; the {kept} samples before are kept")]
    Read {
        /// Samples that are kept.
        kept: u64,
        /// What the system says.
        source: std::io::Error,
    },
    /// The history cannot be written; what was sealed before is kept.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Reads all samples of a file into a store; returns how many there were.
///
/// `resolution` is declared for the series that are new; `tell` hears now and then how many samples
/// came.
///
/// # Errors
/// [`Error`], which says what is kept.
pub fn import(
    store: &mut Store,
    rows: &mut impl Rows,
    resolution: Option<f64>,
    mut tell: impl FnMut(u64),
) -> Result<u64, Error> {
    let mut bulk = store.bulk()?;
    let mut known = Names::default();
    loop {
        let stopped = match one(&mut bulk, rows, &mut known, resolution) {
            Ok(true) => {
                if bulk.samples().is_multiple_of(TELL_EVERY) {
                    tell(bulk.samples());
                }
                continue;
            }
            Ok(false) => return Ok(bulk.finish()?),
            Err(Stopped::Format(error)) => error,
            Err(Stopped::Store(error)) => return Err(error.into()),
        };
        let kept = bulk.finish()?;
        return Err(match stopped {
            exchange::Error::Line { line, what } => Error::Line { line, what, kept },
            exchange::Error::Io(source) => Error::Read { kept, source },
            other => Error::Line {
                line: rows.line(),
                what: other.to_string(),
                kept,
            },
        });
    }
}

enum Stopped {
    Format(exchange::Error),
    Store(store::Error),
}

/// Takes the next sample; `false` at the end.
fn one(
    bulk: &mut Bulk<'_>,
    rows: &mut impl Rows,
    known: &mut Names,
    resolution: Option<f64>,
) -> Result<bool, Stopped> {
    let Some(row) = rows.next().map_err(Stopped::Format)? else {
        return Ok(false);
    };
    let (at_ms, value) = (row.at_ms, row.value);
    let id = if let Some(id) = known.find(row.series) {
        id
    } else {
        let raw: Arc<[u8]> = row.series.into();
        let wrong = |what: String| {
            Stopped::Format(exchange::Error::Line {
                line: rows.line(),
                what,
            })
        };
        let named = rows.name(&raw).map_err(wrong)?;
        let at = Timestamp::from_millis(at_ms);
        let found = bulk.series(&new_series(&named, resolution), at);
        let id = found.map_err(Stopped::Store)?;
        let id = id.ok_or_else(|| wrong(NO_ROOM.to_owned()))?;
        known.add(raw, id);
        id
    };
    match bulk.take(id, at_ms, value) {
        Ok(()) => Ok(true),
        Err(store::Error::Time(_)) => Err(Stopped::Format(exchange::Error::Line {
            line: rows.line(),
            what: "has a time outside 1970 to 9998".to_owned(),
        })),
        Err(error) => Err(Stopped::Store(error)),
    }
}

/// Series by their names in the file.
///
/// Most files name the series in the same order at each instant: the one that followed last time is
/// looked at first, which spares hashing its name.
#[derive(Debug, Default)]
struct Names {
    places: HashMap<Arc<[u8]>, usize>,
    all: Vec<Name>,
    last: usize,
}

#[derive(Debug)]
struct Name {
    raw: Arc<[u8]>,
    id: SeriesId,
    follower: usize,
}

impl Names {
    fn find(&mut self, raw: &[u8]) -> Option<SeriesId> {
        let guess = self.all.get(self.last).map_or(0, |name| name.follower);
        let place = match self.all.get(guess) {
            Some(name) if *name.raw == *raw => guess,
            _ => *self.places.get(raw)?,
        };
        self.follow(place);
        self.all.get(place).map(|name| name.id)
    }

    fn add(&mut self, raw: Arc<[u8]>, id: SeriesId) {
        if self.all.len() >= NAMES_MAX {
            *self = Self::default();
        }
        let place = self.all.len();
        self.places.insert(Arc::clone(&raw), place);
        self.all.push(Name {
            raw,
            id,
            follower: 0,
        });
        self.follow(place);
    }

    fn follow(&mut self, place: usize) {
        if let Some(last) = self.all.get_mut(self.last) {
            last.follower = place;
        }
        self.last = place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::csv::Records;
    use crate::store::{Options, Selector};

    fn run(store: &mut Store, lines: &str) -> Result<u64, Error> {
        let file = format!("series,ts_ms,value\n{lines}");
        let mut rows = Records::new(file.as_bytes()).unwrap();
        import(store, &mut rows, Some(0.5), |_| {})
    }

    #[test]
    fn what_stands_before_a_wrong_line_is_kept_and_said() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            max_series: 2,
            ..Options::in_dir(dir.path())
        };
        let mut store = Store::open(options).unwrap();
        for (lines, told) in [
            ("a,1,1\nb,1,1\na,x,1\n", "line 4 has no whole number"),
            ("a,2,1\nc,2,1\n", "line 3 is of one series more"),
            ("a,3,1\na,-1,1\n", "line 3 has a time outside"),
            (
                "a,4,1\n\"a\0\",4,1\n",
                "line 3 names a series with a zero byte",
            ),
        ] {
            let error = run(&mut store, lines).unwrap_err().to_string();
            assert!(
                error.contains(told) && error.contains("before it are kept"),
                "{error}"
            );
        }
        assert_eq!(run(&mut store, "").unwrap(), 0);
        let series = store.history().series(&Selector::metric("a"));
        assert_eq!((series.len(), series[0].resolution), (1, Some(0.5)));
        let all = (Timestamp::from_millis(0), Timestamp::from_millis(10));
        let raw = store.history().raw(series[0].id, all.0, all.1).unwrap();
        let at: Vec<i64> = raw.iter().map(|(at, _)| at.as_millis()).collect();
        assert_eq!(at, [1, 2, 3, 4]);
    }
}
