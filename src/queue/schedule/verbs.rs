//! What callers do with schedules.
//!
//! A schedule that is sent again replaces the one of its name: there is never a second beside it.
//! If it means the same instants, its next tick stays what it was, so that programs may send their
//! schedules at each start.

use std::collections::BTreeMap;

use tokio::sync::{Mutex, MutexGuard};

use super::due::{Timing, jitter};
use super::kept::{PREFIX, no_row, read, row};
use super::outcomes::id_by_hand;
use super::{Error as Wrong, LastRun, Outcomes, Schedule};
use crate::model::job::{JobState, NewSchedule, QueueConfig, QueueName};
use crate::model::units::Timestamp;
use crate::queue::{Added, Enqueued, Error, Queues, Result, Setting};

/// Schedules of one store.
const SCHEDULES_MAX: usize = 10_000;
/// Ticks of one preview.
const PREVIEW_MAX: usize = 1_000;

/// A schedule with its instants.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) schedule: Schedule,
    pub(super) timing: Timing,
}

type Kept = BTreeMap<String, Held>;

/// All schedules of a process; read from the keeper when they are first asked for.
#[derive(Debug, Default)]
pub(in crate::queue) struct Schedules {
    kept: Mutex<Option<Kept>>,
    pub(in crate::queue) outcomes: Outcomes,
}

/// A schedule as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The schedule.
    pub schedule: Schedule,
    /// Its next tick on its zone's clocks.
    pub next_local: Option<String>,
    /// Where its last job stands; `None` if it is gone and nobody heard of its end.
    pub last_state: Option<JobState>,
    /// What went wrong there, if something did.
    pub last_reason: Option<String>,
}

/// A tick that is to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    /// When.
    pub at: Timestamp,
    /// When its job may run: later by the jitter.
    pub runs_at: Timestamp,
    /// The tick on the zone's clocks.
    pub local: String,
}

impl Schedules {
    /// The schedules, for whoever looks at them or changes them; one at a time.
    pub(super) async fn locked(
        &self,
        queues: &Queues,
    ) -> Result<tokio::sync::MappedMutexGuard<'_, Kept>> {
        let mut kept = self.kept.lock().await;
        if kept.is_none() {
            *kept = Some(load(queues).await?);
        }
        Ok(MutexGuard::map(kept, |kept| kept.get_or_insert_default()))
    }
}

async fn load(queues: &Queues) -> Result<Kept> {
    let now = queues.now();
    let mut kept = Kept::new();
    for (key, value) in queues.keeper().extras(PREFIX).await? {
        let held = read(&value).and_then(|schedule| {
            let timing = Timing::read(&schedule.asked, schedule.first)?;
            Ok(Held { schedule, timing })
        });
        match held {
            Ok(mut held) => {
                held.follow_rules(now);
                kept.insert(held.schedule.asked.name.clone(), held);
            }
            // It stays where it is; one that cannot be read must not stop the others.
            Err(error) => {
                let key = String::from_utf8_lossy(&key).into_owned();
                tracing::error!(key, %error, "a schedule does not run: it does not read");
            }
        }
    }
    Ok(kept)
}

impl Held {
    /// A zone may have got other rules since the next tick was worked out.
    fn follow_rules(&mut self, now: Timestamp) {
        let schedule = &mut self.schedule;
        let is_back = |missed: &super::Missed| now < missed.until;
        if schedule.next.is_none_or(|next| next <= now)
            || schedule.missed.as_ref().is_some_and(is_back)
        {
            return;
        }
        let from = schedule.last_tick.map_or(now, |last| last.max(now));
        schedule.next = self.timing.next_after(from);
    }

    /// What comes after now, and after what ran.
    fn next_from(&self, now: Timestamp) -> Option<Timestamp> {
        let is_over = |limit| self.schedule.count >= limit;
        if self.schedule.asked.limit.is_some_and(is_over) {
            return None;
        }
        let from = self.schedule.last_tick.map_or(now, |last| last.max(now));
        self.timing.next_after(from)
    }
}

/// Why a schedule has no tick to come.
fn never(asked: &NewSchedule, now: Timestamp) -> Wrong {
    let why = match (asked.start_at, asked.end_at) {
        (_, Some(end)) if end < now => format!("its end, {end}, has passed"),
        (Some(start), Some(end)) => format!("no tick is from {start} to {end}"),
        (_, Some(end)) => format!("no tick is from now to its end, {end}"),
        _ => "no tick is to come".to_owned(),
    };
    Wrong::Never {
        what: format!("the schedule {:?}", asked.name),
        why,
    }
}

