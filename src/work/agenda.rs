//! When a watcher scrapes and when it looks at the sessions: two grids, neither in the other's way.
//!
//! For: the loop in `work::collect`. Not for: what is done then.

use std::time::Duration;

use crate::model::units::{Millis, Timestamp};

/// How often a target is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Between scrapes.
    pub(crate) scrape: Millis,
    /// Between looks at the sessions; zero turns them off.
    pub(crate) look: Millis,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// A scrape; it comes before a look of the same moment, so that its time stays on the grid.
    Scrape,
    /// A look at the sessions.
    Look,
    /// Nothing yet, and so long a pause.
    Nothing(Duration),
}

/// When each is due next.
#[derive(Debug)]
pub(crate) struct Agenda {
    pace: Pace,
    scrape_at: Timestamp,
    look_at: Timestamp,
}

impl Agenda {
    /// A scrape at once, the first look a pause later: it needs what the scrape connects.
    pub(crate) fn from(now: Timestamp, pace: Pace) -> Self {
        Self {
            pace,
            scrape_at: now,
            look_at: after(now, pace.look),
        }
    }

    /// What to do at `now`.
    pub(crate) fn due(&self, now: Timestamp) -> Due {
        if is_due(self.scrape_at, now, self.pace.scrape) {
            return Due::Scrape;
        }
        let scrape_in = self.scrape_at.since(now);
        if self.pace.look.0 == 0 {
            return Due::Nothing(scrape_in);
        }
        if is_due(self.look_at, now, self.pace.look) {
            return Due::Look;
        }
        Due::Nothing(scrape_in.min(self.look_at.since(now)))
    }

    /// A scrape is done: the next is at the next line of the grid, however long this one took.
    pub(crate) fn scraped(&mut self, now: Timestamp) {
        self.scrape_at = after(now, self.pace.scrape);
    }

    /// A look is done.
    pub(crate) fn looked(&mut self, now: Timestamp) {
        self.look_at = after(now, self.pace.look);
    }
}

/// The next line of the grid after `now`; `now` itself where there is no grid.
fn after(now: Timestamp, step: Millis) -> Timestamp {
    if step.0 == 0 {
        return now;
    }
    now.floor_to(step).plus(step.as_duration())
}

/// A clock that was set back must not silence the watcher until it has caught up.
fn is_due(at: Timestamp, now: Timestamp, step: Millis) -> bool {
    now >= at || at.since(now) > step.as_duration()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scrapes and looks in ten seconds from `start`, when neither takes any time.
    fn ten_seconds(pace: Pace, start: i64) -> (usize, usize) {
        let mut now = Timestamp::from_millis(start);
        let end = now.plus(Duration::from_secs(10));
        let mut agenda = Agenda::from(now, pace);
        let (mut scrapes, mut looks) = (0, 0);
        while now < end {
            match agenda.due(now) {
                Due::Scrape => {
                    scrapes += 1;
                    agenda.scraped(now);
                }
                Due::Look => {
                    looks += 1;
                    agenda.looked(now);
                }
                Due::Nothing(pause) => {
                    assert!(!pause.is_zero(), "it would spin");
                    now = now.plus(pause);
                }
            }
        }
        (scrapes, looks)
    }

    fn pace(scrape: u64, look: u64) -> Pace {
        Pace {
            scrape: Millis(scrape),
            look: Millis(look),
        }
    }

    #[test]
    fn sessions_are_looked_at_whether_scrapes_are_rarer_as_frequent_or_more_frequent() {
        assert_eq!(ten_seconds(pace(10_000, 1_000), 0), (1, 9));
        assert_eq!(ten_seconds(pace(1_000, 1_000), 0), (10, 9));
        assert_eq!(ten_seconds(pace(1_000, 5_000), 0), (10, 1));
        assert_eq!(ten_seconds(pace(1_000, 700), 0), (10, 14));
        assert_eq!(ten_seconds(pace(2_000, 0), 0), (5, 0), "turned off");
    }

    #[test]
    fn a_start_between_the_lines_joins_the_grid() {
        assert_eq!(ten_seconds(pace(5_000, 1_000), 1_250), (3, 10));
    }

    #[test]
    fn a_clock_set_back_delays_neither() {
        let hour = 3_600_000;
        let mut agenda = Agenda::from(Timestamp::from_millis(hour), pace(10_000, 1_000));
        agenda.scraped(Timestamp::from_millis(hour));
        let back = Timestamp::from_millis(5);
        assert_eq!(agenda.due(back), Due::Scrape);
        agenda.scraped(back);
        assert_eq!(agenda.due(back), Due::Look);
        agenda.looked(back);
        let pause = Duration::from_millis(995);
        assert_eq!(agenda.due(back), Due::Nothing(pause));
    }

    #[test]
    fn what_took_long_is_not_made_up_for() {
        let mut agenda = Agenda::from(Timestamp::from_millis(0), pace(1_000, 1_000));
        let late = Timestamp::from_millis(4_500);
        agenda.scraped(late);
        agenda.looked(late);
        assert_eq!(agenda.due(late), Due::Nothing(Duration::from_millis(500)));
    }
}
