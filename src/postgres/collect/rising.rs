//! Statements that rise: new on an old server, they are far from the top by total time for weeks.
//!
//! Each minute the totals of all entries are compared with those before, and the ones that grew
//! most are followed beside the top, so that a ranking of the last hour has what ran in it: by time,
//! and by each other measure that statements are ranked by, since what is called most, or makes most
//! WAL, may take little time. Only a few numbers an entry are read.

use std::collections::{HashMap, VecDeque};

use crate::postgres::capability::{StatementsExtension, quote};
use crate::postgres::read::Cells;
use crate::postgres::session::Session;
use crate::postgres::{MARKER, Result};

const PART: &str = "statements";
/// Entries that are taken up at a time, by each of [`Totals`].
const RISING_MAX: [usize; 5] = [20, 8, 8, 8, 8];
/// Entries that are followed beside the top; the oldest go.
const FOLLOWED_MAX: usize = 100;
/// Readings after which an entry that has not begun is no longer new: its text came too late.
const FRESH_MAX: u8 = 3;
/// Entries that are remembered; `pg_stat_statements.max` is 5,000 unless set.
const KNOWN_MAX: usize = 20_000;

/// Time in ms, calls, blocks read, temporary blocks written, bytes of WAL.
type Totals = [f64; RISING_MAX.len()];

/// Totals as last read, and whom they make us follow.
#[derive(Debug, Default)]
pub(crate) struct Rising {
    totals: HashMap<i64, Totals>,
    followed: VecDeque<i64>,
    /// Entries that were not there before, by the readings since they came.
    fresh: HashMap<i64, u8>,
}

impl Rising {
    /// Query ids to read beside the top.
    pub(crate) fn followed(&self) -> Vec<i64> {
        self.followed.iter().copied().collect()
    }

    /// Whether an entry came within the last readings and has not begun yet: its counters were 0 then,
    /// so that what it did in its first minute counts, too. Told once.
    pub(crate) fn begins(&mut self, id: i64) -> bool {
        self.fresh.remove(&id).is_some()
    }

    /// Whether an entry is read because it rose.
    pub(crate) fn is_followed(&self, id: i64) -> bool {
        self.followed.contains(&id)
    }

    /// Reads the totals, and follows those that grew most and are not among `top`.
    pub(crate) async fn refresh(
        &mut self,
        session: &mut Session,
        extension: &StatementsExtension,
        top: &[i64],
    ) -> Result<()> {
        let (total, wal) = if extension.has_exec_time() {
            ("total_exec_time", "wal_bytes")
        } else {
            ("total_time", "0")
        };
        let sql = format!(
            "select {MARKER} queryid, sum({total}), sum(calls)::float8, sum(shared_blks_read)::float8, \
             sum(temp_blks_written)::float8, sum({wal})::float8 \
             from {}.pg_stat_statements(false) where queryid is not null group by 1",
            quote(&extension.schema)
        );
        let mut now = HashMap::new();
        for row in session.rows(PART, &sql, &[]).await? {
            let cells = Cells::new(PART, &row);
            let id: i64 = cells.get(0)?;
            let mut totals = Totals::default();
            for (place, total) in totals.iter_mut().enumerate() {
                *total = cells.number(1 + place)?.unwrap_or(0.0);
            }
            if now.len() < KNOWN_MAX {
                now.insert(id, totals);
            }
        }
        self.take(now, top);
        Ok(())
    }

    fn take(&mut self, now: HashMap<i64, Totals>, top: &[i64]) {
        self.fresh.retain(|id, readings| {
            *readings += 1;
            *readings < FRESH_MAX && now.contains_key(id)
        });
        // Without a reading before, nobody knows who rises.
        if !self.totals.is_empty() {
            let came = now.keys().filter(|id| !self.totals.contains_key(id));
            self.fresh.extend(came.map(|id| (*id, 0)));
            for id in self.risen(&now, top) {
                self.followed.retain(|known| *known != id);
                self.followed.push_back(id);
            }
        }
        self.followed
            .retain(|id| now.contains_key(id) && !top.contains(id));
        while self.followed.len() > FOLLOWED_MAX {
            self.followed.pop_front();
        }
        self.totals = now;
    }

