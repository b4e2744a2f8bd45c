//! `pg_stat_activity`: who is connected, who runs, who waits for what.
//!
//! Read through the function beneath the view: its joins are not needed each second. Our own
//! sessions are left out, except from the count of connections in use: they use one, too.

use std::collections::BTreeMap;

use crate::model::database::{ActivitySample, PoolUsage, Session as Seat};
use crate::model::series::{Labels, Metric, Sample};
use crate::postgres::read::Cells;
use crate::postgres::session::Session;
use crate::postgres::{APPLICATION_NAME, MARKER, Result, mask};

use super::Seen;

const PART: &str = "activity";

/// Longest statement text that is kept, in characters.
pub(super) const TEXT_CAP: usize = 2_000;

/// Most sessions that a snapshot lists, oldest transaction first.
const SESSIONS_CAP: usize = 500;

pub(super) const CONNECTIONS: Metric = Metric::gauge(
    "pg_connections",
    "Client connections by database and state, without this monitor's own.",
)
.exact_to(1.0);
const USED: Metric = Metric::gauge(
    "pg_connections_used",
    "Client connections of the whole server, this monitor's own included.",
)
.exact_to(1.0);
pub(super) const TRANSACTION_AGE: Metric = Metric::gauge(
    "pg_transaction_age_max_seconds",
    "Age of the oldest open transaction by database and state.",
)
.exact_to(1e-3);
const WAITING: Metric = Metric::gauge(
    "pg_sessions_active",
    "Running sessions by what they wait for; CPU is those that wait for nothing.",
)
.exact_to(1.0);

pub(super) const METRICS: &[&Metric] = &[&CONNECTIONS, &USED, &TRANSACTION_AGE, &WAITING];

/// Without `pg_monitor` the type of other roles' backends is hidden; those have a database.
const CLIENTS: &str = "(a.backend_type = 'client backend' \
                       or (a.backend_type is null and a.datid is not null))";

/// What the counts are remembered by, so that a state that is left falls to 0.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    connections: Seen,
    ages: Seen,
    waits: Seen,
}

/// Connections by database, state, wait and application.
#[derive(Debug, Clone)]
struct Group {
    database: String,
    state: String,
    wait: String,
    application: String,
    count: u32,
    oldest_ms: Option<u64>,
}

/// Connections as counted in one scrape.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connections(Vec<Group>);

/// Counts all client connections.
pub(crate) async fn connections(session: &mut Session) -> Result<Connections> {
    let sql = format!(
        "select {MARKER} d.datname::text, a.state, a.wait_event_type, a.application_name, \
         count(*), max(extract(epoch from clock_timestamp() - a.xact_start))::float8 \
         from pg_stat_get_activity(null) a left join pg_database d on d.oid = a.datid \
         where {CLIENTS} group by 1, 2, 3, 4"
    );
    let mut groups = Vec::new();
    for row in session.rows(PART, &sql, &[]).await? {
        let cells = Cells::new(PART, &row);
        let state = cells.text(1)?;
        groups.push(Group {
            database: cells.text(0)?,
            state: if state.is_empty() {
                "unknown".to_owned()
            } else {
                state
            },
            wait: cells.text(2)?,
            application: cells.text(3)?,
            count: u32::try_from(cells.count(4)?).unwrap_or(u32::MAX),
            oldest_ms: cells.millis(5)?,
        });
    }
    Ok(Connections(groups))
}

impl Connections {
    fn others(&self) -> impl Iterator<Item = &Group> {
        self.0.iter().filter(|g| g.application != APPLICATION_NAME)
    }

    /// Series of one scrape.
    pub(crate) fn samples(&self, memory: &mut Memory) -> Vec<Sample> {
        let mut counts: BTreeMap<Labels, f64> = BTreeMap::new();
        let mut ages: BTreeMap<Labels, f64> = BTreeMap::new();
        let mut waits: BTreeMap<Labels, f64> = BTreeMap::new();
        for group in self.others() {
            let labels = Labels::none()
                .with("datname", group.database.as_str())
                .with("state", group.state.as_str());
            *counts.entry(labels.clone()).or_default() += f64::from(group.count);
            let age = ages.entry(labels).or_default();
            *age = age.max(group.oldest_ms.unwrap_or(0) as f64 / 1e3);
            if group.state == "active" {
                let wait = if group.wait.is_empty() {
                    "CPU"
                } else {
                    &group.wait
                };
                let labels = Labels::none().with("wait_event_type", wait);
                *waits.entry(labels).or_default() += f64::from(group.count);
            }
        }
        let used: u32 = self.0.iter().map(|g| g.count).sum();
        let mut out = vec![USED.sample(Labels::none(), f64::from(used))];
        let list = |map: BTreeMap<Labels, f64>| map.into_iter().collect();
        memory
            .connections
            .gauge(&CONNECTIONS, list(counts), &mut out);
        memory.ages.gauge(&TRANSACTION_AGE, list(ages), &mut out);
        memory.waits.gauge(&WAITING, list(waits), &mut out);
        out
    }

