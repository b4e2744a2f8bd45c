//! How runs of schedules ended, until it is noted with the schedule.
//!
//! For: knowing the outcome also of jobs that are removed as soon as they are done.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::Ended;
use crate::model::job::QueueName;
use crate::model::units::Timestamp;
use crate::queue::Change;

/// Ids of jobs that a tick became begin so.
const ID: &str = "schedule:";
/// Outcomes that wait to be noted; beyond, none is taken until they are.
const WAITING_MAX: usize = 10_000;

/// The id of the job that a tick becomes; of runs by hand, with their number.
pub(super) fn id(name: &str, tick: Timestamp) -> String {
    format!("{ID}{name}:{}", tick.as_millis())
}

pub(super) fn id_by_hand(name: &str, number: u64) -> String {
    format!("{ID}{name}:run:{number}")
}

type Heard = HashMap<(QueueName, String), Ended>;

/// See the module.
#[derive(Debug, Default)]
pub(in crate::queue) struct Outcomes(Mutex<Heard>);

impl Outcomes {
    /// Hears what became of a job.
    pub(in crate::queue) fn hear(&self, change: &Change, now: Timestamp) {
        let Some(state) = change.state.filter(|state| state.is_final()) else {
            return;
        };
        if !change.id.starts_with(ID) {
            return;
        }
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() < WAITING_MAX {
            let ended = Ended {
                state,
                at: now,
                reason: change.reason.clone(),
            };
            heard.insert((change.queue.clone(), change.id.clone()), ended);
        }
    }

    /// Takes all that was heard.
    pub(super) fn take(&self) -> Heard {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
