//! What a statement is expected to take, learnt from what this server's own statements took.
//!
//! The planner's costs are no times, but on one server they go with them: a line through the logarithms
//! of cost and time of the statements that it runs most. Its slope is held near 1, since twice the work
//! is about twice the time; the interval holds as many of those statements as it says, each judged by
//! a line through all the others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::model::explain::PredictedTime;
use crate::model::units::{Timestamp, counted};
use crate::postgres::{Lesson, Seen, WhatIf};
use crate::stats::robust::{LEAST, Line};

/// How long what was learnt holds: plans and data change in days.
const HOLDS: Duration = Duration::from_hours(1);
/// Slopes of log time over log cost that are believed.
const SLOPES: (f64, f64) = (0.5, 1.5);
/// Share of statements that the interval holds.
const LEVEL: f64 = 0.8;
/// How many times beyond the costs that were seen a prediction is still made.
const BEYOND: f64 = 100.0;

/// What was learnt of each target.
#[derive(Debug)]
pub(super) struct Lessons {
    clock: Arc<dyn Clock>,
    known: Mutex<BTreeMap<String, (Timestamp, Learnt)>>,
}

/// What was learnt of one target.
#[derive(Debug, Clone)]
pub(super) enum Learnt {
    Line {
        line: Line,
        statements: usize,
        costs: (f64, f64),
    },
    Nothing(String),
}

impl Lessons {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            known: Mutex::default(),
        }
    }

    /// What is known of the target; learnt anew where that is long ago.
    pub(super) async fn of(
        &self,
        target: &str,
        planner: &WhatIf,
    ) -> crate::postgres::Result<Learnt> {
        let now = self.clock.now();
        let known = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(target).cloned()
        };
        if let Some((at, learnt)) = known
            && now.since(at) < HOLDS
        {
            return Ok(learnt);
        }
        let learnt = Learnt::from(planner.learn().await?);
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(target.to_owned(), (now, learnt.clone()));
        Ok(learnt)
    }
}

impl From<Lesson> for Learnt {
    fn from(lesson: Lesson) -> Self {
        let seen = match lesson {
            Lesson::Nothing(why) => return Self::Nothing(why),
            Lesson::Seen(seen) => seen,
        };
        Self::through(&seen)
    }
}

impl Learnt {
    fn through(seen: &[Seen]) -> Self {
        if seen.len() < LEAST {
            return Self::Nothing(format!(
                "{} of pg_stat_statements could be planned; {LEAST} or more are needed",
                counted(seen.len(), "statement")
            ));
        }
        let points: Vec<(f64, f64)> = seen.iter().map(|s| (s.cost.ln(), s.ms.ln())).collect();
        let costs = seen.iter().map(|seen| seen.cost);
        let (least, most) = costs.fold((f64::INFINITY, 0.0_f64), |(least, most), cost| {
            (least.min(cost), most.max(cost))
        });
        match Line::through(&points, SLOPES) {
            Ok(line) => Self::Line {
                line,
                statements: seen.len(),
                costs: (least, most),
            },
            Err(error) => Self::Nothing(error.to_string()),
        }
    }

    /// What a statement of this cost takes, and on what that rests or why it is not said.
    pub(super) fn predict(&self, cost: f64) -> (Option<PredictedTime>, String) {
        let (line, statements, (least, most)) = match self {
            Self::Nothing(why) => return (None, why.clone()),
            Self::Line {
                line,
                statements,
                costs,
            } => (line, *statements, *costs),
        };
        if cost <= 0.0 || cost < least / BEYOND || cost > most * BEYOND {
            let why = format!(
                "the statement costs {cost:.0}, far from what this server's statements cost \
                 ({least:.0} to {most:.0})"
            );
            return (None, why);
        }
        let middle = line.at(cost.ln());
        let (Ok((low, high)), Ok(error)) = (line.interval(LEVEL), line.median_error()) else {
            return (None, "the interval cannot be told".to_owned());
        };
        let predicted = PredictedTime {
            ms: middle.exp(),
            low_ms: (middle + low).exp(),
            high_ms: (middle + high).exp(),
            level: LEVEL,
            statements,
            error_factor: error.exp(),
        };
        let basis = format!(
            "costs and mean times of {statements} statements of this server; the middle one is off \
             by a factor of {:.1}",
            predicted.error_factor
        );
        (Some(predicted), basis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prediction_follows_the_server_s_own_statements() {
        let seen: Vec<Seen> = (1..=20_u32)
            .map(|n| {
                let cost = 10.0 * f64::from(n * n);
                let wobble = if n % 2 == 0 { 2.0 } else { 0.5 };
                Seen {
                    cost,
                    ms: cost * 0.01 * wobble,
                }
            })
            .collect();
        let learnt = Learnt::through(&seen);
        let (predicted, basis) = learnt.predict(1_000.0);
        let predicted = predicted.unwrap();
        assert!((4.0..25.0).contains(&predicted.ms), "{predicted:?}");
        assert!(
            predicted.low_ms <= 5.0 && predicted.high_ms >= 20.0,
            "{predicted:?}"
        );
        assert!(
            (1.5..4.5).contains(&predicted.error_factor),
            "{predicted:?}"
        );
        assert!(basis.contains("20 statements"), "{basis}");
        let (none, why) = learnt.predict(1e9);
        assert!(none.is_none() && why.contains("far from"), "{why}");
    }

    #[test]
    fn with_few_statements_it_says_why_not() {
        let few = [Seen { cost: 1.0, ms: 1.0 }; 3];
        let (none, why) = Learnt::through(&few).predict(1.0);
        assert!(none.is_none() && why.starts_with("3 statements"), "{why}");
        let (none, why) = Learnt::from(Lesson::Nothing("no".to_owned())).predict(1.0);
        assert!(none.is_none() && why == "no");
    }
}