fn new(asked: NewSchedule, now: Timestamp) -> Result<Held> {
    let every = asked
        .every
        .map_or(now, |every| now.plus(every.as_duration()));
    let first = asked.start_at.unwrap_or(every);
    let timing = Timing::read(&asked, first)?;
    let next = timing.next_after(now).ok_or_else(|| never(&asked, now))?;
    let schedule = Schedule {
        created_at: now,
        changed_at: now,
        next: Some(next),
        first,
        last_tick: None,
        count: 0,
        by_hand: 0,
        last: None,
        missed: None,
        asked,
    };
    Ok(Held { schedule, timing })
}

impl Queues {
    /// Makes a schedule, or replaces the one of its name; its queue is made if it is not there.
    ///
    /// # Errors
    /// [`Error::Invalid`] and [`Error::Schedule`] for one that cannot be, or would never run.
    pub async fn schedule(&self, mut asked: NewSchedule) -> Result<Shown> {
        asked.check()?;
        let now = self.now();
        let mut kept = self.schedules.locked(self).await?;
        let before = kept.get(&asked.name);
        if before.is_none() && kept.len() >= SCHEDULES_MAX {
            return Err(Error::TooMany {
                what: "schedules",
                given: kept.len() + 1,
                limit: SCHEDULES_MAX,
            });
        }
        let (_, spelt) = super::zone::zone(&asked.timezone)?;
        asked.timezone = spelt;
        let was = before.and_then(|before| before.schedule.asked.enabled);
        let is_enabled = asked.enabled.or(was).unwrap_or(true);
        asked.enabled = Some(is_enabled);
        let mut held = match before {
            Some(before) if before.schedule.asked.is_when(&asked) => {
                let mut held = Held {
                    schedule: before.schedule.clone(),
                    timing: before.timing.clone(),
                };
                held.schedule.asked = asked;
                if was == Some(false) {
                    held.schedule.next = held.next_from(now);
                }
                held
            }
            Some(before) => {
                let mut held = new(asked, now)?;
                held.schedule.created_at = before.schedule.created_at;
                held.schedule.by_hand = before.schedule.by_hand;
                held.schedule.last.clone_from(&before.schedule.last);
                held
            }
            None => new(asked, now)?,
        };
        held.schedule.changed_at = now;
        if !is_enabled {
            held.schedule.next = None;
        }
        self.make(&held.schedule.asked.job_type).await?;
        let shown = self.keep(&mut kept, held).await?;
        Ok(self.shown(shown).await)
    }

    /// Makes a queue that is not there.
    async fn make(&self, queue: &QueueName) -> Result<()> {
        if self.keeper().counts(queue).await.is_ok() {
            return Ok(());
        }
        let usual = Setting::Config(Box::<QueueConfig>::default());
        self.configure(queue, usual).await
    }

