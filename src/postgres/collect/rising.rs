//! Statements that rise: new on an old server, they are far from the top by total time for weeks.
//!
//! Each minute the totals of all entries are compared with those before, and the ones that grew
//! most are followed beside the top, so that a ranking of the last hour has what ran in it. Only
//! two numbers an entry are read.

use std::collections::{HashMap, VecDeque};

use crate::postgres::capability::{StatementsExtension, quote};
use crate::postgres::read::Cells;
use crate::postgres::session::Session;
use crate::postgres::{MARKER, Result};

const PART: &str = "statements";
/// Entries that are taken up at a time.
const RISING_MAX: usize = 20;
/// Entries that are followed beside the top; the oldest go.
const FOLLOWED_MAX: usize = 60;
/// Readings after which an entry that has not begun is no longer new: its text came too late.
const FRESH_MAX: u8 = 3;
/// Entries that are remembered; `pg_stat_statements.max` is 5,000 unless set.
const KNOWN_MAX: usize = 20_000;

/// Totals as last read, and whom they make us follow.
#[derive(Debug, Default)]
pub(crate) struct Rising {
    totals: HashMap<i64, f64>,
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
        let total = if extension.has_exec_time() {
            "total_exec_time"
        } else {
            "total_time"
        };
        let sql = format!(
            "select {MARKER} queryid, sum({total}) from {}.pg_stat_statements(false) \
             where queryid is not null group by 1",
            quote(&extension.schema)
        );
        let mut now = HashMap::new();
        for row in session.rows(PART, &sql, &[]).await? {
            let cells = Cells::new(PART, &row);
            let id: i64 = cells.get(0)?;
            if now.len() < KNOWN_MAX {
                now.insert(id, cells.number(1)?.unwrap_or(0.0));
            }
        }
        self.take(now, top);
        Ok(())
    }

    fn take(&mut self, now: HashMap<i64, f64>, top: &[i64]) {
        self.fresh.retain(|id, readings| {
            *readings += 1;
            *readings < FRESH_MAX && now.contains_key(id)
        });
        // Without a reading before, nobody knows who rises.
        if !self.totals.is_empty() {
            let came = now.keys().filter(|id| !self.totals.contains_key(id));
            self.fresh.extend(came.map(|id| (*id, 0)));
            let grown = now.iter().map(|(id, total)| {
                let before = self.totals.get(id).copied().unwrap_or(0.0);
                (*id, total - before)
            });
            let mut rising: Vec<(i64, f64)> = grown
                .filter(|(id, grown)| *grown > 0.0 && !top.contains(id))
                .collect();
            rising.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            for (id, _) in rising.into_iter().take(RISING_MAX) {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(of: &[(i64, f64)]) -> HashMap<i64, f64> {
        of.iter().copied().collect()
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
        rising.take(totals(&[(0, 1.0)]), &[]);
        let mut all = HashMap::from([(0, 1.0)]);
        for id in 1..=200_i64 {
            all.insert(id, 1.0);
            rising.take(all.clone(), &[]);
        }
        let followed = rising.followed();
        assert_eq!(followed.len(), FOLLOWED_MAX);
        assert_eq!(followed.last(), Some(&200));
    }
}
