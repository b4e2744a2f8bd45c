//! From a rule to instants: where clocks are put forward and back, these rules decide.
//!
//! A pattern with a wildcard (its minute or hour begins with `*`) runs at every real instant at
//! which the zone's clocks show a time that it means. Any other has fixed times: one that the
//! clocks skip runs at the end of the gap, once for all that are skipped there; one that they show
//! twice runs the first time.
//!
//! Between two transitions of a zone its clocks are so many seconds ahead, and nothing is difficult.
//! So [`Recurrence::next_after`] goes from span to span: read it first.

use jiff::Timestamp as Instant;
use jiff::tz::TimeZone;

use super::cron::{DAY, Pattern};
use super::zone::zone;
use super::{Error, Result};
use crate::model::units::{Millis, Timestamp};

/// The Gregorian calendar repeats after so long: what does not come by then never does.
const CYCLE: i64 = 146_097 * DAY;

/// A rule that gives instants.
#[derive(Debug, Clone)]
pub struct Recurrence {
    rule: Rule,
    zone: TimeZone,
    zone_name: String,
}

#[derive(Debug, Clone)]
enum Rule {
    Cron(Box<Pattern>),
    Every { first: Timestamp, every: Millis },
}

/// A span in which a zone's clocks are a fixed number of seconds ahead.
#[derive(Debug, Clone, Copy)]
struct Span {
    ahead: i64,
    /// The transition that it begins with, and how far ahead clocks were before.
    began: Option<(i64, i64)>,
    /// The transition that ends it.
    ends: Option<i64>,
}

impl Recurrence {
    /// At the times of a cron pattern on the clocks of a zone.
    ///
    /// # Errors
    /// [`Error::Pattern`], [`Error::Zone`], and [`Error::Never`] for a pattern without a date.
    pub fn cron(pattern: &str, zone_name: &str) -> Result<Self> {
        let (zone, zone_name) = zone(zone_name)?;
        let read = Pattern::read(pattern)?;
        if read.first(0, CYCLE).is_none() {
            let why = "no date fits its day of month and its month; 30 2 for example is no day of any year";
            return Err(Error::Never {
                what: format!("the pattern {pattern:?}"),
                why: why.to_owned(),
            });
        }
        Ok(Self {
            rule: Rule::Cron(Box::new(read)),
            zone,
            zone_name,
        })
    }

    /// At `first` and at each whole number of `every` after it; the zone is for showing.
    ///
    /// # Errors
    /// [`Error::Zone`].
    pub fn every(every: Millis, first: Timestamp, zone_name: &str) -> Result<Self> {
        let (zone, zone_name) = zone(zone_name)?;
        Ok(Self {
            rule: Rule::Every {
                first,
                every: Millis(every.0.max(1)),
            },
            zone,
            zone_name,
        })
    }

    /// The zone's name as the database spells it.
    pub fn zone_name(&self) -> &str {
        &self.zone_name
    }

    /// An instant on the zone's clocks, with how far they are ahead: `2026-03-29T03:00:00+02:00`.
    pub fn on_the_clock(&self, at: Timestamp) -> String {
        match Instant::from_millisecond(at.as_millis()) {
            Ok(at) => {
                let shown = at.to_zoned(self.zone.clone());
                shown.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
            }
            Err(_) => at.to_string(),
        }
    }

    /// The first instant after `after`; `None` if there is none.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.rule {
            Rule::Every { first, every } => {
                if after < *first {
                    return Some(*first);
                }
                let passed = u64::try_from(after.since(*first).as_millis()).ok()?;
                let next = (passed / every.0 + 1).checked_mul(every.0)?;
                let next = first.as_millis().checked_add_unsigned(next)?;
                Some(Timestamp::from_millis(next))
            }
            Rule::Cron(pattern) => {
                let from = after.as_millis().div_euclid(1_000).checked_add(1)?;
                let found = self.next_second(pattern, from)?;
                Some(Timestamp::from_millis(found.checked_mul(1_000)?))
            }
        }
    }

    /// The instants after `after`, in their order, without end if the rule has none.
    pub fn after(&self, after: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        std::iter::successors(self.next_after(after), |at| self.next_after(*at))
    }

    /// The first whole second of real time from `from` on.
    fn next_second(&self, pattern: &Pattern, from: i64) -> Option<i64> {
        let last = from.checked_add(CYCLE)?;
        let mut at = from;
        while at < last {
            let span = self.span(at)?;
            let mut clock = at + span.ahead;
            if !pattern.is_wild
                && let Some((began, ahead)) = span.began
            {
                // What clocks showed when they were changed.
                let shown = began + ahead;
                let is_gap = at == began && ahead < span.ahead;
                if is_gap && pattern.first(shown, began + span.ahead).is_some() {
                    return Some(began);
                }
                // Times up to there were shown before they were put back.
                clock = clock.max(shown);
            }
            let until = span.ends.unwrap_or(last) + span.ahead;
            if let Some(found) = pattern.first(clock, until) {
                return Some(found - span.ahead);
            }
            at = span.ends?;
        }
        None
    }

    fn span(&self, at: i64) -> Option<Span> {
        let instant = |second| Instant::from_second(second).ok();
        let ahead = |second| Some(i64::from(self.zone.to_offset(instant(second)?).seconds()));
        let began = self.zone.preceding(instant(at + 1)?).next();
        let began = began.map(|change| change.timestamp().as_second());
        let ends = self.zone.following(instant(at)?).next();
        Some(Span {
            ahead: ahead(at)?,
            began: began.and_then(|began| Some((began, ahead(began - 1)?))),
            ends: ends.map(|change| change.timestamp().as_second()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn every_counts_from_its_first_and_minds_no_clock() {
        let first = at("2026-03-28T12:00:00.250Z");
        let daily = Recurrence::every(Millis::DAY, first, "Europe/Berlin").unwrap();
        assert_eq!(daily.next_after(at("2020-01-01T00:00:00Z")), Some(first));
        assert_eq!(
            daily.next_after(first),
            Some(at("2026-03-29T12:00:00.250Z"))
        );
        let next = daily.next_after(at("2026-03-30T12:00:00.249Z")).unwrap();
        assert_eq!(next, at("2026-03-30T12:00:00.250Z"));
        assert_eq!(daily.on_the_clock(next), "2026-03-30T14:00:00+02:00");
        let huge = Recurrence::every(Millis(u64::MAX), first, "UTC").unwrap();
        assert_eq!(huge.next_after(first), None);
    }

    #[test]
    fn a_pattern_that_no_date_fits_is_refused_with_the_reason() {
        for never in [
            "0 0 30 2 *",
            "0 0 31 4,6,9,11 *",
            "0 0 31 2 *",
            "0 0 30W 2 *",
        ] {
            let told = Recurrence::cron(never, "UTC").unwrap_err().to_string();
            assert!(told.contains("never") && told.contains(never), "{told}");
        }
        for seldom in ["0 0 29 2 *", "0 0 29 2 +1", "0 0 30 2 1"] {
            Recurrence::cron(seldom, "UTC").unwrap();
        }
    }

    #[test]
    fn the_ends_of_time_are_no_panic() {
        let minutely = Recurrence::cron("* * * * *", "Europe/Berlin").unwrap();
        for ms in [
            i64::MIN,
            i64::MAX,
            -377_705_116_800_000,
            253_402_207_200_000,
        ] {
            let _ = minutely.next_after(Timestamp::from_millis(ms));
            let _ = minutely.on_the_clock(Timestamp::from_millis(ms));
        }
    }
}