    async fn keep<'k>(&self, kept: &'k mut Kept, held: Held) -> Result<&'k Held> {
        self.keeper().set_extra(row(&held.schedule)?).await?;
        if let Some(next) = held.schedule.next {
            self.plan(next);
        }
        let name = held.schedule.asked.name.clone();
        kept.insert(name.clone(), held);
        kept.get(&name).ok_or_else(|| Wrong::Unknown(name).into())
    }

    /// All schedules by name.
    ///
    /// # Errors
    /// What the keeper says.
    pub async fn schedules(&self) -> Result<Vec<Shown>> {
        let kept = self.schedules.locked(self).await?;
        let mut all = Vec::with_capacity(kept.len());
        for held in kept.values() {
            all.push(self.shown(held).await);
        }
        Ok(all)
    }

    /// One schedule.
    ///
    /// # Errors
    /// [`Wrong::Unknown`].
    pub async fn one_schedule(&self, name: &str) -> Result<Shown> {
        let kept = self.schedules.locked(self).await?;
        Ok(self.shown(known(&kept, name)?).await)
    }

    async fn shown(&self, held: &Held) -> Shown {
        let schedule = held.schedule.clone();
        let clock = held.timing.recurrence();
        let next_local = schedule.next.map(|next| clock.on_the_clock(next));
        let (mut last_state, mut last_reason) = (None, None);
        if let Some(last) = &schedule.last {
            let ended = last.ended.as_ref();
            last_state = last.state();
            last_reason = last.refused.clone();
            last_reason = last_reason.or_else(|| ended.and_then(|ended| ended.reason.clone()));
            if last.refused.is_none()
                && let Ok(job) = self.keeper().get(&last.queue, &last.job_id).await
            {
                last_state = Some(job.state);
                let error = job.errors.last().map(|error| error.failure.message.clone());
                last_reason = error.filter(|_| job.state != JobState::Completed);
            }
        }
        Shown {
            schedule,
            next_local,
            last_state,
            last_reason,
        }
    }

    /// Removes a schedule; jobs that it enqueued stay.
    ///
    /// # Errors
    /// [`Wrong::Unknown`], or what the disk says.
    pub async fn unschedule(&self, name: &str) -> Result<()> {
        let mut kept = self.schedules.locked(self).await?;
        known(&kept, name)?;
        self.keeper().set_extra(no_row(name)).await?;
        kept.remove(name);
        Ok(())
    }

    /// Lets a schedule rest, or run again from the next tick on: what passed meanwhile is not made
    /// up for.
    ///
    /// # Errors
    /// [`Wrong::Unknown`], or what the disk says.
    pub async fn enable_schedule(&self, name: &str, enabled: bool) -> Result<Shown> {
        let now = self.now();
        let mut kept = self.schedules.locked(self).await?;
        let before = known(&kept, name)?;
        let mut held = Held {
            schedule: before.schedule.clone(),
            timing: before.timing.clone(),
        };
        let was = held.schedule.asked.enabled.replace(enabled);
        if was != Some(enabled) {
            held.schedule.changed_at = now;
            held.schedule.next = held.next_from(now).filter(|_| enabled);
        }
        let held = self.keep(&mut kept, held).await?;
        Ok(self.shown(held).await)
    }

    /// Enqueues a schedule's job now, whatever its next tick, and changes nothing of that.
    ///
    /// # Errors
    /// [`Wrong::Unknown`], else as [`Queues::enqueue`].
    pub async fn run_schedule(&self, name: &str) -> Result<Enqueued> {
        let now = self.now();
        let mut kept = self.schedules.locked(self).await?;
        let mut after = known(&kept, name)?.schedule.clone();
        loop {
            after.by_hand += 1;
            let added = self.enqueue_by_hand(&mut after, now).await;
            // A schedule of this name was there before, and left a job of this number.
            let is_taken = match &added {
                Ok(added) => added.added == Added::Same,
                Err(error) => matches!(error, Error::Conflict { .. }),
            };
            if is_taken {
                let instant = u64::try_from(now.as_millis()).unwrap_or(0);
                after.by_hand = after.by_hand.max(instant);
                continue;
            }
            let added = added?;
            if let Some(held) = kept.get_mut(name) {
                held.schedule = after;
            }
            return Ok(added);
        }
    }

    async fn enqueue_by_hand(&self, after: &mut Schedule, now: Timestamp) -> Result<Enqueued> {
        let id = id_by_hand(&after.asked.name, after.by_hand);
        let queue = after.asked.job_type.clone();
        after.last = Some(LastRun {
            tick: now,
            queue: queue.clone(),
            job_id: id.clone(),
            at: now,
            by_hand: true,
            ended: None,
            refused: None,
        });
        let mut job = after.asked.job();
        job.opts.job_id = Some(id);
        self.enqueue_with(&queue, job, row(after)?).await
    }

    /// The next so many ticks of a schedule, as if it were not paused.
    ///
    /// # Errors
    /// [`Wrong::Unknown`]; [`Error::TooMany`] over 1 000.
    pub async fn preview(&self, name: &str, many: usize) -> Result<Vec<Tick>> {
        if many > PREVIEW_MAX {
            return Err(Error::TooMany {
                what: "ticks",
                given: many,
                limit: PREVIEW_MAX,
            });
        }
        let now = self.now();
        let kept = self.schedules.locked(self).await?;
        let held = known(&kept, name)?;
        let schedule = &held.schedule;
        let left = schedule.asked.limit.unwrap_or(u64::MAX);
        let left = usize::try_from(left.saturating_sub(schedule.count)).unwrap_or(usize::MAX);
        let first = schedule.next.or_else(|| held.next_from(now));
        let ticks = std::iter::successors(first, |tick| held.timing.next_after(*tick));
        let tick = |at: Timestamp| Tick {
            at,
            runs_at: at.plus(jitter(&schedule.asked, at).as_duration()),
            local: held.timing.recurrence().on_the_clock(at),
        };
        Ok(ticks.take(many.min(left)).map(tick).collect())
    }
}

fn known<'k>(kept: &'k Kept, name: &str) -> Result<&'k Held> {
    let unknown = || Wrong::Unknown(name.chars().take(128).collect());
    Ok(kept.get(name).ok_or_else(unknown)?)
}
