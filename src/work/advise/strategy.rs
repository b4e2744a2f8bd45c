//! Advice that the running server keeps for each target: made once a day, or when somebody asks.
//!
//! For: `GET /database/indexing-strategy`, which reads what is here and waits for nothing. Not for: the
//! command line, which asks the server itself (`work::advise`).
//!
//! A run plans the statements of `pg_stat_statements` with hypothetical indexes, within `TIME` and
//! `EXPLAINS`. It is a record, so it outlives a restart; a failure is kept on the board alone.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch::Receiver;

use super::{Request, Told, Workload, of_target};
use crate::clock::Clock;
use crate::model::advice::Advice;
use crate::model::units::{Millis, Timestamp};
use crate::store::Store;
use crate::work::board::Board;
use crate::work::targets::WatchedTarget;

const KIND: &str = "index-advice";
/// How long advice stands before it is made anew by itself.
const STANDS: Millis = Millis::DAY;
/// How old it must be for a question to have it made anew.
const FRESH: Millis = Millis::HOUR;
/// Pause after a failure.
const AFTER_FAILURE: Millis = Millis(10 * Millis::MINUTE.0);
/// After the start, before a run that nobody asked for: the server has other things to do first.
const FIRST: Millis = Millis::HOUR;
/// How often it is looked whether a run is due.
const TICK: Duration = Duration::from_secs(1);
/// Longest time of one run.
const TIME: Duration = Duration::from_secs(30);
/// Most plans of one run.
const EXPLAINS: usize = 1_500;
/// Bytes that new indexes may take: this share of the database, and at least so much.
const BUDGET_SHARE: f64 = 0.2;
const BUDGET_LEAST: u64 = 64_000_000;

/// Advice with its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// When it was made.
    pub at: Timestamp,
    /// What it says.
    pub advice: Advice,
}

/// Where a target's advice stands.
#[derive(Debug, Clone, Default)]
pub struct Strategy {
    /// The last advice, if there is any.
    pub standing: Option<Arc<Standing>>,
    /// Somebody asked for a newer one.
    pub wanted: bool,
    /// Why the last run gave none, and when it failed.
    pub failure: Option<(Timestamp, String)>,
}

impl Strategy {
    /// Whether a question should have it made anew.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        let old = |standing: &Arc<Standing>| now.since(standing.at) >= FRESH.as_duration();
        self.standing.as_ref().is_none_or(old)
    }

    fn is_due(&self, now: Timestamp, started: Timestamp) -> bool {
        let since = |at: Timestamp| now.since(at);
        if let Some((at, _)) = &self.failure
            && since(*at) < AFTER_FAILURE.as_duration()
        {
            return false;
        }
        let is_old = match &self.standing {
            Some(standing) => since(standing.at) >= STANDS.as_duration(),
            None => since(started) >= FIRST.as_duration(),
        };
        is_old || (self.wanted && self.is_stale(now))
    }
}

/// Puts what was advised before on the board.
///
/// # Errors
/// When the records cannot be read.
pub(crate) fn recall(store: &Store, board: &Board) -> crate::store::Result<()> {
    let known = board.names();
    for (name, standing) in store.records().list::<Standing>(KIND)? {
        if known.contains(&name) {
            board.update(&name, |state| {
                state.strategy.standing = Some(Arc::new(standing));
            });
        }
    }
    Ok(())
}

/// Makes advice when it is due, one target after the other, until `stop` turns true.
pub(crate) async fn keep(
    targets: Vec<WatchedTarget>,
    store: Arc<Store>,
    board: Arc<Board>,
    clock: Arc<dyn Clock>,
    mut stop: Receiver<bool>,
) {
    let started = clock.now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            _ = stop.changed() => return,
        }
        for target in &targets {
            let (Some(options), Some(state)) = (&target.options, board.target(&target.name)) else {
                continue;
            };
            // Before the first look nobody knows how large the database is.
            let Some(snapshot) = &state.snapshot else {
                continue;
            };
            if !state.strategy.is_due(clock.now(), started) {
                continue;
            }
            let whole: u64 = snapshot.tables.iter().map(|table| table.table_bytes).sum();
            let request = request(whole);
            let run = of_target(&target.name, options, request);
            let outcome = tokio::select! {
                outcome = run => outcome,
                _ = stop.changed() => return,
            };
            let at = clock.now();
            let told = outcome
                .map_err(|error| error.to_string())
                .and_then(|advice| {
                    let standing = Standing { at, advice };
                    let kept = store.records().put(KIND, &target.name, &standing);
                    kept.map(|()| standing).map_err(|error| error.to_string())
                });
            if let Err(error) = &told {
                tracing::warn!(target = target.name, error, "no advice on indexes");
            }
            board.update(&target.name, |state| {
                state.strategy.wanted = false;
                match told {
                    Ok(standing) => {
                        state.strategy.standing = Some(Arc::new(standing));
                        state.strategy.failure = None;
                    }
                    Err(reason) => state.strategy.failure = Some((at, reason)),
                }
            });
        }
    }
}

fn request(tables_bytes: u64) -> Request {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a size is a size"
    )]
    let share = (tables_bytes as f64 * BUDGET_SHARE) as u64;
    Request {
        workload: Workload::Recorded,
        budget: Some(share.max(BUDGET_LEAST)),
        width: 3,
        time: TIME,
        explains: Some(EXPLAINS),
        hypopg: true,
        told: Told::nobody(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(at: i64) -> Strategy {
        Strategy {
            standing: Some(Arc::new(Standing {
                at: Timestamp::from_millis(at),
                advice: Advice::default(),
            })),
            ..Strategy::default()
        }
    }

    #[test]
    fn it_is_made_once_a_day_and_earlier_when_somebody_asks() {
        let at = |hours: i64| Timestamp::from_millis(hours * 3_600_000);
        let start = at(0);
        let mut none = Strategy::default();
        assert!(!none.is_due(Timestamp::from_millis(1), start));
        assert!(
            none.is_due(at(2), start),
            "an hour after the start by itself"
        );
        none.wanted = true;
        assert!(
            none.is_due(Timestamp::from_millis(1), start),
            "at once when asked"
        );
        none.failure = Some((at(2), "no".to_owned()));
        assert!(!none.is_due(at(2), start), "not again and again");
        assert!(none.is_due(at(3), start));
        let mut some = made(0);
        assert!(!some.is_due(at(23), start) && some.is_due(at(24), start));
        some.wanted = true;
        assert!(
            !some.is_due(Timestamp::from_millis(9), start),
            "it is fresh"
        );
        assert!(some.is_due(at(1), start));
    }
}
