//! When a pattern would run: a look ahead that needs no server and no schedule.

use crate::clock::{Clock as _, SystemClock};
use crate::model::units::Timestamp;
use crate::queue::schedule::{Recurrence, Tick};

/// The ticks of a cron pattern on a zone's clocks, after `after`, or else after now; and the
/// instant that they come after.
///
/// # Errors
/// What is wrong with the pattern or the zone.
pub fn ticks(
    pattern: &str,
    zone: &str,
    after: Option<Timestamp>,
    many: usize,
) -> super::Result<(Timestamp, Vec<Tick>)> {
    let recurrence = Recurrence::cron(pattern, zone).map_err(crate::queue::Error::from)?;
    let after = after.unwrap_or_else(|| SystemClock.now());
    let tick = |at: Timestamp| Tick {
        at,
        runs_at: at,
        local: recurrence.on_the_clock(at),
    };
    let ticks = recurrence.after(after).take(many).map(tick).collect();
    Ok((after, ticks))
}
