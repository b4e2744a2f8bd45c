//! What is to be done about a schedule at an instant: pure, so that every clock can be tried.
//!
//! Read [`due`] first. A tick that is later than [`GRACE`] has been missed: the process was not
//! there, or its clock jumped ahead. Then the schedule's policy chooses among all ticks that passed.
//! If the clock goes back afterwards into the span that was missed, its ticks come after all,
//! except for those that were made up for: none runs twice, and none waits for a time that was
//! never.

use std::collections::VecDeque;
use std::time::Duration;

use super::recurrence::Recurrence;
use super::{Error, Missed, Result, Schedule};
use crate::model::job::{CatchUp, NewSchedule};
use crate::model::units::{Millis, Timestamp};

/// A tick that is acted on this late counts as in time.
pub(super) const GRACE: Millis = Millis(60_000);
/// Looking for the newest ticks begins with a span of this length, each further one 8 times as long.
const LOOK: Millis = Millis(60_000);

/// A schedule's instants.
#[derive(Debug, Clone)]
pub(super) struct Timing {
    recurrence: Recurrence,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due {
    /// Ticks that run now, oldest first; often none.
    pub(super) ticks: Vec<Timestamp>,
    /// The tick after all of them.
    pub(super) next: Option<Timestamp>,
    /// The span that was missed, if one was, without these ticks.
    pub(super) missed: Option<Missed>,
}

const fn just_before(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.as_millis().saturating_sub(1))
}

impl Timing {
    /// Reads when a schedule is to come; one by `every` counts from `first`.
    pub(super) fn read(asked: &NewSchedule, first: Timestamp) -> Result<Self> {
        let zone = &asked.timezone;
        let recurrence = match (&asked.pattern, asked.every) {
            (Some(pattern), _) => Recurrence::cron(pattern, zone)?,
            (None, Some(every)) => Recurrence::every(every, first, zone)?,
            (None, None) => {
                return Err(Error::Never {
                    what: format!("the schedule {:?}", asked.name),
                    why: "it has neither a pattern nor every".to_owned(),
                });
            }
        };
        Ok(Self {
            recurrence,
            start: asked.start_at,
            end: asked.end_at,
        })
    }

    pub(super) const fn recurrence(&self) -> &Recurrence {
        &self.recurrence
    }

    /// The first tick after `after`, from start to end.
    pub(super) fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let after = match self.start {
            Some(start) => after.max(just_before(start)),
            None => after,
        };
        let next = self.recurrence.next_after(after)?;
        self.end.is_none_or(|end| next <= end).then_some(next)
    }

    /// The newest ticks from `from` to `now`, at most so many, oldest first.
    fn newest(&self, from: Timestamp, now: Timestamp, most: usize) -> Vec<Timestamp> {
        let mut length = LOOK;
        loop {
            let begin = from.max(now.minus(length.as_duration()));
            let mut found = VecDeque::new();
            let mut next = self.next_after(just_before(begin));
            while let Some(tick) = next.filter(|tick| *tick <= now) {
                if found.len() == most {
                    found.pop_front();
                }
                found.push_back(tick);
                next = self.next_after(tick);
            }
            if found.len() == most || begin == from {
                return found.into();
            }
            length = Millis(length.0.saturating_mul(8));
        }
    }
}

/// What is to be done about a schedule now.
pub(super) fn due(schedule: &Schedule, timing: &Timing, now: Timestamp) -> Due {
    let mut due = Due {
        ticks: Vec::new(),
        next: schedule.next,
        missed: schedule.missed.clone(),
    };
    let Some(planned) = schedule.next else {
        return due;
    };
    let next = came_back(schedule, timing, now).map_or(planned, |back| back.min(planned));
    due.next = Some(next);
    if next > now {
        return due;
    }
    let left = schedule.asked.limit.unwrap_or(u64::MAX);
    let left = usize::try_from(left.saturating_sub(schedule.count)).unwrap_or(usize::MAX);
    let most = match schedule.asked.catch_up {
        CatchUp::All(many) => usize::try_from(many).unwrap_or(usize::MAX),
        CatchUp::Skip | CatchUp::One => 1,
    };
    let mut ticks = timing.newest(next, now, most.min(left));
    if schedule.asked.catch_up == CatchUp::Skip {
        ticks.retain(|tick| now.since(*tick) <= GRACE.as_duration());
    }
    if let Some(missed) = &schedule.missed {
        ticks.retain(|tick| !missed.made_up.contains(tick));
    }
    due.missed = missed_by(schedule, next, now);
    due.next = if ticks.len() >= left {
        None
    } else {
        after(due.missed.as_ref(), timing, now)
    };
    due.ticks = ticks;
    due
}

/// The span that counts as missed once the ticks from `next` to `now` have been seen to.
fn missed_by(schedule: &Schedule, next: Timestamp, now: Timestamp) -> Option<Missed> {
    let known = schedule.missed.clone();
    let back_in = known.clone().filter(|missed| now < missed.until);
    let is_late = now.since(next) > GRACE.as_duration();
    match (is_late, back_in) {
        (false, None) => known,
        (false, Some(back_in)) => Some(Missed {
            from: back_in.from.max(now.plus(Duration::from_millis(1))),
            ..back_in
        }),
        (true, None) => Some(Missed {
            from: next,
            until: now,
            made_up: Vec::new(),
        }),
        (true, Some(mut back_in)) => {
            back_in.made_up.retain(|tick| *tick >= next);
            Some(Missed {
                from: next,
                ..back_in
            })
        }
    }
}

/// The next tick of a schedule whose clock is back in a span that it missed.
fn came_back(schedule: &Schedule, timing: &Timing, now: Timestamp) -> Option<Timestamp> {
    let missed = schedule.missed.as_ref()?;
    if now >= missed.until {
        return None;
    }
    after(Some(missed), timing, now.max(just_before(missed.from)))
}

/// The first tick after `now` that was not made up for.
fn after(missed: Option<&Missed>, timing: &Timing, now: Timestamp) -> Option<Timestamp> {
    let mut next = timing.next_after(now)?;
    while missed.is_some_and(|missed| missed.made_up.contains(&next)) {
        next = timing.next_after(next)?;
    }
    Some(next)
}

/// How long after its tick a run begins: from nothing to `jitter`, always the same for one tick.
pub(super) fn jitter(schedule: &NewSchedule, tick: Timestamp) -> Millis {
    let Some(jitter) = schedule.jitter else {
        return Millis(0);
    };
    // FNV-1a (G. Fowler, L. C. Noll, K.-P. Vo, 1991), mixed at the end as in SplitMix64 (G. Steele
    // et al., 2014): ticks differ in few bits, and their runs shall not lie close together.
    let bytes = schedule.name.bytes().chain(tick.as_millis().to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Millis((mixed ^ (mixed >> 31)) % jitter.0.saturating_add(1))
}
