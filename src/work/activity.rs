//! An active session history: what sessions did or waited for, second by second.
//!
//! For: folding the samples of the last hour into shares of time, and into counters for the
//! history. Not for: reading the server (`postgres`) or judging the shares (`diagnose`).

use std::collections::{BTreeMap, VecDeque};

use crate::model::database::ActivitySample;
use crate::model::series::{Labels, Metric, Sample};
use crate::model::units::{Millis, Timestamp};

/// How far back the shares look.
const SPAN: Millis = Millis::HOUR;

/// Looks that were taken: the denominator of [`SESSIONS`].
const LOOKS: Metric = Metric::counter(
    "pg_activity_samples_total",
    "Looks at pg_stat_activity taken for the active session history.",
);

/// Sessions seen, by what they waited for.
const SESSIONS: Metric = Metric::counter(
    "pg_activity_sampled_sessions_total",
    "Active sessions seen by those looks, by what they waited for.",
);

/// What the metrics of this module mean.
pub(crate) const METRICS: [&Metric; 2] = [&LOOKS, &SESSIONS];

type Waits = BTreeMap<(String, String), u64>;

/// Samples of one target, folded by minute so that an hour stays small.
#[derive(Debug, Default)]
pub(crate) struct SessionHistory {
    minutes: VecDeque<(Timestamp, Waits)>,
    looks: u64,
    totals: Waits,
}

impl SessionHistory {
    /// Adds one look at the server's sessions.
    pub(crate) fn add(&mut self, at: Timestamp, sample: &ActivitySample) {
        self.looks += 1;
        let minute = at.floor_to(Millis::MINUTE);
        if self.minutes.back().is_none_or(|(last, _)| *last != minute) {
            self.minutes.push_back((minute, Waits::new()));
        }
        for (wait, sessions) in &sample.waits {
            let sessions = u64::from(*sessions);
            *self.totals.entry(wait.clone()).or_default() += sessions;
            if let Some((_, waits)) = self.minutes.back_mut() {
                *waits.entry(wait.clone()).or_default() += sessions;
            }
        }
        // A clock that jumped either way leaves minutes outside the span: they go, too.
        let oldest = at.minus(SPAN.as_duration());
        self.minutes
            .retain(|(minute, _)| *minute > oldest && *minute <= at);
    }

    /// Share of active time by wait class over the last hour, most first; empty when all was idle.
    pub(crate) fn shares(&self) -> Vec<(String, f64)> {
        let mut by_class = BTreeMap::<&str, u64>::new();
        for ((class, _), sessions) in self.minutes.iter().flat_map(|(_, waits)| waits) {
            *by_class.entry(class).or_default() += sessions;
        }
        let all: u64 = by_class.values().sum();
        let mut shares: Vec<(String, f64)> = by_class
            .into_iter()
            .map(|(class, sessions)| (class.to_owned(), sessions as f64 / all.max(1) as f64))
            .collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        shares
    }

    /// Running totals as samples for the history.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let sessions = self.totals.iter().map(|((class, event), sessions)| {
            let labels = Labels::none()
                .with("wait_event_type", class.as_str())
                .with("wait_event", event.as_str());
            SESSIONS.sample(labels, *sessions as f64)
        });
        std::iter::once(LOOKS.sample(Labels::none(), self.looks as f64))
            .chain(sessions)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(waits: &[(&str, &str, u32)]) -> ActivitySample {
        let waits = waits
            .iter()
            .map(|(c, e, n)| (((*c).into(), (*e).into()), *n))
            .collect();
        ActivitySample { waits }
    }

    #[test]
    fn shares_count_sessions_not_looks() {
        let mut history = SessionHistory::default();
        let at = Timestamp::from_millis(0);
        history.add(at, &look(&[("CPU", "CPU", 3), ("Lock", "tuple", 1)]));
        history.add(at.plus(Millis::SECOND.as_duration()), &look(&[]));
        assert_eq!(
            history.shares(),
            [("CPU".to_owned(), 0.75), ("Lock".to_owned(), 0.25)]
        );
        assert!((history.samples()[0].value - 2.0).abs() < f64::EPSILON);
    }

    #[test]
    fn what_is_older_than_an_hour_leaves_the_shares_but_not_the_totals() {
        let mut history = SessionHistory::default();
        history.add(
            Timestamp::from_millis(0),
            &look(&[("IO", "DataFileRead", 5)]),
        );
        let later = Timestamp::from_millis(2 * 3_600_000);
        history.add(later, &look(&[("CPU", "CPU", 1)]));
        assert_eq!(history.shares(), [("CPU".to_owned(), 1.0)]);
        assert_eq!(history.samples().len(), 3);
    }

    #[test]
    fn a_clock_set_back_forgets_the_future() {
        let mut history = SessionHistory::default();
        history.add(Timestamp::from_millis(7_200_000), &look(&[("IO", "x", 5)]));
        history.add(
            Timestamp::from_millis(3_600_000),
            &look(&[("CPU", "CPU", 1)]),
        );
        assert_eq!(history.shares(), [("CPU".to_owned(), 1.0)]);
    }

    #[test]
    fn an_idle_server_has_no_shares() {
        let mut history = SessionHistory::default();
        history.add(Timestamp::from_millis(0), &look(&[]));
        assert!(history.shares().is_empty());
    }
}