    /// Entries beside the top that grew most by some measure; those by time come last, and stay longest.
    fn risen(&self, now: &HashMap<i64, Totals>, top: &[i64]) -> Vec<i64> {
        let mut risen = Vec::new();
        for (measure, most) in RISING_MAX.into_iter().enumerate().rev() {
            let of = |totals: &Totals| totals.get(measure).copied().unwrap_or(0.0);
            let grown = now
                .iter()
                .map(|(id, totals)| (*id, of(totals) - self.totals.get(id).map_or(0.0, of)));
            let mut rising: Vec<(i64, f64)> = grown
                .filter(|(id, grown)| *grown > 0.0 && !top.contains(id))
                .collect();
            rising.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            risen.extend(rising.into_iter().take(most).map(|(id, _)| id));
        }
        risen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By time alone.
    fn totals(of: &[(i64, f64)]) -> HashMap<i64, Totals> {
        let each = of.iter();
        each.map(|(id, time)| (*id, [*time, 0.0, 0.0, 0.0, 0.0]))
            .collect()
    }

    #[test]
    fn what_grows_most_by_any_measure_is_followed_beside_what_takes_time() {
        // So many take more time than each of these, which lead by one measure each.
        let crowd = |time: f64| (100..200_i64).map(move |id| (id, [time, 1.0, 1.0, 1.0, 1.0]));
        let leader = |id: usize, grown: f64| {
            let mut totals = [0.1 * grown; 5];
            totals[id] = 1e6 * grown;
            (i64::try_from(id).unwrap(), totals)
        };
        let all = |time, grown| crowd(time).chain((1..5).map(move |id| leader(id, grown)));
        let mut rising = Rising::default();
        rising.take(all(1.0, 1.0).collect(), &[]);
        rising.take(all(9.0, 2.0).collect(), &[]);
        let followed = rising.followed();
        assert!((1..5).all(|id| followed.contains(&id)), "{followed:?}");
        let by_time = followed.iter().filter(|id| **id >= 100).count();
        assert_eq!(by_time, RISING_MAX[0]);
        // What stood still is not taken up, however large it is.
        let mut rising = Rising::default();
        rising.take(all(1.0, 1.0).collect(), &[]);
        rising.take(all(9.0, 1.0).collect(), &[]);
        assert!(rising.followed().iter().all(|id| *id >= 100));
    }

    #[test]
    fn a_new_statement_is_followed_though_its_total_is_small() {
        let mut rising = Rising::default();
        rising.take(totals(&[(1, 1e9), (2, 5.0)]), &[1]);
        assert!(rising.followed().is_empty(), "nothing to compare with");
        rising.take(totals(&[(1, 1e9 + 10.0), (2, 5.0), (3, 40.0)]), &[1]);
        assert_eq!(rising.followed(), [3]);
        // In the top by now, and one that was evicted.
        rising.take(totals(&[(1, 1e9), (2, 9.0), (3, 50.0)]), &[1, 3]);
        assert_eq!(rising.followed(), [2]);
        rising.take(totals(&[(1, 1e9), (3, 50.0)]), &[1, 3]);
        assert!(rising.followed().is_empty());
    }

    #[test]
    fn what_comes_between_two_readings_begins_at_nothing_once() {
        let mut rising = Rising::default();
        rising.take(totals(&[(1, 5.0)]), &[1]);
        assert!(!rising.begins(1), "how long it has been there is not known");
        rising.take(totals(&[(1, 6.0), (2, 3.0)]), &[1]);
        assert!(rising.begins(2) && !rising.begins(2) && !rising.begins(1));
        rising.take(totals(&[(1, 6.0), (2, 3.0), (3, 1.0)]), &[1]);
        for _ in 0..3 {
            rising.take(totals(&[(1, 6.0), (2, 3.0), (3, 1.0)]), &[1]);
        }
        assert!(
            !rising.begins(3),
            "minutes later its counters are of minutes"
        );
    }

    #[test]
    fn those_that_rose_last_stay() {
        let mut rising = Rising::default();
        let mut all = totals(&[(0, 1.0)]);
        rising.take(all.clone(), &[]);
        for id in 1..=200_i64 {
            all.extend(totals(&[(id, 1.0)]));
            rising.take(all.clone(), &[]);
        }
        let followed = rising.followed();
        assert_eq!(followed.len(), FOLLOWED_MAX);
        assert_eq!(followed.last(), Some(&200));
    }
}
