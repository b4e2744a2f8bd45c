//! One named query: its rule, its counters, the load under way and the last failure.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, Shared};

use super::counters::Counters;
use super::layer::Entry;
use crate::model::cached::Rule;
use crate::model::units::Timestamp;

/// After one failure a query is left alone for so long; each further one doubles it.
const REST: Duration = Duration::from_secs(1);
/// The longest that it is left alone.
const REST_MAX: Duration = Duration::from_secs(30);
/// A result goes up to this share of its time earlier, so that not all go at once.
const JITTER: f64 = 0.1;

/// What a load ends with, for everybody who waits for it.
pub(super) type Outcome = Result<Arc<Entry>, Failure>;
/// A load under way; as many as like wait for it.
pub(super) type Flight = Shared<BoxFuture<'static, Outcome>>;

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// In words.
    pub reason: Arc<str>,
    /// When it failed.
    pub at: Timestamp,
    /// Until then nobody who asks makes it run again.
    pub until: Timestamp,
    /// Failures in a row.
    pub times: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) rule: Rule,
    pub(super) counters: Counters,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    /// Counts invalidations: a load that began before one is not kept.
    pub(super) epoch: u64,
    pub(super) flight: Option<Flight>,
    pub(super) failure: Option<Failure>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("epoch", &self.epoch)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

impl Slot {
    pub(super) fn new(rule: Rule) -> Self {
        Self {
            rule,
            counters: Counters::default(),
            state: Mutex::default(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a result that is stored at `now` counts as fresh: never longer than its rule says.
    pub(super) fn fresh_for(&self, now: Timestamp) -> Duration {
        let mut hasher = DefaultHasher::new();
        (&self.rule.key, now).hash(&mut hasher);
        let share = hasher.finish() as f64 / u64::MAX as f64;
        let ttl = self.rule.ttl.as_duration();
        ttl.saturating_sub(ttl.mul_f64(JITTER * share))
    }
}

impl State {
    /// The failure after which it is still left alone at `now`. A clock that was set back does not
    /// prolong it.
    pub(super) fn resting(&self, now: Timestamp) -> Option<&Failure> {
        let failure = self.failure.as_ref()?;
        let left = failure.until.since(now);
        (left > Duration::ZERO && left <= REST_MAX).then_some(failure)
    }

    /// Takes note of one more failure.
    pub(super) fn failed(&mut self, reason: &str, at: Timestamp) -> Failure {
        let before = self.failure.as_ref().map_or(0, |failure| failure.times);
        let rest = REST.saturating_mul(1 << before.min(8)).min(REST_MAX);
        let failure = Failure {
            reason: reason.into(),
            at,
            until: at.plus(rest),
            times: before.saturating_add(1),
        };
        self.failure = Some(failure.clone());
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::units::Millis;

    #[test]
    fn a_result_never_counts_as_fresh_for_longer_than_its_rule_and_not_all_for_as_long() {
        let spans: Vec<Duration> = (0..100)
            .map(|n| {
                let slot = Slot::new(Rule {
                    key: format!("key-{n}"),
                    ttl: Millis::MINUTE,
                    ..Rule::default()
                });
                slot.fresh_for(Timestamp::from_millis(7))
            })
            .collect();
        let (least, most) = (spans.iter().min().unwrap(), spans.iter().max().unwrap());
        assert!(*least >= Duration::from_secs(54) && *most <= Duration::from_mins(1));
        assert!(
            most.abs_diff(*least) > Duration::from_secs(4),
            "{least:?} {most:?}"
        );
    }

    #[test]
    fn failures_in_a_row_rest_longer_up_to_a_bound() {
        let at = Timestamp::from_millis(0);
        let mut state = State::default();
        for want in [1, 2, 4, 8, 16, 30, 30] {
            let failure = state.failed("gone", at);
            assert_eq!(failure.until.since(at), Duration::from_secs(want));
        }
        assert!(state.resting(at).is_some());
        assert!(state.resting(at.plus(REST_MAX)).is_none());
        // Set back by an hour.
        assert!(state.resting(at.minus(Duration::from_hours(1))).is_none());
    }
}