    /// The same counts as one record; `max` and `reserved` come from the settings.
    pub(crate) fn pool(&self, (max, reserved): (u32, u32)) -> PoolUsage {
        let mut pool = PoolUsage {
            total: self.0.iter().map(|g| g.count).sum(),
            max,
            reserved,
            ..PoolUsage::default()
        };
        let mut by_application: BTreeMap<&str, u32> = BTreeMap::new();
        for group in self.others() {
            let count = group.count;
            match group.state.as_str() {
                "idle" => pool.idle += count,
                "active" | "fastpath function call" => pool.active += count,
                state if state.starts_with("idle in transaction") => {
                    pool.idle_in_transaction += count;
                }
                _ => {}
            }
            if group.state == "active" && !["", "Client"].contains(&group.wait.as_str()) {
                pool.waiting += count;
                if group.wait == "Lock" {
                    pool.lock_waiting += count;
                }
            }
            pool.oldest_xact_age_ms = pool.oldest_xact_age_ms.max(group.oldest_ms);
            *by_application.entry(&group.application).or_default() += count;
        }
        pool.by_application = by_application
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count))
            .collect();
        pool.by_application
            .sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        pool
    }
}

/// What runs at this moment, by wait event: one sample of an active session history.
pub(crate) async fn sample(session: &mut Session) -> Result<ActivitySample> {
    let sql = format!(
        "select {MARKER} coalesce(wait_event_type, 'CPU'), coalesce(wait_event, 'CPU'), count(*) \
         from pg_stat_get_activity(null) where state = 'active' and pid <> pg_backend_pid() \
         and application_name <> '{APPLICATION_NAME}' and backend_type <> 'walsender' group by 1, 2"
    );
    let mut waits = BTreeMap::new();
    for row in session.rows(PART, &sql, &[]).await? {
        let cells = Cells::new(PART, &row);
        let count = u32::try_from(cells.count(2)?).unwrap_or(u32::MAX);
        waits.insert((cells.text(0)?, cells.text(1)?), count);
    }
    Ok(ActivitySample { waits })
}

/// Sessions that run, wait or hold a transaction, the oldest transaction first; texts masked.
pub(crate) async fn sessions(session: &mut Session) -> Result<Vec<Seat>> {
    let sql = format!(
        "select {MARKER} a.pid, d.datname::text, pg_get_userbyid(a.usesysid)::text, \
         a.application_name, a.state, a.wait_event_type, a.wait_event, \
         extract(epoch from clock_timestamp() - a.xact_start)::float8, \
         extract(epoch from clock_timestamp() - a.query_start)::float8, \
         case when a.wait_event_type = 'Lock' then pg_blocking_pids(a.pid) else '{{}}' end, \
         left(a.query, {TEXT_CAP}) \
         from pg_stat_get_activity(null) a left join pg_database d on d.oid = a.datid \
         where {CLIENTS} and a.pid <> pg_backend_pid() \
         and a.application_name <> '{APPLICATION_NAME}' \
         and (a.state <> 'idle' or a.xact_start is not null) \
         order by a.xact_start nulls last limit {SESSIONS_CAP}"
    );
    let mut out = Vec::new();
    for row in session.rows(PART, &sql, &[]).await? {
        let cells = Cells::new(PART, &row);
        out.push(Seat {
            pid: cells.get(0)?,
            database: cells.get(1)?,
            role: cells.get(2)?,
            application: cells.text(3)?,
            state: cells.text(4)?,
            wait_event_type: cells.get(5)?,
            wait_event: cells.get(6)?,
            xact_age_ms: cells.millis(7)?,
            query_age_ms: cells.millis(8)?,
            blocked_by: cells.get(9)?,
            query: mask(&cells.text(10)?),
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(state: &str, wait: &str, application: &str, count: u32) -> Group {
        Group {
            database: "d".into(),
            state: state.into(),
            wait: wait.into(),
            application: application.into(),
            count,
            oldest_ms: Some(u64::from(count)),
        }
    }

    #[test]
    fn our_own_session_takes_a_seat_but_no_state() {
        let all = Connections(vec![
            group("active", "", APPLICATION_NAME, 1),
            group("active", "Lock", "shop", 2),
            group("idle in transaction (aborted)", "Client", "shop", 3),
            group("idle", "Client", "", 4),
        ]);
        let pool = all.pool((100, 3));
        assert_eq!(
            (pool.total, pool.active, pool.idle, pool.idle_in_transaction),
            (10, 2, 4, 3)
        );
        assert_eq!(
            (pool.waiting, pool.lock_waiting, pool.max, pool.reserved),
            (2, 2, 100, 3)
        );
        assert_eq!(pool.oldest_xact_age_ms, Some(4));
        assert_eq!(pool.by_application.first(), Some(&("shop".to_owned(), 5)));
        let samples = all.samples(&mut Memory::default());
        let active: f64 = samples
            .iter()
            .filter(|s| s.series.metric == CONNECTIONS.name)
            .filter(|s| s.series.labels.get("state") == Some("active"))
            .map(|s| s.value)
            .sum();
        assert!((active - 2.0).abs() < 1e-9);
    }
}
