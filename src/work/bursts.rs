//! Sees which statements come in bursts after others: the memory behind `advise::repeats`.
//!
//! Keeps what statements grew by between scrapes of the last half hour, in memory alone: after a
//! restart it takes a few bursts until something is said again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::advise::repeats::{self, Growth};
use crate::model::series::{SampleSink, Scrape};
use crate::work::board::Board;
use crate::work::collect::Failure;

const CALLS: &str = "pg_statement_calls_total";
const ROWS: &str = "pg_statement_rows_total";
/// Scrapes that are looked back on: half an hour at the default pace.
const INTERVALS_MAX: usize = 180;
/// Scrapes between two searches.
const SEARCH_EVERY: u64 = 6;

/// Calls and rows of one statement, of all its databases and roles.
type Counters = HashMap<i64, (f64, f64)>;

#[derive(Default)]
struct Memory {
    before: Counters,
    intervals: VecDeque<Growth>,
    seen: u64,
}

/// One memory a target.
pub(crate) struct Bursts {
    board: Arc<Board>,
    targets: Mutex<HashMap<String, Memory>>,
}

impl Bursts {
    /// Nothing was seen yet.
    pub(crate) fn new(board: Arc<Board>) -> Self {
        Self {
            board,
            targets: Mutex::default(),
        }
    }
}

fn counters(scrape: &Scrape) -> Counters {
    let mut all = Counters::new();
    for sample in &scrape.samples {
        let metric = sample.series.metric.as_ref();
        if metric != CALLS && metric != ROWS {
            continue;
        }
        let id = sample.series.labels.get("queryid");
        let Some(id) = id.and_then(|id| id.parse().ok()) else {
            continue;
        };
        let entry = all.entry(id).or_default();
        if metric == CALLS {
            entry.0 += sample.value;
        } else {
            entry.1 += sample.value;
        }
    }
    all
}

/// What grew; an entry that is new or was reset has grown by nobody knows how much.
fn growth(before: &Counters, now: &Counters) -> Growth {
    now.iter()
        .filter_map(|(id, (calls, rows))| {
            let (calls_then, rows_then) = before.get(id)?;
            // One that has just begun brings a minute's calls at once.
            if *calls_then <= 0.0 {
                return None;
            }
            let grown = (calls - calls_then, rows - rows_then);
            (grown.0 > 0.0 && grown.1 >= 0.0).then_some((*id, grown.0, grown.1))
        })
        .collect()
}

impl SampleSink for Bursts {
    fn take(&self, scrape: &Scrape) -> Result<(), Failure> {
        let now = counters(scrape);
        if now.is_empty() {
            return Ok(());
        }
        let found = {
            let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
            let memory = targets.entry(scrape.target.clone()).or_default();
            if !memory.before.is_empty() {
                memory.intervals.push_back(growth(&memory.before, &now));
            }
            if memory.intervals.len() > INTERVALS_MAX {
                memory.intervals.pop_front();
            }
            memory.before = now;
            memory.seen += 1;
            memory
                .seen
                .is_multiple_of(SEARCH_EVERY)
                .then(|| repeats::find(memory.intervals.make_contiguous()))
        };
        if let Some(found) = found {
            self.board
                .update(&scrape.target, |state| state.repeats = found.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::series::{Labels, Metric};
    use crate::model::units::Timestamp;

    #[test]
    fn a_list_with_its_look_ups_reaches_the_board() {
        const M_CALLS: Metric = Metric::counter(CALLS, "Calls.");
        const M_ROWS: Metric = Metric::counter(ROWS, "Rows.");
        let board = Arc::new(Board::new(["t".to_owned()], Vec::new()));
        let sink = Bursts::new(Arc::clone(&board));
        let mut totals = [(1_i64, 0.0, 0.0), (2, 0.0, 0.0)];
        for i in 0..31_i64 {
            totals[1].1 += 5.0;
            totals[1].2 += 5.0;
            if i % 6 == 2 {
                totals[0].1 += 1.0;
                totals[0].2 += 200.0;
                totals[1].1 += 200.0;
                totals[1].2 += 200.0;
            }
            let samples = totals.iter().flat_map(|(id, calls, rows)| {
                let labels = Labels::none().with("queryid", id.to_string());
                [
                    M_CALLS.sample(labels.clone(), *calls),
                    M_ROWS.sample(labels, *rows),
                ]
            });
            sink.take(&Scrape {
                target: "t".to_owned(),
                at: Timestamp::from_millis(i * 10_000),
                samples: samples.collect(),
            })
            .unwrap();
        }
        let repeats = board.target("t").unwrap().repeats;
        assert_eq!(repeats.len(), 1, "{repeats:?}");
        assert_eq!((repeats[0].list_id, repeats[0].each_id), (1, 2));
    }
}
