//! Ticks that are due become jobs.
//!
//! A job and the schedule's row, with the next tick in it, are one batch: after a crash either both
//! are there or neither. If only the answer was lost, the tick is enqueued again under the same id,
//! and stands already.

use super::due::{Due, due, jitter};
use super::kept::row;
use super::outcomes::id;
use super::verbs::Held;
use super::{LastRun, Missed, Schedule};
use crate::model::job::{JobState, NewJob};
use crate::model::units::{Millis, Timestamp};
use crate::queue::{Added, Error, Queues, Result};

/// Schedules whose ticks are written at the same time: they share the barrier.
const TOGETHER: usize = 256;

impl Queues {
    /// Enqueues what is due, and says when there is next something to do.
    ///
    /// # Errors
    /// What the disk says; what was not enqueued is due again.
    pub(in crate::queue) async fn fire_due(&self) -> Result<Option<Timestamp>> {
        let now = self.now();
        let mut kept = self.schedules.locked(self).await?;
        self.note_outcomes(&mut kept).await?;
        let mut round: Vec<(String, Due)> = Vec::new();
        for (name, held) in kept.iter_mut() {
            let is_back = |missed: &Missed| now < missed.until;
            let rests = held.schedule.next.is_none_or(|next| next > now);
            if rests && !held.schedule.missed.as_ref().is_some_and(is_back) {
                continue;
            }
            let due = due(&held.schedule, &held.timing, now);
            if due.ticks.is_empty() && due.missed == held.schedule.missed {
                // A clock that went back may bring it nearer.
                held.schedule.next = due.next;
            } else {
                round.push((name.clone(), due));
            }
        }
        let mut outcome = Ok(());
        for some in round.chunks(TOGETHER) {
            let fires = some.iter().filter_map(|(name, due)| {
                let held = kept.get(name)?;
                Some(self.fire(held.schedule.clone(), due, now))
            });
            let reached = futures_util::future::join_all(fires).await;
            for (schedule, result) in reached {
                if let Some(held) = kept.get_mut(&schedule.asked.name) {
                    held.schedule = schedule;
                }
                outcome = outcome.and(result);
            }
        }
        outcome?;
        Ok(kept.values().filter_map(|held| held.schedule.next).min())
    }

    /// Notes how runs ended that were the last of their schedules.
    async fn note_outcomes(
        &self,
        kept: &mut std::collections::BTreeMap<String, Held>,
    ) -> Result<()> {
        let mut heard = self.schedules.outcomes.take();
        if heard.is_empty() {
            return Ok(());
        }
        for held in kept.values_mut() {
            let schedule = &mut held.schedule;
            let Some(last) = &mut schedule.last else {
                continue;
            };
            let job = (last.queue.clone(), last.job_id.clone());
            if let Some(ended) = heard.remove(&job) {
                last.ended = Some(ended);
                self.keeper().set_extra(row(schedule)?).await?;
            }
        }
        Ok(())
    }

    /// Enqueues ticks of one schedule, one after the other, and says how far it came.
    async fn fire(
        &self,
        mut schedule: Schedule,
        due: &Due,
        now: Timestamp,
    ) -> (Schedule, Result<()>) {
        if due.ticks.is_empty() {
            let mut moved = schedule.clone();
            (moved.next, moved.missed) = (due.next, due.missed.clone());
            return self.written(schedule, moved).await;
        }
        let nexts = due.ticks.iter().skip(1).map(|tick| Some(*tick));
        for (tick, next) in due.ticks.iter().zip(nexts.chain([due.next])) {
            let mut after = schedule.clone();
            (after.next, after.missed) = (next, due.missed.clone());
            let result = self.fire_tick(&mut after, *tick, now).await;
            if let Err(error) = result {
                return (schedule, Err(error));
            }
            schedule = after;
        }
        (schedule, Ok(()))
    }

    async fn written(&self, before: Schedule, after: Schedule) -> (Schedule, Result<()>) {
        let written = match row(&after) {
            Ok(row) => self.keeper().set_extra(row).await,
            Err(error) => Err(error),
        };
        match written {
            Ok(()) => (after, Ok(())),
            Err(error) => (before, Err(error)),
        }
    }

    /// Makes a tick a job. One that cannot be taken is noted with its reason and does not come again.
    async fn fire_tick(&self, after: &mut Schedule, tick: Timestamp, now: Timestamp) -> Result<()> {
        after.count += 1;
        after.last_tick = after.last_tick.max(Some(tick));
        if let Some(missed) = &mut after.missed
            && (missed.from..missed.until).contains(&tick)
        {
            missed.made_up.push(tick);
        }
        let job = job_of(after, tick, now);
        let job_id = job.opts.job_id.clone().unwrap_or_default();
        after.last = Some(LastRun {
            tick,
            queue: after.asked.job_type.clone(),
            job_id,
            at: now,
            by_hand: false,
            ended: None,
            refused: None,
        });
        let queue = after.asked.job_type.clone();
        let refused = match self.enqueue_with(&queue, job, row(after)?).await {
            Ok(added) if added.added == Added::Deduplicated => {
                format!("left out: job {:?} was still under way", added.id)
            }
            Ok(_) => return Ok(()),
            Err(error @ (Error::Store(_) | Error::NotDurable(_))) => return Err(error),
            Err(error) => {
                let name = &after.asked.name;
                tracing::error!(schedule = name, %error, "a tick cannot be enqueued");
                error.to_string()
            }
        };
        if let Some(last) = &mut after.last {
            last.refused = Some(refused);
        }
        self.keeper().set_extra(row(after)?).await
    }
}

/// The job of a tick: it may run at the tick and its jitter, or at once if that has passed.
fn job_of(schedule: &Schedule, tick: Timestamp, now: Timestamp) -> NewJob {
    let asked = &schedule.asked;
    let mut job = asked.job();
    job.opts.job_id = Some(id(&asked.name, tick));
    let begins = tick.plus(jitter(asked, tick).as_duration());
    let wait = u64::try_from(begins.since(now).as_millis()).unwrap_or(u64::MAX);
    let own = job.opts.delay.map_or(0, |delay| delay.0);
    let delay = own.saturating_add(wait);
    job.opts.delay = (delay > 0).then_some(Millis(delay));
    job
}

impl LastRun {
    /// Where its job stands, as far as is known without looking at it.
    pub fn state(&self) -> Option<JobState> {
        self.ended.as_ref().map(|ended| ended.state)
    }
}
